//! One `hive-vmm` process: started so that it outlives this one, found again by the next one.

use super::local::write_durably;
use super::rpc::{self, RpcError};
use hive_vmm_api as vmm;
use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest pid file or exit report.
const MAX_FILE_BYTES: u64 = 64 << 10;

/// Directory of one machine, and what lies in it.
#[derive(Clone, Debug)]
pub struct MachineDir(PathBuf);

/// Which process it is, beyond doubt: pids are used again, boots too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRecord {
    pub pid: i32,
    /// Clock ticks after boot, from `/proc/<pid>/stat`.
    pub start_ticks: u64,
    pub boot_id: String,
    /// The launch that it was started for.
    pub launch: Timestamp,
}

/// What is known of a machine's process.
#[derive(Debug)]
pub enum Found {
    Alive(ProcessRecord),
    /// It was started in this boot and has ended.
    Ended {
        launch: Timestamp,
        report: Option<vmm::ExitReport>,
    },
    /// Nothing was started since the node booted.
    Nothing,
}

impl MachineDir {
    pub fn new(run_dir: &Path, instance_id: &str) -> Self {
        Self(run_dir.join(instance_id))
    }

    pub fn config(&self) -> PathBuf {
        self.0.join("vm.json")
    }

    pub fn api_socket(&self) -> PathBuf {
        self.0.join("api.sock")
    }

    pub fn console_socket(&self) -> PathBuf {
        self.0.join("console.sock")
    }

    pub fn console_log(&self) -> PathBuf {
        self.0.join("console.log")
    }

    pub fn exit_report(&self) -> PathBuf {
        self.0.join("exit.json")
    }

    fn log(&self) -> PathBuf {
        self.0.join("vmm.log")
    }

    fn process(&self) -> PathBuf {
        self.0.join("process.json")
    }

    /// How long ago a process was last started.
    pub fn started_ago(&self) -> Duration {
        let written = std::fs::metadata(self.process()).and_then(|metadata| metadata.modified());
        written.ok().and_then(|at| at.elapsed().ok()).unwrap_or_default()
    }

    pub fn find(&self) -> io::Result<Found> {
        let Some(record) = read_json::<ProcessRecord>(&self.process())? else { return Ok(Found::Nothing) };
        if record.boot_id != boot_id()? {
            return Ok(Found::Nothing);
        }
        if start_ticks(record.pid) == Some(record.start_ticks) {
            return Ok(Found::Alive(record));
        }
        Ok(Found::Ended { launch: record.launch, report: read_json(&self.exit_report())? })
    }

    /// Starts the VMM with `config`. The process is a group of its own with its own log, so that nothing sent to this daemon's group
    /// reaches it.
    pub fn spawn(
        &self,
        binary: &Path,
        config: &vmm::VmConfig,
        launch: Timestamp,
        ended: &Arc<Notify>,
    ) -> io::Result<()> {
        std::fs::create_dir_all(&self.0)?;
        for stale in [self.api_socket(), self.console_socket(), self.exit_report(), self.process()] {
            match std::fs::remove_file(stale) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        write_durably(&self.config(), &serde_json::to_vec_pretty(config)?)?;
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut child = Command::new(binary)
            .arg("--config")
            .arg(self.config())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let recorded = i32::try_from(child.id()).map_err(io::Error::other).and_then(|pid| {
            let start_ticks = start_ticks(pid).ok_or_else(|| io::Error::other("it ended at once"))?;
            let record = ProcessRecord { pid, start_ticks, boot_id: boot_id()?, launch };
            write_durably(&self.process(), &serde_json::to_vec(&record)?)
        });
        if recorded.is_err() {
            // A machine that cannot be found again must not run.
            child.kill()?;
        }
        let ended = ended.clone();
        // Reaps the child; a process that was taken over is watched by its pidfd instead.
        std::thread::Builder::new().name("vmm-reaper".into()).spawn(move || {
            let _ = child.wait();
            ended.notify_one();
        })?;
        recorded
    }

    pub async fn ask(&self, request: &vmm::Request) -> Result<vmm::Reply, RpcError> {
        rpc::call(&self.api_socket(), request, REQUEST_TIMEOUT).await
    }

    pub fn remove(&self) -> io::Result<()> {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }
}

impl ProcessRecord {
    /// `kill -9`, if it is still this process.
    pub fn kill(&self) -> io::Result<()> {
        match Pid::from_raw(self.pid) {
            Some(pid) if start_ticks(self.pid) == Some(self.start_ticks) => Ok(kill_process(pid, Signal::KILL)?),
            _ => Ok(()),
        }
    }

    /// Blocks until the process has ended.
    pub fn wait_end(&self) -> io::Result<()> {
        let pid = Pid::from_raw(self.pid).ok_or(io::ErrorKind::InvalidInput)?;
        match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(process) if start_ticks(self.pid) == Some(self.start_ticks) => loop {
                match poll(&mut [PollFd::new(&process, PollFlags::IN)], None) {
                    Err(Errno::INTR) => {}
                    other => return Ok(other.map(drop)?),
                }
            },
            // Gone already.
            Ok(_) | Err(Errno::SRCH) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, MAX_FILE_BYTES), &mut bytes)?;
    // A torn file says nothing; the writer renames whole ones.
    Ok(serde_json::from_slice(&bytes).ok())
}

fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Field 22 of `/proc/<pid>/stat`; None when there is no such process, or it is a zombie.
fn start_ticks(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field, the name in parentheses, may hold anything.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    let ticks = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(ticks)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pid: u32) -> ProcessRecord {
        let pid = i32::try_from(pid).expect("a pid");
        let start_ticks = start_ticks(pid).expect("it runs");
        ProcessRecord { pid, start_ticks, boot_id: boot_id().expect("a boot id"), launch: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_process_is_found_watched_and_killed() {
        let run = tempfile::tempdir().expect("a directory");
        let machine = MachineDir::new(run.path(), "i-1");
        std::fs::create_dir(run.path().join("i-1")).expect("its directory");
        assert!(matches!(machine.find().expect("find"), Found::Nothing));

        let mut child = Command::new("sleep").arg("600").spawn().expect("sleep");
        let process = record(child.id());
        std::fs::write(machine.process(), serde_json::to_vec(&process).expect("encode")).expect("write");
        assert!(matches!(machine.find().expect("find"), Found::Alive(found) if found == process));

        process.kill().expect("kill");
        process.wait_end().expect("its end");
        assert!(matches!(machine.find().expect("find"), Found::Ended { report: None, .. }));
        child.wait().expect("reaped");
        process.wait_end().expect("its end, again");

        let report =
            vmm::ExitReport { vm_id: "i-1".into(), reason: vmm::ExitReason::GuestPowerOff, message: String::new() };
        std::fs::write(machine.exit_report(), serde_json::to_vec(&report).expect("encode")).expect("write");
        assert!(matches!(machine.find().expect("find"), Found::Ended { report: Some(found), .. } if found == report));

        let earlier = ProcessRecord { boot_id: "another boot".into(), ..process };
        std::fs::write(machine.process(), serde_json::to_vec(&earlier).expect("encode")).expect("write");
        assert!(matches!(machine.find().expect("find"), Found::Nothing), "the node has booted since");
    }

    #[test]
    fn a_pid_used_again_is_another_process() {
        let mut mine = record(std::process::id());
        mine.start_ticks += 1;
        mine.kill().expect("nothing to kill");
    }
}
