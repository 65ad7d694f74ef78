//! Packets for the controllers.

use super::Translator;
use super::thaw::{CT_FIELDS, TUNNEL_FIELDS};
use crate::frozen::{Frozen, PuntContext};
use crate::topology::{Port, PortKind};
use hive_flow::{ETH_TYPE_IPV4, Field, KEY_TUNNEL_OPTIONS, Match, PROTO_UDP, REGISTERS};
use hive_openflow::{Controller, PacketInReason, PortNo};
use hive_ovsdb::snapshot::Key;
use hive_packet::bfd::UDP_PORT;
use hive_program::{MeterId, Op, Punt};
use std::sync::Arc;

impl Translator<'_> {
    pub(super) fn punt_controller(
        &mut self,
        controller: &Controller,
        reason: PacketInReason,
        continuation: Option<Frozen>,
    ) {
        let meter = controller.meter.map(|meter| MeterId { bridge: self.bridge.id, meter });
        let Controller { max_len, controller_id, userdata, .. } = controller;
        self.punt_with(*max_len, *controller_id, reason, userdata, continuation, meter);
    }

    /// To the controllers of this bridge with this id.
    pub(super) fn punt(
        &mut self,
        max_len: u16,
        controller_id: u16,
        reason: PacketInReason,
        userdata: &[u8],
        continuation: Option<Frozen>,
    ) {
        self.punt_with(max_len, controller_id, reason, userdata, continuation, None);
    }

    fn punt_with(
        &mut self,
        max_len: u16,
        controller_id: u16,
        reason: PacketInReason,
        userdata: &[u8],
        continuation: Option<Frozen>,
        meter: Option<MeterId>,
    ) {
        self.commit();
        let reason = match reason {
            PacketInReason::Action if self.is_table_miss() => PacketInReason::ExplicitMiss,
            reason => reason,
        };
        let context = PuntContext {
            bridge: self.bridge.id,
            controller_id,
            reason,
            table: self.table,
            cookie: self.cookie,
            userdata: userdata.to_vec(),
            max_len,
            continuation,
        };
        let Some((what, context)) = self.switch.punts().keep(context, self.now_ms) else {
            return self.note(|| "no room for one more message to controllers".to_owned());
        };
        self.punts.push(context);
        let (bridge, metadata) = (self.bridge.id, self.metadata());
        self.ops.push(Op::Punt(Arc::new(Punt { bridge, what: what.into(), metadata, meter })));
    }

    /// Whether a packet that came in by the port is for its session. In a tunnel whose flows choose the network those are in none:
    /// who is in one cannot speak for the other end.
    pub(super) fn is_bfd(&mut self, port: &Port) -> bool {
        if !port.bfd || super::fields::eth_type(&self.flow) != ETH_TYPE_IPV4 {
            return false;
        }
        if matches!(&port.kind, PortKind::Tunnel(tunnel) if tunnel.in_key == Key::Flow) {
            self.mask.add_all(Field::TunId);
            if self.flow.get(Field::TunId) != 0 {
                return false;
            }
        }
        self.mask.add_all(Field::IpProto);
        if self.flow.get(Field::IpProto) != PROTO_UDP.into() || super::fields::is_later_fragment(&self.flow) {
            return false;
        }
        self.mask.add_all(Field::TpDst);
        self.flow.get(Field::TpDst) == UDP_PORT.into()
    }

    pub(super) fn punt_bfd(&mut self, port: &Port) {
        let (bridge, what) = (self.bridge.id, crate::bfd::what(port.id));
        self.ops.push(Op::Punt(Arc::new(Punt { bridge, what, metadata: Match::default(), meter: None })));
    }

    /// What the packet itself does not hold. Whoever reads it depends on it, so it counts; but what no packet like this one can have
    /// otherwise does not.
    fn metadata(&mut self) -> Match {
        let mut metadata = Match::default();
        let recirculated = self.original.get(Field::RecircId) != 0;
        let in_port = PortNo(self.original.get_u64(Field::InPort) as u16);
        let from_device = self
            .bridge
            .ports
            .get(&in_port)
            .is_none_or(|port| matches!(port.kind, PortKind::Device | PortKind::Patch { .. }));
        let options = (0..KEY_TUNNEL_OPTIONS).map(Field::TunMetadata);
        for field in TUNNEL_FIELDS.into_iter().chain(options) {
            self.put_metadata(&mut metadata, field, !recirculated && !from_device);
        }
        let conntracked = self.conntracked;
        for field in CT_FIELDS {
            self.put_metadata(&mut metadata, field, recirculated && conntracked);
        }
        self.put_metadata(&mut metadata, Field::PktMark, recirculated);
        for field in [Field::Metadata].into_iter().chain((0..REGISTERS).map(Field::Reg)) {
            self.put_metadata(&mut metadata, field, false);
        }
        metadata.exactly(Field::InPort, self.flow.get(Field::InPort));
        let port = self.flow.get(Field::ActsetOutput);
        if port != u128::from(PortNo::UNSET.0) {
            metadata.exactly(Field::ActsetOutput, port);
        }
        metadata
    }

    fn put_metadata(&mut self, metadata: &mut Match, field: Field, counts: bool) {
        if counts {
            self.mask.add_all(field);
        }
        let value = self.flow.get(field);
        if value != 0 {
            metadata.exactly(field, value);
        }
    }
}
