//! Matches: a list of fields, in OXM or NXM.

use super::{OxmField, Prerequisite, bytes_in, decode_entry, encode_entry, ones};
use crate::wire::{Put, Reader, padded};
use crate::{Context, ErrorCode, PortNo, Version};
use hive_flow::{Field, Match};

/// OFPMT_*, and the length of the first.
const MATCH_TYPE_STANDARD: u16 = 0;
const MATCH_TYPE_OXM: u16 = 1;
const MATCH_STANDARD_BYTES: u16 = 88;
/// Bytes of `ofp11_match_header`.
const MATCH_HEADER_BYTES: usize = 4;
/// NXM_NX_COOKIE without mask, and with: not a field, but flows of that cookie (`nx_flow_mod`).
const NXM_COOKIE: u32 = 0x0001_3c08;
const NXM_COOKIE_MASKED: u32 = 0x0001_3d10;
const VLAN_CFI: u128 = 0x1000;
const PACKET_TYPE_ETHERNET: u128 = 0;

/// Flows whose cookie agrees where the mask has ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CookieMask {
    pub cookie: u64,
    pub mask: u64,
}

/// What prerequisites are checked against: what a match says for sure, changed by what actions do.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    packet_type: Option<u128>,
    eth_type: u16,
    pub(crate) ip_proto: u8,
    pub(crate) vlan: bool,
    icmp_type: Option<u128>,
    icmp_code: Option<u128>,
    later_fragment: bool,
    /// Values asked for, and the mask.
    ct_state: (u128, u128),
}

const ETH_TYPE_IP: u16 = 0x0800;
const ETH_TYPE_ARP: u16 = 0x0806;
const ETH_TYPE_RARP: u16 = 0x8035;
const ETH_TYPE_IPV6: u16 = 0x86dd;
const ETH_TYPE_MPLS: u16 = 0x8847;
const ETH_TYPE_MPLS_MULTICAST: u16 = 0x8848;
const IP_PROTO_ICMP: u8 = 1;
pub(crate) const IP_PROTO_TCP: u8 = 6;
pub(crate) const IP_PROTO_UDP: u8 = 17;
const IP_PROTO_ICMPV6: u8 = 58;
pub(crate) const IP_PROTO_SCTP: u8 = 132;
const ND_SOLICIT: u128 = 135;
const ND_ADVERT: u128 = 136;
/// new, established, related, reply, source NAT, destination NAT: each implies a connection.
const CT_STATE_VALID: u128 = 0x01 | 0x02 | 0x04 | 0x08 | 0x40 | 0x80;
const CT_STATE_INVALID: u128 = 0x10;
const CT_STATE_TRACKED: u128 = 0x20;

impl Facts {
    pub(crate) fn of(flow: &Match) -> Self {
        let ct_state = flow.get(Field::CtState);
        Self {
            packet_type: flow.exact(Field::PacketType),
            eth_type: flow.exact(Field::EthType).unwrap_or(0) as u16,
            ip_proto: flow.exact(Field::IpProto).unwrap_or(0) as u8,
            vlan: flow.get(Field::VlanTci).value & VLAN_CFI != 0,
            icmp_type: flow.exact(Field::IcmpType),
            icmp_code: flow.exact(Field::IcmpCode),
            later_fragment: flow.get(Field::IpFrag).value & 2 != 0,
            ct_state: (ct_state.value, ct_state.mask),
        }
    }

    /// The payload's type, whether the packet begins with an Ethernet header or is without one.
    pub(crate) fn eth_type(&self) -> u16 {
        match self.packet_type {
            Some(packet_type) if packet_type >> 16 == 1 => packet_type as u16,
            _ => self.eth_type,
        }
    }

    /// An action has replaced the payload's type.
    pub(crate) fn set_eth_type(&mut self, eth_type: u16) {
        self.eth_type = eth_type;
    }

    pub(crate) fn is_ethernet(&self) -> bool {
        self.packet_type.unwrap_or(PACKET_TYPE_ETHERNET) == PACKET_TYPE_ETHERNET
    }

    pub(crate) fn is_ipv4(&self) -> bool {
        self.eth_type() == ETH_TYPE_IP
    }

    pub(crate) fn is_ipv6(&self) -> bool {
        self.eth_type() == ETH_TYPE_IPV6
    }

