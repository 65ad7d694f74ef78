//! Signatures: which service a request is for, who signed it, and each service's words for a refusal.

use crate::wire::Fault;
use hive_auth::{AuthError, Claim, Expected, Rules, Verifier};
use hive_types::Principal;
use http::request::Parts;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tracing::warn;

/// Region in the scope of the global services (IAM, and STS without a regional endpoint).
const GLOBAL_REGION: &str = "us-east-1";

/// Verifies a request whose body has been read, and names its caller. `unsigned_body`: its operation has clients leave the body out of
/// the signature.
///
/// # Errors
/// The fault of `service` that tells what is wrong with the signature; 503 when credentials cannot be looked up.
pub async fn authenticate(
    verifier: &Verifier,
    parts: &Parts,
    claim: &Claim,
    body: &[u8],
    unsigned_body: bool,
    region: &str,
) -> Result<Principal, Fault> {
    let service = claim.scope.service.as_str();
    let regions: &[&str] = if matches!(service, "ec2" | "ebs") { &[region] } else { &[region, GLOBAL_REGION] };
    let body_sha256 = Sha256::digest(body).into();
    let rules = if unsigned_body { Rules::UnsignedBody { body_sha256 } } else { Rules::Query { body_sha256 } };
    let expected = Expected { service, regions, rules };
    let verified = verifier.verify(parts, claim, &expected, Timestamp::now()).await.map_err(|error| {
        if let AuthError::Lookup(lookup) = &error {
            warn!(error = %lookup.source, "cannot look up credentials");
        }
        fault(&error, service)
    })?;
    let account = verified.identity.account_id.as_str().parse();
    Ok(Principal {
        account: account.map_err(|_| Fault::new("InternalFailure", 500, "An internal error has occurred"))?,
        arn: verified.identity.principal_arn,
        user_id: verified.identity.user_id,
        access_key_id: verified.access_key_id,
    })
}

const NOT_VALIDATED: &str = "AWS was not able to validate the provided access credentials";
const INVALID_TOKEN: &str = "The security token included in the request is invalid.";
const DOES_NOT_MATCH: &str = "The request signature we calculated does not match the signature you provided. Check your AWS \
                              Secret Access Key and signing method. Consult the service documentation for details.";

/// The fault of `service` for `error`. S3's are objectd's, which checks signatures of its own requests.
pub fn fault(error: &AuthError, service: &str) -> Fault {
    let fault = query_fault(error, service);
    if service != "ebs" {
        return fault;
    }
    // The REST services have the same refusals under other names.
    let code = match fault.code.as_ref() {
        "SignatureDoesNotMatch" => "InvalidSignatureException",
        "InvalidClientTokenId" => "UnrecognizedClientException",
        "MissingAuthenticationToken" => "MissingAuthenticationTokenException",
        "IncompleteSignature" => "IncompleteSignatureException",
        "ExpiredToken" => "ExpiredTokenException",
        _ => return fault,
    };
    Fault::new(code, fault.status, fault.message)
}

fn query_fault(error: &AuthError, service: &str) -> Fault {
    let ec2 = service == "ec2";
    let refused = |code, message: &str| {
        if ec2 { Fault::new("AuthFailure", 401, NOT_VALIDATED) } else { Fault::new(code, 403, message) }
    };
    match error {
        AuthError::Missing => Fault::new("MissingAuthenticationToken", 403, "Request is missing Authentication Token"),
        AuthError::Ambiguous
        | AuthError::UnsupportedScheme(_)
        | AuthError::Malformed { .. }
        | AuthError::ExpiresOutOfRange { .. }
        | AuthError::NotSigned(_)
        | AuthError::SignedHeaderAbsent(_)
        | AuthError::ContentSha256Missing
        | AuthError::ContentSha256Invalid => Fault::new("IncompleteSignature", 400, error.to_string()),
        AuthError::ScopeDate { .. } | AuthError::ScopeService { .. } => {
            refused("SignatureDoesNotMatch", &error.to_string())
        }
        AuthError::ScopeRegion { expected, .. } => refused(
            "SignatureDoesNotMatch",
            &format!("Credential should be scoped to a valid region, not '{expected}'."),
        ),
        AuthError::Expired { .. } | AuthError::NotYetCurrent { .. } if !ec2 => {
            Fault::new("SignatureDoesNotMatch", 403, error.to_string())
        }
        AuthError::PresignExpired { .. } if !ec2 => Fault::new("ExpiredToken", 403, "Request has expired."),
        AuthError::Expired { .. } | AuthError::NotYetCurrent { .. } | AuthError::PresignExpired { .. } => {
            Fault::new("RequestExpired", 400, "Request has expired.")
        }
        AuthError::ContentSha256Mismatch | AuthError::SignatureMismatch { .. } => {
            refused("SignatureDoesNotMatch", DOES_NOT_MATCH)
        }
        AuthError::UnknownAccessKey(_) | AuthError::InvalidToken => refused("InvalidClientTokenId", INVALID_TOKEN),
        AuthError::TokenExpired if ec2 => Fault::new("RequestExpired", 400, "Request has expired."),
        AuthError::TokenExpired => {
            Fault::new("ExpiredToken", 403, "The security token included in the request is expired")
        }
        AuthError::Lookup(_) => {
            Fault::new("ServiceUnavailable", 503, "The service is unavailable. Please try again shortly.")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_by_service() {
        let seen = |error: &AuthError, service| {
            let fault = fault(error, service);
            (fault.code.into_owned(), fault.status)
        };
        let unknown = AuthError::UnknownAccessKey("AKIA".into());
        assert_eq!(seen(&unknown, "ec2"), ("AuthFailure".into(), 401));
        assert_eq!(seen(&unknown, "sts"), ("InvalidClientTokenId".into(), 403));
        assert_eq!(seen(&unknown, "ebs"), ("UnrecognizedClientException".into(), 403));
        let mismatch = AuthError::SignatureMismatch { access_key_id: "AKIA".into() };
        assert_eq!(seen(&mismatch, "ec2"), ("AuthFailure".into(), 401));
        assert_eq!(seen(&mismatch, "iam"), ("SignatureDoesNotMatch".into(), 403));
        assert_eq!(seen(&mismatch, "ebs"), ("InvalidSignatureException".into(), 403));
        let (signed_at, now) = (Timestamp::UNIX_EPOCH, Timestamp::MAX);
        let expired = AuthError::Expired { signed_at, now, skew_minutes: 15 };
        assert_eq!(seen(&expired, "ec2"), ("RequestExpired".into(), 400));
        assert_eq!(seen(&expired, "sts"), ("SignatureDoesNotMatch".into(), 403));
        assert!(fault(&expired, "sts").message.starts_with("Signature expired: 19700101T000000Z is now earlier than"));
        assert_eq!(seen(&AuthError::Missing, "ec2"), ("MissingAuthenticationToken".into(), 403));
        assert_eq!(seen(&AuthError::TokenExpired, "iam"), ("ExpiredToken".into(), 403));
        assert_eq!(seen(&AuthError::ContentSha256Invalid, "sts"), ("IncompleteSignature".into(), 400));
    }
}
