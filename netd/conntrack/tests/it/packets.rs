//! Packets to track.

use hive_conntrack::{Checksum, Conntrack, Packet, Request, Verdict};
use hive_flow::{Key, parse};
use hive_packet::checksum::{checksum, fold, sum};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const PSH: u8 = 0x08;
pub const ACK: u8 = 0x10;

/// Addresses and ports of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub source: (IpAddr, u16),
    pub destination: (IpAddr, u16),
}

impl Ends {
    pub fn new(source: &str, destination: &str) -> Self {
        let end = |text: &str| text.parse::<std::net::SocketAddr>().map(|end| (end.ip(), end.port())).unwrap();
        Self { source: end(source), destination: end(destination) }
    }

    pub fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source }
    }

    /// Of a frame with ports.
    pub fn of(frame: &[u8]) -> Self {
        let port = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
        if frame[12] == 0x86 {
            let address = |at: usize| IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).unwrap()));
            return Self { source: (address(22), port(54)), destination: (address(38), port(56)) };
        }
        let address = |at: usize| IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).unwrap()));
        Self { source: (address(26), port(34)), destination: (address(30), port(36)) }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp<'a> {
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    pub scale: Option<u8>,
    pub payload: &'a [u8],
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Where the transport's checksum is.
fn checksum_at(protocol: u8) -> Option<usize> {
    match protocol {
        6 => Some(16),
        17 => Some(6),
        1 | 58 => Some(2),
        _ => None,
    }
}

/// An IP packet, without its frame.
pub fn ip(ends: Ends, protocol: u8, mut transport: Vec<u8>) -> Vec<u8> {
    let (source, destination) = (octets(ends.source.0), octets(ends.destination.0));
    if let Some(at) = checksum_at(protocol) {
        let pseudo = if protocol == 1 {
            0
        } else {
            sum(&source) + sum(&destination) + u64::from(protocol) + transport.len() as u64
        };
        let value = !fold(pseudo + sum(&transport));
        let value = if protocol == 17 && value == 0 { 0xffff } else { value };
        transport[at..at + 2].copy_from_slice(&value.to_be_bytes());
    }
    let mut packet;
    if source.len() == 4 {
        packet = vec![0x45, 0];
        packet.extend_from_slice(&(20 + transport.len() as u16).to_be_bytes());
        packet.extend_from_slice(&[0, 1, 0, 0, 64, protocol, 0, 0]);
        packet.extend(source);
        packet.extend(destination);
        let value = checksum(&packet);
        packet[10..12].copy_from_slice(&value.to_be_bytes());
    } else {
        packet = vec![0x60, 0, 0, 0];
        packet.extend_from_slice(&(transport.len() as u16).to_be_bytes());
        packet.extend_from_slice(&[protocol, 64]);
        packet.extend(source);
        packet.extend(destination);
    }
    packet.extend(transport);
    packet
}

pub fn frame(packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend_from_slice(if packet[0] >> 4 == 4 { &[8, 0] } else { &[0x86, 0xdd] });
    frame.extend_from_slice(packet);
    frame
}

pub fn tcp(ends: Ends, segment: Tcp<'_>) -> Vec<u8> {
    let mut transport = ends.source.1.to_be_bytes().to_vec();
    transport.extend_from_slice(&ends.destination.1.to_be_bytes());
    transport.extend_from_slice(&segment.seq.to_be_bytes());
    transport.extend_from_slice(&segment.ack.to_be_bytes());
    transport.extend_from_slice(&[if segment.scale.is_some() { 0x60 } else { 0x50 }, segment.flags]);
    transport.extend_from_slice(&segment.window.to_be_bytes());
    transport.extend_from_slice(&[0; 4]);
    if let Some(scale) = segment.scale {
        transport.extend_from_slice(&[1, 3, 3, scale]);
    }
    transport.extend_from_slice(segment.payload);
    frame(&ip(ends, 6, transport))
}

pub fn udp(ends: Ends, payload: &[u8]) -> Vec<u8> {
    let mut transport = ends.source.1.to_be_bytes().to_vec();
    transport.extend_from_slice(&ends.destination.1.to_be_bytes());
    transport.extend_from_slice(&(8 + payload.len() as u16).to_be_bytes());
    transport.extend_from_slice(&[0, 0]);
    transport.extend_from_slice(payload);
    frame(&ip(ends, 17, transport))
}

/// An ICMP or ICMPv6 message; ports of `ends` do not count.
pub fn icmp(ends: Ends, kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut transport = vec![kind, code, 0, 0];
    transport.extend_from_slice(&rest);
    transport.extend_from_slice(body);
    frame(&ip(ends, if ends.source.0.is_ipv4() { 1 } else { 58 }, transport))
}

/// Whether all checksums of a frame are right, those within an ICMP error too as far as they can be told.
pub fn sums_up(frame: &[u8]) -> bool {
    packet_sums_up(&frame[14..], true)
}

fn packet_sums_up(packet: &[u8], whole: bool) -> bool {
    let v4 = packet[0] >> 4 == 4;
    let (header, protocol, addresses) =
        if v4 { (20, packet[9], &packet[12..20]) } else { (40, packet[6], &packet[8..40]) };
    if v4 && fold(sum(&packet[..20])) != 0xffff {
        return false;
    }
    let length = if v4 {
        usize::from(u16::from_be_bytes([packet[2], packet[3]])) - 20
    } else {
        usize::from(u16::from_be_bytes([packet[4], packet[5]]))
    };
    let transport = &packet[header..];
    let inner = match (protocol, transport[0]) {
        (1, 3 | 11) | (58, 1..=4) => packet_sums_up(&transport[8..], false),
        _ => true,
    };
    if !whole && transport.len() < length || protocol == 17 && transport[6..8] == [0, 0] {
        return inner;
    }
    let pseudo = if protocol == 1 { 0 } else { sum(addresses) + u64::from(protocol) + length as u64 };
    inner && (checksum_at(protocol).is_none() || fold(pseudo + sum(&transport[..length])) == 0xffff)
}

/// What becomes of a frame.
pub fn track(conntrack: &mut Conntrack, now_ms: u64, frame: &mut [u8], request: &Request) -> Verdict {
    track_as(conntrack, now_ms, frame, request, Checksum::Unknown, None)
}

pub fn track_as(
    conntrack: &mut Conntrack,
    now_ms: u64,
    frame: &mut [u8],
    request: &Request,
    known: Checksum,
    before: Option<&Verdict>,
) -> Verdict {
    let parsed = parse(frame, frame.len(), &Key::ZERO, 1);
    let mut packet = Packet::new(frame, &parsed, known).expect("an IP packet");
    conntrack.process(now_ms, &mut packet, request, before)
}
