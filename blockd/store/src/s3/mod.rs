//! A bucket of an S3 store: objectd, AWS, Ceph RGW, MinIO.
//!
//! The protocol (signatures, headers, XML) is crate `object_store`'s, without its retries and its HTTP client: those here tell a
//! lost answer from a refused request, which decides what a conditional put may conclude. What is asked of the server is what
//! AWS promises: conditional PUT (`If-Match`, `If-None-Match: *`), ranged GET, ListObjectsV2.

mod classify;
mod config;
mod http;
mod retry;

use crate::{
    Condition, LIST_PAGE_KEYS, MAX_OBJECT_BYTES, ObjectStore, Version,
    config::wrong,
    dir::{check_size, range_len},
    error::{Attempt, Operation, StoreError, said},
    key,
    random::Random,
};
use async_trait::async_trait;
use bytes::Bytes;
use classify::classify;
use config::{Credentials, Endpoint};
pub use config::{S3Config, Timeouts};
use http::Connector;
use object_store::{
    GetOptions, ObjectStore as _, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig, UpdateVersion,
    aws::{AmazonS3, AmazonS3Builder},
    list::{PaginatedListOptions, PaginatedListStore},
    path::Path as ObjectPath,
};
use retry::Tries;
use std::{fmt, future::Future, ops::Range};

/// Pages of one list: ten million keys, more than a node's volumes have. A server that always says "there is more" ends here.
const MAX_LIST_PAGES: usize = 10_000;
/// What a key of a list takes in its answer, to know how long the answer may take.
const LIST_KEY_BYTES: u64 = 1024;

/// An [`ObjectStore`] in a bucket, below a prefix.
pub struct S3Store {
    client: AmazonS3,
    endpoint: String,
    bucket: String,
    /// Empty, or with a slash at its end.
    prefix: String,
    timeouts: Timeouts,
    random: Random,
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Store({}/{}/{})", self.endpoint, self.bucket, self.prefix)
    }
}

/// How a try of a conditional put ended.
enum Put {
    Written(Version),
    /// The condition does not hold.
    Refused,
    Failed(StoreError),
}

impl S3Store {
    /// Checks the configuration and reads credentials and certificates; asks the server nothing. Blocks for local files.
    ///
    /// # Errors
    /// [`StoreError::Invalid`], naming the mistake.
    pub fn open(config: &S3Config, timeouts: Timeouts) -> Result<Self, StoreError> {
        let Endpoint { is_https, url } = config.check()?;
        let credentials = Credentials::load(&config.credentials_file)?;
        let connector = Connector::new(&timeouts, is_https, config.ca_file.as_deref());
        let connector = connector.map_err(|why| wrong(&config.endpoint, why))?;
        let mut builder = AmazonS3Builder::new()
            .with_endpoint(url)
            .with_allow_http(!is_https)
            .with_region(&config.region)
            .with_bucket_name(&config.bucket)
            .with_virtual_hosted_style_request(!config.path_style)
            .with_access_key_id(credentials.access_key_id)
            .with_secret_access_key(credentials.secret_access_key)
            // One DELETE for one object: its answer says what went wrong, the list that DeleteObjects gives does not.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .with_http_connector(connector);
        if let Some(token) = credentials.session_token {
            builder = builder.with_token(token);
        }
        let client = builder.build().map_err(|error| wrong(&config.endpoint, error.to_string()))?;
        let prefix = if config.prefix.is_empty() { String::new() } else { format!("{}/", config.prefix) };
        let (endpoint, bucket) = (config.endpoint.clone(), config.bucket.clone());
        Ok(Self { client, endpoint, bucket, prefix, timeouts, random: Random::new() })
    }

    /// The key in the bucket of a key that was checked.
    fn path(&self, attempt: &Attempt) -> Result<ObjectPath, StoreError> {
        let path = ObjectPath::parse(format!("{}{}", self.prefix, attempt.object));
        path.map_err(|error| StoreError::Invalid { attempt: attempt.clone(), source: std::sync::Arc::new(error) })
    }

    /// Calls `work` until it succeeds, fails for good, or the time is up. `bytes`: what it moves.
    async fn retry<T, F>(&self, attempt: &Attempt, bytes: u64, work: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut tries = Tries::new(&self.timeouts, &self.random);
        loop {
            match tries.once(attempt, bytes, work()).await {
                Ok(value) => return Ok(value),
                Err(error) => tries.pause(error).await?,
            }
        }
    }

