//! The instance metadata service of one interface: a TCP/IP stack of its own at 169.254.169.254 and fd00:ec2::254, HTTP on port 80.
//!
//! Each interface has its own stack, so that a guest that exhausts it only hurts itself.

mod http;
mod respond;
mod tokens;
mod tree;

use super::interface::Client;
use super::model::METADATA_ADDRESS;
use super::model::ipv6::METADATA_ADDRESS_V6;
use http::Connection;
use respond::respond;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Packet, Ipv6Packet, TcpPacket, TcpSeqNumber};
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use tokens::Tokens;

const HTTP_PORT: u16 = 80;
/// Connections of one interface at a time: cloud-init uses one, an SDK a few. The one that is silent for longest gives way.
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
    /// Sequence number of the SYN that opened it.
    opened_by: Option<TcpSeqNumber>,
    active_ms: u64,
}

/// The guest's request for a connection.
struct Syn {
    from: IpEndpoint,
    number: TcpSeqNumber,
}

impl Syn {
    fn parse(packet: &[u8]) -> Option<Self> {
        let (from, payload) = match packet.first()? >> 4 {
            4 => {
                let ip = Ipv4Packet::new_checked(packet).ok()?;
                (IpAddress::Ipv4(ip.src_addr()), ip.payload())
            }
            6 => {
                let ip = Ipv6Packet::new_checked(packet).ok()?;
                (IpAddress::Ipv6(ip.src_addr()), ip.payload())
            }
            _ => return None,
        };
        let tcp = TcpPacket::new_checked(payload).ok()?;
        (tcp.syn() && !tcp.ack())
            .then(|| Self { from: IpEndpoint::new(from, tcp.src_port()), number: tcp.seq_number() })
    }
}

pub struct MetadataServer {
    client: Client,
    link: Link,
    interface: Interface,
    sockets: SocketSet<'static>,
    served: Vec<Served>,
    tokens: Tokens,
    /// None: nothing is, until the guest says something.
    due_ms: Option<u64>,
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
    /// Whether it is of this interface, and not of one that had its number before.
    pub fn serves(&self, client: &Client) -> bool {
        Arc::ptr_eq(&self.client.interface, &client.interface)
    }

    /// Answers go the way that the guest's last packet came: the services port of before may be gone.
    pub fn answer_by(&mut self, client: &Client) {
        self.client = client.clone();
    }

    pub fn new(client: Client, now_ms: u64) -> Self {
        let mtu = usize::from(client.interface.port().segment.spec.mtu);
        let mut link = Link { received: VecDeque::new(), sent: VecDeque::new(), mtu };
        let mut config = Config::new(HardwareAddress::Ip);
        let mut seed = [0; 8];
        // Initial sequence numbers; a predictable seed would only help the guest against itself.
        let _ = getrandom::fill(&mut seed);
        config.random_seed = u64::from_ne_bytes(seed);
        let mut interface = Interface::new(config, &mut link, instant(now_ms));
        interface.update_ip_addrs(|addresses| {
            // The guest is on the link, whatever its addresses; two entries fit the list.
            for own in [IpAddress::Ipv4(METADATA_ADDRESS), IpAddress::Ipv6(METADATA_ADDRESS_V6)] {
                let _ = addresses.push(IpCidr::new(own, 0));
            }
        });
        let mut server = Self {
            client,
            link,
            interface,
            sockets: SocketSet::new(Vec::new()),
            served: Vec::new(),
            tokens: Tokens::default(),
            due_ms: None,
        };
        server.listen(now_ms);
        server
    }

    /// Keeps one socket listening while there is room for a connection more.
    fn listen(&mut self, now_ms: u64) {
        let mut sockets = self.served.iter().map(|served| self.sockets.get::<tcp::Socket<'_>>(served.socket));
        if sockets.any(tcp::Socket::is_listening) || self.served.len() >= MAX_CONNECTIONS {
            return;
        }
        let mut socket = tcp::Socket::new(
            tcp::SocketBuffer::new(vec![0; RECEIVE_BYTES]),
            tcp::SocketBuffer::new(vec![0; SEND_BYTES]),
        );
        socket.set_timeout(Some(Duration::from_millis(IDLE_MS)));
        socket.set_ack_delay(None);
        socket.set_nagle_enabled(false);
        if socket.listen(HTTP_PORT).is_ok() {
            let socket = self.sockets.add(socket);
            self.served.push(Served { socket, connection: Connection::default(), opened_by: None, active_ms: now_ms });
        }
    }

    /// Takes a TCP packet from the guest.
    pub fn receive(&mut self, packet: Vec<u8>, now_ms: u64) {
        if let Some(syn) = Syn::parse(&packet) {
            self.open(&syn, now_ms);
        }
        self.link.received.push_back(packet);
        self.poll(now_ms);
    }

    /// Makes way for a connection. The stack would drop a SYN on the addresses and ports of a connection it still has; but a guest
    /// that opens it again, with another sequence number, knows nothing of the old one (RFC 9293, 3.5.1).
    fn open(&mut self, syn: &Syn, now_ms: u64) {
        let sockets = &mut self.sockets;
        let mut known = false;
        self.served.retain(|served| {
            let of_these = sockets.get::<tcp::Socket<'_>>(served.socket).remote_endpoint() == Some(syn.from);
            let stale = of_these && served.opened_by != Some(syn.number);
            known |= of_these && !stale;
            if stale {
                sockets.remove(served.socket);
            }
            !stale
        });
        if known {
            return;
        }
        self.listen(now_ms);
        // All may be of a guest that was reset and knows none of them any more, which nobody says here.
        let listening = |served: &Served| self.sockets.get::<tcp::Socket<'_>>(served.socket).is_listening();
        if !self.served.iter().any(listening)
            && let Some(silent) = (0..self.served.len()).min_by_key(|at| self.served[*at].active_ms)
        {
            self.sockets.remove(self.served.remove(silent).socket);
            self.listen(now_ms);
        }
        for served in &mut self.served {
            if self.sockets.get::<tcp::Socket<'_>>(served.socket).is_listening() {
                served.opened_by = Some(syn.number);
                served.active_ms = now_ms;
            }
        }
    }

