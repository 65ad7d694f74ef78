//! What a RunInstances call asks for, checked against everything that it names, before anything is made.

use super::super::volumes::{MAX_DISKS, check_device_name};
use super::super::{Api, Call, encryption, images, parse_id, snapshots, tags};
use super::interfaces::{self, PlannedInterface};
use super::{check_user_data, find_type};
use crate::error::{Error, combination, invalid, missing, not_found, required, unsupported};
use crate::instance_types::{self, InstanceType};
use crate::store::{BootFiles, ImageRecord, ImageSource, KeyPairRecord, KeyReference, MetadataOptions, Shutdown, Tags};
use crate::volume_types;
use hive_aws_types::ec2::{EbsBlockDevice, RunInstancesRequest};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::ImageId;

/// Instances of one call: bounds the work of a request; EC2's default quota is of this order.
pub const MAX_COUNT: i32 = 100;

pub struct Plan {
    pub min: usize,
    pub max: usize,
    pub image: ImageRecord,
    pub instance_type: &'static InstanceType,
    pub key: Option<KeyReference>,
    pub user_data: Option<String>,
    /// The primary one first.
    pub interfaces: Vec<PlannedInterface>,
    /// The root volume first, the others in the order of their device names.
    pub volumes: Vec<PlannedVolume>,
    pub metadata: MetadataOptions,
    pub shutdown_behavior: Shutdown,
    pub disable_api_termination: bool,
    pub disable_api_stop: bool,
    pub instance_tags: Tags,
    pub volume_tags: Tags,
}

pub struct PlannedVolume {
    pub device_name: String,
    pub source: ImageSource,
    pub iops: Option<i32>,
    pub throughput: Option<i32>,
    pub kms_key_id: Option<String>,
    pub boot: Option<BootFiles>,
}

impl Plan {
    pub async fn check(api: &Api, call: &Call, input: &RunInstancesRequest) -> Result<Self, Error> {
        refuse_unsupported(input)?;
        let (min, max) = check_counts(input)?;
        let instance_type = find_type(input.instance_type.as_deref().unwrap_or(instance_types::DEFAULT))?;
        let user_data = check_user_data(input.user_data.clone())?;
        check_placement(api, input)?;
        let metadata = check_metadata(input)?;
        let shutdown_behavior = check_shutdown(input.instance_initiated_shutdown_behavior.as_deref())?;
        let allowed = ["instance", "volume", "network-interface"];
        let instance_tags = tags::specified(&input.tag_specifications, "instance", &allowed)?;
        let volume_tags = tags::specified(&input.tag_specifications, "volume", &allowed)?;
        let image_id: ImageId = parse_id(Resource::Image, &required(input.image_id.clone(), "ImageId")?)?;
        let image = images::find_available(api, call, &image_id).await?;
        let volumes = plan_volumes(api, call, &image, input).await?;
        let key = match &input.key_name {
            Some(name) => Some(find_key(api, call, name).await?),
            None => None,
        };
        let interface_tags = tags::specified(&input.tag_specifications, "network-interface", &allowed)?;
        let network = api.stores.networks.load(&call.caller.account).await?;
        let interfaces = interfaces::plan(api, &network, input, max, instance_type, &interface_tags)?;
        Ok(Self {
            min,
            max,
            image,
            instance_type,
            key,
            user_data,
            interfaces,
            volumes,
            metadata,
            shutdown_behavior,
            disable_api_termination: input.disable_api_termination.unwrap_or(false),
            disable_api_stop: input.disable_api_stop.unwrap_or(false),
            instance_tags,
            volume_tags,
        })
    }
}

fn refuse_unsupported(input: &RunInstancesRequest) -> Result<(), Error> {
    let hibernates = input.hibernation_options.as_ref().is_some_and(|options| options.configured == Some(true));
    let enclave = input.enclave_options.as_ref().is_some_and(|options| options.enabled == Some(true));
    for (asked, what) in [
        (input.launch_template.is_some(), "Launch templates"),
        (input.iam_instance_profile.is_some(), "Instance profiles"),
        (input.instance_market_options.is_some(), "Spot instances"),
        (input.kernel_id.is_some() || input.ramdisk_id.is_some(), "Kernel and RAM disk images"),
        (!input.elastic_gpu_specification.is_empty(), "Elastic GPUs"),
        (!input.license_specifications.is_empty(), "License configurations"),
        (!input.secondary_interfaces.is_empty(), "Secondary interfaces"),
        (hibernates, "Hibernation"),
        (enclave, "Enclaves"),
    ] {
        if asked {
            return Err(unsupported(format!("{what} are not available.")));
        }
    }
    Ok(())
}

