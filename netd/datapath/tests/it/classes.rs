//! Packets that are not as most are go by fused ways as well: of IPv6, with a tag, into tunnels and out of them, if they are not too long.

use crate::caches::{Frame, Sent, Switch, commit, look, offloaded, on, tunnel};
use crate::packets::{ACK, Ends, SYN, Tcp, icmp6, tagged, tcp, tcp6, udp, udp6};
use crate::rules::Rule;
use hive_datapath::Counter;
use hive_flow::{Field, Key};
use hive_packet::VnetHeader;
use hive_program::{Op, PortId, RecircId};
use std::sync::Arc;

const ENDS: Ends = Ends { source: (0x0a00_0001, 1000), destination: (0x0a00_0011, 80) };

/// What the switch with caches sends, which is what the one without does; and how many went by fused ways.
struct Pair {
    fused: Switch,
    slow: Switch,
}

impl Pair {
    fn new(rules: &[Rule]) -> Self {
        Self { fused: Switch::new(rules.to_vec(), true, true), slow: Switch::new(rules.to_vec(), false, false) }
    }

    fn hits(&self) -> u64 {
        self.fused.engine.counters().get(Counter::FusedHits)
    }

    fn send(&mut self, port: u32, frame: Frame) -> (Vec<Sent>, u64) {
        let before = self.hits();
        let sent = self.fused.send_known(port, std::slice::from_ref(&frame), 5);
        assert_eq!(sent, self.slow.send_known(port, &[frame], 5));
        (sent, self.hits() - before)
    }
}

fn plain(bytes: Vec<u8>) -> Frame {
    Frame { bytes, vnet: VnetHeader::default(), metadata: None }
}

fn segment(flags: u8, seq: u32, ack: u32, payload: &[u8]) -> Tcp<'_> {
    Tcp { flags, seq, ack, window: 9000, payload }
}

/// A group of rules with a length that packets may have, and the VPC's number and the node's address for them.
fn to_another_node(bytes: u16) -> Vec<Rule> {
    let there = [Op::SetTunnel(Arc::new(tunnel())), Op::Output(PortId(2))];
    let ops = vec![
        Op::Set { field: Field::EthDst, value: 0x0200_0000_00cc, mask: Field::EthDst.full_mask() },
        Op::IfLarger { bytes, then: Arc::from([Op::Output(PortId(3))]), otherwise: Arc::from(there) },
    ];
    vec![
        Rule { wanted: vec![(Field::RecircId, 0, u128::MAX)], ops: vec![look(1, None), Op::Recirculate(RecircId(1))] },
        on(1, 0x22, ops.clone()),
        on(1, 0x21, [vec![commit(1, None, None)], ops].concat()),
    ]
}

fn of_tunnel(id: u128, source: u128) -> Option<Key> {
    let mut key = Key::ZERO;
    for (field, value) in [(Field::TunId, id), (Field::TunSrc, source), (Field::TunDst, 9)] {
        key.set(field, value);
    }
    Some(key)
}

