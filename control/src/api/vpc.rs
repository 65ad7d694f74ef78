//! VPCs, subnets and security groups: for now the default ones, described.

use super::filter::{Filterable, Filters};
use super::page::Page;
use super::{Api, Call, parse_ids, tags};
use crate::error::{Error, not_found};
use crate::store::{SecurityGroupRecord, SubnetRecord, Tags, VpcRecord, account_prefix};
use hive_aws_types::ec2::{
    DescribeSecurityGroupsRequest, DescribeSecurityGroupsResult, DescribeSubnetsRequest, DescribeSubnetsResult,
    DescribeVpcsRequest, DescribeVpcsResult, IpPermission, IpRange, SecurityGroup, Subnet, UserIdGroupPair, Vpc,
    VpcCidrBlockAssociation, VpcCidrBlockState,
};
use hive_types::error::Resource;
use hive_types::id::{SecurityGroupId, SubnetId, VpcId};
use std::sync::Arc;

/// Keeps what was named, or everything; the first named thing that is not there is an error.
fn pick<T, I: PartialEq + ToString>(
    all: &mut Vec<T>,
    wanted: &[I],
    resource: Resource,
    id: impl Fn(&T) -> &I,
) -> Result<(), Error> {
    if let Some(absent) = wanted.iter().find(|wanted| !all.iter().any(|item| id(item) == *wanted)) {
        return Err(not_found(resource, absent.to_string()));
    }
    if !wanted.is_empty() {
        all.retain(|item| wanted.contains(id(item)));
    }
    Ok(())
}

impl VpcRecord {
    fn cidr(&self) -> String {
        format!("{}/{}", self.network, self.prefix_len)
    }
}

impl Filterable for VpcRecord {
    const NAMES: &'static [&'static str] = &[
        "cidr",
        "cidr-block-association.cidr-block",
        "cidr-block-association.state",
        "dhcp-options-id",
        "is-default",
        "isDefault",
        "owner-id",
        "state",
        "vpc-id",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        vec![match name {
            "cidr" | "cidr-block-association.cidr-block" => self.cidr(),
            "cidr-block-association.state" => "associated".into(),
            "dhcp-options-id" => "default".into(),
            "is-default" | "isDefault" => self.is_default.to_string(),
            "owner-id" => self.account.to_string(),
            "state" => "available".into(),
            _ => self.vpc_id.to_string(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.tags)
    }
}

pub async fn describe_vpcs(api: Arc<Api>, call: Call, input: DescribeVpcsRequest) -> Result<DescribeVpcsResult, Error> {
    let ids: Vec<VpcId> = parse_ids(Resource::Vpc, &input.vpc_ids)?;
    let page = Page::check(input.max_results, input.next_token.as_deref(), 5..=1000, !ids.is_empty())?;
    let filters = Filters::check::<VpcRecord>(&input.filters)?;
    let all = api.stores.vpcs.range(&account_prefix(&call.caller.account)).await?;
    let mut all: Vec<VpcRecord> = all.into_iter().map(|record| record.value).collect();
    pick(&mut all, &ids, Resource::Vpc, |vpc| &vpc.vpc_id)?;
    all.retain(|vpc| filters.admit(vpc));
    let (page, next_token) = page.cut(all, |vpc| vpc.vpc_id.to_string());
    let vpcs = page.into_iter().map(|vpc| Vpc {
        cidr_block: Some(vpc.cidr()),
        cidr_block_association_set: vec![VpcCidrBlockAssociation {
            association_id: Some(vpc.vpc_id.as_str().replacen("vpc-", "vpc-cidr-assoc-", 1)),
            cidr_block: Some(vpc.cidr()),
            cidr_block_state: Some(VpcCidrBlockState { state: Some("associated".into()), status_message: None }),
        }],
        dhcp_options_id: Some("default".into()),
        instance_tenancy: Some("default".into()),
        is_default: Some(vpc.is_default),
        owner_id: Some(vpc.account.to_string()),
        state: Some("available".into()),
        tags: tags::to_api(&vpc.tags),
        vpc_id: Some(vpc.vpc_id.to_string()),
        ..Default::default()
    });
    Ok(DescribeVpcsResult { next_token, vpcs: vpcs.collect() })
}

/// A subnet with the place it is shown at.
struct SubnetAt<'a> {
    record: SubnetRecord,
    zone_id: &'a str,
    arn: String,
}

impl SubnetAt<'_> {
    fn cidr(&self) -> String {
        format!("{}/{}", self.record.network, self.record.prefix_len)
    }
}

