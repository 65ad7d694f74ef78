//! What a request says of itself, before anything is checked.

use crate::{AuthError, canonical, stamp};
use http::{HeaderMap, HeaderName, header, request::Parts};
use jiff::Timestamp;
use std::fmt;

pub(crate) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// More names than any client signs; bounds the work done for a signature that may prove wrong.
const MAX_SIGNED_HEADERS: usize = 64;
/// The longest presigned validity AWS grants: seven days.
pub const MAX_EXPIRES_SECONDS: u32 = 604_800;

pub(crate) const X_AMZ_DATE: HeaderName = HeaderName::from_static("x-amz-date");
pub(crate) const X_AMZ_SECURITY_TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");

/// Where the authentication was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Header,
    Query,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Query => "query",
        })
    }
}

/// The credential scope: what a signing key is good for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Scope {
    /// `YYYYMMDD`, UTC.
    pub date: String,
    pub region: String,
    pub service: String,
}

impl Scope {
    pub(crate) const TERMINATOR: &str = "aws4_request";
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.date, self.region, self.service, Self::TERMINATOR)
    }
}

/// A request's authentication as it stands in the header or the query; nothing of it is verified yet.
#[derive(Clone, Debug)]
pub struct Claim {
    pub place: Place,
    pub access_key_id: String,
    /// Its service tells which protocol the request speaks.
    pub scope: Scope,
    pub signed_at: Timestamp,
    /// Validity of a presigned request; `None` with header authentication.
    pub expires_seconds: Option<u32>,
    pub(crate) session_token: Option<String>,
    pub(crate) signed_headers: Vec<String>,
    pub(crate) signature: [u8; 32],
}

impl Claim {
    /// Reads the `Authorization` header or the `X-Amz-*` query parameters.
    ///
    /// # Errors
    /// [`AuthError::Missing`], [`AuthError::Ambiguous`], [`AuthError::UnsupportedScheme`], [`AuthError::Malformed`],
    /// [`AuthError::ExpiresOutOfRange`] and [`AuthError::ScopeDate`].
    pub fn parse(parts: &Parts) -> Result<Self, AuthError> {
        let query = QueryAuth::find(parts.uri.query().unwrap_or_default())?;
        let claim = match (parts.headers.get(header::AUTHORIZATION), query) {
            (None, None) => return Err(AuthError::Missing),
            (Some(_), Some(_)) => return Err(AuthError::Ambiguous),
            (None, Some(query)) => query.claim()?,
            (Some(value), None) => {
                let value = value.to_str().map_err(|_| malformed(Place::Header, "not ASCII"))?;
                from_header(value, &parts.headers)?
            }
        };
        let request_date = stamp::date(claim.signed_at);
        if claim.scope.date != request_date {
            return Err(AuthError::ScopeDate { scope: claim.scope.date, request: request_date });
        }
        Ok(claim)
    }

    /// Whether the credentials travel in the query string.
    pub fn is_presigned(&self) -> bool {
        self.place == Place::Query
    }
}

fn malformed(place: Place, what: &'static str) -> AuthError {
    AuthError::Malformed { place, what }
}

fn from_header(value: &str, headers: &HeaderMap) -> Result<Claim, AuthError> {
    const HERE: Place = Place::Header;
    let (scheme, fields) = value.trim().split_once(' ').unwrap_or((value.trim(), ""));
    if scheme != ALGORITHM {
        // The rest of the value may hold a signature of another scheme: only the scheme is repeated.
        return Err(AuthError::UnsupportedScheme(scheme.chars().take(32).collect()));
    }
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for field in fields.split(',') {
        let slot = match field.trim().split_once('=') {
            Some(("Credential", text)) => (&mut credential, text),
            Some(("SignedHeaders", text)) => (&mut signed_headers, text),
            Some(("Signature", text)) => (&mut signature, text),
            _ => return Err(malformed(HERE, "a field is not Credential, SignedHeaders or Signature")),
        };
        if slot.0.replace(slot.1).is_some() {
            return Err(malformed(HERE, "a field is given twice"));
        }
    }
    let (access_key_id, scope) = parse_credential(HERE, credential.ok_or(malformed(HERE, "missing Credential"))?)?;
    Ok(Claim {
        place: HERE,
        access_key_id,
        scope,
        signed_at: signed_at(headers)?,
        expires_seconds: None,
        session_token: match headers.get(X_AMZ_SECURITY_TOKEN) {
            Some(token) => Some(token.to_str().map_err(|_| AuthError::InvalidToken)?.to_owned()),
            None => None,
        },
        signed_headers: parse_signed_headers(HERE, signed_headers.ok_or(malformed(HERE, "missing SignedHeaders"))?)?,
        signature: parse_signature(HERE, signature.ok_or(malformed(HERE, "missing Signature"))?)?,
    })
}

