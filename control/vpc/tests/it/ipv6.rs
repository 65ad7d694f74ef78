//! The same by IPv6.

use crate::bench::{Bench, INTERNET};
use crate::fixture::*;
use crate::packet::{ACK, Ethernet, Ip, SYN, icmp, neighbour, tcp, udp};
use crate::switch::Way;
use hive_vpc::model::{IcmpKind, MacAddress, Peer, PortRange, RouteTarget, Traffic};
use hive_vpc::{Network, Node};
use std::net::Ipv6Addr;

fn address(text: &str) -> Ipv6Addr {
    text.parse().unwrap()
}

/// The VPC has a range, and so have its subnets and some hosts.
fn with_ipv6(network: &mut Network, _: &mut Node) {
    network.vpcs.get_mut(&"vpc-1".into()).unwrap().ipv6_cidrs = vec!["2001:db8:0:100::/56".parse().unwrap()];
    for (subnet, range) in [("subnet-a", "2001:db8:0:101::/64"), ("subnet-b", "2001:db8:0:102::/64")] {
        network.subnets.get_mut(&subnet.into()).unwrap().ipv6_cidr = Some(range.parse().unwrap());
    }
    for host in [WEB, WEB2, APP, FAR] {
        network.interfaces.get_mut(&host.id.into()).unwrap().ipv6 = [of(host)].into();
    }
    let web = network.groups.get_mut(&"sg-web".into()).unwrap();
    web.ingress.insert("sgr-http6".into(), rule(tcp_port(80), cidr("::/0")));
    web.egress.insert("sgr-out6".into(), rule(Traffic::All, cidr("::/0")));
    let ping = Traffic::Icmpv6(IcmpKind { kind: Some(128), code: None });
    web.ingress.insert("sgr-ping6".into(), rule(ping, Peer::Group("sg-app".into())));
    let app = network.groups.get_mut(&"sg-app".into()).unwrap();
    app.egress.insert("sgr-app-out6".into(), rule(Traffic::All, cidr("::/0")));
    app.ingress
        .insert("sgr-app6".into(), rule(Traffic::Udp(PortRange { first: 1, last: 7 }), cidr("2001:db8:0:100::/56")));
    let routes = &mut network.route_tables.get_mut(&"rtb-public".into()).unwrap().routes;
    routes.push(route("::/0", RouteTarget::InternetGateway("igw-1".into())));
}

fn of(host: Host) -> Ipv6Addr {
    let [_, _, c, d] = host.address.octets();
    address(&format!("2001:db8:0:10{c}::{d}"))
}

const NOBODY: Ipv6Addr = Ipv6Addr::UNSPECIFIED;

#[test]
fn neighbours_are_found_and_nobody_is_another() {
    let mut bench = Bench::with(with_ipv6);
    let solicited = |target: Ipv6Addr| {
        let [.., a, b, c] = target.octets();
        let group = address(&format!("ff02::1:ff{a:02x}:{b:02x}{c:02x}"));
        (MacAddress([0x33, 0x33, 0xff, a, b, c]), group)
    };
    let asks = |host: Host, source: Ipv6Addr, target: Ipv6Addr, option: MacAddress| {
        let (mac, group) = solicited(target);
        let ip = Ip { ttl: 255, ..Ip::new(source, group) };
        neighbour(Ethernet::new(host.mac, mac), ip, 135, 0, target, (1, option))
    };
    let told = |host: Host, to: Ipv6Addr, target: Ipv6Addr, mac: MacAddress, flags: u32| {
        let ip = Ip { ttl: 255, ..Ip::new(target, to) };
        neighbour(Ethernet::new(mac, host.mac), ip, 136, flags, target, (2, mac))
    };
    let router = ROUTER.link_local();
    bench.passes(WEB, &asks(WEB, of(WEB), router, WEB.mac), WEB, told(WEB, of(WEB), router, ROUTER, 0xe000_0000));
    let own = WEB.mac.link_local();
    bench.passes(WEB, &asks(WEB, own, of(WEB2), WEB.mac), WEB, told(WEB, own, of(WEB2), WEB2.mac, 0x6000_0000));
    bench.passes(APP, &asks(APP, of(APP), of(FAR), APP.mac), APP, told(APP, of(APP), of(FAR), FAR.mac, 0x6000_0000));
    for target in [of(APP), of(WEB), address("2001:db8:0:101::99")] {
        bench.is_dropped(WEB, &asks(WEB, of(WEB), target, WEB.mac));
    }
    // As another; from nowhere, to see whether an address is free.
    bench.is_dropped(WEB, &asks(WEB, of(WEB2), router, WEB.mac));
    bench.is_dropped(WEB, &asks(WEB, of(WEB), router, WEB2.mac));
    bench.is_dropped(WEB, &asks(WEB, NOBODY, of(WEB2), WEB.mac));
    let claim = Ip { ttl: 255, ..Ip::new(of(WEB), of(WEB2)) };
    bench.is_dropped(WEB, &neighbour(Ethernet::new(WEB.mac, WEB2.mac), claim, 136, 0x2000_0000, of(WEB), (2, WEB.mac)));
    // Routers are solicited at the services port.
    let ip = Ip { ttl: 255, ..Ip::new(own, address("ff02::2")) };
    let solicitation = icmp(Ethernet::new(WEB.mac, MacAddress([0x33, 0x33, 0, 0, 0, 2])), ip, 133, 0, [0; 4], b"");
    bench.passes(WEB, &solicitation, Way::Services(WEB.number().into()), solicitation.clone());
    let ask = |target: &str, port| {
        udp(Ethernet::new(WEB.mac, ROUTER), Ip::new(of(WEB), address(target)), 546, port, b"question")
    };
    bench.passes(WEB, &ask("ff02::1:2", 547), Way::Services(WEB.number().into()), ask("ff02::1:2", 547));
    bench.passes(WEB, &ask("fd00:ec2::253", 53), Way::Services(WEB.number().into()), ask("fd00:ec2::253", 53));
    let metadata = tcp(Ethernet::new(WEB.mac, ROUTER), Ip::new(of(WEB), address("fd00:ec2::254")), 1, 80, SYN, (1, 0));
    bench.is_dropped(WEB, &metadata);
    bench.change(|network| network.interfaces.get_mut(&WEB.id.into()).unwrap().metadata.ipv6 = true);
    bench.passes(WEB, &metadata, Way::Services(WEB.number().into()), metadata.clone());
}

