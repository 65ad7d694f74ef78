//! The server against the real ovs-appctl, and against clients that are none.

mod appctl;
mod clients;
mod support;
