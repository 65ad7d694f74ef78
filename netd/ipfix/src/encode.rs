//! Writing messages.

use crate::element::*;
use crate::record::{Counts, EndReason, FlowKey, Transport};
use crate::{FIRST_TEMPLATE, MESSAGE_HEADER_BYTES, SET_HEADER_BYTES, TEMPLATE_SET, VERSION};
use std::collections::HashMap;
use std::net::IpAddr;

/// Of a message, so that it goes in one datagram over any path (Open vSwitch has 1024).
pub const MESSAGE_BYTES_MAX: usize = 1400;
/// Templates are repeated after so long: over UDP nobody says that they came (RFC 7011 section 8.4; Open vSwitch has 600 s).
pub const TEMPLATE_INTERVAL_S: u64 = 60;
/// Observation domains whose templates are known to have been sent; with more, they are sent again.
const DOMAINS_MAX: usize = 4096;
/// Without a tag.
const ETHERNET_HEADER_BYTES: u8 = 14;
const TAG_BYTES: u8 = 4;

/// Which elements a record has; each shape is a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Shape {
    tagged: bool,
    network: Network,
    transport: Layout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Network {
    None,
    V4,
    V6,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Layout {
    None,
    Ports,
    Tcp,
    Icmp,
}

impl Shape {
    fn of(key: &FlowKey) -> Self {
        let network = match key.ip {
            None => Network::None,
            Some(ip) if ip.source.is_ipv4() && ip.destination.is_ipv4() => Network::V4,
            Some(_) => Network::V6,
        };
        let transport = match key.transport {
            _ if network == Network::None => Layout::None,
            Transport::None => Layout::None,
            Transport::Ports { .. } => Layout::Ports,
            Transport::Tcp { .. } => Layout::Tcp,
            Transport::Icmp { .. } => Layout::Icmp,
        };
        Self { tagged: key.vlan_tci.is_some(), network, transport }
    }

    fn id(self) -> u16 {
        FIRST_TEMPLATE + u16::from(self.tagged) + 2 * self.network as u16 + 6 * self.transport as u16
    }

    /// Elements and their lengths, in order.
    fn fields(self) -> Vec<(u16, u16)> {
        let mut fields = vec![
            (OBSERVATION_POINT_ID, 4),
            (FLOW_DIRECTION, 1),
            (SOURCE_MAC_ADDRESS, 6),
            (DESTINATION_MAC_ADDRESS, 6),
            (ETHERNET_TYPE, 2),
            (ETHERNET_HEADER_LENGTH, 1),
        ];
        if self.tagged {
            fields.extend([(VLAN_ID, 2), (DOT1Q_VLAN_ID, 2), (DOT1Q_PRIORITY, 1)]);
        }
        if self.network != Network::None {
            fields.extend([
                (IP_VERSION, 1),
                (IP_TTL, 1),
                (PROTOCOL_IDENTIFIER, 1),
                (IP_DIFF_SERV_CODE_POINT, 1),
                (IP_PRECEDENCE, 1),
                (IP_CLASS_OF_SERVICE, 1),
            ]);
        }
        match self.network {
            Network::None => {}
            Network::V4 => fields.extend([(SOURCE_IPV4_ADDRESS, 4), (DESTINATION_IPV4_ADDRESS, 4)]),
            Network::V6 => {
                fields.extend([(SOURCE_IPV6_ADDRESS, 16), (DESTINATION_IPV6_ADDRESS, 16), (FLOW_LABEL_IPV6, 4)]);
            }
        }
        match (self.transport, self.network) {
            (Layout::None, _) => {}
            (Layout::Ports | Layout::Tcp, _) => {
                fields.extend([(SOURCE_TRANSPORT_PORT, 2), (DESTINATION_TRANSPORT_PORT, 2)]);
            }
            (Layout::Icmp, Network::V6) => fields.extend([(ICMP_TYPE_IPV6, 1), (ICMP_CODE_IPV6, 1)]),
            (Layout::Icmp, _) => fields.extend([(ICMP_TYPE_IPV4, 1), (ICMP_CODE_IPV4, 1)]),
        }
        fields.extend([
            (FLOW_START_DELTA_MICROSECONDS, 4),
            (FLOW_END_DELTA_MICROSECONDS, 4),
            (PACKET_DELTA_COUNT, 8),
            (LAYER2_OCTET_DELTA_COUNT, 8),
            (FLOW_END_REASON, 1),
        ]);
        if self.network != Network::None {
            fields.push((OCTET_DELTA_COUNT, 8));
        }
        if self.transport == Layout::Tcp {
            let flags = [
                TCP_SYN_TOTAL_COUNT,
                TCP_FIN_TOTAL_COUNT,
                TCP_RST_TOTAL_COUNT,
                TCP_PSH_TOTAL_COUNT,
                TCP_ACK_TOTAL_COUNT,
                TCP_URG_TOTAL_COUNT,
            ];
            fields.extend(flags.map(|flag| (flag, 8)));
        }
        fields
    }

    fn template(self, out: &mut Vec<u8>) {
        let fields = self.fields();
        out.extend(self.id().to_be_bytes());
        out.extend((fields.len() as u16).to_be_bytes());
        for (element, bytes) in fields {
            out.extend(element.to_be_bytes());
            out.extend(bytes.to_be_bytes());
        }
    }
}

fn network_bytes(address: IpAddr, as_v4: bool, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(address) if as_v4 => out.extend(address.octets()),
        IpAddr::V4(address) => out.extend(address.to_ipv6_mapped().octets()),
        IpAddr::V6(address) => out.extend(address.octets()),
    }
}

