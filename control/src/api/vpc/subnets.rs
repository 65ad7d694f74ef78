//! Subnets.

use super::super::filter::Filterable;
use super::super::{Api, Call, parse_id, tags};
use super::default::{make_default_subnet, make_subnet};
use super::vpcs::find_id;
use super::{Asked, Seen, arn, check_zone, cidr_blocks, describe, ipv6, parse_cidr, refuse};
use crate::error::{Error, combination, has_dependencies, invalid, limit, network as fault, required, unsupported};
use crate::random;
use crate::store::{Network, SubnetIpv6, SubnetRecord, Tags, VpcRecord, overlap};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    AttributeBooleanValue, CreateDefaultSubnetRequest, CreateDefaultSubnetResult, CreateSubnetRequest,
    CreateSubnetResult, DeleteSubnetRequest, DescribeSubnetsRequest, DescribeSubnetsResult,
    ModifySubnetAttributeRequest, PrivateDnsNameOptionsOnLaunch, Subnet,
};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::SubnetId;
use ipnet::Ipv4Net;
use std::sync::Arc;

/// EC2's default quota, a VPC.
const MAX_SUBNETS: usize = 200;

pub fn find_subnet_id(id: Option<&str>) -> Result<SubnetId, Error> {
    parse_id(Resource::Subnet, required(id, "SubnetId")?)
}

fn check_block(network: &Network, vpc: &VpcRecord, cidr: &Ipv4Net) -> Result<(), Error> {
    if !cidr_blocks::is_sized(cidr) || vpc.block_of(cidr).is_none() {
        return Err(fault(NetworkFault::SubnetRange, format!("The CIDR '{cidr}' is invalid.")));
    }
    let mut of_vpc = network.subnets.values().filter(|subnet| subnet.vpc_id == vpc.vpc_id);
    if of_vpc.clone().any(|subnet| overlap(&subnet.cidr, cidr)) {
        let reason = format!("The CIDR '{cidr}' conflicts with another subnet");
        return Err(fault(NetworkFault::SubnetConflict, reason));
    }
    if of_vpc.nth(MAX_SUBNETS - 1).is_some() {
        return Err(limit(Resource::Subnet, format!("The VPC '{}' has the maximum number of subnets.", vpc.vpc_id)));
    }
    Ok(())
}

pub async fn create_subnet(api: Arc<Api>, call: Call, input: CreateSubnetRequest) -> Result<CreateSubnetResult, Error> {
    refuse(&[
        (input.ipv6_native == Some(true), "Subnets of IPv6 alone"),
        (input.ipv6_ipam_pool_id.is_some() || input.ipv6_netmask_length.is_some(), "IPAM pools"),
        (input.ipv4_ipam_pool_id.is_some() || input.ipv4_netmask_length.is_some(), "IPAM pools"),
        (input.outpost_arn.is_some(), "Outposts"),
    ])?;
    let tags = tags::specified(&input.tag_specifications, "subnet", &["subnet"])?;
    let vpc_id = find_id(input.vpc_id.as_deref())?;
    let zone = check_zone(&api, input.availability_zone.as_deref(), input.availability_zone_id.as_deref())?;
    let cidr = parse_cidr("cidrBlock", &required(input.cidr_block, "CidrBlock")?)?;
    let ipv6_cidr = input.ipv6_cidr_block.as_ref().map(|text| ipv6::parse_block("ipv6CidrBlock", text)).transpose()?;
    let made = api.change(&call, |network| {
        let vpc = network.get::<VpcRecord>(&vpc_id)?.clone();
        check_block(network, &vpc, &cidr)?;
        let ipv6 = ipv6_cidr.map(|cidr| ipv6::subnet_block(network, &vpc, cidr)).transpose()?;
        let mut subnet = make_subnet(network, &vpc, &zone, cidr, &|_| random::draw())?;
        subnet.tags.clone_from(&tags);
        subnet.ipv6 = ipv6;
        network.insert(subnet.clone());
        Ok(subnet)
    });
    let (network, subnet) = made.await?;
    Ok(CreateSubnetResult { subnet: Some(show(&Seen { record: &subnet, network: &network, place: &api.place })) })
}

