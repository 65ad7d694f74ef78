//! TCP between two Linux guests of stock QEMU, large segments left to the virtual card where it can: at netd's vhost-user ports, and at
//! what QEMU brings itself, TAP devices of a Linux bridge and a socket between two machines.

use super::bed::{Bed, Switch};
use crate::report::{Better, Line};
use crate::rival::{self, Priority, Process};
use anyhow::{Context, bail, ensure};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// How its cases are called.
pub const NAME: &str = "TCP of two Linux guests";
const IPERF: &str = "/usr/bin/iperf3";
/// For a boot, or a measurement; both are slow on emulated processors.
const PATIENCE: Duration = Duration::from_secs(180);
/// TCP's window grows meanwhile.
const OMITTED_S: u32 = 1;
const MEMORY_MIB: u32 = 256;

/// The first guest waits for connections, the second asks for as many seconds of one as it is told on its console.
const INIT: &str = r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mount -t tmpfs tmp /tmp
while read -r module; do insmod /modules/$module; done </modules/order
until [ -e /sys/class/net/eth0 ]; do sleep 0.1; done
own=$(sed -n 's/.*own=\([^ ]*\).*/\1/p' /proc/cmdline)
ip link set lo up; ip addr add 10.0.0.$own/24 dev eth0; ip link set eth0 up
if [ $own = 1 ]; then
  iperf3 -s >/dev/null
else
  until ping -c 1 -W 1 10.0.0.1 >/dev/null; do :; done
  echo "GUEST ready"
  while read -r seconds; do
    iperf3 -c 10.0.0.1 -O OMITTED -t $seconds -J >/tmp/result
    echo "GUEST result $(tr -d '\n\r\t' </tmp/result)"
  done
fi
"#;

/// How two guests reach each other.
enum Network {
    Netd(Bed),
    /// A network of the kernel with a bridge and two TAP devices; it ends with its keeper.
    Tap(Process),
    Socket(tempfile::TempDir),
}

impl Network {
    fn netd(netd: &Switch) -> anyhow::Result<Self> {
        let bed = Bed::start_with(netd, Priority::Normal)?;
        bed.set_flows("actions=NORMAL\n")?;
        Ok(Self::Netd(bed))
    }

    fn tap() -> anyhow::Result<Self> {
        let directory = tempfile::tempdir()?;
        let made = directory.path().join("made");
        let script = "ip link add bridge type bridge; ip link set bridge up\n\
                      for n in 1 2; do ip tuntap add tap$n mode tap vnet_hdr; ip link set tap$n master bridge up; done\n\
                      : >\"$0\"; exec sleep infinity";
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "unshare", "--net", "--", "sh", "-ec", script]).arg(&made);
        let keeper = Process::spawn(command.stdin(Stdio::null()))?;
        wait_for_file(&made).context("no bridge with TAP devices can be made here")?;
        Ok(Self::Tap(keeper))
    }

    fn socket() -> anyhow::Result<Self> {
        Ok(Self::Socket(tempfile::tempdir()?))
    }

    /// What QEMU is started by, and its network device's backend, `n`, for guest 1 or 2.
    fn backend(&self, number: usize) -> (Vec<String>, Vec<String>) {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        match self {
            Self::Netd(bed) => {
                let socket = bed.socket(number - 1);
                let chardev = format!("socket,id=c,path={},server=on,wait=off", socket.display());
                (Vec::new(), owned(&["-chardev", &chardev, "-netdev", "vhost-user,id=n,chardev=c"]))
            }
            Self::Tap(keeper) => {
                let network = format!("--net=/proc/{}/ns/net", keeper.id());
                let device = format!("tap,id=n,ifname=tap{number},script=no,downscript=no,vhost=off");
                (owned(&["nsenter", &network, "--"]), owned(&["-netdev", &device]))
            }
            Self::Socket(directory) => {
                let role = if number == 1 { "on" } else { "off" };
                let path = directory.path().join("wire").display().to_string();
                let device = format!("stream,id=n,server={role},addr.type=unix,addr.path={path}");
                (Vec::new(), owned(&["-netdev", &device]))
            }
        }
    }

    /// Where the first guest must listen before the second one starts, which tries once.
    fn awaited(&self) -> Option<PathBuf> {
        match self {
            Self::Socket(directory) => Some(directory.path().join("wire")),
            Self::Netd(_) | Self::Tap(_) => None,
        }
    }

    /// The process that forwards, if it is not QEMU or the kernel.
    fn process(&self) -> Option<&Process> {
        match self {
            Self::Netd(bed) => Some(bed.process()),
            Self::Tap(_) | Self::Socket(_) => None,
        }
    }
}

struct Guest {
    qemu: Process,
    console: ChildStdin,
    said: Receiver<String>,
}

