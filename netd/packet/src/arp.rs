//! ARP for Ethernet and IPv4 (RFC 826).

use crate::{ETHERNET_HEADER_BYTES, MacAddr, ethertype};
use std::net::Ipv4Addr;

/// Length of an Ethernet/IPv4 ARP packet, in bytes.
pub const PACKET_BYTES: usize = 28;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Request,
    Reply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arp {
    pub operation: Operation,
    pub sender_mac: MacAddr,
    pub sender_ip: Ipv4Addr,
    pub target_mac: MacAddr,
    pub target_ip: Ipv4Addr,
}

impl Arp {
    /// Parses the packet behind the Ethernet header. None when it is not Ethernet/IPv4 or neither request nor reply.
    pub fn parse(packet: &[u8]) -> Option<Self> {
        let p = packet.first_chunk::<PACKET_BYTES>()?;
        if p[..6] != [0, 1, 8, 0, 6, 4] {
            return None;
        }
        let operation = match [p[6], p[7]] {
            [0, 1] => Operation::Request,
            [0, 2] => Operation::Reply,
            _ => return None,
        };
        Some(Self {
            operation,
            sender_mac: MacAddr([p[8], p[9], p[10], p[11], p[12], p[13]]),
            sender_ip: Ipv4Addr::new(p[14], p[15], p[16], p[17]),
            target_mac: MacAddr([p[18], p[19], p[20], p[21], p[22], p[23]]),
            target_ip: Ipv4Addr::new(p[24], p[25], p[26], p[27]),
        })
    }

    /// The Ethernet frame of this packet, sent by its sender to `to`.
    pub fn to_frame(&self, to: MacAddr) -> Vec<u8> {
        let mut frame = Vec::with_capacity(ETHERNET_HEADER_BYTES + PACKET_BYTES);
        frame.extend_from_slice(&to.0);
        frame.extend_from_slice(&self.sender_mac.0);
        frame.extend_from_slice(&ethertype::ARP.to_be_bytes());
        frame.extend_from_slice(&[0, 1, 8, 0, 6, 4, 0, if self.operation == Operation::Request { 1 } else { 2 }]);
        frame.extend_from_slice(&self.sender_mac.0);
        frame.extend_from_slice(&self.sender_ip.octets());
        frame.extend_from_slice(&self.target_mac.0);
        frame.extend_from_slice(&self.target_ip.octets());
        frame
    }

    /// The reply that `mac` has the address asked for.
    #[must_use]
    pub fn answered_by(&self, mac: MacAddr) -> Self {
        Self {
            operation: Operation::Reply,
            sender_mac: mac,
            sender_ip: self.target_ip,
            target_mac: self.sender_mac,
            target_ip: self.sender_ip,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_parses_back() {
        let arp = Arp {
            operation: Operation::Request,
            sender_mac: MacAddr([2, 0, 0, 0, 0, 1]),
            sender_ip: Ipv4Addr::new(10, 0, 0, 5),
            target_mac: MacAddr([0; 6]),
            target_ip: Ipv4Addr::new(10, 0, 0, 1),
        };
        let frame = arp.to_frame(MacAddr::BROADCAST);
        assert_eq!(Arp::parse(&frame[ETHERNET_HEADER_BYTES..]), Some(arp));
        assert_eq!(Arp::parse(&frame[ETHERNET_HEADER_BYTES..frame.len() - 1]), None);
    }
}
