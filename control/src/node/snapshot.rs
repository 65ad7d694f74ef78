//! Follows snapshots until their data is in the store, makes copies, gives up what nobody goes on with, and deletes.

use super::Node;
use super::backend::BackendError;
use super::instance::{Step, since};
use super::volume::StepError;
use crate::error::Error;
use crate::store::{InstanceState, Origin, SnapshotRecord, SnapshotState, VolumeState};
use hive_blockd_api as blockd;
use hive_types::id::InstanceId;
use jiff::Timestamp;
use std::time::Duration;

/// Between looks at an upload.
const POLL: Duration = Duration::from_secs(1);
/// A call that takes a snapshot has 15 s; one that blockd does not know after this time is no call's any more.
const CALL_GRACE: Duration = Duration::from_secs(30);

pub async fn reconcile(node: &Node, snapshot: &SnapshotRecord) -> Result<Step, StepError> {
    match snapshot.state {
        SnapshotState::Completed | SnapshotState::Error => Ok(Step::Done),
        SnapshotState::Deleting => delete(node, snapshot).await,
        SnapshotState::Pending => match node.blockd.describe_snapshot(snapshot.snapshot_id.as_str()).await? {
            Some(found) => follow(node, snapshot, &found).await,
            None => absent(node, snapshot).await,
        },
    }
}

/// Edits the record while it is pending.
async fn change(node: &Node, snapshot: &SnapshotRecord, edit: impl Fn(&mut SnapshotRecord)) -> Result<Step, StepError> {
    let changed = node.stores.snapshots.modify(snapshot.key(), |snapshot| {
        if snapshot.state == SnapshotState::Pending {
            edit(snapshot);
        }
        Ok::<_, Error>(())
    });
    changed.await?;
    Ok(Step::Changed)
}

async fn fail(node: &Node, snapshot: &SnapshotRecord, fault: &str) -> Result<Step, StepError> {
    tracing::warn!(snapshot = %snapshot.snapshot_id, fault, "a snapshot failed");
    node.written.forget(&snapshot.snapshot_id);
    change(node, snapshot, |snapshot| {
        snapshot.state = SnapshotState::Error;
        snapshot.fault = Some(fault.to_owned());
    })
    .await
}

async fn follow(node: &Node, snapshot: &SnapshotRecord, found: &blockd::Snapshot) -> Result<Step, StepError> {
    match found.state {
        blockd::SnapshotState::Completed => {
            node.written.forget(&snapshot.snapshot_id);
            tracing::info!(snapshot = %snapshot.snapshot_id, "snapshot completed");
            // A volume may have grown between the look at its record and the instant.
            let size_gib = u32::try_from(found.size_bytes.div_ceil(1 << 30)).unwrap_or(u32::MAX);
            change(node, snapshot, |snapshot| {
                snapshot.state = SnapshotState::Completed;
                snapshot.progress_percent = 100;
                snapshot.size_gib = snapshot.size_gib.max(size_gib);
                snapshot.encrypted |= found.encrypted;
                snapshot.completed_at = Some(Timestamp::now());
            })
            .await
        }
        blockd::SnapshotState::Error => {
            fail(node, snapshot, found.fault.as_deref().unwrap_or("blockd gives no reason")).await
        }
        blockd::SnapshotState::Pending => {
            if let Origin::Blocks { timeout_minutes, is_completing: false, .. } = snapshot.origin {
                let idle = node.written.idle(&snapshot.snapshot_id).unwrap_or_else(|| since(snapshot.created_at));
                if idle > Duration::from_secs(u64::from(timeout_minutes) * 60) {
                    node.blockd.delete_snapshot(snapshot.snapshot_id.as_str()).await?;
                    return fail(node, snapshot, "Nothing was written for the snapshot's timeout.").await;
                }
                // The record changes when the writer is done; until then the slow clock is often enough.
                return Ok(Step::Done);
            }
            // 100 is what a completed one has.
            let progress = found.progress_percent.min(99);
            if progress == snapshot.progress_percent {
                return Ok(Step::Again(POLL));
            }
            change(node, snapshot, |snapshot| snapshot.progress_percent = progress).await?;
            Ok(Step::Again(POLL))
        }
    }
}

