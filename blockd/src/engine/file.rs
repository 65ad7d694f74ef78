//! One sparse file per volume; a clone's holes mean "read the image".
//!
//! # Why holes are safe
//! Which blocks of a clone are its own is recorded nowhere but in the file's extents: SEEK_DATA at open rebuilds the map. That
//! needs one property of the file system: a block counts as data only once its bytes are there.
//! - O_DIRECT writes to a hole on ext4 and xfs allocate *unwritten* extents, which SEEK_DATA reports as holes, and convert them
//!   after the data I/O has ended; the journal commit of the conversion flushes the disk's cache first. Buffered writes (ext4
//!   in `data=ordered`, xfs) likewise put the data down before the metadata that makes it visible. So after a power loss a
//!   block is either data with its bytes, or a hole: new or old contents, never zeros from nowhere.
//! - Each first write to a block covers all 4 KiB of it (partial writes copy the rest up from the image), in one request to the
//!   disk, so that no block is ever half image and half hole.
//! - A block whose image counterpart holds data is never punched out again: zeros are written there instead, since a hole would
//!   bring the image's bytes back. Where the image itself has a hole the two agree, and punching is right.
//! - The file is as large as the volume from the start, so no write depends on its size being journalled.
//!
//! # Why a successor may trust the file
//! After SIGKILL the kernel may still carry out writes of the dead process. The engine holds a flock on the very file
//! description it writes through, which the kernel gives up only when the last request on it has ended. A successor that has
//! the lock therefore knows that no write of a predecessor lands after one of its own.
//!
//! # Concurrency
//! Blocks the clone owns need no coordination: the file system orders what overlaps. A write that touches an inherited block
//! excludes other such writes to the range it covers until it has ended, or a whole-block write could be lost under a
//! concurrent copy-up. Reads of an inherited block go to the image until the first write has *completed*.

use super::buffer::AlignedBuffer;
use super::extents::BlockMap;
use super::slab::Slab;
use super::{Completion, Engine, Io, Operation, Request};
use hive_blockd_api::BLOCK_SIZE_BYTES;
use io_uring::{opcode, types};
use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, OFlags, StatxFlags};
use rustix::io::Errno;
use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// O_DIRECT granularity we rely on; a file system that wants more is used through the page cache.
const SECTOR_BYTES: u64 = 512;
/// Source of zeros; one writev takes up to 1024 of them.
const ZEROS_BYTES: usize = 128 << 10;
/// Most zeros one writev brings; bounds the time it occupies the disk.
const MAX_ZEROS_PER_WRITE_BYTES: u64 = 16 << 20;
/// Memory for requests that cannot go straight to guest pages; more of them wait. One is always let in.
const MAX_BOUNCE_BYTES: usize = 64 << 20;
/// How long a predecessor's last writes may take to end.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(30);
const PREDECESSOR_POLL: Duration = Duration::from_millis(5);

/// Why a volume could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("cannot open {0}")]
    Open(PathBuf, #[source] io::Error),
    #[error("{0} is still being written by another process")]
    Locked(PathBuf),
    #[error("cannot find out which blocks of {0} hold data")]
    Extents(PathBuf, #[source] io::Error),
}

/// What a clone reads where it has no data of its own.
#[derive(Debug)]
struct Base {
    file: File,
    /// Blocks of the image that hold data. Elsewhere image and hole read alike.
    image: BlockMap,
    /// Blocks the clone has written.
    own: BlockMap,
}

impl Base {
    fn inherits(&self, block: u64) -> bool {
        self.image.contains(block) && !self.own.contains(block)
    }
}

/// Where the bytes of a write come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Guest,
    Zeros,
}

/// What a piece does at the moment; each has one ring entry in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Read {
        from_image: bool,
    },
    /// Fetching the inherited block at this offset of the volume into the bounce buffer, before a write.
    CopyUp {
        block_offset: u64,
    },
    Write,
    Deallocate {
        mode: FallocateFlags,
    },
}

