//! The switch's database: a file that the stock tools make, and bring to their version.

use super::daemon::DATABASE_SOCKET;
use crate::root::Root;
use anyhow::{Context, Result, ensure};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

/// As Debian's openvswitch-switch has it.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

pub fn path(root: &Root) -> PathBuf {
    root.state("ovs").join("conf.db")
}

/// Makes the database if there is none, and converts one of another version, unless somebody serves it, who has the file locked: it is
/// converted before it is served the next time, then.
///
/// # Errors
/// Open vSwitch's tools are not there, or fail.
pub fn ensure(root: &Root) -> Result<()> {
    let file = path(root);
    if !file.exists() {
        return tool(&["create"], &file).map(drop);
    }
    let is_served = UnixStream::connect(root.run(DATABASE_SOCKET)).is_ok();
    if !is_served && tool(&["needs-conversion"], &file)?.trim() == "yes" {
        tool(&["convert"], &file)?;
    }
    Ok(())
}

fn tool(arguments: &[&str], file: &Path) -> Result<String> {
    let mut command = Command::new("ovsdb-tool");
    let output = command.args(arguments).arg(file).arg(SCHEMA).output();
    let output = output.context("cannot start ovsdb-tool (Debian package openvswitch-switch)")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ovsdb-tool {} failed: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Child;
    use std::time::{Duration, Instant};

    const DEADLINE: Duration = Duration::from_secs(60);
    const UNIT: &str = include_str!("../../../../packaging/systemd/hive-ovsdb.service");

    fn root(directory: &Path) -> Root {
        let root = Root::new(directory).unwrap();
        root.create().unwrap();
        root
    }

    /// A database as an older Open vSwitch left it.
    fn old_database(root: &Root) {
        let schema = std::fs::read_to_string(SCHEMA).unwrap();
        let (before, rest) = schema.split_once("\"version\": \"").unwrap();
        let (_, after) = rest.split_once('"').unwrap();
        let old = root.path().join("old.ovsschema");
        std::fs::write(&old, format!("{before}\"version\": \"1.0.0\"{after}")).unwrap();
        let made = Command::new("ovsdb-tool").arg("create").arg(path(root)).arg(old).status().unwrap();
        assert!(made.success());
        assert!(is_old(root));
    }

    fn is_old(root: &Root) -> bool {
        tool(&["needs-conversion"], &path(root)).unwrap().trim() == "yes"
    }

    struct Server(Child);

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn serve(root: &Root) -> Server {
        let socket = root.run(DATABASE_SOCKET);
        let mut command = Command::new("/usr/sbin/ovsdb-server");
        command.arg(path(root)).arg(format!("--remote=punix:{}", socket.display()));
        command.arg(format!("--unixctl={}", root.run("ovsdb.ctl").display())).arg("--no-chdir");
        command.env("OVS_RUNDIR", root.switch_run_dir()).stderr(std::process::Stdio::null());
        let server = Server(command.spawn().unwrap());
        let deadline = Instant::now() + DEADLINE;
        while UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < deadline, "it does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    #[test]
    fn a_database_is_made_once_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let root = root(directory.path());
        ensure(&root).unwrap();
        let made = std::fs::read(path(&root)).unwrap();
        assert!(made.starts_with(b"OVSDB "));
        ensure(&root).unwrap();
        assert_eq!(std::fs::read(path(&root)).unwrap(), made);
    }

    /// Whoever started the server, and whether there is a pid file of it.
    #[test]
    fn a_database_that_is_served_is_left_alone_and_converted_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let root = root(directory.path());
        old_database(&root);
        let server = serve(&root);
        ensure(&root).unwrap();
        assert!(is_old(&root));
        drop(server);
        ensure(&root).unwrap();
        assert!(!is_old(&root));
    }

    #[test]
    fn the_unit_converts_what_it_is_going_to_serve() {
        let directory = tempfile::tempdir().unwrap();
        let root = root(directory.path());
        old_database(&root);
        let line = UNIT.lines().find_map(|line| line.strip_prefix("ExecStartPre=/bin/sh -c '")).unwrap();
        let line = line.strip_suffix('\'').unwrap();
        let line = line.replace("$$", "$").replace("/var/lib/hive", &root.path().display().to_string());
        for _ in 0..2 {
            assert!(Command::new("/bin/sh").args(["-c", &line]).status().unwrap().success());
            assert!(!is_old(&root));
        }
    }
}
