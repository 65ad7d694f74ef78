//! Starts, kills and asks the real `blockd`.

use crate::watch::{TEST_PATIENCE, Watch, show_stacks};
use hive_blockd_api::{
    CheckReport, ErrorKind, ExportSource, Limits, Metrics, NewSnapshot, Reply, Request, Snapshot, SnapshotId,
    SnapshotState, Volume, VolumeId,
};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long anything may take that should be quick; a limit for broken code, not a measurement. A busy machine's disk has been seen to
/// do nothing for 20 seconds.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// How long one reply may take: a snapshot alone may wait for the disk for a minute, an export or a check moves gigabytes.
const REPLY_PATIENCE: Duration = Duration::from_secs(240);

/// A daemon with directories of its own, killed when dropped.
pub struct Daemon {
    pub dir: tempfile::TempDir,
    child: Child,
    /// How long the test may take.
    pub watch: Watch,
}

pub fn volume(name: &str) -> VolumeId {
    name.parse().unwrap()
}

pub fn snapshot(name: &str) -> SnapshotId {
    name.parse().unwrap()
}

static EXPORTS: AtomicU32 = AtomicU32::new(0);

/// All files below `dir`; those that vanish meanwhile, and a directory that is not there, count as none.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(_) => found.push(entry.path()),
            Err(_) => {}
        }
    }
    found
}

/// Wait until it holds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub fn error_kind(reply: &Reply) -> Option<ErrorKind> {
    match reply {
        Reply::Error { kind, .. } => Some(*kind),
        _ => None,
    }
}

fn spawn(dir: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blockd"));
    command.arg("--config").arg(dir.join("blockd.toml")).stdin(Stdio::null());
    if std::env::var_os("BLOCKD_TEST_LOG").is_none() {
        command.stderr(Stdio::null());
    }
    command.spawn().unwrap()
}

impl Daemon {
    pub fn start() -> Self {
        Self::start_in(tempfile::tempdir().unwrap())
    }

    pub fn start_in(dir: tempfile::TempDir) -> Self {
        Self::start_with(dir, "")
    }

    /// With more lines of configuration.
    pub fn start_with(dir: tempfile::TempDir, more: &str) -> Self {
        let text = format!("state_dir = '{0}/state'\nrun_dir = '{0}/run'\n{more}", dir.path().display());
        std::fs::write(dir.path().join("blockd.toml"), text).unwrap();
        let watch = Watch::test(TEST_PATIENCE);
        let child = spawn(dir.path());
        let daemon = Self { dir, child, watch };
        daemon.connect();
        daemon
    }

