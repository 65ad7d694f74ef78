//! Counters with one writing thread each, readable from any.

use std::sync::atomic::{AtomicU64, Ordering};

/// A counter that only its owner advances, so that no locked instruction is needed.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    #[inline]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a frame went nowhere.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum DropReason { $($(#[$doc])* $variant,)* }

        impl DropReason {
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant,)*];

            pub fn name(self) -> &'static str {
                match self { $(DropReason::$variant => $name,)* }
            }
        }
    };
}

drop_reasons! {
    /// Headers contradict themselves or the frame's length.
    Malformed = "malformed",
    /// 802.1Q or 802.1ad tagged.
    VlanTagged = "vlan-tagged",
    /// The virtio-net header contradicts the frame.
    BadOffload = "bad-offload",
    /// Longer than the segment's MTU.
    Oversized = "oversized",
    /// Source MAC is not the port's.
    SpoofedMac = "spoofed-mac",
    /// Source IPv4 address is not the port's.
    SpoofedIpv4 = "spoofed-ipv4",
    /// ARP sender is not the port.
    SpoofedArp = "spoofed-arp",
    /// A link-constrained group address (IEEE 802.1D).
    ReservedGroup = "reserved-group",
    /// The receiver had no buffers, or too small ones.
    NoBuffers = "no-buffers",
    /// The receiver's guest is not there.
    NotConnected = "not-connected",
    /// The frame came back to the port it was learned on.
    SamePort = "same-port",
    /// The gateway knows no way to the destination.
    NoRoute = "no-route",
    /// An IP fragment where addresses are translated.
    Fragment = "fragment",
    /// TTL ran out.
    TtlExceeded = "ttl-exceeded",
    /// The translation table is full, for the port or in all.
    NatFull = "nat-full",
    /// No flow of the translation table, and no new one may start here.
    NatNoFlow = "nat-no-flow",
    /// The local services are behind with this port's frames.
    ServicesBusy = "services-busy",
    /// The host's side of the uplink took no frame.
    UplinkBusy = "uplink-busy",
}

/// What one worker counts beside its ports.
#[derive(Debug)]
pub struct WorkerCounters {
    pub forwarded_packets: Counter,
    pub flooded_packets: Counter,
    drops: Vec<Counter>,
}

impl Default for WorkerCounters {
    fn default() -> Self {
        Self {
            forwarded_packets: Counter::default(),
            flooded_packets: Counter::default(),
            drops: DropReason::ALL.iter().map(|_| Counter::default()).collect(),
        }
    }
}

impl WorkerCounters {
    #[inline]
    pub fn count(&self, reason: DropReason) {
        if let Some(counter) = self.drops.get(reason as usize) {
            counter.add(1);
        }
    }

    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).map_or(0, Counter::get)
    }
}
