//! Open vSwitch's programs in a scratch directory.

use hive_openflow::{Context, Framer, Message, Version, decode};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// No program takes longer, unless it hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// A real ovs-vswitchd over a datapath that exists in its memory only.
pub struct Switch {
    pub directory: TempDir,
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
        run(Command::new("ovs-vsctl").arg(database).args(["--timeout=30", "--retry"]).args(arguments));
    }

    fn wait_for(&self, name: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.path(name).exists() {
            assert!(Instant::now() < end, "{name} does not appear");
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn connect(&self, version: Version) -> Connection {
        Connection::new(UnixStream::connect(self.path("br0.mgmt")).unwrap(), version)
    }
}

/// A controller's session with a switch.
pub struct Connection {
    stream: UnixStream,
    framer: Framer,
    pub context: Context,
}

impl Connection {
    pub fn new(stream: UnixStream, version: Version) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut this = Self { stream, framer: Framer::default(), context: Context::new(version) };
        let hello = hive_openflow::Hello::of(&[version]);
        this.send(&Message::Hello(hello), 1);
        assert!(matches!(decode(&this.receive(), &this.context).unwrap().message, Message::Hello(_)));
        this
    }

    pub fn send(&mut self, message: &Message, xid: u32) {
        let mut bytes = Vec::new();
        message.encode(xid, &self.context, &mut bytes).unwrap();
        self.send_bytes(&bytes);
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next message.
    pub fn receive(&mut self) -> Vec<u8> {
        self.try_receive().expect("the switch answers")
    }

    fn try_receive(&mut self) -> std::io::Result<Vec<u8>> {
        loop {
            if let Some(message) = self.framer.next_message().unwrap() {
                return Ok(message.to_vec());
            }
            let mut piece = [0; 65536];
            let length = self.stream.read(&mut piece)?;
            if length == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.framer.push(&piece[..length]);
        }
    }

    /// All that comes before the answer to a barrier. An error: the switch has closed the connection.
    pub fn receive_to_barrier(&mut self) -> std::io::Result<Vec<Vec<u8>>> {
        const XID: u32 = 0x7fff_fff0;
        self.send(&Message::BarrierRequest, XID);
        let mut messages = Vec::new();
        loop {
            let message = self.try_receive()?;
            let reply = decode(&message, &self.context);
            if reply.is_ok_and(|reply| reply.message == Message::BarrierReply && reply.header.xid == XID) {
                return Ok(messages);
            }
            messages.push(message);
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

/// Who sent a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    Controller,
    Switch,
}

/// A proxy on a socket of its own, before a switch's; it keeps all messages.
pub struct Proxy {
    pub path: PathBuf,
    sessions: Arc<Mutex<Vec<Session>>>,
}

/// Messages of one connection.
pub type Session = Vec<(Side, Vec<u8>)>;

impl Proxy {
    pub fn start(directory: &Path, target: PathBuf) -> Self {
        let path = directory.join("proxy.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let sessions: Arc<Mutex<Vec<Session>>> = Arc::default();
        let kept = sessions.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), UnixStream::connect(&target).unwrap());
                let index = {
                    let mut sessions = kept.lock().unwrap();
                    sessions.push(Vec::new());
                    sessions.len() - 1
                };
                for (side, from, to) in [(Side::Controller, &client, &server), (Side::Switch, &server, &client)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let kept = kept.clone();
                    thread::spawn(move || {
                        let mut framer = Framer::default();
                        let mut piece = [0; 65536];
                        while let Ok(length @ 1..) = from.read(&mut piece) {
                            framer.push(&piece[..length]);
                            while let Ok(Some(message)) = framer.next_message() {
                                kept.lock().unwrap()[index].push((side, message.to_vec()));
                            }
                            if to.write_all(&piece[..length]).is_err() {
                                break;
                            }
                        }
                        let _ = to.shutdown(std::net::Shutdown::Both);
                    });
                }
            }
        });
        Self { path, sessions }
    }

    /// Wait for a message of the switch.
    pub fn wait_for(&self, what: &str, is_it: impl Fn(&[u8]) -> bool) {
        let end = Instant::now() + DEADLINE;
        let found = || {
            let sessions = self.sessions.lock().unwrap();
            sessions.iter().flatten().any(|(side, message)| *side == Side::Switch && is_it(message))
        };
        while !found() {
            assert!(Instant::now() < end, "no {what} comes");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// What has gone through since the last call.
    pub fn take(&self) -> Vec<Session> {
        // The tool is gone; what it sent last may still be on its way into the list.
        thread::sleep(Duration::from_millis(20));
        std::mem::take(&mut *self.sessions.lock().unwrap()).into_iter().collect()
    }
}
