//! What netd's local services answer on each interface: DHCP, names, instance metadata.

use super::super::backend::{BackendError, Netd};
use super::super::{Node, metadata};
use crate::api::dns_domain;
use crate::node::local::View;
use crate::store::{InstanceRecord, InterfaceRecord};
use hive_netd_api as netd;
use hive_types::id::AccountId;
use hive_vpc::{InterfaceServices, LocalNumber};
use ipnet::Ipv6Net;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the compiler does not know of an interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Described {
    /// VPC and subnet.
    names: String,
    segment_id: String,
    network: Ipv4Addr,
    ipv6: Option<Ipv6Net>,
    /// The primary one first.
    ipv6_addresses: Vec<Ipv6Addr>,
    name_server: Ipv4Addr,
    /// Where the VPC's options have none.
    domain_name: String,
    hostname: String,
    metadata: netd::MetadataService,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// By interface.
    described: BTreeMap<String, Described>,
    /// By VPC: interfaces that are elsewhere, or nowhere now, have names too.
    hosts: BTreeMap<String, BTreeMap<Ipv4Addr, String>>,
}

pub fn wanted(
    node: &Node,
    view: &View,
    interfaces: &[(&InterfaceRecord, &InstanceRecord)],
    networks: &BTreeMap<AccountId, hive_vpc::Network>,
) -> Wanted {
    let described = interfaces.iter().filter_map(|(interface, instance)| {
        let records = view.networks.get(&instance.account)?;
        let vpc = networks.get(&instance.account)?.vpcs.get(&interface.vpc_id.as_str().into())?;
        let described = Described {
            names: interface.vpc_id.to_string(),
            segment_id: interface.subnet_id.to_string(),
            network: records.subnets.get(&interface.subnet_id)?.cidr.network(),
            ipv6: records.subnets.get(&interface.subnet_id)?.ipv6.as_ref().map(|block| block.cidr),
            ipv6_addresses: interface.ipv6.clone(),
            name_server: vpc.name_server()?,
            domain_name: dns_domain(&node.place.region),
            hostname: metadata::hostname(interface.private_ip),
            metadata: metadata::compile(instance, records, &node.place),
        };
        Some((interface.interface_id.to_string(), described))
    });
    let described: BTreeMap<String, Described> = described.collect();
    let mut hosts: BTreeMap<String, BTreeMap<Ipv4Addr, String>> =
        described.values().map(|described| (described.names.clone(), BTreeMap::new())).collect();
    for interface in view.networks.values().flat_map(|records| records.interfaces.values()) {
        let is_elsewhere = interface.attachment.is_some() && !described.contains_key(interface.interface_id.as_str());
        let hosts =
            hosts.get_mut(interface.vpc_id.as_str()).filter(|hosts| is_elsewhere && hosts.len() < netd::MAX_HOSTS);
        if let Some(hosts) = hosts {
            hosts.insert(interface.private_ip, metadata::hostname(interface.private_ip));
        }
    }
    hosts.retain(|_, hosts| !hosts.is_empty());
    Wanted { described, hosts }
}

/// What netd was told and took, so that it is told again of what changes.
#[derive(Debug, Default)]
pub struct Told {
    segments: BTreeMap<String, netd::Segment>,
    ports: BTreeMap<String, netd::Port>,
    hosts: BTreeMap<String, netd::Hosts>,
    /// What it would not take is one tenant's loss, not everybody's. It is tried again, and said once.
    refused: BTreeSet<String>,
}

