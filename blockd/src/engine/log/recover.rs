//! Opening a volume: from its checkpoint along the chain of segments to the end of the log.
//!
//! The end is the first record that is not whole. What is before it is made definite by giving its last segment an index that only
//! this incarnation or later ones can follow, so that nothing which was written behind a torn record can ever come back.

use super::checks::CheckCache;
use super::group::add_to_index;
use super::segments::{Segment, Segments};
use super::{Background, LogEngine, Tuning, Uploads, checkpoint, clean, sync};
use crate::engine::AlignedBuffer;
use crate::engine::check::{Guard, Identity, SegmentId};
use crate::engine::format::{
    BLOCK_BYTES, Checkpoint, EntryKind, ExtentKind, FRONT_BLOCKS, GroupHeader, INDEX_AT, INDEX_BLOCKS, Index, Place,
    SEGMENT_BLOCKS, SEGMENT_BYTES, SegmentHeader, Tail,
};
use crate::engine::map::Map;
use crate::engine::slab::Slab;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Instant;

/// What a volume is opened from.
#[derive(Debug)]
pub struct Setup<B> {
    /// Of the volume, for logs.
    pub name: String,
    /// The local log, locked against other writers, open for O_DIRECT if `direct`.
    pub file: File,
    pub direct: bool,
    pub size_bytes: u64,
    pub checkpoint: Checkpoint,
    /// One for each owner in the checkpoint.
    pub guards: Vec<Guard>,
    /// Durably recorded as used, and larger than any under which the volume was open before.
    pub epoch: u32,
    pub incarnation: u32,
    /// The machine has run on since the volume was open last: whatever was written is there, synced or not.
    pub same_boot: bool,
    pub tuning: Tuning,
    pub background: B,
    /// Snapshots that were under way: see [`super::Event::CutEnded`].
    pub pins: Vec<u64>,
}

