//! A private control plane: nats-server, hived and awsd on loopback ports of their own, everything they write in one temporary
//! directory. Its configuration, certificate and credential are those that `hive` makes.

use super::client::Access;
use crate::rival::{self, Process};
use anyhow::{Context, ensure};
use hive_types::CredentialRecord;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use toml::{Table, Value};

/// What the node promises instances, MiB: enough for any number of the smallest type. None of them runs.
const MEMORY_MIB: i64 = 1 << 20;
/// The image that is launched never boots; only its records are read.
const DISK_BYTES: usize = 1 << 20;
const BOOT_FILE_BYTES: usize = 4 << 10;
/// How much of a daemon's log an error shows.
const LOG_TAIL_LINES: usize = 10;

/// Where our binaries and nats-server are.
#[derive(Clone, Debug)]
pub struct Programs {
    folder: PathBuf,
    nats_server: PathBuf,
}

impl Programs {
    /// `folder`, or the one of this program; `nats_server`, or the one beside our programs, the one that `make deps` brings, or
    /// the one on the PATH.
    pub fn find(folder: Option<&Path>, nats_server: Option<&Path>) -> anyhow::Result<Self> {
        let in_folder = |name: &str| rival::own_binary(name, folder.map(|folder| folder.join(name)).as_deref());
        let mut folder = PathBuf::new();
        for name in ["hive", "blockd", "hived", "awsd"] {
            folder = in_folder(name)?.parent().map(Path::to_owned).unwrap_or_default();
        }
        let near = [folder.join("nats-server"), PathBuf::from(".hive/cache/nats-server")];
        let nats_server = nats_server.map(Path::to_owned).or_else(|| near.into_iter().find(|path| path.exists()));
        Ok(Self { folder, nats_server: nats_server.unwrap_or_else(|| "nats-server".into()) })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

/// Which hived answers the calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hived {
    /// As on every node: calls, and the reconcilers of this node.
    WithNode,
    /// A further worker of a scaled node: calls only.
    CallsOnly,
}

impl Hived {
    /// `hive` configures the first worker to run the node, the second only to answer.
    fn name(self) -> &'static str {
        match self {
            Self::WithNode => "hived",
            Self::CallsOnly => "hived-2",
        }
    }
}

#[derive(Deserialize)]
struct Credentials {
    credential: Vec<CredentialRecord>,
}

/// A configured directory; nothing runs in it yet.
#[derive(Debug)]
pub struct Root {
    programs: Programs,
    access: Arc<Access>,
    /// The daemons' log filter.
    log: String,
    dir: tempfile::TempDir,
}

impl Root {
    /// Has `hive` write the configuration for three loopback ports that are free now.
    pub fn configure(programs: &Programs) -> anyhow::Result<Self> {
        let dir = tempfile::Builder::new().prefix("hive-perf-api-").tempdir()?;
        let at = |name: &str| dir.path().join(name);
        let [api, bus, objects] = free_addresses()?;
        let shown = hive(programs, dir.path(), &["config", "generate", "--profile", "dev", "--show-profile"])?;
        let mut profile: Table = shown.parse().context("cannot read the profile that hive shows")?;
        for (part, key, value) in [
            ("api", "listen", Value::String(api.to_string())),
            ("bus", "listen", Value::String(bus.to_string())),
            ("objects", "listen", Value::String(objects.to_string())),
            ("compute", "memory_mib", Value::Integer(MEMORY_MIB)),
            ("compute", "workers", Value::Integer(2)),
        ] {
            let part = profile.get_mut(part).and_then(Value::as_table_mut).context("hive's profile lacks a part")?;
            part.insert(key.to_owned(), value);
        }
        let profile_file = at("profile.toml");
        fs::write(&profile_file, profile.to_string())?;
        let profile_file = profile_file.display().to_string();
        hive(programs, dir.path(), &["config", "generate", "--profile-file", &profile_file])?;

        let credentials = fs::read_to_string(at("config/credentials.toml")).context("hive made no credential")?;
        let credentials: Credentials = toml::from_str(&credentials).context("cannot read the credential hive made")?;
        let credential = credentials.credential.into_iter().next().context("hive made no credential")?;
        let region = profile.get("region").and_then(Value::as_str).context("hive's profile names no region")?;
        let log = profile.get("log").and_then(Value::as_str).context("hive's profile names no log filter")?.to_owned();
        let access = Access::new(api, region, credential, &fs::read(at("tls/ca.pem"))?)?;
        Ok(Self { programs: programs.clone(), access: Arc::new(access), log, dir })
    }

