//! What other threads may see of an export.

use crate::engine::LogMetrics;
use hive_blockd_api::{Limits, VolumeMetrics};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A number written by one thread and read by others.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Only the owning thread adds, so that a load and a store do.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(n), Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// See [`VolumeMetrics`].
#[derive(Debug, Default)]
pub struct Counters {
    pub reads: Counter,
    pub read_bytes: Counter,
    pub writes: Counter,
    pub write_bytes: Counter,
    pub flushes: Counter,
    pub discards: Counter,
    pub errors: Counter,
    pub resubmitted: Counter,
    pub throttled: Counter,
}

/// State of one volume's export; outlives it, so that counters go on over an attachment's end.
#[derive(Debug, Default)]
pub struct VolumeStatus {
    pub counters: Counters,
    pub connected: AtomicBool,
    faulty: AtomicBool,
    fault: Mutex<Option<String>>,
    limits: Mutex<Limits>,
    /// And how many bytes of the guest's writes it surely counts.
    log: Mutex<(LogMetrics, u64)>,
}

impl VolumeStatus {
    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn set_fault(&self, reason: Option<String>) {
        self.faulty.store(reason.is_some(), Ordering::Relaxed);
        *self.lock() = reason;
    }

    /// Whether no fault is set; cheap enough for every round.
    pub fn fault_is_clear(&self) -> bool {
        !self.faulty.load(Ordering::Relaxed)
    }

    pub fn fault(&self) -> Option<String> {
        self.lock().clone()
    }

    pub fn limits(&self) -> Limits {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The export looks at them when it is nudged.
    pub fn set_limits(&self, limits: Limits) {
        *self.limits.lock().unwrap_or_else(PoisonError::into_inner) = limits;
    }

    /// `in_flight_bytes`: of writes that are not answered, and that `metrics` need not know of.
    pub fn set_log(&self, metrics: LogMetrics, in_flight_bytes: u64) {
        let written = self.counters.write_bytes.get().saturating_sub(in_flight_bytes);
        *self.log.lock().unwrap_or_else(PoisonError::into_inner) = (metrics, written);
    }

    pub fn log(&self) -> LogMetrics {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).0
    }

    /// What the engine said last that the store does not have, and all that was written since.
    pub fn dirty_bytes(&self) -> u64 {
        let (log, written) = *self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.dirty_bytes + self.counters.write_bytes.get().saturating_sub(written)
    }

    /// All but what is not in the store, which is not the engine's alone to say.
    pub fn metrics(&self) -> VolumeMetrics {
        let (c, log) = (&self.counters, self.log());
        VolumeMetrics {
            reads: c.reads.get(),
            read_bytes: c.read_bytes.get(),
            writes: c.writes.get(),
            write_bytes: c.write_bytes.get(),
            flushes: c.flushes.get(),
            discards: c.discards.get(),
            errors: c.errors.get(),
            resubmitted: c.resubmitted.get(),
            throttled: c.throttled.get(),
            remote_reads: log.remote_reads,
            cache_hits: log.cache_hits,
            map_bytes: log.map_bytes,
            moved_blocks: log.moved_blocks,
            damaged_blocks: log.damaged_blocks,
            ..VolumeMetrics::default()
        }
    }
}
