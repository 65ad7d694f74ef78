//! The search through a table's subtables.

use crate::conjunction::{self, Conjunction};
use crate::shape::TRIE_FIELDS;
use crate::subtable::{Rule, Tries};
use crate::table::Slot;
use crate::trie::Trie;
use hive_flow::{Field, Key, Mask};
use std::sync::Arc;

/// What a packet meets.
#[derive(Debug)]
pub struct Found<'a, T> {
    pub rule: &'a Arc<Rule<T>>,
    /// The conjunction that was satisfied on the way; 0 if none was.
    pub conj_id: u32,
}

/// A conjunctive rule that the packet agrees with.
struct Soft<'a> {
    priority: u16,
    conjunctions: &'a [Conjunction],
}

pub(crate) fn lookup<'a, T>(
    subtables: &'a [Slot<T>],
    tries: &[Trie; TRIE_FIELDS.len()],
    key: &Key,
    mask: &mut Mask,
) -> Option<Found<'a, T>> {
    let found = if key.get_u64(Field::ConjId) == 0 {
        whole(subtables, tries, key, mask)
    } else {
        let mut plain = *key;
        plain.set(Field::ConjId, 0);
        whole(subtables, tries, &plain, mask)
    };
    mask.set(Field::ConjId, 0);
    found
}

fn whole<'a, T>(
    subtables: &'a [Slot<T>],
    tries: &[Trie; TRIE_FIELDS.len()],
    key: &Key,
    mask: &mut Mask,
) -> Option<Found<'a, T>> {
    let mut soft = Vec::new();
    let hard = pass(subtables, tries, key, mask, Some(&mut soft)).map(|rule| Found { rule, conj_id: 0 });
    if soft.is_empty() {
        return hard;
    }
    conjunctive(subtables, tries, key, mask, soft, hard)
}

/// From the highest priority that conjunctive rules agree at: if one of their conjunctions is whole, the packet meets what it would
/// meet with that `conj_id`.
#[cold]
fn conjunctive<'a, T>(
    subtables: &'a [Slot<T>],
    tries: &[Trie; TRIE_FIELDS.len()],
    key: &Key,
    mask: &mut Mask,
    mut soft: Vec<Soft<'a>>,
    hard: Option<Found<'a, T>>,
) -> Option<Found<'a, T>> {
    // A rule proper wins over conjunctions below its priority, and at it.
    if let Some(hard) = &hard {
        soft.retain(|soft| soft.priority > hard.rule.priority());
    }
    soft.sort_by_key(|soft| std::cmp::Reverse(soft.priority));
    for level in soft.chunk_by(|one, other| one.priority == other.priority) {
        let mut held: Vec<_> = level.iter().flat_map(|soft| soft.conjunctions).copied().collect();
        for conj_id in conjunction::complete(&mut held) {
            let mut with_id = *key;
            with_id.set(Field::ConjId, u128::from(conj_id));
            if let Some(rule) = pass(subtables, tries, &with_id, mask, None) {
                return Some(Found { rule, conj_id });
            }
        }
    }
    hard
}

/// One pass: the best rule proper, and the conjunctive rules that are better, if they are asked for.
#[inline]
fn pass<'a, T>(
    subtables: &'a [Slot<T>],
    tries: &[Trie; TRIE_FIELDS.len()],
    key: &Key,
    mask: &mut Mask,
    mut soft: Option<&mut Vec<Soft<'a>>>,
) -> Option<&'a Arc<Rule<T>>> {
    let mut tries = Tries::new(tries);
    let mut best: Option<&Arc<Rule<T>>> = None;
    for subtable in subtables {
        if best.is_some_and(|best| best.priority() >= subtable.priority_max) {
            break;
        }
        let Some(group) = subtable.lookup(key, &mut tries, mask) else { continue };
        for rule in &group.rules {
            if best.is_some_and(|best| best.priority() >= rule.priority()) {
                break;
            }
            if rule.conjunctions().is_empty() {
                best = Some(rule);
                break;
            }
            if let Some(soft) = &mut soft {
                soft.push(Soft { priority: rule.priority(), conjunctions: rule.conjunctions() });
            }
        }
    }
    best
}
