//! Latency of single writes while something else goes on: snapshots, and a store that cannot be reached.

use super::Workplace;
use crate::block::daemon::Daemon;
use crate::report::{Better, Line};
use crate::virtio_blk::{Load, Outcome, Pattern, Until, drive, drive_paced};
use anyhow::{Context, bail};
use std::path::Path;
use std::time::{Duration, Instant};

const VOLUME_BYTES: u64 = 512 << 20;
const WRITES: Load =
    Load { pattern: Pattern::RandomWrite, block_bytes: 4 << 10, depth: 1, start_bytes: 0, span_bytes: VOLUME_BYTES };

fn fill(socket: &Path) -> anyhow::Result<()> {
    let load = Load { pattern: Pattern::SequentialWrite, block_bytes: 1 << 20, depth: 8, ..WRITES };
    drive(socket, load, Until::Count(VOLUME_BYTES >> 20), 0).map(drop)
}

const MOST_PAUSE_MS: f64 = 5.0;
const SNAPSHOT_WRITES_FOR: Duration = Duration::from_secs(5);
const SNAPSHOT_EVERY: Duration = Duration::from_millis(500);

pub fn snapshots(place: &Workplace<'_>) -> anyhow::Result<Vec<Line>> {
    let dir = crate::block::directory(place.parent)?;
    let daemon = Daemon::start(place.blockd, dir.path(), "")?;
    let socket = daemon.attach("paused", VOLUME_BYTES, false)?;
    fill(&socket)?;
    // The first one sends the whole volume to the store, which is not what a pause is about.
    daemon.snapshot("paused", "whole")?;
    daemon.completed("whole")?;
    let writes = |seed| drive(&socket, WRITES, Until::Elapsed(SNAPSHOT_WRITES_FOR), seed);
    let without = writes(1)?;
    let (with, taken) = std::thread::scope(|scope| {
        let writer = scope.spawn(|| writes(2));
        let mut taken = 0;
        while !writer.is_finished() {
            std::thread::sleep(SNAPSHOT_EVERY);
            taken += 1;
            daemon.snapshot("paused", &format!("during-{taken}"))?;
        }
        let with = writer.join().unwrap_or_else(|_| bail!("the writer panicked"))?;
        anyhow::Ok((with, taken))
    })?;
    let ms = |us: f64| us / 1000.0;
    let note =
        format!("{taken} snapshots; longest write {:.2} ms, without {:.2} ms", ms(with.max_us), ms(without.max_us));
    let bench = crate::block::BENCH;
    let (case, unit) = ("QD1 write p99.9 during snapshots", ("ms", Better::Lower));
    let beside = vec![(ms(with.p999_us), ms(without.p999_us))];
    Ok(vec![
        Line::limit(bench, case, "ms", MOST_PAUSE_MS, [ms(with.p999_us)]).with_note(note),
        Line::new(bench, case, unit, "without snapshots", None, beside),
    ])
}

/// 50 MiB/s in requests of 16 KiB, one at a time.
const PACED: Load = Load { block_bytes: 16 << 10, ..WRITES };
const PACE: Duration = Duration::from_nanos(1_000_000_000 * (16 << 10) / (50 << 20));
const BEFORE_FOR: Duration = Duration::from_secs(5);
const OUTAGE_FOR: Duration = Duration::from_secs(6);
/// Uploads are on their way when the measurement begins.
const WARM_FOR: Duration = Duration::from_secs(2);
/// The store must have all of it again after so long.
const DRAIN_PATIENCE: Duration = Duration::from_secs(20);
/// Dirty bytes that are left when all full segments are uploaded: the open one and what waits for its index.
const DRAINED_BYTES: u64 = 64 << 20;
/// During the outage p99 may be twice that of before: as a ratio, half.
const OUTAGE_TARGET: f64 = 0.5;

pub fn outage(place: &Workplace<'_>) -> anyhow::Result<Vec<Line>> {
    let dir = crate::block::directory(place.parent)?;
    let store = dir.path().join("store");
    let config = format!("upload = true\nrpo_seconds = 5\n[store]\nkind = 'dir'\npath = '{}'", store.display());
    let daemon = Daemon::start(place.blockd, dir.path(), &config)?;
    let socket = daemon.attach("outage", VOLUME_BYTES, false)?;
    fill(&socket)?;
    let writes = |duration: Duration, seed| drive_paced(&socket, PACED, Until::Elapsed(duration), seed, Some(PACE));
    writes(WARM_FOR, 1)?;
    let before = writes(BEFORE_FOR, 2)?;
    let dirty_before = daemon.metrics("outage")?.dirty_bytes;
    // A file in its place: not even root can make a file below it.
    let aside = dir.path().join("store-away");
    std::fs::rename(&store, &aside).context("cannot move the store away")?;
    std::fs::write(&store, b"")?;
    let during = writes(OUTAGE_FOR, 3);
    let dirty_during = daemon.metrics("outage")?.dirty_bytes;
    let health = daemon.volume("outage")?.health;
    std::fs::remove_file(&store)?;
    std::fs::rename(&aside, &store).context("cannot put the store back")?;
    let during = during.context("a write failed during the outage")?;
    let begun = Instant::now();
    while daemon.metrics("outage")?.dirty_bytes > DRAINED_BYTES.max(dirty_before) && begun.elapsed() < DRAIN_PATIENCE {
        std::thread::sleep(Duration::from_millis(100));
    }
    let drained = if begun.elapsed() < DRAIN_PATIENCE {
        format!("in the store {:.1} s after it came back", begun.elapsed().as_secs_f64())
    } else {
        format!("NOT in the store {} s after it came back", DRAIN_PATIENCE.as_secs())
    };
    let errors = daemon.metrics("outage")?.errors;
    let mib_s = |outcome: Outcome| outcome.per_second * PACED.block_bytes as f64 / f64::from(1 << 20);
    let note = format!(
        "{} s without a store, {:.0} MiB/s before and {:.0} during; dirty {} then {} MiB, health {health:?}, {drained}",
        OUTAGE_FOR.as_secs(),
        mib_s(before),
        mib_s(during),
        dirty_before >> 20,
        dirty_during >> 20
    );
    let bench = crate::block::BENCH;
    let beside = vec![(during.p99_us, before.p99_us)];
    Ok(vec![
        Line::new(bench, "QD1 write p99, store away", ("us", Better::Lower), "before", Some(OUTAGE_TARGET), beside)
            .with_note(note),
        // A ratio with nothing above the line: met is what counts.
        Line::limit(bench, "failed writes, store away", "", 0.0, [errors as f64]),
    ])
}
