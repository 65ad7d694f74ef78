//! `ofp10_match`: the fixed match of OpenFlow 1.0 (section 5.2.3).

use super::matching::{Facts, set_view};
use super::{OxmField, Prerequisite};
use crate::ErrorCode;
use crate::wire::{Put, Reader};
use hive_flow::{Field, Match};

pub(crate) const OFP10_MATCH_BYTES: usize = 40;

const IN_PORT: u32 = 1 << 0;
const DL_VLAN: u32 = 1 << 1;
const DL_SRC: u32 = 1 << 2;
const DL_DST: u32 = 1 << 3;
const DL_TYPE: u32 = 1 << 4;
const NW_PROTO: u32 = 1 << 5;
const TP_SRC: u32 = 1 << 6;
const TP_DST: u32 = 1 << 7;
const NW_SRC_SHIFT: u32 = 8;
const NW_DST_SHIFT: u32 = 14;
const DL_VLAN_PCP: u32 = 1 << 20;
const NW_TOS: u32 = 1 << 21;
/// OFPFW_ALL.
pub(crate) const WILDCARDS_ALL: u32 = (1 << 22) - 1;
/// OFP_VLAN_NONE: without tag.
const VLAN_NONE: u16 = 0xffff;
const VLAN_CFI: u128 = 0x1000;
const VLAN_PCP: u128 = 0xe000;
const VLAN_VID: u128 = 0x0fff;

/// The mask that a count of wildcarded low bits stands for; 32 and more wildcard all.
fn address_mask(wildcards: u32, shift: u32) -> u128 {
    let bits = wildcards >> shift & 0x3f;
    u32::MAX.checked_shl(bits).unwrap_or(0).into()
}

/// A mask's wildcarded low bits; of one that is no prefix, what Open vSwitch counts.
fn wildcarded_bits(mask: u128) -> u32 {
    (mask as u32).trailing_zeros()
}

/// Read the match; also whether it is exact, which gives a flow the highest priority. What its Ethernet type and protocol do not
/// allow is ignored, as OpenFlow 1.0.1 section 3.4 has it.
pub(crate) fn decode_ofp10(reader: &mut Reader<'_>) -> Result<(Match, bool), ErrorCode> {
    let wildcards = reader.u32()? & WILDCARDS_ALL;
    let in_port = reader.u16()?;
    let dl_src = super::number(reader.take(6)?);
    let dl_dst = super::number(reader.take(6)?);
    let (dl_vlan, dl_vlan_pcp) = (reader.u16()?, reader.u8()?);
    reader.skip(1)?;
    let dl_type = reader.u16()?;
    let (nw_tos, nw_proto) = (reader.u8()?, reader.u8()?);
    reader.skip(2)?;
    let (nw_src, nw_dst) = (u128::from(reader.u32()?), u128::from(reader.u32()?));
    let (tp_src, tp_dst) = (u128::from(reader.u16()?), u128::from(reader.u16()?));
    let asked = |bit: u32| wildcards & bit == 0;

    let mut flow = Match::default();
    let mut exactly = |bit: u32, field: Field, value: u128| {
        if asked(bit) {
            flow.exactly(field, value);
        }
    };
    exactly(IN_PORT, Field::InPort, in_port.into());
    exactly(DL_SRC, Field::EthSrc, dl_src);
    exactly(DL_DST, Field::EthDst, dl_dst);
    exactly(DL_TYPE, Field::EthType, dl_type.into());
    if asked(DL_VLAN) && dl_vlan == VLAN_NONE {
        flow.exactly(Field::VlanTci, 0);
    } else {
        if asked(DL_VLAN) {
            flow.set(Field::VlanTci, u128::from(dl_vlan) & VLAN_VID | VLAN_CFI, VLAN_VID | VLAN_CFI);
        }
        if asked(DL_VLAN_PCP) {
            flow.set(Field::VlanTci, u128::from(dl_vlan_pcp & 7) << 13 | VLAN_CFI, VLAN_PCP | VLAN_CFI);
        }
    }
    let facts = Facts::of(&flow);
    let addresses = if facts.is_ipv4() {
        Some((Field::Ipv4Src, Field::Ipv4Dst))
    } else if facts.allow(Prerequisite::Arp) {
        Some((Field::ArpSpa, Field::ArpTpa))
    } else {
        None
    };
    if let Some((source, destination)) = addresses {
        flow.set(source, nw_src, address_mask(wildcards, NW_SRC_SHIFT));
        flow.set(destination, nw_dst, address_mask(wildcards, NW_DST_SHIFT));
        if asked(NW_PROTO) {
            flow.exactly(if facts.is_ipv4() { Field::IpProto } else { Field::ArpOp }, nw_proto.into());
        }
    } else if facts.is_ipv6() && asked(NW_PROTO) {
        flow.exactly(Field::IpProto, nw_proto.into());
    }
    if facts.is_ip() && asked(NW_TOS) {
        flow.exactly(Field::IpDscp, (nw_tos >> 2).into());
    }
    let facts = Facts::of(&flow);
    let (source, destination) = if facts.allow(Prerequisite::Icmpv4) || facts.allow(Prerequisite::Icmpv6) {
        (OxmField::Icmpv4Type, OxmField::Icmpv4Code)
    } else if facts.has_ports() {
        (OxmField::TcpSrc, OxmField::TcpDst)
    } else {
        return Ok((flow, wildcards == 0));
    };
    if asked(TP_SRC) {
        set_view(&mut flow, source, tp_src, u128::MAX)?;
    }
    if asked(TP_DST) {
        set_view(&mut flow, destination, tp_dst, u128::MAX)?;
    }
    Ok((flow, wildcards == 0))
}

