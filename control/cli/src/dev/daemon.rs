//! The daemons of a node: how each is started, and how one asks whether it answers.

use crate::cluster::Cluster;
use crate::profile::Profile;
use crate::root::Root;
use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// In the run directory: what netd, ovs-vsctl and hived connect to.
pub(super) const DATABASE_SOCKET: &str = "db.sock";
/// A daemon answers a probe from memory; longer is as good as no answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);
/// A probe reads no more than this of an answer: it only asks whether one comes.
const MAX_PROBE_REPLY_BYTES: u64 = 1 << 20;

/// The daemons of one root directory.
#[derive(Clone, Debug)]
pub struct Cloud {
    root: Root,
    profile: Profile,
    programs: PathBuf,
}

/// One daemon process.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Names its log and pid file: `netd`, `hived`, `hived-2`.
    pub name: String,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub environment: Vec<(String, String)>,
    probe: Probe,
}

#[derive(Clone, Debug)]
enum Probe {
    /// The server speaks first on a TCP connection.
    Greeting(SocketAddr),
    /// The server accepts a TCP connection.
    Accept(SocketAddr),
    /// The server answers one line with one line.
    Line { socket: PathBuf, request: &'static str },
    /// The server accepts a connection on its socket.
    Connect(PathBuf),
    /// A hived answers for the whole node on the bus at this address.
    Bus(SocketAddr),
}

impl Cloud {
    pub fn new(root: &Root, profile: Profile, programs: &Path) -> Self {
        Self { root: root.clone(), profile, programs: programs.to_owned() }
    }

    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Every daemon, in the order of start: each finds what it needs already answering.
    pub fn daemons(&self) -> Vec<Daemon> {
        let nats = Daemon {
            name: "nats".into(),
            program: self.nats_server(),
            arguments: vec!["-c".into(), self.root.config("nats.conf").display().to_string()],
            environment: Vec::new(),
            probe: Probe::Greeting(local_address(self.profile.bus.listen)),
        };
        let control_socket = |name: &str, request| Probe::Line { socket: self.root.run(name), request };
        let netd = self.ours("netd", "netd", control_socket("netd.sock", r#"{"method":"list-ports"}"#));
        let mut daemons = vec![
            nats,
            self.database(),
            self.ours("blockd", "blockd", control_socket("blockd.sock", r#"{"method":"list-volumes"}"#)),
            Daemon { arguments: self.netd_arguments(), ..netd },
            self.ours("objectd", "objectd", Probe::Accept(local_address(self.profile.objects.listen))),
        ];
        daemons.extend(self.workers());
        daemons.push(self.ours("awsd", "awsd", Probe::Accept(local_address(self.profile.api.listen))));
        daemons
    }

    /// The hived processes: the first runs this node, the others only answer API calls.
    pub fn workers(&self) -> Vec<Daemon> {
        (1..=self.profile.compute.workers)
            .map(|number| {
                let name = worker_name(number);
                self.ours(&name, "hived", Probe::Bus(local_address(self.profile.bus.listen)))
            })
            .collect()
    }

    fn ours(&self, name: &str, program: &str, probe: Probe) -> Daemon {
        Daemon {
            name: name.into(),
            program: self.programs.join(program),
            arguments: vec!["--config".into(), self.root.config(&format!("{name}.toml")).display().to_string()],
            environment: ["HIVE_LOG", "RUST_LOG"]
                .map(|name| (name.to_owned(), self.profile.log.clone()))
                .into_iter()
                // A log is a file: no colours.
                .chain([("NO_COLOR".to_owned(), "1".to_owned())])
                .collect(),
            probe,
        }
    }

    /// The stock server of netd's database.
    fn database(&self) -> Daemon {
        let socket = self.root.run(DATABASE_SOCKET);
        Daemon {
            name: "ovsdb".into(),
            program: "ovsdb-server".into(),
            arguments: vec![
                super::database::path(&self.root).display().to_string(),
                format!("--remote=punix:{}", socket.display()),
                format!("--unixctl={}", self.root.run("ovsdb.ctl").display()),
                "--no-chdir".into(),
                "--verbose=console:info".into(),
                "--verbose=syslog:off".into(),
            ],
            environment: vec![("OVS_RUNDIR".into(), self.root.switch_run_dir().display().to_string())],
            probe: Probe::Connect(socket),
        }
    }

    fn netd_arguments(&self) -> Vec<String> {
        let run_dir = self.root.switch_run_dir();
        let option = |name: &str, path: PathBuf| [format!("--{name}"), path.display().to_string()];
        let mut arguments = vec!["--db".into(), format!("unix:{}", self.root.run(DATABASE_SOCKET).display())];
        arguments.extend(option("rundir", run_dir.clone()));
        arguments.extend(option("unixctl", run_dir.join("netd.ctl")));
        arguments.extend(option("state-dir", self.root.state("netd")));
        arguments.extend(option("control-socket", self.root.run("netd.sock")));
        arguments.extend(self.profile.resolver.iter().flat_map(|resolver| ["--resolver".into(), resolver.to_string()]));
        arguments
    }

    /// The server beside our programs (as installed), else the one on the PATH.
    fn nats_server(&self) -> PathBuf {
        let installed = self.programs.join("nats-server");
        if installed.exists() { installed } else { PathBuf::from("nats-server") }
    }
}

/// `hived`, `hived-2`, ...
pub(super) fn worker_name(number: u8) -> String {
    if number == 1 { "hived".into() } else { format!("hived-{number}") }
}

/// The address to connect to from this machine.
pub fn local_address(listen: SocketAddr) -> SocketAddr {
    let ip = if listen.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { listen.ip() };
    SocketAddr::new(ip, listen.port())
}

impl Daemon {
    /// Where it listens, for people.
    pub fn address(&self) -> String {
        match &self.probe {
            Probe::Greeting(address) | Probe::Accept(address) => address.to_string(),
            Probe::Bus(address) => format!("bus at {address}"),
            Probe::Connect(socket) | Probe::Line { socket, .. } => {
                let parts: Vec<_> = socket.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
                parts.into_iter().rev().collect::<Vec<_>>().join("/")
            }
        }
    }

    /// # Errors
    /// It does not answer, and why.
    pub fn probe(&self) -> Result<()> {
        match &self.probe {
            Probe::Accept(address) => connect(*address).map(drop),
            Probe::Connect(socket) => {
                UnixStream::connect(socket).map(drop).with_context(|| format!("cannot connect to {}", socket.display()))
            }
            Probe::Bus(address) => Cluster::connect(*address)?.status().map(drop),
            Probe::Greeting(address) => first_line(connect(*address)?),
            Probe::Line { socket, request } => {
                let mut stream =
                    UnixStream::connect(socket).with_context(|| format!("cannot connect to {}", socket.display()))?;
                stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
                stream.set_write_timeout(Some(PROBE_TIMEOUT))?;
                writeln!(stream, "{request}").context("cannot ask")?;
                first_line(stream)
            }
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream =
        TcpStream::connect_timeout(&address, PROBE_TIMEOUT).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_read_timeout(Some(PROBE_TIMEOUT))?;
    Ok(stream)
}

fn first_line(stream: impl Read) -> Result<()> {
    let mut line = String::new();
    let read = BufReader::new(stream.take(MAX_PROBE_REPLY_BYTES)).read_line(&mut line).context("no answer")?;
    ensure!(read > 0, "it hung up without an answer");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::thread;

    fn daemon(probe: Probe) -> Daemon {
        Daemon { name: "x".into(), program: "x".into(), arguments: vec![], environment: vec![], probe }
    }

    #[test]
    fn a_probe_wants_an_answer_not_only_a_socket() {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("x.sock");
        let probe = daemon(Probe::Line { socket: socket.clone(), request: "{}" });
        assert!(probe.probe().is_err(), "no socket yet");
        let listener = UnixListener::bind(&socket).unwrap();
        let server = thread::spawn(move || {
            drop(listener.accept().unwrap());
            let (mut stream, _) = listener.accept().unwrap();
            let mut line = String::new();
            BufReader::new(&stream).read_line(&mut line).unwrap();
            stream.write_all(b"\"done\"\n").unwrap();
        });
        assert!(probe.probe().is_err(), "the first connection is hung up");
        probe.probe().unwrap();
        server.join().unwrap();
    }

    #[test]
    fn a_wildcard_address_is_probed_on_loopback() {
        let listener = TcpListener::bind("0.0.0.0:0").unwrap();
        let probe = Probe::Accept(local_address(listener.local_addr().unwrap()));
        daemon(probe).probe().unwrap();
    }
}
