//! The files of one volume: `log`, `checkpoint`, and `writer`, which says who may have written last; and, where segments are uploaded,
//! `dropped`, those that the store may let go of, `ended`, the last writer if it noted all that it dropped, and `settled`, the writer
//! whose last write is in the store.

use crate::backing::{parse_segment_key, segment_key};
use crate::catalogue::{StoreError, replace_file};
use crate::engine::format::{Checkpoint, CheckpointError};
use crate::engine::log::SegmentName;
use crate::snapshot::decode_map;
use rustix::fs::{AtFlags, FlockOperation, OFlags, StatxFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a predecessor's last writes may take to end.
const PREDECESSOR_TIMEOUT: Duration = Duration::from_secs(30);
const PREDECESSOR_POLL: Duration = Duration::from_millis(5);
/// O_DIRECT granularity we rely on; a file system that wants more is used through the page cache.
const SECTOR_BYTES: u32 = 512;
const DIR_MODE: u32 = 0o700;

/// Why a volume's files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    #[error("cannot open {0}")]
    Open(PathBuf, #[source] io::Error),
    #[error("{0} is still being written by another process")]
    Locked(PathBuf),
    #[error("{0} is not to be believed")]
    Checkpoint(PathBuf, #[source] CheckpointError),
    #[error("{0} does not say who wrote last")]
    Writer(PathBuf, #[source] serde_json::Error),
    #[error(transparent)]
    Replace(#[from] StoreError),
}

/// Whose turn it is to write: no two opens of a volume ever have the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Writer {
    /// Counts owners, by compare-and-swap in the store.
    pub epoch: u32,
    /// Counts opens by one owner.
    pub incarnation: u32,
    /// The owner that manifests of ours name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The one that a claim names of which we have not heard whether it came to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// What is here was rebuilt from the manifest with this nonce and was not claimed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rebuilt_from: Option<String>,
    /// What was written under earlier epochs is another node's, which may refer to it in ways that are not known here.
    #[serde(default)]
    pub first_epoch: u32,
}

impl Writer {
    /// Who writes next while the store cannot be asked. None: nobody may, the volume is rebuilt and its old
    /// owner is not shut out yet.
    pub fn without_store(&self) -> Option<Self> {
        // Epoch 0 has written nothing, and its segments would be taken for those of a volume that never had a store.
        let next = Self { epoch: self.epoch.max(1), incarnation: self.incarnation.checked_add(1)?, ..self.clone() };
        self.rebuilt_from.is_none().then_some(next)
    }
}

/// The present run of this machine, of the kernel's random name for it; 0 if it has none.
pub fn boot() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).unwrap_or(0)
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct VolumeFiles {
    dir: PathBuf,
}

impl VolumeFiles {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub fn log_path(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub fn checkpoint_path(&self) -> PathBuf {
        self.dir.join("checkpoint")
    }

    /// An empty log behind `checkpoint`.
    pub fn create(&self, checkpoint: &Checkpoint) -> Result<(), FilesError> {
        let error = |e| FilesError::Open(self.dir.clone(), e);
        DirBuilder::new().recursive(true).mode(DIR_MODE).create(&self.dir).map_err(error)?;
        let log = self.log_path();
        File::create(&log).and_then(|file| file.sync_all()).map_err(|e| FilesError::Open(log, e))?;
        self.put_writer(Writer::default())?;
        Ok(replace_file(&self.checkpoint_path(), &checkpoint.encode())?)
    }

    pub fn checkpoint(&self) -> Result<Checkpoint, FilesError> {
        let path = self.checkpoint_path();
        let bytes = std::fs::read(&path).map_err(|e| FilesError::Open(path.clone(), e))?;
        decode_map(&bytes).map_err(|e| FilesError::Checkpoint(path, e))
    }

    pub fn writer(&self) -> Result<Writer, FilesError> {
        let path = self.dir.join("writer");
        let bytes = std::fs::read(&path).map_err(|e| FilesError::Open(path.clone(), e))?;
        serde_json::from_slice(&bytes).map_err(|e| FilesError::Writer(path, e))
    }

    pub fn put_writer(&self, writer: Writer) -> Result<(), FilesError> {
        let bytes = serde_json::to_vec(&writer).map_err(|e| FilesError::Writer(self.dir.join("writer"), e))?;
        Ok(replace_file(&self.dir.join("writer"), &bytes)?)
    }

    /// Segments that the volume refers to no more and that may still be in the store, as noted last.
    pub fn dropped(&self) -> Vec<SegmentName> {
        // Not there: nothing was noted. What is damaged is at worst left behind.
        let text = std::fs::read_to_string(self.dir.join("dropped")).unwrap_or_default();
        text.lines().filter_map(parse_segment_key).collect()
    }

    pub fn put_dropped(&self, names: impl IntoIterator<Item = SegmentName>) -> Result<(), FilesError> {
        let text: String = names.into_iter().map(|name| segment_key(name) + "\n").collect();
        Ok(replace_file(&self.dir.join("dropped"), text.as_bytes())?)
    }

    /// Whether all that was ever written is in the store.
    pub fn is_settled(&self) -> bool {
        let Ok(writer) = self.writer() else { return false };
        let settled = std::fs::read(self.dir.join("settled")).unwrap_or_default();
        // Nobody has ever written; or it came from there.
        let is_fresh = writer == Writer::default() || writer.rebuilt_from.is_some();
        is_fresh || serde_json::from_slice(&settled).is_ok_and(|settled: Writer| settled == writer)
    }

    /// All that was written until now is in the store, and nobody writes now.
    pub fn put_settled(&self) -> Result<(), FilesError> {
        let path = self.dir.join("settled");
        let bytes = serde_json::to_vec(&self.writer()?).map_err(|e| FilesError::Writer(path.clone(), e))?;
        Ok(replace_file(&path, &bytes)?)
    }

    /// Whether what `writer`, who was the last one, dropped was all noted, and the store has nothing of the volume that nobody knows.
    pub fn has_ended(&self, writer: &Writer) -> bool {
        let ended = std::fs::read(self.dir.join("ended")).unwrap_or_default();
        *writer == Writer::default() || serde_json::from_slice(&ended).is_ok_and(|ended: Writer| ended == *writer)
    }

    pub fn put_ended(&self, writer: &Writer) -> Result<(), FilesError> {
        let path = self.dir.join("ended");
        let bytes = serde_json::to_vec(writer).map_err(|e| FilesError::Writer(path.clone(), e))?;
        Ok(replace_file(&path, &bytes)?)
    }

    /// [`Self::put_ended`] does not hold any more.
    pub fn forget_ended(&self) {
        // Not there: it did not hold before.
        let _ = std::fs::remove_file(self.dir.join("ended"));
    }

    /// The log, ours alone; true if for O_DIRECT.
    ///
    /// After SIGKILL the kernel may still carry out writes of the dead process. The lock is held on the very file description that
    /// is written through, which the kernel gives up only when the last request on it has ended. Who has the lock therefore knows
    /// that no write of a predecessor lands after one of its own.
    pub fn open_log(&self) -> Result<(File, bool), FilesError> {
        let path = self.log_path();
        let (file, direct) = open_direct(&path).map_err(|e| FilesError::Open(path.clone(), e))?;
        let deadline = Instant::now() + PREDECESSOR_TIMEOUT;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok((file, direct)),
                Err(Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(PREDECESSOR_POLL),
                Err(Errno::WOULDBLOCK) => return Err(FilesError::Locked(path)),
                Err(e) => return Err(FilesError::Open(path, e.into())),
            }
        }
    }
}

/// Open for O_DIRECT where the file system does it in sectors, else through the page cache.
fn open_direct(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    let buffered = options.open(path)?;
    let stat = rustix::fs::statx(&buffered, c"", AtFlags::EMPTY_PATH, StatxFlags::DIOALIGN)?;
    let known = StatxFlags::from_bits_retain(stat.stx_mask).contains(StatxFlags::DIOALIGN);
    let fits = |align: u32| align != 0 && align <= SECTOR_BYTES;
    if !known || !fits(stat.stx_dio_offset_align) || !fits(stat.stx_dio_mem_align) {
        return Ok((buffered, false));
    }
    Ok((options.custom_flags(OFlags::DIRECT.bits() as i32).open(path)?, true))
}
