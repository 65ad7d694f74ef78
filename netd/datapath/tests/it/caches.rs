//! The engine with caches does what the engine without them does: for any rules, packets, changes of rules, ends of connections.

use crate::packets::{ACK, Ends, FIN, RST, SYN, Tcp, ethernet, icmp6, ipv4, tcp, tcp6, udp, udp6};
use crate::rules::{Rule, Rules};
use hive_conntrack::{Flush, Nat, NatRange, Request, Settings};
use hive_datapath::{
    Band, Counter, Engine, EngineSettings, MeterSpec, Meters, Outgoing, Output, Packet, Shared, Tracker,
};
use hive_flow::{Field, Key};
use hive_packet::VnetHeader;
use hive_packet::checksum::{fold, sum};
use hive_packet::offload::{GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, NEEDS_CSUM};
use hive_program::{BridgeId, HashOf, MeterId, Op, PortId, Punt, RecircId, Tunnel};
use proptest::prelude::*;
use std::sync::Arc;

/// What left: by which port, how, and where it is tunnelled to.
pub type Sent = (PortId, VnetHeader, Vec<u8>, Option<u64>, u32);

#[derive(Default)]
pub struct Collect(pub Vec<Sent>);

impl<T: hive_datapath::Tail> Output<T> for Collect {
    fn output(&mut self, port: PortId, frame: &Outgoing<'_, T>) -> bool {
        let mut bytes = Vec::new();
        frame.copy_into(&mut bytes);
        self.0.push((port, frame.vnet, bytes, frame.tunnel.map(|tunnel| tunnel.id), frame.skb_priority));
        true
    }
}

/// Flows that a switch of a test has room for.
pub const FLOWS_MAX: usize = 300;

const METER: MeterId = MeterId { bridge: BridgeId(1), meter: 1 };

pub struct Switch {
    pub engine: Engine<Rules>,
    pub rules: Arc<Rules>,
    pub tracker: Arc<Tracker>,
}

impl Switch {
    pub fn new(rules: Vec<Rule>, caches: bool, fuse: bool) -> Self {
        let rules = Arc::new(Rules::new(rules));
        let settings = Settings { seed: 7, ..Settings::default() };
        let tracker = Arc::new(Tracker::new(&settings));
        let meters = Arc::new(Meters::default());
        meters.set(METER, MeterSpec { packets: true, bands: vec![Band { rate: 1, burst: 20 }] }, 0);
        let shared = Shared { pipeline: Arc::clone(&rules), tracker: Arc::clone(&tracker), meters };
        let settings = EngineSettings {
            caches,
            fuse,
            exact_entries: 64,
            flows_max: FLOWS_MAX,
            seed: 3,
            misses_burst: 1_000_000,
            misses_per_second: 1_000_000,
            ..EngineSettings::default()
        };
        Self { engine: Engine::new(shared, settings), rules, tracker }
    }

    pub fn send(&mut self, port: u32, frames: &[(Vec<u8>, VnetHeader)], now_ms: u64) -> Vec<Sent> {
        let packets = frames.iter().map(|(frame, vnet)| Packet::of_frame(frame, *vnet)).collect();
        self.process(port, packets, now_ms)
    }

    pub fn send_known(&mut self, port: u32, frames: &[Frame], now_ms: u64) -> Vec<Sent> {
        let packets = frames.iter().map(|Frame { bytes, vnet, metadata }| Packet {
            metadata: metadata.as_ref(),
            ..Packet::of_frame(bytes, *vnet)
        });
        self.process(port, packets.collect(), now_ms)
    }

    fn process(&mut self, port: u32, mut packets: Vec<Packet<'_, &[u8]>>, now_ms: u64) -> Vec<Sent> {
        let mut out = Collect::default();
        self.engine.process(PortId(port), &mut packets, &mut out, now_ms);
        out.0
    }

    fn drops(&self) -> Vec<u64> {
        let of = [Counter::Pipeline, Counter::Meter, Counter::RecirculationDepth, Counter::CloneDepth, Counter::Punted];
        of.into_iter().map(|counter| self.engine.counters().get(counter)).collect()
    }
}

/// A frame, and what is known of it beside.
#[derive(Clone, Debug)]
pub struct Frame {
    pub bytes: Vec<u8>,
    pub vnet: VnetHeader,
    pub metadata: Option<Key>,
}