    pub fn connect(&self) -> UnixStream {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match UnixStream::connect(self.dir.path().join("run/control.sock")) {
                Ok(stream) => return stream,
                Err(e) if Instant::now() > deadline => panic!("blockd does not listen: {e}"),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    pub fn ask_line(&self, line: &str) -> Reply {
        let mut stream = self.connect();
        stream.set_read_timeout(Some(REPLY_PATIENCE)).unwrap();
        stream.set_write_timeout(Some(REPLY_PATIENCE)).unwrap();
        stream.write_all(line.as_bytes()).unwrap();
        stream.write_all(b"\n").unwrap();
        let mut reply = String::new();
        if let Err(error) = BufReader::new(stream).read_line(&mut reply) {
            let asked = line.get(..200).unwrap_or(line);
            show_stacks(&format!("no reply to {asked}"));
            panic!("no reply to {asked}: {error}");
        }
        serde_json::from_str(&reply).unwrap()
    }

    pub fn ask(&self, request: &Request) -> Reply {
        self.ask_line(&serde_json::to_string(request).unwrap())
    }

    pub fn create(&self, name: &str, size_bytes: u64, snapshot: Option<&str>) {
        self.create_as(name, size_bytes, snapshot, false);
    }

    pub fn create_as(&self, name: &str, size_bytes: u64, from: Option<&str>, encrypted: bool) {
        let reply = self.ask(&Request::CreateVolume {
            volume_id: volume(name),
            size_bytes,
            snapshot_id: from.map(snapshot),
            encrypted,
            limits: Limits::default(),
        });
        assert!(matches!(reply, Reply::Volume(_)), "{reply:?}");
    }

    pub fn attach(&self, name: &str, queues: u16) -> PathBuf {
        let request =
            Request::AttachVolume { volume_id: volume(name), queues, read_only: false, serial: format!("s-{name}") };
        match self.ask(&request) {
            Reply::Attached { socket } => socket,
            reply => panic!("{reply:?}"),
        }
    }

    pub fn detach(&self, name: &str) {
        assert_eq!(self.ask(&Request::DetachVolume { volume_id: volume(name) }), Reply::Done);
    }

    pub fn describe(&self, name: &str) -> Volume {
        match self.ask(&Request::DescribeVolume { volume_id: volume(name) }) {
            Reply::Volume(volume) => volume,
            reply => panic!("{reply:?}"),
        }
    }

    pub fn metrics(&self) -> Metrics {
        match self.ask(&Request::Metrics) {
            Reply::Metrics(metrics) => metrics,
            reply => panic!("{reply:?}"),
        }
    }

    /// `bytes` as a snapshot.
    pub fn import(&self, name: &str, bytes: &[u8]) {
        let path = self.dir.path().join(format!("{name}.img"));
        std::fs::write(&path, bytes).unwrap();
        let reply = self.ask(&Request::ImportSnapshot { snapshot_id: snapshot(name), path, encrypted: false });
        assert!(matches!(reply, Reply::Snapshot(_)), "{reply:?}");
    }

    /// The same, unless the name is still taken by a deleted one.
    pub fn import_or_refused(&self, name: &str, bytes: &[u8]) -> bool {
        let path = self.dir.path().join(format!("{name}.img"));
        std::fs::write(&path, bytes).unwrap();
        let reply = self.ask(&Request::ImportSnapshot { snapshot_id: snapshot(name), path, encrypted: false });
        assert!(matches!(reply, Reply::Snapshot(_) | Reply::Error { kind: ErrorKind::InUse, .. }), "{reply:?}");
        matches!(reply, Reply::Snapshot(_))
    }

    /// A snapshot of one volume; completed when this returns.
    pub fn take_snapshot(&self, of: &str, name: &str) {
        let new = NewSnapshot { volume_id: volume(of), snapshot_id: snapshot(name) };
        let reply = self.ask(&Request::CreateSnapshots { snapshots: vec![new] });
        assert!(matches!(reply, Reply::Snapshots(_)), "{reply:?}");
        self.await_snapshot(name);
    }

    pub fn await_snapshot(&self, name: &str) -> Snapshot {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.ask(&Request::DescribeSnapshot { snapshot_id: snapshot(name) }) {
                Reply::Snapshot(s) if s.state == SnapshotState::Completed => return s,
                Reply::Snapshot(s) => assert!(s.fault.is_none() && Instant::now() < deadline, "{s:?}"),
                reply => panic!("{reply:?}"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ask for snapshots of one instant; they are pending when this returns.
    pub fn begin_snapshots(&self, of: &[(&str, &str)]) {
        let snapshots =
            of.iter().map(|(of, name)| NewSnapshot { volume_id: volume(of), snapshot_id: snapshot(name) }).collect();
        let reply = self.ask(&Request::CreateSnapshots { snapshots });
        assert!(matches!(reply, Reply::Snapshots(_)), "{reply:?}");
    }

    pub fn describe_snapshot(&self, name: &str) -> Snapshot {
        match self.ask(&Request::DescribeSnapshot { snapshot_id: snapshot(name) }) {
            Reply::Snapshot(snapshot) => snapshot,
            reply => panic!("{reply:?}"),
        }
    }

    pub fn delete_snapshot(&self, name: &str) {
        assert_eq!(self.ask(&Request::DeleteSnapshot { snapshot_id: snapshot(name) }), Reply::Done);
    }

    pub fn delete_volume(&self, name: &str) {
        assert_eq!(self.ask(&Request::DeleteVolume { volume_id: volume(name) }), Reply::Done);
    }

    /// What a snapshot or a detached volume holds.
    pub fn export(&self, source: ExportSource) -> Vec<u8> {
        let number = EXPORTS.fetch_add(1, Ordering::Relaxed);
        let path = self.dir.path().join(format!("export-{number}.img"));
        let reply = self.ask(&Request::ExportVolume { source, path: path.clone() });
        assert_eq!(reply, Reply::Done);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        bytes
    }

    pub fn export_snapshot(&self, name: &str) -> Vec<u8> {
        self.export(ExportSource::Snapshot(snapshot(name)))
    }

    pub fn export_volume(&self, name: &str) -> Vec<u8> {
        self.export(ExportSource::Volume(volume(name)))
    }

    pub fn check(&self, name: &str) -> CheckReport {
        match self.ask(&Request::CheckVolume { volume_id: volume(name) }) {
            Reply::Check(report) => report,
            reply => panic!("{reply:?}"),
        }
    }

    pub fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Objects of the directory store below `prefix`, by key, with their sizes.
    pub fn stored(&self, prefix: &str) -> BTreeMap<String, u64> {
        let root = self.state().join("store/objects");
        files(&root.join(prefix))
            .into_iter()
            .map(|path| {
                let key = path.strip_prefix(&root).unwrap().to_str().unwrap().trim_end_matches('_').to_owned();
                (key, path.metadata().map_or(0, |metadata| metadata.len()))
            })
            .collect()
    }

    pub fn await_empty_store(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.stored("");
            if left.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "left in the store: {left:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL, and a new daemon on the same directories.
    pub fn kill_and_restart(&mut self) {
        self.kill();
        self.child = spawn(self.dir.path());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.await_end("the end of a killed daemon");
    }

    fn await_end(&mut self, what: &str) -> ExitStatus {
        let deadline = Instant::now() + REPLY_PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > deadline {
                show_stacks(what);
                panic!("never: {what}");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// SIGTERM; true if it ended well.
    pub fn terminate(&mut self) -> bool {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(status.success());
        self.await_end("the end of a daemon that was asked to").success()
    }

    pub fn restart(&mut self) {
        self.child = spawn(self.dir.path());
        self.connect();
    }

    /// It ends by itself, and says this.
    pub fn restart_expecting_failure(&mut self, what: &str) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_blockd"));
        let output = command.arg("--config").arg(self.dir.path().join("blockd.toml")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(what), "{said}");
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
