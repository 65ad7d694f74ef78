//! Clients that are slow, many, or no ovs-appctl.

use crate::support::{DEADLINE, Daemon, eventually};
use proptest::prelude::*;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

fn connect(daemon: &Daemon) -> UnixStream {
    let stream = UnixStream::connect(&daemon.socket).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

/// What comes until the server closes, when no more is sent.
fn rest(mut stream: UnixStream) -> String {
    stream.shutdown(Shutdown::Write).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

const VERSION: &str = r#"{"id":1,"method":"version","params":[]}"#;

#[test]
fn one_that_does_not_read_holds_up_nobody() {
    let daemon = Daemon::start();
    let mut slow = connect(&daemon);
    for _ in 0..50 {
        slow.write_all(br#"{"id":0,"method":"large","params":["10000000"]}"#).unwrap();
    }
    // Its first answer is there, and no other is made before that is taken.
    let mut byte = [0];
    slow.read_exact(&mut byte).unwrap();
    assert_eq!(daemon.says(&["version"]), "netd (Open vSwitch) 3.1.0\n");
    assert_eq!(rest(slow).len(), 50 * (10_000_001 + r#"{"id":0,"result":"\n","error":null}"#.len()) - 50 - 1);
}

#[test]
fn answers_come_from_other_threads_in_any_order() {
    let daemon = Daemon::start();
    let mut clients: Vec<UnixStream> = (0..8).map(|_| connect(&daemon)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        write!(client, r#"{{"id":{n},"method":"later","params":["{n}"]}}{VERSION}"#).unwrap();
    }
    let mut calls: Vec<_> = (0..8).map(|_| daemon.calls.recv_timeout(DEADLINE).unwrap()).collect();
    // None of them keeps others from being answered.
    assert_eq!(daemon.says(&["version"]), "netd (Open vSwitch) 3.1.0\n");
    // One leaves before its answer is there, one is never answered.
    drop(clients.pop());
    let unanswered = calls.swap_remove(0);
    let dropped = unanswered.arguments()[0].clone();
    drop(unanswered);
    for call in calls.into_iter().rev() {
        std::thread::spawn(move || {
            let text = format!("answer {}", call.arguments()[0]);
            call.answer(Ok(text));
        });
    }
    for (n, client) in clients.into_iter().enumerate() {
        let answers = rest(client);
        if n.to_string() == dropped {
            assert!(answers.contains("the command was given up"), "{answers}");
        } else {
            assert!(answers.contains(&format!(r#""id":{n},"result":"answer {n}\n""#)), "{answers}");
        }
        // The command behind was not forgotten.
        assert!(answers.ends_with(r#"{"id":1,"result":"netd (Open vSwitch) 3.1.0\n","error":null}"#), "{answers}");
    }
}

#[test]
fn idle_ones_make_room() {
    let daemon = Daemon::start();
    let mut first = connect(&daemon);
    let others: Vec<UnixStream> = (0..100).map(|_| connect(&daemon)).collect();
    assert_eq!(daemon.says(&["version"]), "netd (Open vSwitch) 3.1.0\n");
    assert_eq!(first.read(&mut [0]).unwrap(), 0);
    drop(others);
}

#[test]
fn what_is_no_request_is_hung_up_on() {
    let daemon = Daemon::start();
    let long = format!(r#"{{"id":1,"method":"version","params":["{}"]}}"#, "x".repeat(5 << 20));
    let many = format!(r#"{{"id":1,"method":"version","params":[{}1]}}"#, "1,".repeat(10_000));
    for bad in [
        "hello",
        "{]}",
        r#"{"id":1,"result":1,"error":null}"#,
        r#"{"id":null,"method":"version","params":[]}"#,
        &long,
        &many,
    ] {
        let mut client = connect(&daemon);
        // The server may hang up before it has all.
        let _ = client.write_all(bad.as_bytes());
        let mut answer = Vec::new();
        let _ = client.read_to_end(&mut answer);
        assert_eq!(String::from_utf8_lossy(&answer), "", "{}", &bad[..bad.len().min(50)]);
    }
    for (odd, error) in [
        (r#"{"id":[1],"method":"version","params":[7]}"#, "takes at most 0"),
        (r#"{"id":"x","method":"fdb/show","params":[7]}"#, "non-string argument"),
        (r#"{"id":1,"method":"\u0000","params":[]}"#, "is not a valid command"),
    ] {
        let mut client = connect(&daemon);
        client.write_all(odd.as_bytes()).unwrap();
        let answer = rest(client);
        assert!(answer.contains(error), "{answer}");
    }
    eventually("it still answers", || (daemon.says(&["version"]).starts_with("netd")).then_some(()));
}

#[test]
fn no_bytes_stop_it() {
    let daemon = Daemon::start();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(200));
    let bytes = prop::sample::select(b"{}[]\",:\\01 idmethodparamsversion".to_vec());
    let texts = prop_oneof![
        prop::collection::vec(bytes, 0..100),
        ("[a-z/-]{0,12}", prop::collection::vec("\\PC{0,9}", 0..4), any::<u8>())
            .prop_filter("the daemon goes on", |(method, ..)| method != "exit"
                && method != "later"
                && method != "large")
            .prop_map(|(method, params, id)| serde_json::json!({ "id": id, "method": method, "params": params })
                .to_string()
                .into_bytes()),
    ];
    runner
        .run(&texts, |text| {
            let mut client = connect(&daemon);
            let _ = client.write_all(&text);
            let _ = client.shutdown(Shutdown::Write);
            let mut answer = Vec::new();
            let _ = client.read_to_end(&mut answer);
            Ok(())
        })
        .unwrap();
    assert_eq!(daemon.says(&["version"]), "netd (Open vSwitch) 3.1.0\n");
}
