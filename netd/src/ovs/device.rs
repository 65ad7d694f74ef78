//! What moves an interface's packets.

use super::daemon::Daemon;
use crate::dataplane::Backend;
use hive_device::tunnel::secure::Peers;
use hive_device::tunnel::{
    Endpoint, Key, Kind, OptionMap, OptionsHandle, PrivateKey, Security, SecurityHandle, TunnelConfig, Tunnels,
};
use hive_device::{Device, Link, PacketDevice, Tap};
use hive_ovsdb::snapshot::{self, Interface, InterfaceKind, Tunnel, Wireguard};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// Of a tunnel, what is changed and looked at while a worker has it.
#[derive(Debug)]
pub(super) struct TunnelHandles {
    pub options: OptionsHandle,
    pub security: Option<SecurityHandle>,
}

/// An opened device, or that none is needed.
pub(super) enum Opened {
    Backend {
        backend: Backend,
        tunnel: Option<TunnelHandles>,
        /// Of a device of the host.
        link: Option<Arc<Link>>,
    },
    /// A patch port: packets go on within the pipeline.
    None,
}

/// The text of errno as Open vSwitch prints it, without Rust's "(os error N)".
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_owned()
}

/// Opens an interface's device. `mac`: of a device that is made.
///
/// The error is what the database is told, in ovs-vswitchd's words.
pub(super) fn open(
    interface: &Interface,
    mac: Option<[u8; 6]>,
    tunnels: &Tunnels,
    options: &OptionMap,
    daemon: &Daemon,
) -> Result<Opened, String> {
    let rundir = &daemon.rundir;
    let name = &interface.name;
    let failed = |error: io::Error| format!("could not open network device {name} ({})", reason(&error));
    let device =
        |device: Box<dyn Device>, link| Ok(Opened::Backend { backend: Backend::Device(device), tunnel: None, link });
    let socket = |backend| Opened::Backend { backend, tunnel: None, link: None };
    match &interface.kind {
        InterfaceKind::System => {
            let packet = PacketDevice::attach(name).map_err(failed)?;
            let link = packet.link().clone();
            device(Box::new(packet), Some(link))
        }
        InterfaceKind::Internal | InterfaceKind::Tap => {
            let tap = Tap::create(name).map_err(failed)?;
            if let Some(mac) = mac {
                tap.link().set_mac(mac).map_err(failed)?;
            }
            if interface.kind == InterfaceKind::Tap {
                // Nobody else could: a tap port is not the host's to configure.
                tap.link().set_up(true).map_err(failed)?;
            }
            let link = tap.link().clone();
            device(Box::new(tap), Some(link))
        }
        InterfaceKind::Patch { .. } => Ok(Opened::None),
        InterfaceKind::DpdkVhostUser => Ok(socket(Backend::VhostUserServer { socket: rundir.join(name) })),
        InterfaceKind::DpdkVhostUserClient { server_path: Some(path) } => {
            Ok(socket(Backend::VhostUserClient { socket: path.into() }))
        }
        // It may be told later where to connect.
        InterfaceKind::DpdkVhostUserClient { server_path: None } => {
            Err(format!("{name}: waiting for options:vhost-server-path"))
        }
        InterfaceKind::Geneve(tunnel) => open_tunnel(name, Kind::Geneve, tunnel, tunnels, options),
        InterfaceKind::Vxlan(tunnel) => open_tunnel(name, Kind::Vxlan, tunnel, tunnels, options),
        InterfaceKind::Services => match &daemon.services {
            Some(services) => device(Box::new(services.device().map_err(failed)?), None),
            None => Err(format!("{name}: netd was started without --state-dir and --control-socket")),
        },
        InterfaceKind::Afxdp => {
            let error = io::Error::from_raw_os_error(libc::EAFNOSUPPORT);
            Err(failed(error))
        }
    }
}

fn endpoint(end: snapshot::Endpoint) -> Endpoint {
    match end {
        snapshot::Endpoint::Address(address) => Endpoint::Address(address),
        snapshot::Endpoint::Flow => Endpoint::Flow,
    }
}

/// Those whose keys are keys. Others are nobody's, and the rest can do without them.
pub(super) fn peers(interface: &str, wireguard: &Wireguard) -> Peers {
    let key = |(address, key): (&IpAddr, &String)| match key.parse() {
        Ok(key) => Some((*address, key)),
        Err(error) => {
            tracing::warn!(interface, %address, %error, "a peer without a key has no packets");
            None
        }
    };
    wireguard.peers.iter().filter_map(key).collect()
}

fn security(name: &str, wireguard: &Wireguard) -> Result<Security, String> {
    let path = wireguard.private_key_file.display();
    let private_key = PrivateKey::read(&wireguard.private_key_file)
        .map_err(|error| format!("{name}: wireguard_private_key_file {path}: {error}"))?;
    let peers = peers(name, wireguard);
    Ok(Security { private_key, local: wireguard.local, udp_port: wireguard.port, peers })
}

fn open_tunnel(
    name: &str,
    kind: Kind,
    tunnel: &Tunnel,
    tunnels: &Tunnels,
    options: &OptionMap,
) -> Result<Opened, String> {
    let config = TunnelConfig {
        kind,
        udp_port: tunnel.dst_port,
        remote: endpoint(tunnel.remote_ip),
        local: tunnel.local_ip.map(endpoint),
        key: match tunnel.in_key {
            snapshot::Key::Id(id) => Key::Id(id),
            snapshot::Key::Flow => Key::Flow,
        },
        checksum: tunnel.csum,
        mark: tunnel.egress_pkt_mark,
        options: options.clone(),
        security: tunnel.wireguard.as_ref().map(|wireguard| security(name, wireguard)).transpose()?,
    };
    let port =
        tunnels.add(config).map_err(|error| format!("could not add network device {name} to ofproto ({error})"))?;
    let handles = TunnelHandles { options: port.options(), security: port.security() };
    Ok(Opened::Backend { backend: Backend::Device(Box::new(port)), tunnel: Some(handles), link: None })
}
