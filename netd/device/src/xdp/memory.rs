//! Memory that the kernel writes too: rings, and the UMEM where frames lie (AF_XDP, Documentation/networking/af_xdp.rst).
#![allow(unsafe_code)]

use crate::sys::{self, Plain};
use std::io;
use std::marker::PhantomData;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;

/// A frame's place. A page: the kernel takes none that is larger, and frames of 1500 bytes and tags do not fit into half of one with
/// the kernel's headroom.
pub(super) const CHUNK_BYTES: usize = 4096;

/// Memory that is unmapped at the end.
#[derive(Debug)]
struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: nothing about a mapping belongs to a thread.
unsafe impl Send for Mapping {}

impl Mapping {
    fn new(bytes: usize, flags: libc::c_int, fd: RawFd, offset: i64) -> io::Result<Self> {
        // SAFETY: a new mapping at a place of the kernel's choice; whatever `fd` is, no memory of ours is touched.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                fd,
                offset as libc::off_t,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { base, bytes })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: it was mapped with this length, and nobody has a reference into it any more.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// What rings hold: data without padding, for which all bits are valid.
pub(super) trait Entry: Copy + sealed::Sealed {}
impl<T: Copy + sealed::Sealed> Entry for T {}

mod sealed {
    pub trait Sealed {}
    impl Sealed for u64 {}
    impl Sealed for super::Descriptor {}
}

/// `struct xdp_desc`: a frame in the UMEM.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub(super) struct Descriptor {
    pub address: u64,
    pub length: u32,
    pub options: u32,
}

/// `struct xdp_ring_offset`: where a ring's parts lie in its mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offsets {
    pub producer: u64,
    pub consumer: u64,
    pub entries: u64,
    pub flags: u64,
}

/// A ring as the kernel has laid it out.
#[derive(Debug)]
pub(super) struct RingMemory<T> {
    mapping: Mapping,
    producer: usize,
    consumer: usize,
    flags: usize,
    entries: usize,
    size: u32,
    entry: PhantomData<T>,
}

impl<T: Entry> RingMemory<T> {
    /// Maps a ring of `size` entries, a power of two.
    ///
    /// # Errors
    /// There is none at this place of the file, or it is laid out in no way that a ring can be.
    pub fn map(file: BorrowedFd<'_>, place: i64, offsets: Offsets, size: u32) -> io::Result<Self> {
        let at = |offset: u64| usize::try_from(offset).map_err(|_| io::ErrorKind::InvalidData);
        let entries = at(offsets.entries)?;
        let (producer, consumer, flags) = (at(offsets.producer)?, at(offsets.consumer)?, at(offsets.flags)?);
        let is_word = |at: usize| at.is_multiple_of(align_of::<AtomicU32>()) && at.saturating_add(4) <= entries;
        if !size.is_power_of_two()
            || !entries.is_multiple_of(align_of::<T>())
            || ![producer, consumer, flags].into_iter().all(is_word)
        {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let bytes = entries.checked_add(size as usize * size_of::<T>()).ok_or(io::ErrorKind::InvalidData)?;
        let mapping = Mapping::new(bytes, libc::MAP_SHARED | libc::MAP_POPULATE, file.as_raw_fd(), place)?;
        Ok(Self { mapping, producer, consumer, flags, entries, size, entry: PhantomData })
    }

    pub fn size(&self) -> u32 {
        self.size
    }

    fn word(&self, at: usize) -> &AtomicU32 {
        // SAFETY: `map` has seen that the word lies within the mapping, which is aligned to pages, and is aligned in it. Whoever else
        // writes it does so atomically, and it lives as long as `self`.
        unsafe { self.mapping.base.add(at).cast().as_ref() }
    }

    pub fn producer(&self) -> &AtomicU32 {
        self.word(self.producer)
    }

    pub fn consumer(&self) -> &AtomicU32 {
        self.word(self.consumer)
    }

    pub fn flags(&self) -> &AtomicU32 {
        self.word(self.flags)
    }

    fn entry(&self, index: u32) -> NonNull<T> {
        let at = self.entries + (index & (self.size - 1)) as usize * size_of::<T>();
        // SAFETY: masked, the index is less than the number of entries, which all lie within the mapping.
        unsafe { self.mapping.base.add(at).cast() }
    }

    /// The entry of an index, which goes round and round.
    pub fn get(&self, index: u32) -> T {
        // SAFETY: an aligned place within the mapping, and all bits are valid. The kernel writes it only while it is its own, which the
        // indices say.
        unsafe { self.entry(index).read() }
    }

    pub fn set(&mut self, index: u32, entry: T) {
        // SAFETY: as in `get`.
        unsafe { self.entry(index).write(entry) };
    }
}

/// The right to a chunk's bytes: there is one for each chunk, ours or the kernel's.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk(u32);

/// Memory of this process for frames, in chunks that go to and fro between us and the kernel.
#[derive(Debug)]
pub(super) struct Umem {
    mapping: Mapping,
    /// Those that the kernel has.
    lent: Vec<bool>,
}

impl Umem {
    /// All chunks are ours.
    ///
    /// # Errors
    /// There is not so much memory.
    pub fn new(chunks: u32) -> io::Result<(Self, Vec<Chunk>)> {
        let bytes = (chunks as usize).checked_mul(CHUNK_BYTES).ok_or(io::ErrorKind::InvalidInput)?;
        let mapping = Mapping::new(bytes, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)?;
        Ok((Self { mapping, lent: vec![false; chunks as usize] }, (0..chunks).map(Chunk).collect()))
    }

