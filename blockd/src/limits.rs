//! What a volume may do: token buckets as EBS gp3's, and the pace that the store's backlog asks for.

use hive_blockd_api::Limits;
use std::time::{Duration, Instant};

/// A request counts once for each so many bytes.
const IO_UNIT_BYTES: u64 = 256 << 10;
/// How much of unused allowance is kept: short enough that a rate is a rate, long enough that a batch passes at once.
const BURST: Duration = Duration::from_millis(100);

/// Tokens that come at a steady rate. May be overdrawn by one request, which the next then waits for.
#[derive(Clone, Debug)]
struct Bucket {
    per_second: f64,
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn new(per_second: f64, now: Instant) -> Self {
        Self { per_second, tokens: per_second * BURST.as_secs_f64(), at: now }
    }

    fn refill(&mut self, now: Instant) {
        let most = (self.per_second * BURST.as_secs_f64()).max(1.0);
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(most);
        self.at = now;
    }

    /// How long until a request may pass.
    fn wait(&self) -> Duration {
        if self.tokens > 0.0 {
            return Duration::ZERO;
        }
        Duration::try_from_secs_f64((f64::EPSILON - self.tokens) / self.per_second).unwrap_or(Duration::MAX)
    }
}

/// Decides when the next request may be taken from a guest's ring.
#[derive(Debug, Default)]
pub struct Gate {
    limits: Limits,
    requests: Option<Bucket>,
    bytes: Option<Bucket>,
    /// Writes only, as the engine asks for it.
    pace: Option<Bucket>,
}

impl Gate {
    pub fn new(limits: Limits) -> Self {
        let mut gate = Self::default();
        gate.set_limits(limits, Instant::now());
        gate
    }

    pub fn set_limits(&mut self, limits: Limits, now: Instant) {
        if limits == self.limits {
            return;
        }
        self.limits = limits;
        self.requests = limits.iops.map(|iops| Bucket::new(f64::from(iops.max(1)), now));
        self.bytes = limits.throughput_bytes_per_s.map(|bytes| Bucket::new(bytes.max(1) as f64, now));
    }

    /// Admit writes at so many bytes a second from now on.
    pub fn set_pace(&mut self, bytes_per_second: Option<u64>, now: Instant) {
        match (bytes_per_second, &mut self.pace) {
            (Some(rate), Some(pace)) => pace.per_second = rate.max(1) as f64,
            (rate, pace) => *pace = rate.map(|rate| Bucket::new(rate.max(1) as f64, now)),
        }
    }

    /// Whether nothing is limited: then nothing needs to be counted.
    pub fn is_open(&self) -> bool {
        self.requests.is_none() && self.bytes.is_none() && self.pace.is_none()
    }

    /// How long until a request may pass; zero: now.
    pub fn wait(&mut self, now: Instant) -> Duration {
        let buckets = [&mut self.requests, &mut self.bytes, &mut self.pace];
        let mut wait = Duration::ZERO;
        for bucket in buckets.into_iter().flatten() {
            bucket.refill(now);
            wait = wait.max(bucket.wait());
        }
        wait
    }

    /// A request has passed.
    pub fn charge(&mut self, bytes: u64, is_write: bool) {
        let take = |bucket: &mut Option<Bucket>, amount: f64| {
            if let Some(bucket) = bucket {
                bucket.tokens -= amount;
            }
        };
        take(&mut self.requests, bytes.div_ceil(IO_UNIT_BYTES).max(1) as f64);
        take(&mut self.bytes, bytes as f64);
        if is_write {
            take(&mut self.pace, bytes as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Requests of `bytes` that pass within `seconds`.
    fn passed(limits: Limits, bytes: u64, seconds: u64) -> u64 {
        let mut now = Instant::now();
        let (mut gate, end, mut count) = (Gate::new(limits), now + Duration::from_secs(seconds), 0);
        while now < end {
            match gate.wait(now) {
                Duration::ZERO => {
                    gate.charge(bytes, false);
                    count += 1;
                }
                wait => now += wait.max(Duration::from_micros(1)),
            }
        }
        count
    }

    #[test]
    fn rates_are_kept() {
        let iops = Limits { iops: Some(3000), throughput_bytes_per_s: None };
        let count = passed(iops, 4096, 10);
        assert!((29_900..=30_400).contains(&count), "{count}");
        let large = passed(iops, 1 << 20, 10);
        assert!((7400..=7700).contains(&large), "a MiB counts four times: {large}");
        let bytes = Limits { iops: Some(16_000), throughput_bytes_per_s: Some(125 << 20) };
        let count = passed(bytes, 128 << 10, 10);
        assert!((9_900..=10_200).contains(&count), "{count}");
    }

    #[test]
    fn limits_change_at_once_and_may_be_lifted() {
        let mut now = Instant::now();
        let mut gate = Gate::new(Limits { iops: Some(100), throughput_bytes_per_s: None });
        while gate.wait(now) == Duration::ZERO {
            gate.charge(512, true);
        }
        gate.set_limits(Limits { iops: Some(100_000), throughput_bytes_per_s: None }, now);
        assert_eq!(gate.wait(now), Duration::ZERO);
        gate.set_limits(Limits::default(), now);
        assert!(gate.is_open());
        gate.set_pace(Some(1 << 20), now);
        gate.charge(10 << 20, true);
        assert!(gate.wait(now) > Duration::from_secs(5));
        now += Duration::from_secs(11);
        assert_eq!(gate.wait(now), Duration::ZERO);
        gate.set_pace(None, now);
        assert!(gate.is_open());
    }
}
