//! Rules of security groups: what a permission says, and the calls that add, take and change them.

use super::super::filter::{Filterable, Filters};
use super::super::page::Page;
use super::super::{Api, Call, parse_id, parse_ids, tags};
use super::arn;
use super::groups::{is_plain, named};
use crate::error::{Error, combination, invalid, missing, network as fault, not_found, required};
use crate::random;
use crate::store::{Network, Peer, PrefixListRecord, Rule, RuleKey, SecurityGroupRecord, Tags};
use hive_aws_types::ec2::{
    AuthorizeSecurityGroupEgressRequest, AuthorizeSecurityGroupEgressResult, AuthorizeSecurityGroupIngressRequest,
    AuthorizeSecurityGroupIngressResult, DescribeSecurityGroupRulesRequest, DescribeSecurityGroupRulesResult,
    IpPermission, IpRange, Ipv6Range, ModifySecurityGroupRulesRequest, ModifySecurityGroupRulesResult,
    PrefixListId as PrefixListPeer, ReferencedSecurityGroup, RevokeSecurityGroupEgressRequest,
    RevokeSecurityGroupEgressResult, RevokeSecurityGroupIngressRequest, RevokeSecurityGroupIngressResult,
    RevokedSecurityGroupRule, SecurityGroupRule, SecurityGroupRuleDescription, SecurityGroupRuleRequest,
    TagSpecification, UpdateSecurityGroupRuleDescriptionsEgressRequest,
    UpdateSecurityGroupRuleDescriptionsEgressResult, UpdateSecurityGroupRuleDescriptionsIngressRequest,
    UpdateSecurityGroupRuleDescriptionsIngressResult, UserIdGroupPair,
};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::{PrefixListId, SecurityGroupId, SecurityGroupRuleId};
use ipnet::{Ipv4Net, Ipv6Net};
use std::sync::Arc;

/// EC2's default quota, each way; a prefix list counts as many as it may have entries.
const MAX_RULES: usize = 60;
const MAX_DESCRIPTION_CHARS: usize = 255;

/// All protocols, and so all ports.
pub fn is_all(key: &RuleKey) -> bool {
    key.protocol == "-1"
}

fn check_protocol(text: &str) -> Result<String, Error> {
    let lower = text.to_ascii_lowercase();
    let name = match lower.as_str() {
        "tcp" | "6" => "tcp",
        "udp" | "17" => "udp",
        "icmp" | "1" => "icmp",
        "icmpv6" | "58" => "icmpv6",
        "-1" | "all" => "-1",
        other => match other.parse::<u8>() {
            Ok(number) => return Ok(number.to_string()),
            Err(_) => {
                let reason = format!("Invalid value '{text}' for IP protocol. Unknown protocol.");
                return Err(invalid("IpProtocol", text, reason));
            }
        },
    };
    Ok(name.to_owned())
}

/// Ports, or ICMP type and code.
fn check_ports(protocol: &str, from: Option<i32>, to: Option<i32>) -> Result<(i32, i32), Error> {
    let range = |from: i32, to: i32| format!("{from}-{to}");
    match protocol {
        "tcp" | "udp" => {
            let (Some(from), Some(to)) = (from, to) else {
                let reason = "Invalid value 'Must specify both from and to ports with TCP/UDP.' for portRange.";
                return Err(invalid("portRange", "", reason));
            };
            let fits = |port: i32| (0..=65_535).contains(&port);
            if !fits(from) || !fits(to) || from > to {
                let reason = "Invalid value for portRange. Ports are 0 to 65535, the first not after the last.";
                return Err(invalid("portRange", range(from, to), reason));
            }
            Ok((from, to))
        }
        "icmp" | "icmpv6" => {
            let (kind, code) = (from.unwrap_or(-1), to.unwrap_or(-1));
            let fits = |number: i32| (-1..=255).contains(&number);
            if !fits(kind) || !fits(code) || (kind == -1 && code != -1) {
                let reason = "ICMP type and code are 0 to 255, or -1 for all; all types have all codes.";
                return Err(invalid("icmpTypeCode", range(kind, code), reason));
            }
            Ok((kind, code))
        }
        _ => Ok((-1, -1)),
    }
}

