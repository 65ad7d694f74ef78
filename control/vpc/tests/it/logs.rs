//! Flow logs: what the tables sample of each packet.

use crate::bench::{Bench, INTERNET};
use crate::fixture::*;
use crate::packet::{Ethernet, Ip, SYN, tcp, udp};
use crate::switch::Way;
use hive_vpc::flow_log::{Content, Interval, Observation, Point, Tuple};
use hive_vpc::model::{AclEntry, InterfaceId, PortRange, Traffic};
use hive_vpc::{Direction, FlowKey, Table};
use std::collections::BTreeSet;

/// What is sampled of a frame, as the switch tells: interface, direction, action.
fn sampled(bench: &mut Bench, way: impl Into<Way>, frame: &[u8]) -> Vec<String> {
    let text = bench.switch.explain(way.into(), frame);
    // As actions; the operations that they become say the same once more.
    let actions = text.lines().filter(|line| line.trim_start().starts_with("sample("));
    let points = actions.map(|line| {
        assert!(line.contains("probability=65535,collector_set_id=1,obs_domain_id=1,"), "{line}");
        let rest = line.split("obs_point_id=").nth(1).unwrap();
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse::<u32>().unwrap()
    });
    let shown = points.map(|point| {
        let point = Point::parse(point);
        let at = HOSTS.iter().find(|host| host.number() == point.number.0).unwrap();
        assert!(point.is_of(&at.id.into()));
        format!("{} {} {}", at.id, point.direction, point.action)
    });
    shown.collect()
}

#[test]
fn every_decision_is_sampled_once_at_its_interface() {
    let mut bench = Bench::with(|network, _| {
        let deny = |port| AclEntry {
            allow: false,
            traffic: Traffic::Udp(PortRange::one(port)),
            cidr: "0.0.0.0/0".parse().unwrap(),
        };
        network.interfaces.get_mut(&FORWARDER.id.into()).unwrap().ipv6 = ["2001:db8::1".parse().unwrap()].into();
        let open = network.groups.get_mut(&"sg-open".into()).unwrap();
        open.egress.insert("sgr-out6".into(), rule(Traffic::All, cidr("2001:db8::/32")));
        open.ingress.insert("sgr-in6".into(), rule(Traffic::All, cidr("2001:db8::/32")));
        network.acls.get_mut(&"acl-a".into()).unwrap().egress.insert(7, deny(777));
        network.acls.get_mut(&"acl-b".into()).unwrap().ingress.insert(8, deny(888));
        let app = network.groups.get_mut(&"sg-app".into()).unwrap();
        app.ingress.insert("sgr-888".into(), rule(deny(888).traffic, any()));
    });
    let (ethernet, ip) = WEB.via_router(APP.address);
    let to_app = tcp(ethernet, ip, 1, 8085, SYN, (1, 0));
    assert_eq!(sampled(&mut bench, WEB, &to_app), ["eni-web egress ACCEPT", "eni-app ingress ACCEPT"]);
    let refused = tcp(ethernet, ip, 1, 22, SYN, (1, 0));
    assert_eq!(sampled(&mut bench, WEB, &refused), ["eni-web egress ACCEPT", "eni-app ingress REJECT"]);
    // What its groups let pass and its subnet's ACL does not is refused, and not both.
    let by_acl = udp(ethernet, ip, 1, 777, b"x");
    assert_eq!(sampled(&mut bench, WEB, &by_acl), ["eni-web egress REJECT"]);
    let by_acl = udp(ethernet, ip, 1, 888, b"x");
    assert_eq!(sampled(&mut bench, WEB, &by_acl), ["eni-web egress ACCEPT", "eni-app ingress REJECT"]);
    let (ethernet, ip) = DB.to(APP);
    let denied = udp(ethernet, ip, 1, 9000, b"x");
    assert_eq!(sampled(&mut bench, DB, &denied), ["eni-db egress REJECT"]);
    // Of one that is not logged nothing is told, but of whom it speaks with.
    let (ethernet, ip) = WEB2.via_router(APP.address);
    let of_other = tcp(ethernet, ip, 1, 8085, SYN, (1, 0));
    assert_eq!(sampled(&mut bench, WEB2, &of_other), ["eni-app ingress ACCEPT"]);
    // What is not tracked.
    let http = tcp(Ethernet::new(GATEWAY_MAC, UPLINK_MAC), Ip::new(WORLD, WEB_PUBLIC), 5000, 80, SYN, (1, 0));
    assert_eq!(sampled(&mut bench, INTERNET, &http), ["eni-web ingress ACCEPT"]);
    let (ethernet, ip) = WEB.via_router(WORLD);
    let answer = tcp(ethernet, ip, 80, 5000, SYN, (1, 0));
    assert_eq!(sampled(&mut bench, WEB, &answer), ["eni-web egress ACCEPT"]);
    // By a NAT gateway it is the sender's once.
    let (ethernet, ip) = APP.via_router(WORLD);
    assert_eq!(sampled(&mut bench, APP, &udp(ethernet, ip, 1, 2, b"x")), ["eni-app egress ACCEPT"]);
    // What the network answers, and what is forged, nobody decides.
    let (ethernet, ip) = WEB.via_router([169, 254, 169, 253].into());
    assert!(sampled(&mut bench, WEB, &udp(ethernet, ip, 1, 53, b"x")).is_empty());
    let forged = Ip::new(WEB2.address, APP.address);
    assert!(sampled(&mut bench, WEB, &udp(ethernet, forged, 1, 9000, b"x")).is_empty());
}

