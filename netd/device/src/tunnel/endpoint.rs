//! The sockets of one kind of tunnel and one UDP port, and who takes what comes in by them.

use super::secure::Registry;
use super::send::{Sender, SenderKey};
use super::table::{Pattern, Table};
use super::{Header, Key, Kind, OptionMap, Reject, TunnelConfig, TunnelError, geneve, vxlan};
use crate::intake::Waiting;
use crate::sys;
use hive_flow::{Field, Key as FlowKey};
use hive_packet::{ETHERNET_HEADER_BYTES, VnetHeader};
use rustix::event::{EventfdFlags, epoll, eventfd};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// Datagrams that wait for us.
const RECEIVE_BUFFER_BYTES: i32 = 4 << 20;
/// Of `wake`: what there is when it is readable. Others are a socket's place.
const QUEUED: u64 = u64::MAX;
const TIMER: u64 = u64::MAX - 1;
/// Sockets, the queue and the timer: more than an endpoint has.
const EVENTS: usize = 64;
/// Frames that wait for another port than the one that read them: two bursts of the largest datagrams that the kernel puts together.
const QUEUE_FRAMES: usize = 4096;

/// A port, as its endpoint knows it.
#[derive(Debug)]
pub(super) struct Member {
    pub pattern: Pattern,
    /// The bridge's mapping; changes while packets come in.
    pub options: RwLock<OptionMap>,
    queue: Mutex<VecDeque<Waiting>>,
    /// Readable when the queue has something, and, of the leader, when a socket has.
    pub wake: OwnedFd,
    queued: OwnedFd,
    /// This one reads the sockets.
    pub leads: AtomicBool,
}

/// What changes with ports; read for each burst.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    pub table: Table<Arc<Member>>,
    pub sockets: Vec<Arc<OwnedFd>>,
}

/// Of all kinds.
pub(super) type Senders = BTreeMap<SenderKey, Arc<Sender>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub kind: Kind,
    udp_port: u16,
    members: RwLock<Arc<Members>>,
    senders: Mutex<Senders>,
    rejected: [AtomicU64; Reject::ALL.len()],
    pub secured: Arc<Registry>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What there is for a port.
#[derive(Debug, Default)]
pub(super) struct Ready {
    /// Places among [`Members::sockets`].
    pub sockets: Vec<usize>,
    pub timer: bool,
}

impl Member {
    fn new(config: &TunnelConfig) -> io::Result<Self> {
        let wake = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let queued = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&wake, &queued, epoll::EventData::new_u64(QUEUED), epoll::EventFlags::IN)?;
        // What is encrypted has no key that can be seen.
        let pattern = match &config.security {
            Some(security) => {
                Pattern { key: Key::Flow, remote: config.remote, local: Some(super::Endpoint::Address(security.local)) }
            }
            None => Pattern { key: config.key, remote: config.remote, local: config.local },
        };
        Ok(Self {
            pattern,
            options: RwLock::new(config.options.clone()),
            queue: Mutex::default(),
            wake,
            queued,
            leads: AtomicBool::new(false),
        })
    }

    /// False if there is no room.
    fn push(&self, frame: Waiting) -> bool {
        let mut queue = lock(&self.queue);
        if queue.len() >= QUEUE_FRAMES {
            return false;
        }
        if queue.is_empty() {
            // Cannot fail: its count is 0.
            let _ = rustix::io::write(&self.queued, &1u64.to_ne_bytes());
        }
        queue.push_back(frame);
        true
    }

    /// Everything that others have read for it.
    pub fn take_queue(&self) -> VecDeque<Waiting> {
        let mut queue = lock(&self.queue);
        if !queue.is_empty() {
            let _ = rustix::io::read(&self.queued, &mut [0; 8]);
        }
        std::mem::take(&mut queue)
    }

    /// Adds what says when something is due.
    pub fn watch(&self, timer: &OwnedFd) -> io::Result<()> {
        Ok(epoll::add(&self.wake, timer, epoll::EventData::new_u64(TIMER), epoll::EventFlags::IN)?)
    }

    /// Looks, without waiting.
    pub fn ready(&self) -> Ready {
        let mut ready = Ready::default();
        let mut events = [MaybeUninit::<epoll::Event>::uninit(); EVENTS];
        let none = rustix::event::Timespec::default();
        // It does not wait, so nothing interrupts it.
        let Ok((events, _)) = epoll::wait(&self.wake, &mut events[..], Some(&none)) else { return ready };
        for event in events {
            match event.data.u64() {
                QUEUED => {}
                TIMER => ready.timer = true,
                place => ready.sockets.extend(usize::try_from(place)),
            }
        }
        ready
    }

    /// Fails only without memory; then nothing wakes the port but what polls it anyway.
    fn lead(&self, sockets: &[Arc<OwnedFd>]) -> io::Result<()> {
        self.leads.store(true, Ordering::Release);
        for (socket, place) in sockets.iter().zip(0..) {
            match epoll::add(&self.wake, socket, epoll::EventData::new_u64(place), epoll::EventFlags::IN) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn bind(v6: bool, port: u16) -> io::Result<OwnedFd> {
    let socket = sys::socket(if v6 { libc::AF_INET6 } else { libc::AF_INET }, libc::SOCK_DGRAM)?;
    let address = if v6 {
        sys::set_option(&socket, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, &1)?;
        SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))
    } else {
        SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))
    };
    take_input(&socket, v6)?;
    rustix::net::bind(&socket, &address)?;
    Ok(socket)
}

