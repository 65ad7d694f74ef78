//! ARP, ICMP, DHCP and DNS, frame by frame, and what is not answered.

use super::{GATEWAY, GATEWAY_MAC, METADATA, Node, RESOLVER, SERVICES, ask, is_at_the_gateway, one, port, segment};
use crate::guest::{Guest, PATIENCE, eventually};
use crate::ovs::lab::Lab;
use hive_netd_api::{Hosts, MAX_HOSTS, Port, Reply, Request, Segment};
use hive_packet::arp::{Arp, Operation};
use hive_packet::{MacAddr, build, put};
use std::net::{Ipv4Addr, UdpSocket};

#[test]
fn local_addresses_answer_arp_and_echo() {
    let (_node, mut guest) = one(port("s", 5));
    for target_ip in [GATEWAY, RESOLVER, METADATA, Ipv4Addr::new(169, 254, 169, 253)] {
        is_at_the_gateway(&mut guest, target_ip);
        let echo = build::icmp(guest.ip, target_ip, 8, 0, [1, 2, 3, 4], b"payload");
        assert_eq!(ask(&mut guest, &echo), build::icmp(target_ip, guest.ip, 0, 0, [1, 2, 3, 4], b"payload"));
    }
}

#[test]
fn what_is_too_long_for_a_link_is_answered_as_by_a_router() {
    let (node, mut guest) = one(port("s", 5));
    let world = Ipv4Addr::new(192, 0, 2, 9);
    let link = "in_port=5,ip,nw_dst=192.0.2.0/24,actions=check_pkt_larger(1294)->NXM_NX_REG0[0],resubmit(,1)";
    node.lab.flow(&format!("priority=40000,{link}"));
    let to_services =
        format!("set_field:{:#x}->tun_id,set_field:10.0.0.1->tun_src,output:{SERVICES}", 1280u64 << 32 | 5);
    node.lab.flow(&format!("table=1,reg0=1,actions={to_services}"));
    node.lab.flow(
        "table=1,reg0=0,actions=set_field:02:00:00:00:00:01->eth_src,set_field:02:00:00:00:01:05->eth_dst,in_port",
    );
    let packet = |bytes: usize| build::udp(guest.ip, world, 1, 2, &vec![7; bytes - 28]);
    let (fits, long) = (packet(1280), packet(1281));
    let answer = build::icmp(GATEWAY, guest.ip, 3, 4, [0, 0, 5, 0], &long[..28]);
    assert_eq!(ask(&mut guest, &fits), fits);
    assert_eq!(ask(&mut guest, &long), answer);
    // Whoever sends many is told no more in this second, and is answered else as ever.
    for _ in 0..200 {
        guest.send(&build::ethernet(GATEWAY_MAC, guest.mac, &long));
    }
    eventually("some are not answered", || node.metrics().drops.contains_key("too-long").then_some(()));
    let echo = build::icmp(guest.ip, GATEWAY, 8, 0, [1, 2, 3, 4], b"payload");
    let pong = build::icmp(GATEWAY, guest.ip, 0, 0, [1, 2, 3, 4], b"payload");
    guest.send(&build::ethernet(GATEWAY_MAC, guest.mac, &echo));
    eventually("an echo", || (guest.receive()[14..] == pong[..]).then_some(()));
}

#[test]
fn dhcp_leases_the_address_of_the_port() {
    let (_node, mut guest) = one(port("s", 5));
    let mut discover = vec![0; 236];
    discover[..4].copy_from_slice(&[1, 1, 6, 0]);
    discover[28..34].copy_from_slice(&guest.mac.0);
    discover.extend_from_slice(&[99, 130, 83, 99, 53, 1, 1, 255]);
    let packet = build::udp(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, 68, 67, &discover);
    guest.send(&build::ethernet(MacAddr::BROADCAST, guest.mac, &packet));
    let offer = guest.receive();
    assert_eq!(offer[14 + 28 + 16..][..4], [10, 0, 0, 5], "your address");
    assert_eq!(offer[14 + 28 + 236 + 4..][..3], [53, 1, 2], "an offer");
}

