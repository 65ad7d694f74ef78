//! What is measured: a switch with two vhost-user ports, managed in the same way whichever it is, by the stock ovsdb-server and tools.

use crate::ovs::{Database, TOOL_TIMEOUT_S, run};
use crate::rival::{self, Priority, Process};
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

pub const OVS_DPDK: &str = "/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk";

/// Who forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Switch {
    Netd(PathBuf),
    OvsDpdk,
}

/// A switch that runs, with bridge br0 and ports 1 and 2, whose sockets somebody must listen at.
pub struct Bed {
    switch: Process,
    database: Database,
}

impl Bed {
    pub fn start(switch: &Switch) -> anyhow::Result<Self> {
        Self::start_with(switch, Priority::RealTime)
    }

    /// The same, with a priority.
    pub fn start_with(switch: &Switch, priority: Priority) -> anyhow::Result<Self> {
        // The tools wait for it.
        let database = Database::start(priority)?;
        let at = database.directory();
        let path = |name: &str| database.path(name).display().to_string();
        // Beside `GENERATOR_CPU`, where everything else is.
        let cpus = "other_config:pmd-cpu-mask=0x2";
        database.vsctl_without_switch(&["set", "Open_vSwitch", ".", cpus])?;
        let ctl = format!("--unixctl={}", path("switch.ctl"));
        let pidfile = format!("--pidfile={}", path("switch.pid"));
        let (program, arguments) = match switch {
            Switch::Netd(program) => {
                (program.as_path(), vec!["--db".to_owned(), database.remote(), "--rundir".to_owned(), path("")])
            }
            Switch::OvsDpdk => {
                let file_prefix = format!("--no-pci --in-memory --file-prefix=ovs-{}", std::process::id());
                database.vsctl_without_switch(&[
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
                (Path::new(OVS_DPDK), vec![database.remote(), "--no-chdir".to_owned(), log, "-vconsole:off".to_owned()])
            }
        };
        // Both make devices br0 of the host: each in a network of its own.
        let own_network = ["--net".to_owned(), "--".to_owned(), program.display().to_string()];
        let arguments: Vec<String> = own_network.into_iter().chain(arguments).chain([ctl, pidfile]).collect();
        let switch =
            rival::start_in(Path::new("unshare"), &arguments, &at.join("switch.ctl"), &[("OVS_RUNDIR", at)], priority)?;
        let bed = Self { switch, database };
        bed.database.vsctl(&["add-br", "br0", "--", "set", "Bridge", "br0", "datapath_type=netdev"])?;
        for side in 0..2 {
            let port = format!("vh{side}");
            let server_path = format!("options:vhost-server-path={}", bed.socket(side).display());
            let number = format!("ofport_request={}", side + 1);
            let kind = "type=dpdkvhostuserclient";
            bed.database.vsctl(&[
                "add-port",
                "br0",
                &port,
                "--",
                "set",
                "Interface",
                &port,
                kind,
                &server_path,
                &number,
            ])?;
        }
        Ok(bed)
    }

    /// Where the frontend of a side listens.
    pub fn socket(&self, side: usize) -> PathBuf {
        self.database.path(&format!("vhost-{side}.sock"))
    }

    /// The switch's process.
    pub fn process(&self) -> &Process {
        &self.switch
    }

    pub fn appctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        run(Command::new("ovs-appctl")
            .args(["-T", TOOL_TIMEOUT_S, "-t"])
            .arg(self.database.path("switch.ctl"))
            .args(arguments))
    }

    /// Puts `flows` in the place of all that are there, as one bundle; says how long that took.
    pub fn set_flows(&self, flows: &str) -> anyhow::Result<Duration> {
        let file = self.database.path("flows");
        std::fs::write(&file, flows)?;
        let management = format!("unix:{}", self.database.path("br0.mgmt").display());
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
