//! Groups (OFPT_GROUP_MOD).

use crate::flow::{Usage, any_action};
use arc_swap::ArcSwap;
use hive_openflow::{
    Action, BUCKET_ALL, BUCKET_FIRST, BUCKET_LAST, Bucket, ErrorCode, GROUP_ALL, GROUP_ANY, GroupCommand, GroupDesc,
    GroupKind, GroupMod,
};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// Groups of a bridge; a bound of memory. Open vSwitch announces more than four thousand million and has no bound but memory.
const GROUPS_MAX: usize = 1 << 16;

/// A group; a modification makes another one.
#[derive(Clone, Debug)]
pub struct Group {
    pub desc: GroupDesc,
    pub created_ms: u64,
    /// Of the group, and of each bucket; written by whoever moves packets.
    pub usage: Arc<Usage>,
    pub bucket_usage: Vec<Arc<Usage>>,
}

/// Groups by number, as they are at one time.
pub type Groups = Arc<BTreeMap<u32, Arc<Group>>>;

/// The groups in force, for those who look without the bridge's lock.
#[derive(Clone, Debug, Default)]
pub struct GroupReader {
    current: Arc<ArcSwap<BTreeMap<u32, Arc<Group>>>>,
    counter: Arc<OnceLock<Arc<AtomicU64>>>,
}

impl GroupReader {
    pub fn load(&self) -> Groups {
        self.current.load_full()
    }

    /// From now on the counter goes up after each change. One counter for ever: false if another was given before.
    pub fn count_publications(&self, counter: &Arc<AtomicU64>) -> bool {
        Arc::ptr_eq(self.counter.get_or_init(|| counter.clone()), counter)
    }

    fn publish(&self, groups: &Groups) {
        self.current.store(groups.clone());
        if let Some(counter) = self.counter.get() {
            counter.fetch_add(1, Ordering::Release);
        }
    }
}

/// Groups in force, and a draft of the next.
#[derive(Debug)]
pub(crate) struct GroupTable {
    reader: GroupReader,
    current: Groups,
    draft: Groups,
    /// Whose flows must go with them.
    removed: Vec<u32>,
}

impl GroupTable {
    pub fn new() -> Self {
        let none = Groups::default();
        Self { reader: GroupReader::default(), current: none.clone(), draft: none, removed: Vec::new() }
    }

    pub fn reader(&self) -> &GroupReader {
        &self.reader
    }

    pub fn current(&self) -> &Groups {
        &self.current
    }

    pub fn has_in_draft(&self, group: u32) -> bool {
        self.draft.contains_key(&group)
    }

