//! The split virtqueue in shared memory (virtio 1.3, section 2.7): volatile, validated access and nothing else.

use crate::memory::{GuestMemory, Pinned};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering, fence};

/// Largest queue offered; bounds the work one kick can bring, and lets a request fit in one readv.
pub const MAX_QUEUE_SIZE: u16 = 1024;

/// Bytes of a descriptor, of the fields before a ring's elements, and of a used element.
const DESCRIPTOR_BYTES: u64 = 16;
const RING_HEADER_BYTES: usize = 4;
const USED_ELEMENT_BYTES: usize = 8;

/// `VIRTQ_USED_F_NO_NOTIFY` and `VIRTQ_AVAIL_F_NO_INTERRUPT`.
const NO_NOTIFICATION: u16 = 1;

/// A descriptor as the driver wrote it: nothing in it may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    pub address: u64,
    pub len: u32,
    pub flags: u16,
    pub next: u16,
}

impl Descriptor {
    pub const NEXT: u16 = 1;
    pub const WRITE: u16 = 2;
    pub const INDIRECT: u16 = 4;
    pub const BYTES: u64 = DESCRIPTOR_BYTES;

    /// Decode the 16 bytes of `struct virtq_desc`.
    pub fn decode(bytes: [u8; 16]) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, f0, f1, n0, n1] = bytes;
        Self {
            address: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            len: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        }
    }
}

/// Where the three parts of a ring lie, in the frontend's addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingAddresses {
    pub descriptors: u64,
    pub available: u64,
    pub used: u64,
}

/// A ring that the device may use: all three parts lie wholly in shared memory, properly aligned.
#[derive(Debug)]
pub struct Ring {
    size: u16,
    descriptors: Pinned,
    available: Pinned,
    used: Pinned,
}

impl Ring {
    /// Map a ring of `size` descriptors, a power of two. None if any part is outside of the memory or misaligned.
    pub fn new(memory: &GuestMemory, size: u16, at: RingAddresses) -> Option<Self> {
        if !size.is_power_of_two() || size > MAX_QUEUE_SIZE {
            return None;
        }
        let n = u64::from(size);
        // Both rings are counted with the event index at their end (section 2.7.6), which is there when EVENT_IDX is.
        let descriptors = memory.user_range(at.descriptors, n * DESCRIPTOR_BYTES)?;
        let available = memory.user_range(at.available, 4 + 2 * n + 2)?;
        let used = memory.user_range(at.used, 4 + 8 * n + 2)?;
        let aligned = |p: &Pinned, align: usize| (p.start as usize).is_multiple_of(align);
        (aligned(&descriptors, 16) && aligned(&available, 2) && aligned(&used, 4)).then_some(Self {
            size,
            descriptors,
            available,
            used,
        })
    }

    pub fn size(&self) -> u16 {
        self.size
    }

    fn slot(&self, index: u16) -> usize {
        usize::from(index & (self.size - 1))
    }

    fn available_u16(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: every caller's offset is even and below the length checked by `new`; the start is aligned; the mapping is held.
        unsafe { AtomicU16::from_ptr(self.available.start.add(offset).cast()) }
    }

    fn used_u16(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: as for `available_u16`.
        unsafe { AtomicU16::from_ptr(self.used.start.add(offset).cast()) }
    }

    /// The driver's next free position: entries before it may be read.
    pub fn available_index(&self) -> u16 {
        u16::from_le(self.available_u16(2).load(Ordering::Acquire))
    }

    /// Head of the chain at position `index`.
    pub fn available_head(&self, index: u16) -> u16 {
        u16::from_le(self.available_u16(RING_HEADER_BYTES + 2 * self.slot(index)).load(Ordering::Relaxed))
    }

    /// Entry `index` of the descriptor table; None beyond its end.
    pub fn descriptor(&self, index: u16) -> Option<Descriptor> {
        if index >= self.size {
            return None;
        }
        // SAFETY: the table was checked to hold `size` descriptors; volatile because the driver may write at the same time.
        let bytes = unsafe { self.descriptors.start.cast::<[u8; 16]>().add(usize::from(index)).read_volatile() };
        Some(Descriptor::decode(bytes))
    }

    /// Write a used element at position `index`; [`Self::publish`] shows it to the driver.
    pub fn set_used(&self, index: u16, head: u16, len: u32) {
        let offset = RING_HEADER_BYTES + USED_ELEMENT_BYTES * self.slot(index);
        // SAFETY: the slot is within the used ring checked by `new`, whose start is aligned to 4.
        let (id_word, len_word) = unsafe {
            let element = self.used.start.add(offset).cast::<u32>();
            (AtomicU32::from_ptr(element), AtomicU32::from_ptr(element.add(1)))
        };
        id_word.store(u32::from(head).to_le(), Ordering::Relaxed);
        len_word.store(len.to_le(), Ordering::Relaxed);
    }

    /// Everything before `index` in the used ring is complete.
    pub fn publish(&self, index: u16) {
        self.used_u16(2).store(index.to_le(), Ordering::Release);
    }

    /// The used index as it stands in memory, where a device that takes the ring over goes on.
    pub fn used_index(&self) -> u16 {
        u16::from_le(self.used_u16(2).load(Ordering::Acquire))
    }

    /// Ask for a kick when the driver passes `index`; true if it already has (section 2.7.10).
    pub fn enable_kicks(&self, index: u16, event_idx: bool) -> bool {
        if event_idx {
            let offset = RING_HEADER_BYTES + USED_ELEMENT_BYTES * usize::from(self.size);
            self.used_u16(offset).store(index.to_le(), Ordering::Relaxed);
        } else {
            self.used_u16(0).store(0, Ordering::Relaxed);
        }
        fence(Ordering::SeqCst);
        self.available_index() != index
    }

    /// While we poll, the driver need not kick. With EVENT_IDX an event index that lags behind says so by itself.
    pub fn disable_kicks(&self, event_idx: bool) {
        if !event_idx {
            self.used_u16(0).store(NO_NOTIFICATION.to_le(), Ordering::Relaxed);
        }
    }

    /// Whether the driver wants to be told of used entries `old..new` (section 2.7.7).
    pub fn wants_signal(&self, old: u16, new: u16, event_idx: bool) -> bool {
        fence(Ordering::SeqCst);
        if event_idx {
            let offset = RING_HEADER_BYTES + 2 * usize::from(self.size);
            let event = u16::from_le(self.available_u16(offset).load(Ordering::Relaxed));
            new.wrapping_sub(event).wrapping_sub(1) < new.wrapping_sub(old)
        } else {
            u16::from_le(self.available_u16(0).load(Ordering::Relaxed)) & NO_NOTIFICATION == 0
        }
    }
}
