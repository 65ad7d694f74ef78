//! The log-structured engine.
//!
//! A write is copied into the group being gathered ([`group`]), which goes to the log as one sequential disk write, and is
//! answered once that and all groups before it have ended. The map points at the new place from the moment of the copy; a read
//! ([`read`]) finds it in the group's memory, in the local file, or fetches it from the store. A flush is one sync of the one file
//! ([`sync`]). Full segments get an index; from time to time the map is saved ([`checkpoint`]), segments that nothing refers to
//! become free, and the cleaner ([`clean`]) empties those of which little is left. [`recover`] finds all of this again.
//!
//! What is written where, and why a crash at any point leaves a prefix of the log, is told in ARCHITECTURE.md.

mod background;
mod chain;
mod checkpoint;
mod checks;
mod clean;
mod group;
mod read;
mod recover;
mod repair;
mod segments;
mod sync;
#[cfg(test)]
mod tests;
mod write;

pub use background::{Background, CHUNK_BYTES, CachedChunk, CompleteSegment, Event, LocalOnly, SegmentName};
pub(crate) use group::add_to_index;
pub use recover::{OpenError, Setup};
pub use repair::{MAX_REPAIR_BLOCKS, Repair};

use super::check::{Guard, SegmentId};
use super::format::{BLOCK_BYTES, GroupRecord, Index, Owner, Place, SEGMENT_BYTES, SegmentHeader, VolumeUid};
use super::map::Map;
use super::slab::Slab;
use super::{Completion, Engine, FileId, Io, LogMetrics, Operation, Pressure, Request};
use checks::CheckCache;
use group::Group;
use read::Read;
use segments::Segments;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::time::{Duration, Instant};

/// How the engine spends memory, disk and time. The defaults suit a volume of a busy guest.
#[derive(Clone, Debug)]
pub struct Tuning {
    /// Groups that the disk works on at a time: one is written while the next is gathered.
    pub groups_in_flight: usize,
    /// How long what was answered is waited for to be followed by more.
    pub gather: Duration,
    /// Memory for the map before clean leaves are let go.
    pub map_bytes: usize,
    /// The log behind the last checkpoint grows to this before another is made, or further while the map has changed more.
    pub checkpoint_bytes: u64,
    /// Segments are uploaded as they are completed, and stay in the local file until they are.
    pub upload: bool,
    /// Local segments that the store has too are let go beyond this.
    pub keep_local_bytes: u64,
    /// Local log that the store does not have yet: writers are slowed from half of this on, and wait at the whole.
    pub dirty_quota_bytes: u64,
    /// With uploads: a segment that has waited so long is completed although it is not full.
    pub complete_after: Duration,
    /// Cleaning begins when the log takes so many times what is live in it: when idle; while guests work; and while they work and
    /// the file system has much room.
    pub clean_idle: f64,
    pub clean_busy: f64,
    pub clean_roomy: f64,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            groups_in_flight: 2,
            gather: Duration::from_micros(30),
            map_bytes: 256 << 20,
            checkpoint_bytes: 256 << 20,
            upload: false,
            keep_local_bytes: u64::MAX,
            dirty_quota_bytes: 16 << 30,
            complete_after: Duration::from_secs(30),
            clean_idle: 1.15,
            clean_busy: 2.0,
            clean_roomy: 3.0,
        }
    }
}

/// Without requests for so long the volume counts as idle: the cleaner may take its time.
const IDLE_AFTER: Duration = Duration::from_millis(200);

/// An idle volume keeps the room of its free slots for so long: first writes to room that was given anew cost the file system a
/// transaction each.
const QUIET_TICKS: u32 = 2;

/// Kinds of operations in the tags this engine gives out, above an index of 28 bits.
const INDEX_BITS: u32 = 28;
const INDEX_MASK: u64 = (1 << INDEX_BITS) - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Read,
    Group,
    Sync,
    Index,
    Space,
    Zeros,
    Repair,
}

