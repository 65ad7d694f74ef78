//! Why a request failed, as the API tells it.

use crate::catalogue::StoreError as RecordError;
use crate::export::StartError;
use crate::keys::KeyError;
use crate::snapshot::SnapshotError;
use crate::snapshot::blocks::CopyError;
use crate::snapshot::reader::ReadError;
use crate::volume::OpenError;
use crate::volume::files::FilesError;
use crate::volume::restore::RestoreError;
use hive_blockd_api::{ErrorKind, Reply, VolumeId};
use hive_blockd_store::StoreError;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error("no {0}")]
    NotFound(String),
    #[error("{0} exists with other parameters")]
    Exists(String),
    #[error("{0}")]
    InUse(String),
    #[error("{0}")]
    Invalid(String),
    /// Of a volume or a snapshot, and what is wrong with it.
    #[error("the record of {0} is damaged, which is left as it is: {1}")]
    Damaged(String, String),
    #[error("cannot {0}")]
    Record(&'static str, #[source] RecordError),
    #[error("cannot {0}")]
    Files(&'static str, #[source] FilesError),
    #[error("cannot open volume {0}")]
    Open(VolumeId, #[source] OpenError),
    #[error("cannot restore volume {0}")]
    Restore(VolumeId, #[source] RestoreError),
    #[error("cannot serve volume {0}")]
    Start(VolumeId, #[source] StartError),
    #[error("volume {0} did not end cleanly")]
    Stop(VolumeId, #[source] std::io::Error),
    #[error("cannot use {0}")]
    Path(PathBuf, #[source] std::io::Error),
    #[error("cannot {0}")]
    Store(String, #[source] StoreError),
    #[error("cannot {0}")]
    Snapshot(String, #[source] SnapshotError),
    #[error("cannot {0}")]
    Read(String, #[source] ReadError),
    #[error("cannot {0}")]
    Copy(String, #[source] CopyError),
    #[error("cannot {0}")]
    Key(String, #[source] KeyError),
    #[error("{0} takes too long; nothing was done")]
    Slow(String),
}

impl DaemonError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Exists(_) => ErrorKind::Exists,
            Self::InUse(_) => ErrorKind::InUse,
            Self::Invalid(_) => ErrorKind::Invalid,
            Self::Record(_, e) if e.is_no_space() => ErrorKind::NoSpace,
            Self::Store(_, StoreError::NoSpace { .. }) => ErrorKind::NoSpace,
            Self::Path(_, e) if e.raw_os_error() == Some(libc::ENOSPC) => ErrorKind::NoSpace,
            Self::Path(_, e) if e.kind() == std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            Self::Path(_, e) if e.kind() == std::io::ErrorKind::AlreadyExists => ErrorKind::Exists,
            Self::Path(_, e) if e.kind() == std::io::ErrorKind::InvalidInput => ErrorKind::Invalid,
            _ => ErrorKind::Io,
        }
    }
}

impl From<DaemonError> for Reply {
    fn from(error: DaemonError) -> Self {
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(error) = source {
            let text = error.to_string();
            // Transparent errors repeat what they wrap.
            if !message.ends_with(&text) {
                message += &format!(": {text}");
            }
            source = error.source();
        }
        Self::Error { kind: error.kind(), message }
    }
}