/// Gives a frame a partial checksum, as a guest with offloads sends it, and has it cut into segments of that size.
pub fn offloaded(mut bytes: Vec<u8>, gso_size: u16) -> (Vec<u8>, VnetHeader) {
    let l3 = if bytes.get(12..14) == Some(&[0x81, 0]) { 18 } else { 14 };
    let (l4, protocol_at, addresses) = match bytes.get(l3 - 2..l3) {
        Some([8, 0]) => (l3 + 20, l3 + 9, l3 + 12..l3 + 20),
        Some([0x86, 0xdd]) => (l3 + 40, l3 + 6, l3 + 8..l3 + 40),
        _ => return (bytes, VnetHeader::default()),
    };
    let (offset, gso_type) = match bytes.get(protocol_at) {
        Some(6) if bytes.len() >= l4 + 20 => (16, if addresses.len() == 8 { GSO_TCPV4 } else { GSO_TCPV6 }),
        Some(17) if bytes.len() >= l4 + 8 => (6, GSO_UDP_L4),
        _ => return (bytes, VnetHeader::default()),
    };
    let length = bytes.len() - l4;
    let pseudo = fold(sum(&bytes[addresses]) + u64::from(bytes[protocol_at]) + length as u64);
    bytes[l4 + offset..l4 + offset + 2].copy_from_slice(&pseudo.to_be_bytes());
    let (csum_start, csum_offset) = (l4 as u16, offset as u16);
    let vnet = VnetHeader { flags: NEEDS_CSUM, csum_start, csum_offset, ..VnetHeader::default() };
    let vnet = if gso_size == 0 { vnet } else { VnetHeader { gso_type, gso_size, header_bytes: csum_start, ..vnet } };
    (bytes, vnet)
}

#[derive(Clone, Debug)]
enum Step {
    Send(u32, Vec<Frame>),
    Wait(u64),
    Rules(Vec<Rule>),
    FlushFlows,
    FlushConnections(Option<u16>),
    Maintain,
}

/// Mostly nothing, or a tunnel.
fn metadata() -> impl Strategy<Value = Option<Key>> {
    let tunnel = |fields: &[(Field, u128)]| {
        let mut key = Key::ZERO;
        fields.iter().for_each(|(field, value)| key.set(*field, *value));
        Some(key)
    };
    let ports = |source, destination| [(Field::TunSrc, source), (Field::TunDst, destination)];
    prop_oneof![
        4 => Just(None),
        4 => (7u128..9, 1u128..3).prop_map(move |(id, source)| {
            tunnel(&[&[(Field::TunId, id)], &ports(source, 9)[..]].concat())
        }),
        1 => (0u128..3).prop_map(move |option| tunnel(&[(Field::TunId, 7), (Field::TunMetadata(0), option)])),
        1 => (0u128..3).prop_map(move |mark| tunnel(&[(Field::TunIpv6Src, 1 << 100), (Field::PktMark, mark)])),
    ]
}

