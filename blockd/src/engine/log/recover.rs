//! Opening a volume: from its checkpoint along the chain of segments to the end of the log.
//!
//! Where the end is, [`chain`] finds out. What is before it is made definite by giving its last segment an index that only this
//! incarnation or later ones can follow, so that nothing which was written behind a torn record can ever come back.

use super::chain::{self, Chain, ChainError, Walk, Walked};
use super::checks::CheckCache;
use super::segments::{Segment, Segments};
use super::{Background, LogEngine, Tuning, Uploads, checkpoint, clean, sync};
use crate::engine::check::Guard;
use crate::engine::format::{BLOCK_BYTES, Checkpoint, EntryKind, FRONT_BLOCKS, Index, Place, SEGMENT_BYTES, Tail};
use crate::engine::map::Map;
use crate::engine::slab::Slab;
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::File;
use std::io;
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
    /// This run of the machine: what was written in it is there, synced or not. 0 if not known.
    pub boot: u64,
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
    #[error("the log of volume {0} is damaged: what its segment {segment} held at block {block} is not known", segment = .1.seq, block = .1.block)]
    Lost(String, Place),
    #[error("the checkpoint of volume {0} does not fit the volume: {1}")]
    Mismatch(String, &'static str),
}

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
            boot,
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
        let walked = Walk::new(&name, &file, &guards[0], boot, &checkpoint).run();
        let Chain { segments: mut chain, end, damaged_blocks } = walked.map_err(|error| match error {
            ChainError::Io(error) => io_error(error),
            ChainError::Lost(place) => OpenError::Lost(name.clone(), place),
        })?;
        chain::complete(&file, &mut chain, (epoch, incarnation)).map_err(io_error)?;

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
            synced_before: Place { seq: end.place.seq, block: 0 },
            boot,
            last_group: None,
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
            repairing: None,
            in_kernel: 0,
            held: false,
            starved: Vec::new(),
            holding: false,
            closing: false,
            poisoned: None,
            last_request: Instant::now(),
            quiet_ticks: 0,
            room_blocks: 0,
            uploads: Uploads::default(),
            pins,
            metrics: super::LogMetrics { damaged_blocks, ..super::LogMetrics::default() },
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
