//! The request body as a [`Source`], and small bodies read whole.

use super::request::Request;
use crate::{
    checksum::Algorithm,
    error::{Code, S3Error},
    ops::{Expectations, Source},
};
use async_trait::async_trait;
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use hive_auth::{ChunkDecoder, ChunkSigner, Payload};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use sha2::{Digest, Sha256};
use std::time::Duration;

/// The largest XML body: ten thousand parts with checksums.
const MAX_XML_BYTES: usize = 2 * 1024 * 1024;

/// What authentication found out about the body.
#[derive(Debug)]
pub(super) struct Framing {
    pub(super) payload: Payload,
    pub(super) chunks: Option<ChunkSigner>,
}

/// A body as it comes in, out of its framing.
#[derive(Debug)]
pub(super) struct BodySource {
    body: Incoming,
    idle: Duration,
    decoder: Option<ChunkDecoder>,
    /// Received, not yet decoded.
    rest: Bytes,
}

/// The body of an upload with what its headers say of it.
///
/// # Errors
/// [`Code::MissingContentLength`], [`Code::InvalidDigest`], [`Code::InvalidRequest`].
pub(super) fn upload(
    request: &Request,
    body: Incoming,
    framing: Framing,
    idle: Duration,
) -> Result<(BodySource, Expectations), S3Error> {
    let number = |name| -> Result<Option<u64>, S3Error> {
        let parse = |text: &str| text.trim().parse().map_err(|_| S3Error::argument(name, text, "not a length"));
        request.header(name).map(parse).transpose()
    };
    let length_header = if framing.payload.is_chunked() { "x-amz-decoded-content-length" } else { "content-length" };
    // Neither a length nor a transfer coding means no body (RFC 9112 section 6.3).
    let nothing = (!framing.payload.is_chunked() && http_body::Body::is_end_stream(&body)).then_some(0);
    let size = number(length_header)?.or(nothing).ok_or(Code::MissingContentLength)?;
    let announced: Vec<String> = match request.header("x-amz-trailer") {
        Some(names) if framing.payload.has_trailer() => {
            names.split(',').map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()).collect()
        }
        _ => Vec::new(),
    };
    let mut expect = checksum_expectations(request, &announced)?;
    expect.size = Some(size);
    expect.md5 = request.header("content-md5").map(parse_md5).transpose()?;
    expect.sha256 = match framing.payload {
        Payload::Sha256(digest) => Some(digest),
        _ => None,
    };
    let decoder = framing.payload.is_chunked().then(|| ChunkDecoder::new(framing.chunks, announced, size));
    Ok((BodySource { body, idle, decoder, rest: Bytes::new() }, expect))
}

fn parse_md5(text: &str) -> Result<[u8; 16], S3Error> {
    let bytes = BASE64_STANDARD.decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| S3Error::saying(Code::InvalidDigest, "The Content-MD5 you specified is not valid."))
}

fn checksum_expectations(request: &Request, announced: &[String]) -> Result<Expectations, S3Error> {
    let given: Vec<(Algorithm, &str)> = Algorithm::ALL
        .into_iter()
        .filter_map(|algorithm| Some((algorithm, request.header(algorithm.header())?.trim())))
        .collect();
    let trailing: Vec<Algorithm> = announced.iter().filter_map(|name| Algorithm::from_header(name)).collect();
    if given.len() + trailing.len() > 1 {
        return Err(S3Error::saying(Code::InvalidRequest, "Expecting a single x-amz-checksum- header"));
    }
    if let Some((algorithm, value)) = given.first().filter(|(algorithm, value)| !algorithm.is_value(value)) {
        let message = format!("Value for {} header is invalid.", algorithm.header());
        return Err(S3Error::saying(Code::InvalidRequest, message).with("ChecksumValue", *value));
    }
    Ok(Expectations {
        algorithm: given.first().map(|(algorithm, _)| *algorithm).or(trailing.first().copied()),
        checksum: given.first().map(|(_, value)| (*value).to_owned()),
        ..Default::default()
    })
}

impl BodySource {
    async fn receive(&mut self) -> Result<Option<Bytes>, S3Error> {
        loop {
            let frame = tokio::time::timeout(self.idle, self.body.frame()).await;
            match frame.map_err(|_| S3Error::from(Code::RequestTimeout))? {
                None => return Ok(None),
                Some(Err(_)) => return Err(Code::IncompleteBody.into()),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    // Trailers of HTTP itself and empty frames mean nothing here.
                    _ => {}
                },
            }
        }
    }
}

#[async_trait]
impl Source for BodySource {
    async fn next(&mut self) -> Result<Option<Bytes>, S3Error> {
        loop {
            if let Some(decoder) = &mut self.decoder {
                if let Some(data) = decoder.push(&mut self.rest)? {
                    return Ok(Some(data));
                }
                match self.receive().await? {
                    Some(data) => self.rest = data,
                    None => return Ok(None),
                }
            } else {
                return self.receive().await;
            }
        }
    }

    fn trailers(&mut self) -> Result<Vec<(String, String)>, S3Error> {
        Ok(match self.decoder.take() {
            Some(decoder) => decoder.finish()?,
            None => Vec::new(),
        })
    }
}

/// Reads an XML body whole, and checks it against its digests.
///
/// # Errors
/// [`Code::MalformedXML`] above [`MAX_XML_BYTES`]; the errors of [`upload`] and of its digests.
pub(super) async fn small(
    request: &Request,
    body: Incoming,
    framing: Framing,
    idle: Duration,
) -> Result<Bytes, S3Error> {
    let (mut source, expect) = upload(request, body, framing, idle)?;
    let mut whole = BytesMut::new();
    while let Some(data) = source.next().await? {
        if whole.len() + data.len() > MAX_XML_BYTES {
            return Err(Code::MalformedXML.into());
        }
        whole.extend_from_slice(&data);
    }
    let trailers = source.trailers()?;
    if expect.size.is_some_and(|size| size != whole.len() as u64) {
        return Err(Code::IncompleteBody.into());
    }
    if expect.sha256.is_some_and(|expected| expected != <[u8; 32]>::from(Sha256::digest(&whole))) {
        return Err(Code::XAmzContentSHA256Mismatch.into());
    }
    if expect.md5.is_some_and(|expected| expected != <[u8; 16]>::from(md5::Md5::digest(&whole))) {
        return Err(Code::BadDigest.into());
    }
    if let Some(algorithm) = expect.algorithm {
        let mut running = crate::checksum::Running::new(algorithm);
        running.update(&whole);
        let value = running.finish();
        let trailing = trailers.iter().filter(|(name, _)| name == algorithm.header()).map(|(_, value)| value);
        if expect.checksum.iter().chain(trailing).any(|expected| *expected != value) {
            return Err(Code::BadDigest.into());
        }
    }
    Ok(whole.freeze())
}
