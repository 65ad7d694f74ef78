//! The node's bridge and its ports, in the database that netd follows: by the stock `ovs-vsctl`, which waits until netd has done it.

use super::NetworkError;
use super::numbers::LARGEST;
use crate::config::{NodeConfig, UplinkConfig};
use hive_vpc::model::MacAddress;
use hive_vpc::{ConnectionTracking, LocalNumber, PortNo, Uplink};
use ipnet::Ipv4Net;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
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

#[derive(Debug)]
pub struct Bridge {
    database: PathBuf,
    run_dir: PathBuf,
    uplink: Option<UplinkConfig>,
    tunnel_address: Option<Ipv4Addr>,
    /// What the uplink has for addresses; they are routed to it where it is the host.
    pools: Vec<Ipv4Net>,
    /// What public addresses are at on the uplink: others of the same network have others.
    mac: MacAddress,
}

/// `--format=json` of `list interface`.
#[derive(Deserialize)]
struct Listed {
    data: Vec<(String, serde_json::Value, serde_json::Value)>,
}

impl Bridge {
    pub fn new(config: &NodeConfig, pools: &[Ipv4Net]) -> Self {
        let digest = Sha256::digest(&config.node_id);
        let [a, b, c] = digest.first_chunk().copied().unwrap_or_default();
        Self {
            database: config.ovsdb_socket.clone(),
            run_dir: config.switch_run_dir.clone(),
            uplink: config.uplink.clone(),
            tunnel_address: config.tunnel_address,
            pools: pools.to_vec(),
            mac: MacAddress([0x06, 0x48, 0x56, a, b, c]),
        }
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

    pub fn tunnel(&self) -> Option<PortNo> {
        self.tunnel_address.map(|_| PortNo(TUNNEL_PORT))
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

    /// Makes the bridge and exactly these guests' ports, each with its number. Which of them cannot be had.
    ///
    /// # Errors
    /// The database or netd does not answer.
    pub async fn ensure(&self, ports: &BTreeMap<String, LocalNumber>) -> Result<BTreeSet<String>, NetworkError> {
        let mut setup = words(&format!(
            "--may-exist add-br {BRIDGE} -- set bridge {BRIDGE} datapath_type=netdev fail_mode=secure \
             -- --may-exist add-port {BRIDGE} {SERVICES} -- set interface {SERVICES} type=services ofport_request={SERVICES_PORT}"
        ));
        if let Some(uplink) = &self.uplink {
            let (name, kind) = match uplink {
                UplinkConfig::Host { interface } => (interface, format!("type=internal mac=\"{HOST_MAC}\"")),
                UplinkConfig::Device { interface, .. } => (interface, "type=system".to_owned()),
            };
            setup.extend(words(&format!(
                "-- --may-exist add-port {BRIDGE} {name} -- set interface {name} {kind} ofport_request={UPLINK_PORT}"
            )));
        }
        match self.tunnel_address {
            Some(address) => setup.extend(words(&format!(
                "-- --may-exist add-port {BRIDGE} {TUNNEL} -- set interface {TUNNEL} type=geneve ofport_request={TUNNEL_PORT} \
                 options:key=flow options:remote_ip=flow options:local_ip={address}"
            ))),
            None => setup.extend(words(&format!("-- --if-exists del-port {BRIDGE} {TUNNEL}"))),
        }
        self.vsctl(&setup).await?;
        let mut found = self.guest_ports().await?;
        let mut changes = Vec::new();
        for (name, _) in found.iter().filter(|(name, port)| ports.get(*name).map(|number| number.0) != **port) {
            changes.extend(words(&format!("-- --if-exists del-port {BRIDGE} {name}")));
        }
        let missing = ports.iter().filter(|(name, number)| found.get(*name) != Some(&Some(number.0)));
        for (name, LocalNumber(number)) in missing {
            let mtu = super::MTU_BYTES;
            changes.extend(words(&format!(
                "-- add-port {BRIDGE} {name} -- set interface {name} type=dpdkvhostuser ofport_request={number} mtu_request={mtu} \
                 external_ids:iface-id={name}"
            )));
        }
        if !changes.is_empty() {
            self.vsctl(&changes).await?;
            found = self.guest_ports().await?;
        }
        if let Some(UplinkConfig::Host { interface }) = &self.uplink {
            self.route(interface).await?;
        }
        let missing = ports.iter().filter(|(name, number)| found.get(*name) != Some(&Some(number.0)));
        Ok(missing.map(|(name, _)| name.clone()).collect())
    }

    /// The guests' ports that are there, with their numbers if they have one.
    async fn guest_ports(&self) -> Result<BTreeMap<String, Option<u16>>, NetworkError> {
        let printed = self.vsctl(&words("--format=json --columns=name,ofport,error list interface")).await?;
        let listed: Listed = serde_json::from_slice(&printed).map_err(NetworkError::Listing)?;
        let number = |value: &serde_json::Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
        let guests = listed.data.into_iter().filter(|(name, ..)| name.starts_with(PORT_PREFIX));
        Ok(guests
            .map(|(name, port, error)| {
                if let Some(error) = error.as_str() {
                    tracing::warn!(port = name, error, "the switch cannot have a port");
                }
                (name, number(&port))
            })
            .collect())
    }

    /// The host reaches public addresses over its end of the uplink.
    async fn route(&self, interface: &str) -> Result<(), NetworkError> {
        run(Command::new("ip").args(["link", "set", interface, "up"])).await?;
        for pool in &self.pools {
            run(Command::new("ip").args(["route", "replace", &pool.to_string(), "dev", interface])).await?;
        }
        Ok(())
    }

    /// How long connections are kept in these zones, and that others are as any.
    ///
    /// # Errors
    /// As [`Self::ensure`].
    pub async fn set_zones(
        &self,
        before: &BTreeMap<LocalNumber, ConnectionTracking>,
        now: &BTreeMap<LocalNumber, ConnectionTracking>,
    ) -> Result<(), NetworkError> {
        let mut changes = Vec::new();
        for LocalNumber(zone) in before.keys().filter(|zone| !now.contains_key(zone)) {
            changes.extend(words(&format!("-- --if-exists del-zone-tp netdev zone={zone}")));
        }
        for (zone, tracking) in now.iter().filter(|(zone, tracking)| before.get(zone) != Some(tracking)) {
            let (LocalNumber(zone), ConnectionTracking { tcp_established_s, udp_stream_s, udp_s }) = (zone, tracking);
            changes.extend(words(&format!(
                "-- --if-exists del-zone-tp netdev zone={zone} -- add-zone-tp netdev zone={zone} tcp_established={tcp_established_s} \
                 udp_first={udp_s} udp_single={udp_s} udp_multiple={udp_stream_s}"
            )));
        }
        if changes.is_empty() { Ok(()) } else { self.vsctl(&changes).await.map(drop) }
    }
}

/// Arguments without spaces in them.
fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Runs a tool to its end; what it printed.
async fn run(command: &mut Command) -> Result<Vec<u8>, NetworkError> {
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
