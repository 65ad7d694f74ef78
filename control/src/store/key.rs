//! Key pairs; the private half is never kept.

use super::{Tags, Version};
use hive_types::id::{AccountId, KeyPairId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyPairRecord {
    pub version: Version<1>,
    pub key_pair_id: KeyPairId,
    pub account: AccountId,
    pub name: String,
    pub key_type: KeyType,
    /// As EC2 computes it for the kind and origin of the key.
    pub fingerprint: String,
    /// One line of OpenSSH's format, without a comment.
    pub public_key: String,
    pub created_at: Timestamp,
    pub tags: Tags,
}

impl KeyPairRecord {
    /// Where the pair of this name lies: names hold characters that keys cannot.
    pub fn key_of(account: &AccountId, name: &str) -> String {
        super::key(account, &hex::encode(name))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyType {
    Rsa,
    Ed25519,
}

impl KeyType {
    pub fn name(self) -> &'static str {
        match self {
            Self::Rsa => "rsa",
            Self::Ed25519 => "ed25519",
        }
    }
}
