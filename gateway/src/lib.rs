//! awsd, the AWS front: TLS, signatures, the wire protocols by generated schema tables, authorisation, and the way to NATS.
//!
//! A request is S3's and goes to objectd unchanged ([`s3`]), or a call (EC2, IAM and STS by forms, EBS by REST; [`api`]): verified
//! ([`auth`]), decoded and validated by the model ([`wire`]), authorised ([`authorize`]), asked of a worker, and encoded.
//! Handlers' errors become AWS's codes in [`errors`] and nowhere else.

#![forbid(unsafe_code)]

pub mod api;
pub mod auth;
pub mod authorize;
pub mod config;
pub mod credentials;
pub mod dispatch;
pub mod errors;
mod idle;
pub mod reply;
pub mod s3;
pub mod server;
mod tls;
pub mod wire;

pub use config::Config;

use anyhow::Context;
use api::Api;
use credentials::StoredCredentials;
use dispatch::Front;
use hive_auth::{CredentialSource, Verifier};
use hive_bus::{BucketConfig, Bus, BusConfig};
use hive_types::credential::CREDENTIALS_BUCKET;
use hive_types::envelope::API_TIMEOUT_MS;
use s3::Proxy;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

/// How long the start waits for NATS, so that the first calls find it; without it, S3 and dry runs are served all the same.
const CONNECT_GRACE: Duration = Duration::from_secs(2);

/// A gateway that listens and does not serve yet.
#[derive(Debug)]
pub struct Gateway {
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    front: Arc<Front>,
    max_connections: usize,
}

impl Gateway {
    /// Reads what the configuration names and binds the port. NATS and objectd may come later.
    ///
    /// # Errors
    /// A file cannot be read or is wrong, or the port cannot be bound.
    pub async fn bind(config: &Config) -> anyhow::Result<Self> {
        let tls = tls::server_config(&config.certificate, &config.key)?;
        let bus = Bus::connect(&BusConfig {
            url: config.nats_url.clone(),
            name: "awsd".into(),
            request_timeout: Duration::from_millis(API_TIMEOUT_MS),
        })
        .await?;
        let source: Arc<dyn CredentialSource> = match &config.credentials_file {
            Some(path) => Arc::new(credentials::read_file(path)?),
            None => {
                let bucket = BucketConfig {
                    name: CREDENTIALS_BUCKET.into(),
                    ttl: None,
                    replicas: config.replicas,
                    atomic: false,
                };
                Arc::new(StoredCredentials::new(Arc::new(bus.bucket(bucket))))
            }
        };
        let api = Api { verifier: Verifier::new(source), bus, region: config.region.clone() };
        if !api.bus.wait_connected(CONNECT_GRACE).await {
            warn!(url = config.nats_url, "NATS is away; calls are answered 503 until it comes");
        }
        let listener =
            TcpListener::bind(config.listen).await.with_context(|| format!("listening on {}", config.listen))?;
        let front = Arc::new(Front { api, s3: Proxy::new(config.objectd)? });
        Ok(Self { listener, tls, front, max_connections: config.max_connections })
    }

    /// Where it listens; the port is a real one also when the configuration says 0.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` is ready.
    pub async fn serve(self, stop: impl Future<Output = ()>) {
        info!(address = ?self.address().ok(), "serving");
        server::serve(self.listener, TlsAcceptor::from(self.tls), self.front, self.max_connections, stop).await;
    }
}
