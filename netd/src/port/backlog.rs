//! Frames that wait until their receiver has buffers, as they wait in a network card's queue: a ring of 256 buffers of 1.5 KiB holds six
//! TCP segments of 64 KiB, and a sender that lost one for every ring that is full would not get far.

use super::queue::{Outbound, Source};
use hive_packet::offload::VnetHeader;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of one queue: some round trips of a connection at the wire's speed. More would be delay and no gain.
pub const BYTES_MAX: usize = 1 << 20;
/// Of one queue: what the kernel keeps for a TAP device.
pub const FRAMES_MAX: usize = 1000;
/// Of all queues: a thousand guests that do not receive may not take the node's memory.
pub const TOTAL_BYTES_MAX: usize = 256 << 20;
/// What a frame takes beside its bytes.
const FRAME_OVERHEAD_BYTES: usize = 64;

static TOTAL_BYTES: AtomicUsize = AtomicUsize::new(0);

/// A frame that was copied.
#[derive(Debug)]
pub struct Waiting {
    pub header: VnetHeader,
    pub frame: Vec<u8>,
}

impl Waiting {
    fn cost_bytes(&self) -> usize {
        self.frame.len() + FRAME_OVERHEAD_BYTES
    }
}

/// In the order in which they came.
#[derive(Debug, Default)]
pub struct Backlog {
    frames: VecDeque<Waiting>,
    bytes: usize,
}

impl Backlog {
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Copies a frame behind the others. False: there is no room for it.
    pub fn push<S: Source>(&mut self, outbound: &Outbound<'_, S>) -> bool {
        let length = outbound.head.len() + outbound.rest_bytes;
        let cost = length + FRAME_OVERHEAD_BYTES;
        if self.frames.len() >= FRAMES_MAX || self.bytes + cost > BYTES_MAX {
            return false;
        }
        if TOTAL_BYTES.fetch_add(cost, Ordering::Relaxed) + cost > TOTAL_BYTES_MAX {
            TOTAL_BYTES.fetch_sub(cost, Ordering::Relaxed);
            return false;
        }
        self.bytes += cost;
        let mut frame = vec![0; length];
        let (head, rest) = frame.split_at_mut(outbound.head.len());
        head.copy_from_slice(outbound.head);
        outbound.rest.copy_out(outbound.rest_from, rest);
        self.frames.push_back(Waiting { header: outbound.header, frame });
        true
    }

    /// Takes the first.
    pub fn pop(&mut self) -> Option<Waiting> {
        let waiting = self.frames.pop_front()?;
        self.release(waiting.cost_bytes());
        Some(waiting)
    }

    /// Puts what was taken last back.
    pub fn unpop(&mut self, waiting: Waiting) {
        self.bytes += waiting.cost_bytes();
        TOTAL_BYTES.fetch_add(waiting.cost_bytes(), Ordering::Relaxed);
        self.frames.push_front(waiting);
    }

    fn release(&mut self, bytes: usize) {
        self.bytes -= bytes;
        TOTAL_BYTES.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(backlog: &mut Backlog, length: usize) -> bool {
        let (rest, header) = (vec![7; length], VnetHeader::default());
        backlog.push(&Outbound { header, head: b"head", rest: &rest[..], rest_from: 3, rest_bytes: length - 3 })
    }

    #[test]
    fn so_much_waits_and_no_more() {
        let mut backlog = Backlog::default();
        assert_eq!((0..=FRAMES_MAX).filter(|_| push(&mut backlog, 60)).count(), FRAMES_MAX);
        let first = backlog.pop().unwrap();
        assert_eq!(first.frame, [&b"head"[..], &[7; 57]].concat());
        assert!(push(&mut backlog, 60) && !push(&mut backlog, 60));
        drop(backlog);
        let mut backlog = Backlog::default();
        let length = 60_000;
        let most = BYTES_MAX / (length + 1 + FRAME_OVERHEAD_BYTES);
        assert_eq!((0..=most).filter(|_| push(&mut backlog, length)).count(), most);
        let first = backlog.pop().unwrap();
        backlog.unpop(first);
        assert!(!push(&mut backlog, length));
        while backlog.pop().is_some() {}
        assert_eq!((backlog.bytes, backlog.len()), (0, 0));
    }
}
