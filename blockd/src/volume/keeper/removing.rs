//! Removing from the store what the volume does not refer to any more, also what a predecessor had no time to note.

use super::Keeper;
use crate::backing::{parse_segment_key, segment_key, segment_prefix};
use crate::engine::check::SegmentId;
use crate::engine::format::Checkpoint;
use crate::engine::log::SegmentName;
use crate::volume::files::Writer;
use std::collections::HashSet;
use std::sync::{Arc, PoisonError};

/// What a predecessor may have left in the store: segments that it dropped and had no time to note.
#[derive(Clone, Debug)]
pub(super) struct Suspects {
    /// Of now; what is younger is not a predecessor's.
    pub writer: Writer,
    pub opened_with: Arc<Checkpoint>,
}

impl Suspects {
    /// Whether nobody but holders that are known here can refer to it: it was written on this node, by somebody before us, and the
    /// volume had lost it already when it was opened.
    fn is_left(&self, name: SegmentName) -> bool {
        let SegmentId { epoch, incarnation, .. } = name.id;
        (self.writer.first_epoch..=self.writer.epoch).contains(&epoch)
            && (epoch, incarnation) < (self.writer.epoch, self.writer.incarnation)
            && name.owner == self.opened_with.volume
            && !crate::volume::may_have(&self.opened_with, name)
    }
}

impl Keeper {
    /// Remove what nobody refers to from the store, however long that takes. The commits do not wait for it.
    pub(super) async fn keep_removing(self: Arc<Self>) {
        loop {
            self.freed.notified().await;
            if self.backing.is_in_doubt() {
                // What is free stays noted.
                continue;
            }
            self.look_for_left().await;
            loop {
                let next = self.state().free.iter().next().copied();
                let Some(name) = next else { break };
                if let Err(error) = self.backing.remove_if_free(name).await {
                    let key = segment_key(name);
                    tracing::error!(volume = self.name, key, %error, "cannot remove a segment that nobody refers to");
                }
                self.state().free.remove(&name);
            }
            self.note_dropped().await;
        }
    }

    /// Look through all that the store has of the volume for what a predecessor left there, once.
    async fn look_for_left(&self) {
        let Some(suspects) = self.state().suspects.clone() else { return };
        // Only what our manifest does without: where nothing is uploaded of itself, there must be none that names segments.
        let manifest = self.manifest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if !manifest.is_some_and(|(manifest, _)| self.upload || manifest.map.is_none()) {
            return;
        }
        let prefix = segment_prefix(self.volume);
        match self.backing.patiently(&prefix, || self.backing.store.list(&prefix)).await {
            Ok(keys) => {
                let names = keys.iter().filter_map(|key| parse_segment_key(key));
                let left: Vec<_> =
                    names.filter(|name| suspects.is_left(*name) && self.backing.is_free(*name)).collect();
                if !left.is_empty() {
                    tracing::info!(volume = self.name, segments = left.len(), "the store has what nobody refers to");
                }
                let mut state = self.state();
                state.free.extend(left);
                state.suspects = None;
                self.backing.clear(self.volume);
            }
            Err(error) => tracing::warn!(volume = self.name, %error, "cannot list what the store has"),
        }
    }

    /// Make durable what is to be removed from the store, if that has changed: whoever opens the volume next goes on with it. False if
    /// that fails.
    pub(super) async fn note_dropped(&self) -> bool {
        let mut noted = self.noting.lock().await;
        let names: HashSet<SegmentName> = {
            let state = self.state();
            // Others were never in the store.
            let held = state.dropped.iter().filter(|name| self.backing.is_referenced(**name));
            held.chain(&state.free).copied().collect()
        };
        if *noted == names {
            return true;
        }
        let (files, put) = (self.files.clone(), names.clone());
        match tokio::task::spawn_blocking(move || files.put_dropped(put)).await {
            Ok(Ok(())) => {
                *noted = names;
                true
            }
            Ok(Err(error)) => {
                tracing::warn!(volume = self.name, %error, "cannot note what is to be removed");
                false
            }
            Err(_) => false,
        }
    }

