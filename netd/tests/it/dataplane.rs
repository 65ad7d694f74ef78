//! The data path with real rings: guests are virtio-net drivers in this process, the pipeline a table of addresses.

use crate::guest::{self, Guest, Options, PATIENCE, eventually, feature};
use hive_datapath::Counter;
use hive_device::{Counters, Device, Received, Sent, Status};
use hive_flow::{Field, Key, Mask};
use hive_netd::dataplane::{
    Backend, Dataplane, DataplaneConfig, EXECUTIONS_MAX, EXECUTIONS_RESERVED, Policing, PortSettings, PortSpec, Sender,
};
use hive_packet::ipv4::{Ipv4Header, header_checksum_holds, transport_checksum_holds};
use hive_packet::offload::{GSO_TCPV4, NEEDS_CSUM};
use hive_packet::{VnetHeader, build, checksum};
use hive_program::{Op, Pipeline, PortId, Punt, Traffic, Translation};
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Sends frames to the port of their destination address, others to all.
#[derive(Debug, Default)]
pub struct Addresses {
    epoch: AtomicU64,
    ports: Mutex<HashMap<u128, PortId>>,
    punted: Mutex<Vec<Vec<u8>>>,
}

impl Addresses {
    fn set(&self, mac: [u8; 6], port: Option<PortId>) {
        let mac = mac.iter().fold(0, |value, byte| value << 8 | u128::from(*byte));
        match port {
            Some(port) => drop(self.ports.lock().unwrap().insert(mac, port)),
            None => drop(self.ports.lock().unwrap().remove(&mac)),
        }
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }
}

impl Pipeline for Addresses {
    type Credits = ();

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn translate(&self, key: &Key, _effects: bool, _now_ms: u64) -> Translation<()> {
        let epoch = self.epoch();
        let mut mask = Mask::NONE;
        for field in [Field::InPort, Field::RecircId, Field::EthDst] {
            mask.add_all(field);
        }
        let port = self.ports.lock().unwrap().get(&key.get(Field::EthDst)).copied();
        let ops = port.map(Op::Output).into_iter().collect();
        Translation { mask, ops, credits: Arc::new(()), drop: None, uncached: false, epoch }
    }

    fn credit(&self, _credits: &(), _traffic: Traffic, _now_ms: u64) {}

    fn punt(&self, _punt: &Punt, frame: &[u8], _now_ms: u64) {
        self.punted.lock().unwrap().push(frame.to_vec());
    }
}

pub struct Bench {
    directory: tempfile::TempDir,
    addresses: Arc<Addresses>,
    pub dataplane: Dataplane<Addresses>,
}

impl Bench {
    pub fn new(workers: usize) -> Self {
        let addresses = Arc::new(Addresses::default());
        let config = DataplaneConfig { workers, ..DataplaneConfig::default() };
        let dataplane = Dataplane::start(config, Arc::clone(&addresses)).unwrap();
        Self { directory: tempfile::tempdir().unwrap(), addresses, dataplane }
    }

    pub fn socket(&self, number: u8) -> PathBuf {
        self.directory.path().join(format!("{number}.sock"))
    }

    fn add(&self, number: u8, backend: Backend, queue_pairs: u16) -> PortId {
        let mac = guest::mac(number).0;
        let spec = PortSpec { name: format!("p{number}"), backend, mac, queue_pairs, mtu: 9001 };
        self.dataplane.add_port(spec, |id| self.addresses.set(mac, Some(id))).unwrap()
    }

    pub fn guest(&self, number: u8, options: Options) -> (PortId, Guest) {
        let id = self.add(number, Backend::VhostUserServer { socket: self.socket(number) }, options.pairs as u16);
        (id, Guest::connect(&self.socket(number), number, options))
    }
}

pub fn exchange(a: &mut Guest, b: &mut Guest) {
    let frame = a.udp_to(b, b"there");
    a.send(&frame);
    eventually("a frame", || b.try_receive(0).filter(|received| received.frame == frame));
    let frame = b.udp_to(a, b"back");
    b.send(&frame);
    eventually("a frame", || a.try_receive(0).filter(|received| received.frame == frame));
}

