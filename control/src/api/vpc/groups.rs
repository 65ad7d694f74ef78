//! Security groups.

use super::super::filter::Filterable;
use super::super::page::Page;
use super::super::{Api, Call, parse_id, tags};
use super::default::{ANYWHERE, DEFAULT_GROUP, allow_all, rule};
use super::rules::{is_all, permissions};
use super::{Asked, Seen, arn, describe, ipv6};
use crate::error::{Error, invalid, limit, missing, network as fault, not_found, required};
use crate::random;
use crate::store::{Network, Peer, Rule, SecurityGroupRecord, Tags, Version, VpcRecord};
use hive_aws_types::ec2::{
    CreateSecurityGroupRequest, CreateSecurityGroupResult, DeleteSecurityGroupRequest, DeleteSecurityGroupResult,
    DescribeSecurityGroupsRequest, DescribeSecurityGroupsResult, SecurityGroup,
};
use hive_types::ApiError;
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::{SecurityGroupId, VpcId};
use std::sync::Arc;

/// EC2's default quota.
const MAX_GROUPS: usize = 2500;
const MAX_NAME_CHARS: usize = 255;

/// EC2's letters of names and descriptions in a VPC.
pub fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || " ._-:/()#,@[]+=&;{}!$*".contains(c))
}

fn check_text(name: &str, text: &str) -> Result<(), Error> {
    if text.is_empty() || text.chars().count() > MAX_NAME_CHARS || !is_plain(text) {
        let reason = "Character sets beyond ASCII are not supported: 1 to 255 of a-z, A-Z, 0-9, spaces and ._-:/()#,@[]+=&;{}!$*";
        return Err(invalid(name, text, reason));
    }
    Ok(())
}

pub fn default_vpc(network: &Network) -> Result<&VpcRecord, Error> {
    network
        .vpcs
        .values()
        .find(|vpc| vpc.is_default)
        .ok_or_else(|| fault(NetworkFault::DefaultVpcAbsent, "No default VPC exists for this account in this region."))
}

/// The group that a call names by its id, or by its name in the default VPC.
pub fn named<'a>(network: &'a Network, id: Option<&str>, name: Option<&str>) -> Result<&'a SecurityGroupRecord, Error> {
    match (id, name) {
        (Some(id), _) => network.get(&parse_id::<SecurityGroupId>(Resource::SecurityGroup, id)?),
        (None, Some(name)) => {
            let vpc_id = &default_vpc(network)?.vpc_id;
            let found = network.groups.values().find(|group| group.vpc_id == *vpc_id && group.name == name);
            found.ok_or_else(|| not_found(Resource::SecurityGroup, name))
        }
        (None, None) => Err(missing("GroupId")),
    }
}

pub async fn create_security_group(
    api: Arc<Api>,
    call: Call,
    input: CreateSecurityGroupRequest,
) -> Result<CreateSecurityGroupResult, Error> {
    let name = required(input.group_name, "GroupName")?;
    let description = required(input.description, "GroupDescription")?;
    let vpc_id = input.vpc_id.as_deref().map(|id| parse_id::<VpcId>(Resource::Vpc, id)).transpose()?;
    let tags = tags::specified(&input.tag_specifications, "security-group", &["security-group"])?;
    check_text("GroupName", &name)?;
    check_text("GroupDescription", &description)?;
    if name.starts_with("sg-") {
        return Err(invalid("GroupName", &name, "Group names may not be in the format sg-*."));
    }
    if name.eq_ignore_ascii_case(DEFAULT_GROUP) {
        return Err(invalid("GroupName", &name, "Cannot use reserved security group name: default"));
    }
    let made = api.change(&call, |network| {
        let vpc_id = match &vpc_id {
            Some(id) => network.get::<VpcRecord>(id)?.vpc_id.clone(),
            None => default_vpc(network)?.vpc_id.clone(),
        };
        if network.groups.values().any(|group| group.vpc_id == vpc_id && group.name == name) {
            return Err(ApiError::Duplicate { resource: Resource::SecurityGroup, id: name.clone() }.into());
        }
        if network.groups.len() >= MAX_GROUPS {
            return Err(limit(Resource::SecurityGroup, "The maximum number of security groups has been reached."));
        }
        let mut rules = vec![rule(random::draw()?, allow_all(true, Peer::Ipv4(ANYWHERE)))];
        if !network.get::<VpcRecord>(&vpc_id)?.ipv6_blocks.is_empty() {
            rules.push(ipv6::everything_out()?);
        }
        let group = SecurityGroupRecord {
            version: Version,
            group_id: SecurityGroupId::from_random(random::draw()?),
            vpc_id,
            account: call.caller.account.clone(),
            name: name.clone(),
            description: description.clone(),
            rules,
            tags: tags.clone(),
        };
        network.insert(group.clone());
        Ok(group)
    });
    let (_, group) = made.await?;
    Ok(CreateSecurityGroupResult {
        group_id: Some(group.group_id.to_string()),
        security_group_arn: Some(group_arn(&api.place, &group)),
        tags: tags::to_api(&group.tags),
    })
}

