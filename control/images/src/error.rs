use std::io;
use std::path::{Path, PathBuf};

use crate::manifest::ManifestError;

/// Why an image could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error("no image recipe is called {name}; there are hive-minimal and debian-12")]
    UnknownRecipe { name: String },

    #[error("{step}: cannot start {program} (is it installed?)")]
    Start {
        step: &'static str,
        program: String,
        #[source]
        source: io::Error,
    },

    #[error("{step}: {program} failed with {status}; it wrote:\n{stderr_tail}")]
    Tool { step: &'static str, program: String, status: String, stderr_tail: String },

    #[error("{step}: {program} wrote something unexpected: {detail}")]
    Output { step: &'static str, program: &'static str, detail: String },

    #[error("{step} {path}")]
    Io {
        step: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },

    #[error("{path} is missing from Debian's packages")]
    MissingFromPackage { path: PathBuf },

    #[error("kernel module {name} is not in the kernel package, or needs itself")]
    Module { name: String },

    #[error("building debian-12 needs root: its files belong to several users")]
    NeedsRoot,

    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// For `map_err`: an I/O error on `path` while doing `step`.
pub(crate) fn io_error(step: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Io { step, path, source }
}