/// One exporting process's messages to all its collectors.
#[derive(Debug, Default)]
pub struct Encoder {
    /// Data records so far, by domain (RFC 7011 section 3.1), and when each of its templates was sent.
    domains: HashMap<u32, Domain>,
}

#[derive(Debug, Default)]
struct Domain {
    records: u32,
    sent_s: HashMap<u16, u64>,
}

impl Encoder {
    /// Messages with these records; `now_us`: Unix time.
    pub fn messages(
        &mut self,
        now_us: u64,
        records: impl IntoIterator<Item = (FlowKey, Counts, EndReason)>,
        mut send: impl FnMut(&[u8]),
    ) {
        // Times are told as they lie before this one.
        let export_s = now_us.div_ceil(1_000_000);
        let mut message = Message::default();
        for (key, counts, reason) in records {
            if self.domains.len() >= DOMAINS_MAX && !self.domains.contains_key(&key.domain) {
                self.domains.clear();
            }
            let domain = self.domains.entry(key.domain).or_default();
            let shape = Shape::of(&key);
            let fields = shape.fields();
            let record_bytes: usize = fields.iter().map(|(_, bytes)| usize::from(*bytes)).sum();
            let sent_s = domain.sent_s.get(&shape.id());
            let is_new = sent_s.is_none_or(|sent_s| sent_s.saturating_add(TEMPLATE_INTERVAL_S) <= export_s);
            let template_bytes = if is_new { 8 + 4 * fields.len() } else { 0 };
            let room = record_bytes + template_bytes + 2 * SET_HEADER_BYTES;
            if message.domain != key.domain || message.bytes.len() + room > MESSAGE_BYTES_MAX {
                message.finish(&mut send);
            }
            if message.bytes.is_empty() {
                message.begin(export_s, domain.records, key.domain);
            }
            if is_new {
                domain.sent_s.insert(shape.id(), export_s);
                message.set(TEMPLATE_SET);
                shape.template(&mut message.bytes);
            }
            message.set(shape.id());
            write(&key, &counts, reason, shape, export_s, &mut message.bytes);
            domain.records = domain.records.wrapping_add(1);
        }
        message.finish(&mut send);
    }
}

