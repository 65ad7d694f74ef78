//! Network interfaces: made, shown, deleted.

pub mod addresses;
pub mod attach;
pub mod attribute;
pub mod ipv6;
mod make;

pub use ipv6::WantedIpv6;
pub use make::{MAX_ADDRESSES, Wanted, assign, check_groups, make, parse_address};

use super::super::filter::Filterable;
use super::super::{Api, Call, dns_domain, iso, parse_id, parse_ids, tags};
use super::{Asked, Seen, describe, make_once, refuse};
use crate::error::{Error, combination, invalid, not_permitted, required};
use crate::store::{
    AddressRecord, InstanceRecord, InterfaceAttachment, InterfaceOwner, InterfaceRecord, Network, Tags, key,
};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    CreateNetworkInterfaceRequest, CreateNetworkInterfaceResult, DeleteNetworkInterfaceRequest,
    DescribeNetworkInterfacesRequest, DescribeNetworkInterfacesResult, GroupIdentifier, NetworkInterface,
    NetworkInterfaceAssociation, NetworkInterfaceAttachment, NetworkInterfaceIpv6Address,
    NetworkInterfacePrivateIpAddress, PrivateIpAddressSpecification,
};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::NetworkInterfaceId;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

const MAX_DESCRIPTION_CHARS: usize = 255;

pub fn find_id(id: Option<&str>) -> Result<NetworkInterfaceId, Error> {
    parse_id(Resource::NetworkInterface, required(id, "NetworkInterfaceId")?)
}

pub fn check_description(text: Option<&String>) -> Result<String, Error> {
    let text = text.cloned().unwrap_or_default();
    if text.chars().count() > MAX_DESCRIPTION_CHARS {
        return Err(invalid("Description", text, format!("Up to {MAX_DESCRIPTION_CHARS} characters.")));
    }
    Ok(text)
}

/// The addresses that a call names: the primary one, the secondary ones, and how many more.
pub fn named_addresses(
    primary: Option<&String>,
    list: &[PrivateIpAddressSpecification],
    count: Option<i32>,
) -> Result<(Option<Ipv4Addr>, Vec<Ipv4Addr>, usize), Error> {
    let mut primary = primary.map(|text| parse_address("privateIpAddress", text)).transpose()?;
    let mut secondary = Vec::new();
    for named in list {
        let address =
            parse_address("privateIpAddress", &required(named.private_ip_address.clone(), "PrivateIpAddress")?)?;
        if named.primary == Some(true) {
            if primary.replace(address).is_some_and(|other| other != address) {
                return Err(combination("Only one address can be the primary one."));
            }
        } else {
            secondary.push(address);
        }
    }
    if count.is_some() && !secondary.is_empty() {
        return Err(combination("Secondary addresses may be named or counted, not both."));
    }
    let count = count.unwrap_or(0);
    let within = usize::try_from(count).ok().filter(|count| *count < MAX_ADDRESSES);
    let count = within.ok_or_else(|| {
        invalid("secondaryPrivateIpAddressCount", count, format!("An interface has at most {MAX_ADDRESSES} addresses."))
    })?;
    Ok((primary, secondary, count))
}

