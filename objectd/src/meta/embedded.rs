//! The metadata of one node, in an embedded B-tree, with group commit in front: one thread writes, and everything that
//! arrived while it was syncing goes into its next transaction.

use super::{
    Body, Bucket, Completion, Freed, ListQuery, Listing, MAX_BUCKETS_PER_ACCOUNT, Meta, MetaError, NewObject, Object,
    Opened, Part, Piece, Precondition, Upload, UploadListing, UploadQuery, listing,
    schema::{self, BUCKETS, INLINE, MANIFESTS, OBJECTS, ONLY_VERSION, PARTS, UPLOADS},
    uploads,
};
use crate::blob::BlobId;
use async_trait::async_trait;
use bytes::Bytes;
use hive_auth::AccountId;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};
use std::{collections::HashSet, fmt, path::Path, sync::Arc, thread};
use tokio::sync::{mpsc, oneshot};

/// Changes that wait for the writer; whoever finds the queue full waits.
const QUEUE: usize = 1024;
/// Changes in one transaction: bounds its memory, far above what arrives during one sync.
const BATCH: usize = 512;

/// Tells whoever asked for a change what became of the transaction it was in.
type Report = Box<dyn FnOnce(Result<(), Arc<MetaError>>) + Send>;
/// Applies one change to the open transaction.
type Change = Box<dyn FnOnce(&WriteTransaction) -> Report + Send>;

/// The store's metadata in one file.
#[derive(Clone)]
pub struct EmbeddedMeta {
    database: Arc<Database>,
    changes: mpsc::Sender<Change>,
}

impl fmt::Debug for EmbeddedMeta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmbeddedMeta").finish_non_exhaustive()
    }
}

impl EmbeddedMeta {
    /// Opens the file, creating it if absent, and starts the writer.
    ///
    /// # Errors
    /// [`MetaError::Engine`], also if another process has the file open.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Self, MetaError> {
        let database = Database::builder().set_cache_size(cache_bytes).create(path)?;
        let transaction = database.begin_write()?;
        schema::create(&transaction)?;
        transaction.commit()?;
        if let Some(directory) = path.parent() {
            std::fs::File::open(directory)?.sync_all()?;
        }
        let database = Arc::new(database);
        let (changes, queue) = mpsc::channel(QUEUE);
        let writer = database.clone();
        thread::Builder::new().name("meta-writer".into()).spawn(move || write_batches(&writer, queue))?;
        Ok(Self { database, changes })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ReadTransaction) -> Result<T, MetaError> + Send + 'static,
    ) -> Result<T, MetaError> {
        let database = self.database.clone();
        let outcome = tokio::task::spawn_blocking(move || work(&database.begin_read()?)).await;
        outcome.unwrap_or_else(|panic| Err(MetaError::Engine(Box::new(panic))))
    }

    /// `work` must refuse before it changes anything: what it did stays in the batch's transaction.
    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&WriteTransaction) -> Result<T, MetaError> + Send + 'static,
    ) -> Result<T, MetaError> {
        let (reply, answer) = oneshot::channel();
        let change: Change = Box::new(move |transaction| {
            let outcome = work(transaction);
            Box::new(move |committed| {
                let outcome = match committed {
                    Ok(()) => outcome,
                    Err(cause) => outcome.and(Err(MetaError::Engine(Box::new(CommitFailed(cause))))),
                };
                // The one who asked may have gone away; the change stands.
                let _ = reply.send(outcome);
            })
        });
        let gone = |_| MetaError::Engine("the metadata writer is gone".into());
        self.changes.send(change).await.map_err(|_| MetaError::Engine("the metadata writer is gone".into()))?;
        answer.await.map_err(gone)?
    }
}

