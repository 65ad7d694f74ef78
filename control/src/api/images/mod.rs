//! Images: registered from a snapshot, made of an instance, shown, deregistered. The operator's import makes the first ones.

pub mod create;

use super::filter::{Filterable, Filters};
use super::page::Page;
use super::{Api, Call, iso, parse_id, parse_ids, snapshots, tags};
use crate::error::{Error, combination, invalid, missing, not_found, required, unsupported};
use crate::store::{ImageRecord, ImageSource, SnapshotRecord, SnapshotState, Tags, Version, account_prefix, key};
use crate::{random, volume_types};
use hive_aws_types::ec2::{
    BlockDeviceMapping, DeleteSnapshotReturnCode, DeregisterImageRequest, DeregisterImageResult, DescribeImagesRequest,
    DescribeImagesResult, EbsBlockDevice, Image, RegisterImageRequest, RegisterImageResult,
};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::{AccountId, ImageId};
use std::sync::Arc;

/// Where the root volume is when a registration does not say.
pub const DEFAULT_ROOT_DEVICE: &str = "/dev/xvda";
const MAX_DESCRIPTION_CHARS: usize = 255;

/// The image, if the caller may launch from it.
pub async fn find(api: &Api, call: &Call, id: &ImageId) -> Result<ImageRecord, Error> {
    let own = api.stores.images.get(&key(&call.caller.account, id)).await?;
    if let Some(own) = own {
        return Ok(own.value);
    }
    let all = api.stores.images.range("").await?;
    let shared = all.into_iter().map(|record| record.value).find(|image| image.image_id == *id && image.public);
    shared.ok_or_else(|| not_found(Resource::Image, id))
}

/// How far an image is. It is no state of its own: it follows from the snapshots that it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ImageState {
    Pending,
    Available,
    Failed,
}

impl ImageState {
    fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Available => "available",
            Self::Failed => "failed",
        }
    }
}

/// A snapshot that is not there any more was completed once: nothing deletes one of an image that is made.
fn state_of(image: &ImageRecord, snapshots: &[SnapshotRecord]) -> ImageState {
    let states = |state| snapshots.iter().any(|s| s.state == state && image.uses(&s.snapshot_id));
    if states(SnapshotState::Error) {
        ImageState::Failed
    } else if states(SnapshotState::Pending) {
        ImageState::Pending
    } else {
        ImageState::Available
    }
}

/// [`find`], and it can be launched from.
pub async fn find_available(api: &Api, call: &Call, id: &ImageId) -> Result<ImageRecord, Error> {
    let image = find(api, call, id).await?;
    match state_of(&image, &snapshots::all(api).await?) {
        ImageState::Available => Ok(image),
        state => {
            let reason = format!("The image {id} is '{}', not 'available'.", state.name());
            Err(ApiError::Unavailable { resource: Resource::Image, reason }.into())
        }
    }
}

/// The checks that registering and making an image have in common.
async fn check_new(api: &Api, call: &Call, name: &str, description: Option<&str>) -> Result<(), Error> {
    check_name(name)?;
    if description.is_some_and(|text| text.chars().count() > MAX_DESCRIPTION_CHARS) {
        return Err(invalid("Description", "", "A description has at most 255 characters."));
    }
    let all = api.stores.images.range(&account_prefix(&call.caller.account)).await?;
    if all.iter().any(|image| image.value.name == name) {
        return Err(ApiError::Duplicate { resource: Resource::Image, id: name.to_owned() }.into());
    }
    Ok(())
}

/// EC2: 3 to 128 of letters, digits and `()[] ./-'@_`.
fn check_name(name: &str) -> Result<(), Error> {
    let is_fit = |b: u8| b.is_ascii_alphanumeric() || b"()[] ./-'@_".contains(&b);
    if (3..=128).contains(&name.len()) && name.bytes().all(is_fit) {
        return Ok(());
    }
    let reason = "AMI names must be between 3 and 128 characters long, and may contain letters, numbers, '(', ')', '.', '-', '/' and '_'";
    Err(invalid("Name", name, reason))
}