pub async fn create_default_subnet(
    api: Arc<Api>,
    call: Call,
    input: CreateDefaultSubnetRequest,
) -> Result<CreateDefaultSubnetResult, Error> {
    refuse(&[(input.ipv6_native == Some(true), "Subnets of IPv6 alone")])?;
    let (zone, zone_id) = (input.availability_zone.as_deref(), input.availability_zone_id.as_deref());
    if zone.is_none() && zone_id.is_none() {
        return Err(crate::error::missing("AvailabilityZone"));
    }
    let zone = check_zone(&api, zone, zone_id)?;
    let with_public = !api.place.public_address_pools.is_empty();
    let made = api.change(&call, |network| {
        let vpc = network.vpcs.values().find(|vpc| vpc.is_default).cloned();
        let vpc = vpc.ok_or_else(|| {
            fault(NetworkFault::DefaultVpcAbsent, "No default VPC exists for this account in this region.")
        })?;
        if network.subnets.values().any(|subnet| subnet.is_default && subnet.zone == zone) {
            let reason = format!("A default subnet already exists in the Availability Zone {zone}.");
            return Err(fault(NetworkFault::DefaultSubnetExists, reason));
        }
        make_default_subnet(network, &vpc, &zone, with_public, &|_| random::draw())?.ok_or_else(|| {
            fault(NetworkFault::SubnetConflict, "The default VPC has no room for a default subnet.".to_owned())
        })
    });
    let (network, subnet) = made.await?;
    let seen = Seen { record: &subnet, network: &network, place: &api.place };
    Ok(CreateDefaultSubnetResult { subnet: Some(show(&seen)) })
}

pub async fn delete_subnet(api: Arc<Api>, call: Call, input: DeleteSubnetRequest) -> Result<Empty, Error> {
    let id = find_subnet_id(input.subnet_id.as_deref())?;
    let deleted = api.change(&call, |network| {
        if !network.get::<SubnetRecord>(&id)?.addresses.is_empty() {
            return Err(has_dependencies("subnet", &id));
        }
        network.subnets.remove(&id);
        network.route_tables.values_mut().for_each(|table| drop(table.associations.remove(&id)));
        network.acls.values_mut().for_each(|acl| drop(acl.associations.remove(&id)));
        network.flow_logs.retain(|_, log| log.resource_id != id.as_str());
        Ok(())
    });
    deleted.await.map(|_| Empty {})
}

pub async fn modify_subnet_attribute(
    api: Arc<Api>,
    call: Call,
    input: ModifySubnetAttributeRequest,
) -> Result<Empty, Error> {
    let id = find_subnet_id(input.subnet_id.as_deref())?;
    let value = |attribute: &Option<AttributeBooleanValue>| attribute.as_ref().and_then(|a| a.value);
    let asks_on = |attribute: &Option<AttributeBooleanValue>| value(attribute) == Some(true);
    refuse(&[
        (asks_on(&input.enable_dns64), "DNS64"),
        (asks_on(&input.enable_resource_name_dns_aaaa_record_on_launch), "Names of instances after their ids"),
        (asks_on(&input.map_customer_owned_ip_on_launch) || input.customer_owned_ipv4_pool.is_some(), "Outposts"),
        (input.enable_lni_at_device_index.is_some(), "Local network interfaces"),
    ])?;
    let resource_names = match input.private_dns_hostname_type_on_launch.as_deref() {
        None => None,
        Some("ip-name") => Some(false),
        Some("resource-name") => Some(true),
        Some(other) => {
            return Err(invalid("PrivateDnsHostnameTypeOnLaunch", other, "Expecting ip-name or resource-name."));
        }
    };
    let (public, a_record) =
        (value(&input.map_public_ip_on_launch), value(&input.enable_resource_name_dns_a_record_on_launch));
    let with_ipv6 = value(&input.assign_ipv6_address_on_creation);
    let off = [
        &input.enable_dns64,
        &input.enable_resource_name_dns_aaaa_record_on_launch,
        &input.map_customer_owned_ip_on_launch,
        &input.disable_lni_at_device_index,
    ];
    let asked = off.into_iter().filter(|attribute| value(attribute).is_some()).count()
        + usize::from(public.is_some())
        + usize::from(with_ipv6.is_some())
        + usize::from(a_record.is_some())
        + usize::from(resource_names.is_some());
    if asked != 1 {
        return Err(combination("Exactly one attribute can be modified a call."));
    }
    if resource_names == Some(true) || a_record == Some(true) {
        return Err(unsupported("Names of instances after their ids are not available."));
    }
    let modified = api.change(&call, |network| {
        let subnet = network.get_mut::<SubnetRecord>(&id)?;
        if with_ipv6 == Some(true) && subnet.ipv6.is_none() {
            return Err(invalid("subnetId", &id, "The subnet has no IPv6 CIDR block."));
        }
        subnet.map_public_ip_on_launch = public.unwrap_or(subnet.map_public_ip_on_launch);
        subnet.assign_ipv6_on_creation = with_ipv6.unwrap_or(subnet.assign_ipv6_on_creation);
        Ok(())
    });
    modified.await.map(|_| Empty {})
}

