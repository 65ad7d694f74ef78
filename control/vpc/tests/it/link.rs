//! What an interface sees of its link: ARP, services, and that nothing else gets on it.

use crate::bench::{Bench, INTERNET};
use crate::fixture::*;
use crate::packet::{Arp, Ethernet, Ip, SYN, arp, icmp, tcp, udp};
use crate::switch::Way;
use hive_vpc::model::{MacAddress, NetworkAcl, SecurityGroup};
use std::net::Ipv4Addr;

const BROADCAST: MacAddress = MacAddress([0xff; 6]);
const NOBODY: MacAddress = MacAddress([0; 6]);

fn asks(host: Host, target: Ipv4Addr) -> Vec<u8> {
    let question = Arp { operation: 1, sender: (host.mac, host.address), target: (NOBODY, target) };
    arp(Ethernet::new(host.mac, BROADCAST), question)
}

fn told(host: Host, target: Ipv4Addr, mac: MacAddress) -> Vec<u8> {
    let answer = Arp { operation: 2, sender: (mac, target), target: (host.mac, host.address) };
    arp(Ethernet::new(mac, host.mac), answer)
}

#[test]
fn arp_is_answered_for_every_address_of_the_subnet_and_no_other() {
    let mut bench = Bench::new();
    let metadata = Ipv4Addr::new(169, 254, 169, 254);
    let addresses = [
        (WEB, Ipv4Addr::new(10, 0, 1, 1), ROUTER),
        (WEB, WEB2.address, WEB2.mac),
        (WEB2, WEB.address, WEB.mac),
        (WEB2, WEB_SECOND, WEB.mac),
        (WEB, NAT_PRIVATE, NAT_MAC),
        (WEB, metadata, ROUTER),
        (APP, Ipv4Addr::new(10, 0, 2, 1), ROUTER),
        // It is at another node.
        (APP, FAR.address, FAR.mac),
    ];
    for (host, address, mac) in addresses {
        bench.passes(host, &asks(host, address), host, told(host, address, mac));
    }
    // Nobody's; of the other subnet; its own, which nobody may claim; the name server of a subnet where it is not.
    for address in [Ipv4Addr::new(10, 0, 1, 99), APP.address, WEB.address, Ipv4Addr::new(10, 0, 1, 2)] {
        bench.is_dropped(WEB, &asks(WEB, address));
    }
    // A probe for an address that somebody has is answered, one for the own is not.
    let probe = |target| {
        let question = Arp { operation: 1, sender: (WEB.mac, Ipv4Addr::UNSPECIFIED), target: (NOBODY, target) };
        arp(Ethernet::new(WEB.mac, BROADCAST), question)
    };
    let answer = Arp { operation: 2, sender: (WEB2.mac, WEB2.address), target: (WEB.mac, Ipv4Addr::UNSPECIFIED) };
    bench.passes(WEB, &probe(WEB2.address), WEB, arp(Ethernet::new(WEB2.mac, WEB.mac), answer));
    bench.is_dropped(WEB, &probe(WEB.address));
    // Announcements go nowhere.
    let announcement = Arp { operation: 2, sender: (WEB.mac, WEB.address), target: (WEB.mac, WEB.address) };
    bench.is_dropped(WEB, &arp(Ethernet::new(WEB.mac, BROADCAST), announcement));
}

