//! The engine against itself without caches, known frames, and Open vSwitch.

mod cost;
mod packets;
mod rules;
