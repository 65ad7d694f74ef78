//! A packet as connection tracking sees it: which connection it is of, and whether it is sound enough to be of one.

use crate::tcp::{SYN, Segment, scale_option};
use crate::tuple::{Tuple, icmp_counterpart};
use hive_flow::{ETH_TYPE_IPV6, FRAG_ANY, FRAG_LATER, Field, PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP, Parsed};
use hive_packet::checksum::{fold, sum};

/// What is known of a packet's transport checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// To be verified.
    Unknown,
    /// Somebody has verified it, or nobody need.
    Good,
    /// The field holds the sum of the pseudo-header, the rest is to be computed when it leaves (virtio's `NEEDS_CSUM`).
    Partial,
    Bad,
}

/// An IPv4 or IPv6 packet within its frame.
#[derive(Debug)]
pub struct Packet<'a> {
    pub(crate) frame: &'a mut [u8],
    pub(crate) l3: usize,
    pub(crate) l4: usize,
    pub(crate) v6: bool,
    pub(crate) protocol: u8,
    pub(crate) fragment: u8,
    pub(crate) checksum: Checksum,
    /// Bytes of the packet behind `frame`, and their sum.
    pub(crate) tail_bytes: usize,
    tail_sum: u64,
}

/// The packet that an ICMP error is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quoted {
    pub l3: usize,
    pub l4: usize,
    pub protocol: u8,
}

/// What a packet says of its connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extracted {
    pub tuple: Tuple,
    /// Of an ICMP error: `tuple` is then that of a packet in the error's own direction.
    pub quoted: Option<Quoted>,
}

pub(crate) fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]))
}

pub(crate) fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]]))
}

/// Source and destination address of an IP header.
#[inline]
pub(crate) fn addresses(header: &[u8], v6: bool) -> Option<(u128, u128)> {
    if v6 {
        let both = header.get(8..40)?;
        let (source, destination) = both.split_first_chunk::<16>()?;
        Some((u128::from_be_bytes(*source), u128::from_be_bytes(destination.try_into().ok()?)))
    } else {
        Some((be32(header, 12)?.into(), be32(header, 16)?.into()))
    }
}

/// The sum of a pseudo-header.
pub(crate) fn pseudo_header(ip: &[u8], v6: bool, protocol: u8, length: usize) -> Option<u64> {
    let addresses = ip.get(if v6 { 8..40 } else { 12..20 })?;
    Some(sum(addresses) + u64::from(protocol) + length as u64)
}

/// The bytes of an ICMP message before what it quotes, or carries.
pub(crate) const ICMP_HEADER: usize = 8;

impl<'a> Packet<'a> {
    /// None if it is no IP packet, or is malformed before its transport header. `frame` is the whole frame, and what `parsed` is of.
    pub fn new(frame: &'a mut [u8], parsed: &Parsed, checksum: Checksum) -> Option<Self> {
        let frame_bytes = frame.len();
        Self::cut(frame, frame_bytes, parsed, checksum, 0)
    }

    /// As [`Self::new`], of a frame of `frame_bytes` of which only the beginning is at hand. It has the whole transport header, of ICMP
    /// and where a helper is at work the whole packet. `tail_sum` is the sum of what is behind (without padding), as 16-bit words
    /// from there; it counts only if the checksum is unknown.
    pub fn cut(
        head: &'a mut [u8],
        frame_bytes: usize,
        parsed: &Parsed,
        checksum: Checksum,
        tail_sum: u64,
    ) -> Option<Self> {
        let (l3, l4) = (usize::from(parsed.l3_offset?), usize::from(parsed.l4_offset?));
        // Padding is nobody's.
        let end = frame_bytes.checked_sub(usize::from(parsed.padding_bytes))?;
        let held = head.len().min(end);
        let frame = head.get_mut(..held)?;
        if l3 > l4 || l4 > held {
            return None;
        }
        Some(Self {
            frame,
            l3,
            l4,
            v6: parsed.key.get_u64(Field::EthType) as u16 == ETH_TYPE_IPV6,
            protocol: parsed.key.get_u64(Field::IpProto) as u8,
            fragment: parsed.key.get_u64(Field::IpFrag) as u8,
            checksum,
            tail_bytes: end - held,
            tail_sum,
        })
    }

