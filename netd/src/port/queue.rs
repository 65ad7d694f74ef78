//! The two queues of a pair: frames out of a guest in bursts, frames into a guest one by one, both published once a burst.

use super::memory::GuestSlice;
use super::ring::{RingFault, SplitRing};
use crate::mailbox::signal;
use hive_packet::offload::{GSO_NONE, GSO_TCPV4, VNET_HEADER_BYTES, VnetHeader};
use std::fs::File;

/// Bytes of every frame copied into private memory, so that what is checked is what is delivered. A cache line; holds all
/// headers that admission and forwarding look at.
pub const HEAD_BYTES: usize = 64;
/// Longest frame: an IPv4 or IPv6 packet of 64 KiB behind an Ethernet header.
pub const MAX_FRAME_BYTES: usize = 65_535 + 40 + 14;
/// Most buffers of one frame with VIRTIO_NET_F_MRG_RXBUF: a 64 KiB frame in buffers of 1 KiB, rounded up.
const MAX_MERGED: u16 = 128;

/// How many frames ahead a receive buffer is fetched into the cache: about the time of one miss.
const PREFETCH_AHEAD: u16 = 4;

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

/// A frame on its way: a private copy of its start and, behind it, what is still in its sender's memory.
#[derive(Debug)]
pub struct Inbound<'b, 'm> {
    pub header: VnetHeader,
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    rest: &'b [GuestSlice<'m>],
    pub frame_bytes: usize,
}

impl<'b, 'm> Inbound<'b, 'm> {
    /// Reads the virtio-net header and the frame's start from a sender's chain. None when it holds no header, or a frame that is too long.
    #[inline]
    pub fn read(chain: &'b mut [GuestSlice<'m>]) -> Option<Self> {
        let total: u64 = chain.iter().map(|buffer| u64::from(buffer.len())).sum();
        let frame_bytes = usize::try_from(total).ok()?.checked_sub(VNET_HEADER_BYTES)?;
        if frame_bytes > MAX_FRAME_BYTES {
            return None;
        }
        // The usual layout: header and start of the frame in one buffer.
        if let Some(first) = chain.first_mut()
            && let Some(header) = first.read_array::<VNET_HEADER_BYTES>()
            && let Some(head) = first.skip(VNET_HEADER_BYTES as u32).read_array::<HEAD_BYTES>()
        {
            *first = first.skip((VNET_HEADER_BYTES + HEAD_BYTES) as u32);
            let rest: &[GuestSlice<'m>] = if first.len() == 0 { &chain[1..] } else { chain };
            let header = VnetHeader::from_bytes(&header);
            return Some(Self { header, head, head_bytes: HEAD_BYTES, rest, frame_bytes });
        }
        let mut header = [0; VNET_HEADER_BYTES];
        let mut head = [0; HEAD_BYTES];
        pull(chain, &mut header);
        let head_bytes = pull(chain, &mut head);
        Some(Self { header: VnetHeader::from_bytes(&header), head, head_bytes, rest: chain, frame_bytes })
    }

    /// The private copy of the frame's start: the whole frame when it is short.
    #[inline]
    pub fn head(&self) -> &[u8] {
        &self.head[..self.head_bytes]
    }

    /// Replaces `out` with a private copy of the frame.
    pub fn copy_into(&self, out: &mut Vec<u8>) {
        out.clear();
        out.resize(self.frame_bytes, 0);
        let (start, mut tail) = out.split_at_mut(self.head_bytes);
        start.copy_from_slice(self.head());
        for buffer in self.rest {
            let copied = buffer.read(tail);
            tail = &mut tail[copied..];
        }
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
    pub kick: File,
    pub call: Option<File>,
}

impl TxQueue {
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
    pub call: Option<File>,
    pub accepts: Accepts,
    /// Something was delivered since the last [`Self::flush`].
    pub dirty: bool,
}

/// What became of a frame for a receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    Done,
    /// No buffers, or too small ones.
    NoBuffers,
    /// The receiver needs the frame segmented or its checksum completed first.
    NeedsSoftware,
}

impl RxQueue {
    /// Copies a frame from its sender's memory into this guest's buffers.
    #[inline]
    pub fn deliver(&mut self, frame: &Inbound<'_, '_>) -> Result<Delivery, RingFault> {
        if !self.accepts.frame(&frame.header) {
            return Ok(Delivery::NeedsSoftware);
        }
        self.write(frame.header, frame.head(), frame.rest, frame.frame_bytes)
    }

    /// Copies a complete frame of this process into the guest's buffers.
    pub fn deliver_plain(&mut self, frame: &[u8]) -> Result<Delivery, RingFault> {
        self.write(VnetHeader::default(), frame, &[], frame.len())
    }

    #[inline]
    fn write(
        &mut self,
        header: VnetHeader,
        head: &[u8],
        rest: &[GuestSlice<'_>],
        frame_bytes: usize,
    ) -> Result<Delivery, RingFault> {
        if self.ring.available()? == 0 {
            return Ok(Delivery::NoBuffers);
        }
        let needed = VNET_HEADER_BYTES + frame_bytes;
        self.ring.prefetch_ahead(PREFETCH_AHEAD);
        if let Some((id, buffer)) = self.ring.peek_single()?
            && buffer.len() as usize >= needed
        {
            buffer.write_array(&header.to_bytes(1));
            let mut to = buffer.skip(VNET_HEADER_BYTES as u32);
            match head.first_chunk::<HEAD_BYTES>() {
                Some(line) if head.len() == HEAD_BYTES => {
                    to.write_array(line);
                }
                _ => {
                    to.write(head);
                }
            }
            to = to.skip(head.len() as u32);
            for from in rest {
                to = to.skip(from.copy_to(to));
            }
            self.ring.advance();
            self.ring.give_back(id, needed as u32);
            self.dirty = true;
            return Ok(Delivery::Done);
        }
        self.write_scattered(header, head, rest, needed)
    }

    /// The general form: several descriptors a chain and, when negotiated, several chains a frame.
    fn write_scattered(
        &mut self,
        header: VnetHeader,
        head: &[u8],
        rest: &[GuestSlice<'_>],
        needed: usize,
    ) -> Result<Delivery, RingFault> {
        let memory = self.ring.memory().clone();
        let most = if self.accepts.mergeable { self.ring.available()?.min(MAX_MERGED) } else { 1 };
        let mut buffers = Vec::new();
        let mut chains = Vec::new();
        let mut capacity = 0usize;
        while capacity < needed {
            if chains.len() == usize::from(most) {
                self.ring.untake(chains.len() as u16);
                return Ok(Delivery::NoBuffers);
            }
            let from = buffers.len();
            let id = self.ring.take(&memory, &mut buffers)?;
            let room: usize = buffers[from..].iter().map(|buffer| buffer.len() as usize).sum();
            chains.push((id, room.min(needed - capacity)));
            capacity += room;
        }
        let header = header.to_bytes(chains.len() as u16);
        let mut to = Cursor { buffers: &mut buffers };
        to.write(&header);
        to.write(head);
        for from in rest {
            to.copy(*from);
        }
        for (id, written) in chains {
            self.ring.give_back(id, written as u32);
        }
        self.dirty = true;
        Ok(Delivery::Done)
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

    fn copy(&mut self, mut from: GuestSlice<'_>) {
        for buffer in &mut *self.buffers {
            let copied = from.copy_to(*buffer);
            *buffer = buffer.skip(copied);
            from = from.skip(copied);
            if from.len() == 0 {
                return;
            }
        }
    }
}
