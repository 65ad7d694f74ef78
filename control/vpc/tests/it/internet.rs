//! Internet gateway, Elastic IPs and NAT gateways.

use crate::bench::{Bench, INTERNET};
use crate::fixture::*;
use crate::packet::{ACK, Arp, Ethernet, Ip, SYN, arp, fragments, icmp, ip_packet, tcp, udp, udp_message};
use crate::switch::{SERVICES, Way};
use hive_vpc::model::{Association, ElasticIp, MacAddress, RouteTarget, Traffic};
use std::net::Ipv4Addr;

const IN: Ethernet = Ethernet { source: GATEWAY_MAC.0, destination: UPLINK_MAC.0 };
const OUT: Ethernet = Ethernet { source: UPLINK_MAC.0, destination: GATEWAY_MAC.0 };

fn delivered(host: Host) -> Ethernet {
    Ethernet::new(ROUTER, host.mac)
}

#[test]
fn an_elastic_ip_is_another_name_that_the_instance_never_sees() {
    let mut bench = Bench::new();
    let inside = |ethernet, source, destination, ports: (u16, u16), flags| {
        tcp(ethernet, Ip::new(source, destination), ports.0, ports.1, flags, (1, 1))
    };
    // From inside, and the answer.
    let sent = inside(Ethernet::new(WEB.mac, ROUTER), WEB.address, WORLD, (40000, 443), SYN);
    bench.passes(WEB, &sent, INTERNET, inside(OUT, WEB_PUBLIC, WORLD, (40000, 443), SYN));
    let answer = inside(IN, WORLD, WEB_PUBLIC, (443, 40000), SYN | ACK);
    bench.passes(INTERNET, &answer, WEB, inside(delivered(WEB), WORLD, WEB.address, (443, 40000), SYN | ACK));
    // From outside, as the groups allow.
    let asked = inside(IN, WORLD, WEB_PUBLIC, (5000, 80), SYN);
    bench.passes(INTERNET, &asked, WEB, inside(delivered(WEB), WORLD, WEB.address, (5000, 80), SYN));
    bench.is_dropped(INTERNET, &inside(IN, WORLD, WEB_PUBLIC, (5000, 22), SYN));
    // Not by its private address, nor in another's name, nor to another hardware address.
    bench.is_dropped(INTERNET, &inside(IN, WORLD, WEB.address, (5000, 80), SYN));
    for source in [WEB2.address, APP.address, Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(169, 254, 169, 254)] {
        bench.is_dropped(INTERNET, &inside(IN, source, WEB_PUBLIC, (5000, 80), SYN));
    }
    let elsewhere = Ethernet { destination: mac(0x33).0, ..IN };
    bench.is_dropped(INTERNET, &inside(elsewhere, WORLD, WEB_PUBLIC, (5000, 80), SYN));
    // Who has no public address is not there, though routed.
    bench.is_dropped(WEB2, &inside(Ethernet::new(WEB2.mac, ROUTER), WEB2.address, WORLD, (40000, 443), SYN));
    bench.is_dropped(WEB, &inside(Ethernet::new(WEB.mac, ROUTER), WEB_SECOND, WORLD, (40000, 443), SYN));
    // The uplink's network asks for the address.
    let asks = |target| {
        let question = Arp { operation: 1, sender: (GATEWAY_MAC, WORLD), target: (MacAddress([0; 6]), target) };
        arp(Ethernet::new(GATEWAY_MAC, MacAddress([0xff; 6])), question)
    };
    for public in [WEB_PUBLIC, NAT_PUBLIC] {
        let answer = Arp { operation: 2, sender: (UPLINK_MAC, public), target: (GATEWAY_MAC, WORLD) };
        bench.passes(INTERNET, &asks(public), INTERNET, arp(OUT, answer));
    }
    bench.is_dropped(INTERNET, &asks(WEB.address));
}

