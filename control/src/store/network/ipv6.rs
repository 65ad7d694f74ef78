//! IPv6 blocks of VPCs and subnets.

use hive_types::id::{CidrAssociationId, NetworkInterfaceId, SubnetCidrAssociationId};
use ipnet::Ipv6Net;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv6Addr;

/// First addresses of a subnet that AWS keeps; the last one is kept too.
const RESERVED_FIRST: u128 = 4;
/// Addresses of one subnet in use: they are in its record beside those of IPv4, at up to 66 bytes each.
pub const MAX_TAKEN: usize = 3072;

/// A VPC's block, of the region's pools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Block {
    pub association_id: CidrAssociationId,
    pub cidr: Ipv6Net,
}

/// A subnet's block, and who has which address of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubnetIpv6 {
    pub association_id: SubnetCidrAssociationId,
    pub cidr: Ipv6Net,
    pub addresses: BTreeMap<Ipv6Addr, NetworkInterfaceId>,
}

impl SubnetIpv6 {
    /// The address may be given to an interface.
    pub fn may_assign(&self, address: Ipv6Addr) -> bool {
        let first = self.cidr.network().to_bits().saturating_add(RESERVED_FIRST);
        (first..self.cidr.broadcast().to_bits()).contains(&address.to_bits())
    }

    fn is_free(&self, address: Ipv6Addr) -> bool {
        self.may_assign(address) && !self.addresses.contains_key(&address)
    }

    /// Gives `interface` the address `wanted`, or a free one by way of `random`. None when `wanted` is somebody's, or there are too many.
    pub fn assign(
        &mut self,
        interface: &NetworkInterfaceId,
        wanted: Option<Ipv6Addr>,
        random: u128,
    ) -> Option<Ipv6Addr> {
        if self.addresses.len() >= MAX_TAKEN {
            return None;
        }
        let host = self.cidr.hostmask().to_bits();
        let at = |n: u128| Ipv6Addr::from_bits(self.cidr.network().to_bits() | random.wrapping_add(n) & host);
        let address = match wanted {
            Some(address) => Some(address).filter(|address| self.is_free(*address)),
            // One of so many in a row is nobody's.
            None => (0..=MAX_TAKEN as u128 + RESERVED_FIRST + 1).map(at).find(|address| self.is_free(*address)),
        }?;
        self.addresses.insert(address, interface.clone());
        Some(address)
    }
}

pub fn overlap(a: &Ipv6Net, b: &Ipv6Net) -> bool {
    a.contains(b) || b.contains(a)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    fn subnet() -> SubnetIpv6 {
        let cidr = "2001:db80:1234:5678::/64".parse().expect("a block");
        SubnetIpv6 { association_id: SubnetCidrAssociationId::from_random(1), cidr, addresses: BTreeMap::new() }
    }

    /// With addresses as long as any.
    pub fn full() -> SubnetIpv6 {
        let mut subnet = subnet();
        let (id, long) = (NetworkInterfaceId::from_random(u128::MAX), 0x1234_5678_1234_0000);
        while subnet.assign(&id, None, long).is_some() {}
        assert_eq!(subnet.addresses.len(), MAX_TAKEN);
        subnet
    }

    #[test]
    fn no_address_has_two_owners_and_the_first_four_and_the_last_none() {
        let mut subnet = subnet();
        let id = NetworkInterfaceId::from_random;
        let address = |last: &str| format!("2001:db80:1234:5678:{last}").parse::<Ipv6Addr>().expect("an address");
        for (n, nobody) in [":", ":1", ":2", ":3", "ffff:ffff:ffff:ffff"].into_iter().enumerate() {
            let nobody =
                if nobody == ":" { "2001:db80:1234:5678::".parse().expect("an address") } else { address(nobody) };
            assert_eq!(subnet.assign(&id(n as u128), Some(nobody), 0), None, "{nobody}");
        }
        assert_eq!(subnet.assign(&id(1), Some("2001:db80:1234:5679::5".parse().expect("an address")), 0), None);
        assert_eq!(subnet.assign(&id(1), None, 0), Some(address(":4")));
        assert_eq!(subnet.assign(&id(2), Some(address(":4")), 0), None);
        assert_eq!(subnet.assign(&id(2), None, 4), Some(address(":5")));
        assert_eq!(subnet.assign(&id(3), None, u128::MAX), Some(address(":6")), "behind the last comes the first");
    }
}
