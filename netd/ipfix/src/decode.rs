//! Reading messages: whoever can reach a collector's port may have written them.

use crate::element::*;
use crate::record::{Ip, Record, Transport};
use crate::{FIRST_TEMPLATE, MESSAGE_HEADER_BYTES, SET_HEADER_BYTES, TEMPLATE_SET, VERSION};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Observation domains whose templates are kept: an exporter has a few.
pub const DOMAINS_MAX: usize = 256;
/// Templates of one domain: Open vSwitch has some hundred.
pub const TEMPLATES_MAX: usize = 1024;
/// Fields of a template: Open vSwitch's have some forty.
pub const FIELDS_MAX: usize = 256;
/// What a length of this means: it stands before each value.
const VARIABLE: u16 = u16::MAX;
/// Of an element's number: it is some enterprise's own.
const ENTERPRISE: u16 = 1 << 15;
const PROTO_TCP: u8 = 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the message is cut, or its lengths are wrong")]
    Cut,
    #[error("version {0} is not IPFIX")]
    Version(u16),
    #[error("a template has no fields that take room, or more than {FIELDS_MAX}")]
    Template,
    #[error("more than {DOMAINS_MAX} observation domains, or {TEMPLATES_MAX} templates in one")]
    TooMany,
}

/// The templates of one exporter.
#[derive(Debug, Default)]
pub struct Decoder {
    domains: HashMap<u32, HashMap<u16, Template>>,
    /// Sets of data whose template is not known (yet): they are skipped.
    pub unknown_sets: u64,
}

#[derive(Clone, Debug)]
struct Template {
    fields: Vec<Field>,
    /// Of a record; the least, if some are of variable length.
    bytes_min: usize,
}

#[derive(Clone, Copy, Debug)]
struct Field {
    /// None: an enterprise's.
    element: Option<u16>,
    bytes: u16,
}

#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(DecodeError::Cut)?;
        self.0 = rest;
        Ok(taken)
    }

    fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(number(self.take(2)?) as u16)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(number(self.take(4)?) as u32)
    }
}

/// Of whatever length; of longer ones the last eight bytes.
fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

impl Decoder {
    /// Gives `take` the data records of one message. What was read before an error counts.
    ///
    /// # Errors
    /// It is no message, or says something that cannot be.
    pub fn message(&mut self, bytes: &[u8], mut take: impl FnMut(Record)) -> Result<(), DecodeError> {
        let mut header = Reader(bytes);
        let version = header.u16()?;
        if version != VERSION {
            return Err(DecodeError::Version(version));
        }
        let length = usize::from(header.u16()?);
        let (export_s, _sequence, domain) = (header.u32()?, header.u32()?, header.u32()?);
        let mut sets = Reader(bytes.get(MESSAGE_HEADER_BYTES..length).ok_or(DecodeError::Cut)?);
        while !sets.0.is_empty() {
            let (number, length) = (sets.u16()?, usize::from(sets.u16()?));
            let content = Reader(sets.take(length.checked_sub(SET_HEADER_BYTES).ok_or(DecodeError::Cut)?)?);
            match number {
                TEMPLATE_SET => self.templates(domain, content)?,
                FIRST_TEMPLATE.. => match self.domains.get(&domain).and_then(|known| known.get(&number)) {
                    Some(template) => template.records(content, domain, export_s, &mut take)?,
                    None => self.unknown_sets += 1,
                },
                // Options, which say nothing of flows; and numbers that mean nothing.
                _ => {}
            }
        }
        Ok(())
    }

    fn templates(&mut self, domain: u32, mut content: Reader<'_>) -> Result<(), DecodeError> {
        // Less than a template's header is padding.
        while content.0.len() >= 4 {
            let (id, count) = (content.u16()?, usize::from(content.u16()?));
            if id < FIRST_TEMPLATE {
                // Padding, or a withdrawal of all, which UDP does not have.
                return Ok(());
            }
            if count == 0 || count > FIELDS_MAX {
                return Err(DecodeError::Template);
            }
            let mut template = Template { fields: Vec::with_capacity(count), bytes_min: 0 };
            for _ in 0..count {
                let (element, bytes) = (content.u16()?, content.u16()?);
                let of_enterprise = element & ENTERPRISE != 0;
                if of_enterprise {
                    content.u32()?;
                }
                template.fields.push(Field { element: (!of_enterprise).then_some(element), bytes });
                template.bytes_min += if bytes == VARIABLE { 1 } else { usize::from(bytes) };
            }
            if template.bytes_min == 0 {
                return Err(DecodeError::Template);
            }
            if self.domains.len() >= DOMAINS_MAX && !self.domains.contains_key(&domain) {
                return Err(DecodeError::TooMany);
            }
            let known = self.domains.entry(domain).or_default();
            if known.len() >= TEMPLATES_MAX && !known.contains_key(&id) {
                return Err(DecodeError::TooMany);
            }
            known.insert(id, template);
        }
        Ok(())
    }
}

