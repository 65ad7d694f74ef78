//! The cleaner: moves what is left of sparsely used segments to the end of the log, so that they become free.
//!
//! A moved block is a write like any other: it takes its place in the log's order, and only if the map still points at where it was
//! read. So nothing that a guest wrote meanwhile is undone, and recovery need not know of cleaning.

use super::read::{Ids, Purpose, WHOLE_INDEX};
use super::segments::Segment;
use super::{Background, LeafWaiter, LogEngine};
use crate::engine::format::{BLOCK_BYTES, EntryKind, FRONT_BLOCKS, Index, Place, SEGMENT_BLOCKS};
use crate::engine::{AlignedBuffer, Io};
use std::collections::VecDeque;

/// Live blocks with at most so many dead ones between them are read together: reading those costs the disk less than reading twice.
const MAX_GAP_BLOCKS: u16 = 3;
/// Blocks read at a time, how many of them are read or waiting to be appended, and in how many reads. The disk serves a guest's group
/// behind the reads that are before it: with 512 KiB at a time, four of them, groups took two thirds longer.
const MAX_READ_BLOCKS: u16 = 16;
const MAX_BLOCKS_AHEAD: usize = 32;
const MAX_READS: usize = 8;
/// Blocks moved at a time while a guest works: what it writes waits for them.
const BUSY_MOVES: usize = 8;
/// Fuller segments are not worth it.
const MAX_UTILISATION: f64 = 0.95;
/// Segments this close to the end of the log are left to empty by themselves.
const YOUNG_SEGMENTS: u32 = 4;
/// A volume may take this part of the file system's free room to be cleaned later, and all volumes together not this last part of the
/// whole, which is left to those who need it.
const ROOM_SHARE: u64 = 8;
const ROOM_KEPT: u64 = 16;
/// Blocks that are free to be wasted: small volumes are not cleaned.
const SLACK_BLOCKS: u64 = 4 * SEGMENT_BLOCKS as u64;

#[derive(Debug, Default)]
pub(super) struct Cleaner {
    victim: Option<Victim>,
    /// The last look at the segments found a victim.
    more: bool,
    /// Something has changed since.
    pub look: bool,
}

impl Cleaner {
    /// Whether there is something to go on with when the volume is idle.
    pub fn is_due(&self) -> bool {
        self.victim.is_some() || self.more
    }
}

#[derive(Debug)]
struct Victim {
    seq: u32,
    index: Option<Index>,
    next: u16,
    reads: usize,
    /// Blocks that are being read or are ready.
    ahead: usize,
    ready: VecDeque<Window>,
}

/// Live blocks of a segment, from the first to the last, and where to look for the next.
#[derive(Debug, Default)]
struct Run {
    blocks: Vec<(u16, u32)>,
    next: u16,
    /// A leaf without which no more can be said.
    wanted_leaf: Option<u32>,
}

/// Blocks read from the victim, to be appended.
#[derive(Debug)]
struct Window {
    first: u16,
    /// Block of the segment and of the volume; those before `done` are moved.
    blocks: Vec<(u16, u32)>,
    done: usize,
    buffer: AlignedBuffer,
}

impl<B: Background> LogEngine<B> {
    pub(super) fn step_cleaner(&mut self, io: &mut Io<'_>) {
        if self.cleaner.victim.is_none() {
            if !std::mem::take(&mut self.cleaner.look) {
                return;
            }
            let victim = self.choose_victim();
            self.cleaner.more = victim.is_some();
            match victim {
                Some(seq) => {
                    self.cleaner.victim = Some(Victim {
                        seq,
                        index: None,
                        next: FRONT_BLOCKS,
                        reads: 0,
                        ahead: 0,
                        ready: VecDeque::new(),
                    });
                    let (block, blocks) = WHOLE_INDEX;
                    self.start_read(Place { seq, block }, blocks, Ids::Own, Purpose::Index(seq), 0, io);
                }
                None => return,
            }
        }
        self.append_moved(io);
        self.read_windows(io);
        let finished = |v: &Victim| {
            v.reads == 0 && v.ready.is_empty() && v.index.as_ref().is_some_and(|index| v.next >= index.end)
        };
        if let Some(victim) = self.cleaner.victim.take_if(|victim| finished(victim)) {
            if let Some(segment) = self.segments.get_mut(victim.seq) {
                segment.cleaned = true;
            }
            self.cleaner.look = true;
            self.consider_checkpoint();
        }
    }

