//! Figures that no rival has, each beside the limit it must keep.

mod latency;
mod memory;
mod recovery;
mod share;
mod space;

use crate::report::Line;
use std::path::Path;

/// Where to measure, and whom.
#[derive(Debug)]
pub struct Workplace<'a> {
    pub blockd: &'a Path,
    /// On the disk to measure.
    pub parent: &'a Path,
}

/// One of them, or several that come together.
#[derive(Debug)]
pub struct Figure {
    pub name: &'static str,
    pub measure: fn(&Workplace<'_>) -> anyhow::Result<Vec<Line>>,
}

pub const FIGURES: [Figure; 7] = [
    Figure { name: "space amplification", measure: space::measure },
    Figure { name: "map memory a TiB", measure: memory::map },
    Figure { name: "idle volumes", measure: memory::idle },
    Figure { name: "recovery after SIGKILL", measure: recovery::measure },
    Figure { name: "QD1 write p99.9 during snapshots", measure: latency::snapshots },
    Figure { name: "QD1 write p99, store away", measure: latency::outage },
    Figure { name: "mean share by the least", measure: share::measure },
];
