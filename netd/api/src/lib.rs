//! What may be asked of `netd` about its services: subnets (segments), guests' interfaces on them (ports), and what DHCP, DNS and
//! instance metadata answer each. Switch and devices are asked for in the database that `netd --db` follows.
//!
//! The control socket is a Unix stream socket. Each request is one JSON object on one line, at most [`MAX_LINE_BYTES`] long, and
//! is answered by one JSON line, in order: `echo '{"method":"list-ports"}' | socat - UNIX:control.sock`.
//! Every `put` is idempotent and replaces what was there; what was put survives a restart of the daemon, but for hosts elsewhere, whose
//! names are known again when they are put again.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

/// Longest request or reply line; bounds what a broken client can make the daemon hold.
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// Most segments of one daemon: each port may have one of its own.
pub const MAX_SEGMENTS: usize = 1024;
/// Most ports of one daemon.
pub const MAX_PORTS: usize = 1024;
/// Most hosts of one [`Hosts`], so that it fits a line, and of all: each takes some 300 bytes.
pub const MAX_HOSTS: usize = 16 << 10;
pub const MAX_HOSTS_IN_ALL: usize = 128 << 10;
/// Most IPv6 addresses of one port: EC2 gives an interface no more than 50.
pub const MAX_IPV6_ADDRESSES: usize = 64;
/// Most servers of a kind that DHCP names (the limit of EC2's DHCP option sets).
pub const MAX_DHCP_SERVERS: usize = 4;
/// Seconds that an address is leased for unless the segment says otherwise (EC2's).
pub const DEFAULT_LEASE_S: u32 = 3600;
/// Longest host or domain name (RFC 1035 2.3.4), and longest list of domains: DHCP options hold two bytes more.
pub const MAX_NAME_BYTES: usize = 253;
/// Largest user data, decoded (EC2's limit).
pub const MAX_USER_DATA_BYTES: usize = 16 << 10;

/// Letters, digits and hyphens in dot-separated labels of 1 to 63 (RFC 1123 2.1).
pub fn is_host_name(name: &str) -> bool {
    name.len() <= MAX_NAME_BYTES
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        })
}

/// [`Segment::domain_name`]: host names with single spaces between them.
pub fn is_domain_list(names: &str) -> bool {
    names.len() <= MAX_NAME_BYTES && names.split(' ').all(is_host_name)
}

/// An address that a host may have.
pub fn is_unicast(address: Ipv4Addr) -> bool {
    // 0/8 is this network, 127/8 the host itself, 224/4 multicast, 240/4 reserved or all hosts (RFC 6890).
    !matches!(address.octets()[0], 0 | 127 | 224..)
}

/// An IPv6 address that a host may have.
pub fn is_unicast_v6(address: Ipv6Addr) -> bool {
    // Nobody, the host itself, groups, and IPv4 addresses, which are in no IPv6 packet (RFC 6890).
    let is_ipv4 = matches!(address.segments(), [0, 0, 0, 0, 0, 0xffff, ..]);
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || is_ipv4)
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Request {
    PutSegment(Segment),
    /// Refused while a port is on it. Deleting what is not there succeeds.
    DeleteSegment {
        segment_id: String,
    },
    ListSegments,
    PutPort(Port),
    DeletePort {
        port_id: String,
    },
    /// In short, for there may be many.
    ListPorts,
    /// As it was put.
    DescribePort {
        port_id: String,
    },
    PutHosts(Hosts),
    /// Deleting what is not there succeeds.
    DeleteHosts {
        names: String,
    },
    /// In short.
    ListHosts,
    Metrics,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Done,
    Segments(Vec<Segment>),
    Ports(Vec<PortStatus>),
    Port(Port),
    /// How many are known, by [`Hosts::names`].
    Hosts(BTreeMap<String, usize>),
    Metrics(Metrics),
    Error {
        kind: ErrorKind,
        message: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    NotFound,
    InUse,
    Invalid,
    TooMany,
    Io,
}

/// One subnet, of IPv4 and perhaps of IPv6 too, and what its guests are told of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// 1 to 64 of `[a-z0-9-]`.
    pub segment_id: String,
    /// Segments with the same text here know each other's host names in DNS, forward and reverse; in the form of `segment_id`. Empty:
    /// the segment's own id, which no other segment's text should then be.
    #[serde(default)]
    pub names: String,
    /// Network address of the subnet.
    pub network: Ipv4Addr,
    pub prefix_len: u8,
    /// The way out (DHCP option 3) and the DHCP server; the services answer its ARP and ICMP echo requests.
    pub gateway: Ipv4Addr,
    /// Where DNS is answered, beside 169.254.169.253: any unicast address, on the subnet or not.
    pub dns: Ipv4Addr,
    /// MAC of the gateway and of all local services.
    pub gateway_mac: String,
    pub mtu: u16,
    /// DHCP option 15, sent as it stands: one or more names with single spaces between them. DNS answers in the first.
    pub domain_name: String,
    /// DHCP option 6, in this order, at most [`MAX_DHCP_SERVERS`], as of each list below; an empty list is not sent.
    #[serde(default)]
    pub name_servers: Vec<Ipv4Addr>,
    /// DHCP option 42.
    #[serde(default)]
    pub ntp_servers: Vec<Ipv4Addr>,
    /// DHCP option 44.
    #[serde(default)]
    pub netbios_name_servers: Vec<Ipv4Addr>,
    /// DHCP option 46: 1, 2, 4 or 8 (RFC 2132, 8.7).
    #[serde(default)]
    pub netbios_node_type: Option<u8>,
    /// Seconds that an address is leased for, at least 60.
    #[serde(default = "default_lease_s")]
    pub lease_s: u32,
    /// None: nothing of IPv6 is answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ipv6: Option<Ipv6Segment>,
}

