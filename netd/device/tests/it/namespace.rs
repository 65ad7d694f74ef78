//! Network namespaces, and what happens in them.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Everything in a test that waits, waits no longer.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub struct Namespace {
    pub name: String,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.name]).output();
    }
}

/// Runs a command, which has to succeed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new("timeout").arg("60").arg(program).args(arguments).output().unwrap();
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {text}");
    text
}

impl Namespace {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("hd{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        run("ip", &["netns", "add", &name]);
        let namespace = Self { name };
        namespace.ip("link set lo up");
        namespace
    }

    /// `ip ...` in it.
    pub fn ip(&self, arguments: &str) -> String {
        let arguments: Vec<&str> = arguments.split_whitespace().collect();
        run("ip", &[&["-n", &self.name], &arguments[..]].concat())
    }

    pub fn exec(&self, command: &str) -> String {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        run("ip", &[&["netns", "exec", &self.name], &arguments[..]].concat())
    }

    /// Two of a kind, in two namespaces; both up.
    pub fn veth(&self, name: &str, other: &Self, other_name: &str) {
        self.ip(&format!("link add {name} type veth peer name {other_name} netns {}", other.name));
        self.ip(&format!("link set {name} up"));
        other.ip(&format!("link set {other_name} up"));
    }

    pub fn address(&self, device: &str, address: &str) {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        self.ip(&format!("addr add {address} dev {device} {nodad}"));
        self.ip(&format!("link set {device} up"));
    }

    /// Runs `job` on a thread in it.
    pub fn spawn<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
        let file = std::fs::File::open(format!("/var/run/netns/{}", self.name)).unwrap();
        std::thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            job()
        })
    }

    pub fn enter<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        self.spawn(job).join().unwrap()
    }

    pub fn ping(&self, to: &str) {
        // The first may be lost to whoever is not there yet.
        self.exec(&format!("ping -n -c 3 -i 0.1 -W 5 {to}"));
    }

    /// Bytes from here to a listener in `other`, which have to arrive as they were.
    pub fn stream(&self, other: &Self, to: &str, bytes: usize) {
        let to: IpAddr = to.parse().unwrap();
        let listener = other.enter(move || TcpListener::bind((to, 0)).unwrap());
        let at: SocketAddr = listener.local_addr().unwrap();
        let receiver = other.spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.set_read_timeout(Some(DEADLINE)).unwrap();
            let mut all = Vec::new();
            stream.read_to_end(&mut all).unwrap();
            all
        });
        let sent: Vec<u8> = (0..bytes).map(|at| (at * 7 + at / 251) as u8).collect();
        let copy = sent.clone();
        self.enter(move || {
            let mut stream = TcpStream::connect_timeout(&at, DEADLINE).unwrap();
            stream.set_write_timeout(Some(DEADLINE)).unwrap();
            stream.write_all(&copy).unwrap();
        });
        let received = receiver.join().unwrap();
        assert!(received == sent, "{} bytes of {} arrived", received.len(), sent.len());
    }
}

/// Waits until something holds.
pub fn wait(what: &str, mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < DEADLINE, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