/// Who is not logged costs nothing: the tables are as they were.
#[test]
fn without_logs_nothing_is_sampled() {
    let bench = |logged: bool| {
        let (network, mut node) = region();
        if !logged {
            node.logged.clear();
        }
        hive_vpc::compile(&network, &node).unwrap().flows
    };
    let (with, without) = (bench(true), bench(false));
    let samples = |key: &FlowKey| format!("{:?}", with[key].actions).contains("Sample(");
    assert!(with.keys().filter(|key| samples(key)).count() >= 4 * 4);
    let log_tables = [Table::Passed, Table::RefusedOut, Table::RefusedIn].map(Table::number);
    let is_plain = |text: String| {
        !text.contains("Sample(") && log_tables.iter().all(|table| !text.contains(&format!("GotoTable({table})")))
    };
    assert!(
        without.iter().all(|(key, body)| !log_tables.contains(&key.table) && is_plain(format!("{:?}", body.actions)))
    );
    // An interface that is elsewhere, or nowhere, makes none either.
    let (network, mut node) = region();
    node.logged = [FAR.id.into(), "eni-none".into()].into();
    assert_eq!(hive_vpc::compile(&network, &node).unwrap().flows, without);
}

#[test]
fn packets_are_gathered_by_interface_and_action() {
    let (web, app, db): (InterfaceId, InterfaceId, InterfaceId) = ("eni-web".into(), "eni-app".into(), "eni-db".into());
    let mut interval = Interval::default();
    use hive_vpc::flow_log::Action::{Accept, Reject};
    for (port, at, action) in [(8085, 100, Accept), (8085, 160, Accept), (22, 130, Reject)] {
        let tuple = Tuple {
            source: WEB.address.into(),
            destination: APP.address.into(),
            source_port: 40000,
            destination_port: port,
            protocol: 6,
        };
        for (interface, direction, action) in [(&web, Direction::Egress, Accept), (&app, Direction::Ingress, action)] {
            let observation = Observation {
                interface,
                direction,
                action,
                tuple,
                packets: 2,
                bytes: 120,
                tcp_flags: if at == 100 { 0x02 } else { 0x11 },
                first_s: at,
                last_s: at + 5,
            };
            interval.add(&observation, true);
        }
    }
    // Without room those that are there are counted further, and of others it is said that they are missing.
    let more = Observation {
        interface: &app,
        direction: Direction::Egress,
        action: Accept,
        tuple: Tuple {
            source: APP.address.into(),
            destination: WEB.address.into(),
            source_port: 1,
            destination_port: 2,
            protocol: 17,
        },
        packets: 1,
        bytes: 1,
        tcp_flags: 0,
        first_s: 170,
        last_s: 170,
    };
    interval.add(&more, false);
    let logged: BTreeSet<InterfaceId> = [web, app, db].into();
    let shown = interval.finish(&logged, 60, 180).into_iter().map(|record| {
        let (id, start, end) = (record.interface, record.start_s, record.end_s);
        match record.content {
            Content::Flow { tuple, direction, packets, bytes, tcp_flags, action } => {
                format!(
                    "{id} {direction} {} {packets} {bytes} {tcp_flags} {start} {end} {action}",
                    tuple.destination_port
                )
            }
            other => format!("{id} {start} {end} {other:?}"),
        }
    });
    assert_eq!(
        shown.collect::<Vec<_>>(),
        [
            "eni-app ingress 22 2 120 1 130 135 REJECT",
            "eni-app ingress 8085 4 240 3 100 165 ACCEPT",
            "eni-web egress 22 2 120 1 130 135 ACCEPT",
            "eni-web egress 8085 4 240 3 100 165 ACCEPT",
            "eni-db 60 180 NoData",
            "eni-app 60 180 SkipData",
        ]
    );
}

/// What the switch counts by a flow, its cookie tells of.
#[test]
fn flows_count_by_cookie() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        bench.syn_between(WEB, APP, (1, 22), false);
    }
    bench.syn_between(WEB, APP, (1, 8080), true);
    let sources = bench.compiled().sources;
    let mut client = hive_vpc::Client::connect(&bench.switch.management(), crate::switch::PATIENCE).unwrap();
    // Counters follow what was forwarded.
    let deadline = std::time::Instant::now() + crate::switch::PATIENCE;
    loop {
        let statistics = client.statistics(Table::GroupIn.number()).unwrap();
        let count = |wanted: &str| -> u64 {
            let is_wanted =
                |cookie| sources.get(cookie).is_some_and(|source| format!("{source:?}").starts_with(wanted));
            statistics.iter().filter(|flow| is_wanted(flow.cookie)).map(|flow| flow.counters.packets).sum()
        };
        let counts = (count("NoRule"), count("Rule"));
        if counts == (3, 1) {
            return;
        }
        assert!(counts.0 <= 3 && counts.1 <= 1 && std::time::Instant::now() < deadline, "{counts:?}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}
