//! Bonded ports: by which member a packet leaves, and which packets are taken in.

use crate::topology::{Bridge, Bundle, Port};
use hive_openflow::PortNo;
use hive_ovsdb::snapshot::BondMode;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Hashes are told apart by so many bits, and load is moved in such parts (BOND_BUCKETS of Open vSwitch).
pub const BOND_BUCKETS: usize = 256;
/// A move of load must relieve the member by this part of its load at least, or it is not worth the disorder.
const REBALANCE_WORTH: u64 = 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BondSpec {
    pub mode: BondMode,
    /// A member's link counts as up or down after this time.
    pub updelay_ms: u32,
    pub downdelay_ms: u32,
    /// 0: load is never moved.
    pub rebalance_interval_ms: u32,
    /// The name of the member that is active when it is up.
    pub primary: Option<String>,
}

/// A member's link, as the bond believes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Link {
    enabled: bool,
    /// When it was first seen otherwise.
    changes_ms: Option<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    links: BTreeMap<PortNo, Link>,
    active: Option<PortNo>,
    buckets: Vec<Option<PortNo>>,
    rebalanced_ms: u64,
}

#[derive(Debug)]
pub struct Bond {
    pub(crate) spec: BondSpec,
    inner: Mutex<Inner>,
    /// Bytes of each bucket since the last look at the balance.
    loads: Box<[AtomicU64]>,
}

/// A bond, for `bond/show`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BondShown {
    /// And whether each is enabled.
    pub members: Vec<(PortNo, bool)>,
    pub active: Option<PortNo>,
    /// The member of each bucket, and its load in bytes since the last look at the balance.
    pub buckets: Vec<(Option<PortNo>, u64)>,
}

/// What a bond makes of a packet that comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Accept,
    Drop,
    /// If its source address was learned at another port: then it is an echo.
    DropIfMoved,
}

impl Bond {
    pub(crate) fn new(spec: BondSpec) -> Self {
        let inner = Inner { buckets: vec![None; BOND_BUCKETS], ..Inner::default() };
        Self { spec, inner: Mutex::new(inner), loads: (0..BOND_BUCKETS).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Looks at the members' links, and moves load if it is time; true if packets take other ways now.
    pub(crate) fn run(&self, bundle: &Bundle, bridge: &Bridge, now_ms: u64) -> bool {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let before = (inner.links.clone(), inner.active, inner.buckets.clone());
        let members: Vec<&Port> =
            bundle.members.iter().filter_map(|number| bridge.ports.get(number)).map(|port| &**port).collect();
        inner.links.retain(|number, _| members.iter().any(|port| port.number == *number));
        for port in &members {
            let up = port.is_up();
            let first = Link { enabled: up, changes_ms: None };
            let link = inner.links.entry(port.number).or_insert(first);
            if link.enabled == up {
                link.changes_ms = None;
                continue;
            }
            let since_ms = *link.changes_ms.get_or_insert(now_ms);
            let delay_ms = if up { self.spec.updelay_ms } else { self.spec.downdelay_ms };
            if now_ms.saturating_sub(since_ms) >= u64::from(delay_ms) {
                *link = Link { enabled: up, changes_ms: None };
            }
        }
        // With none left, one that only waits for its delay is better than none.
        if !inner.links.values().any(|link| link.enabled)
            && let Some(port) = members.iter().find(|port| port.is_up())
            && let Some(link) = inner.links.get_mut(&port.number)
        {
            *link = Link { enabled: true, changes_ms: None };
        }
        let enabled = |inner: &Inner, number: PortNo| inner.links.get(&number).is_some_and(|link| link.enabled);
        let primary = members.iter().find(|port| self.spec.primary.as_ref() == Some(&port.name));
        if let Some(primary) = primary.filter(|port| enabled(&inner, port.number)) {
            inner.active = Some(primary.number);
        } else if !inner.active.is_some_and(|active| enabled(&inner, active)) {
            inner.active = members.iter().map(|port| port.number).find(|number| enabled(&inner, *number));
        }
        let up: Vec<PortNo> = inner.links.iter().filter(|(_, link)| link.enabled).map(|(number, _)| *number).collect();
        for at in 0..BOND_BUCKETS {
            let whole = inner.buckets[at].is_some_and(|member| up.contains(&member));
            if !whole {
                inner.buckets[at] = if up.is_empty() { None } else { up.get(at % up.len()).copied() };
            }
        }
        let interval_ms = u64::from(self.spec.rebalance_interval_ms);
        if interval_ms != 0 && now_ms.saturating_sub(inner.rebalanced_ms) >= interval_ms {
            inner.rebalanced_ms = now_ms;
            let loads = self.loads.iter().map(|load| load.swap(0, Ordering::Relaxed)).collect::<Vec<_>>();
            if self.spec.mode != BondMode::ActiveBackup {
                rebalance(&mut inner.buckets, &loads, &up);
            }
        }
        before != (inner.links.clone(), inner.active, inner.buckets.clone())
    }

    pub(crate) fn is_enabled(&self, member: PortNo) -> bool {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.links.get(&member).is_some_and(|link| link.enabled)
    }

    pub(crate) fn active(&self) -> Option<PortNo> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).active
    }