#[test]
fn ipv6_is_routed_and_filtered() {
    let mut bench = Bench::with(with_ipv6);
    let ip = |from: Host, to: Host| Ip::new(of(from), of(to));
    let sent = udp(Ethernet::new(WEB.mac, ROUTER), ip(WEB, APP), 9, 7, b"x");
    bench.passes(WEB, &sent, APP, udp(Ethernet::new(ROUTER, APP.mac), ip(WEB, APP), 9, 7, b"x"));
    let answer = udp(Ethernet::new(APP.mac, ROUTER), ip(APP, WEB), 7, 9, b"x");
    bench.passes(APP, &answer, WEB, udp(Ethernet::new(ROUTER, WEB.mac), ip(APP, WEB), 7, 9, b"x"));
    bench.is_dropped(WEB, &udp(Ethernet::new(WEB.mac, ROUTER), ip(WEB, APP), 9, 8, b"x"));
    bench.is_dropped(WEB, &udp(Ethernet::new(WEB.mac, ROUTER), ip(WEB2, APP), 9, 7, b"x"));
    // A group's members have both kinds of address.
    let ping = |ethernet, from, to| icmp(ethernet, ip(from, to), 128, 0, [0, 1, 0, 1], b"ping");
    let sent = ping(Ethernet::new(APP.mac, ROUTER), APP, WEB);
    bench.passes(APP, &sent, WEB, ping(Ethernet::new(ROUTER, WEB.mac), APP, WEB));
    let frame = ping(Ethernet::new(ROUTER, WEB.mac), FAR, WEB);
    bench.passes(FAR, &frame, WEB, frame.clone());
    let frame = ping(Ethernet::new(WEB2.mac, WEB.mac), WEB2, WEB);
    bench.is_dropped(WEB2, &frame);
    // The internet knows the address as it is.
    let world = address("2001:db8:ffff::1");
    let outbound = |ethernet| tcp(ethernet, Ip::new(of(WEB), world), 40000, 443, SYN, (1, 0));
    let out = Ethernet::new(UPLINK_MAC, GATEWAY_MAC);
    bench.passes(WEB, &outbound(Ethernet::new(WEB.mac, ROUTER)), INTERNET, outbound(out));
    let inbound = |ethernet, port| tcp(ethernet, Ip::new(world, of(WEB)), 5000, port, SYN, (1, 0));
    let from_gateway = Ethernet::new(GATEWAY_MAC, UPLINK_MAC);
    bench.passes(INTERNET, &inbound(from_gateway, 80), WEB, inbound(Ethernet::new(ROUTER, WEB.mac), 80));
    bench.is_dropped(INTERNET, &inbound(from_gateway, 22));
    // From a private subnet there is no way.
    let (source, to) = (of(APP), world);
    bench.is_dropped(APP, &udp(Ethernet::new(APP.mac, ROUTER), Ip::new(source, to), 1, 2, b"x"));
}

