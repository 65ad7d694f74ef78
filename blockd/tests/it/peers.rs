//! Snapshots copied from the stores of other regions: a directory, and the real objectd.

use crate::daemon::{Daemon, error_kind, eventually, snapshot};
use crate::load::{block_bytes, versions};
use crate::objectd::Objectd;
use hive_blockd_api::{ErrorKind, Reply, Request, SnapshotState};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

const MIB: u64 = 1 << 20;

fn image(mib: u64) -> Vec<u8> {
    (0..mib * MIB / 4096).flat_map(|block| block_bytes(block, block as u32 % 100)).collect()
}

/// `[[peer_stores]]` that is the directory store of another daemon.
fn peer_of(other: &Daemon) -> String {
    format!("[[peer_stores]]\nname = 'far'\nkind = 'dir'\npath = '{}/store'\n", other.state().display())
}

fn with_key(dir: &Path) -> String {
    format!("key_file = '{}/key'\n", dir.display())
}

fn copy(source: &str, name: &str, encrypted: bool) -> Request {
    let source_store = Some("far".parse().unwrap());
    let (source_snapshot_id, snapshot_id) = (snapshot(source), snapshot(name));
    Request::CopySnapshot { source_snapshot_id, source_store, snapshot_id, encrypted }
}

#[test]
fn a_copy_from_another_region_stands_alone() {
    let shared = tempfile::tempdir().unwrap();
    let far = Daemon::start_with(tempfile::tempdir().unwrap(), &with_key(shared.path()));
    far.import("plain", &image(8));
    // Sealed, and of three generations: its segments are of several owners.
    far.create_as("disk", 8 * MIB, Some("plain"), true);
    far.take_snapshot("disk", "sealed");
    let before = far.stored("");
    let more = with_key(shared.path()) + &peer_of(&far);
    let mut near = Daemon::start_with(tempfile::tempdir().unwrap(), &more);
    for (source, name, encrypted, is_sealed) in
        [("plain", "a", false, false), ("plain", "b", true, true), ("sealed", "c", false, true)]
    {
        let Reply::Snapshot(begun) = near.ask(&copy(source, name, encrypted)) else { panic!("not begun") };
        assert_eq!((begun.size_bytes, begun.encrypted), (8 * MIB, is_sealed));
        let copied = near.await_snapshot(name);
        assert_eq!((copied.progress_percent, copied.encrypted, copied.volume_id.as_ref()), (100, is_sealed, None));
        // Asked again it is the same.
        assert!(matches!(near.ask(&copy(source, name, encrypted)), Reply::Snapshot(s) if s == copied));
    }
    assert_eq!(error_kind(&near.ask(&copy("sealed", "a", false))), Some(ErrorKind::Exists));
    assert_eq!(far.stored(""), before, "nothing is written there");
    // Without its source, and after a restart.
    drop(far);
    near.kill_and_restart();
    for name in ["a", "b", "c"] {
        assert_eq!(near.export_snapshot(name), image(8), "{name}");
        near.create(&format!("clone-of-{name}"), 8 * MIB, Some(name));
        assert_eq!(near.export_volume(&format!("clone-of-{name}")), image(8));
    }
    let all: Vec<String> = near.stored("segments").into_keys().collect();
    for name in ["a", "b", "c"] {
        near.delete_volume(&format!("clone-of-{name}"));
        near.delete_snapshot(name);
    }
    assert!(!all.is_empty());
    near.await_empty_store();
}

