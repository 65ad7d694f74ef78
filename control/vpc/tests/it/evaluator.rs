//! Security groups as AWS describes them, in the plainest way, against the switch: random rules, random packets.

use crate::bench::Bench;
use crate::fixture::*;
use crate::packet::{Ethernet, Ip, SYN, icmp, other, tcp, udp};
use crate::random::Random;
use crate::switch::{Way, under_test};
use hive_vpc::model::{GroupId, IcmpKind, Peer, PortRange, SecurityGroup, SecurityGroupRule, Traffic};
use hive_vpc::{LocalNumber, Network};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

/// Interfaces of one subnet, one a port.
const COUNT: u8 = 6;
const GROUPS: usize = 4;

fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 1, 100 + host)
}

fn hardware(host: u8) -> hive_vpc::model::MacAddress {
    mac(0xe0 + host)
}

fn group(number: usize) -> GroupId {
    GroupId(format!("sg-{number}"))
}

/// What tells a packet from others, as far as rules see it. Of ICMP: type and code; ports are then the identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Packet {
    from: u8,
    to: u8,
    protocol: u8,
    ports: (u16, u16),
    kind: (u8, u8),
}

impl Packet {
    fn frame(self) -> Vec<u8> {
        let ethernet = Ethernet::new(hardware(self.from), hardware(self.to));
        let ip = Ip::new(address(self.from), address(self.to));
        match self.protocol {
            1 => {
                let id = self.ports.0.to_be_bytes();
                icmp(ethernet, ip, self.kind.0, self.kind.1, [id[0], id[1], 0, 1], b"model")
            }
            6 => tcp(ethernet, ip, self.ports.0, self.ports.1, SYN, (1, 0)),
            17 => udp(ethernet, ip, self.ports.0, self.ports.1, b"model"),
            protocol => other(ethernet, ip, protocol, b"model..."),
        }
    }

    /// What its receiver would answer; `None`: it would not.
    fn answer(self) -> Option<Self> {
        let kind = match (self.protocol, self.kind.0) {
            (1, 8) => (0, 0),
            (1, 13) => (14, 0),
            (1, _) | (6, _) => return None,
            _ => self.kind,
        };
        let ports = if self.protocol == 1 { self.ports } else { (self.ports.1, self.ports.0) };
        Some(Self { from: self.to, to: self.from, ports, kind, ..self })
    }

    /// The same for both directions of a connection, whoever began it.
    fn connection(self) -> Connection {
        let (first, second) = if self.protocol == 1 { (self.ports.0, self.ports.0) } else { self.ports };
        [(self.from, first, self.protocol), (self.to, second, self.protocol)].into()
    }
}

/// "A rule applies to traffic of its protocol and ports or ICMP type and code, from or to its CIDR block, the addresses of its prefix
/// list, or the private addresses of the interfaces that its group is associated with."
fn applies(network: &Network, rule: &SecurityGroupRule, packet: Packet, peer: Ipv4Addr) -> bool {
    let is_peer = match &rule.peer {
        Peer::Cidr(cidr) => cidr.contains(&IpAddr::V4(peer)),
        Peer::PrefixList(list) => network.prefix_lists[list].iter().any(|cidr| cidr.contains(&IpAddr::V4(peer))),
        Peer::Group(group) => network.interfaces.values().any(|interface| {
            interface.groups.contains(group) && (interface.primary == peer || interface.secondary.contains(&peer))
        }),
    };
    let in_range = |range: PortRange| range.first <= packet.ports.1 && packet.ports.1 <= range.last;
    let is_kind = |kind: IcmpKind| {
        kind.kind.is_none_or(|kind| kind == packet.kind.0)
            && (kind.kind.is_none() || kind.code.is_none_or(|code| code == packet.kind.1))
    };
    is_peer
        && match rule.traffic {
            Traffic::All => true,
            Traffic::Protocol(protocol) => protocol == packet.protocol,
            Traffic::Tcp(range) => packet.protocol == 6 && in_range(range),
            Traffic::Udp(range) => packet.protocol == 17 && in_range(range),
            Traffic::Icmp(kind) => packet.protocol == 1 && is_kind(kind),
            Traffic::Icmpv6(_) => false,
        }
}

/// Both ends, each a host, its port and the protocol.
type Connection = BTreeSet<(u8, u16, u8)>;

/// Connections that each interface knows.
#[derive(Default)]
struct Evaluator {
    known: BTreeSet<(u8, Connection)>,
}

impl Evaluator {
    /// "All rules from all groups are evaluated; if any allows, it is allowed. Responses to allowed traffic may leave or enter
    /// whatever the rules."
    fn passes(&mut self, network: &Network, packet: Packet) -> bool {
        for (host, peer, is_egress) in [(packet.from, packet.to, true), (packet.to, packet.from, false)] {
            if self.known.contains(&(host, packet.connection())) {
                continue;
            }
            let interface = &network.interfaces[&id(host)];
            let allowed = interface.groups.iter().filter_map(|group| network.groups.get(group)).any(|group| {
                let rules = if is_egress { &group.egress } else { &group.ingress };
                rules.values().any(|rule| applies(network, rule, packet, address(peer)))
            });
            // An answer that nobody asked for is none.
            let begins = packet.protocol != 1 || matches!(packet.kind.0, 8 | 13);
            if !allowed || !begins {
                return false;
            }
            self.known.insert((host, packet.connection()));
        }
        true
    }
}

fn id(host: u8) -> hive_vpc::model::InterfaceId {
    format!("eni-{host}").as_str().into()
}

