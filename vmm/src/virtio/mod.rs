//! Virtio (VIRTIO 1.2): the modern PCI transport, and the devices and queues the VMM serves itself.

mod common;
mod control;
mod entropy;
mod local_queue;
mod transport;

pub use control::NetControl;
pub use entropy::Entropy;
pub use local_queue::LocalQueue;
pub use transport::{BAR_BYTES, Transport, VirtioPci};

use crate::memory::{self, GuestRam};
use std::fmt::Debug;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use virtio_bindings::virtio_config::{VIRTIO_F_IN_ORDER, VIRTIO_F_VERSION_1};
use virtio_bindings::virtio_ring::{VIRTIO_RING_F_EVENT_IDX, VIRTIO_RING_F_INDIRECT_DESC};
use vmm_sys_util::eventfd::EventFd;

/// The modern interface; devices offer no other.
pub const VERSION_1: u64 = 1 << VIRTIO_F_VERSION_1;
/// Ring features a backend may offer through to the guest.
pub const RING_FEATURES: u64 =
    1 << VIRTIO_RING_F_INDIRECT_DESC | 1 << VIRTIO_RING_F_EVENT_IDX | 1 << VIRTIO_F_IN_ORDER | VERSION_1;
/// Largest queue of a split ring that Linux and the backends handle; the specification allows 32768.
pub const MAX_QUEUE_SIZE: u16 = 1024;

/// ISR status: the configuration changed. (The other bit is for queues, whose only interrupt here is MSI-X.)
const ISR_CONFIG: u8 = 2;

/// A virtio device behind the transport. All take `&self` and return at once: work that may wait is another thread's.
pub trait VirtioDevice: Debug + Send + Sync {
    /// Device type (VIRTIO 1.2, chapter 5).
    fn device_type(&self) -> u16;
    /// PCI class, subclass and interface.
    fn pci_class(&self) -> u32;
    /// Feature bits offered.
    fn features(&self) -> u64;
    /// Maximum size of each queue.
    fn queue_sizes(&self) -> Vec<u16>;
    /// What signals the device that queue `index` has buffers.
    fn kick(&self, index: usize) -> Option<&Arc<EventFd>>;
    /// Read device configuration; what lies beyond it reads as zero.
    fn read_config(&self, offset: usize, data: &mut [u8]);
    /// The driver is ready (DRIVER_OK).
    fn activate(&self, activation: Activation);
    /// Stop: no queue is touched once [`DeviceState::reset_pending`] is cleared again, which this or a later call does.
    fn reset(&self);
    /// State shared with whoever serves the device.
    fn state(&self) -> &Arc<DeviceState>;
}

/// State of a device that its server changes and the transport shows to the guest.
#[derive(Debug, Default)]
pub struct DeviceState {
    /// A driver has set DRIVER_OK.
    pub active: AtomicBool,
    /// A reset has begun and is not done.
    pub reset_pending: AtomicBool,
    /// The device cannot go on until the driver resets it.
    pub needs_reset: AtomicBool,
    /// The backend is connected.
    pub connected: AtomicBool,
    pub reconnects: AtomicU64,
    config_generation: AtomicU8,
    /// ISR status (4.1.4.5): read and cleared by the driver.
    isr: AtomicU8,
    /// Where to announce a change of configuration or status.
    config_event: Mutex<Option<Arc<EventFd>>>,
}

impl DeviceState {
    /// The configuration changed: the driver is told, and reads that straddle the change are detected.
    pub fn config_changed(&self) {
        self.config_generation.fetch_add(1, Ordering::Release);
        self.signal_config();
    }

    /// The device cannot go on; the driver is told.
    pub fn fail(&self) {
        self.needs_reset.store(true, Ordering::Release);
        self.signal_config();
    }

    fn signal_config(&self) {
        self.isr.fetch_or(ISR_CONFIG, Ordering::Release);
        if let Some(event) = &*crate::lock(&self.config_event) {
            // Cannot fail: the counter is far from its limit.
            let _ = event.write(1);
        }
    }
}

/// What a driver has set up when it sets DRIVER_OK.
#[derive(Clone, Debug)]
pub struct Activation {
    /// Features the driver accepted.
    pub features: u64,
    /// The queues it enabled.
    pub queues: Vec<ActiveQueue>,
}

/// A queue the driver enabled: its rings lie in RAM, each within one region.
#[derive(Clone, Debug)]
pub struct ActiveQueue {
    pub index: u16,
    pub size: u16,
    /// Guest addresses of descriptor table, available ring and used ring.
    pub guest: RingAddresses,
    /// The same in this process.
    pub host: RingAddresses,
    /// Signals the guest that buffers were used.
    pub call: Arc<EventFd>,
    /// Signals the device that buffers are available.
    pub kick: Arc<EventFd>,
}

/// Addresses of the three parts of a split ring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingAddresses {
    pub descriptors: u64,
    pub available: u64,
    pub used: u64,
}

impl RingAddresses {
    /// These guest addresses in terms of this process, if all parts are aligned and lie in RAM (VIRTIO 1.2, 2.7).
    pub fn to_host(self, ram: &GuestRam, size: u16) -> Option<Self> {
        let size = u64::from(size);
        let part = |address: u64, alignment: u64, length: u64| -> Option<u64> {
            address.is_multiple_of(alignment).then(|| memory::host_range(ram, address, length))?
        };
        Some(Self {
            descriptors: part(self.descriptors, 16, 16 * size)?,
            available: part(self.available, 2, 6 + 2 * size)?,
            used: part(self.used, 4, 6 + 8 * size)?,
        })
    }
}
