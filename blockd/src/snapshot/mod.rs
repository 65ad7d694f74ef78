//! Snapshots: checkpoints that are kept, with all that they refer to in the store.
//!
//! In the store a snapshot is `snapshots/ID/map`, its checkpoint, and `snapshots/ID/manifest`, written last and removed first.

pub mod blocks;
pub mod build;
pub mod pack;
pub mod reader;
pub mod verify;

use crate::backing::{Backing, Holder, segment_key};
use crate::engine::format::{Checkpoint, FRONT_BLOCKS, Owner, Place, SavedSegment, Tail, VolumeUid, WrappedKey};
use crate::engine::log::SegmentName;
use crate::volume::keeper::{Keeper, needed_segments, read_slot};
use bytes::Bytes;
use hive_blockd_api::{SnapshotId, VolumeId};
use hive_blockd_store::StoreError;
use pack::Live;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

const MANIFEST_VERSION: u32 = 1;
/// Largest manifest: it is a few hundred bytes.
const MAX_MANIFEST_BYTES: usize = 64 << 10;

/// What another node needs to know of a snapshot, beside its checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSnapshot {
    pub version: u32,
    pub size_bytes: u64,
    pub volume_id: Option<VolumeId>,
    pub encrypted: bool,
    pub created_unix_s: u64,
    pub stored_bytes: u64,
}

pub fn manifest_key(id: &SnapshotId) -> String {
    format!("snapshots/{id}/manifest")
}

pub fn map_key(id: &SnapshotId) -> String {
    format!("snapshots/{id}/map")
}

#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    #[error("cannot read segment {seq} of the volume's log")]
    Log {
        seq: u32,
        #[source]
        source: std::io::Error,
    },
    #[error("segment {0} is neither here nor in the store")]
    Lost(u32),
    #[error("the store refuses")]
    Store(#[from] StoreError),
    #[error("snapshot {0} in the store is damaged")]
    Damaged(SnapshotId),
    #[error("snapshot {0} in the store is encrypted differently than it says")]
    Encryption(SnapshotId),
}

/// Without what only matters to the volume it was taken of: nothing of it is local, and nothing dead is kept.
pub fn stripped(checkpoint: &Checkpoint) -> Checkpoint {
    let needed = needed_segments(checkpoint);
    let segments: Vec<SavedSegment> =
        needed.into_iter().map(|s| SavedSegment { slot: None, uploaded: true, ..s }).collect();
    with_used_owners(Checkpoint {
        volume: checkpoint.volume,
        tail: tail_behind(&segments),
        owners: checkpoint.owners.clone(),
        segments,
        homes: checkpoint.homes.clone(),
    })
}

fn tail_behind(segments: &[SavedSegment]) -> Tail {
    let seq = segments.last().map_or(0, |s| s.id.seq + 1);
    Tail { place: Place { seq, block: FRONT_BLOCKS }, slot: 0, written_by: (0, 0) }
}

/// Owners of no segment are left out, but for the first.
fn with_used_owners(mut checkpoint: Checkpoint) -> Checkpoint {
    let mut kept = Vec::new();
    let mut renamed = vec![0u16; checkpoint.owners.len()];
    for (i, owner) in checkpoint.owners.iter().enumerate() {
        if i == 0 || checkpoint.segments.iter().any(|s| usize::from(s.owner) == i) {
            renamed[i] = kept.len() as u16;
            kept.push(owner.clone());
        }
    }
    for segment in &mut checkpoint.segments {
        segment.owner = renamed[usize::from(segment.owner)];
    }
    Checkpoint { owners: kept, ..checkpoint }
}

/// The first checkpoint of a clone: everything lies in the snapshot's segments, nothing is copied.
pub fn clone_of(snapshot: &Checkpoint, volume: VolumeUid, key: Option<WrappedKey>) -> Checkpoint {
    let owners = [Owner { volume, key }].into_iter().chain(snapshot.owners.iter().cloned()).collect();
    let segments: Vec<SavedSegment> = snapshot
        .segments
        .iter()
        .map(|s| SavedSegment { owner: s.owner + 1, slot: None, uploaded: true, ..*s })
        .collect();
    with_used_owners(Checkpoint {
        volume,
        tail: tail_behind(&segments),
        owners,
        segments,
        homes: snapshot.homes.clone(),
    })
}

/// Names of all segments that a stripped checkpoint refers to.
pub fn names(checkpoint: &Checkpoint) -> Vec<SegmentName> {
    let name =
        |s: &SavedSegment| Some(SegmentName { owner: checkpoint.owners.get(usize::from(s.owner))?.volume, id: s.id });
    checkpoint.segments.iter().filter_map(name).collect()
}