#[test]
fn guests_exchange_frames_of_all_sizes_over_two_workers() {
    let bench = Bench::new(2);
    let ((first, mut a), (second, mut b)) = (bench.guest(5, Options::default()), bench.guest(6, Options::default()));
    exchange(&mut a, &mut b);
    for size in [0usize, 1, 18, 21, 22, 23, 50, 100, 1458, 3000, 8900] {
        let payload: Vec<u8> = (0..size).map(|at| at as u8).collect();
        let frame = a.udp_to(&b, &payload);
        a.send(&frame);
        assert_eq!(b.receive(), frame, "{size} bytes");
    }
    let status = bench.dataplane.port_status(first).unwrap();
    assert!(status.link && status.connected && status.fault.is_none());
    assert_eq!((status.counters.rx_packets, status.counters.tx_packets), (12, 1));
    assert_eq!(bench.dataplane.port_status(second).unwrap().counters.tx_packets, 12);
    assert_eq!(bench.dataplane.dump_flows().concat().len(), 2);
    bench.dataplane.flush_flows();
    assert_eq!(bench.dataplane.stats().flows, 0);
    exchange(&mut a, &mut b);
    // Longer than the port's MTU: not delivered, and counted.
    bench.dataplane.set_port(second, PortSettings { up: true, mtu: 1500, policing: None });
    let frame = a.udp_to(&b, &[0; 2000]);
    a.send(&frame);
    exchange(&mut a, &mut b);
    assert_eq!(bench.dataplane.port_status(second).unwrap().counters.tx_dropped, 1);
}

#[test]
fn without_traffic_nobody_polls() {
    let bench = Bench::new(2);
    let ((_, mut a), (_, mut b)) = (bench.guest(5, Options::default()), bench.guest(6, Options::default()));
    let polls = || bench.dataplane.worker_counters().iter().map(|of_one| of_one.get(Counter::EmptyPolls)).sum::<u64>();
    for _ in 0..3 {
        exchange(&mut a, &mut b);
        // Longer than a queue is polled without frames, however busy this machine is: then once more.
        eventually("a rest", || {
            let before = polls();
            std::thread::sleep(Duration::from_millis(100));
            (polls() == before).then_some(())
        });
    }
}

#[test]
fn what_a_receiver_cannot_take_is_done_for_it() {
    let offloads =
        feature::CSUM | feature::HOST_TSO4 | feature::VERSION_1 | feature::PROTOCOL_FEATURES | feature::MRG_RXBUF;
    let takes = Options::default().features | feature::GUEST_CSUM | feature::GUEST_TSO4;
    let bench = Bench::new(1);
    let (_, mut a) = bench.guest(5, Options { features: offloads, ..Options::default() });
    let (_, mut b) = bench.guest(6, Options::default());
    let (_, mut c) = bench.guest(7, Options { features: takes, ..Options::default() });
    let payload: Vec<u8> = (0..5000).map(|at| at as u8).collect();
    let send = |a: &mut Guest, b: &Guest| {
        let packet = build::tcp(a.ip, b.ip, 1000, 80, 0x10, &payload);
        let mut frame = build::ethernet(b.mac, a.mac, &packet);
        let pseudo = checksum::pseudo_header_ipv4(a.ip, b.ip, 6, frame.len() - 34);
        frame[50..52].copy_from_slice(&checksum::fold(pseudo).to_be_bytes());
        let header = VnetHeader {
            flags: NEEDS_CSUM,
            gso_type: GSO_TCPV4,
            header_bytes: 54,
            gso_size: 1460,
            csum_start: 34,
            csum_offset: 16,
        };
        a.send_on(0, header, &frame);
        (header, frame)
    };
    let (header, frame) = send(&mut a, &c);
    let received = c.receive_on(0);
    assert_eq!((received.header, received.frame), (header, frame), "passed on as it is");
    send(&mut a, &b);
    let mut joined = Vec::new();
    while joined.len() < payload.len() {
        let received = b.receive_on(0);
        assert_eq!(received.header, VnetHeader::default());
        let packet = &received.frame[14..];
        let parsed = Ipv4Header::parse(packet, packet.len()).unwrap();
        assert!(header_checksum_holds(packet, &parsed) && transport_checksum_holds(packet, &parsed));
        joined.extend_from_slice(&packet[40..]);
    }
    assert_eq!(joined, payload);
}

