//! Routes of a table. Those to the VPC's own blocks are there by themselves.

use super::super::{Api, Call, parse_id};
use super::ipv6::parse_block;
use super::route_tables::find_id;
use super::{Seen, parse_cidr, refuse};
use crate::error::{Error, combination, invalid, limit, missing, network as fault, not_found, unsupported};
use crate::store::{
    Destination, EgressOnlyGatewayRecord, InterfaceRecord, NatGatewayRecord, Network, PrefixListRecord, RouteRecord,
    RouteTableRecord, Target, VpcRecord,
};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{CreateRouteRequest, CreateRouteResult, DeleteRouteRequest, ReplaceRouteRequest, Route};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::{EgressOnlyGatewayId, InstanceId, InternetGatewayId, NatGatewayId, NetworkInterfaceId};
use std::sync::Arc;

/// EC2's default quota, a table; a prefix list counts as many as it may have entries.
const MAX_ROUTES: usize = 500;

/// The members that name a destination, of any call.
#[derive(Clone, Copy)]
struct Towards<'a> {
    ipv4: Option<&'a String>,
    ipv6: Option<&'a String>,
    list: Option<&'a String>,
}

fn destination(network: &Network, towards: Towards<'_>) -> Result<Destination, Error> {
    match (towards.ipv4, towards.ipv6, towards.list) {
        (Some(cidr), None, None) => Ok(Destination::Ipv4(parse_cidr("destinationCidrBlock", cidr)?)),
        (None, Some(cidr), None) => Ok(Destination::Ipv6(parse_block("destinationIpv6CidrBlock", cidr)?)),
        (None, None, Some(id)) => {
            let id = parse_id(Resource::PrefixList, id)?;
            Ok(Destination::PrefixList(network.get::<PrefixListRecord>(&id)?.prefix_list_id.clone()))
        }
        (None, None, None) => Err(missing("destinationCidrBlock")),
        _ => Err(combination("A route has one destination.")),
    }
}

fn is_ipv6(network: &Network, destination: &Destination) -> bool {
    match destination {
        Destination::Ipv4(_) => false,
        Destination::Ipv6(_) => true,
        Destination::PrefixList(id) => network.prefix_lists.get(id).is_some_and(|list| list.address_family == "IPv6"),
    }
}

fn text_of(destination: &Destination) -> String {
    match destination {
        Destination::Ipv4(cidr) => cidr.to_string(),
        Destination::Ipv6(cidr) => cidr.to_string(),
        Destination::PrefixList(id) => id.to_string(),
    }
}

/// The members that name a target, of either call.
struct Named<'a> {
    gateway: Option<&'a str>,
    egress_only: Option<&'a str>,
    nat_gateway: Option<&'a str>,
    interface: Option<&'a str>,
    instance: Option<&'a str>,
}

fn target(
    network: &Network,
    table: &RouteTableRecord,
    destination: &Destination,
    named: &Named<'_>,
) -> Result<Target, Error> {
    let different = |what: &str, id: &str| {
        let reason = format!("route table {} and {what} {id} belong to different networks", table.route_table_id);
        invalid(what, id, reason)
    };
    let given = [named.gateway, named.egress_only, named.nat_gateway, named.interface, named.instance];
    if given.iter().flatten().count() > 1 {
        return Err(combination("A route has one target."));
    }
    if let Some(text) = named.gateway {
        if !text.starts_with("igw-") {
            return Err(unsupported("The only gateways of routes are internet gateways and NAT gateways."));
        }
        let id: InternetGatewayId = parse_id(Resource::InternetGateway, text)?;
        let gateway = network.internet_gateways.get(&id).ok_or_else(|| not_found(Resource::Gateway, &id))?;
        if gateway.vpc_id.as_ref() != Some(&table.vpc_id) {
            return Err(different("network gateway", text));
        }
        return Ok(Target::InternetGateway(id));
    }
    if let Some(text) = named.egress_only {
        let id: EgressOnlyGatewayId = parse_id(Resource::EgressOnlyGateway, text)?;
        if network.get::<EgressOnlyGatewayRecord>(&id)?.vpc_id != table.vpc_id {
            return Err(different("network gateway", text));
        }
        if !is_ipv6(network, destination) {
            return Err(combination("An egress-only internet gateway is a target of IPv6 routes."));
        }
        return Ok(Target::EgressOnlyGateway(id));
    }
    if let Some(text) = named.nat_gateway {
        if is_ipv6(network, destination) {
            return Err(unsupported("NAT64 is not available."));
        }
        let id: NatGatewayId = parse_id(Resource::NatGateway, text)?;
        let gateway = network.get::<NatGatewayRecord>(&id)?;
        if gateway.deleted_at.is_some() {
            return Err(not_found(Resource::NatGateway, &id));
        }
        if gateway.vpc_id != table.vpc_id {
            return Err(different("network gateway", text));
        }
        return Ok(Target::NatGateway(id));
    }
    let interface = if let Some(text) = named.interface {
        network.get::<InterfaceRecord>(&parse_id::<NetworkInterfaceId>(Resource::NetworkInterface, text)?)?
    } else if let Some(text) = named.instance {
        let id: InstanceId = parse_id(Resource::Instance, text)?;
        match network.interfaces_of(&id).as_slice() {
            [one] => *one,
            [] => return Err(not_found(Resource::Instance, &id)),
            _ => {
                let reason = format!("There are multiple interfaces attached to instance '{id}'. Name one of them.");
                return Err(invalid("instanceId", &id, reason));
            }
        }
    } else {
        return Err(missing("gatewayId"));
    };
    if interface.vpc_id != table.vpc_id {
        return Err(different("interface", interface.interface_id.as_str()));
    }
    Ok(Target::Interface(interface.interface_id.clone()))
}

