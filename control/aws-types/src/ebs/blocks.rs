// Generated from botocore 1.44.5 by `cargo xtask codegen`. Do not edit.

use crate::{Members, Operation};
use serde::{Deserialize, Serialize};

/// Creates a new Amazon EBS snapshot.
#[derive(Clone, Copy, Debug)]
pub struct StartSnapshot;

impl Operation for StartSnapshot {
    type Input = StartSnapshotRequest;
    type Output = StartSnapshotResponse;
    const SERVICE: &'static str = "ebs";
    const NAME: &'static str = "StartSnapshot";

    fn decode(members: Members) -> serde_json::Result<StartSnapshotRequest> {
        crate::decode(members)
    }

    fn encode(output: &StartSnapshotResponse) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Writes a block of data to a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct PutSnapshotBlock;

impl Operation for PutSnapshotBlock {
    type Input = PutSnapshotBlockRequest;
    type Output = PutSnapshotBlockResponse;
    const SERVICE: &'static str = "ebs";
    const NAME: &'static str = "PutSnapshotBlock";

    fn decode(members: Members) -> serde_json::Result<PutSnapshotBlockRequest> {
        crate::decode(members)
    }

    fn encode(output: &PutSnapshotBlockResponse) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Seals and completes the snapshot after all of the required blocks of data have been written to it.
#[derive(Clone, Copy, Debug)]
pub struct CompleteSnapshot;

impl Operation for CompleteSnapshot {
    type Input = CompleteSnapshotRequest;
    type Output = CompleteSnapshotResponse;
    const SERVICE: &'static str = "ebs";
    const NAME: &'static str = "CompleteSnapshot";

    fn decode(members: Members) -> serde_json::Result<CompleteSnapshotRequest> {
        crate::decode(members)
    }

    fn encode(output: &CompleteSnapshotResponse) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Returns information about the blocks in an Amazon Elastic Block Store snapshot.
#[derive(Clone, Copy, Debug)]
pub struct ListSnapshotBlocks;

impl Operation for ListSnapshotBlocks {
    type Input = ListSnapshotBlocksRequest;
    type Output = ListSnapshotBlocksResponse;
    const SERVICE: &'static str = "ebs";
    const NAME: &'static str = "ListSnapshotBlocks";

    fn decode(members: Members) -> serde_json::Result<ListSnapshotBlocksRequest> {
        crate::decode(members)
    }

    fn encode(output: &ListSnapshotBlocksResponse) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Returns information about the blocks that are different between two Amazon Elastic Block Store snapshots of the same volume/snapshot lineage.
#[derive(Clone, Copy, Debug)]
pub struct ListChangedBlocks;

impl Operation for ListChangedBlocks {
    type Input = ListChangedBlocksRequest;
    type Output = ListChangedBlocksResponse;
    const SERVICE: &'static str = "ebs";
    const NAME: &'static str = "ListChangedBlocks";

    fn decode(members: Members) -> serde_json::Result<ListChangedBlocksRequest> {
        crate::decode(members)
    }

    fn encode(output: &ListChangedBlocksResponse) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

/// Returns the data in a block in an Amazon Elastic Block Store snapshot.
#[derive(Clone, Copy, Debug)]
pub struct GetSnapshotBlock;

impl Operation for GetSnapshotBlock {
    type Input = GetSnapshotBlockRequest;
    type Output = GetSnapshotBlockResponse;
    const SERVICE: &'static str = "ebs";
    const NAME: &'static str = "GetSnapshotBlock";

    fn decode(members: Members) -> serde_json::Result<GetSnapshotBlockRequest> {
        crate::decode(members)
    }

    fn encode(output: &GetSnapshotBlockResponse) -> serde_json::Result<Members> {
        crate::encode(output)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Block {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ChangedBlock {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_block_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_block_token: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CompleteSnapshotRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed_blocks_count: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum_aggregation_method: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum_algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct CompleteSnapshotResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetSnapshotBlockRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct GetSnapshotBlockResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum_algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_length: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListChangedBlocksRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub second_snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting_block_index: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListChangedBlocksResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_size: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed_blocks: Vec<ChangedBlock>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_size: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListSnapshotBlocksRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_results: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starting_block_index: Option<i32>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ListSnapshotBlocksResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_size: Option<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub blocks: Vec<Block>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_size: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PutSnapshotBlockRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_index: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum_algorithm: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_length: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct PutSnapshotBlockResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checksum_algorithm: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StartSnapshotRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_size: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct StartSnapshotResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_size: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_arn: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sse_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Tag>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub volume_size: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Tag {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}