    pub(crate) fn is_ip(&self) -> bool {
        self.is_ipv4() || self.is_ipv6()
    }

    pub(crate) fn is_mpls(&self) -> bool {
        is_mpls(self.eth_type())
    }

    pub(crate) fn has_ports(&self) -> bool {
        let with_ports = matches!(self.ip_proto, IP_PROTO_TCP | IP_PROTO_UDP | IP_PROTO_SCTP);
        self.is_ip() && !self.later_fragment && with_ports
    }

    fn is_arp(&self) -> bool {
        matches!(self.eth_type(), ETH_TYPE_ARP | ETH_TYPE_RARP)
    }

    fn is_transport(&self, proto: u8) -> bool {
        self.is_ip() && self.ip_proto == proto && !self.later_fragment
    }

    fn is_icmpv6(&self) -> bool {
        self.is_ipv6() && self.ip_proto == IP_PROTO_ICMPV6 && !self.later_fragment
    }

    fn is_nd(&self, icmp_type: u128) -> bool {
        // A code that is not asked for counts as 0, as in Open vSwitch.
        self.is_icmpv6() && self.icmp_code.unwrap_or(0) == 0 && self.icmp_type == Some(icmp_type)
    }

    /// Whether the connection's original addresses are there to match on.
    pub(crate) fn is_ct_valid(&self) -> bool {
        let (value, mask) = self.ct_state;
        let not_invalid = mask & CT_STATE_INVALID != 0 && value & CT_STATE_INVALID == 0;
        value & CT_STATE_VALID != 0 || value & CT_STATE_TRACKED != 0 && not_invalid
    }

    pub(crate) fn is_ct_invalid(&self) -> bool {
        self.ct_state.0 & CT_STATE_INVALID != 0
    }

    pub(crate) fn allow(&self, prerequisite: Prerequisite) -> bool {
        match prerequisite {
            Prerequisite::None => true,
            Prerequisite::Ethernet => self.is_ethernet(),
            Prerequisite::Vlan => self.is_ethernet() && self.vlan,
            Prerequisite::Arp => self.is_arp(),
            Prerequisite::Mpls => self.is_mpls(),
            Prerequisite::Ipv4 => self.is_ipv4(),
            Prerequisite::Ipv6 => self.is_ipv6(),
            Prerequisite::Ip => self.is_ip(),
            Prerequisite::Tcp => self.is_transport(IP_PROTO_TCP),
            Prerequisite::Udp => self.is_transport(IP_PROTO_UDP),
            Prerequisite::Sctp => self.is_transport(IP_PROTO_SCTP),
            Prerequisite::Icmpv4 => self.is_ipv4() && self.ip_proto == IP_PROTO_ICMP && !self.later_fragment,
            Prerequisite::Icmpv6 => self.is_icmpv6(),
            Prerequisite::Nd => self.is_nd(ND_SOLICIT) || self.is_nd(ND_ADVERT),
            Prerequisite::NdSolicit => self.is_nd(ND_SOLICIT),
            Prerequisite::NdAdvert => self.is_nd(ND_ADVERT),
            Prerequisite::Ct => self.is_ct_valid(),
        }
    }

    pub(crate) fn allow_field(&self, field: OxmField) -> bool {
        self.allow(field.spec().prerequisite)
    }
}

pub(crate) fn is_mpls(eth_type: u16) -> bool {
    matches!(eth_type, ETH_TYPE_MPLS | ETH_TYPE_MPLS_MULTICAST)
}

/// Whether the match asks for any bit of the field already.
fn is_matched(flow: &Match, field: OxmField) -> bool {
    field.parts().any(|part| {
        let bits = u128::MAX >> (128 - part.bits) << part.offset;
        flow.get(part.field).mask & bits != 0
    })
}

