//! With every segment uploaded to the real objectd: what arrives, outages, quotas, eviction, and who may write.

use crate::daemon::{Daemon, eventually, volume};
use crate::frontend::*;
use crate::load::{Load, versions};
use crate::objectd::Objectd;
use hive_blockd::engine::format::Checkpoint;
use hive_blockd::snapshot::names;
use hive_blockd_api::{Reply, Request, VolumeHealth};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;
const BLOCKS: u64 = 4096;

fn start(objectd: &Objectd, more: &str) -> Daemon {
    start_in(tempfile::tempdir().unwrap(), objectd, more)
}

fn start_in(dir: tempfile::TempDir, objectd: &Objectd, more: &str) -> Daemon {
    Daemon::start_with(dir, &format!("{more}\n[store]\n{}", objectd.table()))
}

fn loaded(daemon: &Daemon) -> Load {
    daemon.create("disk", BLOCKS * 4096, None);
    let mut load = Load::new(&daemon.attach("disk", 1), BLOCKS);
    load.flush_every = 50;
    load
}

fn metrics(daemon: &Daemon) -> hive_blockd_api::VolumeMetrics {
    daemon.metrics().volumes["disk"].clone()
}

/// What the manifest of the only volume names, all of which must be in the store; None while there is none.
fn committed(objectd: &Objectd) -> Option<serde_json::Value> {
    let keys = objectd.list("volumes/");
    let key = keys.iter().find(|key| key.ends_with("/manifest"))?;
    let manifest: serde_json::Value = serde_json::from_slice(&objectd.get(key)?).unwrap();
    let map = objectd.get(manifest["map"].as_str()?)?;
    let checkpoint = Checkpoint::decode(&map).unwrap();
    let homes: BTreeSet<u32> = checkpoint.homes.iter().map(|(_, home)| home.place.seq).collect();
    let stored: BTreeSet<String> = objectd.list("segments/").into_iter().collect();
    // A commit in between may have removed what this one does not need any more.
    if serde_json::from_slice::<serde_json::Value>(&objectd.get(key)?).unwrap() != manifest {
        return committed(objectd);
    }
    let needed = checkpoint.segments.iter().filter(|s| s.live > 0 || homes.contains(&s.id.seq)).map(|s| s.id.seq);
    let needed: BTreeSet<u32> = needed.collect();
    for (name, segment) in names(&checkpoint).into_iter().zip(&checkpoint.segments) {
        let key = hive_blockd::backing::segment_key(name);
        assert!(!needed.contains(&segment.id.seq) || stored.contains(&key), "the manifest needs {key}");
    }
    Some(manifest)
}

#[test]
fn a_pending_snapshot_is_deleted_at_once_though_the_store_is_away() {
    let mut objectd = Objectd::start();
    let mut daemon = start(&objectd, "upload = false");
    let mut load = loaded(&daemon);
    load.run(2000);
    load.drain();
    objectd.kill();
    daemon.begin_snapshots(&[("disk", "snap")]);
    let pending = Request::DescribeSnapshot { snapshot_id: "snap".parse().unwrap() };
    assert!(matches!(daemon.ask(&pending), Reply::Snapshot(_)));
    std::thread::sleep(Duration::from_millis(300));
    daemon.delete_snapshot("snap");
    assert!(matches!(daemon.ask(&pending), Reply::Error { .. }));
    // Nothing of it is held any more: its room in the log is used again.
    for _ in 0..20 {
        load.run(2000);
    }
    load.drain();
    let allocated = || daemon.describe("disk").allocated_bytes;
    eventually("what it needed of the log is free again", || allocated() < 12 * BLOCKS * 4096);
    load.verify();
    objectd.resume();
    daemon.take_snapshot("disk", "next");
    daemon.delete_snapshot("next");
    daemon.kill_and_restart();
    load.disk.reconnect();
    load.verify();
    eventually("no snapshot is in the store", || objectd.list("snapshots/").is_empty());
    drop(load);
    daemon.detach("disk");
    daemon.delete_volume("disk");
    eventually("nothing at all is in the store", || objectd.list("").is_empty());
}

#[test]
fn what_is_written_arrives_in_time_and_the_manifest_names_it() {
    let objectd = Objectd::start();
    let daemon = start(&objectd, "rpo_seconds = 2");
    let mut load = loaded(&daemon);
    load.run(300);
    load.drain();
    eventually("it counts as dirty", || metrics(&daemon).dirty_bytes > 0);
    eventually("nothing is dirty", || metrics(&daemon).dirty_bytes == 0);
    assert_eq!(metrics(&daemon).rpo_seconds, 0);
    assert!(!objectd.list("segments/").is_empty());
    eventually("the manifest names the log", || {
        committed(&objectd).is_some_and(|m| !m["suffix"].as_array().unwrap().is_empty() || !m["map"].is_null())
    });
    // Overwritten again and again: at no time does the manifest name what is not there.
    let until = Instant::now() + Duration::from_secs(8);
    while Instant::now() < until {
        load.run(4000);
        committed(&objectd);
    }
    load.verify();
    drop(load);
    daemon.detach("disk");
    daemon.delete_volume("disk");
    eventually("the store is empty", || objectd.list("").is_empty());
}

