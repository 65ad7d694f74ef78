//! Derived signing keys.

use crate::{Scope, Secret};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
};

/// The key of one credential for one date, region and service.
#[derive(Clone)]
pub(crate) struct SigningKey([u8; 32]);

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(..)")
    }
}

impl SigningKey {
    pub(crate) fn derive(secret: &Secret, scope: &Scope) -> Self {
        let seed = format!("AWS4{}", secret.expose());
        let parts = [scope.date.as_str(), &scope.region, &scope.service, Scope::TERMINATOR];
        let first = hmac(seed.as_bytes(), parts[0].as_bytes());
        Self(parts[1..].iter().fold(first, |key, part| hmac(&key, part.as_bytes())))
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 32] {
        hmac(&self.0, message)
    }
}

fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    // Fully qualified: `Mac` and `KeyInit` both offer the constructor. HMAC takes keys of every length.
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(key) else {
        unreachable!("HMAC takes keys of every length")
    };
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Entries before the cache starts afresh. One is about 300 bytes, and one is needed per key in use per day.
const CACHE_ENTRIES: usize = 4096;

/// Keys derived lately. An entry holds the secret it came from, so a changed secret never meets an old key.
#[derive(Debug, Default)]
pub(crate) struct KeyCache(Mutex<HashMap<(String, Scope), (Secret, SigningKey)>>);

impl KeyCache {
    pub(crate) fn get(&self, access_key_id: &str, secret: &Secret, scope: &Scope) -> SigningKey {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let index = (access_key_id.to_owned(), scope.clone());
        match entries.get(&index) {
            Some((known, key)) if known == secret => key.clone(),
            _ => {
                if entries.len() >= CACHE_ENTRIES {
                    entries.clear();
                }
                let key = SigningKey::derive(secret, scope);
                entries.insert(index, (secret.clone(), key.clone()));
                key
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope { date: "20150830".into(), region: "us-east-1".into(), service: "iam".into() }
    }

    /// The worked example of "Create a signed AWS API request", step "derive a signing key".
    #[test]
    fn documented_derivation() {
        let key = SigningKey::derive(&Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), &scope());
        assert_eq!(hex::encode(key.0), "c4afb1cc5771d871763a393e44b703571b55cc28424d1a5e86da6ed3c154a4b9");
    }

    #[test]
    fn a_changed_secret_gets_a_new_key() {
        let cache = KeyCache::default();
        let first = cache.get("AKIA", &Secret::new("one"), &scope());
        assert_eq!(cache.get("AKIA", &Secret::new("one"), &scope()).0, first.0);
        assert_ne!(cache.get("AKIA", &Secret::new("two"), &scope()).0, first.0);
    }
}
