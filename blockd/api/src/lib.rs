//! What may be asked of `blockd`: volumes, images they are cloned from, and the sockets that guests' disks connect to.
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

/// Name of a volume: 1 to 64 of `[a-z0-9-]`, beginning with a letter. It names files and sockets, so nothing else is let in.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VolumeId(String);

/// Name of an image, in [`VolumeId`]'s alphabet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageId(String);

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
name!(ImageId);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "kebab-case")]
pub enum Request {
    /// A new volume, empty (reads zeros) or a copy-on-write clone of an image; the clone may be larger than its image.
    CreateVolume {
        volume_id: VolumeId,
        size_bytes: u64,
        #[serde(default)]
        image_id: Option<ImageId>,
    },
    /// Refused while attached. Deleting a volume that is not there succeeds.
    DeleteVolume {
        volume_id: VolumeId,
    },
    DescribeVolume {
        volume_id: VolumeId,
    },
    ListVolumes,
    /// Grow only; refused while attached.
    ResizeVolume {
        volume_id: VolumeId,
        size_bytes: u64,
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
    /// Take a raw file of this machine in as an image (copied sparsely, made durable before the reply).
    ImportImage {
        image_id: ImageId,
        path: PathBuf,
    },
    /// Refused while a volume is a clone of it.
    DeleteImage {
        image_id: ImageId,
    },
    ListImages,
    Metrics,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    Done,
    Volume(Volume),
    Volumes(Vec<Volume>),
    Attached { socket: PathBuf },
    Image(Image),
    Images(Vec<Image>),
    Metrics(Metrics),
    Error { kind: ErrorKind, message: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    NotFound,
    /// It exists with other parameters.
    Exists,
    /// Attached, or cloned from.
    InUse,
    Invalid,
    NoSpace,
    Io,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    pub volume_id: VolumeId,
    pub size_bytes: u64,
    pub image_id: Option<ImageId>,
    /// Socket of the export while attached.
    pub socket: Option<PathBuf>,
    /// A frontend is connected.
    pub connected: bool,
    /// Why the device was stopped, when a guest's ring was malformed.
    pub fault: Option<String>,
    pub allocated_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    pub image_id: ImageId,
    pub size_bytes: u64,
}

/// Counters since the daemon started, one entry a volume that was attached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    pub volumes: std::collections::BTreeMap<String, VolumeMetrics>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMetrics {
    pub reads: u64,
    pub read_bytes: u64,
    pub writes: u64,
    pub write_bytes: u64,
    pub flushes: u64,
    pub discards: u64,
    pub errors: u64,
    pub resubmitted: u64,
}