#[test]
fn without_a_route_to_a_gateway_there_is_no_internet() {
    let mut bench = Bench::new();
    let out = udp(Ethernet::new(WEB.mac, ROUTER), Ip::new(WEB.address, WORLD), 1, 2, b"x");
    let ping = icmp(IN, Ip::new(WORLD, WEB_PUBLIC), 8, 0, [0; 4], b"ping");
    let arrived = icmp(delivered(WEB), Ip::new(WORLD, WEB.address), 8, 0, [0; 4], b"ping");
    bench.passes(WEB, &out, INTERNET, udp(OUT, Ip::new(WEB_PUBLIC, WORLD), 1, 2, b"x"));
    bench.passes(INTERNET, &ping, WEB, arrived.clone());
    bench.change(|network| network.route_tables.get_mut(&"rtb-public".into()).unwrap().routes.clear());
    bench.is_dropped(WEB, &out);
    bench.is_dropped(INTERNET, &ping);
    let internet = || RouteTarget::InternetGateway("igw-1".into());
    bench.change(|network| {
        network.route_tables.get_mut(&"rtb-public".into()).unwrap().routes = vec![route("203.0.0.0/8", internet())];
    });
    bench.passes(INTERNET, &ping, WEB, arrived);
    // A detached gateway is a blackhole.
    bench.change(|network| network.internet_gateways.get_mut(&"igw-1".into()).unwrap().vpc = None);
    bench.is_dropped(WEB, &out);
    bench.is_dropped(INTERNET, &ping);
    // An address in a private subnet.
    let mut bench = Bench::with(|network, _| {
        let of_app = Association::Interface { interface: APP.id.into(), private: APP.address };
        let public = Ipv4Addr::new(198, 51, 100, 30);
        network.addresses.insert("eipalloc-app".into(), ElasticIp { public, association: Some(of_app) });
        let app = network.groups.get_mut(&"sg-app".into()).unwrap();
        app.ingress.insert("sgr-all".into(), rule(Traffic::All, any()));
    });
    let ping = icmp(IN, Ip::new(WORLD, Ipv4Addr::new(198, 51, 100, 30)), 8, 0, [0; 4], b"ping");
    bench.is_dropped(INTERNET, &ping);
}

/// What a NAT gateway made of a packet: the port it chose.
fn translated(bench: &mut Bench, from: Host, sent: Vec<u8>) -> u16 {
    let got = bench.switch.send(from.into(), &[sent]);
    let [(INTERNET, frame)] = got.as_slice() else { panic!("{got:?}") };
    assert_eq!(Ipv4Addr::new(frame[26], frame[27], frame[28], frame[29]), NAT_PUBLIC);
    let port = u16::from_be_bytes([frame[34], frame[35]]);
    assert!(port >= 1024, "{port}");
    port
}

fn via_router(host: Host) -> Ethernet {
    if host.port == 0 { Ethernet::new(ROUTER, NAT_MAC) } else { Ethernet::new(host.mac, ROUTER) }
}

#[test]
fn a_nat_gateway_hides_many_behind_one_address() {
    let mut bench = Bench::new();
    // Two hosts, here and at the other node, from one port to one destination.
    let mut ports = Vec::new();
    for host in [APP, FAR] {
        let sent = udp(via_router(host), Ip::new(host.address, WORLD), 40000, 443, b"question");
        let port = translated(&mut bench, host, sent.clone());
        let expected = udp(OUT, Ip::new(NAT_PUBLIC, WORLD), port, 443, b"question");
        bench.passes(host, &sent, INTERNET, expected);
        let answer = udp(IN, Ip::new(WORLD, NAT_PUBLIC), 443, port, b"answer");
        let arrived = udp(delivered(host), Ip::new(WORLD, host.address), 443, 40000, b"answer");
        bench.passes(INTERNET, &answer, host, arrived);
        ports.push(port);
    }
    assert_ne!(ports[0], ports[1]);
    // A port below 1024 is not kept.
    let low = udp(via_router(APP), Ip::new(APP.address, WORLD), 500, 500, b"x");
    translated(&mut bench, APP, low);
    // Ping.
    let ip = Ip::new(APP.address, WORLD);
    let sent = icmp(via_router(APP), ip, 8, 0, [0x12, 0x34, 0, 1], b"ping");
    let got = bench.switch.send(APP.into(), &[sent]);
    let [(INTERNET, frame)] = got.as_slice() else { panic!("{got:?}") };
    let id = [frame[38], frame[39]];
    assert_eq!(*frame, icmp(OUT, Ip::new(NAT_PUBLIC, WORLD), 8, 0, [id[0], id[1], 0, 1], b"ping"));
    let pong = icmp(IN, Ip::new(WORLD, NAT_PUBLIC), 0, 0, [id[0], id[1], 0, 1], b"ping");
    let arrived = icmp(delivered(APP), Ip::new(WORLD, APP.address), 0, 0, [0x12, 0x34, 0, 1], b"ping");
    bench.passes(INTERNET, &pong, APP, arrived);
    // An error about what was translated is translated, within too.
    let quoted = |source, port| {
        let ip = Ip::new(source, WORLD);
        ip_packet(ip, 17, &udp_message(ip, port, 443, b"question"))
    };
    let router = Ipv4Addr::new(203, 0, 113, 1);
    let error = |ethernet, to, quoted: Vec<u8>| icmp(ethernet, Ip::new(router, to), 3, 1, [0; 4], &quoted);
    let got = bench.switch.send(INTERNET, &[error(IN, NAT_PUBLIC, quoted(NAT_PUBLIC, ports[0]))]);
    let [(way, frame)] = got.as_slice() else { panic!("{got:?}") };
    assert_eq!(*way, APP.into());
    assert_eq!(
        crate::switch::hex(frame),
        crate::switch::hex(&error(delivered(APP), APP.address, quoted(APP.address, 40000)))
    );
    // Large ones, in pieces.
    let cut = |ethernet, ip, ports: (u16, u16)| {
        fragments(ethernet, ip, 17, 31, &udp_message(ip, ports.0, ports.1, &[5; 2000]), 1480)
    };
    let out = cut(OUT, Ip::new(NAT_PUBLIC, WORLD), (ports[0], 443)).into_iter().map(|frame| (INTERNET, frame));
    bench.expect(APP, &cut(via_router(APP), Ip::new(APP.address, WORLD), (40000, 443)), &out.collect::<Vec<_>>());
}

