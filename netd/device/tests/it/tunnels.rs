//! Geneve and VXLAN: between two of ours, with the kernel's VXLAN, and against whoever sends rubbish.

use crate::namespace::{Namespace, wait};
use crate::receive;
use crate::wire::{BURST, Wire, send};
use hive_device::tunnel::{Endpoint, Key, Kind, MappedOption, OptionMap, Reject, TunnelConfig, TunnelPort, Tunnels};
use hive_device::{Device, Tap};
use hive_flow::Field;
use hive_packet::{MacAddr, build};
use hive_program::Tunnel;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;

const OPTION: [u8; 8] = [1, 2, 0x80, 1, 0, 1, 0, 2];

pub fn config(kind: Kind, remote: &str, id: u32) -> TunnelConfig {
    TunnelConfig {
        kind,
        udp_port: kind.default_port(),
        remote: if remote == "flow" { Endpoint::Flow } else { Endpoint::Address(remote.parse().unwrap()) },
        local: None,
        key: Key::Id(id),
        checksum: false,
        mark: 0,
        options: OptionMap::default(),
        security: None,
    }
}

pub fn mapped() -> OptionMap {
    [MappedOption { class: 0x102, kind: 0x80, length_bytes: 4, index: 0 }].into_iter().collect()
}

pub fn to(remote: &str, id: u64) -> Tunnel {
    Tunnel { id, remote: remote.parse().unwrap(), local: None, tos: 0, ttl: 64, df: false, options: Arc::new([]) }
}

/// Two nodes on one wire.
pub fn nodes() -> [Namespace; 2] {
    let (left, right) = (Namespace::new(), Namespace::new());
    left.veth("eth0", &right, "eth0");
    for (node, host) in [(&left, 1), (&right, 2)] {
        node.address("eth0", &format!("192.168.7.{host}/24"));
        node.address("eth0", &format!("fd00:7::{host}/64"));
    }
    left.ping("192.168.7.2");
    [left, right]
}

/// A TAP behind a tunnel.
pub fn node(namespace: &Namespace, config: TunnelConfig, tunnel: Tunnel, address: &str, mtu: u32) -> Wire {
    let (tap, port) = namespace.enter(move || {
        let tap = Tap::create("tap0").unwrap();
        tap.link().set_mtu(mtu).unwrap();
        (tap, Tunnels::default().add(config).unwrap())
    });
    namespace.address("tap0", address);
    Wire::join(Box::new(tap), Box::new(port), Some(tunnel))
}

#[test]
fn geneve_carries_frames_and_options_between_two_nodes() {
    for (left_address, right_address) in [("192.168.7.1", "192.168.7.2"), ("fd00:7::1", "fd00:7::2")] {
        for checksum in [false, true] {
            let [left, right] = nodes();
            let make = |namespace: &Namespace, remote: &str, address: &str| {
                let config = TunnelConfig { checksum, options: mapped(), ..config(Kind::Geneve, remote, 7) };
                let tunnel = Tunnel { df: true, options: Arc::new(OPTION), ..to(remote, 7) };
                node(namespace, config, tunnel, address, 1400)
            };
            let one = make(&left, right_address, "10.0.0.1/24");
            let other = make(&right, left_address, "10.0.0.2/24");
            left.ping("10.0.0.2");
            left.stream(&right, "10.0.0.2", 10 << 20);
            right.stream(&left, "10.0.0.1", 10 << 20);
            assert!(one.large()[0] > 0 && other.large()[0] > 0);
            assert_eq!(one.status()[1].counters.tx_dropped, 0);
            let key = other.metadata()[1].unwrap();
            assert_eq!((key.get(Field::TunId), key.get(Field::TunMetadata(0))), (7, 0x1_0002));
            match left_address.parse().unwrap() {
                IpAddr::V4(address) => assert_eq!(key.get(Field::TunSrc), u128::from(address.to_bits())),
                IpAddr::V6(address) => assert_eq!(key.get(Field::TunIpv6Src), address.to_bits()),
            }
        }
    }
}

/// The kernel's VXLAN device cuts, checks and answers.
#[test]
fn vxlan_speaks_with_the_kernel() {
    let [left, right] = nodes();
    // Or the kernel leaves checksums within datagrams to a network card, which veth only claims to be.
    right.exec("ethtool -K eth0 tx off");
    right.ip("link add vx0 type vxlan id 42 remote 192.168.7.1 dstport 4789");
    right.address("vx0", "10.0.0.2/24");
    let one = node(&left, config(Kind::Vxlan, "192.168.7.2", 42), to("192.168.7.2", 42), "10.0.0.1/24", 1450);
    left.ping("10.0.0.2");
    left.stream(&right, "10.0.0.2", 10 << 20);
    right.stream(&left, "10.0.0.1", 10 << 20);
    assert!(one.large()[0] > 0);
    assert_eq!(one.metadata()[1].unwrap().get(Field::TunId), 42);
}

