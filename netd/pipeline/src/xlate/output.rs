//! Output to ports, and through patch ports into other bridges.

use super::Translator;
use super::table::Search;
use super::thaw::TUNNEL_FIELDS;
use crate::credit::Other;
use crate::topology::{Port, PortKind};
use hive_flow::{Field, Inner, KEY_TUNNEL_OPTIONS, REGISTERS};
use hive_openflow::{PacketInReason, PortConfig, PortNo};
use hive_program::{DropReason, Op};
use std::sync::Arc;

impl Translator<'_> {
    /// To a port, or to what a reserved number stands for.
    #[inline(never)]
    pub(super) fn output(&mut self, port: PortNo, max_len: u16, last: bool, bucket: bool) {
        match port {
            PortNo::IN_PORT => self.send(self.in_port(), true, last, None),
            PortNo::TABLE => {
                let in_port = self.in_port();
                let search = Search { in_port, table: 0, may_packet_in: true, original_tuple: false, last };
                self.search(search);
            }
            PortNo::NORMAL => self.normal(),
            PortNo::FLOOD => self.flood(false),
            PortNo::ALL => self.flood(true),
            PortNo::CONTROLLER => {
                let reason = if self.in_packet_out {
                    PacketInReason::PacketOut
                } else if bucket {
                    PacketInReason::Group
                } else if self.in_action_set {
                    PacketInReason::ActionSet
                } else {
                    PacketInReason::Action
                };
                self.commit();
                self.punt(max_len, 0, reason, &[], None);
            }
            PortNo::NONE | PortNo::UNSET => {}
            port if port == self.in_port() => self.note(|| "skipping output to input port".to_owned()),
            port => self.send(port, true, last, None),
        }
    }

    /// Only the packet's beginning.
    pub(super) fn output_truncated(&mut self, port: PortNo, max_len: u32, last: bool, bucket: bool) {
        match port {
            PortNo::TABLE | PortNo::NORMAL | PortNo::FLOOD | PortNo::ALL | PortNo::CONTROLLER | PortNo::NONE => {
                self.note(|| "output_trunc does not support this port".to_owned());
            }
            PortNo::IN_PORT => self.send(self.in_port(), true, last, Some(max_len)),
            port if port == self.in_port() => self.output(port, 0, last, bucket),
            port => self.send(port, true, last, Some(max_len)),
        }
    }

    /// To all ports but the packet's own.
    fn flood(&mut self, all: bool) {
        let (bridge, in_port) = (self.bridge, self.in_port());
        for port in bridge.ports.values() {
            if port.number != in_port && (all || !port.has(PortConfig::NO_FLOOD)) {
                self.send(port.number, true, false, None);
            }
        }
    }

    fn is_protected(&self, port: &Port) -> bool {
        let protected = |port: &Port| self.bridge.bundle_of(port).is_some_and(|bundle| bundle.protected);
        let from = self.bridge.ports.get(&self.in_port());
        protected(port) && from.is_some_and(|from| protected(from))
    }

    /// Out by a port. `mirrored`: with copies for its mirrors.
    pub(super) fn send(&mut self, number: PortNo, mirrored: bool, last: bool, truncate: Option<u32>) {
        if self.error.is_some() || !self.step(1) {
            return;
        }
        if self.ops.len() >= super::OPS_MAX {
            self.error = Some(DropReason::TooComplex);
            return;
        }
        let bridge = self.bridge;
        let Some(port) = bridge.ports.get(&number) else {
            self.note(|| format!("nonexistent output port {}", number.0));
            return;
        };
        if port.has(PortConfig::NO_FORWARD) || port.has(PortConfig::PORT_DOWN) {
            self.note(|| format!("port {} does not forward, skipping output", port.name));
            self.reason = DropReason::PortBlocked;
            return;
        }
        if self.is_protected(port) {
            self.note(|| "flow is between protected ports, skipping output".to_owned());
            self.reason = DropReason::PortBlocked;
            return;
        }
        match &port.kind {
            PortKind::Patch { .. } => {
                if truncate.is_some() || self.snaplen.is_some() {
                    return self.note(|| "cannot truncate output to patch port".to_owned());
                }
                return match port.peer {
                    Some(peer) => self.cross(port, peer, last),
                    None => self.note(|| format!("patch port {} has no peer", port.name)),
                };
            }
            PortKind::Tunnel(tunnel) => {
                let flow = Box::new(self.flow);
                let sent = self.set_tunnel(tunnel);
                if sent {
                    self.put_output(port, truncate);
                }
                self.flow = *flow;
                if !sent {
                    return;
                }
            }
            PortKind::Services => {
                self.set_services_tunnel();
                self.put_output(port, truncate);
            }
            PortKind::Device => self.put_output(port, truncate),
        }
        if mirrored
            && let Some(bundle) = bridge.bundle_of(port)
            && bundle.mirrored_out != 0
        {
            self.mirror(port.bundle, bundle.mirrored_out);
        }
    }

    fn put_output(&mut self, port: &Port, truncate: Option<u32>) {
        self.commit();
        if let Some(bytes) = truncate.or(self.snaplen.map(u32::from)) {
            self.ops.push(Op::Truncate { bytes });
        }
        self.ops.push(Op::Output(port.id));
    }

    /// Through a patch port: the packet arrives in the other bridge, and goes its way there.
    #[inline(never)]
    fn cross(&mut self, port: &Arc<Port>, peer: (hive_program::BridgeId, PortNo), last: bool) {
        let Some(there) = self.topology.bridges.get(&peer.0) else { return };
        let Some(arrival) = there.ports.get(&peer.1) else { return };
        if !self.check_resources() {
            // What went out before stays.
            self.error = None;
            self.reason = DropReason::Loop;
            return;
        }
        let (bridge, tables) = (self.bridge, std::mem::replace(&mut self.tables, there.flows.load()));
        self.bridge = there;
        self.others.push(Other::Patch { sent: port.state.clone(), received: arrival.state.clone() });
        self.note(|| format!("bridge(\"{}\")", there.name));
        let old_table = std::mem::replace(&mut self.table, 0);
        let (old_rule, old_cookie) = (self.rule.take(), std::mem::replace(&mut self.cookie, u64::MAX));
        let mirrors = std::mem::take(&mut self.mirrors);
        let snaplen = self.snaplen.take();
        let packet_out = std::mem::take(&mut self.in_packet_out);
        let in_action_set = std::mem::take(&mut self.in_action_set);
        self.nested += super::PATCH_NESTING;
        // Bridges that search nothing go in circles too.
        self.resubmits += 1;
        self.on_a_copy(last, |this| {
            this.stack.clear();
            this.action_set.clear();
            this.action_set_has_group = false;
            this.exit = false;
            this.arrive(arrival);
        });
        self.nested -= super::PATCH_NESTING;
        self.in_action_set = in_action_set;
        self.in_packet_out = packet_out;
        self.snaplen = snaplen;
        self.mirrors = mirrors;
        self.rule = old_rule;
        self.cookie = old_cookie;
        self.table = old_table;
        self.bridge = bridge;
        self.tables = tables;
        // What goes wrong there does not end the packet's way here.
        self.error = None;
    }

    fn arrive(&mut self, port: &Port) {
        let flow = &mut self.flow;
        flow.set(Field::InPort, port.number.0.into());
        flow.set(Field::Metadata, 0);
        let options = (0..KEY_TUNNEL_OPTIONS).map(Field::TunMetadata);
        for field in (0..REGISTERS).map(Field::Reg).chain(TUNNEL_FIELDS).chain(options) {
            flow.set(field, 0);
        }
        flow.set(Field::ActsetOutput, PortNo::UNSET.0.into());
        debug_assert!(flow.inner(Inner::VlanTpid) == 0 || super::fields::has_vlan(flow));
        self.conntracked = false;
        self.forget_connection();
        if self.bridge.bundle_of(port).is_some_and(|bundle| bundle.is_mirror) || !self.may_receive(port) {
            return;
        }
        self.mirror_received();
        if self.bridge.settings.fail_open {
            self.normal();
        } else {
            let (in_port, table) = (port.number, 0);
            let search = Search { in_port, table, may_packet_in: true, original_tuple: false, last: false };
            self.search(search);
        }
        self.run_action_set();
    }
}