#[test]
fn nobody_reaches_in_through_a_nat_gateway() {
    let mut bench = Bench::new();
    let sent = udp(via_router(APP), Ip::new(APP.address, WORLD), 40000, 443, b"question");
    let port = translated(&mut bench, APP, sent);
    for (source, ports) in [
        (WORLD, (444, port)),
        (WORLD, (443, port.wrapping_add(1))),
        (Ipv4Addr::new(203, 0, 113, 8), (443, port)),
        (WORLD, (80, 80)),
    ] {
        bench.is_dropped(INTERNET, &udp(IN, Ip::new(source, NAT_PUBLIC), ports.0, ports.1, b"hello"));
    }
    bench.is_dropped(INTERNET, &icmp(IN, Ip::new(WORLD, NAT_PUBLIC), 8, 0, [0; 4], b"ping"));
    bench.is_dropped(INTERNET, &tcp(IN, Ip::new(WORLD, NAT_PUBLIC), 443, port, SYN, (1, 0)));
    bench.is_dropped(INTERNET, &tcp(IN, Ip::new(WORLD, NAT_PUBLIC), 443, port, SYN | ACK, (1, 1)));
    // Nor is it a host, or translates what is no TCP, UDP or ICMP.
    let (ethernet, ip) = APP.via_router(NAT_PRIVATE);
    bench.is_dropped(APP, &icmp(ethernet, ip, 8, 0, [0; 4], b"ping"));
    let (ethernet, ip) = APP.via_router(WORLD);
    bench.is_dropped(APP, &crate::packet::other(ethernet, ip, 47, b"....gre"));
    // What comes back goes to interfaces only, whatever the gateway's routes.
    let answer = udp(IN, Ip::new(WORLD, NAT_PUBLIC), 443, port, b"answer");
    let routes =
        |target| vec![route("0.0.0.0/0", RouteTarget::InternetGateway("igw-1".into())), route("10.0.2.0/24", target)];
    for target in [RouteTarget::NatGateway("nat-1".into()), RouteTarget::InternetGateway("igw-1".into())] {
        bench.change(|network| network.route_tables.get_mut(&"rtb-public".into()).unwrap().routes = routes(target));
        bench.is_dropped(INTERNET, &answer);
    }
    bench.change(|network| {
        network.route_tables.get_mut(&"rtb-public".into()).unwrap().routes = routes(RouteTarget::Local);
    });
    bench.passes(INTERNET, &answer, APP, udp(delivered(APP), Ip::new(WORLD, APP.address), 443, 40000, b"answer"));
    // In a subnet whose default route leads to itself it reaches nothing.
    bench.change(|network| {
        let routes = vec![route("0.0.0.0/0", RouteTarget::NatGateway("nat-1".into()))];
        network.route_tables.get_mut(&"rtb-public".into()).unwrap().routes = routes;
    });
    bench.is_dropped(APP, &udp(via_router(APP), Ip::new(APP.address, WORLD), 40001, 443, b"question"));
}