    /// Bytes of the transport header and what it carries.
    pub(crate) fn transport_bytes(&self) -> usize {
        self.frame.len() - self.l4 + self.tail_bytes
    }

    /// The sum of what is not at hand, as part of the transport's.
    pub(crate) fn tail_sum(&self) -> u64 {
        match (self.frame.len() - self.l4) % 2 {
            0 => self.tail_sum,
            // The words begin at odd offsets (RFC 1071, 2B).
            _ => fold(self.tail_sum).swap_bytes().into(),
        }
    }

    pub(crate) fn is_first_fragment(&self) -> bool {
        self.fragment & (FRAG_ANY | FRAG_LATER) == FRAG_ANY
    }

    pub(crate) fn transport(&self) -> &[u8] {
        self.frame.get(self.l4..).unwrap_or(&[])
    }

    fn network(&self) -> &[u8] {
        self.frame.get(self.l3..).unwrap_or(&[])
    }

    /// None if it cannot be of any connection.
    #[inline]
    pub(crate) fn extract(&self, zone: u16, other_protocols: bool) -> Option<Extracted> {
        let ip = self.network();
        if !self.v6 && self.checksum != Checksum::Good && fold(sum(ip.get(..self.l4 - self.l3)?)) != 0xffff {
            return None;
        }
        let (source, destination) = addresses(ip, self.v6)?;
        let transport = self.transport();
        let (source_port, destination_port) = match (self.protocol, self.v6) {
            (PROTO_TCP, _) => {
                let header_bytes = usize::from(transport.get(12)? >> 4) * 4;
                if header_bytes < 20 || header_bytes > transport.len() {
                    return None;
                }
                ports(transport)?
            }
            (PROTO_UDP, _) => {
                let length = usize::from(be16(transport, 4)?);
                if length < 8 || length > self.transport_bytes() && !self.is_first_fragment() {
                    return None;
                }
                ports(transport)?
            }
            (PROTO_ICMP, false) | (PROTO_ICMPV6, true) => {
                if !self.sums_up(be16(transport, 2)? == 0) {
                    return None;
                }
                return self.icmp(source, destination, zone, other_protocols);
            }
            _ if other_protocols => (0, 0),
            _ => return None,
        };
        let no_checksum = match self.protocol {
            PROTO_UDP => !self.v6 && be16(transport, 6)? == 0,
            PROTO_TCP => false,
            _ => true,
        };
        if !self.sums_up(no_checksum) {
            return None;
        }
        let tuple = Tuple::new(self.v6, self.protocol, (source, source_port), (destination, destination_port), zone);
        Some(Extracted { tuple, quoted: None })
    }

    /// Whether the transport checksum is right, as far as it is for us to say. `none`: UDP over IPv4 without one, or a protocol
    /// without.
    fn sums_up(&self, none: bool) -> bool {
        match self.checksum {
            Checksum::Good | Checksum::Partial => true,
            Checksum::Bad => false,
            // Of a fragment there is no telling.
            Checksum::Unknown if self.fragment != 0 => true,
            Checksum::Unknown => {
                let transport = self.transport();
                let of_icmp = self.protocol == PROTO_ICMP && !self.v6;
                if none && !of_icmp {
                    return !(self.v6 && self.protocol == PROTO_ICMPV6);
                }
                let pseudo = if of_icmp {
                    Some(0)
                } else {
                    pseudo_header(self.network(), self.v6, self.protocol, self.transport_bytes())
                };
                pseudo.is_some_and(|pseudo| fold(pseudo + sum(transport) + self.tail_sum()) == 0xffff)
            }
        }
    }

