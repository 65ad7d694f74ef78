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
/// Empty ticks that count as much work as one connection.
const TICKS_A_UNIT: usize = 64;

#[derive(Debug)]
pub(crate) struct Wheel {
    heads: Box<[u32]>,
    /// The tick that is done.
    tick: u64,
    entries: usize,
}

impl Default for Wheel {
    fn default() -> Self {
        Self { heads: vec![NONE; (SLOTS * u64::from(LEVELS)) as usize].into(), tick: 0, entries: 0 }
    }
}

impl Wheel {
    /// The slot for a tick that is to come.
    fn slot(&self, tick: u64) -> usize {
        let ahead = tick.saturating_sub(self.tick).clamp(1, REACH);
        let level = u64::from((63 - ahead.leading_zeros()) / SLOTS.ilog2());
        let target = self.tick + ahead;
        (level * SLOTS + (target >> (level * u64::from(SLOTS.ilog2()))) % SLOTS) as usize
    }

    pub fn insert(&mut self, arena: &mut Arena, index: u32) {
        let Some(connection) = arena.get(index) else { return };
        if self.entries == 0 {
            // Nothing was waited for since.
            self.tick = self.tick.max(connection.expires_ms.saturating_sub(REACH * TICK_MS) / TICK_MS);
        }
        // The tick after it, so that it is due then.
        let slot = self.slot(connection.expires_ms / TICK_MS + 1);
        let next = std::mem::replace(&mut self.heads[slot], index);
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
            None => self.heads[usize::from(slot) % (SLOTS * u64::from(LEVELS)) as usize] = next,
        }
        if let Some(next) = arena.get_mut(next) {
            next.timer_previous = previous;
        }
        self.entries -= 1;
    }

    /// Goes on towards `now_ms`, and returns a connection that is due and is no longer in the wheel; the caller calls again, until
    /// there is none or `budget` is used up.
    pub fn due(&mut self, arena: &mut Arena, now_ms: u64, budget: &mut usize) -> Option<u32> {
        let now = now_ms / TICK_MS;
        let mut ticks = 0;
        while *budget > 0 {
            if self.entries == 0 {
                self.tick = self.tick.max(now);
                return None;
            }
            // What lies in the current slots of all levels is due, or goes to a lower level.
            let current = (0..u64::from(LEVELS)).find_map(|level| {
                let shift = level * u64::from(SLOTS.ilog2());
                // A slot of a level is current at the tick where the levels below begin anew.
                let begins = self.tick & ((1 << shift) - 1) == 0;
                let slot = (level * SLOTS + (self.tick >> shift) % SLOTS) as usize;
                (begins && self.heads[slot] != NONE).then_some(self.heads[slot])
            });
            if let Some(index) = current {
                *budget -= 1;
                self.remove(arena, index);
                if arena.get(index).is_some_and(|connection| connection.expires_ms <= now_ms) {
                    return Some(index);
                }
                self.insert(arena, index);
                continue;
            }
            if self.tick >= now {
                return None;
            }
            self.tick += 1;
            ticks += 1;
            if ticks % TICKS_A_UNIT == 0 {
                *budget -= 1;
            }
        }
        None
    }
}
