//! A volume, the attachment that it may have, and its latest modification.

use super::image::BootFiles;
use super::{Tags, Version};
use hive_types::id::{AccountId, InstanceId, SnapshotId, VolumeId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeRecord {
    pub version: Version<1>,
    pub volume_id: VolumeId,
    pub account: AccountId,
    pub zone: String,
    /// The node whose blockd holds it.
    pub node_id: String,
    pub size_gib: u32,
    /// `gp3`
    pub volume_type: String,
    pub iops: Option<i32>,
    pub throughput: Option<i32>,
    pub snapshot_id: Option<SnapshotId>,
    pub created_at: Timestamp,
    pub state: VolumeState,
    /// Why the state is `error`.
    pub fault: Option<String>,
    pub attachment: Option<Attachment>,
    pub tags: Tags,
    #[serde(default)]
    pub encrypted: bool,
    #[serde(default)]
    pub kms_key_id: Option<String>,
    /// Of the snapshot or image that it is a clone of, for those who make an image of it.
    #[serde(default)]
    pub boot: Option<BootFiles>,
    #[serde(default)]
    pub auto_enable_io: bool,
    /// The latest one.
    #[serde(default)]
    pub modification: Option<Modification>,
    /// When the last few modifications began, oldest first.
    #[serde(default)]
    pub modified_at: Vec<Timestamp>,
}

impl VolumeRecord {
    pub fn key(&self) -> String {
        super::key(&self.account, &self.volume_id)
    }

    pub fn size_bytes(&self) -> u64 {
        u64::from(self.size_gib) << 30
    }

    pub fn performance(&self) -> Performance {
        let (volume_type, iops, throughput) = (self.volume_type.clone(), self.iops, self.throughput);
        Performance { size_gib: self.size_gib, volume_type, iops, throughput }
    }

    /// What the API shows: a usable volume is `in-use` while attached.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            VolumeState::Creating => "creating",
            VolumeState::Ready if self.attachment.is_some() => "in-use",
            VolumeState::Ready => "available",
            VolumeState::Deleting => "deleting",
            VolumeState::Error => "error",
        }
    }
}

/// What a modification changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Performance {
    pub size_gib: u32,
    pub volume_type: String,
    pub iops: Option<i32>,
    pub throughput: Option<i32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Modification {
    pub original: Performance,
    pub target: Performance,
    pub state: ModificationState,
    /// Why it failed.
    pub fault: Option<String>,
    pub started_at: Timestamp,
    pub ended_at: Option<Timestamp>,
}

/// EC2's `optimizing` is never seen: size and limits take effect within the modification itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ModificationState {
    Modifying,
    Completed,
    Failed,
}

impl ModificationState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Modifying => "modifying",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeState {
    Creating,
    Ready,
    Deleting,
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    pub instance_id: InstanceId,
    pub device_name: String,
    pub attach_time: Timestamp,
    pub delete_on_termination: bool,
}
