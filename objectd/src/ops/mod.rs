//! What S3 means by its operations, free of HTTP: from checked arguments to metadata and blobs.

mod bucket;
mod conditions;
mod copy;
mod ingest;
mod multipart;
mod object;
mod range;

pub use conditions::{ReadCondition, Verdict};
pub use copy::{Copied, CopySource, MetadataDirective};
pub use ingest::{Expectations, Source};
pub use multipart::NewUpload;
pub use object::{Content, PutRequest, Read, Stored, is_not_modified};
pub use range::{ByteRange, parse_range};

use crate::{
    blob::{Blobs, BufferPool},
    error::{Code, S3Error},
    meta::{Bucket, Meta},
};
use hive_auth::AccountId;
use jiff::Timestamp;
use std::sync::Arc;

/// The largest object of one PUT and the largest part (S3, "Uploading objects").
pub const MAX_PUT_BYTES: u64 = 5 << 30;
/// The longest key, in bytes of UTF-8.
pub const MAX_KEY_BYTES: usize = 1024;
/// Names and values of user metadata together.
pub const MAX_METADATA_BYTES: usize = 2048;
/// The highest part number.
pub const MAX_PART_NUMBER: u16 = 10_000;

/// The store: what every operation works on.
#[derive(Clone)]
pub struct Store {
    pub meta: Arc<dyn Meta>,
    pub blobs: Arc<dyn Blobs>,
    /// Buffers that bodies are received into.
    pub upload_buffers: BufferPool,
    pub region: Arc<str>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Store {
    /// The bucket, if `caller` may use it: for now its owner may do everything, others nothing.
    ///
    /// # Errors
    /// [`Code::NoSuchBucket`], [`Code::AccessDenied`].
    pub async fn authorise(&self, caller: &AccountId, bucket: &str) -> Result<Bucket, S3Error> {
        let found = self.meta.bucket(bucket).await?;
        let found = found.ok_or_else(|| S3Error::from(Code::NoSuchBucket).with("BucketName", bucket))?;
        if found.is_owned_by(caller) { Ok(found) } else { Err(Code::AccessDenied.into()) }
    }
}

fn now_ms() -> i64 {
    Timestamp::now().as_millisecond()
}

/// Checks a key's length and that it is not empty.
///
/// # Errors
/// [`Code::KeyTooLongError`].
pub fn check_key(key: &str) -> Result<(), S3Error> {
    if key.len() > MAX_KEY_BYTES {
        return Err(S3Error::from(Code::KeyTooLongError)
            .with("Size", key.len().to_string())
            .with("MaxSizeAllowed", MAX_KEY_BYTES.to_string()));
    }
    Ok(())
}
