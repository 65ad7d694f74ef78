//! Ways out of a subnet, and what DHCP tells its machines.

use crate::store::{Tags, Version};
use hive_types::id::{
    AccountId, AddressAssociationId, AllocationId, DhcpOptionsId, EgressOnlyGatewayId, InternetGatewayId, NatGatewayId,
    NetworkInterfaceId, PrefixListId, RouteTableAssociationId, RouteTableId, SubnetId, VpcId,
};
use ipnet::{Ipv4Net, Ipv6Net};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InternetGatewayRecord {
    pub version: Version<1>,
    pub gateway_id: InternetGatewayId,
    pub account: AccountId,
    pub vpc_id: Option<VpcId>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EgressOnlyGatewayRecord {
    pub version: Version<1>,
    pub gateway_id: EgressOnlyGatewayId,
    pub account: AccountId,
    pub vpc_id: VpcId,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RouteTableRecord {
    pub version: Version<1>,
    pub route_table_id: RouteTableId,
    pub vpc_id: VpcId,
    pub account: AccountId,
    /// It serves the VPC's subnets that have no table of their own.
    pub main: Option<RouteTableAssociationId>,
    pub associations: BTreeMap<SubnetId, RouteTableAssociationId>,
    /// Beside the local ones, which follow from the VPC's blocks.
    pub routes: Vec<RouteRecord>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteRecord {
    pub destination: Destination,
    pub target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Destination {
    Ipv4(Ipv4Net),
    Ipv6(Ipv6Net),
    PrefixList(PrefixListId),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    InternetGateway(InternetGatewayId),
    EgressOnlyGateway(EgressOnlyGatewayId),
    NatGateway(NatGatewayId),
    Interface(NetworkInterfaceId),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NatGatewayRecord {
    pub version: Version<1>,
    pub nat_gateway_id: NatGatewayId,
    pub account: AccountId,
    pub vpc_id: VpcId,
    pub subnet_id: SubnetId,
    pub interface_id: NetworkInterfaceId,
    pub private_ip: Ipv4Addr,
    /// The Elastic IP of a public one, with its association and address.
    pub public: Option<(AllocationId, AddressAssociationId, Ipv4Addr)>,
    pub created_at: Timestamp,
    /// It is shown for a while after its end.
    pub deleted_at: Option<Timestamp>,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DhcpOptionsRecord {
    pub version: Version<1>,
    pub options_id: DhcpOptionsId,
    pub account: AccountId,
    /// Those that new VPCs get.
    pub is_default: bool,
    /// By their names, as given.
    pub options: BTreeMap<String, Vec<String>>,
    pub tags: Tags,
}

impl super::Network {
    /// Whether packets that take this route go anywhere.
    pub fn is_active(&self, table: &RouteTableRecord, target: &Target) -> bool {
        match target {
            Target::InternetGateway(id) => {
                self.internet_gateways.get(id).is_some_and(|gateway| gateway.vpc_id.as_ref() == Some(&table.vpc_id))
            }
            Target::EgressOnlyGateway(id) => {
                self.egress_only_gateways.get(id).is_some_and(|gateway| gateway.vpc_id == table.vpc_id)
            }
            Target::NatGateway(id) => self.nat_gateways.get(id).is_some_and(|gateway| gateway.deleted_at.is_none()),
            Target::Interface(id) => self.interfaces.get(id).is_some_and(|interface| interface.attachment.is_some()),
        }
    }

    /// The table that a subnet's packets go by.
    pub fn route_table_of(&self, subnet: &super::SubnetRecord) -> Option<&RouteTableRecord> {
        let mut of_vpc = self.route_tables.values().filter(|table| table.vpc_id == subnet.vpc_id);
        let own = of_vpc.clone().find(|table| table.associations.contains_key(&subnet.subnet_id));
        own.or_else(|| of_vpc.find(|table| table.main.is_some()))
    }
}
