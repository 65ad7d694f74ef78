//! Arguments of commands.

use hive_flow::{CT_STATE_NAMES, Field, Key, VLAN_PRESENT};
use hive_packet::MacAddr;
use std::net::{Ipv4Addr, Ipv6Addr};

/// A number, decimal or behind `0x`.
pub(super) fn number<T: TryFrom<u64>>(text: &str) -> Option<T> {
    let value = match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok()?,
        None => text.parse().ok()?,
    };
    T::try_from(value).ok()
}

/// `name=value`, if it has that name.
pub(super) fn named<'a>(argument: &'a str, name: &str) -> Option<&'a str> {
    argument.strip_prefix(name)?.strip_prefix('=')
}

/// Protocols that stand for themselves: EtherType and IP protocol.
const PROTOCOLS: [(&str, u16, u8); 11] = [
    ("ip", 0x0800, 0),
    ("ipv6", 0x86dd, 0),
    ("arp", 0x0806, 0),
    ("icmp", 0x0800, 1),
    ("icmp6", 0x86dd, 58),
    ("tcp", 0x0800, 6),
    ("udp", 0x0800, 17),
    ("sctp", 0x0800, 132),
    ("tcp6", 0x86dd, 6),
    ("udp6", 0x86dd, 17),
    ("sctp6", 0x86dd, 132),
];

/// Fields of a flow as `ovs-ofctl` writes them, all of them exact. `port` knows ports by name.
pub(super) fn flow(text: &str, port: impl Fn(&str) -> Option<u16>) -> Result<Key, String> {
    let mut key = Key::ZERO;
    for word in text.split([',', ' ']).filter(|word| !word.is_empty()) {
        let Some((name, value)) = word.split_once('=') else {
            let known = PROTOCOLS.iter().find(|(name, ..)| *name == word);
            let (_, eth_type, protocol) = known.ok_or_else(|| format!("unknown field {word}"))?;
            key.set(Field::EthType, (*eth_type).into());
            if *protocol != 0 {
                key.set(Field::IpProto, (*protocol).into());
            }
            continue;
        };
        let bad = || format!("{word}: bad value");
        let field_value = |value: &str| number::<u64>(value).map(u128::from).ok_or_else(bad);
        let (field, value) = match name {
            "in_port" => (Field::InPort, port(value).map(u128::from).ok_or_else(bad)?),
            "dl_vlan" | "vlan_vid" => {
                (Field::VlanTci, field_value(value)? & 0xfff | u128::from(VLAN_PRESENT) | key.get(Field::VlanTci))
            }
            "dl_vlan_pcp" | "vlan_pcp" => {
                let pcp = (field_value(value)? & 7) << 13;
                (Field::VlanTci, pcp | u128::from(VLAN_PRESENT) | key.get(Field::VlanTci))
            }
            _ => {
                let field = field(name).ok_or_else(|| format!("unknown field {name}"))?;
                (field, value_of(field, value).ok_or_else(bad)?)
            }
        };
        key.set(field, value);
    }
    Ok(key)
}

