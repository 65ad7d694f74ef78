//! Stock QEMU with Linux guests, at vhost-user ports: what they send to each other arrives, also in large TCP segments.

use crate::guest::mac;
use crate::ovs::lab::Lab;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// For the boot and all that the guests do; they run on emulated processors.
const GUEST_PATIENCE: Duration = Duration::from_secs(240);

/// Each asks for the other; then one sends, and both say what that was.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev
while read -r module; do insmod /modules/$module; done </modules/order
until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done
own=$(sed -n 's/.*own=\([^ ]*\).*/\1/p' /proc/cmdline); other=$(sed -n 's/.*other=\([^ ]*\).*/\1/p' /proc/cmdline)
ip addr add $own/24 dev eth0; ip link set eth0 up
until ping -c 1 -W 1 $other >/dev/null; do :; done
if [ $own = 10.0.0.5 ]; then
  dd if=/dev/urandom of=/tmp/sent bs=1M count=8 2>/dev/null
  until nc $other 9999 </tmp/sent; do sleep 0.2; done
  echo "GUEST sum $(md5sum </tmp/sent)"
else
  echo "GUEST sum $(nc -l -p 9999 | md5sum)"
fi
sleep 1000
"#;

struct Machine {
    qemu: Child,
    said: Receiver<String>,
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Machine {
    fn start(dir: &Path, socket: &str, number: u8, other: u8) -> Self {
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args([
                "-accel",
                "tcg",
                "-M",
                "q35",
                "-cpu",
                "max",
                "-m",
                "192M",
                "-nodefaults",
                "-nographic",
                "-no-reboot",
            ])
            .args(["-object", "memory-backend-memfd,id=mem,size=192M,share=on", "-numa", "node,memdev=mem"])
            .args(["-chardev", &format!("socket,id=c,path={socket}"), "-netdev", "vhost-user,id=n,chardev=c"])
            // Without MSI-X: QEMU 7.2 without KVM ends when the driver starts otherwise.
            .args(["-device", &format!("virtio-net-pci,netdev=n,mac={},vectors=0", mac(number))])
            .args(["-serial", "stdio", "-append"])
            .arg(format!("console=ttyS0 quiet panic=-1 own=10.0.0.{number} other=10.0.0.{other}"))
            .arg("-kernel")
            .arg(dir.join("vmlinuz"))
            .arg("-initrd")
            .arg(dir.join("initrd.cpio"));
        let mut qemu = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let lines = BufReader::new(qemu.stdout.take().unwrap()).split(b'\n');
        let (tell, said) = channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = tell.send(String::from_utf8_lossy(&line).trim().to_owned());
            }
        });
        Self { qemu, said }
    }

    /// What it says of what was sent.
    fn sum(&self, deadline: Instant) -> String {
        let mut all = Vec::new();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.said.recv_timeout(left).unwrap_or_else(|error| panic!("{error}: {all:#?}"));
            if let Some((_, sum)) = line.split_once("GUEST sum ") {
                return sum.to_owned();
            }
            all.push(line);
        }
    }
}

#[test]
fn linux_guests_of_qemu_reach_each_other() {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("netd-qemu");
    std::fs::create_dir_all(&dir).unwrap();
    std::fs::write(dir.join("init"), INIT).unwrap();
    let pack = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/guest/pack");
    let packed = Command::new(pack).arg(&dir).args(["virtio_pci", "virtio_net"]).output().unwrap();
    assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    let lab = Lab::new();
    lab.vsctl("add-br br0 -- set bridge br0 datapath_type=netdev");
    for name in ["q5", "q6"] {
        lab.vsctl(&format!("add-port br0 {name} -- set interface {name} type=dpdkvhostuser"));
    }
    let deadline = Instant::now() + GUEST_PATIENCE;
    let machines =
        [(5, 6), (6, 5)].map(|(number, other)| Machine::start(&dir, &lab.path(&format!("q{number}")), number, other));
    let [sent, arrived] = machines.each_ref().map(|machine| machine.sum(deadline));
    assert_eq!(sent, arrived);
}
