//! What is full: connections, a zone, flows, masks. What is there goes on, what is beyond is counted, and nothing grows.

use crate::caches::{Switch, commit, look, on, plain};
use crate::packets::{Ends, ethernet, ipv4, udp};
use crate::rules::Rule;
use hive_conntrack::{Flush, Nat, NatRange};
use hive_datapath::{Counter, Left};
use hive_flow::Field;
use hive_program::{Op, PortId, RecircId};

/// Port 1 begins connections, port 2 answers.
fn security_group(zone: u16) -> Vec<Rule> {
    vec![
        Rule {
            wanted: vec![(Field::RecircId, 0, u128::from(u32::MAX))],
            ops: vec![look(zone, None), Op::Recirculate(RecircId(1))],
        },
        on(1, 0x22, vec![Op::Output(PortId(9))]),
        on(1, 0x21, vec![commit(zone, None, None), Op::Output(PortId(9))]),
    ]
}

fn ends(number: u16) -> Ends {
    Ends { source: (0x0a00_0001, number), destination: (0x0a00_0002, 80) }
}

/// How many of the packets went out.
fn send(switch: &mut Switch, port: u32, ends: impl IntoIterator<Item = Ends>) -> usize {
    let frames = ends.into_iter().map(|ends| udp(ends, b"")).collect();
    switch.send(port, &plain(frames), 1).len()
}

#[test]
fn a_full_connection_table_keeps_out_what_is_new_and_nothing_else() {
    for (whole, reason) in [(true, Counter::ConntrackFull), (false, Counter::ConntrackZoneFull)] {
        let mut switch = Switch::new(security_group(7), true, true);
        if whole {
            switch.tracker.set_connections_max(3);
        } else {
            switch.tracker.set_zone_max(7, Some(3));
        }
        let refused = |switch: &Switch| switch.engine.counters().get(reason);
        assert_eq!(send(&mut switch, 1, (1..=5).map(ends)), 3);
        assert_eq!((refused(&switch), switch.tracker.len()), (2, 3));
        // Those that are there go on in both directions, the long way and the short one.
        for _ in 0..4 {
            assert_eq!(send(&mut switch, 2, (1..=3).map(|number| ends(number).reversed())), 3);
            assert_eq!(send(&mut switch, 1, (1..=3).map(ends)), 3);
        }
        assert!(switch.engine.counters().get(Counter::FusedHits) > 0);
        assert_eq!(refused(&switch), 2);
        assert_eq!(send(&mut switch, 1, [ends(4)]), 0, "also when it is known to the caches");
        assert_eq!(refused(&switch), 3);
        let counters = switch.tracker.counters();
        let by_tracker = if whole { counters.refused_full } else { counters.refused_zone_full };
        assert_eq!(by_tracker, 3);
        // Another zone has room, if there is any.
        switch.rules.replace(security_group(8));
        assert_eq!(send(&mut switch, 1, [ends(5)]), usize::from(!whole));
        // One that ends makes room for one.
        switch.rules.replace(security_group(7));
        let tuple = hive_conntrack::Tuple::new(false, 17, (0x0a00_0001, 1), (0x0a00_0002, 80), 7);
        assert_eq!(switch.tracker.flush(Flush::Tuple(&tuple)), 1);
        assert_eq!(send(&mut switch, 1, [ends(4), ends(5)]), 1);
    }
}

