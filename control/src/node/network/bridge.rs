//! The node's bridge and its ports, in the database that netd follows: by the stock `ovs-vsctl`, which waits until netd has done it.

use super::NetworkError;
use super::flow_logs::{ACTIVE_TIMEOUT_S, FLOWS_MAX};
use super::numbers::LARGEST;
use super::tunnel::{Key, mtu_through, network_mtu};
use crate::api::Place;
use crate::config::{NodeConfig, UplinkConfig};
use hive_vpc::flow_log::COLLECTOR_SET;
use hive_vpc::model::MacAddress;
use hive_vpc::{ConnectionTracking, LocalNumber, PortNo, Tunnel, Uplink};
use ipnet::{Ipv4Net, Ipv6Net};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::process::Command;

pub const BRIDGE: &str = "hive0";
/// Interface behind which netd's local services answer.
const SERVICES: &str = "hive-services";
const SERVICES_PORT: u16 = LARGEST + 1;
const UPLINK_PORT: u16 = LARGEST + 2;
/// Interface to the other nodes.
const TUNNEL: &str = "hive-tunnel";
const TUNNEL_PORT: u16 = LARGEST + 3;
/// From a change of the database to netd's having followed it.
const TIMEOUT_S: u32 = 20;
/// Longest IP packet on the uplink, as at AWS's internet gateway.
const UPLINK_MTU_BYTES: u16 = 1500;
/// The host's end of the uplink, if that is the host.
const HOST_MAC: MacAddress = MacAddress([0x02, 0x48, 0x56, 0, 0, 1]);
/// Names of guests' ports begin so, which are their interfaces' ids.
const PORT_PREFIX: &str = "eni-";
/// Of all bridges with netd's datapath; nobody else has zones there.
const DATAPATH: &str = "netdev";
const COLLECTORS: &str = "Flow_Sample_Collector_Set";

/// Whether a port of this name could be another one of the bridge's.
pub fn is_own_name(name: &str) -> bool {
    [BRIDGE, SERVICES, TUNNEL].contains(&name) || name.starts_with(PORT_PREFIX)
}

/// The keys of other nodes, by their addresses for tunnels.
pub type Peers = BTreeMap<Ipv4Addr, String>;

#[derive(Debug)]
pub struct Bridge {
    database: PathBuf,
    run_dir: PathBuf,
    uplink: Option<UplinkConfig>,
    tunnel_address: Option<Ipv4Addr>,
    /// By which tunnels are encrypted; none: they are not.
    key: Option<Key>,
    /// What the uplink has for addresses; they are routed to it where it is the host.
    pools: Vec<Ipv4Net>,
    ipv6_pools: Vec<Ipv6Net>,
    /// It was said that Linux has none.
    without_ipv6: AtomicBool,
    /// What public addresses are at on the uplink: others of the same network have others.
    mac: MacAddress,
}

/// A port as it is to be: its number, and the columns of its interface.
struct Port {
    number: u16,
    settings: String,
}

/// `--format=json` of `list interface`.
#[derive(Deserialize)]
struct Listed {
    data: Vec<(String, serde_json::Value, serde_json::Value)>,
}

impl Bridge {
    /// # Errors
    /// Tunnels are to be encrypted, and there can be no key.
    pub fn new(config: &NodeConfig, place: &Place) -> io::Result<Self> {
        let key = config.tunnel_encryption.then(|| Key::open(&config.state_dir)).transpose()?;
        let digest = Sha256::digest(&config.node_id);
        let [a, b, c] = digest.first_chunk().copied().unwrap_or_default();
        Ok(Self {
            database: config.ovsdb_socket.clone(),
            run_dir: config.switch_run_dir.clone(),
            uplink: config.uplink.clone(),
            tunnel_address: config.tunnel_address,
            key,
            pools: place.public_address_pools.clone(),
            ipv6_pools: place.ipv6_pools.clone(),
            without_ipv6: AtomicBool::new(false),
            mac: MacAddress([0x06, 0x48, 0x56, a, b, c]),
        })
    }

    /// Where its tables are programmed.
    pub fn management_socket(&self) -> PathBuf {
        self.run_dir.join(format!("{BRIDGE}.mgmt"))
    }

    /// Where the machine of an interface connects to.
    pub fn port_socket(&self, interface: &str) -> PathBuf {
        self.run_dir.join(interface)
    }

    pub fn services(&self) -> PortNo {
        PortNo(SERVICES_PORT)
    }