pub async fn register_image(
    api: Arc<Api>,
    call: Call,
    input: RegisterImageRequest,
) -> Result<RegisterImageResult, Error> {
    let name = required(input.name, "Name")?;
    check_new(&api, &call, &name, input.description.as_deref()).await?;
    let tags = tags::specified(&input.tag_specifications, "image", &["image", "snapshot"])?;
    if input.image_location.is_some() {
        return Err(unsupported("Images are registered from snapshots, not from S3."));
    }
    if let Some(other) = input.architecture.as_deref().filter(|architecture| *architecture != "x86_64") {
        return Err(invalid("Architecture", other, "Only x86_64 runs here."));
    }
    if let Some(other) = input.virtualization_type.as_deref().filter(|kind| *kind != "hvm") {
        return Err(invalid("VirtualizationType", other, "Only hvm runs here."));
    }
    let root_device_name = input.root_device_name.unwrap_or_else(|| DEFAULT_ROOT_DEVICE.into());
    super::volumes::check_device_name(&root_device_name)?;
    let mut root = None;
    let mut more_volumes = Vec::new();
    for mapping in &input.block_device_mappings {
        let device = mapping.device_name.clone().ok_or_else(|| missing("BlockDeviceMapping.DeviceName"))?;
        super::volumes::check_device_name(&device)?;
        let ebs = mapping.ebs.as_ref().ok_or_else(|| missing("BlockDeviceMapping.Ebs"))?;
        let snapshot = match &ebs.snapshot_id {
            Some(id) => Some(snapshots::find_completed(&api, &call, &parse_id(Resource::Snapshot, id)?).await?),
            None => None,
        };
        let source = source_of(ebs, snapshot.as_ref())?;
        if device == root_device_name {
            let snapshot = snapshot.ok_or_else(|| missing("BlockDeviceMapping.Ebs.SnapshotId"))?;
            let boot = snapshot.boot.ok_or_else(|| {
                let id = &snapshot.snapshot_id;
                unsupported(format!("The snapshot {id} descends from no image: there is no kernel to boot it with."))
            })?;
            root = Some((source, boot));
        } else if more_volumes.iter().any(|(taken, _)| *taken == device) {
            return Err(combination(format!("The device '{device}' is used in more than one block-device mapping")));
        } else {
            more_volumes.push((device, source));
        }
    }
    let (root, boot) =
        root.ok_or_else(|| combination(format!("No snapshot is mapped to the root device {root_device_name}")))?;
    let record = ImageRecord {
        version: Version,
        image_id: ImageId::from_random(random::draw()?),
        account: call.caller.account.clone(),
        name,
        description: input.description,
        public: false,
        owner_alias: None,
        architecture: "x86_64".into(),
        root_device_name,
        root,
        more_volumes,
        boot,
        created_at: call.now,
        tags,
    };
    api.stores.images.create(&record.key(), &record).await?;
    // A snapshot that is being deleted was so before its deletion could see this image.
    for id in record.sources().filter_map(|source| source.snapshot_id.as_ref()) {
        if let Err(gone) = snapshots::find_completed(&api, &call, id).await {
            api.stores.images.delete_if(record.key(), |_| Ok::<_, Error>(true)).await?;
            return Err(gone);
        }
    }
    Ok(RegisterImageResult { image_id: Some(record.image_id.to_string()) })
}

fn source_of(ebs: &EbsBlockDevice, snapshot: Option<&SnapshotRecord>) -> Result<ImageSource, Error> {
    let size_gib = match ebs.volume_size {
        Some(size) => u32::try_from(size).map_err(|_| invalid("VolumeSize", size, "A size is positive."))?,
        None => snapshot.ok_or_else(|| missing("BlockDeviceMapping.Ebs.VolumeSize"))?.size_gib,
    };
    let min_gib = snapshot.map_or(1, |s| s.size_gib);
    let kind = volume_types::check(ebs.volume_type.as_deref(), size_gib, ebs.iops, ebs.throughput, min_gib)?;
    Ok(ImageSource {
        snapshot_id: snapshot.map(|s| s.snapshot_id.clone()),
        size_gib,
        volume_type: kind.volume_type,
        // What the type gives by itself it gives to each volume by its size.
        iops: ebs.iops,
        throughput: ebs.throughput,
        encrypted: ebs.encrypted == Some(true) || snapshot.is_some_and(|s| s.encrypted),
        delete_on_termination: ebs.delete_on_termination.unwrap_or(true),
    })
}

