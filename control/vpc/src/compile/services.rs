//! What the services port is to know of each interface: DHCP, names, time, metadata. And how long connections are kept.

use super::Compiler;
use super::local::{NAME_SERVER, NAME_SERVER_V6};
use crate::model::{ConnectionTracking, DhcpOptions, InterfaceId, MacAddress, MetadataOptions};
use std::net::{IpAddr, Ipv4Addr};

/// Longest IP packet within a VPC: option 26 of DHCP.
pub const MTU_BYTES: u16 = 9001;
/// Of AWS's DHCP server.
pub const LEASE_S: u32 = 3600;
/// A NAT gateway forgets a connection after this.
const NAT_IDLE_S: u32 = 350;

/// An interface as the services port knows it. Which packets come to it is the tables' affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceServices {
    pub interface: InterfaceId,
    pub mac: MacAddress,
    /// What all answers come from.
    pub router_mac: MacAddress,
    pub address: Ipv4Addr,
    pub prefix_length: u8,
    /// Also the DHCP server.
    pub router: Ipv4Addr,
    pub mtu_bytes: u16,
    pub lease_s: u32,
    /// As the options set or, if it sets none and the VPC has DNS, Amazon's.
    pub name_servers: Vec<IpAddr>,
    pub dhcp: DhcpOptions,
    pub metadata: MetadataOptions,
}

impl Compiler<'_> {
    pub(super) fn services(&mut self) {
        let default = DhcpOptions::default();
        for local in self.index.locals.clone() {
            let (interface, place) = (local.interface, local.place);
            self.out.zones.insert(local.number, interface.tracking);
            let set = place.vpc.dhcp_options.as_ref().and_then(|id| self.index.network.dhcp_options.get(id));
            let dhcp = set.unwrap_or(&default).clone();
            let amazon = place.vpc.name_server().unwrap_or(NAME_SERVER);
            let name_servers = match dhcp.domain_name_servers.as_slice() {
                [] if place.vpc.dns_support => vec![IpAddr::V4(amazon), IpAddr::V6(NAME_SERVER_V6)],
                servers => servers.to_vec(),
            };
            let services = InterfaceServices {
                interface: local.id.clone(),
                mac: interface.mac,
                router_mac: place.vpc.vni.router_mac(),
                address: interface.primary,
                prefix_length: place.subnet.ipv4_cidr.prefix_len(),
                router: place.subnet.router(),
                mtu_bytes: MTU_BYTES,
                lease_s: LEASE_S,
                name_servers,
                dhcp,
                metadata: interface.metadata,
            };
            self.out.services.insert(local.number, services);
        }
        for nat in &self.index.local_nats {
            let idle =
                ConnectionTracking { tcp_established_s: NAT_IDLE_S, udp_stream_s: NAT_IDLE_S, udp_s: NAT_IDLE_S };
            self.out.zones.insert(nat.number, idle);
        }
    }
}
