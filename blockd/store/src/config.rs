//! Which store a daemon uses: a table of its configuration file.

use crate::{
    DirStore, ObjectStore,
    error::{Attempt, Operation, StoreError, said},
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc};

/// `[store]`, told apart by `kind`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum StoreConfig {
    Dir(DirConfig),
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
    }
}
