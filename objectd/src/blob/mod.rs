//! Where bodies live. A blob is written once, in order, and is immutable; metadata alone decides whether it exists for
//! anybody.

mod buffer;
mod disk;
mod lease;
mod ring;

pub use buffer::{BUFFER_BYTES, Buffer, BufferPool};
pub use disk::DiskBlobs;
pub use lease::{Lease, Leases};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::{collections::HashSet, fmt, io};

/// The name of a blob: 128 random bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct BlobId(pub u128);

impl BlobId {
    /// # Errors
    /// [`BlobError`] if the system's random source fails.
    pub fn random() -> Result<Self, BlobError> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|source| BlobError::new("naming", None, io::Error::other(source.to_string())))?;
        Ok(Self(u128::from_le_bytes(bytes)))
    }

    /// Reads 32 lower-case hex digits.
    pub fn parse(text: &str) -> Option<Self> {
        let shaped = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        u128::from_str_radix(text, 16).ok().filter(|_| shaped).map(Self)
    }
}

impl fmt::Display for BlobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl From<BlobId> for String {
    fn from(id: BlobId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for BlobId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("{text:?} is not a blob id"))
    }
}

/// An operation on a blob failed.
#[derive(Debug, thiserror::Error)]
#[error("{action} blob {}", .id.map(|id| id.to_string()).unwrap_or_default())]
pub struct BlobError {
    pub action: &'static str,
    pub id: Option<BlobId>,
    pub source: io::Error,
}

impl BlobError {
    fn new(action: &'static str, id: Option<BlobId>, source: io::Error) -> Self {
        Self { action, id, source }
    }

    /// Whether the disk has no room (or the quota no rest) for it.
    pub fn is_full(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// A blob being written. Dropped before [`BlobWriter::commit`], it leaves nothing behind.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends the filled part of `buffer`; returns when it may be given the next one, which is before the bytes are
    /// on disk.
    async fn append(&mut self, buffer: Buffer) -> Result<(), BlobError>;

    /// Makes the blob durable: after this it survives power loss.
    async fn commit(self: Box<Self>) -> Result<BlobId, BlobError>;
}

/// A store of blobs.
#[async_trait]
pub trait Blobs: Send + Sync {
    /// # Errors
    /// [`BlobError::is_full`] when the store has no room to speak of.
    async fn create(&self) -> Result<Box<dyn BlobWriter>, BlobError>;

    /// Refuses when there is no room for small writes either, which go to the metadata engine.
    async fn check_room(&self) -> Result<(), BlobError>;

    /// Opens for reading.
    async fn open(&self, id: BlobId) -> Result<Box<dyn BlobReader>, BlobError>;

    /// Removes in the background, as soon as nobody reads them any more; what a crash leaves is collected at start.
    fn remove(&self, ids: Vec<BlobId>);

    /// Removes every blob not in `referenced`; returns how many those were. Only for start, before anything is written.
    async fn collect(&self, referenced: HashSet<BlobId>) -> Result<usize, BlobError>;

    /// Who is reading what.
    fn leases(&self) -> &Leases;
}

/// An open blob.
#[async_trait]
pub trait BlobReader: Send {
    /// Reads `length` bytes (at most [`BUFFER_BYTES`]) at `offset` into a buffer of the pool.
    ///
    /// # Errors
    /// [`BlobError`], also if the blob is shorter.
    async fn read(&mut self, offset: u64, length: usize) -> Result<Buffer, BlobError>;
}
