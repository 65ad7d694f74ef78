//! Which store a daemon uses: a table of its configuration file.

use crate::{
    DirStore, ObjectStore,
    error::{Attempt, Operation, StoreError, said},
    s3::{S3Config, S3Store, Timeouts},
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};

/// `[store]`, told apart by `kind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum StoreConfig {
    Dir(DirConfig),
    S3(S3Config),
}

/// `kind = "dir"`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DirConfig {
    /// Where objects are kept; made if absent, its parent is not.
    pub path: PathBuf,
}

pub(crate) fn wrong(object: &str, why: impl Into<String>) -> StoreError {
    StoreError::Invalid { attempt: Attempt::new(Operation::Open, object), source: said(why) }
}

/// Opens the configured store. Blocks for local files only: an S3 store is not asked anything yet.
///
/// # Errors
/// [`StoreError::Invalid`] for a mistake of the configuration, naming it; what opening a [`DirStore`] says.
pub fn open(config: &StoreConfig) -> Result<Arc<dyn ObjectStore>, StoreError> {
    match config {
        StoreConfig::Dir(DirConfig { path }) => {
            if !path.is_absolute() {
                return Err(wrong(&path.display().to_string(), "store.path must be an absolute path"));
            }
            Ok(Arc::new(DirStore::open(path)?))
        }
        StoreConfig::S3(config) => Ok(Arc::new(S3Store::open(config, Timeouts::default())?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables() {
        let dir: StoreConfig = toml::from_str("kind = 'dir'\npath = '/s'\n").unwrap();
        assert_eq!(dir, StoreConfig::Dir(DirConfig { path: "/s".into() }));
        let text = "kind = 's3'\nendpoint = 'https://s3'\nregion = 'us-east-2'\nbucket = 'volumes'\n\
                    credentials_file = '/etc/hive/s3.toml'\n";
        let StoreConfig::S3(s3) = toml::from_str(text).unwrap() else { panic!() };
        assert!(s3.path_style && s3.prefix.is_empty() && s3.ca_file.is_none());
        let printed = toml::to_string(&StoreConfig::S3(s3.clone())).unwrap();
        assert_eq!(toml::from_str::<StoreConfig>(&printed).unwrap(), StoreConfig::S3(s3));
    }

    #[test]
    fn mistakes_are_named() {
        for (text, expected) in [
            ("kind = 'nfs'", "unknown variant `nfs`"),
            ("path = '/s'", "missing field `kind`"),
            ("kind = 'dir'\npath = '/s'\nbucket = 'b'", "unknown field `bucket`"),
            ("kind = 's3'\nbucket = 'b'", "missing field"),
        ] {
            let error = toml::from_str::<StoreConfig>(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
