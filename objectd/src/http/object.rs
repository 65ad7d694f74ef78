//! Operations on objects.

use super::{
    body::BodySource,
    request::{Request, http_date, iso_date, precondition, read_condition, stored_headers},
    respond::{self, Answer},
};
use crate::{
    checksum::{Algorithm, Checksum, Kind},
    error::{Code, S3Error},
    meta::Object,
    ops::{
        ByteRange, CopySource, Expectations, MAX_PART_NUMBER, MetadataDirective, PutRequest, Read, Store, check_key,
        is_not_modified, parse_range,
    },
    xml::Xml,
};
use http::{Method, StatusCode, header};

/// Query parameters of a GET that override headers of its answer.
const OVERRIDES: [(&str, header::HeaderName); 6] = [
    ("response-cache-control", header::CACHE_CONTROL),
    ("response-content-disposition", header::CONTENT_DISPOSITION),
    ("response-content-encoding", header::CONTENT_ENCODING),
    ("response-content-language", header::CONTENT_LANGUAGE),
    ("response-content-type", header::CONTENT_TYPE),
    ("response-expires", header::EXPIRES),
];

pub(super) fn set_checksum(answer: &mut Answer, checksum: &Checksum) {
    respond::set(answer, checksum.algorithm.header(), &checksum.value);
    respond::set(answer, "x-amz-checksum-type", checksum.kind.name());
}

pub(super) fn write_checksum(document: &mut Xml, checksum: &Checksum, with_type: bool) {
    document.text(checksum.algorithm.element(), &checksum.value);
    if with_type {
        document.text("ChecksumType", checksum.kind.name());
    }
}

pub(super) async fn put(
    store: &Store,
    request: &Request,
    mut source: BodySource,
    expect: Expectations,
) -> Result<Answer, S3Error> {
    let put = PutRequest {
        headers: stored_headers(&request.parts.headers)?,
        condition: precondition(&request.parts.headers)?,
        expect,
    };
    let object = store.put_object(request.bucket(), request.key(), put, &mut source).await?;
    let mut answer = respond::empty(StatusCode::OK);
    respond::set(&mut answer, header::ETAG, format!("\"{}\"", object.etag));
    if let Some(checksum) = &object.checksum {
        set_checksum(&mut answer, checksum);
    }
    Ok(answer)
}

/// What part of the object is asked for: `Range` or `partNumber`.
fn asked_range(request: &Request, read: &Read) -> Result<Option<ByteRange>, S3Error> {
    let unsatisfiable = |asked: &str| {
        S3Error::from(Code::InvalidRange)
            .with("RangeRequested", asked)
            .with("ActualObjectSize", read.object.size.to_string())
    };
    let part = request.number("partNumber", 1, MAX_PART_NUMBER.into())?;
    match (request.header("range"), part) {
        (Some(_), Some(_)) => Err(S3Error::saying(
            Code::InvalidRequest,
            "Cannot specify both Range header and partNumber query parameter",
        )),
        (Some(header), None) => parse_range(header, read.object.size).map_err(|()| unsatisfiable(header)),
        (None, Some(number)) => {
            let range = u16::try_from(number).ok().and_then(|number| read.part_range(number));
            // The one part of an empty object is empty, and no range.
            let whole = number == 1 && read.object.size == 0;
            range.map(Some).or(whole.then_some(None)).ok_or_else(|| Code::InvalidPartNumber.into())
        }
        (None, None) => Ok(None),
    }
}

fn set_object_headers(answer: &mut Answer, request: &Request, object: &Object, is_whole: bool) {
    respond::set(answer, header::ETAG, format!("\"{}\"", object.etag));
    respond::set(answer, header::LAST_MODIFIED, http_date(object.modified_ms));
    respond::set(answer, header::ACCEPT_RANGES, "bytes");
    respond::set(answer, header::CONTENT_TYPE, "binary/octet-stream");
    for (name, value) in &object.headers.standard {
        respond::set(answer, name.as_str(), value);
    }
    for (name, value) in &object.headers.user {
        respond::set(answer, format!("x-amz-meta-{name}"), value);
    }
    for (parameter, name) in OVERRIDES {
        if let Some(value) = request.text(parameter) {
            respond::set(answer, name, value);
        }
    }
    let wants_checksum = request.header("x-amz-checksum-mode").is_some_and(|mode| mode.eq_ignore_ascii_case("ENABLED"));
    if let Some(checksum) = object.checksum.as_ref().filter(|_| wants_checksum && is_whole) {
        set_checksum(answer, checksum);
    }
}

