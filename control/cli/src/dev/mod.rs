//! `hive dev`: one node's daemons as independent processes under one root directory.
//!
//! Nothing here stays running: a daemon is found again by its pid file, so every command works from any shell, after a crash of any
//! part, and twice in a row.

mod config;
mod daemon;
mod database;
mod guests;
pub(crate) mod process;

pub use daemon::{Cloud, Daemon, local_address};

use crate::credentials::{Credential, ensure_root_credential};
use crate::logs;
use crate::profile::{MAX_WORKERS, Profile};
use crate::root::Root;
use crate::tls::ensure_certificate;
use anyhow::{Context, Result, bail, ensure};
use process::{POLL_INTERVAL, PidFile, Process};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A daemon that does not answer this long after its start has failed. On real hardware they take well under a second; in a simulated
/// node everything is some thirty times slower.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How much of a failed daemon's log is shown.
const FAILURE_LOG_LINES: usize = 20;

/// Writes configuration and the clients' environment, then starts what does not run yet, in order, waiting for each.
///
/// # Errors
/// A file cannot be made, or a daemon ends or does not answer in time (its log's end is in the message). What was started stays
/// running: `hive dev logs` can be read, `hive dev start` tries again, `hive dev stop` cleans up.
pub fn start(root: &Root, profile: &Profile, programs: &Path) -> Result<()> {
    let began = Instant::now();
    root.create()?;
    let _lock = lock(root)?;
    prepare(root, profile, programs)?;
    let cloud = Cloud::new(root, profile.clone(), programs);
    for daemon in cloud.daemons() {
        start_one(root, &daemon)?;
    }
    say!("cloud up in {:.1} s; use it with: . {}", began.elapsed().as_secs_f32(), root.env().display());
    Ok(())
}

/// Writes certificate, credential, every daemon's configuration and the clients' environment, and prints their names; starts nothing.
///
/// # Errors
/// A file cannot be written.
pub fn generate(root: &Root, profile: &Profile, programs: &Path) -> Result<()> {
    root.create()?;
    let _lock = lock(root)?;
    for file in prepare(root, profile, programs)? {
        say!("{}", file.display());
    }
    say!("{}", root.env().display());
    Ok(())
}

fn prepare(root: &Root, profile: &Profile, programs: &Path) -> Result<Vec<PathBuf>> {
    ensure_certificate(root, &profile.api.names)?;
    database::ensure(root)?;
    let credential = ensure_root_credential(root, &profile.account)?;
    write_env(root, profile, &credential)?;
    config::write_all(root, profile, &credential, programs)
}

fn start_one(root: &Root, daemon: &Daemon) -> Result<()> {
    let pid_file = PidFile::new(root.pid_file(&daemon.name));
    let began = Instant::now();
    let (process, verb) = match pid_file.process() {
        Some(process) => (process, "runs already"),
        None => {
            let log = root.log(&daemon.name);
            (process::spawn(&daemon.program, &daemon.arguments, &daemon.environment, &log, &pid_file)?, "ready")
        }
    };
    wait_ready(root, daemon, process)?;
    say!("  {:<8} {verb} after {:.1} s (pid {})", daemon.name, began.elapsed().as_secs_f32(), process.pid());
    Ok(())
}

fn wait_ready(root: &Root, daemon: &Daemon, process: Process) -> Result<()> {
    let deadline = Instant::now() + READY_TIMEOUT;
    loop {
        let Err(reason) = daemon.probe() else { return Ok(()) };
        let failure = if !process.is_alive() {
            format!("{} ended during its start", daemon.name)
        } else if Instant::now() > deadline {
            format!("{} does not answer {} s after its start ({reason:#})", daemon.name, READY_TIMEOUT.as_secs())
        } else {
            sleep(POLL_INTERVAL);
            continue;
        };
        let log = root.log(&daemon.name);
        bail!("{failure}; the end of {}:\n{}", log.display(), logs::tail(&log, FAILURE_LOG_LINES));
    }
}

