//! The state machine alone: time, limits, connections.

use crate::support::bridge;
use hive_flow::{Field, Match};
use hive_ofproto::{Bridge, Command, ConnectionId, ConnectionKind, FLOWS_MAX, FLOWS_TOTAL_MAX};
use hive_openflow::{
    Action, AsyncKind, Bucket, BundleAdd, BundleControl, BundleControlKind, BundleFlags, Context, ErrorCode,
    FlowCommand, FlowEvent, FlowMod, FlowUpdate, Framer, GROUP_ANY, GroupCommand, GroupKind, GroupMod, Hello, Message,
    MonitorCommand, MonitorFlags, MonitorRequest, PacketIn, PacketInFormat, PacketInReason, PortConfig, PortMod,
    PortNo, RemovedReason, Reply, Request, Role, RoleMessage, Version, decode,
};

/// A controller of a bridge in memory.
pub struct Peer {
    id: ConnectionId,
    context: Context,
    framer: Framer,
}

impl Peer {
    pub fn new(bridge: &mut Bridge, kind: ConnectionKind, version: Version) -> Self {
        let id = bridge.connect(kind);
        let mut this = Self { id, context: Context::new(version), framer: Framer::default() };
        this.send(bridge, &Message::Hello(Hello::of(&[version])), 0);
        assert!(matches!(this.received(bridge)[..], [Message::Hello(_)]));
        this
    }

    fn bytes(&self, message: &Message) -> Vec<u8> {
        let mut bytes = Vec::new();
        message.encode(7, &self.context, &mut bytes).unwrap();
        bytes
    }

    pub fn send(&mut self, bridge: &mut Bridge, message: &Message, now_ms: u64) {
        bridge.receive(self.id, &self.bytes(message), now_ms).unwrap();
    }

    /// All that waits for it.
    pub fn received(&mut self, bridge: &mut Bridge) -> Vec<Message> {
        self.framer.push(&std::mem::take(bridge.output(self.id).unwrap()));
        let mut messages = Vec::new();
        while let Some(bytes) = self.framer.next_message().unwrap() {
            messages.push(decode(bytes, &self.context).unwrap().message);
        }
        messages
    }

    pub fn ask(&mut self, bridge: &mut Bridge, message: &Message, now_ms: u64) -> Vec<Message> {
        self.send(bridge, message, now_ms);
        self.received(bridge)
    }

    /// The error that the message is refused with, if any.
    pub fn refusal(&mut self, bridge: &mut Bridge, message: &Message, now_ms: u64) -> Option<ErrorCode> {
        self.ask(bridge, message, now_ms).into_iter().find_map(|message| match message {
            Message::Error(error) => error.code.ok(),
            _ => None,
        })
    }
}

fn flow_in(in_port: u16) -> Match {
    let mut flow = Match::default();
    flow.exactly(Field::InPort, in_port.into());
    flow
}

fn to(port: u16) -> Vec<Action> {
    vec![Action::Output { port: PortNo(port), max_len: 0 }]
}

fn flow_mod(table: u8, in_port: u16, change: impl FnOnce(&mut FlowMod)) -> Message {
    let mut flow_mod = FlowMod { table, ..FlowMod::add(flow_in(in_port), 5, to(2)) };
    change(&mut flow_mod);
    Message::FlowMod(Box::new(flow_mod))
}

fn flows(bridge: &Bridge) -> usize {
    let tables = bridge.flows().load();
    (0..=254).map(|number| tables.table(number).unwrap().len()).sum()
}

fn removals(messages: Vec<Message>) -> Vec<(u16, RemovedReason)> {
    let removal = |message| match message {
        Message::FlowRemoved(removed) => (removed.flow.get(Field::InPort).value as u16, removed.reason),
        other => panic!("{other:?}"),
    };
    messages.into_iter().map(removal).collect()
}

