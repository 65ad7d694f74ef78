//! IPv4, IPv6 and ARP.

use super::l4::transport;
use super::{EXTENSION_HEADERS_MAX, FRAG_ANY, FRAG_LATER, Input, Malformed, Parsed, be16, be32, be48, offset};
use crate::Key;

const IPV4_HEADER: usize = 20;
/// Of the fragment word: more fragments.
const IPV4_MORE: u16 = 0x2000;
const IPV4_OFFSET: u16 = 0x1fff;

pub(super) const PROTO_HOP_BY_HOP: u8 = 0;
pub(super) const PROTO_ROUTING: u8 = 43;
pub(super) const PROTO_FRAGMENT: u8 = 44;
pub(super) const PROTO_AH: u8 = 51;
pub(super) const PROTO_DESTINATION: u8 = 60;

/// The third word: protocol, TTL, type of service, fragment, label.
fn ip_word(protocol: u8, ttl: u8, tos: u8, frag: u8, label: u32) -> u64 {
    u64::from(protocol) << 56 | u64::from(ttl) << 48 | u64::from(tos) << 40 | u64::from(frag) << 32 | u64::from(label)
}

#[inline]
pub(super) fn ipv4(input: &mut Input, frame_bytes: usize, parsed: &mut Parsed) -> Result<(), Malformed> {
    let header: &[u8; IPV4_HEADER] = input.peek(Malformed::Ipv4)?;
    let header_bytes = usize::from(header[0] & 0xf) * 4;
    if header_bytes < IPV4_HEADER || input.size < header_bytes {
        return Err(Malformed::Ipv4HeaderLength);
    }
    let total_bytes = usize::from(be16(header, 2));
    if total_bytes > input.size || header_bytes > total_bytes {
        return Err(Malformed::Ipv4TotalLength);
    }
    parsed.padding_bytes = u16::try_from(input.size - total_bytes).map_err(|_| Malformed::Ipv4TotalLength)?;
    let fragment = be16(header, 6);
    let frag = if fragment & (IPV4_MORE | IPV4_OFFSET) == 0 {
        0
    } else if fragment & IPV4_OFFSET == 0 {
        FRAG_ANY
    } else {
        FRAG_ANY | FRAG_LATER
    };
    let protocol = header[9];
    parsed.key.words[4] = u64::from(be32(header, 12)) << 32 | u64::from(be32(header, 16));
    parsed.key.words[3] = ip_word(protocol, header[8], header[1], frag, 0);
    input.skip(header_bytes, Malformed::Ipv4HeaderLength)?;
    parsed.l4_offset = offset(frame_bytes, input);
    // Padding is not the transport's.
    input.size = total_bytes - header_bytes;
    if frag & FRAG_LATER != 0 { Ok(()) } else { transport(input, &mut parsed.key, protocol) }
}

#[inline]
pub(super) fn ipv6(input: &mut Input, frame_bytes: usize, parsed: &mut Parsed) -> Result<(), Malformed> {
    let header: &[u8; 40] = input.take(Malformed::Ipv6)?;
    let payload_bytes = usize::from(be16(header, 4));
    if payload_bytes > input.size {
        return Err(Malformed::Ipv6PayloadLength);
    }
    let padding = input.size - payload_bytes;
    parsed.padding_bytes = u16::try_from(padding).map_err(|_| Malformed::Ipv6PayloadLength)?;
    input.size = payload_bytes;
    for (word, at) in [(8, 8), (9, 16), (10, 24), (11, 32)] {
        parsed.key.words[word] = u64::from(be32(header, at)) << 32 | u64::from(be32(header, at + 4));
    }
    let first = be32(header, 0);
    let label = first & 0xf_ffff;
    let (protocol, frag) = extensions(input, header[6])?;
    parsed.key.words[3] = ip_word(protocol, header[7], (first >> 20) as u8, frag, label);
    parsed.l4_offset = offset(frame_bytes - padding, input);
    if frag & FRAG_LATER != 0 { Ok(()) } else { transport(input, &mut parsed.key, protocol) }
}

/// Skips extension headers: the protocol behind them, and the state of fragmentation. Of later fragments the protocol is
/// [`PROTO_FRAGMENT`].
#[inline]
pub(super) fn extensions(input: &mut Input, first: u8) -> Result<(u8, u8), Malformed> {
    let (mut protocol, mut frag) = (first, 0);
    for _ in 0..EXTENSION_HEADERS_MAX {
        if !matches!(protocol, PROTO_HOP_BY_HOP | PROTO_ROUTING | PROTO_DESTINATION | PROTO_AH | PROTO_FRAGMENT) {
            return Ok((protocol, frag));
        }
        let header: &[u8; 8] = input.peek(Malformed::Ipv6Extension)?;
        let bytes = match protocol {
            PROTO_AH => (usize::from(header[1]) + 2) * 4,
            PROTO_FRAGMENT => 8,
            _ => (usize::from(header[1]) + 1) * 8,
        };
        input.skip(bytes, Malformed::Ipv6Extension)?;
        let fragmented = protocol == PROTO_FRAGMENT;
        protocol = header[0];
        // An atomic fragment (RFC 6946) is not one.
        let fragment = be16(header, 2);
        if fragmented && fragment != 0 {
            frag = FRAG_ANY;
            if fragment & 0xfff8 != 0 {
                return Ok((PROTO_FRAGMENT, FRAG_ANY | FRAG_LATER));
            }
        }
    }
    Err(Malformed::Ipv6Extensions)
}

pub(super) fn arp(input: &mut Input, key: &mut Key) -> Result<(), Malformed> {
    const ETHERNET_AND_IPV4: [u8; 6] = [0, 1, 8, 0, 6, 4];
    let packet: &[u8; 28] = input.take(Malformed::Arp)?;
    if packet[..6] != ETHERNET_AND_IPV4 {
        return Err(Malformed::Arp);
    }
    key.words[13] = u64::from(be32(packet, 14)) << 32 | u64::from(be32(packet, 24));
    // OpenFlow 1.0 knew 8 bits of the operation; Open vSwitch has no larger ones.
    let operation = be16(packet, 6);
    key.words[14] = be48(packet, 8) << 16 | if operation <= 0xff { u64::from(operation) } else { 0 };
    key.words[15] = be48(packet, 18) << 16;
    Ok(())
}
