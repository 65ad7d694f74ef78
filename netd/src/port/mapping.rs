//! A shared mapping of a part of a frontend's file.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU8;

/// Mapped memory that others write to at any time, unmapped with this value.
#[derive(Debug)]
pub(super) struct Mapping {
    start: NonNull<u8>,
    size_bytes: u64,
    mapping: NonNull<u8>,
    mapping_bytes: usize,
}

// SAFETY: the mapping is plain memory owned by this value for its whole life; it is only accessed through raw copies and atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above; concurrent raw copies race no more than the frontend itself does.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `size_bytes` of the file from `offset_bytes` on, which it must have: a page behind a file's end faults.
    pub fn new(file: &File, offset_bytes: u64, size_bytes: u64) -> io::Result<Self> {
        let invalid = |why: &'static str| io::Error::new(io::ErrorKind::InvalidInput, why);
        let metadata = file.metadata()?;
        let end = offset_bytes.checked_add(size_bytes).ok_or_else(|| invalid("file offset overflows"))?;
        if size_bytes == 0 || end > metadata.len() {
            return Err(invalid("it is empty or reaches past the end of its file"));
        }
        // Huge page files map and unmap in whole huge pages, which is their block size.
        let page = metadata.blksize().max(4096).next_power_of_two();
        let from = offset_bytes & !(page - 1);
        let skipped = (offset_bytes - from) as usize;
        let mapping_bytes =
            usize::try_from((end - from).next_multiple_of(page)).map_err(|_| invalid("it is too large"))?;
        let from = libc::off_t::try_from(from).map_err(|_| invalid("file offset is too large"))?;
        // SAFETY: a new shared mapping at an address of the kernel's choice; nothing of ours is replaced.
        let address = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapping_bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                from,
            )
        };
        let mapping = NonNull::new(address.cast::<u8>())
            .filter(|_| address != libc::MAP_FAILED)
            .ok_or_else(io::Error::last_os_error)?;
        // SAFETY: `skipped` is less than one page and the mapping reaches to `end`, beyond it.
        let start = unsafe { mapping.add(skipped) };
        Ok(Self { start, size_bytes, mapping, mapping_bytes })
    }

    /// Address of the first byte in this process.
    #[inline]
    pub fn start(&self) -> NonNull<u8> {
        self.start
    }

    pub fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// One byte, to be read and written while others do; None behind the end.
    pub fn byte(&self, offset: u64) -> Option<&AtomicU8> {
        // SAFETY: the byte lies inside the mapping, which lives as long as `self` is borrowed.
        (offset < self.size_bytes).then(|| unsafe { AtomicU8::from_ptr(self.start.add(offset as usize).as_ptr()) })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: exactly the range that `new` mapped; whoever holds a pointer into it borrows the owner of this value.
        unsafe { libc::munmap(self.mapping.as_ptr().cast(), self.mapping_bytes) };
    }
}
