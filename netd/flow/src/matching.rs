//! A match: fields with values and masks.

use crate::Field;
use std::collections::BTreeMap;

/// A value where the mask has ones; `value & !mask` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Masked {
    pub value: u128,
    pub mask: u128,
}

/// Which packets are meant: those that agree in every field. Equal matches compare equal, however they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    fields: BTreeMap<Field, Masked>,
}

impl Match {
    /// Agree with `value` where `mask` has ones, beside what is asked for already: of a bit asked for twice the later value counts.
    pub fn set(&mut self, field: Field, value: u128, mask: u128) {
        let mask = mask & field.full_mask();
        if mask == 0 {
            return;
        }
        let masked = self.fields.entry(field).or_default();
        masked.value = masked.value & !mask | value & mask;
        masked.mask |= mask;
    }

    /// The whole field has this value.
    pub fn exactly(&mut self, field: Field, value: u128) {
        self.set(field, value, field.full_mask());
    }

    /// Nothing asked for: mask 0.
    pub fn get(&self, field: Field) -> Masked {
        self.fields.get(&field).copied().unwrap_or_default()
    }

    /// The field's value if the match is on all of it.
    pub fn exact(&self, field: Field) -> Option<u128> {
        let masked = self.fields.get(&field)?;
        (masked.mask == field.full_mask()).then_some(masked.value)
    }

    /// In the order of fields; masks are not 0.
    pub fn iter(&self) -> impl Iterator<Item = (Field, Masked)> + '_ {
        self.fields.iter().map(|(field, masked)| (*field, *masked))
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_matches_are_equal_however_they_are_written() {
        let mut whole = Match::default();
        whole.exactly(Field::Reg(3), 0x1234_5678);
        let mut parts = Match::default();
        parts.set(Field::Reg(3), 0xffff_5678, 0xffff);
        parts.set(Field::Reg(3), 0x1234_0000, 0xffff_0000);
        parts.set(Field::Metadata, 7, 0);
        assert_eq!(whole, parts);
        assert_eq!(parts.exact(Field::Reg(3)), Some(0x1234_5678));
        assert_eq!(parts.get(Field::Metadata), Masked::default());
        parts.set(Field::VlanTci, 0x1_1000, 0x1_1000);
        assert_eq!(parts.get(Field::VlanTci), Masked { value: 0x1000, mask: 0x1000 });
        assert_eq!(parts.exact(Field::VlanTci), None);
    }
}
