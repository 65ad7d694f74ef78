//! Guest memory as the frontend shares it. The only ways in are bounds-checked: a byte range becomes [`GuestBuffers`] or it is
//! refused, and buffers keep their mapping alive.

use std::fs::File;
use std::io;
use std::rc::Rc;
use vm_memory::{FileOffset, MmapRegion};

/// Most memory regions of one frontend: what one SET_MEM_TABLE message can carry file descriptors for.
pub const MAX_REGIONS: usize = 32;
/// Most pieces of one request: IOV_MAX, what one readv or writev takes.
pub const MAX_IOVECS: usize = 1024;

/// Map `size` bytes of `file` from `offset`, shared. Checked against the file's length: touching a page beyond it would be
/// answered with SIGBUS.
pub fn map_shared(file: File, offset: u64, size: usize) -> io::Result<MmapRegion> {
    let end = offset.checked_add(size as u64);
    if end.is_none_or(|end| file.metadata().map_or(true, |metadata| metadata.len() < end)) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the file is shorter than what is to be mapped"));
    }
    MmapRegion::from_file(FileOffset::new(file, offset), size).map_err(io::Error::other)
}

/// One shared region.
#[derive(Debug)]
struct Region {
    guest_base: u64,
    /// Address in the frontend, which the vhost-user protocol gives ring addresses in.
    user_base: u64,
    mapping: MmapRegion,
}

impl Region {
    fn size(&self) -> u64 {
        self.mapping.size() as u64
    }

    /// Host address of `len` bytes at `address`, where `base` is this region's start in the same address space.
    fn locate(&self, base: u64, address: u64, len: u64) -> Option<*mut u8> {
        let offset = address.checked_sub(base)?;
        if offset.checked_add(len)? > self.size() {
            return None;
        }
        // SAFETY: `offset` lies within the mapping, checked above.
        Some(unsafe { self.mapping.as_ptr().add(usize::try_from(offset).ok()?) })
    }
}

/// Description of a region, from SET_MEM_TABLE or ADD_MEM_REG.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionInfo {
    pub guest_base: u64,
    pub user_base: u64,
    pub size_bytes: u64,
    pub file_offset: u64,
}

/// Why a region was refused.
#[derive(Debug, thiserror::Error)]
pub enum MemoryError {
    #[error("more than {MAX_REGIONS} memory regions")]
    TooMany,
    #[error("memory region at {0:#x} overlaps another, is empty or wraps around")]
    BadRange(u64),
    #[error("no memory region at {0:#x}")]
    NotFound(u64),
    #[error("cannot map the memory region at {0:#x}")]
    Map(u64, #[source] io::Error),
}

/// The regions of one frontend, immutable: a change makes a new table, so that buffers of the old one stay valid.
#[derive(Clone, Debug, Default)]
pub struct GuestMemory {
    regions: Vec<Rc<Region>>,
}

impl GuestMemory {
    /// This table with one more region. The file must already be as large as the region claims.
    pub fn with_region(&self, info: RegionInfo, file: File) -> Result<Self, MemoryError> {
        if self.regions.len() >= MAX_REGIONS {
            return Err(MemoryError::TooMany);
        }
        let bad_range = || MemoryError::BadRange(info.guest_base);
        let end = info.guest_base.checked_add(info.size_bytes).ok_or_else(bad_range)?;
        info.user_base.checked_add(info.size_bytes).ok_or_else(bad_range)?;
        let overlaps = |r: &Rc<Region>| r.guest_base < end && info.guest_base < r.guest_base + r.size();
        if info.size_bytes == 0 || self.regions.iter().any(overlaps) {
            return Err(bad_range());
        }
        let size = usize::try_from(info.size_bytes).map_err(|_| bad_range())?;
        let mapping = map_shared(file, info.file_offset, size).map_err(|e| MemoryError::Map(info.guest_base, e))?;
        let mut regions = self.regions.clone();
        regions.push(Rc::new(Region { guest_base: info.guest_base, user_base: info.user_base, mapping }));
        Ok(Self { regions })
    }

    /// This table without the region that starts at `guest_base`.
    pub fn without_region(&self, guest_base: u64) -> Result<Self, MemoryError> {
        let mut regions = self.regions.clone();
        let at = regions.iter().position(|r| r.guest_base == guest_base).ok_or(MemoryError::NotFound(guest_base))?;
        regions.swap_remove(at);
        Ok(Self { regions })
    }

    /// `len` contiguous bytes at the frontend's own address `user_address`, for a ring.
    pub fn user_range(&self, user_address: u64, len: u64) -> Option<Pinned> {
        self.regions.iter().find_map(|region| {
            let start = region.locate(region.user_base, user_address, len)?;
            Some(Pinned { start, _region: region.clone() })
        })
    }

