//! Recovery: how long a volume that was killed with much log behind its last checkpoint takes to be served again.

use super::Workplace;
use crate::block::daemon::{Daemon, drive_when_served};
use crate::report::Line;
use crate::virtio_blk::{Load, Pattern, Until, drive};
use std::time::Duration;

const VOLUME_BYTES: u64 = 1 << 40;
const MOST_SECONDS: f64 = 2.0;
/// Log written before the kill, and how long that may take.
const LOG_BYTES: u64 = 4 << 30;
const FILL_LIMIT: Duration = Duration::from_secs(10);
/// Written before each kill but the first.
const AGAIN_LIMIT: Duration = Duration::from_secs(1);
const KILLS: usize = 3;

/// In places scattered over a TiB, as small as they come: the most records, the most leaves of the map.
const SCATTERED: Load =
    Load { pattern: Pattern::RandomWrite, block_bytes: 4 << 10, depth: 32, start_bytes: 0, span_bytes: VOLUME_BYTES };
/// In places near each other: as much log as the disk takes.
const DENSE: Load =
    Load { pattern: Pattern::RandomWrite, block_bytes: 64 << 10, depth: 32, start_bytes: 0, span_bytes: 32 << 30 };

pub fn measure(place: &Workplace<'_>) -> anyhow::Result<Vec<Line>> {
    let kinds = [("recovery, 64k over 32 GiB", DENSE), ("recovery, 4k over a TiB", SCATTERED)];
    kinds.into_iter().map(|(case, load)| one(place, case, load)).collect()
}

fn one(place: &Workplace<'_>, case: &str, load: Load) -> anyhow::Result<Line> {
    let dir = crate::block::directory(place.parent)?;
    let mut daemon = Daemon::start(place.blockd, dir.path(), "")?;
    let socket = daemon.attach("killed", VOLUME_BYTES, false)?;
    let read = Load { pattern: Pattern::RandomRead, depth: 1, ..load };
    let (mut written_bytes, mut seconds) = (0, Vec::new());
    for kill in 0..KILLS {
        let limit = if kill == 0 { FILL_LIMIT } else { AGAIN_LIMIT };
        let count = LOG_BYTES.saturating_sub(written_bytes) / load.block_bytes as u64;
        let outcome = drive(&socket, load, Until::CountWithin(count.max(1), limit), kill as u64)?;
        written_bytes += outcome.requests * load.block_bytes as u64;
        let (restarted, begun) = daemon.kill_and_restart()?;
        daemon = restarted;
        // Served means that a read comes back.
        drive_when_served(&socket, read, Until::Count(1))?;
        seconds.push(begun.elapsed().as_secs_f64());
    }
    let worst = seconds.iter().copied().fold(0.0, f64::max);
    let each: Vec<String> = seconds.iter().map(|s| format!("{s:.2}")).collect();
    let note = format!(
        "the worst of {} after kills with {} MiB written in all; from the start of the process to the first read",
        each.join(", "),
        written_bytes >> 20
    );
    Ok(Line::limit(crate::block::BENCH, case, "s", MOST_SECONDS, [worst]).with_note(note))
}
