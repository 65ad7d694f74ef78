//! The local services: what a port's gateway, resolver and metadata addresses answer.
//!
//! One thread serves all ports, away from the packet path. A port may have only [`MAX_SERVICE_BACKLOG`] frames waiting here, and
//! its TCP connections, tokens and forwarded queries are counted against it alone.
//!
//! [`MAX_SERVICE_BACKLOG`]: crate::port::MAX_SERVICE_BACKLOG

pub mod device;
pub mod dhcp;
pub mod dns;
pub mod endpoints;
pub mod imds;
pub mod names;

use crate::error::DaemonError;
use crate::mailbox::{Mailbox, lock};
use crate::model::{METADATA_ADDRESS, Port};
use crate::port::PortShared;
use crate::switch::admission::DHCP_SERVER_PORT;
use crate::sys::{Epoll, Events};
use crate::worker::command::{Command, WorkerHandle};
use device::Answers;
use dns::Forwarder;
use hive_packet::arp::Operation;
use hive_packet::ipv4::{self, Ipv4Header};
use hive_packet::{ETHERNET_HEADER_BYTES, Frame, Network, be16, build, protocol};
use imds::MetadataServer;
use names::Names;
use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Instant;

const TOKEN_MAILBOX: u64 = 0;
const TOKEN_UPSTREAM: u64 = 1;
const DNS_PORT: u16 = 53;
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
    /// The port is gone, or its guest starts anew.
    Forget {
        key: u64,
    },
    Stop,
}

/// The way to the services thread.
#[derive(Clone, Debug)]
pub struct ServicesHandle(Arc<Mailbox<Event>>);

impl ServicesHandle {
    /// Hands over a frame for which [`PortShared::enter_services`] said yes.
    pub fn frame(&self, client: Client, frame: Vec<u8>) {
        self.0.send(Event::Frame { client, frame });
    }

    /// Ends a port's connections, tokens and forwarded queries.
    pub fn forget(&self, key: u64) {
        self.0.send(Event::Forget { key });
    }
}

/// The running thread; dropping it stops it.
#[derive(Debug)]
pub struct RunningServices {
    pub handle: ServicesHandle,
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
pub fn start(names: Arc<Mutex<Names>>, upstream: Option<SocketAddrV4>) -> Result<RunningServices, DaemonError> {
    let failed = |action| move |source| DaemonError::System { action, source };
    let mailbox = Arc::new(Mailbox::new().map_err(failed("make the services' mailbox"))?);
    let epoll = Epoll::new().map_err(failed("make an epoll instance"))?;
    epoll.add_edge(mailbox.as_raw_fd(), TOKEN_MAILBOX).map_err(failed("watch the services' mailbox"))?;
    let forwarder = upstream.map(Forwarder::connect).transpose().map_err(failed("reach the upstream resolver"))?;
    if let Some(forwarder) = &forwarder {
        epoll.add_level(forwarder.as_raw_fd(), TOKEN_UPSTREAM).map_err(failed("watch the upstream resolver"))?;
    }
    let handle = ServicesHandle(mailbox.clone());
    let services =
        Services { mailbox, epoll, names, forwarder, metadata: HashMap::new(), started: Instant::now(), now_ms: 0 };
    let thread = std::thread::Builder::new()
        .name("services".to_owned())
        .spawn(move || services.run())
        .map_err(failed("start the services"))?;
    Ok(RunningServices { handle, thread: Some(thread) })
}

/// The way that answers take.
#[derive(Clone, Debug)]
pub enum ReplyTo {
    /// To the guest's rings at once.
    Worker(WorkerHandle),
    /// Out of the services port, and through the switch's tables.
    Device(Arc<Answers>),
}

/// Where answers to a port go.
#[derive(Clone, Debug)]
pub struct Client {
    pub port: Arc<PortShared>,
    pub reply_to: ReplyTo,
}

impl Client {
    /// Sends an IPv4 packet to the guest from its gateway's MAC.
    pub fn send(&self, packet: &[u8]) {
        let config = self.port.config();
        self.send_frame(build::ethernet(config.mac, config.segment.gateway_mac, packet));
    }

