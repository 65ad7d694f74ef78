//! Listing and reading blocks.

use super::super::nodes::blockd_name;
use super::super::{Api, Call};
use super::token::{self, Tokens};
use super::{CHECKSUM_ALGORITHM, block_count, find_readable, index, parse, refuse, unasked};
use crate::error::{Error, required};
use crate::store::SnapshotRecord;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hive_aws_types::ebs::{
    Block, ChangedBlock, GetSnapshotBlockRequest, GetSnapshotBlockResponse, ListChangedBlocksRequest,
    ListChangedBlocksResponse, ListSnapshotBlocksRequest, ListSnapshotBlocksResponse,
};
use hive_blockd_api as blockd;
use hive_types::error::BlockFault;
use hive_types::id::SnapshotId;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// Changed blocks have two tokens each: so many of them stay below the bus's message size of 1 MiB. EBS too may answer fewer than
/// asked for.
const MAX_CHANGED_BLOCKS: u32 = 5000;
const BLOCK_BYTES: i32 = 512 << 10;

/// Where a page begins and how many entries it has at most.
fn page(start: Option<i32>, next: Option<&str>, max_results: Option<i32>, most: u32) -> Result<(u32, u32), Error> {
    let start_index = match (next, start) {
        (Some(next), _) => token::page_start(next)?,
        (None, Some(start)) => index(Some(start))?,
        (None, None) => 0,
    };
    let wanted = max_results.and_then(|n| u32::try_from(n).ok()).unwrap_or(most);
    Ok((start_index, wanted.min(most)))
}

/// A page's blocks as blockd lists them.
async fn list(
    api: &Api,
    snapshot: &SnapshotRecord,
    start_index: u32,
    max_results: u32,
) -> Result<blockd::BlockList, Error> {
    let id = &snapshot.snapshot_id;
    let request =
        blockd::Request::ListSnapshotBlocks { snapshot_id: blockd_name(id.as_str())?, start_index, max_results };
    let node_id = super::super::snapshots::node_of(api, snapshot).await?;
    match api.blockd(&node_id, request).await {
        Ok(blockd::Reply::Blocks(list)) => Ok(list),
        Ok(other) => Err(Error::Fault(format!("blockd listed {other:?}"))),
        Err(error) => Err(unasked(id, error, BlockFault::Parameter)),
    }
}

fn block_index(index: u32) -> Option<i32> {
    i32::try_from(index).ok()
}

pub async fn list_snapshot_blocks(
    api: Arc<Api>,
    call: Call,
    input: ListSnapshotBlocksRequest,
) -> Result<ListSnapshotBlocksResponse, Error> {
    let id = parse(input.snapshot_id)?;
    let next = input.next_token.as_deref();
    let (start, most) = page(input.starting_block_index, next, input.max_results, blockd::MAX_LISTED_BLOCKS)?;
    let snapshot = find_readable(&api, &call, &id).await?;
    let list = list(&api, &snapshot, start, most).await?;
    let (tokens, expires_at) = (Tokens::open(&api).await?, call.now + token::LIFETIME);
    let blocks = list.block_indexes.iter().map(|index| {
        Ok(Block { block_index: block_index(*index), block_token: Some(tokens.issue(&id, *index, expires_at)?) })
    });
    Ok(ListSnapshotBlocksResponse {
        blocks: blocks.collect::<Result<_, Error>>()?,
        block_size: Some(BLOCK_BYTES),
        expiry_time: Some(expires_at.to_string()),
        next_token: list.next_index.map(token::page_token),
        volume_size: Some(snapshot.size_gib.into()),
    })
}

