//! The canonical request ("Create a signed AWS API request", step 1), built from a request as it came over the wire.

use crate::{AuthError, Scope, claim::ALGORITHM, stamp};
use http::{Uri, header, request::Parts};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// How a service canonicalises the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathStyle {
    /// S3: keys may contain `//` and `..`, so the path stays as it is, percent-encoded once.
    Object,
    /// Everything else: dot segments and empty segments resolved, then encoded a second time.
    Normalised,
}

/// The name/value pairs of a query string, decoded (`+` is a space), in their order; an empty pair is skipped.
pub fn query_pairs(query: &str) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name, true), decode(value, true))
    })
}

/// Percent-encodes as SigV4 does: all but the unreserved characters of RFC 3986, upper-case hex.
pub fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    encode_into(&mut out, bytes);
    out
}

fn encode_into(out: &mut String, bytes: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

/// Percent-decodes; a `%` that two hex digits do not follow stands for itself.
pub fn decode(text: &str, plus_is_space: bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%').then(|| bytes.get(at + 1..at + 3)).flatten().and_then(|digits| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(digits[0])? * 16 + digit(digits[1])?).ok()
        });
        at += if escaped.is_some() { 3 } else { 1 };
        out.push(match (escaped, byte) {
            (Some(value), _) => value,
            (None, b'+') if plus_is_space => b' ',
            (None, byte) => byte,
        });
    }
    out
}

fn path(uri: &Uri, style: PathStyle) -> String {
    let raw = match uri.path() {
        "" => "/",
        path => path,
    };
    let mut out = String::with_capacity(raw.len() + 16);
    match style {
        PathStyle::Object => {
            // Segment by segment, so that an encoded slash stays encoded.
            for (index, segment) in raw.split('/').enumerate() {
                if index > 0 {
                    out.push('/');
                }
                encode_into(&mut out, &decode(segment, false));
            }
        }
        PathStyle::Normalised => {
            let mut segments = Vec::new();
            for segment in raw.split('/') {
                match segment {
                    "" | "." => {}
                    ".." => drop(segments.pop()),
                    segment => segments.push(segment),
                }
            }
            for segment in &segments {
                out.push('/');
                encode_into(&mut out, segment.as_bytes());
            }
            if segments.is_empty() || raw.ends_with('/') {
                out.push('/');
            }
        }
    }
    out
}

fn query(uri: &Uri) -> String {
    let mut pairs: Vec<(String, String)> = query_pairs(uri.query().unwrap_or_default())
        .filter(|(name, _)| name != b"X-Amz-Signature")
        .map(|(name, value)| (encode(&name), encode(&value)))
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

/// Appends `value` trimmed, with every run of spaces inside collapsed to one.
fn push_trimmed(out: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
    for (index, word) in words.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
}

fn push_header(out: &mut Vec<u8>, parts: &Parts, name: &str) -> Result<(), AuthError> {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut values = parts.headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        // Absolute-form and HTTP/2 requests carry the host in the target.
        let authority = parts.uri.authority().filter(|_| name == header::HOST.as_str());
        let host = authority.ok_or_else(|| AuthError::SignedHeaderAbsent(name.to_owned()))?;
        push_trimmed(out, host.as_str().as_bytes());
    }
    for (index, value) in values.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_trimmed(out, value.as_bytes());
    }
    out.push(b'\n');
    Ok(())
}

/// The canonical request over `signed_headers` (sorted, lower case); `payload` is the last line.
///
/// # Errors
/// [`AuthError::SignedHeaderAbsent`].
pub fn request(
    parts: &Parts,
    style: PathStyle,
    signed_headers: &[String],
    payload: &str,
) -> Result<Vec<u8>, AuthError> {
    let mut out = Vec::with_capacity(512);
    for line in [parts.method.as_str(), &path(&parts.uri, style), &query(&parts.uri)] {
        out.extend_from_slice(line.as_bytes());
        out.push(b'\n');
    }
    for name in signed_headers {
        push_header(&mut out, parts, name)?;
    }
    out.push(b'\n');
    out.extend_from_slice(signed_headers.join(";").as_bytes());
    out.push(b'\n');
    out.extend_from_slice(payload.as_bytes());
    Ok(out)
}

/// The string to sign (step 2).
pub fn string_to_sign(signed_at: Timestamp, scope: &Scope, canonical_request: &[u8]) -> String {
    let digest = hex::encode(Sha256::digest(canonical_request));
    format!("{ALGORITHM}\n{}\n{scope}\n{digest}", stamp::format(signed_at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    fn uri(text: &str) -> Uri {
        text.parse().unwrap()
    }

    #[test]
    fn paths() {
        use PathStyle::*;
        for (style, raw, canonical) in [
            (Object, "/", "/"),
            (Object, "/a//b/../c%20d", "/a//b/../c%20d"),
            (Object, "/b/a+b(1)%2fc%e4", "/b/a%2Bb%281%29%2Fc%E4"),
            (Normalised, "/", "/"),
            (Normalised, "//a/./b/../c/", "/a/c/"),
            (Normalised, "/../..", "/"),
            (Normalised, "/a%20b", "/a%2520b"),
        ] {
            assert_eq!(path(&uri(raw), style), canonical, "{raw}");
        }
    }

    #[test]
    fn queries_are_decoded_encoded_and_sorted() {
        assert_eq!(query(&uri("/?b=2&a=%7e&a=1&flag&c=x+y&X-Amz-Signature=00")), "a=1&a=~&b=2&c=x%20y&flag=");
        assert_eq!(query(&uri("/?prefix=a/b%zz")), "prefix=a%2Fb%25zz");
    }

    #[test]
    fn header_values_are_trimmed_and_joined() {
        let request = Request::builder()
            .uri("/")
            .header("host", "h")
            .header("my-header", "  a   b ")
            .header("my-header", "c")
            .body(())
            .unwrap();
        let (parts, ()) = request.into_parts();
        let names = ["host".to_owned(), "my-header".to_owned()];
        let canonical = super::request(&parts, PathStyle::Object, &names, "P").unwrap();
        assert_eq!(String::from_utf8(canonical).unwrap(), "GET\n/\n\nhost:h\nmy-header:a b,c\n\nhost;my-header\nP");
        assert!(matches!(
            super::request(&parts, PathStyle::Object, &["x-gone".to_owned()], "P"),
            Err(AuthError::SignedHeaderAbsent(name)) if name == "x-gone"
        ));
    }

    proptest! {
        #[test]
        fn encode_then_decode_is_identity(bytes: Vec<u8>) {
            prop_assert_eq!(decode(&encode(&bytes), true), bytes);
        }

        #[test]
        fn decode_takes_anything(text in "\\PC{0,60}") {
            decode(&text, true);
        }
    }
}
