//! netd beside OVS-DPDK, with the same rules by the same tools, and beside the physical limit of vhost-user: DPDK's testpmd forwarding
//! between two `net_vhost` ports without looking at a frame.
//!
//! Most frames come from our own generator, the same for all: testpmd's cannot send both directions of ten thousand connections, nor
//! at a rate. What testpmd as a frontend says of learned switching is measured beside it, and TCP of two Linux guests beside QEMU's own
//! networking.

mod bed;
mod cases;
mod guests;
mod pages;
mod testpmd;

use crate::report::{self, Better, Line};
use crate::rival;
use crate::virtio_net::{Generator, Outcome, Run};
use anyhow::{Context, ensure};
use bed::{Bed, OVS_DPDK, Switch};
use cases::{Case, MACS};
use pages::HugePages;
use std::path::{Path, PathBuf};
use std::time::Duration;
use testpmd::Testpmd;

/// netd beside OVS-DPDK, testpmd's vhost limit, and QEMU's own networking
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Interleaved rounds; medians are compared.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Only cases whose name holds this.
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Append JSON lines to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The netd to measure; by default the one built beside this program.
    #[arg(long, value_name = "FILE")]
    netd: Option<PathBuf>,
}

/// The processor of the generator and of all that is no data path; the switches' have the next one.
const GENERATOR_CPU: usize = 0;
const OVS: &str = "OVS-DPDK";
const LOSS: &str = "loss at half of the maximum, 10 s";
const LATENCY: &str = "p99 latency at a tenth of the load";
const LIMIT: &str = "testpmd vhost io";
/// What is not counted at the beginning of a measurement: caches fill, connections open.
const WARM_UP: Duration = Duration::from_millis(1500);
/// New connections are opened for this long: a table of three million, which is what Open vSwitch has, is not full then.
const OPENING: Duration = Duration::from_millis(700);
/// At half of its maximum a switch must lose nothing for this long.
const LOSSLESS: Duration = Duration::from_secs(10);
/// Bursts that begin to circle between two testpmd ports: 512 frames, half a ring.
const CIRCLING_BURSTS: usize = 16;

/// A switch and the generator at its ports.
struct Side {
    bed: Bed,
    generator: Generator,
}

impl Side {
    fn start(switch: &Switch) -> anyhow::Result<Self> {
        let bed = Bed::start(switch).with_context(|| format!("cannot start {switch:?}"))?;
        let sockets = [bed.socket(0), bed.socket(1)];
        let generator = Generator::listen([&sockets[0], &sockets[1]]).with_context(|| format!("{switch:?}"))?;
        bed.process().pause(true)?;
        Ok(Self { bed, generator })
    }

    /// While `work` is done nobody else of the bench runs.
    fn awake<T>(&mut self, work: impl FnOnce(&mut Self) -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.bed.process().pause(false)?;
        // It may have lost its database meanwhile, and connects again.
        std::thread::sleep(Duration::from_millis(200));
        let result = work(self);
        self.bed.process().pause(true)?;
        result
    }

    fn rate(&mut self, case: &Case, seconds: f64) -> anyhow::Result<f64> {
        self.awake(|side| {
            side.bed.set_flows(&case.rules)?;
            side.bed.appctl(&["dpctl/flush-conntrack"])?;
            let run = Run { streams: case.streams, duration: WARM_UP, frames_per_second: None, latency: false };
            if case.connections_are_new {
                return forwarded(case, &side.generator.run(&Run { duration: OPENING, ..run })?);
            }
            side.generator.run(&run)?;
            forwarded(case, &side.generator.run(&Run { duration: Duration::from_secs_f64(seconds), ..run })?)
        })
    }

    fn paced(&mut self, case: &Case, frames_per_second: f64, duration: Duration) -> anyhow::Result<Outcome> {
        self.awake(|side| {
            side.bed.set_flows(&case.rules)?;
            let run = Run {
                streams: case.streams,
                duration: WARM_UP,
                frames_per_second: Some(frames_per_second),
                latency: true,
            };
            side.generator.run(&run)?;
            side.generator.run(&Run { duration, ..run })
        })
    }
}