#[test]
fn flows_end_by_their_timeouts_and_say_so_when_asked() {
    let mut bridge = bridge();
    let mut peer = Peer::new(&mut bridge, ConnectionKind::Controller, Version::V1_5);
    let timed = |port, idle_timeout_s, hard_timeout_s, send_flow_removed| {
        flow_mod(0, port, |flow_mod| {
            (flow_mod.idle_timeout_s, flow_mod.hard_timeout_s) = (idle_timeout_s, hard_timeout_s);
            flow_mod.flags.send_flow_removed = send_flow_removed;
        })
    };
    for message in [timed(1, 10, 0, true), timed(2, 0, 20, true), timed(3, 5, 0, false), timed(4, 0, 0, true)] {
        peer.send(&mut bridge, &message, 1000);
    }
    assert_eq!(bridge.next_expiry_ms(), Some(6000));
    bridge.expire(5999);
    assert_eq!(flows(&bridge), 4);
    // A packet puts the idle timeout off.
    let tables = bridge.flows().load();
    tables.table(0).unwrap().get(&flow_in(1), 5).unwrap().value().usage.add(1, 60, 9000);
    bridge.expire(11_000);
    assert_eq!((flows(&bridge), peer.received(&mut bridge).len()), (3, 0));
    bridge.expire(19_000);
    assert_eq!(removals(peer.received(&mut bridge)), [(1, RemovedReason::IdleTimeout)]);
    bridge.expire(21_000);
    assert_eq!(removals(peer.received(&mut bridge)), [(2, RemovedReason::HardTimeout)]);
    let delete = flow_mod(255, 4, |flow_mod| flow_mod.command = FlowCommand::Delete);
    assert_eq!(removals(peer.ask(&mut bridge, &delete, 22_000)), [(4, RemovedReason::Delete)]);
    assert_eq!((flows(&bridge), bridge.next_expiry_ms()), (0, None));
}

#[test]
fn a_full_table_takes_no_more_but_changes_what_it_has() {
    let mut bridge = bridge();
    let mut peer = Peer::new(&mut bridge, ConnectionKind::Service, Version::V1_3);
    bridge.set_flow_limit(3, 2);
    let add = |port| flow_mod(3, port, |_| {});
    assert_eq!(
        [1, 2, 3, 2].map(|port| peer.refusal(&mut bridge, &add(port), 0)),
        [None, None, Some(ErrorCode::FlowModTableFull), None]
    );
    assert_eq!(peer.refusal(&mut bridge, &flow_mod(4, 3, |_| {}), 0), None);
    assert_eq!(flows(&bridge), 3);
    // All tables together are full too, once; what is refused or deleted takes no room.
    bridge.set_total_flow_limit(4);
    let in_table = |table| flow_mod(table, 3, |_| {});
    let full = Some(ErrorCode::FlowModTableFull);
    assert_eq!([5, 6, 5].map(|table| peer.refusal(&mut bridge, &in_table(table), 0)), [None, full, None]);
    let bad = flow_mod(4, 7, |flow_mod| flow_mod.actions = vec![Action::Group(66)]);
    assert_eq!(peer.refusal(&mut bridge, &bad, 0), Some(ErrorCode::ActionBadOutGroup));
    let delete = flow_mod(5, 3, |flow_mod| flow_mod.command = FlowCommand::Delete);
    assert_eq!(peer.refusal(&mut bridge, &delete, 0), None);
    assert_eq!([6, 7].map(|table| peer.refusal(&mut bridge, &in_table(table), 0)), [None, full]);
    assert_eq!(flows(&bridge), 4);
}

fn control(kind: BundleControlKind) -> Message {
    Message::BundleControl(BundleControl { bundle: 9, kind, flags: BundleFlags::ATOMIC })
}

