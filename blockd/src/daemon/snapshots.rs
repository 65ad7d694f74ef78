//! Snapshots: taken, completed in the background, copied, deleted.

use super::removals::{Removal, Subject};
use super::volumes::Shared;
use super::{
    Daemon, DaemonError, Known, SnapshotEntry, check_size, check_snapshot_record, find_snapshot, find_volume,
    no_snapshot, now_unix_s,
};
use crate::backing::Holder;
use crate::catalogue::{Origin, SnapshotRecord, VERSION};
use crate::engine::format::Checkpoint;
use crate::engine::log::Event;
use crate::keys::random;
use crate::snapshot::blocks::{self, CopyError};
use crate::snapshot::build::Builder;
use crate::snapshot::pack::Live;
use crate::snapshot::reader::Reader;
use crate::snapshot::{self, SnapshotError, StoredSnapshot};
use crate::volume::Handle;
use hive_blockd_api::{
    BLOCK_SIZE_BYTES, MAX_SNAPSHOT_VOLUMES, NewSnapshot, Reply, Snapshot, SnapshotId, SnapshotState, VolumeId,
};
use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Notify;

/// How long writes to several volumes may be held for one instant, and how long a cut may take to become durable.
const HOLD_TIMEOUT: Duration = Duration::from_secs(2);
const CUT_TIMEOUT: Duration = Duration::from_secs(60);

impl Daemon {
    pub(super) fn show(&self, id: &SnapshotId, entry: &SnapshotEntry) -> Snapshot {
        let record = &entry.record;
        Snapshot {
            snapshot_id: id.clone(),
            state: record.state,
            fault: record.fault.clone(),
            progress_percent: entry.progress.load(Ordering::Relaxed),
            size_bytes: record.size_bytes,
            volume_id: record.volume_id.clone(),
            encrypted: record.encrypted,
            created_unix_s: record.created_unix_s,
            stored_bytes: record.stored_bytes,
            damaged_blocks: self.scrub.of_snapshot(id).blocks,
        }
    }

    pub(super) fn describe_snapshot(&self, id: &SnapshotId) -> Result<Reply, DaemonError> {
        let known = self.lock();
        let entry = find_snapshot(&known, id)?;
        Ok(Reply::Snapshot(self.show(id, entry)))
    }

    pub(super) fn list_snapshots(&self) -> Reply {
        let known = self.lock();
        let mut shown: Vec<Snapshot> = known.snapshots.iter().map(|(id, entry)| self.show(id, entry)).collect();
        shown.extend(known.damaged_snapshots.iter().map(|(id, damaged)| Snapshot {
            snapshot_id: id.clone(),
            state: SnapshotState::Error,
            fault: Some(format!("its record is damaged: {}", damaged.reason)),
            progress_percent: 0,
            size_bytes: 0,
            volume_id: None,
            encrypted: false,
            created_unix_s: 0,
            stored_bytes: 0,
            damaged_blocks: 0,
        }));
        shown.sort_by(|a, b| a.snapshot_id.cmp(&b.snapshot_id));
        Reply::Snapshots(shown)
    }

    /// Whether the snapshot exists already, made in the same way.
    pub(super) fn existing(
        &self,
        known: &Known,
        id: &SnapshotId,
        origin: &Origin,
    ) -> Result<Option<Snapshot>, DaemonError> {
        check_snapshot_record(known, id)?;
        match known.snapshots.get(id) {
            None if known.removing.contains(id) => {
                Err(DaemonError::InUse(format!("a deleted snapshot {id} is still being removed from the store")))
            }
            None if known.publishing.contains(id) => {
                Err(DaemonError::InUse(format!("snapshot {id} is just being made")))
            }
            None => Ok(None),
            Some(entry) if entry.record.origin == *origin => Ok(Some(self.show(id, entry))),
            Some(_) => Err(DaemonError::Exists(format!("snapshot {id}"))),
        }
    }

    pub(super) fn remember(&self, known: &mut Known, id: &SnapshotId, entry: SnapshotEntry) -> Result<(), DaemonError> {
        let recorded = self.catalogue.put_snapshot(id, &entry.record);
        recorded.map_err(|e| DaemonError::Record("record the snapshot", e))?;
        known.snapshots.insert(id.clone(), entry);
        Ok(())
    }