#[test]
fn frames_that_do_not_fit_are_dropped_or_fragmented_as_asked() {
    let [left, right] = nodes();
    let mut one = left.enter(|| Tunnels::default().add(config(Kind::Geneve, "192.168.7.2", 7)).unwrap());
    let mut other = right.enter(|| Tunnels::default().add(config(Kind::Geneve, "192.168.7.1", 7)).unwrap());
    let frame = frame(3000, b"large");
    send(&mut one, &frame, Some(&Tunnel { df: true, ..to("192.168.7.2", 7) }));
    assert_eq!(one.status().counters.tx_dropped, 1);
    send(&mut one, &frame, Some(&to("192.168.7.2", 7)));
    assert_eq!(receive::next(&mut other, |_| true).0, frame);
    assert_eq!((one.status().counters.tx_packets, one.status().counters.tx_bytes), (1, frame.len() as u64));
    // Nobody there, no address, the wrong family: dropped.
    assert!(!send(&mut one, &frame, None));
    assert!(!send(&mut one, &frame, Some(&to("0.0.0.0", 7))));
    assert!(!send(&mut one, &frame, Some(&Tunnel { local: Some("::1".parse().unwrap()), ..to("192.168.7.2", 7) })));
    assert!(!send(&mut one, &frame, Some(&Tunnel { options: Arc::new([1, 2, 3]), ..to("192.168.7.2", 7) })));
}

fn frame(bytes: usize, end: &[u8]) -> Vec<u8> {
    let payload = [&vec![0; bytes][..], end].concat();
    let packet = build::udp([1, 1, 1, 1].into(), [2, 2, 2, 2].into(), 5, 6, &payload);
    build::ethernet(MacAddr([2, 9, 9, 9, 9, 9]), MacAddr([2, 8, 8, 8, 8, 8]), &packet)
}

/// Datagrams of one size leave as one message; whatever their sizes, they arrive as they were sent.
#[test]
fn a_batch_arrives_as_it_was_sent() {
    let [left, right] = nodes();
    let with_checksum = |remote| TunnelConfig { checksum: true, ..config(Kind::Geneve, remote, 7) };
    let mut one = left.enter(move || Tunnels::default().add(with_checksum("192.168.7.2")).unwrap());
    let mut other = right.enter(move || Tunnels::default().add(with_checksum("192.168.7.1")).unwrap());
    let frames: Vec<Vec<u8>> =
        [100, 100, 60, 100, 100, 101, 100, 60, 60].iter().zip(0..).map(|(bytes, at)| frame(*bytes, &[at])).collect();
    for frame in &frames {
        let header = hive_packet::VnetHeader::default();
        assert!(one.send(hive_device::Sent { header, pieces: &[frame], tunnel: Some(&to("192.168.7.2", 7)) }));
    }
    one.flush();
    for frame in &frames {
        assert_eq!(receive::next(&mut other, |_| true).0, *frame);
    }
    assert_eq!(one.status().counters.tx_packets, frames.len() as u64);
}

/// A large segment is cut for the wire, and whole again behind it: its receiver has one frame, as if there were no wire.
#[test]
fn a_large_segment_arrives_in_one_piece() {
    let [left, right] = nodes();
    let mut one = left.enter(|| Tunnels::default().add(config(Kind::Geneve, "192.168.7.2", 7)).unwrap());
    let mut other = right.enter(|| Tunnels::default().add(config(Kind::Geneve, "192.168.7.1", 7)).unwrap());
    let payload: Vec<u8> = (0..40_000u32).map(|at| (at * 7 / 8) as u8).collect();
    let packet = build::tcp([1, 1, 1, 1].into(), [2, 2, 2, 2].into(), 5, 6, 0x18, &payload);
    let frame = build::ethernet(MacAddr([2, 9, 9, 9, 9, 9]), MacAddr([2, 8, 8, 8, 8, 8]), &packet);
    let header = hive_packet::VnetHeader {
        flags: hive_packet::offload::NEEDS_CSUM,
        gso_type: hive_packet::offload::GSO_TCPV4,
        header_bytes: 54,
        gso_size: 1348,
        csum_start: 34,
        csum_offset: 16,
    };
    for _ in 0..3 {
        assert!(one.send(hive_device::Sent { header, pieces: &[&frame], tunnel: Some(&to("192.168.7.2", 7)) }));
        one.flush();
        let mut got = None;
        wait("the segment", || {
            other
                .receive(BURST, &mut |received| {
                    assert!(got.is_none(), "one frame");
                    got = Some((received.header, received.frame.to_vec()));
                })
                .unwrap();
            got.is_some()
        });
        let (arrived, mut bytes) = got.unwrap();
        assert_eq!(arrived, header);
        // The checksum is the receiver's to complete, as it was the sender's to leave.
        assert!(hive_packet::offload::complete_checksum(&mut bytes, &arrived));
        assert_eq!(bytes, frame);
    }
    let counters = other.status().counters;
    assert_eq!((counters.rx_packets, counters.rx_bytes), (3, 3 * frame.len() as u64));
}

