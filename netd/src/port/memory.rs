//! Guest memory as the frontend shares it: mapped regions, and bounded slices of them.
//!
//! The guest and its VMM write to this memory at any time. It is therefore only ever copied from and to, never borrowed as a
//! Rust slice, and whatever is decided on is copied out first.
#![allow(unsafe_code)]

use super::mapping::Mapping;
use crate::error::PortError;
use std::fs::File;
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

/// Most regions of one guest: a VMM has a handful (RAM below and above 4 GiB, hotplugged modules); a frontend in userspace, one a heap.
pub const MAX_REGIONS: usize = 64;

/// One region as the frontend announced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegionLayout {
    pub guest_addr: u64,
    pub size_bytes: u64,
    /// Where the frontend has it mapped; ring addresses are given in this space.
    pub user_addr: u64,
    /// Offset of the region in its file.
    pub offset_bytes: u64,
}

/// One region, mapped as long as anyone has it.
#[derive(Debug)]
struct Region {
    layout: RegionLayout,
    mapping: Mapping,
}

impl Region {
    fn map(layout: RegionLayout, file: &File) -> Result<Self, PortError> {
        let failed = |why: String| PortError::Memory { guest_addr: layout.guest_addr, why };
        let mapping = Mapping::new(file, layout.offset_bytes, layout.size_bytes);
        let mapping = mapping.map_err(|error| failed(error.to_string()))?;
        if layout.guest_addr.checked_add(layout.size_bytes).is_none()
            || layout.user_addr.checked_add(layout.size_bytes).is_none()
        {
            return Err(failed("address range overflows".to_owned()));
        }
        Ok(Self { layout, mapping })
    }

    /// The byte at an offset in this process.
    ///
    /// # Safety
    /// The offset must lie inside the region.
    #[inline]
    unsafe fn at(&self, offset: u64) -> NonNull<u8> {
        // SAFETY: the mapping is as long as the region, inside which the caller has the offset.
        unsafe { self.mapping.start().add(offset as usize) }
    }
}

/// The regions of one guest at one moment. Changing them makes a new value; regions kept are shared, not mapped again.
#[derive(Clone, Debug, Default)]
pub struct GuestMemory {
    regions: Vec<Arc<Region>>,
}

impl GuestMemory {
    /// This memory with one region more.
    pub fn with(&self, layout: RegionLayout, file: &File) -> Result<Self, PortError> {
        if self.regions.len() >= MAX_REGIONS {
            return Err(PortError::Memory {
                guest_addr: layout.guest_addr,
                why: format!("more than {MAX_REGIONS} regions"),
            });
        }
        let region = Region::map(layout, file)?;
        let overlaps = |other: &Region| {
            let (a, b) = (&layout, &other.layout);
            a.guest_addr < b.guest_addr + b.size_bytes && b.guest_addr < a.guest_addr + a.size_bytes
        };
        if self.regions.iter().any(|other| overlaps(other)) {
            return Err(PortError::Memory { guest_addr: layout.guest_addr, why: "overlaps another region".to_owned() });
        }
        let mut regions = self.regions.clone();
        regions.push(Arc::new(region));
        Ok(Self { regions })
    }

    /// This memory without the region that starts at the same guest and user address and has the same size.
    pub fn without(&self, guest_addr: u64, user_addr: u64, size_bytes: u64) -> Option<Self> {
        let is_it = |region: &Region| {
            let layout = &region.layout;
            (layout.guest_addr, layout.user_addr, layout.size_bytes) == (guest_addr, user_addr, size_bytes)
        };
        let at = self.regions.iter().position(|region| is_it(region))?;
        let mut regions = self.regions.clone();
        regions.remove(at);
        Some(Self { regions })
    }

