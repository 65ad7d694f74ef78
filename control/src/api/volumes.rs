//! Volumes: made, shown, deleted, attached and detached. The node's reconciler makes and deletes the bytes.

use super::filter::{Filterable, Filters};
use super::page::Page;
use super::{Api, Call, idempotency, iso, parse_id, parse_ids, tags};
use crate::error::{Error, combination, invalid, missing, not_found, required, unsupported};
use crate::random;
use crate::store::{
    Attachment, Disk, DrawnIds, InstanceRecord, InstanceState, Tags, Version, VolumeRecord, VolumeState,
    account_prefix, key,
};
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    AttachVolumeRequest, CreateVolumeRequest, DeleteVolumeRequest, DescribeVolumesRequest, DescribeVolumesResult,
    DetachVolumeRequest, Volume, VolumeAttachment,
};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::{InstanceId, SnapshotId, VolumeId};
use jiff::Timestamp;
use std::sync::Arc;

/// EC2's limit of attachments on small instance types; the root volume counts.
pub const MAX_DISKS: usize = 28;

/// A volume's kind and performance as EC2 bounds them.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    pub volume_type: String,
    pub iops: Option<i32>,
    pub throughput: Option<i32>,
}

/// Sizes in GiB that a type allows.
fn size_limits(volume_type: &str) -> Option<std::ops::RangeInclusive<u32>> {
    Some(match volume_type {
        "gp2" | "gp3" => 1..=16_384,
        "io1" | "io2" => 4..=16_384,
        "st1" | "sc1" => 125..=16_384,
        "standard" => 1..=1024,
        _ => return None,
    })
}

/// Checks type, size and performance; a volume from a snapshot is at least `min_gib`.
pub fn check_kind(
    volume_type: Option<&str>,
    size_gib: u32,
    iops: Option<i32>,
    throughput: Option<i32>,
    min_gib: u32,
) -> Result<Kind, Error> {
    let volume_type = volume_type.unwrap_or("gp2");
    let limits = size_limits(volume_type)
        .ok_or_else(|| invalid("VolumeType", volume_type, "Expecting standard, io1, io2, gp2, gp3, sc1 or st1."))?;
    if !limits.contains(&size_gib) {
        let reason = format!("A {volume_type} volume has {} to {} GiB.", limits.start(), limits.end());
        return Err(invalid("Size", size_gib, reason));
    }
    if size_gib < min_gib {
        let reason = format!("The snapshot needs a volume of at least {min_gib} GiB.");
        return Err(invalid("Size", size_gib, reason));
    }
    if throughput.is_some() && volume_type != "gp3" {
        return Err(combination(format!("The parameter Throughput is not supported for {volume_type} volumes.")));
    }
    let (iops, throughput) = match (volume_type, iops) {
        ("gp2", None) => (Some(i32::try_from(size_gib * 3).unwrap_or(i32::MAX).clamp(100, 16_000)), None),
        ("gp3", iops) => (Some(iops.unwrap_or(3000)), Some(throughput.unwrap_or(125))),
        ("io1" | "io2", Some(iops)) => (Some(iops), None),
        ("io1" | "io2", None) => return Err(missing("Iops")),
        (_, None) => (None, None),
        (other, Some(_)) => {
            return Err(combination(format!("The parameter iops is not supported for {other} volumes.")));
        }
    };
    if let Some(iops) = iops.filter(|iops| !(100..=256_000).contains(iops)) {
        return Err(invalid("Iops", iops, "Expecting 100 to 256000."));
    }
    Ok(Kind { volume_type: volume_type.into(), iops, throughput })
}

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
    if input.encrypted == Some(true) || input.kms_key_id.is_some() {
        return Err(unsupported("Encrypted volumes are not available."));
    }
    if input.multi_attach_enabled == Some(true) {
        return Err(unsupported("Multi-attach is not available."));
    }
    let snapshot = match &input.snapshot_id {
        Some(id) => {
            Some(super::images::find_snapshot(&api, &call, &parse_id::<SnapshotId>(Resource::Snapshot, id)?).await?)
        }
        None => None,
    };
    let min_gib = snapshot.as_ref().map_or(1, |snapshot| snapshot.size_gib);
    let size_gib = match input.size {
        Some(size) => u32::try_from(size).map_err(|_| invalid("Size", size, "A size is positive."))?,
        None => snapshot.as_ref().ok_or_else(|| missing("Size"))?.size_gib,
    };
    let kind = check_kind(input.volume_type.as_deref(), size_gib, input.iops, input.throughput, min_gib)?;
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
        volume_type: kind.volume_type,
        iops: kind.iops,
        throughput: kind.throughput,
        snapshot_id: snapshot.as_ref().map(|s| s.snapshot_id.clone()),
        blockd_image: snapshot.map(|s| s.blockd_image),
        created_at: call.now,
        state: VolumeState::Creating,
        fault: None,
        attachment: None,
        tags,
    };
    if api.stores.volumes.create(&record.key(), &record).await? {
        return Ok(describe(&api, &record));
    }
    // A repeated token.
    let made = find(&api, &call, &record.volume_id).await?;
    Ok(describe(&api, &made))
}

