//! CreateImage: an image of an instance, from snapshots of its volumes at one instant. A running guest is powered off for it by its
//! node, and boots again; with NoReboot, or when it is stopped already, the instant is the call's.

use super::super::snapshots::{self, Wanted};
use super::super::{Api, Call, instances, parse_id, tags, volumes};
use super::{check_new, source_of};
use crate::error::{Error, combination, invalid, missing, not_found, required, unsupported};
use crate::random;
use crate::store::{
    ImageRecord, ImageSource, Imaging, InstanceRecord, InstanceState, Origin, SnapshotRecord, Tags, Version,
    VolumeRecord,
};
use hive_aws_types::ec2::{BlockDeviceMapping, CreateImageRequest, CreateImageResult};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::{ImageId, InstanceId, SnapshotId};
use std::sync::Arc;

/// A volume of the image to be: where it is, how it is described, and which volume a snapshot is taken of for it.
struct Part {
    device_name: String,
    source: ImageSource,
    volume: Option<VolumeRecord>,
}

/// The instance's volumes as the image will have them.
async fn parts_of(api: &Api, call: &Call, instance: &InstanceRecord) -> Result<Vec<Part>, Error> {
    let volumes = snapshots::create::volumes_of(api, call, instance).await?;
    let parts = volumes.into_iter().map(|volume| {
        let attachment = volume.attachment.as_ref();
        let is_provisioned = matches!(volume.volume_type.as_str(), "gp3" | "io1" | "io2");
        Part {
            device_name: attachment.map(|a| a.device_name.clone()).unwrap_or_default(),
            source: ImageSource {
                snapshot_id: None,
                size_gib: volume.size_gib,
                volume_type: volume.volume_type.clone(),
                iops: volume.iops.filter(|_| is_provisioned),
                throughput: volume.throughput,
                encrypted: volume.encrypted,
                delete_on_termination: attachment.is_none_or(|a| a.delete_on_termination),
            },
            volume: Some(volume),
        }
    });
    Ok(parts.collect())
}

/// Applies the call's mappings: they change a volume of the instance, leave one out, or add one.
async fn change(
    api: &Api,
    call: &Call,
    root: &str,
    parts: &mut Vec<Part>,
    mapping: &BlockDeviceMapping,
) -> Result<(), Error> {
    let device = mapping.device_name.clone().ok_or_else(|| missing("BlockDeviceMapping.DeviceName"))?;
    volumes::check_device_name(&device)?;
    let known = parts.iter().position(|part| part.device_name == device);
    if mapping.no_device.is_some() {
        if device == root {
            return Err(combination("The root device cannot be left out."));
        }
        parts.retain(|part| part.device_name != device);
        return Ok(());
    }
    let Some(ebs) = &mapping.ebs else {
        return Err(unsupported("Only EBS volumes are available (no instance store)."));
    };
    match known.and_then(|at| parts.get_mut(at)) {
        Some(_) if ebs.encrypted.is_some() || ebs.kms_key_id.is_some() => {
            Err(invalid("BlockDeviceMapping.Ebs.Encrypted", &device, "A volume of the instance stays as it is."))
        }
        Some(part) => instances::override_source(&mut part.source, ebs),
        None => {
            let snapshot = match &ebs.snapshot_id {
                Some(id) => Some(snapshots::find_completed(api, call, &parse_id(Resource::Snapshot, id)?).await?),
                None => None,
            };
            parts.push(Part { device_name: device, source: source_of(ebs, snapshot.as_ref())?, volume: None });
            Ok(())
        }
    }
}