fn frame() -> impl Strategy<Value = Frame> {
    let ends =
        (0u32..3, 0u32..3, 1000u16..1002, 80u16..82, any::<bool>()).prop_map(|(a, b, source, destination, back)| {
            let ends = Ends { source: (0x0a00_0001 + a, source), destination: (0x0a00_0011 + b, destination) };
            if back { ends.reversed() } else { ends }
        });
    let flags = prop_oneof![
        6 => Just(ACK), 2 => Just(SYN), 2 => Just(SYN | ACK), 1 => Just(FIN | ACK), 1 => Just(RST), 1 => any::<u8>()
    ];
    let payload = proptest::collection::vec(any::<u8>(), 0..60);
    let numbers = (0u32..300, 0u32..300, prop_oneof![Just(100u16), Just(9000)]);
    let of_tcp = (ends.clone(), flags, numbers, payload.clone(), any::<bool>()).prop_map(
        |(ends, flags, (seq, ack, window), payload, v6)| {
            let make = if v6 { tcp6 } else { tcp };
            make(ends, Tcp { flags, seq, ack, window, payload: &payload })
        },
    );
    let of_udp = (ends.clone(), payload.clone(), any::<bool>())
        .prop_map(|(ends, payload, v6)| if v6 { udp6(ends, &payload) } else { udp(ends, &payload) });
    let echo = (ends, any::<bool>(), 0u8..5).prop_map(|(ends, answer, v6)| {
        match v6 {
            0 => return icmp6(ends, if answer { 129 } else { 128 }, &[0, 5, 0, 1]),
            // A solicitation.
            1 => return icmp6(ends, 135, &[0; 20]),
            _ => {}
        }
        let mut message = vec![if answer { 0 } else { 8 }, 0, 0, 0, 0, 5, 0, 1];
        let check = !fold(sum(&message));
        message[2..4].copy_from_slice(&check.to_be_bytes());
        ethernet(0x0800, &ipv4(1, ends.source.0, ends.destination.0, &message))
    });
    let other = proptest::collection::vec(any::<u8>(), 0..80);
    let frame = prop_oneof![6 => of_tcp, 4 => of_udp, 1 => echo, 1 => other];
    // How it is spoilt: TTL, TOS, a bit anywhere, padding, a tag; then what a guest with offloads sends.
    let spoilt = (frame, 0u8..14, any::<(u8, u8)>()).prop_map(|(mut frame, how, (at, bits))| {
        let v6 = frame.get(12..14) == Some(&[0x86, 0xdd]);
        match how {
            // Only the header is summed up, and in words.
            0..=2 if frame.len() > 34 && !v6 => {
                let place = if how == 2 { 22 } else { 15 };
                let word = place & !1;
                let old = [frame[word], frame[word + 1]];
                frame[place] = bits & if how == 2 { 3 } else { 7 };
                let check = u16::from_be_bytes([frame[24], frame[25]]);
                let check = hive_packet::checksum::update(check, &old, &[frame[word], frame[word + 1]]);
                frame[24..26].copy_from_slice(&check.to_be_bytes());
            }
            0 if frame.len() > 34 => frame[21] = bits & 3,
            1 | 2 if frame.len() > 34 => (frame[14], frame[15], frame[17]) = (0x60 | bits & 1, bits & 0x70, at & 1),
            3 => {
                let at = usize::from(at) % frame.len().max(1);
                if let Some(byte) = frame.get_mut(at) {
                    *byte ^= bits;
                }
            }
            4 => frame.extend_from_slice(&[0; 30]),
            5 | 6 if frame.len() > 14 => drop(frame.splice(12..12, [0x81, 0, 0, 5 + (at & 1)])),
            7 if frame.len() > 14 => drop(frame.splice(12..12, [0x88, 0xa8, 0, 5])),
            _ => {}
        }
        frame
    });
    (spoilt, 0u8..8, 10u16..40, metadata()).prop_map(|(bytes, offloads, size, metadata)| {
        let (bytes, vnet) = match offloads {
            0 => offloaded(bytes, 0),
            1 => offloaded(bytes, size),
            _ => (bytes, VnetHeader::default()),
        };
        Frame { bytes, vnet, metadata }
    })
}

fn request() -> impl Strategy<Value = Op> {
    let nat = prop_oneof![
        6 => Just(None),
        1 => Just(Some(Nat::Existing)),
        1 => Just(Some(Nat::Source(NatRange { addresses: Some((0x0a63_0001, 0x0a63_0002)), ..NatRange::default() }))),
        1 => Just(Some(Nat::Destination(NatRange {
            addresses: Some((0x0a00_0011, 0x0a00_0011)), ports: Some((80, 80)), ..NatRange::default()
        }))),
    ];
    let mark = proptest::option::weighted(0.3, (0u32..3, prop_oneof![Just(u32::MAX), Just(1)]));
    (0u16..3, any::<bool>(), prop_oneof![9 => Just(false), 1 => Just(true)], nat, mark).prop_map(
        |(zone, commit, force, nat, mark)| {
            Op::Conntrack(Arc::new(Request { zone, commit, force, nat, mark, ..Request::default() }))
        },
    )
}

fn set() -> impl Strategy<Value = Op> {
    let field = proptest::sample::select(vec![
        Field::EthSrc,
        Field::EthDst,
        Field::Ipv4Src,
        Field::Ipv4Dst,
        Field::IpTtl,
        Field::IpDscp,
        Field::IpEcn,
        Field::TpSrc,
        Field::TpDst,
        Field::PktMark,
        Field::SkbPriority,
        Field::IcmpType,
        Field::MplsTtl,
        Field::Ipv6Src,
        Field::Ipv6Dst,
        Field::Ipv6Label,
    ]);
    (field, 0u128..4, prop_oneof![Just(u128::MAX), Just(3u128)]).prop_map(|(field, value, mask)| Op::Set {
        field,
        value,
        mask: mask & field.full_mask(),
    })
}

