//! Open vSwitch's programs in a scratch directory.

use hive_ofproto::{Bridge, BridgeConfig, Port, Running, Server};
use hive_openflow::{Desc, PortCounters, PortNo};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No program takes longer, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// A real ovs-vswitchd over a datapath that exists in its memory only.
pub struct Switch {
    directory: TempDir,
    processes: Vec<Child>,
}

impl Drop for Switch {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Switch {
    /// With the bridge `br0`, all versions of OpenFlow, and ports p1 to p3.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        run(Command::new("ovsdb-tool").args(["create", &path("db"), schema]));
        let mut server = Command::new("/usr/sbin/ovsdb-server");
        server.args([
            &path("db"),
            &format!("--remote=punix:{}", path("db.sock")),
            &format!("--unixctl={}", path("db.ctl")),
        ]);
        let mut this = Self { directory, processes: vec![spawn(&mut server, "")] };
        this.wait_for("db.sock");
        this.vsctl(&["--no-wait", "init"]);
        let mut daemon = Command::new("/usr/sbin/ovs-vswitchd");
        daemon.arg(format!("unix:{}", this.path("db.sock").display()));
        daemon.args(["--enable-dummy", "--disable-system", &format!("--unixctl={}", this.path("vs.ctl").display())]);
        daemon.env("OVS_RUNDIR", this.directory.path());
        this.processes.push(spawn(&mut daemon, ""));
        let protocols = "protocols=OpenFlow10,OpenFlow13,OpenFlow14,OpenFlow15";
        this.vsctl(&[
            "add-br",
            "br0",
            "--",
            "set",
            "bridge",
            "br0",
            "datapath_type=dummy",
            "fail-mode=secure",
            protocols,
        ]);
        for port in 1..=3 {
            let request = format!("ofport_request={port}");
            let name = format!("p{port}");
            this.vsctl(&["add-port", "br0", &name, "--", "set", "Interface", &name, "type=dummy", &request]);
        }
        this.wait_for("br0.mgmt");
        this
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn vsctl(&self, arguments: &[&str]) {
        let database = format!("--db=unix:{}", self.path("db.sock").display());
        run(Command::new("ovs-vsctl").arg(database).arg("--timeout=30").args(arguments));
    }

    fn wait_for(&self, name: &str) {
        let end = Instant::now() + DEADLINE;
        // A socket is there a moment before somebody listens.
        while UnixStream::connect(self.path(name)).is_err() {
            assert!(Instant::now() < end, "{name} does not appear");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

pub fn spawn(command: &mut Command, input: &str) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child
}

/// Run to the end; what fails is told with its output.
pub fn run(command: &mut Command) -> String {
    let output = finish(command, "");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {text}");
    text
}

pub fn finish(command: &mut Command, input: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let id = child.id().to_string();
    let (done, ended) = std::sync::mpsc::channel();
    let watch = thread::spawn(move || {
        if ended.recv_timeout(DEADLINE).is_err() {
            let _ = Command::new("kill").arg(id).status();
        }
    });
    let output = child.wait_with_output().unwrap();
    let _ = done.send(());
    watch.join().unwrap();
    output
}

/// Run ovs-ofctl with a version's two digits and a command, in which `SW` stands for the switch.
pub fn ovs_ofctl(version: &str, target: &str, command: &str) -> Output {
    let words = command.split(' ').map(|word| word.replace("SW", target));
    let mut tool = Command::new("ovs-ofctl");
    // What it complains of, without times of day.
    tool.args(["--timeout=20", "-vPATTERN:console:%c|%p|%m"]).arg(format!("-OOpenFlow{version}")).args(words);
    let output = finish(&mut tool, "");
    // On a busy machine the daemon now and then drops a connection, or lets it wait.
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    if ["Broken pipe", "Connection reset", "Alarm clock"].iter().any(|error| told.contains(error)) {
        return finish(&mut tool, "");
    }
    output
}

/// A bridge as [`Switch`] has one, for tests.
pub fn bridge() -> Bridge {
    let text = |text: &str| text.to_owned();
    let desc = Desc {
        manufacturer: text("Nicira, Inc."),
        hardware: text("Open vSwitch"),
        software: text("3.1.0"),
        serial_number: text("None"),
        datapath: text("None"),
    };
    let mut bridge = Bridge::new(BridgeConfig { datapath_id: 0x1234, desc });
    for (number, name) in [(PortNo(1), "p1"), (PortNo(2), "p2"), (PortNo(3), "p3"), (PortNo::LOCAL, "br0")] {
        let mut port = Port::new(number, name, [2, 0, 0, 0, 0, number.0 as u8], 0);
        // What dummy ports count.
        port.counters =
            PortCounters { rx_packets: 0, tx_packets: 0, rx_bytes: 0, tx_bytes: 0, ..PortCounters::default() };
        bridge.add_port(port);
    }
    bridge
}

/// The agent at work on a socket.
pub struct Agent {
    pub directory: TempDir,
    pub bridge: Arc<Mutex<Bridge>>,
    pub running: Running,
}

impl Agent {
    pub fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bridge = Arc::new(Mutex::new(bridge()));
        let start = Instant::now();
        let clock = move || start.elapsed().as_millis() as u64;
        let server = Server::bind(directory.path(), "br0").unwrap();
        let running = server.serve(bridge.clone(), clock, |_| {}).unwrap();
        Self { directory, bridge, running }
    }
}
