//! From a frame to its [`Key`], as Open vSwitch's `miniflow_extract` does it: a switch that is programmed for one must see the same
//! fields in the same packet in the other, in malformed ones too.

mod l3;
pub(crate) mod l4;

use crate::place::HEADER_RANGES;
use crate::{Field, Inner, Key};
use l3::{arp, ipv4, ipv6};

/// VLAN tags that can be told apart, whatever the limit that is asked for.
pub const VLAN_LIMIT_MAX: usize = 2;
/// MPLS labels that are kept; more are skipped.
const MPLS_LABELS: usize = 3;
/// IPv6 extension headers that are followed. Real packets have at most four or five; this bounds the work that a packet can cause.
pub const EXTENSION_HEADERS_MAX: usize = 64;

pub const ETH_TYPE_IPV4: u16 = 0x0800;
pub const ETH_TYPE_ARP: u16 = 0x0806;
pub const ETH_TYPE_RARP: u16 = 0x8035;
pub const ETH_TYPE_IPV6: u16 = 0x86dd;
pub const ETH_TYPE_VLAN: u16 = 0x8100;
pub const ETH_TYPE_QINQ: u16 = 0x88a8;
pub const ETH_TYPE_MPLS: u16 = 0x8847;
pub const ETH_TYPE_MPLS_MULTICAST: u16 = 0x8848;
/// The [`Field::EthType`] of a frame with a length in place of a type, and no SNAP header that has one (OpenFlow 1.5, 7.2.3.8).
pub const ETH_TYPE_NONE: u16 = 0x05ff;
/// Lower values are lengths (IEEE 802.3, 3.2.6).
const ETH_TYPE_MIN: u16 = 0x0600;
const ETH_HEADER: usize = 14;

/// Of [`Field::VlanTci`]: a tag is there.
pub const VLAN_PRESENT: u16 = 0x1000;
/// Of [`Field::IpFrag`]: a fragment.
pub const FRAG_ANY: u8 = 1;
/// Of [`Field::IpFrag`]: not the first one, so without a transport header.
pub const FRAG_LATER: u8 = 2;

/// What is wrong with a frame. Its key has the fields before the fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Malformed {
    /// Shorter than an Ethernet header: the key has metadata only.
    Ethernet,
    /// Ends within a VLAN tag.
    Vlan,
    /// Ends before the bottom of the label stack.
    Mpls,
    /// Ends within an ARP packet, or is not of IPv4 over Ethernet.
    Arp,
    /// Shorter than an IPv4 header.
    Ipv4,
    /// The IPv4 header's length is less than 20 bytes, or more than there is.
    Ipv4HeaderLength,
    /// The IPv4 total length is less than the header's, or more than there is, or leaves over 64 KiB of padding.
    Ipv4TotalLength,
    /// Shorter than an IPv6 header.
    Ipv6,
    /// The IPv6 payload length is more than there is, or leaves over 64 KiB of padding.
    Ipv6PayloadLength,
    /// Ends within an IPv6 extension header.
    Ipv6Extension,
    /// More than [`EXTENSION_HEADERS_MAX`].
    Ipv6Extensions,
    /// Ends within the header of TCP, UDP, SCTP, ICMP, ICMPv6 or IGMP.
    Transport,
    /// Ends within a neighbour discovery message, or has one address option twice.
    NeighbourDiscovery,
    /// Not malformed, but the slice that was given ends before what had to be looked at: give more of the frame.
    Cut,
}

/// A frame, taken apart. Offsets are from its first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parsed {
    pub key: Key,
    /// Of the MPLS label stack, if there is one.
    pub mpls_offset: Option<u16>,
    /// Of what follows Ethernet, VLAN and MPLS; none without an Ethernet header.
    pub l3_offset: Option<u16>,
    /// Of what follows a sound IPv4 or IPv6 header and its extensions.
    pub l4_offset: Option<u16>,
    /// Bytes behind the IP packet.
    pub padding_bytes: u16,
    pub malformed: Option<Malformed>,
}

/// What is left of the frame.
struct Input<'a> {
    data: &'a [u8],
    /// What is left of the frame, of which `data` may be a part only.
    size: usize,
}

