//! What the rules of one subtable have in common: the mask, and how it is looked at.

use foldhash::fast::{FixedState, FoldHasher};
use hive_flow::{Field, Key, Mask, Stage, WORDS, Words};
use std::hash::{BuildHasher, Hasher};

/// Address fields with a trie each.
pub const TRIE_FIELDS: [Field; 4] = [Field::Ipv4Src, Field::Ipv4Dst, Field::Ipv6Src, Field::Ipv6Dst];
/// Source and destination port together are the upper half of one word.
const PORTS_WORD: usize = 5;
const PORTS_SHIFT: u32 = 32;

const _: () = {
    let (Some(source), Some(destination)) = (Field::TpSrc.place(), Field::TpDst.place()) else { panic!() };
    assert!(source.word as usize == PORTS_WORD && destination.word as usize == PORTS_WORD);
    assert!(source.shift == 48 && destination.shift as u32 == PORTS_SHIFT);
};

/// Hashes of words of packets. The seed is of the process: which rules collide cannot be computed by who writes them.
pub fn hasher() -> FoldHasher<'static> {
    use std::sync::OnceLock;
    static STATE: OnceLock<FixedState> = OnceLock::new();
    let state = STATE.get_or_init(|| {
        // The standard library's is seeded by the system.
        FixedState::with_seed(std::hash::RandomState::new().hash_one(0u8))
    });
    state.build_hasher()
}

#[derive(Debug)]
pub struct Shape {
    pub mask: Mask,
    /// `(word, mask)`, by stage.
    words: Box<[(u8, u64)]>,
    /// Where each stage ends in `words`.
    ends: [u8; Stage::ALL.len()],
    /// Of each of [`TRIE_FIELDS`] the length of the prefix that is asked for; 0 if none is, or it is not a prefix.
    pub prefixes: [u32; TRIE_FIELDS.len()],
    /// The bits of both ports that are asked for, source above destination, as the trie of ports wants them: none unless they are a
    /// prefix of the 32.
    pub ports: u32,
}

impl Shape {
    pub fn new(mask: Mask) -> Self {
        let used = mask.used();
        let mut words = Vec::new();
        let mut ends = [0; Stage::ALL.len()];
        for (stage, end) in Stage::ALL.into_iter().zip(&mut ends) {
            words.extend(Words(used & stage.words()).map(|word| (word as u8, mask.words[word])));
            *end = words.len() as u8;
        }
        let prefixes = TRIE_FIELDS.map(|field| {
            let mask = mask.get(field) << (128 - field.bits());
            if mask.leading_ones() + mask.trailing_zeros() == 128 { mask.leading_ones() } else { 0 }
        });
        let ports = (mask.words[PORTS_WORD] >> PORTS_SHIFT) as u32;
        let ports = if ports.leading_ones() + ports.trailing_zeros() == 32 { ports } else { 0 };
        Self { mask, words: words.into(), ends, prefixes, ports }
    }

    /// The words that are looked at up to the end of a stage.
    #[inline]
    pub fn words(&self, from: usize, to: usize) -> &[(u8, u64)] {
        self.words.get(from..to).unwrap_or(&[])
    }

    #[inline]
    pub fn end(&self, stage: usize) -> usize {
        usize::from(self.ends[stage])
    }

    /// A stage that has words, and others have some after it.
    #[inline]
    pub fn is_step(&self, stage: usize) -> bool {
        let before = if stage == 0 { 0 } else { self.end(stage - 1) };
        let end = self.end(stage);
        end != before && end != self.words.len()
    }

    /// A rule's words: those of the key that the mask has, in the order of stages.
    pub fn pick(&self, key: &Key) -> Box<[u64]> {
        self.words.iter().map(|(word, mask)| key.words[usize::from(*word) % WORDS] & mask).collect()
    }

    /// The key again, 0 outside the mask.
    pub fn unpick(&self, picked: &[u64]) -> Key {
        let mut key = Key::ZERO;
        for ((word, _), value) in self.words.iter().zip(picked) {
            key.words[usize::from(*word) % WORDS] = *value;
        }
        key
    }

    #[inline]
    pub fn agrees(&self, picked: &[u64], key: &Key) -> bool {
        let differences = self.words.iter().zip(picked);
        differences
            .fold(0, |differ, ((word, mask), value)| differ | key.words[usize::from(*word) % WORDS] & mask ^ value)
            == 0
    }

    /// Hashes of a rule's words at the end of each stage; the last is that of all.
    pub fn hashes(&self, picked: &[u64]) -> ([u64; Stage::ALL.len()], u64) {
        let mut hasher = hasher();
        let mut from = 0;
        let ends = self.ends.map(|end| {
            for value in picked.get(from..usize::from(end)).unwrap_or(&[]) {
                hasher.write_u64(*value);
            }
            from = usize::from(end);
            hasher.finish()
        });
        (ends, hasher.finish())
    }

    /// The value of a field at the top, as tries have it.
    #[inline]
    pub fn trie_value(key: &Key, field: usize) -> u128 {
        key.get(TRIE_FIELDS[field]) << (128 - TRIE_FIELDS[field].bits())
    }

    #[inline]
    pub fn ports_value(&self, key: &Key) -> u128 {
        let ports = (key.words[PORTS_WORD] >> PORTS_SHIFT) as u32 & self.ports;
        u128::from(ports) << 96
    }

    /// Adds the upper `bits` of the ports that this shape asks for.
    #[inline]
    pub fn add_ports(&self, mask: &mut Mask, bits: u32) {
        let upper = if bits == 0 { 0 } else { u32::MAX << (32 - bits.min(32)) };
        mask.words[PORTS_WORD] |= u64::from(upper & self.ports) << PORTS_SHIFT;
    }

    /// Adds all bits looked at up to here.
    #[inline]
    pub fn add_words(&self, mask: &mut Mask, to: usize) {
        for (word, bits) in self.words(0, to) {
            mask.words[usize::from(*word) % WORDS] |= bits;
        }
    }
}