fn check_counts(input: &RunInstancesRequest) -> Result<(usize, usize), Error> {
    let (min, max) = (required(input.min_count, "MinCount")?, required(input.max_count, "MaxCount")?);
    if min < 1 {
        return Err(invalid("MinCount", min, "Expecting at least 1."));
    }
    if max < min {
        return Err(invalid("MaxCount", max, "MaxCount must not be smaller than MinCount."));
    }
    if min > MAX_COUNT {
        let reason = format!("You have requested more instances ({min}) than your limit of {MAX_COUNT} allows.");
        return Err(ApiError::LimitExceeded { resource: Resource::Instance, reason }.into());
    }
    let count = |n: i32| usize::try_from(n.min(MAX_COUNT)).unwrap_or(0);
    Ok((count(min), count(max)))
}

fn check_placement(api: &Api, input: &RunInstancesRequest) -> Result<(), Error> {
    let Some(placement) = &input.placement else { return Ok(()) };
    if let Some(zone) = placement.availability_zone.as_ref().filter(|zone| **zone != api.place.zone) {
        return Err(invalid("Placement.AvailabilityZone", zone, format!("Invalid availability zone: [{zone}]")));
    }
    if let Some(id) = placement.availability_zone_id.as_ref().filter(|id| **id != api.place.zone_id()) {
        return Err(invalid("Placement.AvailabilityZoneId", id, format!("Invalid availability zone id: [{id}]")));
    }
    if placement.tenancy.as_deref().is_some_and(|tenancy| tenancy != "default") || placement.host_id.is_some() {
        return Err(unsupported("Dedicated tenancy is not available."));
    }
    if placement.group_name.as_deref().is_some_and(|name| !name.is_empty()) || placement.group_id.is_some() {
        return Err(unsupported("Placement groups are not available."));
    }
    Ok(())
}

fn check_metadata(input: &RunInstancesRequest) -> Result<MetadataOptions, Error> {
    let mut options = MetadataOptions { enabled: true, token_required: false, hop_limit: 1, ipv6: false };
    let Some(asked) = &input.metadata_options else { return Ok(options) };
    match asked.http_endpoint.as_deref() {
        None | Some("enabled") => {}
        Some("disabled") => options.enabled = false,
        Some(other) => return Err(invalid("HttpEndpoint", other, "Expecting enabled or disabled.")),
    }
    match asked.http_tokens.as_deref() {
        None | Some("optional") => {}
        Some("required") => options.token_required = true,
        Some(other) => return Err(invalid("HttpTokens", other, "Expecting optional or required.")),
    }
    if let Some(limit) = asked.http_put_response_hop_limit {
        let fits = u8::try_from(limit).ok().filter(|limit| (1..=64).contains(limit));
        options.hop_limit = fits.ok_or_else(|| invalid("HttpPutResponseHopLimit", limit, "Expecting 1 to 64."))?;
    }
    match asked.http_protocol_ipv6.as_deref() {
        None | Some("disabled") => {}
        Some("enabled") => options.ipv6 = true,
        Some(other) => return Err(invalid("HttpProtocolIpv6", other, "Expecting enabled or disabled.")),
    }
    if asked.instance_metadata_tags.as_deref() == Some("enabled") {
        return Err(unsupported("Tags in the metadata service are not available."));
    }
    Ok(options)
}

pub fn check_shutdown(behavior: Option<&str>) -> Result<Shutdown, Error> {
    match behavior {
        None | Some("stop") => Ok(Shutdown::Stop),
        Some("terminate") => Ok(Shutdown::Terminate),
        Some(other) => Err(invalid("InstanceInitiatedShutdownBehavior", other, "Expecting stop or terminate.")),
    }
}

async fn find_key(api: &Api, call: &Call, name: &str) -> Result<KeyReference, Error> {
    let absent = || not_found(Resource::KeyPair, name);
    let found = match api.stores.key_pairs.get(&KeyPairRecord::key_of(&call.caller.account, name)).await {
        // A name too long to be anybody's key.
        Err(hive_bus::TableError::Store(hive_bus::StoreError::BadKey { .. })) => None,
        other => other?,
    };
    let pair = found.ok_or_else(absent)?.value;
    Ok(KeyReference { name: pair.name, public_key: pair.public_key })
}