/// Part of a job that is one contiguous transfer.
#[derive(Debug)]
struct Piece {
    job: usize,
    step: Step,
    source: Source,
    /// What the job asked for.
    range: Range<u64>,
    /// What goes to the file: `range`, widened to whole blocks where those are copied up.
    io: Range<u64>,
    /// Bytes of the step already transferred.
    progress: u64,
    iovecs: Vec<libc::iovec>,
    bounce: Option<AlignedBuffer>,
    /// Blocks no other write may copy up meanwhile.
    locked: Option<Range<u64>>,
}

/// A request and what is left of it.
#[derive(Debug)]
struct Job {
    request: Request,
    pieces: usize,
    ok: bool,
}

/// See the module's documentation.
#[derive(Debug)]
pub struct FileEngine {
    path: PathBuf,
    file: File,
    direct: bool,
    size_bytes: u64,
    base: Option<Base>,
    jobs: Slab<Job>,
    pieces: Slab<Piece>,
    in_kernel: usize,
    /// Pieces that need a lock or bounce memory somebody else has.
    waiting: VecDeque<usize>,
    /// Pieces that the disk or the kernel has no room for.
    held: Vec<usize>,
    bounce_bytes: usize,
    zeros: AlignedBuffer,
    /// Something may have been written since the last successful sync began.
    dirty: bool,
    /// Jobs the running sync covers, and those that need another.
    syncing: Option<Vec<usize>>,
    sync_next: Vec<usize>,
    poisoned: Option<String>,
}

