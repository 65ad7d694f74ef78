//! Frames a second through netd between two pairs of veths, by packet sockets and by AF_XDP, and the processor time that netd takes for
//! one, in interleaved rounds. Needs root:
//! `cargo bench -p hive-netd --bench afxdp`
//!
//! One processor has whoever sends, and with it what the kernel does of a frame on its way; the next one has netd's worker.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the tests' file, which use all of it")]
#[path = "../tests/it/ovs/lab.rs"]
mod lab;
#[allow(dead_code, reason = "the tests' file, which use all of it")]
#[path = "../device/tests/it/namespace.rs"]
mod namespace;

use hive_device::{Device, PacketDevice, Sent};
use hive_packet::{MacAddr, VnetHeader, build};
use lab::Lab;
use namespace::Namespace;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::time::{Duration, Instant};

const ROUNDS: usize = 5;
const MEASURED: Duration = Duration::from_secs(2);
const WARM_UP: Duration = Duration::from_millis(300);
const BATCH: usize = 32;
const SENDER_CPU: usize = 0;
/// The other one, as a mask.
const WORKER_CPUS: &str = "0x2";
const KINDS: [(&str, &str); 3] = [
    ("system", "type=system"),
    ("afxdp, native", "type=afxdp options:xdp-mode=native"),
    ("afxdp, generic", "type=afxdp options:xdp-mode=generic"),
];

fn received(host: &Namespace) -> u64 {
    let shown: serde_json::Value = serde_json::from_str(&host.ip("-s -j link show eth0")).unwrap();
    shown.pointer("/0/stats64/rx/packets").and_then(serde_json::Value::as_u64).unwrap()
}

/// Frames of that length from one host for as long.
fn flood(from: &Namespace, bytes: usize, duration: Duration) {
    from.enter(move || {
        let mut cpus = CpuSet::new();
        cpus.set(SENDER_CPU);
        sched_setaffinity(None, &cpus).unwrap();
        let packet = build::udp([10, 1, 0, 1].into(), [10, 1, 0, 2].into(), 7, 7, &vec![0; bytes - 42]);
        let frame = build::ethernet(MacAddr([2, 0, 0, 0, 0, 2]), MacAddr([2, 0, 0, 0, 0, 1]), &packet);
        let mut device = PacketDevice::attach("eth0").unwrap();
        let begin = Instant::now();
        while begin.elapsed() < duration {
            for _ in 0..BATCH {
                device.send(Sent { header: VnetHeader::default(), pieces: &[&frame], tunnel: None });
            }
            device.flush();
        }
    });
}

/// Seconds that netd's process has run, in it and in the kernel (proc_pid_stat(5), in ticks of 10 ms).
fn ran_s(lab: &Lab) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", lab.switch.as_ref().unwrap().id())).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    // What cargo says to test programs means nothing here.
    let lab = Lab::new();
    lab.vsctl(&format!("set open_vswitch . other_config:pmd-cpu-mask={WORKER_CPUS}"));
    let [one, two] = lab.hosts::<2>();
    lab.ofctl("del-flows br0");
    lab.flow("in_port=1,actions=output:2");
    for host in [&one, &two] {
        host.exec("ethtool -K eth0 tx off");
    }
    for bytes in [64, 1500] {
        let mut rounds: [(Vec<f64>, Vec<f64>); KINDS.len()] = Default::default();
        for _ in 0..ROUNDS {
            for ((_, kind), figures) in KINDS.iter().zip(&mut rounds) {
                lab.vsctl("clear interface p1 options -- clear interface p2 options");
                lab.vsctl(&format!("set interface p1 {kind} -- set interface p2 {kind}"));
                flood(&one, bytes, WARM_UP);
                let (before, ran_before, begin) = (received(&two), ran_s(&lab), Instant::now());
                flood(&one, bytes, MEASURED);
                let frames = (received(&two) - before) as f64;
                assert!(frames > 0.0, "nothing came through: {kind} {}", lab.vsctl("get interface p1 error"));
                figures.0.push(frames / begin.elapsed().as_secs_f64() / 1e6);
                figures.1.push((ran_s(&lab) - ran_before) / frames * 1e9);
            }
        }
        let (system_rate, system_cost) = (median(rounds[0].0.clone()), median(rounds[0].1.clone()));
        for ((name, _), (rates, costs)) in KINDS.iter().zip(rounds) {
            let each = rates.iter().map(|rate| format!("{rate:.2}")).collect::<Vec<_>>().join(" ");
            let (rate, cost) = (median(rates), median(costs));
            println!(
                "{bytes} B, {name}: {rate:.2} Mpps, ratio to system {:.2} (rounds: {each}); {cost:.0} ns of netd a frame, ratio {:.2}",
                rate / system_rate,
                system_cost / cost
            );
        }
    }
}
