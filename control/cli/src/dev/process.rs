//! Processes that outlive `hive`: started in their own session, found again by pid file, stopped with a bound.

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How often a state that ought to change soon is looked at.
pub const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A daemon that has not ended this long after SIGTERM is killed. Flushing a volume or stopping JetStream takes seconds at most.
const TERM_GRACE: Duration = Duration::from_secs(10);
/// After SIGKILL only the kernel is between us and the end; longer means an uninterruptible wait in it.
const KILL_GRACE: Duration = Duration::from_secs(10);

/// A process, safe against reuse of its pid: the kernel's start time of the pid is part of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    start_ticks: u64,
}

impl Process {
    /// The live process with this pid, if there is one. A zombie has ended.
    pub fn find(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (state, start_ticks) = parse_stat(&stat)?;
        (state != 'Z' && state != 'X').then_some(Self { pid, start_ticks })
    }

    pub fn pid(self) -> i32 {
        self.pid
    }

    pub fn is_alive(self) -> bool {
        Self::find(self.pid) == Some(self)
    }

    /// SIGTERM, a bounded wait, SIGKILL.
    ///
    /// # Errors
    /// The process is not ours to signal, or survives SIGKILL.
    pub fn stop(self) -> Result<()> {
        for (signal, grace) in [(Signal::TERM, TERM_GRACE), (Signal::KILL, KILL_GRACE)] {
            self.signal(signal)?;
            let deadline = Instant::now() + grace;
            while Instant::now() < deadline {
                if !self.is_alive() {
                    return Ok(());
                }
                sleep(POLL_INTERVAL);
            }
        }
        bail!("process {} survives SIGKILL", self.pid)
    }

    fn signal(self, signal: Signal) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        let pid = Pid::from_raw(self.pid).with_context(|| format!("{} is not a pid", self.pid))?;
        match kill_process(pid, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("cannot signal process {}", self.pid)),
        }
    }
}

/// State and start time (fields 3 and 22 of `/proc/PID/stat`); the second field may hold anything, spaces and brackets too.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// `pids/<daemon>.pid`: pid and start time of the daemon.
#[derive(Clone, Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The process that the file names, if it lives. A file left by a process that is gone, whose pid may be another's now, is
    /// stale and counts as none.
    pub fn process(&self) -> Option<Process> {
        let text = fs::read_to_string(&self.0).ok()?;
        let (pid, start_ticks) = text.trim().split_once(' ')?;
        let named = Process { pid: pid.parse().ok()?, start_ticks: start_ticks.parse().ok()? };
        named.is_alive().then_some(named)
    }

    fn write(&self, process: Process) -> Result<()> {
        fs::write(&self.0, format!("{} {}\n", process.pid, process.start_ticks))
            .with_context(|| format!("cannot write {}", self.0.display()))
    }

    /// # Errors
    /// The file is there and cannot be removed.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", self.0.display()))
            }
            _ => Ok(()),
        }
    }
}

/// Starts `program` in a session of its own with stdout and stderr appended to `log`, and writes its pid file.
///
/// # Errors
/// The program cannot be run, or ends before its start time could be read.
pub fn spawn(
    program: &Path,
    arguments: &[String],
    environment: &[(String, String)],
    log: &Path,
    pid_file: &PidFile,
) -> Result<Process> {
    let output = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot open log {}", log.display()))?;
    // setsid(1) becomes the program by exec, so the pid is the daemon's.
    let child = Command::new("setsid")
        .arg(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("cannot duplicate the log's descriptor")?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let pid = i32::try_from(child.id()).context("pid out of range")?;
    let process = Process::find(pid).with_context(|| format!("{} ended at once", program.display()))?;
    pid_file.write(process)?;
    Ok(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_brackets_does_not_move_the_fields() {
        let fields: Vec<String> = (4..=52).map(|n| n.to_string()).collect();
        let stat = format!("7 (a) S (b)) R {}", fields.join(" "));
        assert_eq!(parse_stat(&stat), Some(('R', 22)));
        assert_eq!(parse_stat("7 (a"), None);
        assert_eq!(parse_stat("7 (a) R 1 2"), None);
    }

    #[test]
    fn a_started_process_is_found_again_and_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let pid_file = PidFile::new(directory.path().join("sleep.pid"));
        let log = directory.path().join("sleep.log");
        let process = spawn(Path::new("sleep"), &["600".into()], &[], &log, &pid_file).unwrap();
        assert_eq!(pid_file.process(), Some(process));
        process.stop().unwrap();
        assert!(!process.is_alive());
        assert_eq!(pid_file.process(), None, "a stale pid file names nobody");
    }

    #[test]
    fn a_reused_pid_is_not_taken_for_the_daemon() {
        let directory = tempfile::tempdir().unwrap();
        let pid_file = PidFile::new(directory.path().join("x.pid"));
        let me = Process::find(std::process::id().try_into().unwrap()).unwrap();
        pid_file.write(Process { start_ticks: me.start_ticks - 1, ..me }).unwrap();
        assert_eq!(pid_file.process(), None);
        pid_file.write(me).unwrap();
        assert_eq!(pid_file.process(), Some(me));
    }
}
