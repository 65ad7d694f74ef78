//! The same messages go to the agent and to a real ovs-vswitchd, in one session each: the answers must be the same.

use crate::support::{Agent, Switch};
use hive_flow::{Field, Match};
use hive_openflow::{
    Action, AsyncConfig, AsyncForm, AsyncKind, AsyncMask, Bucket, BundleAdd, BundleControl, BundleControlKind,
    BundleFlags, Context, CookieMask, ErrorCode, FlowCommand, FlowMod, FlowRequest, Framer, GROUP_ANY, GroupCommand,
    GroupKind, GroupMod, Hello, Message, MonitorCommand, MonitorFlags, MonitorRequest, PacketOut, PortNo,
    QueueSelector, Request, Role, RoleMessage, TableConfig, Version, decode,
};
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

/// OFPT_ERROR, in all versions.
const ERROR_TYPE: u8 = 1;
/// No answer takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

struct Session {
    stream: UnixStream,
    /// Or our own agent.
    is_daemon: bool,
    framer: Framer,
    context: Context,
    /// The daemon tells of them when it finds the time.
    removed: Vec<Message>,
}

impl Session {
    fn new(path: &Path, is_daemon: bool, version: Version) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let (framer, context) = (Framer::default(), Context::new(version));
        let mut this = Self { stream, is_daemon, framer, context, removed: Vec::new() };
        this.send(&Message::Hello(Hello::of(&[version])), 1);
        this.receive();
        this
    }

    fn bytes(&self, message: &Message, xid: u32) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        message.encode(xid, &self.context, &mut bytes).ok().map(|()| bytes)
    }

    fn send(&mut self, message: &Message, xid: u32) {
        if let Some(bytes) = self.bytes(message, xid) {
            self.stream.write_all(&bytes).unwrap();
        }
    }

    fn receive(&mut self) -> (u32, Message) {
        loop {
            if let Some(bytes) = self.framer.next_message().unwrap() {
                // The daemon refuses monitors in the words of OpenFlow 1.0, whatever the version, and returns a part of the request. It
                // reads the request's header from memory that it has given back: once in a while the version is none (3.1.0).
                let mut bytes = bytes.to_vec();
                let old = Context::new(Version::V1_0);
                if self.is_daemon && bytes[1] == ERROR_TYPE && bytes[0] != self.context.version.wire() {
                    bytes[0] = old.version.wire();
                }
                let is_old = bytes.starts_with(&[old.version.wire(), ERROR_TYPE]);
                let mut decoded = decode(&bytes, if is_old { &old } else { &self.context }).unwrap();
                if let Message::Error(error) = &mut decoded.message
                    && matches!(
                        error.code,
                        Ok(ErrorCode::FlowMonitorMonitorExists | ErrorCode::FlowMonitorUnknownMonitor)
                    )
                {
                    error.data.clear();
                }
                return (decoded.header.xid, decoded.message);
            }
            let mut piece = [0; 65536];
            let length = self.stream.read(&mut piece).unwrap();
            assert_ne!(length, 0, "the switch has gone");
            self.framer.push(&piece[..length]);
        }
    }

    /// All answers to a message, without what time does to them.
    fn ask(&mut self, message: &Message, xid: u32) -> Vec<(u32, Message)> {
        self.send(message, xid);
        self.send(&Message::BarrierRequest, 0);
        let mut answers = Vec::new();
        loop {
            match self.receive() {
                (_, Message::BarrierReply) => return answers,
                // Both probe once in a while.
                (_, Message::EchoRequest(_)) => {}
                (_, Message::FlowRemoved(mut removed)) => {
                    (removed.counters.duration_s, removed.counters.duration_ns) = (0, 0);
                    self.removed.push(Message::FlowRemoved(removed));
                }
                answer => answers.push(answer),
            }
        }
    }
}

fn flow_mod(change: impl FnOnce(&mut FlowMod)) -> Message {
    let mut flow = Match::default();
    flow.exactly(Field::InPort, 1);
    let actions = vec![Action::Output { port: PortNo(2), max_len: 0 }];
    let mut flow_mod = FlowMod::add(flow, 7, actions);
    change(&mut flow_mod);
    Message::FlowMod(Box::new(flow_mod))
}

