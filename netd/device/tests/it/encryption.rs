//! Encrypted tunnels: between two of ours, with another implementation, and against whoever has no key.

use crate::namespace::{DEADLINE, Namespace, wait};
use crate::receive;
use crate::tunnels::{config, node, nodes, to};
use crate::wire::send;
use hive_device::tunnel::{
    Endpoint, Kind, PrivateKey, PublicKey, Reject, Security, SecurityHandle, TunnelConfig, TunnelPort, Tunnels,
};
use hive_device::{Device, PacketDevice, Tap};
use hive_flow::Field;
use hive_packet::{MacAddr, be16, build};
use hive_program::Tunnel;
use std::collections::BTreeSet;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

const PORT: u16 = 51820;
const ADDRESSES: [[&str; 2]; 2] = [["192.168.7.1", "192.168.7.2"], ["fd00:7::1", "fd00:7::2"]];

/// The private key of a node, by number.
fn key(number: u8) -> PrivateKey {
    const KEYS: [&str; 3] = [
        "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
        "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
        "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=",
    ];
    KEYS[usize::from(number) - 1].parse().unwrap()
}

fn secured(kind: Kind, own: u8, local: &str, peer: PublicKey, remote: &str) -> TunnelConfig {
    let peers = [(remote.parse().unwrap(), peer)].into();
    let security = Security { private_key: key(own), local: local.parse().unwrap(), udp_port: PORT, peers };
    TunnelConfig { security: Some(security), ..config(kind, remote, 7) }
}

/// Both ends of a tunnel.
fn configs(kind: Kind, [left, right]: [&str; 2]) -> [TunnelConfig; 2] {
    [secured(kind, 1, left, key(2).public(), right), secured(kind, 2, right, key(1).public(), left)]
}

/// What passes a device.
struct Dump {
    frames: Arc<Mutex<Vec<Vec<u8>>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dump {
    fn of(namespace: &Namespace) -> Self {
        let mut device = namespace.enter(|| PacketDevice::attach("eth0").unwrap());
        let (frames, stop) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (seen, stopped) = (Arc::clone(&frames), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let mut take = |got: hive_device::Received<'_>| seen.lock().unwrap().push(got.frame.to_vec());
                if device.receive(32, &mut take).unwrap() == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            }
        });
        Self { frames, stop, thread: Some(thread) }
    }

    fn end(mut self) -> Vec<Vec<u8>> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.frames.lock().unwrap().clone()
    }
}

fn established(handle: &SecurityHandle) -> bool {
    handle.status().iter().all(|peer| peer.established) && !handle.status().is_empty()
}

fn frame(text: &[u8], source_port: u16) -> Vec<u8> {
    let packet = build::udp([1, 1, 1, 1].into(), [2, 2, 2, 2].into(), source_port, 6, text);
    build::ethernet(MacAddr([2, 9, 9, 9, 9, 9]), MacAddr([2, 8, 8, 8, 8, 8]), &packet)
}

/// Two ports that have shaken hands.
pub struct Pair {
    nodes: [Namespace; 2],
    pub ports: [TunnelPort; 2],
    handles: [SecurityHandle; 2],
    tunnels: Tunnels,
}

impl Pair {
    pub fn new() -> Self {
        let nodes = nodes();
        let [left, right] = configs(Kind::Geneve, ADDRESSES[0]);
        let tunnels = Tunnels::default();
        let of_right = tunnels.clone();
        let one = nodes[0].enter(|| Tunnels::default().add(left).unwrap());
        let other = nodes[1].enter(move || of_right.add(right).unwrap());
        let handles = [one.security().unwrap(), other.security().unwrap()];
        let mut pair = Self { nodes, ports: [one, other], handles, tunnels };
        pair.shake();
        pair
    }

