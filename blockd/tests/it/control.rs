//! The control API: idempotence, refusals, limits.

use crate::daemon::{Daemon, snapshot, volume};
use crate::frontend::{F_FLUSH, Frontend};
use hive_blockd_api::{BLOCK_SIZE_BYTES, ErrorKind, Limits, MAX_LINE_BYTES, Reply, Request};
use std::io::{Read, Write};
use std::process::Command;

fn kind(reply: &Reply) -> Option<ErrorKind> {
    match reply {
        Reply::Error { kind, .. } => Some(*kind),
        _ => None,
    }
}

#[test]
fn a_snapshot_may_come_from_another_file_system() {
    let daemon = Daemon::start();
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").unwrap();
    let bytes: Vec<u8> = (0..3u32 << 18).flat_map(u32::to_le_bytes).collect();
    file.write_all(&bytes).unwrap();
    let path = file.path().to_owned();
    let reply = daemon.ask(&Request::ImportSnapshot { snapshot_id: snapshot("far"), path, encrypted: false });
    assert!(matches!(reply, Reply::Snapshot(_)), "{reply:?}");
    daemon.create("a", bytes.len() as u64, Some("far"));
    let mut disk = Frontend::connect(&daemon.attach("a", 1), 1, F_FLUSH);
    // Behind the first buffer's worth of the copy, too.
    let (offset, len) = (2 << 20, 1 << 16);
    assert_eq!(disk.read(offset, len), bytes[offset as usize..][..len]);
}

#[test]
fn requests_are_idempotent_and_conflicts_are_named() {
    let daemon = Daemon::start();
    daemon.import("base", &[1; 5000]);
    daemon.import("base", &[1; 5000]);
    let snapshots = daemon.ask(&Request::ListSnapshots);
    assert!(matches!(&snapshots, Reply::Snapshots(s) if s.len() == 1 && s[0].size_bytes == 8192), "{snapshots:?}");
    daemon.create("a", 1 << 20, Some("base"));
    daemon.create("a", 1 << 20, Some("base"));
    let request = |name: &str, size_bytes, from: Option<&str>| Request::CreateVolume {
        volume_id: volume(name),
        size_bytes,
        snapshot_id: from.map(snapshot),
        encrypted: false,
        limits: Limits::default(),
    };
    let create = |size_bytes, from: Option<&str>| kind(&daemon.ask(&request("a", size_bytes, from)));
    assert_eq!(create(2 << 20, Some("base")), Some(ErrorKind::Exists));
    assert_eq!(create(1 << 20, None), Some(ErrorKind::Exists));
    assert_eq!(create(1, None), Some(ErrorKind::Invalid));
    assert_eq!(create(u64::MAX, None), Some(ErrorKind::Invalid));
    let fresh = |size_bytes, from: &str| kind(&daemon.ask(&request("b", size_bytes, Some(from))));
    assert_eq!(fresh(4096, "base"), Some(ErrorKind::Invalid), "smaller than its snapshot");
    assert_eq!(fresh(1 << 20, "none"), Some(ErrorKind::NotFound));
    let delete_snapshot = Request::DeleteSnapshot { snapshot_id: snapshot("base") };

    let socket = daemon.attach("a", 2);
    assert_eq!(daemon.attach("a", 2), socket);
    let attach = |queues, serial: &str| {
        let serial = serial.to_owned();
        kind(&daemon.ask(&Request::AttachVolume { volume_id: volume("a"), queues, read_only: false, serial }))
    };
    assert_eq!(attach(3, "s-a"), Some(ErrorKind::Exists));
    assert_eq!(attach(0, "s-a"), Some(ErrorKind::Invalid));
    assert_eq!(attach(2, "a serial that is far too long"), Some(ErrorKind::Invalid));
    let delete = Request::DeleteVolume { volume_id: volume("a") };
    assert_eq!(kind(&daemon.ask(&delete)), Some(ErrorKind::InUse));
    let resize = |size_bytes| daemon.ask(&Request::ResizeVolume { volume_id: volume("a"), size_bytes });
    assert!(matches!(resize(2 << 20), Reply::Volume(v) if v.size_bytes == 2 << 20));
    daemon.detach("a");
    daemon.detach("a");
    assert!(!socket.exists());
    assert_eq!(kind(&resize(1 << 20)), Some(ErrorKind::Invalid));
    assert_eq!(create(1 << 20, Some("base")), None, "the creation is still the same request");
    let socket = daemon.attach("a", 1);
    let mut disk = Frontend::connect(&socket, 1, F_FLUSH);
    assert_eq!(disk.write((2 << 20) - BLOCK_SIZE_BYTES, &[3; 4096]), 0);
    drop(disk);
    daemon.detach("a");
    assert_eq!(daemon.ask(&delete), Reply::Done);
    assert_eq!(daemon.ask(&delete), Reply::Done);
    assert_eq!(daemon.ask(&delete_snapshot), Reply::Done);
    assert_eq!(daemon.ask(&delete_snapshot), Reply::Done);
    assert_eq!(kind(&daemon.ask(&Request::DescribeVolume { volume_id: volume("a") })), Some(ErrorKind::NotFound));
}

#[test]
fn bad_lines_are_answered_and_overlong_ones_end_the_connection() {
    let daemon = Daemon::start();
    for line in ["", "{}", "nonsense", r#"{"method":"delete-volume","volume_id":"../../etc"}"#] {
        assert_eq!(kind(&daemon.ask_line(line)), Some(ErrorKind::Invalid), "{line:?}");
    }
    let mut stream = daemon.connect();
    // The daemon may close before it has read everything.
    let _ = stream.write_all(&vec![b' '; MAX_LINE_BYTES + 10]);
    let mut reply = String::new();
    let _ = stream.read_to_string(&mut reply);
    assert!(reply.contains("at most"), "{reply}");
    assert_eq!(daemon.ask(&Request::ListVolumes), Reply::Volumes(Vec::new()));
}

#[test]
fn read_only_attachments_refuse_writes() {
    let daemon = Daemon::start();
    daemon.create("ro", 1 << 20, None);
    let request = Request::AttachVolume { volume_id: volume("ro"), queues: 1, read_only: true, serial: String::new() };
    let Reply::Attached { socket } = daemon.ask(&request) else { panic!("not attached") };
    let mut disk = Frontend::connect(&socket, 1, F_FLUSH);
    assert_eq!(disk.write(0, &[1; 512]), 1);
    assert_eq!(disk.read(0, 512), [0; 512]);
}

#[test]
fn the_command_line_checks_and_prints_its_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("blockd.toml");
    let run = |text: &str, flag: &str| {
        std::fs::write(&path, text).unwrap();
        Command::new(env!("CARGO_BIN_EXE_blockd")).arg("--config").arg(&path).arg(flag).output().unwrap()
    };
    let good = "state_dir = '/s'\nrun_dir = '/r'\n";
    assert!(run(good, "--check-config").status.success());
    let printed = run(good, "--print-config");
    assert!(String::from_utf8(printed.stdout).unwrap().contains("poll_us = 50"));
    let bad = run("state_dir = '/s'\nrun_dir = '/r'\ntypo = 1\n", "--check-config");
    assert!(!bad.status.success() && String::from_utf8(bad.stderr).unwrap().contains("typo"));
}
