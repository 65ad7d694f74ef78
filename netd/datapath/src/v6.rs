//! Packets of IPv6, TCP, UDP or ICMP without extension headers: their key is a quick one with the addresses behind. Their headers may be
//! longer than what is at hand of every frame, so they have a private copy of their own, which is what leaves too.

use crate::packet::{LINE, Packet, Tail, fills_in_behind};
use crate::quick::{FIVE_TUPLE, L3, QUICK_WORDS, Quick};
use hive_flow::{ETH_TYPE_IPV6, Field, Mask, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP};

/// The words of a [`Key`](hive_flow::Key) that a long one has: a quick key's, and the addresses.
const WORDS: [usize; 10] = [0, 1, 2, 3, 4, 5, 8, 9, 10, 11];
pub(crate) const LONG_WORDS: usize = WORDS.len();

pub(crate) type Long = [u64; LONG_WORDS];

/// Ethernet, a tag, IPv6, and TCP with some options.
const HEAD: usize = 96;
pub(crate) const IPV6_HEADER_BYTES: usize = 40;
/// Neighbour solicitations and advertisements, which have fields of their own.
const NEIGHBOUR: [u8; 2] = [135, 136];

/// The source and destination of IP and of the transport, and its protocol.
pub(crate) const LONG_TUPLE: Long = {
    let mut tuple = [u64::MAX; LONG_WORDS];
    let mut at = 0;
    while at < QUICK_WORDS {
        tuple[at] = FIVE_TUPLE[at];
        at += 1;
    }
    tuple
};

/// A packet with a long key.
#[derive(Clone, Debug)]
pub(crate) struct V6 {
    pub key: Long,
    head: [u8; HEAD],
    held: usize,
    /// Where IP begins.
    pub l3: usize,
    /// Of the IP packet, without padding.
    pub ip_bytes: usize,
}

/// The part of a mask that can matter for packets with quick or long keys.
pub(crate) fn mask_words(mask: &Mask) -> Long {
    WORDS.map(|word| mask.words[word])
}

/// Adds all bits of a field that are in long keys.
pub(crate) fn add_field(mask: &mut Long, field: Field) {
    let Some(place) = field.place() else { return };
    for (all, word) in mask.iter_mut().zip(WORDS) {
        if place.words() & 1 << word != 0 {
            // Of a field of two words all of both.
            *all |= if place.bits > 64 { u64::MAX } else { place.mask() };
        }
    }
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]))
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |four| u32::from_be_bytes(*four))
}

fn be64(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |eight| u64::from_be_bytes(*eight))
}

impl V6 {
    /// Of a frame whose IP packet begins at `l3`, behind a tag with that TCI. None of others, malformed ones among them.
    pub fn of<T: Tail>(packet: &Packet<'_, T>, in_port: u32, l3: usize, tci: u16) -> Option<Self> {
        let held = packet.line_bytes();
        let mut v6 = Self { key: [0; LONG_WORDS], head: [0; HEAD], held, l3, ip_bytes: 0 };
        v6.head[..held].copy_from_slice(&packet.line[..held]);
        let more = packet.frame_bytes.min(HEAD) - held;
        if more > 0 && packet.tail.read(0, &mut v6.head[held..held + more]) < more {
            return None;
        }
        v6.held += more;
        let head = &v6.head;
        let l4 = v6.l4();
        let transport_bytes = usize::from(be16(head, l3 + 4));
        let padding = packet.frame_bytes.checked_sub(l4)?.checked_sub(transport_bytes)?;
        if head[l3] >> 4 != 6 || padding > usize::from(u16::MAX) || transport_bytes < 8 {
            return None;
        }
        let protocol = head[l3 + 6];
        let transport = match protocol {
            PROTO_TCP => {
                let header_bytes = usize::from(head[l4 + 12] >> 4) * 4;
                if header_bytes < 20 || header_bytes > transport_bytes {
                    return None;
                }
                u64::from(be32(head, l4)) << 32 | u64::from(be16(head, l4 + 12) & 0xfff) << 16
            }
            PROTO_UDP => u64::from(be32(head, l4)) << 32,
            PROTO_ICMPV6 if !(NEIGHBOUR.contains(&head[l4]) && head[l4 + 1] == 0) => u64::from(be16(head, l4)),
            _ => return None,
        };
        if !fills_in_behind(&packet.vnet, l4, protocol) {
            return None;
        }
        let begin = be32(head, l3);
        let [tos, hops] = [begin >> 20 & 0xff, head[l3 + 7].into()].map(u64::from);
        v6.key = [
            u64::from(in_port) << 32,
            be64(head, 0) & !0xffff | u64::from(ETH_TYPE_IPV6),
            be64(head, 6) & !0xffff | u64::from(tci),
            u64::from(protocol) << 56 | hops << 48 | tos << 40 | u64::from(begin & 0xf_ffff),
            0,
            transport,
            be64(head, l3 + 8),
            be64(head, l3 + 16),
            be64(head, l3 + 24),
            be64(head, l3 + 32),
        ];
        v6.ip_bytes = IPV6_HEADER_BYTES + transport_bytes;
        Some(v6)
    }

