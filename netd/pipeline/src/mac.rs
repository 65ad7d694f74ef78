//! A bridge's MAC table: which port an address was last seen at.

use crate::topology::BundleId;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// `other_config:mac-aging-time`'s default.
pub const MAC_AGING_DEFAULT_MS: u64 = 300_000;
/// `other_config:mac-table-size`'s default.
pub const MAC_ENTRIES_DEFAULT: usize = 8192;
/// What may be asked for: a bound of memory, that of Open vSwitch.
pub const MAC_ENTRIES_MAX: usize = 1_000_000;
/// After a gratuitous ARP, those that come back over a bond's other member are not believed for this time.
const GRATUITOUS_ARP_LOCK_MS: u64 = 5000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MacSettings {
    pub aging_ms: u64,
    pub entries_max: usize,
}

impl Default for MacSettings {
    fn default() -> Self {
        Self { aging_ms: MAC_AGING_DEFAULT_MS, entries_max: MAC_ENTRIES_DEFAULT }
    }
}

/// An address in a VLAN.
pub(crate) type Address = (u64, u16);

#[derive(Debug)]
pub struct MacEntry {
    pub(crate) address: Address,
    pub(crate) bundle: BundleId,
    /// Never ages, never moves.
    is_static: bool,
    used_ms: AtomicU64,
    /// Used since it was last looked at for eviction.
    recent: AtomicBool,
    /// In the table.
    live: AtomicBool,
    locked_until_ms: AtomicU64,
}

/// `fdb/stats-show`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MacStats {
    pub entries: usize,
    pub statics: usize,
    pub entries_max: usize,
    pub learned: u64,
    pub expired: u64,
    pub evicted: u64,
    pub moved: u64,
}

/// One line of `fdb/show`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MacShown {
    pub bundle: BundleId,
    pub vlan: u16,
    pub mac: u64,
    /// None: static.
    pub age_s: Option<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    settings: MacSettings,
    entries: HashMap<Address, Arc<MacEntry>, foldhash::fast::RandomState>,
    /// By port, oldest first, as far as looking at them again has not told otherwise; those that are gone lie about until then.
    queues: HashMap<BundleId, VecDeque<Arc<MacEntry>>>,
    counts: BTreeMap<BundleId, usize>,
    stats: MacStats,
}

#[derive(Debug, Default)]
pub struct MacTable {
    inner: Mutex<Inner>,
}

/// What seeing an address means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Learned {
    /// It was known to be there, or is not to be learned.
    Nothing,
    /// Translations that did not know it are stale.
    Changed,
}

impl MacEntry {
    /// The address was seen there again; false if the table knows otherwise by now.
    #[inline]
    pub(crate) fn refresh(&self, bundle: BundleId, now_ms: u64) -> bool {
        if self.bundle != bundle || !self.live.load(Ordering::Relaxed) {
            return false;
        }
        self.used_ms.fetch_max(now_ms, Ordering::Relaxed);
        self.recent.store(true, Ordering::Relaxed);
        true
    }

    pub(crate) fn is_locked(&self, now_ms: u64) -> bool {
        self.locked_until_ms.load(Ordering::Relaxed) > now_ms
    }
}

impl MacTable {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn configure(&self, settings: &MacSettings) {
        let mut inner = self.lock();
        inner.settings = settings.clone();
        inner.settings.entries_max = settings.entries_max.clamp(1, MAC_ENTRIES_MAX);
        while inner.entries.len() > inner.settings.entries_max && inner.evict() {}
    }

    pub(crate) fn lookup(&self, address: Address) -> Option<Arc<MacEntry>> {
        self.lock().entries.get(&address).cloned()
    }

    /// The address was seen at a port. `gratuitous`: by a gratuitous ARP; `bonded`: the port is a bond.
    pub(crate) fn learn(
        &self,
        address: Address,
        bundle: BundleId,
        gratuitous: bool,
        bonded: bool,
        now_ms: u64,
    ) -> (Learned, Option<Arc<MacEntry>>) {
        let mut inner = self.lock();
        let old = inner.entries.get(&address).cloned();
        if let Some(old) = &old {
            if old.is_static || gratuitous && bonded && old.is_locked(now_ms) {
                return (Learned::Nothing, None);
            }
            if gratuitous && !bonded {
                old.locked_until_ms.store(now_ms + GRATUITOUS_ARP_LOCK_MS, Ordering::Relaxed);
            }
            if old.refresh(bundle, now_ms) {
                return (Learned::Nothing, Some(old.clone()));
            }
            inner.remove(old);
            inner.stats.moved += 1;
        } else {
            inner.stats.learned += 1;
        }
        let lock_ms = if gratuitous && !bonded { now_ms + GRATUITOUS_ARP_LOCK_MS } else { 0 };
        let entry = inner.insert(address, bundle, false, now_ms);
        entry.locked_until_ms.store(lock_ms, Ordering::Relaxed);
        (Learned::Changed, Some(entry))
    }

