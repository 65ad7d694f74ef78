//! A pipeline that is a list of rules, in order: the first that matches says what is done.

use hive_flow::{Field, Key, Mask};
use hive_program::{DropReason, Op, Pipeline, Punt, Traffic, Translation};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

#[derive(Clone, Debug, Default)]
pub struct Rule {
    /// Recirculation, ports and so on: field, value, mask.
    pub wanted: Vec<(Field, u128, u128)>,
    pub ops: Vec<Op>,
}

#[derive(Debug, Default)]
pub struct Credit {
    pub rule: usize,
}

#[derive(Debug, Default)]
pub struct Rules {
    epoch: AtomicU64,
    rules: RwLock<Vec<Rule>>,
    pub credited: Mutex<std::collections::BTreeMap<usize, (u64, u64, u16)>>,
    pub punted: Mutex<Vec<Vec<u8>>>,
    pub translations: AtomicU64,
}

impl Rules {
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules: RwLock::new(rules), ..Self::default() }
    }

    /// Other rules from now on.
    pub fn replace(&self, rules: Vec<Rule>) {
        *self.rules.write().unwrap() = rules;
        self.epoch.fetch_add(1, Ordering::Relaxed);
    }
}

impl Pipeline for Rules {
    type Credits = Credit;

    fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    fn translate(&self, key: &Key, _effects: bool, _now_ms: u64) -> Translation<Credit> {
        self.translations.fetch_add(1, Ordering::Relaxed);
        let mut mask = Mask::NONE;
        mask.add_all(Field::InPort);
        mask.add_all(Field::RecircId);
        let rules = self.rules.read().unwrap();
        let mut found = rules.len();
        for (at, rule) in rules.iter().enumerate() {
            let mut matches = true;
            for (field, value, bits) in &rule.wanted {
                mask.add(*field, *bits);
                matches &= (key.get(*field) ^ value) & bits == 0;
                if !matches {
                    break;
                }
            }
            if matches {
                found = at;
                break;
            }
        }
        let ops = rules.get(found).map_or(Vec::new(), |rule| rule.ops.clone());
        // What a Set keeps of a field depends on nothing; all of what it writes is known.
        Translation {
            mask,
            ops: ops.into(),
            credits: Arc::new(Credit { rule: found }),
            drop: Some(DropReason::Pipeline),
            uncached: false,
            epoch: self.epoch(),
        }
    }

    fn credit(&self, credits: &Credit, traffic: Traffic, _now_ms: u64) {
        let mut credited = self.credited.lock().unwrap();
        let place = credited.entry(credits.rule).or_default();
        place.0 += traffic.packets;
        place.1 += traffic.bytes;
        place.2 |= traffic.tcp_flags;
    }

    fn punt(&self, _punt: &Punt, frame: &[u8], _now_ms: u64) {
        self.punted.lock().unwrap().push(frame.to_vec());
    }
}
