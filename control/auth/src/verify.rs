//! A claim checked against the clock, the expected scope, the credential and the signature.

use crate::{
    AuthError, ChunkSigner, Claim, Credential, CredentialSource, Identity, Payload, Secret,
    canonical::{self, PathStyle},
    key::KeyCache,
};
use http::{HeaderName, header, request::Parts};
use jiff::{SignedDuration, Timestamp};
use std::{fmt, sync::Arc};
use subtle::ConstantTimeEq;

/// How far a client's clock may be off, either way.
pub const MAX_SKEW_MINUTES: i64 = 15;

const X_AMZ_CONTENT_SHA256: &str = "x-amz-content-sha256";

/// What differs between the services' use of SigV4.
#[derive(Clone, Copy, Debug)]
pub enum Rules {
    /// The path is canonicalised as [`PathStyle::Object`], and the request declares its payload.
    S3,
    /// The query protocols (EC2, IAM, STS): the body was read, and this is its SHA-256.
    Query { body_sha256: [u8; 32] },
    /// An operation whose body clients do not sign (EBS's blocks): the header says `UNSIGNED-PAYLOAD`, or nothing. One that does
    /// declare a digest must declare this body's.
    UnsignedBody { body_sha256: [u8; 32] },
}

/// What the receiving service requires of a claim.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub service: &'a str,
    /// Regions accepted in the scope: the own one, and `us-east-1` for global services.
    pub regions: &'a [&'a str],
    pub rules: Rules,
}

/// An authentic request.
#[derive(Clone, Debug)]
pub struct Verified {
    pub access_key_id: String,
    pub identity: Identity,
    /// What the signature says of the body; with [`Payload::Sha256`] the receiver still compares.
    pub payload: Payload,
    /// The chain for the body's chunks; `Some` exactly with the two signed chunk modes.
    pub chunks: Option<ChunkSigner>,
}

/// Checks claims; one per process, for its cache of derived keys.
pub struct Verifier {
    source: Arc<dyn CredentialSource>,
    keys: KeyCache,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").finish_non_exhaustive()
    }
}

impl Verifier {
    pub fn new(source: Arc<dyn CredentialSource>) -> Self {
        Self { source, keys: KeyCache::default() }
    }