/// Within the VPC only machines of its own are on the way.
fn check_specific(vpc: &VpcRecord, destination: &Destination, target: &Target) -> Result<(), Error> {
    let (cidr, is_within) = match destination {
        Destination::Ipv4(cidr) => (cidr.to_string(), vpc.block_of(cidr).is_some()),
        Destination::Ipv6(cidr) => (cidr.to_string(), vpc.ipv6_blocks.iter().any(|block| block.cidr.contains(cidr))),
        Destination::PrefixList(_) => return Ok(()),
    };
    if is_within && !matches!(target, Target::Interface(_)) {
        let reason = format!(
            "The destination CIDR block {cidr} is equal to or more specific than one of this VPC's CIDR blocks. This route can \
             target only an interface or an instance."
        );
        return Err(invalid("destinationCidrBlock", cidr, reason));
    }
    Ok(())
}

fn is_local(vpc: &VpcRecord, destination: &Destination) -> bool {
    match destination {
        Destination::Ipv4(cidr) => vpc.blocks.iter().any(|block| block.cidr == *cidr),
        Destination::Ipv6(cidr) => vpc.ipv6_blocks.iter().any(|block| block.cidr == *cidr),
        Destination::PrefixList(_) => false,
    }
}

pub async fn create_route(api: Arc<Api>, call: Call, input: CreateRouteRequest) -> Result<CreateRouteResult, Error> {
    refuse(&[
        (input.transit_gateway_id.is_some() || input.vpc_peering_connection_id.is_some(), "Other networks"),
        (input.vpc_endpoint_id.is_some() || input.core_network_arn.is_some(), "Other networks"),
        (input.carrier_gateway_id.is_some() || input.local_gateway_id.is_some(), "Outposts"),
        (input.odb_network_arn.is_some(), "Other networks"),
    ])?;
    let id = find_id(input.route_table_id.as_deref())?;
    let named = Named {
        gateway: input.gateway_id.as_deref(),
        egress_only: input.egress_only_internet_gateway_id.as_deref(),
        nat_gateway: input.nat_gateway_id.as_deref(),
        interface: input.network_interface_id.as_deref(),
        instance: input.instance_id.as_deref(),
    };
    let towards = Towards {
        ipv4: input.destination_cidr_block.as_ref(),
        ipv6: input.destination_ipv6_cidr_block.as_ref(),
        list: input.destination_prefix_list_id.as_ref(),
    };
    let made = api.change(&call, |network| {
        let table = network.get::<RouteTableRecord>(&id)?;
        let vpc = network.get::<VpcRecord>(&table.vpc_id)?;
        let destination = destination(network, towards)?;
        if is_local(vpc, &destination) || table.routes.iter().any(|route| route.destination == destination) {
            let reason = format!("The route identified by {} already exists.", text_of(&destination));
            return Err(fault(NetworkFault::RouteExists, reason));
        }
        let target = target(network, table, &destination, &named)?;
        check_specific(vpc, &destination, &target)?;
        let weight = |destination: &Destination| match destination {
            Destination::Ipv4(_) | Destination::Ipv6(_) => 1,
            Destination::PrefixList(id) => network.prefix_lists.get(id).map_or(1, |list| usize::from(list.max_entries)),
        };
        let count: usize = table.routes.iter().map(|route| weight(&route.destination)).sum();
        if count + weight(&destination) > MAX_ROUTES {
            return Err(limit(Resource::Route, "The maximum number of routes in this route table has been reached."));
        }
        network.get_mut::<RouteTableRecord>(&id)?.routes.push(RouteRecord { destination, target });
        Ok(())
    });
    made.await.map(|_| CreateRouteResult { r#return: Some(true) })
}

pub async fn replace_route(api: Arc<Api>, call: Call, input: ReplaceRouteRequest) -> Result<Empty, Error> {
    refuse(&[
        (input.transit_gateway_id.is_some() || input.vpc_peering_connection_id.is_some(), "Other networks"),
        (input.vpc_endpoint_id.is_some() || input.core_network_arn.is_some(), "Other networks"),
        (input.carrier_gateway_id.is_some() || input.local_gateway_id.is_some(), "Outposts"),
        (input.odb_network_arn.is_some(), "Other networks"),
        (input.local_target == Some(true), "Other targets of local routes"),
    ])?;
    let id = find_id(input.route_table_id.as_deref())?;
    let named = Named {
        gateway: input.gateway_id.as_deref(),
        egress_only: input.egress_only_internet_gateway_id.as_deref(),
        nat_gateway: input.nat_gateway_id.as_deref(),
        interface: input.network_interface_id.as_deref(),
        instance: input.instance_id.as_deref(),
    };
    let towards = Towards {
        ipv4: input.destination_cidr_block.as_ref(),
        ipv6: input.destination_ipv6_cidr_block.as_ref(),
        list: input.destination_prefix_list_id.as_ref(),
    };
    let replaced = api.change(&call, |network| {
        let table = network.get::<RouteTableRecord>(&id)?;
        let vpc = network.get::<VpcRecord>(&table.vpc_id)?;
        let destination = destination(network, towards)?;
        if is_local(vpc, &destination) {
            return Err(unsupported("Other targets of local routes are not available."));
        }
        let at = table.routes.iter().position(|route| route.destination == destination);
        let at = at.ok_or_else(|| {
            let (text, reason) = (text_of(&destination), "Use CreateRoute instead.");
            invalid(
                "destinationCidrBlock",
                &text,
                format!("There is no route defined for '{text}' in the route table. {reason}"),
            )
        })?;
        let target = target(network, table, &destination, &named)?;
        check_specific(vpc, &destination, &target)?;
        if let Some(route) = network.get_mut::<RouteTableRecord>(&id)?.routes.get_mut(at) {
            route.target = target;
        }
        Ok(())
    });
    replaced.await.map(|_| Empty {})
}

pub async fn delete_route(api: Arc<Api>, call: Call, input: DeleteRouteRequest) -> Result<Empty, Error> {
    let id = find_id(input.route_table_id.as_deref())?;
    let towards = Towards {
        ipv4: input.destination_cidr_block.as_ref(),
        ipv6: input.destination_ipv6_cidr_block.as_ref(),
        list: input.destination_prefix_list_id.as_ref(),
    };
    let deleted = api.change(&call, |network| {
        let table = network.get::<RouteTableRecord>(&id)?;
        let vpc = network.get::<VpcRecord>(&table.vpc_id)?;
        let destination = destination(network, towards)?;
        if is_local(vpc, &destination) {
            let text = text_of(&destination);
            return Err(invalid(
                "destinationCidrBlock",
                &text,
                format!("cannot remove local route {text} in route table {id}"),
            ));
        }
        let routes = &mut network.get_mut::<RouteTableRecord>(&id)?.routes;
        let at = routes.iter().position(|route| route.destination == destination);
        routes.remove(at.ok_or_else(|| not_found(Resource::Route, text_of(&destination)))?);
        Ok(())
    });
    deleted.await.map(|_| Empty {})
}

pub fn show(seen: &Seen<'_, RouteTableRecord>) -> Vec<Route> {
    let (table, network) = (seen.record, seen.network);
    let local = || Route {
        gateway_id: Some("local".into()),
        origin: Some("CreateRouteTable".into()),
        state: Some("active".into()),
        ..Default::default()
    };
    let vpc = network.vpcs.get(&table.vpc_id);
    let v4 = vpc.into_iter().flat_map(|vpc| &vpc.blocks);
    let v4 = v4.map(|block| Route { destination_cidr_block: Some(block.cidr.to_string()), ..local() });
    let v6 = vpc.into_iter().flat_map(|vpc| &vpc.ipv6_blocks);
    let v6 = v6.map(|block| Route { destination_ipv6_cidr_block: Some(block.cidr.to_string()), ..local() });
    let added = table.routes.iter().map(|route| {
        let mut shown = Route {
            origin: Some("CreateRoute".into()),
            state: Some(if network.is_active(table, &route.target) { "active" } else { "blackhole" }.into()),
            ..Default::default()
        };
        match &route.destination {
            Destination::Ipv4(cidr) => shown.destination_cidr_block = Some(cidr.to_string()),
            Destination::Ipv6(cidr) => shown.destination_ipv6_cidr_block = Some(cidr.to_string()),
            Destination::PrefixList(id) => shown.destination_prefix_list_id = Some(id.to_string()),
        }
        match &route.target {
            Target::InternetGateway(id) => shown.gateway_id = Some(id.to_string()),
            Target::EgressOnlyGateway(id) => shown.egress_only_internet_gateway_id = Some(id.to_string()),
            Target::NatGateway(id) => shown.nat_gateway_id = Some(id.to_string()),
            Target::Interface(id) => {
                shown.network_interface_id = Some(id.to_string());
                if let Some(attachment) = network.interfaces.get(id).and_then(|i| i.attachment.as_ref()) {
                    shown.instance_id = Some(attachment.instance_id.to_string());
                    shown.instance_owner_id = Some(table.account.to_string());
                }
            }
        }
        shown
    });
    v4.chain(v6).chain(added).collect()
}
