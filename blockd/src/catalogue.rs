//! Volumes and snapshots on disk. A JSON record makes one exist; it is written last and removed first, so that a crash leaves at
//! most data that nobody knows, which the next start removes.
//!
//! ```text
//! STATE/volumes/ID.json      record              STATE/volumes/ID/      log, checkpoint, writer (see `volume::files`)
//! STATE/snapshots/ID.json    record              STATE/snapshots/ID.map its checkpoint; ID.raw while blocks are put
//! STATE/snapshots/ID.batch   records that are being made together: all of them exist
//! STATE/lock                                     STATE/cache            what was fetched from the store
//! STATE/removals/NAME        what is still to be removed from the store
//! ```

use hive_blockd_api::{Limits, MAX_VOLUME_SIZE_BYTES, SnapshotId, SnapshotState, StoreName, VolumeId};
use rustix::fs::FlockOperation;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Version of the records' format.
const RECORD_VERSION: u32 = 2;
/// Longest record; they are a few hundred bytes.
const MAX_RECORD_BYTES: u64 = 64 << 10;
/// How long a dying predecessor may keep the lock.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
const LOCK_POLL: Duration = Duration::from_millis(10);
const DIR_MODE: u32 = 0o700;

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
    /// Names the volume in its log and in the store, in hexadecimal; drawn at creation.
    pub uid: String,
    pub size_bytes: u64,
    /// Size at creation: what a repeated request is compared with.
    pub created_size_bytes: u64,
    pub snapshot_id: Option<SnapshotId>,
    pub encrypted: bool,
    pub limits: Limits,
    pub attachment: Option<Attachment>,
}

/// How a snapshot came to be: what a repeated request is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    Volume(VolumeId),
    Import(PathBuf),
    Copy(SnapshotId),
    /// A copy of one in another region's store.
    PeerCopy(StoreName, SnapshotId),
    /// Written block by block, on top of a parent.
    Blocks(Option<SnapshotId>),
    /// Found in the store, made by another node.
    Store,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotRecord {
    pub version: u32,
    pub state: SnapshotState,
    pub fault: Option<String>,
    pub origin: Origin,
    pub size_bytes: u64,
    pub volume_id: Option<VolumeId>,
    pub encrypted: bool,
    pub created_unix_s: u64,
    pub stored_bytes: u64,
    /// No more blocks are put: what is left is to bring it to the store.
    pub sealed: bool,
    /// A copy under way: what it is made from and how, so that it may go on after a death. Its map names the builder's key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub building: Option<String>,
}

pub const VERSION: u32 = RECORD_VERSION;

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
    #[error("{0} is of {1} bytes, which nothing has")]
    Size(PathBuf, u64),
    #[error("another daemon uses {0}")]
    Locked(PathBuf),
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

/// All records of a kind.
#[derive(Debug, PartialEq, Eq)]
pub struct Records<I: Ord, R> {
    pub whole: BTreeMap<I, R>,
    /// Those that cannot be believed, and why. Their files are never touched: somebody may still make sense of them.
    pub damaged: BTreeMap<I, String>,
}

/// The open state directory.
#[derive(Debug)]
pub struct Catalogue {
    state_dir: PathBuf,
    volumes_dir: PathBuf,
    snapshots_dir: PathBuf,
    removals_dir: PathBuf,
    /// By the first of the snapshots in it; which others there are is not known.
    damaged_batches: BTreeMap<SnapshotId, String>,
    _lock: File,
}

