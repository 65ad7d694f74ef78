//! ModifyVolume: more space, another performance or type, also while attached. The record keeps what it was and what it is to be;
//! the node carries it out and then the record is what was asked for.

use super::super::filter::{Filterable, Filters};
use super::super::page::Page;
use super::super::{Api, Call, iso, parse_id, parse_ids};
use super::wrong_state;
use crate::error::{Error, combination, invalid, not_found, required, unsupported};
use crate::store::{
    Modification, ModificationState, Performance, Tags, VolumeRecord, VolumeState, account_prefix, key,
};
use crate::volume_types;
use hive_aws_types::ec2::{
    DescribeVolumesModificationsRequest, DescribeVolumesModificationsResult, ModifyVolumeRequest, ModifyVolumeResult,
    VolumeModification,
};
use hive_types::ApiError;
use hive_types::error::Resource;
use hive_types::id::VolumeId;
use jiff::{SignedDuration, Timestamp};
use std::sync::Arc;

/// EBS: so many modifications of a volume in any 24 hours.
const MAX_MODIFICATIONS: usize = 4;
const RATE_WINDOW: SignedDuration = SignedDuration::from_hours(24);

/// What the volume is to be.
fn target_of(volume: &VolumeRecord, input: &ModifyVolumeRequest) -> Result<Performance, Error> {
    let size_gib = match input.size {
        None => volume.size_gib,
        Some(size) => u32::try_from(size).map_err(|_| invalid("Size", size, "A size is positive."))?,
    };
    if size_gib < volume.size_gib {
        return Err(invalid("Size", size_gib, "New size cannot be smaller than existing size"));
    }
    let volume_type = input.volume_type.as_deref().unwrap_or(&volume.volume_type);
    let is_provisioned = |name: &str| matches!(name, "gp3" | "io1" | "io2");
    // What a provisioned volume has it keeps, where the new type allows that; gp3 has values of its own otherwise.
    let kept =
        |value: Option<i32>| value.filter(|_| is_provisioned(&volume.volume_type) && is_provisioned(volume_type));
    let (own_iops, own_throughput) = (kept(volume.iops), kept(volume.throughput).filter(|_| volume_type == "gp3"));
    let with = |iops, throughput| volume_types::check(Some(volume_type), size_gib, iops, throughput, 1);
    let wanted = with(input.iops.or(own_iops), input.throughput.or(own_throughput));
    match wanted {
        Err(_) if volume_type == "gp3" && volume.volume_type != "gp3" => with(input.iops, input.throughput),
        wanted => wanted,
    }
}

fn check_rate(volume: &VolumeRecord, now: Timestamp) -> Result<(), Error> {
    let unavailable = |reason: String| ApiError::Unavailable { resource: Resource::VolumeModification, reason };
    if volume.modification.as_ref().is_some_and(|last| last.state == ModificationState::Modifying) {
        return Err(unavailable("Cannot modify volume in modification state MODIFYING".into()).into());
    }
    let recent = volume.modified_at.iter().filter(|at| now.duration_since(**at) < RATE_WINDOW).count();
    if recent >= MAX_MODIFICATIONS {
        let reason =
            format!("You've reached the maximum modification rate per volume limit: {MAX_MODIFICATIONS} in 24 hours.");
        return Err(ApiError::LimitExceeded { resource: Resource::VolumeModification, reason }.into());
    }
    Ok(())
}

pub async fn modify_volume(api: Arc<Api>, call: Call, input: ModifyVolumeRequest) -> Result<ModifyVolumeResult, Error> {
    let id: VolumeId = parse_id(Resource::Volume, &required(input.volume_id.clone(), "VolumeId")?)?;
    if input.multi_attach_enabled == Some(true) {
        return Err(unsupported("Multi-attach is not available."));
    }
    if input.size.is_none() && input.volume_type.is_none() && input.iops.is_none() && input.throughput.is_none() {
        return Err(combination("At least one of size, volume type, IOPS and throughput must be specified."));
    }
    let modified = api.stores.volumes.modify(key(&call.caller.account, &id), |volume| {
        if volume.state != VolumeState::Ready {
            return Err(wrong_state(volume));
        }
        let target = target_of(volume, &input)?;
        check_rate(volume, call.now)?;
        let modification = Modification {
            original: volume.performance(),
            target,
            state: ModificationState::Modifying,
            fault: None,
            started_at: call.now,
            ended_at: None,
        };
        volume.modification = Some(modification.clone());
        volume.modified_at.retain(|at| call.now.duration_since(*at) < RATE_WINDOW);
        volume.modified_at.push(call.now);
        Ok(modification)
    });
    let (_, modification) = modified.await?.ok_or_else(|| not_found(Resource::Volume, &id))?;
    Ok(ModifyVolumeResult { volume_modification: Some(describe(&id, &modification)) })
}

fn describe(id: &VolumeId, modification: &Modification) -> VolumeModification {
    let Modification { original, target, state, .. } = modification;
    VolumeModification {
        end_time: modification.ended_at.map(iso),
        modification_state: Some(state.name().into()),
        original_iops: original.iops,
        original_multi_attach_enabled: Some(false),
        original_size: i32::try_from(original.size_gib).ok(),
        original_throughput: original.throughput,
        original_volume_type: Some(original.volume_type.clone()),
        progress: Some(if *state == ModificationState::Completed { 100 } else { 0 }),
        start_time: Some(iso(modification.started_at)),
        status_message: modification.fault.clone(),
        target_iops: target.iops,
        target_multi_attach_enabled: Some(false),
        target_size: i32::try_from(target.size_gib).ok(),
        target_throughput: target.throughput,
        target_volume_type: Some(target.volume_type.clone()),
        volume_id: Some(id.to_string()),
        ..Default::default()
    }
}

