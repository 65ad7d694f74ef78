//! What is longer than the path takes: fragmented by the kernel if the tunnel asks for it, else dropped and counted.

use crate::encryption::Pair;
use crate::namespace::wait;
use crate::tunnels::{config, nodes, to};
use crate::wire::BURST;
use hive_device::tunnel::{Kind, TunnelConfig, Tunnels};
use hive_device::{Device, Sent};
use hive_packet::offload::{GSO_TCPV4, NEEDS_CSUM};
use hive_packet::segment::Segmenter;
use hive_packet::{MacAddr, VnetHeader, build};
use hive_program::Tunnel;

const A: MacAddr = MacAddr([2, 8, 8, 8, 8, 8]);
const B: MacAddr = MacAddr([2, 9, 9, 9, 9, 9]);
/// Of segments of the VPC's MTU, 9001.
const SEGMENT: u16 = 8961;

/// A packet of the VPC's MTU.
fn datagram() -> Vec<u8> {
    let payload: Vec<u8> = (0..9001 - 28).map(|at| (at * 7 / 8) as u8).collect();
    build::ethernet(A, B, &build::udp([1, 1, 1, 1].into(), [2, 2, 2, 2].into(), 5, 6, &payload))
}

/// What a guest sends with one descriptor: more segments than one, the last one short.
fn segments() -> (VnetHeader, Vec<u8>) {
    let payload: Vec<u8> = (0..6 * u32::from(SEGMENT) + 100).map(|at| (at * 5 / 7) as u8).collect();
    let packet = build::tcp([1, 1, 1, 1].into(), [2, 2, 2, 2].into(), 5, 6, 0x18, &payload);
    let header = VnetHeader {
        flags: NEEDS_CSUM,
        gso_type: GSO_TCPV4,
        header_bytes: 54,
        gso_size: SEGMENT,
        csum_start: 34,
        csum_offset: 16,
    };
    (header, build::ethernet(A, B, &packet))
}

/// A frame as it is on a wire.
fn cut(header: VnetHeader, frame: &[u8]) -> Vec<Vec<u8>> {
    if !header.is_gso() {
        let mut frame = frame.to_vec();
        assert!(!header.needs_checksum() || hive_packet::offload::complete_checksum(&mut frame, &header));
        return vec![frame];
    }
    let segmenter = Segmenter::new(&header, frame).unwrap();
    let mut out = Vec::new();
    for index in 0..segmenter.count() {
        let mut segment = Vec::new();
        segmenter.write(index, &mut segment);
        out.push(segment);
    }
    out
}

/// Sends `count` large frames; all their segments have to come, in order and whole.
fn cross(one: &mut dyn Device, other: &mut dyn Device, tunnel: &Tunnel, count: usize) {
    let (header, large) = segments();
    let long = datagram();
    for _ in 0..count {
        let before = one.status().counters;
        assert!(one.send(Sent { header: VnetHeader::default(), pieces: &[&long], tunnel: Some(tunnel) }));
        assert!(one.send(Sent { header, pieces: &[&large], tunnel: Some(tunnel) }));
        one.flush();
        let expected = [vec![long.clone()], cut(header, &large)].concat();
        let mut got = Vec::new();
        wait("all of it crosses", || {
            other.receive(BURST, &mut |received| got.extend(cut(received.header, received.frame))).unwrap();
            got.len() >= expected.len()
        });
        assert!(got == expected, "{:?}", got.iter().map(Vec::len).collect::<Vec<_>>());
        let after = one.status().counters;
        assert_eq!(after.tx_packets - before.tx_packets, expected.len() as u64);
        assert_eq!(after.tx_bytes - before.tx_bytes, expected.iter().map(|frame| frame.len() as u64).sum::<u64>());
        assert_eq!(after.tx_dropped, before.tx_dropped);
    }
}

/// Nothing comes of what is too long, and each is counted; what is short behind it in the same batch does.
fn refuse(one: &mut dyn Device, other: &mut dyn Device, tunnel: &Tunnel) {
    let (header, large) = segments();
    let long = datagram();
    let short = build::udp([1, 1, 1, 1].into(), [2, 2, 2, 2].into(), 5, 6, b"short");
    let short = build::ethernet(A, B, &short);
    let before = one.status().counters;
    for (header, frame) in [(VnetHeader::default(), &long), (VnetHeader::default(), &short), (header, &large)] {
        assert!(one.send(Sent { header, pieces: &[frame], tunnel: Some(tunnel) }));
    }
    one.flush();
    let after = one.status().counters;
    let sent = cut(header, &large);
    assert_eq!(after.tx_dropped - before.tx_dropped, sent.len() as u64);
    assert_eq!(after.tx_packets - before.tx_packets, 2);
    let mut got = Vec::new();
    wait("what is short comes", || {
        other.receive(BURST, &mut |received| got.push(received.frame.to_vec())).unwrap();
        got.len() >= 2
    });
    assert_eq!(got, [short, sent[sent.len() - 1].clone()]);
    assert_eq!(other.receive(BURST, &mut |_| panic!("too long")).unwrap(), 0);
}

#[test]
fn what_is_too_long_crosses_in_fragments_or_is_counted() {
    let [left, right] = nodes();
    for kind in [Kind::Geneve, Kind::Vxlan] {
        for (here, there) in [("192.168.7.1", "192.168.7.2"), ("fd00:7::1", "fd00:7::2")] {
            for checksum in [false, true] {
                let config = |remote| TunnelConfig { checksum, ..config(kind, remote, 7) };
                let (near, far) = (config(there), config(here));
                let mut one = left.enter(|| Tunnels::default().add(near).unwrap());
                let mut other = right.enter(|| Tunnels::default().add(far).unwrap());
                cross(&mut one, &mut other, &to(there, 7), 3);
                refuse(&mut one, &mut other, &Tunnel { df: true, ..to(there, 7) });
                cross(&mut one, &mut other, &to(there, 7), 1);
            }
        }
    }
}

#[test]
fn what_is_too_long_crosses_encrypted_too() {
    let mut pair = Pair::new();
    let tunnel = to("192.168.7.2", 7);
    let [one, other] = &mut pair.ports;
    cross(one, other, &tunnel, 3);
    refuse(one, other, &Tunnel { df: true, ..tunnel.clone() });
    cross(one, other, &tunnel, 1);
}

/// The path gets wider: what left one by one leaves at once again, some time later.
#[test]
fn a_wider_path_is_noticed() {
    let [left, right] = nodes();
    let mut one = left.enter(|| Tunnels::default().add(config(Kind::Geneve, "192.168.7.2", 7)).unwrap());
    let mut other = right.enter(|| Tunnels::default().add(config(Kind::Geneve, "192.168.7.1", 7)).unwrap());
    let tunnel = to("192.168.7.2", 7);
    cross(&mut one, &mut other, &tunnel, 1);
    for namespace in [&left, &right] {
        namespace.ip("link set eth0 mtu 9200");
    }
    cross(&mut one, &mut other, &tunnel, 1010);
}