/// blockd does not know the snapshot.
async fn absent(node: &Node, snapshot: &SnapshotRecord) -> Result<Step, StepError> {
    let id = &snapshot.snapshot_id;
    match &snapshot.origin {
        Origin::Copy(source) => copy(node, snapshot, source.as_str(), None).await,
        Origin::RegionCopy { region, source } => copy(node, snapshot, source.as_str(), Some(region.as_str())).await,
        _ if since(snapshot.created_at) < CALL_GRACE => Ok(Step::Again(POLL)),
        Origin::Instance(instance) => {
            if is_imaged(node, snapshot, instance).await? {
                return Ok(Step::Again(POLL));
            }
            // Taken between the two looks?
            match node.blockd.describe_snapshot(id.as_str()).await? {
                Some(_) => Ok(Step::Changed),
                None => fail(node, snapshot, "The instance ended before the snapshot was taken.").await,
            }
        }
        Origin::Import | Origin::Volume | Origin::Blocks { .. } => {
            fail(node, snapshot, "The call that takes the snapshot was cut off.").await
        }
    }
}

async fn copy(node: &Node, snapshot: &SnapshotRecord, source: &str, region: Option<&str>) -> Result<Step, StepError> {
    match node.blockd.copy_snapshot(source, region, snapshot.snapshot_id.as_str(), snapshot.encrypted).await {
        Ok(()) => Ok(Step::Again(POLL)),
        Err(error) if error.is_final() => fail(node, snapshot, &error.to_string()).await,
        Err(error) => Err(error.into()),
    }
}

/// The instance still has this snapshot before it.
async fn is_imaged(node: &Node, snapshot: &SnapshotRecord, instance: &InstanceId) -> Result<bool, Error> {
    let found = node.stores.instances.get(&crate::store::key(&snapshot.account, instance)).await?;
    let ends = |state| matches!(state, InstanceState::ShuttingDown | InstanceState::Terminated);
    let imaging = found.filter(|record| !ends(record.value.state)).and_then(|record| record.value.imaging);
    Ok(imaging.is_some_and(|imaging| imaging.snapshots.iter().any(|(_, id)| *id == snapshot.snapshot_id)))
}

/// Not while an image, or a volume or copy that is not made yet, needs it.
async fn delete(node: &Node, snapshot: &SnapshotRecord) -> Result<Step, StepError> {
    let id = &snapshot.snapshot_id;
    let images = node.stores.images.range("").await.map_err(Error::from)?;
    let volumes = node.stores.volumes.range("").await.map_err(Error::from)?;
    let snapshots = node.stores.snapshots.range("").await.map_err(Error::from)?;
    let copies = |s: &SnapshotRecord| s.state == SnapshotState::Pending && s.origin == Origin::Copy(id.clone());
    let makes = |state, source: Option<&_>| state == VolumeState::Creating && source == Some(id);
    if images.iter().any(|image| image.value.uses(id))
        || snapshots.iter().any(|snapshot| copies(&snapshot.value))
        || volumes.iter().any(|volume| makes(volume.value.state, volume.value.snapshot_id.as_ref()))
    {
        return Ok(Step::Again(POLL));
    }
    match node.blockd.delete_snapshot(id.as_str()).await {
        // A clone of it is being made, or its upload is under way.
        Err(BackendError::Blockd { kind: blockd::ErrorKind::InUse, .. }) => return Ok(Step::Again(POLL)),
        deleted => deleted?,
    }
    node.written.forget(id);
    let is_deleting = |snapshot: &SnapshotRecord| Ok::<_, Error>(snapshot.state == SnapshotState::Deleting);
    node.stores.snapshots.delete_if(snapshot.key(), is_deleting).await?;
    Ok(Step::Done)
}
