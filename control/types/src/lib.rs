//! What control, gateway and objectd say to each other: ids, the bus envelope, API errors. Data only, no logic beyond parsing.
//!
//! Records that only hived reads and writes live with hived's store; what crosses the bus lives here.

#![forbid(unsafe_code)]

pub mod credential;
pub mod envelope;
pub mod error;
pub mod id;
pub mod operator;

pub use credential::CredentialRecord;
pub use envelope::{ApiReply, ApiRequest, Principal};
pub use error::ApiError;
