//! TAP devices and packet sockets.

use crate::namespace::{DEADLINE, Namespace, run, wait};
use crate::receive;
use crate::wire::{Wire, send};
use hive_device::{Device, PacketDevice, Sent, Tap};
use hive_packet::offload::{GSO_TCPV4, NEEDS_CSUM};
use hive_packet::{MacAddr, VnetHeader, build};
use std::net::UdpSocket;

/// `left` has the TAP `tap0`, `right` the end of a pair of veths whose other end the switch has.
struct Lab {
    left: Namespace,
    right: Namespace,
    wire: Wire,
}

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x77];

fn lab() -> Lab {
    let (left, right) = (Namespace::new(), Namespace::new());
    left.veth("sw0", &right, "eth0");
    let (tap, packet) = left.enter(|| {
        let tap = Tap::create("tap0").unwrap();
        tap.link().set_mac(MAC).unwrap();
        tap.link().set_mtu(1450).unwrap();
        assert!(!tap.status().up);
        tap.link().set_up(true).unwrap();
        (tap, PacketDevice::attach("sw0").unwrap())
    });
    left.address("tap0", "10.0.0.1/24");
    right.address("eth0", "10.0.0.2/24");
    Lab { left, right, wire: Wire::join(Box::new(tap), Box::new(packet), None) }
}

#[test]
fn frames_large_and_small_go_both_ways() {
    let lab = lab();
    lab.left.ping("10.0.0.2");
    lab.right.ping("10.0.0.1");
    lab.left.stream(&lab.right, "10.0.0.2", 20 << 20);
    lab.right.stream(&lab.left, "10.0.0.1", 20 << 20);
    let [from_tap, from_veth] = lab.wire.large();
    assert!(from_tap > 0 && from_veth > 0, "{from_tap} and {from_veth} frames whose segmentation was left to us");
    let [tap, packet] = lab.wire.status();
    assert_eq!((tap.mac, tap.mtu, tap.up, tap.link), (Some(MAC), Some(1450), true, true));
    assert!(packet.ifindex.is_some() && packet.speed_mbps > 0 && packet.link);
    assert!(tap.counters.rx_packets > 0 && tap.counters.rx_errors == 0 && packet.counters.tx_dropped == 0);
    wait("what comes in by one leaves by the other", || {
        let [tap, packet] = lab.wire.status();
        (tap.counters.rx_packets, tap.counters.rx_bytes) == (packet.counters.tx_packets, packet.counters.tx_bytes)
    });
}

/// A large frame with a tag stays one, with its headers where its header says.
#[test]
fn a_large_frame_keeps_its_tag() {
    let (left, right) = (Namespace::new(), Namespace::new());
    left.veth("a0", &right, "b0");
    let (mut one, mut other) =
        (left.enter(|| PacketDevice::attach("a0").unwrap()), right.enter(|| PacketDevice::attach("b0").unwrap()));
    let packet = build::tcp([1, 1, 1, 1].into(), [2, 2, 2, 2].into(), 5, 6, 0x18, &[0x5a; 20_000]);
    let mut frame = build::ethernet(MacAddr([2, 9, 9, 9, 9, 9]), MacAddr([2, 8, 8, 8, 8, 8]), &packet);
    frame.splice(12..12, [0x81, 0, 0x60, 7]);
    let header = VnetHeader {
        flags: NEEDS_CSUM,
        gso_type: GSO_TCPV4,
        header_bytes: 58,
        gso_size: 1000,
        csum_start: 38,
        csum_offset: 16,
    };
    assert!(one.send(Sent { header, pieces: &[&frame], tunnel: None }));
    one.flush();
    let mut seen = None;
    wait("the frame is there", || {
        let count = other.receive(32, &mut |got| {
            if got.frame.len() > 1000 {
                seen = Some((got.header, got.frame.to_vec()));
            }
        });
        count.unwrap();
        seen.is_some()
    });
    let (received, bytes) = seen.unwrap();
    assert!(bytes == frame);
    assert_eq!(VnetHeader { header_bytes: 58, ..received }, header);
}

/// Datagrams that the sender's kernel has not cut (UDP_SEGMENT).
const SEGMENTS: &str = "import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_UDP if hasattr(socket, 'SOL_UDP') else 17, 103, 1000)
s.sendto(b''.join(bytes([i]) * 1000 for i in range(20)) + b'end', ('10.0.0.1', 7000))";

#[test]
fn large_datagrams_are_cut() {
    let lab = lab();
    lab.right.ping("10.0.0.1");
    let socket = lab.left.enter(|| UdpSocket::bind("10.0.0.1:7000").unwrap());
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    run("ip", &["netns", "exec", &lab.right.name, "python3", "-c", SEGMENTS]);
    let mut buffer = [0; 2000];
    for expected in 0..20 {
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..length], [expected; 1000]);
    }
    let length = socket.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..length], b"end");
}

