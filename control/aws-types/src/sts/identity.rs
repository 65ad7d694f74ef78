// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Returns details about the IAM user or role whose credentials are used to call the operation.
#[derive(Clone, Copy, Debug)]
pub struct GetCallerIdentity;

impl Operation for GetCallerIdentity {
    type Input = GetCallerIdentityRequest;
    type Output = GetCallerIdentityResponse;
    const SERVICE: &'static str = "sts";
    const NAME: &'static str = "GetCallerIdentity";

    fn decode(members: Members) -> serde_json::Result<GetCallerIdentityRequest> {
        crate::decode(members)
    }

    fn encode(output: &GetCallerIdentityResponse) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetCallerIdentityRequest {}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetCallerIdentityResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
}
