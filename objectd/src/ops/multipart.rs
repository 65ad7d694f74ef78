//! Multipart uploads.

use super::{
    Expectations, Source, Store,
    ingest::{Ingested, Place},
    now_ms,
};
use crate::{
    blob::BlobId,
    checksum::{Algorithm, Kind},
    error::{Code, S3Error},
    meta::{Completion, Headers, NamedPart, Object, Part, Piece, Precondition, Upload},
};

/// CreateMultipartUpload.
#[derive(Clone, Debug)]
pub struct NewUpload {
    pub headers: Headers,
    pub algorithm: Option<Algorithm>,
    pub kind: Option<Kind>,
}

fn no_such_upload(id: BlobId) -> S3Error {
    S3Error::from(Code::NoSuchUpload).with("UploadId", id.to_string())
}

impl Store {
    /// CreateMultipartUpload.
    ///
    /// # Errors
    /// [`Code::InvalidRequest`] if the algorithm has no checksum of that kind.
    pub async fn create_upload(&self, bucket: &str, key: &str, new: NewUpload) -> Result<(BlobId, Upload), S3Error> {
        let algorithm = new.algorithm.unwrap_or(Algorithm::Crc64Nvme);
        let kind = new.kind.unwrap_or_else(|| algorithm.default_kind());
        if !algorithm.allows(kind) {
            let message = format!(
                "The {} checksum type cannot be used with the {} checksum algorithm.",
                kind.name(),
                algorithm.name()
            );
            return Err(S3Error::saying(Code::InvalidRequest, message));
        }
        let upload =
            Upload { created_ms: now_ms(), headers: new.headers, algorithm, kind, chosen: new.algorithm.is_some() };
        Ok((self.meta.create_upload(bucket, key, upload.clone()).await?, upload))
    }

    /// The upload, or [`Code::NoSuchUpload`].
    ///
    /// # Errors
    /// [`Code::NoSuchUpload`].
    pub async fn upload(&self, bucket: &str, key: &str, id: BlobId) -> Result<Upload, S3Error> {
        self.meta.upload(bucket, key, id).await?.ok_or_else(|| no_such_upload(id))
    }

    /// UploadPart: a part of that number is replaced.
    ///
    /// # Errors
    /// [`Code::NoSuchUpload`]; [`Code::InvalidRequest`] if the checksum is not of the upload's algorithm; as
    /// [`Store::put_object`].
    pub async fn upload_part(
        &self,
        bucket: &str,
        key: &str,
        id: BlobId,
        number: u16,
        mut expect: Expectations,
        source: &mut dyn Source,
    ) -> Result<Part, S3Error> {
        let upload = self.upload(bucket, key, id).await?;
        match expect.algorithm {
            Some(given) if given != upload.algorithm && upload.chosen => {
                let message = format!(
                    "Checksum Type mismatch occurred, expected checksum Type: {}, actual checksum Type: {}",
                    upload.algorithm.name().to_ascii_lowercase(),
                    given.name().to_ascii_lowercase()
                );
                return Err(S3Error::saying(Code::InvalidRequest, message));
            }
            _ => expect.stored = Some(upload.algorithm),
        }
        let ingested = self.ingest(source, &expect, false).await?;
        self.commit_part(bucket, key, id, number, ingested).await
    }

    async fn commit_part(
        &self,
        bucket: &str,
        key: &str,
        id: BlobId,
        number: u16,
        ingested: Ingested,
    ) -> Result<Part, S3Error> {
        let Place::Blob(blob) = ingested.place else { return Err(Code::InternalError.into()) };
        let part = Part {
            number,
            etag: ingested.etag,
            piece: Piece { blob: blob.id(), size: ingested.size },
            modified_ms: now_ms(),
            checksum: ingested.checksum,
        };
        let freed = self.meta.put_part(bucket, key, id, part.clone()).await?;
        blob.keep();
        self.blobs.remove(freed);
        Ok(part)
    }

    /// CompleteMultipartUpload: only the manifest is written.
    ///
    /// # Errors
    /// [`Code::NoSuchUpload`], [`Code::InvalidPartOrder`], [`Code::InvalidPart`], [`Code::EntityTooSmall`],
    /// [`Code::PreconditionFailed`], [`Code::BadDigest`].
    pub async fn complete_upload(
        &self,
        bucket: &str,
        key: &str,
        id: BlobId,
        parts: Vec<NamedPart>,
        condition: Precondition,
        expected: Option<(Algorithm, String)>,
    ) -> Result<Object, S3Error> {
        if parts.is_empty() {
            return Err(S3Error::saying(Code::MalformedXML, "You must specify at least one part"));
        }
        if !parts.is_sorted_by(|a, b| a.number < b.number) {
            return Err(Code::InvalidPartOrder.into());
        }
        let completion = Completion { parts, condition, expected, now_ms: now_ms() };
        let (object, freed) = self.meta.complete(bucket, key, id, completion).await?;
        self.blobs.remove(freed);
        Ok(object)
    }

    /// AbortMultipartUpload.
    ///
    /// # Errors
    /// [`Code::NoSuchUpload`].
    pub async fn abort_upload(&self, bucket: &str, key: &str, id: BlobId) -> Result<(), S3Error> {
        self.blobs.remove(self.meta.abort(bucket, key, id).await?);
        Ok(())
    }
}
