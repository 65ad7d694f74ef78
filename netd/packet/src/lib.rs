//! Ethernet, ARP, IPv4, IPv6, TCP and UDP headers, and BFD: checked parsing, building, checksums and software segmentation.
//!
//! Everything here works on byte slices that may come from a hostile guest: no function panics on any input.

#![forbid(unsafe_code)]

pub mod arp;
pub mod bfd;
pub mod build;
pub mod checksum;
pub mod coalesce;
pub mod frame;
pub mod ipv4;
pub mod ipv6;
pub mod mac;
pub mod offload;
pub mod segment;

pub use frame::{Frame, FrameError, Network};
pub use mac::MacAddr;
pub use offload::{OffloadError, VnetHeader};

/// Length of an untagged Ethernet header, in bytes.
pub const ETHERNET_HEADER_BYTES: usize = 14;

/// EtherTypes (IEEE 802 numbers).
pub mod ethertype {
    pub const IPV4: u16 = 0x0800;
    pub const ARP: u16 = 0x0806;
    pub const IPV6: u16 = 0x86dd;
    /// 802.1Q, 802.1ad and the pre-standard double tag.
    pub const VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];
}

/// IP protocol numbers (IANA).
pub mod protocol {
    pub const ICMP: u8 = 1;
    pub const TCP: u8 = 6;
    pub const UDP: u8 = 17;
    pub const IPV6_FRAGMENT: u8 = 44;
    pub const ICMPV6: u8 = 58;
}

/// VLAN tags that offloads are looked for behind.
const VLAN_TAGS_MAX: usize = 2;

/// The EtherType behind VLAN tags, and where what it names begins.
#[inline]
pub fn network_layer(frame: &[u8]) -> Option<(u16, usize)> {
    let mut at = ETHERNET_HEADER_BYTES;
    let mut kind = be16(frame, at - 2)?;
    for _ in 0..VLAN_TAGS_MAX {
        if !ethertype::VLAN.contains(&kind) {
            break;
        }
        at += 4;
        kind = be16(frame, at - 2)?;
    }
    Some((kind, at))
}

/// Big-endian 16-bit field at `offset`, if the slice holds it.
#[inline]
pub fn be16(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes.get(offset..)?.first_chunk::<2>().map(|field| u16::from_be_bytes(*field))
}

/// Big-endian 32-bit field at `offset`, if the slice holds it.
#[inline]
pub fn be32(bytes: &[u8], offset: usize) -> Option<u32> {
    bytes.get(offset..)?.first_chunk::<4>().map(|field| u32::from_be_bytes(*field))
}

/// Writes a field at `offset`; false when the slice is too short.
#[inline]
pub fn put(bytes: &mut [u8], offset: usize, field: &[u8]) -> bool {
    match bytes.get_mut(offset..offset.saturating_add(field.len())) {
        Some(slot) => {
            slot.copy_from_slice(field);
            true
        }
        None => false,
    }
}
