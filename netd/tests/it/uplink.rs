//! The TAP uplink, in a network namespace of its own.

use crate::daemon::{Netd, PATIENCE, port, segment};
use crate::guest::{Guest, Options};
use hive_packet::arp::Arp;
use hive_packet::ipv4::{Ipv4Header, Tuple, transport_checksum_holds};
use hive_packet::{MacAddr, build, protocol};
use std::io::Write;
use std::net::{Ipv4Addr, UdpSocket};

const HOST: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 1);
const UPLINK: Ipv4Addr = Ipv4Addr::new(100, 64, 0, 2);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const GATEWAY_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

/// Moves the calling thread, and what it starts, into a network namespace of its own; false where that is not allowed.
#[allow(unsafe_code)]
fn enter_namespace() -> bool {
    // SAFETY: changes the calling thread's namespace only; no memory is involved.
    let entered = unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0;
    entered && std::path::Path::new("/dev/net/tun").exists()
}

/// The next IPv4 packet that is not noise of the host's (it has nothing to say to guests by itself).
fn packet(guest: &mut Guest) -> (Ipv4Header, Tuple, Vec<u8>) {
    loop {
        let frame = guest.receive();
        if Arp::parse(&frame[14..]).is_some() {
            continue;
        }
        assert_eq!(frame[6..12], GATEWAY_MAC.0);
        let header = Ipv4Header::parse(&frame[14..], frame.len() - 14).unwrap();
        assert!(transport_checksum_holds(&frame[14..], &header));
        let tuple = Tuple::parse(&frame[14..], &header);
        let none = Tuple { protocol: header.protocol, src: header.src, dst: header.dst, src_port: 0, dst_port: 0 };
        return (header, tuple.unwrap_or(none), frame[14..14 + header.total_bytes].to_vec());
    }
}

#[test]
fn host_and_guests_reach_each_other_with_translated_addresses() {
    // On a thread of its own: the namespace stays behind with it.
    let entered = std::thread::spawn(|| {
        if !enter_namespace() {
            return false;
        }
        exchange();
        true
    });
    if !entered.join().unwrap() {
        // Not by a macro: the test harness swallows those of tests that pass.
        let _ = writeln!(std::io::stderr(), "SKIPPED uplink: needs CAP_SYS_ADMIN, CAP_NET_ADMIN and /dev/net/tun");
    }
}

fn exchange() {
    let netd = Netd::start("[uplink]\nenabled = true\nname = 'hive0'\n");
    let mut spec = segment("s");
    spec.uplink = true;
    netd.put_segment(spec);
    let port = port("s", 5);
    let socket = netd.put_port(port.clone());
    let mut guest = Guest::connect(&socket, &port, Options::default());
    let send = |guest: &mut Guest, packet: &[u8]| {
        let frame = build::ethernet(GATEWAY_MAC, guest.mac, packet);
        guest.send(&frame);
    };

    // Guest to host: the host sees the uplink's address, the answer finds the guest.
    let host = UdpSocket::bind((HOST, 0)).unwrap();
    host.set_read_timeout(Some(PATIENCE)).unwrap();
    let host_port = host.local_addr().unwrap().port();
    let (guest_ip, mut buffer) = (guest.ip, [0; 2000]);
    send(&mut guest, &build::udp(guest_ip, HOST, 5000, host_port, b"out"));
    let (length, from) = host.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from.ip()), (&b"out"[..], UPLINK.into()));
    host.send_to(b"answer", from).unwrap();
    let (_, tuple, bytes) = packet(&mut guest);
    let expected = Tuple { protocol: protocol::UDP, src: HOST, dst: guest.ip, src_port: host_port, dst_port: 5000 };
    assert_eq!(tuple, expected);
    assert_eq!(&bytes[28..], b"answer");

    // Host to guest: the guest sees its gateway, the answer finds the host.
    host.send_to(b"hello", (guest.ip, 7)).unwrap();
    let (_, tuple, bytes) = packet(&mut guest);
    assert_eq!((tuple.src, tuple.dst, tuple.dst_port, &bytes[28..]), (GATEWAY, guest.ip, 7, &b"hello"[..]));
    send(&mut guest, &build::udp(guest_ip, GATEWAY, 7, tuple.src_port, b"echo"));
    let (length, from) = host.recv_from(&mut buffer).unwrap();
    assert_eq!((&buffer[..length], from), (&b"echo"[..], (guest.ip, 7).into()));

    // Nobody listens on the host: its ICMP error comes back about the guest's own packet.
    send(&mut guest, &build::udp(guest_ip, HOST, 5001, 9, b"nobody"));
    let (header, _, bytes) = packet(&mut guest);
    assert_eq!((header.protocol, header.src, bytes[20], bytes[21]), (protocol::ICMP, HOST, 3, 3));
    let quoted = &bytes[28..];
    let quoted_header = Ipv4Header::parse(quoted, 65_535).unwrap();
    let quoted_tuple = Tuple::parse(quoted, &quoted_header).unwrap();
    assert_eq!((quoted_tuple.src, quoted_tuple.src_port, quoted_tuple.dst_port), (guest.ip, 5001, 9));

    // Ping from the guest to the host, and to its own gateway, which is not the host.
    for target in [HOST, GATEWAY] {
        send(&mut guest, &build::icmp(guest_ip, target, 8, 0, [0x12, 0x34, 0, 1], b"ping"));
        let (header, tuple, _) = packet(&mut guest);
        assert_eq!((header.src, tuple.dst_port), (target, 0x1234));
    }

    // Other segments are not reached over the uplink.
    let mut other = segment("other");
    (other.uplink, other.network) = (true, Ipv4Addr::new(10, 0, 1, 0));
    (other.gateway, other.dns) = (Ipv4Addr::new(10, 0, 1, 1), Ipv4Addr::new(10, 0, 1, 2));
    netd.put_segment(other);
    send(&mut guest, &build::udp(guest_ip, Ipv4Addr::new(10, 0, 1, 5), 1, 2, b"sideways"));
    crate::daemon::eventually("drop", || (netd.dropped("no-route") > 0).then_some(()));
}