/// What changed from the first snapshot to the second; without a first one, all that the second has.
pub async fn list_changed_blocks(
    api: Arc<Api>,
    call: Call,
    input: ListChangedBlocksRequest,
) -> Result<ListChangedBlocksResponse, Error> {
    let second_id = parse(input.second_snapshot_id)?;
    let first_id: Option<SnapshotId> = input.first_snapshot_id.map(|id| parse(Some(id))).transpose()?;
    let next = input.next_token.as_deref();
    let (start, most) = page(input.starting_block_index, next, input.max_results, MAX_CHANGED_BLOCKS)?;
    let second = find_readable(&api, &call, &second_id).await?;
    let (blocks, next_index) = match &first_id {
        Some(first_id) => {
            find_readable(&api, &call, first_id).await?;
            changed(&api, first_id, &second, start, most).await?
        }
        None => {
            let list = list(&api, &second, start, most).await?;
            let all = list.block_indexes.into_iter();
            let all = all.map(|block_index| blockd::ChangedBlock { block_index, in_first: false, in_second: true });
            (all.collect(), list.next_index)
        }
    };
    let (tokens, expires_at) = (Tokens::open(&api).await?, call.now + token::LIFETIME);
    let issue = |id: Option<&SnapshotId>, index: u32| id.map(|id| tokens.issue(id, index, expires_at)).transpose();
    let changed_blocks = blocks.iter().map(|block| {
        let first = first_id.as_ref().filter(|_| block.in_first);
        Ok(ChangedBlock {
            block_index: block_index(block.block_index),
            first_block_token: issue(first, block.block_index)?,
            second_block_token: issue(Some(&second_id).filter(|_| block.in_second), block.block_index)?,
        })
    });
    Ok(ListChangedBlocksResponse {
        changed_blocks: changed_blocks.collect::<Result<_, Error>>()?,
        block_size: Some(BLOCK_BYTES),
        expiry_time: Some(expires_at.to_string()),
        next_token: next_index.map(token::page_token),
        volume_size: Some(second.size_gib.into()),
    })
}

async fn changed(
    api: &Api,
    first: &SnapshotId,
    second: &SnapshotRecord,
    start_index: u32,
    max_results: u32,
) -> Result<(Vec<blockd::ChangedBlock>, Option<u32>), Error> {
    let request = blockd::Request::ListChangedBlocks {
        first_snapshot_id: blockd_name(first.as_str())?,
        second_snapshot_id: blockd_name(second.snapshot_id.as_str())?,
        start_index,
        max_results,
    };
    let node_id = super::super::snapshots::node_of(api, second).await?;
    match api.blockd(&node_id, request).await {
        Ok(blockd::Reply::ChangedBlocks(list)) => Ok((list.blocks, list.next_index)),
        Ok(other) => Err(Error::Fault(format!("blockd listed {other:?}"))),
        Err(error) => Err(unasked(&second.snapshot_id, error, BlockFault::UnrelatedSnapshots)),
    }
}

pub async fn get_snapshot_block(
    api: Arc<Api>,
    call: Call,
    input: GetSnapshotBlockRequest,
) -> Result<GetSnapshotBlockResponse, Error> {
    let id = parse(input.snapshot_id)?;
    let block_index = index(input.block_index)?;
    let token = required(input.block_token, "BlockToken")?;
    let snapshot = find_readable(&api, &call, &id).await?;
    if u64::from(block_index) >= block_count(&snapshot) {
        return Err(refuse(BlockFault::Block, format!("Block {block_index} is beyond the end of the snapshot.")));
    }
    Tokens::open(&api).await?.check(&token, &id, block_index, call.now)?;
    let request = blockd::Request::GetSnapshotBlock { snapshot_id: blockd_name(id.as_str())?, block_index };
    let node_id = super::super::snapshots::node_of(&api, &snapshot).await?;
    let data = match api.blockd(&node_id, request).await {
        Ok(blockd::Reply::Block { data }) => data,
        Ok(other) => return Err(Error::Fault(format!("blockd read {other:?}"))),
        Err(error) => return Err(unasked(&id, error, BlockFault::Block)),
    };
    let bytes = STANDARD.decode(&data).map_err(|_| Error::Fault("a block of blockd is not base64".into()))?;
    Ok(GetSnapshotBlockResponse {
        data_length: i32::try_from(bytes.len()).ok(),
        checksum: Some(STANDARD.encode(Sha256::digest(&bytes))),
        checksum_algorithm: Some(CHECKSUM_ALGORITHM.into()),
        block_data: Some(data),
    })
}
