//! IPv4 headers (RFC 791) and the transport fields that translation needs.

use crate::checksum;
use crate::{be16, be32, protocol, put};
use std::net::Ipv4Addr;

/// Length of an IPv4 header without options, in bytes.
pub const HEADER_BYTES: usize = 20;

/// The checked header of an IPv4 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv4Header {
    /// Header with options, in bytes: 20 to 60.
    pub header_bytes: usize,
    /// Header and payload, in bytes; not more than what carried it.
    pub total_bytes: usize,
    pub protocol: u8,
    pub ttl: u8,
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    /// Neither a first nor a later fragment.
    pub whole: bool,
    pub dont_fragment: bool,
}

impl Ipv4Header {
    /// Parses the fixed header at the start of `head`, a prefix of a packet of `packet_bytes`. None when malformed.
    #[inline]
    pub fn parse(head: &[u8], packet_bytes: usize) -> Option<Self> {
        let fixed = head.first_chunk::<HEADER_BYTES>()?;
        let header_bytes = usize::from(fixed[0] & 0xf) * 4;
        let total_bytes = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
        if fixed[0] >> 4 != 4 || header_bytes < HEADER_BYTES || total_bytes < header_bytes || total_bytes > packet_bytes
        {
            return None;
        }
        let fragment = u16::from_be_bytes([fixed[6], fixed[7]]);
        Some(Self {
            header_bytes,
            total_bytes,
            protocol: fixed[9],
            ttl: fixed[8],
            src: Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]),
            dst: Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]),
            whole: fragment & 0x3fff == 0,
            dont_fragment: fragment & 0x4000 != 0,
        })
    }

    /// The payload of the whole packet this header was parsed from.
    pub fn payload<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        packet.get(self.header_bytes..self.total_bytes)
    }
}

/// Recomputes the header checksum of a packet.
pub fn fix_header_checksum(packet: &mut [u8]) {
    let Some(header_bytes) = packet.first().map(|first| usize::from(first & 0xf) * 4) else { return };
    put(packet, 10, &[0, 0]);
    if let Some(header) = packet.get(..header_bytes) {
        let check = checksum::checksum(header);
        put(packet, 10, &check.to_be_bytes());
    }
}

/// What identifies one end-to-end conversation in one direction. For ICMP echo a request has its identifier as `src_port` and
/// a reply as `dst_port`, so that reversing the tuple of a request gives the tuple of its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    pub protocol: u8,
    pub src: Ipv4Addr,
    pub dst: Ipv4Addr,
    pub src_port: u16,
    pub dst_port: u16,
}

impl Tuple {
    #[must_use]
    pub fn reversed(self) -> Self {
        Self { protocol: self.protocol, src: self.dst, dst: self.src, src_port: self.dst_port, dst_port: self.src_port }
    }

    /// The tuple of a whole TCP, UDP or ICMP echo packet; None for any other. `packet` may be cut after 8 bytes of payload, as the
    /// one quoted by an ICMP error is.
    pub fn parse(packet: &[u8], header: &Ipv4Header) -> Option<Self> {
        if !header.whole {
            return None;
        }
        let start = header.header_bytes;
        let (src_port, dst_port) = match header.protocol {
            protocol::TCP | protocol::UDP => (be16(packet, start)?, be16(packet, start + 2)?),
            protocol::ICMP => match (*packet.get(start)?, be16(packet, start + 4)?) {
                (8, identifier) => (identifier, 0),
                (0, identifier) => (0, identifier),
                _ => return None,
            },
            _ => return None,
        };
        Some(Self { protocol: header.protocol, src: header.src, dst: header.dst, src_port, dst_port })
    }
}

/// TCP flags of a packet whose header was parsed; 0 when there are none.
pub fn tcp_flags(packet: &[u8], header: &Ipv4Header) -> u8 {
    if header.protocol == protocol::TCP { packet.get(header.header_bytes + 13).copied().unwrap_or(0) } else { 0 }
}

/// Rewrites a packet of tuple `from` to tuple `to` with checksums updated incrementally. `packet` may be the start of one quoted
/// in an ICMP error, where the transport checksum may be missing. False when the packet is too short for its own protocol.
pub fn rewrite(packet: &mut [u8], header: &Ipv4Header, from: &Tuple, to: &Tuple) -> bool {
    let start = header.header_bytes;
    let addresses = |tuple: &Tuple| {
        let mut bytes = [0u8; 8];
        bytes[..4].copy_from_slice(&tuple.src.octets());
        bytes[4..].copy_from_slice(&tuple.dst.octets());
        bytes
    };
    let (old_addresses, new_addresses) = (addresses(from), addresses(to));
    let (old_ports, new_ports, ports_at, check_at) = match header.protocol {
        protocol::ICMP => {
            let identifier = |tuple: &Tuple| if tuple.src_port == 0 { tuple.dst_port } else { tuple.src_port };
            (fields(identifier(from), None), fields(identifier(to), None), start + 4, start + 2)
        }
        protocol::TCP => {
            (fields(from.src_port, Some(from.dst_port)), fields(to.src_port, Some(to.dst_port)), start, start + 16)
        }
        _ => (fields(from.src_port, Some(from.dst_port)), fields(to.src_port, Some(to.dst_port)), start, start + 6),
    };
    let Some(header_check) = be16(packet, 10) else { return false };
    let new_check = checksum::update(header_check, &old_addresses, &new_addresses);
    let transport_check = be16(packet, check_at);
    if !put(packet, 10, &new_check.to_be_bytes())
        || !put(packet, 12, &new_addresses)
        || !put(packet, ports_at, new_ports.as_slice())
    {
        return false;
    }
    if let Some(check) = transport_check {
        // A UDP checksum of zero means none was computed (RFC 768).
        if header.protocol != protocol::UDP || check != 0 {
            let mut updated = checksum::update(check, old_ports.as_slice(), new_ports.as_slice());
            if header.protocol != protocol::ICMP {
                updated = checksum::update(updated, &old_addresses, &new_addresses);
            }
            if header.protocol == protocol::UDP && updated == 0 {
                updated = 0xffff;
            }
            put(packet, check_at, &updated.to_be_bytes());
        }
    }
    true
}

