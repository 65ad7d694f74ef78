//! A classifier that looks at every rule, and random rules and packets that have to do with each other.

use hive_classifier::{Conjunction, Table};
use hive_flow::{Field, Key, Match, Stage};
use proptest::prelude::*;
use std::sync::Arc;

#[derive(Clone, Debug)]
pub struct Rule {
    pub matching: Match,
    pub priority: u16,
    pub conjunctions: Vec<Conjunction>,
    pub value: u32,
}

impl Rule {
    fn agrees(&self, key: &Key) -> bool {
        self.matching.iter().all(|(field, masked)| (key.get(field) ^ masked.value) & masked.mask == 0)
    }
}

pub fn table(rules: &[Rule]) -> Table<u32> {
    let mut table = Table::default();
    for rule in rules {
        table.insert(&rule.matching, rule.priority, &rule.conjunctions, Arc::new(rule.value)).unwrap();
    }
    table
}

/// The value and the conjunction of what the packet meets.
pub fn search(rules: &[Rule], key: &Key) -> Option<(u32, u32)> {
    let best = |key: &Key| {
        let proper = rules.iter().filter(|rule| rule.conjunctions.is_empty() && rule.agrees(key));
        proper.max_by_key(|rule| rule.priority)
    };
    let mut key = *key;
    key.set(Field::ConjId, 0);
    let hard = best(&key);
    let soft: Vec<_> = rules.iter().filter(|rule| !rule.conjunctions.is_empty() && rule.agrees(&key)).collect();
    let mut levels: Vec<_> = soft.iter().map(|rule| rule.priority).collect();
    levels.sort_unstable();
    levels.dedup();
    for level in levels.into_iter().rev().filter(|level| hard.is_none_or(|hard| *level > hard.priority)) {
        let held: Vec<_> =
            soft.iter().filter(|rule| rule.priority == level).flat_map(|rule| &rule.conjunctions).collect();
        let mut ids: Vec<_> = held.iter().map(|conjunction| conjunction.id).collect();
        ids.sort_unstable();
        ids.dedup();
        for id in ids {
            let of_id: Vec<_> = held.iter().filter(|conjunction| conjunction.id == id).collect();
            let whole =
                (0..of_id[0].clauses).all(|clause| of_id.iter().any(|conjunction| conjunction.clause == clause));
            if whole {
                key.set(Field::ConjId, u128::from(id));
                if let Some(rule) = best(&key) {
                    return Some((rule.value, id));
                }
            }
        }
    }
    hard.map(|rule| (rule.value, 0))
}

/// Fields with few values and the masks that rules use on them. Values of addresses and ports differ near the top and the bottom.
fn part() -> impl Strategy<Value = (Field, u128, u128)> {
    let address = |value: u8| u128::from(value >> 2) << 28 | u128::from(value & 3);
    let prefix = |length: u32| u128::from(u32::MAX) << (32 - length) & u128::from(u32::MAX);
    let lengths = proptest::sample::select(vec![0u32, 1, 2, 3, 4, 8, 31, 32]);
    let port_masks = proptest::sample::select(vec![0xffffu128, 0xffff, 0xfffe, 0xfffc, 0xc000, 0x8000, 0x0003]);
    prop_oneof![
        (0u128..3).prop_map(|value| (Field::Metadata, value, u128::MAX)),
        (0u128..3).prop_map(|value| (Field::InPort, value, u128::MAX)),
        (0u128..4, 0u128..4).prop_map(|(value, mask)| (Field::Reg(3), value, mask)),
        (0u128..4, 0u128..4).prop_map(|(value, mask)| (Field::CtState, value << 4, mask << 4)),
        (0u128..3).prop_map(|value| (Field::EthType, value, u128::MAX)),
        (0u128..3).prop_map(|value| (Field::EthDst, value, u128::MAX)),
        (any::<u8>(), lengths.clone()).prop_map(move |(value, length)| (
            Field::Ipv4Src,
            address(value),
            prefix(length)
        )),
        (any::<u8>(), lengths.clone()).prop_map(move |(value, length)| (
            Field::Ipv4Dst,
            address(value),
            prefix(length)
        )),
        (any::<u8>(), lengths).prop_map(move |(value, length)| (
            Field::Ipv6Dst,
            address(value) << 96,
            prefix(length) << 96
        )),
        (0u128..2).prop_map(|value| (Field::IpProto, value, u128::MAX)),
        (0u128..6, port_masks.clone()).prop_map(|(value, mask)| (Field::TpSrc, value << 14 | value >> 2, mask)),
        (0u128..6, port_masks).prop_map(|(value, mask)| (Field::TpDst, value << 14 | value >> 2, mask)),
        (0u128..4, 0u128..4).prop_map(|(value, mask)| (Field::TcpFlags, value, mask)),
    ]
}

pub fn matching() -> impl Strategy<Value = Match> {
    proptest::collection::vec(part(), 0..5).prop_map(|parts| {
        let mut matching = Match::default();
        for (field, value, mask) in parts {
            matching.set(field, value, mask);
        }
        matching
    })
}

pub fn key() -> impl Strategy<Value = Key> {
    proptest::collection::vec(part(), 4..24).prop_map(|parts| {
        let mut key = Key::ZERO;
        for (field, value, _) in parts {
            key.set(field, value);
        }
        key
    })
}

/// Rules whose priorities are all different, so that there is one answer; or, for conjunctions, few different ones.
pub fn rules(count: usize) -> impl Strategy<Value = Vec<Rule>> {
    let conjunctions = proptest::collection::vec((1u32..4, 0u8..3), 1..3);
    let soft = proptest::option::weighted(0.3, conjunctions);
    let conj_id = proptest::option::weighted(0.2, 1u128..4);
    proptest::collection::vec((matching(), soft, conj_id, 0u16..6), 0..count).prop_map(|parts| {
        let mut rules: Vec<Rule> = Vec::new();
        for (at, (mut matching, soft, conj_id, level)) in parts.into_iter().enumerate() {
            let conjunctions: Vec<_> = soft
                .into_iter()
                .flatten()
                .map(|(id, clause)| Conjunction { id, clause: clause % 2, clauses: 2 })
                .collect();
            let priority = if conjunctions.is_empty() { 10 * (at as u16 * 7 % 64) + 1 } else { 100 * level };
            if let (Some(id), true) = (conj_id, conjunctions.is_empty()) {
                matching.exactly(Field::ConjId, id);
            }
            if !rules
                .iter()
                .any(|rule| rule.priority == priority && (rule.matching == matching || conjunctions.is_empty()))
            {
                rules.push(Rule { matching, priority, conjunctions, value: at as u32 });
            }
        }
        rules
    })
}

/// All bits of the key changed at random where the mask has none.
pub fn other(key: &Key, mask: &hive_flow::Mask, noise: &Key, random: &[u64]) -> Key {
    let mut changed = *key;
    for (at, word) in changed.words.iter_mut().enumerate() {
        // Half the time values that rules know, else any.
        let from = if random[1] >> (at % 64) & 1 == 0 {
            noise.words[at]
        } else {
            random[at % random.len()].rotate_left(at as u32)
        };
        *word = *word & mask.words[at] | from & !mask.words[at];
    }
    changed
}

#[test]
fn the_domain_reaches_every_stage() {
    let fields = [Field::Metadata, Field::EthDst, Field::Ipv4Src, Field::TpDst];
    for (field, stage) in fields.into_iter().zip(Stage::ALL) {
        assert_ne!(field.place().unwrap().words() & stage.words(), 0, "{field:?}");
    }
}