fn tag(kind: Kind, index: usize) -> u64 {
    (kind as u64) << INDEX_BITS | index as u64 & INDEX_MASK
}

/// Where the bytes of a change come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Guest,
    Zeros,
}

/// A request, and what is left of it.
#[derive(Debug)]
struct Job {
    request: Request,
    source: Source,
    /// Changes: everything before this offset is in the log.
    at: u64,
    /// Reads, groups and waits that must end before it does; one more while it is being taken apart.
    parts: u32,
    ok: bool,
    /// The block at `at`, as read before a partial change of it, and where it lay then.
    merge: Option<write::Merge>,
}

/// Who goes on when a leaf of the map has come.
#[derive(Clone, Copy, Debug)]
enum LeafWaiter {
    Read {
        job: usize,
        at: u64,
        len: u64,
        attempt: u8,
    },
    Change {
        job: usize,
    },
    /// The checkpoint or the cleaner, which look again by themselves.
    Anyone,
}

/// A segment that is being filled, or is full but has no index yet.
#[derive(Debug)]
struct OpenSegment {
    header: SegmentHeader,
    slot: u32,
    /// Where its next group goes.
    next: u16,
    index: Index,
    opened_at: Instant,
    stage: sync::Stage,
}

/// See the module's documentation.
#[allow(missing_debug_implementations)]
pub struct LogEngine<B: Background> {
    name: String,
    volume: VolumeUid,
    file: File,
    file_id: FileId,
    direct: bool,
    size_bytes: u64,
    tuning: Tuning,
    background: B,
    owners: Vec<Owner>,
    guards: Vec<Guard>,
    epoch: u32,
    incarnation: u32,

    map: Map,
    segments: Segments,
    jobs: Slab<Job>,

    // Writing.
    open: Option<OpenSegment>,
    completing: VecDeque<OpenSegment>,
    pending: Option<Group>,
    gathering: group::Gathering,
    groups: VecDeque<Group>,
    /// Serial number of the front of `groups`.
    first_group: usize,
    buffers: Vec<super::AlignedBuffer>,
    backlog: VecDeque<usize>,
    next_seq: u32,
    next_slot: u32,
    previous_end: u16,
    /// All segments before this one survive a power loss, with their indexes.
    synced_through: u32,
    /// All before this place survives a power loss.
    synced_before: Place,
    /// This run of the machine; 0 if not known.
    boot: u64,
    /// The last group that was closed: the next one's header repeats what it holds.
    last_group: Option<GroupRecord>,
    /// The room of slots below this one has been asked for.
    allocated_slots: u32,
    /// The slot after the open one has blocks that were never written: a sync would have to commit each first write to them to the
    /// file system's journal.
    next_is_fresh: bool,
    /// Guests' flushes since the open segment was begun.
    flushes: u32,
    /// Writes of zeros to the next slot that have not ended.
    zeroing: u32,
    zeros: Option<(super::AlignedBuffer, Box<libc::iovec>)>,

    // Reading.
    reads: Slab<Read>,
    check_cache: CheckCache,
    leaf_waiters: HashMap<u32, Vec<LeafWaiter>>,
    chunk_waiters: HashMap<(u32, u32), Vec<usize>>,
    /// For verifying and for zeros.
    scratch: Box<[u8]>,

    sync: sync::Syncing,
    checkpoint: checkpoint::Saving,
    cleaner: clean::Cleaner,
    repairing: Option<repair::Repairing>,

    in_kernel: usize,
    /// Groups wait for room on the disk; which parts of them, by the group's serial number.
    held: bool,
    starved: Vec<(usize, usize)>,
    holding: bool,
    closing: bool,
    poisoned: Option<String>,
    last_request: Instant,
    /// Ticks since then. A process that was stopped did not idle.
    quiet_ticks: u32,
    /// Room in the file system that may be taken to put cleaning off.
    room_blocks: u64,
    uploads: Uploads,
    /// Snapshots under way: while there are any, no segment is freed, here or in the store.
    pins: Vec<u64>,
    metrics: LogMetrics,
}

