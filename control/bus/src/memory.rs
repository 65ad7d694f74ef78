//! A bucket in memory, for tests of what stands on [`Store`].

use crate::store::{Change, Changes, Entry, MAX_COMMIT_WRITES, Store, StoreError, Write, check_key, check_prefix};
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::broadcast;

/// Changes that a watcher may lag behind before its stream ends with an error.
const WATCH_CAPACITY: usize = 1024;

#[derive(Debug)]
pub struct MemoryStore {
    bucket: String,
    state: Mutex<State>,
    changes: broadcast::Sender<Change>,
}

#[derive(Debug, Default)]
struct State {
    revision: u64,
    entries: BTreeMap<String, (Bytes, u64)>,
}

impl MemoryStore {
    pub fn new(bucket: &str) -> Self {
        Self { bucket: bucket.to_owned(), state: Mutex::default(), changes: broadcast::Sender::new(WATCH_CAPACITY) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes or deletes `key` if its revision is `expected` (None: it is absent).
    fn swap(&self, key: &str, expected: Option<u64>, value: Option<Bytes>) -> Result<u64, StoreError> {
        check_key(key)?;
        let mut state = self.state();
        if state.entries.get(key).map(|(_, revision)| *revision) != expected {
            return Err(StoreError::Conflict { bucket: self.bucket.clone(), key: key.to_owned() });
        }
        state.revision += 1;
        let revision = state.revision;
        match value.clone() {
            Some(value) => state.entries.insert(key.to_owned(), (value, revision)),
            None => state.entries.remove(key),
        };
        // Sent under the lock so that watchers see changes in order; nobody listening is no failure.
        let _ = self.changes.send(Change { key: key.to_owned(), value, revision });
        Ok(revision)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        check_key(key)?;
        let state = self.state();
        let found = state.entries.get(key);
        Ok(found.map(|(value, revision)| Entry { key: key.to_owned(), value: value.clone(), revision: *revision }))
    }

    async fn create(&self, key: &str, value: Bytes) -> Result<u64, StoreError> {
        self.swap(key, None, Some(value))
    }

    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, StoreError> {
        self.swap(key, Some(revision), Some(value))
    }

    async fn delete(&self, key: &str, revision: u64) -> Result<(), StoreError> {
        self.swap(key, Some(revision), None).map(drop)
    }

    async fn commit(&self, writes: &[Write]) -> Result<u64, StoreError> {
        let bucket = || self.bucket.clone();
        if writes.is_empty() || writes.len() > MAX_COMMIT_WRITES {
            let message = format!("{} writes are not one commit", writes.len());
            return Err(StoreError::Unavailable { bucket: bucket(), message });
        }
        writes.iter().try_for_each(|write| check_key(&write.key))?;
        let mut state = self.state();
        for write in writes {
            if state.entries.get(&write.key).map_or(0, |(_, revision)| *revision) != write.revision {
                return Err(StoreError::Conflict { bucket: bucket(), key: write.key.clone() });
            }
        }
        for Write { key, value, .. } in writes {
            state.revision += 1;
            let revision = state.revision;
            match value.clone() {
                Some(value) => state.entries.insert(key.clone(), (value, revision)),
                None => state.entries.remove(key),
            };
            let _ = self.changes.send(Change { key: key.clone(), value: value.clone(), revision });
        }
        Ok(state.revision)
    }

    async fn range(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        check_prefix(prefix)?;
        let state = self.state();
        let under = state.entries.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(under
            .map(|(key, (value, revision))| Entry { key: key.clone(), value: value.clone(), revision: *revision })
            .collect())
    }

    async fn watch(&self, prefix: &str) -> Result<Changes, StoreError> {
        check_prefix(prefix)?;
        let (prefix, bucket) = (prefix.to_owned(), self.bucket.clone());
        let changes = futures::stream::unfold(self.changes.subscribe(), move |mut receiver| {
            let bucket = bucket.clone();
            async move {
                match receiver.recv().await {
                    Ok(change) => Some((Ok(change), receiver)),
                    Err(broadcast::error::RecvError::Closed) => None,
                    Err(lagged) => {
                        Some((Err(StoreError::Unavailable { bucket, message: lagged.to_string() }), receiver))
                    }
                }
            }
        });
        let wanted = move |item: &Result<Change, StoreError>| {
            std::future::ready(item.as_ref().map_or(true, |change| change.key.starts_with(&prefix)))
        };
        Ok(changes.filter(wanted).boxed())
    }
}