    /// When [`Self::poll`] has something to do next.
    pub fn due_ms(&self) -> Option<u64> {
        self.due_ms
    }

    /// Does what is due.
    pub fn poll(&mut self, now_ms: u64) {
        self.work(now_ms);
        let delay = self.interface.poll_delay(instant(now_ms), &self.sockets).map(|delay| delay.total_millis().max(1));
        let idle = self.served.iter().filter(|served| self.sockets.get::<tcp::Socket<'_>>(served.socket).is_active());
        let idle = idle.map(|served| (served.active_ms + IDLE_MS).saturating_sub(now_ms).max(1)).min();
        self.due_ms = delay.into_iter().chain(idle).min().map(|delay_ms| now_ms + delay_ms);
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
        let config = self.client.interface.port();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::device::Answers;
    use crate::services::interface::{Directory, Interface};
    use crate::services::model::{Port, Segment, tests};
    use hive_packet::build;
    use std::net::Ipv4Addr;

    const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 5);
    const FIN: u8 = 0x01;
    const SYN: u8 = 0x02;
    const RST: u8 = 0x04;
    const ACK: u8 = 0x10;

    fn server() -> (MetadataServer, Arc<Answers>) {
        let segment = Arc::new(Segment::parse(tests::segment()).unwrap());
        let interface = Interface::new(Port::parse(tests::port(), segment).unwrap(), &Directory::default());
        let answers = Arc::new(Answers::new().unwrap());
        let client = Client { interface: Arc::new(interface), answers: answers.clone() };
        (MetadataServer::new(client, 0), answers)
    }

    /// TCP headers sent since the last call.
    fn sent(answers: &Answers) -> Vec<[u8; 20]> {
        answers.take().into_iter().map(|(_, frame)| *frame[14 + 20..].first_chunk().unwrap()).collect()
    }

    fn flags(answers: &Answers) -> Vec<u8> {
        sent(answers).iter().map(|header| header[13]).collect()
    }

    fn number(header: &[u8; 20], at: usize) -> u32 {
        hive_packet::be32(header, at).unwrap()
    }

    /// Flags and payload of a segment.
    type Sent<'a> = (u8, &'a [u8]);

    /// A segment from the guest's port 1.
    fn segment(flags: u8, sequence: u32, acknowledged: u32, payload: &[u8]) -> Vec<u8> {
        build::tcp_at(GUEST, METADATA_ADDRESS, [1, HTTP_PORT], flags, [sequence, acknowledged], payload)
    }

