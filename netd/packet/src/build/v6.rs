//! The same in IPv6.

use super::DEFAULT_TTL;
use crate::checksum;
use crate::{ipv6, protocol, put};
use std::net::Ipv6Addr;

/// Hop limit of neighbour discovery: what has another was not sent on the link (RFC 4861, 3.1).
pub const ND_HOP_LIMIT: u8 = 255;

/// An IPv6 packet around a payload that fits it; longer payloads are cut.
pub fn packet(src: Ipv6Addr, dst: Ipv6Addr, next_header: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(usize::from(u16::MAX))];
    let mut packet = Vec::with_capacity(ipv6::HEADER_BYTES + payload.len());
    packet.extend_from_slice(&[0x60, 0, 0, 0]);
    packet.extend_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[next_header, hop_limit]);
    packet.extend_from_slice(&src.octets());
    packet.extend_from_slice(&dst.octets());
    packet.extend_from_slice(payload);
    packet
}

/// The checksum of a message whose own field holds zero.
fn check(src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, message: &[u8]) -> u16 {
    !checksum::fold(checksum::pseudo_header_ipv6(src, dst, protocol, message.len()) + checksum::sum(message))
}

/// A UDP datagram in an IPv6 packet.
pub fn udp(src: Ipv6Addr, dst: Ipv6Addr, src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(usize::from(u16::MAX) - 8)];
    let length = (payload.len() + 8) as u16;
    let mut datagram: Vec<u8> = [src_port, dst_port, length, 0].into_iter().flat_map(u16::to_be_bytes).collect();
    datagram.extend_from_slice(payload);
    let check = match check(src, dst, protocol::UDP, &datagram) {
        0 => 0xffff,
        check => check,
    };
    put(&mut datagram, 6, &check.to_be_bytes());
    packet(src, dst, protocol::UDP, DEFAULT_TTL, &datagram)
}

/// An ICMPv6 message in an IPv6 packet; `rest` is the second word of its header (RFC 4443).
pub fn icmp(src: Ipv6Addr, dst: Ipv6Addr, kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    icmp_within(DEFAULT_TTL, src, dst, [kind, code], rest, body)
}

/// A message of neighbour discovery (RFC 4861).
pub fn neighbour(src: Ipv6Addr, dst: Ipv6Addr, kind: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    icmp_within(ND_HOP_LIMIT, src, dst, [kind, 0], rest, body)
}

fn icmp_within(hops: u8, src: Ipv6Addr, dst: Ipv6Addr, kind: [u8; 2], rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut message = [&kind[..], &[0, 0], &rest, body].concat();
    message.truncate(usize::from(u16::MAX));
    let check = check(src, dst, protocol::ICMPV6, &message);
    put(&mut message, 2, &check.to_be_bytes());
    packet(src, dst, protocol::ICMPV6, hops, &message)
}

/// A TCP segment without options, of this sequence number and this acknowledgement, in an IPv6 packet.
pub fn tcp_at(src: Ipv6Addr, dst: Ipv6Addr, ports: [u16; 2], flags: u8, numbers: [u32; 2], payload: &[u8]) -> Vec<u8> {
    let mut segment = super::segment(ports, flags, numbers, payload);
    segment.truncate(usize::from(u16::MAX));
    let check = check(src, dst, protocol::TCP, &segment);
    put(&mut segment, 16, &check.to_be_bytes());
    packet(src, dst, protocol::TCP, DEFAULT_TTL, &segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipv6::{Ipv6Header, transport_checksum_holds};

    #[test]
    fn a_datagram_is_as_written_by_hand() {
        let packet = udp(Ipv6Addr::from(1), Ipv6Addr::from(2), 0x1234, 53, b"abc");
        let mut expected = vec![0x60, 0, 0, 0, 0, 11, 17, 64];
        expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        expected.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        // Summed by hand: 1 + 2 + 17 + 11 + 0x1234 + 53 + 11 + 0x6162 + 0x6300.
        expected.extend_from_slice(&[0x12, 0x34, 0, 53, 0, 11, 0x29, 0x0a, b'a', b'b', b'c']);
        assert_eq!(packet, expected);
    }

    #[test]
    fn what_is_too_long_is_cut() {
        for packet in [
            udp(Ipv6Addr::from(1), Ipv6Addr::from(2), 1, 2, &[7; 70_000]),
            icmp(Ipv6Addr::from(1), Ipv6Addr::from(2), 128, 0, [0; 4], &[7; 70_000]),
            tcp_at(Ipv6Addr::from(1), Ipv6Addr::from(2), [1, 2], 2, [1, 0], &[7; 70_000]),
        ] {
            let header = Ipv6Header::parse(&packet, packet.len()).unwrap();
            assert_eq!(packet.len(), 65_535 + 40);
            assert!(transport_checksum_holds(&packet, &header));
        }
    }
}