pub async fn create_network_interface(
    api: Arc<Api>,
    call: Call,
    input: CreateNetworkInterfaceRequest,
) -> Result<CreateNetworkInterfaceResult, Error> {
    let parameters = CreateNetworkInterfaceRequest { client_token: None, ..input.clone() };
    refuse(&[
        (input.ipv6_prefix_count.is_some() || !input.ipv6_prefixes.is_empty(), "Prefixes of addresses"),
        (input.ipv4_prefix_count.is_some() || !input.ipv4_prefixes.is_empty(), "Prefixes of addresses"),
        (input.interface_type.as_deref().is_some_and(|kind| kind != "interface"), "Other kinds of interfaces"),
        (input.operator.is_some(), "Operators"),
        (input.connection_tracking_specification.is_some(), "Timeouts of connections"),
    ])?;
    let count = input.secondary_private_ip_address_count;
    let (private_ip, secondary_ips, secondary_count) =
        named_addresses(input.private_ip_address.as_ref(), &input.private_ip_addresses, count)?;
    let wanted = Wanted {
        subnet_id: super::subnets::find_subnet_id(input.subnet_id.as_deref())?,
        groups: parse_ids(Resource::SecurityGroup, &input.groups)?,
        private_ip,
        secondary_ips,
        secondary_count,
        ipv6: WantedIpv6::check(&input.ipv6_addresses, input.ipv6_address_count, input.enable_primary_ipv6)?,
        description: check_description(input.description.as_ref())?,
        tags: tags::specified(&input.tag_specifications, "network-interface", &["network-interface"])?,
    };
    let token = ("CreateNetworkInterface", input.client_token.as_deref(), &parameters);
    let new = |network: &mut Network, id: &NetworkInterfaceId| make(network, id, &wanted, call.now);
    let (network, interface) = make_once(&api, &call, token, NetworkInterfaceId::from_random, new).await?;
    let shown = show(&Seen { record: &interface, network: &network, place: &api.place });
    Ok(CreateNetworkInterfaceResult {
        client_token: input.client_token,
        // EC2 answers `pending` first.
        network_interface: Some(NetworkInterface { status: Some("pending".into()), ..shown }),
    })
}

/// The instance that the interface is in. Its type changes only while it is stopped, and its start checks nothing: what its type
/// limits is a courtesy.
pub async fn instance_of(api: &Api, call: &Call, id: &NetworkInterfaceId) -> Result<Option<InstanceRecord>, Error> {
    let network = api.stores.networks.load(&call.caller.account).await?;
    let found = match &network.get::<InterfaceRecord>(id)?.attachment {
        Some(attachment) => api.stores.instances.get(&key(&call.caller.account, &attachment.instance_id)).await?,
        None => None,
    };
    Ok(found.map(|record| record.value))
}

pub fn in_use(interface: &InterfaceRecord) -> Error {
    let reason = format!("Network interface '{}' is currently in use.", interface.interface_id);
    ApiError::InUse { resource: Resource::NetworkInterface, reason }.into()
}

/// The addresses, groups and checks of a NAT gateway's interface are the gateway's matter.
pub fn check_own(interface: &InterfaceRecord) -> Result<(), Error> {
    match interface.owner {
        InterfaceOwner::Account => Ok(()),
        InterfaceOwner::NatGateway(_) => {
            let id = &interface.interface_id;
            Err(not_permitted(format!("You are not allowed to manage the interface '{id}' of a NAT gateway.")))
        }
    }
}

pub async fn delete_network_interface(
    api: Arc<Api>,
    call: Call,
    input: DeleteNetworkInterfaceRequest,
) -> Result<Empty, Error> {
    let id = find_id(input.network_interface_id.as_deref())?;
    let deleted = api.change(&call, |network| {
        let interface = network.get::<InterfaceRecord>(&id)?;
        if interface.is_in_use() {
            return Err(in_use(interface));
        }
        network.remove_interface(&id);
        Ok(())
    });
    deleted.await.map(|_| Empty {})
}

pub fn show_groups(network: &Network, interface: &InterfaceRecord) -> Vec<GroupIdentifier> {
    let group = |group: crate::store::GroupReference| GroupIdentifier {
        group_id: Some(group.group_id.to_string()),
        group_name: Some(group.name),
    };
    network.groups_of(interface).into_iter().map(group).collect()
}

/// `ip-10-0-0-5.ec2.internal`
pub fn dns_name(address: Ipv4Addr, region: &str) -> String {
    format!("ip-{}.{}", address.to_string().replace('.', "-"), dns_domain(region))
}

pub fn show_attachment(interface: &InterfaceRecord, attachment: &InterfaceAttachment) -> NetworkInterfaceAttachment {
    NetworkInterfaceAttachment {
        attach_time: Some(iso(attachment.attached_at)),
        attachment_id: Some(attachment.attachment_id.to_string()),
        delete_on_termination: Some(attachment.delete_on_termination),
        device_index: Some(attachment.device_index.into()),
        instance_id: Some(attachment.instance_id.to_string()),
        instance_owner_id: Some(interface.account.to_string()),
        network_card_index: Some(0),
        status: Some("attached".into()),
        ..Default::default()
    }
}

