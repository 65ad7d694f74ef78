//! Where each block of the volume lies in the log.
//!
//! A radix tree of two levels over leaves of 16 MiB. A leaf that was saved to the log has a *home* there; it may be let go from
//! memory while it is clean, and is fetched from its home when it is needed again. A clone begins as a map whose leaves are all
//! at home in the snapshot's log: that is what makes it instant.

mod leaf;

pub use leaf::{LEAF_BLOCKS, Leaf, Run};

use crate::engine::format::{Home, Place};
use std::collections::HashMap;
use std::sync::Arc;

/// Leaves of one chunk of the upper level: 4 GiB of the volume.
const CHUNK_LEAVES: usize = 256;

#[derive(Clone, Debug, Default)]
struct Slot {
    leaf: Option<Arc<Leaf>>,
    /// A home in few bytes: there is none if it has no blocks.
    home_seq: u32,
    home_block: u16,
    home_blocks: u8,
    flags: u8,
}

/// In memory it differs from its home.
const DIRTY: u8 = 1;
/// Looked at since the clock hand passed.
const USED: u8 = 2;

impl Slot {
    fn home(&self) -> Option<Home> {
        let place = Place { seq: self.home_seq, block: self.home_block };
        (self.home_blocks > 0).then_some(Home { place, blocks: self.home_blocks })
    }

    fn set_home(&mut self, home: Option<Home>) {
        let (place, blocks) = home.map_or((Place { seq: 0, block: 0 }, 0), |home| (home.place, home.blocks));
        (self.home_seq, self.home_block, self.home_blocks) = (place.seq, place.block, blocks);
    }

    fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Returns whether it had it before.
    fn set(&mut self, flag: u8) -> bool {
        let had = self.has(flag);
        self.flags |= flag;
        had
    }

    fn clear(&mut self, flag: u8) -> bool {
        let had = self.has(flag);
        self.flags &= !flag;
        had
    }
}

/// A change to a leaf that is not in memory yet.
#[derive(Clone, Copy, Debug)]
struct Deferred {
    start: u16,
    len: u32,
    place: Option<Place>,
}

/// What lies from a block on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// So many blocks, consecutively from there.
    At(Place, u32),
    /// So many blocks that hold nothing.
    Hole(u32),
    /// The leaf of this number must be fetched first.
    Absent(u32),
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Map {
    chunks: Vec<Option<Box<[Slot]>>>,
    leaf_count: u32,
    resident_bytes: usize,
    dirty: Vec<u32>,
    deferred: HashMap<u32, Vec<Deferred>>,
    clock_hand: u32,
}

impl Map {
    pub fn new(size_blocks: u64) -> Self {
        let mut map = Self::default();
        map.grow(size_blocks);
        map
    }

    /// Make room for a larger volume.
    pub fn grow(&mut self, size_blocks: u64) {
        self.leaf_count = size_blocks.div_ceil(u64::from(LEAF_BLOCKS)) as u32;
        self.chunks.resize((self.leaf_count as usize).div_ceil(CHUNK_LEAVES), None);
    }

    fn slot(&self, index: u32) -> Option<&Slot> {
        self.chunks.get(index as usize / CHUNK_LEAVES)?.as_ref()?.get(index as usize % CHUNK_LEAVES)
    }

    fn slot_mut(&mut self, index: u32) -> &mut Slot {
        let chunk = self.chunks[index as usize / CHUNK_LEAVES]
            .get_or_insert_with(|| vec![Slot::default(); CHUNK_LEAVES].into_boxed_slice());
        &mut chunk[index as usize % CHUNK_LEAVES]
    }

    fn is_absent(&self, index: u32) -> bool {
        self.slot(index).is_some_and(|slot| slot.leaf.is_none() && slot.home_blocks > 0)
    }

    /// The first leaf of the range that must be fetched before the range can be changed.
    pub fn first_absent(&self, lba: u32, blocks: u32) -> Option<u32> {
        let last = (u64::from(lba) + u64::from(blocks.max(1)) - 1) / u64::from(LEAF_BLOCKS);
        (lba / LEAF_BLOCKS..=last as u32).find(|&index| self.is_absent(index))
    }