    /// `fdb/add`.
    pub fn add_static(&self, mac: u64, vlan: u16, bundle: BundleId) {
        let mut inner = self.lock();
        if let Some(old) = inner.entries.get(&(mac, vlan)).cloned() {
            inner.remove(&old);
        }
        inner.insert((mac, vlan), bundle, true, 0);
    }

    /// `fdb/del`; false if there is none.
    pub fn remove_static(&self, mac: u64, vlan: u16) -> bool {
        let mut inner = self.lock();
        let old = inner.entries.get(&(mac, vlan)).filter(|entry| entry.is_static).cloned();
        old.is_some_and(|old| inner.remove(&old))
    }

    /// Forgets an address, if it is at that port.
    pub(crate) fn forget(&self, address: Address, bundle: BundleId) {
        let mut inner = self.lock();
        if let Some(entry) = inner.entries.get(&address).filter(|entry| entry.bundle == bundle).cloned() {
            inner.remove(&entry);
        }
    }

    /// Forgets addresses at ports that are gone.
    pub(crate) fn retain(&self, keeps: impl Fn(BundleId) -> bool) {
        self.lock().remove_if(|entry| !keeps(entry.bundle));
    }

    /// Forgets all that was learned, at one port or everywhere.
    pub fn flush(&self, bundle: Option<BundleId>) {
        self.lock().remove_if(|entry| !entry.is_static && bundle.is_none_or(|bundle| bundle == entry.bundle));
    }

    /// Forgets what was not seen for too long; true if there was any.
    pub(crate) fn expire(&self, now_ms: u64) -> bool {
        let mut inner = self.lock();
        let aging_ms = inner.settings.aging_ms;
        let old = |entry: &MacEntry| entry.used_ms.load(Ordering::Relaxed).saturating_add(aging_ms) <= now_ms;
        let expired = inner.remove_if(|entry| !entry.is_static && old(entry));
        inner.stats.expired += expired as u64;
        expired != 0
    }

    pub fn stats(&self) -> MacStats {
        let inner = self.lock();
        let statics = inner.entries.values().filter(|entry| entry.is_static).count();
        MacStats { entries: inner.entries.len(), statics, entries_max: inner.settings.entries_max, ..inner.stats }
    }

    pub fn clear_stats(&self) {
        self.lock().stats = MacStats::default();
    }

    /// Least recently used first.
    pub fn show(&self, now_ms: u64) -> Vec<MacShown> {
        let inner = self.lock();
        let mut entries: Vec<_> = inner.entries.values().collect();
        entries.sort_by_key(|entry| (entry.used_ms.load(Ordering::Relaxed), entry.address));
        let age_s = |entry: &MacEntry| now_ms.saturating_sub(entry.used_ms.load(Ordering::Relaxed)) / 1000;
        let shown = entries.into_iter().map(|entry| MacShown {
            bundle: entry.bundle,
            vlan: entry.address.1,
            mac: entry.address.0,
            age_s: (!entry.is_static).then(|| age_s(entry)),
        });
        shown.collect()
    }
}

impl Inner {
    fn insert(&mut self, address: Address, bundle: BundleId, is_static: bool, now_ms: u64) -> Arc<MacEntry> {
        while self.entries.len() >= self.settings.entries_max && self.evict() {}
        let entry = Arc::new(MacEntry {
            address,
            bundle,
            is_static,
            used_ms: now_ms.into(),
            recent: false.into(),
            live: true.into(),
            locked_until_ms: 0.into(),
        });
        self.entries.insert(address, entry.clone());
        if !is_static {
            self.queues.entry(bundle).or_default().push_back(entry.clone());
            *self.counts.entry(bundle).or_default() += 1;
        }
        entry
    }

    fn remove(&mut self, entry: &MacEntry) -> bool {
        entry.live.store(false, Ordering::Relaxed);
        let removed = self.entries.remove(&entry.address).is_some();
        if removed
            && !entry.is_static
            && let Some(count) = self.counts.get_mut(&entry.bundle)
        {
            *count = count.saturating_sub(1);
        }
        // An address that moves to and fro must not leave a queue of its ghosts, nor a port that is gone an empty one.
        let live = self.counts.get(&entry.bundle).copied().unwrap_or(0);
        if live == 0 {
            self.counts.remove(&entry.bundle);
            self.queues.remove(&entry.bundle);
        } else if let Some(queue) = self.queues.get_mut(&entry.bundle)
            && queue.len() > 2 * live + 16
        {
            queue.retain(|entry| entry.live.load(Ordering::Relaxed));
        }
        removed
    }

