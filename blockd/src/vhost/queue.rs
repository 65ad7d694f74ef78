//! One virtqueue: what the frontend said of it, and its state while it runs.

use super::inflight::QueueInflight;
use super::request::Request;
use super::ring::{Ring, RingAddresses};
use std::fs::File;
use std::io::Write;

/// A request that the engine works on.
#[derive(Debug)]
pub struct Slot {
    pub request: Request,
    /// Bytes written to the guest when it ends well, its status included.
    pub used_len: u32,
    /// Of a write.
    pub write_bytes: u64,
}

/// What exists only between a ring's start and its stop.
#[derive(Debug)]
pub struct Running {
    pub ring: Ring,
    pub inflight: Option<QueueInflight>,
    /// Next entry of the available ring to take, and of the used ring to fill.
    pub next_available: u16,
    pub next_used: u16,
    /// By head of the chain.
    pub slots: Vec<Option<Slot>>,
    /// Answered, not yet published: head and bytes written.
    pub answered: Vec<(u16, u32)>,
    batch: Vec<u16>,
}

impl Running {
    pub fn new(ring: Ring, inflight: Option<QueueInflight>, next_available: u16) -> Self {
        let (size, next_used) = (usize::from(ring.size()), ring.used_index());
        let slots = std::iter::repeat_with(|| None).take(size).collect();
        Self { ring, inflight, next_available, next_used, slots, answered: Vec::new(), batch: Vec::new() }
    }

    /// Show all answers to the driver at once. True if it wants a signal.
    pub fn publish(&mut self, event_idx: bool) -> bool {
        let first = self.next_used;
        self.batch.clear();
        for (head, len) in self.answered.drain(..) {
            self.ring.set_used(self.next_used, head, len);
            self.next_used = self.next_used.wrapping_add(1);
            if let Some(inflight) = &self.inflight {
                inflight.add_to_batch(head);
            }
            self.batch.push(head);
        }
        self.ring.publish(self.next_used);
        if let Some(inflight) = &self.inflight {
            inflight.end_batch(&self.batch, self.next_used);
        }
        self.ring.wants_signal(first, self.next_used, event_idx)
    }
}

/// A queue as the frontend configures it.
#[derive(Debug, Default)]
pub struct Queue {
    pub size: u16,
    pub addresses: RingAddresses,
    /// Where to go on in the available ring.
    pub base: u16,
    pub kick: Option<File>,
    pub call: Option<File>,
    pub error: Option<File>,
    pub enabled: bool,
    pub running: Option<Running>,
    /// Tells the current kick's completions from those of one replaced since.
    pub kick_generation: u32,
}

impl Queue {
    /// Interrupt the driver.
    pub fn signal(&self) {
        signal(self.call.as_ref());
    }

    /// Tell the frontend that this ring is broken.
    pub fn signal_error(&self) {
        signal(self.error.as_ref());
    }
}

/// Add one to an eventfd. It can only fail when the counter is full, and then the other side has a signal to see already.
fn signal(eventfd: Option<&File>) {
    if let Some(mut file) = eventfd {
        let _ = file.write_all(&1u64.to_ne_bytes());
    }
}