impl Catalogue {
    /// Open or create `state_dir`, clear away what a crash left half-made.
    pub fn open(state_dir: &Path) -> Result<Self, StoreError> {
        let (volumes_dir, snapshots_dir) = (state_dir.join("volumes"), state_dir.join("snapshots"));
        let removals_dir = state_dir.join("removals");
        for dir in [&volumes_dir, &snapshots_dir, &removals_dir] {
            DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir).context("create", dir)?;
        }
        let lock = lock(&state_dir.join("lock"))?;
        let damaged_batches = BTreeMap::new();
        let state_dir = state_dir.to_owned();
        let mut catalogue = Self { state_dir, volumes_dir, snapshots_dir, removals_dir, damaged_batches, _lock: lock };
        catalogue.finish_batches()?;
        remove_leftovers(&catalogue.volumes_dir)?;
        // Data without a record may belong to a record that cannot be read.
        if catalogue.damaged_batches.is_empty() {
            remove_leftovers(&catalogue.snapshots_dir)?;
        }
        Ok(catalogue)
    }

    pub fn state_dir(&self) -> &Path {
        &self.state_dir
    }

    pub fn volumes(&self) -> Result<Records<VolumeId, VolumeRecord>, StoreError> {
        read_all(&self.volumes_dir, |record: &VolumeRecord| (record.version, record.size_bytes))
    }

    pub fn snapshots(&self) -> Result<Records<SnapshotId, SnapshotRecord>, StoreError> {
        let mut records = read_all(&self.snapshots_dir, |record: &SnapshotRecord| (record.version, record.size_bytes))?;
        records.damaged.extend(self.damaged_batches.iter().map(|(id, reason)| (id.clone(), reason.clone())));
        Ok(records)
    }

    pub fn volume_dir(&self, id: &VolumeId) -> PathBuf {
        self.volumes_dir.join(id.as_ref())
    }

    /// Where the checkpoint that a snapshot is lies.
    pub fn snapshot_map(&self, id: &SnapshotId) -> PathBuf {
        self.snapshots_dir.join(format!("{id}.map"))
    }

    /// Where blocks are put until the snapshot is complete.
    pub fn snapshot_blocks(&self, id: &SnapshotId) -> PathBuf {
        self.snapshots_dir.join(format!("{id}.raw"))
    }

    /// Bytes of this node's disk that the volume takes.
    pub fn allocated_bytes(&self, id: &VolumeId) -> Result<u64, StoreError> {
        let path = self.volume_dir(id).join("log");
        // stat(2) counts in 512 bytes whatever the file system's block is.
        Ok(std::fs::metadata(&path).context("examine", &path)?.blocks() * 512)
    }

    /// Replace the record atomically and durably.
    pub fn put_volume(&self, id: &VolumeId, record: &VolumeRecord) -> Result<(), StoreError> {
        write_record(&self.volumes_dir, id, record)
    }

    /// The record first: without it the data is nobody's.
    pub fn delete_volume(&self, id: &VolumeId) -> Result<(), StoreError> {
        remove(&self.volumes_dir.join(format!("{id}.json")))?;
        sync_dir(&self.volumes_dir)?;
        // Aside, for whoever had it open may be about to write its last notes there; as what is temporary it goes at the next start too.
        let (dir, aside) = (self.volume_dir(id), self.volumes_dir.join(format!("{id}.tmp")));
        remove_dir(&aside)?;
        match std::fs::rename(&dir, &aside) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).context("put aside", &dir),
            _ => remove_dir(&aside)?,
        }
        sync_dir(&self.volumes_dir)
    }

    pub fn put_snapshot(&self, id: &SnapshotId, record: &SnapshotRecord) -> Result<(), StoreError> {
        write_record(&self.snapshots_dir, id, record)
    }

    /// New records, all or none of them, whenever we die.
    pub fn put_new_snapshots(&self, records: &BTreeMap<SnapshotId, SnapshotRecord>) -> Result<(), StoreError> {
        let Some(first) = records.keys().next() else { return Ok(()) };
        if let (1, Some(record)) = (records.len(), records.get(first)) {
            return self.put_snapshot(first, record);
        }
        let path = self.snapshots_dir.join(format!("{first}.batch"));
        let bytes = serde_json::to_vec(records).map_err(|e| StoreError::Record(path.clone(), e))?;
        replace_file(&path, &bytes)?;
        let written = self.write_batch(&path, records);
        if written.is_err() {
            // If the batch cannot be removed now, the next start finishes it: they exist then, as if asked for by somebody else.
            remove(&path).and_then(|()| sync_dir(&self.snapshots_dir))?;
            for id in records.keys() {
                remove(&self.snapshots_dir.join(format!("{id}.json")))?;
            }
        }
        written
    }

    fn write_batch(&self, path: &Path, records: &BTreeMap<SnapshotId, SnapshotRecord>) -> Result<(), StoreError> {
        for (id, record) in records {
            if !self.snapshots_dir.join(format!("{id}.json")).exists() {
                self.put_snapshot(id, record)?;
            }
        }
        // Gone for good before anybody may delete one of them: it must not come back.
        remove(path)?;
        sync_dir(&self.snapshots_dir)
    }

    /// Write the records that a predecessor's end has left unwritten.
    fn finish_batches(&mut self) -> Result<(), StoreError> {
        for path in paths(&self.snapshots_dir)? {
            if path.extension() != Some(OsStr::new("batch")) {
                continue;
            }
            let read = std::fs::read(&path).context("read", &path).and_then(|bytes| {
                serde_json::from_slice::<BTreeMap<SnapshotId, SnapshotRecord>>(&bytes)
                    .map_err(|e| StoreError::Record(path.clone(), e))
            });
            match read {
                Ok(records) => {
                    tracing::info!(path = %path.display(), "finishing snapshots that are made together");
                    self.write_batch(&path, &records)?;
                }
                Err(error) => {
                    let error = anyhow::Error::from(error);
                    tracing::error!(error = format!("{error:#}"), "damaged, left as it is");
                    self.damaged_batches.extend(id_of(&path).map(|id| (id, format!("{error:#}"))));
                }
            }
        }
        Ok(())
    }

    /// Atomically and durably.
    pub fn put_snapshot_map(&self, id: &SnapshotId, bytes: &[u8]) -> Result<(), StoreError> {
        replace_file(&self.snapshot_map(id), bytes)
    }

    /// Durably.
    pub fn put_removal(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        replace_file(&self.removals_dir.join(name), bytes)
    }

    pub fn removals(&self) -> Result<Vec<(PathBuf, Vec<u8>)>, StoreError> {
        let mut removals = Vec::new();
        for path in paths(&self.removals_dir)? {
            if path.extension() != Some(OsStr::new("tmp")) {
                let bytes = std::fs::read(&path).context("read", &path)?;
                removals.push((path, bytes));
            }
        }
        Ok(removals)
    }

    pub fn delete_removal(&self, name: &str) -> Result<(), StoreError> {
        remove(&self.removals_dir.join(name))
    }

    pub fn delete_snapshot(&self, id: &SnapshotId) -> Result<(), StoreError> {
        for path in [self.snapshots_dir.join(format!("{id}.json")), self.snapshot_map(id), self.snapshot_blocks(id)] {
            remove(&path)?;
            sync_dir(&self.snapshots_dir)?;
        }
        Ok(())
    }
}