fn group(group: u32, action: Action) -> Message {
    let bucket = Bucket { id: 0, weight: 0, watch_port: PortNo::NONE, watch_group: GROUP_ANY, actions: vec![action] };
    Message::GroupMod(GroupMod {
        command: GroupCommand::Add,
        kind: GroupKind::All,
        group,
        command_bucket: hive_openflow::BUCKET_ALL,
        buckets: vec![bucket],
        selection: None,
    })
}

fn request(request: Request) -> Message {
    Message::Request { request, more: false }
}

fn monitor(monitor: u32, command: MonitorCommand, flags: u16) -> Message {
    request(Request::FlowMonitor(vec![MonitorRequest {
        monitor,
        command,
        flags: MonitorFlags(flags),
        out_port: PortNo::NONE,
        out_group: GROUP_ANY,
        table: 255,
        flow: Match::default(),
    }]))
}

fn messages(version: Version) -> Vec<Message> {
    use BundleControlKind as B;
    let context = Context::new(version);
    let role = |role, generation| Message::RoleRequest(RoleMessage { role, generation });
    let control =
        |bundle, kind, flags| Message::BundleControl(BundleControl { bundle, kind, flags: BundleFlags(flags) });
    // The message within has the same xid, which is its place in the list; see `differences`.
    let add = |bundle, flags, message: &Message| {
        let mut bytes = Vec::new();
        message.encode(0, &context, &mut bytes).unwrap();
        Message::BundleAdd(BundleAdd { bundle, flags: BundleFlags(flags), message: bytes })
    };
    let queue = |port, queue| QueueSelector { port, queue };
    let masks = vec![AsyncMask { kind: AsyncKind::FlowRemoved, secondary: false, reasons: 0x4 }];
    let mut in_port = Match::default();
    in_port.exactly(Field::InPort, 1);
    let packet_out = |buffer, port| {
        let actions = vec![Action::Output { port: PortNo(port), max_len: 0 }];
        let packet = if buffer == hive_openflow::NO_BUFFER { vec![0; 60] } else { Vec::new() };
        Message::PacketOut(Box::new(PacketOut { buffer, metadata: in_port.clone(), actions, packet }))
    };
    let flows = FlowRequest {
        table: 254,
        out_port: PortNo(9),
        out_group: GROUP_ANY,
        cookie: CookieMask::default(),
        flow: Match::default(),
        nicira: false,
    };
    let mut messages = vec![
        Message::EchoRequest(vec![1, 2, 3]),
        Message::GetConfigRequest,
        Message::SetConfig(hive_openflow::SwitchConfig { fragments: Default::default(), miss_send_bytes: 77 }),
        Message::GetConfigRequest,
        Message::GetAsyncRequest,
        role(Role::NoChange, Some(0)),
        role(Role::Primary, Some(7)),
        role(Role::NoChange, Some(0)),
        role(Role::Primary, Some(6)),
        role(Role::Equal, Some(1)),
        role(Role::Secondary, None),
        flow_mod(|_| {}),
        packet_out(hive_openflow::NO_BUFFER, 2),
        group(1, Action::Group(2)),
        role(Role::Primary, None),
        role(Role::Equal, None),
        flow_mod(|flow_mod| flow_mod.flags.send_flow_removed = true),
        flow_mod(|flow_mod| flow_mod.buffer = 5),
        flow_mod(|flow_mod| flow_mod.command = FlowCommand::Delete),
        packet_out(5, 2),
        packet_out(hive_openflow::NO_BUFFER, 0xff00),
        group(1, Action::Group(2)),
        request(Request::Aggregate(flows)),
        request(Request::Queue(queue(PortNo(99), 0))),
        request(Request::QueueDesc(queue(PortNo(99), 0))),
        Message::QueueConfigRequest(PortNo(99)),
        request(Request::IpfixBridge),
        request(Request::Group(99)),
        request(Request::GroupFeatures),
        request(Request::Meter(99)),
        request(Request::MeterFeatures),
        Message::TableMod(TableConfig {
            table: 254,
            eviction: false,
            vacancy_events: false,
            eviction_flags: None,
            vacancy: None,
        }),
        monitor(1, MonitorCommand::Add, 0x1f),
        monitor(1, MonitorCommand::Add, 0x1f),
        monitor(2, MonitorCommand::Delete, 0x1f),
        monitor(2, MonitorCommand::Modify, 0x1f),
        flow_mod(|_| {}),
        flow_mod(|flow_mod| flow_mod.command = FlowCommand::ModifyStrict),
        Message::FlowMonitorCancel(9),
        Message::FlowMonitorCancel(1),
        flow_mod(|flow_mod| (flow_mod.command, flow_mod.new_cookie) = (FlowCommand::ModifyStrict, Some(5))),
        flow_mod(|flow_mod| (flow_mod.command, flow_mod.actions) = (FlowCommand::Modify, Vec::new())),
        flow_mod(|_| {}),
        flow_mod(|flow_mod| flow_mod.command = FlowCommand::Delete),
        Message::SetAsync(AsyncConfig { form: AsyncForm::Standard, masks }),
        Message::GetAsyncRequest,
        Message::TlvTableRequest,
        Message::CtFlushZone(5),
    ];
    if version >= Version::V1_4 {
        messages.extend([
            control(1, B::CommitRequest, 0),
            control(1, B::DiscardRequest, 0),
            control(1, B::CloseRequest, 0),
            control(1, B::OpenReply, 0),
            control(1, B::OpenRequest, 3),
            control(1, B::OpenRequest, 3),
            control(1, B::OpenRequest, 3),
            control(1, B::CloseRequest, 1),
            control(1, B::OpenRequest, 3),
            control(1, B::CloseRequest, 3),
            control(1, B::CloseRequest, 3),
            control(1, B::OpenRequest, 3),
            control(1, B::CommitRequest, 1),
            control(2, B::OpenRequest, 3),
            add(2, 3, &Message::EchoRequest(Vec::new())),
            add(2, 1, &flow_mod(|_| {})),
            control(2, B::CommitRequest, 3),
            control(3, B::OpenRequest, 3),
            control(3, B::CloseRequest, 3),
            add(3, 3, &flow_mod(|_| {})),
            add(4, 2, &flow_mod(|_| {})),
            add(4, 2, &flow_mod(|flow_mod| flow_mod.actions = vec![Action::Group(99)])),
            control(4, B::CommitRequest, 2),
            control(5, B::OpenRequest, 3),
            add(5, 3, &flow_mod(|_| {})),
            control(5, B::DiscardRequest, 3),
            control(5, B::CommitRequest, 3),
        ]);
    }
    messages
}

