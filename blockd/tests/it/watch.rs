//! No test hangs: what takes too long is ended, and the stacks of this process and of its children say where it was.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::{Duration, Instant};

/// How long one test may take, with whatever else the machine does; a limit for broken code, not a measurement.
pub const TEST_PATIENCE: Duration = Duration::from_secs(900);
/// How long a debugger may take to show one process.
const DEBUGGER_PATIENCE: &str = "60";
const POLL: Duration = Duration::from_millis(200);

struct Watched {
    what: String,
    deadline: Instant,
    end: Box<dyn FnOnce() + Send>,
}

static WATCHED: Mutex<(u64, BTreeMap<u64, Watched>)> = Mutex::new((0, BTreeMap::new()));

fn watched() -> MutexGuard<'static, (u64, BTreeMap<u64, Watched>)> {
    WATCHED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// While it lives, something is expected to end in time.
#[derive(Debug)]
pub struct Watch(u64);

impl Watch {
    /// After `patience` the stacks are shown, and `end` ends what waits.
    pub fn new(what: impl Into<String>, patience: Duration, end: impl FnOnce() + Send + 'static) -> Self {
        static STARTED: Once = Once::new();
        STARTED.call_once(|| drop(std::thread::spawn(look)));
        let new = Watched { what: what.into(), deadline: Instant::now() + patience, end: Box::new(end) };
        let (next, all) = &mut *watched();
        *next += 1;
        all.insert(*next, new);
        Self(*next)
    }

    /// For all that a test waits for and nobody else watches: the whole process ends.
    pub fn test(patience: Duration) -> Self {
        let name = std::thread::current().name().unwrap_or("a test").to_owned();
        // 101 is a panic's.
        Self::new(format!("{name}, all of it"), patience, || std::process::exit(101))
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        watched().1.remove(&self.0);
    }
}

fn look() {
    loop {
        std::thread::sleep(POLL);
        let now = Instant::now();
        let late: Vec<Watched> = {
            let (_, all) = &mut *watched();
            let late: Vec<u64> = all.iter().filter(|(_, w)| w.deadline <= now).map(|(number, _)| *number).collect();
            late.iter().filter_map(|number| all.remove(number)).collect()
        };
        for watched in late {
            show_stacks(&watched.what);
            (watched.end)();
        }
    }
}

/// On the real standard error, not on what the test harness keeps of a test.
pub fn show_stacks(what: &str) {
    let ours = std::process::id();
    let mut text = format!("\n==== too long: {what}\n");
    for pid in std::iter::once(ours).chain(children(ours)) {
        text += &stacks(pid);
    }
    let _ = std::io::stderr().write_all(text.as_bytes());
}

fn children(of: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| parent(*pid) == Some(of)).collect()
}

fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // PID (NAME) STATE PARENT: the name may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

fn stacks(pid: u32) -> String {
    let read = |path: &Path, name: &str| {
        std::fs::read_to_string(path.join(name)).map_or_else(|e| e.to_string(), |text| text.trim().replace('\0', " "))
    };
    let process = Path::new("/proc").join(pid.to_string());
    let mut text = format!("==== process {pid}: {}\n", read(&process, "cmdline"));
    for thread in std::fs::read_dir(process.join("task")).into_iter().flatten().flatten() {
        let path = thread.path();
        let (comm, wchan, syscall) = (read(&path, "comm"), read(&path, "wchan"), read(&path, "syscall"));
        let _ = writeln!(text, "thread {}: {comm}: {wchan}: {syscall}", thread.file_name().display());
        // For root only.
        if let Ok(stack) = std::fs::read_to_string(path.join("stack")) {
            text += &stack;
        }
    }
    // In user space, where there is a debugger. Into a file: while it looks at this process nobody would read from a pipe.
    let shown = tempfile::NamedTempFile::new().and_then(|file| {
        let mut debugger = Command::new("timeout");
        debugger.args([DEBUGGER_PATIENCE, "gdb", "-batch", "-ex", "thread apply all bt", "-p", &pid.to_string()]);
        debugger.stdin(Stdio::null()).stderr(Stdio::null()).stdout(file.reopen()?).status()?;
        std::fs::read(file.path())
    });
    text + &String::from_utf8_lossy(&shown.unwrap_or_default())
}
