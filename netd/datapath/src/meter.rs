//! Meters: token buckets that all workers share.

use hive_program::MeterId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Drops what exceeds a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Band {
    /// Packets, or kilobits, a second.
    pub rate: u32,
    /// Packets, or kilobits, that may come at once beyond it; 0: what comes in a second.
    pub burst: u32,
}

/// A meter as OpenFlow describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterSpec {
    /// Packets are counted, not bits.
    pub packets: bool,
    pub bands: Vec<Band>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BandStats {
    pub packets: u64,
    pub bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeterStats {
    pub packets: u64,
    pub bytes: u64,
    pub bands: Vec<BandStats>,
    pub created_ms: u64,
}

#[derive(Debug)]
struct Bucket {
    /// Thousandths of packets or kilobits that may pass.
    tokens: u64,
    stats: BandStats,
}

#[derive(Debug)]
struct State {
    filled_ms: u64,
    buckets: Vec<Bucket>,
    stats: MeterStats,
}

#[derive(Debug)]
struct Meter {
    spec: MeterSpec,
    state: Mutex<State>,
}

/// All meters of a switch.
#[derive(Debug, Default)]
pub struct Meters(RwLock<HashMap<MeterId, Arc<Meter>>>);

/// What comes in a second, in thousandths, is the rate times 1000; so a millisecond's is the rate.
const THOUSAND: u64 = 1000;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Band {
    fn capacity(self) -> u64 {
        THOUSAND * u64::from(if self.burst == 0 { self.rate } else { self.burst })
    }
}

impl Meter {
    fn passes(&self, bytes: usize, now_ms: u64) -> bool {
        let mut state = lock(&self.state);
        let elapsed_ms = now_ms.saturating_sub(state.filled_ms);
        state.filled_ms = state.filled_ms.max(now_ms);
        state.stats.packets += 1;
        state.stats.bytes += bytes as u64;
        // A kilobit is 1000 bits: thousandths of it are bits.
        let cost = if self.spec.packets { THOUSAND } else { 8 * bytes as u64 };
        let mut exceeded: Option<(usize, u32)> = None;
        for (at, (band, bucket)) in self.spec.bands.iter().zip(&mut state.buckets).enumerate() {
            let filled = bucket.tokens.saturating_add(elapsed_ms.saturating_mul(band.rate.into()));
            bucket.tokens = filled.min(band.capacity());
            if bucket.tokens >= cost {
                bucket.tokens -= cost;
            } else if exceeded.is_none_or(|(_, rate)| band.rate > rate) {
                // Of those that are exceeded the one with the highest rate counts (OpenFlow 1.5, 5.13).
                exceeded = Some((at, band.rate));
            }
        }
        let Some((at, _)) = exceeded else { return true };
        if let Some(bucket) = state.buckets.get_mut(at) {
            bucket.stats.packets += 1;
            bucket.stats.bytes += bytes as u64;
        }
        false
    }
}

impl Meters {
    /// Adds or replaces a meter, with full buckets.
    pub fn set(&self, id: MeterId, spec: MeterSpec, now_ms: u64) {
        let buckets =
            spec.bands.iter().map(|band| Bucket { tokens: band.capacity(), stats: BandStats::default() }).collect();
        let stats = MeterStats { created_ms: now_ms, ..MeterStats::default() };
        let meter = Meter { spec, state: Mutex::new(State { filled_ms: now_ms, buckets, stats }) };
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(id, Arc::new(meter));
    }

    /// False if there was none.
    pub fn remove(&self, id: MeterId) -> bool {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&id).is_some()
    }

    pub fn stats(&self, id: MeterId) -> Option<MeterStats> {
        let meter = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()?;
        let state = lock(&meter.state);
        let bands = state.buckets.iter().map(|bucket| bucket.stats).collect();
        Some(MeterStats { bands, ..state.stats.clone() })
    }

    /// Whether a packet passes; all do if there is no such meter.
    pub fn passes(&self, id: MeterId, bytes: usize, now_ms: u64) -> bool {
        let meter = self.0.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        meter.is_none_or(|meter| meter.passes(bytes, now_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_program::BridgeId;

    const METER: MeterId = MeterId { bridge: BridgeId(1), meter: 3 };

    #[test]
    fn packets_beyond_rate_and_burst_are_dropped() {
        let meters = Meters::default();
        assert!(meters.passes(METER, 100, 0), "no such meter");
        meters.set(METER, MeterSpec { packets: true, bands: vec![Band { rate: 10, burst: 5 }] }, 0);
        let passed = |count: usize, now_ms: u64| (0..count).filter(|_| meters.passes(METER, 100, now_ms)).count();
        assert_eq!(passed(20, 0), 5, "the burst");
        assert_eq!(passed(20, 99), 0);
        assert_eq!(passed(20, 100), 1, "ten a second");
        assert_eq!(passed(20, 300), 2);
        assert_eq!(passed(20, 1_000_000), 5);
        let stats = meters.stats(METER).unwrap();
        assert_eq!((stats.packets, stats.bytes), (100, 10_000));
        assert_eq!(stats.bands, [BandStats { packets: 87, bytes: 8700 }]);
        assert!(meters.remove(METER) && !meters.remove(METER));
    }

    #[test]
    fn bits_are_counted_and_the_higher_band_has_the_drop() {
        let meters = Meters::default();
        let bands = vec![Band { rate: 8, burst: 8 }, Band { rate: 16, burst: 16 }];
        meters.set(METER, MeterSpec { packets: false, bands }, 0);
        // 8 kilobits are 1000 bytes.
        assert!(meters.passes(METER, 1000, 0));
        assert!(!meters.passes(METER, 1000, 0));
        assert!(!meters.passes(METER, 1000, 0));
        let stats = meters.stats(METER).unwrap();
        assert_eq!(stats.bands.iter().map(|band| band.packets).collect::<Vec<_>>(), [1, 1]);
    }
}