#[test]
fn links_go_down_and_up_and_away() {
    let lab = lab();
    lab.left.ping("10.0.0.2");
    lab.right.ip("link set eth0 down");
    wait("the link is down", || !lab.wire.status()[1].link && lab.wire.status()[1].up);
    lab.left.ip("link set sw0 down");
    wait("the device is down", || !lab.wire.status()[1].up);
    lab.left.ip("link set sw0 up mtu 1400");
    lab.right.ip("link set eth0 up");
    lab.left.ip("link set tap0 down");
    lab.left.ip("link set tap0 up");
    wait("all is up", || lab.wire.status().iter().all(|status| status.link && status.up));
    assert_eq!(lab.wire.status()[1].mtu, Some(1400));
    lab.left.ping("10.0.0.2");
    assert_eq!(lab.wire.ended(), None);
    lab.left.ip("link del sw0");
    wait("the packet socket says that its device is gone", || lab.wire.ended() == Some((1, libc_enetdown())));
}

/// The kernel hands such a frame out as an error: it has no name for the kind in the header of a packet socket.
#[test]
fn large_frames_of_an_unknown_kind_are_lost_and_no_others() {
    const UDP_FRAGMENTS: u8 = 3;
    let namespace = Namespace::new();
    let (mut tap, mut packet) = namespace.enter(|| {
        let tap = Tap::create("tap0").unwrap();
        tap.link().set_up(true).unwrap();
        (tap, PacketDevice::attach("tap0").unwrap())
    });
    let frame = |text: &[u8]| {
        let packet = build::udp([1, 1, 1, 1].into(), [2, 2, 2, 2].into(), 5, 6, text);
        build::ethernet(MacAddr([2, 9, 9, 9, 9, 9]), MacAddr([2, 8, 8, 8, 8, 8]), &packet)
    };
    let header = VnetHeader {
        flags: NEEDS_CSUM,
        gso_type: UDP_FRAGMENTS,
        header_bytes: 42,
        gso_size: 1000,
        csum_start: 34,
        csum_offset: 6,
    };
    for _ in 0..2 {
        assert!(tap.send(Sent { header, pieces: &[&frame(&[7; 3000])], tunnel: None }));
    }
    assert!(send(&mut tap, &frame(b"in"), None));
    receive::next(&mut packet, |got| got.ends_with(b"in"));
    assert_eq!(packet.status().counters.rx_errors, 2);
    assert!(packet.status().up);
    send(&mut packet, &frame(b"out"), None);
    receive::next(&mut tap, |got| got.ends_with(b"out"));
}

fn libc_enetdown() -> i32 {
    rustix::io::Errno::NETDOWN.raw_os_error()
}

#[test]
fn a_tap_that_is_taken_away_fails() {
    let lab = lab();
    lab.left.ip("link del tap0");
    wait("the TAP says that it is gone", || matches!(lab.wire.ended(), Some((0, _))));
}

#[test]
fn a_tap_is_followed_into_another_namespace() {
    let (lab, other) = (lab(), Namespace::new());
    lab.left.ip(&format!("link set tap0 netns {} name eth0", other.name));
    let tap = || lab.wire.status()[0].clone();
    // Moved, it is down.
    wait("it is elsewhere", || !tap().up);
    assert_eq!((tap().mac, tap().ifindex, tap().link), (Some(MAC), None, false));
    other.address("eth0", "10.0.0.3/24");
    wait("it is up there", || tap().up && tap().link);
    other.ping("10.0.0.2");
    // Somebody else has its old name.
    lab.left.ip("link add tap0 type veth peer name tap1");
    other.ip("link set eth0 address 02:00:00:00:00:78");
    wait("its address is seen", || tap().mac == Some([2, 0, 0, 0, 0, 0x78]));
    assert_eq!(lab.wire.ended(), None);
    drop(other);
    wait("the TAP says that it is gone", || matches!(lab.wire.ended(), Some((0, _))));
}

#[test]
fn a_packet_socket_takes_what_is_for_others_and_nothing_of_its_own() {
    let (left, right) = (Namespace::new(), Namespace::new());
    left.veth("a0", &right, "b0");
    let (mut one, mut other) =
        (left.enter(|| PacketDevice::attach("a0").unwrap()), right.enter(|| PacketDevice::attach("b0").unwrap()));
    let packet = build::udp([1, 1, 1, 1].into(), [2, 2, 2, 2].into(), 5, 6, b"for another station");
    let frame = build::ethernet(MacAddr([2, 9, 9, 9, 9, 9]), MacAddr([2, 8, 8, 8, 8, 8]), &packet);
    let mut tagged = frame.clone();
    tagged.splice(12..12, [0x88, 0xa8, 0x20, 7, 0x81, 0, 0, 8]);
    for frame in [&frame, &tagged] {
        assert!(send(&mut one, frame, None));
        assert_eq!(receive::next(&mut other, |got| got.ends_with(b"station")).0, *frame);
        let count = one.receive(32, &mut |got| assert!(!got.frame.ends_with(b"station")));
        count.unwrap();
    }
    // More than the device takes is dropped, and counted.
    let long = [&frame[..], &[0; 3000]].concat();
    send(&mut one, &long, None);
    let counters = one.status().counters;
    assert_eq!((counters.tx_packets, counters.tx_dropped), (2, 1));
}

#[test]
fn names_that_are_none_and_devices_that_are_not_there_are_refused() {
    for name in ["", "0123456789abcdef", "a/b", "a b", "nobody"] {
        assert!(PacketDevice::attach(name).is_err(), "{name}");
    }
    assert!(Tap::create("a/b").is_err());
    let namespace = Namespace::new();
    namespace.enter(|| {
        let _first = Tap::create("t").unwrap();
        assert!(Tap::create("t").is_err());
        assert!(Tap::create("lo").is_err());
    });
}
