//! Flow tables, and changes of them (OFPT_FLOW_MOD) as Open vSwitch makes them.

use crate::cookies::Cookies;
use crate::flow::{Criteria, Flow, Usage, any_action};
use hive_classifier::{Conjunction, TABLES, Tables, Versions, Writer};
use hive_openflow::{Action, ErrorCode, FlowCommand, FlowMod, RemovedReason, TABLE_ALL};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Flows in one table, unless it is limited further: what Open vSwitch announces as its tables' size, and a bound of memory.
pub const FLOWS_MAX: u32 = 1_000_000;
/// Flows in all tables: without it a controller could have 254 million. The largest program known, a node's VPCs, has one million.
pub const FLOWS_TOTAL_MAX: usize = 4_000_000;

/// What happened to a flow.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Added(Arc<Flow>),
    /// In the place of one with the same match and priority.
    Replaced {
        old: Arc<Flow>,
        new: Arc<Flow>,
    },
    Modified {
        old: Arc<Flow>,
        new: Arc<Flow>,
    },
    Removed {
        flow: Arc<Flow>,
        reason: RemovedReason,
    },
}

impl Change {
    /// What was there, and what is there.
    fn flows(&self) -> (Option<&Flow>, Option<&Flow>) {
        match self {
            Self::Added(new) => (None, Some(new)),
            Self::Replaced { old, new } | Self::Modified { old, new } => (Some(old), Some(new)),
            Self::Removed { flow, .. } => (Some(flow), None),
        }
    }
}

/// All tables. Changes go into a draft, and into force together.
#[derive(Debug)]
pub(crate) struct FlowTables {
    versions: Versions<Flow>,
    writer: Writer<Flow>,
    /// What the draft has changed, in order.
    changes: Vec<Change>,
    /// Flows in force that have timeouts.
    timed: BTreeMap<u64, Arc<Flow>>,
    /// How many flows in force want the flows of this cookie and table to go when they go (`learn(delete_learned)`).
    learners: BTreeMap<(u64, u8), usize>,
    cookies: Cookies,
    limits: [u32; TABLES],
    total_max: usize,
    /// Flows of the draft.
    total: usize,
    next_id: u64,
}

impl FlowTables {
    pub fn new() -> Self {
        let (versions, writer) = Versions::new();
        let limits = [FLOWS_MAX; TABLES];
        Self {
            versions,
            writer,
            changes: Vec::new(),
            timed: BTreeMap::new(),
            learners: BTreeMap::new(),
            cookies: Cookies::default(),
            limits,
            total_max: FLOWS_TOTAL_MAX,
            total: 0,
            next_id: 0,
        }
    }

    pub fn versions(&self) -> &Versions<Flow> {
        &self.versions
    }

    pub fn cookies(&self) -> &Cookies {
        &self.cookies
    }

    pub fn set_limit(&mut self, table: u8, flows_max: u32) {
        if let Some(limit) = self.limits.get_mut(usize::from(table)) {
            *limit = flows_max.min(FLOWS_MAX);
        }
    }

    pub fn set_total_limit(&mut self, flows_max: usize) {
        self.total_max = flows_max.min(FLOWS_TOTAL_MAX);
    }

    pub fn limit(&self, table: u8) -> u32 {
        self.limits.get(usize::from(table)).copied().unwrap_or(0)
    }

    /// Puts a change into the draft. The caller has checked the actions.
    pub fn apply(&mut self, flow_mod: &FlowMod, now_ms: u64) -> Result<(), ErrorCode> {
        match flow_mod.command {
            FlowCommand::Add => self.add(flow_mod, now_ms),
            FlowCommand::Modify | FlowCommand::ModifyStrict => {
                let old = select(self.writer.draft(), &Criteria::of_mod(flow_mod));
                // Of versions whose modifications say a cookie, that is OpenFlow 1.0.
                if old.is_empty() && flow_mod.cookie.mask == 0 && flow_mod.new_cookie.is_some() {
                    return self.add(flow_mod, now_ms);
                }
                old.into_iter().try_for_each(|old| self.modify(old, flow_mod, now_ms))
            }
            FlowCommand::Delete | FlowCommand::DeleteStrict => {
                for flow in select(self.writer.draft(), &Criteria::of_mod(flow_mod)) {
                    self.remove(flow, RemovedReason::Delete);
                }
                Ok(())
            }
        }
    }

