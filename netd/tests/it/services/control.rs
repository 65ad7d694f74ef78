//! What is asked of the control socket, by well-meaning clients and by others.

use super::{Node, port, segment};
use hive_netd_api::{ErrorKind, MAX_LINE_BYTES, Port, Reply, Request, Segment};
use std::io::{BufRead, BufReader, Write};

#[test]
fn requests_are_idempotent_and_refused_with_reasons() {
    let mut node = Node::new();
    let kind = |node: &Node, request: &Request| match node.request(request) {
        Reply::Error { kind, .. } => Some(kind),
        _ => None,
    };
    assert_eq!(kind(&node, &Request::PutPort(port("s", 5))), Some(ErrorKind::NotFound));
    for _ in 0..2 {
        node.put_segment(segment("s"));
        node.put_port(port("s", 5));
    }
    let twin = Port { port_id: "twin".into(), ..port("s", 5) };
    assert_eq!(kind(&node, &Request::PutPort(twin)), Some(ErrorKind::InUse));
    let outside = Port { ipv4: [192, 168, 0, 1].into(), ..port("s", 6) };
    assert_eq!(kind(&node, &Request::PutPort(outside)), Some(ErrorKind::Invalid));
    assert_eq!(kind(&node, &Request::PutPort(Port { number: 0, ..port("s", 6) })), Some(ErrorKind::Invalid));
    let narrow = Segment { prefix_len: 30, ..segment("s") };
    assert_eq!(kind(&node, &Request::PutSegment(narrow)), Some(ErrorKind::Invalid), "its port would be outside");
    let delete = Request::DeleteSegment { segment_id: "s".into() };
    assert_eq!(kind(&node, &delete), Some(ErrorKind::InUse));
    node.kill_and_restart();
    let listed = node.ports();
    assert_eq!(listed.iter().map(|status| (status.port_id.as_str(), status.number)).collect::<Vec<_>>(), [("s-5", 5)]);
    let describe = |id: &str| node.request(&Request::DescribePort { port_id: id.into() });
    assert_eq!(describe("s-5"), Reply::Port(port("s", 5)));
    assert!(matches!(describe("s-6"), Reply::Error { kind: ErrorKind::NotFound, .. }));
    assert_eq!(node.request(&Request::ListSegments), Reply::Segments(vec![segment("s")]));
    for _ in 0..2 {
        assert_eq!(node.request(&Request::DeletePort { port_id: "s-5".into() }), Reply::Done);
    }
    for _ in 0..2 {
        assert_eq!(node.request(&delete), Reply::Done);
    }
    assert_eq!(node.request(&Request::ListSegments), Reply::Segments(vec![]));
}

#[test]
fn what_need_not_be_said_has_defaults() {
    let node = Node::new();
    let put = r#"{"method":"put-segment","segment_id":"s","network":"10.0.0.0","prefix_len":24,"gateway":"10.0.0.1","dns":"10.0.0.2","gateway_mac":"02:00:00:00:00:01","mtu":1500,"domain_name":"ec2.internal"}"#;
    assert_eq!(node.ask(put), Reply::Done);
    let expected = Segment { name_servers: vec![], ..segment("s") };
    assert_eq!(node.request(&Request::ListSegments), Reply::Segments(vec![expected]));
    let unknown = put.replace("\"mtu\"", "\"uplink\":true,\"mtu\"");
    assert!(matches!(node.ask(&unknown), Reply::Error { kind: ErrorKind::Invalid, .. }));
}

#[test]
fn garbage_on_the_control_socket_is_answered_or_cut() {
    let node = Node::new();
    let mut stream = node.connect();
    stream.write_all(b"nonsense\n").unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    assert!(line.contains("invalid"), "{line}");
    let mut stream = node.connect();
    // The daemon may cut the connection before all of it is written.
    let _ = stream.write_all(&vec![b'x'; MAX_LINE_BYTES + 2]);
    let mut line = String::new();
    let _ = BufReader::new(&stream).read_line(&mut line);
    assert!(node.metrics().drops.is_empty());
}
