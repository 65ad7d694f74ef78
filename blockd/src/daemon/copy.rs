//! Copies of snapshots, within the store and from those of other regions.

use super::{Daemon, DaemonError, no_snapshot, now_unix_s};
use crate::backing::Backing;
use crate::catalogue::{Origin, SnapshotRecord, VERSION};
use crate::engine::format::Checkpoint;
use crate::keys::KeyError;
use crate::snapshot::blocks::{self, CopyError};
use crate::snapshot::reader::Reader;
use crate::snapshot::{self, SnapshotError, StoredSnapshot};
use crate::volume;
use hive_blockd_api::{Reply, SnapshotId, SnapshotState, StoreName};
use hive_blockd_store::{ChunkCache, StoreConfig, StoreError};
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Between tries to open another region's store.
const OPEN_RETRY: Duration = Duration::from_secs(5);

/// Another region's store, opened when it is first needed: that it cannot be is no reason not to serve volumes.
#[derive(Debug)]
pub(super) struct Peer {
    config: StoreConfig,
    backing: OnceLock<Arc<Backing>>,
}

impl Peer {
    pub(super) fn new(config: StoreConfig) -> Self {
        Self { config, backing: OnceLock::new() }
    }

    fn backing(&self, cache: &Arc<ChunkCache>) -> Result<Arc<Backing>, StoreError> {
        if let Some(backing) = self.backing.get() {
            return Ok(backing.clone());
        }
        let backing = Arc::new(Backing::new(hive_blockd_store::open(&self.config)?, cache.clone()));
        Ok(self.backing.get_or_init(|| backing).clone())
    }
}

impl Daemon {
    pub(super) fn copy_snapshot(
        self: &Arc<Self>,
        source: SnapshotId,
        store: Option<StoreName>,
        id: SnapshotId,
        encrypted: bool,
    ) -> Result<Reply, DaemonError> {
        let origin = match &store {
            None => Origin::Copy(source.clone()),
            Some(store) => Origin::PeerCopy(store.clone(), source.clone()),
        };
        // Asked again it does not need its source any more.
        if let Some(snapshot) = self.existing(&self.lock(), &id, &origin)? {
            return Ok(Reply::Snapshot(snapshot));
        }
        let from = match &store {
            None => self.copied(&source)?,
            Some(store) => self.copied_from_peer(store, &source)?,
        };
        let mut known = self.lock();
        if let Some(snapshot) = self.existing(&known, &id, &origin)? {
            return Ok(Reply::Snapshot(snapshot));
        }
        let record = SnapshotRecord {
            version: VERSION,
            state: SnapshotState::Pending,
            fault: None,
            origin,
            size_bytes: from.size_bytes,
            volume_id: None,
            encrypted: encrypted || from.encrypted,
            created_unix_s: now_unix_s(),
            stored_bytes: 0,
            sealed: true,
        };
        let entry = self.entry(record);
        let shown = self.show(&id, &entry);
        self.remember(&mut known, &id, entry)?;
        drop(known);
        self.resume(&id);
        Ok(Reply::Snapshot(shown))
    }

    /// What a snapshot of ours is, before it is copied.
    fn copied(&self, source: &SnapshotId) -> Result<StoredSnapshot, DaemonError> {
        self.adopt_snapshot(source)?;
        let known = self.lock();
        let record = &known.snapshots.get(source).ok_or_else(|| no_snapshot(source))?.record;
        if record.state != SnapshotState::Completed {
            return Err(DaemonError::InUse(format!("snapshot {source} is not completed yet")));
        }
        Ok(Self::about(record))
    }

    fn peer(&self, store: &StoreName) -> Result<Arc<Backing>, DaemonError> {
        let missing = || DaemonError::NotFound(format!("store {store} in the configuration"));
        let opened = self.peers.get(store).ok_or_else(missing)?.backing(&self.node.backing.cache);
        opened.map_err(|e| DaemonError::Store(format!("open store {store}"), e))
    }

    /// However long it cannot be opened, unless the snapshot that needs it is deleted.
    fn peer_patiently(&self, id: &SnapshotId, store: &StoreName) -> Result<Arc<Backing>, DaemonError> {
        loop {
            match self.peer(store) {
                Err(DaemonError::Store(_, error)) if error.is_transient() => {
                    tracing::warn!(%store, %error, "cannot be opened, trying on");
                    let pause = self.until_deleted(id, async {
                        tokio::time::sleep(OPEN_RETRY).await;
                        Ok(())
                    });
                    pause.map_err(|e| DaemonError::Copy(format!("open store {store}"), e))?;
                }
                opened => return opened,
            }
        }
    }