/// The transaction that held a change could not be committed.
#[derive(Debug, thiserror::Error)]
#[error("committing")]
struct CommitFailed(#[source] Arc<MetaError>);

fn write_batches(database: &Database, mut queue: mpsc::Receiver<Change>) {
    let mut batch = Vec::with_capacity(BATCH);
    while let Some(first) = queue.blocking_recv() {
        batch.push(first);
        while batch.len() < BATCH {
            let Ok(next) = queue.try_recv() else { break };
            batch.push(next);
        }
        let mut reports = Vec::with_capacity(batch.len());
        let outcome = commit(database, &mut batch, &mut reports).map_err(Arc::new);
        if let Err(error) = &outcome {
            tracing::error!(%error, source = ?std::error::Error::source(error), "metadata transaction failed");
        }
        for report in reports {
            report(outcome.clone());
        }
        // Left over only if no transaction could begin: their senders learn by the dropped reply.
        batch.clear();
    }
}

fn commit(database: &Database, batch: &mut Vec<Change>, reports: &mut Vec<Report>) -> Result<(), MetaError> {
    let transaction = database.begin_write()?;
    reports.extend(batch.drain(..).map(|change| change(&transaction)));
    transaction.commit()?;
    Ok(())
}

/// Puts an object's row in place of the one before; returns the blobs of that.
pub(super) fn replace(
    transaction: &WriteTransaction,
    bucket: &str,
    key: &str,
    object: &Object,
    condition: &Precondition,
) -> Result<Freed, MetaError> {
    let mut objects = transaction.open_table(OBJECTS)?;
    let present = schema::object(&objects, bucket, key)?;
    check(condition, present.as_ref(), key)?;
    let row = schema::encode(object)?;
    objects.insert((bucket, key.as_bytes(), ONLY_VERSION), row.as_slice())?;
    match present {
        Some(present) => schema::free_body(transaction, &present.body),
        None => Ok(Vec::new()),
    }
}

fn check(condition: &Precondition, present: Option<&Object>, key: &str) -> Result<(), MetaError> {
    if condition.absent && present.is_some() {
        return Err(MetaError::PreconditionFailed);
    }
    match (&condition.etag, present) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(MetaError::NoSuchKey(key.to_owned())),
        (Some(etag), Some(present)) if etag == "*" || *etag == present.etag => Ok(()),
        _ => Err(MetaError::PreconditionFailed),
    }
}

fn create_bucket(transaction: &WriteTransaction, name: &str, bucket: &Bucket) -> Result<(), MetaError> {
    let mut buckets = transaction.open_table(BUCKETS)?;
    if let Some(present) = schema::bucket(&buckets, name)? {
        return Err(MetaError::BucketExists { name: name.to_owned(), owner: present.owner });
    }
    let mut owned = 0;
    for row in buckets.iter()? {
        owned += usize::from(schema::decode::<Bucket>(row?.1.value())?.owner == bucket.owner);
    }
    if owned >= MAX_BUCKETS_PER_ACCOUNT {
        return Err(MetaError::TooManyBuckets(bucket.owner.clone()));
    }
    buckets.insert(name, schema::encode(bucket)?.as_slice())?;
    Ok(())
}

fn delete_bucket(transaction: &WriteTransaction, name: &str) -> Result<Freed, MetaError> {
    schema::require_bucket(transaction, name)?;
    let objects = transaction.open_table(OBJECTS)?;
    let empty = match objects.range((name, &[][..], 0)..)?.next() {
        Some(row) => row?.0.value().0 != name,
        None => true,
    };
    if !empty {
        return Err(MetaError::BucketNotEmpty(name.to_owned()));
    }
    transaction.open_table(BUCKETS)?.remove(name)?;
    uploads::abort_all(transaction, name)
}

fn open(transaction: &ReadTransaction, bucket: &str, key: &str) -> Result<Option<Opened>, MetaError> {
    let Some(object) = schema::object(&transaction.open_table(OBJECTS)?, bucket, key)? else { return Ok(None) };
    let (mut inline, mut pieces) = (None, Vec::new());
    match &object.body {
        Body::Inline(id) => {
            let row = transaction.open_table(INLINE)?.get(id.0)?;
            inline = Some(row.map(|row| Bytes::copy_from_slice(row.value())).unwrap_or_default());
        }
        Body::Blob(id) => pieces.push(Piece { blob: *id, size: object.size }),
        Body::Parts { manifest, .. } => {
            pieces.extend(schema::manifest(transaction, *manifest)?.into_iter().map(|part| part.piece));
        }
    }
    Ok(Some(Opened { object, inline, pieces }))
}

fn referenced(transaction: &ReadTransaction) -> Result<HashSet<BlobId>, MetaError> {
    let mut blobs = HashSet::new();
    for row in transaction.open_table(OBJECTS)?.iter()? {
        if let Body::Blob(id) = schema::decode::<Object>(row?.1.value())?.body {
            blobs.insert(id);
        }
    }
    for row in transaction.open_table(MANIFESTS)?.iter()? {
        let parts: Vec<Part> = schema::decode(row?.1.value())?;
        blobs.extend(parts.into_iter().map(|part| part.piece.blob));
    }
    for row in transaction.open_table(PARTS)?.iter()? {
        blobs.insert(schema::decode::<Part>(row?.1.value())?.piece.blob);
    }
    Ok(blobs)
}

#[async_trait]
impl Meta for EmbeddedMeta {
    async fn create_bucket(&self, name: &str, bucket: Bucket) -> Result<(), MetaError> {
        let name = name.to_owned();
        self.write(move |transaction| create_bucket(transaction, &name, &bucket)).await
    }

    async fn bucket(&self, name: &str) -> Result<Option<Bucket>, MetaError> {
        let name = name.to_owned();
        self.read(move |transaction| schema::bucket(&transaction.open_table(BUCKETS)?, &name)).await
    }