    /// Checks `claim`, as [`Claim::parse`] read it from `parts`, at the time `now`.
    ///
    /// # Errors
    /// Every [`AuthError`] but those of [`Claim::parse`]. Cheap checks come first, so that nothing is looked up or
    /// derived for a claim that cannot hold.
    pub async fn verify(
        &self,
        parts: &Parts,
        claim: &Claim,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<Verified, AuthError> {
        check_scope(claim, expected)?;
        check_signed_headers(claim, parts)?;
        check_time(claim, now)?;
        let (style, payload) = match expected.rules {
            Rules::S3 => (PathStyle::Object, declared_payload(claim, parts)?),
            Rules::Query { body_sha256 } => (PathStyle::Normalised, body_payload(parts, body_sha256)?),
            Rules::UnsignedBody { body_sha256 } => (PathStyle::Normalised, optional_payload(parts, body_sha256)?),
        };

        let found = self.source.find(&claim.access_key_id).await?;
        let credential = found.ok_or_else(|| AuthError::UnknownAccessKey(claim.access_key_id.clone()))?;
        check_token(claim, &credential, now)?;

        let key = self.keys.get(&claim.access_key_id, &credential.secret, &claim.scope);
        let canonical = canonical::request(parts, style, &claim.signed_headers, &payload.header_value())?;
        let signature = key.sign(canonical::string_to_sign(claim.signed_at, &claim.scope, &canonical).as_bytes());
        if !bool::from(signature.ct_eq(&claim.signature)) {
            return Err(AuthError::SignatureMismatch { access_key_id: claim.access_key_id.clone() });
        }
        let chunks = matches!(payload, Payload::SignedChunks | Payload::SignedChunksWithTrailer)
            .then(|| ChunkSigner::new(key, claim.scope.clone(), claim.signed_at, signature));
        Ok(Verified {
            access_key_id: claim.access_key_id.clone(),
            identity: credential.identity.clone(),
            payload,
            chunks,
        })
    }
}

fn check_scope(claim: &Claim, expected: &Expected<'_>) -> Result<(), AuthError> {
    if claim.scope.service != expected.service {
        return Err(AuthError::ScopeService {
            found: claim.scope.service.clone(),
            expected: expected.service.to_owned(),
        });
    }
    if !expected.regions.contains(&claim.scope.region.as_str()) {
        return Err(AuthError::ScopeRegion {
            found: claim.scope.region.clone(),
            expected: expected.regions.first().copied().unwrap_or_default().to_owned(),
        });
    }
    Ok(())
}

/// `host`, the date and every `x-amz-*` header present must be covered, lest a middleman change their meaning.
fn check_signed_headers(claim: &Claim, parts: &Parts) -> Result<(), AuthError> {
    let signed = |name: &str| claim.signed_headers.iter().any(|header| header == name);
    let required = |name: &&HeaderName| {
        name.as_str().starts_with("x-amz-")
            || (**name == header::DATE && !claim.is_presigned() && !parts.headers.contains_key("x-amz-date"))
    };
    if !signed(header::HOST.as_str()) {
        return Err(AuthError::NotSigned(header::HOST.to_string()));
    }
    match parts.headers.keys().filter(required).find(|name| !signed(name.as_str())) {
        Some(name) => Err(AuthError::NotSigned(name.to_string())),
        None => Ok(()),
    }
}

fn check_time(claim: &Claim, now: Timestamp) -> Result<(), AuthError> {
    let signed_at = claim.signed_at;
    let skew = SignedDuration::from_mins(MAX_SKEW_MINUTES);
    let age = now.duration_since(signed_at);
    if age < -skew {
        return Err(AuthError::NotYetCurrent { signed_at, now, skew_minutes: MAX_SKEW_MINUTES });
    }
    match claim.expires_seconds {
        Some(seconds) => {
            let validity = SignedDuration::from_secs(seconds.into());
            if age > validity {
                let expired_at = signed_at.saturating_add(validity).unwrap_or(signed_at);
                return Err(AuthError::PresignExpired { expired_at });
            }
        }
        None if age > skew => return Err(AuthError::Expired { signed_at, now, skew_minutes: MAX_SKEW_MINUTES }),
        None => {}
    }
    Ok(())
}

/// A temporary credential is good only with its own token and until it expires; a long-lived one takes no token.
fn check_token(claim: &Claim, credential: &Credential, now: Timestamp) -> Result<(), AuthError> {
    match (&credential.session, &claim.session_token) {
        (None, None) => Ok(()),
        (Some(session), Some(token)) if session.token == Secret::new(token.as_str()) => {
            if now >= session.expires_at {
                Err(AuthError::TokenExpired)
            } else {
                Ok(())
            }
        }
        _ => Err(AuthError::InvalidToken),
    }
}

fn declared_payload(claim: &Claim, parts: &Parts) -> Result<Payload, AuthError> {
    let in_query = canonical::query_pairs(parts.uri.query().unwrap_or_default())
        .find(|(name, _)| claim.is_presigned() && name.eq_ignore_ascii_case(X_AMZ_CONTENT_SHA256.as_bytes()));
    let declared = match (&in_query, parts.headers.get(X_AMZ_CONTENT_SHA256)) {
        (Some((_, value)), _) => value.as_slice(),
        (None, Some(value)) => value.as_bytes(),
        (None, None) if claim.is_presigned() => return Ok(Payload::Unsigned),
        (None, None) => return Err(AuthError::ContentSha256Missing),
    };
    std::str::from_utf8(declared).ok().and_then(Payload::parse).ok_or(AuthError::ContentSha256Invalid)
}

/// The body as it arrived; a client that also declares a digest must declare this one.
fn body_payload(parts: &Parts, body_sha256: [u8; 32]) -> Result<Payload, AuthError> {
    let body = Payload::Sha256(body_sha256);
    match parts.headers.get(X_AMZ_CONTENT_SHA256) {
        Some(value) if value.to_str().ok().and_then(Payload::parse) != Some(body) => {
            Err(AuthError::ContentSha256Mismatch)
        }
        _ => Ok(body),
    }
}

fn optional_payload(parts: &Parts, body_sha256: [u8; 32]) -> Result<Payload, AuthError> {
    match parts.headers.get(X_AMZ_CONTENT_SHA256).map(|value| value.to_str().ok().and_then(Payload::parse)) {
        None | Some(Some(Payload::Unsigned)) => Ok(Payload::Unsigned),
        Some(_) => body_payload(parts, body_sha256),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{StaticCredentials, sign, stamp};
    use futures::executor::block_on;
    use http::{HeaderValue, Method, Request};
    use sha2::{Digest, Sha256};

    const REGION: &str = "eu-central-1";

    fn credential(session: Option<crate::Session>) -> Credential {
        Credential {
            access_key_id: "AKIDEXAMPLE".into(),
            secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            identity: Identity {
                account_id: "123456789012".parse().unwrap(),
                principal_arn: "arn:aws:iam::123456789012:user/ann".into(),
                user_id: "AIDAEXAMPLE".into(),
            },
            session,
        }
    }

    fn now() -> Timestamp {
        stamp::parse("20150830T123600Z").unwrap()
    }

    fn signer(credential: &Credential) -> sign::Signer<'_> {
        sign::Signer { credential, region: REGION, service: "s3" }
    }

    fn put(credential: &Credential) -> Parts {
        let (mut parts, ()) = Request::builder()
            .method(Method::PUT)
            .uri("/bucket/key%20x?partNumber=1")
            .header("host", "s3.local")
            .header("x-amz-meta-color", "blue")
            .body(())
            .unwrap()
            .into_parts();
        signer(credential).sign_header(&mut parts, Payload::Unsigned, now()).unwrap();
        parts
    }

    fn presigned(credential: &Credential) -> Parts {
        let (mut parts, ()) =
            Request::builder().uri("/bucket/key").header("host", "s3.local").body(()).unwrap().into_parts();
        signer(credential).presign(&mut parts, 60, now()).unwrap();
        parts
    }

    fn verify_at(parts: &Parts, known: &Credential, at: Timestamp) -> Result<Verified, AuthError> {
        let verifier = Verifier::new(Arc::new(StaticCredentials::from_iter([known.clone()])));
        let expected = Expected { service: "s3", regions: &[REGION], rules: Rules::S3 };
        block_on(verifier.verify(parts, &Claim::parse(parts)?, &expected, at))
    }

    fn minutes(count: i64) -> Timestamp {
        now() + SignedDuration::from_mins(count)
    }

    #[test]
    fn signed_requests_are_authentic() {
        let known = credential(None);
        let verified = verify_at(&put(&known), &known, now()).unwrap();
        assert_eq!(verified.identity, known.identity);
        assert_eq!(verified.payload, Payload::Unsigned);
        assert!(verified.chunks.is_none());
        verify_at(&presigned(&known), &known, now()).unwrap();
    }

    #[test]
    fn anything_changed_breaks_the_signature() {
        let known = credential(None);
        let mismatch = |change: &dyn Fn(&mut Parts)| {
            let mut parts = put(&known);
            change(&mut parts);
            let outcome = verify_at(&parts, &known, now());
            assert!(matches!(outcome, Err(AuthError::SignatureMismatch { .. })), "{outcome:?}");
        };
        mismatch(&|parts| parts.method = Method::DELETE);
        mismatch(&|parts| parts.uri = "/bucket/other?partNumber=1".parse().unwrap());
        mismatch(&|parts| parts.uri = "/bucket/key%20x?partNumber=2".parse().unwrap());
        mismatch(&|parts| drop(parts.headers.insert("host", HeaderValue::from_static("elsewhere"))));
        mismatch(&|parts| drop(parts.headers.insert("x-amz-meta-color", HeaderValue::from_static("red"))));
        let other = Credential { secret: Secret::new("another"), ..credential(None) };
        assert!(matches!(verify_at(&put(&known), &other, now()), Err(AuthError::SignatureMismatch { .. })));
    }

    #[test]
    fn headers_of_meaning_must_be_signed() {
        let known = credential(None);
        let mut parts = put(&known);
        parts.headers.insert("x-amz-acl", HeaderValue::from_static("public-read"));
        assert!(matches!(verify_at(&parts, &known, now()), Err(AuthError::NotSigned(name)) if name == "x-amz-acl"));
        let mut parts = put(&known);
        parts.headers.remove("x-amz-meta-color");
        assert!(matches!(verify_at(&parts, &known, now()), Err(AuthError::SignedHeaderAbsent(_))));
    }

    #[test]
    fn clock_skew_is_bounded_both_ways() {
        let known = credential(None);
        let parts = put(&known);
        verify_at(&parts, &known, minutes(15)).unwrap();
        verify_at(&parts, &known, minutes(-15)).unwrap();
        assert!(matches!(verify_at(&parts, &known, minutes(16)), Err(AuthError::Expired { .. })));
        assert!(matches!(verify_at(&parts, &known, minutes(-16)), Err(AuthError::NotYetCurrent { .. })));
    }

    #[test]
    fn presigned_requests_expire() {
        let known = credential(None);
        let parts = presigned(&known);
        verify_at(&parts, &known, minutes(1)).unwrap();
        assert!(matches!(verify_at(&parts, &known, minutes(2)), Err(AuthError::PresignExpired { .. })));
        assert!(matches!(verify_at(&parts, &known, minutes(-16)), Err(AuthError::NotYetCurrent { .. })));
    }

    #[test]
    fn scope_and_key_must_be_known() {
        let known = credential(None);
        let parts = put(&known);
        let claim = Claim::parse(&parts).unwrap();
        let verifier = Verifier::new(Arc::new(StaticCredentials::default()));
        let run = |service, regions| {
            let expected = Expected { service, regions, rules: Rules::S3 };
            block_on(verifier.verify(&parts, &claim, &expected, now())).unwrap_err()
        };
        assert!(matches!(run("ec2", &[REGION]), AuthError::ScopeService { .. }));
        assert!(matches!(run("s3", &["us-east-1"]), AuthError::ScopeRegion { .. }));
        assert!(matches!(run("s3", &["us-east-1", REGION]), AuthError::UnknownAccessKey(id) if id == "AKIDEXAMPLE"));
    }

    #[test]
    fn session_tokens_belong_to_their_key() {
        let session = |token, expires_at| Some(crate::Session { token: Secret::new(token), expires_at });
        let known = credential(session("token", minutes(5)));
        verify_at(&put(&known), &known, now()).unwrap();
        verify_at(&presigned(&known), &known, now()).unwrap();
        assert!(matches!(verify_at(&put(&known), &known, minutes(5)), Err(AuthError::TokenExpired)));
        assert!(matches!(verify_at(&put(&credential(None)), &known, now()), Err(AuthError::InvalidToken)));
        assert!(matches!(verify_at(&put(&known), &credential(None), now()), Err(AuthError::InvalidToken)));
        let forged = credential(session("other", minutes(5)));
        assert!(matches!(verify_at(&put(&forged), &known, now()), Err(AuthError::InvalidToken)));
    }

    #[test]
    fn query_services_hash_the_body() {
        let known = credential(None);
        let body = b"Action=DescribeRegions&Version=2016-11-15";
        let digest: [u8; 32] = Sha256::digest(body).into();
        let (mut parts, ()) =
            Request::builder().method(Method::POST).uri("/").header("host", "h").body(()).unwrap().into_parts();
        let signer = sign::Signer { credential: &known, region: REGION, service: "ec2" };
        signer.sign_header(&mut parts, Payload::Sha256(digest), now()).unwrap();
        assert!(!parts.headers.contains_key(X_AMZ_CONTENT_SHA256));
        let verifier = Verifier::new(Arc::new(StaticCredentials::from_iter([known.clone()])));
        let run = |body_sha256| {
            let expected = Expected { service: "ec2", regions: &[REGION], rules: Rules::Query { body_sha256 } };
            block_on(verifier.verify(&parts, &Claim::parse(&parts).unwrap(), &expected, now()))
        };
        run(digest).unwrap();
        assert!(matches!(run([0; 32]), Err(AuthError::SignatureMismatch { .. })));
    }

    #[test]
    fn a_body_may_be_left_unsigned_where_the_operation_says_so() {
        let known = credential(None);
        let verifier = Verifier::new(Arc::new(StaticCredentials::from_iter([known.clone()])));
        let digest: [u8; 32] = Sha256::digest(b"block").into();
        let run = |payload, header: Option<String>, rules| {
            let mut request = Request::put("/snapshots/snap-1/blocks/0").header("host", "h");
            if let Some(value) = header {
                request = request.header(X_AMZ_CONTENT_SHA256, value);
            }
            let (mut parts, ()) = request.body(()).unwrap().into_parts();
            let signer = sign::Signer { credential: &known, region: REGION, service: "ebs" };
            signer.sign_header(&mut parts, payload, now()).unwrap();
            let expected = Expected { service: "ebs", regions: &[REGION], rules };
            block_on(verifier.verify(&parts, &Claim::parse(&parts).unwrap(), &expected, now()))
        };
        let unsigned = Rules::UnsignedBody { body_sha256: digest };
        let signed = Rules::Query { body_sha256: digest };
        run(Payload::Unsigned, None, unsigned).unwrap();
        run(Payload::Unsigned, Some("UNSIGNED-PAYLOAD".into()), unsigned).unwrap();
        run(Payload::Sha256(digest), Some(hex::encode(digest)), unsigned).unwrap();
        let other = hex::encode([0; 32]);
        let wrong = run(Payload::Sha256([0; 32]), Some(other), unsigned);
        assert!(matches!(wrong, Err(AuthError::ContentSha256Mismatch)));
        assert!(matches!(run(Payload::Unsigned, None, signed), Err(AuthError::SignatureMismatch { .. })));
    }
}
