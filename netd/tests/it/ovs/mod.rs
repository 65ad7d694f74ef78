//! netd in ovs-vswitchd's place: a stock ovsdb-server, unmodified ovs-vsctl, ovs-ofctl and ovs-appctl, and network namespaces for
//! hosts. Needs root.

mod bridges;
mod commands;
mod controllers;
mod flows;
mod forwarding;
pub mod lab;
mod limits;
mod liveness;
#[allow(dead_code, reason = "hive-device's tests, whose file it is, use all of it")]
#[path = "../../../device/tests/it/namespace.rs"]
pub mod namespace;
mod restarts;
mod sampling;
mod tunnels;
mod xdp;
