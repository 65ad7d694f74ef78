//! A small region: a VPC with a public and a private subnet, some of it at another node, and a VPC beside it with the same addresses.

use crate::packet::{Ethernet, Ip};
use crate::switch::{SERVICES, TUNNEL, UPLINK};
use hive_openflow::PortNo;
use hive_vpc::model::{
    AclEntry, Association, ConnectionTracking, Destination, ElasticIp, IcmpKind, InternetGateway, MacAddress,
    MetadataOptions, NatGateway, NetworkAcl, NetworkInterface, Peer, PortRange, Route, RouteTable, RouteTarget,
    SecurityGroup, SecurityGroupRule, Subnet, Traffic, Vni, Vpc,
};
use hive_vpc::{Attachment, LocalNumber, Network, Node, Tunnel, Uplink};
use std::net::Ipv4Addr;

pub const VNI: Vni = Vni(5001);
pub const OTHER_VNI: Vni = Vni(5002);
pub const PEER: Ipv4Addr = Ipv4Addr::new(100, 127, 77, 2);
pub const ROUTER: MacAddress = MacAddress([0xfe, 0x48, 0x56, 0, 0x13, 0x89]);
pub const UPLINK_MAC: MacAddress = MacAddress([0x02, 0xff, 0, 0, 0, 1]);
pub const GATEWAY_MAC: MacAddress = MacAddress([0x02, 0xff, 0, 0, 0, 2]);
pub const WEB_PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
pub const NAT_PUBLIC: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 20);
pub const NAT_PRIVATE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 200);
pub const NAT_MAC: MacAddress = mac(0xc8);
/// Somebody on the internet.
pub const WORLD: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);
pub const NAT_NUMBER: u16 = 200;
/// Of the cable, 9200 bytes, what a tunnel leaves.
pub const TUNNEL_MTU: u16 = 9001;

pub const fn mac(last: u8) -> MacAddress {
    MacAddress([0x02, 0, 0, 0, 0, last])
}

/// An interface of the fixture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Host {
    pub id: &'static str,
    pub subnet: &'static str,
    pub group: &'static str,
    pub address: Ipv4Addr,
    pub mac: MacAddress,
    /// 0: at the other node.
    pub port: u16,
}

impl Host {
    pub fn number(self) -> u16 {
        100 + self.port
    }

    /// Frames to a neighbour.
    pub fn to(self, other: Self) -> (Ethernet, Ip) {
        (Ethernet::new(self.mac, other.mac), Ip::new(self.address, other.address))
    }

    /// Frames by the router.
    pub fn via_router(self, destination: Ipv4Addr) -> (Ethernet, Ip) {
        (Ethernet::new(self.mac, ROUTER), Ip::new(self.address, destination))
    }
}

const fn host(id: &'static str, subnet: &'static str, group: &'static str, address: [u8; 4], port: u16) -> Host {
    let [a, b, c, d] = address;
    // The same address in another VPC has the same hardware address too.
    Host { id, subnet, group, address: Ipv4Addr::new(a, b, c, d), mac: mac(c * 16 + d % 16), port }
}

/// Public subnet.
pub const WEB: Host = host("eni-web", "subnet-a", "sg-web", [10, 0, 1, 10], 1);
pub const WEB2: Host = host("eni-web2", "subnet-a", "sg-web", [10, 0, 1, 12], 5);
/// Private subnet.
pub const APP: Host = host("eni-app", "subnet-b", "sg-app", [10, 0, 2, 20], 2);
pub const DB: Host = host("eni-db", "subnet-b", "sg-db", [10, 0, 2, 30], 3);
/// At the other node.
pub const FAR: Host = host("eni-far", "subnet-b", "sg-app", [10, 0, 2, 40], 0);
/// Of another VPC.
pub const TWIN: Host = host("eni-twin", "subnet-o", "sg-open", [10, 0, 1, 10], 4);
/// Does not check source and destination.
pub const FORWARDER: Host = host("eni-fw", "subnet-a", "sg-open", [10, 0, 1, 14], 6);

pub const HOSTS: [Host; 7] = [WEB, WEB2, APP, DB, FAR, TWIN, FORWARDER];

/// The second address of `WEB`, which is nobody's in public.
pub const WEB_SECOND: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 11);

pub fn rule(traffic: Traffic, peer: Peer) -> SecurityGroupRule {
    SecurityGroupRule { traffic, peer }
}

pub fn cidr(text: &str) -> Peer {
    Peer::Cidr(text.parse().unwrap())
}

pub fn any() -> Peer {
    cidr("0.0.0.0/0")
}

pub fn tcp_port(port: u16) -> Traffic {
    Traffic::Tcp(PortRange::one(port))
}

fn group(ingress: Vec<(&str, SecurityGroupRule)>, egress: Vec<(&str, SecurityGroupRule)>) -> SecurityGroup {
    let rules = |rules: Vec<(&str, SecurityGroupRule)>| rules.into_iter().map(|(id, rule)| (id.into(), rule)).collect();
    SecurityGroup { ingress: rules(ingress), egress: rules(egress) }
}

pub fn allow_all() -> NetworkAcl {
    let entry = AclEntry { allow: true, traffic: Traffic::All, cidr: "0.0.0.0/0".parse().unwrap() };
    let v6 = AclEntry { cidr: "::/0".parse().unwrap(), ..entry };
    NetworkAcl { ingress: [(100, entry), (101, v6)].into(), egress: [(100, entry), (101, v6)].into() }
}

