//! Questions to hived over the bus, and their answers for people.

use anyhow::{Context, Result, ensure};
use hive_bus::{Bus, BusConfig, BusError};
use hive_types::operator::{
    Empty, IMPORT_TIMEOUT_MS, ImageImport, ImageImported, ImageList, NodeList, SUBJECT_IMAGE_IMPORT,
    SUBJECT_IMAGE_LIST, SUBJECT_NODE_LIST, SUBJECT_STATUS, Status,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::runtime::Runtime;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to the bus of a cloud.
#[derive(Debug)]
pub struct Cluster {
    runtime: Runtime,
    bus: Bus,
}

impl Cluster {
    /// # Errors
    /// NATS does not answer at `address`.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start tokio")?;
        let url = format!("nats://{address}");
        let config = BusConfig { url: url.clone(), name: "hive".into(), request_timeout: REQUEST_TIMEOUT };
        let bus = runtime.block_on(async {
            let bus = Bus::connect(&config).await?;
            bus.wait_connected(CONNECT_TIMEOUT).await;
            Ok::<_, BusError>(bus)
        })?;
        ensure!(bus.connected(), "nothing answers at {url}: does the cloud run? (hive dev status)");
        Ok(Self { runtime, bus })
    }

    fn ask<T: Serialize, R: DeserializeOwned>(&self, subject: &str, request: &T, timeout: Duration) -> Result<R> {
        self.runtime.block_on(self.bus.request_within(subject, request, timeout)).context("hived does not help")
    }

    /// # Errors
    /// hived does not answer.
    pub fn status(&self) -> Result<Status> {
        self.ask(SUBJECT_STATUS, &Empty {}, REQUEST_TIMEOUT)
    }

    /// Prints [`Cluster::status`]. True when every daemon is healthy.
    ///
    /// # Errors
    /// hived does not answer.
    pub fn print_status(&self) -> Result<bool> {
        let status = self.status()?;
        say!("region {}, zone {}, node {}, hived {}", status.region, status.zone, status.node_id, status.version);
        for daemon in &status.daemons {
            let health = if daemon.healthy { "healthy" } else { "FAILS" };
            say!("  {:<8} {health:<8} {}", daemon.name, daemon.detail);
        }
        for (what, count) in &status.counts {
            say!("  {what:<24} {count}");
        }
        Ok(status.daemons.iter().all(|daemon| daemon.healthy))
    }

    /// Imports an image directory and prints its id.
    ///
    /// # Errors
    /// The directory is absent, or hived refuses it.
    pub fn import_image(&self, directory: &Path) -> Result<()> {
        let directory = fs::canonicalize(directory).with_context(|| format!("no image in {}", directory.display()))?;
        let request = ImageImport { directory, name: None };
        let imported: ImageImported =
            self.ask(SUBJECT_IMAGE_IMPORT, &request, Duration::from_millis(IMPORT_TIMEOUT_MS))?;
        let verb = if imported.created { "imported as" } else { "is there already:" };
        say!("{} {verb} {}", imported.name, imported.image_id);
        Ok(())
    }

    /// # Errors
    /// hived does not answer.
    pub fn print_images(&self) -> Result<()> {
        let list: ImageList = self.ask(SUBJECT_IMAGE_LIST, &Empty {}, REQUEST_TIMEOUT)?;
        say!("{:<22} {:<24} {:>6}  CREATED", "IMAGE", "NAME", "GIB");
        for image in list.images {
            say!("{:<22} {:<24} {:>6}  {}", image.image_id.as_str(), image.name, image.size_gib, image.created_at);
        }
        Ok(())
    }

    /// # Errors
    /// hived does not answer.
    pub fn print_nodes(&self) -> Result<()> {
        let list: NodeList = self.ask(SUBJECT_NODE_LIST, &Empty {}, REQUEST_TIMEOUT)?;
        say!(
            "{:<16} {:<14} {:>5} {:>16} {:>9}  {:<28} HEARTBEAT",
            "NODE",
            "ZONE",
            "VCPUS",
            "MEMORY FREE/MIB",
            "INSTANCES",
            "TUNNEL"
        );
        for node in list.nodes {
            let free = format!("{}/{}", node.memory_mib.saturating_sub(node.memory_reserved_mib), node.memory_mib);
            let tunnel = match &node.tunnel_address {
                Some(address) if node.tunnel_key.is_some() => format!("{address} (encrypted)"),
                Some(address) => address.to_string(),
                None => "-".to_owned(),
            };
            say!(
                "{:<16} {:<14} {:>5} {free:>16} {:>9}  {tunnel:<28} {}",
                node.node_id,
                node.zone,
                node.vcpus,
                node.instances,
                node.heartbeat_at
            );
        }
        Ok(())
    }
}