    fn icmp(&self, source: u128, destination: u128, zone: u16, other_protocols: bool) -> Option<Extracted> {
        let message = self.transport();
        let header: &[u8; ICMP_HEADER] = message.first_chunk()?;
        let kind = header[0];
        if icmp_counterpart(self.v6, kind).is_some() {
            let ports = icmp_ports(header)?;
            let tuple = Tuple::new(self.v6, self.protocol, (source, ports.0), (destination, ports.1), zone);
            return Some(Extracted { tuple, quoted: None });
        }
        // Unreachable, source quench, redirect, time exceeded, parameter problem; in ICMPv6 all below 5, "packet too big" among them.
        let is_error = if self.v6 { (1..=4).contains(&kind) } else { matches!(kind, 3 | 4 | 5 | 11 | 12) };
        if !is_error || self.is_first_fragment() {
            return None;
        }
        let (quoted, inner) = self.quoted(zone, other_protocols)?;
        // What an error is about was sent by whom it goes to.
        if inner.source() != destination {
            return None;
        }
        Some(Extracted { tuple: inner.reversed(), quoted: Some(quoted) })
    }

    /// The packet within an ICMP error: at least its first 8 bytes behind the IP header (RFC 792).
    fn quoted(&self, zone: u16, other_protocols: bool) -> Option<(Quoted, Tuple)> {
        let l3 = self.l4 + ICMP_HEADER;
        let ip = self.frame.get(l3..)?;
        let (header_bytes, protocol) = if self.v6 {
            extension_bytes(ip)?
        } else {
            let header_bytes = usize::from(ip.first()? & 0xf) * 4;
            // A quoted fragment tells no ports.
            if header_bytes < 20 || be16(ip, 6)? & 0x3fff != 0 {
                return None;
            }
            (header_bytes, *ip.get(9)?)
        };
        let (source, destination) = addresses(ip, self.v6)?;
        let transport = ip.get(header_bytes..)?;
        let (source_port, destination_port) = match (protocol, self.v6) {
            // ICMPv6 quotes as much as there is (RFC 4443), and so Open vSwitch wants the whole header there.
            (PROTO_TCP, true) => ports(transport.get(..20)?)?,
            (PROTO_TCP | PROTO_UDP, _) => ports(transport.get(..8)?)?,
            (PROTO_ICMP, false) | (PROTO_ICMPV6, true) => icmp_ports(transport.first_chunk()?)?,
            _ if other_protocols => (0, 0),
            _ => return None,
        };
        let tuple = Tuple::new(self.v6, protocol, (source, source_port), (destination, destination_port), zone);
        Some((Quoted { l3, l4: l3 + header_bytes, protocol }, tuple))
    }

    /// Of a TCP packet that was extracted.
    #[inline]
    pub(crate) fn segment(&self) -> Option<Segment> {
        let tcp = self.transport();
        let flags = be16(tcp, 12)? & 0xfff;
        let header_bytes = usize::from(tcp.get(12)? >> 4) * 4;
        let scale = if flags & SYN != 0 { scale_option(tcp.get(20..header_bytes)?) } else { 0 };
        Some(Segment {
            flags,
            seq: be32(tcp, 4)?,
            ack: be32(tcp, 8)?,
            window: be16(tcp, 14)?,
            payload_bytes: u32::try_from(self.transport_bytes().checked_sub(header_bytes)?).ok()?,
            scale,
        })
    }
}

/// Port 0 is nobody's.
#[inline]
fn ports(transport: &[u8]) -> Option<(u16, u16)> {
    let (source, destination) = (be16(transport, 0)?, be16(transport, 2)?);
    (source != 0 && destination != 0).then_some((source, destination))
}

/// Identifier, and type with code, of a message that has a counterpart.
fn icmp_ports(header: &[u8; ICMP_HEADER]) -> Option<(u16, u16)> {
    let code = header[1];
    (code == 0).then(|| (u16::from_be_bytes([header[4], header[5]]), u16::from_be_bytes([header[0], code])))
}

/// The bytes of an IPv6 header and its extensions, and the protocol behind; none of fragments.
fn extension_bytes(ip: &[u8]) -> Option<(usize, u8)> {
    let (mut protocol, mut at) = (*ip.get(6)?, 40);
    for _ in 0..hive_flow::EXTENSION_HEADERS_MAX {
        let header = ip.get(at..at + 8);
        match protocol {
            0 | 43 | 60 => at += (usize::from(header?[1]) + 1) * 8,
            51 => at += (usize::from(header?[1]) + 2) * 4,
            44 if be16(header?, 2)? == 0 => at += 8,
            44 => return None,
            _ => return (at <= ip.len()).then_some((at, protocol)),
        }
        protocol = header?[0];
    }
    None
}