/// The private subnet may reach the internet, which may answer.
#[test]
fn an_egress_only_gateway_lets_answers_in() {
    let mut bench = Bench::with(|network, node| {
        with_ipv6(network, node);
        network.egress_only_gateways.insert("eigw-1".into(), "vpc-1".into());
        let target = RouteTarget::EgressOnlyGateway("eigw-1".into());
        network.route_tables.get_mut(&"rtb-main".into()).unwrap().routes.push(route("::/0", target));
        let anything = rule(Traffic::Tcp(PortRange::ALL), cidr("::/0"));
        network.groups.get_mut(&"sg-app".into()).unwrap().ingress.insert("sgr-app-in6".into(), anything);
    });
    let world = address("2001:db8:ffff::1");
    let (inside, outside) = (Ethernet::new(APP.mac, ROUTER), Ethernet::new(UPLINK_MAC, GATEWAY_MAC));
    let (from_gateway, to_app) = (Ethernet::new(GATEWAY_MAC, UPLINK_MAC), Ethernet::new(ROUTER, APP.mac));
    let out = |ethernet, flags, at| tcp(ethernet, Ip::new(of(APP), world), 40000, 443, flags, at);
    let back = |ethernet, flags, at| tcp(ethernet, Ip::new(world, of(APP)), 443, 40000, flags, at);
    // Whatever the security group says.
    bench.is_dropped(INTERNET, &back(from_gateway, SYN, (1, 0)));
    bench.is_dropped(INTERNET, &back(from_gateway, SYN | ACK, (7, 2)));
    bench.passes(APP, &out(inside, SYN, (1, 0)), INTERNET, out(outside, SYN, (1, 0)));
    bench.passes(INTERNET, &back(from_gateway, SYN | ACK, (7, 2)), APP, back(to_app, SYN | ACK, (7, 2)));
    bench.passes(APP, &out(inside, ACK, (2, 8)), INTERNET, out(outside, ACK, (2, 8)));
    bench.passes(INTERNET, &back(from_gateway, ACK, (8, 2)), APP, back(to_app, ACK, (8, 2)));
    let other = tcp(from_gateway, Ip::new(world, of(APP)), 443, 40001, SYN, (1, 0));
    bench.is_dropped(INTERNET, &other);
    // Of another VPC it leads nowhere.
    bench.change(|network| drop(network.egress_only_gateways.insert("eigw-1".into(), "vpc-2".into())));
    bench.is_dropped(APP, &out(inside, ACK, (2, 8)));
    // Beside an internet gateway each has its routes: who is reached by the one may come in by it, and nobody else.
    bench.change(|network| {
        network.egress_only_gateways.insert("eigw-1".into(), "vpc-1".into());
        let target = RouteTarget::InternetGateway("igw-1".into());
        network.route_tables.get_mut(&"rtb-main".into()).unwrap().routes.push(route("2001:db8:ffff::/48", target));
    });
    let begin = |ethernet, from| tcp(ethernet, Ip::new(from, of(APP)), 443, 40001, SYN, (1, 0));
    bench.passes(INTERNET, &begin(from_gateway, world), APP, begin(to_app, world));
    let first = |ethernet| tcp(ethernet, Ip::new(of(APP), world), 40002, 443, SYN, (1, 0));
    bench.passes(APP, &first(inside), INTERNET, first(outside));
    let second = |ethernet| tcp(ethernet, Ip::new(world, of(APP)), 443, 40002, SYN | ACK, (7, 2));
    bench.passes(INTERNET, &second(from_gateway), APP, second(to_app));
    let elsewhere = address("2001:db8:fffe::1");
    bench.is_dropped(INTERNET, &begin(from_gateway, elsewhere));
    let there = |ethernet| tcp(ethernet, Ip::new(of(APP), elsewhere), 1, 2, SYN, (1, 0));
    bench.passes(APP, &there(inside), INTERNET, there(outside));
    let answer = |ethernet| tcp(ethernet, Ip::new(elsewhere, of(APP)), 2, 1, SYN | ACK, (7, 2));
    bench.passes(INTERNET, &answer(from_gateway), APP, answer(to_app));
    // What came in by the internet gateway ends with its route.
    bench.change(|network| drop(network.route_tables.get_mut(&"rtb-main".into()).unwrap().routes.pop()));
    let go_on = tcp(from_gateway, Ip::new(world, of(APP)), 443, 40001, ACK, (2, 2));
    bench.is_dropped(INTERNET, &go_on);
}

#[test]
fn what_is_too_long_for_the_uplink_is_answered_at_the_services_port() {
    let mut bench = Bench::with(with_ipv6);
    let world = address("2001:db8:ffff::1");
    let sent = |ethernet, length: usize| udp(ethernet, Ip::new(of(WEB), world), 1, 2, &vec![7; length]);
    let (inside, outside) = (Ethernet::new(WEB.mac, ROUTER), Ethernet::new(UPLINK_MAC, GATEWAY_MAC));
    // 40 bytes of IPv6 and 8 of UDP.
    bench.passes(WEB, &sent(inside, 1452), INTERNET, sent(outside, 1452));
    let answered = Way::Services(WEB.number().into());
    bench.passes(WEB, &sent(inside, 1453), answered, sent(Ethernet::new(WEB.mac, ROUTER), 1453));
}
