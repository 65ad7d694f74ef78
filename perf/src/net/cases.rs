//! What is asked of a switch: rules, and the traffic that goes through them.

use crate::virtio_net::{Stream, Vary};
use std::fmt::Write;
use std::net::Ipv4Addr;

/// MAC addresses of the two sides.
pub const MACS: [[u8; 6]; 2] = [[0x52, 0x54, 0, 0, 0, 1], [0x52, 0x54, 0, 0, 0, 2]];
const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 254, 0, 1);
const FIRST_DESTINATION: Ipv4Addr = Ipv4Addr::new(10, 240, 0, 0);
/// What the outside calls `SOURCE`.
const PUBLIC: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const FLOWS: u32 = 10_000;
/// More than a switch opens in the time of one measurement, so that each frame is a new connection.
const NEW_CONNECTIONS: u32 = 8 << 20;
pub const RULES: u32 = 100_000;

/// One measurement of throughput.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: &'static str,
    pub rules: String,
    pub streams: [Option<Stream>; 2],
    /// The least ratio to OVS-DPDK.
    pub of_ovs: f64,
    /// The least ratio to the limit of vhost-user, where that forwards the same frames.
    pub of_limit: Option<f64>,
    /// Each frame opens a connection: from the first one on they count, and only for a short time.
    pub connections_are_new: bool,
}

fn stream(frame_bytes: usize, flows: u32) -> Stream {
    Stream {
        macs: (MACS[0], MACS[1]),
        source: (SOURCE, 1000),
        destination: (FIRST_DESTINATION, 1001),
        vary: Vary::Destination,
        flows,
        frame_bytes,
    }
}

fn both_ways(stream: Stream) -> [Option<Stream>; 2] {
    [Some(stream), Some(stream.reversed())]
}

fn exact_rules(count: u32) -> String {
    let mut rules = String::new();
    for index in 0..count {
        let far = Ipv4Addr::from(u32::from(FIRST_DESTINATION) + index);
        let (udp, to, from) = ("priority=10,udp", "tp_src=1000,tp_dst=1001", "tp_src=1001,tp_dst=1000");
        let _ = writeln!(rules, "{udp},in_port=1,nw_src={SOURCE},nw_dst={far},{to},actions=output:2");
        let _ = writeln!(rules, "{udp},in_port=2,nw_src={far},nw_dst={SOURCE},{from},actions=output:1");
    }
    rules
}

/// 100,000 rules of different priorities and destinations, for the time to install them.
pub fn many_rules() -> String {
    (0..RULES)
        .map(|index| {
            let to = Ipv4Addr::from(u32::from(FIRST_DESTINATION) + index);
            format!("priority={},udp,nw_dst={to},tp_dst={},actions=output:2\n", 10 + index % 7, 1 + index % 60_000)
        })
        .collect()
}

const SECURITY_GROUP: &str = "\
table=0,priority=10,ip,ct_state=-trk,actions=ct(table=1,zone=1)
table=1,priority=30,ct_state=+trk+est-inv,ip,in_port=1,actions=output:2
table=1,priority=30,ct_state=+trk+est-inv,ip,in_port=2,actions=output:1
table=1,priority=20,ct_state=+trk+new,udp,in_port=1,tp_dst=1001,actions=ct(commit,zone=1),output:2
table=1,priority=1,actions=drop
";

fn elastic_address() -> String {
    format!(
        "\
table=0,priority=10,ip,in_port=2,nw_dst={PUBLIC},ct_state=-trk,actions=ct(table=1,zone=1,nat)
table=0,priority=10,ip,in_port=1,ct_state=-trk,actions=ct(table=1,zone=1,nat)
table=1,priority=30,ct_state=+trk+est-inv,ip,in_port=1,actions=output:2
table=1,priority=30,ct_state=+trk+est-inv,ip,in_port=2,actions=output:1
table=1,priority=20,ct_state=+trk+new,udp,in_port=2,tp_dst=1000,actions=ct(commit,zone=1,nat(dst={SOURCE})),output:1
table=1,priority=1,actions=drop
"
    )
}

/// Rules and traffic of the cases for loss, latency and memory too.
pub fn learned(frame_bytes: usize) -> (String, [Option<Stream>; 2]) {
    ("priority=0,actions=NORMAL\n".to_owned(), both_ways(stream(frame_bytes, 1)))
}

pub fn exact_flows() -> (String, [Option<Stream>; 2]) {
    (exact_rules(FLOWS), both_ways(stream(64, FLOWS)))
}

pub fn security_group() -> (String, [Option<Stream>; 2]) {
    (SECURITY_GROUP.to_owned(), both_ways(stream(64, FLOWS)))
}

/// New connections, one a frame, from one side.
pub fn new_connections() -> (String, [Option<Stream>; 2]) {
    (SECURITY_GROUP.to_owned(), [Some(stream(64, NEW_CONNECTIONS)), None])
}

pub fn all() -> Vec<Case> {
    let case = |name, (rules, streams), of_ovs, of_limit| Case {
        name,
        rules,
        streams,
        of_ovs,
        of_limit,
        connections_are_new: false,
    };
    // The outside speaks to the public address, the inside answers by its own.
    let outside = stream(64, FLOWS).reversed();
    let translated = [Some(stream(64, FLOWS)), Some(Stream { destination: (PUBLIC, 1000), ..outside })];
    vec![
        case("64 B learned L2", learned(64), 1.0, Some(0.8)),
        case("1500 B learned L2", learned(1500), 1.2, Some(0.8)),
        case("64 B 10,000 exact flows", exact_flows(), 1.05, Some(0.9)),
        case("64 B 10,000 connections, security group", security_group(), 1.5, Some(0.55)),
        case("64 B 10,000 connections, DNAT", (elastic_address(), translated), 1.5, None),
        Case { connections_are_new: true, ..case("new connections", new_connections(), 1.0, None) },
    ]
}