    fn copied_from_peer(&self, store: &StoreName, source: &SnapshotId) -> Result<StoredSnapshot, DaemonError> {
        let peer = self.peer(store)?;
        let found = self.node.runtime.block_on(snapshot::find(&peer, source));
        let found =
            found.map_err(|e| DaemonError::Snapshot(format!("look for snapshot {source} in store {store}"), e))?;
        let (about, map) = found.ok_or_else(|| DaemonError::NotFound(format!("snapshot {source} in store {store}")))?;
        super::check_size(about.size_bytes)?;
        // Whether we may read all of it is known now, and will not change.
        match volume::guards(&self.node.key, &map) {
            Ok(_) => {}
            Err(error @ KeyError::WrongKey { .. }) => {
                return Err(DaemonError::Invalid(format!("cannot read snapshot {source} of store {store}: {error}")));
            }
            Err(error) => return Err(DaemonError::Key(format!("read snapshot {source} of store {store}"), error)),
        }
        Ok(about)
    }

    pub(super) fn build_copy(
        &self,
        id: &SnapshotId,
        source: &SnapshotId,
        record: &SnapshotRecord,
    ) -> Result<(Checkpoint, StoredSnapshot), DaemonError> {
        let reader = self.new_reader(source)?;
        self.build_from(id, &format!("copy snapshot {source}"), reader, record)
    }

    /// From its beginning, also after an end of the daemon in the middle: what it had brought to our store by then is removed.
    pub(super) fn build_peer_copy(
        &self,
        id: &SnapshotId,
        store: &StoreName,
        source: &SnapshotId,
        record: &SnapshotRecord,
    ) -> Result<(Checkpoint, StoredSnapshot), DaemonError> {
        let (peer, what) = (self.peer_patiently(id, store)?, format!("copy snapshot {source} of store {store}"));
        let found = self.until_deleted(id, async { Ok(snapshot::find_patiently(&peer, source).await?) });
        let found = found.map_err(|e| DaemonError::Copy(what.clone(), e))?;
        let (about, map) =
            found.ok_or_else(|| DaemonError::NotFound(format!("snapshot {source} in store {store} any more")))?;
        if about.size_bytes != record.size_bytes {
            return Err(DaemonError::Invalid(format!("snapshot {source} of store {store} is another than it was")));
        }
        let reader = Reader::new(Arc::new(map), &self.node.key, peer.clone(), None);
        let reader = reader.map_err(|e| DaemonError::Key(what.clone(), e))?;
        self.build_from(id, &what, reader, record)
    }

    fn build_from(
        &self,
        id: &SnapshotId,
        what: &str,
        mut reader: Reader,
        record: &SnapshotRecord,
    ) -> Result<(Checkpoint, StoredSnapshot), DaemonError> {
        let mut builder = self.builder(id, record.encrypted, None)?;
        let progress = self.lock().snapshots.get(id).map(|entry| entry.progress.clone()).unwrap_or_default();
        let total: u64 = reader.checkpoint().segments.iter().map(|s| u64::from(s.live)).sum();
        let map = self.until_deleted(id, async {
            let mut done = 0;
            blocks::copy(&mut builder, &mut reader, record.size_bytes, |blocks| {
                done += u64::from(blocks);
                // The last step is the map.
                let percent = u8::try_from(done.min(total) * 99 / total.max(1)).unwrap_or(99);
                progress.store(percent, Ordering::Relaxed);
            })
            .await?;
            Ok(builder.finish().await?)
        });
        let map = map.map_err(|e| DaemonError::Copy(what.to_owned(), e))?;
        self.publish_built(id, map, record)
    }

    /// Do it, unless the snapshot that it is for is deleted: a store that is away must not keep it for ever.
    pub(super) fn until_deleted<T>(
        &self,
        id: &SnapshotId,
        work: impl Future<Output = Result<T, CopyError>>,
    ) -> Result<T, CopyError> {
        let Some(deleted) = self.lock().snapshots.get(id).map(|entry| entry.deleted.clone()) else {
            return Err(CopyError::Deleted);
        };
        self.node.runtime.block_on(async {
            tokio::select! {
                done = work => done,
                () = deleted.notified() => Err(CopyError::Deleted),
            }
        })
    }
}

impl From<SnapshotError> for CopyError {
    fn from(error: SnapshotError) -> Self {
        Self::Source(Box::new(error))
    }
}
