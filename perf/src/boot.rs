//! hive-vmm beside QEMU's microvm and q35 machines: the same kernel, initrd and disk, process start to the guest's first program,
//! and what a running machine costs beside its guest's memory.
//!
//! Both sides are started alike and watched alike: by reading the file their serial port is kept in.

use crate::report::{self, Better, Line};
use crate::rival::{self, Process};
use anyhow::{Context, bail};
use hive_blockd_api as blockd_api;
use hive_vmm_api::{BootSource, ConsoleConfig, DiskConfig, Smbios, VmConfig, console_log};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const QEMU: &str = "qemu-system-x86_64";
/// Printed by hive-minimal's first program, which then powers the machine off.
const BENCH_WORD: &str = "hive.bench";
const BENCH_MARK: &str = "hive-bench: init";
/// Printed by the same program on an ordinary boot.
const BOOT_MARK: &str = "hive-minimal: init";
/// A machine that has not reached its first program by then never will, even under emulation.
const BOOT_TIMEOUT: Duration = Duration::from_secs(120);
/// Time for the guest to take its devices into use before memory is read.
const SETTLE: Duration = Duration::from_secs(3);
/// How often the serial output is looked at, for both sides.
const POLL: Duration = Duration::from_millis(1);
/// Issue 2: what a machine may cost beside its guest's memory.
const OVERHEAD_LIMIT_MIB: f64 = 12.0;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Interleaved rounds; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Append the results as JSON lines
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Folder of the image hive-minimal (made by `hive image build hive-minimal`)
    #[arg(long, value_name = "DIR", default_value = ".hive/cache/images/hive-minimal")]
    image: PathBuf,
    #[arg(long, default_value_t = 256)]
    memory_mib: u64,
    /// hive-vmm to measure, if not the one beside this program
    #[arg(long, value_name = "FILE")]
    hive_vmm: Option<PathBuf>,
    /// blockd for its disk, if not the one beside this program
    #[arg(long, value_name = "FILE")]
    blockd: Option<PathBuf>,
}

/// Which monitor runs the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Monitor {
    HiveVmm,
    Microvm,
    Q35,
}

/// What one boot showed.
#[derive(Clone, Copy, Debug)]
struct Boot {
    milliseconds: f64,
    overhead_mib: f64,
}

/// Run the bench where there is a `/dev/kvm` that runs Linux: a machine with hardware virtualisation, or a simulated node.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let bench = Bench::prepare(options)?;
    eprintln!("load average at the start: {}", report::load_average());
    let monitors = [Monitor::HiveVmm, Monitor::Microvm, Monitor::Q35];
    let mut boots: [Vec<Boot>; 3] = Default::default();
    for round in 0..options.rounds {
        for (monitor, boots) in monitors.into_iter().zip(&mut boots) {
            eprint!("\r{monitor:?} round {}/{}        ", round + 1, options.rounds);
            let milliseconds = bench.boot(monitor, BENCH_WORD, BENCH_MARK)?.0;
            let overhead_mib = bench.overhead(monitor)?;
            boots.push(Boot { milliseconds, overhead_mib });
        }
    }
    eprint!("\r{:<60}\r", "");
    let [ours, microvm, q35] = boots;
    let pairs = |rival: &[Boot], figure: fn(&Boot) -> f64| -> Vec<(f64, f64)> {
        ours.iter().zip(rival).map(|(ours, rival)| (figure(ours), figure(rival))).collect()
    };
    let time = ("ms", Better::Lower);
    let memory = ("MiB", Better::Lower);
    let limit: Vec<_> = ours.iter().map(|boot| (boot.overhead_mib, OVERHEAD_LIMIT_MIB)).collect();
    let lines = [
        Line::new("boot", "start to /init", time, "QEMU microvm", Some(1.0), pairs(&microvm, |b| b.milliseconds)),
        Line::new("boot", "start to /init", time, "QEMU q35", None, pairs(&q35, |b| b.milliseconds)),
        Line::new("boot", "memory beside the guest's", memory, "limit of 12 MiB", Some(1.0), limit),
        Line::new(
            "boot",
            "memory beside the guest's",
            memory,
            "QEMU microvm",
            None,
            pairs(&microvm, |b| b.overhead_mib),
        ),
        Line::new("boot", "memory beside the guest's", memory, "QEMU q35", None, pairs(&q35, |b| b.overhead_mib)),
    ];
    report::print(&lines);
    println!("load average at the end: {}", report::load_average());
    match &options.json {
        Some(path) => report::write_json(path, &lines),
        None => Ok(()),
    }
}

