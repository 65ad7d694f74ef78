//! From one set of flows to another, and into a switch.

mod client;
mod programmer;

pub use client::{Client, ClientError};
pub use programmer::{Programmer, Report};

use crate::flow::{FlowBody, FlowKey, FlowSet};
use hive_openflow::{CookieMask, FlowCommand, FlowMod};

/// Changes in one bundle: what both the daemon and netd take at once. A first program of a whole node may be several, ordered so that
/// packets enter the tables last.
pub const BUNDLE_CHANGES_MAX: usize = 200_000;

/// The changes that make `to` of `from`: additions, from the last table to the first, then deletions, from the first to the last, so
/// that where they do not fit in one bundle no packet meets a table that is not there yet. A flow that stays keeps its counters.
pub fn difference(from: &FlowSet, to: &FlowSet) -> Vec<FlowMod> {
    let mut changes: Vec<_> = to
        .iter()
        .rev()
        .filter(|(key, body)| from.get(key) != Some(*body))
        .map(|(key, body)| addition(key, body))
        .collect();
    changes.extend(from.keys().filter(|key| !to.contains_key(key)).map(deletion));
    changes
}

fn addition(key: &FlowKey, body: &FlowBody) -> FlowMod {
    let mut change = FlowMod::add(key.matching.clone(), key.priority, body.actions.clone());
    change.table = key.table;
    change.new_cookie = Some(body.cookie);
    change
}

fn deletion(key: &FlowKey) -> FlowMod {
    let mut change = FlowMod::add(key.matching.clone(), key.priority, Vec::new());
    change.command = FlowCommand::DeleteStrict;
    change.table = key.table;
    change.new_cookie = None;
    change.cookie = CookieMask::default();
    change
}

/// What a switch does with changes, for who wants to know without one.
pub fn apply(flows: &mut FlowSet, changes: &[FlowMod]) {
    for change in changes {
        let key = FlowKey { table: change.table, priority: change.priority, matching: change.flow.clone() };
        match change.command {
            FlowCommand::Add => {
                let body = FlowBody { cookie: change.new_cookie.unwrap_or(0), actions: change.actions.clone() };
                flows.insert(key, body);
            }
            _ => drop(flows.remove(&key)),
        }
    }
}