    /// The member for packets of this hash.
    pub(crate) fn member(&self, hash: u32) -> (Option<PortNo>, usize) {
        let bucket = hash as usize % BOND_BUCKETS;
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        (inner.buckets.get(bucket).copied().flatten(), bucket)
    }

    pub(crate) fn account(&self, bucket: usize, bytes: u64) {
        if let Some(load) = self.loads.get(bucket) {
            load.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn admit(&self, member: PortNo, multicast: bool) -> Admission {
        // Without LACP nothing says that the other end sends each packet by one member only.
        let is_active = || self.active() == Some(member);
        match self.spec.mode {
            BondMode::BalanceTcp if self.is_enabled(member) => Admission::Accept,
            BondMode::BalanceTcp => Admission::Drop,
            _ if multicast && !is_active() => Admission::Drop,
            BondMode::ActiveBackup if is_active() => Admission::Accept,
            BondMode::ActiveBackup => Admission::Drop,
            BondMode::BalanceSlb => Admission::DropIfMoved,
        }
    }

    pub fn show(&self) -> BondShown {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let members = inner.links.iter().map(|(number, link)| (*number, link.enabled)).collect();
        let loads = self.loads.iter().map(|load| load.load(Ordering::Relaxed));
        BondShown { members, active: inner.active, buckets: inner.buckets.iter().copied().zip(loads).collect() }
    }
}

/// Moves buckets from the member with most load to the one with least, as long as that brings them closer.
fn rebalance(buckets: &mut [Option<PortNo>], loads: &[u64], members: &[PortNo]) {
    let mut totals: BTreeMap<PortNo, u64> = members.iter().map(|member| (*member, 0)).collect();
    for (member, load) in buckets.iter().zip(loads) {
        if let Some(total) = member.and_then(|member| totals.get_mut(&member)) {
            *total += load;
        }
    }
    for _ in 0..buckets.len() {
        let Some((&most, &high)) = totals.iter().max_by_key(|(_, load)| **load) else { return };
        let Some((&least, &low)) = totals.iter().min_by_key(|(_, load)| **load) else { return };
        let gap = high - low;
        // The largest that does not turn the imbalance around.
        let fits = |(at, load): &(usize, &u64)| {
            buckets.get(*at).copied().flatten() == Some(most) && **load != 0 && **load * 2 <= gap
        };
        let Some((at, load)) = loads.iter().enumerate().filter(fits).max_by_key(|(_, load)| **load) else { return };
        if *load < high / REBALANCE_WORTH {
            return;
        }
        buckets[at] = Some(least);
        totals.insert(most, high - load);
        totals.insert(least, low + load);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_is_moved_to_the_idle_member() {
        let (a, b) = (PortNo(1), PortNo(2));
        let mut buckets = vec![Some(a); 4];
        rebalance(&mut buckets, &[100, 100, 100, 100], &[a, b]);
        assert_eq!(buckets.iter().filter(|member| **member == Some(b)).count(), 2);
        let balanced = buckets.clone();
        rebalance(&mut buckets, &[100, 100, 100, 100], &[a, b]);
        assert_eq!(buckets, balanced);
        // One heavy flow stays: moving it only moves the imbalance.
        let mut one = vec![Some(a), Some(a)];
        rebalance(&mut one, &[1000, 0], &[a, b]);
        assert_eq!(one, vec![Some(a), Some(a)]);
    }
}
