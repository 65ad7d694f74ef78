//! Snapshots of volumes: their instant, what they share, what is left when they are gone.

use crate::daemon::{Daemon, error_kind, eventually, snapshot, volume};
use crate::frontend::*;
use crate::load::{Load, block_bytes, version_of, versions};
use hive_blockd_api::{ErrorKind, Limits, NewSnapshot, Reply, Request, SnapshotState};
use std::io::Write;
use std::time::Duration;

const MIB: u64 = 1 << 20;
const BLOCKS: u64 = 1024;

/// A daemon with one attached volume, and a writer at it.
fn loaded(daemon: &Daemon, name: &str, encrypted: bool) -> Load {
    daemon.create_as(name, BLOCKS * 4096, None, encrypted);
    Load::new(&daemon.attach(name, 1), BLOCKS)
}

/// Take a snapshot while writing; it must hold what was answered before the call and nothing sent after its answer.
fn snapshot_under_load(daemon: &Daemon, load: &mut Load, of: &str, name: &str) -> (Vec<u32>, Vec<u32>) {
    load.run(300);
    load.submit();
    let before = load.answered.clone();
    std::thread::scope(|scope| {
        let asking = scope.spawn(|| daemon.begin_snapshots(&[(of, name)]));
        while !asking.is_finished() {
            load.submit();
            load.reap(1);
        }
    });
    let after = load.sent.clone();
    load.run(300);
    (before, after)
}

fn assert_between(image: &[u8], (before, after): &(Vec<u32>, Vec<u32>)) {
    for (block, version) in versions(image).into_iter().enumerate() {
        let (least, most) = (before[block], after[block]);
        assert!((least..=most).contains(&version), "block {block}: version {version}, not {least} to {most}");
    }
}

#[test]
fn snapshots_under_load_hold_their_instant_whatever_is_deleted_around_them() {
    let mut daemon = Daemon::start();
    let mut load = loaded(&daemon, "disk", false);
    let mut taken: Vec<_> = (0..6)
        .map(|i| {
            let name = format!("snap-{i}");
            let bounds = snapshot_under_load(&daemon, &mut load, "disk", &name);
            (name, bounds)
        })
        .collect();
    for (name, bounds) in &taken {
        daemon.await_snapshot(name);
        assert_between(&daemon.export_snapshot(name), bounds);
    }
    for (name, _) in &taken {
        daemon.create(&format!("clone-of-{name}"), 2 * BLOCKS * 4096, Some(name));
    }
    // The volume goes on, its log is cleaned, snapshots go in an order of no meaning; each clone and each snapshot that is left
    // stays what it was.
    for victim in [3, 0, 3, 1, 0] {
        let (name, bounds) = taken.remove(victim);
        daemon.delete_snapshot(&name);
        load.run(3000);
        let mut expected = daemon.export_volume(&format!("clone-of-{name}"));
        assert!(expected.split_off((BLOCKS * 4096) as usize).iter().all(|byte| *byte == 0), "the larger clone's end");
        assert_between(&expected, &bounds);
        for (name, bounds) in &taken {
            assert_between(&daemon.export_snapshot(name), bounds);
        }
    }
    load.drain();
    daemon.kill_and_restart();
    load.disk.reconnect();
    load.verify();
    let (name, bounds) = &taken[0];
    assert_between(&daemon.export_snapshot(name), bounds);
    assert_between(&daemon.export_volume(&format!("clone-of-{name}"))[..(BLOCKS * 4096) as usize], bounds);
}

#[test]
fn a_snapshot_adds_to_the_store_what_has_changed() {
    let daemon = Daemon::start();
    daemon.create("disk", 64 * MIB, None);
    let mut disk = Frontend::connect(&daemon.attach("disk", 1), 1, F_FLUSH);
    for i in 0..24 {
        let bytes: Vec<u8> = (0..MIB).map(|byte| (byte / 7 + i) as u8).collect();
        assert_eq!(disk.write(i * MIB, &bytes), 0);
    }
    daemon.take_snapshot("disk", "first");
    let stored = |daemon: &Daemon| daemon.stored("segments").values().sum::<u64>();
    let first = stored(&daemon);
    assert!(first >= 24 * MIB, "{first}");
    assert_eq!(disk.write(0, &[1; 4096]), 0);
    daemon.take_snapshot("disk", "second");
    let second = stored(&daemon) - first;
    assert!((4096..2 * MIB).contains(&second), "one block takes {second} bytes");
    let shared = daemon.describe_snapshot("second").stored_bytes;
    assert!(shared >= first, "{shared}");
    let keys = daemon.stored("segments");
    daemon.take_snapshot("disk", "third");
    daemon.delete_snapshot("first");
    std::thread::sleep(Duration::from_millis(300));
    assert!(keys.keys().all(|key| daemon.stored("segments").contains_key(key)), "the second needs all of it");
}

