//! Snapshots as blocks of 512 KiB, in EBS's direct APIs' sense, and as raw files.

use super::build::Builder;
use super::reader::{ReadError, Reader};
use crate::engine::format::BLOCK_BYTES;
use crate::engine::map::{LEAF_BLOCKS, Leaf};
use hive_blockd_api::{BlockList, ChangedBlock, ChangedBlockList, CheckReport, SNAPSHOT_BLOCK_BYTES};
use hive_blockd_store::StoreError;
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Blocks of the volume in one block here.
const UNIT: u32 = (SNAPSHOT_BLOCK_BYTES / BLOCK_BYTES as u64) as u32;
const UNITS_PER_LEAF: u32 = LEAF_BLOCKS / UNIT;
/// Damaged places that a report names.
const MAX_NAMED: usize = 16;

#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("cannot read the source")]
    Read(#[from] ReadError),
    #[error("cannot write to the store")]
    Store(#[from] StoreError),
    #[error("cannot read or write the file")]
    File(#[from] io::Error),
    #[error("cannot find the source")]
    Source(#[source] Box<super::SnapshotError>),
    #[error("it was deleted meanwhile")]
    Deleted,
    #[error("what an earlier try has brought to the store is something else")]
    Changed,
}

fn holds_data(leaf: &Leaf, unit: u32) -> bool {
    let start = unit % UNITS_PER_LEAF * UNIT;
    let (len, place) = leaf.find(start as u16);
    place.is_some() || len < UNIT
}

/// Units that hold data, from `start` on.
pub async fn list(reader: &mut Reader, size_bytes: u64, start: u32, max: u32) -> Result<BlockList, ReadError> {
    let (mut block_indexes, mut next_index) = (Vec::new(), None);
    'leaves: for index in reader.leaves() {
        let first = index * UNITS_PER_LEAF;
        if first + UNITS_PER_LEAF <= start {
            continue;
        }
        let Some(leaf) = reader.leaf(index).await? else { continue };
        for unit in (first..first + UNITS_PER_LEAF).filter(|unit| *unit >= start && holds_data(&leaf, *unit)) {
            if block_indexes.len() >= max as usize {
                next_index = Some(unit);
                break 'leaves;
            }
            block_indexes.push(unit);
        }
    }
    Ok(BlockList { size_bytes, block_indexes, next_index })
}

/// Whether the unit lies at the same places of the same segments in both.
fn same(first: (&Reader, &Leaf), second: (&Reader, &Leaf), unit: u32) -> Result<bool, ReadError> {
    let mut block = unit % UNITS_PER_LEAF * UNIT;
    let end = block + UNIT;
    while block < end {
        let (len_a, a) = first.1.find(block as u16);
        let (len_b, b) = second.1.find(block as u16);
        let equal = match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => a.block == b.block && first.0.name(a.seq)? == second.0.name(b.seq)?,
            _ => false,
        };
        if !equal {
            return Ok(false);
        }
        block += len_a.min(len_b);
    }
    Ok(true)
}

/// Units that may differ between two snapshots.
pub async fn list_changed(
    first: &mut Reader,
    second: &mut Reader,
    size_bytes: u64,
    start: u32,
    max: u32,
) -> Result<ChangedBlockList, ReadError> {
    let mut leaves = first.leaves();
    leaves.extend(second.leaves());
    leaves.sort_unstable();
    leaves.dedup();
    let (mut blocks, mut next_index) = (Vec::new(), None);
    let empty = Arc::new(Leaf::default());
    'leaves: for index in leaves {
        let unit = index * UNITS_PER_LEAF;
        if unit + UNITS_PER_LEAF <= start || same_home(first, second, index)? {
            continue;
        }
        let a = first.leaf(index).await?.unwrap_or_else(|| empty.clone());
        let b = second.leaf(index).await?.unwrap_or_else(|| empty.clone());
        for unit in (unit..unit + UNITS_PER_LEAF).filter(|unit| *unit >= start) {
            if same((first, &a), (second, &b), unit)? {
                continue;
            }
            if blocks.len() >= max as usize {
                next_index = Some(unit);
                break 'leaves;
            }
            let (in_first, in_second) = (holds_data(&a, unit), holds_data(&b, unit));
            blocks.push(ChangedBlock { block_index: unit, in_first, in_second });
        }
    }
    Ok(ChangedBlockList { size_bytes, blocks, next_index })
}

/// A leaf saved once for both has not changed.
fn same_home(first: &Reader, second: &Reader, index: u32) -> Result<bool, ReadError> {
    let home = |reader: &Reader| {
        let homes = &reader.checkpoint().homes;
        homes.binary_search_by_key(&index, |(leaf, _)| *leaf).ok().map(|found| homes[found].1)
    };
    match (home(first), home(second)) {
        (Some(a), Some(b)) => Ok(a == b && first.name(a.place.seq)? == second.name(b.place.seq)?),
        _ => Ok(false),
    }
}

/// Blocks of one leaf that hold data, in runs of so many from each on.
async fn runs_of(reader: &mut Reader, index: u32, size_bytes: u64) -> Result<Vec<(u32, u32)>, ReadError> {
    let size_blocks = size_bytes.div_ceil(BLOCK_BYTES as u64);
    let mut runs = Vec::new();
    if let Some(leaf) = reader.leaf(index).await? {
        leaf.each_run(|run| runs.push((index * LEAF_BLOCKS + u32::from(run.start), u32::from(run.len))));
    }
    runs.retain(|(lba, blocks)| u64::from(*lba) + u64::from(*blocks) <= size_blocks);
    Ok(runs)
}

