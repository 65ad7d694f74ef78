//! NAT gateways: many private addresses behind one public one, each in a zone of its own.
//!
//! A packet for the internet meets a gateway as it would meet a host: by a route, through the ACLs of both subnets. Then the gateway's
//! own subnet's route table must lead it to an internet gateway. What comes back goes the same way.

use super::Compiler;
use super::classify::untagged;
use super::index::LocalNat;
use super::internet::{inwards, outwards};
use crate::flow::register::{
    ACL, FLAGS, FROM_INTERNET, FROM_NAT, RECEIVER, ROUTE_TABLE, SENDER, SUBNET, TARGET, TO_INSIDE,
};
use crate::flow::{Family, Pattern, Table, again, ct, set, set_mac, set_reg, translate, untranslate};
use crate::source::Source;
use hive_flow::{Field, PROTO_ICMP, PROTO_TCP, PROTO_UDP};
use hive_openflow::{Action, OxmField};

/// "A NAT gateway uses ports 1024–65535".
const PORTS: (u16, u16) = (1024, 65535);

impl Compiler<'_> {
    pub(super) fn nat_gateways(&mut self) {
        for nat in self.index.local_nats.clone() {
            self.nat_gateway(nat);
        }
    }

    /// The packet is the gateway's from here on.
    fn routed_by(&self, nat: LocalNat<'_>, flags: u32) -> Vec<Action> {
        let place = nat.place;
        vec![
            set(OxmField::Metadata, place.vpc.vni.bits()),
            set_reg(TARGET, 0),
            set_reg(FLAGS, flags),
            set_reg(SENDER, nat.number.0.into()),
            set_reg(RECEIVER, 0),
            set_reg(SUBNET, self.index.subnet_number(place.subnet_id)),
            set_reg(ROUTE_TABLE, self.index.route_table_number(place)),
            set_reg(ACL, self.index.acl_number(&place.subnet.acl)),
            set_mac(OxmField::EthSrc, nat.gateway.mac),
            again(Table::Route),
        ]
    }

    fn nat_gateway(&mut self, nat: LocalNat<'_>) {
        // What it does not take ends before it is tracked: a connection in its zone without translation would stay without.
        let others = Pattern::new().reg(RECEIVER, nat.number.0.into());
        self.add(Table::TrackIn, 250, others, Source::NatGateway(nat.id.clone()), Vec::new());
        let (Some((allocation, public)), Some(uplink)) = (nat.address, self.index.node.uplink) else { return };
        let source = Source::NatGateway(nat.id.clone());
        let (zone, number) = (nat.number.0, u32::from(nat.number.0));
        let ours = || Pattern::new().ip(Family::V4).reg(RECEIVER, number);
        let from_inside = ours().flags(0, FROM_INTERNET | TO_INSIDE);
        self.add(Table::TrackIn, 300, from_inside, source.clone(), self.routed_by(nat, FROM_NAT));
        for protocol in [PROTO_TCP, PROTO_UDP, PROTO_ICMP] {
            let pattern = Pattern::new().ip(Family::V4).reg(SENDER, number).protocol(protocol);
            let actions = [outwards(uplink).to_vec(), vec![translate(zone, public, PORTS, Table::Public)]].concat();
            self.add(Table::Internet, 100, pattern, source.clone(), actions);
        }
        if self.index.is_public(nat.place) {
            let actions = inwards(nat.place.vpc, nat.gateway.mac);
            self.public_address(uplink, public, Source::Address(allocation.clone()), actions);
        }
        let from_outside = ours().flags(FROM_INTERNET, FROM_INTERNET);
        self.add(Table::TrackIn, 300, from_outside, source.clone(), vec![untranslate(zone, Table::NatReturn)]);
        // Nobody begins a connection from outside.
        for state in [ct::ESTABLISHED, ct::RELATED] {
            let wanted = ct::TRACKED | ct::REPLY | state;
            let pattern = ours().ct_state(wanted, wanted | ct::INVALID);
            self.add(Table::NatReturn, 100, pattern, source.clone(), self.routed_by(nat, TO_INSIDE));
        }
        // What the services port says to a sender about a packet that was too long.
        if let Some(services) = self.index.node.services {
            let pattern = untagged(services).with(Field::TunId, number).ip(Family::V4);
            self.add(Table::Classify, 100, pattern, source, self.routed_by(nat, TO_INSIDE));
        }
    }
}
