//! What is done from time to time: credits are pushed, idle flows forgotten, a little in each go.

use crate::engine::Engine;
use hive_program::Pipeline;
use std::sync::Arc;

/// Every flow is looked at once in so many goes, [`STEP_MS`] apart: credits are pushed at least each 500 ms.
const STEPS: usize = 250;
const STEP_MS: u64 = 1;
/// Flows that a worker looks at for each burst that it takes: packets wait for it. Two microseconds; bursts are a few hundred in a go.
pub const SWEPT_BETWEEN_BURSTS: usize = 16;
/// Flows that a worker without packets looks at before it looks for packets again: a tenth of a millisecond.
pub const SWEPT_AT_LEISURE: usize = 1024;
/// With more flows than are wanted they are forgotten after so long (Open vSwitch's figure).
const IDLE_CROWDED_MS: u64 = 100;

/// What there is left to look after.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Nothing: it need not be asked for until there is traffic.
    Nothing,
    /// What is held: each 250 ms at least.
    Later,
    /// Some of what is due by now.
    Now,
}

#[derive(Debug, Default)]
pub(crate) struct Sweep {
    next_ms: u64,
    idle_ms: u64,
    flow: usize,
    fused: usize,
    /// What is left of the goes so far.
    flows_left: usize,
    fused_left: usize,
}

impl<P: Pipeline> Engine<P> {
    /// To be called often, at least each 10 ms while there is traffic, and otherwise as its answer says. Looks at `most` flows and fused
    /// ways: at least a half of that is for either, if there are so many.
    pub fn maintain(&mut self, now_ms: u64, most: usize) -> Left {
        self.follow_epoch(now_ms);
        let (flows, fused) = (self.flows.places(), self.exact.fused_places());
        if now_ms >= self.sweep.next_ms {
            let late = if self.sweep.next_ms == 0 { 0 } else { (now_ms - self.sweep.next_ms) / STEP_MS };
            self.sweep.next_ms = now_ms + STEP_MS;
            // What was left out is made up for.
            let steps = usize::try_from(late).unwrap_or(STEPS).saturating_add(1).min(STEPS);
            self.shared.tracker.expire(now_ms);
            let crowded = self.flows.len() >= self.settings.flows_max;
            self.sweep.idle_ms = if crowded { IDLE_CROWDED_MS } else { self.settings.idle_ms };
            let go = |left: usize, places: usize| (left + places.div_ceil(STEPS) * steps).min(places);
            self.sweep.fused_left = go(self.sweep.fused_left, fused);
            self.sweep.flows_left = go(self.sweep.flows_left, flows);
        }
        let idle_since_ms = now_ms.saturating_sub(self.sweep.idle_ms);
        let for_fused = most.saturating_sub(self.sweep.flows_left).max(most / 2);
        let of_fused = self.sweep.fused_left.min(for_fused);
        self.sweep.fused_left -= of_fused;
        for _ in 0..of_fused {
            self.sweep.fused = if self.sweep.fused + 1 < fused { self.sweep.fused + 1 } else { 0 };
            self.sweep_fused(self.sweep.fused as u32, idle_since_ms, now_ms);
        }
        let of_flows = self.sweep.flows_left.min(most - of_fused);
        self.sweep.flows_left -= of_flows;
        for _ in 0..of_flows {
            self.sweep.flow = if self.sweep.flow + 1 < flows { self.sweep.flow + 1 } else { 0 };
            self.sweep_flow(self.sweep.flow as u32, idle_since_ms, now_ms);
        }
        let holds = self.flows.len() > 0 || self.exact.fused_len() > 0;
        match self.sweep.fused_left + self.sweep.flows_left {
            1.. if holds => Left::Now,
            _ if holds || !self.shared.tracker.is_empty() => Left::Later,
            _ => Left::Nothing,
        }
    }

    /// Counts what went by fused ways with the flows that they are made of.
    pub(crate) fn credit_ways(&mut self, now_ms: u64) {
        for index in 0..self.exact.fused_places() as u32 {
            self.sweep_fused(index, 0, now_ms);
        }
    }

    fn sweep_fused(&mut self, index: u32, idle_since_ms: u64, now_ms: u64) {
        if let Some(fused) = self.exact.retire(index, idle_since_ms) {
            self.credit_fused(fused, now_ms);
            return;
        }
        let Some(fused) = self.exact.fused_mut(index).filter(|fused| fused.pending.packets > 0) else { return };
        let pending = std::mem::take(&mut fused.pending);
        let used_ms = fused.used_ms;
        // Lent, so that flows and pipeline can be reached.
        let (passes, samples) = (std::mem::take(&mut fused.rest.passes), std::mem::take(&mut fused.rest.samples));
        self.credit_passes(&passes, &samples, pending, used_ms, now_ms);
        if let Some(fused) = self.exact.fused_mut(index) {
            (fused.rest.passes, fused.rest.samples) = (passes, samples);
        }
    }

    fn sweep_flow(&mut self, index: u32, idle_since_ms: u64, now_ms: u64) {
        let Some(flow) = self.flows.at_mut(index) else { return };
        if flow.used_ms < idle_since_ms {
            self.retire_flow(index, now_ms);
            return;
        }
        let pending = flow.take_pending();
        if pending.packets > 0 {
            let credits = Arc::clone(&flow.credits);
            self.shared.pipeline.credit(&credits, pending, now_ms);
        }
    }
}
