//! The codec beside Open vSwitch's own tools and daemon.
#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking

mod events;
mod fake;
mod golden;
mod kinds;
mod oracle;
mod printed;
mod properties;
mod server;
mod support;
