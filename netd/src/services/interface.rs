//! A guest's interface as the services know it, and all of them.

use super::device::Answers;
use super::model::{Elsewhere, Port, Segment};
use super::names::Names;
use super::traffic::{DropReason, Traffic};
use arc_swap::ArcSwap;
use hive_netd_api::PortStatus;
use hive_packet::build;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// Frames of one interface that may wait for the services, so that a tenant's flood delays only himself.
const WAITING_MAX: u32 = 64;

/// One interface, as the switch's threads and the services' share it.
#[derive(Debug)]
pub struct Interface {
    /// `tun_id` of what comes from it and goes to it.
    pub number: u64,
    port: ArcSwap<Port>,
    /// Frames given to the services and not yet looked at.
    waiting: AtomicU32,
    traffic: Traffic,
    /// Of all interfaces.
    total: Arc<Traffic>,
}

impl Interface {
    pub fn new(port: Port, directory: &Directory) -> Self {
        Self {
            number: port.spec.number,
            port: ArcSwap::from_pointee(port),
            waiting: AtomicU32::new(0),
            traffic: Traffic::default(),
            total: directory.total.clone(),
        }
    }

    pub fn port(&self) -> Arc<Port> {
        self.port.load_full()
    }

    pub fn set_port(&self, port: Port) {
        self.port.store(Arc::new(port));
    }

    /// Counts a frame that is given to the services; false when its share waits there already.
    pub fn enter(&self, bytes: usize) -> bool {
        self.count(|traffic| traffic.asked(bytes));
        let one_more = |waiting| (waiting < WAITING_MAX).then_some(waiting + 1);
        let enters = self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        if !enters {
            self.dropped(DropReason::Busy);
        }
        enters
    }

    /// The services look at a frame that [`Self::enter`] let in.
    pub fn leave(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    pub fn dropped(&self, reason: DropReason) {
        self.count(|traffic| traffic.dropped(reason));
    }

    fn count(&self, count: impl Fn(&Traffic)) {
        count(&self.traffic);
        count(&self.total);
    }

    pub fn status(&self) -> PortStatus {
        let port = self.port();
        PortStatus { port_id: port.spec.port_id.clone(), number: port.spec.number, metrics: self.traffic.metrics() }
    }
}

/// Interfaces at one moment, and what they are called.
#[derive(Debug, Default)]
struct Known {
    interfaces: HashMap<u64, Arc<Interface>>,
    names: Arc<Names>,
}

/// All interfaces, for those who move frames and those who answer.
#[derive(Debug, Default)]
pub struct Directory {
    known: ArcSwap<Known>,
    pub total: Arc<Traffic>,
}

impl Directory {
    pub fn get(&self, number: u64) -> Option<Arc<Interface>> {
        self.known.load().interfaces.get(&number).cloned()
    }

    pub fn interfaces(&self) -> Vec<Arc<Interface>> {
        self.known.load().interfaces.values().cloned().collect()
    }

    pub fn names(&self) -> Arc<Names> {
        self.known.load().names.clone()
    }

    /// Replaces all that was known.
    pub fn set<'a>(
        &self,
        segments: impl Iterator<Item = &'a Arc<Segment>>,
        interfaces: impl Iterator<Item = &'a Arc<Interface>>,
        elsewhere: impl Iterator<Item = &'a Arc<Elsewhere>>,
    ) {
        let interfaces: Vec<_> = interfaces.collect();
        let names = Arc::new(Names::new(segments, interfaces.iter().map(|interface| interface.port()), elsewhere));
        let interfaces = interfaces.into_iter().map(|interface| (interface.number, interface.clone())).collect();
        self.known.store(Arc::new(Known { interfaces, names }));
    }
}

/// An interface, and where answers to it go: out of the services port that it asked by, and through the switch's tables.
#[derive(Clone, Debug)]
pub struct Client {
    pub interface: Arc<Interface>,
    pub answers: Arc<Answers>,
}

impl Client {
    /// Sends an IP packet to the guest from its gateway's MAC.
    pub fn send(&self, packet: &[u8]) {
        let port = self.interface.port();
        self.send_frame(build::ethernet(port.mac, port.segment.gateway_mac, packet));
    }

    pub fn send_frame(&self, frame: Vec<u8>) {
        let bytes = frame.len();
        if self.answers.send(self.interface.number, frame) {
            self.interface.count(|traffic| traffic.answered(bytes));
        } else {
            self.interface.dropped(DropReason::AnswersFull);
        }
    }
}
