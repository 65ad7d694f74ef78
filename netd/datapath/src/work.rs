//! A packet that is worked on: its headers in private memory with room before them, its key, and what was found out about it.

use crate::packet::{Outgoing, Packet, Tail, fills_in_behind};
use hive_conntrack::{Checksum, Verdict};
use hive_flow::{
    ETH_TYPE_ARP, ETH_TYPE_IPV4, ETH_TYPE_IPV6, ETH_TYPE_RARP, FRAG_LATER, Field, Key, Malformed, PROTO_ICMP,
    PROTO_ICMPV6, PROTO_TCP, PROTO_UDP, Parsed, parse_into,
};
use hive_packet::VnetHeader;
use hive_packet::offload::GSO_NONE;
use hive_program::Tunnel;
use std::sync::Arc;

/// Room before a frame for headers that are pushed.
const HEADROOM: usize = 64;
/// Bytes that are fetched for parsing: Ethernet, two tags, IPv6 with a few extensions, TCP with options, with room to spare. What has
/// more is fetched whole.
const HEAD: usize = 256;
/// Of an Ethernet header: the addresses.
const ADDRESSES: usize = 12;

#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    buffer: Vec<u8>,
    start: usize,
    /// What is not in the buffer.
    pub tail_from: usize,
    pub tail_bytes: usize,
    pub vnet: VnetHeader,
    pub parsed: Parsed,
    /// The connection that was found last.
    pub before: Option<Verdict>,
    pub tunnel: Option<Arc<Tunnel>>,
    /// For the next output.
    pub truncate: Option<usize>,
    /// VLAN tags that the parser takes.
    vlan_limit: usize,
}

impl Work {
    /// Takes a packet up, of which `head` is the beginning, with a key that begins with this one.
    pub fn load<T: Tail>(&mut self, packet: &Packet<'_, T>, head: &[u8], template: &Key, vlan_limit: usize) {
        self.buffer.clear();
        self.buffer.resize(HEADROOM, 0);
        self.start = HEADROOM;
        self.buffer.extend_from_slice(head);
        self.tail_from = head.len() - packet.line_bytes();
        self.tail_bytes = packet.frame_bytes - head.len();
        self.vnet = packet.vnet;
        self.before = None;
        self.tunnel = None;
        self.truncate = None;
        self.vlan_limit = vlan_limit;
        self.pull(&packet.tail, HEAD);
        self.parse(&packet.tail, template);
    }

    /// Becomes a copy, with what memory it has.
    pub fn copy_of(&mut self, other: &Self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend_from_slice(&other.buffer);
        let (before, tunnel) = (other.before.clone(), other.tunnel.clone());
        *self = Self {
            buffer,
            before,
            tunnel,
            start: other.start,
            tail_from: other.tail_from,
            tail_bytes: other.tail_bytes,
            vnet: other.vnet,
            parsed: other.parsed,
            truncate: other.truncate,
            vlan_limit: other.vlan_limit,
        };
    }

    pub fn head(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or(&[])
    }