    pub(super) fn create_snapshots(self: &Arc<Self>, wanted: &[NewSnapshot]) -> Result<Reply, DaemonError> {
        if wanted.is_empty() || wanted.len() > MAX_SNAPSHOT_VOLUMES {
            return Err(DaemonError::Invalid(format!(
                "snapshots are taken of 1 to {MAX_SNAPSHOT_VOLUMES} volumes at a time"
            )));
        }
        let mut known = self.lock();
        let mut volumes: Vec<VolumeId> = Vec::new();
        let mut existing = Vec::new();
        for NewSnapshot { volume_id, snapshot_id } in wanted {
            find_volume(&known, volume_id)?;
            let twice = volumes.contains(volume_id)
                || wanted.iter().filter(|other| other.snapshot_id == *snapshot_id).count() > 1;
            if twice {
                return Err(DaemonError::Invalid(format!(
                    "volume {volume_id} or snapshot {snapshot_id} is named twice"
                )));
            }
            volumes.push(volume_id.clone());
            existing.extend(self.existing(&known, snapshot_id, &Origin::Volume(volume_id.clone()))?);
        }
        if existing.len() == wanted.len() {
            return Ok(Reply::Snapshots(existing));
        }
        if !existing.is_empty() {
            return Err(DaemonError::Exists("some of these snapshots, of an earlier instant, which".into()));
        }
        let tokens: Vec<u64> = volumes.iter().map(|_| self.next_token()).collect();
        let maps = self.with_open(&mut known, &volumes, |handles| self.cut(handles, &tokens))?;
        let kept = self.keep_cuts(&mut known, wanted, &maps, &tokens);
        if kept.is_err() {
            // Nobody wants what the cuts pin in the logs.
            for (open, token) in volumes.iter().zip(tokens).filter_map(|(id, token)| Some((known.open.get(id)?, token)))
            {
                open.handle.caller.call(Event::CutEnded { token });
            }
        }
        drop(known);
        let shown = kept?;
        for new in wanted {
            self.resume(&new.snapshot_id);
        }
        Ok(Reply::Snapshots(shown))
    }

    /// Make snapshots of cuts: all of them, or none.
    fn keep_cuts(
        &self,
        known: &mut Known,
        wanted: &[NewSnapshot],
        maps: &[Vec<u8>],
        tokens: &[u64],
    ) -> Result<Vec<Snapshot>, DaemonError> {
        let created_unix_s = now_unix_s();
        for (new, map) in wanted.iter().zip(maps) {
            let saved = self.catalogue.put_snapshot_map(&new.snapshot_id, map);
            saved.map_err(|e| DaemonError::Record("keep the snapshot", e))?;
        }
        let mut records = BTreeMap::new();
        for new in wanted {
            let volume = find_volume(known, &new.volume_id)?;
            let record = SnapshotRecord {
                version: VERSION,
                state: SnapshotState::Pending,
                fault: None,
                origin: Origin::Volume(new.volume_id.clone()),
                size_bytes: volume.size_bytes,
                volume_id: Some(new.volume_id.clone()),
                encrypted: volume.encrypted,
                created_unix_s,
                stored_bytes: 0,
                sealed: true,
                building: None,
            };
            records.insert(new.snapshot_id.clone(), record);
        }
        self.catalogue.put_new_snapshots(&records).map_err(|e| DaemonError::Record("record the snapshots", e))?;
        let mut shown = Vec::new();
        for (new, token) in wanted.iter().zip(tokens) {
            let Some(record) = records.remove(&new.snapshot_id) else { continue };
            let entry = SnapshotEntry { token: *token, ..self.entry(record) };
            shown.push(self.show(&new.snapshot_id, &entry));
            known.snapshots.insert(new.snapshot_id.clone(), entry);
        }
        Ok(shown)
    }

