//! VPCs and their attributes.

use super::super::filter::Filterable;
use super::super::{Api, Call, Place, parse_id, tags};
use super::default::{make_default_vpc, make_vpc};
use super::{Asked, Seen, cidr_blocks, describe, ipv6, parse_cidr, refuse};
use crate::error::{Error, combination, has_dependencies, invalid, limit, network as fault, required, unsupported};
use crate::random;
use crate::store::{CidrBlock, Ipv6Block, Network, Tags, VpcRecord};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    AttributeBooleanValue, CreateDefaultVpcRequest, CreateDefaultVpcResult, CreateVpcRequest, CreateVpcResult,
    DeleteVpcRequest, DescribeVpcAttributeRequest, DescribeVpcAttributeResult, DescribeVpcsRequest, DescribeVpcsResult,
    ModifyVpcAttributeRequest, Vpc, VpcCidrBlockAssociation, VpcCidrBlockState,
};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::VpcId;
use std::sync::Arc;

/// EC2's default quota.
const MAX_VPCS: usize = 5;

pub fn find_id(id: Option<&str>) -> Result<VpcId, Error> {
    parse_id(Resource::Vpc, required(id, "VpcId")?)
}

fn check_count(network: &Network) -> Result<(), Error> {
    if network.vpcs.len() < MAX_VPCS {
        return Ok(());
    }
    Err(limit(Resource::Vpc, "The maximum number of VPCs has been reached."))
}

pub async fn create_vpc(api: Arc<Api>, call: Call, input: CreateVpcRequest) -> Result<CreateVpcResult, Error> {
    refuse(&[
        (input.ipv6_cidr_block.is_some() || input.ipv6_pool.is_some(), "IPv6 blocks of your own"),
        (input.ipv6_ipam_pool_id.is_some() || input.ipv6_netmask_length.is_some(), "IPAM pools"),
        (input.ipv4_ipam_pool_id.is_some() || input.ipv4_netmask_length.is_some(), "IPAM pools"),
        (input.vpc_encryption_control.is_some(), "Encryption controls"),
    ])?;
    match input.instance_tenancy.as_deref() {
        None | Some("default") => {}
        Some("dedicated" | "host") => return Err(unsupported("Dedicated tenancy is not available.")),
        Some(other) => return Err(invalid("instanceTenancy", other, "Expecting default.")),
    }
    let tags = tags::specified(&input.tag_specifications, "vpc", &["vpc"])?;
    let cidr = parse_cidr("cidrBlock", &required(input.cidr_block, "CidrBlock")?)?;
    cidr_blocks::check_size(&cidr)?;
    let new = |block: Option<Ipv6Block>| {
        let (api, call, tags) = (&api, &call, &tags);
        async move {
            let made = api.change(call, |network| {
                check_count(network)?;
                let mut vpc = make_vpc(network, &call.caller.account, cidr, &|_| random::draw())?;
                vpc.tags.clone_from(tags);
                network.insert(vpc.clone());
                if let Some(block) = &block {
                    ipv6::add_block(network, &vpc.vpc_id, block)?;
                }
                Ok(network.get::<VpcRecord>(&vpc.vpc_id)?.clone())
            });
            made.await.map(|(_, vpc)| vpc)
        }
    };
    let vpc = match input.amazon_provided_ipv6_cidr_block {
        Some(true) => ipv6::with_block(&api, &call, async |block| new(Some(block)).await).await?,
        _ => new(None).await?,
    };
    // EC2 answers `pending` first.
    Ok(CreateVpcResult { vpc: Some(Vpc { state: Some("pending".into()), ..show(&api.place, &vpc) }) })
}

pub async fn create_default_vpc(
    api: Arc<Api>,
    call: Call,
    _input: CreateDefaultVpcRequest,
) -> Result<CreateDefaultVpcResult, Error> {
    let with_public = !api.place.public_address_pools.is_empty();
    let made = api.change(&call, |network| {
        if network.vpcs.values().any(|vpc| vpc.is_default) {
            let reason = "A Default VPC already exists for this account in this region.";
            return Err(fault(NetworkFault::DefaultVpcExists, reason));
        }
        check_count(network)?;
        make_default_vpc(network, &call.caller.account, &api.place.zone, with_public, &|_| random::draw())
    });
    let (_, vpc) = made.await?;
    Ok(CreateDefaultVpcResult { vpc: Some(Vpc { state: Some("pending".into()), ..show(&api.place, &vpc) }) })
}

