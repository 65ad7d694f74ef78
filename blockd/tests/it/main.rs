//! The real daemon, driven over its sockets.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod blocks;
mod control;
mod crash;
mod daemon;
mod damage;
mod driver;
mod encryption;
mod frontend;
mod guest;
mod hostile;
mod limits;
mod load;
#[path = "../../store/tests/objectd/mod.rs"]
mod objectd;
mod peers;
mod restore;
mod scrub;
mod snapshots;
mod store;
mod volumes;
mod watch;
