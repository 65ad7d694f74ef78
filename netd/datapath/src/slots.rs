//! Places of the exact-match cache, for keys of one width.

use crate::quick::QUICK_WORDS;

/// Places with one hash. With a quarter of all places in use, less than one in a hundred keys finds none.
const WAYS: usize = 4;
/// A full set gives a place away once in so many times: single packets must not push out what is in use (as the EMC of Open vSwitch).
const REPLACE_ONE_IN: u64 = 16;
/// Target: an index of fused ways.
const FUSED: u32 = 1 << 31;

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hit {
    None,
    Flow(u32),
    Fused(u32),
}

impl Hit {
    fn of(target: u32) -> Self {
        if target & FUSED != 0 { Self::Fused(target & !FUSED) } else { Self::Flow(target) }
    }
}

/// What is compared first is in the first of at most two cache lines.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Slot<const N: usize> {
    /// Of the slots, when it was put in.
    version: u64,
    target: u32,
    /// Of the flow.
    generation: u32,
    key: [u64; N],
}

const _: () = assert!(size_of::<Slot<QUICK_WORDS>>() == 64);

/// A place that was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub place: usize,
    /// The fused way that it led to, with the slots' version of then.
    pub before: Option<(u32, u64)>,
}

/// Keys of `N` words, of which the first ones are those of a quick key.
#[derive(Debug)]
pub(crate) struct Slots<const N: usize> {
    /// None until there is something to keep.
    slots: Box<[Slot<N>]>,
    entries: usize,
    /// Entries of another version count for nothing.
    pub version: u64,
    /// The bits of keys that some flow looks at: keys are stored under it.
    pub mask: [u64; N],
    chance: u64,
}

impl<const N: usize> Slots<N> {
    /// Room for so many keys, at least; a power of two.
    pub fn new(entries: usize) -> Self {
        let mut mask = [0; N];
        mask[0] = u64::MAX;
        Self { slots: Box::default(), entries: entries.next_power_of_two().max(WAYS), version: 1, mask, chance: 0 }
    }

    /// Takes memory at once, not with the first key.
    pub fn filled(mut self) -> Self {
        self.fill();
        self
    }

    fn fill(&mut self) {
        self.slots = vec![Slot { key: [0; N], version: 0, target: 0, generation: 0 }; self.entries].into();
    }

    /// Forgets all.
    pub fn invalidate(&mut self) {
        self.version += 1;
    }

    /// These bits count from now on too.
    pub fn widen(&mut self, mask: &[u64; N]) {
        let wider: [u64; N] = std::array::from_fn(|at| self.mask[at] | mask[at]);
        if wider != self.mask {
            self.mask = wider;
            self.invalidate();
        }
    }

    #[inline]
    pub fn masked(&self, key: &[u64; N]) -> [u64; N] {
        std::array::from_fn(|at| key[at] & self.mask[at])
    }

    #[inline]
    fn set_of(&self, hash: u64) -> usize {
        (hash as usize & (self.entries / WAYS - 1)) * WAYS
    }

    /// Fetches what [`Self::find`] looks at first.
    #[inline]
    pub fn touch(&self, hash: u64) -> u64 {
        let from = self.set_of(hash);
        let second = |slot: &Slot<N>| if N > QUICK_WORDS { slot.key[N - 1] } else { 0 };
        self.slots
            .get(from..from + 2)
            .map_or(0, |slots| slots[0].version ^ slots[1].version ^ second(&slots[0]) ^ second(&slots[1]))
    }

    /// `key` is masked. The generation of a flow is for the caller to compare.
    #[inline]
    pub fn find(&self, hash: u64, key: &[u64; N]) -> (Hit, u32) {
        let from = self.set_of(hash);
        for slot in self.slots.get(from..from + WAYS).unwrap_or(&[]) {
            let differ = (0..QUICK_WORDS).fold(slot.version ^ self.version, |all, at| all | slot.key[at] ^ key[at]);
            if differ == 0 && slot.key[QUICK_WORDS..] == key[QUICK_WORDS..] {
                return (Hit::of(slot.target), slot.generation);
            }
        }
        (Hit::None, 0)
    }

    /// Once in so many times.
    pub fn draws(&mut self) -> bool {
        self.draw().is_multiple_of(REPLACE_ONE_IN)
    }

    fn draw(&mut self) -> u64 {
        self.chance = self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.chance >> 33
    }

    /// A place for a key.
    pub fn take(&mut self, hash: u64, key: &[u64; N]) -> Option<Taken> {
        if self.slots.is_empty() {
            self.fill();
        }
        let from = self.set_of(hash);
        let set = self.slots.get(from..from + WAYS)?;
        let same = set.iter().position(|slot| slot.version == self.version && slot.key == *key);
        let place = same.or_else(|| set.iter().position(|slot| slot.version != self.version));
        let at = match place {
            Some(at) => at,
            None => {
                let drawn = self.draw();
                if !drawn.is_multiple_of(REPLACE_ONE_IN) {
                    return None;
                }
                (drawn / REPLACE_ONE_IN) as usize % WAYS
            }
        };
        let slot = self.slots[from + at];
        let before = match Hit::of(slot.target) {
            Hit::Fused(index) if slot.version != 0 => Some((index, slot.version)),
            _ => None,
        };
        Some(Taken { place: from + at, before })
    }

    pub fn put_flow(&mut self, place: usize, key: &[u64; N], index: u32, generation: u32) {
        self.put(place, Slot { key: *key, version: self.version, target: index & !FUSED, generation });
    }

    pub fn put_fused(&mut self, place: usize, key: &[u64; N], index: u32) {
        self.put(place, Slot { key: *key, version: self.version, target: index | FUSED, generation: 0 });
    }

    fn put(&mut self, place: usize, slot: Slot<N>) {
        if let Some(at) = self.slots.get_mut(place) {
            *at = slot;
        }
    }

    /// Empties a place if it leads to that fused way.
    pub fn clear(&mut self, place: usize, index: u32) {
        if let Some(slot) = self.slots.get_mut(place).filter(|slot| slot.target == index | FUSED) {
            slot.version = 0;
        }
    }
}
