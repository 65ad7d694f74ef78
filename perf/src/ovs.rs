//! The stock ovsdb-server and the tools: by these every switch here is managed, whichever it is.

use crate::rival::{self, Priority, Process};
use anyhow::{Context, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// How long one of the tools may take, ovs-vsctl's wait for the switch included.
pub const TOOL_TIMEOUT_S: &str = "60";
/// Longest answer of a tool that is taken.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A database that is served, and a directory for it and for its switch.
pub struct Database {
    directory: tempfile::TempDir,
    _server: Process,
}

impl Database {
    /// An empty one, initialised.
    pub fn start(priority: Priority) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = |name: &str| directory.path().join(name).display().to_string();
        run(Command::new("ovsdb-tool").args(["create", &path("conf.db"), SCHEMA]))?;
        let remote = format!("--remote=punix:{}", path("db.sock"));
        let arguments = [path("conf.db"), remote, format!("--unixctl={}", path("db.ctl")), "-vconsole:off".to_owned()];
        let socket = directory.path().join("db.sock");
        let server = rival::start_in(Path::new("ovsdb-server"), &arguments, &socket, &[], priority)?;
        let database = Self { directory, _server: server };
        database.vsctl_without_switch(&["init"])?;
        Ok(database)
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// As the tools and switches are told it.
    pub fn remote(&self) -> String {
        format!("unix:{}", self.path("db.sock").display())
    }

    /// Waits until the switch has done it.
    pub fn vsctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let database = format!("--db={}", self.remote());
        run(Command::new("ovs-vsctl").args(["-t", TOOL_TIMEOUT_S, &database]).args(arguments))
    }

    /// Before there is a switch.
    pub fn vsctl_without_switch(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.vsctl(&[&["--no-wait"], arguments].concat())
    }
}

/// Runs a tool to its end; what it said.
pub fn run(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("cannot start {name} (see packaging/install-deps)"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.len() < ANSWER_BYTES_MAX, "{name} says too much");
    Ok(text)
}
