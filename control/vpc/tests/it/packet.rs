//! Frames, with right checksums.

use hive_vpc::model::MacAddress;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

#[derive(Clone, Copy, Debug)]
pub struct Ethernet {
    pub source: [u8; 6],
    pub destination: [u8; 6],
}

impl Ethernet {
    pub fn new(source: MacAddress, destination: MacAddress) -> Self {
        Self { source: source.0, destination: destination.0 }
    }

    fn frame(self, kind: u16, payload: &[u8]) -> Vec<u8> {
        [&self.destination[..], &self.source, &kind.to_be_bytes(), payload].concat()
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Ip {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub ttl: u8,
}

impl Ip {
    pub fn new(source: impl Into<IpAddr>, destination: impl Into<IpAddr>) -> Self {
        Self { source: source.into(), destination: destination.into(), ttl: 64 }
    }
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0))).sum()
}

fn checksum(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// An IPv4 header; `fragment`: the field with flags and offset.
fn ipv4(ip: Ip, protocol: u8, id: u16, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let length = 20 + payload.len() as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend(id.to_be_bytes());
    packet.extend(fragment.to_be_bytes());
    packet.extend([ip.ttl, protocol, 0, 0]);
    packet.extend(octets(ip.source));
    packet.extend(octets(ip.destination));
    let value = checksum(sum(&packet));
    packet[10..12].copy_from_slice(&value.to_be_bytes());
    packet.extend(payload);
    packet
}

const DONT_FRAGMENT: u16 = 0x4000;

/// The checksum at `at` of a transport's message.
fn summed(ip: Ip, protocol: u8, at: usize, mut message: Vec<u8>) -> Vec<u8> {
    let pseudo = match protocol {
        1 => 0,
        _ => {
            let addresses = [octets(ip.source), octets(ip.destination)].concat();
            sum(&addresses) + u64::from(protocol) + message.len() as u64
        }
    };
    let value = checksum(pseudo + sum(&message));
    let value = if protocol == 17 && value == 0 { 0xffff } else { value };
    message[at..at + 2].copy_from_slice(&value.to_be_bytes());
    message
}

pub fn ip_packet(ip: Ip, protocol: u8, message: &[u8]) -> Vec<u8> {
    if ip.source.is_ipv4() {
        return ipv4(ip, protocol, 1, DONT_FRAGMENT, message);
    }
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((message.len() as u16).to_be_bytes());
    packet.extend([protocol, ip.ttl]);
    packet.extend(octets(ip.source));
    packet.extend(octets(ip.destination));
    packet.extend(message);
    packet
}

fn ip_frame(ethernet: Ethernet, ip: Ip, protocol: u8, message: &[u8]) -> Vec<u8> {
    let kind = if ip.source.is_ipv4() { 0x0800 } else { 0x86dd };
    ethernet.frame(kind, &ip_packet(ip, protocol, message))
}

pub fn udp_message(ip: Ip, from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    let length = 8 + payload.len() as u16;
    let header = [from.to_be_bytes(), to.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    summed(ip, 17, 6, [&header[..], payload].concat())
}

pub fn udp(ethernet: Ethernet, ip: Ip, from: u16, to: u16, payload: &[u8]) -> Vec<u8> {
    ip_frame(ethernet, ip, 17, &udp_message(ip, from, to, payload))
}

pub const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;

pub fn tcp(ethernet: Ethernet, ip: Ip, from: u16, to: u16, flags: u8, numbers: (u32, u32)) -> Vec<u8> {
    let mut message = [from.to_be_bytes(), to.to_be_bytes()].concat();
    message.extend(numbers.0.to_be_bytes());
    message.extend(numbers.1.to_be_bytes());
    message.extend([0x50, flags, 0x20, 0, 0, 0, 0, 0]);
    ip_frame(ethernet, ip, 6, &summed(ip, 6, 16, message))
}

/// Of ICMP or ICMPv6, by the addresses.
pub fn icmp(ethernet: Ethernet, ip: Ip, kind: u8, code: u8, rest: [u8; 4], body: &[u8]) -> Vec<u8> {
    let protocol = if ip.source.is_ipv4() { 1 } else { 58 };
    let message = [&[kind, code, 0, 0], &rest[..], body].concat();
    ip_frame(ethernet, ip, protocol, &summed(ip, protocol, 2, message))
}

/// Another protocol.
pub fn other(ethernet: Ethernet, ip: Ip, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ip_frame(ethernet, ip, protocol, payload)
}

/// A message cut into fragments of so many bytes, a multiple of eight.
pub fn fragments(ethernet: Ethernet, ip: Ip, protocol: u8, id: u16, message: &[u8], bytes: usize) -> Vec<Vec<u8>> {
    let pieces = message.chunks(bytes).enumerate();
    let count = message.chunks(bytes).count();
    let frame = |(number, piece): (usize, &[u8])| {
        let more = if number + 1 < count { 0x2000 } else { 0 };
        let field = (number * bytes / 8) as u16 | more;
        ethernet.frame(0x0800, &ipv4(ip, protocol, id, field, piece))
    };
    pieces.map(frame).collect()
}

#[derive(Clone, Copy, Debug)]
pub struct Arp {
    pub operation: u16,
    pub sender: (MacAddress, Ipv4Addr),
    pub target: (MacAddress, Ipv4Addr),
}

pub fn arp(ethernet: Ethernet, arp: Arp) -> Vec<u8> {
    let mut payload = vec![0, 1, 8, 0, 6, 4];
    payload.extend(arp.operation.to_be_bytes());
    for (mac, address) in [arp.sender, arp.target] {
        payload.extend(mac.0);
        payload.extend(address.octets());
    }
    ethernet.frame(0x0806, &payload)
}

/// A neighbour solicitation (135) or advertisement (136), its option with the sender's address.
pub fn neighbour(
    ethernet: Ethernet,
    ip: Ip,
    kind: u8,
    flags: u32,
    target: Ipv6Addr,
    option: (u8, MacAddress),
) -> Vec<u8> {
    let body = [&target.octets()[..], &[option.0, 1], &option.1.0].concat();
    icmp(ethernet, ip, kind, 0, flags.to_be_bytes(), &body)
}