#[test]
fn an_outage_is_not_an_error_and_is_made_up_for() {
    let mut objectd = Objectd::start();
    let mut daemon = start(&objectd, "rpo_seconds = 1");
    let mut load = loaded(&daemon);
    load.run(2000);
    eventually("a manifest", || committed(&objectd).is_some());
    objectd.kill();
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        load.run(500);
        std::thread::sleep(Duration::from_millis(20));
    }
    eventually("health tells of it", || daemon.describe("disk").health == VolumeHealth::Degraded);
    let dirty = metrics(&daemon).dirty_bytes;
    assert!(dirty >= 16 * MIB, "{dirty}");
    // A restart without the store: served all the same.
    load.submit();
    daemon.kill_and_restart();
    load.disk.reconnect();
    load.run(500);
    objectd.resume();
    load.drain();
    eventually("all is in the store", || metrics(&daemon).dirty_bytes == 0);
    eventually("health is well again", || daemon.describe("disk").health == VolumeHealth::Ok);
    // The daemon started without the store: the manifest must follow nevertheless.
    let first = committed(&objectd);
    load.run(100);
    load.drain();
    eventually("the manifest follows", || committed(&objectd) != first);
    load.verify();
    assert_eq!(metrics(&daemon).errors, 0);
}

#[test]
fn writers_wait_at_the_quota_and_go_on() {
    let mut objectd = Objectd::start();
    // 128 MiB is the least that is taken.
    let daemon = start(&objectd, "rpo_seconds = 1\ndirty_quota_bytes = 1048576");
    let mut load = loaded(&daemon);
    load.run(100);
    objectd.kill();
    let mut waiting = false;
    let deadline = Instant::now() + Duration::from_secs(60);
    // As large as they come, to be there soon.
    let mib = vec![0x5a; MIB as usize];
    load.drain();
    let mut disk = load.disk;
    while !waiting {
        assert!(Instant::now() < deadline, "it never waits: {:?}", metrics(&daemon));
        disk.poke(DATA, &mib);
        disk.submit(0, 0, WRITE, 8 * MIB / 512, DATA, MIB as u32);
        let patience = Instant::now() + Duration::from_secs(3);
        let mut answered = false;
        while !answered && Instant::now() < patience {
            disk.wait_signal(0, Duration::from_millis(100));
            answered = !disk.answered(0).is_empty();
        }
        assert!(!answered || disk.status(0) == 0);
        waiting = !answered;
    }
    assert!(metrics(&daemon).dirty_bytes >= 100 * MIB);
    assert_eq!(daemon.describe("disk").health, VolumeHealth::Degraded);
    // Reads go on meanwhile.
    disk.submit(0, 1, READ, 8 * MIB / 512, DATA + 2 * MIB, 4096);
    assert_eq!(disk.wait_answers(0, 1)[0].0, 3);
    assert_eq!(disk.peek(DATA + 2 * MIB, 4096), [0x5a; 4096]);
    objectd.resume();
    assert_eq!(disk.wait_answers(0, 1)[0].0, 0);
    assert_eq!(disk.status(0), 0);
    eventually("drained", || metrics(&daemon).dirty_bytes < 16 * MIB);
    assert_eq!(metrics(&daemon).errors, 0);
}

#[test]
fn what_is_only_in_the_store_is_read_right() {
    let objectd = Objectd::start();
    let mut daemon = start(&objectd, "rpo_seconds = 1\nkeep_local_bytes = 0\ncache_bytes = 67108864");
    daemon.create_as("disk", 128 * MIB, None, true);
    let mut load = Load::new(&daemon.attach("disk", 1), 128 * MIB / 4096);
    load.stride = 1;
    load.run(load.blocks);
    load.drain();
    eventually("all is in the store", || metrics(&daemon).dirty_bytes == 0);
    // An idle volume is saved, and lets go of what the store has.
    std::thread::sleep(Duration::from_secs(7));
    load.verify();
    assert!(metrics(&daemon).remote_reads > 0, "{:?}", metrics(&daemon));
    daemon.kill_and_restart();
    load.disk.reconnect();
    load.verify();
    load.stride = 37;
    load.run(3000);
    daemon.kill_and_restart();
    load.disk.reconnect();
    load.verify();
    assert_eq!(daemon.check("disk").blocks_damaged, 0);
}

