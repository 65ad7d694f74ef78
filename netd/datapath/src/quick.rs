//! The key of the common packet: IPv4 without options, whole, TCP, UDP or ICMP. All of it is in the first six words; every other word of
//! its [`Key`](hive_flow::Key) is 0, but for what its context ([`crate::context`]) has.

use crate::packet::LINE;
use crate::v6::{LONG_WORDS, Long};
use hive_flow::{ETH_TYPE_IPV4, Mask, PROTO_ICMP, PROTO_TCP, PROTO_UDP};

/// Words of a quick key: those of a [`Key`](hive_flow::Key) with the same numbers.
pub const QUICK_WORDS: usize = 6;

pub type Quick = [u64; QUICK_WORDS];

/// Where the headers of a packet with a quick key are.
pub const L3: usize = 14;
pub const L4: usize = 34;
/// What both are later by behind a VLAN tag.
pub const TAG_BYTES: usize = 4;

/// The source and destination of IP and of the transport, and its protocol.
pub const FIVE_TUPLE: Quick = [u64::MAX, 0xffff, 0, 0xff << 56, u64::MAX, 0xffff_ffff << 32];

#[inline(always)]
fn be16<const AT: usize>(line: &[u8; LINE]) -> u16 {
    u16::from_be_bytes([line[AT], line[AT + 1]])
}

#[inline(always)]
fn be32<const AT: usize>(line: &[u8; LINE]) -> u32 {
    u32::from_be_bytes([line[AT], line[AT + 1], line[AT + 2], line[AT + 3]])
}

#[inline(always)]
fn be64<const AT: usize>(line: &[u8; LINE]) -> u64 {
    u64::from(be32::<AT>(line)) << 32 | u64::from(be32_at(line, AT + 4))
}

#[inline(always)]
fn be32_at(line: &[u8; LINE], at: usize) -> u32 {
    u32::from_be_bytes([line[at], line[at + 1], line[at + 2], line[at + 3]])
}

/// None of other packets, malformed ones among them.
#[inline(always)]
pub fn quick(line: &[u8; LINE], frame_bytes: usize, in_port: u32) -> Option<Quick> {
    if be16::<12>(line) != ETH_TYPE_IPV4 || line[L3] != 0x45 || frame_bytes < L4 + 8 {
        return None;
    }
    let total_bytes = usize::from(be16::<16>(line));
    let padding = (frame_bytes - L3).checked_sub(total_bytes)?;
    // More fragments, or an offset.
    if padding > usize::from(u16::MAX) || be16::<20>(line) & 0x3fff != 0 {
        return None;
    }
    let transport_bytes = total_bytes.checked_sub(L4 - L3)?;
    let protocol = line[23];
    let transport = match protocol {
        PROTO_TCP => {
            let header_bytes = usize::from(line[46] >> 4) * 4;
            if header_bytes < 20 || header_bytes > transport_bytes {
                return None;
            }
            u64::from(be32::<34>(line)) << 32 | u64::from(be16::<46>(line) & 0xfff) << 16
        }
        PROTO_UDP if transport_bytes >= 8 => u64::from(be32::<34>(line)) << 32,
        PROTO_ICMP if transport_bytes >= 8 => u64::from(be16::<34>(line)),
        _ => return None,
    };
    Some([
        u64::from(in_port) << 32,
        be64::<0>(line) & !0xffff | u64::from(ETH_TYPE_IPV4),
        be64::<6>(line) & !0xffff,
        u64::from(protocol) << 56 | u64::from(line[22]) << 48 | u64::from(line[15]) << 40,
        be64::<26>(line),
        transport,
    ])
}

/// The protocol of a quick key.
#[inline]
pub fn protocol(key: &Quick) -> u8 {
    (key[3] >> 56) as u8
}

#[inline]
pub fn tcp_flags(key: &Quick) -> u16 {
    (key[5] >> 16) as u16 & 0xfff
}

/// The part of a mask that can matter for packets with quick keys.
pub fn mask_words(mask: &Mask) -> Quick {
    let mut words = [0; QUICK_WORDS];
    words.copy_from_slice(&mask.words[..QUICK_WORDS]);
    words
}

/// Secret numbers: who can send packets must not know which of them meet.
#[derive(Clone, Debug)]
pub struct Secret([u64; LONG_WORDS]);

impl Secret {
    pub fn new(seed: u64) -> Self {
        // SplitMix64's constants: numbers without a pattern from one.
        let mut state = seed;
        Self(std::array::from_fn(|_| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        }))
    }

    /// Three folded multiplications, which do not wait for each other, and one over all: after one alone, keys that follow each other
    /// may lie in heaps.
    #[inline]
    pub fn hash(&self, key: &Quick) -> u64 {
        let pair = |at: usize| mix(key[at] ^ self.0[at], key[at + 1] ^ self.0[at + 1]);
        mix(pair(0) ^ pair(2).rotate_left(21) ^ pair(4).rotate_left(42), 0x9e37_79b9_7f4a_7c15)
    }

    /// Of a long key, in the same way.
    #[inline]
    pub fn hash_long(&self, key: &Long) -> u64 {
        let (pairs, secrets) = (key.as_chunks::<2>().0, self.0.as_chunks::<2>().0);
        let all = pairs
            .iter()
            .zip(secrets)
            .fold(0u64, |all, (key, secret)| all.wrapping_add(mix(key[0] ^ secret[0], key[1] ^ secret[1])));
        mix(all, 0x9e37_79b9_7f4a_7c15)
    }

    /// Of any number of words.
    #[inline]
    pub fn hash_words(&self, words: impl Iterator<Item = u64>) -> u64 {
        words.fold(self.0[0], |hash, word| mix(hash ^ word, self.0[1]).wrapping_add(self.0[2]))
    }
}

#[inline(always)]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_flow::{Field, Key, parse};
    use proptest::prelude::*;

    proptest! {
        /// What the quick parser takes, the parser sees alike, and nothing beside.
        #[test]
        fn quick_keys_are_keys(
            bytes in proptest::collection::vec(any::<u8>(), 0..100),
            protocol in proptest::sample::select(vec![1u8, 6, 17, 132]),
            total in 15u16..100, offset in 0u8..16, shape in 0..8, frag in proptest::sample::select(vec![0u16, 0x4000, 0x2000, 5]),
        ) {
            let mut frame = bytes;
            if shape > 0 && frame.len() >= 54 {
                frame[12..15].copy_from_slice(&[8, 0, 0x45]);
                frame[16..18].copy_from_slice(&total.to_be_bytes());
                frame[20..22].copy_from_slice(&frag.to_be_bytes());
                frame[23] = protocol;
                frame[46] = offset << 4 | frame[46] & 0xf;
            }
            let mut line = [0xa5; LINE];
            let held = frame.len().min(LINE);
            line[..held].copy_from_slice(&frame[..held]);
            let mut template = Key::ZERO;
            template.set(Field::InPort, 7);
            let parsed = parse(&frame, frame.len(), &template, 1);
            if let Some(quick) = quick(&line, frame.len(), 7) {
                let mut key = Key::ZERO;
                key.words[..QUICK_WORDS].copy_from_slice(&quick);
                prop_assert_eq!(key, parsed.key);
                prop_assert_eq!(parsed.malformed, None);
                prop_assert_eq!((parsed.l3_offset, parsed.l4_offset), (Some(14), Some(34)));
            } else if shape > 0 && frame.len() >= 54 && frag == 0x4000 && parsed.malformed.is_none() && protocol != 132 {
                prop_assert!(false, "a whole packet was not taken");
            }
        }
    }
}