impl<'a> Input<'a> {
    /// The next bytes, without taking them.
    #[inline]
    fn peek<const N: usize>(&self, short: Malformed) -> Result<&'a [u8; N], Malformed> {
        if self.size < N {
            return Err(short);
        }
        self.data.first_chunk().ok_or(Malformed::Cut)
    }

    #[inline]
    fn take<const N: usize>(&mut self, short: Malformed) -> Result<&'a [u8; N], Malformed> {
        let bytes = self.peek(short)?;
        self.skip(N, short)?;
        Ok(bytes)
    }

    /// Bytes beyond the slice can be skipped, but nothing behind them be looked at.
    #[inline]
    fn skip(&mut self, count: usize, short: Malformed) -> Result<(), Malformed> {
        if self.size < count {
            return Err(short);
        }
        self.data = self.data.get(count..).unwrap_or(&[]);
        self.size -= count;
        Ok(())
    }
}

#[inline]
fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]))
}

#[inline]
fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

#[inline]
fn be48(bytes: &[u8], at: usize) -> u64 {
    u64::from(be16(bytes, at)) << 32 | u64::from(be32(bytes, at + 2))
}

/// Takes a frame apart.
///
/// `head` is the frame, or its beginning; `frame_bytes` is the frame's size. `template` has what is known of the packet beside its
/// bytes (port, recirculation, tunnel, connection, registers); its header fields are ignored. At most `vlan_limit` tags are taken for
/// tags (`other_config:vlan-limit`, of which Open vSwitch's default is 1), at most [`VLAN_LIMIT_MAX`]: what follows is the type.
///
/// `ct_nw_*`, `ct_ipv6_*` and `ct_tp_*` are kept as far as the packet is of that kind, as Open vSwitch does.
pub fn parse(head: &[u8], frame_bytes: usize, template: &Key, vlan_limit: usize) -> Parsed {
    let mut parsed = Parsed::default();
    parse_into(&mut parsed, head, frame_bytes, template, vlan_limit);
    parsed
}

/// As [`parse`], into a place of the caller's: a `Parsed` is large enough for its copies to be felt.
pub fn parse_into(parsed: &mut Parsed, head: &[u8], frame_bytes: usize, template: &Key, vlan_limit: usize) {
    parsed.key = *template;
    parsed.mpls_offset = None;
    parsed.l3_offset = None;
    parsed.l4_offset = None;
    parsed.padding_bytes = 0;
    for range in HEADER_RANGES {
        parsed.key.words[range].fill(0);
    }
    let frame_bytes = frame_bytes.max(head.len());
    let mut input = Input { data: head, size: frame_bytes };
    parsed.malformed = frame(&mut input, frame_bytes, parsed, vlan_limit.min(VLAN_LIMIT_MAX)).err();
    if template.words[CT_WORD] != 0 {
        keep_original_tuple(parsed);
    }
}

/// Of [`Field::CtNwProto`], `CtTpSrc`, `CtTpDst`, and `CtZone`, which stays.
const CT_WORD: usize = 23;

/// The original tuple is of the packet's own IP version, or is not there; its ports are there only if the packet's are.
#[cold]
fn keep_original_tuple(parsed: &mut Parsed) {
    let key = &mut parsed.key;
    let ip = if parsed.l4_offset.is_some() { key.get_u64(Field::EthType) as u16 } else { 0 };
    let v6 = key.get(Field::CtIpv6Src) != 0 || key.get(Field::CtIpv6Dst) != 0;
    if !(ip == ETH_TYPE_IPV4 && !v6 || ip == ETH_TYPE_IPV6 && v6) || key.get_u64(Field::CtState) == 0 {
        for field in [Field::CtNwProto, Field::CtNwSrc, Field::CtNwDst, Field::CtIpv6Src, Field::CtIpv6Dst] {
            key.set(field, 0);
        }
        key.set(Field::CtTpSrc, 0);
        key.set(Field::CtTpDst, 0);
    } else if !l4::has_ports(key, parsed.malformed) {
        key.set(Field::CtTpSrc, 0);
        key.set(Field::CtTpDst, 0);
    }
}

#[inline]
fn offset(frame_bytes: usize, input: &Input) -> Option<u16> {
    u16::try_from(frame_bytes - input.size).ok()
}

