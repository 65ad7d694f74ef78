//! What a packet costs: `cargo test --release -p hive-datapath -- --ignored --nocapture cost`.

use crate::packets::{ACK, Ends, SYN, Tcp, tcp, udp};
use crate::rules::{Rule, Rules};
use hive_conntrack::{Request, Settings};
use hive_datapath::{BURST, Counter, Engine, EngineSettings, Outgoing, Output, Packet, Shared, Tracker};
use hive_flow::Field;
use hive_packet::VnetHeader;
use hive_program::{Op, PortId, RecircId};
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
pub struct Count(u64);

impl<T> Output<T> for Count {
    fn output(&mut self, port: PortId, frame: &Outgoing<'_, T>) -> bool {
        self.0 += u64::from(port.0) + u64::from(frame.head[0] & 1);
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
