//! Groups: what is written to the log in one go.

use super::{Background, Kind, LogEngine, OpenSegment, sync, tag};
use crate::engine::check::{Check, Identity};
use crate::engine::format::{
    BLOCK_BYTES, Contents, EXTENT_BYTES, Entry, EntryKind, Extent, ExtentKind, FRONT_BLOCKS, GroupHeader, GroupRecord,
    Index, MAX_EXTENT_BYTES_OF_HEADER, MAX_GROUP_BLOCKS, MAX_ZEROS, Place, SEGMENT_BLOCKS, SEGMENT_BYTES,
    SegmentHeader, Witness, ZeroRecord,
};
use crate::engine::{AlignedBuffer, Io};
use std::ops::Range;
use std::time::Instant;

/// Groups gathered, waiting and being written; bounds the memory of a volume whose disk is slow, at 2 MiB each.
const MAX_GROUPS: usize = 8;
/// A group is written in parts of this size, side by side: disks take larger writes no faster.
const PART_BYTES: usize = 256 << 10;
/// Bits of a tag that number the part.
const PART_BITS: u32 = 4;
const _: () = assert!((1 + MAX_GROUP_BLOCKS) * BLOCK_BYTES <= PART_BYTES << PART_BITS);
/// Segments that are full but have no index yet; bounds what recovery has to read block by block.
const MAX_COMPLETING: usize = 4;
/// Segments that no sync has covered: after a power loss recovery reads them block by block, at the speed of the disk.
const MAX_UNSYNCED: u32 = 256;
/// Flushes within one segment that show a guest which waits for them: then it pays to write the next slot beforehand.
const FLUSHES_WORTH_ZEROS: u32 = 32;
/// Zeros written at a time.
const ZEROS_BYTES: usize = 1 << 20;
/// Buffers kept for the next groups, which take two each where the volume is encrypted.
const MAX_SPARE_BUFFERS: usize = 8;

/// Who is told when a group and all before it are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiter {
    Job(usize),
    /// A leaf of the map was saved.
    Leaf {
        index: u32,
        place: Place,
        blocks: u8,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Writing,
    Done,
}

/// A header and the blocks behind it; also a segment's header, which goes through the same queue.
#[derive(Debug)]
pub(super) struct Group {
    slot: u32,
    /// Of the header.
    place: Place,
    check_bytes: usize,
    /// Header, then plain blocks.
    plain: AlignedBuffer,
    /// What is written instead when the volume is encrypted.
    cipher: Option<AlignedBuffer>,
    extents: Vec<Extent>,
    checks: Vec<Check>,
    identities: Vec<Identity>,
    blocks: usize,
    waiters: Vec<Waiter>,
    /// Guests' requests among those who wait.
    requests: usize,
    state: State,
    /// What it is written in. Until it is closed those are here that are full.
    parts: Vec<Part>,
    is_segment_header: bool,
}

/// What is likely to come, and how long it is waited for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gathering {
    /// Requests answered last.
    expected: usize,
    until: Instant,
}

impl Default for Gathering {
    fn default() -> Self {
        Self { expected: 0, until: Instant::now() }
    }
}

/// One write to the disk.
#[derive(Debug)]
struct Part {
    /// Within the group, in bytes.
    start: usize,
    len: usize,
    sent: bool,
    written: usize,
    iovec: Box<libc::iovec>,
}

impl Part {
    fn new(start: usize, len: usize) -> Self {
        let iovec = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Self { start, len, sent: false, written: 0, iovec: Box::new(iovec) }
    }

    fn is_written(&self) -> bool {
        self.written == self.len
    }
}

impl Group {
    fn new(slot: u32, place: Place, check_bytes: usize, plain: AlignedBuffer) -> Self {
        Self {
            slot,
            place,
            check_bytes,
            plain,
            cipher: None,
            extents: Vec::new(),
            checks: Vec::new(),
            identities: Vec::new(),
            blocks: 0,
            waiters: Vec::new(),
            requests: 0,
            state: State::Closed,
            parts: Vec::new(),
            is_segment_header: false,
        }
    }