impl Told {
    /// `all`: by what it has, which may be of before our time, or less than what it was told.
    ///
    /// # Errors
    /// netd does not answer.
    pub async fn tell(
        &mut self,
        netd: &Netd,
        wanted: &Wanted,
        compiled: &BTreeMap<LocalNumber, InterfaceServices>,
        all: bool,
    ) -> Result<(), BackendError> {
        let (mut segments, mut ports) = (BTreeMap::new(), BTreeMap::new());
        for (number, services) in compiled {
            let Some(described) = wanted.described.get(&services.interface.0) else { continue };
            segments.insert(described.segment_id.clone(), segment(described, services));
            ports.insert(services.interface.0.clone(), port(*number, described, services));
        }
        // In the domain of the VPC, which all of its segments have.
        let of_vpc = |segment: &netd::Segment| {
            let (names, domain_name) = (segment.names.clone(), segment.domain_name.clone());
            let hosts = wanted.hosts.get(&names)?.clone();
            Some((names.clone(), netd::Hosts { names, domain_name, hosts }))
        };
        let hosts: BTreeMap<String, netd::Hosts> = segments.values().filter_map(of_vpc).collect();
        // What it has, as far as is known.
        let mut has_ports: BTreeMap<String, u64> =
            self.ports.iter().map(|(id, port)| (id.clone(), port.number)).collect();
        let mut left_segments: BTreeSet<String> = self.segments.keys().cloned().collect();
        let mut left_hosts: BTreeSet<String> = self.hosts.keys().cloned().collect();
        if all {
            has_ports = netd.ports().await?;
            let has_segments = netd.segments().await?;
            self.ports.retain(|id, port| has_ports.get(id) == Some(&port.number));
            self.segments.retain(|_, segment| has_segments.contains(segment));
            left_segments.extend(has_segments.into_iter().map(|segment| segment.segment_id));
            // Of which only the numbers are told.
            self.hosts.clear();
            left_hosts.extend(netd.hosts().await?.into_keys());
        }
        // First, for their numbers may be others' now. One that keeps its number keeps its connections and tokens.
        for (id, _) in has_ports.iter().filter(|(id, number)| ports.get(*id).map(|port| port.number) != Some(**number))
        {
            netd.delete_port(id).await?;
            self.ports.remove(id);
        }
        let mut refused = BTreeSet::new();
        for (id, segment) in &segments {
            if self.segments.get(id) != Some(segment) {
                // Whatever comes of it, what it had is not what it was.
                self.segments.remove(id);
                if self.is_taken(netd.put_segment(segment.clone()).await, id, &mut refused)? {
                    self.segments.insert(id.clone(), segment.clone());
                }
            }
        }
        for (id, port) in &ports {
            if self.ports.get(id) != Some(port) {
                self.ports.remove(id);
                if self.is_taken(netd.put_port(port.clone()).await, id, &mut refused)? {
                    self.ports.insert(id.clone(), port.clone());
                }
            }
        }
        for (names, hosts) in &hosts {
            if self.hosts.get(names) != Some(hosts) {
                self.hosts.remove(names);
                if self.is_taken(netd.put_hosts(hosts.clone()).await, names, &mut refused)? {
                    self.hosts.insert(names.clone(), hosts.clone());
                }
            }
        }
        for names in left_hosts.into_iter().filter(|names| !hosts.contains_key(names)) {
            netd.delete_hosts(&names).await?;
            self.hosts.remove(&names);
        }
        for id in left_segments.into_iter().filter(|id| !segments.contains_key(id)) {
            if self.is_taken(netd.delete_segment(&id).await, &id, &mut refused)? {
                self.segments.remove(&id);
            }
        }
        self.refused = refused;
        Ok(())
    }

    fn is_taken(
        &self,
        told: Result<(), BackendError>,
        id: &str,
        refused: &mut BTreeSet<String>,
    ) -> Result<bool, BackendError> {
        match told {
            Err(error) if error.is_final() => {
                if !self.refused.contains(id) && !refused.contains(id) {
                    tracing::error!(id, %error, "the local services do not answer for this");
                }
                refused.insert(id.to_owned());
                Ok(false)
            }
            told => told.map(|()| true),
        }
    }
}

/// What of it DHCPv6 can tell.
fn ipv6(addresses: &[IpAddr]) -> Vec<Ipv6Addr> {
    let ipv6 = |address: &IpAddr| match address {
        IpAddr::V6(address) => Some(*address),
        IpAddr::V4(_) => None,
    };
    addresses.iter().filter_map(ipv6).filter(|address| netd::is_unicast_v6(*address)).collect()
}

/// What of it DHCP can tell.
fn ipv4(addresses: &[IpAddr]) -> Vec<Ipv4Addr> {
    let ipv4 = |address: &IpAddr| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    };
    addresses.iter().filter_map(ipv4).filter(|address| netd::is_unicast(*address)).collect()
}

fn segment(described: &Described, services: &InterfaceServices) -> netd::Segment {
    let dhcp = &services.dhcp;
    // Options of before were not as strictly looked at.
    let domain_name = dhcp.domain_name.clone().filter(|names| netd::is_domain_list(names));
    netd::Segment {
        segment_id: described.segment_id.clone(),
        names: described.names.clone(),
        network: described.network,
        prefix_len: services.prefix_length,
        gateway: services.router,
        dns: described.name_server,
        gateway_mac: services.router_mac.to_string(),
        mtu: services.mtu_bytes,
        domain_name: domain_name.unwrap_or_else(|| described.domain_name.clone()),
        name_servers: ipv4(&services.name_servers),
        ntp_servers: ipv4(&dhcp.ntp_servers),
        netbios_name_servers: dhcp.netbios_name_servers.iter().copied().filter(|a| netd::is_unicast(*a)).collect(),
        netbios_node_type: dhcp.netbios_node_type,
        lease_s: services.lease_s,
        ipv6: described.ipv6.map(|block| netd::Ipv6Segment {
            network: block.network(),
            prefix_len: block.prefix_len(),
            name_servers: ipv6(&services.name_servers),
            ntp_servers: ipv6(&dhcp.ntp_servers),
        }),
    }
}

fn port(number: LocalNumber, described: &Described, services: &InterfaceServices) -> netd::Port {
    netd::Port {
        port_id: services.interface.0.clone(),
        number: number.0.into(),
        segment_id: described.segment_id.clone(),
        mac: services.mac.to_string(),
        ipv4: services.address,
        ipv6: described.ipv6_addresses.clone(),
        hostname: described.hostname.clone(),
        metadata: described.metadata.clone(),
    }
}
