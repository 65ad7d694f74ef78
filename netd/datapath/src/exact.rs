//! The cache of exact keys: from a packet's quick or long key, as far as any flow looks at it, to its flow, or to its connection's way
//! through all passes at once.

use crate::flows::{FlowId, add};
use crate::patch::Patch;
use crate::quick::{QUICK_WORDS, Quick};
use crate::slots::{Slots, Taken};
use crate::v6::{LONG_WORDS, Long};
use hive_conntrack::Pin;
use hive_ipfix::FlowKey;
use hive_program::{DropReason, PortId, Sample, Traffic, Tunnel};
use std::sync::Arc;

/// Connections that a packet may be tracked in on its way and still be fused: both sides' security groups, and a gateway.
pub(crate) const PINS_MAX: usize = 3;

/// Where a fused way ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Nowhere,
    Drop(DropReason),
    Output(PortId),
}

/// How long packets may be (on the wire: of large ones each segment) to go the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lengths {
    at_most: u32,
    /// Longer than that.
    over: u16,
}

impl Lengths {
    pub const ALL: Self = Self { at_most: u32::MAX, over: 0 };

    #[inline]
    pub fn has(self, sent_bytes: usize) -> bool {
        sent_bytes > usize::from(self.over) && sent_bytes <= self.at_most as usize
    }

    /// Those of them that are longer than `bytes`, or those that are not.
    pub fn keep(&mut self, bytes: u16, larger: bool) {
        if larger {
            self.over = self.over.max(bytes);
        } else {
            self.at_most = self.at_most.min(bytes.into());
        }
    }
}

/// A connection's way through all passes. Two cache lines: the first is read, the second is written too.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Fused<C> {
    pub pins: [Pin; PINS_MAX],
    pub exit: Exit,
    pub pin_count: u8,
    /// It has a tunnel or a priority: else the rest, which is elsewhere in memory, is not looked at for each packet.
    pub dressed: bool,
    pub patch: Option<Box<Patch>>,
    /// Not yet credited.
    pub pending: Traffic,
    pub used_ms: u64,
    pub rest: Box<FusedRest<C>>,
    pub lengths: Lengths,
}

const _: () = assert!(size_of::<Fused<()>>() == 128);

#[derive(Debug)]
pub(crate) struct FusedRest<C> {
    /// The flows of its passes.
    pub passes: Vec<(FlowId, Arc<C>)>,
    /// What of it is sampled.
    pub samples: Vec<(Arc<Sample>, FlowKey)>,
    pub tunnel: Option<Arc<Tunnel>>,
    pub skb_priority: u32,
    slot: Home,
}

/// The slot that leads to a fused way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Home {
    long: bool,
    place: usize,
    version: u64,
}

impl<C> FusedRest<C> {
    pub fn new(
        passes: Vec<(FlowId, Arc<C>)>,
        samples: Vec<(Arc<Sample>, FlowKey)>,
        tunnel: Option<Arc<Tunnel>>,
        skb_priority: u32,
    ) -> Self {
        Self { passes, samples, tunnel, skb_priority, slot: Home::default() }
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

/// A masked key with its hash.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Keyed {
    Quick(u64, Quick),
    Long(u64, Long),
}

#[derive(Debug)]
pub(crate) struct Exact<C> {
    pub quick: Slots<QUICK_WORDS>,
    pub long: Slots<LONG_WORDS>,
    fused: Vec<Option<Fused<C>>>,
    free: Vec<u32>,
}

impl<C> Exact<C> {
    /// Room for so many keys of either kind, at least; a power of two.
    pub fn new(entries: usize) -> Self {
        Self { quick: Slots::new(entries).filled(), long: Slots::new(entries), fused: Vec::new(), free: Vec::new() }
    }

    /// Forgets all.
    pub fn invalidate(&mut self) {
        self.quick.invalidate();
        self.long.invalidate();
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

    /// A slot for a key, and what was fused there.
    fn take_slot(&mut self, key: &Keyed) -> Option<(Home, Option<Fused<C>>)> {
        let (long, taken, version) = match key {
            Keyed::Quick(hash, key) => (false, self.quick.take(*hash, key), self.quick.version),
            Keyed::Long(hash, key) => (true, self.long.take(*hash, key), self.long.version),
        };
        let Taken { place, before } = taken?;
        // Others may have its index by now.
        let released = before.and_then(|(index, version)| {
            let home = Home { long, place, version };
            if self.fused(index).is_some_and(|fused| fused.rest.slot == home) { self.take(index) } else { None }
        });
        Some((Home { long, place, version }, released))
    }

    /// Gives back what was fused in the place that it takes, to be credited.
    pub fn insert_flow(&mut self, key: &Keyed, flow: FlowId) -> Option<Fused<C>> {
        let (home, released) = self.take_slot(key)?;
        match key {
            Keyed::Quick(_, key) => self.quick.put_flow(home.place, key, flow.index, flow.generation),
            Keyed::Long(_, key) => self.long.put_flow(home.place, key, flow.index, flow.generation),
        }
        released
    }

    /// As [`Self::insert_flow`].
    pub fn insert_fused(&mut self, key: &Keyed, mut fused: Fused<C>) -> Option<Fused<C>> {
        let (home, released) = self.take_slot(key)?;
        fused.rest.slot = home;
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                self.fused.push(None);
                // There are no more of them than slots.
                (self.fused.len() - 1) as u32
            }
        };
        self.fused[index as usize] = Some(fused);
        match key {
            Keyed::Quick(_, key) => self.quick.put_fused(home.place, key, index),
            Keyed::Long(_, key) => self.long.put_fused(home.place, key, index),
        }
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
        let Home { long, place, version } = fused.rest.slot;
        let current = version == if long { self.long.version } else { self.quick.version };
        if current && fused.used_ms >= idle_since_ms {
            return None;
        }
        match (current, long) {
            (true, true) => self.long.clear(place, index),
            (true, false) => self.quick.clear(place, index),
            (false, _) => {}
        }
        self.take(index)
    }
}
