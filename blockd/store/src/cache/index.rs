//! Which chunk is in which slot: one shard of the cache, under its mutex. No I/O, no waiting.

use super::{ChunkKey, fetch::Flight};
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// Slots looked at under one hold of the mutex: engine threads must not wait for a whole round of the clock.
const SWEEP_SLOTS: usize = 512;
/// How long the file is not grown after the disk was full: until then slots that have their space are reused.
const GROWTH_PAUSE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the list of free slots, or in that of slots without disk space.
    Free,
    /// Taken for a chunk that is being written; has one pin.
    Filling,
    /// In the map.
    Ready,
    /// Out of the map, but still pinned: free when the last pin goes.
    Doomed,
}

#[derive(Debug)]
struct Slot {
    key: ChunkKey,
    pins: u32,
    /// Bytes of the chunk.
    len: u32,
    state: State,
    /// The clock's bit: used since the hand came by.
    referenced: bool,
    /// Was written once, so the file has space for it.
    backed: bool,
}

/// What [`Shard::claim`] found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// This slot, in the state of being filled.
    Slot(u32),
    /// None yet: call again, without the mutex in between.
    Sweeping,
    /// Every slot is pinned. The next unpinning asks for a wake-up.
    AllPinned,
    /// The disk is full, and no slot has space of its own.
    NoSpace,
}

/// What the caller of [`Shard::unpin`], [`Shard::abandon`] and [`Shard::invalidate`] does once the mutex is released.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    WakeWaiters,
}

#[derive(Debug)]
pub(super) struct Shard {
    map: HashMap<ChunkKey, u32>,
    /// Slots that were claimed at least once; grows up to `limit`.
    slots: Vec<Slot>,
    limit: usize,
    free: Vec<u32>,
    /// Claimed when the disk was full.
    unbacked: Vec<u32>,
    grow_after: Option<Instant>,
    hand: usize,
    /// Slots with at least one pin.
    pinned: usize,
    has_waiters: bool,
    pub(super) evictions: u64,
    /// Chunks being fetched.
    pub(super) flights: HashMap<ChunkKey, Flight>,
}