    pub fn public_key(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.public.as_str())
    }

    /// As the network between nodes is now.
    pub async fn tunnel(&self) -> Option<Tunnel> {
        let network_bytes = network_mtu(self.tunnel_address?).await;
        Some(Tunnel { port: PortNo(TUNNEL_PORT), mtu_bytes: mtu_through(network_bytes, self.key.is_some()) })
    }

    pub fn uplink(&self) -> Option<Uplink> {
        let gateway_mac = match self.uplink.as_ref()? {
            UplinkConfig::Host { .. } => HOST_MAC,
            UplinkConfig::Device { gateway_mac, .. } => super::translate::mac(gateway_mac)?,
        };
        let (port, mac) = (PortNo(UPLINK_PORT), self.mac);
        Some(Uplink { port, mac, gateway_mac, mtu_bytes: UPLINK_MTU_BYTES })
    }

    async fn vsctl(&self, arguments: &[String]) -> Result<Vec<u8>, NetworkError> {
        let mut command = Command::new("ovs-vsctl");
        command.arg(format!("--db=unix:{}", self.database.display())).arg(format!("--timeout={TIMEOUT_S}"));
        run(command.arg("--no-syslog").args(arguments)).await
    }

    /// All ports that the bridge is to have.
    fn ports(&self, guests: &BTreeMap<String, LocalNumber>, peers: &Peers) -> BTreeMap<String, Port> {
        let own = |number, settings| Port { number, settings };
        let guest = |(name, number): (&String, &LocalNumber)| {
            let mtu = super::MTU_BYTES;
            let settings = format!("type=dpdkvhostuser mtu_request={mtu} external_ids:iface-id={name}");
            (name.clone(), own(number.0, settings))
        };
        let mut ports: BTreeMap<String, Port> = guests.iter().map(guest).collect();
        ports.insert(SERVICES.to_owned(), own(SERVICES_PORT, "type=services".to_owned()));
        if let Some(uplink) = &self.uplink {
            let settings = match uplink {
                UplinkConfig::Host { .. } => format!("type=internal mac=\"{HOST_MAC}\""),
                UplinkConfig::Device { .. } => "type=system".to_owned(),
            };
            ports.insert(uplink.interface().to_owned(), own(UPLINK_PORT, settings));
        }
        if let Some(address) = self.tunnel_address {
            ports.insert(TUNNEL.to_owned(), own(TUNNEL_PORT, tunnel(address, self.key.as_ref(), peers)));
        }
        ports
    }

    /// Makes the bridge and exactly these guests' ports beside its own, each with its number, and tells the tunnel of its peers. Which of
    /// all cannot be had.
    ///
    /// # Errors
    /// The database or netd does not answer.
    pub async fn ensure(
        &self,
        guests: &BTreeMap<String, LocalNumber>,
        peers: &Peers,
    ) -> Result<BTreeSet<String>, NetworkError> {
        let ports = self.ports(guests, peers);
        let setup = format!("--may-exist add-br {BRIDGE} -- set bridge {BRIDGE} datapath_type=netdev fail_mode=secure");
        self.vsctl(&words(&setup)).await?;
        let mut found = self.found().await?;
        let is_there = |found: &BTreeMap<String, Option<u16>>, name: &str, port: &Port| {
            found.get(name) == Some(&Some(port.number))
        };
        let mut changes = Vec::new();
        for name in found.keys().filter(|name| !ports.get(*name).is_some_and(|port| is_there(&found, name, port))) {
            changes.extend(words(&format!("-- --if-exists del-port {BRIDGE} {name}")));
        }
        for (name, port) in &ports {
            let Port { number, settings } = port;
            if !is_there(&found, name, port) {
                changes.extend(words(&format!(
                    "-- add-port {BRIDGE} {name} -- set interface {name} ofport_request={number} {settings}"
                )));
            } else if !guests.contains_key(name) {
                // May be configured otherwise than it was.
                changes.extend(words(&format!("-- set interface {name} {settings}")));
            }
        }
        self.vsctl(&changes).await?;
        found = self.found().await?;
        if let Some(UplinkConfig::Host { interface }) = &self.uplink {
            self.route(interface).await?;
        }
        let missing = ports.iter().filter(|(name, port)| !is_there(&found, name, port));
        Ok(missing.map(|(name, _)| name.clone()).collect())
    }

    /// The bridge's ports, with their numbers if they have one.
    async fn found(&self) -> Result<BTreeMap<String, Option<u16>>, NetworkError> {
        let asked = format!("--format=json --columns=name,ofport,error list interface -- list-ports {BRIDGE}");
        let printed = self.vsctl(&words(&asked)).await?;
        let printed = String::from_utf8_lossy(&printed);
        let (interfaces, ports) = printed.split_once('\n').unwrap_or((&printed, ""));
        let listed: Listed = serde_json::from_str(interfaces).map_err(NetworkError::Listing)?;
        let listed: BTreeMap<String, (serde_json::Value, serde_json::Value)> =
            listed.data.into_iter().map(|(name, number, error)| (name, (number, error))).collect();
        let number = |name: &str| {
            let (number, error) = listed.get(name)?;
            if let Some(error) = error.as_str() {
                tracing::warn!(port = name, error, "the switch cannot have a port");
            }
            number.as_u64().and_then(|number| u16::try_from(number).ok())
        };
        Ok(ports.lines().map(|name| (name.to_owned(), number(name))).collect())
    }

    /// The host reaches public addresses over its end of the uplink.
    async fn route(&self, interface: &str) -> Result<(), NetworkError> {
        run(Command::new("ip").args(["link", "set", interface, "up"])).await?;
        for pool in &self.pools {
            run(Command::new("ip").args(["route", "replace", &pool.to_string(), "dev", interface])).await?;
        }
        for pool in &self.ipv6_pools {
            // Linux may be without it; the rest goes on.
            if let Err(error) = self.route_ipv6(interface, pool).await
                && !self.without_ipv6.swap(true, Ordering::Relaxed)
            {
                tracing::warn!(%error, interface, "the host does not reach instances by IPv6");
            }
        }
        Ok(())
    }

    /// And has an address there, of the pool's first block, which is no VPC's: else Linux might speak to them by one of its link.
    async fn route_ipv6(&self, interface: &str, pool: &Ipv6Net) -> Result<(), NetworkError> {
        let own = format!("{}/128", Ipv6Addr::from_bits(pool.network().to_bits() | 1));
        run(Command::new("ip").args(["-6", "address", "replace", &own, "dev", interface, "nodad"])).await?;
        run(Command::new("ip").args(["-6", "route", "replace", &pool.to_string(), "dev", interface])).await.map(drop)
    }

    /// How long connections are kept in these zones, and that others are as any. `all`: by what the database has, whoever wrote it;
    /// else `before` is what was set last.
    ///
    /// # Errors
    /// As [`Self::ensure`].
    pub async fn set_zones(
        &self,
        before: &BTreeMap<LocalNumber, ConnectionTracking>,
        now: &BTreeMap<LocalNumber, ConnectionTracking>,
        all: bool,
    ) -> Result<(), NetworkError> {
        let policies = |zones: &BTreeMap<LocalNumber, ConnectionTracking>| -> BTreeMap<u16, BTreeSet<String>> {
            zones.iter().map(|(zone, tracking)| (zone.0, policy(tracking))).collect()
        };
        let before = if all { self.zones().await? } else { policies(before) };
        let now = policies(now);
        let mut changes = Vec::new();
        for zone in before.keys().filter(|zone| !now.contains_key(zone)) {
            changes.extend(words(&format!("-- --if-exists del-zone-tp {DATAPATH} zone={zone}")));
        }
        for (zone, policy) in now.iter().filter(|(zone, policy)| before.get(zone) != Some(policy)) {
            changes.extend(words(&format!(
                "-- --if-exists del-zone-tp {DATAPATH} zone={zone} -- add-zone-tp {DATAPATH} zone={zone}"
            )));
            changes.extend(policy.iter().cloned());
        }
        if changes.is_empty() { Ok(()) } else { self.vsctl(&changes).await.map(drop) }
    }

    /// What flows sample is told at this socket; or nowhere.
    ///
    /// # Errors
    /// As [`Self::ensure`].
    pub async fn set_collector(&self, socket: Option<&Path>) -> Result<(), NetworkError> {
        let bridge = self.printed(&format!("get bridge {BRIDGE} _uuid")).await?;
        let of_bridge = format!("{COLLECTORS} id={COLLECTOR_SET} bridge={bridge}");
        let found = self.printed(&format!("--bare --columns=ipfix find {of_bridge}")).await?;
        let target = socket.map(|socket| quoted(&format!("unix:{}", socket.display())));
        let wanted = target.as_ref().map(|target| {
            format!("targets={target} cache_active_timeout={ACTIVE_TIMEOUT_S} cache_max_flows={FLOWS_MAX}")
        });
        if let (false, Some(target)) = (found.is_empty(), &target) {
            let targets = self.printed(&format!("get IPFIX {found} targets")).await?;
            if targets == format!("[{target}]") {
                return Ok(());
            }
        }
        let mut changes = Vec::new();
        if !found.is_empty() {
            let set = self.printed(&format!("--bare --columns=_uuid find {of_bridge}")).await?;
            changes.extend(words(&format!("-- destroy {COLLECTORS} {set}")));
        }
        if let Some(wanted) = wanted {
            changes.extend(words(&format!("-- --id=@ipfix create IPFIX {wanted} -- create {of_bridge} ipfix=@ipfix")));
        }
        if changes.is_empty() { Ok(()) } else { self.vsctl(&changes).await.map(drop) }
    }

    async fn printed(&self, command: &str) -> Result<String, NetworkError> {
        let printed = self.vsctl(&words(command)).await?;
        Ok(String::from_utf8_lossy(&printed).trim().to_owned())
    }

    async fn zones(&self) -> Result<BTreeMap<u16, BTreeSet<String>>, NetworkError> {
        let printed = self.vsctl(&words(&format!("list-zone-tp {DATAPATH}"))).await?;
        Ok(String::from_utf8_lossy(&printed).lines().filter_map(parse_zone).collect())
    }
}