pub fn tunnel() -> Tunnel {
    Tunnel {
        id: 9,
        remote: std::net::IpAddr::from([10, 1, 1, 1]),
        local: None,
        tos: 0,
        ttl: 64,
        df: false,
        options: Arc::from([]),
    }
}

fn op() -> impl Strategy<Value = Op> {
    let punt = Punt { bridge: BridgeId(1), what: 0, metadata: hive_flow::Match::default(), meter: None };
    let leaf = prop_oneof![
        5 => (1u32..4).prop_map(|port| Op::Output(PortId(port))),
        5 => request(),
        5 => set(),
        5 => (1u32..4).prop_map(|id| Op::Recirculate(RecircId(id))),
        1 => Just(Op::CtClear),
        1 => Just(Op::PushVlan { tpid: 0x8100, tci: 0x1007 }),
        1 => Just(Op::PopVlan),
        1 => Just(Op::PushMpls { ether_type: 0x8847, lse: 0x0000_1140 }),
        1 => Just(Op::PopMpls { ether_type: 0x0800 }),
        1 => (20u32..90).prop_map(|bytes| Op::Truncate { bytes }),
        1 => Just(Op::Hash { of: HashOf::SymmetricL4, basis: 1 }),
        1 => Just(Op::Meter(METER)),
        1 => Just(Op::SetTunnel(Arc::new(tunnel()))),
        1 => Just(Op::Punt(Arc::new(punt))),
    ];
    leaf.prop_recursive(2, 8, 3, |inner| {
        let list = proptest::collection::vec(inner, 0..3);
        prop_oneof![
            list.clone().prop_map(|list| Op::Clone(list.into())),
            (40u16..140, list.clone(), list).prop_map(|(bytes, then, otherwise)| Op::IfLarger {
                bytes,
                then: then.into(),
                otherwise: otherwise.into()
            }),
        ]
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    let wanted = prop_oneof![
        4 => (0u128..4).prop_map(|id| (Field::RecircId, id, u128::MAX)),
        3 => proptest::sample::select(vec![0x21u128, 0x22, 0x2a, 0x31, 0x20]).prop_map(|state| (Field::CtState, state, 0x3b)),
        1 => (0u128..3).prop_map(|mark| (Field::CtMark, mark, 3)),
        1 => (1u128..3).prop_map(|port| (Field::InPort, port, u128::MAX)),
        1 => Just((Field::IpProto, 6, 0xff)),
        1 => (80u128..82).prop_map(|port| (Field::TpDst, port, 0xffff)),
        1 => Just((Field::TcpFlags, 0x10, 0x10)),
        1 => (0u128..4).prop_map(|ttl| (Field::IpTtl, ttl, 0x3)),
        1 => Just((Field::Ipv4Dst, 0x0a00_0010, 0xffff_fff0)),
        1 => Just((Field::DpHash, 1, 1)),
        1 => Just((Field::EthType, 0x0800, 0xffff)),
        1 => (0u128..3).prop_map(|mark| (Field::PktMark, mark, 3)),
        1 => (7u128..9).prop_map(|id| (Field::TunId, id, u128::MAX)),
        1 => (1u128..3).prop_map(|source| (Field::TunSrc, source, u128::MAX)),
        1 => (1u128..3).prop_map(|option| (Field::TunMetadata(0), option, 3)),
        1 => Just((Field::VlanTci, 0x1005, 0x1fff)),
        1 => Just((Field::EthType, 0x86dd, 0xffff)),
        1 => (0x10u128..0x13).prop_map(|host| (Field::Ipv6Dst, host, 0xff)),
        1 => (0u128..2).prop_map(|label| (Field::Ipv6Label, label, 1)),
    ];
    (proptest::collection::vec(wanted, 0..4), proptest::collection::vec(op(), 0..5)).prop_map(|(mut wanted, ops)| {
        for (field, value, mask) in &mut wanted {
            *mask &= field.full_mask();
            *value &= *mask;
        }
        Rule { wanted, ops }
    })
}

/// What is common in earnest: a look at the connection, and what follows from its state.
fn tracking_rules() -> impl Strategy<Value = Vec<Rule>> {
    let output = |port| Op::Output(PortId(port));
    let at = |id: u128, state: u128| vec![(Field::RecircId, id, u128::from(u32::MAX)), (Field::CtState, state, 0x33)];
    let rest = proptest::collection::vec(set(), 0..3);
    let length = proptest::option::of((50u16..140, any::<bool>()));
    (request(), request(), rest, length, proptest::collection::vec(rule(), 0..3)).prop_map(
        move |(look, commit, rest, length, before)| {
            let there = match length {
                None => output(2),
                // To another node, or what is too long to the router.
                Some((bytes, known)) => {
                    let otherwise = [Op::SetTunnel(Arc::new(tunnel())), output(2)];
                    let then = if known { vec![output(3)] } else { vec![] };
                    Op::IfLarger { bytes, then: then.into(), otherwise: otherwise.into() }
                }
            };
            let mut rules = before;
            rules.push(Rule {
                wanted: vec![(Field::RecircId, 0, u128::from(u32::MAX))],
                ops: vec![look, Op::Recirculate(RecircId(1))],
            });
            rules.push(Rule { wanted: at(1, 0x22), ops: rest.into_iter().chain([there]).collect() });
            rules.push(Rule { wanted: at(1, 0x21), ops: vec![commit, output(2)] });
            rules
        },
    )
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    prop_oneof![proptest::collection::vec(rule(), 0..8), tracking_rules()]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1u32..3, proptest::collection::vec(frame(), 1..40)).prop_map(|(port, frames)| Step::Send(port, frames)),
        2 => prop_oneof![Just(1u64), Just(600), Just(15_000), Just(40_000)].prop_map(Step::Wait),
        1 => rules().prop_map(Step::Rules),
        1 => Just(Step::FlushFlows),
        1 => proptest::option::of(0u16..3).prop_map(Step::FlushConnections),
        2 => Just(Step::Maintain),
    ]
}

