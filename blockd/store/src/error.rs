//! What can go wrong with a store, sorted by what the caller can do about it.

use std::{fmt, io, sync::Arc};

/// What lies below an error; shared, because one failed fetch may have many waiters.
pub type Cause = Arc<dyn std::error::Error + Send + Sync>;

/// What was asked of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Open,
    Get,
    GetRange,
    Size,
    Put,
    PutIf,
    Delete,
    List,
    /// Writing fetched bytes to the local cache file.
    FillCache,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Get => "get",
            Self::GetRange => "get range of",
            Self::Size => "get size of",
            Self::Put => "put",
            Self::PutIf => "conditional put of",
            Self::Delete => "delete",
            Self::List => "list",
            Self::FillCache => "fill cache from",
        })
    }
}

/// An operation and the object (key, prefix of a list, or path of a store) it was meant for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub operation: Operation,
    pub object: String,
}

impl Attempt {
    pub fn new(operation: Operation, object: impl Into<String>) -> Self {
        Self { operation, object: object.into() }
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.object)
    }
}

/// A cause that is only a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Said(String);

/// A [`Cause`] of plain words.
pub(crate) fn said(text: impl Into<String>) -> Cause {
    Arc::new(Said(text.into()))
}

/// Why an operation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such object.
    #[error("{attempt}: no such object")]
    NotFound { attempt: Attempt },
    /// The condition of a conditional put does not hold, and the object's contents are not the caller's.
    ///
    /// `perhaps_applied`: the answer to an earlier try of this call was lost, so the contents may have been there for a while
    /// and been replaced since. Whoever must count exactly looks for its mark in what is there now.
    #[error("{attempt}: another writer was first")]
    Conflict { attempt: Attempt, perhaps_applied: bool },
    /// The store refuses who asks. Repeating helps only after somebody changed credentials or permissions.
    #[error("{attempt}: access denied")]
    Denied { attempt: Attempt, source: Cause },
    /// The store can be read, but takes no writes.
    #[error("{attempt}: store is read-only")]
    ReadOnly { attempt: Attempt, source: Cause },
    /// The store is full.
    #[error("{attempt}: no space left in the store")]
    NoSpace { attempt: Attempt, source: Cause },
    /// The store did not answer, or answered that it cannot now. Worth retrying; a write may have happened all the same.
    #[error("{attempt}: store is unavailable")]
    Unavailable { attempt: Attempt, source: Cause },
    /// What is stored is not what must be there: too short, too large, an answer that makes no sense.
    #[error("{attempt}: object is damaged")]
    Damaged { attempt: Attempt, source: Cause },
    /// The request or the configuration is wrong, and stays wrong.
    #[error("{attempt}: invalid request")]
    Invalid { attempt: Attempt, source: Cause },
}

impl StoreError {
    /// Whether the same request may succeed later without anybody changing it: the store is unavailable, full, or read-only for
    /// now. The last two need an operator, but must not lose what waits to be uploaded.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::NoSpace { .. } | Self::ReadOnly { .. })
    }

    /// What was attempted, on which object.
    pub fn attempt(&self) -> &Attempt {
        match self {
            Self::NotFound { attempt }
            | Self::Conflict { attempt, .. }
            | Self::Denied { attempt, .. }
            | Self::ReadOnly { attempt, .. }
            | Self::NoSpace { attempt, .. }
            | Self::Unavailable { attempt, .. }
            | Self::Damaged { attempt, .. }
            | Self::Invalid { attempt, .. } => attempt,
        }
    }

    /// An error of a local file system.
    pub(crate) fn from_io(attempt: Attempt, error: io::Error) -> Self {
        use Operation::{Delete, FillCache, Open, Put, PutIf};
        let writes = matches!(attempt.operation, Open | Put | PutIf | Delete | FillCache);
        let source: Cause = Arc::new(error);
        let kind = source.downcast_ref::<io::Error>().map_or(io::ErrorKind::Other, io::Error::kind);
        match kind {
            io::ErrorKind::NotFound => Self::NotFound { attempt },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoSpace { attempt, source },
            io::ErrorKind::ReadOnlyFilesystem => Self::ReadOnly { attempt, source },
            io::ErrorKind::PermissionDenied if writes => Self::ReadOnly { attempt, source },
            io::ErrorKind::PermissionDenied => Self::Denied { attempt, source },
            io::ErrorKind::UnexpectedEof => Self::Damaged { attempt, source },
            io::ErrorKind::InvalidFilename => Self::Invalid { attempt, source },
            _ => Self::Unavailable { attempt, source },
        }
    }
}

/// The error and all it came from, on one line: for logs and tests.
pub fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(operation: Operation, errno: rustix::io::Errno) -> StoreError {
        StoreError::from_io(Attempt::new(operation, "vol/1"), errno.into())
    }

    #[test]
    fn errno_by_errno() {
        use rustix::io::Errno;
        assert!(matches!(of(Operation::Put, Errno::NOSPC), StoreError::NoSpace { .. }));
        assert!(matches!(of(Operation::Put, Errno::DQUOT), StoreError::NoSpace { .. }));
        assert!(matches!(of(Operation::Put, Errno::ROFS), StoreError::ReadOnly { .. }));
        assert!(matches!(of(Operation::Put, Errno::ACCESS), StoreError::ReadOnly { .. }));
        assert!(matches!(of(Operation::Get, Errno::ACCESS), StoreError::Denied { .. }));
        assert!(matches!(of(Operation::Get, Errno::NOENT), StoreError::NotFound { .. }));
        assert!(matches!(of(Operation::Get, Errno::IO), StoreError::Unavailable { .. }));
        assert!(of(Operation::Put, Errno::NOSPC).is_transient());
        assert!(!of(Operation::Get, Errno::NOENT).is_transient());
    }

    #[test]
    fn the_message_names_operation_object_and_cause() {
        let text = chain(&of(Operation::GetRange, rustix::io::Errno::IO));
        assert!(text.starts_with("get range of vol/1: store is unavailable: "), "{text}");
        assert!(text.contains("os error 5"), "{text}");
    }
}
