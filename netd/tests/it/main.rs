//! The data path and the daemon as a whole: the real binary beside a stock ovsdb-server, virtio-net drivers in userspace and namespaces
//! for guests.

// Helpers of tests, which fail by panicking.
#![allow(clippy::unwrap_used)]

mod dataplane;
mod guest;
mod migration;
mod ovn;
mod ovs;
mod qemu;
mod rings;
mod services;
