//! Frames between guests.

use crate::daemon::{Netd, eventually, port, segment};
use crate::guest::{Guest, Options, feature};
use hive_packet::ipv4::{Ipv4Header, transport_checksum_holds};
use hive_packet::offload::{GSO_TCPV4, NEEDS_CSUM};
use hive_packet::{MacAddr, VnetHeader, arp, be32, build};
use std::net::Ipv4Addr;

fn guest(netd: &Netd, segment: &str, number: u8, options: Options) -> Guest {
    let mut port = port(segment, number);
    port.queue_pairs = options.pairs as u16;
    let socket = netd.put_port(port.clone());
    let guest = Guest::connect(&socket, &port, options);
    eventually("connection", || netd.ports().iter().find(|p| p.port.port_id == port.port_id)?.connected.then_some(()));
    guest
}

fn pair(a: Options, b: Options) -> (Netd, Guest, Guest) {
    let netd = Netd::start("");
    netd.put_segment(segment("s"));
    let a = guest(&netd, "s", 5, a);
    let b = guest(&netd, "s", 6, b);
    (netd, a, b)
}

#[test]
fn unknown_addresses_are_flooded_learned_ones_are_not_and_segments_do_not_meet() {
    let (netd, mut a, mut b) = pair(Options::default(), Options::default());
    let mut c = guest(&netd, "s", 7, Options::default());
    netd.put_segment(segment("other"));
    let mut d = guest(&netd, "other", 6, Options::default());

    let first = a.udp_to(&b, b"flooded");
    a.send(&first);
    assert_eq!(b.receive(), first);
    assert_eq!(c.receive(), first, "B was not known yet");
    let answer = b.udp_to(&a, b"answer");
    b.send(&answer);
    assert_eq!(a.receive(), answer);
    let second = a.udp_to(&b, b"learned");
    a.send(&second);
    assert_eq!(b.receive(), second);
    // What C and D receive next is the broadcast: nothing came before.
    let broadcast = build::ethernet(MacAddr::BROADCAST, a.mac, &build::udp(a.ip, Ipv4Addr::BROADCAST, 1, 2, b"all"));
    a.send(&broadcast);
    assert_eq!(b.receive(), broadcast);
    assert_eq!(c.receive(), broadcast);
    let to_d = build::ethernet(d.mac, d.mac, &build::udp(d.ip, d.ip, 1, 2, b"self"));
    d.send(&to_d);
    eventually("drop", || (netd.dropped("same-port") == 1).then_some(()));
    assert!(d.try_receive(0).is_none());
    assert!(netd.metrics().forwarded_packets >= 2);
    assert_eq!(netd.metrics().flooded_packets, 2);
}

#[test]
fn forged_tagged_and_malformed_frames_are_dropped_and_counted() {
    let (netd, mut a, mut b) = pair(Options::default(), Options::default());
    let good = a.udp_to(&b, b"good");
    let change = |at: usize, byte: u8| {
        let mut frame = good.clone();
        frame[at] ^= byte;
        frame
    };
    let forged_arp = arp::Arp {
        operation: arp::Operation::Reply,
        sender_mac: a.mac,
        sender_ip: Ipv4Addr::new(10, 0, 0, 1),
        target_mac: b.mac,
        target_ip: b.ip,
    };
    let mut tagged = good.clone();
    tagged[12..14].copy_from_slice(&[0x81, 0]);
    for frame in [change(11, 1), change(29, 1), forged_arp.to_frame(b.mac), tagged, change(14, 0x10), vec![0; 9]] {
        a.send(&frame);
    }
    a.send_on(0, VnetHeader { gso_type: 3, ..VnetHeader::default() }, &good);
    a.send_on(0, VnetHeader { flags: NEEDS_CSUM, csum_start: 60_000, ..VnetHeader::default() }, &good);
    a.send(&good);
    assert_eq!(b.receive(), good, "the first to pass is the good one");
    let drops = netd.metrics().drops;
    for (reason, count) in [
        ("spoofed-mac", 1),
        ("spoofed-ipv4", 1),
        ("spoofed-arp", 1),
        ("vlan-tagged", 1),
        ("malformed", 2),
        ("bad-offload", 2),
    ] {
        assert_eq!(drops.get(reason), Some(&count), "{reason} in {drops:?}");
    }
}

