//! The switch under test, as the scenarios see it; and Open vSwitch in that place.

use crate::packet::{Ethernet, Ip, udp};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Nothing takes longer, unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// How a frame comes in or goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    Port(u16),
    /// By the services port, with this `tun_id`.
    Services(u64),
    /// To or from another node, in the VPC of this number.
    Tunnel(Ipv4Addr, u32),
}

/// Numbers of the ports that are not interfaces'.
pub const SERVICES: u16 = 20;
pub const TUNNEL: u16 = 30;
pub const UPLINK: u16 = 40;
/// Ports of interfaces: 1 to this.
pub const INTERFACES: u16 = 6;

/// A bridge with ports 1 to [`INTERFACES`], [`SERVICES`], [`TUNNEL`] and [`UPLINK`], and no flows.
pub trait Switch {
    /// `<bridge>.mgmt`.
    fn management(&self) -> PathBuf;
    /// Frames come in one after the other. Returns when all that comes of them has gone out: that, in the order of the outputs.
    fn send(&mut self, way: Way, frames: &[Vec<u8>]) -> Vec<(Way, Vec<u8>)>;
    /// The tables were changed: from here on nothing is forwarded by what they were.
    fn programmed(&mut self);
    /// What it would do with a frame, for people.
    fn explain(&mut self, way: Way, frame: &[u8]) -> String;
    /// The daemon dies and comes back with empty tables.
    fn restart(&mut self);

