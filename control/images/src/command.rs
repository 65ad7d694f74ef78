//! Runs the host's tools, and keeps what they said when they fail.

use std::process::{Command, Stdio};

use crate::error::BuildError;

/// Lines of a failed tool's standard error that reach the operator: enough for apt's explanation, short enough for a terminal.
const STDERR_TAIL_LINES: usize = 20;

/// Runs `command` as part of `step` and returns its standard output.
///
/// # Errors
/// If it cannot be started or does not exit with 0.
pub(crate) fn run(step: &'static str, command: &mut Command) -> Result<String, BuildError> {
    let program = command.get_program().to_string_lossy().into_owned();
    // One language and one clock, whatever the operator's shell says.
    let output = command
        .env("LC_ALL", "C.UTF-8")
        .env("SOURCE_DATE_EPOCH", crate::SOURCE_DATE_EPOCH.to_string())
        .stdin(Stdio::null())
        .output()
        .map_err(|source| BuildError::Start { step, program: program.clone(), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(BuildError::Tool { step, program, status: output.status.to_string(), stderr_tail: tail(&output.stderr) })
}

fn tail(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(STDERR_TAIL_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_tool_is_named_with_its_step_and_last_words() {
        let error = run("greeting", Command::new("sh").args(["-c", "echo first >&2; echo last words >&2; exit 3"]))
            .expect_err("exit 3");
        let text = error.to_string();
        assert!(text.contains("greeting") && text.contains("sh") && text.contains("3"), "{text}");
        assert!(text.ends_with("first\nlast words"), "{text}");
    }

    #[test]
    fn only_the_tail_of_a_long_complaint_is_kept() {
        let long: String = (0..100).map(|n| format!("line {n}\n")).collect();
        let kept = tail(long.as_bytes());
        assert_eq!(kept.lines().count(), STDERR_TAIL_LINES);
        assert!(kept.ends_with("line 99"));
    }

    #[test]
    fn an_absent_tool_is_an_error_of_its_own() {
        let error = run("greeting", &mut Command::new("hive-no-such-tool")).expect_err("absent");
        assert!(matches!(error, BuildError::Start { .. }));
    }
}
