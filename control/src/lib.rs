//! `hived`: handlers of the API calls that come over the bus, and the reconcilers that make a node run what is desired.
//!
//! Handlers ([`api`]) check a call, write desired state by compare-and-swap ([`store`]) and answer; the node's reconcilers
//! ([`node`]) see the change and act, and write what became of it. Neither waits for the other. Guests never depend on this
//! process: the node's machines, volumes and ports go on without it, and the next hived takes them over.

#![forbid(unsafe_code)]

pub mod api;
mod config;
mod error;
mod images;
pub mod instance_types;
mod node;
mod operator;
mod random;
mod seed;
pub mod store;
pub mod volume_types;

pub use config::{Config, ConfigError, NodeConfig, Role};
pub use error::Error;
pub use seed::seed;

use anyhow::Context;
use api::{Api, Place};
use hive_bus::{Bus, BusConfig};
use hive_types::envelope::API_TIMEOUT_MS;
use std::sync::Arc;
use std::time::Duration;
use store::Stores;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tracing::info;

/// Operator requests that run at a time: an import moves gigabytes.
const MAX_CONCURRENT_OPERATOR_REQUESTS: usize = 4;

/// Runs until SIGTERM or SIGINT.
///
/// # Errors
/// What keeps the daemon from starting. An absent NATS does not: the node's machines are kept running meanwhile.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot handle SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot handle SIGINT")?;
    let name = config.node.as_ref().map_or("hived", |node| node.node_id.as_str());
    let bus = Bus::connect(&BusConfig {
        url: config.nats_url.clone(),
        name: format!("hived {name}"),
        request_timeout: Duration::from_millis(API_TIMEOUT_MS),
    })
    .await
    .context("cannot use the bus")?;
    let stores = Stores::nats(&bus, config.replicas);
    let place = Place {
        region: config.region.clone(),
        zone: config.zone.clone(),
        account: config.account.clone(),
        peer_regions: config.peer_regions.clone(),
        public_address_pools: config.public_address_pools.clone(),
        ipv6_pools: config.ipv6_pools.clone(),
    };

    let seeding = tokio::spawn(seed::keep_seeding(bus.clone(), stores.clone(), config.clone()));
    let agent = match &config.node {
        Some(node) => Some(node::Agent::start(node.clone(), place.clone(), stores.clone(), bus.clone()).await?),
        None => None,
    };
    let api = Arc::new(Api { stores: stores.clone(), place, bus: Some(bus.clone()) });
    let permits = Arc::new(Semaphore::new(usize::from(config.max_concurrent_requests)));
    let serving = api::serve(&bus, api.clone(), &config.roles, permits).await.context("cannot serve the API")?;
    let permits = Arc::new(Semaphore::new(MAX_CONCURRENT_OPERATOR_REQUESTS));
    let operating = operator::serve(&bus, &config, &stores, permits).await.context("cannot serve the operator")?;
    info!(roles = ?config.roles, subjects = serving.len() + operating.len(), "serving");

    tokio::select! {
        _ = terminate.recv() => info!("SIGTERM: ending"),
        _ = interrupt.recv() => info!("SIGINT: ending"),
    }
    drop((serving, operating));
    seeding.abort();
    if let Some(agent) = agent {
        agent.stop();
    }
    Ok(())
}
