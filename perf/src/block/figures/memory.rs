//! Memory: of the block map, scaled to a TiB, and of a volume that does nothing.

use super::Workplace;
use crate::block::daemon::Daemon;
use crate::report::Line;
use crate::virtio_blk::{Load, Pattern, Until, drive};
use anyhow::Context;
use std::time::{Duration, Instant};

const TIB: u64 = 1 << 40;
const MIB: f64 = (1 << 20) as f64;
/// What is written of a volume of a TiB.
const WRITTEN_BYTES: u64 = 2 << 30;
/// Before that, so that what does not grow with the volume is not scaled.
const BEFORE_BYTES: u64 = 256 << 20;
const MOST_RANDOM_MIB: f64 = 2.1 * 1024.0;
const MOST_SEQUENTIAL_MIB: f64 = 5.0;
/// Nothing of the map may be let go while it is measured.
const NO_EVICTION: &str = "map_bytes = 4294967296";

pub fn map(place: &Workplace<'_>) -> anyhow::Result<Vec<Line>> {
    let dir = crate::block::directory(place.parent)?;
    let daemon = Daemon::start(place.blockd, dir.path(), NO_EVICTION)?;
    let mut lines = Vec::new();
    let kinds = [
        ("sequential", Pattern::SequentialWrite, 128 << 10, MOST_SEQUENTIAL_MIB),
        ("random", Pattern::RandomWrite, 4 << 10, MOST_RANDOM_MIB),
    ];
    for (name, pattern, block_bytes, limit) in kinds {
        let socket = daemon.attach(name, TIB, false)?;
        let map_bytes = |span_bytes: u64| -> anyhow::Result<f64> {
            let load = Load { pattern, block_bytes, depth: 32, span_bytes };
            drive(&socket, load, Until::Count(span_bytes / block_bytes as u64), 1)?;
            // The metrics are brought up to date now and then.
            std::thread::sleep(Duration::from_millis(1500));
            Ok(daemon.metrics(name)?.map_bytes as f64)
        };
        let (before, after) = (map_bytes(BEFORE_BYTES)?, map_bytes(WRITTEN_BYTES)?);
        let spans = TIB as f64 / (WRITTEN_BYTES - BEFORE_BYTES) as f64;
        let a_tib = before + (after - before).max(0.0) * spans;
        let note = format!(
            "{:.2} MiB with {} MiB written, {:.2} MiB with {} MiB; the growth is scaled to a TiB",
            before / MIB,
            BEFORE_BYTES >> 20,
            after / MIB,
            WRITTEN_BYTES >> 20
        );
        let case = format!("map memory a TiB, {name}");
        lines.push(Line::limit(crate::block::BENCH, case, "MiB", limit, [a_tib / MIB]).with_note(note));
        drop(socket);
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
