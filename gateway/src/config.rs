//! `awsd.toml`. Unknown keys are refused.

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where clients connect, over TLS.
    pub listen: SocketAddr,
    /// PEM: the server's certificate and what else of the chain clients lack.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// `nats://127.0.0.1:4222`
    pub nats_url: String,
    /// objectd's plain HTTP, on loopback: requests of S3 go there unchanged.
    pub objectd: SocketAddr,
    /// The one region that signatures may name.
    pub region: String,
    /// Access keys from this file (`[[credential]]` tables) and not from NATS; for tests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_file: Option<PathBuf>,
    /// Copies of the credentials bucket in the cluster, as in hived.toml.
    #[serde(default = "default_replicas")]
    pub replicas: usize,
    /// Connections that are open at a time; more wait to be accepted.
    #[serde(default = "default_max_connections")]
    pub max_connections: usize,
}

fn default_replicas() -> usize {
    1
}

fn default_max_connections() -> usize {
    1024
}

impl Config {
    /// # Errors
    /// The file cannot be read, is not TOML, has unknown or missing keys, or a value out of range.
    pub fn load(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        let config: Self = toml::from_str(&text).with_context(|| format!("reading {}", path.display()))?;
        ensure!(!config.region.is_empty(), "{}: region is empty", path.display());
        ensure!(matches!(config.replicas, 1 | 3 | 5), "{}: replicas is not 1, 3 or 5", path.display());
        ensure!(config.max_connections > 0, "{}: max_connections is 0", path.display());
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = "listen = \"127.0.0.1:8443\"\ncertificate = \"/tls/cert.pem\"\nkey = \"/tls/key.pem\"\n\
                           nats_url = \"nats://127.0.0.1:4222\"\nobjectd = \"127.0.0.1:9000\"\nregion = \"us-east-1\"\n";

    fn load(text: &str) -> anyhow::Result<Config> {
        let file = tempfile::NamedTempFile::new().expect("file");
        std::fs::write(file.path(), text).expect("written");
        Config::load(file.path())
    }

    #[test]
    fn defaults_and_refusals() {
        let config = load(MINIMAL).expect("config");
        assert_eq!((config.replicas, config.max_connections), (1, 1024));
        assert_eq!(toml::from_str::<Config>(&toml::to_string(&config).expect("text")).expect("config"), config);
        for bad in ["colour = 1", "replicas = 2", "max_connections = 0"] {
            assert!(load(&format!("{MINIMAL}{bad}\n")).is_err(), "{bad}");
        }
    }
}