/// What the store does not have yet.
#[derive(Debug, Default)]
struct Uploads {
    /// Complete segments handed over, with the time of their first write.
    waiting: VecDeque<(u32, Instant)>,
    drain_rate: u64,
}

impl<B: Background> LogEngine<B> {
    fn file_id(&self) -> FileId {
        self.file_id
    }

    fn writer(&self, seq: u32) -> SegmentId {
        SegmentId { epoch: self.epoch, incarnation: self.incarnation, seq }
    }

    pub fn background_mut(&mut self) -> &mut B {
        &mut self.background
    }

    fn is_sealed(&self) -> bool {
        self.guards[0].is_sealed()
    }

    fn is_idle(&self) -> bool {
        self.jobs.is_empty() && self.last_request.elapsed() >= IDLE_AFTER
    }

    /// Where a place lies in the local file.
    fn offset_in_slot(slot: u32, block: u16) -> u64 {
        u64::from(slot) * SEGMENT_BYTES + u64::from(block) * BLOCK_BYTES as u64
    }

    /// Changes are put off for the sake of a snapshot.
    fn holds_changes(&self) -> bool {
        self.holding || self.checkpoint.holds_changes() || self.is_full()
    }

    fn poison(&mut self, reason: String) {
        if self.poisoned.is_none() {
            tracing::error!(volume = self.name, reason, "volume refuses writes from now on");
            self.poisoned = Some(reason);
        }
    }

    /// One part of the job has ended.
    fn part_done(&mut self, job: usize, ok: bool, io: &mut Io<'_>) {
        let entry = self.jobs.get_mut(job);
        entry.ok &= ok;
        entry.parts -= 1;
        if entry.parts > 0 {
            return;
        }
        let changes = matches!(entry.request.operation, Operation::Write | Operation::Zero { .. });
        if changes && entry.ok && entry.request.durable {
            self.sync_for(sync::Waiter::Job(job), io);
        } else {
            self.answer(job, io);
        }
    }

    fn answer(&mut self, job: usize, io: &mut Io<'_>) {
        let job = self.jobs.remove(job);
        io.done.push(Completion { token: job.request.token, ok: job.ok });
    }

    /// Let everything that can go on do so.
    fn pump(&mut self, io: &mut Io<'_>) {
        if self.poisoned.is_some() {
            // Whatever the reason: of what is not answered nobody would hear any more.
            self.fail_changes(io);
        }
        self.resume_backlog(io);
        if !self.closing && self.poisoned.is_none() {
            self.step_checkpoint(io);
            self.step_cleaner(io);
        }
        self.send_groups(io);
        self.complete_segments(io);
    }

    /// Bytes written and not yet in the store; 0 where nothing is uploaded.
    fn dirty_bytes(&self) -> u64 {
        if !self.tuning.upload {
            return 0;
        }
        let waiting = self.uploads.waiting.len() as u64 + self.completing.len() as u64;
        let growing = self.open.as_ref().map_or(0, |s| u64::from(s.next) * BLOCK_BYTES as u64);
        waiting * SEGMENT_BYTES + growing
    }

    /// The store does not keep up and the log may not grow any more.
    fn is_full(&self) -> bool {
        self.tuning.upload && self.dirty_bytes() >= self.quota_bytes()
    }

    fn quota_bytes(&self) -> u64 {
        self.tuning.dirty_quota_bytes.max(MIN_QUOTA_BYTES)
    }

