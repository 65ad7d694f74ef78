//! Makes what a configuration asks for, and takes away what it asks for no more.

use super::bridge::{Bridge, Failure, Member};
use super::controller::Controllers;
use super::daemon::{Daemon, Event, State};
use super::device::{self, Facts, Opened};
use super::report::describe;
use super::{OVS_VERSION, spec, zones};
use crate::dataplane::{Backend, Policing, PortSettings, PortSpec};
use hive_device::Link;
use hive_device::tunnel::{MappedOption, OptionMap};
use hive_flow::Match;
use hive_ofproto::{Bridge as Agent, BridgeConfig, Server};
use hive_openflow::{
    Action, CookieMask, Desc, FlowCommand, FlowFlags, FlowMod, GROUP_ANY, NO_BUFFER, PortNo, TlvTable,
};
use hive_ovsdb::snapshot::{self, FailMode, Interface, InterfaceId, InterfaceKind, StringMap};
use hive_ovsdb::{Configuration, Snapshot};
use hive_packet::MacAddr;
use hive_pipeline::BridgeSpec;
use hive_program::{BridgeId, PortId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

/// Numbers of patch ports, which the data path does not have: far from those that it gives.
const FIRST_PATCH: u32 = 1 << 30;
/// Of devices that have none: what a guest is told.
const DEFAULT_MTU: u16 = 1500;
/// Queue pairs that a guest may use.
const QUEUE_PAIRS: u16 = 8;

/// The options of a bridge's TLV table.
pub(super) fn option_map(table: &TlvTable) -> OptionMap {
    let mapped = table.mappings().filter_map(|mapping| {
        let index = u8::try_from(mapping.index).ok()?;
        let option = mapping.option;
        Some(MappedOption { class: option.class, kind: option.kind, length_bytes: option.length_bytes, index })
    });
    mapped.collect()
}

/// A local address like those that Open vSwitch makes up.
fn random_mac() -> [u8; 6] {
    let mut mac = [0x02, 0, 0, 0, 0, 0];
    // Without randomness the addresses of bridges would collide; the process id is better than nothing.
    if getrandom::fill(&mut mac[1..]).is_err() {
        mac[2..].copy_from_slice(&std::process::id().to_be_bytes());
    }
    mac
}

/// Processors that a thread can be bound to (CPU_SETSIZE); those beyond are no kernel's.
const CPUS_MAX: usize = libc::CPU_SETSIZE as usize;

/// Processors of a mask in hexadecimal (`other_config:pmd-cpu-mask`), lowest first; none if it is not one.
fn cpus(mask: &str) -> Vec<usize> {
    let digits = mask.trim_start_matches("0x");
    let bits = digits.bytes().rev().map(|digit| char::from(digit).to_digit(16)).enumerate();
    let of_digit = |(place, digit): (usize, Option<u32>)| {
        let digit = digit?;
        Some((0..4).filter(move |bit| digit >> bit & 1 != 0).map(move |bit| 4 * place + bit))
    };
    let cpus = bits.map(of_digit).collect::<Option<Vec<_>>>().unwrap_or_default();
    cpus.into_iter().flatten().filter(|cpu| *cpu < CPUS_MAX).collect()
}

/// The local port of a bridge that has no row for it.
fn implicit_local(bridge: &snapshot::Bridge) -> Interface {
    Interface {
        id: InterfaceId(bridge.id.0),
        name: bridge.name.clone(),
        kind: InterfaceKind::Internal,
        ofport_request: None,
        mac: None,
        mtu_request: None,
        policing: snapshot::Policing::default(),
        bfd: None,
        lldp: false,
        options: StringMap::default(),
        other_config: StringMap::default(),
        external_ids: StringMap::default(),
    }
}

impl Daemon {
    /// What is asked for is in effect when this returns.
    pub fn reconcile(self: &Arc<Self>, snapshot: &Snapshot) {
        let configuration = &snapshot.configuration;
        let mut state = self.lock();
        let state = &mut *state;
        let mask = cpus(configuration.open_vswitch.other_config.text("pmd-cpu-mask").unwrap_or_default());
        if state.cpus != mask {
            self.dataplane.use_cpus(&mask);
            state.cpus = mask;
        }
        // What goes has to be gone before what comes in its place: names of devices, sockets.
        let same =
            |bridge: &Bridge| configuration.bridges.get(bridge.name()).is_some_and(|new| new.id == bridge.config.id);
        let gone: Vec<String> =
            state.bridges.values().filter(|bridge| !same(bridge)).map(|b| b.name().to_owned()).collect();
        self.remove_bridges(gone.iter().filter_map(|name| state.bridges.remove(name)));
        for config in configuration.bridges.values() {
            if let Some(bridge) = state.bridges.get_mut(&config.name) {
                bridge.config = config.clone();
                self.remove_members(bridge);
            }
        }
        for config in configuration.bridges.values() {
            if !state.bridges.contains_key(&config.name) {
                state.last_bridge += 1;
                match self.make_bridge(BridgeId(state.last_bridge), config) {
                    Ok(bridge) => drop(state.bridges.insert(config.name.clone(), bridge)),
                    Err(error) => {
                        tracing::error!(bridge = %config.name, %error, "bridge cannot be made");
                        continue;
                    }
                }
            }
            if let Some(bridge) = state.bridges.get_mut(&config.name) {
                self.add_members(bridge, snapshot, &mut state.patches);
            }
        }
        let now_ms = self.now_ms();
        for bridge in state.bridges.values_mut() {
            self.configure_bridge(bridge, configuration);
        }
        self.sessions.configure(state.bridges.values(), now_ms);
        self.configure_pipeline(state, configuration, now_ms);
        let before = state.configuration.replace(configuration.clone());
        let none = BTreeMap::new();
        let before = before.as_ref().map_or(&none, |before| &before.datapaths);
        zones::apply(before, &configuration.datapaths, self.dataplane.tracker());
    }

    /// The pipeline as the bridges are now.
    pub fn configure_pipeline(&self, state: &State, configuration: &Configuration, now_ms: u64) {
        let forwards = !configuration.open_vswitch.flow_restore_wait;
        self.exporters.configure(state.bridges.values());
        let specs: Vec<BridgeSpec> =
            state.bridges.values().map(|bridge| spec::spec(bridge, &self.exporters, forwards)).collect();
        self.pipeline.configure(&specs, now_ms);
        for member in state.bridges.values().flat_map(|bridge| bridge.members.values()) {
            self.pipeline.set_link(member.port, self.is_alive(member), now_ms);
        }
    }

    fn make_bridge(
        self: &Arc<Self>,
        id: BridgeId,
        config: &snapshot::Bridge,
    ) -> Result<Bridge, hive_ofproto::ServerError> {
        let mac = config.hwaddr.map_or_else(random_mac, |mac| mac.0);
        let datapath_id = datapath_id(config, mac);
        let desc = Desc {
            manufacturer: "Nicira, Inc.".to_owned(),
            hardware: "Open vSwitch".to_owned(),
            software: OVS_VERSION.to_owned(),
            serial_number: "None".to_owned(),
            datapath: config.other_config.text("dp-desc").unwrap_or("None").to_owned(),
        };
        let agent = Arc::new(Mutex::new(Agent::new(BridgeConfig { datapath_id, desc })));
        let (clock, deeds) = (self.dataplane.clone(), Arc::downgrade(self));
        let server = Server::bind(&self.rundir, &config.name)?.serve(
            agent.clone(),
            move || clock.now_ms(),
            move |command| {
                if let Some(daemon) = deeds.upgrade() {
                    daemon.command(id, command);
                }
            },
        )?;
        let events = self.events.clone();
        let controllers = Controllers::new(server.adopter(), move || drop(events.send(Event::Controllers)));
        Ok(Bridge {
            id,
            config: config.clone(),
            agent,
            members: BTreeMap::new(),
            failed: BTreeMap::new(),
            mac,
            datapath_id,
            controllers,
            last_number: 0,
            server,
        })
    }

    /// Their controllers and clients go first, then their ports, all at once.
    pub fn remove_bridges(&self, bridges: impl Iterator<Item = Bridge>) {
        let members = bridges.flat_map(|bridge| {
            let Bridge { members, controllers, server, .. } = bridge;
            drop(controllers);
            drop(server);
            members.into_values()
        });
        self.remove_devices(members);
    }

    fn remove_devices(&self, members: impl Iterator<Item = Member>) {
        // All of the members go before the ports: whoever has a device's link holds the device, and the data path drops many at a time.
        let ports: Vec<PortId> = members.filter(|member| member.has_device).map(|member| member.port).collect();
        self.dataplane.remove_ports(&ports);
    }

    /// Takes away interfaces that are asked for no more, or otherwise.
    fn remove_members(&self, bridge: &mut Bridge) {
        let wanted = wanted(&bridge.config);
        let keeps = |name: &String, member: &Member| {
            // A device that somebody took away may be back, as another one.
            member.link_handle.as_ref().is_none_or(|link| link.is_there())
                && wanted.get(name).is_some_and(|config| {
                    let row = (member.row, config.same_device(&member.config));
                    let renumbered = config.ofport_request.is_some_and(|number| number != member.number.0);
                    row == (Some(config.id), true) && !(renumbered && member.number != PortNo::LOCAL)
                        || member.row.is_none() && config.id.0 == bridge.config.id.0
                })
        };
        let gone: Vec<Member> =
            bridge.members.extract_if(.., |name, member| !keeps(name, member)).map(|(_, member)| member).collect();
        if gone.is_empty() {
            return;
        }
        let numbers: Vec<PortNo> = gone.iter().map(|member| member.number).collect();
        self.remove_devices(gone.into_iter());
        let mut agent = bridge.lock_agent();
        numbers.into_iter().for_each(|number| agent.remove_port(number));
        drop(agent);
        bridge.server.ring();
    }

    fn add_members(&self, bridge: &mut Bridge, snapshot: &Snapshot, patches: &mut u32) {
        let before_failed = std::mem::take(&mut bridge.failed);
        for (name, config) in wanted(&bridge.config) {
            if let Some(member) = bridge.members.get_mut(&name) {
                member.config = config;
                continue;
            }
            let row = (config.id.0 != bridge.config.id.0).then_some(config.id);
            let before = snapshot.ofports.get(&config.id).copied();
            // Looked for before, so that one which comes meanwhile is another one.
            let device = device::present(&config);
            if let Err(error) = self.add_member(bridge, &config, row, before, patches) {
                if before_failed.get(&config.id).is_none_or(|before| before.error != error) {
                    tracing::warn!(bridge = %bridge.config.name, interface = %name, %error, "interface cannot be made");
                }
                bridge.failed.insert(config.id, Failure { error, device });
            }
        }
    }

    fn add_member(
        &self,
        bridge: &mut Bridge,
        config: &Interface,
        row: Option<InterfaceId>,
        before: Option<u16>,
        patches: &mut u32,
    ) -> Result<(), String> {
        let local = config.name == bridge.config.name;
        let mac = config.mac.map(|mac| mac.0).or(local.then_some(bridge.mac));
        let tlvs = self.pipeline.bridge_state(bridge.id).map(|state| option_map(&state.tlvs.load()));
        let opened = device::open(config, mac, &self.tunnels, &tlvs.unwrap_or_default(), self)?;
        let number = if local { Some(PortNo::LOCAL) } else { bridge.choose_number(config.ofport_request, before) };
        let number = number.ok_or_else(|| format!("{}: no port number is left", config.name))?;
        let (port, has_device, tunnel, link_handle, facts) = match opened {
            Opened::Backend { backend, tunnel, link, facts } => {
                (self.add_port(config, backend)?, true, tunnel, link, facts)
            }
            Opened::None => {
                *patches += 1;
                (PortId(FIRST_PATCH + *patches), false, None, None, Facts::new())
            }
        };
        let mut member = Member {
            row,
            config: config.clone(),
            number,
            port,
            has_device,
            tunnel,
            link_handle,
            facts,
            status: hive_device::Status::default(),
            mac: random_mac(),
            link_resets: 0,
        };
        member.status = self.link(&member);
        bridge.lock_agent().add_port(describe(&member, self.now_ms()));
        bridge.server.ring();
        bridge.members.insert(config.name.clone(), member);
        Ok(())
    }

    fn add_port(&self, config: &Interface, backend: Backend) -> Result<PortId, String> {
        let mtu = config.mtu_request.and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(DEFAULT_MTU);
        let spec = PortSpec {
            name: config.name.clone(),
            backend,
            mac: config.mac.map_or_else(random_mac, |mac| mac.0),
            queue_pairs: QUEUE_PAIRS,
            mtu,
        };
        let added = self.dataplane.add_port(spec, |_| ());
        added.map_err(|error| format!("could not add network device {} to ofproto ({error})", config.name))
    }

    /// What can be changed of a bridge that is there.
    fn configure_bridge(&self, bridge: &mut Bridge, configuration: &Configuration) {
        let mac = bridge.config.hwaddr.map(|mac| mac.0).filter(|mac| *mac != bridge.mac);
        if let Some(mac) = mac {
            bridge.mac = mac;
            let local = bridge.members.get(&bridge.config.name).and_then(|member| member.link_handle.as_ref());
            if let Some(Err(error)) = local.map(|link| link.set_mac(mac)) {
                tracing::warn!(bridge = %bridge.config.name, %error, "its port does not take the address");
            }
        }
        let id = datapath_id(&bridge.config, bridge.mac);
        if id != bridge.datapath_id {
            bridge.datapath_id = id;
            bridge.lock_agent().set_datapath_id(id);
        }
        for member in bridge.members.values().filter(|member| member.has_device) {
            self.configure_member(member);
        }
        let reset = bridge.controllers.configure(&bridge.config, configuration.ssl.as_ref(), &self.rundir);
        let mut agent = bridge.lock_agent();
        for table in 0..hive_ofproto::TABLES_VISIBLE {
            let limit = bridge.config.flow_tables.get(&table).and_then(|table| table.flow_limit);
            agent.set_flow_limit(table, limit.unwrap_or(hive_ofproto::FLOWS_MAX));
        }
        let now_ms = self.now_ms();
        if reset {
            // Whoever takes over finds nothing of who was there before, as with ovs-vswitchd.
            let _ = agent.change_flows(&flow_mod(FlowCommand::Delete, 0, Vec::new()), now_ms);
        }
        if bridge.config.controllers.is_empty() && bridge.config.fail_mode == FailMode::Standalone {
            let normal = vec![Action::Output { port: PortNo::NORMAL, max_len: 0 }];
            if !has_flow(&agent, &normal) {
                let added = agent.change_flows(&flow_mod(FlowCommand::Add, 0, normal), now_ms);
                if let Err(error) = added {
                    tracing::error!(bridge = %bridge.config.name, ?error, "no flow for a bridge without controllers");
                }
            }
        }
    }

    fn configure_member(&self, member: &Member) {
        let Interface { name, kind, mac, mtu_request, .. } = &member.config;
        let change = |what: &str, change: &dyn Fn(&Link) -> std::io::Result<()>| {
            if let Some(Err(error)) = member.link_handle.as_deref().map(change) {
                tracing::warn!(interface = %name, %error, "{what} is not taken");
            }
        };
        let status = self.dataplane.port_status(member.port).unwrap_or_default();
        if let Some(mtu) = *mtu_request {
            // One that is elsewhere is its new owner's to configure.
            change("mtu_request", &|link| {
                let now = link.status(hive_device::Counters::default());
                if now.ifindex.is_some() && now.mtu != Some(mtu) { link.set_mtu(mtu) } else { Ok(()) }
            });
        }
        if *kind == InterfaceKind::Internal
            && let Some(MacAddr(mac)) = *mac
            && mac != status.mac
        {
            change("mac", &|link| link.set_mac(mac));
        }
        if let Some(security) = member.security()
            && let Some(wireguard) = member.config.wireguard()
        {
            security.set_peers(device::peers(name, wireguard));
        }
        let policing = policing(&member.config);
        let mtu = mtu_request.and_then(|mtu| u16::try_from(mtu).ok()).unwrap_or(status.mtu);
        self.dataplane.set_port(member.port, PortSettings { up: status.up, mtu, policing });
    }
}

/// `ingress_policing_rate` and its burst.
pub(super) fn policing(config: &Interface) -> Option<Policing> {
    let policing = config.policing;
    (policing.rate_kbps != 0).then(|| Policing {
        rate_kbps: u32::try_from(policing.rate_kbps).unwrap_or(u32::MAX),
        burst_kb: u32::try_from(policing.burst_kbit).unwrap_or(u32::MAX),
    })
}

fn datapath_id(config: &snapshot::Bridge, mac: [u8; 6]) -> u64 {
    let [a, b, c, d, e, f] = mac;
    config.datapath_id.unwrap_or_else(|| u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
}

/// All interfaces by name, the local one among them.
fn wanted(config: &snapshot::Bridge) -> BTreeMap<String, Interface> {
    let interfaces = config.ports.iter().flat_map(|port| &port.interfaces);
    let mut wanted: BTreeMap<_, _> = interfaces.map(|interface| (interface.name.clone(), interface.clone())).collect();
    wanted.entry(config.name.clone()).or_insert_with(|| implicit_local(config));
    wanted
}

fn flow_mod(command: FlowCommand, priority: u16, actions: Vec<Action>) -> FlowMod {
    FlowMod {
        command,
        table: if command.is_delete() { hive_openflow::TABLE_ALL } else { 0 },
        flow: Match::default(),
        priority,
        cookie: CookieMask::default(),
        new_cookie: Some(0),
        idle_timeout_s: 0,
        hard_timeout_s: 0,
        importance: 0,
        flags: FlowFlags::default(),
        out_port: PortNo::NONE,
        out_group: GROUP_ANY,
        buffer: NO_BUFFER,
        actions,
        nicira: false,
    }
}

/// Whether table 0 has such a flow for all packets, at the lowest priority.
fn has_flow(agent: &Agent, actions: &[Action]) -> bool {
    let tables = agent.flows().load();
    let mut flows = tables.table(0).into_iter().flat_map(|table| table.iter());
    flows.any(|rule| {
        let flow = rule.value();
        flow.priority == 0 && flow.matching.is_empty() && flow.actions == actions
    })
}

/// Rows that are there, for the report.
pub(super) fn rows(config: &snapshot::Bridge) -> BTreeSet<InterfaceId> {
    config.ports.iter().flat_map(|port| &port.interfaces).map(|interface| interface.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_of_processors() {
        assert_eq!(cpus("0x2"), [1]);
        assert_eq!(cpus("13"), [0, 1, 4]);
        assert_eq!(cpus("0x8000000000000000f"), [0, 1, 2, 3, 67]);
        assert!(cpus("").is_empty() && cpus("two").is_empty());
        assert_eq!(cpus(&format!("0x1{}", "0".repeat(255))), [1020]);
        assert!(cpus(&format!("0x1{}", "0".repeat(256))).is_empty());
    }
}
