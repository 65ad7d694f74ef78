//! Brings the database's status columns to what the switch reports: least change, bounded rate.

use crate::datum::{Atom, Datum};
use crate::replica::{Replica, Row};
use crate::schema::Schema;
use crate::snapshot::{Configuration, Version};
use crate::status::{BridgeStatus, Columns, ControllerStatus, InterfaceStatus, Pace, PortStatus, Status};
use crate::table::Table;
use crate::transaction::{Operation, Outcome, Reference};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Between writes of state that changed on its own; ovs-vswitchd's interval.
const STATE_INTERVAL: Duration = Duration::from_millis(100);
/// Between writes of counters: ovs-vswitchd's least, which `other_config:stats-update-interval` may raise.
const MIN_STATISTICS_INTERVAL: Duration = Duration::from_secs(5);
const MAX_STATISTICS_INTERVAL: Duration = Duration::from_secs(3600);
/// After a transaction that failed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// A transaction carries this many rows; the rest follows in the next. One of ten thousand rows stays below a message's limit.
const MAX_ROWS: usize = 10_000;

#[derive(Debug, Default)]
struct Complaint {
    error: Vec<String>,
    warning: Vec<String>,
}

#[derive(Debug, Default)]
pub struct Writer {
    status: Option<Status>,
    applied: Option<Version>,
    /// Older configurations were another database's, or are gone.
    valid_from: u64,
    /// What is wrong with rows, and the rows that had something wrong before.
    complaints: BTreeMap<(Table, Uuid), Complaint>,
    cleared: BTreeSet<(Table, Uuid)>,
    statistics_interval: Duration,
    state_dirty: bool,
    statistics_dirty: bool,
    state_written: Option<Instant>,
    statistics_written: Option<Instant>,
    retry_at: Option<Instant>,
}

impl Writer {
    /// Takes the switch's newest report.
    pub fn report(&mut self, status: Status) {
        if let Some(applied) = status.applied
            && self.applied.is_none_or(|before| before.generation <= applied.generation)
        {
            self.applied = Some(applied);
        }
        self.status = Some(status);
        self.touch();
    }

    /// Takes the configuration that was handed out. With `fresh`, reports on older ones say nothing of this database.
    pub fn configured(&mut self, configuration: &Configuration, generation: u64, fresh: bool) {
        if fresh {
            self.valid_from = generation;
        }
        let interval = configuration.open_vswitch.other_config.number("stats-update-interval").unwrap_or(0);
        self.statistics_interval =
            Duration::from_millis(interval).clamp(MIN_STATISTICS_INTERVAL, MAX_STATISTICS_INTERVAL);
        let before = std::mem::take(&mut self.complaints);
        for problem in &configuration.problems {
            let complaint = self.complaints.entry((problem.table, problem.row)).or_default();
            let list = if problem.refused { &mut complaint.error } else { &mut complaint.warning };
            list.push(problem.message.clone());
        }
        self.cleared.extend(before.into_keys());
        self.cleared.retain(|row| !self.complaints.contains_key(row));
        self.touch();
    }

    /// The database may differ from what was written.
    pub fn touch(&mut self) {
        self.state_dirty = true;
        self.statistics_dirty = true;
    }

    /// Takes the end of a transaction.
    pub fn finished(&mut self, outcome: &Outcome, now: Instant) {
        if *outcome != Outcome::Committed {
            self.touch();
            self.retry_at = Some(now + RETRY_INTERVAL);
        }
    }

    /// When there may be something to write.
    pub fn due(&self, replica: &Replica, now: Instant) -> Option<Instant> {
        self.status.as_ref()?;
        let after = |written: Option<Instant>, interval: Duration| written.map_or(now, |written| written + interval);
        let state = self.state_dirty.then(|| match self.cur_cfg(replica) {
            Some(_) => now,
            None => after(self.state_written, STATE_INTERVAL),
        });
        let statistics = self.statistics_dirty.then(|| after(self.statistics_written, self.statistics_interval));
        let due = [state, statistics].into_iter().flatten().min()?;
        Some(self.retry_at.map_or(due, |retry| due.max(retry)))
    }

    /// `cur_cfg`, if the database has another.
    fn cur_cfg(&self, replica: &Replica) -> Option<i64> {
        let applied = self.applied.filter(|applied| applied.generation >= self.valid_from)?;
        let (_, row) = replica.rows(Table::OpenVSwitch).next()?;
        (row.integer("cur_cfg") != applied.next_cfg).then_some(applied.next_cfg)
    }

