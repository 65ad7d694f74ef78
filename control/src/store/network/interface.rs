//! Network interfaces.

use crate::store::{Tags, Version};
use hive_types::id::{
    AccountId, AttachmentId, InstanceId, NatGatewayId, NetworkInterfaceId, SecurityGroupId, SubnetId, VpcId,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, Ipv6Addr};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InterfaceRecord {
    pub version: Version<1>,
    pub interface_id: NetworkInterfaceId,
    pub account: AccountId,
    pub vpc_id: VpcId,
    pub subnet_id: SubnetId,
    pub zone: String,
    /// `02:...`
    pub mac: String,
    pub private_ip: Ipv4Addr,
    pub secondary_ips: Vec<Ipv4Addr>,
    #[serde(default)]
    pub ipv6: Vec<Ipv6Addr>,
    /// The first of them stays for good.
    #[serde(default)]
    pub primary_ipv6: bool,
    /// Given at the launch, and gone with the instance's end or stop; an Elastic IP is its own record's matter.
    pub public_ip: Option<Ipv4Addr>,
    pub groups: Vec<SecurityGroupId>,
    pub description: String,
    pub source_dest_check: bool,
    pub owner: InterfaceOwner,
    pub attachment: Option<InterfaceAttachment>,
    pub created_at: Timestamp,
    pub tags: Tags,
}

/// What an interface was made for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceOwner {
    Account,
    NatGateway(NatGatewayId),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterfaceAttachment {
    pub attachment_id: AttachmentId,
    pub instance_id: InstanceId,
    /// 0: the primary one.
    pub device_index: u8,
    pub delete_on_termination: bool,
    pub attached_at: Timestamp,
}

impl InterfaceRecord {
    /// The primary address first.
    pub fn addresses(&self) -> impl Iterator<Item = Ipv4Addr> {
        std::iter::once(self.private_ip).chain(self.secondary_ips.iter().copied())
    }

    pub fn is_in_use(&self) -> bool {
        self.attachment.is_some() || self.owner != InterfaceOwner::Account
    }
}

/// A group with its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReference {
    pub group_id: SecurityGroupId,
    pub name: String,
}

impl super::Network {
    /// The interfaces of an instance, the primary one first.
    pub fn interfaces_of(&self, instance: &InstanceId) -> Vec<&InterfaceRecord> {
        let index = |interface: &InterfaceRecord| {
            let attachment = interface.attachment.as_ref().filter(|attached| attached.instance_id == *instance);
            attachment.map(|attached| attached.device_index)
        };
        let mut found: Vec<_> = self.interfaces.values().filter_map(|i| Some((index(i)?, i))).collect();
        found.sort_by_key(|(index, _)| *index);
        found.into_iter().map(|(_, interface)| interface).collect()
    }

    pub fn groups_of(&self, interface: &InterfaceRecord) -> Vec<GroupReference> {
        let reference = |id: &SecurityGroupId| {
            let name = self.groups.get(id).map(|group| group.name.clone()).unwrap_or_default();
            GroupReference { group_id: id.clone(), name }
        };
        interface.groups.iter().map(reference).collect()
    }
}
