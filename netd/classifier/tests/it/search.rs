//! The same answers as by looking at every rule, and masks that say what mattered.

use crate::model::{Rule, key, other, rules, search, table};
use hive_classifier::{Conjunction, Table};
use hive_flow::{Field, Key, Mask, Match};
use proptest::prelude::*;
use std::sync::Arc;

fn answer(table: &Table<u32>, key: &Key, mask: &mut Mask) -> Option<(u32, u32)> {
    table.lookup(key, mask).map(|found| (**found.rule.value(), found.conj_id))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn every_packet_meets_the_right_rule(rules in rules(60), keys in proptest::collection::vec(key(), 1..40)) {
        let table = table(&rules);
        prop_assert_eq!(table.len(), rules.len());
        for key in keys {
            prop_assert_eq!(answer(&table, &key, &mut Mask::default()), search(&rules, &key));
        }
    }

    /// The soundness of megaflows.
    #[test]
    fn whoever_agrees_in_the_mask_meets_the_same_rule(
        rules in rules(60),
        keys in proptest::collection::vec((key(), key(), proptest::collection::vec(any::<u64>(), 7)), 1..40),
    ) {
        let table = table(&rules);
        for (key, noise, random) in keys {
            let mut mask = Mask::default();
            let met = answer(&table, &key, &mut mask);
            prop_assert_eq!(mask.get(Field::ConjId), 0);
            let other = other(&key, &mask, &noise, &random);
            prop_assert!(key.agrees(&other, &mask));
            prop_assert_eq!(answer(&table, &other, &mut Mask::default()), met, "{:?}", mask);
        }
    }
}

fn rule(parts: &[(Field, u128, u128)], priority: u16, value: u32) -> Rule {
    let mut matching = Match::default();
    for (field, value, mask) in parts {
        matching.set(*field, *value, *mask);
    }
    Rule { matching, priority, conjunctions: Vec::new(), value }
}

fn lookup(table: &Table<u32>, parts: &[(Field, u128)]) -> (Option<u32>, Match) {
    let mut key = Key::ZERO;
    for (field, value) in parts {
        key.set(*field, *value);
    }
    let mut mask = Mask::default();
    let met = answer(table, &key, &mut mask).map(|(value, _)| value);
    (met, Match::from_key(&key, &mask))
}

const ALL: u128 = u128::MAX;
const IP: (Field, u128, u128) = (Field::EthType, 0x800, ALL);

/// A host route beside wide ones must not make every megaflow one of a host.
#[test]
fn routes_leave_megaflows_as_wide_as_they_can_be() {
    let table = table(&[
        rule(&[IP, (Field::Ipv4Dst, 0x0a00_0000, 0xff00_0000)], 8, 8),
        rule(&[IP, (Field::Ipv4Dst, 0x0a01_0000, 0xffff_0000)], 16, 16),
        rule(&[IP, (Field::Ipv4Dst, 0x0a01_0203, 0xffff_ffff)], 32, 32),
    ]);
    let to = |address| lookup(&table, &[(Field::EthType, 0x800), (Field::Ipv4Dst, address)]);
    let mask = |(met, matching): (Option<u32>, Match)| (met, matching.get(Field::Ipv4Dst).mask);
    assert_eq!(mask(to(0x0a01_0203)), (Some(32), 0xffff_ffff));
    // The host route has a 0 where this one's 17th bit is 1.
    assert_eq!(mask(to(0x0a01_8000)), (Some(16), 0xffff_8000));
    assert_eq!(mask(to(0x0a80_0000)), (Some(8), 0xff80_0000));
    assert_eq!(mask(to(0x8000_0000)), (None, 0x8000_0000));
}

#[test]
fn ports_that_no_rule_has_are_told_by_few_bits() {
    let tcp = (Field::IpProto, 6, ALL);
    let table =
        table(&[rule(&[IP, tcp, (Field::TpDst, 80, ALL), (Field::TpSrc, 0, ALL)], 10, 1), rule(&[IP, tcp], 1, 2)]);
    let (met, matching) = lookup(&table, &[(Field::EthType, 0x800), (Field::IpProto, 6), (Field::TpSrc, 0x8000)]);
    assert_eq!(met, Some(2));
    assert_eq!(matching.get(Field::TpSrc).mask, 0x8000);
    assert_eq!(matching.get(Field::TpDst).mask, 0);
}

/// What fails in an early stage does not bring in the later ones.
#[test]
fn stages_that_are_not_entered_leave_no_bits() {
    let table = table(&[
        rule(&[(Field::Metadata, 5, ALL), IP, (Field::Ipv4Src, 1, ALL), (Field::TpDst, 9, ALL)], 10, 1),
        rule(&[], 0, 0),
    ]);
    let (met, matching) = lookup(&table, &[(Field::Metadata, 6), (Field::EthType, 0x800), (Field::Ipv4Src, 1)]);
    let mut expected = Match::default();
    expected.exactly(Field::Metadata, 6);
    assert_eq!((met, matching), (Some(0), expected));
    let (_, matching) = lookup(&table, &[(Field::Metadata, 5), (Field::EthType, 0x86dd)]);
    assert_eq!(matching.get(Field::TpDst).mask, 0);
    assert_eq!(matching.exact(Field::EthType), Some(0x86dd));
}

/// `n` sources and `m` destinations are `n + m` rules, and one that says what then.
#[test]
fn a_conjunction_is_met_when_all_its_clauses_are() {
    let mut rules = Vec::new();
    for source in 0..10 {
        let mut soft = rule(&[IP, (Field::Ipv4Src, source, ALL)], 100, 0);
        soft.conjunctions = vec![Conjunction { id: 7, clause: 0, clauses: 2 }];
        rules.push(soft);
    }
    for port in [80, 443] {
        let mut soft = rule(&[IP, (Field::IpProto, 6, ALL), (Field::TpDst, port, ALL)], 100, 0);
        soft.conjunctions = vec![Conjunction { id: 7, clause: 1, clauses: 2 }];
        rules.push(soft);
    }
    rules.push(rule(&[(Field::ConjId, 7, ALL)], 100, 70));
    rules.push(rule(&[], 1, 1));
    let table = table(&rules);
    let met = |source, port| {
        let fields = [(Field::EthType, 0x800), (Field::Ipv4Src, source), (Field::IpProto, 6), (Field::TpDst, port)];
        lookup(&table, &fields).0
    };
    assert_eq!(met(3, 443), Some(70));
    assert_eq!(met(11, 443), Some(1));
    assert_eq!(met(3, 81), Some(1));
    // Nobody brings the id along.
    assert_eq!(lookup(&table, &[(Field::ConjId, 7)]).0, Some(1));
}

#[test]
fn a_rule_gives_back_what_it_was_made_of() {
    let wanted = rule(&[IP, (Field::Ipv4Src, 0x0a00_0000, 0xff00_0000), (Field::Reg(2), 1, 3)], 77, 5);
    let mut table = table(std::slice::from_ref(&wanted));
    let held = table.get(&wanted.matching, 77).unwrap();
    assert_eq!((held.matching(), held.priority(), **held.value()), (wanted.matching.clone(), 77, 5));
    assert!(table.get(&wanted.matching, 78).is_none());
    let old = table.insert(&wanted.matching, 77, &[], Arc::new(6)).unwrap().unwrap();
    assert_eq!((**old.value(), table.len()), (5, 1));
}