    /// What lies at `lba`; the answer covers at most `max` blocks, and ends with the leaf.
    pub fn lookup(&mut self, lba: u32, max: u32) -> Lookup {
        let (index, block) = (lba / LEAF_BLOCKS, lba % LEAF_BLOCKS);
        if self.is_absent(index) {
            return Lookup::Absent(index);
        }
        let rest = max.min(LEAF_BLOCKS - block);
        if self.slot(index).is_none_or(|slot| slot.leaf.is_none()) {
            return Lookup::Hole(rest);
        }
        let slot = self.slot_mut(index);
        slot.set(USED);
        match slot.leaf.as_ref().map(|leaf| leaf.find(block as u16)) {
            Some((len, Some(place))) => Lookup::At(place, len.min(rest)),
            Some((len, None)) => Lookup::Hole(len.min(rest)),
            None => Lookup::Hole(rest),
        }
    }

    /// Where one block lies, if its leaf is here and it lies anywhere.
    pub fn place(&mut self, lba: u32) -> Option<Place> {
        match self.lookup(lba, 1) {
            Lookup::At(place, _) => Some(place),
            _ => None,
        }
    }

    /// Let `blocks` from `lba` lie from `place` on, or nowhere. All leaves must be here. `displaced` is told which segments lost
    /// how many blocks.
    pub fn insert(&mut self, lba: u32, blocks: u32, place: Option<Place>, mut displaced: impl FnMut(u32, u16)) {
        for (index, start, len, place) in pieces(lba, blocks, place) {
            self.insert_piece(index, Deferred { start, len, place }, &mut displaced);
        }
    }

    /// [`Self::insert`], put off for leaves that are not here: what they lose is then told when they arrive.
    pub fn insert_or_defer(
        &mut self,
        lba: u32,
        blocks: u32,
        place: Option<Place>,
        mut displaced: impl FnMut(u32, u16),
    ) {
        for (index, start, len, place) in pieces(lba, blocks, place) {
            let change = Deferred { start, len, place };
            // What was read from a disk may say anything.
            if !self.has_leaf(index) {
                continue;
            }
            if self.is_absent(index) {
                self.deferred.entry(index).or_default().push(change);
            } else {
                self.insert_piece(index, change, &mut displaced);
            }
        }
    }

    fn insert_piece(&mut self, index: u32, change: Deferred, displaced: &mut impl FnMut(u32, u16)) {
        if change.place.is_none() && self.slot(index).is_none_or(|slot| slot.leaf.is_none()) {
            return;
        }
        let slot = self.slot_mut(index);
        let before = slot.leaf.as_ref().map_or(0, |leaf| leaf.bytes());
        let leaf = Arc::make_mut(slot.leaf.get_or_insert_default());
        leaf.insert(change.start, change.len, change.place, displaced);
        let after = leaf.bytes();
        slot.set(USED);
        let newly_dirty = !slot.set(DIRTY);
        self.resident_bytes = self.resident_bytes + after - before;
        if newly_dirty {
            self.dirty.push(index);
        }
    }

    /// A leaf has come from its home: changes that were put off take effect.
    pub fn install(&mut self, index: u32, leaf: Leaf, mut displaced: impl FnMut(u32, u16)) {
        if !self.is_absent(index) {
            return;
        }
        self.resident_bytes += leaf.bytes();
        let slot = self.slot_mut(index);
        slot.leaf = Some(Arc::new(leaf));
        slot.set(USED);
        for change in self.deferred.remove(&index).unwrap_or_default() {
            self.insert_piece(index, change, &mut displaced);
        }
    }

    pub fn home(&self, index: u32) -> Option<Home> {
        self.slot(index)?.home()
    }

    /// At open, and when a leaf has been saved: its copy in the log is there from now on. Returns where it was before.
    pub fn set_home(&mut self, index: u32, home: Option<Home>) -> Option<Home> {
        let slot = self.slot_mut(index);
        let before = slot.home();
        slot.set_home(home);
        before
    }

