//! Frames to send.

use hive_packet::checksum::{checksum, fold, sum};

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

pub const MAC_A: [u8; 6] = [2, 0, 0, 0, 0, 0xa];
pub const MAC_B: [u8; 6] = [2, 0, 0, 0, 0, 0xb];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub source: (u32, u16),
    pub destination: (u32, u16),
}

impl Ends {
    pub fn reversed(self) -> Self {
        Self { source: self.destination, destination: self.source }
    }
}

pub fn ethernet(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = [&MAC_B[..], &MAC_A].concat();
    frame.extend_from_slice(&ether_type.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

pub fn ipv4(protocol: u8, source: u32, destination: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, protocol, 0, 0];
    packet.extend_from_slice(&source.to_be_bytes());
    packet.extend_from_slice(&destination.to_be_bytes());
    let total = (20 + payload.len()) as u16;
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    let check = checksum(&packet);
    packet[10..12].copy_from_slice(&check.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}

fn sum_up(protocol: u8, ends: Ends, transport: &mut [u8], at: usize) {
    let addresses = [ends.source.0.to_be_bytes(), ends.destination.0.to_be_bytes()].concat();
    let value = !fold(sum(&addresses) + u64::from(protocol) + transport.len() as u64 + sum(transport));
    transport[at..at + 2].copy_from_slice(&value.to_be_bytes());
}

pub fn udp(ends: Ends, payload: &[u8]) -> Vec<u8> {
    let mut datagram = [ends.source.1.to_be_bytes(), ends.destination.1.to_be_bytes()].concat();
    datagram.extend_from_slice(&((8 + payload.len()) as u16).to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(payload);
    sum_up(17, ends, &mut datagram, 6);
    ethernet(0x0800, &ipv4(17, ends.source.0, ends.destination.0, &datagram))
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp<'a> {
    pub flags: u8,
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    pub payload: &'a [u8],
}

pub fn tcp(ends: Ends, segment: Tcp<'_>) -> Vec<u8> {
    let mut bytes = [ends.source.1.to_be_bytes(), ends.destination.1.to_be_bytes()].concat();
    bytes.extend_from_slice(&segment.seq.to_be_bytes());
    bytes.extend_from_slice(&segment.ack.to_be_bytes());
    bytes.extend_from_slice(&[0x50, segment.flags]);
    bytes.extend_from_slice(&segment.window.to_be_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(segment.payload);
    sum_up(6, ends, &mut bytes, 16);
    ethernet(0x0800, &ipv4(6, ends.source.0, ends.destination.0, &bytes))
}

/// The same between addresses of IPv6.
fn ipv6(protocol: u8, ends: Ends, transport: &mut [u8], check_at: usize) -> Vec<u8> {
    const NETWORK: [u8; 12] = [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend_from_slice(&(transport.len() as u16).to_be_bytes());
    packet.extend_from_slice(&[protocol, 64]);
    for (address, _) in [ends.source, ends.destination] {
        packet.extend_from_slice(&NETWORK);
        packet.extend_from_slice(&address.to_be_bytes());
    }
    let pseudo = sum(&packet[8..40]) + u64::from(protocol) + transport.len() as u64;
    let value = match !fold(pseudo + sum(transport)) {
        0 if protocol == 17 => 0xffff,
        value => value,
    };
    transport[check_at..check_at + 2].copy_from_slice(&value.to_be_bytes());
    packet.extend_from_slice(transport);
    ethernet(0x86dd, &packet)
}

/// Of a frame of IPv4 without options the same transport over IPv6.
fn over_ipv6(frame: &[u8], ends: Ends, check_at: usize) -> Vec<u8> {
    let mut transport = frame[34..].to_vec();
    transport[check_at..check_at + 2].fill(0);
    ipv6(frame[23], ends, &mut transport, check_at)
}

pub fn tcp6(ends: Ends, segment: Tcp<'_>) -> Vec<u8> {
    over_ipv6(&tcp(ends, segment), ends, 16)
}

pub fn udp6(ends: Ends, payload: &[u8]) -> Vec<u8> {
    over_ipv6(&udp(ends, payload), ends, 6)
}

/// Type, code and what is behind the checksum.
pub fn icmp6(ends: Ends, kind: u8, rest: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, 0, 0, 0], rest].concat();
    ipv6(58, ends, &mut message, 2)
}

pub fn tagged(mut frame: Vec<u8>) -> Vec<u8> {
    frame.splice(12..12, [0x81, 0, 0x20, 5]);
    frame
}
