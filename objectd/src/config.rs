//! The configuration file. Defaults stand here and nowhere else.

use hive_auth::StaticCredential;
use serde::Deserialize;
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("reading {}", .path.display())]
    Read { path: PathBuf, source: std::io::Error },
    #[error("parsing {}", .path.display())]
    Parse { path: PathBuf, source: toml::de::Error },
    #[error("{name} = {value} is outside {low} to {high}")]
    OutOfRange { name: &'static str, value: u64, low: u64, high: u64 },
    #[error("{} holds no credential, and the configuration lists none: no request could be signed", .path.display())]
    NoCredentials { path: PathBuf },
}

/// `objectd.toml`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where buckets live; made if absent. One daemon per directory.
    pub data_dir: PathBuf,
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The region requests must be signed for.
    #[serde(default = "default_region")]
    pub region: String,
    /// Domains under which `BUCKET.DOMAIN` addresses a bucket; path style works under every name.
    #[serde(default)]
    pub domains: Vec<String>,
    /// Access keys given here ...
    #[serde(default)]
    pub credentials: Vec<StaticCredential>,
    /// ... and in a file of the same `[[credentials]]` tables, kept apart for its permissions.
    pub credentials_file: Option<PathBuf>,
    #[serde(default)]
    pub limits: Limits,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Connections served at once; more wait in the kernel's backlog.
    pub connections: u64,
    /// Buffers of 256 KiB for uploads, and as many for downloads: what bounds memory.
    pub buffers: u64,
    /// Seconds without a byte after which a connection is closed.
    pub idle_timeout_seconds: u64,
    /// Free space kept back on the disk, for metadata.
    pub reserve_mib: u64,
    /// Cache of the metadata engine.
    pub metadata_cache_mib: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 512, buffers: 128, idle_timeout_seconds: 60, reserve_mib: 256, metadata_cache_mib: 64 }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialsFile {
    credentials: Vec<StaticCredential>,
}

fn default_listen() -> SocketAddr {
    ([127, 0, 0, 1], 9000).into()
}

fn default_region() -> String {
    "us-east-1".to_owned()
}

fn read<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.into(), source })?;
    toml::from_str(&text).map_err(|source| ConfigError::Parse { path: path.into(), source })
}

impl Config {
    /// Reads the file and the credentials file it names, and checks them.
    ///
    /// # Errors
    /// Every [`ConfigError`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let mut config: Self = read(path)?;
        if let Some(file) = &config.credentials_file {
            config.credentials.append(&mut read::<CredentialsFile>(file)?.credentials);
        }
        if config.credentials.is_empty() {
            return Err(ConfigError::NoCredentials { path: path.into() });
        }
        config.limits.check()?;
        Ok(config)
    }

    /// The effective configuration as TOML, secrets left out.
    pub fn print(&self) -> String {
        let limits = &self.limits;
        let mut out = format!(
            "data_dir = {:?}\nlisten = \"{}\"\nregion = {:?}\ndomains = {:?}\n",
            self.data_dir, self.listen, self.region, self.domains
        );
        for credential in &self.credentials {
            out += &format!(
                "\n[[credentials]]\naccess_key_id = {:?}\naccount_id = \"{}\"\n# secret_access_key is not printed\n",
                credential.access_key_id, credential.account_id
            );
        }
        out += &format!(
            "\n[limits]\nconnections = {}\nbuffers = {}\nidle_timeout_seconds = {}\nreserve_mib = {}\n\
             metadata_cache_mib = {}\n",
            limits.connections,
            limits.buffers,
            limits.idle_timeout_seconds,
            limits.reserve_mib,
            limits.metadata_cache_mib
        );
        out
    }
}

impl Limits {
    fn check(&self) -> Result<(), ConfigError> {
        for (name, value, low, high) in [
            ("limits.connections", self.connections, 1, 65_536),
            // A request needs two upload buffers to overlap receiving and writing.
            ("limits.buffers", self.buffers, 2, 65_536),
            ("limits.idle_timeout_seconds", self.idle_timeout_seconds, 1, 3600),
            ("limits.reserve_mib", self.reserve_mib, 0, 1 << 30),
            ("limits.metadata_cache_mib", self.metadata_cache_mib, 1, 1 << 20),
        ] {
            if !(low..=high).contains(&value) {
                return Err(ConfigError::OutOfRange { name, value, low, high });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("objectd.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path)
    }

    const CREDENTIAL: &str =
        "[[credentials]]\naccess_key_id = 'AKIA'\nsecret_access_key = 'hush'\naccount_id = '000000000001'\n";

    #[test]
    fn defaults_and_refusals() {
        let config = load(&format!("data_dir = '/d'\n{CREDENTIAL}")).unwrap();
        assert_eq!((config.region.as_str(), config.listen.port()), ("us-east-1", 9000));
        assert!(!config.print().contains("hush"));
        assert!(matches!(load("data_dir = '/d'"), Err(ConfigError::NoCredentials { .. })));
        let unknown = load(&format!("data_dir = '/d'\ndatadir = 1\n{CREDENTIAL}"));
        assert!(matches!(unknown, Err(ConfigError::Parse { .. })));
        let small = load(&format!("data_dir = '/d'\n{CREDENTIAL}\n[limits]\nbuffers = 1\n"));
        assert!(matches!(small, Err(ConfigError::OutOfRange { name: "limits.buffers", .. })));
    }

    #[test]
    fn what_is_printed_without_secrets_parses() {
        let config = load(&format!("data_dir = '/d'\ndomains = ['s3.local']\n{CREDENTIAL}")).unwrap();
        toml::from_str::<toml::Table>(&config.print()).unwrap();
    }
}
