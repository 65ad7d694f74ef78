//! Where a packet's way begins, stops for the data path's sake, goes on, and ends.

use super::table::Search;
use super::{Freeze, Translator};
use crate::credit::Credits;
use crate::frozen::{Frozen, Segment};
use crate::switch::Switch;
use crate::topology::{Bridge, PortKind, Topology};
use crate::trace::Trace;
use hive_flow::{
    ETH_TYPE_ARP, ETH_TYPE_IPV4, ETH_TYPE_IPV6, ETH_TYPE_RARP, FRAG_ANY, FRAG_LATER, Field, Inner, KEY_TUNNEL_OPTIONS,
    Key, Mask, REGISTERS, VLAN_PRESENT,
};
use hive_openflow::{Action, PacketInReason, PortConfig, PortNo};
use hive_program::{DropReason, HashOf, Op, RecircId, Translation};
use std::cell::Cell;
use std::sync::Arc;

/// The packet came by a tunnel, or will leave by one, with these.
pub(super) const TUNNEL_FIELDS: [Field; 8] = [
    Field::TunId,
    Field::TunSrc,
    Field::TunDst,
    Field::TunIpv6Src,
    Field::TunIpv6Dst,
    Field::TunFlags,
    Field::TunGbpId,
    Field::TunGbpFlags,
];

/// What the pipeline remembers of a packet while the data path has it.
pub(super) fn remembered() -> impl Iterator<Item = Field> {
    let tunnel = TUNNEL_FIELDS.into_iter().chain((0..KEY_TUNNEL_OPTIONS).map(Field::TunMetadata));
    tunnel.chain([Field::InPort, Field::Metadata]).chain((0..REGISTERS).map(Field::Reg))
}

pub(super) const CT_FIELDS: [Field; 11] = [
    Field::CtState,
    Field::CtZone,
    Field::CtMark,
    Field::CtLabel,
    Field::CtNwProto,
    Field::CtNwSrc,
    Field::CtNwDst,
    Field::CtIpv6Src,
    Field::CtIpv6Dst,
    Field::CtTpSrc,
    Field::CtTpDst,
];

