//! The format of a record.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A record of format `N`. Another format does not decode: it is migrated where it is read, or refused, never misread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version<const N: u32>;

impl<const N: u32> Serialize for Version<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(N)
    }
}

impl<'de, const N: u32> Deserialize<'de> for Version<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            n if n == N => Ok(Self),
            n => Err(serde::de::Error::custom(format!("record format {n} is not known here, only {N}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_number_decodes() {
        assert_eq!(serde_json::to_string(&Version::<3>).expect("encode"), "3");
        assert!(serde_json::from_str::<Version<3>>("3").is_ok());
        assert!(serde_json::from_str::<Version<3>>("4").is_err());
    }
}
