//! VPCs, and subnets with their addresses.

use super::ipv6::{Ipv6Block, SubnetIpv6};
use crate::store::{Tags, Version};
use hive_types::id::{AccountId, CidrAssociationId, DhcpOptionsId, NetworkInterfaceId, SubnetId, VpcId};
use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VpcRecord {
    pub version: Version<1>,
    pub vpc_id: VpcId,
    pub account: AccountId,
    /// The one that it was made with first.
    pub blocks: Vec<CidrBlock>,
    #[serde(default)]
    pub ipv6_blocks: Vec<Ipv6Block>,
    pub is_default: bool,
    /// `default`; instances choose their own.
    pub tenancy: String,
    /// None: `default`, which is no options at all.
    pub dhcp_options: Option<DhcpOptionsId>,
    pub enable_dns_support: bool,
    pub enable_dns_hostnames: bool,
    pub enable_usage_metrics: bool,
    pub tags: Tags,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CidrBlock {
    pub association_id: CidrAssociationId,
    pub cidr: Ipv4Net,
}

impl VpcRecord {
    /// The block of the VPC that `cidr` lies in.
    pub fn block_of(&self, cidr: &Ipv4Net) -> Option<&CidrBlock> {
        self.blocks.iter().find(|block| block.cidr.contains(cidr))
    }

    pub fn overlaps(&self, cidr: &Ipv4Net) -> bool {
        self.blocks.iter().any(|block| overlap(&block.cidr, cidr))
    }
}

pub fn overlap(a: &Ipv4Net, b: &Ipv4Net) -> bool {
    a.contains(b) || b.contains(a)
}

/// First addresses of a subnet that AWS keeps: network, router, DNS, future use.
const RESERVED_FIRST: u32 = 4;
/// Addresses of one subnet in use, whatever its size: its record lists them, at up to 45 bytes each, and a record is one message of
/// the bus, 1 MiB at most.
pub const MAX_TAKEN: usize = 16_384;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SubnetRecord {
    pub version: Version<1>,
    pub subnet_id: SubnetId,
    pub vpc_id: VpcId,
    pub account: AccountId,
    pub zone: String,
    pub cidr: Ipv4Net,
    pub is_default: bool,
    pub map_public_ip_on_launch: bool,
    /// Who has which address.
    pub addresses: BTreeMap<Ipv4Addr, NetworkInterfaceId>,
    #[serde(default)]
    pub ipv6: Option<SubnetIpv6>,
    /// Interfaces get an IPv6 address unless their call says otherwise.
    #[serde(default)]
    pub assign_ipv6_on_creation: bool,
    pub tags: Tags,
}

impl SubnetRecord {
    fn first(&self) -> u32 {
        u32::from(self.cidr.network())
    }

    /// The broadcast address, kept as well.
    fn last(&self) -> u32 {
        u32::from(self.cidr.broadcast())
    }

    /// Saturating here and below: a damaged record may have any block.
    fn assignable(&self) -> std::ops::Range<u32> {
        self.first().saturating_add(RESERVED_FIRST)..self.last()
    }

    /// The address may be given to an interface.
    pub fn may_assign(&self, address: Ipv4Addr) -> bool {
        self.assignable().contains(&u32::from(address))
    }

    pub fn router(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.first().saturating_add(1))
    }

    pub fn dns(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.first().saturating_add(2))
    }

    pub fn available(&self) -> usize {
        self.assignable().len().min(MAX_TAKEN).saturating_sub(self.addresses.len())
    }

    /// Gives `interface` the address `wanted`, or the lowest free one. None when `wanted` is somebody's, or nothing is free.
    pub fn assign(&mut self, interface: &NetworkInterfaceId, wanted: Option<Ipv4Addr>) -> Option<Ipv4Addr> {
        if self.addresses.len() >= MAX_TAKEN {
            return None;
        }
        let is_free = |address: &Ipv4Addr| self.may_assign(*address) && !self.addresses.contains_key(address);
        let address = match wanted {
            Some(address) => Some(address).filter(is_free),
            None => self.assignable().map(Ipv4Addr::from).find(is_free),
        }?;
        self.addresses.insert(address, interface.clone());
        Some(address)
    }

    /// Takes back all addresses of an interface.
    pub fn release(&mut self, interface: &NetworkInterfaceId) {
        self.addresses.retain(|_, owner| owner != interface);
        if let Some(ipv6) = &mut self.ipv6 {
            ipv6.addresses.retain(|_, owner| owner != interface);
        }
    }
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
            cidr: Ipv4Net::new(Ipv4Addr::new(172, 31, 0, 0), prefix_len).expect("a network"),
            is_default: true,
            map_public_ip_on_launch: false,
            addresses: BTreeMap::new(),
            ipv6: None,
            assign_ipv6_on_creation: false,
            tags: Tags::new(),
        }
    }

    #[test]
    fn the_smallest_subnet_has_eleven_addresses() {
        let mut subnet = subnet(28);
        assert_eq!(subnet.available(), 11);
        let given: Vec<_> = (0..12).map(|i| subnet.assign(&NetworkInterfaceId::from_random(i), None)).collect();
        assert_eq!(given[0], Some(Ipv4Addr::new(172, 31, 0, 4)));
        assert_eq!(given[10], Some(Ipv4Addr::new(172, 31, 0, 14)));
        assert_eq!(given[11], None);
        assert_eq!(subnet.available(), 0);
    }

    /// A damaged record: no sum overflows.
    #[test]
    fn a_block_at_the_end_of_all_addresses_has_none_to_give() {
        let mut subnet = subnet(28);
        for block in ["255.255.255.255/32", "255.255.255.254/31"] {
            subnet.cidr = block.parse().expect("a block");
            assert_eq!((subnet.available(), subnet.assign(&NetworkInterfaceId::from_random(1), None)), (0, None));
            assert_eq!(subnet.router().octets()[0..3], subnet.dns().octets()[0..3]);
        }
    }

    /// The list of a large subnet's addresses still is one message.
    #[test]
    fn a_subnet_in_full_use_fits_a_message() {
        let mut subnet = subnet(16);
        subnet.cidr = "172.231.0.0/16".parse().expect("a block");
        assert_eq!(subnet.available(), MAX_TAKEN);
        let id = NetworkInterfaceId::from_random(u128::MAX);
        // From the end, where addresses are longest.
        for address in subnet.assignable().rev().take(MAX_TAKEN) {
            assert!(subnet.assign(&id, Some(address.into())).is_some());
        }
        assert_eq!((subnet.assign(&id, None), subnet.available()), (None, 0));
        subnet.ipv6 = Some(super::super::ipv6::tests::full());
        assert!(serde_json::to_vec(&subnet).expect("encoded").len() < 1_000_000);
    }

    #[test]
    fn the_five_reserved_addresses_are_nobodys() {
        let mut subnet = subnet(28);
        for last in [0, 1, 2, 3, 15, 16] {
            let wanted = Some(Ipv4Addr::new(172, 31, 0, last));
            assert_eq!(subnet.assign(&NetworkInterfaceId::from_random(1), wanted), None, "{last}");
        }
    }

    proptest! {
        #[test]
        fn blocks_overlap_when_they_share_an_address(a: u8, b: u8, a_len in 24u8..=32, b_len in 24u8..=32) {
            let block = |last, len| Ipv4Net::new(Ipv4Addr::new(10, 0, 0, last), len).expect("a block").trunc();
            let (a, b) = (block(a, a_len), block(b, b_len));
            let share = (0..=255).map(|last| Ipv4Addr::new(10, 0, 0, last)).any(|ip| a.contains(&ip) && b.contains(&ip));
            prop_assert_eq!(overlap(&a, &b), share);
        }

        #[test]
        fn no_address_has_two_owners(
            steps in proptest::collection::vec((0u128..20, proptest::option::of(0u8..20), any::<bool>()), 0..80),
        ) {
            let mut subnet = subnet(28);
            for (id, wanted, release) in steps {
                let interface = NetworkInterfaceId::from_random(id);
                if release {
                    subnet.release(&interface);
                    prop_assert!(!subnet.addresses.values().any(|owner| *owner == interface));
                    continue;
                }
                let before = subnet.addresses.clone();
                let wanted = wanted.map(|last| Ipv4Addr::new(172, 31, 0, last));
                if let Some(address) = subnet.assign(&interface, wanted) {
                    prop_assert!(subnet.may_assign(address));
                    prop_assert!(!before.contains_key(&address));
                } else {
                    prop_assert_eq!(&subnet.addresses, &before);
                }
            }
        }
    }
}