    fn idle(&mut self) {
        for port in &mut self.ports {
            port.receive(32, &mut |_| ()).unwrap();
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }

    fn shake(&mut self) {
        let begin = Instant::now();
        while !self.handles.iter().all(established) {
            assert!(begin.elapsed() < DEADLINE, "no handshake");
            self.idle();
        }
    }

    fn pass(&mut self, text: &[u8]) {
        assert!(send(&mut self.ports[0], &frame(text, 5), Some(&to("192.168.7.2", 7))));
        assert_eq!(receive::next(&mut self.ports[1], |_| true).0, frame(text, 5));
    }

    /// Gives the right port datagrams, and waits until they are counted.
    fn give(&mut self, socket: &UdpSocket, datagrams: &[Vec<u8>], port: u16, reason: Reject) {
        let before = self.handles[1].rejected(reason) + self.elsewhere(reason);
        for datagram in datagrams {
            socket.send_to(datagram, ("192.168.7.2", port)).unwrap();
        }
        let begin = Instant::now();
        while self.handles[1].rejected(reason) + self.elsewhere(reason) < before + datagrams.len() as u64 {
            assert!(begin.elapsed() < DEADLINE, "{reason:?}: {:?}", self.tunnels.rejected());
            self.ports[1].receive(32, &mut |got| panic!("{:?}", got.frame)).unwrap();
        }
    }

    /// Of what had no port.
    fn elsewhere(&self, reason: Reject) -> u64 {
        let counted = self.tunnels.rejected().into_iter().filter(|(_, _, known, _)| *known == reason);
        counted.map(|(.., count)| count).sum::<u64>() - self.handles[1].rejected(reason)
    }
}

/// A datagram of a frame that was seen: its source port, and what is in it.
fn datagram(frame: &[u8]) -> Option<(u16, &[u8])> {
    let at = match be16(frame, 12)? {
        0x0800 if *frame.get(23)? == 17 => 34,
        0x86dd if *frame.get(20)? == 17 => 54,
        _ => return None,
    };
    let bytes = usize::from(be16(frame, at + 4)?);
    Some((be16(frame, at)?, frame.get(at + 8..at + bytes).or_else(|| frame.get(at + 8..))?))
}

#[test]
fn nothing_is_clear_on_the_wire_and_flows_have_ports() {
    for addresses in ADDRESSES {
        for kind in [Kind::Geneve, Kind::Vxlan] {
            let [left, right] = nodes();
            let dump = Dump::of(&right);
            let configs = configs(kind, addresses);
            let [one, other] = [0, 1].map(|at: usize| {
                let tunnel = Tunnel { df: true, ..to(addresses[1 - at], 7) };
                let address = format!("10.0.0.{}/24", at + 1);
                node([&left, &right][at], configs[at].clone(), tunnel, &address, 1300)
            });
            left.ping("10.0.0.2");
            for _ in 0..10 {
                left.stream(&right, "10.0.0.2", 200 << 10);
            }
            left.stream(&right, "10.0.0.2", 10 << 20);
            right.stream(&left, "10.0.0.1", 10 << 20);
            assert!(one.large()[0] > 0 && other.large()[0] > 0);
            let key = other.metadata()[1].unwrap();
            assert_eq!(key.get(Field::TunId), 7);
            match addresses[0].parse().unwrap() {
                IpAddr::V4(address) => assert_eq!(key.get(Field::TunSrc), u128::from(address.to_bits())),
                IpAddr::V6(address) => assert_eq!(key.get(Field::TunIpv6Src), address.to_bits()),
            }
            let frames = dump.end();
            let mut ports = BTreeSet::new();
            let mut messages = 0;
            for frame in &frames {
                let Some((port, payload)) = datagram(frame) else { continue };
                let to_us = be16(frame, if addresses[0].contains(':') { 56 } else { 36 }) == Some(PORT);
                if !to_us {
                    continue;
                }
                messages += 1;
                ports.insert(port);
                assert!(matches!(payload, [1..=4, 0, 0, 0, ..]), "{:?}", &payload[..payload.len().min(16)]);
                // 10.0.0.1 and .2 beside each other, as in any packet within.
                assert!(!frame.windows(8).any(|bytes| bytes == [10, 0, 0, 1, 10, 0, 0, 2]));
            }
            assert!(messages > 1000 && ports.len() >= 4, "{messages} messages, ports {ports:?}");
        }
    }
}

#[test]
fn who_has_no_key_is_dropped_and_counted() {
    let mut pair = Pair::new();
    pair.pass(b"first");
    let dump = Dump::of(&pair.nodes[1]);
    pair.pass(b"second");
    pair.idle();
    let is_packet = |bytes: &[u8]| bytes.starts_with(&[4, 0, 0, 0]) && bytes.len() > 100;
    let seen = |frames: &[Vec<u8>]| -> Vec<Vec<u8>> {
        let datagrams = frames.iter().filter_map(|frame| datagram(frame)).filter(|(_, bytes)| is_packet(bytes));
        datagrams.map(|(_, bytes)| bytes.to_vec()).collect()
    };
    wait("the message is seen", || !seen(&dump.frames.lock().unwrap()).is_empty());
    let messages = seen(&dump.end());
    assert_eq!(messages.len(), 1);
    let socket = pair.nodes[0].enter(|| UdpSocket::bind("192.168.7.1:0").unwrap());
    pair.give(&socket, &messages, PORT, Reject::Replayed);
    let mut forged = messages.clone();
    forged[0][8] = forged[0][8].wrapping_add(100);
    pair.give(&socket, &forged, PORT, Reject::Forged);
    pair.give(&socket, &[vec![1; 148], vec![4, 0, 0, 0]], PORT, Reject::NotWireguard);
    // A peer's address alone is not enough, nor is another's.
    let mut unknown = messages[0].clone();
    unknown[4] ^= 0xff;
    pair.give(&socket, &[unknown], PORT, Reject::NoSession);
    pair.nodes[0].address("eth0", "192.168.7.9/24");
    let stranger = pair.nodes[0].enter(|| UdpSocket::bind("192.168.7.9:0").unwrap());
    pair.give(&stranger, &messages, PORT, Reject::NoPort);
    pair.pass(b"third");
}

/// A flow port would take what anybody sends without encryption, but not from a peer with which it was agreed on; nor sends it there.
#[test]
fn a_peer_that_encrypts_is_not_heard_in_the_clear() {
    let mut pair = Pair::new();
    let tunnels = pair.tunnels.clone();
    let mut clear = pair.nodes[1].enter(move || tunnels.add(config(Kind::Geneve, "flow", 7)).unwrap());
    let socket = pair.nodes[0].enter(|| UdpSocket::bind("192.168.7.1:0").unwrap());
    pair.nodes[0].address("eth0", "192.168.7.9/24");
    let stranger = pair.nodes[0].enter(|| UdpSocket::bind("192.168.7.9:0").unwrap());
    let geneve = [&[0, 0, 0x65, 0x58, 0, 0, 7, 0][..], &frame(b"clear", 5)].concat();
    socket.send_to(&geneve, "192.168.7.2:6081").unwrap();
    wait("it is counted", || {
        clear.receive(32, &mut |_| panic!("not encrypted")).unwrap();
        pair.tunnels.rejected().contains(&(Kind::Geneve, 6081, Reject::Clear, 1))
    });
    stranger.send_to(&geneve, "192.168.7.2:6081").unwrap();
    receive::next(&mut clear, |got| got.ends_with(b"clear"));
    assert!(!send(&mut clear, &frame(b"x", 5), Some(&to("192.168.7.1", 7))));
    assert_eq!(clear.status().counters.tx_dropped, 1);
    assert!(send(&mut clear, &frame(b"x", 5), Some(&to("192.168.7.9", 7))));
    // Once there is no such peer it is one as any other.
    let [_, right] = &mut pair.handles;
    right.set_peers([].into());
    socket.send_to(&geneve, "192.168.7.2:6081").unwrap();
    receive::next(&mut clear, |got| got.ends_with(b"clear"));
}

#[test]
fn another_key_is_no_peer() {
    let nodes = nodes();
    let [left, right] = ADDRESSES[0];
    let mut one =
        nodes[0].enter(move || Tunnels::default().add(secured(Kind::Geneve, 3, left, key(2).public(), right)).unwrap());
    let mut other =
        nodes[1].enter(move || Tunnels::default().add(secured(Kind::Geneve, 2, right, key(1).public(), left)).unwrap());
    let handles = [one.security().unwrap(), other.security().unwrap()];
    let dump = Dump::of(&nodes[1]);
    // It waits, and is given up when there is no more room.
    while one.status().counters.tx_dropped == 0 {
        send(&mut one, &frame(b"secret", 5), Some(&to(right, 7)));
    }
    wait("the handshakes are refused", || {
        one.receive(32, &mut |_| panic!("nothing")).unwrap();
        other.receive(32, &mut |_| panic!("nothing")).unwrap();
        handles.iter().all(|handle| handle.rejected(Reject::WrongKey) > 0)
    });
    assert!(!handles.iter().any(established));
    // Nobody configured: as good as down.
    assert!(!send(&mut one, &frame(b"secret", 5), Some(&to("192.168.7.77", 7))));
    for frame in dump.end() {
        assert!(!frame.windows(6).any(|bytes| bytes == b"secret"));
    }
}

#[test]
fn new_keys_under_traffic_lose_nothing() {
    let mut pair = Pair::new();
    let mut sent = 0u32;
    for round in 0..6 {
        // Each of the two begins, and both.
        for (at, handle) in pair.handles.iter().enumerate() {
            if round % 3 == at || round % 3 == 2 {
                handle.rekey();
            }
        }
        let begin = Instant::now();
        let mut expected = sent;
        // Longer than a tick of either.
        while begin.elapsed().as_millis() < 600 || expected < sent {
            if begin.elapsed().as_millis() < 600 {
                assert!(send(&mut pair.ports[0], &frame(&sent.to_be_bytes(), 5), Some(&to("192.168.7.2", 7))));
                sent += 1;
            }
            let mut take = |got: hive_device::Received<'_>| {
                assert!(got.frame.ends_with(&expected.to_be_bytes()), "number {expected} is missing");
                expected += 1;
            };
            pair.ports[1].receive(32, &mut take).unwrap();
            pair.ports[0].receive(32, &mut |_| ()).unwrap();
            assert!(begin.elapsed() < DEADLINE, "{expected} of {sent} came");
        }
    }
    let refused: u64 = Reject::ALL.iter().map(|reason| pair.handles[1].rejected(*reason)).sum();
    assert_eq!(refused, 0);
}

