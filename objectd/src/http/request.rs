//! A request taken apart: which bucket, which key, which parameters, on whose behalf.

use crate::{
    error::{Code, S3Error},
    meta::{Headers, Precondition},
    ops::{MAX_METADATA_BYTES, ReadCondition},
};
use hive_auth::{AccountId, canonical, stamp};
use http::{HeaderMap, Method, header, request::Parts};
use jiff::Timestamp;
use std::collections::BTreeMap;

/// What a request addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) bucket: Option<String>,
    pub(super) key: Option<String>,
}

impl Target {
    /// Path style, or virtual-host style if the host is `BUCKET.DOMAIN` for one of `domains`.
    pub(super) fn parse(parts: &Parts, domains: &[String]) -> Result<Self, S3Error> {
        let text = |raw: &str| {
            String::from_utf8(canonical::decode(raw, false))
                .map_err(|_| S3Error::argument("Key", "", "The key is not valid UTF-8"))
        };
        let non_empty = |text: String| Some(text).filter(|text| !text.is_empty());
        let path = parts.uri.path().strip_prefix('/').unwrap_or_default();
        if let Some(bucket) = host_bucket(parts, domains) {
            return Ok(Self { bucket: Some(bucket), key: non_empty(text(path)?) });
        }
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        Ok(Self { bucket: non_empty(text(bucket)?), key: non_empty(text(key)?) })
    }
}

fn host_bucket(parts: &Parts, domains: &[String]) -> Option<String> {
    let host = match parts.headers.get(header::HOST) {
        Some(host) => host.to_str().ok()?,
        None => parts.uri.authority()?.as_str(),
    };
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let name = name.map_or(host, |(name, _)| name).to_ascii_lowercase();
    let bucket = |domain: &String| Some(name.strip_suffix(domain.as_str())?.strip_suffix('.')?.to_owned());
    domains.iter().find_map(bucket).filter(|bucket| !bucket.is_empty())
}

/// A request that was authenticated.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) parts: Parts,
    pub(super) target: Target,
    pub(super) caller: AccountId,
    /// Decoded, in their order.
    pub(super) query: Vec<(String, String)>,
}

impl Request {
    pub(super) fn new(parts: Parts, target: Target, caller: AccountId) -> Self {
        let lossy = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let query = canonical::query_pairs(parts.uri.query().unwrap_or_default())
            .map(|(name, value)| (lossy(name), lossy(value)))
            .collect();
        Self { parts, target, caller, query }
    }

    pub(super) fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The bucket; only routes that have one ask.
    pub(super) fn bucket(&self) -> &str {
        self.target.bucket.as_deref().unwrap_or_default()
    }

    pub(super) fn key(&self) -> &str {
        self.target.key.as_deref().unwrap_or_default()
    }

    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.parameter(name).is_some()
    }

    /// A non-empty parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.parameter(name).filter(|value| !value.is_empty())
    }

    /// A whole number within `low..=high`.
    pub(super) fn number(&self, name: &str, low: u64, high: u64) -> Result<Option<u64>, S3Error> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse().ok().filter(|number| (low..=high).contains(number));
        let wrong = || S3Error::argument(name, text, format!("{name} must be an integer between {low} and {high}"));
        number.ok_or_else(wrong).map(Some)
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.parts.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// `If-Match`, `If-None-Match` on a write.
pub(super) fn precondition(headers: &HeaderMap) -> Result<Precondition, S3Error> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let absent = match text(header::IF_NONE_MATCH) {
        None => false,
        Some("*") => true,
        Some(_) => {
            return Err(S3Error::saying(
                Code::NotImplemented,
                "A header you provided implies functionality that is not implemented: If-None-Match other than *",
            )
            .with("Header", "If-None-Match"));
        }
    };
    Ok(Precondition { absent, etag: text(header::IF_MATCH).map(|etag| etag.trim_matches('"').to_owned()) })
}

/// The conditions of a read; `prefix` is `x-amz-copy-source-` for the source of a copy.
pub(super) fn read_condition(headers: &HeaderMap, prefix: &str) -> ReadCondition {
    let text = |name: &str| headers.get(format!("{prefix}{name}")).and_then(|value| value.to_str().ok());
    let owned = |name: &str| text(name).map(str::to_owned);
    let date = |name: &str| text(name).and_then(stamp::parse_http_date);
    ReadCondition {
        if_match: owned("if-match"),
        if_none_match: owned("if-none-match"),
        if_modified_since: date("if-modified-since"),
        if_unmodified_since: date("if-unmodified-since"),
    }
}