/// A message in the making.
#[derive(Debug, Default)]
struct Message {
    bytes: Vec<u8>,
    domain: u32,
    /// Its last set: where it begins, and its number.
    last: Option<(usize, u16)>,
}

impl Message {
    fn begin(&mut self, export_s: u64, sequence: u32, domain: u32) {
        self.domain = domain;
        self.bytes.extend(VERSION.to_be_bytes());
        self.bytes.extend([0; 2]);
        self.bytes.extend((export_s as u32).to_be_bytes());
        self.bytes.extend(sequence.to_be_bytes());
        self.bytes.extend(domain.to_be_bytes());
    }

    /// What is written next is of a set with this number.
    fn set(&mut self, number: u16) {
        if self.last.is_some_and(|(_, last)| last == number) {
            return;
        }
        self.end_set();
        self.last = Some((self.bytes.len(), number));
        self.bytes.extend(number.to_be_bytes());
        self.bytes.extend([0; 2]);
    }

    fn put_length(&mut self, at: usize, from: usize) {
        let length = u16::try_from(self.bytes.len() - from).unwrap_or(u16::MAX);
        if let Some(place) = self.bytes.get_mut(at..at + 2) {
            place.copy_from_slice(&length.to_be_bytes());
        }
    }

    fn end_set(&mut self) {
        if let Some((from, _)) = self.last.take() {
            self.put_length(from + 2, from);
        }
    }

    fn finish(&mut self, send: &mut impl FnMut(&[u8])) {
        self.end_set();
        if self.bytes.len() > MESSAGE_HEADER_BYTES {
            self.put_length(2, 0);
            send(&self.bytes);
        }
        self.bytes.clear();
    }
}

/// In the order of [`Shape::fields`].
fn write(key: &FlowKey, counts: &Counts, reason: EndReason, shape: Shape, export_s: u64, out: &mut Vec<u8>) {
    out.extend(key.point.to_be_bytes());
    out.push(key.direction);
    out.extend(key.source_mac);
    out.extend(key.destination_mac);
    out.extend(key.ether_type.to_be_bytes());
    out.push(ETHERNET_HEADER_BYTES + if shape.tagged { TAG_BYTES } else { 0 });
    if let Some(tci) = key.vlan_tci {
        let id = (tci & 0xfff).to_be_bytes();
        out.extend(id);
        out.extend(id);
        out.push((tci >> 13) as u8);
    }
    if let Some(ip) = key.ip {
        let is_v4 = shape.network == Network::V4;
        out.extend([if is_v4 { 4 } else { 6 }, ip.ttl, ip.protocol, ip.tos >> 2, ip.tos >> 5, ip.tos]);
        network_bytes(ip.source, is_v4, out);
        network_bytes(ip.destination, is_v4, out);
        if !is_v4 {
            out.extend(ip.label.to_be_bytes());
        }
    }
    match (shape.transport, key.transport) {
        (Layout::None, _) | (_, Transport::None) => {}
        (_, Transport::Icmp { kind, code }) => out.extend([kind, code]),
        (_, ports) => {
            let (source, destination) = ports.ports();
            out.extend(source.to_be_bytes());
            out.extend(destination.to_be_bytes());
        }
    }
    for at_us in [counts.start_us, counts.end_us] {
        let delta = (export_s * 1_000_000).saturating_sub(at_us);
        out.extend(u32::try_from(delta).unwrap_or(u32::MAX).to_be_bytes());
    }
    out.extend(counts.packets.to_be_bytes());
    out.extend(counts.layer2_octets.to_be_bytes());
    out.push(reason as u8);
    if shape.network != Network::None {
        out.extend(counts.octets.to_be_bytes());
    }
    if shape.transport == Layout::Tcp {
        counts.tcp.all().iter().for_each(|count| out.extend(count.to_be_bytes()));
    }
}