    /// The transaction that is due; empty if the database is as it should be. A newly applied configuration goes out at once and with
    /// everything known about it, since who waits for it looks at the rest then.
    pub fn plan(&mut self, replica: &Replica, schema: &Schema, now: Instant) -> Vec<Operation> {
        let Some(status) = &self.status else { return Vec::new() };
        let cur_cfg = self.cur_cfg(replica);
        let paced = self.statistics_written.is_none_or(|written| now >= written + self.statistics_interval);
        let statistics = cur_cfg.is_some() || (self.statistics_dirty && paced);
        let mut plan = Plan { replica, schema, statistics, operations: Vec::new(), full: false };
        plan.rows(status, &self.complaints, &self.cleared);
        plan.datapaths(status);
        // Only together with the last of what it stands for.
        plan.open_vswitch(status, cur_cfg.filter(|_| !plan.full));
        let Plan { operations, full, .. } = plan;
        self.retry_at = None;
        self.state_dirty = full;
        if !full {
            self.cleared.clear();
        }
        if !operations.is_empty() {
            self.state_written = Some(now);
        }
        if statistics {
            self.statistics_dirty = full;
            self.statistics_written = Some(now);
        }
        operations
    }

    /// What a switch takes back when it ends: its datapaths, or their capabilities where others have put something into the row.
    pub fn farewell(&self, replica: &Replica) -> Vec<Operation> {
        let (Some(status), Some((root, row))) = (&self.status, replica.rows(Table::OpenVSwitch).next()) else {
            return Vec::new();
        };
        let mut operations = Vec::new();
        for (kind, id) in linked_datapaths(row).filter(|(kind, _)| status.datapaths.contains_key(*kind)) {
            let Some(datapath) = replica.row(Table::Datapath, id) else { continue };
            let empty = || Datum::Map(BTreeMap::new());
            let others = ["ct_zones", "external_ids"];
            if others.iter().all(|column| datapath.pairs(column).next().is_none()) {
                let columns = others.iter().map(|column| (*column, empty())).collect();
                operations.push(Operation::Wait { table: Table::Datapath, row: id, columns });
                let (table, column) = (Table::OpenVSwitch, "datapaths");
                operations.push(Operation::RemoveFromMap { table, row: root, column, key: kind.to_owned() });
            } else {
                let columns = BTreeMap::from([("capabilities", empty())]);
                operations.push(Operation::Update { table: Table::Datapath, row: id, columns });
            }
        }
        operations
    }
}

fn linked_datapaths(open_vswitch: &Row) -> impl Iterator<Item = (&str, Uuid)> {
    open_vswitch.pairs("datapaths").filter_map(|(kind, id)| match (kind, id) {
        (Atom::String(kind), Atom::Uuid(id)) => Some((kind.as_str(), *id)),
        _ => None,
    })
}

/// A transaction in the making.
struct Plan<'a> {
    replica: &'a Replica,
    schema: &'a Schema,
    /// Counters go along.
    statistics: bool,
    operations: Vec<Operation>,
    /// There was more than one transaction carries.
    full: bool,
}

