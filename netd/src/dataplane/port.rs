//! A port as all threads know it.

use crate::mailbox::lock;
use crate::port::queue::RxQueue;
use crate::port::ring::RingFault;
use hive_device::{Counters, Device};
use hive_program::PortId;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Most queue pairs of a port: as many as bits in a word.
pub const QUEUE_PAIRS_MAX: u16 = 64;

/// What limits a port's incoming traffic (`ingress_policing_rate`, `ingress_policing_burst`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policing {
    pub rate_kbps: u32,
    pub burst_kb: u32,
}

/// What can be changed while a port is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSettings {
    /// Administratively; a port that is down neither takes nor gives packets.
    pub up: bool,
    pub mtu: u16,
    pub policing: Option<Policing>,
}

/// What is to be seen of a port.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortStatus {
    pub name: String,
    pub up: bool,
    /// A frontend is there with a running queue; or the device's link.
    pub link: bool,
    pub mac: [u8; 6],
    pub mtu: u16,
    /// Of a vhost-user port: its frontend is connected.
    pub connected: bool,
    /// What the guest broke.
    pub fault: Option<String>,
    /// As the switch sees it: received is what came in.
    pub counters: Counters,
    pub ifindex: Option<u32>,
    pub speed_mbps: u64,
    /// Pairs whose receive queue runs.
    pub queues: u32,
}

#[derive(Debug)]
struct Bucket {
    policing: Policing,
    bits: u64,
    filled_us: u64,
}

impl Bucket {
    fn capacity(policing: Policing) -> u64 {
        // Without a burst, a second's worth of an eighth, and at least one large frame.
        match policing.burst_kb {
            0 => (u64::from(policing.rate_kbps) * 125).max(65_536 * 8),
            burst => u64::from(burst) * 1000,
        }
    }

    fn passes(&mut self, bytes: usize, now_us: u64) -> bool {
        let elapsed_us = now_us.saturating_sub(self.filled_us);
        // Kilobits a second are bits a millisecond.
        let gained = elapsed_us.saturating_mul(self.policing.rate_kbps.into()) / 1000;
        if gained > 0 {
            self.bits = self.bits.saturating_add(gained).min(Self::capacity(self.policing));
            self.filled_us = now_us;
        }
        let cost = 8 * bytes as u64;
        let passes = self.bits >= cost;
        if passes {
            self.bits -= cost;
        }
        passes
    }
}

/// Added to once a burst, by any worker.
#[derive(Debug, Default)]
pub(super) struct PortCounters {
    pub rx_packets: AtomicU64,
    pub rx_bytes: AtomicU64,
    pub rx_dropped: AtomicU64,
    pub rx_errors: AtomicU64,
    pub tx_packets: AtomicU64,
    pub tx_bytes: AtomicU64,
    pub tx_dropped: AtomicU64,
}

pub(super) struct PortShared {
    pub id: PortId,
    pub name: String,
    pub mac: [u8; 6],
    pub queue_pairs: u16,
    pub up: AtomicBool,
    pub mtu: AtomicU32,
    policed: AtomicBool,
    policing: Mutex<Option<Bucket>>,
    pub connected: AtomicBool,
    /// Its guest broke a ring: all rings are let go until its driver starts anew.
    pub broken: AtomicBool,
    fault: Mutex<Option<String>>,
    pub counters: PortCounters,
    /// What the guest receives by, a lock each: taken once a burst by who delivers.
    rx: Vec<Mutex<Option<RxQueue>>>,
    /// The pairs that have one, as a set.
    receiving: AtomicU64,
    pub device: Option<Mutex<Box<dyn Device>>>,
}

impl fmt::Debug for PortShared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PortShared").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

impl PortShared {
    pub fn new(
        id: PortId,
        name: String,
        mac: [u8; 6],
        queue_pairs: u16,
        mtu: u16,
        device: Option<Box<dyn Device>>,
    ) -> Self {
        Self {
            id,
            name,
            mac,
            queue_pairs,
            up: AtomicBool::new(true),
            mtu: AtomicU32::new(mtu.into()),
            policed: AtomicBool::new(false),
            policing: Mutex::new(None),
            connected: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            fault: Mutex::new(None),
            counters: PortCounters::default(),
            rx: (0..queue_pairs).map(|_| Mutex::new(None)).collect(),
            receiving: AtomicU64::new(0),
            device: device.map(Mutex::new),
        }
    }

    pub fn rx(&self, pair: usize) -> Option<&Mutex<Option<RxQueue>>> {
        self.rx.get(pair)
    }