impl Guest {
    fn start(files: &Path, network: &Network, number: usize) -> anyhow::Result<Self> {
        let (prefix, backend) = network.backend(number);
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(prefix).arg("qemu-system-x86_64");
        // Without hardware help QEMU 7.2 ends when a driver at a vhost-user port asks for MSI-X: all sides do without it then.
        let has_kvm = matches!(rival::check_kvm(), Ok(Ok(())));
        let (accelerator, vectors) = if has_kvm { ("kvm", "") } else { ("tcg,thread=multi", ",vectors=0") };
        let memory = format!("memory-backend-memfd,id=mem,size={MEMORY_MIB}M,share=on");
        command.args(["-accel", accelerator, "-M", "q35", "-cpu", "max", "-m", &format!("{MEMORY_MIB}M")]);
        command.args(["-nodefaults", "-nographic", "-no-reboot", "-object", &memory, "-numa", "node,memdev=mem"]);
        command.args(backend).arg("-device");
        command.arg(format!("virtio-net-pci,netdev=n,mac=52:54:00:00:00:0{number},romfile={vectors}"));
        command.args([
            "-serial",
            "stdio",
            "-append",
            &format!("console=ttyS0 quiet panic=-1 no_timer_check own={number}"),
        ]);
        command.arg("-kernel").arg(files.join("vmlinuz")).arg("-initrd").arg(files.join("initrd.cpio"));
        let mut qemu = Process::spawn(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let (console, output) = qemu.take_pipes().context("QEMU has no console")?;
        Ok(Self { qemu, console, said: lines(output) })
    }

    /// What follows `word` on the next line that has it.
    fn wait_for(&self, word: &str) -> anyhow::Result<String> {
        let deadline = Instant::now() + PATIENCE;
        let mut others = Vec::new();
        loop {
            match self.said.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => match line.split_once(word) {
                    Some((_, rest)) => return Ok(rest.trim().to_owned()),
                    None => others.push(line),
                },
                Err(_) => bail!("a guest does not say {word:?}: {}", others.join("\n")),
            }
        }
    }
}

fn lines(output: ChildStdout) -> Receiver<String> {
    let (tell, said) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if tell.send(String::from_utf8_lossy(&line).trim().to_owned()).is_err() {
                break;
            }
        }
    });
    said
}

fn wait_for_file(path: &Path) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !path.exists() {
        ensure!(Instant::now() < deadline, "{} does not appear", path.display());
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Two guests and what is between them. They end before it does.
struct Pair {
    guests: [Guest; 2],
    network: Network,
}

impl Pair {
    /// Boots both, and leaves them paused.
    fn start(files: &Path, network: Network) -> anyhow::Result<Self> {
        let first = Guest::start(files, &network, 1)?;
        if let Some(socket) = network.awaited() {
            wait_for_file(&socket)?;
        }
        let pair = Self { guests: [first, Guest::start(files, &network, 2)?], network };
        pair.guests[1].wait_for("GUEST ready")?;
        pair.pause(true)?;
        Ok(pair)
    }

    fn pause(&self, paused: bool) -> anyhow::Result<()> {
        let qemu = self.guests.iter().map(|guest| &guest.qemu);
        qemu.chain(self.network.process()).try_for_each(|process| process.pause(paused))
    }

    /// Gigabits in a second that arrived.
    fn rate(&mut self, seconds: u32) -> anyhow::Result<f64> {
        self.pause(false)?;
        writeln!(self.guests[1].console, "{seconds}")?;
        let result = self.guests[1].wait_for("GUEST result")?;
        self.pause(true)?;
        let result: serde_json::Value = serde_json::from_str(&result).with_context(|| format!("iperf3: {result}"))?;
        let received = result.pointer("/end/sum_received/bits_per_second").and_then(serde_json::Value::as_f64);
        let rate = received.with_context(|| format!("iperf3 has not measured: {result}"))? / 1e9;
        ensure!(rate > 0.0, "nothing arrived");
        Ok(rate)
    }
}

/// What the guests boot, made once beside this program.
fn files() -> anyhow::Result<PathBuf> {
    ensure!(Path::new(IPERF).exists(), "{IPERF} is missing: install package iperf3");
    let program = std::env::current_exe()?;
    let target = program.parent().and_then(Path::parent).context("this program is not in a target directory")?;
    let directory = target.join("tmp/perf-guest");
    std::fs::create_dir_all(&directory)?;
    std::fs::write(directory.join("init"), INIT.replace("OMITTED", &OMITTED_S.to_string()))?;
    let pack = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/guest/pack");
    let packed = Command::new(pack).arg(&directory).args(["virtio_pci", "virtio_net", IPERF]).output();
    let packed = packed.with_context(|| format!("cannot start {pack}"))?;
    ensure!(packed.status.success(), "cannot make a guest: {}", String::from_utf8_lossy(&packed.stderr).trim());
    Ok(directory)
}

/// Ours and each rival in turn, `rounds` times.
pub fn measure(rounds: usize, seconds: f64, netd: &Switch) -> anyhow::Result<Vec<Line>> {
    let files = files()?;
    let seconds = (seconds.ceil() as u32).max(1);
    let mut ours = Pair::start(&files, Network::netd(netd)?).context("guests at netd")?;
    let mut rivals = Vec::new();
    for (name, network) in [("QEMU tap, Linux bridge", Network::tap()?), ("QEMU socket", Network::socket()?)] {
        rivals.push((name, Pair::start(&files, network).with_context(|| format!("guests at {name}"))?, Vec::new()));
    }
    for _ in 0..rounds {
        for (name, pair, figures) in &mut rivals {
            let our_rate = ours.rate(seconds).context("guests at netd")?;
            figures.push((our_rate, pair.rate(seconds).with_context(|| format!("guests at {name}"))?));
        }
    }
    let line = |(name, _, figures)| Line::new("net", NAME, ("Gbit/s", Better::Higher), name, None, figures);
    Ok(rivals.into_iter().map(line).collect())
}