    fn remove_if(&mut self, meant: impl Fn(&MacEntry) -> bool) -> usize {
        let gone: Vec<_> = self.entries.values().filter(|entry| meant(entry)).cloned().collect();
        gone.iter().filter(|entry| self.remove(entry)).count()
    }

    /// Makes room: of the port that has most addresses, the one that was not used for longest, nearly. So a port that floods the table
    /// with addresses drives out its own.
    fn evict(&mut self) -> bool {
        let fullest = self.counts.iter().max_by_key(|(_, count)| **count).filter(|(_, count)| **count != 0);
        let Some((bundle, count)) = fullest.map(|(bundle, count)| (*bundle, *count)) else { return false };
        // Each is passed over once at most.
        for _ in 0..=2 * count + 16 {
            let Some(entry) = self.queues.get_mut(&bundle).and_then(VecDeque::pop_front) else { return false };
            if !entry.live.load(Ordering::Relaxed) {
                continue;
            }
            if entry.recent.swap(false, Ordering::Relaxed) {
                self.queues.entry(bundle).or_default().push_back(entry);
                continue;
            }
            self.remove(&entry);
            self.stats.evicted += 1;
            return true;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: BundleId = BundleId(1);
    const B: BundleId = BundleId(2);

    fn table(entries_max: usize) -> MacTable {
        let table = MacTable::default();
        table.configure(&MacSettings { aging_ms: 1000, entries_max });
        table
    }

    #[test]
    fn an_address_is_learned_moves_and_ages() {
        let table = table(10);
        assert_eq!(table.learn((1, 0), A, false, false, 0).0, Learned::Changed);
        assert_eq!(table.learn((1, 0), A, false, false, 500).0, Learned::Nothing);
        assert_eq!(table.learn((1, 0), B, false, false, 600).0, Learned::Changed);
        assert_eq!(table.lookup((1, 0)).unwrap().bundle, B);
        assert!(table.lookup((1, 5)).is_none());
        assert!(!table.expire(1599));
        assert!(table.expire(1600));
        assert!(table.lookup((1, 0)).is_none());
        let stats = table.stats();
        assert_eq!((stats.learned, stats.moved, stats.expired), (1, 1, 1));
    }

    #[test]
    fn who_floods_the_table_drives_out_its_own() {
        let table = table(100);
        for mac in 0..10 {
            table.learn((mac, 0), A, false, false, 0);
        }
        for mac in 1000..10_000 {
            table.learn((mac, 0), B, false, false, 1);
        }
        assert!((0..10).all(|mac| table.lookup((mac, 0)).is_some()));
        assert_eq!(table.stats().entries, 100);
    }

    #[test]
    fn what_is_used_stays_longer() {
        let table = table(4);
        for mac in 0..4 {
            table.learn((mac, 0), A, false, false, 0);
        }
        table.learn((0, 0), A, false, false, 1);
        table.learn((9, 0), A, false, false, 2);
        assert!(table.lookup((0, 0)).is_some());
        assert!(table.lookup((1, 0)).is_none());
    }

    #[test]
    fn to_and_fro_takes_no_memory() {
        let table = table(4);
        for round in 0..10_000 {
            table.learn((1, 0), if round % 2 == 0 { A } else { B }, false, false, round);
        }
        assert!(table.lock().queues.values().all(|queue| queue.len() < 32));
    }

    #[test]
    fn ports_that_are_gone_take_no_memory() {
        let table = table(4);
        for port in 0..1000 {
            table.learn((1, 0), BundleId(port), false, false, 0);
            table.retain(|bundle| bundle == BundleId(port + 1));
        }
        let inner = table.lock();
        assert_eq!((inner.queues.len(), inner.counts.len()), (0, 0));
    }

    #[test]
    fn a_static_entry_stays_where_it_is() {
        let table = table(10);
        table.add_static(7, 3, A);
        assert_eq!(table.learn((7, 3), B, false, false, 0).0, Learned::Nothing);
        table.flush(None);
        assert!(!table.expire(1 << 40));
        assert_eq!(table.lookup((7, 3)).unwrap().bundle, A);
        assert!(table.remove_static(7, 3) && !table.remove_static(7, 3));
    }

    /// The echo of a gratuitous ARP over the bond's other member must not take the address away.
    #[test]
    fn a_gratuitous_arp_locks_the_address_against_its_echo() {
        let table = table(10);
        table.learn((1, 0), A, true, false, 0);
        assert_eq!(table.learn((1, 0), B, true, true, 100).0, Learned::Nothing);
        assert_eq!(table.learn((1, 0), B, true, true, 5001).0, Learned::Changed);
    }
}
