//! What a packet costs: `cargo test --release -p hive-datapath -- --ignored --nocapture cost`.

use crate::packets::{ACK, Ends, SYN, Tcp, tagged, tcp, tcp6, udp};
use crate::rules::{Rule, Rules};
use hive_conntrack::{Request, Settings};
use hive_datapath::{BURST, Counter, Engine, EngineSettings, Outgoing, Output, Packet, Shared, Tracker};
use hive_flow::{Field, Key};
use hive_packet::VnetHeader;
use hive_program::{Op, PortId, RecircId, Tunnel};
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
pub struct Count(u64);

impl<T> Output<T> for Count {
    fn output(&mut self, port: PortId, frame: &Outgoing<'_, T>) -> bool {
        self.0 += u64::from(port.0) + u64::from(frame.head[0] & 1);
        // As ports do.
        self.0 += u64::from(frame.tunnel.is_some()) + u64::from(frame.skb_priority);
        true
    }
}

/// Of this thread: others on the machine disturb it less than the time of day.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

pub fn ends(number: u32) -> Ends {
    Ends { source: (0x0a00_0000 + number / 50_000, (1024 + number % 50_000) as u16), destination: (0x0ac8_0001, 443) }
}

pub fn all(field: Field, value: u128) -> (Field, u128, u128) {
    (field, value, field.full_mask())
}

pub fn security_group(zone: u16) -> Vec<Rule> {
    let tracked = |state: u128| (Field::CtState, state, 0x33);
    let look = Request { zone, ..Request::default() };
    let commit = Request { zone, commit: true, ..Request::default() };
    vec![
        Rule {
            wanted: vec![all(Field::RecircId, 0)],
            ops: vec![Op::Conntrack(Arc::new(look)), Op::Recirculate(RecircId(1))],
        },
        Rule { wanted: vec![all(Field::RecircId, 1), tracked(0x22)], ops: vec![Op::Output(PortId(2))] },
        Rule {
            wanted: vec![all(Field::RecircId, 1), tracked(0x21)],
            ops: vec![Op::Conntrack(Arc::new(commit)), Op::Output(PortId(2))],
        },
    ]
}

fn run(name: &str, rules: Vec<Rule>, first: &[Vec<u8>], frames: &[Vec<u8>], rounds: u32, settings: EngineSettings) {
    run_with(name, rules, first, frames, rounds, settings, None);
}

/// `metadata`: of all frames.
fn run_with(
    name: &str,
    rules: Vec<Rule>,
    first: &[Vec<u8>],
    frames: &[Vec<u8>],
    rounds: u32,
    settings: EngineSettings,
    metadata: Option<Key>,
) {
    let shared = Shared {
        pipeline: Arc::new(Rules::new(rules)),
        tracker: Arc::new(Tracker::new(&Settings::default())),
        meters: Arc::default(),
    };
    let mut engine = Engine::new(shared, settings);
    let mut count = Count::default();
    let mut spent = Duration::ZERO;
    let mut now_ms = 1;
    let mut pass = |engine: &mut Engine<Rules>, frames: &[Vec<u8>]| {
        let mut spent = Duration::ZERO;
        for chunk in frames.chunks(BURST) {
            let mut packets: Vec<_> =
                chunk.iter().map(|frame| Packet::of_frame(frame, VnetHeader::default())).collect();
            packets.iter_mut().for_each(|packet| packet.metadata = metadata.as_ref());
            let started = cpu_time();
            engine.process(PortId(1), &mut packets, &mut count, now_ms);
            spent += cpu_time() - started;
        }
        now_ms += 1;
        spent
    };
    for _ in 0..4 {
        pass(&mut engine, first);
        pass(&mut engine, frames);
    }
    let before = Counter::ALL.iter().map(|counter| engine.counters().get(*counter)).collect::<Vec<_>>();
    for _ in 0..rounds {
        spent += pass(&mut engine, frames);
    }
    let each = spent.as_secs_f64() * 1e9 / (frames.len() as f64 * f64::from(rounds));
    let counted: Vec<_> = Counter::ALL
        .iter()
        .zip(&before)
        .map(|(counter, before)| (counter.name(), engine.counters().get(*counter) - before))
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{name}={count}"))
        .collect();
    println!("{name}: {each:.0} ns a packet; {} {:?}", counted.join(" "), engine.held());
}

