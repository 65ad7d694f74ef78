//! Elastic IPs.

use super::super::filter::{Filterable, Filters};
use super::super::page::Page;
use super::super::{Api, Call, parse_id, parse_ids, tags};
use super::gateways::gateway_of;
use super::interfaces::{check_own, parse_address};
use super::{Seen, public, refuse};
use crate::error::{Error, combination, invalid, limit, missing, network as fault, not_found, unsupported};
use crate::random;
use crate::store::{
    AddressAssociation, AddressRecord, Claimed, InterfaceOwner, InterfaceRecord, Network, Tags, Version,
};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    Address, AddressAttribute, AllocateAddressRequest, AllocateAddressResult, AssociateAddressRequest,
    AssociateAddressResult, DescribeAddressesAttributeRequest, DescribeAddressesAttributeResult,
    DescribeAddressesRequest, DescribeAddressesResult, DisassociateAddressRequest, ReleaseAddressRequest,
};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::{AddressAssociationId, AllocationId, InstanceId, NetworkInterfaceId};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// EC2's default quota.
const MAX_ADDRESSES: usize = 5;

pub async fn allocate_address(
    api: Arc<Api>,
    call: Call,
    input: AllocateAddressRequest,
) -> Result<AllocateAddressResult, Error> {
    refuse(&[
        (input.customer_owned_ipv4_pool.is_some(), "Outposts"),
        (input.ipam_pool_id.is_some(), "IPAM pools"),
        (input.public_ipv4_pool.as_deref().is_some_and(|pool| pool != "amazon"), "Pools of your own"),
    ])?;
    match input.domain.as_deref() {
        None | Some("vpc") => {}
        Some("standard") => return Err(unsupported("EC2-Classic is not available.")),
        Some(other) => return Err(invalid("domain", other, "Expecting vpc.")),
    }
    if let Some(group) = input.network_border_group.as_ref().filter(|group| **group != api.place.region) {
        return Err(invalid("NetworkBorderGroup", group, "There is one, named as the region."));
    }
    let tags = tags::specified(&input.tag_specifications, "elastic-ip", &["elastic-ip"])?;
    let wanted = input.address.as_ref().map(|text| parse_address("address", text)).transpose()?;
    let allocation_id = AllocationId::from_random(random::draw()?);
    let full = |network: &Network| match network.addresses.len() < MAX_ADDRESSES {
        true => Ok(()),
        false => Err(limit(Resource::Allocation, "The maximum number of addresses has been reached.")),
    };
    let account = &call.caller.account;
    full(&api.stores.networks.load(account).await?)?;
    let owner = allocation_id.as_str();
    let public_ip = match wanted {
        Some(address) => public::claim(&api, account, owner, address, call.now).await?,
        None => {
            let claimed = public::claim_free(&api, account, &[owner], call.now).await?;
            claimed.into_iter().next().ok_or_else(public::exhausted)?
        }
    };
    let made = api.change(&call, |network| {
        full(network)?;
        network.insert(AddressRecord {
            version: Version,
            allocation_id: allocation_id.clone(),
            account: account.clone(),
            public_ip,
            association: None,
            allocated_at: call.now,
            tags: tags.clone(),
        });
        Ok(())
    });
    if let Err(error) = made.await {
        // What may have been written keeps its address; the sweeper knows.
        if matches!(error, Error::Api(_)) {
            public::release(&api, allocation_id.as_str(), Claimed::Address(public_ip)).await?;
        }
        return Err(error);
    }
    Ok(AllocateAddressResult {
        allocation_id: Some(allocation_id.to_string()),
        domain: Some("vpc".into()),
        network_border_group: Some(api.place.region.clone()),
        public_ip: Some(public_ip.to_string()),
        public_ipv4_pool: Some("amazon".into()),
        ..Default::default()
    })
}

