//! The two queues of a pair: frames out of a guest in bursts, frames into a guest one by one, both published once a burst.

use super::backlog::{Backlog, Waiting};
use super::memory::GuestSlice;
use super::ring::{RingFault, SplitRing};
use crate::mailbox::signal;
use hive_packet::offload::{GSO_NONE, GSO_TCPV4, VNET_HEADER_BYTES, VnetHeader};
use std::fs::File;
use std::sync::Arc;

/// Bytes of every frame copied into private memory, so that what is checked is what is delivered. A cache line; holds the
/// headers of most.
pub const HEAD_BYTES: usize = 64;
/// Longest frame: an IPv4 or IPv6 packet of 64 KiB behind an Ethernet header.
pub const MAX_FRAME_BYTES: usize = 65_535 + 40 + 14;
/// Most buffers of one frame with VIRTIO_NET_F_MRG_RXBUF: a 64 KiB frame in buffers of 1 KiB, rounded up.
const MAX_MERGED: u16 = 128;
/// Descriptors of one frame's chains, together: two for each, as some drivers have them.
const MAX_BUFFERS: usize = 2 * MAX_MERGED as usize;

/// How often what waits is tried again for buffers that come meanwhile, before others have their turn: each time up to
/// [`MAX_MERGED`] of them are looked at.
const DRAINS_MAX: u32 = 16;

/// How many frames ahead a receive buffer is fetched into the cache: about the time of one miss. Its descriptor before that.
const BUFFERS_AHEAD: u16 = 6;
const DESCRIPTORS_AHEAD: u16 = 14;

/// What a guest's driver takes without help.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepts {
    pub mergeable: bool,
    pub checksum: bool,
    pub tso4: bool,
    pub tso6: bool,
}

impl Accepts {
    #[inline]
    fn frame(&self, header: &VnetHeader) -> bool {
        (!header.needs_checksum() || self.checksum)
            && match header.gso_type {
                GSO_NONE => true,
                GSO_TCPV4 => self.tso4,
                _ => self.tso6,
            }
    }
}

/// Where the bytes behind a frame's private start are.
pub trait Source {
    /// Copies from an offset on, as much as there is and fits.
    fn copy_to(&self, from: usize, to: GuestSlice<'_>) -> usize;

    /// The same, into memory of this process.
    fn copy_out(&self, from: usize, out: &mut [u8]) -> usize;
}

/// The bytes of a frame from an offset on, slice by slice.
#[inline]
fn behind<'s, 'm>(slices: &'s [GuestSlice<'m>], from: usize) -> impl Iterator<Item = GuestSlice<'m>> + use<'s, 'm> {
    let mut skip = from;
    slices.iter().filter_map(move |slice| {
        let length = slice.len() as usize;
        if skip >= length {
            skip -= length;
            return None;
        }
        // Less than the slice's length, which has 32 bits.
        Some(slice.skip(std::mem::take(&mut skip) as u32))
    })
}

impl Source for &[GuestSlice<'_>] {
    #[inline]
    fn copy_to(&self, from: usize, mut to: GuestSlice<'_>) -> usize {
        let mut copied = 0;
        for slice in behind(self, from) {
            let count = slice.copy_to(to);
            copied += count as usize;
            to = to.skip(count);
            if to.len() == 0 {
                break;
            }
        }
        copied
    }

    fn copy_out(&self, from: usize, mut out: &mut [u8]) -> usize {
        let mut copied = 0;
        for slice in behind(self, from) {
            let count = slice.read(out);
            copied += count;
            out = &mut out[count..];
            if out.is_empty() {
                break;
            }
        }
        copied
    }
}

impl Source for &[u8] {
    #[inline]
    fn copy_to(&self, from: usize, to: GuestSlice<'_>) -> usize {
        to.write(self.get(from..).unwrap_or(&[]))
    }

    fn copy_out(&self, from: usize, out: &mut [u8]) -> usize {
        let there = self.get(from..).unwrap_or(&[]);
        let count = there.len().min(out.len());
        out[..count].copy_from_slice(&there[..count]);
        count
    }
}

/// A frame to be delivered: its start, and part of a source behind it.
#[derive(Debug)]
pub struct Outbound<'a, S> {
    pub header: VnetHeader,
    pub head: &'a [u8],
    pub rest: S,
    pub rest_from: usize,
    pub rest_bytes: usize,
}

