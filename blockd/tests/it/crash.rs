//! SIGKILL under load: nothing acknowledged is lost, nothing taken is forgotten.

use crate::daemon::Daemon;
use crate::frontend::*;
use crate::load::Load;

const BLOCKS: u64 = 256;
const KILLS: u32 = 12;

/// Contents of version `version` of `block`; version 0 is the image's.
fn block_bytes(block: u64, version: u32) -> Vec<u8> {
    let stamp = (block << 32 | u64::from(version)).to_le_bytes();
    stamp.iter().copied().cycle().take(4096).collect()
}

#[test]
fn no_acknowledged_write_is_lost_and_every_request_is_answered() {
    let mut daemon = Daemon::start();
    let image: Vec<u8> = (0..BLOCKS).flat_map(|block| block_bytes(block, 0)).collect();
    daemon.import("base", &image);
    daemon.create("disk", BLOCKS * 4096, Some("base"));
    let socket = daemon.attach("disk", 1);
    let mut disk = Frontend::connect(&socket, 1, F_FLUSH | EVENT_IDX);
    let mut versions = vec![0u32; BLOCKS as usize];
    let mut in_flight: Vec<Option<u64>> = vec![None; usize::from(SLOTS)];
    let mut next_block = 0u64;
    let mut answers = 0u32;
    let mut killed = 0;
    let mut kill_at = 40;
    let mut resubmitted = 0;
    while killed < KILLS || in_flight.iter().any(Option::is_some) {
        for slot in 0..SLOTS {
            if killed == KILLS || in_flight[usize::from(slot)].is_some() {
                continue;
            }
            // A stride that visits all blocks; one write per block at a time, so that the last version is known.
            next_block = (next_block + 37) % BLOCKS;
            if in_flight.contains(&Some(next_block)) {
                continue;
            }
            let version = &mut versions[next_block as usize];
            *version += 1;
            let data = DATA + u64::from(slot) * 4096;
            disk.poke(data, &block_bytes(next_block, *version));
            disk.submit(0, slot, WRITE, next_block * 8, data, 4096);
            in_flight[usize::from(slot)] = Some(next_block);
        }
        if answers >= kill_at && killed < KILLS {
            resubmitted += daemon.metrics().volumes["disk"].resubmitted;
            // Leave requests in every state: in the ring, in the daemon, in the kernel, half answered.
            daemon.kill_and_restart();
            disk.reconnect();
            killed += 1;
            kill_at = answers + 40 + killed * 3;
        }
        for (head, len) in disk.wait_answers(0, 1) {
            let slot = head / 3;
            assert_eq!(disk.status(slot), 0);
            assert_eq!(len, 1);
            assert!(in_flight[usize::from(slot)].take().is_some(), "slot {slot} was answered twice");
            answers += 1;
        }
    }
    for block in 0..BLOCKS {
        let version = versions[block as usize];
        assert_eq!(disk.read(block * 4096, 4096), block_bytes(block, version), "block {block}, version {version}");
    }
    resubmitted += daemon.metrics().volumes["disk"].resubmitted;
    assert!(resubmitted > 0, "no kill ever caught a request in flight");
}

#[test]
fn attached_volumes_are_served_again_and_half_made_ones_are_gone() {
    let mut daemon = Daemon::start();
    daemon.create("kept", 1 << 20, None);
    let socket = daemon.attach("kept", 4);
    let volumes = daemon.dir.path().join("state/volumes");
    let snapshots = daemon.dir.path().join("state/snapshots");
    std::fs::create_dir(volumes.join("half")).unwrap();
    std::fs::write(volumes.join("half/log"), b"data without a record").unwrap();
    std::fs::write(volumes.join("half.json.tmp"), b"{").unwrap();
    std::fs::write(snapshots.join("half.map"), b"a map without a record").unwrap();
    daemon.kill_and_restart();
    Frontend::connect(&socket, 4, F_FLUSH);
    daemon.connect();
    assert_eq!(daemon.describe("kept").socket, Some(socket));
    assert!(!volumes.join("half").exists() && !volumes.join("half.json.tmp").exists());
    assert!(!snapshots.join("half.map").exists());
}

/// Again and again the daemon dies under a writer that flushes often; nothing answered is lost, and no request fails.
fn survive(kills: u32, encrypted: bool) {
    let mut daemon = Daemon::start();
    daemon.create_as("disk", BLOCKS * 4096, None, encrypted);
    let mut load = Load::new(&daemon.attach("disk", 1), BLOCKS);
    load.flush_every = 4;
    let mut resubmitted = 0;
    for kill in 0..kills {
        load.run(u64::from(20 + kill % 37));
        load.submit();
        if kill % 3 == 0 {
            resubmitted += daemon.metrics().volumes["disk"].resubmitted;
        }
        daemon.kill_and_restart();
        load.disk.reconnect();
        if kill % 20 == 19 {
            load.verify();
        }
    }
    load.verify();
    resubmitted += daemon.metrics().volumes["disk"].resubmitted;
    assert!(resubmitted > 0, "no kill ever caught a request in flight");
    assert_eq!(daemon.check("disk").blocks_damaged, 0);
}

#[test]
fn a_hundred_kills_lose_nothing() {
    survive(100, false);
}

#[test]
fn a_hundred_kills_lose_nothing_that_is_encrypted() {
    survive(100, true);
}
