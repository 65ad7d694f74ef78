//! What the switch tells the database about itself: vswitchd.conf.db(5), the columns "Status" and "Statistics".

use crate::datum::Datum;
use crate::snapshot::{BridgeId, ControllerId, InterfaceId, MirrorId, PortId, Version};
use hive_packet::MacAddr;
use std::collections::{BTreeMap, BTreeSet};

/// The whole of it. A row that is not named here keeps what it has.
#[derive(Debug, Clone, Default)]
pub struct Status {
    /// The configuration that is in effect: `cur_cfg`, which ovs-vsctl waits for, becomes its `next_cfg`.
    pub applied: Option<Version>,
    pub open_vswitch: SwitchStatus,
    /// By datapath type ("netdev").
    pub datapaths: BTreeMap<String, DatapathStatus>,
    pub bridges: BTreeMap<BridgeId, BridgeStatus>,
    pub ports: BTreeMap<PortId, PortStatus>,
    pub interfaces: BTreeMap<InterfaceId, InterfaceStatus>,
    pub controllers: BTreeMap<ControllerId, ControllerStatus>,
    pub mirrors: BTreeMap<MirrorId, MirrorStatus>,
}

/// Columns of `Open_vSwitch`. Versions and system are otherwise written by the script that starts Open vSwitch: nothing leaves
/// them alone.
#[derive(Debug, Clone, Default)]
pub struct SwitchStatus {
    pub ovs_version: Option<String>,
    pub db_version: Option<String>,
    pub system_type: Option<String>,
    pub system_version: Option<String>,
    pub datapath_types: BTreeSet<String>,
    pub iface_types: BTreeSet<String>,
    pub dpdk_initialized: bool,
    pub dpdk_version: Option<String>,
    /// Only wanted with `other_config:enable-statistics`.
    pub statistics: BTreeMap<String, String>,
}

/// Columns of the `Datapath` row, which is made if it is not there.
#[derive(Debug, Clone, Default)]
pub struct DatapathStatus {
    pub version: String,
    pub capabilities: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default)]
pub struct BridgeStatus {
    pub datapath_id: Option<u64>,
    pub datapath_version: String,
    pub status: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default)]
pub struct PortStatus {
    pub status: BTreeMap<String, String>,
    pub statistics: BTreeMap<String, u64>,
    /// Address of a bond's active member.
    pub bond_active_member: Option<MacAddr>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    Up,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duplex {
    Half,
    Full,
}

#[derive(Debug, Clone, Default)]
pub struct InterfaceStatus {
    /// Why there is no such interface: `ofport` is then -1 and every other column empty.
    pub error: Option<String>,
    pub ofport: Option<u16>,
    pub mac_in_use: Option<MacAddr>,
    pub mtu: Option<u32>,
    pub admin_state: Option<LinkState>,
    pub link_state: Option<LinkState>,
    pub link_speed_bps: Option<u64>,
    pub link_resets: Option<u64>,
    pub duplex: Option<Duplex>,
    pub ifindex: Option<u32>,
    pub lacp_current: Option<bool>,
    /// Empty: without a session.
    pub bfd_status: BTreeMap<String, String>,
    pub status: BTreeMap<String, String>,
    pub statistics: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Other,
    Master,
    Slave,
}

#[derive(Debug, Clone, Default)]
pub struct ControllerStatus {
    pub is_connected: bool,
    pub role: Option<Role>,
    /// `state`, `last_error`, `sec_since_connect`, `sec_since_disconnect`.
    pub status: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default)]
pub struct MirrorStatus {
    pub tx_packets: u64,
    pub tx_bytes: u64,
}

impl InterfaceStatus {
    /// The interface could not be made.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { error: Some(message.into()), ..Self::default() }
    }
}

/// How often a column may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Soon after it changes.
    State,
    /// Counters, which always change: every few seconds.
    Statistics,
}