/// A chain of a sender, with its virtio-net header and the start of its frame taken out.
#[derive(Debug)]
pub struct Chain<'b, 'm> {
    pub header: VnetHeader,
    pub head: [u8; HEAD_BYTES],
    pub rest: &'b [GuestSlice<'m>],
    pub frame_bytes: usize,
}

impl<'b, 'm> Chain<'b, 'm> {
    /// None when it holds no header, or a frame that is too long. Without `offloads` no driver says anything in the header, and it is
    /// not looked at: its cache line stays where it is.
    #[inline]
    pub fn read(chain: &'b mut [GuestSlice<'m>], offloads: bool) -> Option<Self> {
        let total: u64 = chain.iter().map(|buffer| u64::from(buffer.len())).sum();
        let frame_bytes = usize::try_from(total).ok()?.checked_sub(VNET_HEADER_BYTES)?;
        if frame_bytes > MAX_FRAME_BYTES {
            return None;
        }
        // The usual layout: header and start of the frame in one buffer.
        if let Some(first) = chain.first_mut()
            && let Some(head) = first.skip(VNET_HEADER_BYTES as u32).read_array::<HEAD_BYTES>()
        {
            let header = if offloads { first.read_array() } else { None };
            *first = first.skip((VNET_HEADER_BYTES + HEAD_BYTES) as u32);
            let rest: &[GuestSlice<'m>] = if first.len() == 0 { &chain[1..] } else { chain };
            let header = header.map_or(VnetHeader::default(), |header| VnetHeader::from_bytes(&header));
            return Some(Self { header, head, rest, frame_bytes });
        }
        let mut header = [0; VNET_HEADER_BYTES];
        let mut head = [0; HEAD_BYTES];
        pull(chain, &mut header);
        pull(chain, &mut head);
        let header = if offloads { VnetHeader::from_bytes(&header) } else { VnetHeader::default() };
        Some(Self { header, head, rest: chain, frame_bytes })
    }
}

/// Fills `out` from the start of the chain and shortens the chain's buffers by what was read.
fn pull(chain: &mut [GuestSlice<'_>], out: &mut [u8]) -> usize {
    let mut filled = 0;
    for buffer in chain {
        let copied = buffer.read(&mut out[filled..]);
        *buffer = buffer.skip(copied as u32);
        filled += copied;
    }
    filled
}

/// The guest sends here.
#[derive(Debug)]
pub struct TxQueue {
    pub ring: SplitRing,
    /// The driver may leave checksums or segmentation to us.
    pub offloads: bool,
    pub kick: File,
    pub call: Option<File>,
}

impl TxQueue {
    /// Fetches what the next burst of `count` chains begins with, as far as it is there already.
    pub fn prefetch_burst(&self, count: u16) {
        for ahead in 0..count {
            self.ring.prefetch_descriptor(ahead);
        }
    }

    /// Fetches the frames of the next burst; their descriptors were fetched.
    pub fn prefetch_frames(&self, count: u16) {
        for ahead in 0..count {
            let Some(buffer) = self.ring.buffer_ahead(ahead) else { return };
            if self.offloads {
                buffer.prefetch_at(0);
            }
            buffer.prefetch_at(VNET_HEADER_BYTES as u32);
        }
    }

    /// Gives the chains back, visibly, with one interrupt at most.
    pub fn complete(&mut self, heads: impl Iterator<Item = u16>) {
        for head in heads {
            self.ring.give_back(head, 0);
        }
        publish(&mut self.ring, self.call.as_ref());
    }
}

#[inline]
fn publish(ring: &mut SplitRing, call: Option<&File>) {
    if ring.publish()
        && let Some(call) = call
    {
        signal(call);
    }
}

/// The guest receives here.
#[derive(Debug)]
pub struct RxQueue {
    pub ring: SplitRing,
    /// By which the guest says that it has more buffers, when it is asked to.
    pub kick: Arc<File>,
    pub call: Option<File>,
    pub accepts: Accepts,
    /// Something was delivered since the last [`Self::flush`].
    pub dirty: bool,
    /// What the guest had no buffers for. While there is something it is asked to kick.
    backlog: Backlog,
    /// Frames of the backlog that no number of the guest's buffers would hold.
    lost: u64,
}

/// One queue of a pair.
#[derive(Debug)]
pub enum Queue {
    Rx(RxQueue),
    Tx(TxQueue),
}

/// What became of a frame for a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is there, or waits for buffers behind others.
    Done,
    /// There is no place for it, or none is large enough.
    Dropped,
    /// The receiver needs the frame segmented or its checksum completed first.
    NeedsSoftware,
}

