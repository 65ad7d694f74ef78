//! A small generator: jitter, names of temporary files, faults of tests. Nothing here is secret.

use std::sync::atomic::{AtomicU64, Ordering};

/// SplitMix64 (Steele, Lea and Flood, 2014): any seed is good, and one atomic addition makes it shareable.
#[derive(Debug)]
pub(crate) struct Random(AtomicU64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// Seeded by the kernel; by the process id where that fails, which is enough for jitter.
    pub(crate) fn new() -> Self {
        Self::seeded(getrandom::u64().unwrap_or_else(|_| u64::from(std::process::id())))
    }

    pub(crate) fn next(&self) -> u64 {
        const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.0.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is not zero.
    pub(crate) fn below(&self, bound: u64) -> u64 {
        // The high half of the product: no division, and a bias far below what matters here.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// True with a probability of `permille` / 1000.
    pub(crate) fn chance(&self, permille: u32) -> bool {
        permille > 0 && self.below(1000) < u64::from(permille)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_one_sequence() {
        let [a, b] = [Random::seeded(7), Random::seeded(7)];
        assert!((0..100).all(|_| a.next() == b.next()));
        assert!((0..1000).all(|_| a.below(10) < 10));
        assert!((0..100).all(|_| !a.chance(0) && a.chance(1000)));
    }
}
