//! Volumes: made, shown, deleted, attached and detached. The node's reconciler makes and deletes the bytes.

pub mod attach;
pub mod modify;
pub mod status;

pub use attach::check_device_name;

use super::filter::{Filterable, Filters};
use super::page::Page;
use super::{Api, Call, encryption, idempotency, iso, parse_id, parse_ids, snapshots, tags};
use crate::error::{Error, invalid, missing, not_found, required, unsupported};
use crate::store::{Attachment, DrawnIds, Performance, Tags, Version, VolumeRecord, VolumeState, account_prefix, key};
use crate::{random, volume_types};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    CreateVolumeRequest, DeleteVolumeRequest, DescribeVolumesRequest, DescribeVolumesResult, Volume, VolumeAttachment,
};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::{SnapshotId, VolumeId};
use std::sync::Arc;

/// EC2's limit of attachments on small instance types; the root volume counts.
pub const MAX_DISKS: usize = 28;

pub async fn create_volume(api: Arc<Api>, call: Call, input: CreateVolumeRequest) -> Result<Volume, Error> {
    let tags = tags::specified(&input.tag_specifications, "volume", &["volume"])?;
    let zone = match (&input.availability_zone, &input.availability_zone_id) {
        (Some(zone), _) => zone.clone(),
        (None, Some(id)) if *id == api.place.zone_id() => api.place.zone.clone(),
        (None, Some(id)) => return Err(not_found(Resource::AvailabilityZone, id)),
        (None, None) => return Err(missing("AvailabilityZone")),
    };
    if zone != api.place.zone {
        return Err(not_found(Resource::AvailabilityZone, zone));
    }
    if input.multi_attach_enabled == Some(true) {
        return Err(unsupported("Multi-attach is not available."));
    }
    let snapshot = match &input.snapshot_id {
        Some(id) => {
            let id: SnapshotId = parse_id(Resource::Snapshot, id)?;
            Some(snapshots::find_completed(&api, &call, &id).await?)
        }
        None => None,
    };
    let source_is_encrypted = snapshot.as_ref().is_some_and(|snapshot| snapshot.encrypted);
    let key = encryption::key_for(&api, &call, input.encrypted, input.kms_key_id.as_deref(), source_is_encrypted);
    let kms_key_id = key.await?;
    let min_gib = snapshot.as_ref().map_or(1, |snapshot| snapshot.size_gib);
    let size_gib = match input.size {
        Some(size) => u32::try_from(size).map_err(|_| invalid("Size", size, "A size is positive."))?,
        None => snapshot.as_ref().ok_or_else(|| missing("Size"))?.size_gib,
    };
    let kind = volume_types::check(input.volume_type.as_deref(), size_gib, input.iops, input.throughput, min_gib)?;
    let Performance { volume_type, iops, throughput, .. } = kind;
    let node = super::instances::placement::any_node(&api).await?;

    let parameters = CreateVolumeRequest { client_token: None, ..input.clone() };
    let draw = || Ok(DrawnIds::Volume(VolumeId::from_random(random::draw()?)));
    let drawn =
        idempotency::draw(&api, &call, "CreateVolume", input.client_token.as_deref(), &parameters, draw).await?;
    let DrawnIds::Volume(volume_id) = drawn.ids else {
        return Err(Error::Fault("a CreateVolume token holds other ids".into()));
    };
    let record = VolumeRecord {
        version: Version,
        volume_id,
        account: call.caller.account.clone(),
        zone,
        node_id: node.node_id,
        size_gib,
        volume_type,
        iops,
        throughput,
        snapshot_id: snapshot.as_ref().map(|s| s.snapshot_id.clone()),
        created_at: call.now,
        state: VolumeState::Creating,
        fault: None,
        attachment: None,
        tags,
        encrypted: kms_key_id.is_some(),
        kms_key_id,
        boot: snapshot.and_then(|snapshot| snapshot.boot),
        auto_enable_io: false,
        modification: None,
        modified_at: Vec::new(),
    };
    if api.stores.volumes.create(&record.key(), &record).await? {
        return Ok(describe(&api, &record));
    }
    // A repeated token.
    let made = find(&api, &call, &record.volume_id).await?;
    Ok(describe(&api, &made))
}

/// The caller's own.
pub async fn find(api: &Api, call: &Call, id: &VolumeId) -> Result<VolumeRecord, Error> {
    let found = api.stores.volumes.get(&key(&call.caller.account, id)).await?;
    Ok(found.ok_or_else(|| not_found(Resource::Volume, id))?.value)
}

