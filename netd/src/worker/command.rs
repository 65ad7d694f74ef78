//! What other threads ask of a worker. Commands are taken between bursts, so that a worker owns its rings outright.

use crate::mailbox::Mailbox;
use crate::model::{Port, Segment};
use crate::port::PortShared;
use crate::port::queue::Queue;
use crate::port::vhost_user::RingOwner;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, sync_channel};

#[derive(Debug)]
pub enum Command {
    /// Adds a segment or replaces its description.
    PutSegment(Arc<Segment>),
    /// Its ports were deleted before.
    DeleteSegment {
        segment_id: String,
    },
    /// Adds a port or replaces its description.
    PutPort {
        port: Arc<PortShared>,
        config: Arc<Port>,
    },
    DeletePort {
        key: u64,
    },
    /// The worker owns the ring from here on.
    StartQueue {
        key: u64,
        index: usize,
        queue: Queue,
    },
    /// Answers with the ring's place, or None when the worker does not have it.
    StopQueue {
        key: u64,
        index: usize,
        reply: SyncSender<Option<u16>>,
    },
    /// The guest's driver starts anew: what broke or was going on before is over.
    StartDriver {
        key: u64,
    },
    /// A frame of the local services for the guest.
    Deliver {
        key: u64,
        frame: Vec<u8>,
    },
    Stop,
}

/// The way to one worker.
#[derive(Clone, Debug)]
pub struct WorkerHandle(Arc<Mailbox<Command>>);

impl WorkerHandle {
    pub fn new(mailbox: Arc<Mailbox<Command>>) -> Self {
        Self(mailbox)
    }

    pub fn send(&self, command: Command) {
        self.0.send(command);
    }
}

/// A port whose rings one worker moves.
#[derive(Debug)]
pub struct WorkerPort {
    pub port: Arc<PortShared>,
    pub worker: WorkerHandle,
}

impl RingOwner for WorkerPort {
    fn name(&self) -> String {
        self.port.config().spec.port_id.clone()
    }

    fn queue_pairs(&self) -> u16 {
        self.port.config().spec.queue_pairs
    }

    fn identity(&self) -> ([u8; 6], u16) {
        let config = self.port.config();
        (config.mac.0, config.segment.spec.mtu)
    }

    fn set_connected(&self, connected: bool) {
        self.port.connected.store(connected, Ordering::Relaxed);
    }

    fn set_fault(&self, fault: Option<String>) {
        self.port.set_fault(fault);
    }

    fn start_driver(&self) {
        self.worker.send(Command::StartDriver { key: self.port.key });
    }

    fn start_queue(&self, index: usize, queue: Queue) {
        self.worker.send(Command::StartQueue { key: self.port.key, index, queue });
    }

    fn stop_queue(&self, index: usize) -> Option<u16> {
        let (reply, base) = sync_channel(1);
        self.worker.send(Command::StopQueue { key: self.port.key, index, reply });
        // The worker always answers.
        base.recv().ok().flatten()
    }
}
