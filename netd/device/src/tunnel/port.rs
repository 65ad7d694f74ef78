//! A tunnel port as a device.

use super::endpoint::{Endpoint, Member, Members, Senders, metadata, parse, source};
use super::secure::{Outgoing, Secure, SecurityHandle, push};
use super::send::{Batch, Sender, SenderKey, Way, flow_hash};
use super::{Key, Kind, OptionMap, Reject, TunnelConfig, TunnelError, geneve, vxlan};
use crate::control::{self, Writer};
use crate::intake::Intake;
use crate::mmsg::{HEADROOM_BYTES, with_receiver};
use crate::{Device, Received, Sent, Status};
use hive_packet::offload::complete_checksum;
use hive_packet::segment::Segmenter;
use hive_program::Tunnel;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// What a tunnel reports as its MTU: the largest frame that its datagrams could hold. (The path has its own limit.)
const MTU: u32 = 65_000;
const DEFAULT_TTL: u8 = 64;

/// See [`super::Tunnels::add`].
#[derive(Debug)]
pub struct TunnelPort {
    endpoint: Arc<Endpoint>,
    member: Arc<Member>,
    config: TunnelConfig,
    intake: Intake,
    batch: Batch,
    senders: Senders,
    /// Frames of a large one, put together.
    whole: Vec<u8>,
    /// Datagrams in a message, as of late: for how many messages to ask.
    datagrams_expected: usize,
    secure: Option<Secure>,
}

impl Drop for TunnelPort {
    fn drop(&mut self) {
        self.endpoint.leave(&self.member);
    }
}

/// Changes the mapping of a port's options while a worker has the port.
#[derive(Clone, Debug)]
pub struct OptionsHandle(Arc<Member>);

impl OptionsHandle {
    pub fn set(&self, options: OptionMap) {
        *self.0.options.write().unwrap_or_else(PoisonError::into_inner) = options;
    }
}

impl TunnelPort {
    pub(super) fn open(endpoint: Arc<Endpoint>, config: TunnelConfig) -> Result<Self, TunnelError> {
        let senders = endpoint.senders()?;
        let member = endpoint.join(&config)?;
        let mut port = Self {
            endpoint,
            member,
            config,
            intake: Intake::default(),
            batch: Batch::default(),
            senders,
            whole: Vec::new(),
            datagrams_expected: 1,
            secure: None,
        };
        if let Some(security) = &port.config.security {
            let secure = Secure::new(security, &port.endpoint.secured).and_then(|secure| {
                port.member.watch(&secure.timer)?;
                Ok(secure)
            });
            let failed = |source| TunnelError::Socket { port: security.udp_port, source };
            port.secure = Some(secure.map_err(failed)?);
        }
        Ok(port)
    }

    /// Of an encrypted port.
    pub fn security(&self) -> Option<SecurityHandle> {
        self.secure.as_ref().map(Secure::handle)
    }

    pub fn options(&self) -> OptionsHandle {
        OptionsHandle(Arc::clone(&self.member))
    }