    /// Blocks that one more extent of at least `least` could bring; 0 if none.
    fn room(&self, least: usize) -> usize {
        let used = self.extents.len() * EXTENT_BYTES + self.blocks * self.check_bytes;
        let left = MAX_EXTENT_BYTES_OF_HEADER.saturating_sub(used + EXTENT_BYTES) / self.check_bytes;
        let segment_left = usize::from(SEGMENT_BLOCKS - self.place.block - 1) - self.blocks;
        let room = left.min(MAX_GROUP_BLOCKS - self.blocks).min(segment_left);
        if room >= least { room } else { 0 }
    }

    fn has_room_for_record(&self) -> bool {
        let used = (self.extents.len() + 1) * EXTENT_BYTES + self.blocks * self.check_bytes;
        used <= MAX_EXTENT_BYTES_OF_HEADER
    }

    /// Add `blocks` blocks; returns which of the payload they are.
    pub fn extend(&mut self, kind: ExtentKind, start: u32, blocks: usize) -> Range<usize> {
        match self.extents.last_mut() {
            Some(last)
                if kind == ExtentKind::Data && last.kind == kind && last.start.wrapping_add(last.blocks) == start =>
            {
                last.blocks += blocks as u32;
            }
            _ => self.extents.push(Extent { kind, start, blocks: blocks as u32 }),
        }
        let identity = |i| match kind {
            ExtentKind::Leaf => Identity::Leaf { index: start },
            _ => Identity::Data { lba: start + i },
        };
        self.identities.extend((0..blocks as u32).map(identity));
        let first = self.blocks;
        self.blocks += blocks;
        first..self.blocks
    }

    pub fn add_record(&mut self, extent: Extent) {
        self.extents.push(extent);
    }

    pub fn payload(&self, blocks: Range<usize>) -> &[u8] {
        &self.plain.as_slice()[(1 + blocks.start) * BLOCK_BYTES..(1 + blocks.end) * BLOCK_BYTES]
    }

    pub fn payload_mut(&mut self, blocks: Range<usize>) -> &mut [u8] {
        &mut self.plain.as_mut_slice()[(1 + blocks.start) * BLOCK_BYTES..(1 + blocks.end) * BLOCK_BYTES]
    }

    pub fn place_of(&self, block: usize) -> Place {
        Place { block: self.place.block + 1 + block as u16, ..self.place }
    }

    /// True if it did not wait for the very same just before.
    pub fn wait(&mut self, waiter: Waiter) -> bool {
        if self.waiters.last() == Some(&waiter) {
            return false;
        }
        self.waiters.push(waiter);
        self.requests += usize::from(matches!(waiter, Waiter::Job(_)));
        true
    }

    /// The jobs that wait; nobody tells them any more.
    pub fn take_jobs(&mut self) -> Vec<usize> {
        let jobs =
            self.waiters.iter().filter_map(|w| if let Waiter::Job(job) = w { Some(*job) } else { None }).collect();
        self.waiters.retain(|waiter| !matches!(waiter, Waiter::Job(_)));
        jobs
    }

    /// Which block of the payload lies at `place`, if one does.
    pub fn find(&self, place: Place) -> Option<usize> {
        let first = self.place.block + 1;
        let within = place.seq == self.place.seq && place.block >= first;
        within.then(|| usize::from(place.block - first)).filter(|&block| block < self.blocks && !self.is_segment_header)
    }

    fn len(&self) -> usize {
        (1 + self.blocks) * BLOCK_BYTES
    }
}

impl<B: Background> LogEngine<B> {
    /// Blocks that may be appended to the pending group now, at least `least` or none.
    pub(super) fn room(&mut self, least: usize) -> usize {
        loop {
            if let Some(group) = &self.pending {
                let room = group.room(least);
                if room > 0 {
                    return room;
                }
                self.close_group();
            } else if !self.begin_group(least) {
                return 0;
            }
        }
    }

    /// Whether a record of zeros may be added to the pending group now.
    pub(super) fn room_for_zeros(&mut self) -> bool {
        loop {
            if self.open.as_ref().is_some_and(|segment| segment.index.zeros.len() >= MAX_ZEROS) {
                self.finish_segment();
            }
            let fits = self.pending.as_ref().map(|group| group.has_room_for_record() && self.zeros_left() > 0);
            match fits {
                Some(true) => return true,
                Some(false) => self.close_group(),
                None => {
                    if !self.begin_group(1) {
                        return false;
                    }
                }
            }
        }
    }

