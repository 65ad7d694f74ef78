//! The stores and the cache as the engine uses them.
#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking

mod cache;
mod dir;
mod faulty;
mod suite;