    /// Says how many datagrams there were, whosever they are.
    fn receive_batch(
        &mut self,
        socket: BorrowedFd<'_>,
        budget: &mut usize,
        take: &mut dyn FnMut(Received<'_>),
    ) -> io::Result<usize> {
        let endpoint = Arc::clone(&self.endpoint);
        let members = endpoint.members();
        let secured = endpoint.secured.all();
        with_receiver(|receiver| {
            let count = receiver.receive(socket, (*budget / self.datagrams_expected).max(1), 0)?;
            let mut datagrams = 0usize;
            for index in 0..count {
                let message = receiver.message(index, 0);
                let control = control::Received::parse(message.control);
                let (Some(source), Some(local), false) = (message.source, control.local, message.cut) else {
                    endpoint.reject(Reject::Cut);
                    continue;
                };
                let bytes = message.slot.get_mut(HEADROOM_BYTES..).unwrap_or(&mut []);
                if bytes.is_empty() {
                    endpoint.reject(Reject::Short);
                }
                let size = control.segment_bytes.unwrap_or(bytes.len()).max(1);
                for datagram in bytes.chunks_mut(size) {
                    datagrams += 1;
                    if self.secure.is_some() {
                        self.take_message(&members, datagram, source.ip(), local, budget, take);
                        continue;
                    }
                    match endpoint.classify(&members, &secured, datagram, source.ip(), local) {
                        Ok((member, frame_at, key)) if Arc::ptr_eq(member, &self.member) => {
                            self.intake.offer_segment(&mut datagram[frame_at..], &key, budget, take);
                        }
                        Ok((member, frame_at, key)) => endpoint.pass_on(member, &datagram[frame_at..], key),
                        Err(reason) => endpoint.reject(reason),
                    }
                }
            }
            self.intake.settle(budget, take);
            self.datagrams_expected = datagrams.div_ceil(count.max(1)).max(1);
            Ok(datagrams.max(count))
        })
    }

    /// Gives what is in an encrypted message, or hands it to the port that it is for.
    fn take_message(
        &mut self,
        members: &Members,
        datagram: &[u8],
        remote: IpAddr,
        local: IpAddr,
        budget: &mut usize,
        take: &mut dyn FnMut(Received<'_>),
    ) {
        match self.endpoint.addressee(members, remote, local) {
            Ok((member, _)) if Arc::ptr_eq(member, &self.member) => self.open_message(datagram, remote, budget, take),
            Ok((member, key)) => self.endpoint.pass_on(member, datagram, key),
            Err(reason) => self.endpoint.reject(reason),
        }
    }

    fn open_message(
        &mut self,
        datagram: &[u8],
        remote: IpAddr,
        budget: &mut usize,
        take: &mut dyn FnMut(Received<'_>),
    ) {
        let Self { secure: Some(secure), config, member, endpoint, batch, intake, senders, .. } = self else { return };
        let Some(sender) = own_sender(senders, remote) else { return };
        let control = secure.control(config.mark);
        let way = Way { sender, checksum: true, hash: 0, to: endpoint.destination(remote), control: &control };
        let here = secure.local;
        let opened = secure.open(remote, datagram, config.udp_port, batch, &way).and_then(|datagram| {
            let Some(datagram) = datagram else { return Ok(()) };
            let header = parse(config.kind, datagram)?;
            if let Key::Id(id) = config.key
                && id != header.id
            {
                return Err(Reject::NoPort);
            }
            let key = metadata(&header, &member.options, remote, here)?;
            let frame_at = header.frame_at;
            intake.offer_segment(datagram.get_mut(frame_at..).unwrap_or(&mut []), &key, budget, take);
            Ok(())
        });
        if let Err(reason) = opened {
            secure.reject(endpoint, reason);
        }
    }

    /// What the protocol wants done, handshakes and keepalives.
    fn tick(&mut self) {
        let Self { secure: Some(secure), config, endpoint, batch, intake, senders, .. } = self else { return };
        let control = secure.control(config.mark);
        let dropped = secure.tick(&mut |address, message| {
            if let Some(sender) = own_sender(senders, address) {
                let to = endpoint.destination(address);
                push(batch, message, &Way { sender, checksum: true, hash: 0, to, control: &control });
            }
        });
        intake.counters.tx_dropped += dropped;
    }

    /// What other ports have read for this one.
    fn open_queued(&mut self, budget: &mut usize, take: &mut dyn FnMut(Received<'_>)) {
        let queue = match &self.secure {
            Some(secure) if !secure.sealed.is_empty() => return self.open_sealed(budget, take),
            _ if self.intake.is_empty() => self.member.take_queue(),
            _ => return,
        };
        match &mut self.secure {
            Some(secure) => {
                secure.sealed = queue;
                self.open_sealed(budget, take);
            }
            None => queue.into_iter().for_each(|frame| self.intake.wait(frame)),
        }
    }

    fn open_sealed(&mut self, budget: &mut usize, take: &mut dyn FnMut(Received<'_>)) {
        // Work for what is not given counts too.
        for _ in 0..*budget {
            let Some(message) = self.secure.as_mut().and_then(|secure| secure.sealed.pop_front()) else { break };
            self.open_message(&message.frame, source(&message.metadata), budget, take);
        }
        self.intake.settle(budget, take);
    }

    fn header(kind: Kind, tunnel: &Tunnel, out: &mut Vec<u8>) -> bool {
        let id = tunnel.id as u32 & 0xff_ffff;
        match kind {
            Kind::Geneve => geneve::write(id, &tunnel.options, out),
            Kind::Vxlan => {
                vxlan::write(id, out);
                true
            }
            Kind::Wireguard => false,
        }
    }

    fn control(&self, tunnel: &Tunnel) -> Writer {
        let mut control = Writer::EMPTY;
        let ttl = if tunnel.ttl == 0 { DEFAULT_TTL } else { tunnel.ttl };
        let number = |value: u8| i32::from(value).to_ne_bytes();
        if tunnel.remote.is_ipv6() {
            control.push(libc::IPPROTO_IPV6, libc::IPV6_TCLASS, &number(tunnel.tos));
            control.push(libc::IPPROTO_IPV6, libc::IPV6_HOPLIMIT, &number(ttl));
        } else {
            control.push(libc::IPPROTO_IP, libc::IP_TOS, &number(tunnel.tos));
            control.push(libc::IPPROTO_IP, libc::IP_TTL, &number(ttl));
        }
        if let Some(local) = self.secure.as_ref().map(|secure| secure.local).or(tunnel.local) {
            control.local(local);
        }
        if self.config.mark != 0 {
            control.push(libc::SOL_SOCKET, libc::SO_MARK, &self.config.mark.to_ne_bytes());
        }
        control
    }

    /// None: it cannot be sent.
    fn encapsulate(&mut self, frame: &Sent<'_>) -> Option<()> {
        let tunnel = frame.tunnel?;
        if tunnel.remote.is_unspecified()
            || tunnel.local.is_some_and(|local| local.is_ipv4() != tunnel.remote.is_ipv4())
        {
            return None;
        }
        if self.secure.is_none() && self.endpoint.secured.contains(tunnel.remote) {
            return None;
        }
        let v6 = tunnel.remote.is_ipv6();
        // The kernel takes segments only with checksums; a receiver has to take checksums anyway.
        let answered = self.secure.is_some();
        let checksum = v6 || self.config.checksum || frame.header.is_gso() || answered;
        let sender = Arc::clone(self.senders.get(&SenderKey { v6, df: tunnel.df, checksum, answered })?);
        let control = self.control(tunnel);
        let hash = flow_hash(frame.pieces.first().copied().unwrap_or(&[]));
        let way =
            Way { sender: &sender, checksum, hash, to: self.endpoint.destination(tunnel.remote), control: &control };
        if answered {
            return self.encrypt(frame, tunnel, &way);
        }
        if frame.header.is_gso() {
            self.whole.clear();
            frame.pieces.iter().for_each(|piece| self.whole.extend_from_slice(piece));
            let segmenter = Segmenter::new(&frame.header, &self.whole)?;
            for index in 0..segmenter.count() {
                let begin = self.batch.bytes.len();
                if !Self::header(self.config.kind, tunnel, &mut self.batch.bytes) {
                    return None;
                }
                let frame_at = self.batch.bytes.len();
                segmenter.append(index, &mut self.batch.bytes);
                self.batch.push(begin, self.batch.bytes.len() - frame_at, &way);
            }
            return Some(());
        }
        let begin = self.batch.bytes.len();
        if !Self::header(self.config.kind, tunnel, &mut self.batch.bytes) {
            return None;
        }
        let frame_at = self.batch.bytes.len();
        frame.pieces.iter().for_each(|piece| self.batch.bytes.extend_from_slice(piece));
        let inner = self.batch.bytes.get_mut(frame_at..).unwrap_or(&mut []);
        if frame.header.needs_checksum() && !complete_checksum(inner, &frame.header) {
            self.batch.bytes.truncate(begin);
            return None;
        }
        self.batch.push(begin, self.batch.bytes.len() - frame_at, &way);
        Some(())
    }

    /// As [`Self::encapsulate`], each datagram within a message. None if all of the frame is dropped.
    fn encrypt(&mut self, frame: &Sent<'_>, tunnel: &Tunnel, way: &Way<'_>) -> Option<()> {
        let Self { secure: Some(secure), config, batch, whole, intake, .. } = self else { return None };
        let outgoing = Outgoing {
            remote: tunnel.remote,
            tos: tunnel.tos,
            ttl: tunnel.ttl,
            df: tunnel.df,
            hash: way.hash,
            udp_port: config.udp_port,
        };
        if frame.header.is_gso() {
            whole.clear();
            frame.pieces.iter().for_each(|piece| whole.extend_from_slice(piece));
            let segmenter = Segmenter::new(&frame.header, whole)?;
            for index in 0..segmenter.count() {
                let packet = secure.begin();
                if !Self::header(config.kind, tunnel, packet) {
                    return None;
                }
                let frame_at = packet.len();
                segmenter.append(index, packet);
                let frame_bytes = packet.len() - frame_at;
                if !secure.finish(frame_bytes, &outgoing, batch, way) {
                    intake.counters.tx_dropped += 1;
                }
            }
            return Some(());
        }
        let packet = secure.begin();
        if !Self::header(config.kind, tunnel, packet) {
            return None;
        }
        let frame_at = packet.len();
        frame.pieces.iter().for_each(|piece| packet.extend_from_slice(piece));
        let inner = packet.get_mut(frame_at..).unwrap_or(&mut []);
        if frame.header.needs_checksum() && !complete_checksum(inner, &frame.header) {
            return None;
        }
        let frame_bytes = packet.len() - frame_at;
        secure.finish(frame_bytes, &outgoing, batch, way).then_some(())
    }
}

/// Of messages that belong to no packet. They are short.
fn own_sender(senders: &Senders, remote: IpAddr) -> Option<&Arc<Sender>> {
    senders.get(&SenderKey { v6: remote.is_ipv6(), df: false, checksum: true, answered: true })
}

impl Device for TunnelPort {
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.member.wake.as_fd())
    }

    fn receive(&mut self, frames_max: usize, take: &mut dyn FnMut(Received<'_>)) -> io::Result<usize> {
        let mut budget = frames_max;
        self.open_queued(&mut budget, take);
        self.intake.give(&mut budget, take);
        let ready = self.member.ready();
        if ready.timer {
            self.tick();
        }
        let mut seen = 0;
        if self.member.leads.load(Ordering::Acquire) {
            let members = self.endpoint.members();
            // In the kernel's order, who was read goes to the end.
            for socket in ready.sockets.iter().filter_map(|place| members.sockets.get(*place)) {
                while budget > 0 && seen < frames_max {
                    match self.receive_batch(socket.as_fd(), &mut budget, take) {
                        Ok(datagrams) => seen += datagrams,
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        // Nothing that a socket says of itself ends a tunnel.
                        Err(_) => break,
                    }
                }
            }
        }
        let sealed = self.secure.as_ref().is_some_and(|secure| !secure.sealed.is_empty());
        if self.secure.is_some() {
            // Answers of the protocol.
            self.flush();
        }
        // Datagrams for others, and for nobody: there may be more.
        Ok(if seen >= frames_max || sealed { frames_max } else { frames_max - budget })
    }

    fn send(&mut self, frame: Sent<'_>) -> bool {
        let sent = self.encapsulate(&frame).is_some();
        if !sent {
            self.intake.counters.tx_dropped += 1;
        }
        if self.batch.is_full() {
            self.flush();
        }
        sent
    }

    fn flush(&mut self) {
        let sum = self.batch.flush();
        let counters = &mut self.intake.counters;
        counters.tx_packets += sum.frames;
        counters.tx_bytes += sum.bytes;
        counters.tx_dropped += sum.dropped;
    }

    fn status(&self) -> Status {
        let counters = self.intake.counters;
        Status { mac: None, mtu: Some(MTU), up: true, link: true, ifindex: None, speed_mbps: 0, counters }
    }
}