    fn zeros_left(&self) -> usize {
        let pending = self
            .pending
            .as_ref()
            .map_or(0, |group| group.extents.iter().filter(|extent| extent.kind == ExtentKind::Zero).count());
        self.open.as_ref().map_or(0, |segment| MAX_ZEROS.saturating_sub(segment.index.zeros.len() + pending))
    }

    /// Begin a group for at least `least` blocks; false if the log takes none for now.
    fn begin_group(&mut self, least: usize) -> bool {
        if self.groups.len() >= MAX_GROUPS {
            return false;
        }
        let left = |segment: &OpenSegment| usize::from(SEGMENT_BLOCKS - segment.next);
        if self.open.as_ref().is_some_and(|segment| left(segment) < 1 + least) {
            self.finish_segment();
        }
        if self.open.is_none() && !self.begin_segment() {
            return false;
        }
        let Some(segment) = &self.open else { return false };
        let place = Place { seq: segment.index.segment.seq, block: segment.next };
        let slot = segment.slot;
        let buffer = spare_or_new(&mut self.buffers);
        self.pending = Some(Group::new(slot, place, self.guards[0].check_bytes(), buffer));
        true
    }

    /// Start the next segment of the log; false while too many have no index yet.
    fn begin_segment(&mut self) -> bool {
        // What is still being zeroed must not be written.
        let unsynced = self.next_seq - self.synced_through;
        if self.completing.len() >= MAX_COMPLETING || self.zeroing > 0 || unsynced >= MAX_UNSYNCED {
            return false;
        }
        let (seq, slot) = (self.next_seq, self.next_slot);
        let id = self.writer(seq);
        (self.next_slot, self.next_is_fresh) = self.segments.take_slot();
        self.flushes = 0;
        self.next_seq += 1;
        let header = SegmentHeader {
            volume: self.volume,
            segment: id,
            next_slot: self.next_slot,
            previous_end: self.previous_end,
            synced_through: self.synced_through,
            witness: self.witness(Place { seq, block: 0 }),
        };
        let mut group = Group::new(slot, Place { seq, block: 0 }, 0, AlignedBuffer::new(BLOCK_BYTES));
        header.encode(group.plain.as_mut_slice());
        group.is_segment_header = true;
        self.groups.push_back(group);
        self.segments.insert(super::segments::Segment {
            id,
            owner: 0,
            slot: Some(slot),
            live: 0,
            leaf_live: 0,
            end: 0,
            complete: false,
            uploaded: false,
            sealed: self.is_sealed(),
            cleaned: false,
        });
        self.open = Some(OpenSegment {
            header,
            slot,
            next: FRONT_BLOCKS,
            index: Index::new(self.volume, id, self.is_sealed()),
            opened_at: Instant::now(),
            stage: sync::Stage::Writing,
        });
        true
    }

    /// What is known of the log when a header for `next`, which is its end, is put together.
    fn witness(&self, next: Place) -> Witness {
        let written = self.groups.front().map_or(next, |group| group.place);
        Witness { boot: self.boot, written, synced: self.synced_before }
    }

    /// All before this place is written.
    pub(super) fn written_before(&self) -> Place {
        let end = || match &self.open {
            Some(segment) => Place { seq: segment.index.segment.seq, block: segment.next },
            None => Place { seq: self.next_seq, block: 0 },
        };
        self.groups.front().map_or_else(end, |group| group.place)
    }

    /// Let the open segment be full.
    pub(super) fn finish_segment(&mut self) {
        self.close_group();
        if let Some(mut segment) = self.open.take() {
            self.previous_end = segment.next;
            segment.index.end = segment.next;
            if let Some(entry) = self.segments.get_mut(segment.index.segment.seq) {
                entry.end = segment.next;
            }
            self.completing.push_back(segment);
        }
    }

