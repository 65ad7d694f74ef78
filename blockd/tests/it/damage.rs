//! Bytes that are not what was written, objects that are gone, disks that are full.

use crate::daemon::{Daemon, error_kind, eventually, files, snapshot, volume};
use crate::frontend::*;
use crate::load::block_bytes;
use hive_blockd_api::{ErrorKind, Limits, NewSnapshot, Reply, Request, VolumeHealth};
use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const MIB: u64 = 1 << 20;

pub fn fill(disk: &mut Frontend, blocks: u64, version: u32) {
    for block in 0..blocks {
        assert_eq!(disk.write(block * 4096, &block_bytes(block, version)), 0);
    }
    assert_eq!(disk.run(FLUSH, 0, 0, 0), 0);
}

pub fn flip(path: &Path, offset: u64) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x20], offset).unwrap();
}

/// Where a block of the file holds these bytes.
pub fn find(path: &Path, block: &[u8]) -> u64 {
    let bytes = std::fs::read(path).unwrap();
    let found = bytes.chunks(4096).position(|chunk| chunk == block);
    found.unwrap() as u64 * 4096
}

/// The status of reading one block.
fn try_read(disk: &mut Frontend, block: u64) -> u8 {
    disk.run(READ, block * 8, DATA, 4096)
}

pub fn log(daemon: &Daemon, name: &str) -> PathBuf {
    daemon.state().join(format!("volumes/{name}/log"))
}

#[test]
fn a_damaged_block_costs_that_block() {
    let mut daemon = Daemon::start();
    daemon.create("disk", 16 * MIB, None);
    let mut disk = Frontend::connect(&daemon.attach("disk", 1), 1, F_FLUSH);
    fill(&mut disk, 100, 1);
    // An idle volume is saved; what lies behind the last checkpoint would be taken for the end of the log.
    let checkpoint = daemon.state().join("volumes/disk/checkpoint");
    let saved = std::fs::read(&checkpoint).unwrap();
    eventually("it is saved", || std::fs::read(&checkpoint).unwrap() != saved);
    daemon.kill();
    let log = log(&daemon, "disk");
    flip(&log, find(&log, &block_bytes(40, 1)) + 99);
    daemon.restart();
    disk.reconnect();
    assert_eq!(try_read(&mut disk, 40), 1);
    for block in (0..100).filter(|block| *block != 40) {
        assert_eq!(disk.read(block * 4096, 4096), block_bytes(block, 1));
    }
    let report = daemon.check("disk");
    assert_eq!((report.blocks_damaged, report.blocks_checked), (1, 100), "{report:?}");
    assert!(report.damage[0].contains("block 40"), "{report:?}");
    assert!(daemon.metrics().volumes["disk"].damaged_blocks > 0);
    assert_eq!(disk.write(40 * 4096, &block_bytes(40, 2)), 0);
    assert_eq!(disk.read(40 * 4096, 4096), block_bytes(40, 2), "written anew it is well again");
    assert_eq!(daemon.check("disk").blocks_damaged, 0);
}

#[test]
fn damage_behind_the_checkpoint_costs_that_block_and_does_not_end_the_log() {
    let mut daemon = Daemon::start();
    daemon.create("disk", 16 * MIB, None);
    let mut disk = Frontend::connect(&daemon.attach("disk", 1), 1, F_FLUSH);
    let saved = std::fs::read(daemon.state().join("volumes/disk/checkpoint")).unwrap();
    fill(&mut disk, 100, 1);
    daemon.kill();
    let checkpoint = std::fs::read(daemon.state().join("volumes/disk/checkpoint")).unwrap();
    assert!(checkpoint == saved, "nothing was saved yet, all is behind the checkpoint");
    let log = log(&daemon, "disk");
    let data = find(&log, &block_bytes(40, 1));
    flip(&log, data + 99);
    // And the header of another group, which is in front of its block.
    flip(&log, find(&log, &block_bytes(70, 1)) - 4096 + 50);
    // And the segment's header.
    flip(&log, 20);
    daemon.restart();
    disk.reconnect();
    for block in (0..100).filter(|block| *block != 40) {
        assert_eq!(disk.read(block * 4096, 4096), block_bytes(block, 1), "block {block}");
    }
    assert_eq!(try_read(&mut disk, 40), 1);
    assert!(daemon.metrics().volumes["disk"].damaged_blocks > 0);
    let report = daemon.check("disk");
    assert_eq!((report.blocks_damaged, report.blocks_checked), (1, 100), "{report:?}");
    assert!(report.damage[0].contains("block 40"), "{report:?}");
    assert_eq!(disk.write(40 * 4096, &block_bytes(40, 2)), 0);
    daemon.kill_and_restart();
    disk.reconnect();
    assert_eq!(disk.read(40 * 4096, 4096), block_bytes(40, 2), "written anew it is well again");
}

