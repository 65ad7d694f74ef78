//! The compiler's flows in a real Open vSwitch, and real packets through them.

// Helpers of tests, which fail by panicking.
#![allow(clippy::unwrap_used)]

mod fixture;
mod packet;
mod scenario;
mod switch;
