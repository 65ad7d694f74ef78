//! Saving the map, so that recovery starts late in the log and what nothing refers to becomes free.
//!
//! At the cut the changed leaves are frozen and the segments' counts copied. The frozen leaves go to the log like any block, the
//! log is synced, and the checkpoint file is replaced. Only then are segments freed: those that were dead at the cut, which the
//! durable checkpoint does not mention any more. So whatever is found after a crash refers to nothing that was overwritten.

use super::group::Waiter;
use super::segments::{Segment, save};
use super::{Background, Kind, LeafWaiter, LogEngine, SegmentName, sync, tag};
use crate::engine::Io;
use crate::engine::format::{
    BLOCK_BYTES, Checkpoint, ExtentKind, FRONT_BLOCKS, Home, Place, SEGMENT_BYTES, SavedSegment, Tail, encode_leaf,
};
use crate::engine::map::Leaf;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Log that each changed leaf is worth: saving all of them then costs at most half of what was written anyway.
const LOG_BYTES_PER_LEAF: u64 = 64 << 10;
/// Leaves appended before guests' requests get their turn again.
const LEAVES_PER_STEP: usize = 16;
/// Groups in memory above which saving waits.
const BUSY_GROUPS: usize = 3;
/// Leaves fetched at a time for changes that were put off.
const DEFERRED_AT_A_TIME: usize = 64;
/// Segments that a checkpoint would free which make it worth while: each costs a sync and the replacement of a file.
const MIN_DEAD: u64 = 16;
/// A volume that has been idle so long is saved, so that its next open has nothing to do.
const IDLE_SAVE: Duration = Duration::from_secs(5);
/// Free slots whose room is kept: while a guest works these and a quarter of those in use, else few.
const MIN_KEPT_SLOTS: usize = 8;
const IDLE_KEPT_SLOTS: usize = 2;

#[derive(Debug)]
pub(super) struct Saving {
    /// Where recovery would start.
    pub tail: Tail,
    wanted: bool,
    /// Being made, in the order of their cuts; one after the other is saved.
    runs: VecDeque<Run>,
    /// Handed over, not yet durable.
    saving: Option<Run>,
    /// Cuts asked for while changes are put off to leaves that are not here: changes wait until those have come.
    waiting_cuts: Vec<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Leaves,
    Syncing,
    Synced,
}

#[derive(Debug)]
struct Run {
    tail: Tail,
    /// Segments as they were at the cut.
    segments: Vec<SavedSegment>,
    frozen: HashMap<u32, Arc<Leaf>>,
    to_append: Vec<u32>,
    homes: BTreeMap<u32, Option<Home>>,
    outstanding: usize,
    stage: Stage,
    /// Segments that must be complete before it is handed over.
    complete_before: u32,
    /// Snapshots that are this checkpoint.
    cuts: Vec<u64>,
}

impl Saving {
    pub fn new(tail: Tail) -> Self {
        Self { tail, wanted: false, runs: VecDeque::new(), saving: None, waiting_cuts: Vec::new() }
    }

    /// Whether the leaf is frozen and must stay in memory.
    pub fn is_saving(&self, leaf: u32) -> bool {
        self.runs.iter().chain(&self.saving).any(|run| run.frozen.contains_key(&leaf))
    }

    /// Changes must wait for a cut.
    pub fn holds_changes(&self) -> bool {
        !self.waiting_cuts.is_empty()
    }
}

impl<B: Background> LogEngine<B> {
    /// Bytes of log behind the last checkpoint.
    fn suffix_bytes(&self) -> u64 {
        u64::from(self.next_seq.saturating_sub(self.checkpoint.tail.place.seq)) * SEGMENT_BYTES
    }

    /// Want a checkpoint when one is due.
    pub(super) fn consider_checkpoint(&mut self) {
        if self.checkpoint.wanted || self.is_saving() || self.poisoned.is_some() {
            return;
        }
        // Bytes of log, or of room gained, that pay for saving the leaves.
        let worth = self.map.dirty_leaves() as u64 * LOG_BYTES_PER_LEAF;
        let dead = self.segments.iter().filter(|s| self.is_free_once_saved(s)).count() as u64;
        let enough_dead = dead * SEGMENT_BYTES >= worth.max(MIN_DEAD * SEGMENT_BYTES);
        let idle = self.map.dirty_leaves() > 0 && self.last_request.elapsed() >= IDLE_SAVE;
        self.checkpoint.wanted = self.suffix_bytes() >= self.tuning.checkpoint_bytes.max(worth)
            || enough_dead
            || self.map.bytes() > self.tuning.map_bytes
            || idle;
    }

    /// Nothing but a checkpoint that does not know it keeps the segment.
    fn is_free_once_saved(&self, segment: &Segment) -> bool {
        // A snapshot under way has not said yet what it needs of the store either.
        let wanted = self.tuning.upload && segment.owner == 0 && !segment.uploaded;
        let is_used = wanted || self.is_under_repair(segment.id.seq);
        segment.is_dead() && segment.complete && !is_used && self.pins.is_empty()
    }

