//! The client against the real ovsdb-server, ovs-vsctl and ovs-vswitchd, and against servers that are none.

// Helpers of tests, which fail by panicking.
#![allow(clippy::unwrap_used)]

mod configuration;
mod hostile;
mod lock;
mod real;
mod reconnect;
mod server;
mod status;
mod switch;