#[test]
fn a_bundle_is_one_version_or_nothing() {
    let mut bridge = bridge();
    let mut peer = Peer::new(&mut bridge, ConnectionKind::Service, Version::V1_5);
    let bundle = |peer: &mut Peer, bridge: &mut Bridge, messages: &[Message]| {
        peer.send(bridge, &control(BundleControlKind::OpenRequest), 0);
        for message in messages {
            let message = peer.bytes(message);
            let add = BundleAdd { bundle: 9, flags: BundleFlags::ATOMIC, message };
            peer.send(bridge, &Message::BundleAdd(add), 0);
        }
        let version = bridge.flows().load().version();
        let answers = peer.ask(bridge, &control(BundleControlKind::CommitRequest), 0);
        let errors = answers.iter().filter_map(|message| match message {
            Message::Error(error) => error.code.ok(),
            _ => None,
        });
        (errors.collect::<Vec<_>>(), bridge.flows().load().version() - version)
    };
    let add = |port| flow_mod(0, port, |_| {});
    assert_eq!(bundle(&mut peer, &mut bridge, &[add(1), add(2), add(3)]), (Vec::new(), 1));
    assert_eq!(flows(&bridge), 3);
    let hw_addr = [2, 0, 0, 0, 0, 1];
    let down = PortConfig::PORT_DOWN;
    let port_mod = PortMod { port: PortNo(1), hw_addr, config: down, mask: down, advertise: Default::default() };
    let delete = flow_mod(255, 1, |flow_mod| flow_mod.command = FlowCommand::Delete);
    let bad = flow_mod(0, 7, |flow_mod| flow_mod.actions = vec![Action::Group(66)]);
    let failing = [add(4), delete.clone(), group(5, to(1)), Message::PortMod(port_mod), bad];
    let errors = vec![ErrorCode::ActionBadOutGroup, ErrorCode::BundleMsgFailed];
    assert_eq!(bundle(&mut peer, &mut bridge, &failing), (errors, 0));
    assert_eq!((flows(&bridge), bridge.groups().len(), bridge.take_commands().len()), (3, 0, 0));
    // Nor does anything of one that finds its table full on the way.
    bridge.set_flow_limit(0, 4);
    let errors = vec![ErrorCode::FlowModTableFull, ErrorCode::BundleMsgFailed];
    let too_many = [delete.clone(), add(4), add(5), group(5, to(1)), Message::PortMod(port_mod), add(6)];
    assert_eq!(bundle(&mut peer, &mut bridge, &too_many), (errors, 0));
    assert_eq!((flows(&bridge), bridge.groups().len(), bridge.take_commands().len()), (3, 0, 0));
    let has = |port| bridge.flows().load().table(0).unwrap().get(&flow_in(port), 5).is_some();
    assert!((1..=3).all(has));
    bridge.set_flow_limit(0, FLOWS_MAX);
    // It has taken no room either.
    bridge.set_total_flow_limit(4);
    assert_eq!(peer.refusal(&mut bridge, &add(9), 0), None);
    assert_eq!(peer.refusal(&mut bridge, &add(10), 0), Some(ErrorCode::FlowModTableFull));
    bridge.set_total_flow_limit(FLOWS_TOTAL_MAX);
    peer.send(&mut bridge, &flow_mod(255, 9, |flow_mod| flow_mod.command = FlowCommand::Delete), 0);
    // A group is there for the flows behind it in the same bundle.
    let good = [delete, group(66, to(1)), failing[4].clone(), Message::PortMod(port_mod)];
    assert_eq!(bundle(&mut peer, &mut bridge, &good), (Vec::new(), 1));
    assert_eq!(flows(&bridge), 3);
    let commands = bridge.take_commands();
    assert!(matches!(commands[..], [Command::Groups, Command::Port { number: PortNo(1), config: PortConfig(1) }]));
    let again = peer.refusal(&mut bridge, &control(BundleControlKind::CommitRequest), 0);
    assert_eq!(again, Some(ErrorCode::BundleBadId));
}

fn group(group: u32, actions: Vec<Action>) -> Message {
    let bucket = Bucket { id: 0, weight: 0, watch_port: PortNo::NONE, watch_group: GROUP_ANY, actions };
    Message::GroupMod(GroupMod {
        command: GroupCommand::AddOrModify,
        kind: GroupKind::All,
        group,
        command_bucket: hive_openflow::BUCKET_ALL,
        buckets: vec![bucket],
        selection: None,
    })
}

#[test]
fn groups_lead_nowhere_twice() {
    let mut bridge = bridge();
    let mut peer = Peer::new(&mut bridge, ConnectionKind::Service, Version::V1_5);
    let chain = [(1, 2), (2, 3), (4, 2), (3, 4), (3, 3), (3, 9)];
    let refusals = chain.map(|(from, to)| peer.refusal(&mut bridge, &group(from, vec![Action::Group(to)]), 0));
    let looped = Some(ErrorCode::GroupModLoop);
    assert_eq!(refusals, [None, None, None, looped, looped, None]);
}

#[test]
fn one_controller_is_primary_and_the_others_change_nothing() {
    let mut bridge = bridge();
    let [mut one, mut two] = [(); 2].map(|()| Peer::new(&mut bridge, ConnectionKind::Controller, Version::V1_3));
    let become_role = |role, generation| Message::RoleRequest(RoleMessage { role, generation: Some(generation) });
    one.send(&mut bridge, &become_role(Role::Primary, 5), 0);
    two.send(&mut bridge, &become_role(Role::Primary, 6), 0);
    let refused = one.refusal(&mut bridge, &flow_mod(0, 1, |_| {}), 0);
    assert_eq!((refused, flows(&bridge)), (Some(ErrorCode::RequestIsSecondary), 0));
    assert_eq!(two.refusal(&mut bridge, &flow_mod(0, 1, |_| {}), 0), None);
    let stale = one.refusal(&mut bridge, &become_role(Role::Primary, 5), 0);
    assert_eq!(stale, Some(ErrorCode::RoleRequestStale));
    let now = one.ask(&mut bridge, &become_role(Role::NoChange, 0), 0);
    assert_eq!(now, [Message::RoleReply(RoleMessage { role: Role::Secondary, generation: Some(6) })]);
    // A port's change is told to both, a packet to the primary one only.
    bridge.remove_port(PortNo(3));
    assert!(
        [&mut one, &mut two]
            .into_iter()
            .all(|peer| matches!(peer.received(&mut bridge)[..], [.., Message::PortStatus(_)]))
    );
    assert_eq!(bridge.packet_in(&packet(), 0), 0);
    assert_eq!([&mut one, &mut two].map(|peer| peer.received(&mut bridge).len()), [0, 1]);
}

