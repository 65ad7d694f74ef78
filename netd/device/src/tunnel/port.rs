//! A tunnel port as a device.

use super::endpoint::{Endpoint, Member, Senders};
use super::send::{Batch, SenderKey, Way, flow_hash};
use super::{Kind, OptionMap, Reject, TunnelConfig, TunnelError, geneve, vxlan};
use crate::control::{self, Writer};
use crate::intake::Intake;
use crate::mmsg::{HEADROOM_BYTES, with_receiver};
use crate::{Device, Received, Sent, Status};
use hive_packet::offload::complete_checksum;
use hive_packet::segment::Segmenter;
use hive_program::Tunnel;
use std::io;
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
    /// Whose turn it is to be read first.
    turn: usize,
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
        Ok(Self {
            endpoint,
            member,
            config,
            intake: Intake::default(),
            batch: Batch::default(),
            senders,
            whole: Vec::new(),
            datagrams_expected: 1,
            turn: 0,
        })
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
                    match endpoint.classify(&members, datagram, source.ip(), local) {
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

    fn header(kind: Kind, tunnel: &Tunnel, out: &mut Vec<u8>) -> bool {
        let id = tunnel.id as u32 & 0xff_ffff;
        match kind {
            Kind::Geneve => geneve::write(id, &tunnel.options, out),
            Kind::Vxlan => {
                vxlan::write(id, out);
                true
            }
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
        if let Some(local) = tunnel.local {
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
        let v6 = tunnel.remote.is_ipv6();
        // The kernel takes segments only with checksums; a receiver has to take checksums anyway.
        let checksum = v6 || self.config.checksum || frame.header.is_gso();
        let sender = Arc::clone(self.senders.get(&SenderKey { v6, df: tunnel.df, checksum })?);
        let control = self.control(tunnel);
        let hash = flow_hash(frame.pieces.first().copied().unwrap_or(&[]));
        let way =
            Way { sender: &sender, checksum, hash, to: self.endpoint.destination(tunnel.remote), control: &control };
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
}

impl Device for TunnelPort {
    fn wake_fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.member.wake.as_fd())
    }

    fn receive(&mut self, frames_max: usize, take: &mut dyn FnMut(Received<'_>)) -> io::Result<usize> {
        let mut budget = frames_max;
        if self.intake.is_empty() {
            self.member.take_queue().into_iter().for_each(|frame| self.intake.wait(frame));
        }
        self.intake.give(&mut budget, take);
        let mut seen = 0;
        if self.member.leads.load(Ordering::Acquire) {
            let members = self.endpoint.members();
            let sockets = &members.sockets;
            // One that always has something must not keep the other from its turn.
            self.turn = self.turn.wrapping_add(1);
            for socket in sockets.iter().cycle().skip(self.turn % sockets.len().max(1)).take(sockets.len()) {
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
        // Datagrams for others, and for nobody: there may be more.
        Ok(if seen >= frames_max { frames_max } else { frames_max - budget })
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
