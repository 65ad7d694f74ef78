//! Lists of actions.

use super::Translator;
use super::table::Search;
use hive_flow::{Field, Key};
use hive_openflow::{Action, PacketInReason, PortNo, Subfield};
use hive_program::{MeterId, Op, SAMPLED_FIELDS};
use std::sync::Arc;

/// Whether what the operation does to a packet cannot be undone by other operations.
fn is_lasting(op: &Op) -> bool {
    matches!(op, Op::Conntrack(_) | Op::CtClear | Op::Meter(_) | Op::IfLarger { .. })
}

impl Translator<'_> {
    pub(crate) fn note(&mut self, text: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.note(text());
        }
    }

    pub(super) fn in_port(&self) -> PortNo {
        PortNo(self.flow.get_u64(Field::InPort) as u16)
    }

    /// Carries out a list. `last`: nothing is done with the packet afterwards. `bucket`: a group's.
    pub(super) fn actions(&mut self, actions: &[Action], last: bool, bucket: bool) {
        for (at, action) in actions.iter().enumerate() {
            if self.error.is_some() || !self.step(1) {
                return;
            }
            if self.was_mpls && !self.exit && super::mpls::needs_inner(action) {
                self.freeze_recirculate(None);
            }
            let rest = actions.get(at..).unwrap_or_default();
            if self.exit {
                if self.is_freezing() {
                    self.unroll(rest);
                }
                return;
            }
            let behind = rest.get(1..).unwrap_or_default();
            let outer_last = last;
            let last = last && behind.is_empty() && self.action_set.is_empty();
            if let Action::CheckPktLarger { length_bytes, destination } = action {
                return self.check_larger(*length_bytes, *destination, behind, outer_last, bucket);
            }
            if let Some(trace) = &mut self.trace {
                trace.action(action);
            }
            if !self.action(action, last, bucket) {
                return;
            }
            if self.error.is_none() && self.exit && self.is_freezing() {
                self.unroll(if self.froze_here() { rest } else { behind });
                return;
            }
        }
    }

    /// False: the rest of the list is not carried out.
    fn action(&mut self, action: &Action, last: bool, bucket: bool) -> bool {
        match action {
            Action::Output { port, max_len } => self.output(*port, *max_len, last, bucket),
            Action::Resubmit(resubmit) => {
                let in_port = if resubmit.port == PortNo::IN_PORT { self.in_port() } else { resubmit.port };
                let table = if resubmit.table == u8::MAX { self.table } else { resubmit.table };
                let original_tuple = resubmit.conntrack;
                self.search(Search { in_port, table, may_packet_in: false, original_tuple, last });
            }
            Action::GotoTable(table) => {
                let (in_port, table) = (self.in_port(), *table);
                let search = Search { in_port, table, may_packet_in: true, original_tuple: false, last };
                self.search(search);
            }
            Action::Group(group) => self.group(*group, last),
            Action::Clone(actions) => self.clone_actions(actions, last, bucket),
            Action::Conntrack(conntrack) => self.conntrack(conntrack),
            _ => return self.small_action(action, last, bucket),
        }
        true
    }

    /// Those that lead nowhere else; apart, so that searches within searches take little of a thread's stack.
    #[inline(never)]
    fn small_action(&mut self, action: &Action, last: bool, bucket: bool) -> bool {
        match action {
            Action::OutputReg { source, max_len, .. } => {
                let port = self.read(*source);
                if let Ok(port) = u16::try_from(port) {
                    self.output(PortNo(port), *max_len, last, bucket);
                }
            }
            Action::OutputTrunc { port, max_len } => self.output_truncated(*port, *max_len, last, bucket),
            Action::Controller(controller) if controller.pause => self.freeze_pause(controller),
            Action::Controller(controller) => {
                let reason = match controller.reason {
                    hive_openflow::REASON_ACTION => PacketInReason::Action,
                    0 => PacketInReason::NoMatch,
                    2 => PacketInReason::InvalidTtl,
                    other => PacketInReason::Other(other),
                };
                self.commit();
                self.punt_controller(controller, reason, None);
            }
            Action::Enqueue { port, queue } => self.enqueue(*port, *queue, last),
            Action::SetQueue(queue) => self.set(Field::SkbPriority, (*queue).into()),
            Action::PopQueue => {
                let original = self.original.get(Field::SkbPriority);
                self.set(Field::SkbPriority, original);
            }
            Action::Bundle(bundle) => self.bundle(bundle, last, bucket),
            Action::Multipath(multipath) => self.multipath(multipath),
            Action::Move { source, destination, .. } => {
                if self.has(source.field) && self.has(destination.field) {
                    let value = self.read(*source);
                    self.write(*destination, value, u128::MAX);
                }
            }
            Action::SetField { field, value, mask, .. } => self.write_field(*field, *value, *mask),
            Action::StackPush(source) => {
                let pushed = crate::frozen::Pushed { value: self.read(*source), bits: source.bits };
                self.stack.push(pushed);
            }
            Action::StackPop(destination) => match self.stack.pop() {
                Some(pushed) => self.write(*destination, pushed.value, u128::MAX),
                None => self.note(|| "attempting to pop from an empty stack".to_owned()),
            },
            Action::DecTtl(ids) => return self.dec_ttl(ids.as_deref().unwrap_or(&[0])),
            Action::DecMplsTtl => return self.dec_mpls_ttl(),
            Action::PushMpls(ether_type) => self.push_mpls(*ether_type),
            Action::PopMpls(ether_type) => self.pop_mpls(*ether_type),
            Action::SetVlanVid { vid, push } => self.set_vlan(*vid, 0xfff, *push),
            Action::SetVlanPcp { pcp, push } => self.set_vlan(u16::from(*pcp) << 13, 0xe000, *push),
            Action::PopVlan => self.pop_vlan(),
            Action::PushVlan(tpid) => self.push_vlan(*tpid),
            Action::SetHeader { field, value } => self.set_header(*field, *value),
            Action::Learn(learn) => self.learn(learn),
            Action::Exit => self.exit = true,
            Action::FinTimeout { idle_s, hard_s } => self.fin_timeout(*idle_s, *hard_s),
            Action::CtClear => {
                if self.conntracked {
                    self.conntracked = false;
                    self.forget_connection();
                    self.ops.push(Op::CtClear);
                }
            }
            Action::DeleteField(field) => self.write_field(*field, 0, u128::MAX),
            Action::Meter(meter) => {
                let id = MeterId { bridge: self.bridge.id, meter: *meter };
                self.ops.push(Op::Meter(id));
            }
            Action::ClearActions => {
                self.action_set.clear();
                self.action_set_has_group = false;
                self.flow.set(Field::ActsetOutput, PortNo::UNSET.0.into());
            }
            Action::WriteActions(actions) => self.write_actions(actions),
            Action::WriteMetadata { value, mask } => {
                let old = self.flow.get_u64(Field::Metadata);
                self.flow.set(Field::Metadata, u128::from(old & !mask | value & mask));
            }
            Action::Sample(sample) => self.sample(sample),
            // They do nothing at all, or are no list's of their own.
            Action::Note(_) | Action::Conjunction { .. } | Action::Nat(_) => {}
            Action::Output { .. }
            | Action::Resubmit(_)
            | Action::GotoTable(_)
            | Action::Group(_)
            | Action::Clone(_)
            | Action::Conntrack(_)
            | Action::CheckPktLarger { .. } => {}
        }
        true
    }

    /// Counts the packet with its flow for the collectors of a set; nothing if the bridge has no such set, as in Open vSwitch.
    fn sample(&mut self, sample: &hive_openflow::Sample) {
        let Some(sampler) = self.bridge.settings.samplers.get(&sample.collector_set_id) else { return };
        self.commit();
        for field in SAMPLED_FIELDS {
            self.mask.add_all(field);
        }
        self.ops.push(Op::Sample(Arc::new(hive_program::Sample {
            sampler: sampler.clone(),
            probability: sample.probability,
            collector_set: sample.collector_set_id,
            domain: sample.observation_domain_id,
            point: sample.observation_point_id,
            direction: sample.direction,
        })));
    }

    /// Into the action set.
    pub(super) fn write_actions(&mut self, actions: &[Action]) {
        if !self.step(actions.len()) {
            return;
        }
        for action in actions {
            if self.action_set_has_group {
                break;
            }
            match action {
                Action::Output { port, .. } => self.flow.set(Field::ActsetOutput, port.0.into()),
                Action::Group(_) => {
                    self.flow.set(Field::ActsetOutput, PortNo::UNSET.0.into());
                    self.action_set_has_group = true;
                }
                _ => {}
            }
        }
        self.action_set.extend_from_slice(actions);
    }

    /// On a packet of its own: whatever `run` does, the pipeline's state is as before. `last`: nothing is done with the packet afterwards.
    ///
    /// Most of what it does to the packet the next commit undoes; only what cannot be undone needs a copy of the packet.
    #[inline(never)]
    pub(super) fn on_a_copy(&mut self, last: bool, run: impl FnOnce(&mut Self)) {
        let (flow, base) = (Box::new(self.flow), Box::new(self.base));
        let (stack, action_set) = (self.stack.clone(), self.action_set.clone());
        let has_group = self.action_set_has_group;
        let (conntracked, was_mpls, exit) = (self.conntracked, self.was_mpls, self.exit);
        let (start, tunnel) = (self.ops.len(), self.last_tunnel.clone());
        run(self);
        let own = self.ops.get(start..).unwrap_or_default();
        if !last && own.iter().any(is_lasting) {
            let own: Arc<[Op]> = self.ops.drain(start..).collect();
            self.ops.push(Op::Clone(own));
            self.base = *base;
            self.last_tunnel = tunnel;
        }
        self.conntracked = conntracked;
        self.was_mpls = was_mpls;
        self.exit = exit;
        self.stack = stack;
        self.action_set = action_set;
        self.action_set_has_group = has_group;
        self.flow = *flow;
    }

    /// `clone`. An `exit` in it ends the whole list, as in Open vSwitch.
    fn clone_actions(&mut self, actions: &[Action], last: bool, bucket: bool) {
        if !self.check_resources() {
            return;
        }
        self.nested += 1;
        let mut exit = false;
        self.on_a_copy(last, |this| {
            this.actions(actions, last, bucket);
            exit = this.exit && !this.is_freezing();
            this.run_action_set();
        });
        self.exit |= exit;
        self.nested -= 1;
    }

    /// What comes behind is carried out twice: for larger packets, and for others.
    #[inline(never)]
    fn check_larger(&mut self, length_bytes: u16, destination: Subfield, behind: &[Action], last: bool, bucket: bool) {
        if !self.check_resources() {
            return;
        }
        self.nested += 1;
        self.commit();
        let base = Box::new(self.base);
        let before = std::mem::take(&mut self.ops);
        let tunnel = self.last_tunnel.clone();
        let branch = |this: &mut Self, larger: bool| {
            let flow: Box<Key> = Box::new(this.flow);
            let (stack, action_set) = (this.stack.clone(), this.action_set.clone());
            let has_group = this.action_set_has_group;
            let (conntracked, was_mpls, exit) = (this.conntracked, this.was_mpls, this.exit);
            this.write(destination, larger.into(), u128::MAX);
            this.note(|| format!("check_pkt_larger: {}", if larger { "larger" } else { "not larger" }));
            this.actions(behind, true, bucket);
            this.run_action_set();
            this.conntracked = conntracked;
            this.was_mpls = was_mpls;
            this.exit = exit;
            this.stack = stack;
            this.action_set = action_set;
            this.action_set_has_group = has_group;
            this.flow = *flow;
            this.base = *base;
            this.last_tunnel.clone_from(&tunnel);
            std::mem::take(&mut this.ops)
        };
        let then = branch(self, true);
        let otherwise = branch(self, false);
        self.nested -= 1;
        self.ops = before;
        // The packet came out of both as it went in, as far as those behind see.
        if self.error.is_none() && !(then.is_empty() && otherwise.is_empty()) {
            let op = Op::IfLarger { bytes: length_bytes, then: then.into(), otherwise: otherwise.into() };
            self.ops.push(if last { op } else { Op::Clone(Arc::new([op])) });
        }
    }
}
