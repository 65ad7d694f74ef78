//! IPv6 addresses of an interface.

use super::super::super::{Api, Call};
use super::super::refuse;
use super::attach::check_addresses;
use super::{MAX_ADDRESSES, check_own, find_id, instance_of};
use crate::error::{Error, combination, invalid, missing, network as fault, not_permitted, required};
use crate::random;
use crate::store::{InterfaceRecord, Network, SubnetRecord};
use hive_aws_types::ec2::{
    AssignIpv6AddressesRequest, AssignIpv6AddressesResult, InstanceIpv6Address, UnassignIpv6AddressesRequest,
    UnassignIpv6AddressesResult,
};
use hive_types::error::NetworkFault;
use hive_types::id::NetworkInterfaceId;
use std::net::Ipv6Addr;
use std::sync::Arc;

/// IPv6 addresses as asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WantedIpv6 {
    pub named: Vec<Ipv6Addr>,
    /// So many of any addresses. None, and none named: as the subnet has it.
    pub count: Option<usize>,
    /// The first one is the primary one.
    pub primary: bool,
}

fn parse(text: &str) -> Result<Ipv6Addr, Error> {
    text.parse().map_err(|_| invalid("ipv6Addresses", text, "Invalid IPv6 address."))
}

impl WantedIpv6 {
    pub fn check(named: &[InstanceIpv6Address], count: Option<i32>, primary: Option<bool>) -> Result<Self, Error> {
        let named: Result<Vec<_>, _> =
            named.iter().map(|one| parse(&required(one.ipv6_address.clone(), "Ipv6Address")?)).collect();
        let (named, count) = (named?, check_count(count)?);
        if !named.is_empty() && count.is_some() {
            return Err(combination("IPv6 addresses may be named or counted, not both."));
        }
        Ok(Self { named, count, primary: primary == Some(true) })
    }

    /// Whether the call says anything of them.
    pub fn asks(&self) -> bool {
        self.len() > 0 || self.primary
    }

    /// How many there will be at least.
    pub fn len(&self) -> usize {
        self.named.len() + self.count.unwrap_or(0)
    }
}

fn check_count(count: Option<i32>) -> Result<Option<usize>, Error> {
    let check = |count| {
        let within = usize::try_from(count).ok().filter(|count| *count <= MAX_ADDRESSES);
        let reason = || format!("An interface has at most {MAX_ADDRESSES} addresses.");
        within.ok_or_else(|| invalid("ipv6AddressCount", count, reason()))
    };
    count.map(check).transpose()
}

/// Gives an interface an address of the subnet.
fn assign(
    subnet: &mut SubnetRecord,
    interface: &NetworkInterfaceId,
    wanted: Option<Ipv6Addr>,
) -> Result<Ipv6Addr, Error> {
    let id = subnet.subnet_id.clone();
    let Some(block) = &mut subnet.ipv6 else {
        return Err(invalid("subnetId", &id, "The subnet has no IPv6 CIDR block."));
    };
    if let Some(address) = wanted {
        if !block.cidr.contains(&address) {
            let reason = "Address does not fall within the subnet's address range";
            return Err(invalid("ipv6Addresses", address, reason));
        }
        if !block.may_assign(address) {
            return Err(invalid("ipv6Addresses", address, "Address is in subnet's reserved address range"));
        }
    }
    block.assign(interface, wanted, random::draw()?).ok_or_else(|| match wanted {
        Some(address) => fault(NetworkFault::AddressInUse, format!("Address {address} is in use.")),
        None => fault(NetworkFault::SubnetFull, format!("Subnet '{id}' has the maximum number of IPv6 addresses.")),
    })
}

/// What a new interface gets.
pub fn assign_all(
    subnet: &mut SubnetRecord,
    interface: &NetworkInterfaceId,
    wanted: &WantedIpv6,
) -> Result<Vec<Ipv6Addr>, Error> {
    let by_default = usize::from(subnet.assign_ipv6_on_creation && wanted.named.is_empty());
    let count = wanted.count.unwrap_or(by_default);
    let named = wanted.named.iter().copied().map(Some);
    let all = named.chain(std::iter::repeat_n(None, count));
    let all = all.map(|wanted| assign(subnet, interface, wanted)).collect::<Result<Vec<_>, _>>()?;
    if wanted.primary && all.is_empty() {
        return Err(combination("A primary IPv6 address needs an IPv6 address."));
    }
    Ok(all)
}

