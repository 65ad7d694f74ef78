//! What the bridge says of its own accord: flows that went, ports that changed, packets, and what flow monitors see.

use crate::bridge::Bridge;
use crate::connection::{Connection, ConnectionId, PACKET_BACKLOG_BYTES_MAX};
use crate::flow::Flow;
use crate::flow_mod::Change;
use crate::port::Port;
use hive_flow::Match;
use hive_openflow::{
    AsyncKind, FlowCounters, FlowEvent, FlowRemoved, FlowUpdate, FlowUpdateFull, GROUP_ANY, Message, MonitorFlags,
    MonitorRequest, PacketIn, PacketInReason, PortNo, PortReason, PortStatus, RemovedReason, Reply, TABLE_ALL, Version,
    outputs_to_group, outputs_to_port,
};

/// The number of a reason's bit.
fn removed_bit(reason: RemovedReason) -> u8 {
    match reason {
        RemovedReason::IdleTimeout => 0,
        RemovedReason::HardTimeout => 1,
        RemovedReason::Delete => 2,
        RemovedReason::GroupDelete => 3,
        RemovedReason::MeterDelete => 4,
        RemovedReason::Eviction => 5,
        RemovedReason::Other(other) => other,
    }
}

fn packet_in_bit(reason: PacketInReason, version: Version) -> u8 {
    match reason {
        PacketInReason::NoMatch => 0,
        PacketInReason::InvalidTtl => 2,
        PacketInReason::ExplicitMiss if version >= Version::V1_3 => 0,
        PacketInReason::ActionSet if version >= Version::V1_4 => 3,
        PacketInReason::Group if version >= Version::V1_4 => 4,
        PacketInReason::PacketOut if version >= Version::V1_4 => 5,
        PacketInReason::Other(other) => other,
        _ => 1,
    }
}

impl MonitorScope for MonitorRequest {
    fn sees(&self, flow: &Flow) -> bool {
        (self.table == TABLE_ALL || self.table == flow.table)
            && asks_for_all_of(&flow.matching, &self.flow)
            && (self.out_port == PortNo::NONE || outputs_to_port(&flow.actions, self.out_port))
            && (self.out_group == GROUP_ANY || outputs_to_group(&flow.actions, self.out_group))
    }
}

/// Which flows a monitor watches.
pub(crate) trait MonitorScope {
    fn sees(&self, flow: &Flow) -> bool;
}

/// Whether each packet that `narrow` means `wide` means too, by what they ask for.
fn asks_for_all_of(narrow: &Match, wide: &Match) -> bool {
    wide.iter().all(|(field, wide)| {
        let narrow = narrow.get(field);
        narrow.mask & wide.mask == wide.mask && (narrow.value ^ wide.value) & wide.mask == 0
    })
}

pub(crate) fn full_update(flow: &Flow, event: FlowEvent, with_actions: bool) -> FlowUpdate {
    FlowUpdate::Full(Box::new(FlowUpdateFull {
        event,
        table: flow.table,
        priority: flow.priority,
        idle_timeout_s: flow.idle_timeout_s,
        hard_timeout_s: flow.hard_timeout_s,
        cookie: flow.cookie,
        flow: flow.matching.clone(),
        actions: if with_actions { flow.actions.clone() } else { Vec::new() },
    }))
}

