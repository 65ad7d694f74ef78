//! A timer wheel of four levels: what is due is found without looking at what is not.
//!
//! A connection that lives on is not moved: when its slot comes it is put where it belongs by then. Only one that is due earlier
//! than it lies is moved at once.

use crate::arena::{Arena, NONE};

/// A tick. Expiry itself is exact, by the connection's own time; the wheel only cleans up.
const TICK_MS: u64 = 256;
const SLOTS: u64 = 64;
const LEVELS: u32 = 4;
/// Ticks that the wheel reaches: 49 days, above the longest timeout that can be set to use.
const REACH: u64 = SLOTS.pow(LEVELS) - 1;
const SHIFT: u32 = SLOTS.ilog2();

#[derive(Debug)]
pub(crate) struct Wheel {
    heads: Box<[u32]>,
    /// Which slots of a level have connections.
    occupied: [u64; LEVELS as usize],
    /// The tick that is done.
    tick: u64,
    entries: usize,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            heads: vec![NONE; (SLOTS * u64::from(LEVELS)) as usize].into(),
            occupied: [0; LEVELS as usize],
            tick: 0,
            entries: 0,
        }
    }
}

impl Wheel {
    /// The slot for a tick that is to come.
    fn slot(&self, tick: u64) -> usize {
        let ahead = tick.saturating_sub(self.tick).clamp(1, REACH);
        let level = (63 - ahead.leading_zeros()) / SHIFT;
        let target = self.tick + ahead;
        (u64::from(level) * SLOTS + (target >> (level * SHIFT)) % SLOTS) as usize
    }

    fn occupy(&mut self, slot: usize, head: u32) {
        self.heads[slot] = head;
        let (level, bit) = (slot / SLOTS as usize, slot % SLOTS as usize);
        let bits = self.occupied[level] & !(1 << bit);
        self.occupied[level] = bits | u64::from(head != NONE) << bit;
    }

    pub fn insert(&mut self, arena: &mut Arena, index: u32) {
        let Some(connection) = arena.get(index) else { return };
        if self.entries == 0 {
            // Nothing was waited for since.
            self.tick = self.tick.max(connection.expires_ms.saturating_sub(REACH * TICK_MS) / TICK_MS);
        }
        // The tick after it, so that it is due then.
        let slot = self.slot(connection.expires_ms / TICK_MS + 1);
        let next = self.heads[slot];
        self.occupy(slot, index);
        if let Some(connection) = arena.get_mut(index) {
            connection.timer_next = next;
            connection.timer_previous = NONE;
            connection.timer_slot = slot as u16;
        }
        if let Some(next) = arena.get_mut(next) {
            next.timer_previous = index;
        }
        self.entries += 1;
    }

    pub fn remove(&mut self, arena: &mut Arena, index: u32) {
        let Some(connection) = arena.get(index) else { return };
        let (next, previous, slot) = (connection.timer_next, connection.timer_previous, connection.timer_slot);
        match arena.get_mut(previous) {
            Some(previous) => previous.timer_next = next,
            None => self.occupy(usize::from(slot) % self.heads.len(), next),
        }
        if let Some(next) = arena.get_mut(next) {
            next.timer_previous = previous;
        }
        self.entries -= 1;
    }

    /// A connection in a slot whose time is this very tick.
    fn current(&self) -> Option<u32> {
        (0..LEVELS).find_map(|level| {
            let shift = level * SHIFT;
            // A slot's time is when the levels below begin anew.
            let begins = self.tick & ((1 << shift) - 1) == 0;
            let slot = (u64::from(level) * SLOTS + (self.tick >> shift) % SLOTS) as usize;
            (begins && self.heads[slot] != NONE).then_some(self.heads[slot])
        })
    }

    /// The next tick at which a slot has its time.
    fn next(&self) -> Option<u64> {
        let of_level = |level: u32| {
            let now = self.tick >> (level * SHIFT);
            // The slot after the current one first; the current one itself comes a whole turn later.
            let ahead = self.occupied[level as usize].rotate_right(((now + 1) % SLOTS) as u32);
            (ahead != 0).then(|| (now + 1 + u64::from(ahead.trailing_zeros())) << (level * SHIFT))
        };
        (0..LEVELS).filter_map(of_level).min()
    }

    /// Goes on towards `now_ms`, and returns a connection that is due and is no longer in the wheel; the caller calls again, until
    /// there is none or `budget`, which each connection that is looked at is counted against, is used up.
    pub fn due(&mut self, arena: &mut Arena, now_ms: u64, budget: &mut usize) -> Option<u32> {
        let now = now_ms / TICK_MS;
        while *budget > 0 {
            let Some(index) = self.current() else {
                let next = self.next().filter(|next| *next <= now);
                self.tick = next.unwrap_or(self.tick.max(now));
                next?;
                continue;
            };
            *budget -= 1;
            self.remove(arena, index);
            if arena.get(index).is_some_and(|connection| connection.expires_ms <= now_ms) {
                return Some(index);
            }
            self.insert(arena, index);
        }
        None
    }
}
