//! Encryption of tunnels, by WireGuard's protocol (J. Donenfeld, "WireGuard: Next Generation Kernel Network Tunnel").
//!
//! A port with [`Security`] speaks with its peers in WireGuard's messages alone. In each is an IP packet with the tunnel's datagram
//! ([`inner`]), so the other end may be any WireGuard peer with a tunnel device behind it. Peers are told apart by their addresses,
//! from whatever port they send: each of ours sends by several, chosen by flow, so that routers on the way and network cards can
//! tell flows apart as in a tunnel without encryption. Messages go to the peer's address and port as configured, whatever it sends
//! from.
//!
//! While a peer is configured so, what comes from it, or would go to it, by tunnels without encryption is dropped ([`Registry`]).

mod inner;
mod key;
mod peer;

pub use inner::parse as parse_inner;
pub use key::{KeyError, PrivateKey, PublicKey};

use super::Reject;
use super::endpoint::Endpoint;
use super::send::{Batch, Way};
use crate::control::Writer;
use crate::intake::Waiting;
use inner::Header;
use peer::{Message, Opened, Peer};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::SystemTime;

/// Between looks at what is due; the protocol's own times are seconds.
const TICK_NS: i64 = 250_000_000;
/// The longest IP packet whose message fits into a UDP datagram over IPv4.
const PACKET_BYTES_MAX: usize = 65_472;
/// Any datagram fits.
const PLAIN_BYTES: usize = 1 << 16;
/// Source ports of datagrams within (RFC 6335, 6).
const SOURCE_PORT_FIRST: u16 = 49152;
const SOURCE_PORT_MASK: u32 = 0x3fff;
const DEFAULT_TTL: u8 = 64;

/// Whom a port speaks with, by address.
pub type Peers = BTreeMap<IpAddr, PublicKey>;

/// How a port is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    pub private_key: PrivateKey,
    /// Of this host: source of packets within, and of the messages around them.
    pub local: IpAddr,
    /// At which this host and its peers listen.
    pub udp_port: u16,
    pub peers: Peers,
}

/// Assigned by nobody; what WireGuard's tools show in their examples.
pub const DEFAULT_UDP_PORT: u16 = 51820;

/// What is known of a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    pub address: IpAddr,
    pub key: PublicKey,
    /// There are keys to encrypt with.
    pub established: bool,
    pub last_handshake: Option<SystemTime>,
    /// Of messages that were sound.
    pub rx_bytes: u64,
    pub tx_bytes: u64,
}

/// The addresses of all peers of all ports of a switch.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// By a number for each port.
    ports: Mutex<BTreeMap<u64, BTreeSet<IpAddr>>>,
    all: RwLock<Arc<BTreeSet<IpAddr>>>,
    /// There are some: who encrypts nothing pays with one look for each frame.
    some: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    pub fn all(&self) -> Arc<BTreeSet<IpAddr>> {
        Arc::clone(&self.all.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.some.load(Ordering::Acquire) && self.all().contains(&address)
    }

    fn set(&self, port: u64, addresses: Option<BTreeSet<IpAddr>>) {
        let mut ports = lock(&self.ports);
        match addresses {
            Some(addresses) => drop(ports.insert(port, addresses)),
            None => drop(ports.remove(&port)),
        }
        let all: BTreeSet<IpAddr> = ports.values().flatten().copied().collect();
        let some = !all.is_empty();
        *self.all.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(all);
        self.some.store(some, Ordering::Release);
    }
}

/// What others than its worker know of a port, and tell it.
#[derive(Debug)]
struct Shared {
    public_key: PublicKey,
    registry: Arc<Registry>,
    number: u64,
    peers: Mutex<Peers>,
    peers_changed: AtomicBool,
    rekey: AtomicBool,
    status: Mutex<Vec<PeerStatus>>,
    rejected: [AtomicU64; Reject::ALL.len()],
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.registry.set(self.number, None);
    }
}