    /// The longest part of `[guest_addr, guest_addr + len)` that lies in one region from its start; None when there is no such region.
    #[inline]
    pub fn slice(&self, guest_addr: u64, len: u32) -> Option<GuestSlice<'_>> {
        self.regions.iter().find_map(|region| {
            let offset = guest_addr.wrapping_sub(region.layout.guest_addr);
            (offset < region.layout.size_bytes).then(|| {
                let len = u64::from(len).min(region.layout.size_bytes - offset) as u32;
                // SAFETY: `offset` lies inside the region, which is mapped for as long as `self` is borrowed.
                GuestSlice { start: unsafe { region.at(offset) }, len, memory: PhantomData }
            })
        })
    }

    /// Where the guest has a slice of this memory. Looked up, so that slices are small where nobody asks.
    pub fn guest_addr(&self, slice: &GuestSlice<'_>) -> Option<u64> {
        self.regions.iter().find_map(|region| {
            let start = region.mapping.start().as_ptr() as u64;
            let offset = (slice.start.as_ptr() as u64).wrapping_sub(start);
            (offset < region.layout.size_bytes).then(|| region.layout.guest_addr + offset)
        })
    }

    /// All of `[user_addr, user_addr + len)` in the frontend's address space; None unless one region holds it.
    pub fn user_slice(&self, user_addr: u64, len: u32) -> Option<GuestSlice<'_>> {
        self.regions.iter().find_map(|region| {
            let offset = user_addr.wrapping_sub(region.layout.user_addr);
            (offset < region.layout.size_bytes && u64::from(len) <= region.layout.size_bytes - offset).then(|| {
                // SAFETY: as in `slice`.
                GuestSlice { start: unsafe { region.at(offset) }, len, memory: PhantomData }
            })
        })
    }
}

/// A range of guest memory, valid while its [`GuestMemory`] is borrowed.
#[derive(Clone, Copy, Debug)]
pub struct GuestSlice<'m> {
    start: NonNull<u8>,
    len: u32,
    memory: PhantomData<&'m GuestMemory>,
}

// SAFETY: it is only copied from and to, as a `Region`, from whichever thread.
unsafe impl Send for GuestSlice<'_> {}
// SAFETY: as above.
unsafe impl Sync for GuestSlice<'_> {}

impl<'m> GuestSlice<'m> {
    #[inline]
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Address in this process, for the ring code that keeps pointers to ring memory.
    pub(super) fn as_ptr(&self) -> NonNull<u8> {
        self.start
    }

    /// The slice without its first `count` bytes (all of it when there are fewer).
    #[inline]
    pub fn skip(&self, count: u32) -> GuestSlice<'m> {
        let count = count.min(self.len);
        // SAFETY: `count` is at most the slice's length.
        GuestSlice { start: unsafe { self.start.add(count as usize) }, len: self.len - count, memory: PhantomData }
    }

    /// The slice's first `count` bytes (all of it when there are fewer).
    #[inline]
    pub fn first(&self, count: u32) -> GuestSlice<'m> {
        GuestSlice { len: self.len.min(count), ..*self }
    }

    /// Copies from the start of the slice into `out`; returns the number of bytes copied.
    #[inline]
    pub fn read(&self, out: &mut [u8]) -> usize {
        let count = out.len().min(self.len as usize);
        // SAFETY: both ranges hold `count` bytes; guest memory never overlaps memory of this process.
        unsafe { std::ptr::copy_nonoverlapping(self.start.as_ptr(), out.as_mut_ptr(), count) };
        count
    }

    /// The slice's first `N` bytes when it has them: one copy of constant size.
    #[inline]
    pub fn read_array<const N: usize>(&self) -> Option<[u8; N]> {
        // SAFETY: the slice holds at least N bytes; alignment is not required.
        (self.len as usize >= N).then(|| unsafe { self.start.cast::<[u8; N]>().read_unaligned() })
    }

    /// Writes the `N` bytes at the start when they fit: one copy of constant size. Returns whether they did.
    #[inline]
    pub fn write_array<const N: usize>(&self, bytes: &[u8; N]) -> bool {
        let fits = self.len as usize >= N;
        if fits {
            // SAFETY: the slice holds at least N bytes; alignment is not required.
            unsafe { self.start.cast::<[u8; N]>().write_unaligned(*bytes) };
        }
        fits
    }

    /// Copies `bytes` to the start of the slice; returns the number of bytes copied.
    #[inline]
    pub fn write(&self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.len as usize);
        // SAFETY: as in `read`.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.as_ptr(), count) };
        count
    }

    /// Copies from the start of this slice to the start of another guest's; returns the number of bytes copied.
    #[inline]
    pub fn copy_to(&self, to: GuestSlice<'_>) -> u32 {
        let count = self.len.min(to.len);
        // SAFETY: both ranges hold `count` bytes. Two mappings may show the same pages (a guest may announce one region twice), so
        // the copy must allow overlap.
        unsafe { std::ptr::copy(self.start.as_ptr(), to.start.as_ptr(), count as usize) };
        count
    }

    /// Asks the processor to fetch the cache line at an offset, to be read.
    #[inline]
    pub fn prefetch_at(&self, offset: u32) {
        prefetch(self.start.as_ptr().wrapping_add(offset as usize));
    }

    /// The same, to be written: the line is taken from whichever processor has it, once instead of twice.
    #[inline]
    pub fn prefetch_to_write_at(&self, offset: u32) {
        prefetch_to_write(self.start.as_ptr().wrapping_add(offset as usize));
    }
}