fn differences(version: Version) -> String {
    let (switch, agent) = (Switch::start(), Agent::start());
    let paths = [(switch.path("br0.mgmt"), true), (agent.directory.path().join("br0.mgmt"), false)];
    let mut sessions = paths.map(|(path, is_daemon)| Session::new(&path, is_daemon, version));
    let mut text = String::new();
    for message in messages(version) {
        if sessions[0].bytes(&message, 0).is_none() {
            continue;
        }
        let [theirs, ours] = sessions.each_mut().map(|session| session.ask(&message, 0));
        // The daemon quotes a monitor that it refuses from memory that it has given back, sometimes others' by then (seen with 3.1.0).
        let is_refused_monitor = matches!(&message, Message::Request { request: Request::FlowMonitor(_), .. })
            && [&theirs, &ours].iter().all(|answers| matches!(answers.as_slice(), [(_, Message::Error(_))]));
        if theirs != ours && !is_refused_monitor {
            let _ = writeln!(text, "{version:?} {message:?}\n  daemon: {theirs:?}\n  here:   {ours:?}");
        }
    }
    let began = Instant::now();
    let told = |sessions: &[Session; 2]| sessions.each_ref().map(|session| session.removed.len());
    while let [theirs, ours] = told(&sessions)
        && (theirs == 0 || theirs != ours)
        && began.elapsed() < DEADLINE
    {
        std::thread::sleep(Duration::from_millis(20));
        for session in &mut sessions {
            session.ask(&Message::EchoRequest(Vec::new()), 0);
        }
    }
    let [theirs, ours] = sessions.map(|session| session.removed);
    assert!(!theirs.is_empty());
    assert_eq!(theirs, ours);
    text
}

#[test]
fn the_answers_are_those_of_the_daemon() {
    let workers = Version::ALL.map(|version| std::thread::spawn(move || differences(version)));
    let text: String = workers.map(|worker| worker.join().unwrap()).concat();
    assert!(text.is_empty(), "{text}");
}
