//! For tests, the engine's above all: a store over another one that fails on command.
//!
//! Everything follows one seed and the order of calls. An operation that is to fail either never reaches the store below, or
//! reaches it and its answer is lost: exactly what a network does.

use crate::{
    Condition, ObjectStore, Version,
    error::{Attempt, Operation, StoreError, said},
    random::Random,
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::sync::watch;

/// How often what goes wrong, in thousandths of the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Reads (get, get_range, size, list) that fail as unavailable.
    pub read_errors_permille: u32,
    /// Writes (put, put_if, delete) that fail as unavailable and did not happen.
    pub write_errors_permille: u32,
    /// Writes that happen, and fail as unavailable all the same.
    pub lost_answers_permille: u32,
    /// Conditional puts that happen, and are answered with a conflict: what a client sees that repeats a put blindly. Off unless a
    /// test wants to show that it finds its own mark.
    pub false_conflicts_permille: u32,
    /// Lists that answer as the list of the same prefix before did.
    pub stale_lists_permille: u32,
    /// Reads of contents with one bit flipped.
    pub damaged_reads_permille: u32,
    /// Every call takes up to this long more.
    pub max_delay: Duration,
}

/// Whether the store can be reached at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    None,
    /// Every call fails at once as unavailable.
    Refusing,
    /// Every call waits for the end of the outage and fails then.
    Hanging,
    /// Writes fail as out of space, reads work.
    Full,
}

/// See the [module](self).
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    random: Random,
    faults: Mutex<Faults>,
    outage: watch::Sender<Outage>,
    /// What was listed before, by prefix.
    lists: Mutex<BTreeMap<String, Vec<String>>>,
    calls: [AtomicU64; OPERATIONS.len()],
}

const OPERATIONS: [Operation; 7] = [
    Operation::Get,
    Operation::GetRange,
    Operation::Size,
    Operation::Put,
    Operation::PutIf,
    Operation::Delete,
    Operation::List,
];

fn unavailable(attempt: Attempt, why: &str) -> StoreError {
    StoreError::Unavailable { attempt, source: said(why) }
}

impl FaultyStore {
    /// A store that fails in nothing yet.
    pub fn new(inner: Arc<dyn ObjectStore>, seed: u64) -> Arc<Self> {
        Arc::new(Self {
            inner,
            random: Random::seeded(seed),
            faults: Mutex::default(),
            outage: watch::Sender::new(Outage::None),
            lists: Mutex::default(),
            calls: Default::default(),
        })
    }

    /// From now on these faults.
    pub fn set_faults(&self, faults: Faults) {
        *self.faults() = faults;
    }

    /// Begins or ends an outage.
    pub fn set_outage(&self, outage: Outage) {
        self.outage.send_replace(outage);
    }

    /// Calls of an operation so far, those that failed among them.
    pub fn calls(&self, operation: Operation) -> u64 {
        let counters = OPERATIONS.iter().zip(&self.calls);
        counters.filter(|(each, _)| **each == operation).map(|(_, calls)| calls.load(Ordering::Relaxed)).sum()
    }

    /// The store below, which does not fail: to check what is really there.
    pub fn inner(&self) -> &Arc<dyn ObjectStore> {
        &self.inner
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What happens before the store below is asked; the faults to apply after it.
    async fn enter(&self, operation: Operation, object: &str) -> Result<Faults, StoreError> {
        for (each, calls) in OPERATIONS.iter().zip(&self.calls) {
            calls.fetch_add(u64::from(*each == operation), Ordering::Relaxed);
        }
        let faults = *self.faults();
        let is_write = matches!(operation, Operation::Put | Operation::PutIf | Operation::Delete);
        let errors = if is_write { faults.write_errors_permille } else { faults.read_errors_permille };
        let fails = self.random.chance(errors);
        let max_delay_us = u64::try_from(faults.max_delay.as_micros()).unwrap_or(u64::MAX);
        if max_delay_us > 0 {
            tokio::time::sleep(Duration::from_micros(self.random.below(max_delay_us))).await;
        }
        let attempt = Attempt::new(operation, object);
        let outage = *self.outage.borrow();
        match outage {
            Outage::None => {}
            Outage::Full if !is_write => {}
            Outage::Full => return Err(StoreError::NoSpace { attempt, source: said("injected: full") }),
            Outage::Refusing => return Err(unavailable(attempt, "injected: outage")),
            Outage::Hanging => {
                // Fails only if the sender is gone, and that is this store's.
                drop(self.outage.subscribe().wait_for(|outage| *outage != Outage::Hanging).await);
                return Err(unavailable(attempt, "injected: hung during an outage"));
            }
        }
        if fails { Err(unavailable(attempt, "injected: error")) } else { Ok(faults) }
    }

    fn leave<T>(&self, operation: Operation, object: &str, faults: Faults, answer: T) -> Result<T, StoreError> {
        if self.random.chance(faults.lost_answers_permille) {
            return Err(unavailable(Attempt::new(operation, object), "injected: answer lost"));
        }
        Ok(answer)
    }

    fn damage(&self, faults: Faults, data: Bytes) -> Bytes {
        if data.is_empty() || !self.random.chance(faults.damaged_reads_permille) {
            return data;
        }
        let bit = self.random.below(data.len() as u64 * 8);
        let mut data = BytesMut::from(data);
        data[(bit / 8) as usize] ^= 1 << (bit % 8);
        data.freeze()
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn get(&self, key: &str) -> Result<(Bytes, Version), StoreError> {
        let faults = self.enter(Operation::Get, key).await?;
        let (data, version) = self.inner.get(key).await?;
        Ok((self.damage(faults, data), version))
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        let faults = self.enter(Operation::GetRange, key).await?;
        let data = self.inner.get_range(key, range).await?;
        Ok(self.damage(faults, data))
    }

    async fn size(&self, key: &str) -> Result<u64, StoreError> {
        self.enter(Operation::Size, key).await?;
        self.inner.size(key).await
    }

    async fn put(&self, key: &str, data: Bytes) -> Result<(), StoreError> {
        let faults = self.enter(Operation::Put, key).await?;
        self.inner.put(key, data).await?;
        self.leave(Operation::Put, key, faults, ())
    }

    async fn put_if(&self, key: &str, data: Bytes, condition: Condition) -> Result<Version, StoreError> {
        let faults = self.enter(Operation::PutIf, key).await?;
        let version = self.inner.put_if(key, data, condition).await?;
        if self.random.chance(faults.false_conflicts_permille) {
            return Err(StoreError::Conflict { attempt: Attempt::new(Operation::PutIf, key), perhaps_applied: true });
        }
        self.leave(Operation::PutIf, key, faults, version)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        let faults = self.enter(Operation::Delete, key).await?;
        self.inner.delete(key).await?;
        self.leave(Operation::Delete, key, faults, ())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let faults = self.enter(Operation::List, prefix).await?;
        let found = self.inner.list(prefix).await?;
        let stale = self.random.chance(faults.stale_lists_permille);
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        match lists.get(prefix).filter(|_| stale) {
            Some(before) => Ok(before.clone()),
            None => {
                lists.insert(prefix.to_owned(), found.clone());
                Ok(found)
            }
        }
    }
}
