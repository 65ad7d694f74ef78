//! DescribeSnapshots.

use super::super::filter::{Filterable, Filters};
use super::super::page::Page;
use super::super::{Api, Call, encryption, iso, parse_ids, tags};
use super::all;
use crate::error::{Error, not_found};
use crate::store::{Origin, SnapshotRecord, Tags};
use hive_aws_types::ec2::{DescribeSnapshotsRequest, DescribeSnapshotsResult, Snapshot};
use hive_types::error::Resource;
use hive_types::id::{AccountId, SnapshotId};
use std::sync::Arc;

/// What EC2 shows for a snapshot of no volume.
const NO_VOLUME: &str = "vol-ffffffff";

fn volume_id(record: &SnapshotRecord) -> String {
    record.volume_id.as_ref().map_or_else(|| NO_VOLUME.into(), ToString::to_string)
}

/// The images that the operator imports are `amazon`'s, and so are their snapshots.
fn owner_alias(record: &SnapshotRecord) -> Option<&'static str> {
    (record.public && record.origin == Origin::Import).then_some("amazon")
}

pub fn snapshot(record: &SnapshotRecord) -> Snapshot {
    Snapshot {
        completion_time: record.completed_at.map(iso),
        description: Some(record.description.clone()),
        encrypted: Some(record.encrypted),
        kms_key_id: record.kms_key_id.clone(),
        owner_alias: owner_alias(record).map(str::to_owned),
        owner_id: Some(record.account.to_string()),
        progress: Some(format!("{}%", record.progress_percent)),
        snapshot_id: Some(record.snapshot_id.to_string()),
        sse_type: encryption::sse_type(record.encrypted),
        start_time: Some(iso(record.created_at)),
        state: Some(record.state.name().into()),
        state_message: record.fault.clone(),
        storage_tier: Some("standard".into()),
        tags: tags::to_api(&record.tags),
        volume_id: Some(volume_id(record)),
        volume_size: i32::try_from(record.size_gib).ok(),
        ..Default::default()
    }
}

impl Filterable for SnapshotRecord {
    const NAMES: &'static [&'static str] = &[
        "description",
        "encrypted",
        "owner-alias",
        "owner-id",
        "progress",
        "snapshot-id",
        "start-time",
        "status",
        "storage-tier",
        "transfer-type",
        "volume-id",
        "volume-size",
    ];

    fn values(&self, name: &str) -> Vec<String> {
        match name {
            "description" => vec![self.description.clone()],
            "encrypted" => vec![self.encrypted.to_string()],
            "owner-alias" => owner_alias(self).into_iter().map(str::to_owned).collect(),
            "owner-id" => vec![self.account.to_string()],
            "progress" => vec![format!("{}%", self.progress_percent)],
            "snapshot-id" => vec![self.snapshot_id.to_string()],
            "start-time" => vec![iso(self.created_at)],
            "status" => vec![self.state.name().into()],
            "storage-tier" | "transfer-type" => vec!["standard".into()],
            "volume-id" => vec![volume_id(self)],
            _ => vec![self.size_gib.to_string()],
        }
    }

    fn tags(&self) -> Option<&Tags> {
        Some(&self.tags)
    }
}

fn is_owned_by(record: &SnapshotRecord, owner: &str, caller: &AccountId) -> bool {
    match owner {
        "self" => record.account == *caller,
        "amazon" | "aws-marketplace" => owner_alias(record) == Some(owner),
        account => record.account.as_str() == account,
    }
}

fn is_restorable_by(record: &SnapshotRecord, user: &str, caller: &AccountId) -> bool {
    let named = |account: &str| {
        record.account.as_str() == account || record.shared_with.iter().any(|shared| shared.as_str() == account)
    };
    match user {
        "all" => record.public,
        "self" => named(caller.as_str()),
        account => named(account),
    }
}

pub async fn describe_snapshots(
    api: Arc<Api>,
    call: Call,
    input: DescribeSnapshotsRequest,
) -> Result<DescribeSnapshotsResult, Error> {
    let ids: Vec<SnapshotId> = parse_ids(Resource::Snapshot, &input.snapshot_ids)?;
    let page = Page::check(input.max_results, input.next_token.as_deref(), 5..=1000, !ids.is_empty())?;
    let filters = Filters::check::<SnapshotRecord>(&input.filters)?;
    let caller = &call.caller.account;
    let mut all = all(&api).await?;
    all.retain(|record| record.is_restorable_by(caller));
    if let Some(absent) = ids.iter().find(|id| !all.iter().any(|record| record.snapshot_id == **id)) {
        return Err(not_found(Resource::Snapshot, absent));
    }
    let (owners, users) = (&input.owner_ids, &input.restorable_by_user_ids);
    all.retain(|record| {
        (ids.is_empty() || ids.contains(&record.snapshot_id))
            && (owners.is_empty() || owners.iter().any(|owner| is_owned_by(record, owner, caller)))
            && (users.is_empty() || users.iter().any(|user| is_restorable_by(record, user, caller)))
            && filters.admit(record)
    });
    let (page, next_token) = page.cut(all, SnapshotRecord::key);
    Ok(DescribeSnapshotsResult { next_token, snapshots: page.iter().map(snapshot).collect() })
}