#[test]
fn generations_of_clones_read_right() {
    let mut daemon = Daemon::start();
    let mut load = loaded(&daemon, "gen-0", false);
    for generation in 0..4 {
        load.run(500);
        load.drain();
        let (of, name) = (format!("gen-{generation}"), format!("snap-{generation}"));
        daemon.take_snapshot(&of, &name);
        let next = format!("gen-{}", generation + 1);
        daemon.create(&next, BLOCKS * 4096, Some(&name));
        let (sent, answered) = (load.sent.clone(), load.answered.clone());
        load = Load::new(&daemon.attach(&next, 1), BLOCKS);
        (load.sent, load.answered) = (sent, answered);
        load.verify();
        daemon.detach(&of);
        daemon.delete_volume(&of);
        daemon.delete_snapshot(&name);
    }
    load.run(500);
    load.drain();
    daemon.kill_and_restart();
    load.disk.reconnect();
    load.verify();
    assert_eq!(daemon.check("gen-4").blocks_damaged, 0);
}

#[test]
fn a_detached_volume_has_snapshots_too() {
    let mut daemon = Daemon::start();
    let mut load = loaded(&daemon, "disk", false);
    load.run(700);
    load.drain();
    daemon.detach("disk");
    let new = NewSnapshot { volume_id: volume("disk"), snapshot_id: snapshot("lost") };
    daemon.begin_snapshots(&[("disk", "still")]);
    assert_eq!(
        error_kind(&daemon.ask(&Request::CreateSnapshots { snapshots: vec![new.clone(), new] })),
        Some(ErrorKind::Invalid)
    );
    daemon.await_snapshot("still");
    assert_eq!(versions(&daemon.export_snapshot("still")), load.sent);
    assert_eq!(versions(&daemon.export_volume("disk")), load.sent);
    daemon.kill_and_restart();
    assert_eq!(versions(&daemon.export_snapshot("still")), load.sent);
    let socket = daemon.attach("disk", 1);
    load.disk = Frontend::connect(&socket, 1, F_FLUSH | EVENT_IDX);
    load.run(3000);
    load.verify();
    assert!(versions(&daemon.export_snapshot("still")) != load.sent);
}

#[test]
fn snapshots_of_several_volumes_are_of_one_instant() {
    let daemon = Daemon::start();
    let disk = |name: &str| {
        daemon.create(name, MIB, None);
        Frontend::connect(&daemon.attach(name, 1), 1, F_FLUSH)
    };
    let (mut a, mut b) = (disk("a"), disk("b"));
    let (mut n, rounds) = (0u32, 25);
    for round in 0..rounds {
        let (first, second) = (format!("a-{round}"), format!("b-{round}"));
        // In either order: which is held or cut first must not matter.
        let wanted = [("a", &*first), ("b", &*second)];
        let wanted = if round % 2 == 0 { wanted } else { [wanted[1], wanted[0]] };
        std::thread::scope(|scope| {
            let asking = scope.spawn(|| daemon.begin_snapshots(&wanted));
            while !asking.is_finished() {
                n += 1;
                assert_eq!(a.write(0, &block_bytes(0, n)), 0);
                assert_eq!(b.write(0, &block_bytes(0, n)), 0);
            }
        });
    }
    assert!(n > rounds, "writes went on");
    for round in 0..rounds {
        let version = |of: &str| {
            let name = format!("{of}-{round}");
            daemon.await_snapshot(&name);
            version_of(0, &daemon.export_snapshot(&name)[..4096])
        };
        let (a, b) = (version("a"), version("b"));
        assert!(b <= a && a <= b + 1, "round {round}: b has seen {b}, a only {a}");
    }
}