    fn handle(&mut self, event: Event, io: &mut Io<'_>) {
        match event {
            Event::CheckpointSaved => self.checkpoint_saved(io),
            Event::Fetched { name, chunk, result } => self.fetched(name, chunk, result, io),
            Event::Uploaded { seq } => {
                if let Some(segment) = self.segments.get_mut(seq) {
                    segment.uploaded = true;
                }
                self.uploads.waiting.retain(|(waiting, _)| *waiting != seq);
                self.let_local_go();
            }
            Event::Repair(repair) => self.repair(repair, io),
            Event::Cut { token } => self.begin_cut(token, io),
            Event::CutEnded { token } => self.pins.retain(|pinned| *pinned != token),
            Event::Hold { token } => {
                self.holding = true;
                self.background.holding(token);
            }
            Event::Release => self.holding = false,
            Event::Grow { size_bytes } => {
                self.size_bytes = self.size_bytes.max(size_bytes);
                self.map.grow(self.size_bytes.div_ceil(BLOCK_BYTES as u64));
            }
            Event::KeepLocal { bytes } => {
                self.tuning.keep_local_bytes = bytes;
                self.let_local_go();
            }
            Event::Fenced(reason) => self.poison(reason),
            Event::DrainRate { bytes_per_second } => self.uploads.drain_rate = bytes_per_second,
        }
    }

    /// Let local segments go that the store has, oldest first, beyond what is to be kept.
    fn let_local_go(&mut self) {
        let keep = u32::try_from(self.tuning.keep_local_bytes / SEGMENT_BYTES).unwrap_or(u32::MAX);
        if self.segments.local_count() <= keep {
            return;
        }
        // The segment that recovery begins with is read from the local file.
        let tail = self.checkpoint.tail.place.seq;
        let mut candidates: Vec<u32> = self
            .segments
            .iter()
            .filter(|s| s.slot.is_some() && s.uploaded && s.complete && s.id.seq < tail)
            .filter(|s| !self.is_under_repair(s.id.seq))
            .map(|s| s.id.seq)
            .collect();
        candidates.sort_unstable();
        let excess = (self.segments.local_count() - keep) as usize;
        for seq in candidates.into_iter().take(excess) {
            if let Some(slot) = self.segments.forget_slot(seq) {
                self.segments.free_slot(slot);
            }
        }
    }
}

impl<B: Background> Engine for LogEngine<B> {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn submit(&mut self, request: Request, io: &mut Io<'_>) {
        self.last_request = Instant::now();
        self.quiet_ticks = 0;
        let (operation, at, len) = (request.operation, request.offset, request.len);
        let source = if matches!(operation, Operation::Zero { .. }) { Source::Zeros } else { Source::Guest };
        let refused = self.poisoned.is_some() && operation != Operation::Read;
        let job = self.jobs.insert(Job { request, source, at, parts: 1, ok: !refused, merge: None });
        match operation {
            _ if refused => self.answer(job, io),
            Operation::Read => {
                self.sync.saw_read();
                self.plan_read(job, at, len, 0, io);
                self.part_done(job, true, io);
            }
            Operation::Write | Operation::Zero { .. } => {
                self.sync.saw(false);
                self.submit_change(job, io);
            }
            Operation::Flush => {
                self.sync.saw(true);
                self.flushes += 1;
                self.sync_for(sync::Waiter::Job(job), io);
            }
        }
    }

    fn commit(&mut self, io: &mut Io<'_>) {
        self.pump(io);
    }

    fn is_gathering(&self) -> bool {
        Self::is_gathering(self)
    }

    fn complete(&mut self, tag: u64, result: i32, io: &mut Io<'_>) {
        self.in_kernel -= 1;
        let index = (tag & INDEX_MASK) as usize;
        match tag >> INDEX_BITS {
            t if t == Kind::Read as u64 => self.read_ended(index, result, io),
            t if t == Kind::Group as u64 => self.group_ended(index, result, io),
            t if t == Kind::Sync as u64 => self.sync_ended(result, io),
            t if t == Kind::Index as u64 => self.index_ended(index, result),
            t if t == Kind::Repair as u64 => self.repair_ended(result, io),
            t if t == Kind::Zeros as u64 => self.zeroing -= 1,
            // Room asked for in advance: a write that does not get it will say so.
            _ => {}
        }
        self.pump(io);
    }

