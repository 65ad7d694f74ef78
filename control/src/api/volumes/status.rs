//! How volumes do, as their blockd says; and the attributes of a volume.

use super::super::filter::{Filterable, Filters};
use super::super::nodes::blockd_name;
use super::super::page::Page;
use super::super::{Api, Call, parse_id, parse_ids};
use super::find;
use crate::error::{Error, combination, invalid, not_found, required};
use crate::store::{Tags, VolumeRecord, VolumeState, account_prefix, key};
use futures::StreamExt;
use hive_aws_types::Empty;
use hive_aws_types::ec2::{
    AttributeBooleanValue, DescribeVolumeAttributeRequest, DescribeVolumeAttributeResult, DescribeVolumeStatusRequest,
    DescribeVolumeStatusResult, ModifyVolumeAttributeRequest, VolumeStatusDetails, VolumeStatusEvent, VolumeStatusInfo,
    VolumeStatusItem,
};
use hive_blockd_api as blockd;
use hive_types::error::Resource;
use hive_types::id::VolumeId;
use std::sync::Arc;

/// Nodes are asked about so many volumes at a time.
const MAX_CONCURRENT_QUESTIONS: usize = 16;

/// A volume and what its node says; None: the node does not, or the volume is not there yet.
struct Seen {
    volume: VolumeRecord,
    health: Option<(blockd::VolumeHealth, Option<String>)>,
}

impl Seen {
    async fn ask(api: &Api, volume: VolumeRecord) -> Self {
        let health = match (volume.state, blockd_name(volume.volume_id.as_str())) {
            (VolumeState::Ready, Ok(volume_id)) => {
                match api.blockd(&volume.node_id, blockd::Request::DescribeVolume { volume_id }).await {
                    Ok(blockd::Reply::Volume(found)) => Some((found.health, found.fault)),
                    Ok(_) | Err(_) => None,
                }
            }
            _ => None,
        };
        Self { volume, health }
    }

    /// As EC2's table of volume status checks has it.
    fn status(&self) -> &'static str {
        match self.health {
            None => "insufficient-data",
            Some((blockd::VolumeHealth::Ok, _)) => "ok",
            Some((blockd::VolumeHealth::Degraded, _)) => "warning",
            Some((blockd::VolumeHealth::Impaired, _)) => "impaired",
        }
    }

    fn details(&self) -> [(&'static str, &'static str); 2] {
        // Only volumes with provisioned IOPS have a performance to compare with.
        let is_provisioned = matches!(self.volume.volume_type.as_str(), "io1" | "io2");
        let (enabled, performance) = match self.health {
            None => ("insufficient-data", "insufficient-data"),
            Some((blockd::VolumeHealth::Ok, _)) if is_provisioned => ("passed", "normal"),
            Some((blockd::VolumeHealth::Ok, _)) => ("passed", "not-applicable"),
            Some((blockd::VolumeHealth::Degraded, _)) => ("passed", "degraded"),
            Some((blockd::VolumeHealth::Impaired, _)) => ("failed", "not-applicable"),
        };
        [("io-enabled", enabled), ("io-performance", performance)]
    }

    /// Why a volume is not ok, if it is not.
    fn event(&self) -> Option<VolumeStatusEvent> {
        let (health, fault) = self.health.as_ref()?;
        let event_type = match health {
            blockd::VolumeHealth::Ok => return None,
            blockd::VolumeHealth::Degraded => "io-performance:degraded",
            blockd::VolumeHealth::Impaired => "potential-data-inconsistency",
        };
        let id = self.volume.volume_id.as_str();
        Some(VolumeStatusEvent {
            description: Some(fault.clone().unwrap_or_else(|| "The volume's daemon gives no reason.".into())),
            event_id: Some(format!("e{id}")),
            event_type: Some(event_type.into()),
            instance_id: self.volume.attachment.as_ref().map(|attachment| attachment.instance_id.to_string()),
            ..Default::default()
        })
    }

    fn describe(&self, api: &Api) -> VolumeStatusItem {
        let details = self
            .details()
            .map(|(name, status)| VolumeStatusDetails { name: Some(name.into()), status: Some(status.into()) });
        VolumeStatusItem {
            availability_zone: Some(self.volume.zone.clone()),
            availability_zone_id: Some(api.place.zone_id()),
            events: self.event().into_iter().collect(),
            volume_id: Some(self.volume.volume_id.to_string()),
            volume_status: Some(VolumeStatusInfo { details: details.into(), status: Some(self.status().into()) }),
            ..Default::default()
        }
    }
}

