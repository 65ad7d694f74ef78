//! `Bridge`.

use super::map::StringMap;
use super::name::{self, MAX_DEVICE_NAME_BYTES};
use super::port::vlans;
use super::{BridgeId, CollectorSet, Controller, Mirror, Place, Port, Reader, shown};
use crate::datum::Atom;
use crate::replica::Row;
use crate::table::Table;
use hive_packet::MacAddr;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// A bridge. If none of its ports has its name, the switch adds the local port by itself, as ovs-vswitchd does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bridge {
    pub id: BridgeId,
    pub name: String,
    /// `netdev`, or `system` if the row says nothing; the switch serves both.
    pub datapath_type: String,
    /// `other_config:datapath-id`; nothing: made from `hwaddr` or a port's address.
    pub datapath_id: Option<u64>,
    /// `other_config:hwaddr`: the address of the local port.
    pub hwaddr: Option<MacAddr>,
    pub fail_mode: FailMode,
    /// OpenFlow versions that may be spoken; empty: all that the switch has.
    pub protocols: BTreeSet<Protocol>,
    pub controllers: Vec<Controller>,
    pub ports: Vec<Port>,
    pub mirrors: Vec<Mirror>,
    /// Where what flows sample is exported to, by `Flow_Sample_Collector_Set:id`.
    pub collector_sets: BTreeMap<u32, CollectorSet>,
    /// VLANs in which addresses are not learned.
    pub flood_vlans: BTreeSet<u16>,
    pub mcast_snooping_enable: bool,
    /// By number of the table.
    pub flow_tables: BTreeMap<u8, FlowTable>,
    pub other_config: StringMap,
    pub external_ids: StringMap,
    /// What the row asks for and the switch does not have.
    pub unsupported: BTreeSet<Unsupported>,
}

/// What becomes of packets while no controller answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum FailMode {
    /// The bridge learns and forwards by itself.
    #[default]
    Standalone,
    /// The flows stay as they are.
    Secure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    OpenFlow10,
    OpenFlow11,
    OpenFlow12,
    OpenFlow13,
    OpenFlow14,
    OpenFlow15,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unsupported {
    Stp,
    Rstp,
    NetFlow,
    SFlow,
    Ipfix,
    AutoAttach,
}

impl Unsupported {
    pub fn name(self) -> &'static str {
        match self {
            Self::Stp => "stp",
            Self::Rstp => "rstp",
            Self::NetFlow => "netflow",
            Self::SFlow => "sflow",
            Self::Ipfix => "ipfix",
            Self::AutoAttach => "auto_attach",
        }
    }
}

/// A `Flow_Table` row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowTable {
    pub name: Option<String>,
    pub flow_limit: Option<u32>,
    /// At the limit a flow is evicted; otherwise the new one is refused.
    pub evict: bool,
    /// Fields by which flows are grouped for fair eviction.
    pub groups: Vec<String>,
    /// Fields that the classifier keeps tries of.
    pub prefixes: Vec<String>,
}