    fn bell(&self) -> Option<FileId> {
        self.background.bell()
    }

    fn attend(&mut self, io: &mut Io<'_>) {
        while let Some(event) = self.background.poll() {
            self.handle(event, io);
        }
        self.pump(io);
    }

    fn tick(&mut self, io: &mut Io<'_>) {
        self.quiet_ticks = self.quiet_ticks.saturating_add(1);
        self.cleaner.look = true;
        self.look_for_room();
        self.consider_checkpoint();
        if self.tuning.upload {
            let due = |s: &OpenSegment| s.opened_at.elapsed() >= self.tuning.complete_after;
            if self.open.as_ref().is_some_and(due) {
                self.finish_segment();
            }
        }
        let saving = &self.checkpoint;
        self.map.evict(self.tuning.map_bytes, |index| saving.is_saving(index));
        if self.is_idle() {
            if self.quiet_ticks >= QUIET_TICKS {
                self.give_room_back(io);
            }
            self.buffers.clear();
            if self.zeroing == 0 {
                self.zeros = None;
            }
        }
        self.pump(io);
    }

    fn has_held(&self) -> bool {
        self.held
    }

    fn retry_held(&mut self, io: &mut Io<'_>) {
        self.held = false;
        self.write_starved(io);
        self.pump(io);
    }

    fn fail_held(&mut self, io: &mut Io<'_>) {
        self.fail_waiting_reads(io);
        if self.held || self.holds_changes() {
            // A volume whose store is full waits, but its owner does not.
            self.fail_changes(io);
        }
    }

    fn in_flight(&self) -> usize {
        self.jobs.len()
    }

    fn wants_tick(&self) -> bool {
        let unfinished = self.tuning.upload && (self.open.is_some() || !self.completing.is_empty());
        let unsaved = self.map.dirty_leaves() > 0 || self.is_saving();
        self.poisoned.is_none()
            && (unfinished
                || unsaved
                || self.has_room_to_give()
                || !self.buffers.is_empty()
                || self.zeros.is_some()
                || self.cleaner.is_due())
    }

    fn pressure(&self) -> Pressure {
        let (dirty, quota) = (self.dirty_bytes(), self.quota_bytes());
        if !self.tuning.upload || dirty < quota / 2 {
            return Pressure::None;
        }
        // From half on ever slower, towards what the store takes.
        let left = quota.saturating_sub(dirty) as f64 / (quota / 2) as f64;
        let floor = self.uploads.drain_rate.max(MIN_ADMITTED_BYTES_PER_SECOND) as f64;
        Pressure::BytesPerSecond((floor / (1.0 - left * left).max(0.05)) as u64)
    }

    fn metrics(&self) -> LogMetrics {
        let unfinished = self.completing.front().or(self.open.as_ref()).map(|s| s.opened_at);
        let oldest = self.uploads.waiting.front().map(|(_, at)| *at).or(unfinished);
        LogMetrics {
            dirty_bytes: self.dirty_bytes(),
            local_bytes: self.segments.local_blocks() * BLOCK_BYTES as u64,
            live_bytes: self.segments.live_blocks() * BLOCK_BYTES as u64,
            map_bytes: (self.map.bytes() + self.check_cache.bytes()) as u64,
            oldest_dirty: oldest.filter(|_| self.tuning.upload),
            waiting: self.held || self.is_full(),
            ..self.metrics
        }
    }

    fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    fn wind_down(&mut self, io: &mut Io<'_>) -> bool {
        self.closing = true;
        self.pump(io);
        self.in_kernel == 0 && self.pending.is_none()
    }

    fn close(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// However slow the store is, a guest that is slowed still gets this much while the log has room.
const MIN_ADMITTED_BYTES_PER_SECOND: u64 = 4 << 20;
/// A smaller quota could not hold the segments that are open or being completed.
const MIN_QUOTA_BYTES: u64 = 8 * SEGMENT_BYTES;
