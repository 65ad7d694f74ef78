//! `blockd`, the volume daemon: log-structured volumes as virtio-blk disks over vhost-user.
//!
//! [`control`] answers the API and [`daemon`] keeps the [`catalogue`] true to it. Each open [`volume`] is an [`export`]: one thread
//! that owns a [`vhost`] device, an [`engine`] and one [`uring`], and shares nothing with others but counters and messages. What
//! waits for the store, uploads, fetches, [`snapshot`]s, runs on a small tokio runtime that no guest's request ever enters.
//! `unsafe` lives in [`memory`], [`uring`], `vhost::ring`, `vhost::inflight`, and where buffers are handed to the kernel:
//! `engine::log::{group, read, sync}` and the timers of [`export`].

pub mod backing;
pub mod catalogue;
pub mod config;
pub mod control;
pub mod daemon;
pub mod engine;
pub mod export;
pub mod keys;
pub mod limits;
pub mod memory;
pub mod snapshot;
pub mod status;
pub mod uring;
pub mod vhost;
pub mod volume;

use anyhow::Context;
use config::Config;
use daemon::Daemon;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Serve until SIGTERM or SIGINT, then drain, flush and close every volume.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("cannot catch signals")?;
    let daemon = Daemon::start(config)?;
    let socket = config.control_socket();
    control::serve(daemon.clone(), &socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    tracing::info!(control = %socket.display(), "blockd is ready");
    signals.forever().next();
    tracing::info!("ending");
    let _ = std::fs::remove_file(&socket);
    daemon.stop();
    Ok(())
}