#[test]
fn a_kill_right_after_the_answer_or_during_the_upload_does_not_lose_a_snapshot() {
    let mut daemon = Daemon::start();
    let mut load = loaded(&daemon, "disk", false);
    let mut taken = Vec::new();
    for i in 0..8 {
        load.run(400);
        load.drain();
        let name = format!("snap-{i}");
        daemon.begin_snapshots(&[("disk", &name)]);
        taken.push((name, load.sent.clone()));
        std::thread::sleep(Duration::from_millis(3 * i));
        daemon.kill_and_restart();
        load.disk.reconnect();
        daemon.connect();
    }
    for (name, sent) in &taken {
        daemon.await_snapshot(name);
        assert_eq!(versions(&daemon.export_snapshot(name)), *sent, "{name}");
    }
    load.verify();
}

#[test]
fn what_is_deleted_leaves_nothing_in_the_store() {
    let mut daemon = Daemon::start();
    let mut load = loaded(&daemon, "disk", true);
    load.run(500);
    daemon.import("image", &[7; 40_000]);
    daemon.take_snapshot("disk", "one");
    load.run(500);
    daemon.take_snapshot("disk", "two");
    daemon.create("clone", BLOCKS * 4096, Some("two"));
    daemon.create("machine", MIB, Some("image"));
    let copy = Request::CopySnapshot {
        source_snapshot_id: snapshot("one"),
        source_store: None,
        snapshot_id: snapshot("copy"),
        encrypted: false,
    };
    assert!(matches!(daemon.ask(&copy), Reply::Snapshot(_)));
    daemon.await_snapshot("copy");
    // Pending ones too, and one whose daemon dies.
    daemon.begin_snapshots(&[("disk", "pending")]);
    daemon.delete_snapshot("pending");
    load.run(500);
    daemon.begin_snapshots(&[("disk", "killed")]);
    daemon.kill_and_restart();
    load.disk.reconnect();
    daemon.connect();
    daemon.delete_snapshot("killed");
    load.verify();
    drop(load);
    daemon.detach("disk");
    let gone = |daemon: &Daemon, name: &str| {
        eventually("the volume's last snapshot ends", || {
            daemon.ask(&Request::DeleteVolume { volume_id: volume(name) }) == Reply::Done
        });
    };
    gone(&daemon, "disk");
    for name in ["one", "image", "two"] {
        daemon.delete_snapshot(name);
    }
    let kept = daemon.export_volume("clone");
    assert_eq!(daemon.export_volume("machine")[..40_000], [7; 40_000]);
    // Restarted it still knows who refers to what.
    daemon.kill_and_restart();
    assert_eq!(daemon.export_volume("clone"), kept);
    daemon.delete_snapshot("copy");
    gone(&daemon, "machine");
    assert_eq!(daemon.export_volume("clone"), kept);
    gone(&daemon, "clone");
    daemon.await_empty_store();
}

#[test]
fn snapshots_that_are_being_removed_hold_nobody_up() {
    let daemon = Daemon::start();
    daemon.create("disk", MIB, None);
    for round in 0..6 {
        let names: Vec<String> = (0..12).map(|i| format!("image-{round}-{i}")).collect();
        names.iter().for_each(|name| daemon.import(name, &[7; 40_000]));
        names.iter().for_each(|name| daemon.delete_snapshot(name));
        // Their removal ends in the background while the volume is opened, cut and closed.
        for _ in 0..4 {
            assert_eq!(daemon.export_volume("disk"), vec![0; MIB as usize]);
        }
    }
}

#[test]
fn deletions_survive_the_daemons_death() {
    let mut daemon = Daemon::start();
    let mut load = loaded(&daemon, "disk", false);
    for i in 0..6 {
        load.run(400);
        load.drain();
        let name = format!("snap-{i}");
        daemon.begin_snapshots(&[("disk", &name)]);
        if i % 2 == 0 {
            daemon.await_snapshot(&name);
        }
        daemon.delete_snapshot(&name);
        daemon.kill_and_restart();
        load.disk.reconnect();
        daemon.connect();
    }
    load.verify();
    drop(load);
    daemon.detach("disk");
    daemon.delete_volume("disk");
    daemon.kill_and_restart();
    daemon.await_empty_store();
}

