//! blockd beside qemu-storage-daemon, both under the same driver, and beside fio on io_uring as the physical limit.

use crate::report::{self, Better, Line};
use crate::rival::{self, Process};
use crate::virtio_blk::{Load, Outcome, Pattern, Until, drive};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const QSD: &str = "qemu-storage-daemon";
const FIO: &str = "fio io_uring";
/// Memory-backed file system, where the daemons' own cost shows.
const MEMORY_DIR: &str = "/dev/shm";
const MEMORY_FILE_BYTES: u64 = 256 << 20;
const DISK_FILE_BYTES: u64 = 1 << 30;
const FILL_BLOCK_BYTES: usize = 1 << 20;

#[derive(Debug, clap::Args)]
pub struct Options {
    /// Interleaved rounds; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Length of one measurement
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
    /// Append the results as JSON lines
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Directory on the disk to measure
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    dir: PathBuf,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// blockd to measure, if not the one beside this program
    #[arg(long, value_name = "FILE")]
    blockd: Option<PathBuf>,
}

/// Which figure of a load counts.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Figure {
    PerSecond,
    MebibytesPerSecond,
    P50,
}

impl Figure {
    fn of(self, outcome: Outcome, load: Load) -> f64 {
        match self {
            Self::PerSecond => outcome.per_second,
            Self::MebibytesPerSecond => outcome.per_second * load.block_bytes as f64 / f64::from(1 << 20),
            Self::P50 => outcome.p50_us,
        }
    }

    fn unit(self) -> (&'static str, Better) {
        match self {
            Self::PerSecond => ("1/s", Better::Higher),
            Self::MebibytesPerSecond => ("MiB/s", Better::Higher),
            Self::P50 => ("us", Better::Lower),
        }
    }
}

/// One load and what it must reach against whom. A target is a ratio, above 1 better.
struct Case {
    name: &'static str,
    pattern: Pattern,
    block_bytes: usize,
    depth: usize,
    figure: Figure,
    /// None: not compared. Some(None): compared without a target.
    qsd: Option<Option<f64>>,
    fio: Option<Option<f64>>,
}

const KIB_4: usize = 4 << 10;
const KIB_128: usize = 128 << 10;

/// T1 to T3 of the design.
const MEMORY_CASES: [Case; 4] = [
    case("memory 4k randread QD1", Pattern::RandomRead, KIB_4, 1, Figure::PerSecond, Some(Some(1.5)), None),
    case("memory 4k randwrite QD1", Pattern::RandomWrite, KIB_4, 1, Figure::PerSecond, Some(Some(1.5)), None),
    case("memory 4k randread QD32", Pattern::RandomRead, KIB_4, 32, Figure::PerSecond, Some(Some(1.2)), None),
    case("memory 4k randwrite QD32", Pattern::RandomWrite, KIB_4, 32, Figure::PerSecond, Some(Some(1.2)), None),
];

/// T4 to T8, in this order: reads and writes in sequence before random writes scatter what is read in sequence. What that costs is
/// shown at the end. The target of T7 is "at most 2.2 times fio's latency".
const DISK_CASES: [Case; 6] = [
    case(
        "disk 128k seqread",
        Pattern::SequentialRead,
        KIB_128,
        8,
        Figure::MebibytesPerSecond,
        Some(None),
        Some(Some(0.9)),
    ),
    case(
        "disk 128k seqwrite",
        Pattern::SequentialWrite,
        KIB_128,
        8,
        Figure::MebibytesPerSecond,
        Some(None),
        Some(Some(0.85)),
    ),
    case("disk 4k randread QD1 p50", Pattern::RandomRead, KIB_4, 1, Figure::P50, Some(None), Some(Some(1.0 / 2.2))),
    case("disk 4k write+flush QD1", Pattern::WriteFlush, KIB_4, 1, Figure::PerSecond, Some(Some(1.3)), None),
    case(
        "disk 4k randwrite QD32",
        Pattern::RandomWrite,
        KIB_4,
        32,
        Figure::PerSecond,
        Some(Some(2.0)),
        Some(Some(1.5)),
    ),
    case(
        "disk 128k seqread after those",
        Pattern::SequentialRead,
        KIB_128,
        8,
        Figure::MebibytesPerSecond,
        Some(None),
        Some(None),
    ),
];

const fn case(
    name: &'static str,
    pattern: Pattern,
    block_bytes: usize,
    depth: usize,
    figure: Figure,
    qsd: Option<Option<f64>>,
    fio: Option<Option<f64>>,
) -> Case {
    Case { name, pattern, block_bytes, depth, figure, qsd, fio }
}

/// Both daemons, serving files of the same size in one directory, and our file for fio.
struct Bed {
    size_bytes: u64,
    ours: PathBuf,
    theirs: PathBuf,
    raw: PathBuf,
    _processes: [Process; 2],
    // Last: the processes end before their files go.
    _dir: tempfile::TempDir,
}

impl Bed {
    fn make(parent: &Path, size_bytes: u64, blockd: &Path) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new()
            .prefix("hive-perf-block-")
            .tempdir_in(parent)
            .with_context(|| format!("cannot make a directory in {}", parent.display()))?;
        let at = |name: &str| dir.path().join(name);
        let config = at("blockd.toml");
        let root = dir.path().display();
        std::fs::write(&config, format!("state_dir = '{root}/state'\nrun_dir = '{root}/run'\n"))?;
        let control = at("run/control.sock");
        let our_process = rival::start(blockd, &["--config".into(), config.display().to_string()], &control)?;
        let ours = rival::attach(&control, size_bytes, None)?;

