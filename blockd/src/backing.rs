//! The node's side of the store: what lies there under which key, who still refers to it, and waiting for it when it is away.

use crate::engine::check::SegmentId;
use crate::engine::format::VolumeUid;
use crate::engine::log::SegmentName;
use crate::keys::{hex, unhex};
use bytes::Bytes;
use hive_blockd_api::SnapshotId;
use hive_blockd_store::{ChunkCache, ChunkKey, ObjectStore, StoreError};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

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

/// Between looks whether a segment that is being removed is gone.
const GOING_POLL: Duration = Duration::from_millis(5);

/// Segments on their way into the store, by how many, and out of it. Never both.
#[derive(Debug, Default)]
struct Transit {
    coming: HashMap<SegmentName, u32>,
    going: HashSet<SegmentName>,
}

/// See [`Backing::coming`].
#[derive(Debug)]
pub struct Coming<'a> {
    backing: &'a Backing,
    name: SegmentName,
}

impl Drop for Coming<'_> {
    fn drop(&mut self) {
        let mut transit = self.backing.transit();
        if let Some(count) = transit.coming.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                transit.coming.remove(&self.name);
            }
        }
    }
}

struct Going<'a> {
    backing: &'a Backing,
    name: SegmentName,
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.backing.transit().going.remove(&self.name);
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
    /// Volumes that were deleted: whatever still ends on their behalf holds nothing.
    retired: Mutex<HashSet<u128>>,
    transit: Mutex<Transit>,
    /// Volumes of which the store may have what nobody refers to.
    suspected: Mutex<HashSet<VolumeUid>>,
    /// What somebody refers to is not known: see [`Self::doubt`].
    in_doubt: AtomicBool,
    /// Open volumes, and those whose last uploads have not ended; how often each.
    busy: watch::Sender<HashMap<VolumeUid, u32>>,
}

/// Where a segment lies in the store.
pub fn segment_key(name: SegmentName) -> String {
    let SegmentName { owner, id } = name;
    format!("{}{:08x}{:05x}{:08x}", segment_prefix(owner), id.epoch, id.incarnation, id.seq)
}

/// All that one owner wrote.
pub fn segment_prefix(owner: VolumeUid) -> String {
    format!("segments/{}/", hex(&owner))
}

/// The name that [`segment_key`] made a key of.
pub fn parse_segment_key(key: &str) -> Option<SegmentName> {
    let (owner, id) = key.strip_prefix("segments/")?.split_once('/')?;
    if id.len() != 21 || !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
    let id = SegmentId { epoch: number(&id[..8])?, incarnation: number(&id[8..13])?, seq: number(&id[13..])? };
    Some(SegmentName { owner: unhex(owner)?, id })
}

pub fn chunk_key(name: SegmentName, chunk: u32) -> ChunkKey {
    let digest = ring::digest::digest(&ring::digest::SHA256, segment_key(name).as_bytes());
    let segment = digest.as_ref().iter().take(16).fold(0, |id, byte| id << 8 | u128::from(*byte));
    ChunkKey { segment, chunk }
}

impl Backing {
    pub fn new(store: Arc<dyn ObjectStore>, cache: Arc<ChunkCache>) -> Self {
        Self {
            store,
            cache,
            away: AtomicBool::new(false),
            references: Mutex::default(),
            retired: Mutex::default(),
            transit: Mutex::default(),
            suspected: Mutex::default(),
            in_doubt: AtomicBool::new(false),
            busy: watch::Sender::default(),
        }
    }

    /// From now on, until the result is dropped, the volume may put segments.
    pub fn occupy(self: &Arc<Self>, volume: VolumeUid) -> Occupied {
        self.busy.send_modify(|busy| *busy.entry(volume).or_default() += 1);
        Occupied { backing: self.clone(), volume }
    }

