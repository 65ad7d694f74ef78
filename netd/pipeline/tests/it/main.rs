//! Integration tests; the oracle is the real ovs-vswitchd.

#![allow(clippy::unwrap_used)]

#[expect(dead_code, reason = "of the agent's tests; only what starts Open vSwitch and its tools is of use here")]
#[path = "../../../ofproto/tests/it/support.rs"]
mod support;

mod control;
mod differential;
mod effect;
mod frames;
mod learn;
mod limits;
mod masks;
mod oracle;
mod ovn;
mod random;
mod state;
mod twin;