/// Write as much of a match as OpenFlow 1.0 can say.
pub(crate) fn encode_ofp10(flow: &Match, out: &mut Vec<u8>) {
    let facts = Facts::of(flow);
    let mut wildcards = 0;
    let mut value = |bit: u32, field: Field| {
        let masked = flow.get(field);
        if masked.mask == 0 {
            wildcards |= bit;
        }
        masked.value
    };
    let in_port = value(IN_PORT, Field::InPort) as u16;
    let (dl_src, dl_dst) = (value(DL_SRC, Field::EthSrc), value(DL_DST, Field::EthDst));
    let dl_type = value(DL_TYPE, Field::EthType) as u16;
    let nw_tos = value(NW_TOS, Field::IpDscp) as u8;
    let arp = !facts.is_ip();
    let nw_proto = value(NW_PROTO, if arp { Field::ArpOp } else { Field::IpProto }) as u8;
    let icmp = facts.allow(Prerequisite::Icmpv4) || facts.allow(Prerequisite::Icmpv6);
    let tp_src = value(TP_SRC, if icmp { Field::IcmpType } else { Field::TpSrc }) as u16;
    let tp_dst = value(TP_DST, if icmp { Field::IcmpCode } else { Field::TpDst }) as u16;
    let source = flow.get(if arp { Field::ArpSpa } else { Field::Ipv4Src });
    let destination = flow.get(if arp { Field::ArpTpa } else { Field::Ipv4Dst });
    wildcards |= wildcarded_bits(source.mask) << NW_SRC_SHIFT | wildcarded_bits(destination.mask) << NW_DST_SHIFT;

    let tci = flow.get(Field::VlanTci);
    let (mut dl_vlan, mut dl_vlan_pcp) = (0, 0);
    if tci.mask == 0 {
        wildcards |= DL_VLAN | DL_VLAN_PCP;
    } else if tci.mask & VLAN_CFI != 0 && tci.value & VLAN_CFI == 0 {
        dl_vlan = VLAN_NONE;
    } else {
        if tci.mask & VLAN_VID == 0 {
            wildcards |= DL_VLAN;
        } else {
            dl_vlan = (tci.value & VLAN_VID) as u16;
        }
        if tci.mask & VLAN_PCP == 0 {
            wildcards |= DL_VLAN_PCP;
        } else {
            dl_vlan_pcp = (tci.value >> 13) as u8;
        }
    }
    out.u32(wildcards);
    out.u16(in_port);
    out.number(dl_src, 6);
    out.number(dl_dst, 6);
    out.u16(dl_vlan);
    out.u8(dl_vlan_pcp);
    out.zeros(1);
    out.u16(dl_type);
    out.u8(nw_tos << 2);
    out.u8(nw_proto);
    out.zeros(2);
    out.u32(source.value as u32);
    out.u32(destination.value as u32);
    out.u16(tp_src);
    out.u16(tp_dst);
}
