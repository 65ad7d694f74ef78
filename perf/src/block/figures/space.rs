//! Space: what the disk holds beside what could be asked for.

use super::Workplace;
use crate::block::daemon::{Daemon, disk_bytes};
use crate::report::Line;
use crate::virtio_blk::{Load, Pattern, Until, drive};
use std::collections::HashSet;
use std::time::{Duration, Instant};

const VOLUME_BYTES: u64 = 1 << 30;
const FILL_PERCENT: u64 = 70;
/// Small beside a segment, and large enough for ten overwrites to take seconds.
const BLOCK_BYTES: usize = 16 << 10;
const OVERWRITES: u64 = 10;
/// A snapshot is taken after each of these.
const SNAPSHOTS_AFTER: [u64; 3] = [3, 6, 9];
/// What the disk holds may be so many times what is live.
const MOST_AMPLIFICATION: f64 = 1.3;
/// The idle cleaner is done when nothing has changed for so long; it is not waited for longer than that.
const SETTLED: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(25);

pub fn measure(place: &Workplace<'_>) -> anyhow::Result<Vec<Line>> {
    let dir = crate::block::directory(place.parent)?;
    let daemon = Daemon::start(place.blockd, dir.path(), "")?;
    let socket = daemon.attach("space", VOLUME_BYTES, false)?;
    let span_bytes = VOLUME_BYTES * FILL_PERCENT / 100 / (1 << 20) * (1 << 20);
    let fill = Load { pattern: Pattern::SequentialWrite, block_bytes: 1 << 20, depth: 8, start_bytes: 0, span_bytes };
    let scattered =
        Load { pattern: Pattern::RandomWrite, block_bytes: BLOCK_BYTES, depth: 32, start_bytes: 0, span_bytes };
    let blocks = span_bytes / BLOCK_BYTES as u64;

    drive(&socket, fill, Until::Count(span_bytes >> 20), 0)?;
    // Which overwrite each block is of, so that what snapshots and volume share can be told exactly.
    let mut written = vec![0u64; usize::try_from(blocks)?];
    let mut held = HashSet::new();
    for overwrite in 1..=OVERWRITES {
        drive(&socket, scattered, Until::Count(blocks), overwrite)?;
        // The same place twice within one overwrite counts once: only the last is live.
        for block in scattered.random_blocks(overwrite).take(written.len()) {
            written[usize::try_from(block)?] = overwrite;
        }
        if SNAPSHOTS_AFTER.contains(&overwrite) {
            daemon.snapshot("space", &format!("after-{overwrite}"))?;
            held.extend(written.iter().copied().enumerate());
        }
    }
    drive(&socket, Load { pattern: Pattern::WriteFlush, depth: 1, ..scattered }, Until::Count(1), 0)?;
    for overwrite in SNAPSHOTS_AFTER {
        daemon.completed(&format!("after-{overwrite}"))?;
    }

    let sizes = || anyhow::Ok((daemon.volume("space")?.allocated_bytes, disk_bytes(&daemon.store_dir())?));
    let at_once = sizes()?;
    let begun = Instant::now();
    let (mut last, mut changed) = (at_once, Instant::now());
    while changed.elapsed() < SETTLED && begun.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(200));
        let now = sizes()?;
        if now != last {
            (last, changed) = (now, Instant::now());
        }
    }

    let live_bytes = span_bytes;
    let current: HashSet<_> = written.iter().copied().enumerate().collect();
    let snapshot_bytes = held.difference(&current).count() as u64 * BLOCK_BYTES as u64;
    let needed = (live_bytes + snapshot_bytes) as f64;
    let amplification = |(log, store): (u64, u64)| (log + store) as f64 / needed;
    let mib = |bytes: u64| bytes >> 20;
    let note = format!(
        "log {} + store {} MiB on disk; live {} + of snapshots alone {} MiB; waited {:.0} s; {:.2} before the idle cleaner",
        mib(last.0),
        mib(last.1),
        mib(live_bytes),
        mib(snapshot_bytes),
        begun.elapsed().as_secs_f64(),
        amplification(at_once),
    );
    let line =
        Line::limit(crate::block::BENCH, "space amplification", "times", MOST_AMPLIFICATION, [amplification(last)]);
    Ok(vec![line.with_note(note)])
}
