//! Volumes: made, shown, changed, attached.

use super::removals::{Removal, Subject};
use super::{Daemon, DaemonError, Known, Open, check_size, check_volume_record, find_snapshot, find_volume};
use crate::backing::Holder;
use crate::catalogue::{Attachment, VERSION, VolumeRecord};
use crate::engine::format::Checkpoint;
use crate::engine::log::Event;
use crate::export::{Export, ExportConfig};
use crate::keys::{hex, random, unhex};
use crate::snapshot;
use crate::vhost::{DeviceConfig, SERIAL_BYTES};
use crate::volume;
use crate::volume::restore::{self, RestoreError};
use hive_blockd_api::{Limits, MAX_QUEUES, Reply, SnapshotId, SnapshotState, Volume, VolumeHealth, VolumeId};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Longest path of a Unix socket, its terminator not counted.
const MAX_SOCKET_PATH_BYTES: usize = 107;
/// The smallest limits that make sense: less would stall a guest's boot for minutes.
const MIN_IOPS: u32 = 1;
const MIN_THROUGHPUT_BYTES_PER_S: u64 = 64 << 10;

/// What an upload may take before it counts as late.
const UPLOAD_TIME: Duration = Duration::from_secs(2);

impl Daemon {
    pub(super) fn describe(&self, known: &Known, id: &VolumeId) -> Result<Volume, DaemonError> {
        if let Some(reason) = known.damaged_volumes.get(id) {
            return Ok(self.describe_damaged(id, reason));
        }
        let record = find_volume(known, id)?;
        let export = known.open.get(id).map(|open| &open.export);
        let status = export.and_then(|_| known.statuses.get(id));
        let fault = status.and_then(|s| s.fault());
        let waiting = status.is_some_and(|s| s.log().waiting);
        let away = self.node.tuning.upload && self.node.backing.is_away();
        // The store's client tries for a while before it says that it cannot reach it.
        let (dirty_bytes, dirty_since) = self.dirty(known, id);
        let late = status.and(dirty_since).map(|at| at.elapsed());
        let behind = late.is_some_and(|late| late > 2 * self.node.tuning.complete_after + UPLOAD_TIME);
        let damage = self.scrub.of_volume(id, &record.uid);
        let (health, fault) = match fault {
            Some(fault) => (VolumeHealth::Impaired, Some(fault)),
            None if record.attachment.is_some() && export.is_none() => {
                (VolumeHealth::Impaired, Some("the volume could not be opened; the daemon's log says why".into()))
            }
            None if damage.lost => (VolumeHealth::Impaired, Some(damage.what)),
            None if waiting => (VolumeHealth::Degraded, Some("writes wait for room".into())),
            None if away => (VolumeHealth::Degraded, Some("the store cannot be reached".into())),
            None if behind => (VolumeHealth::Degraded, Some("the store does not keep up".into())),
            None if damage.blocks > 0 => (VolumeHealth::Degraded, Some(damage.what)),
            None => (VolumeHealth::Ok, None),
        };
        Ok(Volume {
            volume_id: id.clone(),
            size_bytes: record.size_bytes,
            snapshot_id: record.snapshot_id.clone(),
            encrypted: record.encrypted,
            limits: record.limits,
            socket: export.and_then(|e| e.socket().map(Into::into)),
            connected: status.is_some_and(|s| s.connected.load(Ordering::Relaxed)),
            health,
            fault,
            damaged_blocks: damage.blocks,
            dirty_bytes,
            rpo_seconds: dirty_since.map_or(0, |since| since.elapsed().as_secs()),
            allocated_bytes: self
                .catalogue
                .allocated_bytes(id)
                .map_err(|e| DaemonError::Record("describe the volume", e))?,
        })
    }

    /// A volume whose record cannot be read.
    fn describe_damaged(&self, id: &VolumeId, reason: &str) -> Volume {
        Volume {
            volume_id: id.clone(),
            size_bytes: 0,
            snapshot_id: None,
            encrypted: false,
            limits: Limits::default(),
            socket: None,
            connected: false,
            health: VolumeHealth::Impaired,
            fault: Some(format!("its record is damaged: {reason}")),
            damaged_blocks: 0,
            dirty_bytes: 0,
            rpo_seconds: 0,
            allocated_bytes: self.catalogue.allocated_bytes(id).unwrap_or(0),
        }
    }

