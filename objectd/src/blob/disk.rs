//! Blobs as files on a local disk, `blobs/ab/cd/abcd...`, in two levels of directories.

use super::{BlobError, BlobId, BlobReader, BlobWriter, Blobs, Buffer, BufferPool, Leases, ring::Ring, ring::Ticket};
use async_trait::async_trait;
use std::{
    collections::HashSet,
    fs::{self, File, OpenOptions},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Blobs under one directory.
#[derive(Clone, Debug)]
pub struct DiskBlobs {
    root: Arc<Path>,
    /// Free bytes that writes leave alone, so that metadata can still be committed.
    reserve_bytes: u64,
    ring: Arc<Ring>,
    /// Reading and writing do not share buffers, lest slow downloads stop uploads.
    read_buffers: BufferPool,
    leases: Leases,
}

impl DiskBlobs {
    /// Opens, creating the directory if need be.
    ///
    /// # Errors
    /// [`BlobError`] when the directory or the ring cannot be made.
    pub fn open(root: &Path, reserve_bytes: u64, buffers: usize) -> Result<Self, BlobError> {
        fs::create_dir_all(root).map_err(|source| BlobError::new("making the directory of", None, source))?;
        let ring = Ring::start().map_err(|source| BlobError::new("setting up io_uring for", None, source))?;
        Ok(Self {
            root: root.into(),
            reserve_bytes,
            ring: Arc::new(ring),
            read_buffers: BufferPool::new(buffers),
            leases: Leases::default(),
        })
    }

    fn path(&self, id: BlobId) -> PathBuf {
        let name = id.to_string();
        self.root.join(&name[..2]).join(&name[2..4]).join(&name)
    }

    /// Runs `work`, which blocks on the file system, off the async threads.
    async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        id: Option<BlobId>,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, BlobError> {
        let this = self.clone();
        let outcome = tokio::task::spawn_blocking(move || work(&this)).await;
        outcome
            .unwrap_or_else(|panic| Err(io::Error::other(panic)))
            .map_err(|source| BlobError::new(action, id, source))
    }

    fn has_room(&self) -> io::Result<()> {
        let (free_bytes, free_inodes) = free_space(&self.root)?;
        if free_bytes < self.reserve_bytes || free_inodes == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// Makes the file and returns it with its directory.
    fn create_file(&self, id: BlobId) -> io::Result<(File, File)> {
        self.has_room()?;
        let path = self.path(id);
        let open = || OpenOptions::new().write(true).create_new(true).open(&path);
        let file = match open() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_directories(&self.root, &path)?;
                open()?
            }
            outcome => outcome?,
        };
        let directory = File::open(path.parent().unwrap_or(&self.root))?;
        Ok((file, directory))
    }

    fn unlink(&self, ids: &[BlobId]) {
        for id in ids {
            match fs::remove_file(self.path(*id)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(blob = %id, %error, "removing a blob; the next start tries again");
                }
                _ => {}
            }
        }
    }

    /// Every blob file there is.
    fn scan(&self, mut each: impl FnMut(BlobId)) -> io::Result<()> {
        for first in fs::read_dir(&self.root)? {
            for second in fs::read_dir(first?.path())? {
                for file in fs::read_dir(second?.path())? {
                    if let Some(id) = file?.file_name().to_str().and_then(BlobId::parse) {
                        each(id);
                    }
                }
            }
        }
        Ok(())
    }
}

/// Makes the two levels above `path`, each durable in its parent before a blob depends on it.
fn make_directories(root: &Path, path: &Path) -> io::Result<()> {
    let second = path.parent().unwrap_or(root);
    let first = second.parent().unwrap_or(root);
    for (directory, parent) in [(first, root), (second, first)] {
        match fs::create_dir(directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => File::open(parent)?.sync_all()?,
        }
    }
    Ok(())
}

