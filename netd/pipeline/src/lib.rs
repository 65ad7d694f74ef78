//! Open vSwitch's pipeline: from the tables, groups, ports and bridges of a switch to operations on packets.
//!
//! A [`Switch`] implements [`hive_program::Pipeline`]. What it is made of it is told by [`Switch::configure`]; flows and groups it
//! reads from the bridges' OpenFlow agents, without their locks. A translation (`xlate`) follows one packet through the tables, remembers
//! each bit of the packet's key that mattered, and yields operations, bits, and whom to credit.
#![forbid(unsafe_code)]

mod bfd;
mod bond;
mod continuation;
mod control;
mod credit;
mod flow_text;
mod frozen;
mod mac;
mod outside;
mod show;
mod switch;
mod topology;
mod trace;
mod xlate;

pub use bond::{BOND_BUCKETS, Bond, BondShown, BondSpec};
pub use continuation::Damaged;
pub use control::{Execution, ResumeError, TraceError, TraceRequest};
pub use credit::Credits;
pub use flow_text::FlowTextError;
pub use mac::{
    MAC_AGING_DEFAULT_MS, MAC_ENTRIES_DEFAULT, MAC_ENTRIES_MAX, MacEntry, MacSettings, MacShown, MacStats, MacTable,
};
pub use show::ShownAction;
pub use switch::{NO_PORT, PUNTS_WAITING_MAX, Switch};
pub use topology::{
    BridgeSettings, BridgeSpec, BridgeState, BundleId, Counters, InterfaceSpec, MIRRORS_MAX, MirrorSpec, MirrorTarget,
    PortKind, PortSpec, PortState, PriorityTags, TableCounters,
};
/// The inside, for fuzzing: it must survive whatever a controller sends back.
#[doc(hidden)]
pub mod hostile;
pub use xlate::{DEPTH_MAX, NESTING_MAX, OPS_MAX, RESUBMITS_MAX, STEPS_MAX};
