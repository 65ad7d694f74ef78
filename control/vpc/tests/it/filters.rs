//! Security groups and network ACLs.

use crate::bench::{Bench, INTERNET};
use crate::fixture::*;
use crate::packet::{ACK, Ethernet, Ip, SYN, fragments, icmp, ip_packet, other, tcp, udp, udp_message};
use crate::switch::Way;
use hive_vpc::LocalNumber;
use hive_vpc::model::{AclEntry, IcmpKind, Peer, PortRange, Traffic};

#[test]
fn groups_allow_what_their_rules_say() {
    let mut bench = Bench::new();
    // A group's members: both addresses of one, and another; ports at both ends of the range.
    for port in [8080, 8085, 8090] {
        bench.syn_between(WEB, APP, (port, port), true);
        bench.syn_between(WEB2, APP, (port, port), true);
    }
    bench.syn_between(Host { address: WEB_SECOND, ..WEB }, APP, (1, 8081), true);
    for port in [8079, 8091, 80] {
        bench.syn_between(WEB, APP, (port, port), false);
    }
    // Not a member; another protocol.
    bench.syn_between(DB, APP, (1, 8080), false);
    bench.syn_between(FORWARDER, APP, (1, 8080), false);
    bench.udp_between(WEB, APP, (1, 8080), false);
    // Itself as peer.
    bench.udp_between(WEB, WEB2, (1, 7000), true);
    bench.udp_between(WEB, WEB2, (1, 7101), false);
    bench.udp_between(FORWARDER, WEB2, (1, 7000), false);
    // From a member at another node.
    bench.syn_between(FAR, DB, (1, 5432), true);
    bench.syn_between(WEB, DB, (1, 5432), false);
    // Outbound.
    bench.udp_between(DB, APP, (53, 9000), false);
    // Who leaves the group is not a member any more.
    bench.change(|network| network.interfaces.get_mut(&WEB2.id.into()).unwrap().groups = ["sg-open".into()].into());
    bench.syn_between(WEB2, APP, (2, 8080), false);
    bench.syn_between(WEB, APP, (2, 8080), true);
    // All groups together count.
    bench.change(|network| {
        network.interfaces.get_mut(&WEB2.id.into()).unwrap().groups = ["sg-open".into(), "sg-web".into()].into();
    });
    bench.syn_between(WEB2, APP, (3, 8080), true);
    bench.udp_between(FORWARDER, WEB2, (3, 7000), true);
}

#[test]
fn answers_come_back_and_only_they() {
    let mut bench = Bench::new();
    bench.udp_between(APP, WEB, (9000, 9999), false);
    bench.udp_between(WEB, APP, (9999, 9000), true);
    bench.udp_between(APP, WEB, (9000, 9999), true);
    bench.udp_between(APP, WEB, (9001, 9999), false);
    bench.udp_between(APP, WEB2, (9000, 9999), false);
    // An answer out of an interface that may begin nothing of the kind.
    bench.connect(APP, DB, (40000, 5432));
    // No segment of any connection begins one.
    bench.between(APP, DB, false, |ethernet, ip| tcp(ethernet, ip, 40001, 5432, ACK | SYN, (1, 1)));
}

#[test]
fn a_tracked_connection_outlives_its_rule() {
    let mut bench = Bench::new();
    bench.connect(APP, DB, (40000, 5432));
    let removed = bench.change(|network| {
        network.groups.get_mut(&"sg-db".into()).unwrap().ingress.clear();
    });
    assert!(removed.changes <= 2, "{removed:?}");
    bench.segments(APP, DB, (40000, 5432), true);
    bench.syn_between(APP, DB, (40001, 5432), false);
    // Until the zones' numbers are another's.
    for host in [APP, DB] {
        bench.programmer.flush_zone(LocalNumber(host.number())).unwrap();
    }
    bench.between(APP, DB, false, |ethernet, ip| tcp(ethernet, ip, 40000, 5432, ACK, (1001, 5001)));
}

