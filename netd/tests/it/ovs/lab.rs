//! A node: a namespace with a database and a netd; and hosts at its ports.

use super::namespace::{Namespace, wait};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

pub struct Lab {
    pub node: Namespace,
    pub directory: TempDir,
    pub database: Option<Child>,
    pub switch: Option<Child>,
}

fn end(process: &mut Option<Child>) {
    if let Some(mut process) = process.take() {
        let _ = process.kill();
        let _ = process.wait();
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.path("netd.log")).unwrap_or_default();
            eprintln!("netd's log:\n{log}");
        }
        end(&mut self.switch);
        end(&mut self.database);
    }
}

/// Of a program that ended.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

impl Lab {
    /// With an empty database.
    pub fn new() -> Self {
        let mut lab = Self::without_switch();
        lab.start_switch();
        lab
    }

    /// With ovs-vswitchd itself in netd's place, to speak with.
    pub fn rival() -> Self {
        let mut lab = Self::without_switch();
        let mut switch = Command::new("ip");
        switch.args(["netns", "exec", &lab.node.name, "/usr/sbin/ovs-vswitchd"]);
        switch.args([&format!("unix:{}", lab.path("db.sock")), &format!("--unixctl={}", lab.path("netd.ctl"))]);
        switch.arg("--disable-system").env("OVS_RUNDIR", lab.directory.path());
        lab.switch = Some(lab.spawn(switch, "netd.log"));
        wait("ovs-vswitchd answers", || lab.try_appctl("version").is_ok());
        lab
    }

    fn without_switch() -> Self {
        let mut lab =
            Self { node: Namespace::new(), directory: tempfile::tempdir().unwrap(), database: None, switch: None };
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        lab.run(Command::new("ovsdb-tool").args(["create", &lab.path("conf.db"), schema]));
        lab.start_database();
        lab.vsctl("--no-wait init");
        lab
    }

    pub fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    /// A program in the node's namespace.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.node.name, "timeout", "--preserve-status", "300", program]);
        command.env("OVS_RUNDIR", self.directory.path());
        command
    }

    fn spawn(&self, mut command: Command, log: &str) -> Child {
        let log = std::fs::File::options().create(true).append(true).open(self.path(log)).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    pub fn start_database(&mut self) {
        let mut server = Command::new("ip");
        server.args(["netns", "exec", &self.node.name, "/usr/sbin/ovsdb-server", &self.path("conf.db")]);
        server
            .args([&format!("--remote=punix:{}", self.path("db.sock")), &format!("--unixctl={}", self.path("db.ctl"))]);
        server.env("OVS_RUNDIR", self.directory.path());
        self.database = Some(self.spawn(server, "db.log"));
        wait("the database answers", || {
            let mut client = Command::new("ovsdb-client");
            client.args(["list-dbs", &format!("unix:{}", self.path("db.sock"))]).output().unwrap().status.success()
        });
    }

    pub fn stop_database(&mut self) {
        end(&mut self.database);
    }

    pub fn start_switch(&mut self) {
        self.start_switch_with(&[]);
    }

    pub fn start_switch_with(&mut self, arguments: &[&str]) {
        self.start_switch_by(&[], arguments);
    }

    /// Started by a program that becomes it.
    pub fn start_switch_by(&mut self, starter: &[&str], arguments: &[&str]) {
        // Without timeout(1) between, so that signals reach it.
        let mut switch = Command::new("ip");
        switch.args(["netns", "exec", &self.node.name]).args(starter).arg(env!("CARGO_BIN_EXE_netd"));
        switch.args(["--db", &format!("unix:{}", self.path("db.sock")), "--rundir", &self.path("")]);
        switch.args(["--unixctl", &self.path("netd.ctl")]).args(arguments);
        self.switch = Some(self.spawn(switch, "netd.log"));
        wait("netd answers", || self.try_appctl("version").is_ok());
    }

    pub fn kill_switch(&mut self) {
        end(&mut self.switch);
    }

    /// Asks netd to end by SIGTERM; it has to.
    pub fn terminate_switch(&mut self) -> std::process::ExitStatus {
        let mut switch = self.switch.take().unwrap();
        super::namespace::run("kill", &["-TERM", &switch.id().to_string()]);
        let mut status = None;
        wait("netd has ended", || {
            status = switch.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    pub fn run(&self, command: &mut Command) -> String {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", text(&output));
        text(&output)
    }

    fn attempt(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let output = self.command(program).args(arguments).output().unwrap();
        if output.status.success() { Ok(text(&output)) } else { Err(text(&output)) }
    }

    pub fn try_vsctl(&self, command: &str) -> Result<String, String> {
        let database = format!("--db=unix:{}", self.path("db.sock"));
        let words: Vec<&str> = command.split_whitespace().collect();
        self.attempt("ovs-vsctl", &[&["--timeout=30", &database], &words[..]].concat())
    }

    pub fn vsctl(&self, command: &str) -> String {
        self.try_vsctl(command).unwrap_or_else(|error| panic!("ovs-vsctl {command}: {error}")).trim().to_owned()
    }

    pub fn try_ofctl(&self, command: &str) -> Result<String, String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        self.attempt("ovs-ofctl", &words)
    }

    pub fn ofctl(&self, command: &str) -> String {
        self.try_ofctl(command).unwrap_or_else(|error| panic!("ovs-ofctl {command}: {error}"))
    }

    pub fn flow(&self, flow: &str) {
        self.ofctl(&format!("add-flow br0 {flow}"));
    }

    pub fn try_appctl(&self, command: &str) -> Result<String, String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let target = self.path("netd.ctl");
        self.attempt("ovs-appctl", &[&["-T", "30", "-t", &target], &words[..]].concat())
    }

    pub fn appctl(&self, command: &str) -> String {
        self.try_appctl(command).unwrap_or_else(|error| panic!("ovs-appctl {command}: {error}"))
    }

    /// A host behind the device `port` of the node, which is a port of no bridge yet.
    pub fn host(&self, port: &str, address: &str) -> Namespace {
        let host = Namespace::new();
        self.node.veth(port, &host, "eth0");
        host.address("eth0", address);
        host
    }

    /// A bridge `br0` in the userspace datapath with hosts 10.1.0.1, .2, ... at its ports p1, p2, ...
    pub fn hosts<const N: usize>(&self) -> [Namespace; N] {
        self.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
        std::array::from_fn(|at| {
            let number = at + 1;
            let host = self.host(&format!("p{number}"), &format!("10.1.0.{number}/24"));
            self.vsctl(&format!("add-port br0 p{number} -- set interface p{number} ofport_request={number}"));
            host
        })
    }
}

/// Whether a host reaches an address.
pub fn reaches(host: &Namespace, to: &str) -> bool {
    let mut ping = Command::new("ip");
    ping.args(["netns", "exec", &host.name, "ping", "-n", "-c", "1", "-W", "1", to]);
    ping.output().unwrap().status.success()
}