pub async fn delete_security_group(
    api: Arc<Api>,
    call: Call,
    input: DeleteSecurityGroupRequest,
) -> Result<DeleteSecurityGroupResult, Error> {
    let deleted = api.change(&call, |network| {
        let group = named(network, input.group_id.as_deref(), input.group_name.as_deref())?;
        let id = group.group_id.clone();
        if group.name == DEFAULT_GROUP {
            let reason = format!("the specified group: \"{id}\" name: \"{DEFAULT_GROUP}\" cannot be deleted by a user");
            return Err(fault(NetworkFault::CannotDelete, reason));
        }
        let names_it = |rule: &Rule| rule.key.peer == Peer::Group(id.clone());
        let is_used = network.interfaces.values().any(|interface| interface.groups.contains(&id))
            || network.groups.values().any(|other| other.group_id != id && other.rules.iter().any(names_it));
        if is_used {
            let reason = format!("resource {id} has a dependent object");
            return Err(ApiError::DependencyViolation { reason }.into());
        }
        network.groups.remove(&id);
        Ok(id)
    });
    let (_, id) = deleted.await?;
    Ok(DeleteSecurityGroupResult { group_id: Some(id.to_string()), r#return: Some(true) })
}

fn group_arn(place: &super::Place, group: &SecurityGroupRecord) -> String {
    arn(place, &group.account, &format!("security-group/{}", group.group_id))
}

fn show(seen: &Seen<'_, SecurityGroupRecord>) -> SecurityGroup {
    let group = seen.record;
    SecurityGroup {
        description: Some(group.description.clone()),
        group_id: Some(group.group_id.to_string()),
        group_name: Some(group.name.clone()),
        ip_permissions: permissions(group, false),
        ip_permissions_egress: permissions(group, true),
        owner_id: Some(group.account.to_string()),
        security_group_arn: Some(group_arn(seen.place, group)),
        tags: tags::to_api(&group.tags),
        vpc_id: Some(group.vpc_id.to_string()),
    }
}

impl Filterable for Seen<'_, SecurityGroupRecord> {
    const NAMES: &'static [&'static str] = &[
        "description",
        "egress.ip-permission.cidr",
        "egress.ip-permission.from-port",
        "egress.ip-permission.group-id",
        "egress.ip-permission.group-name",
        "egress.ip-permission.ipv6-cidr",
        "egress.ip-permission.prefix-list-id",
        "egress.ip-permission.protocol",
        "egress.ip-permission.to-port",
        "egress.ip-permission.user-id",
        "group-id",
        "group-name",
        "ip-permission.cidr",
        "ip-permission.from-port",
        "ip-permission.group-id",
        "ip-permission.group-name",
        "ip-permission.ipv6-cidr",
        "ip-permission.prefix-list-id",
        "ip-permission.protocol",
        "ip-permission.to-port",
        "ip-permission.user-id",
        "owner-id",
        "vpc-id",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let group = self.record;
        let (egress, of_rule) = match name.strip_prefix("egress.") {
            Some(rest) => (true, rest.strip_prefix("ip-permission.")),
            None => (false, name.strip_prefix("ip-permission.")),
        };
        if let Some(of_rule) = of_rule {
            let rules = group.rules.iter().filter(|rule| rule.key.egress == egress);
            return rules.filter_map(|rule| self.of_rule(rule, of_rule)).collect();
        }
        vec![match name {
            "description" => group.description.clone(),
            "group-id" => group.group_id.to_string(),
            "group-name" => group.name.clone(),
            "owner-id" => group.account.to_string(),
            _ => group.vpc_id.to_string(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}

impl Seen<'_, SecurityGroupRecord> {
    fn of_rule(&self, rule: &Rule, what: &str) -> Option<String> {
        let number = |value: i32| (!is_all(&rule.key)).then(|| value.to_string());
        match (what, &rule.key.peer) {
            ("from-port", _) => number(rule.key.from_port),
            ("to-port", _) => number(rule.key.to_port),
            ("protocol", _) => Some(rule.key.protocol.clone()),
            ("cidr", Peer::Ipv4(cidr)) => Some(cidr.to_string()),
            ("ipv6-cidr", Peer::Ipv6(cidr)) => Some(cidr.to_string()),
            ("group-id", Peer::Group(id)) => Some(id.to_string()),
            ("group-name", Peer::Group(id)) => self.network.groups.get(id).map(|group| group.name.clone()),
            ("user-id", Peer::Group(_)) => Some(self.record.account.to_string()),
            ("prefix-list-id", Peer::PrefixList(id)) => Some(id.to_string()),
            _ => None,
        }
    }
}

pub async fn describe_security_groups(
    api: Arc<Api>,
    call: Call,
    mut input: DescribeSecurityGroupsRequest,
) -> Result<DescribeSecurityGroupsResult, Error> {
    if !input.group_names.is_empty() {
        // Names are of the default VPC's groups.
        Page::check(input.max_results, None, 5..=1000, true)?;
        let network = api.stores.networks.load(&call.caller.account).await?;
        for name in &input.group_names {
            input.group_ids.push(named(&network, None, Some(name))?.group_id.to_string());
        }
    }
    let asked = Asked {
        ids: &input.group_ids,
        filters: &input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        limits: 5..=1000,
    };
    let (security_groups, next_token) = describe(&api, &call, asked, show).await?;
    Ok(DescribeSecurityGroupsResult { next_token, security_groups })
}
