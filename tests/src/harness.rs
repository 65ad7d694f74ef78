//! One cloud, many scenarios: runs them in a row, shows each verdict, and what the node says when one fails.

use crate::aws::Aws;
use crate::simnode::SimNode;
use anyhow::Result;
use std::time::Instant;

/// How much of each daemon's log a failure shows.
const FAILURE_LOG_LINES: usize = 30;

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
pub fn run_all(cloud: &Cloud, scenarios: &[Scenario]) -> bool {
    let mut failed = Vec::new();
    for scenario in scenarios {
        println!("\n--- {}", scenario.name);
        let began = Instant::now();
        let verdict = (scenario.run)(cloud);
        let elapsed_s = began.elapsed().as_secs_f32();
        match verdict {
            Ok(()) => println!("--- {} passed in {elapsed_s:.1} s", scenario.name),
            Err(error) => {
                println!("--- {} FAILED after {elapsed_s:.1} s: {error:#}", scenario.name);
                println!("{}", node_story(&cloud.node));
                failed.push(scenario.name);
            }
        }
    }
    println!("\n{} scenarios: {} passed, {} failed", scenarios.len(), scenarios.len() - failed.len(), failed.len());
    for name in &failed {
        println!("  FAILED {name}");
    }
    failed.is_empty()
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
