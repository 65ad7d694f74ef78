//! What the services were asked, answered, and did not answer.

use hive_netd_api::Metrics;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a frame was not answered.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum DropReason { $($(#[$doc])* $variant,)* }

        impl DropReason {
            const NAMES: &[&str] = &[$($name,)*];
        }
    };
}

drop_reasons! {
    /// It came with the number of no interface, or with none.
    UnknownNumber = "unknown-number",
    /// The virtio-net header contradicts the frame.
    BadOffload = "bad-offload",
    /// The interface's share of frames waits already.
    Busy = "busy",
    /// Headers contradict themselves or the frame's length.
    Malformed = "malformed",
    /// 802.1Q or 802.1ad tagged.
    VlanTagged = "vlan-tagged",
    /// A checksum does not hold.
    BadChecksum = "bad-checksum",
    /// Source MAC is not the interface's.
    SpoofedMac = "spoofed-mac",
    /// Source IPv4 address is nobody's, or the services' own.
    SpoofedIpv4 = "spoofed-ipv4",
    /// The same of IPv6.
    SpoofedIpv6 = "spoofed-ipv6",
    /// ARP sender is not the interface.
    SpoofedArp = "spoofed-arp",
    /// An IP fragment.
    Fragment = "fragment",
    /// To an address that the services do not answer for.
    NotLocal = "not-local",
    /// Too long for a link, and nothing is said of it (any more in this second).
    TooLong = "too-long",
    /// To a service that is not there, or asking what is not answered.
    NotServed = "not-served",
    /// The answer found no room on its way to the switch.
    AnswersFull = "answers-full",
}

/// Frames and their bytes.
#[derive(Debug, Default)]
struct Count {
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl Count {
    fn add(&self, bytes: usize) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Counters of one interface, or of all.
#[derive(Debug, Default)]
pub struct Traffic {
    asked: Count,
    answered: Count,
    drops: [AtomicU64; DropReason::NAMES.len()],
}

impl Traffic {
    pub fn asked(&self, bytes: usize) {
        self.asked.add(bytes);
    }

    pub fn answered(&self, bytes: usize) {
        self.answered.add(bytes);
    }

    pub fn dropped(&self, reason: DropReason) {
        if let Some(counter) = self.drops.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// As the control socket tells it; of drops those that happened.
    pub fn metrics(&self) -> Metrics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let drops = DropReason::NAMES.iter().zip(&self.drops).map(|(name, count)| ((*name).to_owned(), get(count)));
        Metrics {
            asked_packets: get(&self.asked.packets),
            asked_bytes: get(&self.asked.bytes),
            answered_packets: get(&self.answered.packets),
            answered_bytes: get(&self.answered.bytes),
            drops: drops.filter(|(_, count)| *count > 0).collect(),
        }
    }
}
