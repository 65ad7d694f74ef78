//! The daemon's configuration file.

use crate::engine::log::Tuning;
use hive_blockd_api::StoreName;
use hive_blockd_store::{DirConfig, StoreConfig};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `blockd.toml`. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Volumes, images and what is attached; survives restarts.
    pub state_dir: PathBuf,
    /// Sockets; may be on tmpfs.
    pub run_dir: PathBuf,
    /// Where the control API listens; `control.sock` in `run_dir` if not given.
    #[serde(default)]
    pub control_socket: Option<PathBuf>,
    /// How long an engine thread looks for work before it sleeps, in microseconds. Lowers latency of requests that come one by
    /// one; an idle volume uses no CPU whatever it is.
    #[serde(default = "default_poll_us")]
    pub poll_us: u64,
    /// Where segments and snapshots go: `kind = "dir"` with a `path`, or `kind = "s3"`. A directory `store` in `state_dir` if not
    /// given.
    #[serde(default)]
    pub store: Option<StoreConfig>,
    /// Whether every segment is uploaded as it is completed, or only what snapshots need. If not given: always to S3, which
    /// outlives this node, never to a directory, which does not.
    #[serde(default)]
    pub upload: Option<bool>,
    /// The key that volumes' keys are kept under, 32 bytes; `node.key` in `state_dir`, drawn at the first start, if not given.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Disk for what is fetched from the store.
    #[serde(default = "default_cache_bytes")]
    pub cache_bytes: u64,
    /// Memory for the block map of one volume; what is not used is fetched again from its log.
    #[serde(default = "default_map_bytes")]
    pub map_bytes: u64,
    /// Written by one volume and not yet in the store: from half of this on its writer is slowed, at the whole it waits.
    #[serde(default = "default_dirty_quota_bytes")]
    pub dirty_quota_bytes: u64,
    /// What one volume keeps on this node of what is in the store too.
    #[serde(default = "default_keep_local_bytes")]
    pub keep_local_bytes: u64,
    /// With uploads: how old a write may become before its segment is uploaded although it is not full.
    #[serde(default = "default_rpo_seconds")]
    pub rpo_seconds: u64,
    /// How often every segment is read and verified, here and in the store; 0: never.
    #[serde(default = "default_scrub_interval_days")]
    pub scrub_interval_days: u32,
    /// How fast that goes at most.
    #[serde(default = "default_scrub_mib_per_second")]
    pub scrub_mib_per_second: u32,
    /// Stores of other regions that snapshots may be copied from; no object of theirs is ever written.
    #[serde(default)]
    pub peer_stores: Vec<PeerStore>,
}

/// One of `[[peer_stores]]`: a name, and what `[store]` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerStore {
    /// 1 to 64 of a-z, 0-9 and '-', beginning with a letter: the region's, as EC2's callers name it.
    pub name: String,
    #[serde(flatten)]
    pub store: StoreConfig,
}

/// Longer polling would take a core from the guests for nothing.
const MAX_POLL_US: u64 = 10_000;

fn default_poll_us() -> u64 {
    50
}

fn default_cache_bytes() -> u64 {
    4 << 30
}

fn default_map_bytes() -> u64 {
    256 << 20
}

fn default_dirty_quota_bytes() -> u64 {
    16 << 30
}

fn default_keep_local_bytes() -> u64 {
    64 << 30
}

fn default_rpo_seconds() -> u64 {
    30
}

fn default_scrub_interval_days() -> u32 {
    30
}

/// 40 TiB in 30 days.
fn default_scrub_mib_per_second() -> u32 {
    16
}

/// The smallest cache: what reads of many volumes pin at a time must fit.
const MIN_CACHE_BYTES: u64 = 64 << 20;
/// The smallest map: a few leaves of every form.
const MIN_MAP_BYTES: u64 = 1 << 20;

/// Why a configuration was refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] std::io::Error),
    #[error("{0} is not a valid configuration")]
    Parse(PathBuf, #[source] Box<toml::de::Error>),
    #[error("{path}: {reason}")]
    Value { path: PathBuf, reason: String },
}

