//! The OpenFlow agent of one bridge: what a controller may tell a switch, and ask it, in the place of Open vSwitch's `ofproto`.
//!
//! [`Bridge`] is a state machine without I/O and without a clock: it takes whole messages of its connections and the time, and has
//! bytes for them, and [`Command`]s for whoever moves packets. Flow tables are [`hive_classifier::Versions`], which readers search
//! while they change; every message, and every bundle, is one version. [`Server`] is the sockets of a bridge.
#![forbid(unsafe_code)]

mod bridge;
mod bundle;
mod connection;
mod cookies;
mod event;
mod flow;
mod flow_mod;
mod group;
mod meter;
mod port;
mod server;
mod session;
mod stats;

pub use bridge::{Bridge, BridgeConfig, Command, TABLES_VISIBLE};
pub use bundle::{BUNDLE_BYTES_MAX, BUNDLES_MAX};
pub use connection::{Closed, ConnectionId, ConnectionKind};
pub use cookies::Cookies;
pub use flow::{Flow, Usage};
pub use flow_mod::{FLOWS_MAX, FLOWS_TOTAL_MAX};
pub use group::{Group, GroupReader, Groups};
pub use meter::{BANDS_MAX, METERS_MAX, Meter};
pub use port::Port;
pub use server::{Adopter, Running, Server, ServerError};
pub use session::{Session, SessionState, Stream};
