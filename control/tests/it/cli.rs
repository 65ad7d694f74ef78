//! `hived --check-config` and `--print-config`.

use std::process::{Command, Output};

const GOOD: &str = r#"
nats_url = "nats://127.0.0.1:4222"
region = "us-east-1"
zone = "us-east-1a"
account = "123456789012"

[node]
node_id = "node-1"
state_dir = "/var/lib/hive/hived"
run_dir = "/run/hive/vms"
vmm = "/usr/bin/hive-vmm"
blockd_socket = "/run/hive/blockd.sock"
netd_socket = "/run/hive/netd.sock"
ovsdb_socket = "/run/hive/db.sock"
switch_run_dir = "/run/hive/ovs"
memory_mib = 4096

[node.uplink]
kind = "device"
interface = "eth1"
gateway_mac = "02:00:5e:10:00:01"
"#;

fn hived(config: &str, flag: &str) -> Output {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("hived.toml");
    std::fs::write(&path, config).expect("write");
    Command::new(env!("CARGO_BIN_EXE_hived")).arg("--config").arg(&path).arg(flag).output().expect("hived")
}

#[test]
fn a_sound_configuration_passes_and_prints_itself() {
    assert!(hived(GOOD, "--check-config").status.success());
    let printed = hived(GOOD, "--print-config");
    let printed = String::from_utf8(printed.stdout).expect("text");
    assert!(printed.contains("stop_grace_ms = 60000"), "{printed}");
    assert!(hived(&printed, "--check-config").status.success(), "{printed}");
}

#[test]
fn faults_are_named() {
    for (from, to, named) in [
        ("memory_mib", "memory_gib", "memory_gib"),
        ("us-east-1a", "eu-west-1a", "zone"),
        ("123456789012", "12345", "account"),
        ("/run/hive/vms", "vms", "node.run_dir"),
        ("4096", "0", "node.memory_mib"),
        ("eth1", "a-name-too-long-for-linux", "node.uplink.interface"),
        ("10:00:01", "10:00", "node.uplink.gateway_mac"),
        ("gateway_mac", "gateway", "gateway"),
        ("node_id = \"node-1\"", "node_id = \"Node 1\"", "node.node_id"),
    ] {
        let checked = hived(&GOOD.replace(from, to), "--check-config");
        let message = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(!checked.status.success() && message.contains(named), "{named}: {message}");
    }
}
