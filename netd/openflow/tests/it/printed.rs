//! What a daemon without load seldom says: ovs-ofctl must print what was meant.

use crate::support::finish;
use hive_openflow::{
    Context, FlowUpdate, GroupCommand, GroupKind, GroupMod, Message, PortCounters, PortNo, PortStats, QueueDesc, Reply,
    Role, RoleStatus, TableConfig, TableStatus, Vacancy, Version, decode,
};
use std::process::Command;

fn reply(reply: Reply) -> Message {
    Message::Reply { reply, more: false }
}

/// Messages, since which version, and words that are printed of them.
fn messages(context: &Context) -> Vec<(Message, Version, &'static [&'static str])> {
    use Version::{V1_0, V1_3, V1_4};
    let group = GroupMod {
        command: GroupCommand::Delete,
        kind: GroupKind::All,
        group: 7,
        command_bucket: hive_openflow::BUCKET_ALL,
        buckets: Vec::new(),
        selection: None,
    };
    let mut forwarded = Vec::new();
    Message::GroupMod(group).encode(9, context, &mut forwarded).unwrap();
    let vacancy = Some(Vacancy { down_percent: 20, up_percent: 80, now_percent: 15 });
    let table = TableConfig { table: 3, eviction: true, vacancy_events: true, eviction_flags: Some(6), vacancy };
    let early = context.version < V1_4;
    let monitor = |update: FlowUpdate| reply(Reply::FlowMonitor(vec![update]));
    let counters = PortCounters { rx_packets: 1, tx_packets: 2, rx_bytes: 3, collisions: 9, ..PortCounters::default() };
    let stats = |custom: Vec<(String, u64)>| {
        let rfc2819 = (!early).then(|| std::array::from_fn(|index| 100 + index as u64));
        let stats = PortStats { port: PortNo(4), counters, duration_s: 5, duration_ns: 6_000_000, rfc2819, custom };
        reply(Reply::Port(vec![stats]))
    };
    let queue = QueueDesc { port: PortNo(1), queue: 7, min_rate: Some(100), max_rate: Some(505) };
    let role = RoleStatus { role: Role::Secondary, reason: 0, generation: 77 };
    let mut messages: Vec<(Message, Version, &'static [&'static str])> = vec![
        (Message::RoleStatus(role), V1_3, &["role=secondary", "generation_id=77", "reason=primary_request"]),
        (Message::RequestForward(forwarded), V1_0, &["REQUESTFORWARD", "reason=group_mod", "DEL", "group_id=7"]),
        (Message::TableStatus(TableStatus { reason: 3, table }), V1_4, &["reason=VACANCY_DOWN", "table 3"]),
        (
            reply(Reply::TableDesc(vec![table])),
            V1_4,
            &["table 3", "eviction=on", "eviction_flags=IMPORTANCE|LIFETIME", "vacancy=on", "down=20", "up=80", "15"],
        ),
        (monitor(FlowUpdate::Abbreviated { xid: 0x55 }), V1_0, &["event=ABBREV", "xid=0x55"]),
        (stats(Vec::new()), V1_0, &["port  4", "rx pkts=1", "bytes=3", "tx pkts=2", "coll=9"]),
        (stats(vec![("mine".to_owned(), 88)]), V1_4, &["CUSTOM", "mine=88", "1_to_64_packets=100"]),
        (reply(Reply::QueueDesc(vec![queue])), V1_4, &["queue 7", "min_rate:10.0%", "max_rate:50.5%"]),
    ];
    if early {
        messages.extend([
            (Message::FlowMonitorCancel(5), V1_0, &["FLOW_MONITOR_CANCEL", "id=5"][..]),
            (Message::FlowMonitorPaused, V1_0, &["FLOW_MONITOR_PAUSED"]),
            (Message::FlowMonitorResumed, V1_0, &["FLOW_MONITOR_RESUMED"]),
        ]);
    } else {
        messages.extend([
            (monitor(FlowUpdate::Paused), V1_4, &["event=PAUSED"][..]),
            (monitor(FlowUpdate::Resumed), V1_4, &["event=RESUMED"]),
        ]);
    }
    messages
}

#[test]
fn rare_messages_are_printed_as_they_were_meant() {
    let mut failures = String::new();
    for version in Version::ALL {
        let context = Context::new(version);
        for (message, since, words) in messages(&context) {
            let mut bytes = Vec::new();
            if version < since {
                continue;
            }
            message.encode(3, &context, &mut bytes).unwrap();
            let mut again = Vec::new();
            decode(&bytes, &context).unwrap().message.encode(3, &context, &mut again).unwrap();
            assert_eq!(hex::encode(&bytes), hex::encode(&again), "{message:?}");
            let output = finish(Command::new("ovs-ofctl").args(["ofp-print", &hex::encode(&bytes)]), "");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            if text.contains("decode error") || words.iter().any(|word| !text.contains(word)) {
                failures += &format!("{version:?} {message:?}: {words:?}\n{text}\n");
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}
