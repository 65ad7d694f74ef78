//! The daemons that are compared, on files of the same size in one directory.

use super::cases::{Age, Case, Side};
use super::daemon::Daemon;
use super::fio;
use crate::report::Line;
use crate::rival::{self, Process};
use crate::virtio_blk::{Load, Outcome, Pattern, Until, drive};
use anyhow::Context;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const QSD: &str = "qemu-storage-daemon";
const NBDKIT: &str = "nbdkit";
const FILL_BLOCK_BYTES: usize = 1 << 20;
const SCATTER_BLOCK_BYTES: usize = 4 << 10;
/// Spans written in random places before the random cases, in halves; and before those of a steady state, counted with them.
const RANDOM_HALF_SPANS: u64 = 5;
const OVERWRITTEN_HALF_SPANS: u64 = 20;
/// Ageing of one side ends after this, however far it is.
const RANDOM_LIMIT: Duration = Duration::from_secs(6);
const OVERWRITTEN_LIMIT: Duration = Duration::from_secs(12);
/// The disk is filled to this part.
const FILL_PERCENT: u64 = 80;

/// One side of the comparison, as it is reached.
#[derive(Debug)]
enum Station {
    Virtio { socket: PathBuf, process: Process },
    Nbd { socket: PathBuf, process: Process },
    File(PathBuf),
}

impl Station {
    fn process(&self) -> Option<&Process> {
        match self {
            Self::Virtio { process, .. } | Self::Nbd { process, .. } => Some(process),
            Self::File(_) => None,
        }
    }

    fn measure(&self, load: Load, duration: Duration, seed: u64) -> anyhow::Result<Outcome> {
        match self {
            Self::Virtio { socket, .. } => drive(socket, load, Until::Elapsed(duration), seed),
            Self::Nbd { socket, .. } => fio::measure(fio::Target::Nbd(socket), load, duration),
            Self::File(path) => fio::measure(fio::Target::File(path), load, duration),
        }
    }

