//! The device side of a split virtqueue (virtio 1.2, 2.7) on raw guest memory.
//!
//! A ring is used by one thread at a time. Every index, length and address that the guest wrote is read once and checked; a
//! contradiction is a [`RingFault`], after which the owner stops the port.
#![allow(unsafe_code)]

use super::log::RingLog;
use super::memory::{GuestMemory, GuestSlice, prefetch, prefetch_to_write};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering, fence};

/// Largest ring accepted. Stock drivers use 256 to 1024; virtio allows 32768.
pub const MAX_RING_SIZE: u16 = 4096;

/// Descriptors of a chain that are followed. Drivers use some tens at most; each costs a look, of every copy too, so that chains as
/// long as a ring would take much of a worker's time. (DPDK takes as many.)
pub const CHAIN_MAX: u16 = 256;

const DESCRIPTOR_BYTES: u32 = 16;
const DESC_F_NEXT: u16 = 1;
const DESC_F_WRITE: u16 = 2;
const DESC_F_INDIRECT: u16 = 4;
const AVAIL_F_NO_INTERRUPT: u16 = 1;
const USED_F_NO_NOTIFY: u16 = 1;

/// How a guest broke its ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingFault {
    /// The ring's own areas are misaligned or outside guest memory.
    Placement,
    /// The available index is more than a ring's size ahead.
    AvailableIndex,
    /// A descriptor index is not below the ring's (or table's) size.
    DescriptorIndex,
    /// A chain is longer than the ring, or than [`CHAIN_MAX`]: it loops.
    ChainLength,
    /// A buffer lies outside guest memory.
    BufferAddress,
    /// A buffer is writable where it must be readable, or the other way round.
    Direction,
    /// An indirect table is nested, empty, too long or combined with a next flag.
    IndirectTable,
    /// What is written lies outside the log of written pages: the frontend would miss it when it migrates the guest.
    Log,
}

impl fmt::Display for RingFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Placement => "ring is misaligned or outside guest memory",
            Self::AvailableIndex => "available index is more than a ring ahead",
            Self::DescriptorIndex => "descriptor index is outside its table",
            Self::ChainLength => "descriptor chain is longer than the ring or 256 descriptors",
            Self::BufferAddress => "buffer is outside guest memory",
            Self::Direction => "buffer has the wrong direction",
            Self::IndirectTable => "indirect table is nested, empty or too long",
            Self::Log => "written page is outside the log of written pages",
        })
    }
}

/// Which way the guest's buffers of a ring go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The guest sends: buffers are read.
    FromGuest,
    /// The guest receives: buffers are written.
    ToGuest,
}

/// Of a used ring with its flags, index and event field (2.7.8).
pub fn used_ring_bytes(size: u16) -> u32 {
    6 + 8 * u32::from(size)
}

/// Where a ring lies and where it starts, as the frontend said.
#[derive(Clone, Copy, Debug)]
pub struct RingLayout {
    pub size: u16,
    /// User addresses of the three areas.
    pub desc: u64,
    pub avail: u64,
    pub used: u64,
    /// First entry of the available ring to take.
    pub base: u16,
    /// VIRTIO_F_EVENT_IDX was negotiated.
    pub event_idx: bool,
    pub direction: Direction,
}

#[derive(Debug)]
pub struct SplitRing {
    memory: Arc<GuestMemory>,
    layout: RingLayout,
    desc: NonNull<u8>,
    avail: NonNull<u8>,
    used: NonNull<u8>,
    /// Next entry of the available ring to take.
    next_avail: u16,
    /// Available index as last read from the guest.
    seen_avail: u16,
    /// Next entry of the used ring to write.
    next_used: u16,
    /// Used index as the guest last saw it.
    published_used: u16,
    /// What is written is told here, while the guest is migrated.
    log: Option<Box<RingLog>>,
}

// SAFETY: the pointers lead into mappings kept alive by `memory`, which may be used from any thread.
unsafe impl Send for SplitRing {}

/// One descriptor, read once.
struct Descriptor {
    addr: u64,
    len: u32,
    flags: u16,
    next: u16,
}