#[test]
fn a_deleted_snapshot_does_not_come_back_and_its_successor_is_whole() {
    let daemon = Daemon::start();
    let mut load = loaded(&daemon, "disk", false);
    load.run(2500);
    load.drain();
    daemon.detach("disk");
    for i in 0..10 {
        let (old, new) = (format!("old-{i}"), format!("new-{i}"));
        daemon.take_snapshot("disk", &old);
        daemon.delete_snapshot(&old);
        // It refers to the very segments that are being removed.
        daemon.begin_snapshots(&[("disk", &new)]);
        let clone = Request::CreateVolume {
            volume_id: volume("ghost"),
            size_bytes: BLOCKS * 4096,
            snapshot_id: Some(snapshot(&old)),
            encrypted: false,
            limits: Limits::default(),
        };
        assert_eq!(error_kind(&daemon.ask(&clone)), Some(ErrorKind::NotFound), "round {i}");
        daemon.await_snapshot(&new);
        assert_eq!(versions(&daemon.export_snapshot(&new)), load.sent, "round {i}");
        daemon.delete_snapshot(&new);
    }
}

#[test]
fn a_snapshot_deleted_while_pending_holds_nothing_back() {
    let daemon = Daemon::start();
    let mut load = loaded(&daemon, "disk", false);
    for i in 0..10 {
        load.run(100);
        let name = format!("snap-{i}");
        daemon.begin_snapshots(&[("disk", &name)]);
        daemon.delete_snapshot(&name);
    }
    // Over and over the same 4 MiB: what is dead must become free. Held back, the log would have all that was written, and a header
    // for every few blocks.
    let mut written = 0;
    eventually("the log is half of what was written", || {
        load.run(2048);
        load.drain();
        written += 2048 * 4096;
        2 * daemon.describe("disk").allocated_bytes < written
    });
    assert_eq!(daemon.ask(&Request::ListSnapshots), Reply::Snapshots(Vec::new()));
    load.verify();
}

/// The store gets what was live at a cut and no more, and that is enough for everybody who comes later.
#[test]
fn what_is_dead_takes_no_room_in_the_store() {
    use std::os::unix::fs::MetadataExt;
    for encrypted in [false, true] {
        let daemon = Daemon::start();
        let mut load = loaded(&daemon, "disk", encrypted);
        let mut taken = Vec::new();
        for i in 0..4 {
            // One half of the blocks again and again: what is left of the other half lies scattered over old segments.
            load.stride = if i % 2 == 0 { 37 } else { 38 };
            load.run(6 * BLOCKS);
            load.drain();
            let name = format!("snap-{i}");
            let bounds = (load.sent.clone(), load.sent.clone());
            if i == 1 {
                // Given up, whatever of it is uploaded by then.
                daemon.begin_snapshots(&[("disk", "given-up")]);
                daemon.delete_snapshot("given-up");
            }
            daemon.begin_snapshots(&[("disk", &name)]);
            taken.push((name, bounds));
        }
        taken.iter().for_each(|(name, _)| drop(daemon.await_snapshot(name)));
        let segments = crate::daemon::files(&daemon.state().join("store/objects/segments"));
        let held: u64 = segments.iter().map(|path| path.metadata().unwrap().blocks() * 512).sum();
        // Four snapshots of at most 4 MiB each, with fronts of segments and leaves; 24 MiB and more was written for each.
        assert!(held < 40 * MIB, "{} segments take {} MiB", segments.len(), held / MIB);
        for (name, bounds) in &taken {
            assert_between(&daemon.export_snapshot(name), bounds);
            daemon.create(&format!("clone-of-{name}"), BLOCKS * 4096, Some(name));
        }
        load.verify();
        for (name, bounds) in &taken {
            daemon.delete_snapshot(name);
            assert_between(&daemon.export_volume(&format!("clone-of-{name}")), bounds);
        }
    }
}