impl Filterable for SubnetAt<'_> {
    const NAMES: &'static [&'static str] = &[
        "availability-zone",
        "availabilityZone",
        "availability-zone-id",
        "availabilityZoneId",
        "available-ip-address-count",
        "cidr",
        "cidr-block",
        "cidrBlock",
        "default-for-az",
        "defaultForAz",
        "map-public-ip-on-launch",
        "owner-id",
        "state",
        "subnet-arn",
        "subnet-id",
        "vpc-id",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let subnet = &self.record;
        vec![match name {
            "availability-zone" | "availabilityZone" => subnet.zone.clone(),
            "availability-zone-id" | "availabilityZoneId" => self.zone_id.into(),
            "available-ip-address-count" => subnet.available().to_string(),
            "cidr" | "cidr-block" | "cidrBlock" => self.cidr(),
            "default-for-az" | "defaultForAz" => subnet.is_default.to_string(),
            "map-public-ip-on-launch" => "false".into(),
            "owner-id" => subnet.account.to_string(),
            "state" => "available".into(),
            "subnet-arn" => self.arn.clone(),
            "subnet-id" => subnet.subnet_id.to_string(),
            _ => subnet.vpc_id.to_string(),
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
    let ids: Vec<SubnetId> = parse_ids(Resource::Subnet, &input.subnet_ids)?;
    let page = Page::check(input.max_results, input.next_token.as_deref(), 5..=1000, !ids.is_empty())?;
    let filters = Filters::check::<SubnetAt<'_>>(&input.filters)?;
    let zone_id = api.place.zone_id();
    let all = api.stores.subnets.range(&account_prefix(&call.caller.account)).await?;
    let mut all: Vec<SubnetAt<'_>> = all
        .into_iter()
        .map(|record| SubnetAt {
            arn: arn(&api, &call, &format!("subnet/{}", record.value.subnet_id)),
            zone_id: &zone_id,
            record: record.value,
        })
        .collect();
    pick(&mut all, &ids, Resource::Subnet, |subnet| &subnet.record.subnet_id)?;
    all.retain(|subnet| filters.admit(subnet));
    let (page, next_token) = page.cut(all, |subnet| subnet.record.subnet_id.to_string());
    let subnets = page.into_iter().map(|subnet| Subnet {
        assign_ipv6_address_on_creation: Some(false),
        availability_zone: Some(subnet.record.zone.clone()),
        availability_zone_id: Some(zone_id.clone()),
        available_ip_address_count: i32::try_from(subnet.record.available()).ok(),
        cidr_block: Some(subnet.cidr()),
        default_for_az: Some(subnet.record.is_default),
        enable_dns64: Some(false),
        ipv6_native: Some(false),
        map_customer_owned_ip_on_launch: Some(false),
        map_public_ip_on_launch: Some(false),
        owner_id: Some(subnet.record.account.to_string()),
        state: Some("available".into()),
        subnet_arn: Some(subnet.arn),
        subnet_id: Some(subnet.record.subnet_id.to_string()),
        tags: tags::to_api(&subnet.record.tags),
        vpc_id: Some(subnet.record.vpc_id.to_string()),
        ..Default::default()
    });
    Ok(DescribeSubnetsResult { next_token, subnets: subnets.collect() })
}

fn arn(api: &Api, call: &Call, resource: &str) -> String {
    format!("arn:aws:ec2:{}:{}:{resource}", api.place.region, call.caller.account)
}

impl Filterable for SecurityGroupRecord {
    const NAMES: &'static [&'static str] = &["description", "group-id", "group-name", "owner-id", "vpc-id"];

    fn values(&self, name: &str) -> Vec<String> {
        vec![match name {
            "description" => self.description.clone(),
            "group-id" => self.group_id.to_string(),
            "group-name" => self.name.clone(),
            "owner-id" => self.account.to_string(),
            _ => self.vpc_id.to_string(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.tags)
    }
}

/// The rules of a default group: everything from its own members, everything out.
fn default_rules(group: &SecurityGroupRecord) -> (Vec<IpPermission>, Vec<IpPermission>) {
    let all = || IpPermission { ip_protocol: Some("-1".into()), ..Default::default() };
    let members = UserIdGroupPair {
        group_id: Some(group.group_id.to_string()),
        user_id: Some(group.account.to_string()),
        ..Default::default()
    };
    let anywhere = IpRange { cidr_ip: Some("0.0.0.0/0".into()), description: None };
    (
        vec![IpPermission { user_id_group_pairs: vec![members], ..all() }],
        vec![IpPermission { ip_ranges: vec![anywhere], ..all() }],
    )
}

pub async fn describe_security_groups(
    api: Arc<Api>,
    call: Call,
    input: DescribeSecurityGroupsRequest,
) -> Result<DescribeSecurityGroupsResult, Error> {
    let ids: Vec<SecurityGroupId> = parse_ids(Resource::SecurityGroup, &input.group_ids)?;
    let by_id = !ids.is_empty() || !input.group_names.is_empty();
    let page = Page::check(input.max_results, input.next_token.as_deref(), 5..=1000, by_id)?;
    let filters = Filters::check::<SecurityGroupRecord>(&input.filters)?;
    let all = api.stores.groups.range(&account_prefix(&call.caller.account)).await?;
    let mut all: Vec<SecurityGroupRecord> = all.into_iter().map(|record| record.value).collect();
    pick(&mut all, &ids, Resource::SecurityGroup, |group| &group.group_id)?;
    pick(&mut all, &input.group_names, Resource::SecurityGroup, |group| &group.name)?;
    all.retain(|group| filters.admit(group));
    let (page, next_token) = page.cut(all, |group| group.group_id.to_string());
    let groups = page.into_iter().map(|group| {
        let (ingress, egress) = default_rules(&group);
        SecurityGroup {
            description: Some(group.description),
            group_id: Some(group.group_id.to_string()),
            group_name: Some(group.name),
            ip_permissions: ingress,
            ip_permissions_egress: egress,
            owner_id: Some(group.account.to_string()),
            security_group_arn: Some(arn(&api, &call, &format!("security-group/{}", group.group_id))),
            tags: tags::to_api(&group.tags),
            vpc_id: Some(group.vpc_id.to_string()),
        }
    });
    Ok(DescribeSecurityGroupsResult { next_token, security_groups: groups.collect() })
}
