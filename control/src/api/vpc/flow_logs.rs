//! Flow logs. They are kept as asked for; nodes write them (`node/network/flow_logs`), and note whether that goes well.

use super::super::filter::Filterable;
use super::super::{Api, Call, idempotency, iso, parse_id, parse_ids, tags};
use super::{Asked, Seen, describe, refuse};
use crate::error::{Error, invalid, missing, required};
use crate::random;
use crate::store::{DrawnIds, FlowLogRecord, InterfaceRecord, Network, SubnetRecord, Tags, Version, VpcRecord};
use hive_aws_types::ec2::{
    CreateFlowLogsRequest, CreateFlowLogsResult, DeleteFlowLogsRequest, DeleteFlowLogsResult, DescribeFlowLogsRequest,
    DescribeFlowLogsResult, FlowLog, UnsuccessfulItem, UnsuccessfulItemError,
};
use hive_types::error::Resource;
use hive_types::id::{FlowLogId, NetworkInterfaceId, SubnetId, VpcId};
use hive_vpc::flow_log::Format;
use std::sync::Arc;

/// Of one call: each is a record, and with the account's head they are one commit. EC2's is one more.
const MAX_RESOURCES: usize = hive_bus::MAX_COMMIT_WRITES - 1;
/// Bytes of each text of a log, longer than ARNs, names of log groups and formats with all of EC2's fields: a call writes as many
/// records as it names resources, and every later one reads them.
const MAX_TEXT_BYTES: usize = 2048;
/// What EC2 names folders itself.
const RESERVED_FOLDER: &str = "AWSLogs";
/// EC2's quota of flow logs of one resource.
const MAX_OF_RESOURCE: usize = 2;

fn check_resource(network: &Network, kind: &str, id: &str) -> Result<(), Error> {
    match kind {
        "VPC" => network.get::<VpcRecord>(&parse_id::<VpcId>(Resource::Vpc, id)?).map(drop),
        "Subnet" => network.get::<SubnetRecord>(&parse_id::<SubnetId>(Resource::Subnet, id)?).map(drop),
        _ => {
            let id: NetworkInterfaceId = parse_id(Resource::NetworkInterface, id)?;
            network.get::<InterfaceRecord>(&id).map(drop)
        }
    }
}

/// What all logs of one call have alike.
fn template(call: &Call, input: &CreateFlowLogsRequest) -> Result<FlowLogRecord, Error> {
    let destination_type = input.log_destination_type.clone().unwrap_or_else(|| "cloud-watch-logs".into());
    match destination_type.as_str() {
        "cloud-watch-logs" => {
            if input.log_group_name.is_none() && input.log_destination.is_none() {
                return Err(missing("LogGroupName"));
            }
            if input.deliver_logs_permission_arn.is_none() {
                let reason = "DeliverLogsPermissionArn can't be empty if LogDestinationType is cloud-watch-logs.";
                return Err(invalid("DeliverLogsPermissionArn", "", reason));
            }
        }
        "s3" => {
            let destination = input.log_destination.as_deref().ok_or_else(|| missing("LogDestination"))?;
            let Some((_, prefix)) = crate::node::log_destination(destination) else {
                return Err(invalid("LogDestination", destination, "Expecting the ARN of a bucket."));
            };
            if prefix.split('/').any(|folder| folder == RESERVED_FOLDER) {
                return Err(invalid("LogDestination", destination, "AWSLogs is a reserved term."));
            }
        }
        "kinesis-data-firehose" => {}
        other => {
            let reason = "Expecting cloud-watch-logs, s3 or kinesis-data-firehose.";
            return Err(invalid("LogDestinationType", other, reason));
        }
    }
    for (name, text) in [
        ("LogDestination", &input.log_destination),
        ("LogGroupName", &input.log_group_name),
        ("DeliverLogsPermissionArn", &input.deliver_logs_permission_arn),
        ("LogFormat", &input.log_format),
    ] {
        if let Some(text) = text.as_ref().filter(|text| text.len() > MAX_TEXT_BYTES) {
            return Err(invalid(name, text.len(), format!("At most {MAX_TEXT_BYTES} bytes.")));
        }
    }
    refuse(&[(destination_type != "s3", "Flow logs elsewhere than in S3")])?;
    let format = input.log_format.as_deref().map_or(Ok(Format::default()), str::parse);
    let format = format.map_err(|error| {
        let text = input.log_format.clone().unwrap_or_default();
        invalid("LogFormat", text, error.to_string())
    })?;
    let traffic_type = required(input.traffic_type.clone(), "TrafficType")?;
    if !matches!(traffic_type.as_str(), "ACCEPT" | "REJECT" | "ALL") {
        return Err(invalid("TrafficType", traffic_type, "Expecting ACCEPT, REJECT or ALL."));
    }
    let interval_s = input.max_aggregation_interval.unwrap_or(600);
    if !matches!(interval_s, 60 | 600) {
        return Err(invalid("MaxAggregationInterval", interval_s, "Expecting 60 or 600."));
    }
    Ok(FlowLogRecord {
        version: Version,
        flow_log_id: FlowLogId::from_random(0),
        account: call.caller.account.clone(),
        resource_id: String::new(),
        traffic_type,
        destination_type,
        destination: input.log_destination.clone(),
        log_group: input.log_group_name.clone(),
        permission_arn: input.deliver_logs_permission_arn.clone(),
        format: format.to_string(),
        interval_s,
        created_at: call.now,
        delivery_error: None,
        tags: tags::specified(&input.tag_specifications, "vpc-flow-log", &["vpc-flow-log"])?,
    })
}

