//! Restarts, hostile rings, hostile clients.

use crate::daemon::{Netd, eventually, port, segment};
use crate::guest::{Guest, Options, RING_SIZE, descriptor};
use hive_netd_api::{ErrorKind, MAX_LINE_BYTES, Reply, Request};
use hive_packet::{MacAddr, build};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;

fn two(netd: &Netd) -> (Guest, Guest) {
    let connect = |number| {
        let port = port("s", number);
        let socket = netd.put_port(port.clone());
        Guest::connect(&socket, &port, Options::default())
    };
    (connect(5), connect(6))
}

fn exchange(a: &mut Guest, b: &mut Guest) {
    let frame = a.udp_to(b, b"there");
    a.send(&frame);
    eventually("frame", || b.try_receive(0).filter(|received| received.frame == frame));
    let frame = b.udp_to(a, b"back");
    b.send(&frame);
    eventually("frame", || a.try_receive(0).filter(|received| received.frame == frame));
}

#[test]
fn after_sigkill_ports_are_served_again_without_a_control_plane() {
    let mut netd = Netd::start("");
    netd.put_segment(segment("s"));
    let (mut a, mut b) = two(&netd);
    exchange(&mut a, &mut b);
    let before: Vec<_> = netd.ports().into_iter().map(|status| status.port).collect();
    netd.kill_and_restart();
    let after = netd.ports();
    assert_eq!(after.iter().map(|status| status.port.clone()).collect::<Vec<_>>(), before);
    let mut guests = after.iter().map(|status| Guest::connect(&status.socket, &status.port, Options::default()));
    let (mut a, mut b) = (guests.next().unwrap(), guests.next().unwrap());
    exchange(&mut a, &mut b);
}

#[test]
fn requests_are_idempotent_and_refused_with_reasons() {
    let netd = Netd::start("");
    let kind = |request: &Request| match netd.request(request) {
        Reply::Error { kind, .. } => Some(kind),
        _ => None,
    };
    assert_eq!(kind(&Request::PutPort(port("s", 5))), Some(ErrorKind::NotFound));
    netd.put_segment(segment("s"));
    netd.put_segment(segment("s"));
    assert_eq!(netd.put_port(port("s", 5)), netd.put_port(port("s", 5)));
    let mut twin = port("s", 5);
    twin.port_id = "twin".into();
    assert_eq!(kind(&Request::PutPort(twin)), Some(ErrorKind::InUse));
    let mut outside = port("s", 6);
    outside.ipv4 = [192, 168, 0, 1].into();
    assert_eq!(kind(&Request::PutPort(outside)), Some(ErrorKind::Invalid));
    let delete = Request::DeleteSegment { segment_id: "s".into() };
    assert_eq!(kind(&delete), Some(ErrorKind::InUse));
    for _ in 0..2 {
        assert_eq!(netd.request(&Request::DeletePort { port_id: "s-5".into() }), Reply::Done);
    }
    for _ in 0..2 {
        assert_eq!(netd.request(&delete), Reply::Done);
    }
    assert_eq!(netd.request(&Request::ListSegments), Reply::Segments(vec![]));
}

#[test]
fn garbage_on_the_control_socket_is_answered_or_cut() {
    let netd = Netd::start("");
    let socket = netd.directory.path().join("control.sock");
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.write_all(b"nonsense\n").unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert!(line.contains("invalid"), "{line}");
    let mut stream = UnixStream::connect(&socket).unwrap();
    // The daemon may cut the connection before all of it is written.
    let _ = stream.write_all(&vec![b'x'; MAX_LINE_BYTES + 2]);
    let mut line = String::new();
    let _ = BufReader::new(&stream).read_line(&mut line);
    assert!(netd.metrics().drops.is_empty());
}

#[derive(Clone, Debug)]
enum Attack {
    AvailableIndex(u16),
    Head(u16),
    Descriptor([u64; 2]),
    Loop,
    Indirect(u32),
}

fn attack() -> impl Strategy<Value = Attack> {
    prop_oneof![
        (RING_SIZE + 1..u16::MAX).prop_map(Attack::AvailableIndex),
        (RING_SIZE..u16::MAX).prop_map(Attack::Head),
        any::<[u64; 2]>().prop_map(Attack::Descriptor),
        Just(Attack::Loop),
        any::<u32>().prop_map(Attack::Indirect),
    ]
}

fn launch(guest: &mut Guest, ring: usize, attack: &Attack) {
    match attack {
        Attack::AvailableIndex(index) => guest.force_available_index(ring, *index),
        Attack::Head(head) => guest.make_available(ring, *head),
        Attack::Descriptor([low, high]) => {
            guest.write_ring_bytes(ring, 0, &[low.to_le_bytes(), high.to_le_bytes()].concat());
            guest.make_available(ring, 0);
        }
        Attack::Loop => {
            guest.put_descriptor(ring, 0, 0x50_0000, 64, 1, 1);
            guest.put_descriptor(ring, 1, 0x50_0000, 64, 1, 0);
            guest.make_available(ring, 0);
        }
        Attack::Indirect(len) => {
            guest.write_ring_bytes(ring, 0, &descriptor(0x10_8000, *len, 4, 0));
            guest.make_available(ring, 0);
        }
    }
}

#[test]
fn broken_rings_stop_their_port_only() {
    let mut netd = Netd::start("");
    netd.put_segment(segment("s"));
    let (a, b) = two(&netd);
    let (a, b) = (RefCell::new(a), RefCell::new(b));
    let villain = port("s", 66);
    let socket = netd.put_port(villain.clone());
    let mut runner = TestRunner::new(Config { cases: 60, failure_persistence: None, ..Config::default() });
    runner
        .run(&(attack(), 0usize..2), |(attack, ring)| {
            let mut guest = Guest::connect(&socket, &villain, Options { rx_buffers: 0, ..Options::default() });
            launch(&mut guest, ring, &attack);
            // A broken receive ring is met by the first frame for it.
            let mut a = a.borrow_mut();
            let packet = build::udp(a.ip, Ipv4Addr::BROADCAST, 1, 2, b"x");
            let broadcast = build::ethernet(MacAddr::BROADCAST, a.mac, &packet);
            a.send(&broadcast);
            exchange(&mut a, &mut b.borrow_mut());
            Ok(())
        })
        .unwrap();
    let mut guest = Guest::connect(&socket, &villain, Options::default());
    launch(&mut guest, 1, &Attack::Loop);
    let fault = eventually("fault", || netd.ports().into_iter().find(|p| p.port.port_id == "s-66")?.fault);
    assert!(fault.contains("longer than the ring"), "{fault}");
    assert!(netd.ports().iter().filter(|status| status.fault.is_some()).count() == 1);
    // A driver that starts anew is served again.
    drop(guest);
    let mut guest = Guest::connect(&socket, &villain, Options::default());
    exchange(&mut guest, &mut a.borrow_mut());
    assert!(netd.is_running());
}

#[test]
fn an_idle_switch_uses_no_processor_time() {
    let netd = Netd::start("");
    netd.put_segment(segment("s"));
    let (mut a, mut b) = two(&netd);
    exchange(&mut a, &mut b);
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", netd.pid())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    std::thread::sleep(std::time::Duration::from_millis(100));
    let before = ticks();
    std::thread::sleep(std::time::Duration::from_millis(500));
    // A spinning thread would use 50 ticks of 10 ms; the clock of another process's ticks may add one.
    assert!(ticks() - before <= 1);
}