#[test]
#[ignore = "prints figures"]
fn cost_of_packets() {
    let to = |port| vec![Rule { wanted: vec![all(Field::EthType, 0x0800)], ops: vec![Op::Output(PortId(port))] }];
    let exact = || {
        let fields = [Field::Ipv4Src, Field::Ipv4Dst, Field::IpProto, Field::TpSrc, Field::TpDst];
        // Nothing matches the first, but it makes every packet a flow of its own.
        let wanted = fields.into_iter().map(|field| (field, 0, field.full_mask())).collect();
        // A rule stops at the first field that differs, so each field has its own.
        let mut rules: Vec<Rule> = fields
            .into_iter()
            .map(|field| Rule {
                wanted: vec![(field, 0xffff_ffff & field.full_mask(), field.full_mask())],
                ops: vec![],
            })
            .collect();
        rules.push(Rule { wanted, ops: vec![] });
        rules.extend(to(2));
        rules
    };
    let udps: Vec<_> = (0..10_000).map(|number| udp(ends(number), &[0; 18])).collect();
    let one = vec![udps[0].clone(); BURST];
    let off = EngineSettings { fuse: false, ..EngineSettings::default() };
    run("one flow", to(2), &one, &one, 20_000, EngineSettings::default());
    run("10,000 flows", exact(), &udps, &udps, 100, EngineSettings::default());
    run("10,000 of UDP, one side", security_group(1), &udps, &udps, 100, EngineSettings::default());
    run("10,000 of UDP, one side, not fused", security_group(1), &udps, &udps, 20, off.clone());
    let back: Vec<_> = (0..10_000).map(|number| udp(ends(number).reversed(), &[0; 18])).collect();
    run("10,000 of UDP", security_group(1), &back, &udps, 100, EngineSettings::default());
    run("10,000 of UDP, not fused", security_group(1), &back, &udps, 20, off.clone());
    let syn: Vec<_> = (0..10_000)
        .map(|number| tcp(ends(number), Tcp { flags: SYN, seq: 1, window: 9000, ..Tcp::default() }))
        .collect();
    let answer = Tcp { flags: SYN | ACK, seq: 1, ack: 2, window: 9000, ..Tcp::default() };
    let opening: Vec<_> =
        syn.iter().cloned().chain((0..10_000).map(|number| tcp(ends(number).reversed(), answer))).collect();
    let data = Tcp { flags: ACK, seq: 2, ack: 2, window: 9000, ..Tcp::default() };
    let acks: Vec<_> = (0..10_000).map(|number| tcp(ends(number), data)).collect();
    run("10,000 of TCP", security_group(1), &opening, &acks, 100, EngineSettings::default());
    run("10,000 of TCP, not fused", security_group(1), &opening, &acks, 20, off);
}

/// What came, or goes, to another node: the second pass asks how long packets are.
fn to_another_node(zone: u16) -> Vec<Rule> {
    let mut rules = security_group(zone);
    let tunnel = Tunnel {
        id: 7,
        remote: std::net::IpAddr::from([192, 168, 7, 2]),
        local: None,
        tos: 0,
        ttl: 64,
        df: true,
        options: Arc::from([]),
    };
    rules[1].ops = vec![
        Op::Set { field: Field::EthDst, value: 0x0200_0000_00cc, mask: Field::EthDst.full_mask() },
        Op::SetTunnel(Arc::new(tunnel)),
        Op::IfLarger { bytes: 1464, then: Arc::from([]), otherwise: Arc::from([Op::Output(PortId(2))]) },
    ];
    rules
}

pub fn from_tunnel(id: u64) -> Key {
    let mut key = Key::ZERO;
    key.set(Field::TunId, id.into());
    key.set(Field::TunSrc, 0xc0a8_0701);
    key.set(Field::TunDst, 0xc0a8_0702);
    key
}

#[test]
#[ignore = "prints figures"]
fn cost_of_other_packets() {
    let segment = |flags, seq, ack| Tcp { flags, seq, ack, window: 9000, payload: &[] };
    type Make = fn(Ends, Tcp<'_>) -> Vec<u8>;
    let connections = |make: Make| {
        let opening: Vec<_> = (0..10_000)
            .map(|number| make(ends(number), segment(SYN, 1, 0)))
            .chain((0..10_000).map(|number| make(ends(number).reversed(), segment(SYN | ACK, 1, 2))))
            .collect();
        let acks: Vec<_> = (0..10_000).map(|number| make(ends(number), segment(ACK, 2, 2))).collect();
        (opening, acks)
    };
    let (opening, acks) = connections(tcp);
    let all = EngineSettings::default;
    run("10,000 of TCP", security_group(1), &opening, &acks, 50, all());
    run("10,000 of TCP into a tunnel", to_another_node(1), &opening, &acks, 50, all());
    run_with("10,000 of TCP from a tunnel", security_group(1), &opening, &acks, 50, all(), Some(from_tunnel(7)));
    let (opening, acks) = connections(tcp6);
    run("10,000 of TCP over IPv6", security_group(1), &opening, &acks, 50, all());
    run("10,000 of TCP over IPv6 into a tunnel", to_another_node(1), &opening, &acks, 50, all());
    let (opening, acks) = connections(|ends, segment| tagged(tcp(ends, segment)));
    run("10,000 of TCP with a tag", security_group(1), &opening, &acks, 50, all());
}
