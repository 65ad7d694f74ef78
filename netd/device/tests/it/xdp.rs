//! AF_XDP sockets on pairs of veths.

use crate::namespace::{DEADLINE, Namespace, wait};
use crate::receive;
use crate::wire::{Wire, send};
use hive_device::{Device, Tap, XdpDevice, XdpError, XdpMode, XdpOptions};
use hive_packet::{MacAddr, build};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

/// The longest frame that fits.
const FRAME_BYTES_MAX: usize = 4096 - 256;
/// Entries of a ring.
const RING: usize = 2048;

fn in_mode(mode: XdpMode) -> XdpOptions {
    XdpOptions { mode: Some(mode), ..XdpOptions::default() }
}

fn attach(namespace: &Namespace, name: &'static str, options: XdpOptions) -> XdpDevice {
    namespace.enter(move || XdpDevice::attach(name, &options).unwrap())
}

fn refused(namespace: &Namespace, name: &'static str, options: XdpOptions) -> String {
    namespace.enter(move || XdpDevice::attach(name, &options).err().unwrap().to_string())
}

/// A host whose kernel leaves nothing to the receiver, behind the device `port` of `switch`.
fn host(switch: &Namespace, port: &str, address: &str) -> Namespace {
    let host = Namespace::new();
    switch.veth(port, &host, "eth0");
    host.exec("ethtool -K eth0 tx off txvlan off");
    host.address("eth0", address);
    host
}

fn frame(text: &[u8]) -> Vec<u8> {
    let packet = build::udp([10, 9, 0, 1].into(), [10, 9, 0, 2].into(), 5, 6, text);
    build::ethernet(MacAddr([2, 9, 9, 9, 9, 9]), MacAddr([2, 8, 8, 8, 8, 8]), &packet)
}

fn is_attached(namespace: &Namespace, name: &str) -> bool {
    namespace.ip(&format!("link show {name}")).contains("xdp")
}

fn both_ways(mode: XdpMode, need_wakeup: bool) {
    let switch = Namespace::new();
    let (one, two) = (host(&switch, "p1", "10.0.0.1/24"), host(&switch, "p2", "10.0.0.2/24"));
    let options = XdpOptions { need_wakeup, ..in_mode(mode) };
    let devices = [attach(&switch, "p1", options), attach(&switch, "p2", options)];
    assert_eq!(devices.each_ref().map(|device| device.in_use().mode), [mode; 2]);
    assert!(!devices[0].in_use().zero_copy && is_attached(&switch, "p1"));
    let [first, second] = devices.map(|device| Box::new(device) as Box<dyn Device>);
    let wire = Wire::join(first, second, None);
    one.ping("10.0.0.2");
    two.ping("10.0.0.1");
    // Many times what a ring holds.
    one.stream(&two, "10.0.0.2", 20 << 20);
    two.stream(&one, "10.0.0.1", 20 << 20);
    let status = wire.status();
    for status in &status {
        assert!(status.up && status.link && status.mtu == Some(1500) && status.ifindex.is_some(), "{status:?}");
        assert!(status.counters.rx_packets > 10_000 && status.counters.rx_errors == 0, "{status:?}");
    }
    wait("what comes in by one leaves by the other, or is counted", || {
        let [one, two] = wire.status().map(|status| status.counters);
        let way = |from: hive_device::Counters, to: hive_device::Counters| from.rx_packets == to.tx_packets;
        way(one, two) && way(two, one)
    });
    drop(wire);
    assert!(!is_attached(&switch, "p1") && !is_attached(&switch, "p2"));
    // At once another one may have the device.
    for _ in 0..10 {
        attach(&switch, "p1", in_mode(XdpMode::Generic));
    }
}

#[test]
fn frames_go_both_ways_in_native_mode() {
    both_ways(XdpMode::Native, true);
}

#[test]
fn frames_go_both_ways_in_generic_mode() {
    both_ways(XdpMode::Generic, true);
}

#[test]
fn frames_go_both_ways_without_word_of_when_to_call() {
    both_ways(XdpMode::Native, false);
}

