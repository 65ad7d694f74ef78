//! Connections that a helper expects.

use crate::connection::Translation;
use crate::tuple::Tuple;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

/// Expectations at one time; those of a control connection go with it.
pub const EXPECTATIONS_MAX: usize = 4096;

#[derive(Clone, Debug)]
pub(crate) struct Expectation {
    pub master: Tuple,
    pub mark: u32,
    pub label: u128,
    /// How the connection is to be translated: an address in place of the reply's destination, or source.
    pub translation: (Translation, u128),
}

/// By the tuple of the first packet, whose source port nobody knows and is 0.
#[derive(Debug)]
pub(crate) struct Expectations {
    held: HashMap<Tuple, Expectation, FixedState>,
}

fn wildcard(tuple: &Tuple) -> Tuple {
    let mut tuple = *tuple;
    tuple.set_source_port(0);
    tuple
}

impl Expectations {
    pub fn new(seed: FixedState) -> Self {
        Self { held: HashMap::with_hasher(seed) }
    }

    /// False if there are too many.
    pub fn insert(&mut self, tuple: &Tuple, expectation: Expectation) -> bool {
        let tuple = wildcard(tuple);
        if self.held.len() >= EXPECTATIONS_MAX && !self.held.contains_key(&tuple) {
            return false;
        }
        self.held.insert(tuple, expectation);
        true
    }

    #[inline]
    pub fn get(&self, tuple: &Tuple) -> Option<&Expectation> {
        if self.held.is_empty() { None } else { self.held.get(&wildcard(tuple)) }
    }

    pub fn forget(&mut self, master: &Tuple) {
        self.held.retain(|_, expectation| expectation.master != *master);
    }

    pub fn clear(&mut self) {
        self.held.clear();
    }
}
