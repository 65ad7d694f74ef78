//! What may be asked of `netd`: layer-2 segments, guests' ports on them, and what the local services answer on a port.
//!
//! The control socket is a Unix stream socket. Each request is one JSON object on one line, at most [`MAX_LINE_BYTES`] long, and
//! is answered by one JSON line, in order: `echo '{"method":"list-ports"}' | socat - UNIX:control.sock`.
//! Every `put` is idempotent and replaces what was there; what was put survives a restart of the daemon.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::PathBuf;

/// Longest request or reply line; bounds what a broken client can make the daemon hold.
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// Most ports of one daemon.
pub const MAX_PORTS: usize = 1024;
/// Most queue pairs of one port.
pub const MAX_QUEUE_PAIRS: u16 = 8;
/// Largest user data, decoded (EC2's limit).
pub const MAX_USER_DATA_BYTES: usize = 16 << 10;

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
    ListPorts,
    Metrics,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Done,
    /// The vhost-user-net socket that the port's guest connects to.
    Port {
        socket: PathBuf,
    },
    Segments(Vec<Segment>),
    Ports(Vec<PortStatus>),
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

/// A layer-2 broadcast domain with one IPv4 subnet. Ports of different segments do not meet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// 1 to 64 of `[a-z0-9-]`.
    pub segment_id: String,
    /// Network address of the subnet.
    pub network: Ipv4Addr,
    pub prefix_len: u8,
    /// Answered by the services port (ARP, ICMP echo); the way out.
    pub gateway: Ipv4Addr,
    /// DNS resolver's address, answered by the services port beside 169.254.169.253.
    pub dns: Ipv4Addr,
    /// MAC of the gateway and of all local services.
    pub gateway_mac: String,
    pub mtu: u16,
    /// DHCP option 15.
    pub domain_name: String,
    /// Reachable from the host, and guests from it, over the uplink with source NAT.
    pub uplink: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// 1 to 64 of `[a-z0-9-]`; names the socket.
    pub port_id: String,
    pub segment_id: String,
    /// The one MAC that may send here (anti-spoofing).
    pub mac: String,
    /// The one IPv4 address that may send here; leased by DHCP.
    pub ipv4: Ipv4Addr,
    #[serde(default = "one")]
    pub queue_pairs: u16,
    /// DHCP option 12 and the name DNS answers in the segment's domain.
    pub hostname: String,
    pub metadata: MetadataService,
    /// What a switch that is managed by OVSDB and OpenFlow knows the port by: `tun_id` of what comes to, and from, its `services` ports.
    /// Not 0. Its device is then an interface of the database, and no socket of its own is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub number: Option<u64>,
}

fn one() -> u16 {
    1
}

/// What 169.254.169.254 answers on a port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetadataService {
    pub enabled: bool,
    /// IMDSv2 only: a request without a token gets 401.
    pub token_required: bool,
    /// IP TTL of answers to token requests, 1 to 64.
    pub hop_limit: u8,
    /// Leaf path below `/latest/` -> text, as `meta-data/instance-id`, `dynamic/instance-identity/document`. Directory listings
    /// are made from these paths; every dated version (`/2021-03-23/`) serves the same tree.
    pub tree: BTreeMap<String, String>,
    /// `/latest/user-data`, standard base64; None answers 404.
    #[serde(default)]
    pub user_data: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatus {
    pub port: Port,
    pub socket: PathBuf,
    pub connected: bool,
    /// Why the port was stopped, when a guest's ring was malformed.
    pub fault: Option<String>,
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_bytes: u64,
    pub tx_bytes: u64,
}

/// Counters since the daemon started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    pub forwarded_packets: u64,
    pub flooded_packets: u64,
    /// Drops by reason (`spoofed-mac`, `spoofed-ipv4`, `no-buffers`, `malformed`, ...).
    pub drops: BTreeMap<String, u64>,
}
