//! A daemon with nothing but a control socket.

use hive_unixctl::{Call, Commands, Logging, Pidfile, Program, Running, Server, pidfile_path, socket_path};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tracing::level_filters::LevelFilter;

pub const DEADLINE: Duration = Duration::from_secs(60);

pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let until = Instant::now() + DEADLINE;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(Instant::now() < until, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

struct Levels(Arc<Mutex<Vec<(String, LevelFilter)>>>);

impl Logging for Levels {
    fn modules(&self) -> Vec<(String, LevelFilter)> {
        self.0.lock().unwrap().clone()
    }

    fn set(&mut self, module: Option<&str>, level: LevelFilter) -> Result<(), String> {
        for (name, set) in self.0.lock().unwrap().iter_mut() {
            if module.is_none_or(|module| module == name) {
                *set = level;
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> Result<(), String> {
        Err("there is no log file".to_owned())
    }
}

pub struct Daemon {
    pub rundir: TempDir,
    pub socket: PathBuf,
    pub levels: Arc<Mutex<Vec<(String, LevelFilter)>>>,
    /// Calls of `exit` and `later`.
    pub calls: Receiver<Call>,
    server: Option<Running>,
    pidfile: Option<Pidfile>,
}

impl Daemon {
    pub fn start() -> Self {
        Self::start_as("netd")
    }

    pub fn start_as(program: &str) -> Self {
        let rundir = tempfile::tempdir().unwrap();
        let pidfile = Pidfile::create(&pidfile_path(rundir.path(), program, None)).unwrap();
        let socket = socket_path(rundir.path(), program, None);
        let (calls, taken) = channel();
        let levels: Vec<(String, LevelFilter)> =
            ["ovsdb", "worker"].map(|module| (module.to_owned(), LevelFilter::INFO)).into();
        let levels = Arc::new(Mutex::new(levels));
        let commands = commands(Levels(levels.clone()), calls);
        let server = Server::bind(&socket).unwrap().serve(commands).unwrap();
        Self { rundir, socket, levels, calls: taken, server: Some(server), pidfile: Some(pidfile) }
    }

    pub fn stop(&mut self) {
        self.server = None;
        self.pidfile = None;
    }

    pub fn appctl_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ovs-appctl");
        command.env("OVS_RUNDIR", self.rundir.path()).arg("--timeout=30").args(arguments).stdin(Stdio::null());
        command
    }

    /// `ovs-appctl` of this daemon: its status, output and errors.
    pub fn appctl(&self, arguments: &[&str]) -> (i32, String, String) {
        let mut all = vec!["-t", "netd"];
        all.extend(arguments);
        told(&self.appctl_command(&all).output().expect("ovs-appctl of openvswitch-common"))
    }

    pub fn says(&self, arguments: &[&str]) -> String {
        let (status, output, errors) = self.appctl(arguments);
        assert_eq!((status, errors.as_str()), (0, ""), "{arguments:?}");
        output
    }
}

pub fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn commands(levels: Levels, calls: Sender<Call>) -> Commands {
    let exits = calls.clone();
    let mut commands = Commands::new(Program {
        version: "netd (Open vSwitch) 3.1.0".to_owned(),
        logging: Box::new(levels),
        counters: Box::new(|| vec![("rx_packets".to_owned(), 12), ("drops".to_owned(), 0)]),
        memory: Box::new(|| vec![("ports".to_owned(), 2), ("flows".to_owned(), 7)]),
        exit: Box::new(move |call| exits.send(call).unwrap()),
    });
    commands.add("fdb/show", "bridge", 1..=1, |arguments| match arguments {
        [bridge] if bridge == "br0" => Ok(" port  VLAN  MAC                Age\n".to_owned()),
        _ => Err("no such bridge".to_owned()),
    });
    commands.add(
        "large",
        "bytes",
        1..=1,
        |arguments| Ok("x".repeat(arguments[0].parse().map_err(|_| "not a number")?)),
    );
    commands.add_deferred("later", "[argument]...", 0..=9, move |call| calls.send(call).unwrap());
    commands
}

pub fn exists(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok()
}