    /// The blocks `added` of the pending group have their contents. They are checked and encrypted while they are in the cache, and the
    /// disk is at work on the group before.
    pub(super) fn protect_pending(&mut self, added: Range<usize>) {
        let (Some(group), Some(segment)) = (&mut self.pending, &self.open) else { return };
        let (guard, id) = (&self.guards[0], segment.index.segment);
        for block in added {
            let (position, at) = (group.place_of(block).block, (1 + block) * BLOCK_BYTES..(2 + block) * BLOCK_BYTES);
            let plain = &mut group.plain.as_mut_slice()[at.clone()];
            let bytes = if guard.is_sealed() {
                let cipher = group.cipher.get_or_insert_with(|| spare_or_new(&mut self.buffers));
                let bytes = &mut cipher.as_mut_slice()[at];
                bytes.copy_from_slice(plain);
                bytes
            } else {
                plain
            };
            group.checks.push(guard.protect(id, position, group.identities[block], bytes));
        }
    }

    /// Nothing more is added to the pending group.
    pub(super) fn close_group(&mut self) {
        let Some(mut group) = self.pending.take() else { return };
        let witness = self.witness(group.place);
        let Some(segment) = &mut self.open else { return };
        let contents =
            Contents { extents: std::mem::take(&mut group.extents), checks: std::mem::take(&mut group.checks) };
        let (segment_header, previous) = (SegmentHeader { witness, ..segment.header }, self.last_group.take());
        let header = GroupHeader { segment: segment_header, position: group.place.block, contents, previous };
        let target = group.cipher.as_mut().unwrap_or(&mut group.plain);
        header.encode(self.guards[0].is_sealed(), &mut target.as_mut_slice()[..BLOCK_BYTES]);
        add_to_index(&mut segment.index, header.position, &header.contents);
        self.last_group = Some(GroupRecord { place: group.place, contents: header.contents });
        segment.next += 1 + group.blocks as u16;
        self.groups.push_back(group);
    }

    /// Hand closed groups to the disk, and the pending one when it has gathered enough: small writes gain from going together,
    /// large ones from going side by side.
    pub(super) fn send_groups(&mut self, io: &mut Io<'_>) {
        if self.held {
            return;
        }
        let under_way = |group: &&Group| group.state == State::Writing && !group.is_segment_header;
        let (mut groups, mut requests) = (0, 0);
        for group in self.groups.iter().filter(under_way) {
            groups += 1;
            requests += group.requests;
        }
        if self.groups.iter().all(|group| group.state != State::Closed) && self.has_gathered(groups, requests) {
            self.close_group();
        }
        for i in 0..self.groups.len() {
            if self.groups[i].state != State::Closed {
                continue;
            }
            let large = self.groups[i].len() >= PART_BYTES;
            if groups >= if large { MAX_GROUPS } else { self.tuning.groups_in_flight } {
                return;
            }
            // A segment's header is small and goes along with the group behind it.
            groups += usize::from(!self.groups[i].is_segment_header);
            self.write_group(i, io);
        }
    }

    /// Whether the pending group is to be written now, while the disk works on `groups` groups of `requests` requests.
    ///
    /// Guests follow an answer with their next request. So half as many as were answered last are waited for, for a moment, and
    /// then the disk writes one half of a guest's requests while the other half is gathered. Closed as soon as the disk is free,
    /// groups of one request would take turns with groups of all the others.
    fn has_gathered(&self, groups: usize, requests: usize) -> bool {
        let Some(pending) = &self.pending else { return false };
        if pending.len() >= PART_BYTES || self.closing {
            return true;
        }
        match groups {
            0 => 2 * pending.requests >= self.gathering.expected || Instant::now() >= self.gathering.until,
            _ => groups < self.tuning.groups_in_flight && pending.requests >= requests,
        }
    }

    /// The disk is free, and what is pending waits only for what may come with it: see [`Self::has_gathered`].
    pub(super) fn is_gathering(&self) -> bool {
        let is_free = self.groups.iter().all(|group| group.state == State::Done || group.is_segment_header);
        self.pending.is_some() && is_free && !self.held && self.poisoned.is_none()
    }

    /// Let the disk begin with what is complete of large changes, while the rest of them is copied. The part that holds a group's
    /// header goes last: without it the others are nothing.
    pub(super) fn send_early(&mut self, io: &mut Io<'_>) {
        let Some(pending) = self.pending.as_mut().filter(|pending| pending.len() >= PART_BYTES) else { return };
        let (full, had) = (pending.len() / PART_BYTES, pending.parts.len());
        if self.held || full == had {
            return;
        }
        pending.parts.extend((had..full).map(|number| Part::new(number * PART_BYTES, PART_BYTES)));
        let (slot, i) = (pending.slot, self.groups.len());
        self.allocate_ahead(slot, io);
        for number in had.max(1)..full {
            self.write_part(i, number, io);
        }
        io.disk.start();
    }

