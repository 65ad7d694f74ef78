//! Elastic IPs, and who has which public address.

use crate::store::{Tags, Version};
use hive_types::id::{AccountId, AddressAssociationId, AllocationId, NetworkInterfaceId};
use ipnet::Ipv6Net;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

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

/// What of the region's pools somebody may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claimed {
    Address(Ipv4Addr),
    /// A VPC's, no longer than 64 bits.
    Block(Ipv6Net),
}

impl fmt::Display for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Block(block) => block.fmt(f),
        }
    }
}

impl Claimed {
    /// `203-0-113-7`, `v6-20010db812345600-56`: a key has no dots of its own, and no colons.
    pub fn key(self) -> String {
        match self {
            Self::Address(address) => address.to_string().replace('.', "-"),
            Self::Block(block) => format!("v6-{:016x}-{}", block.network().to_bits() >> 64, block.prefix_len()),
        }
    }

    pub fn of_key(key: &str) -> Option<Self> {
        let Some(block) = key.strip_prefix("v6-") else {
            return key.replace('-', ".").parse().ok().map(Self::Address);
        };
        let (bits, length) = block.split_once('-')?;
        let address = Ipv6Addr::from_bits(u128::from(u64::from_str_radix(bits, 16).ok()?) << 64);
        Ipv6Net::new(address, length.parse().ok()?).ok().map(Self::Block)
    }
}

/// A public address, or block, that somebody has. Its key says which, so nobody else can; its owner is a record of the account's network,
/// and without one the claim is of a call that failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PublicAddressRecord {
    pub version: Version<1>,
    pub account: AccountId,
    /// An allocation, an interface, or the association of a VPC's block.
    pub owner: String,
    pub since: Timestamp,
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

    /// Whether a claim is somebody's.
    pub fn has_public_owner(&self, claimed: Claimed, owner: &str) -> bool {
        let address = match claimed {
            Claimed::Address(address) => address,
            Claimed::Block(block) => {
                let mut blocks = self.vpcs.values().flat_map(|vpc| &vpc.ipv6_blocks);
                return blocks.any(|b| b.association_id.as_str() == owner && b.cidr == block);
            }
        };
        let elastic = self.addresses.values().any(|a| a.allocation_id.as_str() == owner && a.public_ip == address);
        elastic || self.interfaces.values().any(|i| i.interface_id.as_str() == owner && i.public_ip == Some(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claims_key_says_what_is_claimed() {
        for (text, key) in [("203.0.113.7", "203-0-113-7"), ("2001:db8:1234:5600::/56", "v6-20010db812345600-56")] {
            let claimed = text.parse().map(Claimed::Address).or_else(|_| text.parse().map(Claimed::Block));
            let claimed = claimed.expect("an address or a block");
            assert_eq!((claimed.key().as_str(), Claimed::of_key(key)), (key, Some(claimed)));
        }
        for bad in ["", "v6-", "v6-1-129", "v6-1", "v6-zz-56", "head"] {
            assert_eq!(Claimed::of_key(bad), None, "{bad}");
        }
    }
}
