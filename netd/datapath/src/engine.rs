//! One worker's engine: bursts of packets through the caches, and what is in none of them through the pipeline.

use crate::burst::Place;
use crate::context::Contexts;
use crate::counters::{Counter, Counters};
use crate::exact::{Exact, Fused, Keyed};
use crate::flows::{Flow, FlowId, Flows, Plan};
use crate::meter::Meters;
use crate::packet::{Output, Packet, Tail};
use crate::quick::{self, Secret};
use crate::run::Position;
use crate::trace::{Before, Trace};
use crate::tracker::Tracker;
use crate::v6::{self, V6};
use crate::work::Work;
use hive_flow::{Field, Key};
use hive_ipfix::FlowKey;
use hive_program::{Op, Pipeline, PortId, Sample, Traffic};
use std::collections::HashMap;
use std::sync::Arc;

/// Packets that go through the stages together: enough to hide the latency of memory, as Open vSwitch and DPDK found.
pub const BURST: usize = 32;

/// How an engine is to behave.
#[derive(Clone, Debug)]
pub struct EngineSettings {
    /// Keys of the exact-match cache: 64 bytes each. 10,000 connections are 20,000 keys. From the first
    /// packet of IPv6 on there are as many for these, of 128 bytes.
    pub exact_entries: usize,
    /// Flows (`other_config:flow-limit`).
    pub flows_max: usize,
    /// After so long without a packet a flow is forgotten (`other_config:max-idle`).
    pub idle_ms: u64,
    /// VLAN tags that are told apart (`other_config:vlan-limit`).
    pub vlan_limit: usize,
    /// Questions to the pipeline of one port a second, beyond which its new flows are dropped, and those it has go on for a while as
    /// they did: some microseconds each, so that one port takes a fraction of a processor.
    pub misses_per_second: u32,
    /// Of these in one go.
    pub misses_burst: u32,
    /// Without, every pass is translated: for tests.
    pub caches: bool,
    /// Without, every packet takes every pass: for tests.
    pub fuse: bool,
    /// Of hashes. Those who can send packets must not know it.
    pub seed: u64,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self {
            exact_entries: 1 << 16,
            flows_max: 200_000,
            idle_ms: 10_000,
            vlan_limit: 1,
            misses_per_second: 50_000,
            misses_burst: 5_000,
            caches: true,
            fuse: true,
            seed: std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), 0u8),
        }
    }
}

/// What engines of one switch share.
#[derive(Debug)]
pub struct Shared<P> {
    pub pipeline: Arc<P>,
    pub tracker: Arc<Tracker>,
    pub meters: Arc<Meters>,
}

impl<P> Clone for Shared<P> {
    fn clone(&self) -> Self {
        let (pipeline, tracker, meters) = (&self.pipeline, &self.tracker, &self.meters);
        Self { pipeline: Arc::clone(pipeline), tracker: Arc::clone(tracker), meters: Arc::clone(meters) }
    }
}

/// Questions that a port may yet ask.
#[derive(Debug)]
struct Budget {
    thousandths: u64,
    filled_ms: u64,
}

/// The engine of one worker.
#[derive(Debug)]
pub struct Engine<P: Pipeline> {
    pub(crate) shared: Shared<P>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) settings: EngineSettings,
    pub(crate) flows: Flows<P::Credits>,
    pub(crate) exact: Exact<P::Credits>,
    pub(crate) secret: Secret,
    pub(crate) contexts: Contexts,
    /// Of the pipeline, as last asked for.
    pub(crate) epoch: u64,
    /// Flows of earlier epochs are not used any more, whatever their port's share.
    usable_from: u64,
    /// What [`Self::usable_from`] is next, at which time.
    marked: u64,
    next_mark_ms: u64,
    /// Counts what makes an earlier lookup void.
    pub(crate) changes: u64,
    budgets: HashMap<u32, Budget>,
    pub(crate) trace: Trace<P::Credits>,
    /// Not in use at the moment.
    pub(crate) works: Vec<Work>,
    /// Of a burst.
    pub(crate) v6s: Vec<V6>,
    pub(crate) scratch: Vec<u8>,
    /// What chance said last.
    pub(crate) drawn: u64,
    pub(crate) sweep: crate::sweep::Sweep,
}

/// One packet's circumstances.
#[derive(Debug)]
pub(crate) struct Circumstances<'c, T, O> {
    pub tail: &'c T,
    pub output: &'c mut O,
    pub now_ms: u64,
    pub in_port: PortId,
    pub tracker: &'c Tracker,
    /// Recirculations before this pass.
    pub depth: u32,
    /// Passes that copies of the packet may yet take.
    pub passes_left: u32,
}

