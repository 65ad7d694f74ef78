//! Reads: of guests, and of the engine's own leaves, indexes and checks. Every block is verified before anyone sees it used.

use super::checks::{PageKey, page_of};
use super::group::Group;
use super::{Background, CHUNK_BYTES, CachedChunk, Kind, LeafWaiter, LogEngine, SegmentName, tag};
use crate::engine::check::{Check, Identity};
use crate::engine::format::{BLOCK_BYTES, CHECKS_AT, CheckPage, INDEX_AT, INDEX_BLOCKS, Index, Place, decode_leaf};
use crate::engine::map::Lookup;
use crate::engine::{AlignedBuffer, Io};

const BLOCK: u64 = BLOCK_BYTES as u64;
const CHUNK_BLOCKS: u16 = (CHUNK_BYTES / BLOCK) as u16;
/// O_DIRECT granularity we rely on.
const SECTOR_BYTES: usize = 512;
/// Tries of a read whose bytes do not match: as it came, again into memory of our own, from the store.
const MAX_ATTEMPTS: u8 = 4;
/// From this try on the store's copy is preferred.
const STORE_ATTEMPT: u8 = 2;

/// What the blocks of a read should be.
#[derive(Clone, Debug)]
pub(super) enum Ids {
    /// Consecutive blocks of the volume from this one.
    Data(u32),
    Leaf(u32),
    /// Some blocks of the segment, with the volume's block that each holds; the others do not matter.
    Some(Vec<(u16, u32)>),
    /// Parts of an index, which verify themselves.
    Own,
}

impl Ids {
    fn of(&self, i: u16, place: Place) -> Option<Identity> {
        match self {
            Self::Data(first) => Some(Identity::Data { lba: first + u32::from(i) }),
            Self::Leaf(index) => Some(Identity::Leaf { index: *index }),
            Self::Some(list) => {
                let found = list.binary_search_by_key(&(place.block + i), |(block, _)| *block).ok()?;
                Some(Identity::Data { lba: list[found].1 })
            }
            Self::Own => None,
        }
    }
}

/// Who wants a read.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// These bytes of the volume.
    Guest {
        job: usize,
        at: u64,
        len: u64,
    },
    Merge {
        job: usize,
        place: Place,
    },
    Leaf(u32),
    Checks(PageKey),
    /// The cleaner wants a segment's index, or blocks of it.
    Index(u32),
    Clean,
}

/// One contiguous read within one segment.
#[derive(Debug)]
pub(super) struct Read {
    place: Place,
    blocks: u16,
    ids: Ids,
    purpose: Purpose,
    attempt: u8,
    /// None: the bytes go straight to the guest.
    buffer: Option<AlignedBuffer>,
    iovecs: Vec<libc::iovec>,
    progress: u64,
    /// Held while a chunk of the cache is read.
    chunk: Option<CachedChunk>,
    from_store: bool,
}

/// A block in the memory of a group.
pub(super) struct Buffered<'a> {
    pub group: &'a Group,
    pub first: usize,
}