fn check_description(text: Option<&String>) -> Result<Option<String>, Error> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > MAX_DESCRIPTION_CHARS || !is_plain(text) {
        let reason = "Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: \
                      a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*";
        return Err(invalid("Description", text, reason));
    }
    Ok(Some(text.clone()))
}

fn ipv4(text: Option<&String>) -> Result<Peer, Error> {
    let text = text.ok_or_else(|| missing("CidrIp"))?;
    let cidr: Result<Ipv4Net, _> = text.parse();
    Ok(Peer::Ipv4(cidr.map_err(|_| invalid("CidrIp", text, format!("CIDR block {text} is malformed")))?.trunc()))
}

fn ipv6(text: Option<&String>) -> Result<Peer, Error> {
    let text = text.ok_or_else(|| missing("CidrIpv6"))?;
    let cidr: Result<Ipv6Net, _> = text.parse();
    Ok(Peer::Ipv6(cidr.map_err(|_| invalid("CidrIpv6", text, format!("CIDR block {text} is malformed")))?.trunc()))
}

/// A group of the same VPC; by its name, when it has no id.
fn group(
    network: &Network,
    own: &SecurityGroupRecord,
    id: Option<&String>,
    name: Option<&String>,
) -> Result<Peer, Error> {
    let in_vpc = |group: &&SecurityGroupRecord| group.vpc_id == own.vpc_id;
    let found = match (id, name) {
        (Some(id), _) => {
            let id: SecurityGroupId = parse_id(Resource::SecurityGroup, id)?;
            let found = network.groups.get(&id).filter(in_vpc);
            found.ok_or_else(|| not_found(Resource::SecurityGroup, id))?
        }
        (None, Some(name)) => {
            let found = network.groups.values().filter(in_vpc).find(|group| group.name == *name);
            found.ok_or_else(|| not_found(Resource::SecurityGroup, name))?
        }
        (None, None) => return Err(missing("GroupId")),
    };
    Ok(Peer::Group(found.group_id.clone()))
}

fn prefix_list(network: &Network, id: Option<&String>) -> Result<Peer, Error> {
    let id: PrefixListId = parse_id(Resource::PrefixList, id.ok_or_else(|| missing("PrefixListId"))?)?;
    Ok(Peer::PrefixList(network.get::<PrefixListRecord>(&id)?.prefix_list_id.clone()))
}

/// What a call permits or forbids, in either of its forms.
#[derive(Default)]
struct Permitted<'a> {
    list: &'a [IpPermission],
    protocol: Option<&'a String>,
    from_port: Option<i32>,
    to_port: Option<i32>,
    cidr: Option<&'a String>,
    group_name: Option<&'a String>,
}