#[test]
fn what_cannot_be_copied_is_refused_at_once_and_leaves_nothing() {
    let far = Daemon::start();
    far.import("plain", &image(1));
    far.create_as("disk", MIB, Some("plain"), true);
    far.take_snapshot("disk", "sealed");
    let near = Daemon::start_with(tempfile::tempdir().unwrap(), &peer_of(&far));
    let refused = |request: &Request, kind, what: &str| {
        let reply = near.ask(request);
        assert!(
            matches!(&reply, Reply::Error { kind: k, message } if *k == kind && message.contains(what)),
            "{reply:?}"
        );
    };
    refused(&copy("none", "a", false), ErrorKind::NotFound, "snapshot none in store far");
    // Under the other node's key, which is not ours: both are named.
    let key_id = |daemon: &Daemon| {
        let key = std::fs::read(daemon.state().join("node.key")).unwrap();
        let digest = ring::digest::digest(&ring::digest::SHA256, &key);
        digest.as_ref()[..16].iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    refused(&copy("sealed", "a", false), ErrorKind::Invalid, &format!("kept under key {}", key_id(&far)));
    refused(&copy("sealed", "a", false), ErrorKind::Invalid, &format!("this node has key {}", key_id(&near)));
    let unknown = Request::CopySnapshot {
        source_snapshot_id: snapshot("plain"),
        source_store: Some("nowhere".parse().unwrap()),
        snapshot_id: snapshot("a"),
        encrypted: false,
    };
    refused(&unknown, ErrorKind::NotFound, "store nowhere");
    assert_eq!(near.ask(&Request::ListSnapshots), Reply::Snapshots(Vec::new()));
    assert!(near.stored("").is_empty());
}

#[test]
fn copies_from_s3_outlive_its_outages_and_the_daemons_deaths() {
    let mut objectd = Objectd::start();
    let far = Daemon::start_with(tempfile::tempdir().unwrap(), &format!("[store]\n{}", objectd.table()));
    far.import("image", &image(96));
    drop(far);
    let peer = format!("[[peer_stores]]\nname = 'far'\n{}", objectd.table());
    let mut near = Daemon::start_with(tempfile::tempdir().unwrap(), &peer);
    assert!(matches!(near.ask(&copy("image", "copy", true)), Reply::Snapshot(_)));
    // Killed while there is something of it in our store, and again and again.
    let mut seen = BTreeSet::new();
    for kill in 0..4 {
        eventually("some of it is here", || {
            !near.stored("segments").is_empty() || near.describe_snapshot("copy").state == SnapshotState::Completed
        });
        std::thread::sleep(Duration::from_millis(kill * 20));
        near.kill();
        seen.extend(near.stored("segments").into_keys());
        near.restart();
        near.connect();
    }
    near.await_snapshot("copy");
    let kept: BTreeSet<String> = near.stored("segments").into_keys().collect();
    assert!(!seen.is_empty() && seen.is_subset(&kept), "it went on where it was: {seen:?} {kept:?}");
    // It waits for a store that is away, and says so by its progress.
    assert!(matches!(near.ask(&copy("image", "second", false)), Reply::Snapshot(_)));
    objectd.kill();
    near.kill_and_restart();
    let waiting = near.describe_snapshot("second");
    assert!(waiting.fault.is_none(), "{waiting:?}");
    assert!(matches!(near.ask(&copy("image", "third", false)), Reply::Error { .. }), "its source cannot be looked at");
    std::thread::sleep(Duration::from_millis(300));
    objectd.resume();
    for name in ["copy", "second"] {
        let shown = near.await_snapshot(name);
        assert_eq!(shown.progress_percent, 100);
        assert_eq!(versions(&near.export_snapshot(name)), versions(&image(96)));
    }
    assert!(matches!(near.ask(&copy("image", "deleted", false)), Reply::Snapshot(_)));
    objectd.kill();
    for name in ["copy", "second", "deleted"] {
        near.delete_snapshot(name);
    }
    near.kill_and_restart();
    near.await_empty_store();
    assert_eq!(near.ask(&Request::ListSnapshots), Reply::Snapshots(Vec::new()));
}

#[test]
fn a_copy_that_waits_for_its_store_can_be_deleted() {
    let mut objectd = Objectd::start();
    let far = Daemon::start_with(tempfile::tempdir().unwrap(), &format!("[store]\n{}", objectd.table()));
    far.import("image", &image(32));
    drop(far);
    let peer = format!("[[peer_stores]]\nname = 'far'\n{}", objectd.table());
    let near = Daemon::start_with(tempfile::tempdir().unwrap(), &peer);
    let Reply::Snapshot(_) = near.ask(&copy("image", "copy", false)) else { panic!("not begun") };
    objectd.kill();
    near.delete_snapshot("copy");
    // Its name is free again when nothing of it is left, though the other store is still away.
    eventually("its removal ends", || near.import_or_refused("copy", &[1; 4096]));
    near.delete_snapshot("copy");
    near.await_empty_store();
}
