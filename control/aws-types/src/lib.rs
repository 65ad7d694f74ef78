//! Typed inputs and outputs of the AWS operations that hived implements, generated from botocore's models by hive-codegen.
//!
//! Members carry their model names in JSON (PascalCase), as on the bus: absent scalars and empty lists are left out, timestamps
//! are RFC 3339 texts, blobs base64 texts, enumerations plain texts. `DryRun` is the gateway's and appears nowhere.

#![forbid(unsafe_code)]

pub mod ebs;
pub mod ec2;
pub mod operations;
pub mod sts;

pub use operations::OPERATIONS;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// An operation as a type: `server.on::<RunInstances>(handler)`.
pub trait Operation {
    type Input: DeserializeOwned + Serialize + Send + 'static;
    type Output: DeserializeOwned + Serialize + Send + 'static;
    /// `ec2`
    const SERVICE: &'static str;
    /// `RunInstances`
    const NAME: &'static str;

    /// Here, and not where they are called, because the compiler then makes the code of all types once.
    ///
    /// # Errors
    /// The members are none of the input's.
    fn decode(members: Members) -> serde_json::Result<Self::Input>;

    /// # Errors
    /// Never of a type that was generated: their keys are texts.
    fn encode(output: &Self::Output) -> serde_json::Result<Members>;
}

/// What of a request or reply is on the bus.
pub type Members = serde_json::Map<String, serde_json::Value>;

fn decode<T: DeserializeOwned>(members: Members) -> serde_json::Result<T> {
    serde_json::from_value(serde_json::Value::Object(members))
}

fn encode<T: Serialize>(output: &T) -> serde_json::Result<Members> {
    match serde_json::to_value(output)? {
        serde_json::Value::Object(members) => Ok(members),
        _ => Err(serde::ser::Error::custom("an output is no object")),
    }
}

/// An operation by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationId {
    pub service: &'static str,
    pub name: &'static str,
}

/// Input or output of an operation that has no members to carry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Whether hived has a handler for the operation.
pub fn is_implemented(service: &str, name: &str) -> bool {
    OPERATIONS.iter().any(|operation| operation.service == service && operation.name == name)
}
