// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Creates a network interface in the specified subnet.
#[derive(Clone, Copy, Debug)]
pub struct CreateNetworkInterface;

impl Operation for CreateNetworkInterface {
    type Input = CreateNetworkInterfaceRequest;
    type Output = CreateNetworkInterfaceResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateNetworkInterface";

    fn decode(members: Members) -> serde_json::Result<CreateNetworkInterfaceRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateNetworkInterfaceResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes the specified network interface.
#[derive(Clone, Copy, Debug)]
pub struct DeleteNetworkInterface;

impl Operation for DeleteNetworkInterface {
    type Input = DeleteNetworkInterfaceRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteNetworkInterface";

    fn decode(members: Members) -> serde_json::Result<DeleteNetworkInterfaceRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the specified network interfaces or all your network interfaces.
#[derive(Clone, Copy, Debug)]
pub struct DescribeNetworkInterfaces;

impl Operation for DescribeNetworkInterfaces {
    type Input = DescribeNetworkInterfacesRequest;
    type Output = DescribeNetworkInterfacesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeNetworkInterfaces";

    fn decode(members: Members) -> serde_json::Result<DescribeNetworkInterfacesRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeNetworkInterfacesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Attaches a network interface to an instance.
#[derive(Clone, Copy, Debug)]
pub struct AttachNetworkInterface;

impl Operation for AttachNetworkInterface {
    type Input = AttachNetworkInterfaceRequest;
    type Output = AttachNetworkInterfaceResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "AttachNetworkInterface";

    fn decode(members: Members) -> serde_json::Result<AttachNetworkInterfaceRequest> {
        crate::decode(members)
    }