/// What a subnet has of IPv6. The router and DHCP server is [`Segment::gateway_mac`]'s link-local address, which advertises itself with
/// [`Segment::mtu`]; names are answered at fd00:ec2::253.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ipv6Segment {
    /// Network address of the subnet.
    pub network: Ipv6Addr,
    pub prefix_len: u8,
    /// DHCPv6 option 23, in this order, at most [`MAX_DHCP_SERVERS`], as of the list below; an empty list is not sent.
    #[serde(default)]
    pub name_servers: Vec<Ipv6Addr>,
    /// DHCPv6 options 56 (NTP) and 31 (SNTP): clients know the one or the other.
    #[serde(default)]
    pub ntp_servers: Vec<Ipv6Addr>,
}

fn default_lease_s() -> u32 {
    DEFAULT_LEASE_S
}

/// A guest's interface, as the services know it. Its device is an interface of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// 1 to 64 of `[a-z0-9-]`.
    pub port_id: String,
    pub segment_id: String,
    /// The guest's MAC; whatever claims another source is not answered.
    pub mac: String,
    /// Leased by DHCP.
    pub ipv4: Ipv4Addr,
    /// Leased by DHCPv6, the primary one first; at most [`MAX_IPV6_ADDRESSES`]. Those outside [`Segment::ipv6`] are not, so that a subnet
    /// and its ports may be put in any order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ipv6: Vec<Ipv6Addr>,
    /// DHCP option 12 and the name that DNS answers in the segment's domain.
    pub hostname: String,
    pub metadata: MetadataService,
    /// What the switch knows the port by: `tun_id` of what comes to, and from, its interfaces of type `services`. Not 0, and no other
    /// port's.
    pub number: u64,
}

/// Who is elsewhere: hosts that segments of these names know in DNS, though they are no ports here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hosts {
    /// [`Segment::names`]; in the form of `segment_id`.
    pub names: String,
    /// As [`Segment::domain_name`].
    pub domain_name: String,
    /// Host names by address, at most [`MAX_HOSTS`]. A port that has one of the addresses or names goes before.
    pub hosts: BTreeMap<Ipv4Addr, String>,
}

/// What 169.254.169.254, and fd00:ec2::254, answer on a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataService {
    pub enabled: bool,
    /// IMDSv2 only: a request without a token gets 401.
    pub token_required: bool,
    /// IP TTL, or hop limit, of answers to token requests, 1 to 64.
    pub hop_limit: u8,
    /// fd00:ec2::254 answers too (EC2's HttpProtocolIpv6).
    #[serde(default)]
    pub ipv6: bool,
    /// Leaf path below `/latest/` -> text, as `meta-data/instance-id`, `dynamic/instance-identity/document`. Directory listings
    /// are made from these paths; every dated version (`/2021-03-23/`) serves the same tree.
    pub tree: BTreeMap<String, String>,
    /// `/latest/user-data`, standard base64; None answers 404.
    #[serde(default)]
    pub user_data: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatus {
    pub port_id: String,
    pub number: u64,
    /// Since the port was put with its number and address, or since the daemon started if that is later.
    pub metrics: Metrics,
}

/// What was asked and answered since the daemon started: of all ports, or of one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Frames that the services were given.
    pub asked_packets: u64,
    pub asked_bytes: u64,
    /// Frames that they gave the switch.
    pub answered_packets: u64,
    pub answered_bytes: u64,
    /// Frames that were not answered, by reason (`unknown-number`, `spoofed-mac`, `malformed`, ...).
    pub drops: BTreeMap<String, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_what_is_on_no_link_are_no_hosts_addresses() {
        for (text, expected) in [
            ("2001:db8::5", true),
            ("fe80::1", true),
            ("fd00:ec2::253", true),
            ("::", false),
            ("::1", false),
            ("ff02::1", false),
            ("ff3e::1", false),
            ("::ffff:10.0.0.5", false),
        ] {
            assert_eq!(is_unicast_v6(text.parse().unwrap()), expected, "{text}");
        }
    }
}
