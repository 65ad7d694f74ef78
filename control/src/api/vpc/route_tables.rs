//! Route tables and the subnets that follow them.

use super::super::filter::Filterable;
use super::super::{Api, Call, parse_id, tags};
use super::routes;
use super::subnets::find_subnet_id;
use super::vpcs::find_id as find_vpc_id;
use super::{Asked, Seen, describe, make_once, refuse};
use crate::error::{Error, has_dependencies, invalid, limit, network as fault, not_found, required};
use crate::random;
use crate::store::{Network, RouteTableRecord, SubnetRecord, Tags, Version, VpcRecord};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    AssociateRouteTableRequest, AssociateRouteTableResult, CreateRouteTableRequest, CreateRouteTableResult,
    DeleteRouteTableRequest, DescribeRouteTablesRequest, DescribeRouteTablesResult, DisassociateRouteTableRequest,
    ReplaceRouteTableAssociationRequest, ReplaceRouteTableAssociationResult, RouteTable, RouteTableAssociation,
    RouteTableAssociationState,
};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::{RouteTableAssociationId, RouteTableId, SubnetId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// EC2's default quota, a VPC.
const MAX_TABLES: usize = 200;

pub fn find_id(id: Option<&str>) -> Result<RouteTableId, Error> {
    parse_id(Resource::RouteTable, required(id, "RouteTableId")?)
}

fn association_id(id: Option<&str>) -> Result<RouteTableAssociationId, Error> {
    parse_id(Resource::Association, required(id, "AssociationId")?)
}

pub async fn create_route_table(
    api: Arc<Api>,
    call: Call,
    input: CreateRouteTableRequest,
) -> Result<CreateRouteTableResult, Error> {
    let parameters = CreateRouteTableRequest { client_token: None, ..input.clone() };
    let vpc_id = find_vpc_id(input.vpc_id.as_deref())?;
    let tags = tags::specified(&input.tag_specifications, "route-table", &["route-table"])?;
    let token = ("CreateRouteTable", input.client_token.as_deref(), &parameters);
    let make = |network: &mut Network, id: &RouteTableId| {
        network.get::<VpcRecord>(&vpc_id)?;
        if network.route_tables.values().filter(|table| table.vpc_id == vpc_id).count() >= MAX_TABLES {
            return Err(limit(Resource::RouteTable, "The maximum number of route tables has been reached."));
        }
        Ok(RouteTableRecord {
            version: Version,
            route_table_id: id.clone(),
            vpc_id: vpc_id.clone(),
            account: call.caller.account.clone(),
            main: None,
            associations: BTreeMap::new(),
            routes: Vec::new(),
            tags: tags.clone(),
        })
    };
    let (network, table) = make_once(&api, &call, token, RouteTableId::from_random, make).await?;
    let seen = Seen { record: &table, network: &network, place: &api.place };
    Ok(CreateRouteTableResult { client_token: input.client_token, route_table: Some(show(&seen)) })
}

pub async fn delete_route_table(api: Arc<Api>, call: Call, input: DeleteRouteTableRequest) -> Result<Empty, Error> {
    let id = find_id(input.route_table_id.as_deref())?;
    let deleted = api.change(&call, |network| {
        let table = network.get::<RouteTableRecord>(&id)?;
        if table.main.is_some() || !table.associations.is_empty() {
            return Err(has_dependencies("routeTable", &id));
        }
        network.route_tables.remove(&id);
        Ok(())
    });
    deleted.await.map(|_| Empty {})
}

fn different_networks(table: &RouteTableId, other: &str) -> Error {
    invalid("routeTableId", table, format!("Route table {table} and {other} belong to different networks"))
}

/// A subnet with a table of its own.
fn own_table(network: &Network, subnet: &SubnetId) -> Option<(RouteTableId, RouteTableAssociationId)> {
    let of = |table: &RouteTableRecord| Some((table.route_table_id.clone(), table.associations.get(subnet)?.clone()));
    network.route_tables.values().find_map(of)
}

fn associated(state: &str) -> Option<RouteTableAssociationState> {
    Some(RouteTableAssociationState { state: Some(state.into()), status_message: None })
}

pub async fn associate_route_table(
    api: Arc<Api>,
    call: Call,
    input: AssociateRouteTableRequest,
) -> Result<AssociateRouteTableResult, Error> {
    refuse(&[(input.gateway_id.is_some() || input.public_ipv4_pool.is_some(), "Route tables of gateways")])?;
    let (id, subnet_id) = (find_id(input.route_table_id.as_deref())?, find_subnet_id(input.subnet_id.as_deref())?);
    let made = api.change(&call, |network| {
        let subnet = network.get::<SubnetRecord>(&subnet_id)?.clone();
        if network.get::<RouteTableRecord>(&id)?.vpc_id != subnet.vpc_id {
            return Err(different_networks(&id, &format!("subnet {subnet_id}")));
        }
        match own_table(network, &subnet_id) {
            Some((table, association)) if table == id => return Ok(association),
            Some(_) => {
                let reason =
                    format!("the specified association for route table {id} conflicts with an existing association");
                return Err(fault(NetworkFault::AlreadyAssociated, reason));
            }
            None => {}
        }
        let association = RouteTableAssociationId::from_random(random::draw()?);
        network.get_mut::<RouteTableRecord>(&id)?.associations.insert(subnet_id.clone(), association.clone());
        Ok(association)
    });
    let (_, association) = made.await?;
    Ok(AssociateRouteTableResult {
        association_id: Some(association.to_string()),
        association_state: associated("associated"),
    })
}

/// Whose association this is: a subnet's (with it), or the main one.
fn find_association(
    network: &Network,
    id: &RouteTableAssociationId,
) -> Result<(RouteTableRecord, Option<SubnetId>), Error> {
    for table in network.route_tables.values() {
        if table.main.as_ref() == Some(id) {
            return Ok((table.clone(), None));
        }
        if let Some((subnet, _)) = table.associations.iter().find(|(_, association)| *association == id) {
            return Ok((table.clone(), Some(subnet.clone())));
        }
    }
    Err(not_found(Resource::Association, id))
}

pub async fn disassociate_route_table(
    api: Arc<Api>,
    call: Call,
    input: DisassociateRouteTableRequest,
) -> Result<Empty, Error> {
    let id = association_id(input.association_id.as_deref())?;
    let removed = api.change(&call, |network| {
        let (table, subnet) = find_association(network, &id)?;
        let Some(subnet) = subnet else {
            let reason = format!("cannot disassociate the main route table association {id}");
            return Err(invalid("associationId", &id, reason));
        };
        network.get_mut::<RouteTableRecord>(&table.route_table_id)?.associations.remove(&subnet);
        Ok(())
    });
    removed.await.map(|_| Empty {})
}

/// Of a subnet, or the main one: then another table of the VPC becomes the main table.
pub async fn replace_route_table_association(
    api: Arc<Api>,
    call: Call,
    input: ReplaceRouteTableAssociationRequest,
) -> Result<ReplaceRouteTableAssociationResult, Error> {
    let old = association_id(input.association_id.as_deref())?;
    let id = find_id(input.route_table_id.as_deref())?;
    let replaced = api.change(&call, |network| {
        let (table, subnet) = find_association(network, &old)?;
        if network.get::<RouteTableRecord>(&id)?.vpc_id != table.vpc_id {
            return Err(different_networks(&id, &format!("network {}", table.vpc_id)));
        }
        let association = RouteTableAssociationId::from_random(random::draw()?);
        let before = network.get_mut::<RouteTableRecord>(&table.route_table_id)?;
        match &subnet {
            Some(subnet) => drop(before.associations.remove(subnet)),
            None => before.main = None,
        }
        let after = network.get_mut::<RouteTableRecord>(&id)?;
        match subnet {
            Some(subnet) => drop(after.associations.insert(subnet, association.clone())),
            None => after.main = Some(association.clone()),
        }
        Ok(association)
    });
    let (_, association) = replaced.await?;
    Ok(ReplaceRouteTableAssociationResult {
        association_state: associated("associated"),
        new_association_id: Some(association.to_string()),
    })
}

fn show(seen: &Seen<'_, RouteTableRecord>) -> RouteTable {
    let table = seen.record;
    let association = |id: &RouteTableAssociationId, subnet: Option<&SubnetId>| RouteTableAssociation {
        association_state: associated("associated"),
        main: Some(subnet.is_none()),
        route_table_association_id: Some(id.to_string()),
        route_table_id: Some(table.route_table_id.to_string()),
        subnet_id: subnet.map(ToString::to_string),
        ..Default::default()
    };
    let main = table.main.iter().map(|id| association(id, None));
    RouteTable {
        associations: main.chain(table.associations.iter().map(|(subnet, id)| association(id, Some(subnet)))).collect(),
        owner_id: Some(table.account.to_string()),
        propagating_vgws: Vec::new(),
        route_table_id: Some(table.route_table_id.to_string()),
        routes: routes::show(seen),
        tags: tags::to_api(&table.tags),
        vpc_id: Some(table.vpc_id.to_string()),
    }
}

impl Filterable for Seen<'_, RouteTableRecord> {
    const NAMES: &'static [&'static str] = &[
        "association.gateway-id",
        "association.main",
        "association.route-table-association-id",
        "association.route-table-id",
        "association.subnet-id",
        "owner-id",
        "route-table-id",
        "route.destination-cidr-block",
        "route.destination-ipv6-cidr-block",
        "route.destination-prefix-list-id",
        "route.egress-only-internet-gateway-id",
        "route.gateway-id",
        "route.instance-id",
        "route.nat-gateway-id",
        "route.network-interface-id",
        "route.origin",
        "route.state",
        "route.transit-gateway-id",
        "route.vpc-peering-connection-id",
        "vpc-id",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let table = self.record;
        let routes = |f: fn(&hive_aws_types::ec2::Route) -> Option<&String>| {
            routes::show(self).iter().filter_map(f).cloned().collect()
        };
        let associations = || show(self).associations.into_iter();
        match name {
            "association.main" => associations().filter_map(|a| a.main).map(|main| main.to_string()).collect(),
            "association.route-table-association-id" => {
                associations().filter_map(|a| a.route_table_association_id).collect()
            }
            "association.route-table-id" => associations().filter_map(|a| a.route_table_id).collect(),
            "association.subnet-id" => associations().filter_map(|a| a.subnet_id).collect(),
            "owner-id" => vec![table.account.to_string()],
            "route-table-id" => vec![table.route_table_id.to_string()],
            "route.destination-cidr-block" => routes(|route| route.destination_cidr_block.as_ref()),
            "route.destination-ipv6-cidr-block" => routes(|route| route.destination_ipv6_cidr_block.as_ref()),
            "route.egress-only-internet-gateway-id" => routes(|route| route.egress_only_internet_gateway_id.as_ref()),
            "route.destination-prefix-list-id" => routes(|route| route.destination_prefix_list_id.as_ref()),
            "route.gateway-id" => routes(|route| route.gateway_id.as_ref()),
            "route.instance-id" => routes(|route| route.instance_id.as_ref()),
            "route.nat-gateway-id" => routes(|route| route.nat_gateway_id.as_ref()),
            "route.network-interface-id" => routes(|route| route.network_interface_id.as_ref()),
            "route.origin" => routes(|route| route.origin.as_ref()),
            "route.state" => routes(|route| route.state.as_ref()),
            "vpc-id" => vec![table.vpc_id.to_string()],
            // What no route here has.
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}

pub async fn describe_route_tables(
    api: Arc<Api>,
    call: Call,
    input: DescribeRouteTablesRequest,
) -> Result<DescribeRouteTablesResult, Error> {
    let asked = Asked {
        ids: &input.route_table_ids,
        filters: &input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        limits: 5..=100,
    };
    let (route_tables, next_token) = describe(&api, &call, asked, show).await?;
    Ok(DescribeRouteTablesResult { next_token, route_tables })
}