#[test]
fn nobody_sends_as_another() {
    let mut bench = Bench::new();
    let frame = |source: MacAddress, address: Ipv4Addr| {
        let ethernet = Ethernet::new(source, WEB2.mac);
        icmp(ethernet, Ip::new(address, WEB2.address), 8, 0, [0, 1, 0, 1], b"ping")
    };
    let honest = frame(WEB.mac, WEB.address);
    bench.passes(WEB, &honest, WEB2, honest.clone());
    let second = frame(WEB.mac, WEB_SECOND);
    bench.passes(WEB, &second, WEB2, second.clone());
    for (mac, address) in [
        (WEB2.mac, WEB.address),
        (FORWARDER.mac, WEB.address),
        (ROUTER, WEB.address),
        (WEB.mac, FORWARDER.address),
        (WEB.mac, APP.address),
        (WEB.mac, Ipv4Addr::UNSPECIFIED),
        (WEB.mac, WORLD),
    ] {
        bench.is_dropped(WEB, &frame(mac, address));
    }
    // ARP, as another: by address, by hardware address, by the frame's.
    for (frame, mac, address) in
        [(WEB.mac, WEB.mac, WEB2.address), (WEB.mac, WEB2.mac, WEB.address), (WEB2.mac, WEB.mac, WEB.address)]
    {
        let question = Arp { operation: 1, sender: (mac, address), target: (NOBODY, Ipv4Addr::new(10, 0, 1, 1)) };
        bench.is_dropped(WEB, &arp(Ethernet::new(frame, BROADCAST), question));
    }
    // Nor does a frame of another protocol, or with a tag, go anywhere.
    for kind in [[0x88, 0xcc], [0x81, 0x00]] {
        let other = [&WEB2.mac.0[..], &WEB.mac.0, &kind, &[0; 50]].concat();
        bench.is_dropped(WEB, &other);
    }
    // A tag before what would pass without, whatever its number.
    for tag in [[0, 5], [0, 0], [0x10, 1]] {
        let tagged = [&honest[..12], &[0x81, 0], &tag, &honest[12..]].concat();
        bench.is_dropped(WEB, &tagged);
        let question = asks(WEB, WEB2.address);
        bench.is_dropped(WEB, &[&question[..12], &[0x81, 0], &tag, &question[12..]].concat());
    }
}

#[test]
fn there_is_no_broadcast_and_no_flooding() {
    let mut bench = Bench::new();
    for (mac, address) in [
        (BROADCAST, Ipv4Addr::BROADCAST),
        (BROADCAST, Ipv4Addr::new(10, 0, 1, 255)),
        (BROADCAST, WEB2.address),
        (MacAddress([1, 0, 0x5e, 0, 0, 251]), Ipv4Addr::new(224, 0, 0, 251)),
        (ROUTER, Ipv4Addr::new(10, 0, 1, 255)),
        (ROUTER, Ipv4Addr::new(239, 1, 1, 1)),
        // Nobody has it; it is of the other subnet; it is the sender's own.
        (mac(0x77), WEB2.address),
        (APP.mac, APP.address),
        (ROUTER, Ipv4Addr::new(10, 0, 1, 1)),
        (ROUTER, Ipv4Addr::new(169, 254, 1, 1)),
    ] {
        let frame = udp(Ethernet::new(WEB.mac, mac), Ip::new(WEB.address, address), 7000, 7000, b"all");
        bench.is_dropped(WEB, &frame);
    }
}

#[test]
fn the_services_port_hears_who_asks_and_answers_to_none_else() {
    let mut bench = Bench::new();
    // Not filtered, whatever groups and ACLs say.
    bench.change(|network| {
        network.groups.insert("sg-web".into(), SecurityGroup::default());
        network.acls.insert("acl-a".into(), NetworkAcl::default());
    });
    let services = Way::Services(WEB.number().into());
    let ask = |ip: Ip, ports: (u16, u16)| udp(Ethernet::new(WEB.mac, ROUTER), ip, ports.0, ports.1, b"question");
    let discover = udp(
        Ethernet::new(WEB.mac, BROADCAST),
        Ip::new(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST),
        68,
        67,
        b"discover",
    );
    let to = |address: [u8; 4]| Ip::new(WEB.address, Ipv4Addr::from(address));
    let metadata = tcp(Ethernet::new(WEB.mac, ROUTER), to([169, 254, 169, 254]), 40000, 80, SYN, (1, 0));
    let questions = [
        discover,
        ask(to([10, 0, 1, 1]), (68, 67)),
        ask(to([169, 254, 169, 253]), (5000, 53)),
        ask(to([10, 0, 0, 2]), (5000, 53)),
        tcp(Ethernet::new(WEB.mac, ROUTER), to([10, 0, 0, 2]), 40000, 53, SYN, (1, 0)),
        ask(to([169, 254, 169, 123]), (5000, 123)),
        metadata.clone(),
    ];
    for question in questions {
        bench.passes(WEB, &question, services, question.clone());
    }
    // What is served is all that there is.
    bench.is_dropped(WEB, &ask(to([169, 254, 169, 254]), (5000, 53)));
    bench.is_dropped(WEB, &ask(to([169, 254, 169, 253]), (5000, 123)));
    bench.is_dropped(WEB, &ask(to([10, 0, 0, 2]), (5000, 123)));
    // An answer reaches the interface whose number it carries.
    let answer = |ttl| {
        let ip = Ip { ttl, ..Ip::new(Ipv4Addr::new(169, 254, 169, 254), WEB.address) };
        tcp(Ethernet::new(ROUTER, WEB.mac), ip, 80, 40000, SYN, (1, 2))
    };
    bench.passes(services, &answer(1), WEB, answer(1));
    bench.is_dropped(Way::Services(77), &answer(1));
    bench.is_dropped(Way::Services(0), &answer(1));
    // Without the endpoint, and without DNS.
    bench.change(|network| {
        network.interfaces.get_mut(&WEB.id.into()).unwrap().metadata.enabled = false;
        network.vpcs.get_mut(&"vpc-1".into()).unwrap().dns_support = false;
    });
    bench.is_dropped(WEB, &metadata);
    bench.is_dropped(WEB, &ask(to([169, 254, 169, 253]), (5000, 53)));
    bench.is_dropped(WEB, &ask(to([10, 0, 0, 2]), (5000, 53)));
    // Nobody outside is served.
    bench.is_dropped(INTERNET, &metadata);
}

