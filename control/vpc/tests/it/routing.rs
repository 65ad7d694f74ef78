//! Route tables, the tunnel, source and destination checks.

use crate::bench::Bench;
use crate::fixture::*;
use crate::packet::{Ethernet, Ip, udp};
use crate::switch::Way;
use hive_vpc::model::{RouteTarget, Traffic};
use hive_vpc::{Network, Tunnel};
use std::net::Ipv4Addr;

fn routes<'a>(network: &'a mut Network, table: &str) -> &'a mut Vec<hive_vpc::model::Route> {
    &mut network.route_tables.get_mut(&table.into()).unwrap().routes
}

pub fn open_all(network: &mut Network) {
    for group in network.groups.values_mut() {
        group.ingress.insert("sgr-open".into(), rule(Traffic::All, any()));
        group.egress.insert("sgr-opened".into(), rule(Traffic::All, any()));
    }
}

fn to_forwarder() -> RouteTarget {
    RouteTarget::Interface(FORWARDER.id.into())
}

#[test]
fn packets_go_straight_to_the_receiver_and_keep_their_ttl() {
    let mut bench = Bench::with(|network, _| open_all(network));
    for ttl in [1, 64, 255] {
        let ip = Ip { ttl, ..Ip::new(WEB.address, APP.address) };
        let sent = udp(Ethernet::new(WEB.mac, ROUTER), ip, 1, 9000, b"x");
        bench.passes(WEB, &sent, APP, udp(Ethernet::new(ROUTER, APP.mac), ip, 1, 9000, b"x"));
    }
    // By the router to a neighbour: as if it had been sent there.
    let ip = Ip::new(APP.address, DB.address);
    let sent = udp(Ethernet::new(APP.mac, ROUTER), ip, 1, 53, b"x");
    bench.passes(APP, &sent, DB, udp(Ethernet::new(APP.mac, DB.mac), ip, 1, 53, b"x"));
    // To another node, and back.
    bench.udp_between(WEB, FAR, (1, 2), true);
    bench.udp_between(APP, FAR, (1, 2), true);
    bench.udp_between(FAR, WEB, (2, 1), true);
    bench.udp_between(FAR, APP, (2, 1), true);
    // To an address of the VPC that nobody has.
    let (ethernet, ip) = WEB.via_router(Ipv4Addr::new(10, 0, 77, 7));
    bench.is_dropped(WEB, &udp(ethernet, ip, 1, 2, b"x"));
    // What comes by the tunnel is never sent back into it.
    let lost = udp(Ethernet::new(ROUTER, FAR.mac), Ip::new(APP.address, FAR.address), 1, 2, b"x");
    bench.is_dropped(Way::Tunnel(PEER, VNI.0), &lost);
}

#[test]
fn what_is_too_long_for_the_tunnel_is_told() {
    let mut bench = Bench::with(|network, node| {
        open_all(network);
        node.tunnel = Some(Tunnel { mtu_bytes: 1390, ..node.tunnel.unwrap() });
    });
    let udp = |(ethernet, ip), bytes: usize| udp(ethernet, ip, 1, 9000, &vec![1; bytes - 28]);
    for to_far in [WEB.via_router(FAR.address), APP.to(FAR)] {
        let from = if to_far.1.source == WEB.address { WEB } else { APP };
        let arrived = if from == WEB { (Ethernet::new(ROUTER, FAR.mac), to_far.1) } else { to_far };
        bench.passes(from, &udp(to_far, 1390), FAR, udp(arrived, 1390));
        // And goes all the same: the tunnel's datagrams may be fragmented.
        let both = [FAR.into(), Way::Services(from.number().into())].map(|way| (way, udp(arrived, 1391)));
        bench.expect(from, &[udp(to_far, 1391)], &both);
    }
    // Within the node there is no such limit.
    let (ethernet, ip) = WEB.to(WEB2);
    let frame = udp((ethernet, ip), 8000);
    bench.passes(WEB, &frame, WEB2, frame.clone());
    // What comes by it has passed already.
    let (ethernet, ip) = FAR.to(APP);
    let frame = udp((ethernet, ip), 1500);
    bench.passes(FAR, &frame, APP, frame.clone());
}

