//! Servers that are none.

use crate::server::{DEADLINE, eventually};
use hive_ovsdb::{Client, Connection, Options};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

fn listen() -> (tempfile::TempDir, UnixListener, Options) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("db.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let mut options = Options::new(format!("unix:{}", path.display()).parse().unwrap());
    options.min_backoff = Duration::from_millis(1);
    options.max_backoff = Duration::from_millis(1);
    (directory, listener, options)
}

fn schema() -> Value {
    let text = std::fs::read("/usr/share/openvswitch/vswitch.ovsschema").expect("the schema of openvswitch-switch");
    serde_json::from_slice(&text).unwrap()
}

fn accept(listener: &UnixListener) -> UnixStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.set_write_timeout(Some(DEADLINE)).unwrap();
    stream
}

fn disconnected(client: &Client, why: &str) {
    eventually(why, || {
        matches!(client.connection(), Connection::Disconnected { reason } if reason.contains(why)).then_some(())
    });
}

#[test]
fn garbage_ends_the_connection_and_nothing_else() {
    let (_directory, listener, options) = listen();
    let client = Client::start(options, || {}).unwrap();
    let schema = schema();
    let answers = |updates: Value| {
        [
            json!({ "id": 1, "result": schema, "error": null }),
            json!({ "id": 2, "result": { "locked": true }, "error": null }),
            json!({ "id": 3, "result": [false, "0", {}], "error": null }),
            json!({ "id": null, "method": "update3", "params": [["monid", "x"], "0", updates] }),
        ]
        .iter()
        .map(Value::to_string)
        .collect::<String>()
        .into_bytes()
    };
    let row = "00000000-0000-0000-0000-000000000001";
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"hello".to_vec(), "where a message should begin"),
        (b"{]}".to_vec(), "not JSON"),
        (b"{\"a\":\"\xff\"}".to_vec(), "not JSON"),
        (b"{\"id\":1,\"result\":7,\"error\":null}".to_vec(), "get_schema"),
        (b"{\"id\":1,\"result\":null,\"error\":\"no\"}".to_vec(), "refuses get_schema: \"no\""),
        ([b"{\"a\":\"".as_slice(), &vec![b'x'; 40 << 20]].concat(), "longer than"),
        ([b"{\"a\":[".as_slice(), &b"0,".repeat(3 << 20)].concat(), "values"),
        ([b"{\"a\":[".as_slice(), &b"{},".repeat(300 << 10)].concat(), "objects"),
        (answers(json!({ "Frob": {} })), "not monitored"),
        (answers(json!({ "Bridge": { row: { "insert": { "frob": 1 } } } })), "not monitored"),
        (answers(json!({ "Bridge": { row: { "insert": { "name": 1 } } } })), "not of its column's type"),
        (answers(json!({ "Bridge": { row: { "modify": {} } } })), "is not there"),
        (answers(json!({ "Bridge": { row: null } })), "not an object"),
        (answers(json!([])), "not an object"),
    ];
    for (bytes, why) in cases {
        let mut stream = accept(&listener);
        // The client may be gone before it has all.
        let _ = stream.write_all(&bytes);
        disconnected(&client, why);
    }
    // It still asks the next server, as if nothing had been.
    let mut stream = accept(&listener);
    let mut request = [0; 12];
    stream.read_exact(&mut request).unwrap();
    assert!(request.starts_with(b"{"));
}

#[test]
fn a_silent_server_is_probed_and_left() {
    let (_directory, listener, mut options) = listen();
    options.probe_interval = Duration::from_millis(100);
    let client = Client::start(options, || {}).unwrap();
    let mut stream = accept(&listener);
    stream.write_all(br#"{"id":"e","method":"echo","params":[1,"x"]}"#).unwrap();
    let mut received = String::new();
    // Until the client leaves.
    stream.read_to_string(&mut received).unwrap();
    assert!(received.contains(r#""id":"e","result":[1,"x"]"#), "{received}");
    assert!(received.contains(r#""method":"echo""#), "{received}");
    disconnected(&client, "does not answer");
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        Just(json!("br0")),
        Just(json!(["uuid", "00000000-0000-0000-0000-000000000001"])),
        prop::collection::vec(0i64..5, 0..3).prop_map(|set| json!(["set", set])),
        prop::collection::vec(("[a-z-]{0,3}", "\\PC{0,5}"), 0..3).prop_map(|map| json!(["map", map])),
    ];
    leaf.prop_recursive(3, 20, 4, |inner| prop::collection::vec(inner, 0..4).prop_map(Value::from))
}

fn updates() -> impl Strategy<Value = Value> {
    let table = prop::sample::select(vec![
        "Open_vSwitch",
        "Bridge",
        "Port",
        "Interface",
        "Mirror",
        "Controller",
        "Datapath",
        "Frob",
    ]);
    let column = prop::sample::select(vec![
        "name",
        "bridges",
        "ports",
        "interfaces",
        "options",
        "type",
        "tag",
        "other_config",
        "mirrors",
        "datapaths",
        "ct_zones",
        "status",
        "frob",
    ]);
    let row = (0u8..3).prop_map(|n| format!("00000000-0000-0000-0000-00000000000{n}"));
    let action = prop::sample::select(vec!["insert", "initial", "modify", "delete", "frob"]);
    let change = (action, prop_oneof![4 => prop::collection::vec((column, value()), 0..4).prop_map(|cells| cells.into_iter().map(|(c, v)| (c.to_owned(), v)).collect::<serde_json::Map<_, _>>().into()), 1 => value()])
        .prop_map(|(action, cells): (&str, Value)| json!({ action: cells }));
    prop::collection::vec((table, row, change), 0..6).prop_map(|changes| {
        let mut updates = json!({});
        for (table, row, change) in changes {
            updates[table][row] = change;
        }
        updates
    })
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(prop::sample::select(b"{}[]\",:\\ae1 idmethoresul".to_vec()), 0..200)) {
        hive_ovsdb::hostile::converse(&bytes);
    }

    #[test]
    fn no_update_panics(many in prop::collection::vec(updates(), 1..6)) {
        let schema = schema();
        let mut sent = json!({ "id": 1, "result": schema, "error": null }).to_string();
        sent += &json!({ "id": 3, "result": [false, "0", {}], "error": null }).to_string();
        for updates in many {
            sent += &json!({ "id": null, "method": "update3", "params": ["x", "0", updates] }).to_string();
        }
        hive_ovsdb::hostile::converse(sent.as_bytes());
    }
}
