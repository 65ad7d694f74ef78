//! A switch without a data path: it takes configurations and says what a switch would say.

use crate::server::Server;
use hive_ovsdb::snapshot::{Interface, PortId};
use hive_ovsdb::status::{
    BridgeStatus, ControllerStatus, DatapathStatus, InterfaceStatus, LinkState, MirrorStatus, PortStatus,
};
use hive_ovsdb::{Client, Options, Snapshot, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

const LOCAL: u16 = 65534;

#[derive(Default)]
pub struct Engine {
    ofports: BTreeMap<String, u16>,
}

impl Engine {
    fn ofport(&mut self, snapshot: &Snapshot, bridge: &str, interface: &Interface) -> u16 {
        if interface.name == bridge {
            return LOCAL;
        }
        if let Some(known) = self.ofports.get(&interface.name) {
            return *known;
        }
        let taken = |port: &u16| self.ofports.values().any(|other| other == port);
        let wanted = interface.ofport_request.or_else(|| snapshot.ofports.get(&interface.id).copied());
        let port = wanted.filter(|port| !taken(port)).or_else(|| (1..1000).find(|port| !taken(port))).unwrap();
        self.ofports.insert(interface.name.clone(), port);
        port
    }

    pub fn apply(&mut self, snapshot: &Snapshot) -> Status {
        let mut status = Status { applied: Some(snapshot.version), ..Status::default() };
        status.open_vswitch.datapath_types = BTreeSet::from(["netdev".to_owned(), "system".to_owned()]);
        status.open_vswitch.iface_types = ["internal", "tap", "system", "patch", "geneve"].map(str::to_owned).into();
        status.open_vswitch.dpdk_version = Some("none".to_owned());
        let capabilities = BTreeMap::from([("ct_zero_snat".to_owned(), "true".to_owned())]);
        status.datapaths.insert("netdev".to_owned(), DatapathStatus { version: "<built-in>".to_owned(), capabilities });
        let mut names = BTreeSet::new();
        for bridge in snapshot.configuration.bridges.values() {
            let datapath_id = Some(bridge.datapath_id.unwrap_or(0x0000_0200_0000_0001));
            let datapath_version = "<built-in>".to_owned();
            status.bridges.insert(bridge.id, BridgeStatus { datapath_id, datapath_version, status: BTreeMap::new() });
            for port in &bridge.ports {
                status.ports.insert(port.id, PortStatus::default());
                for interface in &port.interfaces {
                    names.insert(interface.name.clone());
                    let made = self.interface(snapshot, &bridge.name, interface);
                    status.interfaces.insert(interface.id, made);
                }
            }
            for controller in &bridge.controllers {
                let state = BTreeMap::from([("state".to_owned(), "BACKOFF".to_owned())]);
                status.controllers.insert(controller.id, ControllerStatus { status: state, ..Default::default() });
            }
            for mirror in &bridge.mirrors {
                status.mirrors.insert(mirror.id, MirrorStatus { tx_packets: 3, tx_bytes: 180 });
            }
        }
        self.ofports.retain(|name, _| names.contains(name));
        status
    }

    fn interface(&mut self, snapshot: &Snapshot, bridge: &str, interface: &Interface) -> InterfaceStatus {
        if interface.name.starts_with("broken") {
            return InterfaceStatus::failed(format!("could not open network device {}", interface.name));
        }
        let ofport = self.ofport(snapshot, bridge, interface);
        InterfaceStatus {
            ofport: Some(ofport),
            mac_in_use: Some(
                interface
                    .mac
                    .unwrap_or(format!("02:00:00:00:{:02x}:{:02x}", ofport >> 8, ofport & 255).parse().unwrap()),
            ),
            mtu: Some(interface.mtu_request.unwrap_or(1500)),
            admin_state: Some(LinkState::Up),
            link_state: Some(LinkState::Up),
            link_resets: Some(0),
            ifindex: Some(0),
            statistics: ["rx_packets", "tx_packets", "rx_bytes", "tx_bytes"].map(|name| (name.to_owned(), 0)).into(),
            ..InterfaceStatus::default()
        }
    }
}

pub fn options(server: &Server) -> Options {
    let mut options = Options::new(server.remote().parse().unwrap());
    options.max_backoff = Duration::from_millis(400);
    options
}

/// The engine at work on a thread.
pub struct Switch {
    client: Arc<Client>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    pub fn start(server: &Server) -> Self {
        Self::start_with(options(server))
    }

    pub fn start_with(options: Options) -> Self {
        let client = Arc::new(Client::start(options, || {}).unwrap());
        let stop = Arc::new(AtomicBool::new(false));
        let (taker, stopped) = (client.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let mut engine = Engine::default();
            while !stopped.load(Ordering::SeqCst) {
                if let Some(snapshot) = taker.wait(Duration::from_millis(20)) {
                    taker.report(engine.apply(&snapshot));
                }
            }
        });
        Self { client, stop, thread: Some(thread) }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The one port of this name.
pub fn port_id(snapshot: &Snapshot, bridge: &str, name: &str) -> PortId {
    snapshot.configuration.bridges[bridge].ports.iter().find(|port| port.name == name).unwrap().id
}