/// So long after a change of the pipeline a port that has had its share of questions has its flows go on as they did, and no longer
/// than twice that: Open vSwitch revalidates all flows in 500 ms. A port asks about 12,500 of them meanwhile.
const STALE_MS: u64 = 250;
/// Recirculations of one packet (Open vSwitch has 6).
const RECIRCULATIONS_MAX: u32 = 8;
/// Passes of all copies of one packet: lists that recirculate many copies each would multiply.
const PASSES_MAX: u32 = 64;

impl<P: Pipeline> Engine<P> {
    pub fn new(shared: Shared<P>, settings: EngineSettings) -> Self {
        let (epoch, drawn) = (shared.pipeline.epoch(), settings.seed);
        Self {
            epoch,
            usable_from: epoch,
            marked: epoch,
            next_mark_ms: 0,
            shared,
            counters: Arc::default(),
            flows: Flows::new(settings.seed, settings.flows_max),
            exact: Exact::new(settings.exact_entries),
            secret: Secret::new(settings.seed ^ 1),
            contexts: Contexts::new(settings.seed),
            settings,
            changes: 0,
            budgets: HashMap::new(),
            trace: Trace::default(),
            works: Vec::new(),
            v6s: Vec::new(),
            scratch: Vec::new(),
            drawn,
            sweep: crate::sweep::Sweep::default(),
        }
    }

    pub fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Flows, masks, and connections' ways that are held.
    pub fn held(&self) -> (usize, usize, usize) {
        (self.flows.len(), self.flows.masks(), self.exact.fused_len())
    }

    pub(crate) fn follow_epoch(&mut self, now_ms: u64) {
        let epoch = self.shared.pipeline.epoch();
        if now_ms >= self.next_mark_ms {
            self.usable_from = std::mem::replace(&mut self.marked, epoch);
            self.next_mark_ms = now_ms.saturating_add(STALE_MS);
        }
        if epoch != self.epoch {
            self.epoch = epoch;
            self.exact.invalidate();
            self.changes += 1;
        }
    }

