//! The sockets: clients that are slow, gone, or speak something else.

use crate::support::{Agent, ovs_ofctl};
use hive_flow::{Field, Match};
use hive_ofproto::{ConnectionKind, Server, ServerError, Session, Stream};
use hive_openflow::{
    Action, Context, CookieMask, ErrorCode, FlowMod, FlowRequest, Framer, GROUP_ANY, Hello, Message, PortNo, Reply,
    Request, TABLE_ALL, Version, decode,
};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// No answer takes longer.
const DEADLINE: Duration = Duration::from_secs(60);

struct Client {
    stream: UnixStream,
    framer: Framer,
    context: Context,
}

impl Client {
    fn connect(agent: &Agent, socket: &str) -> Self {
        let stream = UnixStream::connect(agent.directory.path().join(socket)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Self { stream, framer: Framer::default(), context: Context::new(Version::V1_3) }
    }

    fn new(agent: &Agent) -> Self {
        let mut this = Self::connect(agent, "br0.mgmt");
        this.send(&Message::Hello(Hello::of(&[Version::V1_3])));
        assert!(matches!(this.receive(), Some(Message::Hello(_))));
        this
    }

    fn send(&mut self, message: &Message) {
        let mut bytes = Vec::new();
        message.encode(3, &self.context, &mut bytes).unwrap();
        self.stream.write_all(&bytes).unwrap();
    }

    /// The bytes of the next message.
    fn next(&mut self) -> Vec<u8> {
        loop {
            if let Some(bytes) = self.framer.next_message().unwrap() {
                return bytes.to_vec();
            }
            let mut piece = [0; 65536];
            let length = self.stream.read(&mut piece).unwrap();
            assert_ne!(length, 0, "the end");
            self.framer.push(&piece[..length]);
        }
    }

    /// `None`: the end.
    fn receive(&mut self) -> Option<Message> {
        loop {
            if let Some(bytes) = self.framer.next_message().unwrap() {
                return Some(decode(bytes, &self.context).unwrap().message);
            }
            let mut piece = [0; 65536];
            match self.stream.read(&mut piece).unwrap() {
                0 => return None,
                length => self.framer.push(&piece[..length]),
            }
        }
    }
}

fn all_flows() -> Message {
    let request = FlowRequest {
        table: TABLE_ALL,
        out_port: PortNo::NONE,
        out_group: GROUP_ANY,
        cookie: CookieMask::default(),
        flow: Match::default(),
        nicira: false,
    };
    Message::Request { request: Request::Flow(request), more: false }
}

const FLOWS: u32 = 20_000;

fn fill(client: &mut Client) {
    for number in 0..FLOWS {
        let mut flow = Match::default();
        flow.exactly(Field::EthType, 0x0800);
        flow.exactly(Field::Ipv4Dst, number.into());
        let actions = vec![Action::Output { port: PortNo(1), max_len: 0 }];
        client.send(&Message::FlowMod(Box::new(FlowMod::add(flow, 9, actions))));
    }
    client.send(&Message::BarrierRequest);
    assert_eq!(client.receive(), Some(Message::BarrierReply));
}

#[test]
fn a_client_that_takes_nothing_hurts_only_itself() {
    let agent = Agent::start();
    let (mut slow, mut quick) = (Client::new(&agent), Client::new(&agent));
    fill(&mut quick);
    // Some megabytes of answers each, far more than a socket holds; it asks again and again and takes nothing.
    for _ in 0..50 {
        slow.send(&all_flows());
    }
    quick.send(&all_flows());
    let mut told = 0;
    while told < FLOWS as usize {
        match quick.receive() {
            Some(Message::Reply { reply: Reply::Flow { flows, .. }, .. }) => told += flows.len(),
            other => panic!("{other:?}"),
        }
    }
    let output = ovs_ofctl("15", &format!("unix:{}/br0.mgmt", agent.directory.path().display()), "dump-aggregate SW");
    assert!(String::from_utf8_lossy(&output.stdout).contains("flow_count=20000"));
    // Now it takes them, and each is whole.
    let mut told = 0;
    while told < 50 * FLOWS as usize {
        match slow.receive() {
            Some(Message::Reply { reply: Reply::Flow { flows, .. }, .. }) => told += flows.len(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, 50 * FLOWS as usize);
}

/// Questions of some dozens of bytes, each with an answer of megabytes, that come in one piece.
#[test]
fn many_questions_at_once_hold_up_nobody_else() {
    const QUESTIONS: usize = 100;
    let agent = Agent::start();
    let (mut greedy, mut quick) = (Client::new(&agent), Client::new(&agent));
    fill(&mut quick);
    let mut questions = Vec::new();
    for _ in 0..QUESTIONS {
        all_flows().encode(3, &greedy.context, &mut questions).unwrap();
    }
    greedy.stream.write_all(&questions).unwrap();
    for _ in 0..10 {
        quick.send(&Message::BarrierRequest);
        assert_eq!(quick.receive(), Some(Message::BarrierReply));
    }
    // Then it takes them, and asks no more; none is left out.
    let (mut answers, mut bytes) = (0, 0);
    while answers < QUESTIONS {
        let message = greedy.next();
        bytes += message.len();
        // The last part of a multipart reply says that no more come (OpenFlow 1.3, 7.3.5).
        answers += usize::from(message[1] == 19 && message[10..12] == [0, 0]);
    }
    assert!(bytes > 150 << 20, "{bytes} bytes");
}

/// One controller answers, the other has gone silent without closing.
#[test]
fn who_is_silent_is_asked_and_then_left() {
    let agent = Agent::start();
    let adopt = || {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let probe = Some(Duration::from_secs(1));
        let session = Session { stream: Stream::Unix(ours), kind: ConnectionKind::Controller, probe };
        let state = agent.running.adopter().adopt(session);
        theirs.set_read_timeout(Some(DEADLINE)).unwrap();
        theirs.set_write_timeout(Some(DEADLINE)).unwrap();
        let mut client = Client { stream: theirs, framer: Framer::default(), context: Context::new(Version::V1_3) };
        client.send(&Message::Hello(Hello::of(&[Version::V1_3])));
        assert!(matches!(client.receive(), Some(Message::Hello(_))));
        (client, state)
    };
    let ((mut alive, its_state), (mut silent, state)) = (adopt(), adopt());
    let mut asked = 0;
    while !state.has_ended() {
        match alive.receive() {
            Some(Message::EchoRequest(data)) => alive.send(&Message::EchoReply(data)),
            other => panic!("{other:?}"),
        }
        asked += 1;
        assert!(asked < 60, "the silent one is still there");
    }
    assert!(its_state.is_connected());
    assert!(matches!(silent.receive(), Some(Message::EchoRequest(_))), "it was asked");
    assert_eq!(silent.receive(), None);
}

#[test]
fn who_speaks_no_version_in_common_is_told_so() {
    let agent = Agent::start();
    let mut client = Client::connect(&agent, "br0.mgmt");
    assert!(matches!(client.receive(), Some(Message::Hello(_))));
    // A hello of version 3 alone: OFPHET_VERSIONBITMAP.
    client.stream.write_all(&[3, 0, 0, 16, 0, 0, 0, 1, 0, 1, 0, 8, 0, 0, 0, 8]).unwrap();
    client.context.version = Version::V1_5;
    let Some(Message::Error(error)) = client.receive() else { panic!("no error") };
    assert_eq!(error.code, Ok(ErrorCode::HelloIncompatible));
    assert_eq!(client.receive(), None);
}

#[test]
fn who_speaks_no_openflow_is_left() {
    let agent = Agent::start();
    for garbage in
        [&b"GET / HTTP/1.1\r\nHost: switch\r\n\r\n"[..], &[6, 0, 0, 3, 0, 0, 0, 0], &[6, 5, 0, 8, 0, 0, 0, 0]]
    {
        let mut client = Client::connect(&agent, "br0.mgmt");
        assert!(matches!(client.receive(), Some(Message::Hello(_))));
        client.stream.write_all(garbage).unwrap();
        let _ = client.stream.shutdown(std::net::Shutdown::Write);
        assert_eq!(client.receive(), None);
    }
    // Others are served as before.
    let mut client = Client::new(&agent);
    client.send(&Message::BarrierRequest);
    assert_eq!(client.receive(), Some(Message::BarrierReply));
}

#[test]
fn who_listens_hears_what_goes_through() {
    let agent = Agent::start();
    let mut listener = Client::connect(&agent, "br0.snoop");
    assert!(matches!(listener.receive(), Some(Message::Hello(_))));
    let mut client = Client::new(&agent);
    client.send(&Message::EchoRequest(b"heard".to_vec()));
    assert_eq!(client.receive(), Some(Message::EchoReply(b"heard".to_vec())));
    let mut heard = Vec::new();
    while heard.last() != Some(&Message::EchoReply(b"heard".to_vec())) {
        heard.extend(Some(listener.receive().expect("the echo")));
    }
    assert!(heard.contains(&Message::EchoRequest(b"heard".to_vec())));
}

#[test]
fn what_the_bridge_says_by_itself_goes_out_when_the_bell_rings() {
    let agent = Agent::start();
    let mut client = Client::new(&agent);
    client.send(&Message::SetConfig(hive_openflow::SwitchConfig { fragments: Default::default(), miss_send_bytes: 9 }));
    client.send(&Message::BarrierRequest);
    assert_eq!(client.receive(), Some(Message::BarrierReply));
    agent.bridge.lock().unwrap().remove_port(PortNo(2));
    agent.running.ring();
    assert!(matches!(client.receive(), Some(Message::PortStatus(_))));
}

#[test]
fn a_socket_is_taken_over_only_from_the_dead() {
    let agent = Agent::start();
    let path = agent.directory.path().to_owned();
    assert!(matches!(Server::bind(&path, "br0"), Err(ServerError::InUse { .. })));
    drop(agent.running);
    assert!(!path.join("br0.mgmt").exists());
    drop(std::os::unix::net::UnixListener::bind(path.join("br0.mgmt")).unwrap());
    drop(Server::bind(&path, "br0").unwrap());
    std::fs::write(path.join("br0.snoop"), "").unwrap();
    assert!(matches!(Server::bind(&path, "br0"), Err(ServerError::NoSocket { .. })));
}