#[test]
fn an_unfinished_snapshot_says_so() {
    let daemon = Daemon::start();
    let mut load = loaded(&daemon, "disk", false);
    load.run(2000);
    daemon.begin_snapshots(&[("disk", "snap")]);
    let shown = daemon.describe_snapshot("snap");
    assert!(shown.state == SnapshotState::Completed || shown.progress_percent < 100, "{shown:?}");
    let shown = daemon.await_snapshot("snap");
    assert_eq!((shown.progress_percent, shown.size_bytes), (100, BLOCKS * 4096));
    assert_eq!(shown.volume_id, Some(volume("disk")));
    // The same call again is the same snapshot; of another volume it is not.
    daemon.begin_snapshots(&[("disk", "snap")]);
    daemon.create("other", MIB, None);
    let other = NewSnapshot { volume_id: volume("other"), snapshot_id: snapshot("snap") };
    let reply = daemon.ask(&Request::CreateSnapshots { snapshots: vec![other] });
    assert_eq!(error_kind(&reply), Some(ErrorKind::Exists));
}

#[test]
fn snapshots_of_several_volumes_exist_together_whenever_the_daemon_dies() {
    let mut daemon = Daemon::start();
    let volumes: Vec<String> = (0..8).map(|i| format!("disk-{i}")).collect();
    for name in &volumes {
        daemon.create(name, MIB, None);
        daemon.attach(name, 1);
    }
    let (mut none, mut all) = (0, 0);
    for round in 0..24u64 {
        let new = |name: &String| NewSnapshot {
            volume_id: volume(name),
            snapshot_id: snapshot(&format!("snap-{round}-of-{name}")),
        };
        let request = Request::CreateSnapshots { snapshots: volumes.iter().map(new).collect() };
        let mut stream = daemon.connect();
        writeln!(stream, "{}", serde_json::to_string(&request).unwrap()).unwrap();
        std::thread::sleep(Duration::from_millis(round * 2));
        daemon.kill_and_restart();
        let Reply::Snapshots(found) = daemon.ask(&Request::ListSnapshots) else { panic!("no list") };
        let prefix = format!("snap-{round}-of-");
        match found.iter().filter(|snapshot| snapshot.snapshot_id.as_ref().starts_with(&prefix)).count() {
            0 => none += 1,
            8 => all += 1,
            some => panic!("round {round}: {some} of 8 snapshots exist"),
        }
        // Whatever came of it, asked again all exist.
        let reply = daemon.ask(&request);
        assert!(matches!(&reply, Reply::Snapshots(s) if s.len() == 8), "round {round}: {reply:?}");
    }
    eprintln!("killed before {none} times, after {all} times");
    for name in volumes {
        daemon.await_snapshot(&format!("snap-0-of-{name}"));
    }
}

#[test]
fn a_volume_may_be_attached_while_it_is_read() {
    let daemon = Daemon::start();
    let mut load = loaded(&daemon, "disk", false);
    for round in 0..8 {
        load.run(2000);
        load.drain();
        daemon.detach("disk");
        let expected = load.sent.clone();
        std::thread::scope(|scope| {
            // They begin while nobody has it attached.
            let readers: Vec<_> = (0..3).map(|_| scope.spawn(|| daemon.check("disk"))).collect();
            std::thread::sleep(Duration::from_millis(2 * round));
            let socket = daemon.attach("disk", 1);
            let mut disk = Frontend::connect(&socket, 1, F_FLUSH | EVENT_IDX);
            // All of it anew, and snapshots, which save maps without what is dead: its place would be used again.
            for pass in 0..4u32 {
                for block in (0..BLOCKS).step_by(16) {
                    let bytes: Vec<u8> = (block..block + 16)
                        .flat_map(|block| block_bytes(block, expected[block as usize] + pass))
                        .collect();
                    assert_eq!(disk.write(block * 4096, &bytes), 0);
                }
                daemon.take_snapshot("disk", &format!("snap-{round}-{pass}"));
                daemon.delete_snapshot(&format!("snap-{round}-{pass}"));
            }
            for reader in readers {
                let report = reader.join().unwrap();
                assert_eq!((report.blocks_damaged, report.damage), (0, Vec::new()), "round {round}");
            }
            load.disk = disk;
        });
        load.sent.iter_mut().zip(&mut load.answered).for_each(|(sent, answered)| {
            *sent += 3;
            *answered = *sent;
        });
        load.verify();
    }
}