/// The image's volumes with the call's changes: a mapping of a device that the image has changes it, `NoDevice` takes it out, any other adds
/// a volume.
async fn plan_volumes(
    api: &Api,
    call: &Call,
    image: &ImageRecord,
    input: &RunInstancesRequest,
) -> Result<Vec<PlannedVolume>, Error> {
    let mut planned = vec![(image.root_device_name.clone(), image.root.clone(), None::<&EbsBlockDevice>)];
    planned.extend(image.more_volumes.iter().map(|(device, source)| (device.clone(), source.clone(), None)));
    let mut named: Vec<&str> = Vec::new();
    for mapping in &input.block_device_mappings {
        let device = mapping.device_name.as_deref().ok_or_else(|| missing("BlockDeviceMapping.DeviceName"))?;
        check_device_name(device)?;
        if named.contains(&device) {
            return Err(combination(format!("The device '{device}' is used in more than one block-device mapping")));
        }
        named.push(device);
        let known = planned.iter().position(|(taken, _, _)| taken == device);
        if mapping.no_device.is_some() {
            match known {
                Some(0) => return Err(combination("The root device cannot be left out.")),
                Some(at) => drop(planned.remove(at)),
                None => {}
            }
            continue;
        }
        let Some(ebs) = &mapping.ebs else {
            return Err(unsupported("Only EBS volumes are available (no instance store)."));
        };
        match known {
            Some(at) => {
                let source = planned.get_mut(at).map(|(_, source, changed)| {
                    *changed = Some(ebs);
                    source
                });
                if let Some(source) = source {
                    override_source(source, ebs)?;
                }
            }
            None => {
                let snapshot = match &ebs.snapshot_id {
                    Some(id) => Some(snapshots::find_completed(api, call, &parse_id(Resource::Snapshot, id)?).await?),
                    None => None,
                };
                let mut source = ImageSource {
                    snapshot_id: snapshot.as_ref().map(|s| s.snapshot_id.clone()),
                    size_gib: snapshot.as_ref().map_or(0, |s| s.size_gib),
                    volume_type: volume_types::DEFAULT.into(),
                    iops: None,
                    throughput: None,
                    encrypted: snapshot.as_ref().is_some_and(|s| s.encrypted),
                    delete_on_termination: true,
                };
                if source.size_gib == 0 && ebs.volume_size.is_none() {
                    return Err(missing("BlockDeviceMapping.Ebs.VolumeSize"));
                }
                override_source(&mut source, ebs)?;
                planned.push((device.to_owned(), source, Some(ebs)));
            }
        }
    }
    if planned.len() > MAX_DISKS {
        let reason = format!("An instance has at most {MAX_DISKS} volumes.");
        return Err(ApiError::LimitExceeded { resource: Resource::Volume, reason }.into());
    }
    if let Some(more) = planned.get_mut(1..) {
        more.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let mut finished = Vec::with_capacity(planned.len());
    for (device_name, mut source, ebs) in planned {
        let kind = volume_types::check(Some(&source.volume_type), source.size_gib, source.iops, source.throughput, 1)?;
        let (encrypted, key) = ebs.map_or((None, None), |ebs| (ebs.encrypted, ebs.kms_key_id.as_deref()));
        let kms_key_id = encryption::key_for(api, call, encrypted, key, source.encrypted).await?;
        source.encrypted = kms_key_id.is_some();
        let boot = (device_name == image.root_device_name).then(|| image.boot.clone());
        let (iops, throughput) = (kind.iops, kind.throughput);
        finished.push(PlannedVolume { device_name, source, iops, throughput, kms_key_id, boot });
    }
    Ok(finished)
}

/// Changes a volume of an image as a block-device mapping says.
pub fn override_source(source: &mut ImageSource, ebs: &EbsBlockDevice) -> Result<(), Error> {
    if let Some(snapshot) = &ebs.snapshot_id
        && source.snapshot_id.as_ref().is_none_or(|own| own.as_str() != snapshot)
    {
        return Err(invalid("SnapshotId", snapshot, "The snapshot of a device of the image cannot be changed."));
    }
    if let Some(size) = ebs.volume_size {
        let smallest = source.size_gib;
        source.size_gib = u32::try_from(size).ok().filter(|size| *size >= smallest).ok_or_else(|| {
            let reason = format!("Volume of size {size}GB is smaller than snapshot, expect size >= {smallest}GB");
            invalid("VolumeSize", size, reason)
        })?;
    }
    if let Some(volume_type) = &ebs.volume_type {
        // What was chosen for another type does not hold for this one.
        if *volume_type != source.volume_type {
            (source.iops, source.throughput) = (None, None);
        }
        source.volume_type.clone_from(volume_type);
    }
    source.iops = ebs.iops.or(source.iops);
    source.throughput = ebs.throughput.or(source.throughput);
    if let Some(delete) = ebs.delete_on_termination {
        source.delete_on_termination = delete;
    }
    Ok(())
}
