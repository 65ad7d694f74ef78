//! Flows as `ovs-appctl dpctl/dump-flows` prints them.

use crate::engine::Engine;
use crate::flows::Flow;
use hive_flow::{
    CT_STATE_NAMES, ETH_TYPE_ARP, ETH_TYPE_IPV4, ETH_TYPE_IPV6, ETH_TYPE_RARP, FRAG_ANY, FRAG_LATER, Field, Inner, Key,
    Mask, PROTO_ICMP, PROTO_ICMPV6, PROTO_SCTP, PROTO_TCP, PROTO_UDP,
};
use hive_program::{Pipeline, ShownOps};
use std::fmt::{self, Display, Formatter, Write};
use std::net::{Ipv4Addr, Ipv6Addr};

/// As `packet_format_tcp_flags`: one letter a flag, `.` if there is none.
struct TcpFlags(u16);

impl Display for TcpFlags {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_char('.');
        }
        for (bit, letter) in "FSRP.UEC".char_indices() {
            if self.0 & 1 << bit != 0 {
                f.write_char(letter)?;
            }
        }
        Ok(())
    }
}

struct Mac(u128);

impl Display for Mac {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let [.., a, b, c, d, e, g] = self.0.to_be_bytes();
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Fields between parentheses, with commas between them.
struct Group<'a, 'b> {
    out: &'a mut Formatter<'b>,
    key: &'a Key,
    mask: &'a Mask,
    name: &'static str,
    open: bool,
}

type Show = fn(u128, &mut Formatter<'_>) -> fmt::Result;

struct With(u128, Show);

impl Display for With {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        (self.1)(self.0, f)
    }
}

fn number(value: u128, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{value}")
}

fn hex(value: u128, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{value:#x}")
}

fn mac(value: u128, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{}", Mac(value))
}

fn ipv4(value: u128, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{}", Ipv4Addr::from(value as u32))
}

fn ipv6(value: u128, f: &mut Formatter<'_>) -> fmt::Result {
    write!(f, "{}", Ipv6Addr::from(value))
}

impl Group<'_, '_> {
    fn begin(&mut self) -> fmt::Result {
        if self.open {
            return self.out.write_char(',');
        }
        self.open = true;
        write!(self.out, "{}(", self.name)
    }

    fn field(&mut self, name: &str, field: Field, show: Show) -> fmt::Result {
        self.masked(name, (self.key.get(field), self.mask.get(field), field.full_mask()), show)
    }

    fn masked(&mut self, name: &str, (value, mask, full): (u128, u128, u128), show: Show) -> fmt::Result {
        if mask == 0 {
            return Ok(());
        }
        self.begin()?;
        write!(self.out, "{name}{}{}", if name.is_empty() { "" } else { "=" }, With(value & mask, show))?;
        if mask == full { Ok(()) } else { write!(self.out, "/{}", With(mask, show)) }
    }

    fn end(self) -> fmt::Result {
        if self.open { self.out.write_str("),") } else { Ok(()) }
    }
}

/// A flow's match, as `odp_flow_format` has it.
struct Matched<'a> {
    key: &'a Key,
    mask: &'a Mask,
}

impl Matched<'_> {
    fn group<'a, 'b>(&'a self, f: &'a mut Formatter<'b>, name: &'static str) -> Group<'a, 'b> {
        Group { out: f, key: self.key, mask: self.mask, name, open: false }
    }

    fn one(&self, f: &mut Formatter<'_>, name: &'static str, field: Field, show: Show) -> fmt::Result {
        let mut group = self.group(f, name);
        group.field("", field, show)?;
        group.end()
    }

    fn tunnel(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut group = self.group(f, "tunnel");
        group.field("tun_id", Field::TunId, hex)?;
        group.field("src", Field::TunSrc, ipv4)?;
        group.field("dst", Field::TunDst, ipv4)?;
        group.field("ipv6_src", Field::TunIpv6Src, ipv6)?;
        group.field("ipv6_dst", Field::TunIpv6Dst, ipv6)?;
        group.field("flags", Field::TunFlags, hex)?;
        group.end()
    }