/// What a connection's monitors see of a change; `own`: it was this connection's request.
fn update(connection: &Connection, change: &Change, own: Option<u32>) -> Option<FlowUpdate> {
    let (flow, before, event, flag) = match change {
        Change::Added(flow) => (flow, None, FlowEvent::Added, MonitorFlags::ADD),
        Change::Replaced { old, new } => (new, Some(old), FlowEvent::Added, MonitorFlags::ADD),
        Change::Modified { old, new } if old.cookie == new.cookie && old.actions == new.actions => return None,
        Change::Modified { old, new } => (new, Some(old), FlowEvent::Modified, MonitorFlags::MODIFY),
        Change::Removed { flow, reason } => (flow, None, FlowEvent::Removed(*reason), MonitorFlags::DELETE),
    };
    let sees = |monitor: &&MonitorRequest| {
        let seen = monitor.sees(flow) || before.is_some_and(|before| monitor.sees(before));
        seen && monitor.flags.contains(flag) && (own.is_some() || !monitor.flags.contains(MonitorFlags::ONLY_OWN))
    };
    let flags = connection.monitors.values().filter(sees).fold(0, |bits, monitor| bits | monitor.flags.0);
    match own {
        _ if flags == 0 => None,
        Some(xid) if !MonitorFlags(flags).contains(MonitorFlags::OWN) => Some(FlowUpdate::Abbreviated { xid }),
        _ => Some(full_update(flow, event, MonitorFlags(flags).contains(MonitorFlags::ACTIONS))),
    }
}

impl Bridge {
    /// Tells of changes of flows that are in force now. `own`: the connection whose request they were, and its xid.
    pub(crate) fn tell_changes(&mut self, changes: &[Change], own: Option<(ConnectionId, u32)>, now_ms: u64) {
        for change in changes {
            if let Change::Removed { flow, reason } = change
                && flow.flags.send_flow_removed
            {
                self.tell_removed(flow, *reason, now_ms);
            }
        }
        for (id, connection) in self.connections.iter_mut().filter(|(_, connection)| !connection.monitors.is_empty()) {
            let own = own.filter(|(owner, _)| owner == id).map(|(_, xid)| xid);
            let mut updates: Vec<_> = changes.iter().filter_map(|change| update(connection, change, own)).collect();
            // One word for all changes of one request.
            updates.dedup_by(|one, other| matches!(one, FlowUpdate::Abbreviated { .. }) && one == other);
            if !updates.is_empty() {
                connection.tell(&Message::Reply { reply: Reply::FlowMonitor(updates), more: false });
            }
        }
    }

    fn tell_removed(&mut self, flow: &Flow, reason: RemovedReason, now_ms: u64) {
        for connection in self.connections.values_mut() {
            if !connection.wants(AsyncKind::FlowRemoved, removed_bit(reason)) {
                continue;
            }
            let message = FlowRemoved {
                flow: flow.matching.clone(),
                priority: flow.priority,
                cookie: flow.cookie,
                reason,
                table: Some(flow.table),
                idle_timeout_s: flow.idle_timeout_s,
                hard_timeout_s: flow.hard_timeout_s,
                counters: FlowCounters { idle_s: None, ..flow.counters(now_ms) },
                nicira: connection.nicira_flows && connection.context.version == Version::V1_0,
            };
            connection.tell(&Message::FlowRemoved(Box::new(message)));
        }
    }

    pub(crate) fn tell_port(&mut self, port: &Port, reason: PortReason) {
        for connection in self.connections.values_mut() {
            if connection.wants(AsyncKind::PortStatus, reason as u8) {
                let desc = port.desc(connection.context.version);
                connection.tell(&Message::PortStatus(PortStatus { reason, desc }));
            }
        }
    }

    /// Gives a packet to the controllers with this id that want it, each in the form it asked for. Says how many had no room for it.
    pub fn packet_in(&mut self, packet_in: &PacketIn, controller_id: u16) -> usize {
        let mut dropped = 0;
        for connection in self.connections.values_mut() {
            let bit = packet_in_bit(packet_in.reason, connection.context.version);
            if connection.controller_id != controller_id || !connection.wants(AsyncKind::PacketIn, bit) {
                continue;
            }
            if connection.output.len() > PACKET_BACKLOG_BYTES_MAX {
                connection.packets_dropped += 1;
                dropped += 1;
                continue;
            }
            let packet_in = PacketIn { format: connection.packet_in_format, ..packet_in.clone() };
            connection.tell(&Message::PacketIn(Box::new(packet_in)));
        }
        dropped
    }
}
