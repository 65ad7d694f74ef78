//! What is sampled for flow logs: each packet once for the interface that sends it and once for the one that it is for, where it is
//! known what their security groups and network ACLs say of it. What the network itself answers meets neither, and is not logged, nor
//! is a packet that its sender forged.
//!
//! The switch counts by addresses and ports as they are there: those that the sender wrote, those that the receiver gets.

use super::Compiler;
use super::index::Local;
use crate::flow::register::{RECEIVER, SENDER};
use crate::flow::{Pattern, Table, again};
use crate::flow_log::{self, COLLECTOR_SET, DOMAIN, point};
use crate::source::{Direction, Source};
use hive_openflow::{Action, PortNo, Sample};

impl Compiler<'_> {
    fn is_logged(&self, local: &Local<'_>) -> bool {
        self.index.node.logged.contains(local.id)
    }

    /// Where a packet goes on that the sender's groups and network ACL let pass.
    pub(super) fn passed(&self) -> Table {
        if self.index.has_logs { Table::Passed } else { Table::NextHop }
    }

    /// What becomes of a packet that an interface's groups or network ACL do not let pass.
    pub(super) fn refused(&self, direction: Direction) -> Vec<Action> {
        let table = if direction == Direction::Egress { Table::RefusedOut } else { Table::RefusedIn };
        if self.index.has_logs { vec![Action::GotoTable(table.number())] } else { Vec::new() }
    }

    /// Nothing of an interface that is not logged.
    pub(super) fn sample(&self, local: Local<'_>, direction: Direction, action: flow_log::Action) -> Option<Action> {
        let sample = Sample {
            probability: u16::MAX,
            collector_set_id: COLLECTOR_SET,
            observation_domain_id: DOMAIN,
            observation_point_id: point(local.number, local.id, direction, action),
            sampling_port: PortNo::NONE,
            direction: 0,
            form: 1,
        };
        self.is_logged(&local).then_some(Action::Sample(sample))
    }

    pub(super) fn logs(&mut self) {
        if !self.index.has_logs {
            return;
        }
        for local in self.index.locals.clone() {
            let (number, source) = (local.number.0.into(), Source::Interface(local.id.clone()));
            if let Some(sample) = self.sample(local, Direction::Egress, flow_log::Action::Accept) {
                let actions = vec![sample, again(Table::NextHop)];
                self.add(Table::Passed, 100, Pattern::new().reg(SENDER, number), source.clone(), actions);
            }
            for (table, register, direction) in
                [(Table::RefusedOut, SENDER, Direction::Egress), (Table::RefusedIn, RECEIVER, Direction::Ingress)]
            {
                if let Some(sample) = self.sample(local, direction, flow_log::Action::Reject) {
                    self.add(table, 100, Pattern::new().reg(register, number), source.clone(), vec![sample]);
                }
            }
        }
        let others = Source::Table(Table::Passed);
        self.add(Table::Passed, 1, Pattern::new(), others, vec![again(Table::NextHop)]);
    }
}
