//! The cache of exact keys: from a packet's quick key, as far as any flow looks at it, to its flow, or to its connection's way through
//! all passes at once.

use crate::flows::{FlowId, add};
use crate::patch::Patch;
use crate::quick::{QUICK_WORDS, Quick};
use hive_conntrack::Pin;
use hive_ipfix::FlowKey;
use hive_program::{DropReason, PortId, Sample, Traffic, Tunnel};
use std::sync::Arc;

/// Places with one hash. With a quarter of all places in use, less than one in a hundred keys finds none.
const WAYS: usize = 4;
/// Connections that a packet may be tracked in on its way and still be fused: both sides' security groups, and a gateway.
pub(crate) const PINS_MAX: usize = 3;
/// A full set gives a place away once in so many times: single packets must not push out what is in use (as the EMC of Open vSwitch).
const REPLACE_ONE_IN: u64 = 16;
/// Target: an index of fused ways.
const FUSED: u32 = 1 << 31;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Slot {
    key: Quick,
    /// Of the cache, when it was put in.
    version: u64,
    target: u32,
    /// Of the flow.
    generation: u32,
}

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hit {
    None,
    Flow(u32),
    Fused(u32),
}

/// Where a fused way ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Nowhere,
    Drop(DropReason),
    Output(PortId),
}

/// A connection's way through all passes. Two cache lines: the first is read, the second is written too.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Fused<C> {
    pub pins: [Pin; PINS_MAX],
    pub exit: Exit,
    pub pin_count: u8,
    pub patch: Option<Box<Patch>>,
    /// Not yet credited.
    pub pending: Traffic,
    pub used_ms: u64,
    pub rest: Box<FusedRest<C>>,
}

#[derive(Debug)]
pub(crate) struct FusedRest<C> {
    /// The flows of its passes.
    pub passes: Vec<(FlowId, Arc<C>)>,
    /// What of it is sampled.
    pub samples: Vec<(Arc<Sample>, FlowKey)>,
    pub tunnel: Option<Arc<Tunnel>>,
    pub skb_priority: u32,
    slot: usize,
    version: u64,
}

impl<C> FusedRest<C> {
    pub fn new(
        passes: Vec<(FlowId, Arc<C>)>,
        samples: Vec<(Arc<Sample>, FlowKey)>,
        tunnel: Option<Arc<Tunnel>>,
        skb_priority: u32,
    ) -> Self {
        Self { passes, samples, tunnel, skb_priority, slot: 0, version: 0 }
    }
}

impl<C> Fused<C> {
    #[inline]
    pub fn pins(&self) -> &[Pin] {
        self.pins.get(..usize::from(self.pin_count)).unwrap_or(&[])
    }

    #[inline]
    pub fn count(&mut self, bytes: usize, tcp_flags: u16, now_ms: u64) {
        add(&mut self.pending, Traffic { packets: 1, bytes: bytes as u64, tcp_flags });
        self.used_ms = now_ms;
    }
}

#[derive(Debug)]
pub(crate) struct Exact<C> {
    slots: Box<[Slot]>,
    fused: Vec<Option<Fused<C>>>,
    free: Vec<u32>,
    /// Entries of another version count for nothing.
    version: u64,
    /// The bits of quick keys that some flow looks at: keys are stored under it.
    pub mask: Quick,
    chance: u64,
}

impl<C> Exact<C> {
    /// Room for so many keys, at least; a power of two.
    pub fn new(entries: usize) -> Self {
        let entries = entries.next_power_of_two().max(WAYS);
        let empty = Slot { key: [0; QUICK_WORDS], version: 0, target: 0, generation: 0 };
        Self {
            slots: vec![empty; entries].into(),
            fused: Vec::new(),
            free: Vec::new(),
            version: 1,
            mask: [u64::MAX, 0, 0, 0, 0, 0],
            chance: 0,
        }
    }

    /// Forgets all.
    pub fn invalidate(&mut self) {
        self.version += 1;
    }

    /// These bits count from now on too.
    pub fn widen(&mut self, mask: &Quick) {
        let wider: Quick = std::array::from_fn(|at| self.mask[at] | mask[at]);
        if wider != self.mask {
            self.mask = wider;
            self.invalidate();
        }
    }

    #[inline]
    pub fn masked(&self, key: &Quick) -> Quick {
        std::array::from_fn(|at| key[at] & self.mask[at])
    }