    /// Write `bytes` in all, or as many as the time allows.
    fn write(&self, load: Load, bytes: u64, limit: Duration, seed: u64) -> anyhow::Result<()> {
        match self {
            Self::Virtio { socket, .. } => {
                drive(socket, load, Until::CountWithin(bytes / load.block_bytes as u64, limit), seed)?;
                let flush = Load { pattern: Pattern::WriteFlush, depth: 1, ..load };
                drive(socket, flush, Until::Count(1), 0).map(drop)
            }
            Self::Nbd { socket, .. } => fio::write(fio::Target::Nbd(socket), load, bytes, limit),
            Self::File(path) => fio::write(fio::Target::File(path), load, bytes, limit),
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Bed {
    span_bytes: u64,
    stations: Vec<(Side, Station)>,
    ages: BTreeMap<&'static str, Age>,
    // Last: the processes end before their files go.
    _dir: tempfile::TempDir,
}

impl Bed {
    /// Those of `sides` in a directory of their own below `parent`; loads go to the first `span_bytes` of a disk that is larger.
    pub fn make(parent: &Path, span_bytes: u64, sides: &[Side], blockd: &Path) -> anyhow::Result<Self> {
        let dir = super::directory(parent)?;
        let disk_bytes = (span_bytes * 100 / FILL_PERCENT).next_multiple_of(FILL_BLOCK_BYTES as u64);
        let mut stations = Vec::new();
        for side in sides {
            let station = match side {
                Side::Plain => ours(blockd, &dir.path().join("plain"), disk_bytes, false)?,
                Side::Encrypted => ours(blockd, &dir.path().join("encrypted"), disk_bytes, true)?,
                Side::Qsd => qsd(dir.path(), disk_bytes)?,
                Side::Nbdkit => nbdkit(dir.path(), disk_bytes)?,
                Side::Fio => Station::File(dir.path().join("fio.raw")),
            };
            stations.push((*side, station));
        }
        let bed = Self { span_bytes, stations, ages: BTreeMap::new(), _dir: dir };
        for (side, _) in &bed.stations {
            bed.pause(*side, true)?;
        }
        Ok(bed)
    }

    /// Only the side whose turn it is runs: a cleaner that used a rival's turn would disturb it, and gain by it.
    fn pause(&self, side: Side, paused: bool) -> anyhow::Result<()> {
        match self.station(side)?.process() {
            Some(process) => process.pause(paused),
            None => Ok(()),
        }
    }

    fn station(&self, side: Side) -> anyhow::Result<&Station> {
        let found = self.stations.iter().find(|(s, _)| *s == side);
        Ok(&found.with_context(|| format!("no {} in this bed", side.name()))?.1)
    }

    fn turn<T>(&self, side: Side, act: impl FnOnce(&Station) -> anyhow::Result<T>) -> anyhow::Result<T> {
        self.pause(side, false)?;
        let result = act(self.station(side)?).with_context(|| side.name());
        self.pause(side, true)?;
        result
    }

    /// Put `sides` through what comes before `age`, and `age` itself.
    fn grow(&mut self, sides: &[Side], age: Age) -> anyhow::Result<()> {
        for next in [Age::Filled, Age::Sequential, Age::Random, Age::Overwritten] {
            for side in sides {
                if next > age || self.ages.get(side.name()).is_some_and(|now| next <= *now) {
                    continue;
                }
                eprint!("\r{:<60}\r{}: {next:?} ", "", side.name());
                self.turn(*side, |station| self.write(station, next))?;
                self.ages.insert(side.name(), next);
            }
        }
        Ok(())
    }

    fn write(&self, station: &Station, age: Age) -> anyhow::Result<()> {
        let span_bytes = self.span_bytes;
        let in_sequence = Load {
            pattern: Pattern::SequentialWrite,
            block_bytes: FILL_BLOCK_BYTES,
            depth: 8,
            start_bytes: 0,
            span_bytes,
        };
        let scattered = Load {
            pattern: Pattern::RandomWrite,
            block_bytes: SCATTER_BLOCK_BYTES,
            depth: 32,
            start_bytes: 0,
            span_bytes,
        };
        let half = span_bytes / 2;
        match age {
            // Every block must be there, however long it takes.
            Age::Filled => station.write(in_sequence, span_bytes, Duration::from_secs(3600), 0),
            Age::Sequential => station.write(in_sequence, 2 * span_bytes, RANDOM_LIMIT, 0),
            Age::Random => station.write(scattered, RANDOM_HALF_SPANS * half, RANDOM_LIMIT, 100),
            Age::Overwritten => {
                let rest = (OVERWRITTEN_HALF_SPANS - RANDOM_HALF_SPANS) * half;
                station.write(scattered, rest, OVERWRITTEN_LIMIT, 200)
            }
        }
    }

    /// Measure all sides of `case` in turn, round by round.
    pub fn measure(&mut self, case: &Case, rounds: u32, duration: Duration) -> anyhow::Result<Vec<Line>> {
        self.grow(&case.sides(), case.age)?;
        let load = Load {
            pattern: case.pattern,
            block_bytes: case.block_bytes,
            depth: case.depth,
            start_bytes: 0,
            span_bytes: self.span_bytes,
        };
        let mut figures: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
        for round in 0..rounds {
            eprint!("\r{:<60}\r{} round {}/{rounds} ", "", case.name, round + 1);
            for side in case.sides() {
                let outcome = self.turn(side, |station| station.measure(load, duration, u64::from(round) + 1))?;
                figures.entry(side.name()).or_default().push(case.figure.of(outcome, load));
            }
        }
        eprint!("\r{:<60}\r", "");
        let of = |side: Side| figures.get(side.name()).cloned().unwrap_or_default();
        let line = |pair: &super::cases::Pair| {
            let rounds = of(pair.ours).into_iter().zip(of(pair.rival)).collect();
            Line::new(super::BENCH, case.title(pair.ours), case.figure.unit(), pair.rival.name(), pair.target, rounds)
        };
        Ok(case.pairs.iter().map(line).collect())
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // A paused process dies of SIGKILL all the same; nothing to do but to be sure that nobody waits for it.
        for (side, _) in &self.stations {
            let _ = self.pause(*side, false);
        }
    }
}

fn ours(blockd: &Path, dir: &Path, size_bytes: u64, encrypted: bool) -> anyhow::Result<Station> {
    let daemon = Daemon::start(blockd, dir, "")?;
    let socket = daemon.attach("perf", size_bytes, encrypted)?;
    Ok(Station::Virtio { socket, process: daemon.process })
}

fn qsd(dir: &Path, size_bytes: u64) -> anyhow::Result<Station> {
    let (file, socket) = (dir.join("qsd.raw"), dir.join("qsd.sock"));
    std::fs::File::create(&file)?.set_len(size_bytes)?;
    let blockdev =
        format!("driver=file,node-name=f0,filename={},aio=io_uring,cache.direct=on,discard=unmap", file.display());
    let export = format!(
        "type=vhost-user-blk,id=e0,node-name=f0,addr.type=unix,addr.path={},writable=on,num-queues=1",
        socket.display()
    );
    let arguments = ["--blockdev".to_owned(), blockdev, "--export".to_owned(), export];
    let process = rival::start(Path::new(QSD), &arguments, &socket)?;
    Ok(Station::Virtio { socket, process })
}

fn nbdkit(dir: &Path, size_bytes: u64) -> anyhow::Result<Station> {
    let (file, socket) = (dir.join("nbd.raw"), dir.join("nbd.sock"));
    std::fs::File::create(&file)?.set_len(size_bytes)?;
    let paths = [&socket, &file].map(|path| path.display().to_string());
    let [unix, file] = paths;
    let arguments = ["--foreground", "--unix", &unix, "file", &file].map(str::to_owned);
    let process = rival::start(Path::new(NBDKIT), &arguments, &socket)?;
    Ok(Station::Nbd { socket, process })
}