    pub(super) fn want_checkpoint(&mut self) {
        self.checkpoint.wanted = true;
    }

    pub(super) fn is_saving(&self) -> bool {
        !self.checkpoint.runs.is_empty() || self.checkpoint.saving.is_some()
    }

    /// A snapshot is asked for: its point in time is now.
    pub(super) fn begin_cut(&mut self, token: u64, io: &mut Io<'_>) {
        self.pins.push(token);
        self.checkpoint.waiting_cuts.push(token);
        self.try_cut(io);
    }

    fn try_cut(&mut self, io: &mut Io<'_>) {
        if self.checkpoint.waiting_cuts.is_empty() || self.wants_deferred(io) {
            return;
        }
        let cuts = std::mem::take(&mut self.checkpoint.waiting_cuts);
        self.finish_segment();
        self.cut(cuts);
    }

    /// Fetch leaves with changes that were put off; true while there are any.
    fn wants_deferred(&mut self, io: &mut Io<'_>) -> bool {
        for leaf in self.map.deferred(DEFERRED_AT_A_TIME) {
            if !self.leaf_waiters.contains_key(&leaf) {
                self.want_leaf(leaf, LeafWaiter::Anyone, io);
            }
        }
        !self.map.deferred(1).is_empty()
    }

    pub(super) fn step_checkpoint(&mut self, io: &mut Io<'_>) {
        self.try_cut(io);
        if self.checkpoint.runs.is_empty() {
            if !self.checkpoint.wanted || self.checkpoint.saving.is_some() || self.wants_deferred(io) {
                return;
            }
            self.cut(Vec::new());
        }
        if self.checkpoint.runs.front().is_some_and(|run| run.stage == Stage::Leaves) {
            self.append_leaves();
        }
        // Recovery takes segments before the tail for complete.
        let first_incomplete = self.completing.front().map_or(u32::MAX, |segment| segment.index.segment.seq);
        if let Some(run) = self.checkpoint.runs.front_mut()
            && run.stage == Stage::Leaves
            && run.outstanding == 0
            && run.to_append.is_empty()
            && first_incomplete >= run.tail.place.seq
        {
            run.stage = Stage::Syncing;
            if !run.cuts.is_empty() {
                // The store gets the leaves only with the whole segment they are in, when that has its final size.
                self.finish_segment();
                if let Some(run) = self.checkpoint.runs.front_mut() {
                    run.complete_before = self.next_seq;
                }
            }
            self.sync_for(sync::Waiter::Checkpoint, io);
        }
        let first_incomplete = self.completing.front().map_or(u32::MAX, |segment| segment.index.segment.seq);
        let is_ready = |run: &Run| run.stage == Stage::Synced && run.complete_before <= first_incomplete;
        if self.checkpoint.saving.is_none() && self.checkpoint.runs.front().is_some_and(is_ready) {
            self.hand_over();
        }
    }

    /// From here on: everything in the log before the tail is in what will be saved, nothing behind it is.
    fn cut(&mut self, cuts: Vec<u64>) {
        self.checkpoint.wanted = false;
        self.close_group();
        let tail = match &self.open {
            Some(segment) => {
                let id = segment.index.segment;
                let place = Place { seq: id.seq, block: segment.next };
                Tail { place, slot: segment.slot, written_by: (id.epoch, id.incarnation) }
            }
            None => Tail {
                place: Place { seq: self.next_seq, block: FRONT_BLOCKS },
                slot: self.next_slot,
                written_by: (self.epoch, self.incarnation),
            },
        };
        let frozen: HashMap<_, _> = self.map.freeze_dirty().into_iter().collect();
        let mut to_append: Vec<u32> = frozen.keys().copied().collect();
        to_append.sort_unstable_by(|a, b| b.cmp(a));
        self.checkpoint.runs.push_back(Run {
            tail,
            segments: self.segments.save(),
            frozen,
            to_append,
            homes: BTreeMap::new(),
            outstanding: 0,
            stage: Stage::Leaves,
            complete_before: 0,
            cuts,
        });
    }

    fn append_leaves(&mut self) {
        for _ in 0..LEAVES_PER_STEP {
            let busy = !self.backlog.is_empty() || self.groups.len() > BUSY_GROUPS;
            let Some(run) = self.checkpoint.runs.front_mut().filter(|_| !busy) else { return };
            let Some(index) = run.to_append.last().copied() else { return };
            let Some(leaf) = run.frozen.get(&index).cloned() else { return };
            if leaf.is_empty() {
                run.to_append.pop();
                run.homes.insert(index, None);
                continue;
            }
            let bytes = encode_leaf(index, &leaf);
            let blocks = bytes.len() / BLOCK_BYTES;
            if self.room(blocks) == 0 {
                return;
            }
            let (Some(group), Some(run)) = (&mut self.pending, self.checkpoint.runs.front_mut()) else { return };
            let into = group.extend(ExtentKind::Leaf, index, blocks);
            group.payload_mut(into.clone()).copy_from_slice(&bytes);
            let place = group.place_of(into.start);
            group.wait(Waiter::Leaf { index, place, blocks: blocks as u8 });
            run.to_append.pop();
            run.outstanding += 1;
            self.protect_pending(into);
            self.segments.add_leaf(place.seq, blocks as u8);
        }
    }