impl Config {
    /// Read and check `path`.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Read(path.to_owned(), e))?;
        let config: Self = toml::from_str(&text).map_err(|e| ConfigError::Parse(path.to_owned(), Box::new(e)))?;
        let refuse = |reason: String| Err(ConfigError::Value { path: path.to_owned(), reason });
        for (key, dir) in [("state_dir", &config.state_dir), ("run_dir", &config.run_dir)] {
            if !dir.is_absolute() {
                return refuse(format!("{key} must be an absolute path, not {}", dir.display()));
            }
        }
        if config.cache_bytes < MIN_CACHE_BYTES {
            return refuse(format!("cache_bytes must be at least {MIN_CACHE_BYTES}"));
        }
        if config.map_bytes < MIN_MAP_BYTES {
            return refuse(format!("map_bytes must be at least {MIN_MAP_BYTES}"));
        }
        if config.rpo_seconds == 0 {
            return refuse("rpo_seconds must be at least 1".into());
        }
        let mut names = std::collections::HashSet::new();
        for peer in &config.peer_stores {
            if peer.name.parse::<StoreName>().is_err() || !names.insert(&peer.name) {
                return refuse(format!("peer_stores: {:?} is no name, or there are two of it", peer.name));
            }
        }
        if config.scrub_mib_per_second == 0 {
            return refuse("scrub_mib_per_second must be at least 1".into());
        }
        if config.poll_us > MAX_POLL_US {
            return refuse(format!("poll_us must be at most {MAX_POLL_US}"));
        }
        Ok(config)
    }

    pub fn control_socket(&self) -> PathBuf {
        self.control_socket.clone().unwrap_or_else(|| self.run_dir.join("control.sock"))
    }

    pub fn store(&self) -> StoreConfig {
        let beside = || StoreConfig::Dir(DirConfig { path: self.state_dir.join("store") });
        self.store.clone().unwrap_or_else(beside)
    }

    pub fn key_file(&self) -> PathBuf {
        self.key_file.clone().unwrap_or_else(|| self.state_dir.join("node.key"))
    }

    pub fn tuning(&self) -> Tuning {
        Tuning {
            map_bytes: usize::try_from(self.map_bytes).unwrap_or(usize::MAX),
            upload: self.upload.unwrap_or(matches!(self.store(), StoreConfig::S3(_))),
            keep_local_bytes: self.keep_local_bytes,
            dirty_quota_bytes: self.dirty_quota_bytes,
            complete_after: Duration::from_secs(self.rpo_seconds),
            ..Tuning::default()
        }
    }

    pub fn poll(&self) -> Duration {
        Duration::from_micros(self.poll_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Config::load(file.path()).map_err(|e| match std::error::Error::source(&e) {
            Some(source) => format!("{e}: {source}"),
            None => e.to_string(),
        })
    }

    #[test]
    fn defaults_fill_in() {
        let config = load("state_dir = '/s'\nrun_dir = '/r'\n").unwrap();
        assert_eq!(config.control_socket(), Path::new("/r/control.sock"));
        assert_eq!(config.poll(), Duration::from_micros(50));
        let printed = toml::to_string(&config).unwrap();
        assert_eq!(load(&printed).unwrap(), config);
    }

    #[test]
    fn stores_of_other_regions_are_named() {
        let text = "state_dir = '/s'\nrun_dir = '/r'\n[[peer_stores]]\nname = 'us-east-9'\nkind = 'dir'\npath = '/p'\n\
                    [[peer_stores]]\nname = 'eu-1'\nkind = 's3'\nendpoint = 'https://s3'\nregion = 'eu-1'\nbucket = 'b'\n\
                    credentials_file = '/c'\n";
        let config = load(text).unwrap();
        assert_eq!(config.peer_stores[0].store, StoreConfig::Dir(DirConfig { path: "/p".into() }));
        assert!(matches!(&config.peer_stores[1].store, StoreConfig::S3(s3) if s3.bucket == "b"));
        assert_eq!(load(&toml::to_string(&config).unwrap()).unwrap(), config);
        assert!(load(&text.replace("eu-1'\nkind", "us-east-9'\nkind")).unwrap_err().contains("two of it"));
        assert!(load(&text.replace("us-east-9", "../x")).unwrap_err().contains("no name"));
        assert!(load(&text.replace("path = '/p'", "path = '/p'\nbucket = 'b'")).unwrap_err().contains("bucket"));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(load("state_dir = '/s'\nrun_dir = '/r'\nstate = 1\n").unwrap_err().contains("state"));
        assert!(load("state_dir = 's'\nrun_dir = '/r'\n").unwrap_err().contains("state_dir"));
        assert!(load("state_dir = '/s'\nrun_dir = '/r'\npoll_us = 100000\n").unwrap_err().contains("poll_us"));
        assert!(load("run_dir = '/r'\n").unwrap_err().contains("state_dir"));
    }
}
