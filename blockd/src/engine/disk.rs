//! What an engine asks of the files beneath it. The shipping disk is the thread's io_uring; tests record, drop, tear and reorder.

use std::os::fd::{AsFd, AsRawFd, RawFd};

/// An open file, by its descriptor; whoever names it keeps it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileId {
    pub fd: RawFd,
    /// The file lies in memory: reading and writing it never waits, and is quickest done at once.
    pub in_memory: bool,
}

impl FileId {
    pub fn of(file: impl AsFd) -> Self {
        let fd = file.as_fd();
        let in_memory = rustix::fs::fstatfs(fd).is_ok_and(|stat| stat.f_type == libc::TMPFS_MAGIC);
        Self { fd: fd.as_raw_fd(), in_memory }
    }
}

/// Asynchronous file operations. Each completes as its `tag` with a negative errno or the bytes done, in any order.
pub trait Disk {
    /// # Safety
    /// `iovecs` and the memory they name stay valid, in place and untouched until the completion of `tag` has been seen.
    unsafe fn readv(&mut self, file: FileId, iovecs: *const libc::iovec, count: u32, offset: u64, tag: u64);

    /// # Safety
    /// `iovecs` and the memory they name stay valid, in place and unchanged until the completion of `tag` has been seen.
    unsafe fn writev(&mut self, file: FileId, iovecs: *const libc::iovec, count: u32, offset: u64, tag: u64);

    /// Begin with what was asked for, although more may come.
    fn start(&mut self);

    /// Everything written and completed before survives a power loss once this has completed. `here`: nothing is waited for
    /// meanwhile, so the calling thread had better make it itself, when it has begun what else was asked for.
    fn sync(&mut self, file: FileId, here: bool, tag: u64);

    /// Reserve room; what was not written yet reads zeros.
    fn allocate(&mut self, file: FileId, offset: u64, len: u64, tag: u64);

    /// Give room back; the range reads zeros.
    fn punch(&mut self, file: FileId, offset: u64, len: u64, tag: u64);
}
