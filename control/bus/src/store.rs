//! One bucket of keys and values with a revision per key; every write names the revision that it replaces.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

/// A value as stored. Revisions of one bucket only grow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    pub value: Bytes,
    pub revision: u64,
}

/// A key was written or deleted (`value` is None).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    pub value: Option<Bytes>,
    pub revision: u64,
}

/// One write of a [`Store::commit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub key: String,
    /// What the key must have; 0: it must never have been there.
    pub revision: u64,
    /// None deletes.
    pub value: Option<Bytes>,
}

/// Writes of one commit; the server takes a thousand messages in one batch.
pub const MAX_COMMIT_WRITES: usize = 1000;

pub type Changes = BoxStream<'static, Result<Change, StoreError>>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Somebody else wrote first: read again, then decide.
    #[error("{key} in {bucket} has changed meanwhile")]
    Conflict { bucket: String, key: String },
    /// The write was sent and its fate is not known: read again, then decide.
    #[error("the fate of a write of {key} in {bucket} is not known: {message}")]
    Unknown { bucket: String, key: String, message: String },
    /// Nothing was done.
    #[error("bucket {bucket} is not available: {message}")]
    Unavailable { bucket: String, message: String },
    #[error("{key:?} cannot be a key")]
    BadKey { key: String },
}

/// Longest key; NATS subjects are meant to stay short.
pub const MAX_KEY_BYTES: usize = 256;

/// A bucket. Keys are tokens of `[-_=/a-zA-Z0-9]` joined by single dots; a prefix is empty (everything) or ends with a dot.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// Writes a key that is not there; [`StoreError::Conflict`] when it is.
    async fn create(&self, key: &str, value: Bytes) -> Result<u64, StoreError>;

    /// Replaces the value that has `revision`; [`StoreError::Conflict`] when another one is there, or none.
    async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, StoreError>;

    /// Deletes the value that has `revision`; [`StoreError::Conflict`] when another one is there, or none.
    async fn delete(&self, key: &str, revision: u64) -> Result<(), StoreError>;

    /// Carries out all writes or none, none when a revision is not what its write says ([`StoreError::Conflict`]). Only in a bucket
    /// that was opened for it. The revision of the last write; those of the others are smaller.
    async fn commit(&self, writes: &[Write]) -> Result<u64, StoreError>;

    /// All entries under `prefix`, in the order of their keys.
    async fn range(&self, prefix: &str) -> Result<Vec<Entry>, StoreError>;

    /// Changes under `prefix` from now on. The stream may end or yield an error when the connection breaks: watch again and read
    /// what was missed with [`Store::range`].
    async fn watch(&self, prefix: &str) -> Result<Changes, StoreError>;
}

pub(crate) fn check_key(key: &str) -> Result<(), StoreError> {
    let is_token = |token: &str| {
        !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'=' | b'/'))
    };
    if key.len() <= MAX_KEY_BYTES && key.split('.').all(is_token) {
        Ok(())
    } else {
        Err(StoreError::BadKey { key: key.to_owned() })
    }
}

pub(crate) fn check_prefix(prefix: &str) -> Result<(), StoreError> {
    match prefix.strip_suffix('.') {
        Some(tokens) => check_key(tokens),
        None if prefix.is_empty() => Ok(()),
        None => Err(StoreError::BadKey { key: prefix.to_owned() }),
    }
}
