//! The segments a volume refers to, and the slots of its local file.

use crate::engine::check::SegmentId;
use crate::engine::format::{FRONT_BLOCKS, SEGMENT_BLOCKS, SavedSegment};
use std::collections::{HashMap, HashSet};

/// One segment.
#[derive(Clone, Copy, Debug)]
pub struct Segment {
    pub id: SegmentId,
    /// Index into the volume's owners.
    pub owner: u16,
    /// Where it lies in the local file, if it does.
    pub slot: Option<u32>,
    /// Blocks of data that the map refers to, and blocks of leaves that are their homes.
    pub live: u32,
    pub leaf_live: u32,
    /// First block behind its last group; 0 while it grows.
    pub end: u16,
    /// Its index is durable: it will not change any more.
    pub complete: bool,
    pub uploaded: bool,
    /// Its blocks are encrypted.
    pub sealed: bool,
    /// The cleaner has moved all it held.
    pub cleaned: bool,
}

impl Segment {
    /// Blocks in use of those it holds.
    pub fn utilisation(&self) -> f64 {
        f64::from(self.live + self.leaf_live) / f64::from(self.end.max(FRONT_BLOCKS + 1) - FRONT_BLOCKS)
    }

    pub fn is_dead(&self) -> bool {
        self.live == 0 && self.leaf_live == 0
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Segments {
    table: HashMap<u32, Segment>,
    free_slots: Vec<u32>,
    slot_count: u32,
    /// Without room in the file.
    punched_slots: Vec<u32>,
    live_total: u64,
    own_count: u32,
    local_count: u32,
}

impl Segments {
    /// As saved, with slots counted but none free yet.
    pub fn load(saved: &[SavedSegment]) -> Self {
        let mut segments = Self::default();
        for s in saved {
            segments.insert(Segment {
                id: s.id,
                owner: s.owner,
                slot: s.slot,
                live: u32::from(s.live),
                leaf_live: 0,
                end: s.end,
                complete: s.end != 0,
                uploaded: s.uploaded,
                sealed: s.sealed,
                cleaned: false,
            });
        }
        segments
    }

    pub fn insert(&mut self, segment: Segment) {
        self.remove(segment.id.seq);
        self.live_total += own_blocks(&segment, segment.live + segment.leaf_live);
        self.own_count += u32::from(segment.owner == 0);
        self.local_count += u32::from(segment.slot.is_some());
        self.table.insert(segment.id.seq, segment);
    }

    /// The slot stays taken: see [`Self::free_slot`].
    pub fn remove(&mut self, seq: u32) -> Option<Segment> {
        let segment = self.table.remove(&seq)?;
        self.live_total -= own_blocks(&segment, segment.live + segment.leaf_live);
        self.own_count -= u32::from(segment.owner == 0);
        self.local_count -= u32::from(segment.slot.is_some());
        Some(segment)
    }

    pub fn get(&self, seq: u32) -> Option<&Segment> {
        self.table.get(&seq)
    }

    /// For everything but counts and slots.
    pub fn get_mut(&mut self, seq: u32) -> Option<&mut Segment> {
        self.table.get_mut(&seq)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Segment> {
        self.table.values()
    }

    /// The map refers to so many more blocks, or fewer.
    pub fn add_live(&mut self, seq: u32, blocks: u32) {
        if let Some(segment) = self.table.get_mut(&seq) {
            segment.live += blocks;
            self.live_total += own_blocks(segment, blocks);
        }
    }

    pub fn sub_live(&mut self, seq: u32, blocks: u16) {
        if let Some(segment) = self.table.get_mut(&seq) {
            let blocks = u32::from(blocks).min(segment.live);
            segment.live -= blocks;
            self.live_total -= own_blocks(segment, blocks);
        }
    }

    pub fn add_leaf(&mut self, seq: u32, blocks: u8) {
        if let Some(segment) = self.table.get_mut(&seq) {
            segment.leaf_live += u32::from(blocks);
            self.live_total += own_blocks(segment, u32::from(blocks));
        }
    }

    pub fn sub_leaf(&mut self, seq: u32, blocks: u8) {
        if let Some(segment) = self.table.get_mut(&seq) {
            let blocks = u32::from(blocks).min(segment.leaf_live);
            segment.leaf_live -= blocks;
            self.live_total -= own_blocks(segment, blocks);
        }
    }

    /// The local file does not hold the segment any more.
    pub fn forget_slot(&mut self, seq: u32) -> Option<u32> {
        let slot = self.table.get_mut(&seq)?.slot.take();
        self.local_count -= u32::from(slot.is_some());
        slot
    }

    /// After loading: all slots below `count` that neither a segment nor `reserved` has are free.
    pub fn find_free_slots(&mut self, count: u32, reserved: u32) {
        let taken: HashSet<u32> = self.table.values().filter_map(|s| s.slot).chain([reserved]).collect();
        self.slot_count = taken.iter().map(|slot| slot + 1).max().unwrap_or(0).max(count);
        self.free_slots = (0..self.slot_count).rev().filter(|slot| !taken.contains(slot)).collect();
    }

    /// A slot to write to; the flag says that it was never written, or has no room any more.
    pub fn take_slot(&mut self) -> (u32, bool) {
        if let Some(slot) = self.free_slots.pop() {
            return (slot, false);
        }
        let slot = self.punched_slots.pop().unwrap_or_else(|| {
            self.slot_count += 1;
            self.slot_count - 1
        });
        (slot, true)
    }

    pub fn free_slot(&mut self, slot: u32) {
        self.free_slots.push(slot);
    }

    /// Free slots that still have room.
    pub fn free_slots(&self) -> usize {
        self.free_slots.len()
    }

    /// A free slot whose room may be given back, if there are more than `keep`. It is used again when no other is left.
    pub fn punch_slot(&mut self, keep: usize) -> Option<u32> {
        let slot = (self.free_slots.len() > keep).then(|| self.free_slots.swap_remove(0))?;
        self.punched_slots.push(slot);
        Some(slot)
    }

    /// Blocks of the volume's own segments that the map and its homes refer to.
    pub fn live_blocks(&self) -> u64 {
        self.live_total
    }

    /// Blocks of the local file that segments lie in.
    pub fn local_blocks(&self) -> u64 {
        u64::from(self.local_count) * u64::from(SEGMENT_BLOCKS)
    }

    /// Blocks that the volume's own segments take, wherever they are.
    pub fn own_blocks(&self) -> u64 {
        u64::from(self.own_count) * u64::from(SEGMENT_BLOCKS)
    }

    pub fn local_count(&self) -> u32 {
        self.local_count
    }

    /// In order of their numbers.
    pub fn save(&self) -> Vec<SavedSegment> {
        let mut saved: Vec<_> = self.table.values().map(save).collect();
        saved.sort_unstable_by_key(|s| s.id.seq);
        saved
    }
}

fn own_blocks(segment: &Segment, blocks: u32) -> u64 {
    if segment.owner == 0 { u64::from(blocks) } else { 0 }
}

pub fn save(s: &Segment) -> SavedSegment {
    SavedSegment {
        id: s.id,
        owner: s.owner,
        slot: s.slot,
        live: s.live as u16,
        end: if s.complete { s.end } else { 0 },
        uploaded: s.uploaded,
        sealed: s.sealed,
    }
}