    pub(super) fn create_volume(
        &self,
        id: VolumeId,
        size: u64,
        snapshot_id: Option<SnapshotId>,
        encrypted: bool,
        limits: Limits,
    ) -> Result<Reply, DaemonError> {
        check_size(size)?;
        check_limits(limits)?;
        if let Some(snapshot_id) = &snapshot_id {
            self.adopt_snapshot(snapshot_id)?;
        }
        let mut known = self.lock();
        check_volume_record(&known, &id)?;
        if let Some(record) = known.volumes.get(&id) {
            let same = record.created_size_bytes == size && record.snapshot_id == snapshot_id;
            if !same || (encrypted && !record.encrypted) {
                return Err(DaemonError::Exists(format!("volume {id}")));
            }
            return Ok(Reply::Volume(self.describe(&known, &id)?));
        }
        let source = snapshot_id.as_ref().map(|snapshot| self.completed(&known, snapshot, size)).transpose()?;
        let encrypted = encrypted || source.as_ref().is_some_and(|(_, encrypted)| *encrypted);
        let uid = random().map_err(|e| DaemonError::Key("name the volume".into(), e))?;
        let key = if encrypted {
            let drawn = self.node.key.draw(uid).map_err(|e| DaemonError::Key("draw the volume's key".into(), e))?;
            Some(drawn.1)
        } else {
            None
        };
        let checkpoint = match &source {
            Some((map, _)) => snapshot::clone_of(map, uid, key),
            None => Checkpoint::empty(uid, key),
        };
        if checkpoint.owners.len() > crate::engine::format::MAX_OWNERS {
            return Err(DaemonError::Invalid(
                "the snapshot has too many generations of clones behind it: copy it first".into(),
            ));
        }
        snapshot::check_map(&checkpoint)
            .map_err(|e| DaemonError::Invalid(format!("the snapshot cannot be cloned: {e}")))?;
        self.files(&id).create(&checkpoint).map_err(|e| DaemonError::Files("create the volume", e))?;
        let record = VolumeRecord {
            version: VERSION,
            uid: hex(&uid),
            size_bytes: size,
            created_size_bytes: size,
            snapshot_id,
            encrypted,
            limits,
            attachment: None,
        };
        self.catalogue.put_volume(&id, &record).map_err(|e| DaemonError::Record("create the volume", e))?;
        self.node.backing.hold(Holder::volume(uid), volume::stored_names(&checkpoint));
        known.volumes.insert(id.clone(), record);
        Ok(Reply::Volume(self.describe(&known, &id)?))
    }

    /// The map of a completed snapshot that fits into `size`, and whether it is encrypted.
    fn completed(&self, known: &Known, id: &SnapshotId, size: u64) -> Result<(Checkpoint, bool), DaemonError> {
        let entry = find_snapshot(known, id)?;
        if entry.record.state != SnapshotState::Completed {
            return Err(DaemonError::InUse(format!("snapshot {id} is not completed yet")));
        }
        if size < entry.record.size_bytes {
            return Err(DaemonError::Invalid(format!(
                "a volume of {size} bytes cannot hold snapshot {id} of {} bytes",
                entry.record.size_bytes
            )));
        }
        Ok((self.snapshot_map(id)?, entry.record.encrypted))
    }

