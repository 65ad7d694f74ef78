//! Messages that ovs-ofctl and ovs-vswitchd have written: what is read of them must be written the same.

use crate::support::{Proxy, Session, Side, Switch, finish, ovs_ofctl};
use hive_openflow::{Context, ErrorCode, Header, Message, Reply, Version, decode};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Commands of ovs-ofctl. Before each the versions: `*` for all, else their second digits, and `!` if the daemon refuses. `SW` is the
/// switch.
const COMMANDS: &str = include_str!("../golden/commands.txt");

/// Follow a session: what it agrees on is needed to read what comes later.
pub fn follow(context: &mut Context, message: &Message) {
    match message {
        Message::FlowModTableId(set) => context.table_ids = *set,
        Message::TlvTableMod(change) => {
            if let Ok(table) = context.tlvs.apply(change) {
                context.tlvs = table;
            }
        }
        Message::TlvTableReply(reply) => {
            let all = hive_openflow::TlvTableMod::Add(reply.mappings.clone());
            context.tlvs = hive_openflow::TlvTable::default().apply(&all).unwrap();
        }
        _ => {}
    }
}

/// Read and write again; what differs is told.
pub fn same_again(bytes: &[u8], context: &Context) -> Result<Message, String> {
    let decoded = decode(bytes, context).map_err(|error| format!("refused with {error}: {}", hex::encode(bytes)))?;
    let mut again = Vec::new();
    decoded.message.encode(decoded.header.xid, context, &mut again).map_err(|error| error.to_string())?;
    // The flag that more parts follow is the writer's own.
    if let Message::Request { more: true, .. } | Message::Reply { more: true, .. } = decoded.message
        && let Some(flag) = again.get_mut(11)
    {
        *flag |= 1;
    }
    if again == bytes {
        return Ok(decoded.message);
    }
    let at = bytes.iter().zip(&again).position(|(was, is)| was != is).unwrap_or(bytes.len().min(again.len()));
    let around = |bytes: &[u8]| hex::encode(&bytes[at.saturating_sub(32)..bytes.len().min(at + 64)]);
    Err(format!(
        "differs at {at} of {} and {} bytes\n was {}\n  is {}\n  {:?}",
        bytes.len(),
        again.len(),
        around(bytes),
        around(&again),
        decoded.message
    ))
}

/// Whether a header of tun_metadata0 or tun_metadata1 may stand in a message.
fn names_tunnel_options(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|header| header[0] == 1 && (0x50..=0x53).contains(&header[1]))
}

fn version_of(bytes: &[u8]) -> Option<Version> {
    Version::from_wire(Header::decode(bytes).ok()?.version)
}

pub fn check_session(session: &Session, tlvs: &hive_openflow::TlvTable) -> Vec<String> {
    let mut failures = Vec::new();
    let mut context: Option<Context> = None;
    for (side, bytes) in session {
        let Some(version) = version_of(bytes) else { continue };
        let hello = bytes.get(1) == Some(&0);
        let context = match &mut context {
            Some(context) if hello || context.version == version => context,
            _ => {
                let mut fresh = Context::new(version);
                fresh.tlvs = tlvs.clone();
                context.insert(fresh)
            }
        };
        match same_again(bytes, context) {
            Ok(message) => follow(context, &message),
            // The tool writes options as short as their values; a switch writes all of them.
            Err(_) if *side == Side::Controller && names_tunnel_options(bytes) => {}
            Err(failure) => failures.push(format!("{side:?} {failure}")),
        }
    }
    failures
}

/// One line for each different message: who wrote it, and its bytes.
pub fn golden_lines(command: &str, sessions: &[Session], seen: &mut BTreeSet<Vec<u8>>, text: &mut String) {
    let mut headed = false;
    for (side, bytes) in sessions.iter().flatten() {
        let mut without_xid = bytes.clone();
        without_xid.get_mut(4..8).into_iter().for_each(|xid| xid.fill(0));
        // Table features are as long as a book, and all alike.
        if bytes.len() > 4096 || !seen.insert(without_xid) {
            continue;
        }
        if !headed {
            let _ = writeln!(text, "# ovs-ofctl {command}");
            headed = true;
        }
        let _ = writeln!(text, "{} {}", if *side == Side::Switch { "<" } else { ">" }, hex::encode(bytes));
    }
}

