//! The life of the process: from configuration to exit report, with resets in between.

use crate::config;
use crate::error::{Error, Result};
use crate::machine::{Begin, End, Machine};
use hive_vmm_api::{EXIT_START_FAILED, ExitReason, ExitReport, Metrics, VmConfig};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

/// Environment variable that carries a machine over its reset.
const CARRY_VARIABLE: &str = "HIVE_VMM_CARRY";

/// What survives a guest reset beside the console log: the program starts anew in the same process.
#[derive(Debug, Serialize, Deserialize)]
struct Carry {
    /// The process that wrote it; another one that inherits the variable is not its reset.
    pid: u32,
    config: VmConfig,
    resets: u64,
    metrics: Metrics,
}

/// Check a configuration file; print it with its defaults.
pub fn check_config(path: &Path) -> ExitCode {
    let checked = config::read(path).and_then(|config| {
        config::check(&config)?;
        serde_json::to_string_pretty(&config).map_err(|e| Error::Config(e.to_string()))
    });
    match checked {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(e) => start_failed(&e),
    }
}

/// Run the machine of a configuration file on the KVM device `kvm`, in a process that began at `started`.
pub fn run(path: &Path, kvm: &Path, started: Instant) -> ExitCode {
    let carried = carried();
    let config = match &carried {
        Some(carry) => Ok(carry.config.clone()),
        None => config::read(path),
    };
    let config = match config {
        Ok(config) => config,
        Err(e) => return start_failed(&e),
    };
    let begin = Begin {
        started,
        resets: carried.as_ref().map_or(0, |carry| carry.resets),
        metrics: carried.map(|carry| carry.metrics).unwrap_or_default(),
    };
    let machine = config::check(&config).and_then(|()| Machine::build(&config, kvm, &begin));
    let mut machine = match machine {
        Ok(machine) => machine,
        Err(e) => {
            let code = start_failed(&e);
            report(&config, e.start_reason(), &e.to_string());
            return if e.start_reason() == ExitReason::Stopped { ExitCode::SUCCESS } else { code };
        }
    };
    let (reason, message) = match machine.run() {
        Ok(End::Reset) => {
            let carry = Carry {
                pid: std::process::id(),
                resets: begin.resets + 1,
                metrics: machine.metrics(),
                config: config.clone(),
            };
            // Returns only if it fails.
            let error = restart(&carry);
            (ExitReason::Internal, error.to_string())
        }
        Ok(End::Report(reason, message)) => (reason, message),
        Err(e) => (ExitReason::Internal, e.to_string()),
    };
    machine.remove_sockets();
    report(&config, reason, &message);
    match reason {
        ExitReason::GuestPowerOff | ExitReason::Stopped => {
            tracing::info!(?reason, message, "the machine ended");
            ExitCode::SUCCESS
        }
        _ => {
            tracing::error!(?reason, message, "the machine failed");
            ExitCode::FAILURE
        }
    }
}

fn start_failed(error: &Error) -> ExitCode {
    tracing::error!("{error}");
    ExitCode::from(EXIT_START_FAILED as u8)
}

fn carried() -> Option<Carry> {
    let text = std::env::var(CARRY_VARIABLE).ok()?;
    serde_json::from_str::<Carry>(&text).ok().filter(|carry| carry.pid == std::process::id())
}

/// Begin anew in this process: every descriptor but the standard ones closes, guest memory and devices are fresh.
fn restart(carry: &Carry) -> Error {
    let text = match serde_json::to_string(carry) {
        Ok(text) => text,
        Err(e) => return Error::Config(e.to_string()),
    };
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    Error::io("restart the VMM for a guest reset")(command.args(arguments).env(CARRY_VARIABLE, text).exec())
}

/// Write the exit report, whole or not at all.
fn report(config: &VmConfig, reason: ExitReason, message: &str) {
    let report = ExitReport { vm_id: config.vm_id.clone(), reason, message: message.to_owned() };
    if let Err(e) = write_report(&config.exit_report, &report) {
        tracing::error!("{e}");
    }
}

fn write_report(path: &Path, report: &ExitReport) -> Result<()> {
    let fail = || Error::io(format!("write exit report {}", path.display()));
    let bytes = serde_json::to_vec(report).map_err(|e| fail()(e.into()))?;
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".new");
    let mut file = File::create(&temporary).map_err(fail())?;
    file.write_all(&bytes).map_err(fail())?;
    file.sync_all().map_err(fail())?;
    std::fs::rename(&temporary, path).map_err(fail())
}
