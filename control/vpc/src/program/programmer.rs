//! Keeps a bridge as it shall be, over the deaths of either side.

use super::client::{Client, ClientError};
use super::difference;
use crate::flow::FlowSet;
use crate::node::LocalNumber;
use hive_openflow::TABLE_ALL;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

/// How often tables are put right before it is an error: somebody else writes to the bridge.
const REPAIRS_MAX: usize = 3;

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Additions, replacements and deletions sent.
    pub changes: usize,
    /// It was necessary to read everything first: the connection is new, or something was not as it had been left.
    pub read_all: bool,
}

/// A bridge that nobody else programs.
#[derive(Debug)]
pub struct Programmer {
    socket: PathBuf,
    timeout: Duration,
    /// A connection, and what the bridge was last seen to hold.
    connection: Option<(Client, FlowSet)>,
}

impl Programmer {
    /// `socket`: `<bridge>.mgmt`. `timeout`: for each operation on it. Nothing is done yet.
    pub fn new(socket: PathBuf, timeout: Duration) -> Self {
        Self { socket, timeout, connection: None }
    }

    /// Make the bridge hold exactly `wanted`, and read back that it does. Only what differs is sent.
    ///
    /// # Errors
    /// The bridge is away, refuses a flow, or does not stay as it is made. It may be tried again.
    pub fn set(&mut self, wanted: &FlowSet) -> Result<Report, ClientError> {
        // Of a switch that has gone nothing is known: where nothing differs from what it had, nobody would notice.
        if let Some((mut client, known)) = self.connection.take().filter(|(client, _)| client.is_open()) {
            match change(&mut client, &known, wanted) {
                Ok(Some(changes)) => {
                    self.connection = Some((client, wanted.clone()));
                    return Ok(Report { changes, read_all: false });
                }
                // Something was not as it had been left.
                Ok(None) => return self.converge(client, wanted),
                Err(error) if error.is_broken_connection() => {}
                Err(error) => return Err(error),
            }
        }
        let client = Client::connect(&self.socket, self.timeout)?;
        self.converge(client, wanted)
    }

    /// As [`Programmer::set`], but believe nothing: read the bridge first. For use from time to time.
    ///
    /// # Errors
    /// As there.
    pub fn verify(&mut self, wanted: &FlowSet) -> Result<Report, ClientError> {
        self.connection = None;
        self.set(wanted)
    }

    fn converge(&mut self, mut client: Client, wanted: &FlowSet) -> Result<Report, ClientError> {
        let mut report = Report { changes: 0, read_all: true };
        let mut repairs = 0;
        loop {
            let found = client.flows(TABLE_ALL)?;
            let changes = difference(&found, wanted);
            let Some(change) = changes.first() else {
                self.connection = Some((client, wanted.clone()));
                return Ok(report);
            };
            if repairs > REPAIRS_MAX {
                return Err(ClientError::Drift { change: Box::new(change.clone()) });
            }
            repairs += 1;
            client.apply(&changes)?;
            report.changes += changes.len();
        }
    }

    /// Whether the switch that was programmed last is still there. One that is started anew has nothing.
    pub fn is_connected(&self) -> bool {
        self.connection.as_ref().is_some_and(|(client, _)| client.is_open())
    }

    /// Forget the connections of a zone.
    ///
    /// # Errors
    /// As [`Client::flush_zone`].
    pub fn flush_zone(&mut self, zone: LocalNumber) -> Result<(), ClientError> {
        match &mut self.connection {
            Some((client, _)) => client.flush_zone(zone),
            None => Client::connect(&self.socket, self.timeout)?.flush_zone(zone),
        }
    }
}

/// Send what differs, and read the tables that it is in. `None`: they are not what they should be now.
fn change(client: &mut Client, known: &FlowSet, wanted: &FlowSet) -> Result<Option<usize>, ClientError> {
    let changes = difference(known, wanted);
    client.apply(&changes)?;
    let touched: BTreeSet<u8> = changes.iter().map(|change| change.table).collect();
    for table in touched {
        let found = client.flows(table)?;
        let expected = wanted.iter().filter(|(key, _)| key.table == table);
        if !found.iter().eq(expected) {
            return Ok(None);
        }
    }
    Ok(Some(changes.len()))
}
