//! Encrypted volumes: what can be seen from outside, and what happens without the key or with bytes that somebody changed.

use crate::daemon::{Daemon, error_kind, eventually, files, snapshot, volume};
use crate::frontend::*;
use hive_blockd_api::{ErrorKind, Reply, Request, VolumeHealth};
use std::os::unix::fs::FileExt;
use std::path::Path;

const MIB: u64 = 1 << 20;
const MARKER: &[u8] = b"the guest's own words, 4711";
const SEGMENT_BYTES: u64 = 16 << 20;

/// A block full of the marker; `number` makes it differ from others.
fn marked(number: u64) -> Vec<u8> {
    let mut block: Vec<u8> = MARKER.iter().copied().cycle().take(4096).collect();
    block[4088..].copy_from_slice(&number.to_le_bytes());
    block
}

fn contains(path: &Path, what: &[u8]) -> bool {
    let bytes = std::fs::read(path).unwrap_or_default();
    let finder = |window: &[u8]| window == what;
    // Blocks and records are aligned: the marker begins at every block that holds it in the clear.
    bytes.chunks(64).zip(0..).any(|(_, at)| bytes[at * 64..].get(..what.len()).is_some_and(finder))
}

fn marker_files(daemon: &Daemon) -> Vec<std::path::PathBuf> {
    files(&daemon.state()).into_iter().filter(|path| contains(path, MARKER)).collect()
}

fn fill(disk: &mut Frontend, blocks: u64) {
    for number in 0..blocks {
        assert_eq!(disk.write(number * 4096, &marked(number)), 0);
    }
    assert_eq!(disk.run(FLUSH, 0, 0, 0), 0);
}

#[test]
fn nothing_of_an_encrypted_volume_is_seen_outside() {
    let daemon = Daemon::start();
    daemon.create_as("sealed", 16 * MIB, None, true);
    let mut disk = Frontend::connect(&daemon.attach("sealed", 1), 1, F_FLUSH);
    fill(&mut disk, 200);
    daemon.take_snapshot("sealed", "snap");
    daemon.create("clone", 16 * MIB, Some("snap"));
    assert!(daemon.describe("clone").encrypted && daemon.describe_snapshot("snap").encrypted);
    let mut clone = Frontend::connect(&daemon.attach("clone", 1), 1, F_FLUSH);
    assert_eq!(clone.read(7 * 4096, 4096), marked(7));
    assert_eq!(clone.write(8 * MIB, &marked(1)), 0);
    daemon.take_snapshot("clone", "snap-of-clone");
    assert!(daemon.describe_snapshot("snap-of-clone").encrypted);
    let copy = Request::CopySnapshot {
        source_snapshot_id: snapshot("snap"),
        source_store: None,
        snapshot_id: snapshot("copy"),
        encrypted: false,
    };
    assert!(matches!(daemon.ask(&copy), Reply::Snapshot(_)));
    assert!(daemon.await_snapshot("copy").encrypted, "a copy of an encrypted snapshot is encrypted");
    assert_eq!(marker_files(&daemon), Vec::<std::path::PathBuf>::new());
    // The scan itself works.
    daemon.create("open", 16 * MIB, None);
    let mut disk = Frontend::connect(&daemon.attach("open", 1), 1, F_FLUSH);
    fill(&mut disk, 3);
    assert_eq!(marker_files(&daemon).len(), 1);
}

#[test]
fn an_encrypted_clone_of_a_plain_snapshot_seals_what_it_writes() {
    let mut daemon = Daemon::start();
    let image: Vec<u8> = (0..256).flat_map(|i| vec![i as u8 | 1; 4096]).collect();
    daemon.import("image", &image);
    daemon.create_as("sealed", 16 * MIB, Some("image"), true);
    let mut disk = Frontend::connect(&daemon.attach("sealed", 1), 1, F_FLUSH);
    assert_eq!(disk.read(0, MIB as usize), image);
    for number in 0..128 {
        assert_eq!(disk.write(number * 8192, &marked(number)), 0);
    }
    daemon.take_snapshot("sealed", "snap");
    assert!(daemon.describe_snapshot("snap").encrypted);
    daemon.kill_and_restart();
    disk.reconnect();
    for number in 0..128u64 {
        assert_eq!(disk.read(number * 8192, 4096), marked(number));
        let plain = (2 * number + 1) as usize * 4096;
        assert_eq!(disk.read(plain as u64, 4096), image[plain..plain + 4096]);
    }
    assert_eq!(marker_files(&daemon), Vec::<std::path::PathBuf>::new());
    assert_eq!(daemon.check("sealed").blocks_damaged, 0);
}

