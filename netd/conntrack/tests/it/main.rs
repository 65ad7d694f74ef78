//! Integration tests of `hive-conntrack`.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod cost;
mod helpers;
mod nat;
mod ovs;
mod packets;
mod switch;
mod tracking;
