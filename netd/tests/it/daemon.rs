//! Starts `netd` in a directory of its own and speaks to its control socket.

use hive_netd_api::{MetadataService, Metrics, Port, PortStatus, Reply, Request, Segment};
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for anything that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Repeats `attempt` until it gives something.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub struct Netd {
    pub directory: tempfile::TempDir,
    child: Child,
}

impl Netd {
    pub fn start(extra: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().display();
        let config = format!(
            "state_dir = '{path}/state'\nrun_dir = '{path}/run'\ncontrol_socket = '{path}/control.sock'\n{extra}"
        );
        std::fs::write(directory.path().join("netd.toml"), config).unwrap();
        let child = Self::spawn(&directory);
        let netd = Self { directory, child };
        netd.wait();
        netd
    }

    fn spawn(directory: &tempfile::TempDir) -> Child {
        Command::new(env!("CARGO_BIN_EXE_netd"))
            .arg("--config")
            .arg(directory.path().join("netd.toml"))
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    fn wait(&self) {
        eventually("control socket", || UnixStream::connect(self.directory.path().join("control.sock")).ok());
    }

    /// SIGKILL, then a new process on the same directories.
    pub fn kill_and_restart(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = Self::spawn(&self.directory);
        self.wait();
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn request(&self, request: &Request) -> Reply {
        let mut stream = UnixStream::connect(self.directory.path().join("control.sock")).unwrap();
        stream.write_all(format!("{}\n", serde_json::to_string(request).unwrap()).as_bytes()).unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    pub fn put_segment(&self, segment: Segment) {
        assert_eq!(self.request(&Request::PutSegment(segment)), Reply::Done);
    }

    pub fn put_port(&self, port: Port) -> PathBuf {
        match self.request(&Request::PutPort(port)) {
            Reply::Port { socket } => socket,
            other => panic!("{other:?}"),
        }
    }

    pub fn ports(&self) -> Vec<PortStatus> {
        match self.request(&Request::ListPorts) {
            Reply::Ports(ports) => ports,
            other => panic!("{other:?}"),
        }
    }

    pub fn metrics(&self) -> Metrics {
        match self.request(&Request::Metrics) {
            Reply::Metrics(metrics) => metrics,
            other => panic!("{other:?}"),
        }
    }

    pub fn dropped(&self, reason: &str) -> u64 {
        self.metrics().drops.get(reason).copied().unwrap_or(0)
    }
}

impl Drop for Netd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn segment(id: &str) -> Segment {
    Segment {
        segment_id: id.into(),
        network: Ipv4Addr::new(10, 0, 0, 0),
        prefix_len: 24,
        gateway: Ipv4Addr::new(10, 0, 0, 1),
        dns: Ipv4Addr::new(10, 0, 0, 2),
        gateway_mac: "02:00:00:00:00:01".into(),
        mtu: 9001,
        domain_name: "ec2.internal".into(),
        uplink: false,
    }
}

/// A port whose MAC and address end in `number`.
pub fn port(segment_id: &str, number: u8) -> Port {
    Port {
        port_id: format!("{segment_id}-{number}"),
        segment_id: segment_id.into(),
        mac: format!("02:00:00:00:01:{number:02x}"),
        ipv4: Ipv4Addr::new(10, 0, 0, number),
        queue_pairs: 1,
        hostname: format!("host{number}"),
        metadata: MetadataService {
            enabled: true,
            token_required: false,
            hop_limit: 3,
            tree: Default::default(),
            user_data: None,
        },
        number: None,
    }
}