#[test]
fn a_damaged_record_costs_what_it_is_of_and_is_left_as_it_is() {
    let mut daemon = Daemon::start();
    for name in ["bad", "good"] {
        daemon.create(name, 16 * MIB, None);
        let mut disk = Frontend::connect(&daemon.attach(name, 1), 1, F_FLUSH);
        fill(&mut disk, 10, 1);
        daemon.take_snapshot(name, &format!("snap-of-{name}"));
    }
    daemon.kill();
    let paths = ["volumes/bad.json", "snapshots/snap-of-bad.json"].map(|name| daemon.state().join(name));
    let whole = paths.clone().map(|path| std::fs::read(path).unwrap());
    // Not what a record looks like, and what one of this version looks like.
    std::fs::write(&paths[0], &whole[0][..whole[0].len() / 2]).unwrap();
    std::fs::write(&paths[1], b"\xff\x00").unwrap();
    let damaged = paths.clone().map(|path| std::fs::read(path).unwrap());
    for _ in 0..2 {
        daemon.restart();
        let mut disk = Frontend::connect(&daemon.describe("good").socket.unwrap(), 1, F_FLUSH);
        assert_eq!(disk.read(0, 4096), block_bytes(0, 1));
        assert_eq!(daemon.export_snapshot("snap-of-good")[..4096], block_bytes(0, 1));
        let told = |fault: Option<String>, file: &str| fault.is_some_and(|fault| fault.contains(file));
        let Reply::Volumes(volumes) = daemon.ask(&Request::ListVolumes) else { panic!("no list") };
        assert_eq!(volumes.len(), 2);
        assert_eq!((&volumes[0].volume_id, volumes[0].health), (&volume("bad"), VolumeHealth::Impaired));
        assert!(told(volumes[0].fault.clone(), "volumes/bad.json"), "{volumes:?}");
        let Reply::Snapshots(snapshots) = daemon.ask(&Request::ListSnapshots) else { panic!("no list") };
        let shown = snapshots.iter().find(|shown| shown.snapshot_id == snapshot("snap-of-bad")).unwrap();
        assert!(told(shown.fault.clone(), "snapshots/snap-of-bad.json"), "{shown:?}");
        let (volume_id, snapshot_id) = (volume("bad"), snapshot("snap-of-bad"));
        let limits = Limits::default();
        let create = Request::CreateVolume {
            volume_id: volume_id.clone(),
            size_bytes: MIB,
            snapshot_id: None,
            encrypted: false,
            limits,
        };
        let take = Request::CreateSnapshots {
            snapshots: vec![NewSnapshot { volume_id: volume("good"), snapshot_id: snapshot_id.clone() }],
        };
        let clone = Request::CreateVolume {
            volume_id: volume("clone"),
            size_bytes: 16 * MIB,
            snapshot_id: Some(snapshot_id.clone()),
            encrypted: false,
            limits,
        };
        for request in [
            Request::CheckVolume { volume_id: volume_id.clone() },
            Request::DeleteVolume { volume_id: volume_id.clone() },
            Request::DetachVolume { volume_id: volume_id.clone() },
            Request::RestoreVolume { volume_id },
            create,
            Request::DeleteSnapshot { snapshot_id: snapshot_id.clone() },
            Request::DescribeSnapshot { snapshot_id },
            take,
            clone,
        ] {
            let reply = daemon.ask(&request);
            let named = |m: &str| m.contains("bad.json") && m.contains("damaged");
            assert!(matches!(&reply, Reply::Error { message, .. } if named(message)), "{request:?}: {reply:?}");
        }
        daemon.kill();
        assert_eq!(paths.clone().map(|path| std::fs::read(path).unwrap()), damaged);
    }
    // Nothing of them was lost meanwhile, though others were deleted.
    daemon.restart();
    daemon.detach("good");
    daemon.delete_volume("good");
    daemon.delete_snapshot("snap-of-good");
    eventually("what was the others' is gone", || {
        let objects = files(&daemon.state().join("store/objects/segments"));
        let owners: BTreeSet<_> = objects.iter().filter_map(|path| path.parent()).collect();
        owners.len() == 1
    });
    daemon.kill();
    for (path, bytes) in paths.iter().zip(&whole) {
        std::fs::write(path, bytes).unwrap();
    }
    daemon.restart();
    let mut disk = Frontend::connect(&daemon.describe("bad").socket.unwrap(), 1, F_FLUSH);
    assert_eq!(disk.read(0, 4096), block_bytes(0, 1));
    assert_eq!(daemon.export_snapshot("snap-of-bad")[..4096], block_bytes(0, 1));
}

