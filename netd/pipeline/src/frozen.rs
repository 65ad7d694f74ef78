//! What waits for the rest of a packet's way: states of the pipeline, and what is to be said to controllers. Each is kept once,
//! under a number that packets carry, as long as a translation names it.

use hive_flow::Key;
use hive_openflow::{Action, PacketInReason};
use hive_program::BridgeId;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

/// States at a time, and controllers' messages: a bound of memory. A pipeline of OVN has some hundred, one for each `ct` with its registers.
pub(crate) const STATES_MAX: usize = 1 << 17;
/// A packet may be under way yet when the translation that named its state is gone already.
const GRACE_MS: u64 = 10_000;
/// Memory of all of them, roughly: a state of usual size has 700 bytes, but actions, stacks and userdata may be as large as a message, and
/// what a packet holds may make each of its own.
const STATES_BYTES_MAX: usize = 256 << 20;

/// Actions that were still to be done for one flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub table: u8,
    pub cookie: u64,
    pub actions: Vec<Action>,
}

/// A value that was pushed, and its width.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    /// Equal ones have equal numbers. Whatever a packet can make different is in it, and who sends packets does not know `by`: else
    /// many states could be brought together under one number.
    fn digest(&self, by: &RandomState) -> u64;

    /// Roughly, on the heap too.
    fn size_bytes(&self) -> usize;
}

fn actions_bytes(actions: &[Action]) -> usize {
    let within = |action: &Action| match action {
        Action::Clone(actions) | Action::WriteActions(actions) => actions_bytes(actions),
        Action::Conntrack(conntrack) => size_of_val(&**conntrack) + actions_bytes(&conntrack.actions),
        Action::Controller(controller) => controller.userdata.len(),
        Action::Note(bytes) => bytes.len(),
        Action::Learn(learn) => size_of_val(&**learn) + size_of_val(learn.specs.as_slice()),
        _ => 0,
    };
    size_of_val(actions) + actions.iter().map(within).sum::<usize>()
}

impl Content for Frozen {
    fn digest(&self, by: &RandomState) -> u64 {
        let actions = self.segments.iter().map(|segment| (segment.table, segment.cookie, segment.actions.len()));
        let actions: Vec<_> = actions.collect();
        let set = self.action_set.len();
        by.hash_one((self.bridge, self.table, self.metadata, &self.stack, set, actions, self.conntracked, self.mirrors))
    }

    fn size_bytes(&self) -> usize {
        let segments = self.segments.iter().map(|segment| size_of_val(segment) + actions_bytes(&segment.actions));
        size_of_val(self)
            + size_of_val(self.stack.as_slice())
            + actions_bytes(&self.action_set)
            + segments.sum::<usize>()
    }
}

impl Content for PuntContext {
    fn digest(&self, by: &RandomState) -> u64 {
        let continuation = self.continuation.as_ref().map(|frozen| frozen.digest(by));
        let said = (self.controller_id, self.table, self.cookie, &self.userdata, self.max_len);
        by.hash_one((self.bridge, said, continuation))
    }

    fn size_bytes(&self) -> usize {
        let continuation = self.continuation.as_ref().map_or(0, Content::size_bytes);
        size_of_val(self) + self.userdata.len() + continuation
    }
}

#[derive(Debug)]
struct Slot<T> {
    content: Arc<T>,
    digest: u64,
    bytes: usize,
    needed_ms: u64,
}

#[derive(Debug)]
struct Inner<T> {
    slots: HashMap<u32, Slot<T>>,
    by_digest: HashMap<u64, Vec<u32>>,
    last: u32,
    /// Of all slots.
    bytes: usize,
}

#[derive(Debug)]
pub(crate) struct Store<T> {
    hasher: RandomState,
    inner: Mutex<Inner<T>>,
}

impl<T> Default for Store<T> {
    fn default() -> Self {
        let inner = Inner { slots: HashMap::new(), by_digest: HashMap::new(), last: 0, bytes: 0 };
        Self { hasher: RandomState::new(), inner: Mutex::new(inner) }
    }
}

impl<T: Content> Store<T> {
    /// The number of this content, never 0; it is kept as long as somebody holds it. None: there are too many.
    pub fn keep(&self, content: T, now_ms: u64) -> Option<(u32, Arc<T>)> {
        let digest = content.digest(&self.hasher);
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
        let bytes = content.size_bytes();
        if inner.slots.len() >= STATES_MAX || inner.bytes.saturating_add(bytes) > STATES_BYTES_MAX {
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
        inner.slots.insert(id, Slot { content: content.clone(), digest, bytes, needed_ms: now_ms });
        inner.bytes += bytes;
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
        let Inner { slots, by_digest, bytes, .. } = &mut *guard;
        slots.retain(|id, slot| {
            if Arc::strong_count(&slot.content) > 1 {
                slot.needed_ms = slot.needed_ms.max(now_ms);
                return true;
            }
            let kept = now_ms.saturating_sub(slot.needed_ms) < GRACE_MS;
            if kept {
                return true;
            }
            *bytes = bytes.saturating_sub(slot.bytes);
            if let Some(same) = by_digest.get_mut(&slot.digest) {
                same.retain(|other| other != id);
                if same.is_empty() {
                    by_digest.remove(&slot.digest);
                }
            }
            false
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
    fn there_is_an_end_of_memory_too() {
        let store = Store::default();
        let large = |cookie| PuntContext { userdata: vec![0; 1 << 20], ..context(cookie) };
        let kept = (0..1000).take_while(|cookie| store.keep(large(*cookie), 0).is_some()).count();
        assert!((200..=256).contains(&kept), "{kept}");
        assert!(store.keep(large(0), 0).is_some());
        store.sweep(GRACE_MS);
        assert!(store.keep(large(5000), GRACE_MS).is_some());
    }

    /// States that differ in what packets pushed do not stand in one row, which each would be compared with.
    #[test]
    fn what_was_pushed_tells_states_apart() {
        let store: Store<Frozen> = Store::default();
        for value in 0..1000 {
            let frozen = Frozen {
                bridge: BridgeId(1),
                table: 1,
                metadata: Key::ZERO,
                stack: vec![Pushed { value, bits: 32 }],
                action_set: Vec::new(),
                segments: Vec::new(),
                conntracked: true,
                mirrors: 0,
                paused: false,
            };
            store.keep(frozen, 0).unwrap();
        }
        assert!(store.inner.lock().unwrap().by_digest.values().all(|row| row.len() < 3));
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
