//! JSON-RPC 1.0 over a stream, as ovsdb-server (RFC 7047, section 4) and ovs-appctl speak it: JSON texts one behind the other, with
//! nothing between them. [`Splitter`] finds where one ends, [`Message`] says what it is, [`Channel`] is both over a
//! non-blocking stream.
#![forbid(unsafe_code)]

mod channel;
mod message;
mod splitter;

pub use channel::{Channel, ChannelError, Received};
pub use message::{Message, MessageError};
pub use splitter::{Limits, SplitError, Splitter};
