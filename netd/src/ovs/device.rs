//! What moves an interface's packets.

use super::daemon::Daemon;
use crate::dataplane::Backend;
use hive_device::tunnel::{Endpoint, Key, Kind, OptionMap, OptionsHandle, TunnelConfig, Tunnels};
use hive_device::{Device, Link, PacketDevice, Tap};
use hive_ovsdb::snapshot::{self, Interface, InterfaceKind, Tunnel};
use std::io;
use std::sync::Arc;

/// An opened device, or that none is needed.
pub(super) enum Opened {
    Backend {
        backend: Backend,
        options: Option<OptionsHandle>,
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
        |device: Box<dyn Device>, link| Ok(Opened::Backend { backend: Backend::Device(device), options: None, link });
    let socket = |backend| Opened::Backend { backend, options: None, link: None };
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
    };
    let port =
        tunnels.add(config).map_err(|error| format!("could not add network device {name} to ofproto ({error})"))?;
    let options = Some(port.options());
    Ok(Opened::Backend { backend: Backend::Device(Box::new(port)), options, link: None })
}
