//! objectd: the S3 store of one node.
//!
//! A request passes three floors, each knowing nothing of the one above it:
//!
//! | module | holds |
//! |---|---|
//! | `http` | connections, authentication, routing, XML |
//! | [`ops`] | what S3 means by its operations |
//! | [`meta`] | which buckets, objects and uploads exist: an embedded B-tree with group commit |
//! | [`blob`] | their bytes: files on local disk, through io_uring |
//!
//! Invariants: a write is acknowledged after its bytes and then its metadata are durable, never before; a blob that no
//! metadata refers to is garbage and goes at the next start; no body is ever whole in memory but the small ones that
//! live in the metadata.
#![deny(unsafe_code)] // but for the ring and statvfs, in `blob`

pub mod blob;
pub mod checksum;
pub mod config;
pub mod error;
mod http;
pub mod meta;
pub mod ops;
pub mod xml;

pub use config::Config;

use anyhow::Context;
use blob::{Blobs, BufferPool, DiskBlobs};
use hive_auth::{Credential, StaticCredentials, Verifier};
use http::Service;
use meta::{EmbeddedMeta, Meta};
use ops::Store;
use std::{fs, net::SocketAddr, sync::Arc, time::Duration};
use tokio::net::TcpListener;

const MIB: u64 = 1 << 20;

/// A store that is open and listening.
#[derive(Debug)]
pub struct Server {
    service: Service,
    listener: TcpListener,
    connections: usize,
}

impl Server {
    /// Opens the data directory, collects what a crash left behind, and listens.
    ///
    /// # Errors
    /// Says what could not be opened or bound.
    pub async fn start(config: Config) -> anyhow::Result<Self> {
        let limits = &config.limits;
        fs::create_dir_all(&config.data_dir).with_context(|| format!("making {}", config.data_dir.display()))?;
        let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        let meta = EmbeddedMeta::open(&config.data_dir.join("meta.redb"), size(limits.metadata_cache_mib * MIB))
            .with_context(|| format!("opening the metadata in {}", config.data_dir.display()))?;
        let buffers = size(limits.buffers);
        let blobs = DiskBlobs::open(&config.data_dir.join("blobs"), limits.reserve_mib * MIB, buffers)?;
        let orphans = blobs.collect(meta.referenced().await?).await?;
        if orphans > 0 {
            tracing::info!(orphans, "removed blobs of unfinished uploads");
        }
        let store = Store {
            meta: Arc::new(meta),
            blobs: Arc::new(blobs),
            upload_buffers: BufferPool::new(buffers),
            region: config.region.as_str().into(),
        };
        let credentials: StaticCredentials = config.credentials.iter().cloned().map(Credential::from).collect();
        let verifier = Verifier::new(Arc::new(credentials));
        let idle = Duration::from_secs(limits.idle_timeout_seconds);
        let listener =
            TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
        let connections = size(limits.connections);
        Ok(Self { service: Service::new(store, verifier, config.domains, idle), listener, connections })
    }

    /// The address listened on, with the port the kernel chose if the configuration said 0.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` resolves and the requests under way are done.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        self.service.serve(self.listener, self.connections, stop).await;
    }
}