fn packet() -> PacketIn {
    PacketIn {
        format: PacketInFormat::Standard,
        buffer: hive_openflow::NO_BUFFER,
        total_bytes: 60,
        reason: PacketInReason::Action,
        table: 3,
        cookie: 1,
        metadata: flow_in(1),
        packet: vec![0; 60],
        userdata: vec![1, 2],
        continuation: Vec::new(),
    }
}

#[test]
fn packets_come_in_the_form_and_to_the_id_asked_for_until_too_many_wait() {
    let mut bridge = bridge();
    let mut peer = Peer::new(&mut bridge, ConnectionKind::Service, Version::V1_5);
    bridge.packet_in(&packet(), 0);
    assert_eq!(peer.received(&mut bridge), [], "a service connection has to ask");
    let config = hive_openflow::SwitchConfig { fragments: Default::default(), miss_send_bytes: 100 };
    peer.send(&mut bridge, &Message::SetConfig(config), 0);
    peer.send(&mut bridge, &Message::SetPacketInFormat(PacketInFormat::Nicira2), 0);
    peer.send(&mut bridge, &Message::SetControllerId(8), 0);
    bridge.packet_in(&packet(), 0);
    bridge.packet_in(&packet(), 8);
    let received = peer.received(&mut bridge);
    let [Message::PacketIn(received)] = &received[..] else { panic!("{received:?}") };
    assert_eq!((received.format, &received.userdata[..]), (PacketInFormat::Nicira2, &[1, 2][..]));
    let mut reply = peer.ask(&mut bridge, &Message::GetAsyncRequest, 0);
    let Some(Message::GetAsyncReply(config)) = reply.pop() else { panic!() };
    assert!(config.masks.iter().any(|mask| mask.kind == AsyncKind::PacketIn && mask.reasons & 2 != 0));
    let dropped: usize = (0..100_000).map(|_| bridge.packet_in(&packet(), 8)).sum();
    assert!(dropped > 0 && bridge.output(peer.id).unwrap().len() < 2 << 20);
    assert!(!bridge.is_lost(peer.id));
}

#[test]
fn a_monitor_sees_what_others_change() {
    let mut bridge = bridge();
    let [mut one, mut two] = [(); 2].map(|()| Peer::new(&mut bridge, ConnectionKind::Service, Version::V1_4));
    one.send(&mut bridge, &flow_mod(2, 1, |_| {}), 0);
    let flags = MonitorFlags::INITIAL.0 | MonitorFlags::ADD.0 | MonitorFlags::DELETE.0 | MonitorFlags::MODIFY.0;
    let request = MonitorRequest {
        monitor: 4,
        command: MonitorCommand::Add,
        flags: MonitorFlags(flags | MonitorFlags::ACTIONS.0),
        out_port: PortNo::NONE,
        out_group: GROUP_ANY,
        table: 2,
        flow: Match::default(),
    };
    let ask = Message::Request { request: Request::FlowMonitor(vec![request]), more: false };
    let seen = |messages: Vec<Message>| -> Vec<FlowEvent> {
        let updates = messages.into_iter().flat_map(|message| match message {
            Message::Reply { reply: Reply::FlowMonitor(updates), .. } => updates,
            other => panic!("{other:?}"),
        });
        updates.filter_map(|update| if let FlowUpdate::Full(full) = update { Some(full.event) } else { None }).collect()
    };
    assert_eq!(seen(two.ask(&mut bridge, &ask, 0)), [FlowEvent::Initial]);
    assert_eq!(two.refusal(&mut bridge, &ask, 0), Some(ErrorCode::FlowMonitorMonitorExists));
    one.send(&mut bridge, &flow_mod(2, 3, |_| {}), 0);
    one.send(&mut bridge, &flow_mod(3, 3, |_| {}), 0);
    one.send(
        &mut bridge,
        &flow_mod(2, 3, |flow_mod| (flow_mod.command, flow_mod.actions) = (FlowCommand::Modify, to(3))),
        0,
    );
    one.send(&mut bridge, &flow_mod(255, 3, |flow_mod| flow_mod.command = FlowCommand::Delete), 0);
    let events = [FlowEvent::Added, FlowEvent::Modified, FlowEvent::Removed(RemovedReason::Delete)];
    assert_eq!(seen(two.received(&mut bridge)), events);
    let own = two.ask(&mut bridge, &flow_mod(2, 9, |_| {}), 0);
    let abbreviated = Reply::FlowMonitor(vec![FlowUpdate::Abbreviated { xid: 7 }]);
    assert_eq!(own, [Message::Reply { reply: abbreviated, more: false }]);
}