impl FileEngine {
    /// Open the volume in `path`, a clone of `image` if given. Waits for a dead predecessor's last writes.
    pub fn open(path: &Path, image: Option<&Path>, size_bytes: u64) -> Result<Self, OpenError> {
        let open_error = |e| OpenError::Open(path.to_owned(), e);
        let (file, direct) = open_direct(path).map_err(open_error)?;
        lock(&file, path)?;
        let base = match image {
            None => None,
            Some(image_path) => {
                // Through the page cache: clones of one image share it, which is what makes booting many of them cheap.
                let image_file = File::open(image_path).map_err(|e| OpenError::Open(image_path.to_owned(), e))?;
                let image_len = image_file.metadata().map_err(|e| OpenError::Open(image_path.to_owned(), e))?.len();
                let image = BlockMap::of_file(&image_file, image_len.min(size_bytes))
                    .map_err(|e| OpenError::Extents(image_path.to_owned(), e))?;
                let own = BlockMap::of_file(&file, image_len.min(size_bytes))
                    .map_err(|e| OpenError::Extents(path.to_owned(), e))?;
                Some(Base { file: image_file, image, own })
            }
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            direct,
            size_bytes,
            base,
            jobs: Slab::new(),
            pieces: Slab::new(),
            in_kernel: 0,
            waiting: VecDeque::new(),
            held: Vec::new(),
            bounce_bytes: 0,
            zeros: AlignedBuffer::new(ZEROS_BYTES),
            // A predecessor may have died with completed writes not yet flushed.
            dirty: true,
            syncing: None,
            sync_next: Vec::new(),
            poisoned: None,
        })
    }

    /// Cut `range` into runs of blocks for which `kind` is the same.
    fn runs(range: Range<u64>, kind: impl Fn(u64) -> bool) -> Vec<(Range<u64>, bool)> {
        let mut runs: Vec<(Range<u64>, bool)> = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let block = at / BLOCK_SIZE_BYTES;
            let end = range.end.min((block + 1) * BLOCK_SIZE_BYTES);
            let block_kind = kind(block);
            match runs.last_mut() {
                Some((run, run_kind)) if *run_kind == block_kind => run.end = end,
                _ => runs.push((at..end, block_kind)),
            }
            at = end;
        }
        runs
    }

    fn add_piece(&mut self, job: usize, step: Step, source: Source, range: Range<u64>) -> usize {
        self.jobs.get_mut(job).pieces += 1;
        self.pieces.insert(Piece {
            job,
            step,
            source,
            io: range.clone(),
            range,
            progress: 0,
            iovecs: Vec::new(),
            bounce: None,
            locked: None,
        })
    }

    fn plan_read(&mut self, job: usize, range: Range<u64>) -> Vec<usize> {
        let runs = match &self.base {
            None => vec![(range, false)],
            Some(base) => Self::runs(range, |block| base.inherits(block)),
        };
        runs.into_iter()
            .map(|(run, from_image)| self.add_piece(job, Step::Read { from_image }, Source::Guest, run))
            .collect()
    }

    /// Whole blocks without image data beneath are given back; everything else gets real zeros.
    fn plan_zero(&mut self, job: usize, range: Range<u64>, unmap: bool) -> Vec<usize> {
        let mode =
            if unmap { FallocateFlags::PUNCH_HOLE } else { FallocateFlags::ZERO_RANGE } | FallocateFlags::KEEP_SIZE;
        let whole = range.start.next_multiple_of(BLOCK_SIZE_BYTES)..range.end / BLOCK_SIZE_BYTES * BLOCK_SIZE_BYTES;
        let runs = Self::runs(range, |block| {
            let start = block * BLOCK_SIZE_BYTES;
            whole.start <= start && start < whole.end && !self.base.as_ref().is_some_and(|b| b.image.contains(block))
        });
        runs.into_iter()
            .map(|(run, deallocate)| {
                let step = if deallocate { Step::Deallocate { mode } } else { Step::Write };
                self.add_piece(job, step, Source::Zeros, run)
            })
            .collect()
    }

    /// Whether `piece` can go to the kernel now; if so it has its locks and memory.
    fn prepare(&mut self, index: usize) -> bool {
        let base = self.base.as_ref();
        let piece = self.pieces.get(index);
        let direct_to_guest = !self.direct
            || piece.source == Source::Zeros
            || matches!(piece.step, Step::Read { from_image: true })
            || self.jobs.get(piece.job).request.data.is_aligned(SECTOR_BYTES as usize);
        let mut copy_up = None;
        let mut locked = None;
        let mut io = piece.range.clone();
        if let (Step::Write, Some(base)) = (piece.step, base) {
            let blocks = io.start / BLOCK_SIZE_BYTES..io.end.div_ceil(BLOCK_SIZE_BYTES);
            if blocks.clone().any(|block| base.inherits(block)) {
                let (first, last) = (blocks.start, blocks.end - 1);
                if !io.start.is_multiple_of(BLOCK_SIZE_BYTES) && base.inherits(first) {
                    io.start = first * BLOCK_SIZE_BYTES;
                    copy_up = Some(io.start);
                }
                if !io.end.is_multiple_of(BLOCK_SIZE_BYTES) && base.inherits(last) {
                    io.end = (last + 1) * BLOCK_SIZE_BYTES;
                    copy_up = copy_up.or(Some(last * BLOCK_SIZE_BYTES));
                }
                locked = Some(blocks);
            }
        }
        if let Some(blocks) = &locked {
            let overlaps = |other: &Piece| {
                other.locked.as_ref().is_some_and(|held| held.start < blocks.end && blocks.start < held.end)
            };
            if self.pieces.iter().any(overlaps) {
                return false;
            }
        }
        let needs_bounce = !direct_to_guest || copy_up.is_some();
        let bounce_len = (io.end - io.start) as usize;
        if needs_bounce && self.bounce_bytes > 0 && self.bounce_bytes + bounce_len > MAX_BOUNCE_BYTES {
            return false;
        }
        let piece = self.pieces.get_mut(index);
        piece.io = io;
        piece.locked = locked;
        if needs_bounce {
            self.bounce_bytes += bounce_len;
            piece.bounce = Some(AlignedBuffer::new(bounce_len));
        }
        match copy_up {
            Some(block_offset) => piece.step = Step::CopyUp { block_offset },
            None => self.fill_bounce(index),
        }
        true
    }

    /// Put the job's own bytes into the bounce buffer of a write.
    fn fill_bounce(&mut self, index: usize) {
        let piece = self.pieces.get_mut(index);
        let request = &self.jobs.get(piece.job).request;
        let (Step::Write | Step::CopyUp { .. }, Some(bounce)) = (piece.step, &mut piece.bounce) else { return };
        let at = (piece.range.start - piece.io.start) as usize;
        let target = &mut bounce.as_mut_slice()[at..at + (piece.range.end - piece.range.start) as usize];
        match piece.source {
            Source::Guest => {
                request.data.read_at(piece.range.start - request.offset, target);
            }
            Source::Zeros => target.fill(0),
        }
    }

    /// Start `index` if it has what it needs, else let it wait for what another piece will release.
    fn start(&mut self, index: usize, io: &mut Io<'_>) {
        if self.prepare(index) {
            self.arm(index, io);
        } else {
            self.waiting.push_back(index);
        }
    }

    /// Hand the rest of the piece's current step to the kernel.
    fn arm(&mut self, index: usize, io: &mut Io<'_>) {
        let piece = self.pieces.get_mut(index);
        let request = &self.jobs.get(piece.job).request;
        let target = match (&piece.step, &self.base) {
            (Step::Read { from_image: true } | Step::CopyUp { .. }, Some(base)) => &base.file,
            _ => &self.file,
        };
        let fd = types::Fd(target.as_raw_fd());
        let span = piece.span();
        let (offset, left) = (span.start + piece.progress, span.end - span.start - piece.progress);
        piece.iovecs.clear();
        if let Some(bounce) = &mut piece.bounce {
            let at = (offset - piece.io.start) as usize;
            let part = &mut bounce.as_mut_slice()[at..at + left as usize];
            piece.iovecs.push(libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() });
        } else if piece.source == Source::Guest {
            request.data.slice_into(offset - request.offset, left, &mut piece.iovecs);
        } else {
            let mut left = left.min(MAX_ZEROS_PER_WRITE_BYTES) as usize;
            while left > 0 {
                let part = left.min(self.zeros.len());
                let start = self.zeros.as_slice().as_ptr().cast_mut().cast();
                piece.iovecs.push(libc::iovec { iov_base: start, iov_len: part });
                left -= part;
            }
        }
        let (iovecs, count) = (piece.iovecs.as_ptr(), piece.iovecs.len() as u32);
        let entry = match piece.step {
            Step::Read { .. } | Step::CopyUp { .. } => opcode::Readv::new(fd, iovecs, count).offset(offset).build(),
            Step::Write => opcode::Writev::new(fd, iovecs, count).offset(offset).build(),
            Step::Deallocate { mode } => {
                opcode::Fallocate::new(fd, left).offset(offset).mode(mode.bits() as i32).build()
            }
        };
        self.in_kernel += 1;
        // SAFETY: the vector of iovecs and the bounce buffer stay in the slab with their piece, the guest's pages are held by the
        // job's `GuestBuffers`, and neither goes before `complete` has seen this entry's end; the zeros are never written to.
        unsafe { io.uring.push(entry.user_data(index as u64)) }
    }

    /// The current step has transferred all it should.
    fn advance(&mut self, index: usize, io: &mut Io<'_>) {
        let piece = self.pieces.get_mut(index);
        match piece.step {
            Step::CopyUp { block_offset } => {
                piece.progress = 0;
                let last_block = piece.range.end / BLOCK_SIZE_BYTES;
                let last = last_block * BLOCK_SIZE_BYTES;
                let widened_at_end = piece.io.end != piece.range.end;
                piece.step = if widened_at_end && last != block_offset {
                    Step::CopyUp { block_offset: last }
                } else {
                    Step::Write
                };
                if piece.step == Step::Write {
                    self.fill_bounce(index);
                }
                self.arm(index, io);
            }
            Step::Read { .. } => {
                if let Some(bounce) = &piece.bounce {
                    let request = &self.jobs.get(piece.job).request;
                    request.data.write_at(piece.range.start - request.offset, bounce.as_slice());
                }
                self.finish_piece(index, true, io);
            }
            Step::Write => {
                if let Some(base) = &mut self.base {
                    let first = piece.io.start.div_ceil(BLOCK_SIZE_BYTES);
                    base.own.insert(first..piece.io.end / BLOCK_SIZE_BYTES);
                }
                self.finish_piece(index, true, io);
            }
            Step::Deallocate { .. } => self.finish_piece(index, true, io),
        }
    }

    fn finish_piece(&mut self, index: usize, ok: bool, io: &mut Io<'_>) {
        let piece = self.pieces.remove(index);
        self.bounce_bytes -= piece.bounce.as_ref().map_or(0, AlignedBuffer::len);
        let job = self.jobs.get_mut(piece.job);
        job.ok &= ok;
        job.pieces -= 1;
        if job.pieces == 0 {
            self.finish_job(piece.job, io);
        }
        if piece.locked.is_some() || piece.bounce.is_some() {
            for waiting in std::mem::take(&mut self.waiting) {
                self.start(waiting, io);
            }
        }
    }

    fn finish_job(&mut self, index: usize, io: &mut Io<'_>) {
        let job = self.jobs.get(index);
        let writes = matches!(job.request.operation, Operation::Write | Operation::Zero { .. });
        self.dirty |= writes;
        if writes && job.ok && job.request.durable {
            self.sync_next.push(index);
            self.start_sync(io);
        } else {
            self.answer(index, io);
        }
    }

    fn answer(&mut self, index: usize, io: &mut Io<'_>) {
        let job = self.jobs.remove(index);
        io.done.push(Completion { token: job.request.token, ok: job.ok });
    }

    /// One sync serves all who ask while another runs; none is needed when nothing was written since the last.
    fn start_sync(&mut self, io: &mut Io<'_>) {
        if self.syncing.is_some() || self.sync_next.is_empty() {
            return;
        }
        let jobs = std::mem::take(&mut self.sync_next);
        if !self.dirty || self.poisoned.is_some() {
            return self.end_sync(jobs, io);
        }
        self.dirty = false;
        self.syncing = Some(jobs);
        self.in_kernel += 1;
        let fd = types::Fd(self.file.as_raw_fd());
        let entry = opcode::Fsync::new(fd).flags(types::FsyncFlags::DATASYNC).build();
        // SAFETY: a sync names no memory.
        unsafe { io.uring.push(entry.user_data(SYNC_TAG)) }
    }

    fn end_sync(&mut self, jobs: Vec<usize>, io: &mut Io<'_>) {
        for index in jobs {
            self.jobs.get_mut(index).ok &= self.poisoned.is_none();
            self.answer(index, io);
        }
    }

    /// A failed sync may have dropped dirty pages for good, and the next one would claim success: nothing that is written from
    /// now on could honestly be called durable.
    fn complete_sync(&mut self, result: i32, io: &mut Io<'_>) {
        if result < 0 {
            let reason = format!("flush failed: {}", io::Error::from_raw_os_error(-result));
            tracing::error!(volume = %self.path.display(), reason, "volume refuses writes from now on");
            self.poisoned = Some(reason);
        }
        let jobs = self.syncing.take().unwrap_or_default();
        self.end_sync(jobs, io);
        self.start_sync(io);
    }

    /// The step ended with an error.
    fn fail(&mut self, index: usize, error: Errno, io: &mut Io<'_>) {
        let piece = self.pieces.get_mut(index);
        match (error, piece.step) {
            (Errno::INTR, _) => self.arm(index, io),
            (Errno::NOSPC | Errno::DQUOT | Errno::NOMEM | Errno::AGAIN, _) => {
                if self.held.is_empty() {
                    tracing::warn!(volume = %self.path.display(), %error, "requests wait for room");
                }
                self.held.push(index);
            }
            // tmpfs knows no ZERO_RANGE, some file systems no holes: do the next best.
            (Errno::OPNOTSUPP, Step::Deallocate { mode }) => {
                piece.step = if mode.contains(FallocateFlags::ZERO_RANGE) {
                    Step::Deallocate { mode: FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE }
                } else {
                    Step::Write
                };
                self.arm(index, io);
            }
            _ => {
                tracing::error!(volume = %self.path.display(), %error, step = ?piece.step, range = ?piece.range, "I/O error");
                self.finish_piece(index, false, io);
            }
        }
    }
}

