//! Software segmentation of large TCP and UDP frames, for receivers that did not negotiate it.

use crate::checksum;
use crate::offload::{GSO_ECN, GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, VnetHeader};
use crate::{be32, ethertype, ipv4, network_layer, protocol, put};

const TCP_FIN: u8 = 0x01;
const TCP_PSH: u8 = 0x08;
const TCP_CWR: u8 = 0x80;
const IPV6_HEADER_BYTES: usize = 40;
const UDP_HEADER_BYTES: usize = 8;
/// Offsets of the checksum in the headers of TCP and UDP.
const TCP_CHECK: u16 = 16;
const UDP_CHECK: u16 = 6;
/// Frames that one becomes at most: each costs what a frame costs, so that a sender who asks for tiny ones would have thousands of
/// them for one. 64 KiB of segments of 64 bytes: a path of less than 576 bytes, which every host takes (RFC 791), is none in use.
pub(crate) const SEGMENTS_MAX: usize = 1024;

/// A large frame, and where its headers end.
#[derive(Debug)]
pub struct Segmenter<'a> {
    frame: &'a [u8],
    ip_v4: bool,
    ip_at: usize,
    transport_at: usize,
    payload_at: usize,
    segment_bytes: usize,
    tcp: bool,
}

impl<'a> Segmenter<'a> {
    /// None when the frame is not TCP or UDP in IPv4 or IPv6 as its header says, is malformed, or would become too many. It may have
    /// VLAN tags; in IPv6 there may be extension headers, if the header says where its checksum begins.
    pub fn new(header: &VnetHeader, frame: &'a [u8]) -> Option<Self> {
        let (kind, ip_at) = network_layer(frame)?;
        let gso = header.gso_type & !GSO_ECN;
        let ip_v4 = kind == ethertype::IPV4;
        let tcp = gso != GSO_UDP_L4;
        if header.gso_size == 0 || tcp && gso != if ip_v4 { GSO_TCPV4 } else { GSO_TCPV6 } {
            return None;
        }
        let packet = frame.get(ip_at..)?;
        let expected = if tcp { protocol::TCP } else { protocol::UDP };
        let transport_at = if ip_v4 {
            let parsed = ipv4::Ipv4Header::parse(packet, packet.len()).filter(|ip| ip.whole)?;
            (parsed.protocol == expected).then_some(ip_at + parsed.header_bytes)?
        } else {
            let next = *packet.get(6).filter(|_| kind == ethertype::IPV6 && packet[0] >> 4 == 6)?;
            let fixed_end = ip_at + IPV6_HEADER_BYTES;
            let told = usize::from(header.csum_start);
            if next == expected {
                fixed_end
            } else {
                let check = if tcp { TCP_CHECK } else { UDP_CHECK };
                (header.needs_checksum() && header.csum_offset == check && told > fixed_end).then_some(told)?
            }
        };
        let transport_bytes = if tcp { usize::from(*frame.get(transport_at + 12)? >> 4) * 4 } else { UDP_HEADER_BYTES };
        let payload_at = transport_at + transport_bytes;
        if tcp && transport_bytes < 20 || payload_at > frame.len() {
            return None;
        }
        let segment_bytes = usize::from(header.gso_size);
        let segmenter = Self { frame, ip_v4, ip_at, transport_at, payload_at, segment_bytes, tcp };
        (segmenter.count() <= SEGMENTS_MAX).then_some(segmenter)
    }

    /// Number of frames that this one becomes; at least one.
    pub fn count(&self) -> usize {
        (self.frame.len() - self.payload_at).div_ceil(self.segment_bytes).max(1)
    }

    /// Writes segment `index` with complete checksums into `out`, replacing what was there.
    pub fn write(&self, index: usize, out: &mut Vec<u8>) {
        out.clear();
        self.append(index, out);
    }

