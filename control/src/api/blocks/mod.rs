//! The EBS direct APIs: blocks of 512 KiB of snapshots, read and written without a volume. Each call is passed on to the node that
//! holds the snapshot's data.

pub mod read;
mod token;
pub mod write;

use super::nodes::Unasked;
use super::{Api, Call};
use crate::error::{Error, not_found};
use crate::store::{SnapshotRecord, SnapshotState};
use hive_blockd_api::{ErrorKind, SNAPSHOT_BLOCK_BYTES};
use hive_types::ApiError;
use hive_types::error::{BlockFault, Resource};
use hive_types::id::SnapshotId;

const CHECKSUM_ALGORITHM: &str = "SHA256";

fn refuse(fault: BlockFault, reason: impl Into<String>) -> Error {
    ApiError::Blocks { fault, reason: reason.into() }.into()
}

/// The model lets more through than is an id.
fn parse(id: Option<String>) -> Result<SnapshotId, Error> {
    let id = id.unwrap_or_default();
    id.parse().map_err(|_| refuse(BlockFault::Snapshot, format!("The snapshot ID '{id}' is not valid.")))
}

fn index(block_index: Option<i32>) -> Result<u32, Error> {
    let block_index = block_index.unwrap_or(-1);
    u32::try_from(block_index).map_err(|_| refuse(BlockFault::Block, format!("{block_index} is no block index.")))
}

/// Blocks of a snapshot of this size.
fn block_count(snapshot: &SnapshotRecord) -> u64 {
    (u64::from(snapshot.size_gib) << 30) / SNAPSHOT_BLOCK_BYTES
}

/// The snapshot, if its data is complete and the caller may read it.
async fn find_readable(api: &Api, call: &Call, id: &SnapshotId) -> Result<SnapshotRecord, Error> {
    let snapshot = super::snapshots::find(api, call, id).await?;
    match snapshot.state {
        SnapshotState::Completed => Ok(snapshot),
        state => {
            let reason = format!("The snapshot {id} is '{}'; only completed snapshots can be read.", state.name());
            Err(refuse(BlockFault::Snapshot, reason))
        }
    }
}

/// What the caller is told when blockd has not done it; `invalid` is what blockd's word for a wrong parameter means here.
fn unasked(id: &SnapshotId, error: Unasked, invalid: BlockFault) -> Error {
    match error {
        Unasked::Refused { kind: ErrorKind::NotFound, .. } => not_found(Resource::Snapshot, id),
        Unasked::Refused { kind: ErrorKind::InUse | ErrorKind::Exists, message } => {
            refuse(BlockFault::Snapshot, message)
        }
        Unasked::Refused { kind: ErrorKind::Invalid, message } => refuse(invalid, message),
        other => other.into_error(),
    }
}