    /// One instant for all: with several volumes nothing is written anywhere while the cuts are made.
    fn cut(&self, handles: &[Handle], tokens: &[u64]) -> Result<Vec<Vec<u8>>, DaemonError> {
        let together = handles.len() > 1;
        let runtime = &self.node.runtime;
        if together {
            let holds: Vec<_> = tokens.iter().map(|token| self.node.waiters.hold(*token)).collect();
            for (handle, token) in handles.iter().zip(tokens) {
                handle.caller.call(Event::Hold { token: *token });
            }
            let all = async {
                for hold in holds {
                    hold.await.map_err(|_| ())?;
                }
                Ok::<_, ()>(())
            };
            let held = runtime.block_on(async { tokio::time::timeout(HOLD_TIMEOUT, all).await });
            if !matches!(held, Ok(Ok(()))) {
                handles.iter().for_each(|handle| handle.caller.call(Event::Release));
                return Err(DaemonError::Slow("holding the volumes for their snapshots".into()));
            }
        }
        let cuts: Vec<_> = tokens.iter().map(|token| self.node.waiters.cut(*token)).collect();
        for (handle, token) in handles.iter().zip(tokens) {
            handle.caller.call(Event::Cut { token: *token });
            if together {
                // In its order: released right behind the cut.
                handle.caller.call(Event::Release);
            }
        }
        let all = async {
            let mut maps = Vec::new();
            for cut in cuts {
                maps.push(cut.await.map_err(|_| ())?);
            }
            Ok::<_, ()>(maps)
        };
        match runtime.block_on(async { tokio::time::timeout(CUT_TIMEOUT, all).await }) {
            Ok(Ok(maps)) => Ok(maps),
            _ => {
                for (handle, token) in handles.iter().zip(tokens) {
                    handle.caller.call(Event::CutEnded { token: *token });
                }
                Err(DaemonError::Slow("taking the snapshot".into()))
            }
        }
    }

    /// A cut of one volume.
    pub(super) fn cut_one(&self, handles: &[Handle], token: u64) -> Result<Vec<u8>, DaemonError> {
        let mut maps = self.cut(handles, &[token])?;
        maps.pop().ok_or_else(|| DaemonError::Slow("taking the snapshot".into()))
    }

    /// Go on with everything that is pending.
    pub(super) fn resume_snapshots(self: &Arc<Self>) {
        let pending: Vec<SnapshotId> = self
            .lock()
            .snapshots
            .iter()
            .filter(|(_, entry)| entry.record.state == SnapshotState::Pending && entry.record.sealed)
            .map(|(id, _)| id.clone())
            .collect();
        for id in pending {
            self.resume(&id);
        }
    }

    /// Bring a pending snapshot to its end, in the background.
    pub(super) fn resume(self: &Arc<Self>, id: &SnapshotId) {
        let (daemon, id) = (self.clone(), id.clone());
        self.node.runtime.spawn(async move {
            // It fails only when the semaphore is closed, which it never is.
            let _turn = daemon.completing.acquire().await;
            let blocking = daemon.clone();
            drop(tokio::task::spawn_blocking(move || blocking.bring_to_end(&id)).await);
        });
    }

    fn bring_to_end(self: &Arc<Self>, id: &SnapshotId) {
        let (record, token) = {
            let mut known = self.lock();
            let pending = known.snapshots.get_mut(id).filter(|entry| entry.record.state == SnapshotState::Pending);
            let Some(entry) = pending else { return };
            entry.under_way = true;
            (entry.record.clone(), entry.token)
        };
        let result = match &record.origin {
            Origin::Volume(volume) => self.complete_cut(id, volume, &record),
            Origin::Copy(source) => self.build_copy(id, source, &record),
            Origin::PeerCopy(store, source) => self.build_peer_copy(id, store, source, &record),
            Origin::Blocks(parent) => self.build_blocks(id, parent.as_ref(), &record),
            Origin::Import(_) | Origin::Store => return,
        };
        self.end(id, token, record, result);
    }

    pub(super) fn about(record: &SnapshotRecord) -> StoredSnapshot {
        StoredSnapshot {
            version: 0,
            size_bytes: record.size_bytes,
            volume_id: record.volume_id.clone(),
            encrypted: record.encrypted,
            created_unix_s: record.created_unix_s,
            stored_bytes: 0,
        }
    }