    /// Spare the next open the search for what nobody knows, if there is nothing of the kind.
    pub(super) async fn note_end(&self) {
        if !self.note_dropped().await || self.state().suspects.is_some() || self.backing.is_suspected(self.volume) {
            return;
        }
        let (files, writer) = (self.files.clone(), self.writer.lock().unwrap_or_else(PoisonError::into_inner).clone());
        match tokio::task::spawn_blocking(move || files.put_ended(&writer)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(volume = self.name, %error, "cannot note that the volume was closed"),
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backing::{Backing, Holder};
    use crate::engine::format::{SavedSegment, VolumeUid};
    use crate::volume::files::VolumeFiles;
    use crate::volume::link::{self, Link};
    use crate::volume::manifest::{self, About, Manifest};
    use bytes::Bytes;
    use hive_blockd_store::faulty::{FaultyStore, Outage};
    use hive_blockd_store::{ChunkCache, DirStore, ObjectStore, Version};
    use std::time::{Duration, Instant};

    const VOLUME: VolumeUid = [7; 16];
    const PATIENCE: Duration = Duration::from_secs(60);

    struct Node {
        dir: tempfile::TempDir,
        store: Arc<FaultyStore>,
    }

    impl Node {
        fn files(&self) -> VolumeFiles {
            VolumeFiles::new(self.dir.path().join("volume"))
        }

        /// A daemon's start, and its keeper of the volume; it lives as long as the runtime that it is started on. As a daemon does, it
        /// knows what a snapshot needs before anybody removes anything.
        fn keeper(&self, snapshot_needs: SegmentName) -> (Arc<Keeper>, Link) {
            self.keeper_of(snapshot_needs, Writer::default(), false, None)
        }

        fn keeper_of(
            &self,
            snapshot_needs: SegmentName,
            writer: Writer,
            is_suspect: bool,
            manifest: Option<(Manifest, Version)>,
        ) -> (Arc<Keeper>, Link) {
            let cache = ChunkCache::open(&self.dir.path().join("cache"), 1 << 20).unwrap();
            let backing = Arc::new(Backing::new(self.store.clone(), cache));
            backing.hold(Holder::snapshot(&"snap".parse().unwrap()), [snapshot_needs]);
            let (orders, receiver) = tokio::sync::mpsc::unbounded_channel();
            let (link, caller) = link::connect(orders, backing.clone()).unwrap();
            let checkpoint = self.files().checkpoint().unwrap();
            let waiters = Arc::default();
            let (name, files) = ("disk".to_owned(), self.files());
            let keeper = Keeper::new(
                name, 4096, VOLUME, files, backing, caller, waiters, false, manifest, checkpoint, writer, is_suspect,
            );
            tokio::spawn(keeper.clone().run(receiver));
            (keeper, link)
        }
    }

    async fn eventually(what: &str, mut holds: impl AsyncFnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds().await {
            assert!(Instant::now() < deadline, "never: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The manifest of a volume that has nothing in the store of itself.
    async fn claimed(node: &Node) -> (Manifest, Version) {
        let cache = ChunkCache::open(&node.dir.path().join("cache"), 1 << 20).unwrap();
        let backing = Backing::new(node.store.clone(), cache);
        let about = About { volume_id: "disk", size_bytes: 4096 };
        manifest::claim(&backing, VOLUME, about, Writer::default(), |_| Ok(())).await.unwrap()
    }

    /// As a daemon has one; ending it ends all that it does.
    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    }

    #[test]
    fn what_cannot_be_removed_now_is_removed_later_also_by_a_successor() {
        let dir = tempfile::tempdir().unwrap();
        let inner = DirStore::open(&dir.path().join("store")).unwrap();
        let node = Node { store: FaultyStore::new(Arc::new(inner), 1), dir };
        node.files().create(&Checkpoint::empty(VOLUME, None)).unwrap();
        let name = |seq| SegmentName { owner: VOLUME, id: SegmentId { epoch: 1, incarnation: 0, seq } };
        let keys: Vec<String> = (1..=3).map(|seq| segment_key(name(seq))).collect();
        let killed = runtime();
        killed.block_on(async {
            for key in &keys {
                node.store.put(key, Bytes::from_static(b"segment")).await.unwrap();
            }
            let (keeper, _link) = node.keeper(name(3));
            keeper.backing.hold(Holder::volume(VOLUME), (1..=3).map(name));
            node.store.set_outage(Outage::Refusing);
            (1..=3).for_each(|seq| keeper.forget(name(seq)));
            let files = node.files();
            eventually("those to remove are noted", async || files.dropped().len() >= 2).await;
        });
        // A note that is being written ends with the process, not after its successor's.
        killed.shutdown_timeout(PATIENCE);
        node.store.set_outage(Outage::None);
        let (all, files) = (node.store.inner().clone(), node.files());
        runtime().block_on(async {
            assert_eq!(all.list("segments/").await.unwrap().len(), 3, "the outage kept them");
            let (_keeper, _link) = node.keeper(name(3));
            eventually("they are removed", async || all.list("segments/").await.unwrap() == keys[2..]).await;
            eventually("nothing is noted any more", async || files.dropped().is_empty()).await;
        });
    }

    #[test]
    fn what_a_predecessor_dropped_without_a_note_is_found_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let inner = DirStore::open(&dir.path().join("store")).unwrap();
        let node = Node { store: FaultyStore::new(Arc::new(inner), 1), dir };
        let segment = |epoch, incarnation, seq| SegmentId { epoch, incarnation, seq };
        let name = |id| SegmentName { owner: VOLUME, id };
        let mut checkpoint = Checkpoint::empty(VOLUME, None);
        let kept = segment(5, 0, 3);
        checkpoint.segments.push(SavedSegment {
            id: kept,
            owner: 0,
            slot: None,
            live: 1,
            end: 40,
            uploaded: false,
            sealed: false,
        });
        checkpoint.tail.place.seq = 10;
        node.files().create(&checkpoint).unwrap();
        let left = [segment(5, 0, 2), segment(5, 1, 3), segment(6, 0, 4)];
        let stay = [
            // Needed here; behind the checkpoint; another node's; younger than we are; a snapshot's.
            kept,
            segment(6, 0, 10),
            segment(4, 9, 1),
            segment(6, 2, 5),
            segment(7, 0, 5),
            segment(5, 0, 7),
        ];
        let writer = Writer { epoch: 6, incarnation: 2, first_epoch: 5, ..Writer::default() };
        let all = node.store.inner().clone();
        let (away, keys) = (node.store.clone(), |ids: &[SegmentId]| {
            let mut keys: Vec<String> = ids.iter().map(|id| segment_key(name(*id))).collect();
            keys.sort_unstable();
            keys
        });
        runtime().block_on(async {
            for id in left.iter().chain(&stay) {
                all.put(&segment_key(name(*id)), Bytes::from_static(b"segment")).await.unwrap();
            }
            let manifest = claimed(&node).await;
            away.set_outage(Outage::Refusing);
            let (keeper, _link) = node.keeper_of(name(stay[5]), writer, true, Some(manifest));
            tokio::time::sleep(Duration::from_millis(50)).await;
            assert_eq!(all.list("segments/").await.unwrap().len(), left.len() + stay.len());
            // As soon as the store is there.
            away.set_outage(Outage::None);
            eventually("they are removed", async || all.list("segments/").await.unwrap() == keys(&stay)).await;
            assert!(keeper.state().suspects.is_none());
        });
    }
}
