//! Running other programs and saying what went wrong.

use anyhow::{Context, Result, bail};
use std::process::{Command, Output, Stdio};

/// How much of a failed program's output goes into the error.
const FAILURE_TAIL_BYTES: usize = 4096;

/// Runs `command` with its output captured.
///
/// # Errors
/// It cannot be started, or fails: its command line and the end of what it wrote are in the message.
pub fn run(command: &mut Command) -> Result<Vec<u8>> {
    let output = output(command)?;
    if !output.status.success() {
        bail!("{} failed ({}): {}", line(command), output.status, failure_text(&output));
    }
    Ok(output.stdout)
}

/// Runs `command` and returns what it wrote and how it ended, whichever way.
///
/// # Errors
/// It cannot be started.
pub fn output(command: &mut Command) -> Result<Output> {
    command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {}", line(command)))
}

/// Runs `command` with this process's own output, for long steps that show progress.
///
/// # Errors
/// It cannot be started, or fails.
pub fn show(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {}", line(command)))?;
    if status.success() { Ok(()) } else { bail!("{} failed ({status})", line(command)) }
}

/// The newest output of a program that failed, stderr after stdout.
fn failure_text(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&text[text.len().saturating_sub(FAILURE_TAIL_BYTES)..]).trim().to_owned()
}

fn line(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}