    fn connection(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mask = self.mask.get(Field::CtState);
        if mask != 0 {
            f.write_str("ct_state(")?;
            for (bit, name) in CT_STATE_NAMES.iter().enumerate().filter(|(bit, _)| mask & 1 << bit != 0) {
                f.write_char(if self.key.get(Field::CtState) & 1 << bit != 0 { '+' } else { '-' })?;
                f.write_str(name)?;
            }
            f.write_str("),")?;
        }
        self.one(f, "ct_zone", Field::CtZone, hex)?;
        self.one(f, "ct_mark", Field::CtMark, hex)?;
        self.one(f, "ct_label", Field::CtLabel, hex)?;
        for (name, fields, show) in [
            ("ct_tuple4", [Field::CtNwSrc, Field::CtNwDst], ipv4 as Show),
            ("ct_tuple6", [Field::CtIpv6Src, Field::CtIpv6Dst], ipv6),
        ] {
            let mut group = self.group(f, name);
            let used = fields.iter().any(|field| self.mask.get(*field) != 0);
            if !used {
                continue;
            }
            group.field("src", fields[0], show)?;
            group.field("dst", fields[1], show)?;
            group.field("proto", Field::CtNwProto, number)?;
            group.field("tp_src", Field::CtTpSrc, number)?;
            group.field("tp_dst", Field::CtTpDst, number)?;
            group.end()?;
        }
        Ok(())
    }

    fn ethernet(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut group = self.group(f, "eth");
        group.field("src", Field::EthSrc, mac)?;
        group.field("dst", Field::EthDst, mac)?;
        group.end()?;
        let tci = (self.key.get(Field::VlanTci), self.mask.get(Field::VlanTci));
        if tci.1 != 0 && tci.0 != 0 {
            let tpid = self.key.inner(Inner::VlanTpid);
            write!(f, "eth_type({:#06x}),", if tpid == 0 { 0x8100 } else { tpid })?;
            let mut group = self.group(f, "vlan");
            group.masked("vid", (tci.0 & 0xfff, tci.1 & 0xfff, 0xfff), number)?;
            group.masked("pcp", (tci.0 >> 13, tci.1 >> 13, 7), number)?;
            group.end()?;
        }
        Ok(())
    }

    /// What is behind a tag.
    fn inner(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ether_type = self.key.get(Field::EthType);
        // Open vSwitch's datapath always has the type.
        write!(f, "eth_type({ether_type:#06x}),")?;
        let ether_type = ether_type as u16;
        self.network(f, ether_type)?;
        if matches!(ether_type, ETH_TYPE_IPV4 | ETH_TYPE_IPV6) {
            self.transport(f, ether_type)?;
        }
        Ok(())
    }

    fn network(&self, f: &mut Formatter<'_>, ether_type: u16) -> fmt::Result {
        let key_frag = self.key.get_u64(Field::IpFrag) as u8;
        let frag = match key_frag {
            _ if key_frag & FRAG_LATER != 0 => "later",
            _ if key_frag & FRAG_ANY != 0 => "first",
            _ => "no",
        };
        let tos = (self.key.inner(Inner::IpTos), self.mask.inner(Inner::IpTos));
        let tos = (u128::from(tos.0), u128::from(tos.1), 0xff);
        let (name, fields, show, kind) = match ether_type {
            ETH_TYPE_IPV4 => ("ipv4", [Field::Ipv4Src, Field::Ipv4Dst], ipv4 as Show, ["tos", "ttl"]),
            ETH_TYPE_IPV6 => ("ipv6", [Field::Ipv6Src, Field::Ipv6Dst], ipv6 as Show, ["tclass", "hlimit"]),
            ETH_TYPE_ARP | ETH_TYPE_RARP => {
                let mut group = self.group(f, "arp");
                group.field("sip", Field::ArpSpa, ipv4)?;
                group.field("tip", Field::ArpTpa, ipv4)?;
                group.field("op", Field::ArpOp, number)?;
                group.field("sha", Field::ArpSha, mac)?;
                group.field("tha", Field::ArpTha, mac)?;
                return group.end();
            }
            _ => return Ok(()),
        };
        let mut group = self.group(f, name);
        group.field("src", fields[0], show)?;
        group.field("dst", fields[1], show)?;
        if ether_type == ETH_TYPE_IPV6 {
            group.field("label", Field::Ipv6Label, hex)?;
        }
        group.field("proto", Field::IpProto, number)?;
        group.masked(kind[0], tos, hex)?;
        group.field(kind[1], Field::IpTtl, number)?;
        group.begin()?;
        write!(group.out, "frag={frag}")?;
        group.end()
    }