    async fn buckets(&self, owner: &AccountId) -> Result<Vec<(String, Bucket)>, MetaError> {
        let owner = owner.clone();
        self.read(move |transaction| {
            let mut owned = Vec::new();
            for row in transaction.open_table(BUCKETS)?.iter()? {
                let (name, row) = row?;
                let bucket: Bucket = schema::decode(row.value())?;
                if bucket.is_owned_by(&owner) {
                    owned.push((name.value().to_owned(), bucket));
                }
            }
            Ok(owned)
        })
        .await
    }

    async fn delete_bucket(&self, name: &str) -> Result<Freed, MetaError> {
        let name = name.to_owned();
        self.write(move |transaction| delete_bucket(transaction, &name)).await
    }

    async fn put(&self, bucket: &str, key: &str, new: NewObject, condition: Precondition) -> Result<Freed, MetaError> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.write(move |transaction| {
            schema::require_bucket(transaction, &bucket)?;
            let freed = replace(transaction, &bucket, &key, &new.object, &condition)?;
            if let (Body::Inline(id), Some(data)) = (&new.object.body, new.inline.filter(|data| !data.is_empty())) {
                transaction.open_table(INLINE)?.insert(id.0, &data[..])?;
            }
            Ok(freed)
        })
        .await
    }

    async fn head(&self, bucket: &str, key: &str) -> Result<Option<Object>, MetaError> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.read(move |transaction| schema::object(&transaction.open_table(OBJECTS)?, &bucket, &key)).await
    }

    async fn open(&self, bucket: &str, key: &str) -> Result<Option<Opened>, MetaError> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.read(move |transaction| open(transaction, &bucket, &key)).await
    }

    async fn delete(&self, bucket: &str, keys: Vec<String>) -> Result<Freed, MetaError> {
        let bucket = bucket.to_owned();
        self.write(move |transaction| {
            let mut freed = Vec::new();
            for key in keys {
                let removed = transaction
                    .open_table(OBJECTS)?
                    .remove((bucket.as_str(), key.as_bytes(), ONLY_VERSION))?
                    .map(|row| schema::decode::<Object>(row.value()))
                    .transpose()?;
                if let Some(object) = removed {
                    freed.extend(schema::free_body(transaction, &object.body)?);
                }
            }
            Ok(freed)
        })
        .await
    }

    async fn list(&self, bucket: &str, query: ListQuery) -> Result<Listing, MetaError> {
        let bucket = bucket.to_owned();
        self.read(move |transaction| listing::objects(&transaction.open_table(OBJECTS)?, &bucket, &query)).await
    }

    async fn create_upload(&self, bucket: &str, key: &str, upload: Upload) -> Result<BlobId, MetaError> {
        let id = BlobId::random().map_err(|source| MetaError::Engine(Box::new(source)))?;
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.write(move |transaction| {
            schema::require_bucket(transaction, &bucket)?;
            let row = schema::encode(&upload)?;
            transaction.open_table(UPLOADS)?.insert((bucket.as_str(), key.as_bytes(), id.0), row.as_slice())?;
            Ok(id)
        })
        .await
    }

    async fn upload(&self, bucket: &str, key: &str, id: BlobId) -> Result<Option<Upload>, MetaError> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.read(move |transaction| schema::upload(&transaction.open_table(UPLOADS)?, &bucket, &key, id)).await
    }

    async fn put_part(&self, bucket: &str, key: &str, id: BlobId, part: Part) -> Result<Freed, MetaError> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.write(move |transaction| uploads::put_part(transaction, &bucket, &key, id, &part)).await
    }

    async fn parts(&self, id: BlobId, after: u16, limit: usize) -> Result<(Vec<Part>, bool), MetaError> {
        self.read(move |transaction| {
            let table = transaction.open_table(PARTS)?;
            let mut parts: Vec<Part> =
                schema::parts(&table, id, after.saturating_add(1))?.take(limit + 1).collect::<Result<_, _>>()?;
            let more = parts.len() > limit;
            parts.truncate(limit);
            Ok((parts, more))
        })
        .await
    }

    async fn complete(
        &self,
        bucket: &str,
        key: &str,
        id: BlobId,
        completion: Completion,
    ) -> Result<(Object, Freed), MetaError> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.write(move |transaction| uploads::complete(transaction, &bucket, &key, id, &completion)).await
    }

    async fn abort(&self, bucket: &str, key: &str, id: BlobId) -> Result<Freed, MetaError> {
        let (bucket, key) = (bucket.to_owned(), key.to_owned());
        self.write(move |transaction| uploads::abort(transaction, &bucket, &key, id)).await
    }

    async fn uploads(&self, bucket: &str, query: UploadQuery) -> Result<UploadListing, MetaError> {
        let bucket = bucket.to_owned();
        self.read(move |transaction| listing::uploads(&transaction.open_table(UPLOADS)?, &bucket, &query)).await
    }

    async fn referenced(&self) -> Result<HashSet<BlobId>, MetaError> {
        self.read(referenced).await
    }
}