fn describe(image: &ImageRecord, state: ImageState) -> Image {
    let mapping = |device: &str, source: &ImageSource| BlockDeviceMapping {
        device_name: Some(device.into()),
        ebs: Some(EbsBlockDevice {
            delete_on_termination: Some(source.delete_on_termination),
            encrypted: Some(source.encrypted),
            iops: source.iops,
            throughput: source.throughput,
            snapshot_id: source.snapshot_id.as_ref().map(ToString::to_string),
            volume_size: i32::try_from(source.size_gib).ok(),
            volume_type: Some(source.volume_type.clone()),
            ..Default::default()
        }),
        ..Default::default()
    };
    let mut mappings = vec![mapping(&image.root_device_name, &image.root)];
    mappings.extend(image.more_volumes.iter().map(|(device, source)| mapping(device, source)));
    Image {
        architecture: Some(image.architecture.clone()),
        block_device_mappings: mappings,
        creation_date: Some(iso(image.created_at)),
        description: image.description.clone(),
        ena_support: Some(false),
        hypervisor: Some("xen".into()),
        image_id: Some(image.image_id.to_string()),
        image_location: Some(format!("{}/{}", image.account, image.name)),
        image_owner_alias: image.owner_alias.clone(),
        image_type: Some("machine".into()),
        name: Some(image.name.clone()),
        owner_id: Some(image.account.to_string()),
        platform_details: Some("Linux/UNIX".into()),
        public: Some(image.public),
        root_device_name: Some(image.root_device_name.clone()),
        root_device_type: Some("ebs".into()),
        state: Some(state.name().into()),
        tags: tags::to_api(&image.tags),
        usage_operation: Some("RunInstances".into()),
        virtualization_type: Some("hvm".into()),
        ..Default::default()
    }
}

/// An image and how far it is.
struct Seen(ImageRecord, ImageState);

impl Filterable for Seen {
    const NAMES: &'static [&'static str] = &[
        "architecture",
        "block-device-mapping.device-name",
        "block-device-mapping.snapshot-id",
        "block-device-mapping.volume-size",
        "block-device-mapping.volume-type",
        "creation-date",
        "description",
        "ena-support",
        "hypervisor",
        "image-id",
        "image-type",
        "is-public",
        "name",
        "owner-alias",
        "owner-id",
        "platform",
        "platform-details",
        "root-device-name",
        "root-device-type",
        "state",
        "virtualization-type",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let Self(image, state) = self;
        let sources = || image.sources();
        match name {
            "architecture" => vec![image.architecture.clone()],
            "block-device-mapping.device-name" => {
                let more = image.more_volumes.iter().map(|(device, _)| device.clone());
                std::iter::once(image.root_device_name.clone()).chain(more).collect()
            }
            "block-device-mapping.snapshot-id" => {
                sources().filter_map(|s| s.snapshot_id.as_ref()).map(ToString::to_string).collect()
            }
            "block-device-mapping.volume-size" => sources().map(|s| s.size_gib.to_string()).collect(),
            "block-device-mapping.volume-type" => sources().map(|s| s.volume_type.clone()).collect(),
            "creation-date" => vec![iso(image.created_at)],
            "description" => image.description.iter().cloned().collect(),
            "ena-support" => vec!["false".into()],
            "hypervisor" => vec!["xen".into()],
            "image-id" => vec![image.image_id.to_string()],
            "image-type" => vec!["machine".into()],
            "is-public" => vec![image.public.to_string()],
            "name" => vec![image.name.clone()],
            "owner-alias" => image.owner_alias.iter().cloned().collect(),
            "owner-id" => vec![image.account.to_string()],
            "platform-details" => vec!["Linux/UNIX".into()],
            "root-device-name" => vec![image.root_device_name.clone()],
            "root-device-type" => vec!["ebs".into()],
            "state" => vec![state.name().into()],
            "virtualization-type" => vec!["hvm".into()],
            // Only Windows images have a platform.
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.0.tags)
    }
}

