// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Creates one or more flow logs to capture information about IP traffic for a specific network interface, subnet, or VPC.
#[derive(Clone, Copy, Debug)]
pub struct CreateFlowLogs;

impl Operation for CreateFlowLogs {
    type Input = CreateFlowLogsRequest;
    type Output = CreateFlowLogsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateFlowLogs";

    fn decode(members: Members) -> serde_json::Result<CreateFlowLogsRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateFlowLogsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes one or more flow logs.
#[derive(Clone, Copy, Debug)]
pub struct DeleteFlowLogs;

impl Operation for DeleteFlowLogs {
    type Input = DeleteFlowLogsRequest;
    type Output = DeleteFlowLogsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteFlowLogs";

    fn decode(members: Members) -> serde_json::Result<DeleteFlowLogsRequest> {
        crate::decode(members)
    }

    fn encode(output: &DeleteFlowLogsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes one or more flow logs.
#[derive(Clone, Copy, Debug)]
pub struct DescribeFlowLogs;

impl Operation for DescribeFlowLogs {
    type Input = DescribeFlowLogsRequest;
    type Output = DescribeFlowLogsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeFlowLogs";

    fn decode(members: Members) -> serde_json::Result<DescribeFlowLogsRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeFlowLogsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateFlowLogsRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_cross_account_role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_logs_permission_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_options: Option<DestinationOptionsRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_destination: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_destination_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_group_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_aggregation_interval: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_field_specifications: Vec<TagFieldSpecificationRequest>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateFlowLogsResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flow_log_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsuccessful: Vec<UnsuccessfulItem>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteFlowLogsRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flow_log_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteFlowLogsResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsuccessful: Vec<UnsuccessfulItem>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeFlowLogsRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<Filter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flow_log_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeFlowLogsResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub flow_logs: Vec<FlowLog>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DestinationOptionsRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hive_compatible_partitions: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_hour_partition: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DestinationOptionsResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file_format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hive_compatible_partitions: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_hour_partition: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FlowLog {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_cross_account_role: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_logs_error_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_logs_permission_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deliver_logs_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_options: Option<DestinationOptionsResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_log_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flow_log_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_destination: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_destination_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_group_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_aggregation_interval: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_field_specifications: Vec<TagFieldSpecificationResponse>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traffic_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TagFieldSpecificationRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_keys: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TagFieldSpecificationResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_keys: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UnsuccessfulItem {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<UnsuccessfulItemError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct UnsuccessfulItemError {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