    pub fn put_rx(&self, pair: usize, queue: RxQueue) {
        if let Some(place) = self.rx.get(pair)
            && !self.broken.load(Ordering::Acquire)
        {
            *lock(place) = Some(queue);
            self.receiving.fetch_or(1 << pair, Ordering::AcqRel);
        }
    }

    pub fn take_rx(&self, pair: usize) -> Option<RxQueue> {
        let place = self.rx.get(pair)?;
        self.receiving.fetch_and(!(1 << pair), Ordering::AcqRel);
        lock(place).take()
    }

    /// The pairs that receive, as a set.
    #[inline]
    pub fn receiving(&self) -> u64 {
        self.receiving.load(Ordering::Acquire)
    }

    pub fn set_fault(&self, fault: Option<String>) {
        *lock(&self.fault) = fault;
    }

    /// Stops a port whose guest broke a ring; the others go on. No queue of it may be locked.
    pub fn fail(&self, queue: usize, fault: RingFault) {
        tracing::warn!(port = %self.name, queue, reason = %fault, "port stopped: its guest broke a ring");
        self.set_fault(Some(format!("queue {queue}: {fault}")));
        self.broken.store(true, Ordering::Release);
        for pair in 0..self.rx.len() {
            self.take_rx(pair);
        }
    }

    pub fn restart(&self) {
        self.broken.store(false, Ordering::Release);
        self.set_fault(None);
    }

    pub fn change(&self, settings: PortSettings, now_us: u64) {
        self.up.store(settings.up, Ordering::Relaxed);
        self.mtu.store(settings.mtu.into(), Ordering::Relaxed);
        let mut policing = lock(&self.policing);
        if policing.as_ref().map(|bucket| bucket.policing) != settings.policing {
            *policing = settings.policing.map(|policing| Bucket {
                policing,
                bits: Bucket::capacity(policing),
                filled_us: now_us,
            });
        }
        self.policed.store(policing.is_some(), Ordering::Relaxed);
    }

    #[inline]
    pub fn is_policed(&self) -> bool {
        self.policed.load(Ordering::Relaxed)
    }

    /// Whether a frame may come in.
    pub fn admits(&self, bytes: usize, now_us: u64) -> bool {
        lock(&self.policing).as_mut().is_none_or(|bucket| bucket.passes(bytes, now_us))
    }

    /// Without what only the system knows of a device.
    pub fn counters(&self) -> Counters {
        self.with_device(self.device.as_ref().map(|device| lock(device).counters()))
    }

    fn with_device(&self, of_device: Option<Counters>) -> Counters {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let own = Counters {
            rx_packets: get(&self.counters.rx_packets),
            rx_bytes: get(&self.counters.rx_bytes),
            rx_dropped: get(&self.counters.rx_dropped),
            rx_errors: get(&self.counters.rx_errors),
            tx_packets: get(&self.counters.tx_packets),
            tx_bytes: get(&self.counters.tx_bytes),
            tx_dropped: get(&self.counters.tx_dropped),
            tx_errors: 0,
        };
        match of_device {
            None => own,
            Some(counters) => Counters {
                rx_dropped: own.rx_dropped + counters.rx_dropped,
                rx_errors: own.rx_errors + counters.rx_errors,
                tx_dropped: own.tx_dropped + counters.tx_dropped,
                tx_errors: counters.tx_errors,
                ..own
            },
        }
    }

    pub fn status(&self) -> PortStatus {
        let of_device = self.device.as_ref().map(|device| lock(device).status());
        let counters = self.with_device(of_device.as_ref().map(|status| status.counters));
        let connected = self.connected.load(Ordering::Relaxed);
        PortStatus {
            name: self.name.clone(),
            up: self.up.load(Ordering::Relaxed),
            link: of_device.as_ref().map_or(connected && self.receiving() != 0, |status| status.link),
            mac: of_device.as_ref().and_then(|status| status.mac).unwrap_or(self.mac),
            mtu: self.mtu.load(Ordering::Relaxed) as u16,
            connected,
            fault: lock(&self.fault).clone(),
            counters,
            ifindex: of_device.as_ref().and_then(|status| status.ifindex),
            speed_mbps: of_device.as_ref().map_or(0, |status| status.speed_mbps),
            queues: self.receiving().count_ones(),
        }
    }
}

/// All ports, at one moment.
pub(super) type PortMap = hashbrown::HashMap<PortId, Arc<PortShared>, foldhash::fast::FixedState>;