/// A TAP's kernel leaves checksums and segmentation to us.
#[test]
fn what_was_left_to_us_is_done_before_it_goes_out() {
    let switch = Namespace::new();
    let far = host(&switch, "p1", "10.0.0.2/24");
    let tap = switch.enter(|| {
        let tap = Tap::create("tap0").unwrap();
        tap.link().set_up(true).unwrap();
        tap
    });
    switch.address("tap0", "10.0.0.1/24");
    switch.address("tap0", "fd00::1/64");
    far.address("eth0", "fd00::2/64");
    let wire = Wire::join(Box::new(tap), Box::new(attach(&switch, "p1", XdpOptions::default())), None);
    switch.ping("10.0.0.2");
    switch.stream(&far, "10.0.0.2", 20 << 20);
    switch.stream(&far, "fd00::2", 5 << 20);
    far.stream(&switch, "10.0.0.1", 5 << 20);
    assert!(wire.large()[0] > 0, "nothing was left to us");
    let socket = far.enter(|| UdpSocket::bind("10.0.0.2:7000").unwrap());
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    switch.enter(|| UdpSocket::bind("10.0.0.1:0").unwrap().send_to(b"datagram", "10.0.0.2:7000").unwrap());
    let mut bytes = [0; 100];
    let length = socket.recv(&mut bytes).unwrap();
    assert_eq!(&bytes[..length], b"datagram");
}