#[test]
fn a_peer_that_starts_anew_is_heard_again() {
    let mut pair = Pair::new();
    pair.pass(b"before");
    for at in [0, 1] {
        let [left, right] = configs(Kind::Geneve, ADDRESSES[0]);
        let config = [left, right][at].clone();
        // The socket has to be free first.
        let placeholder = pair.nodes[at]
            .enter(|| Tunnels::default().add(TunnelConfig { udp_port: 7000, ..config_of_nobody() }).unwrap());
        drop(std::mem::replace(&mut pair.ports[at], placeholder));
        pair.ports[at] = pair.nodes[at].enter(move || Tunnels::default().add(config).unwrap());
        pair.handles[at] = pair.ports[at].security().unwrap();
        pair.shake();
        pair.pass(b"after");
    }
}

fn config_of_nobody() -> TunnelConfig {
    config(Kind::Geneve, "192.168.7.99", 1)
}

/// Ports of one endpoint, each with its peers; one of them reads for all.
#[test]
fn ports_share_a_socket_and_peers_come_and_go() {
    let nodes = nodes();
    nodes[0].address("eth0", "192.168.7.11/24");
    let address = |host: u8| format!("192.168.7.{host}");
    // Two ends at the left node: hosts 1 and 11, with keys 1 and 3.
    let mut lefts = [(1, 1), (11, 3)].map(|(host, own)| {
        let config = secured(Kind::Geneve, own, &address(host), key(2).public(), "192.168.7.2");
        let config = TunnelConfig { local: Some(Endpoint::Address(address(host).parse().unwrap())), ..config };
        nodes[0].enter(move || {
            let mut config = config;
            if let Some(security) = &mut config.security {
                // One UDP port can be bound once.
                security.udp_port = if own == 1 { PORT } else { PORT + 1 };
            }
            Tunnels::default().add(config).unwrap()
        })
    });
    // One flow port at the right one, whose peers change.
    let tunnels = Tunnels::default();
    let mut config = secured(Kind::Geneve, 2, "192.168.7.2", key(1).public(), "192.168.7.1");
    config.remote = Endpoint::Flow;
    config.key = hive_device::tunnel::Key::Flow;
    let again = config.clone();
    let mut right = nodes[1].enter(move || tunnels.add(config).unwrap());
    let handle = right.security().unwrap();
    let idle = |lefts: &mut [TunnelPort; 2]| {
        for port in lefts {
            port.receive(32, &mut |_| ()).unwrap();
        }
    };
    wait("the first peer", || {
        idle(&mut lefts);
        right.receive(32, &mut |_| ()).unwrap();
        established(&handle)
    });
    let since = handle.status()[0].last_handshake;
    send(&mut lefts[0], &frame(b"one", 5), Some(&to("192.168.7.2", 9)));
    let (_, key_of) = receive::next(&mut right, |got| got.ends_with(b"one"));
    assert_eq!(key_of.get(Field::TunId), 9);
    // The other one is not known yet, and the first stays when it is.
    assert!(!send(&mut right, &frame(b"x", 5), Some(&to("192.168.7.11", 7))));
    let mut peers = again.security.unwrap().peers;
    peers.insert("192.168.7.11".parse().unwrap(), key(3).public());
    handle.set_peers(peers.clone());
    wait("the second peer is known", || {
        idle(&mut lefts);
        right.receive(32, &mut |_| ()).unwrap();
        handle.status().len() == 2
    });
    let status = handle.status();
    assert!(status[0].established && status[0].last_handshake == since, "{status:?}");
    assert!(send(&mut right, &frame(b"back", 5), Some(&to("192.168.7.1", 7))));
    receive::next(&mut lefts[0], |got| got.ends_with(b"back"));
    // A packet for another network than the port's.
    assert!(send(&mut right, &frame(b"other", 5), Some(&to("192.168.7.1", 8))));
    let left = lefts[0].security().unwrap();
    wait("its number is not the port's", || {
        lefts[0].receive(32, &mut |_| panic!("not its")).unwrap();
        left.rejected(Reject::NoPort) == 1
    });
    peers.remove(&"192.168.7.1".parse().unwrap());
    handle.set_peers(peers);
    wait("the first peer is gone", || {
        right.receive(32, &mut |_| ()).unwrap();
        handle.status().len() == 1
    });
    send(&mut lefts[0], &frame(b"late", 5), Some(&to("192.168.7.2", 9)));
    wait("it is nobody's", || {
        right.receive(32, &mut |_| panic!("not a peer's")).unwrap();
        handle.rejected(Reject::NoPeer) > 0
    });
}