#[test]
fn the_longest_prefix_counts() {
    let mut bench = Bench::with(|network, _| {
        open_all(network);
        *routes(network, "rtb-public") = vec![
            route("172.16.0.0/12", to_forwarder()),
            route("172.16.5.0/24", RouteTarget::Blackhole),
            route("172.16.5.64/26", to_forwarder()),
            route("172.16.5.65/32", RouteTarget::Interface("eni-none".into())),
            // Of the whole VPC it has no effect but where the VPC's own range is replaced; this is another.
            route("10.0.0.0/8", to_forwarder()),
        ];
    });
    let mut sent_to = |address: [u8; 4], passes: bool| {
        let destination = Ipv4Addr::from(address);
        let (ethernet, ip) = WEB.via_router(destination);
        // The forwarder is a neighbour: no router in between.
        let expected = udp(Ethernet::new(WEB.mac, FORWARDER.mac), ip, 1, 2, b"x");
        let frame = udp(ethernet, ip, 1, 2, b"x");
        let arrived = [(FORWARDER.into(), expected)];
        bench.expect(WEB, &[frame], if passes { &arrived } else { &[] });
    };
    sent_to([172, 16, 1, 1], true);
    sent_to([172, 31, 255, 255], true);
    sent_to([172, 32, 0, 0], false);
    sent_to([172, 16, 5, 1], false);
    sent_to([172, 16, 5, 64], true);
    sent_to([172, 16, 5, 65], false);
    sent_to([10, 200, 0, 1], true);
    sent_to([8, 8, 8, 8], false);
    bench.udp_between(WEB, APP, (3, 9000), true);
    // More specific than local: through the forwarder, which is in the sender's subnet but not in the receiver's.
    bench.change(|network| routes(network, "rtb-public").push(route("10.0.2.0/24", to_forwarder())));
    let (ethernet, ip) = WEB.via_router(APP.address);
    let frame = udp(ethernet, ip, 4, 9000, b"x");
    bench.passes(WEB, &frame, FORWARDER, udp(Ethernet::new(WEB.mac, FORWARDER.mac), ip, 4, 9000, b"x"));
    bench.change(|network| routes(network, "rtb-main").push(route("10.0.1.0/24", to_forwarder())));
    let (ethernet, ip) = APP.via_router(WEB.address);
    let frame = udp(ethernet, ip, 4, 9000, b"x");
    bench.passes(APP, &frame, FORWARDER, udp(Ethernet::new(ROUTER, FORWARDER.mac), ip, 4, 9000, b"x"));
    // Within the subnet no route counts.
    bench.udp_between(WEB, WEB2, (4, 9000), true);
    // The whole of local replaced.
    bench.change(|network| {
        routes(network, "rtb-public").retain(|route| route.destination == any_destination("172.16.0.0/12"));
        routes(network, "rtb-public").push(route("10.0.0.0/16", RouteTarget::Blackhole));
    });
    bench.udp_between(WEB, APP, (5, 9000), false);
    bench.udp_between(WEB, WEB2, (5, 9000), true);
}

fn any_destination(text: &str) -> hive_vpc::model::Destination {
    hive_vpc::model::Destination::Cidr(text.parse().unwrap())
}

#[test]
fn only_who_does_not_check_forwards() {
    let mut bench = Bench::with(|network, _| {
        open_all(network);
        routes(network, "rtb-main").push(route("172.16.0.0/12", to_forwarder()));
    });
    let stranger = Ipv4Addr::new(172, 16, 0, 9);
    let (ethernet, ip) = APP.via_router(stranger);
    let to_stranger = udp(ethernet, ip, 1, 2, b"x");
    let forwarded = udp(Ethernet::new(ROUTER, FORWARDER.mac), ip, 1, 2, b"x");
    bench.passes(APP, &to_stranger, FORWARDER, forwarded);
    let ip = Ip::new(stranger, WEB.address);
    let from_stranger = udp(Ethernet::new(FORWARDER.mac, WEB.mac), ip, 2, 1, b"x");
    bench.passes(FORWARDER, &from_stranger, WEB, from_stranger.clone());
    // A host may use it as its own router, for it is a neighbour.
    let ip = Ip::new(WEB.address, stranger);
    let direct = udp(Ethernet::new(WEB.mac, FORWARDER.mac), ip, 1, 2, b"x");
    bench.passes(WEB, &direct, FORWARDER, direct.clone());
    let direct_to_other = udp(Ethernet::new(WEB.mac, WEB2.mac), ip, 1, 2, b"x");
    bench.is_dropped(WEB, &direct_to_other);
    bench.change(|network| {
        network.interfaces.get_mut(&FORWARDER.id.into()).unwrap().source_dest_check = true;
    });
    bench.is_dropped(APP, &to_stranger);
    bench.is_dropped(FORWARDER, &from_stranger);
    bench.is_dropped(WEB, &direct);
}

/// Each VPC has its own, with its own ranges and its own router, though both are called the same.
#[test]
fn a_table_that_is_not_there_is_nobody_elses() {
    let mut bench = Bench::with(|network, _| {
        network.route_tables.clear();
        for vpc in network.vpcs.values_mut() {
            vpc.main_route_table = "rtb-none".into();
        }
        network.subnets.get_mut(&"subnet-a".into()).unwrap().route_table = None;
        let other = network.vpcs.get_mut(&"vpc-2".into()).unwrap();
        other.ipv4_cidrs = vec!["10.0.0.0/16".parse().unwrap(), "10.9.0.0/16".parse().unwrap()];
        let subnet = network.subnets[&"subnet-o".into()].clone();
        let subnet = hive_vpc::model::Subnet { ipv4_cidr: "10.9.1.0/24".parse().unwrap(), ..subnet };
        network.subnets.insert("subnet-p".into(), subnet);
        let web2 = network.interfaces.get_mut(&WEB2.id.into()).unwrap();
        (web2.subnet, web2.primary) = ("subnet-p".into(), Ipv4Addr::new(10, 9, 1, 12));
        open_all(network);
    });
    let ip = Ip::new(TWIN.address, Ipv4Addr::new(10, 9, 1, 12));
    let frame = |ethernet| udp(ethernet, ip, 1, 2, b"x");
    let sent = frame(Ethernet::new(TWIN.mac, OTHER_VNI.router_mac()));
    bench.passes(TWIN, &sent, WEB2, frame(Ethernet::new(OTHER_VNI.router_mac(), WEB2.mac)));
    // The other way, in the range that the first VPC has too.
    let ip = Ip::new(Ipv4Addr::new(10, 9, 1, 12), TWIN.address);
    let frame = |ethernet| udp(ethernet, ip, 2, 1, b"x");
    let sent = frame(Ethernet::new(WEB2.mac, OTHER_VNI.router_mac()));
    bench.passes(WEB2, &sent, TWIN, frame(Ethernet::new(OTHER_VNI.router_mac(), TWIN.mac)));
}
