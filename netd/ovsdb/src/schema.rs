//! The schema that the server answers `get_schema` with, as far as values are decoded by it.

use serde_json::Value;
use std::collections::BTreeMap;

/// What a cell is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtomKind {
    Integer,
    Boolean,
    String,
    Uuid,
}

/// A column's type: a set of `key`, or a map from `key` to `value`. An optional value is a set of at most one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnType {
    pub key: AtomKind,
    pub value: Option<AtomKind>,
    /// None or one element is the default: `min` 0 or 1.
    pub optional: bool,
    /// Whether it may hold more than one element: changes then come as differences.
    pub many: bool,
}

/// Tables and their columns; those of a type that this client has no use for (reals) are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    pub version: String,
    tables: BTreeMap<String, BTreeMap<String, ColumnType>>,
}

impl Schema {
    /// Reads the result of `get_schema` (RFC 7047, section 3.2).
    pub fn parse(result: &Value) -> Option<Self> {
        let version = result.get("version").and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut tables = BTreeMap::new();
        for (table, description) in result.get("tables")?.as_object()? {
            let mut columns = BTreeMap::new();
            for (column, description) in description.get("columns")?.as_object()? {
                if let Some(kind) = parse_type(description.get("type")?) {
                    columns.insert(column.clone(), kind);
                }
            }
            tables.insert(table.clone(), columns);
        }
        Some(Self { version, tables })
    }

    pub fn column(&self, table: &str, column: &str) -> Option<ColumnType> {
        self.tables.get(table)?.get(column).copied()
    }
}

fn parse_type(kind: &Value) -> Option<ColumnType> {
    let single = |key| ColumnType { key, value: None, optional: false, many: false };
    if let Value::String(_) = kind {
        return parse_atom(kind).map(single);
    }
    let key = parse_atom(kind.get("key")?)?;
    let value = match kind.get("value") {
        Some(value) => Some(parse_atom(value)?),
        None => None,
    };
    let optional = kind.get("min").and_then(Value::as_u64) == Some(0);
    let many = match kind.get("max") {
        None => false,
        Some(Value::String(_)) => true,
        Some(max) => max.as_u64()? > 1,
    };
    Some(ColumnType { key, value, optional, many })
}

fn parse_atom(base: &Value) -> Option<AtomKind> {
    match base.as_str().or_else(|| base.get("type")?.as_str())? {
        "integer" => Some(AtomKind::Integer),
        "boolean" => Some(AtomKind::Boolean),
        "string" => Some(AtomKind::String),
        "uuid" => Some(AtomKind::Uuid),
        _ => None,
    }
}
