//! What the client asks the server to change: RFC 7047, section 5.2, as far as it is needed.

use crate::datum::Datum;
use crate::table::Table;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A row that is changed, or one that an `Insert` of the same transaction makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    Row(Uuid),
    New(String),
}

impl Reference {
    fn encode(&self) -> Value {
        match self {
            Self::Row(id) => json!(["uuid", id.to_string()]),
            Self::New(name) => json!(["named-uuid", name]),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    Insert {
        table: Table,
        name: String,
        columns: BTreeMap<&'static str, Datum>,
    },
    Update {
        table: Table,
        row: Uuid,
        columns: BTreeMap<&'static str, Datum>,
    },
    /// Adds a pair to a map; one that has the key already stays as it is.
    AddToMap {
        table: Table,
        row: Uuid,
        column: &'static str,
        key: String,
        value: Reference,
    },
    /// Takes a key out of a map.
    RemoveFromMap {
        table: Table,
        row: Uuid,
        column: &'static str,
        key: String,
    },
    /// Fails the transaction unless the row still holds these values: nobody else has changed them since they were read.
    Wait {
        table: Table,
        row: Uuid,
        columns: BTreeMap<&'static str, Datum>,
    },
    /// Fails the transaction unless the client owns the lock.
    AssertLock(&'static str),
}

fn where_row(row: Uuid) -> Value {
    json!([["_uuid", "==", ["uuid", row.to_string()]]])
}

fn encode_columns(columns: &BTreeMap<&'static str, Datum>) -> Map<String, Value> {
    columns.iter().map(|(column, datum)| ((*column).to_owned(), datum.encode())).collect()
}

impl Operation {
    pub fn encode(&self) -> Value {
        match self {
            Self::Insert { table, name, columns } => {
                json!({ "op": "insert", "table": table.name(), "uuid-name": name, "row": encode_columns(columns) })
            }
            Self::Update { table, row, columns } => {
                json!({ "op": "update", "table": table.name(), "where": where_row(*row), "row": encode_columns(columns) })
            }
            Self::AddToMap { table, row, column, key, value } => json!({
                "op": "mutate", "table": table.name(), "where": where_row(*row),
                "mutations": [[column, "insert", ["map", [[key, value.encode()]]]]],
            }),
            Self::RemoveFromMap { table, row, column, key } => json!({
                "op": "mutate", "table": table.name(), "where": where_row(*row),
                "mutations": [[column, "delete", ["set", [key]]]],
            }),
            Self::Wait { table, row, columns } => json!({
                "op": "wait", "timeout": 0, "table": table.name(), "where": where_row(*row), "until": "==",
                "columns": columns.keys().collect::<Vec<_>>(), "rows": [encode_columns(columns)],
            }),
            Self::AssertLock(lock) => json!({ "op": "assert", "lock": lock }),
        }
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    /// A `Wait` did not hold: what the transaction was made from has changed.
    Conflict,
    /// The lock is not ours.
    NotOwner,
    Failed(String),
}

/// Reads the result of `transact`: one member an operation, null for those not reached, and one more if the commit failed.
pub fn outcome(result: &Result<Value, Value>) -> Outcome {
    let results = match result {
        Ok(Value::Array(results)) => results,
        Ok(_) => return Outcome::Failed("the server's answer is not a list of results".to_owned()),
        Err(error) => return Outcome::Failed(describe(error)),
    };
    let Some(failed) = results.iter().find(|result| result.get("error").is_some_and(|error| !error.is_null())) else {
        return Outcome::Committed;
    };
    match failed.get("error").and_then(Value::as_str) {
        Some("timed out") => Outcome::Conflict,
        Some("not owner") => Outcome::NotOwner,
        _ => Outcome::Failed(describe(failed)),
    }
}

/// A server's error for people: short, whatever it sent.
pub fn describe(error: &Value) -> String {
    const MAX_CHARS: usize = 300;
    let part = |member: &str| error.get(member).and_then(Value::as_str);
    let text = match (part("error"), part("details")) {
        (Some(error), Some(details)) => format!("{error}: {details}"),
        (Some(error), None) => error.to_owned(),
        _ => error.to_string(),
    };
    text.chars().take(MAX_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_as_the_server_reports_them() {
        assert_eq!(outcome(&Ok(json!([{ "count": 1 }, {}]))), Outcome::Committed);
        assert_eq!(outcome(&Ok(json!([{ "error": "timed out" }, null]))), Outcome::Conflict);
        assert_eq!(outcome(&Ok(json!([{ "count": 1 }, { "error": "not owner", "details": "x" }]))), Outcome::NotOwner);
        let broken = outcome(&Ok(json!([{}, {}, { "error": "constraint violation", "details": "why" }])));
        assert_eq!(broken, Outcome::Failed("constraint violation: why".to_owned()));
        assert!(matches!(outcome(&Ok(json!(1))), Outcome::Failed(_)));
        assert!(matches!(outcome(&Err(json!("x".repeat(10_000)))), Outcome::Failed(text) if text.len() < 400));
    }
}
