//! The log of pages that were written, by which a frontend migrates a guest while it runs (vhost-user, "Migration"): one bit for each
//! page of 4 KiB of guest physical memory, in a file that the frontend shares and clears as it copies pages.
//!
//! A page that is written and has no bit in the log would be lost on the way, and nobody would know: it stops the port. (The frontend
//! sizes the log by the guest's memory, so an honest one never meets that. libvhost-user asserts, and DPDK passes over it.)

use super::mapping::Mapping;
use super::ring::RingFault;
use crate::error::PortError;
use crate::mailbox::signal;
use rustix::fs::{SealFlags, fcntl_get_seals, fstatfs};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Of guest memory that has one bit, whatever the guest's or host's pages are.
pub const LOG_PAGE_BYTES: u64 = 4096;

/// Largest log: of 64 TiB of guest memory, more than a host has. What is not written to takes address space only.
pub const LOG_BYTES_MAX: u64 = 2 << 30;

/// A mapped log.
#[derive(Debug)]
pub struct DirtyLog(Mapping);

impl DirtyLog {
    /// Maps what SET_LOG_BASE came with. The file must be sealed against shrinking, as those of QEMU are: touching a page
    /// behind a file's end would end this process.
    pub fn map(file: &File, offset_bytes: u64, size_bytes: u64) -> Result<Self, PortError> {
        let failed = |why: String| PortError::Log { why };
        if size_bytes > LOG_BYTES_MAX {
            return Err(failed(format!("it is larger than {LOG_BYTES_MAX} bytes")));
        }
        let seals = fcntl_get_seals(file).map_err(|error| failed(format!("its file cannot be sealed: {error}")))?;
        if !seals.contains(SealFlags::SHRINK) {
            return Err(failed("its file is not sealed against shrinking".to_owned()));
        }
        // A huge page that is punched out of its file may not be there again, which ends the process as well.
        let kind = fstatfs(file).map_err(|error| failed(io::Error::from(error).to_string()))?.f_type;
        if kind != libc::TMPFS_MAGIC {
            return Err(failed("its file is not of ordinary shared memory".to_owned()));
        }
        Mapping::new(file, offset_bytes, size_bytes).map(Self).map_err(|error| failed(error.to_string()))
    }

    /// Pages from the first to the last that a range touches, if the log has them all.
    fn pages(&self, guest_addr: u64, len: u32) -> Option<std::ops::RangeInclusive<u64>> {
        let last = guest_addr.checked_add(u64::from(len).checked_sub(1)?)? / LOG_PAGE_BYTES;
        (last / 8 < self.0.size_bytes()).then_some(guest_addr / LOG_PAGE_BYTES..=last)
    }

    /// Marks the pages of a range that was written before. The frontend sees what was written when it sees the bit.
    /// False when the log does not reach there.
    #[must_use]
    fn mark(&self, guest_addr: u64, len: u32) -> bool {
        if len == 0 {
            return true;
        }
        let Some(pages) = self.pages(guest_addr, len) else { return false };
        for page in pages {
            // Never left out for a bit that is set: the frontend may be about to clear it, and to copy what was there before.
            if let Some(byte) = self.0.byte(page / 8) {
                byte.fetch_or(1 << (page % 8), Ordering::Release);
            }
        }
        true
    }
}

/// What one ring's writes are told to.
#[derive(Clone, Debug)]
pub struct RingLog {
    log: Arc<DirtyLog>,
    /// Guest address of the used ring, when its writes are logged too.
    used: Option<u64>,
    /// Of SET_LOG_FD: told of every write to the log.
    call: Option<Arc<File>>,
}

impl RingLog {
    /// With `used`, where the log has the used ring, and how long that is.
    pub fn new(log: Arc<DirtyLog>, used: Option<(u64, u32)>, call: Option<Arc<File>>) -> Result<Self, RingFault> {
        match used {
            Some((guest_addr, len)) if log.pages(guest_addr, len).is_none() => Err(RingFault::Log),
            _ => Ok(Self { log, used: used.map(|(guest_addr, _)| guest_addr), call }),
        }
    }

    /// A part of a buffer was written.
    pub fn buffer(&self, guest_addr: u64, len: u32) -> Result<(), RingFault> {
        if self.log.mark(guest_addr, len) { Ok(()) } else { Err(RingFault::Log) }
    }

