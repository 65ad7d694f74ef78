// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Describes whether EBS encryption by default is enabled for your account in the current Region.
#[derive(Clone, Copy, Debug)]
pub struct GetEbsEncryptionByDefault;

impl Operation for GetEbsEncryptionByDefault {
    type Input = GetEbsEncryptionByDefaultRequest;
    type Output = GetEbsEncryptionByDefaultResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "GetEbsEncryptionByDefault";

    fn decode(members: Members) -> serde_json::Result<GetEbsEncryptionByDefaultRequest> {
        crate::decode(members)
    }

    fn encode(output: &GetEbsEncryptionByDefaultResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Enables EBS encryption by default for your account in the current Region.
#[derive(Clone, Copy, Debug)]
pub struct EnableEbsEncryptionByDefault;

impl Operation for EnableEbsEncryptionByDefault {
    type Input = EnableEbsEncryptionByDefaultRequest;
    type Output = EnableEbsEncryptionByDefaultResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "EnableEbsEncryptionByDefault";

    fn decode(members: Members) -> serde_json::Result<EnableEbsEncryptionByDefaultRequest> {
        crate::decode(members)
    }

    fn encode(output: &EnableEbsEncryptionByDefaultResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Disables EBS encryption by default for your account in the current Region.
#[derive(Clone, Copy, Debug)]
pub struct DisableEbsEncryptionByDefault;

impl Operation for DisableEbsEncryptionByDefault {
    type Input = DisableEbsEncryptionByDefaultRequest;
    type Output = DisableEbsEncryptionByDefaultResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DisableEbsEncryptionByDefault";

    fn decode(members: Members) -> serde_json::Result<DisableEbsEncryptionByDefaultRequest> {
        crate::decode(members)
    }

    fn encode(output: &DisableEbsEncryptionByDefaultResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the default KMS key for EBS encryption by default for your account in this Region.
#[derive(Clone, Copy, Debug)]
pub struct GetEbsDefaultKmsKeyId;

impl Operation for GetEbsDefaultKmsKeyId {
    type Input = GetEbsDefaultKmsKeyIdRequest;
    type Output = GetEbsDefaultKmsKeyIdResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "GetEbsDefaultKmsKeyId";

    fn decode(members: Members) -> serde_json::Result<GetEbsDefaultKmsKeyIdRequest> {
        crate::decode(members)
    }

    fn encode(output: &GetEbsDefaultKmsKeyIdResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Changes the default KMS key for EBS encryption by default for your account in this Region.
#[derive(Clone, Copy, Debug)]
pub struct ModifyEbsDefaultKmsKeyId;

impl Operation for ModifyEbsDefaultKmsKeyId {
    type Input = ModifyEbsDefaultKmsKeyIdRequest;
    type Output = ModifyEbsDefaultKmsKeyIdResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ModifyEbsDefaultKmsKeyId";

    fn decode(members: Members) -> serde_json::Result<ModifyEbsDefaultKmsKeyIdRequest> {
        crate::decode(members)
    }

    fn encode(output: &ModifyEbsDefaultKmsKeyIdResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Resets the default KMS key for EBS encryption for your account in this Region to the Amazon Web Services managed KMS key for EBS.
#[derive(Clone, Copy, Debug)]
pub struct ResetEbsDefaultKmsKeyId;

impl Operation for ResetEbsDefaultKmsKeyId {
    type Input = ResetEbsDefaultKmsKeyIdRequest;
    type Output = ResetEbsDefaultKmsKeyIdResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ResetEbsDefaultKmsKeyId";

    fn decode(members: Members) -> serde_json::Result<ResetEbsDefaultKmsKeyIdRequest> {
        crate::decode(members)
    }

    fn encode(output: &ResetEbsDefaultKmsKeyIdResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DisableEbsEncryptionByDefaultRequest {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DisableEbsEncryptionByDefaultResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_encryption_by_default: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EnableEbsEncryptionByDefaultRequest {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct EnableEbsEncryptionByDefaultResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_encryption_by_default: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetEbsDefaultKmsKeyIdRequest {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetEbsDefaultKmsKeyIdResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetEbsEncryptionByDefaultRequest {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetEbsEncryptionByDefaultResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ebs_encryption_by_default: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sse_type: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifyEbsDefaultKmsKeyIdRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ModifyEbsDefaultKmsKeyIdResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ResetEbsDefaultKmsKeyIdRequest {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ResetEbsDefaultKmsKeyIdResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
}
