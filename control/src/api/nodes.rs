//! Asking a node what only it can say or do at once: its consoles, and its blockd.

use super::Api;
use crate::error::{Error, incorrect_state};
use hive_blockd_api as blockd;
use hive_bus::BusError;
use hive_types::ApiError;
use hive_types::id::{InstanceId, SnapshotId, VolumeId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `node.<id>.console`: [`ConsoleRequest`] -> [`ConsoleOutput`]
pub(crate) fn console_subject(node_id: &str) -> String {
    format!("node.{node_id}.console")
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConsoleRequest {
    pub instance_id: InstanceId,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ConsoleOutput {
    /// Standard base64 of the newest output; None when there is none yet.
    pub output: Option<String>,
}

/// `node.<id>.blocks`: [`BlocksRequest`] -> [`BlocksReply`]
pub(crate) fn blocks_subject(node_id: &str) -> String {
    format!("node.{node_id}.blocks")
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BlocksRequest {
    /// One of the requests that [`is_passed_on`] admits.
    Blockd(blockd::Request),
    /// Snapshots of one instant, that of the call which began at `asked_at`: too late for it is not at all.
    Take { snapshots: Vec<(VolumeId, SnapshotId)>, asked_at: Timestamp },
    /// Put a block, whose digest (base64 of its SHA-256) has been checked, and remember the digest.
    Put { snapshot_id: SnapshotId, block_index: u32, data: String, digest: String },
    /// Compare what was written with what the caller says was, and complete.
    Complete { snapshot_id: SnapshotId, changed_blocks: u64, digest: Option<String> },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum BlocksReply {
    Blockd(blockd::Reply),
    /// So many blocks were written, not as many as the caller says.
    WrongCount(u64),
    /// Base64 of the digest of the digests of what was written.
    WrongDigest(String),
}

/// What a worker may ask of a node's blockd over the bus: nothing that names a file, attaches, or changes a volume.
pub(crate) fn is_passed_on(request: &blockd::Request) -> bool {
    matches!(
        request,
        blockd::Request::DescribeVolume { .. }
            | blockd::Request::StartSnapshot { .. }
            | blockd::Request::CopySnapshot { .. }
            | blockd::Request::ListSnapshotBlocks { .. }
            | blockd::Request::ListChangedBlocks { .. }
            | blockd::Request::GetSnapshotBlock { .. }
    )
}

/// Why blockd has not done what it was asked.
#[derive(Debug)]
pub(crate) enum Unasked {
    /// It certainly was not done.
    Refused { kind: blockd::ErrorKind, message: String },
    /// The request did not get there.
    Unsent(Error),
    /// It may have been done.
    Unknown(Error),
}

impl Unasked {
    /// What an EC2 caller is told.
    pub fn into_error(self) -> Error {
        match self {
            Self::Refused { kind: blockd::ErrorKind::NotFound | blockd::ErrorKind::InUse, message } => {
                incorrect_state(message)
            }
            Self::Refused { kind: blockd::ErrorKind::NoSpace, message } => {
                ApiError::ServiceUnavailable { reason: message }.into()
            }
            Self::Refused { message, .. } => Error::Fault(format!("blockd refused: {message}")),
            Self::Unsent(error) | Self::Unknown(error) => error,
        }
    }
}

impl Api {
    /// Asks the node that runs the instance.
    pub(super) async fn console(&self, node_id: &str, instance_id: &InstanceId) -> Result<ConsoleOutput, Error> {
        let bus = self.bus.as_ref().ok_or_else(|| Error::Fault("no bus to ask a node on".into()))?;
        let request = ConsoleRequest { instance_id: instance_id.clone() };
        Ok(bus.request(&console_subject(node_id), &request).await?)
    }

    pub(super) async fn blocks(&self, node_id: &str, request: BlocksRequest) -> Result<BlocksReply, Unasked> {
        let Some(bus) = &self.bus else { return Err(Unasked::Unsent(Error::Fault("no bus to ask a node on".into()))) };
        match bus.request(&blocks_subject(node_id), &request).await {
            // Also what a node says whose blockd does not answer in time: it may do it yet.
            Ok(BlocksReply::Blockd(blockd::Reply::Error { kind: blockd::ErrorKind::Io, message })) => {
                Err(Unasked::Unknown(ApiError::ServiceUnavailable { reason: message }.into()))
            }
            Ok(BlocksReply::Blockd(blockd::Reply::Error { kind, message })) => Err(Unasked::Refused { kind, message }),
            Ok(reply) => Ok(reply),
            Err(error @ (BusError::Timeout { .. } | BusError::Decode { .. })) => Err(Unasked::Unknown(error.into())),
            Err(error) => Err(Unasked::Unsent(error.into())),
        }
    }

    pub(super) async fn blockd(&self, node_id: &str, request: blockd::Request) -> Result<blockd::Reply, Unasked> {
        match self.blocks(node_id, BlocksRequest::Blockd(request)).await? {
            BlocksReply::Blockd(reply) => Ok(reply),
            other => Err(Unasked::Unknown(Error::Fault(format!("a node answered {other:?}")))),
        }
    }
}

/// The name in blockd of what this id names; ids are in its alphabet.
pub(super) fn blockd_name<T>(id: &str) -> Result<T, Error>
where
    T: std::str::FromStr<Err = blockd::BadName>,
{
    id.parse().map_err(|error: blockd::BadName| Error::Fault(error.to_string()))
}
