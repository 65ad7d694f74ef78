// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::Operation;
use serde::{Deserialize, Serialize};

/// Creates an internet gateway for use with a VPC.
#[derive(Clone, Copy, Debug)]
pub struct CreateInternetGateway;

impl Operation for CreateInternetGateway {
    type Input = CreateInternetGatewayRequest;
    type Output = CreateInternetGatewayResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateInternetGateway";
}

/// Deletes the specified internet gateway.
#[derive(Clone, Copy, Debug)]
pub struct DeleteInternetGateway;

impl Operation for DeleteInternetGateway {
    type Input = DeleteInternetGatewayRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteInternetGateway";
}

/// Attaches an internet gateway or a virtual private gateway to a VPC, enabling connectivity between the internet and the VPC.
#[derive(Clone, Copy, Debug)]
pub struct AttachInternetGateway;

impl Operation for AttachInternetGateway {
    type Input = AttachInternetGatewayRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "AttachInternetGateway";
}

/// Detaches an internet gateway from a VPC, disabling connectivity between the internet and the VPC.
#[derive(Clone, Copy, Debug)]
pub struct DetachInternetGateway;

impl Operation for DetachInternetGateway {
    type Input = DetachInternetGatewayRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DetachInternetGateway";
}

/// Describes your internet gateways.
#[derive(Clone, Copy, Debug)]
pub struct DescribeInternetGateways;

impl Operation for DescribeInternetGateways {
    type Input = DescribeInternetGatewaysRequest;
    type Output = DescribeInternetGatewaysResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeInternetGateways";
}

/// Creates a route table for the specified VPC.
#[derive(Clone, Copy, Debug)]
pub struct CreateRouteTable;

impl Operation for CreateRouteTable {
    type Input = CreateRouteTableRequest;
    type Output = CreateRouteTableResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateRouteTable";
}

/// Deletes the specified route table.
#[derive(Clone, Copy, Debug)]
pub struct DeleteRouteTable;

impl Operation for DeleteRouteTable {
    type Input = DeleteRouteTableRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteRouteTable";
}

/// Describes your route tables.
#[derive(Clone, Copy, Debug)]
pub struct DescribeRouteTables;

impl Operation for DescribeRouteTables {
    type Input = DescribeRouteTablesRequest;
    type Output = DescribeRouteTablesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeRouteTables";
}

/// Associates a subnet in your VPC or an internet gateway or virtual private gateway attached to your VPC with a route table in your VPC.
#[derive(Clone, Copy, Debug)]
pub struct AssociateRouteTable;

impl Operation for AssociateRouteTable {
    type Input = AssociateRouteTableRequest;
    type Output = AssociateRouteTableResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "AssociateRouteTable";
}

/// Disassociates a subnet or gateway from a route table.
#[derive(Clone, Copy, Debug)]
pub struct DisassociateRouteTable;

impl Operation for DisassociateRouteTable {
    type Input = DisassociateRouteTableRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DisassociateRouteTable";
}

/// Changes the route table associated with a given subnet, internet gateway, or virtual private gateway in a VPC.
#[derive(Clone, Copy, Debug)]
pub struct ReplaceRouteTableAssociation;

impl Operation for ReplaceRouteTableAssociation {
    type Input = ReplaceRouteTableAssociationRequest;
    type Output = ReplaceRouteTableAssociationResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ReplaceRouteTableAssociation";
}

/// Creates a route in a route table within a VPC.
#[derive(Clone, Copy, Debug)]
pub struct CreateRoute;

impl Operation for CreateRoute {
    type Input = CreateRouteRequest;
    type Output = CreateRouteResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateRoute";
}

/// Replaces an existing route within a route table in a VPC.
#[derive(Clone, Copy, Debug)]
pub struct ReplaceRoute;

impl Operation for ReplaceRoute {
    type Input = ReplaceRouteRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ReplaceRoute";
}

/// Deletes the specified route from the specified route table.
#[derive(Clone, Copy, Debug)]
pub struct DeleteRoute;

impl Operation for DeleteRoute {
    type Input = DeleteRouteRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteRoute";
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
