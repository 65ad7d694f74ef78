//! The switch's database: a file that the stock tools make, and bring to their version.

use crate::root::Root;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// As Debian's openvswitch-switch has it.
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

pub fn path(root: &Root) -> PathBuf {
    root.state("ovs").join("conf.db")
}

/// Makes the database if there is none, and converts one of another version, unless somebody serves it.
///
/// # Errors
/// Open vSwitch's tools are not there, or fail.
pub fn ensure(root: &Root, is_served: bool) -> Result<()> {
    let file = path(root);
    if !file.exists() {
        return tool(&["create"], &file).map(drop);
    }
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

    #[test]
    fn a_database_is_made_once_and_stays() {
        let directory = tempfile::tempdir().unwrap();
        let root = Root::new(directory.path()).unwrap();
        root.create().unwrap();
        ensure(&root, false).unwrap();
        let made = std::fs::read(path(&root)).unwrap();
        assert!(made.starts_with(b"OVSDB "));
        ensure(&root, false).unwrap();
        assert_eq!(std::fs::read(path(&root)).unwrap(), made);
    }
}
