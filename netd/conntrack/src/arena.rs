//! Connections by number. Memory grows by chunks, so no connection moves and no spare half is held; numbers are used again, with
//! another generation.

use crate::connection::Connection;

/// Connections a chunk holds: some 200 KiB.
const CHUNK: usize = 1024;

/// Names a connection for as long as it lives: a later one of the same number has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

#[derive(Debug)]
enum Slot {
    Free { next: u32, generation: u32 },
    Used(Connection),
}

pub(crate) const NONE: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Arena {
    chunks: Vec<Box<[Slot]>>,
    free: u32,
    used: usize,
}

impl Default for Arena {
    fn default() -> Self {
        Self { chunks: Vec::new(), free: NONE, used: 0 }
    }
}

impl Arena {
    pub fn len(&self) -> usize {
        self.used
    }

    fn slot(&self, index: u32) -> Option<&Slot> {
        self.chunks.get(index as usize / CHUNK)?.get(index as usize % CHUNK)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot> {
        self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)
    }

    #[inline]
    pub fn get(&self, index: u32) -> Option<&Connection> {
        match self.slot(index)? {
            Slot::Used(connection) => Some(connection),
            Slot::Free { .. } => None,
        }
    }

    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut Connection> {
        match self.slot_mut(index)? {
            Slot::Used(connection) => Some(connection),
            Slot::Free { .. } => None,
        }
    }

    /// None when numbers have run out, far above any limit.
    pub fn insert(&mut self, mut connection: Connection) -> Option<u32> {
        if self.free == NONE {
            let first = u32::try_from(self.chunks.len() * CHUNK).ok()?;
            let last = first.checked_add(CHUNK as u32 - 1).filter(|last| *last != NONE)?;
            let chunk =
                (first..=last).map(|at| Slot::Free { next: if at == last { NONE } else { at + 1 }, generation: 0 });
            self.chunks.push(chunk.collect());
            self.free = first;
        }
        let index = self.free;
        let slot = self.slot_mut(index)?;
        let Slot::Free { next, generation } = *slot else { return None };
        connection.generation = generation;
        *slot = Slot::Used(connection);
        self.free = next;
        self.used += 1;
        Some(index)
    }

    pub fn remove(&mut self, index: u32) -> Option<Connection> {
        let next = self.free;
        let slot = self.slot_mut(index)?;
        let generation = match slot {
            Slot::Used(connection) => connection.generation.wrapping_add(1),
            Slot::Free { .. } => return None,
        };
        let Slot::Used(connection) = std::mem::replace(slot, Slot::Free { next, generation }) else { return None };
        self.free = index;
        self.used -= 1;
        Some(connection)
    }

    /// All numbers are below it.
    pub fn numbers(&self) -> u32 {
        u32::try_from(self.chunks.len() * CHUNK).unwrap_or(NONE)
    }

    /// From a number on: the next connection, and its number.
    pub fn next(&self, from: u32) -> Option<(u32, &Connection)> {
        (from..self.numbers()).find_map(|index| self.get(index).map(|connection| (index, connection)))
    }
}
