//! The codec beside Open vSwitch's own tools and daemon.

mod golden;
mod kinds;
mod oracle;
mod support;