    fn complete_cut(
        &self,
        id: &SnapshotId,
        volume: &VolumeId,
        record: &SnapshotRecord,
    ) -> Result<(Checkpoint, StoredSnapshot), DaemonError> {
        let map = self.snapshot_map(id)?;
        let keeper = self.handle_of(volume).map(|handle| handle.keeper);
        let (backing, log) = (&self.node.backing, self.files(volume).log_path());
        let failed = |e| DaemonError::Snapshot(format!("complete snapshot {id}"), e);
        let Some((progress, deleted)) =
            self.lock().snapshots.get(id).map(|entry| (entry.progress.clone(), entry.deleted.clone()))
        else {
            return Err(failed(SnapshotError::Deleted));
        };
        // Only read: may end anywhere.
        let live = self.until_deleted(id, async { Ok(self.live_of(id, volume, &map, &log).await) });
        let live = live.map_err(|_| failed(SnapshotError::Deleted))?;
        let done = self.node.runtime.block_on(async {
            let map = snapshot::upload(backing, id, &map, &log, &live, keeper, &progress, &deleted).await?;
            let about = snapshot::publish(backing, id, &map, Self::about(record), &deleted).await?;
            Ok((map, about))
        });
        if matches!(done, Err(SnapshotError::Deleted)) {
            self.files(volume).forget_ended();
        }
        done.map_err(failed)
    }

    /// What has to be uploaded of the volume's segments, as far as it is known; nothing is known of a volume all of which is uploaded.
    async fn live_of(&self, id: &SnapshotId, volume: &VolumeId, cut: &Checkpoint, log: &Path) -> Live {
        if self.node.tuning.upload {
            return Live::default();
        }
        let pending: Vec<SnapshotId> = {
            let known = self.lock();
            let others = known.snapshots.iter().filter(|(other, entry)| {
                let record = &entry.record;
                *other != id
                    && record.state == SnapshotState::Pending
                    && record.origin == Origin::Volume(volume.clone())
            });
            others.map(|(other, _)| other.clone()).collect()
        };
        let found = async {
            let maps = pending.iter().map(|other| self.snapshot_map(other)).collect::<Result<Vec<_>, _>>();
            let maps = maps.map_err(|error| format!("{error:?}"))?;
            let (node, log) = (&self.node, Some(log.to_owned()));
            let reader = Reader::new(Arc::new(cut.clone()), &node.key, node.backing.clone(), log);
            let missing: Vec<u32> = snapshot::missing(&node.backing, cut).iter().map(|s| s.id.seq).collect();
            let mut reader = reader.map_err(|error| error.to_string())?;
            Live::find(&mut reader, &missing, &maps).await.map_err(|error| error.to_string())
        };
        found.await.unwrap_or_else(|error| {
            tracing::warn!(snapshot = %id, error, "what is live is not known, all is uploaded");
            Live::default()
        })
    }

    /// Record how it ended; a snapshot that was deleted meanwhile is removed again.
    fn end(
        self: &Shared,
        id: &SnapshotId,
        token: u64,
        record: SnapshotRecord,
        result: Result<(Checkpoint, StoredSnapshot), DaemonError>,
    ) {
        let builder = match (&result, &record.origin) {
            (Ok((map, _)), Origin::Copy(_) | Origin::PeerCopy(..) | Origin::Blocks(_)) => Some(map.volume),
            _ => None,
        };
        let recorded = match result {
            Ok((map, about)) => self.catalogue.put_snapshot_map(id, &map.encode()).map(|()| SnapshotRecord {
                state: SnapshotState::Completed,
                stored_bytes: about.stored_bytes,
                building: None,
                ..record.clone()
            }),
            Err(error) => {
                let Reply::Error { message, .. } = error.into() else { return };
                tracing::error!(snapshot = %id, message, "snapshot failed");
                Ok(SnapshotRecord {
                    state: SnapshotState::Error,
                    fault: Some(message),
                    building: None,
                    ..record.clone()
                })
            }
        };
        let mut known = self.lock();
        if let Some(open) = record.volume_id.as_ref().and_then(|volume| known.open.get(volume)) {
            // Also if the snapshot was deleted meanwhile: what it needed of the log is free again.
            open.handle.caller.call(Event::CutEnded { token });
        }
        let built = match &recorded {
            Ok(SnapshotRecord { state: SnapshotState::Completed, .. }) => builder,
            _ => None,
        };
        let Some(entry) = known.snapshots.get_mut(id).filter(|entry| entry.token == token) else {
            drop(known);
            let _ = self.catalogue.delete_snapshot(id);
            self.remove(Removal { subject: Subject::Snapshot(id.clone()), segments: Vec::new() });
            return;
        };
        entry.under_way = false;
        match recorded.and_then(|record| self.catalogue.put_snapshot(id, &record).map(|()| record)) {
            Ok(record) => {
                if record.state == SnapshotState::Completed {
                    entry.progress.store(100, Ordering::Relaxed);
                    let _ = std::fs::remove_file(self.catalogue.snapshot_blocks(id));
                    built.into_iter().for_each(|uid| self.builder_succeeded(uid));
                    tracing::info!(snapshot = %id, stored_bytes = record.stored_bytes, "snapshot completed");
                }
                entry.record = record;
            }
            // It is pending still, and taken up at the next start.
            Err(error) => tracing::error!(snapshot = %id, %error, "cannot record the end of a snapshot"),
        }
    }