    /// Wait until nobody puts segments of the volume.
    pub async fn idle(&self, volume: VolumeUid) {
        // It fails only when the sender, which is ours, is gone.
        let _ = self.busy.subscribe().wait_for(|busy| !busy.contains_key(&volume)).await;
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
        // Kept locked: nobody is retired between the look and the entry.
        let retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        if retired.contains(&holder.0) {
            return;
        }
        let mut references = self.lock();
        for name in names {
            let holders = references.entry(name).or_default();
            if !holders.contains(&holder) {
                holders.push(holder);
            }
        }
    }

    fn transit(&self) -> MutexGuard<'_, Transit> {
        self.transit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever puts a segment into the store has this from before until somebody holds it: what is just being removed is waited for, and
    /// it is not removed meanwhile because nobody needs it yet.
    pub async fn coming(&self, name: SegmentName) -> Coming<'_> {
        loop {
            {
                let mut transit = self.transit();
                if !transit.going.contains(&name) {
                    *transit.coming.entry(name).or_default() += 1;
                    return Coming { backing: self, name };
                }
            }
            tokio::time::sleep(GOING_POLL).await;
        }
    }

    /// Remove a segment from the store that nobody refers to nor is just putting there, however long the store is away.
    ///
    /// # Errors
    /// The store refuses.
    pub async fn remove_if_free(&self, name: SegmentName) -> Result<(), StoreError> {
        {
            // Kept locked: nobody begins to put it there between the look and the entry.
            let mut transit = self.transit();
            if !self.is_free(name) || transit.coming.contains_key(&name) || !transit.going.insert(name) {
                return Ok(());
            }
        }
        let _going = Going { backing: self, name };
        let key = segment_key(name);
        self.patiently(&key, || self.store.delete(&key)).await
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

    /// [`Self::release_all`], for good.
    pub fn retire(&self, holder: Holder) -> Vec<SegmentName> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).insert(holder.0);
        self.release_all(holder)
    }

    /// [`Self::retire`] undone: the volume is back, rebuilt from the store.
    pub fn revive(&self, holder: Holder) {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).remove(&holder.0);
    }

    pub fn is_referenced(&self, name: SegmentName) -> bool {
        self.lock().contains_key(&name)
    }

    /// Do `operation` until it ends in any way but for the store being away, full, or refusing us for now.
    pub async fn patiently<T, F>(&self, what: &str, mut operation: impl FnMut() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        loop {
            // Nobody notifies it.
            if let Some(result) = self.patiently_until(what, &Notify::new(), &mut operation).await {
                return result;
            }
        }
    }

    /// [`Self::patiently`], given up (None) between two tries when `enough` is notified: no try is cut off, the store has it or not.
    pub async fn patiently_until<T, F>(
        &self,
        what: &str,
        enough: &Notify,
        mut operation: impl FnMut() -> F,
    ) -> Option<Result<T, StoreError>>
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
                    return Some(result);
                }
            }
            if tokio::time::timeout(pause, enough.notified()).await.is_ok() {
                return None;
            }
            pause = (pause * 2).min(MAX_RETRY);
        }
    }

    pub async fn put(&self, key: &str, data: Bytes) -> Result<(), StoreError> {
        self.patiently(key, || self.store.put(key, data.clone())).await
    }

    pub async fn put_until(&self, key: &str, data: Bytes, enough: &Notify) -> Option<Result<(), StoreError>> {
        self.patiently_until(key, enough, || self.store.put(key, data.clone())).await
    }

    /// A map that says what its volume or snapshot refers to cannot be read. From now on nothing is removed from the store: that no
    /// holder of a segment is known does not mean that nobody needs it.
    pub fn doubt(&self) {
        self.in_doubt.store(true, Ordering::Relaxed);
    }

    pub fn is_in_doubt(&self) -> bool {
        self.in_doubt.load(Ordering::Relaxed)
    }

    /// Whether nobody needs the segment, so that it may be removed from the store.
    pub fn is_free(&self, name: SegmentName) -> bool {
        !self.is_in_doubt() && !self.is_referenced(name)
    }

    /// The store may have objects of the volume that nobody refers to: they are looked for when it is opened next.
    pub fn suspect(&self, volume: VolumeUid) {
        self.suspected.lock().unwrap_or_else(PoisonError::into_inner).insert(volume);
    }

    /// Whether there may be such by now, as far as this daemon knows.
    pub fn is_suspected(&self, volume: VolumeUid) -> bool {
        self.suspected.lock().unwrap_or_else(PoisonError::into_inner).contains(&volume)
    }

    /// They were looked for.
    pub fn clear(&self, volume: VolumeUid) {
        self.suspected.lock().unwrap_or_else(PoisonError::into_inner).remove(&volume);
    }
}

