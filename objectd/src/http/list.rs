//! ListObjects, ListObjectsV2, ListMultipartUploads.

use super::{
    request::{Request, iso_date},
    respond::{self, Answer, KeyEncoding},
};
use crate::{
    blob::BlobId,
    error::{Code, S3Error},
    meta::{Cursor, Entry, ListQuery, Listing, UploadEntry, UploadQuery},
    ops::{MAX_KEY_BYTES, Store},
    xml::Xml,
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};

/// Entries of one page, whatever is asked for.
const MAX_KEYS: u64 = 1000;

fn limit(request: &Request, name: &str) -> Result<usize, S3Error> {
    let asked = request.number(name, 0, u64::from(u32::MAX >> 1))?.unwrap_or(MAX_KEYS);
    Ok(usize::try_from(asked.min(MAX_KEYS)).unwrap_or_default())
}

fn bounded<'r>(request: &'r Request, name: &str) -> Result<&'r str, S3Error> {
    let text = request.text(name).unwrap_or_default();
    if text.len() > MAX_KEY_BYTES {
        return Err(S3Error::from(Code::KeyTooLongError).with("Size", text.len().to_string()));
    }
    Ok(text)
}

/// The opaque token of a page's end.
fn token(cursor: &Cursor) -> Option<String> {
    let (kind, name) = match cursor {
        Cursor::Start => return None,
        Cursor::Key(key) => ('k', key),
        Cursor::Prefix(prefix) => ('p', prefix),
    };
    Some(BASE64_URL_SAFE_NO_PAD.encode(format!("{kind}{name}")))
}

fn parse_token(token: &str) -> Option<Cursor> {
    let text = String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    if text.len() > MAX_KEY_BYTES + 1 {
        return None;
    }
    match text.split_at_checked(1)? {
        ("k", key) => Some(Cursor::Key(key.to_owned())),
        ("p", prefix) if !prefix.is_empty() => Some(Cursor::Prefix(prefix.to_owned())),
        _ => None,
    }
}

async fn page(store: &Store, request: &Request, query: ListQuery) -> Result<Listing, S3Error> {
    if query.limit == 0 {
        return Ok(Listing { entries: Vec::new(), truncated: false });
    }
    Ok(store.meta.list(request.bucket(), query).await?)
}

fn write_entries(document: &mut Xml, request: &Request, listing: &Listing, encoding: &KeyEncoding, with_owner: bool) {
    for entry in &listing.entries {
        let Entry::Object(key, object) = entry else { continue };
        document.open("Contents").text("Key", encoding.encode(key));
        document.text("LastModified", iso_date(object.modified_ms)).text("ETag", format!("\"{}\"", object.etag));
        if let Some(checksum) = &object.checksum {
            document.text("ChecksumAlgorithm", checksum.algorithm.name()).text("ChecksumType", checksum.kind.name());
        }
        document.text("Size", object.size.to_string());
        if with_owner {
            let owner = request.caller.as_str();
            document.open("Owner").text("ID", owner).text("DisplayName", owner).close();
        }
        document.text("StorageClass", "STANDARD").close();
    }
    for entry in &listing.entries {
        if let Entry::CommonPrefix(prefix) = entry {
            document.open("CommonPrefixes").text("Prefix", encoding.encode(prefix)).close();
        }
    }
}

pub(super) async fn objects_v2(store: &Store, request: &Request) -> Result<Answer, S3Error> {
    let (prefix, delimiter) = (bounded(request, "prefix")?, bounded(request, "delimiter")?);
    let start_after = bounded(request, "start-after")?;
    let continuation = request.text("continuation-token");
    let after = match continuation {
        Some(token) => parse_token(token).ok_or_else(|| {
            S3Error::argument("continuation-token", token, "The continuation token provided is incorrect")
        })?,
        None if start_after.is_empty() => Cursor::Start,
        None => Cursor::Key(start_after.to_owned()),
    };
    let limit = limit(request, "max-keys")?;
    let encoding = KeyEncoding::of(request)?;
    let query = ListQuery { prefix: prefix.to_owned(), delimiter: delimiter.to_owned(), after, limit };
    let listing = page(store, request, query).await?;

    let mut document = Xml::document("ListBucketResult");
    document.text("Name", request.bucket()).text("Prefix", encoding.encode(prefix));
    document.maybe("Delimiter", request.text("delimiter").map(|text| encoding.encode(text)));
    document.maybe("StartAfter", request.text("start-after").map(|text| encoding.encode(text)));
    document.maybe("ContinuationToken", continuation).maybe("EncodingType", encoding.name());
    document.text("MaxKeys", limit.to_string()).text("KeyCount", listing.entries.len().to_string());
    document.text("IsTruncated", listing.truncated.to_string());
    if listing.truncated {
        document.maybe("NextContinuationToken", listing.entries.last().and_then(|last| token(&last.cursor())));
    }
    let with_owner = request.text("fetch-owner") == Some("true");
    write_entries(&mut document, request, &listing, &encoding, with_owner);
    Ok(respond::xml(document))
}

