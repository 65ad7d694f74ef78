//! Multipart uploads inside a transaction.

use super::{
    Body, Completion, Freed, MetaError, Object, Part, Upload,
    embedded::replace,
    schema::{self, MANIFESTS, PARTS, UPLOADS},
};
use crate::{
    blob::BlobId,
    checksum::{self, Checksum},
};
use redb::{ReadableTable, WriteTransaction};

/// The least size of every part but the last (S3, "Amazon S3 multipart upload limits").
const MIN_PART_BYTES: u64 = 5 * 1024 * 1024;

fn require(transaction: &WriteTransaction, bucket: &str, key: &str, id: BlobId) -> Result<Upload, MetaError> {
    let uploads = transaction.open_table(UPLOADS)?;
    schema::upload(&uploads, bucket, key, id)?.ok_or_else(|| MetaError::NoSuchUpload(id.to_string()))
}

pub(super) fn put_part(
    transaction: &WriteTransaction,
    bucket: &str,
    key: &str,
    id: BlobId,
    part: &Part,
) -> Result<Freed, MetaError> {
    require(transaction, bucket, key, id)?;
    let mut parts = transaction.open_table(PARTS)?;
    let row = schema::encode(part)?;
    let replaced = parts.insert((id.0, part.number), row.as_slice())?;
    let replaced: Option<Part> = replaced.map(|row| schema::decode(row.value())).transpose()?;
    Ok(replaced.map(|part| part.piece.blob).into_iter().collect())
}

pub(super) fn abort(transaction: &WriteTransaction, bucket: &str, key: &str, id: BlobId) -> Result<Freed, MetaError> {
    require(transaction, bucket, key, id)?;
    transaction.open_table(UPLOADS)?.remove((bucket, key.as_bytes(), id.0))?;
    schema::free_parts(&mut transaction.open_table(PARTS)?, id)
}

/// Ends every upload of a bucket.
pub(super) fn abort_all(transaction: &WriteTransaction, bucket: &str) -> Result<Freed, MetaError> {
    let mut uploads = transaction.open_table(UPLOADS)?;
    let mut ended = Vec::new();
    for row in uploads.range((bucket, &[][..], 0)..)? {
        let (row, _) = row?;
        let (found, key, id) = row.value();
        if found != bucket {
            break;
        }
        ended.push((key.to_vec(), id));
    }
    let mut parts = transaction.open_table(PARTS)?;
    let mut freed = Vec::new();
    for (key, id) in ended {
        uploads.remove((bucket, key.as_slice(), id))?;
        freed.extend(schema::free_parts(&mut parts, BlobId(id))?);
    }
    Ok(freed)
}

/// The uploaded parts that `completion` names, each as it names it.
fn select(upload: &Upload, uploaded: &[Part], completion: &Completion) -> Result<Vec<Part>, MetaError> {
    let mut selected = Vec::with_capacity(completion.parts.len());
    for (index, named) in completion.parts.iter().enumerate() {
        let found = uploaded.binary_search_by_key(&named.number, |part| part.number).ok().map(|at| &uploaded[at]);
        let part = found.filter(|part| part.etag == named.etag).ok_or(MetaError::InvalidPart(named.number))?;
        let differs =
            |(algorithm, value): &(_, String)| *algorithm == upload.algorithm && *value != part.checksum.value;
        if named.checksums.iter().any(differs) {
            return Err(MetaError::InvalidPart(named.number));
        }
        if part.piece.size < MIN_PART_BYTES && index + 1 < completion.parts.len() {
            return Err(MetaError::EntityTooSmall(named.number));
        }
        selected.push(part.clone());
    }
    Ok(selected)
}

fn whole_checksum(upload: &Upload, parts: &[Part]) -> Option<Checksum> {
    let values: Vec<_> = parts.iter().map(|part| (part.checksum.value.as_str(), part.piece.size)).collect();
    checksum::combine(upload.algorithm, upload.kind, &values)
}

pub(super) fn complete(
    transaction: &WriteTransaction,
    bucket: &str,
    key: &str,
    id: BlobId,
    completion: &Completion,
) -> Result<(Object, Freed), MetaError> {
    let upload = require(transaction, bucket, key, id)?;
    let mut table = transaction.open_table(PARTS)?;
    let uploaded: Vec<Part> = schema::parts(&table, id, 0)?.collect::<Result<_, _>>()?;
    let selected = select(&upload, &uploaded, completion)?;
    let unreadable = || MetaError::Engine(format!("the digests of upload {id} cannot be read").into());
    let whole = whole_checksum(&upload, &selected).ok_or_else(unreadable)?;
    if completion.expected.as_ref().is_some_and(|(of, value)| *of == whole.algorithm && *value != whole.value) {
        return Err(MetaError::ChecksumMismatch(whole.algorithm));
    }
    let object = Object {
        size: selected.iter().map(|part| part.piece.size).sum(),
        etag: checksum::multipart_etag(selected.iter().map(|part| part.etag.as_str())).ok_or_else(unreadable)?,
        modified_ms: completion.now_ms,
        checksum: Some(whole),
        body: Body::Parts { manifest: id, count: u16::try_from(selected.len()).unwrap_or(u16::MAX) },
        headers: upload.headers,
    };
    // From here on nothing is refused: the condition is the first thing `replace` checks.
    let mut freed = replace(transaction, bucket, key, &object, &completion.condition)?;
    let kept: std::collections::HashSet<BlobId> = selected.iter().map(|part| part.piece.blob).collect();
    freed.extend(schema::free_parts(&mut table, id)?.into_iter().filter(|blob| !kept.contains(blob)));
    transaction.open_table(MANIFESTS)?.insert(id.0, schema::encode(&selected)?.as_slice())?;
    transaction.open_table(UPLOADS)?.remove((bucket, key.as_bytes(), id.0))?;
    Ok((object, freed))
}