fn kind(interface: &InterfaceRecord) -> &'static str {
    match interface.owner {
        InterfaceOwner::Account => "interface",
        InterfaceOwner::NatGateway(_) => "nat_gateway",
    }
}

fn status(interface: &InterfaceRecord) -> &'static str {
    if interface.is_in_use() { "in-use" } else { "available" }
}

fn association(network: &Network, interface: &InterfaceRecord, ip: Ipv4Addr) -> Option<NetworkInterfaceAssociation> {
    let public_ip = network.public_ip(interface, ip)?;
    let elastic = network.elastic_ip(&interface.interface_id, ip);
    let association_id = elastic.and_then(|address| address.association.as_ref()).map(|a| a.association_id.to_string());
    Some(NetworkInterfaceAssociation {
        allocation_id: elastic.map(|address| address.allocation_id.to_string()),
        association_id,
        ip_owner_id: Some(elastic.map_or_else(|| "amazon".into(), |_| interface.account.to_string())),
        public_dns_name: Some(String::new()),
        public_ip: Some(public_ip.to_string()),
        ..Default::default()
    })
}

pub fn show(seen: &Seen<'_, InterfaceRecord>) -> NetworkInterface {
    let (interface, network) = (seen.record, seen.network);
    let region = &seen.place.region;
    let address = |ip: Ipv4Addr| NetworkInterfacePrivateIpAddress {
        association: association(network, interface, ip),
        primary: Some(ip == interface.private_ip),
        private_dns_name: Some(dns_name(ip, region)),
        private_ip_address: Some(ip.to_string()),
    };
    let ipv6 = |(at, address): (usize, &Ipv6Addr)| NetworkInterfaceIpv6Address {
        ipv6_address: Some(address.to_string()),
        is_primary_ipv6: Some(interface.primary_ipv6 && at == 0),
        ..Default::default()
    };
    let of_account = interface.owner == InterfaceOwner::Account;
    NetworkInterface {
        association: association(network, interface, interface.private_ip),
        attachment: interface.attachment.as_ref().map(|attachment| show_attachment(interface, attachment)),
        availability_zone: Some(interface.zone.clone()),
        availability_zone_id: Some(seen.place.zone_id()),
        description: Some(interface.description.clone()),
        groups: show_groups(network, interface),
        interface_type: Some(kind(interface).into()),
        ipv6_address: interface.ipv6.first().map(ToString::to_string),
        ipv6_addresses: interface.ipv6.iter().enumerate().map(ipv6).collect(),
        mac_address: Some(interface.mac.clone()),
        network_interface_id: Some(interface.interface_id.to_string()),
        owner_id: Some(interface.account.to_string()),
        private_dns_name: Some(dns_name(interface.private_ip, region)),
        private_ip_address: Some(interface.private_ip.to_string()),
        private_ip_addresses: interface.addresses().map(address).collect(),
        requester_id: (!of_account).then(|| "amazon-hive".into()),
        requester_managed: Some(!of_account),
        source_dest_check: Some(interface.source_dest_check),
        status: Some(status(interface).into()),
        subnet_id: Some(interface.subnet_id.to_string()),
        tag_set: tags::to_api(&interface.tags),
        vpc_id: Some(interface.vpc_id.to_string()),
        ..Default::default()
    }
}

