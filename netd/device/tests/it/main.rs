//! Devices in network namespaces, with the kernel and Open vSwitch at their other ends. Needs root.
#![allow(clippy::unwrap_used)]

mod devices;
mod encryption;
mod long;
mod namespace;
mod ovs;
mod receive;
mod tunnels;
mod wire;
mod xdp;
