//! The metadata service, asked over TCP by a stack in userspace.

use super::{GATEWAY_MAC, METADATA, one, port};
use crate::guest::{Guest, eventually};
use hive_netd_api::Port;
use hive_packet::build;
use hive_packet::ipv4::Ipv4Header;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as SmolInstant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::time::Instant;

/// A TCP/IP stack over the guest's port, to the gateway's MAC.
struct Link<'a> {
    guest: &'a mut Guest,
    /// TTL of each packet received with payload.
    ttls: Vec<u8>,
}

struct Received(Vec<u8>);
struct Sending<'a>(&'a mut Guest);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, consume: F) -> R {
        consume(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, consume: F) -> R {
        let mut packet = vec![0; len];
        let result = consume(&mut packet);
        let frame = build::ethernet(GATEWAY_MAC, self.0.mac, &packet);
        self.0.send(&frame);
        result
    }
}

impl Device for Link<'_> {
    type RxToken<'a>
        = Received
    where
        Self: 'a;
    type TxToken<'a>
        = Sending<'a>
    where
        Self: 'a;

    fn receive(&mut self, _timestamp: SmolInstant) -> Option<(Received, Sending<'_>)> {
        let frame = self.guest.try_receive(0)?.frame;
        let header = Ipv4Header::parse(&frame[14..], frame.len() - 14)?;
        let tcp_bytes = usize::from(frame[14 + 20 + 12] >> 4) * 4;
        if header.total_bytes > 20 + tcp_bytes {
            self.ttls.push(header.ttl);
        }
        Some((Received(frame[14..].to_vec()), Sending(self.guest)))
    }

    fn transmit(&mut self, _timestamp: SmolInstant) -> Option<Sending<'_>> {
        Some(Sending(self.guest))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = 1500;
        capabilities
    }
}

/// One TCP connection of a guest to the metadata service. Dropped, it is gone without a word, as with a machine that is reset.
struct Connection<'a> {
    link: Link<'a>,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    started: Instant,
}

impl<'a> Connection<'a> {
    /// Starts to connect; `seed` decides the initial sequence number.
    fn start(guest: &'a mut Guest, local_port: u16, seed: u64) -> Self {
        let address = guest.ip;
        let mut link = Link { guest, ttls: Vec::new() };
        let mut config = Config::new(HardwareAddress::Ip);
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut link, SmolInstant::ZERO);
        interface.update_ip_addrs(|addresses| addresses.push(IpCidr::new(IpAddress::Ipv4(address), 0)).unwrap());
        let mut sockets = SocketSet::new(Vec::new());
        let buffer = || tcp::SocketBuffer::new(vec![0; 65536]);
        let handle = sockets.add(tcp::Socket::new(buffer(), buffer()));
        let remote = (IpAddress::Ipv4(METADATA), 80);
        sockets.get_mut::<tcp::Socket<'_>>(handle).connect(interface.context(), remote, local_port).unwrap();
        Self { link, interface, sockets, handle, started: Instant::now() }
    }

    fn poll(&mut self) -> &mut tcp::Socket<'static> {
        let now = SmolInstant::from_millis(self.started.elapsed().as_millis() as i64);
        self.interface.poll(now, &mut self.link, &mut self.sockets);
        self.sockets.get_mut(self.handle)
    }

    fn reach(&mut self, state: tcp::State) {
        eventually("a TCP state", || (self.poll().state() == state).then_some(()));
    }
}

/// Sends requests over one connection; returns all that came back until the daemon closed, and the TTLs of the answers.
fn http(guest: &mut Guest, local_port: u16, requests: &str) -> (String, Vec<u8>) {
    let mut connection = Connection::start(guest, local_port, 0);
    let mut unsent = requests.as_bytes();
    let mut text = Vec::new();
    eventually("an answer", || {
        let socket = connection.poll();
        if socket.can_send() && !unsent.is_empty() {
            let sent = socket.send_slice(unsent).unwrap();
            unsent = &unsent[sent..];
        }
        while socket.can_recv() {
            socket.recv(|bytes| (bytes.len(), text.extend_from_slice(bytes))).unwrap();
        }
        (unsent.is_empty() && !socket.may_recv() && socket.state() != tcp::State::SynSent).then(|| socket.close())
    });
    connection.poll();
    (String::from_utf8(text).unwrap(), connection.link.ttls)
}

fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap().1
}

fn metadata_port() -> Port {
    let mut port = port("s", 5);
    let tree = [
        ("meta-data/instance-id", "i-0123456789abcdef0"),
        ("meta-data/placement/availability-zone", "us-east-1a"),
        ("dynamic/instance-identity/document", "{}"),
    ];
    port.metadata.tree = tree.map(|(path, text)| (path.to_owned(), text.to_owned())).into();
    port.metadata.user_data = Some("IyEvYmluL3NoCg==".into());
    port
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 169.254.169.254\r\n{headers}Connection: close\r\n\r\n")
}

