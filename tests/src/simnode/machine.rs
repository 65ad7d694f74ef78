//! The node's virtual machine: a QEMU process of its own, found again by its pid file.

use super::Plan;
use super::base::Base;
use super::payload::{NODE_DISK, PAYLOAD_DISK};
use crate::command;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A node boots in 10 to 20 s on two cores; on a machine that does other things, in a few times that.
const BOOT_TIMEOUT: Duration = Duration::from_secs(180);
const KILL_TIMEOUT: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How much of the console a failure shows.
const CONSOLE_TAIL_LINES: usize = 40;
const READY_MARK: &str = "NODE READY";

/// The QEMU process of a node and the host ports that lead into it.
#[derive(Clone, Debug)]
pub struct Machine {
    directory: PathBuf,
    pid: i32,
    ports: Ports,
    key: PathBuf,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    ssh: u16,
    api: u16,
}

impl Machine {
    pub(super) fn start(plan: &Plan, base: &Base, ssh_port: u16, api_port: u16) -> Result<Self> {
        let directory = std::path::absolute(&plan.directory)?;
        let file = |name: &str| directory.join(name).display().to_string();
        // The clock comes from the host through the emulated RTC: signatures of requests depend on it.
        let mut qemu = Command::new("qemu-system-x86_64");
        qemu.args(["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-display", "none", "-no-reboot"])
            .args(["-smp", &plan.vcpus.to_string(), "-m", &plan.memory_mib.to_string(), "-rtc", "base=utc"])
            .arg("-serial")
            .arg(format!("file:{}", file("console.log")))
            .arg("-kernel")
            .arg(base.0.join("vmlinuz"))
            .arg("-initrd")
            .arg(base.0.join("base.cpio"))
            .args(["-append", "console=ttyS0 panic=-1 quiet"])
            .arg("-drive")
            .arg(format!("if=none,id=node,file={},format=raw,cache=unsafe,discard=unmap", file(NODE_DISK)))
            .args(["-device", "virtio-blk-pci,drive=node,addr=4"])
            .arg("-drive")
            .arg(format!("if=none,id=payload,file={},format=raw,readonly=on", file(PAYLOAD_DISK)))
            .args(["-device", "virtio-blk-pci,drive=payload,addr=5"])
            .arg("-netdev")
            .arg(format!(
                "user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{ssh_port}-:22,hostfwd=tcp:127.0.0.1:{api_port}-:8443"
            ))
            .args(["-device", "virtio-net-pci,netdev=net", "-device", "virtio-rng-pci"])
            .arg("-pidfile")
            .arg(file("qemu.pid"))
            .arg("-daemonize");
        command::run(&mut qemu).context("cannot start the node's machine")?;
        fs::write(directory.join("ports"), format!("{ssh_port} {api_port} {}\n", base.0.join("id").display()))?;
        Self::find(&directory)?.context("the node's machine ended at once")
    }

    /// The machine that runs in `directory`, if one does.
    pub(super) fn find(directory: &Path) -> Result<Option<Self>> {
        let directory = std::path::absolute(directory)?;
        let Ok(pid) = fs::read_to_string(directory.join("qemu.pid")) else { return Ok(None) };
        let pid: i32 = pid.trim().parse().context("qemu.pid holds no pid")?;
        if !is_machine_of(pid, &directory) {
            return Ok(None);
        }
        // Without ports the start was cut short: such a machine can only be killed.
        let text = fs::read_to_string(directory.join("ports")).unwrap_or_default();
        let mut fields = text.split_ascii_whitespace();
        let mut port = || fields.next().and_then(|field| field.parse().ok()).unwrap_or_default();
        let ports = Ports { ssh: port(), api: port() };
        let key = fields.next().unwrap_or_default().into();
        Ok(Some(Self { directory, pid, ports, key }))
    }

    pub fn api_port(&self) -> u16 {
        self.ports.api
    }

    pub fn pid(&self) -> i32 {
        self.pid
    }

    pub(super) fn wait_ready(&self) -> Result<()> {
        let deadline = Instant::now() + BOOT_TIMEOUT;
        while Instant::now() < deadline {
            if !is_machine_of(self.pid, &self.directory) {
                bail!("the node's machine ended; its console:\n{}", self.console_tail());
            }
            if self.console().contains(READY_MARK) {
                return Ok(());
            }
            sleep(POLL_INTERVAL);
        }
        bail!("the node is not up after {} s; its console:\n{}", BOOT_TIMEOUT.as_secs(), self.console_tail())
    }

    fn console(&self) -> String {
        fs::read(self.directory.join("console.log"))
            .map(|text| String::from_utf8_lossy(&text).into_owned())
            .unwrap_or_default()
    }

    /// The newest lines of the node's serial console.
    pub fn console_tail(&self) -> String {
        let console = self.console();
        let lines: Vec<&str> = console.lines().collect();
        lines[lines.len().saturating_sub(CONSOLE_TAIL_LINES)..].join("\n")
    }

    /// `ssh` into the node, lacking only what to run there.
    pub(super) fn ssh(&self) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-i").arg(&self.key).args(["-p", &self.ports.ssh.to_string()]);
        for option in [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "ConnectTimeout=60",
            // A node that hangs keeps its connections.
            "ServerAliveInterval=15",
            "ServerAliveCountMax=8",
        ] {
            command.args(["-o", option]);
        }
        command.arg("root@127.0.0.1");
        command
    }

    /// Pulls the plug.
    pub(super) fn kill(&self) -> Result<()> {
        let pid = Pid::from_raw(self.pid).context("not a pid")?;
        kill_process(pid, Signal::KILL).with_context(|| format!("cannot kill process {}", self.pid))?;
        let deadline = Instant::now() + KILL_TIMEOUT;
        while is_machine_of(self.pid, &self.directory) {
            if Instant::now() > deadline {
                bail!("process {} survives SIGKILL", self.pid);
            }
            sleep(POLL_INTERVAL);
        }
        Ok(())
    }
}

/// The process is a QEMU whose disk lies in `directory`: a pid alone may have become another's. An ended process has no command line.
fn is_machine_of(pid: i32, directory: &Path) -> bool {
    let disk = directory.join(NODE_DISK).display().to_string();
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&disk))
}

/// PATH with the directories where Debian keeps mkfs, which ordinary users' PATH lacks.
pub(super) fn path_with_sbin() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/sbin:/sbin");
    path
}