    async fn get_once(&self, attempt: &Attempt, path: &ObjectPath) -> Result<(Bytes, Version), StoreError> {
        let failed = |error| classify(attempt.clone(), error);
        let result = self.client.get_opts(path, GetOptions::default()).await.map_err(failed)?;
        let size = result.meta.size;
        if size > MAX_OBJECT_BYTES {
            let source = said(format!("it has {size} bytes, more than {MAX_OBJECT_BYTES}"));
            return Err(StoreError::Damaged { attempt: attempt.clone(), source });
        }
        let version = version(attempt, result.meta.e_tag.clone())?;
        let data = result.bytes().await.map_err(failed)?;
        if data.len() as u64 != size {
            return Err(cut_short(attempt, data.len(), size));
        }
        Ok((data, version))
    }

    async fn get_range_once(
        &self,
        attempt: &Attempt,
        path: &ObjectPath,
        range: &Range<u64>,
    ) -> Result<Bytes, StoreError> {
        let failed = |error| classify(attempt.clone(), error);
        let options = GetOptions { range: Some(range.clone().into()), ..GetOptions::default() };
        let result = self.client.get_opts(path, options).await.map_err(failed)?;
        if result.meta.size < range.end {
            let source = said(format!("it has {} bytes, and must have {} at least", result.meta.size, range.end));
            return Err(StoreError::Damaged { attempt: attempt.clone(), source });
        }
        let (wanted, answered) = (range.end - range.start, result.range.clone());
        if answered != *range {
            let source = said(format!("the answer is about {answered:?}, not {range:?}"));
            return Err(StoreError::Unavailable { attempt: attempt.clone(), source });
        }
        let data = result.bytes().await.map_err(failed)?;
        if data.len() as u64 != wanted {
            return Err(cut_short(attempt, data.len(), wanted));
        }
        Ok(data)
    }

    async fn put_once(
        &self,
        attempt: &Attempt,
        path: &ObjectPath,
        data: Bytes,
        mode: PutMode,
    ) -> Result<Option<String>, StoreError> {
        let options = PutOptions { mode, ..PutOptions::default() };
        let result = self.client.put_opts(path, PutPayload::from(data), options).await;
        result.map(|result| result.e_tag).map_err(|error| classify(attempt.clone(), error))
    }

    async fn put_if_once(
        &self,
        tries: &Tries<'_>,
        attempt: &Attempt,
        path: &ObjectPath,
        data: &Bytes,
        condition: &Condition,
    ) -> Put {
        let mode = match condition {
            Condition::Absent => PutMode::Create,
            Condition::Version(version) => {
                PutMode::Update(UpdateVersion { e_tag: Some(version.as_str().to_owned()), version: None })
            }
        };
        let put = self.put_once(attempt, path, data.clone(), mode);
        match tries.once(attempt, data.len() as u64, put).await {
            Ok(e_tag) => match version(attempt, e_tag) {
                Ok(version) => Put::Written(version),
                // Written, but as what? Trying again finds the condition gone, and then looks.
                Err(error) => Put::Failed(error),
            },
            Err(StoreError::Conflict { .. }) => Put::Refused,
            Err(error) => Put::Failed(error),
        }
    }

    /// One page of a list, and the token of the next.
    async fn list_page(
        &self,
        attempt: &Attempt,
        prefix: &str,
        token: Option<String>,
    ) -> Result<(Vec<String>, Option<String>), StoreError> {
        let options = PaginatedListOptions {
            max_keys: Some(LIST_PAGE_KEYS),
            page_token: token,
            ..PaginatedListOptions::default()
        };
        let prefix = Some(prefix).filter(|prefix| !prefix.is_empty());
        let page =
            self.client.list_paginated(prefix, options).await.map_err(|error| classify(attempt.clone(), error))?;
        let keys = page.result.objects.into_iter().filter_map(|object| {
            let key = object.location.as_ref().strip_prefix(&self.prefix)?;
            // What no key of ours can be was put there by others.
            key::check(Operation::List, key).is_ok().then(|| key.to_owned())
        });
        Ok((keys.collect(), page.page_token))
    }
}

fn version(attempt: &Attempt, e_tag: Option<String>) -> Result<Version, StoreError> {
    let missing = || StoreError::Unavailable { attempt: attempt.clone(), source: said("the answer has no ETag") };
    e_tag.map(Version::new).ok_or_else(missing)
}

fn cut_short(attempt: &Attempt, found: usize, wanted: u64) -> StoreError {
    let source = said(format!("the answer ended after {found} of {wanted} bytes"));
    StoreError::Unavailable { attempt: attempt.clone(), source }
}

