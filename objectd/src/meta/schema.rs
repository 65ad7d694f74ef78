//! The tables, and reading and writing single rows.

use super::{Body, Bucket, Freed, MetaError, Object, Part, Upload};
use crate::blob::BlobId;
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};

/// Version of everything in the file.
pub(super) const FORMAT: u64 = 1;
/// One row, "format".
pub(super) const INFO: TableDefinition<'_, &str, u64> = TableDefinition::new("info");
pub(super) const BUCKETS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("buckets");
/// Bucket, key, inverted version: newer versions of a key will sort first. For now there is [`ONLY_VERSION`].
pub(super) type ObjectKey = (&'static str, &'static [u8], u64);
pub(super) const OBJECTS: TableDefinition<'_, ObjectKey, &[u8]> = TableDefinition::new("objects");
pub(super) const ONLY_VERSION: u64 = u64::MAX;
/// Bodies small enough to live here.
pub(super) const INLINE: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("inline");
/// The parts of completed uploads.
pub(super) const MANIFESTS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("manifests");
/// Bucket, key, upload.
pub(super) type UploadKey = (&'static str, &'static [u8], u128);
pub(super) const UPLOADS: TableDefinition<'_, UploadKey, &[u8]> = TableDefinition::new("uploads");
/// Upload, number.
pub(super) const PARTS: TableDefinition<'_, (u128, u16), &[u8]> = TableDefinition::new("parts");

/// Makes every table, so that readers find them.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), MetaError> {
    let mut info = transaction.open_table(INFO)?;
    let found = info.get("format")?.map(|row| row.value());
    match found {
        None => drop(info.insert("format", FORMAT)?),
        Some(FORMAT) => {}
        Some(other) => {
            return Err(MetaError::Engine(format!("the file has format {other}; this program knows {FORMAT}").into()));
        }
    }
    transaction.open_table(BUCKETS)?;
    transaction.open_table(OBJECTS)?;
    transaction.open_table(INLINE)?;
    transaction.open_table(MANIFESTS)?;
    transaction.open_table(UPLOADS)?;
    transaction.open_table(PARTS)?;
    Ok(())
}

pub(super) fn encode(record: &impl Serialize) -> Result<Vec<u8>, MetaError> {
    Ok(serde_json::to_vec(record)?)
}

pub(super) fn decode<T: DeserializeOwned>(row: &[u8]) -> Result<T, MetaError> {
    Ok(serde_json::from_slice(row)?)
}

pub(super) fn bucket(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    name: &str,
) -> Result<Option<Bucket>, MetaError> {
    table.get(name)?.map(|row| decode(row.value())).transpose()
}

/// Refuses if the bucket is gone: every write inside a bucket begins so.
pub(super) fn require_bucket(transaction: &WriteTransaction, name: &str) -> Result<(), MetaError> {
    match transaction.open_table(BUCKETS)?.get(name)? {
        Some(_) => Ok(()),
        None => Err(MetaError::NoSuchBucket(name.to_owned())),
    }
}

pub(super) fn object(
    table: &impl ReadableTable<ObjectKey, &'static [u8]>,
    bucket: &str,
    key: &str,
) -> Result<Option<Object>, MetaError> {
    table.get((bucket, key.as_bytes(), ONLY_VERSION))?.map(|row| decode(row.value())).transpose()
}

pub(super) fn upload(
    table: &impl ReadableTable<UploadKey, &'static [u8]>,
    bucket: &str,
    key: &str,
    id: BlobId,
) -> Result<Option<Upload>, MetaError> {
    table.get((bucket, key.as_bytes(), id.0))?.map(|row| decode(row.value())).transpose()
}

/// The parts of an upload, in order, from number `from`.
pub(super) fn parts(
    table: &impl ReadableTable<(u128, u16), &'static [u8]>,
    id: BlobId,
    from: u16,
) -> Result<impl Iterator<Item = Result<Part, MetaError>>, MetaError> {
    let rows = table.range((id.0, from)..=(id.0, u16::MAX))?;
    Ok(rows.map(|row| decode(row?.1.value())))
}

/// Removes what an object's body consists of; returns its blobs.
pub(super) fn free_body(transaction: &WriteTransaction, body: &Body) -> Result<Freed, MetaError> {
    Ok(match body {
        Body::Inline(id) => {
            transaction.open_table(INLINE)?.remove(id.0)?;
            Vec::new()
        }
        Body::Blob(id) => vec![*id],
        Body::Parts { manifest, .. } => {
            let mut manifests = transaction.open_table(MANIFESTS)?;
            let parts: Vec<Part> = match manifests.remove(manifest.0)? {
                Some(row) => decode(row.value())?,
                None => Vec::new(),
            };
            parts.into_iter().map(|part| part.piece.blob).collect()
        }
    })
}

/// Removes every part of an upload; returns their blobs.
pub(super) fn free_parts(table: &mut Table<'_, (u128, u16), &'static [u8]>, id: BlobId) -> Result<Freed, MetaError> {
    let parts: Vec<Part> = parts(table, id, 0)?.collect::<Result<_, _>>()?;
    for part in &parts {
        table.remove((id.0, part.number))?;
    }
    Ok(parts.into_iter().map(|part| part.piece.blob).collect())
}

pub(super) fn manifest(transaction: &ReadTransaction, id: BlobId) -> Result<Vec<Part>, MetaError> {
    match transaction.open_table(MANIFESTS)?.get(id.0)? {
        Some(row) => decode(row.value()),
        None => Err(MetaError::Engine(format!("manifest {id} is missing").into())),
    }
}
