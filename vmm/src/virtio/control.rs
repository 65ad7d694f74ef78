//! The control queue of a multi-queue network device (VIRTIO 1.2, 5.1.6.5): how many queue pairs the driver uses. The VMM
//! serves it; the backend sees only the pairs.

use super::{ActiveQueue, LocalQueue};
use crate::memory::GuestRam;
use std::io;
use std::sync::Arc;
use virtio_bindings::virtio_net::{
    VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, VIRTIO_NET_ERR, VIRTIO_NET_OK,
};
use virtio_queue::DescriptorChain;
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

/// Class, command, and the number of pairs.
const COMMAND_BYTES: usize = 4;

/// The control queue of one device.
#[derive(Debug)]
pub struct NetControl {
    queue: LocalQueue,
    ram: GuestRam,
    max_pairs: u16,
}

impl NetControl {
    /// A control queue for a device with `max_pairs` queue pairs.
    pub fn new(ram: GuestRam, max_pairs: u16) -> io::Result<Self> {
        Ok(Self { queue: LocalQueue::new(ram.clone())?, ram, max_pairs })
    }

    /// Signalled by the guest.
    pub fn kick(&self) -> &Arc<EventFd> {
        self.queue.kick()
    }

    /// Begin to serve the queue; false if it is not usable.
    pub fn start(&self, setup: &ActiveQueue) -> bool {
        self.queue.start(setup)
    }

    /// Touch the queue no more.
    pub fn stop(&self) {
        self.queue.stop();
    }

    /// Serve the commands that are waiting; `set_pairs` gets each new number of pairs in use.
    pub fn process(&self, mut set_pairs: impl FnMut(u16)) {
        self.queue.process(|chain| {
            let Some(status_address) = chain.clone().writable().last().map(|descriptor| descriptor.addr()) else {
                return 0;
            };
            let pairs = self.requested_pairs(chain);
            let status = if pairs.is_some() { VIRTIO_NET_OK } else { VIRTIO_NET_ERR };
            if let Some(pairs) = pairs {
                set_pairs(pairs);
            }
            u32::from(self.ram.write_obj(status as u8, GuestAddress(status_address.0)).is_ok())
        });
    }

    /// The number of pairs a command asks for, if it is that command and the number is allowed.
    fn requested_pairs(&self, chain: DescriptorChain<&GuestRam>) -> Option<u16> {
        let mut command = [0; COMMAND_BYTES];
        let mut filled = 0;
        for descriptor in chain.readable() {
            let length = (descriptor.len() as usize).min(COMMAND_BYTES - filled);
            self.ram.read_slice(&mut command[filled..filled + length], GuestAddress(descriptor.addr().0)).ok()?;
            filled += length;
        }
        let [class, code, low, high] = command;
        let pairs = u16::from_le_bytes([low, high]);
        let is_set = u32::from(class) == VIRTIO_NET_CTRL_MQ && u32::from(code) == VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET;
        let allowed = (VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN as u16..=self.max_pairs).contains(&pairs);
        (filled == COMMAND_BYTES && is_set && allowed).then_some(pairs)
    }
}
