//! Connections of all workers, in shards by zone: translation and what helpers expect stay within a zone, so a shard suffices.

use hive_conntrack::{Conntrack, Counters, Entry, Flush, Settings, TimeoutPolicy, Tuple};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Shards: enough that a few workers seldom meet, and not so many that asking all of them takes long.
const SHARDS: usize = 64;
/// Connections that are looked at in one go when time passes.
const EXPIRE_BUDGET: usize = 256;
/// Goes that a shard has in a row.
const GOES: usize = 64;

/// Connections of a shard that are looked at in one go by who looks at all: packets wait for a millisecond at most.
const PART: u32 = 1024;
/// Between two of these goes.
const PART_PAUSE: Duration = Duration::from_micros(20);

/// The connections of a switch.
#[derive(Debug)]
pub struct Tracker {
    shards: Box<[Mutex<Conntrack>]>,
    connections: AtomicUsize,
    connections_max: AtomicUsize,
    /// Where cleaning up goes on: goes, [`GOES`] for each shard.
    cleaned: AtomicUsize,
}

/// A shard that is locked.
#[derive(Debug)]
pub(crate) struct Locked<'t> {
    tracker: &'t Tracker,
    pub shard: usize,
    before: usize,
    pub conntrack: MutexGuard<'t, Conntrack>,
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let after = self.conntrack.len();
        if after > self.before {
            self.tracker.connections.fetch_add(after - self.before, Ordering::Relaxed);
        } else if after < self.before {
            self.tracker.connections.fetch_sub(self.before - after, Ordering::Relaxed);
        }
    }
}

impl Tracker {
    /// `connections_max` of the settings holds for all shards together.
    pub fn new(settings: &Settings) -> Self {
        let shard = |number: usize| {
            let seed = settings.seed.wrapping_add((number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            Mutex::new(Conntrack::new(Settings { seed, connections_expected: 0, ..settings.clone() }))
        };
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            connections: AtomicUsize::new(0),
            connections_max: AtomicUsize::new(settings.connections_max),
            cleaned: AtomicUsize::new(0),
        }
    }

    pub(crate) fn shard_of(zone: u16) -> usize {
        usize::from(zone) % SHARDS
    }

    pub(crate) fn lock(&self, shard: usize) -> Locked<'_> {
        let mut conntrack = self.shards[shard % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
        let before = conntrack.len();
        let others = self.connections.load(Ordering::Relaxed).saturating_sub(before);
        conntrack.set_connections_max(self.connections_max.load(Ordering::Relaxed).saturating_sub(others));
        Locked { tracker: self, shard, before, conntrack }
    }

    fn each(&self, mut what: impl FnMut(&mut Conntrack)) {
        for shard in 0..SHARDS {
            what(&mut self.lock(shard).conntrack);
        }
    }

    pub fn len(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub fn connections_max(&self) -> usize {
        self.connections_max.load(Ordering::Relaxed)
    }

    /// Of all zones together.
    pub fn set_connections_max(&self, connections_max: usize) {
        self.connections_max.store(connections_max, Ordering::Relaxed);
    }

    pub fn set_tcp_sequence_check(&self, check: bool) {
        self.each(|conntrack| conntrack.set_tcp_sequence_check(check));
    }

    pub fn zone_len(&self, zone: u16) -> usize {
        self.lock(Self::shard_of(zone)).conntrack.zone_len(zone)
    }

    /// None: only the limit of all zones counts.
    pub fn set_zone_max(&self, zone: u16, connections_max: Option<usize>) {
        self.lock(Self::shard_of(zone)).conntrack.set_zone_max(zone, connections_max);
    }

    /// For connections that begin from now on. False if there are too many different policies.
    pub fn set_zone_policy(&self, zone: u16, policy: TimeoutPolicy) -> bool {
        self.lock(Self::shard_of(zone)).conntrack.set_zone_policy(zone, policy)
    }

    /// How many were forgotten.
    pub fn flush(&self, what: Flush<'_>) -> usize {
        let zone = match what {
            Flush::All => None,
            Flush::Zone(zone) => Some(zone),
            Flush::Tuple(tuple) => Some(tuple.zone()),
        };
        match zone {
            Some(zone) => self.lock(Self::shard_of(zone)).conntrack.flush(what),
            None => {
                let mut flushed = 0;
                self.each(|conntrack| flushed += conntrack.flush(Flush::All));
                flushed
            }
        }
    }

    /// Forgets the connections that are meant; how many they were.
    pub fn flush_where(&self, zone: Option<u16>, now_ms: u64, meant: impl Fn(&Entry<'_>) -> bool) -> usize {
        let mut flushed = 0;
        self.in_parts(zone, |conntrack, numbers| {
            let entries = conntrack.entries_of(numbers, zone, now_ms);
            let tuples: Vec<Tuple> = entries.filter(|entry| meant(entry)).map(|entry| *entry.original()).collect();
            flushed += tuples.iter().map(|tuple| conntrack.flush(Flush::Tuple(tuple))).sum::<usize>();
        });
        flushed
    }

    /// Looks at all connections that can be of a zone. A shard is held for a part at a time: workers wait for it.
    fn in_parts(&self, zone: Option<u16>, mut what: impl FnMut(&mut Conntrack, Range<u32>)) {
        let shards = zone.map_or(0..SHARDS, |zone| Self::shard_of(zone)..Self::shard_of(zone) + 1);
        for shard in shards {
            for from in (0..).step_by(PART as usize) {
                let mut locked = self.lock(shard);
                what(&mut locked.conntrack, from..from.saturating_add(PART));
                if from.saturating_add(PART) >= locked.conntrack.numbers() {
                    break;
                }
                drop(locked);
                // Who waits for the lock gets it only if nobody takes it at once again.
                std::thread::sleep(PART_PAUSE);
            }
        }
    }

    /// Forgets the connection with this tuple, in either direction.
    pub fn flush_tuple(&self, tuple: &Tuple) -> bool {
        self.flush(Flush::Tuple(tuple)) != 0
    }

    /// As `dpctl/dump-conntrack` has it, a line each; `timeouts` as its option `-s`.
    pub fn dump(&self, zone: Option<u16>, timeouts: bool, now_ms: u64) -> Vec<String> {
        let mut lines = Vec::new();
        self.in_parts(zone, |conntrack, numbers| {
            let line = |entry| if timeouts { format!("{entry:#}") } else { format!("{entry}") };
            lines.extend(conntrack.entries_of(numbers, zone, now_ms).map(line));
        });
        lines
    }

    /// Of all shards together.
    pub fn counters(&self) -> Counters {
        let mut all = Counters::default();
        self.each(|conntrack| all.add(&conntrack.counters()));
        all
    }

    /// Cleans up a little of what has expired. The shards that have connections take turns; one that has more to clean up has a few
    /// goes, so that connections that expire at once, all in one, do not keep others out for long.
    pub fn expire(&self, now_ms: u64) {
        if self.is_empty() {
            return;
        }
        for _ in 0..SHARDS {
            let go = self.cleaned.load(Ordering::Relaxed);
            let mut locked = self.lock(go / GOES % SHARDS);
            let empty = locked.conntrack.is_empty();
            let more = !empty && locked.conntrack.expire(now_ms, EXPIRE_BUDGET);
            drop(locked);
            let next = if more { go.wrapping_add(1) } else { (go / GOES).wrapping_add(1).wrapping_mul(GOES) };
            // Another worker may have gone on already.
            let _ = self.cleaned.compare_exchange(go, next, Ordering::Relaxed, Ordering::Relaxed);
            if !empty {
                return;
            }
        }
    }
}