/// Looks at, and changes, a port's encryption while a worker has the port.
#[derive(Clone, Debug)]
pub struct SecurityHandle(Arc<Shared>);

impl SecurityHandle {
    /// Sessions with peers that stay go on.
    pub fn set_peers(&self, peers: Peers) {
        self.0.registry.set(self.0.number, Some(peers.keys().copied().collect()));
        *lock(&self.0.peers) = peers;
        self.0.peers_changed.store(true, Ordering::Release);
    }

    /// New keys with all peers, now. What is encrypted by the old ones is still taken.
    pub fn rekey(&self) {
        self.0.rekey.store(true, Ordering::Release);
    }

    pub fn public_key(&self) -> PublicKey {
        self.0.public_key
    }

    /// As of the last tick.
    pub fn status(&self) -> Vec<PeerStatus> {
        lock(&self.0.status).clone()
    }

    /// Messages dropped, by reason.
    pub fn rejected(&self, reason: Reject) -> u64 {
        self.0.rejected.get(reason as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

/// What is asked of a packet that goes out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outgoing {
    pub remote: IpAddr,
    pub tos: u8,
    pub ttl: u8,
    pub df: bool,
    pub hash: u32,
    /// Of the tunnel.
    pub udp_port: u16,
}

/// The encryption of one port.
#[derive(Debug)]
pub(super) struct Secure {
    shared: Arc<Shared>,
    private_key: PrivateKey,
    pub local: IpAddr,
    peers: BTreeMap<IpAddr, Peer>,
    /// Readable when something is due.
    pub timer: OwnedFd,
    /// What another port of the endpoint has read, as it came.
    pub sealed: VecDeque<Waiting>,
    /// A packet on its way out.
    packet: Vec<u8>,
    plain: Vec<u8>,
}

impl Secure {
    pub fn new(security: &Security, registry: &Arc<Registry>) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let timer =
            rustix::time::timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let interval = Timespec { tv_sec: 0, tv_nsec: TICK_NS };
        // The first one at once: handshakes do not wait for packets.
        let times = Itimerspec { it_interval: interval, it_value: Timespec { tv_sec: 0, tv_nsec: 1 } };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &times)?;
        let shared = Shared {
            public_key: security.private_key.public(),
            registry: Arc::clone(registry),
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            peers: Mutex::default(),
            peers_changed: AtomicBool::new(false),
            rekey: AtomicBool::new(false),
            status: Mutex::default(),
            rejected: Default::default(),
        };
        let shared = Arc::new(shared);
        SecurityHandle(Arc::clone(&shared)).set_peers(security.peers.clone());
        Ok(Self {
            shared,
            private_key: security.private_key.clone(),
            local: security.local,
            peers: BTreeMap::new(),
            timer,
            sealed: VecDeque::new(),
            packet: Vec::new(),
            plain: vec![0; PLAIN_BYTES],
        })
    }

    pub fn handle(&self) -> SecurityHandle {
        SecurityHandle(Arc::clone(&self.shared))
    }