    pub(super) fn delete_snapshot(self: &Arc<Self>, id: &SnapshotId) -> Result<Reply, DaemonError> {
        let mut known = self.lock();
        check_snapshot_record(&known, id)?;
        let Some(entry) = known.snapshots.get(id) else { return Ok(Reply::Done) };
        let (under_way, token, volume) = (entry.under_way, entry.token, entry.record.volume_id.clone());
        let deleted = entry.deleted.clone();
        let builder = entry.record.building.as_ref().and_then(|_| self.snapshot_map(id).ok()).map(|map| map.volume);
        let segments =
            self.snapshot_map(id).map_or_else(|_| Vec::new(), |map| snapshot::names(&snapshot::stripped(&map)));
        let removal = Removal { subject: Subject::Snapshot(id.clone()), segments };
        self.note_removal(&removal)?;
        self.catalogue.delete_snapshot(id).map_err(|e| DaemonError::Record("delete the snapshot", e))?;
        known.snapshots.remove(id);
        known.removing.insert(id.clone());
        // Not before it is gone: who hears of it looks.
        deleted.notify_one();
        if let Some(open) = volume.filter(|_| !under_way).and_then(|volume| known.open.get(&volume)) {
            open.handle.caller.call(Event::CutEnded { token });
        }
        drop(known);
        self.readers.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(id);
        // Else whoever brings it to its end removes it.
        if !under_way {
            self.remove(removal);
            let left = builder.map(|uid| Removal { subject: Subject::Builder(uid), segments: Vec::new() });
            left.into_iter().for_each(|left| self.remove(left));
        }
        Ok(Reply::Done)
    }

    /// If the snapshot is not known here, look for it in the store: another node may have made it.
    pub(super) fn adopt_snapshot(&self, id: &SnapshotId) -> Result<(), DaemonError> {
        {
            let known = self.lock();
            check_snapshot_record(&known, id)?;
            if known.snapshots.contains_key(id) {
                return Ok(());
            }
            if known.removing.contains(id) || known.publishing.contains(id) {
                return Err(no_snapshot(id));
            }
        }
        let backing = &self.node.backing;
        let found = self.node.runtime.block_on(snapshot::find(backing, id));
        let found = found.map_err(|e| DaemonError::Snapshot(format!("look for snapshot {id} in the store"), e))?;
        let Some((about, map)) = found else { return Err(no_snapshot(id)) };
        let mut known = self.lock();
        if known.snapshots.contains_key(id) {
            return Ok(());
        }
        if known.removing.contains(id) || known.publishing.contains(id) {
            return Err(no_snapshot(id));
        }
        let keep = |e| DaemonError::Record("keep the snapshot", e);
        self.catalogue.put_snapshot_map(id, &map.encode()).map_err(keep)?;
        backing.hold(Holder::snapshot(id), snapshot::names(&map));
        let record = SnapshotRecord {
            version: VERSION,
            state: SnapshotState::Completed,
            fault: None,
            origin: Origin::Store,
            size_bytes: about.size_bytes,
            volume_id: about.volume_id,
            encrypted: about.encrypted,
            created_unix_s: about.created_unix_s,
            stored_bytes: about.stored_bytes,
            sealed: true,
            building: None,
        };
        let entry = self.entry(record);
        self.remember(&mut known, id, entry)
    }

    /// A builder for a snapshot of its own.
    pub(super) fn builder(
        &self,
        id: &SnapshotId,
        encrypted: bool,
        base: Option<Arc<Checkpoint>>,
    ) -> Result<Builder, DaemonError> {
        let key_error = |e| DaemonError::Key(format!("encrypt snapshot {id}"), e);
        let uid = random().map_err(key_error)?;
        self.note_removal(&Removal { subject: Subject::Builder(uid), segments: Vec::new() })?;
        let key = if encrypted { Some(self.node.key.draw(uid).map_err(key_error)?) } else { None };
        Ok(Builder::new(self.node.backing.clone(), uid, Holder::snapshot(id), key, base))
    }

