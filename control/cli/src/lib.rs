//! The operator's command line: a node's daemons, its images, and what the cloud is doing.
//!
//! `hive dev` works on processes and files of this machine alone; `hive volume` and `hive snapshot` ask blockd on its
//! socket; `hive status`, `hive image import` and their like ask hived over the bus.

#![forbid(unsafe_code)]

/// Prints a line. Whoever closed the pipe has read enough: what the command does goes on without a reader.
macro_rules! say {
    ($($line:tt)*) => {{
        use std::io::Write;
        let _ = writeln!(std::io::stdout(), $($line)*);
    }};
}

mod blockd;
mod cluster;
mod commands;
mod credentials;
pub mod dev;
mod logs;
mod node;
mod profile;
mod progress;
mod root;
mod tls;
mod volume;

pub use commands::{Cli, run};
pub use node::Kvm;
pub use profile::{Preset, Profile};
pub use root::Root;
