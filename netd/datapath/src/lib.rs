//! What a switch does to packets. An [`Engine`] belongs to one worker; it takes bursts of packets, and knows no rings and no devices:
//! frames come in as a private copy of their beginning and a [`Tail`] that is only copied from, and leave by an [`Output`].
//!
//! A packet is looked for, in this order, in
//! 1. the exact-match cache, by its quick key, or its long one if it is of IPv6: it leads to a flow, or to a connection's way through
//!    all passes (tracking, translation, routing), which then costs one lookup;
//! 2. the flow tables, for each pass: translations of the pipeline, by the bits that they depend on;
//! 3. the pipeline itself, within each port's share.
//!
//! Nothing is treated by what an earlier epoch of the pipeline said, unless its port has had its share of questions, and then for half a
//! second at most; nor a connection by what it was before.
#![forbid(unsafe_code)]

mod burst;
mod context;
mod counters;
mod dump;
mod engine;
mod established;
mod exact;
mod flows;
mod meter;
mod packet;
mod patch;
mod quick;
mod run;
mod set;
mod slots;
mod sweep;
mod trace;
mod tracker;
mod v6;
mod work;

pub use counters::{Counter, Counters};
pub use engine::{BURST, Engine, EngineSettings, Shared};
pub use meter::{Band, BandStats, MeterSpec, MeterStats, Meters};
pub use packet::{LINE, Outgoing, Output, Packet, Tail};
pub use sweep::{Left, SWEPT_AT_LEISURE, SWEPT_BETWEEN_BURSTS};
pub use tracker::Tracker;
