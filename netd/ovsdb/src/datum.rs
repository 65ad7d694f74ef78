//! Values of cells: RFC 7047, section 5.1, and the differences of `update2` (ovsdb-server(7)).

use crate::schema::{AtomKind, ColumnType};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Atom {
    Integer(i64),
    Boolean(bool),
    String(String),
    Uuid(Uuid),
}

/// What a cell holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Datum {
    Set(BTreeSet<Atom>),
    Map(BTreeMap<Atom, Atom>),
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a value is not of its column's type")]
pub struct TypeMismatch;

/// What an atom takes in memory, beside its text: the atom itself and its share of a tree's node.
const ATOM_BYTES: usize = 48;

impl Atom {
    /// A string for the server, whose JSON parser takes no NUL: one would cost the whole transaction.
    fn text(text: &str) -> Self {
        Self::String(text.replace('\0', "\u{fffd}"))
    }

    fn decode(value: &Value, kind: AtomKind) -> Result<Self, TypeMismatch> {
        match (kind, value) {
            (AtomKind::Integer, Value::Number(number)) => number.as_i64().map(Self::Integer).ok_or(TypeMismatch),
            (AtomKind::Boolean, Value::Bool(value)) => Ok(Self::Boolean(*value)),
            (AtomKind::String, Value::String(text)) => Ok(Self::String(text.clone())),
            (AtomKind::Uuid, Value::Array(pair)) => match pair.as_slice() {
                [Value::String(tag), Value::String(text)] if tag == "uuid" => {
                    Uuid::try_parse(text).map(Self::Uuid).map_err(|_| TypeMismatch)
                }
                _ => Err(TypeMismatch),
            },
            _ => Err(TypeMismatch),
        }
    }

    fn encode(&self) -> Value {
        match self {
            Self::Integer(value) => json!(value),
            Self::Boolean(value) => json!(value),
            Self::String(text) => json!(text),
            Self::Uuid(id) => json!(["uuid", id.to_string()]),
        }
    }

    fn cost(&self) -> usize {
        ATOM_BYTES + if let Self::String(text) = self { text.len() } else { 0 }
    }

    fn default_of(kind: AtomKind) -> Self {
        match kind {
            AtomKind::Integer => Self::Integer(0),
            AtomKind::Boolean => Self::Boolean(false),
            AtomKind::String => Self::String(String::new()),
            AtomKind::Uuid => Self::Uuid(Uuid::nil()),
        }
    }
}

impl Datum {
    /// Reads a value of a column of type `kind`.
    pub fn decode(value: &Value, kind: ColumnType) -> Result<Self, TypeMismatch> {
        let tagged = |wanted: &str| match value {
            Value::Array(pair) => match pair.as_slice() {
                [Value::String(tag), Value::Array(members)] if tag == wanted => Some(members),
                _ => None,
            },
            _ => None,
        };
        if let Some(value_kind) = kind.value {
            let mut map = BTreeMap::new();
            for pair in tagged("map").ok_or(TypeMismatch)? {
                let Some([key, value]) = pair.as_array().map(Vec::as_slice) else { return Err(TypeMismatch) };
                map.insert(Atom::decode(key, kind.key)?, Atom::decode(value, value_kind)?);
            }
            return Ok(Self::Map(map));
        }
        let set = match tagged("set") {
            Some(members) => members.iter().map(|member| Atom::decode(member, kind.key)).collect::<Result<_, _>>()?,
            None => BTreeSet::from([Atom::decode(value, kind.key)?]),
        };
        Ok(Self::Set(set))
    }

    /// The value of a cell that nobody has set.
    pub fn default_of(kind: ColumnType) -> Self {
        match kind {
            ColumnType { value: Some(_), .. } => Self::Map(BTreeMap::new()),
            ColumnType { optional: true, .. } => Self::Set(BTreeSet::new()),
            ColumnType { key, .. } => Self::Set(BTreeSet::from([Atom::default_of(key)])),
        }
    }

    pub fn encode(&self) -> Value {
        match self {
            Self::Set(set) => match set.first() {
                Some(only) if set.len() == 1 => only.encode(),
                _ => json!(["set", set.iter().map(Atom::encode).collect::<Vec<_>>()]),
            },
            Self::Map(map) => {
                json!(["map", map.iter().map(|(key, value)| json!([key.encode(), value.encode()])).collect::<Vec<_>>()])
            }
        }
    }

    /// Takes in the change of an `update2` row. A column that holds at most one element comes whole. Of others the difference
    /// comes: elements that are new or no longer there; of maps, pairs that are new, changed, or no longer there.
    pub fn apply(&mut self, change: Self, kind: ColumnType) {
        match (&mut *self, change) {
            (Self::Set(set), Self::Set(change)) if kind.many => {
                for atom in change {
                    if !set.remove(&atom) {
                        set.insert(atom);
                    }
                }
            }
            (Self::Map(map), Self::Map(change)) if kind.many => {
                for (key, value) in change {
                    if map.get(&key) == Some(&value) {
                        map.remove(&key);
                    } else {
                        map.insert(key, value);
                    }
                }
            }
            (whole, change) => *whole = change,
        }
    }

