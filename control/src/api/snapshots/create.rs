//! CreateSnapshot of one volume, CreateSnapshots of all that an instance has.

use super::super::{Api, Call, instances, parse_id, parse_ids, tags, volumes};
use super::{Wanted, check_description, describe, take};
use crate::error::{Error, combination, invalid, required, unsupported};
use crate::store::{InstanceRecord, InstanceState, SnapshotRecord, VolumeRecord};
use hive_aws_types::ec2::{
    CreateSnapshotRequest, CreateSnapshotsRequest, CreateSnapshotsResult, Snapshot, SnapshotInfo,
};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::{InstanceId, VolumeId};
use std::sync::Arc;

fn refuse_places(outpost: Option<&str>, location: Option<&str>) -> Result<(), Error> {
    if outpost.is_some() || location == Some("local") {
        return Err(unsupported("Snapshots are kept in the region; there are no Outposts and Local Zones."));
    }
    Ok(())
}

pub async fn create_snapshot(api: Arc<Api>, call: Call, input: CreateSnapshotRequest) -> Result<Snapshot, Error> {
    let id: VolumeId = parse_id(Resource::Volume, &required(input.volume_id, "VolumeId")?)?;
    refuse_places(input.outpost_arn.as_deref(), input.location.as_deref())?;
    let description = check_description(input.description)?;
    let tags = tags::specified(&input.tag_specifications, "snapshot", &["snapshot"])?;
    let volume = volumes::find(&api, &call, &id).await?;
    let taken = take(&api, &call, &[Wanted { volume, description, tags }]).await?;
    let first = taken.first().ok_or_else(|| Error::Fault("no snapshot was taken".into()))?;
    Ok(describe::snapshot(first))
}

/// The instance's volumes: the root volume first.
pub async fn volumes_of(api: &Api, call: &Call, instance: &InstanceRecord) -> Result<Vec<VolumeRecord>, Error> {
    let mut volumes = Vec::with_capacity(instance.disks.len());
    for disk in &instance.disks {
        volumes.push(volumes::find(api, call, &disk.volume_id).await?);
    }
    volumes.sort_by_key(|volume| {
        let device = volume.attachment.as_ref().map(|attachment| attachment.device_name.clone());
        (device.as_ref() != Some(&instance.root_device_name), device)
    });
    Ok(volumes)
}

pub async fn create_snapshots(
    api: Arc<Api>,
    call: Call,
    input: CreateSnapshotsRequest,
) -> Result<CreateSnapshotsResult, Error> {
    let of = required(input.instance_specification, "InstanceSpecification")?;
    let id: InstanceId = parse_id(Resource::Instance, &required(of.instance_id, "InstanceSpecification.InstanceId")?)?;
    let excluded: Vec<VolumeId> = parse_ids(Resource::Volume, &of.exclude_data_volume_ids)?;
    refuse_places(input.outpost_arn.as_deref(), input.location.as_deref())?;
    let description = check_description(input.description)?;
    let own_tags = tags::specified(&input.tag_specifications, "snapshot", &["snapshot"])?;
    let copies_tags = match input.copy_tags_from_source.as_deref() {
        None => false,
        Some("volume") => true,
        Some(other) => return Err(invalid("CopyTagsFromSource", other, "Expecting volume.")),
    };
    let instance = instances::find(&api, &call, &id).await?;
    if matches!(instance.state, InstanceState::ShuttingDown | InstanceState::Terminated) {
        let reason = format!("Instance '{id}' is '{}'.", instance.state.name());
        return Err(ApiError::IncorrectInstanceState { reason }.into());
    }
    let is_root = |volume: &VolumeRecord| {
        let at = volume.attachment.as_ref();
        at.is_some_and(|attachment| attachment.device_name == instance.root_device_name)
    };
    let mut volumes = volumes_of(&api, &call, &instance).await?;
    for volume_id in &excluded {
        match volumes.iter().find(|volume| volume.volume_id == *volume_id) {
            Some(root) if is_root(root) => {
                let reason = "The root volume is excluded by ExcludeBootVolume.";
                return Err(invalid("ExcludeDataVolumeId", volume_id, reason));
            }
            Some(_) => {}
            None => {
                let reason = format!("The volume is not attached to instance '{id}'.");
                return Err(invalid("ExcludeDataVolumeId", volume_id, reason));
            }
        }
    }
    volumes.retain(|volume| {
        let without_root = of.exclude_boot_volume == Some(true);
        !excluded.contains(&volume.volume_id) && (!without_root || !is_root(volume))
    });
    if volumes.is_empty() {
        return Err(combination("All volumes of the instance are excluded."));
    }
    let wanted = volumes.into_iter().map(|volume| {
        let mut tags = if copies_tags { volume.tags.clone() } else { crate::store::Tags::new() };
        tags.extend(own_tags.clone());
        Wanted { volume, description: description.clone(), tags }
    });
    let taken = take(&api, &call, &wanted.collect::<Vec<_>>()).await?;
    Ok(CreateSnapshotsResult { snapshots: taken.iter().map(info).collect() })
}

fn info(record: &SnapshotRecord) -> SnapshotInfo {
    let seen = describe::snapshot(record);
    SnapshotInfo {
        description: seen.description,
        encrypted: seen.encrypted,
        owner_id: seen.owner_id,
        progress: seen.progress,
        snapshot_id: seen.snapshot_id,
        sse_type: seen.sse_type,
        start_time: seen.start_time,
        state: seen.state,
        tags: seen.tags,
        volume_id: seen.volume_id,
        volume_size: seen.volume_size,
        ..Default::default()
    }
}
