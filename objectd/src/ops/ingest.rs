//! Receiving a body: through bounded buffers to disk, hashed on the way, checked at its end.

use super::{MAX_PUT_BYTES, Store};
use crate::{
    blob::{BlobId, BlobWriter, Blobs, Buffer},
    checksum::{Algorithm, Checksum, Kind, Running},
    error::{Code, S3Error},
};
use async_trait::async_trait;
use bytes::Bytes;
use md5::{Digest, Md5};
use sha2::Sha256;
use std::{sync::Arc, time::Duration};

/// Bodies up to this size live in the metadata: one synced write for both, and no file for each.
const INLINE_BYTES: usize = 16 * 1024;
/// A client that sends nothing for this long gives its buffer back, so that slow ones cannot take the pool.
const STALL: Duration = Duration::from_secs(1);
/// How long a request waits for a buffer before the client is told to come back.
const BUFFER_WAIT: Duration = Duration::from_secs(10);

/// Where a body comes from.
#[async_trait]
pub trait Source: Send {
    /// The next bytes, never empty; `None` at the end. May be cancelled and called again.
    async fn next(&mut self) -> Result<Option<Bytes>, S3Error>;

    /// After the end: the trailing headers.
    fn trailers(&mut self) -> Result<Vec<(String, String)>, S3Error>;
}

/// What the client says of the body.
#[derive(Clone, Debug, Default)]
pub struct Expectations {
    pub size: Option<u64>,
    pub md5: Option<[u8; 16]>,
    pub sha256: Option<[u8; 32]>,
    /// The checksum the client gives, in a header or in a trailer.
    pub algorithm: Option<Algorithm>,
    pub checksum: Option<String>,
    /// The checksum to store, if it must be another than the client's.
    pub stored: Option<Algorithm>,
}

/// A blob that nothing refers to yet: removed unless [`Unclaimed::keep`] is called.
pub(super) struct Unclaimed {
    id: BlobId,
    blobs: Option<Arc<dyn Blobs>>,
}

impl Unclaimed {
    pub(super) fn id(&self) -> BlobId {
        self.id
    }

    /// The metadata refers to it now.
    pub(super) fn keep(mut self) {
        self.blobs = None;
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(blobs) = self.blobs.take() {
            blobs.remove(vec![self.id]);
        }
    }
}

pub(super) enum Place {
    Inline(Bytes),
    Blob(Unclaimed),
}

/// A body received whole, durable if it is a blob.
pub(super) struct Ingested {
    pub(super) size: u64,
    /// MD5 in hex.
    pub(super) etag: String,
    pub(super) checksum: Checksum,
    pub(super) place: Place,
}

struct Hashes {
    md5: Md5,
    sha256: Option<Sha256>,
    /// Of the algorithm to store.
    checksum: Running,
    /// Of the client's, if that is another.
    checked: Option<Running>,
}

impl Hashes {
    fn update(&mut self, data: &[u8]) {
        self.md5.update(data);
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(data);
        }
        self.checksum.update(data);
        if let Some(checked) = &mut self.checked {
            checked.update(data);
        }
    }
}

/// One body on its way in.
struct Ingest<'s> {
    store: &'s Store,
    hashes: Hashes,
    size: u64,
    buffer: Option<Buffer>,
    writer: Option<Box<dyn BlobWriter>>,
}

impl Ingest<'_> {
    async fn take(&mut self, mut data: Bytes) -> Result<(), S3Error> {
        self.size += data.len() as u64;
        if self.size > MAX_PUT_BYTES {
            return Err(too_large(self.size));
        }
        while !data.is_empty() {
            if self.buffer.is_none() {
                let waited = tokio::time::timeout(BUFFER_WAIT, self.store.upload_buffers.get()).await;
                self.buffer = Some(waited.ok().flatten().ok_or(Code::SlowDown)?);
            }
            let Some(buffer) = &mut self.buffer else { continue };
            buffer.fill(&mut data);
            if buffer.room() == 0 {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Hands the buffer, if any, to the disk.
    async fn flush(&mut self) -> Result<(), S3Error> {
        let Some(buffer) = self.buffer.take() else { return Ok(()) };
        self.hashes.update(buffer.as_ref());
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.store.blobs.create().await?),
        };
        Ok(writer.append(buffer).await?)
    }

    async fn receive(&mut self, source: &mut dyn Source) -> Result<(), S3Error> {
        loop {
            let next = match tokio::time::timeout(STALL, source.next()).await {
                Ok(next) => next?,
                Err(_) => {
                    self.flush().await?;
                    source.next().await?
                }
            };
            match next {
                Some(data) => self.take(data).await?,
                None => return Ok(()),
            }
        }
    }
}

