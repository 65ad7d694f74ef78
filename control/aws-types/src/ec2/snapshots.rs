// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Creates a snapshot of an EBS volume and stores it in Amazon S3.
#[derive(Clone, Copy, Debug)]
pub struct CreateSnapshot;

impl Operation for CreateSnapshot {
    type Input = CreateSnapshotRequest;
    type Output = Snapshot;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateSnapshot";

    fn decode(members: Members) -> serde_json::Result<CreateSnapshotRequest> {
        crate::decode(members)
    }

    fn encode(output: &Snapshot) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Creates crash-consistent snapshots of multiple EBS volumes attached to an Amazon EC2 instance.
#[derive(Clone, Copy, Debug)]
pub struct CreateSnapshots;

impl Operation for CreateSnapshots {
    type Input = CreateSnapshotsRequest;
    type Output = CreateSnapshotsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateSnapshots";

    fn decode(members: Members) -> serde_json::Result<CreateSnapshotsRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateSnapshotsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the specified EBS snapshots available to you or all of the EBS snapshots available to you.
#[derive(Clone, Copy, Debug)]
pub struct DescribeSnapshots;

impl Operation for DescribeSnapshots {
    type Input = DescribeSnapshotsRequest;
    type Output = DescribeSnapshotsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeSnapshots";

    fn decode(members: Members) -> serde_json::Result<DescribeSnapshotsRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeSnapshotsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes the specified snapshot.
#[derive(Clone, Copy, Debug)]
pub struct DeleteSnapshot;

impl Operation for DeleteSnapshot {
    type Input = DeleteSnapshotRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteSnapshot";

    fn decode(members: Members) -> serde_json::Result<DeleteSnapshotRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Creates an exact copy of an Amazon EBS snapshot.
#[derive(Clone, Copy, Debug)]
pub struct CopySnapshot;

impl Operation for CopySnapshot {
    type Input = CopySnapshotRequest;
    type Output = CopySnapshotResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CopySnapshot";

    fn decode(members: Members) -> serde_json::Result<CopySnapshotRequest> {
        crate::decode(members)
    }

    fn encode(output: &CopySnapshotResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the specified attribute of the specified snapshot.
#[derive(Clone, Copy, Debug)]
pub struct DescribeSnapshotAttribute;

impl Operation for DescribeSnapshotAttribute {
    type Input = DescribeSnapshotAttributeRequest;
    type Output = DescribeSnapshotAttributeResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeSnapshotAttribute";

    fn decode(members: Members) -> serde_json::Result<DescribeSnapshotAttributeRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeSnapshotAttributeResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Adds or removes permission settings for the specified snapshot.
#[derive(Clone, Copy, Debug)]
pub struct ModifySnapshotAttribute;

impl Operation for ModifySnapshotAttribute {
    type Input = ModifySnapshotAttributeRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ModifySnapshotAttribute";

    fn decode(members: Members) -> serde_json::Result<ModifySnapshotAttributeRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Resets permission settings for the specified snapshot.
#[derive(Clone, Copy, Debug)]
pub struct ResetSnapshotAttribute;

impl Operation for ResetSnapshotAttribute {
    type Input = ResetSnapshotAttributeRequest;
    type Output = crate::Empty;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ResetSnapshotAttribute";

    fn decode(members: Members) -> serde_json::Result<ResetSnapshotAttributeRequest> {
        crate::decode(members)
    }

    fn encode(output: &crate::Empty) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct AssociatedKmsKey {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CopySnapshotRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_duration_minutes: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_outpost_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presigned_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CopySnapshotResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateSnapshotRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpost_arn: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateSnapshotsRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_tags_from_source: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_specification: Option<InstanceSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpost_arn: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateSnapshotsResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<SnapshotInfo>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateVolumePermission {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateVolumePermissionModifications {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub add: Vec<CreateVolumePermission>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<CreateVolumePermission>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteSnapshotRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeSnapshotAttributeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeSnapshotAttributeResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub create_volume_permissions: Vec<CreateVolumePermission>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub product_codes: Vec<ProductCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeSnapshotsRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owner_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub restorable_by_user_ids: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshot_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeSnapshotsResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub snapshots: Vec<Snapshot>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceSpecification {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exclude_boot_volume: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub exclude_data_volume_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifySnapshotAttributeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_volume_permission: Option<CreateVolumePermissionModifications>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub group_names: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub user_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ResetSnapshotAttributeRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attribute: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Snapshot {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub associated_kms_keys: Vec<AssociatedKmsKey>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_duration_minutes: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_encryption_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub full_snapshot_size_in_bytes: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpost_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_alias: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore_expiry_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sse_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_message: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_tier: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_size: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct SnapshotInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outpost_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sse_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_size: Option<i32>,
}