/// wireguard-go with the kernel's VXLAN behind it: what comes out of its tunnel device is a packet as any other.
#[test]
fn another_implementation_is_a_peer_as_well() {
    let [left, right] = nodes();
    right.exec("ethtool -K eth0 tx off");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    std::fs::write(&file, "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n").unwrap();
    let name = format!("wg{}", std::process::id());
    struct Ended(std::process::Child);
    impl Drop for Ended {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let mut command = std::process::Command::new("ip");
    command.args(["netns", "exec", &right.name, "wireguard-go", "-f", &name]);
    command.env("LOG_LEVEL", "error").stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let _ended = Ended(command.spawn().unwrap());
    let socket = format!("/var/run/wireguard/{name}.sock");
    wait("wireguard-go is there", || std::path::Path::new(&socket).exists());
    let public = key(1).public();
    right.exec(&format!(
        "wg set {name} private-key {} listen-port {PORT} fwmark 7 peer {public} allowed-ips 192.168.7.1/32 endpoint 192.168.7.1:{PORT}",
        file.display()
    ));
    // As wg-quick does it: what is for the peer goes into the tunnel, but for the tunnel's own datagrams.
    right.ip(&format!("link set {name} up mtu 1420"));
    right.ip(&format!("route add 192.168.7.1/32 dev {name} src 192.168.7.2 table 77"));
    right.ip("rule add not fwmark 7 table 77");
    for device in ["all", "default", &name, "eth0"] {
        right.exec(&format!("sysctl -q -w net.ipv4.conf.{device}.rp_filter=0"));
    }
    right.exec("sysctl -q -w net.ipv4.conf.all.src_valid_mark=1");
    right.ip("link add vx0 type vxlan id 7 remote 192.168.7.1 local 192.168.7.2 dstport 4789");
    right.ip("link set vx0 mtu 1300");
    right.address("vx0", "10.0.0.2/24");
    let [config, _] = configs(Kind::Vxlan, ADDRESSES[0]);
    let (tap, port) = left.enter(move || {
        let tap = Tap::create("tap0").unwrap();
        tap.link().set_mtu(1300).unwrap();
        (tap, Tunnels::default().add(config).unwrap())
    });
    left.address("tap0", "10.0.0.1/24");
    let handle = port.security().unwrap();
    let _wire = crate::wire::Wire::join(Box::new(tap), Box::new(port), Some(to("192.168.7.2", 7)));
    wait("it has shaken hands", || established(&handle));
    left.ping("10.0.0.2");
    left.stream(&right, "10.0.0.2", 2 << 20);
    right.stream(&left, "10.0.0.1", 2 << 20);
    handle.rekey();
    let shown = || right.exec(&format!("wg show {name} latest-handshakes"));
    assert!(shown().contains(&public.to_string()));
    right.stream(&left, "10.0.0.1", 2 << 20);
    right.ping("10.0.0.1");
    let refused: u64 = Reject::ALL.iter().map(|reason| handle.rejected(*reason)).sum();
    assert_eq!(refused, 0);
}