/// All options at once: peers that are gone are to go.
fn tunnel(address: Ipv4Addr, key: Option<&Key>, peers: &Peers) -> String {
    // What is too long for the network goes in fragments, of which IPv4 could put the wrong ones together; and all of a flow leaves by one
    // socket.
    let mut options = format!("key=flow,remote_ip=flow,local_ip={address},df_default=false,csum=true");
    if let Some(key) = key {
        options += &format!(",wireguard_private_key_file={}", quoted(&key.file.display().to_string()));
        for (peer, key) in peers {
            options += &format!(",{}={}", quoted(&format!("wireguard_peer:{peer}")), quoted(key));
        }
    }
    format!("type=geneve options={{{options}}}")
}

/// A string as ovs-vsctl reads it in a map, without spaces.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string().replace(' ', "\\u0020")
}

/// As it is given to `add-zone-tp`, and `list-zone-tp` prints it.
fn policy(tracking: &ConnectionTracking) -> BTreeSet<String> {
    let ConnectionTracking { tcp_established_s, udp_stream_s, udp_s } = tracking;
    let all = [
        ("tcp_established", tcp_established_s),
        ("udp_first", udp_s),
        ("udp_single", udp_s),
        ("udp_multiple", udp_stream_s),
    ];
    all.map(|(name, seconds)| format!("{name}={seconds}")).into()
}