    /// A frozen leaf is on the disk.
    pub(super) fn leaf_saved(&mut self, index: u32, place: Place, blocks: u8) {
        if let Some(run) = self.checkpoint.runs.front_mut() {
            run.homes.insert(index, Some(Home { place, blocks }));
            run.outstanding -= 1;
        }
    }

    /// All leaves survive a power loss: now the file that names them.
    pub(super) fn checkpoint_synced(&mut self) {
        if let Some(run) = self.checkpoint.runs.front_mut().filter(|run| run.stage == Stage::Syncing) {
            run.stage = Stage::Synced;
        }
    }

    /// Let the file be replaced.
    fn hand_over(&mut self) {
        let Some(run) = self.checkpoint.runs.pop_front() else { return };
        // Those that the checkpoint before has freed meanwhile were dead at our cut too.
        let now =
            |saved: &SavedSegment| Some(SavedSegment { live: saved.live, ..save(self.segments.get(saved.id.seq)?) });
        let mut segments: Vec<SavedSegment> = run.segments.iter().filter_map(now).collect();
        let mut homes: BTreeMap<u32, Home> = self.map.homes().collect();
        for (index, home) in &run.homes {
            match home {
                Some(home) => drop(homes.insert(*index, *home)),
                None => drop(homes.remove(index)),
            }
        }
        // Leaves may lie in segments that are younger than the cut: ours, and those of a checkpoint that was still being made then.
        let known: std::collections::HashSet<u32> = segments.iter().map(|s| s.id.seq).collect();
        let younger: std::collections::BTreeSet<u32> =
            homes.values().map(|home| home.place.seq).filter(|seq| !known.contains(seq)).collect();
        let save_younger = |seq: &u32| self.segments.get(*seq).map(|s| SavedSegment { live: 0, ..save(s) });
        segments.extend(younger.iter().filter_map(save_younger));
        segments.sort_unstable_by_key(|s| s.id.seq);
        let checkpoint = Checkpoint {
            volume: self.volume,
            tail: run.tail,
            owners: self.owners.clone(),
            segments,
            homes: homes.into_iter().collect(),
        };
        self.background.save_checkpoint(checkpoint.encode(), &run.cuts);
        self.checkpoint.saving = Some(run);
    }

    pub(super) fn checkpoint_saved(&mut self, io: &mut Io<'_>) {
        let Some(run) = self.checkpoint.saving.take() else { return };
        for (index, home) in run.homes {
            if let Some(old) = self.map.set_home(index, home) {
                self.segments.sub_leaf(old.place.seq, old.blocks);
            }
        }
        self.checkpoint.tail = run.tail;
        for saved in run.segments {
            let dead = saved.live == 0 && saved.id.seq < run.tail.place.seq;
            if dead && self.segments.get(saved.id.seq).is_some_and(|s| self.is_free_once_saved(s)) {
                self.drop_segment(saved.id.seq);
            }
        }
        self.cleaner.look = true;
        self.let_local_go();
        self.give_room_back(io);
    }

    fn drop_segment(&mut self, seq: u32) {
        let Some(segment) = self.segments.remove(seq) else { return };
        if let Some(slot) = segment.slot {
            self.segments.free_slot(slot);
        }
        let owner = self.owners[usize::from(segment.owner)].volume;
        self.background.dropped(SegmentName { owner, id: segment.id });
    }

    /// Free slots beyond what is likely to be written soon need no room.
    pub(super) fn give_room_back(&mut self, io: &mut Io<'_>) {
        let keep = self.kept_slots();
        while let Some(slot) = self.segments.punch_slot(keep) {
            self.in_kernel += 1;
            io.disk.punch(self.file_id(), Self::offset_in_slot(slot, 0), SEGMENT_BYTES, tag(Kind::Space, 0));
        }
    }

    fn kept_slots(&self) -> usize {
        if self.quiet_ticks >= super::QUIET_TICKS {
            IDLE_KEPT_SLOTS
        } else {
            MIN_KEPT_SLOTS.max(self.segments.local_count() as usize / 4)
        }
    }

    /// An idle volume has more room than it needs.
    pub(super) fn has_room_to_give(&self) -> bool {
        self.segments.free_slots() > IDLE_KEPT_SLOTS
    }
}
