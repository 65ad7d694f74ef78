//! Figures that no rival has, each beside the limit it must keep.

use crate::report::Line;
use std::path::Path;

/// Where and how often to measure.
#[derive(Debug)]
pub struct Workplace<'a> {
    pub blockd: &'a Path,
    /// On the disk to measure.
    pub parent: &'a Path,
    pub rounds: u32,
}

/// One of them, or several that come together.
#[derive(Debug)]
pub struct Figure {
    pub name: &'static str,
    pub measure: fn(&Workplace<'_>) -> anyhow::Result<Vec<Line>>,
}

pub const FIGURES: [Figure; 0] = [];