/// What a VPC has from its beginning goes with it; anything else must have gone before.
pub async fn delete_vpc(api: Arc<Api>, call: Call, input: DeleteVpcRequest) -> Result<Empty, Error> {
    let id = find_id(input.vpc_id.as_deref())?;
    let deleted = api.change(&call, |network| {
        let blocks = network.get::<VpcRecord>(&id)?.ipv6_blocks.clone();
        let is_used = network.subnets.values().any(|subnet| subnet.vpc_id == id)
            || network.interfaces.values().any(|interface| interface.vpc_id == id)
            || network.internet_gateways.values().any(|gateway| gateway.vpc_id.as_ref() == Some(&id))
            || network.groups.values().any(|group| group.vpc_id == id && group.name != super::default::DEFAULT_GROUP)
            || network.egress_only_gateways.values().any(|gateway| gateway.vpc_id == id)
            || network.route_tables.values().any(|table| table.vpc_id == id && table.main.is_none())
            || network.acls.values().any(|acl| acl.vpc_id == id && !acl.is_default);
        if is_used {
            return Err(has_dependencies("vpc", &id));
        }
        network.vpcs.remove(&id);
        network.groups.retain(|_, group| group.vpc_id != id);
        network.route_tables.retain(|_, table| table.vpc_id != id);
        network.acls.retain(|_, acl| acl.vpc_id != id);
        network.flow_logs.retain(|_, log| log.resource_id != id.as_str());
        Ok(blocks)
    });
    let (_, blocks) = deleted.await?;
    for block in &blocks {
        ipv6::release(&api, block).await?;
    }
    Ok(Empty {})
}

pub fn show_block(block: &CidrBlock, state: &str) -> VpcCidrBlockAssociation {
    VpcCidrBlockAssociation {
        association_id: Some(block.association_id.to_string()),
        cidr_block: Some(block.cidr.to_string()),
        cidr_block_state: Some(VpcCidrBlockState { state: Some(state.into()), status_message: None }),
    }
}

fn options_id(vpc: &VpcRecord) -> String {
    vpc.dhcp_options.as_ref().map_or_else(|| "default".into(), ToString::to_string)
}

fn show(place: &Place, vpc: &VpcRecord) -> Vpc {
    let ipv6 = |block: &Ipv6Block| ipv6::show_block(block, &place.region, "associated");
    Vpc {
        cidr_block: vpc.blocks.first().map(|block| block.cidr.to_string()),
        cidr_block_association_set: vpc.blocks.iter().map(|block| show_block(block, "associated")).collect(),
        dhcp_options_id: Some(options_id(vpc)),
        instance_tenancy: Some(vpc.tenancy.clone()),
        ipv6_cidr_block_association_set: vpc.ipv6_blocks.iter().map(ipv6).collect(),
        is_default: Some(vpc.is_default),
        owner_id: Some(vpc.account.to_string()),
        state: Some("available".into()),
        tags: tags::to_api(&vpc.tags),
        vpc_id: Some(vpc.vpc_id.to_string()),
        ..Default::default()
    }
}

