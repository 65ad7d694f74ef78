//! What moves an interface's packets.

use super::daemon::Daemon;
use crate::dataplane::Backend;
use hive_device::tunnel::secure::Peers;
use hive_device::tunnel::{
    Endpoint, Key, Kind, OptionMap, OptionsHandle, PrivateKey, Security, SecurityHandle, TunnelConfig, Tunnels,
};
use hive_device::{Device, Link, PacketDevice, Tap, XdpDevice, XdpError, XdpMode, XdpOptions};
use hive_ovsdb::snapshot::{self, Interface, InterfaceKind, Tunnel, Wireguard};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

/// Of a tunnel, what is changed and looked at while a worker has it.
#[derive(Debug)]
pub(super) struct TunnelHandles {
    pub options: OptionsHandle,
    pub security: Option<SecurityHandle>,
}

/// Of `Interface.status`: what stays as long as the device does.
pub(super) type Facts = BTreeMap<String, String>;

/// An opened device, or that none is needed.
pub(super) enum Opened {
    Backend {
        backend: Backend,
        tunnel: Option<TunnelHandles>,
        /// Of a device of the host.
        link: Option<Arc<Link>>,
        facts: Facts,
    },
    /// A patch port: packets go on within the pipeline.
    None,
}

/// The text of errno as Open vSwitch prints it, without Rust's "(os error N)".
pub(super) fn reason(error: &impl ToString) -> String {
    let text = error.to_string();
    let mut parts = text.split(" (os error ");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + part.split_once(')').map_or(part, |(_, rest)| rest))
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
    let device = |device: Box<dyn Device>, link, facts: &[(&str, &str)]| {
        let facts = facts.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Ok(Opened::Backend { backend: Backend::Device(device), tunnel: None, link, facts })
    };
    let socket = |backend| Opened::Backend { backend, tunnel: None, link: None, facts: Facts::new() };
    match &interface.kind {
        InterfaceKind::System => {
            let packet = PacketDevice::attach(name).map_err(failed)?;
            let link = packet.link().clone();
            device(Box::new(packet), Some(link), &[])
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
            device(Box::new(tap), Some(link), &[("driver_name", "tun")])
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
            Some(services) => device(Box::new(services.device().map_err(failed)?), None, &[]),
            None => Err(format!("{name}: netd was started without --state-dir and --control-socket")),
        },
        InterfaceKind::Afxdp(afxdp) => {
            let failed = |error: XdpError| format!("could not open network device {name} ({})", reason(&error));
            let xdp = XdpDevice::attach(name, &xdp_options(*afxdp)).map_err(failed)?;
            let (link, in_use) = (xdp.link().clone(), xdp.in_use());
            let facts = [
                ("xdp-mode", in_use.mode.name()),
                ("xdp-zc", &in_use.zero_copy.to_string()),
                ("use-need-wakeup", &in_use.need_wakeup.to_string()),
                ("n_rxq", &in_use.queues.to_string()),
            ];
            device(Box::new(xdp), Some(link), &facts)
        }
    }
}

fn xdp_options(afxdp: snapshot::Afxdp) -> XdpOptions {
    let mode = afxdp.mode.map(|mode| match mode {
        snapshot::XdpMode::NativeWithZeroCopy => XdpMode::NativeZeroCopy,
        snapshot::XdpMode::Native => XdpMode::Native,
        snapshot::XdpMode::Generic => XdpMode::Generic,
    });
    XdpOptions { mode, need_wakeup: afxdp.need_wakeup, queues: afxdp.rx_queues }
}

/// Which device of the host an interface is to be, if it is there; None also of those that are made.
pub(super) fn present(interface: &Interface) -> Option<u32> {
    let is_found = matches!(interface.kind, InterfaceKind::System | InterfaceKind::Afxdp(_));
    is_found.then(|| Link::open(&interface.name).ok()).flatten().map(|link| link.ifindex())
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
    let backend = Backend::Device(Box::new(port));
    Ok(Opened::Backend { backend, tunnel: Some(handles), link: None, facts: Facts::new() })
}
