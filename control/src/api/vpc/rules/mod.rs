//! Rules of security groups: the calls that add, take and change them.

mod describe;
mod permission;

pub use describe::{describe_rules, permissions};
pub use permission::{check_rule_count, is_all};

use super::super::{Api, Call, parse_id, parse_ids, tags};
use super::groups::named;
use crate::error::{Error, combination, missing, network as fault, not_found, required};
use crate::random;
use crate::store::{Network, Rule, RuleKey, SecurityGroupRecord};
use describe::{SeenRule, Shown, show};
use hive_aws_types::ec2::{
    AuthorizeSecurityGroupEgressRequest, AuthorizeSecurityGroupEgressResult, AuthorizeSecurityGroupIngressRequest,
    AuthorizeSecurityGroupIngressResult, IpPermission, ModifySecurityGroupRulesRequest, ModifySecurityGroupRulesResult,
    RevokeSecurityGroupEgressRequest, RevokeSecurityGroupEgressResult, RevokeSecurityGroupIngressRequest,
    RevokeSecurityGroupIngressResult, RevokedSecurityGroupRule, SecurityGroupRule, SecurityGroupRuleDescription,
    SecurityGroupRuleRequest, TagSpecification, UpdateSecurityGroupRuleDescriptionsEgressRequest,
    UpdateSecurityGroupRuleDescriptionsEgressResult, UpdateSecurityGroupRuleDescriptionsIngressRequest,
    UpdateSecurityGroupRuleDescriptionsIngressResult,
};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::SecurityGroupRuleId;
use permission::{Permitted, check_description, check_ports, check_protocol, group, ipv4, ipv6, prefix_list, text_of};
use std::sync::Arc;

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
