//! The daemon as a whole: the real binary, driven through its control socket by virtio-net drivers in userspace.

// Helpers of tests, which fail by panicking.
#![allow(clippy::unwrap_used)]

mod daemon;
mod dataplane;
mod guest;
mod ovn;
mod ovs;
mod robustness;
mod services;
mod switching;
mod uplink;