fn owned_by(image: &ImageRecord, owner: &str, caller: &AccountId) -> bool {
    match owner {
        "self" => image.account == *caller,
        alias @ ("amazon" | "aws-marketplace") => image.owner_alias.as_deref() == Some(alias),
        account => image.account.as_str() == account,
    }
}

pub async fn describe_images(
    api: Arc<Api>,
    call: Call,
    input: DescribeImagesRequest,
) -> Result<DescribeImagesResult, Error> {
    let ids: Vec<ImageId> = parse_ids(Resource::Image, &input.image_ids)?;
    let page = Page::check(input.max_results, input.next_token.as_deref(), 1..=1000, !ids.is_empty())?;
    let filters = Filters::check::<Seen>(&input.filters)?;
    let caller = &call.caller.account;
    let all = api.stores.images.range("").await?;
    let mut all: Vec<ImageRecord> = all.into_iter().map(|record| record.value).collect();
    all.retain(|image| image.public || image.account == *caller);
    if let Some(absent) = ids.iter().find(|id| !all.iter().any(|image| image.image_id == **id)) {
        return Err(not_found(Resource::Image, absent));
    }
    let may_launch = |image: &ImageRecord, user: &str| match user {
        "all" => image.public,
        "self" => !image.public && image.account == *caller,
        account => image.account.as_str() == account,
    };
    let snapshots = snapshots::all(&api).await?;
    let seen = |image: ImageRecord| {
        let state = state_of(&image, &snapshots);
        Seen(image, state)
    };
    let mut all: Vec<Seen> = all.into_iter().map(seen).collect();
    all.retain(|seen| {
        let image = &seen.0;
        (ids.is_empty() || ids.contains(&image.image_id))
            && (input.owners.is_empty() || input.owners.iter().any(|owner| owned_by(image, owner, caller)))
            && (input.executable_users.is_empty() || input.executable_users.iter().any(|user| may_launch(image, user)))
            && filters.admit(seen)
    });
    let (page, next_token) = page.cut(all, |seen| seen.0.key());
    Ok(DescribeImagesResult {
        images: page.iter().map(|Seen(image, state)| describe(image, *state)).collect(),
        next_token,
    })
}

/// Instances that were launched from the image go on, and start again: they hold what they boot from.
pub async fn deregister_image(
    api: Arc<Api>,
    call: Call,
    input: DeregisterImageRequest,
) -> Result<DeregisterImageResult, Error> {
    let id: ImageId = parse_id(Resource::Image, &required(input.image_id, "ImageId")?)?;
    let gone = api.stores.images.delete_if(key(&call.caller.account, &id), |_| Ok::<_, Error>(true)).await?;
    let image = gone.ok_or_else(|| not_found(Resource::Image, &id))?;
    let mut delete_snapshot_results = Vec::new();
    for snapshot in image.sources().filter_map(|source| source.snapshot_id.as_ref()) {
        if input.delete_associated_snapshots != Some(true) {
            break;
        }
        let return_code = match snapshots::delete(&api, &call, snapshot).await {
            Ok(()) => "success",
            Err(Error::Api(ApiError::InUse { .. })) => "skipped",
            Err(Error::Api(ApiError::NotFound { .. })) => "client-error",
            Err(error) => return Err(error),
        };
        delete_snapshot_results.push(DeleteSnapshotReturnCode {
            snapshot_id: Some(snapshot.to_string()),
            return_code: Some(return_code.into()),
        });
    }
    Ok(DeregisterImageResult { r#return: Some(true), delete_snapshot_results })
}
