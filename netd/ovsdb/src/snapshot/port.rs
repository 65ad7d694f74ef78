//! `Port`, with its VLAN, bond and queueing settings.

use super::map::StringMap;
use super::{Interface, Place, PortId, Reader, shown};
use crate::datum::Atom;
use crate::replica::Row;
use crate::table::Table;
use hive_packet::MacAddr;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A port of a bridge: one interface, or several that are bonded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    pub id: PortId,
    pub name: String,
    pub interfaces: Vec<Interface>,
    pub vlan: Vlan,
    /// With more than one interface.
    pub bond: Option<Bond>,
    pub lacp: Lacp,
    /// The port's address, if not one of its interfaces'.
    pub mac: Option<MacAddr>,
    pub qos: Option<Qos>,
    /// Packets do not go from one protected port to another.
    pub protected: bool,
    /// ovs-vsctl shows it as a bridge for the VLAN of its tag.
    pub fake_bridge: bool,
    pub other_config: StringMap,
    pub external_ids: StringMap,
}

/// Which VLANs a port carries, and how; `trunks` empty is all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vlan {
    /// Untagged packets, of one VLAN.
    Access { tag: u16 },
    /// Tagged packets; untagged ones are of VLAN 0.
    Trunk { trunks: BTreeSet<u16> },
    /// A trunk whose untagged packets are of VLAN `tag`, which goes out tagged.
    NativeTagged { tag: u16, trunks: BTreeSet<u16> },
    /// The same, but `tag` goes out untagged.
    NativeUntagged { tag: u16, trunks: BTreeSet<u16> },
    /// Customers' tagged packets (`cvlans`, empty: all) within a service tag.
    Dot1qTunnel { tag: u16, cvlans: BTreeSet<u16> },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BondMode {
    ActiveBackup,
    BalanceSlb,
    BalanceTcp,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lacp {
    #[default]
    Off,
    Active,
    Passive,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bond {
    pub mode: BondMode,
    /// A member's link counts as up or down after this time.
    pub updelay_ms: u32,
    pub downdelay_ms: u32,
    /// Time between moves of load; 0: none.
    pub rebalance_interval_ms: u32,
    /// The member that is active when it is up: `other_config:bond-primary`.
    pub primary: Option<String>,
}

/// A `QoS` row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qos {
    pub id: Uuid,
    pub kind: String,
    pub other_config: StringMap,
    pub queues: BTreeMap<u32, Queue>,
}

/// A `Queue` row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    pub dscp: Option<u8>,
    pub other_config: StringMap,
}

const MAX_VLAN: i64 = 4095;
const DEFAULT_REBALANCE_MS: u32 = 10_000;
/// Open vSwitch takes a shorter interval for this one; 0 is none.
const MIN_REBALANCE_MS: u32 = 1000;
/// Interfaces of a bond: LACP counts ports in 16 bits, cables end long before.
const MAX_BOND_MEMBERS: usize = 64;

pub(super) fn vlans(row: &Row, column: &str) -> BTreeSet<u16> {
    row.integers(column)
        .filter(|vlan| (0..=MAX_VLAN).contains(vlan))
        .filter_map(|vlan| u16::try_from(vlan).ok())
        .collect()
}

impl Reader<'_> {
    pub(super) fn port(&mut self, id: Uuid, bridge: &str) -> Option<Port> {
        let row = self.replica.row(Table::Port, id)?;
        let name = row.text("name");
        let place = Place { table: Table::Port, row: id, name };
        if !self.taken.insert(id) {
            self.ignore(place, format!("a second bridge claims port {}", shown(name)));
            return None;
        }
        let members: Vec<Uuid> = row.references("interfaces").collect();
        if members.len() > MAX_BOND_MEMBERS {
            self.refuse(place, format!("a bond of more than {MAX_BOND_MEMBERS} interfaces"));
            return None;
        }
        let bonded = members.len() > 1;
        if bonded && name == bridge {
            self.refuse(place, "a bridge's own port cannot be a bond");
            return None;
        }
        let interfaces: Vec<Interface> = members.into_iter().filter_map(|id| self.interface(id, bridge)).collect();
        if interfaces.is_empty() {
            return None;
        }
        let other_config = StringMap::read(row, "other_config");
        let lacp = match row.text("lacp") {
            "active" => Lacp::Active,
            "passive" => Lacp::Passive,
            _ => Lacp::Off,
        };
        Some(Port {
            id: PortId(id),
            name: name.to_owned(),
            interfaces,
            vlan: self.vlan(place, row),
            bond: bonded.then(|| bond(row, &other_config)),
            lacp,
            mac: self.mac(place, row.optional_text("mac")),
            qos: row.optional_reference("qos").and_then(|id| self.qos(id)),
            protected: row.boolean("protected"),
            fake_bridge: row.boolean("fake_bridge"),
            other_config,
            external_ids: StringMap::read(row, "external_ids"),
        })
    }

    fn vlan(&mut self, place: Place<'_>, row: &Row) -> Vlan {
        let tag = row
            .optional_integer("tag")
            .filter(|tag| (0..=MAX_VLAN).contains(tag))
            .and_then(|tag| u16::try_from(tag).ok());
        let trunks = vlans(row, "trunks");
        let access = |tag: Option<u16>| Vlan::Access { tag: tag.unwrap_or(0) };
        match (row.text("vlan_mode"), tag) {
            ("access", _) => access(tag),
            ("native-tagged", _) => Vlan::NativeTagged { tag: tag.unwrap_or(0), trunks },
            ("native-untagged", _) => Vlan::NativeUntagged { tag: tag.unwrap_or(0), trunks },
            ("dot1q-tunnel", _) => Vlan::Dot1qTunnel { tag: tag.unwrap_or(0), cvlans: vlans(row, "cvlans") },
            ("", Some(_)) => {
                if !trunks.is_empty() {
                    self.ignore(place, "trunks are ignored in favour of the tag");
                }
                access(tag)
            }
            _ => Vlan::Trunk { trunks },
        }
    }

    fn qos(&mut self, id: Uuid) -> Option<Qos> {
        let row = self.replica.row(Table::Qos, id)?;
        let queues = row.pairs("queues").filter_map(|(number, queue)| match (number, queue) {
            (Atom::Integer(number), Atom::Uuid(queue)) => {
                let queue = self.replica.row(Table::Queue, *queue)?;
                let dscp =
                    queue.optional_integer("dscp").and_then(|dscp| u8::try_from(dscp).ok()).filter(|dscp| *dscp < 64);
                Some((
                    u32::try_from(*number).ok()?,
                    Queue { dscp, other_config: StringMap::read(queue, "other_config") },
                ))
            }
            _ => None,
        });
        let queues = queues.collect();
        Some(Qos { id, kind: row.text("type").to_owned(), other_config: StringMap::read(row, "other_config"), queues })
    }
}

fn bond(row: &Row, other_config: &StringMap) -> Bond {
    let delay = |column| u32::try_from(row.integer(column).max(0)).unwrap_or(u32::MAX);
    let interval = other_config.number("bond-rebalance-interval").unwrap_or(DEFAULT_REBALANCE_MS);
    Bond {
        mode: match row.text("bond_mode") {
            "balance-slb" => BondMode::BalanceSlb,
            "balance-tcp" => BondMode::BalanceTcp,
            _ => BondMode::ActiveBackup,
        },
        updelay_ms: delay("bond_updelay"),
        downdelay_ms: delay("bond_downdelay"),
        rebalance_interval_ms: if interval == 0 { 0 } else { interval.max(MIN_REBALANCE_MS) },
        primary: other_config.text("bond-primary").map(str::to_owned),
    }
}
