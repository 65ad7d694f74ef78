//! `learn`: flows that packets make.

use super::Translator;
use super::fields::ones;
use crate::credit::Other;
use hive_classifier::Versions;
use hive_flow::Match;
use hive_ofproto::{Bridge as Agent, Cookies, Flow};
use hive_openflow::{
    Action, CookieMask, FlowCommand, FlowFlags, FlowMod, GROUP_ANY, Learn, LearnDestination, LearnSource, NO_BUFFER,
    PortNo, SetForm, Subfield,
};
use std::sync::{Arc, Mutex, PoisonError};

/// A flow that is to be there, and to be refreshed by each packet.
#[derive(Debug)]
pub(crate) struct Learning {
    agent: Arc<Mutex<Agent>>,
    flows: Versions<Flow>,
    cookies: Cookies,
    flow_mod: FlowMod,
    /// The most flows of this cookie in that table; 0: no limit.
    limit: u32,
}

impl Learning {
    /// The same flow, if it is there.
    fn existing(&self) -> Option<Arc<Flow>> {
        let tables = self.flows.load();
        let rule = tables.table(self.flow_mod.table)?.get(&self.flow_mod.flow, self.flow_mod.priority)?;
        Some(rule.value().clone())
    }

    /// A modification would leave it as it is: that changes no timeouts. (Asked for all the same, each packet would change the tables.)
    fn is_same(&self, flow: &Flow) -> bool {
        Some(flow.cookie) == self.flow_mod.new_cookie && flow.actions == self.flow_mod.actions
    }

    /// Whether the flow is there, or could be.
    fn would_succeed(&self) -> bool {
        let FlowMod { table, new_cookie, .. } = self.flow_mod;
        let has_room = || self.cookies.flows(new_cookie.unwrap_or(0), table) < self.limit;
        self.limit == 0 || has_room() || self.existing().is_some()
    }

    /// Whether the flow is there already; its timeouts begin anew then.
    fn refresh(&self, now_ms: u64) -> bool {
        let same = self.existing().filter(|flow| self.is_same(flow));
        same.inspect(|flow| flow.usage.refresh(now_ms)).is_some()
    }

    /// Adds the flow, or refreshes it; whether it is there then.
    pub(crate) fn apply(&self, now_ms: u64) -> bool {
        if self.refresh(now_ms) {
            return true;
        }
        // Without the lock, so that a full table costs nobody else.
        self.would_succeed() && self.add(&mut self.agent.lock().unwrap_or_else(PoisonError::into_inner), now_ms)
    }

    fn add(&self, agent: &mut Agent, now_ms: u64) -> bool {
        // Others learn at the same time, also the same.
        if self.refresh(now_ms) {
            return true;
        }
        if !self.would_succeed() {
            return false;
        }
        match agent.change_flows(&self.flow_mod, now_ms) {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(?error, "flow not learned");
                false
            }
        }
    }
}

impl Translator<'_> {
    pub(super) fn learn(&mut self, learn: &Learn) {
        let flow_mod = self.learned_flow(learn);
        let learning = Learning {
            agent: self.bridge.agent.clone(),
            flows: self.bridge.flows.clone(),
            cookies: self.bridge.cookies.clone(),
            flow_mod,
            limit: learn.limit,
        };
        let there = if self.effects { learning.apply(self.now_ms) } else { learning.would_succeed() };
        if let Some(result) = learn.result {
            self.write(result, there.into(), u128::MAX);
        }
        self.others.push(Other::Learn(Box::new(learning)));
    }

    /// The bits of a source, looked at.
    fn learn_source(&mut self, source: &LearnSource) -> u128 {
        match source {
            LearnSource::Field(subfield) => self.read(*subfield),
            LearnSource::Immediate(bytes) => {
                bytes.iter().rev().take(16).rev().fold(0, |value, byte| value << 8 | u128::from(*byte))
            }
        }
    }

    fn learned_flow(&mut self, learn: &Learn) -> FlowMod {
        let mut flow = Match::default();
        let mut actions = Vec::new();
        for spec in &learn.specs {
            let value = self.learn_source(&spec.source);
            match spec.destination {
                LearnDestination::Match(destination) => {
                    for part in destination.parts() {
                        let bits = ones(part.bits);
                        flow.set(part.field, (value >> part.view_offset & bits) << part.offset, bits << part.offset);
                    }
                }
                LearnDestination::Load(Subfield { field, offset, bits }) => {
                    let mask = ones(bits.into()).checked_shl(offset.into()).unwrap_or(0);
                    let value = value.checked_shl(offset.into()).unwrap_or(0) & mask;
                    actions.push(Action::SetField { field, value, mask, form: SetForm::Load });
                }
                LearnDestination::Output => {
                    let port = PortNo(value as u16);
                    if port < PortNo::MAX
                        || matches!(port, PortNo::IN_PORT | PortNo::FLOOD | PortNo::LOCAL | PortNo::ALL)
                    {
                        actions.push(Action::Output { port, max_len: 0 });
                    }
                }
            }
        }
        if learn.fin_idle_timeout_s != 0 || learn.fin_hard_timeout_s != 0 {
            let fin = Action::FinTimeout { idle_s: learn.fin_idle_timeout_s, hard_s: learn.fin_hard_timeout_s };
            actions.insert(0, fin);
        }
        FlowMod {
            command: FlowCommand::ModifyStrict,
            table: learn.table,
            flow,
            priority: learn.priority,
            cookie: CookieMask::default(),
            new_cookie: Some(learn.cookie),
            idle_timeout_s: learn.idle_timeout_s,
            hard_timeout_s: learn.hard_timeout_s,
            importance: 0,
            buffer: NO_BUFFER,
            out_port: PortNo::NONE,
            out_group: GROUP_ANY,
            flags: FlowFlags { send_flow_removed: learn.flags.send_flow_removed, ..FlowFlags::default() },
            actions,
            nicira: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_ofproto::BridgeConfig;
    use hive_openflow::Desc;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Who waited for the lock while another learned the same finds it there: what was translated since stays.
    #[test]
    fn what_another_learned_meanwhile_is_not_learned_again() {
        let agent = Agent::new(BridgeConfig { datapath_id: 1, desc: Desc::default() });
        let (flows, cookies) = (agent.flows().clone(), agent.cookies().clone());
        let changes = Arc::new(AtomicU64::new(0));
        assert!(flows.count_publications(&changes));
        let agent = Arc::new(Mutex::new(agent));
        let learning = |number: u32, limit| {
            let mut flow = Match::default();
            flow.exactly(hive_flow::Field::PktMark, number.into());
            let flow_mod = FlowMod {
                command: FlowCommand::ModifyStrict,
                new_cookie: Some(9),
                ..FlowMod::add(flow, 1, vec![Action::Output { port: PortNo(1), max_len: 0 }])
            };
            let (agent, flows, cookies) = (agent.clone(), flows.clone(), cookies.clone());
            Learning { agent, flows, cookies, flow_mod, limit }
        };
        let (first, second) = (learning(1, 2), learning(2, 2));
        let mut locked = agent.lock().unwrap();
        assert!(first.add(&mut locked, 1) && first.add(&mut locked, 2));
        assert_eq!(changes.load(Ordering::Relaxed), 1);
        assert!(second.add(&mut locked, 3));
        assert!(!learning(3, 2).add(&mut locked, 4), "there are two");
        assert!(learning(3, 3).add(&mut locked, 5) && second.add(&mut locked, 6));
        assert_eq!((changes.load(Ordering::Relaxed), cookies.flows(9, 0)), (3, 3));
    }
}