pub async fn release_address(api: Arc<Api>, call: Call, input: ReleaseAddressRequest) -> Result<Empty, Error> {
    let id = match (&input.allocation_id, &input.public_ip) {
        (Some(id), _) => parse_id::<AllocationId>(Resource::Allocation, id)?,
        (None, Some(ip)) => {
            let reason = "You must specify an allocation id when releasing a VPC elastic IP address";
            return Err(invalid("publicIp", ip, reason));
        }
        (None, None) => return Err(missing("allocationId")),
    };
    let released = api.change(&call, |network| {
        let address = network.get::<AddressRecord>(&id)?;
        if address.association.is_some() {
            let reason = format!("Address {} is in use.", address.public_ip);
            return Err(fault(NetworkFault::PublicAddressInUse, reason));
        }
        let public_ip = address.public_ip;
        network.addresses.remove(&id);
        Ok(public_ip)
    });
    let (_, public_ip) = released.await?;
    public::release(&api, id.as_str(), Claimed::Address(public_ip)).await?;
    Ok(Empty {})
}

/// The address that a call names by its allocation, or by itself.
fn named(network: &Network, allocation: Option<&String>, public_ip: Option<&String>) -> Result<AddressRecord, Error> {
    match (allocation, public_ip) {
        (Some(id), _) => Ok(network.get::<AddressRecord>(&parse_id(Resource::Allocation, id)?)?.clone()),
        (None, Some(text)) => {
            let ip = parse_address("publicIp", text)?;
            let found = network.addresses.values().find(|address| address.public_ip == ip);
            Ok(found.ok_or_else(|| not_found(Resource::Address, ip))?.clone())
        }
        (None, None) => Err(missing("allocationId")),
    }
}

/// The interface that a call names by itself, or by its instance.
fn interface_of<'a>(network: &'a Network, input: &AssociateAddressRequest) -> Result<&'a InterfaceRecord, Error> {
    match (&input.network_interface_id, &input.instance_id) {
        (Some(_), Some(_)) => Err(combination("Only one of InstanceId and NetworkInterfaceId may be used.")),
        (Some(id), None) => {
            network.get::<InterfaceRecord>(&parse_id::<NetworkInterfaceId>(Resource::NetworkInterface, id)?)
        }
        (None, Some(id)) => {
            let id: InstanceId = parse_id(Resource::Instance, id)?;
            let of_it = network.interfaces_of(&id);
            match of_it.as_slice() {
                [] => Err(not_found(Resource::Instance, &id)),
                [one] => Ok(one),
                [first, ..] => {
                    let wanted = input.private_ip_address.as_ref();
                    let wanted = wanted.map(|text| parse_address("privateIpAddress", text)).transpose()?;
                    let has_it = |i: &&&InterfaceRecord| wanted.is_some_and(|ip| i.addresses().any(|own| own == ip));
                    Ok(of_it.iter().find(has_it).unwrap_or(first))
                }
            }
        }
        (None, None) => Err(missing("networkInterfaceId")),
    }
}

/// Whether an interface is a NAT gateway's: its addresses are not to be touched.
fn is_managed(network: &Network, association: &AddressAssociation) -> bool {
    let interface = network.interfaces.get(&association.interface_id);
    interface.is_some_and(|interface| interface.owner != InterfaceOwner::Account)
}

fn check_managed(network: &Network, address: &AddressRecord) -> Result<(), Error> {
    if address.association.as_ref().is_some_and(|association| is_managed(network, association)) {
        let reason = format!("Address {} is in use by a NAT gateway.", address.public_ip);
        return Err(fault(NetworkFault::PublicAddressInUse, reason));
    }
    Ok(())
}