/// What became of a frame at a ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Placed {
    Done,
    /// More buffers of the guest's may hold it.
    NoBuffers,
    /// However many there are.
    TooLong,
}

impl RxQueue {
    pub fn new(ring: SplitRing, kick: Arc<File>, call: Option<File>, accepts: Accepts) -> Self {
        let mut queue = Self { ring, kick, call, accepts, dirty: false, backlog: Backlog::default(), lost: 0 };
        // Receive buffers are looked at when there is a frame; kicks for them would only cost the guest.
        queue.ring.disarm();
        queue
    }

    /// Fetches what the first frames of a burst need.
    pub fn prepare(&self) {
        for ahead in 0..DESCRIPTORS_AHEAD {
            self.ring.prefetch_descriptor(ahead);
        }
        self.ring.prefetch_used(2 * DESCRIPTORS_AHEAD);
    }

    /// Delivers a frame, or has it wait.
    #[inline]
    pub fn put<S: Source>(&mut self, frame: &Outbound<'_, S>) -> Result<Delivery, RingFault> {
        if !self.accepts.frame(&frame.header) {
            return Ok(Delivery::NeedsSoftware);
        }
        if self.backlog.is_empty() {
            match self.place(frame)? {
                Placed::Done => return Ok(Delivery::Done),
                Placed::NoBuffers => {}
                Placed::TooLong => return Ok(Delivery::Dropped),
            }
        }
        self.wait(frame)
    }

    #[cold]
    fn wait<S: Source>(&mut self, frame: &Outbound<'_, S>) -> Result<Delivery, RingFault> {
        if !self.backlog.is_empty() && self.ring.has_news()? {
            self.drain()?;
        }
        let is_first = self.backlog.is_empty();
        if !self.backlog.push(frame) {
            return Ok(Delivery::Dropped);
        }
        if is_first {
            self.drain()?;
        }
        Ok(Delivery::Done)
    }

    /// Delivers what waits, as far as the guest has buffers by now, and has it kick when it has more if that is not all.
    pub fn drain(&mut self) -> Result<(), RingFault> {
        for _ in 0..DRAINS_MAX {
            while let Some(waiting) = self.backlog.pop() {
                let Waiting { header, frame } = &waiting;
                let none: &[u8] = &[];
                let outbound = Outbound { header: *header, head: frame, rest: none, rest_from: 0, rest_bytes: 0 };
                match self.place(&outbound)? {
                    Placed::Done => {}
                    Placed::NoBuffers => {
                        self.backlog.unpop(waiting);
                        break;
                    }
                    Placed::TooLong => self.lost += 1,
                }
            }
            if self.backlog.is_empty() {
                self.ring.disarm();
                return Ok(());
            }
            // Behind the buffers that were too few. What came since then nobody kicks for.
            self.ring.arm_for_more();
            if !self.ring.has_news()? {
                return Ok(());
            }
        }
        // The guest goes on giving buffers, or pretends to. Others have their turn first.
        signal(&self.kick);
        Ok(())
    }

    /// Frames that wait.
    pub fn waiting(&self) -> usize {
        self.backlog.len()
    }

    /// Frames that were counted as delivered and have been dropped, since this was last asked.
    pub fn take_lost(&mut self) -> u64 {
        std::mem::take(&mut self.lost)
    }

