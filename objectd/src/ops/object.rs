//! Objects: put, read, delete.

use super::{
    ByteRange, Expectations, ReadCondition, Source, Store, Verdict,
    ingest::{Ingested, Place},
    now_ms,
};
use crate::{
    blob::{BUFFER_BYTES, BlobId, BlobReader, Blobs, Lease},
    error::{Code, S3Error},
    meta::{Body, Headers, NewObject, Object, Opened, Piece, Precondition},
};
use bytes::Bytes;
use std::{collections::VecDeque, sync::Arc};

/// How often a read starts over when the object is replaced under it; each time needs another PUT in between.
const OPEN_ATTEMPTS: usize = 16;

/// PutObject without its body.
#[derive(Clone, Debug)]
pub struct PutRequest {
    pub headers: Headers,
    pub condition: Precondition,
    pub expect: Expectations,
}

/// What was stored.
pub type Stored = Object;

/// An object to be read, held against removal.
pub struct Read {
    pub object: Object,
    inline: Option<Bytes>,
    pieces: Vec<Piece>,
    lease: Lease,
}

impl std::fmt::Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Read").field("object", &self.object).finish_non_exhaustive()
    }
}

impl Read {
    /// The bytes of part `number`, counted from 1; an object that was put whole has one.
    pub fn part_range(&self, number: u16) -> Option<ByteRange> {
        let index = usize::from(number).checked_sub(1)?;
        if self.pieces.is_empty() {
            return (index == 0 && self.object.size > 0).then(|| ByteRange { first: 0, last: self.object.size - 1 });
        }
        let piece = self.pieces.get(index).filter(|piece| piece.size > 0)?;
        let first = self.pieces[..index].iter().map(|piece| piece.size).sum::<u64>();
        Some(ByteRange { first, last: first + piece.size - 1 })
    }

    /// How many parts it was uploaded in; `None` if it was put whole.
    pub fn part_count(&self) -> Option<u16> {
        match self.object.body {
            Body::Parts { count, .. } => Some(count),
            _ => None,
        }
    }
}

/// A part of an object's bytes, in pieces as they come from disk.
pub struct Content {
    blobs: Arc<dyn Blobs>,
    inline: Option<Bytes>,
    /// What is still to come, the first piece being the one that is open.
    extents: VecDeque<(BlobId, ByteRange)>,
    reader: Option<Box<dyn BlobReader>>,
    _lease: Lease,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("extents", &self.extents).finish_non_exhaustive()
    }
}

impl Content {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`Code::InternalError`] if the disk fails.
    pub async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        if let Some(data) = self.inline.take().filter(|data| !data.is_empty()) {
            return Ok(Some(data));
        }
        let Some((blob, range)) = self.extents.front_mut() else { return Ok(None) };
        let reader = match &mut self.reader {
            Some(reader) => reader,
            none => none.insert(self.blobs.open(*blob).await?),
        };
        let length = usize::try_from(range.length()).map_or(BUFFER_BYTES, |length| length.min(BUFFER_BYTES));
        let buffer = reader.read(range.first, length).await?;
        if length as u64 == range.length() {
            self.extents.pop_front();
            self.reader = None;
        } else {
            range.first += length as u64;
        }
        Ok(Some(buffer.into_bytes()))
    }
}

/// The extents of `range` within `pieces`.
fn extents(pieces: &[Piece], range: ByteRange) -> VecDeque<(BlobId, ByteRange)> {
    let mut start = 0;
    let mut extents = VecDeque::new();
    for piece in pieces.iter().filter(|piece| piece.size > 0) {
        let (first, last) = (range.first.max(start), range.last.min(start + piece.size - 1));
        if first <= last {
            extents.push_back((piece.blob, ByteRange { first: first - start, last: last - start }));
        }
        start += piece.size;
    }
    extents
}

impl Store {
    /// PutObject: all of it, or nothing.
    ///
    /// # Errors
    /// As S3 lists them for PutObject, and [`Code::InsufficientStorage`].
    pub async fn put_object(
        &self,
        bucket: &str,
        key: &str,
        request: PutRequest,
        source: &mut dyn Source,
    ) -> Result<Stored, S3Error> {
        let ingested = self.ingest(source, &request.expect, true).await?;
        self.commit_object(bucket, key, ingested, request.headers, request.condition).await
    }

