//! Integration tests of `hive-conntrack`.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod ovs;
mod packets;
mod switch;
