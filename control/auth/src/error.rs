use crate::{LookupError, Place, stamp};
use jiff::{SignedDuration, Timestamp};

/// Why a request is not authentic.
///
/// The texts of [`AuthError::Expired`] and [`AuthError::NotYetCurrent`] are the ones AWS answers with, because clients
/// search for them.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    #[error("the request carries no authentication")]
    Missing,
    #[error("the request carries both an Authorization header and query authentication")]
    Ambiguous,
    #[error("authorization scheme {0:?} is not AWS4-HMAC-SHA256")]
    UnsupportedScheme(String),
    /// A part of the header or of the query parameters is absent or cannot be read.
    #[error("authorization {place} is malformed: {what}")]
    Malformed { place: Place, what: &'static str },
    #[error("date in credential scope {scope} does not match the request's date {request}")]
    ScopeDate { scope: String, request: String },
    #[error("credential scope names region {found:?}; expected {expected:?}")]
    ScopeRegion { found: String, expected: String },
    #[error("credential scope names service {found:?}; expected {expected:?}")]
    ScopeService { found: String, expected: String },
    /// A header that must be signed (`host`, `x-amz-*`) is not.
    #[error("header {0} is present in the request but not signed")]
    NotSigned(String),
    /// The list of signed headers names one that the request does not carry.
    #[error("signed header {0} is absent from the request")]
    SignedHeaderAbsent(String),
    #[error(
        "Signature expired: {} is now earlier than {} ({} - {} min.)",
        stamp::format(*.signed_at), stamp::format(shifted(*.now, -.skew_minutes)), stamp::format(*.now), .skew_minutes
    )]
    Expired { signed_at: Timestamp, now: Timestamp, skew_minutes: i64 },
    #[error(
        "Signature not yet current: {} is still later than {} ({} + {} min.)",
        stamp::format(*.signed_at), stamp::format(shifted(*.now, *.skew_minutes)), stamp::format(*.now), .skew_minutes
    )]
    NotYetCurrent { signed_at: Timestamp, now: Timestamp, skew_minutes: i64 },
    #[error("the presigned request expired at {}", stamp::format(*.expired_at))]
    PresignExpired { expired_at: Timestamp },
    #[error("X-Amz-Expires is not a whole number of seconds from 1 to {max}")]
    ExpiresOutOfRange { max: u32 },
    #[error("x-amz-content-sha256 is missing")]
    ContentSha256Missing,
    #[error("x-amz-content-sha256 is neither a SHA-256 in hex nor one of the known words")]
    ContentSha256Invalid,
    /// The body is not the one that was signed.
    #[error("the SHA-256 of the body is not the one in x-amz-content-sha256")]
    ContentSha256Mismatch,
    #[error("access key {0:?} does not exist")]
    UnknownAccessKey(String),
    /// The session token is absent, superfluous or not the one issued with the key.
    #[error("the security token included in the request is invalid")]
    InvalidToken,
    #[error("the security token included in the request is expired")]
    TokenExpired,
    #[error("the signature does not match the one computed for access key {access_key_id:?}")]
    SignatureMismatch { access_key_id: String },
    /// Not the client's fault: the credentials could not be looked up.
    #[error(transparent)]
    Lookup(#[from] LookupError),
}

fn shifted(time: Timestamp, minutes: i64) -> Timestamp {
    time.saturating_add(SignedDuration::from_mins(minutes)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_clients_search_for() {
        let [signed_at, now] = ["20240101T000000Z", "20240101T010000Z"].map(|text| stamp::parse(text).unwrap());
        assert_eq!(
            AuthError::Expired { signed_at, now, skew_minutes: 15 }.to_string(),
            "Signature expired: 20240101T000000Z is now earlier than 20240101T004500Z (20240101T010000Z - 15 min.)"
        );
        assert_eq!(
            AuthError::NotYetCurrent { signed_at: now, now: signed_at, skew_minutes: 15 }.to_string(),
            "Signature not yet current: 20240101T010000Z is still later than 20240101T001500Z (20240101T000000Z + 15 min.)"
        );
    }
}