impl Permitted<'_> {
    fn is_flat(&self) -> bool {
        self.protocol.is_some() || self.cidr.is_some() || self.group_name.is_some() || self.from_port.is_some()
    }

    /// The rules, each with its description.
    fn rules(
        &self,
        network: &Network,
        own: &SecurityGroupRecord,
        egress: bool,
    ) -> Result<Vec<(RuleKey, Option<String>)>, Error> {
        let mut rules: Vec<(RuleKey, Option<String>)> = Vec::new();
        if self.is_flat() {
            if !self.list.is_empty() {
                return Err(combination("The parameter ipPermissions may not be used in combination with ipProtocol"));
            }
            let protocol = match (self.protocol, self.group_name) {
                (Some(protocol), _) => check_protocol(protocol)?,
                // A group alone: everything from its members.
                (None, Some(_)) => "-1".into(),
                (None, None) => return Err(missing("ipProtocol")),
            };
            let (from_port, to_port) = check_ports(&protocol, self.from_port, self.to_port)?;
            let peer = match (self.cidr, self.group_name) {
                (Some(cidr), _) => ipv4(Some(cidr))?,
                (None, name) => group(network, own, None, Some(name.ok_or_else(|| missing("cidrIp"))?))?,
            };
            rules.push((RuleKey { egress, protocol, from_port, to_port, peer }, None));
        }
        for permission in self.list {
            let protocol = check_protocol(permission.ip_protocol.as_ref().ok_or_else(|| missing("ipProtocol"))?)?;
            let (from_port, to_port) = check_ports(&protocol, permission.from_port, permission.to_port)?;
            let mut peers = Vec::new();
            for range in &permission.ip_ranges {
                peers.push((ipv4(range.cidr_ip.as_ref())?, check_description(range.description.as_ref())?));
            }
            for range in &permission.ipv6_ranges {
                peers.push((ipv6(range.cidr_ipv6.as_ref())?, check_description(range.description.as_ref())?));
            }
            for pair in &permission.user_id_group_pairs {
                if pair.user_id.as_ref().is_some_and(|user| *user != own.account.as_str()) {
                    return Err(not_found(Resource::SecurityGroup, pair.group_id.clone().unwrap_or_default()));
                }
                let peer = group(network, own, pair.group_id.as_ref(), pair.group_name.as_ref())?;
                peers.push((peer, check_description(pair.description.as_ref())?));
            }
            for list in &permission.prefix_list_ids {
                let peer = prefix_list(network, list.prefix_list_id.as_ref())?;
                peers.push((peer, check_description(list.description.as_ref())?));
            }
            if peers.is_empty() {
                return Err(missing("ipRanges"));
            }
            for (peer, description) in peers {
                let key = RuleKey { egress, protocol: protocol.clone(), from_port, to_port, peer };
                rules.push((key, description));
            }
        }
        if rules.is_empty() {
            return Err(missing("ipPermissions"));
        }
        for (index, (key, _)) in rules.iter().enumerate() {
            if rules.iter().take(index).any(|(other, _)| other == key) {
                return Err(invalid(
                    "IpPermissions",
                    text_of(key),
                    "The same permission must not appear multiple times",
                ));
            }
        }
        Ok(rules)
    }
}

/// As AWS's refusals tell a rule.
fn text_of(key: &RuleKey) -> String {
    let peer = match &key.peer {
        Peer::Ipv4(cidr) => cidr.to_string(),
        Peer::Ipv6(cidr) => cidr.to_string(),
        Peer::Group(id) => id.to_string(),
        Peer::PrefixList(id) => id.to_string(),
    };
    let ports = match key.protocol.as_str() {
        "-1" => return format!("peer: {peer}, ALL, ALLOW"),
        "tcp" | "udp" => format!(", from port: {}, to port: {}", key.from_port, key.to_port),
        "icmp" | "icmpv6" => format!(", type: {}, code: {}", key.from_port, key.to_port),
        _ => String::new(),
    };
    format!("peer: {peer}, {}{ports}, ALLOW", key.protocol.to_uppercase())
}

fn weight(network: &Network, rule: &Rule) -> usize {
    match &rule.key.peer {
        Peer::PrefixList(id) => network.prefix_lists.get(id).map_or(1, |list| usize::from(list.max_entries)),
        _ => 1,
    }
}

pub fn check_rule_count(network: &Network, group: &SecurityGroupRecord) -> Result<(), Error> {
    for egress in [false, true] {
        let count: usize =
            group.rules.iter().filter(|rule| rule.key.egress == egress).map(|rule| weight(network, rule)).sum();
        if count > MAX_RULES {
            let reason = "The maximum number of rules per security group has been reached.";
            return Err(fault(NetworkFault::TooManyRules, reason));
        }
    }
    Ok(())
}

