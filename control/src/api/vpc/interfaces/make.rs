//! What a new interface is made of, for all calls that make one.

use crate::error::{Error, invalid, limit, network as fault, not_found};
use crate::store::{InterfaceOwner, InterfaceRecord, Network, SecurityGroupRecord, SubnetRecord, Tags, Version};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::{NetworkInterfaceId, SecurityGroupId, SubnetId};
use jiff::Timestamp;
use std::net::Ipv4Addr;

use super::super::default::DEFAULT_GROUP;
use super::ipv6::{WantedIpv6, assign_all};

/// EC2's default quota.
const MAX_INTERFACES: usize = 5000;
/// EC2's default quota.
pub const MAX_GROUPS_PER_INTERFACE: usize = 5;
/// The most that any instance type here allows, so the most that may ever be used.
pub const MAX_ADDRESSES: usize = 50;

/// An interface as asked for.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub subnet_id: SubnetId,
    /// None: the VPC's default group.
    pub groups: Vec<SecurityGroupId>,
    pub private_ip: Option<Ipv4Addr>,
    pub secondary_ips: Vec<Ipv4Addr>,
    /// So many more of any addresses.
    pub secondary_count: usize,
    pub ipv6: WantedIpv6,
    pub description: String,
    pub tags: Tags,
}

pub fn parse_address(name: &str, text: &str) -> Result<Ipv4Addr, Error> {
    text.parse().map_err(|_| invalid(name, text, "Invalid IPv4 address."))
}

/// Gives `interface` an address of the subnet.
///
/// # Errors
/// It is not the subnet's to give, or somebody's; or none is free.
pub fn assign(
    subnet: &mut SubnetRecord,
    interface: &NetworkInterfaceId,
    wanted: Option<Ipv4Addr>,
) -> Result<Ipv4Addr, Error> {
    if let Some(address) = wanted {
        if !subnet.cidr.contains(&address) {
            let reason = "Address does not fall within the subnet's address range";
            return Err(invalid("privateIpAddress", address, reason));
        }
        if !subnet.may_assign(address) {
            return Err(invalid("privateIpAddress", address, "Address is in subnet's reserved address range"));
        }
    }
    subnet.assign(interface, wanted).ok_or_else(|| match wanted {
        Some(address) => fault(NetworkFault::AddressInUse, format!("Address {address} is in use.")),
        None => {
            let reason = format!(
                "There are not enough free addresses in subnet '{}' to satisfy the requested number of instances.",
                subnet.subnet_id
            );
            fault(NetworkFault::SubnetFull, reason)
        }
    })
}

/// The groups, each there and of the subnet's VPC; none named is the default one.
pub fn check_groups(
    network: &Network,
    subnet: &SubnetRecord,
    ids: &[SecurityGroupId],
) -> Result<Vec<SecurityGroupId>, Error> {
    let in_vpc = |group: &&SecurityGroupRecord| group.vpc_id == subnet.vpc_id;
    let mut groups: Vec<SecurityGroupId> = Vec::new();
    for id in ids {
        let found = network.groups.get(id).filter(in_vpc).ok_or_else(|| not_found(Resource::SecurityGroup, id))?;
        if !groups.contains(&found.group_id) {
            groups.push(found.group_id.clone());
        }
    }
    if groups.len() > MAX_GROUPS_PER_INTERFACE {
        let reason = format!("An interface has at most {MAX_GROUPS_PER_INTERFACE} security groups.");
        return Err(fault(NetworkFault::TooManyGroups, reason));
    }
    if groups.is_empty() {
        let default = network.groups.values().filter(in_vpc).find(|group| group.name == DEFAULT_GROUP);
        groups.extend(default.map(|group| group.group_id.clone()));
    }
    Ok(groups)
}

/// Makes an interface with its addresses.
pub fn make(
    network: &mut Network,
    id: &NetworkInterfaceId,
    wanted: &Wanted,
    now: Timestamp,
) -> Result<InterfaceRecord, Error> {
    if network.interfaces.len() >= MAX_INTERFACES {
        return Err(limit(Resource::NetworkInterface, "The maximum number of network interfaces has been reached."));
    }
    if 1 + wanted.secondary_ips.len() + wanted.secondary_count > MAX_ADDRESSES {
        let reason = format!("An interface has at most {MAX_ADDRESSES} addresses.");
        return Err(fault(NetworkFault::TooManyAddresses, reason));
    }
    let groups = check_groups(network, network.get(&wanted.subnet_id)?, &wanted.groups)?;
    let subnet = network.get_mut::<SubnetRecord>(&wanted.subnet_id)?;
    // Those that are named first, so that no arbitrary one takes them.
    let mut secondary_ips =
        wanted.secondary_ips.iter().map(|ip| assign(subnet, id, Some(*ip))).collect::<Result<Vec<_>, _>>()?;
    let private_ip = assign(subnet, id, wanted.private_ip)?;
    for _ in 0..wanted.secondary_count {
        secondary_ips.push(assign(subnet, id, None)?);
    }
    if wanted.ipv6.len() > MAX_ADDRESSES {
        let reason = format!("An interface has at most {MAX_ADDRESSES} IPv6 addresses.");
        return Err(fault(NetworkFault::TooManyAddresses, reason));
    }
    let ipv6 = assign_all(subnet, id, &wanted.ipv6)?;
    let interface = InterfaceRecord {
        version: Version,
        interface_id: id.clone(),
        account: subnet.account.clone(),
        vpc_id: subnet.vpc_id.clone(),
        subnet_id: subnet.subnet_id.clone(),
        zone: subnet.zone.clone(),
        mac: mac_of(id),
        private_ip,
        secondary_ips,
        ipv6,
        primary_ipv6: wanted.ipv6.primary,
        public_ip: None,
        groups,
        description: wanted.description.clone(),
        source_dest_check: true,
        owner: InterfaceOwner::Account,
        attachment: None,
        created_at: now,
        tags: wanted.tags.clone(),
    };
    network.insert(interface.clone());
    Ok(interface)
}

/// A locally administered address from the interface's id: `02` and its last 40 bits.
fn mac_of(interface: &NetworkInterfaceId) -> String {
    let digits = interface.as_str().rsplit('-').next().unwrap_or_default();
    let tail = digits.get(digits.len().saturating_sub(10)..).unwrap_or_default();
    let tail = format!("{tail:0>10}");
    let bytes: Vec<&str> = (0..5).filter_map(|i| tail.get(2 * i..2 * i + 2)).collect();
    format!("02:{}", bytes.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn macs_are_local_unicast() {
        let long = "eni-0123456789abcdef0".parse().expect("an id");
        assert_eq!(mac_of(&long), "02:78:9a:bc:de:f0");
        let short = "eni-01234567".parse().expect("an id");
        assert_eq!(mac_of(&short), "02:00:01:23:45:67");
    }
}
