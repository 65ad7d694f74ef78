//! Snapshots as raw files and block by block, and full copies.

use crate::daemon::{Daemon, error_kind, snapshot, volume};
use crate::frontend::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hive_blockd_api::{BlockList, ChangedBlockList, ErrorKind, ExportSource, Reply, Request, SnapshotState};
use std::os::unix::fs::{FileExt, MetadataExt};

const MIB: u64 = 1 << 20;
const UNIT: usize = 512 << 10;

fn start(daemon: &Daemon, name: &str, size_bytes: u64, parent: Option<&str>) -> Reply {
    let parent_snapshot_id = parent.map(snapshot);
    daemon.ask(&Request::StartSnapshot {
        snapshot_id: snapshot(name),
        size_bytes,
        parent_snapshot_id,
        encrypted: false,
    })
}

fn put(daemon: &Daemon, name: &str, block_index: u32, bytes: &[u8]) -> Reply {
    let data = STANDARD.encode(bytes);
    daemon.ask(&Request::PutSnapshotBlock { snapshot_id: snapshot(name), block_index, data })
}

fn complete(daemon: &Daemon, name: &str) -> Reply {
    daemon.ask(&Request::CompleteSnapshot { snapshot_id: snapshot(name) })
}

fn get(daemon: &Daemon, name: &str, block_index: u32) -> Vec<u8> {
    match daemon.ask(&Request::GetSnapshotBlock { snapshot_id: snapshot(name), block_index }) {
        Reply::Block { data } => STANDARD.decode(data).unwrap(),
        reply => panic!("{reply:?}"),
    }
}

fn list(daemon: &Daemon, name: &str, start_index: u32, max_results: u32) -> BlockList {
    match daemon.ask(&Request::ListSnapshotBlocks { snapshot_id: snapshot(name), start_index, max_results }) {
        Reply::Blocks(list) => list,
        reply => panic!("{reply:?}"),
    }
}

fn changed(daemon: &Daemon, first: &str, second: &str, start_index: u32, max_results: u32) -> Reply {
    let (first_snapshot_id, second_snapshot_id) = (snapshot(first), snapshot(second));
    daemon.ask(&Request::ListChangedBlocks { first_snapshot_id, second_snapshot_id, start_index, max_results })
}

fn changes(reply: Reply) -> ChangedBlockList {
    match reply {
        Reply::ChangedBlocks(list) => list,
        reply => panic!("{reply:?}"),
    }
}

#[test]
fn a_raw_file_comes_back_as_it_went_in() {
    let daemon = Daemon::start();
    let path = daemon.dir.path().join("raw.img");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(40 * MIB + 1234).unwrap();
    let noise: Vec<u8> = (0..2 * MIB).map(|i| ((i * i) >> 7) as u8 | 1).collect();
    for offset in [0, 5 * MIB + 777, 17 * MIB, 38 * MIB] {
        file.write_all_at(&noise, offset).unwrap();
    }
    let mut expected = std::fs::read(&path).unwrap();
    expected.resize(expected.len().next_multiple_of(4096), 0);
    for encrypted in [false, true] {
        let name = if encrypted { "sealed" } else { "plain" };
        let import = Request::ImportSnapshot { snapshot_id: snapshot(name), path: path.clone(), encrypted };
        assert!(matches!(daemon.ask(&import), Reply::Snapshot(s) if s.encrypted == encrypted));
        assert!(daemon.export_snapshot(name) == expected);
        let clone = format!("clone-of-{name}");
        daemon.create(&clone, 64 * MIB, Some(name));
        assert!(daemon.export_volume(&clone)[..expected.len()] == expected);
        let copy = format!("copy-of-{name}");
        let (source_snapshot_id, snapshot_id) = (snapshot(name), snapshot(&copy));
        let copied = Request::CopySnapshot { source_snapshot_id, source_store: None, snapshot_id, encrypted: true };
        assert!(matches!(daemon.ask(&copied), Reply::Snapshot(_)));
        assert!(daemon.await_snapshot(&copy).encrypted);
        daemon.delete_volume(&clone);
        daemon.delete_snapshot(name);
        assert!(daemon.export_snapshot(&copy) == expected, "a copy shares nothing");
        daemon.delete_snapshot(&copy);
    }
    daemon.import("sparse", &expected);
    let out = daemon.dir.path().join("out.img");
    let export = Request::ExportVolume { source: ExportSource::Snapshot(snapshot("sparse")), path: out.clone() };
    assert_eq!(daemon.ask(&export), Reply::Done);
    assert!(std::fs::metadata(&out).unwrap().blocks() * 512 < 16 * MIB, "an export is sparse");
    assert_eq!(error_kind(&daemon.ask(&export)), Some(ErrorKind::Exists));
    daemon.delete_snapshot("sparse");
    daemon.await_empty_store();
}

