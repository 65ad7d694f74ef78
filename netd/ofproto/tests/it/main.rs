//! The agent against the real ovs-ofctl and ovs-vswitchd, and against a naive model.

// Helpers of tests, which fail by panicking.
#![allow(clippy::unwrap_used)]

mod bridge;
mod model;
mod server;
mod session;
mod support;
mod tool;
