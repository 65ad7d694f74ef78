//! Objects as files of a directory: for one node without S3.
//!
//! | path | what |
//! |---|---|
//! | `objects/vol-1/3/seg_` | the object `vol-1/3/seg`; the underscore, which no key has, keeps files and directories apart |
//! | `tmp/N/` | what a process is writing; it holds a lock on its directory, so that another can tell a living writer's from a dead one's |
//! | `locks/N` | taken around every change; the key's hash says which |
//! | `locks/open` | taken while the store is opened |
//!
//! A put writes and syncs a temporary file, then renames it under the lock of its key and syncs the directory: a reader sees the
//! old contents or the new, and what was acknowledged survives power loss. The version of an object is a hash of its contents.

mod disk;

use crate::{
    Condition, MAX_OBJECT_BYTES, ObjectStore, Version,
    error::{Attempt, Operation, StoreError, said},
    key,
};
use async_trait::async_trait;
use bytes::Bytes;
use disk::{Disk, STRIPES, stripe_of};
use std::{ops::Range, path::Path, sync::Arc};
use tokio::sync::Mutex;

/// An [`ObjectStore`] on a directory. Several processes of one machine may share it; not several machines.
#[derive(Debug)]
pub struct DirStore {
    disk: Arc<Disk>,
    /// One waiter for each file lock: the others must not fill the pool of blocking threads.
    turns: [Mutex<()>; STRIPES],
}

async fn blocking<T: Send + 'static>(
    attempt: Attempt,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        // Cancelled, because the runtime is being shut down.
        Err(error) => Err(StoreError::Unavailable { attempt, source: Arc::new(error) }),
    }
}

/// Refuses to write more than can be read back whole.
pub(crate) fn check_size(operation: Operation, key: &str, data: &Bytes) -> Result<(), StoreError> {
    if data.len() as u64 <= MAX_OBJECT_BYTES {
        return Ok(());
    }
    let source = said(format!("{} bytes are more than the {MAX_OBJECT_BYTES} an object may have", data.len()));
    Err(StoreError::Invalid { attempt: Attempt::new(operation, key), source })
}

/// The number of bytes of a range.
///
/// # Errors
/// [`StoreError::Invalid`] if it ends before it begins, or is longer than any object.
pub(crate) fn range_len(key: &str, range: &Range<u64>) -> Result<usize, StoreError> {
    let len = range.end.checked_sub(range.start).filter(|len| *len <= MAX_OBJECT_BYTES);
    len.and_then(|len| usize::try_from(len).ok()).ok_or_else(|| StoreError::Invalid {
        attempt: Attempt::new(Operation::GetRange, key),
        source: said(format!("{} to {} is no range of an object", range.start, range.end)),
    })
}

impl DirStore {
    /// Opens the store in directory `root`, which is made if absent, and removes what dead writers left. Blocks.
    ///
    /// # Errors
    /// [`StoreError::ReadOnly`], [`StoreError::NoSpace`] or [`StoreError::Unavailable`], naming the directory.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        Ok(Self { disk: Arc::new(Disk::open(root)?), turns: std::array::from_fn(|_| Mutex::new(())) })
    }

    async fn write(
        &self,
        operation: Operation,
        key: &str,
        data: Bytes,
        condition: Option<Condition>,
    ) -> Result<Option<Version>, StoreError> {
        key::check(operation, key)?;
        check_size(operation, key, &data)?;
        let attempt = Attempt::new(operation, key);
        let (disk, at) = (self.disk.clone(), attempt.clone());
        let staged = blocking(attempt.clone(), move || disk.stage(&at, &data)).await?;
        let _turn = self.turns[stripe_of(key)].lock().await;
        let (disk, at) = (self.disk.clone(), attempt.clone());
        blocking(attempt, move || disk.publish(&at, staged, condition.as_ref())).await
    }
}

#[async_trait]
impl ObjectStore for DirStore {
    async fn get(&self, key: &str) -> Result<(Bytes, Version), StoreError> {
        key::check(Operation::Get, key)?;
        let attempt = Attempt::new(Operation::Get, key);
        let (disk, at) = (self.disk.clone(), attempt.clone());
        blocking(attempt, move || disk.read(&at)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        key::check(Operation::GetRange, key)?;
        let len = range_len(key, &range)?;
        if len == 0 {
            return Ok(Bytes::new());
        }
        let attempt = Attempt::new(Operation::GetRange, key);
        let (disk, at) = (self.disk.clone(), attempt.clone());
        blocking(attempt, move || disk.read_range(&at, range.start, len)).await
    }

    async fn size(&self, key: &str) -> Result<u64, StoreError> {
        key::check(Operation::Size, key)?;
        let attempt = Attempt::new(Operation::Size, key);
        let (disk, at) = (self.disk.clone(), attempt.clone());
        blocking(attempt, move || disk.size(&at)).await
    }

    async fn put(&self, key: &str, data: Bytes) -> Result<(), StoreError> {
        self.write(Operation::Put, key, data, None).await.map(drop)
    }

    async fn put_if(&self, key: &str, data: Bytes, condition: Condition) -> Result<Version, StoreError> {
        let version = self.write(Operation::PutIf, key, data, Some(condition)).await?;
        let attempt = Attempt::new(Operation::PutIf, key);
        version.ok_or_else(|| StoreError::Unavailable { attempt, source: said("no version was computed") })
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        key::check(Operation::Delete, key)?;
        let _turn = self.turns[stripe_of(key)].lock().await;
        let attempt = Attempt::new(Operation::Delete, key);
        let (disk, at) = (self.disk.clone(), attempt.clone());
        blocking(attempt, move || disk.remove(&at)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        key::check_prefix(prefix)?;
        let attempt = Attempt::new(Operation::List, prefix);
        let (disk, at) = (self.disk.clone(), attempt.clone());
        blocking(attempt, move || disk.list(&at)).await
    }
}
