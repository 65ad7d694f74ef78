//! The node's side of the store: what lies there under which key, who still refers to it, and waiting for it when it is away.

use crate::engine::format::VolumeUid;
use crate::engine::log::SegmentName;
use crate::keys::hex;
use bytes::Bytes;
use hive_blockd_api::SnapshotId;
use hive_blockd_store::{ChunkCache, ChunkKey, ObjectStore, StoreError};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Pause between tries while the store is away: doubled from the first to the second.
const MIN_RETRY: Duration = Duration::from_millis(200);
const MAX_RETRY: Duration = Duration::from_secs(10);

/// A volume or a snapshot, as one that refers to segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder(u128);

impl Holder {
    pub fn volume(uid: VolumeUid) -> Self {
        Self(u128::from_le_bytes(uid))
    }

    pub fn snapshot(id: &SnapshotId) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, id.as_ref().as_bytes());
        Self(digest.as_ref().iter().take(16).fold(0, |holder, byte| holder << 8 | u128::from(*byte)))
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub struct Backing {
    pub store: Arc<dyn ObjectStore>,
    pub cache: Arc<ChunkCache>,
    /// The last operation did not get through.
    away: AtomicBool,
    /// Which volumes and snapshots of this node refer to each segment in the store.
    references: Mutex<HashMap<SegmentName, Vec<Holder>>>,
}

/// Where a segment lies in the store.
pub fn segment_key(name: SegmentName) -> String {
    let SegmentName { owner, id } = name;
    format!("segments/{}/{:08x}{:05x}{:08x}", hex(&owner), id.epoch, id.incarnation, id.seq)
}

pub fn chunk_key(name: SegmentName, chunk: u32) -> ChunkKey {
    let digest = ring::digest::digest(&ring::digest::SHA256, segment_key(name).as_bytes());
    let segment = digest.as_ref().iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte));
    ChunkKey { segment, chunk }
}

impl Backing {
    pub fn new(store: Arc<dyn ObjectStore>, cache: Arc<ChunkCache>) -> Self {
        Self { store, cache, away: AtomicBool::new(false), references: Mutex::default() }
    }

    /// Whether the store could not be reached lately.
    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SegmentName, Vec<Holder>>> {
        self.references.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The holder refers to these segments from now on.
    pub fn hold(&self, holder: Holder, names: impl IntoIterator<Item = SegmentName>) {
        let mut references = self.lock();
        for name in names {
            let holders = references.entry(name).or_default();
            if !holders.contains(&holder) {
                holders.push(holder);
            }
        }
    }

    /// The holder refers to these segments no more; returns those nobody refers to now.
    pub fn release(&self, holder: Holder, names: impl IntoIterator<Item = SegmentName>) -> Vec<SegmentName> {
        let mut references = self.lock();
        let mut free = Vec::new();
        for name in names {
            let Some(holders) = references.get_mut(&name) else { continue };
            holders.retain(|other| *other != holder);
            if holders.is_empty() {
                references.remove(&name);
                free.push(name);
            }
        }
        free
    }

    /// [`Self::release`] of everything.
    pub fn release_all(&self, holder: Holder) -> Vec<SegmentName> {
        let held: Vec<SegmentName> =
            self.lock().iter().filter(|(_, holders)| holders.contains(&holder)).map(|(name, _)| *name).collect();
        self.release(holder, held)
    }

    pub fn is_referenced(&self, name: SegmentName) -> bool {
        self.lock().contains_key(&name)
    }

    /// Do `operation` until it ends in any way but for the store being away, full, or refusing us for now.
    pub async fn patiently<T, F>(&self, what: &str, mut operation: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut pause = MIN_RETRY;
        loop {
            match operation().await {
                Err(error) if error.is_transient() || matches!(error, StoreError::Denied { .. }) => {
                    if !self.away.swap(true, Ordering::Relaxed) {
                        tracing::warn!(what, %error, "the store does not answer, trying on");
                    }
                }
                result => {
                    if self.away.swap(false, Ordering::Relaxed) {
                        tracing::info!("the store answers again");
                    }
                    return result;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(MAX_RETRY);
        }
    }

    pub async fn put(&self, key: &str, data: Bytes) -> Result<(), StoreError> {
        self.patiently(key, || self.store.put(key, data.clone())).await
    }

    /// Remove segments that nobody refers to; those that cannot be removed now are left behind.
    pub async fn discard(&self, names: Vec<SegmentName>) {
        for name in names {
            if self.is_referenced(name) {
                continue;
            }
            let key = segment_key(name);
            if let Err(error) = self.store.delete(&key).await {
                tracing::warn!(key, %error, "cannot remove a segment that nobody refers to");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::check::SegmentId;

    fn backing() -> Backing {
        let dir = tempfile::tempdir().unwrap();
        let store = hive_blockd_store::DirStore::open(&dir.path().join("store")).unwrap();
        let cache = ChunkCache::open(&dir.path().join("cache"), 1 << 20).unwrap();
        Backing::new(Arc::new(store), cache)
    }

    #[test]
    fn segments_are_free_when_the_last_reference_goes() {
        let backing = backing();
        let name = |seq| SegmentName { owner: [1; 16], id: SegmentId { epoch: 1, incarnation: 2, seq } };
        let (volume, snapshot) = (Holder::volume([1; 16]), Holder::snapshot(&"snap-1".parse().unwrap()));
        backing.hold(volume, [name(1), name(2), name(2)]);
        backing.hold(snapshot, [name(2)]);
        assert_eq!(backing.release(volume, [name(1), name(2), name(3)]), [name(1)]);
        assert!(backing.is_referenced(name(2)));
        assert_eq!(backing.release_all(snapshot), [name(2)]);
        let key = segment_key(name(0xabc));
        assert_eq!(key, format!("segments/{}/000000010000200000abc", "01".repeat(16)));
    }
}