/// Bytes and inodes that an unprivileged process may still use.
#[allow(unsafe_code)]
fn free_space(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: `path` ends in NUL and `stat` is large enough for the answer.
    if unsafe { libc::statvfs(path.as_ptr(), stat.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call succeeded and filled it in.
    let stat = unsafe { stat.assume_init() };
    // File systems without an inode limit (btrfs) report none at all.
    let inodes = if stat.f_files == 0 { u64::MAX } else { stat.f_favail };
    Ok((stat.f_bavail.saturating_mul(stat.f_frsize), inodes))
}

#[async_trait]
impl Blobs for DiskBlobs {
    async fn create(&self) -> Result<Box<dyn BlobWriter>, BlobError> {
        let id = BlobId::random()?;
        let (file, directory) = self.blocking("creating", Some(id), move |this| this.create_file(id)).await?;
        Ok(Box::new(Writer {
            id,
            file: Arc::new(file),
            directory: Arc::new(directory),
            offset: 0,
            pending: None,
            store: Some(self.clone()),
        }))
    }

    async fn check_room(&self) -> Result<(), BlobError> {
        self.blocking("making room for", None, Self::has_room).await
    }

    async fn open(&self, id: BlobId) -> Result<Box<dyn BlobReader>, BlobError> {
        let file = self.blocking("opening", Some(id), move |this| File::open(this.path(id))).await?;
        Ok(Box::new(Reader { id, file: Arc::new(file), store: self.clone() }))
    }

    fn remove(&self, ids: Vec<BlobId>) {
        let removable = self.leases.doom(ids);
        if !removable.is_empty() {
            let this = self.clone();
            tokio::task::spawn_blocking(move || this.unlink(&removable));
        }
    }

    async fn collect(&self, referenced: HashSet<BlobId>) -> Result<usize, BlobError> {
        self.blocking("collecting", None, move |this| {
            let mut orphans = Vec::new();
            this.scan(|id| {
                if !referenced.contains(&id) {
                    orphans.push(id);
                }
            })?;
            this.unlink(&orphans);
            Ok(orphans.len())
        })
        .await
    }

    fn leases(&self) -> &Leases {
        &self.leases
    }
}

struct Writer {
    id: BlobId,
    file: Arc<File>,
    directory: Arc<File>,
    offset: u64,
    /// The write before, under way while the next buffer fills.
    pending: Option<Ticket>,
    /// `None` once committed.
    store: Option<DiskBlobs>,
}

impl Writer {
    fn ring(&self) -> Result<&Ring, BlobError> {
        let store = self.store.as_ref().map(|store| &*store.ring);
        store.ok_or_else(|| BlobError::new("writing", Some(self.id), io::ErrorKind::Other.into()))
    }

    async fn settle(&mut self) -> Result<(), BlobError> {
        if let Some(pending) = self.pending.take() {
            pending.wait().await.map_err(|source| BlobError::new("writing", Some(self.id), source))?;
        }
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for Writer {
    async fn append(&mut self, buffer: Buffer) -> Result<(), BlobError> {
        self.settle().await?;
        let length = buffer.len() as u64;
        if length > 0 {
            self.pending = Some(self.ring()?.write(&self.file, self.offset, buffer));
            self.offset += length;
        }
        Ok(())
    }

    async fn commit(mut self: Box<Self>) -> Result<BlobId, BlobError> {
        self.settle().await?;
        let (data, name) = (self.ring()?.sync(&self.file, true), self.ring()?.sync(&self.directory, false));
        let synced = async {
            data.wait().await?;
            name.wait().await
        };
        synced.await.map_err(|source| BlobError::new("syncing", Some(self.id), source))?;
        self.store = None;
        Ok(self.id)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        if let Some(store) = self.store.take() {
            store.remove(vec![self.id]);
        }
    }
}

struct Reader {
    id: BlobId,
    file: Arc<File>,
    store: DiskBlobs,
}

#[async_trait]
impl BlobReader for Reader {
    async fn read(&mut self, offset: u64, length: usize) -> Result<Buffer, BlobError> {
        let failed = |source| BlobError::new("reading", Some(self.id), source);
        let gone = || failed(io::ErrorKind::BrokenPipe.into());
        let buffer = self.store.read_buffers.get().await.ok_or_else(gone)?;
        self.store.ring.read(&self.file, offset, buffer, length).wait().await.map_err(failed)?.ok_or_else(gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    async fn store(pool: &BufferPool, blobs: &DiskBlobs, content: &'static [u8]) -> Box<dyn BlobWriter> {
        let mut writer = blobs.create().await.unwrap();
        let mut input = Bytes::from_static(content);
        while !input.is_empty() {
            let mut buffer = pool.get().await.unwrap();
            buffer.fill(&mut input);
            writer.append(buffer).await.unwrap();
        }
        writer
    }

    fn count(blobs: &DiskBlobs) -> usize {
        let mut count = 0;
        blobs.scan(|_| count += 1).unwrap();
        count
    }

    #[tokio::test]
    async fn committed_blobs_are_read_back_and_orphans_collected() {
        let home = tempfile::tempdir().unwrap();
        let blobs = DiskBlobs::open(home.path(), 0, 4).unwrap();
        let pool = BufferPool::new(2);
        static CONTENT: [u8; 600_000] = [9; 600_000];
        let kept = store(&pool, &blobs, &CONTENT).await.commit().await.unwrap();
        store(&pool, &blobs, b"orphan").await.commit().await.unwrap();
        let mut reader = blobs.open(kept).await.unwrap();
        assert_eq!(reader.read(500_000, 100_000).await.unwrap().as_ref(), &CONTENT[500_000..]);
        assert!(reader.read(500_000, 100_001).await.is_err());
        assert_eq!(blobs.collect(HashSet::from([kept])).await.unwrap(), 1);
        assert_eq!(count(&blobs), 1);
    }

    #[tokio::test]
    async fn an_abandoned_write_leaves_nothing() {
        let home = tempfile::tempdir().unwrap();
        let blobs = DiskBlobs::open(home.path(), 0, 4).unwrap();
        let writer = store(&BufferPool::new(2), &blobs, b"half").await;
        assert_eq!(count(&blobs), 1);
        drop(writer);
        while count(&blobs) > 0 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn a_full_disk_says_so() {
        let home = tempfile::tempdir().unwrap();
        let blobs = DiskBlobs::open(home.path(), u64::MAX, 4).unwrap();
        assert!(blobs.create().await.err().unwrap().is_full());
        assert!(blobs.check_room().await.unwrap_err().is_full());
    }
}