    fn add(&mut self, flow_mod: &FlowMod, now_ms: u64) -> Result<(), ErrorCode> {
        let number = if flow_mod.table == TABLE_ALL { 0 } else { flow_mod.table };
        let limit = self.limit(number);
        let table = self.writer.draft().table_mut(number).ok_or(ErrorCode::RequestBadTableId)?;
        let old = table.get(&flow_mod.flow, flow_mod.priority).map(|rule| rule.value().clone());
        if old.is_none() {
            if flow_mod.flags.check_overlap && table.overlapping(&flow_mod.flow, flow_mod.priority).is_some() {
                return Err(ErrorCode::FlowModOverlap);
            }
            if table.len() >= limit as usize || self.total >= self.total_max {
                return Err(ErrorCode::FlowModTableFull);
            }
        }
        let kept =
            old.as_ref().filter(|_| !flow_mod.flags.reset_counts).map(|old| (old.usage.packets(), old.usage.bytes()));
        let (packets, bytes) = kept.unwrap_or_default();
        self.next_id += 1;
        let new = Flow {
            id: old.as_ref().map_or(self.next_id, |old| old.id),
            table: number,
            matching: flow_mod.flow.clone(),
            priority: flow_mod.priority,
            cookie: flow_mod.new_cookie.unwrap_or(0),
            idle_timeout_s: flow_mod.idle_timeout_s,
            hard_timeout_s: flow_mod.hard_timeout_s,
            importance: flow_mod.importance,
            flags: flow_mod.flags,
            actions: flow_mod.actions.clone(),
            created_ms: now_ms,
            modified_ms: now_ms,
            usage: Arc::new(Usage::new(packets, bytes, now_ms)),
        };
        let new = self.put(new)?;
        self.changes.push(match old {
            Some(old) => Change::Replaced { old, new },
            None => {
                self.total += 1;
                Change::Added(new)
            }
        });
        Ok(())
    }

    fn modify(&mut self, old: Arc<Flow>, flow_mod: &FlowMod, now_ms: u64) -> Result<(), ErrorCode> {
        let usage = if flow_mod.flags.reset_counts {
            Arc::new(Usage::new(0, 0, old.usage.used_ms()))
        } else {
            old.usage.clone()
        };
        let new = Flow {
            id: old.id,
            table: old.table,
            matching: old.matching.clone(),
            priority: old.priority,
            cookie: flow_mod.new_cookie.unwrap_or(old.cookie),
            idle_timeout_s: old.idle_timeout_s,
            hard_timeout_s: old.hard_timeout_s,
            importance: old.importance,
            flags: old.flags,
            actions: flow_mod.actions.clone(),
            created_ms: old.created_ms,
            modified_ms: now_ms,
            usage,
        };
        let new = self.put(new)?;
        self.changes.push(Change::Modified { old, new });
        Ok(())
    }

    fn put(&mut self, new: Flow) -> Result<Arc<Flow>, ErrorCode> {
        let conjunctions: Vec<Conjunction> = new.actions.iter().filter_map(conjunction).collect();
        let new = Arc::new(new);
        let table = self.writer.draft().table_mut(new.table).ok_or(ErrorCode::RequestBadTableId)?;
        // Keys have no room for an option this far behind.
        let inserted = table.insert(&new.matching, new.priority, &conjunctions, new.clone());
        inserted.map_err(|_| ErrorCode::NxFlowModInvalidTlvField)?;
        Ok(new)
    }

    fn remove(&mut self, flow: Arc<Flow>, reason: RemovedReason) {
        if let Some(table) = self.writer.draft().table_mut(flow.table)
            && table.remove(&flow.matching, flow.priority).is_some()
        {
            self.total -= 1;
            self.changes.push(Change::Removed { flow, reason });
        }
    }

    /// Takes out of the draft all flows that are meant.
    pub fn remove_if(&mut self, reason: RemovedReason, meant: impl Fn(&Flow) -> bool) {
        let draft = self.writer.draft();
        let tables = (0..=TABLE_ALL).filter_map(|number| draft.table(number));
        let flows: Vec<_> = tables.flat_map(|table| table.iter()).map(|rule| rule.value()).cloned().collect();
        flows.into_iter().filter(|flow| meant(flow)).for_each(|flow| self.remove(flow, reason));
    }

    /// Takes out of the draft what has outlived its timeouts.
    pub fn expire(&mut self, now_ms: u64) {
        let expired = self.timed.values().filter_map(|flow| {
            let (end_ms, idle) = flow.expiry()?;
            let reason = if idle { RemovedReason::IdleTimeout } else { RemovedReason::HardTimeout };
            (end_ms <= now_ms).then(|| (flow.clone(), reason))
        });
        for (flow, reason) in expired.collect::<Vec<_>>() {
            self.remove(flow, reason);
        }
    }

