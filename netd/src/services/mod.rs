//! The services: what an interface's gateway, resolver and metadata addresses answer, out of ports of type `services`.
//!
//! | module | job |
//! |---|---|
//! | [`control`], [`endpoints`], `state`, [`model`] | what was asked for, by whom, checked, and that it stays |
//! | [`interface`], [`names`] | who is there, for all threads |
//! | [`device`] | frames from the switch and answers to it |
//! | `dhcp`, `dns`, `imds` | what is answered |
//! | `ipv6`, `neighbour`, `dhcpv6` | the same in IPv6, and its router, which is advertised unasked too |
//! | `too_long` | what a router says of packets that are too long for a link |
//! | [`traffic`] | counters |
//!
//! One thread serves all interfaces, away from the packet path. Each has its share of frames that may wait here, and its TCP connections,
//! tokens and forwarded queries are counted against it alone.

pub mod control;
pub mod device;
mod dhcp;
mod dhcpv6;
mod dns;
pub mod endpoints;
mod imds;
pub mod interface;
mod ipv6;
pub mod model;
pub mod names;
mod neighbour;
mod state;
#[cfg(test)]
mod tests;
mod too_long;
pub mod traffic;

use crate::error::DaemonError;
use crate::mailbox::Mailbox;
use crate::sys::{Epoll, Events};
use device::Answers;
use dns::Forwarder;
use hive_packet::arp::{Arp, Operation};
use hive_packet::ipv4::{self, Ipv4Header};
use hive_packet::{ETHERNET_HEADER_BYTES, Frame, FrameError, Network, be16, build, protocol};
use imds::MetadataServer;
use interface::{Client, Directory};
use model::{METADATA_ADDRESS, Port, RESOLVER_ADDRESS};
use neighbour::Advertiser;
use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;
use traffic::DropReason;

const TOKEN_MAILBOX: u64 = 0;
const TOKEN_UPSTREAM: u64 = 1;
const DNS_PORT: u16 = 53;
const DHCP_SERVER_PORT: u16 = 67;
const DHCP_CLIENT_PORT: u16 = 68;
const UDP_HEADER_BYTES: usize = 8;
/// Longest echo request answered: the rest of a jumbo frame. Larger ones come in fragments, which are not answered.
const MAX_ECHO_BYTES: usize = 9216;

#[derive(Debug)]
enum Event {
    Frame {
        client: Client,
        frame: Vec<u8>,
    },
    /// The interface is gone.
    Forget {
        number: u64,
    },
    /// There is one more services port.
    Begin(Arc<Answers>),
    Stop,
}

/// The way to the services thread.
#[derive(Clone, Debug)]
pub struct ServicesHandle(Arc<Mailbox<Event>>);

impl ServicesHandle {
    /// Hands over a frame that [`interface::Interface::enter`] let in.
    fn frame(&self, client: Client, frame: Vec<u8>) {
        self.0.send(Event::Frame { client, frame });
    }

    /// Has guests told of their router by one more services port.
    fn begin(&self, answers: Arc<Answers>) {
        self.0.send(Event::Begin(answers));
    }

    /// Ends an interface's connections, tokens and forwarded queries.
    fn forget(&self, number: u64) {
        self.0.send(Event::Forget { number });
    }
}

/// The running thread; dropping it stops it.
#[derive(Debug)]
struct RunningServices {
    handle: ServicesHandle,
    thread: Option<JoinHandle<()>>,
}

