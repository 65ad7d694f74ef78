//! What a real ovs-vswitchd tells of its own accord: packets, removed flows, ports, monitors; and its answers on roles and events.

use crate::golden::{check_session, golden_lines, same_again};
use crate::support::{Proxy, Switch, run, spawn};
use hive_openflow::{
    AsyncConfig, AsyncForm, AsyncKind, AsyncMask, Context, ErrorCode, FlowEvent, FlowUpdate, Fragments, Message,
    PacketInFormat, Reply, Role, RoleMessage, SwitchConfig, Version, decode,
};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

const TCP: &str = "50540000000a50540000000908004500002800000000400666cc0a0000010a000002003500500000000000000000500200000000\
    00000000";

/// Changes of a switch that a monitor hears of.
const CHANGES: &[&str] = &[
    "add-flow SW priority=5,in_port=1,actions=controller(max_len=64)",
    "add-flow SW priority=5,in_port=2,actions=set_field:0x1234->reg5,set_field:3->metadata,\
     controller(userdata=01.02.03.04.05,pause,max_len=128,reason=no_match),output:3",
    "add-flow SW priority=5,in_port=3,tcp,actions=ct(table=1,zone=7,commit)",
    "add-flow SW table=1,ip,ct_state=+trk,actions=clone(dec_ttl,controller),controller(reason=invalid_ttl)",
    "add-flow SW priority=9,tcp,tp_dst=99,send_flow_rem,cookie=0x77,actions=set_field:5->reg0,output:2",
    "add-flow SW priority=10,dl_vlan=5,hard_timeout=1,send_flow_rem,actions=drop",
    "mod-flows SW tcp,tp_dst=99,actions=move:reg0[0..15]->reg1[16..31],output:NXM_NX_REG1[0..15]",
    "del-flows SW tcp,tp_dst=99",
    "packet-out SW in_port=1,packet=TCP,actions=set_field:0x99->tun_id,set_field:7->reg3,resubmit(,0)",
    "packet-out SW in_port=2,packet=TCP,actions=resubmit(,0)",
    "packet-out SW in_port=3,packet=TCP,actions=resubmit(,0)",
    "mod-port SW p3 down",
    "mod-port SW p3 up",
];

