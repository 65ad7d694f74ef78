//! The instances' VMM processes, found by the directories that hived keeps for them.

use super::process::{POLL_INTERVAL, Process};
use crate::root::Root;
use anyhow::{Context, Result};
use hive_vmm_api::{Reply, Request};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A VMM answers its API socket from a thread of its own; longer is as good as no answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
/// After `stop` is answered the process only closes files.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// A running VMM.
#[derive(Debug)]
pub struct Guest {
    directory: PathBuf,
    process: Process,
}

/// The VMM processes whose configuration lies below `machines`. The process table is the truth: a socket may be gone or stale.
pub fn list(machines: &Path) -> Vec<Guest> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let arguments = fs::read(entry.path().join("cmdline")).ok()?;
            let directory = machine_directory(&arguments, machines)?;
            Some(Guest { directory, process: Process::find(pid)? })
        })
        .collect()
}

/// The directory below `machines` of the configuration file that a `hive-vmm` was started with.
fn machine_directory(cmdline: &[u8], machines: &Path) -> Option<PathBuf> {
    let text = std::str::from_utf8(cmdline).ok()?;
    let mut arguments = text.split('\0');
    (Path::new(arguments.next()?).file_name()? == "hive-vmm").then_some(())?;
    let config = arguments.map(Path::new).find(|argument| argument.starts_with(machines))?;
    config.parent().map(Path::to_owned)
}

/// Stops every guest below `machines`: asked first, then signalled.
///
/// # Errors
/// A VMM process survives.
pub fn stop_all(machines: &Path) -> Result<()> {
    for guest in list(machines) {
        let name = guest.directory.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if request(&guest.directory.join("api.sock"), &Request::Stop).is_ok() {
            let deadline = Instant::now() + STOP_GRACE;
            while guest.process.is_alive() && Instant::now() < deadline {
                sleep(POLL_INTERVAL);
            }
        }
        guest.process.stop().with_context(|| format!("cannot stop guest {name}"))?;
        say!("  {name} stopped");
    }
    Ok(())
}

fn request(socket: &Path, request: &Request) -> Result<Reply> {
    let mut stream = UnixStream::connect(socket).with_context(|| format!("cannot connect to {}", socket.display()))?;
    stream.set_read_timeout(Some(REQUEST_TIMEOUT))?;
    stream.set_write_timeout(Some(REQUEST_TIMEOUT))?;
    let mut line = serde_json::to_string(request).context("cannot encode the request")?;
    line.push('\n');
    stream.write_all(line.as_bytes()).context("cannot send the request")?;
    let mut reply = String::new();
    BufReader::new(stream.take(hive_vmm_api::MAX_LINE_BYTES as u64)).read_line(&mut reply).context("no answer")?;
    serde_json::from_str(&reply).context("the answer does not decode")
}

/// Removes sockets that ended processes left.
///
/// # Errors
/// One cannot be removed.
pub fn clear_sockets(root: &Root) -> Result<()> {
    let mut directories = vec![root.run("")];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            read => read.with_context(|| format!("cannot read {}", directory.display()))?,
        };
        for entry in entries.flatten() {
            let (path, Ok(kind)) = (entry.path(), entry.file_type()) else { continue };
            if kind.is_socket() {
                fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
            } else if kind.is_dir() {
                directories.push(path);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_vmm_of_this_root_is_a_guest() {
        let machines = Path::new("/r/run/vms");
        let ours = b"/opt/hive-vmm\0--config\0/r/run/vms/i-1/vm.json\0";
        assert_eq!(machine_directory(ours, machines), Some(PathBuf::from("/r/run/vms/i-1")));
        assert_eq!(machine_directory(b"/opt/hive-vmm\0--config\0/s/run/vms/i-1/vm.json\0", machines), None);
        assert_eq!(machine_directory(b"/usr/bin/less\0/r/run/vms/i-1/vm.json\0", machines), None);
        assert_eq!(machine_directory(b"", machines), None);
    }

    #[test]
    fn sockets_go_and_other_files_stay() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path()).unwrap();
        root.create().unwrap();
        fs::write(root.run("vms/console.log"), "").unwrap();
        for socket in ["netd.sock", "volumes/vol-1"] {
            std::os::unix::net::UnixListener::bind(root.run(socket)).unwrap();
        }
        clear_sockets(&root).unwrap();
        assert!(!root.run("netd.sock").exists() && !root.run("volumes/vol-1").exists());
        assert!(root.run("vms/console.log").exists());
    }
}
