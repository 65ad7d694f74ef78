//! A real Linux guest under QEMU's emulation: ext4 and xfs under writers that sync every file, while the daemon is killed again
//! and again. `BLOCKD_GUEST_KILLS` says how often.

use crate::daemon::Daemon;
use crate::watch::{TEST_PATIENCE, Watch};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const DEFAULT_KILLS: u64 = 20;
const VOLUME_BYTES: u64 = 320 << 20;
/// For the boot, and for the end; the guest runs on an emulated processor.
const GUEST_PATIENCE: Duration = Duration::from_secs(120);

/// Files are written anew, synced, and renamed; what they must hold is kept in memory. Everything is read back from the disk at the
/// end.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
while read -r module; do insmod /modules/$module; done </modules/order
until [ -e /dev/vdb ]; do sleep 0.1; done
mkdir -p /mnt/ext4 /mnt/xfs
mount -t ext4 /dev/vda /mnt/ext4 && mount -t xfs /dev/vdb /mnt/xfs || { echo "GUEST cannot mount"; poweroff -f; }
mkdir /tmp/ext4 /tmp/xfs
work() {
  n=0
  while [ ! -e /tmp/stop ]; do
    n=$((n + 1)); f=$((n * 7 % 60))
    yes "$1 file $f version $n" | head -c $((2048 + n * 977 % 30000)) >/tmp/new.$1
    dd if=/tmp/new.$1 of=/mnt/$1/new.$f bs=64k conv=fsync 2>/tmp/dd.$1 || echo "GUEST write failed: $(cat /tmp/dd.$1)"
    mv /mnt/$1/new.$f /mnt/$1/f.$f || echo "GUEST rename failed"
    mv /tmp/new.$1 /tmp/$1/f.$f
    [ $((n % 11)) = 0 ] && { rm -f /mnt/$1/f.$f /tmp/$1/f.$f; sync; }
  done
  echo "GUEST $1 wrote $n files"
}
verify() {
  bad=0
  for f in /tmp/$1/*; do cmp "$f" /mnt/$1/${f##*/} || bad=$((bad + 1)); done
  [ "$(ls /tmp/$1)" = "$(ls /mnt/$1 | grep -v lost+found)" ] || bad=$((bad + 1))
  echo "GUEST $1 has $bad bad files"
}
work ext4 & work xfs &
echo "GUEST ready"
read -r line </dev/ttyS0
touch /tmp/stop
wait
echo 3 >/proc/sys/vm/drop_caches
verify ext4; verify xfs
umount /mnt/ext4 && umount /mnt/xfs && mount -t ext4 /dev/vda /mnt/ext4 && mount -t xfs /dev/vdb /mnt/xfs || echo "GUEST cannot mount again"
verify ext4; verify xfs
umount /mnt/ext4 && umount /mnt/xfs || echo "GUEST cannot unmount"
echo "GUEST errors $(dmesg | grep -ciE 'I/O error|EXT4-fs (error|warning)|XFS.*(error|corrupt|shutdown)|blk_update_request|Remounting')"
dmesg | grep -iE 'error|corrupt' | head -5
echo "GUEST done"
poweroff -f
"#;

fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&said));
}