fn query(id: u16, name: &str, kind: u16) -> Vec<u8> {
    let mut message = id.to_be_bytes().to_vec();
    message.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend_from_slice(label.as_bytes());
    }
    message.push(0);
    message.extend_from_slice(&kind.to_be_bytes());
    message.extend_from_slice(&[0, 1]);
    message
}

/// Response code and the last four bytes of the answer.
fn resolve_at(guest: &mut Guest, resolver: Ipv4Addr, name: &str, kind: u16) -> (u8, Vec<u8>) {
    let packet = build::udp(guest.ip, resolver, 5353, 53, &query(7, name, kind));
    let answer = ask(guest, &packet);
    let message = &answer[28..];
    assert_eq!(message[..2], [0, 7]);
    (message[3] & 0xf, message[message.len() - 4..].to_vec())
}

fn resolve(guest: &mut Guest, name: &str, kind: u16) -> (u8, Vec<u8>) {
    resolve_at(guest, RESOLVER, name, kind)
}

#[test]
fn dns_answers_for_the_segment_and_fails_for_others_without_upstream() {
    let (node, mut guest) = one(port("s", 5));
    node.put_port(port("s", 9));
    assert_eq!(resolve(&mut guest, "ip-10-0-0-9.ec2.internal", 1), (0, vec![10, 0, 0, 9]));
    assert_eq!(resolve(&mut guest, "Host9.EC2.internal", 1), (0, vec![10, 0, 0, 9]));
    let (code, tail) = resolve(&mut guest, "9.0.0.10.in-addr.arpa", 12);
    assert_eq!((code, tail), (0, b"nal\0".to_vec()));
    assert_eq!(resolve(&mut guest, "ip-10-0-0-99.ec2.internal", 1).0, 3);
    assert_eq!(resolve(&mut guest, "example.com", 1).0, 2);
}

#[test]
fn dns_knows_hosts_that_are_elsewhere() {
    let (node, mut guest) = one(port("s", 5));
    let hosts = |names: &str, address: [u8; 4]| Hosts {
        names: names.into(),
        domain_name: "ec2.internal".into(),
        hosts: [(Ipv4Addr::from(address), "far".to_owned())].into(),
    };
    assert_eq!(node.request(&Request::PutHosts(hosts("s", [10, 0, 0, 77]))), Reply::Done);
    assert_eq!(node.request(&Request::PutHosts(hosts("others", [10, 0, 0, 78]))), Reply::Done);
    assert_eq!(resolve(&mut guest, "far.ec2.internal", 1), (0, vec![10, 0, 0, 77]));
    assert_eq!(resolve(&mut guest, "77.0.0.10.in-addr.arpa", 12), (0, b"nal\0".to_vec()));
    assert_eq!(resolve(&mut guest, "78.0.0.10.in-addr.arpa", 12).0, 3, "others' names");
    let listed = Reply::Hosts([("s".to_owned(), 1), ("others".to_owned(), 1)].into());
    assert_eq!(node.request(&Request::ListHosts), listed);
    let refused = |hosts| matches!(node.request(&Request::PutHosts(hosts)), Reply::Error { .. });
    assert!(refused(hosts("s", [224, 0, 0, 1])) && refused(hosts("S", [10, 0, 0, 77])));
    let many = (0..=MAX_HOSTS as u32).map(|n| (Ipv4Addr::from(0x0a01_0000 + n), "a".to_owned())).collect();
    assert!(refused(Hosts { hosts: many, ..hosts("s", [10, 0, 0, 77]) }));
    assert_eq!(node.request(&Request::DeleteHosts { names: "s".into() }), Reply::Done);
    assert_eq!(resolve(&mut guest, "far.ec2.internal", 1).0, 3);
}