/// Ask for a value of a view. What its parts do not hold is dropped.
pub(super) fn set_view(flow: &mut Match, field: OxmField, value: u128, mask: u128) -> Result<(), ErrorCode> {
    match field {
        OxmField::InPort => flow.exactly(Field::InPort, value & 0xffff),
        OxmField::InPortOxm | OxmField::ActsetOutput => {
            let port = PortNo::from_wide(value as u32).map_err(|_| ErrorCode::MatchBadValue)?;
            let state = if field == OxmField::InPortOxm { Field::InPort } else { Field::ActsetOutput };
            flow.exactly(state, port.0.into());
        }
        OxmField::TunMetadata(index) => flow.set(Field::TunMetadata(index), value, mask),
        field => {
            for part in field.parts() {
                let bits = u128::MAX >> (128 - part.bits);
                let shift = |view: u128| (view >> part.view_offset & bits) << part.offset;
                flow.set(part.field, shift(value), shift(mask));
            }
            if field == OxmField::VlanPcp {
                // A priority is a tag's: there must be one.
                flow.set(Field::VlanTci, VLAN_CFI, VLAN_CFI);
            }
        }
    }
    Ok(())
}

/// Value and mask of a view, as the match asks for it.
fn get_view(flow: &Match, field: OxmField) -> (u128, u128) {
    let mut view = (0, 0);
    for part in field.parts() {
        let masked = flow.get(part.field);
        let bits = u128::MAX >> (128 - part.bits);
        view.0 |= (masked.value >> part.offset & bits) << part.view_offset;
        view.1 |= (masked.mask >> part.offset & bits) << part.view_offset;
    }
    view
}

/// Read fields. `cookie` is given where NXM_NX_COOKIE may stand. `loose`: unknown fields are skipped and prerequisites not asked for.
fn decode_fields(
    bytes: &[u8],
    mut cookie: Option<&mut CookieMask>,
    loose: bool,
    context: &Context,
) -> Result<Match, ErrorCode> {
    let mut reader = Reader::new(bytes, ErrorCode::MatchBadLen);
    let mut flow = Match::default();
    while !reader.is_empty() {
        let entry = decode_entry(&mut reader, true, context)?;
        let Some(field) = entry.field else {
            match (&mut cookie, entry.raw) {
                (Some(CookieMask { mask: 1.., .. }), NXM_COOKIE | NXM_COOKIE_MASKED) => {
                    return Err(ErrorCode::MatchDupField);
                }
                (Some(cookie), NXM_COOKIE) => **cookie = CookieMask { cookie: entry.value as u64, mask: u64::MAX },
                (Some(cookie), NXM_COOKIE_MASKED) => {
                    **cookie = CookieMask { cookie: entry.value as u64, mask: entry.mask as u64 };
                }
                _ if loose => {}
                _ => return Err(ErrorCode::MatchBadField),
            }
            continue;
        };
        let whole = ones(bytes_in(field, context));
        if !field.spec().maskable && entry.mask != 0 && entry.mask != whole {
            return Err(ErrorCode::MatchBadMask);
        }
        if entry.value & !field.valid_bits() != 0 && !matches!(field, OxmField::InPortOxm | OxmField::ActsetOutput) {
            return Err(ErrorCode::MatchBadValue);
        }
        if !loose && !Facts::of(&flow).allow_field(field) {
            return Err(ErrorCode::MatchBadPrereq);
        }
        // What Ethernet frames have is a match on the packet's type too.
        let says_type = field == OxmField::PacketType && !loose && implies_ethernet(&flow);
        if says_type || is_matched(&flow, field) {
            return Err(ErrorCode::MatchDupField);
        }
        if entry.mask != 0 {
            set_view(&mut flow, field, entry.value, entry.mask)?;
        }
    }
    Ok(without_implied_ethernet(flow))
}

/// A match on what Ethernet frames have need not say that it means Ethernet.
fn without_implied_ethernet(flow: Match) -> Match {
    if flow.exact(Field::PacketType) != Some(PACKET_TYPE_ETHERNET) || !implies_ethernet(&flow) {
        return flow;
    }
    let mut kept = Match::default();
    for (field, masked) in flow.iter().filter(|(field, _)| *field != Field::PacketType) {
        kept.set(field, masked.value, masked.mask);
    }
    kept
}

/// Whether any field asked for has a prerequisite: then Ethernet is one.
fn implies_ethernet(flow: &Match) -> bool {
    flow.iter().any(|(field, _)| {
        !matches!(
            field,
            Field::InPort
                | Field::ActsetOutput
                | Field::PacketType
                | Field::Metadata
                | Field::Reg(_)
                | Field::PktMark
                | Field::SkbPriority
                | Field::DpHash
                | Field::RecircId
                | Field::ConjId
                | Field::TunId
                | Field::TunSrc
                | Field::TunDst
                | Field::TunIpv6Src
                | Field::TunIpv6Dst
                | Field::TunFlags
                | Field::TunGbpId
                | Field::TunGbpFlags
                | Field::TunMetadata(_)
                | Field::CtState
                | Field::CtZone
                | Field::CtMark
                | Field::CtLabel
        )
    })
}

