//! Frames a second through netd between two pairs of veths, by packet sockets and by AF_XDP, in interleaved rounds. Needs root:
//! `cargo bench -p hive-netd --bench afxdp`
//!
//! One processor has whoever sends, and with it what the kernel does of a frame on its way; the next one has netd's worker.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "the tests' file, which use all of it")]
#[path = "../tests/it/ovs/lab.rs"]
mod lab;
#[allow(dead_code, reason = "the tests' file, which use all of it")]
#[path = "../../device/tests/it/namespace.rs"]
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
        let mut rounds: [Vec<f64>; KINDS.len()] = Default::default();
        for _ in 0..ROUNDS {
            for ((_, kind), figures) in KINDS.iter().zip(&mut rounds) {
                lab.vsctl("clear interface p1 options -- clear interface p2 options");
                lab.vsctl(&format!("set interface p1 {kind} -- set interface p2 {kind}"));
                flood(&one, bytes, WARM_UP);
                let (before, begin) = (received(&two), Instant::now());
                flood(&one, bytes, MEASURED);
                figures.push((received(&two) - before) as f64 / begin.elapsed().as_secs_f64() / 1e6);
            }
        }
        let system = median(rounds[0].clone());
        for ((name, _), figures) in KINDS.iter().zip(rounds) {
            let each = figures.iter().map(|figure| format!("{figure:.2}")).collect::<Vec<_>>().join(" ");
            let middle = median(figures);
            println!("{bytes} B, {name}: {middle:.2} Mpps, ratio {:.2} to system (rounds: {each})", middle / system);
        }
    }
}
