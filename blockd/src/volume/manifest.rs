//! A volume's manifest in the store: who owns it, and what it is rebuilt from when its node is lost.
//!
//! It is only ever replaced by compare-and-swap. Taking a volume over raises its epoch and names a new owner; whoever still writes
//! under an older one finds its version gone at the next commit, and stops. Who may take a volume over is decided by the owner's name,
//! not by the epoch: an epoch is made durable here before it is claimed there, so that having one does not prove that the claim came
//! to be. `super::model` tries all of this out.

use super::files::Writer;
use crate::backing::Backing;
use crate::engine::format::{Checkpoint, VolumeUid};
use crate::engine::log::CompleteSegment;
use crate::keys::hex;
use bytes::Bytes;
use hive_blockd_store::{Condition, StoreError, Version};
use serde::{Deserialize, Serialize};

const MANIFEST_VERSION: u32 = 1;
/// Lost races before a claim is given up: each means that somebody else has just claimed the volume.
const MAX_CLAIMS: u32 = 3;

/// A segment of the log behind the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSegment {
    pub epoch: u32,
    pub incarnation: u32,
    pub seq: u32,
    /// Blocks in use.
    pub end: u16,
}

impl From<CompleteSegment> for StoredSegment {
    fn from(segment: CompleteSegment) -> Self {
        let id = segment.id;
        Self { epoch: id.epoch, incarnation: id.incarnation, seq: id.seq, end: segment.end }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    pub version: u32,
    pub epoch: u32,
    /// What the volume is called, and how large it is.
    pub volume_id: String,
    pub size_bytes: u64,
    /// Makes every write of the manifest differ from every other.
    pub nonce: String,
    /// Drawn for the claim under which it is written.
    #[serde(default)]
    pub owner: String,
    /// Key of the checkpoint; None while nothing was uploaded.
    pub map: Option<String>,
    /// The log behind the checkpoint, in order.
    pub suffix: Vec<StoredSegment>,
    /// All segments before this number are in it, or hold nothing any more that the volume needs.
    #[serde(default)]
    pub covers: u32,
}

pub fn manifest_key(volume: VolumeUid) -> String {
    format!("volumes/{}/manifest", hex(&volume))
}

/// Everything of a volume but its segments.
pub fn volume_prefix(volume: VolumeUid) -> String {
    format!("volumes/{}/", hex(&volume))
}

fn nonce() -> String {
    crate::keys::random::<16>().map_or_else(|_| String::new(), |bytes| hex(&bytes))
}

/// Why a volume cannot be taken over.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    #[error("another node has taken the volume over (epoch {theirs}, ours is {ours}): what is here is out of date")]
    Foreign { theirs: u32, ours: u32 },
    #[error("others claim the volume at the same time")]
    Contended,
    #[error("the volume's epochs are used up")]
    Epochs,
    #[error("no random bytes are to be had")]
    Random,
    #[error("the manifest {0} is damaged")]
    Damaged(String, #[source] serde_json::Error),
    #[error("the manifest {0} is of version {1}, this daemon knows {MANIFEST_VERSION}")]
    Version(String, u32),
    #[error("cannot record who writes")]
    Record(#[source] super::files::FilesError),
    #[error("the store refuses")]
    Store(#[from] StoreError),
}

/// What a manifest says of the volume itself.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    pub volume_id: &'a str,
    pub size_bytes: u64,
}

/// Whether the volume as it is here, written last by `ours`, holds all that the manifest stands for.
fn may_follow(ours: &Writer, current: &Manifest) -> bool {
    let is = |owner: &Option<String>| owner.as_ref() == Some(&current.owner);
    match &ours.rebuilt_from {
        Some(nonce) => current.nonce == *nonce || is(&ours.claim),
        // Written by a daemon that named no owners.
        None if current.owner.is_empty() => current.epoch <= ours.epoch,
        None => is(&ours.owner) || is(&ours.claim),
    }
}

/// Take the volume over under a new epoch, which `ours` wrote last. `record` makes it durable here who writes, before that is claimed
/// there and when it is known to be so. Errors that are [`StoreError::is_transient`] mean that the store could not be asked, or that
/// its answer was lost: the claim may have come to be.
pub async fn claim(
    backing: &Backing,
    volume: VolumeUid,
    about: About<'_>,
    ours: Writer,
    record: impl Fn(Writer) -> Result<(), super::files::FilesError>,
) -> Result<(Manifest, Version), ClaimError> {
    let key = manifest_key(volume);
    let mut ours = ours;
    for _ in 0..MAX_CLAIMS {
        let (current, condition) = match backing.store.get(&key).await {
            Ok((bytes, version)) => {
                let manifest: Manifest =
                    serde_json::from_slice(&bytes).map_err(|e| ClaimError::Damaged(key.clone(), e))?;
                if manifest.version != MANIFEST_VERSION {
                    return Err(ClaimError::Version(key, manifest.version));
                }
                if !may_follow(&ours, &manifest) {
                    return Err(ClaimError::Foreign { theirs: manifest.epoch, ours: ours.epoch });
                }
                (manifest, Condition::Version(version))
            }
            Err(StoreError::NotFound { .. }) => {
                let empty = Manifest {
                    version: MANIFEST_VERSION,
                    epoch: 0,
                    volume_id: String::new(),
                    size_bytes: 0,
                    nonce: nonce(),
                    owner: String::new(),
                    map: None,
                    suffix: Vec::new(),
                    covers: 0,
                };
                (empty, Condition::Absent)
            }
            Err(error) => return Err(error.into()),
        };
        // One name for all tries: one whose answer was lost may come to be late.
        let owner = match &ours.claim {
            Some(claim) => claim.clone(),
            None => crate::keys::random::<16>().map(|bytes| hex(&bytes)).map_err(|_| ClaimError::Random)?,
        };
        let epoch = current.epoch.max(ours.epoch).checked_add(1).ok_or(ClaimError::Epochs)?;
        ours = Writer { epoch, incarnation: 0, claim: Some(owner.clone()), ..ours };
        record(ours.clone()).map_err(ClaimError::Record)?;
        let (volume_id, size_bytes) = (about.volume_id.to_owned(), about.size_bytes);
        let claimed = Manifest { epoch, owner: owner.clone(), volume_id, size_bytes, nonce: nonce(), ..current };
        let bytes = serde_json::to_vec(&claimed).map_err(|e| ClaimError::Damaged(key.clone(), e))?;
        match backing.store.put_if(&key, bytes.into(), condition).await {
            Ok(version) => {
                let confirmed = Writer { owner: Some(owner), claim: None, rebuilt_from: None, ..ours };
                record(confirmed).map_err(ClaimError::Record)?;
                return Ok((claimed, version));
            }
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ClaimError::Contended)
}

/// Where a checkpoint lies in the store.
pub fn map_key(volume: VolumeUid, checkpoint: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, checkpoint);
    format!("{}map-{}", volume_prefix(volume), hex(&digest.as_ref()[..16]))
}

/// How a commit ended.
#[derive(Debug)]
pub enum Commit {
    Written(Manifest, Version),
    /// Not written: we had done so before without hearing of it, and what is there is this.
    Found(Manifest, Version),
    /// Somebody else has written the manifest.
    Fenced(String),
    Failed(StoreError),
}

/// Let the manifest name `checkpoint` and the log behind it, all of which is in the store.
pub async fn commit(
    backing: &Backing,
    volume: VolumeUid,
    current: &Manifest,
    version: Version,
    checkpoint: &Checkpoint,
    suffix: Vec<StoredSegment>,
    size_bytes: u64,
) -> Commit {
    let bytes = checkpoint.encode();
    let map = map_key(volume, &bytes);
    let replaced = current.map.as_ref().filter(|old| **old != map).cloned();
    if current.map.as_ref() != Some(&map)
        && let Err(error) = backing.store.put(&map, bytes.into()).await
    {
        return Commit::Failed(error);
    }
    let covers = suffix.last().map_or(checkpoint.tail.place.seq, |last| last.seq.saturating_add(1));
    let next = Manifest { nonce: nonce(), map: Some(map), suffix, covers, size_bytes, ..current.clone() };
    let bytes = match serde_json::to_vec(&next) {
        Ok(bytes) => Bytes::from(bytes),
        Err(error) => return Commit::Fenced(error.to_string()),
    };
    let key = manifest_key(volume);
    match backing.store.put_if(&key, bytes, Condition::Version(version)).await {
        Ok(version) => {
            if let Some(old) = replaced {
                // One that stays behind is found again when the volume is deleted.
                let _ = backing.store.delete(&old).await;
            }
            Commit::Written(next, version)
        }
        Err(StoreError::Conflict { .. }) => {
            let (bytes, version) = match backing.store.get(&key).await {
                Ok(found) => found,
                Err(error) if error.is_transient() => return Commit::Failed(error),
                Err(_) => (Bytes::new(), Version::new("")),
            };
            match serde_json::from_slice::<Manifest>(&bytes) {
                // A write of ours of which we did not hear that it happened.
                Ok(found) if (found.epoch, &found.owner) == (current.epoch, &current.owner) => {
                    Commit::Found(found, version)
                }
                other => Commit::Fenced(format!(
                    "another daemon has taken the volume over (epoch {}, ours was {})",
                    other.map_or(0, |manifest| manifest.epoch),
                    current.epoch
                )),
            }
        }
        Err(error) => Commit::Failed(error),
    }
}
