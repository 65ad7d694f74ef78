//! Elastic IPs, and who has which public address.

use crate::store::{Tags, Version};
use hive_types::id::{AccountId, AddressAssociationId, AllocationId, NetworkInterfaceId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AddressRecord {
    pub version: Version<1>,
    pub allocation_id: AllocationId,
    pub account: AccountId,
    pub public_ip: Ipv4Addr,
    pub association: Option<AddressAssociation>,
    pub allocated_at: Timestamp,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressAssociation {
    pub association_id: AddressAssociationId,
    pub interface_id: NetworkInterfaceId,
    pub private_ip: Ipv4Addr,
}

/// A public address that somebody has. Its key is the address, so nobody else can; its owner is a record of the account's network,
/// and without one the claim is of a call that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublicAddressRecord {
    pub version: Version<1>,
    pub account: AccountId,
    /// An allocation, or an interface.
    pub owner: String,
    pub since: Timestamp,
}

impl PublicAddressRecord {
    /// `203-0-113-7`: a key has no dots of its own.
    pub fn key_of(address: Ipv4Addr) -> String {
        address.to_string().replace('.', "-")
    }

    pub fn address_of(key: &str) -> Option<Ipv4Addr> {
        key.replace('-', ".").parse().ok()
    }
}

impl super::Network {
    /// The Elastic IP of an interface's private address.
    pub fn elastic_ip(&self, interface: &NetworkInterfaceId, private_ip: Ipv4Addr) -> Option<&AddressRecord> {
        let is_its = |held: &AddressAssociation| held.interface_id == *interface && held.private_ip == private_ip;
        self.addresses.values().find(|address| address.association.as_ref().is_some_and(is_its))
    }

    /// The public address of an interface's private address: an Elastic IP goes before the one of the launch.
    pub fn public_ip(&self, interface: &super::InterfaceRecord, private_ip: Ipv4Addr) -> Option<Ipv4Addr> {
        let elastic = self.elastic_ip(&interface.interface_id, private_ip).map(|address| address.public_ip);
        elastic.or(interface.public_ip.filter(|_| private_ip == interface.private_ip))
    }

    /// Whether a claim of a public address is somebody's.
    pub fn has_public_owner(&self, address: Ipv4Addr, owner: &str) -> bool {
        let elastic = self.addresses.values().any(|a| a.allocation_id.as_str() == owner && a.public_ip == address);
        elastic || self.interfaces.values().any(|i| i.interface_id.as_str() == owner && i.public_ip == Some(address))
    }
}
