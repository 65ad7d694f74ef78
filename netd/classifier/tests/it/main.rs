//! Integration tests of `hive-classifier`.

// Helpers of tests fail as tests do.
#![allow(clippy::unwrap_used)]

mod cost;
mod edits;
mod model;
mod search;
mod versions;
