//! The rules of one mask.

use crate::conjunction::Conjunction;
use crate::cow::CowMap;
use crate::shape::{Shape, hasher};
use crate::trie::{Prefixes, Trie};
use hive_flow::{Key, Mask, Match, Stage, WORDS};
use std::hash::Hasher;
use std::sync::Arc;

/// A rule of a table.
#[derive(Debug)]
pub struct Rule<T> {
    shape: Arc<Shape>,
    words: Box<[u64]>,
    priority: u16,
    conjunctions: Box<[Conjunction]>,
    value: Arc<T>,
}

impl<T> Rule<T> {
    pub(crate) fn new(
        shape: Arc<Shape>,
        key: &Key,
        priority: u16,
        conjunctions: &[Conjunction],
        value: Arc<T>,
    ) -> Arc<Self> {
        let words = shape.pick(key);
        Arc::new(Self { shape, words, priority, conjunctions: conjunctions.into(), value })
    }

    pub fn priority(&self) -> u16 {
        self.priority
    }

    pub fn value(&self) -> &Arc<T> {
        &self.value
    }

    /// What it stands for instead of being met itself; empty for all other rules.
    pub fn conjunctions(&self) -> &[Conjunction] {
        &self.conjunctions
    }

    /// Its match as words; the key is 0 outside the mask.
    pub fn key_mask(&self) -> (Key, Mask) {
        (self.shape.unpick(&self.words), self.shape.mask)
    }

    pub fn matching(&self) -> Match {
        let (key, mask) = self.key_mask();
        Match::from_key(&key, &mask)
    }

    /// Whether the packet is one of those meant.
    pub fn agrees(&self, key: &Key) -> bool {
        self.shape.agrees(&self.words, key)
    }
}

/// Rules of one match, by falling priority; never empty.
#[derive(Clone, Debug)]
pub(crate) struct Group<T> {
    words: Box<[u64]>,
    pub rules: Vec<Arc<Rule<T>>>,
}

#[derive(Debug)]
pub(crate) struct Subtable<T> {
    pub shape: Arc<Shape>,
    groups: CowMap<Arc<Group<T>>>,
    /// By stage: how many groups have words of this hash up to its end. Not of the last stage that has words, which `groups` is for.
    steps: [CowMap<(u64, u32)>; Stage::ALL.len()],
    ports: Trie,
    pub priority_max: u16,
    /// Rules of that priority.
    of_priority_max: usize,
    rules: usize,
}

impl<T> Clone for Subtable<T> {
    fn clone(&self) -> Self {
        Self {
            shape: self.shape.clone(),
            groups: self.groups.clone(),
            steps: self.steps.clone(),
            ports: self.ports.clone(),
            priority_max: self.priority_max,
            of_priority_max: self.of_priority_max,
            rules: self.rules,
        }
    }
}

/// The answers of a table's tries for one packet, asked for when first needed.
pub(crate) struct Tries<'a> {
    tries: &'a [Trie; 4],
    answers: [Option<Prefixes>; 4],
}

impl<'a> Tries<'a> {
    pub fn new(tries: &'a [Trie; 4]) -> Self {
        Self { tries, answers: [None; 4] }
    }

    /// Whether no rule of this shape can agree, by the addresses whose words are in this range; then `mask` has the bits that say so.
    #[inline]
    fn exclude(&mut self, shape: &Shape, words: &[(u8, u64)], key: &Key, mask: &mut Mask) -> bool {
        for (at, length) in shape.prefixes.into_iter().enumerate().filter(|(_, length)| *length != 0) {
            let field = crate::shape::TRIE_FIELDS[at];
            let Some(place) = field.place() else { continue };
            if !words.iter().any(|(word, _)| *word == place.word) {
                continue;
            }
            let answer = *self.answers[at]
                .get_or_insert_with(|| self.tries[at].lookup(Shape::trie_value(key, at), field.bits()));
            if answer.has(length) {
                continue;
            }
            let bits = if answer.bits == 0 { 0 } else { u128::MAX << (128 - answer.bits) >> (128 - field.bits()) };
            let looked_at = mask.get(field);
            // More bits than the subtable itself would look at are worth it only if they are looked at already.
            if answer.bits <= length || bits & !looked_at == 0 {
                mask.set(field, looked_at | bits);
                return true;
            }
        }
        false
    }
}

impl<T> Subtable<T> {
    pub fn new(shape: Arc<Shape>) -> Self {
        Self {
            shape,
            groups: CowMap::default(),
            steps: Default::default(),
            ports: Trie::default(),
            priority_max: 0,
            of_priority_max: 0,
            rules: 0,
        }
    }

    pub fn rules(&self) -> usize {
        self.rules
    }

    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group<T>>> {
        self.groups.iter()
    }

    pub fn group(&self, key: &Key) -> Option<&Group<T>> {
        let words = self.shape.pick(key);
        let (_, hash) = self.shape.hashes(&words);
        self.groups.get(hash, |group| group.words == words).map(|group| &**group)
    }

