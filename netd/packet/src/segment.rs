//! Software segmentation of large TCP frames, for receivers that did not negotiate it.

use crate::checksum;
use crate::offload::{GSO_TCPV4, VnetHeader, network};
use crate::{be32, ipv4, protocol, put};

const TCP_FIN: u8 = 0x01;
const TCP_PSH: u8 = 0x08;
const TCP_CWR: u8 = 0x80;
const IPV6_HEADER_BYTES: usize = 40;

/// A large TCP frame, and where its headers end.
#[derive(Debug)]
pub struct Segmenter<'a> {
    frame: &'a [u8],
    ip_v4: bool,
    ip_at: usize,
    tcp_at: usize,
    payload_at: usize,
    segment_bytes: usize,
}

impl<'a> Segmenter<'a> {
    /// None when the frame is not TCP directly in IPv4 or IPv6 as its header says, or is malformed.
    pub fn new(header: &VnetHeader, frame: &'a [u8]) -> Option<Self> {
        let (ip_at, _) = network(frame)?;
        let packet = frame.get(ip_at..)?;
        let ip_v4 = header.gso_type == GSO_TCPV4;
        let (ip_bytes, transport) = if ip_v4 {
            let parsed = ipv4::Ipv4Header::parse(packet, packet.len()).filter(|ip| ip.whole)?;
            (parsed.header_bytes, parsed.protocol)
        } else {
            (IPV6_HEADER_BYTES, *packet.get(6).filter(|_| packet[0] >> 4 == 6)?)
        };
        let tcp_at = ip_at + ip_bytes;
        let tcp_bytes = usize::from(*frame.get(tcp_at + 12)? >> 4) * 4;
        let payload_at = tcp_at + tcp_bytes;
        if transport != protocol::TCP || tcp_bytes < 20 || payload_at > frame.len() || header.gso_size == 0 {
            return None;
        }
        Some(Self { frame, ip_v4, ip_at, tcp_at, payload_at, segment_bytes: usize::from(header.gso_size) })
    }

    /// Number of frames that this one becomes; at least one.
    pub fn count(&self) -> usize {
        (self.frame.len() - self.payload_at).div_ceil(self.segment_bytes).max(1)
    }

    /// Writes segment `index` with complete checksums into `out`, replacing what was there.
    pub fn write(&self, index: usize, out: &mut Vec<u8>) {
        let payload = &self.frame[self.payload_at..];
        let from = (index * self.segment_bytes).min(payload.len());
        let to = (from + self.segment_bytes).min(payload.len());
        let last = to == payload.len();
        out.clear();
        out.extend_from_slice(&self.frame[..self.payload_at]);
        out.extend_from_slice(&payload[from..to]);

        // Frames are shorter than 64 KiB, so lengths and offsets fit their fields.
        let tcp_length = out.len() - self.tcp_at;
        let ip = &mut out[self.ip_at..];
        let pseudo = if self.ip_v4 {
            let total = ip.len() as u16;
            let identification = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(index as u16);
            put(ip, 2, &total.to_be_bytes());
            put(ip, 4, &identification.to_be_bytes());
            ipv4::fix_header_checksum(ip);
            checksum::sum(&ip[12..20])
        } else {
            put(ip, 4, &(tcp_length as u16).to_be_bytes());
            checksum::sum(&ip[8..IPV6_HEADER_BYTES])
        };
        let tcp = &mut out[self.tcp_at..];
        let sequence = be32(tcp, 4).unwrap_or(0).wrapping_add(from as u32);
        put(tcp, 4, &sequence.to_be_bytes());
        if !last {
            tcp[13] &= !(TCP_FIN | TCP_PSH);
        }
        if index > 0 {
            tcp[13] &= !TCP_CWR;
        }
        put(tcp, 16, &[0, 0]);
        let check = !checksum::fold(pseudo + u64::from(protocol::TCP) + tcp_length as u64 + checksum::sum(tcp));
        put(tcp, 16, &check.to_be_bytes());
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
            let tagged = [&frame[..12], &[0x81, 0, 0, 9], &frame[12..]].concat();
            prop_assert!(header.check(&tagged, tagged.len()).is_ok());
            let of_tagged = Segmenter::new(&header, &tagged).unwrap();
            let segmenter = Segmenter::new(&header, &frame).unwrap();
            let mut joined = Vec::new();
            let (mut out, mut with_tag) = (Vec::new(), Vec::new());
            for index in 0..segmenter.count() {
                segmenter.write(index, &mut out);
                of_tagged.write(index, &mut with_tag);
                prop_assert_eq!(&with_tag[16..], &out[12..]);
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