    fn encode(output: &AttachNetworkInterfaceResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Detaches a network interface from an instance.
#[derive(Clone, Copy, Debug)]
pub struct DetachNetworkInterface;

impl Operation for DetachNetworkInterface {
    type Input = DetachNetworkInterfaceRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DetachNetworkInterface";

    fn decode(members: Members) -> serde_json::Result<DetachNetworkInterfaceRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Modifies the specified network interface attribute.
#[derive(Clone, Copy, Debug)]
pub struct ModifyNetworkInterfaceAttribute;

impl Operation for ModifyNetworkInterfaceAttribute {
    type Input = ModifyNetworkInterfaceAttributeRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ModifyNetworkInterfaceAttribute";

    fn decode(members: Members) -> serde_json::Result<ModifyNetworkInterfaceAttributeRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes a network interface attribute.
#[derive(Clone, Copy, Debug)]
pub struct DescribeNetworkInterfaceAttribute;

impl Operation for DescribeNetworkInterfaceAttribute {
    type Input = DescribeNetworkInterfaceAttributeRequest;
    type Output = DescribeNetworkInterfaceAttributeResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeNetworkInterfaceAttribute";

    fn decode(members: Members) -> serde_json::Result<DescribeNetworkInterfaceAttributeRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeNetworkInterfaceAttributeResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Resets a network interface attribute.
#[derive(Clone, Copy, Debug)]
pub struct ResetNetworkInterfaceAttribute;

impl Operation for ResetNetworkInterfaceAttribute {
    type Input = ResetNetworkInterfaceAttributeRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ResetNetworkInterfaceAttribute";

    fn decode(members: Members) -> serde_json::Result<ResetNetworkInterfaceAttributeRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Assigns the specified secondary private IP addresses to the specified network interface.
#[derive(Clone, Copy, Debug)]
pub struct AssignPrivateIpAddresses;

impl Operation for AssignPrivateIpAddresses {
    type Input = AssignPrivateIpAddressesRequest;
    type Output = AssignPrivateIpAddressesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "AssignPrivateIpAddresses";

    fn decode(members: Members) -> serde_json::Result<AssignPrivateIpAddressesRequest> {
        crate::decode(members)
    }

    fn encode(output: &AssignPrivateIpAddressesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Unassigns the specified secondary private IP addresses or IPv4 Prefix Delegation prefixes from a network interface.
#[derive(Clone, Copy, Debug)]
pub struct UnassignPrivateIpAddresses;

impl Operation for UnassignPrivateIpAddresses {
    type Input = UnassignPrivateIpAddressesRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "UnassignPrivateIpAddresses";

    fn decode(members: Members) -> serde_json::Result<UnassignPrivateIpAddressesRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Assigns the specified IPv6 addresses to the specified network interface.
#[derive(Clone, Copy, Debug)]
pub struct AssignIpv6Addresses;

impl Operation for AssignIpv6Addresses {
    type Input = AssignIpv6AddressesRequest;
    type Output = AssignIpv6AddressesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "AssignIpv6Addresses";

    fn decode(members: Members) -> serde_json::Result<AssignIpv6AddressesRequest> {
        crate::decode(members)
    }

    fn encode(output: &AssignIpv6AddressesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Unassigns the specified IPv6 addresses or Prefix Delegation prefixes from a network interface.
#[derive(Clone, Copy, Debug)]
pub struct UnassignIpv6Addresses;

impl Operation for UnassignIpv6Addresses {
    type Input = UnassignIpv6AddressesRequest;
    type Output = UnassignIpv6AddressesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "UnassignIpv6Addresses";

    fn decode(members: Members) -> serde_json::Result<UnassignIpv6AddressesRequest> {
        crate::decode(members)
    }

    fn encode(output: &UnassignIpv6AddressesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AssignIpv6AddressesRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_address_count: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_prefix_count: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_prefixes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AssignIpv6AddressesResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assigned_ipv6_addresses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assigned_ipv6_prefixes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AssignPrivateIpAddressesRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_reassignment: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_prefix_count: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv4_prefixes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_ip_addresses: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary_private_ip_address_count: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AssignPrivateIpAddressesResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assigned_ipv4_prefixes: Vec<Ipv4PrefixSpecification>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assigned_private_ip_addresses: Vec<AssignedPrivateIpAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AssignedPrivateIpAddress {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AttachNetworkInterfaceRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_queue_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_specification: Option<EnaSrdSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_card_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AttachNetworkInterfaceResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_card_index: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AttachmentEnaSrdSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_udp_specification: Option<AttachmentEnaSrdUdpSpecification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AttachmentEnaSrdUdpSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_udp_enabled: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConnectionTrackingConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_established_timeout: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_stream_timeout: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_timeout: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateNetworkInterfaceRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_tracking_specification: Option<ConnectionTrackingSpecificationRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_primary_ipv6: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_prefix_count: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv4_prefixes: Vec<Ipv4PrefixSpecificationRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_address_count: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_addresses: Vec<InstanceIpv6Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_prefix_count: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_prefixes: Vec<Ipv6PrefixSpecificationRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_ip_addresses: Vec<PrivateIpAddressSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary_private_ip_address_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateNetworkInterfaceResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface: Option<NetworkInterface>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteNetworkInterfaceRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeNetworkInterfaceAttributeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeNetworkInterfaceAttributeResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub associate_public_ip_address: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<NetworkInterfaceAttachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupIdentifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_dest_check: Option<AttributeBooleanValue>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeNetworkInterfacesRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_managed_resources: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_interface_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeNetworkInterfacesResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_interfaces: Vec<NetworkInterface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DetachNetworkInterfaceRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EnaSrdSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_udp_specification: Option<EnaSrdUdpSpecification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EnaSrdUdpSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_udp_enabled: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipv4PrefixSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_prefix: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Ipv6PrefixSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_prefix: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifyNetworkInterfaceAttributeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub associate_public_ip_address: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub associated_subnet_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<NetworkInterfaceAttachmentChanges>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_tracking_specification: Option<ConnectionTrackingSpecificationRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_specification: Option<EnaSrdSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_primary_ipv6: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_dest_check: Option<AttributeBooleanValue>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkInterface {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub associated_subnets: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association: Option<NetworkInterfaceAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<NetworkInterfaceAttachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_tracking_configuration: Option<ConnectionTrackingConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deny_all_igw_traffic: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupIdentifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv4_prefixes: Vec<Ipv4PrefixSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_address: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_addresses: Vec<NetworkInterfaceIpv6Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_native: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_prefixes: Vec<Ipv6PrefixSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpost_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_ip_addresses: Vec<NetworkInterfacePrivateIpAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ip_dns_name_options: Option<PublicIpDnsNameOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requester_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requester_managed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_dest_check: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_set: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkInterfaceAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_owned_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkInterfaceAttachment {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_on_termination: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_queue_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_specification: Option<AttachmentEnaSrdSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_card_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkInterfaceAttachmentChanges {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_ena_queue_count: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_on_termination: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_queue_count: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkInterfaceIpv6Address {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_primary_ipv6: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ipv6_dns_name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkInterfacePrivateIpAddress {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association: Option<NetworkInterfaceAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PublicIpDnsNameOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dns_hostname_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_dual_stack_dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ipv4_dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ipv6_dns_name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ResetNetworkInterfaceAttributeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_dest_check: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UnassignIpv6AddressesRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_addresses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_prefixes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UnassignIpv6AddressesResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unassigned_ipv6_addresses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unassigned_ipv6_prefixes: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UnassignPrivateIpAddressesRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv4_prefixes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_ip_addresses: Vec<String>,
}