fn signed_at(headers: &HeaderMap) -> Result<Timestamp, AuthError> {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    match (text(X_AMZ_DATE), text(header::DATE)) {
        (Some(date), _) => stamp::parse(date),
        (None, Some(date)) => stamp::parse(date).or_else(|| stamp::parse_http_date(date)),
        (None, None) => return Err(malformed(Place::Header, "missing x-amz-date or Date")),
    }
    .ok_or(malformed(Place::Header, "the date is not of the form 20130524T000000Z"))
}

fn parse_credential(place: Place, text: &str) -> Result<(String, Scope), AuthError> {
    // From the right: an access key id of foreign make may itself contain slashes.
    let mut fields = text.rsplitn(5, '/');
    let mut next = || fields.next().filter(|field| !field.is_empty());
    let (Some(terminator), Some(service), Some(region), Some(date), Some(access_key_id)) =
        (next(), next(), next(), next(), next())
    else {
        return Err(malformed(place, "the credential is not of the form KEY/YYYYMMDD/REGION/SERVICE/aws4_request"));
    };
    if terminator != Scope::TERMINATOR {
        return Err(malformed(place, "the credential scope does not end in aws4_request"));
    }
    let scope = Scope { date: date.to_owned(), region: region.to_owned(), service: service.to_owned() };
    Ok((access_key_id.to_owned(), scope))
}

fn parse_signed_headers(place: Place, text: &str) -> Result<Vec<String>, AuthError> {
    let names: Vec<String> = text.split(';').take(MAX_SIGNED_HEADERS + 1).map(str::to_owned).collect();
    if names.len() > MAX_SIGNED_HEADERS {
        return Err(malformed(place, "too many signed headers"));
    }
    let lower_case = |name: &String| !name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase());
    if !names.iter().all(lower_case) || !names.is_sorted_by(|a, b| a < b) {
        return Err(malformed(place, "SignedHeaders is not a sorted list of lower-case names"));
    }
    Ok(names)
}

fn parse_signature(place: Place, text: &str) -> Result<[u8; 32], AuthError> {
    let mut signature = [0; 32];
    hex::decode_to_slice(text, &mut signature).map_err(|_| malformed(place, "the signature is not 64 hex digits"))?;
    Ok(signature)
}

/// The decoded `X-Amz-*` parameters of a presigned request.
#[derive(Default)]
struct QueryAuth {
    algorithm: Option<String>,
    credential: Option<String>,
    date: Option<String>,
    expires: Option<String>,
    signed_headers: Option<String>,
    signature: Option<String>,
    session_token: Option<String>,
}

impl QueryAuth {
    /// `None` if no parameter tells that the query is meant to authenticate.
    fn find(query: &str) -> Result<Option<Self>, AuthError> {
        let mut found = Self::default();
        for (name, value) in canonical::query_pairs(query) {
            let slot = match name.as_slice() {
                b"X-Amz-Algorithm" => &mut found.algorithm,
                b"X-Amz-Credential" => &mut found.credential,
                b"X-Amz-Date" => &mut found.date,
                b"X-Amz-Expires" => &mut found.expires,
                b"X-Amz-SignedHeaders" => &mut found.signed_headers,
                b"X-Amz-Signature" => &mut found.signature,
                b"X-Amz-Security-Token" => &mut found.session_token,
                _ => continue,
            };
            let value = String::from_utf8(value).map_err(|_| malformed(Place::Query, "not UTF-8"))?;
            if slot.replace(value).is_some() {
                return Err(malformed(Place::Query, "a parameter is given twice"));
            }
        }
        let meant = found.algorithm.is_some() || found.credential.is_some() || found.signature.is_some();
        Ok(meant.then_some(found))
    }

