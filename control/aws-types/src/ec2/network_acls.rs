// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Creates a network ACL in a VPC.
#[derive(Clone, Copy, Debug)]
pub struct CreateNetworkAcl;

impl Operation for CreateNetworkAcl {
    type Input = CreateNetworkAclRequest;
    type Output = CreateNetworkAclResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateNetworkAcl";

    fn decode(members: Members) -> serde_json::Result<CreateNetworkAclRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateNetworkAclResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes the specified network ACL.
#[derive(Clone, Copy, Debug)]
pub struct DeleteNetworkAcl;

impl Operation for DeleteNetworkAcl {
    type Input = DeleteNetworkAclRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteNetworkAcl";

    fn decode(members: Members) -> serde_json::Result<DeleteNetworkAclRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes your network ACLs.
#[derive(Clone, Copy, Debug)]
pub struct DescribeNetworkAcls;

impl Operation for DescribeNetworkAcls {
    type Input = DescribeNetworkAclsRequest;
    type Output = DescribeNetworkAclsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeNetworkAcls";

    fn decode(members: Members) -> serde_json::Result<DescribeNetworkAclsRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeNetworkAclsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Creates an entry (a rule) in a network ACL with the specified rule number.
#[derive(Clone, Copy, Debug)]
pub struct CreateNetworkAclEntry;

impl Operation for CreateNetworkAclEntry {
    type Input = CreateNetworkAclEntryRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateNetworkAclEntry";

    fn decode(members: Members) -> serde_json::Result<CreateNetworkAclEntryRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Replaces an entry (rule) in a network ACL.
#[derive(Clone, Copy, Debug)]
pub struct ReplaceNetworkAclEntry;

impl Operation for ReplaceNetworkAclEntry {
    type Input = ReplaceNetworkAclEntryRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ReplaceNetworkAclEntry";

    fn decode(members: Members) -> serde_json::Result<ReplaceNetworkAclEntryRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes the specified ingress or egress entry (rule) from the specified network ACL.
#[derive(Clone, Copy, Debug)]
pub struct DeleteNetworkAclEntry;

impl Operation for DeleteNetworkAclEntry {
    type Input = DeleteNetworkAclEntryRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteNetworkAclEntry";

    fn decode(members: Members) -> serde_json::Result<DeleteNetworkAclEntryRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Changes which network ACL a subnet is associated with.
#[derive(Clone, Copy, Debug)]
pub struct ReplaceNetworkAclAssociation;

impl Operation for ReplaceNetworkAclAssociation {
    type Input = ReplaceNetworkAclAssociationRequest;
    type Output = ReplaceNetworkAclAssociationResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ReplaceNetworkAclAssociation";

    fn decode(members: Members) -> serde_json::Result<ReplaceNetworkAclAssociationRequest> {
        crate::decode(members)
    }

    fn encode(output: &ReplaceNetworkAclAssociationResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateNetworkAclEntryRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_type_code: Option<IcmpTypeCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_acl_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range: Option<PortRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_number: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateNetworkAclRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateNetworkAclResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_acl: Option<NetworkAcl>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteNetworkAclEntryRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_acl_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_number: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteNetworkAclRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_acl_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeNetworkAclsRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_acl_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeNetworkAclsResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_acls: Vec<NetworkAcl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IcmpTypeCode {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkAcl {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub associations: Vec<NetworkAclAssociation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<NetworkAclEntry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_default: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_acl_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkAclAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_acl_association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_acl_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkAclEntry {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_type_code: Option<IcmpTypeCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range: Option<PortRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_number: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PortRange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReplaceNetworkAclAssociationRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_acl_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReplaceNetworkAclAssociationResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_association_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReplaceNetworkAclEntryRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icmp_type_code: Option<IcmpTypeCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_acl_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_range: Option<PortRange>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_action: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule_number: Option<i32>,
}