/// Tag of the one running sync; pieces are tagged by their index, which is far below.
const SYNC_TAG: u64 = super::FIRST_FOREIGN_TAG - 1;

impl Piece {
    /// Bytes of the file that the current step is about.
    fn span(&self) -> Range<u64> {
        match self.step {
            Step::CopyUp { block_offset } => block_offset..block_offset + BLOCK_SIZE_BYTES,
            _ => self.io.clone(),
        }
    }
}

impl Engine for FileEngine {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn submit(&mut self, request: Request, io: &mut Io<'_>) {
        let (operation, range) = (request.operation, request.offset..request.offset + request.len);
        let refused = self.poisoned.is_some() && operation != Operation::Read;
        let job = self.jobs.insert(Job { request, pieces: 0, ok: !refused });
        if refused {
            return self.answer(job, io);
        }
        let pieces = match operation {
            Operation::Read => self.plan_read(job, range),
            Operation::Write if range.is_empty() => Vec::new(),
            Operation::Write => vec![self.add_piece(job, Step::Write, Source::Guest, range)],
            Operation::Zero { unmap } => self.plan_zero(job, range, unmap),
            Operation::Flush => {
                self.sync_next.push(job);
                return self.start_sync(io);
            }
        };
        if pieces.is_empty() {
            return self.finish_job(job, io);
        }
        for piece in pieces {
            self.start(piece, io);
        }
    }