    /// Groups that the draft has removed since this was asked last.
    pub fn take_removed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.removed)
    }

    /// Whether anything is different now.
    pub fn commit(&mut self) -> bool {
        let changed = !Arc::ptr_eq(&self.current, &self.draft);
        self.current = self.draft.clone();
        if changed {
            self.reader.publish(&self.current);
        }
        changed
    }

    pub fn abandon(&mut self) {
        self.draft = self.current.clone();
        self.removed.clear();
    }

    pub fn apply(&mut self, group_mod: GroupMod, now_ms: u64) -> Result<(), ErrorCode> {
        let number = group_mod.group;
        let exists = self.draft.contains_key(&number);
        match group_mod.command {
            GroupCommand::Delete => {
                let draft = Arc::make_mut(&mut self.draft);
                if number == GROUP_ALL {
                    self.removed.extend(std::mem::take(draft).into_keys());
                } else if draft.remove(&number).is_some() {
                    self.removed.push(number);
                }
                Ok(())
            }
            GroupCommand::Add if exists => Err(ErrorCode::GroupModGroupExists),
            GroupCommand::Modify | GroupCommand::InsertBucket | GroupCommand::RemoveBucket if !exists => {
                Err(ErrorCode::GroupModUnknownGroup)
            }
            GroupCommand::Add | GroupCommand::Modify | GroupCommand::AddOrModify => {
                if !exists && self.draft.len() >= GROUPS_MAX {
                    return Err(ErrorCode::GroupModOutOfGroups);
                }
                let GroupMod { kind, buckets, selection, .. } = group_mod;
                self.put(GroupDesc { group: number, kind, buckets, selection }, now_ms)
            }
            GroupCommand::InsertBucket | GroupCommand::RemoveBucket => {
                let Some(group) = self.draft.get(&number) else { return Err(ErrorCode::GroupModUnknownGroup) };
                let mut desc = group.desc.clone();
                if group_mod.command == GroupCommand::InsertBucket {
                    insert_buckets(&mut desc.buckets, group_mod.buckets, group_mod.command_bucket)?;
                } else {
                    remove_bucket(&mut desc.buckets, group_mod.command_bucket)?;
                }
                self.put(desc, now_ms)
            }
        }
    }

    fn put(&mut self, desc: GroupDesc, now_ms: u64) -> Result<(), ErrorCode> {
        if desc.kind == GroupKind::Indirect && desc.buckets.len() != 1 {
            return Err(ErrorCode::GroupModInvalidGroup);
        }
        if self.leads_back(&desc) {
            return Err(ErrorCode::GroupModLoop);
        }
        let old = self.draft.get(&desc.group);
        let created_ms = old.map_or(now_ms, |old| old.created_ms);
        // A modification counts from 0, as a bucket of Open vSwitch does; only what is inserted or removed leaves the others' counts.
        let counted = |id: u32| {
            let old = old?;
            let at = old.desc.buckets.iter().position(|bucket| bucket.id == id)?;
            old.desc.buckets.get(at).zip(old.bucket_usage.get(at))
        };
        let bucket_usage = desc.buckets.iter().map(|bucket| match counted(bucket.id) {
            Some((same, usage)) if same == bucket => usage.clone(),
            _ => Arc::default(),
        });
        let bucket_usage = bucket_usage.collect();
        let usage = old.map_or_else(Arc::default, |old| old.usage.clone());
        let group = Group { desc, created_ms, usage, bucket_usage };
        Arc::make_mut(&mut self.draft).insert(group.desc.group, Arc::new(group));
        Ok(())
    }

    /// Whether a packet could come back to this group from it.
    fn leads_back(&self, desc: &GroupDesc) -> bool {
        let mut seen = BTreeSet::new();
        let mut ahead: Vec<u32> = next_groups(desc).collect();
        while let Some(number) = ahead.pop() {
            if number == desc.group {
                return true;
            }
            if seen.insert(number)
                && let Some(group) = self.draft.get(&number)
            {
                ahead.extend(next_groups(&group.desc));
            }
        }
        false
    }
}

/// Groups that a packet may go on to.
fn next_groups(desc: &GroupDesc) -> impl Iterator<Item = u32> + '_ {
    desc.buckets.iter().flat_map(|bucket| &bucket.actions).filter_map(|action| match action {
        Action::Group(group) => Some(*group),
        _ => None,
    })
}

fn insert_buckets(buckets: &mut Vec<Bucket>, new: Vec<Bucket>, place: u32) -> Result<(), ErrorCode> {
    if new.iter().any(|new| buckets.iter().any(|bucket| bucket.id == new.id)) {
        return Err(ErrorCode::GroupModBucketExists);
    }
    let at = match place {
        BUCKET_FIRST => 0,
        BUCKET_LAST => buckets.len(),
        id => 1 + position(buckets, id)?,
    };
    buckets.splice(at..at, new);
    Ok(())
}

fn remove_bucket(buckets: &mut Vec<Bucket>, place: u32) -> Result<(), ErrorCode> {
    match place {
        BUCKET_ALL => buckets.clear(),
        BUCKET_FIRST => drop(buckets.drain(..1.min(buckets.len()))),
        BUCKET_LAST => drop(buckets.pop()),
        id => drop(buckets.remove(position(buckets, id)?)),
    }
    Ok(())
}

fn position(buckets: &[Bucket], id: u32) -> Result<usize, ErrorCode> {
    buckets.iter().position(|bucket| bucket.id == id).ok_or(ErrorCode::GroupModUnknownBucket)
}

/// Whether actions name only groups that are there.
pub(crate) fn groups_exist(actions: &[Action], exists: &impl Fn(u32) -> bool) -> bool {
    !any_action(actions, &|action| matches!(action, Action::Group(group) if *group != GROUP_ANY && !exists(*group)))
}
