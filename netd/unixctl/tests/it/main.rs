//! The server against the real ovs-appctl, and against clients that are none.

// Helpers of tests, which fail by panicking.
#![allow(clippy::unwrap_used)]

mod appctl;
mod clients;
mod support;