#[test]
fn what_the_tool_and_the_daemon_write_is_written_the_same() {
    let switch = Switch::start();
    let proxy = Proxy::start(switch.directory.path(), switch.path("br0.mgmt"));
    let target = format!("unix:{}", proxy.path.display());
    let (mut failures, mut text, mut seen) = (String::new(), String::new(), BTreeSet::new());
    for version in ["10", "13", "14", "15"] {
        let mut tlvs = hive_openflow::TlvTable::default();
        for line in COMMANDS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (versions, command) = line.split_once(' ').unwrap();
            let refused = versions.ends_with('!');
            if !versions.starts_with('*') && !versions.contains(&version[1..]) {
                continue;
            }
            let output = ovs_ofctl(version, &target, command);
            if output.status.success() == refused {
                let errors = String::from_utf8_lossy(&output.stderr).into_owned();
                let _ = writeln!(failures, "-O {version} {command}: {errors}");
            }
            let sessions = proxy.take();
            for session in &sessions {
                for failure in check_session(session, &tlvs) {
                    let _ = writeln!(failures, "-O {version} {command}: {failure}");
                }
            }
            for (_, bytes) in sessions.iter().flatten() {
                let Some(version) = version_of(bytes) else { continue };
                if let Ok(decoded) = decode(bytes, &Context::new(version))
                    && let Message::TlvTableMod(change) = decoded.message
                {
                    tlvs = tlvs.apply(&change).unwrap_or(tlvs);
                }
            }
            golden_lines(&format!("-O OpenFlow{version} {command}"), &sessions, &mut seen, &mut text);
        }
    }
    // To renew the file: GOLDEN=write.
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        let head = "# Messages between ovs-ofctl (>) and ovs-vswitchd (<), Open vSwitch 3.1.0, written by the test `golden`.\n";
        std::fs::write(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/messages.txt"),
            head.to_owned() + &text,
        )
        .unwrap();
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn kept_messages_are_written_the_same() {
    let messages = [include_str!("../golden/messages.txt"), include_str!("../golden/events.txt")].concat();
    let mut tlvs = hive_openflow::TlvTable::default();
    let mut table_ids = false;
    let (mut count, mut failures) = (0, String::new());
    for line in messages.lines() {
        let Some((side, text)) = line.split_once(' ').filter(|(side, _)| matches!(*side, "<" | ">")) else { continue };
        let bytes = hex::decode(text).unwrap();
        let Some(version) = version_of(&bytes) else { continue };
        let mut context = Context::new(version);
        context.tlvs = tlvs.clone();
        // In OpenFlow 1.0 a table stands in the command; the tool asks for that before it writes any.
        context.table_ids = table_ids && version == Version::V1_0;
        match same_again(&bytes, &context) {
            Ok(message) => {
                follow(&mut context, &message);
                (tlvs, table_ids) = (context.tlvs, table_ids || context.table_ids);
                count += 1;
            }
            Err(_) if side == ">" && names_tunnel_options(&bytes) => {}
            Err(failure) => {
                let _ = writeln!(failures, "{failure}");
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
    assert!(count > 300, "{count}");
}

/// Each refusal by its name must have the numbers that the tool knows.
#[test]
fn errors_have_the_numbers_of_the_tool() {
    for code in ErrorCode::ALL {
        let output = finish(Command::new("ovs-ofctl").args(["print-error", code.name()]), "");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        for (version, name) in
            [(Version::V1_0, "1.0"), (Version::V1_3, "1.3"), (Version::V1_4, "1.4"), (Version::V1_5, "1.5")]
        {
            let line = text.lines().find(|line| line.starts_with(&format!("OpenFlow {name}: ")));
            let context = Context::new(version);
            let mut bytes = Vec::new();
            let error = hive_openflow::ErrorMessage::refuse(*code, &[]);
            Message::Error(error.clone()).encode(1, &context, &mut bytes).unwrap();
            let decoded = decode(&bytes, &context).unwrap().message;
            match line {
                // What the tool does not know in this version is said in other words.
                None => assert_ne!(decoded, Message::Error(error), "{code} in {name}"),
                Some(line) => {
                    let numbers: Vec<u32> = line
                        .split([',', ':'])
                        .filter_map(|part| part.split_whitespace().last())
                        .filter_map(|word| match word.strip_prefix("0x") {
                            Some(word) => u32::from_str_radix(word, 16).ok(),
                            None => word.parse().ok(),
                        })
                        .collect();
                    let [vendor, kind, number] = numbers[..] else { panic!("{line}") };
                    let body = &bytes[8..];
                    let field = |at: usize| u32::from(u16::from_be_bytes([body[at], body[at + 1]]));
                    let wide = |at: usize| field(at) << 16 | field(at + 2);
                    let found = match vendor {
                        0 => (0, field(0), field(2)),
                        _ if version == Version::V1_0 => (wide(4), field(8), field(10)),
                        _ => (wide(4), field(2), 0),
                    };
                    assert_eq!(found, (vendor, kind, number), "{code} in {name}");
                }
            }
        }
    }
}

/// A multipart reply that has parts is no different from one that has not.
#[test]
fn long_replies_are_cut_between_entries() {
    let context = Context::new(Version::V1_3);
    let flows: Vec<_> = (0..2000)
        .map(|number| hive_openflow::FlowStats {
            table: 3,
            flow: Default::default(),
            priority: number,
            cookie: number.into(),
            idle_timeout_s: 0,
            hard_timeout_s: 0,
            importance: 0,
            flags: Default::default(),
            counters: Default::default(),
            hard_age_s: None,
            actions: vec![hive_openflow::Action::Output { port: hive_openflow::PortNo(1), max_len: 0 }],
        })
        .collect();
    let reply = Reply::Flow { flows: flows.clone(), nicira: false };
    let mut bytes = Vec::new();
    Message::Reply { reply, more: false }.encode(7, &context, &mut bytes).unwrap();
    let mut framer = hive_openflow::Framer::default();
    framer.push(&bytes);
    let (mut found, mut last) = (Vec::new(), true);
    while let Some(message) = framer.next_message().unwrap() {
        let Message::Reply { reply: Reply::Flow { flows, .. }, more } = decode(message, &context).unwrap().message
        else {
            panic!("no reply")
        };
        assert!(last, "a part after the last");
        (last, found) = (more, [found, flows].concat());
    }
    assert!(!last);
    assert_eq!(found, flows);
}
