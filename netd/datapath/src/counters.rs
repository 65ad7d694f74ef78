//! What an engine counts: packets by the way they went, and by why they went nowhere.

use hive_program::DropReason;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Counter { $($(#[$doc])* $variant,)* }

        impl Counter {
            pub const ALL: &'static [Counter] = &[$(Counter::$variant,)*];

            pub fn name(self) -> &'static str {
                match self { $(Counter::$variant => $name,)* }
            }
        }
    };
}

counters! {
    Packets = "packets",
    Bytes = "bytes",
    /// In so many goes.
    Bursts = "bursts",
    /// Looks at queues that had nothing.
    EmptyPolls = "empty-polls",
    /// Found in the exact-match cache: a flow.
    ExactHits = "exact-hits",
    /// Found in the exact-match cache: a connection's way through all passes.
    FusedHits = "fused-hits",
    /// Passes found in the flow tables.
    FlowHits = "flow-hits",
    /// Flow tables looked at for these.
    FlowLookups = "flow-lookups",
    /// Passes that went by a flow of an earlier epoch, because the port had its share of questions.
    StaleHits = "stale-hits",
    /// Passes that the pipeline was asked for.
    Misses = "misses",
    Recirculations = "recirculations",
    Punted = "punted",
    Malformed = "drop-malformed",
    /// A port, or all, had its share of questions to the pipeline.
    MissLimit = "drop-miss-limit",
    RecirculationDepth = "drop-recirculation-depth",
    /// Lists within lists.
    CloneDepth = "drop-clone-depth",
    Meter = "drop-meter",
    PuntMeter = "drop-punt-meter",
    /// A connection was to be made, and there are as many as there may be.
    ConntrackFull = "drop-conntrack-full",
    /// The same, of its zone.
    ConntrackZoneFull = "drop-conntrack-zone-full",
    /// A connection was to be made, and no address and port to translate it to is free.
    ConntrackNatExhausted = "drop-conntrack-nat-exhausted",
    Pipeline = "drop-pipeline",
    TooComplex = "drop-too-complex",
    RecirculationUnknown = "drop-recirculation-unknown",
    Loop = "drop-loop",
    PortBlocked = "drop-port-blocked",
    TtlExpired = "drop-ttl-expired",
}

impl From<DropReason> for Counter {
    fn from(reason: DropReason) -> Self {
        match reason {
            DropReason::Pipeline => Self::Pipeline,
            DropReason::TooComplex => Self::TooComplex,
            DropReason::RecirculationUnknown => Self::RecirculationUnknown,
            DropReason::Loop => Self::Loop,
            DropReason::PortBlocked => Self::PortBlocked,
            DropReason::TtlExpired => Self::TtlExpired,
        }
    }
}

/// Written by one engine, read by anybody.
#[derive(Debug)]
pub struct Counters(Box<[AtomicU64]>);

impl Default for Counters {
    fn default() -> Self {
        Self(Counter::ALL.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl Counters {
    /// Only its engine advances it, so that no locked instruction is needed.
    #[inline]
    pub fn add(&self, counter: Counter, count: u64) {
        if let Some(place) = self.0.get(counter as usize) {
            place.store(place.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
        }
    }

    pub fn get(&self, counter: Counter) -> u64 {
        self.0.get(counter as usize).map_or(0, |place| place.load(Ordering::Relaxed))
    }
}
