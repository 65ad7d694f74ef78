//! What stops a handler: something to tell the caller, or a fault of ours.

use hive_bus::{BusError, StoreError, TableError};
use hive_types::ApiError;
use hive_types::error::{NetworkFault, Resource};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("asking another part failed")]
    Bus(#[from] BusError),
    #[error("{0}")]
    Fault(String),
}

impl Error {
    /// What the caller is told; the rest is for the log.
    pub fn into_api(self) -> ApiError {
        match self {
            Self::Api(error) => error,
            Self::Table(TableError::Store(StoreError::Unavailable { .. } | StoreError::Unknown { .. }))
            | Self::Table(TableError::Contended { .. }) => {
                ApiError::ServiceUnavailable { reason: "the state store does not answer".into() }
            }
            Self::Bus(BusError::Down { .. } | BusError::Timeout { .. } | BusError::NoResponders { .. }) => {
                ApiError::ServiceUnavailable { reason: "the node does not answer".into() }
            }
            Self::Table(_) | Self::Bus(_) | Self::Fault(_) => ApiError::Internal,
        }
    }
}

pub fn not_found(resource: Resource, id: impl ToString) -> Error {
    ApiError::NotFound { resource, id: id.to_string() }.into()
}

pub fn missing(name: &str) -> Error {
    ApiError::MissingParameter { name: name.into() }.into()
}

pub fn invalid(name: &str, value: impl ToString, reason: impl Into<String>) -> Error {
    ApiError::InvalidParameterValue { name: name.into(), value: value.to_string(), reason: reason.into() }.into()
}

pub fn unsupported(reason: impl Into<String>) -> Error {
    ApiError::UnsupportedOperation { reason: reason.into() }.into()
}

pub fn combination(reason: impl Into<String>) -> Error {
    ApiError::InvalidParameterCombination { reason: reason.into() }.into()
}

pub fn incorrect_state(reason: impl Into<String>) -> Error {
    ApiError::IncorrectState { reason: reason.into() }.into()
}

pub fn network(fault: NetworkFault, reason: impl Into<String>) -> Error {
    ApiError::Network { fault, reason: reason.into() }.into()
}

pub fn limit(resource: Resource, reason: impl Into<String>) -> Error {
    ApiError::LimitExceeded { resource, reason: reason.into() }.into()
}

/// It cannot go while others stand on it.
pub fn has_dependencies(kind: &str, id: impl ToString) -> Error {
    let reason = format!("The {kind} '{}' has dependencies and cannot be deleted.", id.to_string());
    ApiError::DependencyViolation { reason }.into()
}

pub fn not_permitted(reason: impl Into<String>) -> Error {
    ApiError::OperationNotPermitted { reason: reason.into() }.into()
}

/// The member that the call cannot do without.
pub fn required<T>(value: Option<T>, name: &str) -> Result<T, Error> {
    value.ok_or_else(|| missing(name))
}
