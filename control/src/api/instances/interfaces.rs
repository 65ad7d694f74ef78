//! The network interfaces that a launch asks for, in either of the call's forms.

use super::super::vpc::interfaces::{
    MAX_ADDRESSES, Wanted, WantedIpv6, check_description, check_groups, named_addresses,
};
use super::super::{Api, parse_id, parse_ids};
use crate::error::{Error, combination, invalid, limit, missing, network as fault, not_found, unsupported};
use crate::instance_types::InstanceType;
use crate::store::{InterfaceRecord, Network, SecurityGroupRecord, SubnetRecord, Tags};
use hive_aws_types::ec2::{InstanceNetworkInterfaceSpecification, RunInstancesRequest};
use hive_types::error::{NetworkFault, Resource};
use hive_types::id::{NetworkInterfaceId, SecurityGroupId};

pub struct PlannedInterface {
    pub device_index: u8,
    pub delete_on_termination: bool,
    pub source: Source,
}

pub enum Source {
    New {
        wanted: Wanted,
        /// It gets a public address.
        public: bool,
    },
    Existing(NetworkInterfaceId),
}

/// The interfaces of each instance, the primary one first.
pub fn plan(
    api: &Api,
    network: &Network,
    input: &RunInstancesRequest,
    max: usize,
    instance_type: &InstanceType,
    tags: &Tags,
) -> Result<Vec<PlannedInterface>, Error> {
    let planned = if input.network_interfaces.is_empty() {
        vec![of_instance(api, network, input, tags)?]
    } else {
        let ipv6 = WantedIpv6::check(&input.ipv6_addresses, input.ipv6_address_count, input.enable_primary_ipv6)?;
        let own = input.subnet_id.is_some() || input.private_ip_address.is_some() || ipv6.asks();
        if own || !input.security_group_ids.is_empty() || !input.security_groups.is_empty() {
            return Err(combination(
                "Network interfaces and an instance-level subnet ID, address or security groups may not be specified on the same \
                 request",
            ));
        }
        let several = input.network_interfaces.len() > 1;
        let mut planned = Vec::new();
        for asked in &input.network_interfaces {
            planned.push(of_specification(api, network, asked, several, tags)?);
        }
        planned.sort_by_key(|interface| interface.device_index);
        if planned.windows(2).any(|pair| matches!(pair, [a, b] if a.device_index == b.device_index)) {
            return Err(combination("Each network interface requires a device index of its own."));
        }
        if planned.first().is_none_or(|first| first.device_index != 0) {
            return Err(combination("A network interface with device index 0 is needed."));
        }
        planned
    };
    if planned.len() > instance_type.max_interfaces() {
        let reason = format!("Interface count {} exceeds the limit for {}", planned.len(), instance_type.name);
        return Err(limit(Resource::Attachment, reason));
    }
    for interface in &planned {
        let (named, ipv6) = match &interface.source {
            Source::New { wanted, .. } => {
                let named = wanted.private_ip.is_some() || !wanted.secondary_ips.is_empty();
                if max > 1 && (named || !wanted.ipv6.named.is_empty()) {
                    return Err(combination("A private address can be given to one instance only."));
                }
                (1 + wanted.secondary_ips.len() + wanted.secondary_count, wanted.ipv6.len())
            }
            Source::Existing(_) if max > 1 => {
                return Err(combination("An existing network interface can be given to one instance only."));
            }
            Source::Existing(id) => {
                let interface = network.get::<InterfaceRecord>(id)?;
                (interface.addresses().count(), interface.ipv6.len())
            }
        };
        if named.max(ipv6) > instance_type.max_addresses_per_interface().min(MAX_ADDRESSES) {
            let (kind, count) = if named >= ipv6 { ("private", named) } else { ("IPv6", ipv6) };
            let reason = format!("Number of {kind} addresses {count} exceeds the limit for {}", instance_type.name);
            return Err(fault(NetworkFault::TooManyAddresses, reason));
        }
    }
    Ok(planned)
}

fn subnet<'a>(api: &Api, network: &'a Network, wanted: Option<&str>) -> Result<&'a SubnetRecord, Error> {
    match wanted {
        Some(id) => network.get(&parse_id(Resource::Subnet, id)?),
        None => {
            let mut all = network.subnets.values();
            all.find(|subnet| subnet.is_default && subnet.zone == api.place.zone).ok_or_else(|| missing("SubnetId"))
        }
    }
}

