// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Creates a VPC with the specified CIDR blocks.
#[derive(Clone, Copy, Debug)]
pub struct CreateVpc;

impl Operation for CreateVpc {
    type Input = CreateVpcRequest;
    type Output = CreateVpcResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateVpc";

    fn decode(members: Members) -> serde_json::Result<CreateVpcRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateVpcResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Creates a default VPC with a size /16 IPv4 CIDR block and a default subnet in each Availability Zone.
#[derive(Clone, Copy, Debug)]
pub struct CreateDefaultVpc;

impl Operation for CreateDefaultVpc {
    type Input = CreateDefaultVpcRequest;
    type Output = CreateDefaultVpcResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateDefaultVpc";

    fn decode(members: Members) -> serde_json::Result<CreateDefaultVpcRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateDefaultVpcResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes the specified VPC.
#[derive(Clone, Copy, Debug)]
pub struct DeleteVpc;

impl Operation for DeleteVpc {
    type Input = DeleteVpcRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteVpc";

    fn decode(members: Members) -> serde_json::Result<DeleteVpcRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes your VPCs.
#[derive(Clone, Copy, Debug)]
pub struct DescribeVpcs;

impl Operation for DescribeVpcs {
    type Input = DescribeVpcsRequest;
    type Output = DescribeVpcsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeVpcs";

    fn decode(members: Members) -> serde_json::Result<DescribeVpcsRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeVpcsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Modifies the specified attribute of the specified VPC.
#[derive(Clone, Copy, Debug)]
pub struct ModifyVpcAttribute;

impl Operation for ModifyVpcAttribute {
    type Input = ModifyVpcAttributeRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ModifyVpcAttribute";

    fn decode(members: Members) -> serde_json::Result<ModifyVpcAttributeRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the specified attribute of the specified VPC.
#[derive(Clone, Copy, Debug)]
pub struct DescribeVpcAttribute;

impl Operation for DescribeVpcAttribute {
    type Input = DescribeVpcAttributeRequest;
    type Output = DescribeVpcAttributeResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeVpcAttribute";

    fn decode(members: Members) -> serde_json::Result<DescribeVpcAttributeRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeVpcAttributeResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Associates a CIDR block with your VPC.
#[derive(Clone, Copy, Debug)]
pub struct AssociateVpcCidrBlock;

impl Operation for AssociateVpcCidrBlock {
    type Input = AssociateVpcCidrBlockRequest;
    type Output = AssociateVpcCidrBlockResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "AssociateVpcCidrBlock";

    fn decode(members: Members) -> serde_json::Result<AssociateVpcCidrBlockRequest> {
        crate::decode(members)
    }

    fn encode(output: &AssociateVpcCidrBlockResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Disassociates a CIDR block from a VPC.
#[derive(Clone, Copy, Debug)]
pub struct DisassociateVpcCidrBlock;

impl Operation for DisassociateVpcCidrBlock {
    type Input = DisassociateVpcCidrBlockRequest;
    type Output = DisassociateVpcCidrBlockResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DisassociateVpcCidrBlock";

    fn decode(members: Members) -> serde_json::Result<DisassociateVpcCidrBlockRequest> {
        crate::decode(members)
    }

    fn encode(output: &DisassociateVpcCidrBlockResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AssociateVpcCidrBlockRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amazon_provided_ipv6_cidr_block: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_ipam_pool_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_netmask_length: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block_network_border_group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_ipam_pool_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_netmask_length: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AssociateVpcCidrBlockResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_block_association: Option<VpcCidrBlockAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block_association: Option<VpcIpv6CidrBlockAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateDefaultVpcRequest {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateDefaultVpcResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc: Option<Vpc>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateVpcRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amazon_provided_ipv6_cidr_block: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_tenancy: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_ipam_pool_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_netmask_length: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block_network_border_group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_ipam_pool_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_netmask_length: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_pool: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_encryption_control: Option<VpcEncryptionControlConfiguration>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateVpcResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc: Option<Vpc>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteVpcRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeVpcAttributeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeVpcAttributeResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_dns_hostnames: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_dns_support: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_network_address_usage_metrics: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeVpcsRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vpc_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeVpcsResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vpcs: Vec<Vpc>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DisassociateVpcCidrBlockRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DisassociateVpcCidrBlockResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_block_association: Option<VpcCidrBlockAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block_association: Option<VpcIpv6CidrBlockAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifyVpcAttributeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_dns_hostnames: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_dns_support: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_network_address_usage_metrics: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Vpc {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_public_access_states: Option<BlockPublicAccessStates>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cidr_block_association_set: Vec<VpcCidrBlockAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dhcp_options_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_control: Option<VpcEncryptionControl>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_tenancy: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_cidr_block_association_set: Vec<VpcIpv6CidrBlockAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_default: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpcCidrBlockAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cidr_block_state: Option<VpcCidrBlockState>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpcCidrBlockState {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpcEncryptionControl {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_exclusions: Option<VpcEncryptionControlExclusions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_message: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_encryption_control_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpcEncryptionControlConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_gateway_v2_exclusion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_only_internet_gateway_exclusion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic_file_system_exclusion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_accelerator_exclusion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_gateway_exclusion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda_exclusion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat_gateway_exclusion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_private_gateway_exclusion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_lattice_exclusion: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_peering_exclusion: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpcEncryptionControlExclusion {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_message: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpcEncryptionControlExclusions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_gateway_v2: Option<VpcEncryptionControlExclusion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_only_internet_gateway: Option<VpcEncryptionControlExclusion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic_file_system: Option<VpcEncryptionControlExclusion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub global_accelerator: Option<VpcEncryptionControlExclusion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_gateway: Option<VpcEncryptionControlExclusion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lambda: Option<VpcEncryptionControlExclusion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat_gateway: Option<VpcEncryptionControlExclusion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_private_gateway: Option<VpcEncryptionControlExclusion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_lattice: Option<VpcEncryptionControlExclusion>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_peering: Option<VpcEncryptionControlExclusion>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VpcIpv6CidrBlockAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_address_attribute: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_cidr_block_state: Option<VpcCidrBlockState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_border_group: Option<String>,
}