pub fn route(destination: &str, target: RouteTarget) -> Route {
    Route { destination: Destination::Cidr(destination.parse().unwrap()), target }
}

pub fn region() -> (Network, Node) {
    let mut network = Network::default();
    for (id, vni, table) in [("vpc-1", VNI, "rtb-main"), ("vpc-2", OTHER_VNI, "rtb-other")] {
        let vpc = Vpc {
            vni,
            ipv4_cidrs: vec!["10.0.0.0/16".parse().unwrap()],
            ipv6_cidrs: Vec::new(),
            dns_support: true,
            dhcp_options: None,
            main_route_table: table.into(),
        };
        network.vpcs.insert(id.into(), vpc);
    }
    let subnets = [
        ("subnet-a", "vpc-1", "10.0.1.0/24", "acl-a", Some("rtb-public")),
        ("subnet-b", "vpc-1", "10.0.2.0/24", "acl-b", None),
        ("subnet-o", "vpc-2", "10.0.1.0/24", "acl-o", None),
    ];
    for (id, vpc, cidr, acl, table) in subnets {
        let subnet = Subnet {
            vpc: vpc.into(),
            ipv4_cidr: cidr.parse().unwrap(),
            ipv6_cidr: None,
            acl: acl.into(),
            route_table: table.map(Into::into),
        };
        network.subnets.insert(id.into(), subnet);
        network.acls.insert(acl.into(), allow_all());
    }
    let internet = RouteTarget::InternetGateway("igw-1".into());
    let routes = vec![route("0.0.0.0/0", internet)];
    network.route_tables.insert("rtb-public".into(), RouteTable { routes });
    let routes = vec![route("0.0.0.0/0", RouteTarget::NatGateway("nat-1".into()))];
    network.route_tables.insert("rtb-main".into(), RouteTable { routes });
    network.route_tables.insert("rtb-other".into(), RouteTable::default());
    network.internet_gateways.insert("igw-1".into(), InternetGateway { vpc: Some("vpc-1".into()) });
    let nat = NatGateway { subnet: "subnet-a".into(), mac: NAT_MAC, private: NAT_PRIVATE };
    network.nat_gateways.insert("nat-1".into(), nat);
    let of_web = Association::Interface { interface: WEB.id.into(), private: WEB.address };
    let of_nat = Association::NatGateway("nat-1".into());
    for (id, public, association) in [("eipalloc-web", WEB_PUBLIC, of_web), ("eipalloc-nat", NAT_PUBLIC, of_nat)] {
        network.addresses.insert(id.into(), ElasticIp { public, association: Some(association) });
    }
    let everything = || rule(Traffic::All, any());
    let ping = Traffic::Icmp(IcmpKind { kind: Some(8), code: None });
    let app_ports = Traffic::Tcp(PortRange { first: 8080, last: 8090 });
    let groups = [
        (
            "sg-web",
            group(
                vec![
                    ("sgr-http", rule(tcp_port(80), any())),
                    ("sgr-web-ping", rule(ping, any())),
                    (
                        "sgr-web-self",
                        rule(Traffic::Udp(PortRange { first: 7000, last: 7100 }), Peer::Group("sg-web".into())),
                    ),
                ],
                vec![("sgr-web-out", everything())],
            ),
        ),
        (
            "sg-app",
            group(
                vec![
                    ("sgr-app", rule(app_ports, Peer::Group("sg-web".into()))),
                    ("sgr-app-udp", rule(Traffic::Udp(PortRange::one(9000)), cidr("10.0.0.0/16"))),
                ],
                vec![("sgr-app-out", everything())],
            ),
        ),
        (
            "sg-db",
            group(
                vec![("sgr-db", rule(tcp_port(5432), Peer::Group("sg-app".into())))],
                vec![("sgr-db-out", rule(Traffic::Udp(PortRange::one(53)), cidr("10.0.0.0/16")))],
            ),
        ),
        ("sg-open", group(vec![("sgr-open-in", everything())], vec![("sgr-open-out", everything())])),
    ];
    network.groups.extend(groups.into_iter().map(|(id, group)| (id.into(), group)));
    let mut node = Node {
        tunnel: Some(Tunnel { port: PortNo(TUNNEL), mtu_bytes: TUNNEL_MTU }),
        services: Some(PortNo(SERVICES)),
        uplink: Some(Uplink { port: PortNo(UPLINK), mac: UPLINK_MAC, gateway_mac: GATEWAY_MAC, mtu_bytes: 1500 }),
        ..Node::default()
    };
    node.nat_gateways.insert("nat-1".into(), LocalNumber(NAT_NUMBER));
    // Some of them, so that whatever is sent, it goes by the tables that sample.
    node.logged = [WEB, APP, DB, FORWARDER].map(|host| host.id.into()).into();
    for host in HOSTS {
        let interface = NetworkInterface {
            subnet: host.subnet.into(),
            mac: host.mac,
            primary: host.address,
            secondary: if host == WEB { [WEB_SECOND].into() } else { Default::default() },
            ipv6: Default::default(),
            groups: [host.group.into()].into(),
            source_dest_check: host != FORWARDER,
            metadata: MetadataOptions::default(),
            tracking: ConnectionTracking::default(),
        };
        network.interfaces.insert(host.id.into(), interface);
        if host.port == 0 {
            node.remote_interfaces.insert(host.id.into(), PEER);
        } else {
            let attachment = Attachment { port: PortNo(host.port), number: LocalNumber(host.number()) };
            node.interfaces.insert(host.id.into(), attachment);
        }
    }
    (network, node)
}
