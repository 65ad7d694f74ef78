//! Where a packet goes: tables `Switch`, `Route`, `Neighbour`, `NextHop`.

use super::Compiler;
use super::index::{Place, route_table};
use crate::flow::register::{
    ACL, CROSSES, FLAGS, FROM_NAT, GROUPS, RECEIVER, ROUTE_TABLE, SUBNET, TARGET, TO_EGRESS_ONLY, TO_INSIDE,
    TO_INTERNET, TOO_LONG_BIT,
};
use crate::flow::{Pattern, Table, goto, host, output, set, set_flags, set_mac, set_reg};
use crate::model::{Destination, MacAddress, RouteTableId, RouteTarget, SubnetId, VpcId};
use crate::source::Source;
use hive_flow::Field;
use hive_openflow::{Action, OxmField, Subfield};
use ipnet::IpNet;
use std::net::Ipv4Addr;

const WITHIN_SUBNET: u16 = 1000;
/// A route's priority: this, and twice its length.
const ROUTE: u16 = 100;
/// Bytes before an IP packet.
const ETHERNET_BYTES: u16 = 14;

impl Compiler<'_> {
    pub(super) fn routes(&mut self) {
        for (id, vpc) in self.index.vpcs.clone() {
            let of_vpc = Pattern::new().with(Field::Metadata, vpc.vni.bits());
            let to_router = of_vpc.eth_to(vpc.vni.router_mac());
            self.add(Table::Switch, 200, to_router, Source::Vpc(id.clone()), vec![goto(Table::Route)]);
        }
        for place in self.index.subnets.values().copied().collect::<Vec<_>>() {
            self.subnet(place);
            self.route_table(place);
        }
        self.neighbours_by_address();
        self.next_hops();
        self.tunnel_out();
    }

    /// Within a subnet frames go where their address says, and no route counts.
    fn subnet(&mut self, place: Place<'_>) {
        let of_subnet = || Pattern::new().reg(SUBNET, self.index.subnet_number(place.subnet_id));
        let mut flows = Vec::new();
        for (id, interface) in self.index.interfaces_of(place.subnet_id) {
            flows.push((of_subnet().eth_to(interface.mac), Source::Interface((*id).clone())));
        }
        for (id, gateway) in self.index.nat_gateways_of(place.subnet_id) {
            flows.push((of_subnet().eth_to(gateway.mac), Source::NatGateway((*id).clone())));
        }
        let to_self: Vec<_> = place.subnet.cidrs().map(|cidr| of_subnet().to(cidr)).collect();
        for (pattern, source) in flows {
            self.add(Table::Switch, 100, pattern, source, vec![goto(self.passed())]);
        }
        for pattern in to_self {
            let source = Source::Subnet(place.subnet_id.clone());
            self.add(Table::Route, WITHIN_SUBNET, pattern, source, vec![goto(Table::Neighbour)]);
        }
    }

    fn route_table(&mut self, place: Place<'_>) {
        let id = route_table(place);
        for (cidr, (destination, target)) in self.index.routes(place).iter() {
            self.route(place, id, *cidr, destination.clone(), target);
        }
    }

    fn route(
        &mut self,
        place: Place<'_>,
        table: &RouteTableId,
        cidr: IpNet,
        destination: Destination,
        target: &RouteTarget,
    ) {
        let source = Source::Route { table: table.clone(), destination };
        let pattern = Pattern::new().reg(ROUTE_TABLE, self.index.route_table_number(place)).to(cidr);
        let priority = ROUTE + 2 * u16::from(cidr.prefix_len());
        let router = set_mac(OxmField::EthSrc, place.vpc.vni.router_mac());
        let crosses = set_flags(CROSSES, CROSSES);
        let actions = match target {
            RouteTarget::Local => vec![crosses, router, goto(Table::Neighbour)],
            RouteTarget::InternetGateway(_) if self.index.is_attached(target, place.vpc_id) => {
                vec![crosses, set_reg(TARGET, TO_INTERNET), goto(Table::AclOut)]
            }
            RouteTarget::EgressOnlyGateway(_)
                if cidr.addr().is_ipv6() && self.index.is_egress_only(target, place.vpc_id) =>
            {
                vec![crosses, set_reg(TARGET, TO_EGRESS_ONLY), goto(Table::AclOut)]
            }
            _ => match self.hop(target, place.vpc_id) {
                Some((mac, subnet)) => {
                    let mac = set_mac(OxmField::EthDst, mac);
                    // A hop in the sender's own subnet is a neighbour.
                    let neighbour = pattern.clone().reg(SUBNET, self.index.subnet_number(subnet));
                    let actions = vec![mac.clone(), goto(Table::AclOut)];
                    self.add(Table::Route, priority + 1, neighbour, source.clone(), actions);
                    vec![crosses, router, mac, goto(Table::AclOut)]
                }
                None => Vec::new(),
            },
        };
        self.add(Table::Route, priority, pattern, source, actions);
    }

    /// An interface or NAT gateway of the same VPC.
    fn hop(&self, target: &RouteTarget, vpc: &VpcId) -> Option<(MacAddress, &SubnetId)> {
        let (mac, subnet) = match target {
            RouteTarget::Interface(id) => {
                self.index.network.interfaces.get(id).map(|interface| (interface.mac, &interface.subnet))
            }
            RouteTarget::NatGateway(id) => {
                self.index.network.nat_gateways.get(id).map(|gateway| (gateway.mac, &gateway.subnet))
            }
            _ => None,
        }?;
        (self.index.vpc_of(subnet) == Some(vpc)).then_some((mac, subnet))
    }

    fn neighbours_by_address(&mut self) {
        for (id, interface) in &self.index.network.interfaces {
            let vpc = self.index.vpc_of(&interface.subnet).and_then(|id| self.index.vpcs.get(id));
            let Some(vni) = vpc.map(|vpc| vpc.vni) else { continue };
            for address in interface.addresses() {
                let pattern = Pattern::new().with(Field::Metadata, vni.bits()).to(host(address));
                let actions = vec![set_mac(OxmField::EthDst, interface.mac), goto(Table::AclOut)];
                self.add(Table::Neighbour, 100, pattern, Source::Interface(id.clone()), actions);
            }
        }
    }

    fn next_hops(&mut self) {
        let of_table = Source::Table(Table::NextHop);
        // A NAT gateway that routes lead back to would send packets in circles.
        for (target, flag) in [(0, FROM_NAT), (TO_INTERNET, TO_INSIDE), (TO_EGRESS_ONLY, TO_INSIDE)] {
            let circle = Pattern::new().reg(TARGET, target).flags(flag, flag);
            self.add(Table::NextHop, 300, circle, of_table.clone(), Vec::new());
        }
        if let Some(uplink) = self.index.node.uplink {
            let actions = vec![check_length(uplink.mtu_bytes), goto(Table::Internet)];
            for target in [TO_INTERNET, TO_EGRESS_ONLY] {
                let pattern = Pattern::new().reg(TARGET, target);
                self.add(Table::NextHop, 200, pattern, of_table.clone(), actions.clone());
            }
        }
        let at = |vni: u32, mac| Pattern::new().with(Field::Metadata, vni).eth_to(mac);
        for local in self.index.locals.clone() {
            let actions = vec![
                set_reg(RECEIVER, local.number.0.into()),
                set_reg(ACL, self.index.acl_number(&local.place.subnet.acl)),
                set_reg(GROUPS, self.index.group_number(&local.interface.groups)),
                goto(Table::AclIn),
            ];
            let pattern = at(local.place.vpc.vni.bits(), local.interface.mac);
            self.add(Table::NextHop, 100, pattern, Source::Receives(local.id.clone()), actions);
        }
        for nat in self.index.local_nats.clone() {
            let actions = vec![
                set_reg(RECEIVER, nat.number.0.into()),
                set_reg(ACL, self.index.acl_number(&nat.place.subnet.acl)),
                goto(Table::AclIn),
            ];
            let pattern = at(nat.place.vpc.vni.bits(), nat.gateway.mac);
            self.add(Table::NextHop, 100, pattern, Source::NatGateway(nat.id.clone()), actions);
        }
        let (network, node) = (self.index.network, self.index.node);
        for (id, peer) in &node.remote_interfaces {
            if let Some(interface) = network.interfaces.get(id) {
                self.remote(&interface.subnet, interface.mac, *peer, Source::Interface(id.clone()));
            }
        }
        for (id, peer) in &node.remote_nat_gateways {
            if let Some(gateway) = network.nat_gateways.get(id) {
                self.remote(&gateway.subnet, gateway.mac, *peer, Source::NatGateway(id.clone()));
            }
        }
    }

    fn remote(&mut self, subnet: &SubnetId, mac: MacAddress, peer: Ipv4Addr, source: Source) {
        let vpc = self.index.vpc_of(subnet).and_then(|id| self.index.vpcs.get(id));
        if let (Some(vpc), Some(tunnel)) = (vpc, self.index.node.tunnel) {
            let vni = vpc.vni.bits();
            let pattern = Pattern::new().with(Field::Metadata, vni).eth_to(mac);
            let actions = vec![
                set(OxmField::TunId, vni),
                set(OxmField::TunDst, peer.to_bits()),
                check_length(tunnel.mtu_bytes),
                goto(Table::TunnelOut),
            ];
            self.add(Table::NextHop, 100, pattern, source, actions);
        }
    }

    fn tunnel_out(&mut self) {
        if let Some(tunnel) = self.index.node.tunnel {
            // It goes all the same, in fragments (`df_default=false`): senders far away cannot be told, and others need not obey.
            self.too_long(Table::TunnelOut, tunnel.mtu_bytes, Vec::new(), &[output(tunnel.port)]);
            let of_table = Source::Table(Table::TunnelOut);
            self.add(Table::TunnelOut, 100, Pattern::new(), of_table, vec![output(tunnel.port)]);
        }
    }
}

/// Says whether an IP packet is longer.
fn check_length(mtu_bytes: u16) -> Action {
    let destination = Subfield { field: OxmField::Reg(FLAGS), offset: TOO_LONG_BIT, bits: 1 };
    Action::CheckPktLarger { length_bytes: mtu_bytes.saturating_add(ETHERNET_BYTES), destination }
}
