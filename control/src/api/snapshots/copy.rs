//! CopySnapshot: a full copy, which the node makes, of a snapshot of this region or of another one's.

use super::super::nodes::{Unasked, blockd_name};
use super::super::{Api, Call, encryption, instances, parse_id, tags};
use super::take::forget;
use super::{check_description, find_completed, new_record, node_of};
use crate::error::{Error, invalid, not_found, required, unsupported};
use crate::store::{Origin, SnapshotRecord, SnapshotState};
use hive_aws_types::ec2::{CopySnapshotRequest, CopySnapshotResult};
use hive_blockd_api as blockd;
use hive_types::error::Resource;
use hive_types::id::SnapshotId;
use std::sync::Arc;

pub async fn copy_snapshot(api: Arc<Api>, call: Call, input: CopySnapshotRequest) -> Result<CopySnapshotResult, Error> {
    let id: SnapshotId = parse_id(Resource::Snapshot, &required(input.source_snapshot_id, "SourceSnapshotId")?)?;
    let source_region = required(input.source_region, "SourceRegion")?;
    let is_here = source_region == api.place.region;
    if !is_here && !api.place.peer_regions.contains(&source_region) {
        return Err(invalid("SourceRegion", source_region, "Snapshots of this region cannot be copied."));
    }
    if let Some(other) = input.destination_region.filter(|region| *region != api.place.region) {
        return Err(invalid("DestinationRegion", other, "Snapshots are copied to this region only."));
    }
    if input.destination_outpost_arn.is_some() || input.destination_availability_zone.is_some() {
        return Err(unsupported("There are no Outposts and Local Zones."));
    }
    if input.completion_duration_minutes.is_some() {
        return Err(unsupported("Time-based copies are not available."));
    }
    let description = check_description(input.description)?;
    let tags = tags::specified(&input.tag_specifications, "snapshot", &["snapshot"])?;
    let (wanted, key_name) = (input.encrypted, input.kms_key_id);
    let record = if is_here {
        let source = find_completed(&api, &call, &id).await?;
        let key = encryption::key_for(&api, &call, wanted, key_name.as_deref(), source.encrypted).await?;
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
        record
    } else {
        // Whose snapshot it is there is not known here.
        if call.caller.account != api.place.account {
            return Err(not_found(Resource::Snapshot, &id));
        }
        let key = encryption::key_for(&api, &call, wanted, key_name.as_deref(), false).await?;
        let origin = Origin::RegionCopy { region: source_region.clone(), source: id };
        let record = new_record(&call.caller.account, origin, 0, call.now)?;
        let record = SnapshotRecord {
            node_id: Some(instances::placement::any_node(&api).await?.node_id),
            encrypted: key.is_some(),
            kms_key_id: key,
            description,
            tags,
            ..record
        };
        begin_from(&api, &call, record).await?
    };
    Ok(CopySnapshotResult { snapshot_id: Some(record.snapshot_id.to_string()), tags: tags::to_api(&record.tags) })
}

/// The record first, as what is wanted, then the node is asked, which knows how large the source is and whether it is encrypted.
async fn begin_from(api: &Api, call: &Call, record: SnapshotRecord) -> Result<SnapshotRecord, Error> {
    let Origin::RegionCopy { region, source } = &record.origin else {
        return Err(Error::Fault("a copy from no region".into()));
    };
    let request = blockd::Request::CopySnapshot {
        source_snapshot_id: blockd_name(source.as_str())?,
        source_store: Some(blockd_name(region)?),
        snapshot_id: blockd_name(record.snapshot_id.as_str())?,
        encrypted: record.encrypted,
    };
    api.stores.snapshots.create(&record.key(), &record).await?;
    let node_id = record.node_id.clone().unwrap_or_default();
    match api.blockd(&node_id, request).await {
        Ok(blockd::Reply::Snapshot(begun)) => {
            let key = encryption::key_for(api, call, Some(record.encrypted), None, begun.encrypted).await?;
            let size_gib = u32::try_from(begun.size_bytes.div_ceil(1 << 30)).unwrap_or(u32::MAX);
            let changed = api.stores.snapshots.modify(record.key(), |found| {
                if found.state != SnapshotState::Deleting {
                    (found.size_gib, found.encrypted, found.kms_key_id) = (size_gib, begun.encrypted, key.clone());
                }
                Ok::<_, Error>(())
            });
            changed.await?;
            Ok(record)
        }
        Ok(other) => Err(Error::Fault(format!("a node answered {other:?}"))),
        // It may have begun; if not, the node begins it.
        Err(unknown @ Unasked::Unknown(_)) => Err(unknown.into_error()),
        Err(refused) => {
            forget(api, std::slice::from_ref(&record)).await?;
            match refused {
                Unasked::Refused { kind: blockd::ErrorKind::NotFound, .. } => {
                    Err(not_found(Resource::Snapshot, source))
                }
                Unasked::Refused { kind: blockd::ErrorKind::Invalid, message } => {
                    Err(invalid("SourceSnapshotId", source, message))
                }
                other => Err(other.into_error()),
            }
        }
    }
}
