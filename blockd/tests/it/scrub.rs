//! Scrubbing finds damage that nobody has read yet, in a log and in the store, and goes on where it was.

use crate::daemon::{Daemon, eventually, files};
use crate::damage::{fill, find, flip, log};
use crate::frontend::*;
use crate::load::block_bytes;
use hive_blockd_api::VolumeHealth;
use serde_json::{Value, json};
use std::path::PathBuf;

const MIB: u64 = 1 << 20;
const BLOCKS: u64 = 100;

/// Fast enough for a test.
fn start() -> Daemon {
    Daemon::start_with(tempfile::tempdir().unwrap(), "scrub_mib_per_second = 1000\n")
}

fn await_pass(daemon: &Daemon) {
    eventually("everything is scrubbed", || {
        let scrub = daemon.metrics().scrub;
        scrub.pass_unix_s > 0 && !scrub.is_under_way
    });
}

/// What the daemon remembers, changed while it is dead.
fn with_state(daemon: &Daemon, change: impl FnOnce(&mut Value)) {
    let path = daemon.state().join("scrub.json");
    let mut state: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    change(&mut state);
    std::fs::write(path, serde_json::to_vec(&state).unwrap()).unwrap();
}

/// Start the daemon again at a time when the next pass is due.
fn restart_when_due(daemon: &mut Daemon) {
    with_state(daemon, |state| state["pass_unix_s"] = json!(1));
    daemon.restart();
    eventually("a new pass", || daemon.metrics().scrub.pass_unix_s > 1);
    await_pass(daemon);
}

/// The object of the store that holds these bytes.
fn object_with(daemon: &Daemon, block: &[u8]) -> PathBuf {
    let mut objects = files(&daemon.state().join("store/objects/segments")).into_iter();
    objects.find(|path| std::fs::read(path).unwrap().chunks(4096).any(|chunk| chunk == block)).unwrap()
}

#[test]
fn a_flipped_bit_in_the_store_is_repaired_from_the_log() {
    let mut daemon = start();
    daemon.create_as("disk", 16 * MIB, None, true);
    daemon.create("plain", 16 * MIB, None);
    for name in ["disk", "plain"] {
        let mut disk = Frontend::connect(&daemon.attach(name, 1), 1, F_FLUSH);
        fill(&mut disk, BLOCKS, 1);
        daemon.take_snapshot(name, &format!("snap-of-{name}"));
    }
    let objects = files(&daemon.state().join("store/objects/segments"));
    let whole: Vec<Vec<u8>> = objects.iter().map(|path| std::fs::read(path).unwrap()).collect();
    // A block of data; the header; the index; all of it.
    for damage in 0..4u64 {
        daemon.kill();
        for (object, bytes) in objects.iter().zip(&whole) {
            match damage {
                0 => flip(object, bytes.len() as u64 - 3 * 4096 + 7),
                1 => flip(object, 30),
                2 => flip(object, 4096 * 3 + 8),
                _ => std::fs::remove_file(object).unwrap(),
            }
        }
        restart_when_due(&mut daemon);
        for name in ["disk", "plain"] {
            let (shown, snapshot) = (daemon.describe(name), daemon.describe_snapshot(&format!("snap-of-{name}")));
            assert_eq!((shown.damaged_blocks, shown.health), (0, VolumeHealth::Ok), "{shown:?}");
            assert_eq!(snapshot.damaged_blocks, 0);
        }
        let scrub = daemon.metrics().scrub;
        assert!(scrub.repaired_blocks >= 2 && scrub.damaged_blocks == 0, "{scrub:?}");
        for name in ["disk", "plain"] {
            let bytes = daemon.export_snapshot(&format!("snap-of-{name}"));
            for block in 0..BLOCKS {
                assert_eq!(bytes[block as usize * 4096..][..4096], block_bytes(block, 1));
            }
        }
    }
}

#[test]
fn a_flipped_bit_in_a_log_is_repaired_from_the_store() {
    let mut daemon = start();
    daemon.create("attached", 16 * MIB, None);
    daemon.create_as("detached", 16 * MIB, None, true);
    for name in ["attached", "detached"] {
        let mut disk = Frontend::connect(&daemon.attach(name, 1), 1, F_FLUSH);
        fill(&mut disk, BLOCKS, 1);
        daemon.take_snapshot(name, &format!("snap-of-{name}"));
        // Half of it is dead by now, and the store has it as it was.
        fill(&mut disk, BLOCKS / 2, 2);
        assert_eq!(daemon.check(name).blocks_damaged, 0);
    }
    daemon.detach("detached");
    daemon.kill();
    let logs = ["attached", "detached"].map(|name| log(&daemon, name));
    let whole = logs.clone().map(|log| std::fs::read(log).unwrap());
    for log in &logs {
        // Of the first segment: block 90, by its place behind 32 blocks, each with a header.
        flip(log, (32 + 2 * 90 + 1) * 4096 + 99);
        flip(log, 4096 * 4 + 100);
        flip(log, 20);
    }
    restart_when_due(&mut daemon);
    for name in ["attached", "detached"] {
        let shown = daemon.describe(name);
        assert_eq!((shown.damaged_blocks, shown.health), (0, VolumeHealth::Ok), "{shown:?}");
    }
    assert!(daemon.metrics().scrub.repaired_blocks > 2, "{:?}", daemon.metrics().scrub);
    daemon.kill();
    // What is in front need not be the same, for the store knows no headers of groups.
    let blocks = 32 * 4096..(32 + 2 * BLOCKS as usize) * 4096;
    for (log, whole) in logs.iter().zip(&whole) {
        assert!(std::fs::read(log).unwrap()[blocks.clone()] == whole[blocks.clone()]);
    }
    // Where neither is whole nothing is written over: a damaged block stays where it is damaged, in both.
    for (log, whole) in logs.iter().zip(&whole) {
        let block = &whole[(32 + 2 * 95 + 1) * 4096..][..4096];
        flip(log, (32 + 2 * 95 + 1) * 4096 + 9);
        let object = object_with(&daemon, block);
        flip(&object, find(&object, block) + 10);
    }
    let damaged = logs.clone().map(|log| std::fs::read(log).unwrap());
    restart_when_due(&mut daemon);
    for name in ["attached", "detached"] {
        let shown = daemon.describe(name);
        assert_eq!((shown.damaged_blocks, shown.health), (2, VolumeHealth::Impaired), "{shown:?}");
    }
    daemon.kill();
    for (log, damaged) in logs.iter().zip(&damaged) {
        assert!(std::fs::read(log).unwrap()[blocks.clone()] == damaged[blocks.clone()]);
    }
}