    /// When a flow may expire first.
    pub fn next_expiry_ms(&self) -> Option<u64> {
        self.timed.values().filter_map(|flow| flow.expiry()).map(|(end_ms, _)| end_ms).min()
    }

    /// Puts the draft into force; tells what is different.
    pub fn commit(&mut self) -> Vec<Change> {
        let mut all = Vec::new();
        // What is deleted because its learner went may have been a learner itself.
        while !self.changes.is_empty() {
            self.writer.publish();
            let changes = std::mem::take(&mut self.changes);
            for (old, new) in changes.iter().map(Change::flows) {
                self.cookies.follow(old, new);
            }
            self.follow_timeouts(&changes);
            for (table, cookies) in self.follow_learners(&changes) {
                let rules = self.writer.draft().table(table).into_iter().flat_map(|table| table.iter());
                let learned: Vec<_> =
                    rules.map(|rule| rule.value()).filter(|flow| cookies.contains(&flow.cookie)).cloned().collect();
                learned.into_iter().for_each(|flow| self.remove(flow, RemovedReason::Delete));
            }
            all.extend(changes);
        }
        all
    }

    /// Counts learners; the cookies that lost their last one, by table, so that each table is looked through once.
    fn follow_learners(&mut self, changes: &[Change]) -> BTreeMap<u8, BTreeSet<u64>> {
        let mut lost = Vec::new();
        for (old, new) in changes.iter().map(Change::flows) {
            for learned in new.map(learned_by).into_iter().flatten() {
                *self.learners.entry(learned).or_default() += 1;
            }
            for learned in old.map(learned_by).into_iter().flatten() {
                let Some(count) = self.learners.get_mut(&learned) else { continue };
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.learners.remove(&learned);
                    lost.push(learned);
                }
            }
        }
        lost.retain(|learned| !self.learners.contains_key(learned));
        let mut by_table: BTreeMap<u8, BTreeSet<u64>> = BTreeMap::new();
        for (cookie, table) in lost {
            by_table.entry(table).or_default().insert(cookie);
        }
        by_table
    }

    fn follow_timeouts(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::Added(flow) | Change::Replaced { new: flow, .. } | Change::Modified { new: flow, .. }
                    if flow.may_expire() =>
                {
                    self.timed.insert(flow.id, flow.clone());
                }
                Change::Added(_) => {}
                Change::Replaced { new: flow, .. }
                | Change::Modified { new: flow, .. }
                | Change::Removed { flow, .. } => {
                    self.timed.remove(&flow.id);
                }
            }
        }
    }

    pub fn abandon(&mut self) {
        if !self.changes.is_empty() {
            self.writer.abandon();
            self.changes.clear();
            let draft = self.writer.draft();
            self.total = (0..=TABLE_ALL).filter_map(|number| draft.table(number)).map(|table| table.len()).sum();
        }
    }
}

/// Cookies and tables of flows that a flow's `learn(delete_learned)` makes.
fn learned_by(flow: &Flow) -> Vec<(u64, u8)> {
    let found = std::cell::RefCell::new(Vec::new());
    any_action(&flow.actions, &|action| {
        if let Action::Learn(learn) = action
            && learn.flags.delete_learned
        {
            found.borrow_mut().push((learn.cookie, learn.table));
        }
        false
    });
    found.into_inner()
}

fn conjunction(action: &Action) -> Option<Conjunction> {
    match *action {
        Action::Conjunction { id, clause, clauses } => Some(Conjunction { id, clause, clauses }),
        _ => None,
    }
}

pub(crate) fn select(tables: &Tables<Flow>, criteria: &Criteria<'_>) -> Vec<Arc<Flow>> {
    let numbers = if criteria.table == TABLE_ALL { 0..=TABLE_ALL } else { criteria.table..=criteria.table };
    let mut flows = Vec::new();
    for table in numbers.filter_map(|number| tables.table(number)) {
        let meant = |flow: &&Arc<Flow>| criteria.agrees(flow);
        match criteria.strict {
            Some(priority) => {
                let rule = table.get(criteria.matching, priority);
                flows.extend(rule.map(|rule| rule.value()).filter(meant).cloned());
            }
            None => flows.extend(table.within(criteria.matching).map(|rule| rule.value()).filter(meant).cloned()),
        }
    }
    flows
}