impl Descriptor {
    #[inline]
    fn from_bytes(bytes: [u8; DESCRIPTOR_BYTES as usize]) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, l0, l1, l2, l3, f0, f1, n0, n1] = bytes;
        Self {
            addr: u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7]),
            len: u32::from_le_bytes([l0, l1, l2, l3]),
            flags: u16::from_le_bytes([f0, f1]),
            next: u16::from_le_bytes([n0, n1]),
        }
    }
}

impl SplitRing {
    /// A ring in `memory`. The used index is taken from the ring, so that a ring survives a restart of this process.
    pub fn new(memory: Arc<GuestMemory>, layout: RingLayout) -> Result<Self, RingFault> {
        let size = u32::from(layout.size);
        if !layout.size.is_power_of_two() || layout.size > MAX_RING_SIZE {
            return Err(RingFault::Placement);
        }
        let area = |user_addr: u64, len: u32, align: u64| {
            memory
                .user_slice(user_addr, len)
                .map(|slice| slice.as_ptr())
                .filter(|start| (start.as_ptr() as u64).is_multiple_of(align))
                .ok_or(RingFault::Placement)
        };
        let desc = area(layout.desc, size * DESCRIPTOR_BYTES, 16)?;
        // With its flags, index and event field: 2.7.6.
        let avail = area(layout.avail, 6 + 2 * size, 2)?;
        let used = area(layout.used, used_ring_bytes(layout.size), 4)?;
        let mut ring = Self {
            memory,
            layout,
            desc,
            avail,
            used,
            next_avail: layout.base,
            seen_avail: layout.base,
            next_used: 0,
            published_used: 0,
            log: None,
        };
        ring.next_used = ring.used_field(2).load(Ordering::Relaxed);
        ring.published_used = ring.next_used;
        Ok(ring)
    }

    /// The memory the ring's buffers lie in. A burst keeps a clone of it, so that its slices outlive calls on the ring.
    pub fn memory(&self) -> &Arc<GuestMemory> {
        &self.memory
    }

    /// Tells what is written from here on to another log, or to none.
    pub fn set_log(&mut self, log: Option<Box<RingLog>>) {
        self.log = log;
    }

    #[inline]
    pub fn is_logged(&self) -> bool {
        self.log.is_some()
    }

    /// To be called when a part of a buffer was written, before its chain is given back. Without a log it is one branch.
    #[inline]
    pub fn log_written(&self, part: GuestSlice<'_>) -> Result<(), RingFault> {
        self.log.as_ref().map_or(Ok(()), |log| self.log_buffer(log, part))
    }

    #[cold]
    fn log_buffer(&self, log: &RingLog, part: GuestSlice<'_>) -> Result<(), RingFault> {
        if part.len() == 0 {
            return Ok(());
        }
        log.buffer(self.memory.guest_addr(&part).ok_or(RingFault::BufferAddress)?, part.len())
    }

    /// What was given back since the used index was `old`, and the index itself.
    #[cold]
    fn log_given_back(&self, log: &RingLog, old: u16) {
        let size = usize::from(self.layout.size);
        let count = usize::from(self.next_used.wrapping_sub(old)).min(size);
        let first = self.slot(old);
        let to_end = count.min(size - first);
        log.used(&[(4 + 8 * first, 8 * to_end), (4, 8 * (count - to_end)), (2, 2)]);
    }

    /// Next entry of the available ring that would be taken: what GET_VRING_BASE answers.
    pub fn base(&self) -> u16 {
        self.next_avail
    }

    #[inline]
    fn avail_field(&self, offset: usize) -> &AtomicU16 {
        debug_assert!(offset <= 4 + 2 * usize::from(self.layout.size) && offset.is_multiple_of(2));
        // SAFETY: `new` checked that the area holds 6 + 2 * size bytes from an even address, and every caller passes the offset of
        // one of its 16-bit fields.
        unsafe { AtomicU16::from_ptr(self.avail.add(offset).cast::<u16>().as_ptr()) }
    }

    #[inline]
    fn used_field(&self, offset: usize) -> &AtomicU16 {
        debug_assert!(offset <= 4 + 8 * usize::from(self.layout.size) && offset.is_multiple_of(2));
        // SAFETY: as in `avail_field`, for 6 + 8 * size bytes.
        unsafe { AtomicU16::from_ptr(self.used.add(offset).cast::<u16>().as_ptr()) }
    }

    #[inline]
    fn slot(&self, index: u16) -> usize {
        usize::from(index & (self.layout.size - 1))
    }

