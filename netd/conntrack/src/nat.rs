//! Which address and port a connection is translated to.

use crate::connection::Translation;
use crate::tuple::Tuple;
use foldhash::fast::FixedState;
use hive_flow::{PROTO_TCP, PROTO_UDP};
use std::hash::{BuildHasher, Hasher};

/// Ports that are tried for one connection, at most: with 3 of 4 ports in use, all of 128 are with a probability of 10^-16.
const ATTEMPTS_MAX: u32 = 128;
/// From this many on, a second place to search from is chosen.
const ATTEMPTS_MIN: u32 = 16;

/// `ct(nat(...))`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Nat {
    /// As the connection is translated already, if it is.
    Existing,
    Source(NatRange),
    Destination(NatRange),
}

/// What may be chosen from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NatRange {
    /// First and last. None, or address 0, keeps the packet's own, and only avoids a tuple in use (`ct_zero_snat`).
    pub addresses: Option<(u128, u128)>,
    /// First and last. None keeps the packet's own unless it is in use.
    pub ports: Option<(u16, u16)>,
    pub choice: Choice,
    /// The same client gets the same address.
    pub persistent: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// By the tuple.
    #[default]
    Hash,
    Random,
}

/// Numbers that nobody outside can foresee.
#[derive(Debug)]
pub(crate) struct Random {
    seed: FixedState,
    count: u64,
}

impl Random {
    pub fn new(seed: FixedState) -> Self {
        Self { seed, count: 0 }
    }

    pub fn next(&mut self) -> u64 {
        self.count += 1;
        self.seed.hash_one(self.count)
    }
}

fn hash(tuple: &Tuple, range: &NatRange, seed: &FixedState) -> u64 {
    let mut hasher = seed.build_hasher();
    hasher.write_u128(tuple.source());
    if !range.persistent {
        hasher.write_u128(tuple.destination());
        hasher.write_u64(u64::from(tuple.source_port()) << 16 | u64::from(tuple.destination_port()));
        hasher.write_u64(u64::from(tuple.zone()) << 8 | u64::from(tuple.protocol()));
    }
    hasher.finish()
}

/// The ports that an unprivileged, or privileged, source port may become.
fn kin(port: u16) -> (u16, u16) {
    match port {
        0..512 => (1, 511),
        512..1024 => (600, 1023),
        _ => (1024, 65535),
    }
}

/// The tuple of the answers to a translated connection, which nobody else has: none if every one that was tried is in use.
pub(crate) fn select(
    original: &Tuple,
    nat: &Nat,
    seed: &FixedState,
    random: &mut Random,
    in_use: impl Fn(&Tuple) -> bool,
) -> Option<(Tuple, Translation)> {
    let mut reply = original.reversed();
    let (range, what) = match nat {
        Nat::Existing => return Some((reply, Translation::None)),
        Nat::Source(range) => (range, Translation::Source),
        Nat::Destination(range) => (range, Translation::Destination),
    };
    let chosen = match range.choice {
        Choice::Hash => hash(original, range, seed),
        Choice::Random => random.next(),
    };
    if let Some((first, last)) = range.addresses.filter(|(first, _)| *first != 0) {
        // Of the other IP version.
        if !original.is_v6() && last > u32::MAX.into() {
            return None;
        }
        // 32 bits of choice are enough.
        let count = last.saturating_sub(first).min(u128::from(u32::MAX - 1)) + 1;
        let address = first + u128::from(chosen >> 32) % count;
        match what {
            Translation::Source => reply.set_destination(address),
            _ => reply.set_source(address),
        }
    }
    if !matches!(original.protocol(), PROTO_TCP | PROTO_UDP) {
        return (!in_use(&reply)).then_some((reply, what));
    }
    if let (Translation::Destination, Some((first, last))) = (what, range.ports) {
        let ports = Ports { first, last, start: spread(first, last, chosen) };
        if ports.search(&mut reply, Tuple::set_source_port, random, &in_use) {
            return Some((reply, what));
        }
    }
    let own = original.source_port();
    let ports = match (what, range.ports) {
        (Translation::Source, Some((first, last))) => Ports { first, last, start: spread(first, last, chosen) },
        _ => {
            let (first, last) = kin(own);
            Ports { first, last, start: own }
        }
    };
    ports.search(&mut reply, Tuple::set_destination_port, random, &in_use).then_some((reply, what))
}

fn spread(first: u16, last: u16, chosen: u64) -> u16 {
    let count = u64::from(last.saturating_sub(first)) + 1;
    first + ((chosen & 0xffff_ffff) % count) as u16
}

struct Ports {
    first: u16,
    last: u16,
    start: u16,
}

impl Ports {
    fn search(
        &self,
        reply: &mut Tuple,
        set: fn(&mut Tuple, u16),
        random: &mut Random,
        in_use: &impl Fn(&Tuple) -> bool,
    ) -> bool {
        let count = u32::from(self.last.saturating_sub(self.first)) + 1;
        let mut attempts = count.min(ATTEMPTS_MAX);
        let mut start = u32::from(self.start.saturating_sub(self.first));
        loop {
            for step in 0..attempts {
                // The sum is below twice the count, which is at most 65536.
                set(reply, self.first + ((start + step) % count) as u16);
                if !in_use(reply) {
                    return true;
                }
            }
            if attempts == count || attempts < ATTEMPTS_MIN {
                return false;
            }
            attempts /= 2;
            start = (random.next() % u64::from(count)) as u32;
        }
    }
}
