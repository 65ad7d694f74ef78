//! A node is lost with all its disks: its volumes are rebuilt on another from what they had uploaded.

use crate::daemon::{Daemon, PATIENCE, eventually, volume};
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

#[test]
fn what_was_rebuilt_and_is_out_of_date_by_then_takes_nothing_over() {
    let shared = tempfile::tempdir().unwrap();
    let live = Daemon::start_with(tempfile::tempdir().unwrap(), &config(shared.path()));
    live.create("disk", 4 << 20, None);
    let mut disk = Frontend::connect(&live.attach("disk", 1), 1, F_FLUSH);
    assert_eq!(disk.write(0, &[1; 4096]), 0);
    eventually("it is in the store", || live.describe("disk").dirty_bytes == 0);
    let other = Daemon::start_with(tempfile::tempdir().unwrap(), &config(shared.path()));
    let restore = Request::RestoreVolume { volume_id: volume("disk") };
    assert!(matches!(other.ask(&restore), Reply::Volume(_)));
    // Its node is not lost at all, and goes on.
    assert_eq!(disk.write(0, &[2; 4096]), 0);
    eventually("that too is in the store", || live.describe("disk").dirty_bytes == 0);
    let attach =
        Request::AttachVolume { volume_id: volume("disk"), queues: 1, read_only: false, serial: String::new() };
    let reply = other.ask(&attach);
    assert!(matches!(&reply, Reply::Error { message, .. } if message.contains("out of date")), "{reply:?}");
    assert_eq!(disk.write(4096, &[3; 4096]), 0, "the owner is not shut out");
    eventually("nor from the store", || live.describe("disk").dirty_bytes == 0);
    // Given up there, nothing of it is removed from the store, and it may be rebuilt again.
    other.delete_volume("disk");
    assert!(matches!(other.ask(&restore), Reply::Volume(_)));
    let mut rebuilt = Frontend::connect(&other.attach("disk", 1), 1, F_FLUSH);
    assert_eq!((rebuilt.read(0, 4096), rebuilt.read(4096, 4096)), (vec![2; 4096], vec![3; 4096]));
    assert_eq!(other.check("disk").blocks_damaged, 0);
    assert_eq!(rebuilt.write(8192, &[4; 4096]), 0);
    eventually("the old owner finds out", || disk.write(0, &[9; 4096]) != 0);
}
