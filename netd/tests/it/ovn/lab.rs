//! A region: OVN's central databases with ovn-northd, and nodes, each with an ovn-controller that drives a netd.

use crate::ovs::lab::{Lab, text};
use crate::ovs::namespace::{Namespace, wait};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A process that ends when its owner goes, in whatever way.
pub struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    /// `words`: a program and its arguments. What it writes is in `log`.
    fn start(words: &[&str], rundir: &Path, log: &str) -> Self {
        let log = std::fs::File::options().create(true).append(true).open(rundir.join(log)).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(words);
        command.env("OVS_RUNDIR", rundir).env("OVN_RUNDIR", rundir).env("OVN_DBDIR", rundir);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        Self(command.spawn().unwrap())
    }
}

/// The words of a command; what is in single quotes is one.
fn words(command: &str) -> Vec<&str> {
    let parts = command.split('\'').enumerate();
    parts.flat_map(|(at, part)| if at % 2 == 1 { vec![part] } else { part.split_whitespace().collect() }).collect()
}

/// What the region wants, and who tells nodes of it.
pub struct Central {
    directory: TempDir,
    _daemons: Vec<Daemon>,
}

impl Central {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let mut daemons = Vec::new();
        for name in ["nb", "sb"] {
            let (file, socket) = (path(&format!("{name}.db")), path(&format!("{name}.sock")));
            let schema = format!("/usr/share/ovn/ovn-{name}.ovsschema");
            let made = Command::new("ovsdb-tool").args(["create", &file, &schema]).output().unwrap();
            assert!(made.status.success(), "{}", text(&made));
            let (remote, control) = (format!("--remote=punix:{socket}"), format!("--unixctl={}", path(name) + ".ctl"));
            let words = ["/usr/sbin/ovsdb-server", &file, &remote, &control];
            daemons.push(Daemon::start(&words, directory.path(), "db.log"));
            wait("the database answers", || {
                let listed = Command::new("ovsdb-client").args(["list-dbs", &format!("unix:{socket}")]).output();
                listed.unwrap().status.success()
            });
        }
        let (nb, sb) = (path("nb.sock"), path("sb.sock"));
        let (nb, sb) = (format!("--ovnnb-db=unix:{nb}"), format!("--ovnsb-db=unix:{sb}"));
        let control = format!("--unixctl={}", path("northd.ctl"));
        daemons.push(Daemon::start(&["ovn-northd", &nb, &sb, &control], directory.path(), "northd.log"));
        Self { directory, _daemons: daemons }
    }

    fn socket(&self, name: &str) -> String {
        format!("unix:{}", self.directory.path().join(name).display())
    }

    fn tool(&self, program: &str, socket: &str, command: &str) -> String {
        let mut tool = Command::new(program);
        tool.args(["--timeout=30", &format!("--db={}", self.socket(socket))]).args(words(command));
        let output = tool.output().unwrap();
        assert!(output.status.success(), "{program} {command}: {}", text(&output));
        text(&output).trim().to_owned()
    }

    /// `ovn-nbctl ...`
    pub fn nbctl(&self, command: &str) -> String {
        self.tool("ovn-nbctl", "nb.sock", command)
    }

    /// Each line a command; all at once.
    pub fn program(&self, lines: &str) {
        let commands: Vec<&str> = lines.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        self.nbctl(&commands.join(" -- "));
    }

    /// Until every node has what is wanted.
    pub fn sync(&self) {
        self.nbctl("--wait=hv sync");
    }

    pub fn sbctl(&self, command: &str) -> String {
        self.tool("ovn-sbctl", "sb.sock", command)
    }
}

/// A node.
pub struct Chassis {
    pub lab: Lab,
    controller: Option<Daemon>,
}

impl Drop for Chassis {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.lab.path("controller.log")).unwrap_or_default();
            eprintln!("ovn-controller's log:\n{log}");
        }
    }
}

impl Chassis {
    /// `encap`, `address`: of its tunnels.
    pub fn new(central: &Central, name: &str, encap: &str, address: &str) -> Self {
        let lab = Lab::new();
        let remote = central.socket("sb.sock");
        lab.vsctl(&format!(
            "add-br br-ex -- set bridge br-ex datapath_type=netdev -- set open_vswitch . external_ids:system-id={name} \
             external_ids:ovn-remote={remote} external_ids:ovn-encap-type={encap} external_ids:ovn-encap-ip={address} \
             external_ids:ovn-bridge-datapath-type=netdev external_ids:ovn-bridge-mappings=outside:br-ex"
        ));
        let mut chassis = Self { lab, controller: None };
        chassis.start_controller();
        wait("the controller's bridge has its fixed flows", || {
            chassis.lab.try_ofctl("dump-flows br-int").is_ok_and(|flows| flows.lines().count() > 10)
        });
        chassis
    }

