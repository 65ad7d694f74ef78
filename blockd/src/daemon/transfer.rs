//! Blocks of snapshots, checks and exports: everything that reads or writes data on behalf of the API.

use super::{Daemon, DaemonError, check_size, find_snapshot, find_volume, no_snapshot, now_unix_s};
use crate::catalogue::{Origin, SnapshotRecord, VERSION};
use crate::engine::format::Checkpoint;
use crate::engine::log::Event;
use crate::snapshot::reader::Reader;
use crate::snapshot::{self, StoredSnapshot, blocks};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hive_blockd_api::{
    ExportSource, MAX_LISTED_BLOCKS, Reply, SNAPSHOT_BLOCK_BYTES, SnapshotId, SnapshotState, VolumeId,
};
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// Snapshots whose readers are kept.
const MAX_READERS: usize = 8;
const UNIT_BLOCKS: u32 = (SNAPSHOT_BLOCK_BYTES / hive_blockd_api::BLOCK_SIZE_BYTES) as u32;

impl Daemon {
    /// The reader of a completed snapshot, kept for the next request, and the snapshot's size.
    fn reader(&self, id: &SnapshotId) -> Result<(Arc<Mutex<Reader>>, u64), DaemonError> {
        self.adopt_snapshot(id)?;
        let size_bytes = {
            let known = self.lock();
            let record = &find_snapshot(&known, id)?.record;
            if record.state != SnapshotState::Completed {
                return Err(DaemonError::InUse(format!("snapshot {id} is not completed yet")));
            }
            record.size_bytes
        };
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reader) = readers.get(id) {
            return Ok((reader.clone(), size_bytes));
        }
        if readers.len() >= MAX_READERS {
            readers.clear();
        }
        let reader = Arc::new(Mutex::new(self.new_reader(id)?));
        readers.insert(id.clone(), reader.clone());
        Ok((reader, size_bytes))
    }

    pub(super) fn list_blocks(&self, id: &SnapshotId, start: u32, max: u32) -> Result<Reply, DaemonError> {
        let (reader, size_bytes) = self.reader(id)?;
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        let max = max.clamp(1, MAX_LISTED_BLOCKS);
        let listed = self.node.runtime.block_on(blocks::list(&mut reader, size_bytes, start, max));
        Ok(Reply::Blocks(listed.map_err(|e| DaemonError::Read(format!("list the blocks of snapshot {id}"), e))?))
    }

    pub(super) fn list_changed_blocks(
        &self,
        first: &SnapshotId,
        second: &SnapshotId,
        start: u32,
        max: u32,
    ) -> Result<Reply, DaemonError> {
        self.reader(first)?;
        let (_, size_bytes) = self.reader(second)?;
        // Readers of their own: the kept ones may be the same.
        let (mut first_reader, mut second_reader) = (self.new_reader(first)?, self.new_reader(second)?);
        let (ours, theirs) = (&first_reader.checkpoint().owners, &second_reader.checkpoint().owners);
        if !ours.iter().any(|owner| theirs.iter().any(|other| other.volume == owner.volume)) {
            return Err(DaemonError::Invalid(format!("snapshots {first} and {second} are not of one lineage")));
        }
        let max = max.clamp(1, MAX_LISTED_BLOCKS);
        let listing = blocks::list_changed(&mut first_reader, &mut second_reader, size_bytes, start, max);
        let listed = self.node.runtime.block_on(listing);
        let what = || format!("compare snapshots {first} and {second}");
        Ok(Reply::ChangedBlocks(listed.map_err(|e| DaemonError::Read(what(), e))?))
    }

    pub(super) fn get_block(&self, id: &SnapshotId, index: u32) -> Result<Reply, DaemonError> {
        let (reader, size_bytes) = self.reader(id)?;
        check_index(index, size_bytes)?;
        let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
        let blocks = self.node.runtime.block_on(reader.read(index * UNIT_BLOCKS, UNIT_BLOCKS));
        let bytes = blocks.map_err(|e| DaemonError::Read(format!("read block {index} of snapshot {id}"), e))?;
        Ok(Reply::Block { data: STANDARD.encode(bytes) })
    }

    pub(super) fn start_snapshot(
        &self,
        id: SnapshotId,
        size_bytes: u64,
        parent: Option<SnapshotId>,
        encrypted: bool,
    ) -> Result<Reply, DaemonError> {
        check_size(size_bytes)?;
        if let Some(parent) = &parent {
            self.adopt_snapshot(parent)?;
        }
        let mut known = self.lock();
        if let Some(entry) = known.snapshots.get(&id) {
            let same = entry.record.origin == Origin::Blocks(parent) && entry.record.size_bytes == size_bytes;
            if !same {
                return Err(DaemonError::Exists(format!("snapshot {id}")));
            }
            drop(known);
            return self.describe_snapshot(&id);
        }
        // Nor is its name taken in any other way.
        self.existing(&known, &id, &Origin::Blocks(parent.clone()))?;
        let mut encrypted = encrypted;
        if let Some(parent) = &parent {
            let record = &find_snapshot(&known, parent)?.record;
            if record.state != SnapshotState::Completed {
                return Err(DaemonError::InUse(format!("snapshot {parent} is not completed yet")));
            }
            if size_bytes < record.size_bytes {
                return Err(DaemonError::Invalid(format!(
                    "snapshot {parent} has {} bytes, more than {size_bytes}",
                    record.size_bytes
                )));
            }
            encrypted |= record.encrypted;
        }
        let path = self.catalogue.snapshot_blocks(&id);
        let file = std::fs::File::create(&path).and_then(|file| file.set_len(size_bytes));
        file.map_err(|e| DaemonError::Path(path, e))?;
        let record = SnapshotRecord {
            version: VERSION,
            state: SnapshotState::Pending,
            fault: None,
            origin: Origin::Blocks(parent),
            size_bytes,
            volume_id: None,
            encrypted,
            created_unix_s: now_unix_s(),
            stored_bytes: 0,
            sealed: false,
            building: None,
        };
        let recorded = self.catalogue.put_snapshot(&id, &record);
        recorded.map_err(|e| DaemonError::Record("record the snapshot", e))?;
        let entry = self.entry(record);
        known.snapshots.insert(id.clone(), entry);
        drop(known);
        self.describe_snapshot(&id)
    }

    /// The size of a snapshot that blocks may be put to.
    fn started(&self, id: &SnapshotId) -> Result<u64, DaemonError> {
        let known = self.lock();
        let record = &find_snapshot(&known, id)?.record;
        match record.origin {
            Origin::Blocks(_) if !record.sealed => Ok(record.size_bytes),
            _ => Err(DaemonError::Invalid(format!("snapshot {id} takes no blocks any more"))),
        }
    }

    pub(super) fn put_block(&self, id: &SnapshotId, index: u32, data: &str) -> Result<Reply, DaemonError> {
        let size_bytes = self.started(id)?;
        check_index(index, size_bytes)?;
        let bytes = STANDARD.decode(data).map_err(|e| DaemonError::Invalid(format!("data is not base64: {e}")))?;
        if bytes.len() as u64 != SNAPSHOT_BLOCK_BYTES {
            return Err(DaemonError::Invalid(format!("a block has {SNAPSHOT_BLOCK_BYTES} bytes, not {}", bytes.len())));
        }
        let path = self.catalogue.snapshot_blocks(id);
        let offset = u64::from(index) * SNAPSHOT_BLOCK_BYTES;
        // A size that ends within a block: the rest is not there.
        let len = usize::try_from(SNAPSHOT_BLOCK_BYTES.min(size_bytes - offset)).unwrap_or(bytes.len());
        let written = OpenOptions::new().write(true).open(&path).and_then(|file| {
            file.write_all_at(&bytes[..len], offset)?;
            file.sync_data()
        });
        written.map_err(|e| DaemonError::Path(path, e))?;
        Ok(Reply::Done)
    }

    pub(super) fn complete_snapshot(self: &Arc<Self>, id: &SnapshotId) -> Result<Reply, DaemonError> {
        {
            let mut known = self.lock();
            find_snapshot(&known, id)?;
            let entry = known.snapshots.get_mut(id).ok_or_else(|| no_snapshot(id))?;
            if !matches!(entry.record.origin, Origin::Blocks(_)) {
                return Err(DaemonError::Invalid(format!("snapshot {id} was not started to be written by blocks")));
            }
            if !entry.record.sealed {
                let record = SnapshotRecord { sealed: true, ..entry.record.clone() };
                let recorded = self.catalogue.put_snapshot(id, &record);
                recorded.map_err(|e| DaemonError::Record("record the snapshot", e))?;
                entry.record = record;
                drop(known);
                self.resume(id);
            }
        }
        // Asked again: it is under way or at its end.
        self.describe_snapshot(id)
    }

    pub(super) fn build_blocks(
        &self,
        id: &SnapshotId,
        parent: Option<&SnapshotId>,
        record: &SnapshotRecord,
    ) -> Result<(Checkpoint, StoredSnapshot), DaemonError> {
        let path = self.catalogue.snapshot_blocks(id);
        let file = std::fs::File::open(&path).map_err(|e| DaemonError::Path(path, e))?;
        let mut base = parent.map(|parent| self.new_reader(parent)).transpose()?;
        let map = base.as_ref().map(|base| base.checkpoint().clone());
        let mut builder = self.builder(id, record.encrypted, map)?;
        let map = self.until_deleted(id, async {
            blocks::import(&mut builder, base.as_mut(), &file, record.size_bytes).await?;
            builder.finish().await?.ok_or(blocks::CopyError::Changed)
        });
        let map = map.map_err(|e| DaemonError::Copy(format!("complete snapshot {id}"), e))?;
        self.publish_built(id, map, record)
    }

    /// Do `f` with a reader of the volume as it is now. Nothing that it needs is freed meanwhile, whoever attaches the volume.
    pub(super) fn with_volume_reader<R>(
        &self,
        id: &VolumeId,
        f: impl FnOnce(&mut Reader, u64) -> Result<R, DaemonError>,
    ) -> Result<R, DaemonError> {
        let token = self.next_token();
        let cut = {
            let mut known = self.lock();
            let record = find_volume(&known, id)?.clone();
            known.reading.push((id.clone(), token));
            let map = self.with_open(&mut known, std::slice::from_ref(id), |handles| self.cut_one(handles, token));
            map.map(|map| (map, record))
        };
        let result = cut.and_then(|(map, record)| {
            let log = self.files(id).log_path();
            let map =
                snapshot::decode_map(&map).map_err(|e| DaemonError::Path(log.clone(), std::io::Error::other(e)))?;
            let reader = Reader::new(Arc::new(map), &self.node.key, self.node.backing.clone(), Some(log));
            let mut reader = reader.map_err(|e| DaemonError::Key(format!("unlock volume {id}"), e))?;
            let result = f(&mut reader, record.size_bytes)?;
            // Whatever was found then is not to be believed.
            if self.lock().volumes.get(id).is_none_or(|now| now.uid != record.uid) {
                return Err(DaemonError::NotFound(format!("volume {id} any more: it was deleted meanwhile")));
            }
            Ok(result)
        });
        let mut known = self.lock();
        known.reading.retain(|(_, reading)| *reading != token);
        if let Some(open) = known.open.get(id) {
            open.handle.caller.call(Event::CutEnded { token });
        }
        drop(known);
        result
    }

    pub(super) fn check_volume(&self, id: &VolumeId) -> Result<Reply, DaemonError> {
        self.with_volume_reader(id, |reader, _| {
            let report = self.node.runtime.block_on(blocks::check(reader));
            Ok(Reply::Check(report.map_err(|e| DaemonError::Read(format!("check volume {id}"), e))?))
        })
    }

    pub(super) fn export(&self, source: &ExportSource, path: &Path) -> Result<Reply, DaemonError> {
        if !path.is_absolute() {
            return Err(DaemonError::Invalid(format!("the file's path must be absolute, not {}", path.display())));
        }
        let path_error = |e| DaemonError::Path(path.to_owned(), e);
        let write = |reader: &mut Reader, size_bytes: u64| {
            let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(path_error)?;
            let written = self.node.runtime.block_on(blocks::export(reader, size_bytes, &file));
            written.map(|()| Reply::Done).map_err(|e| {
                // Half a file is no export.
                let _ = std::fs::remove_file(path);
                DaemonError::Copy(format!("export to {}", path.display()), e)
            })
        };
        match source {
            ExportSource::Volume(id) => {
                if find_volume(&self.lock(), id)?.attachment.is_some() {
                    return Err(DaemonError::InUse(format!(
                        "volume {id} is attached: take a snapshot and export that"
                    )));
                }
                self.with_volume_reader(id, write)
            }
            ExportSource::Snapshot(id) => {
                let (reader, size_bytes) = self.reader(id)?;
                write(&mut reader.lock().unwrap_or_else(PoisonError::into_inner), size_bytes)
            }
        }
    }
}

fn check_index(index: u32, size_bytes: u64) -> Result<(), DaemonError> {
    if u64::from(index) * SNAPSHOT_BLOCK_BYTES >= size_bytes {
        return Err(DaemonError::Invalid(format!("block {index} lies beyond the snapshot's {size_bytes} bytes")));
    }
    Ok(())
}
