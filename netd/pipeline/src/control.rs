//! What a controller and an operator ask: packets out, packets that go on, packets in, traces, MAC tables.

use crate::bond::BondShown;
use crate::continuation::{self, Damaged};
use crate::credit::Credits;
use crate::flow_text::{self, FlowTextError};
use crate::switch::{NO_PORT, Switch};
use crate::topology::Bridge;
use crate::trace::Trace;
use crate::xlate::Start;
use hive_flow::{Field, Key, Shown, parse};
use hive_openflow::{Context, NO_BUFFER, PacketIn, PacketInFormat, PacketOut, PortNo, Version};
use hive_program::{BridgeId, DropReason, Op, PortId, ShownOps, Translation};
use std::collections::VecDeque;
use std::fmt::Write;
use std::sync::{Arc, PoisonError};

/// Translations that one trace shows; a packet that recirculates more often goes in circles.
const TRACE_STEPS_MAX: usize = 100;
/// `+trk+new`: what a trace takes a connection for unless it is told otherwise.
const CT_STATE_DEFAULT: u32 = 0x21;

/// A packet of a controller's, with what is to be done with it.
#[derive(Clone, Debug)]
pub struct Execution {
    /// As the data path's parser would have it, with its input port; [`NO_PORT`] if it came by none.
    pub key: Key,
    pub ops: Arc<[Op]>,
    pub credits: Arc<Credits>,
    pub drop: Option<DropReason>,
    pub frame: Vec<u8>,
}

/// Why a paused packet does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResumeError {
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error("the continuation is another bridge's, or the bridge is gone")]
    Bridge,
    #[error("the packet was cut, and cannot go on as it was")]
    Cut,
}

/// `ofproto/trace`.
#[derive(Clone, Debug, Default)]
pub struct TraceRequest<'a> {
    pub bridge: &'a str,
    /// As `in_port=1,tcp,nw_src=10.0.0.1`.
    pub flow: &'a str,
    /// If there is one, its headers are the flow's.
    pub frame: Option<&'a [u8]>,
    /// `-generate`, or a packet: addresses and flows are learned.
    pub effects: bool,
    /// `--ct-next`: the states of the packet after each `ct`; then [`CT_STATE_DEFAULT`].
    pub ct_next: Vec<u32>,
    pub vlan_limit: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    #[error("{0}: unknown bridge")]
    Bridge(String),
    #[error(transparent)]
    Flow(#[from] FlowTextError),
}

impl Bridge {
    /// The data path's number of a port.
    fn port_id(&self, number: PortNo) -> PortId {
        self.ports.get(&number).map_or(NO_PORT, |port| port.id)
    }
}

impl Switch {
    /// What becomes of a controller's packet.
    pub fn packet_out(
        &self,
        bridge: BridgeId,
        packet_out: &PacketOut,
        vlan_limit: usize,
        now_ms: u64,
    ) -> Option<Execution> {
        let mut template = Key::ZERO;
        for (field, masked) in packet_out.metadata.iter() {
            template.set(field, masked.value);
        }
        template.set(Field::InPort, packet_out.in_port().0.into());
        let frame = packet_out.packet.clone();
        let key = parse(&frame, frame.len(), &template, vlan_limit).key;
        let translation = self.translate_from(bridge, &key, Start::Actions(&packet_out.actions), true, now_ms, None)?;
        Some(self.execution(bridge, key, translation, frame))
    }

    /// A packet that a `controller(pause)` gave away comes back, perhaps changed (NXT_RESUME).
    ///
    /// # Errors
    /// The continuation is not one of this bridge's.
    pub fn resume(
        &self,
        bridge: BridgeId,
        packet: &PacketIn,
        vlan_limit: usize,
        now_ms: u64,
    ) -> Result<Execution, ResumeError> {
        let topology = self.topology();
        let here = topology.bridges.get(&bridge).ok_or(ResumeError::Bridge)?;
        let mut frozen = continuation::decode(&packet.continuation, &context(here))?;
        if frozen.bridge != bridge {
            return Err(ResumeError::Bridge);
        }
        if packet.total_bytes as usize > packet.packet.len() {
            return Err(ResumeError::Cut);
        }
        // What the controller says of the packet counts, not what was said to it.
        let mut template = Key::ZERO;
        for (field, masked) in packet.metadata.iter() {
            template.set(field, masked.value);
            frozen.metadata.set(field, masked.value);
        }
        let frame = packet.packet.clone();
        let key = parse(&frame, frame.len(), &template, vlan_limit).key;
        let translation = self.translate_from(bridge, &key, Start::Thawed(&frozen), true, now_ms, None);
        let translation = translation.ok_or(ResumeError::Bridge)?;
        Ok(self.execution(bridge, key, translation, frame))
    }