#[test]
fn segments_of_the_same_names_know_each_other_in_dns() {
    let node = Node::new();
    let resolver = Ipv4Addr::new(10, 9, 0, 2);
    let shared = |id: &str, third: u8, domain: &str| Segment {
        names: "vpc-1".into(),
        network: Ipv4Addr::new(10, 0, third, 0),
        gateway: Ipv4Addr::new(10, 0, third, 1),
        // The same for all, on the subnet of none.
        dns: resolver,
        domain_name: domain.into(),
        ..segment(id)
    };
    node.put_segment(shared("a", 0, "ec2.internal"));
    node.put_segment(shared("b", 1, "example.com other.example"));
    node.put_segment(Segment { names: "vpc-2".into(), ..segment("c") });
    let mut guest = node.guest(5);
    node.put_port(port("a", 5));
    node.put_port(Port { ipv4: Ipv4Addr::new(10, 0, 1, 9), ..port("b", 9) });
    node.put_port(port("c", 7));
    let mut ask = |name: &str, kind| resolve_at(&mut guest, resolver, name, kind);
    assert_eq!(ask("host9.example.com", 1), (0, vec![10, 0, 1, 9]));
    assert_eq!(ask("9.1.0.10.in-addr.arpa", 12), (0, b"com\0".to_vec()));
    assert_eq!(ask("host5.ec2.internal", 1), (0, vec![10, 0, 0, 5]));
    assert_eq!(ask("host7.ec2.internal", 1).0, 3, "of other names");
    assert_eq!(ask("7.0.0.10.in-addr.arpa", 12).0, 3);
    assert_eq!(ask("host9.other.example", 1).0, 2, "in the first domain only");
    // A segment that is moved takes its ports along.
    node.put_segment(Segment { names: "vpc-2".into(), ..shared("b", 1, "example.com") });
    assert_eq!(ask("host9.example.com", 1).0, 2);
    assert_eq!(ask("9.1.0.10.in-addr.arpa", 12).0, 2);
}

#[test]
fn dns_passes_names_on_that_it_does_not_know() {
    let lab = Lab::new();
    let upstream = lab.node.enter(|| UdpSocket::bind("127.0.0.1:5300").unwrap());
    upstream.set_read_timeout(Some(PATIENCE)).unwrap();
    let node = Node::over(lab, &["--resolver", "127.0.0.1:5300"]);
    node.put_segment(segment("s"));
    let mut guest = node.guest(5);
    node.put_port(port("s", 5));
    let answering = std::thread::spawn(move || {
        for _ in 0..2 {
            let mut message = [0; 512];
            let (length, from) = upstream.recv_from(&mut message).unwrap();
            message[2] |= 0x80;
            upstream.send_to(&[&message[..length], &[192, 0, 2, 1]].concat(), from).unwrap();
        }
    });
    assert_eq!(resolve(&mut guest, "host5.ec2.internal", 1), (0, vec![10, 0, 0, 5]), "its own");
    assert_eq!(resolve(&mut guest, "example.com", 1), (0, vec![192, 0, 2, 1]));
    // The domain may be a public one as well.
    assert_eq!(resolve(&mut guest, "www.ec2.internal", 1), (0, vec![192, 0, 2, 1]));
    answering.join().unwrap();
}

/// A packet with a field overwritten, and its header's checksum right again.
fn changed(packet: &[u8], at: usize, field: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    put(&mut packet, at, field);
    hive_packet::ipv4::fix_header_checksum(&mut packet);
    packet
}