    pub fn access(&self) -> &Arc<Access> {
        &self.access
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts nats-server, hived and awsd together, none waiting for another.
    pub fn start(&self, hived: Hived) -> anyhow::Result<ControlPlane> {
        let nats = ("nats", self.programs.nats_server.clone(), "-c", "nats.conf".to_owned());
        let awsd = ("awsd", self.programs.path("awsd"), "--config", "awsd.toml".to_owned());
        let [nats, awsd] =
            [nats, awsd].map(|(name, program, option, config)| self.spawn(name, &program, option, &config));
        Ok(ControlPlane { hived: self.start_hived(hived)?, nats: nats?, awsd: awsd? })
    }

    pub fn start_hived(&self, hived: Hived) -> anyhow::Result<Process> {
        let name = hived.name();
        self.spawn(name, &self.programs.path("hived"), "--config", &format!("{name}.toml"))
    }

    pub fn start_blockd(&self) -> anyhow::Result<Process> {
        let config = self.at("config/blockd.toml").display().to_string();
        rival::start(&self.programs.path("blockd"), &["--config".into(), config], &self.at("run/blockd.sock"))
    }

    fn spawn(&self, name: &str, program: &Path, option: &str, config: &str) -> anyhow::Result<Process> {
        let log = File::create(self.at(&format!("log/{name}.log")))?;
        let mut command = Command::new(program);
        command.arg(option).arg(self.at("config").join(config)).env("HIVE_LOG", &self.log).env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        Process::spawn(&mut command)
    }

    /// Imports an image as an operator does. hived and blockd must run.
    pub fn import_image(&self) -> anyhow::Result<()> {
        let folder = self.at("image");
        fs::create_dir_all(&folder)?;
        let artifact = |file: &str, size_bytes: usize| -> anyhow::Result<serde_json::Value> {
            let content = vec![0; size_bytes];
            fs::write(folder.join(file), &content)?;
            let sha256 = hex::encode(Sha256::digest(&content));
            Ok(serde_json::json!({"file": file, "size_bytes": size_bytes, "sha256": sha256}))
        };
        let manifest = serde_json::json!({
            "version": 1,
            "name": "hive-perf",
            "description": "Launched and never booted",
            "architecture": "x86_64",
            "kernel": artifact("vmlinuz", BOOT_FILE_BYTES)?,
            "initrd": artifact("initrd", BOOT_FILE_BYTES)?,
            "cmdline": "console=ttyS0",
            "disk": artifact("disk.raw", DISK_BYTES)?,
            "packages": [],
        });
        fs::write(folder.join("image.json"), manifest.to_string())?;
        hive(&self.programs, self.dir.path(), &["image", "import", &folder.display().to_string()]).map(drop)
    }

    /// The newest lines of every log, for an error.
    pub fn logs(&self) -> String {
        let tail = |name: &str| {
            let text = fs::read_to_string(self.at(&format!("log/{name}.log"))).ok()?;
            let lines: Vec<&str> = text.lines().collect();
            let newest = lines.get(lines.len().saturating_sub(LOG_TAIL_LINES)..).unwrap_or_default();
            Some(format!("{name}: {}\n", newest.join("\n  ")))
        };
        ["nats", "hived", "hived-2", "awsd"].into_iter().filter_map(tail).collect()
    }
}

/// The running processes; dropped, they end.
#[derive(Debug)]
pub struct ControlPlane {
    pub nats: Process,
    pub hived: Process,
    pub awsd: Process,
}

impl ControlPlane {
    /// The first that has ended by itself.
    pub fn ended(&mut self) -> anyhow::Result<Option<&'static str>> {
        for (name, process) in [("nats-server", &mut self.nats), ("hived", &mut self.hived), ("awsd", &mut self.awsd)] {
            if process.has_ended()? {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }
}

/// Runs `hive` on `root`; its output.
fn hive(programs: &Programs, root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new(programs.path("hive"));
    let output = command.arg("--root").arg(root).args(arguments).stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {}", programs.path("hive").display()))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "hive {}: {}", arguments.join(" "), complaint.trim());
    String::from_utf8(output.stdout).context("hive's output is not UTF-8")
}

/// Different addresses that nobody listens on now. Whoever takes one before our daemon does makes it fail, loudly.
fn free_addresses<const N: usize>() -> anyhow::Result<[SocketAddr; N]> {
    let mut addresses = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)); N];
    // Held together: each gets a port of its own.
    let mut held = Vec::with_capacity(N);
    for address in &mut addresses {
        let listener = TcpListener::bind(*address).context("no free port on loopback")?;
        *address = listener.local_addr()?;
        held.push(listener);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_free_and_different() {
        let addresses: [SocketAddr; 3] = free_addresses().unwrap();
        let listeners: Vec<_> = addresses.iter().map(TcpListener::bind).collect();
        assert!(listeners.iter().all(Result::is_ok), "{addresses:?}");
    }
}