    fn execution(
        &self,
        bridge: BridgeId,
        mut key: Key,
        translation: Translation<Credits>,
        frame: Vec<u8>,
    ) -> Execution {
        let number = PortNo(key.get_u64(Field::InPort) as u16);
        let topology = self.topology();
        let port = topology.bridges.get(&bridge).map_or(NO_PORT, |bridge| bridge.port_id(number));
        key.set(Field::InPort, port.0.into());
        let Translation { ops, credits, drop, .. } = translation;
        Execution { key, ops, credits, drop, frame }
    }

    /// Tells the controllers of the packets that wait for them; how many there were. Takes the agents' locks.
    pub fn deliver(&self) -> usize {
        let mut count = 0;
        while let Some(waiting) = self.take_waiting() {
            count += 1;
            let Ok(what) = u32::try_from(waiting.punt.what) else { continue };
            let Some(said) = self.punts().get(what) else { continue };
            let topology = self.topology();
            let Some(bridge) = topology.bridges.get(&said.bridge) else { continue };
            let continuation = said.continuation.as_ref();
            let total = waiting.frame.len();
            // A packet that is to go on must be whole.
            let cut = if said.max_len == u16::MAX || continuation.is_some() { total } else { said.max_len.into() };
            let mut packet = waiting.frame;
            packet.truncate(cut);
            let packet_in = PacketIn {
                format: PacketInFormat::Nicira2,
                buffer: NO_BUFFER,
                total_bytes: u32::try_from(total).unwrap_or(u32::MAX),
                reason: said.reason,
                table: said.table,
                cookie: said.cookie,
                metadata: waiting.punt.metadata,
                packet,
                userdata: said.userdata.clone(),
                continuation: continuation
                    .map_or_else(Vec::new, |frozen| continuation::encode(frozen, &context(bridge))),
            };
            let mut agent = bridge.agent.lock().unwrap_or_else(PoisonError::into_inner);
            agent.packet_in(&packet_in, said.controller_id);
        }
        count
    }

    /// The text of `ofproto/trace`.
    ///
    /// # Errors
    /// What was asked for cannot be understood.
    pub fn trace(&self, request: &TraceRequest<'_>, now_ms: u64) -> Result<String, TraceError> {
        let topology = self.topology();
        let bridge =
            topology.bridge_named(request.bridge).ok_or_else(|| TraceError::Bridge(request.bridge.to_owned()))?;
        let named = |name: &str| bridge.ports.values().find(|port| port.name == name).map(|port| port.number);
        let mut key = flow_text::parse(request.flow, named)?;
        if let Some(frame) = request.frame {
            key = parse(frame, frame.len(), &key, request.vlan_limit).key;
        }
        let number = PortNo(key.get_u64(Field::InPort) as u16);
        key.set(Field::InPort, bridge.port_id(number).0.into());
        let mut states = request.ct_next.iter().copied();
        let mut waiting = VecDeque::from([(key, number, String::new())]);
        let mut text = String::new();
        for _ in 0..TRACE_STEPS_MAX {
            let Some((key, number, heading)) = waiting.pop_front() else { break };
            text.push_str(&heading);
            let mut shown = key;
            shown.set(Field::InPort, PortNo(number.0).wide().into());
            let _ = write!(text, "Flow: {shown}\n\n");
            let mut trace = Trace::default();
            let _ = write!(text, "bridge(\"{0}\")\n{1:-<2$}\n", bridge.name, "", bridge.name.len() + 10);
            let translation = if waiting.is_empty() && heading.is_empty() && bridge.port_id(number) == NO_PORT {
                let mut key = key;
                key.set(Field::InPort, number.0.into());
                let start = Start::Received;
                self.translate_from(bridge.id, &key, start, request.effects, now_ms, Some(&mut trace))
            } else {
                Some(self.translate_traced(&key, request.effects, now_ms, Some(&mut trace)))
            };
            let Some(translation) = translation else { break };
            text.push_str(&trace.text);
            text.push('\n');
            let mut last = trace.final_flow.unwrap_or(shown);
            for field in [Field::ActsetOutput, Field::ConjId] {
                last.set(field, 0);
            }
            let same = format!("{last}") == format!("{shown}");
            let _ = writeln!(text, "Final flow: {}", if same { "unchanged".to_owned() } else { last.to_string() });
            let mut seen = translation.mask;
            if number.0 >= PortNo::MAX.0 {
                seen.add_all(Field::InPort);
            }
            let _ = writeln!(text, "Megaflow: {}", Shown { key: &shown, mask: &seen });
            let protocol = shown.get_u64(Field::IpProto) as u8;
            let _ = writeln!(text, "Datapath actions: {}", ShownOps { ops: &translation.ops, protocol });
            if let Some(reason) = translation.drop {
                let _ = writeln!(text, "(dropped: {reason:?})");
            }
            let mut walk = Walk { key, tracked: None, found: Vec::new() };
            walk.ops(&translation.ops);
            for (id, mut key, tracked) in walk.found {
                let heading = match tracked {
                    Some(zone) => {
                        let given = states.next();
                        let state = given.unwrap_or(CT_STATE_DEFAULT);
                        let told = given.map_or("default ct_state=trk|new".to_owned(), state_text);
                        key.set(Field::CtState, state.into());
                        key.set(Field::CtZone, zone.into());
                        format!("resume conntrack with {told} (use --ct-next to customize)")
                    }
                    None => "resume".to_owned(),
                };
                let line = "=".repeat(79);
                let heading = format!("\n{line}\nrecirc({id:#x}) - {heading}\n{line}\n\n");
                key.set(Field::RecircId, id.into());
                waiting.push_back((key, number, heading));
            }
        }
        Ok(text)
    }