    fn send_frame(&self, frame: Vec<u8>) {
        match &self.reply_to {
            ReplyTo::Worker(worker) => worker.send(Command::Deliver { key: self.port.key, frame }),
            ReplyTo::Device(answers) => answers.send(self.port.key, frame),
        }
    }
}

#[derive(Debug)]
struct Services {
    mailbox: Arc<Mailbox<Event>>,
    epoll: Epoll,
    names: Arc<Mutex<Names>>,
    forwarder: Option<Forwarder>,
    /// By port key, for ports whose guests asked.
    metadata: HashMap<u64, MetadataServer>,
    started: Instant,
    now_ms: u64,
}

impl Services {
    fn run(mut self) {
        let mut events = Events::default();
        loop {
            self.now_ms = self.started.elapsed().as_millis() as u64;
            for event in self.mailbox.take() {
                match event {
                    Event::Frame { client, frame } => {
                        client.port.leave_services();
                        self.answer(&client, &frame);
                    }
                    Event::Forget { key } => {
                        self.metadata.remove(&key);
                        if let Some(forwarder) = &mut self.forwarder {
                            forwarder.forget(key);
                        }
                    }
                    Event::Stop => return,
                }
            }
            if let Some(forwarder) = &mut self.forwarder {
                forwarder.receive(self.now_ms);
            }
            let now_ms = self.now_ms;
            let next_ms = self.metadata.values_mut().filter_map(|server| server.poll(now_ms)).min();
            let timeout_ms = next_ms.map(|delay| u32::try_from(delay).unwrap_or(u32::MAX));
            if let Err(error) = self.epoll.wait(&mut events, timeout_ms) {
                tracing::error!(%error, "services cannot wait for events");
                return;
            }
        }
    }

    fn answer(&mut self, client: &Client, frame: &[u8]) {
        let config = client.port.config();
        let Ok(parsed) = Frame::parse(frame, frame.len()) else { return };
        match parsed.network {
            Network::Arp(arp) if arp.operation == Operation::Request && config.segment.is_local(arp.target_ip) => {
                client.send_frame(arp.answered_by(config.segment.gateway_mac).to_frame(arp.sender_mac));
            }
            Network::Ipv4(header) => {
                let start = ETHERNET_HEADER_BYTES;
                let Some(packet) = frame.get(start..start + header.total_bytes) else { return };
                if !header.whole
                    || !ipv4::header_checksum_holds(packet, &header)
                    || !ipv4::transport_checksum_holds(packet, &header)
                {
                    return;
                }
                self.answer_ipv4(client, &config, packet, &header);
            }
            _ => {}
        }
    }

    fn answer_ipv4(&mut self, client: &Client, config: &Arc<Port>, packet: &[u8], header: &Ipv4Header) {
        let Some(payload) = header.payload(packet) else { return };
        match header.protocol {
            protocol::ICMP => {
                if let Some(reply) = echo_reply(header, payload) {
                    client.send(&reply);
                }
            }
            protocol::UDP => self.answer_udp(client, config, header, payload),
            protocol::TCP if header.dst == METADATA_ADDRESS && config.spec.metadata.enabled => {
                let server = self
                    .metadata
                    .entry(client.port.key)
                    .or_insert_with(|| MetadataServer::new(client.clone(), self.now_ms));
                server.answer_by(client);
                server.receive(packet.to_vec(), self.now_ms);
            }
            _ => {}
        }
    }

    fn answer_udp(&mut self, client: &Client, config: &Arc<Port>, header: &Ipv4Header, datagram: &[u8]) {
        let (Some(src_port), Some(dst_port)) = (be16(datagram, 0), be16(datagram, 2)) else { return };
        let length = usize::from(be16(datagram, 4).unwrap_or(0));
        let Some(body) = datagram.get(UDP_HEADER_BYTES..length.max(UDP_HEADER_BYTES)) else { return };
        match dst_port {
            DHCP_SERVER_PORT => {
                if let Some(reply) = dhcp::answer(config, body) {
                    let gateway = config.segment.spec.gateway;
                    client.send(&build::udp(gateway, reply.to, DHCP_SERVER_PORT, DHCP_CLIENT_PORT, &reply.message));
                }
            }
            DNS_PORT if header.dst != METADATA_ADDRESS => {
                let query = dns::Query { client, resolver: header.dst, address: header.src, port: src_port };
                let names = lock(&self.names);
                dns::answer(&query, &names, self.forwarder.as_mut(), body, self.now_ms);
            }
            _ => {}
        }
    }
}

/// The reply to an ICMP echo request (RFC 792).
fn echo_reply(header: &Ipv4Header, message: &[u8]) -> Option<Vec<u8>> {
    const ECHO_REQUEST: u8 = 8;
    const ECHO_REPLY: u8 = 0;
    if message.len() > MAX_ECHO_BYTES || header.src == Ipv4Addr::UNSPECIFIED {
        return None;
    }
    let (fixed, body) = message.split_first_chunk::<8>()?;
    (fixed[0] == ECHO_REQUEST).then(|| {
        let rest = [fixed[4], fixed[5], fixed[6], fixed[7]];
        build::icmp(header.dst, header.src, ECHO_REPLY, 0, rest, body)
    })
}
