//! `ct`: through the connection tracker, and on from a table with what it found out.

use super::Translator;
use hive_conntrack::{Choice, Helper, Nat, NatRange, Request};
use hive_flow::Field;
use hive_openflow::{Action, Conntrack, ConntrackZone, NatRange as Addresses};
use hive_program::Op;
use std::sync::Arc;

const PORT_FTP: u16 = 21;

fn nat(action: &hive_openflow::Nat) -> Nat {
    let addresses = action.addresses.map(|range| match range {
        Addresses::V4 { min, max } => (u128::from(min.to_bits()), u128::from(max.unwrap_or(min).to_bits())),
        Addresses::V6 { min, max } => (min.to_bits(), max.unwrap_or(min).to_bits()),
    });
    let range = NatRange {
        addresses,
        ports: action.port_min.map(|min| (min, action.port_max.unwrap_or(min))),
        choice: if action.flags.random { Choice::Random } else { Choice::Hash },
        persistent: action.flags.persistent,
    };
    match action.flags {
        flags if flags.source => Nat::Source(range),
        flags if flags.destination => Nat::Destination(range),
        _ => Nat::Existing,
    }
}

impl Translator<'_> {
    #[inline(never)]
    pub(super) fn conntrack(&mut self, action: &Conntrack) {
        if !super::fields::is_ip(&self.flow) {
            return self.note(|| "ct of a packet that is not of IP".to_owned());
        }
        self.commit();
        let changes = self.connection_changes(&action.actions);
        let zone = match action.zone {
            ConntrackZone::Number(zone) => zone,
            ConntrackZone::Field(field) => self.read(field) as u16,
        };
        let request = Request {
            zone,
            commit: action.commit,
            force: action.force,
            helper: (action.helper == PORT_FTP).then_some(Helper::Ftp),
            ..changes
        };
        self.ops.push(Op::Conntrack(Arc::new(request)));
        if let Some(table) = action.table {
            let conntracked = std::mem::replace(&mut self.conntracked, true);
            let frozen = self.frozen(table, Vec::new(), false);
            self.conntracked = conntracked;
            self.recirculate(frozen);
        }
        // What was found out is known in that table, and behind it, only.
        self.forget_connection();
        self.conntracked = false;
    }

    /// What `exec` sets of the connection, and how it is translated.
    fn connection_changes(&mut self, actions: &[Action]) -> Request {
        let fields = [Field::CtMark, Field::CtLabel];
        let old = fields.map(|field| (self.flow.get(field), self.mask.get(field)));
        for field in fields {
            self.mask.set(field, 0);
            self.flow.set(field, 0);
        }
        let mut translation = None;
        for action in actions {
            match action {
                Action::Nat(action) => translation = Some(nat(action)),
                Action::SetField { field, value, mask, .. } => self.write_field(*field, *value, *mask),
                Action::Move { source, destination, .. } if self.has(source.field) => {
                    let value = self.read(*source);
                    self.write(*destination, value, u128::MAX);
                }
                _ => {}
            }
        }
        let [mark, label] = fields.map(|field| (self.flow.get(field), self.mask.get(field)));
        for (field, (value, mask)) in fields.into_iter().zip(old) {
            self.flow.set(field, value);
            self.mask.set(field, mask);
        }
        let mark = (mark.1 != 0).then_some((mark.0 as u32, mark.1 as u32));
        Request { mark, label: (label.1 != 0).then_some(label), nat: translation, ..Request::default() }
    }
}
