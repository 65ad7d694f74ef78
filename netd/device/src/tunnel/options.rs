//! From the options of received packets to the fields that they are mapped to.

use super::Reject;
use super::geneve::{GeneveOption, options};
use hive_flow::{Field, Key};
use std::sync::Arc;

/// An option, and the number of its `tun_metadata` field (NXT_TLV_TABLE_MOD).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MappedOption {
    pub class: u16,
    /// With the critical bit.
    pub kind: u8,
    /// A multiple of 4, at most 16.
    pub length_bytes: u8,
    pub index: u8,
}

/// The options of a bridge that are mapped. Cloning is cheap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OptionMap {
    /// Sorted.
    mapped: Option<Arc<[MappedOption]>>,
}

impl FromIterator<MappedOption> for OptionMap {
    fn from_iter<I: IntoIterator<Item = MappedOption>>(mapped: I) -> Self {
        let mut mapped: Vec<_> = mapped.into_iter().collect();
        mapped.sort();
        Self { mapped: (!mapped.is_empty()).then(|| mapped.into()) }
    }
}

impl OptionMap {
    /// Sets the fields of a packet's options.
    ///
    /// # Errors
    /// A critical option is not mapped, or one has another length than it is mapped with.
    pub fn apply(&self, raw: &[u8], key: &mut Key) -> Result<(), Reject> {
        let mapped = self.mapped.as_deref().unwrap_or(&[]);
        for option in options(raw) {
            let option = option?;
            let GeneveOption { class, kind, value } = option;
            let found = mapped.binary_search_by_key(&(class, kind), |mapped| (mapped.class, mapped.kind));
            match found.ok().and_then(|at| mapped.get(at)) {
                Some(found) if usize::from(found.length_bytes) == value.len() => {
                    let number = value.iter().fold(0, |number: u128, byte| number << 8 | u128::from(*byte));
                    key.set(Field::TunMetadata(found.index), number);
                }
                Some(_) => return Err(Reject::Options),
                None if option.is_critical() => return Err(Reject::CriticalOption),
                None => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mapped_options_become_fields_and_critical_ones_must_be_mapped() {
        let map: OptionMap = [
            MappedOption { class: 0x102, kind: 0x80, length_bytes: 4, index: 0 },
            MappedOption { class: 0x101, kind: 1, length_bytes: 8, index: 3 },
        ]
        .into_iter()
        .collect();
        let apply = |raw: &[u8]| {
            let mut key = Key::ZERO;
            map.apply(raw, &mut key).map(|()| [0, 3].map(|index| key.get(Field::TunMetadata(index))))
        };
        assert_eq!(apply(&[1, 2, 0x80, 1, 0xde, 0xad, 0xbe, 0xef]), Ok([0xdead_beef, 0]));
        assert_eq!(apply(&[9, 9, 1, 0, 1, 1, 1, 2, 0, 0, 0, 0, 0, 0, 1, 2]), Ok([0, 0x102]));
        assert_eq!(apply(&[9, 9, 0x81, 0]), Err(Reject::CriticalOption));
        assert_eq!(apply(&[1, 2, 0x80, 0]), Err(Reject::Options));
        assert_eq!(apply(&[1, 2]), Err(Reject::Options));
    }
}