    pub fn start_controller(&mut self) {
        let database = format!("unix:{}", self.lab.path("db.sock"));
        let node = &self.lab.node.name;
        let words = ["ip", "netns", "exec", node, "ovn-controller", "--no-chdir", &database];
        self.controller = Some(Daemon::start(&words, self.lab.directory.path(), "controller.log"));
    }

    pub fn stop_controller(&mut self) {
        self.controller = None;
    }

    /// What the controller has written.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.lab.path("controller.log")).unwrap()
    }

    fn attach(&self, port: &str, number: u8, address: &str) -> Namespace {
        let machine = Namespace::new();
        self.lab.node.veth(port, &machine, "eth0");
        machine.ip(&format!("link set eth0 address {}", mac(number)));
        machine.address("eth0", address);
        machine
    }

    /// A machine at the logical port of its name, which the controller has bound. The first address of its network is its gateway.
    pub fn machine(&self, port: &str, number: u8, address: &str) -> Namespace {
        let machine = self.attach(port, number, address);
        let (network, _) = address.rsplit_once('.').unwrap();
        machine.ip(&format!("route add default via {network}.1"));
        self.lab.vsctl(&format!("add-port br-int {port} -- set interface {port} external_ids:iface-id={port}"));
        self.installed(port);
        machine
    }

    /// As [`Self::machine`], at an internal port that is moved to it and renamed.
    pub fn container(&self, port: &str, number: u8, address: &str) -> Namespace {
        let machine = Namespace::new();
        self.lab.vsctl(&format!(
            "add-port br-int {port} -- set interface {port} type=internal external_ids:iface-id={port}"
        ));
        self.lab.node.ip(&format!("link set {port} netns {} name eth0", machine.name));
        machine.ip(&format!("link set eth0 address {}", mac(number)));
        machine.address("eth0", address);
        self.installed(port);
        machine
    }

    fn installed(&self, port: &str) {
        wait("the port is bound and its flows are installed", || {
            self.lab.vsctl(&format!("--if-exists get interface {port} external_ids:ovn-installed")) == "\"true\""
        });
    }

    /// A machine behind the provider's network.
    pub fn outsider(&self, port: &str, number: u8, address: &str) -> Namespace {
        let machine = self.attach(port, number, address);
        self.lab.vsctl(&format!("add-port br-ex {port}"));
        machine
    }
}

/// Of a machine.
pub fn mac(number: u8) -> String {
    format!("02:00:00:00:00:{number:02x}")
}

/// Networks 10.1.1.0/24 and 10.1.2.0/24 with a router between, at 10.1.1.1 and 10.1.2.1, and ports for the machines of [`machines`].
pub const NETWORKS: &str = "
    lr-add router
    ls-add web
    ls-add app
    lrp-add router router-web 02:00:00:00:01:01 10.1.1.1/24
    lrp-add router router-app 02:00:00:00:02:01 10.1.2.1/24
    lsp-add web web-router
    lsp-set-type web-router router
    lsp-set-addresses web-router router
    lsp-set-options web-router router-port=router-web
    lsp-add app app-router
    lsp-set-type app-router router
    lsp-set-addresses app-router router
    lsp-set-options app-router router-port=router-app
    lsp-add web web1
    lsp-set-addresses web1 '02:00:00:00:00:0b 10.1.1.11'
    lsp-add web web2
    lsp-set-addresses web2 '02:00:00:00:00:0c 10.1.1.12'
    lsp-add app app1
    lsp-set-addresses app1 '02:00:00:00:00:15 10.1.2.21'
";

/// A provider's network with the router at 192.168.9.1, by the chassis `node1`. Comes after [`NETWORKS`].
pub const OUTSIDE: &str = "
    ls-add outside
    lsp-add outside outside-net
    lsp-set-type outside-net localnet
    lsp-set-addresses outside-net unknown
    lsp-set-options outside-net network_name=outside
    lrp-add router router-outside 02:00:00:00:09:01 192.168.9.1/24
    lsp-add outside outside-router
    lsp-set-type outside-router router
    lsp-set-addresses outside-router router
    lsp-set-options outside-router router-port=router-outside nat-addresses=router
    lrp-set-gateway-chassis router-outside node1 10
";

/// web1 (10.1.1.11), web2 (10.1.1.12) and app1 (10.1.2.21).
pub fn machines(chassis: &Chassis) -> [Namespace; 3] {
    [("web1", 11, "10.1.1.11/24"), ("web2", 12, "10.1.1.12/24"), ("app1", 21, "10.1.2.21/24")]
        .map(|(port, number, address)| chassis.machine(port, number, address))
}

/// One node, one region.
pub fn region(program: &str) -> (Central, Chassis) {
    let central = Central::new();
    let chassis = Chassis::new(&central, "node1", "geneve", "127.0.0.1");
    central.program(program);
    (central, chassis)
}