/// Where anybody may come in and all may go out, connections are not tracked: they end with the rule.
#[test]
fn an_untracked_connection_ends_with_its_rule() {
    let mut bench = Bench::new();
    bench.connect(WEB2, WEB, (40000, 80));
    bench.segments(WEB2, WEB, (40000, 80), true);
    bench.change(|network| {
        network.groups.get_mut(&"sg-web".into()).unwrap().ingress.remove(&"sgr-http".into());
    });
    bench.between(WEB2, WEB, false, |ethernet, ip| tcp(ethernet, ip, 40000, 80, ACK, (1001, 5001)));
    // One that is tracked, because the other direction is narrow, does not.
    let mut bench = Bench::with(|network, _| {
        let web = network.groups.get_mut(&"sg-web".into()).unwrap();
        web.egress = [("sgr-web-out".into(), rule(Traffic::All, cidr("10.0.0.0/8")))].into();
    });
    bench.connect(WEB2, WEB, (40000, 80));
    bench.change(|network| {
        network.groups.get_mut(&"sg-web".into()).unwrap().ingress.remove(&"sgr-http".into());
    });
    bench.segments(WEB2, WEB, (40000, 80), true);
    bench.syn_between(WEB2, WEB, (40001, 80), false);
}

#[test]
fn errors_reach_the_sender_of_what_they_are_about() {
    let mut bench = Bench::new();
    let error = |about: Host, ports: (u16, u16), kind: u8, code: u8| {
        let ip = Ip::new(about.address, APP.address);
        let quoted = ip_packet(ip, 17, &udp_message(ip, ports.0, ports.1, b"datagram"));
        move |ethernet, ip| icmp(ethernet, ip, kind, code, [0; 4], &quoted)
    };
    bench.udp_between(WEB, APP, (9999, 9000), true);
    bench.between(APP, WEB, true, error(WEB, (9999, 9000), 3, 3));
    bench.between(APP, WEB, false, error(WEB, (9998, 9000), 3, 3));
    // Path MTU discovery works for what is not tracked too.
    bench.between(APP, WEB, false, error(WEB, (80, 50000), 3, 4));
    bench.between(DB, WEB, false, error(WEB, (80, 50000), 3, 4));
    bench.change(|network| {
        network.groups.get_mut(&"sg-db".into()).unwrap().egress =
            [("sgr-db-icmp".into(), rule(Traffic::Icmp(IcmpKind::default()), any()))].into();
    });
    let too_long = icmp_from_router();
    bench.passes(INTERNET, &too_long.0, WEB, too_long.1);
}

/// A router on the internet says that what `WEB` sent from port 80, which is not tracked, was too long. Within, and as it arrives.
fn icmp_from_router() -> (Vec<u8>, Vec<u8>) {
    let router = std::net::Ipv4Addr::new(203, 0, 113, 1);
    let make = |ethernet, to| {
        let quoted = Ip::new(WEB_PUBLIC, WORLD);
        let quoted = ip_packet(quoted, 17, &udp_message(quoted, 80, 50000, b"datagram"));
        icmp(ethernet, Ip::new(router, to), 3, 4, [0, 0, 5, 0], &quoted)
    };
    (make(Ethernet::new(GATEWAY_MAC, UPLINK_MAC), WEB_PUBLIC), make(Ethernet::new(ROUTER, WEB.mac), WEB.address))
}