    pub fn head_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.start..).unwrap_or(&mut [])
    }

    pub fn frame_bytes(&self) -> usize {
        self.head().len() + self.tail_bytes
    }

    /// The frame's length, or that of one of its segments.
    pub fn sent_bytes(&self) -> usize {
        if self.vnet.gso_type == GSO_NONE {
            return self.frame_bytes();
        }
        segment_bytes(&self.vnet, self.head(), usize::from(self.parsed.l4_offset.unwrap_or(0))).min(self.frame_bytes())
    }

    /// Fetches until the head has so many bytes, if there are.
    pub fn pull<T: Tail>(&mut self, tail: &T, bytes: usize) {
        let wanted = bytes.saturating_sub(self.head().len()).min(self.tail_bytes);
        if wanted == 0 {
            return;
        }
        let from = self.buffer.len();
        self.buffer.resize(from + wanted, 0);
        tail.read(self.tail_from, &mut self.buffer[from..]);
        self.tail_from += wanted;
        self.tail_bytes -= wanted;
    }

    pub fn pull_all<T: Tail>(&mut self, tail: &T) {
        self.pull(tail, usize::MAX);
    }

    /// Makes the key anew, from the packet's bytes and the metadata of this one.
    pub fn parse<T: Tail>(&mut self, tail: &T, template: &Key) {
        let bytes = self.frame_bytes();
        parse_into(&mut self.parsed, self.buffer.get(self.start..).unwrap_or(&[]), bytes, template, self.vlan_limit);
        if self.parsed.malformed == Some(Malformed::Cut) {
            self.pull_all(tail);
            let head = self.buffer.get(self.start..).unwrap_or(&[]);
            parse_into(&mut self.parsed, head, bytes, template, self.vlan_limit);
        }
    }

    /// After headers came or went.
    pub fn parse_again<T: Tail>(&mut self, tail: &T) {
        let template = self.parsed.key;
        self.parse(tail, &template);
    }

    pub fn key(&self) -> &Key {
        &self.parsed.key
    }

    pub fn key_mut(&mut self) -> &mut Key {
        &mut self.parsed.key
    }

    /// Whether a checksum that is left to the receiver lies behind everything that is looked at.
    pub fn fills_in_behind(&self) -> bool {
        let parsed = &self.parsed;
        let looked_at = parsed.mpls_offset.is_some()
            || [ETH_TYPE_IPV4, ETH_TYPE_IPV6, ETH_TYPE_ARP, ETH_TYPE_RARP]
                .contains(&(self.key().get_u64(Field::EthType) as u16));
        match (parsed.l4_offset, parsed.l3_offset) {
            (Some(l4), _) => fills_in_behind(&self.vnet, l4.into(), self.protocol()),
            (None, Some(l3)) if !looked_at => !self.vnet.needs_checksum() || self.vnet.csum_start >= l3,
            _ => !self.vnet.needs_checksum(),
        }
    }

    fn protocol(&self) -> u8 {
        self.key().get_u64(Field::IpProto) as u8
    }

    fn is_v6(&self) -> bool {
        self.key().get_u64(Field::EthType) as u16 == ETH_TYPE_IPV6
    }

    /// Where the transport header is, if there is a whole one.
    pub fn transport(&self) -> Option<usize> {
        let later = self.key().get_u64(Field::IpFrag) as u8 & FRAG_LATER != 0;
        let l4 = self.parsed.l4_offset?;
        (!later && self.parsed.malformed.is_none()).then_some(l4.into())
    }

    /// Whether the transport checksum is left to the receiver, and holds the pseudo-header's sum only.
    fn is_partial(&self) -> bool {
        let Some(l4) = self.transport() else { return false };
        self.vnet.needs_checksum() && usize::from(self.vnet.csum_start) == l4
    }

    pub fn checksum(&self) -> Checksum {
        if self.is_partial() { Checksum::Partial } else { Checksum::Unknown }
    }

    /// The sum of what is not at hand, as far as it is of the IP packet.
    pub fn tail_sum<T: Tail>(&self, tail: &T) -> u64 {
        let padding = usize::from(self.parsed.padding_bytes);
        tail.sum(self.tail_from, self.tail_bytes.saturating_sub(padding))
    }

    /// Whether connection tracking wants to see more than headers.
    pub fn wants_all(&self, helper: bool) -> bool {
        const FTP_PORT: u64 = 21;
        let key = self.key();
        match self.protocol() {
            PROTO_ICMP | PROTO_ICMPV6 => true,
            PROTO_TCP => helper || key.get_u64(Field::TpSrc) == FTP_PORT || key.get_u64(Field::TpDst) == FTP_PORT,
            PROTO_UDP => false,
            _ => false,
        }
    }

    /// The packet for connection tracking, which may change its headers.
    pub fn tracked<T: Tail>(&mut self, tail: &T) -> Option<hive_conntrack::Packet<'_>> {
        let checksum = self.checksum();
        let sum = if checksum == Checksum::Unknown && self.tail_bytes > 0 { self.tail_sum(tail) } else { 0 };
        let bytes = self.frame_bytes();
        let head = self.buffer.get_mut(self.start..)?;
        hive_conntrack::Packet::cut(head, bytes, &self.parsed, checksum, sum)
    }

    /// Applies what a helper wants changed; the whole packet is in the head.
    pub fn splice<T: Tail>(&mut self, splice: &hive_conntrack::Splice, tail: &T) {
        let mut frame = self.head().to_vec();
        if self.tail_bytes == 0 && splice.apply(&mut frame, self.parsed.padding_bytes.into()) {
            self.buffer.truncate(self.start);
            self.buffer.extend_from_slice(&frame);
            self.parse_again(tail);
        }
    }

    /// Makes room behind the Ethernet addresses.
    fn insert(&mut self, at: usize, bytes: &[u8]) -> bool {
        if self.head().len() < at {
            return false;
        }
        if self.start < bytes.len() {
            let more = HEADROOM.max(bytes.len());
            self.buffer.splice(0..0, std::iter::repeat_n(0, more));
            self.start += more;
        }
        let from = self.start;
        self.start -= bytes.len();
        self.buffer.copy_within(from..from + at, self.start);
        self.buffer[self.start + at..self.start + at + bytes.len()].copy_from_slice(bytes);
        self.shift_offload(bytes.len() as i32, at);
        true
    }

    fn remove(&mut self, at: usize, bytes: usize) -> bool {
        if self.head().len() < at + bytes {
            return false;
        }
        self.buffer.copy_within(self.start..self.start + at, self.start + bytes);
        self.start += bytes;
        self.shift_offload(-(bytes as i32), at);
        true
    }

    fn shift_offload(&mut self, by: i32, at: usize) {
        let shifted = |offset: u16| u16::try_from(i32::from(offset) + by).unwrap_or(offset);
        if self.vnet.needs_checksum() && usize::from(self.vnet.csum_start) >= at {
            self.vnet.csum_start = shifted(self.vnet.csum_start);
        }
        if self.vnet.gso_type != GSO_NONE && usize::from(self.vnet.header_bytes) >= at {
            self.vnet.header_bytes = shifted(self.vnet.header_bytes);
        }
    }

    pub fn push_vlan<T: Tail>(&mut self, tpid: u16, tci: u16, tail: &T) {
        let [a, b] = tpid.to_be_bytes();
        let [c, d] = (tci & !hive_flow::VLAN_PRESENT).to_be_bytes();
        if self.insert(ADDRESSES, &[a, b, c, d]) {
            self.parse_again(tail);
        }
    }

    pub fn pop_vlan<T: Tail>(&mut self, tail: &T) {
        let tagged = matches!(self.ethernet_type(), Some(hive_flow::ETH_TYPE_VLAN | hive_flow::ETH_TYPE_QINQ));
        if tagged && self.remove(ADDRESSES, 4) {
            self.parse_again(tail);
        }
    }

    fn ethernet_type(&self) -> Option<u16> {
        hive_packet::be16(self.head(), ADDRESSES)
    }

    /// Where the Ethernet type is: behind the tags, before what [`Parsed::l3_offset`] is, or the label stack.
    fn type_offset(&self) -> Option<usize> {
        let behind = self.parsed.mpls_offset.or(self.parsed.l3_offset)?;
        usize::from(behind).checked_sub(2).filter(|at| *at >= ADDRESSES)
    }

    pub fn push_mpls<T: Tail>(&mut self, ether_type: u16, lse: u32, tail: &T) {
        let Some(at) = self.type_offset() else { return };
        if self.insert(at + 2, &lse.to_be_bytes()) {
            self.head_mut()[at..at + 2].copy_from_slice(&ether_type.to_be_bytes());
            self.parse_again(tail);
        }
    }

    pub fn pop_mpls<T: Tail>(&mut self, ether_type: u16, tail: &T) {
        let (Some(at), Some(_)) = (self.type_offset(), self.parsed.mpls_offset) else { return };
        if self.remove(at + 2, 4) {
            self.head_mut()[at..at + 2].copy_from_slice(&ether_type.to_be_bytes());
            self.parse_again(tail);
        }
    }

    /// Replaces bytes of a header. `ip`: covered by the IPv4 header's checksum; `transport`: by the transport's, as part of the
    /// pseudo-header if `ip` is true or the packet is IPv6.
    pub fn replace(&mut self, at: usize, new: &[u8], covered: Covered) {
        let mut old = [0; 16];
        let Some(old) = old.get_mut(..new.len()) else { return };
        let Some(place) = self.head_mut().get_mut(at..at + new.len()) else { return };
        old.copy_from_slice(place);
        if old == new {
            return;
        }
        place.copy_from_slice(new);
        let v6 = self.is_v6();
        if matches!(covered, Covered::Ip | Covered::Address)
            && !v6
            && let Some(l3) = self.parsed.l3_offset
        {
            self.update(usize::from(l3) + 10, old, new);
        }
        if !matches!(covered, Covered::Address | Covered::Transport) {
            return;
        }
        let Some(l4) = self.transport() else { return };
        let check = match self.protocol() {
            PROTO_TCP => l4 + 16,
            PROTO_UDP => l4 + 6,
            PROTO_ICMPV6 if v6 => l4 + 2,
            PROTO_ICMP if !v6 && covered == Covered::Transport => l4 + 2,
            _ => return,
        };
        let Some(value) = hive_packet::be16(self.head(), check) else { return };
        if self.is_partial() {
            // Of the pseudo-header only, and not complemented.
            if covered == Covered::Address {
                let value = !hive_packet::checksum::update(!value, old, new);
                hive_packet::put(self.head_mut(), check, &value.to_be_bytes());
            }
        } else if self.protocol() == PROTO_UDP {
            if value != 0 || v6 {
                let value = match hive_packet::checksum::update(value, old, new) {
                    0 => 0xffff,
                    value => value,
                };
                hive_packet::put(self.head_mut(), check, &value.to_be_bytes());
            }
        } else {
            self.update(check, old, new);
        }
    }

    fn update(&mut self, at: usize, old: &[u8], new: &[u8]) {
        if let Some(value) = hive_packet::be16(self.head(), at) {
            let value = hive_packet::checksum::update(value, old, new);
            hive_packet::put(self.head_mut(), at, &value.to_be_bytes());
        }
    }

    /// What leaves.
    pub fn outgoing<'a, T>(&'a self, tail: &'a T) -> Outgoing<'a, T> {
        let most = self.truncate.unwrap_or(usize::MAX);
        let head = self.head();
        let head = head.get(..head.len().min(most)).unwrap_or(head);
        let mut vnet = self.vnet;
        if most < self.frame_bytes() {
            // What is cut off cannot be summed up or segmented.
            vnet = VnetHeader::default();
        }
        Outgoing {
            vnet,
            head,
            tail,
            tail_from: self.tail_from,
            tail_bytes: self.tail_bytes.min(most.saturating_sub(head.len())),
            tunnel: self.tunnel.as_deref(),
            skb_priority: self.key().get_u64(Field::SkbPriority) as u32,
        }
    }
}

/// The length of a segment of a large frame that begins so.
#[inline]
pub(crate) fn segment_bytes(vnet: &VnetHeader, head: &[u8], l4: usize) -> usize {
    let header_bytes = head.get(l4 + 12).map_or(20, |offset| usize::from(offset >> 4) * 4);
    l4 + header_bytes + usize::from(vnet.gso_size)
}

/// Which checksums cover a part of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Covered {
    None,
    /// The IPv4 header's.
    Ip,
    /// The IPv4 header's and, by the pseudo-header, the transport's.
    Address,
    /// The transport's.
    Transport,
}