/// Whose map cannot be read holds nothing that is known of. It is not lost for that.
#[test]
fn nothing_is_removed_from_the_store_while_a_map_cannot_be_read() {
    let mut daemon = Daemon::start();
    daemon.create("disk", 16 * MIB, None);
    let mut disk = Frontend::connect(&daemon.attach("disk", 1), 1, F_FLUSH);
    fill(&mut disk, 10, 1);
    daemon.take_snapshot("disk", "snap");
    daemon.create("clone", 16 * MIB, Some("snap"));
    drop(disk);
    daemon.detach("disk");
    daemon.kill();
    let maps = ["snapshots/snap.map", "volumes/clone/checkpoint"].map(|name| daemon.state().join(name));
    let whole = maps.clone().map(|path| std::fs::read(path).unwrap());
    let damage = |which: usize| std::fs::write(&maps[which], &whole[which][..whole[which].len() / 2]).unwrap();
    let segments = daemon.stored("segments");
    assert!(!segments.is_empty());
    damage(0);
    damage(1);
    daemon.restart();
    daemon.delete_volume("disk");
    eventually("the volume is removed as far as it can be", || daemon.stored("volumes").is_empty());
    daemon.kill();
    // Only the clone cannot say any more what it needs, and the snapshot goes too.
    std::fs::write(&maps[0], &whole[0]).unwrap();
    daemon.restart();
    assert_eq!(daemon.export_snapshot("snap")[..4096], block_bytes(0, 1));
    daemon.delete_snapshot("snap");
    eventually("so is the snapshot", || daemon.stored("snapshots").is_empty());
    daemon.kill();
    assert_eq!(daemon.stored("segments"), segments);
    std::fs::write(&maps[1], &whole[1]).unwrap();
    daemon.restart();
    assert_eq!(daemon.export_volume("clone")[..4096], block_bytes(0, 1));
    daemon.delete_volume("clone");
    daemon.await_empty_store();
}

#[test]
fn the_stores_copy_heals_what_is_damaged_here() {
    let mut daemon = Daemon::start();
    daemon.create("disk", 16 * MIB, None);
    let mut disk = Frontend::connect(&daemon.attach("disk", 1), 1, F_FLUSH);
    fill(&mut disk, 200, 1);
    daemon.take_snapshot("disk", "snap");
    daemon.kill();
    let log = log(&daemon, "disk");
    for block in [3, 77, 150] {
        flip(&log, find(&log, &block_bytes(block, 1)) + 5);
    }
    // The index and the checks of the first segment: blocks 1 to 31 of its slot.
    for block in 1..32 {
        flip(&log, block * 4096 + 2048);
    }
    daemon.restart();
    disk.reconnect();
    for block in 0..200 {
        assert_eq!(disk.read(block * 4096, 4096), block_bytes(block, 1), "block {block}");
    }
    assert_eq!(daemon.check("disk").blocks_damaged, 0);
}