/// Write a file so that its name always leads to whole contents, old or new, also after a power loss.
pub fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary).context("create", &temporary)?;
    file.write_all(bytes).context("write", &temporary)?;
    file.sync_all().context("sync", &temporary)?;
    std::fs::rename(&temporary, path).context("rename to", path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).context("remove", path),
        _ => Ok(()),
    }
}

fn remove_dir(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e).context("remove", path),
        _ => Ok(()),
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
    let bytes = serde_json::to_vec_pretty(record).map_err(|e| StoreError::Record(path.clone(), e))?;
    replace_file(&path, &bytes)
}

fn paths(dir: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let entries = std::fs::read_dir(dir).context("list", dir)?;
    entries.map(|entry| Ok(entry.context("list", dir)?.path())).collect()
}

fn id_of<I: FromStr>(path: &Path) -> Option<I> {
    path.file_stem().and_then(OsStr::to_str).and_then(|stem| I::from_str(stem).ok())
}

/// All records of a directory; `of` says their version and their size.
fn read_all<I: FromStr + Ord, R: DeserializeOwned>(
    dir: &Path,
    of: impl Fn(&R) -> (u32, u64),
) -> Result<Records<I, R>, StoreError> {
    let (mut whole, mut damaged) = (BTreeMap::new(), BTreeMap::new());
    for path in paths(dir)? {
        let (Some(id), Some("json")) = (id_of(&path), path.extension().and_then(OsStr::to_str)) else { continue };
        let read = read_record(&path).and_then(|record| {
            let (version, size_bytes) = of(&record);
            match version {
                // Sums are made of sizes.
                RECORD_VERSION if (1..=MAX_VOLUME_SIZE_BYTES).contains(&size_bytes) => Ok(record),
                RECORD_VERSION => Err(StoreError::Size(path.clone(), size_bytes)),
                _ => Err(StoreError::Version(path.clone(), version)),
            }
        });
        match read {
            Ok(record) => drop(whole.insert(id, record)),
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(error = format!("{error:#}"), "a damaged record is left as it is");
                damaged.insert(id, format!("{error:#}"));
            }
        }
    }
    Ok(Records { whole, damaged })
}

fn read_record<R: DeserializeOwned>(path: &Path) -> Result<R, StoreError> {
    let len = std::fs::metadata(path).context("examine", path)?.len();
    if len > MAX_RECORD_BYTES {
        let error = io::Error::new(io::ErrorKind::InvalidData, "far too long for a record");
        return Err(error).context("read", path);
    }
    let bytes = std::fs::read(path).context("read", path)?;
    serde_json::from_slice(&bytes).map_err(|e| StoreError::Record(path.to_owned(), e))
}

