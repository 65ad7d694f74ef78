//! A volume, and the attachment that it may have.

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
    /// Name in blockd of what it is a clone of.
    pub blockd_image: Option<String>,
    pub created_at: Timestamp,
    pub state: VolumeState,
    /// Why the state is `error`.
    pub fault: Option<String>,
    pub attachment: Option<Attachment>,
    pub tags: Tags,
}

impl VolumeRecord {
    pub fn key(&self) -> String {
        super::key(&self.account, &self.volume_id)
    }

    pub fn size_bytes(&self) -> u64 {
        u64::from(self.size_gib) << 30
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