    /// All homes, by leaf.
    pub fn homes(&self) -> impl Iterator<Item = (u32, Home)> + '_ {
        let chunks = self.chunks.iter().enumerate();
        chunks.filter_map(|(i, chunk)| Some((i, chunk.as_ref()?))).flat_map(|(i, chunk)| {
            let first = (i * CHUNK_LEAVES) as u32;
            chunk.iter().zip(first..).filter_map(|(slot, index)| Some((index, slot.home()?)))
        })
    }

    /// Leaves with changes that were put off, at most `most` of them.
    pub fn deferred(&self, most: usize) -> Vec<u32> {
        self.deferred.keys().take(most).copied().collect()
    }

    pub fn has_leaf(&self, index: u32) -> bool {
        index < self.leaf_count
    }

    /// `index`, if that leaf must be fetched before it can be looked at.
    pub fn absent_leaf(&self, index: u32) -> Option<u32> {
        self.is_absent(index).then_some(index)
    }

    /// The leaves that differ from their homes, as they are now; from here on they count as clean.
    pub fn freeze_dirty(&mut self) -> Vec<(u32, Arc<Leaf>)> {
        let dirty = std::mem::take(&mut self.dirty);
        let mut frozen = Vec::with_capacity(dirty.len());
        for index in dirty {
            let slot = self.slot_mut(index);
            slot.clear(DIRTY);
            let Some(leaf) = &mut slot.leaf else { continue };
            let (before, leaf_mut) = (leaf.bytes(), Arc::make_mut(leaf));
            leaf_mut.shrink();
            let after = leaf.bytes();
            frozen.push((index, leaf.clone()));
            self.resident_bytes = self.resident_bytes + after - before;
        }
        frozen
    }

    /// The leaf must be saved again although it has not changed.
    pub fn touch(&mut self, index: u32) {
        if !self.has_leaf(index) {
            return;
        }
        let slot = self.slot_mut(index);
        if slot.leaf.is_some() && !slot.set(DIRTY) {
            self.dirty.push(index);
        }
    }

    pub fn is_dirty(&self, index: u32) -> bool {
        self.slot(index).is_some_and(|slot| slot.has(DIRTY))
    }

    pub fn dirty_leaves(&self) -> usize {
        self.dirty.len()
    }

    /// Let clean leaves go, those not used lately first, until the map takes at most `target_bytes` or all have been looked at
    /// twice. `pinned` leaves stay.
    pub fn evict(&mut self, target_bytes: usize, pinned: impl Fn(u32) -> bool) {
        for _ in 0..2 * self.leaf_count {
            if self.resident_bytes <= target_bytes {
                return;
            }
            let index = self.clock_hand;
            self.clock_hand = (self.clock_hand + 1) % self.leaf_count.max(1);
            if self.slot(index).is_none_or(|slot| slot.leaf.is_none()) {
                continue;
            }
            let slot = self.slot_mut(index);
            if slot.has(DIRTY) || slot.home_blocks == 0 || slot.clear(USED) || pinned(index) {
                continue;
            }
            if let Some(leaf) = slot.leaf.take() {
                self.resident_bytes -= leaf.bytes();
            }
        }
    }

    /// Memory of the leaves and of the tree above them.
    pub fn bytes(&self) -> usize {
        let chunks = self.chunks.iter().flatten().count();
        self.resident_bytes + chunks * CHUNK_LEAVES * size_of::<Slot>() + self.chunks.len() * size_of::<usize>()
    }
}