    pub(super) fn delete_volume(self: &Arc<Self>, id: &VolumeId) -> Result<Reply, DaemonError> {
        let mut known = self.lock();
        check_volume_record(&known, id)?;
        let Some(record) = known.volumes.get(id) else { return Ok(Reply::Done) };
        if record.attachment.is_some() {
            return Err(DaemonError::InUse(format!("volume {id} is attached")));
        }
        let pending = |(_, entry): &(&SnapshotId, &super::SnapshotEntry)| {
            entry.record.state == SnapshotState::Pending && entry.record.volume_id.as_ref() == Some(id)
        };
        if let Some((snapshot, _)) = known.snapshots.iter().find(pending) {
            return Err(DaemonError::InUse(format!("snapshot {snapshot} of volume {id} is not completed yet")));
        }
        let uid = unhex(&record.uid);
        let pins = |found: &super::DamagedSnapshot| found.pins.is_some_and(|(pinned, _)| Some(pinned) == uid);
        if let Some((snapshot, _)) = known.damaged_snapshots.iter().find(|(_, found)| pins(found)) {
            return Err(DaemonError::InUse(format!("snapshot {snapshot} of volume {id} has a damaged record")));
        }
        // Being settled.
        if let Some(open) = known.open.remove(id) {
            open.export.stop().map_err(|e| DaemonError::Stop(id.clone(), e))?;
        }
        let files = self.files(id);
        // One that was rebuilt here and never claimed is its old owner's still, or somebody else's by now.
        let is_ours = !files.writer().is_ok_and(|writer| writer.rebuilt_from.is_some());
        let removal = uid.filter(|_| is_ours).map(|uid| {
            // Without its files it was never in the store under an epoch that we know: then nothing but its own name counts.
            let epoch = files.writer().map_or(u32::MAX, |writer| writer.epoch);
            let mut segments = files.checkpoint().map_or_else(|_| Vec::new(), |map| volume::stored_names(&map));
            segments.extend(files.dropped());
            Removal { subject: Subject::Volume(uid, epoch), segments }
        });
        if let Some(removal) = &removal {
            self.note_removal(removal)?;
        }
        self.catalogue.delete_volume(id).map_err(|e| DaemonError::Record("delete the volume", e))?;
        known.volumes.remove(id);
        known.statuses.remove(id);
        known.unsettled.remove(id);
        drop(known);
        let freed = uid.map_or_else(Vec::new, |uid| self.node.backing.retire(Holder::volume(uid)));
        // The log and its key are gone: what is left in the store of an encrypted volume is ciphertext.
        if let Some(mut removal) = removal {
            removal.segments.extend(freed);
            self.remove(removal);
        }
        Ok(Reply::Done)
    }

    /// Rebuild a volume of a lost node from what it had uploaded.
    pub(super) fn restore_volume(&self, id: VolumeId) -> Result<Reply, DaemonError> {
        let mut known = self.lock();
        check_volume_record(&known, &id)?;
        if known.volumes.contains_key(&id) {
            return Err(DaemonError::Exists(format!("volume {id}")));
        }
        let (backing, files) = (&self.node.backing, self.files(&id));
        let restored = self.node.runtime.block_on(async {
            let Some((uid, manifest)) = restore::find(backing, id.as_ref()).await? else { return Ok(None) };
            if check_size(manifest.size_bytes).is_err() {
                return Err(RestoreError::Size(manifest.size_bytes));
            }
            let checkpoint = restore::restore(backing, &files, uid, &manifest).await?;
            Ok(Some((uid, manifest, checkpoint)))
        });
        let restored = restored.map_err(|e| DaemonError::Restore(id.clone(), e))?;
        let Some((uid, manifest, checkpoint)) = restored else {
            return Err(DaemonError::NotFound(format!("volume {id} in the store")));
        };
        let record = VolumeRecord {
            version: VERSION,
            uid: hex(&uid),
            size_bytes: manifest.size_bytes,
            created_size_bytes: manifest.size_bytes,
            snapshot_id: None,
            encrypted: checkpoint.owners.first().is_some_and(|owner| owner.key.is_some()),
            limits: Limits::default(),
            attachment: None,
        };
        self.catalogue.put_volume(&id, &record).map_err(|e| DaemonError::Record("restore the volume", e))?;
        self.node.backing.revive(Holder::volume(uid));
        self.node.backing.hold(Holder::volume(uid), volume::stored_names(&checkpoint));
        known.volumes.insert(id.clone(), record);
        Ok(Reply::Volume(self.describe(&known, &id)?))
    }

    pub(super) fn resize_volume(&self, id: &VolumeId, size: u64) -> Result<Reply, DaemonError> {
        check_size(size)?;
        let mut known = self.lock();
        let record = find_volume(&known, id)?;
        if size < record.size_bytes {
            return Err(DaemonError::Invalid(format!(
                "volume {id} of {} bytes cannot shrink to {size}",
                record.size_bytes
            )));
        }
        if size > record.size_bytes {
            let record = VolumeRecord { size_bytes: size, ..record.clone() };
            self.catalogue.put_volume(id, &record).map_err(|e| DaemonError::Record("resize the volume", e))?;
            known.volumes.insert(id.clone(), record);
            if let Some(open) = known.open.get(id) {
                open.handle.keeper.set_size(size);
                open.handle.caller.call(Event::Grow { size_bytes: size });
                open.export.reconnect();
            }
        }
        Ok(Reply::Volume(self.describe(&known, id)?))
    }

