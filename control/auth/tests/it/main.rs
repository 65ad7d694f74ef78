//! The crate against what others wrote: AWS's documented examples, and botocore as the oracle.

#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking

mod botocore;
mod documented;

use hive_auth::{AuthError, Claim, Credential, Expected, Identity, Secret, StaticCredentials, Verified, Verifier};
use http::request::Parts;
use jiff::Timestamp;
use std::sync::Arc;

fn credential(access_key_id: &str, secret: &str) -> Credential {
    Credential {
        access_key_id: access_key_id.into(),
        secret: Secret::new(secret),
        identity: Identity {
            account_id: "123456789012".parse().unwrap(),
            principal_arn: "arn:aws:iam::123456789012:root".into(),
            user_id: "123456789012".into(),
        },
        session: None,
    }
}

fn verify(parts: &Parts, known: Credential, expected: &Expected<'_>, now: Timestamp) -> Result<Verified, AuthError> {
    let verifier = Verifier::new(Arc::new(StaticCredentials::from_iter([known])));
    futures::executor::block_on(verifier.verify(parts, &Claim::parse(parts)?, expected, now))
}
