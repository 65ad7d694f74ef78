//! Repairs: what scrubbing finds damaged in one place is written over from the other, if that is whole. What is written was verified
//! just before, block by block, and what was written is read and verified again. A crash in the middle leaves what is damaged damaged.

use super::scrub::{Needs, Pace, Subject};
use super::{Daemon, DaemonError};
use crate::backing::{chunk_key, segment_key};
use crate::engine::check::SegmentId;
use crate::engine::format::{
    BLOCK_BYTES, EntryKind, FRONT_BLOCKS, INDEX_AT, INDEX_BLOCKS, Index, SEGMENT_BLOCKS, SavedSegment,
};
use crate::engine::log::{CHUNK_BYTES, Event, MAX_REPAIR_BLOCKS, Repair, SegmentName};
use crate::snapshot::verify::{Verified, verify_segment};
use crate::volume::Handle;
use crate::volume::keeper::read_slot;
use bytes::Bytes;
use hive_blockd_api::VolumeId;
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// How long an engine may take to write a few blocks.
const REPAIR_TIMEOUT: Duration = Duration::from_secs(30);

impl Daemon {
    /// Bring together how the two copies of a segment were found, repaired from each other as far as they can be.
    pub(super) async fn repair(
        self: &Arc<Self>,
        subject: &Subject,
        needs: &Needs,
        segment: &SavedSegment,
        found: (Option<Verified>, Option<Verified>),
        pace: &mut Pace,
    ) -> (Option<Verified>, Option<Verified>) {
        let (mut in_log, mut in_store) = found;
        let (Subject::Volume(volume, _), Some(name)) = (subject, needs.name(segment)) else {
            return (in_log, in_store);
        };
        if name.owner != needs.map.volume {
            return (in_log, in_store);
        }
        let is_damaged = |copy: &Option<Verified>| matches!(copy, Some(Verified::Front | Verified::Blocks(_)));
        if is_damaged(&in_log) && matches!(in_store, Some(Verified::Whole | Verified::Blocks(_))) {
            // Its front first: only then it is known which blocks are damaged.
            for _ in 0..2 {
                let Some(damaged) = in_log.clone().filter(|copy| *copy != Verified::Whole) else { break };
                let repaired = self.repair_log(volume, needs, segment, name, &damaged, pace).await;
                if repaired == 0 {
                    break;
                }
                in_log = self.scrub_log(subject, needs, segment, name, pace).await;
                let left = match &in_log {
                    Some(Verified::Blocks(blocks)) => blocks.len() as u64,
                    _ => 0,
                };
                if matches!(in_log, Some(Verified::Whole | Verified::Blocks(_))) {
                    self.scrub.repaired(repaired.saturating_sub(left));
                    tracing::warn!(%subject, segment = ?name.id, blocks = repaired, left, "damage of the log was repaired from the store");
                }
            }
        }
        if in_log == Some(Verified::Whole) && is_damaged(&in_store) {
            let blocks = match &in_store {
                Some(Verified::Blocks(blocks)) => blocks.len() as u64,
                _ => u64::from(FRONT_BLOCKS),
            };
            if self.repair_store(volume, needs, segment, name).await {
                in_store = self.scrub_store(subject, needs, segment, name, pace).await;
                if in_store == Some(Verified::Whole) {
                    self.scrub.repaired(blocks);
                    tracing::warn!(%subject, segment = ?name.id, blocks, "damage in the store was repaired from the log");
                }
            }
        }
        (in_log, in_store)
    }

    /// Write blocks of the log over with what the store has of them; returns how many.
    async fn repair_log(
        self: &Arc<Self>,
        volume: &VolumeId,
        needs: &Needs,
        segment: &SavedSegment,
        name: SegmentName,
        damaged: &Verified,
        pace: &mut Pace,
    ) -> u64 {
        let Ok(stored) = self.read_stored(name, u64::from(segment.end) * BLOCK_BYTES as u64, pace).await else {
            return 0;
        };
        let (guards, owner, damaged) = (needs.guards.clone(), usize::from(segment.owner), damaged.clone());
        let good = self.off(move |_| {
            let verified = guards.get(owner).map(|guard| verify_segment(&mut stored.clone(), name, guard));
            verified.map(|verified| good_blocks(&stored, &verified, &damaged)).unwrap_or_default()
        });
        let mut repaired = 0;
        let mut good = good.await.unwrap_or_default();
        while !good.is_empty() {
            let batch: Vec<_> = good.drain(..MAX_REPAIR_BLOCKS.min(good.len())).collect();
            let (of, uid, id, blocks) = (volume.clone(), needs.map.volume, name.id, batch.len() as u64);
            match self.off(move |daemon| daemon.write_over(&of, uid, id, batch)).await {
                Some(Ok(true)) => repaired += blocks,
                Some(Ok(false)) | None => break,
                Some(Err(error)) => {
                    tracing::warn!(%volume, error = ?error, "cannot repair the log");
                    break;
                }
            }
        }
        repaired
    }

