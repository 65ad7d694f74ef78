//! Control messages (cmsg(3)): what the kernel says of a message beside its bytes, and is told of one.

use crate::mmsg::CONTROL_BYTES;
use hive_packet::ethertype;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// `struct cmsghdr`: length (with this header), level, type.
const HEADER_BYTES: usize = size_of::<usize>() + 8;
const ALIGN_BYTES: usize = size_of::<usize>();
/// `tp_status` of PACKET_AUXDATA.
const VLAN_VALID: u32 = 1 << 4;
const VLAN_TPID_VALID: u32 = 1 << 6;

/// What was said of a received message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Received {
    /// The address it was sent to.
    pub local: Option<IpAddr>,
    /// It is several datagrams of that size, the last perhaps shorter.
    pub segment_bytes: Option<usize>,
    /// A VLAN tag that the kernel took out of it: TPID and TCI.
    pub vlan: Option<(u16, u16)>,
}

impl Received {
    pub fn parse(mut control: &[u8]) -> Self {
        let mut received = Self::default();
        while let Some((header, _)) = control.split_first_chunk::<HEADER_BYTES>() {
            let word = |at: usize| i32::from_ne_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
            let length = header.first_chunk().map_or(0, |length| usize::from_ne_bytes(*length));
            let Some(data) = control.get(HEADER_BYTES..length) else { break };
            received.one(word(size_of::<usize>()), word(size_of::<usize>() + 4), data);
            control = control.get(length.next_multiple_of(ALIGN_BYTES)..).unwrap_or(&[]);
        }
        received
    }

    fn one(&mut self, level: i32, kind: i32, data: &[u8]) {
        let ne16 = |at: usize| data.get(at..at + 2).map(|half| u16::from_ne_bytes([half[0], half[1]]));
        let ne32 = |at: usize| data.get(at..).and_then(|rest| rest.first_chunk()).map(|word| u32::from_ne_bytes(*word));
        match (level, kind) {
            // struct in_pktinfo: interface, address of the host, address of the packet.
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let address = data.get(8..).and_then(|rest| rest.first_chunk::<4>());
                self.local = address.map(|octets| Ipv4Addr::from(*octets).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                self.local = data.first_chunk::<16>().map(|octets| Ipv6Addr::from(*octets).into());
            }
            (libc::SOL_UDP, libc::UDP_GRO) => {
                self.segment_bytes = ne32(0).map(|size| size as usize).filter(|size| *size > 0);
            }
            // struct tpacket_auxdata: status, length, captured length, two offsets, TCI, TPID.
            (libc::SOL_PACKET, libc::PACKET_AUXDATA) => {
                let status = ne32(0).unwrap_or(0);
                let tpid = ne16(18).filter(|_| status & VLAN_TPID_VALID != 0).unwrap_or(ethertype::VLAN[0]);
                self.vlan = ne16(16).filter(|_| status & VLAN_VALID != 0).map(|tci| (tpid, tci));
            }
            _ => {}
        }
    }
}

/// Control messages for one that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(8))]
pub(crate) struct Writer {
    bytes: [u8; CONTROL_BYTES],
    length: usize,
}

impl Writer {
    pub const EMPTY: Self = Self { bytes: [0; CONTROL_BYTES], length: 0 };

    /// Without effect if there is no room: there is for one of each kind that is used here.
    pub fn push(&mut self, level: i32, kind: i32, data: &[u8]) {
        let length = HEADER_BYTES + data.len();
        let Some(place) = self.bytes.get_mut(self.length..self.length + length.next_multiple_of(ALIGN_BYTES)) else {
            return;
        };
        place[..ALIGN_BYTES].copy_from_slice(&length.to_ne_bytes());
        place[ALIGN_BYTES..ALIGN_BYTES + 4].copy_from_slice(&level.to_ne_bytes());
        place[ALIGN_BYTES + 4..HEADER_BYTES].copy_from_slice(&kind.to_ne_bytes());
        place[HEADER_BYTES..length].copy_from_slice(data);
        self.length += place.len();
    }

    /// The address that it is sent from.
    pub fn local(&mut self, local: IpAddr) {
        match local {
            IpAddr::V4(address) => {
                let mut info = [0; 12];
                info[4..8].copy_from_slice(&address.octets());
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
            }
            IpAddr::V6(address) => {
                let mut info = [0; 20];
                info[..16].copy_from_slice(&address.octets());
                self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, &info);
            }
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length.min(CONTROL_BYTES)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut writer = Writer::EMPTY;
        let mut info = [0; 12];
        info[8..].copy_from_slice(&[10, 0, 0, 9]);
        writer.push(libc::IPPROTO_IP, libc::IP_PKTINFO, &info);
        writer.push(libc::SOL_UDP, libc::UDP_GRO, &1400i32.to_ne_bytes());
        let expected =
            Received { local: Some("10.0.0.9".parse().unwrap()), segment_bytes: Some(1400), ..Received::default() };
        assert_eq!(Received::parse(writer.bytes()), expected);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(bytes in prop::collection::vec(any::<u8>(), 0..128)) {
            let _ = Received::parse(&bytes);
        }
    }
}