#[test]
fn fragments_are_judged_as_the_whole() {
    let mut bench = Bench::new();
    let payload = vec![7; 3000];
    let cut = |from: Host, to: Host, ethernet, port, id| {
        let ip = Ip::new(from.address, to.address);
        fragments(ethernet, ip, 17, id, &udp_message(ip, 5000, port, &payload), 1480)
    };
    let (sent, _) = WEB.via_router(APP.address);
    let received = Ethernet::new(ROUTER, APP.mac);
    let arrived: Vec<_> = cut(WEB, APP, received, 9000, 11).into_iter().map(|frame| (APP.into(), frame)).collect();
    assert_eq!(arrived.len(), 3);
    bench.expect(WEB, &cut(WEB, APP, sent, 9000, 11), &arrived);
    bench.expect(WEB, &cut(WEB, APP, sent, 9001, 12), &[]);
    // A long ping too: its type is in the first fragment only.
    let ip = Ip::new(APP.address, WEB.address);
    let ping = icmp(Ethernet::new(APP.mac, ROUTER), ip, 8, 0, [0, 1, 0, 1], &payload);
    let cut = |ethernet| fragments(ethernet, ip, 1, 13, &ping[34..], 1480);
    let arrived: Vec<_> = cut(Ethernet::new(ROUTER, WEB.mac)).into_iter().map(|frame| (WEB.into(), frame)).collect();
    bench.expect(APP, &cut(Ethernet::new(APP.mac, ROUTER)), &arrived);
}

fn entry(allow: bool, traffic: Traffic, cidr: &str) -> AclEntry {
    AclEntry { allow, traffic, cidr: cidr.parse().unwrap() }
}

#[test]
fn the_first_entry_of_an_acl_that_fits_counts() {
    let mut bench = Bench::with(|network, _| {
        let acl = network.acls.get_mut(&"acl-b".into()).unwrap();
        let udp = |first, last| Traffic::Udp(PortRange { first, last });
        acl.ingress = [
            (10, entry(true, udp(9000, 9000), "10.0.1.10/32")),
            (20, entry(false, udp(0, 65535), "10.0.1.0/24")),
            (30, entry(true, Traffic::Tcp(PortRange { first: 8000, last: 8999 }), "0.0.0.0/0")),
            (40, entry(true, Traffic::Icmp(IcmpKind { kind: Some(8), code: None }), "10.0.1.0/24")),
            (50, entry(true, Traffic::Protocol(47), "10.0.1.0/24")),
        ]
        .into();
        for group in ["sg-app", "sg-web"] {
            let ingress = &mut network.groups.get_mut(&group.into()).unwrap().ingress;
            ingress.insert("sgr-all".into(), rule(Traffic::All, cidr("10.0.0.0/16")));
        }
    });
    bench.udp_between(WEB, APP, (1, 9000), true);
    bench.udp_between(WEB2, APP, (1, 9000), false);
    bench.udp_between(WEB, APP, (1, 9001), false);
    bench.syn_between(WEB, APP, (1, 8000), true);
    bench.syn_between(WEB, APP, (1, 8999), true);
    bench.syn_between(WEB, APP, (1, 9000), false);
    let echo = |kind| move |ethernet, ip| icmp(ethernet, ip, kind, 0, [0, 1, 0, 1], b"ping");
    bench.between(WEB, APP, true, echo(8));
    bench.between(WEB, APP, false, echo(13));
    bench.between(WEB, APP, true, |ethernet, ip| other(ethernet, ip, 47, b"....gre"));
    // No state: what a connection's answer needs must be allowed for itself.
    bench.between(APP, WEB, true, echo(8));
    bench.between(WEB, APP, false, echo(0));
    // Not within the subnet, wherever the sender is.
    bench.udp_between(DB, APP, (1, 53), true);
    bench.udp_between(FAR, APP, (1, 9001), true);
    // Of another node's sender, who has left its subnet, it is.
    let stranger = Ip::new(WEB2.address, APP.address);
    let frame = |source| udp(Ethernet { source, destination: APP.mac.0 }, stranger, 1, 9000, b"x");
    bench.is_dropped(Way::Tunnel(PEER, VNI.0), &frame(ROUTER.0));
    bench.passes(Way::Tunnel(PEER, VNI.0), &frame(FAR.mac.0), APP, frame(FAR.mac.0));
}

