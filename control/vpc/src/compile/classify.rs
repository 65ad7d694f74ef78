//! Table 0, and what comes by the tunnel.

use super::Compiler;
use crate::flow::register::{ACL, CROSSES, FLAGS, GROUPS, ROUTE_TABLE, SENDER, SUBNET};
use crate::flow::{Pattern, Table, goto, output, set, set_reg};
use crate::source::Source;
use hive_flow::Field;
use hive_openflow::{OxmField, PortNo};
use std::collections::BTreeSet;

/// What OpenFlow matches for OFPVID_NONE: a tag's number, and that there is one.
const VLAN_VID: u16 = 0x1fff;

/// Of a port, without a VLAN tag: matches on what a frame carries see through tags.
pub(super) fn untagged(port: PortNo) -> Pattern {
    Pattern::new().with(Field::InPort, port.0).masked(Field::VlanTci, 0_u16, VLAN_VID)
}

impl Compiler<'_> {
    pub(super) fn classify(&mut self) {
        for local in self.index.locals.clone() {
            let place = local.place;
            let actions = vec![
                set(OxmField::Metadata, place.vpc.vni.bits()),
                set_reg(SENDER, local.number.0.into()),
                set_reg(SUBNET, self.index.subnet_number(place.subnet_id)),
                set_reg(ROUTE_TABLE, self.index.route_table_number(place)),
                set_reg(ACL, self.index.acl_number(&place.subnet.acl)),
                set_reg(GROUPS, self.index.group_number(&local.interface.groups)),
                goto(Table::PortSecurity),
            ];
            self.add(Table::Classify, 100, untagged(local.port), Source::Sends(local.id.clone()), actions);
            if let Some(services) = self.index.node.services {
                let pattern = untagged(services).with(Field::TunId, local.number.0);
                let source = Source::Interface(local.id.clone());
                self.add(Table::Classify, 100, pattern, source, vec![output(local.port)]);
            }
        }
        self.tunnel();
        if let Some(uplink) = self.index.node.uplink {
            let source = Source::Table(Table::UplinkIn);
            self.add(Table::Classify, 100, untagged(uplink.port), source, vec![goto(Table::UplinkIn)]);
        }
    }

    /// Only from nodes that something is at. What the other node has sent through its virtual router has the router's source.
    fn tunnel(&mut self) {
        let node = self.index.node;
        let Some(tunnel) = node.tunnel else { return };
        let peers: BTreeSet<_> =
            node.remote_interfaces.values().chain(node.remote_nat_gateways.values()).copied().collect();
        for peer in peers {
            let pattern = untagged(tunnel.port).with(Field::TunSrc, peer.to_bits());
            self.add(Table::Classify, 100, pattern, Source::Peer(peer), vec![goto(Table::TunnelIn)]);
        }
        for (id, vpc) in self.index.vpcs.clone() {
            let of_vpc = || Pattern::new().with(Field::TunId, vpc.vni.bits());
            let metadata = set(OxmField::Metadata, vpc.vni.bits());
            let routed = vec![metadata.clone(), set_reg(FLAGS, CROSSES), goto(Table::NextHop)];
            let router = vpc.vni.router_mac();
            self.add(Table::TunnelIn, 200, of_vpc().eth_from(router), Source::Vpc(id.clone()), routed);
            self.add(Table::TunnelIn, 100, of_vpc(), Source::Vpc(id.clone()), vec![metadata, goto(Table::NextHop)]);
        }
    }
}