    fn complete(&mut self, tag: u64, result: i32, io: &mut Io<'_>) {
        self.in_kernel -= 1;
        if tag == SYNC_TAG {
            return self.complete_sync(result, io);
        }
        let index = tag as usize;
        let piece = self.pieces.get_mut(index);
        let span = piece.span();
        match u64::try_from(result) {
            Err(_) => self.fail(index, Errno::from_raw_os_error(-result), io),
            Ok(_) if matches!(piece.step, Step::Deallocate { .. }) => self.advance(index, io),
            Ok(0) => self.fail(index, Errno::IO, io),
            Ok(bytes) => {
                piece.progress += bytes;
                if piece.progress < span.end - span.start {
                    self.arm(index, io);
                } else {
                    self.advance(index, io);
                }
            }
        }
    }

    fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    fn retry_held(&mut self, io: &mut Io<'_>) {
        for index in std::mem::take(&mut self.held) {
            self.arm(index, io);
        }
    }

    fn fail_held(&mut self, io: &mut Io<'_>) {
        for index in std::mem::take(&mut self.held) {
            self.finish_piece(index, false, io);
        }
    }

    fn in_kernel(&self) -> usize {
        self.in_kernel
    }

    fn poisoned(&self) -> Option<&str> {
        self.poisoned.as_deref()
    }

    fn close(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Open for O_DIRECT where the file system does it in sectors, else through the page cache. True if direct.
fn open_direct(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let buffered = options.open(path)?;
    let stat = rustix::fs::statx(&buffered, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)?;
    let known = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::DIOALIGN);
    let fits = |align: u32| align != 0 && u64::from(align) <= SECTOR_BYTES;
    if !known || !fits(stat.stx_dio_offset_align) || !fits(stat.stx_dio_mem_align) {
        return Ok((buffered, false));
    }
    Ok((options.custom_flags(OFlags::DIRECT.bits() as i32).open(path)?, true))
}

/// Wait until no write of a predecessor is under way (see the module's documentation).
fn lock(file: &File, path: &Path) -> Result<(), OpenError> {
    let deadline = Instant::now() + PREDECESSOR_TIMEOUT;
    loop {
        match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(()),
            Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(PREDECESSOR_POLL),
            Err(Errno::WOULDBLOCK) => return Err(OpenError::Locked(path.to_owned())),
            Err(e) => return Err(OpenError::Open(path.to_owned(), e.into())),
        }
    }
}