fn random_rule(random: &mut Random) -> SecurityGroupRule {
    let ports = |random: &mut Random| {
        let (first, last) = (random.below(40) as u16, random.below(40) as u16);
        match random.below(4) {
            0 => PortRange::ALL,
            1 => PortRange::one(first),
            _ => PortRange { first: first.min(last), last: first.max(last) },
        }
    };
    let traffic = match random.below(10) {
        0 => Traffic::All,
        1 => Traffic::Protocol(random.pick(&[47, 17])),
        2 | 3 => Traffic::Icmp(IcmpKind {
            kind: random.pick(&[None, Some(8), Some(13)]),
            code: random.pick(&[None, Some(0), Some(1)]),
        }),
        4..=6 => Traffic::Tcp(ports(random)),
        _ => Traffic::Udp(ports(random)),
    };
    let peer = match random.below(6) {
        0 => any(),
        1 => cidr(&format!("10.0.1.{}/32", 100 + random.below(COUNT.into()))),
        2 => cidr(&format!("10.0.1.{}/31", 100 + random.below(COUNT.into()) / 2 * 2)),
        3 => Peer::PrefixList("pl-1".into()),
        _ => Peer::Group(group(random.below(GROUPS))),
    };
    rule(traffic, peer)
}

fn random_network(random: &mut Random) -> (Network, hive_vpc::Node) {
    let (mut network, mut node) = region();
    let template = network.interfaces[&WEB2.id.into()].clone();
    network.interfaces.clear();
    network.groups.clear();
    network.addresses.clear();
    node.interfaces.clear();
    node.remote_interfaces.clear();
    let list = (0..3).map(|_| format!("10.0.1.{}/32", 100 + random.below(COUNT.into())).parse().unwrap());
    network.prefix_lists.insert("pl-1".into(), list.collect());
    for number in 0..GROUPS {
        let rules = |random: &mut Random, direction| {
            let count = random.below(7);
            (0..count)
                .map(|at| (format!("sgr-{number}-{direction}-{at}").as_str().into(), random_rule(random)))
                .collect()
        };
        let of_group = SecurityGroup { ingress: rules(random, 'i'), egress: rules(random, 'e') };
        network.groups.insert(group(number), of_group);
    }
    for host in 0..COUNT {
        let mut interface = template.clone();
        interface.primary = address(host);
        interface.mac = hardware(host);
        interface.groups = (0..GROUPS).filter(|_| random.chance(45)).map(group).collect();
        network.interfaces.insert(id(host), interface);
        let port = u16::from(host) + 1;
        let attachment = hive_vpc::Attachment { port: hive_openflow::PortNo(port), number: LocalNumber(100 + port) };
        node.interfaces.insert(id(host), attachment);
    }
    (network, node)
}

fn random_packet(random: &mut Random, number: u16) -> Packet {
    let from = random.below(COUNT.into()) as u8;
    let to = (from + 1 + random.below(usize::from(COUNT) - 1) as u8) % COUNT;
    let protocol = random.pick(&[1, 6, 6, 17, 17, 47]);
    let kind = if protocol == 1 { (random.pick(&[8, 13, 0]), 0) } else { (0, 0) };
    // The tracker knows no queries with a code, and takes port 0 for no port at all.
    let ports = if protocol == 47 { (0, 0) } else { (1000 + number, 1 + random.below(42) as u16) };
    let ports = if protocol == 1 { (1000 + number, 0) } else { ports };
    Packet { from, to, protocol, ports, kind }
}

#[test]
fn the_switch_decides_as_aws_says() {
    let (network, node) = region();
    let mut bench = Bench::on(under_test(), network, node);
    let (mut cases, mut passed) = (0, 0);
    for seed in 1..=12 {
        let mut random = Random::new(seed * 0x9e37_79b9);
        (bench.network, bench.node) = random_network(&mut random);
        bench.program();
        for host in 0..COUNT {
            bench.programmer.flush_zone(LocalNumber(101 + u16::from(host))).unwrap();
        }
        let mut evaluator = Evaluator::default();
        let mut packets: Vec<Packet> = (0..60).map(|number| random_packet(&mut random, number)).collect();
        packets.sort();
        let mut answers: Vec<Packet> = packets.iter().filter_map(|packet| packet.answer()).collect();
        answers.sort();
        // All that one sends, then the next, then the answers.
        for of_one in packets.chunk_by(|a, b| a.from == b.from).chain(answers.chunk_by(|a, b| a.from == b.from)) {
            let frames: Vec<_> = of_one.iter().map(|packet| packet.frame()).collect();
            let got: BTreeSet<_> =
                bench.switch.send(Way::Port(u16::from(of_one[0].from) + 1), &frames).into_iter().collect();
            let mut expected = BTreeSet::new();
            for packet in of_one {
                cases += 1;
                if evaluator.passes(&bench.network, *packet) {
                    expected.insert((Way::Port(u16::from(packet.to) + 1), packet.frame()));
                    passed += 1;
                }
            }
            if got != expected {
                for packet in of_one {
                    let out = (Way::Port(u16::from(packet.to) + 1), packet.frame());
                    if got.contains(&out) != expected.contains(&out) {
                        let groups = |host| &bench.network.interfaces[&id(host)].groups;
                        println!("{packet:?} passes: {}", got.contains(&out));
                        println!("{:?} {:?} {:#?}", groups(packet.from), groups(packet.to), bench.network.groups);
                        println!("{}", bench.switch.explain(Way::Port(u16::from(packet.from) + 1), &packet.frame()));
                    }
                }
                panic!("seed {seed}");
            }
        }
    }
    println!("{cases} packets, {passed} pass");
    assert!(cases > 800 && passed > cases / 10 && passed < cases * 9 / 10, "{cases} {passed}");
}
