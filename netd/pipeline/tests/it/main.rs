//! Integration tests; the oracle is the real ovs-vswitchd.

#[allow(dead_code)]
#[path = "../../../ofproto/tests/it/support.rs"]
mod support;

mod differential;
mod effect;
mod frames;
mod masks;
mod oracle;
mod ovn;
mod random;
mod state;
mod twin;