    /// Copies a frame into this guest's buffers.
    #[inline]
    fn place<S: Source>(&mut self, frame: &Outbound<'_, S>) -> Result<Placed, RingFault> {
        let Outbound { header, head, .. } = frame;
        if self.ring.available()? == 0 {
            return Ok(Placed::NoBuffers);
        }
        let needed = VNET_HEADER_BYTES + head.len() + frame.rest_bytes;
        self.ring.prefetch_descriptor(DESCRIPTORS_AHEAD);
        if let Some(buffer) = self.ring.buffer_ahead(BUFFERS_AHEAD) {
            // The header is mostly there already, see below.
            buffer.prefetch_at(0);
            buffer.prefetch_to_write_at(VNET_HEADER_BYTES as u32);
        }
        if let Some((id, buffer)) = self.ring.peek_single()?
            && buffer.len() as usize >= needed
        {
            // The header is the one of before as a rule. Not written, its cache line stays with both processors.
            let header = header.to_bytes(1);
            if buffer.read_array() != Some(header) {
                buffer.write_array(&header);
            }
            let to = buffer.skip(VNET_HEADER_BYTES as u32);
            match head.first_chunk::<HEAD_BYTES>() {
                Some(line) if head.len() == HEAD_BYTES => {
                    to.write_array(line);
                }
                _ => {
                    to.write(head);
                }
            }
            if frame.rest_bytes > 0 {
                frame.rest.copy_to(frame.rest_from, to.skip(head.len() as u32).first(frame.rest_bytes as u32));
            }
            self.ring.log_written(buffer.first(needed as u32))?;
            self.ring.advance();
            self.ring.give_back(id, needed as u32);
            self.dirty = true;
            return Ok(Placed::Done);
        }
        self.place_scattered(frame, needed)
    }

    /// The general form: several descriptors a chain and, when negotiated, several chains a frame.
    fn place_scattered<S: Source>(&mut self, frame: &Outbound<'_, S>, needed: usize) -> Result<Placed, RingFault> {
        let memory = self.ring.memory().clone();
        let most = if self.accepts.mergeable { MAX_MERGED.min(self.ring.size()) } else { 1 };
        let mut buffers = Vec::new();
        let mut chains = Vec::new();
        let mut capacity = 0usize;
        while capacity < needed {
            let placed = if chains.len() == usize::from(most) || buffers.len() >= MAX_BUFFERS {
                Some(Placed::TooLong)
            } else if self.ring.available()? == 0 {
                Some(Placed::NoBuffers)
            } else {
                None
            };
            if let Some(placed) = placed {
                self.ring.untake(chains.len() as u16);
                return Ok(placed);
            }
            let from = buffers.len();
            let id = self.ring.take(&memory, &mut buffers)?;
            let room: usize = buffers[from..].iter().map(|buffer| buffer.len() as usize).sum();
            chains.push((id, room.min(needed - capacity)));
            capacity += room;
        }
        let whole = if self.ring.is_logged() { buffers.clone() } else { Vec::new() };
        let header = frame.header.to_bytes(chains.len() as u16);
        let mut to = Cursor { buffers: &mut buffers };
        to.write(&header);
        to.write(frame.head);
        to.copy(&frame.rest, frame.rest_from, frame.rest_bytes);
        let mut left = needed as u32;
        for buffer in whole {
            let written = buffer.first(left);
            self.ring.log_written(written)?;
            left -= written.len();
        }
        for (id, written) in chains {
            self.ring.give_back(id, written as u32);
        }
        self.dirty = true;
        Ok(Placed::Done)
    }

    /// Makes what was delivered visible, with one interrupt at most.
    pub fn flush(&mut self) {
        self.dirty = false;
        publish(&mut self.ring, self.call.as_ref());
    }
}

/// Writes on through a list of buffers.
struct Cursor<'c, 'm> {
    buffers: &'c mut [GuestSlice<'m>],
}

impl Cursor<'_, '_> {
    fn write(&mut self, mut bytes: &[u8]) {
        for buffer in &mut *self.buffers {
            let copied = buffer.write(bytes);
            *buffer = buffer.skip(copied as u32);
            bytes = &bytes[copied..];
            if bytes.is_empty() {
                return;
            }
        }
    }

