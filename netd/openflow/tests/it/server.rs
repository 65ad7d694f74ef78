//! ovs-ofctl talks to a switch made of this crate: it must print what it prints of a real ovs-vswitchd.

use crate::fake;
use crate::support::{Switch, ovs_ofctl};
use hive_openflow::{Message, Reply, Request, TableFeatures, Version, decode};
use std::fmt::Write as _;
use std::thread;

const COMMANDS: &str = include_str!("../golden/commands.txt");

/// What both switches are told; where the real one refuses, it is not.
const CHANGES: [&str; 4] = ["add-tlv-map ", "add-meter ", "add-group ", "add-flow "];

/// What both are asked.
const QUESTIONS: &[&str] = &[
    "* show SW",
    "* dump-desc SW",
    "* dump-flows SW",
    "* --no-stats dump-flows SW",
    "* --no-names dump-flows SW table=2",
    "* dump-aggregate SW",
    "* dump-tables SW",
    "345 dump-table-features SW",
    "45 dump-table-desc SW",
    "* dump-ports SW",
    "* dump-ports SW 2",
    "* dump-ports-desc SW",
    "* queue-stats SW",
    "* queue-get-config SW 1",
    "* get-frags SW",
    "* dump-tlv-map SW",
    "* dump-groups SW",
    "* dump-group-stats SW",
    "* dump-group-features SW",
    "345 dump-meters SW",
    "345 meter-stats SW",
    "345 meter-features SW",
    "* probe SW",
    "* ping SW 10",
    "345 --bundle add-flow SW table=5,priority=201,ip,actions=set_field:5->metadata,output:1",
    "* dump-flows SW table=5",
    "* add-flow SW priority=5,set_field",
    "* add-flow SW table=7,actions=resubmit(,3),output:NXM_NX_REG0[0..15],drop",
];

fn tool(version: &str, target: &str, command: &str) -> (bool, String) {
    let output = ovs_ofctl(version, target, command);
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).replace(target, "SW"));
    (output.status.success(), text.concat())
}

/// Without what differs from one switch, or one moment, to the next; flows in one order.
fn comparable(text: &str) -> Vec<String> {
    const VARYING: [&str; 9] =
        ["ref_count=", "flow_count:", "duration=", "duration:", "idle_age=", "addr:", "dpid:", "xid=", "time="];
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
            line
        })
        .collect();
    lines.sort();
    lines
}

fn applies(line: &str, version: &str) -> Option<String> {
    let (versions, command) = line.split_once(' ')?;
    let meant = versions.starts_with('*') || versions.contains(&version[1..]);
    (meant && !versions.ends_with('!') && !line.starts_with('#')).then(|| command.to_owned())
}

/// As the daemon says them.
fn table_features(switch: &Switch, version: &str) -> Vec<TableFeatures> {
    let version = match version {
        "13" => Version::V1_3,
        "14" => Version::V1_4,
        "15" => Version::V1_5,
        _ => return Vec::new(),
    };
    let mut connection = switch.connect(version);
    connection.send(&Message::Request { request: Request::TableFeatures(Vec::new()), more: false }, 5);
    let replies = connection.receive_to_barrier().unwrap();
    let features = replies.iter().map(|reply| match decode(reply, &connection.context).unwrap().message {
        Message::Reply { reply: Reply::TableFeatures(features), .. } => features,
        other => panic!("{other:?}"),
    });
    features.flatten().collect()
}

fn differences(version: &str) -> String {
    let switch = Switch::start();
    let path = switch.path("fake.sock");
    fake::serve(&path, table_features(&switch, version));
    let targets = [switch.path("br0.mgmt"), path].map(|path| format!("unix:{}", path.display()));
    let changes = COMMANDS.lines().filter_map(|line| applies(line, version));
    let changes = changes.filter(|line| CHANGES.iter().any(|change| line.starts_with(change)));
    let questions = QUESTIONS.iter().filter_map(|line| applies(line, version));
    let mut text = String::new();
    for command in changes.chain(questions) {
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
fn the_tool_prints_the_same_of_this_crate_and_of_the_daemon() {
    let workers = ["10", "13", "14", "15"].map(|version| thread::spawn(move || differences(version)));
    let text: String = workers.map(|worker| worker.join().unwrap()).concat();
    assert!(text.is_empty(), "{text}");
}
