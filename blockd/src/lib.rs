//! `blockd`, the volume daemon: files as virtio-blk disks over vhost-user.
//!
//! [`control`] answers the API and [`daemon`] keeps the catalogue of [`store`] true to it; each attached volume is an [`export`]:
//! one thread that owns a [`vhost`] device, an [`engine`] and one [`uring`], and shares nothing with others but counters.
//! `unsafe` lives in [`memory`], [`uring`], `vhost::ring`, `vhost::inflight`, and in the two places that hand buffers to the
//! kernel: `engine::file` and the timer of [`export`].

pub mod config;
pub mod engine;
pub mod memory;
pub mod status;
pub mod uring;
pub mod vhost;

