//! The IP packet inside an encrypted message: what a WireGuard peer routes into its tunnel, and takes out of it.
//!
//! WireGuard carries IP packets, so the tunnel's datagram is one: between the same two addresses as the message around it, which is
//! what cryptokey routing asks of a peer whose allowed address is its endpoint's.

use super::super::Reject;
use hive_packet::{be16, checksum, protocol, put};
use std::net::IpAddr;
use std::ops::Range;

const IPV4_HEADER_BYTES: usize = 20;
const IPV6_HEADER_BYTES: usize = 40;
const UDP_HEADER_BYTES: usize = 8;
/// Lengths of messages tell no more than that of packets ("padding", section 5.4.6 of the WireGuard paper).
const PADDING_BYTES: usize = 16;
/// More fragments, and the fragment's offset.
const FRAGMENT: u16 = 0x3fff;
const DONT_FRAGMENT: [u8; 2] = [0x40, 0];

/// Beside addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub source_port: u16,
    pub destination_port: u16,
    pub tos: u8,
    pub ttl: u8,
    pub df: bool,
}

/// Of all headers before the tunnel's datagram, in a packet between addresses like this one.
pub(super) fn header_bytes(address: IpAddr) -> usize {
    UDP_HEADER_BYTES + network_bytes(address)
}

fn network_bytes(address: IpAddr) -> usize {
    if address.is_ipv4() { IPV4_HEADER_BYTES } else { IPV6_HEADER_BYTES }
}

impl Header {
    /// Writes the headers before what lies in `packet` from [`header_bytes`] on, and pads it. False if it is too long for a packet.
    pub fn write(&self, packet: &mut Vec<u8>) -> bool {
        let network = network_bytes(self.source);
        let (Ok(total), Some(udp)) = (u16::try_from(packet.len()), packet.len().checked_sub(network)) else {
            return false;
        };
        let udp = (udp as u16).to_be_bytes();
        let [source_port, destination_port] = [self.source_port, self.destination_port].map(u16::to_be_bytes);
        let done = match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let flags = if self.df { DONT_FRAGMENT } else { [0; 2] };
                put(packet, 0, &[0x45, self.tos])
                    && put(packet, 2, &total.to_be_bytes())
                    && put(packet, 4, &[0, 0])
                    && put(packet, 6, &flags)
                    && put(packet, 8, &[self.ttl, protocol::UDP, 0, 0])
                    && put(packet, 12, &source.octets())
                    && put(packet, 16, &destination.octets())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                put(packet, 0, &[0x60 | self.tos >> 4, self.tos << 4, 0, 0])
                    && put(packet, 4, &udp)
                    && put(packet, 6, &[protocol::UDP, self.ttl])
                    && put(packet, 8, &source.octets())
                    && put(packet, 24, &destination.octets())
            }
            _ => false,
        };
        let done = done
            && put(packet, network, &source_port)
            && put(packet, network + 2, &destination_port)
            && put(packet, network + 4, &udp)
            && put(packet, network + 6, &[0, 0]);
        if !done {
            return false;
        }
        let check = match self.source {
            IpAddr::V4(_) => {
                let check = checksum::checksum(packet.get(..network).unwrap_or(&[]));
                // The message's own check is better than UDP's, which over IPv4 may be left out.
                put(packet, 10, &check.to_be_bytes())
            }
            IpAddr::V6(_) => {
                let pseudo = checksum::sum(packet.get(8..network).unwrap_or(&[])) + u64::from(protocol::UDP);
                let length = u64::from(u16::from_be_bytes(udp));
                let sum = pseudo + length + checksum::sum(packet.get(network..).unwrap_or(&[]));
                let check = match !checksum::fold(sum) {
                    0 => 0xffff,
                    check => check,
                };
                put(packet, network + 6, &check.to_be_bytes())
            }
        };
        packet.resize(packet.len().next_multiple_of(PADDING_BYTES), 0);
        check
    }
}

/// Where in a packet the tunnel's datagram is, if it goes from `source` to `destination` and its `port`.
///
/// # Errors
/// It is something else: of another node, a fragment, another protocol.
pub fn parse(packet: &[u8], source: IpAddr, destination: IpAddr, port: u16) -> Result<Range<usize>, Reject> {
    find(packet, source, destination, port).ok_or(Reject::Inner)
}

