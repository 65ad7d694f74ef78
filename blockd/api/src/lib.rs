//! What may be asked of `blockd`: volumes, the snapshots they are cloned from, and the sockets that guests' disks connect to.
//! An image is a snapshot like any other, made by [`Request::ImportSnapshot`].
//!
//! The control socket is a Unix stream socket. Each request is one JSON object on one line, at most [`MAX_LINE_BYTES`] long, and
//! is answered by one JSON line, in order: `echo '{"method":"list-volumes"}' | socat - UNIX:control.sock`.
//! Every request is idempotent: asked again with the same parameters it answers as it did the first time.

#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Longest request or reply line; bounds what a broken client can make the daemon hold.
pub const MAX_LINE_BYTES: usize = 1 << 20;
/// Unit of allocation and of crash atomicity.
pub const BLOCK_SIZE_BYTES: u64 = 4096;
/// Largest volume: EBS gp3's 16 TiB.
pub const MAX_VOLUME_SIZE_BYTES: u64 = 16 << 40;
/// Most queues of one vhost-user-blk device.
pub const MAX_QUEUES: u16 = 16;
/// Unit of the block operations on snapshots, as EBS's direct APIs have it.
pub const SNAPSHOT_BLOCK_BYTES: u64 = 512 << 10;
/// Most entries of one page of a block listing.
pub const MAX_LISTED_BLOCKS: u32 = 10_000;
/// Most volumes of one consistent snapshot; EC2 allows an instance's.
pub const MAX_SNAPSHOT_VOLUMES: usize = 128;

/// Name of a volume: 1 to 64 of `[a-z0-9-]`, beginning with a letter. It names files and sockets, so nothing else is let in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeId(String);

/// Name of another region's store in the daemon's configuration, in [`VolumeId`]'s alphabet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreName(String);

/// Name of a snapshot, in [`VolumeId`]'s alphabet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SnapshotId(String);

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a name: 1 to 64 of a-z, 0-9 and '-', beginning with a letter")]
pub struct BadName(pub String);

fn check_name(name: String) -> Result<String, BadName> {
    let fits = (1..=64).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if fits { Ok(name) } else { Err(BadName(name)) }
}

