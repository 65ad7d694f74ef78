//! The real daemon, driven over its sockets.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod control;
mod crash;
mod daemon;
mod driver;
mod frontend;
mod hostile;
mod load;
mod objectd;
mod snapshots;
mod store;
mod volumes;
