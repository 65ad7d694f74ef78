//! What flows sample, as a collector gets it: of netd, and of ovs-vswitchd where the same can be asked of it.

use super::lab::Lab;
use super::namespace::{Namespace, wait};
use hive_ipfix::{Counts, Decoder, FlowKey};
use std::collections::BTreeMap;
use std::net::UdpSocket;

/// In the node's namespace.
struct Collector {
    socket: UdpSocket,
    decoder: Decoder,
    /// By what is the same in both switches: point, direction, addresses, protocol, ports, hops, type of service.
    flows: BTreeMap<String, Counts>,
}

impl Collector {
    fn new(node: &Namespace) -> Self {
        let socket = node.enter(|| UdpSocket::bind("127.0.0.1:0").unwrap());
        socket.set_nonblocking(true).unwrap();
        Self { socket, decoder: Decoder::default(), flows: BTreeMap::new() }
    }

    fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    fn collect(&mut self) {
        let mut buffer = [0; 65536];
        while let Ok(bytes) = self.socket.recv(&mut buffer) {
            self.decoder
                .message(&buffer[..bytes], |record| {
                    self.flows.entry(shown(&record.key)).or_default().add(&record.counts);
                })
                .unwrap();
        }
    }

    fn packets(&mut self) -> u64 {
        self.collect();
        self.flows.values().map(|counts| counts.packets).sum()
    }

    /// Packets, octets, SYN, FIN of each flow.
    fn counted(&self) -> BTreeMap<String, (u64, u64, u64, u64)> {
        let counted = |counts: &Counts| (counts.packets, counts.octets, counts.layer2_octets, counts.tcp.syn);
        self.flows.iter().map(|(flow, counts)| (flow.clone(), counted(counts))).collect()
    }
}

fn shown(key: &FlowKey) -> String {
    let ip = key.ip.map_or(String::new(), |ip| {
        format!("{} -> {} proto {} ttl {} tos {}", ip.source, ip.destination, ip.protocol, ip.ttl, ip.tos)
    });
    let FlowKey { domain, point, direction, ether_type, vlan_tci, transport, .. } = key;
    format!("{domain} {point} {direction} {ether_type:04x} {vlan_tci:?} {ip} {transport:?}")
}

fn collect_at(lab: &Lab, port: u16, timeout_s: u32) {
    lab.vsctl(&format!(
        "--id=@i create IPFIX targets=\"127.0.0.1:{port}\" cache_active_timeout={timeout_s} cache_max_flows=1000 \
         -- --id=@b get bridge br0 -- create Flow_Sample_Collector_Set id=7 bridge=@b ipfix=@i"
    ));
}

/// Of the flow that `meant` tells, the packets.
fn packets(dump: &str, meant: &str) -> u64 {
    let line = dump.lines().find(|line| line.contains(meant)).unwrap_or_else(|| panic!("{meant} is not in {dump}"));
    line.split("n_packets=").nth(1).and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap()
}

fn send(host: &Namespace, from: &'static str, to: &'static str, lengths: &'static [usize]) {
    host.enter(move || {
        let socket = UdpSocket::bind(from).unwrap();
        for length in lengths {
            socket.send_to(&vec![7; *length], to).unwrap();
        }
    });
}

/// The same flows and packets; what the switch exports of them.
fn exported(lab: &Lab) -> BTreeMap<String, (u64, u64, u64, u64)> {
    let [one, _two] = lab.hosts::<2>();
    let mut collector = Collector::new(&lab.node);
    collect_at(lab, collector.port(), 1);
    // Neighbours are known before anything is sampled, and nobody asks for them again.
    one.ping("10.1.0.2");
    for host in [&one, &_two] {
        let other = if std::ptr::eq(host, &one) { "10.1.0.2" } else { "10.1.0.1" };
        let neighbour = host.ip("neigh show dev eth0");
        let mac = neighbour.split("lladdr ").nth(1).and_then(|rest| rest.split_whitespace().next()).unwrap().to_owned();
        host.ip(&format!("neigh replace {other} lladdr {mac} dev eth0 nud permanent"));
    }
    lab.ofctl("del-flows br0");
    let sample = |point: u32, more: &str| {
        format!("sample(probability=65535,collector_set_id=7,obs_domain_id=3,obs_point_id={point}{more})")
    };
    for flow in [
        // What is dropped is told of too.
        format!("priority=30,udp,tp_dst=4000,actions={}", sample(1, "")),
        // As it is then: with another address and port.
        format!("priority=20,udp,tp_dst=5000,actions={},mod_nw_dst:10.1.0.9,mod_tp_dst:77,{},output:2", sample(2, ""), sample(3, "")),
        // Of a set that is not there nothing is told.
        "priority=20,udp,tp_dst=6000,actions=sample(probability=65535,collector_set_id=8,obs_domain_id=3,obs_point_id=9)".to_owned(),
        format!("priority=10,icmp,actions={},normal", sample(4, "")),
        "priority=5,arp,actions=normal".to_owned(),
        "priority=0,actions=drop".to_owned(),
    ] {
        lab.flow(&flow);
    }
    send(&one, "10.1.0.1:1111", "10.1.0.2:4000", &[10, 100, 1000]);
    send(&one, "10.1.0.1:2222", "10.1.0.2:4000", &[10]);
    send(&one, "10.1.0.1:1111", "10.1.0.2:5000", &[20, 20]);
    send(&one, "10.1.0.1:1111", "10.1.0.2:6000", &[20, 20]);
    one.ping("10.1.0.2");
    wait("all of it is exported", || collector.packets() >= 3 + 1 + 2 + 2 + 2);
    collector.counted()
}

