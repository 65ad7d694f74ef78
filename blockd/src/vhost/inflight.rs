//! Requests taken and not yet answered, recorded in memory that the frontend keeps while we are gone
//! (vhost-user specification, "Inflight I/O tracking", split virtqueue layout). The next daemon re-runs them in order.

use super::ring::MAX_QUEUE_SIZE;
use crate::memory::map_shared;
use hive_blockd_api::MAX_QUEUES;
use rustix::fs::{MemfdFlags, SealFlags};
use std::fs::File;
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering, fence};
use vm_memory::MmapRegion;

/// Version of the region's layout.
const VERSION: u16 = 1;
/// Regions of the queues start on cache lines, so that two queues do not share one.
const REGION_ALIGN_BYTES: u64 = 64;
const HEADER_BYTES: u64 = 16;
const ENTRY_BYTES: u64 = 16;

/// Why the frontend's region was refused.
#[derive(Debug, thiserror::Error)]
pub enum InflightError {
    #[error("inflight region for {queues} queues of {size} descriptors is out of range")]
    OutOfRange { queues: u16, size: u16 },
    #[error("inflight region has {have} bytes, {want} are needed")]
    TooSmall { have: u64, want: u64 },
    #[error("cannot create or map the inflight region")]
    Io(#[from] std::io::Error),
}

/// Bytes of one queue's region.
fn region_bytes(queue_size: u16) -> u64 {
    (HEADER_BYTES + ENTRY_BYTES * u64::from(queue_size)).next_multiple_of(REGION_ALIGN_BYTES)
}

/// The region of all queues of one device.
#[derive(Debug)]
pub struct Inflight {
    mapping: Rc<MmapRegion>,
    queue_size: u16,
    queues: u16,
}

impl Inflight {
    fn check(queues: u16, size: u16) -> Result<u64, InflightError> {
        if queues == 0 || queues > MAX_QUEUES || size == 0 || size > MAX_QUEUE_SIZE {
            return Err(InflightError::OutOfRange { queues, size });
        }
        Ok(region_bytes(size) * u64::from(queues))
    }

    /// A fresh region, zero-filled, whose size nobody can change any more; returns its file and size in bytes.
    pub fn create(queues: u16, queue_size: u16) -> Result<(File, u64), InflightError> {
        let bytes = Self::check(queues, queue_size)?;
        let to_io = |e: rustix::io::Errno| InflightError::Io(e.into());
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(rustix::fs::memfd_create("vhost-inflight", flags).map_err(to_io)?);
        file.set_len(bytes)?;
        rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL).map_err(to_io)?;
        Ok((file, bytes))
    }

    /// Map a region made by [`Self::create`], now or by a daemon before us.
    pub fn map(file: File, offset: u64, bytes: u64, queues: u16, queue_size: u16) -> Result<Self, InflightError> {
        let want = Self::check(queues, queue_size)?;
        if bytes < want {
            return Err(InflightError::TooSmall { have: bytes, want });
        }
        let mapping = map_shared(file, offset, want as usize)?;
        Ok(Self { mapping: Rc::new(mapping), queue_size, queues })
    }

    /// The part of queue `index`; None if the region was made for fewer or smaller queues.
    pub fn queue(&self, index: u16, size: u16) -> Option<QueueInflight> {
        if index >= self.queues || size > self.queue_size {
            return None;
        }
        let offset = region_bytes(self.queue_size) * u64::from(index);
        let queue = QueueInflight { mapping: self.mapping.clone(), offset: offset as usize, size, next_counter: 0 };
        queue.u16_at(8).store(VERSION, Ordering::Relaxed);
        queue.u16_at(10).store(self.queue_size, Ordering::Relaxed);
        Some(queue)
    }
}

/// `QueueRegionSplit` of one queue: features u64, version u16, desc_num u16, last_batch_head u16, used_idx u16, then entries
/// `DescStateSplit` of inflight u8, padding, next u16 at 6, counter u64 at 8.
#[derive(Debug)]
pub struct QueueInflight {
    mapping: Rc<MmapRegion>,
    offset: usize,
    size: u16,
    next_counter: u64,
}

impl QueueInflight {
    fn at(&self, offset: usize) -> *mut u8 {
        // SAFETY: `queue` checked that this queue's region lies in the mapping, and offsets passed here lie in the region.
        unsafe { self.mapping.as_ptr().add(self.offset + offset) }
    }

    fn u16_at(&self, offset: usize) -> &AtomicU16 {
        // SAFETY: within the mapping (see `at`) and aligned: the mapping is to a page, the region to 64, `offset` is even.
        unsafe { AtomicU16::from_ptr(self.at(offset).cast()) }
    }

    fn entry(&self, head: u16) -> usize {
        debug_assert!(head < self.size);
        (HEADER_BYTES + ENTRY_BYTES * u64::from(head)) as usize
    }

    fn is_inflight(&self, head: u16) -> &AtomicU8 {
        // SAFETY: within the mapping, see `at`; a byte needs no alignment.
        unsafe { AtomicU8::from_ptr(self.at(self.entry(head))) }
    }

    fn next(&self, head: u16) -> &AtomicU16 {
        self.u16_at(self.entry(head) + 6)
    }

