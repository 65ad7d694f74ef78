//! IPv4 headers (RFC 791), and checksums of what is behind them.

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

    proptest! {
        #[test]
        fn parsing_never_panics_and_stays_inside(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            if let Some(header) = Ipv4Header::parse(&bytes, bytes.len()) {
                prop_assert!(header.total_bytes <= bytes.len());
                let _ = header.payload(&bytes);
                let _ = transport_checksum_holds(&bytes, &header);
                let mut copy = bytes.clone();
                fix_header_checksum(&mut copy);
                prop_assert!(header_checksum_holds(&copy, &header));
            }
        }

        #[test]
        fn a_changed_bit_breaks_a_checksum(ports in any::<[u16; 2]>(), payload in prop::collection::vec(any::<u8>(), 0..50),
                                           kind in 0..3, at in any::<prop::sample::Index>()) {
            let (src, dst) = (Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(10, 0, 0, 6));
            let mut packet = match kind {
                0 => build::udp(src, dst, ports[0], ports[1], &payload),
                1 => build::icmp(src, dst, 8, 0, [0, 7, 0, 1], &payload),
                _ => build::tcp_syn(src, dst, ports[0], ports[1]),
            };
            let header = Ipv4Header::parse(&packet, packet.len()).unwrap();
            prop_assert!(header_checksum_holds(&packet, &header) && transport_checksum_holds(&packet, &header));
            let at = HEADER_BYTES + at.index(packet.len() - HEADER_BYTES);
            packet[at] ^= 1;
            // Of UDP, zero would say that there is no checksum.
            prop_assume!(kind != 0 || packet[26..28] != [0, 0]);
            prop_assert!(!transport_checksum_holds(&packet, &header));
        }
    }
}