#[test]
fn a_damaged_checkpoint_stops_its_volume_only() {
    let mut daemon = Daemon::start();
    for name in ["bad", "good"] {
        daemon.create(name, 16 * MIB, None);
        let mut disk = Frontend::connect(&daemon.attach(name, 1), 1, F_FLUSH);
        fill(&mut disk, 10, 1);
        daemon.take_snapshot(name, &format!("snap-of-{name}"));
    }
    assert!(daemon.terminate());
    let checkpoint = daemon.state().join("volumes/bad/checkpoint");
    flip(&checkpoint, 30);
    daemon.restart();
    let shown = daemon.describe("bad");
    assert_eq!((shown.health, shown.socket), (VolumeHealth::Impaired, None));
    daemon.detach("bad");
    let attach = Request::AttachVolume { volume_id: volume("bad"), queues: 1, read_only: false, serial: String::new() };
    let reply = daemon.ask(&attach);
    let told = |m: &str| m.contains("volume bad") && m.contains("checkpoint") && m.contains("not to be believed");
    assert!(matches!(&reply, Reply::Error { message, .. } if told(message)), "{reply:?}");
    let mut disk = Frontend::connect(&daemon.describe("good").socket.unwrap(), 1, F_FLUSH);
    assert_eq!(disk.read(0, 4096), block_bytes(0, 1));
    // What was saved of it elsewhere still is.
    assert_eq!(daemon.export_snapshot("snap-of-bad")[..4096], block_bytes(0, 1));
    daemon.delete_volume("bad");
}

#[test]
fn damaged_and_missing_objects_are_reported_and_cost_what_they_held() {
    let mut daemon = Daemon::start();
    let blocks = 40 * MIB / 4096;
    let image: Vec<u8> = (0..blocks).flat_map(|block| block_bytes(block, 9)).collect();
    daemon.import("image", &image);
    let mut objects = files(&daemon.state().join("store/objects/segments"));
    objects.sort();
    assert_eq!(objects.len(), 3);
    daemon.kill();
    flip(&objects[0], find(&objects[0], &block_bytes(20, 9)) + 1000);
    let truncated = File::options().write(true).open(&objects[1]).unwrap();
    let whole = std::fs::read(&objects[1]).unwrap();
    truncated.set_len(9 * MIB).unwrap();
    daemon.restart();
    for name in ["disk", "other"] {
        daemon.create(name, 40 * MIB, Some("image"));
    }
    let mut disk = Frontend::connect(&daemon.attach("disk", 1), 1, F_FLUSH);
    assert_eq!((try_read(&mut disk, 20), try_read(&mut disk, 19), try_read(&mut disk, 21)), (1, 0, 0));
    assert_eq!((try_read(&mut disk, 5000), try_read(&mut disk, 7500), try_read(&mut disk, blocks - 1)), (0, 1, 0));
    let report = daemon.check("disk");
    assert!(report.blocks_damaged > 1000 && report.blocks_damaged < 3000, "{report:?}");
    assert_eq!(report.blocks_checked, blocks);
    assert!(report.damage[0].contains("block 20"), "{report:?}");
    // Gone altogether; then it is back.
    std::fs::remove_file(&objects[1]).unwrap();
    let mut other = Frontend::connect(&daemon.attach("other", 1), 1, F_FLUSH);
    assert_eq!((try_read(&mut other, 7700), try_read(&mut other, 0)), (1, 0));
    assert_eq!(other.write(7700 * 4096, &[1; 4096]), 0);
    assert_eq!(other.read(7700 * 4096, 4096), [1; 4096]);
    std::fs::write(&objects[1], whole).unwrap();
    assert_eq!(disk.read(7500 * 4096, 4096), block_bytes(7500, 9));
    assert_eq!(daemon.check("disk").blocks_damaged, 1);
}

/// A file system of so many bytes, unmounted when dropped.
struct Small(tempfile::TempDir);

