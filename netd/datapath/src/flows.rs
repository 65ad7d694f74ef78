//! Flows: translations, by the bits of the key that they depend on. Those of one port and pass are together; in each such group the
//! masks that hit most are tried first.

use crate::quick::Secret;
use hashbrown::{HashMap, HashTable};
use hive_flow::{Key, Mask, Words};
use hive_program::{DropReason, Op, PortId, Traffic, Translation};
use std::sync::Arc;

/// Masks of one port and pass: each is looked at for a new packet, so a tenant's rules that made more would slow only his packets
/// down; they are translated each time then.
const MASKS_MAX: usize = 256;
/// Lookups of a group between two looks at which of its masks come first.
const SORT_EVERY: u32 = 4096;

/// What is done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Drop(DropReason),
    /// That, and nothing else.
    Output(PortId),
    List,
}

impl Plan {
    pub fn of<C>(translation: &Translation<C>) -> Self {
        match *translation.ops {
            [] => Self::Drop(translation.drop.unwrap_or(DropReason::Pipeline)),
            [Op::Output(port)] => Self::Output(port),
            _ => Self::List,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Flow<C> {
    pub plan: Plan,
    pub epoch: u64,
    /// Not yet credited.
    pub pending: Traffic,
    pub used_ms: u64,
    pub total: Traffic,
    pub ops: Arc<[Op]>,
    pub credits: Arc<C>,
    rest: Box<Rest>,
}

/// What is looked at when a flow is found or changed.
#[derive(Debug)]
struct Rest {
    key: Key,
    mask: Mask,
}

impl<C> Flow<C> {
    pub fn key(&self) -> &Key {
        &self.rest.key
    }

    pub fn mask(&self) -> &Mask {
        &self.rest.mask
    }

    /// Whether a translation that depends on these bits is one of the same flow.
    pub fn is_under(&self, mask: &Mask) -> bool {
        self.rest.mask == under(mask)
    }

    #[inline]
    pub fn count(&mut self, bytes: usize, tcp_flags: u16, now_ms: u64) {
        self.pending.packets += 1;
        self.pending.bytes += bytes as u64;
        self.pending.tcp_flags |= tcp_flags;
        self.used_ms = now_ms;
    }

    /// Counts what was credited elsewhere.
    pub fn count_credited(&mut self, traffic: Traffic, used_ms: u64) {
        add(&mut self.total, traffic);
        self.used_ms = self.used_ms.max(used_ms);
    }

    /// What is to be credited.
    pub fn take_pending(&mut self) -> Traffic {
        let pending = std::mem::take(&mut self.pending);
        add(&mut self.total, pending);
        pending
    }

    /// Takes another translation's operations, once what was pending is credited.
    pub fn renew(&mut self, translation: &Translation<C>) {
        self.plan = Plan::of(translation);
        self.epoch = translation.epoch;
        self.ops = Arc::clone(&translation.ops);
        self.credits = Arc::clone(&translation.credits);
    }

    /// Everything that went by it.
    pub fn traffic(&self) -> Traffic {
        let mut all = self.total;
        add(&mut all, self.pending);
        all
    }
}

/// The mask that a translation's flow is kept under: groups are by the first word.
fn under(mask: &Mask) -> Mask {
    let mut mask = *mask;
    mask.words[0] = u64::MAX;
    mask
}

pub(crate) fn add(to: &mut Traffic, more: Traffic) {
    to.packets += more.packets;
    to.bytes += more.bytes;
    to.tcp_flags |= more.tcp_flags;
}

/// Whom a flow was to be credited to before it took another translation.
pub(crate) type Replaced<C> = Option<(Arc<C>, Traffic)>;

/// Names a flow for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FlowId {
    pub index: u32,
    pub generation: u32,
}

#[derive(Debug)]
struct Slot<C> {
    generation: u32,
    flow: Option<Flow<C>>,
}

#[derive(Debug)]
struct Subtable {
    mask: Mask,
    words: u64,
    flows: HashTable<u32>,
    hits: u32,
}

#[derive(Debug, Default)]
struct Group {
    tables: Vec<Subtable>,
    lookups: u32,
}

#[derive(Debug)]
pub(crate) struct Flows<C> {
    slots: Vec<Slot<C>>,
    free: Vec<u32>,
    /// By the first word: port and pass, which every mask has whole.
    groups: HashMap<u64, Group, foldhash::fast::FixedState>,
    secret: Secret,
    pub flows_max: usize,
}

impl<C> Flows<C> {
    pub fn new(seed: u64, flows_max: usize) -> Self {
        let groups = HashMap::with_hasher(foldhash::fast::FixedState::with_seed(seed));
        Self { slots: Vec::new(), free: Vec::new(), groups, secret: Secret::new(seed), flows_max }
    }

    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Places, some of which are free.
    pub fn places(&self) -> usize {
        self.slots.len()
    }

    pub fn masks(&self) -> usize {
        self.groups.values().map(|group| group.tables.len()).sum()
    }

    #[inline]
    pub fn at(&self, index: u32) -> Option<&Flow<C>> {
        self.slots.get(index as usize)?.flow.as_ref()
    }

    #[inline]
    pub fn at_mut(&mut self, index: u32) -> Option<&mut Flow<C>> {
        self.slots.get_mut(index as usize)?.flow.as_mut()
    }

    pub fn get_mut(&mut self, id: FlowId) -> Option<&mut Flow<C>> {
        self.slots.get_mut(id.index as usize).filter(|slot| slot.generation == id.generation)?.flow.as_mut()
    }

    #[inline]
    pub fn generation(&self, index: u32) -> Option<u32> {
        self.slots.get(index as usize).map(|slot| slot.generation)
    }

    pub fn id(&self, index: u32) -> Option<FlowId> {
        self.slots.get(index as usize).map(|slot| FlowId { index, generation: slot.generation })
    }

    pub fn iter(&self) -> impl Iterator<Item = &Flow<C>> {
        self.slots.iter().filter_map(|slot| slot.flow.as_ref())
    }

    /// The flow of a key, and how many tables were looked at.
    pub fn find(&mut self, key: &Key) -> (Option<u32>, u32) {
        let Some(group) = self.groups.get_mut(&key.words[0]) else { return (None, 0) };
        group.lookups += 1;
        if group.lookups >= SORT_EVERY {
            group.lookups = 0;
            group.tables.sort_by_key(|table| std::cmp::Reverse(table.hits));
            group.tables.iter_mut().for_each(|table| table.hits = 0);
        }
        let mut looked_at = 0;
        for table in &mut group.tables {
            looked_at += 1;
            let mask = &table.mask;
            let hash = self.secret.hash_words(Words(table.words).map(|word| key.words[word] & mask.words[word]));
            let found = table.flows.find(hash, |index| {
                let flow = self.slots.get(*index as usize).and_then(|slot| slot.flow.as_ref());
                flow.is_some_and(|flow| {
                    let held = &flow.rest.key;
                    Words(table.words).all(|word| key.words[word] & mask.words[word] == held.words[word])
                })
            });
            if let Some(index) = found {
                table.hits += 1;
                return (Some(*index), looked_at);
            }
        }
        (None, looked_at)
    }

    /// None if there is no room. If the flow is there already it takes the translation's operations; whom to credit for what it
    /// had not been credited for is given back.
    pub fn insert(&mut self, key: &Key, translation: &Translation<C>, now_ms: u64) -> Option<(u32, Replaced<C>)> {
        let mask = under(&translation.mask);
        let group = self.groups.entry(key.words[0]).or_default();
        let at = match group.tables.iter().position(|table| table.mask == mask) {
            Some(at) => at,
            None if group.tables.len() >= MASKS_MAX => return None,
            None => {
                group.tables.push(Subtable { mask, words: mask.used(), flows: HashTable::new(), hits: 0 });
                group.tables.len() - 1
            }
        };
        let table = &mut group.tables[at];
        let key = key & &mask;
        let hash = self.secret.hash_words(Words(table.words).map(|word| key.words[word]));
        let slots = &self.slots;
        let same = |index: &u32| {
            slots.get(*index as usize).and_then(|slot| slot.flow.as_ref()).is_some_and(|flow| flow.rest.key == key)
        };
        if let Some(index) = table.flows.find(hash, same).copied() {
            let flow = self.at_mut(index)?;
            let replaced = (Arc::clone(&flow.credits), flow.take_pending());
            flow.renew(translation);
            return Some((index, Some(replaced)));
        }
        if self.slots.len() - self.free.len() >= self.flows_max {
            if table.flows.is_empty() {
                group.tables.remove(at);
            }
            if group.tables.is_empty() {
                self.groups.remove(&key.words[0]);
            }
            return None;
        }
        let index = match self.free.pop() {
            Some(index) => index,
            None => {
                let index = u32::try_from(self.slots.len()).ok()?;
                self.slots.push(Slot { generation: 0, flow: None });
                index
            }
        };
        let slots = &mut self.slots;
        slots[index as usize].flow = Some(Flow {
            plan: Plan::of(translation),
            epoch: translation.epoch,
            pending: Traffic::default(),
            used_ms: now_ms,
            total: Traffic::default(),
            ops: Arc::clone(&translation.ops),
            credits: Arc::clone(&translation.credits),
            rest: Box::new(Rest { key, mask }),
        });
        let hash_of = |key: &Key| self.secret.hash_words(Words(table.words).map(|word| key.words[word]));
        table.flows.insert_unique(hash, index, |other| {
            slots.get(*other as usize).and_then(|slot| slot.flow.as_ref()).map_or(0, |flow| hash_of(&flow.rest.key))
        });
        Some((index, None))
    }

    pub fn remove(&mut self, index: u32) -> Option<Flow<C>> {
        let slot = self.slots.get_mut(index as usize)?;
        let flow = slot.flow.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(index);
        let first = flow.rest.key.words[0];
        if let Some(group) = self.groups.get_mut(&first) {
            if let Some(at) = group.tables.iter().position(|table| table.mask == flow.rest.mask) {
                let table = &mut group.tables[at];
                let hash = self.secret.hash_words(Words(table.words).map(|word| flow.rest.key.words[word]));
                if let Ok(entry) = table.flows.find_entry(hash, |held| *held == index) {
                    entry.remove();
                }
                if table.flows.is_empty() {
                    group.tables.remove(at);
                }
            }
            if group.tables.is_empty() {
                self.groups.remove(&first);
            }
        }
        Some(flow)
    }
}