impl Filterable for Seen<'_, InterfaceRecord> {
    const NAMES: &'static [&'static str] = &[
        "addresses.association.owner-id",
        "addresses.association.public-ip",
        "addresses.primary",
        "addresses.private-ip-address",
        "association.allocation-id",
        "association.association-id",
        "association.ip-owner-id",
        "association.public-dns-name",
        "association.public-ip",
        "attachment.attach-time",
        "attachment.attachment-id",
        "attachment.delete-on-termination",
        "attachment.device-index",
        "attachment.instance-id",
        "attachment.instance-owner-id",
        "attachment.status",
        "availability-zone",
        "description",
        "group-id",
        "group-name",
        "interface-type",
        "ipv6-addresses.ipv6-address",
        "mac-address",
        "network-interface-id",
        "operator.managed",
        "owner-id",
        "private-dns-name",
        "private-ip-address",
        "requester-id",
        "requester-managed",
        "source-dest-check",
        "status",
        "subnet-id",
        "vpc-id",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let (interface, network) = (self.record, self.network);
        let elastic = |f: fn(&AddressRecord) -> Option<String>| -> Vec<String> {
            let found = interface.addresses().filter_map(|ip| network.elastic_ip(&interface.interface_id, ip));
            found.filter_map(f).collect()
        };
        let attached = |f: fn(&InterfaceAttachment) -> String| interface.attachment.iter().map(f).collect();
        let groups = || network.groups_of(interface).into_iter();
        let public = |ip| network.public_ip(interface, ip);
        vec![match name {
            "addresses.association.owner-id" | "association.ip-owner-id" => {
                let owner = |ip| association(network, interface, ip).and_then(|a| a.ip_owner_id);
                return interface.addresses().filter_map(owner).collect();
            }
            "addresses.association.public-ip" | "association.public-ip" => {
                return interface.addresses().filter_map(public).map(|ip| ip.to_string()).collect();
            }
            "addresses.primary" => {
                return interface.addresses().map(|ip| (ip == interface.private_ip).to_string()).collect();
            }
            "addresses.private-ip-address" => return interface.addresses().map(|ip| ip.to_string()).collect(),
            "association.allocation-id" => return elastic(|address| Some(address.allocation_id.to_string())),
            "association.association-id" => {
                return elastic(|address| address.association.as_ref().map(|a| a.association_id.to_string()));
            }
            "attachment.attach-time" => return attached(|a| iso(a.attached_at)),
            "attachment.attachment-id" => return attached(|a| a.attachment_id.to_string()),
            "attachment.delete-on-termination" => return attached(|a| a.delete_on_termination.to_string()),
            "attachment.device-index" => return attached(|a| a.device_index.to_string()),
            "attachment.instance-id" => return attached(|a| a.instance_id.to_string()),
            "attachment.instance-owner-id" => {
                return interface.attachment.iter().map(|_| interface.account.to_string()).collect();
            }
            "attachment.status" => return attached(|_| "attached".into()),
            "availability-zone" => interface.zone.clone(),
            "description" => interface.description.clone(),
            "group-id" => return groups().map(|group| group.group_id.to_string()).collect(),
            "group-name" => return groups().map(|group| group.name).collect(),
            "interface-type" => kind(interface).into(),
            "ipv6-addresses.ipv6-address" => return interface.ipv6.iter().map(ToString::to_string).collect(),
            "mac-address" => interface.mac.clone(),
            "network-interface-id" => interface.interface_id.to_string(),
            "operator.managed" => "false".into(),
            "owner-id" => interface.account.to_string(),
            "private-dns-name" => dns_name(interface.private_ip, &self.place.region),
            "private-ip-address" => interface.private_ip.to_string(),
            "requester-managed" => (interface.owner != InterfaceOwner::Account).to_string(),
            "source-dest-check" => interface.source_dest_check.to_string(),
            "status" => status(interface).into(),
            "subnet-id" => interface.subnet_id.to_string(),
            "vpc-id" => interface.vpc_id.to_string(),
            // What no interface here has.
            _ => return Vec::new(),
        }]
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}

pub async fn describe_network_interfaces(
    api: Arc<Api>,
    call: Call,
    input: DescribeNetworkInterfacesRequest,
) -> Result<DescribeNetworkInterfacesResult, Error> {
    let asked = Asked {
        ids: &input.network_interface_ids,
        filters: &input.filters,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        limits: 5..=1000,
    };
    let (network_interfaces, next_token) = describe(&api, &call, asked, show).await?;
    Ok(DescribeNetworkInterfacesResult { network_interfaces, next_token })
}
