//! The virtio-net header (virtio 1.2, 5.1.6) and checksums left to the receiver.

use crate::checksum;
use crate::{ETHERNET_HEADER_BYTES, ethertype, network_layer, put};
use std::fmt;

/// Length of the header with VIRTIO_F_VERSION_1, in bytes.
pub const VNET_HEADER_BYTES: usize = 12;

/// Checksum fields are left to the receiver: only the pseudo-header is summed.
pub const NEEDS_CSUM: u8 = 1;
/// The checksum was verified.
pub const DATA_VALID: u8 = 2;
pub const GSO_NONE: u8 = 0;
pub const GSO_TCPV4: u8 = 1;
pub const GSO_TCPV6: u8 = 4;
/// UDP datagrams of one size that follow each other. Guests are not offered it; the kernel hands it to us.
pub const GSO_UDP_L4: u8 = 5;
/// Of `gso_type`: the first segment alone carries CWR.
pub const GSO_ECN: u8 = 0x80;

/// What a sender asks for a frame, without `num_buffers`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VnetHeader {
    pub flags: u8,
    pub gso_type: u8,
    pub header_bytes: u16,
    /// Payload of one segment, in bytes.
    pub gso_size: u16,
    pub csum_start: u16,
    pub csum_offset: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffloadError {
    /// A segmentation type that was never offered.
    GsoType,
    /// Segmentation without a segment size, a checksum request or the right EtherType.
    Gso,
    /// The checksum field lies outside the frame.
    Checksum,
}

impl fmt::Display for OffloadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::GsoType => "segmentation type was not offered",
            Self::Gso => "segmentation request contradicts the frame",
            Self::Checksum => "checksum field lies outside the frame",
        })
    }
}

impl VnetHeader {
    #[inline]
    pub fn from_bytes(bytes: &[u8; VNET_HEADER_BYTES]) -> Self {
        let field = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Self {
            flags: bytes[0] & NEEDS_CSUM,
            gso_type: bytes[1],
            header_bytes: field(2),
            gso_size: field(4),
            csum_start: field(6),
            csum_offset: field(8),
        }
    }

    #[inline]
    pub fn to_bytes(self, num_buffers: u16) -> [u8; VNET_HEADER_BYTES] {
        let mut bytes = [0; VNET_HEADER_BYTES];
        bytes[0] = self.flags;
        bytes[1] = self.gso_type;
        for (at, field) in
            [(2, self.header_bytes), (4, self.gso_size), (6, self.csum_start), (8, self.csum_offset), (10, num_buffers)]
        {
            bytes[at..at + 2].copy_from_slice(&field.to_le_bytes());
        }
        bytes
    }

    #[inline]
    pub fn needs_checksum(&self) -> bool {
        self.flags & NEEDS_CSUM != 0
    }

    #[inline]
    pub fn is_gso(&self) -> bool {
        self.gso_type != GSO_NONE
    }

    /// Checks the header against the frame it came with; a receiver may then rely on it.
    #[inline]
    pub fn check(&self, head: &[u8], frame_bytes: usize) -> Result<(), OffloadError> {
        if self.needs_checksum() {
            let field = usize::from(self.csum_start) + usize::from(self.csum_offset);
            if usize::from(self.csum_start) < ETHERNET_HEADER_BYTES || field + 2 > frame_bytes {
                return Err(OffloadError::Checksum);
            }
        }
        let carried = match self.gso_type {
            GSO_NONE => return Ok(()),
            GSO_TCPV4 => ethertype::IPV4,
            GSO_TCPV6 => ethertype::IPV6,
            _ => return Err(OffloadError::GsoType),
        };
        if self.gso_size == 0 || !self.needs_checksum() || network_layer(head).map(|layer| layer.0) != Some(carried) {
            return Err(OffloadError::Gso);
        }
        Ok(())
    }
}

/// Completes the checksum that a sender left to the receiver, over `frame` from `csum_start` to its end. False when it lies outside.
pub fn complete_checksum(frame: &mut [u8], header: &VnetHeader) -> bool {
    let start = usize::from(header.csum_start);
    let Some(covered) = frame.get(start..) else { return false };
    let check = match !checksum::fold(checksum::sum(covered)) {
        // UDP's zero means no checksum; all ones is the same sum for every protocol (RFC 768).
        0 => 0xffff,
        check => check,
    };
    put(frame, start + usize::from(header.csum_offset), &check.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipv4::{Ipv4Header, transport_checksum_holds};
    use crate::{build, protocol};
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    proptest! {
        #[test]
        fn bytes_round_trip(bytes in any::<[u8; 12]>()) {
            let header = VnetHeader::from_bytes(&bytes);
            prop_assert_eq!(VnetHeader::from_bytes(&header.to_bytes(7)), header);
        }

        #[test]
        fn a_checked_checksum_request_can_be_completed(bytes in any::<[u8; 12]>(), mut frame in prop::collection::vec(any::<u8>(), 0..300)) {
            let header = VnetHeader::from_bytes(&bytes);
            let completed = complete_checksum(&mut frame, &header);
            if header.needs_checksum() && header.check(&frame, frame.len()).is_ok() {
                prop_assert!(completed);
            }
        }

        #[test]
        fn completing_gives_the_full_checksum(payload in prop::collection::vec(any::<u8>(), 0..100)) {
            let (src, dst) = (Ipv4Addr::new(10, 0, 0, 5), Ipv4Addr::new(10, 0, 0, 6));
            let packet = build::udp(src, dst, 1, 2, &payload);
            let mac = crate::MacAddr([2; 6]);
            let mut frame = build::ethernet(mac, mac, &packet);
            let pseudo = checksum::fold(checksum::pseudo_header_ipv4(src, dst, protocol::UDP, payload.len() + 8));
            put(&mut frame, 14 + 20 + 6, &pseudo.to_be_bytes());
            let header = VnetHeader { flags: NEEDS_CSUM, csum_start: 34, csum_offset: 6, ..VnetHeader::default() };
            prop_assert!(complete_checksum(&mut frame, &header));
            let parsed = Ipv4Header::parse(&frame[14..], frame.len() - 14).unwrap();
            prop_assert!(transport_checksum_holds(&frame[14..], &parsed));
        }
    }
}
