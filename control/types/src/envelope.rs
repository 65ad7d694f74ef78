//! One API call on the bus: awsd publishes [`ApiRequest`] as JSON on `<service>.<action in lower case>` and gets an [`ApiReply`].

use crate::error::ApiError;
use crate::id::AccountId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Queue group in which hived workers share the API subjects.
pub const WORKER_QUEUE: &str = "hive-workers";
/// How long awsd waits for a worker; longer work answers early and goes on in a reconciler.
pub const API_TIMEOUT_MS: u64 = 15_000;

/// An authenticated, decoded and model-validated call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ApiRequest {
    /// The id the caller sees as `x-amzn-RequestId`.
    pub request_id: String,
    /// `ec2`, `ebs`, `iam`, `sts`, `s3`
    pub service: String,
    /// Name of the operation in the model, `RunInstances`.
    pub action: String,
    pub region: String,
    pub caller: Principal,
    /// Input members by their model names (PascalCase as in botocore), numbers and booleans typed, timestamps RFC 3339 strings,
    /// blobs as standard base64 strings, lists as arrays, absent members absent. `DryRun` is the gateway's and not here.
    pub params: Map<String, Value>,
}

/// Who signed the call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    pub account: AccountId,
    /// `arn:aws:iam::000000000000:root`, `...:user/name`
    pub arn: String,
    /// `AIDA...`, or the account id for root.
    pub user_id: String,
    pub access_key_id: String,
}

/// Output members by model names, encoded as in [`ApiRequest::params`]; or the error.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ApiReply {
    Ok(Map<String, Value>),
    Err(ApiError),
}

/// Subject of an operation: `ec2.runinstances`.
pub fn subject(service: &str, action: &str) -> String {
    format!("{service}.{}", action.to_ascii_lowercase())
}