    /// As [`Self::write`], behind what is in `out`.
    pub fn append(&self, index: usize, out: &mut Vec<u8>) {
        let payload = &self.frame[self.payload_at..];
        let from = (index * self.segment_bytes).min(payload.len());
        let to = (from + self.segment_bytes).min(payload.len());
        let last = to == payload.len();
        let begin = out.len();
        out.extend_from_slice(&self.frame[..self.payload_at]);
        out.extend_from_slice(&payload[from..to]);
        let out = &mut out[begin..];

        // Frames are shorter than 64 KiB, so lengths and offsets fit their fields.
        let length = out.len() - self.transport_at;
        let ip = &mut out[self.ip_at..];
        let pseudo = if self.ip_v4 {
            let total = ip.len() as u16;
            let identification = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(index as u16);
            put(ip, 2, &total.to_be_bytes());
            put(ip, 4, &identification.to_be_bytes());
            ipv4::fix_header_checksum(ip);
            checksum::sum(&ip[12..20])
        } else {
            let carried = (ip.len() - IPV6_HEADER_BYTES) as u16;
            put(ip, 4, &carried.to_be_bytes());
            checksum::sum(&ip[8..IPV6_HEADER_BYTES])
        };
        let transport = &mut out[self.transport_at..];
        let (check_at, kind) = if self.tcp {
            let sequence = be32(transport, 4).unwrap_or(0).wrapping_add(from as u32);
            put(transport, 4, &sequence.to_be_bytes());
            if !last {
                transport[13] &= !(TCP_FIN | TCP_PSH);
            }
            if index > 0 {
                transport[13] &= !TCP_CWR;
            }
            (TCP_CHECK, protocol::TCP)
        } else {
            put(transport, 4, &(length as u16).to_be_bytes());
            (UDP_CHECK, protocol::UDP)
        };
        put(transport, check_at.into(), &[0, 0]);
        let check = match !checksum::fold(pseudo + u64::from(kind) + length as u64 + checksum::sum(transport)) {
            // UDP's zero means no checksum (RFC 768).
            0 if !self.tcp => 0xffff,
            check => check,
        };
        put(transport, check_at.into(), &check.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipv4::{Ipv4Header, header_checksum_holds, transport_checksum_holds};
    use crate::offload::NEEDS_CSUM;
    use crate::{MacAddr, build};
    use proptest::prelude::*;
    use std::net::Ipv4Addr;

    proptest! {
        #[test]
        fn segments_carry_the_payload_in_order_with_good_checksums(
            payload in prop::collection::vec(any::<u8>(), 1..9000), mss in 1u16..3000) {
            prop_assume!(payload.len() / usize::from(mss) < 200);
            let packet = build::tcp(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), 80, 8080, 0x99, &payload);
            let frame = build::ethernet(MacAddr([2; 6]), MacAddr([4; 6]), &packet);
            let header = VnetHeader { flags: NEEDS_CSUM, gso_type: GSO_TCPV4, gso_size: mss, csum_start: 34, csum_offset: 16, header_bytes: 54 };
            let segmenter = Segmenter::new(&header, &frame).unwrap();
            let mut joined = Vec::new();
            let mut out = Vec::new();
            for index in 0..segmenter.count() {
                segmenter.write(index, &mut out);
                let ip = Ipv4Header::parse(&out[14..], out.len() - 14).unwrap();
                prop_assert!(header_checksum_holds(&out[14..], &ip) && transport_checksum_holds(&out[14..], &ip));
                prop_assert_eq!(be32(&out, 38).unwrap() as usize, 1 + joined.len());
                let last = index + 1 == segmenter.count();
                prop_assert_eq!(out[47] & (TCP_FIN | TCP_PSH), if last { TCP_FIN | TCP_PSH } else { 0 });
                prop_assert_eq!(out[47] & TCP_CWR != 0, index == 0);
                joined.extend_from_slice(&out[54..]);
            }
            prop_assert_eq!(joined, payload);
        }

        /// Tags move the headers; datagrams are cut like segments, with lengths and checksums of their own.
        #[test]
        fn tagged_datagrams_become_datagrams(payload in prop::collection::vec(any::<u8>(), 1..9000), size in 100u16..3000) {
            let packet = build::udp(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), 80, 8080, &payload);
            let mut frame = build::ethernet(MacAddr([2; 6]), MacAddr([4; 6]), &packet);
            frame.splice(12..12, [0x81, 0, 0, 5]);
            let header = VnetHeader { flags: NEEDS_CSUM, gso_type: GSO_UDP_L4, gso_size: size, csum_start: 38, csum_offset: 6, header_bytes: 46 };
            let segmenter = Segmenter::new(&header, &frame).unwrap();
            let (mut joined, mut out) = (Vec::new(), Vec::new());
            for index in 0..segmenter.count() {
                segmenter.write(index, &mut out);
                let ip = Ipv4Header::parse(&out[18..], out.len() - 18).unwrap();
                prop_assert!(header_checksum_holds(&out[18..], &ip) && transport_checksum_holds(&out[18..], &ip));
                prop_assert_eq!(&out[..18], &frame[..18]);
                joined.extend_from_slice(&out[46..]);
            }
            prop_assert_eq!(joined, payload);
        }

        /// What a sender may ask for is bounded.
        #[test]
        fn frames_become_no_more_than_so_many(size in 1u16..200) {
            let payload = vec![7; 60_000];
            let packet = build::tcp(Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), 80, 8080, 0x10, &payload);
            let frame = build::ethernet(MacAddr([2; 6]), MacAddr([4; 6]), &packet);
            let header = VnetHeader { flags: NEEDS_CSUM, gso_type: GSO_TCPV4, gso_size: size, csum_start: 34, csum_offset: 16, header_bytes: 54 };
            let count = Segmenter::new(&header, &frame).map(|segmenter| segmenter.count());
            let expected = 60_000usize.div_ceil(size.into());
            prop_assert_eq!(count, (expected <= SEGMENTS_MAX).then_some(expected));
        }

        #[test]
        fn hostile_frames_never_panic(frame in prop::collection::vec(any::<u8>(), 0..200), header in any::<[u8; 12]>()) {
            let header = VnetHeader::from_bytes(&header);
            if let Some(segmenter) = Segmenter::new(&header, &frame) {
                let mut out = Vec::new();
                for index in 0..segmenter.count().min(4) {
                    segmenter.write(index, &mut out);
                }
            }
        }
    }
}
