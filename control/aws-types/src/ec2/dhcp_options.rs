// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Creates a custom set of DHCP options.
#[derive(Clone, Copy, Debug)]
pub struct CreateDhcpOptions;

impl Operation for CreateDhcpOptions {
    type Input = CreateDhcpOptionsRequest;
    type Output = CreateDhcpOptionsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateDhcpOptions";

    fn decode(members: Members) -> serde_json::Result<CreateDhcpOptionsRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateDhcpOptionsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes the specified set of DHCP options.
#[derive(Clone, Copy, Debug)]
pub struct DeleteDhcpOptions;

impl Operation for DeleteDhcpOptions {
    type Input = DeleteDhcpOptionsRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteDhcpOptions";

    fn decode(members: Members) -> serde_json::Result<DeleteDhcpOptionsRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes your DHCP option sets.
#[derive(Clone, Copy, Debug)]
pub struct DescribeDhcpOptions;

impl Operation for DescribeDhcpOptions {
    type Input = DescribeDhcpOptionsRequest;
    type Output = DescribeDhcpOptionsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeDhcpOptions";

    fn decode(members: Members) -> serde_json::Result<DescribeDhcpOptionsRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeDhcpOptionsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Associates a set of DHCP options (that you've previously created) with the specified VPC, or associates no DHCP options with the VPC.
#[derive(Clone, Copy, Debug)]
pub struct AssociateDhcpOptions;

impl Operation for AssociateDhcpOptions {
    type Input = AssociateDhcpOptionsRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "AssociateDhcpOptions";

    fn decode(members: Members) -> serde_json::Result<AssociateDhcpOptionsRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AssociateDhcpOptionsRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp_options_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateDhcpOptionsRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dhcp_configurations: Vec<NewDhcpConfiguration>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateDhcpOptionsResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp_options: Option<DhcpOptions>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteDhcpOptionsRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp_options_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeDhcpOptionsRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dhcp_options_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeDhcpOptionsResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dhcp_options: Vec<DhcpOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DhcpConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<AttributeValue>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DhcpOptions {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dhcp_configurations: Vec<DhcpConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp_options_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NewDhcpConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}