#[test]
fn a_flipped_bit_in_a_log_is_found_though_nobody_reads_it() {
    let mut daemon = start();
    for (name, attached) in [("attached", true), ("detached", false)] {
        daemon.create(name, 16 * MIB, None);
        let mut disk = Frontend::connect(&daemon.attach(name, 1), 1, F_FLUSH);
        fill(&mut disk, BLOCKS, 1);
        // Reading all of it saves its map.
        assert_eq!(daemon.check(name).blocks_damaged, 0);
        if !attached {
            drop(disk);
            daemon.detach(name);
        }
    }
    daemon.create("whole", 16 * MIB, None);
    daemon.kill();
    for name in ["attached", "detached"] {
        let log = log(&daemon, name);
        flip(&log, find(&log, &block_bytes(40, 1)) + 99);
    }
    restart_when_due(&mut daemon);
    for name in ["attached", "detached"] {
        let shown = daemon.describe(name);
        assert_eq!((shown.damaged_blocks, shown.health), (1, VolumeHealth::Impaired), "{shown:?}");
        assert!(shown.fault.as_ref().is_some_and(|fault| fault.contains("of the log")), "{shown:?}");
        // The same is said by who looks at once.
        assert_eq!(daemon.check(name).blocks_damaged, 1);
    }
    let shown = daemon.describe("whole");
    assert_eq!((shown.damaged_blocks, shown.health), (0, VolumeHealth::Ok), "{shown:?}");
    assert_eq!(daemon.metrics().scrub.damaged_blocks, 2);
}

#[test]
fn a_pass_goes_on_where_it_was() {
    let mut daemon = start();
    for (number, name) in ["a", "b", "c"].into_iter().enumerate() {
        daemon.import(name, &vec![number as u8 + 1; MIB as usize]);
    }
    await_pass(&daemon);
    let objects: Vec<PathBuf> = [1, 3].map(|byte| object_with(&daemon, &[byte; 4096])).into();
    daemon.kill();
    for (object, byte) in objects.iter().zip([1u8, 3]) {
        flip(object, find(object, &[byte; 4096]));
    }
    // Killed behind the second of them.
    with_state(&daemon, |state| {
        (state["pass_unix_s"], state["is_under_way"]) = (json!(1), json!(true));
        (state["subject"], state["next_seq"]) = (json!({"snapshot": "b"}), json!(u32::MAX));
    });
    daemon.restart();
    await_pass(&daemon);
    let damaged = |daemon: &Daemon| ["a", "b", "c"].map(|name| daemon.describe_snapshot(name).damaged_blocks);
    assert_eq!(damaged(&daemon), [0, 0, 1]);
    daemon.kill();
    restart_when_due(&mut daemon);
    assert_eq!(damaged(&daemon), [1, 0, 1]);
    // Of what is deleted nothing is said any more after the next.
    daemon.delete_snapshot("c");
    daemon.kill();
    restart_when_due(&mut daemon);
    assert_eq!(daemon.metrics().scrub.damaged_blocks, 1);
}

#[test]
fn volumes_that_are_written_scrub_well() {
    let mut daemon = start();
    daemon.create("disk", 4 * MIB, None);
    let mut load = crate::load::Load::new(&daemon.attach("disk", 1), 1024);
    let mut passing = 0;
    for round in 0..3 {
        load.run(4000);
        load.drain();
        daemon.take_snapshot("disk", &format!("snap-{round}"));
        daemon.kill();
        with_state(&daemon, |state| state["pass_unix_s"] = json!(1));
        daemon.restart();
        load.disk.reconnect();
        // Segments are emptied, freed and used again under the reader's hands.
        eventually("a pass under load", || {
            load.run(3000);
            passing += 1;
            daemon.take_snapshot("disk", &format!("passing-{passing}"));
            daemon.delete_snapshot(&format!("passing-{passing}"));
            let scrub = daemon.metrics().scrub;
            scrub.pass_unix_s > 1 && !scrub.is_under_way
        });
        assert_eq!(daemon.metrics().scrub.damaged_blocks, 0, "{:?}", daemon.describe("disk"));
    }
    load.verify();
}
