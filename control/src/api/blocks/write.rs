//! Snapshots written block by block: started, filled, completed.

use super::super::nodes::{BlocksReply, BlocksRequest, Unasked, blockd_name};
use super::super::{Api, Call, encryption, idempotency, instances, snapshots, tags};
use super::{CHECKSUM_ALGORITHM, block_count, index, parse, refuse, unasked};
use crate::error::{Error, required};
use crate::random;
use crate::store::{DrawnIds, Origin, SnapshotRecord, SnapshotState};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hive_aws_types::{ebs, ec2};
use hive_blockd_api as blockd;
use hive_types::ApiError;
use hive_types::error::{BlockFault, Resource};
use hive_types::id::SnapshotId;
use sha2::{Digest, Sha256};
use std::sync::Arc;

const DEFAULT_TIMEOUT_MINUTES: u32 = 60;
/// EBS's default quota of pending snapshots of this kind.
const MAX_PENDING: usize = 100;
const MAX_SIZE_GIB: u32 = 16_384;

/// Tags have the same rules as everywhere; only the words of a refusal differ.
fn check_tags(given: &[ebs::Tag]) -> Result<crate::store::Tags, Error> {
    let given: Vec<ec2::Tag> =
        given.iter().map(|tag| ec2::Tag { key: tag.key.clone(), value: tag.value.clone() }).collect();
    tags::from_api(&given)
}

async fn find_parent(api: &Api, call: &Call, id: &SnapshotId, size_gib: u32) -> Result<SnapshotRecord, Error> {
    let parent = snapshots::find_own(api, call, id).await?;
    if parent.state != SnapshotState::Completed {
        let reason = format!("The parent snapshot {id} is '{}', not 'completed'.", parent.state.name());
        return Err(refuse(BlockFault::Snapshot, reason));
    }
    if size_gib < parent.size_gib {
        let reason = format!("The parent snapshot needs a volume size of at least {} GiB.", parent.size_gib);
        return Err(refuse(BlockFault::VolumeSize, reason));
    }
    Ok(parent)
}

/// The key of the new snapshot: the parent's, or as the call and the account say.
async fn key_of(
    api: &Api,
    call: &Call,
    input: &ebs::StartSnapshotRequest,
    parent: Option<&SnapshotRecord>,
) -> Result<Option<String>, Error> {
    if parent.is_some() && (input.encrypted.is_some() || input.kms_key_arn.is_some()) {
        return Err(refuse(
            BlockFault::Parameter,
            "Encryption is the parent snapshot's: omit Encrypted and KmsKeyArn.",
        ));
    }
    let is_parents = parent.is_some_and(|parent| parent.encrypted);
    let key = encryption::key_for(api, call, input.encrypted, input.kms_key_arn.as_deref(), is_parents).await;
    match key {
        Err(Error::Api(refused)) => Err(refuse(BlockFault::CustomerKey, refused.to_string())),
        key => key,
    }
}

