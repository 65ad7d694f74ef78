//! The VPCs of this node, as its switch is to have them: a bridge with a port for each interface of an instance here, tables compiled
//! from the records of its VPCs, and what the local services answer.
//!
//! Level-triggered, as all of the agent: [`Switch::converge`] looks at the records as they were read last, and does what is missing.
//! It may be called at any time, and does nothing when nothing has changed.

mod bridge;
mod fit;
pub mod flow_logs;
mod numbers;
mod region;
mod services;
mod translate;
mod tunnel;

use super::backend::BackendError;
use super::local::View;
use super::{Node, lock};
use crate::api::Place;
use crate::config::NodeConfig;
use crate::store::{InstanceRecord, InterfaceRecord, MetadataOptions};
pub(crate) use bridge::is_own_name as is_own_port;
use bridge::{Bridge, Peers};
use flow_logs::Places;
use hive_types::id::{AccountId, InstanceId, NatGatewayId};
use hive_vpc::{Attachment, ClientError, CompileError, Compiled, ConnectionTracking, LocalNumber, PortNo, Programmer};
use numbers::Numbers;
use region::has_machine;
pub use region::{Region, nat_places, sweep};
use services::Told;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, TryLockError};
use std::time::Duration;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};
pub(crate) use translate::mac as parse_mac;

