//! A packet's fields as `ovs-appctl ofproto/trace` is given them: `in_port=1,tcp,nw_src=10.0.0.1`.

use hive_flow::{
    ETH_TYPE_ARP, ETH_TYPE_IPV4, ETH_TYPE_IPV6, ETH_TYPE_MPLS, ETH_TYPE_RARP, Field, Inner, Key, PROTO_ICMP,
    PROTO_ICMPV6, PROTO_SCTP, PROTO_TCP, PROTO_UDP, VLAN_PRESENT,
};
use hive_openflow::{OxmField, PortNo, Subfield};
use std::net::{Ipv4Addr, Ipv6Addr};

/// What cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlowTextError {
    #[error("{0}: unknown field")]
    Field(String),
    #[error("{0}: bad value for {1}")]
    Value(String, String),
}

/// Protocols by name: Ethernet's type, and IP's protocol.
const PROTOCOLS: [(&str, u16, u8); 15] = [
    ("ip", ETH_TYPE_IPV4, 0),
    ("tcp", ETH_TYPE_IPV4, PROTO_TCP),
    ("udp", ETH_TYPE_IPV4, PROTO_UDP),
    ("sctp", ETH_TYPE_IPV4, PROTO_SCTP),
    ("icmp", ETH_TYPE_IPV4, PROTO_ICMP),
    ("ipv6", ETH_TYPE_IPV6, 0),
    ("ip6", ETH_TYPE_IPV6, 0),
    ("tcp6", ETH_TYPE_IPV6, PROTO_TCP),
    ("udp6", ETH_TYPE_IPV6, PROTO_UDP),
    ("sctp6", ETH_TYPE_IPV6, PROTO_SCTP),
    ("icmp6", ETH_TYPE_IPV6, PROTO_ICMPV6),
    ("arp", ETH_TYPE_ARP, 0),
    ("rarp", ETH_TYPE_RARP, 0),
    ("mpls", ETH_TYPE_MPLS, 0),
    ("eth", 0, 0),
];

/// Names of OpenFlow 1.0.
const ALIASES: [(&str, &str); 12] = [
    ("dl_src", "eth_src"),
    ("dl_dst", "eth_dst"),
    ("dl_type", "eth_type"),
    ("nw_src", "ip_src"),
    ("nw_dst", "ip_dst"),
    ("nw_frag", "ip_frag"),
    ("tunnel_id", "tun_id"),
    ("ip_ttl", "nw_ttl"),
    ("dl_vlan_pcp", "vlan_pcp"),
    ("ip_proto", "nw_proto"),
    ("ip_ecn", "nw_ecn"),
    ("pkt_mark", "pkt_mark"),
];