    /// Makes it the socket's.
    ///
    /// # Errors
    /// ENOBUFS: more than the process may have locked.
    pub fn register(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let region = Region {
            address: self.mapping.base.as_ptr() as u64,
            bytes: self.mapping.bytes as u64,
            chunk_bytes: CHUNK_BYTES as u32,
            headroom_bytes: 0,
            flags: 0,
            metadata_bytes: 0,
        };
        // The kernel holds the pages themselves from here on: it writes none that somebody else has when this is unmapped.
        sys::set_option(socket, libc::SOL_XDP, libc::XDP_UMEM_REG, &region)
    }

    pub fn bytes(&mut self, chunk: &Chunk) -> &mut [u8] {
        assert!((chunk.0 as usize) < self.lent.len(), "a chunk of another UMEM");
        // SAFETY: within the mapping, as was just seen. A chunk that exists is not the kernel's, which writes no other; and `self` is
        // borrowed as long as the bytes are.
        unsafe {
            let at = self.mapping.base.add(chunk.0 as usize * CHUNK_BYTES);
            std::slice::from_raw_parts_mut(at.as_ptr(), CHUNK_BYTES)
        }
    }

    /// Gives a chunk to the kernel, which is told its address.
    pub fn lend(&mut self, chunk: Chunk) -> u64 {
        if let Some(lent) = self.lent.get_mut(chunk.0 as usize) {
            *lent = true;
        }
        u64::from(chunk.0) * CHUNK_BYTES as u64
    }

    /// The chunk that holds an address the kernel gave back, and how far behind its beginning that is; None if the kernel did not have it.
    pub fn take_back(&mut self, address: u64) -> Option<(Chunk, usize)> {
        let number = u32::try_from(address / CHUNK_BYTES as u64).ok()?;
        let lent = self.lent.get_mut(number as usize)?;
        std::mem::take(lent).then_some((Chunk(number), (address % CHUNK_BYTES as u64) as usize))
    }
}

/// `struct xdp_umem_reg`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
struct Region {
    address: u64,
    bytes: u64,
    chunk_bytes: u32,
    headroom_bytes: u32,
    flags: u32,
    metadata_bytes: u32,
}

impl Plain for Region {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::os::fd::AsFd;

    proptest! {
        #[test]
        fn only_what_was_lent_comes_back(addresses in prop::collection::vec(prop_oneof![0..5 * CHUNK_BYTES as u64, any::<u64>()], 0..40)) {
            let (mut umem, mut chunks) = Umem::new(4).unwrap();
            chunks.drain(..).skip(1).for_each(|chunk| assert!(umem.lend(chunk) > 0));
            let mut back = Vec::new();
            for address in addresses {
                if let Some((chunk, at)) = umem.take_back(address) {
                    prop_assert!(at < CHUNK_BYTES && !back.contains(&chunk.0) && chunk.0 != 0);
                    umem.bytes(&chunk)[at] = 1;
                    back.push(chunk.0);
                }
            }
        }

        #[test]
        fn no_layout_leads_outside(producer in 0u64..80, consumer in 0u64..80, flags in 0u64..80, entries in 0u64..80, size in 0u32..9) {
            let file = tempfile::tempfile().unwrap();
            file.set_len(1 << 16).unwrap();
            let offsets = Offsets { producer, consumer, flags, entries };
            if let Ok(mut ring) = RingMemory::<Descriptor>::map(file.as_fd(), 0, offsets, size) {
                for index in [0, 1, size, u32::MAX] {
                    ring.set(index, Descriptor { address: 7, length: index, options: 0 });
                    prop_assert_eq!(ring.get(index).length, index);
                }
                ring.flags().store(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }
}