fn show(seen: &Seen<'_, SubnetRecord>) -> Subnet {
    let subnet = seen.record;
    Subnet {
        assign_ipv6_address_on_creation: Some(subnet.assign_ipv6_on_creation),
        availability_zone: Some(subnet.zone.clone()),
        availability_zone_id: Some(seen.place.zone_id()),
        available_ip_address_count: i32::try_from(subnet.available()).ok(),
        cidr_block: Some(subnet.cidr.to_string()),
        default_for_az: Some(subnet.is_default),
        enable_dns64: Some(false),
        ipv6_cidr_block_association_set: subnet.ipv6.iter().map(|b| ipv6::show_subnet_block(b, "associated")).collect(),
        ipv6_native: Some(false),
        map_customer_owned_ip_on_launch: Some(false),
        map_public_ip_on_launch: Some(subnet.map_public_ip_on_launch),
        owner_id: Some(subnet.account.to_string()),
        private_dns_name_options_on_launch: Some(PrivateDnsNameOptionsOnLaunch {
            enable_resource_name_dns_a_record: Some(false),
            enable_resource_name_dns_aaaa_record: Some(false),
            hostname_type: Some("ip-name".into()),
        }),
        state: Some("available".into()),
        subnet_arn: Some(arn(seen.place, &subnet.account, &format!("subnet/{}", subnet.subnet_id))),
        subnet_id: Some(subnet.subnet_id.to_string()),
        tags: tags::to_api(&subnet.tags),
        vpc_id: Some(subnet.vpc_id.to_string()),
        ..Default::default()
    }
}

impl Filterable for Seen<'_, SubnetRecord> {
    const NAMES: &'static [&'static str] = &[
        "availability-zone",
        "availabilityZone",
        "availability-zone-id",
        "availabilityZoneId",
        "available-ip-address-count",
        "cidr",
        "cidr-block",
        "cidrBlock",
        "customer-owned-ipv4-pool",
        "default-for-az",
        "defaultForAz",
        "enable-dns64",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.state",
        "ipv6-native",
        "map-customer-owned-ip-on-launch",
        "map-public-ip-on-launch",
        "outpost-arn",
        "owner-id",
        "private-dns-name-options-on-launch.hostname-type",
        "state",
        "subnet-arn",
        "subnet-id",
        "vpc-id",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let subnet = self.record;
        let ipv6 = |f: fn(&SubnetIpv6) -> String| subnet.ipv6.iter().map(f).collect();
        vec![match name {
            "ipv6-cidr-block-association.association-id" => return ipv6(|block| block.association_id.to_string()),
            "ipv6-cidr-block-association.ipv6-cidr-block" => return ipv6(|block| block.cidr.to_string()),
            "ipv6-cidr-block-association.state" => return ipv6(|_| "associated".into()),
            "availability-zone" | "availabilityZone" => subnet.zone.clone(),
            "availability-zone-id" | "availabilityZoneId" => self.place.zone_id(),
            "available-ip-address-count" => subnet.available().to_string(),
            "cidr" | "cidr-block" | "cidrBlock" => subnet.cidr.to_string(),
            "default-for-az" | "defaultForAz" => subnet.is_default.to_string(),
            "enable-dns64" | "ipv6-native" | "map-customer-owned-ip-on-launch" => "false".into(),
            "map-public-ip-on-launch" => subnet.map_public_ip_on_launch.to_string(),
            "owner-id" => subnet.account.to_string(),
            "private-dns-name-options-on-launch.hostname-type" => "ip-name".into(),
            "state" => "available".into(),
            "subnet-arn" => arn(self.place, &subnet.account, &format!("subnet/{}", subnet.subnet_id)),
            "subnet-id" => subnet.subnet_id.to_string(),
            "vpc-id" => subnet.vpc_id.to_string(),
            _ => return Vec::new(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}

pub async fn describe_subnets(
    api: Arc<Api>,
    call: Call,
    input: DescribeSubnetsRequest,
) -> Result<DescribeSubnetsResult, Error> {
    let asked = Asked {
        ids: &input.subnet_ids,
        filters: &input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        limits: 5..=1000,
    };
    let (subnets, next_token) = describe(&api, &call, asked, show).await?;
    Ok(DescribeSubnetsResult { next_token, subnets })
}
