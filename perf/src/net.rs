//! netd beside the physical limit of vhost-user: DPDK's testpmd forwarding between two `net_vhost` ports without looking at a frame.
//!
//! The same generator drives both: testpmd with two virtio-user ports, each sending back what it receives with addresses swapped
//! (`5tswap`), so that 512 frames circle for as long as the switch forwards them. What circles is exactly what the switch can do.

use crate::report::{self, Better, Line};
use crate::rival::{self, Process};
use anyhow::{Context, bail, ensure};
use hive_netd_api::{MetadataService, Port, Reply, Request, Segment};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// netd beside testpmd's vhost limit
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Interleaved rounds; medians are compared.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one measurement.
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Append JSON lines to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The netd to measure; by default the one built beside this program.
    #[arg(long, value_name = "FILE")]
    netd: Option<PathBuf>,
}

const RIVAL_NAME: &str = "testpmd vhost io";
const MACS: [&str; 2] = ["52:54:00:00:00:01", "52:54:00:00:00:02"];
/// The first frames that testpmd makes go from 198.18.0.1 to 198.18.0.2 (RFC 2544); swapped, back again.
const ADDRESSES: [Ipv4Addr; 2] = [Ipv4Addr::new(198, 18, 0, 1), Ipv4Addr::new(198, 18, 0, 2)];
/// Bursts that begin to circle: 512 frames, half a ring.
const CIRCLING_BURSTS: usize = 16;
const BURST: usize = 32;
/// How long testpmd may take to start, or to answer a command.
const PATIENCE: Duration = Duration::from_secs(20);
/// 2 MiB pages for two testpmd processes of 512 MiB each.
const HUGE_PAGES: usize = 600;
const HUGE_PAGES_FILE: &str = "/proc/sys/vm/nr_hugepages";
const OVS_DPDK: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";

/// What carries frames between the two sockets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Switch {
    Netd,
    Testpmd,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    ensure!(options.rounds > 0 && options.seconds > 0, "rounds and seconds must be positive");
    let netd = rival::own_binary("netd", options.netd.as_deref())?;
    let _pages = HugePages::reserve()?;
    // testpmd inherits it: both sides and the generator run alike.
    if !rival::use_real_time() {
        println!("not allowed real-time priority: other load of this machine disturbs the figures");
    }
    println!("load before: {}", report::load_average());
    if Path::new(OVS_DPDK).exists() {
        println!("OVS-DPDK: skipped: this bench does not drive it yet");
    } else {
        println!("OVS-DPDK: skipped: package openvswitch-switch-dpdk is not installed");
    }
    let mut lines = Vec::new();
    for (case, frame_bytes, target) in [("64 B learned L2", 64, 0.80), ("1500 B learned L2", 1500, 0.80)] {
        let mut rounds = Vec::new();
        for round in 0..options.rounds {
            let measure = |switch| measure(switch, &netd, frame_bytes, options.seconds);
            let ours = measure(Switch::Netd).with_context(|| format!("netd, {case}, round {round}"))?;
            let limit = measure(Switch::Testpmd).with_context(|| format!("{RIVAL_NAME}, {case}, round {round}"))?;
            rounds.push((ours, limit));
        }
        lines.push(Line::new("net", case, ("Mpps", Better::Higher), RIVAL_NAME, Some(target), rounds));
    }
    report::print(&lines);
    println!("load after: {}", report::load_average());
    if let Some(path) = &options.json {
        report::write_json(path, &lines)?;
    }
    Ok(())
}

/// Frames per second that the generator receives, in millions, both directions together.
fn measure(switch: Switch, netd: &Path, frame_bytes: usize, seconds: u64) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let sockets = [0, 1].map(|index| directory.path().join(format!("port-{index}.sock")));
    let _daemon: Process;
    let mut limit = None;
    match switch {
        Switch::Netd => _daemon = start_netd(netd, directory.path())?,
        Switch::Testpmd => limit = Some(start_limit(&sockets)?),
    }
    // netd drops the second port's first frames, whose source is the first port's address: both sides circle the same number.
    let bursts = if switch == Switch::Netd { CIRCLING_BURSTS } else { CIRCLING_BURSTS / 2 };
    let mut generator = start_generator(&sockets, frame_bytes)?;
    generator.say(&format!("start tx_first {bursts}"))?;
    std::thread::sleep(Duration::from_secs(1));
    generator.port_rates()?;
    std::thread::sleep(Duration::from_secs(seconds));
    let rate = generator.port_rates()?;
    generator.quit()?;
    if let Some(limit) = limit {
        limit.quit()?;
    }
    ensure!(rate > 0.0, "no frame came back");
    Ok(rate / 1e6)
}