/// Whether a tuple is of two connections, as it can be when translation begins or ends under connections: which of them a packet is
/// of is chance then, in Open vSwitch too.
fn has_twins(connections: &[String]) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    connections.iter().any(|line| {
        let zone = line.split(",zone=").nth(1).and_then(|rest| rest.split(',').next()).unwrap_or("0");
        let protocol = line.split(',').next().unwrap_or("");
        let tuples: Vec<_> =
            line.split("=(").skip(1).take(2).map(|part| part.split(')').next().unwrap_or("")).collect();
        tuples.iter().any(|tuple| !seen.insert(format!("{protocol} {tuple} {zone}")))
    })
}

fn compare(rules: Vec<Rule>, steps: Vec<Step>) -> Result<u64, TestCaseError> {
    let mut switches =
        [(false, false), (true, false), (true, true)].map(|(caches, fuse)| Switch::new(rules.clone(), caches, fuse));
    let mut now_ms = 1_000;
    for step in &steps {
        match step {
            Step::Send(port, frames) => {
                let [plain, cached, fused] = switches.each_mut().map(|switch| switch.send_known(*port, frames, now_ms));
                prop_assert_eq!(&plain, &cached, "without and with flows");
                prop_assert_eq!(&plain, &fused, "without and with fused ways");
            }
            Step::Wait(ms) => now_ms += ms,
            Step::Rules(rules) => switches.iter().for_each(|switch| switch.rules.replace(rules.clone())),
            Step::FlushFlows => switches.iter_mut().for_each(|switch| switch.engine.flush(now_ms)),
            Step::FlushConnections(zone) => {
                let what = zone.map_or(Flush::All, Flush::Zone);
                let flushed = switches.each_ref().map(|switch| switch.tracker.flush(what));
                prop_assert_eq!(flushed[0], flushed[2]);
            }
            // Connections are cleaned up as each shard has its turn: the same turns for all.
            Step::Maintain => switches.iter_mut().for_each(|switch| {
                now_ms += 10;
                switch.engine.maintain(now_ms, usize::MAX);
            }),
        }
        let [plain, cached, fused] = switches.each_ref().map(|switch| {
            let mut connections = switch.tracker.dump(None, true, now_ms);
            connections.sort();
            connections
        });
        if has_twins(&plain) {
            return Ok(0);
        }
        prop_assert_eq!(&plain, &cached);
        prop_assert_eq!(&plain, &fused);
    }
    switches.iter_mut().for_each(|switch| switch.engine.flush(now_ms));
    let [plain, cached, fused] = switches.each_ref().map(|switch| {
        (switch.drops(), switch.rules.credited.lock().unwrap().clone(), switch.rules.punted.lock().unwrap().clone())
    });
    prop_assert_eq!(&plain, &cached);
    prop_assert_eq!(&plain, &fused);
    Ok(switches[2].engine.counters().get(Counter::FusedHits))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn caches_change_nothing(rules in rules(), steps in proptest::collection::vec(step(), 0..24)) {
        compare(rules, steps)?;
    }

    /// The same where fused ways are the rule.
    #[test]
    fn fused_ways_change_nothing(rules in tracking_rules(), steps in proptest::collection::vec(step(), 8..30)) {
        compare(rules, steps)?;
    }
}

