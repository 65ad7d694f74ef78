//! Memory: of the block map, scaled to a TiB, and of a volume that does nothing.

use super::Workplace;
use crate::block::daemon::Daemon;
use crate::report::Line;
use crate::virtio_blk::{Load, Pattern, Until, drive};
use anyhow::Context;
use std::time::{Duration, Instant};

const TIB: u64 = 1 << 40;
const GIB: u64 = 1 << 30;
const MIB: f64 = (1 << 20) as f64;
const MOST_RANDOM_MIB: f64 = 2.1 * 1024.0;
const MOST_SEQUENTIAL_MIB: f64 = 5.0;
/// Nothing of the map may be let go while it is measured.
const NO_EVICTION: &str = "map_bytes = 4294967296";
/// Written first: `map_bytes` counts a cache of checks too, which grows to 8 MiB and no further. The volume is encrypted because
/// its checks are larger, so that so much fills the cache.
const CACHE_FULL: Load = part(Pattern::SequentialWrite, 128 << 10, 0, 2 * GIB + GIB / 2);
/// The map allocates for 4 GiB at a time: parts that are shorter would be charged for what they do not use.
const PARTS: [(&str, Load, f64); 2] = [
    ("map memory a TiB, sequential", part(Pattern::SequentialWrite, 128 << 10, 4 * GIB, 4 * GIB), MOST_SEQUENTIAL_MIB),
    ("map memory a TiB, random", part(Pattern::RandomWrite, 4 << 10, 16 * GIB, GIB), MOST_RANDOM_MIB),
];
/// Metrics are brought up to date now and then.
const METRICS_AGE: Duration = Duration::from_millis(1500);

const fn part(pattern: Pattern, block_bytes: usize, start_bytes: u64, span_bytes: u64) -> Load {
    Load { pattern, block_bytes, depth: 32, start_bytes, span_bytes }
}

pub fn map(place: &Workplace<'_>) -> anyhow::Result<Vec<Line>> {
    let dir = crate::block::directory(place.parent)?;
    let daemon = Daemon::start(place.blockd, dir.path(), NO_EVICTION)?;
    let socket = daemon.attach("mapped", TIB, true)?;
    let bytes_after = |load: Load| -> anyhow::Result<f64> {
        // In random places twice as many writes, so that hardly a block is left out.
        let times = if load.pattern == Pattern::RandomWrite { 2 } else { 1 };
        drive(&socket, load, Until::Count(times * load.span_bytes / load.block_bytes as u64), 1)?;
        std::thread::sleep(METRICS_AGE);
        Ok(daemon.metrics("mapped")?.map_bytes as f64)
    };
    let mut before = bytes_after(CACHE_FULL)?;
    let mut lines = Vec::new();
    for (case, load, limit) in PARTS {
        let after = bytes_after(load)?;
        let a_tib = (after - before).max(0.0) / load.span_bytes as f64 * TIB as f64;
        let note = format!(
            "{:.0} KiB for {} GiB, scaled; beside that {:.1} MiB once, the cache of checks",
            (after - before) / 1024.0,
            load.span_bytes / GIB,
            before / MIB
        );
        lines.push(Line::limit(crate::block::BENCH, case, "MiB", limit, [a_tib / MIB]).with_note(note));
        before = after;
    }
    Ok(lines)
}

const IDLE_VOLUMES: u32 = 1000;
const IDLE_VOLUME_BYTES: u64 = 1 << 30;
const MOST_IDLE_MIB: f64 = 2.0;
const IDLE_FOR: Duration = Duration::from_secs(5);
/// After the last attach: what it leaves to do is not idleness.
const CALM: Duration = Duration::from_secs(3);
/// Calls at a time.
const CALLERS: u32 = 8;
/// A processor is idle as far as anyone cares when a thousand volumes take less than this part of it.
const MOST_IDLE_CPU_PERCENT: f64 = 1.0;

pub fn idle(place: &Workplace<'_>) -> anyhow::Result<Vec<Line>> {
    let dir = crate::block::directory(place.parent)?;
    let daemon = Daemon::start(place.blockd, dir.path(), "")?;
    std::thread::sleep(Duration::from_millis(500));
    let empty = daemon.resident_bytes()?;
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let attach = |caller: u32| {
            let daemon = &daemon;
            move || -> anyhow::Result<()> {
                for number in (caller..IDLE_VOLUMES).step_by(CALLERS as usize) {
                    let attached = daemon.attach(&format!("idle-{number}"), IDLE_VOLUME_BYTES, false);
                    attached.with_context(|| format!("volume {number} of {IDLE_VOLUMES}"))?;
                }
                Ok(())
            }
        };
        let callers: Vec<_> = (0..CALLERS).map(|caller| scope.spawn(attach(caller))).collect();
        callers.into_iter().try_for_each(|caller| caller.join().unwrap_or_else(|_| anyhow::bail!("a caller panicked")))
    })?;
    let took = begun.elapsed();
    std::thread::sleep(CALM);
    let full = daemon.resident_bytes()?;
    let before = daemon.cpu_time()?;
    anyhow::ensure!(!before.is_zero(), "this kernel does not tell threads' processor time");
    std::thread::sleep(IDLE_FOR);
    let cpu = daemon.cpu_time()? - before;
    let per_volume_mib = full.saturating_sub(empty) as f64 / f64::from(IDLE_VOLUMES) / MIB;
    let cpu_percent = cpu.as_secs_f64() / IDLE_FOR.as_secs_f64() * 100.0;
    let note = format!(
        "{:.1} MiB resident without volumes, {:.1} MiB with {IDLE_VOLUMES} attached, which took {:.1} s",
        empty as f64 / MIB,
        full as f64 / MIB,
        took.as_secs_f64()
    );
    let bench = crate::block::BENCH;
    Ok(vec![
        Line::limit(bench, "idle volume, memory", "MiB", MOST_IDLE_MIB, [per_volume_mib]).with_note(note),
        Line::limit(bench, "idle volumes (1000), processor", "%", MOST_IDLE_CPU_PERCENT, [cpu_percent])
            .with_note(format!("{:.1} ms of processor time in {} s", cpu.as_secs_f64() * 1e3, IDLE_FOR.as_secs())),
    ])
}
