//! What other threads ask of a worker. Commands are taken between bursts, so that a worker owns its rings outright.

use crate::mailbox::Mailbox;
use crate::model::{Port, Segment};
use crate::port::PortShared;
use crate::port::queue::{RxQueue, TxQueue};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;

#[derive(Debug)]
pub enum Queue {
    Rx(RxQueue),
    Tx(TxQueue),
}

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
