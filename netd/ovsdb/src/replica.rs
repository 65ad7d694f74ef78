//! The client's copy of the monitored tables, and how `update2`/`update3` change it (ovsdb-server(7)).

use crate::datum::{Atom, Datum, TypeMismatch};
use crate::schema::{ColumnType, Schema};
use crate::table::{Direction, Table};
use serde_json::Value;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Rows of all tables together: some ten thousand ports, ten times what a node has.
pub const MAX_ROWS: usize = 1 << 16;
/// Memory for what the rows hold. A port with its statistics takes about 8 KiB.
pub const MAX_BYTES: usize = 256 << 20;

/// Why an update cannot be followed. The replica is then of no use, and is fetched anew.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicaError {
    #[error("an update is not an object of tables, rows and changes")]
    Shape,
    #[error("an update of table {0:?}, which is not monitored")]
    UnknownTable(String),
    #[error("an update of {table}.{column:?}, which is not monitored")]
    UnknownColumn { table: &'static str, column: String },
    #[error("{table}.{column}: {source}")]
    Type { table: &'static str, column: &'static str, source: TypeMismatch },
    #[error("a change of a row of {0} that is not there, or an insertion of one that is")]
    Row(&'static str),
    #[error("more than {MAX_ROWS} rows")]
    TooManyRows,
    #[error("rows take more than {MAX_BYTES} bytes")]
    TooLarge,
}

/// The cells of a row that differ from their defaults.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row(BTreeMap<&'static str, Datum>);

#[derive(Debug, Clone, Default)]
pub struct Replica {
    tables: BTreeMap<Table, BTreeMap<Uuid, Row>>,
    rows: usize,
    bytes: usize,
}

impl Replica {
    pub fn rows(&self, table: Table) -> impl Iterator<Item = (Uuid, &Row)> {
        self.tables.get(&table).into_iter().flatten().map(|(id, row)| (*id, row))
    }

    pub fn row(&self, table: Table, id: Uuid) -> Option<&Row> {
        self.tables.get(&table)?.get(&id)
    }

    /// Rows, and bytes they take, about.
    pub fn size(&self) -> (usize, usize) {
        (self.rows, self.bytes)
    }

    /// Follows `<table-updates2>`. Says whether a column of the configuration changed, or a row came or went.
    pub fn apply(&mut self, updates: &Value, schema: &Schema) -> Result<bool, ReplicaError> {
        let mut configuration = false;
        for (name, rows) in updates.as_object().ok_or(ReplicaError::Shape)? {
            let table = Table::from_name(name).ok_or_else(|| ReplicaError::UnknownTable(name.clone()))?;
            for (id, change) in rows.as_object().ok_or(ReplicaError::Shape)? {
                let id = Uuid::try_parse(id).map_err(|_| ReplicaError::Shape)?;
                configuration |= self.apply_row(table, id, change, schema)?;
            }
        }
        Ok(configuration)
    }

    fn apply_row(&mut self, table: Table, id: Uuid, change: &Value, schema: &Schema) -> Result<bool, ReplicaError> {
        let mut changes = change.as_object().ok_or(ReplicaError::Shape)?.iter();
        let (Some((action, cells)), None) = (changes.next(), changes.next()) else { return Err(ReplicaError::Shape) };
        let rows = self.tables.entry(table).or_default();
        match action.as_str() {
            "initial" | "insert" if !rows.contains_key(&id) => {
                let mut row = Row::default();
                row.apply(table, cells, schema, Cells::Whole)?;
                self.rows += 1;
                self.bytes += row.cost();
                rows.insert(id, row);
                self.check_size().map(|()| true)
            }
            "modify" => {
                let row = rows.get_mut(&id).ok_or(ReplicaError::Row(table.name()))?;
                let before = row.cost();
                let configuration = row.apply(table, cells, schema, Cells::Changes)?;
                self.bytes = (self.bytes + row.cost()).saturating_sub(before);
                self.check_size().map(|()| configuration)
            }
            "delete" => {
                let row = rows.remove(&id).ok_or(ReplicaError::Row(table.name()))?;
                self.rows -= 1;
                self.bytes = self.bytes.saturating_sub(row.cost());
                Ok(true)
            }
            "initial" | "insert" => Err(ReplicaError::Row(table.name())),
            _ => Err(ReplicaError::Shape),
        }
    }

    fn check_size(&self) -> Result<(), ReplicaError> {
        if self.rows > MAX_ROWS {
            return Err(ReplicaError::TooManyRows);
        }
        if self.bytes > MAX_BYTES {
            return Err(ReplicaError::TooLarge);
        }
        Ok(())
    }
}

/// What a row's update holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cells {
    Whole,
    Changes,
}