    pub(super) fn import_snapshot(&self, id: SnapshotId, path: &Path, encrypted: bool) -> Result<Reply, DaemonError> {
        if !path.is_absolute() {
            return Err(DaemonError::Invalid(format!("the file's path must be absolute, not {}", path.display())));
        }
        let origin = Origin::Import(path.to_owned());
        if let Some(snapshot) = self.existing(&self.lock(), &id, &origin)? {
            return Ok(Reply::Snapshot(snapshot));
        }
        let path_error = |e| DaemonError::Path(path.to_owned(), e);
        // Not blocking on a FIFO that someone put there.
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(path_error)?;
        let metadata = file.metadata().map_err(path_error)?;
        if !metadata.is_file() {
            return Err(DaemonError::Invalid(format!("{} is not a regular file", path.display())));
        }
        let size_bytes = metadata.len().next_multiple_of(BLOCK_SIZE_BYTES);
        check_size(size_bytes)?;
        // It takes long: others go on meanwhile, and who comes first with this name wins.
        let mut builder = self.builder(&id, encrypted, None)?;
        let record = SnapshotRecord {
            version: VERSION,
            state: SnapshotState::Completed,
            fault: None,
            origin: origin.clone(),
            size_bytes,
            volume_id: None,
            encrypted,
            created_unix_s: now_unix_s(),
            stored_bytes: 0,
            sealed: true,
            building: None,
        };
        let map = self.node.runtime.block_on(async {
            blocks::import(&mut builder, None, &file, size_bytes).await?;
            builder.finish().await?.ok_or(CopyError::Changed)
        });
        let map = map.map_err(|e| DaemonError::Copy(format!("import {}", path.display()), e))?;
        let mut known = self.lock();
        if let Some(snapshot) = self.existing(&known, &id, &origin)? {
            return Ok(Reply::Snapshot(snapshot));
        }
        // However long the store is away, others go on; the name is ours by now.
        known.publishing.insert(id.clone());
        drop(known);
        let published = self.node.runtime.block_on(snapshot::publish(
            &self.node.backing,
            &id,
            &map,
            Self::about(&record),
            &Notify::new(),
        ));
        let mut known = self.lock();
        known.publishing.remove(&id);
        let about = published.map_err(|e| DaemonError::Snapshot(format!("complete snapshot {id}"), e))?;
        let saved = self.catalogue.put_snapshot_map(&id, &map.encode());
        saved.map_err(|e| DaemonError::Record("keep the snapshot", e))?;
        let entry = self.entry(SnapshotRecord { stored_bytes: about.stored_bytes, ..record });
        let shown = self.show(&id, &entry);
        self.remember(&mut known, &id, entry)?;
        self.builder_succeeded(map.volume);
        Ok(Reply::Snapshot(shown))
    }

    pub(super) fn publish_built(
        &self,
        id: &SnapshotId,
        map: Checkpoint,
        record: &SnapshotRecord,
    ) -> Result<(Checkpoint, StoredSnapshot), DaemonError> {
        let map = snapshot::stripped(&map);
        let backing = &self.node.backing;
        backing.hold(Holder::snapshot(id), snapshot::names(&map));
        let deleted = self.lock().snapshots.get(id).map(|entry| entry.deleted.clone());
        let about = match deleted {
            Some(deleted) => {
                self.node.runtime.block_on(snapshot::publish(backing, id, &map, Self::about(record), &deleted))
            }
            None => Err(SnapshotError::Deleted),
        };
        Ok((map, about.map_err(|e| DaemonError::Snapshot(format!("complete snapshot {id}"), e))?))
    }

    /// A reader of a completed snapshot.
    pub(super) fn new_reader(&self, id: &SnapshotId) -> Result<Reader, DaemonError> {
        let map = Arc::new(self.snapshot_map(id)?);
        let reader = Reader::new(map, &self.node.key, self.node.backing.clone(), None);
        reader.map_err(|e| DaemonError::Key(format!("unlock snapshot {id}"), e))
    }
}