impl Shard {
    /// All memory for `limit` slots is reserved now, so that no lookup ever waits for a table to grow; the kernel hands the pages
    /// out as they are used.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            map: HashMap::with_capacity(limit),
            slots: Vec::with_capacity(limit),
            limit,
            free: Vec::with_capacity(limit),
            unbacked: Vec::new(),
            grow_after: None,
            hand: 0,
            pinned: 0,
            has_waiters: false,
            evictions: 0,
            flights: HashMap::new(),
        }
    }

    /// The slot of a chunk and its length; pinned once more.
    pub(super) fn lookup(&mut self, key: &ChunkKey) -> Option<(u32, u32)> {
        let index = *self.map.get(key)?;
        self.slots[index as usize].referenced = true;
        self.pin(index);
        Some((index, self.slots[index as usize].len))
    }

    pub(super) fn contains(&self, key: &ChunkKey) -> bool {
        self.map.contains_key(key)
    }

    pub(super) fn pin(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        self.pinned += usize::from(slot.pins == 0);
        slot.pins += 1;
    }

    pub(super) fn unpin(&mut self, index: u32) -> Then {
        let slot = &mut self.slots[index as usize];
        slot.pins -= 1;
        if slot.pins > 0 {
            return Then::Nothing;
        }
        if slot.state == State::Doomed {
            slot.state = State::Free;
            self.free.push(index);
        }
        self.pinned -= 1;
        self.wake()
    }

    fn wake(&mut self) -> Then {
        if std::mem::take(&mut self.has_waiters) { Then::WakeWaiters } else { Then::Nothing }
    }

    /// A slot for a chunk that is about to be written.
    pub(super) fn claim(&mut self, now: Instant) -> Claim {
        let may_grow = self.grow_after.is_none_or(|time| time <= now);
        if let Some(index) = self.free.pop() {
            return self.begin(index);
        }
        if may_grow {
            if let Some(index) = self.unbacked.pop() {
                return self.begin(index);
            }
            if self.slots.len() < self.limit {
                let key = ChunkKey { segment: 0, chunk: 0 };
                let state = State::Free;
                self.slots.push(Slot { key, pins: 0, len: 0, state, referenced: false, backed: false });
                return self.begin((self.slots.len() - 1) as u32);
            }
        }
        let usable = self.slots.len() - self.unbacked.len();
        if usable == 0 {
            return Claim::NoSpace;
        }
        if self.pinned == usable {
            self.has_waiters = true;
            return Claim::AllPinned;
        }
        self.sweep()
    }

    fn sweep(&mut self) -> Claim {
        for _ in 0..SWEEP_SLOTS {
            let index = self.hand;
            self.hand = (self.hand + 1) % self.slots.len();
            let slot = &mut self.slots[index];
            if slot.state != State::Ready || slot.pins > 0 {
                continue;
            }
            if !std::mem::take(&mut slot.referenced) {
                self.map.remove(&slot.key);
                self.evictions += 1;
                return self.begin(index as u32);
            }
        }
        Claim::Sweeping
    }

    fn begin(&mut self, index: u32) -> Claim {
        self.slots[index as usize].state = State::Filling;
        self.pin(index);
        Claim::Slot(index)
    }

    /// The slot now holds a chunk. The claim's pin becomes the caller's. `referenced`: survives one round of the clock.
    pub(super) fn publish(&mut self, index: u32, key: ChunkKey, len: u32, referenced: bool) {
        let slot = &mut self.slots[index as usize];
        (slot.key, slot.len, slot.referenced) = (key, len, referenced);
        (slot.state, slot.backed) = (State::Ready, true);
        let before = self.map.insert(key, index);
        assert!(before.is_none(), "one flight for a chunk, so one slot");
    }

    /// A claimed slot that was not filled. `disk_full`: because the file could not grow.
    pub(super) fn abandon(&mut self, index: u32, disk_full: bool, now: Instant) -> Then {
        let slot = &mut self.slots[index as usize];
        slot.state = State::Free;
        slot.pins = 0;
        self.pinned -= 1;
        if disk_full && !slot.backed {
            self.unbacked.push(index);
            self.grow_after = Some(now + GROWTH_PAUSE);
        } else {
            self.free.push(index);
        }
        self.wake()
    }

    /// Forgets a chunk; returns whether it was there.
    pub(super) fn invalidate(&mut self, key: &ChunkKey) -> (bool, Then) {
        let Some(index) = self.map.remove(key) else { return (false, Then::Nothing) };
        let slot = &mut self.slots[index as usize];
        if slot.pins > 0 {
            slot.state = State::Doomed;
            return (true, Then::Nothing);
        }
        slot.state = State::Free;
        self.free.push(index);
        (true, self.wake())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(chunk: u32) -> ChunkKey {
        ChunkKey { segment: 1, chunk }
    }

    fn fill(shard: &mut Shard, chunk: u32) -> u32 {
        loop {
            match shard.claim(Instant::now()) {
                Claim::Slot(index) => {
                    shard.publish(index, key(chunk), 1, true);
                    return index;
                }
                Claim::Sweeping => {}
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn an_entry_is_small() {
        // With the map's entry, below 128 bytes for 256 KiB of cache.
        assert!(size_of::<Slot>() <= 48);
        assert!(size_of::<(ChunkKey, u32)>() <= 48);
    }

    #[test]
    fn the_clock_spares_what_was_used_and_what_is_pinned() {
        let mut shard = Shard::new(3);
        for chunk in 0..3 {
            let index = fill(&mut shard, chunk);
            assert_eq!(shard.unpin(index), Then::Nothing);
        }
        // A full round clears every bit, then the first goes.
        let third = fill(&mut shard, 3);
        assert!(!shard.contains(&key(0)));
        // 1 is pinned, 2 was used: the hand passes both, and takes 2 only in the second round.
        let (pinned, _) = shard.lookup(&key(1)).unwrap();
        let fourth = fill(&mut shard, 4);
        assert!(shard.contains(&key(1)) && !shard.contains(&key(2)));
        assert_eq!(shard.claim(Instant::now()), Claim::AllPinned);
        assert_eq!(shard.unpin(pinned), Then::WakeWaiters);
        assert_eq!(shard.unpin(third), Then::Nothing);
        assert_eq!(shard.unpin(fourth), Then::Nothing);
        assert_eq!((shard.pinned, shard.evictions), (0, 2));
    }

    #[test]
    fn a_full_disk_reuses_what_it_has() {
        let mut shard = Shard::new(4);
        let first = fill(&mut shard, 0);
        let now = Instant::now();
        let Claim::Slot(second) = shard.claim(now) else { panic!() };
        assert_eq!(shard.abandon(second, true, now), Then::Nothing);
        // The one that is left is pinned.
        assert_eq!(shard.claim(now), Claim::AllPinned);
        assert_eq!(shard.unpin(first), Then::WakeWaiters);
        assert_eq!(fill(&mut shard, 1), first);
        // Later it tries again to grow.
        assert_eq!(shard.claim(now + GROWTH_PAUSE), Claim::Slot(second));
        let mut empty = Shard::new(1);
        let Claim::Slot(index) = empty.claim(now) else { panic!() };
        assert_eq!(empty.abandon(index, true, now), Then::Nothing);
        assert_eq!(empty.claim(now), Claim::NoSpace);
    }

    #[test]
    fn what_is_invalid_is_free_when_the_last_pin_goes() {
        let mut shard = Shard::new(1);
        let index = fill(&mut shard, 0);
        shard.pin(index);
        assert_eq!(shard.invalidate(&key(0)), (true, Then::Nothing));
        assert_eq!(shard.invalidate(&key(0)), (false, Then::Nothing));
        assert!(shard.lookup(&key(0)).is_none());
        assert_eq!(shard.unpin(index), Then::Nothing);
        assert_eq!(shard.claim(Instant::now()), Claim::AllPinned);
        assert_eq!(shard.unpin(index), Then::WakeWaiters);
        assert_eq!(fill(&mut shard, 1), index);
    }
}