/// Longest IP packet of an interface, as in AWS's VPCs.
pub const MTU_BYTES: u16 = 9001;
/// For each exchange with the switch: the tables of a full node are read back in some seconds.
const SWITCH_TIMEOUT: Duration = Duration::from_secs(60);
/// Between looks whether the switch is the one that was programmed.
const WATCH: Duration = Duration::from_millis(250);
/// Between readings of all that the switch has, whoever may have changed it.
const VERIFY: Duration = Duration::from_secs(60);
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    #[error("cannot start {tool}")]
    Start {
        tool: String,
        #[source]
        source: std::io::Error,
    },
    #[error("{tool} failed: {said}")]
    Tool { tool: String, said: String },
    #[error("ovs-vsctl lists something else than interfaces")]
    Listing(#[source] serde_json::Error),
    #[error("the switch has no port {name} with its number")]
    Port { name: String },
    #[error("the VPCs of account {account} make more flows than the switch may have")]
    LeftOut { account: AccountId },
    #[error("cannot keep the numbers of interfaces")]
    Numbers(#[source] std::io::Error),
    #[error("cannot compile the node's VPCs")]
    Compile(#[from] CompileError),
    #[error("cannot program the switch")]
    Program(#[from] ClientError),
    #[error("cannot tell the local services of an interface")]
    Services(#[from] BackendError),
    #[error("the thread that programs the switch is gone")]
    Thread,
}

/// What the switch is to have.
#[derive(Clone, Debug, Default, PartialEq)]
struct Wanted {
    networks: BTreeMap<AccountId, hive_vpc::Network>,
    node: hive_vpc::Node,
    services: services::Wanted,
    /// Of an encrypted tunnel.
    peers: Peers,
}

/// Of the run directory: where the switch tells what it has sampled.
const FLOWS_SOCKET: &str = "flows.sock";

#[derive(Debug)]
struct State {
    numbers: Numbers,
    /// The records that it was brought to last, and what follows from them. None: it may be anything.
    seen: Option<Arc<View>>,
    applied: Option<Wanted>,
    zones: BTreeMap<LocalNumber, ConnectionTracking>,
    told: Told,
    /// Ports that the switch could not have.
    missing: BTreeSet<String>,
    /// Whose VPCs were too much for it.
    left_out: BTreeSet<AccountId>,
}

/// The node's switch.
#[derive(Debug)]
pub struct Switch {
    bridge: Bridge,
    /// Held while it is brought to what is wanted.
    state: tokio::sync::Mutex<State>,
    programmer: Arc<Mutex<Programmer>>,
    flows_socket: PathBuf,
    /// What of it is sampled.
    places: Mutex<Arc<Places>>,
}

impl Switch {
    /// # Errors
    /// Tunnels are to be encrypted, and there can be no key.
    pub fn new(config: &NodeConfig, place: &Place) -> std::io::Result<Self> {
        let bridge = Bridge::new(config, place)?;
        let programmer = Programmer::new(bridge.management_socket(), SWITCH_TIMEOUT);
        let state = State {
            numbers: Numbers::open(&config.state_dir),
            seen: None,
            applied: None,
            zones: BTreeMap::new(),
            told: Told::default(),
            missing: BTreeSet::new(),
            left_out: BTreeSet::new(),
        };
        Ok(Self {
            bridge,
            state: tokio::sync::Mutex::new(state),
            programmer: Arc::new(Mutex::new(programmer)),
            flows_socket: config.run_dir.join(FLOWS_SOCKET),
            places: Mutex::default(),
        })
    }

    /// By which others know this node, if tunnels are encrypted.
    pub fn public_key(&self) -> Option<String> {
        self.bridge.public_key().map(str::to_owned)
    }

    /// Where it tells what it has sampled.
    pub fn flows_socket(&self) -> &Path {
        &self.flows_socket
    }

    /// Where the machine of an interface connects to.
    pub fn port_socket(&self, interface: &str) -> PathBuf {
        self.bridge.port_socket(interface)
    }

    async fn with_programmer<R: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Programmer) -> R + Send + 'static,
    ) -> Result<R, NetworkError> {
        let programmer = self.programmer.clone();
        off(move || work(&mut lock(&programmer))).await
    }

    /// Whether the switch is the one that was programmed last.
    fn is_connected(&self) -> bool {
        match self.programmer.try_lock() {
            Ok(programmer) => programmer.is_connected(),
            // Whoever holds it is at work on it: then more must be looked at than this.
            Err(TryLockError::WouldBlock) => false,
            // Of what it was at when it panicked nothing is known.
            Err(TryLockError::Poisoned(programmer)) => {
                *programmer.into_inner() = Programmer::new(self.bridge.management_socket(), SWITCH_TIMEOUT);
                self.programmer.clear_poison();
                false
            }
        }
    }

    /// Brings the switch to what the records say, for a machine with these interfaces that is about to start.
    ///
    /// # Errors
    /// As [`Self::converge`]; or an interface has no port.
    pub async fn prepare(&self, node: &Node, interfaces: &[&InterfaceRecord]) -> Result<(), NetworkError> {
        self.converge(node, false).await?;
        let mut state = self.state.lock().await;
        let has_no_port = |name: &&str| state.missing.contains(*name) || state.numbers.get(name).is_none();
        if let Some(name) = interfaces.iter().map(|interface| interface.interface_id.as_str()).find(has_no_port) {
            // To be tried again, though no record changes.
            (state.seen, state.applied) = (None, None);
            return Err(NetworkError::Port { name: name.to_owned() });
        }
        match interfaces.iter().find(|interface| state.left_out.contains(&interface.account)) {
            Some(interface) => Err(NetworkError::LeftOut { account: interface.account.clone() }),
            None => Ok(()),
        }
    }

    /// Brings the switch to what the records say. `verify`: also if it should be there already.
    ///
    /// # Errors
    /// Something does not answer, or does not do it. It may be tried again.
    pub async fn converge(&self, node: &Node, verify: bool) -> Result<(), NetworkError> {
        let mut state = self.state.lock().await;
        let view = node.view();
        let all = verify || !self.is_connected();
        if !all && state.seen.as_ref().is_some_and(|seen| Arc::ptr_eq(seen, &view)) {
            return Ok(());
        }
        let interfaces = interfaces(&view);
        let is_here = |id: &NatGatewayId| view.region.nat_gateways.get(id) == Some(&node.config.node_id);
        let gateways = view.networks.values().flat_map(|network| network.nat_gateways.values());
        let gateways = gateways.filter(|gateway| gateway.deleted_at.is_none() && is_here(&gateway.nat_gateway_id));
        let names = interfaces.iter().map(|(interface, _)| interface.interface_id.as_str());
        let names: BTreeSet<&str> = names.chain(gateways.map(|gateway| gateway.nat_gateway_id.as_str())).collect();
        state.numbers.keep(&names).map_err(NetworkError::Numbers)?;
        let tunnel = self.bridge.tunnel().await;
        let wanted = self.wanted(node, &view, &interfaces, &state.numbers, tunnel);
        if !all && state.applied.as_ref() == Some(&wanted) {
            state.seen = Some(view);
            return Ok(());
        }
        let ports = |wanted: &Wanted| -> BTreeMap<String, LocalNumber> {
            wanted.node.interfaces.iter().map(|(id, at)| (id.0.clone(), at.number)).collect()
        };
        state.seen = None;
        let before = state.applied.take();
        let same = |before: &Wanted| ports(before) == ports(&wanted) && before.peers == wanted.peers;
        if all || !before.as_ref().is_some_and(same) {
            state.missing = self.bridge.ensure(&ports(&wanted), &wanted.peers).await?;
        }
        let is_logged = !wanted.node.logged.is_empty();
        if all || before.as_ref().map(|before| !before.node.logged.is_empty()) != Some(is_logged) {
            self.set_collector(is_logged).await?;
        }
        let (networks, place) = (wanted.networks.clone(), wanted.node.clone());
        let compiled = off(move || fit::compile(&networks, |network| hive_vpc::compile(network, &place)));
        let (Compiled { flows, zones, services, .. }, left_out) = compiled.await??;
        if !left_out.is_subset(&state.left_out) {
            error!(accounts = ?left_out, "the VPCs of these accounts make more flows than the switch may have: they have none");
        }
        state.left_out = left_out;
        let flush: Vec<LocalNumber> = state.numbers.to_flush().collect();
        let flow_count = flows.len();
        let programmed = self.with_programmer(move |programmer| -> Result<_, ClientError> {
            for zone in flush {
                programmer.flush_zone(zone)?;
            }
            if verify { programmer.verify(&flows) } else { programmer.set(&flows) }
        });
        let report = programmed.await??;
        state.numbers.flushed().map_err(NetworkError::Numbers)?;
        if report.changes > 0 {
            let interfaces = wanted.node.interfaces.len();
            info!(changes = report.changes, flows = flow_count, interfaces, "switch programmed");
        }
        state.told.tell(&node.netd, &wanted.services, &services, all).await?;
        self.bridge.set_zones(&state.zones, &zones, all || before.is_none()).await?;
        state.zones = zones;
        let sampled = |(id, at): (&hive_vpc::model::InterfaceId, &Attachment)| {
            wanted.node.logged.contains(id).then(|| (at.number, id.clone()))
        };
        *lock(&self.places) = Arc::new(wanted.node.interfaces.iter().filter_map(sampled).collect());
        (state.seen, state.applied) = (Some(view), Some(wanted));
        Ok(())
    }

    fn wanted(
        &self,
        node: &Node,
        view: &View,
        interfaces: &[(&InterfaceRecord, &InstanceRecord)],
        numbers: &Numbers,
        tunnel: Option<hive_vpc::Tunnel>,
    ) -> Wanted {
        let encrypts = self.bridge.public_key().is_some();
        let tunnel_to = |node: &str| view.region.tunnel_to(node, encrypts);
        let options: HashMap<&InstanceId, &MetadataOptions> =
            interfaces.iter().map(|(_, instance)| (&instance.instance_id, &instance.metadata)).collect();
        let metadata = |interface: &InterfaceRecord| {
            let attachment = interface.attachment.as_ref()?;
            options.get(&attachment.instance_id).map(|options| (*options).clone())
        };
        let networks = view
            .networks
            .iter()
            .map(|(account, network)| (account.clone(), translate::network(network, &view.region.vnis, metadata)));
        let networks: BTreeMap<AccountId, hive_vpc::Network> = networks.collect();
        let attached = interfaces.iter().filter_map(|(interface, _)| {
            let number = numbers.get(interface.interface_id.as_str())?;
            let port = PortNo(number.0);
            Some((interface.interface_id.as_str().into(), Attachment { port, number }))
        });
        let gateways = networks.values().flat_map(|network| network.nat_gateways.keys());
        let gateways = gateways.filter_map(|id| Some((id.clone(), numbers.get(&id.0)?)));
        let records = || view.networks.values();
        let remote_interface = |interface: &InterfaceRecord| {
            let at = view.region.elsewhere.get(&interface.attachment.as_ref()?.instance_id)?;
            Some((interface.interface_id.as_str().into(), tunnel_to(at)?))
        };
        let remote_gateway =
            |id: &NatGatewayId| Some((id.as_str().into(), tunnel_to(view.region.nat_gateways.get(id)?)?));
        let place = hive_vpc::Node {
            interfaces: attached.collect(),
            nat_gateways: gateways.collect(),
            remote_interfaces: records().flat_map(|n| n.interfaces.values()).filter_map(remote_interface).collect(),
            remote_nat_gateways: records().flat_map(|n| n.nat_gateways.keys()).filter_map(remote_gateway).collect(),
            tunnel,
            uplink: self.bridge.uplink(),
            services: Some(self.bridge.services()),
            logged: flow_logs::logged(&view.networks, interfaces.iter().map(|(interface, _)| *interface)),
        };
        let services = services::wanted(node, view, interfaces, &networks);
        let peers = if encrypts { view.region.peers() } else { Peers::new() };
        Wanted { networks, node: place, services, peers }
    }
}

/// Runs what takes long elsewhere.
async fn off<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> Result<R, NetworkError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| NetworkError::Thread)
}

