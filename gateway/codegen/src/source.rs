//! The pinned wheel and the list of typed operations.

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// `botocore.lock`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    pub version: String,
    sha256: String,
}

impl Lock {
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("reading {}", path.display()))
    }

    /// The wheel's bytes, from `cache` or else from PyPI through pip; refused when the hash differs.
    pub fn fetch(&self, cache: &Path) -> Result<Vec<u8>> {
        let path = cache.join(format!("botocore-{}-py3-none-any.whl", self.version));
        if !path.exists() {
            fs::create_dir_all(cache).with_context(|| format!("creating {}", cache.display()))?;
            let status = Command::new("python3")
                .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest"])
                .arg(cache)
                .arg(format!("botocore=={}", self.version))
                .status()
                .context("starting python3 -m pip")?;
            if !status.success() {
                bail!("pip could not download botocore {}", self.version);
            }
        }
        let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let found = hex::encode(Sha256::digest(&bytes));
        if found != self.sha256 {
            bail!("{} has SHA-256 {found}, botocore.lock says {}", path.display(), self.sha256);
        }
        Ok(bytes)
    }
}

/// Service, then file of the types crate, then operations: `operations.toml`.
pub type Allowed = BTreeMap<String, BTreeMap<String, Vec<String>>>;

pub fn allowed_operations(path: &Path) -> Result<Allowed> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("reading {}", path.display()))
}
