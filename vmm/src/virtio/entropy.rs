//! The entropy device (VIRTIO 1.2, 5.4): random bytes from the host's kernel.

use super::{Activation, DeviceState, LocalQueue, VERSION_1, VirtioDevice};
use crate::memory::GuestRam;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use virtio_bindings::virtio_ids::VIRTIO_ID_RNG;
use vm_memory::{Bytes, GuestAddress};
use vmm_sys_util::eventfd::EventFd;

/// Most bytes one request gets, so that a guest cannot keep the VMM busy; drivers ask again.
const MAX_REQUEST_BYTES: usize = 4096;
/// Buffers a driver may have waiting; Linux uses one.
const QUEUE_SIZE: u16 = 8;
/// Class "other", as there is none for entropy.
const PCI_CLASS: u32 = 0xff_0000;

/// A virtio-rng device.
#[derive(Debug)]
pub struct Entropy {
    queue: LocalQueue,
    ram: GuestRam,
    state: Arc<DeviceState>,
}

impl Entropy {
    /// An entropy device for a guest with this RAM.
    pub fn new(ram: GuestRam) -> io::Result<Self> {
        let state = DeviceState::default();
        state.connected.store(true, Ordering::Release);
        Ok(Self { queue: LocalQueue::new(ram.clone())?, ram, state: Arc::new(state) })
    }

    /// Fill the buffers that are waiting.
    pub fn process(&self) {
        self.queue.process(|chain| {
            let mut random = [0; MAX_REQUEST_BYTES];
            let mut written = 0;
            for descriptor in chain.writable() {
                let length = (descriptor.len() as usize).min(MAX_REQUEST_BYTES - written);
                let bytes = &mut random[..length];
                let filled = getrandom::fill(bytes).is_ok();
                if !filled || self.ram.write_slice(bytes, GuestAddress(descriptor.addr().0)).is_err() {
                    break;
                }
                written += length;
            }
            written as u32
        });
    }
}

impl VirtioDevice for Entropy {
    fn device_type(&self) -> u16 {
        VIRTIO_ID_RNG as u16
    }
    fn pci_class(&self) -> u32 {
        PCI_CLASS
    }
    fn features(&self) -> u64 {
        VERSION_1
    }
    fn queue_sizes(&self) -> Vec<u16> {
        vec![QUEUE_SIZE]
    }
    fn kick(&self, index: usize) -> Option<&Arc<EventFd>> {
        (index == 0).then(|| self.queue.kick())
    }
    fn read_config(&self, _: usize, data: &mut [u8]) {
        data.fill(0);
    }
    fn activate(&self, activation: Activation) {
        if !activation.queues.first().is_none_or(|queue| self.queue.start(queue)) {
            self.state.fail();
        }
    }
    fn reset(&self) {
        self.queue.stop();
        self.state.reset_pending.store(false, Ordering::Release);
    }
    fn state(&self) -> &Arc<DeviceState> {
        &self.state
    }
}