    /// The segment that is most worth emptying, if cleaning is due.
    fn choose_victim(&mut self) -> Option<u32> {
        let live = self.segments.live_blocks();
        let times = |factor: f64| (live as f64 * factor) as u64 + SLACK_BLOCKS;
        let limit = if self.is_idle() {
            times(self.tuning.clean_idle)
        } else {
            (times(self.tuning.clean_busy) + self.room_blocks).min(times(self.tuning.clean_roomy))
        };
        if self.segments.own_blocks() <= limit || self.is_saving() {
            return None;
        }
        let (mut gone, mut best) = (0, None);
        for segment in self.segments.iter().filter(|s| s.owner == 0 && s.complete) {
            if segment.is_dead() || segment.cleaned {
                gone += u64::from(SEGMENT_BLOCKS);
            } else if segment.utilisation() <= MAX_UTILISATION && segment.id.seq + YOUNG_SEGMENTS < self.next_seq {
                let score = self.score(segment);
                if best.is_none_or(|(best, _)| score > best) {
                    best = Some((score, segment.id.seq));
                }
            }
        }
        if self.segments.own_blocks() - gone <= limit {
            // What is empty already only waits for a checkpoint, which comes by itself while the log grows.
            if self.is_idle() {
                self.want_checkpoint();
            }
            return None;
        }
        best.map(|(_, seq)| seq)
    }

    /// See how much room there is to put cleaning off: of what is cleaned late, more is dead by itself. What is uploaded takes room
    /// elsewhere too.
    pub(super) fn look_for_room(&mut self) {
        self.room_blocks = match rustix::fs::fstatvfs(&self.file) {
            Ok(stat) if !self.tuning.upload => {
                room_to_take(stat.f_bavail, stat.f_blocks).saturating_mul(stat.f_frsize) / BLOCK_BYTES as u64
            }
            _ => 0,
        };
    }

    /// Room gained by the cost of gaining it, more for old segments, whose blocks are likely to stay.
    fn score(&self, segment: &Segment) -> f64 {
        let used = segment.utilisation();
        let age = f64::from(self.next_seq - segment.id.seq);
        (1.0 - used) * age / (1.0 + used)
    }

    pub(super) fn cleaner_has_index(&mut self, index: Index) {
        if let Some(victim) = self.cleaner.victim.as_mut().filter(|victim| victim.seq == index.segment.seq) {
            victim.index = Some(index);
        }
    }

    pub(super) fn cleaner_has_blocks(&mut self, place: Place, ids: Ids, buffer: Option<AlignedBuffer>) {
        let (Some(victim), Ids::Some(blocks), Some(buffer)) = (&mut self.cleaner.victim, ids, buffer) else { return };
        victim.reads -= 1;
        victim.ready.push_back(Window { first: place.block, blocks, done: 0, buffer });
    }

    /// The victim cannot be read: it is left as it is.
    pub(super) fn cleaner_failed(&mut self) {
        let Some(victim) = &mut self.cleaner.victim else { return };
        victim.reads = victim.reads.saturating_sub(1);
        victim.next = SEGMENT_BLOCKS;
        if victim.index.is_none() {
            let seq = victim.seq;
            self.cleaner.victim = None;
            if let Some(segment) = self.segments.get_mut(seq) {
                segment.cleaned = true;
            }
        }
    }

    fn append_moved(&mut self, io: &mut Io<'_>) {
        let Some(mut victim) = self.cleaner.victim.take() else { return };
        let mut moves = if self.is_idle() { usize::MAX } else { BUSY_MOVES };
        while let Some(window) = victim.ready.front_mut() {
            let Some(&(block, lba)) = window.blocks.get(window.done) else {
                victim.ahead -= window.buffer.as_slice().len() / BLOCK_BYTES;
                victim.ready.pop_front();
                continue;
            };
            if let Some(leaf) = self.map.first_absent(lba, 1) {
                self.want_leaf_once(leaf, io);
                break;
            }
            let start = usize::from(block - window.first) * BLOCK_BYTES;
            let bytes = &window.buffer.as_slice()[start..start + BLOCK_BYTES];
            if moves == 0 || !self.backlog.is_empty() || !self.move_block(lba, Place { seq: victim.seq, block }, bytes)
            {
                break;
            }
            window.done += 1;
            moves -= 1;
        }
        self.cleaner.victim = Some(victim);
    }