    /// Takes packets of one port, in order.
    pub fn process<T: Tail, O: Output<T>>(
        &mut self,
        in_port: PortId,
        packets: &mut [Packet<'_, T>],
        output: &mut O,
        now_ms: u64,
    ) {
        self.follow_epoch(now_ms);
        if self.contexts.forget(now_ms) {
            self.exact.invalidate();
            self.changes += 1;
        }
        let tracker = Arc::clone(&self.shared.tracker);
        for burst in packets.chunks_mut(BURST) {
            self.burst(in_port, burst, output, &tracker, now_ms);
        }
    }

    /// A packet that no cache takes to its end.
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn slow<T: Tail, O: Output<T>>(
        &mut self,
        in_port: PortId,
        packet: &Packet<'_, T>,
        place: &Place,
        v6: Option<&V6>,
        known: Option<u32>,
        output: &mut O,
        tracker: &Tracker,
        now_ms: u64,
    ) {
        let mut template = packet.metadata.copied().unwrap_or(Key::ZERO);
        template.set(Field::InPort, in_port.0.into());
        template.set(Field::RecircId, 0);
        let mut work = self.works.pop().unwrap_or_default();
        // What was looked at already is not read again: it might differ.
        let head = v6.map_or(&packet.line[..packet.line_bytes()], V6::head);
        work.load(packet, head, &template, self.settings.vlan_limit);
        if work.parsed.malformed == Some(hive_flow::Malformed::Ethernet) || !work.fills_in_behind() {
            self.counters.add(Counter::Malformed, 1);
            self.works.push(work);
            return;
        }
        let keyed = place.is_keyed() && self.settings.caches;
        self.trace.start(keyed && self.settings.fuse);
        let mut circumstances = Circumstances {
            tail: &packet.tail,
            output: &mut *output,
            now_ms,
            in_port,
            tracker,
            depth: 0,
            passes_left: PASSES_MAX,
        };
        self.pass(&mut circumstances, &mut work, known);
        self.works.push(work);
        output.pause();
        let anew = known.is_none() && !place.exception;
        if keyed && (anew || self.trace.is_whole()) {
            self.remember(place, place.before(&packet.line, v6), anew, now_ms);
        }
    }

    /// Keeps what was traced; `anew`: its key led nowhere.
    fn remember(&mut self, place: &Place, before: Before<'_>, anew: bool, now_ms: u64) {
        let Some((first, _)) = self.trace.passes.first() else { return };
        let first = *first;
        let Some(flow) = self.flows.get_mut(first) else { return };
        let mask = *flow.mask();
        let fused = if flow.plan == Plan::List { self.trace.fuse(before, now_ms) } else { None };
        // Of two ways by length the one that is taken more often is kept.
        if fused.is_none() && !anew || place.other_length && !self.exact.quick.draws() {
            return;
        }
        let key = match before {
            Before::Plain(_) | Before::Tagged(_) => {
                let mask = if fused.is_some() { self.trace.quick_mask() } else { quick::mask_words(&mask) };
                self.exact.quick.widen(&mask);
                let key = self.exact.quick.masked(&place.key);
                Keyed::Quick(self.secret.hash(&key), key)
            }
            Before::V6(packet) => {
                let mask = if fused.is_some() { self.trace.mask } else { v6::mask_words(&mask) };
                self.exact.long.widen(&mask);
                let key = self.exact.long.masked(&packet.key);
                Keyed::Long(self.secret.hash_long(&key), key)
            }
        };
        let released = match fused {
            Some(fused) => self.exact.insert_fused(&key, fused),
            None => self.exact.insert_flow(&key, first),
        };
        self.changes += 1;
        if let Some(fused) = released {
            self.credit_fused(fused, now_ms);
        }
    }

    /// One pass of a packet; `known`: the flow that it is of.
    pub(crate) fn pass<T: Tail, O: Output<T>>(
        &mut self,
        circumstances: &mut Circumstances<'_, T, O>,
        work: &mut Work,
        known: Option<u32>,
    ) {
        if circumstances.passes_left == 0 || circumstances.depth > RECIRCULATIONS_MAX {
            self.trace.off();
            self.counters.add(Counter::RecirculationDepth, 1);
            return;
        }
        circumstances.passes_left -= 1;
        // The pipeline may lock what it wants to.
        circumstances.output.pause();
        let now_ms = circumstances.now_ms;
        let (bytes, tcp_flags) = (work.frame_bytes(), work.key().get_u64(Field::TcpFlags) as u16);
        let (index, stale) = match known {
            Some(index) => (Some(index), None),
            None if self.settings.caches => self.find(work.key()),
            None => (None, None),
        };
        let index = index.filter(|index| self.flows.at(*index).is_some());
        let may_ask = index.is_none() && self.may_ask(circumstances.in_port, now_ms);
        // What was said last is better than nothing, for a while.
        let is_usable = |stale: &u32| self.flows.at(*stale).is_some_and(|flow| flow.epoch >= self.usable_from);
        let usable = if index.is_none() && !may_ask { stale.filter(is_usable) } else { None };
        let (ops, plan) = match index.or(usable).and_then(|at| Some((self.flows.id(at)?, self.flows.at_mut(at)?))) {
            Some((id, flow)) => {
                flow.count(bytes, tcp_flags, now_ms);
                if usable.is_none() {
                    self.trace.pass(id, flow, circumstances.depth == 0);
                } else {
                    self.trace.off();
                    self.counters.add(Counter::StaleHits, 1);
                }
                (Arc::clone(&flow.ops), flow.plan)
            }
            None => {
                if !may_ask {
                    self.trace.off();
                    self.counters.add(Counter::MissLimit, 1);
                    return;
                }
                self.counters.add(Counter::Misses, 1);
                let translation = self.shared.pipeline.translate(work.key(), true, now_ms);
                let cached = self.settings.caches && !translation.uncached;
                let renews = |flow: &Flow<P::Credits>| cached && flow.is_under(&translation.mask);
                if let Some(stale) = stale
                    && !self.flows.at(stale).is_some_and(renews)
                {
                    self.retire_flow(stale, now_ms);
                }
                let kept = if cached { self.keep(work.key(), &translation, now_ms) } else { None };
                match kept.and_then(|index| Some((self.flows.id(index)?, self.flows.at_mut(index)?))) {
                    Some((id, flow)) => {
                        flow.count(bytes, tcp_flags, now_ms);
                        self.trace.pass(id, flow, circumstances.depth == 0);
                    }
                    None => {
                        self.trace.off();
                        let traffic = Traffic { packets: 1, bytes: bytes as u64, tcp_flags };
                        self.shared.pipeline.credit(&translation.credits, traffic, now_ms);
                    }
                }
                let plan = Plan::of(&translation);
                (translation.ops, plan)
            }
        };
        if let Plan::Drop(reason) = plan {
            self.counters.add(reason.into(), 1);
            self.trace.drop(reason);
            return;
        }
        self.run(circumstances, work, &ops, Position::OUTERMOST);
    }

    /// The flow of a key as of now, or else that of an earlier epoch: it is asked for anew as one that is not known, within the port's
    /// share, so a port with many flows takes no more of a processor when the pipeline changes than otherwise.
    fn find(&mut self, key: &Key) -> (Option<u32>, Option<u32>) {
        let (found, looked_at) = self.flows.find(key);
        self.counters.add(Counter::FlowLookups, looked_at.into());
        let Some((index, flow)) = found.and_then(|index| Some((index, self.flows.at(index)?))) else {
            return (None, None);
        };
        if flow.epoch != self.epoch {
            return (None, Some(index));
        }
        self.counters.add(Counter::FlowHits, 1);
        (Some(index), None)
    }

    fn keep(&mut self, key: &Key, translation: &hive_program::Translation<P::Credits>, now_ms: u64) -> Option<u32> {
        self.changes += 1;
        let (index, replaced) = self.flows.insert(key, translation, now_ms)?;
        if let Some((credits, pending)) = replaced
            && pending.packets > 0
        {
            self.shared.pipeline.credit(&credits, pending, now_ms);
        }
        Some(index)
    }

    /// Whether a port's packet may be asked about.
    fn may_ask(&mut self, port: PortId, now_ms: u64) -> bool {
        const THOUSAND: u64 = 1000;
        let full = THOUSAND * u64::from(self.settings.misses_burst);
        let budget = self.budgets.entry(port.0).or_insert(Budget { thousandths: full, filled_ms: now_ms });
        let elapsed_ms = now_ms.saturating_sub(budget.filled_ms);
        budget.filled_ms = budget.filled_ms.max(now_ms);
        let filled = elapsed_ms.saturating_mul(self.settings.misses_per_second.into());
        let filled = budget.thousandths.saturating_add(filled);
        budget.thousandths = filled.min(full);
        let may = budget.thousandths >= THOUSAND;
        if may {
            budget.thousandths -= THOUSAND;
        }
        may
    }

    /// What was kept of a port that is gone.
    pub fn forget_port(&mut self, port: PortId) {
        self.budgets.remove(&port.0);
    }

    /// Carries operations out on a frame that did not come in by a port, or not now: packets of controllers.
    pub fn execute<T: Tail, O: Output<T>>(
        &mut self,
        packet: &Packet<'_, T>,
        template: &Key,
        ops: &[Op],
        output: &mut O,
        now_ms: u64,
    ) {
        self.follow_epoch(now_ms);
        let tracker = Arc::clone(&self.shared.tracker);
        let mut work = self.works.pop().unwrap_or_default();
        work.load(packet, &packet.line[..packet.line_bytes()], template, self.settings.vlan_limit);
        self.trace.off();
        let in_port = PortId(template.get_u64(Field::InPort) as u32);
        let mut circumstances = Circumstances {
            tail: &packet.tail,
            output,
            now_ms,
            in_port,
            tracker: &tracker,
            depth: 0,
            passes_left: PASSES_MAX,
        };
        self.run(&mut circumstances, &mut work, ops, Position::OUTERMOST);
        self.works.push(work);
    }

    /// Credits what went a way, counts it with the flows of its passes, and has it sampled.
    pub(crate) fn credit_fused(&mut self, mut fused: Fused<P::Credits>, now_ms: u64) {
        let pending = std::mem::take(&mut fused.pending);
        self.credit_passes(&fused.rest.passes, &fused.rest.samples, pending, fused.used_ms, now_ms);
    }

    pub(crate) fn credit_passes(
        &mut self,
        passes: &[(FlowId, Arc<P::Credits>)],
        samples: &[(Arc<Sample>, FlowKey)],
        pending: Traffic,
        used_ms: u64,
        now_ms: u64,
    ) {
        if pending.packets == 0 {
            return;
        }
        for (sample, flow) in samples {
            sample.sampler.sampled(flow, pending, now_ms.saturating_sub(used_ms));
        }
        for (id, credits) in passes {
            self.shared.pipeline.credit(credits, pending, now_ms);
            if let Some(flow) = self.flows.get_mut(*id) {
                flow.count_credited(pending, used_ms);
            }
        }
    }

    /// Forgets all flows, after their traffic is credited.
    pub fn flush(&mut self, now_ms: u64) {
        self.exact.invalidate();
        self.changes += 1;
        for index in 0..self.exact.fused_places() as u32 {
            if let Some(fused) = self.exact.retire(index, 0) {
                self.credit_fused(fused, now_ms);
            }
        }
        for index in 0..self.flows.places() as u32 {
            self.retire_flow(index, now_ms);
        }
    }

    pub(crate) fn retire_flow(&mut self, index: u32, now_ms: u64) {
        self.changes += 1;
        let Some(mut flow) = self.flows.remove(index) else { return };
        let pending = flow.take_pending();
        if pending.packets > 0 {
            self.shared.pipeline.credit(&flow.credits, pending, now_ms);
        }
    }
}