/// Kernel and initramfs.
fn pack() -> (PathBuf, PathBuf) {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("blockd-guest");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("init"), INIT).unwrap();
    let pack = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/guest/pack");
    run(Command::new(pack).arg(&dir).args(["virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "xfs"]));
    (dir.join("vmlinuz"), dir.join("initrd.cpio"))
}

fn boot(disks: &[PathBuf]) -> (Child, Console) {
    let (kernel, initrd) = pack();
    let mut command = Command::new("qemu-system-x86_64");
    command
        .args(["-accel", "tcg,thread=multi", "-M", "q35", "-cpu", "max", "-smp", "2", "-m", "512M"])
        .args([
            "-nodefaults",
            "-nographic",
            "-no-reboot",
            "-serial",
            "stdio",
            "-append",
            "console=ttyS0 quiet panic=-1",
        ])
        .args(["-object", "memory-backend-memfd,id=mem,size=512M,share=on", "-numa", "node,memdev=mem"]);
    for (number, socket) in disks.iter().enumerate() {
        command
            .args(["-chardev", &format!("socket,id=c{number},path={},reconnect=1", socket.display())])
            .args(["-device", &format!("vhost-user-blk-pci,chardev=c{number},num-queues=2,id=d{number}")]);
    }
    command.arg("-kernel").arg(kernel).arg("-initrd").arg(initrd);
    let mut qemu = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
    let lines = BufReader::new(qemu.stdout.take().unwrap());
    (qemu, Console { lines, said: Vec::new() })
}

struct Console {
    lines: BufReader<ChildStdout>,
    said: Vec<String>,
}

impl Console {
    /// Read on until the guest says it.
    fn until(&mut self, what: &str) {
        loop {
            let mut line = Vec::new();
            let ended = self.lines.read_until(b'\n', &mut line).unwrap() == 0;
            assert!(!ended, "the guest ended without {what:?}: {:#?}", self.said);
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            self.said.push(line);
            if self.said.last().is_some_and(|line| line.contains(what)) {
                return;
            }
        }
    }
}

/// Ends the machine at the test's end, and when it hangs, which ends its console too.
struct Guard(std::sync::Arc<std::sync::Mutex<Child>>);

impl Guard {
    fn new(qemu: Child, patience: Duration) -> Self {
        let qemu = std::sync::Arc::new(std::sync::Mutex::new(qemu));
        let (watched, deadline) = (qemu.clone(), Instant::now() + patience);
        std::thread::spawn(move || {
            while std::sync::Arc::strong_count(&watched) > 1 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(200));
            }
            let _ = watched.lock().unwrap().kill();
        });
        Self(qemu)
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut qemu = self.0.lock().unwrap();
        let _ = qemu.kill();
        let _ = qemu.wait();
    }
}

fn formatted(daemon: &Daemon, name: &str, mkfs: &[&str]) -> PathBuf {
    let path = daemon.dir.path().join(format!("{name}.raw"));
    std::fs::File::create(&path).unwrap().set_len(VOLUME_BYTES).unwrap();
    run(Command::new(mkfs[0]).args(&mkfs[1..]).arg(&path));
    daemon.import(name, &std::fs::read(&path).unwrap());
    daemon.create_as(&format!("{name}-disk"), VOLUME_BYTES, Some(name), name == "xfs");
    daemon.attach(&format!("{name}-disk"), 2)
}

#[test]
fn file_systems_of_a_guest_survive_the_daemons_deaths() {
    let kills = std::env::var("BLOCKD_GUEST_KILLS").map_or(DEFAULT_KILLS, |kills| kills.parse().unwrap());
    let patience = 2 * GUEST_PATIENCE + Duration::from_secs(4) * kills as u32;
    let mut daemon = Daemon::start();
    daemon.watch = Watch::test(TEST_PATIENCE + patience);
    let disks = [formatted(&daemon, "ext4", &["mkfs.ext4", "-q"]), formatted(&daemon, "xfs", &["mkfs.xfs", "-q"])];
    let (mut qemu, mut console) = boot(&disks);
    let mut keyboard = qemu.stdin.take().unwrap();
    let _guard = Guard::new(qemu, patience);
    console.until("GUEST ready");
    for kill in 0..kills {
        let deadline = Instant::now() + GUEST_PATIENCE;
        // QEMU comes back once a second.
        while !["ext4-disk", "xfs-disk"].iter().all(|name| daemon.describe(name).connected) {
            assert!(Instant::now() < deadline, "the guest does not come back after {kill} kills");
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_millis(kill * 53 % 400));
        daemon.kill_and_restart();
        daemon.connect();
    }
    keyboard.write_all(b"\n").unwrap();
    console.until("GUEST done");
    let said: Vec<&String> = console.said.iter().filter(|line| line.contains("GUEST")).collect();
    eprintln!("{kills} kills: {said:#?}");
    let count = |what: &str| said.iter().filter(|line| line.contains(what)).count();
    assert_eq!(count("has 0 bad files"), 4, "{:#?}", console.said);
    assert_eq!(count("errors 0"), 1, "{:#?}", console.said);
    assert_eq!(count("failed") + count("cannot"), 0, "{:#?}", console.said);
    drop(_guard);
    for (name, check) in [("ext4", &["e2fsck", "-fn"]), ("xfs", &["xfs_repair", "-n"])] {
        let disk = format!("{name}-disk");
        assert_eq!(daemon.metrics().volumes[&disk].errors, 0);
        daemon.detach(&disk);
        let raw = daemon.dir.path().join("after.raw");
        std::fs::write(&raw, daemon.export_volume(&disk)).unwrap();
        run(Command::new(check[0]).args(&check[1..]).arg(&raw));
    }
}
