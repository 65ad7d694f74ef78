//! The one io_uring of an engine thread: block I/O, kicks, protocol messages and timers complete in a single wait.

use crate::engine::{Disk, FileId};
use io_uring::{IoUring, opcode, squeue, types};
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;

/// Submission slots. A batch larger than this is submitted in several system calls.
const SUBMISSION_ENTRIES: u32 = 256;
/// Completion slots; beyond them the kernel keeps completions in its own overflow list (IORING_FEAT_NODROP).
const COMPLETION_ENTRIES: u32 = 4096;

/// One completion: `tag` of the entry, and its result (a negative errno on failure).
#[derive(Clone, Copy, Debug)]
pub struct Cqe {
    pub tag: u64,
    pub result: i32,
    /// A multishot request stays armed.
    pub more: bool,
}

/// Submission and completion queues, with room for what the kernel does not take at the moment.
#[allow(missing_debug_implementations)]
pub struct Uring {
    ring: IoUring,
    /// Entries waiting for a submission slot: a full queue delays, it never fails a request.
    backlog: VecDeque<squeue::Entry>,
    /// Entries in the submission queue that the kernel has not been told of.
    unsubmitted: bool,
    /// Operations that need no ring, which have ended.
    ready: Vec<Cqe>,
    /// Syncs that this thread makes itself: files and tags.
    syncs: Vec<(RawFd, u64)>,
}

impl Uring {
    /// A ring for the calling thread alone.
    pub fn new() -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_cqsize(COMPLETION_ENTRIES);
        // Completions are then posted inside our own system calls, batched, instead of by interrupting the thread (Linux 6.1).
        builder.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag();
        let ring = builder.build(SUBMISSION_ENTRIES)?;
        if !ring.params().is_feature_nodrop() {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "io_uring of this kernel may drop completions"));
        }
        Ok(Self { ring, backlog: VecDeque::new(), unsubmitted: false, ready: Vec::new(), syncs: Vec::new() })
    }

    /// Queue an entry; it reaches the kernel at the next [`Self::submit`] or [`Self::wait`].
    ///
    /// # Safety
    /// All memory the entry names stays valid and in place until its completion has been reaped.
    pub unsafe fn push(&mut self, entry: squeue::Entry) {
        self.backlog.push_back(entry);
        self.fill();
    }

    fn fill(&mut self) {
        while let Some(entry) = self.backlog.front() {
            // SAFETY: the caller of `push` vouched for the memory this entry names.
            if unsafe { self.ring.submission().push(entry) }.is_err() {
                return;
            }
            self.unsubmitted = true;
            self.backlog.pop_front();
        }
    }

    /// Tell `tag` when `fd` becomes readable: once, or at every wake-up of the file when `multishot`.
    pub fn poll(&mut self, fd: RawFd, tag: u64, multishot: bool) {
        let entry = opcode::PollAdd::new(types::Fd(fd), libc::POLLIN as u32).multi(multishot).build().user_data(tag);
        // SAFETY: a poll names no memory; the kernel holds its own reference to the file.
        unsafe { self.push(entry) }
    }

    /// Give up everything armed as `tag`; its last completion still arrives. The cancellation itself completes as `ack_tag`.
    pub fn cancel(&mut self, tag: u64, ack_tag: u64) {
        // SAFETY: a cancellation names no memory.
        unsafe { self.push(opcode::AsyncCancel::new(tag).build().user_data(ack_tag)) }
    }

    /// Complete `tag` at the time `at` (CLOCK_MONOTONIC), which must stay in place until then.
    ///
    /// # Safety
    /// `at` stays valid until the completion has been reaped.
    pub unsafe fn timer(&mut self, at: *const types::Timespec, tag: u64) {
        // SAFETY: passed on to our caller.
        unsafe { self.push(opcode::Timeout::new(at).build().user_data(tag)) }
    }

    /// Hand everything queued to the kernel without waiting, and let it post completions that are ready. Then make the syncs that
    /// this thread makes itself: whoever submits has told what was answered before.
    pub fn submit(&mut self) -> io::Result<()> {
        self.hand_over()?;
        for (fd, tag) in std::mem::take(&mut self.syncs) {
            // SAFETY: a sync names no memory.
            let result = unsafe { libc::fdatasync(fd) };
            self.finished(tag, errno_or(result as isize));
        }
        Ok(())
    }

    fn hand_over(&mut self) -> io::Result<()> {
        if self.unsubmitted || self.ring.submission().taskrun() {
            self.enter(0)?;
        }
        Ok(())
    }

    /// [`Self::submit`], then sleep until at least one completion is there.
    pub fn wait(&mut self) -> io::Result<()> {
        if !self.syncs.is_empty() {
            self.submit()?;
        }
        self.enter(usize::from(self.ready.is_empty()))
    }

    fn enter(&mut self, want: usize) -> io::Result<()> {
        loop {
            let want = if self.backlog.is_empty() { want } else { 0 };
            match self.ring.submit_and_wait(want) {
                Ok(_) => self.unsubmitted = !self.ring.submission().is_empty(),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(()),
                // The kernel is short of memory or of completion room: what we queued stays queued until the next call.
                Err(e) if matches!(e.raw_os_error(), Some(libc::EBUSY | libc::EAGAIN | libc::ENOMEM)) => return Ok(()),
                Err(e) => return Err(e),
            }
            if self.backlog.is_empty() {
                return Ok(());
            }
            self.fill();
        }
    }

    /// Whether [`Self::reap`] after [`Self::submit`] would find something; costs no system call.
    pub fn is_ready(&mut self) -> bool {
        !self.ready.is_empty() || !self.ring.completion().is_empty() || self.ring.submission().taskrun()
    }

    /// Move all posted completions to `into`.
    pub fn reap(&mut self, into: &mut Vec<Cqe>) {
        into.append(&mut self.ready);
        into.extend(self.ring.completion().map(|cqe| Cqe {
            tag: cqe.user_data(),
            result: cqe.result(),
            more: io_uring::cqueue::more(cqe.flags()),
        }));
    }
}

