//! The device side of vhost-user-blk: protocol, rings, requests. Knows nothing of how an engine stores its bytes.

mod config_space;
mod device;
mod inflight;
mod protocol;
mod queue;
mod request;
mod ring;

pub use device::{Device, DeviceConfig, foreign_tag};
pub use protocol::Session;
pub use request::{Limits, SERIAL_BYTES, parse as parse_request};
pub use ring::{Ring, RingAddresses};