/// A number or an address, whatever it looks like.
fn value(text: &str) -> Option<u128> {
    if let Ok(v4) = text.parse::<Ipv4Addr>() {
        return Some(v4.to_bits().into());
    }
    if let Ok(mac) = text.parse::<hive_packet::MacAddr>() {
        return Some(mac.to_u64().into());
    }
    if let Ok(v6) = text.parse::<Ipv6Addr>() {
        return Some(v6.to_bits());
    }
    match text.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn port(text: &str) -> Option<u128> {
    let named = match text {
        "LOCAL" | "local" => PortNo::LOCAL,
        "CONTROLLER" | "controller" => PortNo::CONTROLLER,
        "ANY" | "NONE" | "none" => PortNo::NONE,
        number => PortNo::from_wide(u32::try_from(value(number)?).ok()?).ok()?,
    };
    Some(named.0.into())
}

fn flags(text: &str, names: &[&str]) -> Option<u128> {
    let parts = text.split(['|', '+', '-']).filter(|part| !part.is_empty());
    let set = |part: &str| {
        let at = names.iter().position(|name| *name == part)?;
        // A bit that must not be set is not set.
        Some(if text.contains(&format!("-{part}")) { 0 } else { 1 << at })
    };
    parts.map(set).try_fold(0, |bits, bit| Some(bits | bit?))
}

/// The names of ports are looked up by `port_named`.
pub(crate) fn parse(text: &str, port_named: impl Fn(&str) -> Option<PortNo>) -> Result<Key, FlowTextError> {
    let mut key = Key::ZERO;
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, written)) = part.split_once('=') else {
            let (_, kind, protocol) = PROTOCOLS
                .iter()
                .find(|(known, _, _)| *known == part)
                .ok_or_else(|| FlowTextError::Field(part.to_owned()))?;
            key.set(Field::EthType, (*kind).into());
            key.set(Field::IpProto, (*protocol).into());
            continue;
        };
        // What a mask leaves open is 0.
        let (written, mask) = written.split_once('/').unwrap_or((written, ""));
        let bad = || FlowTextError::Value(written.to_owned(), name.to_owned());
        let number = || value(written).ok_or_else(bad);
        let mask = if mask.is_empty() || mask.len() < 3 { u128::MAX } else { value(mask).unwrap_or(u128::MAX) };
        match name {
            "in_port" => {
                let named = port_named(written).map(|port| u128::from(port.0));
                key.set(Field::InPort, named.or_else(|| port(written)).ok_or_else(bad)?);
            }
            "dl_vlan" => {
                let vid = number()?;
                if vid != 0xffff {
                    key.set(Field::VlanTci, vid & 0xfff | u128::from(VLAN_PRESENT));
                }
            }
            "ct_state" => {
                let bits = flags(written, &hive_flow::CT_STATE_NAMES).or_else(|| value(written));
                key.set(Field::CtState, bits.ok_or_else(bad)?);
            }
            "tcp_flags" => {
                let names = ["fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ns"];
                key.set(Field::TcpFlags, flags(written, &names).or_else(|| value(written)).ok_or_else(bad)?);
            }
            "nw_frag" | "ip_frag" => {
                let bits = match written {
                    "no" | "not_later" => 0,
                    "yes" | "first" => 1,
                    "later" => 3,
                    _ => return Err(bad()),
                };
                key.set(Field::IpFrag, bits);
            }
            "nw_tos" | "ip_dscp" => key.set(Field::IpDscp, if name == "nw_tos" { number()? >> 2 } else { number()? }),
            "tp_src" => key.set(Field::TpSrc, number()?),
            "tp_dst" => key.set(Field::TpDst, number()?),
            "icmp_type" | "icmpv6_type" => key.set(Field::IcmpType, number()?),
            "icmp_code" | "icmpv6_code" => key.set(Field::IcmpCode, number()?),
            "skb_priority" => key.set(Field::SkbPriority, number()?),
            _ => {
                let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, own)| *own);
                let field = OxmField::all().find(|field| full_name(*field) == name);
                let field = field.ok_or_else(|| FlowTextError::Field(name.to_owned()))?;
                let value = number()? & mask;
                for part in Subfield::whole_view(field).parts() {
                    let ones = u128::MAX >> (128 - part.bits);
                    let old = key.get(part.field) & !(ones << part.offset);
                    key.set(part.field, old | (value >> part.view_offset & ones) << part.offset);
                }
                if field == OxmField::VlanPcp {
                    key.set(Field::VlanTci, key.get(Field::VlanTci) | u128::from(VLAN_PRESENT));
                }
            }
        }
    }
    if key.get_u64(Field::VlanTci) as u16 & VLAN_PRESENT != 0 {
        key.set_inner(Inner::VlanTpid, hive_flow::ETH_TYPE_VLAN.into());
    }
    Ok(key)
}

fn full_name(field: OxmField) -> String {
    let index = match field {
        OxmField::Reg(n) | OxmField::XReg(n) | OxmField::XxReg(n) | OxmField::TunMetadata(n) => n.to_string(),
        _ => String::new(),
    };
    format!("{}{index}", field.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flow_is_read() {
        let key =
            parse("in_port=p7,tcp,dl_vlan=5,nw_src=10.0.0.1,tp_dst=80,reg0=0x5,ct_state=+trk-new,metadata=7", |name| {
                (name == "p7").then_some(PortNo(7))
            })
            .unwrap();
        let got = [
            Field::InPort,
            Field::EthType,
            Field::IpProto,
            Field::VlanTci,
            Field::Ipv4Src,
            Field::TpDst,
            Field::Reg(0),
        ]
        .map(|field| key.get(field));
        assert_eq!(got, [7, 0x800, 6, 0x1005, 0x0a00_0001, 80, 5]);
        assert_eq!((key.get(Field::CtState), key.get(Field::Metadata)), (0x20, 7));
        let none = |_: &str| None;
        assert_eq!(parse("bogus", none), Err(FlowTextError::Field("bogus".to_owned())));
        assert_eq!(parse("in_port=LOCAL", none).unwrap().get(Field::InPort), 0xfffe);
        assert!(parse("nw_src=hello", none).is_err());
    }
}