#[test]
fn outer_addresses_class_and_lifetime_are_as_asked() {
    let [left, right] = nodes();
    left.address("eth0", "192.168.7.11/24");
    let mut one = left.enter(|| Tunnels::default().add(config(Kind::Geneve, "192.168.7.2", 7)).unwrap());
    let dump = right.enter(|| hive_device::PacketDevice::attach("eth0").unwrap());
    let mut dump = dump;
    let local = Some("192.168.7.11".parse().unwrap());
    let tunnel = Tunnel { tos: 0xb8, ttl: 9, df: true, local, ..to("192.168.7.2", 7) };
    send(&mut one, &frame(10, b"marked"), Some(&tunnel));
    let (outer, _) = receive::next(&mut dump, |got| got.ends_with(b"marked"));
    assert_eq!((outer[15], outer[22], outer[20] & 0x40), (0xb8, 9, 0x40));
    assert_eq!(outer[26..30], [192, 168, 7, 11]);
    let source_port = u16::from_be_bytes([outer[34], outer[35]]);
    assert!(source_port >= 49152, "{source_port}");
    assert_eq!(outer[40..42], [0, 0], "no checksum was asked for");
}

/// Ports of one endpoint: each has its own frames, whoever reads the socket, and however often that changes.
#[test]
fn ports_share_a_socket() {
    let [left, right] = nodes();
    let mut sender = right.enter(|| Tunnels::default().add(config(Kind::Geneve, "flow", 1)).unwrap());
    let tunnels = Tunnels::default();
    let add = |remote: &'static str, key: Key| {
        let tunnels = tunnels.clone();
        left.enter(move || tunnels.add(TunnelConfig { key, ..config(Kind::Geneve, remote, 0) }))
    };
    let fixed = |id| add("192.168.7.2", Key::Id(id)).unwrap();
    let mut ports = vec![(1, fixed(1)), (2, fixed(2)), (3, fixed(3)), (9, add("flow", Key::Flow).unwrap())];
    assert!(add("192.168.7.2", Key::Id(2)).is_err());
    while !ports.is_empty() {
        let ids: Vec<u64> = ports.iter().map(|(id, _)| *id).collect();
        for id in &ids {
            send(&mut sender, &frame(10, &[*id as u8]), Some(&to("192.168.7.1", *id)));
        }
        // All have to be asked: the one that reads hands on.
        let mut seen: Vec<(u64, u8, u64)> = Vec::new();
        wait("each port has its frame", || {
            for (id, port) in &mut ports {
                port.receive(32, &mut |got| {
                    seen.push((*id, *got.frame.last().unwrap(), got.metadata.get_u64(Field::TunId)));
                })
                .unwrap();
            }
            seen.len() >= ids.len()
        });
        seen.sort_unstable();
        assert_eq!(seen, ids.iter().map(|id| (*id, *id as u8, *id)).collect::<Vec<_>>());
        // The leader, mostly.
        ports.remove(0);
    }
}

/// A port whose frames another one reads is woken.
#[test]
fn a_port_is_woken_by_another() {
    let [left, right] = nodes();
    let mut sender = right.enter(|| Tunnels::default().add(config(Kind::Geneve, "flow", 1)).unwrap());
    let tunnels = Tunnels::default();
    let (mut leader, mut follower): (TunnelPort, TunnelPort) = left.enter(move || {
        let add = |id| tunnels.add(config(Kind::Geneve, "192.168.7.2", id)).unwrap();
        (add(1), add(2))
    });
    let readable = |port: &TunnelPort| {
        let fd = port.wake_fd().unwrap();
        let mut fds = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
        rustix::event::poll(&mut fds, Some(&rustix::event::Timespec::default())).unwrap() == 1
    };
    send(&mut sender, &frame(10, b"2"), Some(&to("192.168.7.1", 2)));
    wait("the leader is woken", || readable(&leader));
    assert!(!readable(&follower));
    assert_eq!(leader.receive(32, &mut |_| panic!("not the leader's")).unwrap(), 0);
    assert!(readable(&follower) && !readable(&leader));
    assert_eq!(follower.receive(32, &mut |got| assert!(got.frame.ends_with(b"2"))).unwrap(), 1);
    assert!(!readable(&follower));
    drop(leader);
    send(&mut sender, &frame(10, b"3"), Some(&to("192.168.7.1", 2)));
    wait("the follower leads", || readable(&follower));
    assert_eq!(follower.receive(32, &mut |_| ()).unwrap(), 1);
}

