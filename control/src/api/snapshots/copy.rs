//! CopySnapshot, within this region: a full copy, which the node makes.

use super::super::{Api, Call, encryption, parse_id, tags};
use super::{check_description, find_completed, new_record, node_of};
use crate::error::{Error, invalid, required, unsupported};
use crate::store::{Origin, SnapshotRecord};
use hive_aws_types::ec2::{CopySnapshotRequest, CopySnapshotResult};
use hive_types::error::Resource;
use hive_types::id::SnapshotId;
use std::sync::Arc;

pub async fn copy_snapshot(api: Arc<Api>, call: Call, input: CopySnapshotRequest) -> Result<CopySnapshotResult, Error> {
    let id: SnapshotId = parse_id(Resource::Snapshot, &required(input.source_snapshot_id, "SourceSnapshotId")?)?;
    let source_region = required(input.source_region, "SourceRegion")?;
    for (name, region) in [("SourceRegion", Some(source_region)), ("DestinationRegion", input.destination_region)] {
        if let Some(other) = region.filter(|region| *region != api.place.region) {
            return Err(invalid(name, other, "Snapshots are copied within this region only."));
        }
    }
    if input.destination_outpost_arn.is_some() || input.destination_availability_zone.is_some() {
        return Err(unsupported("There are no Outposts and Local Zones."));
    }
    if input.completion_duration_minutes.is_some() {
        return Err(unsupported("Time-based copies are not available."));
    }
    let description = check_description(input.description)?;
    let tags = tags::specified(&input.tag_specifications, "snapshot", &["snapshot"])?;
    let source = find_completed(&api, &call, &id).await?;
    let key = encryption::key_for(&api, &call, input.encrypted, input.kms_key_id.as_deref(), source.encrypted).await?;
    let record = new_record(&call.caller.account, Origin::Copy(id), source.size_gib, call.now)?;
    let record = SnapshotRecord {
        node_id: Some(node_of(&api, &source).await?),
        encrypted: key.is_some(),
        kms_key_id: key,
        boot: source.boot,
        description,
        tags,
        ..record
    };
    api.stores.snapshots.create(&record.key(), &record).await?;
    Ok(CopySnapshotResult { snapshot_id: Some(record.snapshot_id.to_string()), tags: tags::to_api(&record.tags) })
}
