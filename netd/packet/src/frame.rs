//! The header of an Ethernet frame and what it carries, as far as the services look.

use crate::arp::Arp;
use crate::ipv4::Ipv4Header;
use crate::ipv6::{self, Ipv6Header};
use crate::{ETHERNET_HEADER_BYTES, MacAddr, ethertype};

/// Bytes of a frame's start that [`Frame::parse`] may look at: Ethernet with IPv6, the longest of what it looks at.
pub const INSPECTED_BYTES: usize = ETHERNET_HEADER_BYTES + ipv6::HEADER_BYTES;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    pub dst: MacAddr,
    pub src: MacAddr,
    pub network: Network,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Ipv4(Ipv4Header),
    Arp(Arp),
    Ipv6(Ipv6Header),
    Other(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// Shorter than its headers.
    Short,
    /// Carries an 802.1Q or 802.1ad tag.
    Tagged,
    /// The IP or ARP header contradicts itself or the frame's length.
    Malformed,
}

impl Frame {
    /// Parses `head`, the first bytes of a frame of `frame_bytes` in all. `head` holds at least [`INSPECTED_BYTES`] or the frame.
    #[inline]
    pub fn parse(head: &[u8], frame_bytes: usize) -> Result<Self, FrameError> {
        let Some((ethernet, body)) = head.split_first_chunk::<ETHERNET_HEADER_BYTES>() else {
            return Err(FrameError::Short);
        };
        let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *ethernet;
        let body_bytes = frame_bytes.saturating_sub(ETHERNET_HEADER_BYTES);
        let network = match u16::from_be_bytes([t0, t1]) {
            ethertype::IPV4 => Network::Ipv4(Ipv4Header::parse(body, body_bytes).ok_or(FrameError::Malformed)?),
            ethertype::ARP => Network::Arp(Arp::parse(body).ok_or(FrameError::Malformed)?),
            ethertype::IPV6 => Network::Ipv6(Ipv6Header::parse(body, body_bytes).ok_or(FrameError::Malformed)?),
            tag if ethertype::VLAN.contains(&tag) => return Err(FrameError::Tagged),
            other => Network::Other(other),
        };
        Ok(Self { dst: MacAddr([d0, d1, d2, d3, d4, d5]), src: MacAddr([s0, s1, s2, s3, s4, s5]), network })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn tags_and_short_frames_are_refused() {
        let mut frame = [0u8; 60];
        frame[12..14].copy_from_slice(&[0x81, 0]);
        assert_eq!(Frame::parse(&frame, 60), Err(FrameError::Tagged));
        assert_eq!(Frame::parse(&frame[..13], 13), Err(FrameError::Short));
        for kind in [ethertype::IPV4, ethertype::IPV6] {
            frame[12..14].copy_from_slice(&kind.to_be_bytes());
            assert_eq!(Frame::parse(&frame, 60), Err(FrameError::Malformed));
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(head in prop::collection::vec(any::<u8>(), 0..64), length in 0usize..70000,
                                kind in prop::sample::select(vec![0x0800u16, 0x0806, 0x86dd, 0x8100, 0x1234])) {
            let mut head = head;
            if head.len() >= 14 {
                head[12..14].copy_from_slice(&kind.to_be_bytes());
            }
            let _ = Frame::parse(&head, length);
        }
    }
}