fn field(name: &str) -> Option<Field> {
    if let Some(register) = name.strip_prefix("reg").and_then(|rest| rest.parse().ok()) {
        return (register < hive_flow::REGISTERS).then_some(Field::Reg(register));
    }
    Some(match name {
        "dl_src" | "eth_src" => Field::EthSrc,
        "dl_dst" | "eth_dst" => Field::EthDst,
        "dl_type" | "eth_type" => Field::EthType,
        "vlan_tci" => Field::VlanTci,
        "nw_src" | "ip_src" => Field::Ipv4Src,
        "nw_dst" | "ip_dst" => Field::Ipv4Dst,
        "ipv6_src" => Field::Ipv6Src,
        "ipv6_dst" => Field::Ipv6Dst,
        "nw_proto" | "ip_proto" => Field::IpProto,
        "nw_ttl" => Field::IpTtl,
        "nw_ecn" | "ip_ecn" => Field::IpEcn,
        "ip_dscp" => Field::IpDscp,
        "nw_frag" | "ip_frag" => Field::IpFrag,
        "tp_src" | "tcp_src" | "udp_src" | "sctp_src" => Field::TpSrc,
        "tp_dst" | "tcp_dst" | "udp_dst" | "sctp_dst" => Field::TpDst,
        "tcp_flags" => Field::TcpFlags,
        "icmp_type" | "icmpv6_type" => Field::IcmpType,
        "icmp_code" | "icmpv6_code" => Field::IcmpCode,
        "arp_op" => Field::ArpOp,
        "arp_spa" => Field::ArpSpa,
        "arp_tpa" => Field::ArpTpa,
        "arp_sha" => Field::ArpSha,
        "arp_tha" => Field::ArpTha,
        "nd_target" => Field::NdTarget,
        "metadata" => Field::Metadata,
        "pkt_mark" => Field::PktMark,
        "tun_id" | "tunnel_id" => Field::TunId,
        "tun_src" => Field::TunSrc,
        "tun_dst" => Field::TunDst,
        "ct_state" => Field::CtState,
        "ct_zone" => Field::CtZone,
        "ct_mark" => Field::CtMark,
        "recirc_id" => Field::RecircId,
        _ => return None,
    })
}

fn value_of(field: Field, text: &str) -> Option<u128> {
    let mac = || text.parse::<MacAddr>().ok().map(|mac| mac.to_u64().into());
    let ipv4 = || text.parse::<Ipv4Addr>().ok().map(|address| address.to_bits().into());
    let ipv6 = || text.parse::<Ipv6Addr>().ok().map(Ipv6Addr::to_bits);
    let value = match field {
        Field::EthSrc | Field::EthDst | Field::ArpSha | Field::ArpTha => mac(),
        Field::Ipv4Src | Field::Ipv4Dst | Field::ArpSpa | Field::ArpTpa | Field::TunSrc | Field::TunDst => ipv4(),
        Field::Ipv6Src | Field::Ipv6Dst | Field::NdTarget => ipv6(),
        Field::CtState if !text.starts_with(|first: char| first.is_ascii_digit()) => {
            text.split('|').try_fold(0u128, |set, name| {
                let bit = CT_STATE_NAMES.iter().position(|known| *known == name)?;
                Some(set | 1 << bit)
            })
        }
        Field::IpFrag => match text {
            "no" => Some(0),
            "first" => Some(1),
            "later" => Some(3),
            _ => number::<u64>(text).map(u128::from),
        },
        _ => number::<u64>(text).map(u128::from),
    };
    value.filter(|value| *value <= field.full_mask())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Key, String> {
        flow(text, |name| if name == "p1" { Some(1) } else { name.parse().ok() })
    }

    #[test]
    fn flows_as_they_are_written() {
        let key =
            parse("in_port=p1,tcp,dl_src=02:00:00:00:00:01,nw_dst=10.0.0.2,tp_dst=0x50,ct_state=trk|est,dl_vlan=5")
                .unwrap();
        let values = [
            (Field::InPort, 1),
            (Field::EthType, 0x800),
            (Field::IpProto, 6),
            (Field::EthSrc, 0x0200_0000_0001),
            (Field::Ipv4Dst, 0x0a00_0002),
            (Field::TpDst, 80),
            (Field::CtState, 0x22),
            (Field::VlanTci, 0x1005),
        ];
        for (field, value) in values {
            assert_eq!(key.get(field), value, "{field:?}");
        }
        for bad in ["in_port=q", "frob", "frob=1", "nw_src=10.0.0", "tp_src=70000", "ct_state=old"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_flow_or_is_not(text in "[a-z_]{0,8}=?[0-9a-fx:.,|]{0,20}") {
            let _ = parse(&text);
        }
    }
}
