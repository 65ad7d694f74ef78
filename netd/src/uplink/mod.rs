//! The way out: one TAP to the host's network stack, with addresses translated in both directions.
//!
//! The host reaches guests at their own addresses; they see its traffic come from their gateway. Guests' traffic to the outside
//! leaves from the uplink's address. Traffic between segments does not pass.

pub mod nat;
pub mod tap;

use crate::config::UplinkConfig;
use crate::counters::DropReason;
use crate::error::DaemonError;
use crate::model::Segment;
use hive_packet::arp::{Arp, Operation};
use hive_packet::ipv4::{self, Ipv4Header};
use hive_packet::{ETHERNET_HEADER_BYTES, Frame, MacAddr, Network, build, checksum, protocol, put};
use nat::{Key, NatTable, Side};
use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use tap::Tap;

/// MAC of the host's end of the TAP and of the uplink's: locally administered.
const HOST_MAC: MacAddr = MacAddr([0x02, 0x68, 0x69, 0x76, 0x65, 0x01]);
const UPLINK_MAC: MacAddr = MacAddr([0x02, 0x68, 0x69, 0x76, 0x65, 0x02]);

/// ICMP errors carry the start of the packet they are about (RFC 792): unreachable, time exceeded, parameter problem.
const ICMP_ERRORS: [u8; 3] = [3, 11, 12];
const ICMP_HEADER_BYTES: usize = 8;
const ICMP_UNREACHABLE: u8 = 3;
const ICMP_FRAGMENTATION_NEEDED: u8 = 4;

/// A packet from the host for a guest of an uplink segment.
#[derive(Debug)]
pub struct ForGuest {
    pub guest: Ipv4Addr,
    /// The IPv4 packet, to be put behind an Ethernet header.
    pub packet: Vec<u8>,
}

#[derive(Debug)]
pub struct Uplink {
    tap: Tap,
    address: Ipv4Addr,
    mtu: u16,
    nat: NatTable,
    segments: Vec<Arc<Segment>>,
}

impl AsRawFd for Uplink {
    fn as_raw_fd(&self) -> RawFd {
        self.tap.as_raw_fd()
    }
}

impl Uplink {
    /// Creates the TAP and gives the host's end its address.
    pub fn open(config: &UplinkConfig) -> Result<Self, DaemonError> {
        let tap = Tap::create(&config.name)?;
        tap.configure(HOST_MAC, config.host_address, config.prefix_len, config.mtu)?;
        Ok(Self { tap, address: config.address, mtu: config.mtu, nat: NatTable::default(), segments: Vec::new() })
    }

    /// Adds a segment, or replaces the one of the same name, and routes its subnet to the uplink.
    pub fn put_segment(&mut self, segment: Arc<Segment>) {
        self.delete_segment(&segment.spec.segment_id);
        if let Err(error) = self.tap.add_route(segment.spec.network, segment.mask()) {
            tracing::error!(segment = %segment.spec.segment_id, %error, "host does not reach the segment");
        }
        self.segments.push(segment);
    }

    pub fn delete_segment(&mut self, segment_id: &str) {
        if let Some(at) = self.segments.iter().position(|segment| segment.spec.segment_id == segment_id) {
            let segment = self.segments.swap_remove(at);
            if let Err(error) = self.tap.delete_route(segment.spec.network, segment.mask()) {
                tracing::warn!(segment = %segment_id, %error, "route to the segment was not removed");
            }
        }
    }

    fn segment_of(&self, address: Ipv4Addr) -> Option<&Arc<Segment>> {
        self.segments.iter().find(|segment| segment.contains(address))
    }

    /// Whether a packet from a guest to its own gateway belongs to a conversation that the host began.
    pub fn is_reply_to_host(&self, packet: &[u8], now_s: u32) -> bool {
        let Some(header) = Ipv4Header::parse(packet, packet.len()) else { return false };
        let tuple = if let Some((_, quoted)) = quoted_by_icmp_error(packet, &header) {
            quoted.reversed()
        } else if let Some(tuple) = ipv4::Tuple::parse(packet, &header) {
            tuple
        } else {
            return false;
        };
        self.nat.lookup(&Key { side: Side::Guest, tuple }, now_s).is_some()
    }

