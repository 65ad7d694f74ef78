//! The loads that are compared, and what each must reach.

use crate::report::Better;
use crate::virtio_blk::{Load, Outcome, Pattern};

/// Who serves a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// blockd, a plain volume.
    Plain,
    /// blockd, an encrypted volume.
    Encrypted,
    Qsd,
    /// nbdkit's file plugin under fio's nbd engine.
    Nbdkit,
    /// fio's io_uring engine straight on a file: the limit.
    Fio,
}

impl Side {
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "blockd",
            Self::Encrypted => "blockd encrypted",
            Self::Qsd => "qemu-storage-daemon",
            Self::Nbdkit => "nbdkit file (fio nbd)",
            Self::Fio => "fio io_uring",
        }
    }
}

/// Which figure of a load counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Figure {
    PerSecond,
    MebibytesPerSecond,
    P50,
}

impl Figure {
    pub fn of(self, outcome: Outcome, load: Load) -> f64 {
        match self {
            Self::PerSecond => outcome.per_second,
            Self::MebibytesPerSecond => outcome.per_second * load.block_bytes as f64 / f64::from(1 << 20),
            Self::P50 => outcome.p50_us,
        }
    }

    pub fn unit(self) -> (&'static str, Better) {
        match self {
            Self::PerSecond => ("1/s", Better::Higher),
            Self::MebibytesPerSecond => ("MiB/s", Better::Higher),
            Self::P50 => ("us", Better::Lower),
        }
    }
}

/// What all sides have been through before a case; in the order in which a bed goes through it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Age {
    /// Every block of the span written once, in sequence.
    Filled,
    /// Overwritten twice in sequence: our log has used its slots again.
    Sequential,
    /// Then two and a half spans of 4k writes in random places: our cleaner has had to work, and sequence is lost.
    Random,
    /// Then more of them, ten spans in all as far as the time goes.
    Overwritten,
}

/// One comparison within a case. The target is a ratio, above 1 better; none: shown only.
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub ours: Side,
    pub rival: Side,
    pub target: Option<f64>,
}

/// One load, and who is compared under it.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    pub name: &'static str,
    pub age: Age,
    pub pattern: Pattern,
    pub block_bytes: usize,
    pub depth: usize,
    pub figure: Figure,
    pub pairs: &'static [Pair],
}

impl Case {
    /// Everyone who takes part, each once.
    pub fn sides(&self) -> Vec<Side> {
        let mut sides = Vec::new();
        for side in self.pairs.iter().flat_map(|pair| [pair.ours, pair.rival]) {
            if !sides.contains(&side) {
                sides.push(side);
            }
        }
        sides
    }

    /// The case as it is printed when `ours` is compared.
    pub fn title(&self, ours: Side) -> String {
        match ours {
            Side::Encrypted => format!("{} encrypted", self.name),
            _ => self.name.to_owned(),
        }
    }
}

const KIB_4: usize = 4 << 10;
const KIB_128: usize = 128 << 10;

const fn plain(rival: Side, target: f64) -> Pair {
    Pair { ours: Side::Plain, rival, target: Some(target) }
}

const fn shown(rival: Side) -> Pair {
    Pair { ours: Side::Plain, rival, target: None }
}

const fn encrypted(rival: Side, target: f64) -> Pair {
    Pair { ours: Side::Encrypted, rival, target: Some(target) }
}

/// 4k in random places at depth 1 and 32 on a memory-backed file system, where the daemons' own cost shows: T1 to T3, and T10.
/// Only there is nbdkit compared for reads and unflushed writes: it goes through the page cache, so on a disk it would be
/// memory beside a disk.
pub const MEMORY_CASES: [Case; 4] = [
    memory_case("memory 4k randread QD1", Pattern::RandomRead, 1, &[plain(Side::Qsd, 1.5), plain(Side::Nbdkit, 2.0)]),
    memory_case("memory 4k randwrite QD1", Pattern::RandomWrite, 1, &[plain(Side::Qsd, 1.5), plain(Side::Nbdkit, 2.0)]),
    memory_case("memory 4k randread QD32", Pattern::RandomRead, 32, &[plain(Side::Qsd, 1.2), plain(Side::Nbdkit, 1.5)]),
    memory_case(
        "memory 4k randwrite QD32",
        Pattern::RandomWrite,
        32,
        &[plain(Side::Qsd, 1.2), plain(Side::Nbdkit, 1.5)],
    ),
];

