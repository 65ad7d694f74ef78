//! Copies: the source's bytes streamed into a new blob, never through the client.

use super::{ByteRange, Content, Expectations, ReadCondition, Source, Store, object::is_not_modified};
use crate::{
    blob::BlobId,
    checksum::Algorithm,
    error::{Code, S3Error},
    meta::{Headers, Object, Part, Precondition},
};
use async_trait::async_trait;
use bytes::Bytes;

/// `x-amz-copy-source` with its conditions and range.
#[derive(Clone, Debug)]
pub struct CopySource {
    pub bucket: String,
    pub key: String,
    pub condition: ReadCondition,
    /// `x-amz-copy-source-range`; UploadPartCopy only.
    pub range: Option<ByteRange>,
}

/// `x-amz-metadata-directive`
#[derive(Clone, Debug)]
pub enum MetadataDirective {
    Copy,
    Replace(Headers),
}

/// What a copy made.
pub type Copied = Object;

#[async_trait]
impl Source for Content {
    async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        Self::next(self).await
    }

    fn trailers(&mut self) -> Result<Vec<(String, String)>, S3Error> {
        Ok(Vec::new())
    }
}

impl Store {
    async fn open_source(&self, source: &CopySource) -> Result<(Object, Content, u64), S3Error> {
        let read = self.open_object(&source.bucket, &source.key).await?;
        if is_not_modified(&source.condition, &read.object)? {
            return Err(Code::PreconditionFailed.into());
        }
        if source.range.is_some_and(|range| range.last >= read.object.size) {
            return Err(S3Error::argument(
                "x-amz-copy-source-range",
                "",
                format!("Range specified is not valid for source object of size: {}", read.object.size),
            ));
        }
        let object = read.object.clone();
        let size = source.range.map_or(object.size, ByteRange::length);
        Ok((object, self.content(read, source.range), size))
    }

    /// CopyObject.
    ///
    /// # Errors
    /// [`Code::NoSuchKey`], [`Code::PreconditionFailed`], [`Code::InvalidRequest`] for a source above 5 GiB.
    pub async fn copy_object(
        &self,
        source: &CopySource,
        bucket: &str,
        key: &str,
        directive: MetadataDirective,
        algorithm: Option<Algorithm>,
        condition: Precondition,
    ) -> Result<Copied, S3Error> {
        let (object, mut content, size) = self.open_source(source).await?;
        if size > super::MAX_PUT_BYTES {
            let message =
                "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120";
            return Err(S3Error::saying(Code::InvalidRequest, message));
        }
        let algorithm = algorithm.or(object.checksum.as_ref().map(|checksum| checksum.algorithm));
        let expect = Expectations { size: Some(size), algorithm, ..Default::default() };
        let ingested = self.ingest(&mut content, &expect, true).await?;
        let headers = match directive {
            MetadataDirective::Copy => object.headers,
            MetadataDirective::Replace(headers) => headers,
        };
        self.commit_object(bucket, key, ingested, headers, condition).await
    }

    /// UploadPartCopy.
    ///
    /// # Errors
    /// As [`Store::upload_part`] and [`Store::copy_object`].
    pub async fn upload_part_copy(
        &self,
        source: &CopySource,
        bucket: &str,
        key: &str,
        upload: BlobId,
        number: u16,
    ) -> Result<Part, S3Error> {
        let (_, mut content, size) = self.open_source(source).await?;
        let expect = Expectations { size: Some(size), ..Default::default() };
        self.upload_part(bucket, key, upload, number, expect, &mut content).await
    }
}
