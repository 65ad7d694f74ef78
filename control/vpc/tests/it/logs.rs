//! Flow logs: what the cookies of a path say.

use crate::bench::{Bench, INTERNET};
use crate::fixture::*;
use crate::packet::{Ethernet, Ip, SYN, tcp, udp};
use crate::switch::Way;
use hive_vpc::flow_log::{Interval, Observation, Tuple, decisions};
use hive_vpc::model::{AclEntry, InterfaceId, PortRange, Traffic};
use std::collections::BTreeSet;

/// The cookies of the flows that a frame would meet, as the switch tells them.
fn path(bench: &mut Bench, way: impl Into<Way>, frame: &[u8]) -> Vec<u64> {
    let text = bench.switch.explain(way.into(), frame);
    let cookies = text.split("cookie 0x").skip(1);
    cookies
        .map(|rest| u64::from_str_radix(rest.split(|c: char| !c.is_ascii_hexdigit()).next().unwrap(), 16).unwrap())
        .collect()
}

/// Interface, action, and who decided, of each decision.
fn decided(bench: &mut Bench, way: impl Into<Way>, frame: &[u8]) -> Vec<String> {
    let cookies = path(bench, way, frame);
    let compiled = bench.compiled();
    decisions(&compiled.sources, &cookies)
        .into_iter()
        .map(|decision| format!("{} {} {} {:?}", decision.interface, decision.direction, decision.action, decision.by))
        .collect()
}

#[test]
fn every_decision_has_its_interface_and_its_rule() {
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
        network
            .groups
            .get_mut(&"sg-app".into())
            .unwrap()
            .ingress
            .insert("sgr-888".into(), rule(deny(888).traffic, any()));
    });
    let rule_of = |group: &str, rule: &str, direction: &str| {
        format!("Rule {{ group: GroupId({group:?}), rule: RuleId({rule:?}), direction: {direction} }}")
    };
    let web_out = format!("eni-web egress ACCEPT {}", rule_of("sg-web", "sgr-web-out", "Egress"));
    let (ethernet, ip) = WEB.via_router(APP.address);
    let to_app = tcp(ethernet, ip, 1, 8085, SYN, (1, 0));
    let app_in = format!("eni-app ingress ACCEPT {}", rule_of("sg-app", "sgr-app", "Ingress"));
    assert_eq!(decided(&mut bench, WEB, &to_app), [web_out.clone(), app_in]);
    let refused = tcp(ethernet, ip, 1, 22, SYN, (1, 0));
    let none = "eni-app ingress REJECT NoRule(Ingress)".to_owned();
    assert_eq!(decided(&mut bench, WEB, &refused), [web_out.clone(), none]);
    let by_acl = udp(ethernet, ip, 1, 777, b"x");
    let acl = |acl: &str, direction: &str, number: &str| {
        format!("AclEntry {{ acl: AclId({acl:?}), direction: {direction}, number: {number}, allow: false }}")
    };
    let out = format!("eni-web egress REJECT {}", acl("acl-a", "Egress", "Some(7)"));
    assert_eq!(decided(&mut bench, WEB, &by_acl), [out]);
    let by_acl = udp(ethernet, ip, 1, 888, b"x");
    let back = format!("eni-app ingress REJECT {}", acl("acl-b", "Ingress", "Some(8)"));
    assert_eq!(decided(&mut bench, WEB, &by_acl), [web_out.clone(), back]);
    let (ethernet, ip) = DB.to(APP);
    let denied = udp(ethernet, ip, 1, 9000, b"x");
    assert_eq!(decided(&mut bench, DB, &denied), ["eni-db egress REJECT NoRule(Egress)"]);
    // What is not tracked is decided by the rules of both directions.
    let http = tcp(Ethernet::new(GATEWAY_MAC, UPLINK_MAC), Ip::new(WORLD, WEB_PUBLIC), 5000, 80, SYN, (1, 0));
    let web_in = format!("eni-web ingress ACCEPT {}", rule_of("sg-web", "sgr-http", "Ingress"));
    assert_eq!(decided(&mut bench, INTERNET, &http), [web_in]);
    let (ethernet, ip) = WEB.via_router(WORLD);
    let answer = tcp(ethernet, ip, 80, 5000, SYN, (1, 0));
    assert_eq!(decided(&mut bench, WEB, &answer), [web_out]);
    // By a NAT gateway it is the sender's once.
    let (ethernet, ip) = APP.via_router(WORLD);
    let app_out = format!("eni-app egress ACCEPT {}", rule_of("sg-app", "sgr-app-out", "Egress"));
    assert_eq!(decided(&mut bench, APP, &udp(ethernet, ip, 1, 2, b"x")), [app_out]);
    // What the gateway does not take is dropped before its zone knows of it, whatever groups the sender has.
    let address = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap();
    let to_gateway = Ip::new(address("2001:db8::1"), address("2001:db8::2"));
    let frame = udp(Ethernet::new(FORWARDER.mac, NAT_MAC), to_gateway, 1, 2, b"x");
    let cookies = path(&mut bench, FORWARDER, &frame);
    let last = cookies.last().and_then(|cookie| bench.compiled().sources.get(*cookie).cloned());
    assert_eq!(last, Some(hive_vpc::Source::NatGateway("nat-1".into())));
    // What the network answers, and what is forged, nobody decides.
    let (ethernet, ip) = WEB.via_router([169, 254, 169, 253].into());
    assert!(decided(&mut bench, WEB, &udp(ethernet, ip, 1, 53, b"x")).is_empty());
    let forged = Ip::new(WEB2.address, APP.address);
    assert!(decided(&mut bench, WEB, &udp(ethernet, forged, 1, 9000, b"x")).is_empty());
}

#[test]
fn packets_are_counted_by_interface_and_action() {
    let mut bench = Bench::new();
    let (ethernet, ip) = WEB.via_router(APP.address);
    let sources = bench.compiled().sources;
    let mut interval = Interval::default();
    for (port, at) in [(8085, 100), (8085, 160), (22, 130)] {
        let cookies = path(&mut bench, WEB, &tcp(ethernet, ip, 40000, port, SYN, (1, 0)));
        let tuple = Tuple {
            source: WEB.address.into(),
            destination: APP.address.into(),
            source_port: 40000,
            destination_port: port,
            protocol: 6,
        };
        let (packets, bytes) = (2, 120);
        let observation = Observation {
            cookies: &cookies,
            sent: tuple,
            received: tuple,
            packets,
            bytes,
            first_s: at,
            last_s: at + 5,
        };
        interval.add(&sources, &observation);
    }
    let logged: BTreeSet<InterfaceId> = [WEB, APP, DB].map(|host| host.id.into()).into();
    let lines: Vec<_> = interval.finish("000000000000", &logged, 60, 180).iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "2 000000000000 eni-app 10.0.1.10 10.0.2.20 40000 22 6 2 120 130 135 REJECT OK",
            "2 000000000000 eni-app 10.0.1.10 10.0.2.20 40000 8085 6 4 240 100 165 ACCEPT OK",
            "2 000000000000 eni-web 10.0.1.10 10.0.2.20 40000 22 6 2 120 130 135 ACCEPT OK",
            "2 000000000000 eni-web 10.0.1.10 10.0.2.20 40000 8085 6 4 240 100 165 ACCEPT OK",
            "2 000000000000 eni-db - - - - - - - 60 180 - NODATA",
        ]
    );
}

/// The same from the switch's own counters: what a flow counted, its cookie tells.
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
        let statistics = client.statistics(hive_vpc::Table::GroupIn.number()).unwrap();
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
