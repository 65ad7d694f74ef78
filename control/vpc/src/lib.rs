//! x
#![forbid(unsafe_code)]

mod compile;
mod flow;
pub mod model;
mod node;
mod ports;
mod program;
mod source;

pub use compile::{CompileError, Compiled, FLOWS_MAX, InterfaceServices, compile};
pub use flow::{FlowBody, FlowKey, FlowSet, Table, register};
pub use model::Network;
pub use node::{Attachment, LocalNumber, Node, Uplink};
pub use program::{BUNDLE_CHANGES_MAX, Client, ClientError, Programmer, Report, apply, difference};
pub use source::{Direction, Source, Sources, rule_mark};
