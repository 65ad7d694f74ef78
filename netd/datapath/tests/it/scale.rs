//! What a second worker brings: `cargo test --release -p hive-datapath -- --ignored --nocapture scale`. Engines only, which share
//! pipeline, connections and meters as those of a switch do; guests' rings would need processors of their own.

use crate::cost::{Count, all, ends, security_group};
use crate::packets::udp;
use crate::rules::{Rule, Rules};
use hive_conntrack::Settings;
use hive_datapath::{BURST, Engine, EngineSettings, Packet, Shared, Tracker};
use hive_flow::Field;
use hive_packet::VnetHeader;
use hive_program::{Op, PortId};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

const ROUNDS: usize = 9;
const MEASURED: Duration = Duration::from_millis(500);
/// Of each worker, each of its own.
const FRAMES: u32 = 10_000;

/// Those that this process may run on.
fn processors() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None).unwrap();
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|number| set.is_set(*number)).collect()
}

/// Frames a second, of all workers; each has a port, and one of the processors.
fn rate(rules: &[Rule], workers: &[usize], flows: u32) -> f64 {
    let shared = Shared {
        pipeline: Arc::new(Rules::new(rules.to_vec())),
        tracker: Arc::new(Tracker::new(&Settings::default())),
        meters: Arc::default(),
    };
    let (ready, done) = (Arc::new(Barrier::new(workers.len() + 1)), Arc::new(AtomicBool::new(false)));
    let start_worker = |(number, processor): (usize, usize)| {
        let (shared, ready, done) = (shared.clone(), ready.clone(), done.clone());
        std::thread::spawn(move || {
            let mut set = rustix::thread::CpuSet::new();
            set.set(processor);
            rustix::thread::sched_setaffinity(None, &set).unwrap();
            let mut engine =
                Engine::new(shared, EngineSettings { misses_burst: u32::MAX, ..EngineSettings::default() });
            let port = PortId(number as u32 + 1);
            let mine = |flow| ends(number as u32 * FRAMES + flow % flows);
            let there: Vec<_> = (0..FRAMES).map(|flow| udp(mine(flow), &[0; 18])).collect();
            let back: Vec<_> = (0..FRAMES).map(|flow| udp(mine(flow).reversed(), &[0; 18])).collect();
            let (mut out, mut frames, mut now_ms) = (Count::default(), 0, 1);
            let mut pass = |all: &[Vec<u8>]| {
                for chunk in all.chunks(BURST) {
                    let frames = chunk.iter().map(|frame| Packet::of_frame(frame, VnetHeader::default()));
                    engine.process(port, &mut frames.collect::<Vec<_>>(), &mut out, now_ms);
                }
                now_ms += 1;
                all.len() as u64
            };
            for _ in 0..4 {
                pass(&there);
                pass(&back);
            }
            ready.wait();
            while !done.load(Ordering::Relaxed) {
                frames += pass(&there);
            }
            frames
        })
    };
    let workers: Vec<_> = workers.iter().copied().enumerate().map(start_worker).collect();
    ready.wait();
    let started = Instant::now();
    std::thread::sleep(MEASURED);
    done.store(true, Ordering::Relaxed);
    let frames: u64 = workers.into_iter().map(|worker| worker.join().unwrap()).sum();
    frames as f64 / started.elapsed().as_secs_f64()
}

#[test]
#[ignore = "prints figures"]
fn scale_of_two_workers() {
    let processors = processors();
    let Some(both) = processors.get(..2) else {
        println!("two workers need two processors");
        return;
    };
    let plain = vec![Rule { wanted: vec![all(Field::EthType, 0x0800)], ops: vec![Op::Output(PortId(2))] }];
    let one_zone = security_group(1);
    let of_port = |port: u32, zone| {
        let with_port = move |mut rule: Rule| {
            rule.wanted.push(all(Field::InPort, port.into()));
            rule
        };
        security_group(zone).into_iter().map(with_port)
    };
    let own_zones: Vec<_> = of_port(1, 1).chain(of_port(2, 2)).collect();
    for (name, rules, flows) in [
        ("one flow each", &plain, 1),
        ("10,000 connections each, a zone each", &own_zones, FRAMES),
        ("10,000 connections each, one zone", &one_zone, FRAMES),
    ] {
        let mut rounds: Vec<_> =
            (0..ROUNDS).map(|_| (rate(rules, &both[..1], flows), rate(rules, both, flows))).collect();
        let ratio = |(one, two): (f64, f64)| two / one;
        rounds.sort_by(|a, b| ratio(*a).total_cmp(&ratio(*b)));
        let median = rounds[ROUNDS / 2];
        println!(
            "{name}: {:.2} of one worker (from {:.2} to {:.2}; {:.1} and {:.1} Mpps)",
            ratio(median),
            ratio(rounds[0]),
            ratio(rounds[ROUNDS - 1]),
            median.0 / 1e6,
            median.1 / 1e6
        );
    }
}