impl Reader<'_> {
    pub(super) fn bridge(&mut self, id: Uuid) -> Option<Bridge> {
        let row = self.replica.row(Table::Bridge, id)?;
        let name = row.text("name");
        let place = Place { table: Table::Bridge, row: id, name };
        let datapath_type = match row.text("datapath_type") {
            "" => "system",
            other => other,
        };
        let known = match datapath_type {
            "system" | "netdev" => Ok(()),
            other => Err(format!("datapath type {} is not supported", shown(other))),
        };
        if let Err(message) = known.and_then(|()| name::check(name, MAX_DEVICE_NAME_BYTES)) {
            self.refuse_bridge(place, row, &message);
            return None;
        }
        let other_config = StringMap::read(row, "other_config");
        let ports: Vec<Port> = row.references("ports").filter_map(|id| self.port(id, name)).collect();
        let controllers = row.references("controller").filter_map(|id| self.controller(id)).collect();
        let mirrors = row.references("mirrors").filter_map(|id| self.mirror(id, &ports, place)).collect();
        let unsupported = unsupported(row);
        if !unsupported.is_empty() {
            let names: Vec<&str> = unsupported.iter().map(|feature| feature.name()).collect();
            self.ignore(place, format!("not supported: {}", names.join(", ")));
        }
        let datapath_id = other_config.text("datapath-id").and_then(|text| {
            let id = parse_datapath_id(text);
            if id.is_none() {
                self.ignore(
                    place,
                    format!("datapath-id {} is not a number of up to 16 hexadecimal digits", shown(text)),
                );
            }
            id
        });
        Some(Bridge {
            id: BridgeId(id),
            name: name.to_owned(),
            datapath_type: datapath_type.to_owned(),
            datapath_id,
            hwaddr: self.mac(place, other_config.text("hwaddr")),
            fail_mode: if row.text("fail_mode") == "secure" { FailMode::Secure } else { FailMode::Standalone },
            protocols: row.texts("protocols").filter_map(parse_protocol).collect(),
            controllers,
            ports,
            mirrors,
            collector_sets: self.collector_sets(place),
            flood_vlans: vlans(row, "flood_vlans"),
            mcast_snooping_enable: row.boolean("mcast_snooping_enable"),
            flow_tables: self.flow_tables(row),
            other_config,
            external_ids: StringMap::read(row, "external_ids"),
            unsupported,
        })
    }

    /// The interfaces say it too, since it is there that ovs-vsctl looks.
    fn refuse_bridge(&mut self, place: Place<'_>, row: &Row, message: &str) {
        self.refuse(place, message);
        for id in row
            .references("ports")
            .filter_map(|id| self.replica.row(Table::Port, id))
            .flat_map(|port| port.references("interfaces"))
        {
            if let Some(interface) = self.replica.row(Table::Interface, id) {
                let place = Place { table: Table::Interface, row: id, name: interface.text("name") };
                self.refuse(place, format!("bridge {}: {message}", shown(row.text("name"))));
            }
        }
    }

    fn flow_tables(&self, row: &Row) -> BTreeMap<u8, FlowTable> {
        let tables = row.pairs("flow_tables").filter_map(|(number, table)| match (number, table) {
            (Atom::Integer(number), Atom::Uuid(id)) => {
                let row = self.replica.row(Table::FlowTable, *id)?;
                let table = FlowTable {
                    name: row.optional_text("name").map(str::to_owned),
                    flow_limit: row.optional_integer("flow_limit").and_then(|limit| u32::try_from(limit).ok()),
                    evict: row.text("overflow_policy") == "evict",
                    groups: row.texts("groups").map(str::to_owned).collect(),
                    prefixes: row.texts("prefixes").map(str::to_owned).collect(),
                };
                Some((u8::try_from(*number).ok()?, table))
            }
            _ => None,
        });
        tables.collect()
    }
}

/// Sixteen digits, or fewer behind `0x`, and not zero.
fn parse_datapath_id(text: &str) -> Option<u64> {
    let digits = match text.strip_prefix("0x") {
        Some(digits) if digits.len() <= 16 => digits,
        None if text.len() == 16 => text,
        _ => return None,
    };
    let hexadecimal = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u64::from_str_radix(digits, 16).ok().filter(|id| hexadecimal && *id != 0)
}

fn parse_protocol(name: &str) -> Option<Protocol> {
    match name {
        "OpenFlow10" => Some(Protocol::OpenFlow10),
        "OpenFlow11" => Some(Protocol::OpenFlow11),
        "OpenFlow12" => Some(Protocol::OpenFlow12),
        "OpenFlow13" => Some(Protocol::OpenFlow13),
        "OpenFlow14" => Some(Protocol::OpenFlow14),
        "OpenFlow15" => Some(Protocol::OpenFlow15),
        _ => None,
    }
}

fn unsupported(row: &Row) -> BTreeSet<Unsupported> {
    let asked = [
        (Unsupported::Stp, row.boolean("stp_enable")),
        (Unsupported::Rstp, row.boolean("rstp_enable")),
        (Unsupported::NetFlow, row.optional_reference("netflow").is_some()),
        (Unsupported::SFlow, row.optional_reference("sflow").is_some()),
        (Unsupported::Ipfix, row.optional_reference("ipfix").is_some()),
        (Unsupported::AutoAttach, row.optional_reference("auto_attach").is_some()),
    ];
    asked.into_iter().filter(|(_, set)| *set).map(|(feature, _)| feature).collect()
}