impl Filterable for Seen<'_, VpcRecord> {
    const NAMES: &'static [&'static str] = &[
        "cidr",
        "cidr-block-association.association-id",
        "cidr-block-association.cidr-block",
        "cidr-block-association.state",
        "dhcp-options-id",
        "ipv6-cidr-block-association.association-id",
        "ipv6-cidr-block-association.ipv6-cidr-block",
        "ipv6-cidr-block-association.ipv6-pool",
        "ipv6-cidr-block-association.state",
        "is-default",
        "isDefault",
        "owner-id",
        "state",
        "vpc-id",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let vpc = self.record;
        let blocks = |f: fn(&CidrBlock) -> String| vpc.blocks.iter().map(f).collect();
        let ipv6 = |f: fn(&Ipv6Block) -> String| vpc.ipv6_blocks.iter().map(f).collect();
        vec![match name {
            "cidr" => return vpc.blocks.first().map(|block| block.cidr.to_string()).into_iter().collect(),
            "cidr-block-association.association-id" => return blocks(|block| block.association_id.to_string()),
            "cidr-block-association.cidr-block" => return blocks(|block| block.cidr.to_string()),
            "cidr-block-association.state" => "associated".into(),
            "ipv6-cidr-block-association.association-id" => return ipv6(|block| block.association_id.to_string()),
            "ipv6-cidr-block-association.ipv6-cidr-block" => return ipv6(|block| block.cidr.to_string()),
            "ipv6-cidr-block-association.ipv6-pool" => return ipv6(|_| "Amazon".into()),
            "ipv6-cidr-block-association.state" => return ipv6(|_| "associated".into()),
            "dhcp-options-id" => options_id(vpc),
            "is-default" | "isDefault" => vpc.is_default.to_string(),
            "owner-id" => vpc.account.to_string(),
            "state" => "available".into(),
            "vpc-id" => vpc.vpc_id.to_string(),
            _ => return Vec::new(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}

pub async fn describe_vpcs(api: Arc<Api>, call: Call, input: DescribeVpcsRequest) -> Result<DescribeVpcsResult, Error> {
    let asked = Asked {
        ids: &input.vpc_ids,
        filters: &input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        limits: 5..=1000,
    };
    let (vpcs, next_token) =
        describe(&api, &call, asked, |seen: &Seen<'_, VpcRecord>| show(seen.place, seen.record)).await?;
    Ok(DescribeVpcsResult { next_token, vpcs })
}

pub async fn modify_vpc_attribute(api: Arc<Api>, call: Call, input: ModifyVpcAttributeRequest) -> Result<Empty, Error> {
    let id = find_id(input.vpc_id.as_deref())?;
    let value = |attribute: &Option<AttributeBooleanValue>| attribute.as_ref().and_then(|a| a.value);
    let asked = [
        value(&input.enable_dns_support),
        value(&input.enable_dns_hostnames),
        value(&input.enable_network_address_usage_metrics),
    ];
    if asked.iter().flatten().count() != 1 {
        return Err(combination("Exactly one attribute can be modified a call."));
    }
    let modified = api.change(&call, |network| {
        let vpc = network.get_mut::<VpcRecord>(&id)?;
        let [support, hostnames, metrics] = asked;
        vpc.enable_dns_support = support.unwrap_or(vpc.enable_dns_support);
        vpc.enable_dns_hostnames = hostnames.unwrap_or(vpc.enable_dns_hostnames);
        vpc.enable_usage_metrics = metrics.unwrap_or(vpc.enable_usage_metrics);
        Ok(())
    });
    modified.await.map(|_| Empty {})
}

pub async fn describe_vpc_attribute(
    api: Arc<Api>,
    call: Call,
    input: DescribeVpcAttributeRequest,
) -> Result<DescribeVpcAttributeResult, Error> {
    let id = find_id(input.vpc_id.as_deref())?;
    let attribute = required(input.attribute, "Attribute")?;
    let network = api.stores.networks.load(&call.caller.account).await?;
    let vpc = network.get::<VpcRecord>(&id)?;
    let flag = |value| Some(AttributeBooleanValue { value: Some(value) });
    let mut answer = DescribeVpcAttributeResult { vpc_id: Some(id.to_string()), ..Default::default() };
    match attribute.as_str() {
        "enableDnsSupport" => answer.enable_dns_support = flag(vpc.enable_dns_support),
        "enableDnsHostnames" => answer.enable_dns_hostnames = flag(vpc.enable_dns_hostnames),
        "enableNetworkAddressUsageMetrics" => {
            answer.enable_network_address_usage_metrics = flag(vpc.enable_usage_metrics);
        }
        other => return Err(invalid("attribute", other, "Unknown attribute.")),
    }
    Ok(answer)
}