    /// Number of chains that the guest has made available and that were not taken yet.
    #[inline]
    pub fn available(&mut self) -> Result<u16, RingFault> {
        if self.next_avail == self.seen_avail {
            self.seen_avail = u16::from_le(self.avail_field(2).load(Ordering::Acquire));
        }
        self.untaken()
    }

    /// Whether the guest has made more available than was known. It is known then.
    pub fn has_news(&mut self) -> Result<bool, RingFault> {
        let known = self.seen_avail;
        self.seen_avail = u16::from_le(self.avail_field(2).load(Ordering::Acquire));
        self.untaken()?;
        Ok(self.seen_avail != known)
    }

    #[inline]
    fn untaken(&self) -> Result<u16, RingFault> {
        let count = self.seen_avail.wrapping_sub(self.next_avail);
        if count > self.layout.size { Err(RingFault::AvailableIndex) } else { Ok(count) }
    }

    pub fn size(&self) -> u16 {
        self.layout.size
    }

    /// Takes the next chain: appends its buffers to `buffers` and returns its head. Call only while [`Self::available`] is not zero.
    ///
    /// `memory` must be the ring's own (see [`Self::memory`]): buffers are looked up there.
    #[inline]
    pub fn take<'m>(&mut self, memory: &'m GuestMemory, buffers: &mut Vec<GuestSlice<'m>>) -> Result<u16, RingFault> {
        let head = u16::from_le(self.avail_field(4 + 2 * self.slot(self.next_avail)).load(Ordering::Relaxed));
        self.walk(memory, head, buffers)?;
        self.next_avail = self.next_avail.wrapping_add(1);
        Ok(head)
    }

    /// The next chain when it is one plain descriptor in one region, without taking it. Call only while [`Self::available`] is not zero.
    #[inline]
    pub fn peek_single(&self) -> Result<Option<(u16, GuestSlice<'_>)>, RingFault> {
        let head = u16::from_le(self.avail_field(4 + 2 * self.slot(self.next_avail)).load(Ordering::Relaxed));
        let descriptor = self.descriptor(head)?;
        if descriptor.flags & (DESC_F_NEXT | DESC_F_INDIRECT) != 0 {
            return Ok(None);
        }
        let writable = descriptor.flags & DESC_F_WRITE != 0;
        if writable != (self.layout.direction == Direction::ToGuest) {
            return Err(RingFault::Direction);
        }
        let slice = self.memory.slice(descriptor.addr, descriptor.len).ok_or(RingFault::BufferAddress)?;
        Ok((slice.len() == descriptor.len).then_some((head, slice)))
    }

    /// The descriptor index of the chain `ahead` of the next one, if it is known to be available.
    #[inline]
    fn head_ahead(&self, ahead: u16) -> Option<u16> {
        if ahead >= self.seen_avail.wrapping_sub(self.next_avail) {
            return None;
        }
        let slot = self.slot(self.next_avail.wrapping_add(ahead));
        let head = u16::from_le(self.avail_field(4 + 2 * slot).load(Ordering::Relaxed));
        (head < self.layout.size).then_some(head)
    }

    /// Asks the processor to fetch the descriptor of the chain `ahead` of the next one. What the guest wrote there is checked when it
    /// is taken.
    #[inline]
    pub fn prefetch_descriptor(&self, ahead: u16) {
        if let Some(head) = self.head_ahead(ahead) {
            prefetch(self.desc.as_ptr().wrapping_add(usize::from(head) * DESCRIPTOR_BYTES as usize));
        }
    }

    /// The buffer of the chain `ahead` of the next one, to be prefetched.
    #[inline]
    pub fn buffer_ahead(&self, ahead: u16) -> Option<GuestSlice<'_>> {
        let descriptor = self.descriptor(self.head_ahead(ahead)?).ok()?;
        self.memory.slice(descriptor.addr, 1)
    }

    /// Asks the processor for the part of the used ring that the next `count` chains are given back in.
    #[inline]
    pub fn prefetch_used(&self, count: u16) {
        const PER_LINE: u16 = 8;
        for ahead in (0..=count).step_by(PER_LINE.into()) {
            let at = 4 + 8 * self.slot(self.next_used.wrapping_add(ahead));
            prefetch_to_write(self.used.as_ptr().wrapping_add(at));
        }
    }

    /// Takes the chain that [`Self::peek_single`] returned.
    #[inline]
    pub fn advance(&mut self) {
        self.next_avail = self.next_avail.wrapping_add(1);
    }

    /// Gives back the last `count` chains taken and not used.
    pub fn untake(&mut self, count: u16) {
        self.next_avail = self.next_avail.wrapping_sub(count);
    }

    #[inline]
    fn walk<'m>(&self, memory: &'m GuestMemory, head: u16, buffers: &mut Vec<GuestSlice<'m>>) -> Result<(), RingFault> {
        let mut index = head;
        for _ in 0..self.layout.size.min(CHAIN_MAX) {
            let descriptor = self.descriptor(index)?;
            if descriptor.flags & DESC_F_INDIRECT != 0 {
                if descriptor.flags & DESC_F_NEXT != 0 {
                    return Err(RingFault::IndirectTable);
                }
                return self.walk_indirect(memory, &descriptor, buffers);
            }
            self.push_buffer(memory, &descriptor, buffers)?;
            if descriptor.flags & DESC_F_NEXT == 0 {
                return Ok(());
            }
            index = descriptor.next;
        }
        Err(RingFault::ChainLength)
    }

    #[inline]
    fn descriptor(&self, index: u16) -> Result<Descriptor, RingFault> {
        if index >= self.layout.size {
            return Err(RingFault::DescriptorIndex);
        }
        let at = usize::from(index) * DESCRIPTOR_BYTES as usize;
        // One read of a whole descriptor: an array would be read byte by byte.
        // SAFETY: `new` checked that the table is aligned to 16 bytes and holds `size` descriptors, and `index` is below it.
        let descriptor = unsafe { self.desc.add(at).cast::<u128>().read_volatile() };
        Ok(Descriptor::from_bytes(descriptor.to_ne_bytes()))
    }

    fn walk_indirect<'m>(
        &self,
        memory: &'m GuestMemory,
        table: &Descriptor,
        buffers: &mut Vec<GuestSlice<'m>>,
    ) -> Result<(), RingFault> {
        let count = table.len / DESCRIPTOR_BYTES;
        if !table.len.is_multiple_of(DESCRIPTOR_BYTES) || count == 0 || count > u32::from(self.layout.size) {
            return Err(RingFault::IndirectTable);
        }
        let entries = memory.slice(table.addr, table.len).filter(|slice| slice.len() == table.len);
        let entries = entries.ok_or(RingFault::BufferAddress)?;
        let mut index = 0;
        for _ in 0..count.min(CHAIN_MAX.into()) {
            let bytes = entries.skip(u32::from(index) * DESCRIPTOR_BYTES).read_array();
            let descriptor = Descriptor::from_bytes(bytes.ok_or(RingFault::DescriptorIndex)?);
            if descriptor.flags & DESC_F_INDIRECT != 0 {
                return Err(RingFault::IndirectTable);
            }
            self.push_buffer(memory, &descriptor, buffers)?;
            if descriptor.flags & DESC_F_NEXT == 0 {
                return Ok(());
            }
            index = descriptor.next;
        }
        Err(RingFault::ChainLength)
    }

    #[inline]
    fn push_buffer<'m>(
        &self,
        memory: &'m GuestMemory,
        descriptor: &Descriptor,
        buffers: &mut Vec<GuestSlice<'m>>,
    ) -> Result<(), RingFault> {
        let writable = descriptor.flags & DESC_F_WRITE != 0;
        if writable != (self.layout.direction == Direction::ToGuest) {
            return Err(RingFault::Direction);
        }
        let (mut addr, mut len) = (descriptor.addr, descriptor.len);
        while len > 0 {
            let slice = memory.slice(addr, len).ok_or(RingFault::BufferAddress)?;
            buffers.push(slice);
            len -= slice.len();
            addr = addr.wrapping_add(u64::from(slice.len()));
        }
        Ok(())
    }

    /// Hands a taken chain back with `written` bytes; the guest sees it at the next [`Self::publish`].
    #[inline]
    pub fn give_back(&mut self, head: u16, written: u32) {
        let at = 4 + 8 * self.slot(self.next_used);
        let element = (u64::from(written) << 32 | u64::from(head)).to_le();
        // SAFETY: `new` checked that the used ring holds `size` elements of 8 bytes behind its flags and index; the area is aligned
        // to four, so the write is unaligned.
        unsafe { self.used.add(at).cast::<u64>().write_unaligned(element) };
        self.next_used = self.next_used.wrapping_add(1);
    }

    /// Makes everything handed back visible; returns whether the guest asked to be interrupted for it.
    #[inline]
    pub fn publish(&mut self) -> bool {
        let old = self.published_used;
        if old == self.next_used {
            return false;
        }
        self.used_field(2).store(self.next_used.to_le(), Ordering::Release);
        self.published_used = self.next_used;
        if let Some(log) = &self.log {
            self.log_given_back(log, old);
        }
        // The guest sets its wish before it re-reads the used index; we do it the other way round (2.7.7.1).
        fence(Ordering::SeqCst);
        if self.layout.event_idx {
            let event = u16::from_le(self.avail_field(4 + 2 * usize::from(self.layout.size)).load(Ordering::Relaxed));
            self.next_used.wrapping_sub(event).wrapping_sub(1) < self.next_used.wrapping_sub(old)
        } else {
            u16::from_le(self.avail_field(0).load(Ordering::Relaxed)) & AVAIL_F_NO_INTERRUPT == 0
        }
    }

    /// Asks the guest for a kick at its next buffer. What it made available meanwhile is seen by the next [`Self::available`].
    pub fn arm(&mut self) {
        self.ask(self.next_avail, 0);
        fence(Ordering::SeqCst);
    }

    /// Asks the guest for a kick at the next buffer behind those that it is known to have made available. What came meanwhile is seen
    /// by the next [`Self::has_news`].
    pub fn arm_for_more(&mut self) {
        self.ask(self.seen_avail, 0);
        fence(Ordering::SeqCst);
    }

    /// Asks the guest not to kick while it is polled.
    pub fn disarm(&mut self) {
        // The farthest entry behind us: reached only after the index wrapped once.
        self.ask(self.next_avail.wrapping_sub(1), USED_F_NO_NOTIFY);
    }

    /// Says when kicks are wanted: by the event index, or by the flags without one.
    fn ask(&self, event: u16, flags: u16) {
        let (offset, value) =
            if self.layout.event_idx { (4 + 8 * usize::from(self.layout.size), event) } else { (0, flags) };
        self.used_field(offset).store(value.to_le(), Ordering::Relaxed);
        if let Some(log) = &self.log {
            log.used(&[(offset, 2)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::RegionLayout;
    use super::*;

    const SIZE: u16 = 1024;
    const TABLE: u64 = 0x1_0000;

    /// Whether the first chain of a ring with these descriptors can be taken, and how many buffers it has.
    fn take(ring: &[[u8; 16]], table: &[[u8; 16]]) -> Result<usize, RingFault> {
        let file = tempfile::tempfile().unwrap();
        file.set_len(0x4_0000).unwrap();
        let layout = RegionLayout { guest_addr: 0, size_bytes: 0x4_0000, user_addr: 0, offset_bytes: 0 };
        let memory = Arc::new(GuestMemory::default().with(layout, &file).unwrap());
        let put = |at: u64, bytes: &[u8]| assert_eq!(memory.slice(at, 0x1_0000).unwrap().write(bytes), bytes.len());
        put(0, &ring.concat());
        put(TABLE, &table.concat());
        put(0x8000 + 2, &1u16.to_le_bytes());
        let layout = RingLayout {
            size: SIZE,
            desc: 0,
            avail: 0x8000,
            used: 0xa000,
            base: 0,
            event_idx: false,
            direction: Direction::FromGuest,
        };
        let mut ring = SplitRing::new(memory.clone(), layout)?;
        assert_eq!(ring.available(), Ok(1));
        let mut buffers = Vec::new();
        ring.take(&memory, &mut buffers).map(|_| buffers.len())
    }

    fn descriptor(addr: u64, len: u32, flags: u16, next: u16) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&addr.to_le_bytes());
        bytes[8..12].copy_from_slice(&len.to_le_bytes());
        bytes[12..14].copy_from_slice(&flags.to_le_bytes());
        bytes[14..].copy_from_slice(&next.to_le_bytes());
        bytes
    }

    fn chain(length: u16) -> Vec<[u8; 16]> {
        let flags = |at| if at + 1 < length { DESC_F_NEXT } else { 0 };
        (0..length).map(|at| descriptor(0x3_0000, 1, flags(at), at + 1)).collect()
    }

    #[test]
    fn chains_are_followed_so_far_and_no_further() {
        assert_eq!(take(&chain(1), &[]), Ok(1));
        assert_eq!(take(&chain(CHAIN_MAX), &[]), Ok(CHAIN_MAX.into()));
        assert_eq!(take(&chain(CHAIN_MAX + 1), &[]), Err(RingFault::ChainLength));
        let indirect = |count: u16| [descriptor(TABLE, u32::from(count) * DESCRIPTOR_BYTES, DESC_F_INDIRECT, 0)];
        assert_eq!(take(&indirect(CHAIN_MAX), &chain(CHAIN_MAX)), Ok(CHAIN_MAX.into()));
        // What is behind the chain's end in a larger table counts for nothing.
        assert_eq!(take(&indirect(SIZE), &chain(CHAIN_MAX)), Ok(CHAIN_MAX.into()));
        assert_eq!(take(&indirect(SIZE), &chain(CHAIN_MAX + 1)), Err(RingFault::ChainLength));
    }

    /// Wherever the used ring is, and wherever in it the ring stands.
    #[test]
    fn every_write_to_the_used_ring_is_logged() {
        use super::super::log::{DirtyLog, tests as log_tests};
        let file = tempfile::tempfile().unwrap();
        file.set_len(0x4_0000).unwrap();
        let region = RegionLayout { guest_addr: 0, size_bytes: 0x4_0000, user_addr: 0, offset_bytes: 0 };
        let memory = Arc::new(GuestMemory::default().with(region, &file).unwrap());
        let log_file = log_tests::memfd(0x1000, rustix::fs::SealFlags::SHRINK);
        let log = Arc::new(DirtyLog::map(&log_file, 0, 0x1000).unwrap());
        // The log is told other addresses than the ring's own, so that the two are not mistaken for one another.
        const USED: u64 = 0xb_0ffc;
        let logged = || {
            let pages = log_tests::marked(&log_file, 0, 0x1000);
            std::os::unix::fs::FileExt::write_all_at(&log_file, &[0; 0x1000], 0).unwrap();
            pages
        };
        for event_idx in [false, true] {
            let layout = RingLayout {
                size: SIZE,
                desc: 0,
                avail: 0x8000,
                used: 0xa000,
                base: 0,
                event_idx,
                direction: Direction::ToGuest,
            };
            memory.slice(0xa000, 8).unwrap().write(&[0; 8]);
            let mut ring = SplitRing::new(memory.clone(), layout).unwrap();
            ring.give_back(0, 1);
            ring.publish();
            assert_eq!(logged(), [0u64; 0], "no log");
            let used = Some((USED, used_ring_bytes(SIZE)));
            ring.set_log(Some(Box::new(RingLog::new(log.clone(), used, None).unwrap())));
            // The event field is in the fourth page, the flags and the index in the first.
            ring.arm();
            let asked = if event_idx { vec![0xb3] } else { vec![0xb0] };
            assert_eq!(logged(), asked);
            ring.disarm();
            assert_eq!(logged(), asked);
            ring.publish();
            assert_eq!(logged(), [0u64; 0], "nothing was given back");
            let mut give_back = |count| {
                (0..count).for_each(|_| ring.give_back(0, 1));
                ring.publish();
                logged()
            };
            // 512 entries are in the second page, 512 in the third. The next is the second one.
            assert_eq!(give_back(1), [0xb0, 0xb1]);
            assert_eq!(give_back(509), [0xb0, 0xb1]);
            assert_eq!(give_back(2), [0xb0, 0xb1, 0xb2], "over a page's border");
            assert_eq!(give_back(1), [0xb0, 0xb2]);
            assert_eq!(give_back(509), [0xb0, 0xb2]);
            assert_eq!(give_back(2), [0xb0, 0xb1, 0xb2], "over the ring's end");
            assert_eq!(give_back(1), [0xb0, 0xb1]);
            assert_eq!(give_back(SIZE + 1), [0xb0, 0xb1, 0xb2]);
        }
    }
}