    fn counter(&self, head: u16) -> &AtomicU64 {
        // SAFETY: within the mapping, see `at`; entries are 16 bytes from a 64-byte boundary, so 8 bytes in is aligned.
        unsafe { AtomicU64::from_ptr(self.at(self.entry(head) + 8).cast()) }
    }

    fn last_batch_head(&self) -> &AtomicU16 {
        self.u16_at(12)
    }

    fn used_index(&self) -> &AtomicU16 {
        self.u16_at(14)
    }

    /// Record that the request at `head` was taken from the ring. `head` is below the queue's size.
    pub fn take(&mut self, head: u16) {
        self.counter(head).store(self.next_counter, Ordering::Relaxed);
        self.next_counter = self.next_counter.wrapping_add(1);
        self.is_inflight(head).store(1, Ordering::Release);
    }

    /// Before the used index grows past it: put `head` on the list of the current batch.
    pub fn add_to_batch(&self, head: u16) {
        self.next(head).store(self.last_batch_head().load(Ordering::Relaxed), Ordering::Relaxed);
        self.last_batch_head().store(head, Ordering::Release);
    }

    /// After the used index became `used_index`: the whole `batch` is answered.
    pub fn end_batch(&self, batch: &[u16], used_index: u16) {
        fence(Ordering::Release);
        for &head in batch {
            self.is_inflight(head).store(0, Ordering::Relaxed);
        }
        self.used_index().store(used_index, Ordering::Release);
    }

    /// Take over from a daemon that may have died at any point: settle its last batch against the ring's used index, and
    /// return the heads of unanswered requests in the order they were taken.
    pub fn recover(&mut self, used_index: u16) -> Vec<u16> {
        let batch_len = used_index.wrapping_sub(self.used_index().load(Ordering::Acquire));
        // A region that was not this ring's claims nonsense; a batch is never longer than the queue.
        let mut head = self.last_batch_head().load(Ordering::Relaxed);
        for _ in 0..batch_len.min(self.size) {
            if head >= self.size {
                break;
            }
            self.is_inflight(head).store(0, Ordering::Relaxed);
            head = self.next(head).load(Ordering::Relaxed);
        }
        self.used_index().store(used_index, Ordering::Release);
        let mut heads: Vec<u16> =
            (0..self.size).filter(|&head| self.is_inflight(head).load(Ordering::Relaxed) != 0).collect();
        heads.sort_by_key(|&head| self.counter(head).load(Ordering::Relaxed));
        self.next_counter = heads.last().map_or(0, |&head| self.counter(head).load(Ordering::Relaxed).wrapping_add(1));
        heads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> (Inflight, QueueInflight) {
        let (file, bytes) = Inflight::create(2, 8).unwrap();
        let inflight = Inflight::map(file, 0, bytes, 2, 8).unwrap();
        let queue = inflight.queue(1, 8).unwrap();
        (inflight, queue)
    }

    #[test]
    fn unanswered_requests_come_back_in_order() {
        let (inflight, mut queue) = queue();
        for head in [5, 2, 7, 0] {
            queue.take(head);
        }
        queue.add_to_batch(2);
        queue.end_batch(&[2], 1);
        let mut successor = inflight.queue(1, 8).unwrap();
        assert_eq!(successor.recover(1), [5, 7, 0]);
        assert_eq!(inflight.queue(0, 8).unwrap().recover(0), [0u16; 0]);
    }

    #[test]
    fn death_between_publishing_and_clearing_does_not_repeat_the_batch() {
        let (inflight, mut queue) = queue();
        for head in [5, 2, 7, 0] {
            queue.take(head);
        }
        queue.add_to_batch(2);
        queue.add_to_batch(0);
        assert_eq!(inflight.queue(1, 8).unwrap().recover(2), [5, 7]);
    }

    #[test]
    fn death_before_publishing_repeats_the_batch() {
        let (inflight, mut queue) = queue();
        queue.take(3);
        queue.take(1);
        queue.add_to_batch(3);
        assert_eq!(inflight.queue(1, 8).unwrap().recover(0), [3, 1]);
    }

    #[test]
    fn counters_go_on_after_recovery() {
        let (inflight, mut queue) = queue();
        queue.take(6);
        let mut successor = inflight.queue(1, 8).unwrap();
        assert_eq!(successor.recover(0), [6]);
        successor.take(1);
        assert_eq!(inflight.queue(1, 8).unwrap().recover(0), [6, 1]);
    }

    #[test]
    fn nonsense_regions_are_refused_or_harmless() {
        assert!(Inflight::create(0, 8).is_err());
        assert!(Inflight::create(1, MAX_QUEUE_SIZE + 1).is_err());
        let (file, _) = Inflight::create(1, 8).unwrap();
        assert!(Inflight::map(file.try_clone().unwrap(), 0, 64, 1, 8).is_err());
        assert!(Inflight::map(file, 4096, 4096, 1, 8).is_err());
        let (_, mut queue) = queue();
        queue.last_batch_head().store(9000, Ordering::Relaxed);
        assert_eq!(queue.recover(77), [0u16; 0]);
    }
}
