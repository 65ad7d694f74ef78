//! `Flow_Sample_Collector_Set` and `IPFIX`: where what flows sample is exported to.

use super::{Place, Reader, shown};
use crate::table::Table;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

/// A collector's port that does not say its own.
const PORT: u16 = 4739;
/// Collectors of one set, each of which gets every message.
const TARGETS_MAX: usize = 16;
/// Sets of one bridge: each has a cache of flows.
const SETS_MAX: usize = 256;
/// `cache_active_timeout`, as the schema has it.
const ACTIVE_TIMEOUT_MAX_S: u32 = 4200;

/// A set of IPFIX collectors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectorSet {
    pub targets: BTreeSet<CollectorTarget>,
    /// A flow is exported so long after its first packet; 0: every packet at once.
    pub cache_active_timeout_s: u32,
    /// Flows that are gathered at a time, beyond which the oldest is exported; 0: every packet at once.
    pub cache_max_flows: u32,
}

/// Where a collector listens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum CollectorTarget {
    Udp(SocketAddr),
    /// A datagram socket of this machine: whoever may not write there cannot speak for the switch. Open vSwitch has no such targets.
    Unix(PathBuf),
}

impl Reader<'_> {
    /// The sets of a bridge. The tables have no columns for errors: they are the bridge's.
    pub(super) fn collector_sets(&mut self, bridge: Place<'_>) -> BTreeMap<u32, CollectorSet> {
        let mut sets = BTreeMap::new();
        let rows = self.replica.rows(Table::FlowSampleCollectorSet);
        for (_, row) in rows.filter(|(_, row)| row.optional_reference("bridge") == Some(bridge.row)) {
            let Ok(id) = u32::try_from(row.integer("id")) else { continue };
            // Without one it is for sampling by others.
            let ipfix = row.optional_reference("ipfix").and_then(|ipfix| self.replica.row(Table::Ipfix, ipfix));
            let Some(ipfix) = ipfix else { continue };
            if sets.len() >= SETS_MAX {
                self.ignore(bridge, format!("more than {SETS_MAX} sets of collectors"));
                break;
            }
            let number =
                |column| ipfix.optional_integer(column).and_then(|value| u32::try_from(value).ok()).unwrap_or(0);
            let mut targets = BTreeSet::new();
            for text in ipfix.texts("targets") {
                match target(text) {
                    Some(target) if targets.len() < TARGETS_MAX => drop(targets.insert(target)),
                    Some(_) => self.ignore(bridge, format!("collector set {id}: more than {TARGETS_MAX} targets")),
                    None => self.ignore(bridge, format!("collector set {id}: {} is no address", shown(text))),
                }
            }
            if targets.is_empty() {
                continue;
            }
            sets.insert(
                id,
                CollectorSet {
                    targets,
                    cache_active_timeout_s: number("cache_active_timeout").min(ACTIVE_TIMEOUT_MAX_S),
                    cache_max_flows: number("cache_max_flows"),
                },
            );
        }
        sets
    }
}

/// `1.2.3.4:5`, `[::1]:5`, or without the port; `unix:/path`. Names are not looked up.
fn target(text: &str) -> Option<CollectorTarget> {
    if let Some(path) = text.strip_prefix("unix:") {
        return path.starts_with('/').then(|| CollectorTarget::Unix(path.into()));
    }
    let plain = || text.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().ok();
    let address = text.parse().ok().or_else(|| plain().map(|address| SocketAddr::new(address, PORT)));
    address.map(CollectorTarget::Udp)
}

#[cfg(test)]
mod tests {
    use super::{CollectorTarget, target};

    #[test]
    fn targets_are_addresses_with_or_without_a_port() {
        let shown = |text: &str| match target(text)? {
            CollectorTarget::Udp(address) => Some(address.to_string()),
            CollectorTarget::Unix(path) => Some(path.display().to_string()),
        };
        assert_eq!(shown("10.0.0.1:99").as_deref(), Some("10.0.0.1:99"));
        assert_eq!(shown("10.0.0.1").as_deref(), Some("10.0.0.1:4739"));
        assert_eq!(shown("[::1]:99").as_deref(), Some("[::1]:99"));
        assert_eq!(shown("[::1]").as_deref(), Some("[::1]:4739"));
        assert_eq!(shown("unix:/run/a.sock").as_deref(), Some("/run/a.sock"));
        assert_eq!((shown("collector:99"), shown("unix:a.sock")), (None, None));
    }
}
