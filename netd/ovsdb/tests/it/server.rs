//! A real ovsdb-server with an empty database, and the tools on it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No wait of these tests is longer.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Waits for something that must come true.
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < until, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub struct Server {
    pub directory: TempDir,
    tcp_port: Option<u16>,
    child: Option<Child>,
}

impl Server {
    pub fn start() -> Self {
        Self::start_with(None)
    }

    pub fn start_with(tcp_port: Option<u16>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let made = Command::new("ovsdb-tool")
            .arg("create")
            .arg(directory.path().join("conf.db"))
            .arg("/usr/share/openvswitch/vswitch.ovsschema")
            .output()
            .expect("ovsdb-tool of openvswitch-common");
        assert!(made.status.success(), "{made:?}");
        let mut server = Self { directory, tcp_port, child: None };
        server.restart();
        server
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    fn socket(&self) -> PathBuf {
        self.path().join("db.sock")
    }

    pub fn remote(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends a signal by name: STOP, CONT.
    pub fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    pub fn restart(&mut self) {
        self.kill();
        let _ = std::fs::remove_file(self.socket());
        let mut command = Command::new("ovsdb-server");
        command.arg(self.path().join("conf.db")).arg(format!("--remote=punix:{}", self.socket().display()));
        if let Some(port) = self.tcp_port {
            command.arg(format!("--remote=ptcp:{port}:127.0.0.1"));
        }
        command.arg(format!("--unixctl={}", self.path().join("ovsdb.ctl").display()));
        command.arg(format!("--log-file={}", self.path().join("ovsdb.log").display()));
        command.env("OVS_RUNDIR", self.path()).env("OVS_DBDIR", self.path()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("ovsdb-server of openvswitch-switch"));
        eventually("ovsdb-server listens", || self.socket().exists().then_some(()));
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("OVS_RUNDIR", self.path()).env("OVS_LOGDIR", self.path()).stdin(Stdio::null());
        command
    }

    /// ovs-vsctl as the operator calls it. The time that it has is far more than it needs.
    pub fn vsctl_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("ovs-vsctl");
        command.arg(format!("--db={}", self.remote())).args(["--timeout=30", "-vconsole:err"]).args(arguments);
        command
    }

    pub fn vsctl_output(&self, arguments: &[&str]) -> Output {
        self.vsctl_command(arguments).output().expect("ovs-vsctl of openvswitch-switch")
    }

    /// What it prints; it must succeed and warn of nothing.
    pub fn vsctl(&self, arguments: &[&str]) -> String {
        let output = self.vsctl_output(arguments);
        assert!(output.status.success(), "ovs-vsctl {arguments:?}: {output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "ovs-vsctl {arguments:?}");
        String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process that ends with its test.
pub struct Process(pub Child);

impl Process {
    pub fn finish(&mut self) -> std::process::ExitStatus {
        eventually("the process ends", || self.0.try_wait().unwrap())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
