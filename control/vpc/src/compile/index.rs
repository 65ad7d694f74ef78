//! Who belongs to whom: what all parts look up.

use crate::model::{
    AclId, AllocationId, Association, Destination, GroupId, InterfaceId, NatGateway, NatGatewayId, Network,
    NetworkInterface, RouteTableId, RouteTarget, RuleId, Subnet, SubnetId, Vpc, VpcId,
};
use crate::node::{LocalNumber, Node};
use crate::source::numbers;
use hive_openflow::PortNo;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;

/// What interfaces with the same security groups share.
pub(super) type Groups = BTreeSet<GroupId>;

/// A place in a VPC.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub vpc_id: &'a VpcId,
    pub vpc: &'a Vpc,
    pub subnet_id: &'a SubnetId,
    pub subnet: &'a Subnet,
}

/// An interface at this node.
#[derive(Clone, Copy, Debug)]
pub(super) struct Local<'a> {
    pub id: &'a InterfaceId,
    pub interface: &'a NetworkInterface,
    pub place: Place<'a>,
    pub port: PortNo,
    pub number: LocalNumber,
}

/// A NAT gateway at this node.
#[derive(Clone, Copy, Debug)]
pub(super) struct LocalNat<'a> {
    pub id: &'a NatGatewayId,
    pub gateway: &'a NatGateway,
    pub place: Place<'a>,
    pub number: LocalNumber,
    /// Its Elastic IP.
    pub address: Option<(&'a AllocationId, Ipv4Addr)>,
}

pub(super) struct Index<'a> {
    pub network: &'a Network,
    pub node: &'a Node,
    pub locals: Vec<Local<'a>>,
    pub local_nats: Vec<LocalNat<'a>>,
    /// Some interface here is logged.
    pub has_logs: bool,
    /// VPCs with something at this node, and its subnets.
    pub vpcs: BTreeMap<&'a VpcId, &'a Vpc>,
    pub subnets: BTreeMap<&'a SubnetId, Place<'a>>,
    /// What is in each subnet.
    interfaces: BTreeMap<&'a SubnetId, Vec<(&'a InterfaceId, &'a NetworkInterface)>>,
    nat_gateways: BTreeMap<&'a SubnetId, Vec<(&'a NatGatewayId, &'a NatGateway)>>,
    /// Private addresses of a security group's members.
    pub members: BTreeMap<&'a GroupId, BTreeSet<IpAddr>>,
    pub rules: BTreeMap<(GroupId, RuleId), u32>,
    group_numbers: BTreeMap<Groups, u32>,
    subnet_numbers: BTreeMap<SubnetId, u32>,
    acl_numbers: BTreeMap<AclId, u32>,
    /// A table that is not there is one of its own in each VPC, whose own ranges are in it.
    route_table_numbers: BTreeMap<(VpcId, RouteTableId), u32>,
    routes: BTreeMap<(&'a VpcId, &'a RouteTableId), Rc<Routes<'a>>>,
}

/// A table's routes in a VPC by their ranges, each with the destination that it is by.
pub(super) type Routes<'a> = BTreeMap<IpNet, (Destination, &'a RouteTarget)>;

