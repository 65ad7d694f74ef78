//! What a switch looks at in a packet: the fields of headers and of the switch's own memory about a packet, as OpenFlow and
//! its Nicira extensions name them, and matches on them. No wire format: that is `hive-openflow`'s.
#![forbid(unsafe_code)]

mod field;
mod matching;

pub use field::{Field, REGISTERS, TUNNEL_OPTIONS};
pub use matching::{Masked, Match};