/// What a message tells, in one word.
fn names(message: &Message) -> Vec<&'static str> {
    match message {
        Message::PacketIn(packet_in) if !packet_in.continuation.is_empty() => vec!["continuation"],
        Message::PacketIn(_) => vec!["packet in"],
        Message::Resume(_) => vec!["resume"],
        Message::FlowRemoved(_) => vec!["flow removed"],
        Message::PortStatus(_) => vec!["port status"],
        Message::Reply { reply: Reply::FlowMonitor(updates), .. } => {
            let name = |update: &FlowUpdate| match update {
                FlowUpdate::Full(full) => match full.event {
                    FlowEvent::Initial => "initial",
                    FlowEvent::Added => "added",
                    FlowEvent::Removed(_) => "removed",
                    FlowEvent::Modified => "modified",
                },
                _ => "other update",
            };
            updates.iter().map(name).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn what_the_daemon_tells_is_written_the_same() {
    let (mut failures, mut text, mut seen) = (String::new(), String::new(), BTreeSet::new());
    let formats = ["standard", "nxt_packet_in", "nxt_packet_in2"];
    for (version, format) in ["10", "13", "14", "15"].iter().flat_map(|version| formats.map(|format| (version, format)))
    {
        let switch = Switch::start();
        let proxy = Proxy::start(switch.directory.path(), switch.path("br0.mgmt"));
        let direct = format!("unix:{}", switch.path("br0.mgmt").display());
        let arguments = |target: &str, command: &str| -> Vec<String> {
            let words = command.split(' ').map(|word| word.replace("SW", target).replace("TCP", TCP));
            [format!("-OOpenFlow{version}")].into_iter().chain(words).collect()
        };
        let resume = if format == "nxt_packet_in2" { "resume" } else { "65535" };
        let command = format!("-P {format} monitor SW {resume} watch:");
        let through = arguments(&format!("unix:{}", proxy.path.display()), &command);
        let mut tool = spawn(Command::new("ovs-ofctl").args(through).env("OVS_RUNDIR", switch.directory.path()), "");
        // The first answer to the monitor's request.
        let multipart = if *version == "10" { 17 } else { 19 };
        proxy.wait_for("monitor", |message| message[1] == multipart);
        for change in CHANGES {
            run(Command::new("ovs-ofctl").args(arguments(&direct, change)));
        }
        let told = |kind: u8| move |message: &[u8]| message[1] == kind;
        proxy.wait_for("status of a port", told(12));
        // The flow that lives a second.
        let of_expiry = |message: &[u8]| message[1] == 11 && message.get(18..20).is_some();
        proxy.wait_for("removed flow", of_expiry);
        std::thread::sleep(std::time::Duration::from_millis(1500));
        tool.kill().unwrap();
        tool.wait().unwrap();
        let sessions = proxy.take();
        let mut found = BTreeSet::new();
        for session in &sessions {
            for failure in check_session(session, &Default::default()) {
                let _ = writeln!(failures, "{version} {format}: {failure}");
            }
            for (_, bytes) in session {
                let context = Context::new(Version::from_wire(bytes[0]).unwrap_or(Version::V1_0));
                found.extend(decode(bytes, &context).into_iter().flat_map(|decoded| names(&decoded.message)));
            }
        }
        let mut wanted = vec!["packet in", "flow removed", "port status", "added", "removed", "modified"];
        if format == "nxt_packet_in2" {
            wanted.extend(["continuation", "resume"]);
        }
        for name in wanted.into_iter().filter(|name| !found.contains(name)) {
            let _ = writeln!(failures, "{version} {format}: no {name}; {found:?}");
        }
        golden_lines(&format!("-O OpenFlow{version} {command}"), &sessions, &mut seen, &mut text);
    }
    if std::env::var_os("GOLDEN").is_some_and(|value| value == "write") {
        let head = "# Messages between ovs-ofctl (>) and ovs-vswitchd (<), Open vSwitch 3.1.0, written by the test `events`.\n";
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/events.txt");
        std::fs::write(file, head.to_owned() + &text).unwrap();
    }
    assert!(failures.is_empty(), "{failures}");
}

/// Requests on roles and events, and whether an answer comes.
fn conversation(version: Version) -> Vec<(Message, bool)> {
    let role = |role, generation| Message::RoleRequest(RoleMessage { role, generation });
    let reasons = |form, kinds: &[AsyncKind]| {
        let masks = kinds.iter().flat_map(|kind| {
            [false, true].map(|secondary| AsyncMask { kind: *kind, secondary, reasons: if secondary { 1 } else { 3 } })
        });
        Message::SetAsync(AsyncConfig { form, masks: masks.collect() })
    };
    let kinds = [AsyncKind::PacketIn, AsyncKind::PortStatus, AsyncKind::FlowRemoved];
    let config = SwitchConfig { fragments: Fragments::Drop, miss_send_bytes: 99 };
    let mut messages = vec![
        (role(Role::Secondary, None), true),
        (role(Role::Equal, None), true),
        (role(Role::NoChange, None), true),
        (Message::SetConfig(config), false),
        (Message::GetConfigRequest, true),
        (reasons(AsyncForm::Nicira, &kinds), false),
        (Message::SetControllerId(7), false),
        (Message::SetPacketInFormat(PacketInFormat::Nicira2), false),
        (Message::FeaturesRequest, true),
        (Message::EchoRequest(b"still there?".to_vec()), true),
        (Message::TlvTableRequest, true),
    ];
    if version > Version::V1_0 {
        messages.extend([
            (role(Role::Primary, Some(5)), true),
            (role(Role::NoChange, Some(0)), true),
            (role(Role::Secondary, Some(4)), true),
            (reasons(AsyncForm::Standard, &kinds), false),
            (Message::GetAsyncRequest, true),
        ]);
    }
    if version < Version::V1_4 {
        messages.push((reasons(AsyncForm::Nicira2, &kinds), false));
    }
    messages
}

#[test]
fn the_daemon_understands_roles_and_events() {
    let switch = Switch::start();
    for version in Version::ALL {
        let mut connection = switch.connect(version);
        for (request, answered) in conversation(version) {
            connection.send(&request, 9);
            let replies = connection.receive_to_barrier().unwrap();
            let mine: Vec<_> = replies.iter().filter(|reply| reply[4..8] == [0, 0, 0, 9]).collect();
            assert_eq!(mine.len(), usize::from(answered), "{version:?} {request:?}: {mine:?}");
            for reply in replies {
                let reply = same_again(&reply, &connection.context).unwrap();
                match (&request, &reply) {
                    // Behind the generation.
                    (Message::RoleRequest(RoleMessage { generation: Some(4), .. }), reply) => {
                        assert!(
                            matches!(reply, Message::Error(error) if error.code == Ok(ErrorCode::RoleRequestStale))
                        );
                    }
                    (Message::RoleRequest(RoleMessage { role: Role::NoChange, .. }), Message::RoleReply(_)) => {}
                    (Message::RoleRequest(asked), Message::RoleReply(told)) => assert_eq!(asked.role, told.role),
                    (Message::GetConfigRequest, Message::GetConfigReply(config)) => {
                        assert_eq!((config.fragments, config.miss_send_bytes), (Fragments::Drop, 99));
                    }
                    (Message::GetAsyncRequest, Message::GetAsyncReply(config)) => {
                        let of = |kind, secondary| {
                            config.masks.iter().find(|mask| mask.kind == kind && mask.secondary == secondary).unwrap()
                        };
                        assert_eq!(of(AsyncKind::PortStatus, false).reasons, 3);
                        assert_eq!(of(AsyncKind::FlowRemoved, true).reasons, 1);
                    }
                    (Message::EchoRequest(asked), Message::EchoReply(told)) => assert_eq!(asked, told),
                    (Message::FeaturesRequest, Message::FeaturesReply(_)) => {}
                    (Message::TlvTableRequest, Message::TlvTableReply(table)) => assert!(table.mappings.is_empty()),
                    // What the switch tells by itself.
                    (_, Message::RoleStatus(_) | Message::PortStatus(_)) => {}
                    _ => panic!("{version:?} {request:?}: {reply:?}"),
                }
            }
        }
    }
}