/// What finds no address and port to be translated to does not leave by its own.
#[test]
fn a_used_up_range_keeps_out_what_is_new_and_nothing_else() {
    let range =
        NatRange { addresses: Some((0x0a63_0001, 0x0a63_0001)), ports: Some((5000, 5002)), ..NatRange::default() };
    let look = look(7, Some(Nat::Existing));
    let rules = vec![
        Rule {
            wanted: vec![(Field::RecircId, 0, u128::from(u32::MAX))],
            ops: vec![look, Op::Recirculate(RecircId(1))],
        },
        on(1, 0x22, vec![Op::Output(PortId(9))]),
        on(1, 0x21, vec![commit(7, Some(Nat::Source(range)), None), Op::Output(PortId(9))]),
    ];
    let mut switch = Switch::new(rules, true, true);
    let refused = |switch: &Switch| switch.engine.counters().get(Counter::ConntrackNatExhausted);
    for round in 0..4 {
        let sent = switch.send(1, &plain((1..=5).map(|number| udp(ends(number), b"")).collect()), 1);
        assert!(sent.iter().all(|(_, _, frame, ..)| frame[26..30] == [10, 99, 0, 1]), "{sent:x?}");
        assert_eq!((sent.len(), refused(&switch)), (3, 2 * (round + 1)), "round {round}");
        let answer = |port| Ends { source: (0x0a00_0002, 80), destination: (0x0a63_0001, port) };
        assert_eq!(send(&mut switch, 2, (5000..=5002).map(answer)), 3);
    }
    assert!(switch.engine.counters().get(Counter::FusedHits) > 0);
    // A fragment behind a first one that did not leave does not leave either.
    let [first, later] = fragments(ends(4));
    assert_eq!(switch.send(1, &plain(vec![first, later]), 1).len(), 0);
    assert_eq!(switch.tracker.len(), 3);
}

/// A datagram in two fragments.
fn fragments(ends: Ends) -> [Vec<u8>; 2] {
    let whole = udp(ends, &[0; 24]);
    let fragment = |offset: u16, more: u16, payload: &[u8]| {
        let mut packet = ipv4(17, ends.source.0, ends.destination.0, payload);
        packet[6..8].copy_from_slice(&(more * 0x2000 + offset / 8).to_be_bytes());
        packet[10..12].fill(0);
        let check = hive_packet::checksum::checksum(&packet[..20]);
        packet[10..12].copy_from_slice(&check.to_be_bytes());
        ethernet(0x0800, &packet)
    };
    [fragment(0, 1, &whole[34..50]), fragment(16, 0, &whole[50..])]
}

#[test]
fn without_room_for_flows_packets_are_forwarded_all_the_same() {
    let rules = vec![
        Rule { wanted: vec![(Field::TpSrc, 0, 0xffff)], ops: vec![] },
        Rule { wanted: vec![], ops: vec![Op::Output(PortId(2))] },
    ];
    let mut switch = Switch::new(rules, true, true);
    let flows_max = crate::caches::FLOWS_MAX as u16;
    let numbers = 1..=flows_max + 100;
    let misses = |switch: &Switch| switch.engine.counters().get(Counter::Misses);
    for round in 1..=3 {
        assert_eq!(send(&mut switch, 1, numbers.clone().map(ends)), numbers.len());
        assert_eq!(switch.engine.held().0, crate::caches::FLOWS_MAX);
        // Those without a flow are asked for each time, and only those.
        assert_eq!(misses(&switch), u64::from(flows_max) + 100 * round);
    }
    // The crowd of flows that idle makes room for those that come.
    let later = plain(vec![udp(ends(flows_max + 50), b"")]);
    for step in 0..100 {
        switch.engine.maintain(200 + 10 * step, usize::MAX);
    }
    assert_eq!(switch.send(1, &later, 1300).len(), 1);
    assert!(switch.engine.held().0 <= crate::caches::FLOWS_MAX);
    let before = misses(&switch);
    assert_eq!(switch.send(1, &later, 1301).len(), 1);
    assert_eq!(misses(&switch), before, "it has a flow now");
}

/// A UDP datagram over IPv6 whose addresses and ports have this bit alone, of 288.
fn with_bit(bit: usize) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 8, 17, 64];
    packet.resize(40 + 8, 0);
    packet[8 + bit / 8] |= 0x80 >> (bit % 8);
    packet[44..46].copy_from_slice(&8u16.to_be_bytes());
    ethernet(0x86dd, &packet)
}