pub fn look(zone: u16, nat: Option<Nat>) -> Op {
    Op::Conntrack(Arc::new(Request { zone, nat, ..Request::default() }))
}

pub fn commit(zone: u16, nat: Option<Nat>, mark: Option<(u32, u32)>) -> Op {
    Op::Conntrack(Arc::new(Request { zone, nat, mark, commit: true, ..Request::default() }))
}

pub fn on(id: u128, state: u128, ops: Vec<Op>) -> Rule {
    Rule { wanted: vec![(Field::RecircId, id, u128::from(u32::MAX)), (Field::CtState, state, 0x33)], ops }
}

/// A security group on either side, and an address that is translated between.
fn gateway() -> Vec<Rule> {
    let nat = Nat::Destination(NatRange { addresses: Some((0x0a00_0011, 0x0a00_0011)), ..NatRange::default() });
    let all = |id| vec![(Field::RecircId, id, u128::from(u32::MAX))];
    let recirculate = |id| Op::Recirculate(RecircId(id));
    vec![
        Rule { wanted: all(0), ops: vec![look(1, None), recirculate(1)] },
        on(1, 0x22, vec![look(2, Some(Nat::Existing)), recirculate(2)]),
        on(1, 0x21, vec![commit(1, None, None), look(2, Some(Nat::Existing)), recirculate(2)]),
        on(2, 0x21, vec![commit(2, Some(nat), Some((5, u32::MAX))), recirculate(3)]),
        on(2, 0x22, vec![recirculate(3)]),
        Rule {
            wanted: [all(3), vec![(Field::IpTtl, 64, 0xff)]].concat(),
            ops: vec![
                Op::Set { field: Field::IpTtl, value: 63, mask: 0xff },
                Op::Set { field: Field::EthDst, value: 0x0200_0000_00cc, mask: Field::EthDst.full_mask() },
                Op::Output(PortId(2)),
            ],
        },
    ]
}

pub fn plain(frames: Vec<Vec<u8>>) -> Vec<(Vec<u8>, VnetHeader)> {
    frames.into_iter().map(|frame| (frame, VnetHeader::default())).collect()
}

/// A connection through three zones is one lookup; its end, and everything that changes it, is not missed.
#[test]
fn an_established_connection_is_one_lookup() {
    let ends = Ends { source: (0x0a00_0001, 1000), destination: (0x0a00_0099, 80) };
    let answers = Ends { source: (0x0a00_0011, 80), destination: ends.source };
    let mut switch = Switch::new(gateway(), true, true);
    let mut slow = Switch::new(gateway(), false, false);
    let mut both = |port: u32, frame: Vec<u8>| {
        let frames = plain(vec![frame]);
        let sent = switch.send(port, &frames, 5);
        assert_eq!(sent, slow.send(port, &frames, 5));
        (sent, switch.engine.counters().get(Counter::FusedHits))
    };
    let segment = |flags, seq, ack| Tcp { flags, seq, ack, window: 9000, payload: &[] };
    both(1, tcp(ends, segment(SYN, 10, 0)));
    both(2, tcp(answers, segment(SYN | ACK, 20, 11)));
    both(1, tcp(ends, segment(ACK, 11, 21)));
    let (sent, before) = both(1, tcp(ends, segment(ACK, 11, 21)));
    assert_eq!(before, 1, "fused by the second segment");
    let [(port, _, frame, ..)] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!(*port, PortId(2));
    let expected = Ends { destination: (0x0a00_0011, 80), ..ends };
    let mut expected = tcp(expected, segment(ACK, 11, 21));
    expected[..6].copy_from_slice(&[2, 0, 0, 0, 0, 0xcc]);
    let check = u16::from_be_bytes([expected[24], expected[25]]);
    expected[22] = 63;
    expected[24..26].copy_from_slice(&hive_packet::checksum::update(check, &[64, 6], &[63, 6]).to_be_bytes());
    assert_eq!(*frame, expected);
    // Out of its window: not the fused way's to say.
    let (sent, hits) = both(1, tcp(ends, Tcp { payload: b"late", ..segment(ACK, 9_000_000, 21) }));
    assert_eq!((sent.len(), hits), (0, 1));
    let (_, hits) = both(1, tcp(ends, segment(ACK, 11, 21)));
    assert_eq!(hits, 2);
    let (_, hits) = both(1, tcp(ends, segment(FIN | ACK, 11, 21)));
    assert_eq!(hits, 2, "an end is for the long way");
    let (sent, _) = both(1, tcp(ends, segment(RST, 12, 21)));
    assert_eq!(sent.len(), 1);
    let lines = switch.tracker.dump(Some(2), false, 5);
    assert!(lines[0].contains("state=TIME_WAIT") || lines[0].contains("CLOS"), "{lines:?}");
}

