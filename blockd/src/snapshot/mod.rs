//! Snapshots: checkpoints that are kept, with all that they refer to in the store.
//!
//! In the store a snapshot is `snapshots/ID/map`, its checkpoint, and `snapshots/ID/manifest`, written last and removed first.

pub mod blocks;
pub mod build;
pub mod pack;
pub mod reader;
pub mod verify;

use crate::backing::{Backing, Holder, segment_key};
use crate::engine::format::{
    Checkpoint, CheckpointError, FRONT_BLOCKS, Owner, Place, SavedSegment, Tail, VolumeUid, WrappedKey,
};
use crate::engine::log::SegmentName;
use crate::engine::map::LEAF_BLOCKS;
use crate::volume::keeper::{Keeper, needed_segments, read_slot};
use bytes::Bytes;
use hive_blockd_api::{BLOCK_SIZE_BYTES, MAX_VOLUME_SIZE_BYTES, SnapshotId, VolumeId};
use hive_blockd_store::StoreError;
use pack::Live;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use tokio::sync::Notify;

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

/// Leaves of the largest volume.
const MAX_LEAVES: u32 = (MAX_VOLUME_SIZE_BYTES / (LEAF_BLOCKS as u64 * BLOCK_SIZE_BYTES)) as u32;
/// Numbers that are left to segments written on top of a map: more than the largest volume could ever have.
const SEQS_LEFT: u32 = 1 << 24;

/// A map from the disk or the store, of which sums may be made: a checksum says that it is what was written, not that it makes sense.
pub fn decode_map(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    let map = Checkpoint::decode(bytes)?;
    check_map(&map)?;
    Ok(map)
}

pub fn check_map(map: &Checkpoint) -> Result<(), CheckpointError> {
    if map.homes.last().is_some_and(|(index, _)| *index >= MAX_LEAVES) {
        return Err(CheckpointError::Inconsistent("a leaf beyond the largest volume"));
    }
    let last = map.segments.last().map_or(0, |s| s.id.seq).max(map.tail.place.seq);
    if last > u32::MAX - SEQS_LEFT {
        return Err(CheckpointError::Inconsistent("the numbers of segments are used up"));
    }
    Ok(())
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
    #[error("the snapshot was deleted meanwhile")]
    Deleted,
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

/// Bring what a cut refers to into the store: what is still only in the volume's log first, of which `live` is enough. A store that is
/// away is waited for until the snapshot is `deleted`; the volume is suspected then.
#[expect(clippy::too_many_arguments, reason = "all that a snapshot is made of")]
pub async fn upload(
    backing: &Backing,
    id: &SnapshotId,
    checkpoint: &Checkpoint,
    log: &Path,
    live: &Live,
    keeper: Option<Arc<Keeper>>,
    progress: &AtomicU8,
    deleted: &Notify,
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
        // A deleted snapshot that had not got so far may be about to remove it.
        let coming = tokio::select! {
            coming = backing.coming(name) => coming,
            () = deleted.notified() => return Err(SnapshotError::Deleted),
        };
        // The volume may have uploaded it meanwhile, and used its place in the log for something else.
        if !backing.is_referenced(name) {
            let mut bytes = read
                .unwrap_or_else(|e| Err(std::io::Error::other(e)))
                .map_err(|source| SnapshotError::Log { seq, source })?;
            live.clear_dead(seq, bytes.as_mut_slice());
            match backing.put_until(&segment_key(name), Bytes::from_owner(bytes), deleted).await {
                Some(put) => put?,
                None => {
                    // A try of which we did not hear may have succeeded.
                    backing.suspect(checkpoint.volume);
                    return Err(SnapshotError::Deleted);
                }
            }
        }
        // For the volume too, even if it is not open to hear of it: the segment must not be removed with this snapshot while the
        // next one already counts on it.
        backing.hold(holder, [name]);
        backing.hold(Holder::volume(checkpoint.volume), [name]);
        drop(coming);
        if let Some(keeper) = &keeper {
            keeper.uploaded_elsewhere(name);
        }
        progress.store(((done + 1) * 99 / missing.len()) as u8, Ordering::Relaxed);
    }
    Ok(stripped)
}

