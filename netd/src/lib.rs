//! A userspace switch. Its ports are vhost-user-net devices of guests; what guests send is checked, switched inside their layer-2
//! segment, answered by local services, or translated to the host.
//!
//! | module | job |
//! |---|---|
//! | [`port`] | moves bytes: guest memory, rings, the vhost-user protocol |
//! | [`dataplane`] | workers and ports of a switch that a pipeline of tables programs |
//! | [`worker`] | forwards: bursts from rings to rings, run to completion |
//! | [`switch`] | admission of frames, learned addresses |
//! | [`services`] | ARP, ICMP, DHCP, DNS and the instance metadata service |
//! | [`uplink`] | TAP and address translation |
//! | [`ovs`] | the same in ovs-vswitchd's place: what the database asks for, and what ovs-appctl asks |
//! | [`daemon`], [`control`], [`state`] | what was asked for, by whom, and that it stays |

#![deny(unsafe_code)]

pub mod config;
pub mod control;
pub mod counters;
pub mod daemon;
pub mod dataplane;
pub mod error;
mod mailbox;
pub mod model;
pub mod ovs;
pub mod port;
pub mod services;
pub mod state;
pub mod switch;
mod sys;
pub mod uplink;
pub mod worker;

use std::sync::Arc;

/// Runs the daemon until its control socket fails.
pub fn run(config: &config::Config) -> Result<(), error::DaemonError> {
    let daemon = Arc::new(daemon::Daemon::start(config)?);
    let listener = control::bind(&config.control_socket)?;
    control::serve(&listener, &daemon)
}