/// Millions of frames in a second. A rival that forwards nothing, or something else, would be an easy one.
fn forwarded(case: &Case, outcome: &Outcome) -> anyhow::Result<f64> {
    ensure!(outcome.strange == 0, "{} frames came out in another size", outcome.strange);
    for (side, received) in outcome.received.iter().enumerate() {
        let is_sent_to = case.streams[1 - side].is_some();
        ensure!(!is_sent_to || *received > 0, "nothing came out at side {side}");
    }
    Ok(outcome.mpps())
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.rounds > 0 && options.seconds > 0.0, "rounds and seconds must be positive");
    let netd = Switch::Netd(rival::own_binary("netd", options.netd.as_deref())?);
    ensure!(Path::new(OVS_DPDK).exists(), "OVS-DPDK is missing: install package openvswitch-switch-dpdk");
    println!("load before: {}", report::load_average());
    let mut lines = Vec::new();
    // Guests and switch share the processors as they would anywhere.
    if guests::NAME.contains(&options.only) {
        lines.extend(guests::measure(options.rounds, options.seconds, &netd)?);
    }
    let _pages = HugePages::reserve()?;
    // Children inherit it: all sides and the generator run alike.
    if !rival::use_real_time() {
        println!("not allowed real-time priority: other load of this machine disturbs the figures");
    }
    // The generator never sleeps: beside a worker that does, it would be moved to that one's processor and take turns with it there,
    // a tenth of a second each.
    rival::keep_to_processor(GENERATOR_CPU)?;
    lines.extend(measure(options, &netd)?);
    report::print(&lines);
    println!("load after: {}", report::load_average());
    if let Some(path) = &options.json {
        report::write_json(path, &lines)?;
    }
    Ok(())
}

fn measure(options: &Options, netd: &Switch) -> anyhow::Result<Vec<Line>> {
    let wanted = |name: &str| name.contains(&options.only);
    let mut lines = Vec::new();
    if wanted("64 B learned L2, testpmd") {
        lines.push(circling(options, netd)?);
    }
    let (mut ours, mut ovs) = (Side::start(netd)?, Side::start(&Switch::OvsDpdk)?);
    let mut limit = Limit::start()?;
    for case in cases::all().iter().filter(|case| wanted(case.name)) {
        let (mut of_ovs, mut of_limit) = (Vec::new(), Vec::new());
        for round in 0..options.rounds {
            let here = |who: &str| format!("{who}, {}, round {round}", case.name);
            let our_rate = ours.rate(case, options.seconds).with_context(|| here("netd"))?;
            of_ovs.push((our_rate, ovs.rate(case, options.seconds).with_context(|| here(OVS))?));
            if case.of_limit.is_some() {
                of_limit.push((our_rate, limit.rate(case, options.seconds).with_context(|| here(LIMIT))?));
            }
        }
        let unit = if case.connections_are_new { "Mcps" } else { "Mpps" };
        lines.push(Line::new("net", case.name, (unit, Better::Higher), OVS, Some(case.of_ovs), of_ovs));
        if case.of_limit.is_some() {
            lines.push(Line::new("net", case.name, (unit, Better::Higher), LIMIT, case.of_limit, of_limit));
        }
    }
    if wanted(LOSS) {
        lines.push(loss(options, &mut ours)?);
    }
    if wanted(LATENCY) {
        lines.push(latency(options, &mut ours, &mut ovs)?);
    }
    if wanted("100,000 rules") {
        lines.extend(installation(options, &mut ours, &mut ovs)?);
    }
    if wanted("memory") {
        lines.extend(memory(netd)?);
    }
    Ok(lines)
}

/// Frames that two testpmd ports send back and forth: what circles is exactly what the switch can do.
fn circling(options: &Options, netd: &Switch) -> anyhow::Result<Line> {
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let mut rates = [0.0; 2];
        for (rate, switch) in rates.iter_mut().zip([netd, &Switch::OvsDpdk]) {
            let bed = Bed::start(switch)?;
            bed.set_flows(&cases::learned(64).0)?;
            let mut generator = start_circle(&[bed.socket(0), bed.socket(1)])?;
            generator.say(&format!("start tx_first {CIRCLING_BURSTS}"))?;
            std::thread::sleep(WARM_UP);
            generator.port_rates()?;
            std::thread::sleep(Duration::from_secs_f64(options.seconds));
            *rate = generator.port_rates()? / 1e6;
            ensure!(*rate > 0.0, "no frame came back from {switch:?}");
            generator.quit()?;
        }
        rounds.push((rates[0], rates[1]));
    }
    Ok(Line::new("net", "64 B learned L2, testpmd", ("Mpps", Better::Higher), OVS, Some(1.0), rounds))
}

fn start_circle(sockets: &[PathBuf; 2]) -> anyhow::Result<Testpmd> {
    let text = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
    let devices = [0, 1].map(|index| {
        let (socket, mac) = (sockets[index].display(), text(MACS[index]));
        format!("net_virtio_user{index},path={socket},server=1,queues=1,queue_size=1024,mac={mac}")
    });
    let peers = [format!("--eth-peer=0,{}", text(MACS[1])), format!("--eth-peer=1,{}", text(MACS[0]))];
    let rest = [&peers[0], &peers[1], "--txpkts=64", "--port-topology=loop", "--forward-mode=5tswap"];
    Testpmd::spawn("generator", "0@0,1@0", &devices, &rest)?.ready()
}

