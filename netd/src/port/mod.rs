//! Ports: what moves bytes between the switch and a guest.

pub mod memory;
pub mod queue;
pub mod ring;
pub mod vhost_user;

use crate::counters::Counter;
use crate::mailbox::lock;
use crate::model::Port;
use hive_netd_api::PortStatus;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// Frames of one port that may wait for the local services, so that a tenant's flood delays only himself.
pub const MAX_SERVICE_BACKLOG: u32 = 64;

/// One port, as all threads know it.
#[derive(Debug)]
pub struct PortShared {
    /// Unique in this process; a port put again after deletion has another.
    pub key: u64,
    pub socket: PathBuf,
    config: Mutex<Arc<Port>>,
    fault: Mutex<Option<String>>,
    pub connected: AtomicBool,
    /// Frames handed to the local services and not yet looked at.
    service_backlog: AtomicU32,
    /// From the guest's point of view: rx is what it received.
    pub rx_packets: Counter,
    pub tx_packets: Counter,
    pub rx_bytes: Counter,
    pub tx_bytes: Counter,
}

impl PortShared {
    pub fn new(key: u64, socket: PathBuf, config: Port) -> Self {
        Self {
            key,
            socket,
            config: Mutex::new(Arc::new(config)),
            fault: Mutex::new(None),
            connected: AtomicBool::new(false),
            service_backlog: AtomicU32::new(0),
            rx_packets: Counter::default(),
            tx_packets: Counter::default(),
            rx_bytes: Counter::default(),
            tx_bytes: Counter::default(),
        }
    }

    pub fn config(&self) -> Arc<Port> {
        lock(&self.config).clone()
    }

    pub fn set_config(&self, config: Arc<Port>) {
        *lock(&self.config) = config;
    }

    pub fn set_fault(&self, fault: Option<String>) {
        *lock(&self.fault) = fault;
    }

    /// Counts one more frame for the local services; false when the port has its share waiting already.
    pub fn enter_services(&self) -> bool {
        self.service_backlog
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
                (waiting < MAX_SERVICE_BACKLOG).then_some(waiting + 1)
            })
            .is_ok()
    }

    pub fn leave_services(&self) {
        self.service_backlog.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn status(&self) -> PortStatus {
        PortStatus {
            port: self.config().spec.clone(),
            socket: self.socket.clone(),
            connected: self.connected.load(Ordering::Relaxed),
            fault: lock(&self.fault).clone(),
            rx_packets: self.rx_packets.get(),
            tx_packets: self.tx_packets.get(),
            rx_bytes: self.rx_bytes.get(),
            tx_bytes: self.tx_bytes.get(),
        }
    }
}
