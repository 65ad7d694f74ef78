// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Creates an internet gateway for use with a VPC.
#[derive(Clone, Copy, Debug)]
pub struct CreateInternetGateway;

impl Operation for CreateInternetGateway {
    type Input = CreateInternetGatewayRequest;
    type Output = CreateInternetGatewayResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateInternetGateway";

    fn decode(members: Members) -> serde_json::Result<CreateInternetGatewayRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateInternetGatewayResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes the specified internet gateway.
#[derive(Clone, Copy, Debug)]
pub struct DeleteInternetGateway;

impl Operation for DeleteInternetGateway {
    type Input = DeleteInternetGatewayRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteInternetGateway";

    fn decode(members: Members) -> serde_json::Result<DeleteInternetGatewayRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Attaches an internet gateway or a virtual private gateway to a VPC, enabling connectivity between the internet and the VPC.
#[derive(Clone, Copy, Debug)]
pub struct AttachInternetGateway;

impl Operation for AttachInternetGateway {
    type Input = AttachInternetGatewayRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "AttachInternetGateway";

    fn decode(members: Members) -> serde_json::Result<AttachInternetGatewayRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Detaches an internet gateway from a VPC, disabling connectivity between the internet and the VPC.
#[derive(Clone, Copy, Debug)]
pub struct DetachInternetGateway;

impl Operation for DetachInternetGateway {
    type Input = DetachInternetGatewayRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DetachInternetGateway";

    fn decode(members: Members) -> serde_json::Result<DetachInternetGatewayRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes your internet gateways.
#[derive(Clone, Copy, Debug)]
pub struct DescribeInternetGateways;

impl Operation for DescribeInternetGateways {
    type Input = DescribeInternetGatewaysRequest;
    type Output = DescribeInternetGatewaysResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeInternetGateways";

    fn decode(members: Members) -> serde_json::Result<DescribeInternetGatewaysRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeInternetGatewaysResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Creates a route table for the specified VPC.
#[derive(Clone, Copy, Debug)]
pub struct CreateRouteTable;

impl Operation for CreateRouteTable {
    type Input = CreateRouteTableRequest;
    type Output = CreateRouteTableResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateRouteTable";

    fn decode(members: Members) -> serde_json::Result<CreateRouteTableRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateRouteTableResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes the specified route table.
#[derive(Clone, Copy, Debug)]
pub struct DeleteRouteTable;

impl Operation for DeleteRouteTable {
    type Input = DeleteRouteTableRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteRouteTable";

    fn decode(members: Members) -> serde_json::Result<DeleteRouteTableRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes your route tables.
#[derive(Clone, Copy, Debug)]
pub struct DescribeRouteTables;

impl Operation for DescribeRouteTables {
    type Input = DescribeRouteTablesRequest;
    type Output = DescribeRouteTablesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeRouteTables";

    fn decode(members: Members) -> serde_json::Result<DescribeRouteTablesRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeRouteTablesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Associates a subnet in your VPC or an internet gateway or virtual private gateway attached to your VPC with a route table in your VPC.
#[derive(Clone, Copy, Debug)]
pub struct AssociateRouteTable;

impl Operation for AssociateRouteTable {
    type Input = AssociateRouteTableRequest;
    type Output = AssociateRouteTableResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "AssociateRouteTable";

    fn decode(members: Members) -> serde_json::Result<AssociateRouteTableRequest> {
        crate::decode(members)
    }

