//! What is around a simulated volume: a disk that records what was written and when it was synced, and helpers whose answers take their
//! time.

use super::super::{Background, CachedChunk, CompleteSegment, Event, SegmentName};
use crate::engine::{Disk, FileId};
use rustix::fs::{MemfdFlags, memfd_create};
use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::rc::Rc;

pub(super) const SECTOR: usize = 512;

/// Small and repeatable.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub(super) fn memfd() -> File {
    File::from(memfd_create("world", MemfdFlags::CLOEXEC).unwrap())
}

pub(super) enum Op {
    Read {
        iovecs: *const libc::iovec,
        count: u32,
        offset: u64,
    },
    Write {
        iovecs: *const libc::iovec,
        count: u32,
        offset: u64,
    },
    /// Covers the writes that had completed when it was asked for.
    Sync {
        covers: usize,
    },
    Space,
}

pub(super) struct Pending {
    pub(super) tag: u64,
    pub(super) file: FileId,
    pub(super) op: Op,
}

/// The disk under the log.
#[derive(Default)]
pub struct SimDisk {
    pub(super) pending: Vec<Pending>,
    /// Writes that completed and no sync has covered, in order; and how many were covered before.
    pub(super) unsynced: VecDeque<(u64, Vec<u8>)>,
    pub(super) covered: usize,
    /// Syncs that the engine's thread was to make itself.
    pub syncs_here: u32,
    pub faults: Faults,
}

/// Errors to answer with.
#[derive(Default)]
pub struct Faults {
    pub no_space: bool,
    pub sync_error: bool,
}

impl Disk for SimDisk {
    fn start(&mut self) {}

    unsafe fn readv(&mut self, file: FileId, iovecs: *const libc::iovec, count: u32, offset: u64, tag: u64) {
        self.pending.push(Pending { tag, file, op: Op::Read { iovecs, count, offset } });
    }

    unsafe fn writev(&mut self, file: FileId, iovecs: *const libc::iovec, count: u32, offset: u64, tag: u64) {
        self.pending.push(Pending { tag, file, op: Op::Write { iovecs, count, offset } });
    }

    fn sync(&mut self, file: FileId, here: bool, tag: u64) {
        self.syncs_here += u32::from(here);
        let covers = self.covered + self.unsynced.len();
        self.pending.push(Pending { tag, file, op: Op::Sync { covers } });
    }

    fn allocate(&mut self, file: FileId, _: u64, _: u64, tag: u64) {
        self.pending.push(Pending { tag, file, op: Op::Space });
    }

    fn punch(&mut self, file: FileId, _: u64, _: u64, tag: u64) {
        self.pending.push(Pending { tag, file, op: Op::Space });
    }
}

pub(super) fn gather(iovecs: *const libc::iovec, count: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    // SAFETY: the engine keeps iovecs and memory valid until the operation's completion, which it has not been told of.
    for iovec in unsafe { std::slice::from_raw_parts(iovecs, count as usize) } {
        // SAFETY: as above.
        bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(iovec.iov_base.cast(), iovec.iov_len) });
    }
    bytes
}

/// What the helpers know; outlives the engine as the store and the files do.
#[derive(Default)]
pub struct Elsewhere {
    pub(super) events: VecDeque<Event>,
    /// Handed over, not yet durable.
    pub saving: Option<Vec<u8>>,
    pub store: HashMap<SegmentName, Vec<u8>>,
    /// Complete segments not uploaded yet.
    pub to_upload: VecDeque<CompleteSegment>,
    pub(super) to_fetch: Vec<(SegmentName, u32)>,
    pub(super) cache: HashMap<(SegmentName, u32), u64>,
    pub store_down: bool,
    /// Snapshots made, with their checkpoints.
    pub cuts: Vec<(u64, Vec<u8>)>,
}

pub struct SimBackground {
    pub(super) shared: Rc<RefCell<Elsewhere>>,
    pub(super) cache_file: Rc<File>,
    pub(super) volume: [u8; 16],
}

impl Background for SimBackground {
    fn poll(&mut self) -> Option<Event> {
        self.shared.borrow_mut().events.pop_front()
    }

    fn save_checkpoint(&mut self, bytes: Vec<u8>, cuts: &[u64]) {
        let mut shared = self.shared.borrow_mut();
        assert!(shared.saving.is_none(), "one checkpoint at a time");
        shared.cuts.extend(cuts.iter().map(|cut| (*cut, bytes.clone())));
        shared.saving = Some(bytes);
    }

    fn cached(&mut self, name: SegmentName, chunk: u32) -> Option<CachedChunk> {
        let offset = *self.shared.borrow().cache.get(&(name, chunk))?;
        Some(CachedChunk { file: FileId::of(&*self.cache_file), offset, pin: Box::new(()) })
    }

    fn fetch(&mut self, name: SegmentName, _: u16, chunk: u32) {
        self.shared.borrow_mut().to_fetch.push((name, chunk));
    }

    fn distrust(&mut self, name: SegmentName, chunk: u32) {
        self.shared.borrow_mut().cache.remove(&(name, chunk));
    }

    fn complete(&mut self, segment: CompleteSegment) {
        let mut shared = self.shared.borrow_mut();
        let name = SegmentName { owner: self.volume, id: segment.id };
        if !segment.uploaded && !shared.to_upload.contains(&segment) && !shared.store.contains_key(&name) {
            shared.to_upload.push_back(segment);
        } else if shared.store.contains_key(&name) {
            shared.events.push_back(Event::Uploaded { seq: segment.id.seq });
        }
    }

    fn holding(&mut self, _: u64) {}

    fn dropped(&mut self, _: SegmentName) {}
}
