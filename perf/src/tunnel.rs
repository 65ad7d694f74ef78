//! What tunnels between nodes cost: TCP between two netd by an encrypted tunnel, by one in the clear, and by the cable itself, in turn.
//!
//! Each netd is in a network namespace of its own, with a cable between them; two bridges in each, whose local ports speak with the
//! other node's. What is sent is the same, and so is the way: TCP's large segments are cut in netd.

use crate::ovs::{Database, run};
use crate::report::{self, Better, Line};
use crate::rival::{self, Priority, Process};
use anyhow::{Context, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Tunnels between nodes, encrypted and in the clear, beside the cable itself
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Interleaved rounds; medians are compared.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Seconds of one measurement.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Append JSON lines to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The netd to measure; by default the one built beside this program.
    #[arg(long, value_name = "FILE")]
    netd: Option<PathBuf>,
}

/// What an encrypted tunnel leaves of a cable's 1500 bytes; the clear one has the same.
const MTU: u32 = 1390;
/// For anything that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);
/// TCP's window opens.
const WARM_UP: Duration = Duration::from_millis(500);
const CHUNK_BYTES: usize = 128 << 10;
/// The bridges, the second octet but one of their hosts, and the third one of the cable's addresses.
const WAYS: [Way; 2] = [Way { bridge: "sealed", network: 1 }, CLEAR];
const CLEAR: Way = Way { bridge: "clear", network: 2 };

struct Way {
    bridge: &'static str,
    network: u8,
}

struct Namespace(String);

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).output();
    }
}

impl Namespace {
    fn new(side: usize) -> anyhow::Result<Self> {
        let name = format!("hive-perf-{}-{side}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]))?;
        Ok(Self(name))
    }

    fn ip(&self, words: &str) -> anyhow::Result<()> {
        run(Command::new("ip").args(["-n", &self.0]).args(words.split_whitespace())).map(drop)
    }

    /// Runs `work` on a thread in it.
    fn spawn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
    ) -> anyhow::Result<std::thread::JoinHandle<anyhow::Result<T>>> {
        let file = std::fs::File::open(Path::new("/var/run/netns").join(&self.0))?;
        let inside = move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        };
        Ok(std::thread::Builder::new().name("traffic".to_owned()).spawn(inside)?)
    }
}

struct Node {
    _switch: Process,
    database: Database,
    namespace: Namespace,
}

impl Node {
    fn start(side: usize, netd: &Path) -> anyhow::Result<Self> {
        let namespace = Namespace::new(side)?;
        let database = Database::start(Priority::Normal)?;
        let (at, socket) = (database.directory(), database.path("switch.ctl"));
        let inside = ["netns", "exec", &namespace.0].map(str::to_owned);
        let rundir = at.display().to_string();
        let netd = [netd.display().to_string(), "--db".to_owned(), database.remote(), "--rundir".to_owned(), rundir];
        let ctl = format!("--unixctl={}", socket.display());
        let arguments: Vec<String> = inside.into_iter().chain(netd).chain([ctl]).collect();
        let switch = rival::start_in(Path::new("ip"), &arguments, &socket, &[("OVS_RUNDIR", at)], Priority::Normal)?;
        Ok(Self { _switch: switch, database, namespace })
    }

    fn vsctl(&self, words: &str) -> anyhow::Result<String> {
        self.database.vsctl(&words.split_whitespace().collect::<Vec<_>>())
    }

    /// This node's key, made anew; its public half.
    fn make_key(&self) -> anyhow::Result<String> {
        let file = self.key();
        let made = format!("umask 077; wg genkey >'{file}' && wg pubkey <'{file}'");
        Ok(run(Command::new("sh").args(["-c", &made]))?.trim().to_owned())
    }

    fn key(&self) -> String {
        self.database.path("key").display().to_string()
    }

    fn connect(&self, side: usize, peer_key: &str) -> anyhow::Result<()> {
        for Way { bridge, network } in WAYS {
            let (own, other) = (side + 1, 2 - side);
            self.namespace.ip(&format!("address add 192.168.{network}.{own}/24 dev eth0"))?;
            let security = match bridge {
                "sealed" => {
                    format!("options:wireguard_peer={peer_key} options:wireguard_private_key_file={}", self.key())
                }
                _ => String::new(),
            };
            self.vsctl(&format!(
                "add-br {bridge} -- set bridge {bridge} datapath_type=netdev -- set interface {bridge} mtu_request={MTU} \
                 -- add-port {bridge} {bridge}-tun -- set interface {bridge}-tun type=geneve \
                 options:remote_ip=192.168.{network}.{other} options:local_ip=192.168.{network}.{own} {security}"
            ))?;
            self.namespace.ip(&format!("link set {bridge} mtu {MTU}"))?;
            self.namespace.ip(&format!("address add {}/24 dev {bridge}", host(network, side)))?;
            self.namespace.ip(&format!("link set {bridge} up"))?;
        }
        Ok(())
    }
}

