//! Snapshots: taken, copied, shown, shared, deleted. A node's blockd holds the data and its reconciler follows the upload.

pub mod attribute;
pub mod copy;
pub mod create;
pub mod describe;
mod take;

pub use take::{Wanted, new_record, take};

use super::{Api, Call, parse_id};
use crate::error::{Error, incorrect_state, invalid, not_found, required};
use crate::store::{Origin, SnapshotRecord, SnapshotState, key};
use hive_aws_types::Empty;
use hive_aws_types::ec2::DeleteSnapshotRequest;
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::SnapshotId;
use std::sync::Arc;

const MAX_DESCRIPTION_CHARS: usize = 255;

/// Every snapshot that is there for the API.
pub async fn all(api: &Api) -> Result<Vec<SnapshotRecord>, Error> {
    let all = api.stores.snapshots.range("").await?.into_iter().map(|record| record.value);
    Ok(all.filter(|snapshot| snapshot.state != SnapshotState::Deleting).collect())
}

/// The snapshot, if the caller may make volumes of it.
pub async fn find(api: &Api, call: &Call, id: &SnapshotId) -> Result<SnapshotRecord, Error> {
    // Most are the caller's own, and need no look at everybody's.
    if let Ok(own) = find_own(api, call, id).await {
        return Ok(own);
    }
    let caller = &call.caller.account;
    let found = all(api).await?.into_iter().find(|s| s.snapshot_id == *id && s.is_restorable_by(caller));
    found.ok_or_else(|| not_found(Resource::Snapshot, id))
}

/// [`find`], and it has all its data.
pub async fn find_completed(api: &Api, call: &Call, id: &SnapshotId) -> Result<SnapshotRecord, Error> {
    let snapshot = find(api, call, id).await?;
    match snapshot.state {
        SnapshotState::Completed => Ok(snapshot),
        state => Err(incorrect_state(format!("Snapshot is in invalid state - {}", state.name()))),
    }
}

/// The caller's own.
pub async fn find_own(api: &Api, call: &Call, id: &SnapshotId) -> Result<SnapshotRecord, Error> {
    let found = api.stores.snapshots.get(&key(&call.caller.account, id)).await?.map(|record| record.value);
    let found = found.filter(|snapshot| snapshot.state != SnapshotState::Deleting);
    found.ok_or_else(|| not_found(Resource::Snapshot, id))
}

/// The node to ask for the snapshot's data.
pub async fn node_of(api: &Api, snapshot: &SnapshotRecord) -> Result<String, Error> {
    match &snapshot.node_id {
        Some(node_id) => Ok(node_id.clone()),
        None => Ok(super::instances::placement::any_node(api).await?.node_id),
    }
}

fn check_description(description: Option<String>) -> Result<String, Error> {
    let description = description.unwrap_or_default();
    if description.chars().count() > MAX_DESCRIPTION_CHARS {
        return Err(invalid("Description", "", "A description has at most 255 characters."));
    }
    Ok(description)
}

fn in_use_by_image(id: &SnapshotId, image: impl std::fmt::Display) -> Error {
    let reason = format!("The snapshot {id} is currently in use by {image}");
    ApiError::InUse { resource: Resource::Snapshot, reason }.into()
}

/// Refuses while a registered image, or a copy that has not begun, needs the snapshot.
async fn check_unused(api: &Api, id: &SnapshotId) -> Result<(), Error> {
    let images = api.stores.images.range("").await?;
    if let Some(image) = images.iter().find(|image| image.value.uses(id)) {
        return Err(in_use_by_image(id, &image.value.image_id));
    }
    let copies = |s: &SnapshotRecord| s.state == SnapshotState::Pending && s.origin == Origin::Copy(id.clone());
    match all(api).await?.into_iter().find(copies) {
        Some(copy) => Err(in_use_by_image(id, &copy.snapshot_id)),
        None => Ok(()),
    }
}

/// Marks the snapshot, and looks again whether something uses it: a registration looks in the opposite order, so one of the two
/// gives way. The node deletes nothing that an image uses.
pub async fn delete(api: &Api, call: &Call, id: &SnapshotId) -> Result<(), Error> {
    check_unused(api, id).await?;
    let at = key(&call.caller.account, id);
    let marked = api.stores.snapshots.modify(&at, |snapshot| {
        if snapshot.state == SnapshotState::Deleting {
            return Err(not_found(Resource::Snapshot, id));
        }
        Ok(std::mem::replace(&mut snapshot.state, SnapshotState::Deleting))
    });
    let (_, before) = marked.await?.ok_or_else(|| not_found(Resource::Snapshot, id))?;
    let Err(used) = check_unused(api, id).await else { return Ok(()) };
    let restored = api.stores.snapshots.modify(&at, |snapshot| {
        snapshot.state = before;
        Ok::<_, Error>(())
    });
    restored.await?;
    Err(used)
}

pub async fn delete_snapshot(api: Arc<Api>, call: Call, input: DeleteSnapshotRequest) -> Result<Empty, Error> {
    let id: SnapshotId = parse_id(Resource::Snapshot, &required(input.snapshot_id, "SnapshotId")?)?;
    find_own(&api, &call, &id).await?;
    delete(&api, &call, &id).await?;
    Ok(Empty {})
}
