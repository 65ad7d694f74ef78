//! Changes: taken apart into whole blocks, merged where a request covers part of one, appended to the log.

use super::group::{Group, Waiter};
use super::read::{Buffered, Ids, Purpose};
use super::{Background, LeafWaiter, LogEngine, Source};
use crate::engine::format::{BLOCK_BYTES, Extent, ExtentKind, Place};
use crate::engine::map::Lookup;
use crate::engine::{AlignedBuffer, Io};

const BLOCK: u64 = BLOCK_BYTES as u64;
/// Copied before the disk may begin with it.
const MAX_COPY_BLOCKS: usize = 64;

/// A block as it was before a partial change.
#[derive(Debug)]
pub(super) struct Merge {
    /// Where it lay when it was read; when it lies elsewhere by now it must be read again.
    pub place: Option<Place>,
    pub block: AlignedBuffer,
}

/// How far a job came.
enum Progress {
    /// All of it is in the log.
    Done,
    /// It waits for a leaf or a read, which take it up again.
    Waiting,
    /// The log takes no more for now.
    Full,
}

impl<B: Background> LogEngine<B> {
    pub(super) fn submit_change(&mut self, job: usize, io: &mut Io<'_>) {
        if self.holds_changes() || !self.backlog.is_empty() {
            return self.backlog.push_back(job);
        }
        self.advance(job, io);
    }

    /// Append as much of the job as can be.
    pub(super) fn advance(&mut self, job: usize, io: &mut Io<'_>) {
        match self.append_job(job, io) {
            Progress::Done => self.part_done(job, true, io),
            Progress::Waiting => {}
            Progress::Full => self.backlog.push_back(job),
        }
    }

    pub(super) fn resume_backlog(&mut self, io: &mut Io<'_>) {
        while !self.holds_changes()
            && let Some(&job) = self.backlog.front()
        {
            match self.append_job(job, io) {
                Progress::Full => return,
                Progress::Done => {
                    self.backlog.pop_front();
                    self.part_done(job, true, io);
                }
                Progress::Waiting => drop(self.backlog.pop_front()),
            }
        }
    }

    fn append_job(&mut self, job: usize, io: &mut Io<'_>) -> Progress {
        loop {
            if self.poisoned.is_some() {
                self.jobs.get_mut(job).ok = false;
                return Progress::Done;
            }
            let entry = self.jobs.get(job);
            let (at, end) = (entry.at, entry.request.offset + entry.request.len);
            if at >= end {
                return Progress::Done;
            }
            let (lba, whole) = ((at / BLOCK) as u32, ((end - at) / BLOCK) as u32);
            if let Some(leaf) = self.map.first_absent(lba, if at.is_multiple_of(BLOCK) { whole } else { 1 }) {
                self.want_leaf(leaf, LeafWaiter::Change { job }, io);
                return Progress::Waiting;
            }
            let appended = match (at.is_multiple_of(BLOCK) && whole > 0, self.jobs.get(job).source) {
                (false, _) => match self.merge(job, lba, io) {
                    Some(appended) => appended,
                    None => return Progress::Waiting,
                },
                (true, Source::Guest) => self.append_from_guest(job, lba, whole),
                (true, Source::Zeros) => self.append_zeros(job, lba, whole),
            };
            if appended == 0 {
                return Progress::Full;
            }
            self.jobs.get_mut(job).at += appended;
            self.send_early(io);
        }
    }

    /// Copy up to `blocks` whole blocks into the log; returns the bytes.
    fn append_from_guest(&mut self, job: usize, lba: u32, blocks: u32) -> u64 {
        let room = self.room(1).min(blocks as usize).min(MAX_COPY_BLOCKS);
        let (Some(group), true) = (&mut self.pending, room > 0) else { return 0 };
        let entry = self.jobs.get_mut(job);
        let into = group.extend(ExtentKind::Data, lba, room);
        entry.request.data.read_at(entry.at - entry.request.offset, group.payload_mut(into.clone()));
        if group.wait(Waiter::Job(job)) {
            entry.parts += 1;
        }
        let place = group.place_of(into.start);
        self.protect_pending(into);
        self.place_data(lba, room as u32, place);
        room as u64 * BLOCK
    }

    /// One block of bytes that are at hand. Returns whether the group did not wait for `job` before; None if there is no room.
    fn append_block(&mut self, lba: u32, bytes: &[u8], job: Option<usize>) -> Option<bool> {
        if self.room(1) == 0 {
            return None;
        }
        let group = self.pending.as_mut()?;
        let into = group.extend(ExtentKind::Data, lba, 1);
        group.payload_mut(into.clone()).copy_from_slice(bytes);
        let newly = job.is_some_and(|job| group.wait(Waiter::Job(job)));
        let place = group.place_of(into.start);
        self.protect_pending(into);
        self.place_data(lba, 1, place);
        Some(newly)
    }