/// Has a socket say where a datagram was sent to, and hand over many at once.
pub(super) fn take_input(socket: &OwnedFd, v6: bool) -> io::Result<()> {
    let option = |level, name, value: i32| sys::set_option(socket, level, name, &value);
    if v6 {
        option(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
        // Tunnels may do without checksums over IPv6 too (RFC 6935).
        option(libc::SOL_UDP, UDP_NO_CHECK6_RX, 1)?;
    } else {
        option(libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
    }
    // Kernels before 5.0 hand datagrams over one by one.
    let _ = option(libc::SOL_UDP, libc::UDP_GRO, 1);
    let forced = option(libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
    forced.or_else(|_| option(libc::SOL_SOCKET, libc::SO_RCVBUF, RECEIVE_BUFFER_BYTES))
}

const UDP_NO_CHECK6_RX: i32 = 102;

/// Takes a tunnel's datagram apart.
pub(super) fn parse(kind: Kind, datagram: &[u8]) -> Result<Header<'_>, Reject> {
    let header = match kind {
        Kind::Geneve => geneve::parse(datagram),
        Kind::Vxlan => vxlan::parse(datagram),
        Kind::Wireguard => Err(Reject::NotWireguard),
    }?;
    if datagram.len() < header.frame_at + ETHERNET_HEADER_BYTES {
        return Err(Reject::Short);
    }
    Ok(header)
}

fn addresses(remote: IpAddr, local: IpAddr) -> Result<FlowKey, Reject> {
    let mut key = FlowKey::ZERO;
    match (remote, local) {
        (IpAddr::V4(remote), IpAddr::V4(local)) => {
            key.set(Field::TunSrc, remote.to_bits().into());
            key.set(Field::TunDst, local.to_bits().into());
        }
        (IpAddr::V6(remote), IpAddr::V6(local)) => {
            key.set(Field::TunIpv6Src, remote.to_bits());
            key.set(Field::TunIpv6Dst, local.to_bits());
        }
        _ => return Err(Reject::NoPort),
    }
    Ok(key)
}

/// Who sent what was handed over with these fields.
pub(super) fn source(key: &FlowKey) -> IpAddr {
    match key.get(Field::TunIpv6Src) {
        0 => IpAddr::V4((key.get(Field::TunSrc) as u32).into()),
        source => IpAddr::V6(source.into()),
    }
}

/// What is known of a frame beside its bytes.
pub(super) fn metadata(
    header: &Header<'_>,
    options: &RwLock<OptionMap>,
    remote: IpAddr,
    local: IpAddr,
) -> Result<FlowKey, Reject> {
    let mut key = addresses(remote, local)?;
    key.set(Field::TunId, header.id.into());
    if !header.options.is_empty() {
        options.read().unwrap_or_else(PoisonError::into_inner).apply(header.options, &mut key)?;
    }
    Ok(key)
}

impl Endpoint {
    pub fn new(kind: Kind, udp_port: u16, secured: Arc<Registry>) -> Self {
        let (members, senders) = (RwLock::default(), Mutex::default());
        Self { kind, udp_port, members, senders, rejected: Default::default(), secured }
    }

    pub fn members(&self) -> Arc<Members> {
        Arc::clone(&self.members.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn join(&self, config: &TunnelConfig) -> Result<Arc<Member>, TunnelError> {
        let failed = |source| TunnelError::Socket { port: self.udp_port, source };
        let member = Arc::new(Member::new(config).map_err(failed)?);
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Members::clone(&members);
        if next.sockets.is_empty() {
            next.sockets.push(Arc::new(bind(false, self.udp_port).map_err(failed)?));
            match bind(true, self.udp_port) {
                Ok(socket) => next.sockets.push(Arc::new(socket)),
                // A host without IPv6 has tunnels over IPv4.
                Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
                Err(error) => return Err(failed(error)),
            }
            // A WireGuard peer sends to where it last heard from.
            let senders = lock(&self.senders);
            let answered = senders.iter().filter(|(key, _)| key.answered).flat_map(|(_, sender)| &sender.sockets);
            next.sockets.extend(answered.cloned());
        }
        if !next.table.insert(member.pattern, Arc::clone(&member)) {
            return Err(TunnelError::Duplicate);
        }
        if !next.table.ports().any(|member| member.leads.load(Ordering::Acquire)) {
            member.lead(&next.sockets).map_err(failed)?;
        }
        *members = Arc::new(next);
        Ok(member)
    }

    pub fn leave(&self, member: &Member) {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = Members::clone(&members);
        next.table.remove(&member.pattern);
        if member.leads.load(Ordering::Acquire) {
            // Who cannot be woken is passed over; whoever is the last one polls.
            let _ = next.table.ports().find(|next_one| next_one.lead(&next.sockets).is_ok());
        }
        *members = Arc::new(next);
    }

    /// Opens what is not open yet, in the network namespace of this thread.
    pub fn senders(&self) -> Result<Senders, TunnelError> {
        let mut senders = lock(&self.senders);
        for key in SenderKey::all(self.kind == Kind::Wireguard) {
            if senders.contains_key(&key) {
                continue;
            }
            match Sender::open(key) {
                Ok(sender) => drop(senders.insert(key, Arc::new(sender))),
                Err(error) if key.v6 && error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
                Err(source) => return Err(TunnelError::Socket { port: self.udp_port, source }),
            }
        }
        Ok(senders.clone())
    }

    pub fn destination(&self, remote: IpAddr) -> SocketAddr {
        (remote, self.udp_port).into()
    }

    pub fn reject(&self, reason: Reject) {
        if let Some(count) = self.rejected.get(reason as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn rejected(&self, reason: Reject) -> u64 {
        self.rejected.get(reason as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// The port of a datagram, where the frame in it begins, and what is known of it.
    pub fn classify<'a>(
        &self,
        members: &'a Members,
        secured: &BTreeSet<IpAddr>,
        datagram: &[u8],
        remote: IpAddr,
        local: IpAddr,
    ) -> Result<(&'a Arc<Member>, usize, FlowKey), Reject> {
        if secured.contains(&remote) {
            return Err(Reject::Clear);
        }
        let header = parse(self.kind, datagram)?;
        let member = members.table.find(remote, local, header.id).ok_or(Reject::NoPort)?;
        let key = metadata(&header, &member.options, remote, local)?;
        Ok((member, header.frame_at, key))
    }

    /// The port of an encrypted message, and whence it comes.
    pub fn addressee<'a>(
        &self,
        members: &'a Members,
        remote: IpAddr,
        local: IpAddr,
    ) -> Result<(&'a Arc<Member>, FlowKey), Reject> {
        let member = members.table.find(remote, local, 0).ok_or(Reject::NoPort)?;
        Ok((member, addresses(remote, local)?))
    }

    /// Hands a frame to another port than the one that read it.
    pub fn pass_on(&self, member: &Member, frame: &[u8], metadata: FlowKey) {
        let waiting = Waiting { header: VnetHeader::default(), frame: frame.to_vec(), metadata, given: 0 };
        if !member.push(waiting) {
            self.reject(Reject::QueueFull);
        }
    }
}
