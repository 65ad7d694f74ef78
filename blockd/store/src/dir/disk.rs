//! The blocking half of [`super::DirStore`].

use crate::{
    Condition, MAX_OBJECT_BYTES, Version,
    error::{Attempt, Operation, StoreError, said},
    random::Random,
};
use bytes::Bytes;
use rustix::fs::OFlags;
use sha2::{Digest, Sha256};
use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, TryLockError},
    io::{self, Read},
    ops::Range,
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Locks that keys share by hash: enough that the manifests of a node's volumes rarely wait for each other's sync.
pub(super) const STRIPES: usize = 64;
/// The smallest hole that file systems make.
const PAGE_BYTES: usize = 4096;
/// Written at a time past the page cache: less than a millisecond of a disk.
const DIRECT_BYTES: usize = 256 << 10;
/// An object in more pieces is written through the cache, which has the disk take many small ones at once.
const DIRECT_RUNS_MAX: usize = 64;
/// Directories remembered as durable. Beyond it they are forgotten, and synced once more when next used.
const MAX_KNOWN_DIRECTORIES: usize = 65_536;
/// Segments hold tenants' data: nobody but the daemon looks into the directories.
const DIRECTORY_MODE: u32 = 0o700;
/// Marks files of objects; not in the alphabet of keys, so no directory has such a name.
const SUFFIX: &str = "_";

/// Which lock guards a key. Part of what processes sharing a store agree on: FNV-1a, which has no seed.
pub(super) fn stripe_of(key: &str) -> usize {
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (hash >> 32) as usize % STRIPES
}

#[derive(Debug)]
pub(super) struct Disk {
    objects: PathBuf,
    locks: PathBuf,
    /// This process's own temporary directory ...
    temporary: PathBuf,
    /// ... and the lock on it, which dies with the process.
    _owner: File,
    names: Random,
    /// Directories whose entry in their parent is known to be synced.
    durable: Mutex<HashSet<PathBuf>>,
}

/// A complete, synced file that nobody sees yet; removed unless published.
#[derive(Debug)]
pub(super) struct Staged {
    path: PathBuf,
    /// If somebody will ask for it: hashing a segment takes as long as writing it.
    version: Option<Version>,
    published: bool,
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.published {
            // At worst it stays until the next open, which removes it.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn version_of(data: &[u8]) -> Version {
    Version::new(hex::encode(Sha256::digest(data)))
}

fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes a directory unless it is there.
fn ensure_directory(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(DIRECTORY_MODE).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// What is missing while an object is written is no answer about the object.
/// What is not whole pages of zeros, which read as zeros and need no room.
fn runs(data: &[u8]) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (page, bytes) in data.chunks(PAGE_BYTES).enumerate() {
        let start = page * PAGE_BYTES;
        if bytes.iter().any(|byte| *byte != 0) {
            match runs.last_mut().filter(|run| run.end == start) {
                Some(run) => run.end += bytes.len(),
                None => runs.push(start..start + bytes.len()),
            }
        }
    }
    runs
}

/// Write `data` to the empty `file`, but for zeros.
fn write_sparsely(path: &Path, file: &File, data: &[u8]) -> io::Result<()> {
    let runs = runs(data);
    if !write_directly(path, data, &runs)? {
        for run in runs {
            file.write_all_at(&data[run.clone()], run.start as u64)?;
        }
    }
    file.set_len(data.len() as u64)
}

/// Write large pieces past the page cache, one after another: all of an object at once, as a sync makes of cached pages, holds up
/// whoever else uses the disk for as long as it takes. False if that cannot be had for this data or on this file system.
fn write_directly(path: &Path, data: &[u8], runs: &[Range<usize>]) -> io::Result<bool> {
    let is_aligned = |at: usize| at.is_multiple_of(PAGE_BYTES);
    if runs.len() > DIRECT_RUNS_MAX || !is_aligned(data.as_ptr().addr()) || !runs.iter().all(|run| is_aligned(run.end))
    {
        return Ok(false);
    }
    let direct = File::options().write(true).custom_flags(OFlags::DIRECT.bits().cast_signed()).open(path);
    let Ok(file) = direct else { return Ok(false) };
    for run in runs {
        for (number, piece) in data[run.clone()].chunks(DIRECT_BYTES).enumerate() {
            match file.write_all_at(piece, (run.start + number * DIRECT_BYTES) as u64) {
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(false),
                written => written?,
            }
        }
    }
    Ok(true)
}

fn unavailable_if_missing(attempt: &Attempt, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::NotFound => StoreError::Unavailable { attempt: attempt.clone(), source: Arc::new(error) },
        _ => StoreError::from_io(attempt.clone(), error),
    }
}

