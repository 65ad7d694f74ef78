//! Errors of the daemon and of its ports.

use hive_netd_api::{ErrorKind, Reply};
use std::path::PathBuf;

/// Why the daemon could not start or store what it was told.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("cannot {action} {}", path.display())]
    File { action: &'static str, path: PathBuf, source: std::io::Error },
    #[error("{} holds no usable state: {why}", path.display())]
    State { path: PathBuf, why: String },
    #[error("cannot {action}")]
    System { action: &'static str, source: std::io::Error },
}

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("{object} not found")]
    NotFound { object: String },
    #[error("{object} is in use: {why}")]
    InUse { object: String, why: String },
    #[error("{object}: {why}")]
    Invalid { object: String, why: String },
    #[error("too many {what}: the limit is {limit}")]
    TooMany { what: &'static str, limit: usize },
    #[error(transparent)]
    Io(#[from] DaemonError),
}

impl RequestError {
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::InUse { .. } => ErrorKind::InUse,
            Self::Invalid { .. } => ErrorKind::Invalid,
            Self::TooMany { .. } => ErrorKind::TooMany,
            Self::Io(_) => ErrorKind::Io,
        }
    }
}

/// What a client is told of a result.
pub fn reply_of(result: Result<Reply, RequestError>) -> Reply {
    result.unwrap_or_else(|error| {
        tracing::info!(%error, "request refused");
        // The source says why where the message says what.
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Reply::Error { kind: error.kind(), message }
    })
}

/// Why a frontend's request could not be met.
#[derive(Debug, thiserror::Error)]
pub enum PortError {
    #[error("cannot use the memory region at guest address {guest_addr:#x}: {why}")]
    Memory { guest_addr: u64, why: String },
    #[error("cannot use the log of written pages: {why}")]
    Log { why: String },
    #[error("cannot start queue {index}: {why}")]
    Queue { index: usize, why: String },
}
