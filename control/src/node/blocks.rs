//! Answers what workers ask of this node's blockd: see [`crate::api::BlocksRequest`].

use super::Node;
use super::backend::{Blockd, take};
use super::instance::since;
use super::written::Written;
use crate::api::{BlocksReply, BlocksRequest, blocks_subject, is_passed_on};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hive_blockd_api as blockd;
use hive_bus::{Bus, BusError, Refusal, Serving};
use hive_types::envelope::API_TIMEOUT_MS;
use hive_types::id::SnapshotId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Requests that run at a time; each may hold a block of 512 KiB several times over.
const MAX_CONCURRENT_REQUESTS: usize = 32;
/// A caller hears nothing of what happens later, and must not find a snapshot of a later instant.
const CALL_TIMEOUT: Duration = Duration::from_millis(API_TIMEOUT_MS);

pub async fn serve(node: &Arc<Node>, bus: &Bus) -> Result<Serving, BusError> {
    let (blockd, written) = (node.blockd.clone(), node.written.clone());
    let answer = move |request: BlocksRequest| {
        let (blockd, written) = (blockd.clone(), written.clone());
        async move { answer(&blockd, &written, request).await }
    };
    let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_REQUESTS));
    bus.serve(&blocks_subject(&node.config.node_id), &node.config.node_id, permits, answer).await
}

fn refuse(error: impl std::fmt::Display) -> Refusal {
    Refusal(error.to_string())
}

fn name(id: &SnapshotId) -> Result<blockd::SnapshotId, Refusal> {
    id.as_str().parse().map_err(refuse)
}

async fn answer(blockd: &Blockd, written: &Written, request: BlocksRequest) -> Result<BlocksReply, Refusal> {
    match request {
        BlocksRequest::Blockd(request) if is_passed_on(&request) => {
            Ok(BlocksReply::Blockd(blockd.pass(&request).await))
        }
        BlocksRequest::Blockd(_) => Err(Refusal("this is not asked of blockd over the bus".into())),
        BlocksRequest::Take { snapshots, asked_at } => {
            if since(asked_at) > CALL_TIMEOUT {
                return Err(Refusal("the call that wants these snapshots is over".into()));
            }
            let request = take(&snapshots).map_err(refuse)?;
            Ok(BlocksReply::Blockd(blockd.pass(&request).await))
        }
        BlocksRequest::Put { snapshot_id, block_index, data, digest } => {
            let decoded = STANDARD.decode(&digest).ok().and_then(|bytes| bytes.try_into().ok());
            let digest = decoded.ok_or_else(|| Refusal("the digest is not base64 of 32 bytes".into()))?;
            let put = blockd::Request::PutSnapshotBlock { snapshot_id: name(&snapshot_id)?, block_index, data };
            let reply = blockd.pass(&put).await;
            if !matches!(reply, blockd::Reply::Error { .. }) {
                on_disk(written, move |written| written.note(&snapshot_id, block_index, &digest)).await?;
            }
            Ok(BlocksReply::Blockd(reply))
        }
        BlocksRequest::Complete { snapshot_id, changed_blocks, digest } => {
            let id = snapshot_id.clone();
            let summary = on_disk(written, move |written| written.summary(&id)).await?;
            let found = STANDARD.encode(summary.digest);
            if summary.blocks != changed_blocks {
                return Ok(BlocksReply::WrongCount(summary.blocks));
            }
            if digest.is_some_and(|digest| digest != found) {
                return Ok(BlocksReply::WrongDigest(found));
            }
            let complete = blockd::Request::CompleteSnapshot { snapshot_id: name(&snapshot_id)? };
            Ok(BlocksReply::Blockd(blockd.pass(&complete).await))
        }
    }
}

async fn on_disk<T: Send + 'static>(
    written: &Written,
    work: impl FnOnce(&Written) -> std::io::Result<T> + Send + 'static,
) -> Result<T, Refusal> {
    let written = written.clone();
    let done = tokio::task::spawn_blocking(move || work(&written)).await;
    done.map_err(std::io::Error::other)
        .flatten()
        .map_err(|error| Refusal(format!("the list of written blocks: {error}")))
}