impl<B: Background> LogEngine<B> {
    /// The group that holds the block at `place`, if it is still in memory.
    pub(super) fn buffered(&self, place: Place) -> Option<Buffered<'_>> {
        let groups = self.pending.iter().chain(self.groups.iter().rev());
        groups.into_iter().find_map(|group| Some(Buffered { group, first: group.find(place)? }))
    }

    /// Read `len` bytes of the volume from `at` for the job.
    pub(super) fn plan_read(&mut self, job: usize, mut at: u64, len: u64, attempt: u8, io: &mut Io<'_>) {
        let end = at + len;
        while at < end {
            let lba = (at / BLOCK) as u32;
            let blocks = (end.div_ceil(BLOCK) - u64::from(lba)) as u32;
            let (found, part_blocks) = match self.map.lookup(lba, blocks) {
                Lookup::Absent(leaf) => {
                    self.jobs.get_mut(job).parts += 1;
                    self.want_leaf(leaf, LeafWaiter::Read { job, at, len: end - at, attempt }, io);
                    return;
                }
                Lookup::Hole(len) => (None, len),
                Lookup::At(place, len) => (Some(place), len),
            };
            let part_end = end.min((u64::from(lba) + u64::from(part_blocks)) * BLOCK);
            let part_len = part_end - at;
            match found {
                None => {
                    let request = &self.jobs.get(job).request;
                    request.data.fill_zeros(at - request.offset, part_len);
                }
                Some(place) => match self.buffered(place) {
                    Some(Buffered { group, first }) => {
                        let bytes = group.payload(first..first + part_blocks as usize);
                        let skip = (at % BLOCK) as usize;
                        let request = &self.jobs.get(job).request;
                        request.data.write_at(at - request.offset, &bytes[skip..skip + part_len as usize]);
                    }
                    None => {
                        self.jobs.get_mut(job).parts += 1;
                        let purpose = Purpose::Guest { job, at, len: part_len };
                        self.start_read(place, part_blocks as u16, Ids::Data(lba), purpose, attempt, io);
                    }
                },
            }
            at = part_end;
        }
    }

    /// Begin a read of blocks that are not in memory.
    pub(super) fn start_read(
        &mut self,
        place: Place,
        blocks: u16,
        ids: Ids,
        purpose: Purpose,
        attempt: u8,
        io: &mut Io<'_>,
    ) {
        let sealed = self.segments.get(place.seq).is_some_and(|segment| segment.sealed);
        let mut iovecs = Vec::new();
        if let (Purpose::Guest { job, at, len }, 0, false) = (&purpose, attempt, sealed)
            && at.is_multiple_of(BLOCK)
            && len.is_multiple_of(BLOCK)
        {
            let request = &self.jobs.get(*job).request;
            request.data.slice_into(at - request.offset, *len, &mut iovecs);
            let aligned = |v: &libc::iovec| {
                (v.iov_base as usize).is_multiple_of(SECTOR_BYTES) && v.iov_len.is_multiple_of(SECTOR_BYTES)
            };
            if self.direct && !iovecs.iter().all(aligned) {
                iovecs.clear();
            }
        }
        let buffer = iovecs.is_empty().then(|| AlignedBuffer::new(usize::from(blocks) * BLOCK_BYTES));
        if !matches!(ids, Ids::Own) {
            // What will be needed to verify it is fetched at the same time.
            for key in self.missing_pages(place, blocks, &ids) {
                self.want_page(key, attempt, io);
            }
        }
        let read =
            Read { place, blocks, ids, purpose, attempt, buffer, iovecs, progress: 0, chunk: None, from_store: false };
        let index = self.reads.insert(read);
        self.issue(index, io);
    }

    /// Send the rest of a read to the disk, or ask for the chunk that it needs.
    fn issue(&mut self, index: usize, io: &mut Io<'_>) {
        let read = self.reads.get_mut(index);
        let Some(segment) = self.segments.get(read.place.seq) else { return self.read_failed(index, io) };
        // The store may have it although we do not know: what says so is lost with the power, too.
        let local = segment.slot.filter(|_| read.attempt < STORE_ATTEMPT);
        let done_blocks = (read.progress / BLOCK) as u16;
        let (mut left, skip) = (u64::from(read.blocks) * BLOCK - read.progress, read.progress);
        let (file, offset) = match local {
            Some(slot) => {
                let start = Self::offset_in_slot(slot, read.place.block);
                (self.file_id, start + read.progress)
            }
            None => {
                let block = read.place.block + done_blocks;
                let (chunk, within) = (u32::from(block / CHUNK_BLOCKS), block % CHUNK_BLOCKS);
                let name = SegmentName { owner: self.owners[usize::from(segment.owner)].volume, id: segment.id };
                left = left.min(u64::from(CHUNK_BLOCKS - within) * BLOCK - read.progress % BLOCK);
                if !read.from_store {
                    self.metrics.remote_reads += 1;
                }
                match self.background.cached(name, chunk) {
                    Some(cached) => {
                        self.metrics.cache_hits += u64::from(!read.from_store);
                        read.from_store = true;
                        let offset = cached.offset + u64::from(within) * BLOCK + read.progress % BLOCK;
                        let file = cached.file;
                        read.chunk = Some(cached);
                        (file, offset)
                    }
                    None => {
                        read.from_store = true;
                        let waiters = self.chunk_waiters.entry((read.place.seq, chunk)).or_default();
                        waiters.push(index);
                        if waiters.len() == 1 {
                            self.background.fetch(name, segment.end, chunk);
                        }
                        return;
                    }
                }
            }
        };
        let read = self.reads.get_mut(index);
        match (&mut read.buffer, &read.purpose) {
            (Some(buffer), _) => {
                let rest = &mut buffer.as_mut_slice()[skip as usize..(skip + left) as usize];
                read.iovecs.clear();
                read.iovecs.push(libc::iovec { iov_base: rest.as_mut_ptr().cast(), iov_len: rest.len() });
            }
            (None, Purpose::Guest { job, at, .. }) => {
                let request = &self.jobs.get(*job).request;
                read.iovecs.clear();
                request.data.slice_into(at - request.offset + skip, left, &mut read.iovecs);
            }
            (None, _) => return self.read_failed(index, io),
        }
        let (iovecs, count) = (read.iovecs.as_ptr(), read.iovecs.len() as u32);
        self.in_kernel += 1;
        // SAFETY: iovecs and buffer stay in the slab with their read, the guest's pages are held by the job's `GuestBuffers`, and
        // none of them goes before `read_ended` has seen the end of this operation.
        unsafe { io.disk.readv(file, iovecs, count, offset, tag(Kind::Read, index)) }
    }

    pub(super) fn read_ended(&mut self, index: usize, result: i32, io: &mut Io<'_>) {
        let read = self.reads.get_mut(index);
        read.chunk = None;
        match result {
            n if n > 0 => {
                read.progress += n as u64;
                if read.progress < u64::from(read.blocks) * BLOCK {
                    return self.issue(index, io);
                }
                self.verify(index, io);
            }
            n if matches!(-n, libc::EINTR | libc::EAGAIN) => self.issue(index, io),
            n => {
                let error = if n == 0 { libc::EIO } else { -n };
                tracing::warn!(volume = self.name, place = ?read.place, error, "cannot read from the log");
                self.mismatched(index, io);
            }
        }
    }

    /// The check of a block, if it is at hand.
    fn check_of(&mut self, place: Place) -> Option<Check> {
        let unfinished = self.open.iter().chain(&self.completing).find(|s| s.index.segment.seq == place.seq);
        match unfinished {
            Some(segment) => segment.index.checks.get(usize::from(place.block)).copied(),
            None => {
                let sealed = self.segments.get(place.seq)?.sealed;
                self.check_cache.get(place.seq, place.block, sealed)
            }
        }
    }

    /// Pages of checks that verifying the blocks needs and that are not at hand.
    fn missing_pages(&mut self, place: Place, blocks: u16, ids: &Ids) -> Vec<PageKey> {
        if matches!(ids, Ids::Own) {
            return Vec::new();
        }
        let Some(segment) = self.segments.get(place.seq).filter(|segment| segment.complete) else { return Vec::new() };
        let (first, last) = (page_of(place.block, segment.sealed), page_of(place.block + blocks - 1, segment.sealed));
        (first..=last).map(|page| (place.seq, page)).filter(|key| !self.check_cache.contains(*key)).collect()
    }

    /// See that a page of checks is on its way.
    fn want_page(&mut self, key: PageKey, attempt: u8, io: &mut Io<'_>) {
        if let std::collections::hash_map::Entry::Vacant(entry) = self.check_cache.waiters.entry(key) {
            entry.insert(Vec::new());
            let place = Place { seq: key.0, block: CHECKS_AT + key.1 };
            self.start_read(place, 1, Ids::Own, Purpose::Checks(key), attempt, io);
        }
    }

    /// The bytes are there: hold them against their checks.
    fn verify(&mut self, index: usize, io: &mut Io<'_>) {
        let read = self.reads.get(index);
        let (place, blocks, attempt) = (read.place, read.blocks, read.attempt);
        if matches!(read.ids, Ids::Own) {
            return self.deliver(index, io);
        }
        let ids = read.ids.clone();
        if let Some(key) = self.missing_pages(place, blocks, &ids).first().copied() {
            self.want_page(key, attempt, io);
            self.check_cache.waiters.entry(key).or_default().push(index);
            return;
        }
        let Some(segment) = self.segments.get(place.seq) else { return self.mismatched(index, io) };
        let (id, owner) = (segment.id, usize::from(segment.owner));
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut buffer = self.reads.get_mut(index).buffer.take();
        let mut intact = true;
        for i in 0..blocks {
            let Some(identity) = ids.of(i, place) else { continue };
            let at = Place { block: place.block + i, ..place };
            let Some(check) = self.check_of(at) else {
                intact = false;
                break;
            };
            let start = usize::from(i) * BLOCK_BYTES;
            let block = match (&mut buffer, &self.reads.get(index).purpose) {
                (Some(buffer), _) => &mut buffer.as_mut_slice()[start..start + BLOCK_BYTES],
                (None, Purpose::Guest { job, at, .. }) => {
                    let request = &self.jobs.get(*job).request;
                    request.data.read_at(at - request.offset + start as u64, &mut scratch);
                    &mut scratch
                }
                (None, _) => &mut scratch,
            };
            if !self.guards.get(owner).is_some_and(|guard| guard.verify(id, at.block, identity, check, block)) {
                intact = false;
                break;
            }
        }
        self.scratch = scratch;
        self.reads.get_mut(index).buffer = buffer;
        if intact { self.deliver(index, io) } else { self.mismatched(index, io) }
    }

    /// Give the bytes to who wanted them.
    fn deliver(&mut self, index: usize, io: &mut Io<'_>) {
        let Read { place, buffer, purpose, ids, attempt, .. } = self.reads.get_mut(index);
        let bytes = buffer.as_ref().map_or(&[][..], AlignedBuffer::as_slice);
        match purpose {
            Purpose::Guest { job, at, len } => {
                let (job, at, len) = (*job, *at, *len);
                if !bytes.is_empty() {
                    let request = &self.jobs.get(job).request;
                    let skip = (at % BLOCK) as usize;
                    request.data.write_at(at - request.offset, &bytes[skip..skip + len as usize]);
                }
                self.reads.remove(index);
                self.part_done(job, true, io);
            }
            Purpose::Merge { job, place } => {
                let (job, place) = (*job, *place);
                let block = self.reads.remove(index).buffer;
                self.merged(job, place, block, io);
            }
            Purpose::Leaf(number) => {
                let number = *number;
                match decode_leaf(number, bytes) {
                    Some(leaf) => {
                        self.reads.remove(index);
                        let segments = &mut self.segments;
                        self.map.install(number, leaf, |seq, blocks| segments.sub_live(seq, blocks));
                        self.wake_leaf(number, true, io);
                    }
                    None => self.mismatched(index, io),
                }
            }
            Purpose::Checks(key) => {
                let (key, sealed) = (*key, self.segments.get(key.0).is_some_and(|segment| segment.sealed));
                match CheckPage::decode(bytes, key.0, key.1, sealed) {
                    Some(page) => {
                        self.reads.remove(index);
                        self.check_cache.insert(key, page);
                        for waiting in self.check_cache.waiters.remove(&key).unwrap_or_default() {
                            self.verify(waiting, io);
                        }
                    }
                    None => self.mismatched(index, io),
                }
            }
            Purpose::Index(seq) => {
                let seq = *seq;
                let found = Index::decode(bytes, false).filter(|found| found.segment.seq == seq);
                match found {
                    Some(found) => {
                        self.reads.remove(index);
                        self.cleaner_has_index(found);
                    }
                    None => self.mismatched(index, io),
                }
            }
            Purpose::Clean => {
                let (place, ids, _) = (*place, ids.clone(), attempt);
                let buffer = self.reads.remove(index).buffer;
                self.cleaner_has_blocks(place, ids, buffer);
            }
        }
    }

    /// The bytes are not what was stored. A guest's read is looked up again, since its blocks may have moved; then our own memory
    /// is used, which nobody else changes; then the store's copy.
    fn mismatched(&mut self, index: usize, io: &mut Io<'_>) {
        let read = self.reads.get(index);
        let (place, blocks, attempt, from_store) = (read.place, read.blocks, read.attempt + 1, read.from_store);
        if attempt >= MAX_ATTEMPTS {
            self.metrics.damaged_blocks += 1;
            return self.read_failed(index, io);
        }
        for key in self.pages_of(place, blocks) {
            // Not the data but its checks may be damaged.
            self.check_cache.forget(key);
        }
        if let (true, Some(segment)) = (from_store, self.segments.get(place.seq)) {
            let name = SegmentName { owner: self.owners[usize::from(segment.owner)].volume, id: segment.id };
            for chunk in place.block / CHUNK_BLOCKS..=(place.block + blocks - 1) / CHUNK_BLOCKS {
                self.background.distrust(name, u32::from(chunk));
            }
        }
        match self.reads.get(index).purpose.clone() {
            Purpose::Guest { job, at, len } => {
                self.reads.remove(index);
                self.plan_read(job, at, len, attempt, io);
                self.part_done(job, true, io);
            }
            Purpose::Merge { job, .. } if self.map.place((self.jobs.get(job).at / BLOCK) as u32) != Some(place) => {
                // It was overwritten meanwhile, and what lay there may be gone.
                self.reads.remove(index);
                self.advance(job, io);
            }
            purpose => {
                let read = self.reads.remove(index);
                self.start_read(place, blocks, read.ids, purpose, attempt, io);
            }
        }
    }

    fn pages_of(&self, place: Place, blocks: u16) -> Vec<PageKey> {
        let Some(segment) = self.segments.get(place.seq) else { return Vec::new() };
        let (first, last) = (page_of(place.block, segment.sealed), page_of(place.block + blocks - 1, segment.sealed));
        (first..=last).map(|page| (place.seq, page)).collect()
    }

    /// There is no getting these bytes.
    fn read_failed(&mut self, index: usize, io: &mut Io<'_>) {
        let read = self.reads.remove(index);
        tracing::error!(volume = self.name, place = ?read.place, blocks = read.blocks, purpose = ?read.purpose, "blocks are damaged or lost");
        match read.purpose {
            Purpose::Guest { job, .. } => self.part_done(job, false, io),
            Purpose::Merge { job, place } => self.merged(job, place, None, io),
            Purpose::Leaf(number) => self.wake_leaf(number, false, io),
            Purpose::Checks(key) => {
                for waiting in self.check_cache.waiters.remove(&key).unwrap_or_default() {
                    self.mismatched(waiting, io);
                }
            }
            Purpose::Index(_) | Purpose::Clean => self.cleaner_failed(),
        }
    }

    /// Get a leaf of the map, and tell `waiter` then.
    pub(super) fn want_leaf(&mut self, leaf: u32, waiter: LeafWaiter, io: &mut Io<'_>) {
        let waiters = self.leaf_waiters.entry(leaf).or_default();
        waiters.push(waiter);
        if waiters.len() > 1 {
            return;
        }
        match self.map.home(leaf) {
            Some(home) => match self.buffered(home.place) {
                // Saved just now and already let go.
                Some(Buffered { group, first }) => {
                    let bytes = group.payload(first..first + usize::from(home.blocks));
                    if let Some(decoded) = decode_leaf(leaf, bytes) {
                        let segments = &mut self.segments;
                        self.map.install(leaf, decoded, |seq, blocks| segments.sub_live(seq, blocks));
                    }
                    self.wake_leaf(leaf, true, io);
                }
                None => {
                    let blocks = u16::from(home.blocks);
                    self.start_read(home.place, blocks, Ids::Leaf(leaf), Purpose::Leaf(leaf), 0, io);
                }
            },
            None => self.wake_leaf(leaf, true, io),
        }
    }

    fn wake_leaf(&mut self, leaf: u32, ok: bool, io: &mut Io<'_>) {
        for waiter in self.leaf_waiters.remove(&leaf).unwrap_or_default() {
            match (waiter, ok) {
                (LeafWaiter::Read { job, at, len, attempt }, true) => {
                    self.plan_read(job, at, len, attempt, io);
                    self.part_done(job, true, io);
                }
                (LeafWaiter::Change { job }, true) => self.submit_change(job, io),
                (LeafWaiter::Read { job, .. } | LeafWaiter::Change { job }, false) => self.part_done(job, false, io),
                (LeafWaiter::Anyone, _) => {}
            }
        }
    }

    /// A chunk has come, or never will.
    pub(super) fn fetched(&mut self, name: SegmentName, chunk: u32, result: Result<(), String>, io: &mut Io<'_>) {
        for index in self.chunk_waiters.remove(&(name.id.seq, chunk)).unwrap_or_default() {
            match &result {
                Ok(()) => self.issue(index, io),
                Err(reason) => {
                    tracing::warn!(volume = self.name, segment = ?name.id, chunk, reason, "cannot fetch from the store");
                    self.mismatched(index, io);
                }
            }
        }
    }

    /// Fail what guests have asked for and only the store has.
    pub(super) fn fail_waiting_reads(&mut self, io: &mut Io<'_>) {
        let mut jobs = Vec::new();
        for waiters in self.leaf_waiters.values_mut() {
            waiters.retain(|waiter| match waiter {
                LeafWaiter::Read { job, .. } | LeafWaiter::Change { job } => {
                    jobs.push(*job);
                    false
                }
                LeafWaiter::Anyone => true,
            });
            // The leaf is still on its way.
            if waiters.is_empty() {
                waiters.push(LeafWaiter::Anyone);
            }
        }
        for job in jobs {
            self.part_done(job, false, io);
        }
        let mut failed = Vec::new();
        for waiters in self.chunk_waiters.values_mut() {
            let reads = &self.reads;
            waiters.retain(|&index| {
                let guests = matches!(reads.get(index).purpose, Purpose::Guest { .. } | Purpose::Merge { .. });
                if guests {
                    failed.push(index);
                }
                !guests
            });
        }
        for index in failed {
            self.read_failed(index, io);
        }
    }
}

/// The whole index of a segment.
pub(super) const WHOLE_INDEX: (u16, u16) = (INDEX_AT, INDEX_BLOCKS);