fn open_lock(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(false).open(path)
}

/// Removes temporary directories whose process is gone; returns whether some are of living ones. Under the lock of `locks/open`.
fn sweep(temporary: &Path) -> io::Result<bool> {
    let mut others = false;
    for entry in fs::read_dir(temporary)? {
        let path = entry?.path();
        match File::open(&path)?.try_lock() {
            Ok(()) if path.is_dir() => fs::remove_dir_all(&path)?,
            Ok(()) => fs::remove_file(&path)?,
            Err(TryLockError::WouldBlock) => others = true,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(others)
}

/// Removes empty directories below `path`, and says whether it is empty itself then.
fn prune(path: &Path) -> io::Result<bool> {
    let mut empty = true;
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && prune(&entry.path())? {
            fs::remove_dir(entry.path())?;
        } else {
            empty = false;
        }
    }
    Ok(empty)
}

impl Disk {
    pub(super) fn open(root: &Path) -> Result<Self, StoreError> {
        let attempt = Attempt::new(Operation::Open, root.display().to_string());
        Self::open_in(root).map_err(|error| match error.kind() {
            // Only a parent can be missing, and that is a mistake of the configuration.
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                StoreError::Invalid { attempt, source: Arc::new(error) }
            }
            _ => StoreError::from_io(attempt, error),
        })
    }

    fn open_in(root: &Path) -> io::Result<Self> {
        let [objects, locks, all_temporary] = ["objects", "locks", "tmp"].map(|name| root.join(name));
        for path in [root, &objects, &locks, &all_temporary] {
            ensure_directory(path)?;
        }
        sync_directory(root)?;
        if let Some(parent) = root.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            sync_directory(parent)?;
        }
        let names = Random::new();
        let temporary = all_temporary.join(format!("{:016x}", names.next()));
        // Held until this process's own directory is locked: before that, another would take it for a dead one's.
        let opening = open_lock(&locks.join("open"))?;
        opening.lock()?;
        if !sweep(&all_temporary)? {
            // Nobody else writes, so no directory is about to be filled.
            prune(&objects)?;
        }
        DirBuilder::new().mode(DIRECTORY_MODE).create(&temporary)?;
        let owner = File::open(&temporary)?;
        owner.lock()?;
        drop(opening);
        Ok(Self { objects, locks, temporary, _owner: owner, names, durable: Mutex::default() })
    }

    fn path_of(&self, key: &str) -> PathBuf {
        self.objects.join(format!("{key}{SUFFIX}"))
    }

    /// Makes the directories above an object's file, and makes them durable.
    fn ensure_parents(&self, file: &Path) -> io::Result<()> {
        let parents: Vec<&Path> = file.ancestors().skip(1).take_while(|path| *path != self.objects).collect();
        for path in parents.into_iter().rev() {
            let known = |durable: &mut HashSet<PathBuf>| durable.contains(path);
            if known(&mut self.durable.lock().unwrap_or_else(PoisonError::into_inner)) {
                continue;
            }
            ensure_directory(path)?;
            // Even if another made it: that one may not have come to this line yet.
            sync_directory(path.parent().unwrap_or(&self.objects))?;
            let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
            if durable.len() >= MAX_KNOWN_DIRECTORIES {
                durable.clear();
            }
            durable.insert(path.to_owned());
        }
        Ok(())
    }

    /// Writes `data` to a temporary file and syncs it.
    pub(super) fn stage(&self, attempt: &Attempt, data: &Bytes) -> Result<Staged, StoreError> {
        let wants_version = attempt.operation == Operation::PutIf;
        let path = self.temporary.join(format!("{:016x}", self.names.next()));
        let write = || {
            let file = File::create_new(&path)?;
            let staged =
                Staged { path: path.clone(), version: wants_version.then(|| version_of(data)), published: false };
            write_sparsely(&path, &file, data)?;
            file.sync_all()?;
            Ok(staged)
        };
        write().map_err(|error| unavailable_if_missing(attempt, error))
    }

    /// Holds the key's lock, against other tasks and other processes, until the file is dropped.
    fn lock(&self, key: &str) -> io::Result<File> {
        let file = open_lock(&self.locks.join(format!("{:02}", stripe_of(key))))?;
        file.lock()?;
        Ok(file)
    }

    /// Gives the object the staged contents, if `condition` holds; returns the version of a conditional put.
    pub(super) fn publish(
        &self,
        attempt: &Attempt,
        mut staged: Staged,
        condition: Option<&Condition>,
    ) -> Result<Option<Version>, StoreError> {
        let failed = |error| StoreError::from_io(attempt.clone(), error);
        let path = self.path_of(&attempt.object);
        self.ensure_parents(&path).map_err(failed)?;
        let _lock = self.lock(&attempt.object).map_err(failed)?;
        if let Some(condition) = condition {
            let found = match self.read(attempt) {
                Ok((_, version)) => Some(version),
                Err(StoreError::NotFound { .. }) => None,
                Err(error) => return Err(error),
            };
            let holds = match condition {
                Condition::Absent => found.is_none(),
                Condition::Version(version) => found.as_ref() == Some(version),
            };
            if !holds {
                return Err(StoreError::Conflict { attempt: attempt.clone(), perhaps_applied: false });
            }
        }
        fs::rename(&staged.path, &path).map_err(|error| {
            // A directory that was known is gone: somebody works on the store by hand. The next try makes it anew.
            self.durable.lock().unwrap_or_else(PoisonError::into_inner).clear();
            unavailable_if_missing(attempt, error)
        })?;
        staged.published = true;
        sync_directory(path.parent().unwrap_or(&self.objects)).map_err(failed)?;
        Ok(staged.version.take())
    }

    pub(super) fn read(&self, attempt: &Attempt) -> Result<(Bytes, Version), StoreError> {
        let read = || {
            let mut data = Vec::new();
            let file = File::open(self.path_of(&attempt.object))?;
            data.reserve_exact(file.metadata()?.len().min(MAX_OBJECT_BYTES) as usize);
            file.take(MAX_OBJECT_BYTES + 1).read_to_end(&mut data)?;
            Ok(data)
        };
        let data = read().map_err(|error| StoreError::from_io(attempt.clone(), error))?;
        if data.len() as u64 > MAX_OBJECT_BYTES {
            let source = said(format!("it has more than {MAX_OBJECT_BYTES} bytes"));
            return Err(StoreError::Damaged { attempt: attempt.clone(), source });
        }
        let version = version_of(&data);
        Ok((data.into(), version))
    }

    pub(super) fn read_range(&self, attempt: &Attempt, start: u64, len: usize) -> Result<Bytes, StoreError> {
        let read = || {
            let file = File::open(self.path_of(&attempt.object))?;
            let mut data = vec![0; len];
            file.read_exact_at(&mut data, start)?;
            Ok(data)
        };
        read().map(Bytes::from).map_err(|error| StoreError::from_io(attempt.clone(), error))
    }

    pub(super) fn size(&self, attempt: &Attempt) -> Result<u64, StoreError> {
        let metadata = fs::metadata(self.path_of(&attempt.object));
        metadata.map(|metadata| metadata.len()).map_err(|error| StoreError::from_io(attempt.clone(), error))
    }

    pub(super) fn remove(&self, attempt: &Attempt) -> Result<(), StoreError> {
        let path = self.path_of(&attempt.object);
        let remove = || {
            let _lock = self.lock(&attempt.object)?;
            fs::remove_file(&path)?;
            sync_directory(path.parent().unwrap_or(&self.objects))
        };
        match remove() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(StoreError::from_io(attempt.clone(), error)),
            _ => Ok(()),
        }
    }

    /// Keys that begin with the attempt's object.
    pub(super) fn list(&self, attempt: &Attempt) -> Result<Vec<String>, StoreError> {
        let prefix = attempt.object.as_str();
        let base = prefix.rsplit_once('/').map_or("", |(base, _)| base);
        let mut found = Vec::new();
        let mut open = vec![base.to_owned()];
        while let Some(directory) = open.pop() {
            self.list_directory(&directory, prefix, &mut open, &mut found)
                .map_err(|error| StoreError::from_io(attempt.clone(), error))?;
        }
        found.sort_unstable();
        Ok(found)
    }

    fn list_directory(
        &self,
        directory: &str,
        prefix: &str,
        open: &mut Vec<String>,
        found: &mut Vec<String>,
    ) -> io::Result<()> {
        let entries = match fs::read_dir(self.objects.join(directory)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            // What is not text is not ours.
            let Ok(name) = entry.file_name().into_string() else { continue };
            let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
            if let Some(key) = path.strip_suffix(SUFFIX) {
                if key.starts_with(prefix) {
                    found.push(key.to_owned());
                }
            } else if path.starts_with(prefix) || prefix.starts_with(&format!("{path}/")) {
                open.push(path);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Pages that begin on a page, `skip` bytes aside, some of them zeros, and a part of one behind them.
    fn buffer(pages: &[bool], tail: usize, skip: usize) -> (Vec<u8>, usize) {
        let mut bytes = vec![0; (pages.len() + 2) * PAGE_BYTES + skip + tail];
        let start = bytes.as_ptr().align_offset(PAGE_BYTES) + skip;
        for page in (0..pages.len()).filter(|page| pages[*page]) {
            bytes[start + page * PAGE_BYTES..][..PAGE_BYTES].fill(page as u8 | 1);
        }
        bytes[start + pages.len() * PAGE_BYTES..][..tail].fill(7);
        (bytes, start)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn what_is_written_is_read_however_it_is_written(
            pages in prop::collection::vec(any::<bool>(), 0..600), tail in 0usize..2, skip in prop::sample::select(vec![0usize, 0, 8]),
        ) {
            let dir = tempfile::tempdir_in("/var/tmp").unwrap();
            let (bytes, start) = buffer(&pages, tail, skip);
            let data = &bytes[start..start + pages.len() * PAGE_BYTES + tail];
            let path = dir.path().join("object");
            let file = File::create_new(&path).unwrap();
            write_sparsely(&path, &file, data).unwrap();
            prop_assert_eq!(&fs::read(&path).unwrap(), data);
        }
    }

    #[test]
    fn large_pieces_go_past_the_cache_where_that_is_possible() {
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let path = dir.path().join("object");
        let directly = |pages: &[bool], tail, skip| {
            let (bytes, start) = buffer(pages, tail, skip);
            let data = &bytes[start..start + pages.len() * PAGE_BYTES + tail];
            let _ = fs::remove_file(&path);
            File::create_new(&path).unwrap();
            let is_written = write_directly(&path, data, &runs(data)).unwrap();
            assert!(!is_written || fs::read(&path).unwrap() == data);
            is_written
        };
        assert!(directly(&[true; 700], 0, 0));
        assert!(!directly(&[true; 3], 1, 0), "a part of a page");
        assert!(!directly(&[true; 3], 0, 8), "not where pages begin");
        let holes: Vec<bool> = (0..200).map(|page| page % 2 == 0).collect();
        assert!(!directly(&holes, 0, 0), "in many pieces");
    }
}