    /// The words that a quick key has.
    pub fn quick(&self) -> Quick {
        std::array::from_fn(|at| self.key[at])
    }

    pub fn l4(&self) -> usize {
        self.l3 + IPV6_HEADER_BYTES
    }

    /// The beginning of the frame.
    pub fn head(&self) -> &[u8] {
        &self.head[..self.held]
    }

    pub fn head_mut(&mut self) -> &mut [u8] {
        &mut self.head[..self.held]
    }

    /// As much of the beginning as of other packets.
    pub fn line(&self) -> &[u8; LINE] {
        self.head.first_chunk().unwrap_or(&[0; LINE])
    }
}

/// The beginning of a frame whose IP packet begins at `l3` as if there were no tag.
pub(crate) fn untagged(line: &[u8; LINE], l3: usize) -> [u8; LINE] {
    let mut without = *line;
    without.copy_within(12 + l3 - L3.., 12);
    without
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_flow::{Key, parse};
    use hive_packet::VnetHeader;
    use proptest::prelude::*;

    proptest! {
        /// What is taken here, the parser sees alike, and nothing beside.
        #[test]
        fn long_keys_are_keys(
            bytes in proptest::collection::vec(any::<u8>(), 0..140), tag in any::<bool>(),
            protocol in proptest::sample::select(vec![1u8, 6, 17, 58, 132, 0, 44]),
            length in 0u16..100, offset in 0u8..16, shape in 0..8, kind in any::<u8>(),
        ) {
            let mut frame = bytes;
            let l3 = if tag { 18 } else { 14 };
            let l4 = l3 + 40;
            let sound = shape > 0 && frame.len() >= l4 + 20;
            if sound {
                frame[l3 - 2..l3].copy_from_slice(&[0x86, 0xdd]);
                frame[l3] = 0x60 | frame[l3] & 0xf;
                frame[l3 + 4..l3 + 6].copy_from_slice(&length.to_be_bytes());
                frame[l3 + 6] = protocol;
                frame[l4 + 12] = offset << 4 | frame[l4 + 12] & 0xf;
                if kind % 4 == 0 {
                    frame[l4..l4 + 2].copy_from_slice(&[kind / 4 % 2 + 135, kind / 8 % 2]);
                }
            }
            if frame.len() >= l3 && tag {
                frame[12..14].copy_from_slice(&[0x81, 0]);
            }
            let mut template = Key::ZERO;
            template.set(Field::InPort, 7);
            let parsed = parse(&frame, frame.len(), &template, 1);
            let packet = Packet::of_frame(&frame, VnetHeader::default());
            let ethernet_type = be16(&packet.line, l3 - 2);
            let tci = if tag { be16(&packet.line, 14) | hive_flow::VLAN_PRESENT } else { 0 };
            // As those who ask have it.
            let v6 = if ethernet_type == ETH_TYPE_IPV6 && (!tag || frame.len() >= l3) {
                V6::of(&packet, 7, l3, tci)
            } else {
                None
            };
            if let Some(v6) = v6 {
                let mut key = Key::ZERO;
                for (word, value) in WORDS.into_iter().zip(v6.key) {
                    key.words[word] = value;
                }
                // Of the tag's kind.
                key.words[12] = parsed.key.words[12];
                prop_assert_eq!(key, parsed.key);
                prop_assert_eq!(parsed.malformed, None);
                prop_assert_eq!(parsed.l3_offset, u16::try_from(l3).ok());
                prop_assert_eq!(parsed.l4_offset, u16::try_from(v6.l4()).ok());
                prop_assert_eq!(l3 + v6.ip_bytes + usize::from(parsed.padding_bytes), frame.len());
                prop_assert_eq!(v6.head(), &frame[..v6.head().len()]);
            } else if sound && parsed.malformed.is_none() {
                let neighbour = protocol == 58 && matches!(frame[l4], 135 | 136) && frame[l4 + 1] == 0;
                prop_assert!(![6, 17, 58].contains(&protocol) || neighbour, "a whole packet was not taken");
            }
        }
    }
}