pub(super) fn too_large(size: u64) -> S3Error {
    S3Error::from(Code::EntityTooLarge)
        .with("ProposedSize", size.to_string())
        .with("MaxSizeAllowed", MAX_PUT_BYTES.to_string())
}

impl Store {
    /// Receives `source` whole and checks it. `may_inline`: small bodies are kept in memory for the metadata.
    pub(super) async fn ingest(
        &self,
        source: &mut dyn Source,
        expect: &Expectations,
        may_inline: bool,
    ) -> Result<Ingested, S3Error> {
        if let Some(size) = expect.size.filter(|size| *size > MAX_PUT_BYTES) {
            return Err(too_large(size));
        }
        let stored = expect.stored.or(expect.algorithm).unwrap_or(Algorithm::Crc64Nvme);
        let hashes = Hashes {
            md5: Md5::new(),
            sha256: expect.sha256.map(|_| Sha256::new()),
            checksum: Running::new(stored),
            checked: expect.algorithm.filter(|algorithm| *algorithm != stored).map(Running::new),
        };
        let mut ingest = Ingest { store: self, hashes, size: 0, buffer: None, writer: None };
        ingest.receive(source).await?;
        if expect.size.is_some_and(|size| size != ingest.size) {
            return Err(Code::IncompleteBody.into());
        }
        let inline = match (&ingest.writer, &mut ingest.buffer) {
            (None, buffer) if may_inline && buffer.as_ref().is_none_or(|buffer| buffer.len() <= INLINE_BYTES) => {
                Some(buffer.take().map(|buffer| Bytes::copy_from_slice(buffer.as_ref())).unwrap_or_default())
            }
            _ => None,
        };
        if let Some(data) = &inline {
            ingest.hashes.update(data);
        }
        ingest.flush().await?;
        let Ingest { hashes, size, writer, .. } = ingest;
        let (etag, checksum) = check(hashes, expect, &source.trailers()?)?;
        let place = match (inline, writer) {
            (Some(data), _) => {
                self.blobs.check_room().await?;
                Place::Inline(data)
            }
            (None, writer) => {
                let writer = match writer {
                    Some(writer) => writer,
                    None => self.blobs.create().await?,
                };
                let id = writer.commit().await?;
                Place::Blob(Unclaimed { id, blobs: Some(self.blobs.clone()) })
            }
        };
        Ok(Ingested { size, etag, checksum, place })
    }
}

/// Compares every digest the client gave; returns the ETag and the checksum to store.
fn check(hashes: Hashes, expect: &Expectations, trailers: &[(String, String)]) -> Result<(String, Checksum), S3Error> {
    let md5: [u8; 16] = hashes.md5.finalize().into();
    if expect.md5.is_some_and(|expected| expected != md5) {
        return Err(S3Error::saying(Code::BadDigest, "The Content-MD5 you specified did not match what we received."));
    }
    let sha256: Option<[u8; 32]> = hashes.sha256.map(|sha256| sha256.finalize().into());
    if expect.sha256 != sha256 {
        return Err(Code::XAmzContentSHA256Mismatch.into());
    }
    let stored = hashes.checksum.algorithm;
    let value = hashes.checksum.finish();
    let (algorithm, computed) = match hashes.checked {
        Some(checked) => (checked.algorithm, checked.finish()),
        None => (stored, value.clone()),
    };
    let trailing = trailers.iter().filter(|(name, _)| name == algorithm.header()).map(|(_, value)| value);
    if expect.checksum.iter().chain(trailing).any(|expected| *expected != computed) {
        let message = format!("The {} you specified did not match the calculated checksum.", algorithm.name());
        return Err(S3Error::saying(Code::BadDigest, message));
    }
    Ok((hex::encode(md5), Checksum { algorithm: stored, kind: Kind::FullObject, value }))
}