/// Asks the processor to fetch a cache line. The address may be any.
#[inline]
pub(super) fn prefetch(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: prefetching has no effect but on caches and faults on no address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line.cast()) };
    }
}

/// The same, to be written.
#[inline]
pub(super) fn prefetch_to_write(line: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        // The intrinsic becomes a plain prefetch where the instruction is not known to be there; a processor without it does nothing.
        // SAFETY: as in `prefetch`.
        unsafe { std::arch::asm!("prefetchw [{}]", in(reg) line, options(nostack, preserves_flags, readonly)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(guest_addr: u64, size_bytes: u64, offset_bytes: u64) -> RegionLayout {
        RegionLayout { guest_addr, size_bytes, user_addr: guest_addr + 0x7000_0000, offset_bytes }
    }

    #[test]
    fn slices_stay_inside_their_region() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(0x4000).unwrap();
        let memory = GuestMemory::default().with(layout(0x1000, 0x1800, 0x800), &file).unwrap();
        assert_eq!(memory.slice(0x1000, 16).unwrap().len(), 16);
        assert_eq!(memory.slice(0x27f8, 16).unwrap().len(), 8);
        assert!(memory.slice(0x2800, 1).is_none());
        assert!(memory.slice(0xfff, 1).is_none());
        assert!(memory.user_slice(0x7000_27f8, 16).is_none());
        assert_eq!(memory.slice(0x27ff, 9).unwrap().write(b"xyz"), 1);
        let mut byte = [0];
        assert_eq!(memory.slice(0x27ff, 1).unwrap().read(&mut byte), 1);
        assert_eq!(&byte, b"x");
        let two = memory.with(layout(0x8000, 0x1000, 0), &file).unwrap();
        for guest_addr in [0x1000, 0x27ff, 0x8000, 0x8ffe] {
            let slice = two.slice(guest_addr, 9).unwrap();
            assert_eq!(two.guest_addr(&slice), Some(guest_addr));
            assert_eq!(memory.guest_addr(&slice).is_some(), guest_addr < 0x8000, "of its own regions only");
        }
    }

    #[test]
    fn bad_regions_are_refused() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(0x2000).unwrap();
        let memory = GuestMemory::default().with(layout(0, 0x1000, 0), &file).unwrap();
        assert!(memory.with(layout(0xfff, 0x1000, 0), &file).is_err(), "overlap");
        assert!(memory.with(layout(0x1000, 0x2001, 0), &file).is_err(), "past the end of the file");
        assert!(memory.with(layout(u64::MAX - 0x8000_0000, 0, 0), &file).is_err(), "empty");
        assert!(memory.with(layout(0x1000, 0x1000, u64::MAX), &file).is_err(), "offset overflow");
        let two = memory.with(layout(0x1000, 0x1000, 0x1000), &file).unwrap();
        assert!(two.without(0x1000, 0x7000_1000, 0x1000).unwrap().slice(0x1000, 1).is_none());
        assert!(two.without(0x1000, 0x7000_1000, 0xfff).is_none());
    }
}
