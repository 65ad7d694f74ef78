//! Bridges, ports, bonds and mirrors: as the configuration gives them, and as translations look at them. A topology never changes; a
//! new one takes its place. What is learned and counted lives in the states that topologies share.

use crate::bond::{Bond, BondSpec};
use crate::mac::{MacSettings, MacTable};
use arc_swap::ArcSwap;
use hive_classifier::{TABLES, Versions};
use hive_flow::Key;
use hive_ofproto::{Bridge as Agent, Cookies, Flow, GroupReader};
use hive_openflow::{PortConfig, PortNo, TlvTable};
use hive_ovsdb::snapshot::{Tunnel, Vlan};
use hive_program::{BridgeId, PortId, Sampler};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Mirrors of a bridge: a set of them is a `u32` (MAX_MIRRORS of Open vSwitch).
pub const MIRRORS_MAX: usize = 32;

/// A bridge as the configuration has it.
#[derive(Clone, Debug)]
pub struct BridgeSpec {
    pub id: BridgeId,
    pub name: String,
    pub agent: Arc<Mutex<Agent>>,
    pub settings: BridgeSettings,
    pub ports: Vec<PortSpec>,
    pub mirrors: Vec<MirrorSpec>,
}

#[derive(Clone, Debug, Default)]
pub struct BridgeSettings {
    /// Every packet goes the way of `NORMAL`, whatever the flows say: standalone, and no controller answers.
    pub fail_open: bool,
    /// Frames to the reserved group addresses are forwarded like others (`other_config:forward-bpdu`).
    pub forward_bpdu: bool,
    /// VLANs in which no address is learned.
    pub flood_vlans: BTreeSet<u16>,
    pub macs: MacSettings,
    /// Who counts the packets that flows sample, by collector set.
    pub samplers: BTreeMap<u32, Arc<dyn Sampler>>,
}

/// A `Port`: one interface, or several that are bonded.
#[derive(Clone, Debug)]
pub struct PortSpec {
    pub name: String,
    pub vlan: Vlan,
    pub bond: Option<BondSpec>,
    /// Nothing goes from one protected port to another.
    pub protected: bool,
    pub priority_tags: PriorityTags,
    /// TPID of the service tag of a `dot1q-tunnel`.
    pub qinq_tpid: u16,
    pub interfaces: Vec<InterfaceSpec>,
}

impl PortSpec {
    /// With one interface and nothing out of the ordinary.
    pub fn plain(name: &str, id: PortId, number: PortNo) -> Self {
        let interface = InterfaceSpec { id, number, name: name.to_owned(), kind: PortKind::Device, bfd: false };
        Self {
            name: name.to_owned(),
            vlan: Vlan::Trunk { trunks: BTreeSet::new() },
            bond: None,
            protected: false,
            priority_tags: PriorityTags::Never,
            qinq_tpid: hive_flow::ETH_TYPE_QINQ,
            interfaces: vec![interface],
        }
    }
}

/// Whether packets of VLAN 0 leave with a tag (`other_config:priority-tags`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PriorityTags {
    #[default]
    Never,
    /// If they have a priority.
    IfNonzero,
    Always,
}

#[derive(Clone, Debug)]
pub struct InterfaceSpec {
    pub id: PortId,
    pub number: PortNo,
    pub name: String,
    pub kind: PortKind,
    /// It has a session of BFD, which takes that protocol's packets.
    pub bfd: bool,
}

#[derive(Clone, Debug)]
pub enum PortKind {
    /// Packets come from a device and go to one; the bridge's own port too.
    Device,
    /// The other end is the patch port of that name, of any bridge.
    Patch {
        peer: String,
    },
    Tunnel(Tunnel),
    /// The local services: packets come and go with a `tun_id`.
    Services,
}

