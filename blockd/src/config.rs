//! The daemon's configuration file.

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
}

/// Longer polling would take a core from the guests for nothing.
const MAX_POLL_US: u64 = 10_000;

fn default_poll_us() -> u64 {
    50
}

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
        if config.poll_us > MAX_POLL_US {
            return refuse(format!("poll_us must be at most {MAX_POLL_US}"));
        }
        Ok(config)
    }

    pub fn control_socket(&self) -> PathBuf {
        self.control_socket.clone().unwrap_or_else(|| self.run_dir.join("control.sock"))
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
    fn mistakes_are_named() {
        assert!(load("state_dir = '/s'\nrun_dir = '/r'\nstate = 1\n").unwrap_err().contains("state"));
        assert!(load("state_dir = 's'\nrun_dir = '/r'\n").unwrap_err().contains("state_dir"));
        assert!(load("state_dir = '/s'\nrun_dir = '/r'\npoll_us = 100000\n").unwrap_err().contains("poll_us"));
        assert!(load("run_dir = '/r'\n").unwrap_err().contains("state_dir"));
    }
}
