//! AWS Signature Version 4, both ways, and the credentials behind it.
//!
//! | module | holds |
//! |---|---|
//! | [`claim`] | what a request says of itself: key id, scope, signed headers, signature |
//! | [`canonical`] | the canonical request and the string to sign, from a request as it came over the wire |
//! | [`verify`] | a claim checked against clock, scope, credential and signature |
//! | [`chunked`] | the `aws-chunked` body: chunk signatures and trailers, as a push parser |
//! | [`sign`] | the client's side, for tests, load and scenarios |
//! | [`credentials`] | who owns an access key; where keys are looked up |
//!
//! Nothing here reads a clock, opens a socket or spawns: the caller passes the time and the request. Errors say what is
//! wrong with the signature; which AWS code that becomes differs by service and is decided by the service's front.
#![forbid(unsafe_code)]

pub mod canonical;
pub mod chunked;
pub mod claim;
pub mod credentials;
mod error;
mod key;
mod payload;
pub mod sign;
pub mod stamp;
pub mod verify;

pub use chunked::{ChunkDecoder, ChunkError, ChunkSigner};
pub use claim::{Claim, Place, Scope};
pub use credentials::{
    AccountId, Credential, CredentialSource, Identity, LookupError, Secret, Session, StaticCredential,
    StaticCredentials,
};
pub use error::AuthError;
pub use payload::Payload;
pub use verify::{Expected, Rules, Verified, Verifier};