#[test]
fn an_acl_judges_what_leaves_and_pieces_without_ports() {
    let mut bench = Bench::with(|network, _| {
        let acl = network.acls.get_mut(&"acl-a".into()).unwrap();
        acl.egress = [
            (10, entry(false, Traffic::Udp(PortRange::one(9001)), "10.0.2.0/24")),
            (20, entry(true, Traffic::Udp(PortRange { first: 9000, last: 9002 }), "10.0.0.0/16")),
        ]
        .into();
        let app = network.groups.get_mut(&"sg-app".into()).unwrap();
        app.ingress.insert("sgr-all".into(), rule(Traffic::All, cidr("10.0.0.0/16")));
    });
    bench.udp_between(WEB, APP, (1, 9000), true);
    bench.udp_between(WEB, APP, (1, 9001), false);
    bench.udp_between(WEB, APP, (1, 9002), true);
    bench.syn_between(WEB, APP, (1, 9000), false);
    bench.udp_between(WEB, WEB2, (1, 7005), true);
    let cut = |ethernet, port, id| {
        let ip = Ip::new(WEB.address, APP.address);
        fragments(ethernet, ip, 17, id, &udp_message(ip, 5000, port, &[9; 2000]), 1480)
    };
    let (sent, _) = WEB.via_router(APP.address);
    let arrived = cut(Ethernet::new(ROUTER, APP.mac), 9002, 21).into_iter().map(|frame| (APP.into(), frame));
    bench.expect(WEB, &cut(sent, 9002, 21), &arrived.collect::<Vec<_>>());
    bench.expect(WEB, &cut(sent, 9001, 22), &[]);
}

#[test]
fn prefix_lists_are_ranges() {
    let mut bench = Bench::with(|network, _| {
        let ranges = ["10.0.1.12/32", "10.0.2.16/28", "192.168.0.0/16"].map(|range| range.parse().unwrap());
        network.prefix_lists.insert("pl-1".into(), ranges.into());
        let traffic = Traffic::Udp(PortRange { first: 6000, last: 6006 });
        let db = network.groups.get_mut(&"sg-db".into()).unwrap();
        db.ingress.insert("sgr-list".into(), rule(traffic, Peer::PrefixList("pl-1".into())));
    });
    bench.udp_between(APP, DB, (1, 6000), true);
    bench.udp_between(APP, DB, (1, 6006), true);
    bench.udp_between(APP, DB, (1, 6007), false);
    bench.udp_between(WEB2, DB, (1, 6003), true);
    bench.udp_between(WEB, DB, (1, 6003), false);
    bench.udp_between(FAR, DB, (1, 6003), false);
    let changed = bench.change(|network| {
        network.prefix_lists.get_mut(&"pl-1".into()).unwrap().insert("10.0.2.40/32".parse().unwrap());
    });
    assert_eq!(changed.changes, 1);
    bench.udp_between(FAR, DB, (1, 6003), true);
}

/// Neither's ranges go with the other's ports.
#[test]
fn two_groups_rules_of_one_name_are_two() {
    let mut bench = Bench::with(|network, _| {
        let mut wide = |first, ranges: [&str; 2]| {
            let list = hive_vpc::model::PrefixListId(format!("pl-{first}"));
            network.prefix_lists.insert(list.clone(), ranges.map(|range| range.parse().unwrap()).into());
            let traffic = Traffic::Udp(PortRange { first, last: first + 14 });
            let ingress = [("sgr-same".into(), rule(traffic, Peer::PrefixList(list)))].into();
            hive_vpc::model::SecurityGroup { ingress, egress: Default::default() }
        };
        let groups = [
            ("sg-one", wide(6000, ["10.0.1.10/32", "192.168.1.0/24"])),
            ("sg-two", wide(7000, ["10.0.1.12/32", "192.168.2.0/24"])),
        ];
        network.groups.extend(groups.map(|(id, group)| (id.into(), group)));
        let db = network.interfaces.get_mut(&DB.id.into()).unwrap();
        db.groups = ["sg-one".into(), "sg-two".into()].into();
    });
    bench.udp_between(WEB, DB, (1, 6001), true);
    bench.udp_between(WEB2, DB, (1, 7001), true);
    bench.udp_between(WEB, DB, (1, 7001), false);
    bench.udp_between(WEB2, DB, (1, 6001), false);
}