        let (file, theirs) = (at("qsd.raw"), at("qsd.sock"));
        std::fs::File::create(&file)?.set_len(size_bytes)?;
        let blockdev =
            format!("driver=file,node-name=f0,filename={},aio=io_uring,cache.direct=on,discard=unmap", file.display());
        let export = format!(
            "type=vhost-user-blk,id=e0,node-name=f0,addr.type=unix,addr.path={},writable=on,num-queues=1",
            theirs.display()
        );
        let arguments = ["--blockdev".to_owned(), blockdev, "--export".to_owned(), export];
        let their_process = rival::start(Path::new(QSD), &arguments, &theirs)?;

        // Every block is written once, by the same way on both sides, so that no case measures allocation.
        let fill =
            Load { pattern: Pattern::SequentialWrite, block_bytes: FILL_BLOCK_BYTES, depth: 8, span_bytes: size_bytes };
        let blocks = size_bytes / FILL_BLOCK_BYTES as u64;
        for socket in [&ours, &theirs] {
            drive(socket, fill, Until::Count(blocks), 0)?;
            drive(socket, Load { pattern: Pattern::WriteFlush, depth: 1, ..fill }, Until::Count(1), 0)?;
        }
        // The limit is that of a file like ours: wholly written, on the same file system.
        let raw = at("raw");
        run_fio(&raw, size_bytes, &["--rw=write", "--bs=1M", "--iodepth=8"])?;
        Ok(Self { size_bytes, ours, theirs, raw, _processes: [our_process, their_process], _dir: dir })
    }

    fn measure(&self, case: &Case, options: &Options) -> anyhow::Result<Vec<Line>> {
        let load = Load {
            pattern: case.pattern,
            block_bytes: case.block_bytes,
            depth: case.depth,
            span_bytes: self.size_bytes,
        };
        let until = Until::Elapsed(Duration::from_secs_f64(options.seconds));
        let (mut against_qsd, mut against_fio) = (Vec::new(), Vec::new());
        for round in 0..options.rounds {
            eprint!("\r{:<40} round {}/{} ", case.name, round + 1, options.rounds);
            let run = |socket: &Path| -> anyhow::Result<f64> {
                Ok(case.figure.of(drive(socket, load, until, u64::from(round) + 1)?, load))
            };
            let ours = run(&self.ours)?;
            if case.qsd.is_some() {
                against_qsd.push((ours, run(&self.theirs)?));
            }
            if case.fio.is_some() {
                against_fio.push((ours, case.figure.of(fio(&self.raw, load, options.seconds)?, load)));
            }
        }
        eprint!("\r{:<60}\r", "");
        let line = |rival, target, rounds| Line::new("block", case.name, case.figure.unit(), rival, target, rounds);
        let qsd = case.qsd.map(|target| line(QSD, target, against_qsd));
        let fio = case.fio.map(|target| line(FIO, target, against_fio));
        Ok(qsd.into_iter().chain(fio).collect())
    }
}

/// The same load straight on the file.
fn fio(file: &Path, load: Load, seconds: f64) -> anyhow::Result<Outcome> {
    let (rw, side) = match load.pattern {
        Pattern::RandomRead => ("randread", "read"),
        Pattern::RandomWrite => ("randwrite", "write"),
        Pattern::SequentialRead => ("read", "read"),
        Pattern::SequentialWrite => ("write", "write"),
        Pattern::WriteFlush => bail!("fio is not asked for flushes"),
    };
    let (bs, depth) = (format!("--bs={}", load.block_bytes), format!("--iodepth={}", load.depth));
    let (rw, runtime) = (format!("--rw={rw}"), format!("--runtime={}ms", (seconds * 1000.0) as u64));
    let result = run_fio(file, load.span_bytes, &[&rw, &bs, &depth, &runtime, "--time_based"])?;
    let job = &result["jobs"][0][side];
    let number = |value: &serde_json::Value| value.as_f64().context("fio's report lacks a figure");
    Ok(Outcome {
        per_second: number(&job["iops"])?,
        p50_us: number(&job["lat_ns"]["percentile"]["50.000000"])? / 1000.0,
    })
}

fn run_fio(file: &Path, size_bytes: u64, arguments: &[&str]) -> anyhow::Result<serde_json::Value> {
    let output = Command::new("fio")
        .args(["--name=limit", "--direct=1", "--ioengine=io_uring", "--output-format=json", "--lat_percentiles=1"])
        .arg(format!("--filename={}", file.display()))
        .arg(format!("--size={size_bytes}"))
        .args(arguments)
        .output()
        .context("cannot start fio")?;
    if !output.status.success() {
        bail!("fio failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Measure and report.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let blockd = rival::own_binary("blockd", options.blockd.as_deref())?;
    let real_time = if rival::use_real_time() { "real-time priority" } else { "normal priority" };
    println!("load average {} at the start, {real_time}, {} s a measurement", report::load_average(), options.seconds);
    let mut lines = Vec::new();
    let beds: [(&Path, u64, &[Case]); 2] =
        [(Path::new(MEMORY_DIR), MEMORY_FILE_BYTES, &MEMORY_CASES), (&options.dir, DISK_FILE_BYTES, &DISK_CASES)];
    for (parent, size_bytes, cases) in beds {
        let cases: Vec<&Case> = cases.iter().filter(|case| case.name.contains(&options.only)).collect();
        if cases.is_empty() {
            continue;
        }
        let bed = Bed::make(parent, size_bytes, &blockd)?;
        for case in cases {
            lines.extend(bed.measure(case, options).with_context(|| case.name)?);
        }
    }
    report::print(&lines);
    println!("load average {} at the end", report::load_average());
    if let Some(path) = &options.json {
        report::write_json(path, &lines)?;
    }
    Ok(())
}
