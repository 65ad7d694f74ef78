//! Connection tracking and address translation, by the rules of Open vSwitch's userspace datapath: what `ct()` does to a packet.
//!
//! A [`Conntrack`] belongs to one thread. Several share the work if each gets the packets of its own [`Tuple::symmetric_hash`]. It
//! does no I/O and knows no clock: the caller says what time it is. Nothing that packets can cause is without a bound: connections,
//! expectations, fragments, the ports that are tried, and the connections that one call cleans up.
#![forbid(unsafe_code)]

mod arena;
mod connection;
mod dump;
mod expect;
mod fragment;
mod ftp;
mod nat;
mod packet;
mod pin;
mod process;
mod rewrite;
mod splice;
mod table;
mod tcp;
mod timeout;
mod tuple;
mod verdict;
mod wheel;

pub use arena::ConnectionId;
pub use dump::Entry;
pub use expect::EXPECTATIONS_MAX;
pub use fragment::{DATAGRAMS_MAX, FRAGMENTS_MAX};
pub use nat::{Choice, Nat, NatRange};
pub use packet::{Checksum, Packet};
pub use pin::{Pin, is_plain, is_plain_v6};
pub use splice::Splice;
pub use table::{Conntrack, Counters, Flush, Settings};
pub use tcp::TcpState;
pub use timeout::{TimeoutPolicy, Timer};
pub use tuple::Tuple;
pub use verdict::{Helper, Refusal, Request, Verdict, state};
