//! A node is lost with all its disks: its volumes are rebuilt on another from what they had uploaded.

use crate::daemon::{Daemon, PATIENCE, volume};
use crate::frontend::*;
use hive_blockd_api::{ErrorKind, Reply, Request};
use std::time::{Duration, Instant};

const BLOCK: u64 = 4096;

fn config(shared: &std::path::Path) -> String {
    format!(
        "upload = true\nrpo_seconds = 1\nkey_file = '{0}/key'\n[store]\nkind = 'dir'\npath = '{0}/store'\n",
        shared.display()
    )
}

fn await_uploaded(daemon: &Daemon, name: &str) {
    // What was just written counts from the engine's next look at its metrics on.
    std::thread::sleep(Duration::from_millis(1500));
    let deadline = Instant::now() + PATIENCE;
    while daemon.metrics().volumes[name].dirty_bytes > 0 {
        assert!(Instant::now() < deadline, "never uploaded: {:?}", daemon.metrics());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_lost_node_s_volumes_are_rebuilt_elsewhere_and_the_old_owner_is_shut_out() {
    let shared = tempfile::tempdir().unwrap();
    let mut lost = Daemon::start_with(tempfile::tempdir().unwrap(), &config(shared.path()));
    lost.create_as("disk", 64 << 20, None, true);
    let mut disk = Frontend::connect(&lost.attach("disk", 1), 1, F_FLUSH);
    let block = |n: u64| vec![n as u8 ^ 0x5a; BLOCK as usize];
    for n in 0..200 {
        assert_eq!(disk.write(n * 7 * BLOCK, &block(n)), 0);
    }
    assert_eq!(disk.run(FLUSH, 0, 0, 0), 0);
    await_uploaded(&lost, "disk");
    // What follows is uploaded behind the checkpoint that the first part made when the volume was grown and cut.
    lost.take_snapshot("disk", "half");
    for n in 0..50 {
        assert_eq!(disk.write(n * 7 * BLOCK, &block(n + 100)), 0);
    }
    await_uploaded(&lost, "disk");
    std::thread::sleep(Duration::from_secs(3)); // the manifest follows the uploads within two

    let mut other = Daemon::start_with(tempfile::tempdir().unwrap(), &config(shared.path()));
    let restore = |name: &str| other.ask(&Request::RestoreVolume { volume_id: volume(name) });
    assert!(matches!(restore("none"), Reply::Error { kind: ErrorKind::NotFound, .. }));
    let reply = restore("disk");
    assert!(matches!(&reply, Reply::Volume(v) if v.encrypted && v.size_bytes == 64 << 20), "{reply:?}");
    assert!(matches!(restore("disk"), Reply::Error { kind: ErrorKind::Exists, .. }));
    let mut rebuilt = Frontend::connect(&other.attach("disk", 1), 1, F_FLUSH);
    for n in 0..200 {
        let expected = if n < 50 { block(n + 100) } else { block(n) };
        assert_eq!(rebuilt.read(n * 7 * BLOCK, BLOCK as usize), expected, "block {n}");
    }
    assert_eq!(rebuilt.write(0, &block(1)), 0);

    // The old owner was not dead after all: it finds out when it next says what it has.
    let deadline = Instant::now() + PATIENCE;
    while disk.write(0, &block(9)) == 0 {
        assert!(Instant::now() < deadline, "the old owner still writes");
        std::thread::sleep(Duration::from_millis(100));
    }
    other.kill_and_restart();
    rebuilt.reconnect();
    assert_eq!(rebuilt.read(0, BLOCK as usize), block(1));
    assert!(lost.terminate());
}
