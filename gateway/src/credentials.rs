//! Where awsd finds access keys: the KV bucket through a bounded cache that outlives NATS, or a file.

use async_trait::async_trait;
use hive_auth::{Credential, CredentialSource, Identity, LookupError, Secret, StaticCredentials};
use hive_bus::{Store, StoreError};
use hive_types::CredentialRecord;
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a key that was found is trusted: the time within which a deleted key stops working.
const FOUND_TTL: Duration = Duration::from_secs(30);
/// How long a key that was not found stays unknown: a hostile id costs at most four lookups a second, and the first key of a cloud
/// that starts works as soon as it is there.
const ABSENT_TTL: Duration = Duration::from_millis(250);
/// Keys remembered before the cache starts afresh; about 500 bytes each.
const MAX_ENTRIES: usize = 16_384;

/// The credentials bucket, one [`CredentialRecord`] a key id.
#[derive(Debug)]
pub struct StoredCredentials {
    store: Arc<dyn Store>,
    cache: Mutex<HashMap<String, Cached>>,
}

#[derive(Clone, Debug)]
struct Cached {
    credential: Option<Arc<Credential>>,
    read_at: Instant,
}

impl Cached {
    fn is_fresh(&self) -> bool {
        self.read_at.elapsed() < if self.credential.is_some() { FOUND_TTL } else { ABSENT_TTL }
    }
}

impl StoredCredentials {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, cache: Mutex::default() }
    }

    fn cache(&self) -> MutexGuard<'_, HashMap<String, Cached>> {
        // No code that can panic runs under the lock.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl CredentialSource for StoredCredentials {
    async fn find(&self, access_key_id: &str) -> Result<Option<Arc<Credential>>, LookupError> {
        let cached = self.cache().get(access_key_id).cloned();
        if let Some(cached) = &cached
            && cached.is_fresh()
        {
            return Ok(cached.credential.clone());
        }
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| LookupError {
            access_key_id: access_key_id.to_owned(),
            source,
        };
        let credential = match (self.store.get(access_key_id).await, cached) {
            (Ok(None) | Err(StoreError::BadKey { .. }), _) => None,
            (Ok(Some(entry)), _) => {
                let record = serde_json::from_slice(&entry.value).map_err(|error| failed(error.into()))?;
                Some(Arc::new(credential(record).map_err(failed)?))
            }
            // The store is away: whoever could call before still can.
            (Err(_), Some(Cached { credential: Some(credential), .. })) => return Ok(Some(credential)),
            (Err(error), _) => return Err(failed(error.into())),
        };
        let mut cache = self.cache();
        if cache.len() >= MAX_ENTRIES {
            cache.clear();
        }
        cache.insert(access_key_id.to_owned(), Cached { credential: credential.clone(), read_at: Instant::now() });
        Ok(credential)
    }
}

fn credential(record: CredentialRecord) -> Result<Credential, Box<dyn std::error::Error + Send + Sync>> {
    Ok(Credential {
        access_key_id: record.access_key_id,
        secret: Secret::new(record.secret_access_key),
        identity: Identity {
            account_id: record.account.as_str().parse()?,
            principal_arn: record.arn,
            user_id: record.user_id,
        },
        session: None,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    #[serde(default)]
    credential: Vec<CredentialRecord>,
}

/// Keys of a `credentials.toml`: `[[credential]]` tables with the members of [`CredentialRecord`].
///
/// # Errors
/// The file cannot be read or is not of that form.
pub fn read_file(path: &Path) -> anyhow::Result<StaticCredentials> {
    use anyhow::Context;
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    // The parser's own message quotes the line, which may hold a secret.
    let file: CredentialsFile = toml::from_str(&text).map_err(|error| {
        anyhow::anyhow!("{}: {}", path.display(), error.message().lines().next().unwrap_or_default())
    })?;
    let credentials = file.credential.into_iter().map(credential).collect::<Result<Vec<_>, _>>();
    credentials.map(StaticCredentials::from_iter).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hive_bus::{Bytes, Changes, Entry, MemoryStore, Write};
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A bucket whose connection can be cut.
    #[derive(Debug)]
    struct Cuttable {
        store: MemoryStore,
        cut: AtomicBool,
    }

    #[async_trait]
    impl Store for Cuttable {
        async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
            match self.cut.load(Ordering::Relaxed) {
                true => Err(StoreError::Unavailable { bucket: "credentials".into(), message: "cut".into() }),
                false => self.store.get(key).await,
            }
        }
        async fn create(&self, key: &str, value: Bytes) -> Result<u64, StoreError> {
            self.store.create(key, value).await
        }
        async fn update(&self, key: &str, value: Bytes, revision: u64) -> Result<u64, StoreError> {
            self.store.update(key, value, revision).await
        }
        async fn delete(&self, key: &str, revision: u64) -> Result<(), StoreError> {
            self.store.delete(key, revision).await
        }
        async fn commit(&self, writes: &[Write]) -> Result<u64, StoreError> {
            self.store.commit(writes).await
        }
        async fn range(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
            self.store.range(prefix).await
        }
        async fn watch(&self, prefix: &str) -> Result<Changes, StoreError> {
            self.store.watch(prefix).await
        }
    }

    const RECORD: &str =
        r#"{"access_key_id":"AKIA1","secret_access_key":"s","account":"123456789012","arn":"a","user_id":"u"}"#;

    #[tokio::test]
    async fn known_keys_outlive_the_store() {
        let store = Arc::new(Cuttable { store: MemoryStore::new("credentials"), cut: AtomicBool::new(false) });
        store.create("AKIA1", Bytes::from_static(RECORD.as_bytes())).await.expect("created");
        let credentials = StoredCredentials::new(store.clone());
        assert!(credentials.find("AKIA1").await.expect("found").is_some());
        assert!(credentials.find("AKIA2").await.expect("looked up").is_none());
        assert!(credentials.find("no key id").await.expect("looked up").is_none());
        store.cut.store(true, Ordering::Relaxed);
        let stale = Instant::now().checked_sub(FOUND_TTL * 2).expect("an instant");
        credentials.cache().values_mut().for_each(|cached| cached.read_at = stale);
        assert!(credentials.find("AKIA1").await.expect("still known").is_some());
        assert!(credentials.find("AKIA2").await.is_err());
        assert!(credentials.find("AKIA3").await.is_err());
    }

    #[test]
    fn a_bad_file_is_refused_without_its_secrets() {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), "[[credential]]\nsecret_access_key = \"hunter2\" nonsense\n").expect("written");
        let error = read_file(file.path()).expect_err("refused").to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
