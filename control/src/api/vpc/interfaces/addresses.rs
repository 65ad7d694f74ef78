//! Secondary addresses of an interface.

use super::super::super::{Api, Call};
use super::super::refuse;
use super::attach::check_addresses;
use super::{MAX_ADDRESSES, assign, check_own, find_id, instance_of, named_addresses, parse_address};
use crate::error::{Error, combination, invalid, missing, network as fault};
use crate::store::{InterfaceRecord, Network, SubnetRecord};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    AssignPrivateIpAddressesRequest, AssignPrivateIpAddressesResult, AssignedPrivateIpAddress,
    UnassignPrivateIpAddressesRequest,
};
use hive_types::error::NetworkFault;
use hive_types::id::NetworkInterfaceId;
use std::net::Ipv4Addr;
use std::sync::Arc;

fn parse_all(texts: &[String]) -> Result<Vec<Ipv4Addr>, Error> {
    texts.iter().map(|text| parse_address("privateIpAddresses", text)).collect()
}

/// Takes a secondary address from another interface, with the Elastic IP that it may have.
fn take(network: &mut Network, holder: &NetworkInterfaceId, address: Ipv4Addr) -> Result<(), Error> {
    let interface = network.get_mut::<InterfaceRecord>(holder)?;
    if interface.private_ip == address {
        let reason = "The primary address of an interface cannot be moved.";
        return Err(invalid("privateIpAddresses", address, reason));
    }
    interface.secondary_ips.retain(|ip| *ip != address);
    let subnet_id = interface.subnet_id.clone();
    network.get_mut::<SubnetRecord>(&subnet_id)?.addresses.remove(&address);
    drop_elastic(network, holder, address);
    Ok(())
}

fn drop_elastic(network: &mut Network, interface: &NetworkInterfaceId, address: Ipv4Addr) {
    for elastic in network.addresses.values_mut() {
        let is_its = elastic.association.as_ref();
        if is_its.is_some_and(|held| held.interface_id == *interface && held.private_ip == address) {
            elastic.association = None;
        }
    }
}

pub async fn assign_private_ip_addresses(
    api: Arc<Api>,
    call: Call,
    input: AssignPrivateIpAddressesRequest,
) -> Result<AssignPrivateIpAddressesResult, Error> {
    let prefixes = input.ipv4_prefix_count.is_some() || !input.ipv4_prefixes.is_empty();
    refuse(&[(prefixes, "Prefixes of addresses")])?;
    let id = find_id(input.network_interface_id.as_deref())?;
    let named = parse_all(&input.private_ip_addresses)?;
    let (_, _, count) = named_addresses(None, &[], input.secondary_private_ip_address_count)?;
    match (named.is_empty(), count) {
        (true, 0) => return Err(missing("privateIpAddresses")),
        (false, 1..) => return Err(combination("Secondary addresses may be named or counted, not both.")),
        _ => {}
    }
    let instance = instance_of(&api, &call, &id).await?;
    let assigned = api.change(&call, |network| {
        let interface = network.get::<InterfaceRecord>(&id)?.clone();
        check_own(&interface)?;
        if input.allow_reassignment == Some(true) {
            for address in &named {
                let holder = network.get::<SubnetRecord>(&interface.subnet_id)?.addresses.get(address).cloned();
                if let Some(holder) = holder.filter(|holder| *holder != id) {
                    take(network, &holder, *address)?;
                }
            }
        }
        let subnet = network.get_mut::<SubnetRecord>(&interface.subnet_id)?;
        let mut new = Vec::new();
        for address in &named {
            new.push(assign(subnet, &id, Some(*address))?);
        }
        for _ in 0..count {
            new.push(assign(subnet, &id, None)?);
        }
        let interface = network.get_mut::<InterfaceRecord>(&id)?;
        interface.secondary_ips.extend(new.iter().copied());
        if interface.addresses().count() > MAX_ADDRESSES {
            let reason = format!("An interface has at most {MAX_ADDRESSES} addresses.");
            return Err(fault(NetworkFault::TooManyAddresses, reason));
        }
        if let Some(instance) = &instance {
            check_addresses(&instance.instance_type, interface)?;
        }
        Ok(new)
    });
    let (_, new) = assigned.await?;
    let show = |ip: Ipv4Addr| AssignedPrivateIpAddress { private_ip_address: Some(ip.to_string()) };
    Ok(AssignPrivateIpAddressesResult {
        assigned_private_ip_addresses: new.into_iter().map(show).collect(),
        network_interface_id: Some(id.to_string()),
        ..Default::default()
    })
}

pub async fn unassign_private_ip_addresses(
    api: Arc<Api>,
    call: Call,
    input: UnassignPrivateIpAddressesRequest,
) -> Result<Empty, Error> {
    refuse(&[(!input.ipv4_prefixes.is_empty(), "Prefixes of addresses")])?;
    let id = find_id(input.network_interface_id.as_deref())?;
    let named = parse_all(&input.private_ip_addresses)?;
    if named.is_empty() {
        return Err(missing("privateIpAddresses"));
    }
    let unassigned = api.change(&call, |network| {
        let interface = network.get::<InterfaceRecord>(&id)?;
        if let Some(absent) = named.iter().find(|address| !interface.secondary_ips.contains(address)) {
            let reason = format!("Some of the specified addresses are not assigned to interface {id}");
            return Err(invalid("privateIpAddresses", absent, reason));
        }
        named.iter().try_for_each(|address| take(network, &id, *address))
    });
    unassigned.await.map(|_| Empty {})
}
