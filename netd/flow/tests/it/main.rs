//! Integration tests of `hive-flow`.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod frames;
mod ovs;
mod parsing;
