//! Volumes and images on disk. A JSON record makes one exist; it is written last and removed first, so that a crash leaves at
//! most a data file that nobody knows, which the next start removes.
//!
//! `STATE/volumes/ID.json` and `ID.raw`, `STATE/images/ID.json` and `ID.raw`, `STATE/lock`.

use crate::engine::data_ranges;
use hive_blockd_api::{BLOCK_SIZE_BYTES, ImageId, VolumeId};
use rustix::fs::{FlockOperation, Mode, OFlags};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Version of the records' format.
const RECORD_VERSION: u32 = 1;
/// Longest record; they are a few hundred bytes.
const MAX_RECORD_BYTES: u64 = 64 << 10;
/// How long a dying predecessor may keep the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(10);
const DIR_MODE: u32 = 0o700;
/// Copied at a time where the kernel does not copy by itself.
const COPY_BUFFER_BYTES: usize = 1 << 20;

/// An attachment to be served from every start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attachment {
    pub queues: u16,
    pub read_only: bool,
    pub serial: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeRecord {
    pub version: u32,
    pub size_bytes: u64,
    /// Size at creation: what a repeated request is compared with.
    pub created_size_bytes: u64,
    pub image_id: Option<ImageId>,
    pub attachment: Option<Attachment>,
}

impl VolumeRecord {
    pub fn new(size_bytes: u64, image_id: Option<ImageId>) -> Self {
        Self { version: RECORD_VERSION, size_bytes, created_size_bytes: size_bytes, image_id, attachment: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRecord {
    pub version: u32,
    pub size_bytes: u64,
    /// Where it was imported from: what a repeated request is compared with.
    pub source: PathBuf,
}

/// What was attempted on which file.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("cannot {action} {path}")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{0} is not a record of this version")]
    Record(PathBuf, #[source] serde_json::Error),
    #[error("{0} has record version {1}, this daemon knows {RECORD_VERSION}")]
    Version(PathBuf, u32),
    #[error("another daemon uses {0}")]
    Locked(PathBuf),
    #[error("{0} is not a regular file")]
    NotAFile(PathBuf),
}

impl StoreError {
    /// The disk is full.
    pub fn is_no_space(&self) -> bool {
        matches!(self, Self::Io { source, .. } if matches!(source.raw_os_error(), Some(libc::ENOSPC | libc::EDQUOT)))
    }
}

/// Name the action and the file in an I/O error.
trait Context<T> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|e| StoreError::Io { action, path: path.to_owned(), source: e.into() })
    }
}

/// The open state directory.
#[derive(Debug)]
pub struct Store {
    volumes_dir: PathBuf,
    images_dir: PathBuf,
    imports: AtomicU64,
    _lock: File,
}