/// Gives an Elastic IP to a private address; `replace`: from or over another one.
pub fn associate(
    network: &mut Network,
    allocation_id: &AllocationId,
    interface_id: &NetworkInterfaceId,
    private_ip: Ipv4Addr,
    replace: Option<bool>,
) -> Result<AddressAssociationId, Error> {
    let address = network.get::<AddressRecord>(allocation_id)?;
    let interface = network.get::<InterfaceRecord>(interface_id)?;
    check_managed(network, address)?;
    if gateway_of(network, &interface.vpc_id).is_none() {
        let reason = format!("Network {} is not attached to any internet gateway", interface.vpc_id);
        return Err(fault(NetworkFault::NotAttached, reason));
    }
    if let Some(held) = &address.association {
        if held.interface_id == *interface_id && held.private_ip == private_ip {
            return Ok(held.association_id.clone());
        }
        if replace == Some(false) {
            let reason =
                format!("resource {allocation_id} is already associated with associate-id {}", held.association_id);
            return Err(fault(NetworkFault::AlreadyAssociated, reason));
        }
    }
    if let Some(other) = network.elastic_ip(interface_id, private_ip).map(|address| address.allocation_id.clone()) {
        if replace != Some(true) {
            let reason = format!("resource {interface_id} is already associated with address {private_ip}");
            return Err(fault(NetworkFault::AlreadyAssociated, reason));
        }
        network.get_mut::<AddressRecord>(&other)?.association = None;
    }
    let association_id = AddressAssociationId::from_random(random::draw()?);
    network.get_mut::<AddressRecord>(allocation_id)?.association = Some(AddressAssociation {
        association_id: association_id.clone(),
        interface_id: interface_id.clone(),
        private_ip,
    });
    Ok(association_id)
}

pub async fn associate_address(
    api: Arc<Api>,
    call: Call,
    input: AssociateAddressRequest,
) -> Result<AssociateAddressResult, Error> {
    let made = api.change(&call, |network| {
        let allocation_id = named(network, input.allocation_id.as_ref(), input.public_ip.as_ref())?.allocation_id;
        let interface = interface_of(network, &input)?.clone();
        check_own(&interface)?;
        let private_ip = match &input.private_ip_address {
            Some(text) => parse_address("privateIpAddress", text)?,
            None => interface.private_ip,
        };
        if !interface.addresses().any(|own| own == private_ip) {
            let reason = format!("The address is not one of the interface {}.", interface.interface_id);
            return Err(invalid("privateIpAddress", private_ip, reason));
        }
        let id = &interface.interface_id;
        let association_id = associate(network, &allocation_id, id, private_ip, input.allow_reassociation)?;
        // The one that came with the launch makes room.
        let given = match private_ip == interface.private_ip {
            true => network.get_mut::<InterfaceRecord>(id)?.public_ip.take(),
            false => None,
        };
        Ok((association_id, given.map(|ip| (id.clone(), ip))))
    });
    let (_, (association_id, given)) = made.await?;
    if let Some((interface_id, ip)) = given {
        public::release(&api, interface_id.as_str(), Claimed::Address(ip)).await?;
    }
    Ok(AssociateAddressResult { association_id: Some(association_id.to_string()) })
}

pub async fn disassociate_address(
    api: Arc<Api>,
    call: Call,
    input: DisassociateAddressRequest,
) -> Result<Empty, Error> {
    let id = input.association_id.as_ref().map(|id| parse_id::<AddressAssociationId>(Resource::Association, id));
    let id = id.transpose()?;
    let removed = api.change(&call, |network| {
        let address = match &id {
            Some(id) => {
                let has_it = |a: &&AddressRecord| a.association.as_ref().is_some_and(|held| held.association_id == *id);
                let found = network.addresses.values().find(has_it);
                found.ok_or_else(|| not_found(Resource::Association, id))?.clone()
            }
            None => named(network, None, Some(input.public_ip.as_ref().ok_or_else(|| missing("associationId"))?))?,
        };
        check_managed(network, &address)?;
        network.get_mut::<AddressRecord>(&address.allocation_id)?.association = None;
        Ok(())
    });
    removed.await.map(|_| Empty {})
}

/// The interface that has the address, and the instance that has the interface.
fn holder<'a>(seen: &Seen<'a, AddressRecord>) -> (Option<&'a InterfaceRecord>, Option<String>) {
    let held = seen.record.association.as_ref();
    let interface = held.and_then(|held| seen.network.interfaces.get(&held.interface_id));
    let instance = interface.and_then(|i| i.attachment.as_ref()).map(|a| a.instance_id.to_string());
    (interface, instance)
}

