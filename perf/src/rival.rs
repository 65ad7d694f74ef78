//! Processes that a bench starts: ours and the rivals.

use anyhow::{Context, bail};
use hive_blockd_api::{Limits, Reply, Request, SnapshotId, VolumeId};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a process may take to open its socket.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// A child that does not outlive the bench.
#[derive(Debug)]
pub struct Process(Child);

impl Process {
    /// Start what `command` says.
    pub fn spawn(command: &mut Command) -> anyhow::Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self(child))
    }

    /// Its standard input and output, once, where they are pipes.
    pub fn take_pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        Some((self.0.stdin.take()?, self.0.stdout.take()?))
    }

    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Keep it from running, or let it run on.
    ///
    /// # Errors
    /// It has ended.
    pub fn pause(&self, paused: bool) -> anyhow::Result<()> {
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).context("no such process")?;
        kill_process(pid, signal).context("cannot pause a process")
    }

    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.0.try_wait()?.is_some())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Start `program`, and wait until `socket` is there.
pub fn start(program: &Path, arguments: &[String], socket: &Path) -> anyhow::Result<Process> {
    start_in(program, arguments, socket, &[], Priority::Normal)
}

/// What a process runs at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    Normal,
    /// Where that is allowed, so that other work of the machine disturbs it less. Not for those that poll and wait for the kernel's
    /// own workers at the same time, which end direct writes to a disk: these would not run.
    RealTime,
}

/// The same, with additions to its environment, and a priority.
pub fn start_in(
    program: &Path,
    arguments: &[String],
    socket: &Path,
    environment: &[(&str, &Path)],
    priority: Priority,
) -> anyhow::Result<Process> {
    // However this bench ends, also by SIGKILL, none of them stays behind: one that is paused would not hear of its terminal's end.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    if priority == Priority::RealTime && may_use_real_time() {
        command.args(["chrt", "-r", "1"]);
    }
    command.arg(program);
    command
        .args(arguments)
        .envs(environment.iter().copied())
        .env("RUST_LOG", "warn")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut process = Process::spawn(&mut command)?;
    let deadline = Instant::now() + START_TIMEOUT;
    while !socket.exists() {
        if let Some(status) = process.0.try_wait()? {
            bail!("{} ended with {status}", program.display());
        }
        if Instant::now() > deadline {
            bail!("{} does not open {}", program.display(), socket.display());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(process)
}

fn chrt(arguments: &[&str]) -> bool {
    let quiet = Command::new("chrt").args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

fn may_use_real_time() -> bool {
    chrt(&["-r", "1", "true"])
}

/// Give this process the priority its children get; true if it was allowed.
pub fn use_real_time() -> bool {
    may_use_real_time() && chrt(&["-a", "-r", "-p", "1", &std::process::id().to_string()])
}

/// Keep this process, and those that it starts, on one processor, as far as they ask for no other.
pub fn keep_to_processor(cpu: usize) -> anyhow::Result<()> {
    let arguments = ["-a", "-c", "-p", &cpu.to_string(), &std::process::id().to_string()];
    let output = Command::new("taskset").args(arguments).output().context("cannot start taskset")?;
    if !output.status.success() {
        bail!("taskset: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Our own binary `name`: `given`, or the one built beside this program.
pub fn own_binary(name: &str, given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name(name),
    };
    if !path.exists() {
        bail!("no {}: build it (make build) or say where it is", path.display());
    }
    Ok(path)
}

/// One request to blockd's control socket.
pub fn ask_blockd(control: &Path, request: &Request) -> anyhow::Result<Reply> {
    let mut stream = BufReader::new(UnixStream::connect(control)?);
    stream.get_mut().write_all(format!("{}\n", serde_json::to_string(request)?).as_bytes())?;
    let mut line = String::new();
    stream.read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

/// Ask blockd for an attached volume without limits, empty or a clone of `snapshot_id`; returns its socket.
pub fn attach(control: &Path, size_bytes: u64, snapshot_id: Option<SnapshotId>) -> anyhow::Result<PathBuf> {
    attach_volume(control, &"perf".parse()?, size_bytes, snapshot_id, false)
}

/// The same with a name, and perhaps encrypted.
pub fn attach_volume(
    control: &Path,
    volume_id: &VolumeId,
    size_bytes: u64,
    snapshot_id: Option<SnapshotId>,
    encrypted: bool,
) -> anyhow::Result<PathBuf> {
    let volume_id = volume_id.clone();
    let create = Request::CreateVolume {
        volume_id: volume_id.clone(),
        size_bytes,
        snapshot_id,
        encrypted,
        limits: Limits::default(),
    };
    let attach = Request::AttachVolume { volume_id, queues: 1, read_only: false, serial: String::new() };
    if let Reply::Error { message, .. } = ask_blockd(control, &create)? {
        bail!("blockd does not make a volume: {message}");
    }
    match ask_blockd(control, &attach)? {
        Reply::Attached { socket } => Ok(socket),
        reply => bail!("blockd does not attach its volume: {reply:?}"),
    }
}

/// Whether `hive node check` says that this machine's KVM runs guests, not a `/dev/kvm` that emulates.
///
/// # Errors
/// There is no `hive`. Within: why not.
pub fn check_kvm() -> anyhow::Result<Result<(), String>> {
    let hive = own_binary("hive", None)?;
    let output = Command::new(&hive).args(["node", "check"]).output();
    let output = output.with_context(|| format!("cannot run {}", hive.display()))?;
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(if output.status.success() { Ok(()) } else { Err(said) })
}