impl Plan<'_> {
    /// What `columns` differ in from the row, those that the server does not have left out.
    fn changes(&self, table: Table, row: &Row, columns: Columns) -> BTreeMap<&'static str, Datum> {
        let paced = columns.into_iter().filter(|(_, pace, _)| self.statistics || *pace == Pace::State);
        let changed = paced.filter(|(column, _, wanted)| match self.schema.column(table.name(), column) {
            Some(kind) => *row.get(column).unwrap_or(&Datum::default_of(kind)) != *wanted,
            None => false,
        });
        changed.map(|(column, _, wanted)| (column, wanted)).collect()
    }

    fn row(&mut self, table: Table, id: Uuid, columns: Columns) {
        let Some(row) = self.replica.row(table, id) else { return };
        let columns = self.changes(table, row, columns);
        if columns.is_empty() {
            return;
        }
        if self.operations.len() >= MAX_ROWS {
            self.full = true;
            return;
        }
        self.operations.push(Operation::Update { table, row: id, columns });
    }

    fn rows(
        &mut self,
        status: &Status,
        complaints: &BTreeMap<(Table, Uuid), Complaint>,
        cleared: &BTreeSet<(Table, Uuid)>,
    ) {
        let complaint = |table, id| complaints.get(&(table, id));
        for (id, bridge) in &status.bridges {
            let mut bridge = bridge.clone();
            tell(complaint(Table::Bridge, id.0), &mut bridge.status);
            self.row(Table::Bridge, id.0, bridge.columns());
        }
        for (id, port) in &status.ports {
            let mut port = port.clone();
            tell(complaint(Table::Port, id.0), &mut port.status);
            self.row(Table::Port, id.0, port.columns());
        }
        for (id, interface) in &status.interfaces {
            match complaint(Table::Interface, id.0) {
                Some(complaint) if !complaint.error.is_empty() => {}
                complaint => {
                    let mut interface = interface.clone();
                    tell(complaint, &mut interface.status);
                    self.row(Table::Interface, id.0, interface.columns());
                }
            }
        }
        for (id, controller) in &status.controllers {
            self.row(Table::Controller, id.0, controller.columns());
        }
        for (id, mirror) in &status.mirrors {
            self.row(Table::Mirror, id.0, mirror.columns());
        }
        // Rows that the switch knows nothing of, because they were refused.
        let known = |table, id| match table {
            Table::Bridge => status.bridges.contains_key(&crate::snapshot::BridgeId(id)),
            Table::Port => status.ports.contains_key(&crate::snapshot::PortId(id)),
            _ => false,
        };
        let none = Complaint::default();
        let cleared = cleared.iter().map(|row| (row, &none));
        for (&(table, id), complaint) in complaints.iter().chain(cleared) {
            if !known(table, id) {
                self.complain(table, id, complaint);
            }
        }
    }

    fn complain(&mut self, table: Table, id: Uuid, complaint: &Complaint) {
        let mut map = BTreeMap::new();
        tell(Some(complaint), &mut map);
        let failed = !complaint.error.is_empty();
        let columns = match table {
            Table::Bridge => BridgeStatus { status: map, ..Default::default() }.columns(),
            Table::Port => PortStatus { status: map, ..Default::default() }.columns(),
            Table::Interface if failed => InterfaceStatus::failed(complaint.error.join("; ")).columns(),
            Table::Controller if failed => {
                let status = BTreeMap::from([("last_error".to_owned(), complaint.error.join("; "))]);
                ControllerStatus { status, ..Default::default() }.columns()
            }
            _ => return,
        };
        self.row(table, id, columns);
    }

    fn open_vswitch(&mut self, status: &Status, cur_cfg: Option<i64>) {
        let Some((id, _)) = self.replica.rows(Table::OpenVSwitch).next() else { return };
        let mut columns = status.open_vswitch.columns();
        columns.extend(cur_cfg.map(|cur_cfg| ("cur_cfg", Pace::State, Datum::integer(cur_cfg))));
        self.row(Table::OpenVSwitch, id, columns);
    }

    fn datapaths(&mut self, status: &Status) {
        let Some((root, row)) = self.replica.rows(Table::OpenVSwitch).next() else { return };
        let linked: BTreeMap<&str, Uuid> = linked_datapaths(row).collect();
        for (n, (kind, datapath)) in status.datapaths.iter().enumerate() {
            if let Some(id) = linked.get(kind.as_str()) {
                self.row(Table::Datapath, *id, vec![("capabilities", Pace::State, datapath.capabilities())]);
                continue;
            }
            if self.schema.column(Table::Datapath.name(), "capabilities").is_none() {
                continue;
            }
            let name = format!("datapath{n}");
            let columns = BTreeMap::from([
                ("datapath_version", Datum::string(&datapath.version)),
                ("capabilities", datapath.capabilities()),
            ]);
            self.operations.push(Operation::Insert { table: Table::Datapath, name: name.clone(), columns });
            self.operations.push(Operation::AddToMap {
                table: Table::OpenVSwitch,
                row: root,
                column: "datapaths",
                key: kind.clone(),
                value: Reference::New(name),
            });
        }
    }
}

/// Adds what is wrong to a `status` column.
fn tell(complaint: Option<&Complaint>, status: &mut BTreeMap<String, String>) {
    let Some(complaint) = complaint else { return };
    for (key, messages) in [("error", &complaint.error), ("warning", &complaint.warning)] {
        if !messages.is_empty() {
            status.insert(key.to_owned(), messages.join("; "));
        }
    }
}

#[cfg(test)]
mod tests;