/// GetObject and HeadObject, which differ in the body alone.
pub(super) async fn read(store: &Store, request: &Request) -> Result<Answer, S3Error> {
    let read = store.open_object(request.bucket(), request.key()).await?;
    let condition = read_condition(&request.parts.headers, "");
    if is_not_modified(&condition, &read.object)? {
        let mut answer = respond::empty(StatusCode::NOT_MODIFIED);
        respond::set(&mut answer, header::ETAG, format!("\"{}\"", read.object.etag));
        respond::set(&mut answer, header::LAST_MODIFIED, http_date(read.object.modified_ms));
        return Ok(answer);
    }
    let range = asked_range(request, &read)?;
    let object = read.object.clone();
    let part_count = read.part_count().filter(|_| request.has("partNumber"));
    let status = if range.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    let mut answer = if request.method() == Method::HEAD {
        respond::empty(status)
    } else {
        respond::content(status, store.content(read, range))
    };
    set_object_headers(&mut answer, request, &object, range.is_none_or(|range| range.length() == object.size));
    let length = range.map_or(object.size, ByteRange::length);
    respond::set(&mut answer, header::CONTENT_LENGTH, length.to_string());
    if let Some(range) = range {
        respond::set(
            &mut answer,
            header::CONTENT_RANGE,
            format!("bytes {}-{}/{}", range.first, range.last, object.size),
        );
    }
    if let Some(count) = part_count {
        respond::set(&mut answer, "x-amz-mp-parts-count", count.to_string());
    }
    Ok(answer)
}

pub(super) async fn delete(store: &Store, request: &Request) -> Result<Answer, S3Error> {
    store.delete_objects(request.bucket(), vec![request.key().to_owned()]).await?;
    Ok(respond::empty(StatusCode::NO_CONTENT))
}

/// Reads `x-amz-copy-source` and its companions, and checks that the caller may read it.
pub(super) async fn copy_source(store: &Store, request: &Request) -> Result<CopySource, S3Error> {
    let text = request.header("x-amz-copy-source").unwrap_or_default();
    let wrong = || {
        S3Error::argument(
            "x-amz-copy-source",
            text,
            "Copy Source must mention the source bucket and key: sourcebucket/sourcekey",
        )
    };
    let (path, version) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    if version.is_some_and(|version| version != "versionId=null") {
        return Err(S3Error::saying(Code::NotImplemented, "Versions of objects are not implemented"));
    }
    let path = String::from_utf8(hive_auth::canonical::decode(path, false)).map_err(|_| wrong())?;
    let (bucket, key) = path.strip_prefix('/').unwrap_or(&path).split_once('/').ok_or_else(wrong)?;
    if bucket.is_empty() || key.is_empty() {
        return Err(wrong());
    }
    check_key(key)?;
    store.authorise(&request.caller, bucket).await?;
    let range = match request.header("x-amz-copy-source-range") {
        None => None,
        Some(text) => Some(parse_copy_range(text).ok_or_else(|| {
            S3Error::argument(
                "x-amz-copy-source-range",
                text,
                "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the \
                 zero-based offsets of the first and last bytes to copy",
            )
        })?),
    };
    Ok(CopySource {
        bucket: bucket.to_owned(),
        key: key.to_owned(),
        condition: read_condition(&request.parts.headers, "x-amz-copy-source-"),
        range,
    })
}

/// `bytes=first-last`, both given.
fn parse_copy_range(text: &str) -> Option<ByteRange> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let range = ByteRange { first: first.parse().ok()?, last: last.parse().ok()? };
    (range.first <= range.last && range.last < u64::MAX).then_some(range)
}

pub(super) fn asked_algorithm(request: &Request) -> Result<Option<Algorithm>, S3Error> {
    let Some(text) = request.header("x-amz-checksum-algorithm") else { return Ok(None) };
    let wrong = || {
        S3Error::saying(
            Code::InvalidRequest,
            "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]",
        )
    };
    Algorithm::parse(text).ok_or_else(wrong).map(Some)
}

pub(super) fn asked_kind(request: &Request) -> Result<Option<Kind>, S3Error> {
    let Some(text) = request.header("x-amz-checksum-type") else { return Ok(None) };
    let wrong = || S3Error::argument("x-amz-checksum-type", text, "Value for x-amz-checksum-type header is invalid.");
    Kind::parse(text).ok_or_else(wrong).map(Some)
}

pub(super) async fn copy(store: &Store, request: &Request) -> Result<Answer, S3Error> {
    let source = copy_source(store, request).await?;
    let directive = match request.header("x-amz-metadata-directive") {
        None | Some("COPY") => MetadataDirective::Copy,
        Some("REPLACE") => MetadataDirective::Replace(stored_headers(&request.parts.headers)?),
        Some(other) => {
            return Err(S3Error::argument("x-amz-metadata-directive", other, "Unknown metadata directive."));
        }
    };
    if let Some(other) = request.header("x-amz-tagging-directive").filter(|text| !matches!(*text, "COPY" | "REPLACE")) {
        return Err(S3Error::argument("x-amz-tagging-directive", other, "Unknown tagging directive."));
    }
    let same = source.bucket == request.bucket() && source.key == request.key();
    if same && matches!(directive, MetadataDirective::Copy) {
        return Err(S3Error::saying(
            Code::InvalidRequest,
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's \
             metadata, storage class, website redirect location or encryption attributes.",
        ));
    }
    let condition = precondition(&request.parts.headers)?;
    let algorithm = asked_algorithm(request)?;
    let object = store.copy_object(&source, request.bucket(), request.key(), directive, algorithm, condition).await?;
    let mut document = Xml::document("CopyObjectResult");
    document.text("LastModified", iso_date(object.modified_ms)).text("ETag", format!("\"{}\"", object.etag));
    if let Some(checksum) = &object.checksum {
        write_checksum(&mut document, checksum, true);
    }
    Ok(respond::xml(document))
}