    fn want_leaf_once(&mut self, leaf: u32, io: &mut Io<'_>) {
        if !self.leaf_waiters.contains_key(&leaf) {
            self.want_leaf(leaf, LeafWaiter::Anyone, io);
        }
    }

    fn read_windows(&mut self, io: &mut Io<'_>) {
        loop {
            let Some(victim) = &mut self.cleaner.victim else { return };
            let is_ahead = victim.reads + victim.ready.len() >= MAX_READS || victim.ahead >= MAX_BLOCKS_AHEAD;
            let (seq, from) = (victim.seq, victim.next);
            // Lent, for the map is looked at and touched meanwhile.
            let Some(index) = victim.index.take_if(|index| !is_ahead && from < index.end) else { return };
            let run = self.next_run(&index, from);
            let Some(victim) = &mut self.cleaner.victim else { return };
            victim.index = Some(index);
            victim.next = run.next;
            if let (Some(&(first, _)), Some(&(last, _))) = (run.blocks.first(), run.blocks.last()) {
                let blocks = last - first + 1;
                victim.reads += 1;
                victim.ahead += usize::from(blocks);
                self.start_read(Place { seq, block: first }, blocks, Ids::Some(run.blocks), Purpose::Clean, 0, io);
            }
            if let Some(leaf) = run.wanted_leaf {
                return self.want_leaf_once(leaf, io);
            }
        }
    }

    /// The first live blocks of the victim from `from` on that are worth one read.
    fn next_run(&mut self, index: &Index, from: u16) -> Run {
        let seq = index.segment.seq;
        let mut run = Run { next: from, ..Run::default() };
        while run.next < index.end {
            let at = run.next;
            let is_full = |first: u16, last: u16| at - first >= MAX_READ_BLOCKS || at - last > MAX_GAP_BLOCKS;
            if let (Some((first, _)), Some((last, _))) = (run.blocks.first(), run.blocks.last())
                && is_full(*first, *last)
            {
                break;
            }
            let entry = index.entries[usize::from(at)];
            match entry.kind {
                EntryKind::Data => {
                    run.wanted_leaf = self.map.first_absent(entry.number, 1);
                    if run.wanted_leaf.is_some() {
                        break;
                    }
                    if self.map.place(entry.number) == Some(Place { seq, block: at }) {
                        run.blocks.push((at, entry.number));
                    }
                }
                EntryKind::Leaf => {
                    // The next checkpoint writes it anew.
                    let lies_here = Place { seq, block: at };
                    if self.map.home(entry.number).is_some_and(|home| home.place == lies_here) {
                        run.wanted_leaf = self.map.absent_leaf(entry.number);
                        if run.wanted_leaf.is_some() {
                            break;
                        }
                        self.map.touch(entry.number);
                    }
                }
                EntryKind::GroupHeader | EntryKind::Unused => {}
            }
            run.next += 1;
        }
        run
    }
}

/// Of `free` blocks of a file system that has `all`.
fn room_to_take(free: u64, all: u64) -> u64 {
    free.saturating_sub(all / ROOM_KEPT) / ROOM_SHARE
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many volumes that take as much as they may leave the kept part, whatever their number.
    #[test]
    fn room_is_left_to_others() {
        let (all, mut free) = (1 << 28, 1 << 27);
        let mut taken = [0; 1000];
        for _ in 0..100 {
            for volume in &mut taken {
                let may = room_to_take(free, all);
                free = free + *volume - may.max(*volume);
                *volume = may.max(*volume);
            }
        }
        assert!(free >= all / ROOM_KEPT, "{free}");
        assert!(taken[0] > 0 && room_to_take(0, all) == 0);
    }
}