    /// Sends a guest's IPv4 packet out. `Err(Some(reply))` is an ICMP error for the guest.
    pub fn send(&mut self, packet: &mut [u8], gateway: Ipv4Addr, now_s: u32) -> Result<(), Refusal> {
        let header = Ipv4Header::parse(packet, packet.len()).ok_or(DropReason::Malformed)?;
        let Some(packet) = packet.get_mut(..header.total_bytes) else { return Err(DropReason::Malformed.into()) };
        let destination = header.dst;
        if destination != gateway && self.segment_of(destination).is_some() || destination.is_multicast() {
            return Err(DropReason::NoRoute.into());
        }
        if packet.len() > usize::from(self.mtu) {
            let reply = too_big(packet, &header, gateway, self.mtu);
            return Err(Refusal { reason: DropReason::Oversized, reply });
        }
        let address = self.address;
        self.translate(packet, &header, Side::Guest, now_s, |tuple| (tuple.dst != gateway).then_some(address))?;
        if !ipv4::decrement_ttl(packet) {
            return Err(DropReason::TtlExceeded.into());
        }
        let frame = build::ethernet(HOST_MAC, UPLINK_MAC, packet);
        if self.tap.write(&frame) { Ok(()) } else { Err(DropReason::UplinkBusy.into()) }
    }

    /// The host's next frame. None when there is none now; otherwise a packet for a guest, or nothing when the frame was answered
    /// here or dropped.
    pub fn receive(&mut self, now_s: u32) -> Option<Result<Option<ForGuest>, DropReason>> {
        let mut buffer = [0; tap::MAX_FRAME_BYTES];
        let length = self.tap.read(&mut buffer)?;
        Some(self.received(&buffer[..length], now_s))
    }

    fn received(&mut self, frame: &[u8], now_s: u32) -> Result<Option<ForGuest>, DropReason> {
        let parsed = Frame::parse(frame, frame.len()).map_err(|_| DropReason::Malformed)?;
        match parsed.network {
            Network::Arp(arp) => {
                self.answer_arp(&arp);
                Ok(None)
            }
            Network::Ipv4(header) if parsed.dst == UPLINK_MAC => {
                let start = ETHERNET_HEADER_BYTES;
                let mut packet = frame.get(start..start + header.total_bytes).ok_or(DropReason::Malformed)?.to_vec();
                let target = self.segment_of(header.dst).cloned();
                if self.segment_of(header.src).is_some() {
                    return Err(DropReason::NoRoute);
                }
                let segment_gateway = target.as_ref().map(|segment| segment.spec.gateway);
                self.translate(&mut packet, &header, Side::Uplink, now_s, |_| segment_gateway)?;
                if !ipv4::decrement_ttl(&mut packet) {
                    return Err(DropReason::TtlExceeded);
                }
                let translated = Ipv4Header::parse(&packet, packet.len()).ok_or(DropReason::Malformed)?;
                let segment = self.segment_of(translated.dst).ok_or(DropReason::NoRoute)?;
                if packet.len() > usize::from(segment.spec.mtu) {
                    let limit = segment.spec.mtu;
                    if let Some(error) = too_big(&frame[start..], &header, self.address, limit) {
                        self.tap.write(&build::ethernet(HOST_MAC, UPLINK_MAC, &error));
                    }
                    return Err(DropReason::Oversized);
                }
                Ok(Some(ForGuest { guest: translated.dst, packet }))
            }
            // The host's own multicast, router solicitations and the like.
            _ => Err(DropReason::NoRoute),
        }
    }

    fn answer_arp(&self, arp: &Arp) {
        let ours = arp.target_ip == self.address || self.segment_of(arp.target_ip).is_some();
        if arp.operation == Operation::Request && ours {
            self.tap.write(&arp.answered_by(UPLINK_MAC).to_frame(arp.sender_mac));
        }
    }