    /// The rules that the packet agrees with. `mask` gets the bits that decided this.
    #[inline]
    pub fn lookup(&self, key: &Key, tries: &mut Tries<'_>, mask: &mut Mask) -> Option<&Group<T>> {
        let shape = &*self.shape;
        let mut hasher = hasher();
        let mut done = 0;
        for stage in 0..Stage::ALL.len() {
            let end = shape.end(stage);
            let words = shape.words(done, end);
            if words.is_empty() {
                continue;
            }
            if tries.exclude(shape, words, key, mask) {
                shape.add_words(mask, done);
                return None;
            }
            for (word, bits) in words {
                hasher.write_u64(key.words[usize::from(*word) % WORDS] & bits);
            }
            if shape.is_step(stage) {
                let hash = hasher.finish();
                if self.steps[stage].get(hash, |(other, _)| *other == hash).is_none() {
                    shape.add_words(mask, end);
                    return None;
                }
                done = end;
            } else if end == shape.end(Stage::ALL.len() - 1) {
                break;
            }
        }
        let group = self.groups.get(hasher.finish(), |group| shape.agrees(&group.words, key));
        if group.is_none() && shape.ports != 0 {
            let answer = self.ports.lookup(shape.ports_value(key), 32);
            let length = shape.ports.leading_ones();
            if !answer.has(length) && answer.bits <= length {
                // By ports alone none agrees, so nothing else of the last stage counts.
                shape.add_words(mask, done);
                shape.add_ports(mask, answer.bits);
                return None;
            }
        }
        shape.add_words(mask, shape.end(Stage::ALL.len() - 1));
        group.map(|group| &**group)
    }

    /// Adds a rule in place of one of the same match and priority, which is returned. True: a new match, of which tries must know.
    pub fn insert(&mut self, rule: Arc<Rule<T>>) -> (Option<Arc<Rule<T>>>, bool) {
        let (steps, hash) = self.shape.hashes(&rule.words);
        let priority = rule.priority;
        if let Some(group) = self.groups.get_mut(hash, |group| group.words == rule.words) {
            // Not `Arc::make_mut`, which would ask that values can be cloned.
            let mut rules = group.rules.clone();
            let at = rules.partition_point(|other| other.priority > priority);
            let old = match rules.get_mut(at) {
                Some(same) if same.priority == priority => Some(std::mem::replace(same, rule)),
                _ => {
                    rules.insert(at, rule);
                    None
                }
            };
            *group = Arc::new(Group { words: group.words.clone(), rules });
            if old.is_none() {
                self.count_in(priority);
            }
            return (old, false);
        }
        for stage in (0..Stage::ALL.len()).filter(|stage| self.shape.is_step(*stage)) {
            let step = steps[stage];
            match self.steps[stage].get_mut(step, |(other, _)| *other == step) {
                Some((_, count)) => *count += 1,
                None => self.steps[stage].insert(step, (step, 1)),
            }
        }
        if self.shape.ports != 0 {
            let ports = self.shape.ports_value(&self.shape.unpick(&rule.words));
            self.ports.insert(ports, self.shape.ports.leading_ones());
        }
        self.groups.insert(hash, Arc::new(Group { words: rule.words.clone(), rules: vec![rule] }));
        self.count_in(priority);
        (None, true)
    }

    /// Takes a rule out. True: the last one of its match.
    pub fn remove(&mut self, key: &Key, priority: u16) -> Option<(Arc<Rule<T>>, bool)> {
        let words = self.shape.pick(key);
        let (steps, hash) = self.shape.hashes(&words);
        let group = self.groups.get(hash, |group| group.words == words)?;
        let at = group.rules.iter().position(|rule| rule.priority == priority)?;
        let last = group.rules.len() == 1;
        let rule = group.rules[at].clone();
        if last {
            self.groups.remove(hash, |group| group.words == words)?;
            for stage in (0..Stage::ALL.len()).filter(|stage| self.shape.is_step(*stage)) {
                let step = steps[stage];
                let Some((_, count)) = self.steps[stage].get_mut(step, |(other, _)| *other == step) else { continue };
                *count -= 1;
                if *count == 0 {
                    self.steps[stage].remove(step, |(other, _)| *other == step);
                }
            }
            if self.shape.ports != 0 {
                let ports = self.shape.ports_value(&self.shape.unpick(&words));
                self.ports.remove(ports, self.shape.ports.leading_ones());
            }
        } else if let Some(group) = self.groups.get_mut(hash, |group| group.words == words) {
            let mut rules = group.rules.clone();
            rules.remove(at);
            *group = Arc::new(Group { words, rules });
        }
        self.count_out(priority);
        Some((rule, last))
    }

    fn count_in(&mut self, priority: u16) {
        self.rules += 1;
        if priority > self.priority_max || self.rules == 1 {
            self.priority_max = priority;
            self.of_priority_max = 1;
        } else if priority == self.priority_max {
            self.of_priority_max += 1;
        }
    }

    fn count_out(&mut self, priority: u16) {
        self.rules -= 1;
        if priority != self.priority_max {
            return;
        }
        self.of_priority_max -= 1;
        if self.of_priority_max == 0 {
            let priorities = || self.groups.iter().flat_map(|group| &group.rules).map(|rule| rule.priority);
            self.priority_max = priorities().max().unwrap_or(0);
            self.of_priority_max = priorities().filter(|priority| *priority == self.priority_max).count();
        }
    }
}

impl<T> Group<T> {
    pub fn agrees(&self, shape: &Shape, key: &Key, mask: &Mask) -> bool {
        shape.unpick(&self.words).agrees(key, mask)
    }
}