    fn transport(&self, f: &mut Formatter<'_>, ether_type: u16) -> fmt::Result {
        let protocol = self.key.get_u64(Field::IpProto) as u8;
        let name = match (protocol, ether_type) {
            (PROTO_TCP, _) => "tcp",
            (PROTO_UDP, _) => "udp",
            (PROTO_SCTP, _) => "sctp",
            (PROTO_ICMP, ETH_TYPE_IPV4) => "icmp",
            (PROTO_ICMPV6, ETH_TYPE_IPV6) => "icmpv6",
            _ => return Ok(()),
        };
        let mut group = self.group(f, name);
        if name.starts_with("icmp") {
            group.field("type", Field::IcmpType, number)?;
            group.field("code", Field::IcmpCode, number)?;
            return group.end();
        }
        group.field("src", Field::TpSrc, number)?;
        group.field("dst", Field::TpDst, number)?;
        group.end()?;
        self.one(f, "tcp_flags", Field::TcpFlags, hex)
    }
}

impl Display for Matched<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.key.get(Field::RecircId) {
            0 => f.write_str("recirc_id(0),")?,
            id => write!(f, "recirc_id({id:#x}),")?,
        }
        self.one(f, "dp_hash", Field::DpHash, hex)?;
        self.one(f, "skb_priority", Field::SkbPriority, hex)?;
        self.tunnel(f)?;
        write!(f, "in_port({}),", self.key.get(Field::InPort))?;
        self.one(f, "skb_mark", Field::PktMark, hex)?;
        self.connection(f)?;
        f.write_str("packet_type(ns=0,id=0),")?;
        self.ethernet(f)?;
        if self.key.get(Field::VlanTci) & self.mask.get(Field::VlanTci) == 0 {
            return self.inner(f);
        }
        let inner = Inside(self).to_string();
        write!(f, "encap({}),", inner.trim_end_matches(','))
    }
}

struct Inside<'a>(&'a Matched<'a>);

impl Display for Inside<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.inner(f)
    }
}

/// One line.
struct Line<'a, C> {
    flow: &'a Flow<C>,
    now_ms: u64,
}

impl<C> Display for Line<'_, C> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let flow = self.flow;
        let traffic = flow.traffic();
        write!(f, "{} ", Matched { key: flow.key(), mask: flow.mask() })?;
        write!(f, "packets:{}, bytes:{}, used:", traffic.packets, traffic.bytes)?;
        if traffic.packets > 0 {
            write!(f, "{:.3}s", self.now_ms.saturating_sub(flow.used_ms) as f64 / 1000.0)?;
        } else {
            f.write_str("never")?;
        }
        if traffic.tcp_flags != 0 {
            write!(f, ", flags:{}", TcpFlags(traffic.tcp_flags))?;
        }
        let protocol = flow.key().get_u64(Field::IpProto) as u8;
        write!(f, ", actions:{}", ShownOps { ops: &flow.ops, protocol })
    }
}

impl<P: Pipeline> Engine<P> {
    /// A line for each flow, with all its traffic.
    pub fn dump_flows(&mut self, now_ms: u64) -> Vec<String> {
        self.credit_ways(now_ms);
        self.flows.iter().map(|flow| Line { flow, now_ms }.to_string()).collect()
    }
}
