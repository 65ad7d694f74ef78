//! What an S3 store needs to know, and every mistake one can make of it.

use crate::{config::wrong, error::StoreError, key};
use http::Uri;
use serde::{Deserialize, Serialize};
use std::{
    fmt, fs,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

/// A file of two or three lines is not larger.
const MAX_CREDENTIALS_BYTES: u64 = 64 << 10;

/// `kind = "s3"`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct S3Config {
    /// `https://host[:port]` or `http://host[:port]`, nothing after it.
    pub endpoint: String,
    /// The region requests are signed for.
    pub region: String,
    /// The bucket; it must exist.
    pub bucket: String,
    /// What all keys begin with, without slashes at its ends: several nodes or clouds may share a bucket.
    #[serde(default)]
    pub prefix: String,
    /// Whether the bucket is in the path (objectd, Ceph RGW, MinIO) or, if not, before the endpoint's host (AWS).
    #[serde(default = "default_path_style")]
    pub path_style: bool,
    /// A TOML file with `access_key_id`, `secret_access_key` and perhaps `session_token`, readable by its owner alone.
    pub credentials_file: PathBuf,
    /// PEM certificates of the authorities to trust instead of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

fn default_path_style() -> bool {
    true
}

/// How long is waited for what. The defaults are for production; tests are less patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a TCP connection.
    pub connect: Duration,
    /// For one try of a request, to the last byte of its answer ...
    pub attempt: Duration,
    /// ... and so much more as its body or its answer takes at this speed, in bytes per second.
    pub min_bytes_per_second: u64,
    /// For a call, all its tries and the pauses between them: after it, no new try begins.
    pub call: Duration,
    /// The first pause; each next may be twice as long.
    pub first_pause: Duration,
    /// The longest pause.
    pub max_pause: Duration,
}

impl Timeouts {
    /// A machine that is there answers in less; three lost SYNs fit.
    pub const CONNECT: Duration = Duration::from_secs(8);
    /// A store that is busy may take seconds; one that takes longer serves nobody.
    pub const ATTEMPT: Duration = Duration::from_secs(15);
    /// A tenth of a fast Ethernet: a 16 MiB segment gets 16 s more.
    pub const MIN_BYTES_PER_SECOND: u64 = 1 << 20;
    /// Long enough to sit out the restart of a store, short enough that the engine hears of an outage while it can still slow its
    /// writers down gently.
    pub const CALL: Duration = Duration::from_secs(60);
    pub const FIRST_PAUSE: Duration = Duration::from_millis(50);
    /// What keeps a node with many volumes from storming a store that comes back.
    pub const MAX_PAUSE: Duration = Duration::from_secs(5);
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Self::CONNECT,
            attempt: Self::ATTEMPT,
            min_bytes_per_second: Self::MIN_BYTES_PER_SECOND,
            call: Self::CALL,
            first_pause: Self::FIRST_PAUSE,
            max_pause: Self::MAX_PAUSE,
        }
    }
}

/// Access keys. No part of them is ever printed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Credentials {
    pub(super) access_key_id: String,
    pub(super) secret_access_key: String,
    pub(super) session_token: Option<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

impl Credentials {
    pub(super) fn load(path: &Path) -> Result<Self, StoreError> {
        let name = path.display().to_string();
        let read = || -> io::Result<(u32, String)> {
            let file = fs::File::open(path)?;
            let mode = file.metadata()?.permissions().mode();
            let mut text = String::new();
            file.take(MAX_CREDENTIALS_BYTES).read_to_string(&mut text)?;
            Ok((mode, text))
        };
        let (mode, text) = read().map_err(|error| wrong(&name, format!("store.credentials_file: {error}")))?;
        if mode & 0o007 != 0 {
            return Err(wrong(&name, format!("store.credentials_file is open to everybody (mode {:o})", mode & 0o777)));
        }
        // What toml says of a mistake quotes the line: that may be the secret.
        let credentials: Self = toml::from_str(&text).map_err(|error| {
            let line = error.span().map_or(0, |span| 1 + text[..span.start.min(text.len())].matches('\n').count());
            wrong(&name, format!("store.credentials_file, line {line}: {}", error.message()))
        })?;
        if credentials.access_key_id.is_empty() || credentials.secret_access_key.is_empty() {
            return Err(wrong(&name, "store.credentials_file: a key is empty"));
        }
        Ok(credentials)
    }
}

/// An endpoint taken apart.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) is_https: bool,
    /// As `object_store` wants it: with the bucket, if that belongs to the host.
    pub(super) url: String,
}

impl S3Config {
    /// Checks all that needs no file and no network.
    pub(super) fn check(&self) -> Result<Endpoint, StoreError> {
        let refuse = |why: String| Err(wrong(&self.endpoint, why));
        let uri: Uri = match self.endpoint.parse() {
            Ok(uri) => uri,
            Err(error) => return refuse(format!("store.endpoint is no URL: {error}")),
        };
        let is_https = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return refuse("store.endpoint must begin with https:// or http://".to_owned()),
        };
        let Some(authority) = uri.authority().filter(|authority| !authority.host().is_empty()) else {
            return refuse("store.endpoint names no host".to_owned());
        };
        if authority.as_str().contains('@') {
            // Not shown: it holds a password, perhaps.
            return Err(wrong("store", "store.endpoint must not hold user or password"));
        }
        if uri.query().is_some() || !matches!(uri.path(), "" | "/") {
            return refuse("store.endpoint must end after host and port".to_owned());
        }
        if self.region.is_empty() || !self.region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return refuse(format!("store.region = {:?} is no region", self.region));
        }
        let in_bucket = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
        if !(3..=63).contains(&self.bucket.len()) || !self.bucket.bytes().all(in_bucket) {
            return refuse(format!("store.bucket = {:?} is no name of a bucket", self.bucket));
        }
        if !self.prefix.is_empty() && key::check(crate::Operation::Open, &self.prefix).is_err() {
            return refuse(format!("store.prefix = {:?} is no beginning of a key", self.prefix));
        }
        if self.ca_file.is_some() && !is_https {
            return refuse("store.ca_file is set, but store.endpoint is not https".to_owned());
        }
        let scheme = if is_https { "https" } else { "http" };
        let bucket = if self.path_style { String::new() } else { format!("{}.", self.bucket) };
        Ok(Endpoint { is_https, url: format!("{scheme}://{bucket}{authority}") })
    }
}
