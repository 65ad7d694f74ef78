//! The codec beside Open vSwitch's own tools and daemon.

mod golden;
mod oracle;
mod support;
