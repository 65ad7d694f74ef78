//! The pidfile: the process's id, under a lock by which others see that it runs.

use rustix::fs::{FlockOperation, fcntl_lock};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// Held as long as the process runs; removed when it is dropped.
#[derive(Debug)]
pub struct Pidfile {
    path: PathBuf,
    // ovs-appctl believes a pidfile only under an fcntl lock of the process it names. Any close of the file would lose it.
    _locked: File,
}

#[derive(Debug, thiserror::Error)]
pub enum PidfileError {
    #[error("{path}: already running as process {pid}")]
    Running { path: PathBuf, pid: String },
    #[error("{path}: cannot {action}: {source}")]
    Io { path: PathBuf, action: &'static str, source: io::Error },
}

/// Enough for any process id; the rest of a file that is something else is not read.
const MAX_PID_BYTES: u64 = 20;

impl Pidfile {
    /// Makes the file, in the place of one whose process is gone.
    pub fn create(path: &Path) -> Result<Self, PidfileError> {
        let failed = |action| move |source| PidfileError::Io { path: path.to_owned(), action, source };
        match File::options().read(true).write(true).open(path) {
            Ok(mut old) => {
                if fcntl_lock(&old, FlockOperation::NonBlockingLockExclusive).is_err() {
                    let mut pid = String::new();
                    let _ = (&mut old).take(MAX_PID_BYTES).read_to_string(&mut pid);
                    return Err(PidfileError::Running { path: path.to_owned(), pid: pid.trim().to_owned() });
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed("open")(error)),
        }
        // Written and locked before it has its name: nobody sees it half made.
        let mut temporary = path.as_os_str().to_owned();
        temporary.push(format!(".tmp{}", std::process::id()));
        let temporary = PathBuf::from(temporary);
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).open(&temporary).map_err(failed("create"))?;
        let placed = fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(file, "{}", std::process::id()))
            .and_then(|()| std::fs::rename(&temporary, path));
        placed.map_err(|error| {
            let _ = std::fs::remove_file(&temporary);
            failed("write")(error)
        })?;
        Ok(Self { path: path.to_owned(), _locked: file })
    }
}

impl Drop for Pidfile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}