fn unsuccessful(id: &str, code: &str, message: String) -> UnsuccessfulItem {
    let error = UnsuccessfulItemError { code: Some(code.into()), message: Some(message) };
    UnsuccessfulItem { error: Some(error), resource_id: Some(id.into()) }
}

pub async fn create_flow_logs(
    api: Arc<Api>,
    call: Call,
    input: CreateFlowLogsRequest,
) -> Result<CreateFlowLogsResult, Error> {
    let parameters = CreateFlowLogsRequest { client_token: None, ..input.clone() };
    refuse(&[
        (input.deliver_cross_account_role.is_some(), "Logs of other accounts"),
        (input.destination_options.is_some(), "Options of destinations"),
        (!input.tag_field_specifications.is_empty(), "Tags in logs"),
    ])?;
    let kind = required(input.resource_type.clone(), "ResourceType")?;
    if !matches!(kind.as_str(), "VPC" | "Subnet" | "NetworkInterface") {
        return Err(invalid("ResourceType", kind, "Expecting VPC, Subnet or NetworkInterface."));
    }
    if input.resource_ids.is_empty() {
        return Err(missing("ResourceId"));
    }
    if input.resource_ids.len() > MAX_RESOURCES {
        return Err(invalid("ResourceId", input.resource_ids.len(), format!("At most {MAX_RESOURCES} a call.")));
    }
    let template = template(&call, &input)?;
    let token = input.client_token.as_deref();
    let draw = || {
        let one = |_: &String| Ok::<_, Error>(FlowLogId::from_random(random::draw()?).to_string());
        Ok(DrawnIds::Network(input.resource_ids.iter().map(one).collect::<Result<_, _>>()?))
    };
    let drawn = idempotency::draw(&api, &call, "CreateFlowLogs", token, &parameters, draw).await?;
    let DrawnIds::Network(ids) = &drawn.ids else {
        return Err(Error::Fault("a CreateFlowLogs token holds other ids".into()));
    };
    let made = api.change(&call, |network| {
        let (mut made, mut failed) = (Vec::new(), Vec::new());
        input.resource_ids.iter().try_for_each(|resource| check_resource(network, &kind, resource))?;
        for (resource, id) in input.resource_ids.iter().zip(ids) {
            let id: FlowLogId = parse_id(Resource::FlowLog, id)?;
            if network.flow_logs.contains_key(&id) {
                made.push(id.to_string());
                continue;
            }
            let record = FlowLogRecord { flow_log_id: id.clone(), resource_id: resource.clone(), ..template.clone() };
            let of_it = || network.flow_logs.values().filter(|log| log.resource_id == *resource);
            let is_same = |log: &FlowLogRecord| {
                (&log.destination, &log.log_group, &log.traffic_type)
                    == (&record.destination, &record.log_group, &record.traffic_type)
            };
            if of_it().any(is_same) {
                let message =
                    format!("Error. There is an existing Flow Log with the same configuration on {resource}.");
                failed.push(unsuccessful(resource, "FlowLogAlreadyExists", message));
            } else if of_it().count() >= MAX_OF_RESOURCE {
                let message = format!("{resource} has the maximum number of flow logs.");
                failed.push(unsuccessful(resource, "FlowLogsLimitExceeded", message));
            } else {
                network.insert(record);
                made.push(id.to_string());
            }
        }
        Ok((made, failed))
    });
    match made.await {
        Ok((_, (flow_log_ids, unsuccessful))) => {
            Ok(CreateFlowLogsResult { client_token: input.client_token, flow_log_ids, unsuccessful })
        }
        Err(error) => {
            if matches!(error, Error::Api(_)) {
                idempotency::forget(&api, &drawn).await?;
            }
            Err(error)
        }
    }
}