#[test]
fn metadata_version_1_serves_the_tree() {
    let (_node, mut guest) = one(metadata_port());
    for (number, (path, expected)) in [
        ("/latest/meta-data/instance-id", "i-0123456789abcdef0"),
        ("/latest/meta-data/", "instance-id\nplacement/"),
        ("/latest/meta-data/placement", "availability-zone"),
        ("/2021-03-23/dynamic/instance-identity/document", "{}"),
        ("/2021-03-23/dynamic/instance-identity", "document"),
        ("/2021-03-23/dynamic/instance-identity/", "document"),
        ("/2021-03-23/meta-data/", "instance-id\nplacement/"),
        ("/latest/user-data", "#!/bin/sh\n"),
        ("/latest", "dynamic\nmeta-data\nuser-data"),
    ]
    .into_iter()
    .enumerate()
    {
        let (response, _) = http(&mut guest, 40_000 + number as u16, &get(path, ""));
        assert!(response.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {response}");
        assert_eq!(body(&response), expected, "{path}");
    }
    let (response, _) = http(&mut guest, 41_000, &get("/", ""));
    assert!(body(&response).starts_with("1.0\n2007-01-19\n") && body(&response).ends_with("\nlatest"));
    let (response, _) = http(&mut guest, 41_001, &get("/latest/meta-data/none", ""));
    assert!(response.starts_with("HTTP/1.1 404 Not Found") && response.contains("<h1>404 - Not Found</h1>"));
    let (response, _) = http(&mut guest, 41_002, &get("/latest/meta-data/instance-id", "").replace("GET", "HEAD"));
    assert!(response.contains("Content-Length: 19\r\n") && body(&response).is_empty());
}

#[test]
fn metadata_version_2_needs_tokens_of_its_port() {
    let mut port = metadata_port();
    port.metadata.token_required = true;
    let (_node, mut guest) = one(port);
    let put = |headers: &str| {
        format!("PUT /latest/api/token HTTP/1.1\r\nContent-Length: 0\r\n{headers}Connection: close\r\n\r\n")
    };
    let mut next_port = 42_000;
    let mut status = |guest: &mut Guest, request: &str| {
        next_port += 1;
        let (response, ttls) = http(guest, next_port, request);
        (response[9..12].parse::<u16>().unwrap(), response, ttls)
    };
    assert_eq!(status(&mut guest, &get("/latest/meta-data/instance-id", "")).0, 401);
    assert_eq!(status(&mut guest, &put("")).0, 400);
    assert_eq!(status(&mut guest, &put("X-aws-ec2-metadata-token-ttl-seconds: 0\r\n")).0, 400);
    assert_eq!(status(&mut guest, &put("X-aws-ec2-metadata-token-ttl-seconds: 21601\r\n")).0, 400);
    let forwarded = "X-Forwarded-For: 10.0.0.9\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n";
    assert_eq!(status(&mut guest, &put(forwarded)).0, 403);
    let (code, response, ttls) = status(&mut guest, &put("X-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"));
    assert_eq!(code, 200);
    assert!(ttls.iter().all(|ttl| *ttl == 3) && !ttls.is_empty(), "hop limit of token answers: {ttls:?}");
    let token = format!("X-aws-ec2-metadata-token: {}\r\n", body(&response));
    // Two requests on one connection, then a wrong token.
    let both = get("/latest/meta-data/instance-id", &token).replace("Connection: close\r\n", "")
        + &get("/latest/meta-data/placement/availability-zone", &token);
    let (code, response, ttls) = status(&mut guest, &both);
    assert_eq!(code, 200);
    assert!(response.contains("i-0123456789abcdef0") && response.ends_with("us-east-1a"), "{response}");
    assert!(ttls.iter().all(|ttl| *ttl == 64), "{ttls:?}");
    assert_eq!(status(&mut guest, &get("/latest/", "X-aws-ec2-metadata-token: forged\r\n")).0, 401);
}

/// How a guest leaves a connection behind.
#[derive(Clone, Copy)]
enum Left {
    Idle,
    Closed,
    Asked,
}

/// Eight connections from consecutive ports, as many as there may be.
fn leave_connections(guest: &mut Guest, first_port: u16, seed: u64, how: &[Left]) {
    for (local_port, how) in (first_port..first_port + 8).zip(how.iter().cycle()) {
        let mut connection = Connection::start(guest, local_port, seed);
        connection.reach(tcp::State::Established);
        match how {
            Left::Idle => {}
            Left::Closed => connection.poll().close(),
            Left::Asked => {
                let request = get("/latest/meta-data/instance-id", "");
                connection.poll().send_slice(request.as_bytes()).unwrap();
            }
        }
        connection.poll();
    }
}

fn assert_served(guest: &mut Guest, local_port: u16) {
    let (response, _) = http(guest, local_port, &get("/latest/meta-data/instance-id", ""));
    assert_eq!(body(&response), "i-0123456789abcdef0", "from port {local_port}");
}

#[test]
fn metadata_is_served_to_a_guest_that_was_reset_with_connections_open() {
    let (node, mut guest) = one(metadata_port());
    // The service has nothing to say on them, and so does not learn that they are over: one has to give way.
    leave_connections(&mut guest, 43_000, 1, &[Left::Idle]);
    guest.restart_driver();
    for local_port in (43_007..43_016).rev() {
        assert_served(&mut guest, local_port);
    }
    // Another process in place of the machine's: its connection to the port's socket is new.
    leave_connections(&mut guest, 43_000, 2, &[Left::Idle, Left::Closed, Left::Asked]);
    drop(guest);
    let mut guest = node.attach(5);
    for local_port in (43_007..43_016).rev() {
        assert_served(&mut guest, local_port);
    }
}

#[test]
fn metadata_that_is_off_is_not_there() {
    let mut port = metadata_port();
    port.metadata.enabled = false;
    let (node, mut guest) = one(port);
    let mut connection = Connection::start(&mut guest, 44_000, 0);
    eventually("a drop", || {
        connection.poll();
        node.metrics().drops.contains_key("not-served").then_some(())
    });
    assert_eq!(connection.poll().state(), tcp::State::SynSent);
}

#[test]
fn metadata_is_served_again_after_a_crash_before_anybody_puts_anything() {
    let (mut node, mut guest) = one(metadata_port());
    assert_served(&mut guest, 45_000);
    drop(guest);
    node.kill_and_restart();
    node.serve(5, 5);
    let mut guest = node.attach(5);
    assert_served(&mut guest, 45_000);
}