impl Small {
    fn mount(mib: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"]).arg(dir.path());
        let mounted = mount.status().unwrap().success();
        if !mounted {
            eprintln!("not allowed to mount a file system: skipped");
        }
        mounted.then_some(Self(dir))
    }

    fn remount(&self, option: &str) {
        let status = Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(self.0.path()).status();
        assert!(status.unwrap().success());
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn on_a_full_disk_writers_wait_and_go_on() {
    let Some(small) = Small::mount(160) else { return };
    let dir = tempfile::tempdir_in(small.0.path()).unwrap();
    let filler = small.0.path().join("filler");
    std::fs::write(&filler, vec![1; 100 << 20]).unwrap();
    let daemon = Daemon::start_in(dir);
    daemon.create("disk", 64 * MIB, None);
    let mut disk = Frontend::connect(&daemon.attach("disk", 1), 1, F_FLUSH);
    let (mut block, mut waiting) = (0, false);
    let deadline = Instant::now() + Duration::from_secs(30);
    while !waiting {
        assert!(Instant::now() < deadline && block < 60, "it never waits");
        disk.poke(DATA, &vec![block as u8 + 1; MIB as usize]);
        disk.submit(0, 0, WRITE, block * MIB / 512, DATA, MIB as u32);
        let patience = Instant::now() + Duration::from_secs(2);
        let mut answered = false;
        while !answered && Instant::now() < patience {
            disk.wait_signal(0, Duration::from_millis(50));
            answered = !disk.answered(0).is_empty();
        }
        assert!(!answered || disk.status(0) == 0, "an error instead of waiting");
        waiting = !answered;
        block += u64::from(answered);
    }
    eventually("health tells of it", || daemon.describe("disk").health == VolumeHealth::Degraded);
    disk.submit(0, 1, READ, 0, DATA + 2 * MIB, 4096);
    assert_eq!(disk.wait_answers(0, 1)[0].0, 3, "reads go on");
    assert_eq!(disk.peek(DATA + 2 * MIB, 4096), [1; 4096]);
    std::fs::remove_file(&filler).unwrap();
    assert_eq!(disk.wait_answers(0, 1)[0].0, 0);
    assert_eq!(disk.status(0), 0);
    for written in 0..=block {
        assert_eq!(disk.read(written * MIB, 4096), vec![written as u8 + 1; 4096]);
    }
    eventually("health is well again", || daemon.describe("disk").health == VolumeHealth::Ok);
    assert_eq!(daemon.metrics().volumes["disk"].errors, 0);
}

#[test]
fn a_read_only_store_stops_snapshots_and_not_the_volume() {
    let Some(small) = Small::mount(160) else { return };
    let store = small.0.path().join("store");
    let more = format!("upload = true\nrpo_seconds = 1\n[store]\nkind = 'dir'\npath = '{}'\n", store.display());
    let mut daemon = Daemon::start_with(tempfile::tempdir().unwrap(), &more);
    daemon.create("disk", 16 * MIB, None);
    let mut disk = Frontend::connect(&daemon.attach("disk", 1), 1, F_FLUSH);
    fill(&mut disk, 20, 1);
    daemon.take_snapshot("disk", "before");
    small.remount("ro");
    fill(&mut disk, 20, 2);
    daemon.begin_snapshots(&[("disk", "meanwhile")]);
    let dirty = |daemon: &Daemon| daemon.metrics().volumes["disk"].dirty_bytes;
    eventually("health tells of it", || daemon.describe("disk").health == VolumeHealth::Degraded);
    assert!(dirty(&daemon) > 0);
    assert_eq!(disk.read(4096, 4096), block_bytes(1, 2));
    small.remount("rw");
    eventually("all is in the store", || dirty(&daemon) == 0);
    daemon.await_snapshot("meanwhile");
    assert_eq!(daemon.export_snapshot("meanwhile")[4096..8192], block_bytes(1, 2));
    // Two daemons cannot share a state directory.
    daemon.restart_expecting_failure("another daemon uses");
    assert!(daemon.is_running());
    let missing = Request::DescribeVolume { volume_id: volume("none") };
    assert_eq!(error_kind(&daemon.ask(&missing)), Some(ErrorKind::NotFound));
}
