//! How rules look to the API.

use super::super::super::filter::{Filterable, Filters};
use super::super::super::page::Page;
use super::super::super::{Api, Call, Place, parse_ids, tags};
use super::super::arn;
use crate::error::{Error, not_found};
use crate::store::{Network, Peer, Rule, RuleKey, SecurityGroupRecord, Tags};
use hive_aws_types::ec2::{
    DescribeSecurityGroupRulesRequest, DescribeSecurityGroupRulesResult, IpPermission, IpRange, Ipv6Range,
    PrefixListId as PrefixListPeer, ReferencedSecurityGroup, SecurityGroupRule, UserIdGroupPair,
};
use hive_types::error::Resource;
use hive_types::id::{SecurityGroupId, SecurityGroupRuleId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A peer in the member that shows it.
#[derive(Default)]
pub(super) struct Shown {
    pub ipv4: Option<String>,
    pub ipv6: Option<String>,
    pub group: Option<String>,
    pub prefix_list: Option<String>,
}

impl Shown {
    pub fn of(peer: &Peer) -> Self {
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
pub(super) struct SeenRule<'a> {
    pub own: &'a SecurityGroupRecord,
    pub rule: &'a Rule,
    pub network: &'a Network,
    pub place: &'a Place,
}

pub(super) fn show(seen: &SeenRule<'_>) -> SecurityGroupRule {
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
    let ids = parse_ids(Resource::SecurityGroupRule, &input.security_group_rule_ids)?;
    let ids: BTreeSet<SecurityGroupRuleId> = ids.into_iter().collect();
    let page = Page::check(input.max_results, input.next_token.as_deref(), 5..=1000, !ids.is_empty())?;
    let filters = Filters::check::<SeenRule<'_>>(&input.filters)?;
    let network = api.stores.networks.load(&call.caller.account).await?;
    let (network, place) = (&network, &api.place);
    let groups = network.groups.values();
    let rules = groups.flat_map(|own| own.rules.iter().map(move |rule| SeenRule { own, rule, network, place }));
    let mut all: Vec<SeenRule<'_>> = rules.collect();
    let there: BTreeSet<&SecurityGroupRuleId> = all.iter().map(|seen| &seen.rule.rule_id).collect();
    if let Some(absent) = ids.iter().find(|id| !there.contains(id)) {
        return Err(not_found(Resource::SecurityGroupRule, absent));
    }
    all.retain(|seen| (ids.is_empty() || ids.contains(&seen.rule.rule_id)) && filters.admit(seen));
    all.sort_by(|a, b| a.rule.rule_id.cmp(&b.rule.rule_id));
    let (security_group_rules, next_token) = page.shown(all, |seen| seen.rule.rule_id.to_string(), show);
    Ok(DescribeSecurityGroupRulesResult { next_token, security_group_rules })
}
