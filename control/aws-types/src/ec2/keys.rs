// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use super::common::*;
use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Creates an ED25519 or 2048-bit RSA key pair with the specified name and in the specified format.
#[derive(Clone, Copy, Debug)]
pub struct CreateKeyPair;

impl Operation for CreateKeyPair {
    type Input = CreateKeyPairRequest;
    type Output = KeyPair;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "CreateKeyPair";

    fn decode(members: Members) -> serde_json::Result<CreateKeyPairRequest> {
        crate::decode(members)
    }

    fn encode(output: &KeyPair) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Imports the public key from an RSA or ED25519 key pair that you created using a third-party tool.
#[derive(Clone, Copy, Debug)]
pub struct ImportKeyPair;

impl Operation for ImportKeyPair {
    type Input = ImportKeyPairRequest;
    type Output = ImportKeyPairResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "ImportKeyPair";

    fn decode(members: Members) -> serde_json::Result<ImportKeyPairRequest> {
        crate::decode(members)
    }

    fn encode(output: &ImportKeyPairResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Describes the specified key pairs or all of your key pairs.
#[derive(Clone, Copy, Debug)]
pub struct DescribeKeyPairs;

impl Operation for DescribeKeyPairs {
    type Input = DescribeKeyPairsRequest;
    type Output = DescribeKeyPairsResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DescribeKeyPairs";

    fn decode(members: Members) -> serde_json::Result<DescribeKeyPairsRequest> {
        crate::decode(members)
    }

    fn encode(output: &DescribeKeyPairsResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Deletes the specified key pair, by removing the public key from Amazon EC2.
#[derive(Clone, Copy, Debug)]
pub struct DeleteKeyPair;

impl Operation for DeleteKeyPair {
    type Input = DeleteKeyPairRequest;
    type Output = DeleteKeyPairResult;
    const SERVICE: &'static str = "ec2";
    const NAME: &'static str = "DeleteKeyPair";

    fn decode(members: Members) -> serde_json::Result<DeleteKeyPairRequest> {
        crate::decode(members)
    }

    fn encode(output: &DeleteKeyPairResult) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CreateKeyPairRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_format: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_type: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteKeyPairRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_pair_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DeleteKeyPairResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_pair_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub r#return: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeKeyPairsRequest {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<Filter>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_public_key: Option<bool>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key_names: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key_pair_ids: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct DescribeKeyPairsResult {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub key_pairs: Vec<KeyPairInfo>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImportKeyPairRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key_material: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tag_specifications: Vec<TagSpecification>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImportKeyPairResult {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_pair_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KeyPair {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_material: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_pair_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct KeyPairInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub create_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_pair_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_key: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
}