    #[inline]
    fn set_of(&self, hash: u64) -> usize {
        (hash as usize & (self.slots.len() / WAYS - 1)) * WAYS
    }

    /// Fetches what [`Self::find`] looks at first.
    #[inline]
    pub fn touch(&self, hash: u64) -> u64 {
        let from = self.set_of(hash);
        self.slots.get(from..from + 2).map_or(0, |slots| slots[0].version ^ slots[1].version)
    }

    /// `key` is masked. The generation of a flow is for the caller to compare.
    #[inline]
    pub fn find(&self, hash: u64, key: &Quick) -> (Hit, u32) {
        let from = self.set_of(hash);
        for slot in self.slots.get(from..from + WAYS).unwrap_or(&[]) {
            let differ = (0..QUICK_WORDS).fold(slot.version ^ self.version, |all, at| all | slot.key[at] ^ key[at]);
            if differ == 0 {
                let hit =
                    if slot.target & FUSED != 0 { Hit::Fused(slot.target & !FUSED) } else { Hit::Flow(slot.target) };
                return (hit, slot.generation);
            }
        }
        (Hit::None, 0)
    }

    #[inline]
    pub fn fused(&self, index: u32) -> Option<&Fused<C>> {
        self.fused.get(index as usize)?.as_ref()
    }

    #[inline]
    pub fn fused_mut(&mut self, index: u32) -> Option<&mut Fused<C>> {
        self.fused.get_mut(index as usize)?.as_mut()
    }

    /// Places of fused ways, some of which are free.
    pub fn fused_places(&self) -> usize {
        self.fused.len()
    }

    pub fn fused_len(&self) -> usize {
        self.fused.len() - self.free.len()
    }

    /// A place for a key, and what was fused there.
    fn place(&mut self, hash: u64, key: &Quick) -> Option<(usize, Option<Fused<C>>)> {
        let from = self.set_of(hash);
        let set = self.slots.get(from..from + WAYS)?;
        let same = set.iter().position(|slot| slot.version == self.version && slot.key == *key);
        let place = same.or_else(|| set.iter().position(|slot| slot.version != self.version));
        let at = match place {
            Some(at) => at,
            None => {
                self.chance =
                    self.chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let drawn = self.chance >> 33;
                if !drawn.is_multiple_of(REPLACE_ONE_IN) {
                    return None;
                }
                (drawn / REPLACE_ONE_IN) as usize % WAYS
            }
        };
        let place = from + at;
        let slot = self.slots[place];
        let owned = slot.version != 0
            && slot.target & FUSED != 0
            && self
                .fused(slot.target & !FUSED)
                .is_some_and(|fused| (fused.rest.slot, fused.rest.version) == (place, slot.version));
        let released = if owned { self.take(slot.target & !FUSED) } else { None };
        Some((place, released))
    }

    /// Gives back what was fused in the place that it takes, to be credited.
    pub fn insert_flow(&mut self, hash: u64, key: &Quick, flow: FlowId) -> Option<Fused<C>> {
        let (place, released) = self.place(hash, key)?;
        self.slots[place] =
            Slot { key: *key, version: self.version, target: flow.index & !FUSED, generation: flow.generation };
        released
    }

    /// As [`Self::insert_flow`].
    pub fn insert_fused(&mut self, hash: u64, key: &Quick, mut fused: Fused<C>) -> Option<Fused<C>> {
        let (place, released) = self.place(hash, key)?;
        (fused.rest.slot, fused.rest.version) = (place, self.version);
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.fused.push(None);
                // There are no more of them than slots.
                (self.fused.len() - 1) as u32
            }
        };
        self.fused[index as usize] = Some(fused);
        self.slots[place] = Slot { key: *key, version: self.version, target: index | FUSED, generation: 0 };
        released
    }

    fn take(&mut self, index: u32) -> Option<Fused<C>> {
        let fused = self.fused.get_mut(index as usize)?.take()?;
        self.free.push(index);
        Some(fused)
    }

    /// Takes a fused way out if it is of no use: of another version, or not used since `idle_since_ms`.
    pub fn retire(&mut self, index: u32, idle_since_ms: u64) -> Option<Fused<C>> {
        let fused = self.fused(index)?;
        let current = fused.rest.version == self.version;
        if current && fused.used_ms >= idle_since_ms {
            return None;
        }
        let place = fused.rest.slot;
        if current && let Some(slot) = self.slots.get_mut(place).filter(|slot| slot.target == index | FUSED) {
            slot.version = 0;
        }
        self.take(index)
    }
}
