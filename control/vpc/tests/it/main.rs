//! The compiler's flows in a real Open vSwitch, and real packets through them.

// Helpers of tests, which fail by panicking.
#![allow(clippy::unwrap_used)]

mod answers;
mod bench;
mod client;
mod evaluator;
mod filters;
mod fixture;
mod internet;
mod ipv6;
mod link;
mod logs;
mod netd;
mod nodes;
mod packet;
mod properties;
mod random;
mod routing;
mod scale;
mod switch;