    fn copy(&mut self, source: &impl Source, mut from: usize, mut count: usize) {
        for buffer in &mut *self.buffers {
            if count == 0 {
                return;
            }
            let room = buffer.first(u32::try_from(count).unwrap_or(u32::MAX));
            if room.len() == 0 {
                continue;
            }
            let copied = source.copy_to(from, room);
            if copied == 0 {
                return;
            }
            *buffer = buffer.skip(copied as u32);
            from += copied;
            count -= copied;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::{GuestMemory, RegionLayout};
    use super::super::ring::{Direction, RingLayout};
    use super::*;
    use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
    use std::sync::atomic::{Ordering, fence};

    const SIZE: u16 = 4;
    const AVAIL: u64 = 0x1000;
    const USED: u64 = 0x2000;
    const BUFFERS: u64 = 0x3000;
    const BUFFER_BYTES: u32 = 64;
    /// Of a frame, which needs three buffers.
    const FRAME_BYTES: usize = 150;
    const FRAMES: u16 = 20_000;
    /// For what takes microseconds.
    const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };

    fn memory(file: &File) -> GuestMemory {
        let layout = RegionLayout { guest_addr: 0, size_bytes: 0x4000, user_addr: 0, offset_bytes: 0 };
        GuestMemory::default().with(layout, file).unwrap()
    }

    fn word(memory: &GuestMemory, at: u64) -> u16 {
        u16::from_le_bytes(memory.slice(at, 2).unwrap().read_array().unwrap())
    }

    /// A guest gives one buffer after the other, and kicks as it is asked to, while what waits is tried again and again. Whichever comes
    /// first, no frame waits for buffers that are there.
    #[test]
    fn no_kick_is_missed() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(0x4000).unwrap();
        let driver = memory(&file);
        for slot in 0..SIZE {
            let address = BUFFERS + u64::from(slot) * u64::from(BUFFER_BYTES);
            let descriptor = u128::from(address) | u128::from(BUFFER_BYTES) << 64 | 2 << 96;
            driver.slice(u64::from(slot) * 16, 16).unwrap().write(&descriptor.to_le_bytes());
        }
        let layout = RingLayout {
            size: SIZE,
            desc: 0,
            avail: AVAIL,
            used: USED,
            base: 0,
            event_idx: true,
            direction: Direction::ToGuest,
        };
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let (kick, call): (Arc<File>, File) =
            (Arc::new(eventfd(0, flags).unwrap().into()), eventfd(0, flags).unwrap().into());
        let accepts = Accepts { mergeable: true, ..Accepts::default() };
        let ring = SplitRing::new(Arc::new(memory(&file)), layout).unwrap();
        let mut queue = RxQueue::new(ring, Arc::clone(&kick), Some(call.try_clone().unwrap()), accepts);
        let wait = |event: &File, what: &str| {
            let ready = poll(&mut [PollFd::new(event, PollFlags::IN)], Some(&PATIENCE)).unwrap();
            assert_eq!(ready, 1, "{what}");
            rustix::io::read(event, &mut [0; 8]).unwrap();
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut given = 0u16;
                for frame in 0..FRAMES {
                    for _ in 0..3 {
                        let place = AVAIL + 4 + 2 * u64::from(given % SIZE);
                        driver.slice(place, 2).unwrap().write(&(given % SIZE).to_le_bytes());
                        fence(Ordering::SeqCst);
                        let next = given.wrapping_add(1);
                        driver.slice(AVAIL + 2, 2).unwrap().write(&next.to_le_bytes());
                        fence(Ordering::SeqCst);
                        if word(&driver, USED + 4 + 8 * u64::from(SIZE)) == given {
                            signal(&kick);
                        }
                        given = next;
                    }
                    // An interrupt at the last of them.
                    let event = given.wrapping_sub(1).to_le_bytes();
                    driver.slice(AVAIL + 4 + 2 * u64::from(SIZE), 2).unwrap().write(&event);
                    fence(Ordering::SeqCst);
                    while word(&driver, USED + 2) != given {
                        wait(&call, &format!("frame {frame}"));
                    }
                }
            });
            let frame = [7; FRAME_BYTES];
            let none: &[u8] = &[];
            for _ in 0..FRAMES {
                let header = VnetHeader::default();
                let outbound = Outbound { header, head: &frame, rest: none, rest_from: 0, rest_bytes: 0 };
                assert_eq!(queue.put(&outbound), Ok(Delivery::Done));
                while queue.waiting() > 0 {
                    wait(&kick, "a kick");
                    queue.drain().unwrap();
                }
                queue.flush();
            }
        });
    }
}
