//! Insertion, removal, loose selection and overlap, against a list.

use crate::model::{Rule, key, matching, search};
use hive_classifier::Table;
use hive_flow::{Mask, Match};
use proptest::prelude::*;
use std::sync::Arc;

#[derive(Clone, Debug)]
enum Step {
    Insert(Match, u16),
    Remove(usize),
    RemoveOther(Match, u16),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (matching(), 0u16..8).prop_map(|(matching, priority)| Step::Insert(matching, priority)),
        2 => (0usize..50).prop_map(Step::Remove),
        1 => (matching(), 0u16..8).prop_map(|(matching, priority)| Step::RemoveOther(matching, priority)),
    ]
}

fn values<'a>(rules: impl Iterator<Item = &'a u32>) -> Vec<u32> {
    let mut values: Vec<_> = rules.copied().collect();
    values.sort_unstable();
    values
}

/// Whether every packet of `inner` is one of `outer`, by masks.
fn narrower(inner: &Match, outer: &Match) -> bool {
    outer.iter().all(|(field, wanted)| {
        let has = inner.get(field);
        has.mask & wanted.mask == wanted.mask && (has.value ^ wanted.value) & wanted.mask == 0
    })
}

fn overlap(one: &Match, other: &Match) -> bool {
    one.iter().all(|(field, masked)| {
        let has = other.get(field);
        (has.value ^ masked.value) & has.mask & masked.mask == 0
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn edits_do_what_they_do_to_a_list(
        steps in proptest::collection::vec(step(), 0..120),
        probe in matching(), priority in 0u16..8,
        keys in proptest::collection::vec(key(), 1..20),
    ) {
        let mut table = Table::default();
        let mut list: Vec<Rule> = Vec::new();
        for (value, step) in steps.into_iter().enumerate() {
            let value = value as u32;
            let before = table.clone();
            let before_values = values(list.iter().map(|rule| &rule.value));
            match step {
                Step::Insert(matching, priority) => {
                    let old = table.insert(&matching, priority, &[], Arc::new(value)).unwrap().map(|rule| **rule.value());
                    let at = list.iter().position(|rule| rule.matching == matching && rule.priority == priority);
                    prop_assert_eq!(old, at.map(|at| list.remove(at).value));
                    list.push(Rule { matching, priority, conjunctions: Vec::new(), value });
                }
                Step::Remove(at) if !list.is_empty() => {
                    let rule = list.remove(at % list.len());
                    prop_assert_eq!(table.remove(&rule.matching, rule.priority).map(|rule| **rule.value()), Some(rule.value));
                }
                Step::Remove(_) => {}
                Step::RemoveOther(matching, priority) => {
                    let removed = table.remove(&matching, priority).map(|rule| **rule.value());
                    let at = list.iter().position(|rule| rule.matching == matching && rule.priority == priority);
                    prop_assert_eq!(removed, at.map(|at| list.remove(at).value));
                }
            }
            // An older version is as it was.
            prop_assert_eq!(values(before.iter().map(|rule| &**rule.value())), before_values);
        }
        prop_assert_eq!(table.len(), list.len());
        prop_assert_eq!(values(table.iter().map(|rule| &**rule.value())), values(list.iter().map(|rule| &rule.value)));
        prop_assert_eq!(
            values(table.within(&probe).map(|rule| &**rule.value())),
            values(list.iter().filter(|rule| narrower(&rule.matching, &probe)).map(|rule| &rule.value))
        );
        let others = list.iter().filter(|rule| rule.matching != probe && rule.priority == priority);
        prop_assert_eq!(
            table.overlapping(&probe, priority).is_some(),
            others.into_iter().any(|rule| overlap(&rule.matching, &probe))
        );
        for key in keys {
            // Of several rules of one priority any may be met.
            let met = table.lookup(&key, &mut Mask::default()).map(|found| found.rule.priority());
            prop_assert_eq!(met, search(&list, &key).map(|(value, _)| list.iter().find(|rule| rule.value == value).unwrap().priority));
        }
        for rule in list {
            table.remove(&rule.matching, rule.priority).unwrap();
        }
        prop_assert_eq!((table.len(), table.masks()), (0, 0));
    }
}
