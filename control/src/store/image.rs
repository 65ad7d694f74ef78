//! Images, and the snapshots that they are made of.

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
}

/// A volume as an image describes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSource {
    pub snapshot_id: Option<SnapshotId>,
    /// Name in blockd of what the volume becomes a clone of.
    pub blockd_image: Option<String>,
    pub size_gib: u32,
    pub volume_type: String,
    pub delete_on_termination: bool,
}

/// What a machine boots: kernel and initrd in a directory of the node's state, and a command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootFiles {
    /// Name of the directory under `images/` of the node's state: the image that was imported.
    pub directory: String,
    pub cmdline: String,
}

/// A snapshot; for now each is the disk of an imported image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotRecord {
    pub version: Version<1>,
    pub snapshot_id: SnapshotId,
    pub account: AccountId,
    pub public: bool,
    pub size_gib: u32,
    pub blockd_image: String,
    pub boot: BootFiles,
    /// SHA-256 of the disk, hexadecimal.
    pub digest: String,
    pub description: String,
    pub created_at: Timestamp,
    pub tags: Tags,
}

impl SnapshotRecord {
    pub fn key(&self) -> String {
        super::key(&self.account, &self.snapshot_id)
    }
}