#[inline]
fn frame(input: &mut Input, frame_bytes: usize, parsed: &mut Parsed, vlan_limit: usize) -> Result<(), Malformed> {
    if input.size < ETH_HEADER {
        return Err(Malformed::Ethernet);
    }
    let addresses: &[u8; 12] = input.take(Malformed::Ethernet)?;
    parsed.key.words[1] = be48(addresses, 0) << 16;
    parsed.key.words[2] = be48(addresses, 6) << 16;
    let mut cut_tag = false;
    let mut eth_type = be16(input.peek::<2>(Malformed::Ethernet)?, 0);
    if matches!(eth_type, ETH_TYPE_VLAN | ETH_TYPE_QINQ) {
        cut_tag = tags(input, &mut parsed.key, vlan_limit)?;
        eth_type = be16(input.peek::<2>(Malformed::Ethernet)?, 0);
    }
    input.skip(2, Malformed::Ethernet)?;
    if eth_type < ETH_TYPE_MIN {
        eth_type = snap(input)?;
    }
    parsed.key.words[1] |= u64::from(eth_type);
    if matches!(eth_type, ETH_TYPE_MPLS | ETH_TYPE_MPLS_MULTICAST) {
        parsed.mpls_offset = offset(frame_bytes, input);
        let complete = labels(input, &mut parsed.key);
        parsed.l3_offset = offset(frame_bytes, input);
        return complete;
    }
    parsed.l3_offset = offset(frame_bytes, input);
    match eth_type {
        ETH_TYPE_IPV4 => ipv4(input, frame_bytes, parsed),
        ETH_TYPE_IPV6 => ipv6(input, frame_bytes, parsed),
        ETH_TYPE_ARP | ETH_TYPE_RARP => arp(input, &mut parsed.key),
        _ if cut_tag => Err(Malformed::Vlan),
        _ => Ok(()),
    }
}

/// Takes tags, of which the input starts with one; true if the last one is cut off, and so is not taken.
fn tags(input: &mut Input, key: &mut Key, limit: usize) -> Result<bool, Malformed> {
    for part in
        [(Field::VlanTci, Inner::VlanTpid), (Field::VlanTci, Inner::Vlan1Tpid)].into_iter().enumerate().take(limit)
    {
        let tpid = be16(input.peek::<2>(Malformed::Ethernet)?, 0);
        if !matches!(tpid, ETH_TYPE_VLAN | ETH_TYPE_QINQ) {
            return Ok(false);
        }
        // The tag, and the type behind it.
        if input.size < 6 {
            return Ok(true);
        }
        let tci = be16(input.take::<4>(Malformed::Vlan)?, 2) | VLAN_PRESENT;
        let (depth, (outer, tpid_part)) = part;
        if depth == 0 {
            key.set(outer, u128::from(tci));
        } else {
            key.set_inner(Inner::Vlan1Tci, u32::from(tci));
        }
        key.set_inner(tpid_part, u32::from(tpid));
    }
    Ok(false)
}

/// The type of a frame with a length: behind LLC and SNAP headers (IEEE 802.2), if they are there.
#[cold]
fn snap(input: &mut Input) -> Result<u16, Malformed> {
    const LLC_SNAP_ETHERNET: [u8; 6] = [0xaa, 0xaa, 0x03, 0, 0, 0];
    if input.size < 8 {
        return Ok(ETH_TYPE_NONE);
    }
    let header: &[u8; 8] = input.peek(Malformed::Ethernet)?;
    if header[..6] != LLC_SNAP_ETHERNET {
        return Ok(ETH_TYPE_NONE);
    }
    input.skip(8, Malformed::Ethernet)?;
    let eth_type = be16(header, 6);
    Ok(if eth_type >= ETH_TYPE_MIN { eth_type } else { ETH_TYPE_NONE })
}

#[cold]
fn labels(input: &mut Input, key: &mut Key) -> Result<(), Malformed> {
    const BOTTOM: u32 = 1 << 8;
    let parts = [Inner::MplsLse0, Inner::MplsLse1, Inner::MplsLse2];
    let mut depth = 0;
    loop {
        let entry = be32(input.take::<4>(Malformed::Mpls)?, 0);
        if depth < MPLS_LABELS {
            key.set_inner(parts[depth], entry);
        }
        depth += 1;
        if entry & BOTTOM != 0 {
            return Ok(());
        }
    }
}
