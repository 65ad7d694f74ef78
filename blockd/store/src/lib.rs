//! Where blockd's segments and manifests live beyond the local log, and the node's cache of what is read back.
//!
//! | module | what |
//! |---|---|
//! | here | [`ObjectStore`]: the few operations the engine needs, conditional PUT among them |
//! | [`error`] | [`StoreError`], and which of them are worth retrying |
//! | [`key`] | what a key may look like |
//! | [`config`] | [`StoreConfig`] and [`open`] |
//! | [`dir`] | objects as files of a directory: one node without S3 |
//! | [`s3`] | objectd, AWS, Ceph RGW, MinIO |
//! | [`cache`] | [`ChunkCache`]: one file of 256 KiB slots that engine threads read by io_uring |
//! | [`faulty`] | a store that fails on command, for the engine's tests |
//!
//! Everything asynchronous here expects blockd's background tokio runtime; [`ChunkCache::lookup`] alone is for the engine threads.
#![forbid(unsafe_code)]

pub mod cache;
pub mod config;
pub mod dir;
pub mod error;
pub mod faulty;
pub mod key;
mod random;
pub mod s3;

use async_trait::async_trait;
use bytes::Bytes;
use std::{fmt, ops::Range};

pub use cache::{CHUNK_BYTES, CacheSlot, CacheStats, ChunkCache, ChunkKey};
pub use config::{DirConfig, StoreConfig, open};
pub use dir::DirStore;
pub use error::{Attempt, Operation, StoreError};
pub use faulty::FaultyStore;
pub use s3::{S3Config, S3Store};

/// The largest object that is put or read whole, in bytes. Segments have 16 MiB and manifests less: what is larger is a mistake
/// that must not take the daemon's memory.
pub const MAX_OBJECT_BYTES: u64 = 256 << 20;

/// Keys that one request for a list may return. S3 allows no more; completeness comes from asking again.
pub const LIST_PAGE_KEYS: usize = 1000;

/// Which contents an object has: changes with every change of the contents. Compared, never interpreted; S3's `ETag`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(String);

impl Version {
    /// For implementations of [`ObjectStore`].
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As the store wrote it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Version({})", self.0)
    }
}

/// What must hold for [`ObjectStore::put_if`] to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is no such object.
    Absent,
    /// The object has this version.
    Version(Version),
}

/// A flat store of objects.
///
/// Keys are as [`key::check`] says. Every operation is safe to drop half way: it then happened or did not. Implementations
/// retry by themselves for a bounded time; after that the caller, who knows what can wait, goes on (see
/// [`StoreError::is_transient`]).
#[async_trait]
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// The whole object, of at most [`MAX_OBJECT_BYTES`], and its version.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Damaged`] if it is too large, and those of any operation.
    async fn get(&self, key: &str) -> Result<(Bytes, Version), StoreError>;

    /// Exactly the bytes of `range`; an empty range asks nobody.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Damaged`] if the object ends before the range does, and those of any operation.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError>;

    /// The object's size in bytes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], and those of any operation.
    async fn size(&self, key: &str) -> Result<u64, StoreError>;

    /// Writes an object, durable when this returns. Until then its old state is seen, never a part of the new one. To repeat it
    /// with the same contents is harmless.
    ///
    /// # Errors
    /// [`StoreError::NoSpace`], [`StoreError::ReadOnly`], and those of any operation. After [`StoreError::Unavailable`] the write
    /// may still happen, even behind a delete that comes later: keys are not used a second time for something else.
    async fn put(&self, key: &str, data: Bytes) -> Result<(), StoreError>;

    /// Writes the object if `condition` holds, as one step; returns its new version.
    ///
    /// The contents must be unique to the writer and the attempt (a nonce, or writer and sequence number): a lost answer is
    /// resolved by reading the object and comparing.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if the condition does not hold, and what is there is not `data`. After
    /// [`StoreError::Unavailable`] the write may or may not have happened, and may still happen: read the object again.
    async fn put_if(&self, key: &str, data: Bytes, condition: Condition) -> Result<Version, StoreError>;

    /// Removes the object. One that is not there is as good as removed.
    ///
    /// # Errors
    /// Those of any operation.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// All keys that begin with `prefix` (any text, not only whole components; empty for all), sorted.
    ///
    /// # Errors
    /// Those of any operation.
    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError>;
}
