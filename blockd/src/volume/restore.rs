//! Rebuilding a volume of a lost node from what it had uploaded: the state at its manifest, which is a prefix of its log.

use super::files::{FilesError, VolumeFiles, Writer};
use super::manifest::{Manifest, manifest_key};
use crate::backing::{Backing, segment_key};
use crate::engine::check::SegmentId;
use crate::engine::format::{Checkpoint, CheckpointError, SEGMENT_BYTES, SavedSegment, SegmentHeader, VolumeUid};
use crate::engine::log::SegmentName;
use crate::keys::unhex;
use crate::snapshot::decode_map;
use hive_blockd_store::StoreError;
use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("nothing of the volume was uploaded yet")]
    Nothing,
    #[error("the manifest {0} is damaged")]
    Manifest(String, #[source] serde_json::Error),
    #[error("the map {0} is not to be believed")]
    Map(String, #[source] CheckpointError),
    #[error("no volume has {0} bytes, as the manifest says")]
    Size(u64),
    #[error("segment {0} in the store is not what the manifest says")]
    Segment(u32),
    #[error("cannot write the volume's log")]
    Log(#[source] std::io::Error),
}

/// The volume's manifest in the store, by the volume's name. Of several, which share a name after a deletion that was cut off, the one
/// of the latest epoch.
pub async fn find(backing: &Backing, volume_id: &str) -> Result<Option<(VolumeUid, Manifest)>, RestoreError> {
    let mut found: Option<(VolumeUid, Manifest)> = None;
    for key in backing.store.list("volumes/").await? {
        let Some(uid) = key.split('/').nth(1).and_then(unhex).filter(|uid| manifest_key(*uid) == key) else { continue };
        let (bytes, _) = backing.store.get(&key).await?;
        let manifest: Manifest = serde_json::from_slice(&bytes).map_err(|e| RestoreError::Manifest(key, e))?;
        let is_later = found.as_ref().is_none_or(|(_, other)| other.epoch < manifest.epoch);
        if manifest.volume_id == volume_id && is_later {
            found = Some((uid, manifest));
        }
    }
    Ok(found)
}

/// Make the volume's files from the store: its checkpoint, and the log behind it where the chain says.
pub async fn restore(
    backing: &Backing,
    files: &VolumeFiles,
    volume: VolumeUid,
    manifest: &Manifest,
) -> Result<Checkpoint, RestoreError> {
    let key = manifest.map.as_ref().ok_or(RestoreError::Nothing)?;
    let (bytes, _) = backing.store.get(key).await?;
    let stored = decode_map(&bytes).map_err(|e| RestoreError::Map(key.clone(), e))?;
    let remote = |s: &SavedSegment| SavedSegment { slot: None, uploaded: true, ..*s };
    let segments = stored.segments.iter().filter(|s| s.end != 0).map(remote).collect();
    let checkpoint = Checkpoint { segments, ..stored };
    files.create(&checkpoint)?;
    let log = OpenOptions::new().write(true).open(files.log_path()).map_err(RestoreError::Log)?;
    let (mut seq, mut slot) = (checkpoint.tail.place.seq, checkpoint.tail.slot);
    for segment in &manifest.suffix {
        let id = SegmentId { epoch: segment.epoch, incarnation: segment.incarnation, seq: segment.seq };
        let (bytes, _) = backing.store.get(&segment_key(SegmentName { owner: volume, id })).await?;
        let header = SegmentHeader::decode(&bytes).filter(|h| h.volume == volume && h.segment == id && id.seq == seq);
        let header = header.filter(|_| bytes.len() as u64 <= SEGMENT_BYTES).ok_or(RestoreError::Segment(id.seq))?;
        log.write_all_at(&bytes, u64::from(slot) * SEGMENT_BYTES).map_err(RestoreError::Log)?;
        (seq, slot) = (seq.saturating_add(1), header.next_slot);
    }
    log.sync_all().map_err(RestoreError::Log)?;
    // The next open raises the epoch, which ends whoever may still write elsewhere.
    files.put_writer(taken_over(manifest))?;
    Ok(checkpoint)
}

/// Epochs that are left to the old owner: should it live, cut off from the store, each of its opens uses up one. Were ours among them,
/// two would write under one nonce and one name.
const EPOCHS_LEFT: u32 = 1 << 16;

/// Who writes a volume that was rebuilt from this manifest.
pub fn taken_over(manifest: &Manifest) -> Writer {
    let rebuilt_from = Some(manifest.nonce.clone());
    let epoch = manifest.epoch.saturating_add(EPOCHS_LEFT);
    Writer { epoch, rebuilt_from, first_epoch: epoch, ..Writer::default() }
}