async fn authorize(
    api: &Api,
    call: &Call,
    group: (Option<&str>, Option<&str>),
    permitted: &Permitted<'_>,
    egress: bool,
    tags: &[TagSpecification],
) -> Result<Vec<SecurityGroupRule>, Error> {
    let tags = tags::specified(tags, "security-group-rule", &["security-group-rule"])?;
    let made = api.change(call, |network| {
        let own = named(network, group.0, group.1)?.clone();
        let mut edited = own.clone();
        let mut added = Vec::new();
        for (key, description) in permitted.rules(network, &own, egress)? {
            if own.rules.iter().any(|rule| rule.key == key) {
                let reason = format!("the specified rule \"{}\" already exists", text_of(&key));
                return Err(fault(NetworkFault::RuleExists, reason));
            }
            let rule_id = SecurityGroupRuleId::from_random(random::draw()?);
            added.push(Rule { rule_id, key, description, tags: tags.clone() });
        }
        edited.rules.extend(added.iter().cloned());
        check_rule_count(network, &edited)?;
        network.insert(edited.clone());
        Ok((edited, added))
    });
    let (network, (own, added)) = made.await?;
    Ok(added.iter().map(|rule| show(&SeenRule { own: &own, rule, network: &network, place: &api.place })).collect())
}