/// Of a node's end of the cable.
fn cable(network: u8, side: usize) -> IpAddr {
    [192, 168, network, side as u8 + 1].into()
}

/// Of a node within a tunnel.
fn host(network: u8, side: usize) -> IpAddr {
    [10, 0, network, side as u8 + 1].into()
}

pub fn measure(options: &Options) -> anyhow::Result<()> {
    ensure!(options.rounds > 0 && options.seconds > 0.0, "rounds and seconds must be positive");
    let netd = rival::own_binary("netd", options.netd.as_deref())?;
    let nodes = [Node::start(0, &netd)?, Node::start(1, &netd)?];
    let [one, other] = nodes.each_ref().map(|node| &node.namespace);
    one.ip(&format!("link add eth0 type veth peer name eth0 netns {}", other.0))?;
    one.ip("link set eth0 up")?;
    other.ip("link set eth0 up")?;
    let keys = [nodes[0].make_key()?, nodes[1].make_key()?];
    nodes[0].connect(0, &keys[1])?;
    nodes[1].connect(1, &keys[0])?;
    println!("load before: {}", report::load_average());
    let (mut encryption, mut encapsulation) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let [sealed, clear] = WAYS.map(|way| throughput(&nodes, host(way.network, 1), options.seconds));
        let clear = clear.context("in the clear")?;
        encryption.push((sealed.context("encrypted")?, clear));
        let cable = throughput(&nodes, cable(CLEAR.network, 1), options.seconds);
        encapsulation.push((clear, cable.context("the cable itself")?));
    }
    let unit = ("Gb/s", Better::Higher);
    let line = |case, rival, rounds, note| Line::new("tunnel", case, unit, rival, None, rounds).with_note(note);
    let lines = [
        line(
            "TCP by an encrypted tunnel",
            "a tunnel in the clear",
            encryption,
            "both ends on this machine: each byte is encrypted and decrypted here",
        ),
        line(
            "TCP by a tunnel in the clear",
            "the cable itself",
            encapsulation,
            "the kernel's veth hands large segments over whole; no wire does",
        ),
    ];
    report::print(&lines);
    println!("load after: {}", report::load_average());
    if let Some(path) = &options.json {
        report::write_json(path, &lines)?;
    }
    Ok(())
}

/// Gigabits that arrive in a second.
fn throughput(nodes: &[Node; 2], receiver: IpAddr, seconds: f64) -> anyhow::Result<f64> {
    let at = SocketAddr::from((receiver, 5001));
    let (ready, listening) = std::sync::mpsc::channel();
    let receiver = nodes[1].namespace.spawn(move || {
        let listener = TcpListener::bind(at)?;
        ready.send(()).context("nobody waits")?;
        let (mut stream, _) = listener.accept()?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut bytes = vec![0; CHUNK_BYTES];
        let (began, mut counted) = (Instant::now(), 0u64);
        let measured = Duration::from_secs_f64(seconds);
        let mut first = None;
        loop {
            let count = stream.read(&mut bytes)?;
            ensure!(count > 0, "the stream has ended");
            let now = began.elapsed();
            if now < WARM_UP {
                continue;
            }
            let since = *first.get_or_insert(now);
            counted += count as u64;
            if now - since >= measured {
                return Ok(counted as f64 * 8.0 / (now - since).as_secs_f64() / 1e9);
            }
        }
    })?;
    if listening.recv_timeout(PATIENCE).is_err() {
        bail!("nobody listens at {at}: {:?}", receiver.join().ok().and_then(Result::err));
    }
    let sender = nodes[0].namespace.spawn(move || {
        let mut stream = TcpStream::connect_timeout(&at, PATIENCE)?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let bytes = vec![7; CHUNK_BYTES];
        // Until the receiver has enough.
        while stream.write_all(&bytes).is_ok() {}
        Ok(())
    })?;
    let joined = |_| anyhow::anyhow!("a thread of traffic panicked");
    sender.join().map_err(joined)??;
    receiver.join().map_err(joined)?
}