fn stored_bytes(checkpoint: &Checkpoint) -> u64 {
    checkpoint.segments.iter().map(|s| u64::from(s.end) * crate::engine::format::BLOCK_BYTES as u64).sum()
}

/// The volume's own segments that a cut refers to and the store does not have yet, in order.
pub fn missing(backing: &Backing, checkpoint: &Checkpoint) -> Vec<SavedSegment> {
    needed_segments(checkpoint)
        .into_iter()
        .filter(|s| s.owner == 0 && !s.uploaded)
        .filter(|s| !backing.is_referenced(SegmentName { owner: checkpoint.volume, id: s.id }))
        .collect()
}

/// Bring what a cut refers to into the store: what is still only in the volume's log first, of which `live` is enough.
pub async fn upload(
    backing: &Backing,
    id: &SnapshotId,
    checkpoint: &Checkpoint,
    log: &Path,
    live: &Live,
    keeper: Option<Arc<Keeper>>,
    progress: &AtomicU8,
) -> Result<Checkpoint, SnapshotError> {
    let stripped = stripped(checkpoint);
    let holder = Holder::snapshot(id);
    let missing = missing(backing, checkpoint);
    backing.hold(
        holder,
        names(&stripped)
            .into_iter()
            .filter(|name| !missing.iter().any(|s| s.id == name.id && name.owner == checkpoint.volume)),
    );
    for (done, segment) in missing.iter().enumerate() {
        let name = SegmentName { owner: checkpoint.volume, id: segment.id };
        let slot = segment.slot.ok_or(SnapshotError::Lost(segment.id.seq))?;
        let (log, end, seq) = (log.to_owned(), segment.end, segment.id.seq);
        let read = tokio::task::spawn_blocking(move || read_slot(&log, slot, end)).await;
        // The volume may have uploaded it meanwhile, and used its place in the log for something else.
        if !backing.is_referenced(name) {
            let mut bytes = read
                .unwrap_or_else(|e| Err(std::io::Error::other(e)))
                .map_err(|source| SnapshotError::Log { seq, source })?;
            live.clear_dead(seq, bytes.as_mut_slice());
            backing.put(&segment_key(name), Bytes::from_owner(bytes)).await?;
        }
        // For the volume too, even if it is not open to hear of it: the segment must not be removed with this snapshot while the
        // next one already counts on it.
        backing.hold(holder, [name]);
        backing.hold(Holder::volume(checkpoint.volume), [name]);
        if let Some(keeper) = &keeper {
            keeper.uploaded_elsewhere(name);
        }
        progress.store(((done + 1) * 99 / missing.len()) as u8, Ordering::Relaxed);
    }
    Ok(stripped)
}

/// Make the snapshot exist in the store. All its segments are there.
pub async fn publish(
    backing: &Backing,
    id: &SnapshotId,
    checkpoint: &Checkpoint,
    mut about: StoredSnapshot,
) -> Result<StoredSnapshot, SnapshotError> {
    about.version = MANIFEST_VERSION;
    about.stored_bytes = stored_bytes(checkpoint);
    backing.put(&map_key(id), checkpoint.encode().into()).await?;
    let bytes = serde_json::to_vec(&about).map_err(|_| SnapshotError::Damaged(id.clone()))?;
    backing.put(&manifest_key(id), Bytes::from(bytes)).await?;
    Ok(about)
}

/// [`find`], however long the store is away.
pub async fn find_patiently(
    backing: &Backing,
    id: &SnapshotId,
) -> Result<Option<(StoredSnapshot, Checkpoint)>, SnapshotError> {
    let look = async || match find(backing, id).await {
        Err(SnapshotError::Store(error)) => Err(error),
        found => Ok(found),
    };
    backing.patiently(&manifest_key(id), look).await?
}

/// A snapshot that another node has made, if there is one.
pub async fn find(backing: &Backing, id: &SnapshotId) -> Result<Option<(StoredSnapshot, Checkpoint)>, SnapshotError> {
    let bytes = match backing.store.get(&manifest_key(id)).await {
        Ok((bytes, _)) => bytes,
        Err(StoreError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let damaged = || SnapshotError::Damaged(id.clone());
    if bytes.len() > MAX_MANIFEST_BYTES {
        return Err(damaged());
    }
    let about: StoredSnapshot = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    let (map, _) = backing.store.get(&map_key(id)).await?;
    let checkpoint = Checkpoint::decode(&map).map_err(|_| damaged())?;
    if about.version != MANIFEST_VERSION || about.size_bytes == 0 {
        return Err(damaged());
    }
    if !about.encrypted && checkpoint.segments.iter().any(|s| s.sealed) {
        return Err(SnapshotError::Encryption(id.clone()));
    }
    Ok(Some((about, checkpoint)))
}