pub async fn authorize_ingress(
    api: Arc<Api>,
    call: Call,
    input: AuthorizeSecurityGroupIngressRequest,
) -> Result<AuthorizeSecurityGroupIngressResult, Error> {
    let permitted = Permitted {
        list: &input.ip_permissions,
        protocol: input.ip_protocol.as_ref(),
        from_port: input.from_port,
        to_port: input.to_port,
        cidr: input.cidr_ip.as_ref(),
        group_name: input.source_security_group_name.as_ref(),
    };
    let group = (input.group_id.as_deref(), input.group_name.as_deref());
    let rules = authorize(&api, &call, group, &permitted, false, &input.tag_specifications).await?;
    Ok(AuthorizeSecurityGroupIngressResult { r#return: Some(true), security_group_rules: rules })
}

/// The old flat members are not of a VPC's egress.
fn refuse_flat(asked: bool) -> Result<(), Error> {
    if asked { Err(combination("Only ipPermissions may be used for egress rules.")) } else { Ok(()) }
}

pub async fn authorize_egress(
    api: Arc<Api>,
    call: Call,
    input: AuthorizeSecurityGroupEgressRequest,
) -> Result<AuthorizeSecurityGroupEgressResult, Error> {
    refuse_flat(input.cidr_ip.is_some() || input.ip_protocol.is_some() || input.source_security_group_name.is_some())?;
    let permitted = Permitted { list: &input.ip_permissions, ..Default::default() };
    let group = (Some(required(input.group_id.as_deref(), "GroupId")?), None);
    let rules = authorize(&api, &call, group, &permitted, true, &input.tag_specifications).await?;
    Ok(AuthorizeSecurityGroupEgressResult { r#return: Some(true), security_group_rules: rules })
}

async fn revoke(
    api: &Api,
    call: &Call,
    group: (Option<&str>, Option<&str>),
    permitted: &Permitted<'_>,
    ids: &[String],
    egress: bool,
) -> Result<Vec<RevokedSecurityGroupRule>, Error> {
    let ids: Vec<SecurityGroupRuleId> = parse_ids(Resource::SecurityGroupRule, ids)?;
    let taken = api.change(call, |network| {
        let mut own = named(network, group.0, group.1)?.clone();
        let mut taken = Vec::new();
        let mut take = |own: &mut SecurityGroupRecord, at: Option<usize>, absent: Error| match at {
            Some(at) => {
                taken.push(own.rules.remove(at));
                Ok(())
            }
            None => Err(absent),
        };
        for id in &ids {
            let at = own.rules.iter().position(|rule| rule.rule_id == *id && rule.key.egress == egress);
            take(&mut own, at, not_found(Resource::SecurityGroupRule, id))?;
        }
        if ids.is_empty() || permitted.is_flat() || !permitted.list.is_empty() {
            for (key, _) in permitted.rules(network, &own, egress)? {
                let at = own.rules.iter().position(|rule| rule.key == key);
                let reason = "The specified rule does not exist in this security group.";
                take(&mut own, at, fault(NetworkFault::RuleAbsent, reason))?;
            }
        }
        let id = own.group_id.clone();
        network.insert(own);
        Ok((id, taken))
    });
    let (_, (group_id, taken)) = taken.await?;
    let show = |rule: Rule| {
        let peer = Shown::of(&rule.key.peer);
        RevokedSecurityGroupRule {
            cidr_ipv4: peer.ipv4,
            cidr_ipv6: peer.ipv6,
            description: rule.description,
            from_port: Some(rule.key.from_port),
            group_id: Some(group_id.to_string()),
            ip_protocol: Some(rule.key.protocol),
            is_egress: Some(rule.key.egress),
            prefix_list_id: peer.prefix_list,
            referenced_group_id: peer.group,
            security_group_rule_id: Some(rule.rule_id.to_string()),
            to_port: Some(rule.key.to_port),
        }
    };
    Ok(taken.into_iter().map(show).collect())
}

pub async fn revoke_ingress(
    api: Arc<Api>,
    call: Call,
    input: RevokeSecurityGroupIngressRequest,
) -> Result<RevokeSecurityGroupIngressResult, Error> {
    let permitted = Permitted {
        list: &input.ip_permissions,
        protocol: input.ip_protocol.as_ref(),
        from_port: input.from_port,
        to_port: input.to_port,
        cidr: input.cidr_ip.as_ref(),
        group_name: input.source_security_group_name.as_ref(),
    };
    let group = (input.group_id.as_deref(), input.group_name.as_deref());
    let revoked = revoke(&api, &call, group, &permitted, &input.security_group_rule_ids, false).await?;
    Ok(RevokeSecurityGroupIngressResult {
        r#return: Some(true),
        revoked_security_group_rules: revoked,
        ..Default::default()
    })
}

pub async fn revoke_egress(
    api: Arc<Api>,
    call: Call,
    input: RevokeSecurityGroupEgressRequest,
) -> Result<RevokeSecurityGroupEgressResult, Error> {
    refuse_flat(input.cidr_ip.is_some() || input.ip_protocol.is_some() || input.source_security_group_name.is_some())?;
    let permitted = Permitted { list: &input.ip_permissions, ..Default::default() };
    let group = (Some(required(input.group_id.as_deref(), "GroupId")?), None);
    let revoked = revoke(&api, &call, group, &permitted, &input.security_group_rule_ids, true).await?;
    Ok(RevokeSecurityGroupEgressResult {
        r#return: Some(true),
        revoked_security_group_rules: revoked,
        ..Default::default()
    })
}

/// The rule that an update means instead of the old one: one peer, the same direction.
fn updated(
    network: &Network,
    own: &SecurityGroupRecord,
    old: &Rule,
    asked: &SecurityGroupRuleRequest,
) -> Result<Rule, Error> {
    let peers = [&asked.cidr_ipv4, &asked.cidr_ipv6, &asked.prefix_list_id, &asked.referenced_group_id];
    if peers.iter().filter(|peer| peer.is_some()).count() != 1 {
        return Err(combination("Exactly one of CidrIpv4, CidrIpv6, PrefixListId and ReferencedGroupId is needed."));
    }
    let peer = if asked.cidr_ipv4.is_some() {
        ipv4(asked.cidr_ipv4.as_ref())?
    } else if asked.cidr_ipv6.is_some() {
        ipv6(asked.cidr_ipv6.as_ref())?
    } else if asked.prefix_list_id.is_some() {
        prefix_list(network, asked.prefix_list_id.as_ref())?
    } else {
        group(network, own, asked.referenced_group_id.as_ref(), None)?
    };
    let protocol = check_protocol(asked.ip_protocol.as_ref().ok_or_else(|| missing("IpProtocol"))?)?;
    let (from_port, to_port) = check_ports(&protocol, asked.from_port, asked.to_port)?;
    let key = RuleKey { egress: old.key.egress, protocol, from_port, to_port, peer };
    Ok(Rule { key, description: check_description(asked.description.as_ref())?, ..old.clone() })
}

pub async fn modify_rules(
    api: Arc<Api>,
    call: Call,
    input: ModifySecurityGroupRulesRequest,
) -> Result<ModifySecurityGroupRulesResult, Error> {
    let group_id = required(input.group_id, "GroupId")?;
    if input.security_group_rules.is_empty() {
        return Err(missing("SecurityGroupRule"));
    }
    let modified = api.change(&call, |network| {
        let own = named(network, Some(&group_id), None)?.clone();
        let mut edited = own.clone();
        for update in &input.security_group_rules {
            let id = update.security_group_rule_id.as_deref().ok_or_else(|| missing("SecurityGroupRuleId"))?;
            let id: SecurityGroupRuleId = parse_id(Resource::SecurityGroupRule, id)?;
            let asked = update.security_group_rule.as_ref().ok_or_else(|| missing("SecurityGroupRule"))?;
            let old = edited.rules.iter_mut().find(|rule| rule.rule_id == id);
            let old = old.ok_or_else(|| not_found(Resource::SecurityGroupRule, &id))?;
            *old = updated(network, &own, old, asked)?;
        }
        for (index, rule) in edited.rules.iter().enumerate() {
            if edited.rules.iter().take(index).any(|other| other.key == rule.key) {
                let reason = format!("the specified rule \"{}\" already exists", text_of(&rule.key));
                return Err(fault(NetworkFault::RuleExists, reason));
            }
        }
        check_rule_count(network, &edited)?;
        network.insert(edited);
        Ok(())
    });
    modified.await.map(|_| ModifySecurityGroupRulesResult { r#return: Some(true) })
}

async fn describe_anew(
    api: &Api,
    call: &Call,
    group: (Option<&str>, Option<&str>),
    permissions: &[IpPermission],
    by_id: &[SecurityGroupRuleDescription],
    egress: bool,
) -> Result<(), Error> {
    match (permissions.is_empty(), by_id.is_empty()) {
        (true, true) => return Err(missing("IpPermissions")),
        (false, false) => {
            return Err(combination("Only one of IpPermissions and SecurityGroupRuleDescriptions may be used."));
        }
        _ => {}
    }
    let changed = api.change(call, |network| {
        let mut own = named(network, group.0, group.1)?.clone();
        for described in by_id {
            let id = described.security_group_rule_id.as_deref().ok_or_else(|| missing("SecurityGroupRuleId"))?;
            let id: SecurityGroupRuleId = parse_id(Resource::SecurityGroupRule, id)?;
            let rule = own.rules.iter_mut().find(|rule| rule.rule_id == id && rule.key.egress == egress);
            let rule = rule.ok_or_else(|| not_found(Resource::SecurityGroupRule, &id))?;
            rule.description = check_description(described.description.as_ref())?;
        }
        if !permissions.is_empty() {
            let permitted = Permitted { list: permissions, ..Default::default() };
            for (key, description) in permitted.rules(network, &own, egress)? {
                let rule = own.rules.iter_mut().find(|rule| rule.key == key);
                let reason = "The specified rule does not exist in this security group.";
                rule.ok_or_else(|| fault(NetworkFault::RuleAbsent, reason))?.description = description;
            }
        }
        network.insert(own);
        Ok(())
    });
    changed.await.map(drop)
}

pub async fn describe_ingress_anew(
    api: Arc<Api>,
    call: Call,
    input: UpdateSecurityGroupRuleDescriptionsIngressRequest,
) -> Result<UpdateSecurityGroupRuleDescriptionsIngressResult, Error> {
    let group = (input.group_id.as_deref(), input.group_name.as_deref());
    let by_id = &input.security_group_rule_descriptions;
    describe_anew(&api, &call, group, &input.ip_permissions, by_id, false).await?;
    Ok(UpdateSecurityGroupRuleDescriptionsIngressResult { r#return: Some(true) })
}

pub async fn describe_egress_anew(
    api: Arc<Api>,
    call: Call,
    input: UpdateSecurityGroupRuleDescriptionsEgressRequest,
) -> Result<UpdateSecurityGroupRuleDescriptionsEgressResult, Error> {
    let group = (input.group_id.as_deref(), input.group_name.as_deref());
    let by_id = &input.security_group_rule_descriptions;
    describe_anew(&api, &call, group, &input.ip_permissions, by_id, true).await?;
    Ok(UpdateSecurityGroupRuleDescriptionsEgressResult { r#return: Some(true) })
}

/// A peer in the member that shows it.
#[derive(Default)]
struct Shown {
    ipv4: Option<String>,
    ipv6: Option<String>,
    group: Option<String>,
    prefix_list: Option<String>,
}

impl Shown {
    fn of(peer: &Peer) -> Self {
        match peer {
            Peer::Ipv4(cidr) => Self { ipv4: Some(cidr.to_string()), ..Self::default() },
            Peer::Ipv6(cidr) => Self { ipv6: Some(cidr.to_string()), ..Self::default() },
            Peer::Group(id) => Self { group: Some(id.to_string()), ..Self::default() },
            Peer::PrefixList(id) => Self { prefix_list: Some(id.to_string()), ..Self::default() },
        }
    }
}

/// A group's rules one way, those of the same protocol and ports as one permission.
pub fn permissions(group: &SecurityGroupRecord, egress: bool) -> Vec<IpPermission> {
    let mut permissions: Vec<(&RuleKey, IpPermission)> = Vec::new();
    for rule in group.rules.iter().filter(|rule| rule.key.egress == egress) {
        let key = &rule.key;
        let is_same = |other: &RuleKey| {
            (&other.protocol, other.from_port, other.to_port) == (&key.protocol, key.from_port, key.to_port)
        };
        let at = permissions.iter().position(|(other, _)| is_same(other)).unwrap_or_else(|| {
            let has_ports = matches!(key.protocol.as_str(), "tcp" | "udp" | "icmp" | "icmpv6");
            let permission = IpPermission {
                from_port: has_ports.then_some(key.from_port),
                ip_protocol: Some(key.protocol.clone()),
                to_port: has_ports.then_some(key.to_port),
                ..Default::default()
            };
            permissions.push((key, permission));
            permissions.len() - 1
        });
        let Some((_, permission)) = permissions.get_mut(at) else { continue };
        let (shown, description) = (Shown::of(&key.peer), rule.description.clone());
        match &key.peer {
            Peer::Ipv4(_) => permission.ip_ranges.push(IpRange { cidr_ip: shown.ipv4, description }),
            Peer::Ipv6(_) => permission.ipv6_ranges.push(Ipv6Range { cidr_ipv6: shown.ipv6, description }),
            Peer::Group(_) => permission.user_id_group_pairs.push(UserIdGroupPair {
                description,
                group_id: shown.group,
                user_id: Some(group.account.to_string()),
                ..Default::default()
            }),
            Peer::PrefixList(_) => {
                permission.prefix_list_ids.push(PrefixListPeer { description, prefix_list_id: shown.prefix_list })
            }
        }
    }
    permissions.into_iter().map(|(_, permission)| permission).collect()
}

/// A rule with its group.
struct SeenRule<'a> {
    own: &'a SecurityGroupRecord,
    rule: &'a Rule,
    network: &'a Network,
    place: &'a super::Place,
}

fn show(seen: &SeenRule<'_>) -> SecurityGroupRule {
    let (rule, account) = (seen.rule, &seen.own.account);
    let peer = Shown::of(&rule.key.peer);
    let referenced = peer.group.map(|id| ReferencedSecurityGroup {
        vpc_id: id.parse().ok().and_then(|id: SecurityGroupId| Some(seen.network.groups.get(&id)?.vpc_id.to_string())),
        group_id: Some(id),
        user_id: Some(account.to_string()),
        ..Default::default()
    });
    SecurityGroupRule {
        cidr_ipv4: peer.ipv4,
        cidr_ipv6: peer.ipv6,
        description: rule.description.clone(),
        from_port: Some(rule.key.from_port),
        group_id: Some(seen.own.group_id.to_string()),
        group_owner_id: Some(account.to_string()),
        ip_protocol: Some(rule.key.protocol.clone()),
        is_egress: Some(rule.key.egress),
        prefix_list_id: peer.prefix_list,
        referenced_group_info: referenced,
        security_group_rule_arn: Some(arn(seen.place, account, &format!("security-group-rule/{}", rule.rule_id))),
        security_group_rule_id: Some(rule.rule_id.to_string()),
        tags: tags::to_api(&rule.tags),
        to_port: Some(rule.key.to_port),
    }
}

impl Filterable for SeenRule<'_> {
    const NAMES: &'static [&'static str] = &["group-id", "security-group-rule-id"];

    fn values(&self, name: &str) -> Vec<String> {
        vec![match name {
            "group-id" => self.own.group_id.to_string(),
            _ => self.rule.rule_id.to_string(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.rule.tags)
    }
}

pub async fn describe_rules(
    api: Arc<Api>,
    call: Call,
    input: DescribeSecurityGroupRulesRequest,
) -> Result<DescribeSecurityGroupRulesResult, Error> {
    let ids: Vec<SecurityGroupRuleId> = parse_ids(Resource::SecurityGroupRule, &input.security_group_rule_ids)?;
    let page = Page::check(input.max_results, input.next_token.as_deref(), 5..=1000, !ids.is_empty())?;
    let filters = Filters::check::<SeenRule<'_>>(&input.filters)?;
    let network = api.stores.networks.load(&call.caller.account).await?;
    let (network, place) = (&network, &api.place);
    let groups = network.groups.values();
    let rules = groups.flat_map(|own| own.rules.iter().map(move |rule| SeenRule { own, rule, network, place }));
    let mut all: Vec<SeenRule<'_>> = rules.collect();
    if let Some(absent) = ids.iter().find(|id| !all.iter().any(|seen| seen.rule.rule_id == **id)) {
        return Err(not_found(Resource::SecurityGroupRule, absent));
    }
    all.retain(|seen| (ids.is_empty() || ids.contains(&seen.rule.rule_id)) && filters.admit(seen));
    all.sort_by(|a, b| a.rule.rule_id.cmp(&b.rule.rule_id));
    let (page, next_token) = page.cut(all, |seen| seen.rule.rule_id.to_string());
    Ok(DescribeSecurityGroupRulesResult { next_token, security_group_rules: page.iter().map(show).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_one_name() {
        for (text, name) in
            [("tcp", "tcp"), ("6", "tcp"), ("UDP", "udp"), ("1", "icmp"), ("58", "icmpv6"), ("-1", "-1"), ("047", "47")]
        {
            assert_eq!(check_protocol(text).expect(text), name);
        }
        for bad in ["", "256", "-2", "tcp ", "any"] {
            assert!(check_protocol(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ports_and_icmp_numbers() {
        assert_eq!(check_ports("tcp", Some(0), Some(65_535)).expect("all"), (0, 65_535));
        assert_eq!(check_ports("icmp", Some(8), None).expect("echo"), (8, -1));
        assert_eq!(check_ports("icmp", None, None).expect("all"), (-1, -1));
        assert_eq!(check_ports("-1", Some(5), Some(7)).expect("ports say nothing"), (-1, -1));
        assert_eq!(check_ports("47", Some(5), None).expect("ports say nothing"), (-1, -1));
        for (protocol, from, to) in [
            ("tcp", None, Some(1)),
            ("tcp", Some(2), Some(1)),
            ("udp", Some(-1), Some(-1)),
            ("tcp", Some(0), Some(65_536)),
            ("icmp", Some(256), Some(0)),
            ("icmp", None, Some(0)),
        ] {
            assert!(check_ports(protocol, from, to).is_err(), "{protocol} {from:?} {to:?}");
        }
    }

    #[test]
    fn a_refusal_tells_the_rule() {
        let peer = Peer::Ipv4("0.0.0.0/0".parse().expect("a block"));
        let key = RuleKey { egress: false, protocol: "tcp".into(), from_port: 22, to_port: 22, peer: peer.clone() };
        assert_eq!(text_of(&key), "peer: 0.0.0.0/0, TCP, from port: 22, to port: 22, ALLOW");
        assert_eq!(text_of(&super::super::default::allow_all(true, peer)), "peer: 0.0.0.0/0, ALL, ALLOW");
    }
}
