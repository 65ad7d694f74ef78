//! The `hive-vmm` program where it needs no KVM: help, configuration check, and the errors of a start that fails.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use hive_vmm_api::{EXIT_START_FAILED, ExitReason, ExitReport, VmConfig};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

fn vmm(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_hive-vmm")).args(arguments).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A configuration whose files are in `directory`, written there.
fn config(directory: &Path, change: impl FnOnce(&mut Value)) -> String {
    let path = |name: &str| directory.join(name).to_str().unwrap().to_owned();
    let mut config = json!({
        "vm_id": "i-test", "vcpus": 1, "memory_size_bytes": 64 << 20,
        "boot": {"kernel": path("kernel")},
        "smbios": {
            "uuid": "ec2f0000-0000-4000-8000-000000000001", "vendor": "Amazon EC2", "product": "t3.micro",
            "version": "", "serial": "1", "asset_tag": "i-test"
        },
        "console": {"log": path("console.log"), "socket": path("console.sock")},
        "api_socket": path("api.sock"), "exit_report": path("exit.json")
    });
    change(&mut config);
    std::fs::write(directory.join("vm.json"), config.to_string()).unwrap();
    path("vm.json")
}

fn report(directory: &TempDir) -> ExitReport {
    serde_json::from_slice(&std::fs::read(directory.path().join("exit.json")).unwrap()).unwrap()
}

#[test]
fn help_and_version_tell_how_to_begin() {
    let help = vmm(&["--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(help.status.success());
    for taught in ["\"vm_id\"", "power-button", "Exit status", "--check-config"] {
        assert!(text.contains(taught), "{taught}");
    }
    assert!(String::from_utf8(vmm(&["--version"]).stdout).unwrap().starts_with("hive-vmm "));
}

#[test]
fn a_good_configuration_is_printed_with_its_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let output = vmm(&["--check-config", "--config", &config(directory.path(), |_| {})]);
    assert!(output.status.success(), "{}", stderr(&output));
    let printed: VmConfig = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((printed.backend_timeout_ms, printed.console.log_size_bytes), (10_000, 256 << 10));
}

#[test]
fn a_bad_configuration_is_refused_with_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), |config| config["vcpus"] = json!(99));
    for arguments in [&["--check-config", "--config", &path][..], &["--config", &path]] {
        let output = vmm(arguments);
        assert_eq!(output.status.code(), Some(EXIT_START_FAILED));
        assert!(stderr(&output).contains("vcpus is 99"), "{}", stderr(&output));
    }
    assert_eq!(report(&directory).reason, ExitReason::StartFailed);
    let absent = vmm(&["--check-config", "--config", "/nonexistent/vm.json"]);
    assert!(stderr(&absent).contains("/nonexistent/vm.json"));
    assert_eq!(absent.status.code(), Some(EXIT_START_FAILED));
}

#[test]
fn without_kvm_the_error_names_the_device_and_what_is_needed() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), |_| {});
    for (device, expected) in [("/nonexistent/kvm", "open"), ("/dev/null", "not a KVM device")] {
        let output = vmm(&["--config", &path, "--kvm", device]);
        assert_eq!(output.status.code(), Some(EXIT_START_FAILED));
        let report = report(&directory);
        assert_eq!(report.reason, ExitReason::StartFailed);
        for part in [device, expected, "hardware virtualisation"] {
            assert!(report.message.contains(part), "{}", report.message);
        }
        assert!(stderr(&output).contains(&report.message));
    }
}

#[test]
fn a_socket_in_use_is_not_taken_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = config(directory.path(), |_| {});
    let _listener = std::os::unix::net::UnixListener::bind(directory.path().join("api.sock")).unwrap();
    let output = vmm(&["--config", &path, "--kvm", "/dev/null"]);
    assert_eq!(output.status.code(), Some(EXIT_START_FAILED));
    assert!(report(&directory).message.contains("api.sock"), "{}", stderr(&output));
}
