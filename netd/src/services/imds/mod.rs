//! The instance metadata service of one port: a TCP/IP stack of its own at 169.254.169.254, HTTP on port 80.
//!
//! Each port has its own stack, so that a guest that exhausts it only hurts itself.

mod http;
mod respond;
mod tokens;
mod tree;

use super::Client;
use crate::model::METADATA_ADDRESS;
use http::Connection;
use respond::respond;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;
use std::fmt;
use tokens::Tokens;

const HTTP_PORT: u16 = 80;
/// Connections of one port at a time: cloud-init uses one, an SDK a few.
const MAX_CONNECTIONS: usize = 8;
const RECEIVE_BYTES: usize = 4 << 10;
const SEND_BYTES: usize = 16 << 10;
/// A connection that is silent for this long is cut.
const IDLE_MS: u64 = 30_000;
/// TTL of everything but answers to token requests.
const DEFAULT_HOP_LIMIT: u8 = 64;

/// Packets in and out of the stack.
struct Link {
    received: VecDeque<Vec<u8>>,
    sent: VecDeque<Vec<u8>>,
    mtu: usize,
}

struct Received(Vec<u8>);
struct Sending<'a>(&'a mut VecDeque<Vec<u8>>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, consume: F) -> R {
        consume(&self.0)
    }
}

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, consume: F) -> R {
        let mut packet = vec![0; len];
        let result = consume(&mut packet);
        self.0.push_back(packet);
        result
    }
}

impl Device for Link {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _timestamp: Instant) -> Option<(Received, Sending<'_>)> {
        Some((Received(self.received.pop_front()?), Sending(&mut self.sent)))
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

struct Served {
    socket: SocketHandle,
    connection: Connection,
    active_ms: u64,
}

pub struct MetadataServer {
    client: Client,
    link: Link,
    interface: Interface,
    sockets: SocketSet<'static>,
    served: Vec<Served>,
    tokens: Tokens,
}

impl fmt::Debug for MetadataServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetadataServer").field("connections", &self.served.len()).finish_non_exhaustive()
    }
}

fn instant(now_ms: u64) -> Instant {
    Instant::from_millis(i64::try_from(now_ms).unwrap_or(i64::MAX))
}

impl MetadataServer {
    pub fn new(client: Client, now_ms: u64) -> Self {
        let mtu = usize::from(client.port.config().segment.spec.mtu);
        let mut link = Link { received: VecDeque::new(), sent: VecDeque::new(), mtu };
        let mut config = Config::new(HardwareAddress::Ip);
        let mut seed = [0; 8];
        // Initial sequence numbers; a predictable seed would only help the guest against itself.
        let _ = getrandom::fill(&mut seed);
        config.random_seed = u64::from_ne_bytes(seed);
        let mut interface = Interface::new(config, &mut link, instant(now_ms));
        interface.update_ip_addrs(|addresses| {
            // The guest is on the link, whatever its address; one entry fits the list.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(METADATA_ADDRESS), 0));
        });
        let mut server = Self {
            client,
            link,
            interface,
            sockets: SocketSet::new(Vec::new()),
            served: Vec::new(),
            tokens: Tokens::default(),
        };
        server.listen(now_ms);
        server
    }

    /// Keeps one socket listening while there is room for a connection more.
    fn listen(&mut self, now_ms: u64) {
        let listening = self.served.iter().any(|served| {
            let state = self.sockets.get::<tcp::Socket<'_>>(served.socket).state();
            state == tcp::State::Listen
        });
        if listening || self.served.len() >= MAX_CONNECTIONS {
            return;
        }
        let mut socket = tcp::Socket::new(
            tcp::SocketBuffer::new(vec![0; RECEIVE_BYTES]),
            tcp::SocketBuffer::new(vec![0; SEND_BYTES]),
        );
        socket.set_timeout(Some(Duration::from_millis(IDLE_MS)));
        socket.set_ack_delay(None);
        socket.set_nagle_enabled(false);
        if socket.listen((IpAddress::Ipv4(METADATA_ADDRESS), HTTP_PORT)).is_ok() {
            let socket = self.sockets.add(socket);
            self.served.push(Served { socket, connection: Connection::default(), active_ms: now_ms });
        }
    }

    /// Takes a TCP packet from the guest.
    pub fn receive(&mut self, packet: Vec<u8>, now_ms: u64) {
        self.link.received.push_back(packet);
        self.work(now_ms);
    }

    /// Does what is due; returns in how many milliseconds something is due next.
    pub fn poll(&mut self, now_ms: u64) -> Option<u64> {
        self.work(now_ms);
        let delay = self.interface.poll_delay(instant(now_ms), &self.sockets).map(|delay| delay.total_millis().max(1));
        let idle = self.served.iter().filter(|served| self.sockets.get::<tcp::Socket<'_>>(served.socket).is_active());
        let idle = idle.map(|served| (served.active_ms + IDLE_MS).saturating_sub(now_ms).max(1)).min();
        delay.into_iter().chain(idle).min()
    }

    fn work(&mut self, now_ms: u64) {
        // Ends: each round handles packets or bytes, and answers are bounded by the send buffers.
        loop {
            let polled = self.interface.poll(instant(now_ms), &mut self.link, &mut self.sockets);
            self.serve(now_ms);
            self.clean(now_ms);
            self.listen(now_ms);
            if polled == PollResult::None && self.link.received.is_empty() {
                break;
            }
        }
        for packet in self.link.sent.drain(..) {
            self.client.send(&packet);
        }
    }

    /// Moves bytes between sockets and connections, and answers complete requests.
    fn serve(&mut self, now_ms: u64) {
        let config = self.client.port.config();
        for served in &mut self.served {
            let socket = self.sockets.get_mut::<tcp::Socket<'_>>(served.socket);
            let connection = &mut served.connection;
            while socket.can_recv() && connection.wants_input() {
                let read = socket.recv(|bytes| (connection.input(bytes), ()));
                served.active_ms = now_ms;
                if read.is_err() {
                    break;
                }
                while let Some(request) = connection.next_request() {
                    let response = respond(&config, &mut self.tokens, &request, now_ms);
                    let hop_limit = response.hop_limit.unwrap_or(DEFAULT_HOP_LIMIT);
                    socket.set_hop_limit(Some(hop_limit));
                    connection.respond(&request, &response);
                }
            }
            if socket.can_send() && !connection.output().is_empty() {
                let sent = socket.send_slice(connection.output()).unwrap_or(0);
                connection.sent(sent);
                served.active_ms = now_ms;
            }
            let finished = connection.output().is_empty() && connection.closing();
            // A guest that closed its side gets no more than what is already written.
            let half_closed = socket.state() == tcp::State::CloseWait && connection.output().is_empty();
            if (finished || half_closed) && socket.may_send() {
                socket.close();
            }
            if socket.is_active() && now_ms.saturating_sub(served.active_ms) >= IDLE_MS {
                socket.abort();
            }
        }
    }

    /// Removes connections that are over. One in TIME-WAIT is over too: the guest's ports do not come back so soon as to mix
    /// up two connections, and the place is needed.
    fn clean(&mut self, now_ms: u64) {
        let sockets = &mut self.sockets;
        self.served.retain(|served| {
            let socket = sockets.get::<tcp::Socket<'_>>(served.socket);
            let over = match socket.state() {
                tcp::State::TimeWait => true,
                // An aborted one first sends its reset.
                tcp::State::Closed => socket.remote_endpoint().is_none(),
                _ => false,
            };
            if over {
                sockets.remove(served.socket);
            }
            !over
        });
        self.tokens.expire(now_ms);
    }
}
