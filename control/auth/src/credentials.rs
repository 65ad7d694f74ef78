//! Who owns an access key, and where keys are looked up.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Deserialize;
use std::{collections::HashMap, fmt, str::FromStr, sync::Arc};
use subtle::ConstantTimeEq;

/// A secret access key or a session token: compared in constant time and never printed.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for key derivation and for a client's request.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// An AWS account: twelve decimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct AccountId(Arc<str>);

impl AccountId {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The text is not twelve decimal digits.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an account id of twelve digits")]
pub struct InvalidAccountId(String);

impl FromStr for AccountId {
    type Err = InvalidAccountId;

    fn from_str(text: &str) -> Result<Self, InvalidAccountId> {
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidAccountId(text.to_owned()))
        }
    }
}

impl TryFrom<String> for AccountId {
    type Error = InvalidAccountId;

    fn try_from(text: String) -> Result<Self, InvalidAccountId> {
        text.parse()
    }
}

impl fmt::Display for AccountId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// On whose behalf a request acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub account_id: AccountId,
    /// `arn:aws:iam::123456789012:user/ann`, `arn:aws:sts::...:assumed-role/...`
    pub principal_arn: String,
    /// The unique id (`AIDA...`, `AROA...:session`), or the account id for its root user.
    pub user_id: String,
}

/// What makes a credential temporary.
#[derive(Clone, Debug)]
pub struct Session {
    pub token: Secret,
    pub expires_at: Timestamp,
}

/// One access key with its owner.
#[derive(Clone, Debug)]
pub struct Credential {
    pub access_key_id: String,
    pub secret: Secret,
    pub identity: Identity,
    /// `None` for a long-lived key.
    pub session: Option<Session>,
}

/// The store of credentials did not answer.
#[derive(Debug, thiserror::Error)]
#[error("looking up access key {access_key_id:?}")]
pub struct LookupError {
    pub access_key_id: String,
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Where credentials live.
#[async_trait]
pub trait CredentialSource: Send + Sync {
    /// The active credential with this id; `None` if there is none or it is inactive.
    async fn find(&self, access_key_id: &str) -> Result<Option<Arc<Credential>>, LookupError>;
}

/// One long-lived key as configuration files write it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StaticCredential {
    pub access_key_id: String,
    pub secret_access_key: Secret,
    pub account_id: AccountId,
    /// Defaults to the account's root user.
    pub principal_arn: Option<String>,
    /// Defaults to the account id, which is the root user's.
    pub user_id: Option<String>,
}

impl From<StaticCredential> for Credential {
    fn from(entry: StaticCredential) -> Self {
        let StaticCredential { access_key_id, secret_access_key, account_id, principal_arn, user_id } = entry;
        let principal_arn = principal_arn.unwrap_or_else(|| format!("arn:aws:iam::{account_id}:root"));
        let user_id = user_id.unwrap_or_else(|| account_id.to_string());
        Self {
            access_key_id,
            secret: secret_access_key,
            identity: Identity { account_id, principal_arn, user_id },
            session: None,
        }
    }
}

/// Credentials held in memory, from configuration.
#[derive(Clone, Debug, Default)]
pub struct StaticCredentials(HashMap<String, Arc<Credential>>);

impl FromIterator<Credential> for StaticCredentials {
    fn from_iter<I: IntoIterator<Item = Credential>>(credentials: I) -> Self {
        Self(credentials.into_iter().map(|entry| (entry.access_key_id.clone(), Arc::new(entry))).collect())
    }
}

#[async_trait]
impl CredentialSource for StaticCredentials {
    async fn find(&self, access_key_id: &str) -> Result<Option<Arc<Credential>>, LookupError> {
        Ok(self.0.get(access_key_id).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(format!("{:?}", Secret::new("hunter2")), "Secret(..)");
    }

    #[test]
    fn account_ids_are_twelve_digits() {
        assert_eq!("123456789012".parse::<AccountId>().unwrap().as_str(), "123456789012");
        for text in ["", "12345678901", "1234567890123", "12345678901a"] {
            assert!(text.parse::<AccountId>().is_err(), "{text}");
        }
    }

    #[test]
    fn static_entry_defaults_to_the_root_user() {
        let entry: StaticCredential = serde_json::from_str(
            r#"{"access_key_id": "AKIA1", "secret_access_key": "s", "account_id": "000000000001"}"#,
        )
        .unwrap();
        let credential = Credential::from(entry);
        assert_eq!(credential.identity.principal_arn, "arn:aws:iam::000000000001:root");
        assert_eq!(credential.identity.user_id, "000000000001");
        assert!(serde_json::from_str::<StaticCredential>(r#"{"access_key": "x"}"#).is_err());
    }
}
