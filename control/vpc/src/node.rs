//! What is where, as one node sees it.

use crate::model::{InterfaceId, MacAddress, NatGatewayId};
use hive_openflow::PortNo;
use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

/// The number of an interface or NAT gateway of this node: in the tables' registers, as zone of the connection tracker, and as
/// `tun_id` of packets to and from the services port. Not 0, unique on the node. Before a number is given to another its zone must be
/// emptied: [`crate::Client::flush_zone`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LocalNumber(pub u16);

/// An interface at a port of the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attachment {
    pub port: PortNo,
    pub number: LocalNumber,
}

/// The port to the network that public addresses are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uplink {
    pub port: PortNo,
    /// What public addresses of this node are at.
    pub mac: MacAddress,
    /// The next router there.
    pub gateway_mac: MacAddress,
    /// Longest IP packet; AWS's internet gateway has 1500.
    pub mtu_bytes: u16,
}

/// The port to the other nodes: Geneve, with `key=flow` and `remote_ip=flow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tunnel {
    pub port: PortNo,
    /// Longest IP packet of an interface that fits through it.
    pub mtu_bytes: u16,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    pub interfaces: BTreeMap<InterfaceId, Attachment>,
    /// NAT gateways that this node is.
    pub nat_gateways: BTreeMap<NatGatewayId, LocalNumber>,
    /// The tunnel addresses of nodes that others are at.
    pub remote_interfaces: BTreeMap<InterfaceId, Ipv4Addr>,
    pub remote_nat_gateways: BTreeMap<NatGatewayId, Ipv4Addr>,
    pub tunnel: Option<Tunnel>,
    pub uplink: Option<Uplink>,
    /// Interfaces whose packets are sampled for flow logs: [`crate::flow_log`].
    pub logged: BTreeSet<InterfaceId>,
    /// Behind it DHCP, DNS, NTP and instance metadata are answered.
    pub services: Option<PortNo>,
}
