//! A volume of this node: its files, its place in the store, and the engine opened on them.

pub mod files;
pub mod keeper;
pub mod link;
pub mod manifest;
#[cfg(test)]
mod model;
pub mod restore;

use crate::backing::Backing;
use crate::catalogue::VolumeRecord;
use crate::engine::check::{Guard, MAX_INCARNATION};
use crate::engine::format::{Checkpoint, VolumeUid};
use crate::engine::log::{LogEngine, SegmentName, Setup, Tuning};
use crate::keys::{KeyError, NodeKey};
use files::{FilesError, VolumeFiles, Writer};
use keeper::{Keeper, Waiters};
use link::{Caller, Link};
use manifest::ClaimError;
use std::sync::Arc;
use std::time::Duration;

/// How long an open waits for the store before it goes on under the epoch it has.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a volume cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Files(#[from] FilesError),
    #[error("cannot unlock the volume's data")]
    Key(#[from] KeyError),
    #[error("cannot take the volume over")]
    Claim(#[from] ClaimError),
    #[error("the volume was opened {0} times under one epoch; it needs its store once")]
    Incarnations(u32),
    #[error("the volume was rebuilt from the store, which must answer once before it is written")]
    Unclaimed,
    #[error("the volume's record names another volume than its log")]
    Uid,
    #[error("cannot connect the engine")]
    Connect(#[source] std::io::Error),
    #[error(transparent)]
    Log(#[from] crate::engine::log::OpenError),
}

/// What every volume of the daemon shares.
#[derive(Clone, Debug)]
pub struct Node {
    pub runtime: tokio::runtime::Handle,
    pub backing: Arc<Backing>,
    pub key: Arc<NodeKey>,
    pub waiters: Arc<Waiters>,
    pub tuning: Tuning,
}

/// An open volume, seen from the daemon.
#[derive(Clone, Debug)]
pub struct Handle {
    pub caller: Caller,
    pub keeper: Arc<Keeper>,
}

/// What is needed to build the engine on its own thread.
#[derive(Debug)]
pub struct Prepared {
    setup: Setup<Link>,
}

impl Prepared {
    pub fn open(self) -> Result<LogEngine<Link>, crate::engine::log::OpenError> {
        LogEngine::open(self.setup)
    }
}

/// The guards of all whose segments a checkpoint refers to.
pub fn guards(key: &NodeKey, checkpoint: &Checkpoint) -> Result<Vec<Guard>, KeyError> {
    let guard = |owner: &crate::engine::format::Owner| {
        let data_key = owner.key.as_ref().map(|wrapped| key.unwrap(owner.volume, wrapped)).transpose()?;
        Ok(Guard::new(data_key.as_ref(), owner.volume))
    };
    checkpoint.owners.iter().map(guard).collect()
}

/// The names of segments in the store that a checkpoint refers to.
pub fn stored_names(checkpoint: &Checkpoint) -> Vec<SegmentName> {
    let stored = checkpoint.segments.iter().filter(|s| s.uploaded || s.owner != 0);
    let name = |s: &crate::engine::format::SavedSegment| {
        let owner = checkpoint.owners.get(usize::from(s.owner))?.volume;
        Some(SegmentName { owner, id: s.id })
    };
    stored.filter_map(name).collect()
}

/// Whether the volume that the checkpoint is of may refer to its own segment.
pub fn may_have(checkpoint: &Checkpoint, name: SegmentName) -> bool {
    let known = checkpoint.segments.binary_search_by_key(&name.id.seq, |s| s.id.seq);
    name.id.seq >= checkpoint.tail.place.seq || known.is_ok_and(|found| checkpoint.segments[found].id == name.id)
}

/// Make the volume ours: lock its log, raise its epoch or incarnation durably, start its tasks.
pub fn prepare(
    node: &Node,
    id: &str,
    files: VolumeFiles,
    record: &VolumeRecord,
    pins: Vec<u64>,
) -> Result<(Prepared, Handle), OpenError> {
    let (file, direct) = files.open_log()?;
    let mut checkpoint = files.checkpoint()?;
    let volume: VolumeUid =
        crate::keys::unhex(&record.uid).filter(|uid| *uid == checkpoint.volume).ok_or(OpenError::Uid)?;
    // Snapshots brought some of it to the store since it was saved: what is damaged here is read from there.
    for segment in checkpoint.segments.iter_mut().filter(|s| s.owner == 0 && s.end != 0) {
        segment.uploaded |= node.backing.is_referenced(SegmentName { owner: volume, id: segment.id });
    }
    let guards = guards(&node.key, &checkpoint)?;
    let ours = files.writer()?;
    let is_suspect = !files.has_ended(&ours) || node.backing.is_suspected(volume);
    let about = manifest::About { volume_id: id, size_bytes: record.size_bytes };
    let record_writer = |writer: Writer| files.put_writer(writer);
    let claim = manifest::claim(&node.backing, volume, about, ours, record_writer);
    let claimed = node.runtime.block_on(async { tokio::time::timeout(CLAIM_TIMEOUT, claim).await });
    let manifest = match claimed {
        Ok(Ok(claimed)) => Some(claimed),
        Ok(Err(ClaimError::Store(error))) if error.is_transient() => None,
        Ok(Err(error)) => return Err(error.into()),
        Err(_) => None,
    };
    // The claim may have got further than we know.
    let mut writer = files.writer()?;
    if manifest.is_none() {
        writer = writer.without_store().ok_or(OpenError::Unclaimed)?;
        tracing::warn!(volume = id, ?writer, "the store does not answer: going on under the epoch we have");
        files.put_writer(writer.clone())?;
    }
    if writer.incarnation > MAX_INCARNATION {
        return Err(OpenError::Incarnations(writer.incarnation));
    }
    let (orders, receiver) = tokio::sync::mpsc::unbounded_channel();
    let (link, caller) = link::connect(orders, node.backing.clone()).map_err(OpenError::Connect)?;
    let keeper = Keeper::new(
        id.to_owned(),
        record.size_bytes,
        volume,
        files,
        node.backing.clone(),
        caller.clone(),
        node.waiters.clone(),
        node.tuning.upload,
        manifest,
        checkpoint.clone(),
        writer.clone(),
        is_suspect,
    );
    node.runtime.spawn(keeper.clone().run(receiver));
    let setup = Setup {
        name: id.to_owned(),
        file,
        direct,
        size_bytes: record.size_bytes,
        checkpoint,
        guards,
        epoch: writer.epoch,
        incarnation: writer.incarnation,
        boot: files::boot(),
        tuning: node.tuning.clone(),
        background: link,
        pins,
    };
    Ok((Prepared { setup }, Handle { caller, keeper }))
}