/// Each rule looks at one bit more than the one before it, so each packet's flow depends on other bits.
#[test]
fn without_room_for_masks_packets_are_forwarded_all_the_same() {
    const BITS: usize = 288;
    let field = |bit: usize| match bit {
        0..128 => (Field::Ipv6Src, 127 - bit),
        128..256 => (Field::Ipv6Dst, 255 - bit),
        256..272 => (Field::TpSrc, 271 - bit),
        _ => (Field::TpDst, 287 - bit),
    };
    let rule = |bit| {
        let (field, place) = field(bit);
        Rule { wanted: vec![(field, 1 << place, 1 << place)], ops: vec![Op::Output(PortId(2))] }
    };
    let mut switch = Switch::new((0..BITS).map(rule).collect(), true, true);
    let frames: Vec<_> = plain((0..BITS).map(with_bit).collect());
    for _ in 0..3 {
        // A few at a time: there is room for some dozens of flows only.
        for frames in frames.chunks(16) {
            assert_eq!(switch.send(1, frames, 1).len(), 16);
        }
    }
    let (flows, masks, _) = switch.engine.held();
    assert!(flows <= 256 && masks <= 256, "{flows} flows, {masks} masks");
    assert!(switch.engine.counters().get(Counter::FlowHits) > 0);
}

/// A worker looks at a few flows between two bursts, so that packets do not wait; what it leaves is not left out.
#[test]
fn flows_are_looked_after_a_few_at_a_time() {
    let rules = vec![
        Rule { wanted: vec![(Field::TpSrc, 0, 0xffff)], ops: vec![] },
        Rule { wanted: vec![], ops: vec![Op::Output(PortId(2))] },
    ];
    let mut switch = Switch::new(rules, true, true);
    assert_eq!(send(&mut switch, 1, (1..=100).map(ends)), 100);
    let held = |switch: &Switch| switch.engine.held().0;
    assert_eq!(switch.engine.maintain(20_000, 4), Left::Later);
    assert!(held(&switch) >= 96);
    // It was away for longer than it takes to look at all.
    assert_eq!(switch.engine.maintain(20_300, 4), Left::Now);
    assert!(held(&switch) >= 92);
    for _ in 0..23 {
        assert_eq!(switch.engine.maintain(20_300, 4), Left::Now);
    }
    assert_eq!(switch.engine.maintain(20_300, 4), Left::Nothing);
    assert_eq!(held(&switch), 0);
    let credited = switch.rules.credited.lock().unwrap();
    assert_eq!(credited.values().map(|(packets, ..)| packets).sum::<u64>(), 100);
}

/// Fused ways are looked at as often as flows, and neither has all of a worker's time, however long there is too little of it.
#[test]
fn neither_flows_nor_fused_ways_keep_the_others_waiting() {
    const FLOWS: u16 = 200;
    // To the port 80 connections, to others whatever has a flow of its own.
    let mut rules = vec![Rule { wanted: vec![(Field::TpDst, 9, 0xffff)], ops: vec![Op::Output(PortId(2))] }];
    rules.extend(security_group(7));
    rules.insert(0, Rule { wanted: vec![(Field::TpSrc, 0, 0xffff)], ops: vec![] });
    let mut switch = Switch::new(rules, true, true);
    let plain = |number| Ends { source: (0x0a00_0001, number), destination: (0x0a00_0002, 9) };
    let connections = 1..=30;
    for _ in 0..4 {
        send(&mut switch, 1, connections.clone().map(ends));
        send(&mut switch, 2, connections.clone().map(|number| ends(number).reversed()));
    }
    assert_eq!(send(&mut switch, 1, (1000..1000 + FLOWS).map(plain)), usize::from(FLOWS));
    let (flows, _, fused) = switch.engine.held();
    assert!(flows > 200 && fused > 30, "{flows} flows, {fused} fused ways");
    // Each time as many are due anew as there are, and four of them are looked at.
    let (mut now_ms, mut rounds) = (20_000, 0);
    while switch.engine.held() != (0, 0, 0) {
        now_ms += 300;
        rounds += 1;
        switch.engine.maintain(now_ms, 4);
        assert!(rounds <= flows, "{:?} are held after {rounds} rounds", switch.engine.held());
    }
}