    fn claim(self) -> Result<Claim, AuthError> {
        const HERE: Place = Place::Query;
        let algorithm = self.algorithm.ok_or(malformed(HERE, "missing X-Amz-Algorithm"))?;
        if algorithm != ALGORITHM {
            return Err(AuthError::UnsupportedScheme(algorithm.chars().take(32).collect()));
        }
        let (access_key_id, scope) =
            parse_credential(HERE, &self.credential.ok_or(malformed(HERE, "missing X-Amz-Credential"))?)?;
        let date = self.date.ok_or(malformed(HERE, "missing X-Amz-Date"))?;
        let signed_headers = self.signed_headers.ok_or(malformed(HERE, "missing X-Amz-SignedHeaders"))?;
        let expires = self.expires.ok_or(malformed(HERE, "missing X-Amz-Expires"))?;
        let expires_seconds = expires
            .parse()
            .ok()
            .filter(|seconds| (1..=MAX_EXPIRES_SECONDS).contains(seconds))
            .ok_or(AuthError::ExpiresOutOfRange { max: MAX_EXPIRES_SECONDS })?;
        Ok(Claim {
            place: HERE,
            access_key_id,
            scope,
            signed_at: stamp::parse(&date).ok_or(malformed(HERE, "X-Amz-Date is not of the form 20130524T000000Z"))?,
            expires_seconds: Some(expires_seconds),
            session_token: self.session_token,
            signed_headers: parse_signed_headers(HERE, &signed_headers)?,
            signature: parse_signature(HERE, &self.signature.ok_or(malformed(HERE, "missing X-Amz-Signature"))?)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    const SIGNATURE: &str = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";

    fn parts(uri: &str, authorization: Option<&str>) -> Parts {
        let mut request = Request::builder().uri(uri).header("x-amz-date", "20130524T000000Z");
        if let Some(value) = authorization {
            request = request.header("authorization", value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn header(credential: &str, signed_headers: &str) -> String {
        format!("{ALGORITHM} Credential={credential}, SignedHeaders={signed_headers},Signature={SIGNATURE}")
    }

    #[test]
    fn header_claim() {
        let value = header("AKIA/x/20130524/us-east-1/s3/aws4_request", "host;x-amz-date");
        let claim = Claim::parse(&parts("/", Some(&value))).unwrap();
        assert_eq!(claim.access_key_id, "AKIA/x");
        assert_eq!(claim.scope.to_string(), "20130524/us-east-1/s3/aws4_request");
        assert_eq!(claim.signed_headers, ["host", "x-amz-date"]);
        assert!(!claim.is_presigned());
    }

    #[test]
    fn what_is_refused() {
        use AuthError::*;
        let good = "AKIA/20130524/us-east-1/s3/aws4_request";
        let try_header = |value: &str| Claim::parse(&parts("/", Some(value))).unwrap_err();
        assert!(matches!(Claim::parse(&parts("/", None)), Err(Missing)));
        assert!(matches!(try_header("AWS AKIA:c2ln"), UnsupportedScheme(scheme) if scheme == "AWS"));
        assert!(matches!(try_header(ALGORITHM), Malformed { .. }));
        assert!(matches!(try_header(&header("AKIA/20130524/us-east-1/s3", "host")), Malformed { .. }));
        assert!(matches!(try_header(&header("AKIA/20130524/us-east-1/s3/aws5", "host")), Malformed { .. }));
        assert!(matches!(try_header(&header(good, "x-amz-date;host")), Malformed { .. }));
        assert!(matches!(try_header(&header(good, "Host")), Malformed { .. }));
        assert!(matches!(try_header(&header(good, "host;host")), Malformed { .. }));
        assert!(matches!(
            try_header(&header("AKIA/20130525/us-east-1/s3/aws4_request", "host")),
            ScopeDate { scope, request } if scope == "20130525" && request == "20130524"
        ));
        let presigned = "/?X-Amz-Algorithm=AWS4-HMAC-SHA256";
        assert!(matches!(Claim::parse(&parts(presigned, Some(&header(good, "host")))), Err(Ambiguous)));
        assert!(matches!(Claim::parse(&parts(presigned, None)), Err(Malformed { place: Place::Query, .. })));
    }

    #[test]
    fn presign_validity_is_bounded() {
        for (expires, accepted) in
            [("0", false), ("1", true), ("604800", true), ("604801", false), ("-1", false), ("x", false)]
        {
            let uri = format!(
                "/k?X-Amz-Algorithm={ALGORITHM}&X-Amz-Credential=AKIA%2F20130524%2Fr%2Fs3%2Faws4_request\
                 &X-Amz-Date=20130524T000000Z&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host&X-Amz-Signature={SIGNATURE}"
            );
            assert_eq!(Claim::parse(&parts(&uri, None)).is_ok(), accepted, "{expires}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(value in "[ -~]{0,200}", query in "(X-Amz-[A-Za-z]{4,12}=[!-~&&[^#]]{0,40}&){0,6}") {
            let uri = format!("/?{query}");
            if uri.parse::<http::Uri>().is_ok() {
                let _ = Claim::parse(&parts(&uri, Some(&value)));
                let _ = Claim::parse(&parts(&uri, None));
            }
            let _ = Claim::parse(&parts("/", Some(&format!("{ALGORITHM} {value}"))));
        }
    }
}
