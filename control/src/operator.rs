//! What `hive`, the operator's CLI, asks on the bus.

use crate::config::{Config, NodeConfig};
use crate::error::Error;
use crate::images;
use crate::node::backend::{Blockd, Netd};
use crate::store::Stores;
use hive_bus::{Bus, BusError, Refusal, Serving};
use hive_types::envelope::WORKER_QUEUE;
use hive_types::operator::{
    DaemonStatus, Empty, ImageImport, ImageList, ImageSummary, NodeList, NodeSummary, SUBJECT_IMAGE_IMPORT,
    SUBJECT_IMAGE_LIST, SUBJECT_NODE_LIST, SUBJECT_STATUS, Status,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Semaphore;

fn refuse(error: impl Into<anyhow::Error>) -> Refusal {
    Refusal(format!("{:#}", error.into()))
}

/// Serves the operator until the result is dropped. Only a hived with a node serves: the requests concern one.
pub async fn serve(
    bus: &Bus,
    config: &Config,
    stores: &Stores,
    permits: Arc<Semaphore>,
) -> Result<Vec<Serving>, BusError> {
    let Some(node) = config.node.clone() else { return Ok(Vec::new()) };
    let (account, on_node, kept) = (config.account.clone(), node.clone(), stores.clone());
    let import = move |request: ImageImport| {
        let (stores, node, account) = (kept.clone(), on_node.clone(), account.clone());
        async move { images::import(&stores, &node, &account, request).await.map_err(refuse) }
    };
    let kept = stores.clone();
    let list_images = move |_: Empty| {
        let stores = kept.clone();
        async move { image_list(&stores).await.map_err(refuse) }
    };
    let kept = stores.clone();
    let list_nodes = move |_: Empty| {
        let stores = kept.clone();
        async move { node_list(&stores).await.map_err(refuse) }
    };
    let (kept, config, asked) = (stores.clone(), config.clone(), bus.clone());
    let tell_status = move |_: Empty| {
        let (stores, config, node, bus) = (kept.clone(), config.clone(), node.clone(), asked.clone());
        async move { Ok::<_, Refusal>(status(&stores, &config, &node, &bus).await) }
    };
    Ok(vec![
        bus.serve(SUBJECT_IMAGE_IMPORT, WORKER_QUEUE, permits.clone(), import).await?,
        bus.serve(SUBJECT_IMAGE_LIST, WORKER_QUEUE, permits.clone(), list_images).await?,
        bus.serve(SUBJECT_NODE_LIST, WORKER_QUEUE, permits.clone(), list_nodes).await?,
        bus.serve(SUBJECT_STATUS, WORKER_QUEUE, permits, tell_status).await?,
    ])
}

async fn image_list(stores: &Stores) -> Result<ImageList, Error> {
    let images = stores.images.range("").await?.into_iter().map(|record| record.value);
    let images = images.map(|image| ImageSummary {
        image_id: image.image_id,
        name: image.name,
        owner: image.account,
        public: image.public,
        size_gib: image.root.size_gib,
        created_at: image.created_at.to_string(),
    });
    Ok(ImageList { images: images.collect() })
}

async fn node_list(stores: &Stores) -> Result<NodeList, Error> {
    let mut nodes = Vec::new();
    for node in stores.nodes.range("").await?.into_iter().map(|record| record.value) {
        let placement = stores.placement.get(&node.node_id).await?.map(|record| record.value).unwrap_or_default();
        nodes.push(NodeSummary {
            memory_reserved_mib: placement.memory_mib(),
            instances: u32::try_from(placement.reserved.len()).unwrap_or(u32::MAX),
            node_id: node.node_id,
            zone: node.zone,
            heartbeat_at: node.heartbeat_at.to_string(),
            vcpus: node.vcpus,
            memory_mib: node.memory_mib,
            tunnel_address: node.tunnel_address,
            tunnel_key: node.tunnel_key,
        });
    }
    Ok(NodeList { nodes })
}

async fn counts(stores: &Stores) -> Result<BTreeMap<String, u64>, Error> {
    let mut counts = BTreeMap::new();
    for instance in stores.instances.range("").await? {
        *counts.entry(format!("instances.{}", instance.value.state.name())).or_default() += 1;
    }
    for volume in stores.volumes.range("").await? {
        *counts.entry(format!("volumes.{}", volume.value.state_name())).or_default() += 1;
    }
    for snapshot in stores.snapshots.range("").await? {
        *counts.entry(format!("snapshots.{}", snapshot.value.state.name())).or_default() += 1;
    }
    counts.insert("images".into(), stores.images.range("").await?.len() as u64);
    Ok(counts)
}

async fn status(stores: &Stores, config: &Config, node: &NodeConfig, bus: &Bus) -> Status {
    let daemon = |name: &str, answered: Result<String, anyhow::Error>| {
        let healthy = answered.is_ok();
        let detail = answered.unwrap_or_else(|error| format!("{error:#}"));
        DaemonStatus { name: name.into(), healthy, detail }
    };
    let blockd = Blockd { socket: node.blockd_socket.clone() };
    let netd = Netd { socket: node.netd_socket.clone() };
    let counted = counts(stores).await;
    let nats = match &counted {
        Ok(_) => Ok(format!("version {} at {}", bus.server_version(), config.nats_url)),
        Err(error) => Err(anyhow::anyhow!("{error}")),
    };
    let version = env!("CARGO_PKG_VERSION");
    Status {
        node_id: node.node_id.clone(),
        region: config.region.clone(),
        zone: config.zone.clone(),
        version: version.into(),
        daemons: vec![
            daemon("nats", nats),
            daemon("hived", Ok(format!("version {version}"))),
            daemon("blockd", blockd.summary().await.map_err(Into::into)),
            daemon("netd", netd.summary().await.map_err(Into::into)),
        ],
        counts: counted.unwrap_or_default(),
    }
}
