//! The program as its user meets it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Command, Output, Stdio};

/// Runs `hive` with a standard output that nobody reads.
fn unread(arguments: &[&str]) -> Output {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut hive = Command::new(env!("CARGO_BIN_EXE_hive"));
    hive.args(arguments)
        .stdin(Stdio::null())
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap()
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("log")).unwrap();
    std::fs::write(directory.path().join("log/hived.log"), "a line\n".repeat(1000)).unwrap();
    let root = directory.path().to_str().unwrap();
    for arguments in [
        &["--root", root, "config", "generate", "--show-profile"][..],
        &["--root", root, "dev", "status"],
        &["--root", root, "logs"],
        &["--root", root, "logs", "-f"],
    ] {
        let output = unread(arguments);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(stderr, "", "{arguments:?}");
        assert_ne!(output.status.code(), None, "{arguments:?}");
    }
}