/// Stops API, control, guests and data planes, in the order that leaves nothing behind.
///
/// # Errors
/// A process survives.
pub fn stop(root: &Root) -> Result<()> {
    if !root.path().join("pids").exists() {
        say!("nothing runs under {}", root.path().display());
        return Ok(());
    }
    let _lock = lock(root)?;
    // The control daemons first: nobody restarts the guests that stop next; and the guests before their backends.
    let names = running_names(root)?;
    let (control, planes): (Vec<_>, Vec<_>) =
        names.into_iter().partition(|name| name == "awsd" || name.starts_with("hived"));
    for name in control {
        stop_one(root, &name)?;
    }
    guests::stop_all(&root.machines())?;
    // NATS last: the others may still say goodbye on it.
    let (nats, others): (Vec<_>, Vec<_>) = planes.into_iter().partition(|name| name == "nats");
    for name in others.into_iter().chain(nats) {
        stop_one(root, &name)?;
    }
    guests::clear_sockets(root)
}

fn stop_one(root: &Root, name: &str) -> Result<()> {
    let pid_file = PidFile::new(root.pid_file(name));
    if let Some(process) = pid_file.process() {
        process.stop().with_context(|| format!("cannot stop {name}"))?;
        say!("  {name:<8} stopped");
    }
    pid_file.remove()
}

/// Names of all pid files, stale ones too.
fn running_names(root: &Root) -> Result<Vec<String>> {
    let directory = root.path().join("pids");
    let mut names = Vec::new();
    for entry in fs::read_dir(&directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let name = entry.with_context(|| format!("cannot read {}", directory.display()))?.file_name();
        names.extend(name.to_string_lossy().strip_suffix(".pid").map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

/// Prints one line a daemon. True when all that ought to run answer.
pub fn status(cloud: &Cloud) -> bool {
    let mut all_answer = true;
    say!("{:<9} {:<8} {:<28} STATE", "DAEMON", "PID", "ADDRESS");
    for daemon in cloud.daemons() {
        let process = PidFile::new(cloud.root().pid_file(&daemon.name)).process();
        let state = match (process, process.map(|_| daemon.probe())) {
            (_, Some(Ok(()))) => "answers".to_owned(),
            (_, Some(Err(error))) => format!("runs but does not answer: {error:#}"),
            _ => "stopped".to_owned(),
        };
        all_answer &= state == "answers";
        let pid = process.map_or_else(|| "-".to_owned(), |process| process.pid().to_string());
        say!("{:<9} {pid:<8} {:<28} {state}", daemon.name, daemon.address());
    }
    let guests = guests::list(&cloud.root().machines()).len();
    say!("{guests} guest{} running", if guests == 1 { "" } else { "s" });
    all_answer
}

/// Brings the number of hived processes to `workers`.
///
/// # Errors
/// `workers` is out of range, or a daemon fails as in [`start`] and [`stop`].
pub fn scale(root: &Root, mut profile: Profile, programs: &Path, workers: u8) -> Result<()> {
    ensure!((1..=MAX_WORKERS).contains(&workers), "hived={workers}: 1 to {MAX_WORKERS} processes");
    let _lock = lock(root)?;
    profile.compute.workers = workers;
    prepare(root, &profile, programs)?;
    let wanted: Vec<Daemon> = Cloud::new(root, profile, programs).workers();
    for name in running_names(root)?.iter().filter(|name| name.starts_with("hived")) {
        if wanted.iter().all(|daemon| daemon.name != *name) {
            stop_one(root, name)?;
        }
    }
    wanted.iter().try_for_each(|daemon| start_one(root, daemon))
}

/// Only one `hive dev` changes a root at a time. Released when the file is closed.
fn lock(root: &Root) -> Result<fs::File> {
    let path = root.path().join("pids").join("lock");
    let file = fs::File::create(&path).with_context(|| format!("cannot open {}", path.display()))?;
    file.lock().with_context(|| format!("cannot lock {}", path.display()))?;
    Ok(file)
}

fn write_env(root: &Root, profile: &Profile, credential: &Credential) -> Result<()> {
    // An address, not a name: botocore then keeps to path-style S3 requests.
    let endpoint = format!("https://127.0.0.1:{}", profile.api.listen.port());
    let text = format!(
        "export AWS_ENDPOINT_URL={endpoint}\nexport AWS_ACCESS_KEY_ID={}\nexport AWS_SECRET_ACCESS_KEY={}\n\
         export AWS_DEFAULT_REGION={}\nexport AWS_CA_BUNDLE='{}'\n",
        credential.access_key_id,
        credential.secret_access_key,
        profile.region,
        root.tls("ca.pem").display(),
    );
    crate::tls::write_private(&root.env(), &text)
}