#[test]
fn what_is_malformed_is_counted_by_its_reason() {
    let [left, right] = nodes();
    let tunnels = Tunnels::default();
    let in_left = tunnels.clone();
    let (mut geneve, mut vxlan) = left.enter(move || {
        let geneve = in_left.add(config(Kind::Geneve, "192.168.7.2", 7)).unwrap();
        (geneve, in_left.add(config(Kind::Vxlan, "192.168.7.2", 7)).unwrap())
    });
    let socket = right.enter(|| UdpSocket::bind("192.168.7.2:0").unwrap());
    let datagram = |head: &[u8]| [head, &frame(0, b"")].concat();
    let good = [0, 0, 0x65, 0x58, 0, 0, 7, 0];
    let with = |changes: &[(usize, u8)]| {
        let mut head = good;
        changes.iter().for_each(|(at, value)| head[*at] = *value);
        datagram(&head)
    };
    let cases = [
        (good.to_vec(), Reject::Short),
        (vec![], Reject::Short),
        (with(&[(0, 0x40)]), Reject::Version),
        (with(&[(1, 0x80)]), Reject::Control),
        (with(&[(2, 8), (3, 0)]), Reject::ProtocolType),
        (datagram(&[1, 0, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 3, 31]), Reject::Options),
        (datagram(&[1, 0x40, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 0x80, 0]), Reject::CriticalOption),
        (with(&[(6, 8)]), Reject::NoPort),
    ];
    for (datagram, _) in &cases {
        socket.send_to(datagram, "192.168.7.1:6081").unwrap();
    }
    socket.send_to(&datagram(&[0x88, 0, 0, 0, 0, 0, 7, 0]), "192.168.7.1:4789").unwrap();
    socket.send_to(&datagram(&good), "192.168.7.1:6081").unwrap();
    receive::next(&mut geneve, |_| true);
    wait("VXLAN is counted too", || {
        vxlan.receive(32, &mut |_| panic!("none is good")).unwrap();
        tunnels.rejected().contains(&(Kind::Vxlan, 4789, Reject::Flags, 1))
    });
    for (_, reason) in &cases {
        let expected = cases.iter().filter(|(_, other)| other == reason).count() as u64;
        assert!(tunnels.rejected().contains(&(Kind::Geneve, 6081, *reason, expected)), "{reason:?}");
    }
    assert_eq!(geneve.status().counters.rx_packets, 1);
    // A mapping that comes later counts from then on.
    geneve.options().set(mapped());
    socket
        .send_to(&datagram(&[2, 0x40, 0x65, 0x58, 0, 0, 7, 0, 1, 2, 0x80, 1, 0, 0, 0, 5]), "192.168.7.1:6081")
        .unwrap();
    assert_eq!(receive::next(&mut geneve, |_| true).1.get(Field::TunMetadata(0)), 5);
}

#[test]
fn a_flood_for_nobody_has_no_more_than_its_turn() {
    let [left, right] = nodes();
    let tunnels = Tunnels::default();
    let in_left = tunnels.clone();
    let mut port = left.enter(move || in_left.add(config(Kind::Geneve, "192.168.7.2", 7)).unwrap());
    let socket = right.enter(|| UdpSocket::bind("192.168.7.2:0").unwrap());
    let nobodys = [&[0, 0, 0x65, 0x58, 0, 0, 8, 0][..], &frame(0, b"")].concat();
    let rejected = || tunnels.rejected().iter().map(|(.., count)| count).sum::<u64>();
    const FLOOD: u64 = 200;
    for _ in 0..FLOOD {
        socket.send_to(&nobodys, "192.168.7.1:6081").unwrap();
    }
    // Said to be as many as were asked for: so the port is asked again without being woken.
    assert_eq!(port.receive(32, &mut |_| panic!("nobody's")).unwrap(), 32);
    assert!((32..FLOOD).contains(&rejected()), "{}", rejected());
    wait("all of them are counted", || {
        port.receive(32, &mut |_| panic!("nobody's")).unwrap();
        rejected() == FLOOD
    });
}
