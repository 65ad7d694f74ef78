//! blockd and netd of this node, each request as a method.

use super::rpc::{self, RpcError};
use crate::store::{Performance, VolumeRecord};
use crate::volume_types::limits_of;
use hive_blockd_api as blockd;
use hive_netd_api as netd;
use hive_types::id::{SnapshotId, VolumeId};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Requests that answer from memory or with a few small writes.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Taking in an image copies it.
const IMPORT_TIMEOUT: Duration = Duration::from_millis(hive_types::operator::IMPORT_TIMEOUT_MS);

#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    #[error(transparent)]
    Rpc(#[from] RpcError),
    #[error("blockd refused to {what}: {message}")]
    Blockd { what: String, kind: blockd::ErrorKind, message: String },
    #[error("netd refused to {what}: {message}")]
    Netd { what: String, kind: netd::ErrorKind, message: String },
    #[error("{daemon} answered {what} with something else")]
    Unexpected { daemon: &'static str, what: String },
    #[error("{0:?} cannot name a volume or snapshot")]
    BadName(String),
}

impl BackendError {
    /// Asking again will not help.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Rpc(_) | Self::Unexpected { .. } => false,
            Self::Blockd { kind, .. } => !matches!(kind, blockd::ErrorKind::Io),
            Self::Netd { kind, .. } => !matches!(kind, netd::ErrorKind::Io),
            Self::BadName(_) => true,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Blockd {
    pub socket: PathBuf,
}

fn volume_name(id: &str) -> Result<blockd::VolumeId, BackendError> {
    id.parse().map_err(|blockd::BadName(name)| BackendError::BadName(name))
}

fn snapshot_name(id: &str) -> Result<blockd::SnapshotId, BackendError> {
    id.parse().map_err(|blockd::BadName(name)| BackendError::BadName(name))
}

fn store_name(region: &str) -> Result<blockd::StoreName, BackendError> {
    region.parse().map_err(|blockd::BadName(name)| BackendError::BadName(name))
}

/// The request for snapshots of one instant.
pub fn take(snapshots: &[(VolumeId, SnapshotId)]) -> Result<blockd::Request, BackendError> {
    let new = snapshots.iter().map(|(volume, snapshot)| {
        Ok(blockd::NewSnapshot {
            volume_id: volume_name(volume.as_str())?,
            snapshot_id: snapshot_name(snapshot.as_str())?,
        })
    });
    Ok(blockd::Request::CreateSnapshots { snapshots: new.collect::<Result<_, BackendError>>()? })
}

impl Blockd {
    async fn ask(
        &self,
        what: String,
        request: &blockd::Request,
        timeout: Duration,
    ) -> Result<blockd::Reply, BackendError> {
        match rpc::call(&self.socket, request, timeout).await? {
            blockd::Reply::Error { kind, message } => Err(BackendError::Blockd { what, kind, message }),
            reply => Ok(reply),
        }
    }

    /// blockd's own answer to a request that came over the bus. Not reaching it is a fault of its I/O to the asker, who may retry.
    pub async fn pass(&self, request: &blockd::Request) -> blockd::Reply {
        match rpc::call(&self.socket, request, REQUEST_TIMEOUT).await {
            Ok(reply) => reply,
            Err(error) => {
                let message = format!("{:#}", anyhow::Error::new(error));
                blockd::Reply::Error { kind: blockd::ErrorKind::Io, message }
            }
        }
    }

    pub async fn create_volume(&self, volume: &VolumeRecord) -> Result<(), BackendError> {
        let id = volume.volume_id.as_str();
        let request = blockd::Request::CreateVolume {
            volume_id: volume_name(id)?,
            size_bytes: volume.size_bytes(),
            snapshot_id: volume.snapshot_id.as_ref().map(|id| snapshot_name(id.as_str())).transpose()?,
            encrypted: volume.encrypted,
            limits: limits_of(&volume.performance()),
        };
        self.ask(format!("create {id}"), &request, REQUEST_TIMEOUT).await.map(drop)
    }

    /// Size and limits, also while attached; both may be asked for again.
    pub async fn modify_volume(&self, id: &str, target: &Performance) -> Result<(), BackendError> {
        let volume_id = volume_name(id)?;
        let size_bytes = u64::from(target.size_gib) << 30;
        let resize = blockd::Request::ResizeVolume { volume_id: volume_id.clone(), size_bytes };
        self.ask(format!("resize {id}"), &resize, REQUEST_TIMEOUT).await?;
        let limit = blockd::Request::SetLimits { volume_id, limits: limits_of(target) };
        self.ask(format!("limit {id}"), &limit, REQUEST_TIMEOUT).await.map(drop)
    }

    /// None: blockd has no such snapshot.
    pub async fn describe_snapshot(&self, id: &str) -> Result<Option<blockd::Snapshot>, BackendError> {
        let what = format!("describe {id}");
        let request = blockd::Request::DescribeSnapshot { snapshot_id: snapshot_name(id)? };
        match self.ask(what.clone(), &request, REQUEST_TIMEOUT).await {
            Ok(blockd::Reply::Snapshot(snapshot)) => Ok(Some(snapshot)),
            Ok(_) => Err(BackendError::Unexpected { daemon: "blockd", what }),
            Err(BackendError::Blockd { kind: blockd::ErrorKind::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All of one instant.
    pub async fn create_snapshots(&self, snapshots: &[(VolumeId, SnapshotId)]) -> Result<(), BackendError> {
        let what = snapshots.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>().join(", ");
        self.ask(format!("take {what}"), &take(snapshots)?, REQUEST_TIMEOUT).await.map(drop)
    }

    /// `region`: whose store the source is in; None: ours.
    pub async fn copy_snapshot(
        &self,
        source: &str,
        region: Option<&str>,
        id: &str,
        encrypted: bool,
    ) -> Result<(), BackendError> {
        let request = blockd::Request::CopySnapshot {
            source_snapshot_id: snapshot_name(source)?,
            source_store: region.map(store_name).transpose()?,
            snapshot_id: snapshot_name(id)?,
            encrypted,
        };
        self.ask(format!("copy {source} to {id}"), &request, REQUEST_TIMEOUT).await.map(drop)
    }

    pub async fn delete_snapshot(&self, id: &str) -> Result<(), BackendError> {
        let request = blockd::Request::DeleteSnapshot { snapshot_id: snapshot_name(id)? };
        self.ask(format!("delete {id}"), &request, REQUEST_TIMEOUT).await.map(drop)
    }

    /// Serves the volume; the socket that its frontend connects to.
    pub async fn attach_volume(&self, id: &str, queues: u16) -> Result<PathBuf, BackendError> {
        let what = format!("attach {id}");
        // As EC2's NVMe serials: the id without its dash, which has exactly the 20 bytes there are.
        let serial = id.replace('-', "");
        let request = blockd::Request::AttachVolume { volume_id: volume_name(id)?, queues, read_only: false, serial };
        match self.ask(what.clone(), &request, REQUEST_TIMEOUT).await? {
            blockd::Reply::Attached { socket } => Ok(socket),
            _ => Err(BackendError::Unexpected { daemon: "blockd", what }),
        }
    }

    /// Succeeds when there is no such volume: it is not attached then.
    pub async fn detach_volume(&self, id: &str) -> Result<(), BackendError> {
        let request = blockd::Request::DetachVolume { volume_id: volume_name(id)? };
        match self.ask(format!("detach {id}"), &request, REQUEST_TIMEOUT).await {
            Err(BackendError::Blockd { kind: blockd::ErrorKind::NotFound, .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    pub async fn delete_volume(&self, id: &str) -> Result<(), BackendError> {
        let request = blockd::Request::DeleteVolume { volume_id: volume_name(id)? };
        self.ask(format!("delete {id}"), &request, REQUEST_TIMEOUT).await.map(drop)
    }

    pub async fn import_snapshot(&self, id: &str, path: &Path) -> Result<(), BackendError> {
        let request = blockd::Request::ImportSnapshot {
            snapshot_id: snapshot_name(id)?,
            path: path.to_owned(),
            encrypted: false,
        };
        self.ask(format!("import {id}"), &request, IMPORT_TIMEOUT).await.map(drop)
    }

    /// How many volumes and snapshots there are, for health.
    pub async fn summary(&self) -> Result<String, BackendError> {
        let volumes = self.ask("list volumes".into(), &blockd::Request::ListVolumes, REQUEST_TIMEOUT).await?;
        let snapshots = self.ask("list snapshots".into(), &blockd::Request::ListSnapshots, REQUEST_TIMEOUT).await?;
        match (volumes, snapshots) {
            (blockd::Reply::Volumes(volumes), blockd::Reply::Snapshots(snapshots)) => {
                Ok(format!("{} volumes, {} snapshots", volumes.len(), snapshots.len()))
            }
            _ => Err(BackendError::Unexpected { daemon: "blockd", what: "lists".into() }),
        }
    }
}

#[derive(Clone, Debug)]
pub struct Netd {
    pub socket: PathBuf,
}

impl Netd {
    async fn ask(&self, what: String, request: &netd::Request) -> Result<netd::Reply, BackendError> {
        match rpc::call(&self.socket, request, REQUEST_TIMEOUT).await? {
            netd::Reply::Error { kind, message } => Err(BackendError::Netd { what, kind, message }),
            reply => Ok(reply),
        }
    }

    pub async fn put_segment(&self, segment: netd::Segment) -> Result<(), BackendError> {
        let what = format!("put segment {}", segment.segment_id);
        self.ask(what, &netd::Request::PutSegment(segment)).await.map(drop)
    }

    pub async fn segments(&self) -> Result<Vec<netd::Segment>, BackendError> {
        match self.ask("list segments".into(), &netd::Request::ListSegments).await? {
            netd::Reply::Segments(segments) => Ok(segments),
            _ => Err(BackendError::Unexpected { daemon: "netd", what: "segments".into() }),
        }
    }

    pub async fn delete_segment(&self, segment_id: &str) -> Result<(), BackendError> {
        let request = netd::Request::DeleteSegment { segment_id: segment_id.to_owned() };
        self.ask(format!("delete segment {segment_id}"), &request).await.map(drop)
    }

    pub async fn put_hosts(&self, hosts: netd::Hosts) -> Result<(), BackendError> {
        let what = format!("put hosts of {}", hosts.names);
        self.ask(what, &netd::Request::PutHosts(hosts)).await.map(drop)
    }

    /// How many there are, by names.
    pub async fn hosts(&self) -> Result<BTreeMap<String, usize>, BackendError> {
        match self.ask("list hosts".into(), &netd::Request::ListHosts).await? {
            netd::Reply::Hosts(hosts) => Ok(hosts),
            _ => Err(BackendError::Unexpected { daemon: "netd", what: "hosts".into() }),
        }
    }

    pub async fn delete_hosts(&self, names: &str) -> Result<(), BackendError> {
        let request = netd::Request::DeleteHosts { names: names.to_owned() };
        self.ask(format!("delete hosts of {names}"), &request).await.map(drop)
    }

    pub async fn put_port(&self, port: netd::Port) -> Result<(), BackendError> {
        let what = format!("put port {}", port.port_id);
        self.ask(what, &netd::Request::PutPort(port)).await.map(drop)
    }

    /// Ids of all ports, and their numbers.
    pub async fn ports(&self) -> Result<BTreeMap<String, u64>, BackendError> {
        match self.ask("list ports".into(), &netd::Request::ListPorts).await? {
            netd::Reply::Ports(ports) => Ok(ports.into_iter().map(|status| (status.port_id, status.number)).collect()),
            _ => Err(BackendError::Unexpected { daemon: "netd", what: "ports".into() }),
        }
    }

    pub async fn delete_port(&self, port_id: &str) -> Result<(), BackendError> {
        let request = netd::Request::DeletePort { port_id: port_id.to_owned() };
        match self.ask(format!("delete port {port_id}"), &request).await {
            Err(BackendError::Netd { kind: netd::ErrorKind::NotFound, .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    pub async fn summary(&self) -> Result<String, BackendError> {
        Ok(format!("{} ports", self.ports().await?.len()))
    }
}
