//! Packets on their way: what comes in, and what goes out.

use hive_flow::{Key, PROTO_ICMP, PROTO_ICMPV6, PROTO_SCTP, PROTO_TCP, PROTO_UDP};
use hive_packet::VnetHeader;
use hive_packet::checksum;
use hive_program::{PortId, Tunnel};

/// Bytes of every frame that are in private memory from the beginning: a cache line, with all headers of most frames.
pub const LINE: usize = 64;

/// The rest of a frame, where its sender put it: it may change at any time, so it is only ever copied.
pub trait Tail {
    /// Copies from an offset on; how much there was.
    fn read(&self, from: usize, out: &mut [u8]) -> usize;

    /// The sum of `bytes` bytes as 16-bit words from an offset on.
    fn sum(&self, mut from: usize, bytes: usize) -> u64 {
        // Even, so that sums of pieces can be added.
        let mut piece = [0; 512];
        let (mut total, end) = (0, from + bytes);
        while from < end {
            let wanted = piece.len().min(end - from);
            let got = self.read(from, &mut piece[..wanted]);
            total += checksum::sum(&piece[..got]);
            if got < wanted {
                break;
            }
            from += got;
        }
        total
    }
}

impl Tail for &[u8] {
    fn read(&self, from: usize, out: &mut [u8]) -> usize {
        let rest = self.get(from..).unwrap_or(&[]);
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        count
    }
}

/// A frame that came in.
#[derive(Debug)]
pub struct Packet<'k, T> {
    /// Its first bytes; what is behind its end is of no meaning.
    pub line: [u8; LINE],
    pub vnet: VnetHeader,
    pub frame_bytes: usize,
    /// From byte [`LINE`] on.
    pub tail: T,
    /// What is known beside its bytes (the tunnel it came by); the port is set by the engine.
    pub metadata: Option<&'k Key>,
}

impl<'k, T: Tail> Packet<'k, T> {
    /// Of a frame in private memory.
    pub fn line_bytes(&self) -> usize {
        self.frame_bytes.min(LINE)
    }
}

impl<'f> Packet<'_, &'f [u8]> {
    /// A frame of this process.
    pub fn of_frame(frame: &'f [u8], vnet: VnetHeader) -> Self {
        let mut line = [0; LINE];
        let held = frame.len().min(LINE);
        line[..held].copy_from_slice(&frame[..held]);
        Self { line, vnet, frame_bytes: frame.len(), tail: &frame[held..], metadata: None }
    }
}

/// A frame that goes out: its beginning, and the part of a packet's tail that follows.
#[derive(Debug)]
pub struct Outgoing<'a, T> {
    pub vnet: VnetHeader,
    pub head: &'a [u8],
    pub tail: &'a T,
    pub tail_from: usize,
    pub tail_bytes: usize,
    pub tunnel: Option<&'a Tunnel>,
    pub skb_priority: u32,
}

impl<T: Tail> Outgoing<'_, T> {
    pub fn frame_bytes(&self) -> usize {
        self.head.len() + self.tail_bytes
    }

    /// Replaces `out` with a private copy of the frame.
    pub fn copy_into(&self, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(self.head);
        out.resize(self.frame_bytes(), 0);
        self.tail.read(self.tail_from, &mut out[self.head.len()..]);
    }
}

/// Whether a checksum that is left to the receiver is that of the transport header at `l4`, or lies behind it. Anywhere else it would
/// be a way to change addresses or ports after they were looked at: who fills it in writes what the sender chose.
#[inline]
pub(crate) fn fills_in_behind(vnet: &VnetHeader, l4: usize, protocol: u8) -> bool {
    if !vnet.needs_checksum() {
        return true;
    }
    let (start, offset) = (usize::from(vnet.csum_start), usize::from(vnet.csum_offset));
    match protocol {
        PROTO_TCP => (start, offset) == (l4, 16),
        // Within there may be a tunnel, whose packet has one.
        PROTO_UDP => (start, offset) == (l4, 6) || start >= l4 + 8,
        PROTO_ICMP | PROTO_ICMPV6 => (start, offset) == (l4, 2),
        PROTO_SCTP => (start, offset) == (l4, 8),
        _ => start >= l4,
    }
}

/// Where packets go.
pub trait Output<T> {
    /// False if the frame was dropped, which is counted there.
    fn output(&mut self, port: PortId, frame: &Outgoing<'_, T>) -> bool;

    /// Locks that are held from one output to the next are to be let go.
    fn pause(&mut self) {}
}
