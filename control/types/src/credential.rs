//! An access key as it lies in the KV bucket [`CREDENTIALS_BUCKET`], under its access key id.

use crate::id::AccountId;
use serde::{Deserialize, Serialize};

pub const CREDENTIALS_BUCKET: &str = "credentials";

/// The secret is in here: never log a record.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRecord {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub account: AccountId,
    /// `arn:aws:iam::123456789012:root`
    pub arn: String,
    pub user_id: String,
}

impl std::fmt::Debug for CredentialRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CredentialRecord").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}
