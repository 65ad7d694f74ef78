//! IPv6 headers (RFC 8200), and checksums of what is directly behind them. Extension headers are a next header as any.

use crate::checksum;
use crate::{be16, be32, protocol};
use std::net::Ipv6Addr;

/// Length of an IPv6 header, in bytes.
pub const HEADER_BYTES: usize = 40;

/// The checked header of an IPv6 packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ipv6Header {
    /// Header and payload, in bytes; not more than what carried it.
    pub total_bytes: usize,
    pub next_header: u8,
    pub hop_limit: u8,
    pub src: Ipv6Addr,
    pub dst: Ipv6Addr,
}

impl Ipv6Header {
    /// Parses the header at the start of `head`, a prefix of a packet of `packet_bytes`. None when malformed.
    #[inline]
    pub fn parse(head: &[u8], packet_bytes: usize) -> Option<Self> {
        let (fixed, addresses) = head.first_chunk::<HEADER_BYTES>()?.split_first_chunk::<8>()?;
        let total_bytes = HEADER_BYTES + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
        if fixed[0] >> 4 != 6 || total_bytes > packet_bytes {
            return None;
        }
        Some(Self {
            total_bytes,
            next_header: fixed[6],
            hop_limit: fixed[7],
            src: Ipv6Addr::from(*addresses.first_chunk::<16>()?),
            dst: Ipv6Addr::from(*addresses.last_chunk::<16>()?),
        })
    }

    /// The payload of the whole packet this header was parsed from.
    pub fn payload<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        packet.get(HEADER_BYTES..self.total_bytes)
    }
}

/// Whether the TCP, UDP or ICMPv6 checksum of a whole packet holds. A UDP datagram must have one (RFC 8200, 8.1).
pub fn transport_checksum_holds(packet: &[u8], header: &Ipv6Header) -> bool {
    let Some(payload) = header.payload(packet) else { return false };
    match header.next_header {
        protocol::UDP if be16(payload, 6) == Some(0) => return false,
        protocol::TCP | protocol::UDP | protocol::ICMPV6 => {}
        _ => return true,
    }
    let pseudo = checksum::pseudo_header_ipv6(header.src, header.dst, header.next_header, payload.len());
    be32(payload, 0).is_some() && checksum::fold(pseudo + checksum::sum(payload)) == 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build;
    use proptest::prelude::*;

    /// A neighbour advertisement, written and summed without the code here.
    const ADVERTISEMENT: [u8; 64] = [
        0x60, 0, 0, 0, 0, 24, 58, 255, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 5, 0xfe, 0x80, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 1, 136, 0, 0x3f, 0x1f, 0x40, 0, 0, 0, 0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0xff, 0xfe, 0, 0, 5,
    ];

    #[test]
    fn a_header_is_read() {
        let header = Ipv6Header::parse(&ADVERTISEMENT, ADVERTISEMENT.len()).unwrap();
        let expected = Ipv6Header {
            total_bytes: 64,
            next_header: protocol::ICMPV6,
            hop_limit: 255,
            src: "fe80::ff:fe00:5".parse().unwrap(),
            dst: "fe80::ff:fe00:1".parse().unwrap(),
        };
        assert_eq!(header, expected);
        assert_eq!(header.payload(&ADVERTISEMENT).map(<[u8]>::len), Some(24));
        assert!(transport_checksum_holds(&ADVERTISEMENT, &header));
        assert_eq!(Ipv6Header::parse(&ADVERTISEMENT, 63), None, "longer than what carries it");
        assert_eq!(Ipv6Header::parse(&ADVERTISEMENT[..39], 64), None);
        let mut other = ADVERTISEMENT;
        other[0] = 0x45;
        assert_eq!(Ipv6Header::parse(&other, 64), None);
    }

    #[test]
    fn a_datagram_without_checksum_is_none() {
        let [src, dst] = [Ipv6Addr::from(1), Ipv6Addr::from(2)];
        let mut packet = build::v6::udp(src, dst, 1, 2, b"text");
        let header = Ipv6Header::parse(&packet, packet.len()).unwrap();
        assert!(transport_checksum_holds(&packet, &header));
        packet[46..48].copy_from_slice(&[0, 0]);
        assert!(!transport_checksum_holds(&packet, &header));
    }

    proptest! {
        #[test]
        fn parsing_never_panics_and_stays_inside(bytes in prop::collection::vec(any::<u8>(), 0..90), next in any::<u8>()) {
            let mut bytes = bytes;
            if bytes.len() > 7 {
                bytes[..6].copy_from_slice(&[0x60, 0, 0, 0, 0, next & 63]);
                bytes[6] = [6, 17, 58, next][usize::from(next & 3)];
            }
            if let Some(header) = Ipv6Header::parse(&bytes, bytes.len()) {
                prop_assert!(header.total_bytes <= bytes.len());
                prop_assert!(header.payload(&bytes).is_some());
                let _ = transport_checksum_holds(&bytes, &header);
            }
        }

        #[test]
        fn a_changed_bit_breaks_a_checksum(ports in any::<[u16; 2]>(), payload in prop::collection::vec(any::<u8>(), 0..50),
                                           kind in 0..3, at in any::<prop::sample::Index>(), addresses in any::<[u128; 2]>()) {
            let [src, dst] = addresses.map(Ipv6Addr::from_bits);
            let mut packet = match kind {
                0 => build::v6::udp(src, dst, ports[0], ports[1], &payload),
                1 => build::v6::icmp(src, dst, 128, 0, [0, 7, 0, 1], &payload),
                _ => build::v6::tcp_at(src, dst, ports, 2, [1, 0], &payload),
            };
            let header = Ipv6Header::parse(&packet, packet.len()).unwrap();
            prop_assert!(transport_checksum_holds(&packet, &header));
            // Not the lengths and protocol: they say what is summed.
            let at = 8 + at.index(packet.len() - 8);
            packet[at] ^= 1;
            let header = Ipv6Header::parse(&packet, packet.len()).unwrap();
            prop_assert!(!transport_checksum_holds(&packet, &header));
        }
    }
}
