//! The stores and the cache as the engine uses them.
#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking

mod cache;
mod dir;
mod faulty;
mod nemesis;
#[path = "../objectd/mod.rs"]
mod objectd;
mod proxy;
mod s3;
mod suite;
#[path = "../../../tests/it/watch.rs"]
mod watch;