fn find(packet: &[u8], source: IpAddr, destination: IpAddr, port: u16) -> Option<Range<usize>> {
    let udp_at = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let first = packet.first()?;
            let header_bytes = usize::from(first & 0xf) * 4;
            let is_ours = first >> 4 == 4
                && header_bytes >= IPV4_HEADER_BYTES
                && packet.get(9) == Some(&protocol::UDP)
                && be16(packet, 6)? & FRAGMENT == 0
                && packet.get(12..16)? == source.octets()
                && packet.get(16..20)? == destination.octets();
            is_ours.then_some(header_bytes)?
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let is_ours = packet.first()? >> 4 == 6
                && packet.get(6) == Some(&protocol::UDP)
                && packet.get(8..24)? == source.octets()
                && packet.get(24..40)? == destination.octets();
            is_ours.then_some(IPV6_HEADER_BYTES)?
        }
        _ => return None,
    };
    let udp_bytes = usize::from(be16(packet, udp_at + 4)?);
    let range = udp_at + UDP_HEADER_BYTES..udp_at + udp_bytes;
    (be16(packet, udp_at + 2)? == port && udp_bytes >= UDP_HEADER_BYTES && range.end <= packet.len()).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_packet::build;
    use hive_packet::ipv4::{Ipv4Header, header_checksum_holds};
    use proptest::prelude::*;

    fn address(v6: bool, host: u8) -> IpAddr {
        let text = if v6 { format!("fd00::{host}") } else { format!("10.0.0.{host}") };
        text.parse().unwrap()
    }

    fn header(v6: bool, df: bool) -> Header {
        Header {
            source: address(v6, 1),
            destination: address(v6, 2),
            source_port: 50_000,
            destination_port: 6081,
            tos: 0xb8,
            ttl: 9,
            df,
        }
    }

    #[test]
    fn only_datagrams_of_the_peer_for_this_port_are_taken() {
        let [here, there] = [1, 2].map(|host| address(false, host));
        let parse = |packet: &[u8]| parse(packet, there, here, 6081);
        let good = build::udp([10, 0, 0, 2].into(), [10, 0, 0, 1].into(), 9, 6081, b"frame");
        assert_eq!(parse(&good), Ok(28..33));
        for (at, value) in
            [(0, 0x65), (0, 0x44), (0, 0x4f), (6, 0x20), (7, 1), (9, 6), (12, 9), (19, 9), (23, 0), (25, 200), (25, 7)]
        {
            let mut bad = good.clone();
            bad[at] = value;
            assert_eq!(parse(&bad), Err(Reject::Inner), "{at} {value}");
        }
        for length in 0..good.len() {
            assert_eq!(parse(&good[..length]), Err(Reject::Inner));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(v6: bool, df: bool, payload in prop::collection::vec(any::<u8>(), 0..2000)) {
            let header = header(v6, df);
            let mut packet = vec![0xee; header_bytes(header.source)];
            packet.extend_from_slice(&payload);
            let bytes = packet.len();
            prop_assert!(header.write(&mut packet));
            prop_assert_eq!(packet.len(), bytes.next_multiple_of(16));
            let range = parse(&packet, header.source, header.destination, 6081).unwrap();
            prop_assert_eq!(&packet[range], &payload[..]);
            prop_assert_eq!(parse(&packet, header.destination, header.source, 6081), Err(Reject::Inner));
            if !v6 {
                let parsed = Ipv4Header::parse(&packet, bytes).unwrap();
                prop_assert!(header_checksum_holds(&packet, &parsed));
                prop_assert_eq!(packet[6] & 0x40 != 0, df);
            } else {
                let pseudo = checksum::sum(&packet[8..40]) + 17 + (bytes - 40) as u64;
                prop_assert_eq!(checksum::fold(pseudo + checksum::sum(&packet[40..bytes])), 0xffff);
            }
        }

        #[test]
        fn any_packet_has_an_answer(v6: bool, packet in prop::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(range) = parse(&packet, address(v6, 1), address(v6, 2), 6081) {
                prop_assert!(range.end <= packet.len());
            }
        }
    }

    #[test]
    fn what_is_too_long_for_a_packet_is_not_written() {
        let header = header(false, true);
        assert!(header.write(&mut vec![0; 65_535]));
        assert!(!header.write(&mut vec![0; 65_536]));
        assert!(!header.write(&mut vec![0; 10]));
    }
}