/// A mark that is changed by another, a flush, and time: each of them ends a fused way at once.
#[test]
fn what_changes_a_connection_ends_its_fused_way() {
    let ends = Ends { source: (0x0a00_0001, 1000), destination: (0x0a00_0099, 80) };
    let all = |id| (Field::RecircId, id, u128::from(u32::MAX));
    let rules = || {
        vec![
            // Port 3 sets the mark of whatever connection comes by.
            Rule {
                wanted: vec![(Field::InPort, 3, u128::from(u32::MAX))],
                ops: vec![commit(1, None, Some((7, u32::MAX)))],
            },
            Rule { wanted: vec![all(0)], ops: vec![look(1, None), Op::Recirculate(RecircId(1))] },
            Rule { wanted: vec![all(1), (Field::CtMark, 7, 7)], ops: vec![Op::Output(PortId(4))] },
            on(1, 0x22, vec![Op::Output(PortId(2))]),
            on(1, 0x21, vec![commit(1, None, None), Op::Output(PortId(2))]),
        ]
    };
    let mut switch = Switch::new(rules(), true, true);
    let go = |switch: &mut Switch, port: u32, ends: Ends, now_ms: u64| {
        let before = switch.engine.counters().get(Counter::FusedHits);
        let sent = switch.send(port, &plain(vec![udp(ends, b"xy")]), now_ms);
        (sent.first().map(|sent| sent.0.0), switch.engine.counters().get(Counter::FusedHits) - before)
    };
    assert_eq!(go(&mut switch, 1, ends, 1), (Some(2), 0));
    assert_eq!(go(&mut switch, 2, ends.reversed(), 2), (Some(2), 0));
    assert_eq!(go(&mut switch, 1, ends, 3), (Some(2), 0));
    assert_eq!(go(&mut switch, 1, ends, 4), (Some(2), 1));
    assert_eq!(go(&mut switch, 3, ends, 5), (None, 0), "marks it");
    assert_eq!(go(&mut switch, 1, ends, 6), (Some(4), 0), "by its mark now");
    assert_eq!(go(&mut switch, 1, ends, 7), (Some(4), 1));
    assert_eq!(switch.tracker.flush(Flush::Zone(1)), 1);
    assert_eq!(go(&mut switch, 1, ends, 8), (Some(2), 0), "a new one");
    assert_eq!(go(&mut switch, 2, ends.reversed(), 9), (Some(2), 0));
    assert_eq!(go(&mut switch, 1, ends, 10), (Some(2), 0));
    assert_eq!(go(&mut switch, 1, ends, 11), (Some(2), 1));
    switch.rules.replace(vec![Rule { wanted: vec![], ops: vec![Op::Output(PortId(9))] }]);
    assert_eq!(go(&mut switch, 1, ends, 12), (Some(9), 0), "other rules");
    switch.rules.replace(rules());
    for now_ms in 13..17 {
        assert_eq!(go(&mut switch, 1, ends, now_ms).0, Some(2));
    }
    // 30 s later it has expired: what comes is new, from the same side.
    assert_eq!(go(&mut switch, 1, ends, 40_000), (Some(2), 0));
    assert_eq!(switch.tracker.len(), 1);
}

