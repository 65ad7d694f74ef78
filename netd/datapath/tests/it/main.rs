//! The engine against itself without caches, known frames, and Open vSwitch.

mod caches;
mod cost;
mod executor;
mod packets;
mod rules;
#[path = "../../../conntrack/tests/it/switch.rs"]
mod switch;
