//! A queue that the VMM serves itself.

use super::ActiveQueue;
use crate::lock;
use crate::memory::GuestRam;
use std::io;
use std::sync::{Arc, Mutex};
use virtio_queue::{DescriptorChain, Queue, QueueT};
use vmm_sys_util::eventfd::EventFd;

/// A queue and the event that says it has buffers.
#[derive(Debug)]
pub struct LocalQueue {
    kick: Arc<EventFd>,
    ram: GuestRam,
    running: Mutex<Option<(Queue, Arc<EventFd>)>>,
}

impl LocalQueue {
    /// A queue that is not set up yet.
    pub fn new(ram: GuestRam) -> io::Result<Self> {
        let kick = Arc::new(EventFd::new(libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)?);
        Ok(Self { kick, ram, running: Mutex::new(None) })
    }

    /// Signalled by the guest.
    pub fn kick(&self) -> &Arc<EventFd> {
        &self.kick
    }

    /// Begin to serve the queue as the driver set it up; false if it is not usable.
    pub fn start(&self, setup: &ActiveQueue) -> bool {
        let halves = |address: u64| (Some(address as u32), Some((address >> 32) as u32));
        let Ok(mut queue) = Queue::new(setup.size) else { return false };
        let (low, high) = halves(setup.guest.descriptors);
        queue.set_desc_table_address(low, high);
        let (low, high) = halves(setup.guest.available);
        queue.set_avail_ring_address(low, high);
        let (low, high) = halves(setup.guest.used);
        queue.set_used_ring_address(low, high);
        queue.set_ready(true);
        let valid = queue.is_valid(&self.ram);
        *lock(&self.running) = valid.then(|| (queue, setup.call.clone()));
        // Buffers may have been made available before.
        valid && self.kick.write(1).is_ok()
    }

    /// Touch the queue no more.
    pub fn stop(&self) {
        *lock(&self.running) = None;
    }

    /// Serve what is available, at most one queue's worth; the rest waits for the next turn of the event loop. `serve` gets
    /// each chain and returns how many bytes it wrote.
    pub fn process(&self, mut serve: impl FnMut(DescriptorChain<&GuestRam>) -> u32) {
        // The count does not matter, only that it is read.
        let _ = self.kick.read();
        let mut running = lock(&self.running);
        let Some((queue, call)) = running.as_mut() else { return };
        let mut served = 0;
        while let Some(chain) = queue.pop_descriptor_chain(&self.ram) {
            let head = chain.head_index();
            let written = serve(chain);
            if queue.add_used(&self.ram, head, written).is_err() {
                break;
            }
            served += 1;
            if served == queue.size() {
                let _ = self.kick.write(1);
                break;
            }
        }
        if served > 0 && queue.needs_notification(&self.ram).unwrap_or(true) {
            let _ = call.write(1);
        }
    }
}