pub async fn delete_flow_logs(
    api: Arc<Api>,
    call: Call,
    input: DeleteFlowLogsRequest,
) -> Result<DeleteFlowLogsResult, Error> {
    let ids: Vec<FlowLogId> = parse_ids(Resource::FlowLog, &input.flow_log_ids)?;
    if ids.is_empty() {
        return Err(missing("FlowLogId"));
    }
    let deleted = api.change(&call, |network| {
        for id in &ids {
            network.get::<FlowLogRecord>(id)?;
        }
        network.flow_logs.retain(|id, _| !ids.contains(id));
        Ok(())
    });
    deleted.await.map(|_| DeleteFlowLogsResult::default())
}

fn delivery_status(log: &FlowLogRecord) -> &'static str {
    if log.delivery_error.is_some() { "FAILED" } else { "SUCCESS" }
}

fn show(log: &FlowLogRecord) -> FlowLog {
    FlowLog {
        creation_time: Some(iso(log.created_at)),
        deliver_logs_error_message: log.delivery_error.clone(),
        deliver_logs_permission_arn: log.permission_arn.clone(),
        deliver_logs_status: Some(delivery_status(log).into()),
        flow_log_id: Some(log.flow_log_id.to_string()),
        flow_log_status: Some("ACTIVE".into()),
        log_destination: log.destination.clone(),
        log_destination_type: Some(log.destination_type.clone()),
        log_format: Some(log.format.clone()),
        log_group_name: log.log_group.clone(),
        max_aggregation_interval: Some(log.interval_s),
        resource_id: Some(log.resource_id.clone()),
        tags: tags::to_api(&log.tags),
        traffic_type: Some(log.traffic_type.clone()),
        ..Default::default()
    }
}

impl Filterable for Seen<'_, FlowLogRecord> {
    const NAMES: &'static [&'static str] =
        &["deliver-log-status", "flow-log-id", "log-destination-type", "log-group-name", "resource-id", "traffic-type"];

    fn values(&self, name: &str) -> Vec<String> {
        let log = self.record;
        match name {
            "deliver-log-status" => vec![delivery_status(log).into()],
            "flow-log-id" => vec![log.flow_log_id.to_string()],
            "log-destination-type" => vec![log.destination_type.clone()],
            "log-group-name" => log.log_group.iter().cloned().collect(),
            "resource-id" => vec![log.resource_id.clone()],
            _ => vec![log.traffic_type.clone()],
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.record.tags)
    }
}

pub async fn describe_flow_logs(
    api: Arc<Api>,
    call: Call,
    input: DescribeFlowLogsRequest,
) -> Result<DescribeFlowLogsResult, Error> {
    let asked = Asked {
        ids: &input.flow_log_ids,
        filters: &input.filter,
        max_results: input.max_results,
        next_token: input.next_token.as_deref(),
        limits: 1..=1000,
    };
    let (flow_logs, next_token) =
        describe(&api, &call, asked, |seen: &Seen<'_, FlowLogRecord>| show(seen.record)).await?;
    Ok(DescribeFlowLogsResult { flow_logs, next_token })
}
