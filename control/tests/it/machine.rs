//! Machines without guests: a hive-vmm that answers its socket and ends when its button is pressed, and the node's switch, which is
//! the real one.

use serde_json::Value;
use std::io::{BufRead, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(30);

/// Writes `on` and `off` to the story as the machine starts and ends.
const VMM: &str = r#"#!/usr/bin/env python3
import json, os, socket, sys
config = json.load(open(sys.argv[2]))
def tell(line):
    with open("STORY", "a") as story:
        story.write(line + "\n")
server = socket.socket(socket.AF_UNIX)
server.bind(config["api_socket"])
server.listen()
tell("on")
while True:
    stream, _ = server.accept()
    with stream, stream.makefile("rw") as lines:
        method = json.loads(lines.readline())["method"]
        ends = method in ("power-button", "stop")
        about = {"vm_id": config["vm_id"], "version": "0", "pid": os.getpid(), "state": "running", "vcpus": 1,
                 "memory_size_bytes": 1, "resets": 0, "devices": []}
        lines.write(json.dumps("done" if ends else {"describe": about}) + "\n")
        lines.flush()
    if ends:
        tell("off")
        report = {"vm_id": config["vm_id"], "reason": "guest-power-off", "message": "powered off"}
        with open(config["exit_report"], "w") as file:
            json.dump(report, file)
        sys.exit(0)
"#;

pub fn install_vmm(path: &Path, story: &Path) {
    std::fs::write(path, VMM.replace("STORY", &story.display().to_string())).expect("written");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("permissions");
}

/// A network namespace with a name.
pub struct Namespace(String);

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

impl Namespace {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hived{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run(Command::new("ip").args(["netns", "add", &name]));
        Self(name)
    }

    /// Puts a cable between two, whose ends have these addresses.
    pub fn connect(two: &[Self; 2], addresses: [&str; 2]) {
        let ip = |words: &str| drop(run(Command::new("ip").args(words.split_whitespace())));
        let [one, other] = two.each_ref().map(|namespace| &namespace.0);
        ip(&format!("-n {one} link add eth0 type veth peer name eth0 netns {other}"));
        for (name, address) in [one, other].into_iter().zip(addresses) {
            ip(&format!("-n {name} address add {address} dev eth0"));
            ip(&format!("-n {name} link set eth0 up"));
            ip(&format!("-n {name} link set lo up"));
        }
    }
}

/// The stock database server and netd, as on a node, in a network namespace of their own.
pub struct Switch {
    directory: PathBuf,
    /// None: one without a name.
    namespace: Option<String>,
    processes: Vec<Child>,
}

impl Drop for Switch {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Switch {
    /// `directory`: for its sockets and its database.
    pub fn start(directory: &Path) -> Self {
        Self::start_in(directory, None)
    }

    pub fn start_in(directory: &Path, namespace: Option<&Namespace>) -> Self {
        let namespace = namespace.map(|namespace| namespace.0.clone());
        let mut switch = Self { directory: directory.to_owned(), namespace, processes: Vec::new() };
        std::fs::create_dir_all(switch.run_dir()).expect("a directory");
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        run(Command::new("ovsdb-tool").arg("create").arg(switch.at("conf.db")).arg(schema));
        let mut server = Command::new("ovsdb-server");
        server.arg(switch.at("conf.db")).arg(format!("--remote=punix:{}", switch.database().display()));
        server.arg(format!("--unixctl={}", switch.at("ovsdb.ctl").display())).args(["--no-chdir", "--verbose=off"]);
        switch.spawn(server.env("OVS_RUNDIR", switch.run_dir()), &switch.database());
        switch.start_netd();
        switch
    }

    fn start_netd(&mut self) {
        // Of the same build as this test: target/release/deps/it-...
        let tests = std::env::current_exe().expect("a path");
        let netd = tests.parent().and_then(Path::parent).expect("a build's directory").join("netd");
        assert!(netd.exists(), "{} is missing: run make build", netd.display());
        // Neither forks, so that signals reach netd.
        let mut command = match &self.namespace {
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]);
                command
            }
            None => {
                let mut command = Command::new("unshare");
                command.args(["--net", "--"]);
                command
            }
        };
        command.arg(netd);
        command.arg("--db").arg(format!("unix:{}", self.database().display())).arg("--rundir").arg(self.run_dir());
        command.arg("--unixctl").arg(self.run_dir().join("netd.ctl")).arg("--state-dir").arg(self.at("netd"));
        command.arg("--control-socket").arg(self.control_socket()).env("RUST_LOG", "warn");
        let socket = self.control_socket();
        let _ = std::fs::remove_file(&socket);
        self.spawn(&mut command, &socket);
    }

    /// It dies without a word, and is started again.
    pub fn kill_netd(&mut self) {
        let mut netd = self.processes.pop().expect("netd");
        netd.kill().expect("killed");
        netd.wait().expect("ended");
        self.start_netd();
    }

    fn spawn(&mut self, command: &mut Command, socket: &Path) {
        self.processes.push(command.stdin(Stdio::null()).spawn().expect("started"));
        let began = Instant::now();
        while std::os::unix::net::UnixStream::connect(socket).is_err() {
            assert!(began.elapsed() < PATIENCE, "nobody listens on {}", socket.display());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    pub fn database(&self) -> PathBuf {
        self.at("db.sock")
    }

    pub fn run_dir(&self) -> PathBuf {
        self.at("ovs")
    }

    pub fn control_socket(&self) -> PathBuf {
        self.at("netd.sock")
    }

    /// What netd answers on its control socket.
    pub fn ask(&self, request: &Value) -> Value {
        let mut stream = std::os::unix::net::UnixStream::connect(self.control_socket()).expect("netd");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        writeln!(stream, "{request}").expect("asked");
        let mut line = String::new();
        std::io::BufReader::new(stream).read_line(&mut line).expect("an answer");
        serde_json::from_str(&line).expect("JSON")
    }

    pub fn vsctl(&self, arguments: &[&str]) -> String {
        let database = format!("--db=unix:{}", self.database().display());
        run(Command::new("ovs-vsctl").arg(database).arg("--timeout=30").args(arguments))
    }

    /// All that it says of itself, for people.
    pub fn told(&self) -> String {
        let interfaces = self.vsctl(&["--columns=name,ofport,error", "list", "interface"]);
        let version = self.vsctl(&["--columns=next_cfg,cur_cfg", "list", "open_vswitch"]);
        interfaces + &version + &self.flows()
    }

    /// As if a packet had come in.
    pub fn packet_out(&self, packet: &str) {
        let bridge = format!("unix:{}", self.run_dir().join("hive0.mgmt").display());
        run(Command::new("ovs-ofctl").args(["-O", "OpenFlow15", "--timeout=30", "packet-out", &bridge, packet]));
    }

    /// The bridge's tables, once it is there.
    pub fn flows(&self) -> String {
        let mut command = Command::new("ovs-ofctl");
        command.args(["-O", "OpenFlow15", "--timeout=30", "--no-stats", "dump-flows"]);
        let output = command.arg(format!("unix:{}", self.run_dir().join("hive0.mgmt").display())).output();
        let output = output.expect("ovs-ofctl");
        let (flows, trouble) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        format!("{flows}{trouble}")
    }
}

fn run(command: &mut Command) -> String {
    let output = command.output().expect("a tool of Open vSwitch");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}