type Make = fn(Ends, Tcp<'_>) -> Vec<u8>;

#[test]
fn connections_of_all_kinds_are_fused() {
    let kinds: [(&str, Make); 4] = [
        ("IPv4", tcp),
        ("IPv6", tcp6),
        ("IPv4 with a tag", |ends, segment| tagged(tcp(ends, segment))),
        ("IPv6 with a tag", |ends, segment| tagged(tcp6(ends, segment))),
    ];
    for (name, make) in kinds {
        for metadata in [None, of_tunnel(7, 1)] {
            let mut pair = Pair::new(&to_another_node(1000));
            let of = |ends, segment: Tcp<'_>| Frame { metadata, ..plain(make(ends, segment)) };
            pair.send(1, of(ENDS, segment(SYN, 10, 0, &[])));
            pair.send(1, of(ENDS.reversed(), segment(SYN | ACK, 20, 11, &[])));
            let mut hits = 0;
            for round in 0..10u32 {
                let (bytes, vnet) = match round % 3 {
                    0 => (make(ENDS, segment(ACK, 11, 21, &[7; 60])), VnetHeader::default()),
                    // What a guest with offloads sends.
                    1 => offloaded(make(ENDS, segment(ACK, 11, 21, &[7; 900])), 0),
                    _ => offloaded(make(ENDS, segment(ACK, 11, 21, &[7; 2000])), 500),
                };
                let (sent, hit) = pair.send(1, Frame { bytes, vnet, metadata });
                assert_eq!((sent.len(), sent[0].0, sent[0].3), (1, PortId(2), Some(9)), "{name}");
                hits += hit;
            }
            assert_eq!(hits, 9, "{name}, {}", metadata.is_some());
            // A wrong checksum is not the fused way's to say.
            let mut wrong = of(ENDS, segment(ACK, 11, 21, &[7; 61]));
            *wrong.bytes.last_mut().unwrap() ^= 1;
            assert_eq!(pair.send(1, wrong).1, 0, "{name}");
            assert_eq!(pair.send(1, of(ENDS, segment(ACK, 9_000_000, 21, &[7]))).1, 0, "{name}: out of its window");
            assert_eq!(pair.send(1, of(ENDS, segment(ACK, 11, 21, &[]))).1, 1, "{name}");
        }
    }
}

/// A packet that is too long goes the other way, whenever it comes, and those that are not by the fused way, whoever came first.
#[test]
fn a_length_is_looked_at_each_time() {
    for make in [udp, udp6, |ends, payload: &[u8]| tagged(udp(ends, payload))] {
        let header = make(ENDS, &[]).len();
        for too_long_first in [false, true] {
            let mut pair = Pair::new(&to_another_node(1000));
            pair.send(1, plain(make(ENDS, &[1])));
            pair.send(1, plain(make(ENDS.reversed(), &[1])));
            let fits = || vec![1; 1000 - header];
            let long = || vec![1; 1001 - header];
            if too_long_first {
                pair.send(1, plain(make(ENDS, &long())));
            }
            let (mut hits, mut count) = (0, 0);
            for _ in 0..200 {
                let (sent, hit) = pair.send(1, plain(make(ENDS, &fits())));
                assert_eq!(sent[0].0, PortId(2));
                hits += hit;
                count += 1;
            }
            // A place is given away once in sixteen times.
            assert!(hits >= count - 100, "{hits} of {count}");
            let (mut hits, mut others) = (0, 0);
            for round in 0..400 {
                let payload = if round % 20 == 0 { long() } else { fits() };
                let (sent, hit) = pair.send(1, plain(make(ENDS, &payload)));
                assert_eq!(sent[0].0, PortId(if round % 20 == 0 { 3 } else { 2 }));
                if round % 20 == 0 {
                    others += hit;
                } else {
                    hits += hit;
                }
            }
            assert!(hits > 300 && others < 10, "{hits} of 380, {others} of 20");
        }
    }
}

/// Of a large frame each segment counts.
#[test]
fn the_segments_of_a_large_frame_count() {
    for make in [tcp, tcp6] {
        let mut pair = Pair::new(&to_another_node(1000));
        let header = make(ENDS, segment(ACK, 1, 1, &[])).len() as u16;
        pair.send(1, plain(make(ENDS, segment(SYN, 10, 0, &[]))));
        pair.send(1, plain(make(ENDS.reversed(), segment(SYN | ACK, 20, 11, &[]))));
        pair.send(1, plain(make(ENDS, segment(ACK, 11, 21, &[]))));
        for (size, port) in [(1000 - header, 2), (1001 - header, 3), (1000 - header, 2), (1400, 3)] {
            let (bytes, vnet) = offloaded(make(ENDS, segment(ACK, 11, 21, &[3; 4000])), size);
            let (sent, hit) = pair.send(1, Frame { bytes, vnet, metadata: None });
            assert_eq!((sent[0].0, hit), (PortId(port), u64::from(port == 2)), "segments of {size}");
        }
    }
}

/// The same packet out of two tunnels is two things.
#[test]
fn tunnels_are_told_apart() {
    let to = |field, value, port| Rule {
        wanted: vec![(field, value, u128::MAX)],
        ops: vec![
            Op::Set { field: Field::EthSrc, value: port, mask: Field::EthSrc.full_mask() },
            Op::Output(PortId(port as u32)),
        ],
    };
    let rules =
        [to(Field::TunId, 7, 2), to(Field::TunSrc, 2, 3), to(Field::TunMetadata(1), 5, 4), to(Field::InPort, 1, 5)];
    let mut pair = Pair::new(&rules);
    let mut option = of_tunnel(9, 9);
    option.as_mut().unwrap().set(Field::TunMetadata(1), 5);
    let mut unknown = of_tunnel(9, 9);
    unknown.as_mut().unwrap().set(Field::TunMetadata(7), 5);
    for make in [udp, udp6] {
        for round in 0..3 {
            for (metadata, port) in
                [(of_tunnel(7, 1), 2), (of_tunnel(8, 2), 3), (option, 4), (None, 5), (of_tunnel(8, 1), 5), (unknown, 5)]
            {
                let (sent, hit) = pair.send(1, Frame { metadata, ..plain(make(ENDS, b"x")) });
                assert_eq!(sent[0].0, PortId(port));
                assert_eq!(hit, u64::from(round > 0 && metadata != unknown), "to {port}");
            }
        }
    }
}

/// Class and congestion share a byte: of what is not set each packet keeps its own.
#[test]
fn what_shares_a_byte_with_a_set_field_stays() {
    let set = |field, value| Op::Set { field, value, mask: Field::full_mask(field) };
    for (field, value) in [(Field::IpDscp, 5), (Field::IpEcn, 1), (Field::Ipv6Label, 77)] {
        let mut pair = Pair::new(&[Rule { wanted: vec![], ops: vec![set(field, value), Op::Output(PortId(2))] }]);
        let mut hits = 0;
        for round in 0..16u8 {
            let mut bytes = udp(ENDS, b"x");
            let (two, others) = (round % 4, round / 4);
            bytes[15] = (two << 2) | others;
            bytes[24..26].fill(0);
            let check = hive_packet::checksum::checksum(&bytes[14..34]);
            bytes[24..26].copy_from_slice(&check.to_be_bytes());
            let mut v6 = udp6(ENDS, b"x");
            v6[14..18].copy_from_slice(&[0x60 | two, (others << 4) | (round & 1), 0, round % 3]);
            for frame in [bytes, v6] {
                pair.send(1, plain(frame.clone()));
                hits += pair.send(1, plain(frame)).1;
            }
        }
        assert_eq!(hits, 32);
    }
}

/// What is behind the first bytes of a frame of IPv6 changes too; then all goes the long way.
#[test]
fn addresses_of_ipv6_that_are_translated_are_not_fused() {
    let set = Op::Set { field: Field::Ipv6Dst, value: 5 << 100 | 6, mask: u128::MAX };
    let hops = Op::Set { field: Field::IpTtl, value: 9, mask: 0xff };
    for (ops, fused) in [(vec![set, Op::Output(PortId(2))], 0), (vec![hops, Op::Output(PortId(2))], 4)] {
        let mut pair = Pair::new(&[Rule { wanted: vec![], ops }]);
        let mut hits = 0;
        for number in 0..5 {
            hits += pair.send(1, plain(tcp6(ENDS, segment(ACK, number, 1, &[1; 70])))).1;
        }
        assert_eq!(hits, fused);
        // No rule tells messages from segments, but those of neighbour discovery have more to look at.
        let mut message = |kind, number| pair.send(1, plain(icmp6(ENDS, kind, &[number; 20]))).1;
        assert_eq!([message(128, 1), message(128, 2), message(135, 1), message(135, 1)], [fused / 4, fused / 4, 0, 0]);
    }
}

/// Where nothing comes behind it, a list on a copy, or for some lengths, is as any other.
#[test]
fn what_is_last_within_others_is_fused() {
    let last = |ops: Vec<Op>| Op::Clone(ops.into());
    let both = |ops: Vec<Op>| Op::IfLarger { bytes: 20, then: ops.into(), otherwise: Arc::from([]) };
    let rules = vec![
        Rule {
            wanted: vec![(Field::RecircId, 0, u128::MAX)],
            ops: vec![last(vec![both(vec![look(1, None), Op::Recirculate(RecircId(1))])])],
        },
        on(1, 0x22, vec![last(vec![Op::Output(PortId(2))])]),
        on(1, 0x21, vec![commit(1, None, None), Op::Output(PortId(2))]),
    ];
    let mut pair = Pair::new(&rules);
    pair.send(1, plain(udp(ENDS, b"x")));
    pair.send(1, plain(udp(ENDS.reversed(), b"x")));
    let hits: Vec<u64> = (0..3).map(|_| pair.send(1, plain(udp(ENDS, b"x"))).1).collect();
    assert_eq!(hits, [0, 1, 1]);
}

/// Where something comes behind it, it goes on with the packet as it was.
#[test]
fn what_comes_behind_sees_nothing_of_a_copy() {
    let again = || Arc::from([Op::Recirculate(RecircId(1))]);
    let in_pass = |id: u128| vec![(Field::RecircId, id, u128::MAX)];
    for first in [Op::IfLarger { bytes: 20, then: again(), otherwise: Arc::from([]) }, Op::Clone(again())] {
        let mut pair = Pair::new(&[
            Rule { wanted: in_pass(0), ops: vec![first, Op::Output(PortId(4))] },
            Rule {
                wanted: in_pass(1),
                ops: vec![Op::Set { field: Field::EthSrc, value: 1, mask: u128::MAX >> 80 }, Op::Output(PortId(2))],
            },
        ]);
        for _ in 0..3 {
            let frame = udp(ENDS, b"x");
            let (sent, hit) = pair.send(1, plain(frame.clone()));
            assert_eq!((sent.len(), hit, sent[1].0, &sent[1].2), (2, 0, PortId(4), &frame));
        }
    }
}