/// ACLs of both subnets see what a NAT gateway passes on.
#[test]
fn acls_see_both_sides_of_a_nat_gateway() {
    let mut bench = Bench::new();
    let sent = |port| udp(via_router(APP), Ip::new(APP.address, WORLD), port, 443, b"question");
    let port = translated(&mut bench, APP, sent(40000));
    let answer = udp(IN, Ip::new(WORLD, NAT_PUBLIC), 443, port, b"answer");
    bench.passes(INTERNET, &answer, APP, udp(delivered(APP), Ip::new(WORLD, APP.address), 443, 40000, b"answer"));
    let deny =
        |cidr: &str| hive_vpc::model::AclEntry { allow: false, traffic: Traffic::All, cidr: cidr.parse().unwrap() };
    for (acl, is_egress, range, out, back) in [
        ("acl-b", true, "203.0.113.0/24", false, true),
        ("acl-a", false, "10.0.2.0/24", false, true),
        ("acl-a", true, "203.0.113.0/24", false, true),
        ("acl-a", false, "203.0.113.0/24", true, false),
        ("acl-a", true, "10.0.2.0/24", true, false),
        ("acl-b", false, "203.0.113.0/24", true, false),
    ] {
        bench.change(|network| {
            let acl = network.acls.get_mut(&acl.into()).unwrap();
            let entries = if is_egress { &mut acl.egress } else { &mut acl.ingress };
            entries.insert(1, deny(range));
        });
        assert_eq!(!bench.switch.send(APP.into(), &[sent(40000)]).is_empty(), out, "out, {acl} {is_egress} {range}");
        assert_eq!(
            !bench.switch.send(INTERNET, std::slice::from_ref(&answer)).is_empty(),
            back,
            "back, {acl} {is_egress} {range}"
        );
        bench.change(|network| network.acls.insert(acl.into(), allow_all()).map(drop).unwrap());
    }
}

#[test]
fn public_addresses_of_one_node_reach_each_other() {
    let mut bench = Bench::new();
    // By the NAT gateway to the Elastic IP of a neighbour of it, and the answer.
    let sent = tcp(via_router(APP), Ip::new(APP.address, WEB_PUBLIC), 40000, 80, SYN, (1, 0));
    let got = bench.switch.send(APP.into(), &[sent]);
    let [(way, frame)] = got.as_slice() else { panic!("{got:?}") };
    let port = u16::from_be_bytes([frame[34], frame[35]]);
    assert_eq!(*way, WEB.into());
    assert_eq!(*frame, tcp(delivered(WEB), Ip::new(NAT_PUBLIC, WEB.address), port, 80, SYN, (1, 0)));
    let answer = tcp(Ethernet::new(WEB.mac, ROUTER), Ip::new(WEB.address, NAT_PUBLIC), 80, port, SYN | ACK, (9, 2));
    let arrived = tcp(delivered(APP), Ip::new(WEB_PUBLIC, APP.address), 80, 40000, SYN | ACK, (9, 2));
    bench.passes(WEB, &answer, APP, arrived);
    // An instance may call itself by its public name.
    let sent = tcp(Ethernet::new(WEB.mac, ROUTER), Ip::new(WEB.address, WEB_PUBLIC), 40000, 80, SYN, (1, 0));
    let arrived = tcp(delivered(WEB), Ip::new(WEB_PUBLIC, WEB.address), 40000, 80, SYN, (1, 0));
    bench.passes(WEB, &sent, WEB, arrived);
}

#[test]
fn what_is_too_long_for_the_internet_is_told() {
    let mut bench = Bench::new();
    let packet = |ethernet, source, bytes: usize| udp(ethernet, Ip::new(source, WORLD), 1, 2, &vec![1; bytes - 28]);
    let sent = |bytes| packet(Ethernet::new(WEB.mac, ROUTER), WEB.address, bytes);
    bench.passes(WEB, &sent(1500), INTERNET, packet(OUT, WEB_PUBLIC, 1500));
    bench.passes(WEB, &sent(1501), Way::Services(WEB.number().into()), sent(1501));
    // By a NAT gateway, whose number it then has; what is said about it finds its way.
    let sent = |bytes| packet(via_router(APP), APP.address, bytes);
    let services = Way::Services(NAT_NUMBER.into());
    let got = bench.switch.send(APP.into(), &[sent(1501)]);
    assert_eq!(got.iter().map(|(way, _)| *way).collect::<Vec<_>>(), [services], "port {SERVICES}");
    let ip = Ip::new(NAT_PRIVATE, APP.address);
    let error = |ethernet| icmp(ethernet, ip, 3, 4, [0, 0, 5, 0xdc], &sent(1501)[14..14 + 28]);
    let from_services = error(Ethernet::new(ROUTER, NAT_MAC));
    bench.passes(services, &from_services, APP, error(delivered(APP)));
}
