//! Operations of multipart uploads.

use super::{
    body::BodySource,
    object::{asked_algorithm, asked_kind, copy_source, set_checksum, write_checksum},
    request::{Request, iso_date, precondition, stored_headers},
    respond::{self, Answer, KeyEncoding},
};
use crate::{
    blob::BlobId,
    checksum::Algorithm,
    error::{Code, S3Error},
    meta::NamedPart,
    ops::{Expectations, MAX_PART_NUMBER, NewUpload, Store},
    xml::{self, Element, Xml},
};
use http::{StatusCode, header};

/// Parts of one page of ListParts.
const MAX_PARTS: u64 = 1000;

fn upload_id(request: &Request) -> Result<BlobId, S3Error> {
    let text = request.parameter("uploadId").unwrap_or_default();
    BlobId::parse(text).ok_or_else(|| S3Error::from(Code::NoSuchUpload).with("UploadId", text))
}

fn part_number(request: &Request) -> Result<u16, S3Error> {
    let wrong = |text: &str| {
        let message = format!("Part number must be an integer between 1 and {MAX_PART_NUMBER}, inclusive");
        S3Error::argument("partNumber", text, message)
    };
    let text = request.parameter("partNumber").unwrap_or_default();
    text.parse().ok().filter(|number| (1..=MAX_PART_NUMBER).contains(number)).ok_or_else(|| wrong(text))
}

pub(super) async fn create(store: &Store, request: &Request) -> Result<Answer, S3Error> {
    let new = NewUpload {
        headers: stored_headers(&request.parts.headers)?,
        algorithm: asked_algorithm(request)?,
        kind: asked_kind(request)?,
    };
    let (id, upload) = store.create_upload(request.bucket(), request.key(), new).await?;
    let mut document = Xml::document("InitiateMultipartUploadResult");
    document.text("Bucket", request.bucket()).text("Key", request.key()).text("UploadId", id.to_string());
    let mut answer = respond::xml(document);
    if upload.chosen {
        respond::set(&mut answer, "x-amz-checksum-algorithm", upload.algorithm.name());
        respond::set(&mut answer, "x-amz-checksum-type", upload.kind.name());
    }
    Ok(answer)
}

pub(super) async fn upload_part(
    store: &Store,
    request: &Request,
    mut source: BodySource,
    expect: Expectations,
) -> Result<Answer, S3Error> {
    let (id, number) = (upload_id(request)?, part_number(request)?);
    let part = store.upload_part(request.bucket(), request.key(), id, number, expect, &mut source).await?;
    let mut answer = respond::empty(StatusCode::OK);
    respond::set(&mut answer, header::ETAG, format!("\"{}\"", part.etag));
    set_checksum(&mut answer, &part.checksum);
    answer.headers_mut().remove("x-amz-checksum-type");
    Ok(answer)
}

pub(super) async fn upload_part_copy(store: &Store, request: &Request) -> Result<Answer, S3Error> {
    let (id, number) = (upload_id(request)?, part_number(request)?);
    let source = copy_source(store, request).await?;
    let part = store.upload_part_copy(&source, request.bucket(), request.key(), id, number).await?;
    let mut document = Xml::document("CopyPartResult");
    document.text("LastModified", iso_date(part.modified_ms)).text("ETag", format!("\"{}\"", part.etag));
    write_checksum(&mut document, &part.checksum, false);
    Ok(respond::xml(document))
}

fn named_part(element: &Element) -> Result<NamedPart, S3Error> {
    let number = element.child("PartNumber").and_then(|text| text.trim().parse().ok());
    let number = number.filter(|number| (1..=MAX_PART_NUMBER).contains(number)).ok_or(Code::MalformedXML)?;
    let etag = element.child("ETag").ok_or(Code::MalformedXML)?.trim().trim_matches('"').to_owned();
    let checksum = |algorithm: Algorithm| Some((algorithm, element.child(algorithm.element())?.trim().to_owned()));
    Ok(NamedPart { number, etag, checksums: Algorithm::ALL.into_iter().filter_map(checksum).collect() })
}

pub(super) async fn complete(store: &Store, request: &Request, body: &[u8]) -> Result<Answer, S3Error> {
    let id = upload_id(request)?;
    let root = xml::parse(body, "CompleteMultipartUpload")?;
    let parts = root.children.iter().filter(|child| child.name == "Part").map(named_part).collect::<Result<_, _>>()?;
    let expected = Algorithm::ALL
        .into_iter()
        .find_map(|algorithm| Some((algorithm, request.header(algorithm.header())?.to_owned())));
    let condition = precondition(&request.parts.headers)?;
    let object = store.complete_upload(request.bucket(), request.key(), id, parts, condition, expected).await?;
    let mut document = Xml::document("CompleteMultipartUploadResult");
    let host = request.header("host").unwrap_or_default();
    document.text("Location", format!("http://{host}{}", request.parts.uri.path()));
    document.text("Bucket", request.bucket()).text("Key", request.key());
    document.text("ETag", format!("\"{}\"", object.etag));
    if let Some(checksum) = &object.checksum {
        write_checksum(&mut document, checksum, true);
    }
    Ok(respond::xml(document))
}

pub(super) async fn abort(store: &Store, request: &Request) -> Result<Answer, S3Error> {
    store.abort_upload(request.bucket(), request.key(), upload_id(request)?).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn list_parts(store: &Store, request: &Request) -> Result<Answer, S3Error> {
    let id = upload_id(request)?;
    let upload = store.upload(request.bucket(), request.key(), id).await?;
    let limit = request.number("max-parts", 0, u32::MAX.into())?.unwrap_or(MAX_PARTS).min(MAX_PARTS);
    let after = request.number("part-number-marker", 0, u32::MAX.into())?.unwrap_or(0);
    let encoding = KeyEncoding::of(request)?;
    let after = u16::try_from(after).unwrap_or(u16::MAX);
    let (parts, truncated) = store.meta.parts(id, after, usize::try_from(limit).unwrap_or_default()).await?;
    let mut document = Xml::document("ListPartsResult");
    document.text("Bucket", request.bucket()).text("Key", encoding.encode(request.key()));
    document.text("UploadId", id.to_string());
    for role in ["Initiator", "Owner"] {
        let owner = request.caller.as_str();
        document.open(role).text("ID", owner).text("DisplayName", owner).close();
    }
    document.text("StorageClass", "STANDARD").text("PartNumberMarker", after.to_string());
    if let Some(last) = parts.last() {
        document.text("NextPartNumberMarker", last.number.to_string());
    }
    document.text("MaxParts", limit.to_string()).text("IsTruncated", truncated.to_string());
    document.text("ChecksumAlgorithm", upload.algorithm.name()).text("ChecksumType", upload.kind.name());
    for part in &parts {
        document.open("Part").text("PartNumber", part.number.to_string());
        document.text("LastModified", iso_date(part.modified_ms)).text("ETag", format!("\"{}\"", part.etag));
        document.text("Size", part.piece.size.to_string());
        write_checksum(&mut document, &part.checksum, false);
        document.close();
    }
    Ok(respond::xml(document))
}
