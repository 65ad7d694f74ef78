// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Registers an AMI.
#[derive(Clone, Copy, Debug)]
pub struct RegisterImage;

impl Operation for RegisterImage {
    type Input = RegisterImageRequest;
    type Output = RegisterImageResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "RegisterImage";

    fn decode(members: Members) -> serde_json::Result<RegisterImageRequest> {
        crate::decode(members)
    }

    fn encode(output: &RegisterImageResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the specified images (AMIs, AKIs, and ARIs) available to you or all of the images available to you.
#[derive(Clone, Copy, Debug)]
pub struct DescribeImages;

impl Operation for DescribeImages {
    type Input = DescribeImagesRequest;
    type Output = DescribeImagesResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeImages";

    fn decode(members: Members) -> serde_json::Result<DescribeImagesRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeImagesResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deregisters the specified AMI.
#[derive(Clone, Copy, Debug)]
pub struct DeregisterImage;

impl Operation for DeregisterImage {
    type Input = DeregisterImageRequest;
    type Output = DeregisterImageResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeregisterImage";

    fn decode(members: Members) -> serde_json::Result<DeregisterImageRequest> {
        crate::decode(members)
    }

    fn encode(output: &DeregisterImageResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Creates an Amazon EBS-backed AMI from an Amazon EBS-backed instance that is either running or stopped.
#[derive(Clone, Copy, Debug)]
pub struct CreateImage;

impl Operation for CreateImage {
    type Input = CreateImageRequest;
    type Output = CreateImageResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateImage";

    fn decode(members: Members) -> serde_json::Result<CreateImageRequest> {
        crate::decode(members)
    }

    fn encode(output: &CreateImageResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateImageRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub block_device_mappings: Vec<BlockDeviceMapping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_mode_override: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_reboot: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_location: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateImageResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteSnapshotReturnCode {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub return_code: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeregisterImageRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_associated_snapshots: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeregisterImageResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delete_snapshot_results: Vec<DeleteSnapshotReturnCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#return: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeImagesRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub executable_users: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_deprecated: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_disabled: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub owners: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeImagesResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<Image>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Image {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub block_device_mappings: Vec<BlockDeviceMapping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub creation_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deprecation_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deregistration_protection: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_support: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub free_tier_eligible: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hypervisor: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_allowed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_owner_alias: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub image_watermarks: Vec<ImageWatermark>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imds_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type_specification: Option<InstanceTypeSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_launched_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_details: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub product_codes: Vec<ProductCode>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_ssm_parameter_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramdisk_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_device_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_device_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scan_results: Option<ScanResults>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_image_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_image_region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_instance_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sriov_net_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state_reason: Option<StateReason>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage_operation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtualization_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageWatermark {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_image_creation_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_image_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_image_region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark_creation_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark_key: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceTypeItem {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct InstanceTypeSpecification {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub supported_instance_types: Vec<InstanceTypeItem>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unsupported_instance_types: Vec<InstanceTypeItem>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RegisterImageRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub architecture: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub billing_products: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub block_device_mappings: Vec<BlockDeviceMapping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_mode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ena_support: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_location: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imds_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ramdisk_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_device_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sriov_net_support: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tpm_support: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uefi_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub virtualization_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct RegisterImageResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ScanResults {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub critical_fix_available_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding_scan_date: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_fix_available_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest_finding_severity_label: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub informational_fix_available_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_fix_available_since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium_fix_available_since: Option<String>,
}