#[test]
fn two_vpcs_with_the_same_addresses_do_not_meet() {
    let mut bench = Bench::new();
    let (ethernet, ip) = TWIN.to(WEB2);
    bench.is_dropped(TWIN, &udp(ethernet, ip, 7000, 7000, b"other"));
    let (ethernet, ip) = TWIN.via_router(APP.address);
    bench.is_dropped(TWIN, &udp(ethernet, ip, 9000, 9000, b"other"));
    let sent = asks(TWIN, Ipv4Addr::new(10, 0, 1, 1));
    bench.passes(TWIN, &sent, TWIN, told(TWIN, Ipv4Addr::new(10, 0, 1, 1), OTHER_VNI.router_mac()));
    bench.is_dropped(TWIN, &asks(TWIN, WEB2.address));
    // By the tunnel the number decides which of the two it is for.
    let frame = udp(Ethernet::new(ROUTER, WEB.mac), Ip::new(FAR.address, WEB.address), 7000, 7000, b"which");
    bench.passes(Way::Tunnel(PEER, OTHER_VNI.0), &frame, TWIN, frame.clone());
    bench.is_dropped(Way::Tunnel(PEER, VNI.0), &frame);
    bench.is_dropped(Way::Tunnel(PEER, 5003), &frame);
    // From where no node is.
    bench.is_dropped(Way::Tunnel(Ipv4Addr::new(100, 127, 77, 66), OTHER_VNI.0), &frame);
}

/// A dead daemon comes back with nothing, somebody else's flows are removed, and a new programmer finds its way into what is there.
#[test]
fn tables_are_put_right() {
    let mut switch = crate::switch::under_test();
    let (network, node) = region();
    let wanted = hive_vpc::compile(&network, &node).unwrap().flows;
    let programmer = || hive_vpc::Programmer::new(switch.management(), crate::switch::PATIENCE);
    let mut first = programmer();
    let report = first.set(&wanted).unwrap();
    assert_eq!((report.changes, report.read_all), (wanted.len(), true));
    let report = first.set(&wanted).unwrap();
    assert_eq!((report.changes, report.read_all), (0, false));
    // Another programmer takes over.
    let mut second = programmer();
    assert_eq!(second.set(&wanted).unwrap().changes, 0);
    // Somebody removes flows, changes one, and adds one.
    switch.ofctl("del-flows BR table=3");
    switch.ofctl("add-flow BR table=19,priority=7,actions=drop");
    switch.ofctl("mod-flows BR table=10,actions=drop");
    let of_table = |number: u8| wanted.keys().filter(|key| key.table == number).count();
    let report = second.verify(&wanted).unwrap();
    assert_eq!(report.changes, of_table(3) + of_table(10) + 1);
    assert_eq!(second.verify(&wanted).unwrap().changes, 0);
    // A change where a table is not as it was left is found, and put right, though nobody asked to verify.
    switch.ofctl("add-flow BR table=15,priority=7,actions=drop");
    let mut less = network.clone();
    less.acls.get_mut(&"acl-a".into()).unwrap().ingress.clear();
    let less = hive_vpc::compile(&less, &node).unwrap().flows;
    assert!(second.set(&less).unwrap().read_all);
    assert_eq!(second.verify(&less).unwrap().changes, 0);
    switch.restart();
    let report = second.set(&wanted).unwrap();
    assert_eq!((report.changes, report.read_all), (wanted.len(), true));
    assert_eq!(first.set(&wanted).unwrap().changes, 0);
}
