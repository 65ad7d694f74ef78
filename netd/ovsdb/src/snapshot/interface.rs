//! `Interface`: the devices behind ports.

use super::map::StringMap;
use super::name::{self, MAX_DEVICE_NAME_BYTES, MAX_NAME_BYTES};
use super::tunnel::{self, Tunnel, Wireguard};
use super::{InterfaceId, Place, Reader, shown};
use crate::replica::Row;
use crate::table::Table;
use hive_packet::MacAddr;
use uuid::Uuid;

/// One device of a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Interface {
    pub id: InterfaceId,
    pub name: String,
    pub kind: InterfaceKind,
    pub ofport_request: Option<u16>,
    pub mac: Option<MacAddr>,
    pub mtu_request: Option<u32>,
    pub policing: Policing,
    /// Whether the other end lives is watched.
    pub bfd: Option<Bfd>,
    /// LLDP is received and sent.
    pub lldp: bool,
    /// As they are in the database, those that `kind` holds among them.
    pub options: StringMap,
    pub other_config: StringMap,
    pub external_ids: StringMap,
}

impl Interface {
    /// How its packets are encrypted.
    pub fn wireguard(&self) -> Option<&Wireguard> {
        match &self.kind {
            InterfaceKind::Geneve(tunnel) | InterfaceKind::Vxlan(tunnel) => tunnel.wireguard.as_ref(),
            _ => None,
        }
    }

    /// Whether both want one device. Peers of an encrypted tunnel come and go without a new one.
    pub fn same_device(&self, other: &Self) -> bool {
        let without_peers = |interface: &Self| {
            let (mut kind, mut options) = (interface.kind.clone(), interface.options.clone());
            if let InterfaceKind::Geneve(tunnel) | InterfaceKind::Vxlan(tunnel) = &mut kind
                && let Some(wireguard) = &mut tunnel.wireguard
            {
                wireguard.peers.clear();
                options.0.retain(|name, _| !tunnel::names_peer(name));
            }
            (kind, options)
        };
        self.kind == other.kind && self.options == other.options
            || self.wireguard().is_some() && without_peers(self) == without_peers(other)
    }
}

/// `type`, and the options that such a device cannot be without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InterfaceKind {
    /// A device of the host, by its name.
    System,
    /// One through AF_XDP.
    Afxdp(Afxdp),
    /// A device of the host that the switch makes: the bridge's own, or one more.
    Internal,
    Tap,
    /// Ends in the patch port of the name `peer`.
    Patch {
        peer: String,
    },
    /// vhost-user; the switch listens on a socket of the interface's name in its run directory.
    DpdkVhostUser,
    /// vhost-user; the switch connects to `server_path`, absolute, once it is set.
    DpdkVhostUserClient {
        server_path: Option<String>,
    },
    Geneve(Tunnel),
    Vxlan(Tunnel),
    /// DHCP, DNS and instance metadata, answered in the switch.
    Services,
}

/// How a device is taken by AF_XDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Afxdp {
    /// `xdp-mode`; None is `best-effort`.
    pub mode: Option<XdpMode>,
    /// `use-need-wakeup`
    pub need_wakeup: bool,
    /// `n_rxq`: the first so many receive queues; None: all that the device has.
    pub rx_queues: Option<u32>,
}

/// `xdp-mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XdpMode {
    NativeWithZeroCopy,
    Native,
    Generic,
}

/// Limits on what comes in; 0 is none. A burst of 0 is the switch's to choose.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policing {
    pub rate_kbps: u64,
    pub burst_kbit: u64,
    pub rate_kpps: u64,
    pub burst_kpackets: u64,
}

/// A session of BFD (RFC 5880).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bfd {
    /// Between packets that are received, at least.
    pub min_rx_ms: u32,
    /// Between packets that are sent, at least.
    pub min_tx_ms: u32,
    /// Packets that may be missing.
    pub multiplier: u8,
}

