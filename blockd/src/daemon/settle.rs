//! Bringing what a detached volume still has here alone to the store. The log of a volume ends in a segment that is not full and that
//! nobody uploads; opening the volume once more, for ourselves, completes it.

use super::{Daemon, DaemonError};
use crate::engine::format::SEGMENT_BYTES;
use crate::engine::log::Event;
use crate::volume::keeper::{Keeper, Reached};
use hive_blockd_api::VolumeId;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Volumes settled at a time: each is open, for as long as the store is away.
pub(super) const SETTLED_AT_A_TIME: usize = 8;
/// Pause before a volume that could not be opened is tried again: doubled from the first to the second.
const MIN_RETRY: Duration = Duration::from_secs(5);
const MAX_RETRY: Duration = Duration::from_secs(3600);

/// The cleaner does not rest while the store is away, and its last segment is not complete either: then it is made so once more.
const CUT_AGAIN: Duration = Duration::from_secs(15);

/// A volume that is open to be settled.
struct Settling {
    keeper: Arc<Keeper>,
    reached: watch::Receiver<Reached>,
    /// All that is to be settled lies in segments before this one.
    until: u32,
}

impl Daemon {
    /// Written by the guest and not in the store as far as a lost node's volume would be rebuilt from it, and the time of the oldest.
    pub(super) fn dirty(&self, known: &super::Known, id: &VolumeId) -> (u64, Option<Instant>) {
        if !self.node.tuning.upload {
            return (0, None);
        }
        let Some(open) = known.open.get(id) else {
            return known.unsettled.get(id).map_or((0, None), |(bytes, since)| (*bytes, Some(*since)));
        };
        let found = open.handle.keeper.uncommitted();
        let Some(status) = known.statuses.get(id) else { return (found.not_stored_bytes, found.since) };
        // The engine counts what it has handed over itself, in whole segments, and knows best of the one that grows.
        let engine = status.dirty_bytes();
        let bytes = engine.max(found.not_stored_bytes + engine % SEGMENT_BYTES) + found.stored_bytes;
        let since = [status.log().oldest_dirty, found.since].into_iter().flatten().min();
        (bytes, since.filter(|_| bytes > 0))
    }

    /// Settle what was detached and not settled when a predecessor ended.
    pub(super) fn settle_all(self: &Arc<Self>) {
        if !self.node.tuning.upload {
            return;
        }
        let mut unsettled = Vec::new();
        {
            let mut known = self.lock();
            let detached = known.volumes.iter().filter(|(_, record)| record.attachment.is_none());
            unsettled.extend(detached.map(|(id, _)| id.clone()).filter(|id| !self.files(id).is_settled()));
            for id in &unsettled {
                // Not known until it is opened, but at most this.
                let bytes = self.catalogue.allocated_bytes(id).unwrap_or(0);
                known.unsettled.insert(id.clone(), (bytes, Instant::now()));
            }
        }
        unsettled.into_iter().for_each(|id| self.settle(id));
    }

    /// Bring what a detached volume has here alone to the store, in the background and however long the store is away; given up when
    /// somebody attaches or deletes the volume.
    pub(super) fn settle(self: &Arc<Self>, id: VolumeId) {
        let daemon = self.clone();
        self.node.runtime.spawn(async move {
            let mut pause = MIN_RETRY;
            loop {
                // It fails only when the semaphore is closed, which it never is.
                let turn = daemon.settling.acquire().await;
                let (blocking, of) = (daemon.clone(), id.clone());
                match tokio::task::spawn_blocking(move || blocking.begin_settling(&of)).await {
                    Ok(Ok(Some(settling))) => {
                        let Settling { keeper, mut reached, until } = settling;
                        let enough = |reached: &Reached| reached.ended || reached.covers >= until;
                        let settled = loop {
                            match tokio::time::timeout(CUT_AGAIN, reached.wait_for(enough)).await {
                                Ok(reached) => break reached.is_ok_and(|reached| reached.covers >= until),
                                Err(_) => {
                                    let token = daemon.next_token();
                                    keeper.caller.call(Event::Cut { token });
                                    keeper.caller.call(Event::CutEnded { token });
                                }
                            }
                        };
                        let (blocking, of) = (daemon.clone(), id.clone());
                        drop(tokio::task::spawn_blocking(move || blocking.end_settling(&of, &keeper, settled)).await);
                        return;
                    }
                    Ok(Err(error)) => {
                        tracing::warn!(volume = %id, error = ?error, "cannot bring a detached volume to the store")
                    }
                    Ok(Ok(None)) | Err(_) => return,
                }
                drop(turn);
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(MAX_RETRY);
            }
        });
    }

    fn begin_settling(&self, id: &VolumeId) -> Result<Option<Settling>, DaemonError> {
        let mut known = self.lock();
        let is_detached = known.volumes.get(id).is_some_and(|record| record.attachment.is_none());
        if !is_detached || known.open.contains_key(id) || !known.unsettled.contains_key(id) {
            return Ok(None);
        }
        let open = self.open(&mut known, id, false)?;
        let (handles, token) = ([open.handle.clone()], self.next_token());
        // Its segments are all complete, and whatever the manifest names by then is enough.
        let cut = self.cut_one(&handles, token);
        let [handle] = handles;
        handle.caller.call(Event::CutEnded { token });
        let until = cut.and_then(|map| {
            let path = self.files(id).checkpoint_path();
            crate::snapshot::decode_map(&map).map_err(|e| DaemonError::Path(path, std::io::Error::other(e)))
        });
        match until {
            Ok(map) => {
                let reached = handle.keeper.reached();
                known.open.insert(id.clone(), open);
                Ok(Some(Settling { keeper: handle.keeper, reached, until: map.tail.place.seq }))
            }
            Err(error) => {
                let _ = open.export.stop();
                Err(error)
            }
        }
    }

    fn end_settling(&self, id: &VolumeId, keeper: &Arc<Keeper>, settled: bool) {
        let mut known = self.lock();
        let is_ours =
            known.open.get(id).is_some_and(|open| !open.is_attached() && Arc::ptr_eq(&open.handle.keeper, keeper));
        if !is_ours {
            return;
        }
        let Some(open) = known.open.remove(id) else { return };
        if let Err(error) = open.export.stop() {
            tracing::error!(volume = %id, %error, "volume did not end cleanly");
            return;
        }
        if settled {
            match self.files(id).put_settled() {
                Ok(()) => tracing::info!(volume = %id, "all of the detached volume is in the store"),
                Err(error) => tracing::warn!(volume = %id, %error, "cannot note that the volume is in the store"),
            }
            known.unsettled.remove(id);
        }
    }
}