#[test]
fn all_receive_queues_are_served_or_the_first_ones() {
    const FLOWS: usize = 64;
    let switch = Namespace::new();
    let far = host(&switch, "p1", "10.0.0.2/24");
    switch.exec("ethtool -L p1 rx 2 tx 2");
    far.exec("ethtool -L eth0 rx 2 tx 2");
    far.ip("neigh add 10.0.0.9 lladdr 02:00:00:00:00:09 dev eth0");
    let flows = |device: &mut XdpDevice, patience: Duration| {
        far.enter(|| {
            for _ in 0..FLOWS {
                UdpSocket::bind("10.0.0.2:0").unwrap().send_to(b"one of many", "10.0.0.9:7").unwrap();
            }
        });
        let (begin, mut count) = (Instant::now(), 0);
        while count < FLOWS && begin.elapsed() < patience {
            let received = device.receive(32, &mut |got| count += usize::from(got.frame.ends_with(b"one of many")));
            if received.unwrap() == 0 {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        count
    };
    let mut device = attach(&switch, "p1", XdpOptions::default());
    assert_eq!(device.in_use().queues, 2);
    assert_eq!(flows(&mut device, DEADLINE), FLOWS);
    drop(device);
    let mut device = attach(&switch, "p1", XdpOptions { queues: Some(1), ..XdpOptions::default() });
    assert_eq!(device.in_use().queues, 1);
    let count = flows(&mut device, Duration::from_secs(1));
    assert!(0 < count && count < FLOWS, "{count} of {FLOWS} flows came by the first of two queues");
    drop(device);
    for queues in [0, 3, 99] {
        let error = refused(&switch, "p1", XdpOptions { queues: Some(queues), ..XdpOptions::default() });
        assert!(error.contains(&format!("n_rxq is {queues}, and the device has 2 receive queues")), "{error}");
    }
}

#[test]
fn the_best_mode_that_there_is_is_found_and_others_are_refused() {
    let (switch, far) = (Namespace::new(), Namespace::new());
    switch.veth("p1", &far, "eth0");
    let best = attach(&switch, "p1", XdpOptions::default());
    assert_eq!(best.in_use().mode, XdpMode::Native);
    let error = refused(&switch, "p1", in_mode(XdpMode::Native));
    assert!(error.starts_with("native: ") && error.contains("another"), "{error}");
    drop(best);
    let error = refused(&switch, "p1", in_mode(XdpMode::NativeZeroCopy));
    assert!(error.starts_with("native-with-zerocopy: binding to queue 0: ") && error.contains("driver"), "{error}");
    let error = refused(&switch, "lo", in_mode(XdpMode::Native));
    assert!(error.starts_with("native: attaching the XDP program: "), "{error}");
    assert_eq!(attach(&switch, "lo", XdpOptions::default()).in_use().mode, XdpMode::Generic);
    // A veth's driver takes no frame that does not fit into a page.
    far.ip("link set eth0 mtu 9000");
    let error = refused(&switch, "p1", in_mode(XdpMode::Native));
    assert!(error.starts_with("native: attaching the XDP program: ") && error.contains("MTU"), "{error}");
    assert_eq!(attach(&switch, "p1", XdpOptions::default()).in_use().mode, XdpMode::Generic);
    let absent = switch.enter(|| XdpDevice::attach("nobody", &XdpOptions::default()));
    assert!(matches!(absent, Err(XdpError::Device(_))));
    assert!(!is_attached(&switch, "p1") && !is_attached(&switch, "lo"));
}

#[test]
fn frames_that_do_not_fit_are_dropped_and_counted() {
    let (switch, far) = (Namespace::new(), Namespace::new());
    switch.veth("p1", &far, "eth0");
    switch.ip("link set p1 mtu 9000");
    far.ip("link set eth0 mtu 9000");
    let mut device = attach(&switch, "p1", XdpOptions::default());
    let mut peer = far.enter(|| hive_device::PacketDevice::attach("eth0").unwrap());
    let longest = frame(&vec![7; FRAME_BYTES_MAX - 42]);
    assert!(send(&mut device, &longest, None));
    assert_eq!(receive::next(&mut peer, |got| got.len() > 1000).0, longest);
    assert!(!send(&mut device, &frame(&vec![7; FRAME_BYTES_MAX - 41]), None) && !send(&mut device, &[0; 13], None));
    let counters = device.counters();
    assert_eq!((counters.tx_packets, counters.tx_bytes, counters.tx_dropped), (1, FRAME_BYTES_MAX as u64, 2));
    send(&mut peer, &frame(&vec![8; FRAME_BYTES_MAX - 41]), None);
    send(&mut peer, &frame(&vec![9; FRAME_BYTES_MAX - 42]), None);
    let (received, _) = receive::next(&mut device, |got| got.len() > 1000);
    assert!(received.ends_with(&[9; 1000]) && received.len() == FRAME_BYTES_MAX);
    assert_eq!(device.counters().rx_dropped, 1);
}

/// More than the rings hold, in both ways, while nobody looks.
#[test]
fn what_there_is_no_room_for_is_dropped_and_counted_and_the_rest_goes_on() {
    const FRAMES: usize = 3 * RING;
    let (switch, far) = (Namespace::new(), Namespace::new());
    switch.veth("p1", &far, "eth0");
    let mut device = attach(&switch, "p1", in_mode(XdpMode::Native));
    let mut peer = far.enter(|| hive_device::PacketDevice::attach("eth0").unwrap());
    for round in 0..3 {
        for _ in 0..FRAMES {
            send(&mut peer, &frame(b"in a flood"), None);
        }
        let (mut count, begin) = (0, Instant::now());
        let mut came = |device: &mut XdpDevice| {
            let received = device.receive(32, &mut |got| count += usize::from(got.frame.ends_with(b"in a flood")));
            let received = received.unwrap();
            assert!(received <= 32);
            received
        };
        // The pair has a small buffer of its own, and IPv6 says a word or two.
        while came(&mut device) > 0 {
            assert!(begin.elapsed() < DEADLINE);
        }
        assert!((RING - 64..FRAMES).contains(&count), "{count} of {FRAMES}, round {round}");
        send(&mut peer, &frame(b"afterwards"), None);
        receive::next(&mut device, |got| got.ends_with(b"afterwards"));
        for number in 0..FRAMES {
            device.send(hive_device::Sent {
                header: hive_packet::VnetHeader::default(),
                pieces: &[&frame(format!("out {number}").as_bytes())],
                tunnel: None,
            });
        }
        device.flush();
        receive::next(&mut peer, |got| got.ends_with(format!("out {}", FRAMES - 1).as_bytes()));
    }
    let counters = device.counters();
    assert!(counters.rx_dropped > 0 && counters.rx_errors == 0, "{counters:?}");
    assert_eq!((counters.tx_packets, counters.tx_dropped), (3 * FRAMES as u64, 0));
}

#[test]
fn links_go_down_and_up_and_away() {
    for mode in [XdpMode::Native, XdpMode::Generic] {
        let switch = Namespace::new();
        let (one, two) = (host(&switch, "p1", "10.0.0.1/24"), host(&switch, "p2", "10.0.0.2/24"));
        let [first, second] =
            ["p1", "p2"].map(|name| Box::new(attach(&switch, name, in_mode(mode))) as Box<dyn Device>);
        let wire = Wire::join(first, second, None);
        one.ping("10.0.0.2");
        two.ip("link set eth0 down");
        wait("the link is down", || !wire.status()[1].link && wire.status()[1].up);
        switch.ip("link set p2 down");
        wait("the device is down", || !wire.status()[1].up);
        let dropped = || wire.status()[1].counters.tx_dropped;
        let before = dropped();
        one.ip("neigh replace 10.0.0.2 lladdr 02:00:00:00:00:09 dev eth0");
        wait("what is sent meanwhile is dropped", || {
            one.enter(|| UdpSocket::bind("10.0.0.1:0").unwrap().send_to(b"lost", "10.0.0.2:7").unwrap());
            dropped() > before
        });
        one.ip("neigh del 10.0.0.2 dev eth0");
        switch.ip("link set p2 up");
        two.ip("link set eth0 up");
        wait("all is up", || wire.status().iter().all(|status| status.link && status.up));
        one.ping("10.0.0.2");
        one.stream(&two, "10.0.0.2", 1 << 20);
        assert_eq!(wire.ended(), None);
        switch.ip("link del p2");
        let down = rustix::io::Errno::NETDOWN.raw_os_error();
        wait("the sockets say that their device is gone", || wire.ended() == Some((1, down)));
    }
}
