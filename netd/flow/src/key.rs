//! A packet's fields as an array of words, and masks of the same layout.

use crate::place::{Place, WORDS, hidden};
use crate::{Field, Match};
use std::ops::{BitAnd, BitOr, BitOrAssign};

/// All fields of one packet, each at its [`Field::place`]; what a packet does not have is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(align(64))]
pub struct Key {
    pub words: [u64; WORDS],
}

/// Bits of a [`Key`]: those that count are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(align(64))]
pub struct Mask {
    pub words: [u64; WORDS],
}

/// A match asks for a field that keys have no place for: a tunnel option from [`KEY_TUNNEL_OPTIONS`](crate::KEY_TUNNEL_OPTIONS) on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no place in a flow key for {0:?}")]
pub struct Unplaced(pub Field);

/// The second VLAN tag and MPLS labels below the top one: parts of a packet that no match can name, but that a pop uncovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inner {
    /// TPID of the outermost tag.
    VlanTpid,
    /// The second tag, as [`Field::VlanTci`].
    Vlan1Tci,
    Vlan1Tpid,
    /// Label stack entries, as on the wire. The first is what the `Mpls` fields are views of.
    MplsLse0,
    MplsLse1,
    MplsLse2,
    /// DSCP and ECN together.
    IpTos,
}

impl Inner {
    const fn place(self) -> Place {
        match self {
            Self::VlanTpid => hidden::VLAN_TPID,
            Self::Vlan1Tci => hidden::VLAN1_TCI,
            Self::Vlan1Tpid => hidden::VLAN1_TPID,
            Self::MplsLse0 => hidden::MPLS_LSE0,
            Self::MplsLse1 => hidden::MPLS_LSE1,
            Self::MplsLse2 => hidden::MPLS_LSE2,
            Self::IpTos => hidden::IP_TOS,
        }
    }
}

#[inline]
fn read(words: &[u64; WORDS], place: Place) -> u128 {
    let word = usize::from(place.word) % WORDS;
    if place.bits > 64 {
        u128::from(words[word]) << 64 | u128::from(words[(word + 1) % WORDS])
    } else {
        u128::from((words[word] & place.mask()) >> place.shift)
    }
}

#[inline]
fn write(words: &mut [u64; WORDS], place: Place, value: u128) {
    let word = usize::from(place.word) % WORDS;
    if place.bits > 64 {
        words[word] = (value >> 64) as u64;
        words[(word + 1) % WORDS] = value as u64;
    } else {
        let mask = place.mask();
        words[word] = words[word] & !mask | (value as u64) << place.shift & mask;
    }
}

/// The words that are not 0, as a set.
fn used(words: &[u64; WORDS]) -> u64 {
    words.iter().enumerate().fold(0, |set, (at, word)| set | u64::from(*word != 0) << at)
}

/// The members of a set of words, lowest first.
#[derive(Clone, Copy, Debug)]
pub struct Words(pub u64);

impl Iterator for Words {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let word = self.0.trailing_zeros();
        self.0 &= self.0 - 1;
        Some(word as usize)
    }
}

impl Default for Key {
    fn default() -> Self {
        Self::ZERO
    }
}

impl Key {
    /// No packet: every field 0.
    pub const ZERO: Self = Self { words: [0; WORDS] };

    /// 0 too if the field has no place.
    #[inline]
    pub fn get(&self, field: Field) -> u128 {
        field.place().map_or(0, |place| read(&self.words, place))
    }

    /// For fields of at most 64 bits; of others the upper half.
    #[inline]
    pub fn get_u64(&self, field: Field) -> u64 {
        field.place().map_or(0, |place| (self.words[usize::from(place.word) % WORDS] & place.mask()) >> place.shift)
    }

    /// Bits beyond the field's size are dropped; without effect if the field has no place.
    #[inline]
    pub fn set(&mut self, field: Field, value: u128) {
        if let Some(place) = field.place() {
            write(&mut self.words, place, value);
        }
    }

    #[inline]
    pub fn inner(&self, part: Inner) -> u32 {
        read(&self.words, part.place()) as u32
    }

    #[inline]
    pub fn set_inner(&mut self, part: Inner, value: u32) {
        write(&mut self.words, part.place(), u128::from(value));
    }

    /// Whether both agree where the mask has ones.
    #[inline]
    pub fn agrees(&self, other: &Self, mask: &Mask) -> bool {
        let mut differ = 0;
        for at in 0..WORDS {
            differ |= (self.words[at] ^ other.words[at]) & mask.words[at];
        }
        differ == 0
    }

    pub fn used(&self) -> u64 {
        used(&self.words)
    }
}

impl BitAnd<&Mask> for &Key {
    type Output = Key;

