//! Load harness. Each bench starts ours and the rival, drives both with the same load in interleaved rounds and reports the
//! medians with their ratio; a missed target is printed as missed.

#![deny(unsafe_code)]

pub mod all;
pub mod api;
pub mod block;
pub mod boot;
pub mod net;
mod ovs;
pub mod report;
pub mod rival;
pub mod tunnel;
mod virtio_blk;
mod virtio_net;
