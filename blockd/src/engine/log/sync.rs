//! Syncs of the log, and the indexes of full segments.
//!
//! An index says what lies in a segment, not that it survives a power loss: which segments do is said in the headers of later ones.

use super::{Background, CompleteSegment, Kind, LogEngine, tag};
use crate::engine::format::{
    BLOCK_BYTES, CHECKS_AT, CheckPage, INDEX_AT, INDEX_BLOCKS, Place, SEGMENT_BLOCKS, checks_per_page,
};
use crate::engine::{AlignedBuffer, Io};
use std::time::{Duration, Instant};

/// Segments between syncs that no guest asks for: 1 GiB. A sync makes the disk give up what it gains by writing late.
const SYNC_EVERY: u32 = 64;
/// Lone writes in a row, each followed by a flush, after which the next one's flush is not waited for.
const SURE: u32 = 8;
/// The engine's own thread makes a sync that nothing else of the volume is likely to wait behind: it need not be handed to a thread of
/// the kernel's and back, which takes a good part of what the sync does. Not where the last one took longer than this.
const MAX_SYNC_HERE: Duration = Duration::from_millis(1);

/// Who wants a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    Job(usize),
    Checkpoint,
    /// Nobody: so that recovery need not read too much, or because a flush is likely to come.
    Routine,
}

/// One sync at a time; it serves all who asked before it began.
#[derive(Debug)]
pub(super) struct Syncing {
    running: Option<Vec<Waiter>>,
    next: Vec<Waiter>,
    /// Something was written since the last sync began.
    pub unsynced: bool,
    /// Segments before this one were complete when the running sync began, and all before this place was written.
    covers: (u32, Place),
    /// A lone write was answered, and nothing has come since.
    lone: bool,
    /// Lone writes in a row that a flush came behind.
    followed: u32,
    /// The same, with no read in between.
    alone: u32,
    /// When the running one, or the last, was begun, and what the last one took.
    began: Instant,
    took: Duration,
}

impl Syncing {
    /// A write or a flush has come.
    pub fn saw(&mut self, flush: bool) {
        match (flush, self.lone) {
            (true, true) => {
                self.followed = self.followed.saturating_add(1);
                self.alone = self.alone.saturating_add(1);
            }
            // A flush of several writes, or a write behind a write.
            (true, false) | (false, true) => (self.followed, self.alone) = (0, 0),
            (false, false) => {}
        }
        self.lone = false;
    }

    pub fn saw_read(&mut self) {
        self.alone = 0;
    }
}

impl Default for Syncing {
    fn default() -> Self {
        // A predecessor may have died with answered writes that it had not synced.
        Self {
            running: None,
            next: Vec::new(),
            unsynced: true,
            covers: (0, Place { seq: 0, block: 0 }),
            lone: false,
            followed: 0,
            alone: 0,
            began: Instant::now(),
            took: Duration::MAX,
        }
    }
}

/// How far a full segment is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Groups of it are being gathered or written, or its index must be written again.
    Writing,
    WritingIndex {
        buffer: AlignedBuffer,
        _iovec: Box<libc::iovec>,
    },
    Complete,
}

impl<B: Background> LogEngine<B> {
    pub(super) fn sync_for(&mut self, waiter: Waiter, io: &mut Io<'_>) {
        match &mut self.sync.running {
            // Nothing was written since it began.
            Some(waiters) if !self.sync.unsynced => waiters.push(waiter),
            _ => {
                self.sync.next.push(waiter);
                self.begin_sync(io);
            }
        }
    }

    /// A lone write has been answered. A guest that always flushes then, and only then goes on, gets its flush begun before it asks.
    pub(super) fn lone_write_answered(&mut self, io: &mut Io<'_>) {
        self.sync.lone = true;
        if self.sync.followed >= SURE && self.poisoned.is_none() {
            self.sync_for(Waiter::Routine, io);
        }
    }

    fn begin_sync(&mut self, io: &mut Io<'_>) {
        if self.sync.running.is_some() || self.sync.next.is_empty() {
            return;
        }
        let waiters = std::mem::take(&mut self.sync.next);
        if !self.sync.unsynced || self.poisoned.is_some() {
            return self.tell_synced(waiters, io);
        }
        self.sync.unsynced = false;
        let complete = self.completing.front().or(self.open.as_ref()).map_or(self.next_seq, |s| s.index.segment.seq);
        self.sync.covers = (complete, self.written_before());
        self.sync.running = Some(waiters);
        self.in_kernel += 1;
        self.sync.began = Instant::now();
        let here = self.sync.alone >= SURE && self.jobs.len() <= 1 && self.sync.took <= MAX_SYNC_HERE;
        io.disk.sync(self.file_id(), here, tag(Kind::Sync, 0));
    }

