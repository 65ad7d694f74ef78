//! Copies of snapshots, within the store and from those of other regions.

use super::removals::{Removal, Subject};
use super::{Daemon, DaemonError, find_snapshot, now_unix_s};
use crate::backing::{Backing, Holder, segment_key};
use crate::catalogue::{Origin, SnapshotRecord, VERSION};
use crate::engine::format::Checkpoint;
use crate::keys::{KeyError, hex};
use crate::snapshot::blocks::{self, CopyError};
use crate::snapshot::build::Builder;
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

/// Counts changes of how copies are laid out.
const COPY_VERSION: u32 = 1;

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
            building: None,
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
        let record = &find_snapshot(&known, source)?.record;
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
        self: &Arc<Self>,
        id: &SnapshotId,
        source: &SnapshotId,
        record: &SnapshotRecord,
    ) -> Result<(Checkpoint, StoredSnapshot), DaemonError> {
        let reader = self.new_reader(source)?;
        self.build_from(id, &format!("copy snapshot {source}"), reader, record)
    }

    pub(super) fn build_peer_copy(
        self: &Arc<Self>,
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

    /// After a death in the middle it goes on behind what is in our store already.
    fn build_from(
        self: &Arc<Self>,
        id: &SnapshotId,
        what: &str,
        mut reader: Reader,
        record: &SnapshotRecord,
    ) -> Result<(Checkpoint, StoredSnapshot), DaemonError> {
        let recipe = recipe(reader.checkpoint());
        let copied = match self.earlier_builder(id, &recipe, record)? {
            Some(builder) => match self.copy_with(id, builder, &mut reader, record) {
                Err(error @ CopyError::Changed) => {
                    tracing::warn!(snapshot = %id, %error, "the copy begins anew");
                    None
                }
                copied => Some(copied),
            },
            None => None,
        };
        let copied = match copied {
            Some(copied) => copied,
            None => {
                let builder = self.lasting_builder(id, &recipe, record)?;
                self.copy_with(id, builder, &mut reader, record)
            }
        };
        let map = copied.map_err(|e| DaemonError::Copy(what.to_owned(), e))?;
        self.publish_built(id, map, record)
    }

    /// The builder of a predecessor, if it made the same of the same, with what it brought to the store. Else that is removed.
    fn earlier_builder(
        self: &Arc<Self>,
        id: &SnapshotId,
        recipe: &str,
        record: &SnapshotRecord,
    ) -> Result<Option<Builder>, DaemonError> {
        let Some(building) = &record.building else { return Ok(None) };
        let Ok(named) = self.snapshot_map(id) else { return Ok(None) };
        let wrapped = named.owners.first().and_then(|owner| owner.key.clone());
        if building != recipe || wrapped.is_some() != record.encrypted {
            self.remove(Removal { subject: Subject::Builder(named.volume), segments: Vec::new() });
            return Ok(None);
        }
        let key_error = |e| DaemonError::Key(format!("encrypt snapshot {id}"), e);
        let key = match wrapped {
            Some(wrapped) => Some((self.node.key.unwrap(named.volume, &wrapped).map_err(key_error)?, wrapped)),
            None => None,
        };
        let backing = &self.node.backing;
        let stored = self.until_deleted(id, async {
            let mut stored = Vec::new();
            for name in self.list_segments(named.volume).await? {
                let key = segment_key(name);
                stored.push((name.id, backing.patiently(&key, || backing.store.size(&key)).await?));
            }
            Ok(stored)
        });
        let stored = stored.map_err(|e| DaemonError::Copy(format!("go on with snapshot {id}"), e))?;
        tracing::info!(snapshot = %id, segments = stored.len(), "going on with a copy behind what is in the store");
        let mut builder = Builder::new(backing.clone(), named.volume, Holder::snapshot(id), key, None);
        builder.resume(stored);
        Ok(Some(builder))
    }

    /// A builder that a successor can go on with.
    fn lasting_builder(&self, id: &SnapshotId, recipe: &str, record: &SnapshotRecord) -> Result<Builder, DaemonError> {
        let builder = self.builder(id, record.encrypted, None)?;
        let keep = |e| DaemonError::Record("keep the copy's beginning", e);
        let mut known = self.lock();
        // Deleted meanwhile: it will be seen.
        if let Some(entry) = known.snapshots.get_mut(id) {
            self.catalogue.put_snapshot_map(id, &builder.beginning().encode()).map_err(keep)?;
            let building = SnapshotRecord { building: Some(recipe.to_owned()), ..entry.record.clone() };
            self.catalogue.put_snapshot(id, &building).map_err(keep)?;
            entry.record = building;
        }
        Ok(builder)
    }

    fn copy_with(
        &self,
        id: &SnapshotId,
        mut builder: Builder,
        reader: &mut Reader,
        record: &SnapshotRecord,
    ) -> Result<Checkpoint, CopyError> {
        let progress = self.lock().snapshots.get(id).map(|entry| entry.progress.clone()).unwrap_or_default();
        let total: u64 = reader.checkpoint().segments.iter().map(|s| u64::from(s.live)).sum();
        self.until_deleted(id, async {
            let mut done = 0;
            blocks::copy(&mut builder, reader, record.size_bytes, |blocks| {
                done += u64::from(blocks);
                // The last step is the map.
                let percent = u8::try_from(done.min(total) * 99 / total.max(1)).unwrap_or(99);
                progress.store(percent, Ordering::Relaxed);
            })
            .await?;
            builder.finish().await?.ok_or(CopyError::Changed)
        })
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

/// What a copy is made from, and how: two builders with the same recipe bring the same blocks to the same places.
fn recipe(source: &Checkpoint) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, &source.encode());
    format!("{COPY_VERSION}-{}", hex(digest.as_ref()))
}

impl From<SnapshotError> for CopyError {
    fn from(error: SnapshotError) -> Self {
        Self::Source(Box::new(error))
    }
}