pub async fn start_snapshot(
    api: Arc<Api>,
    call: Call,
    input: ebs::StartSnapshotRequest,
) -> Result<ebs::StartSnapshotResponse, Error> {
    let size = required(input.volume_size, "VolumeSize")?;
    let size_gib = u32::try_from(size).ok().filter(|size| (1..=MAX_SIZE_GIB).contains(size));
    let size_gib = size_gib.ok_or_else(|| {
        refuse(BlockFault::VolumeSize, format!("A volume size of {size} GiB is not among 1 to {MAX_SIZE_GIB}."))
    })?;
    let parent_id = input.parent_snapshot_id.clone().map(|id| parse(Some(id))).transpose()?;
    let tags = check_tags(&input.tags)?;
    let parent = match &parent_id {
        Some(id) => Some(find_parent(&api, &call, id, size_gib).await?),
        None => None,
    };
    let kms_key_id = key_of(&api, &call, &input, parent.as_ref()).await?;
    check_quota(&api, &call).await?;
    let node_id = match &parent {
        Some(parent) => snapshots::node_of(&api, parent).await?,
        None => instances::placement::any_node(&api).await?.node_id,
    };

    let parameters = ebs::StartSnapshotRequest { client_token: None, ..input.clone() };
    // EBS takes longer tokens than EC2, whose limit the digest keeps.
    let token = input.client_token.as_deref().map(|token| hex::encode(Sha256::digest(token)));
    let draw = || Ok(DrawnIds::Snapshot(SnapshotId::from_random(random::draw()?)));
    let drawn = idempotency::draw(&api, &call, "StartSnapshot", token.as_deref(), &parameters, draw).await?;
    let DrawnIds::Snapshot(snapshot_id) = drawn.ids.clone() else {
        return Err(Error::Fault("a StartSnapshot token holds other ids".into()));
    };
    let timeout_minutes = input.timeout.and_then(|minutes| u32::try_from(minutes).ok());
    let origin = Origin::Blocks {
        timeout_minutes: timeout_minutes.unwrap_or(DEFAULT_TIMEOUT_MINUTES),
        parent: parent_id,
        is_completing: false,
    };
    let record = SnapshotRecord {
        snapshot_id,
        node_id: Some(node_id.clone()),
        encrypted: kms_key_id.is_some(),
        kms_key_id,
        boot: parent.as_ref().and_then(|parent| parent.boot.clone()),
        description: input.description.unwrap_or_default(),
        tags,
        ..snapshots::new_record(&call.caller.account, origin, size_gib, call.now)?
    };
    let is_new = api.stores.snapshots.create(&record.key(), &record).await?;
    // Else a repeated token.
    let record = if is_new { record } else { snapshots::find_own(&api, &call, &record.snapshot_id).await? };
    let request = blockd::Request::StartSnapshot {
        snapshot_id: blockd_name(record.snapshot_id.as_str())?,
        size_bytes: u64::from(size_gib) << 30,
        parent_snapshot_id: parent.as_ref().map(|parent| blockd_name(parent.snapshot_id.as_str())).transpose()?,
        encrypted: record.encrypted,
    };
    match api.blockd(&node_id, request).await {
        Ok(_) => Ok(started(&record, parent.as_ref())),
        Err(unknown @ Unasked::Unknown(_)) => Err(unknown.into_error()),
        // What an earlier call has started stays, whatever this one is told.
        Err(error) if is_new => {
            let is_pending = |found: &SnapshotRecord| Ok::<_, Error>(found.state == SnapshotState::Pending);
            api.stores.snapshots.delete_if(record.key(), is_pending).await?;
            idempotency::forget(&api, &drawn).await?;
            Err(unasked(&record.snapshot_id, error, BlockFault::Parameter))
        }
        Err(error) => Err(unasked(&record.snapshot_id, error, BlockFault::Parameter)),
    }
}

async fn check_quota(api: &Api, call: &Call) -> Result<(), Error> {
    let all = snapshots::all(api).await?;
    let pending = all.iter().filter(|s| {
        s.account == call.caller.account
            && s.state == SnapshotState::Pending
            && matches!(s.origin, Origin::Blocks { .. })
    });
    if pending.count() >= MAX_PENDING {
        let reason = format!("You have {MAX_PENDING} pending snapshots of this kind.");
        return Err(ApiError::LimitExceeded { resource: Resource::Snapshot, reason }.into());
    }
    Ok(())
}

fn started(record: &SnapshotRecord, parent: Option<&SnapshotRecord>) -> ebs::StartSnapshotResponse {
    let tag = |(key, value): (&String, &String)| ebs::Tag { key: Some(key.clone()), value: Some(value.clone()) };
    ebs::StartSnapshotResponse {
        block_size: i32::try_from(blockd::SNAPSHOT_BLOCK_BYTES).ok(),
        description: Some(record.description.clone()).filter(|text| !text.is_empty()),
        kms_key_arn: record.kms_key_id.clone(),
        owner_id: Some(record.account.to_string()),
        parent_snapshot_id: parent.map(|parent| parent.snapshot_id.to_string()),
        snapshot_id: Some(record.snapshot_id.to_string()),
        sse_type: encryption::sse_type(record.encrypted),
        start_time: Some(record.created_at.to_string()),
        status: Some(record.state.name().into()),
        tags: record.tags.iter().map(tag).collect(),
        volume_size: Some(record.size_gib.into()),
    }
}

/// The caller's own snapshot that still takes blocks.
async fn find_writable(api: &Api, call: &Call, id: &SnapshotId) -> Result<SnapshotRecord, Error> {
    let snapshot = snapshots::find_own(api, call, id).await?;
    if snapshot.state != SnapshotState::Pending || !matches!(snapshot.origin, Origin::Blocks { .. }) {
        let reason = format!("The snapshot {id} is not one that was started and is still pending.");
        return Err(refuse(BlockFault::Snapshot, reason));
    }
    Ok(snapshot)
}

fn check_algorithm(algorithm: Option<&str>) -> Result<(), Error> {
    match algorithm {
        Some(CHECKSUM_ALGORITHM) => Ok(()),
        _ => Err(refuse(BlockFault::Parameter, "The only checksum algorithm is SHA256.")),
    }
}

