//! NAT gateways.

use super::super::filter::Filterable;
use super::super::{Api, Call, iso, parse_id, tags};
use super::addresses::associate;
use super::interfaces::{Wanted, WantedIpv6, make, parse_address};
use super::subnets::find_subnet_id;
use super::{Asked, Seen, describe, make_once, refuse};
use crate::error::{Error, combination, invalid, limit, missing, network as fault, not_found, required};
use crate::random;
use crate::store::{
    AddressRecord, InterfaceOwner, InterfaceRecord, NatGatewayRecord, Network, SubnetRecord, Tags, Version,
};
use hive_aws_types::ec2::{
    CreateNatGatewayRequest, CreateNatGatewayResult, DeleteNatGatewayRequest, DeleteNatGatewayResult,
    DescribeNatGatewaysRequest, DescribeNatGatewaysResult, NatGateway, NatGatewayAddress,
};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::{AllocationId, NatGatewayId, NetworkInterfaceId};
use std::sync::Arc;

/// EC2's default quota, a zone.
const MAX_GATEWAYS: usize = 5;
/// Deleted ones that are still shown; of more, those that went first are forgotten before their time.
const MAX_DELETED: usize = 100;

pub async fn create_nat_gateway(
    api: Arc<Api>,
    call: Call,
    input: CreateNatGatewayRequest,
) -> Result<CreateNatGatewayResult, Error> {
    let parameters = CreateNatGatewayRequest { client_token: None, ..input.clone() };
    let regional = input.availability_mode.as_deref().is_some_and(|mode| mode != "zonal");
    refuse(&[
        (regional || !input.availability_zone_addresses.is_empty(), "Regional NAT gateways"),
        (!input.secondary_allocation_ids.is_empty(), "Secondary addresses of NAT gateways"),
        (!input.secondary_private_ip_addresses.is_empty(), "Secondary addresses of NAT gateways"),
        (input.secondary_private_ip_address_count.is_some(), "Secondary addresses of NAT gateways"),
    ])?;
    let subnet_id = find_subnet_id(input.subnet_id.as_deref())?;
    let is_public = match input.connectivity_type.as_deref() {
        None | Some("public") => true,
        Some("private") => false,
        Some(other) => return Err(invalid("ConnectivityType", other, "Expecting public or private.")),
    };
    let allocation: Option<AllocationId> = match (&input.allocation_id, is_public) {
        (Some(id), true) => Some(parse_id(Resource::Allocation, id)?),
        (None, true) => return Err(missing("AllocationId")),
        (Some(_), false) => return Err(combination("AllocationId is of public NAT gateways.")),
        (None, false) => None,
    };
    let address = input.private_ip_address.as_ref();
    let private_ip = address.map(|text| parse_address("PrivateIpAddress", text)).transpose()?;
    let tags = tags::specified(&input.tag_specifications, "natgateway", &["natgateway"])?;
    let token = ("CreateNatGateway", input.client_token.as_deref(), &parameters);
    let new = |network: &mut Network, id: &NatGatewayId| {
        let subnet = network.get::<SubnetRecord>(&subnet_id)?;
        let is_live = |gateway: &&NatGatewayRecord| gateway.deleted_at.is_none();
        if network.nat_gateways.values().filter(is_live).count() >= MAX_GATEWAYS {
            let reason = format!("The maximum number of NAT gateways in {} has been reached.", subnet.zone);
            return Err(limit(Resource::NatGateway, reason));
        }
        let wanted = Wanted {
            subnet_id: subnet_id.clone(),
            groups: Vec::new(),
            private_ip,
            secondary_ips: Vec::new(),
            secondary_count: 0,
            ipv6: WantedIpv6 { count: Some(0), ..WantedIpv6::default() },
            description: format!("Interface for NAT Gateway {id}"),
            tags: Tags::new(),
        };
        let interface_id = NetworkInterfaceId::from_random(random::draw()?);
        let interface = make(network, &interface_id, &wanted, call.now)?;
        let public = match &allocation {
            Some(allocation) => {
                let address = network.get::<AddressRecord>(allocation)?;
                if address.association.is_some() {
                    let reason = format!("Elastic IP address [{allocation}] is already associated");
                    return Err(fault(NetworkFault::AlreadyAssociated, reason));
                }
                let public_ip = address.public_ip;
                let association = associate(network, allocation, &interface_id, interface.private_ip, Some(false))?;
                Some((allocation.clone(), association, public_ip))
            }
            None => None,
        };
        let made = network.get_mut::<InterfaceRecord>(&interface_id)?;
        made.owner = InterfaceOwner::NatGateway(id.clone());
        // It translates the addresses of others; security groups are not for it.
        (made.source_dest_check, made.groups) = (false, Vec::new());
        Ok(NatGatewayRecord {
            version: Version,
            nat_gateway_id: id.clone(),
            account: call.caller.account.clone(),
            vpc_id: interface.vpc_id,
            subnet_id: subnet_id.clone(),
            interface_id,
            private_ip: interface.private_ip,
            public,
            created_at: call.now,
            deleted_at: None,
            tags: tags.clone(),
        })
    };
    let (_, gateway) = make_once(&api, &call, token, NatGatewayId::from_random, new).await?;
    Ok(CreateNatGatewayResult {
        client_token: input.client_token,
        nat_gateway: Some(NatGateway { state: Some("pending".into()), ..show(&gateway) }),
    })
}