impl Store {
    /// Open or create `state_dir`, clear away what a crash left half-made.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let (volumes_dir, images_dir) = (state_dir.join("volumes"), state_dir.join("images"));
        for dir in [&volumes_dir, &images_dir] {
            DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir).context("create", dir)?;
        }
        let store = Self { volumes_dir, images_dir, imports: AtomicU64::new(0), _lock: lock(&state_dir.join("lock"))? };
        for dir in [&store.volumes_dir, &store.images_dir] {
            remove_leftovers(dir)?;
        }
        Ok(store)
    }

    pub fn volumes(&self) -> Result<BTreeMap<VolumeId, VolumeRecord>, StoreError> {
        let records: BTreeMap<_, VolumeRecord> = read_all(&self.volumes_dir)?;
        for (id, record) in &records {
            check_version(&self.volumes_dir, id, record.version)?;
        }
        Ok(records)
    }

    pub fn images(&self) -> Result<BTreeMap<ImageId, ImageRecord>, StoreError> {
        let records: BTreeMap<_, ImageRecord> = read_all(&self.images_dir)?;
        for (id, record) in &records {
            check_version(&self.images_dir, id, record.version)?;
        }
        Ok(records)
    }

    pub fn volume_data(&self, id: &VolumeId) -> PathBuf {
        self.volumes_dir.join(format!("{id}.raw"))
    }

    pub fn image_data(&self, id: &ImageId) -> PathBuf {
        self.images_dir.join(format!("{id}.raw"))
    }

    /// Bytes of disk the volume's own data takes.
    pub fn allocated_bytes(&self, id: &VolumeId) -> Result<u64, StoreError> {
        let path = self.volume_data(id);
        // stat(2) counts in 512 bytes whatever the file system's block is.
        Ok(std::fs::metadata(&path).context("examine", &path)?.blocks() * 512)
    }

    /// An empty data file, then the record: instant, whatever the size and the image.
    pub fn create_volume(&self, id: &VolumeId, record: &VolumeRecord) -> Result<(), StoreError> {
        let path = self.volume_data(id);
        let file = File::create(&path).context("create", &path)?;
        file.set_len(record.size_bytes).context("size", &path)?;
        file.sync_all().context("sync", &path)?;
        self.update_volume(id, record)
    }

    /// Replace the record atomically and durably.
    pub fn update_volume(&self, id: &VolumeId, record: &VolumeRecord) -> Result<(), StoreError> {
        write_record(&self.volumes_dir, id, record)
    }

    pub fn delete_volume(&self, id: &VolumeId) -> Result<(), StoreError> {
        remove(&self.volumes_dir, id)
    }

    /// Grow the data file, then the record.
    pub fn resize_volume(&self, id: &VolumeId, record: &VolumeRecord) -> Result<(), StoreError> {
        let path = self.volume_data(id);
        let file = OpenOptions::new().write(true).open(&path).context("open", &path)?;
        file.set_len(record.size_bytes).context("size", &path)?;
        file.sync_all().context("sync", &path)?;
        self.update_volume(id, record)
    }

    /// Copy `source` in under a temporary name: holes stay holes, and where the file system shares extents nothing is copied.
    pub fn stage_image(&self, id: &ImageId, source: &Path) -> Result<StagedImage, StoreError> {
        // Not blocking on a FIFO that someone put there.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let from = File::from(rustix::fs::open(source, flags, Mode::empty()).context("open", source)?);
        let metadata = from.metadata().context("examine", source)?;
        if !metadata.is_file() {
            return Err(StoreError::NotAFile(source.to_owned()));
        }
        let number = self.imports.fetch_add(1, Ordering::Relaxed);
        let staged = StagedImage {
            path: self.images_dir.join(format!("{id}.{number}.tmp")),
            record: ImageRecord {
                version: RECORD_VERSION,
                // Whole blocks, so that every block of a clone can be copied up; the rest reads zeros.
                size_bytes: metadata.len().next_multiple_of(BLOCK_SIZE_BYTES),
                source: source.to_owned(),
            },
        };
        let to = File::create(&staged.path).context("create", &staged.path)?;
        if rustix::fs::ioctl_ficlone(&to, &from).is_err() {
            copy_sparsely(&from, &to).context("copy into", &staged.path)?;
        }
        to.set_len(staged.record.size_bytes).context("size", &staged.path)?;
        to.sync_all().context("sync", &staged.path)?;
        Ok(staged)
    }

    /// Make a staged image visible.
    pub fn publish_image(&self, id: &ImageId, staged: StagedImage) -> Result<(), StoreError> {
        let path = self.image_data(id);
        std::fs::rename(&staged.path, &path).context("rename to", &path)?;
        write_record(&self.images_dir, id, &staged.record)
    }

    pub fn delete_image(&self, id: &ImageId) -> Result<(), StoreError> {
        remove(&self.images_dir, id)
    }
}

/// An image's data under a temporary name, removed if it is not published.
#[derive(Debug)]
pub struct StagedImage {
    path: PathBuf,
    pub record: ImageRecord,
}

impl Drop for StagedImage {
    fn drop(&mut self) {
        // Gone already if it was published; else the next start tries again.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Wait for a predecessor to be gone; the lock goes with its last thread.
fn lock(path: &Path) -> Result<File, StoreError> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).context("open", path)?;
    let deadline = Instant::now() + LOCK_TIMEOUT;
    loop {
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < deadline => std::thread::sleep(LOCK_POLL),
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(StoreError::Locked(path.to_owned())),
            Err(e) => return Err(e).context("lock", path),
        }
    }
}

fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    File::open(dir).and_then(|d| d.sync_all()).context("sync", dir)
}

fn write_record(dir: &Path, id: &impl AsRef<str>, record: &impl Serialize) -> Result<(), StoreError> {
    let path = dir.join(format!("{}.json", id.as_ref()));
    let temporary = dir.join(format!("{}.json.tmp", id.as_ref()));
    let bytes = serde_json::to_vec_pretty(record).map_err(|e| StoreError::Record(path.clone(), e))?;
    let mut file = File::create(&temporary).context("create", &temporary)?;
    file.write_all(&bytes).context("write", &temporary)?;
    file.sync_all().context("sync", &temporary)?;
    std::fs::rename(&temporary, &path).context("rename to", &path)?;
    sync_dir(dir)
}

/// The record first: without it the data is nobody's.
fn remove(dir: &Path, id: &impl AsRef<str>) -> Result<(), StoreError> {
    for extension in ["json", "raw"] {
        let path = dir.join(format!("{}.{extension}", id.as_ref()));
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).context("remove", &path),
            _ => sync_dir(dir)?,
        }
    }
    Ok(())
}

fn paths(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = std::fs::read_dir(dir).context("list", dir)?;
    entries.map(|entry| Ok(entry.context("list", dir)?.path())).collect()
}

fn read_all<I: FromStr + Ord, R: DeserializeOwned>(dir: &Path) -> Result<BTreeMap<I, R>, StoreError> {
    let mut records = BTreeMap::new();
    for path in paths(dir)? {
        let id = path.file_stem().and_then(OsStr::to_str).and_then(|stem| I::from_str(stem).ok());
        let (Some(id), Some("json")) = (id, path.extension().and_then(OsStr::to_str)) else { continue };
        let len = std::fs::metadata(&path).context("examine", &path)?.len();
        if len > MAX_RECORD_BYTES {
            let error = io::Error::new(io::ErrorKind::InvalidData, "far too long for a record");
            return Err(error).context("read", &path);
        }
        let bytes = std::fs::read(&path).context("read", &path)?;
        records.insert(id, serde_json::from_slice(&bytes).map_err(|e| StoreError::Record(path, e))?);
    }
    Ok(records)
}

fn check_version(dir: &Path, id: &impl AsRef<str>, version: u32) -> Result<(), StoreError> {
    if version == RECORD_VERSION {
        return Ok(());
    }
    Err(StoreError::Version(dir.join(format!("{}.json", id.as_ref())), version))
}

/// Remove data without a record, and everything temporary.
fn remove_leftovers(dir: &Path) -> Result<(), StoreError> {
    for path in paths(dir)? {
        let orphan = match path.extension().and_then(OsStr::to_str) {
            Some("raw") => !path.with_extension("json").exists(),
            Some("tmp") => true,
            _ => false,
        };
        if orphan {
            tracing::info!(path = %path.display(), "removing what was left half-made");
            std::fs::remove_file(&path).context("remove", &path)?;
        }
    }
    sync_dir(dir)
}

fn copy_sparsely(from: &File, to: &File) -> io::Result<()> {
    for range in data_ranges(from)? {
        let (mut read_at, mut write_at) = (range.start, range.start);
        while read_at < range.end {
            let len = usize::try_from(range.end - read_at).map_err(io::Error::other)?;
            let copied = match rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), len) {
                // Between file systems the kernel leaves the copying to us.
                Err(rustix::io::Errno::XDEV) => {
                    let copied = copy_through_memory(from, to, read_at, len)?;
                    (read_at, write_at) = (read_at + copied, write_at + copied);
                    copied
                }
                copied => copied? as u64,
            };
            if copied == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the source shrinks while it is copied"));
            }
        }
    }
    Ok(())
}

/// Copy at most `len` bytes at `offset`, one buffer's worth; returns how many, 0 at the end of `from`.
fn copy_through_memory(from: &File, to: &File, offset: u64, len: usize) -> io::Result<u64> {
    let mut buffer = vec![0; len.min(COPY_BUFFER_BYTES)];
    let read = from.read_at(&mut buffer, offset)?;
    to.write_all_at(&buffer[..read], offset)?;
    Ok(read as u64)
}