/// The digest of the data, if it is a whole block and the one that the caller computed of it.
fn check_block(input: &ebs::PutSnapshotBlockRequest) -> Result<String, Error> {
    check_algorithm(input.checksum_algorithm.as_deref())?;
    let data = STANDARD.decode(input.block_data.as_deref().unwrap_or_default());
    let data = data.map_err(|_| Error::Fault("the gateway passed a block that is not base64".into()))?;
    let declared = input.data_length.unwrap_or(0);
    if u64::try_from(declared) != Ok(blockd::SNAPSHOT_BLOCK_BYTES)
        || u64::try_from(data.len()) != Ok(blockd::SNAPSHOT_BLOCK_BYTES)
    {
        let reason = format!("A block has {} bytes.", blockd::SNAPSHOT_BLOCK_BYTES);
        return Err(refuse(BlockFault::Block, reason));
    }
    let digest = STANDARD.encode(Sha256::digest(&data));
    if input.checksum.as_deref() != Some(&digest) {
        return Err(refuse(BlockFault::Block, "The checksum is not that of the data."));
    }
    Ok(digest)
}

pub async fn put_snapshot_block(
    api: Arc<Api>,
    call: Call,
    input: ebs::PutSnapshotBlockRequest,
) -> Result<ebs::PutSnapshotBlockResponse, Error> {
    let id = parse(input.snapshot_id.clone())?;
    let block_index = index(input.block_index)?;
    let digest = check_block(&input)?;
    let snapshot = find_writable(&api, &call, &id).await?;
    if u64::from(block_index) >= block_count(&snapshot) {
        return Err(refuse(BlockFault::Block, format!("Block {block_index} is beyond the end of the snapshot.")));
    }
    let data = input.block_data.unwrap_or_default();
    let request = BlocksRequest::Put { snapshot_id: id.clone(), block_index, data, digest: digest.clone() };
    let node_id = snapshots::node_of(&api, &snapshot).await?;
    api.blocks(&node_id, request).await.map_err(|error| unasked(&id, error, BlockFault::Block))?;
    Ok(ebs::PutSnapshotBlockResponse { checksum: Some(digest), checksum_algorithm: Some(CHECKSUM_ALGORITHM.into()) })
}

pub async fn complete_snapshot(
    api: Arc<Api>,
    call: Call,
    input: ebs::CompleteSnapshotRequest,
) -> Result<ebs::CompleteSnapshotResponse, Error> {
    let id = parse(input.snapshot_id)?;
    let changed_blocks = required(input.changed_blocks_count, "ChangedBlocksCount")?;
    let changed_blocks = u64::try_from(changed_blocks)
        .map_err(|_| refuse(BlockFault::Parameter, "ChangedBlocksCount must not be negative."))?;
    if input.checksum.is_some() {
        check_algorithm(input.checksum_algorithm.as_deref())?;
        if input.checksum_aggregation_method.as_deref() != Some("LINEAR") {
            return Err(refuse(BlockFault::Parameter, "The only aggregation method is LINEAR."));
        }
    }
    let snapshot = snapshots::find_own(&api, &call, &id).await?;
    if snapshot.state == SnapshotState::Completed && matches!(snapshot.origin, Origin::Blocks { .. }) {
        return Ok(ebs::CompleteSnapshotResponse { status: Some(snapshot.state.name().into()) });
    }
    let snapshot = find_writable(&api, &call, &id).await?;
    let request = BlocksRequest::Complete { snapshot_id: id.clone(), changed_blocks, digest: input.checksum };
    let node_id = snapshots::node_of(&api, &snapshot).await?;
    match api.blocks(&node_id, request).await.map_err(|error| unasked(&id, error, BlockFault::Parameter))? {
        BlocksReply::Blockd(_) => {
            // The node is woken by this, and follows the upload closely.
            let noted = api.stores.snapshots.modify(snapshot.key(), |snapshot| {
                if let Origin::Blocks { is_completing, .. } = &mut snapshot.origin {
                    *is_completing = true;
                }
                Ok::<_, Error>(())
            });
            noted.await?;
            Ok(ebs::CompleteSnapshotResponse { status: Some("pending".into()) })
        }
        BlocksReply::WrongCount(written) => {
            let reason = format!("ChangedBlocksCount is {changed_blocks}, but {written} blocks were written.");
            Err(refuse(BlockFault::Parameter, reason))
        }
        BlocksReply::WrongDigest(digest) => {
            let reason = format!("The checksum of the blocks that were written is {digest}.");
            Err(refuse(BlockFault::Parameter, reason))
        }
    }
}
