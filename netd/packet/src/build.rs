//! Small packets made from nothing: what the switch itself answers with.

pub mod v6;

use crate::checksum;
use crate::{MacAddr, ethertype, ipv4, protocol, put};
use std::net::Ipv4Addr;

/// TTL of packets that the switch originates (RFC 1700's recommended default).
pub const DEFAULT_TTL: u8 = 64;

/// An Ethernet frame around an IP packet: of IPv6 if it says so itself.
pub fn ethernet(dst: MacAddr, src: MacAddr, packet: &[u8]) -> Vec<u8> {
    let is_ipv6 = packet.first().is_some_and(|first| first >> 4 == 6);
    let kind = if is_ipv6 { ethertype::IPV6 } else { ethertype::IPV4 };
    [&dst.0[..], &src.0, &kind.to_be_bytes(), packet].concat()
}

/// An IPv4 packet around a payload that fits it; longer payloads are cut.
pub fn ipv4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(usize::from(u16::MAX) - ipv4::HEADER_BYTES)];
    let total = (ipv4::HEADER_BYTES + payload.len()) as u16;
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, DEFAULT_TTL, protocol, 0, 0];
    put(&mut packet, 2, &total.to_be_bytes());
    packet.extend_from_slice(&src.octets());
    packet.extend_from_slice(&dst.octets());
    ipv4::fix_header_checksum(&mut packet);
    packet.extend_from_slice(payload);
    packet
}

/// A UDP datagram in an IPv4 packet, with checksum.
pub fn udp(src: Ipv4Addr, dst: Ipv4Addr, src_port: u16, dst_port: u16, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(usize::from(u16::MAX) - ipv4::HEADER_BYTES - 8)];
    let length = (payload.len() + 8) as u16;
    let mut datagram = Vec::with_capacity(payload.len() + 8);
    for field in [src_port, dst_port, length, 0] {
        datagram.extend_from_slice(&field.to_be_bytes());
    }
    datagram.extend_from_slice(payload);
    let pseudo = checksum::pseudo_header_ipv4(src, dst, protocol::UDP, datagram.len());
    let check = match !checksum::fold(pseudo + checksum::sum(&datagram)) {
        0 => 0xffff,
        check => check,
    };
    put(&mut datagram, 6, &check.to_be_bytes());
    ipv4(src, dst, protocol::UDP, &datagram)
}

/// An ICMP message in an IPv4 packet; `rest` is the second word of its header (RFC 792).
pub fn icmp(src: Ipv4Addr, dst: Ipv4Addr, kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0];
    message.extend_from_slice(&rest);
    message.extend_from_slice(body);
    let check = checksum::checksum(&message);
    put(&mut message, 2, &check.to_be_bytes());
    ipv4(src, dst, protocol::ICMP, &message)
}

/// A bare TCP SYN in an IPv4 packet.
pub fn tcp_syn(src: Ipv4Addr, dst: Ipv4Addr, src_port: u16, dst_port: u16) -> Vec<u8> {
    tcp(src, dst, src_port, dst_port, 0x02, &[])
}

/// A TCP segment without options, sequence number 1, in an IPv4 packet.
pub fn tcp(src: Ipv4Addr, dst: Ipv4Addr, src_port: u16, dst_port: u16, flags: u8, payload: &[u8]) -> Vec<u8> {
    tcp_at(src, dst, [src_port, dst_port], flags, [1, 0], payload)
}

/// The same, of this sequence number and this acknowledgement.
pub fn tcp_at(src: Ipv4Addr, dst: Ipv4Addr, ports: [u16; 2], flags: u8, numbers: [u32; 2], payload: &[u8]) -> Vec<u8> {
    let mut segment = segment(ports, flags, numbers, payload);
    let pseudo = checksum::pseudo_header_ipv4(src, dst, protocol::TCP, segment.len());
    let check = !checksum::fold(pseudo + checksum::sum(&segment));
    put(&mut segment, 16, &check.to_be_bytes());
    ipv4(src, dst, protocol::TCP, &segment)
}

/// Without checksum.
fn segment(ports: [u16; 2], flags: u8, numbers: [u32; 2], payload: &[u8]) -> Vec<u8> {
    let mut segment = Vec::with_capacity(20 + payload.len());
    segment.extend(ports.into_iter().flat_map(u16::to_be_bytes));
    segment.extend(numbers.into_iter().flat_map(u32::to_be_bytes));
    segment.extend_from_slice(&[0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend_from_slice(payload);
    segment
}
