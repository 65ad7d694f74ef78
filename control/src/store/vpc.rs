//! VPCs, subnets with their addresses, security groups.

use super::{Tags, Version};
use hive_types::id::{AccountId, NetworkInterfaceId, SecurityGroupId, SubnetId, VpcId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VpcRecord {
    pub version: Version<1>,
    pub vpc_id: VpcId,
    pub account: AccountId,
    pub network: Ipv4Addr,
    pub prefix_len: u8,
    pub is_default: bool,
    pub tags: Tags,
}

/// First addresses of a subnet that AWS keeps: network, router, DNS, future use.
const RESERVED_FIRST: u32 = 4;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubnetRecord {
    pub version: Version<1>,
    pub subnet_id: SubnetId,
    pub vpc_id: VpcId,
    pub account: AccountId,
    pub zone: String,
    pub network: Ipv4Addr,
    pub prefix_len: u8,
    pub is_default: bool,
    /// Who has which address, since when. In the subnet's own value, so that one compare-and-swap gives an address to one only.
    pub addresses: BTreeMap<Ipv4Addr, (NetworkInterfaceId, Timestamp)>,
    pub tags: Tags,
}

impl SubnetRecord {
    pub fn key(&self) -> String {
        super::key(&self.account, &self.subnet_id)
    }

    fn first(&self) -> u32 {
        u32::from(self.network)
    }

    /// The broadcast address, kept as well.
    fn last(&self) -> u32 {
        self.first() | u32::MAX.checked_shr(u32::from(self.prefix_len)).unwrap_or(0)
    }

    /// The address may be given to an interface.
    pub fn may_assign(&self, address: Ipv4Addr) -> bool {
        (self.first() + RESERVED_FIRST..self.last()).contains(&u32::from(address))
    }

    pub fn router(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.first() + 1)
    }

    pub fn dns(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.first() + 2)
    }

    pub fn available(&self) -> usize {
        let all = usize::try_from(self.last().saturating_sub(self.first() + RESERVED_FIRST)).unwrap_or(usize::MAX);
        all.saturating_sub(self.addresses.len())
    }

    /// Gives `interface` the address `wanted`, or the lowest free one; the one that it has already, when asked again. None when
    /// `wanted` is somebody else's, or nothing is free.
    pub fn assign(
        &mut self,
        interface: &NetworkInterfaceId,
        wanted: Option<Ipv4Addr>,
        now: Timestamp,
    ) -> Option<Ipv4Addr> {
        if let Some((address, _)) = self.addresses.iter().find(|(_, (owner, _))| owner == interface) {
            return Some(*address);
        }
        let is_free = |address: &Ipv4Addr| self.may_assign(*address) && !self.addresses.contains_key(address);
        let address = match wanted {
            Some(address) => Some(address).filter(is_free),
            None => (self.first() + RESERVED_FIRST..self.last()).map(Ipv4Addr::from).find(is_free),
        }?;
        self.addresses.insert(address, (interface.clone(), now));
        Some(address)
    }

    pub fn release(&mut self, interface: &NetworkInterfaceId) {
        self.addresses.retain(|_, (owner, _)| owner != interface);
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SecurityGroupRecord {
    pub version: Version<1>,
    pub group_id: SecurityGroupId,
    pub vpc_id: VpcId,
    pub account: AccountId,
    pub name: String,
    pub description: String,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupReference {
    pub group_id: SecurityGroupId,
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subnet(prefix_len: u8) -> SubnetRecord {
        SubnetRecord {
            version: Version,
            subnet_id: SubnetId::from_random(1),
            vpc_id: VpcId::from_random(1),
            account: "123456789012".parse().expect("an account"),
            zone: "us-east-1a".into(),
            network: Ipv4Addr::new(172, 31, 0, 0),
            prefix_len,
            is_default: true,
            addresses: BTreeMap::new(),
            tags: Tags::new(),
        }
    }

    #[test]
    fn the_smallest_subnet_has_eleven_addresses() {
        let mut subnet = subnet(28);
        assert_eq!(subnet.available(), 11);
        let given: Vec<_> =
            (0..12).map(|i| subnet.assign(&NetworkInterfaceId::from_random(i), None, Timestamp::UNIX_EPOCH)).collect();
        assert_eq!(given[0], Some(Ipv4Addr::new(172, 31, 0, 4)));
        assert_eq!(given[10], Some(Ipv4Addr::new(172, 31, 0, 14)));
        assert_eq!(given[11], None);
        assert_eq!(subnet.available(), 0);
    }

    proptest! {
        #[test]
        fn no_address_has_two_owners(steps in proptest::collection::vec((0u128..20, proptest::option::of(0u8..20), any::<bool>()), 0..80)) {
            let mut subnet = subnet(28);
            for (id, wanted, release) in steps {
                let interface = NetworkInterfaceId::from_random(id);
                if release {
                    subnet.release(&interface);
                    continue;
                }
                let before = subnet.addresses.clone();
                let wanted = wanted.map(|last| Ipv4Addr::new(172, 31, 0, last));
                if let Some(address) = subnet.assign(&interface, wanted, Timestamp::UNIX_EPOCH) {
                    prop_assert!(subnet.may_assign(address));
                    prop_assert!(before.get(&address).is_none_or(|(owner, _)| *owner == interface));
                } else {
                    prop_assert_eq!(&subnet.addresses, &before);
                }
            }
        }
    }
}