/// Make the snapshot exist in the store, unless it is `deleted` while that is away. All its segments are there.
pub async fn publish(
    backing: &Backing,
    id: &SnapshotId,
    checkpoint: &Checkpoint,
    mut about: StoredSnapshot,
    deleted: &Notify,
) -> Result<StoredSnapshot, SnapshotError> {
    about.version = MANIFEST_VERSION;
    about.stored_bytes = stored_bytes(checkpoint);
    let bytes = serde_json::to_vec(&about).map_err(|_| SnapshotError::Damaged(id.clone()))?;
    for (key, bytes) in [(map_key(id), checkpoint.encode()), (manifest_key(id), bytes)] {
        let put = backing.put_until(&key, Bytes::from(bytes), deleted).await;
        put.ok_or(SnapshotError::Deleted)??;
    }
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
    let checkpoint = decode_map(&map).map_err(|_| damaged())?;
    let size_fits =
        (1..=MAX_VOLUME_SIZE_BYTES).contains(&about.size_bytes) && about.size_bytes.is_multiple_of(BLOCK_SIZE_BYTES);
    if about.version != MANIFEST_VERSION || !size_fits {
        return Err(damaged());
    }
    if !about.encrypted && checkpoint.segments.iter().any(|s| s.sealed) {
        return Err(SnapshotError::Encryption(id.clone()));
    }
    Ok(Some((about, checkpoint)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::check::SegmentId;
    use crate::engine::format::Home;
    use crate::snapshot::reader::Reader;
    use hive_blockd_store::{ChunkCache, DirStore};
    use proptest::prelude::*;

    fn map(leaf: u32, seq: u32) -> Checkpoint {
        let id = SegmentId { epoch: 1, incarnation: 0, seq };
        let segment = SavedSegment { id, owner: 0, slot: None, live: 1, end: 40, uploaded: true, sealed: false };
        let home = Home { place: Place { seq, block: 33 }, blocks: 1 };
        Checkpoint { segments: vec![segment], homes: vec![(leaf, home)], ..Checkpoint::empty([1; 16], None) }
    }

    #[test]
    fn maps_beyond_every_volume_are_refused() {
        for (leaf, seq, fits) in [
            (0, 0, true),
            (MAX_LEAVES - 1, u32::MAX - SEQS_LEFT, true),
            (MAX_LEAVES, 0, false),
            (u32::MAX, 0, false),
            (0, u32::MAX - SEQS_LEFT + 1, false),
            (0, u32::MAX, false),
        ] {
            let map = map(leaf, seq);
            assert_eq!(decode_map(&map.encode()).is_ok(), fits, "leaf {leaf}, segment {seq}");
        }
    }

    proptest! {
        /// Whatever lies in the store under a snapshot's name, looking at it and reading of it ends in an answer.
        #[test]
        fn no_snapshot_in_the_store_makes_it_panic(
            leaf: u32, seq: u32, near_end: bool, size_bytes: u64, object in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let (leaf, seq) = if near_end { (MAX_LEAVES - 1 - leaf % 3, u32::MAX - SEQS_LEFT - seq % 3) } else { (leaf, seq) };
            let size_bytes = if near_end { MAX_VOLUME_SIZE_BYTES } else { size_bytes };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let dir = tempfile::tempdir().unwrap();
            let store = Arc::new(DirStore::open(&dir.path().join("store")).unwrap());
            let cache = ChunkCache::open(&dir.path().join("cache"), 1 << 20).unwrap();
            let backing = Arc::new(Backing::new(store, cache));
            let key = crate::keys::NodeKey::open(&dir.path().join("key")).unwrap();
            let (id, map) = ("snap".parse().unwrap(), map(leaf, seq));
            let about = StoredSnapshot {
                version: MANIFEST_VERSION,
                size_bytes,
                volume_id: None,
                encrypted: false,
                created_unix_s: 0,
                stored_bytes: 0,
            };
            runtime.block_on(async {
                let about = serde_json::to_vec(&about).unwrap();
                backing.store.put(&manifest_key(&id), about.into()).await.unwrap();
                backing.store.put(&map_key(&id), map.encode().into()).await.unwrap();
                backing.store.put(&segment_key(names(&map)[0]), object.into()).await.unwrap();
                let Ok(Some((about, found))) = find(&backing, &id).await else { return };
                let clone = clone_of(&found, [2; 16], None);
                assert_eq!(decode_map(&clone.encode()).is_ok(), check_map(&clone).is_ok());
                let mut reader = Reader::new(Arc::new(found), &key, backing.clone(), None).unwrap();
                assert!(blocks::check(&mut reader).await.is_ok_and(|report| report.blocks_damaged > 0));
                assert!(blocks::list(&mut reader, about.size_bytes, 0, 10).await.is_err());
                let last = (about.size_bytes / 4096 - 1) as u32;
                let _ = reader.read(last, 1).await;
            });
        }
    }
}