macro_rules! name {
    ($t:ident) => {
        impl TryFrom<String> for $t {
            type Error = BadName;
            fn try_from(name: String) -> Result<Self, BadName> {
                check_name(name).map(Self)
            }
        }
        impl std::str::FromStr for $t {
            type Err = BadName;
            fn from_str(name: &str) -> Result<Self, BadName> {
                check_name(name.to_owned()).map(Self)
            }
        }
        impl From<$t> for String {
            fn from(name: $t) -> String {
                name.0
            }
        }
        impl std::fmt::Display for $t {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl AsRef<str> for $t {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}
name!(VolumeId);
name!(SnapshotId);
name!(StoreName);

/// What a volume may do, enforced by token buckets when requests are taken from the guest's rings (EBS gp3's meaning: a request
/// counts once for each 256 KiB or part of it). None: not limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    pub iops: Option<u32>,
    pub throughput_bytes_per_s: Option<u64>,
}

/// One member of [`Request::CreateSnapshots`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewSnapshot {
    pub volume_id: VolumeId,
    pub snapshot_id: SnapshotId,
}

/// What [`Request::ExportVolume`] reads.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExportSource {
    /// Refused while attached: its contents would change meanwhile. Take a snapshot instead.
    Volume(VolumeId),
    Snapshot(SnapshotId),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Request {
    /// A new volume, empty (reads zeros) or a clone of a completed snapshot; the clone may be larger. Instant: a clone's data is
    /// fetched as it is read.
    CreateVolume {
        volume_id: VolumeId,
        size_bytes: u64,
        #[serde(default)]
        snapshot_id: Option<SnapshotId>,
        /// Encrypted at rest under a key of its own. A clone of an encrypted snapshot always is.
        #[serde(default)]
        encrypted: bool,
        #[serde(default)]
        limits: Limits,
    },
    /// Refused while attached. Deleting a volume that is not there succeeds. Snapshots of it stay.
    DeleteVolume {
        volume_id: VolumeId,
    },
    DescribeVolume {
        volume_id: VolumeId,
    },
    ListVolumes,
    /// Rebuild a volume of a lost node from the store, as it was when its manifest was written last; the node needs the same key. Its
    /// old owner, should it live, is shut out.
    RestoreVolume {
        volume_id: VolumeId,
    },
    /// Grow only; a guest that has it attached is told at once.
    ResizeVolume {
        volume_id: VolumeId,
        size_bytes: u64,
    },
    /// Takes effect at once, also while attached.
    SetLimits {
        volume_id: VolumeId,
        limits: Limits,
    },
    /// Serve the volume on a vhost-user-blk socket. Survives a restart of the daemon.
    AttachVolume {
        volume_id: VolumeId,
        queues: u16,
        #[serde(default)]
        read_only: bool,
        /// What the guest reads as the disk's serial (VIRTIO_BLK_T_GET_ID), at most 20 bytes.
        #[serde(default)]
        serial: String,
    },
    /// Stop serving, flush, close. Detaching what is not attached succeeds.
    DetachVolume {
        volume_id: VolumeId,
    },
    /// Snapshots of one or several volumes at one instant, that of the call: of any two writes of which the second began after the
    /// first was answered, no snapshot holds the second without the first being held. Answers at once with state pending; they are
    /// completed when their data is in the store.
    CreateSnapshots {
        snapshots: Vec<NewSnapshot>,
    },
    /// Take a raw file of this machine in as a snapshot (holes and zeros take no space); durable and completed at the reply.
    ImportSnapshot {
        snapshot_id: SnapshotId,
        path: PathBuf,
        #[serde(default)]
        encrypted: bool,
    },
    DescribeSnapshot {
        snapshot_id: SnapshotId,
    },
    ListSnapshots,
    /// Any snapshot can be deleted: what others or volumes need of it stays. Deleting one that is not there succeeds.
    DeleteSnapshot {
        snapshot_id: SnapshotId,
    },
    /// A full copy that shares nothing with its source. Answers at once with state pending. What is encrypted stays so, under a key
    /// of the copy's own; the node must have the key that the source is kept under.
    CopySnapshot {
        source_snapshot_id: SnapshotId,
        /// The store of another region where the source is; None: ours.
        #[serde(default)]
        source_store: Option<StoreName>,
        snapshot_id: SnapshotId,
        #[serde(default)]
        encrypted: bool,
    },
    /// Begin a snapshot that is written block by block, on top of a completed parent if given.
    StartSnapshot {
        snapshot_id: SnapshotId,
        size_bytes: u64,
        #[serde(default)]
        parent_snapshot_id: Option<SnapshotId>,
        #[serde(default)]
        encrypted: bool,
    },
    /// Write block `block_index` (of [`SNAPSHOT_BLOCK_BYTES`]) of a started snapshot.
    PutSnapshotBlock {
        snapshot_id: SnapshotId,
        block_index: u32,
        /// Base64 of exactly one block.
        data: String,
    },
    /// End a started snapshot. Answers at once; it is completed when its data is in the store.
    CompleteSnapshot {
        snapshot_id: SnapshotId,
    },
    /// Blocks that hold data, from `start_index` on, at most [`MAX_LISTED_BLOCKS`].
    ListSnapshotBlocks {
        snapshot_id: SnapshotId,
        #[serde(default)]
        start_index: u32,
        max_results: u32,
    },
    /// Blocks that may differ between two snapshots of one lineage.
    ListChangedBlocks {
        first_snapshot_id: SnapshotId,
        second_snapshot_id: SnapshotId,
        #[serde(default)]
        start_index: u32,
        max_results: u32,
    },
    GetSnapshotBlock {
        snapshot_id: SnapshotId,
        block_index: u32,
    },
    /// Read and verify every block of a volume: the checksums of local and of stored data.
    CheckVolume {
        volume_id: VolumeId,
    },
    /// Write a volume or a snapshot as a sparse raw file, which must not exist yet.
    ExportVolume {
        source: ExportSource,
        path: PathBuf,
    },
    Metrics,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Done,
    Volume(Volume),
    Volumes(Vec<Volume>),
    Attached {
        socket: PathBuf,
    },
    Snapshot(Snapshot),
    Snapshots(Vec<Snapshot>),
    Blocks(BlockList),
    ChangedBlocks(ChangedBlockList),
    /// Base64 of one block of a snapshot; zeros where it holds no data.
    Block {
        data: String,
    },
    Check(CheckReport),
    Metrics(Metrics),
    Error {
        kind: ErrorKind,
        message: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    NotFound,
    /// It exists with other parameters.
    Exists,
    /// Attached, or not completed yet.
    InUse,
    Invalid,
    NoSpace,
    Io,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub volume_id: VolumeId,
    pub size_bytes: u64,
    pub snapshot_id: Option<SnapshotId>,
    pub encrypted: bool,
    pub limits: Limits,
    /// Socket of the export while attached.
    pub socket: Option<PathBuf>,
    /// A frontend is connected.
    pub connected: bool,
    pub health: VolumeHealth,
    /// Why health is not ok, in words.
    pub fault: Option<String>,
    /// Bytes of this node's disk that the volume's log takes.
    pub allocated_bytes: u64,
    /// Where segments are uploaded: bytes that would be lost with this node, attached or not, and the age of the oldest.
    #[serde(default)]
    pub dirty_bytes: u64,
    #[serde(default)]
    pub rpo_seconds: u64,
    /// Blocks that scrubbing found damaged, here or in the store.
    #[serde(default)]
    pub damaged_blocks: u64,
}

/// As EC2's DescribeVolumeStatus tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VolumeHealth {
    Ok,
    /// Served, but slowed or waiting: the store cannot be reached or does not keep up, or the disk is full; or one of two copies of
    /// something is damaged.
    Degraded,
    /// Writes are refused, or the guest's ring was malformed and the device stopped, or some of the data is lost.
    Impaired,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotState {
    /// Started by [`Request::StartSnapshot`], blocks may be put; or its data is not yet in the store.
    Pending,
    Completed,
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub snapshot_id: SnapshotId,
    pub state: SnapshotState,
    /// Why the state is error.
    pub fault: Option<String>,
    /// Of the upload, 0 to 100.
    pub progress_percent: u8,
    /// Of the volume at that time.
    pub size_bytes: u64,
    /// What it was taken of, if of a volume.
    pub volume_id: Option<VolumeId>,
    pub encrypted: bool,
    /// Seconds since 1970 of the point in time.
    pub created_unix_s: u64,
    /// Bytes of the store that it refers to, shared ones included.
    pub stored_bytes: u64,
    /// Blocks that scrubbing found damaged.
    #[serde(default)]
    pub damaged_blocks: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockList {
    pub size_bytes: u64,
    pub block_indexes: Vec<u32>,
    /// Where the next page starts, if there is one.
    pub next_index: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedBlock {
    pub block_index: u32,
    /// Whether the block holds data in the first and in the second snapshot.
    pub in_first: bool,
    pub in_second: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedBlockList {
    /// Of the second snapshot.
    pub size_bytes: u64,
    pub blocks: Vec<ChangedBlock>,
    pub next_index: Option<u32>,
}

/// What [`Request::CheckVolume`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckReport {
    pub blocks_checked: u64,
    /// Blocks whose bytes do not match their checksum or tag, or cannot be read.
    pub blocks_damaged: u64,
    /// The first few damaged places, in words.
    pub damage: Vec<String>,
}

/// Counters since the daemon started, one entry a volume that was attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    pub volumes: std::collections::BTreeMap<String, VolumeMetrics>,
    #[serde(default)]
    pub scrub: ScrubMetrics,
}

/// The passes in which all segments are verified.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ScrubMetrics {
    /// When the last pass began, in seconds since 1970, and whether it is still under way.
    pub pass_unix_s: u64,
    pub is_under_way: bool,
    /// Verified since the daemon started.
    pub segments: u64,
    pub read_bytes: u64,
    /// Known to be damaged now.
    pub damaged_blocks: u64,
    /// Found damaged in one place and written over from the other, since the daemon started.
    pub repaired_blocks: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VolumeMetrics {
    pub reads: u64,
    pub read_bytes: u64,
    pub writes: u64,
    pub write_bytes: u64,
    pub flushes: u64,
    pub discards: u64,
    pub errors: u64,
    pub resubmitted: u64,
    /// Requests that waited for a token of the volume's limits.
    pub throttled: u64,
    /// Written by the guest, and lost with this node: not in the store, or not in the manifest that a volume is rebuilt from.
    pub dirty_bytes: u64,
    /// Age of the oldest of it.
    pub rpo_seconds: u64,
    /// Reads of blocks that were not on this node, and those of them that the cache had.
    pub remote_reads: u64,
    pub cache_hits: u64,
    /// Memory of the block map, in bytes.
    pub map_bytes: u64,
    /// Blocks that the cleaner moved, and blocks that did not match their checksum.
    pub moved_blocks: u64,
    pub damaged_blocks: u64,
}
