//! The codec beside Open vSwitch's own tools and daemon.

mod events;
mod golden;
mod kinds;
mod oracle;
mod support;
