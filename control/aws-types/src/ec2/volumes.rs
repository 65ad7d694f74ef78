// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Creates an EBS volume that can be attached to an instance in the same Availability Zone.
#[derive(Clone, Copy, Debug)]
pub struct CreateVolume;

impl Operation for CreateVolume {
    type Input = CreateVolumeRequest;
    type Output = Volume;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateVolume";

    fn decode(members: Members) -> serde_json::Result<CreateVolumeRequest> {
        crate::decode(members)
    }

    fn encode(output: &Volume) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the specified EBS volumes or all of your EBS volumes.
#[derive(Clone, Copy, Debug)]
pub struct DescribeVolumes;

impl Operation for DescribeVolumes {
    type Input = DescribeVolumesRequest;
    type Output = DescribeVolumesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeVolumes";

    fn decode(members: Members) -> serde_json::Result<DescribeVolumesRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeVolumesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes the specified EBS volume.
#[derive(Clone, Copy, Debug)]
pub struct DeleteVolume;

impl Operation for DeleteVolume {
    type Input = DeleteVolumeRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteVolume";

    fn decode(members: Members) -> serde_json::Result<DeleteVolumeRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Attaches an Amazon EBS volume to a running or stopped instance, and exposes it to the instance with the specified device name.
#[derive(Clone, Copy, Debug)]
pub struct AttachVolume;

impl Operation for AttachVolume {
    type Input = AttachVolumeRequest;
    type Output = VolumeAttachment;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "AttachVolume";

    fn decode(members: Members) -> serde_json::Result<AttachVolumeRequest> {
        crate::decode(members)
    }

    fn encode(output: &VolumeAttachment) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Detaches an EBS volume from an instance.
#[derive(Clone, Copy, Debug)]
pub struct DetachVolume;

impl Operation for DetachVolume {
    type Input = DetachVolumeRequest;
    type Output = VolumeAttachment;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DetachVolume";

    fn decode(members: Members) -> serde_json::Result<DetachVolumeRequest> {
        crate::decode(members)
    }

    fn encode(output: &VolumeAttachment) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// You can modify several parameters of an existing EBS volume, including volume size, volume type, and IOPS capacity.
#[derive(Clone, Copy, Debug)]
pub struct ModifyVolume;

impl Operation for ModifyVolume {
    type Input = ModifyVolumeRequest;
    type Output = ModifyVolumeResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ModifyVolume";

    fn decode(members: Members) -> serde_json::Result<ModifyVolumeRequest> {
        crate::decode(members)
    }

    fn encode(output: &ModifyVolumeResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the most recent volume modification request for the specified EBS volumes.
#[derive(Clone, Copy, Debug)]
pub struct DescribeVolumesModifications;

impl Operation for DescribeVolumesModifications {
    type Input = DescribeVolumesModificationsRequest;
    type Output = DescribeVolumesModificationsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeVolumesModifications";

    fn decode(members: Members) -> serde_json::Result<DescribeVolumesModificationsRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeVolumesModificationsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the status of the specified volumes.
#[derive(Clone, Copy, Debug)]
pub struct DescribeVolumeStatus;

impl Operation for DescribeVolumeStatus {
    type Input = DescribeVolumeStatusRequest;
    type Output = DescribeVolumeStatusResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeVolumeStatus";

    fn decode(members: Members) -> serde_json::Result<DescribeVolumeStatusRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeVolumeStatusResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the specified attribute of the specified volume.
#[derive(Clone, Copy, Debug)]
pub struct DescribeVolumeAttribute;

impl Operation for DescribeVolumeAttribute {
    type Input = DescribeVolumeAttributeRequest;
    type Output = DescribeVolumeAttributeResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeVolumeAttribute";

    fn decode(members: Members) -> serde_json::Result<DescribeVolumeAttributeRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeVolumeAttributeResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Modifies a volume attribute.
#[derive(Clone, Copy, Debug)]
pub struct ModifyVolumeAttribute;

impl Operation for ModifyVolumeAttribute {
    type Input = ModifyVolumeAttributeRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ModifyVolumeAttribute";

    fn decode(members: Members) -> serde_json::Result<ModifyVolumeAttributeRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AttachVolumeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_card_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateVolumeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iops: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_attach_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpost_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_initialization_rate: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteVolumeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeVolumeAttributeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeVolumeAttributeResult {
    #[serde(rename = "AutoEnableIO", skip_serializing_if = "Option::is_none")]
    pub auto_enable_io: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub product_codes: Vec<ProductCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeVolumeStatusRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_managed_resources: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeVolumeStatusResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_statuses: Vec<VolumeStatusItem>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeVolumesModificationsRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_managed_resources: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeVolumesModificationsResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes_modifications: Vec<VolumeModification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeVolumesRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_managed_resources: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volume_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeVolumesResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub volumes: Vec<Volume>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DetachVolumeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub force: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InitializationStatusDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimated_time_to_complete_in_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initialization_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifyVolumeAttributeRequest {
    #[serde(rename = "AutoEnableIO", skip_serializing_if = "Option::is_none")]
    pub auto_enable_io: Option<AttributeBooleanValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifyVolumeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iops: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_attach_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifyVolumeResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_modification: Option<VolumeModification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Volume {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<VolumeAttachment>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fast_restored: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iops: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_attach_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpost_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_volume_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sse_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throughput: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_initialization_rate: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeAttachment {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub associated_resource: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attach_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_on_termination: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_card_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_owning_service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeModification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modification_state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_iops: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_multi_attach_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_size: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_throughput: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original_volume_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_iops: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_multi_attach_enabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_size: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_throughput: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_volume_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeStatusAction {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeStatusAttachmentStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_performance: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeStatusDetails {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeStatusEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_before: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeStatusInfo {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<VolumeStatusDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct VolumeStatusItem {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<VolumeStatusAction>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachment_statuses: Vec<VolumeStatusAttachmentStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<VolumeStatusEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initialization_status_details: Option<InitializationStatusDetails>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<OperatorResponse>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpost_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_status: Option<VolumeStatusInfo>,
}