    pub(super) async fn commit_object(
        &self,
        bucket: &str,
        key: &str,
        ingested: Ingested,
        headers: Headers,
        condition: Precondition,
    ) -> Result<Stored, S3Error> {
        let (body, inline, unclaimed) = match ingested.place {
            Place::Inline(data) => (Body::Inline(BlobId::random()?), Some(data), None),
            Place::Blob(blob) => (Body::Blob(blob.id()), None, Some(blob)),
        };
        let object = Object {
            size: ingested.size,
            etag: ingested.etag,
            modified_ms: now_ms(),
            checksum: Some(ingested.checksum),
            body,
            headers,
        };
        let new = NewObject { object: object.clone(), inline };
        let freed = self.meta.put(bucket, key, new, condition).await?;
        if let Some(blob) = unclaimed {
            blob.keep();
        }
        self.blobs.remove(freed);
        Ok(object)
    }

    /// Opens an object for GetObject, HeadObject or as the source of a copy.
    ///
    /// # Errors
    /// [`Code::NoSuchKey`], [`Code::SlowDown`] if it is being replaced faster than it can be opened.
    pub async fn open_object(&self, bucket: &str, key: &str) -> Result<Read, S3Error> {
        let missing = || S3Error::from(Code::NoSuchKey).with("Key", key);
        let Opened { mut object, mut inline, mut pieces } = self.meta.open(bucket, key).await?.ok_or_else(missing)?;
        for _ in 0..OPEN_ATTEMPTS {
            let lease = self.blobs.leases().take(pieces.iter().map(|piece| piece.blob).collect());
            if pieces.is_empty() {
                return Ok(Read { object, inline, pieces, lease });
            }
            // Whatever was still there after the lease was taken stays until it is given back.
            let again = self.meta.open(bucket, key).await?.ok_or_else(missing)?;
            if again.object.body == object.body {
                return Ok(Read { object, inline, pieces, lease });
            }
            Opened { object, inline, pieces } = again;
        }
        Err(Code::SlowDown.into())
    }

    /// The bytes of `range`, or all.
    pub fn content(&self, read: Read, range: Option<ByteRange>) -> Content {
        let size = read.object.size;
        let whole = (size > 0).then(|| ByteRange { first: 0, last: size - 1 });
        let range = range.or(whole);
        let inline = read.inline.zip(range).map(|(data, range)| {
            let bound = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(data.len());
            data.slice(bound(range.first)..bound(range.last.saturating_add(1)))
        });
        Content {
            blobs: self.blobs.clone(),
            inline,
            extents: range.map(|range| extents(&read.pieces, range)).unwrap_or_default(),
            reader: None,
            _lease: read.lease,
        }
    }

    /// DeleteObject and DeleteObjects: what is not there is as good as deleted.
    ///
    /// # Errors
    /// Only internal ones.
    pub async fn delete_objects(&self, bucket: &str, keys: Vec<String>) -> Result<(), S3Error> {
        self.blobs.remove(self.meta.delete(bucket, keys).await?);
        Ok(())
    }
}

/// Applies a condition to what was opened: 412 as an error, 304 as `true`.
///
/// # Errors
/// [`Code::PreconditionFailed`].
pub fn is_not_modified(condition: &ReadCondition, object: &Object) -> Result<bool, S3Error> {
    match condition.evaluate(object) {
        Verdict::Proceed => Ok(false),
        Verdict::NotModified => Ok(true),
        Verdict::Failed => Err(Code::PreconditionFailed.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_over_several_pieces() {
        let pieces = [(1, 10), (2, 0), (3, 5), (4, 20)].map(|(id, size)| Piece { blob: BlobId(id), size });
        let found: Vec<_> = extents(&pieces, ByteRange { first: 8, last: 16 })
            .into_iter()
            .map(|(blob, range)| (blob.0, range.first, range.last))
            .collect();
        assert_eq!(found, [(1, 8, 9), (3, 0, 4), (4, 0, 1)]);
        assert_eq!(extents(&pieces, ByteRange { first: 34, last: 34 })[0].1, ByteRange { first: 19, last: 19 });
    }
}