/// Columns with their values.
pub(crate) type Columns = Vec<(&'static str, Pace, Datum)>;

/// No message of an error is longer; the database keeps them and every client gets them.
const MAX_TEXT_CHARS: usize = 512;

fn text(message: &str) -> String {
    message.chars().take(MAX_TEXT_CHARS).collect()
}

fn optional_mac(mac: Option<MacAddr>) -> Datum {
    Datum::optional_string(mac.map(|mac| mac.to_string()).as_deref())
}

fn optional_number<T>(value: Option<T>) -> Datum
where
    i64: TryFrom<T>,
{
    Datum::optional_integer(value.map(|value| i64::try_from(value).unwrap_or(i64::MAX)))
}

fn link(state: Option<LinkState>) -> Datum {
    Datum::optional_string(state.map(|state| match state {
        LinkState::Up => "up",
        LinkState::Down => "down",
    }))
}

impl SwitchStatus {
    pub(crate) fn columns(&self) -> Columns {
        let mut columns = vec![
            ("datapath_types", Pace::State, Datum::strings(&self.datapath_types)),
            ("iface_types", Pace::State, Datum::strings(&self.iface_types)),
            ("dpdk_initialized", Pace::State, Datum::boolean(self.dpdk_initialized)),
            ("statistics", Pace::Statistics, Datum::string_map(&self.statistics)),
        ];
        let set = [
            ("ovs_version", &self.ovs_version),
            ("db_version", &self.db_version),
            ("system_type", &self.system_type),
            ("system_version", &self.system_version),
            ("dpdk_version", &self.dpdk_version),
        ];
        let set =
            set.into_iter().filter_map(|(column, value)| Some((column, Pace::State, Datum::string(value.as_ref()?))));
        columns.extend(set);
        columns
    }
}

impl DatapathStatus {
    pub(crate) fn capabilities(&self) -> Datum {
        Datum::string_map(&self.capabilities)
    }
}

impl BridgeStatus {
    pub(crate) fn columns(&self) -> Columns {
        let datapath_id = self.datapath_id.map(|id| format!("{id:016x}"));
        vec![
            ("datapath_id", Pace::State, Datum::optional_string(datapath_id.as_deref())),
            ("datapath_version", Pace::State, Datum::string(&self.datapath_version)),
            ("status", Pace::State, Datum::string_map(&self.status)),
        ]
    }
}

impl PortStatus {
    pub(crate) fn columns(&self) -> Columns {
        vec![
            ("status", Pace::State, Datum::string_map(&self.status)),
            ("statistics", Pace::Statistics, Datum::counters(&self.statistics)),
            ("bond_active_slave", Pace::State, optional_mac(self.bond_active_member)),
        ]
    }
}

impl InterfaceStatus {
    pub(crate) fn columns(&self) -> Columns {
        if let Some(message) = &self.error {
            let mut columns = Self::default().columns();
            columns.retain(|(column, ..)| !matches!(*column, "error" | "ofport"));
            columns.push(("error", Pace::State, Datum::string(&text(message))));
            columns.push(("ofport", Pace::State, Datum::integer(-1)));
            return columns;
        }
        let duplex = self.duplex.map(|duplex| match duplex {
            Duplex::Half => "half",
            Duplex::Full => "full",
        });
        let lacp_current = match self.lacp_current {
            Some(current) => Datum::boolean(current),
            None => Datum::Set(BTreeSet::new()),
        };
        vec![
            ("error", Pace::State, Datum::optional_string(None)),
            ("ofport", Pace::State, optional_number(self.ofport)),
            ("mac_in_use", Pace::State, optional_mac(self.mac_in_use)),
            ("mtu", Pace::State, optional_number(self.mtu)),
            ("admin_state", Pace::State, link(self.admin_state)),
            ("link_state", Pace::State, link(self.link_state)),
            ("link_speed", Pace::State, optional_number(self.link_speed_bps)),
            ("link_resets", Pace::State, optional_number(self.link_resets)),
            ("duplex", Pace::State, Datum::optional_string(duplex)),
            ("ifindex", Pace::State, optional_number(self.ifindex)),
            ("lacp_current", Pace::State, lacp_current),
            ("bfd_status", Pace::State, Datum::string_map(&self.bfd_status)),
            ("status", Pace::State, Datum::string_map(&self.status)),
            ("statistics", Pace::Statistics, Datum::counters(&self.statistics)),
        ]
    }
}

impl ControllerStatus {
    pub(crate) fn columns(&self) -> Columns {
        let role = self.role.map(|role| match role {
            Role::Other => "other",
            Role::Master => "master",
            Role::Slave => "slave",
        });
        // The status has seconds in it, and changes as counters do.
        vec![
            ("is_connected", Pace::State, Datum::boolean(self.is_connected)),
            ("role", Pace::State, Datum::optional_string(role)),
            ("status", Pace::Statistics, Datum::string_map(&self.status)),
        ]
    }
}

impl MirrorStatus {
    pub(crate) fn columns(&self) -> Columns {
        let counters = [("tx_packets", self.tx_packets), ("tx_bytes", self.tx_bytes)];
        let counters = counters.map(|(name, value)| (name.to_owned(), value));
        vec![("statistics", Pace::Statistics, Datum::counters(&BTreeMap::from(counters)))]
    }
}