#[async_trait]
impl ObjectStore for S3Store {
    async fn get(&self, key: &str) -> Result<(Bytes, Version), StoreError> {
        key::check(Operation::Get, key)?;
        let attempt = Attempt::new(Operation::Get, key);
        let path = self.path(&attempt)?;
        // How long it takes depends on what is there; larger ones are rare, and get time for a segment.
        self.retry(&attempt, MAX_OBJECT_BYTES / 16, || self.get_once(&attempt, &path)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, StoreError> {
        key::check(Operation::GetRange, key)?;
        let len = range_len(key, &range)? as u64;
        if len == 0 {
            return Ok(Bytes::new());
        }
        let attempt = Attempt::new(Operation::GetRange, key);
        let path = self.path(&attempt)?;
        self.retry(&attempt, len, || self.get_range_once(&attempt, &path, &range)).await
    }

    async fn size(&self, key: &str) -> Result<u64, StoreError> {
        key::check(Operation::Size, key)?;
        let attempt = Attempt::new(Operation::Size, key);
        let path = self.path(&attempt)?;
        let head = || async {
            let meta = self.client.head(&path).await;
            meta.map(|meta| meta.size).map_err(|error| classify(attempt.clone(), error))
        };
        self.retry(&attempt, 0, head).await
    }

    async fn put(&self, key: &str, data: Bytes) -> Result<(), StoreError> {
        key::check(Operation::Put, key)?;
        check_size(Operation::Put, key, &data)?;
        let attempt = Attempt::new(Operation::Put, key);
        let path = self.path(&attempt)?;
        let put = || self.put_once(&attempt, &path, data.clone(), PutMode::Overwrite);
        self.retry(&attempt, data.len() as u64, put).await.map(drop)
    }

    async fn put_if(&self, key: &str, data: Bytes, condition: Condition) -> Result<Version, StoreError> {
        key::check(Operation::PutIf, key)?;
        check_size(Operation::PutIf, key, &data)?;
        let attempt = Attempt::new(Operation::PutIf, key);
        let path = self.path(&attempt)?;
        let mut tries = Tries::new(&self.timeouts, &self.random);
        // Whether a try ended without an answer, so that it may have been carried out.
        let mut perhaps_applied = false;
        // The condition itself makes repeating safe: it can hold a second time only if the first try wrote nothing.
        loop {
            match self.put_if_once(&tries, &attempt, &path, &data, &condition).await {
                Put::Written(version) => return Ok(version),
                Put::Refused if perhaps_applied => break,
                Put::Refused => return Err(StoreError::Conflict { attempt, perhaps_applied }),
                Put::Failed(error) => tries.pause(error).await?,
            }
            perhaps_applied = true;
        }
        // Somebody was first, and that may have been us.
        let conflict = StoreError::Conflict { attempt: attempt.clone(), perhaps_applied };
        loop {
            let read = self.get_once(&attempt, &path);
            match tries.once(&attempt, MAX_OBJECT_BYTES / 16, read).await {
                Ok((found, version)) if found == data => return Ok(version),
                Ok(_) | Err(StoreError::NotFound { .. } | StoreError::Conflict { .. }) => return Err(conflict),
                Err(error) => tries.pause(error).await?,
            }
        }
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        key::check(Operation::Delete, key)?;
        let attempt = Attempt::new(Operation::Delete, key);
        let path = self.path(&attempt)?;
        let delete = || async {
            match self.client.delete(&path).await.map_err(|error| classify(attempt.clone(), error)) {
                Err(StoreError::NotFound { .. }) => Ok(()),
                result => result,
            }
        };
        self.retry(&attempt, 0, delete).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        key::check_prefix(prefix)?;
        let attempt = Attempt::new(Operation::List, prefix);
        let full = format!("{}{prefix}", self.prefix);
        let (mut found, mut token) = (Vec::new(), None);
        for _ in 0..MAX_LIST_PAGES {
            let bytes = LIST_PAGE_KEYS as u64 * LIST_KEY_BYTES;
            let page = self.retry(&attempt, bytes, || self.list_page(&attempt, &full, token.clone())).await?;
            found.extend(page.0);
            token = page.1;
            if token.is_none() {
                found.sort_unstable();
                found.dedup();
                return Ok(found);
            }
        }
        let source = said(format!("the list does not end after {MAX_LIST_PAGES} pages"));
        Err(StoreError::Damaged { attempt, source })
    }
}