fn describe(api: &Api, volume: &VolumeRecord) -> Volume {
    Volume {
        attachments: volume
            .attachment
            .iter()
            .map(|a| describe_attachment(volume, a, attachment_state(volume)))
            .collect(),
        availability_zone: Some(volume.zone.clone()),
        availability_zone_id: Some(api.place.zone_id()),
        create_time: Some(iso(volume.created_at)),
        encrypted: Some(volume.encrypted),
        iops: volume.iops,
        kms_key_id: volume.kms_key_id.clone(),
        multi_attach_enabled: Some(false),
        size: i32::try_from(volume.size_gib).ok(),
        sse_type: encryption::sse_type(volume.encrypted),
        // The member is there, empty, for a volume from nothing.
        snapshot_id: Some(volume.snapshot_id.as_ref().map(ToString::to_string).unwrap_or_default()),
        state: Some(volume.state_name().into()),
        tags: tags::to_api(&volume.tags),
        throughput: volume.throughput,
        volume_id: Some(volume.volume_id.to_string()),
        volume_type: Some(volume.volume_type.clone()),
        ..Default::default()
    }
}

fn attachment_state(volume: &VolumeRecord) -> &'static str {
    if volume.state == VolumeState::Creating { "attaching" } else { "attached" }
}

fn describe_attachment(volume: &VolumeRecord, attachment: &Attachment, state: &str) -> VolumeAttachment {
    VolumeAttachment {
        attach_time: Some(iso(attachment.attach_time)),
        delete_on_termination: Some(attachment.delete_on_termination),
        device: Some(attachment.device_name.clone()),
        instance_id: Some(attachment.instance_id.to_string()),
        state: Some(state.into()),
        volume_id: Some(volume.volume_id.to_string()),
        ..Default::default()
    }
}

impl Filterable for VolumeRecord {
    const NAMES: &'static [&'static str] = &[
        "attachment.attach-time",
        "attachment.delete-on-termination",
        "attachment.device",
        "attachment.instance-id",
        "attachment.status",
        "availability-zone",
        "create-time",
        "encrypted",
        "multi-attach-enabled",
        "size",
        "snapshot-id",
        "status",
        "volume-id",
        "volume-type",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let attached = |f: fn(&Attachment) -> String| self.attachment.iter().map(f).collect();
        match name {
            "attachment.attach-time" => attached(|a| iso(a.attach_time)),
            "attachment.delete-on-termination" => attached(|a| a.delete_on_termination.to_string()),
            "attachment.device" => attached(|a| a.device_name.clone()),
            "attachment.instance-id" => attached(|a| a.instance_id.to_string()),
            "attachment.status" => self.attachment.iter().map(|_| attachment_state(self).to_owned()).collect(),
            "availability-zone" => vec![self.zone.clone()],
            "create-time" => vec![iso(self.created_at)],
            "encrypted" => vec![self.encrypted.to_string()],
            "multi-attach-enabled" => vec!["false".into()],
            "size" => vec![self.size_gib.to_string()],
            "snapshot-id" => self.snapshot_id.iter().map(ToString::to_string).collect(),
            "status" => vec![self.state_name().into()],
            "volume-id" => vec![self.volume_id.to_string()],
            _ => vec![self.volume_type.clone()],
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.tags)
    }
}

pub async fn describe_volumes(
    api: Arc<Api>,
    call: Call,
    input: DescribeVolumesRequest,
) -> Result<DescribeVolumesResult, Error> {
    let ids: Vec<VolumeId> = parse_ids(Resource::Volume, &input.volume_ids)?;
    let page = Page::check(input.max_results, input.next_token.as_deref(), 5..=1000, !ids.is_empty())?;
    let filters = Filters::check::<VolumeRecord>(&input.filters)?;
    let all = api.stores.volumes.range(&account_prefix(&call.caller.account)).await?;
    let mut all: Vec<VolumeRecord> = all.into_iter().map(|record| record.value).collect();
    if let Some(absent) = ids.iter().find(|id| !all.iter().any(|volume| volume.volume_id == **id)) {
        return Err(not_found(Resource::Volume, absent));
    }
    all.retain(|volume| (ids.is_empty() || ids.contains(&volume.volume_id)) && filters.admit(volume));
    let (page, next_token) = page.cut(all, |volume| volume.volume_id.to_string());
    Ok(DescribeVolumesResult { next_token, volumes: page.iter().map(|volume| describe(&api, volume)).collect() })
}

fn in_use(volume: &VolumeRecord, attachment: &Attachment) -> Error {
    let reason = format!("Volume {} is currently attached to {}", volume.volume_id, attachment.instance_id);
    ApiError::InUse { resource: Resource::Volume, reason }.into()
}

fn wrong_state(volume: &VolumeRecord) -> Error {
    crate::error::incorrect_state(format!("{} is '{}'.", volume.volume_id, volume.state_name()))
}

pub async fn delete_volume(api: Arc<Api>, call: Call, input: DeleteVolumeRequest) -> Result<Empty, Error> {
    let id: VolumeId = parse_id(Resource::Volume, &required(input.volume_id, "VolumeId")?)?;
    let marked = api.stores.volumes.modify(key(&call.caller.account, &id), |volume| match &volume.attachment {
        Some(attachment) => Err(in_use(volume, attachment)),
        None => {
            volume.state = VolumeState::Deleting;
            Ok(())
        }
    });
    marked.await?.map(|_| Empty {}).ok_or_else(|| not_found(Resource::Volume, id))
}
