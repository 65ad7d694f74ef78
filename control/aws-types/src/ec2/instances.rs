// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Launches the specified number of instances using an AMI for which you have permissions.
#[derive(Clone, Copy, Debug)]
pub struct RunInstances;

impl Operation for RunInstances {
    type Input = RunInstancesRequest;
    type Output = Reservation;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "RunInstances";

    fn decode(members: Members) -> serde_json::Result<RunInstancesRequest> {
        crate::decode(members)
    }

    fn encode(output: &Reservation) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the specified instances or all instances.
#[derive(Clone, Copy, Debug)]
pub struct DescribeInstances;

impl Operation for DescribeInstances {
    type Input = DescribeInstancesRequest;
    type Output = DescribeInstancesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeInstances";

    fn decode(members: Members) -> serde_json::Result<DescribeInstancesRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeInstancesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Starts an Amazon EBS-backed instance that you've previously stopped.
#[derive(Clone, Copy, Debug)]
pub struct StartInstances;

impl Operation for StartInstances {
    type Input = StartInstancesRequest;
    type Output = StartInstancesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "StartInstances";

    fn decode(members: Members) -> serde_json::Result<StartInstancesRequest> {
        crate::decode(members)
    }

    fn encode(output: &StartInstancesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Stops an Amazon EBS-backed instance.
#[derive(Clone, Copy, Debug)]
pub struct StopInstances;

impl Operation for StopInstances {
    type Input = StopInstancesRequest;
    type Output = StopInstancesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "StopInstances";

    fn decode(members: Members) -> serde_json::Result<StopInstancesRequest> {
        crate::decode(members)
    }

    fn encode(output: &StopInstancesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Requests a reboot of the specified instances.
#[derive(Clone, Copy, Debug)]
pub struct RebootInstances;

impl Operation for RebootInstances {
    type Input = RebootInstancesRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "RebootInstances";

    fn decode(members: Members) -> serde_json::Result<RebootInstancesRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Terminates (deletes) the specified instances.
#[derive(Clone, Copy, Debug)]
pub struct TerminateInstances;

impl Operation for TerminateInstances {
    type Input = TerminateInstancesRequest;
    type Output = TerminateInstancesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "TerminateInstances";

    fn decode(members: Members) -> serde_json::Result<TerminateInstancesRequest> {
        crate::decode(members)
    }

    fn encode(output: &TerminateInstancesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the status of the specified instances or all of your instances.
#[derive(Clone, Copy, Debug)]
pub struct DescribeInstanceStatus;

impl Operation for DescribeInstanceStatus {
    type Input = DescribeInstanceStatusRequest;
    type Output = DescribeInstanceStatusResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeInstanceStatus";

    fn decode(members: Members) -> serde_json::Result<DescribeInstanceStatusRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeInstanceStatusResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the specified instance types.
#[derive(Clone, Copy, Debug)]
pub struct DescribeInstanceTypes;

impl Operation for DescribeInstanceTypes {
    type Input = DescribeInstanceTypesRequest;
    type Output = DescribeInstanceTypesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeInstanceTypes";

    fn decode(members: Members) -> serde_json::Result<DescribeInstanceTypesRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeInstanceTypesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Gets the console output for the specified instance.
#[derive(Clone, Copy, Debug)]
pub struct GetConsoleOutput;

impl Operation for GetConsoleOutput {
    type Input = GetConsoleOutputRequest;
    type Output = GetConsoleOutputResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "GetConsoleOutput";

    fn decode(members: Members) -> serde_json::Result<GetConsoleOutputRequest> {
        crate::decode(members)
    }

    fn encode(output: &GetConsoleOutputResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the specified attribute of the specified instance.
#[derive(Clone, Copy, Debug)]
pub struct DescribeInstanceAttribute;

impl Operation for DescribeInstanceAttribute {
    type Input = DescribeInstanceAttributeRequest;
    type Output = InstanceAttribute;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeInstanceAttribute";

    fn decode(members: Members) -> serde_json::Result<DescribeInstanceAttributeRequest> {
        crate::decode(members)
    }

    fn encode(output: &InstanceAttribute) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Modifies the specified attribute of the specified instance.
#[derive(Clone, Copy, Debug)]
pub struct ModifyInstanceAttribute;

impl Operation for ModifyInstanceAttribute {
    type Input = ModifyInstanceAttributeRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ModifyInstanceAttribute";

    fn decode(members: Members) -> serde_json::Result<ModifyInstanceAttributeRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ApplicationStatusSummary {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impaired_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CapacityReservationSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_preference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_target: Option<CapacityReservationTarget>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CapacityReservationSpecificationResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_preference: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_target: Option<CapacityReservationTargetResponse>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CapacityReservationTarget {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_resource_group_arn: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CapacityReservationTargetResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_resource_group_arn: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ConnectionTrackingSpecificationResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tcp_established_timeout: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_stream_timeout: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp_timeout: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CpuOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amd_sev_snp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nested_virtualization: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads_per_core: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CpuOptionsRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amd_sev_snp: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nested_virtualization: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threads_per_core: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreditSpecificationRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_credits: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DefaultConnectionTrackingConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_tcp_established_timeout: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_udp_stream_timeout: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_udp_timeout: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeInstanceAttributeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeInstanceStatusRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_all_instances: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_managed_resources: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeInstanceStatusResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_statuses: Vec<InstanceStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeInstanceTypesRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_unsupported_in_region: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_types: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeInstanceTypesResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_types: Vec<InstanceTypeInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeInstancesRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_managed_resources: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeInstancesResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reservations: Vec<Reservation>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DiskInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    #[serde(rename = "SizeInGB", skip_serializing_if = "Option::is_none")]
    pub size_in_gb: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EbsCardInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_bandwidth_in_mbps: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_iops: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_throughput_in_m_bps: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_card_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_bandwidth_in_mbps: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_iops: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_throughput_in_m_bps: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EbsInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_limit_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ebs_cards: Vec<EbsCardInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_optimized_info: Option<EbsOptimizedInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_optimized_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_ebs_attachments: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_ebs_cards: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvme_support: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EbsInstanceBlockDevice {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub associated_resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_on_termination: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_card_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_owner_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EbsInstanceBlockDeviceSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_on_termination: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EbsOptimizedInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_bandwidth_in_mbps: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_iops: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_throughput_in_m_bps: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_bandwidth_in_mbps: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_iops: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_throughput_in_m_bps: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EbsStatusDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impaired_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EbsStatusSummary {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<EbsStatusDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EfaInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_efa_interfaces: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ElasticGpuAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic_gpu_association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic_gpu_association_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic_gpu_association_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic_gpu_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ElasticGpuSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ElasticInferenceAccelerator {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ElasticInferenceAcceleratorAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic_inference_accelerator_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic_inference_accelerator_association_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic_inference_accelerator_association_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub elastic_inference_accelerator_association_time: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EnaSrdSpecificationRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_udp_specification: Option<EnaSrdUdpSpecificationRequest>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EnaSrdUdpSpecificationRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_udp_enabled: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EnclaveOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EnclaveOptionsRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FpgaDeviceInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_info: Option<FpgaDeviceMemoryInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FpgaDeviceMemoryInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_in_mi_b: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct FpgaInfo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fpgas: Vec<FpgaDeviceInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_fpga_memory_in_mi_b: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetConsoleOutputRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latest: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetConsoleOutputResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GpuDeviceInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_partition_size: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logical_gpu_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_info: Option<GpuDeviceMemoryInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub workloads: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GpuDeviceMemoryInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_in_mi_b: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GpuInfo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<GpuDeviceInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_gpu_memory_in_mi_b: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HibernationOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configured: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct HibernationOptionsRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configured: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IamInstanceProfile {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct IamInstanceProfileSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InferenceAcceleratorInfo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accelerators: Vec<InferenceDeviceInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_inference_memory_in_mi_b: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InferenceDeviceInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_info: Option<InferenceDeviceMemoryInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InferenceDeviceMemoryInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_in_mi_b: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Instance {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ami_launch_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub block_device_mappings: Vec<InstanceBlockDeviceMapping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_block_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_specification: Option<CapacityReservationSpecificationResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_options: Option<CpuOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_instance_boot_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_optimized: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elastic_gpu_associations: Vec<ElasticGpuAssociation>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elastic_inference_accelerator_associations: Vec<ElasticInferenceAcceleratorAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_support: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enclave_options: Option<EnclaveOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hibernation_options: Option<HibernationOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iam_instance_profile: Option<IamInstanceProfile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_lifecycle: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_time: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub licenses: Vec<LicenseConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance_options: Option<InstanceMaintenanceOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_options: Option<InstanceMetadataOptionsResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<Monitoring>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_interfaces: Vec<InstanceNetworkInterface>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_performance_options: Option<InstanceNetworkPerformanceOptions>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpost_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_details: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_dns_name_options: Option<PrivateDnsNameOptionsResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub product_codes: Vec<ProductCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramdisk_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_device_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_device_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secondary_interfaces: Vec<InstanceSecondaryInterface>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<GroupIdentifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_dest_check: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_instance_request_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sriov_net_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<InstanceState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<StateReason>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_transition_reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_operation_update_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtualization_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceAttachmentEnaSrdSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_udp_specification: Option<InstanceAttachmentEnaSrdUdpSpecification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceAttachmentEnaSrdUdpSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_udp_enabled: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceAttribute {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub block_device_mappings: Vec<InstanceBlockDeviceMapping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_api_stop: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_api_termination: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_optimized: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_support: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enclave_options: Option<EnclaveOptions>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupIdentifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_initiated_shutdown_behavior: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_id: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub product_codes: Vec<ProductCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramdisk_id: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_device_name: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_dest_check: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sriov_net_support: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_data: Option<AttributeValue>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceBlockDeviceMapping {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs: Option<EbsInstanceBlockDevice>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceBlockDeviceMappingSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs: Option<EbsInstanceBlockDeviceSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtual_name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceIpv4Prefix {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_prefix: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceIpv6Prefix {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_prefix: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceMaintenanceOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_recovery: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reboot_migration: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceMaintenanceOptionsRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_recovery: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceMarketOptionsRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub market_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_options: Option<SpotMarketOptions>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceMetadataOptionsRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_protocol_ipv6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_put_response_hop_limit: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_tokens: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_metadata_tags: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceMetadataOptionsResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_protocol_ipv6: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_put_response_hop_limit: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http_tokens: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_metadata_tags: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceNetworkInterface {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association: Option<InstanceNetworkInterfaceAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<InstanceNetworkInterfaceAttachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_tracking_configuration: Option<ConnectionTrackingSpecificationResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupIdentifier>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv4_prefixes: Vec<InstanceIpv4Prefix>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_addresses: Vec<InstanceIpv6Address>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_prefixes: Vec<InstanceIpv6Prefix>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_ip_addresses: Vec<InstancePrivateIpAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_dest_check: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vpc_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceNetworkInterfaceAssociation {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carrier_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer_owned_ip: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip_owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ip: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceNetworkInterfaceAttachment {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_on_termination: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_queue_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_specification: Option<InstanceAttachmentEnaSrdSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_card_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceNetworkInterfaceSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub associate_carrier_ip_address: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub associate_public_ip_address: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_tracking_specification: Option<ConnectionTrackingSpecificationRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_on_termination: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_queue_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_specification: Option<EnaSrdSpecificationRequest>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_prefix_count: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv4_prefixes: Vec<Ipv4PrefixSpecificationRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_address_count: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_addresses: Vec<InstanceIpv6Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_prefix_count: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_prefixes: Vec<Ipv6PrefixSpecificationRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_card_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary_ipv6: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_ip_addresses: Vec<PrivateIpAddressSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary_private_ip_address_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceNetworkPerformanceOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_weighting: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceNetworkPerformanceOptionsRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bandwidth_weighting: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstancePrivateIpAddress {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub association: Option<InstanceNetworkInterfaceAssociation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub primary: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_dns_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceSecondaryInterface {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment: Option<InstanceSecondaryInterfaceAttachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_ip_addresses: Vec<InstanceSecondaryInterfacePrivateIpAddress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary_interface_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary_network_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary_subnet_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_dest_check: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceSecondaryInterfaceAttachment {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attachment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_on_termination: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_card_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceSecondaryInterfacePrivateIpAddress {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceSecondaryInterfacePrivateIpAddressRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceSecondaryInterfaceSpecificationRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_on_termination: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_card_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip_address_count: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub private_ip_addresses: Vec<InstanceSecondaryInterfacePrivateIpAddressRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary_subnet_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceState {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceStateChange {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_state: Option<InstanceState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous_state: Option<InstanceState>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub application_status: Option<ApplicationStatusSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attached_ebs_status: Option<EbsStatusSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<InstanceStatusEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_state: Option<InstanceState>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_status: Option<InstanceStatusSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpost_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance_status: Option<PerformanceStatusSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_status: Option<InstanceStatusSummary>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceStatusDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impaired_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceStatusEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before_deadline: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceStatusSummary {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<InstanceStatusDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceStorageInfo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DiskInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nvme_support: Option<String>,
    #[serde(rename = "TotalSizeInGB", skip_serializing_if = "Option::is_none")]
    pub total_size_in_gb: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceTypeInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_recovery_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bare_metal: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub burstable_performance_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_generation: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dedicated_hosts_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_info: Option<EbsInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fpga_info: Option<FpgaInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_tier_eligible: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gpu_info: Option<GpuInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hibernation_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inference_accelerator_info: Option<InferenceAcceleratorInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_storage_info: Option<InstanceStorageInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_storage_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_accelerator_info: Option<MediaAcceleratorInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_info: Option<MemoryInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_info: Option<NetworkInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neuron_info: Option<NeuronInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nitro_enclaves_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nitro_tpm_info: Option<NitroTpmInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nitro_tpm_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phc_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement_group_info: Option<PlacementGroupInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processor_info: Option<ProcessorInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reboot_migration_support: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_boot_modes: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supported_in_region: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_root_device_types: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_usage_classes: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_virtualization_types: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub v_cpu_info: Option<VCpuInfo>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LaunchTemplateSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_template_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_template_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LicenseConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license_configuration_arn: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct LicenseConfigurationRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license_configuration_arn: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MediaAcceleratorInfo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub accelerators: Vec<MediaDeviceInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_media_memory_in_mi_b: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MediaDeviceInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_info: Option<MediaDeviceMemoryInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MediaDeviceMemoryInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_in_mi_b: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct MemoryInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_in_mi_b: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifyInstanceAttributeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub block_device_mappings: Vec<InstanceBlockDeviceMappingSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_api_stop: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_api_termination: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_optimized: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_support: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enclave_options: Option<EnclaveOptionsRequest>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_initiated_shutdown_behavior: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramdisk: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_dest_check: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sriov_net_support: Option<AttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_data: Option<SecureBlobAttributeValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Monitoring {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metric_category_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkCardInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_flexible_network_interfaces: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub baseline_bandwidth_in_gbps: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_ena_queue_count_per_interface: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interface_types: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_ena_queue_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_ena_queue_count_per_interface: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_network_interfaces: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_card_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_performance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bandwidth_in_gbps: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NetworkInfo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bandwidth_weightings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_tracking_configuration: Option<DefaultConnectionTrackingConfiguration>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_network_card_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efa_info: Option<EfaInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub efa_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_srd_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption_in_transit_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flexible_ena_queues_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_addresses_per_interface: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv4_addresses_per_secondary_interface: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_addresses_per_interface: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_network_cards: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_network_interfaces: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maximum_secondary_network_interfaces: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_cards: Vec<NetworkCardInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_performance: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secondary_network_supported: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NeuronDeviceCoreInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NeuronDeviceInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub core_info: Option<NeuronDeviceCoreInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_info: Option<NeuronDeviceMemoryInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NeuronDeviceMemoryInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size_in_mi_b: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NeuronInfo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub neuron_devices: Vec<NeuronDeviceInfo>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_neuron_device_memory_in_mi_b: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct NitroTpmInfo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_versions: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PerformanceStatusSummary {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub impaired_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remediation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Placement {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_resource_group_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partition_number: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spread_domain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenancy: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PlacementGroupInfo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_strategies: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PrivateDnsNameOptionsRequest {
    #[serde(rename = "EnableResourceNameDnsAAAARecord", skip_serializing_if = "Option::is_none")]
    pub enable_resource_name_dns_aaaa_record: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_resource_name_dns_a_record: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PrivateDnsNameOptionsResponse {
    #[serde(rename = "EnableResourceNameDnsAAAARecord", skip_serializing_if = "Option::is_none")]
    pub enable_resource_name_dns_aaaa_record: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_resource_name_dns_a_record: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ProcessorInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_architectures: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_features: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sustained_clock_speed_in_ghz: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RebootInstancesRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Reservation {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupIdentifier>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instances: Vec<Instance>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requester_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reservation_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunInstancesMonitoringEnabled {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub metric_category_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RunInstancesRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_info: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub block_device_mappings: Vec<BlockDeviceMapping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity_reservation_specification: Option<CapacityReservationSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_options: Option<CpuOptionsRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credit_specification: Option<CreditSpecificationRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_api_stop: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disable_api_termination: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_optimized: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elastic_gpu_specification: Vec<ElasticGpuSpecification>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elastic_inference_accelerators: Vec<ElasticInferenceAccelerator>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enable_primary_ipv6: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enclave_options: Option<EnclaveOptionsRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hibernation_options: Option<HibernationOptionsRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iam_instance_profile: Option<IamInstanceProfileSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_initiated_shutdown_behavior: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_market_options: Option<InstanceMarketOptionsRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ipv6_address_count: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ipv6_addresses: Vec<InstanceIpv6Address>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub launch_template: Option<LaunchTemplateSpecification>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub license_specifications: Vec<LicenseConfigurationRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance_options: Option<InstanceMaintenanceOptionsRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_options: Option<InstanceMetadataOptionsRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring: Option<RunInstancesMonitoringEnabled>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub network_interfaces: Vec<InstanceNetworkInterfaceSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_performance_options: Option<InstanceNetworkPerformanceOptionsRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_dns_name_options: Option<PrivateDnsNameOptionsRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub private_ip_address: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramdisk_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secondary_interfaces: Vec<InstanceSecondaryInterfaceSpecificationRequest>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_group_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_data: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SecureBlobAttributeValue {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SpotMarketOptions {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_duration_minutes: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_interruption_behavior: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_price: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spot_instance_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StartInstancesRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_info: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StartInstancesResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub starting_instances: Vec<InstanceStateChange>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StopInstancesRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hibernate: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_os_shutdown: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StopInstancesResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stopping_instances: Vec<InstanceStateChange>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TerminateInstancesRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub instance_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip_os_shutdown: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct TerminateInstancesResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub terminating_instances: Vec<InstanceStateChange>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VCpuInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_cores: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_threads_per_core: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_v_cpus: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub valid_cores: Vec<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub valid_threads_per_core: Vec<i32>,
}