    /// Bytes of memory, about.
    pub fn cost(&self) -> usize {
        match self {
            Self::Set(set) => set.iter().map(Atom::cost).sum(),
            Self::Map(map) => map.iter().map(|(key, value)| key.cost() + value.cost()).sum(),
        }
    }

    // What status is written with.

    pub fn integer(value: i64) -> Self {
        Self::Set(BTreeSet::from([Atom::Integer(value)]))
    }

    pub fn boolean(value: bool) -> Self {
        Self::Set(BTreeSet::from([Atom::Boolean(value)]))
    }

    pub fn string(value: &str) -> Self {
        Self::Set(BTreeSet::from([Atom::text(value)]))
    }

    pub fn optional_integer(value: Option<i64>) -> Self {
        Self::Set(value.map(Atom::Integer).into_iter().collect())
    }

    pub fn optional_string(value: Option<&str>) -> Self {
        Self::Set(value.map(Atom::text).into_iter().collect())
    }

    pub fn strings<'a>(values: impl IntoIterator<Item = &'a String>) -> Self {
        Self::Set(values.into_iter().map(|text| Atom::text(text)).collect())
    }

    pub fn string_map(map: &BTreeMap<String, String>) -> Self {
        Self::Map(map.iter().map(|(k, v)| (Atom::text(k), Atom::text(v))).collect())
    }

    /// Counters: the database's integers are signed, larger ones stay at its end.
    pub fn counters(map: &BTreeMap<String, u64>) -> Self {
        let counter = |value: u64| Atom::Integer(i64::try_from(value).unwrap_or(i64::MAX));
        Self::Map(map.iter().map(|(k, v)| (Atom::text(k), counter(*v))).collect())
    }

    /// The one element of a set.
    pub fn single(&self) -> Option<&Atom> {
        match self {
            Self::Set(set) => set.first(),
            Self::Map(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STRINGS: ColumnType = ColumnType { key: AtomKind::String, value: None, optional: true, many: true };
    const MAP: ColumnType =
        ColumnType { key: AtomKind::String, value: Some(AtomKind::Integer), optional: true, many: true };
    const OPTIONAL: ColumnType = ColumnType { key: AtomKind::Integer, value: None, optional: true, many: false };

    #[test]
    fn differences_of_sets_maps_and_scalars() {
        let mut set = Datum::decode(&json!(["set", ["a", "b"]]), STRINGS).unwrap();
        set.apply(Datum::decode(&json!(["set", ["b", "c"]]), STRINGS).unwrap(), STRINGS);
        assert_eq!(set.encode(), json!(["set", ["a", "c"]]));
        set.apply(Datum::decode(&json!("a"), STRINGS).unwrap(), STRINGS);
        assert_eq!(set.encode(), json!("c"));

        let mut map = Datum::decode(&json!(["map", [["a", 1], ["b", 2]]]), MAP).unwrap();
        map.apply(Datum::decode(&json!(["map", [["a", 1], ["b", 3], ["c", 4]]]), MAP).unwrap(), MAP);
        assert_eq!(map.encode(), json!(["map", [["b", 3], ["c", 4]]]));

        let mut scalar = Datum::decode(&json!(["set", []]), OPTIONAL).unwrap();
        scalar.apply(Datum::decode(&json!(5), OPTIONAL).unwrap(), OPTIONAL);
        scalar.apply(Datum::decode(&json!(5), OPTIONAL).unwrap(), OPTIONAL);
        assert_eq!(scalar.encode(), json!(5));
    }

    #[test]
    fn wrong_types_are_refused() {
        for value in [json!(1), json!(["map", []]), json!(["set", [1]]), json!(null), json!({}), json!(["uuid", "x"])] {
            assert_eq!(Datum::decode(&value, STRINGS), Err(TypeMismatch), "{value}");
        }
        for value in [json!("a"), json!(["set", []]), json!(["map", [["a"]]]), json!(["map", [["a", 1.5]]])] {
            assert_eq!(Datum::decode(&value, MAP), Err(TypeMismatch), "{value}");
        }
        assert_eq!(Datum::decode(&json!(u64::MAX), OPTIONAL), Err(TypeMismatch));
    }

    proptest! {
        #[test]
        fn a_difference_leads_from_one_map_to_the_other(
            from in prop::collection::btree_map("[a-d]", 0i64..3, 0..4),
            to in prop::collection::btree_map("[a-d]", 0i64..3, 0..4),
        ) {
            let datum = |map: &BTreeMap<String, i64>| {
                Datum::Map(map.iter().map(|(k, v)| (Atom::String(k.clone()), Atom::Integer(*v))).collect())
            };
            let mut change: BTreeMap<String, i64> = to.iter().filter(|(k, v)| from.get(*k) != Some(*v)).map(|(k, v)| (k.clone(), *v)).collect();
            change.extend(from.iter().filter(|(k, _)| !to.contains_key(*k)).map(|(k, v)| (k.clone(), *v)));
            let mut value = datum(&from);
            value.apply(datum(&change), MAP);
            prop_assert_eq!(&value, &datum(&to));
            prop_assert_eq!(Datum::decode(&value.encode(), MAP).unwrap(), value);
        }
    }
}
