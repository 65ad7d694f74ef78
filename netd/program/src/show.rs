//! Operations as `ovs-appctl` prints them, in traces and in dumps of flows.

use crate::{HashOf, Op, Tunnel};
use hive_conntrack::{Choice, Helper, Nat, NatRange, Request};
use hive_flow::{Field, PROTO_SCTP, PROTO_UDP};
use std::fmt::{self, Display, Formatter};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A list of operations, as `format_odp_actions` has them.
#[derive(Clone, Copy, Debug)]
pub struct ShownOps<'a> {
    pub ops: &'a [Op],
    /// Of the packets' IP header: ports that are set are called by it.
    pub protocol: u8,
}

fn mac(value: u128) -> String {
    let [.., a, b, c, d, e, f] = value.to_be_bytes();
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// The header in which the data path's attributes have a field, and its name there.
fn attribute(field: Field, protocol: u8) -> (&'static str, &'static str) {
    let transport = match protocol {
        PROTO_UDP => "udp",
        PROTO_SCTP => "sctp",
        _ => "tcp",
    };
    match field {
        Field::EthSrc => ("eth", "src"),
        Field::EthDst => ("eth", "dst"),
        Field::Ipv4Src => ("ipv4", "src"),
        Field::Ipv4Dst => ("ipv4", "dst"),
        Field::Ipv6Src => ("ipv6", "src"),
        Field::Ipv6Dst => ("ipv6", "dst"),
        Field::Ipv6Label => ("ipv6", "label"),
        Field::IpDscp => ("ip", "dscp"),
        Field::IpEcn => ("ip", "ecn"),
        Field::IpTtl => ("ip", "ttl"),
        Field::TpSrc => (transport, "src"),
        Field::TpDst => (transport, "dst"),
        Field::IcmpType => ("icmp", "type"),
        Field::IcmpCode => ("icmp", "code"),
        Field::ArpOp => ("arp", "op"),
        Field::ArpSpa => ("arp", "sip"),
        Field::ArpTpa => ("arp", "tip"),
        Field::ArpSha => ("arp", "sha"),
        Field::ArpTha => ("arp", "tha"),
        Field::NdTarget => ("nd", "target"),
        Field::NdSll => ("nd", "sll"),
        Field::NdTll => ("nd", "tll"),
        Field::NdReserved => ("nd", "reserved"),
        Field::NdOptionsType => ("nd", "options_type"),
        Field::MplsLabel => ("mpls", "label"),
        Field::MplsTc => ("mpls", "tc"),
        Field::MplsTtl => ("mpls", "ttl"),
        Field::PktMark => ("skb_mark", ""),
        Field::SkbPriority => ("skb_priority", ""),
        _ => ("field", ""),
    }
}

fn field_value(field: Field, value: u128) -> String {
    match field {
        Field::EthSrc | Field::EthDst | Field::ArpSha | Field::ArpTha | Field::NdSll | Field::NdTll => mac(value),
        Field::Ipv4Src | Field::Ipv4Dst | Field::ArpSpa | Field::ArpTpa => Ipv4Addr::from(value as u32).to_string(),
        Field::Ipv6Src | Field::Ipv6Dst | Field::NdTarget => Ipv6Addr::from(value).to_string(),
        Field::PktMark | Field::SkbPriority | Field::Ipv6Label => format!("{value:#x}"),
        _ => value.to_string(),
    }
}

impl Display for ShownOps<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.ops.is_empty() {
            return f.write_str("drop");
        }
        for (at, op) in self.ops.iter().enumerate() {
            if at != 0 {
                f.write_str(",")?;
            }
            show_op(op, self.protocol, f)?;
        }
        Ok(())
    }
}

fn show_op(op: &Op, protocol: u8, f: &mut Formatter<'_>) -> fmt::Result {
    let list = |ops| ShownOps { ops, protocol };
    match op {
        Op::Output(port) => write!(f, "{}", port.0),
        Op::Set { field, value, mask } => {
            let (header, name) = attribute(*field, protocol);
            let masked =
                if *mask == field.full_mask() { String::new() } else { format!("/{}", field_value(*field, *mask)) };
            let value = field_value(*field, value & mask);
            let equals = if name.is_empty() { "" } else { "=" };
            write!(f, "set({header}({name}{equals}{value}{masked}))")
        }
        Op::PushVlan { tpid, tci } => {
            f.write_str("push_vlan(")?;
            if *tpid != hive_flow::ETH_TYPE_VLAN {
                write!(f, "tpid={tpid:#06x},")?;
            }
            write!(f, "vid={},pcp={})", tci & 0xfff, tci >> 13)
        }
        Op::PopVlan => f.write_str("pop_vlan"),
        Op::PushMpls { ether_type, lse } => write!(
            f,
            "push_mpls(label={},tc={},ttl={},bos={},eth_type={ether_type:#x})",
            lse >> 12,
            lse >> 9 & 7,
            lse & 0xff,
            lse >> 8 & 1
        ),
        Op::PopMpls { ether_type } => write!(f, "pop_mpls(eth_type={ether_type:#x})"),
        Op::SetTunnel(tunnel) => show_tunnel(tunnel, f),
        Op::Truncate { bytes } => write!(f, "trunc({bytes})"),
        Op::Conntrack(request) => show_request(request, f),
        Op::CtClear => f.write_str("ct_clear"),
        Op::Hash { of, basis } => {
            let name = match of {
                HashOf::SymmetricL4 => "sym_l4",
                HashOf::L4 => "l4",
            };
            write!(f, "hash({name}({basis}))")
        }
        Op::Recirculate(id) => write!(f, "recirc({:#x})", id.0),
        Op::Meter(meter) => write!(f, "meter({})", meter.meter),
        Op::Punt(punt) => write!(f, "userspace(controller({}))", punt.what),
        Op::Sample(sample) => write!(f, "{sample}"),
        Op::Clone(ops) => write!(f, "clone({})", list(ops)),
        Op::IfLarger { bytes, then, otherwise } => {
            write!(f, "check_pkt_len(size={bytes},gt({}),le({}))", list(then), list(otherwise))
        }
    }
}