/// Remove data without a record, and everything temporary.
fn remove_leftovers(dir: &Path) -> Result<(), StoreError> {
    for path in paths(dir)? {
        let orphan = match path.extension().and_then(OsStr::to_str) {
            Some("map" | "raw") | None => !path.with_extension("json").exists(),
            Some("tmp") => true,
            _ => false,
        };
        if orphan {
            tracing::info!(path = %path.display(), "removing what was left half-made");
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            removed.context("remove", &path)?;
        }
    }
    sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(volume: &str) -> SnapshotRecord {
        SnapshotRecord {
            version: VERSION,
            state: SnapshotState::Pending,
            fault: None,
            origin: Origin::Volume(volume.parse().unwrap()),
            size_bytes: 4096,
            volume_id: Some(volume.parse().unwrap()),
            encrypted: false,
            created_unix_s: 7,
            stored_bytes: 0,
            sealed: true,
            building: None,
        }
    }

    #[test]
    fn records_made_together_exist_all_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let records: BTreeMap<SnapshotId, _> =
            [("snap-a", "vol-a"), ("snap-b", "vol-b")].map(|(id, of)| (id.parse().unwrap(), record(of))).into();
        let catalogue = Catalogue::open(dir.path()).unwrap();
        catalogue.put_new_snapshots(&records).unwrap();
        assert_eq!(catalogue.snapshots().unwrap().whole, records);
        // Killed when the first of them was written, with the maps of both there.
        for id in records.keys() {
            catalogue.put_snapshot_map(id, b"map").unwrap();
        }
        let batch = dir.path().join("snapshots/snap-a.batch");
        std::fs::write(&batch, serde_json::to_vec(&records).unwrap()).unwrap();
        std::fs::remove_file(dir.path().join("snapshots/snap-b.json")).unwrap();
        drop(catalogue);
        let catalogue = Catalogue::open(dir.path()).unwrap();
        assert_eq!(catalogue.snapshots().unwrap().whole, records);
        assert!(!batch.exists() && records.keys().all(|id| catalogue.snapshot_map(id).exists()));
        // What is deleted later does not come back.
        catalogue.delete_snapshot(&"snap-a".parse().unwrap()).unwrap();
        drop(catalogue);
        assert_eq!(Catalogue::open(dir.path()).unwrap().snapshots().unwrap().whole.len(), 1);
    }

    #[test]
    fn a_volume_is_deleted_whoever_still_writes_there() {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::open(dir.path()).unwrap();
        let id: VolumeId = "vol-a".parse().unwrap();
        let note = catalogue.volume_dir(&id).join("ended");
        std::thread::scope(|scope| {
            let (stop, stopped) = std::sync::mpsc::channel::<()>();
            let note = &note;
            scope.spawn(move || {
                while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    let _ = std::fs::write(note, b"note");
                }
            });
            for _ in 0..500 {
                std::fs::create_dir_all(catalogue.volume_dir(&id)).unwrap();
                catalogue.delete_volume(&id).unwrap();
                assert!(paths(&dir.path().join("volumes")).unwrap().is_empty());
            }
            drop(stop);
        });
    }

    #[test]
    fn records_that_cannot_all_be_written_are_not_written_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let records: BTreeMap<SnapshotId, _> =
            [("snap-a", "vol-a"), ("snap-b", "vol-b")].map(|(id, of)| (id.parse().unwrap(), record(of))).into();
        let catalogue = Catalogue::open(dir.path()).unwrap();
        // In the way of the second.
        std::fs::create_dir(dir.path().join("snapshots/snap-b.json.tmp")).unwrap();
        catalogue.put_new_snapshots(&records).unwrap_err();
        assert_eq!(catalogue.snapshots().unwrap().whole, BTreeMap::new());
        drop(catalogue);
        assert_eq!(Catalogue::open(dir.path()).unwrap().snapshots().unwrap().whole, BTreeMap::new());
    }

    #[test]
    fn a_damaged_batch_costs_nobody_anything() {
        let dir = tempfile::tempdir().unwrap();
        let catalogue = Catalogue::open(dir.path()).unwrap();
        let (other, first): (SnapshotId, SnapshotId) = ("snap-b".parse().unwrap(), "snap-a".parse().unwrap());
        catalogue.put_snapshot(&"snap-c".parse().unwrap(), &record("vol-c")).unwrap();
        catalogue.put_snapshot_map(&other, b"map").unwrap();
        drop(catalogue);
        let batch = dir.path().join("snapshots/snap-a.batch");
        std::fs::write(&batch, b"{\"snap-a\": }").unwrap();
        for _ in 0..2 {
            let catalogue = Catalogue::open(dir.path()).unwrap();
            let records = catalogue.snapshots().unwrap();
            assert_eq!((records.whole.len(), records.damaged.keys().collect()), (1, vec![&first]));
            assert!(records.damaged[&first].contains("snap-a.batch"), "{records:?}");
            // It may belong to a snapshot of the batch.
            assert!(batch.exists() && catalogue.snapshot_map(&other).exists());
        }
    }
}
