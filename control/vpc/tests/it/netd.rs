//! netd as the switch of the scenarios: the same bridge, in a network namespace of its own, whose devices the test's frames go by.

use crate::switch::{
    GENEVE, HERE, INTERFACES, PATIENCE, PEER_MAC, PHY, SERVICES, SERVICES_AT, Switch, TUNNEL, UNDERLAY_MAC, UPLINK,
    Way, counts, decapsulated, encapsulated, hex, name, run, spawn,
};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The program that puts frames on devices, and says what came.
const WIRE: &str = include_str!("wire.py");
/// A socket queues some hundred frames.
const BATCH: usize = 50;

/// Who has the frames.
struct Wire {
    process: Child,
    words: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Wire {
    fn start(namespace: &str) -> Self {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", namespace, "python3", "-c", WIRE]);
        command.args(devices().map(|(_, device)| device));
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("ip and python3");
        let words = process.stdin.take().unwrap();
        let answers = BufReader::new(process.stdout.take().unwrap());
        let mut wire = Self { process, words, answers };
        assert_eq!(wire.line(), "ready");
        wire
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.answers.read_line(&mut line).unwrap() > 0, "the frames' program is gone");
        line.trim_end().to_owned()
    }

    fn ask(&mut self, words: &str) -> Vec<String> {
        writeln!(self.words, "{words}").unwrap();
        std::iter::repeat_with(|| self.line()).take_while(|line| line != ".").collect()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The other ends of the switch's devices, and of the underlay's.
fn devices() -> impl Iterator<Item = (u16, String)> {
    (1..=INTERFACES).chain([UPLINK, PHY]).map(|port| (port, format!("{}x", name(port))))
}

pub struct Netd {
    folder: tempfile::TempDir,
    namespace: String,
    program: PathBuf,
    server: Child,
    daemon: Option<Child>,
    wire: Wire,
    /// Of each port, how many frames came in since the daemon started.
    received: BTreeMap<u16, u64>,
}

impl Drop for Netd {
    fn drop(&mut self) {
        for daemon in self.daemon.iter_mut().chain([&mut self.server]) {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        let _ = Command::new("ip").args(["netns", "del", &self.namespace]).status();
    }
}

impl Netd {
    /// Needs the right to make network namespaces.
    pub fn start(program: PathBuf) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let folder = tempfile::tempdir().unwrap();
        let namespace = format!("vpc-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
        let path = |name: &str| folder.path().join(name).display().to_string();
        run(&folder, Command::new("ip").args(["netns", "add", &namespace]));
        let inside = |words: &str| {
            run(&folder, Command::new("ip").args(["netns", "exec", &namespace]).args(words.split_whitespace()));
        };
        inside("sysctl -q net.ipv6.conf.all.disable_ipv6=1 net.ipv6.conf.default.disable_ipv6=1");
        for (port, device) in devices() {
            let name = name(port);
            inside(&format!("ip link add {name} mtu 9200 type veth peer name {device} mtu 9200"));
            if port == PHY {
                let text = |mac: [u8; 6]| mac.map(|byte| format!("{byte:02x}")).join(":");
                inside(&format!("ip link set {name} address {}", text(UNDERLAY_MAC)));
                inside(&format!("ip address add {HERE}/24 dev {name}"));
                for peer in [crate::fixture::PEER, SERVICES_AT] {
                    let mac = text(PEER_MAC);
                    inside(&format!("ip neighbour add {peer} lladdr {mac} dev {name} nud permanent"));
                }
            }
            inside(&format!("ip link set {name} up"));
            inside(&format!("ip link set {device} up"));
        }
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        run(&folder, Command::new("ovsdb-tool").args(["create", &path("conf.db"), schema]));
        let mut server = Command::new("ovsdb-server");
        server.args([&path("conf.db"), "--remote", &format!("punix:{}", path("db.sock"))]);
        let server = spawn(&folder, server.arg(format!("--unixctl={}", path("db.ctl"))));
        let wire = Wire::start(&namespace);
        let mut this = Self { folder, namespace, program, server, daemon: None, wire, received: BTreeMap::new() };
        this.vsctl("--no-wait init");
        this.start_daemon();
        let mut words =
            "add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure protocols=OpenFlow15".to_owned();
        for (port, _) in devices().filter(|(port, _)| *port != PHY) {
            let name = name(port);
            words += &format!(" -- add-port br0 {name} -- set interface {name} ofport_request={port}");
        }
        for (port, remote) in [(SERVICES, SERVICES_AT.to_string()), (TUNNEL, "flow".to_owned())] {
            words += &format!(
                " -- add-port br0 g{port} -- set interface g{port} type=geneve ofport_request={port} \
                 options:key=flow options:remote_ip={remote}"
            );
        }
        this.vsctl(&words);
        this
    }

    /// Two nodes whose underlays are the ends of one cable.
    pub fn pair(program: &Path) -> [Self; 2] {
        let nodes = [Self::start(program.into()), Self::start(program.into())];
        let [here, there] = &nodes;
        for node in &nodes {
            node.inside(&format!("ip link del {}", name(PHY)));
        }
        let device = name(PHY);
        here.inside(&format!(
            "ip link add {device} mtu 9200 type veth peer name {device} mtu 9200 netns {}",
            there.namespace
        ));
        for (node, address) in [(here, HERE), (there, crate::fixture::PEER)] {
            node.inside(&format!("ip address add {address}/24 dev {device}"));
            node.inside(&format!("ip link set {device} up"));
        }
        nodes
    }

    fn inside(&self, words: &str) {
        let mut command = Command::new("ip");
        run(&self.folder, command.args(["netns", "exec", &self.namespace]).args(words.split_whitespace()));
    }

    /// What it has counted, for people.
    pub fn counted(&self) -> String {
        self.call(&["dpctl/show", "-s"]) + &self.call(&["coverage/show"])
    }

    /// A frame comes in by a port; whatever becomes of it is elsewhere.
    pub fn put(&mut self, port: u16, frame: &[u8]) {
        self.wire.ask(&format!("send {}x {}", name(port), hex(frame)));
    }

    /// What has come out so far.
    pub fn take(&mut self) -> Vec<(u16, Vec<u8>)> {
        let ports: BTreeMap<String, u16> = devices().map(|(port, device)| (device, port)).collect();
        let lines = self.wire.ask("take");
        let frames = lines.iter().filter_map(|line| line.split_once(' '));
        frames.map(|(device, frame)| (ports[device], unhex(frame))).collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start_daemon(&mut self) {
        let path = |name: &str| self.path(name).display().to_string();
        let mut daemon = Command::new("ip");
        daemon.args(["netns", "exec", &self.namespace]).arg(&self.program);
        daemon.args(["--db", &format!("unix:{}", path("db.sock")), "--rundir", &path("")]);
        daemon.args(["--unixctl", &path("switch.ctl"), "--pidfile", &path("switch.pid")]);
        self.daemon = Some(spawn(&self.folder, &mut daemon));
        self.received.clear();
    }

    fn vsctl(&self, words: &str) {
        let mut command = Command::new("ovs-vsctl");
        command.args(["--timeout=60", "--retry"]).arg(format!("--db=unix:{}", self.path("db.sock").display()));
        run(&self.folder, command.args(words.split_whitespace()));
    }

    fn call(&self, words: &[&str]) -> String {
        let mut command = Command::new("ovs-appctl");
        command.args(["-T", "60", "-t"]).arg(self.path("switch.ctl")).args(words);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A port counts frames when what comes of them has gone out.
    fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.call(&["dpctl/show", "-s"]);
            let counts = counts(&text);
            let of = |port: u16| counts.get(&name_of(port)).copied().unwrap_or(0);
            if self.received.iter().all(|(port, count)| of(*port) >= *count) {
                return;
            }
            assert!(Instant::now() < deadline, "the switch does not take frames: {:?}: {text}", self.received);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// In the database.
fn name_of(port: u16) -> String {
    if [SERVICES, TUNNEL].contains(&port) { format!("g{port}") } else { name(port) }
}

impl Switch for Netd {
    fn management(&self) -> PathBuf {
        self.path("br0.mgmt")
    }

    fn send(&mut self, way: Way, frames: &[Vec<u8>]) -> Vec<(Way, Vec<u8>)> {
        let mut output = Vec::new();
        for batch in frames.chunks(BATCH) {
            let (port, counted, batch): (u16, u16, Vec<_>) = match way {
                Way::Port(port) => (port, port, batch.to_vec()),
                Way::Services(id) => {
                    let outer = batch.iter().map(|frame| encapsulated(SERVICES_AT, id as u32, frame));
                    (PHY, SERVICES, outer.collect())
                }
                Way::Tunnel(peer, vni) => {
                    (PHY, TUNNEL, batch.iter().map(|frame| encapsulated(peer, vni, frame)).collect())
                }
            };
            let frames: Vec<String> = batch.iter().map(|frame| hex(frame)).collect();
            self.wire.ask(&format!("send {}x {}", name(port), frames.join(" ")));
            *self.received.entry(counted).or_default() += batch.len() as u64;
            self.settle();
            let mut got = self.take();
            got.sort_by_key(|(port, _)| *port);
            output.extend(got.into_iter().filter_map(|(port, frame)| match port {
                // The underlay has its own life.
                PHY if frame.get(36..38) != Some(&GENEVE.to_be_bytes()) => None,
                PHY => Some(decapsulated(&frame)),
                port => Some((Way::Port(port), frame)),
            }));
        }
        output
    }

    /// Nothing is forwarded by tables of before.
    fn programmed(&mut self) {}

    fn explain(&mut self, way: Way, frame: &[u8]) -> String {
        let port = match way {
            Way::Port(port) => format!("in_port={port}"),
            Way::Services(id) => format!("in_port={SERVICES},tun_id={id},tun_src={SERVICES_AT}"),
            Way::Tunnel(peer, vni) => format!("in_port={TUNNEL},tun_id={vni},tun_src={peer}"),
        };
        self.call(&["ofproto/trace", "br0", &port, &hex(frame)])
    }

    fn restart(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        let _ = std::fs::remove_file(self.path("br0.mgmt"));
        self.start_daemon();
        let deadline = Instant::now() + PATIENCE;
        while std::os::unix::net::UnixStream::connect(self.path("br0.mgmt")).is_err() {
            assert!(Instant::now() < deadline, "no management socket");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}
