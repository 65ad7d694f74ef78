//! What reaches the pipeline otherwise than by a port, and what it says to controllers.

use crate::bond::Bond;
use crate::switch::{NO_PORT, Switch};
use crate::trace::Trace;
use crate::xlate::Start;
use hive_flow::{Field, Key, VLAN_LIMIT_MAX, parse};
use hive_openflow::{NO_BUFFER, PacketIn, PacketInFormat, PacketOut, PortNo};
use hive_program::{BridgeId, Op, Pipeline, PortId, Traffic};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

/// A packet that is to be carried out by the data path.
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub frame: Vec<u8>,
    /// With the data path's number of the port that it is said to come from.
    pub template: Key,
    pub ops: Arc<[Op]>,
}

/// What a trace found.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Tables and actions, as they were followed.
    pub text: String,
    /// Key and mask of the flow that the data path would keep, and its operations.
    pub key: Key,
    pub mask: hive_flow::Mask,
    pub ops: Arc<[Op]>,
    /// Zones of the connection tracking that was asked for, in order.
    pub zones: Vec<u16>,
}

impl Switch {
    /// The way of a packet that a controller sends (OFPT_PACKET_OUT). None: there is no such bridge.
    pub fn packet_out(&self, bridge: BridgeId, packet: &PacketOut, now_ms: u64) -> Option<Outgoing> {
        let bridge = self.topology().bridges.get(&bridge).cloned()?;
        let mut template = Key::ZERO;
        for (field, masked) in packet.metadata.iter() {
            template.set(field, masked.value);
        }
        let key = parse(&packet.packet, packet.packet.len(), &template, VLAN_LIMIT_MAX).key;
        let translation = self.translate_from(&bridge, &key, Start::Actions(&packet.actions), true, now_ms, None);
        let tcp_flags = key.get_u64(Field::TcpFlags) as u16;
        let bytes = packet.packet.len() as u64;
        self.credit(&translation.credits, Traffic { packets: 1, bytes, tcp_flags }, now_ms);
        let port = bridge.ports.get(&packet.in_port()).map_or(NO_PORT, |port| port.id);
        template.set(Field::InPort, port.0.into());
        Some(Outgoing { frame: packet.packet.clone(), template, ops: translation.ops })
    }

    /// A packet that a controller action paused goes on (NXT_RESUME). None: its state is gone, or never was.
    pub fn resume(&self, bridge: BridgeId, packet: &PacketIn, now_ms: u64) -> Option<Outgoing> {
        let bridge = self.topology().bridges.get(&bridge).cloned()?;
        let id = u32::from_be_bytes(*packet.continuation.first_chunk::<4>()?);
        let frozen = self.states().get(id).filter(|frozen| frozen.paused && frozen.bridge == bridge.id)?;
        // What the controller may have changed: the packet, and what is said of it.
        let mut frozen = (*frozen).clone();
        for (field, masked) in packet.metadata.iter().filter(|(field, _)| *field != Field::InPort) {
            frozen.metadata.set(field, masked.value);
        }
        let mut template = Key::ZERO;
        for (field, masked) in packet.metadata.iter() {
            template.set(field, masked.value);
        }
        let key = parse(&packet.packet, packet.packet.len(), &template, VLAN_LIMIT_MAX).key;
        let translation = self.translate_from(&bridge, &key, Start::Thawed(&frozen), true, now_ms, None);
        let in_port = PortNo(frozen.metadata.get_u64(Field::InPort) as u16);
        let port = bridge.ports.get(&in_port).map_or(NO_PORT, |port| port.id);
        template.set(Field::InPort, port.0.into());
        Some(Outgoing { frame: packet.packet.clone(), template, ops: translation.ops })
    }

    /// Waits for packets to controllers, and hands them to their agents, all that there are. Tells whose agents have something to say.
    pub fn deliver(&self, timeout: Duration, now_ms: u64) -> BTreeSet<BridgeId> {
        let mut told = BTreeSet::new();
        self.wait_for_punts(timeout);
        while let Some(waiting) = self.take_waiting() {
            let (punt, frame) = (waiting.punt, waiting.frame);
            let context = u32::try_from(punt.what).ok().and_then(|what| self.punts().get(what));
            let (Some(context), Some(bridge)) = (context, self.topology().bridges.get(&punt.bridge).cloned()) else {
                continue;
            };
            let continuation = match &context.continuation {
                None => Vec::new(),
                Some(frozen) => match self.states().keep(frozen.clone(), now_ms) {
                    Some((id, state)) => {
                        self.hold(state);
                        id.to_be_bytes().to_vec()
                    }
                    None => continue,
                },
            };
            let whole = context.continuation.is_some() || context.max_len == u16::MAX;
            let shown = if whole { frame.len() } else { frame.len().min(context.max_len.into()) };
            let packet_in = PacketIn {
                format: PacketInFormat::Standard,
                buffer: NO_BUFFER,
                total_bytes: u32::try_from(frame.len()).unwrap_or(u32::MAX),
                reason: context.reason,
                table: context.table,
                cookie: context.cookie,
                metadata: punt.metadata.clone(),
                packet: frame.get(..shown).unwrap_or_default().to_vec(),
                userdata: context.userdata.clone(),
                continuation,
            };
            bridge.agent.lock().unwrap_or_else(PoisonError::into_inner).packet_in(&packet_in, context.controller_id);
            told.insert(punt.bridge);
        }
        told
    }

    /// Follows a packet that nobody sent. `key` has the port of the data path. None: the port is of no bridge.
    pub fn trace(&self, key: &Key, now_ms: u64) -> Option<Traced> {
        self.topology().port(PortId(key.get_u64(Field::InPort) as u32))?;
        let mut trace = Trace::default();
        let translation = self.translate_traced(key, false, now_ms, Some(&mut trace));
        let zones = trace.tracked.iter().map(|(zone, _)| *zone).collect();
        Some(Traced { text: trace.text, key: *key, mask: translation.mask, ops: translation.ops, zones })
    }

    /// The bond of a bridge's port.
    pub fn bond(&self, bridge: BridgeId, port: &str) -> Option<Arc<Bond>> {
        let bridge = self.topology().bridges.get(&bridge).cloned()?;
        bridge.bundles.iter().find(|bundle| bundle.name == port)?.bond.clone()
    }

    /// The name of a port in a bridge's MAC table, and its first interface's number.
    pub fn bundle(&self, bridge: BridgeId, id: crate::BundleId) -> Option<(String, PortNo)> {
        let bridge = self.topology().bridges.get(&bridge).cloned()?;
        let bundle = bridge.bundles.iter().find(|bundle| bundle.id == id)?;
        Some((bundle.name.clone(), *bundle.members.first()?))
    }

    /// The number of a port in its bridge's MAC table.
    pub fn bundle_id(&self, bridge: BridgeId, port: &str) -> Option<crate::BundleId> {
        let bridge = self.topology().bridges.get(&bridge).cloned()?;
        bridge.bundles.iter().find(|bundle| bundle.name == port).map(|bundle| bundle.id)
    }

    /// Translations made so far are made again.
    pub fn revalidate(&self) {
        self.touch();
    }
}