/// Write everything to `file`, which is empty.
pub async fn export(reader: &mut Reader, size_bytes: u64, file: &File) -> Result<(), CopyError> {
    file.set_len(size_bytes)?;
    for index in reader.leaves() {
        for (lba, blocks) in runs_of(reader, index, size_bytes).await? {
            let bytes = reader.read(lba, blocks).await?;
            file.write_all_at(&bytes, u64::from(lba) * BLOCK_BYTES as u64)?;
        }
    }
    file.sync_all()?;
    Ok(())
}

/// Read everything, and say what is damaged.
pub async fn check(reader: &mut Reader) -> Result<CheckReport, ReadError> {
    let mut report = CheckReport::default();
    for index in reader.leaves() {
        let leaf = match reader.leaf(index).await {
            Ok(leaf) => leaf,
            Err(error) if error.is_damage() => {
                note(&mut report, LEAF_BLOCKS.into(), error.to_string());
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut runs = Vec::new();
        if let Some(leaf) = leaf {
            leaf.each_run(|run| runs.push(run));
        }
        for run in runs {
            let lba = index * LEAF_BLOCKS + u32::from(run.start);
            report.blocks_checked += u64::from(run.len);
            match reader.read(lba, u32::from(run.len)).await {
                Ok(_) => {}
                Err(error) if error.is_damage() => {
                    // Which of them?
                    for block in (0..u32::from(run.len)).map(|block| lba + block) {
                        match reader.read(block, 1).await {
                            Err(error) if error.is_damage() => {
                                note(&mut report, 1, format!("block {block} of the volume: {error}"));
                            }
                            result => drop(result?),
                        }
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
    Ok(report)
}

fn note(report: &mut CheckReport, blocks: u64, text: String) {
    report.blocks_damaged += blocks;
    if report.damage.len() < MAX_NAMED {
        report.damage.push(text);
    }
}

/// The ranges of `file` that the file system calls data, in bytes, in order, up to its end.
pub fn data_ranges(file: &File) -> io::Result<Vec<Range<u64>>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    loop {
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            Err(Errno::NXIO) => return Ok(ranges),
            Err(e) => return Err(e.into()),
        };
        let end = seek(file, SeekFrom::Hole(start))?;
        ranges.push(start..end);
        at = end;
    }
}

/// Blocks read from a file at a time.
const FILE_BLOCKS: u64 = 256;

/// Take in the data of a file, block by block; zeros take no room unless they cover something of the base.
pub async fn import(
    builder: &mut Builder,
    base: Option<&mut Reader>,
    file: &File,
    size_bytes: u64,
) -> Result<(), CopyError> {
    let mut base = base;
    let block_bytes = BLOCK_BYTES as u64;
    let mut buffer = vec![0; (FILE_BLOCKS * block_bytes) as usize];
    for range in data_ranges(file)? {
        let (mut block, end) = (range.start / block_bytes, range.end.min(size_bytes).div_ceil(block_bytes));
        while block < end {
            let blocks = (end - block).min(FILE_BLOCKS);
            let bytes = &mut buffer[..(blocks * block_bytes) as usize];
            read_to_end_at(file, bytes, block * block_bytes)?;
            for (i, bytes) in bytes.chunks_exact(BLOCK_BYTES).enumerate() {
                let lba = u32::try_from(block + i as u64).map_err(io::Error::other)?;
                let leaf = lba / LEAF_BLOCKS;
                if let (Some(base), false) = (&mut base, builder.knows_leaf(leaf)) {
                    let inherited = base.leaf(leaf).await?.map_or_else(Leaf::default, |leaf| (*leaf).clone());
                    builder.set_leaf(leaf, inherited);
                }
                if bytes.iter().all(|b| *b == 0) {
                    builder.clear(lba);
                } else {
                    builder.push(lba, bytes).await?;
                }
            }
            block += blocks;
        }
    }
    Ok(())
}

/// Fill `bytes`, with zeros behind the file's end.
fn read_to_end_at(file: &File, bytes: &mut [u8], offset: u64) -> io::Result<()> {
    let mut got = 0;
    while got < bytes.len() {
        match file.read_at(&mut bytes[got..], offset + got as u64)? {
            0 => break,
            n => got += n,
        }
    }
    bytes[got..].fill(0);
    Ok(())
}

/// Copy everything that a reader sees; `progress` is told of blocks that are copied. What the builder has in the store already is not
/// read.
pub async fn copy(
    builder: &mut Builder,
    reader: &mut Reader,
    size_bytes: u64,
    mut progress: impl FnMut(u32),
) -> Result<(), CopyError> {
    for index in reader.leaves() {
        for (lba, blocks) in runs_of(reader, index, size_bytes).await? {
            let skipped = builder.skip(lba, blocks).await?;
            let (lba, blocks) = (lba + skipped, blocks - skipped);
            let bytes = if blocks > 0 { reader.read(lba, blocks).await? } else { Vec::new() };
            for (i, block) in bytes.chunks_exact(BLOCK_BYTES).enumerate() {
                builder.push(lba + i as u32, block).await?;
            }
            progress(skipped + blocks);
        }
    }
    Ok(())
}
