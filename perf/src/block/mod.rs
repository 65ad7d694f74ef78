//! blockd beside qemu-storage-daemon and nbdkit, under fio on io_uring as the physical limit, and beside limits of its own.
//!
//! [`cases`] says what is compared and what it must reach, [`bed`] holds the sides and ages them before they are measured, and
//! [`figures`] are those that no rival has.

mod bed;
mod cases;
mod daemon;
mod figures;
mod fio;

use crate::{report, rival};
use anyhow::{Context, bail};
use bed::Bed;
use cases::{Case, DISK_CASES, MEMORY_CASES, Side};
use figures::{FIGURES, Workplace};
use std::path::{Path, PathBuf};
use std::time::Duration;

const BENCH: &str = "block";
/// Memory-backed file system, where the daemons' own cost shows.
const MEMORY_DIR: &str = "/dev/shm";
const MEMORY_SPAN_BYTES: u64 = 256 << 20;
const DISK_SPAN_BYTES: u64 = 1 << 30;
/// What all files take at most, on the disk and in memory: our logs grow to twice what lives in them before they are cleaned.
const DISK_NEEDED_BYTES: u64 = 10 << 30;
const MEMORY_NEEDED_BYTES: u64 = 2 << 30;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every side serves a file of its own in one directory, is filled and aged alike before it is measured (overwritten twice in
sequence before the sequential cases, two and a half times in random places before the random ones, ten times before the
\"steady\" ones), and is stopped (SIGSTOP) while another has its turn, so that no cleaner works in a rival's time.
The last cases are figures of ours alone, beside the limit that they must keep.
A target that is missed is printed as MISSED and is not a failure. Needs fio, nbdkit and qemu-storage-daemon (make deps), and
the free space that is printed at the start.

Examples:
  hive-perf block                                    everything, about six minutes
  hive-perf block --only memory --rounds 3           the cases without a disk
  hive-perf block --only 'randwrite QD32' --dir /mnt/nvme --json block.jsonl
  hive-perf block --list                             the names of all cases")]
pub struct Options {
    /// Interleaved rounds; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Length of one measurement
    #[arg(long, default_value_t = 0.6)]
    seconds: f64,
    /// Append the results as JSON lines
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Directory on the disk to measure; what is put there is removed at the end
    #[arg(long, value_name = "DIR", default_value = "/var/tmp")]
    dir: PathBuf,
    /// Only cases whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
    /// Print the names of the cases, and end
    #[arg(long)]
    list: bool,
    /// blockd to measure, if not the one beside this program
    #[arg(long, value_name = "FILE")]
    blockd: Option<PathBuf>,
}

/// A directory below `parent` that is removed with all it holds.
fn directory(parent: &Path) -> anyhow::Result<tempfile::TempDir> {
    tempfile::Builder::new()
        .prefix("hive-perf-block-")
        .tempdir_in(parent)
        .with_context(|| format!("cannot make a directory in {}", parent.display()))
}

/// Refuse to begin what the disk has no room for.
fn check_room(dir: &Path, needed_bytes: u64) -> anyhow::Result<()> {
    let stat = rustix::fs::statvfs(dir).with_context(|| format!("cannot examine {}", dir.display()))?;
    let free_bytes = stat.f_bavail * stat.f_frsize;
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    println!("{}: {:.1} GiB free, up to {:.1} GiB needed", dir.display(), gib(free_bytes), gib(needed_bytes));
    if free_bytes < needed_bytes {
        bail!("too little room in {}: choose another directory by --dir", dir.display());
    }
    Ok(())
}

/// Measure and report.
///
/// # Errors
/// A case could not be measured; the others are, and are reported first.
pub fn run(options: &Options) -> anyhow::Result<()> {
    let is_wanted = |name: &str| name.contains(&options.only);
    let wanted = |cases: &[Case]| cases.iter().filter(|case| is_wanted(case.name)).copied().collect::<Vec<_>>();
    let beds = [
        (Path::new(MEMORY_DIR), MEMORY_SPAN_BYTES, wanted(&MEMORY_CASES)),
        (&options.dir, DISK_SPAN_BYTES, wanted(&DISK_CASES)),
    ];
    let figures: Vec<_> = FIGURES.iter().filter(|figure| is_wanted(figure.name)).collect();
    if options.list {
        let cases = beds.iter().flat_map(|(_, _, cases)| cases.iter().map(|case| case.name));
        cases.chain(figures.iter().map(|figure| figure.name)).for_each(|name| println!("{name}"));
        return Ok(());
    }
    let blockd = rival::own_binary("blockd", options.blockd.as_deref())?;
    if !beds[1].2.is_empty() || !figures.is_empty() {
        check_room(&options.dir, DISK_NEEDED_BYTES)?;
    }
    if !beds[0].2.is_empty() {
        check_room(Path::new(MEMORY_DIR), MEMORY_NEEDED_BYTES)?;
    }
    println!("load average {} at the start, {} s a measurement", report::load_average(), options.seconds);

    let duration = Duration::from_secs_f64(options.seconds);
    let (mut lines, mut failures) = (Vec::new(), Vec::new());
    for (parent, span_bytes, cases) in &beds {
        if cases.is_empty() {
            continue;
        }
        let mut bed = match Bed::make(parent, *span_bytes, &all_sides(cases), &blockd) {
            Ok(bed) => bed,
            Err(error) => {
                failures.push(format!("cases in {}: {error:#}", parent.display()));
                continue;
            }
        };
        for case in cases {
            match bed.measure(case, options.rounds, duration) {
                Ok(measured) => lines.extend(measured),
                Err(error) => failures.push(format!("{}: {error:#}", case.name)),
            }
        }
    }
    let workplace = Workplace { blockd: &blockd, parent: &options.dir };
    for figure in figures {
        eprint!("\r{:<60}\r{} ", "", figure.name);
        match (figure.measure)(&workplace) {
            Ok(measured) => lines.extend(measured),
            Err(error) => failures.push(format!("{}: {error:#}", figure.name)),
        }
    }
    eprint!("\r{:<60}\r", "");
    report::print(&lines);
    println!("load average {} at the end", report::load_average());
    if let Some(path) = &options.json {
        report::write_json(path, &lines)?;
    }
    if !failures.is_empty() {
        bail!("not measured:\n  {}", failures.join("\n  "));
    }
    Ok(())
}

fn all_sides(cases: &[Case]) -> Vec<Side> {
    let all = [Side::Plain, Side::Encrypted, Side::Qsd, Side::Nbdkit, Side::Fio];
    all.into_iter().filter(|side| cases.iter().any(|case| case.sides().contains(side))).collect()
}