/// By the call's own members.
fn of_instance(
    api: &Api,
    network: &Network,
    input: &RunInstancesRequest,
    tags: &Tags,
) -> Result<PlannedInterface, Error> {
    let subnet = subnet(api, network, input.subnet_id.as_deref())?;
    let mut ids: Vec<SecurityGroupId> = parse_ids(Resource::SecurityGroup, &input.security_group_ids)?;
    for name in &input.security_groups {
        let is_it = |group: &&SecurityGroupRecord| group.vpc_id == subnet.vpc_id && group.name == *name;
        let found = network.groups.values().find(is_it);
        ids.push(found.ok_or_else(|| not_found(Resource::SecurityGroup, name))?.group_id.clone());
    }
    let (private_ip, ..) = named_addresses(input.private_ip_address.as_ref(), &[], None)?;
    check_address(subnet, private_ip)?;
    let wanted = Wanted {
        subnet_id: subnet.subnet_id.clone(),
        groups: check_groups(network, subnet, &ids)?,
        private_ip,
        secondary_ips: Vec::new(),
        secondary_count: 0,
        ipv6: WantedIpv6::check(&input.ipv6_addresses, input.ipv6_address_count, input.enable_primary_ipv6)?,
        description: String::new(),
        tags: tags.clone(),
    };
    let source = Source::New { wanted, public: subnet.map_public_ip_on_launch };
    Ok(PlannedInterface { device_index: 0, delete_on_termination: true, source })
}

fn check_address(subnet: &SubnetRecord, address: Option<std::net::Ipv4Addr>) -> Result<(), Error> {
    match address.filter(|address| !subnet.may_assign(*address)) {
        Some(address) => {
            Err(invalid("PrivateIpAddress", address, "Address does not fall within the subnet's address range"))
        }
        None => Ok(()),
    }
}

fn of_specification(
    api: &Api,
    network: &Network,
    asked: &InstanceNetworkInterfaceSpecification,
    several: bool,
    tags: &Tags,
) -> Result<PlannedInterface, Error> {
    let index = match (asked.device_index, several) {
        (Some(index), _) => index,
        (None, false) => 0,
        (None, true) => return Err(missing("NetworkInterface.DeviceIndex")),
    };
    let device_index =
        u8::try_from(index).map_err(|_| invalid("NetworkInterface.DeviceIndex", index, "Expecting 0 to 255."))?;
    for (given, what) in [
        (asked.ipv4_prefix_count.is_some() || !asked.ipv4_prefixes.is_empty(), "Prefixes of addresses"),
        (asked.ipv6_prefix_count.is_some() || !asked.ipv6_prefixes.is_empty(), "Prefixes of addresses"),
        (asked.associate_carrier_ip_address == Some(true), "Carrier addresses"),
        (asked.interface_type.as_deref().is_some_and(|kind| kind != "interface"), "Other kinds of interfaces"),
        (asked.network_card_index.unwrap_or(0) != 0, "More network cards"),
        (asked.ena_srd_specification.is_some() || asked.ena_queue_count.is_some(), "ENA's features"),
        (asked.connection_tracking_specification.is_some(), "Timeouts of connections"),
    ] {
        if given {
            return Err(unsupported(format!("{what} are not available.")));
        }
    }
    let ipv6 = WantedIpv6::check(&asked.ipv6_addresses, asked.ipv6_address_count, asked.primary_ipv6)?;
    if let Some(id) = &asked.network_interface_id {
        let own = asked.subnet_id.is_some() || !asked.groups.is_empty() || asked.private_ip_address.is_some();
        if own || ipv6.asks() {
            return Err(combination("An existing network interface has its subnet, address and groups already."));
        }
        if asked.delete_on_termination == Some(true) {
            return Err(combination("An existing network interface is not deleted with its instance."));
        }
        let interface = network.get::<InterfaceRecord>(&parse_id(Resource::NetworkInterface, id)?)?;
        // Whether it is free is seen when it is taken: a repeated call has it already.
        let source = Source::Existing(interface.interface_id.clone());
        return Ok(PlannedInterface { device_index, delete_on_termination: false, source });
    }
    let subnet = subnet(api, network, asked.subnet_id.as_deref())?;
    let count = asked.secondary_private_ip_address_count;
    let (private_ip, secondary_ips, secondary_count) =
        named_addresses(asked.private_ip_address.as_ref(), &asked.private_ip_addresses, count)?;
    check_address(subnet, private_ip)?;
    let groups: Vec<SecurityGroupId> = parse_ids(Resource::SecurityGroup, &asked.groups)?;
    let public = match asked.associate_public_ip_address {
        Some(true) if several => {
            return Err(combination(
                "The associatePublicIPAddress parameter cannot be specified when launching with multiple network interfaces.",
            ));
        }
        Some(public) => public,
        None => subnet.map_public_ip_on_launch && device_index == 0 && !several,
    };
    let wanted = Wanted {
        subnet_id: subnet.subnet_id.clone(),
        groups: check_groups(network, subnet, &groups)?,
        private_ip,
        secondary_ips,
        secondary_count,
        ipv6,
        description: check_description(asked.description.as_ref())?,
        tags: tags.clone(),
    };
    let delete_on_termination = asked.delete_on_termination.unwrap_or(true);
    Ok(PlannedInterface { device_index, delete_on_termination, source: Source::New { wanted, public } })
}