/// Its routes lead nowhere from then on; its Elastic IP stays the account's.
pub async fn delete_nat_gateway(
    api: Arc<Api>,
    call: Call,
    input: DeleteNatGatewayRequest,
) -> Result<DeleteNatGatewayResult, Error> {
    let id: NatGatewayId = parse_id(Resource::NatGateway, &required(input.nat_gateway_id, "NatGatewayId")?)?;
    let deleted = api.change(&call, |network| {
        let gateway = network.get_mut::<NatGatewayRecord>(&id)?;
        if gateway.deleted_at.is_some() {
            return Err(not_found(Resource::NatGateway, &id));
        }
        gateway.deleted_at = Some(call.now);
        let interface_id = gateway.interface_id.clone();
        network.remove_interface(&interface_id);
        let deleted = network.nat_gateways.values().filter_map(|g| Some((g.deleted_at?, g.nat_gateway_id.clone())));
        let mut deleted: Vec<_> = deleted.collect();
        deleted.sort();
        for (_, oldest) in deleted.iter().take(deleted.len().saturating_sub(MAX_DELETED)) {
            network.nat_gateways.remove(oldest);
        }
        Ok(())
    });
    deleted.await?;
    Ok(DeleteNatGatewayResult { nat_gateway_id: Some(id.to_string()) })
}

fn state(gateway: &NatGatewayRecord) -> &'static str {
    if gateway.deleted_at.is_some() { "deleted" } else { "available" }
}

fn show(gateway: &NatGatewayRecord) -> NatGateway {
    let (allocation, association, public_ip) = match &gateway.public {
        Some((a, b, c)) => (Some(a.to_string()), Some(b.to_string()), Some(c.to_string())),
        None => (None, None, None),
    };
    NatGateway {
        connectivity_type: Some(if gateway.public.is_some() { "public" } else { "private" }.into()),
        create_time: Some(iso(gateway.created_at)),
        delete_time: gateway.deleted_at.map(iso),
        nat_gateway_addresses: vec![NatGatewayAddress {
            allocation_id: allocation,
            association_id: association,
            is_primary: Some(true),
            network_interface_id: Some(gateway.interface_id.to_string()),
            private_ip: Some(gateway.private_ip.to_string()),
            public_ip,
            status: Some("succeeded".into()),
            ..Default::default()
        }],
        nat_gateway_id: Some(gateway.nat_gateway_id.to_string()),
        state: Some(state(gateway).into()),
        subnet_id: Some(gateway.subnet_id.to_string()),
        tags: tags::to_api(&gateway.tags),
        vpc_id: Some(gateway.vpc_id.to_string()),
        ..Default::default()
    }
}

impl Filterable for Seen<'_, NatGatewayRecord> {
    const NAMES: &'static [&'static str] = &["nat-gateway-id", "state", "subnet-id", "vpc-id"];

    fn values(&self, name: &str) -> Vec<String> {
        vec![match name {
            "nat-gateway-id" => self.record.nat_gateway_id.to_string(),
            "state" => state(self.record).into(),
            "subnet-id" => self.record.subnet_id.to_string(),
            _ => self.record.vpc_id.to_string(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}

pub async fn describe_nat_gateways(
    api: Arc<Api>,
    call: Call,
    input: DescribeNatGatewaysRequest,
) -> Result<DescribeNatGatewaysResult, Error> {
    let asked = Asked {
        ids: &input.nat_gateway_ids,
        filters: &input.filter,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        limits: 5..=1000,
    };
    let (nat_gateways, next_token) =
        describe(&api, &call, asked, |seen: &Seen<'_, NatGatewayRecord>| show(seen.record)).await?;
    Ok(DescribeNatGatewaysResult { nat_gateways, next_token })
}
