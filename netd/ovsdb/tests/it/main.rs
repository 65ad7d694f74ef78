//! The client against the real ovsdb-server, ovs-vsctl and ovs-vswitchd, and against servers that are none.

mod configuration;
mod hostile;
mod lock;
mod real;
mod reconnect;
mod server;
mod status;
mod switch;
