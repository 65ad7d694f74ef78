//! A real `ovs-vswitchd` with the userspace datapath and ports that are sockets of its own: no kernel module, no privileges.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Switch {
    folder: tempfile::TempDir,
    daemons: Vec<Child>,
    control: Option<UnixStream>,
    seen: usize,
}

impl Drop for Switch {
    fn drop(&mut self) {
        for daemon in &mut self.daemons {
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
    }
}

impl Switch {
    /// Bridge `br0` with ports `p1` (1) that packets come in by, and `p3` (3), all of whose output is kept.
    pub fn start(flows: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let schema = "/usr/share/openvswitch/vswitch.ovsschema";
        run(&folder, Command::new("ovsdb-tool").args(["create", &path("conf.db"), schema]));
        let mut switch = Self { folder, daemons: Vec::new(), control: None, seen: 0 };
        let path = |name: &str| switch.folder.path().join(name).display().to_string();
        let remote = format!("punix:{}", path("db.sock"));
        let database = format!("unix:{}", path("db.sock"));
        switch
            .daemons
            .push(spawn(&switch.folder, Command::new("ovsdb-server").args([&path("conf.db"), "--remote", &remote])));
        let vsctl = |args: &[&str]| {
            let mut command = Command::new("ovs-vsctl");
            command.args(["--timeout=60", "--retry"]).arg(format!("--db={database}")).args(args);
            run(&switch.folder, &mut command);
        };
        vsctl(&["--no-wait", "init"]);
        let (control, pidfile) = (path("switch.ctl"), path("switch.pid"));
        let mut daemon = Command::new("ovs-vswitchd");
        daemon.arg(&database).args(["--enable-dummy", "--disable-system"]);
        daemon.args([format!("--unixctl={control}"), format!("--pidfile={pidfile}")]);
        daemon.arg(format!("--log-file={}", path("switch.log")));
        let daemon = spawn(&switch.folder, &mut daemon);
        let output = format!("options:tx_pcap={}", path("p3.pcap"));
        vsctl(&[
            "add-br",
            "br0",
            "--",
            "set",
            "bridge",
            "br0",
            "datapath_type=dummy",
            "fail_mode=secure",
            "--",
            "add-port",
            "br0",
            "p1",
            "--",
            "set",
            "interface",
            "p1",
            "type=dummy",
            "ofport_request=1",
            "--",
            "add-port",
            "br0",
            "p3",
            "--",
            "set",
            "interface",
            "p3",
            "type=dummy",
            "ofport_request=3",
            &output,
        ]);
        switch.daemons.push(daemon);
        let deadline = Instant::now() + PATIENCE;
        while switch.control.is_none() {
            switch.control = UnixStream::connect(&control).ok();
            assert!(switch.control.is_some() || Instant::now() < deadline, "no control socket");
            std::thread::sleep(Duration::from_millis(20));
        }
        let mut ofctl = Command::new("ovs-ofctl");
        ofctl.args(["--timeout=60", "-O", "OpenFlow13", "add-flows", &format!("unix:{}", path("br0.mgmt")), "-"]);
        let mut ofctl = environment(&switch.folder, &mut ofctl).stdin(Stdio::piped()).spawn().unwrap();
        ofctl.stdin.take().unwrap().write_all(flows.as_bytes()).unwrap();
        assert!(ofctl.wait().unwrap().success());
        // Time goes on only when it is told to.
        switch.call("time/stop", &[]);
        switch
    }

    /// A command of `ovs-appctl`.
    pub fn call(&mut self, method: &str, params: &[&str]) -> String {
        let params: Vec<_> = params.iter().map(|param| format!("\"{param}\"")).collect();
        let request = format!("{{\"id\":0,\"method\":\"{method}\",\"params\":[{}]}}", params.join(","));
        let control = self.control.as_mut().unwrap();
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        control.write_all(request.as_bytes()).unwrap();
        let (mut answer, mut quoted, mut escaped, mut depth) = (Vec::new(), false, false, 0);
        loop {
            let mut byte = [0];
            control.read_exact(&mut byte).expect("an answer");
            answer.push(byte[0]);
            match byte[0] {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b'{' if !quoted => depth += 1,
                b'}' if !quoted => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                break;
            }
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.contains("\"error\":null"), "{method}: {answer}");
        let (_, result) = answer.split_once("\"result\":\"").unwrap();
        let end = result.find("\",\"error\"").or_else(|| result.rfind('"')).unwrap();
        let result = &result[..end];
        result.replace("\\n", "\n")
    }

    /// Sends frames in by `p1`, and gives what comes out by `p3`: as many.
    pub fn send(&mut self, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut output = Vec::new();
        // The port queues 100.
        for batch in frames.chunks(50) {
            let hex: Vec<String> =
                batch.iter().map(|frame| frame.iter().map(|byte| format!("{byte:02x}")).collect()).collect();
            let mut params = vec!["p1"];
            params.extend(hex.iter().map(String::as_str));
            self.call("netdev-dummy/receive", &params);
            let deadline = Instant::now() + PATIENCE;
            loop {
                let all = read_pcap(&self.folder.path().join("p3.pcap"));
                if all.len() >= self.seen + batch.len() {
                    output.extend_from_slice(&all[self.seen..]);
                    self.seen = all.len();
                    break;
                }
                if Instant::now() > deadline {
                    let log = std::fs::read_to_string(self.folder.path().join("switch.log")).unwrap_or_default();
                    let last: Vec<_> = log.lines().rev().take(20).collect();
                    panic!("{} of {} frames came out; last in its log: {last:#?}", all.len() - self.seen, batch.len());
                }
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        output
    }

    /// Lets time pass.
    pub fn warp(&mut self, milliseconds: u64) {
        self.call("time/warp", &[&milliseconds.to_string(), &milliseconds.to_string()]);
        // The clock is advanced by its main loop.
        std::thread::sleep(Duration::from_millis(100));
    }

    /// Connections, in order.
    pub fn connections(&mut self) -> Vec<String> {
        let dump = self.call("dpctl/dump-conntrack", &[]);
        let mut lines: Vec<_> = dump.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
        lines.sort();
        lines
    }
}

fn read_pcap(path: &PathBuf) -> Vec<Vec<u8>> {
    let Ok(file) = std::fs::read(path) else { return Vec::new() };
    let (mut frames, mut at) = (Vec::new(), 24);
    while let Some(header) = file.get(at..at + 16) {
        let size = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        let Some(frame) = file.get(at + 16..at + 16 + size) else { break };
        frames.push(frame.to_vec());
        at += 16 + size;
    }
    frames
}

fn environment<'a>(folder: &tempfile::TempDir, command: &'a mut Command) -> &'a mut Command {
    command.env("OVS_RUNDIR", folder.path()).env("OVS_LOGDIR", folder.path()).env("OVS_DBDIR", folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())
}

fn run(folder: &tempfile::TempDir, command: &mut Command) {
    let status = environment(folder, command).status().expect("Open vSwitch is installed");
    assert!(status.success(), "{command:?}");
}

fn spawn(folder: &tempfile::TempDir, command: &mut Command) -> Child {
    environment(folder, command).spawn().expect("Open vSwitch is installed")
}