#[test]
fn a_snapshot_is_written_block_by_block_on_a_parent() {
    let mut daemon = Daemon::start();
    let size = 8 * MIB + 8192;
    assert!(matches!(start(&daemon, "base", size, None), Reply::Snapshot(s) if s.state == SnapshotState::Pending));
    assert!(matches!(start(&daemon, "base", size, None), Reply::Snapshot(_)));
    assert_eq!(error_kind(&start(&daemon, "base", 2 * size, None)), Some(ErrorKind::Exists));
    for index in [0, 3, 16] {
        assert_eq!(put(&daemon, "base", index, &[index as u8 + 1; UNIT]), Reply::Done);
    }
    assert_eq!(put(&daemon, "base", 3, &[4; UNIT]), Reply::Done);
    assert_eq!(error_kind(&put(&daemon, "base", 17, &[1; UNIT])), Some(ErrorKind::Invalid), "beyond the end");
    assert_eq!(error_kind(&put(&daemon, "base", 0, &[1; 100])), Some(ErrorKind::Invalid), "not a block");
    assert_eq!(error_kind(&start(&daemon, "early", size, Some("base"))), Some(ErrorKind::InUse));
    daemon.kill_and_restart();
    assert!(matches!(complete(&daemon, "base"), Reply::Snapshot(_)));
    assert!(matches!(complete(&daemon, "base"), Reply::Snapshot(_)));
    daemon.await_snapshot("base");
    assert!(matches!(complete(&daemon, "base"), Reply::Snapshot(s) if s.state == SnapshotState::Completed));
    assert_eq!(error_kind(&put(&daemon, "base", 0, &[1; UNIT])), Some(ErrorKind::Invalid), "it is complete");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert_eq!(daemon.describe_snapshot("base").state, SnapshotState::Completed, "asked again it stays so");
    assert_eq!(list(&daemon, "base", 0, 100).block_indexes, [0, 3, 16]);

    assert_eq!(error_kind(&start(&daemon, "small", MIB, Some("base"))), Some(ErrorKind::Invalid));
    start(&daemon, "child", size, Some("base"));
    put(&daemon, "child", 3, &[0; UNIT]);
    put(&daemon, "child", 5, &[6; UNIT]);
    complete(&daemon, "child");
    daemon.kill_and_restart();
    daemon.await_snapshot("child");
    assert_eq!(list(&daemon, "child", 0, 100).block_indexes, [0, 5, 16]);
    daemon.delete_snapshot("base");
    for (index, fill) in [(0, 1), (3, 0), (5, 6), (7, 0)] {
        assert!(get(&daemon, "child", index) == [fill; UNIT], "block {index}");
    }
    let last = get(&daemon, "child", 16);
    assert!(last.len() == UNIT && last[..8192] == [17; 8192] && last[8192..].iter().all(|byte| *byte == 0));
    assert_eq!(
        list(&daemon, "child", 1, 1),
        BlockList { size_bytes: size, block_indexes: vec![5], next_index: Some(16) }
    );
    daemon.create("disk", size, Some("child"));
    let mut disk = Frontend::connect(&daemon.attach("disk", 1), 1, F_FLUSH);
    assert_eq!(disk.read(5 * UNIT as u64, 4096), [6; 4096]);
    assert_eq!(disk.read(3 * UNIT as u64, 4096), [0; 4096]);
    drop(disk);
    daemon.detach("disk");
    daemon.delete_volume("disk");
    daemon.delete_snapshot("child");
    daemon.await_empty_store();
}

#[test]
fn what_changed_between_two_snapshots_is_listed() {
    let daemon = Daemon::start();
    daemon.create("disk", 64 * MIB, None);
    let mut disk = Frontend::connect(&daemon.attach("disk", 1), 1, F_FLUSH);
    let unit = UNIT as u64;
    for index in [0, 1, 60, 100] {
        assert_eq!(disk.write(index * unit, &[1; 8192]), 0);
    }
    daemon.take_snapshot("disk", "first");
    assert_eq!(disk.write(unit + 4096, &[2; 4096]), 0);
    assert_eq!(disk.write(30 * unit, &[2; 4096]), 0);
    assert_eq!(disk.zero(DISCARD, 60 * unit, unit, 0), 0);
    daemon.take_snapshot("disk", "second");
    let all = changes(changed(&daemon, "first", "second", 0, 100));
    let shown: Vec<_> = all.blocks.iter().map(|b| (b.block_index, b.in_first, b.in_second)).collect();
    assert_eq!(shown, [(1, true, true), (30, false, true), (60, true, false)]);
    let page = changes(changed(&daemon, "first", "second", 2, 1));
    assert_eq!((page.blocks[0].block_index, page.next_index), (30, Some(60)));
    assert!(changes(changed(&daemon, "first", "first", 0, 100)).blocks.is_empty());
    // A clone is of the same lineage.
    daemon.create("clone", 64 * MIB, Some("first"));
    daemon.take_snapshot("clone", "same");
    assert!(changes(changed(&daemon, "first", "same", 0, 100)).blocks.is_empty());
    daemon.import("foreign", &vec![1; MIB as usize]);
    assert_eq!(error_kind(&changed(&daemon, "first", "foreign", 0, 100)), Some(ErrorKind::Invalid));
    assert_eq!(error_kind(&changed(&daemon, "first", "none", 0, 100)), Some(ErrorKind::NotFound));
    let beyond = Request::GetSnapshotBlock { snapshot_id: snapshot("first"), block_index: 128 };
    assert_eq!(error_kind(&daemon.ask(&beyond)), Some(ErrorKind::Invalid));
    let export = Request::ExportVolume {
        source: ExportSource::Volume(volume("disk")),
        path: daemon.dir.path().join("attached.img"),
    };
    assert_eq!(error_kind(&daemon.ask(&export)), Some(ErrorKind::InUse));
}
