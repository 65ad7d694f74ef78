//! What one packet's way was made of, so that the next one of its kind can take it at once.

use crate::exact::{Exit, Fused, FusedRest, PINS_MAX};
use crate::flows::{Flow, FlowId};
use crate::packet::LINE;
use crate::patch::Patch;
use crate::quick::{self, FIVE_TUPLE, QUICK_WORDS, Quick};
use crate::work::Work;
use hive_conntrack::Pin;
use hive_flow::Field;
use hive_ipfix::FlowKey;
use hive_program::{DropReason, PortId, Sample, Traffic, Tunnel};
use std::sync::Arc;

/// The way of a packet with a quick key. It is whole as long as everything on it follows from the bits of the key under `mask` and
/// from the pinned connections.
#[derive(Debug)]
pub(crate) struct Trace<C> {
    whole: bool,
    pub mask: Quick,
    pins: [Pin; PINS_MAX],
    pin_count: u8,
    pub passes: Vec<(FlowId, Arc<C>)>,
    samples: Vec<(Arc<Sample>, FlowKey)>,
    exit: Exit,
    /// The headers as they left.
    after: [u8; LINE],
    tunnel: Option<Arc<Tunnel>>,
    skb_priority: u32,
}

impl<C> Default for Trace<C> {
    fn default() -> Self {
        Self {
            whole: false,
            mask: [0; QUICK_WORDS],
            pins: [Pin::default(); PINS_MAX],
            pin_count: 0,
            passes: Vec::new(),
            samples: Vec::new(),
            exit: Exit::Nowhere,
            after: [0; LINE],
            tunnel: None,
            skb_priority: 0,
        }
    }
}

impl<C> Trace<C> {
    pub fn start(&mut self, whole: bool) {
        *self = Self { whole, passes: std::mem::take(&mut self.passes), ..Self::default() };
        self.passes.clear();
    }

    /// There was something that need not be so the next time.
    pub fn off(&mut self) {
        self.whole = false;
    }

    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The flow of the first pass is noted in any case.
    pub fn pass(&mut self, id: FlowId, flow: &Flow<C>, is_first: bool) {
        if self.whole {
            self.depends_on(&quick::mask_words(flow.mask()));
        }
        if self.whole || is_first {
            self.passes.push((id, Arc::clone(&flow.credits)));
        }
    }

    /// The translation that samples depends on all that the flow's key has.
    pub fn sample(&mut self, sample: &Arc<Sample>, flow: FlowKey) {
        if self.whole {
            self.samples.push((Arc::clone(sample), flow));
        }
    }

    fn depends_on(&mut self, mask: &Quick) {
        for (all, more) in self.mask.iter_mut().zip(mask) {
            *all |= more;
        }
    }

    /// What comes behind depends on what the packet's connection is.
    pub fn depends_on_connection(&mut self) {
        self.depends_on(&FIVE_TUPLE);
    }

    /// A field was set: what is written is the new value of all of it, so it has to be known.
    pub fn set(&mut self, field: Field) {
        // The checksum of ICMP lies where a patch has ports, and differs from message to message.
        if matches!(field, Field::IcmpType | Field::IcmpCode) {
            return self.off();
        }
        let Some(place) = field.place() else { return };
        if usize::from(place.word) < QUICK_WORDS {
            self.mask[usize::from(place.word)] |= place.mask();
        }
    }

    pub fn pin(&mut self, pin: Option<Pin>) {
        self.depends_on_connection();
        let at = usize::from(self.pin_count);
        match pin {
            // The same connection twice would go on twice by one packet: only the long way does that right.
            Some(pin) if at < PINS_MAX && self.pins[..at].iter().all(|other| !other.collides(&pin)) => {
                self.pins[at] = pin;
                self.pin_count += 1;
            }
            _ => self.off(),
        }
    }

    pub fn drop(&mut self, reason: DropReason) {
        match self.exit {
            Exit::Nowhere => self.exit = Exit::Drop(reason),
            // It left already; that it went no further is counted each time.
            _ => self.off(),
        }
    }

    pub fn output(&mut self, port: PortId, work: &Work) {
        if !self.whole {
            return;
        }
        let held = work.head().len().min(LINE);
        if self.exit != Exit::Nowhere {
            self.off();
            return;
        }
        self.exit = Exit::Output(port);
        self.after[..held].copy_from_slice(&work.head()[..held]);
        self.tunnel = work.tunnel.clone();
        self.skb_priority = work.key().get_u64(Field::SkbPriority) as u32;
    }

    /// The way of a packet that began so.
    pub fn fuse(&mut self, before: &[u8; LINE], now_ms: u64) -> Fused<C> {
        let patch = match self.exit {
            Exit::Output(_) => Patch::between(before, &self.after),
            _ => None,
        };
        Fused {
            pins: self.pins,
            pin_count: self.pin_count,
            exit: self.exit,
            patch: patch.map(Box::new),
            pending: Traffic::default(),
            used_ms: now_ms,
            rest: Box::new(FusedRest::new(
                std::mem::take(&mut self.passes),
                std::mem::take(&mut self.samples),
                self.tunnel.take(),
                self.skb_priority,
            )),
        }
    }
}
