//! Rings with one producer and one consumer, of which one is the kernel. Indices go on for ever and wrap at 2^32.

use super::memory::{Entry, RingMemory};
use std::sync::atomic::{Ordering, fence};

/// A ring that we fill.
#[derive(Debug)]
pub(super) struct Producer<T> {
    memory: RingMemory<T>,
    /// Where the next entry goes; the kernel sees it when it is published.
    next: u32,
}

impl<T: Entry> Producer<T> {
    pub fn new(memory: RingMemory<T>) -> Self {
        let next = memory.producer().load(Ordering::Relaxed);
        Self { memory, next }
    }

    /// Entries that the kernel has not taken, those that are not published among them.
    pub fn waiting(&self) -> u32 {
        self.next.wrapping_sub(self.memory.consumer().load(Ordering::Acquire))
    }

    /// False: the ring is full.
    pub fn push(&mut self, entry: T) -> bool {
        let has_room = self.waiting() < self.memory.size();
        if has_room {
            self.memory.set(self.next, entry);
            self.next = self.next.wrapping_add(1);
        }
        has_room
    }

    /// Shows the kernel what was pushed.
    pub fn publish(&mut self) {
        self.memory.producer().store(self.next, Ordering::Release);
    }

    /// Whether the kernel waits for a system call, as it says behind XDP_USE_NEED_WAKEUP.
    pub fn needs_wakeup(&self) -> bool {
        // Otherwise the flag might be read before the index is seen, and the kernel go to sleep in between.
        fence(Ordering::SeqCst);
        self.memory.flags().load(Ordering::Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }
}

/// A ring that the kernel fills.
#[derive(Debug)]
pub(super) struct Consumer<T> {
    memory: RingMemory<T>,
    next: u32,
    /// The kernel's index when it was last looked at.
    filled: u32,
}

impl<T: Entry> Consumer<T> {
    pub fn new(memory: RingMemory<T>) -> Self {
        let next = memory.consumer().load(Ordering::Relaxed);
        Self { memory, next, filled: next }
    }

    pub fn pop(&mut self) -> Option<T> {
        if self.next == self.filled {
            self.filled = self.memory.producer().load(Ordering::Acquire);
            if self.next == self.filled {
                return None;
            }
        }
        let entry = self.memory.get(self.next);
        self.next = self.next.wrapping_add(1);
        Some(entry)
    }

    /// Gives the kernel back the places of what was popped.
    pub fn release(&mut self) {
        self.memory.consumer().store(self.next, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::Offsets;
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;

    const SIZE: u32 = 8;

    /// Both ends of a ring whose indices begin there.
    fn ends(begin: u32) -> (Producer<u64>, Consumer<u64>) {
        let mut file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        file.write_all(&[begin.to_ne_bytes(), begin.to_ne_bytes(), [1, 0, 0, 0]].concat()).unwrap();
        let offsets = Offsets { producer: 0, consumer: 4, flags: 8, entries: 16 };
        let map = || RingMemory::map(file.as_fd(), 0, offsets, SIZE).unwrap();
        (Producer::new(map()), Consumer::new(map()))
    }

    #[test]
    fn entries_arrive_in_order_over_the_end_of_the_numbers() {
        let (mut producer, mut consumer) = ends(u32::MAX - 20);
        let mut expected = 0;
        for first in (0..100u64).step_by(5) {
            (first..first + 5).for_each(|entry| assert!(producer.push(entry)));
            assert_eq!(consumer.pop(), None, "nothing was published");
            producer.publish();
            while let Some(entry) = consumer.pop() {
                assert_eq!(entry, expected);
                expected += 1;
            }
            assert_eq!(producer.waiting(), 5);
            consumer.release();
            assert_eq!(producer.waiting(), 0);
        }
        assert_eq!(expected, 100);
        assert!(producer.needs_wakeup());
    }

    #[test]
    fn a_full_ring_takes_nothing() {
        let (mut producer, mut consumer) = ends(u32::MAX - 3);
        assert_eq!((0..20).filter(|entry| producer.push(*entry)).count(), SIZE as usize);
        producer.publish();
        assert_eq!((consumer.pop(), consumer.pop()), (Some(0), Some(1)));
        assert!(!producer.push(9));
        consumer.release();
        assert_eq!((10..20).filter(|entry| producer.push(*entry)).count(), 2);
    }
}
