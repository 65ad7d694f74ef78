//! Snapshots: what each is to become, and how far it is.

use super::image::BootFiles;
use super::{Tags, Version};
use hive_types::id::{AccountId, InstanceId, SnapshotId, VolumeId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    pub version: Version<1>,
    /// Its name in blockd too.
    pub snapshot_id: SnapshotId,
    pub account: AccountId,
    /// Everybody may make volumes of it.
    pub public: bool,
    /// Accounts that may make volumes of it.
    #[serde(default)]
    pub shared_with: BTreeSet<AccountId>,
    pub size_gib: u32,
    #[serde(default)]
    pub volume_id: Option<VolumeId>,
    /// The node whose blockd takes it. None for the oldest records: any node.
    #[serde(default)]
    pub node_id: Option<String>,
    #[serde(default)]
    pub encrypted: bool,
    #[serde(default)]
    pub kms_key_id: Option<String>,
    #[serde(default)]
    pub origin: Origin,
    /// What a machine boots whose root volume is a clone; only snapshots that descend from an image have it.
    #[serde(default)]
    pub boot: Option<BootFiles>,
    pub description: String,
    pub created_at: Timestamp,
    #[serde(default)]
    pub state: SnapshotState,
    /// Of the upload, 0 to 100.
    #[serde(default = "all")]
    pub progress_percent: u8,
    /// Why the state is error.
    #[serde(default)]
    pub fault: Option<String>,
    #[serde(default)]
    pub completed_at: Option<Timestamp>,
    pub tags: Tags,
}

fn all() -> u8 {
    100
}

impl SnapshotRecord {
    pub fn key(&self) -> String {
        super::key(&self.account, &self.snapshot_id)
    }

    /// Whether `account` may make volumes of it.
    pub fn is_restorable_by(&self, account: &AccountId) -> bool {
        self.public || self.account == *account || self.shared_with.contains(account)
    }
}

/// Where a snapshot's data comes from, and so what the node does for one that blockd does not know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// The operator brought it.
    #[default]
    Import,
    /// Taken of a volume at the instant of the call, by the call.
    Volume,
    /// Taken when the instance has powered off, for an image of it.
    Instance(InstanceId),
    Copy(SnapshotId),
    /// Of a snapshot in another region's store.
    RegionCopy {
        region: String,
        source: SnapshotId,
    },
    /// Written block by block; given up when nothing is written for so long. `is_completing`: its writer is done.
    Blocks {
        timeout_minutes: u32,
        parent: Option<SnapshotId>,
        is_completing: bool,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotState {
    Pending,
    /// The oldest records have no state: they are of imports that ended.
    #[default]
    Completed,
    Error,
    /// Gone for the API; the node has blockd forget it.
    Deleting,
}

impl SnapshotState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
            Self::Error => "error",
            Self::Deleting => "deleting",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an import wrote it before there were other snapshots.
    #[test]
    fn the_oldest_records_decode() {
        let old = r#"{"version":1,"snapshot_id":"snap-0123456789abcdef0","account":"123456789012","public":true,"size_gib":2,
            "blockd_image":"snap-0123456789abcdef0","boot":{"directory":"ami-0123456789abcdef0","cmdline":"ro"},
            "digest":"00","description":"Imported","created_at":"2026-11-22T19:34:35Z","tags":{}}"#;
        let record: SnapshotRecord = serde_json::from_str(old).expect("a record");
        assert_eq!((record.state, record.progress_percent), (SnapshotState::Completed, 100));
        assert_eq!(record.origin, Origin::Import);
        assert!(record.boot.is_some());
    }
}
