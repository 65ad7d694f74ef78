//! A private nats-server with JetStream for tests: own directory, a free loopback port, gone when dropped.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// A running server. `HIVE_NATS_SERVER` names the binary, else `nats-server` on the PATH is used.
#[derive(Debug)]
pub struct NatsServer {
    child: Child,
    directory: TempDir,
    port: u16,
}

impl NatsServer {
    /// # Panics
    /// When the server cannot be started: a test that needs it must fail, not pass.
    pub fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (child, port) = spawn(&directory, None);
        Self { child, directory, port }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// `kill -9`, leaving the stored data.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts again on the same port with the same data.
    pub fn restart(&mut self) {
        self.kill();
        (self.child, _) = spawn(&self.directory, Some(self.port));
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(directory: &TempDir, port: Option<u16>) -> (Child, u16) {
    let binary = std::env::var_os("HIVE_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
    let ports = directory.path().join("ports");
    std::fs::create_dir_all(&ports).expect("a directory for the ports file");
    let mut child = Command::new(&binary)
        .args(["--addr", "127.0.0.1", "--jetstream", "--port"])
        .arg(port.map_or("-1".to_owned(), |p| p.to_string()))
        .arg("--store_dir")
        .arg(directory.path().join("data"))
        .arg("--ports_file_dir")
        .arg(&ports)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("cannot start {} (set HIVE_NATS_SERVER): {e}", binary.display()));
    let file = ports.join(format!("nats-server_{}.ports", child.id()));
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        if let Some(port) = read_port(&file) {
            return (child, port);
        }
        if let Some(status) = child.try_wait().expect("the child's state") {
            panic!("nats-server ended at once: {status}");
        }
        assert!(Instant::now() < deadline, "nats-server has not written {}", file.display());
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The client port from `{"nats":["nats://127.0.0.1:4222"],...}`.
fn read_port(file: &PathBuf) -> Option<u16> {
    let ports: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    ports["nats"][0].as_str()?.rsplit(':').next()?.parse().ok()
}