#[test]
fn frames_are_spread_over_mergeable_buffers_and_taken_from_indirect_descriptors() {
    let small = Options { rx_buffer_bytes: 512, ..Options::default() };
    let with_indirect = Options {
        features: Options::default().features | feature::INDIRECT_DESC,
        indirect: true,
        ..Options::default()
    };
    let (_netd, mut a, mut b) = pair(with_indirect, small);
    for length in [20, 460, 500, 1500, 8900] {
        let payload: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
        let frame = a.udp_to(&b, &payload);
        a.send(&frame);
        let received = b.receive_on(0);
        assert_eq!(received.frame, frame);
        assert_eq!(usize::from(received.num_buffers), (frame.len() + 12).div_ceil(512));
    }
}

#[test]
fn a_guest_without_buffers_costs_drops_not_others() {
    let (netd, mut a, mut b) = pair(Options::default(), Options { rx_buffers: 0, ..Options::default() });
    let mut c = guest(&netd, "s", 7, Options::default());
    let hello = c.udp_to(&a, b"c");
    c.send(&hello);
    assert_eq!(a.receive(), hello);
    for _ in 0..40 {
        let lost = a.udp_to(&b, b"lost");
        a.send(&lost);
    }
    let kept = a.udp_to(&c, b"kept");
    a.send(&kept);
    eventually("frame for C", || c.try_receive(0).filter(|received| received.frame == kept));
    assert!(netd.dropped("no-buffers") >= 40);
    assert!(b.try_receive(0).is_none());
}

fn large_frame(a: &Guest, b: &Guest, payload: &[u8]) -> (VnetHeader, Vec<u8>) {
    let mut frame = build::ethernet(b.mac, a.mac, &build::tcp(a.ip, b.ip, 1, 2, 0x18, payload));
    // As drivers do: the field holds the sum of the pseudo-header only.
    let pseudo = hive_packet::checksum::pseudo_header_ipv4(a.ip, b.ip, 6, payload.len() + 20);
    frame[50..52].copy_from_slice(&hive_packet::checksum::fold(pseudo).to_be_bytes());
    let header = VnetHeader {
        flags: NEEDS_CSUM,
        gso_type: GSO_TCPV4,
        header_bytes: 54,
        gso_size: 1448,
        csum_start: 34,
        csum_offset: 16,
    };
    (header, frame)
}

#[test]
fn large_segments_pass_to_a_peer_that_takes_them_and_are_cut_for_one_that_does_not() {
    let offloads = feature::CSUM | feature::HOST_TSO4 | feature::GUEST_CSUM | feature::GUEST_TSO4;
    let able = Options { features: Options::default().features | offloads, ..Options::default() };
    let (netd, mut a, mut plain) = pair(able.clone(), Options::default());
    let mut able = guest(&netd, "s", 7, able);
    let payload: Vec<u8> = (0..40_000).map(|n| (n % 253) as u8).collect();

    let (header, frame) = large_frame(&a, &able, &payload);
    a.send_on(0, header, &frame);
    let received = able.receive_on(0);
    assert_eq!((received.header, received.frame), (header, frame.clone()), "passed through as it is");
    // The address was not known, so that the other guest saw it too, in segments.
    let mut joined = Vec::new();
    while joined.len() < payload.len() {
        let received = plain.receive_on(0);
        assert_eq!(received.header, VnetHeader::default());
        let packet = &received.frame[14..];
        let ip = Ipv4Header::parse(packet, packet.len()).unwrap();
        assert!(transport_checksum_holds(packet, &ip));
        assert!(packet.len() <= 1448 + 40);
        assert_eq!(be32(packet, 24).unwrap() as usize, 1 + joined.len());
        joined.extend_from_slice(&packet[40..]);
    }
    assert_eq!(joined, payload);
}

#[test]
fn queue_pairs_work_side_by_side() {
    let two = Options { features: Options::default().features | feature::MQ, pairs: 2, ..Options::default() };
    let (_netd, mut a, mut b) = pair(two.clone(), two);
    for round in 0..3 {
        for pair in [0, 1] {
            let frame = a.udp_to(&b, &[round, pair as u8]);
            a.send_on(pair, VnetHeader::default(), &frame);
            assert_eq!(b.receive_on(pair).frame, frame);
        }
    }
}

#[test]
fn event_indices_wake_the_switch_after_every_pause() {
    let events = Options { features: Options::default().features | feature::EVENT_IDX, ..Options::default() };
    let (_netd, mut a, mut b) = pair(events.clone(), events);
    // More frames than a ring holds, with and without pauses longer than the polling period.
    for number in 0..600u32 {
        if number % 100 < 5 {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let frame = a.udp_to(&b, &number.to_be_bytes());
        a.send(&frame);
        assert_eq!(b.receive(), frame);
    }
    assert_eq!(a.sent(0), 600);
}