    /// Parts of the used ring were written: from an offset, so many bytes.
    pub fn used(&self, parts: &[(usize, usize)]) {
        if let Some(used) = self.used {
            for (offset, len) in parts {
                // All of the ring is in the log, see `new`.
                let _ = self.log.mark(used + *offset as u64, *len as u32);
            }
        }
        if let Some(call) = &self.call {
            signal(call);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use rustix::fs::{MemfdFlags, fcntl_add_seals, memfd_create};
    use std::os::unix::fs::FileExt;

    pub fn memfd(size_bytes: u64, seals: SealFlags) -> File {
        let file = File::from(memfd_create("log", MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC).unwrap());
        file.set_len(size_bytes).unwrap();
        fcntl_add_seals(&file, seals).unwrap();
        file
    }

    /// The pages marked in a log that lies at an offset of its file.
    pub fn marked(file: &File, offset_bytes: u64, size_bytes: u64) -> Vec<u64> {
        let mut bytes = vec![0; size_bytes as usize];
        file.read_exact_at(&mut bytes, offset_bytes).unwrap();
        (0..size_bytes * 8).filter(|page| bytes[(page / 8) as usize] & 1 << (page % 8) != 0).collect()
    }

    #[test]
    fn logs_that_could_end_the_process_are_refused() {
        let refused = |file: &File, offset, size| DirtyLog::map(file, offset, size).unwrap_err().to_string();
        let sealed = memfd(0x2000, SealFlags::SHRINK);
        assert!(DirtyLog::map(&sealed, 0, 0x2000).is_ok());
        assert!(DirtyLog::map(&sealed, 0x1ff8, 8).is_ok(), "at any offset");
        assert!(refused(&sealed, 0, 0x2001).contains("past the end"));
        assert!(refused(&sealed, 0x2000, 1).contains("past the end"));
        assert!(refused(&sealed, 0, 0).contains("empty"));
        assert!(refused(&sealed, u64::MAX, 2).contains("overflows"));
        assert!(refused(&sealed, 0, LOG_BYTES_MAX + 1).contains("larger"));
        assert!(refused(&memfd(0x2000, SealFlags::GROW), 0, 0x2000).contains("not sealed"));
        assert!(DirtyLog::map(&memfd(0x2000, SealFlags::SHRINK | SealFlags::WRITE), 0, 0x2000).is_err(), "read-only");
        assert!(refused(&tempfile::tempfile().unwrap(), 0, 1).contains("sealed"));
        assert!(refused(&File::open("/dev/null").unwrap(), 0, 1).contains("sealed"));
        // Nor can it shrink once it is mapped.
        assert!(sealed.set_len(0x1000).is_err());
    }

    #[test]
    fn pages_behind_the_log_are_told() {
        let file = memfd(0x1000, SealFlags::SHRINK);
        let log = Arc::new(DirtyLog::map(&file, 16, 2).unwrap());
        let ring = RingLog::new(log.clone(), None, None).unwrap();
        assert_eq!(ring.buffer(15 * LOG_PAGE_BYTES, 4096), Ok(()));
        assert_eq!(ring.buffer(15 * LOG_PAGE_BYTES, 4097), Err(RingFault::Log));
        assert_eq!(ring.buffer(u64::MAX, 2), Err(RingFault::Log));
        assert_eq!(ring.buffer(u64::MAX, 0), Ok(()));
        assert_eq!(marked(&file, 0, 0x1000), [16 * 8 + 15]);
        assert!(RingLog::new(log.clone(), Some((0xf000, 0x1001)), None).is_err());
        assert!(RingLog::new(log.clone(), Some((u64::MAX - 4, 6)), None).is_err());
        assert!(RingLog::new(log, Some((0xf000, 0x1000)), None).is_ok());
    }

    proptest! {
        #[test]
        fn the_pages_of_a_range_are_marked_and_no_others(
            offset in 0u64..100, writes in proptest::collection::vec((0u64..0x40_0000, 0u32..0x2_0000), 0..10),
        ) {
            const SIZE: u64 = 0x40_0000 / LOG_PAGE_BYTES / 8;
            let file = memfd(0x1000, SealFlags::SHRINK);
            let ring = RingLog::new(Arc::new(DirtyLog::map(&file, offset, SIZE).unwrap()), None, None).unwrap();
            let mut wanted = std::collections::BTreeSet::new();
            for (guest_addr, len) in writes {
                let end = guest_addr + u64::from(len);
                prop_assert_eq!(ring.buffer(guest_addr, len).is_ok(), len == 0 || end <= 0x40_0000);
                if end <= 0x40_0000 {
                    wanted.extend((guest_addr..end).map(|byte| byte / LOG_PAGE_BYTES));
                }
            }
            let wanted: Vec<u64> = wanted.into_iter().map(|page| page + offset * 8).collect();
            prop_assert_eq!(marked(&file, 0, 0x1000), wanted);
        }
    }
}