impl Drop for RunningServices {
    fn drop(&mut self) {
        self.handle.0.send(Event::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts the services thread.
fn start(directory: Arc<Directory>, upstream: Option<SocketAddrV4>) -> Result<RunningServices, DaemonError> {
    let failed = |action| move |source| DaemonError::System { action, source };
    let mailbox = Arc::new(Mailbox::new().map_err(failed("make the services' mailbox"))?);
    let epoll = Epoll::new().map_err(failed("make an epoll instance"))?;
    epoll.add_edge(mailbox.as_raw_fd(), TOKEN_MAILBOX).map_err(failed("watch the services' mailbox"))?;
    let services = Services::new(directory, upstream).map_err(failed("reach the upstream resolver"))?;
    if let Some(forwarder) = &services.forwarder {
        epoll.add_level(forwarder.as_raw_fd(), TOKEN_UPSTREAM).map_err(failed("watch the upstream resolver"))?;
    }
    let handle = ServicesHandle(mailbox.clone());
    let thread = std::thread::Builder::new()
        .name("services".to_owned())
        .spawn(move || services.run(&mailbox, &epoll))
        .map_err(failed("start the services"))?;
    Ok(RunningServices { handle, thread: Some(thread) })
}

/// What the services have in hand.
#[derive(Debug)]
pub struct Services {
    directory: Arc<Directory>,
    forwarder: Option<Forwarder>,
    /// By number, of interfaces whose guests asked.
    metadata: HashMap<u64, MetadataServer>,
    advertiser: Advertiser,
    now_ms: u64,
}

impl Services {
    /// Names that nobody in the directory has are asked of `upstream`.
    ///
    /// # Errors
    /// There is no way to it.
    pub fn new(directory: Arc<Directory>, upstream: Option<SocketAddrV4>) -> std::io::Result<Self> {
        let forwarder = upstream.map(Forwarder::connect).transpose()?;
        Ok(Self { directory, forwarder, metadata: HashMap::new(), advertiser: Advertiser::default(), now_ms: 0 })
    }

    fn run(mut self, mailbox: &Mailbox<Event>, epoll: &Epoll) {
        let started = Instant::now();
        let mut events = Events::default();
        loop {
            self.now_ms = started.elapsed().as_millis() as u64;
            for event in mailbox.take() {
                match event {
                    Event::Frame { client, frame } => {
                        client.interface.leave();
                        if let Err(reason) = self.answer(&client, &frame) {
                            client.interface.dropped(reason);
                        }
                    }
                    Event::Forget { number } => {
                        self.metadata.remove(&number);
                        if let Some(forwarder) = &mut self.forwarder {
                            forwarder.forget(number);
                        }
                    }
                    Event::Begin(answers) => self.advertiser.begin(answers),
                    Event::Stop => return,
                }
            }
            if let Some(forwarder) = &mut self.forwarder {
                forwarder.receive(self.now_ms);
            }
            let now_ms = self.now_ms;
            for server in self.metadata.values_mut() {
                if server.due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
                    server.poll(now_ms);
                }
            }
            self.advertiser.poll(&self.directory, now_ms);
            let due = self.metadata.values().filter_map(MetadataServer::due_ms);
            let due_ms = due.fold(self.advertiser.due_ms(), u64::min);
            let timeout_ms = u32::try_from(due_ms.saturating_sub(now_ms)).unwrap_or(u32::MAX);
            if let Err(error) = epoll.wait(&mut events, Some(timeout_ms)) {
                tracing::error!(%error, "services cannot wait for events");
                return;
            }
        }
    }

    /// Answers a frame with complete checksums.
    ///
    /// # Errors
    /// Why it is not answered.
    pub fn answer(&mut self, client: &Client, frame: &[u8]) -> Result<(), DropReason> {
        let port = client.interface.port();
        let parsed = Frame::parse(frame, frame.len()).map_err(|error| match error {
            FrameError::Tagged => DropReason::VlanTagged,
            FrameError::Short | FrameError::Malformed => DropReason::Malformed,
        })?;
        if parsed.src != port.mac {
            return Err(DropReason::SpoofedMac);
        }
        match parsed.network {
            Network::Arp(arp) => answer_arp(client, &port, &arp),
            Network::Ipv4(header) => {
                let start = ETHERNET_HEADER_BYTES;
                let packet = frame.get(start..start + header.total_bytes).ok_or(DropReason::Malformed)?;
                self.answer_ipv4(client, &port, packet, &header)
            }
            Network::Ipv6(header) => {
                let start = ETHERNET_HEADER_BYTES;
                let packet = frame.get(start..start + header.total_bytes).ok_or(DropReason::Malformed)?;
                self.answer_ipv6(client, &port, packet, &header)
            }
            Network::Other(_) => Err(DropReason::NotServed),
        }
    }

    fn answer_ipv4(
        &mut self,
        client: &Client,
        port: &Port,
        packet: &[u8],
        header: &Ipv4Header,
    ) -> Result<(), DropReason> {
        if !header.whole {
            return Err(DropReason::Fragment);
        }
        if !ipv4::header_checksum_holds(packet, header) || !ipv4::transport_checksum_holds(packet, header) {
            return Err(DropReason::BadChecksum);
        }
        let payload = header.payload(packet).ok_or(DropReason::Malformed)?;
        let udp = if header.protocol == protocol::UDP { Some(Datagram::parse(payload)?) } else { None };
        // Before it has an address a guest asks for one, everybody and from nowhere.
        if let Some(datagram) = udp.filter(|datagram| datagram.dst_port == DHCP_SERVER_PORT)
            && (header.src.is_unspecified() || port.may_send_from(header.src))
            && (header.dst.is_broadcast() || port.segment.is_local(header.dst))
        {
            let reply = dhcp::answer(port, datagram.body).ok_or(DropReason::NotServed)?;
            let gateway = port.segment.spec.gateway;
            client.send(&build::udp(gateway, reply.to, DHCP_SERVER_PORT, DHCP_CLIENT_PORT, &reply.message));
            return Ok(());
        }
        if !port.may_send_from(header.src) {
            return Err(DropReason::SpoofedIpv4);
        }
        if !port.segment.is_local(header.dst) {
            return Err(DropReason::NotLocal);
        }
        match (header.protocol, udp) {
            (protocol::ICMP, _) => {
                client.send(&echo_reply(header, payload).ok_or(DropReason::NotServed)?);
                Ok(())
            }
            (protocol::TCP, _) if header.dst == METADATA_ADDRESS && port.spec.metadata.enabled => {
                self.serve_metadata(client, packet)
            }
            (_, Some(datagram))
                if datagram.dst_port == DNS_PORT && [port.segment.spec.dns, RESOLVER_ADDRESS].contains(&header.dst) =>
            {
                let way = dns::Way::V4 { resolver: header.dst, address: header.src };
                self.resolve(&dns::Query { client, way, port: datagram.src_port }, datagram.body)
            }
            _ => Err(DropReason::NotServed),
        }
    }

    fn resolve(&mut self, query: &dns::Query<'_>, message: &[u8]) -> Result<(), DropReason> {
        let names = self.directory.names();
        let answered = dns::answer(query, &names, self.forwarder.as_mut(), message, self.now_ms);
        if answered { Ok(()) } else { Err(DropReason::NotServed) }
    }

    /// Takes a TCP packet to the metadata service.
    fn serve_metadata(&mut self, client: &Client, packet: &[u8]) -> Result<(), DropReason> {
        let number = client.interface.number;
        if self.metadata.get(&number).is_none_or(|server| !server.serves(client)) {
            // Of one that has gone nobody would ever take it away.
            let known = self.directory.get(number);
            if !known.is_some_and(|known| Arc::ptr_eq(&known, &client.interface)) {
                return Err(DropReason::UnknownNumber);
            }
            self.metadata.insert(number, MetadataServer::new(client.clone(), self.now_ms));
        }
        let server = self.metadata.get_mut(&number).ok_or(DropReason::NotServed)?;
        server.answer_by(client);
        server.receive(packet.to_vec(), self.now_ms);
        Ok(())
    }
}

fn answer_arp(client: &Client, port: &Port, arp: &Arp) -> Result<(), DropReason> {
    // A sender of 0.0.0.0 probes whether its address is free (RFC 5227).
    let sender_fits = arp.sender_ip.is_unspecified() || port.may_send_from(arp.sender_ip);
    if arp.sender_mac != port.mac || !sender_fits {
        return Err(DropReason::SpoofedArp);
    }
    if arp.operation != Operation::Request {
        return Err(DropReason::NotServed);
    }
    if !port.segment.is_local(arp.target_ip) {
        return Err(DropReason::NotLocal);
    }
    client.send_frame(arp.answered_by(port.segment.gateway_mac).to_frame(arp.sender_mac));
    Ok(())
}

/// A UDP datagram (RFC 768).
#[derive(Clone, Copy, Debug)]
struct Datagram<'a> {
    src_port: u16,
    dst_port: u16,
    body: &'a [u8],
}

impl<'a> Datagram<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, DropReason> {
        let field = |at| be16(bytes, at).ok_or(DropReason::Malformed);
        let body = bytes.get(UDP_HEADER_BYTES..field(4)?.into()).ok_or(DropReason::Malformed)?;
        Ok(Self { src_port: field(0)?, dst_port: field(2)?, body })
    }
}

/// The reply to an ICMP echo request (RFC 792).
fn echo_reply(header: &Ipv4Header, message: &[u8]) -> Option<Vec<u8>> {
    const ECHO_REQUEST: u8 = 8;
    const ECHO_REPLY: u8 = 0;
    if message.len() > MAX_ECHO_BYTES {
        return None;
    }
    let (fixed, body) = message.split_first_chunk::<8>()?;
    (fixed[0] == ECHO_REQUEST).then(|| {
        let rest = [fixed[4], fixed[5], fixed[6], fixed[7]];
        build::icmp(header.dst, header.src, ECHO_REPLY, 0, rest, body)
    })
}
