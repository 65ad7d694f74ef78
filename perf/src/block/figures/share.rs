//! Whether volumes that ask for the same get the same.

use super::Workplace;
use crate::block::daemon::Daemon;
use crate::report::Line;
use crate::virtio_blk::{Load, Pattern, Until, drive};
use anyhow::bail;
use std::time::Duration;

const VOLUMES: usize = 4;
const VOLUME_BYTES: u64 = 256 << 20;
const LOAD_FOR: Duration = Duration::from_secs(4);
/// The mean of all may be so many times what the slowest gets.
const MOST_UNFAIR: f64 = 1.25;

pub fn measure(place: &Workplace<'_>) -> anyhow::Result<Vec<Line>> {
    let dir = crate::block::directory(place.parent)?;
    let daemon = Daemon::start(place.blockd, dir.path(), "")?;
    let load = Load {
        pattern: Pattern::RandomWrite,
        block_bytes: 4 << 10,
        depth: 8,
        start_bytes: 0,
        span_bytes: VOLUME_BYTES,
    };
    let attach = |i: usize| daemon.attach(&format!("share-{i}"), VOLUME_BYTES, false);
    let sockets = (0..VOLUMES).map(attach).collect::<anyhow::Result<Vec<_>>>()?;
    let rates = std::thread::scope(|scope| {
        let drivers: Vec<_> = sockets
            .iter()
            .zip(0..)
            .map(|(socket, seed)| scope.spawn(move || drive(socket, load, Until::Elapsed(LOAD_FOR), seed)))
            .collect();
        let joined = drivers.into_iter().map(|driver| driver.join().unwrap_or_else(|_| bail!("a writer panicked")));
        joined.map(|outcome| Ok(outcome?.per_second)).collect::<anyhow::Result<Vec<f64>>>()
    })?;
    let mean = rates.iter().sum::<f64>() / rates.len() as f64;
    let least = rates.iter().copied().fold(f64::INFINITY, f64::min);
    let note = format!("{VOLUMES} volumes, 4k random writes at QD8 each: {rates:.0?} a second");
    let line = Line::limit(crate::block::BENCH, "mean share by the least", "times", MOST_UNFAIR, [mean / least]);
    Ok(vec![line.with_note(note)])
}
