//! `other_config`, `external_ids`, `options`: strings by name.

use crate::datum::Atom;
use crate::replica::Row;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::str::FromStr;

/// A map of strings, with the readings that Open vSwitch gives them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StringMap(pub BTreeMap<String, String>);

impl Deref for StringMap {
    type Target = BTreeMap<String, String>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl StringMap {
    pub(super) fn read(row: &Row, column: &str) -> Self {
        let pairs = row.pairs(column).filter_map(|(key, value)| match (key, value) {
            (Atom::String(key), Atom::String(value)) => Some((key.clone(), value.clone())),
            _ => None,
        });
        Self(pairs.collect())
    }

    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key).map(String::as_str)
    }

    /// True and false by name; anything else is the other of `default`, as Open vSwitch reads it.
    pub fn boolean(&self, key: &str, default: bool) -> bool {
        match self.text(key) {
            None => default,
            Some(text) if default => !text.eq_ignore_ascii_case("false"),
            Some(text) => text.eq_ignore_ascii_case("true"),
        }
    }

    /// A number, if it is one of this type; decimal, or hexadecimal behind `0x`.
    pub fn number<T: TryFrom<u64>>(&self, key: &str) -> Option<T> {
        T::try_from(parse_number(self.text(key)?)?).ok()
    }

    /// What parses, if it is there and does.
    pub fn parsed<T: FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }
}

pub(super) fn parse_number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(hex) if !hex.starts_with('+') => u64::from_str_radix(hex, 16).ok(),
        Some(_) => None,
        None if text.starts_with('+') => None,
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_open_vswitch_does() {
        let pairs = [("t", "TRUE"), ("f", "false"), ("x", "maybe"), ("n", "0x10"), ("d", "70000"), ("p", "+1")];
        let map = StringMap(pairs.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect());
        assert!(
            map.boolean("t", false) && !map.boolean("f", true) && !map.boolean("x", false) && map.boolean("x", true)
        );
        assert!(map.boolean("none", true) && !map.boolean("none", false));
        assert_eq!((map.number::<u16>("n"), map.number::<u16>("d"), map.number::<u16>("p")), (Some(16), None, None));
    }
}