fn show(seen: &Seen<'_, AddressRecord>) -> Address {
    let address = seen.record;
    let (interface, instance_id) = holder(seen);
    let held = address.association.as_ref();
    Address {
        allocation_id: Some(address.allocation_id.to_string()),
        association_id: held.map(|held| held.association_id.to_string()),
        domain: Some("vpc".into()),
        instance_id,
        network_border_group: Some(seen.place.region.clone()),
        network_interface_id: held.map(|held| held.interface_id.to_string()),
        network_interface_owner_id: held.map(|_| address.account.to_string()),
        private_ip_address: held.map(|held| held.private_ip.to_string()),
        public_ip: Some(address.public_ip.to_string()),
        public_ipv4_pool: Some("amazon".into()),
        service_managed: interface.filter(|i| i.owner != InterfaceOwner::Account).map(|_| "nat".into()),
        subnet_id: interface.map(|interface| interface.subnet_id.to_string()),
        tags: tags::to_api(&address.tags),
        ..Default::default()
    }
}

impl Filterable for Seen<'_, AddressRecord> {
    const NAMES: &'static [&'static str] = &[
        "allocation-id",
        "association-id",
        "domain",
        "instance-id",
        "network-border-group",
        "network-interface-id",
        "network-interface-owner-id",
        "private-ip-address",
        "public-ip",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let shown = show(self);
        let value = match name {
            "allocation-id" => shown.allocation_id,
            "association-id" => shown.association_id,
            "domain" => shown.domain,
            "instance-id" => shown.instance_id,
            "network-border-group" => shown.network_border_group,
            "network-interface-id" => shown.network_interface_id,
            "network-interface-owner-id" => shown.network_interface_owner_id,
            "private-ip-address" => shown.private_ip_address,
            _ => shown.public_ip,
        };
        value.into_iter().collect()
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}

pub async fn describe_addresses(
    api: Arc<Api>,
    call: Call,
    input: DescribeAddressesRequest,
) -> Result<DescribeAddressesResult, Error> {
    let ids: Vec<AllocationId> = parse_ids(Resource::Allocation, &input.allocation_ids)?;
    let filters = Filters::check::<Seen<'_, AddressRecord>>(&input.filters)?;
    let network = api.stores.networks.load(&call.caller.account).await?;
    for id in &ids {
        network.get::<AddressRecord>(id)?;
    }
    for ip in &input.public_ips {
        named(&network, None, Some(ip))?;
    }
    let is_named = |address: &&AddressRecord| {
        (ids.is_empty() || ids.contains(&address.allocation_id))
            && (input.public_ips.is_empty() || input.public_ips.contains(&address.public_ip.to_string()))
    };
    let seen = |record| Seen { record, network: &network, place: &api.place };
    let wanted = network.addresses.values().filter(is_named).map(seen).filter(|seen| filters.admit(seen));
    Ok(DescribeAddressesResult { addresses: wanted.map(|seen| show(&seen)).collect() })
}

/// No address has a reverse name here.
pub async fn describe_addresses_attribute(
    api: Arc<Api>,
    call: Call,
    input: DescribeAddressesAttributeRequest,
) -> Result<DescribeAddressesAttributeResult, Error> {
    let ids: Vec<AllocationId> = parse_ids(Resource::Allocation, &input.allocation_ids)?;
    if let Some(attribute) = input.attribute.as_ref().filter(|attribute| *attribute != "domain-name") {
        return Err(invalid("Attribute", attribute, "Expecting domain-name."));
    }
    let page = Page::check(input.max_results, input.next_token.as_deref(), 1..=1000, false)?;
    let network = api.stores.networks.load(&call.caller.account).await?;
    for id in &ids {
        network.get::<AddressRecord>(id)?;
    }
    let wanted = network.addresses.values().filter(|address| ids.is_empty() || ids.contains(&address.allocation_id));
    let (page, next_token) = page.cut(wanted.collect(), |address: &&AddressRecord| address.allocation_id.to_string());
    let show = |address: &AddressRecord| AddressAttribute {
        allocation_id: Some(address.allocation_id.to_string()),
        public_ip: Some(address.public_ip.to_string()),
        ..Default::default()
    };
    Ok(DescribeAddressesAttributeResult { addresses: page.into_iter().map(show).collect(), next_token })
}