pub(super) async fn objects_v1(store: &Store, request: &Request) -> Result<Answer, S3Error> {
    let (prefix, delimiter) = (bounded(request, "prefix")?, bounded(request, "delimiter")?);
    let marker = bounded(request, "marker")?;
    let after = Cursor::behind(marker, prefix, delimiter);
    let limit = limit(request, "max-keys")?;
    let encoding = KeyEncoding::of(request)?;
    let query = ListQuery { prefix: prefix.to_owned(), delimiter: delimiter.to_owned(), after, limit };
    let listing = page(store, request, query).await?;

    let mut document = Xml::document("ListBucketResult");
    document.text("Name", request.bucket()).text("Prefix", encoding.encode(prefix));
    document.text("Marker", encoding.encode(marker));
    document.maybe("Delimiter", request.text("delimiter").map(|text| encoding.encode(text)));
    document.maybe("EncodingType", encoding.name()).text("MaxKeys", limit.to_string());
    document.text("IsTruncated", listing.truncated.to_string());
    if listing.truncated && !delimiter.is_empty() {
        document.maybe("NextMarker", listing.entries.last().map(|last| encoding.encode(last.name())));
    }
    write_entries(&mut document, request, &listing, &encoding, true);
    Ok(respond::xml(document))
}

pub(super) async fn uploads(store: &Store, request: &Request) -> Result<Answer, S3Error> {
    let (prefix, delimiter) = (bounded(request, "prefix")?, bounded(request, "delimiter")?);
    let key_marker = bounded(request, "key-marker")?;
    let upload_marker = request.text("upload-id-marker").filter(|_| !key_marker.is_empty());
    let after_upload = match upload_marker {
        Some(text) => Some(
            BlobId::parse(text)
                .ok_or_else(|| S3Error::argument("upload-id-marker", text, "Invalid uploadId marker"))?,
        ),
        None => None,
    };
    let after = Cursor::behind(key_marker, prefix, delimiter);
    let limit = limit(request, "max-uploads")?.max(1);
    let encoding = KeyEncoding::of(request)?;
    let query = UploadQuery { prefix: prefix.to_owned(), delimiter: delimiter.to_owned(), after, after_upload, limit };
    let listing = store.meta.uploads(request.bucket(), query).await?;

    let mut document = Xml::document("ListMultipartUploadsResult");
    document.text("Bucket", request.bucket()).text("KeyMarker", encoding.encode(key_marker));
    document.text("UploadIdMarker", upload_marker.unwrap_or_default());
    document.text("Prefix", encoding.encode(prefix));
    document.maybe("Delimiter", request.text("delimiter").map(|text| encoding.encode(text)));
    document.maybe("EncodingType", encoding.name()).text("MaxUploads", limit.to_string());
    document.text("IsTruncated", listing.truncated.to_string());
    if listing.truncated {
        match listing.entries.last() {
            Some(UploadEntry::Upload(key, id, _)) => {
                document.text("NextKeyMarker", encoding.encode(key)).text("NextUploadIdMarker", id.to_string());
            }
            Some(UploadEntry::CommonPrefix(prefix)) => {
                document.text("NextKeyMarker", encoding.encode(prefix));
            }
            None => {}
        }
    }
    for entry in &listing.entries {
        match entry {
            UploadEntry::Upload(key, id, upload) => {
                document.open("Upload").text("Key", encoding.encode(key)).text("UploadId", id.to_string());
                for role in ["Initiator", "Owner"] {
                    let owner = request.caller.as_str();
                    document.open(role).text("ID", owner).text("DisplayName", owner).close();
                }
                document.text("StorageClass", "STANDARD").text("Initiated", iso_date(upload.created_ms));
                document.text("ChecksumAlgorithm", upload.algorithm.name()).text("ChecksumType", upload.kind.name());
                document.close();
            }
            UploadEntry::CommonPrefix(prefix) => {
                document.open("CommonPrefixes").text("Prefix", encoding.encode(prefix)).close();
            }
        }
    }
    Ok(respond::xml(document))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_round_trip_and_garbage_is_refused() {
        for cursor in [Cursor::Key("a/\u{e4}".into()), Cursor::Prefix("p/".into())] {
            assert_eq!(parse_token(&token(&cursor).unwrap()), Some(cursor));
        }
        for text in ["", "!", "eA", "cA", &BASE64_URL_SAFE_NO_PAD.encode(vec![b'k'; MAX_KEY_BYTES + 2])] {
            assert_eq!(parse_token(text), None, "{text}");
        }
    }
}