#[test]
fn records_are_those_of_open_vswitch() {
    let (ours, theirs) = (exported(&Lab::new()), exported(&Lab::rival()));
    assert_eq!(ours, theirs);
    assert_eq!(ours.len(), 6, "{ours:?}");
    let first = ours.iter().find(|(flow, _)| flow.contains("Ports { source: 1111, destination: 4000 }")).unwrap();
    assert_eq!(*first.1, (3, 3 * 28 + 1110, 3 * 42 + 1110, 0));
}

/// A connection's packets go by one cached way, which counts them: none is missing, and none is told of twice.
#[test]
fn packets_of_cached_ways_are_all_told_of_once() {
    let lab = Lab::new();
    let [one, two] = lab.hosts::<2>();
    let mut collector = Collector::new(&lab.node);
    collect_at(&lab, collector.port(), 1);
    lab.ofctl("del-flows br0");
    let sample =
        |point: u32| format!("sample(probability=65535,collector_set_id=7,obs_domain_id=1,obs_point_id={point})");
    for flow in [
        "table=0,priority=10,arp,actions=NORMAL".to_owned(),
        "table=0,priority=5,ip,actions=ct(zone=5,table=1)".to_owned(),
        "table=1,priority=5,ct_state=+trk+new,ip,actions=ct(commit,zone=5,table=2)".to_owned(),
        "table=1,priority=5,ct_state=+trk+est,ip,actions=goto_table:2".to_owned(),
        format!("table=2,cookie=0x1,in_port=1,actions={},output:2", sample(1)),
        format!("table=2,cookie=0x2,in_port=2,actions={},output:1", sample(2)),
    ] {
        lab.flow(&flow);
    }
    one.stream(&two, "10.1.0.2", 20 << 20);
    wait("most went by a connection's way", || {
        let counters = lab.appctl("coverage/show");
        let line = counters.lines().find(|line| line.contains("datapath_fused_hits"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or(0) > 100
    });
    let of_flows = || {
        let dump = lab.ofctl("dump-flows br0");
        packets(&dump, "cookie=0x1,") + packets(&dump, "cookie=0x2,")
    };
    let mut counts = (0, 0);
    wait("the flows' own counters and what is told of agree", || {
        counts = (of_flows(), collector.packets());
        counts.0 > 100 && counts.0 == counts.1
    });
    let counted = collector.flows.iter().filter(|(flow, _)| flow.contains("10.1.0.1 -> 10.1.0.2 proto 6"));
    let octets: u64 = counted.clone().map(|(_, counts)| counts.octets).sum();
    assert!(octets > 20 << 20, "{octets}");
    // The one who asks sends a SYN alone; the one who answers acknowledges with every segment.
    let tcp = |from: &str| {
        let of_it = collector.flows.iter().find(|(flow, _)| flow.contains(from) && flow.contains("proto 6"));
        let counts = of_it.unwrap().1;
        (counts.tcp.syn, counts.packets - counts.tcp.ack, counts.tcp.fin)
    };
    assert_eq!(tcp("10.1.0.1 -> "), (1, 1, 1));
    assert_eq!(tcp("10.1.0.2 -> "), (1, 0, 1));
    let stats = lab.ofctl("dump-ipfix-flow br0");
    assert!(stats.contains("id   7:") && !stats.contains("pkts=0, errs=0"), "{stats}");
    // Without collectors nothing is counted, and the packets go on.
    lab.vsctl("-- --all destroy Flow_Sample_Collector_Set");
    let before = collector.packets();
    one.ping("10.1.0.2");
    assert_eq!(collector.packets(), before);
    let has_stats = || lab.try_ofctl("dump-ipfix-flow br0").unwrap_or_else(|error| error).contains("id   7:");
    wait("there are no counters of a set that is gone", || !has_stats());
}
