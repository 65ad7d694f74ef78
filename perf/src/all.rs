//! Every bench in turn, each in a process of its own: one that fails, or ends by a signal, does not keep the next from running.

use crate::rival;
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

const BENCHES: [&str; 5] = ["block", "net", "tunnel", "api", "boot"];
/// The exit status when nothing failed but a bench could not run here.
const NOT_ALL_RAN: u8 = 3;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "The exit status is 0 when every bench ran, 1 when one failed, and 3 when none failed but one cannot run on this \
                  machine.\nA target that is missed is printed as MISSED and is not a failure.\n\nExample:\n  hive-perf all --rounds 3 \
                  --json bench.jsonl"
)]
pub struct Options {
    /// Rounds of each bench; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Append the results as JSON lines
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// What became of a bench.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Ran,
    Failed(String),
    /// Why not, and how to run it.
    CannotRun(String),
}

/// Run all benches and print at the end what became of each.
///
/// # Errors
/// Only what keeps every bench from running.
pub fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let outcomes = BENCHES.map(|bench| {
        println!("\n== {bench}");
        let outcome = match hindrance(bench, &program) {
            Some(why) => Outcome::CannotRun(why),
            None => run_one(bench, &program, options),
        };
        if let Outcome::Failed(why) | Outcome::CannotRun(why) = &outcome {
            println!("{why}");
        }
        (bench, outcome)
    });
    println!("\n== summary");
    for (bench, outcome) in &outcomes {
        let verdict = match outcome {
            Outcome::Ran => "ran",
            Outcome::Failed(_) => "FAILED",
            Outcome::CannotRun(_) => "NOT RUN",
        };
        println!("{bench:<8} {verdict}");
    }
    Ok(exit_status(outcomes.iter().map(|(_, outcome)| outcome)).into())
}

fn exit_status<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> u8 {
    // A failure outweighs whatever did not run.
    outcomes.fold(0, |status, outcome| match (outcome, status) {
        (Outcome::Failed(_), _) | (_, 1) => 1,
        (Outcome::CannotRun(_), _) => NOT_ALL_RAN,
        (Outcome::Ran, status) => status,
    })
}

fn run_one(bench: &str, program: &Path, options: &Options) -> Outcome {
    let mut command = Command::new(program);
    command.args([bench, "--rounds", &options.rounds.to_string()]).stdin(Stdio::null());
    if let Some(json) = &options.json {
        command.arg("--json").arg(json);
    }
    match command.status() {
        Ok(status) if status.success() => Outcome::Ran,
        Ok(status) => Outcome::Failed(format!("hive-perf {bench} ended with {status}")),
        Err(error) => Outcome::Failed(format!("cannot start hive-perf {bench}: {error}")),
    }
}

/// Why this machine cannot run `bench` at all; what merely is not installed shows as a failure. Only the boot bench needs what not
/// every machine has, and `hive node check` knows.
fn hindrance(bench: &str, program: &Path) -> Option<String> {
    if bench != "boot" {
        return None;
    }
    match rival::check_kvm() {
        Ok(Err(why)) => Some(format!(
            "cannot run on this machine: {why}\nIn a simulated node:\n  hive-simnode up --no-cloud --with-qemu --copy {} --image \
             .hive/cache/images/hive-minimal\n  hive-simnode ssh /payload/bin/hive-perf boot --image /payload/images/hive-minimal\n  \
             hive-simnode down",
            program.display()
        )),
        // If not known to be able, the bench itself will say.
        Ok(Ok(())) | Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_status_hides_nothing() {
        let failed = || Outcome::Failed("x".into());
        let cannot = || Outcome::CannotRun("x".into());
        let status = |outcomes: &[Outcome]| exit_status(outcomes.iter());
        assert_eq!(status(&[Outcome::Ran, Outcome::Ran]), 0);
        assert_eq!(status(&[cannot(), Outcome::Ran]), NOT_ALL_RAN);
        assert_eq!(status(&[failed(), cannot(), Outcome::Ran]), 1);
        assert_eq!(status(&[cannot(), failed()]), 1);
    }
}