    pub(super) fn set_limits(&self, id: &VolumeId, limits: Limits) -> Result<Reply, DaemonError> {
        check_limits(limits)?;
        let mut known = self.lock();
        let record = VolumeRecord { limits, ..find_volume(&known, id)?.clone() };
        self.catalogue.put_volume(id, &record).map_err(|e| DaemonError::Record("limit the volume", e))?;
        known.volumes.insert(id.clone(), record);
        if let Some(status) = known.statuses.get(id) {
            status.set_limits(limits);
        }
        if let Some(open) = known.open.get(id) {
            open.export.nudge();
        }
        Ok(Reply::Volume(self.describe(&known, id)?))
    }

    pub(super) fn attach_volume(&self, id: &VolumeId, attachment: Attachment) -> Result<Reply, DaemonError> {
        if attachment.queues == 0 || attachment.queues > MAX_QUEUES {
            return Err(DaemonError::Invalid(format!("queues must be 1 to {MAX_QUEUES}, not {}", attachment.queues)));
        }
        if attachment.serial.len() > SERIAL_BYTES {
            return Err(DaemonError::Invalid(format!("a serial has at most {SERIAL_BYTES} bytes")));
        }
        let mut known = self.lock();
        let record = find_volume(&known, id)?;
        match &record.attachment {
            Some(existing) if *existing != attachment => {
                return Err(DaemonError::Exists(format!("an attachment of volume {id}")));
            }
            Some(_) => {}
            None => {
                let record = VolumeRecord { attachment: Some(attachment), ..record.clone() };
                self.catalogue.put_volume(id, &record).map_err(|e| DaemonError::Record("record the attachment", e))?;
                known.volumes.insert(id.clone(), record);
            }
        }
        if let Some(open) = known.open.remove(id) {
            if open.is_attached() {
                known.open.insert(id.clone(), open);
            } else if let Err(error) = open.export.stop() {
                tracing::error!(volume = %id, %error, "volume did not end cleanly");
            }
        }
        if !known.open.contains_key(id) {
            match self.open(&mut known, id, true) {
                Ok(open) => {
                    known.unsettled.remove(id);
                    known.open.insert(id.clone(), open);
                }
                Err(e) => {
                    self.forget_attachment(&mut known, id)?;
                    return Err(e);
                }
            }
        }
        match known.open.get(id).and_then(|open| open.export.socket()) {
            Some(socket) => Ok(Reply::Attached { socket: socket.to_owned() }),
            None => Err(DaemonError::NotFound(format!("export of volume {id}"))),
        }
    }

    /// [`Self::open`] without holding the lock: at the start nobody else knows the volume.
    pub(super) fn open_attached(&self, id: &VolumeId) -> Result<Open, DaemonError> {
        let mut alone = Known::default();
        {
            let known = self.lock();
            alone.volumes.insert(id.clone(), find_volume(&known, id)?.clone());
            alone.damaged_snapshots.clone_from(&known.damaged_snapshots);
            for (snapshot, entry) in &known.snapshots {
                let (record, token) = (entry.record.clone(), entry.token);
                let (progress, deleted) = (entry.progress.clone(), entry.deleted.clone());
                let copy = super::SnapshotEntry { record, token, progress, under_way: false, deleted };
                alone.snapshots.insert(snapshot.clone(), copy);
            }
        }
        let open = self.open(&mut alone, id, true)?;
        self.lock().statuses.append(&mut alone.statuses);
        Ok(open)
    }

