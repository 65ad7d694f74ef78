//! Images: what a launch makes its volumes of, and boots.

use super::{Tags, Version};
use hive_types::id::{AccountId, ImageId, SnapshotId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageRecord {
    pub version: Version<1>,
    pub image_id: ImageId,
    pub account: AccountId,
    pub name: String,
    pub description: Option<String>,
    /// Everybody may see it and launch from it.
    pub public: bool,
    /// `amazon` for the images that the operator imports.
    pub owner_alias: Option<String>,
    pub architecture: String,
    pub root_device_name: String,
    pub root: ImageSource,
    /// More volumes that a launch gets: device name and source.
    pub more_volumes: Vec<(String, ImageSource)>,
    pub boot: BootFiles,
    pub created_at: Timestamp,
    pub tags: Tags,
}

impl ImageRecord {
    pub fn key(&self) -> String {
        super::key(&self.account, &self.image_id)
    }

    /// The root volume first.
    pub fn sources(&self) -> impl Iterator<Item = &ImageSource> {
        std::iter::once(&self.root).chain(self.more_volumes.iter().map(|(_, source)| source))
    }

    pub fn uses(&self, snapshot: &SnapshotId) -> bool {
        self.sources().any(|source| source.snapshot_id.as_ref() == Some(snapshot))
    }
}

/// A volume as an image describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSource {
    pub snapshot_id: Option<SnapshotId>,
    pub size_gib: u32,
    pub volume_type: String,
    #[serde(default)]
    pub iops: Option<i32>,
    #[serde(default)]
    pub throughput: Option<i32>,
    #[serde(default)]
    pub encrypted: bool,
    pub delete_on_termination: bool,
}

/// What a machine boots: kernel and initrd in a directory of the node's state, and a command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFiles {
    /// Name of the directory under `images/` of the node's state: the image that was imported.
    pub directory: String,
    pub cmdline: String,
}
