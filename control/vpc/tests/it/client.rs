//! The client before peers that do not behave, and what a switch refuses.

use crate::fixture::region;
use crate::switch::{PATIENCE, under_test};
use hive_openflow::{Action, Context, ErrorCode, Hello, Message, PortNo, TABLE_ALL, Version};
use hive_vpc::{Client, ClientError, FlowSet, LocalNumber, Programmer, compile, difference};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

/// Short, for it is waited out; whether it was long enough for a good peer is not asked.
const SHORT: Duration = Duration::from_millis(200);

fn bytes(message: &Message) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.encode(7, &Context::new(Version::V1_5), &mut bytes).unwrap();
    bytes
}

/// A peer that says hello, unless it has other words, and then does as it likes.
fn peer(
    hello: Vec<u8>,
    behave: impl FnOnce(UnixStream) + Send + 'static,
) -> (tempfile::TempDir, PathBuf, thread::JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("br0.mgmt");
    let listener = UnixListener::bind(&path).unwrap();
    let peer = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.write_all(&hello);
        behave(stream);
    });
    (folder, path, peer)
}

fn hello() -> Vec<u8> {
    bytes(&Message::Hello(Hello::of(&Version::ALL)))
}

/// Until the other end goes, which it does at its deadline.
fn drain(mut stream: UnixStream) {
    let mut piece = [0; 4096];
    while matches!(stream.read(&mut piece), Ok(1..)) {}
}

#[test]
fn nobody_hangs_a_client() {
    let missing = tempfile::tempdir().unwrap().path().join("br0.mgmt");
    assert!(matches!(Client::connect(&missing, SHORT), Err(ClientError::Connect(_))));
    type Peer = Box<dyn FnOnce(UnixStream) + Send>;
    let silent = || -> Peer { Box::new(drain) };
    let old = bytes(&Message::Hello(Hello::of(&[Version::V1_0, Version::V1_3])));
    let endless = |mut stream: UnixStream| {
        // Alive, and nothing but.
        let echo = bytes(&Message::EchoRequest(vec![1; 100]));
        let _ = stream.set_read_timeout(Some(Duration::from_millis(1)));
        let mut piece = [0; 4096];
        while stream.write_all(&echo).is_ok() {
            let _ = stream.read(&mut piece);
        }
    };
    let half = |mut stream: UnixStream| {
        let _ = stream.write_all(&bytes(&Message::BarrierReply)[..5]);
        drain(stream);
    };
    let garbage = |mut stream: UnixStream| {
        let _ = stream.write_all(&[6, 21, 0, 3, 0, 0, 0, 0, 9, 9, 9, 9]);
        drain(stream);
    };
    let unknown = |mut stream: UnixStream| {
        let _ = stream.write_all(&[6, 99, 0, 8, 0, 0, 0, 2]);
        drain(stream);
    };
    let cases: Vec<(Vec<u8>, Peer, &str)> = vec![
        (Vec::new(), silent(), "TimedOut"),
        (hello(), silent(), "TimedOut"),
        (hello(), Box::new(endless), "TimedOut"),
        (hello(), Box::new(half), "TimedOut"),
        (old, silent(), "Version"),
        (bytes(&Message::BarrierReply), silent(), "Version"),
        (hello(), Box::new(drop), "Io("),
        (hello(), Box::new(garbage), "Stream("),
        (hello(), Box::new(unknown), "Message("),
    ];
    for (hello, behave, expected) in cases {
        let (_folder, path, peer) = peer(hello, behave);
        let error = Client::connect(&path, SHORT).map(drop).unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}, not {expected}");
        peer.join().unwrap();
    }
}

#[test]
fn what_is_refused_changes_nothing() {
    let switch = under_test();
    let (network, node) = region();
    let wanted = compile(&network, &node).unwrap().flows;
    let mut programmer = Programmer::new(switch.management(), PATIENCE);
    programmer.set(&wanted).unwrap();
    // One of the changes is impossible: the others are not made.
    let mut bad = wanted.clone();
    let (gone, _) = bad.pop_first().unwrap();
    let (_, body) = bad.iter_mut().next().unwrap();
    body.actions = vec![Action::Output { port: PortNo::NONE, max_len: 0 }];
    let error = programmer.set(&bad).unwrap_err();
    let ClientError::Refused { code: Ok(ErrorCode::ActionBadOutPort), change: Some(at) } = error else {
        panic!("{error:?}")
    };
    let changes = difference(&wanted, &bad);
    assert_eq!(changes[at].actions, [Action::Output { port: PortNo::NONE, max_len: 0 }]);
    let mut client = Client::connect(&switch.management(), PATIENCE).unwrap();
    let found = client.flows(TABLE_ALL).unwrap();
    assert!(found.contains_key(&gone));
    assert_eq!(difference(&found, &wanted), []);
    // It goes on as if nothing had been asked.
    assert_eq!(programmer.set(&wanted).unwrap().changes, 0);
    client.flush_zone(LocalNumber(1)).unwrap();
    let report = programmer.set(&FlowSet::new()).unwrap();
    assert_eq!(report.changes, wanted.len());
    assert!(client.flows(TABLE_ALL).unwrap().is_empty());
}