pub async fn create_image(api: Arc<Api>, call: Call, input: CreateImageRequest) -> Result<CreateImageResult, Error> {
    let id: InstanceId = parse_id(Resource::Instance, &required(input.instance_id, "InstanceId")?)?;
    let name = required(input.name, "Name")?;
    check_new(&api, &call, &name, input.description.as_deref()).await?;
    let allowed = ["image", "snapshot"];
    let image_tags = tags::specified(&input.tag_specifications, "image", &allowed)?;
    let snapshot_tags = tags::specified(&input.tag_specifications, "snapshot", &allowed)?;
    if input.snapshot_location.as_deref() == Some("local") {
        return Err(unsupported("Snapshots are kept in the region."));
    }
    let instance = instances::find(&api, &call, &id).await?;
    check_state(&instance)?;
    let mut parts = parts_of(&api, &call, &instance).await?;
    for mapping in &input.block_device_mappings {
        change(&api, &call, &instance.root_device_name, &mut parts, mapping).await?;
    }

    let image_id = ImageId::from_random(random::draw()?);
    let wanted: Vec<Wanted> = parts
        .iter()
        .filter_map(|part| part.volume.clone())
        .map(|volume| Wanted {
            description: format!("Created by CreateImage({id}) for {image_id}"),
            tags: snapshot_tags.clone(),
            volume,
        })
        .collect();
    let powers_off = instance.state == InstanceState::Running && input.no_reboot != Some(true);
    let taken = if powers_off {
        wanted.iter().map(|one| one.record(Origin::Instance(id.clone()), call.now)).collect::<Result<_, _>>()?
    } else {
        snapshots::take(&api, &call, &wanted).await?
    };
    let image = image_of(&call, image_id, name, input.description, &instance, parts, &taken, image_tags)?;
    if powers_off {
        // The instance's record last: it is what makes the node act. Snapshots of an instance that does not name them fail.
        for record in &taken {
            api.stores.snapshots.create(&record.key(), record).await?;
        }
    }
    api.stores.images.create(&image.key(), &image).await?;
    if powers_off && let Err(refused) = ask_node(&api, &call, &instance, &taken).await {
        api.stores.images.delete_if(image.key(), |_| Ok::<_, Error>(true)).await?;
        for record in &taken {
            api.stores.snapshots.delete_if(record.key(), |_| Ok::<_, Error>(true)).await?;
        }
        return Err(refused);
    }
    Ok(CreateImageResult { image_id: Some(image.image_id.to_string()) })
}

fn check_state(instance: &InstanceRecord) -> Result<(), Error> {
    let (id, state) = (&instance.instance_id, instance.state.name());
    let reason = match instance.state {
        InstanceState::Running | InstanceState::Stopped if instance.imaging.is_none() => return Ok(()),
        InstanceState::Running | InstanceState::Stopped => format!("Another image of instance '{id}' is being made."),
        _ => format!("Instance '{id}' is '{state}', neither 'running' nor 'stopped'."),
    };
    Err(ApiError::IncorrectInstanceState { reason }.into())
}

/// Enters at the instance what its node is to take snapshots of.
async fn ask_node(api: &Api, call: &Call, instance: &InstanceRecord, taken: &[SnapshotRecord]) -> Result<(), Error> {
    let pairs = taken.iter().filter_map(|record| Some((record.volume_id.clone()?, record.snapshot_id.clone())));
    let imaging = Imaging { snapshots: pairs.collect(), since: call.now };
    let entered = api.stores.instances.modify(instance.key(), |instance| {
        check_state(instance)?;
        instance.imaging = Some(imaging.clone());
        Ok::<_, Error>(())
    });
    entered.await?.map(drop).ok_or_else(|| not_found(Resource::Instance, &instance.instance_id))
}

#[expect(clippy::too_many_arguments, reason = "the parts of a record")]
fn image_of(
    call: &Call,
    image_id: ImageId,
    name: String,
    description: Option<String>,
    instance: &InstanceRecord,
    parts: Vec<Part>,
    taken: &[SnapshotRecord],
    tags: Tags,
) -> Result<ImageRecord, Error> {
    let snapshot_of = |volume: &VolumeRecord| -> Option<SnapshotId> {
        taken.iter().find(|s| s.volume_id.as_ref() == Some(&volume.volume_id)).map(|s| s.snapshot_id.clone())
    };
    let mut root = None;
    let mut more_volumes = Vec::new();
    for part in parts {
        let of_volume = part.volume.as_ref().and_then(snapshot_of);
        let source = ImageSource { snapshot_id: of_volume.or(part.source.snapshot_id.clone()), ..part.source };
        if part.device_name == instance.root_device_name {
            root = Some(source);
        } else {
            more_volumes.push((part.device_name, source));
        }
    }
    Ok(ImageRecord {
        version: Version,
        image_id,
        account: call.caller.account.clone(),
        name,
        description,
        public: false,
        owner_alias: None,
        architecture: "x86_64".into(),
        root_device_name: instance.root_device_name.clone(),
        root: root.ok_or_else(|| Error::Fault(format!("{} has no root volume", instance.instance_id)))?,
        more_volumes,
        boot: instance.boot.clone(),
        created_at: call.now,
        tags,
    })
}
