//! Frames of all kinds, with few different values so that flows are met.

use crate::random::Random;

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum = 0u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

pub fn mac(random: &mut Random) -> [u8; 6] {
    let last = random.pick(&[1, 2, 3, 4]);
    random.pick(&[
        [2, 0, 0, 0, 0, last],
        [2, 0, 0, 0, 0, last],
        [2, 0, 0, 0, 0, last],
        [0xff; 6],
        [1, 0, 0x5e, 0, 0, last],
    ])
}

fn transport(random: &mut Random, protocol: u8, v6: bool) -> Vec<u8> {
    let port = |random: &mut Random| random.pick(&[80u16, 81, 1000, 22, 53]).to_be_bytes();
    let mut bytes = Vec::new();
    match protocol {
        6 => {
            bytes.extend(port(random));
            bytes.extend(port(random));
            bytes.extend([0; 8]);
            bytes.extend([0x50, random.pick(&[0x02, 0x10, 0x11, 0x04]), 0, 0, 0, 0, 0, 0]);
        }
        17 => {
            bytes.extend(port(random));
            bytes.extend(port(random));
            bytes.extend([0, 16, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        }
        132 => {
            bytes.extend(port(random));
            bytes.extend(port(random));
            bytes.extend([0; 8]);
        }
        1 => bytes.extend([random.pick(&[0, 3, 8]), random.pick(&[0, 1]), 0, 0, 0, 1, 0, 1]),
        58 if v6 => {
            let kind = random.pick(&[128u8, 129, 135, 136]);
            bytes.extend([kind, 0, 0, 0, 0, 0, 0, 0]);
            if kind >= 135 {
                bytes.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, random.pick(&[1, 2])]);
                bytes.extend([if kind == 135 { 1 } else { 2 }, 1, 2, 0, 0, 0, 0, random.pick(&[1, 2])]);
            }
        }
        _ => bytes.extend([1, 2, 3, 4, 5, 6, 7, 8]),
    }
    bytes
}

fn ipv4(random: &mut Random) -> Vec<u8> {
    let protocol = random.pick(&[6u8, 6, 17, 17, 1, 132, 47]);
    let payload = transport(random, protocol, false);
    // Of later fragments of ICMP, Open vSwitch sets what they do not have.
    let later = if protocol == 1 { 0x2000 } else { 0x0010 };
    let fragment: u16 = random.pick(&[0, 0, 0, 0, 0, 0, 0x2000, later]);
    let mut bytes = vec![0x45, random.pick(&[0, 0x10, 0x11, 0xb8, 3])];
    bytes.extend((20 + payload.len() as u16).to_be_bytes());
    bytes.extend([0, 1]);
    bytes.extend(fragment.to_be_bytes());
    bytes.extend([random.pick(&[64, 64, 1, 2, 255]), protocol, 0, 0]);
    bytes.extend([10, 0, random.pick(&[0, 1]), random.pick(&[1, 2, 3])]);
    bytes.extend([10, random.pick(&[0, 1]), 0, random.pick(&[1, 2, 3])]);
    let sum = checksum(&bytes).to_be_bytes();
    bytes[10..12].copy_from_slice(&sum);
    bytes.extend(payload);
    bytes
}

fn ipv6(random: &mut Random) -> Vec<u8> {
    let protocol = random.pick(&[6u8, 17, 58, 58, 132]);
    let payload = transport(random, protocol, true);
    let mut bytes = vec![0x60, random.pick(&[0, 0x10, 0x15]), 0, random.pick(&[0, 7])];
    bytes.extend((payload.len() as u16).to_be_bytes());
    bytes.extend([protocol, random.pick(&[64, 255, 1])]);
    for _ in 0..2 {
        bytes.extend([0xfd, 0, 0, random.pick(&[0, 1]), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, random.pick(&[1, 2, 3])]);
    }
    bytes.extend(payload);
    bytes
}

fn arp(random: &mut Random) -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, random.pick(&[1, 2])];
    bytes.extend([2, 0, 0, 0, 0, random.pick(&[1, 2])]);
    bytes.extend([10, 0, 0, random.pick(&[1, 2])]);
    bytes.extend([2, 0, 0, 0, 0, random.pick(&[1, 2])]);
    bytes.extend([10, 0, 0, random.pick(&[1, 2])]);
    bytes
}

/// `vlans`: tags may be there; `mpls`: labels may.
pub fn frame(random: &mut Random, vlans: bool, mpls: bool) -> Vec<u8> {
    let (kind, mut payload): (u16, Vec<u8>) = match random.below(12) {
        0..6 => (0x0800, ipv4(random)),
        6..9 => (0x86dd, ipv6(random)),
        9..11 => (0x0806, arp(random)),
        _ => (random.pick(&[0x88b5, 0x0064]), vec![0; 40]),
    };
    let mut kind = kind;
    if mpls && random.one_in(3) && kind == 0x0800 {
        let labels = random.pick(&[1, 1, 2, 3]);
        let mut stack = Vec::new();
        for at in 0..labels {
            let entry = random.pick(&[16u32, 17]) << 12 | random.pick(&[0u32, 3]) << 9 | random.pick(&[64u32, 1]);
            stack.extend((entry | if at + 1 == labels { 0x100 } else { 0 }).to_be_bytes());
        }
        stack.extend(payload);
        payload = stack;
        kind = 0x8847;
    }
    let mut bytes = mac(random).to_vec();
    bytes.extend([2, 0, 0, 0, 0, random.pick(&[1, 2, 3, 4])]);
    if vlans && random.one_in(3) {
        let tci: u16 = random.pick(&[10, 20, 0]) | random.pick(&[0, 0x6000]);
        bytes.extend([0x81, 0]);
        bytes.extend(tci.to_be_bytes());
    }
    bytes.extend(kind.to_be_bytes());
    bytes.extend(payload);
    bytes
}