/// Where a translation begins.
#[derive(Debug)]
pub(crate) enum Start<'s> {
    /// A packet from a port, or one that is said to be.
    Received,
    Thawed(&'s Frozen),
    /// Of a packet-out.
    Actions(&'s [Action]),
}

impl<'a> Translator<'a> {
    /// `key`: with the number that OpenFlow gives the input port.
    pub fn new(
        switch: &'a Switch,
        topology: &'a Topology,
        bridge: &'a Arc<Bridge>,
        key: &'a Key,
        effects: bool,
        now_ms: u64,
        trace: Option<&'a mut Trace>,
    ) -> Self {
        let mut flow = *key;
        flow.set(Field::ActsetOutput, PortNo::UNSET.0.into());
        flow.set(Field::ConjId, 0);
        Self {
            switch,
            topology,
            bridge,
            bridge_of_origin: bridge,
            tables: bridge.flows.load(),
            original: key,
            flow,
            base: flow,
            mask: Mask::NONE,
            ops: Vec::with_capacity(8),
            stack: Vec::new(),
            action_set: Vec::new(),
            action_set_has_group: false,
            table: 0,
            rule: None,
            cookie: u64::MAX,
            depth: 0,
            nested: 0,
            resubmits: 0,
            steps: Cell::new(0),
            has_made_vlan: false,
            exit: false,
            freeze: None,
            segments: Vec::new(),
            unrolling: false,
            error: None,
            was_mpls: false,
            conntracked: false,
            in_action_set: false,
            in_packet_out: false,
            mirrors: 0,
            snaplen: None,
            last_tunnel: None,
            reason: DropReason::Pipeline,
            effects,
            now_ms,
            usages: Vec::with_capacity(8),
            lookups: Vec::with_capacity(8),
            others: Vec::new(),
            kept: Vec::new(),
            punts: Vec::new(),
            trace,
        }
    }

    pub fn run(&mut self, start: Start<'_>) {
        self.begin_mask();
        match start {
            Start::Received => self.receive(),
            Start::Thawed(frozen) => self.thaw(frozen),
            Start::Actions(actions) => {
                self.in_packet_out = true;
                self.table = 0;
                self.actions(actions, true, false);
                self.end();
            }
        }
    }

    /// What always counts.
    fn begin_mask(&mut self) {
        for field in [Field::InPort, Field::RecircId, Field::EthType, Field::PacketType] {
            self.mask.add_all(field);
        }
        self.mask.add(Field::VlanTci, VLAN_PRESENT.into());
        if super::fields::is_ip(&self.flow) {
            self.mask.add(Field::IpFrag, (FRAG_ANY | FRAG_LATER).into());
        }
        if self.flow.get(Field::TunDst) != 0 || self.flow.get(Field::TunIpv6Dst) != 0 {
            for field in [Field::TunId, Field::TunSrc, Field::TunDst, Field::TunIpv6Src, Field::TunIpv6Dst] {
                self.mask.add_all(field);
            }
        }
    }

    fn receive(&mut self) {
        let in_port = PortNo(self.flow.get_u64(Field::InPort) as u16);
        let bridge = self.bridge;
        let port = bridge.ports.get(&in_port);
        if let Some(port) = port {
            if bridge.bundle_of(port).is_some_and(|bundle| bundle.is_mirror) {
                self.note(|| format!("dropping packet from {}, which is a mirror's output", port.name));
                self.reason = DropReason::PortBlocked;
                return;
            }
            if !self.may_receive(port) {
                self.reason = DropReason::PortBlocked;
                return;
            }
            if self.is_bfd(port) {
                return self.punt_bfd(port);
            }
        }
        self.mirror_received();
        if bridge.settings.fail_open {
            self.normal();
        } else {
            let table = 0;
            let search = Search { in_port, table, may_packet_in: true, original_tuple: false, last: true };
            self.search_first(search);
        }
        self.end();
    }

    /// The first search of a packet is not within another.
    fn search_first(&mut self, search: Search) {
        self.depth = 0;
        self.search(search);
    }

    pub(super) fn may_receive(&mut self, port: &crate::topology::Port) -> bool {
        if port.has(PortConfig::NO_RECEIVE) == port.has(PortConfig::NO_RECEIVE_STP) {
            return !port.has(PortConfig::NO_RECEIVE);
        }
        const STP: u128 = 0x0180_c200_0000;
        self.mask.add_all(Field::EthDst);
        let is_stp =
            self.flow.get(Field::EthDst) == STP && super::fields::eth_type(&self.flow) == hive_flow::ETH_TYPE_NONE;
        !port.has(if is_stp { PortConfig::NO_RECEIVE_STP } else { PortConfig::NO_RECEIVE })
    }

    /// Goes on where the pipeline stopped.
    fn thaw(&mut self, frozen: &Frozen) {
        for field in remembered() {
            self.flow.set(field, frozen.metadata.get(field));
        }
        self.base.set(Field::InPort, frozen.metadata.get(Field::InPort));
        self.conntracked = frozen.conntracked;
        if !frozen.conntracked {
            self.forget_connection();
        }
        self.stack.clone_from(&frozen.stack);
        self.mirrors = frozen.mirrors;
        self.write_actions(&frozen.action_set);
        self.table = frozen.table;
        if frozen.segments.is_empty() && !frozen.paused {
            let in_port = PortNo(self.flow.get_u64(Field::InPort) as u16);
            self.search_first(Search {
                in_port,
                table: frozen.table,
                may_packet_in: true,
                original_tuple: false,
                last: true,
            });
            return self.end();
        }
        for (at, segment) in frozen.segments.iter().enumerate() {
            if self.exit {
                let rest = frozen.segments.get(at..).unwrap_or_default();
                let actions = rest.iter().map(|segment| segment.actions.len()).sum();
                if self.freeze.is_some() && self.step(actions) {
                    self.segments.extend(rest.iter().cloned());
                }
                break;
            }
            self.table = segment.table;
            self.cookie = segment.cookie;
            self.actions(&segment.actions, at + 1 == frozen.segments.len(), false);
        }
        self.end();
    }

    pub(super) fn forget_connection(&mut self) {
        for field in CT_FIELDS {
            self.flow.set(field, 0);
        }
    }

    /// After the last action: the action set, or the freezer.
    pub(super) fn end(&mut self) {
        if self.error.is_none() {
            self.run_action_set();
        }
    }

    /// The action set is carried out, or what is left is frozen.
    pub(super) fn run_action_set(&mut self) {
        if self.error.is_some() {
            return;
        }
        if self.freeze.is_none() {
            let set = super::group::ordered(&std::mem::take(&mut self.action_set));
            self.action_set_has_group = false;
            if !set.is_empty() {
                let outer = std::mem::replace(&mut self.in_action_set, true);
                // What an `exit` cut off were actions; the set stands apart.
                let exit = std::mem::replace(&mut self.exit, false);
                self.note(|| "-. Executing action set:".to_owned());
                self.actions(&set, true, false);
                self.in_action_set = outer;
                self.exit |= exit;
            }
        }
        self.finish_freezing();
    }

    /// Stop before the current action; it is the first to be carried out when the packet is back.
    pub(super) fn freeze_recirculate(&mut self, hash: Option<(HashOf, u32)>) {
        self.exit = true;
        self.freeze = Some(Freeze::Recirculate(hash));
    }

    pub(super) fn freeze_pause(&mut self, controller: &hive_openflow::Controller) {
        self.exit = true;
        // The action itself is done.
        self.unrolling = true;
        self.freeze = Some(Freeze::Pause(Box::new(controller.clone())));
    }

    pub(super) fn is_freezing(&self) -> bool {
        self.freeze.is_some()
    }

    /// Whether the action that was just tried must be tried again.
    pub(super) fn froze_here(&self) -> bool {
        self.freeze.is_some() && !self.unrolling
    }

    pub(super) fn unroll(&mut self, rest: &[Action]) {
        self.unrolling = true;
        if !rest.is_empty() && self.step(rest.len()) {
            self.segments.push(Segment { table: self.table, cookie: self.cookie, actions: rest.to_vec() });
        }
    }

    pub(super) fn finish_freezing(&mut self) {
        let Some(freeze) = self.freeze.take() else { return };
        self.unrolling = false;
        let segments = std::mem::take(&mut self.segments);
        self.commit();
        let paused = matches!(freeze, Freeze::Pause(_));
        let frozen = self.frozen(self.table, segments, paused);
        match freeze {
            Freeze::Pause(controller) => {
                self.punt_controller(&controller, PacketInReason::Action, Some(frozen));
            }
            Freeze::Recirculate(hash) => {
                if let Some((of, basis)) = hash {
                    self.ops.push(Op::Hash { of, basis });
                }
                self.recirculate(frozen);
            }
        }
    }

    /// The state of the pipeline as it is now.
    pub(super) fn frozen(&self, table: u8, segments: Vec<Segment>, paused: bool) -> Frozen {
        let mut metadata = Key::ZERO;
        for field in remembered() {
            metadata.set(field, self.flow.get(field));
        }
        Frozen {
            bridge: self.bridge.id,
            table,
            metadata,
            stack: self.stack.clone(),
            action_set: self.action_set.clone(),
            segments,
            conntracked: self.conntracked,
            mirrors: self.mirrors,
            paused,
        }
    }

    pub(super) fn recirculate(&mut self, frozen: Frozen) {
        match self.switch.states().keep(frozen, self.now_ms) {
            Some((id, frozen)) => {
                self.kept.push(frozen);
                self.ops.push(Op::Recirculate(RecircId(id)));
            }
            None => {
                self.note(|| "no room for one more recirculation".to_owned());
                self.error = Some(DropReason::RecirculationUnknown);
            }
        }
    }

    pub fn finish(mut self, epoch: u64) -> Translation<Credits> {
        if self.error.is_some() {
            self.ops.clear();
        }
        let drop = self.ops.is_empty().then(|| self.error.unwrap_or(self.reason));
        self.finish_mask();
        if let Some(trace) = &mut self.trace {
            trace.final_flow = Some(self.flow);
        }
        Translation {
            mask: self.mask,
            ops: self.ops.into(),
            credits: Arc::new(Credits {
                usages: self.usages.into(),
                tables: self.lookups.into(),
                others: self.others.into(),
                _frozen: self.kept.into(),
                _punts: self.punts.into(),
            }),
            drop,
            uncached: false,
            epoch,
        }
    }

    /// What the data path's key does not have does not count.
    fn finish_mask(&mut self) {
        let (mask, original) = (&mut self.mask, self.original);
        // Of what the pipeline remembers by itself.
        for field in
            [Field::Metadata, Field::ActsetOutput, Field::ConjId].into_iter().chain((0..REGISTERS).map(Field::Reg))
        {
            mask.set(field, 0);
        }
        // A packet that no tunnel brought has none; of one that was thawed, the pipeline knows it.
        let port = self.bridge_of_origin.ports.get(&PortNo(original.get_u64(Field::InPort) as u16));
        let tunneled = port.is_some_and(|port| matches!(port.kind, PortKind::Tunnel(_) | PortKind::Services));
        if original.get(Field::RecircId) != 0 || !tunneled {
            for field in TUNNEL_FIELDS.into_iter().chain((0..KEY_TUNNEL_OPTIONS).map(Field::TunMetadata)) {
                mask.set(field, 0);
            }
        }
        let kind = super::fields::eth_type(original);
        if !super::fields::is_mpls(original) {
            for part in [Inner::MplsLse0, Inner::MplsLse1, Inner::MplsLse2] {
                mask.clear_inner(part);
            }
        }
        if !super::fields::has_vlan(original) {
            mask.set(Field::VlanTci, VLAN_PRESENT.into());
            for part in [Inner::VlanTpid, Inner::Vlan1Tci, Inner::Vlan1Tpid] {
                mask.clear_inner(part);
            }
        } else if mask.inner(Inner::Vlan1Tci) != 0 {
            mask.add_inner_bits(Inner::Vlan1Tci, VLAN_PRESENT.into());
        }
        if kind != ETH_TYPE_IPV4 {
            mask.set(Field::Ipv4Src, 0);
            mask.set(Field::Ipv4Dst, 0);
        }
        if kind != ETH_TYPE_IPV6 {
            for field in [Field::Ipv6Src, Field::Ipv6Dst, Field::Ipv6Label, Field::NdTarget, Field::NdSll, Field::NdTll]
            {
                mask.set(field, 0);
            }
        }
        if !matches!(kind, ETH_TYPE_ARP | ETH_TYPE_RARP) {
            for field in [Field::ArpOp, Field::ArpSpa, Field::ArpTpa, Field::ArpSha, Field::ArpTha] {
                mask.set(field, 0);
            }
        }
        let ip = matches!(kind, ETH_TYPE_IPV4 | ETH_TYPE_IPV6);
        if !ip {
            for field in [Field::IpProto, Field::IpDscp, Field::IpEcn, Field::IpTtl, Field::IpFrag].into_iter().chain([
                Field::TpSrc,
                Field::TpDst,
                Field::TcpFlags,
                Field::IcmpType,
                Field::IcmpCode,
            ]) {
                mask.set(field, 0);
            }
        }
        if ip && super::fields::is_later_fragment(original) {
            for field in [Field::TpSrc, Field::TpDst, Field::TcpFlags, Field::IcmpType, Field::IcmpCode] {
                mask.set(field, 0);
            }
        }
    }
}