pub async fn assign_ipv6_addresses(
    api: Arc<Api>,
    call: Call,
    input: AssignIpv6AddressesRequest,
) -> Result<AssignIpv6AddressesResult, Error> {
    let prefixes = input.ipv6_prefix_count.is_some() || !input.ipv6_prefixes.is_empty();
    refuse(&[(prefixes, "Prefixes of addresses")])?;
    let id = find_id(input.network_interface_id.as_deref())?;
    let named = input.ipv6_addresses.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
    let wanted = WantedIpv6 { named, count: check_count(input.ipv6_address_count)?, primary: false };
    match (wanted.named.is_empty(), wanted.count) {
        (true, None | Some(0)) => return Err(missing("ipv6Addresses")),
        (false, Some(_)) => return Err(combination("IPv6 addresses may be named or counted, not both.")),
        _ => {}
    }
    let instance = instance_of(&api, &call, &id).await?;
    let assigned = api.change(&call, |network: &mut Network| {
        let interface = network.get::<InterfaceRecord>(&id)?.clone();
        check_own(&interface)?;
        let subnet = network.get_mut::<SubnetRecord>(&interface.subnet_id)?;
        // None were asked for beside those of the call.
        let wanted = WantedIpv6 { count: Some(wanted.count.unwrap_or(0)), ..wanted.clone() };
        let new = assign_all(subnet, &id, &wanted)?;
        let interface = network.get_mut::<InterfaceRecord>(&id)?;
        interface.ipv6.extend(new.iter().copied());
        if interface.ipv6.len() > MAX_ADDRESSES {
            let reason = format!("An interface has at most {MAX_ADDRESSES} IPv6 addresses.");
            return Err(fault(NetworkFault::TooManyAddresses, reason));
        }
        if let Some(instance) = &instance {
            check_addresses(&instance.instance_type, interface)?;
        }
        Ok(new)
    });
    let (_, new) = assigned.await?;
    Ok(AssignIpv6AddressesResult {
        assigned_ipv6_addresses: new.iter().map(ToString::to_string).collect(),
        assigned_ipv6_prefixes: Vec::new(),
        network_interface_id: Some(id.to_string()),
    })
}

pub async fn unassign_ipv6_addresses(
    api: Arc<Api>,
    call: Call,
    input: UnassignIpv6AddressesRequest,
) -> Result<UnassignIpv6AddressesResult, Error> {
    refuse(&[(!input.ipv6_prefixes.is_empty(), "Prefixes of addresses")])?;
    let id = find_id(input.network_interface_id.as_deref())?;
    let named = input.ipv6_addresses.iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>()?;
    if named.is_empty() {
        return Err(missing("ipv6Addresses"));
    }
    let unassigned = api.change(&call, |network| {
        let interface = network.get_mut::<InterfaceRecord>(&id)?;
        if let Some(absent) = named.iter().find(|address| !interface.ipv6.contains(address)) {
            let reason = format!("Some of the specified addresses are not assigned to interface {id}");
            return Err(invalid("ipv6Addresses", absent, reason));
        }
        if interface.primary_ipv6 && interface.ipv6.first().is_some_and(|first| named.contains(first)) {
            return Err(not_permitted("The primary IPv6 address of an interface cannot be unassigned."));
        }
        interface.ipv6.retain(|address| !named.contains(address));
        let subnet_id = interface.subnet_id.clone();
        if let Some(block) = &mut network.get_mut::<SubnetRecord>(&subnet_id)?.ipv6 {
            block.addresses.retain(|address, _| !named.contains(address));
        }
        Ok(())
    });
    unassigned.await?;
    Ok(UnassignIpv6AddressesResult {
        network_interface_id: Some(id.to_string()),
        unassigned_ipv6_addresses: named.iter().map(ToString::to_string).collect(),
        unassigned_ipv6_prefixes: Vec::new(),
    })
}