/// A volume's latest modification, for filters.
struct Seen(VolumeId, Modification);

impl Filterable for Seen {
    const NAMES: &'static [&'static str] = &[
        "modification-state",
        "original-iops",
        "original-size",
        "original-volume-type",
        "originalMultiAttachEnabled",
        "start-time",
        "target-iops",
        "target-size",
        "target-volume-type",
        "targetMultiAttachEnabled",
        "volume-id",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let Self(id, modification) = self;
        let (original, target) = (&modification.original, &modification.target);
        let number = |value: Option<i32>| value.iter().map(ToString::to_string).collect();
        match name {
            "modification-state" => vec![modification.state.name().into()],
            "original-iops" => number(original.iops),
            "original-size" => vec![original.size_gib.to_string()],
            "original-volume-type" => vec![original.volume_type.clone()],
            "start-time" => vec![iso(modification.started_at)],
            "target-iops" => number(target.iops),
            "target-size" => vec![target.size_gib.to_string()],
            "target-volume-type" => vec![target.volume_type.clone()],
            "volume-id" => vec![id.to_string()],
            _ => vec!["false".into()],
        }
    }

    fn tags(&self) -> Option<&Tags> {
        None
    }

    const TAGGED: bool = false;
}

pub async fn describe_volumes_modifications(
    api: Arc<Api>,
    call: Call,
    input: DescribeVolumesModificationsRequest,
) -> Result<DescribeVolumesModificationsResult, Error> {
    let ids: Vec<VolumeId> = parse_ids(Resource::Volume, &input.volume_ids)?;
    let page = Page::check(input.max_results, input.next_token.as_deref(), 1..=500, !ids.is_empty())?;
    let filters = Filters::check::<Seen>(&input.filters)?;
    let all = api.stores.volumes.range(&account_prefix(&call.caller.account)).await?;
    let all: Vec<VolumeRecord> = all.into_iter().map(|record| record.value).collect();
    for id in &ids {
        match all.iter().find(|volume| volume.volume_id == *id) {
            None => return Err(not_found(Resource::Volume, id)),
            Some(volume) if volume.modification.is_none() => return Err(not_found(Resource::VolumeModification, id)),
            Some(_) => {}
        }
    }
    let named = all.into_iter().filter(|volume| ids.is_empty() || ids.contains(&volume.volume_id));
    let mut seen: Vec<Seen> = named.filter_map(|v| v.modification.clone().map(|m| Seen(v.volume_id, m))).collect();
    seen.retain(|one| filters.admit(one));
    let (page, next_token) = page.cut(seen, |Seen(id, _)| id.to_string());
    let volumes_modifications = page.iter().map(|Seen(id, modification)| describe(id, modification)).collect();
    Ok(DescribeVolumesModificationsResult { next_token, volumes_modifications })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Version;

    fn volume(volume_type: &str, size_gib: u32, iops: Option<i32>, throughput: Option<i32>) -> VolumeRecord {
        VolumeRecord {
            version: Version,
            volume_id: VolumeId::from_random(1),
            account: "123456789012".parse().expect("an account"),
            zone: "us-east-1a".into(),
            node_id: "node-1".into(),
            size_gib,
            volume_type: volume_type.into(),
            iops,
            throughput,
            snapshot_id: None,
            created_at: Timestamp::UNIX_EPOCH,
            state: VolumeState::Ready,
            fault: None,
            attachment: None,
            tags: Tags::new(),
            encrypted: false,
            kms_key_id: None,
            boot: None,
            auto_enable_io: false,
            modification: None,
            modified_at: Vec::new(),
        }
    }

    #[test]
    fn what_is_not_said_stays() {
        let gp3 = volume("gp3", 10, Some(4000), Some(500));
        let grown = target_of(&gp3, &ModifyVolumeRequest { size: Some(20), ..Default::default() }).expect("grown");
        assert_eq!((grown.size_gib, grown.iops, grown.throughput), (20, Some(4000), Some(500)));
        let gp2 = volume("gp2", 100, Some(300), None);
        let grown = target_of(&gp2, &ModifyVolumeRequest { size: Some(200), ..Default::default() }).expect("grown");
        assert_eq!(grown.iops, Some(600), "gp2's follow the size");
        let to_gp3 = ModifyVolumeRequest { volume_type: Some("gp3".into()), ..Default::default() };
        assert_eq!(target_of(&gp2, &to_gp3).expect("gp3").iops, Some(3000));
        let io1 = volume("io1", 100, Some(200), None);
        assert_eq!(target_of(&io1, &to_gp3).expect("gp3").iops, Some(3000), "200 is too few for gp3");
        let to_io1 = ModifyVolumeRequest { volume_type: Some("io1".into()), ..Default::default() };
        assert!(target_of(&gp2, &to_io1).is_err(), "io1 must be told");
    }

    #[test]
    fn nothing_shrinks() {
        let gp3 = volume("gp3", 10, Some(3000), Some(125));
        for size in [9, 0, -1, 16_385] {
            assert!(
                target_of(&gp3, &ModifyVolumeRequest { size: Some(size), ..Default::default() }).is_err(),
                "{size}"
            );
        }
    }

    #[test]
    fn four_modifications_a_day() {
        let hour = |n: i64| Timestamp::UNIX_EPOCH + SignedDuration::from_hours(n);
        let mut gp3 = volume("gp3", 10, Some(3000), Some(125));
        gp3.modified_at = (0..4).map(hour).collect();
        assert!(check_rate(&gp3, hour(23)).is_err());
        assert!(check_rate(&gp3, hour(24)).is_ok());
    }
}