#[test]
fn without_the_right_key_nothing_is_served_and_the_error_says_why() {
    let mut daemon = Daemon::start();
    daemon.create_as("sealed", 16 * MIB, None, true);
    daemon.create("open", 16 * MIB, None);
    let mut disk = Frontend::connect(&daemon.attach("sealed", 1), 1, F_FLUSH);
    fill(&mut disk, 10);
    daemon.take_snapshot("sealed", "snap");
    drop(disk);
    daemon.attach("open", 1);
    let key = daemon.state().join("node.key");
    let right = std::fs::read(&key).unwrap();
    daemon.kill();
    std::fs::write(&key, [0x55; 32]).unwrap();
    daemon.restart();
    let shown = daemon.describe("sealed");
    assert_eq!((shown.health, shown.socket), (VolumeHealth::Impaired, None));
    assert_eq!(daemon.describe("open").health, VolumeHealth::Ok, "others are served");
    daemon.detach("sealed");
    let attach =
        Request::AttachVolume { volume_id: volume("sealed"), queues: 1, read_only: false, serial: String::new() };
    let reply = daemon.ask(&attach);
    let says = |reply: &Reply, what: &[&str]| matches!(reply, Reply::Error { kind: ErrorKind::Io, message } if what.iter().all(|w| message.contains(w)));
    assert!(says(&reply, &["volume sealed", "this node has key"]), "{reply:?}");
    let get = Request::GetSnapshotBlock { snapshot_id: snapshot("snap"), block_index: 0 };
    assert!(says(&daemon.ask(&get), &["snapshot snap", "this node has key"]));
    daemon.kill();
    std::fs::write(&key, right).unwrap();
    daemon.restart();
    let mut disk = Frontend::connect(&daemon.attach("sealed", 1), 1, F_FLUSH);
    assert_eq!(disk.read(4096, 4096), marked(1));
    daemon.kill();
    std::fs::write(&key, b"short").unwrap();
    daemon.restart_expecting_failure("does not hold 32 bytes");
}

#[test]
fn a_flipped_bit_is_found_and_costs_one_block() {
    let mut daemon = Daemon::start();
    daemon.create_as("sealed", 16 * MIB, None, true);
    let socket = daemon.attach("sealed", 1);
    let mut disk = Frontend::connect(&socket, 1, F_FLUSH);
    fill(&mut disk, 100);
    daemon.take_snapshot("sealed", "snap");
    assert!(daemon.terminate());
    let log = std::fs::File::options().read(true).write(true).open(daemon.state().join("volumes/sealed/log")).unwrap();
    let blocks = log.metadata().unwrap().len() / 4096;
    let mut block = vec![0; 4096];
    let mut flipped = 0;
    // Behind the front of the first segment every block is a group's header or sealed data.
    for at in (40..SEGMENT_BYTES / 4096).take_while(|at| *at < blocks).step_by(2).take(3) {
        log.read_exact_at(&mut block, at * 4096).unwrap();
        block[1000] ^= 0x10;
        log.write_all_at(&block, at * 4096).unwrap();
        flipped += 1;
    }
    daemon.restart();
    disk.reconnect();
    // The store's copy heals it.
    let report = daemon.check("sealed");
    assert_eq!((report.blocks_damaged, report.blocks_checked), (0, 100), "{report:?}");
    assert_eq!(flipped, 3);
    for number in 0..100 {
        assert_eq!(disk.read(number * 4096, 4096), marked(number));
    }
}

#[test]
fn a_deleted_volume_leaves_no_key() {
    let daemon = Daemon::start();
    daemon.create_as("sealed", 16 * MIB, None, true);
    let mut disk = Frontend::connect(&daemon.attach("sealed", 1), 1, F_FLUSH);
    fill(&mut disk, 10);
    drop(disk);
    daemon.detach("sealed");
    daemon.delete_volume("sealed");
    daemon.await_empty_store();
    let state = daemon.state();
    eventually("only what belongs to no volume is left", || {
        files(&state).iter().all(|path| {
            let name = path.strip_prefix(&state).unwrap().to_str().unwrap();
            name == "lock"
                || name == "node.key"
                || name == "scrub.json"
                || name.starts_with("cache")
                || name.starts_with("store/")
        })
    });
    assert_eq!(
        error_kind(&daemon.ask(&Request::DescribeVolume { volume_id: volume("sealed") })),
        Some(ErrorKind::NotFound)
    );
}
