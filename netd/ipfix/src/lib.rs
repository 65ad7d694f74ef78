//! IPFIX (RFC 7011), as far as a switch and a collector of its flows speak it: messages with templates of IANA's information elements,
//! and data records by these templates.
//!
//! [`Encoder`] writes what Open vSwitch's flow-based sampling exports, with its elements but for those that would need every packet to
//! be looked at (sums of squares, shortest and longest). [`Decoder`] reads anybody's: it takes the elements that a [`Record`] has, in
//! whatever order and length, and skips others.
#![forbid(unsafe_code)]

mod decode;
mod element;
mod encode;
mod record;

pub use decode::{DOMAINS_MAX, DecodeError, Decoder, FIELDS_MAX, TEMPLATES_MAX};
pub use encode::{Encoder, MESSAGE_BYTES_MAX, TEMPLATE_INTERVAL_S};
pub use record::{Counts, EndReason, FlowKey, Ip, Record, TcpCounts, Transport};

/// Of every message.
pub const VERSION: u16 = 10;
/// IANA's port for collectors over UDP.
pub const PORT: u16 = 4739;
pub(crate) const MESSAGE_HEADER_BYTES: usize = 16;
pub(crate) const SET_HEADER_BYTES: usize = 4;
/// The set that holds templates.
pub(crate) const TEMPLATE_SET: u16 = 2;
/// Sets of data have the number of their template, which is at least this.
pub(crate) const FIRST_TEMPLATE: u16 = 256;