/// One or two 16-bit fields as bytes.
struct Fields([u8; 4], usize);

impl Fields {
    fn as_slice(&self) -> &[u8] {
        &self.0[..self.1]
    }
}

fn fields(first: u16, second: Option<u16>) -> Fields {
    let [a, b] = first.to_be_bytes();
    let [c, d] = second.unwrap_or(0).to_be_bytes();
    Fields([a, b, c, d], if second.is_some() { 4 } else { 2 })
}

/// Lowers the TTL by one with the header checksum updated; false when it may not be forwarded any more.
pub fn decrement_ttl(packet: &mut [u8]) -> bool {
    let (Some(&ttl), Some(&proto), Some(check)) = (packet.get(8), packet.get(9), be16(packet, 10)) else {
        return false;
    };
    if ttl <= 1 {
        return false;
    }
    let check = checksum::update(check, &[ttl, proto], &[ttl - 1, proto]);
    put(packet, 8, &[ttl - 1]) && put(packet, 10, &check.to_be_bytes())
}

/// Whether the header checksum of a packet holds.
pub fn header_checksum_holds(packet: &[u8], header: &Ipv4Header) -> bool {
    packet.get(..header.header_bytes).is_some_and(|bytes| checksum::fold(checksum::sum(bytes)) == 0xffff)
}

/// Whether the TCP, UDP or ICMP checksum of a whole packet holds (a UDP checksum of zero does).
pub fn transport_checksum_holds(packet: &[u8], header: &Ipv4Header) -> bool {
    let Some(payload) = header.payload(packet) else { return false };
    let pseudo = match header.protocol {
        protocol::ICMP => 0,
        protocol::UDP if be16(payload, 6) == Some(0) => return true,
        protocol::TCP | protocol::UDP => {
            checksum::pseudo_header_ipv4(header.src, header.dst, header.protocol, payload.len())
        }
        _ => return true,
    };
    be32(payload, 0).is_some() && checksum::fold(pseudo + checksum::sum(payload)) == 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build;
    use proptest::prelude::*;

    fn address() -> impl Strategy<Value = Ipv4Addr> {
        any::<u32>().prop_map(Ipv4Addr::from)
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_stays_inside(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(header) = Ipv4Header::parse(&bytes, bytes.len()) {
                prop_assert!(header.total_bytes <= bytes.len());
                let _ = header.payload(&bytes);
                if let Some(tuple) = Tuple::parse(&bytes, &header) {
                    let mut copy = bytes.clone();
                    rewrite(&mut copy, &header, &tuple, &tuple.reversed());
                }
                let mut copy = bytes.clone();
                fix_header_checksum(&mut copy);
                decrement_ttl(&mut copy);
            }
        }

        #[test]
        fn rewriting_keeps_checksums(src in address(), dst in address(), to_src in address(), to_dst in address(),
                                     ports in any::<[u16; 4]>(), payload in prop::collection::vec(any::<u8>(), 0..50), kind in 0..3) {
            let protocol = [protocol::TCP, protocol::UDP, protocol::ICMP][kind as usize];
            let mut packet = match protocol {
                protocol::UDP => build::udp(src, dst, ports[0], ports[1], &payload),
                protocol::ICMP => build::icmp(src, dst, 8, 0, [0, 7, 0, 1], &payload),
                _ => build::tcp_syn(src, dst, ports[0], ports[1]),
            };
            let header = Ipv4Header::parse(&packet, packet.len()).unwrap();
            prop_assert!(transport_checksum_holds(&packet, &header));
            let from = Tuple::parse(&packet, &header).unwrap();
            let to = if protocol == protocol::ICMP {
                Tuple { protocol, src: to_src, dst: to_dst, src_port: ports[2].max(1), dst_port: 0 }
            } else {
                Tuple { protocol, src: to_src, dst: to_dst, src_port: ports[2], dst_port: ports[3] }
            };
            prop_assert!(rewrite(&mut packet, &header, &from, &to));
            prop_assert!(decrement_ttl(&mut packet));
            let header = Ipv4Header::parse(&packet, packet.len()).unwrap();
            prop_assert_eq!(Tuple::parse(&packet, &header).unwrap(), to);
            prop_assert!(header_checksum_holds(&packet, &header));
            prop_assert!(transport_checksum_holds(&packet, &header));
        }
    }
}
