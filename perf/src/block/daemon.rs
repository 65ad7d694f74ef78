//! A blockd of a bench's own, in a directory of its own.

use crate::rival::{self, Process};
use crate::virtio_blk::{Load, Outcome, Until, drive};
use anyhow::{Context, bail};
use hive_blockd_api::{NewSnapshot, Reply, Request, Snapshot, SnapshotState, Volume, VolumeMetrics};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a volume may take to be served again, and a snapshot to be in the store.
const TIMEOUT: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_millis(2);
/// stat(2) counts in these.
const STAT_BLOCK_BYTES: u64 = 512;

/// A running blockd.
#[derive(Debug)]
pub struct Daemon {
    program: PathBuf,
    dir: PathBuf,
    pub process: Process,
}

impl Daemon {
    /// In `dir`, which exists; `extra` are lines of its configuration.
    pub fn start(program: &Path, dir: &Path, extra: &str) -> anyhow::Result<Self> {
        let root = dir.display();
        let config = format!("state_dir = '{root}/state'\nrun_dir = '{root}/run'\n{extra}\n");
        std::fs::create_dir_all(dir)?;
        std::fs::write(dir.join("blockd.toml"), config)?;
        Ok(Self { program: program.to_owned(), dir: dir.to_owned(), process: launch(program, dir)? })
    }

    /// SIGKILL it, and start it again; returns when that was begun.
    pub fn kill_and_restart(self) -> anyhow::Result<(Self, Instant)> {
        let Self { program, dir, process } = self;
        drop(process);
        let begun = Instant::now();
        let process = launch(&program, &dir)?;
        Ok((Self { program, dir, process }, begun))
    }

    pub fn control(&self) -> PathBuf {
        self.dir.join("run/control.sock")
    }

    pub fn store_dir(&self) -> PathBuf {
        self.dir.join("state/store")
    }

    pub fn attach(&self, name: &str, size_bytes: u64, encrypted: bool) -> anyhow::Result<PathBuf> {
        rival::attach_volume(&self.control(), &name.parse()?, size_bytes, None, encrypted)
    }

    pub fn volume(&self, name: &str) -> anyhow::Result<Volume> {
        match rival::ask_blockd(&self.control(), &Request::DescribeVolume { volume_id: name.parse()? })? {
            Reply::Volume(volume) => Ok(volume),
            reply => bail!("blockd does not describe {name}: {reply:?}"),
        }
    }

    pub fn metrics(&self, name: &str) -> anyhow::Result<VolumeMetrics> {
        match rival::ask_blockd(&self.control(), &Request::Metrics)? {
            Reply::Metrics(metrics) => metrics.volumes.get(name).cloned().context("no metrics of the volume"),
            reply => bail!("blockd tells no metrics: {reply:?}"),
        }
    }

    /// Take a snapshot; it is pending at first.
    pub fn snapshot(&self, volume: &str, snapshot: &str) -> anyhow::Result<()> {
        let one = NewSnapshot { volume_id: volume.parse()?, snapshot_id: snapshot.parse()? };
        match rival::ask_blockd(&self.control(), &Request::CreateSnapshots { snapshots: vec![one] })? {
            Reply::Snapshots(_) => Ok(()),
            reply => bail!("blockd takes no snapshot: {reply:?}"),
        }
    }

    /// Wait until the snapshot is in the store.
    pub fn completed(&self, snapshot: &str) -> anyhow::Result<Snapshot> {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            let request = Request::DescribeSnapshot { snapshot_id: snapshot.parse()? };
            match rival::ask_blockd(&self.control(), &request)? {
                Reply::Snapshot(snapshot) if snapshot.state == SnapshotState::Completed => return Ok(snapshot),
                Reply::Snapshot(snapshot) if snapshot.state == SnapshotState::Pending && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(50));
                }
                reply => bail!("the snapshot is not completed: {reply:?}"),
            }
        }
    }

    /// Memory of the process, in bytes.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        Ok(kib.trim().trim_end_matches(" kB").parse::<u64>()? << 10)
    }

    /// Processor time of all its threads.
    pub fn cpu_time(&self) -> anyhow::Result<Duration> {
        let mut ns = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.process.id()))? {
            // A thread may end meanwhile.
            let Ok(text) = std::fs::read_to_string(thread?.path().join("schedstat")) else { continue };
            ns += text.split(' ').next().and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(Duration::from_nanos(ns))
    }
}

fn launch(program: &Path, dir: &Path) -> anyhow::Result<Process> {
    let config = dir.join("blockd.toml").display().to_string();
    rival::start(program, &["--config".into(), config], &dir.join("run/control.sock"))
}

/// Drive a volume as soon as it is served: a predecessor's socket refuses until then.
pub fn drive_when_served(socket: &Path, load: Load, until: Until) -> anyhow::Result<Outcome> {
    let deadline = Instant::now() + TIMEOUT;
    loop {
        match drive(socket, load, until, 0) {
            Ok(outcome) => return Ok(outcome),
            Err(error) if Instant::now() > deadline => return Err(error.context("the volume is not served")),
            Err(_) => std::thread::sleep(RETRY),
        }
    }
}

/// Bytes of the disk that the files below `dir` take.
pub fn disk_bytes(dir: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let entry = entry?;
        // What is deleted meanwhile takes nothing.
        let Ok(metadata) = entry.metadata() else { continue };
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * STAT_BLOCK_BYTES };
    }
    Ok(bytes)
}
