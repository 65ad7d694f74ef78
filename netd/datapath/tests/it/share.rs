//! A port's share of questions to the pipeline: what is new beyond it is dropped, what is known goes on, for a while, as it did.

use crate::caches::{Collect, Sent, look};
use crate::packets::{Ends, udp};
use crate::rules::{Rule, Rules};
use hive_conntrack::Settings;
use hive_datapath::{Counter, Engine, EngineSettings, Packet, Shared, Tracker};
use hive_flow::Field;
use hive_packet::VnetHeader;
use hive_program::{Op, PortId, RecircId};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// With ten questions in one go, and one each millisecond.
struct Switch {
    engine: Engine<Rules>,
    rules: Arc<Rules>,
}

impl Switch {
    fn new(rules: Vec<Rule>) -> Self {
        let rules = Arc::new(Rules::new(rules));
        let shared = Shared {
            pipeline: Arc::clone(&rules),
            tracker: Arc::new(Tracker::new(&Settings::default())),
            meters: Arc::default(),
        };
        let settings = EngineSettings { misses_burst: 10, misses_per_second: 1000, ..EngineSettings::default() };
        Self { engine: Engine::new(shared, settings), rules }
    }

    /// Sends datagrams from so many source ports.
    fn send(&mut self, port: u32, from: u16, count: u16, now_ms: u64) -> Vec<Sent> {
        let frames: Vec<_> =
            (from..from + count).map(|number| udp(Ends { source: (1, number), destination: (2, 80) }, b"")).collect();
        let mut packets: Vec<_> = frames.iter().map(|frame| Packet::of_frame(frame, VnetHeader::default())).collect();
        let mut out = Collect::default();
        self.engine.process(PortId(port), &mut packets, &mut out, now_ms);
        out.0
    }

    fn counted(&self, counter: Counter) -> u64 {
        self.engine.counters().get(counter)
    }

    fn asked(&self) -> u64 {
        self.rules.translations.load(Ordering::Relaxed)
    }

    fn flows(&self) -> usize {
        self.engine.held().0
    }
}

/// Each packet is a flow of its own, and leaves by this port.
fn each_its_own(port: u32) -> Vec<Rule> {
    vec![
        Rule { wanted: vec![(Field::TpSrc, 0, 0xffff)], ops: vec![] },
        Rule { wanted: vec![], ops: vec![Op::Output(PortId(port))] },
    ]
}

/// How many left by each of two ports.
fn by_ports(sent: &[Sent]) -> (usize, usize) {
    let by = |port| sent.iter().filter(|sent| sent.0 == PortId(port)).count();
    assert_eq!(by(2) + by(3), sent.len());
    (by(2), by(3))
}

/// One port's misses take no other port's share, and what is beyond is counted.
#[test]
fn a_port_asks_no_more_than_its_share() {
    let mut switch = Switch::new(each_its_own(2));
    let mut send = |port, from, count, now_ms| {
        let sent = switch.send(port, from, count, now_ms).len();
        (sent, switch.counted(Counter::MissLimit))
    };
    assert_eq!(send(1, 1, 100, 0), (10, 90));
    assert_eq!(send(3, 1, 5, 0), (5, 90), "another port's share is its own");
    assert_eq!(send(1, 1, 10, 0), (10, 90), "what is known is not asked for");
    assert_eq!(send(1, 1000, 10, 5), (5, 95), "a second's share comes by and by");
}

/// Asking anew after a change of the pipeline is within a port's share too; beyond it nothing that is known is lost.
#[test]
fn what_is_known_goes_on_when_rules_change() {
    let mut switch = Switch::new(each_its_own(2));
    assert_eq!(switch.send(1, 1, 10, 0).len(), 10);
    assert_eq!(switch.send(1, 11, 10, 10).len(), 10);
    switch.rules.replace(each_its_own(3));
    assert_eq!(by_ports(&switch.send(1, 1, 20, 15)), (15, 5), "five questions came by since");
    assert_eq!((switch.asked(), switch.counted(Counter::StaleHits), switch.flows()), (25, 15, 20));
    assert_eq!(by_ports(&switch.send(1, 1, 20, 15)), (15, 5), "the same again");
    assert_eq!(by_ports(&switch.send(1, 6, 15, 25)), (5, 10), "others have theirs yet");
    assert_eq!(by_ports(&switch.send(1, 1, 20, 30)), (0, 20));
    assert_eq!(switch.asked(), 40, "none is asked for twice");
    assert_eq!(switch.counted(Counter::MissLimit), 0);
    // What is new has no way that it went.
    assert_eq!(switch.send(1, 100, 5, 30).len(), 0);
    assert_eq!(switch.counted(Counter::MissLimit), 5);
    // Other bits matter: the flow is another one, and the old one is gone.
    switch.rules.replace(vec![Rule { wanted: vec![(Field::Ipv4Dst, 2, 0xff)], ops: vec![Op::Output(PortId(3))] }]);
    assert_eq!((switch.send(1, 1, 1, 50).len(), switch.flows()), (1, 20));
    assert_eq!((switch.send(1, 2, 1, 51).len(), switch.flows()), (1, 19), "it is of the first one's flow");
    // All that went is credited, whatever it went by.
    switch.engine.flush(60);
    let credited = switch.rules.credited.lock().unwrap();
    assert_eq!(credited.values().map(|(packets, ..)| packets).sum::<u64>(), 10 + 10 + 20 + 20 + 15 + 20 + 2);
}

