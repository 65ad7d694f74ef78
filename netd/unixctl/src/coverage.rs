//! Counters of events and their rates, as `coverage/show` prints them.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

/// Counters by name.
pub type Counters = Vec<(String, u64)>;

/// Between two samples.
pub const SAMPLE_INTERVAL: Duration = Duration::from_secs(5);
const SAMPLES_PER_MINUTE: usize = 12;
const MINUTES: usize = 60;

/// What the counters were, once in five seconds for a minute and once in a minute for an hour.
pub struct Coverage {
    read: Box<dyn Fn() -> Counters + Send>,
    recent: VecDeque<Counters>,
    minutes: VecDeque<Counters>,
    sampled: Instant,
    samples: usize,
}

impl Coverage {
    pub fn new(read: Box<dyn Fn() -> Counters + Send>, now: Instant) -> Self {
        let first = read();
        let (recent, minutes) = (VecDeque::from([first.clone()]), VecDeque::from([first]));
        Self { read, recent, minutes, sampled: now, samples: 0 }
    }

    pub fn next_sample(&self) -> Instant {
        self.sampled + SAMPLE_INTERVAL
    }

    /// Takes a sample, if it is time.
    pub fn sample(&mut self, now: Instant) {
        if now < self.next_sample() {
            return;
        }
        self.sampled = now;
        self.samples += 1;
        let counters = (self.read)();
        if self.samples.is_multiple_of(SAMPLES_PER_MINUTE) {
            keep(&mut self.minutes, counters.clone(), MINUTES);
        }
        keep(&mut self.recent, counters, SAMPLES_PER_MINUTE);
    }

    pub fn read(&self, name: &str) -> Option<u64> {
        find(&(self.read)(), name)
    }

    /// The text of `coverage/show`: rates of the last five seconds, minute and hour, each of as much of it as has passed.
    pub fn show(&self) -> String {
        let (hit, never): (Counters, Counters) = (self.read)().into_iter().partition(|(_, count)| *count > 0);
        let mut hasher = DefaultHasher::new();
        hit.iter().for_each(|(name, _)| name.hash(&mut hasher));
        let hash = hasher.finish() >> 32;
        let mut text =
            format!("Event coverage, avg rate over last: 5 seconds, last minute, last hour,  hash={hash:08x}:\n");
        let newest = self.recent.back();
        for (name, total) in hit {
            let seen = |sample: Option<&Counters>| sample.and_then(|sample| find(sample, &name)).unwrap_or(0);
            let now = seen(newest);
            let over = |sample: Option<&Counters>, seconds: f64| {
                sample.map_or(0.0, |_| now.saturating_sub(seen(sample)) as f64 / seconds)
            };
            let last = over(self.recent.iter().nth_back(1), 5.0);
            let minute = over(self.recent.front(), 60.0);
            let hour = over(self.minutes.front(), 3600.0);
            text += &format!("{name:<24} {last:>5.1}/sec {minute:>9.3}/sec  {hour:>12.4}/sec   total: {total}\n");
        }
        text + &format!("{} events never hit\n", never.len())
    }
}

fn keep(samples: &mut VecDeque<Counters>, sample: Counters, intervals: usize) {
    samples.push_back(sample);
    if samples.len() > intervals + 1 {
        samples.pop_front();
    }
}

fn find(counters: &Counters, name: &str) -> Option<u64> {
    counters.iter().find(|(known, _)| known == name).map(|(_, count)| *count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    #[test]
    fn rates_over_five_seconds_a_minute_and_an_hour() {
        let count = Arc::new(AtomicU64::new(0));
        let read = count.clone();
        let counters = move || vec![("rx".to_owned(), read.load(Ordering::Relaxed)), ("never".to_owned(), 0)];
        let mut now = Instant::now();
        let mut coverage = Coverage::new(Box::new(counters), now);
        for _ in 0..24 {
            now += SAMPLE_INTERVAL;
            count.fetch_add(10, Ordering::Relaxed);
            coverage.sample(now);
        }
        // Too early for another sample.
        coverage.sample(now + Duration::from_secs(1));
        let text = coverage.show();
        let line = text.lines().nth(1).unwrap();
        assert_eq!(line, "rx                         2.0/sec     2.000/sec        0.0667/sec   total: 240");
        assert!(text.ends_with("1 events never hit\n"));
        assert_eq!((coverage.read("rx"), coverage.read("x")), (Some(240), None));
        for _ in 0..2000 {
            now += SAMPLE_INTERVAL;
            coverage.sample(now);
        }
        assert_eq!((coverage.recent.len(), coverage.minutes.len()), (13, 61));
    }
}
