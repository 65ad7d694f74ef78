//! What one packet's way was made of, so that the next one of its kind can take it at once.

use crate::exact::{Exit, Fused, FusedRest, Lengths, PINS_MAX};
use crate::flows::{Flow, FlowId};
use crate::packet::LINE;
use crate::patch::Patch;
use crate::quick::QUICK_WORDS;
use crate::v6::{self, LONG_TUPLE, LONG_WORDS, Long, V6};
use crate::work::Work;
use hive_conntrack::Pin;
use hive_flow::Field;
use hive_ipfix::FlowKey;
use hive_program::{DropReason, PortId, Sample, Traffic, Tunnel};
use std::sync::Arc;

/// The way of a packet with a quick or long key. It is whole as long as everything on it follows from the bits of the key under `mask`,
/// from its length being one of `lengths`, and from the pinned connections.
#[derive(Debug)]
pub(crate) struct Trace<C> {
    whole: bool,
    /// Of a quick key as of a long one, which begins alike.
    pub mask: Long,
    lengths: Lengths,
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
            mask: [0; LONG_WORDS],
            lengths: Lengths::ALL,
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
        self.whole = whole;
        self.passes.clear();
        if !whole {
            return;
        }
        // Of pins and headers there are as many as are counted, and as are written.
        self.mask = [0; LONG_WORDS];
        self.lengths = Lengths::ALL;
        self.pin_count = 0;
        self.samples.clear();
        self.exit = Exit::Nowhere;
        self.tunnel = None;
        self.skb_priority = 0;
    }

    /// There was something that need not be so the next time.
    pub fn off(&mut self) {
        self.whole = false;
    }

    pub fn is_whole(&self) -> bool {
        self.whole
    }

    /// The flow of the first pass is noted in any case.
    #[inline]
    pub fn pass(&mut self, id: FlowId, flow: &Flow<C>, is_first: bool) {
        if self.whole {
            self.depends_on(&v6::mask_words(flow.mask()));
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

    fn depends_on(&mut self, mask: &Long) {
        for (all, more) in self.mask.iter_mut().zip(mask) {
            *all |= more;
        }
    }

    /// What comes behind depends on what the packet's connection is.
    pub fn depends_on_connection(&mut self) {
        self.depends_on(&LONG_TUPLE);
    }

    /// What comes behind depends on whether the packet is longer than that.
    pub fn depends_on_length(&mut self, bytes: u16, larger: bool) {
        self.lengths.keep(bytes, larger);
    }

    /// A field was set: what is written is the new value of all of it, so it has to be known.
    pub fn set(&mut self, field: Field) {
        if !self.whole {
            return;
        }
        // The checksum of ICMP lies where a patch has ports, and differs from message to message.
        if matches!(field, Field::IcmpType | Field::IcmpCode) {
            return self.off();
        }
        let more = match field {
            // They share bytes.
            Field::IpDscp | Field::IpEcn | Field::Ipv6Label => [Field::IpDscp, Field::IpEcn, Field::Ipv6Label],
            field => [field; 3],
        };
        for field in more {
            v6::add_field(&mut self.mask, field);
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

    /// The way of a packet that began so; none if it cannot be repeated.
    pub fn fuse(&mut self, before: Before<'_>, now_ms: u64) -> Option<Fused<C>> {
        if !self.whole {
            return None;
        }
        let patch = match (self.exit, before) {
            (Exit::Output(_), Before::Plain(line)) => Patch::between(line, &self.after),
            (Exit::Output(_), Before::Tagged(line)) => Patch::between_tagged(line, &self.after),
            (Exit::Output(_), Before::V6(v6)) => Patch::between_v6(v6, &self.after).ok()?,
            _ => None,
        };
        Some(Fused {
            pins: self.pins,
            pin_count: self.pin_count,
            dressed: self.tunnel.is_some() || self.skb_priority != 0,
            exit: self.exit,
            patch: patch.map(Box::new),
            pending: Traffic::default(),
            used_ms: now_ms,
            lengths: self.lengths,
            rest: Box::new(FusedRest::new(
                std::mem::take(&mut self.passes),
                std::mem::take(&mut self.samples),
                self.tunnel.take(),
                self.skb_priority,
            )),
        })
    }

    /// The part of the mask that is a quick key's.
    pub fn quick_mask(&self) -> [u64; QUICK_WORDS] {
        std::array::from_fn(|at| self.mask[at])
    }
}

/// A packet's headers as they came.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Before<'p> {
    Plain(&'p [u8; LINE]),
    Tagged(&'p [u8; LINE]),
    V6(&'p V6),
}