/// `ofp_match` of OpenFlow 1.2 and later, with its padding.
pub(crate) fn decode_match(reader: &mut Reader<'_>, context: &Context) -> Result<Match, ErrorCode> {
    let mut header = Reader::new(reader.rest(), ErrorCode::MatchBadLen);
    match (header.u16()?, header.u16()?) {
        (MATCH_TYPE_OXM, _) => {}
        // That of OpenFlow 1.1 is not spoken, but its length is looked at first.
        (MATCH_TYPE_STANDARD, length) if length != MATCH_STANDARD_BYTES || reader.remaining() < length.into() => {
            return Err(ErrorCode::MatchBadLen);
        }
        _ => return Err(ErrorCode::MatchBadType),
    }
    decode_fields(match_bytes(reader)?, None, false, context)
}

/// As [`decode_match`], of a packet's metadata: unknown fields are skipped, and addresses need no Ethernet type.
pub(crate) fn decode_loose(reader: &mut Reader<'_>, context: &Context) -> Result<Match, ErrorCode> {
    decode_fields(match_bytes(reader)?, None, true, context)
}

/// Fields without a header before them, loosely: of a packet's metadata.
pub(crate) fn decode_raw(bytes: &[u8], context: &Context) -> Result<Match, ErrorCode> {
    decode_fields(bytes, None, true, context)
}

fn match_bytes<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], ErrorCode> {
    let mut header = Reader::new(reader.rest(), ErrorCode::MatchBadLen);
    let (kind, length) = (header.u16()?, usize::from(header.u16()?));
    let content = length.checked_sub(MATCH_HEADER_BYTES).ok_or(ErrorCode::MatchBadLen)?;
    if kind != MATCH_TYPE_OXM {
        return Err(ErrorCode::MatchBadType);
    }
    let mut whole = Reader::new(reader.rest(), ErrorCode::MatchBadLen);
    whole.skip(padded(length))?;
    reader.skip(padded(length))?;
    header.take(content)
}

/// `nx_match`: `length` bytes of fields, padded.
pub(crate) fn decode_nxm(
    reader: &mut Reader<'_>,
    length: usize,
    cookie: Option<&mut CookieMask>,
    loose: bool,
    context: &Context,
) -> Result<Match, ErrorCode> {
    if reader.remaining() < padded(length) {
        return Err(ErrorCode::MatchBadLen);
    }
    let bytes = reader.take(padded(length))?;
    decode_fields(bytes.get(..length).unwrap_or_default(), cookie, loose, context)
}

/// Write `ofp_match` of OpenFlow 1.2 and later, padded.
pub(crate) fn encode_match(flow: &Match, out: &mut Vec<u8>, context: &Context) {
    let start = out.len();
    out.u16(MATCH_TYPE_OXM);
    out.u16(0);
    encode_fields(flow, Some(context.version), out, context);
    out.set_length(start, 2);
    out.pad(start);
}

/// Write `ofp_match` whose fields lack what they depend on, as packet-ins have it.
pub(crate) fn encode_loose(flow: &Match, out: &mut Vec<u8>, context: &Context) {
    encode_match(flow, out, context);
}

/// Write `nx_match` and its padding; returns its length without.
pub(crate) fn encode_nxm(flow: &Match, cookie: CookieMask, out: &mut Vec<u8>, context: &Context) -> u16 {
    let start = out.len();
    encode_fields(flow, None, out, context);
    if cookie.mask != 0 {
        let masked = cookie.mask != u64::MAX;
        out.u32(if masked { NXM_COOKIE_MASKED } else { NXM_COOKIE });
        out.u64(cookie.cookie & cookie.mask);
        if masked {
            out.u64(cookie.mask);
        }
    }
    let length = out.len() - start;
    out.pad(start);
    length.try_into().unwrap_or(u16::MAX)
}