    /// Let the volume's engine do it, opened for that if it is not open.
    fn write_over(
        &self,
        volume: &VolumeId,
        uid: [u8; 16],
        segment: SegmentId,
        blocks: Vec<(u16, Vec<u8>)>,
    ) -> Result<bool, DaemonError> {
        let mut known = self.lock();
        if known.volumes.get(volume).is_none_or(|record| record.uid != crate::keys::hex(&uid)) {
            return Ok(false);
        }
        let write = |handle: &Handle| {
            let (done, ended) = mpsc::channel();
            handle.caller.call(Event::Repair(Repair { segment, blocks, done }));
            ended.recv_timeout(REPAIR_TIMEOUT).unwrap_or(false)
        };
        if let Some(handle) = known.open.get(volume).map(|open| open.handle.clone()) {
            // Others need not wait for its disk. If it is closed meanwhile, its engine's end is ours.
            drop(known);
            return Ok(write(&handle));
        }
        self.with_open(&mut known, std::slice::from_ref(volume), |handles| Ok(handles.first().is_some_and(write)))
    }

    /// Put the segment to the store again, from the log; false if it is not what it was any more.
    async fn repair_store(
        self: &Arc<Self>,
        volume: &VolumeId,
        needs: &Needs,
        segment: &SavedSegment,
        name: SegmentName,
    ) -> bool {
        let (of, guards, owner, id) = (volume.clone(), needs.guards.clone(), usize::from(segment.owner), segment.id);
        // While nothing is freed, and as it is stored: verifying decrypts.
        let read = self.off(move |daemon| {
            daemon.with_volume_reader(&of, |reader, _| {
                let segments = &reader.checkpoint().segments;
                let now = segments.iter().find(|s| s.id == id).and_then(|s| Some((s.slot?, s.end)));
                let bytes = now.and_then(|(slot, end)| read_slot(&daemon.files(&of).log_path(), slot, end).ok());
                let is_whole =
                    |bytes: &[u8], guard| verify_segment(&mut bytes.to_vec(), name, guard) == Verified::Whole;
                Ok(bytes.filter(|bytes| guards.get(owner).is_some_and(|guard| is_whole(bytes.as_slice(), guard))))
            })
        });
        let Some(Ok(Some(bytes))) = read.await else { return false };
        let (backing, key) = (&self.node.backing, segment_key(name));
        let chunks = (bytes.as_slice().len() as u64).div_ceil(CHUNK_BYTES);
        // A store that is away is no place to repair: the next pass comes.
        let coming = backing.coming(name).await;
        if let Err(error) = backing.store.put(&key, Bytes::from_owner(bytes)).await {
            tracing::warn!(key, %error, "cannot repair the store");
            return false;
        }
        for chunk in 0..chunks as u32 {
            backing.cache.invalidate(chunk_key(name, chunk));
        }
        drop(coming);
        if backing.is_free(name) {
            // Removed meanwhile: it must not come back.
            let _ = backing.remove_if_free(name).await;
            return false;
        }
        true
    }
}

/// Those of the damaged blocks that the store's copy has whole, as they are stored.
fn good_blocks(stored: &[u8], verified: &Verified, damaged: &Verified) -> Vec<(u16, Vec<u8>)> {
    let index = stored.get(usize::from(INDEX_AT) * BLOCK_BYTES..usize::from(INDEX_AT + INDEX_BLOCKS) * BLOCK_BYTES);
    let Some(index) = index.and_then(|bytes| Index::decode(bytes, true)) else { return Vec::new() };
    let bad_there: &[u16] = match verified {
        Verified::Whole => &[],
        Verified::Blocks(blocks) => blocks,
        Verified::Front | Verified::Other => return Vec::new(),
    };
    // The store need not have what was dead when it came there.
    let has = |block: u16| {
        let kind = index.entries.get(usize::from(block)).map(|entry| entry.kind);
        matches!(kind, Some(EntryKind::Data | EntryKind::Leaf)) && !bad_there.contains(&block)
    };
    let positions: Vec<u16> = match damaged {
        Verified::Front => (0..FRONT_BLOCKS).collect(),
        Verified::Blocks(blocks) => blocks.iter().copied().filter(|block| has(*block)).collect(),
        Verified::Whole | Verified::Other => Vec::new(),
    };
    let bytes = |block: u16| {
        let start = usize::from(block) * BLOCK_BYTES;
        Some((block, stored.get(start..start + BLOCK_BYTES)?.to_vec()))
    };
    positions.into_iter().filter(|block| *block < SEGMENT_BLOCKS).filter_map(bytes).collect()
}
