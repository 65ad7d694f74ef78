//! A flow table.

use crate::conjunction::Conjunction;
use crate::lookup::{self, Found};
use crate::shape::{Shape, TRIE_FIELDS, hasher};
use crate::subtable::{Rule, Subtable};
use crate::trie::Trie;
use hive_flow::{Key, Mask, Match, Unplaced, Words};
use std::hash::Hasher;
use std::ops::Deref;
use std::sync::Arc;

/// A subtable, and what it is found by.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    /// Tables can have a thousand masks; they are told apart without a look at each.
    mask_hash: u64,
    subtable: Arc<Subtable<T>>,
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self { mask_hash: self.mask_hash, subtable: self.subtable.clone() }
    }
}

impl<T> Deref for Slot<T> {
    type Target = Subtable<T>;

    #[inline]
    fn deref(&self) -> &Subtable<T> {
        &self.subtable
    }
}

/// Rules, and the search among them. A clone costs a reference per mask, and shares all rules.
#[derive(Debug)]
pub struct Table<T> {
    /// By falling greatest priority.
    subtables: Vec<Slot<T>>,
    tries: [Trie; TRIE_FIELDS.len()],
    rules: usize,
}

impl<T> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { subtables: self.subtables.clone(), tries: self.tries.clone(), rules: self.rules }
    }
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { subtables: Vec::new(), tries: Default::default(), rules: 0 }
    }
}

impl<T> Table<T> {
    /// Rules.
    pub fn len(&self) -> usize {
        self.rules
    }

    pub fn is_empty(&self) -> bool {
        self.rules == 0
    }

    /// Different masks among the rules: what a lookup visits at most.
    pub fn masks(&self) -> usize {
        self.subtables.len()
    }

    /// Adds a rule; one of the same match and priority is replaced, and returned.
    ///
    /// With conjunctions the rule is never found itself, only what it stands for.
    ///
    /// # Errors
    /// The match asks for a field that keys have no place for.
    pub fn insert(
        &mut self,
        matching: &Match,
        priority: u16,
        conjunctions: &[Conjunction],
        value: Arc<T>,
    ) -> Result<Option<Arc<Rule<T>>>, Unplaced> {
        let (key, mask) = matching.to_key()?;
        let at = match self.at(&mask) {
            Some(at) => at,
            None => {
                let subtable = Arc::new(Subtable::new(Arc::new(Shape::new(mask))));
                self.subtables.push(Slot { mask_hash: hash(&mask), subtable });
                self.subtables.len() - 1
            }
        };
        let subtable = Arc::make_mut(&mut self.subtables[at].subtable);
        let shape = subtable.shape.clone();
        let before = subtable.priority_max;
        let (old, new_match) = subtable.insert(Rule::new(shape.clone(), &key, priority, conjunctions, value));
        let moved = subtable.priority_max != before || subtable.rules() == 1;
        if new_match {
            for (field, length) in shape.prefixes.into_iter().enumerate().filter(|(_, length)| *length != 0) {
                self.tries[field].insert(Shape::trie_value(&key, field), length);
            }
        }
        self.rules += usize::from(old.is_none());
        if moved {
            self.sort();
        }
        Ok(old)
    }

    /// Takes out the rule of exactly this match and priority.
    pub fn remove(&mut self, matching: &Match, priority: u16) -> Option<Arc<Rule<T>>> {
        let (key, mask) = matching.to_key().ok()?;
        self.remove_key(&key, &mask, priority)
    }

    /// Takes out a rule of this table.
    pub fn remove_rule(&mut self, rule: &Rule<T>) -> Option<Arc<Rule<T>>> {
        let (key, mask) = rule.key_mask();
        self.remove_key(&key, &mask, rule.priority())
    }

