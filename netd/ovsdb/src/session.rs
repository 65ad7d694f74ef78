//! The protocol with one server over one connection, without the connection: messages in, messages out.

use crate::replica::{Replica, ReplicaError};
use crate::schema::Schema;
use crate::table::Table;
use crate::transaction::{Operation, Outcome, describe, outcome};
use hive_jsonrpc::Message;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub const DATABASE: &str = "Open_vSwitch";
/// The lock that ovs-vswitchd takes: of two switches on one database, one waits.
pub const LOCK: &str = "ovs_vswitchd";
/// Stands for "no transaction known" in `monitor_cond_since`.
const NO_TRANSACTION: &str = "00000000-0000-0000-0000-000000000000";
/// A transaction id is a UUID; a server that sends a longer one gets it back as unknown.
const MAX_TRANSACTION_ID_BYTES: usize = 64;

/// Why the connection is given up.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    #[error("the server refuses {request}: {error}")]
    Refused { request: &'static str, error: String },
    #[error("the server's answer to {0} has not the form it should have")]
    Answer(&'static str),
    #[error("the database has no table {0}")]
    Schema(&'static str),
    #[error(transparent)]
    Replica(#[from] ReplicaError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pending {
    Schema,
    Monitor { since: bool },
    Lock,
    Transaction,
    Echo,
}

/// What a message brought about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The replica is there, or changed in its configuration.
    Configuration,
    /// The lock came to us, or left us.
    Lock,
    Transaction(Outcome),
}

/// What outlives a connection: the replica and how far it goes.
#[derive(Debug, Default)]
pub struct Known {
    schema: Schema,
    replica: Replica,
    last_transaction: String,
}

#[derive(Debug)]
pub struct Session {
    known: Known,
    synchronised: bool,
    locked: Option<bool>,
    next_id: u64,
    pending: BTreeMap<u64, Pending>,
    outgoing: Vec<Message>,
}

impl Session {
    /// Begins by asking for the schema. `known` is what an earlier connection left behind.
    pub fn new(known: Known) -> Self {
        let mut session = Self {
            known,
            synchronised: false,
            locked: None,
            next_id: 0,
            pending: BTreeMap::new(),
            outgoing: Vec::new(),
        };
        session.request(Pending::Schema, "get_schema", vec![json!(DATABASE)]);
        session
    }

    pub fn into_known(self) -> Known {
        self.known
    }

    pub fn replica(&self) -> &Replica {
        &self.known.replica
    }

    pub fn schema(&self) -> &Schema {
        &self.known.schema
    }

    /// The replica is the server's state.
    pub fn is_synchronised(&self) -> bool {
        self.synchronised
    }

    /// Whether this client is the one switch of the database, once that is known.
    pub fn lock(&self) -> Option<bool> {
        self.locked
    }

    /// Messages to send, in order.
    pub fn take_outgoing(&mut self) -> Vec<Message> {
        std::mem::take(&mut self.outgoing)
    }

    fn request(&mut self, pending: Pending, method: &str, params: Vec<Value>) {
        self.next_id += 1;
        self.pending.insert(self.next_id, pending);
        self.outgoing.push(Message::Request { id: json!(self.next_id), method: method.to_owned(), params });
    }

    /// Asks whether the server is there.
    pub fn probe(&mut self) {
        self.request(Pending::Echo, "echo", vec![]);
    }

    /// Sends a transaction, that only the holder of the lock may make.
    pub fn transact(&mut self, operations: &[Operation]) {
        let mut params = vec![json!(DATABASE)];
        params.extend(operations.iter().map(Operation::encode));
        params.push(Operation::AssertLock(LOCK).encode());
        self.request(Pending::Transaction, "transact", params);
    }

    pub fn handle(&mut self, message: Message) -> Result<Option<Event>, SessionError> {
        match message {
            Message::Request { id, method, params } => {
                let result = match method.as_str() {
                    "echo" => Ok(Value::Array(params)),
                    _ => Err(json!({ "error": "unknown method" })),
                };
                self.outgoing.push(Message::Reply { id, result });
                Ok(None)
            }
            Message::Notification { method, params } => self.notified(&method, &params),
            Message::Reply { id, result } => {
                let Some(pending) = id.as_u64().and_then(|id| self.pending.remove(&id)) else { return Ok(None) };
                self.answered(pending, result)
            }
        }
    }

    fn notified(&mut self, method: &str, params: &[Value]) -> Result<Option<Event>, SessionError> {
        match (method, params) {
            // One sent before the answer to the monitor request would have no replica to change.
            ("update2" | "update3", _) if !self.synchronised => Err(SessionError::Answer("monitor_cond")),
            ("update3", [_, Value::String(transaction), updates]) => self.updated(transaction, updates),
            ("update2", [_, updates]) => self.updated("", updates),
            ("update2" | "update3", _) => Err(SessionError::Answer("monitor_cond")),
            ("locked" | "stolen", [Value::String(lock)]) if lock == LOCK => {
                self.locked = Some(method == "locked");
                Ok(Some(Event::Lock))
            }
            _ => Ok(None),
        }
    }

    fn updated(&mut self, transaction: &str, updates: &Value) -> Result<Option<Event>, SessionError> {
        let changed = self.known.replica.apply(updates, &self.known.schema);
        // An update that was followed half way leaves nothing to build on.
        let configuration = changed.inspect_err(|_| self.forget())?;
        self.known.last_transaction.clear();
        if transaction.len() <= MAX_TRANSACTION_ID_BYTES {
            self.known.last_transaction.push_str(transaction);
        }
        Ok(configuration.then_some(Event::Configuration))
    }

    fn forget(&mut self) {
        self.known.replica = Replica::default();
        self.known.last_transaction.clear();
        self.synchronised = false;
    }

    fn answered(&mut self, pending: Pending, result: Result<Value, Value>) -> Result<Option<Event>, SessionError> {
        match pending {
            Pending::Echo => Ok(None),
            Pending::Transaction => Ok(Some(Event::Transaction(outcome(&result)))),
            Pending::Schema => {
                let result = accepted("get_schema", result)?;
                let schema = Schema::parse(&result).ok_or(SessionError::Answer("get_schema"))?;
                if schema != self.known.schema {
                    self.forget();
                    self.known.schema = schema;
                }
                let tables = monitored_tables(&self.known.schema)?;
                self.request(Pending::Lock, "lock", vec![json!(LOCK)]);
                let since = match self.known.last_transaction.as_str() {
                    "" => NO_TRANSACTION,
                    known => known,
                };
                let params = vec![json!(DATABASE), json!(["netd", DATABASE]), tables, json!(since)];
                self.request(Pending::Monitor { since: true }, "monitor_cond_since", params);
                Ok(None)
            }
            Pending::Lock => {
                let result = accepted("lock", result)?;
                let locked = result.get("locked").and_then(Value::as_bool).ok_or(SessionError::Answer("lock"))?;
                self.locked = Some(locked);
                Ok(Some(Event::Lock))
            }
            Pending::Monitor { since: true } => match result {
                Ok(Value::Array(members)) => match members.as_slice() {
                    [Value::Bool(found), Value::String(transaction), updates] => {
                        if !*found {
                            self.forget();
                        }
                        self.synchronised = true;
                        self.updated(transaction, updates)?;
                        Ok(Some(Event::Configuration))
                    }
                    _ => Err(SessionError::Answer("monitor_cond_since")),
                },
                Ok(_) => Err(SessionError::Answer("monitor_cond_since")),
                // A server older than 2.12.
                Err(error) if error_name(&error) == "unknown method" => {
                    let tables = monitored_tables(&self.known.schema)?;
                    let params = vec![json!(DATABASE), json!(["netd", DATABASE]), tables];
                    self.request(Pending::Monitor { since: false }, "monitor_cond", params);
                    Ok(None)
                }
                Err(error) => Err(SessionError::Refused { request: "monitor_cond_since", error: describe(&error) }),
            },
            Pending::Monitor { since: false } => {
                let updates = accepted("monitor_cond", result)?;
                self.forget();
                self.synchronised = true;
                self.updated("", &updates)?;
                Ok(Some(Event::Configuration))
            }
        }
    }
}

fn error_name(error: &Value) -> &str {
    error.as_str().or_else(|| error.get("error")?.as_str()).unwrap_or_default()
}

fn accepted(request: &'static str, result: Result<Value, Value>) -> Result<Value, SessionError> {
    result.map_err(|error| SessionError::Refused { request, error: describe(&error) })
}

/// `<monitor-cond-requests>` for the columns that the server has. Without these tables it is not a switch's database.
fn monitored_tables(schema: &Schema) -> Result<Value, SessionError> {
    let mut tables = Map::new();
    for table in Table::ALL {
        let columns: Vec<&str> = table
            .columns()
            .iter()
            .map(|(column, _)| *column)
            .filter(|column| schema.column(table.name(), column).is_some())
            .collect();
        if !columns.is_empty() {
            tables.insert(table.name().to_owned(), json!([{ "columns": columns }]));
        }
    }
    for needed in [Table::OpenVSwitch, Table::Bridge, Table::Port, Table::Interface] {
        if !tables.contains_key(needed.name()) {
            return Err(SessionError::Schema(needed.name()));
        }
    }
    Ok(Value::Object(tables))
}

#[cfg(test)]
mod tests;
