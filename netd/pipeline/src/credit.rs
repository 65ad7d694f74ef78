//! Who is credited with the packets of a translation.

use crate::bond::Bond;
use crate::frozen::{Frozen, PuntContext};
use crate::mac::MacEntry;
use crate::switch::Switch;
use crate::topology::{BridgeState, BundleId, Counters, PortState};
use crate::xlate::learn::Learning;
use hive_ofproto::Usage;
use hive_program::Traffic;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// TCP flags that end a connection: FIN, RST.
const ENDING: u16 = 0x5;

/// See [`hive_program::Translation::credits`].
#[derive(Debug, Default)]
pub struct Credits {
    /// Of flows, groups and buckets.
    pub(crate) usages: Box<[Arc<Usage>]>,
    pub(crate) tables: Box<[TableCredit]>,
    pub(crate) others: Box<[Other]>,
    /// What the operations name, so that it stays.
    pub(crate) _frozen: Box<[Arc<Frozen>]>,
    pub(crate) _punts: Box<[Arc<PuntContext>]>,
}

/// Lookups in one bridge's table.
#[derive(Clone, Debug)]
pub(crate) struct TableCredit {
    pub bridge: Arc<BridgeState>,
    pub table: u8,
    pub lookups: u16,
    pub matches: u16,
}

/// What only some translations have.
#[derive(Debug)]
pub(crate) enum Other {
    /// The source address was seen.
    Mac(Box<MacCredit>),
    Learn(Box<Learning>),
    Fin {
        usage: Arc<Usage>,
        idle_s: u16,
        hard_s: u16,
    },
    Patch {
        sent: Arc<PortState>,
        received: Arc<PortState>,
    },
    Mirror(Arc<Counters>),
    Bond {
        bond: Arc<Bond>,
        bucket: usize,
    },
}

#[derive(Debug)]
pub(crate) struct MacCredit {
    pub bridge: Arc<BridgeState>,
    pub address: (u64, u16),
    pub bundle: BundleId,
    pub gratuitous: bool,
    pub bonded: bool,
    pub entry: Option<Arc<MacEntry>>,
}

impl MacCredit {
    /// True if translations are stale by it.
    pub fn apply(&self, now_ms: u64) -> bool {
        let refreshed = !self.gratuitous && self.entry.as_ref().is_some_and(|entry| entry.refresh(self.bundle, now_ms));
        if refreshed {
            return false;
        }
        // Traffic from before the port went is counted yet: its address would lead nowhere until it ages.
        self.bridge.has_bundle(self.bundle) && self.learn(now_ms)
    }

    fn learn(&self, now_ms: u64) -> bool {
        let (learned, _) = self.bridge.macs.learn(self.address, self.bundle, self.gratuitous, self.bonded, now_ms);
        if !self.bridge.has_bundle(self.bundle) {
            // It went meanwhile, and what was learned there was forgotten before this was.
            self.bridge.macs.forget(self.address, self.bundle);
        }
        learned == crate::mac::Learned::Changed
    }
}

impl Credits {
    pub(crate) fn apply(&self, switch: &Switch, traffic: Traffic, now_ms: u64) {
        let Traffic { packets, bytes, tcp_flags } = traffic;
        for usage in &self.usages {
            usage.add(packets, bytes, now_ms);
        }
        for credit in &self.tables {
            if let Some(counters) = credit.bridge.tables.get(usize::from(credit.table)) {
                counters.lookups.fetch_add(packets * u64::from(credit.lookups), Ordering::Relaxed);
                counters.matches.fetch_add(packets * u64::from(credit.matches), Ordering::Relaxed);
            }
        }
        for other in &self.others {
            match other {
                Other::Mac(credit) => {
                    if credit.apply(now_ms) {
                        switch.touch();
                    }
                }
                Other::Learn(learning) => {
                    learning.apply(now_ms);
                }
                Other::Fin { usage, idle_s, hard_s } => {
                    if tcp_flags & ENDING != 0 {
                        usage.limit_timeouts(*idle_s, *hard_s);
                    }
                }
                Other::Patch { sent, received } => {
                    sent.sent.add(packets, bytes);
                    received.received.add(packets, bytes);
                }
                Other::Mirror(counters) => counters.add(packets, bytes),
                Other::Bond { bond, bucket } => bond.account(*bucket, bytes),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_learned_at_a_port_that_goes_meanwhile() {
        let bridge = Arc::new(BridgeState::new());
        let bundle = bridge.bundle_id("p1");
        let credit = MacCredit {
            bridge: bridge.clone(),
            address: (0x0200_0000_0001, 0),
            bundle,
            gratuitous: false,
            bonded: false,
            entry: None,
        };
        assert!(credit.apply(1));
        assert_eq!(bridge.macs.stats().entries, 1);
        bridge.retain_bundles(&[]);
        assert!(!credit.apply(2));
        assert_eq!(bridge.macs.stats().entries, 0);
        // As if it had been there a moment ago.
        assert!(credit.learn(3));
        assert_eq!(bridge.macs.stats().entries, 0);
        assert_ne!(bridge.bundle_id("p1"), bundle);
    }
}
