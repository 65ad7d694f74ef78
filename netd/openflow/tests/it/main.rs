//! The codec beside Open vSwitch's own tools and daemon.

mod events;
mod fake;
mod golden;
mod kinds;
mod oracle;
mod properties;
mod server;
mod support;
