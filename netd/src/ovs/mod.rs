//! netd in the place of ovs-vswitchd: what the stock ovsdb-server asks for is made of pipeline, data path and OpenFlow agents, and
//! what became of it is told the database.
//!
//! One thread, the loop of [`daemon`], changes things: it takes configurations ([`reconcile`]), looks at links and counters
//! ([`report`]), and carries out what agents want done ([`act`]). Commands of `ovs-appctl` ([`commands`]) look at the same state under its lock.
//! Whether the other ends of ports live is watched beside it ([`bfd`]).

mod act;
mod bfd;
mod bridge;
mod commands;
mod controller;
mod daemon;
mod device;
mod ipfix;
mod links;
mod logging;

mod reconcile;
mod report;
mod spec;
mod tls;
mod zones;

pub use daemon::run;
pub use logging::{Logs, start_logging};

use std::path::PathBuf;

/// What `ovs-appctl version` and `Open_vSwitch.ovs_version` say: the release whose behaviour this is.
pub const OVS_VERSION: &str = "3.1.0";
/// As in the schema that release comes with.
const DB_VERSION: &str = "8.3.1";

/// How the daemon is to run.
#[derive(Clone, Debug)]
pub struct OvsOptions {
    /// `unix:PATH`
    pub database: String,
    /// None: as [`hive_unixctl::rundir`] finds it.
    pub rundir: Option<PathBuf>,
    pub pidfile: Option<PathBuf>,
    pub unixctl: Option<PathBuf>,
    /// None: interfaces of type `services` cannot be.
    pub services: Option<ServicesOptions>,
}

/// Who answers behind `services` ports, and who says so.
#[derive(Clone, Debug)]
pub struct ServicesOptions {
    /// Keeps what was put.
    pub state_dir: PathBuf,
    /// Where it is put, as [`hive_netd_api`] has it, with numbers.
    pub control_socket: PathBuf,
    /// Resolver for names of no segment.
    pub upstream: Option<std::net::SocketAddrV4>,
}

/// Why the daemon cannot run.
#[derive(Debug, thiserror::Error)]
pub enum OvsError {
    #[error(transparent)]
    Remote(#[from] hive_ovsdb::RemoteError),
    #[error("{0:?}: only databases at unix:PATH are supported")]
    RemoteKind(String),
    #[error(transparent)]
    Client(#[from] hive_ovsdb::ClientError),
    #[error(transparent)]
    Pidfile(#[from] hive_unixctl::PidfileError),
    #[error(transparent)]
    Control(#[from] hive_unixctl::ServerError),
    #[error(transparent)]
    Dataplane(#[from] crate::error::DaemonError),
    #[error("cannot {action}")]
    System { action: &'static str, source: std::io::Error },
}