/// The result as a completion has it.
fn errno_or(result: isize) -> i32 {
    if result >= 0 { result as i32 } else { -io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO) }
}

impl Uring {
    /// Something that needed no ring has ended.
    fn finished(&mut self, tag: u64, result: i32) {
        self.ready.push(Cqe { tag, result, more: false });
    }
}

impl Disk for Uring {
    unsafe fn readv(&mut self, file: FileId, iovecs: *const libc::iovec, count: u32, offset: u64, tag: u64) {
        if file.in_memory {
            // SAFETY: the caller vouches for iovecs and memory.
            let result = unsafe { libc::preadv(file.fd, iovecs, count as i32, offset as i64) };
            return self.finished(tag, errno_or(result));
        }
        let entry = opcode::Readv::new(types::Fd(file.fd), iovecs, count).offset(offset).build();
        // SAFETY: passed on to our caller.
        unsafe { self.push(entry.user_data(tag)) }
    }

    unsafe fn writev(&mut self, file: FileId, iovecs: *const libc::iovec, count: u32, offset: u64, tag: u64) {
        if file.in_memory {
            // SAFETY: the caller vouches for iovecs and memory.
            let result = unsafe { libc::pwritev(file.fd, iovecs, count as i32, offset as i64) };
            return self.finished(tag, errno_or(result));
        }
        let entry = opcode::Writev::new(types::Fd(file.fd), iovecs, count).offset(offset).build();
        // SAFETY: passed on to our caller.
        unsafe { self.push(entry.user_data(tag)) }
    }

    fn start(&mut self) {
        // What does not work here is met again, and told, when the round ends.
        let _ = self.hand_over();
    }

    fn sync(&mut self, file: FileId, here: bool, tag: u64) {
        if file.in_memory {
            return self.finished(tag, 0);
        }
        if here {
            return self.syncs.push((file.fd, tag));
        }
        let entry = opcode::Fsync::new(types::Fd(file.fd)).flags(types::FsyncFlags::DATASYNC).build();
        // SAFETY: a sync names no memory.
        unsafe { self.push(entry.user_data(tag)) }
    }

    fn allocate(&mut self, file: FileId, offset: u64, len: u64, tag: u64) {
        let entry = opcode::Fallocate::new(types::Fd(file.fd), len).offset(offset).build();
        // SAFETY: an allocation names no memory.
        unsafe { self.push(entry.user_data(tag)) }
    }

    fn punch(&mut self, file: FileId, offset: u64, len: u64, tag: u64) {
        let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        let entry = opcode::Fallocate::new(types::Fd(file.fd), len).offset(offset).mode(mode).build();
        // SAFETY: a deallocation names no memory.
        unsafe { self.push(entry.user_data(tag)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsRawFd;

    /// A sync of our own waits for the end of the round, and tells what the disk said.
    #[test]
    fn syncs_of_the_thread_end_like_others() {
        let file = tempfile::tempfile().unwrap();
        let (pipe, _end) = io::pipe().unwrap();
        let mut uring = Uring::new().unwrap();
        for (fd, tag) in [(file.as_raw_fd(), 1), (pipe.as_raw_fd(), 2)] {
            uring.sync(FileId { fd, in_memory: false }, true, tag);
        }
        uring.start();
        assert!(!uring.is_ready(), "others are to be answered first");
        uring.wait().unwrap();
        let mut ended = Vec::new();
        uring.reap(&mut ended);
        let ended: Vec<_> = ended.iter().map(|cqe| (cqe.tag, cqe.result)).collect();
        assert_eq!(ended, [(1, 0), (2, -libc::EINVAL)]);
    }
}
