//! DescribeInstances and DescribeInstanceStatus.

use super::super::filter::{Filterable, Filters};
use super::super::page::Page;
use super::super::{Api, Call, parse_ids};
use super::view;
use crate::error::{Error, not_found};
use crate::store::{InstanceRecord, InstanceState, Tags, account_prefix};
use hive_aws_types::ec2::{
    DescribeInstanceStatusRequest, DescribeInstanceStatusResult, DescribeInstancesRequest, DescribeInstancesResult,
    InstanceStatus, InstanceStatusDetails, InstanceStatusSummary,
};
use hive_types::error::Resource;
use hive_types::id::InstanceId;
use std::sync::Arc;

/// All instances of the caller, or the named ones; the first named one that is not there is an error.
async fn select(api: &Api, call: &Call, ids: &[InstanceId]) -> Result<Vec<InstanceRecord>, Error> {
    let all = api.stores.instances.range(&account_prefix(&call.caller.account)).await?;
    let mut all: Vec<InstanceRecord> = all.into_iter().map(|record| record.value).collect();
    if let Some(absent) = ids.iter().find(|id| !all.iter().any(|instance| instance.instance_id == **id)) {
        return Err(not_found(Resource::Instance, absent));
    }
    if !ids.is_empty() {
        all.retain(|instance| ids.contains(&instance.instance_id));
    }
    Ok(all)
}

pub async fn describe_instances(
    api: Arc<Api>,
    call: Call,
    input: DescribeInstancesRequest,
) -> Result<DescribeInstancesResult, Error> {
    let ids: Vec<InstanceId> = parse_ids(Resource::Instance, &input.instance_ids)?;
    let page = Page::check(input.max_results, input.next_token.as_deref(), 5..=1000, !ids.is_empty())?;
    let filters = Filters::check::<view::Seen<'_>>(&input.filters)?;
    let all = select(&api, &call, &ids).await?;
    let network = api.stores.networks.load(&call.caller.account).await?;
    let seen = all.into_iter().map(|record| view::Seen { record, network: &network });
    let all: Vec<InstanceRecord> = seen.filter(|seen| filters.admit(seen)).map(|seen| seen.record).collect();
    let (mut page, next_token) = page.cut(all, |instance| instance.instance_id.to_string());
    page.sort_by(|a, b| (&a.reservation_id, a.launch_index).cmp(&(&b.reservation_id, b.launch_index)));
    let reservations = page.chunk_by(|a, b| a.reservation_id == b.reservation_id);
    let reservations = reservations.map(|instances| view::reservation(&api, &network, instances)).collect();
    Ok(DescribeInstancesResult { next_token, reservations })
}

/// An instance as status filters see it.
struct StatusOf(InstanceRecord);

impl Filterable for StatusOf {
    const NAMES: &'static [&'static str] = &[
        "availability-zone",
        "instance-state-code",
        "instance-state-name",
        "instance-status.reachability",
        "instance-status.status",
        "system-status.reachability",
        "system-status.status",
    ];
    const TAGGED: bool = false;

    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "instance-status.reachability" | "system-status.reachability" => {
                vec![reachability(self.0.state).1.into()]
            }
            "instance-status.status" | "system-status.status" => vec![reachability(self.0.state).0.into()],
            "availability-zone" => vec![self.0.zone.clone()],
            "instance-state-code" => vec![self.0.state.code().to_string()],
            _ => vec![self.0.state.name().into()],
        }
    }

    fn tags(&self) -> Option<&Tags> {
        None
    }
}

/// Status and reachability: a machine that runs is reachable as far as its host can tell.
fn reachability(state: InstanceState) -> (&'static str, &'static str) {
    match state {
        InstanceState::Running => ("ok", "passed"),
        InstanceState::Pending => ("initializing", "initializing"),
        _ => ("not-applicable", "not-applicable"),
    }
}

pub async fn describe_instance_status(
    api: Arc<Api>,
    call: Call,
    input: DescribeInstanceStatusRequest,
) -> Result<DescribeInstanceStatusResult, Error> {
    let ids: Vec<InstanceId> = parse_ids(Resource::Instance, &input.instance_ids)?;
    let page = Page::check(input.max_results, input.next_token.as_deref(), 5..=1000, !ids.is_empty())?;
    let filters = Filters::check::<StatusOf>(&input.filters)?;
    let all_states = input.include_all_instances.unwrap_or(false);
    let mut all: Vec<StatusOf> = select(&api, &call, &ids).await?.into_iter().map(StatusOf).collect();
    all.retain(|status| (all_states || status.0.state == InstanceState::Running) && filters.admit(status));
    let (page, next_token) = page.cut(all, |status| status.0.instance_id.to_string());
    let summary = |state| {
        let (status, reachability) = reachability(state);
        let detail = InstanceStatusDetails {
            name: Some("reachability".into()),
            status: Some(reachability.into()),
            ..Default::default()
        };
        let details = if status == "not-applicable" { Vec::new() } else { vec![detail] };
        Some(InstanceStatusSummary { details, status: Some(status.into()) })
    };
    let statuses = page.into_iter().map(|StatusOf(instance)| InstanceStatus {
        availability_zone: Some(instance.zone.clone()),
        availability_zone_id: Some(api.place.zone_id()),
        instance_id: Some(instance.instance_id.to_string()),
        instance_state: Some(view::state(instance.state)),
        instance_status: summary(instance.state),
        system_status: summary(instance.state),
        ..Default::default()
    });
    Ok(DescribeInstanceStatusResult { instance_statuses: statuses.collect(), next_token })
}