/// Write fields in the order in which Open vSwitch does. `version` absent: NXM.
pub(crate) fn encode_fields(flow: &Match, version: Option<Version>, out: &mut Vec<u8>, context: &Context) {
    use OxmField as F;
    let facts = Facts::of(flow);
    let mut put = |field: F| {
        let (value, mask) = match field {
            F::InPortOxm | F::ActsetOutput => {
                let state = if field == F::InPortOxm { Field::InPort } else { Field::ActsetOutput };
                match flow.exact(state) {
                    Some(port) => (PortNo(port as u16).wide().into(), u128::MAX),
                    None => (0, 0),
                }
            }
            field => get_view(flow, field),
        };
        if mask != 0 {
            // Bits beyond a field's width do not vary: all of those within is all.
            let covers_all = field.parts().all(|part| {
                let bits = u128::MAX >> (128 - part.bits);
                mask >> part.view_offset & bits == bits
            });
            let option_covered = matches!(field, F::TunMetadata(_)) && mask == ones(bytes_in(field, context));
            let mask = if covers_all || option_covered { u128::MAX } else { mask };
            encode_entry(out, field, version, value, mask, context);
        }
    };
    put(F::PacketType);
    for field in [F::DpHash, F::RecircId, F::ConjId] {
        put(field);
    }
    put(if version.is_some() { F::InPortOxm } else { F::InPort });
    for field in [F::ActsetOutput, F::EthSrc, F::EthDst, F::EthType] {
        put(field);
    }
    if version.is_some() {
        put(F::VlanVid);
        // Of packets without a tag there is no priority to ask for.
        if flow.get(Field::VlanTci).value & 0x1fff != 0 {
            put(F::VlanPcp);
        }
    } else {
        put(F::VlanTci);
    }
    if facts.is_mpls() {
        for field in [F::MplsTc, F::MplsBos, F::MplsTtl, F::MplsLabel] {
            put(field);
        }
    }
    if facts.is_ip() {
        let addresses = if facts.is_ipv4() { [F::Ipv4Src, F::Ipv4Dst] } else { [F::Ipv6Src, F::Ipv6Dst] };
        let dscp = if version.is_some() { F::IpDscp } else { F::IpTos };
        for field in [addresses[0], addresses[1], F::IpFrag, dscp, F::IpEcn, F::IpTtl, F::Ipv6Label, F::IpProto] {
            put(field);
        }
        let transport: &[F] = match facts.ip_proto {
            IP_PROTO_TCP => &[F::TcpSrc, F::TcpDst, F::TcpFlags],
            IP_PROTO_UDP => &[F::UdpSrc, F::UdpDst],
            IP_PROTO_SCTP => &[F::SctpSrc, F::SctpDst],
            IP_PROTO_ICMP if facts.is_ipv4() => &[F::Icmpv4Type, F::Icmpv4Code],
            IP_PROTO_ICMPV6 if facts.is_ipv6() => &[F::Icmpv6Type, F::Icmpv6Code],
            _ => &[],
        };
        transport.iter().copied().for_each(&mut put);
        if facts.allow(Prerequisite::Nd) {
            for field in [F::NdReserved, F::NdTarget, F::NdOptionsType] {
                put(field);
            }
            put(if facts.allow(Prerequisite::NdSolicit) { F::NdSll } else { F::NdTll });
        }
    } else if facts.is_arp() {
        for field in [F::ArpOp, F::ArpSpa, F::ArpTpa, F::ArpSha, F::ArpTha] {
            put(field);
        }
    }
    for field in
        [F::TunId, F::TunFlags, F::TunSrc, F::TunDst, F::TunIpv6Src, F::TunIpv6Dst, F::TunGbpId, F::TunGbpFlags]
    {
        put(field);
    }
    (0..hive_flow::TUNNEL_OPTIONS).map(F::TunMetadata).for_each(&mut put);
    // OpenFlow 1.5 has registers of 64 bits of its own.
    if version == Some(Version::V1_5) {
        (0..hive_flow::REGISTERS / 2).map(F::XReg).for_each(&mut put);
    } else {
        (0..hive_flow::REGISTERS).map(F::Reg).for_each(&mut put);
    }
    for field in [F::PktMark, F::CtState, F::CtZone, F::CtMark, F::CtLabel, F::CtNwSrc, F::CtIpv6Src, F::CtNwDst] {
        put(field);
    }
    put(F::CtIpv6Dst);
    for field in [F::CtNwProto, F::CtTpSrc, F::CtTpDst, F::Metadata] {
        put(field);
    }
}