async fn find(api: &Api, call: &Call, id: &VolumeId) -> Result<VolumeRecord, Error> {
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
        encrypted: Some(false),
        iops: volume.iops,
        multi_attach_enabled: Some(false),
        size: i32::try_from(volume.size_gib).ok(),
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
            "encrypted" | "multi-attach-enabled" => vec!["false".into()],
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

fn incorrect_state(volume: &VolumeRecord) -> Error {
    let reason = format!("{} is '{}'.", volume.volume_id, volume.state_name());
    ApiError::IncorrectState { reason }.into()
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

/// `/dev/sd[b-z]`, `/dev/sda1`, `/dev/xvd[a-z]`, `/dev/vd[a-z]`, with a partition number at most.
pub fn check_device_name(name: &str) -> Result<(), Error> {
    let fits = name.strip_prefix("/dev/").and_then(|rest| {
        let rest = ["xvd", "sd", "vd"].iter().find_map(|stem| rest.strip_prefix(stem))?;
        let (letter, number) = rest.split_at_checked(1)?;
        let is_letter = letter.bytes().all(|b| b.is_ascii_lowercase());
        (is_letter && number.len() <= 2 && number.bytes().all(|b| b.is_ascii_digit())).then_some(())
    });
    fits.ok_or_else(|| invalid("Device", name, format!("{name} is not a valid EBS device name.")))
}

fn stopped_only(instance: &InstanceRecord, verb: &str) -> Result<(), Error> {
    if instance.state == InstanceState::Stopped {
        return Ok(());
    }
    let (id, state) = (&instance.instance_id, instance.state.name());
    let reason = format!("Instance '{id}' is '{state}'. A volume can be {verb} only while it is 'stopped'.");
    Err(ApiError::IncorrectInstanceState { reason }.into())
}

/// Claims the volume first, then enters it at the instance; a worker that dies in between leaves a claim that the sweeper undoes.
pub async fn attach_volume(api: Arc<Api>, call: Call, input: AttachVolumeRequest) -> Result<VolumeAttachment, Error> {
    let volume_id: VolumeId = parse_id(Resource::Volume, &required(input.volume_id, "VolumeId")?)?;
    let instance_id: InstanceId = parse_id(Resource::Instance, &required(input.instance_id, "InstanceId")?)?;
    let device_name = required(input.device, "Device")?;
    check_device_name(&device_name)?;
    let (volume_key, instance_key) = (key(&call.caller.account, &volume_id), key(&call.caller.account, &instance_id));
    let instance = api.stores.instances.get(&instance_key).await?;
    let instance = instance.ok_or_else(|| not_found(Resource::Instance, &instance_id))?.value;
    stopped_only(&instance, "attached")?;

    let attachment = Attachment {
        instance_id: instance_id.clone(),
        device_name: device_name.clone(),
        attach_time: call.now,
        delete_on_termination: false,
    };
    let claimed = api.stores.volumes.modify(&volume_key, |volume| {
        if let Some(present) = &volume.attachment {
            return Err(in_use(volume, present));
        }
        if volume.state != VolumeState::Ready {
            return Err(incorrect_state(volume));
        }
        if volume.zone != instance.zone || volume.node_id != instance.node_id {
            let reason =
                format!("The volume '{volume_id}' is not in the same availability zone as instance '{instance_id}'");
            return Err(ApiError::Unavailable { resource: Resource::Volume, reason }.into());
        }
        volume.attachment = Some(attachment.clone());
        Ok(())
    });
    let (volume, ()) = claimed.await?.ok_or_else(|| not_found(Resource::Volume, &volume_id))?;

    let entered = api.stores.instances.modify(&instance_key, |instance| {
        stopped_only(instance, "attached")?;
        if instance.disks.iter().any(|disk| disk.device_name == device_name) {
            return Err(invalid("Device", &device_name, format!("{device_name} is already in use.")));
        }
        if instance.disks.len() >= MAX_DISKS {
            let reason = format!("An instance has at most {MAX_DISKS} volumes.");
            return Err(ApiError::LimitExceeded { resource: Resource::Volume, reason }.into());
        }
        instance.disks.push(Disk {
            device_name: device_name.clone(),
            volume_id: volume_id.clone(),
            delete_on_termination: false,
            attach_time: call.now,
        });
        Ok(())
    });
    let refused = match entered.await {
        Ok(Some(_)) => return Ok(describe_attachment(&volume, &attachment, "attached")),
        Ok(None) => not_found(Resource::Instance, &instance_id),
        Err(error) => error,
    };
    release(&api, &volume_key, &instance_id, call.now).await?;
    Err(refused)
}

/// Frees a volume that is claimed for `instance_id` since `since`.
async fn release(api: &Api, volume_key: &str, instance_id: &InstanceId, since: Timestamp) -> Result<(), Error> {
    let freed = api.stores.volumes.modify(volume_key, |volume| {
        let claim = volume.attachment.as_ref();
        if claim.is_some_and(|claim| claim.instance_id == *instance_id && claim.attach_time == since) {
            volume.attachment = None;
        }
        Ok::<_, Error>(())
    });
    freed.await.map(drop)
}

pub async fn detach_volume(api: Arc<Api>, call: Call, input: DetachVolumeRequest) -> Result<VolumeAttachment, Error> {
    let volume_id: VolumeId = parse_id(Resource::Volume, &required(input.volume_id, "VolumeId")?)?;
    let named = input.instance_id.as_deref().map(|id| parse_id::<InstanceId>(Resource::Instance, id)).transpose()?;
    let volume = find(&api, &call, &volume_id).await?;
    let not_attached = || {
        let reason = format!("Volume '{volume_id}' is in the 'available' state.");
        Error::from(ApiError::IncorrectState { reason })
    };
    let attachment = volume.attachment.clone().ok_or_else(not_attached)?;
    if named.is_some_and(|id| id != attachment.instance_id)
        || input.device.is_some_and(|device| device != attachment.device_name)
    {
        return Err(invalid("InstanceId", &attachment.instance_id, "The volume is attached elsewhere."));
    }
    let instance_key = key(&call.caller.account, &attachment.instance_id);
    let removed = api.stores.instances.modify(&instance_key, |instance| {
        stopped_only(instance, "detached")?;
        if instance.root_device_name == attachment.device_name {
            let reason = format!("Unable to detach root volume '{volume_id}' from instance '{}'", instance.instance_id);
            return Err(Error::from(ApiError::OperationNotPermitted { reason }));
        }
        instance.disks.retain(|disk| disk.volume_id != volume_id);
        Ok(())
    });
    removed.await?;
    release(&api, &volume.key(), &attachment.instance_id, attachment.attach_time).await?;
    Ok(describe_attachment(&volume, &attachment, "detaching"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names() {
        for good in ["/dev/sdf", "/dev/sda1", "/dev/xvda", "/dev/vdb"] {
            assert!(check_device_name(good).is_ok(), "{good}");
        }
        for bad in ["", "sdf", "/dev/", "/dev/sd", "/dev/sdF", "/dev/sdf123", "/dev/nvme0n1", "/dev/sdé"] {
            assert!(check_device_name(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn kinds_follow_ec2() {
        let kind = |t, size, iops| check_kind(t, size, iops, None, 1);
        assert_eq!(kind(None, 8, None).expect("gp2").iops, Some(100));
        assert_eq!(kind(Some("gp3"), 8, None).expect("gp3").throughput, Some(125));
        for bad in [(Some("gp2"), 0, None), (Some("io1"), 8, None), (Some("gp9"), 8, None), (Some("st1"), 8, None)] {
            assert!(kind(bad.0, bad.1, bad.2).is_err(), "{bad:?}");
        }
        assert!(check_kind(None, 8, None, None, 9).is_err());
    }
}