/// vswitchd.conf.db(5)
const BFD_MIN_RX_MS: u32 = 1000;
const BFD_MIN_TX_MS: u32 = 100;
const BFD_MULTIPLIER: u8 = 3;
/// A process that shares its processors is not heard of more often for sure.
const BFD_INTERVAL_MIN_MS: u32 = 50;
/// In microseconds it has to fit a packet's field.
const BFD_INTERVAL_MAX_MS: u32 = 3_600_000;
/// Of the column; others are not followed. `check_tnl_key` always holds.
const BFD_KEYS: [&str; 5] = ["enable", "min_rx", "min_tx", "mult", "check_tnl_key"];

pub const GENEVE_PORT: u16 = 6081;
pub const VXLAN_PORT: u16 = 4789;
/// OFPP_MAX of OpenFlow 1.0 bounds what may be asked for.
const MAX_OFPORT: i64 = 0xfeff;
/// An IPv4 host must take packets of this size; what an MTU below would be for is unknown.
const MIN_MTU: i64 = 68;
const MAX_MTU: i64 = 65_535;
/// `sockaddr_un.sun_path` without its end.
const MAX_SOCKET_PATH_BYTES: usize = 107;

impl InterfaceKind {
    fn read(name: &str, kind: &str, options: &StringMap) -> Result<Self, String> {
        let kind = match kind {
            "" | "system" => Self::System,
            "afxdp" | "afxdp-nonpmd" => Self::Afxdp(Afxdp::read(options)?),
            "internal" => Self::Internal,
            "tap" => Self::Tap,
            "patch" => match options.text("peer") {
                None | Some("") => return Err("patch type requires valid 'peer' argument".to_owned()),
                Some(peer) if peer == name => return Err("patch peer must not be self".to_owned()),
                Some(peer) => {
                    name::check(peer, MAX_NAME_BYTES)?;
                    Self::Patch { peer: peer.to_owned() }
                }
            },
            "dpdkvhostuser" => Self::DpdkVhostUser,
            "dpdkvhostuserclient" => {
                let server_path = options.text("vhost-server-path").filter(|path| !path.is_empty());
                if let Some(path) = server_path
                    && (!path.starts_with('/') || path.len() > MAX_SOCKET_PATH_BYTES || path.contains('\0'))
                {
                    let path = shown(path);
                    return Err(format!(
                        "vhost-server-path {path} is no absolute path of up to {MAX_SOCKET_PATH_BYTES} bytes"
                    ));
                }
                Self::DpdkVhostUserClient { server_path: server_path.map(str::to_owned) }
            }
            "geneve" => Self::Geneve(Tunnel::read(kind, options, GENEVE_PORT)?),
            "vxlan" => Self::Vxlan(Tunnel::read(kind, options, VXLAN_PORT)?),
            "services" => Self::Services,
            // ovs-vswitchd's own words, which scripts look for.
            _ => {
                return Err(format!("could not open network device {name} (Address family not supported by protocol)"));
            }
        };
        let limit = match kind {
            Self::System | Self::Afxdp(_) | Self::Internal | Self::Tap => MAX_DEVICE_NAME_BYTES,
            _ => MAX_NAME_BYTES,
        };
        name::check(name, limit).map(|()| kind)
    }

    /// The name of the type in the database.
    pub fn name(&self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Afxdp(_) => "afxdp",
            Self::Internal => "internal",
            Self::Tap => "tap",
            Self::Patch { .. } => "patch",
            Self::DpdkVhostUser => "dpdkvhostuser",
            Self::DpdkVhostUserClient { .. } => "dpdkvhostuserclient",
            Self::Geneve(_) => "geneve",
            Self::Vxlan(_) => "vxlan",
            Self::Services => "services",
        }
    }
}

impl Afxdp {
    fn read(options: &StringMap) -> Result<Self, String> {
        let mode = match options.text("xdp-mode") {
            None | Some("best-effort") => None,
            Some("native-with-zerocopy") => Some(XdpMode::NativeWithZeroCopy),
            Some("native") => Some(XdpMode::Native),
            Some("generic") => Some(XdpMode::Generic),
            Some(other) => {
                let modes = "best-effort, native-with-zerocopy, native and generic";
                return Err(format!("xdp-mode {} is none of {modes}", shown(other)));
            }
        };
        let rx_queues = match (options.text("n_rxq"), options.number("n_rxq").filter(|queues: &u32| *queues > 0)) {
            (Some(text), None) => return Err(format!("n_rxq {} is no number of queues", shown(text))),
            (_, queues) => queues,
        };
        Ok(Self { mode, need_wakeup: options.boolean("use-need-wakeup", true), rx_queues })
    }
}

