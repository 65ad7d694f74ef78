//! `kill -9` of each daemon in turn while a guest writes and verifies its disk.

use super::guest::Guest;
use crate::harness::Cloud;
use anyhow::{Context, Result, ensure};

/// Writes a block that names its round, forces it out, and reads it again from the disk; says so on the console. Never ends by itself.
const WRITE_AND_VERIFY: &str = r#"#!/bin/sh
round=0
while :; do
    round=$((round + 1))
    yes "round $round" | head -c 262144 >/tmp/written
    dd if=/tmp/written of=/dev/vdb bs=64k conv=fsync 2>/tmp/error || { echo "disk: ERROR write $(cat /tmp/error)"; exit 1; }
    echo 3 >/proc/sys/vm/drop_caches
    dd if=/dev/vdb of=/tmp/read bs=64k count=4 2>/tmp/error || { echo "disk: ERROR read $(cat /tmp/error)"; exit 1; }
    cmp /tmp/written /tmp/read || { echo "disk: ERROR round $round differs"; exit 1; }
    echo "disk: round $round"
    sleep 1
done
"#;
/// Rounds that must pass after a daemon is back: one may have been under way.
const ROUNDS_AFTER: u64 = 3;

pub fn daemons_die(cloud: &Cloud) -> Result<()> {
    let mapping = r#"[{"DeviceName":"/dev/sdf","Ebs":{"VolumeSize":1,"DeleteOnTermination":true}}]"#;
    let guest = Guest::launch(cloud, WRITE_AND_VERIFY, &["--block-device-mappings", mapping])?;
    guest.wait_console("first round", |console| last_round(console) >= 1)?;
    for daemon in ["blockd", "ovsdb", "netd", "objectd", "hived", "awsd", "nats"] {
        let before = last_round(&guest.console()?);
        cloud.node.ssh(&format!("kill -9 $(cut -d ' ' -f 1 /data/hive/pids/{daemon}.pid)"))?;
        cloud.node.ssh("hive dev start --profile test").with_context(|| format!("cannot restart {daemon}"))?;
        let enough = before + ROUNDS_AFTER;
        let console = guest
            .wait_console("further rounds", |console| last_round(console) >= enough || console.contains("disk: ERROR"))
            .with_context(|| format!("after kill -9 of {daemon}"))?;
        for trouble in ["disk: ERROR", "I/O error", "Buffer I/O"] {
            ensure!(!console.contains(trouble), "the guest saw the end of {daemon}:\n{console}");
        }
        ensure!(guest.state()? == "running", "the guest does not run after the end of {daemon}");
        println!("    {daemon} killed and back: round {before} -> {}", last_round(&console));
    }
    guest.terminate()
}

fn last_round(console: &str) -> u64 {
    console.rsplit("disk: round ").find_map(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_newest_round() {
        assert_eq!(last_round("boot\ndisk: round 9\ndisk: round 10\n"), 10);
        assert_eq!(last_round("boot\n"), 0);
    }
}
