//! What a volume may do, and what it tells of its size, while it is attached.

use crate::daemon::{Daemon, volume};
use crate::frontend::*;
use hive_blockd_api::{Limits, Reply, Request};
use std::time::{Duration, Instant};
use vhost::vhost_user::VhostUserFrontend;
use vhost::vhost_user::message::VhostUserConfigFlags;

const MIB: u64 = 1 << 20;
const PASSES: Duration = Duration::from_millis(1500);

fn set_limits(daemon: &Daemon, disk: &mut Frontend, limits: Limits) {
    let reply = daemon.ask(&Request::SetLimits { volume_id: volume("disk"), limits });
    assert!(matches!(reply, Reply::Volume(v) if v.limits == limits));
    // The volume's thread was told before the reply; it looks at the latest when it has done what it is at.
    for _ in 0..2 {
        disk.read(0, 4096);
    }
}

/// Keep some requests of `len` bytes in flight; how many were answered, in which time.
fn pass(disk: &mut Frontend, kind: u32, len: u32, depth: u16) -> (f64, f64) {
    let (started, mut answered) = (Instant::now(), 0);
    for slot in 0..depth {
        disk.submit(0, slot, kind, u64::from(slot) * 128, DATA + u64::from(slot) * MIB, len);
    }
    let mut in_flight = depth;
    while in_flight > 0 {
        for (head, _) in disk.wait_answers(0, 1) {
            let slot = head / 3;
            assert_eq!(disk.status(slot), 0);
            answered += 1;
            in_flight -= 1;
            if started.elapsed() < PASSES {
                disk.submit(0, slot, kind, u64::from(slot) * 128, DATA + u64::from(slot) * MIB, len);
                in_flight += 1;
            }
        }
    }
    (f64::from(answered), started.elapsed().as_secs_f64())
}

#[test]
fn limits_hold_and_change_at_once() {
    let daemon = Daemon::start();
    daemon.create("disk", 64 * MIB, None);
    let mut disk = Frontend::connect(&daemon.attach("disk", 1), 1, F_FLUSH | EVENT_IDX);
    // What the unused allowance of a tenth of a second lets through at once, and one request that overdraws.
    let most = |rate: f64, seconds: f64| rate * seconds * 1.03 + rate * 0.1 + 2.0;
    for (kind, iops) in [(READ, 400), (WRITE, 900)] {
        set_limits(&daemon, &mut disk, Limits { iops: Some(iops), throughput_bytes_per_s: None });
        let (count, seconds) = pass(&mut disk, kind, 4096, 8);
        assert!(
            count <= most(f64::from(iops), seconds),
            "{count} requests in {seconds} s, allowed are {iops} a second"
        );
    }
    set_limits(&daemon, &mut disk, Limits { iops: Some(400), throughput_bytes_per_s: None });
    let (count, seconds) = pass(&mut disk, READ, MIB as u32, 4);
    assert!(4.0 * count <= most(400.0, seconds) + 4.0, "{count} of 1 MiB in {seconds} s, which count four times");
    let bytes = 8 * MIB;
    set_limits(&daemon, &mut disk, Limits { iops: None, throughput_bytes_per_s: Some(bytes) });
    let (count, seconds) = pass(&mut disk, WRITE, 128 << 10, 8);
    let allowed = most(bytes as f64, seconds) + f64::from(128 << 10);
    assert!(count * f64::from(128 << 10) <= allowed, "{count} of 128 KiB in {seconds} s, allowed are {allowed} bytes");
    set_limits(&daemon, &mut disk, Limits::default());
    std::thread::sleep(Duration::from_millis(200));
    let throttled = daemon.metrics().volumes["disk"].throttled;
    assert!(throttled > 0);
    pass(&mut disk, READ, 4096, 8);
    assert_eq!(daemon.metrics().volumes["disk"].throttled, throttled, "lifted");
    // Kept over a restart.
    set_limits(&daemon, &mut disk, Limits { iops: Some(77), throughput_bytes_per_s: Some(bytes) });
    let mut daemon = daemon;
    daemon.kill_and_restart();
    daemon.connect();
    assert_eq!(daemon.describe("disk").limits, Limits { iops: Some(77), throughput_bytes_per_s: Some(bytes) });
}

#[test]
fn growth_is_seen_while_attached() {
    let daemon = Daemon::start();
    daemon.create("disk", 4 * MIB, None);
    let mut disk = Frontend::connect(&daemon.attach("disk", 1), 1, F_FLUSH);
    let capacity = |disk: &mut Frontend| {
        let connection = disk.connection.as_mut().unwrap();
        let (_, space) = connection.get_config(0, 8, VhostUserConfigFlags::WRITABLE, &[0; 8]).unwrap();
        u64::from_le_bytes(space.try_into().unwrap()) * 512
    };
    assert_eq!(capacity(&mut disk), 4 * MIB);
    assert_eq!(disk.run(WRITE, 6 * MIB / 512, DATA, 4096), 1, "beyond the end");
    let resize = Request::ResizeVolume { volume_id: volume("disk"), size_bytes: 8 * MIB };
    assert!(matches!(daemon.ask(&resize), Reply::Volume(v) if v.size_bytes == 8 * MIB));
    // The frontend is made to connect again, which is when it asks anew.
    disk.reconnect();
    assert_eq!(capacity(&mut disk), 8 * MIB);
    assert_eq!(disk.write(6 * MIB, &[6; 4096]), 0);
    let mut daemon = daemon;
    daemon.kill_and_restart();
    disk.reconnect();
    assert_eq!(capacity(&mut disk), 8 * MIB);
    assert_eq!(disk.read(6 * MIB, 4096), [6; 4096]);
    daemon.take_snapshot("disk", "snap");
    assert_eq!(daemon.describe_snapshot("snap").size_bytes, 8 * MIB);
}
