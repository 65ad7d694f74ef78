//! The client's side: signing a request before it is sent.

use crate::{
    AuthError, ChunkSigner, Credential, Payload, Scope,
    canonical::{self, PathStyle},
    claim::{ALGORITHM, MAX_EXPIRES_SECONDS, X_AMZ_DATE, X_AMZ_SECURITY_TOKEN},
    key::SigningKey,
    stamp,
};
use http::{HeaderName, HeaderValue, Uri, header, request::Parts, uri::PathAndQuery};
use jiff::Timestamp;

/// Headers that proxies and HTTP libraries change on the way, and therefore no client signs.
const NEVER_SIGNED: [HeaderName; 7] = [
    header::AUTHORIZATION,
    header::CONNECTION,
    header::EXPECT,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::USER_AGENT,
];

/// A request cannot be signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    #[error("canonicalising the request to sign")]
    Canonical(#[from] AuthError),
    #[error("{0} cannot be written into the request")]
    Unwritable(&'static str),
    #[error("validity of {0} s is not within 1 to {MAX_EXPIRES_SECONDS} s")]
    Expires(u32),
}

/// Signs for one credential, region and service.
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    pub credential: &'a Credential,
    pub region: &'a str,
    /// The service of the scope; `s3` also selects S3's rules for path and payload.
    pub service: &'a str,
}

impl Signer<'_> {
    /// Adds `x-amz-date`, the session token, for S3 `x-amz-content-sha256`, and `Authorization` to `parts`, which must
    /// carry a `Host`. Returns the chain to sign the chunks of the body with, should `payload` be chunked.
    ///
    /// # Errors
    /// [`SignError::Canonical`] without a host; [`SignError::Unwritable`].
    pub fn sign_header(&self, parts: &mut Parts, payload: Payload, now: Timestamp) -> Result<ChunkSigner, SignError> {
        parts.headers.insert(X_AMZ_DATE, header_value("the date", &stamp::format(now))?);
        if let Some(session) = &self.credential.session {
            parts.headers.insert(X_AMZ_SECURITY_TOKEN, header_value("the session token", session.token.expose())?);
        }
        if self.is_s3() {
            parts.headers.insert("x-amz-content-sha256", header_value("the digest", &payload.header_value())?);
        }
        let names = signed_headers(parts);
        let scope = self.scope(now);
        let (key, signature) = self.signature(parts, &names, &scope, &payload.header_value(), now)?;
        let value = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={}",
            self.credential.access_key_id,
            names.join(";"),
            hex::encode(signature)
        );
        parts.headers.insert(header::AUTHORIZATION, header_value("the authorization", &value)?);
        Ok(ChunkSigner::new(key, scope, now, signature))
    }

    /// Adds query authentication, valid for `expires_seconds`, to the target of `parts`. S3's payload stays unsigned;
    /// other services sign an empty body.
    ///
    /// # Errors
    /// [`SignError::Expires`]; [`SignError::Canonical`] without a host; [`SignError::Unwritable`].
    pub fn presign(&self, parts: &mut Parts, expires_seconds: u32, now: Timestamp) -> Result<(), SignError> {
        if !(1..=MAX_EXPIRES_SECONDS).contains(&expires_seconds) {
            return Err(SignError::Expires(expires_seconds));
        }
        let scope = self.scope(now);
        let names = signed_headers(parts);
        let mut parameters = vec![
            ("X-Amz-Algorithm", ALGORITHM.to_owned()),
            ("X-Amz-Credential", format!("{}/{scope}", self.credential.access_key_id)),
            ("X-Amz-Date", stamp::format(now)),
            ("X-Amz-Expires", expires_seconds.to_string()),
            ("X-Amz-SignedHeaders", names.join(";")),
        ];
        if let Some(session) = &self.credential.session {
            parameters.push(("X-Amz-Security-Token", session.token.expose().to_owned()));
        }
        for (name, value) in &parameters {
            push_query(&mut parts.uri, name, value)?;
        }
        let payload = if self.is_s3() { Payload::Unsigned } else { Payload::Sha256(EMPTY_SHA256) };
        let (_, signature) = self.signature(parts, &names, &scope, &payload.header_value(), now)?;
        push_query(&mut parts.uri, "X-Amz-Signature", &hex::encode(signature))
    }

    fn is_s3(&self) -> bool {
        self.service == "s3"
    }

    fn scope(&self, now: Timestamp) -> Scope {
        Scope { date: stamp::date(now), region: self.region.to_owned(), service: self.service.to_owned() }
    }

    fn signature(
        &self,
        parts: &Parts,
        names: &[String],
        scope: &Scope,
        payload: &str,
        now: Timestamp,
    ) -> Result<(SigningKey, [u8; 32]), AuthError> {
        let style = if self.is_s3() { PathStyle::Object } else { PathStyle::Normalised };
        let canonical = canonical::request(parts, style, names, payload)?;
        let key = SigningKey::derive(&self.credential.secret, scope);
        let signature = key.sign(canonical::string_to_sign(now, scope, &canonical).as_bytes());
        Ok((key, signature))
    }
}

/// SHA-256 of nothing.
pub const EMPTY_SHA256: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

fn signed_headers(parts: &Parts) -> Vec<String> {
    let mut names: Vec<String> =
        parts.headers.keys().filter(|name| !NEVER_SIGNED.contains(name)).map(ToString::to_string).collect();
    if !parts.headers.contains_key(header::HOST) {
        names.push(header::HOST.to_string());
    }
    names.sort();
    names
}

fn header_value(what: &'static str, text: &str) -> Result<HeaderValue, SignError> {
    HeaderValue::from_str(text).map_err(|_| SignError::Unwritable(what))
}

fn push_query(uri: &mut Uri, name: &str, value: &str) -> Result<(), SignError> {
    let query = uri.query().map(|query| format!("{query}&")).unwrap_or_default();
    let target = format!("{}?{query}{name}={}", uri.path(), canonical::encode(value.as_bytes()));
    let mut parts = uri.clone().into_parts();
    parts.path_and_query =
        Some(PathAndQuery::try_from(target).map_err(|_| SignError::Unwritable("a query parameter"))?);
    *uri = Uri::from_parts(parts).map_err(|_| SignError::Unwritable("the query"))?;
    Ok(())
}
