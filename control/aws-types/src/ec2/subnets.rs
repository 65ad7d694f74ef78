// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Creates a subnet in the specified VPC.
#[derive(Clone, Copy, Debug)]
pub struct CreateSubnet;

impl Operation for CreateSubnet {
    type Input = CreateSubnetRequest;
    type Output = CreateSubnetResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateSubnet";

    fn decode(members: Members) -> serde_json::Result<CreateSubnetRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateSubnetResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Creates a default subnet with a size /20 IPv4 CIDR block in the specified Availability Zone in your default VPC.
#[derive(Clone, Copy, Debug)]
pub struct CreateDefaultSubnet;

impl Operation for CreateDefaultSubnet {
    type Input = CreateDefaultSubnetRequest;
    type Output = CreateDefaultSubnetResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateDefaultSubnet";

    fn decode(members: Members) -> serde_json::Result<CreateDefaultSubnetRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateDefaultSubnetResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes the specified subnet.
#[derive(Clone, Copy, Debug)]
pub struct DeleteSubnet;

impl Operation for DeleteSubnet {
    type Input = DeleteSubnetRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteSubnet";

    fn decode(members: Members) -> serde_json::Result<DeleteSubnetRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes your subnets.
#[derive(Clone, Copy, Debug)]
pub struct DescribeSubnets;

impl Operation for DescribeSubnets {
    type Input = DescribeSubnetsRequest;
    type Output = DescribeSubnetsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeSubnets";

    fn decode(members: Members) -> serde_json::Result<DescribeSubnetsRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeSubnetsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Modifies a subnet attribute.
#[derive(Clone, Copy, Debug)]
pub struct ModifySubnetAttribute;

impl Operation for ModifySubnetAttribute {
    type Input = ModifySubnetAttributeRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ModifySubnetAttribute";

    fn decode(members: Members) -> serde_json::Result<ModifySubnetAttributeRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Associates a CIDR block with your subnet.
#[derive(Clone, Copy, Debug)]
pub struct AssociateSubnetCidrBlock;

impl Operation for AssociateSubnetCidrBlock {
    type Input = AssociateSubnetCidrBlockRequest;
    type Output = AssociateSubnetCidrBlockResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "AssociateSubnetCidrBlock";

    fn decode(members: Members) -> serde_json::Result<AssociateSubnetCidrBlockRequest> {
        crate::decode(members)
    }

    fn encode(output: &AssociateSubnetCidrBlockResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Disassociates a CIDR block from a subnet.
#[derive(Clone, Copy, Debug)]
pub struct DisassociateSubnetCidrBlock;

impl Operation for DisassociateSubnetCidrBlock {
    type Input = DisassociateSubnetCidrBlockRequest;
    type Output = DisassociateSubnetCidrBlockResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DisassociateSubnetCidrBlock";

    fn decode(members: Members) -> serde_json::Result<DisassociateSubnetCidrBlockRequest> {
        crate::decode(members)
    }

    fn encode(output: &DisassociateSubnetCidrBlockResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AssociateSubnetCidrBlockRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_ipam_pool_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_netmask_length: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AssociateSubnetCidrBlockResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block_association: Option<SubnetIpv6CidrBlockAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateDefaultSubnetRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_native: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateDefaultSubnetResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Subnet>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateSubnetRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_ipam_pool_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_netmask_length: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_ipam_pool_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_native: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_netmask_length: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpost_arn: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateSubnetResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet: Option<Subnet>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteSubnetRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeSubnetsRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subnet_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeSubnetsResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<Subnet>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DisassociateSubnetCidrBlockRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DisassociateSubnetCidrBlockResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block_association: Option<SubnetIpv6CidrBlockAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifySubnetAttributeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assign_ipv6_address_on_creation: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_owned_ipv4_pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_lni_at_device_index: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_dns64: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_lni_at_device_index: Option<i32>,
    #[serde(rename = "EnableResourceNameDnsAAAARecordOnLaunch", skip_serializing_if = "Option::is_none")]
    pub enable_resource_name_dns_aaaa_record_on_launch: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_resource_name_dns_a_record_on_launch: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_customer_owned_ip_on_launch: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_public_ip_on_launch: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_dns_hostname_type_on_launch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PrivateDnsNameOptionsOnLaunch {
    #[serde(rename = "EnableResourceNameDnsAAAARecord", skip_serializing_if = "Option::is_none")]
    pub enable_resource_name_dns_aaaa_record: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_resource_name_dns_a_record: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Subnet {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assign_ipv6_address_on_creation: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub available_ip_address_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_public_access_states: Option<BlockPublicAccessStates>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_owned_ipv4_pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_for_az: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_dns64: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_lni_at_device_index: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_cidr_block_association_set: Vec<SubnetIpv6CidrBlockAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_native: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_customer_owned_ip_on_launch: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_public_ip_on_launch: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpost_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_dns_name_options_on_launch: Option<PrivateDnsNameOptionsOnLaunch>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SubnetCidrBlockState {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SubnetIpv6CidrBlockAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_address_attribute: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block_state: Option<SubnetCidrBlockState>,
}
