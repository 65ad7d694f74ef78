//! ovs-ofctl is told the same of the agent and of a real ovs-vswitchd: it must print the same.

use crate::support::{Agent, Switch, ovs_ofctl};
use std::fmt::Write as _;
use std::thread;

/// As the codec's tests have them, and more.
const SCRIPTS: [&str; 2] =
    [include_str!("../../../openflow/tests/golden/commands.txt"), include_str!("../golden/script.txt")];

fn tool(version: &str, target: &str, command: &str) -> (bool, String) {
    let output = ovs_ofctl(version, target, command);
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).replace(target, "SW"));
    (output.status.success(), text.concat())
}

/// Without what differs from one switch, or one moment, to the next; lines in one order.
fn comparable(text: &str) -> Vec<String> {
    const VARYING: [&str; 11] = [
        "duration=",
        "duration:",
        "idle_age=",
        "hard_age=",
        "addr:",
        "dpid:",
        "xid=",
        "time=",
        "ovs-ofctl: ",
        "lookup=",
        "matched=",
    ];
    let mut lines: Vec<String> = text
        .lines()
        .map(|line| {
            let mut line = line.to_owned();
            for word in VARYING {
                let mut from = 0;
                while let Some(at) = line[from..].find(word).map(|at| from + at + word.len()) {
                    let end = line[at..].find([' ', ',', ')']).map_or(line.len(), |end| at + end);
                    line.replace_range(at..end, "");
                    from = at;
                }
            }
            line.replace(", hard_age=", "")
        })
        .filter(|line| !line.contains("custom") && !line.contains("CUSTOM") && !line.contains("x_q0"))
        .collect();
    lines.sort();
    lines
}

fn applies(line: &str, version: &str) -> Option<String> {
    let (versions, command) = line.split_once(' ')?;
    let meant = versions.starts_with('*') || versions.contains(&version[1..]);
    // Dummy ports have a queue, the agent's have none; and the daemon's tables know fields that the agent does not.
    let differs = command.starts_with("queue-") || command.starts_with("dump-table-features");
    (meant && !line.starts_with('#') && !differs).then(|| command.to_owned())
}

fn differences(version: &str) -> String {
    let (switch, agent) = (Switch::start(), Agent::start());
    let paths = [switch.path("br0.mgmt"), agent.directory.path().join("br0.mgmt")];
    let targets = paths.map(|path| format!("unix:{}", path.display()));
    let files = format!("{}/tests/golden", env!("CARGO_MANIFEST_DIR"));
    let mut text = String::new();
    for command in SCRIPTS.iter().flat_map(|script| script.lines()).filter_map(|line| applies(line, version)) {
        let command = command.replace("FILE", &files);
        let [theirs, ours] = targets.each_ref().map(|target| tool(version, target, &command));
        let [their_lines, our_lines] = [&theirs.1, &ours.1].map(|text| comparable(text));
        if theirs.0 == ours.0 && their_lines == our_lines {
            continue;
        }
        let _ = writeln!(text, "-O {version} {command}: {} {}", theirs.0, ours.0);
        for line in their_lines.iter().filter(|line| !our_lines.contains(line)) {
            let _ = writeln!(text, "  daemon: {line}");
        }
        for line in our_lines.iter().filter(|line| !their_lines.contains(line)) {
            let _ = writeln!(text, "  here:   {line}");
        }
    }
    text
}

#[test]
fn the_tool_prints_the_same_of_the_agent_and_of_the_daemon() {
    let workers = ["10", "13", "14", "15"].map(|version| thread::spawn(move || differences(version)));
    let text: String = workers.map(|worker| worker.join().unwrap()).concat();
    assert!(text.is_empty(), "{text}");
}