    /// Translates a packet in place: by its flow, or by a new one whose source becomes what `new_source` says.
    fn translate(
        &mut self,
        packet: &mut [u8],
        header: &Ipv4Header,
        side: Side,
        now_s: u32,
        new_source: impl FnOnce(&ipv4::Tuple) -> Option<Ipv4Addr>,
    ) -> Result<(), DropReason> {
        if let Some((quoted_header, quoted)) = quoted_by_icmp_error(packet, header) {
            let key = Key { side, tuple: quoted.reversed() };
            let to = self.nat.lookup(&key, now_s).ok_or(DropReason::NatNoFlow)?;
            return if rewrite_icmp_error(packet, header, &quoted_header, &quoted, &to) {
                Ok(())
            } else {
                Err(DropReason::Malformed)
            };
        }
        if !header.whole {
            return Err(DropReason::Fragment);
        }
        let tuple = ipv4::Tuple::parse(packet, header).ok_or(DropReason::NatNoFlow)?;
        let flags = ipv4::tcp_flags(packet, header);
        let key = Key { side, tuple };
        let to = match self.nat.follow(&key, flags, now_s) {
            Some(to) => to,
            None => {
                let source = new_source(&tuple).ok_or(DropReason::NatNoFlow)?;
                self.nat.open(&key, source, flags, now_s).ok_or(DropReason::NatFull)?
            }
        };
        if ipv4::rewrite(packet, header, &tuple, &to) { Ok(()) } else { Err(DropReason::Malformed) }
    }

    /// Forgets flows that timed out; called about once a second.
    pub fn expire(&mut self, now_s: u32) {
        self.nat.expire(now_s);
    }
}

/// Why a guest's packet did not leave, and what to tell the guest.
#[derive(Debug)]
pub struct Refusal {
    pub reason: DropReason,
    /// An IPv4 packet for the guest.
    pub reply: Option<Vec<u8>>,
}

impl From<DropReason> for Refusal {
    fn from(reason: DropReason) -> Self {
        Self { reason, reply: None }
    }
}

/// "Fragmentation needed" about `packet` (RFC 1191), unless its sender allows fragments, which are not made here.
fn too_big(packet: &[u8], header: &Ipv4Header, from: Ipv4Addr, mtu: u16) -> Option<Vec<u8>> {
    let [high, low] = mtu.to_be_bytes();
    let quoted = packet.get(..(header.header_bytes + ICMP_HEADER_BYTES).min(packet.len()))?;
    let rest = [0, 0, high, low];
    header
        .dont_fragment
        .then(|| build::icmp(from, header.src, ICMP_UNREACHABLE, ICMP_FRAGMENTATION_NEEDED, rest, quoted))
}

/// The packet that an ICMP error is about.
fn quoted_by_icmp_error(packet: &[u8], header: &Ipv4Header) -> Option<(Ipv4Header, ipv4::Tuple)> {
    if header.protocol != protocol::ICMP || !header.whole {
        return None;
    }
    let message = header.payload(packet)?;
    if !ICMP_ERRORS.contains(message.first()?) {
        return None;
    }
    let quoted = message.get(ICMP_HEADER_BYTES..)?;
    // The quote is cut short, so its length field says nothing here.
    let quoted_header = Ipv4Header::parse(quoted, usize::from(u16::MAX))?;
    Some((quoted_header, ipv4::Tuple::parse(quoted, &quoted_header)?))
}

/// Rewrites an ICMP error about a packet of tuple `quoted`, whose flow carries answers to it on as tuple `to`.
fn rewrite_icmp_error(
    packet: &mut [u8],
    header: &Ipv4Header,
    quoted_header: &Ipv4Header,
    quoted: &ipv4::Tuple,
    to: &ipv4::Tuple,
) -> bool {
    // An error by the endpoint itself takes the endpoint's translated address; one by a router on the way keeps its own.
    let source = if header.src == quoted.dst { to.src } else { header.src };
    let Some(message) = packet.get_mut(header.header_bytes..header.total_bytes) else { return false };
    let rewritten = message
        .get_mut(ICMP_HEADER_BYTES..)
        .is_some_and(|inner| ipv4::rewrite(inner, quoted_header, quoted, &to.reversed()));
    put(message, 2, &[0, 0]);
    let check = checksum::checksum(message);
    put(message, 2, &check.to_be_bytes());
    put(packet, 12, &source.octets());
    put(packet, 16, &to.dst.octets());
    ipv4::fix_header_checksum(packet);
    rewritten
}