    fn encode(output: &AssociateRouteTableResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Disassociates a subnet or gateway from a route table.
#[derive(Clone, Copy, Debug)]
pub struct DisassociateRouteTable;

impl Operation for DisassociateRouteTable {
    type Input = DisassociateRouteTableRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DisassociateRouteTable";

    fn decode(members: Members) -> serde_json::Result<DisassociateRouteTableRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Changes the route table associated with a given subnet, internet gateway, or virtual private gateway in a VPC.
#[derive(Clone, Copy, Debug)]
pub struct ReplaceRouteTableAssociation;

impl Operation for ReplaceRouteTableAssociation {
    type Input = ReplaceRouteTableAssociationRequest;
    type Output = ReplaceRouteTableAssociationResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ReplaceRouteTableAssociation";

    fn decode(members: Members) -> serde_json::Result<ReplaceRouteTableAssociationRequest> {
        crate::decode(members)
    }

    fn encode(output: &ReplaceRouteTableAssociationResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Creates a route in a route table within a VPC.
#[derive(Clone, Copy, Debug)]
pub struct CreateRoute;

impl Operation for CreateRoute {
    type Input = CreateRouteRequest;
    type Output = CreateRouteResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateRoute";

    fn decode(members: Members) -> serde_json::Result<CreateRouteRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateRouteResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Replaces an existing route within a route table in a VPC.
#[derive(Clone, Copy, Debug)]
pub struct ReplaceRoute;

impl Operation for ReplaceRoute {
    type Input = ReplaceRouteRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ReplaceRoute";

    fn decode(members: Members) -> serde_json::Result<ReplaceRouteRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes the specified route from the specified route table.
#[derive(Clone, Copy, Debug)]
pub struct DeleteRoute;

impl Operation for DeleteRoute {
    type Input = DeleteRouteRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteRoute";

    fn decode(members: Members) -> serde_json::Result<DeleteRouteRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// (IPv6 only) Creates an egress-only internet gateway for your VPC.
#[derive(Clone, Copy, Debug)]
pub struct CreateEgressOnlyInternetGateway;

impl Operation for CreateEgressOnlyInternetGateway {
    type Input = CreateEgressOnlyInternetGatewayRequest;
    type Output = CreateEgressOnlyInternetGatewayResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateEgressOnlyInternetGateway";

    fn decode(members: Members) -> serde_json::Result<CreateEgressOnlyInternetGatewayRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateEgressOnlyInternetGatewayResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes an egress-only internet gateway.
#[derive(Clone, Copy, Debug)]
pub struct DeleteEgressOnlyInternetGateway;

impl Operation for DeleteEgressOnlyInternetGateway {
    type Input = DeleteEgressOnlyInternetGatewayRequest;
    type Output = DeleteEgressOnlyInternetGatewayResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteEgressOnlyInternetGateway";

    fn decode(members: Members) -> serde_json::Result<DeleteEgressOnlyInternetGatewayRequest> {
        crate::decode(members)
    }

    fn encode(output: &DeleteEgressOnlyInternetGatewayResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes your egress-only internet gateways.
#[derive(Clone, Copy, Debug)]
pub struct DescribeEgressOnlyInternetGateways;

impl Operation for DescribeEgressOnlyInternetGateways {
    type Input = DescribeEgressOnlyInternetGatewaysRequest;
    type Output = DescribeEgressOnlyInternetGatewaysResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeEgressOnlyInternetGateways";

    fn decode(members: Members) -> serde_json::Result<DescribeEgressOnlyInternetGatewaysRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeEgressOnlyInternetGatewaysResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AssociateRouteTableRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ipv4_pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AssociateRouteTableResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_state: Option<RouteTableAssociationState>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AttachInternetGatewayRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateEgressOnlyInternetGatewayRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateEgressOnlyInternetGatewayResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_only_internet_gateway: Option<EgressOnlyInternetGateway>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateInternetGatewayRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateInternetGatewayResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_gateway: Option<InternetGateway>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateRouteRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_network_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_only_internet_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub odb_network_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transit_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_endpoint_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_peering_connection_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateRouteResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#return: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateRouteTableRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateRouteTableResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table: Option<RouteTable>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteEgressOnlyInternetGatewayRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_only_internet_gateway_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteEgressOnlyInternetGatewayResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_code: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteInternetGatewayRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_gateway_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteRouteRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteRouteTableRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeEgressOnlyInternetGatewaysRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub egress_only_internet_gateway_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeEgressOnlyInternetGatewaysResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub egress_only_internet_gateways: Vec<EgressOnlyInternetGateway>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeInternetGatewaysRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub internet_gateway_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeInternetGatewaysResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub internet_gateways: Vec<InternetGateway>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeRouteTablesRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub route_table_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeRouteTablesResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub route_tables: Vec<RouteTable>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DetachInternetGatewayRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DisassociateRouteTableRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EgressOnlyInternetGateway {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<InternetGatewayAttachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_only_internet_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InternetGateway {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<InternetGatewayAttachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internet_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InternetGatewayAttachment {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PropagatingVgw {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReplaceRouteRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_network_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_only_internet_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_target: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub odb_network_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transit_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_endpoint_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_peering_connection_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReplaceRouteTableAssociationRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ReplaceRouteTableAssociationResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_state: Option<RouteTableAssociationState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_association_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Route {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_network_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_ipv6_cidr_block: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_prefix_list_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress_only_internet_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nat_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub odb_network_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transit_gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_peering_connection_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RouteTable {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub associations: Vec<RouteTableAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub propagating_vgws: Vec<PropagatingVgw>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RouteTableAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_state: Option<RouteTableAssociationState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub main: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ipv4_pool: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table_association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route_table_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RouteTableAssociationState {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
}
