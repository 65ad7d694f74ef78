//! The engine against itself without caches, known frames, and Open vSwitch.

// Helpers of tests, which fail by panicking.
#![allow(clippy::unwrap_used)]

mod caches;
mod classes;
mod cost;
mod executor;
mod limits;
mod packets;
mod rules;
mod scale;
mod share;
#[expect(dead_code, reason = "connection tracking asks the switch for its connections too")]
#[path = "../../../conntrack/tests/it/switch.rs"]
mod switch;