/// What a rule allowed that is gone is not for ever: half a second later at most nothing goes by it, whatever the traffic.
#[test]
fn what_rules_said_before_ends() {
    for by_packets in [true, false] {
        let mut switch = Switch::new(each_its_own(2));
        assert_eq!((switch.send(1, 1, 10, 1).len(), switch.send(1, 11, 10, 11).len()), (10, 10));
        switch.rules.replace(each_its_own(3));
        // Whether packets come or the worker looks after its flows: time goes on.
        for step in 0..=10 {
            let now_ms = 11 + 50 * step;
            if by_packets {
                switch.send(9, 1, 1, now_ms);
            } else {
                switch.engine.maintain(now_ms, usize::MAX);
            }
        }
        let before = switch.counted(Counter::StaleHits);
        assert_eq!(by_ports(&switch.send(1, 1, 20, 511)), (0, 10));
        assert_eq!((switch.counted(Counter::StaleHits), switch.counted(Counter::MissLimit)), (before, 10));
    }
}

/// At any time a change leaves them a quarter of a second.
#[test]
fn what_rules_said_before_does_not_end_at_once() {
    for changed_ms in 20..300 {
        let mut switch = Switch::new(each_its_own(2));
        assert_eq!((switch.send(1, 1, 10, 1).len(), switch.send(1, 11, 10, 11).len()), (10, 10));
        for now_ms in 12..=changed_ms {
            switch.engine.maintain(now_ms, usize::MAX);
        }
        switch.rules.replace(each_its_own(3));
        switch.engine.maintain(changed_ms, usize::MAX);
        assert_eq!(switch.send(1, 1, 20, changed_ms + 249).len(), 20, "changed at {changed_ms} ms");
    }
}

/// However often rules change, a flow that was asked for a moment ago goes on.
#[test]
fn what_is_asked_for_anew_goes_on() {
    let mut switch = Switch::new(each_its_own(2));
    for round in 0..20 {
        // In ten of these a port may ask about all of its flows.
        for at in 0..10 {
            let now_ms = 1 + 200 * round + at;
            switch.rules.replace(each_its_own(2));
            assert_eq!(switch.send(1, 1, 10, now_ms).len(), 10, "{now_ms} ms");
        }
    }
    assert!(switch.counted(Counter::StaleHits) > 1000);
    assert_eq!(switch.counted(Counter::MissLimit), 0);
}

/// A packet whose first pass went by what was said before leaves nothing in the caches that would skip that pass.
#[test]
fn a_way_that_is_old_in_parts_is_not_kept() {
    let rules = || {
        let mut rules = each_its_own(2);
        rules[1].wanted = vec![(Field::RecircId, 1, u128::from(u32::MAX))];
        rules[0].wanted.push((Field::RecircId, 0, u128::from(u32::MAX)));
        // Of the second pass all packets have one flow.
        rules.rotate_left(1);
        let ops =
            vec![Op::Set { field: Field::IpTtl, value: 9, mask: 0xff }, look(1, None), Op::Recirculate(RecircId(1))];
        rules.push(Rule { wanted: vec![], ops });
        rules
    };
    let mut switch = Switch::new(rules());
    let ttls = |sent: Vec<Sent>| sent.iter().map(|sent| sent.2[22]).collect::<Vec<_>>();
    assert_eq!(ttls(switch.send(1, 1, 9, 0)), [9; 9]);
    switch.rules.replace(rules());
    // Two questions: the first one's passes. The others' second pass is known.
    for _ in 0..3 {
        assert_eq!(ttls(switch.send(1, 1, 9, 2)), [9; 9]);
    }
    assert_eq!(switch.counted(Counter::StaleHits), 24);
}
