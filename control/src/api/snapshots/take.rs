//! Snapshots of volumes at the instant of the call: their records first, as what is wanted, then the node that has the volumes is
//! asked, within the call. A worker that dies in between leaves pending records; the node's reconciler follows those that blockd
//! has taken, and fails the others.

use super::super::nodes::{BlocksRequest, Unasked};
use super::super::{Api, Call};
use crate::error::{Error, incorrect_state};
use crate::random;
use crate::store::{Origin, SnapshotRecord, SnapshotState, Tags, Version, VolumeRecord, VolumeState};
use futures::future::join_all;
use hive_types::id::{AccountId, SnapshotId};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// One volume to take a snapshot of.
#[derive(Debug)]
pub struct Wanted {
    pub volume: VolumeRecord,
    pub description: String,
    pub tags: Tags,
}

/// A pending snapshot with an id of its own.
pub fn new_record(account: &AccountId, origin: Origin, size_gib: u32, now: Timestamp) -> Result<SnapshotRecord, Error> {
    Ok(SnapshotRecord {
        version: Version,
        snapshot_id: SnapshotId::from_random(random::draw()?),
        account: account.clone(),
        public: false,
        shared_with: BTreeSet::new(),
        size_gib,
        volume_id: None,
        node_id: None,
        encrypted: false,
        kms_key_id: None,
        origin,
        boot: None,
        description: String::new(),
        created_at: now,
        state: SnapshotState::Pending,
        progress_percent: 0,
        fault: None,
        completed_at: None,
        tags: Tags::new(),
    })
}

impl Wanted {
    /// The record of the snapshot.
    pub fn record(&self, origin: Origin, now: Timestamp) -> Result<SnapshotRecord, Error> {
        let volume = &self.volume;
        if volume.state != VolumeState::Ready {
            let (id, state) = (&volume.volume_id, volume.state_name());
            return Err(incorrect_state(format!("The volume '{id}' is in the '{state}' state.")));
        }
        let record = new_record(&volume.account, origin, volume.size_gib, now)?;
        Ok(SnapshotRecord {
            volume_id: Some(volume.volume_id.clone()),
            node_id: Some(volume.node_id.clone()),
            encrypted: volume.encrypted,
            kms_key_id: volume.kms_key_id.clone(),
            boot: volume.boot.clone(),
            description: self.description.clone(),
            tags: self.tags.clone(),
            ..record
        })
    }
}

/// Takes them all at one instant; their volumes are on one node.
pub async fn take(api: &Api, call: &Call, wanted: &[Wanted]) -> Result<Vec<SnapshotRecord>, Error> {
    let records: Vec<SnapshotRecord> =
        wanted.iter().map(|one| one.record(Origin::Volume, call.now)).collect::<Result<_, _>>()?;
    let Some(node_id) = wanted.first().map(|one| one.volume.node_id.clone()) else { return Ok(records) };
    if wanted.iter().any(|one| one.volume.node_id != node_id) {
        return Err(Error::Fault("volumes of two nodes have no common instant".into()));
    }
    let pairs =
        wanted.iter().zip(&records).map(|(one, record)| (one.volume.volume_id.clone(), record.snapshot_id.clone()));
    let request = BlocksRequest::Take { snapshots: pairs.collect(), asked_at: call.now };
    for record in &records {
        api.stores.snapshots.create(&record.key(), record).await?;
    }
    match api.blocks(&node_id, request).await {
        Ok(_) => Ok(records),
        // They may have been taken: then they are completed by and by, as if the answer had been lost on the way to the caller.
        Err(unknown @ Unasked::Unknown(_)) => Err(unknown.into_error()),
        Err(refused) => {
            forget(api, &records).await?;
            Err(refused.into_error())
        }
    }
}

/// Takes back records that nothing has come of.
pub(super) async fn forget(api: &Api, records: &[SnapshotRecord]) -> Result<(), Error> {
    let gone = records.iter().map(|record| {
        let is_pending = |found: &SnapshotRecord| Ok::<_, Error>(found.state == SnapshotState::Pending);
        api.stores.snapshots.delete_if(record.key(), is_pending)
    });
    join_all(gone).await.into_iter().try_for_each(|gone| gone.map(drop))
}
