//! Vhost-user devices (QEMU docs/interop/vhost-user.rst): the VMM is the frontend, connects to a backend's socket, hands it
//! guest memory and the queues' events, and connects again whenever the backend goes away.
//!
//! All conversation with backends after the start is on one thread ([`DeviceThread`]), so that neither a processor nor the
//! API ever waits for one. Crate `vhost` is not used: its frontend retries a timed-out receive for ever.

mod block;
mod connection;
mod device;
mod message;
mod net;
mod session;
mod thread;

pub use connection::Connection;
pub use device::{VhostDevice, connect};
pub use session::Offer;
pub use thread::DeviceThread;

use std::fmt::Debug;
use std::path::PathBuf;

/// What is particular to one kind of vhost-user device.
pub trait Kind: Debug + Send + Sync {
    /// Name in the API: `vhost-user-blk`, `vhost-user-net`.
    fn name(&self) -> &'static str;
    /// Device type (VIRTIO 1.2, chapter 5).
    fn device_type(&self) -> u16;
    /// PCI class, subclass and interface.
    fn pci_class(&self) -> u32;
    /// Features the device can pass on from its backend.
    fn passed_features(&self) -> u64;
    /// Features the device has whatever the backend offers.
    fn own_features(&self) -> u64;
    /// Features the backend must offer, with what to tell whoever configured it otherwise.
    fn required_features(&self) -> &[(u64, &'static str)];
    /// Protocol features the backend must have.
    fn required_protocol(&self) -> u64;
    /// Queues that the backend serves.
    fn backend_queues(&self) -> u16;
    /// What GET_QUEUE_NUM must at least say; backends of network devices count pairs.
    fn counted_queues(&self) -> u16;
    /// Must requests that a backend took but did not complete be repeated by its successor?
    fn keeps_inflight(&self) -> bool;
    /// Queues that are enabled when the driver starts the device; the driver may ask for more later.
    fn queues_at_start(&self) -> u16;
    /// Size of each queue.
    fn queue_size(&self) -> u16;
    /// Bytes of device configuration the backend has, or 0.
    fn backend_config_bytes(&self) -> usize;
    /// Device configuration as the driver reads it, from what the backend has.
    fn config(&self, from_backend: &[u8]) -> Vec<u8>;
}

/// Where a device's backend is.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The device's name in logs and errors.
    pub device: String,
    pub socket: PathBuf,
}

pub use block::Block;
pub use net::Net;