/// The interfaces that are to have a port: those of instances here which may have a machine.
fn interfaces(view: &View) -> Vec<(&InterfaceRecord, &InstanceRecord)> {
    let instances = view.instances.iter().filter(|instance| has_machine(instance));
    let of_instance = instances.flat_map(|instance| {
        let network = view.networks.get(&instance.account);
        let attached = network.map(|network| network.interfaces_of(&instance.instance_id)).unwrap_or_default();
        attached.into_iter().map(move |interface| (interface, instance))
    });
    of_instance.collect()
}

/// Follows the records, and a switch that is started anew.
pub async fn converge_forever(node: Arc<Node>) {
    let mut verified = Instant::now();
    let mut has_failed = false;
    loop {
        let verify = verified.elapsed() >= VERIFY;
        match node.switch.converge(&node, verify).await {
            Ok(()) => {
                if verify {
                    verified = Instant::now();
                }
                if std::mem::take(&mut has_failed) {
                    info!("the switch is as it should be again");
                }
                let _ = tokio::time::timeout(WATCH, node.network_changed.notified()).await;
            }
            Err(error) => {
                let causes = format!("{:#}", anyhow::Error::new(error));
                if std::mem::replace(&mut has_failed, true) {
                    debug!(error = causes, "the switch is not as it should be yet");
                } else {
                    warn!(error = causes, "the switch is not as it should be; trying on");
                }
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}