/// Why a volume could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot read or complete the log of volume {0}")]
    Log(String, #[source] io::Error),
    #[error("the checkpoint of volume {0} does not fit the volume: {1}")]
    Mismatch(String, &'static str),
}

/// A segment of the chain behind the checkpoint.
struct Walked {
    header: SegmentHeader,
    slot: u32,
    index: Index,
    /// Its index was found, and is durable.
    complete: bool,
}

/// Blocks read at a time while groups are walked.
const READ_BLOCKS: usize = 1 + crate::engine::format::MAX_GROUP_BLOCKS;

impl<B: Background> LogEngine<B> {
    pub fn open(setup: Setup<B>) -> Result<Self, OpenError> {
        let Setup {
            name,
            file,
            direct,
            size_bytes,
            checkpoint,
            guards,
            epoch,
            incarnation,
            tuning,
            background,
            pins,
            same_boot,
        } = setup;
        if guards.len() != checkpoint.owners.len() {
            return Err(OpenError::Mismatch(name, "it names other owners"));
        }
        let mut map = Map::new(size_bytes.div_ceil(BLOCK_BYTES as u64));
        let mut segments = Segments::load(&checkpoint.segments);
        for (index, home) in &checkpoint.homes {
            if !map.has_leaf(*index) {
                return Err(OpenError::Mismatch(name, "a leaf lies beyond the volume's end"));
            }
            map.set_home(*index, Some(*home));
            segments.add_leaf(home.place.seq, home.blocks);
        }
        let io_error = |e| OpenError::Log(name.clone(), e);
        let (mut chain, end) = walk(&file, &checkpoint, &guards[0], same_boot).map_err(io_error)?;
        complete_chain(&file, &mut chain, (epoch, incarnation)).map_err(io_error)?;

        let mut engine = Self {
            volume: checkpoint.volume,
            file_id: crate::engine::FileId::of(&file),
            file,
            direct,
            size_bytes,
            background,
            owners: checkpoint.owners,
            guards,
            epoch,
            incarnation,
            map,
            segments,
            jobs: Slab::new(),
            open: None,
            completing: VecDeque::new(),
            pending: None,
            gathering: super::group::Gathering::default(),
            groups: VecDeque::new(),
            first_group: 0,
            buffers: Vec::new(),
            backlog: VecDeque::new(),
            next_seq: end.place.seq,
            next_slot: end.slot,
            synced_through: end.place.seq,
            previous_end: chain.last().map_or(FRONT_BLOCKS, |walked| walked.index.end),
            allocated_slots: 0,
            next_is_fresh: true,
            flushes: 0,
            zeroing: 0,
            zeros: None,
            reads: Slab::new(),
            check_cache: CheckCache::default(),
            leaf_waiters: HashMap::new(),
            chunk_waiters: HashMap::new(),
            scratch: vec![0; BLOCK_BYTES].into_boxed_slice(),
            sync: sync::Syncing::default(),
            checkpoint: checkpoint::Saving::new(checkpoint.tail),
            cleaner: clean::Cleaner::default(),
            in_kernel: 0,
            held: false,
            starved: Vec::new(),
            holding: false,
            closing: false,
            poisoned: None,
            last_request: Instant::now(),
            uploads: Uploads::default(),
            pins,
            metrics: super::LogMetrics::default(),
            tuning,
            name,
        };
        engine.settle_slots(&chain);
        for walked in &chain {
            engine.replay(walked, checkpoint.tail);
        }
        engine.announce_segments();
        if !chain.is_empty() {
            tracing::info!(
                volume = engine.name,
                segments = chain.len(),
                next = engine.next_seq,
                "log replayed behind its checkpoint"
            );
        }
        Ok(engine)
    }

    /// Segments of the chain have their slots for certain: who else had one has lost it.
    fn settle_slots(&mut self, chain: &[Walked]) {
        let taken: HashSet<u32> = chain.iter().map(|walked| walked.slot).chain([self.next_slot]).collect();
        let in_chain: HashSet<u32> = chain.iter().map(|walked| walked.header.segment.seq).collect();
        let losers: Vec<Segment> = self
            .segments
            .iter()
            .filter(|s| s.slot.is_some_and(|slot| taken.contains(&slot)) && !in_chain.contains(&s.id.seq))
            .copied()
            .collect();
        for segment in losers {
            // Its slot was used again because the store has the segment, or nothing refers to it once the chain is replayed.
            self.segments.forget_slot(segment.id.seq);
        }
        for walked in chain {
            let id = walked.header.segment;
            let live = self.segments.remove(id.seq).map_or((0, 0), |saved| (saved.live, saved.leaf_live));
            self.segments.insert(Segment {
                id,
                owner: 0,
                slot: Some(walked.slot),
                live: live.0,
                leaf_live: live.1,
                end: walked.index.end,
                complete: true,
                uploaded: false,
                sealed: walked.index.sealed,
                cleaned: false,
            });
        }
        let slots_in_file = self.file.metadata().map_or(0, |metadata| metadata.len() / SEGMENT_BYTES);
        self.segments.find_free_slots(u32::try_from(slots_in_file).unwrap_or(u32::MAX), self.next_slot);
        self.allocated_slots = u32::try_from(slots_in_file).unwrap_or(u32::MAX);
    }

    /// Make the records of a segment behind the tail take effect.
    fn replay(&mut self, walked: &Walked, tail: Tail) {
        let (index, seq) = (&walked.index, walked.header.segment.seq);
        let first = if seq == tail.place.seq { tail.place.block } else { FRONT_BLOCKS };
        let mut zeros = index.zeros.iter().filter(|zero| zero.before >= first).peekable();
        let mut at = first;
        while at <= index.end {
            while let Some(zero) = zeros.next_if(|zero| zero.before <= at) {
                let segments = &mut self.segments;
                self.map.insert_or_defer(zero.lba, zero.blocks, None, |seq, blocks| segments.sub_live(seq, blocks));
            }
            // Consecutive blocks together.
            let run = data_run(index, at, zeros.peek().map_or(index.end, |zero| zero.before.min(index.end)));
            if let Some((lba, blocks)) = run {
                let (segments, place) = (&mut self.segments, Place { seq, block: at });
                self.map
                    .insert_or_defer(lba, u32::from(blocks), Some(place), |seq, blocks| segments.sub_live(seq, blocks));
                segments.add_live(seq, u32::from(blocks));
                at += blocks;
            } else {
                at += 1;
            }
        }
    }

    /// Tell of every complete segment that lies here.
    fn announce_segments(&mut self) {
        let mut own: Vec<Segment> = self.segments.iter().filter(|s| s.owner == 0 && s.complete).copied().collect();
        own.sort_unstable_by_key(|s| s.id.seq);
        for Segment { id, slot, end, uploaded, .. } in own {
            let Some(slot) = slot else { continue };
            if self.tuning.upload && !uploaded {
                self.uploads.waiting.push_back((id.seq, Instant::now()));
            }
            self.background.complete(super::CompleteSegment { id, slot, end, uploaded });
        }
    }
}

/// The blocks of data from `at` on that are consecutive in the volume too, up to `limit`.
fn data_run(index: &Index, at: u16, limit: u16) -> Option<(u32, u16)> {
    let entry =
        |block: u16| index.entries.get(usize::from(block)).filter(|e| e.kind == EntryKind::Data).map(|e| e.number);
    let lba = entry(at).filter(|_| at < limit)?;
    let blocks = (1..limit - at).find(|i| entry(at + i) != Some(lba.wrapping_add(u32::from(*i)))).unwrap_or(limit - at);
    Some((lba, blocks))
}

/// Whole blocks of the file; None if it ends before.
fn read_blocks(file: &File, slot: u32, block: u16, into: &mut [u8]) -> io::Result<bool> {
    let offset = u64::from(slot) * SEGMENT_BYTES + u64::from(block) * BLOCK_BYTES as u64;
    match file.read_exact_at(into, offset) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// The headers of the chain, with their slots, as far as they follow each other.
fn follow(file: &File, checkpoint: &Checkpoint) -> io::Result<Vec<(SegmentHeader, u32)>> {
    let mut headers = Vec::new();
    let (mut seq, mut slot) = (checkpoint.tail.place.seq, checkpoint.tail.slot);
    let mut buffer = AlignedBuffer::new(BLOCK_BYTES);
    while read_blocks(file, slot, 0, buffer.as_mut_slice())? {
        let fits = |header: &SegmentHeader| header.volume == checkpoint.volume && header.segment.seq == seq;
        let Some(header) = SegmentHeader::decode(buffer.as_slice()).filter(fits) else { break };
        headers.push((header, slot));
        slot = header.next_slot;
        let Some(next) = seq.checked_add(1) else { break };
        seq = next;
    }
    Ok(headers)
}

/// Follow the chain; also where the next segment goes.
fn walk(file: &File, checkpoint: &Checkpoint, guard: &Guard, same_boot: bool) -> io::Result<(Vec<Walked>, Tail)> {
    let mut chain: Vec<Walked> = Vec::new();
    let tail = checkpoint.tail;
    let headers = follow(file, checkpoint)?;
    // A later header says which segments had been synced. Of the others an index may have outlived a power loss that the blocks it
    // names did not.
    let synced_through = headers.iter().map(|(header, _)| header.synced_through).max().unwrap_or(0).max(tail.place.seq);
    let mut buffer = AlignedBuffer::new(READ_BLOCKS.max(usize::from(INDEX_BLOCKS)) * BLOCK_BYTES);
    let mut end = tail;
    end.place.block = FRONT_BLOCKS;
    for (header, slot) in headers {
        let id = header.segment;
        if (id.epoch, id.incarnation) < end.written_by {
            break;
        }
        // A segment without an index is known to be whole only by its successor, which its own writer wrote.
        if let Some(last) = chain.last().filter(|last| !last.complete) {
            let same_writer = last.header.segment == SegmentId { seq: last.header.segment.seq, ..id };
            if !same_writer || last.index.end != header.previous_end {
                break;
            }
        }
        let known_whole = if id.seq == tail.place.seq { tail.place.block } else { FRONT_BLOCKS };
        let mut index = None;
        let bytes = &mut buffer.as_mut_slice()[..usize::from(INDEX_BLOCKS) * BLOCK_BYTES];
        if read_blocks(file, slot, INDEX_AT, bytes)? {
            // Its pages of checks count too: they may be what a power loss tore.
            index = Index::decode(bytes, true).filter(|index| {
                index.volume == header.volume && index.segment == id && index.sealed == guard.is_sealed()
            });
        }
        if let Some(found) = index.take_if(|_| id.seq >= synced_through && !same_boot) {
            let walked = walk_groups(file, slot, &header, known_whole, guard, &mut buffer)?;
            index = (walked.end == found.end).then_some(found);
            if index.is_none() {
                chain.push(Walked { header, slot, index: walked, complete: false });
                end = behind(&header, end.written_by);
                break;
            }
        }
        let (index, complete) = match index {
            Some(index) => (index, true),
            None => (walk_groups(file, slot, &header, known_whole, guard, &mut buffer)?, false),
        };
        end = behind(&header, index.sealed_by);
        chain.push(Walked { header, slot, index, complete });
    }
    Ok((chain, end))
}

/// Where the segment after `header`'s goes.
fn behind(header: &SegmentHeader, written_by: (u32, u32)) -> Tail {
    let place = Place { seq: header.segment.seq + 1, block: FRONT_BLOCKS };
    Tail { place, slot: header.next_slot, written_by }
}

/// The groups of a segment up to the first that is not whole. Those before `known_whole` were synced before the checkpoint was made:
/// what does not match there was damaged since, which is no end of the log.
fn walk_groups(
    file: &File,
    slot: u32,
    header: &SegmentHeader,
    known_whole: u16,
    guard: &Guard,
    buffer: &mut AlignedBuffer,
) -> io::Result<Index> {
    let mut index = Index::new(header.volume, header.segment, guard.is_sealed());
    let mut at = FRONT_BLOCKS;
    while at < SEGMENT_BLOCKS {
        let most = READ_BLOCKS.min(usize::from(SEGMENT_BLOCKS - at));
        let bytes = &mut buffer.as_mut_slice()[..most * BLOCK_BYTES];
        // The file may end behind the last group.
        let whole = read_blocks(file, slot, at, bytes)? || read_blocks(file, slot, at, &mut bytes[..BLOCK_BYTES])?;
        let Some(group) = GroupHeader::decode(&bytes[..BLOCK_BYTES]).filter(|_| whole) else { break };
        let blocks = group.checks.len();
        let fits = group.volume == header.volume
            && group.segment == header.segment
            && group.position == at
            && blocks < most
            && group
                .checks
                .iter()
                .all(|check| matches!(check, crate::engine::check::Check::Tag(_)) == guard.is_sealed());
        if !fits || !read_blocks(file, slot, at, &mut bytes[..(1 + blocks) * BLOCK_BYTES])? {
            break;
        }
        let payload = bytes[BLOCK_BYTES..(1 + blocks) * BLOCK_BYTES].chunks_exact_mut(BLOCK_BYTES);
        let identities = group.extents.iter().filter(|e| e.kind != ExtentKind::Zero).flat_map(|extent| {
            (0..extent.blocks).map(|i| match extent.kind {
                ExtentKind::Leaf => Identity::Leaf { index: extent.start },
                _ => Identity::Data { lba: extent.start + i },
            })
        });
        let mut position = at;
        let intact = payload.zip(identities).zip(&group.checks).all(|((block, identity), check)| {
            position += 1;
            guard.verify(header.segment, position, identity, *check, block)
        });
        if !intact && at >= known_whole {
            break;
        }
        add_to_index(&mut index, &group);
        at = index.end;
    }
    Ok(index)
}

/// Give every segment of the chain its index, the last one an index that only we can follow.
fn complete_chain(file: &File, chain: &mut [Walked], opener: (u32, u32)) -> io::Result<()> {
    // What is about to be called whole must stay whole.
    file.sync_data()?;
    if chain.iter().all(|walked| walked.complete) {
        return Ok(());
    }
    let mut buffer = AlignedBuffer::new(usize::from(INDEX_BLOCKS) * BLOCK_BYTES);
    let last = chain.len() - 1;
    for (i, walked) in chain.iter_mut().enumerate().filter(|(_, walked)| !walked.complete) {
        if i == last {
            walked.index.sealed_by = opener;
        }
        walked.index.encode(buffer.as_mut_slice());
        let offset = u64::from(walked.slot) * SEGMENT_BYTES + u64::from(INDEX_AT) * BLOCK_BYTES as u64;
        file.write_all_at(buffer.as_slice(), offset)?;
    }
    file.sync_data()
}
