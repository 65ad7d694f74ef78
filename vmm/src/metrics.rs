//! Counters of one VMM process; they outlive guest resets.

use hive_vmm_api::Metrics;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Shared counters. Relaxed order suffices: each is read alone.
#[derive(Debug)]
pub struct Counters {
    started: Instant,
    start_to_entry_us: AtomicU64,
    pub vcpu_exits: AtomicU64,
    pub vcpu_exits_pio: AtomicU64,
    pub vcpu_exits_mmio: AtomicU64,
    pub serial_bytes: AtomicU64,
    pub backend_reconnects: AtomicU64,
    pub vmm_kicks: AtomicU64,
}

impl Counters {
    /// Counters that go on from `before`, in a process that began at `started`.
    pub fn new(started: Instant, before: &Metrics) -> Self {
        Self {
            started,
            start_to_entry_us: AtomicU64::new(before.start_to_entry_us),
            vcpu_exits: AtomicU64::new(before.vcpu_exits),
            vcpu_exits_pio: AtomicU64::new(before.vcpu_exits_pio),
            vcpu_exits_mmio: AtomicU64::new(before.vcpu_exits_mmio),
            serial_bytes: AtomicU64::new(before.serial_bytes),
            backend_reconnects: AtomicU64::new(before.backend_reconnects),
            vmm_kicks: AtomicU64::new(before.vmm_kicks),
        }
    }

    /// Add one to a counter of this set.
    pub fn add(&self, counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A processor enters the guest: the first time of all gives the start-up time.
    pub fn mark_entry(&self) {
        let elapsed = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX).max(1);
        // Fails if it was set before, as it should.
        let _ = self.start_to_entry_us.compare_exchange(0, elapsed, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The counters as the API gives them.
    pub fn snapshot(&self) -> Metrics {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Metrics {
            start_to_entry_us: get(&self.start_to_entry_us),
            vcpu_exits: get(&self.vcpu_exits),
            vcpu_exits_pio: get(&self.vcpu_exits_pio),
            vcpu_exits_mmio: get(&self.vcpu_exits_mmio),
            serial_bytes: get(&self.serial_bytes),
            backend_reconnects: get(&self.backend_reconnects),
            vmm_kicks: get(&self.vmm_kicks),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_go_on_after_a_reset() {
        let counters = Counters::new(Instant::now(), &Metrics::default());
        counters.add(&counters.vcpu_exits);
        counters.mark_entry();
        let first = counters.snapshot();
        assert!(first.start_to_entry_us > 0);
        let again = Counters::new(Instant::now(), &first);
        again.add(&again.vcpu_exits);
        again.mark_entry();
        assert_eq!(again.snapshot(), Metrics { vcpu_exits: 2, ..first });
    }
}