fn show_tunnel(tunnel: &Tunnel, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "set(tunnel(tun_id={:#x},", tunnel.id)?;
    let name = |address: &IpAddr, v4, v6| if address.is_ipv4() { v4 } else { v6 };
    if let Some(local) = &tunnel.local {
        write!(f, "{}={local},", name(local, "src", "ipv6_src"))?;
    }
    write!(f, "{}={},", name(&tunnel.remote, "dst", "ipv6_dst"), tunnel.remote)?;
    if tunnel.tos != 0 {
        write!(f, "tos={:#x},", tunnel.tos)?;
    }
    write!(f, "ttl={},", tunnel.ttl)?;
    if !tunnel.options.is_empty() {
        f.write_str("geneve(")?;
        tunnel.options.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str("),")?;
    }
    write!(f, "flags({}key)))", if tunnel.df { "df|" } else { "" })
}

fn show_range(kind: &str, range: &NatRange, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "nat({kind}")?;
    let address = |value: u128| match u32::try_from(value) {
        Ok(v4) => Ipv4Addr::from(v4).to_string(),
        Err(_) => format!("[{}]", Ipv6Addr::from(value)),
    };
    if let Some((min, max)) = range.addresses {
        write!(f, "={}", address(min))?;
        if max != min {
            write!(f, "-{}", address(max))?;
        }
    }
    if let Some((min, max)) = range.ports {
        write!(f, ":{min}")?;
        if max != min {
            write!(f, "-{max}")?;
        }
    }
    if range.persistent {
        f.write_str(",persistent")?;
    }
    if range.choice == Choice::Random {
        f.write_str(",random")?;
    }
    f.write_str(")")
}

fn show_request(request: &Request, f: &mut Formatter<'_>) -> fmt::Result {
    f.write_str("ct")?;
    let mut between = "(";
    let mut item = |f: &mut Formatter<'_>, text: fmt::Arguments<'_>| {
        f.write_str(std::mem::replace(&mut between, ","))?;
        f.write_fmt(text)
    };
    if request.force {
        item(f, format_args!("force_commit"))?;
    } else if request.commit {
        item(f, format_args!("commit"))?;
    }
    if request.zone != 0 {
        item(f, format_args!("zone={}", request.zone))?;
    }
    if let Some((value, mask)) = request.mark {
        item(f, format_args!("mark={value:#x}/{mask:#x}"))?;
    }
    if let Some((value, mask)) = request.label {
        item(f, format_args!("label={value:#x}/{mask:#x}"))?;
    }
    if request.helper == Some(Helper::Ftp) {
        item(f, format_args!("helper=ftp"))?;
    }
    if let Some(nat) = &request.nat {
        item(f, format_args!(""))?;
        match nat {
            Nat::Existing => f.write_str("nat")?,
            Nat::Source(range) => show_range("src", range, f)?,
            Nat::Destination(range) => show_range("dst", range, f)?,
        }
    }
    if between == "," { f.write_str(")") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{PortId, RecircId};
    use std::sync::Arc;

    #[test]
    fn operations_read_as_those_of_open_vswitch() {
        let tunnel = Tunnel {
            id: 5,
            remote: [10, 0, 0, 2].into(),
            local: Some([10, 0, 0, 1].into()),
            tos: 0,
            ttl: 64,
            df: true,
            options: Arc::new([]),
        };
        let set = |field: Field, value, mask| Op::Set { field, value, mask };
        let ops = [
            set(Field::EthDst, 0x0200_0000_0001, Field::EthDst.full_mask()),
            set(Field::Ipv4Src, 0x0a00_00ff, 0xffff_ff00),
            Op::Clone(Arc::new([set(Field::TpDst, 53, 0xffff)])),
            Op::SetTunnel(Arc::new(tunnel)),
            Op::Clone(Arc::new([Op::Conntrack(Arc::default()), Op::Recirculate(RecircId(1))])),
            Op::Conntrack(Arc::new(Request { commit: true, zone: 5, nat: Some(Nat::Existing), ..Request::default() })),
            Op::Hash { of: HashOf::SymmetricL4, basis: 0 },
            Op::Output(PortId(3)),
        ];
        assert_eq!(
            ShownOps { ops: &ops, protocol: PROTO_UDP }.to_string(),
            "set(eth(dst=02:00:00:00:00:01)),set(ipv4(src=10.0.0.0/255.255.255.0)),clone(set(udp(dst=53))),\
             set(tunnel(tun_id=0x5,src=10.0.0.1,dst=10.0.0.2,ttl=64,flags(df|key))),clone(ct,recirc(0x1)),\
             ct(commit,zone=5,nat),hash(sym_l4(0)),3"
        );
        assert_eq!(ShownOps { ops: &[], protocol: 0 }.to_string(), "drop");
    }
}