    /// Counts at the port, and at its endpoint, whose counters are shown beside others'.
    pub fn reject(&self, endpoint: &Endpoint, reason: Reject) {
        endpoint.reject(reason);
        if let Some(count) = self.shared.rejected.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Where to write what a packet carries: it begins behind the headers within.
    pub fn begin(&mut self) -> &mut Vec<u8> {
        self.packet.clear();
        self.packet.resize(inner::header_bytes(self.local), 0);
        &mut self.packet
    }

    /// Encrypts what was written since [`Self::begin`] into the batch; false if it is dropped.
    pub fn finish(&mut self, frame_bytes: usize, outgoing: &Outgoing, batch: &mut Batch, way: &Way<'_>) -> bool {
        let header = Header {
            source: self.local,
            destination: outgoing.remote,
            source_port: SOURCE_PORT_FIRST + (outgoing.hash & SOURCE_PORT_MASK) as u16,
            destination_port: outgoing.udp_port,
            tos: outgoing.tos,
            ttl: if outgoing.ttl == 0 { DEFAULT_TTL } else { outgoing.ttl },
            df: outgoing.df,
        };
        let fits = self.packet.len() <= PACKET_BYTES_MAX && header.write(&mut self.packet);
        let Some(peer) = self.peers.get_mut(&outgoing.remote).filter(|_| fits) else { return false };
        let dropped = peer.dropped;
        peer.send(&self.packet, outgoing.hash, frame_bytes, &mut |message| push(batch, message, way));
        peer.dropped == dropped
    }

    /// Takes a message from `source`: the datagram within it, if there is one and it is sound.
    pub fn open(
        &mut self,
        source: IpAddr,
        datagram: &[u8],
        udp_port: u16,
        batch: &mut Batch,
        way: &Way<'_>,
    ) -> Result<Option<&mut [u8]>, Reject> {
        let Self { peers, plain, local, .. } = self;
        let peer = peers.get_mut(&source).ok_or(Reject::NoPeer)?;
        match peer.open(source, datagram, plain, &mut |message| push(batch, message, way))? {
            Opened::Nothing => Ok(None),
            Opened::Packet(packet) => {
                let range = inner::parse(packet, source, *local, udp_port)?;
                Ok(packet.get_mut(range))
            }
        }
    }

    /// Does what is due. `send` is given each message with its peer's address. Packets that were given up on the way.
    pub fn tick(&mut self, send: &mut dyn FnMut(IpAddr, Message<'_>)) -> u64 {
        // How often it has been due does not matter.
        let _ = rustix::io::read(&self.timer, &mut [0; 8]);
        if self.shared.peers_changed.swap(false, Ordering::AcqRel) {
            self.follow(send);
        }
        let again = self.shared.rekey.swap(false, Ordering::AcqRel);
        let mut status = Vec::new();
        let mut dropped = 0;
        for (address, peer) in &mut self.peers {
            let before = peer.dropped;
            peer.tick(&mut |message| send(*address, message));
            if again {
                peer.begin_handshake(true, &mut |message| send(*address, message));
            }
            dropped += peer.dropped - before;
            status.push(PeerStatus {
                address: *address,
                key: peer.key,
                established: peer.is_established(),
                last_handshake: peer.last_handshake(),
                rx_bytes: peer.rx_bytes,
                tx_bytes: peer.tx_bytes,
            });
        }
        *lock(&self.shared.status) = status;
        dropped
    }

    fn follow(&mut self, send: &mut dyn FnMut(IpAddr, Message<'_>)) {
        let wanted = lock(&self.shared.peers).clone();
        self.peers.retain(|address, peer| wanted.get(address) == Some(&peer.key));
        for (address, key) in wanted {
            if self.peers.contains_key(&address) {
                continue;
            }
            // Of an index only that sessions of one peer differ matters: peers are told apart by address.
            let index = std::collections::hash_map::RandomState::new();
            let index = std::hash::BuildHasher::hash_one(&index, address) as u32;
            let mut peer = Peer::new(&self.private_key, key, index);
            peer.begin_handshake(false, &mut |message| send(address, message));
            self.peers.insert(address, peer);
        }
    }

    /// Of messages that belong to no packet.
    pub fn control(&self, mark: u32) -> Writer {
        let mut control = Writer::EMPTY;
        control.local(self.local);
        if mark != 0 {
            control.push(libc::SOL_SOCKET, libc::SO_MARK, &mark.to_ne_bytes());
        }
        control
    }
}

/// Puts a message into the batch, to leave by the way of its flow.
pub(super) fn push(batch: &mut Batch, message: Message<'_>, way: &Way<'_>) {
    let begin = batch.bytes.len();
    batch.bytes.extend_from_slice(message.bytes);
    batch.push(begin, message.frame_bytes, &Way { hash: message.hash, ..*way });
}
