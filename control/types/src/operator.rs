//! What the operator's CLI asks of hived on the bus. A request that fails is refused with a text for the operator.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::id::{AccountId, ImageId, SnapshotId};

/// [`ImageImport`] -> [`ImageImported`]. Takes as long as copying the disk.
pub const SUBJECT_IMAGE_IMPORT: &str = "hive.image.import";
/// [`Empty`] -> [`ImageList`]
pub const SUBJECT_IMAGE_LIST: &str = "hive.image.list";
/// [`Empty`] -> [`NodeList`]
pub const SUBJECT_NODE_LIST: &str = "hive.node.list";
/// [`Empty`] -> [`Status`]
pub const SUBJECT_STATUS: &str = "hive.status";
/// How long an import may take: 64 GiB at 200 MiB/s, hashed once and copied once.
pub const IMPORT_TIMEOUT_MS: u64 = 900_000;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Take in an image directory of the node's own file system: `image.json` and the files that it names. The same content under
/// the same name answers with the image that is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageImport {
    /// Absolute.
    pub directory: PathBuf,
    /// Name to register; None takes the manifest's.
    #[serde(default)]
    pub name: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageImported {
    pub image_id: ImageId,
    pub snapshot_id: SnapshotId,
    pub name: String,
    /// False: it was there already.
    pub created: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageList {
    pub images: Vec<ImageSummary>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageSummary {
    pub image_id: ImageId,
    pub name: String,
    pub owner: AccountId,
    pub public: bool,
    pub size_gib: u32,
    /// RFC 3339
    pub created_at: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeList {
    pub nodes: Vec<NodeSummary>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeSummary {
    pub node_id: String,
    pub zone: String,
    /// RFC 3339; a node whose heartbeat is older than a minute is not listed.
    pub heartbeat_at: String,
    pub vcpus: u32,
    pub memory_mib: u64,
    /// Promised to instances.
    pub memory_reserved_mib: u64,
    pub instances: u32,
    /// Where other nodes' tunnels reach it.
    #[serde(default)]
    pub tunnel_address: Option<std::net::Ipv4Addr>,
    /// The public key (X25519, Base64) of a node whose tunnels are encrypted.
    #[serde(default)]
    pub tunnel_key: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub node_id: String,
    pub region: String,
    pub zone: String,
    /// Of hived.
    pub version: String,
    pub daemons: Vec<DaemonStatus>,
    /// Instances, volumes and snapshots by state (`instances.running`, `volumes.available`), and `images`.
    pub counts: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonStatus {
    /// `nats`, `blockd`, `netd`, `hived`
    pub name: String,
    pub healthy: bool,
    /// Version and counts, or the error.
    pub detail: String,
}
