//! The simulated node: built, booted, entered over ssh, and taken away again without a trace.

mod base;
mod machine;
mod payload;

pub use machine::Machine;

use crate::command;
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

/// Where the payload appears in the node.
const NODE_BIN: &str = "/payload/bin";
/// Root directory of the cloud in the node, on the node's own disk.
const NODE_ROOT: &str = "/data/hive";

/// What a node is made of.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything of this node: disks, console log, pid file, the clients' environment. Taken away by [`SimNode::down`].
    pub directory: PathBuf,
    /// Kept between runs: bases, nats-server.
    pub cache: PathBuf,
    /// Directory of the release binaries.
    pub binaries: PathBuf,
    /// Image directories (`hive image build`) to import.
    pub images: Vec<PathBuf>,
    /// Host port of the API; None picks a free one.
    pub api_port: Option<u16>,
    pub memory_mib: u32,
    pub vcpus: u8,
    /// Brings QEMU into the node, for side-by-sides.
    pub with_qemu: bool,
    /// More files for /payload/bin.
    pub extra: Vec<PathBuf>,
}

/// A running simulated node.
#[derive(Debug)]
pub struct SimNode {
    directory: PathBuf,
    machine: Machine,
}

/// Prints the steps of something long, each with the time since its beginning.
#[derive(Debug)]
pub struct Progress(Instant);

impl Progress {
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    pub fn step(&self, text: &str) {
        println!("[{:6.1} s] {text}", self.0.elapsed().as_secs_f32());
    }
}

impl SimNode {
    /// Builds what is missing and boots the node; ready for [`SimNode::ssh`]. Any earlier node in the directory is taken down.
    ///
    /// # Errors
    /// A tool is missing or fails, or the node does not come up; the end of its console is in the message.
    pub fn boot(plan: &Plan, progress: &Progress) -> Result<Self> {
        Self::down(&plan.directory)?;
        fs::create_dir_all(&plan.directory).with_context(|| format!("cannot create {}", plan.directory.display()))?;
        let base = base::ensure(&plan.cache, plan.with_qemu, progress)?;
        progress.step("payload: our binaries and images, as a disk");
        payload::build(plan)?;
        progress.step("node boots (QEMU, software emulation)");
        let machine = Machine::start(plan, &base, free_port()?, plan.api_port.map_or_else(free_port, Ok)?)?;
        let node = Self { directory: plan.directory.clone(), machine };
        node.machine.wait_ready()?;
        let kvm = node.ssh("test -c /dev/kvm && dmesg | grep -c 'Nested Paging enabled'");
        kvm.context("the node's kernel has no KVM")?;
        progress.step("node is up, with KVM");
        Ok(node)
    }

    /// The node that runs in `directory`.
    ///
    /// # Errors
    /// None does.
    pub fn attach(directory: &Path) -> Result<Self> {
        let machine = Machine::find(directory)?.with_context(|| format!("no node runs in {}", directory.display()))?;
        Ok(Self { directory: directory.to_owned(), machine })
    }

    /// Starts the cloud in the node, imports the images and writes the clients' environment to `DIRECTORY/env`.
    ///
    /// # Errors
    /// A daemon does not start, an import fails.
    pub fn start_cloud(&self, plan: &Plan, progress: &Progress) -> Result<()> {
        progress.step("hive dev start, in the node");
        command::show(&mut self.ssh_command("hive dev start --profile test"))?;
        self.write_env()?;
        for image in &plan.images {
            let name = image.file_name().unwrap_or_default().to_string_lossy();
            progress.step(&format!("hive image import {name}, in the node"));
            command::show(&mut self.ssh_command(&format!("hive image import /payload/images/{name}")))?;
        }
        progress.step("cloud is up");
        Ok(())
    }

    fn write_env(&self) -> Result<()> {
        let certificate = self.directory.join("ca.pem");
        fs::write(&certificate, self.ssh(&format!("cat {NODE_ROOT}/tls/ca.pem"))?)
            .with_context(|| format!("cannot write {}", certificate.display()))?;
        let certificate = std::path::absolute(&certificate)?;
        let inside = self.ssh(&format!("cat {NODE_ROOT}/env"))?;
        let outside: String = inside
            .lines()
            .map(|line| match line.split_once('=') {
                Some(("export AWS_ENDPOINT_URL", _)) => {
                    format!("export AWS_ENDPOINT_URL=https://127.0.0.1:{}\n", self.machine.api_port())
                }
                Some(("export AWS_CA_BUNDLE", _)) => format!("export AWS_CA_BUNDLE='{}'\n", certificate.display()),
                _ => format!("{line}\n"),
            })
            .collect();
        let path = self.env_file();
        fs::write(&path, outside).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Shell file with the clients' `AWS_*` variables.
    pub fn env_file(&self) -> PathBuf {
        self.directory.join("env")
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// Runs a shell command in the node and returns its output.
    ///
    /// # Errors
    /// ssh or the command fails.
    pub fn ssh(&self, script: &str) -> Result<String> {
        Ok(String::from_utf8_lossy(&command::run(&mut self.ssh_command(script))?).into_owned())
    }

    /// The command on this host that runs `script` in the node.
    pub fn ssh_command(&self, script: &str) -> Command {
        let mut command = self.machine.ssh();
        command.arg(format!("export PATH={NODE_BIN}:$PATH HIVE_ROOT={NODE_ROOT}; {script}"));
        command
    }

    /// Kills the node of `directory`, if one runs, and removes the directory.
    ///
    /// # Errors
    /// The machine survives, or the directory cannot be removed.
    pub fn down(directory: &Path) -> Result<()> {
        if let Some(machine) = Machine::find(directory)? {
            machine.kill()?;
        }
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", directory.display()))
            }
            _ => Ok(()),
        }
    }
}

/// A port of loopback that is free now.
fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("cannot find a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Fails when a program that the node needs on this host is missing.
///
/// # Errors
/// Names it and how to get it.
pub fn check_host_tools() -> Result<()> {
    for tool in ["qemu-system-x86_64", "mmdebstrap", "mkfs.ext4", "cpio", "ssh", "ssh-keygen", "strip", "depmod"] {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path)
            .chain(["/usr/sbin".into(), "/sbin".into()])
            .any(|directory| directory.join(tool).exists());
        if !found {
            bail!("{tool} is not installed: run packaging/install-deps");
        }
    }
    Ok(())
}