    /// `fdb/show`.
    pub fn show_macs(&self, bridge: &str, now_ms: u64) -> Option<String> {
        let topology = self.topology();
        let bridge = topology.bridge_named(bridge)?;
        let mut text = " port  VLAN  MAC                Age\n".to_owned();
        for entry in bridge.state.macs.show(now_ms) {
            let bundle = bridge.bundle_places.get(&entry.bundle).and_then(|at| bridge.bundles.get(*at));
            let Some(bundle) = bundle else { continue };
            let port = match bundle.members.first() {
                Some(&PortNo::LOCAL) => "LOCAL".to_owned(),
                Some(number) => number.0.to_string(),
                None => "?".to_owned(),
            };
            let [_, _, octets @ ..] = entry.mac.to_be_bytes();
            let mac = hive_packet::MacAddr(octets);
            let age = entry.age_s.map_or("static".to_owned(), |age| age.to_string());
            let _ = writeln!(text, "{port:>5}  {:>4}  {mac}  {age:>3}", entry.vlan);
        }
        Some(text)
    }

    /// `fdb/stats-show`.
    pub fn show_mac_stats(&self, bridge: &str) -> Option<String> {
        let topology = self.topology();
        let stats = topology.bridge_named(bridge)?.state.macs.stats();
        Some(format!(
            "Statistics for bridge \"{bridge}\":\n  Current/maximum MAC entries in the table: {}/{}\n  \
             Current static MAC entries in the table : {}\n  Total number of learned MAC entries     : {}\n  \
             Total number of expired MAC entries     : {}\n  Total number of evicted MAC entries     : {}\n  \
             Total number of port moved MAC entries  : {}\n",
            stats.entries, stats.entries_max, stats.statics, stats.learned, stats.expired, stats.evicted, stats.moved
        ))
    }

    /// `fdb/flush`; false if there is no such bridge.
    pub fn flush_macs_of(&self, bridge: &str) -> bool {
        let id = self.topology().bridge_named(bridge).map(|bridge| bridge.id);
        if let Some(id) = id {
            self.flush_macs(id);
        }
        id.is_some()
    }

    /// `fdb/add`; false if there is no such bridge or port.
    pub fn add_mac(&self, bridge: &str, port: &str, vlan: u16, mac: u64) -> bool {
        let topology = self.topology();
        let Some(bridge) = topology.bridge_named(bridge) else { return false };
        let Some(bundle) = bridge.bundles.iter().find(|bundle| bundle.name == port) else { return false };
        bridge.state.macs.add_static(mac, vlan, bundle.id);
        self.touch();
        true
    }