/// `Zone:5, Timeout Policies: tcp_established=100 udp_first=3`
fn parse_zone(line: &str) -> Option<(u16, BTreeSet<String>)> {
    let (zone, policy) = line.strip_prefix("Zone:")?.split_once(", Timeout Policies:")?;
    Some((zone.parse().ok()?, policy.split_whitespace().map(str::to_owned).collect()))
}

/// Arguments without spaces in them.
fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Runs a tool to its end; what it printed.
pub(super) async fn run(command: &mut Command) -> Result<Vec<u8>, NetworkError> {
    let tool = Path::new(command.as_std().get_program()).display().to_string();
    let output = command.kill_on_drop(true).stdin(std::process::Stdio::null()).output().await;
    let output = match output {
        Ok(output) => output,
        Err(source) => return Err(NetworkError::Start { tool, source }),
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(NetworkError::Tool { tool, said });
    }
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_are_read_as_they_are_written() {
        let tracking = ConnectionTracking::default();
        let printed = policy(&tracking).into_iter().collect::<Vec<_>>().join(" ");
        let zone = parse_zone(&format!("Zone:5, Timeout Policies: {printed}"));
        assert_eq!(zone, Some((5, policy(&tracking))));
        assert_eq!(
            parse_zone("Zone:6, Timeout Policies: system default"),
            Some((6, ["system", "default"].map(str::to_owned).into()))
        );
        for other in ["", "Zone:70000, Timeout Policies: a=1", "Zone:5"] {
            assert_eq!(parse_zone(other), None, "{other}");
        }
    }
}