/// The headers stored with an object and answered as they came.
const STANDARD: [header::HeaderName; 6] = [
    header::CACHE_CONTROL,
    header::CONTENT_DISPOSITION,
    header::CONTENT_ENCODING,
    header::CONTENT_LANGUAGE,
    header::CONTENT_TYPE,
    header::EXPIRES,
];
const USER_PREFIX: &str = "x-amz-meta-";

/// What the request wants stored with the object.
///
/// # Errors
/// [`Code::MetadataTooLarge`]; [`Code::InvalidArgument`] for a value that is not UTF-8.
pub(super) fn stored_headers(headers: &HeaderMap) -> Result<Headers, S3Error> {
    let text = |name: &str, value: &header::HeaderValue| {
        std::str::from_utf8(value.as_bytes())
            .map(str::to_owned)
            .map_err(|_| S3Error::argument(name, "", "Header value is not valid UTF-8"))
    };
    let mut stored = Headers::default();
    for name in STANDARD {
        let Some(value) = headers.get(&name) else { continue };
        let mut value = text(name.as_str(), value)?;
        if name == header::CONTENT_ENCODING {
            // The framing of the upload is not a property of the object.
            let codings =
                value.split(',').map(str::trim).filter(|coding| *coding != "aws-chunked" && !coding.is_empty());
            value = codings.collect::<Vec<_>>().join(",");
            if value.is_empty() {
                continue;
            }
        }
        stored.standard.insert(name.to_string(), value);
    }
    let mut user: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let Some(short) = name.as_str().strip_prefix(USER_PREFIX) else { continue };
        let value = text(name.as_str(), value)?;
        let joined = user.entry(short.to_owned()).or_default();
        if !joined.is_empty() {
            joined.push(',');
        }
        joined.push_str(&value);
    }
    let size: usize = user.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > MAX_METADATA_BYTES {
        return Err(S3Error::from(Code::MetadataTooLarge)
            .with("Size", size.to_string())
            .with("MaxSizeAllowed", MAX_METADATA_BYTES.to_string()));
    }
    stored.user = user;
    Ok(stored)
}

/// A time as HTTP headers write it.
pub(super) fn http_date(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A time as S3's XML writes it.
pub(super) fn iso_date(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(host: &str, uri: &str) -> Target {
        let parts = http::Request::builder().uri(uri).header("host", host).body(()).unwrap().into_parts().0;
        Target::parse(&parts, &["s3.local".to_owned()]).unwrap()
    }

    #[test]
    fn addressing() {
        let is = |host: &str, uri: &str, bucket: Option<&str>, key: Option<&str>| {
            let expected = Target { bucket: bucket.map(str::to_owned), key: key.map(str::to_owned) };
            assert_eq!(target(host, uri), expected, "{host} {uri}");
        };
        is("127.0.0.1:9000", "/", None, None);
        is("127.0.0.1:9000", "/b", Some("b"), None);
        is("127.0.0.1:9000", "/b/", Some("b"), None);
        is("127.0.0.1:9000", "/b//x/%C3%A4+1?q", Some("b"), Some("/x/\u{e4}+1"));
        is("s3.local", "/b/k", Some("b"), Some("k"));
        is("My.Bucket.S3.local:443", "/k/l", Some("my.bucket"), Some("k/l"));
        is("nots3.local", "/b/k", Some("b"), Some("k"));
    }

    #[test]
    fn metadata_is_bounded_and_framing_is_not_stored() {
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", "aws-chunked, gzip".parse().unwrap());
        headers.append("x-amz-meta-a", "1".parse().unwrap());
        headers.append("x-amz-meta-a", "2".parse().unwrap());
        let stored = stored_headers(&headers).unwrap();
        assert_eq!(stored.standard["content-encoding"], "gzip");
        assert_eq!(stored.user["a"], "1,2");
        headers.insert("x-amz-meta-b", "x".repeat(MAX_METADATA_BYTES).parse().unwrap());
        assert_eq!(stored_headers(&headers).unwrap_err().code, Code::MetadataTooLarge);
    }

    #[test]
    fn dates() {
        assert_eq!(http_date(784_111_777_123), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(iso_date(784_111_777_123), "1994-11-06T08:49:37.123Z");
    }
}