fn copy_dir(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn of_two_daemons_with_one_volume_the_later_one_writes() {
    let objectd = Objectd::start();
    let mut first = start(&objectd, "rpo_seconds = 1");
    let mut load = loaded(&first);
    load.run(500);
    load.drain();
    assert!(first.terminate());
    let (copy, stale) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    copy_dir(&first.state(), &stale.path().join("state"));
    first.restart();
    load.disk.reconnect();
    load.run(300);
    load.drain();
    copy_dir(&first.state(), &copy.path().join("state"));
    // The one with the older copy does not even open.
    let second = start_in(stale, &objectd, "rpo_seconds = 1");
    let shown = second.describe("disk");
    assert_eq!((shown.health, shown.socket), (VolumeHealth::Impaired, None));
    second.detach("disk");
    let attach =
        Request::AttachVolume { volume_id: volume("disk"), queues: 1, read_only: false, serial: String::new() };
    let reply = second.ask(&attach);
    assert!(matches!(&reply, Reply::Error { message, .. } if message.contains("out of date")), "{reply:?}");
    drop(second);
    // The one with the newer copy takes over.
    let third = start_in(copy, &objectd, "rpo_seconds = 1");
    let shown = third.describe("disk");
    assert_eq!(shown.health, VolumeHealth::Ok, "{shown:?}");
    let mut theirs = Frontend::connect(&shown.socket.unwrap(), 1, F_FLUSH);
    assert_eq!(theirs.write(0, &[9; 4096]), 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while load.disk.write(0, &[8; 4096]) == 0 {
        assert!(Instant::now() < deadline, "the first is never fenced");
        std::thread::sleep(Duration::from_millis(50));
    }
    let shown = first.describe("disk");
    assert_eq!(shown.health, VolumeHealth::Impaired);
    assert!(shown.fault.as_ref().is_some_and(|fault| fault.contains("taken the volume over")), "{shown:?}");
    assert_eq!(theirs.read(0, 4096), [9; 4096]);
    assert_eq!(theirs.run(FLUSH, 0, 0, 0), 0);
    eventually("the new owner's manifest", || committed(&objectd).is_some_and(|m| m["epoch"].as_u64() > Some(2)));
    assert_eq!(third.check("disk").blocks_damaged, 0);
}

#[test]
fn what_a_detached_volume_has_alone_goes_to_the_store() {
    let mut objectd = Objectd::start();
    let shared = tempfile::tempdir().unwrap();
    // No segment is uploaded for its age.
    let more = format!("rpo_seconds = 100000\nkey_file = '{}/key'", shared.path().display());
    let mut daemon = start(&objectd, &more);
    let mut load = loaded(&daemon);
    load.run(700);
    load.drain();
    // A few of the requests are flushes.
    assert!(daemon.describe("disk").dirty_bytes >= 600 * 4096, "{:?}", daemon.describe("disk"));
    daemon.detach("disk");
    eventually("the first is settled", || daemon.describe("disk").dirty_bytes == 0);
    // While the store is away the volume may be attached and detached as ever, and says what would be lost.
    let socket = daemon.attach("disk", 1);
    load.disk = Frontend::connect(&socket, 1, F_FLUSH | EVENT_IDX);
    objectd.kill();
    load.run(300);
    load.drain();
    daemon.detach("disk");
    for _ in 0..3 {
        assert!(daemon.describe("disk").dirty_bytes >= 250 * 4096, "{:?}", daemon.describe("disk"));
        let socket = daemon.attach("disk", 1);
        load.disk = Frontend::connect(&socket, 1, F_FLUSH | EVENT_IDX);
        load.run(100);
        load.verify();
        daemon.detach("disk");
    }
    // Nor does the daemon's end make it forget.
    daemon.kill_and_restart();
    daemon.connect();
    assert!(daemon.describe("disk").dirty_bytes >= 250 * 4096, "{:?}", daemon.describe("disk"));
    objectd.resume();
    eventually("all is settled", || daemon.describe("disk").dirty_bytes == 0);
    daemon.kill_and_restart();
    daemon.connect();
    assert_eq!(daemon.describe("disk").dirty_bytes, 0, "settled for good");
    assert_eq!(versions(&daemon.export_volume("disk")), load.sent);
    // What a volume is rebuilt from has all of it.
    let other = start(&objectd, &more);
    let restored = other.ask(&Request::RestoreVolume { volume_id: volume("disk") });
    assert!(matches!(restored, Reply::Volume(_)), "{restored:?}");
    assert_eq!(versions(&other.export_volume("disk")), load.sent);
}