    /// Open the volume: for its guest if `attached`, else for ourselves.
    pub(super) fn open(&self, known: &mut Known, id: &VolumeId, attached: bool) -> Result<Open, DaemonError> {
        let record = find_volume(known, id)?.clone();
        let attachment = record.attachment.clone().filter(|_| attached);
        let socket = attachment.as_ref().map(|_| self.export_dir.join(format!("{id}.sock")));
        if let Some(socket) = socket.as_ref().filter(|socket| socket.as_os_str().len() > MAX_SOCKET_PATH_BYTES) {
            return Err(DaemonError::Invalid(format!("{} is too long for a socket", socket.display())));
        }
        let uid = unhex(&record.uid);
        let pinned = |found: &super::DamagedSnapshot| found.pins.filter(|(of, _)| Some(*of) == uid);
        let damaged = known.damaged_snapshots.values().filter_map(pinned).map(|(_, token)| token);
        let pins = known
            .snapshots
            .values()
            .filter(|e| e.record.state == SnapshotState::Pending && e.record.volume_id.as_ref() == Some(id))
            .map(|entry| entry.token)
            .chain(damaged)
            .chain(known.reading.iter().filter(|(volume, _)| volume == id).map(|(_, token)| *token))
            .collect();
        let open_error = |e| DaemonError::Open(id.clone(), e);
        let (prepared, handle) =
            volume::prepare(&self.node, id.as_ref(), self.files(id), &record, pins).map_err(open_error)?;
        if let Some((_, since)) = known.unsettled.get(id) {
            handle.keeper.lacks_since(*since);
        }
        let attachment = attachment.unwrap_or(Attachment { queues: 1, read_only: true, serial: String::new() });
        let config = ExportConfig {
            socket,
            device: DeviceConfig {
                name: id.to_string(),
                queues: attachment.queues,
                read_only: attachment.read_only,
                serial: attachment.serial,
            },
            poll: self.poll,
        };
        let status = known.statuses.entry(id.clone()).or_default().clone();
        status.set_limits(record.limits);
        let export =
            Export::start(config, status, move || prepared.open()).map_err(|e| DaemonError::Start(id.clone(), e))?;
        Ok(Open { export, handle })
    }

    fn forget_attachment(&self, known: &mut Known, id: &VolumeId) -> Result<(), DaemonError> {
        let record = VolumeRecord { attachment: None, ..find_volume(known, id)?.clone() };
        self.catalogue.put_volume(id, &record).map_err(|e| DaemonError::Record("record the detachment", e))?;
        known.volumes.insert(id.clone(), record);
        Ok(())
    }

    pub(super) fn detach_volume(self: &Arc<Self>, id: &VolumeId) -> Result<Reply, DaemonError> {
        let mut known = self.lock();
        if find_volume(&known, id)?.attachment.is_some() {
            let (dirty_bytes, since) = self.dirty(&known, id);
            // The export first: should we die in between, it is served again, and asked again this ends well.
            let stopped = known.open.remove(id).map_or(Ok(()), |open| open.export.stop());
            self.forget_attachment(&mut known, id)?;
            if self.node.tuning.upload {
                known.unsettled.insert(id.clone(), (dirty_bytes, since.unwrap_or_else(Instant::now)));
            }
            drop(known);
            stopped.map_err(|e| DaemonError::Stop(id.clone(), e))?;
            if self.node.tuning.upload {
                self.settle(id.clone());
            }
        }
        Ok(Reply::Done)
    }

    /// Do `f` with the volumes open, those that are not attached for its time only.
    pub(super) fn with_open<R>(
        &self,
        known: &mut Known,
        ids: &[VolumeId],
        f: impl FnOnce(&[volume::Handle]) -> Result<R, DaemonError>,
    ) -> Result<R, DaemonError> {
        let mut borrowed = Vec::new();
        let mut handles = Vec::new();
        let mut opened = Ok(());
        for id in ids {
            if let Some(open) = known.open.get(id) {
                handles.push(open.handle.clone());
                continue;
            }
            match self.open(known, id, false) {
                Ok(open) => {
                    handles.push(open.handle.clone());
                    borrowed.push((id.clone(), open));
                }
                Err(error) => {
                    opened = Err(error);
                    break;
                }
            }
        }
        let result = opened.and_then(|()| f(&handles));
        for (id, open) in borrowed {
            open.export.stop().map_err(|e| DaemonError::Stop(id, e))?;
        }
        result
    }

    /// Whether the volume's engine is open, and what to tell it by.
    pub(super) fn handle_of(&self, id: &VolumeId) -> Option<volume::Handle> {
        self.lock().open.get(id).map(|open| open.handle.clone())
    }
}

fn check_limits(limits: Limits) -> Result<(), DaemonError> {
    if limits.iops.is_some_and(|iops| iops < MIN_IOPS) {
        return Err(DaemonError::Invalid(format!("iops must be at least {MIN_IOPS}")));
    }
    if limits.throughput_bytes_per_s.is_some_and(|bytes| bytes < MIN_THROUGHPUT_BYTES_PER_S) {
        return Err(DaemonError::Invalid(format!(
            "a throughput must be at least {MIN_THROUGHPUT_BYTES_PER_S} bytes/s"
        )));
    }
    Ok(())
}

/// For background work.
pub(super) type Shared = Arc<Daemon>;