    /// By its place in the queue, behind which comes the pending one.
    fn group_mut(&mut self, i: usize) -> Option<&mut Group> {
        if i == self.groups.len() { self.pending.as_mut() } else { self.groups.get_mut(i) }
    }

    /// Write all of the group that is not written.
    fn write_group(&mut self, i: usize, io: &mut Io<'_>) {
        let group = &mut self.groups[i];
        group.state = State::Writing;
        let len = group.len();
        let rest = (group.parts.len() * PART_BYTES..len).step_by(PART_BYTES);
        group.parts.extend(rest.map(|start| Part::new(start, PART_BYTES.min(len - start))));
        let slot = group.slot;
        for number in (0..group.parts.len()).rev() {
            if !self.groups[i].parts[number].sent {
                self.write_part(i, number, io);
            }
        }
        self.allocate_ahead(slot.max(self.next_slot), io);
        if self.next_is_fresh && self.flushes >= FLUSHES_WORTH_ZEROS {
            self.zero_next(io);
        }
    }

    fn write_part(&mut self, i: usize, number: usize, io: &mut Io<'_>) {
        let (file, serial) = (self.file_id(), self.first_group + i);
        let Some(group) = self.group_mut(i) else { return };
        let Some(part) = group.parts.get_mut(number) else { return };
        part.sent = true;
        let buffer = group.cipher.as_mut().unwrap_or(&mut group.plain);
        let (start, end) = (part.start + part.written, part.start + part.len);
        let offset = Self::offset_in_slot(group.slot, group.place.block) + start as u64;
        let rest = &mut buffer.as_mut_slice()[start..end];
        *part.iovec = libc::iovec { iov_base: rest.as_mut_ptr().cast(), iov_len: rest.len() };
        let iovec = &raw const *part.iovec;
        self.in_kernel += 1;
        let tag = tag(Kind::Group, serial << PART_BITS | number);
        // SAFETY: the iovec is in a box of its own, and buffer and box stay with the group, unchanged, until `group_ended` has seen
        // the end of this write.
        unsafe { io.disk.writev(file, iovec, 1, offset, tag) }
    }

