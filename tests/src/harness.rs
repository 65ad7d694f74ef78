//! One cloud, many scenarios: runs them in a row, shows each verdict, and what the node says when one fails.

use crate::aws::Aws;
use crate::simnode::SimNode;
use anyhow::Result;
use std::time::Instant;

/// How much of each daemon's log a failure shows.
const FAILURE_LOG_LINES: usize = 30;

/// Last lines of a failure's text that the summary repeats.
const REASON_LINES: usize = 10;

/// Nodes that may hang in one run. A second one is not bad luck but something of ours that hangs nodes.
const MAX_LOST_NODES: usize = 1;

/// A running cloud, as the scenarios see it.
#[derive(Debug)]
pub struct Cloud {
    pub node: SimNode,
    pub aws: Aws,
    /// Id of the image `hive-minimal`.
    pub image: String,
}

/// Something that must hold of a cloud.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub run: fn(&Cloud) -> Result<()>,
}

/// Runs the scenarios one after another and prints a summary. True when all passed.
///
/// Where a scenario failed and its node does not answer ssh either, the scenario runs again on a node that `another` makes, and the
/// summary says so: seldom, QEMU's emulation of nested virtualisation hangs with all processors spinning. More than [`MAX_LOST_NODES`]
/// count as failures.
///
/// # Errors
/// `another` fails.
pub fn run_all(mut cloud: Cloud, scenarios: &[Scenario], another: impl Fn() -> Result<Cloud>) -> Result<bool> {
    let (mut failed, mut lost, mut index) = (Vec::new(), Vec::new(), 0);
    while let Some(scenario) = scenarios.get(index) {
        println!("\n--- {}", scenario.name);
        let began = Instant::now();
        let verdict = (scenario.run)(&cloud);
        let elapsed_s = began.elapsed().as_secs_f32();
        let Err(error) = verdict else {
            println!("--- {} passed in {elapsed_s:.1} s", scenario.name);
            index += 1;
            continue;
        };
        let failure = format!("{} after {elapsed_s:.1} s: {}", scenario.name, abridged(&format!("{error:#}")));
        if lost.len() < MAX_LOST_NODES && cloud.node.ssh("true").is_err() {
            println!("--- {} LOST ITS NODE after {elapsed_s:.1} s: {error:#}", scenario.name);
            println!("=== console of the node\n{}", cloud.node.machine().console_tail());
            lost.push(failure);
            cloud = another()?;
            continue;
        }
        println!("--- {} FAILED after {elapsed_s:.1} s: {error:#}", scenario.name);
        println!("{}", node_story(&cloud.node));
        failed.push(failure);
        index += 1;
    }
    println!("\n{} scenarios: {} passed, {} failed", scenarios.len(), scenarios.len() - failed.len(), failed.len());
    for failure in &lost {
        println!("  LOST ITS NODE, and ran again on another: {failure}");
    }
    for failure in &failed {
        println!("  FAILED {failure}");
    }
    Ok(failed.is_empty())
}

/// The first and the last lines of a text, for those who see only the end of a run: in between is a guest's console.
fn abridged(reason: &str) -> String {
    let lines: Vec<&str> = reason.lines().collect();
    match lines.as_slice() {
        [first, rest @ ..] if rest.len() > REASON_LINES => {
            let last = &rest[rest.len() - REASON_LINES..];
            format!("{first}\n    ...\n    {}", last.join("\n    "))
        }
        _ => lines.join("\n    "),
    }
}

/// State and newest log lines of the node's daemons, and its console.
pub fn node_story(node: &SimNode) -> String {
    let script = format!(
        "hive dev status; hive dev logs -n {FAILURE_LOG_LINES}; for vm in /data/hive/run/vms/*/; do tail -n 15 $vm/vmm.log; done"
    );
    let logs = crate::command::output(&mut node.ssh_command(&script));
    let logs = match &logs {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        Err(error) => format!("no logs: {error:#}"),
    };
    format!("=== daemons of the node\n{logs}=== console of the node\n{}", node.machine().console_tail())
}

#[cfg(test)]
mod tests {
    use super::abridged;

    #[test]
    fn a_long_reason_keeps_its_ends() {
        assert_eq!(abridged("no answer"), "no answer");
        let long = abridged(&(0..100).map(|line| format!("line {line}\n")).collect::<String>());
        assert!(long.starts_with("line 0\n    ...\n    line 90\n") && long.ends_with("line 99"), "{long}");
    }
}