/// See [`Backing::occupy`].
#[derive(Debug)]
pub struct Occupied {
    backing: Arc<Backing>,
    volume: VolumeUid,
}

impl Drop for Occupied {
    fn drop(&mut self) {
        self.backing.busy.send_modify(|busy| {
            if let Some(times) = busy.get_mut(&self.volume) {
                *times -= 1;
                if *times == 0 {
                    busy.remove(&self.volume);
                }
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backing(dir: &tempfile::TempDir) -> Backing {
        let store = hive_blockd_store::DirStore::open(&dir.path().join("store")).unwrap();
        let cache = ChunkCache::open(&dir.path().join("cache"), 1 << 20).unwrap();
        Backing::new(Arc::new(store), cache)
    }

    #[tokio::test]
    async fn what_is_just_being_put_is_not_removed_and_what_is_removed_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let backing = Arc::new(backing(&dir));
        let name = SegmentName { owner: [1; 16], id: SegmentId { epoch: 1, incarnation: 2, seq: 3 } };
        let key = segment_key(name);
        let coming = backing.coming(name).await;
        backing.put(&key, Bytes::from_static(b"segment")).await.unwrap();
        backing.remove_if_free(name).await.unwrap();
        assert_eq!(backing.store.list("segments/").await.unwrap().len(), 1, "it is on its way");
        drop(coming);
        backing.transit().going.insert(name);
        let other = backing.clone();
        let waiting = tokio::spawn(async move { drop(other.coming(name).await) });
        tokio::time::sleep(4 * GOING_POLL).await;
        assert!(!waiting.is_finished());
        backing.transit().going.remove(&name);
        waiting.await.unwrap();
        backing.remove_if_free(name).await.unwrap();
        assert!(backing.store.list("segments/").await.unwrap().is_empty() && backing.transit().going.is_empty());
    }

    #[test]
    fn segments_are_free_when_the_last_reference_goes() {
        let dir = tempfile::tempdir().unwrap();
        let backing = backing(&dir);
        let name = |seq| SegmentName { owner: [1; 16], id: SegmentId { epoch: 1, incarnation: 2, seq } };
        let (volume, snapshot) = (Holder::volume([1; 16]), Holder::snapshot(&"snap-1".parse().unwrap()));
        backing.hold(volume, [name(1), name(2), name(2)]);
        backing.hold(snapshot, [name(2)]);
        assert_eq!(backing.release(volume, [name(1), name(2), name(3)]), [name(1)]);
        assert!(backing.is_referenced(name(2)));
        assert_eq!(backing.release_all(snapshot), [name(2)]);
        let key = segment_key(name(0xabc));
        assert_eq!(key, format!("segments/{}/000000010000200000abc", "01".repeat(16)));
        assert_eq!(parse_segment_key(&key), Some(name(0xabc)));
        assert_eq!(parse_segment_key("segments/01/000000010000200000abc"), None);
        assert_eq!(backing.retire(volume), []);
        backing.hold(volume, [name(7)]);
        assert!(!backing.is_referenced(name(7)), "a deleted volume holds nothing");
        backing.revive(volume);
        backing.hold(volume, [name(7)]);
        assert!(backing.is_referenced(name(7)), "it is back");
    }
}