fn start_netd(netd: &Path, directory: &Path) -> anyhow::Result<Process> {
    let control = directory.join("control.sock");
    let config = directory.join("netd.toml");
    let at = directory.display();
    std::fs::write(
        &config,
        format!(
            "state_dir = '{at}/state'\nrun_dir = '{at}'\ncontrol_socket = '{at}/control.sock'\n[worker]\ncpus = [1]\n"
        ),
    )?;
    let process = rival::start(netd, &["--config".to_owned(), config.display().to_string()], &control)?;
    let mut stream = UnixStream::connect(&control)?;
    let mut replies = BufReader::new(stream.try_clone()?);
    let mut ask = |request: &Request| -> anyhow::Result<()> {
        writeln!(stream, "{}", serde_json::to_string(request)?)?;
        let mut line = String::new();
        replies.read_line(&mut line)?;
        match serde_json::from_str(&line)? {
            Reply::Error { message, .. } => bail!("netd refused: {message}"),
            _ => Ok(()),
        }
    };
    ask(&Request::PutSegment(Segment {
        segment_id: "bench".to_owned(),
        network: Ipv4Addr::new(198, 18, 0, 0),
        prefix_len: 16,
        gateway: Ipv4Addr::new(198, 18, 255, 1),
        dns: Ipv4Addr::new(198, 18, 255, 2),
        gateway_mac: "02:00:00:00:00:01".to_owned(),
        mtu: 1500,
        domain_name: "bench.internal".to_owned(),
        uplink: false,
    }))?;
    for index in 0..2 {
        ask(&Request::PutPort(Port {
            port_id: format!("port-{index}"),
            segment_id: "bench".to_owned(),
            mac: MACS[index].to_owned(),
            ipv4: ADDRESSES[index],
            queue_pairs: 1,
            hostname: format!("port-{index}"),
            metadata: MetadataService {
                enabled: false,
                token_required: true,
                hop_limit: 1,
                tree: Default::default(),
                user_data: None,
            },
        }))?;
    }
    Ok(process)
}

fn start_limit(sockets: &[PathBuf; 2]) -> anyhow::Result<Testpmd> {
    let devices = [0, 1].map(|index| format!("net_vhost{index},iface={},queues=1", sockets[index].display()));
    let mut limit = Testpmd::start("limit", "0@0,1@1", &devices, &["--forward-mode=io"])?;
    limit.say("start")?;
    Ok(limit)
}

fn start_generator(sockets: &[PathBuf; 2], frame_bytes: usize) -> anyhow::Result<Testpmd> {
    let devices = [0, 1].map(|index| {
        format!("net_virtio_user{index},path={},queues=1,queue_size=1024,mac={}", sockets[index].display(), MACS[index])
    });
    let peers = [format!("--eth-peer=0,{}", MACS[1]), format!("--eth-peer=1,{}", MACS[0])];
    let frame = format!("--txpkts={frame_bytes}");
    let rest = [&peers[0], &peers[1], &frame, "--port-topology=loop", "--forward-mode=5tswap"];
    Testpmd::start("generator", "0@0,1@0", &devices, &rest)
}

/// An interactive testpmd.
struct Testpmd {
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Testpmd {
    fn start(prefix: &str, lcores: &str, devices: &[String; 2], rest: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new("stdbuf");
        // testpmd's output is block-buffered when it is not a terminal.
        command.args(["-o0", "dpdk-testpmd", "--lcores", lcores, "--no-pci", "--in-memory", "--single-file-segments"]);
        command.args(["-m", "512", &format!("--file-prefix={prefix}-{}", std::process::id())]);
        for device in devices {
            command.args(["--vdev", device]);
        }
        // Few buffers on both sides keep them in the cache: the switch is measured, not the generator's memory.
        command.args(["--", "-i", "--nb-cores=1", "--txd=1024", "--rxd=1024", "--total-num-mbufs=8192"]);
        command.arg(format!("--burst={BURST}")).args(rest);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start dpdk-testpmd (Debian package dpdk-dev)")?;
        let output = Arc::new(Mutex::new(String::new()));
        let mut stdout = child.stdout.take().context("testpmd has no output")?;
        let collected = output.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                collected.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        let mut testpmd = Self { child, output };
        testpmd.wait_for("testpmd>", 0).context("testpmd did not start")?;
        Ok(testpmd)
    }

    fn text(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `wanted` stands in the output behind its first `from` bytes.
    fn wait_for(&mut self, wanted: &str, from: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if text.get(from..).is_some_and(|rest| rest.contains(wanted)) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("testpmd ended with {status}: {}", text.lines().last().unwrap_or_default());
            }
            ensure!(Instant::now() < deadline, "testpmd did not print {wanted:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn say(&mut self, command: &str) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut().context("testpmd has no input")?;
        writeln!(stdin, "{command}").with_context(|| format!("cannot tell testpmd to {command}"))
    }

    /// Frames per second received by both ports since the last call.
    fn port_rates(&mut self) -> anyhow::Result<f64> {
        let from = self.text().len();
        self.say("show port stats all")?;
        self.wait_for("port 1", from)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            let lines = text.get(from..).unwrap_or_default().lines();
            let rates: Vec<f64> = lines
                .filter_map(|line| line.trim().strip_prefix("Rx-pps:")?.split_whitespace().next()?.parse().ok())
                .collect();
            if rates.len() >= 2 {
                return Ok(rates.iter().sum());
            }
            ensure!(Instant::now() < deadline, "testpmd printed no rates");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn quit(mut self) -> anyhow::Result<()> {
        self.say("stop")?;
        self.say("quit")?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "testpmd does not quit");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Huge pages for the bench; what was there before is set again after it.
struct HugePages(usize);

impl HugePages {
    fn reserve() -> anyhow::Result<Self> {
        let read = || -> anyhow::Result<usize> { Ok(std::fs::read_to_string(HUGE_PAGES_FILE)?.trim().parse()?) };
        let before = read()?;
        if before < HUGE_PAGES {
            std::fs::write(HUGE_PAGES_FILE, HUGE_PAGES.to_string())
                .with_context(|| format!("cannot reserve {HUGE_PAGES} huge pages (root is needed)"))?;
        }
        let pages = Self(before);
        let reserved = read()?;
        ensure!(reserved >= HUGE_PAGES, "only {reserved} of {HUGE_PAGES} huge pages are free");
        Ok(pages)
    }
}

impl Drop for HugePages {
    fn drop(&mut self) {
        let _ = std::fs::write(HUGE_PAGES_FILE, self.0.to_string());
    }
}