    fn bitand(self, mask: &Mask) -> Key {
        Key { words: std::array::from_fn(|at| self.words[at] & mask.words[at]) }
    }
}

impl Default for Mask {
    fn default() -> Self {
        Self::NONE
    }
}

impl Mask {
    /// Nothing counts.
    pub const NONE: Self = Self { words: [0; WORDS] };
    /// Everything counts.
    pub const ALL: Self = Self { words: [u64::MAX; WORDS] };

    #[inline]
    pub fn get(&self, field: Field) -> u128 {
        field.place().map_or(0, |place| read(&self.words, place))
    }

    #[inline]
    pub fn set(&mut self, field: Field, mask: u128) {
        if let Some(place) = field.place() {
            write(&mut self.words, place, mask);
        }
    }

    /// These bits of the field count too.
    #[inline]
    pub fn add(&mut self, field: Field, mask: u128) {
        self.set(field, self.get(field) | mask);
    }

    /// The whole field counts.
    #[inline]
    pub fn add_all(&mut self, field: Field) {
        self.set(field, u128::MAX);
    }

    #[inline]
    pub fn inner(&self, part: Inner) -> u32 {
        read(&self.words, part.place()) as u32
    }

    #[inline]
    pub fn add_inner(&mut self, part: Inner) {
        write(&mut self.words, part.place(), u128::MAX);
    }

    /// These bits of the part count too.
    #[inline]
    pub fn add_inner_bits(&mut self, part: Inner, mask: u32) {
        let mask = self.inner(part) | mask;
        write(&mut self.words, part.place(), u128::from(mask));
    }

    #[inline]
    pub fn clear_inner(&mut self, part: Inner) {
        write(&mut self.words, part.place(), 0);
    }

    /// Whether every bit of `other` counts here too.
    #[inline]
    pub fn covers(&self, other: &Self) -> bool {
        (0..WORDS).all(|at| other.words[at] & !self.words[at] == 0)
    }

    /// The words that have bits that count, as a set.
    pub fn used(&self) -> u64 {
        used(&self.words)
    }

    pub fn is_none(&self) -> bool {
        self.used() == 0
    }
}

impl BitOrAssign<&Mask> for Mask {
    #[inline]
    fn bitor_assign(&mut self, other: &Mask) {
        for at in 0..WORDS {
            self.words[at] |= other.words[at];
        }
    }
}

impl BitOr<&Mask> for &Mask {
    type Output = Mask;

    fn bitor(self, other: &Mask) -> Mask {
        let mut both = *self;
        both |= other;
        both
    }
}

impl Match {
    /// The same as words. The key's bits outside the mask are 0, so equal matches make equal pairs.
    ///
    /// # Errors
    /// A field that keys have no place for.
    pub fn to_key(&self) -> Result<(Key, Mask), Unplaced> {
        let (mut key, mut mask) = (Key::ZERO, Mask::NONE);
        for (field, masked) in self.iter() {
            if field.place().is_none() {
                return Err(Unplaced(field));
            }
            key.set(field, masked.value & masked.mask);
            mask.set(field, masked.mask);
        }
        Ok((key, mask))
    }

    /// The match on those fields that a match can name; [`Inner`] parts are left out.
    pub fn from_key(key: &Key, mask: &Mask) -> Self {
        let mut matching = Self::default();
        for field in Field::placed() {
            matching.set(field, key.get(field), mask.get(field));
        }
        matching
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_field() -> impl Strategy<Value = Field> {
        proptest::sample::select(Field::placed().collect::<Vec<_>>())
    }

    proptest! {
        /// A key holds what was written last to each field, and nothing else changes.
        #[test]
        fn fields_are_independent(writes in proptest::collection::vec((any_field(), any::<u128>()), 0..40)) {
            let mut key = Key::ZERO;
            let mut expected = std::collections::BTreeMap::new();
            for (field, value) in writes {
                key.set(field, value);
                expected.insert(field, value & field.full_mask());
            }
            for field in Field::placed() {
                prop_assert_eq!(key.get(field), expected.get(&field).copied().unwrap_or(0));
            }
        }

        #[test]
        fn a_match_survives_the_way_through_words(
            parts in proptest::collection::vec((any_field(), any::<u128>(), any::<u128>()), 0..20)
        ) {
            let mut matching = Match::default();
            for (field, value, mask) in parts {
                matching.set(field, value, mask);
            }
            let (key, mask) = matching.to_key().unwrap();
            prop_assert_eq!(&key & &mask, key);
            prop_assert_eq!(Match::from_key(&key, &mask), matching);
        }
    }

    #[test]
    fn what_has_no_place_is_refused() {
        let mut matching = Match::default();
        matching.exactly(Field::TunMetadata(63), 1);
        assert_eq!(matching.to_key(), Err(Unplaced(Field::TunMetadata(63))));
    }
}
