//! What `ovs-appctl` talks to: a unix socket in the run directory on which commands are answered, and the pidfile through which
//! `ovs-appctl -t PROGRAM` finds it (ovs-appctl(8); JSON-RPC, one request a command).
//!
//! A daemon fills [`Commands`], binds a [`Server`], and lets it serve on a thread of its own. A command is answered there at
//! once, or its [`Call`] is handed to another thread that answers when it can: the daemon's control thread needs no lock for
//! what only it may touch. A client that does not read holds up nobody but itself.
#![forbid(unsafe_code)]

mod builtin;
mod commands;
mod coverage;
mod paths;
mod pidfile;
mod server;
mod vlog;

pub use builtin::Program;
pub use commands::{Answer, Call, Commands};
pub use paths::{DEFAULT_RUNDIR, pidfile_path, rundir, socket_path};
pub use pidfile::{Pidfile, PidfileError};
pub use server::{Running, Server, ServerError};
pub use vlog::{Destination, Logging, Spec};