    /// Append the `len` bytes at guest-physical `address` to `buffers`; a range may cross into an adjacent region.
    /// False when any of it is not guest memory, or the pieces are too many for one request.
    pub fn append(&self, mut address: u64, mut len: u64, buffers: &mut GuestBuffers) -> bool {
        while len > 0 {
            let Some(region) =
                self.regions.iter().find(|r| address >= r.guest_base && address - r.guest_base < r.size())
            else {
                return false;
            };
            let part = len.min(region.size() - (address - region.guest_base));
            let Some(start) = region.locate(region.guest_base, address, part) else { return false };
            if buffers.iovecs.len() >= MAX_IOVECS {
                return false;
            }
            buffers.hold(region);
            buffers.iovecs.push(libc::iovec { iov_base: start.cast(), iov_len: part as usize });
            buffers.len += part;
            address += part;
            len -= part;
        }
        true
    }
}

/// A contiguous piece of guest memory with its mapping.
#[derive(Debug)]
pub struct Pinned {
    pub start: *mut u8,
    _region: Rc<Region>,
}

/// Scattered guest memory, in order. Its contents may change under us at any time: the guest runs on.
#[derive(Debug, Default)]
pub struct GuestBuffers {
    iovecs: Vec<libc::iovec>,
    len: u64,
    regions: Vec<Rc<Region>>,
}

impl GuestBuffers {
    /// Keep `region` mapped for as long as these buffers live.
    fn hold(&mut self, region: &Rc<Region>) {
        if !self.regions.iter().any(|held| Rc::ptr_eq(held, region)) {
            self.regions.push(region.clone());
        }
    }

    /// Total length in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether every piece starts and ends on a multiple of `align`, as O_DIRECT asks.
    pub fn is_aligned(&self, align: usize) -> bool {
        self.iovecs.iter().all(|v| (v.iov_base as usize).is_multiple_of(align) && v.iov_len.is_multiple_of(align))
    }

    /// Fill `into` with the pieces that make up `len` bytes from `offset`; fewer if the buffers end before.
    pub fn slice_into(&self, offset: u64, len: u64, into: &mut Vec<libc::iovec>) {
        let (mut skip, mut left) = (offset, len);
        for piece in &self.iovecs {
            let piece_len = piece.iov_len as u64;
            if skip >= piece_len {
                skip -= piece_len;
                continue;
            }
            let part = left.min(piece_len - skip);
            if part == 0 {
                return;
            }
            // SAFETY: `skip` is less than the length of this piece, whose mapping we hold.
            let start = unsafe { piece.iov_base.cast::<u8>().add(skip as usize) };
            into.push(libc::iovec { iov_base: start.cast(), iov_len: part as usize });
            left -= part;
            skip = 0;
        }
    }

    /// Copy from the guest, beginning `offset` bytes in, until `into` is full or the buffers end; returns the bytes copied.
    pub fn read_at(&self, offset: u64, into: &mut [u8]) -> usize {
        self.each(offset, into.len(), |guest, at, len| {
            // SAFETY: `guest` is valid for `len` bytes while we hold its mapping; `at + len` is within `into`, which is ours alone.
            unsafe { std::ptr::copy_nonoverlapping(guest, into.as_mut_ptr().add(at), len) }
        })
    }

    /// Copy to the guest, beginning `offset` bytes in, until `from` or the buffers end; returns the bytes copied.
    pub fn write_at(&self, offset: u64, from: &[u8]) -> usize {
        self.each(offset, from.len(), |guest, at, len| {
            // SAFETY: `guest` is valid for `len` bytes while we hold its mapping; `at + len` is within `from`.
            unsafe { std::ptr::copy_nonoverlapping(from.as_ptr().add(at), guest, len) }
        })
    }

    /// Zero `len` bytes of the guest's memory, beginning `offset` bytes in; fewer if the buffers end before.
    pub fn fill_zeros(&self, offset: u64, len: u64) {
        self.each(offset, usize::try_from(len).unwrap_or(usize::MAX), |guest, _, len| {
            // SAFETY: `guest` is valid for `len` bytes while we hold its mapping.
            unsafe { std::ptr::write_bytes(guest, 0, len) }
        });
    }

    fn each(&self, offset: u64, len: usize, mut f: impl FnMut(*mut u8, usize, usize)) -> usize {
        let (mut skip, mut at) = (offset, 0);
        for piece in &self.iovecs {
            if at == len {
                break;
            }
            let piece_len = piece.iov_len as u64;
            if skip >= piece_len {
                skip -= piece_len;
                continue;
            }
            let part = (len - at).min((piece_len - skip) as usize);
            // SAFETY: `skip` is less than the length of this piece, whose mapping we hold.
            f(unsafe { piece.iov_base.cast::<u8>().add(skip as usize) }, at, part);
            at += part;
            skip = 0;
        }
        at
    }

    /// Cut in two: what is from `len` on is returned.
    pub fn split_off(&mut self, len: u64) -> Self {
        let mut tail = Self { iovecs: Vec::new(), len: self.len.saturating_sub(len), regions: self.regions.clone() };
        self.slice_into(len, tail.len, &mut tail.iovecs);
        let mut excess = tail.len;
        while excess > 0 {
            let Some(last) = self.iovecs.last_mut() else { break };
            let cut = excess.min(last.iov_len as u64);
            last.iov_len -= cut as usize;
            excess -= cut;
            if last.iov_len == 0 {
                self.iovecs.pop();
            }
        }
        self.len -= tail.len;
        tail
    }
}