/// testpmd as the switch.
struct Limit {
    testpmd: Testpmd,
    generator: Generator,
    _sockets: tempfile::TempDir,
}

impl Limit {
    fn start() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let sockets = [0, 1].map(|index| directory.path().join(format!("port-{index}.sock")));
        let devices =
            [0, 1].map(|index| format!("net_vhost{index},iface={},queues=1,client=1", sockets[index].display()));
        let testpmd = Testpmd::spawn("limit", "0@0,1@1", &devices, &["--forward-mode=io"])?;
        let generator = Generator::listen([&sockets[0], &sockets[1]]).context(LIMIT)?;
        Ok(Self { testpmd: testpmd.ready()?, generator, _sockets: directory })
    }

    fn rate(&mut self, case: &Case, seconds: f64) -> anyhow::Result<f64> {
        self.testpmd.say("start")?;
        let run = Run { streams: case.streams, duration: WARM_UP, frames_per_second: None, latency: false };
        self.generator.run(&run)?;
        let outcome = self.generator.run(&Run { duration: Duration::from_secs_f64(seconds), ..run })?;
        self.testpmd.say("stop")?;
        forwarded(case, &outcome)
    }
}

fn stateful() -> anyhow::Result<Case> {
    cases::all().into_iter().find(|case| case.name.contains("security group")).context("no such case")
}

/// No frame may be lost at half of the maximum.
fn loss(options: &Options, ours: &mut Side) -> anyhow::Result<Line> {
    let case = stateful()?;
    let most = ours.rate(&case, options.seconds)?;
    let outcome = ours.paced(&case, most * 1e6 / 2.0, LOSSLESS)?;
    let sent: u64 = outcome.sent.iter().sum();
    let lost = Line::limit("net", LOSS, "frames", 0.0, [outcome.lost() as f64]);
    Ok(lost.with_note(format!("{sent} frames sent through the security group")))
}

/// How long frames take at a tenth of the slower one's maximum.
fn latency(options: &Options, ours: &mut Side, ovs: &mut Side) -> anyhow::Result<Line> {
    let case = stateful()?;
    let (our_most, their_most) = (ours.rate(&case, options.seconds)?, ovs.rate(&case, options.seconds)?);
    let tenth = our_most.min(their_most) * 1e6 / 10.0;
    let (mut rounds, mut medians) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let duration = Duration::from_secs_f64(options.seconds);
        let outcome = |side: &mut Side| side.paced(&case, tenth, duration);
        let (ours, theirs) = (outcome(ours)?, outcome(ovs)?);
        rounds.push((ours.latency_us(0.99), theirs.latency_us(0.99)));
        medians.push(format!("{:.1}/{:.1}", ours.latency_us(0.5), theirs.latency_us(0.5)));
    }
    let line = Line::new("net", LATENCY, ("us", Better::Lower), OVS, Some(1.0), rounds);
    Ok(line.with_note(format!("{:.2} Mpps; medians of rounds, ours/theirs: {} us", tenth / 1e6, medians.join(" "))))
}

fn installation(options: &Options, ours: &mut Side, ovs: &mut Side) -> anyhow::Result<Vec<Line>> {
    let rules = cases::many_rules();
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let install = |side: &mut Side| side.awake(|side| Ok(side.bed.set_flows(&rules)?.as_secs_f64()));
        rounds.push((install(ours)?, install(ovs)?));
    }
    let limit = Line::limit("net", "100,000 rules in one bundle", "s", 2.0, rounds.iter().map(|(ours, _)| *ours));
    Ok(vec![limit, Line::new("net", "100,000 rules in one bundle", ("s", Better::Lower), OVS, None, rounds)])
}

/// What connections and cached flows cost, by how the process has grown.
fn memory(netd: &Switch) -> anyhow::Result<Vec<Line>> {
    let (rules, streams) = cases::new_connections();
    // A new one: who has had as many connections before has the memory already.
    Side::start(netd)?.awake(|side| {
        side.bed.set_flows(&rules)?;
        side.bed.appctl(&["dpctl/flush-conntrack"])?;
        let before = side.bed.resident_bytes()?;
        side.generator.run(&Run { streams, duration: OPENING, frames_per_second: None, latency: false })?;
        let count: f64 = side.bed.appctl(&["dpctl/ct-get-nconns"])?.trim().parse()?;
        let grown = side.bed.resident_bytes()?.saturating_sub(before);
        let each = grown as f64 / count.max(1.0);
        let line = Line::limit("net", "memory of a connection", "B", 256.0 + 64.0, [each]);
        Ok(vec![line.with_note(format!("{count:.0} connections, each with its cached flow"))])
    })
}
