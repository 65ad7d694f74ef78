//! What is known of buckets, objects and uploads. Only this decides what exists; blobs merely hold bytes.

mod embedded;
mod listing;
mod records;
mod schema;
mod uploads;

pub use embedded::EmbeddedMeta;
pub use listing::{Cursor, Entry, ListQuery, Listing, UploadEntry, UploadListing, UploadQuery};
pub use records::{Body, Bucket, Headers, Object, Part, Piece, Upload};

use crate::blob::BlobId;
use async_trait::async_trait;
use bytes::Bytes;
use hive_auth::AccountId;
use std::collections::HashSet;

/// The buckets an account may own, as S3 grants them by default.
pub const MAX_BUCKETS_PER_ACCOUNT: usize = 10_000;

/// Why a question or change was refused.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    #[error("bucket {0:?} does not exist")]
    NoSuchBucket(String),
    #[error("bucket {name:?} exists, owned by {owner}")]
    BucketExists { name: String, owner: String },
    #[error("bucket {0:?} is not empty")]
    BucketNotEmpty(String),
    #[error("account {0} owns as many buckets as it may")]
    TooManyBuckets(String),
    #[error("object {0:?} does not exist")]
    NoSuchKey(String),
    #[error("upload {0} does not exist")]
    NoSuchUpload(String),
    #[error("part {0} was not uploaded, or with another ETag or checksum")]
    InvalidPart(u16),
    #[error("part {0} is smaller than the minimum of all parts but the last")]
    EntityTooSmall(u16),
    #[error("the {} of the whole is not the expected one", .0.name())]
    ChecksumMismatch(crate::checksum::Algorithm),
    /// A condition on the present object does not hold.
    #[error("the object does not fulfil the condition")]
    PreconditionFailed,
    /// Storage failed or holds what cannot be read.
    #[error("the metadata engine failed")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

macro_rules! engine_errors {
    ($($source:ty),*) => {$(
        impl From<$source> for MetaError {
            fn from(source: $source) -> Self {
                Self::Engine(Box::new(source))
            }
        }
    )*};
}

engine_errors!(
    redb::CommitError,
    redb::DatabaseError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    serde_json::Error,
    std::io::Error
);

/// What must hold of the present object for a write to go ahead; checked in the transaction that writes.
#[derive(Clone, Debug, Default)]
pub struct Precondition {
    /// `If-None-Match: *`: there must be none.
    pub absent: bool,
    /// `If-Match`: there must be one with this ETag (`*`: any).
    pub etag: Option<String>,
}

/// An object to be, with its body if that is small enough to live in the metadata.
#[derive(Clone, Debug)]
pub struct NewObject {
    pub object: Object,
    pub inline: Option<Bytes>,
}

/// An object with what is needed to read it.
#[derive(Clone, Debug)]
pub struct Opened {
    pub object: Object,
    /// The body, if it lives in the metadata.
    pub inline: Option<Bytes>,
    /// Otherwise where it lies, in order; one piece, or one per part.
    pub pieces: Vec<Piece>,
}

/// One part as CompleteMultipartUpload names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPart {
    pub number: u16,
    pub etag: String,
    /// Checksum values the client gave, whichever algorithm; the upload's one is compared.
    pub checksums: Vec<(crate::checksum::Algorithm, String)>,
}

/// What CompleteMultipartUpload asks for.
#[derive(Clone, Debug)]
pub struct Completion {
    /// In ascending order.
    pub parts: Vec<NamedPart>,
    pub condition: Precondition,
    /// The checksum of the whole that the client expects.
    pub expected: Option<(crate::checksum::Algorithm, String)>,
    pub now_ms: i64,
}

/// The blobs that a change made unreachable; whoever made it removes them.
pub type Freed = Vec<BlobId>;

/// The metadata of one store. Changes are durable when they return.
#[async_trait]
pub trait Meta: Send + Sync {
    /// # Errors
    /// [`MetaError::BucketExists`], [`MetaError::TooManyBuckets`].
    async fn create_bucket(&self, name: &str, bucket: Bucket) -> Result<(), MetaError>;
    async fn bucket(&self, name: &str) -> Result<Option<Bucket>, MetaError>;
    /// By name, those of one account.
    async fn buckets(&self, owner: &AccountId) -> Result<Vec<(String, Bucket)>, MetaError>;
    /// # Errors
    /// [`MetaError::NoSuchBucket`], [`MetaError::BucketNotEmpty`]. Unfinished uploads do not keep a bucket; they go.
    async fn delete_bucket(&self, name: &str) -> Result<Freed, MetaError>;

    /// Replaces what was there.
    ///
    /// # Errors
    /// [`MetaError::NoSuchBucket`], [`MetaError::PreconditionFailed`], [`MetaError::NoSuchKey`] for `If-Match`.
    async fn put(&self, bucket: &str, key: &str, new: NewObject, condition: Precondition) -> Result<Freed, MetaError>;
    async fn head(&self, bucket: &str, key: &str) -> Result<Option<Object>, MetaError>;
    async fn open(&self, bucket: &str, key: &str) -> Result<Option<Opened>, MetaError>;
    /// Absent ones are no error.
    async fn delete(&self, bucket: &str, keys: Vec<String>) -> Result<Freed, MetaError>;
    async fn list(&self, bucket: &str, query: ListQuery) -> Result<Listing, MetaError>;

    async fn create_upload(&self, bucket: &str, key: &str, upload: Upload) -> Result<BlobId, MetaError>;
    async fn upload(&self, bucket: &str, key: &str, id: BlobId) -> Result<Option<Upload>, MetaError>;
    /// # Errors
    /// [`MetaError::NoSuchUpload`].
    async fn put_part(&self, bucket: &str, key: &str, id: BlobId, part: Part) -> Result<Freed, MetaError>;
    /// Parts with a number above `after`, at most `limit`; whether more follow.
    async fn parts(&self, id: BlobId, after: u16, limit: usize) -> Result<(Vec<Part>, bool), MetaError>;
    /// Turns parts into the object without touching their bytes.
    ///
    /// # Errors
    /// [`MetaError::NoSuchUpload`], [`MetaError::InvalidPart`], [`MetaError::EntityTooSmall`],
    /// [`MetaError::PreconditionFailed`].
    async fn complete(
        &self,
        bucket: &str,
        key: &str,
        id: BlobId,
        completion: Completion,
    ) -> Result<(Object, Freed), MetaError>;
    /// # Errors
    /// [`MetaError::NoSuchUpload`].
    async fn abort(&self, bucket: &str, key: &str, id: BlobId) -> Result<Freed, MetaError>;
    async fn uploads(&self, bucket: &str, query: UploadQuery) -> Result<UploadListing, MetaError>;

    /// Every blob that anything refers to.
    async fn referenced(&self) -> Result<HashSet<BlobId>, MetaError>;
}