/// The checksum of ICMP is each message's own.
#[test]
fn messages_of_icmp_that_are_changed_sum_up() {
    let rules = || {
        vec![Rule {
            wanted: vec![(Field::EthType, 0x0800, 0xffff)],
            ops: vec![
                Op::Set { field: Field::IcmpType, value: 0, mask: 0xff },
                Op::Set { field: Field::IpTtl, value: 9, mask: 0xff },
                Op::Output(PortId(2)),
            ],
        }]
    };
    let mut switch = Switch::new(rules(), true, true);
    for sequence in 0..4 {
        let mut message = vec![8, 0, 0, 0, 0, 5, 0, sequence];
        let check = !fold(sum(&message));
        message[2..4].copy_from_slice(&check.to_be_bytes());
        let sent = switch.send(1, &plain(vec![ethernet(0x0800, &ipv4(1, 0x0a00_0001, 0x0a00_0002, &message))]), 1);
        let frame = &sent[0].2;
        assert_eq!((frame[34], frame[41], fold(sum(&frame[34..]))), (0, sequence, 0xffff), "message {sequence}");
    }
}

/// A checksum that is left to the receiver is the transport's, or behind it: it is no way to change what was looked at.
#[test]
fn no_checksum_is_filled_in_over_headers() {
    let mut switch = Switch::new(vec![Rule { wanted: vec![], ops: vec![Op::Output(PortId(2))] }], true, true);
    let ends = Ends { source: (0x0a00_0001, 1000), destination: (0x0a00_0011, 80) };
    let segment = tcp(ends, Tcp { flags: ACK, seq: 1, ack: 1, window: 9000, payload: &[0; 40] });
    let datagram = udp(ends, &[0; 60]);
    let tagged = {
        let mut frame = datagram.clone();
        frame.splice(12..12, [0x81, 0, 0, 5]);
        frame
    };
    let arp = ethernet(0x0806, &[0, 1, 8, 0, 6, 4, 0, 1].into_iter().chain([0; 40]).collect::<Vec<_>>());
    let other = ethernet(0x88b5, &[0; 60]);
    let v6 = {
        let mut packet = vec![0x60, 0, 0, 0, 0, 68, 0, 64];
        packet.extend_from_slice(&[1; 32]);
        // Hop-by-hop options, then UDP.
        packet.extend_from_slice(&[17, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend_from_slice(&[0, 7, 0, 8, 0, 60, 0, 0]);
        packet.extend_from_slice(&[0; 52]);
        ethernet(0x86dd, &packet)
    };
    let cases = [
        // The source address, the destination port, and flags.
        (&segment, 14, 12, false),
        (&segment, 34, 2, false),
        (&segment, 35, 12, false),
        (&segment, 54, 16, false),
        (&segment, 34, 16, true),
        (&datagram, 34, 6, true),
        (&datagram, 30, 6, false),
        (&datagram, 34, 2, false),
        // Of a packet in a tunnel.
        (&datagram, 60, 16, true),
        (&tagged, 34, 6, false),
        (&tagged, 38, 6, true),
        (&arp, 22, 6, false),
        (&other, 14, 6, true),
        (&v6, 54, 8, false),
        (&v6, 62, 6, true),
    ];
    for round in 0..2 {
        for (frame, csum_start, csum_offset, sound) in cases {
            let header = VnetHeader { flags: NEEDS_CSUM, csum_start, csum_offset, ..VnetHeader::default() };
            let sent = switch.send(1, &[(frame.clone(), header)], 1);
            assert_eq!(sent.len(), usize::from(sound), "{csum_start} + {csum_offset} of {frame:x?}, round {round}");
            // The flow is known then.
            assert_eq!(switch.send(1, &plain(vec![frame.clone()]), 1).len(), 1);
        }
    }
    assert_eq!(switch.engine.counters().get(Counter::Malformed), 18);
}

/// Connections that expire at once, all in one zone, are cleaned up soon: until then they keep others out.
#[test]
fn what_expires_at_once_is_cleaned_up_soon() {
    let rules = vec![Rule { wanted: vec![], ops: vec![commit(5, None, None)] }];
    let mut switch = Switch::new(rules, true, true);
    for number in 0..20_000u32 {
        let ends = Ends { source: (0x0a00_0000 + number, 1000), destination: (0x0b00_0000, 80) };
        switch.send(1, &plain(vec![udp(ends, b"")]), 1);
    }
    assert_eq!(switch.tracker.len(), 20_000);
    // A second, and what the wheel needs to get there.
    for step in 0..120 {
        switch.engine.maintain(100_000 + 10 * step, usize::MAX);
    }
    assert_eq!(switch.tracker.len(), 0);
}