    /// Write zeros all over the next slot, so that syncs of what is written there later are cheap.
    fn zero_next(&mut self, io: &mut Io<'_>) {
        self.next_is_fresh = false;
        let (file, slot) = (self.file_id(), self.next_slot);
        let zeros = self.zeros.get_or_insert_with(|| {
            let mut buffer = AlignedBuffer::new(ZEROS_BYTES);
            let bytes = buffer.as_mut_slice();
            let iovec = Box::new(libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() });
            (buffer, iovec)
        });
        let iovec = &raw const *zeros.1;
        for part in 0..SEGMENT_BYTES / ZEROS_BYTES as u64 {
            let offset = Self::offset_in_slot(slot, 0) + part * ZEROS_BYTES as u64;
            self.in_kernel += 1;
            // SAFETY: the zeros and their iovec are made once and stay, unchanged, as long as the engine, which is not dropped
            // while anything is in the kernel. Nothing else is written to the slot before these have ended: see `begin_segment`.
            unsafe { io.disk.writev(file, iovec, 1, offset, tag(Kind::Zeros, 0)) }
        }
        self.zeroing = (SEGMENT_BYTES / ZEROS_BYTES as u64) as u32;
    }

    /// Ask for the room of slots before they are needed.
    fn allocate_ahead(&mut self, slot: u32, io: &mut Io<'_>) {
        while self.allocated_slots <= slot {
            let offset = Self::offset_in_slot(self.allocated_slots, 0);
            self.allocated_slots += 1;
            self.in_kernel += 1;
            io.disk.allocate(self.file_id(), offset, SEGMENT_BYTES, tag(Kind::Space, 0));
        }
    }

    pub(super) fn group_ended(&mut self, index: usize, result: i32, io: &mut Io<'_>) {
        // The tag holds the low bits of the group's serial number.
        let (serial, number) = (index >> PART_BITS, index & ((1 << PART_BITS) - 1));
        let i = serial.wrapping_sub(self.first_group) & (super::INDEX_MASK as usize >> PART_BITS);
        let Some(group) = self.group_mut(i) else { return };
        let Some(part) = group.parts.get_mut(number) else { return };
        match result {
            n if n > 0 => {
                part.written = (part.written + n as usize).min(part.len);
                if !part.is_written() {
                    return self.write_part(i, number, io);
                }
                if group.state == State::Writing && group.parts.iter().all(Part::is_written) {
                    group.state = State::Done;
                    self.sync.unsynced = true;
                    self.release_groups(io);
                }
            }
            n if n == -libc::EINTR => self.write_part(i, number, io),
            n if matches!(-n, libc::ENOSPC | libc::EDQUOT | libc::ENOMEM | libc::EAGAIN) => {
                // What is not written is written again when there may be room.
                self.starved.push((serial, number));
                if !self.held {
                    tracing::warn!(volume = self.name, error = -n, "writes wait for room");
                }
                self.held = true;
            }
            n => {
                // The log has a hole now that nothing behind may be answered over. The blocks stay readable from memory.
                let error = std::io::Error::from_raw_os_error(if n == 0 { libc::EIO } else { -n });
                group.state = State::Done;
                self.poison(format!("cannot write to the log: {error}"));
            }
        }
    }

    /// Try again what there was no room for.
    pub(super) fn write_starved(&mut self, io: &mut Io<'_>) {
        for (serial, number) in std::mem::take(&mut self.starved) {
            let i = serial.wrapping_sub(self.first_group) & (super::INDEX_MASK as usize >> PART_BITS);
            self.write_part(i, number, io);
        }
    }

    /// Tell those who wait for groups that are on the disk with all before them.
    fn release_groups(&mut self, io: &mut Io<'_>) {
        let mut requests = 0;
        while self.groups.front().is_some_and(|group| group.state == State::Done) && self.poisoned.is_none() {
            let Some(group) = self.groups.pop_front() else { return };
            self.first_group += 1;
            requests += group.requests;
            for waiter in group.waiters {
                match waiter {
                    Waiter::Job(job) => self.part_done(job, true, io),
                    Waiter::Leaf { index, place, blocks } => self.leaf_saved(index, place, blocks),
                }
            }
            for buffer in [Some(group.plain), group.cipher].into_iter().flatten() {
                if !group.is_segment_header && self.buffers.len() < MAX_SPARE_BUFFERS {
                    self.buffers.push(buffer);
                }
            }
        }
        if requests > 0 {
            self.gathering = Gathering { expected: requests, until: Instant::now() + self.tuning.gather };
            if requests == 1 && self.jobs.is_empty() {
                self.lone_write_answered(io);
            }
        }
    }

    /// Whether any group of the segment is not on the disk yet.
    pub(super) fn has_groups_of(&self, seq: u32) -> bool {
        self.groups.iter().chain(&self.pending).any(|group| group.place.seq == seq)
    }
}

fn spare_or_new(spare: &mut Vec<AlignedBuffer>) -> AlignedBuffer {
    spare.pop().unwrap_or_else(|| AlignedBuffer::new((1 + MAX_GROUP_BLOCKS) * BLOCK_BYTES))
}

/// Note in the segment's index what the group at `position` brings.
pub(crate) fn add_to_index(index: &mut Index, position: u16, contents: &Contents) {
    let mut at = position;
    index.entries[usize::from(at)] = Entry { kind: EntryKind::GroupHeader, number: 0 };
    at += 1;
    let mut checks = contents.checks.iter();
    for extent in &contents.extents {
        let kind = match extent.kind {
            ExtentKind::Zero => {
                index.zeros.push(ZeroRecord { before: at, lba: extent.start, blocks: extent.blocks });
                continue;
            }
            ExtentKind::Data => EntryKind::Data,
            ExtentKind::Leaf => EntryKind::Leaf,
        };
        for i in 0..extent.blocks {
            let number = if kind == EntryKind::Data { extent.start.wrapping_add(i) } else { extent.start };
            index.entries[usize::from(at)] = Entry { kind, number };
            if let Some(check) = checks.next() {
                index.checks[usize::from(at)] = *check;
            }
            at += 1;
        }
    }
    index.end = at;
}