/// A range of the volume cut at the leaves: leaf, first block within, blocks, place.
fn pieces(lba: u32, blocks: u32, place: Option<Place>) -> impl Iterator<Item = (u32, u16, u32, Option<Place>)> {
    let (mut at, end) = (u64::from(lba), u64::from(lba) + u64::from(blocks));
    std::iter::from_fn(move || {
        if at == end {
            return None;
        }
        let start = (at % u64::from(LEAF_BLOCKS)) as u32;
        let len = (end - at).min(u64::from(LEAF_BLOCKS - start)) as u32;
        let offset = (at - u64::from(lba)) as u16;
        let place = place.map(|p| Place { block: p.block + offset, ..p });
        let index = (at / u64::from(LEAF_BLOCKS)) as u32;
        at += u64::from(len);
        Some((index, start as u16, len, place))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(seq: u32, block: u16) -> Place {
        Place { seq, block }
    }

    #[test]
    fn ranges_cross_leaves() {
        let mut map = Map::new(3 * 4096);
        map.insert(4000, 200, Some(place(1, 100)), |_, _| panic!("nothing was there"));
        assert_eq!(map.lookup(4000, 500), Lookup::At(place(1, 100), 96));
        assert_eq!(map.lookup(4096, 500), Lookup::At(place(1, 196), 104));
        assert_eq!(map.lookup(4200, 10), Lookup::Hole(10));
        let mut lost = 0;
        map.insert(0, 3 * 4096, None, |seq, blocks| lost += seq * u32::from(blocks));
        assert_eq!(lost, 200);
        assert_eq!(map.lookup(4000, 500), Lookup::Hole(96));
    }

    #[test]
    fn leaves_go_and_come_back_with_what_was_put_off() {
        let mut map = Map::new(2 * 4096);
        map.insert(0, 8, Some(place(1, 100)), |_, _| {});
        let frozen = map.freeze_dirty();
        assert_eq!(frozen.len(), 1);
        assert_eq!(map.dirty_leaves(), 0);
        assert_eq!(map.set_home(0, Some(Home { place: place(1, 200), blocks: 1 })), None);
        map.evict(0, |_| false);
        assert_eq!(map.lookup(0, 8), Lookup::Absent(0));
        assert_eq!(map.first_absent(0, 4097), Some(0));
        assert_eq!(map.first_absent(4096, 1), None);
        map.insert_or_defer(4, 1, Some(place(2, 50)), |_, _| panic!("not known yet"));
        assert_eq!(map.deferred(9), [0]);
        let mut lost = Vec::new();
        map.install(0, (*frozen[0].1).clone(), |seq, blocks| lost.push((seq, blocks)));
        assert_eq!(lost, [(1, 1)]);
        assert_eq!(map.place(4), Some(place(2, 50)));
        assert_eq!(map.place(5), Some(place(1, 105)));
        assert!(map.is_dirty(0));
        map.evict(0, |_| false);
        assert!(map.place(5).is_some(), "what is dirty stays");
    }

    #[test]
    fn memory_is_within_its_targets() {
        // Fully random: every leaf flat. Sequential: two chains a leaf.
        let (leaves, gib) = (256, 4);
        let mut random = Map::new(u64::from(LEAF_BLOCKS) * leaves);
        let mut sequential = Map::new(u64::from(LEAF_BLOCKS) * leaves);
        for lba in 0..LEAF_BLOCKS * leaves as u32 {
            random.insert(lba, 1, Some(place(lba.reverse_bits(), 32 + (lba % 4000) as u16)), |_, _| {});
        }
        // In groups of 1 MiB, each with a header.
        let (mut lba, mut at) = (0, place(0, 33));
        while lba < LEAF_BLOCKS * leaves as u32 {
            let blocks = 256.min(4096 - u32::from(at.block)).min(LEAF_BLOCKS * leaves as u32 - lba);
            sequential.insert(lba, blocks, Some(at), |_, _| {});
            (lba, at.block) = (lba + blocks, at.block + blocks as u16 + 1);
            if at.block >= 4090 {
                at = place(at.seq + 1, 33);
            }
        }
        random.freeze_dirty();
        sequential.freeze_dirty();
        let per_tib = |map: &Map| map.bytes() as f64 * (1024 / gib) as f64 / f64::from(1 << 20);
        println!("random {:.1}, sequential {:.1} MiB per TiB", per_tib(&random), per_tib(&sequential));
        assert!(per_tib(&random) <= 2150.0, "{} MiB per TiB", per_tib(&random));
        assert!(per_tib(&sequential) <= 6.0, "{} MiB per TiB", per_tib(&sequential));
    }
}