    /// `fdb/del`; false if there is no such entry.
    pub fn remove_mac(&self, bridge: &str, vlan: u16, mac: u64) -> bool {
        let topology = self.topology();
        let Some(bridge) = topology.bridge_named(bridge) else { return false };
        let removed = bridge.state.macs.remove_static(mac, vlan);
        if removed {
            self.touch();
        }
        removed
    }

    /// `ofproto/list`.
    pub fn bridges(&self) -> Vec<String> {
        self.topology().bridges.values().map(|bridge| bridge.name.clone()).collect()
    }

    /// `bond/list`'s and `bond/show`'s text; all bonds, or one.
    pub fn show_bonds(&self, wanted: Option<&str>) -> String {
        let mut text = String::new();
        for bridge in self.topology().bridges.values() {
            let bonds = bridge.bundles.iter().filter(|bundle| wanted.is_none_or(|name| name == bundle.name));
            for (bundle, bond) in bonds.filter_map(|bundle| Some((bundle, bundle.bond.as_ref()?))) {
                let BondShown { members, active, buckets } = bond.show();
                let name = |number: PortNo| bridge.ports.get(&number).map_or("?", |port| &port.name).to_owned();
                let _ = writeln!(text, "---- {} ----\nbond_mode: {:?}", bundle.name, bond.spec.mode);
                for (number, enabled) in members {
                    let state = if enabled { "enabled" } else { "disabled" };
                    let is_active = if active == Some(number) { "\n  active member" } else { "" };
                    let _ = writeln!(text, "member {}: {state}{is_active}", name(number));
                    let loads =
                        buckets.iter().enumerate().filter(|(_, (member, load))| *member == Some(number) && *load != 0);
                    for (at, (_, load)) in loads {
                        let _ = writeln!(text, "  hash {at}: {} kB load", load / 1024);
                    }
                }
            }
        }
        text
    }
}

fn state_text(state: u32) -> String {
    let names = hive_flow::CT_STATE_NAMES.iter().enumerate().filter(|(bit, _)| state >> bit & 1 != 0);
    let names: Vec<_> = names.map(|(_, name)| *name).collect();
    format!("ct_state={}", names.join("|"))
}

fn context(bridge: &Bridge) -> Context {
    Context { tlvs: (**bridge.state.tlvs.load()).clone(), ..Context::new(Version::V1_5) }
}

/// The key as operations leave it at each recirculation, as far as a trace can know.
struct Walk {
    key: Key,
    tracked: Option<u16>,
    found: Vec<(u32, Key, Option<u16>)>,
}

impl Walk {
    fn ops(&mut self, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Set { field, value, mask } => {
                    let old = self.key.get(*field);
                    self.key.set(*field, old & !mask | value & mask);
                }
                Op::Conntrack(request) => self.tracked = Some(request.zone),
                Op::CtClear => self.tracked = None,
                Op::Hash { .. } => self.key.set(Field::DpHash, 1),
                Op::Recirculate(id) => self.found.push((id.0, self.key, self.tracked)),
                Op::Clone(ops) => self.branch(ops),
                Op::IfLarger { then, otherwise, .. } => {
                    self.branch(then);
                    self.branch(otherwise);
                }
                Op::PopVlan => {
                    self.key.set(Field::VlanTci, self.key.inner(hive_flow::Inner::Vlan1Tci).into());
                    self.key.set_inner(hive_flow::Inner::Vlan1Tci, 0);
                }
                Op::PushVlan { tpid, tci } => {
                    let old = self.key.get_u64(Field::VlanTci) as u32;
                    self.key.set_inner(hive_flow::Inner::Vlan1Tci, old);
                    self.key.set(Field::VlanTci, (*tci).into());
                    self.key.set_inner(hive_flow::Inner::VlanTpid, (*tpid).into());
                }
                Op::PopMpls { ether_type } | Op::PushMpls { ether_type, .. } => {
                    self.key.set(Field::EthType, (*ether_type).into());
                }
                Op::Output(_) | Op::SetTunnel(_) | Op::Truncate { .. } | Op::Meter(_) | Op::Punt(_) | Op::Sample(_) => {
                }
            }
        }
    }

    fn branch(&mut self, ops: &[Op]) {
        let (key, tracked) = (self.key, self.tracked);
        self.ops(ops);
        self.key = key;
        self.tracked = tracked;
    }
}
