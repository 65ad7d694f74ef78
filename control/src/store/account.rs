//! What an account has chosen for all its volumes, and secrets of the cloud itself.

use super::Version;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AccountRecord {
    pub version: Version<1>,
    /// New volumes and copies of snapshots are encrypted unless told otherwise.
    pub ebs_encryption_by_default: bool,
    /// As the account wrote it; None: the key that AWS manages, `alias/aws/ebs`.
    pub ebs_default_kms_key_id: Option<String>,
}

/// A secret that all workers share: never log a record.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct SecretRecord {
    pub version: Version<1>,
    /// Hexadecimal.
    pub secret: String,
}

impl std::fmt::Debug for SecretRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretRecord").finish_non_exhaustive()
    }
}
