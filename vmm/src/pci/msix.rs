//! The MSI-X table (PCI Local Bus 3.0, 6.8.2): per vector a message and a mask, in the guest's hands.

use super::copy_from;
use crate::interrupt::{Message, Vector};
use std::sync::Arc;
use vmm_sys_util::eventfd::EventFd;

/// Bytes of one table entry.
pub const VECTOR_BYTES: usize = 16;
/// Control word of an entry: masked.
const ENTRY_MASKED: u32 = 1;
/// Message control: all vectors masked, and MSI-X on.
const FUNCTION_MASK: u16 = 1 << 14;
const ENABLE: u16 = 1 << 15;

/// A function's vectors, with the table the guest writes.
#[derive(Debug)]
pub struct MsixTable {
    vectors: Vec<Vector>,
    entries: Vec<[u8; VECTOR_BYTES]>,
    /// Message control of the capability.
    control: u16,
}

impl MsixTable {
    /// A table for these vectors; all masked, as after a reset.
    pub fn new(vectors: Vec<Vector>) -> Self {
        let mut masked = [0; VECTOR_BYTES];
        masked[12..].copy_from_slice(&ENTRY_MASKED.to_le_bytes());
        let entries = vec![masked; vectors.len()];
        Self { vectors, entries, control: 0 }
    }

    /// What a device signals to raise vector `index`, if there is one.
    pub fn event(&self, index: u16) -> Option<&Arc<EventFd>> {
        self.vectors.get(usize::from(index)).map(Vector::event)
    }

    /// The guest wrote message control.
    pub fn set_control(&mut self, control: u16) {
        if self.control != control {
            self.control = control;
            (0..self.vectors.len()).for_each(|index| self.apply(index));
        }
    }

    /// Read the table at a byte offset.
    pub fn read(&self, offset: usize, data: &mut [u8]) {
        copy_from(self.entries.as_flattened(), offset, data);
    }

    /// Write the table at a byte offset: whole 32- or 64-bit words within one entry, all else is dropped.
    pub fn write(&mut self, offset: usize, data: &[u8]) {
        let (index, start) = (offset / VECTOR_BYTES, offset % VECTOR_BYTES);
        if !matches!(data.len(), 4 | 8) || !start.is_multiple_of(data.len()) {
            return;
        }
        if let Some(entry) = self.entries.get_mut(index) {
            entry[start..start + data.len()].copy_from_slice(data);
            self.apply(index);
        }
    }

    /// Read the pending bits at a byte offset.
    pub fn read_pending(&self, offset: usize, data: &mut [u8]) {
        let mut bits = vec![0; self.vectors.len().div_ceil(8)];
        for (index, _) in self.vectors.iter().enumerate().filter(|(_, vector)| vector.is_pending()) {
            bits[index / 8] |= 1 << (index % 8);
        }
        copy_from(&bits, offset, data);
    }

    /// Bring the vector in line with its entry.
    fn apply(&mut self, index: usize) {
        let (Some(entry), Some(vector)) = (self.entries.get(index), self.vectors.get_mut(index)) else { return };
        let word = |at: usize| u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]]);
        let deliver = self.control & (ENABLE | FUNCTION_MASK) == ENABLE && word(12) & ENTRY_MASKED == 0;
        let address = u64::from(word(0)) | u64::from(word(4)) << 32;
        vector.set(deliver.then(|| Message { address, data: word(8) }));
    }
}