impl<'a> Index<'a> {
    pub(super) fn new(network: &'a Network, node: &'a Node) -> Self {
        let place = |subnet_id: &'a SubnetId| {
            let subnet = network.subnets.get(subnet_id)?;
            let (vpc_id, vpc) = network.vpcs.get_key_value(&subnet.vpc)?;
            Some(Place { vpc_id, vpc, subnet_id, subnet })
        };
        let mut taken = BTreeSet::from([LocalNumber(0)]);
        let mut locals = Vec::new();
        for (id, attachment) in &node.interfaces {
            let Some(interface) = network.interfaces.get(id) else { continue };
            let Some(place) = place(&interface.subnet) else { continue };
            let is_port = attachment.port.0 != 0 && attachment.port < PortNo::MAX;
            if is_port && taken.insert(attachment.number) {
                locals.push(Local { id, interface, place, port: attachment.port, number: attachment.number });
            }
        }
        let mut local_nats = Vec::new();
        for (id, number) in &node.nat_gateways {
            let Some(gateway) = network.nat_gateways.get(id) else { continue };
            let Some(place) = place(&gateway.subnet) else { continue };
            if taken.insert(*number) {
                let is_its = Some(Association::NatGateway(id.clone()));
                let address = network.addresses.iter().find(|(_, address)| address.association == is_its);
                let address = address.map(|(allocation, address)| (allocation, address.public));
                local_nats.push(LocalNat { id, gateway, place, number: *number, address });
            }
        }
        let places =
            || locals.iter().map(|local| local.place).chain(local_nats.iter().map(|nat: &LocalNat<'a>| nat.place));
        let mut members: BTreeMap<&GroupId, BTreeSet<IpAddr>> = BTreeMap::new();
        let (mut interfaces, mut nat_gateways): (BTreeMap<_, Vec<_>>, BTreeMap<_, Vec<_>>) = Default::default();
        for (id, gateway) in &network.nat_gateways {
            nat_gateways.entry(&gateway.subnet).or_default().push((id, gateway));
        }
        for (id, interface) in &network.interfaces {
            interfaces.entry(&interface.subnet).or_default().push((id, interface));
            for group in &interface.groups {
                members.entry(group).or_default().extend(interface.addresses());
            }
        }
        let rules = network.groups.iter().flat_map(|(group, rules)| {
            let both = rules.ingress.keys().chain(rules.egress.keys());
            both.map(move |rule| (group.clone(), rule.clone()))
        });
        let mut routes: BTreeMap<_, Rc<Routes<'a>>> = BTreeMap::new();
        for place in places() {
            let table = (place.vpc_id, route_table(place));
            routes.entry(table).or_insert_with(|| Rc::new(routes_of(network, place)));
        }
        let groups = locals.iter().map(|local| local.interface.groups.clone()).collect();
        let names = |groups: &Groups| groups.iter().map(|group| group.0.as_str()).collect::<Vec<_>>().join(",");
        Self {
            network,
            node,
            has_logs: locals.iter().any(|local| node.logged.contains(local.id)),
            vpcs: places().map(|place| (place.vpc_id, place.vpc)).collect(),
            subnets: places().map(|place| (place.subnet_id, place)).collect(),
            interfaces,
            nat_gateways,
            members,
            rules: numbers(&rules.collect(), |(group, rule)| format!("{group} {rule}")),
            group_numbers: numbers(&groups, names),
            subnet_numbers: numbers(&network.subnets.keys().cloned().collect(), |id| id.0.clone()),
            acl_numbers: numbers(&network.subnets.values().map(|subnet| subnet.acl.clone()).collect(), |id| {
                id.0.clone()
            }),
            route_table_numbers: numbers(
                &places().map(|place| (place.vpc_id.clone(), route_table(place).clone())).collect(),
                |(vpc, table)| format!("{vpc} {table}"),
            ),
            routes,
            locals,
            local_nats,
        }
    }

    pub(super) fn group_number(&self, groups: &Groups) -> u32 {
        self.group_numbers.get(groups).copied().unwrap_or(0)
    }

    /// All sets of groups that interfaces here have.
    pub(super) fn group_sets(&self) -> Vec<(Groups, u32)> {
        self.group_numbers.iter().map(|(groups, number)| (groups.clone(), *number)).collect()
    }

    pub(super) fn subnet_number(&self, id: &SubnetId) -> u32 {
        self.subnet_numbers.get(id).copied().unwrap_or(0)
    }

    pub(super) fn acl_number(&self, id: &AclId) -> u32 {
        self.acl_numbers.get(id).copied().unwrap_or(0)
    }

    pub(super) fn route_table_number(&self, place: Place<'_>) -> u32 {
        let name = (place.vpc_id.clone(), route_table(place).clone());
        self.route_table_numbers.get(&name).copied().unwrap_or(0)
    }

    /// Of a subnet, wherever they are.
    pub(super) fn interfaces_of(&self, subnet: &SubnetId) -> &[(&'a InterfaceId, &'a NetworkInterface)] {
        self.interfaces.get(subnet).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn nat_gateways_of(&self, subnet: &SubnetId) -> &[(&'a NatGatewayId, &'a NatGateway)] {
        self.nat_gateways.get(subnet).map(Vec::as_slice).unwrap_or_default()
    }

    /// Whether the internet gateway is attached to the VPC.
    pub(super) fn is_attached(&self, target: &RouteTarget, vpc: &VpcId) -> bool {
        let RouteTarget::InternetGateway(id) = target else { return false };
        self.network.internet_gateways.get(id).is_some_and(|gateway| gateway.vpc.as_ref() == Some(vpc))
    }

    /// Whether the egress-only internet gateway is the VPC's.
    pub(super) fn is_egress_only(&self, target: &RouteTarget, vpc: &VpcId) -> bool {
        let RouteTarget::EgressOnlyGateway(id) = target else { return false };
        self.network.egress_only_gateways.get(id) == Some(vpc)
    }

    /// A subnet's routes.
    pub(super) fn routes(&self, place: Place<'a>) -> Rc<Routes<'a>> {
        self.routes.get(&(place.vpc_id, route_table(place))).cloned().unwrap_or_default()
    }

    /// Whether the subnet is public: something is routed to an internet gateway.
    pub(super) fn is_public(&self, place: Place<'a>) -> bool {
        let leads_out = |(cidr, (_, target)): (&IpNet, &(_, &RouteTarget))| {
            cidr.addr().is_ipv4() && self.is_attached(target, place.vpc_id)
        };
        self.routes(place).iter().any(leads_out)
    }

    /// The VPC of an interface or a NAT gateway.
    pub(super) fn vpc_of(&self, subnet: &SubnetId) -> Option<&'a VpcId> {
        self.network.subnets.get(subnet).map(|subnet| &subnet.vpc)
    }

    /// Elastic IPs of interfaces here whose subnets are public: allocation, public and private address, interface.
    pub(super) fn public_addresses(&self) -> Vec<(&'a AllocationId, Ipv4Addr, Ipv4Addr, Local<'a>)> {
        let locals: BTreeMap<_, _> = self.locals.iter().map(|local| (local.id, local)).collect();
        let mut found = Vec::new();
        for (allocation, address) in &self.network.addresses {
            let Some(Association::Interface { interface, private }) = &address.association else { continue };
            let Some(local) = locals.get(interface).copied() else { continue };
            let is_its = local.interface.addresses().contains(&IpAddr::V4(*private));
            if is_its && self.is_public(local.place) {
                found.push((allocation, address.public, *private, *local));
            }
        }
        found
    }
}

pub(super) fn route_table(place: Place<'_>) -> &RouteTableId {
    place.subnet.route_table.as_ref().unwrap_or(&place.vpc.main_route_table)
}

/// Of two for one range the first counts, and one to a range of its own goes before one by a list.
fn routes_of<'a>(network: &'a Network, place: Place<'a>) -> Routes<'a> {
    let listed = network.route_tables.get(route_table(place)).map(|table| table.routes.as_slice()).unwrap_or_default();
    let mut routes = Routes::new();
    for route in listed {
        if let Destination::Cidr(cidr) = &route.destination {
            routes.entry(cidr.trunc()).or_insert((route.destination.clone(), &route.target));
        }
    }
    for cidr in place.vpc.cidrs() {
        routes.entry(cidr).or_insert((Destination::Cidr(cidr), &RouteTarget::Local));
    }
    for route in listed {
        if let Destination::PrefixList(list) = &route.destination {
            for cidr in network.prefix_lists.get(list).into_iter().flatten() {
                routes.entry(cidr.trunc()).or_insert((route.destination.clone(), &route.target));
            }
        }
    }
    routes
}
