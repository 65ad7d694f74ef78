// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Creates a security group.
#[derive(Clone, Copy, Debug)]
pub struct CreateSecurityGroup;

impl Operation for CreateSecurityGroup {
    type Input = CreateSecurityGroupRequest;
    type Output = CreateSecurityGroupResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateSecurityGroup";

    fn decode(members: Members) -> serde_json::Result<CreateSecurityGroupRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateSecurityGroupResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes a security group.
#[derive(Clone, Copy, Debug)]
pub struct DeleteSecurityGroup;

impl Operation for DeleteSecurityGroup {
    type Input = DeleteSecurityGroupRequest;
    type Output = DeleteSecurityGroupResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteSecurityGroup";

    fn decode(members: Members) -> serde_json::Result<DeleteSecurityGroupRequest> {
        crate::decode(members)
    }

    fn encode(output: &DeleteSecurityGroupResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the specified security groups or all of your security groups.
#[derive(Clone, Copy, Debug)]
pub struct DescribeSecurityGroups;

impl Operation for DescribeSecurityGroups {
    type Input = DescribeSecurityGroupsRequest;
    type Output = DescribeSecurityGroupsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeSecurityGroups";

    fn decode(members: Members) -> serde_json::Result<DescribeSecurityGroupsRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeSecurityGroupsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Adds the specified inbound (ingress) rules to a security group.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizeSecurityGroupIngress;

impl Operation for AuthorizeSecurityGroupIngress {
    type Input = AuthorizeSecurityGroupIngressRequest;
    type Output = AuthorizeSecurityGroupIngressResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "AuthorizeSecurityGroupIngress";

    fn decode(members: Members) -> serde_json::Result<AuthorizeSecurityGroupIngressRequest> {
        crate::decode(members)
    }

    fn encode(output: &AuthorizeSecurityGroupIngressResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Adds the specified outbound (egress) rules to a security group.
#[derive(Clone, Copy, Debug)]
pub struct AuthorizeSecurityGroupEgress;

impl Operation for AuthorizeSecurityGroupEgress {
    type Input = AuthorizeSecurityGroupEgressRequest;
    type Output = AuthorizeSecurityGroupEgressResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "AuthorizeSecurityGroupEgress";

    fn decode(members: Members) -> serde_json::Result<AuthorizeSecurityGroupEgressRequest> {
        crate::decode(members)
    }

    fn encode(output: &AuthorizeSecurityGroupEgressResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Removes the specified inbound (ingress) rules from a security group.
#[derive(Clone, Copy, Debug)]
pub struct RevokeSecurityGroupIngress;

impl Operation for RevokeSecurityGroupIngress {
    type Input = RevokeSecurityGroupIngressRequest;
    type Output = RevokeSecurityGroupIngressResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "RevokeSecurityGroupIngress";

    fn decode(members: Members) -> serde_json::Result<RevokeSecurityGroupIngressRequest> {
        crate::decode(members)
    }

    fn encode(output: &RevokeSecurityGroupIngressResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Removes the specified outbound (egress) rules from the specified security group.
#[derive(Clone, Copy, Debug)]
pub struct RevokeSecurityGroupEgress;

impl Operation for RevokeSecurityGroupEgress {
    type Input = RevokeSecurityGroupEgressRequest;
    type Output = RevokeSecurityGroupEgressResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "RevokeSecurityGroupEgress";

    fn decode(members: Members) -> serde_json::Result<RevokeSecurityGroupEgressRequest> {
        crate::decode(members)
    }

    fn encode(output: &RevokeSecurityGroupEgressResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes one or more of your security group rules.
#[derive(Clone, Copy, Debug)]
pub struct DescribeSecurityGroupRules;

impl Operation for DescribeSecurityGroupRules {
    type Input = DescribeSecurityGroupRulesRequest;
    type Output = DescribeSecurityGroupRulesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeSecurityGroupRules";

    fn decode(members: Members) -> serde_json::Result<DescribeSecurityGroupRulesRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeSecurityGroupRulesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Modifies the rules of a security group.
#[derive(Clone, Copy, Debug)]
pub struct ModifySecurityGroupRules;

impl Operation for ModifySecurityGroupRules {
    type Input = ModifySecurityGroupRulesRequest;
    type Output = ModifySecurityGroupRulesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ModifySecurityGroupRules";

    fn decode(members: Members) -> serde_json::Result<ModifySecurityGroupRulesRequest> {
        crate::decode(members)
    }

    fn encode(output: &ModifySecurityGroupRulesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Updates the description of an ingress (inbound) security group rule.
#[derive(Clone, Copy, Debug)]
pub struct UpdateSecurityGroupRuleDescriptionsIngress;

impl Operation for UpdateSecurityGroupRuleDescriptionsIngress {
    type Input = UpdateSecurityGroupRuleDescriptionsIngressRequest;
    type Output = UpdateSecurityGroupRuleDescriptionsIngressResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "UpdateSecurityGroupRuleDescriptionsIngress";

    fn decode(members: Members) -> serde_json::Result<UpdateSecurityGroupRuleDescriptionsIngressRequest> {
        crate::decode(members)
    }

    fn encode(output: &UpdateSecurityGroupRuleDescriptionsIngressResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Updates the description of an egress (outbound) security group rule.
#[derive(Clone, Copy, Debug)]
pub struct UpdateSecurityGroupRuleDescriptionsEgress;

impl Operation for UpdateSecurityGroupRuleDescriptionsEgress {
    type Input = UpdateSecurityGroupRuleDescriptionsEgressRequest;
    type Output = UpdateSecurityGroupRuleDescriptionsEgressResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "UpdateSecurityGroupRuleDescriptionsEgress";

    fn decode(members: Members) -> serde_json::Result<UpdateSecurityGroupRuleDescriptionsEgressRequest> {
        crate::decode(members)
    }

    fn encode(output: &UpdateSecurityGroupRuleDescriptionsEgressResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthorizeSecurityGroupEgressRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_permissions: Vec<IpPermission>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_security_group_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_security_group_owner_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_port: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthorizeSecurityGroupEgressResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#return: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_rules: Vec<SecurityGroupRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthorizeSecurityGroupIngressRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_permissions: Vec<IpPermission>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_security_group_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_security_group_owner_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_port: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AuthorizeSecurityGroupIngressResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#return: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_rules: Vec<SecurityGroupRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateSecurityGroupRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateSecurityGroupResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group_arn: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteSecurityGroupRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteSecurityGroupResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#return: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeSecurityGroupRulesRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_rule_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeSecurityGroupRulesResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_rules: Vec<SecurityGroupRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeSecurityGroupsRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeSecurityGroupsResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<SecurityGroup>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpPermission {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_protocol: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_ranges: Vec<IpRange>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_ranges: Vec<Ipv6Range>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prefix_list_ids: Vec<PrefixListId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_port: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_id_group_pairs: Vec<UserIdGroupPair>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IpRange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipv6Range {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_ipv6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifySecurityGroupRulesRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_rules: Vec<SecurityGroupRuleUpdate>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifySecurityGroupRulesResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#return: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PrefixListId {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReferencedSecurityGroup {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peering_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_peering_connection_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RevokeSecurityGroupEgressRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_permissions: Vec<IpPermission>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_protocol: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_rule_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_security_group_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_security_group_owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_port: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RevokeSecurityGroupEgressResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#return: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revoked_security_group_rules: Vec<RevokedSecurityGroupRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown_ip_permissions: Vec<IpPermission>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RevokeSecurityGroupIngressRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_permissions: Vec<IpPermission>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_protocol: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_rule_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_security_group_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_security_group_owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_port: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RevokeSecurityGroupIngressResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#return: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revoked_security_group_rules: Vec<RevokedSecurityGroupRule>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown_ip_permissions: Vec<IpPermission>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RevokedSecurityGroupRule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_ipv4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_ipv6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_egress: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referenced_group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group_rule_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_port: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecurityGroup {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_permissions: Vec<IpPermission>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_permissions_egress: Vec<IpPermission>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group_arn: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecurityGroupRule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_ipv4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_ipv6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_egress: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referenced_group_info: Option<ReferencedSecurityGroup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group_rule_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group_rule_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_port: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecurityGroupRuleDescription {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group_rule_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecurityGroupRuleRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_ipv4: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_ipv6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_port: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referenced_group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_port: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecurityGroupRuleUpdate {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group_rule: Option<SecurityGroupRuleRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_group_rule_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateSecurityGroupRuleDescriptionsEgressRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_permissions: Vec<IpPermission>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_rule_descriptions: Vec<SecurityGroupRuleDescription>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateSecurityGroupRuleDescriptionsEgressResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#return: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateSecurityGroupRuleDescriptionsIngressRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ip_permissions: Vec<IpPermission>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_rule_descriptions: Vec<SecurityGroupRuleDescription>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UpdateSecurityGroupRuleDescriptionsIngressResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#return: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UserIdGroupPair {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peering_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_peering_connection_id: Option<String>,
}
