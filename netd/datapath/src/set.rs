//! Header fields set: [`Op::Set`](hive_program::Op::Set).

use crate::work::{Covered, Work};
use hive_flow::{
    ETH_TYPE_ARP, ETH_TYPE_IPV4, ETH_TYPE_IPV6, ETH_TYPE_RARP, Field, PROTO_ICMP, PROTO_ICMPV6, PROTO_SCTP, PROTO_TCP,
    PROTO_UDP,
};

impl Work {
    /// Gives bits of a field the value, where the packet has the field. True if it is one that can be set.
    pub fn set(&mut self, field: Field, value: u128, mask: u128) -> bool {
        let mask = mask & field.full_mask();
        let new = self.key().get(field) & !mask | value & mask;
        let ether_type = self.key().get_u64(Field::EthType) as u16;
        let protocol = self.key().get_u64(Field::IpProto) as u8;
        let (v4, v6) = (ether_type == ETH_TYPE_IPV4, ether_type == ETH_TYPE_IPV6);
        let arp = matches!(ether_type, ETH_TYPE_ARP | ETH_TYPE_RARP) && self.parsed.malformed.is_none();
        let ip = (v4 || v6) && self.parsed.l4_offset.is_some();
        let l3 = self.parsed.l3_offset.map_or(0, usize::from);
        let l4 = self.transport().filter(|_| ip);
        let bytes = new.to_be_bytes();
        let last = |count: usize| &bytes[16 - count..];
        match field {
            Field::PktMark | Field::SkbPriority | Field::DpHash => {}
            Field::EthDst => self.replace(0, last(6), Covered::None),
            Field::EthSrc => self.replace(6, last(6), Covered::None),
            Field::MplsLabel | Field::MplsTc | Field::MplsTtl => {
                let Some(at) = self.parsed.mpls_offset else { return true };
                self.key_mut().set(field, new);
                let lse = self.key().inner(hive_flow::Inner::MplsLse0).to_be_bytes();
                self.replace(at.into(), &lse, Covered::None);
                return true;
            }
            Field::Ipv4Src if v4 && ip => self.replace(l3 + 12, last(4), Covered::Address),
            Field::Ipv4Dst if v4 && ip => self.replace(l3 + 16, last(4), Covered::Address),
            Field::Ipv6Src if v6 && ip => self.replace(l3 + 8, &bytes, Covered::Address),
            Field::Ipv6Dst if v6 && ip => self.replace(l3 + 24, &bytes, Covered::Address),
            Field::Ipv6Label if v6 && ip => {
                let word = hive_packet::be32(self.head(), l3).unwrap_or(0);
                let word = word & !0xf_ffff | new as u32 & 0xf_ffff;
                self.replace(l3, &word.to_be_bytes(), Covered::None);
            }
            Field::IpDscp | Field::IpEcn if ip => {
                self.key_mut().set(field, new);
                let tos = self.key().inner(hive_flow::Inner::IpTos) as u8;
                self.set_tos(l3, tos, v6);
                return true;
            }
            Field::IpTtl if v4 && ip => {
                let other = self.head().get(l3 + 9).copied().unwrap_or(0);
                self.replace(l3 + 8, &[new as u8, other], Covered::Ip);
            }
            Field::IpTtl if v6 && ip => self.replace(l3 + 7, &[new as u8], Covered::None),
            Field::ArpOp if arp => self.replace(l3 + 6, last(2), Covered::None),
            Field::ArpSha if arp => self.replace(l3 + 8, last(6), Covered::None),
            Field::ArpSpa if arp => self.replace(l3 + 14, last(4), Covered::None),
            Field::ArpTha if arp => self.replace(l3 + 18, last(6), Covered::None),
            Field::ArpTpa if arp => self.replace(l3 + 24, last(4), Covered::None),
            Field::TpSrc | Field::TpDst => {
                let Some(at) = l4.filter(|_| matches!(protocol, PROTO_TCP | PROTO_UDP | PROTO_SCTP)) else {
                    return true;
                };
                let at = if field == Field::TpSrc { at } else { at + 2 };
                self.replace(at, last(2), Covered::Transport);
            }
            Field::IcmpType | Field::IcmpCode => {
                let icmp = v4 && protocol == PROTO_ICMP || v6 && protocol == PROTO_ICMPV6;
                let Some(at) = l4.filter(|_| icmp) else { return true };
                self.key_mut().set(field, new);
                let both = self.key().get_u64(Field::IcmpType) << 8 | self.key().get_u64(Field::IcmpCode);
                self.replace(at, &(both as u16).to_be_bytes(), Covered::Transport);
                return true;
            }
            Field::NdReserved | Field::NdOptionsType | Field::NdTarget | Field::NdSll | Field::NdTll => {
                let Some(at) = l4.filter(|_| v6 && protocol == PROTO_ICMPV6) else { return true };
                if self.key().get(Field::NdTarget) == 0 {
                    return true;
                }
                match field {
                    Field::NdReserved => self.replace(at + 4, last(4), Covered::Transport),
                    Field::NdOptionsType => self.set_nd_option_type(at, new as u8),
                    Field::NdTarget => self.replace(at + 8, &bytes, Covered::Transport),
                    _ => self.set_nd_option(at, if field == Field::NdSll { 1 } else { 2 }, last(6)),
                }
            }
            // A packet that does not have the field stays as it is.
            Field::Ipv4Src | Field::Ipv4Dst | Field::Ipv6Src | Field::Ipv6Dst | Field::Ipv6Label => return true,
            Field::IpDscp | Field::IpEcn | Field::IpTtl => return true,
            Field::ArpOp | Field::ArpSha | Field::ArpSpa | Field::ArpTha | Field::ArpTpa => return true,
            _ => return false,
        }
        self.key_mut().set(field, new);
        true
    }

    fn set_tos(&mut self, l3: usize, tos: u8, v6: bool) {
        let Some(&[first, second]) = self.head().get(l3..l3 + 2) else { return };
        if v6 {
            self.replace(l3, &[first & 0xf0 | tos >> 4, second & 0xf | tos << 4], Covered::None);
        } else {
            self.replace(l3, &[first, tos], Covered::Ip);
        }
    }

    /// The type of the first option, if it holds a link-layer address and is to hold the other one: a solicitation becomes its answer.
    fn set_nd_option_type(&mut self, l4: usize, kind: u8) {
        let is_address = |kind: u8| matches!(kind, 1 | 2);
        if let Some(&[found, 1]) = self.head().get(l4 + 24..l4 + 26)
            && is_address(found)
            && is_address(kind)
        {
            self.replace(l4 + 24, &[kind, 1], Covered::Transport);
        }
    }

    /// The link-layer address of an option of neighbour discovery (RFC 4861, 4.6.1), if it is there.
    fn set_nd_option(&mut self, l4: usize, kind: u8, address: &[u8]) {
        let mut at = l4 + 24;
        while let Some(&[found, units]) = self.head().get(at..at + 2) {
            if units == 0 {
                return;
            }
            if found == kind && units == 1 {
                self.replace(at + 2, address, Covered::Transport);
                return;
            }
            at += usize::from(units) * 8;
        }
    }
}