    /// Append a block again that lies at `from`, unless it has been overwritten meanwhile; false if there is no room.
    pub(super) fn move_block(&mut self, lba: u32, from: Place, bytes: &[u8]) -> bool {
        if self.map.place(lba) != Some(from) {
            return true;
        }
        let moved = self.append_block(lba, bytes, None).is_some();
        self.metrics.moved_blocks += u64::from(moved);
        moved
    }

    fn append_zeros(&mut self, job: usize, lba: u32, blocks: u32) -> u64 {
        // What holds nothing needs no record to read zeros.
        let mut rest = blocks;
        while rest > 0 {
            match self.map.lookup(lba + (blocks - rest), rest) {
                Lookup::Hole(len) => rest -= len,
                _ => break,
            }
        }
        if rest == 0 {
            return u64::from(blocks) * BLOCK;
        }
        if !self.room_for_zeros() {
            return 0;
        }
        let Some(group) = &mut self.pending else { return 0 };
        group.add_record(Extent { kind: ExtentKind::Zero, start: lba, blocks });
        if group.wait(Waiter::Job(job)) {
            self.jobs.get_mut(job).parts += 1;
        }
        let segments = &mut self.segments;
        self.map.insert(lba, blocks, None, |seq, blocks| segments.sub_live(seq, blocks));
        u64::from(blocks) * BLOCK
    }

    /// From now on `blocks` from `lba` lie at `place`.
    pub(super) fn place_data(&mut self, lba: u32, blocks: u32, place: Place) {
        let segments = &mut self.segments;
        self.map.insert(lba, blocks, Some(place), |seq, blocks| segments.sub_live(seq, blocks));
        segments.add_live(place.seq, blocks);
    }

    /// Change part of the block at `lba`: the rest is read first. Returns the bytes covered, 0 for want of room, None while a read
    /// is under way.
    fn merge(&mut self, job: usize, lba: u32, io: &mut Io<'_>) -> Option<u64> {
        let place = self.map.place(lba);
        let mut block = match self.jobs.get_mut(job).merge.take() {
            // It may have been overwritten while it was read.
            Some(merge) if merge.place == place => merge.block,
            _ => {
                let mut block = AlignedBuffer::new(BLOCK_BYTES);
                if let Some(place) = place {
                    match self.buffered(place) {
                        Some(Buffered { group, first }) => {
                            let bytes = group.payload(first..first + 1);
                            block.as_mut_slice().copy_from_slice(bytes);
                        }
                        None => {
                            self.start_read(place, 1, Ids::Data(lba), Purpose::Merge { job, place }, 0, io);
                            return None;
                        }
                    }
                }
                block
            }
        };
        let entry = self.jobs.get(job);
        let start = (entry.at % BLOCK) as usize;
        let end = (entry.request.offset + entry.request.len).min((u64::from(lba) + 1) * BLOCK);
        let len = (end - entry.at) as usize;
        let part = &mut block.as_mut_slice()[start..start + len];
        match entry.source {
            Source::Guest => drop(entry.request.data.read_at(entry.at - entry.request.offset, part)),
            Source::Zeros => part.fill(0),
        }
        match self.append_block(lba, block.as_slice(), Some(job)) {
            Some(newly) => {
                self.jobs.get_mut(job).parts += u32::from(newly);
                Some(len as u64)
            }
            None => {
                // What is kept has the change in it already, which does not alter it when it is made again.
                self.jobs.get_mut(job).merge = Some(Merge { place, block });
                Some(0)
            }
        }
    }

    /// The block that a partial change needs has been read, or cannot be.
    pub(super) fn merged(&mut self, job: usize, place: Place, block: Option<AlignedBuffer>, io: &mut Io<'_>) {
        match block {
            Some(block) => {
                self.jobs.get_mut(job).merge = Some(Merge { place: Some(place), block });
                self.advance(job, io);
            }
            None => self.part_done(job, false, io),
        }
    }

    /// Fail all changes that are not answered; their blocks may or may not be in the log.
    pub(super) fn fail_changes(&mut self, io: &mut Io<'_>) {
        for job in std::mem::take(&mut self.backlog) {
            self.part_done(job, false, io);
        }
        let groups = self.groups.iter_mut().chain(&mut self.pending);
        let waiting: Vec<usize> = groups.flat_map(Group::take_jobs).collect();
        for job in waiting {
            self.part_done(job, false, io);
        }
    }
}