    fn remove_key(&mut self, key: &Key, mask: &Mask, priority: u16) -> Option<Arc<Rule<T>>> {
        let at = self.at(mask)?;
        // Not to unshare for nothing.
        self.subtables[at].group(key)?;
        let subtable = Arc::make_mut(&mut self.subtables[at].subtable);
        let before = subtable.priority_max;
        let (rule, last_of_match) = subtable.remove(key, priority)?;
        let (moved, empty) = (subtable.priority_max != before, subtable.rules() == 0);
        let shape = subtable.shape.clone();
        if last_of_match {
            for (field, length) in shape.prefixes.into_iter().enumerate().filter(|(_, length)| *length != 0) {
                self.tries[field].remove(Shape::trie_value(key, field), length);
            }
        }
        self.rules -= 1;
        if empty {
            self.subtables.remove(at);
        } else if moved {
            self.sort();
        }
        Some(rule)
    }

    /// The rule of exactly this match and priority.
    pub fn get(&self, matching: &Match, priority: u16) -> Option<&Arc<Rule<T>>> {
        let (key, mask) = matching.to_key().ok()?;
        let group = self.subtables[self.at(&mask)?].group(&key)?;
        group.rules.iter().find(|rule| rule.priority() == priority)
    }

    /// All rules, those of one match by falling priority.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Rule<T>>> {
        self.subtables.iter().flat_map(|subtable| subtable.groups()).flat_map(|group| &group.rules)
    }

    /// The rules that ask for all that this match asks for, and perhaps more: what a "loose" modification or deletion means.
    pub fn within(&self, matching: &Match) -> impl Iterator<Item = &Arc<Rule<T>>> {
        let wanted = matching.to_key().ok();
        let subtables = wanted.into_iter().flat_map(move |(key, mask)| {
            let narrower = self.subtables.iter().filter(move |subtable| subtable.shape.mask.covers(&mask));
            narrower.map(move |subtable| (subtable, key, mask))
        });
        subtables
            .flat_map(|(subtable, key, mask)| {
                subtable.groups().filter(move |group| group.agrees(&subtable.shape, &key, &mask))
            })
            .flat_map(|group| &group.rules)
    }

    /// A rule of the same priority, but another match, that a packet could agree with too (`OFPFF_CHECK_OVERLAP`).
    pub fn overlapping(&self, matching: &Match, priority: u16) -> Option<&Arc<Rule<T>>> {
        let (key, mask) = matching.to_key().ok()?;
        let candidates = self.subtables.iter().filter(|subtable| subtable.priority_max >= priority);
        let mut groups = candidates.flat_map(|subtable| {
            let common = Mask { words: std::array::from_fn(|at| mask.words[at] & subtable.shape.mask.words[at]) };
            let same = subtable.shape.mask == mask;
            subtable.groups().filter(move |group| !same && group.agrees(&subtable.shape, &key, &common))
        });
        groups.find_map(|group| group.rules.iter().find(|rule| rule.priority() == priority))
    }

    /// The rule that this packet meets, if any. Every packet that agrees with it in the bits that are added to `mask` meets the same.
    ///
    /// `conj_id` of the key counts only as far as conjunctions of this table give it one, and is never added to the mask.
    pub fn lookup(&self, key: &Key, mask: &mut Mask) -> Option<Found<'_, T>> {
        lookup::lookup(&self.subtables, &self.tries, key, mask)
    }

    fn at(&self, mask: &Mask) -> Option<usize> {
        let mask_hash = hash(mask);
        self.subtables.iter().position(|slot| slot.mask_hash == mask_hash && slot.shape.mask == *mask)
    }

    /// Stable, so that of two equal ones the older stays first.
    fn sort(&mut self) {
        self.subtables.sort_by_key(|subtable| std::cmp::Reverse(subtable.priority_max));
    }
}

fn hash(mask: &Mask) -> u64 {
    let mut hasher = hasher();
    for word in Words(mask.used()) {
        hasher.write_usize(word);
        hasher.write_u64(mask.words[word]);
    }
    hasher.finish()
}