#[test]
fn a_broken_ring_hurts_its_guest_only() {
    let bench = Bench::new(1);
    let (broken, mut a) = bench.guest(5, Options::default());
    let (_, mut b) = bench.guest(6, Options::default());
    let (_, mut c) = bench.guest(7, Options::default());
    exchange(&mut a, &mut b);
    a.force_available_index(1, 5000);
    let fault = eventually("a fault", || bench.dataplane.port_status(broken).unwrap().fault);
    assert!(fault.contains("available index"), "{fault}");
    exchange(&mut b, &mut c);
    // A receive ring too: found when something is delivered.
    a.restart_driver();
    eventually("no fault", || bench.dataplane.port_status(broken).unwrap().fault.is_none().then_some(()));
    exchange(&mut a, &mut b);
    a.put_descriptor(0, 2, 1 << 40, 2048, 2, 0);
    for _ in 0..8 {
        let frame = b.udp_to(&a, b"to a ring that is broken");
        b.send(&frame);
    }
    eventually("a fault", || bench.dataplane.port_status(broken).unwrap().fault);
    exchange(&mut b, &mut c);
    a.restart_driver();
    exchange(&mut a, &mut c);
}

#[test]
fn ports_come_and_go_while_others_go_on() {
    let bench = Bench::new(2);
    let (first, mut a) = bench.guest(5, Options::default());
    let (second, mut b) = bench.guest(6, Options::default());
    let (_, mut c) = bench.guest(7, Options::default());
    exchange(&mut a, &mut b);
    assert!(bench.dataplane.remove_port(second) && !bench.dataplane.remove_port(second));
    assert!(bench.dataplane.port_status(second).is_none());
    assert!(!bench.socket(6).exists());
    let frame = a.udp_to(&b, b"nobody");
    a.send(&frame);
    exchange(&mut a, &mut c);
    bench.dataplane.set_port(first, PortSettings { up: false, mtu: 9001, policing: None });
    let frame = c.udp_to(&a, b"to a port that is down");
    c.send(&frame);
    let (third, mut b) = bench.guest(6, Options::default());
    assert!(third > second, "a number is not used again");
    exchange(&mut b, &mut c);
    assert!(a.try_receive(0).is_none());
    bench.dataplane.set_port(first, PortSettings { up: true, mtu: 9001, policing: None });
    exchange(&mut a, &mut b);
    // What comes in is policed: 1 kilobit a second, in one go 8 kilobits.
    let policing = Some(Policing { rate_kbps: 1, burst_kb: 8 });
    bench.dataplane.set_port(first, PortSettings { up: true, mtu: 9001, policing });
    for _ in 0..20 {
        let frame = a.udp_to(&b, &[0; 200]);
        a.send(&frame);
    }
    eventually("drops", || (bench.dataplane.port_status(first).unwrap().counters.rx_dropped >= 15).then_some(()));
}

#[test]
fn we_connect_to_a_frontend_that_listens_and_connect_again() {
    let bench = Bench::new(1);
    let (_, mut a) = bench.guest(5, Options::default());
    let socket = bench.socket(6);
    bench.add(6, Backend::VhostUserClient { socket: socket.clone() }, 1);
    for _ in 0..2 {
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (stream, _) = eventually("a connection", || listener.accept().ok());
        stream.set_nonblocking(false).unwrap();
        let mut b = Guest::accepted(stream, 6, Options::default());
        exchange(&mut a, &mut b);
    }
}