impl Reader<'_> {
    /// Reads an interface of `bridge`; its local port is of type internal whatever the row says.
    pub(super) fn interface(&mut self, id: Uuid, bridge: &str) -> Option<Interface> {
        let row = self.replica.row(Table::Interface, id)?;
        let name = row.text("name");
        let place = Place { table: Table::Interface, row: id, name };
        if !self.taken.insert(id) {
            self.ignore(place, format!("a second port claims interface {}", shown(name)));
            return None;
        }
        let options = StringMap::read(row, "options");
        let kind = if name == bridge { "internal" } else { row.text("type") };
        let kind = match InterfaceKind::read(name, kind, &options) {
            Ok(kind) => kind,
            Err(message) => {
                self.refuse(place, message);
                return None;
            }
        };
        if row.optional_integer("cfm_mpid").is_some() {
            self.ignore(place, "cfm_mpid is not supported".to_owned());
        }
        let bfd = self.bfd(place, &StringMap::read(row, "bfd"));
        let ofport_request = row.optional_integer("ofport_request").and_then(|port| {
            let valid = u16::try_from(port).ok().filter(|_| (1..=MAX_OFPORT).contains(&port));
            if valid.is_none() {
                self.ignore(place, format!("ofport_request {port} is not between 1 and {MAX_OFPORT}"));
            }
            valid
        });
        let mtu_request = row.optional_integer("mtu_request").and_then(|mtu| {
            let valid = u32::try_from(mtu).ok().filter(|_| (MIN_MTU..=MAX_MTU).contains(&mtu));
            if valid.is_none() {
                self.ignore(place, format!("mtu_request {mtu} is not between {MIN_MTU} and {MAX_MTU}"));
            }
            valid
        });
        Some(Interface {
            id: InterfaceId(id),
            name: name.to_owned(),
            kind,
            ofport_request,
            mac: self.mac(place, row.optional_text("mac")),
            mtu_request,
            policing: policing(row),
            bfd,
            lldp: StringMap::read(row, "lldp").boolean("enable", false),
            options,
            other_config: StringMap::read(row, "other_config"),
            external_ids: StringMap::read(row, "external_ids"),
        })
    }

    fn bfd(&mut self, place: Place<'_>, map: &StringMap) -> Option<Bfd> {
        if !map.boolean("enable", false) {
            return None;
        }
        for key in map.keys().filter(|key| !BFD_KEYS.contains(&key.as_str())) {
            self.ignore(place, format!("bfd:{} is not supported", shown(key)));
        }
        let interval_ms = |key, default: u32| {
            let interval_ms = map.number(key).filter(|interval_ms: &u32| *interval_ms > 0).unwrap_or(default);
            interval_ms.clamp(BFD_INTERVAL_MIN_MS, BFD_INTERVAL_MAX_MS)
        };
        Some(Bfd {
            min_rx_ms: interval_ms("min_rx", BFD_MIN_RX_MS),
            min_tx_ms: interval_ms("min_tx", BFD_MIN_TX_MS),
            multiplier: map.number("mult").filter(|multiplier: &u8| *multiplier > 0).unwrap_or(BFD_MULTIPLIER),
        })
    }

    /// A station's address; another is ignored.
    pub(super) fn mac(&mut self, place: Place<'_>, text: Option<&str>) -> Option<MacAddr> {
        let text = text?;
        let mac = text.parse().ok().filter(|mac: &MacAddr| mac.is_station());
        if mac.is_none() {
            self.ignore(place, format!("{} is no unicast MAC address", shown(text)));
        }
        mac
    }
}

fn policing(row: &Row) -> Policing {
    let value = |column| u64::try_from(row.integer(column)).unwrap_or(0);
    Policing {
        rate_kbps: value("ingress_policing_rate"),
        burst_kbit: value("ingress_policing_burst"),
        rate_kpps: value("ingress_policing_kpkts_rate"),
        burst_kpackets: value("ingress_policing_kpkts_burst"),
    }
}
