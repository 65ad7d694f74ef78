//! What is measured: a switch with two vhost-user ports, managed in the same way whichever it is, by the stock ovsdb-server and tools.

use crate::rival::{self, Priority, Process};
use anyhow::{Context, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub const OVS_DPDK: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";
/// How long one of the tools may take, ovs-vsctl's wait for the switch included.
const TOOL_TIMEOUT_S: &str = "60";

/// Who forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    Netd(PathBuf),
    OvsDpdk,
}

/// A switch that runs, with bridge br0 and ports 1 and 2, whose sockets somebody must listen at.
pub struct Bed {
    directory: tempfile::TempDir,
    switch: Process,
    _database: Process,
}

impl Bed {
    pub fn start(switch: &Switch) -> anyhow::Result<Self> {
        Self::start_with(switch, Priority::RealTime)
    }

    /// The same, with a priority.
    pub fn start_with(switch: &Switch, priority: Priority) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let at = directory.path();
        let path = |name: &str| at.join(name).display().to_string();
        run(Command::new("ovsdb-tool").args(["create", &path("conf.db"), SCHEMA]))?;
        let remote = format!("--remote=punix:{}", path("db.sock"));
        let arguments = [path("conf.db"), remote, format!("--unixctl={}", path("db.ctl")), "-vconsole:off".to_owned()];
        // The tools wait for it.
        let program = Path::new("ovsdb-server");
        let database = rival::start_in(program, &arguments, &at.join("db.sock"), &[], priority)?;
        let db = format!("unix:{}", path("db.sock"));
        // Beside `GENERATOR_CPU`, where everything else is.
        let vsctl = |arguments: &[&str]| {
            let db = format!("--db={db}");
            run(Command::new("ovs-vsctl").args(["--no-wait", &db]).args(arguments))
        };
        vsctl(&["init"])?;
        vsctl(&["set", "Open_vSwitch", ".", "other_config:pmd-cpu-mask=0x2"])?;
        let ctl = format!("--unixctl={}", path("switch.ctl"));
        let pidfile = format!("--pidfile={}", path("switch.pid"));
        let (program, arguments) = match switch {
            Switch::Netd(program) => (program.as_path(), vec!["--db".to_owned(), db, "--rundir".to_owned(), path("")]),
            Switch::OvsDpdk => {
                let file_prefix = format!("--no-pci --in-memory --file-prefix=ovs-{}", std::process::id());
                vsctl(&[
                    "set",
                    "Open_vSwitch",
                    ".",
                    "other_config:dpdk-init=true",
                    "other_config:dpdk-lcore-mask=0x1",
                    "other_config:dpdk-socket-mem=2048",
                    "other_config:per-port-memory=true",
                    &format!("other_config:dpdk-extra=\"{file_prefix}\""),
                ])?;
                let log = format!("--log-file={}", path("switch.log"));
                (Path::new(OVS_DPDK), vec![db, "--no-chdir".to_owned(), log, "-vconsole:off".to_owned()])
            }
        };
        // Both make devices br0 of the host: each in a network of its own.
        let own_network = ["--net".to_owned(), "--".to_owned(), program.display().to_string()];
        let arguments: Vec<String> = own_network.into_iter().chain(arguments).chain([ctl, pidfile]).collect();
        let switch =
            rival::start_in(Path::new("unshare"), &arguments, &at.join("switch.ctl"), &[("OVS_RUNDIR", at)], priority)?;
        let bed = Self { directory, switch, _database: database };
        bed.vsctl(&["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev"])?;
        for side in 0..2 {
            let port = format!("vh{side}");
            let server_path = format!("options:vhost-server-path={}", bed.socket(side).display());
            let number = format!("ofport_request={}", side + 1);
            let kind = "type=dpdkvhostuserclient";
            bed.vsctl(&["add-port", "br0", &port, "--", "set", "Interface", &port, kind, &server_path, &number])?;
        }
        Ok(bed)
    }

    /// Where the frontend of a side listens.
    pub fn socket(&self, side: usize) -> PathBuf {
        self.directory.path().join(format!("vhost-{side}.sock"))
    }

    /// The switch's process.
    pub fn process(&self) -> &Process {
        &self.switch
    }

    fn vsctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let db = format!("--db=unix:{}", self.directory.path().join("db.sock").display());
        run(Command::new("ovs-vsctl").args(["-t", TOOL_TIMEOUT_S, &db]).args(arguments))
    }

    pub fn appctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run(Command::new("ovs-appctl")
            .args(["-T", TOOL_TIMEOUT_S, "-t"])
            .arg(self.directory.path().join("switch.ctl"))
            .args(arguments))
    }

    /// Puts `flows` in the place of all that are there, as one bundle; says how long that took.
    pub fn set_flows(&self, flows: &str) -> anyhow::Result<Duration> {
        let file = self.directory.path().join("flows");
        std::fs::write(&file, flows)?;
        let management = format!("unix:{}", self.directory.path().join("br0.mgmt").display());
        run(Command::new("ovs-ofctl").args(["-t", TOOL_TIMEOUT_S, "del-flows", &management]))?;
        let start = Instant::now();
        let add = ["-t", TOOL_TIMEOUT_S, "-O", "OpenFlow14", "--bundle", "add-flows", &management];
        run(Command::new("ovs-ofctl").args(add).arg(&file))?;
        Ok(start.elapsed())
    }

    /// Bytes of memory that the switch's process has.
    pub fn resident_bytes(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.switch.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib << 10)
    }
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let name = command.get_program().display().to_string();
    let output =
        command.output().with_context(|| format!("cannot start {name} (Debian package openvswitch-switch)"))?;
    if !output.status.success() {
        bail!("{name}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    let text = String::from_utf8(output.stdout)?;
    ensure!(text.len() < 64 << 20, "{name} says too much");
    Ok(text)
}