    /// `ovs-ofctl`'s words about the bridge, which is called BR.
    fn ofctl(&self, words: &str) -> String {
        let bridge = format!("unix:{}", self.management().display());
        let mut command = Command::new("ovs-ofctl");
        command.args(["--timeout=60", "-OOpenFlow15"]).args(words.split(' ').map(|word| word.replace("BR", &bridge)));
        let output = command.stderr(Stdio::null()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
}

/// The switch that scenarios run on: Open vSwitch, or the netd that `HIVE_VPC_SWITCH` names.
pub fn under_test() -> Box<dyn Switch> {
    match std::env::var_os("HIVE_VPC_SWITCH") {
        Some(program) => Box::new(crate::netd::Netd::start(program.into())),
        None => Box::new(OpenVswitch::start()),
    }
}

/// A real `ovs-vswitchd` with the userspace datapath and ports that are sockets of its own: no kernel module, no privileges. What
/// has a `tun_id` goes by Geneve, over the bridge `phy` whose port `p0` is captured.
pub struct OpenVswitch {
    folder: tempfile::TempDir,
    server: Child,
    daemon: Option<Child>,
    control: Option<UnixStream>,
    /// Of each captured port, how many frames were seen.
    seen: BTreeMap<u16, usize>,
    /// Of each port, how many frames came in.
    received: BTreeMap<u16, u64>,
}

pub const HERE: Ipv4Addr = Ipv4Addr::new(100, 127, 77, 1);
// A network that the machine itself is hardly in: the daemon believes its routes first.
/// The services port is a tunnel too, to this address.
pub const SERVICES_AT: Ipv4Addr = Ipv4Addr::new(100, 127, 77, 250);
pub const UNDERLAY_MAC: [u8; 6] = [0xaa, 0x55, 0xaa, 0x55, 0, 0];
pub const PEER_MAC: [u8; 6] = [0xaa, 0x55, 0xaa, 0x55, 0, 9];
pub const GENEVE: u16 = 6081;
/// The number that stands for `p0` here.
pub const PHY: u16 = 50;
/// A dummy port queues 100 frames.
const BATCH: usize = 50;

impl Drop for OpenVswitch {
    fn drop(&mut self) {
        for daemon in self.daemon.iter_mut().chain([&mut self.server]) {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

pub fn name(port: u16) -> String {
    if port == PHY { "p0".to_owned() } else { format!("p{port}") }
}

fn captured() -> impl Iterator<Item = u16> {
    (1..=INTERFACES).chain([UPLINK, PHY])
}

impl OpenVswitch {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        run(&folder, Command::new("ovsdb-tool").args(["create", &path("conf.db"), schema]));
        let remote = format!("punix:{}", path("db.sock"));
        let mut server = Command::new("ovsdb-server");
        server.args([&path("conf.db"), "--remote", &remote, &format!("--unixctl={}", path("db.ctl"))]);
        let server = spawn(&folder, &mut server);
        let (seen, received) = Default::default();
        let mut this = Self { folder, server, daemon: None, control: None, seen, received };
        this.vsctl("--no-wait init");
        this.start_daemon();
        let mut words = "add-br phy -- set bridge phy datapath_type=dummy other-config:hwaddr=aa:55:aa:55:00:00 \
             -- add-br br0 -- set bridge br0 datapath_type=dummy fail_mode=secure protocols=OpenFlow15"
            .to_owned();
        for port in captured() {
            let (bridge, name) = (if port == PHY { "phy" } else { "br0" }, name(port));
            let pcap = this.path(&format!("{name}.pcap")).display().to_string();
            words += &format!(
                " -- add-port {bridge} {name} -- set interface {name} type=dummy ofport_request={port} \
                 mtu_request=9100 options:tx_pcap={pcap}"
            );
        }
        for (port, remote) in [(SERVICES, SERVICES_AT.to_string()), (TUNNEL, "flow".to_owned())] {
            words += &format!(
                " -- add-port br0 g{port} -- set interface g{port} type=geneve ofport_request={port} \
                 options:key=flow options:remote_ip={remote}"
            );
        }
        this.vsctl(&words);
        this.underlay();
        this
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start_daemon(&mut self) {
        let path = |name: &str| self.path(name).display().to_string();
        let mut daemon = Command::new("ovs-vswitchd");
        daemon.arg(format!("unix:{}", path("db.sock"))).args(["--enable-dummy", "--disable-system"]);
        daemon.args([format!("--unixctl={}", path("switch.ctl")), format!("--pidfile={}", path("switch.pid"))]);
        daemon.arg(format!("--log-file={}", path("switch.log")));
        self.daemon = Some(spawn(&self.folder, &mut daemon));
        let deadline = Instant::now() + PATIENCE;
        self.control = None;
        while self.control.is_none() {
            self.control = UnixStream::connect(self.path("switch.ctl")).ok();
            assert!(self.control.is_some() || Instant::now() < deadline, "no control socket");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Addresses and neighbours of the underlay, which the daemon forgets.
    fn underlay(&mut self) {
        self.wait_for("br0.mgmt");
        self.wait_for("phy.mgmt");
        run(&self.folder, Command::new("ovs-ofctl").args(["add-flow", &self.target("phy"), "actions=normal"]));
        self.call("netdev-dummy/ip4addr", &["phy", &format!("{HERE}/24")]);
        self.call("ovs/route/add", &[&format!("{HERE}/24"), "phy"]);
        let mac = PEER_MAC.map(|byte| format!("{byte:02x}")).join(":");
        for peer in [crate::fixture::PEER, SERVICES_AT] {
            self.call("tnl/neigh/set", &["phy", &peer.to_string(), &mac]);
        }
    }

    fn target(&self, bridge: &str) -> String {
        format!("unix:{}", self.path(&format!("{bridge}.mgmt")).display())
    }

    fn wait_for(&self, socket: &str) {
        let end = Instant::now() + PATIENCE;
        while UnixStream::connect(self.path(socket)).is_err() {
            assert!(Instant::now() < end, "{socket} does not appear");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn vsctl(&self, words: &str) {
        let mut command = Command::new("ovs-vsctl");
        command.args(["--timeout=60", "--retry"]).arg(format!("--db=unix:{}", self.path("db.sock").display()));
        run(&self.folder, command.args(words.split_whitespace()));
    }

    /// A command of `ovs-appctl`.
    pub fn call(&mut self, method: &str, params: &[&str]) -> String {
        let params: Vec<_> = params.iter().map(|param| format!("\"{param}\"")).collect();
        let request = format!("{{\"id\":0,\"method\":\"{method}\",\"params\":[{}]}}", params.join(","));
        let control = self.control.as_mut().unwrap();
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        control.write_all(request.as_bytes()).unwrap();
        let (mut answer, mut quoted, mut escaped, mut depth) = (Vec::new(), false, false, 0);
        let mut piece = [0; 65536];
        'whole: loop {
            let length = control.read(&mut piece).expect("an answer");
            assert!(length > 0, "the daemon died");
            for byte in &piece[..length] {
                answer.push(*byte);
                match byte {
                    _ if escaped => escaped = false,
                    b'\\' if quoted => escaped = true,
                    b'"' => quoted = !quoted,
                    b'{' if !quoted => depth += 1,
                    b'}' if !quoted => depth -= 1,
                    _ => {}
                }
            }
            if depth == 0 {
                break 'whole;
            }
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains("\"error\":null"), "{method}: {answer}");
        let (_, result) = answer.split_once("\"result\":\"").unwrap();
        let end = result.find("\",\"error\"").or_else(|| result.rfind('"')).unwrap();
        result[..end].replace("\\n", "\n")
    }

    /// Until everything that came in was dealt with: a port counts a frame in the thread that then forwards it, and that answers here.
    fn settle(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.call("dpctl/show", &["-s"]);
            let counts: BTreeMap<String, u64> = counts(&text);
            if self.received.iter().all(|(port, count)| counts.get(&name(*port)).is_some_and(|seen| seen >= count)) {
                return;
            }
            assert!(Instant::now() < deadline, "the switch does not take frames: {text}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn take(&mut self) -> Vec<(Way, Vec<u8>)> {
        let mut all = Vec::new();
        for port in captured() {
            let frames = read_pcap(&self.path(&format!("{}.pcap", name(port))));
            let seen = self.seen.insert(port, frames.len()).unwrap_or(0);
            for frame in frames.into_iter().skip(seen) {
                all.push(if port == PHY { decapsulated(&frame) } else { (Way::Port(port), frame) });
            }
        }
        all
    }
}

impl Switch for OpenVswitch {
    fn management(&self) -> PathBuf {
        self.path("br0.mgmt")
    }

    fn send(&mut self, way: Way, frames: &[Vec<u8>]) -> Vec<(Way, Vec<u8>)> {
        let mut output = Vec::new();
        for batch in frames.chunks(BATCH) {
            let (port, batch): (u16, Vec<_>) = match way {
                Way::Port(port) => (port, batch.to_vec()),
                Way::Services(id) => {
                    (PHY, batch.iter().map(|frame| encapsulated(SERVICES_AT, id as u32, frame)).collect())
                }
                Way::Tunnel(peer, vni) => (PHY, batch.iter().map(|frame| encapsulated(peer, vni, frame)).collect()),
            };
            let name = name(port);
            let hex: Vec<String> = batch.iter().map(|frame| hex(frame)).collect();
            let mut params = vec![name.as_str()];
            params.extend(hex.iter().map(String::as_str));
            self.call("netdev-dummy/receive", &params);
            *self.received.entry(port).or_default() += batch.len() as u64;
            self.settle();
            output.extend(self.take());
        }
        output
    }

    /// Its caches follow the tables at their leisure.
    fn programmed(&mut self) {
        self.call("revalidator/wait", &[]);
    }

    fn explain(&mut self, way: Way, frame: &[u8]) -> String {
        let port = match way {
            Way::Port(port) => format!("in_port={port}"),
            Way::Services(id) => format!("in_port={SERVICES},tun_id={id},tun_src={SERVICES_AT}"),
            Way::Tunnel(peer, vni) => format!("in_port={TUNNEL},tun_id={vni},tun_src={peer}"),
        };
        self.call("ofproto/trace", &["br0", &port, &hex(frame)])
    }

    fn restart(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
        // Where nobody listens any more.
        for bridge in ["br0", "phy"] {
            let _ = std::fs::remove_file(self.path(&format!("{bridge}.mgmt")));
        }
        let _ = std::fs::remove_file(self.path("switch.ctl"));
        self.seen.clear();
        self.received.clear();
        self.start_daemon();
        self.underlay();
    }
}

/// Frames received, by port: of `dpctl/show -s`.
pub fn counts(text: &str) -> BTreeMap<String, u64> {
    let (mut all, mut port) = (BTreeMap::new(), String::new());
    for line in text.lines().map(str::trim) {
        if let Some(rest) = line.strip_prefix("port ") {
            port = rest.split([':', ' ']).filter(|word| !word.is_empty()).nth(1).unwrap_or_default().to_owned();
        } else if let Some(rest) = line.strip_prefix("RX packets:") {
            let count = rest.split(' ').next().unwrap_or_default();
            all.insert(port.clone(), count.parse().unwrap_or(0));
        }
    }
    all
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 8926, without options.
pub fn encapsulated(from: Ipv4Addr, vni: u32, frame: &[u8]) -> Vec<u8> {
    let [_, a, b, c] = vni.to_be_bytes();
    let payload = [&[0, 0, 0x65, 0x58, a, b, c, 0], frame].concat();
    let ip = Ip { source: from.into(), destination: HERE.into(), ttl: 64 };
    let ethernet = Ethernet { source: PEER_MAC, destination: UNDERLAY_MAC };
    let mut outer = udp(ethernet, ip, 50000, GENEVE, &payload);
    // Without a checksum, as tunnels are by default.
    outer[40..42].fill(0);
    outer
}

pub fn decapsulated(outer: &[u8]) -> (Way, Vec<u8>) {
    assert_eq!(&outer[12..14], &[8, 0], "an outer frame of {}", hex(outer));
    assert_eq!(u16::from_be_bytes([outer[36], outer[37]]), GENEVE);
    let peer = Ipv4Addr::new(outer[30], outer[31], outer[32], outer[33]);
    let vni = u32::from_be_bytes([0, outer[46], outer[47], outer[48]]);
    let way = if peer == SERVICES_AT { Way::Services(vni.into()) } else { Way::Tunnel(peer, vni) };
    (way, outer[50..].to_vec())
}

fn read_pcap(path: &Path) -> Vec<Vec<u8>> {
    let Ok(file) = std::fs::read(path) else { return Vec::new() };
    let (mut frames, mut at) = (Vec::new(), 24);
    while let Some(header) = file.get(at..at + 16) {
        let size = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        let Some(frame) = file.get(at + 16..at + 16 + size) else { break };
        frames.push(frame.to_vec());
        at += 16 + size;
    }
    frames
}

pub fn environment<'a>(folder: &tempfile::TempDir, command: &'a mut Command) -> &'a mut Command {
    command.env("OVS_RUNDIR", folder.path()).env("OVS_LOGDIR", folder.path()).env("OVS_DBDIR", folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

pub fn run(folder: &tempfile::TempDir, command: &mut Command) {
    let output = environment(folder, command).stderr(Stdio::piped()).output().expect("Open vSwitch is installed");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub fn spawn(folder: &tempfile::TempDir, command: &mut Command) -> Child {
    environment(folder, command).spawn().expect("Open vSwitch is installed")
}