struct Bench {
    dir: tempfile::TempDir,
    image: PathBuf,
    memory_mib: u64,
    hive_vmm: PathBuf,
    disk_socket: PathBuf,
    _blockd: Process,
}

impl Bench {
    fn prepare(options: &Options) -> anyhow::Result<Self> {
        if !Path::new("/dev/kvm").exists() {
            bail!("no /dev/kvm: run this on a machine with hardware virtualisation or in a simulated node");
        }
        let image = options
            .image
            .canonicalize()
            .with_context(|| format!("no image in {}: hive image build hive-minimal", options.image.display()))?;
        let hive_vmm = rival::own_binary("hive-vmm", options.hive_vmm.as_deref())?;
        let blockd = rival::own_binary("blockd", options.blockd.as_deref())?;
        let dir = tempfile::tempdir()?;
        let at = |name: &str| dir.path().join(name);

        std::fs::copy(image.join("disk.raw"), at("qemu.raw"))?;
        let control = at("blockd.sock");
        let config = format!(
            "state_dir = {:?}\nrun_dir = {:?}\ncontrol_socket = {:?}\n",
            at("state").display().to_string(),
            at("run").display().to_string(),
            control.display().to_string()
        );
        std::fs::write(at("blockd.toml"), config)?;
        let process = rival::start(&blockd, &["--config".into(), at("blockd.toml").display().to_string()], &control)?;
        let disk_socket = clone_of(&control, &image.join("disk.raw"))?;
        Ok(Self { image, memory_mib: options.memory_mib, hive_vmm, disk_socket, _blockd: process, dir })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Start a machine and wait for `mark` on its serial port: the milliseconds that took, and the process.
    fn boot(&self, monitor: Monitor, word: &str, mark: &str) -> anyhow::Result<(f64, Process)> {
        let console = self.at("console.log");
        let _ = std::fs::remove_file(&console);
        let mut command = match monitor {
            Monitor::HiveVmm => self.hive_vmm(&console, word)?,
            Monitor::Microvm => self.qemu(&console, word, "microvm,rtc=on", "virtio-blk-device"),
            Monitor::Q35 => self.qemu(&console, word, "q35", "virtio-blk-pci"),
        };
        let log = std::fs::File::create(self.at("monitor.log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let started = Instant::now();
        let mut process = Process::spawn(&mut command)?;
        loop {
            let output = match monitor {
                Monitor::HiveVmm => console_log::read_newest(&console, 1 << 20).unwrap_or_default(),
                _ => std::fs::read(&console).unwrap_or_default(),
            };
            if output.windows(mark.len()).any(|window| window == mark.as_bytes()) {
                return Ok((started.elapsed().as_secs_f64() * 1e3, process));
            }
            if started.elapsed() > BOOT_TIMEOUT || process.has_ended()? {
                let log = std::fs::read_to_string(self.at("monitor.log")).unwrap_or_default();
                bail!("{monitor:?} did not reach {mark:?}: {log}\n{}", String::from_utf8_lossy(&output));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Proportional set size of a machine whose guest is up, less its guest's memory.
    fn overhead(&self, monitor: Monitor) -> anyhow::Result<f64> {
        let (_, process) = self.boot(monitor, "", BOOT_MARK)?;
        std::thread::sleep(SETTLE);
        let smaps = std::fs::read_to_string(format!("/proc/{}/smaps", process.id()))?;
        Ok(pss_kib(&smaps, self.memory_mib << 10) as f64 / 1024.0)
    }

    fn cmdline(word: &str) -> String {
        format!("console=ttyS0 quiet reboot=k panic=-1 {word}")
    }

    fn hive_vmm(&self, console: &Path, word: &str) -> anyhow::Result<Command> {
        let config = VmConfig {
            vm_id: "bench".into(),
            vcpus: 1,
            memory_size_bytes: self.memory_mib << 20,
            boot: BootSource {
                kernel: self.image.join("vmlinuz"),
                initrd: Some(self.image.join("initrd")),
                cmdline: Self::cmdline(word),
            },
            disks: vec![DiskConfig {
                id: "vol-bench".into(),
                socket: self.disk_socket.clone(),
                queues: 1,
                queue_size: 256,
                read_only: false,
            }],
            nets: Vec::new(),
            smbios: Smbios {
                uuid: "ec2b0000-0000-4000-8000-000000000000".into(),
                vendor: "Hive".into(),
                product: "bench".into(),
                version: String::new(),
                serial: String::new(),
                asset_tag: String::new(),
            },
            console: ConsoleConfig {
                log: console.to_owned(),
                log_size_bytes: 256 << 10,
                socket: self.at("console.sock"),
            },
            api_socket: self.at("api.sock"),
            exit_report: self.at("exit.json"),
            backend_timeout_ms: 10_000,
        };
        std::fs::write(self.at("vm.json"), serde_json::to_vec(&config)?)?;
        let mut command = Command::new(&self.hive_vmm);
        command.arg("--config").arg(self.at("vm.json"));
        Ok(command)
    }

    fn qemu(&self, console: &Path, word: &str, machine: &str, disk: &str) -> Command {
        let memory = self.memory_mib;
        let mut command = Command::new(QEMU);
        command
            .args(["-accel", "kvm", "-cpu", "host", "-smp", "1", "-nodefaults", "-no-user-config", "-no-reboot"])
            .args(["-display", "none", "-M", &format!("{machine},memory-backend=ram"), "-m", &format!("{memory}M")])
            .args(["-object", &format!("memory-backend-memfd,id=ram,size={memory}M,share=on")])
            .args(["-serial", &format!("file:{}", console.display())])
            .args(["-drive", &format!("if=none,id=disk,format=raw,file={}", self.at("qemu.raw").display())])
            .args(["-device", &format!("{disk},drive=disk")])
            .args(["-append", &Self::cmdline(word)])
            .arg("-kernel")
            .arg(self.image.join("vmlinuz"))
            .arg("-initrd")
            .arg(self.image.join("initrd"));
        command
    }
}

/// An attached clone of `disk`; returns its socket.
fn clone_of(control: &Path, disk: &Path) -> anyhow::Result<PathBuf> {
    let snapshot_id: blockd_api::SnapshotId = "image".parse()?;
    let import = blockd_api::Request::ImportSnapshot {
        snapshot_id: snapshot_id.clone(),
        path: disk.to_owned(),
        encrypted: false,
    };
    let size_bytes = match rival::ask_blockd(control, &import)? {
        blockd_api::Reply::Snapshot(snapshot) => snapshot.size_bytes,
        reply => bail!("blockd does not import {}: {reply:?}", disk.display()),
    };
    rival::attach(control, size_bytes, Some(snapshot_id))
}

/// Sum of the proportional set sizes in `smaps`, leaving out mappings of at least `guest_kib`: the guest's memory.
fn pss_kib(smaps: &str, guest_kib: u64) -> u64 {
    let field = |line: &str, name: &str| -> Option<u64> {
        line.strip_prefix(name)?.trim().strip_suffix("kB")?.trim().parse().ok()
    };
    let (mut size_kib, mut sum_kib) = (0, 0);
    for line in smaps.lines() {
        if let Some(value) = field(line, "Size:") {
            size_kib = value;
        } else if let Some(value) = field(line, "Pss:")
            && size_kib < guest_kib
        {
            sum_kib += value;
        }
    }
    sum_kib
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_memory_is_left_out() {
        let smaps = "7f00-7f10 rw-s\nSize:  262144 kB\nRss: 9 kB\nPss:  5000 kB\nPss_Dirty: 3 kB\n\
                     7f20-7f30 rw-p\nSize:  100 kB\nPss:   40 kB\n7f40-7f50 r--p\nSize: 8 kB\nPss: 2 kB\n";
        assert_eq!(pss_kib(smaps, 262_144), 42);
        assert_eq!(pss_kib(smaps, 262_145), 5042);
    }
}