const fn memory_case(name: &'static str, pattern: Pattern, depth: usize, pairs: &'static [Pair]) -> Case {
    Case { name, age: Age::Random, pattern, block_bytes: KIB_4, depth, figure: Figure::PerSecond, pairs }
}

/// T4 to T10 on a disk, in this order: reads and writes in sequence before random writes scatter what is read in sequence. What
/// that costs is shown at the end. The target of T7 is "at most 2.2 times fio's latency".
pub const DISK_CASES: [Case; 9] = [
    Case {
        name: "disk 128k seqread",
        age: Age::Sequential,
        pattern: Pattern::SequentialRead,
        block_bytes: KIB_128,
        depth: 8,
        figure: Figure::MebibytesPerSecond,
        pairs: &[plain(Side::Fio, 0.9), shown(Side::Qsd), encrypted(Side::Fio, 0.75)],
    },
    Case {
        name: "disk 128k seqwrite",
        age: Age::Sequential,
        pattern: Pattern::SequentialWrite,
        block_bytes: KIB_128,
        depth: 8,
        figure: Figure::MebibytesPerSecond,
        pairs: &[plain(Side::Fio, 0.85), shown(Side::Qsd), encrypted(Side::Fio, 0.75)],
    },
    Case {
        name: "disk 4k randread QD1 p50",
        age: Age::Random,
        pattern: Pattern::RandomRead,
        block_bytes: KIB_4,
        depth: 1,
        figure: Figure::P50,
        pairs: &[plain(Side::Fio, 1.0 / 2.2), shown(Side::Qsd)],
    },
    Case {
        name: "disk 4k write+flush QD1",
        age: Age::Random,
        pattern: Pattern::WriteFlush,
        block_bytes: KIB_4,
        depth: 1,
        figure: Figure::PerSecond,
        pairs: &[plain(Side::Qsd, 1.3), plain(Side::Nbdkit, 2.0)],
    },
    Case {
        name: "disk 4k randread QD32",
        age: Age::Random,
        pattern: Pattern::RandomRead,
        block_bytes: KIB_4,
        depth: 32,
        figure: Figure::PerSecond,
        pairs: &[encrypted(Side::Plain, 0.8)],
    },
    Case {
        name: "disk 4k randwrite QD32",
        age: Age::Random,
        pattern: Pattern::RandomWrite,
        block_bytes: KIB_4,
        depth: 32,
        figure: Figure::PerSecond,
        pairs: &[plain(Side::Qsd, 2.0), plain(Side::Fio, 1.5), encrypted(Side::Plain, 0.8)],
    },
    Case {
        name: "disk 4k randwrite QD32 steady",
        age: Age::Overwritten,
        pattern: Pattern::RandomWrite,
        block_bytes: KIB_4,
        depth: 32,
        figure: Figure::PerSecond,
        pairs: &[plain(Side::Fio, 1.5), shown(Side::Qsd)],
    },
    Case {
        name: "disk 4k randread QD32 steady",
        age: Age::Overwritten,
        pattern: Pattern::RandomRead,
        block_bytes: KIB_4,
        depth: 32,
        figure: Figure::PerSecond,
        pairs: &[shown(Side::Fio)],
    },
    Case {
        name: "disk 128k seqread fragmented",
        age: Age::Overwritten,
        pattern: Pattern::SequentialRead,
        block_bytes: KIB_128,
        depth: 8,
        figure: Figure::MebibytesPerSecond,
        pairs: &[shown(Side::Fio), shown(Side::Qsd)],
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_of_a_bed_grow_older() {
        assert!(DISK_CASES.is_sorted_by_key(|case| case.age));
        assert!(MEMORY_CASES.is_sorted_by_key(|case| case.age));
    }

    #[test]
    fn every_side_takes_part_once() {
        let sides = DISK_CASES[0].sides();
        assert_eq!(sides, [Side::Plain, Side::Fio, Side::Qsd, Side::Encrypted]);
    }
}