    #[test]
    fn a_guest_that_forgot_its_connection_opens_another_from_the_same_port() {
        let request = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
        // What the guest sends on the old connection after its SYN; the service acknowledges, answers and closes.
        let histories: [(tcp::State, &[Sent<'_>]); 5] = [
            (tcp::State::SynReceived, &[]),
            (tcp::State::Established, &[(ACK, b"")]),
            (tcp::State::Established, &[(ACK, b""), (ACK, &request[..5])]),
            (tcp::State::FinWait1, &[(ACK, b""), (ACK, request)]),
            (tcp::State::LastAck, &[(ACK, b""), (ACK | FIN, b"")]),
        ];
        for (state, history) in histories {
            let (mut server, answers) = server();
            server.receive(segment(SYN, 1000, 0, b""), 0);
            let acknowledged = number(&sent(&answers)[0], 4).wrapping_add(1);
            for (flags, payload) in history {
                server.receive(segment(*flags, 1001, acknowledged, payload), 0);
            }
            assert_eq!(server.sockets.get::<tcp::Socket<'_>>(server.served[0].socket).state(), state);
            sent(&answers);
            server.receive(segment(SYN, 77_000, 0, b""), 1);
            let sent = sent(&answers);
            assert_eq!(sent.len(), 1, "{state}: {sent:?}");
            assert_eq!((sent[0][13], number(&sent[0], 8)), (SYN | ACK, 77_001), "{state}");
        }
    }

    /// Of IPv6 and IPv4 alike, from the same number of places.
    #[test]
    fn connections_of_both_families_are_served_with_one_set_of_tokens() {
        let (mut server, answers) = server();
        let guest = std::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 5, 0, 0, 0, 0x55);
        let segment_v6 = |flags: u8, numbers: [u32; 2], payload: &[u8]| {
            build::v6::tcp_at(guest, METADATA_ADDRESS_V6, [1, HTTP_PORT], flags, numbers, payload)
        };
        server.receive(segment_v6(SYN, [1000, 0], b""), 0);
        let frame = answers.take().pop_front().unwrap().1;
        assert_eq!(frame[54 + 13], SYN | ACK);
        let acknowledged = hive_packet::be32(&frame, 54 + 4).unwrap().wrapping_add(1);
        server.receive(segment_v6(ACK, [1001, acknowledged], b""), 0);
        let request = b"PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n\r\n";
        server.receive(segment_v6(ACK, [1001, acknowledged], request), 0);
        let frames: Vec<Vec<u8>> = answers.take().into_iter().map(|(_, frame)| frame).collect();
        let frame = frames.iter().find(|frame| frame.len() > 54 + 20).unwrap();
        assert_eq!((frame[12..14].to_vec(), frame[14 + 7]), (vec![0x86, 0xdd], 1), "the hop limit of token answers");
        let text = String::from_utf8_lossy(&frame[54 + 20..]);
        let token = text.split_once("\r\n\r\n").unwrap().1.to_owned();
        assert!(server.tokens.remaining_s(&token, 0).is_some(), "{text}");
        server.receive(build::tcp_syn(GUEST, METADATA_ADDRESS, 1, HTTP_PORT), 0);
        let sent: Vec<_> = answers.take().into_iter().collect();
        assert!(sent.iter().any(|(_, frame)| frame[12..14] == [0x08, 0] && frame[14 + 20 + 13] == SYN | ACK));
        assert_eq!(server.served.len(), 3, "two and the one that listens");
        // Another of the same addresses and ports replaces the one before.
        server.receive(segment_v6(SYN, [77_000, 0], b""), 1);
        assert!(answers.take().iter().any(|(_, frame)| frame[54 + 13] == SYN | ACK));
        assert_eq!(server.served.len(), 3);
    }

    #[test]
    fn the_first_connection_after_a_long_silence_is_accepted() {
        let (mut server, answers) = server();
        let now_ms = 2 * IDLE_MS;
        server.poll(now_ms);
        server.receive(build::tcp_syn(GUEST, METADATA_ADDRESS, 1, HTTP_PORT), now_ms);
        assert_eq!(flags(&answers), [SYN | ACK]);
    }

    #[test]
    fn a_silent_connection_is_cut() {
        let (mut server, answers) = server();
        assert_eq!(server.due_ms(), None);
        server.receive(build::tcp_syn(GUEST, METADATA_ADDRESS, 1, HTTP_PORT), 0);
        assert_eq!(flags(&answers), [SYN | ACK]);
        // Polled when something is due, and only then, as the services do.
        let mut polls = 0;
        while let Some(due_ms) = server.due_ms() {
            server.poll(due_ms);
            polls += 1;
            assert!(due_ms <= IDLE_MS + 1 && polls < 100, "{polls} polls, at {due_ms} ms");
        }
        assert!(flags(&answers).iter().any(|flags| flags & RST != 0));
        assert_eq!(server.served.len(), 1, "only the listening one is left");
    }

    /// A guest that is reset leaves connections behind.
    #[test]
    fn when_all_places_are_taken_the_longest_silent_connection_gives_way() {
        let (mut server, answers) = server();
        let syn = |port| build::tcp_syn(GUEST, METADATA_ADDRESS, port, HTTP_PORT);
        let remotes = |server: &MetadataServer| -> Vec<u16> {
            let sockets = server.served.iter().map(|served| server.sockets.get::<tcp::Socket<'_>>(served.socket));
            sockets.filter_map(|socket| Some(socket.remote_endpoint()?.port)).collect()
        };
        let all = MAX_CONNECTIONS as u16;
        for port in 1..=all {
            server.receive(syn(port), port.into());
        }
        assert_eq!(flags(&answers), vec![SYN | ACK; MAX_CONNECTIONS]);
        for port in all + 1..=2 * all {
            server.receive(syn(port), port.into());
            assert_eq!(flags(&answers), [SYN | ACK]);
            assert_eq!(remotes(&server), (port - all + 1..=port).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_repeated_syn_is_of_the_same_connection() {
        let (mut server, answers) = server();
        let syn = build::tcp_syn(GUEST, METADATA_ADDRESS, 1, HTTP_PORT);
        server.receive(syn.clone(), 0);
        let socket = server.served[0].socket;
        server.receive(syn, 1);
        assert_eq!((server.served[0].socket, server.served.len()), (socket, 2));
        assert_eq!(flags(&answers), [SYN | ACK]);
    }
}