    pub(super) fn sync_ended(&mut self, result: i32, io: &mut Io<'_>) {
        let waiters = self.sync.running.take().unwrap_or_default();
        self.sync.took = self.sync.began.elapsed();
        if result == -libc::EINTR {
            self.sync.unsynced = true;
            self.sync.next.extend(waiters);
            return self.begin_sync(io);
        }
        if result < 0 {
            // The kernel may have dropped what it could not write, and would report success the next time.
            self.poison(format!("flush failed: {}", std::io::Error::from_raw_os_error(-result)));
        }
        if self.poisoned.is_none() {
            let (complete, place) = self.sync.covers;
            self.synced_through = self.synced_through.max(complete);
            self.synced_before = self.synced_before.max(place);
        }
        self.tell_synced(waiters, io);
        self.begin_sync(io);
    }

    fn tell_synced(&mut self, waiters: Vec<Waiter>, io: &mut Io<'_>) {
        let ok = self.poisoned.is_none();
        for waiter in waiters {
            match waiter {
                Waiter::Job(job) => {
                    self.jobs.get_mut(job).ok &= ok;
                    self.answer(job, io);
                }
                Waiter::Checkpoint if ok => self.checkpoint_synced(),
                _ => {}
            }
        }
    }

    /// Move full segments on towards completion.
    pub(super) fn complete_segments(&mut self, io: &mut Io<'_>) {
        if self.completing.is_empty() || self.poisoned.is_some() {
            return;
        }
        for i in 0..self.completing.len() {
            let segment = &self.completing[i];
            if matches!(segment.stage, Stage::Writing) && !self.held && !self.has_groups_of(segment.index.segment.seq) {
                self.write_index(i, io);
            }
        }
        while self.completing.front().is_some_and(|segment| matches!(segment.stage, Stage::Complete)) {
            let Some(segment) = self.completing.pop_front() else { return };
            let id = segment.index.segment;
            if let Some(entry) = self.segments.get_mut(id.seq) {
                entry.complete = true;
            }
            if self.tuning.upload {
                self.uploads.waiting.push_back((id.seq, segment.opened_at));
            }
            self.background.complete(CompleteSegment {
                id,
                slot: segment.slot,
                end: segment.index.end,
                uploaded: false,
            });
            self.cleaner.look = true;
            self.consider_checkpoint();
            let unsynced = id.seq.saturating_sub(self.synced_through);
            if unsynced >= SYNC_EVERY && unsynced % SYNC_EVERY == 0 {
                self.sync_for(Waiter::Routine, io);
            }
        }
    }

    fn write_index(&mut self, i: usize, io: &mut Io<'_>) {
        let file = self.file_id();
        let segment = &mut self.completing[i];
        let mut buffer = AlignedBuffer::new(usize::from(INDEX_BLOCKS) * BLOCK_BYTES);
        segment.index.encode(buffer.as_mut_slice());
        let bytes = buffer.as_mut_slice();
        let iovec = Box::new(libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() });
        let address = &raw const *iovec;
        segment.stage = Stage::WritingIndex { buffer, _iovec: iovec };
        let offset = Self::offset_in_slot(segment.slot, INDEX_AT);
        let tag = tag(Kind::Index, segment.index.segment.seq as usize);
        self.in_kernel += 1;
        // SAFETY: buffer and iovec stay in the segment's stage, unchanged, until `index_ended` has seen the end of this write.
        unsafe { io.disk.writev(file, address, 1, offset, tag) }
    }

    pub(super) fn index_ended(&mut self, seq: usize, result: i32) {
        let matches = |s: &&mut super::OpenSegment| s.index.segment.seq as usize & super::INDEX_MASK as usize == seq;
        let Some(segment) = self.completing.iter_mut().find(matches) else { return };
        let stage = std::mem::replace(&mut segment.stage, Stage::Writing);
        let Stage::WritingIndex { buffer, .. } = stage else { return };
        let whole = usize::from(INDEX_BLOCKS) * BLOCK_BYTES;
        match result {
            n if n as usize == whole && n > 0 => {
                segment.stage = Stage::Complete;
                self.sync.unsynced = true;
                // Its checks are likely to be wanted soon.
                let (seq, sealed) = (segment.index.segment.seq, segment.index.sealed);
                for number in 0..SEGMENT_BLOCKS.div_ceil(checks_per_page(sealed)) {
                    let start = usize::from(CHECKS_AT - INDEX_AT + number) * BLOCK_BYTES;
                    let page = &buffer.as_slice()[start..start + BLOCK_BYTES];
                    if let Some(page) = CheckPage::decode(page, seq, number, sealed) {
                        self.check_cache.insert((seq, number), page);
                    }
                }
            }
            // Written again from the start.
            n if n > 0 || n == -libc::EINTR => {}
            n if matches!(-n, libc::ENOSPC | libc::EDQUOT | libc::ENOMEM | libc::EAGAIN) => self.held = true,
            n => self.poison(format!("cannot write a segment's index: {}", std::io::Error::from_raw_os_error(-n))),
        }
    }
}
