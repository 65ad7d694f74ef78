//! `blockd`, the volume daemon: files as virtio-blk disks over vhost-user.
//!
//! [`control`] answers the API and [`daemon`] keeps the catalogue of [`store`] true to it; each attached volume is an [`export`]:
//! one thread that owns a [`vhost`] device, an [`engine`] and one [`uring`], and shares nothing with others but counters.
//! `unsafe` lives in [`memory`], [`uring`], `vhost::ring`, `vhost::inflight`, and in the two places that hand buffers to the
//! kernel: `engine::file` and the timer of [`export`].

pub mod config;
pub mod control;
pub mod daemon;
pub mod engine;
pub mod export;
pub mod memory;
pub mod status;
pub mod store;
pub mod uring;
pub mod vhost;

use anyhow::Context;
use config::Config;
use daemon::Daemon;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;

/// Serve until SIGTERM or SIGINT, then drain, flush and close every volume.
pub fn run(config: &Config) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT]).context("cannot catch signals")?;
    let daemon = Arc::new(Daemon::start(config)?);
    let socket = config.control_socket();
    control::serve(daemon.clone(), &socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    tracing::info!(control = %socket.display(), "blockd is ready");
    signals.forever().next();
    tracing::info!("ending");
    let _ = std::fs::remove_file(&socket);
    daemon.stop();
    Ok(())
}
