//! AttachVolume and DetachVolume, of stopped instances.

use super::super::{Api, Call, parse_id};
use super::{MAX_DISKS, describe_attachment, find, in_use, wrong_state};
use crate::error::{Error, invalid, not_found, required};
use crate::store::{Attachment, Disk, InstanceRecord, InstanceState, VolumeState, key};
use hive_aws_types::ec2::{AttachVolumeRequest, DetachVolumeRequest, VolumeAttachment};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::{InstanceId, VolumeId};
use jiff::Timestamp;
use std::sync::Arc;

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
            return Err(wrong_state(volume));
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
}
