//! Adaptive polling: a queue with traffic is polled and its guest does not kick; after a pause its guest is asked to kick and
//! epoll waits for that. So a loaded queue costs no system calls, and an idle one no processor time.

use super::Worker;
use crate::port::queue::Queue;
use std::os::fd::AsRawFd;

/// A send queue that is polled at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Polled {
    slot: usize,
    pair: usize,
    last_work_us: u64,
}

fn token(slot: usize, pair: usize) -> u64 {
    (slot as u64) << 8 | pair as u64
}

impl Worker {
    pub(super) fn start_queue(&mut self, key: u64, index: usize, queue: Queue) {
        let pair = index / 2;
        let Some(slot) = self.table.slot_of(key) else { return };
        let Some(port) = self.table.port_mut(slot).filter(|port| !port.faulted()) else { return };
        match queue {
            Queue::Rx(mut queue) => {
                // Receive buffers are looked at when there is a frame; kicks for them would only cost the guest.
                queue.ring.disarm();
                if let Some(place) = port.rx.get_mut(pair) {
                    *place = Some(queue);
                    port.receiving = (0..port.rx.len()).filter(|pair| port.rx[*pair].is_some()).collect();
                }
            }
            Queue::Tx(queue) => {
                let kick = queue.kick.as_raw_fd();
                if let Some(place) = port.tx.get_mut(pair) {
                    *place = Some(queue);
                    if let Err(error) = self.epoll.add_edge(kick, token(slot, pair)) {
                        tracing::warn!(%error, key, pair, "cannot watch a queue's kicks");
                    }
                    self.wake_queue(token(slot, pair));
                }
            }
        }
    }

    pub(super) fn stop_queue(&mut self, key: u64, index: usize) -> Option<u16> {
        let slot = self.table.slot_of(key)?;
        let pair = index / 2;
        let port = self.table.port_mut(slot)?;
        if index.is_multiple_of(2) {
            let queue = port.rx.get_mut(pair)?.take()?;
            port.receiving.retain(|other| *other != pair);
            Some(queue.ring.base())
        } else {
            let queue = port.tx.get_mut(pair)?.take()?;
            self.epoll.remove(queue.kick.as_raw_fd());
            self.polled.retain(|polled| (polled.slot, polled.pair) != (slot, pair));
            Some(queue.ring.base())
        }
    }

    /// Takes all rings from a port.
    pub(super) fn stop_port(&mut self, key: u64) {
        let Some(port) = self.table.slot_of(key).and_then(|slot| self.table.port(slot)) else { return };
        for index in 0..2 * port.rx.len() {
            self.stop_queue(key, index);
        }
    }

    /// A guest kicked: its queue is polled from now on.
    pub(super) fn wake_queue(&mut self, token: u64) {
        let (slot, pair) = ((token >> 8) as usize, (token & 0xff) as usize);
        if self.polled.iter().any(|polled| (polled.slot, polled.pair) == (slot, pair)) {
            return;
        }
        if let Some(queue) = self.table.tx(slot, pair) {
            queue.ring.disarm();
            self.polled.push(Polled { slot, pair, last_work_us: self.now_us });
        }
    }

    pub(super) fn poll_queues(&mut self) {
        let mut at = 0;
        while let Some(Polled { slot, pair, last_work_us }) = self.polled.get(at).copied() {
            let worked = self.forward_burst(slot, pair);
            // A fault may have taken queues from the list, this one among them.
            let Some(polled) = self.polled.get_mut(at).filter(|polled| (polled.slot, polled.pair) == (slot, pair))
            else {
                continue;
            };
            if worked {
                polled.last_work_us = self.now_us;
                at += 1;
            } else if self.now_us.saturating_sub(last_work_us) < self.settings.spin_us || !self.rest_queue(slot, pair) {
                at += 1;
            } else {
                self.polled.swap_remove(at);
            }
        }
    }

    /// Asks the guest for a kick; false when frames came meanwhile.
    fn rest_queue(&mut self, slot: usize, pair: usize) -> bool {
        let Some(queue) = self.table.tx(slot, pair) else { return true };
        queue.ring.arm();
        // An error shows again, and is handled, when the queue is polled.
        let empty = queue.ring.available() == Ok(0);
        if !empty {
            queue.ring.disarm();
        }
        empty
    }
}