#[test]
fn forged_malformed_and_strange_frames_are_dropped_and_counted() {
    let (node, mut guest) = one(port("s", 5));
    let echo = |from: Ipv4Addr, to: Ipv4Addr| build::icmp(from, to, 8, 0, [0; 4], b"payload");
    let (mac, good) = (guest.mac, echo(guest.ip, GATEWAY));
    let from = |mac: MacAddr, packet: &[u8]| build::ethernet(GATEWAY_MAC, mac, packet);
    let arp = |sender_mac: MacAddr, sender_ip: Ipv4Addr, target_ip: Ipv4Addr| {
        let (operation, target_mac) = (Operation::Request, MacAddr([0; 6]));
        let mut frame = Arp { operation, sender_mac, sender_ip, target_mac, target_ip }.to_frame(MacAddr::BROADCAST);
        frame[6..12].copy_from_slice(&mac.0);
        frame
    };
    let mut tagged = from(mac, &good);
    tagged[12..14].copy_from_slice(&[0x81, 0]);
    // Without a checksum, and longer than it is.
    let datagram = build::udp(guest.ip, RESOLVER, 1, 53, &[0; 20]);
    let overlong = changed(&datagram, 24, &[0, 200, 0, 0]);
    let mut flipped = good.clone();
    flipped[25] ^= 1;
    let (ip, stranger) = (guest.ip, Ipv4Addr::new(192, 0, 2, 1));
    let hostile = [
        ("spoofed-mac", from(MacAddr([2, 0, 0, 0, 1, 6]), &good)),
        ("spoofed-ipv4", from(mac, &echo(GATEWAY, GATEWAY))),
        ("spoofed-ipv4", from(mac, &echo(Ipv4Addr::UNSPECIFIED, GATEWAY))),
        ("spoofed-ipv4", from(mac, &echo(Ipv4Addr::BROADCAST, GATEWAY))),
        ("spoofed-arp", arp(MacAddr([2, 0, 0, 0, 1, 6]), ip, GATEWAY)),
        ("spoofed-arp", arp(mac, GATEWAY, GATEWAY)),
        ("not-local", arp(mac, ip, Ipv4Addr::new(10, 0, 0, 9))),
        ("not-local", from(mac, &echo(ip, stranger))),
        ("not-local", from(mac, &build::udp(ip, stranger, 5353, 53, &query(7, "host5.ec2.internal", 1)))),
        ("not-served", from(mac, &build::udp(ip, GATEWAY, 5353, 53, &query(7, "host5.ec2.internal", 1)))),
        ("not-served", from(mac, &build::udp(ip, RESOLVER, 5353, 53, &[0; 3]))),
        ("not-served", from(mac, &build::udp(ip, Ipv4Addr::BROADCAST, 68, 67, &[0; 300]))),
        ("not-served", from(mac, &build::tcp_syn(ip, RESOLVER, 1000, 80))),
        ("vlan-tagged", tagged),
        ("malformed", from(mac, &changed(&good, 0, &[0x4f]))),
        ("malformed", from(mac, &overlong)),
        ("bad-checksum", from(mac, &flipped)),
        ("fragment", from(mac, &changed(&good, 6, &[0x20, 0]))),
    ];
    for (reason, frame) in &hostile {
        let before = node.metrics().drops.get(*reason).copied().unwrap_or(0);
        guest.send(frame);
        let dropped = || (node.metrics().drops.get(*reason).copied().unwrap_or(0) > before).then_some(());
        eventually(&format!("{reason} for {frame:02x?}"), dropped);
    }
    let metrics = node.metrics();
    assert_eq!(metrics.drops.values().sum::<u64>(), hostile.len() as u64, "{:?}", metrics.drops);
    assert_eq!((metrics.answered_packets, node.ports()[0].metrics.clone()), (0, metrics));
    // The first answer is to the good one.
    assert_eq!(ask(&mut guest, &good), build::icmp(GATEWAY, guest.ip, 0, 0, [0; 4], b"payload"));
    let metrics = node.metrics();
    let bytes = good.len() as u64 + 14;
    assert_eq!((metrics.answered_packets, metrics.answered_bytes), (1, bytes));
    assert_eq!(metrics.asked_packets, hostile.len() as u64 + 1);
    // Of a number that nobody has.
    node.lab.flow(&format!("in_port=5,actions=set_field:77->tun_id,output:{SERVICES}"));
    guest.send(&from(mac, &good));
    eventually("a drop", || node.metrics().drops.get("unknown-number").copied());
    assert_eq!(node.ports()[0].metrics.asked_packets, hostile.len() as u64 + 1);
}
