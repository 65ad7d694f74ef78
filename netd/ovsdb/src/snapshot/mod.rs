//! The configuration that the database asks for, typed, checked, and with its references followed.
//!
//! What cannot be made is left out, and what is only odd is ignored, both with a [`Problem`] of that row: one bad row
//! costs no other its place.

mod bridge;
mod collector;
mod conntrack;
mod controller;
mod interface;
mod map;
mod mirror;
mod name;
mod port;
mod tunnel;

pub use bridge::{Bridge, FailMode, FlowTable, Protocol, Unsupported};
pub use collector::{CollectorSet, CollectorTarget};
pub use conntrack::{CtZone, DatapathConfig};
pub use controller::{Controller, Target};
pub use interface::{Afxdp, Bfd, Interface, InterfaceKind, Policing, XdpMode};
pub use map::StringMap;
pub use mirror::{Mirror, MirrorOutput};
pub use port::{Bond, BondMode, Lacp, Port, Qos, Queue, Vlan};
pub use tunnel::{Endpoint, Key, Tos, Ttl, Tunnel, Wireguard};

use crate::replica::Replica;
use crate::table::Table;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use uuid::Uuid;

macro_rules! row_ids {
    ($($(#[$doc:meta])* $name:ident),*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub Uuid);
    )*};
}
row_ids! {
    /// A row of `Bridge`.
    BridgeId,
    /// A row of `Port`.
    PortId,
    /// A row of `Interface`.
    InterfaceId,
    /// A row of `Controller`.
    ControllerId,
    /// A row of `Mirror`.
    MirrorId
}

/// Which configuration a snapshot is: what the switch reports as applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Version {
    /// Counts the configurations this client has handed out.
    pub(crate) generation: u64,
    pub(crate) next_cfg: i64,
}

/// A configuration as it is handed to the switch.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub version: Version,
    pub configuration: Arc<Configuration>,
    /// The port numbers that the database knows from before: a switch that starts again keeps them.
    pub ofports: BTreeMap<InterfaceId, u16>,
}

/// Everything the database asks of the switch. A database without a row in `Open_vSwitch` asks for nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    pub open_vswitch: OpenVSwitch,
    /// By name.
    pub bridges: BTreeMap<String, Bridge>,
    /// By datapath type ("netdev").
    pub datapaths: BTreeMap<String, DatapathConfig>,
    pub ssl: Option<Ssl>,
    /// Targets of the database's own remotes: ovsdb-server serves them, the switch only needs to let their packets through.
    pub managers: Vec<String>,
    pub problems: Vec<Problem>,
}

/// The `Open_vSwitch` row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OpenVSwitch {
    /// Raised by whoever changes the configuration and waits for it to be applied.
    pub next_cfg: i64,
    /// `other_config:flow-restore-wait`: flows are being put back, the switch is to forward nothing yet.
    pub flow_restore_wait: bool,
    pub other_config: StringMap,
    pub external_ids: StringMap,
}

/// Files for `ssl:` and `pssl:` controllers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssl {
    pub private_key: String,
    pub certificate: String,
    pub ca_cert: String,
    pub bootstrap_ca_cert: bool,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub table: Table,
    pub row: Uuid,
    /// The row's name, or target.
    pub name: String,
    /// The row is not part of the configuration; otherwise only the value is not.
    pub refused: bool,
    pub message: String,
}

/// Problems that are kept: as many as there are rows to tell of, and no more.
const MAX_PROBLEMS: usize = 4096;
/// Of a bad value as much is shown.
const SHOWN_CHARS: usize = 80;

/// A value of the database's for a message: quoted, and cut.
pub(crate) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(SHOWN_CHARS).collect();
    if cut.len() < text.len() { format!("{cut:?}...") } else { format!("{cut:?}") }
}

/// Reads a configuration out of the replica, collecting problems on the way.
struct Reader<'a> {
    replica: &'a Replica,
    problems: Vec<Problem>,
    /// Rows that a bridge or port has already: a second one may not.
    taken: BTreeSet<Uuid>,
}

/// The row that is being read.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    table: Table,
    row: Uuid,
    name: &'a str,
}

impl Reader<'_> {
    fn problem(&mut self, place: Place<'_>, refused: bool, message: String) {
        if self.problems.len() < MAX_PROBLEMS {
            let Place { table, row, name } = place;
            let name = name.chars().take(SHOWN_CHARS).collect();
            self.problems.push(Problem { table, row, name, refused, message });
        }
    }

    /// The row cannot be followed.
    fn refuse(&mut self, place: Place<'_>, message: impl Into<String>) {
        self.problem(place, true, message.into());
    }

    /// A value is ignored.
    fn ignore(&mut self, place: Place<'_>, message: impl Into<String>) {
        self.problem(place, false, message.into());
    }
}

impl Configuration {
    /// The configuration that `replica` holds.
    pub fn read(replica: &Replica) -> Self {
        let mut reader = Reader { replica, problems: Vec::new(), taken: BTreeSet::new() };
        let Some((_, row)) = replica.rows(Table::OpenVSwitch).next() else { return Self::default() };
        let other_config = StringMap::read(row, "other_config");
        let open_vswitch = OpenVSwitch {
            next_cfg: row.integer("next_cfg"),
            flow_restore_wait: other_config.boolean("flow-restore-wait", false),
            other_config,
            external_ids: StringMap::read(row, "external_ids"),
        };
        let mut bridges = BTreeMap::new();
        for id in row.references("bridges") {
            if let Some(bridge) = reader.bridge(id) {
                bridges.insert(bridge.name.clone(), bridge);
            }
        }
        let datapaths = reader.datapaths(row);
        let ssl = row.optional_reference("ssl").and_then(|id| replica.row(Table::Ssl, id)).map(|ssl| Ssl {
            private_key: ssl.text("private_key").to_owned(),
            certificate: ssl.text("certificate").to_owned(),
            ca_cert: ssl.text("ca_cert").to_owned(),
            bootstrap_ca_cert: ssl.boolean("bootstrap_ca_cert"),
        });
        let managers = row
            .references("manager_options")
            .filter_map(|id| replica.row(Table::Manager, id))
            .map(|manager| manager.text("target").to_owned())
            .collect();
        Self { open_vswitch, bridges, datapaths, ssl, managers, problems: reader.problems }
    }
}

/// The port numbers in the database.
pub(crate) fn ofports(replica: &Replica) -> BTreeMap<InterfaceId, u16> {
    let numbered = replica.rows(Table::Interface);
    numbered
        .filter_map(|(id, row)| Some((InterfaceId(id), u16::try_from(row.optional_integer("ofport")?).ok()?)))
        .filter(|(_, ofport)| *ofport > 0)
        .collect()
}

#[cfg(test)]
mod tests;