#[derive(Clone, Debug)]
pub struct MirrorSpec {
    pub name: String,
    pub select_all: bool,
    /// Names of ports: what comes in there, what goes out there.
    pub sources: BTreeSet<String>,
    pub destinations: BTreeSet<String>,
    /// Empty: all.
    pub vlans: BTreeSet<u16>,
    pub output: MirrorTarget,
    /// Bytes of a packet that are copied.
    pub snaplen: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MirrorTarget {
    Port(String),
    Vlan(u16),
}

/// Packets and bytes; written without order.
#[derive(Debug, Default)]
pub struct Counters {
    pub packets: AtomicU64,
    pub bytes: AtomicU64,
}

impl Counters {
    pub fn add(&self, packets: u64, bytes: u64) {
        self.packets.fetch_add(packets, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub fn get(&self) -> (u64, u64) {
        (self.packets.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// Packets looked up in a table, and those that met a flow.
#[derive(Debug, Default)]
pub struct TableCounters {
    pub lookups: AtomicU64,
    pub matches: AtomicU64,
}

/// What a port keeps over changes of the configuration.
#[derive(Debug)]
pub struct PortState {
    /// The link, as far as groups and bonds ask.
    pub up: AtomicBool,
    pub config: AtomicU32,
    /// Of patch ports, which have no device that counts.
    pub received: Counters,
    pub sent: Counters,
}

impl Default for PortState {
    fn default() -> Self {
        Self {
            up: AtomicBool::new(true),
            config: AtomicU32::new(0),
            received: Counters::default(),
            sent: Counters::default(),
        }
    }
}

/// What a bridge keeps over changes of the configuration.
#[derive(Debug)]
pub struct BridgeState {
    pub macs: MacTable,
    pub tables: Box<[TableCounters]>,
    /// A packet that no flow is for goes to the controllers.
    pub wants_misses: AtomicBool,
    /// Fragments are dropped; their transport headers count.
    pub drops_fragments: AtomicBool,
    pub sees_fragments: AtomicBool,
    pub tlvs: ArcSwap<TlvTable>,
    bundles: Mutex<BundleIds>,
    pub mirrors: Mutex<BTreeMap<String, Arc<Counters>>>,
}

impl BridgeState {
    pub(crate) fn new() -> Self {
        Self {
            macs: MacTable::default(),
            tables: (0..TABLES).map(|_| TableCounters::default()).collect(),
            wants_misses: AtomicBool::new(false),
            drops_fragments: AtomicBool::new(false),
            sees_fragments: AtomicBool::new(false),
            tlvs: ArcSwap::from_pointee(TlvTable::default()),
            bundles: Mutex::default(),
            mirrors: Mutex::default(),
        }
    }

    pub(crate) fn bundle_id(&self, name: &str) -> BundleId {
        let BundleIds { by_name, there, next } = &mut *self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_name.get(name) {
            return *known;
        }
        let id = BundleId(*next);
        *next = next.wrapping_add(1);
        by_name.insert(name.to_owned(), id);
        there.insert(id);
        id
    }

    /// Whether the port is there yet.
    pub(crate) fn has_bundle(&self, id: BundleId) -> bool {
        self.bundles.lock().unwrap_or_else(PoisonError::into_inner).there.contains(&id)
    }

    /// Forgets ports that are gone, and what was learned there.
    pub(crate) fn retain_bundles(&self, bundles: &[Bundle]) {
        let there: BTreeSet<BundleId> = bundles.iter().map(|bundle| bundle.id).collect();
        let mut ids = self.bundles.lock().unwrap_or_else(PoisonError::into_inner);
        ids.by_name.retain(|_, id| there.contains(id));
        ids.there.clone_from(&there);
        drop(ids);
        // Behind it: who learns looks afterwards whether the port is there yet.
        self.macs.retain(|bundle| there.contains(&bundle));
    }
}

/// The ids of a bridge's ports in its MAC table.
#[derive(Debug, Default)]
struct BundleIds {
    by_name: BTreeMap<String, BundleId>,
    /// Those of `by_name`.
    there: BTreeSet<BundleId>,
    next: u32,
}

/// A `Port` within its bridge; the same name has the same id as long as the port is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BundleId(pub u32);

/// An interface.
#[derive(Debug)]
pub(crate) struct Port {
    pub id: PortId,
    pub number: PortNo,
    pub name: String,
    pub kind: PortKind,
    pub bfd: bool,
    /// Where its bundle is in [`Bridge::bundles`].
    pub bundle: usize,
    /// Of a patch port whose peer has it for a peer.
    pub peer: Option<(BridgeId, PortNo)>,
    pub state: Arc<PortState>,
}

impl Port {
    pub fn has(&self, config: PortConfig) -> bool {
        PortConfig(self.state.config.load(Ordering::Relaxed)).contains(config)
    }

    pub fn is_up(&self) -> bool {
        self.state.up.load(Ordering::Relaxed) && !self.has(PortConfig::PORT_DOWN)
    }
}

/// A `Port`.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub id: BundleId,
    pub name: String,
    pub vlan: Vlan,
    pub priority_tags: PriorityTags,
    pub qinq_tpid: u16,
    pub protected: bool,
    pub members: Vec<PortNo>,
    pub bond: Option<Arc<Bond>>,
    /// Mirrors of what comes in, of what goes out.
    pub mirrored_in: u32,
    pub mirrored_out: u32,
    /// Some mirror's output: carries nothing else.
    pub is_mirror: bool,
}

#[derive(Debug)]
pub(crate) struct Mirror {
    pub vlans: BTreeSet<u16>,
    /// A place in [`Bridge::bundles`], or a VLAN.
    pub output: Result<usize, u16>,
    pub snaplen: Option<u16>,
    /// Mirrors with the same output, this one among them.
    pub same_output: u32,
    pub counters: Arc<Counters>,
}

#[derive(Debug)]
pub(crate) struct Bridge {
    pub id: BridgeId,
    pub name: String,
    pub agent: Arc<Mutex<Agent>>,
    pub flows: Versions<Flow>,
    pub cookies: Cookies,
    pub groups: GroupReader,
    pub settings: BridgeSettings,
    pub ports: BTreeMap<PortNo, Arc<Port>>,
    pub bundles: Vec<Bundle>,
    pub bundle_places: HashMap<BundleId, usize>,
    pub mirrors: Vec<Mirror>,
    pub state: Arc<BridgeState>,
}

impl Bridge {
    pub fn bundle_of(&self, port: &Port) -> Option<&Bundle> {
        self.bundles.get(port.bundle)
    }
}

/// All bridges.
#[derive(Debug, Default)]
pub(crate) struct Topology {
    pub bridges: BTreeMap<BridgeId, Arc<Bridge>>,
    pub ports: HashMap<PortId, (BridgeId, PortNo)>,
    pub tunnels: Vec<(PortId, Tunnel)>,
}

/// What topologies share.
#[derive(Debug, Default)]
pub(crate) struct States {
    pub bridges: HashMap<BridgeId, Arc<BridgeState>>,
    pub ports: HashMap<PortId, Arc<PortState>>,
    pub bonds: HashMap<(BridgeId, String), Arc<Bond>>,
}

impl Topology {
    /// The topology of a configuration; `states` gains what is new and forgets what is gone.
    pub fn build(specs: &[BridgeSpec], states: &mut States, counter: &Arc<AtomicU64>) -> Self {
        let mut patches = HashMap::new();
        for bridge in specs {
            for interface in bridge.ports.iter().flat_map(|port| &port.interfaces) {
                if let PortKind::Patch { peer } = &interface.kind {
                    patches.insert(interface.name.as_str(), (bridge.id, interface.number, peer.as_str()));
                }
            }
        }
        let peer_of = |name: &str, peer: &str| {
            let (bridge, number, back) = patches.get(peer)?;
            (*back == name && peer != name).then_some((*bridge, *number))
        };
        let mut this = Self::default();
        let mut kept = States::default();
        for spec in specs {
            let state = states.bridges.remove(&spec.id).unwrap_or_else(|| Arc::new(BridgeState::new()));
            kept.bridges.insert(spec.id, state.clone());
            state.macs.configure(&spec.settings.macs);
            let (flows, cookies, groups) = {
                let agent = spec.agent.lock().unwrap_or_else(PoisonError::into_inner);
                (agent.flows().clone(), agent.cookies().clone(), agent.group_reader().clone())
            };
            if !flows.count_publications(counter) || !groups.count_publications(counter) {
                tracing::error!(bridge = %spec.name, "its agent belongs to another switch");
            }
            let mut ports = BTreeMap::new();
            let mut bundles = Vec::new();
            for port in &spec.ports {
                let mut members = Vec::new();
                for interface in &port.interfaces {
                    let port_state = states.ports.remove(&interface.id).unwrap_or_default();
                    kept.ports.insert(interface.id, port_state.clone());
                    this.ports.insert(interface.id, (spec.id, interface.number));
                    if let PortKind::Tunnel(tunnel) = &interface.kind {
                        this.tunnels.push((interface.id, tunnel.clone()));
                    }
                    let peer = match &interface.kind {
                        PortKind::Patch { peer } => peer_of(&interface.name, peer),
                        _ => None,
                    };
                    members.push(interface.number);
                    ports.insert(
                        interface.number,
                        Arc::new(Port {
                            id: interface.id,
                            number: interface.number,
                            name: interface.name.clone(),
                            kind: interface.kind.clone(),
                            bfd: interface.bfd,
                            bundle: bundles.len(),
                            peer,
                            state: port_state,
                        }),
                    );
                }
                let bond = port.bond.as_ref().map(|bond| {
                    let key = (spec.id, port.name.clone());
                    let old = states.bonds.remove(&key).filter(|old| old.spec == *bond);
                    let bond = old.unwrap_or_else(|| Arc::new(Bond::new(bond.clone())));
                    kept.bonds.insert(key, bond.clone());
                    bond
                });
                bundles.push(Bundle {
                    id: state.bundle_id(&port.name),
                    name: port.name.clone(),
                    vlan: port.vlan.clone(),
                    priority_tags: port.priority_tags,
                    qinq_tpid: port.qinq_tpid,
                    protected: port.protected,
                    members,
                    bond,
                    mirrored_in: 0,
                    mirrored_out: 0,
                    is_mirror: false,
                });
            }
            let mirrors = mirrors(spec, &mut bundles, &state);
            let bundle_places: HashMap<_, _> =
                bundles.iter().enumerate().map(|(place, bundle)| (bundle.id, place)).collect();
            state.retain_bundles(&bundles);
            this.bridges.insert(
                spec.id,
                Arc::new(Bridge {
                    id: spec.id,
                    name: spec.name.clone(),
                    agent: spec.agent.clone(),
                    flows,
                    cookies,
                    groups,
                    settings: spec.settings.clone(),
                    ports,
                    bundles,
                    bundle_places,
                    mirrors,
                    state,
                }),
            );
        }
        *states = kept;
        this
    }

    pub fn port(&self, id: PortId) -> Option<(&Arc<Bridge>, &Arc<Port>)> {
        let (bridge, number) = self.ports.get(&id)?;
        let bridge = self.bridges.get(bridge)?;
        Some((bridge, bridge.ports.get(number)?))
    }

    pub fn bridge_named(&self, name: &str) -> Option<&Arc<Bridge>> {
        self.bridges.values().find(|bridge| bridge.name == name)
    }

    /// The tunnel port for a packet with these `tun_` fields: the one that says most about it.
    pub fn tunnel(&self, key: &Key, udp_port: u16) -> Option<PortId> {
        let fits = |tunnel: &Tunnel| tunnel.dst_port == udp_port && crate::xlate::tunnel::fits(tunnel, key);
        let fitting = self.tunnels.iter().filter(|(_, tunnel)| fits(tunnel));
        fitting.max_by_key(|(_, tunnel)| crate::xlate::tunnel::weight(tunnel)).map(|(port, _)| *port)
    }
}

fn mirrors(spec: &BridgeSpec, bundles: &mut [Bundle], state: &BridgeState) -> Vec<Mirror> {
    let place = |bundles: &[Bundle], name: &str| bundles.iter().position(|bundle| bundle.name == name);
    let mut counters = state.mirrors.lock().unwrap_or_else(PoisonError::into_inner);
    counters.retain(|name, _| spec.mirrors.iter().any(|mirror| mirror.name == *name));
    let mut mirrors = Vec::new();
    for mirror in &spec.mirrors {
        let output = match &mirror.output {
            MirrorTarget::Vlan(vlan) => Err(*vlan),
            MirrorTarget::Port(name) => match place(bundles, name) {
                Some(place) => Ok(place),
                None => continue,
            },
        };
        let at = mirrors.len();
        if at == MIRRORS_MAX {
            tracing::warn!(bridge = %spec.name, mirror = %mirror.name, "one mirror too many");
            break;
        }
        if let Ok(place) = output
            && let Some(bundle) = bundles.get_mut(place)
        {
            bundle.is_mirror = true;
        }
        for bundle in bundles.iter_mut() {
            if mirror.select_all || mirror.sources.contains(&bundle.name) {
                bundle.mirrored_in |= 1 << at;
            }
            if mirror.select_all || mirror.destinations.contains(&bundle.name) {
                bundle.mirrored_out |= 1 << at;
            }
        }
        let counters = counters.entry(mirror.name.clone()).or_default().clone();
        mirrors.push(Mirror { vlans: mirror.vlans.clone(), output, snaplen: mirror.snaplen, same_output: 0, counters });
    }
    for at in 0..mirrors.len() {
        let same = |mirror: &Mirror| mirrors.get(at).is_some_and(|own: &Mirror| own.output == mirror.output);
        let set =
            mirrors.iter().enumerate().filter(|(_, mirror)| same(mirror)).fold(0, |set, (other, _)| set | 1 << other);
        if let Some(mirror) = mirrors.get_mut(at) {
            mirror.same_output = set;
        }
    }
    mirrors
}
