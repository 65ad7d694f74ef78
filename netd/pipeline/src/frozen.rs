//! What waits for the rest of a packet's way: states of the pipeline, and what is to be said to controllers. Each is kept once,
//! under a number that packets carry, as long as a translation names it.

use hive_flow::Key;
use hive_openflow::{Action, PacketInReason};
use hive_program::BridgeId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// States at a time, and controllers' messages: a bound of memory. A pipeline of OVN has some hundred, one for each `ct` with its registers.
pub(crate) const STATES_MAX: usize = 1 << 17;
/// A packet may be under way yet when the translation that named its state is gone already.
const GRACE_MS: u64 = 10_000;

/// Actions that were still to be done for one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub table: u8,
    pub cookie: u64,
    pub actions: Vec<Action>,
}

/// A value that was pushed, and its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub value: u128,
    pub bits: u16,
}

/// The pipeline, stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frozen {
    pub bridge: BridgeId,
    /// Where to go on if there are no segments.
    pub table: u8,
    /// Registers, metadata, input port, tunnel.
    pub metadata: Key,
    pub stack: Vec<Pushed>,
    pub action_set: Vec<Action>,
    pub segments: Vec<Segment>,
    /// The packet's `ct_` fields count.
    pub conntracked: bool,
    /// Mirrors that have their copy.
    pub mirrors: u32,
    /// A continuation: the table is not searched even if there are no segments.
    pub paused: bool,
}

/// A packet's message to controllers, but for the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PuntContext {
    pub bridge: BridgeId,
    pub controller_id: u16,
    pub reason: PacketInReason,
    pub table: u8,
    pub cookie: u64,
    pub userdata: Vec<u8>,
    /// 65535: all.
    pub max_len: u16,
    pub continuation: Option<Frozen>,
}

pub(crate) trait Content: PartialEq {
    /// Equal ones have equal numbers.
    fn digest(&self) -> u64;
}

impl Content for Frozen {
    fn digest(&self) -> u64 {
        let lengths = [self.stack.len(), self.action_set.len(), self.segments.len()];
        let actions = self.segments.iter().map(|segment| (segment.table, segment.cookie, segment.actions.len()));
        let actions: Vec<_> = actions.collect();
        digest(&(self.bridge, self.table, self.metadata, lengths, actions, self.conntracked, self.mirrors))
    }
}

impl Content for PuntContext {
    fn digest(&self) -> u64 {
        let continuation = self.continuation.as_ref().map(Content::digest);
        digest(&(self.bridge, self.controller_id, self.table, self.cookie, &self.userdata, self.max_len, continuation))
    }
}

fn digest(content: &impl std::hash::Hash) -> u64 {
    use std::hash::BuildHasher;
    foldhash::fast::FixedState::default().hash_one(content)
}

#[derive(Debug)]
struct Slot<T> {
    content: Arc<T>,
    digest: u64,
    needed_ms: u64,
}

#[derive(Debug)]
struct Inner<T> {
    slots: HashMap<u32, Slot<T>>,
    by_digest: HashMap<u64, Vec<u32>>,
    last: u32,
}

#[derive(Debug)]
pub(crate) struct Store<T> {
    inner: Mutex<Inner<T>>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        Self { inner: Mutex::new(Inner { slots: HashMap::new(), by_digest: HashMap::new(), last: 0 }) }
    }
}

impl<T: Content> Store<T> {
    /// The number of this content, never 0; it is kept as long as somebody holds it. None: there are too many.
    pub fn keep(&self, content: T, now_ms: u64) -> Option<(u32, Arc<T>)> {
        let digest = content.digest();
        let mut guard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let inner = &mut *guard;
        for id in inner.by_digest.get(&digest).into_iter().flatten() {
            if let Some(slot) = inner.slots.get_mut(id)
                && *slot.content == content
            {
                slot.needed_ms = now_ms;
                return Some((*id, slot.content.clone()));
            }
        }
        if inner.slots.len() >= STATES_MAX {
            return None;
        }
        // A number is not used again until all others were.
        let id = loop {
            inner.last = inner.last.wrapping_add(1);
            if inner.last != 0 && !inner.slots.contains_key(&inner.last) {
                break inner.last;
            }
        };
        let content = Arc::new(content);
        inner.slots.insert(id, Slot { content: content.clone(), digest, needed_ms: now_ms });
        inner.by_digest.entry(digest).or_default().push(id);
        Some((id, content))
    }

    pub fn get(&self, id: u32) -> Option<Arc<T>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.slots.get(&id).map(|slot| slot.content.clone())
    }

    /// Forgets what nobody holds, and nobody held for a while.
    pub fn sweep(&self, now_ms: u64) {
        let mut guard = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner { slots, by_digest, .. } = &mut *guard;
        slots.retain(|id, slot| {
            if Arc::strong_count(&slot.content) > 1 {
                slot.needed_ms = slot.needed_ms.max(now_ms);
                return true;
            }
            let kept = now_ms.saturating_sub(slot.needed_ms) < GRACE_MS;
            if !kept && let Some(same) = by_digest.get_mut(&slot.digest) {
                same.retain(|other| other != id);
                if same.is_empty() {
                    by_digest.remove(&slot.digest);
                }
            }
            kept
        });
    }

    pub fn len(&self) -> usize {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).slots.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(cookie: u64) -> PuntContext {
        PuntContext {
            bridge: BridgeId(1),
            controller_id: 0,
            reason: PacketInReason::Action,
            table: 0,
            cookie,
            userdata: Vec::new(),
            max_len: 0,
            continuation: None,
        }
    }

    #[test]
    fn equal_content_has_one_number_and_goes_when_nobody_holds_it() {
        let store = Store::default();
        let (one, held) = store.keep(context(1), 0).unwrap();
        assert_eq!(store.keep(context(1), 0).unwrap().0, one);
        let (two, _) = store.keep(context(2), 0).unwrap();
        assert_ne!(one, two);
        store.sweep(GRACE_MS - 1);
        assert_eq!(store.len(), 2);
        store.sweep(GRACE_MS);
        assert_eq!((store.len(), store.get(two)), (1, None));
        assert_eq!(store.get(one).unwrap(), held);
        drop(held);
        store.sweep(2 * GRACE_MS - 1);
        assert_eq!(store.len(), 1);
        store.sweep(2 * GRACE_MS);
        assert_eq!(store.len(), 0);
        assert_ne!(store.keep(context(1), 0).unwrap().0, one);
    }

    #[test]
    fn there_is_an_end() {
        let store = Store::default();
        for cookie in 0..STATES_MAX as u64 {
            assert!(store.keep(context(cookie), 0).is_some());
        }
        assert!(store.keep(context(u64::MAX), 0).is_none());
        assert!(store.keep(context(5), 0).is_some());
    }
}
