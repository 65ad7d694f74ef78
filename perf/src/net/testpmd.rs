//! DPDK's testpmd, told what to do over its prompt.

use anyhow::{Context, bail, ensure};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

const BURST: usize = 32;
/// How long testpmd may take to start, or to answer a command.
const PATIENCE: Duration = Duration::from_secs(20);

/// An interactive testpmd.
pub struct Testpmd {
    child: Child,
    output: Arc<Mutex<String>>,
}

impl Testpmd {
    /// One that starts: [`Testpmd::ready`] waits for it. On the thread that will stay, with which it ends.
    pub fn spawn(prefix: &str, lcores: &str, devices: &[String; 2], rest: &[&str]) -> anyhow::Result<Self> {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]);
        // testpmd's output is block-buffered when it is not a terminal.
        command.args([
            "stdbuf",
            "-o0",
            "dpdk-testpmd",
            "--lcores",
            lcores,
            "--no-pci",
            "--in-memory",
            "--single-file-segments",
        ]);
        command.args(["-m", "512", &format!("--file-prefix={prefix}-{}", std::process::id())]);
        for device in devices {
            command.args(["--vdev", device]);
        }
        // Few buffers on both sides keep them in the cache: the switch is measured, not the generator's memory.
        command.args(["--", "-i", "--nb-cores=1", "--txd=1024", "--rxd=1024", "--total-num-mbufs=8192"]);
        command.arg(format!("--burst={BURST}")).args(rest);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().context("cannot start setpriv")?;
        let output = Arc::new(Mutex::new(String::new()));
        let mut stdout = child.stdout.take().context("testpmd has no output")?;
        let collected = output.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..count]).into_owned();
                collected.lock().unwrap_or_else(PoisonError::into_inner).push_str(&text);
            }
        });
        Ok(Self { child, output })
    }

    pub fn ready(mut self) -> anyhow::Result<Self> {
        self.wait_for("testpmd>", 0).context("testpmd did not start (Debian package dpdk-dev)")?;
        Ok(self)
    }

    fn text(&self) -> String {
        self.output.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `wanted` stands in the output behind its first `from` bytes.
    fn wait_for(&mut self, wanted: &str, from: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            if text.get(from..).is_some_and(|rest| rest.contains(wanted)) {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                bail!("testpmd ended with {status}: {}", text.lines().last().unwrap_or_default());
            }
            ensure!(Instant::now() < deadline, "testpmd did not print {wanted:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn say(&mut self, command: &str) -> anyhow::Result<()> {
        let stdin = self.child.stdin.as_mut().context("testpmd has no input")?;
        writeln!(stdin, "{command}").with_context(|| format!("cannot tell testpmd to {command}"))
    }

    /// Frames per second received by both ports since the last call.
    pub fn port_rates(&mut self) -> anyhow::Result<f64> {
        let from = self.text().len();
        self.say("show port stats all")?;
        self.wait_for("port 1", from)?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let text = self.text();
            let lines = text.get(from..).unwrap_or_default().lines();
            let rates: Vec<f64> = lines
                .filter_map(|line| line.trim().strip_prefix("Rx-pps:")?.split_whitespace().next()?.parse().ok())
                .collect();
            if rates.len() >= 2 {
                return Ok(rates.iter().sum());
            }
            ensure!(Instant::now() < deadline, "testpmd printed no rates");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn quit(mut self) -> anyhow::Result<()> {
        self.say("stop")?;
        self.say("quit")?;
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait()?.is_none() {
            ensure!(Instant::now() < deadline, "testpmd does not quit");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Testpmd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