impl Filterable for Seen {
    const NAMES: &'static [&'static str] = &[
        "action.code",
        "action.description",
        "action.event-id",
        "availability-zone",
        "event.description",
        "event.event-id",
        "event.event-type",
        "event.not-after",
        "event.not-before",
        "volume-status.details-name",
        "volume-status.details-status",
        "volume-status.status",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        let event = |f: fn(VolumeStatusEvent) -> Option<String>| self.event().and_then(f).into_iter().collect();
        match name {
            "availability-zone" => vec![self.volume.zone.clone()],
            "event.description" => event(|event| event.description),
            "event.event-id" => event(|event| event.event_id),
            "event.event-type" => event(|event| event.event_type),
            "volume-status.details-name" => self.details().iter().map(|(name, _)| (*name).to_owned()).collect(),
            "volume-status.details-status" => self.details().iter().map(|(_, status)| (*status).to_owned()).collect(),
            "volume-status.status" => vec![self.status().into()],
            // Nothing is for the caller to do, and events have no end.
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> Option<&Tags> {
        None
    }

    const TAGGED: bool = false;
}

pub async fn describe_volume_status(
    api: Arc<Api>,
    call: Call,
    input: DescribeVolumeStatusRequest,
) -> Result<DescribeVolumeStatusResult, Error> {
    let ids: Vec<VolumeId> = parse_ids(Resource::Volume, &input.volume_ids)?;
    let page = Page::check(input.max_results, input.next_token.as_deref(), 5..=1000, !ids.is_empty())?;
    let filters = Filters::check::<Seen>(&input.filters)?;
    let all = api.stores.volumes.range(&account_prefix(&call.caller.account)).await?;
    let mut all: Vec<VolumeRecord> = all.into_iter().map(|record| record.value).collect();
    if let Some(absent) = ids.iter().find(|id| !all.iter().any(|volume| volume.volume_id == **id)) {
        return Err(not_found(Resource::Volume, absent));
    }
    all.retain(|volume| ids.is_empty() || ids.contains(&volume.volume_id));
    // A page of volumes, of which the filters then leave some, as EC2's pages too may hold fewer than asked for.
    let (page, next_token) = page.cut(all, |volume| volume.volume_id.to_string());
    let asked = futures::stream::iter(page).map(|volume| Seen::ask(&api, volume)).buffered(MAX_CONCURRENT_QUESTIONS);
    let seen: Vec<Seen> = asked.collect().await;
    let volume_statuses = seen.iter().filter(|one| filters.admit(*one)).map(|one| one.describe(&api)).collect();
    Ok(DescribeVolumeStatusResult { next_token, volume_statuses })
}

pub async fn describe_volume_attribute(
    api: Arc<Api>,
    call: Call,
    input: DescribeVolumeAttributeRequest,
) -> Result<DescribeVolumeAttributeResult, Error> {
    let id: VolumeId = parse_id(Resource::Volume, &required(input.volume_id, "VolumeId")?)?;
    let attribute = required(input.attribute, "Attribute")?;
    let volume = find(&api, &call, &id).await?;
    let mut answer = DescribeVolumeAttributeResult { volume_id: Some(id.to_string()), ..Default::default() };
    match attribute.as_str() {
        "autoEnableIO" => answer.auto_enable_io = Some(AttributeBooleanValue { value: Some(volume.auto_enable_io) }),
        "productCodes" => {}
        other => return Err(invalid("Attribute", other, "Expecting autoEnableIO or productCodes.")),
    }
    Ok(answer)
}

pub async fn modify_volume_attribute(
    api: Arc<Api>,
    call: Call,
    input: ModifyVolumeAttributeRequest,
) -> Result<Empty, Error> {
    let id: VolumeId = parse_id(Resource::Volume, &required(input.volume_id, "VolumeId")?)?;
    let Some(AttributeBooleanValue { value: Some(on) }) = input.auto_enable_io else {
        return Err(combination("No attributes specified."));
    };
    let changed = api.stores.volumes.modify(key(&call.caller.account, &id), |volume| {
        volume.auto_enable_io = on;
        Ok::<_, Error>(())
    });
    changed.await?.map(|_| Empty {}).ok_or_else(|| not_found(Resource::Volume, &id))
}