impl Template {
    fn records(
        &self,
        mut content: Reader<'_>,
        domain: u32,
        export_s: u32,
        take: &mut impl FnMut(Record),
    ) -> Result<(), DecodeError> {
        // Less than a record is padding.
        while content.0.len() >= self.bytes_min {
            let mut found = Found::default();
            found.record.key.domain = domain;
            for field in &self.fields {
                let bytes = match field.bytes {
                    VARIABLE => match number(content.take(1)?) as usize {
                        255 => usize::from(content.u16()?),
                        short => short,
                    },
                    fixed => usize::from(fixed),
                };
                let value = content.take(bytes)?;
                if let Some(element) = field.element {
                    found.field(element, value, export_s);
                }
            }
            take(found.finish());
        }
        Ok(())
    }
}

/// A record in the making: which transport it is of is known at the end.
#[derive(Default)]
struct Found {
    record: Record,
    source: Option<IpAddr>,
    destination: Option<IpAddr>,
    protocol: u8,
    ttl: u8,
    tos: u8,
    label: u32,
    ports: Option<(u16, u16)>,
    icmp: Option<(u8, u8)>,
    vlan: Option<u16>,
    priority: u16,
}

fn address(value: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(value) {
        return Some(IpAddr::V4(Ipv4Addr::from(v4)));
    }
    <[u8; 16]>::try_from(value).ok().map(|v6| IpAddr::V6(Ipv6Addr::from(v6)))
}

impl Found {
    fn field(&mut self, element: u16, value: &[u8], export_s: u32) {
        let as_number = number(value);
        let (key, counts) = (&mut self.record.key, &mut self.record.counts);
        let at_us = || (u64::from(export_s) * 1_000_000).saturating_sub(as_number);
        match element {
            OBSERVATION_POINT_ID => key.point = as_number as u32,
            FLOW_DIRECTION => key.direction = as_number as u8,
            SOURCE_MAC_ADDRESS => key.source_mac = value.try_into().unwrap_or_default(),
            DESTINATION_MAC_ADDRESS => key.destination_mac = value.try_into().unwrap_or_default(),
            ETHERNET_TYPE => key.ether_type = as_number as u16,
            VLAN_ID | DOT1Q_VLAN_ID => self.vlan = Some(as_number as u16 & 0xfff),
            DOT1Q_PRIORITY => self.priority = as_number as u16 & 7,
            SOURCE_IPV4_ADDRESS | SOURCE_IPV6_ADDRESS => self.source = address(value),
            DESTINATION_IPV4_ADDRESS | DESTINATION_IPV6_ADDRESS => self.destination = address(value),
            PROTOCOL_IDENTIFIER => self.protocol = as_number as u8,
            IP_TTL => self.ttl = as_number as u8,
            IP_CLASS_OF_SERVICE => self.tos = as_number as u8,
            FLOW_LABEL_IPV6 => self.label = as_number as u32,
            SOURCE_TRANSPORT_PORT => self.ports.get_or_insert_default().0 = as_number as u16,
            DESTINATION_TRANSPORT_PORT => self.ports.get_or_insert_default().1 = as_number as u16,
            ICMP_TYPE_IPV4 | ICMP_TYPE_IPV6 => self.icmp.get_or_insert_default().0 = as_number as u8,
            ICMP_CODE_IPV4 | ICMP_CODE_IPV6 => self.icmp.get_or_insert_default().1 = as_number as u8,
            FLOW_START_DELTA_MICROSECONDS => counts.start_us = at_us(),
            FLOW_END_DELTA_MICROSECONDS => counts.end_us = at_us(),
            PACKET_DELTA_COUNT => counts.packets = as_number,
            OCTET_DELTA_COUNT => counts.octets = as_number,
            LAYER2_OCTET_DELTA_COUNT => counts.layer2_octets = as_number,
            FLOW_END_REASON => self.record.end_reason = as_number as u8,
            TCP_SYN_TOTAL_COUNT => counts.tcp.syn = as_number,
            TCP_FIN_TOTAL_COUNT => counts.tcp.fin = as_number,
            TCP_RST_TOTAL_COUNT => counts.tcp.rst = as_number,
            TCP_PSH_TOTAL_COUNT => counts.tcp.psh = as_number,
            TCP_ACK_TOTAL_COUNT => counts.tcp.ack = as_number,
            TCP_URG_TOTAL_COUNT => counts.tcp.urg = as_number,
            _ => {}
        }
    }

    fn finish(self) -> Record {
        let Self { mut record, source, destination, protocol, ttl, tos, label, ports, icmp, vlan, priority } = self;
        record.key.vlan_tci = vlan.map(|vlan| vlan | priority << 13);
        record.key.ip =
            source.zip(destination).map(|(source, destination)| Ip { source, destination, protocol, ttl, tos, label });
        record.key.transport = match (ports, icmp) {
            (Some((source, destination)), _) if protocol == PROTO_TCP => Transport::Tcp { source, destination },
            (Some((source, destination)), _) => Transport::Ports { source, destination },
            (None, Some((kind, code))) => Transport::Icmp { kind, code },
            (None, None) => Transport::None,
        };
        record
    }
}