impl Row {
    fn apply(&mut self, table: Table, cells: &Value, schema: &Schema, hold: Cells) -> Result<bool, ReplicaError> {
        let mut configuration = false;
        for (name, value) in cells.as_object().ok_or(ReplicaError::Shape)? {
            let (column, direction, kind) = monitored(table, name, schema)
                .ok_or_else(|| ReplicaError::UnknownColumn { table: table.name(), column: name.clone() })?;
            let change = Datum::decode(value, kind).map_err(|source| ReplicaError::Type {
                table: table.name(),
                column,
                source,
            })?;
            match hold {
                Cells::Whole => {
                    self.0.insert(column, change);
                }
                Cells::Changes => {
                    self.0.entry(column).or_insert_with(|| Datum::default_of(kind)).apply(change, kind);
                }
            }
            configuration |= direction == Direction::Configuration;
        }
        Ok(configuration)
    }

    /// Bytes of memory, about; the row's own place in the tree among them.
    fn cost(&self) -> usize {
        const ROW_BYTES: usize = 256;
        const CELL_BYTES: usize = 96;
        ROW_BYTES + self.0.values().map(|datum| CELL_BYTES + datum.cost()).sum::<usize>()
    }

    pub fn get(&self, column: &str) -> Option<&Datum> {
        self.0.get(column)
    }

    fn single(&self, column: &str) -> Option<&Atom> {
        self.get(column)?.single()
    }

    /// A string; empty if there is none.
    pub fn text(&self, column: &str) -> &str {
        self.optional_text(column).unwrap_or_default()
    }

    pub fn optional_text(&self, column: &str) -> Option<&str> {
        match self.single(column)? {
            Atom::String(text) => Some(text),
            _ => None,
        }
    }

    /// An integer; 0 if there is none.
    pub fn integer(&self, column: &str) -> i64 {
        self.optional_integer(column).unwrap_or_default()
    }

    pub fn optional_integer(&self, column: &str) -> Option<i64> {
        match self.single(column)? {
            Atom::Integer(value) => Some(*value),
            _ => None,
        }
    }

    /// A truth; false if there is none.
    pub fn boolean(&self, column: &str) -> bool {
        self.optional_boolean(column).unwrap_or_default()
    }

    pub fn optional_boolean(&self, column: &str) -> Option<bool> {
        match self.single(column)? {
            Atom::Boolean(value) => Some(*value),
            _ => None,
        }
    }

    pub fn optional_reference(&self, column: &str) -> Option<Uuid> {
        self.references(column).next()
    }

    fn atoms(&self, column: &str) -> impl Iterator<Item = &Atom> {
        let set = match self.get(column) {
            Some(Datum::Set(set)) => Some(set),
            _ => None,
        };
        set.into_iter().flatten()
    }

    pub fn references(&self, column: &str) -> impl Iterator<Item = Uuid> {
        self.atoms(column).filter_map(|atom| if let Atom::Uuid(id) = atom { Some(*id) } else { None })
    }

    pub fn integers(&self, column: &str) -> impl Iterator<Item = i64> {
        self.atoms(column).filter_map(|atom| if let Atom::Integer(value) = atom { Some(*value) } else { None })
    }

    pub fn texts(&self, column: &str) -> impl Iterator<Item = &str> {
        self.atoms(column).filter_map(|atom| if let Atom::String(text) = atom { Some(text.as_str()) } else { None })
    }

    /// The pairs of a map.
    pub fn pairs(&self, column: &str) -> impl Iterator<Item = (&Atom, &Atom)> {
        let map = match self.get(column) {
            Some(Datum::Map(map)) => Some(map),
            _ => None,
        };
        map.into_iter().flatten()
    }
}

/// The column's own name, and what it is, if it is monitored and the server has it.
fn monitored(table: Table, column: &str, schema: &Schema) -> Option<(&'static str, Direction, ColumnType)> {
    let (name, direction) = table.columns().iter().find(|(name, _)| *name == column)?;
    Some((name, *direction, schema.column(table.name(), name)?))
}

#[cfg(test)]
mod tests;