#[test]
fn both_directions_of_a_connection_keep_to_one_queue() {
    let options = Options { pairs: 4, ..Options::default() };
    let bench = Bench::new(2);
    let (_, mut a) = bench.guest(5, options.clone());
    let (_, mut b) = bench.guest(6, options);
    let queue_of = |guest: &mut Guest| eventually("a frame", || (0..4).find(|pair| guest.try_receive(*pair).is_some()));
    let mut seen = std::collections::BTreeSet::new();
    for number in 0..32u16 {
        let there = build::udp(a.ip, b.ip, 1000 + number, 80, b"there");
        a.send_on(usize::from(number) % 4, VnetHeader::default(), &build::ethernet(b.mac, a.mac, &there));
        let queue = queue_of(&mut b);
        let back = build::udp(b.ip, a.ip, 80, 1000 + number, b"back");
        b.send_on(queue, VnetHeader::default(), &build::ethernet(a.mac, b.mac, &back));
        assert_eq!(queue_of(&mut a), queue);
        seen.insert(queue);
    }
    assert_eq!(seen.len(), 4, "all queues are used");
}

/// A device whose wire is a socket.
struct Wire(UnixDatagram);

impl Device for Wire {
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.0.as_fd())
    }

    fn receive(&mut self, frames_max: usize, take: &mut dyn FnMut(Received<'_>)) -> io::Result<usize> {
        let mut frame = [0; 9100];
        for count in 0..frames_max {
            match self.0.recv(&mut frame) {
                Ok(bytes) => {
                    take(Received { header: VnetHeader::default(), frame: &mut frame[..bytes], metadata: &Key::ZERO });
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(count),
                Err(error) => return Err(error),
            }
        }
        Ok(frames_max)
    }

    fn send(&mut self, frame: Sent<'_>) -> bool {
        self.0.send(&frame.pieces.concat()).is_ok()
    }

    fn flush(&mut self) {}

    fn status(&self) -> Status {
        Status { up: true, link: true, counters: Counters::default(), ..Status::default() }
    }
}

#[test]
fn devices_are_ports_like_others_and_controllers_send_out() {
    let bench = Bench::new(2);
    let (_, mut a) = bench.guest(5, Options::default());
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_read_timeout(Some(PATIENCE)).unwrap();
    let device = bench.add(9, Backend::Device(Box::new(Wire(ours))), 1);
    let mac = guest::mac(9);
    let address = guest::ip(9);
    let mut buffer = [0; 9100];
    for size in [0usize, 30, 300, 3000] {
        let frame = build::ethernet(mac, a.mac, &build::udp(a.ip, address, 1, 2, &vec![7; size]));
        a.send(&frame);
        let bytes = theirs.recv(&mut buffer).unwrap();
        assert_eq!(buffer[..bytes], frame);
        let back = build::ethernet(a.mac, mac, &build::udp(address, a.ip, 2, 1, &vec![8; size]));
        theirs.send(&back).unwrap();
        assert_eq!(a.receive(), back);
    }
    let frame = build::ethernet(mac, a.mac, &build::udp(a.ip, address, 5, 6, b"of a controller"));
    let ops = [Op::PushVlan { tpid: 0x8100, tci: 0x1005 }, Op::Output(device)];
    assert!(bench.dataplane.execute(Sender::Controller, frame.clone(), Key::ZERO, Arc::from(ops)));
    let bytes = theirs.recv(&mut buffer).unwrap();
    assert_eq!(buffer[..bytes], [&frame[..12], &[0x81, 0, 0, 5], &frame[12..]].concat());
    let status = bench.dataplane.port_status(device).unwrap();
    assert_eq!((status.link, status.counters.rx_packets, status.counters.tx_packets), (true, 4, 5));
    drop(theirs);
}

/// A device whose wire takes nothing until its other end is dropped.
struct Stuck(std::sync::mpsc::Receiver<()>);

impl Device for Stuck {
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn receive(&mut self, _frames_max: usize, _take: &mut dyn FnMut(Received<'_>)) -> io::Result<usize> {
        Ok(0)
    }

    fn send(&mut self, _frame: Sent<'_>) -> bool {
        self.0.recv_timeout(PATIENCE).is_ok()
    }

    fn flush(&mut self) {}

    fn status(&self) -> Status {
        Status::default()
    }
}

/// A device whose end takes time, as a TAP's does: it tells by which thread it came.
struct Slow(std::sync::mpsc::Sender<String>);

impl Drop for Slow {
    fn drop(&mut self) {
        let _ = self.0.send(std::thread::current().name().unwrap_or_default().to_owned());
    }
}

impl Device for Slow {
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    fn receive(&mut self, _frames_max: usize, _take: &mut dyn FnMut(Received<'_>)) -> io::Result<usize> {
        Ok(0)
    }

    fn send(&mut self, _frame: Sent<'_>) -> bool {
        true
    }

    fn flush(&mut self) {}

    fn status(&self) -> Status {
        Status::default()
    }
}

#[test]
fn the_end_of_devices_holds_up_no_worker() {
    let bench = Bench::new(2);
    let (tell, ended) = std::sync::mpsc::channel();
    let ids: Vec<_> =
        (10..20).map(|number| bench.add(number, Backend::Device(Box::new(Slow(tell.clone()))), 1)).collect();
    assert_eq!(bench.dataplane.remove_ports(&ids[1..]), 9);
    assert!(bench.dataplane.remove_port(ids[0]) && bench.dataplane.remove_ports(&ids) == 0);
    // All of them are gone by now.
    let threads: Vec<String> = ended.try_iter().collect();
    assert_eq!(threads.len(), 10);
    assert!(threads.iter().all(|name| !name.starts_with("worker")), "{threads:?}");
}

/// A controller that sends more than can go out fills no memory.
#[test]
fn frames_of_controllers_that_wait_are_bounded() {
    let bench = Bench::new(1);
    let (release, stuck) = std::sync::mpsc::channel();
    let device = bench.add(9, Backend::Device(Box::new(Stuck(stuck))), 1);
    let execute = |sender| bench.dataplane.execute(sender, vec![0; 64], Key::ZERO, Arc::from([Op::Output(device)]));
    let taken = |sender| (0..2 * EXECUTIONS_MAX).filter(|_| execute(sender)).count();
    assert_eq!(taken(Sender::Controller), EXECUTIONS_MAX - EXECUTIONS_RESERVED);
    assert_eq!(taken(Sender::Switch), EXECUTIONS_RESERVED);
    drop(release);
    eventually("room", || execute(Sender::Controller).then_some(()));
}

/// A device that may fail, and go on.
struct Flaky(Wire);

impl Device for Flaky {
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.wake_fd()
    }

    fn receive(&mut self, frames_max: usize, take: &mut dyn FnMut(Received<'_>)) -> io::Result<usize> {
        let mut failed = false;
        let count = self.0.receive(frames_max, &mut |received| {
            failed |= received.frame == b"fail";
            take(received);
        })?;
        if failed { Err(io::Error::other("it failed")) } else { Ok(count) }
    }

    fn send(&mut self, frame: Sent<'_>) -> bool {
        self.0.send(frame)
    }

    fn flush(&mut self) {}

    fn status(&self) -> Status {
        self.0.status()
    }
}

#[test]
fn a_device_that_goes_on_has_no_fault() {
    let bench = Bench::new(1);
    let (_, mut a) = bench.guest(5, Options::default());
    let (ours, theirs) = UnixDatagram::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let device = bench.add(9, Backend::Device(Box::new(Flaky(Wire(ours)))), 1);
    let fault = || bench.dataplane.port_status(device).unwrap().fault;
    let mac = guest::mac(9);
    for _ in 0..2 {
        theirs.send(b"fail").unwrap();
        assert_eq!(eventually("a fault", fault), "it failed");
        let frame = build::ethernet(a.mac, mac, &build::udp(guest::ip(9), a.ip, 2, 1, b"again"));
        theirs.send(&frame).unwrap();
        assert_eq!(a.receive(), frame);
        eventually("no fault", || fault().is_none().then_some(()));
    }
}
