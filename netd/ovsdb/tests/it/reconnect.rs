//! The database goes away and comes back.

use crate::server::{Server, eventually};
use crate::switch::{Switch, options};
use hive_ovsdb::{Client, Connection};

#[test]
fn what_the_database_lost_is_written_again() {
    let mut server = Server::start();
    let switch = Switch::start(&server);
    server.vsctl(&[
        "add-br",
        "br0",
        "--",
        "add-port",
        "br0",
        "p0",
        "--",
        "set",
        "interface",
        "p0",
        "type=tap",
        "ofport_request=7",
    ]);
    let shown = |server: &Server| {
        server.vsctl(&[
            "--no-wait",
            "get",
            "interface",
            "p0",
            "ofport",
            "mac_in_use",
            "link_state",
            "statistics",
            "--",
            "get",
            "bridge",
            "br0",
            "datapath_id",
        ])
    };
    let before = shown(&server);
    assert!(before.starts_with("7\n\"02:00:00:00:00:07\"\nup\n{rx_bytes=0"), "{before}");
    for _ in 0..3 {
        server.kill();
        eventually("the loss is noticed", || {
            matches!(switch.client().connection(), Connection::Disconnected { .. }).then_some(())
        });
        server.restart();
        eventually("status is back", || (shown(&server) == before).then_some(()));
    }
    // Changes are followed again, and one that was made while nobody was connected is not lost.
    server.vsctl(&["add-port", "br0", "p1", "--", "set", "interface", "p1", "type=tap"]);
    server.restart();
    server.vsctl(&["add-port", "br0", "p2", "--", "set", "interface", "p2", "type=tap", "--", "del-port", "p1"]);
    let ofport = server.vsctl(&["get", "interface", "p2", "ofport"]);
    assert!(ofport.parse::<u16>().is_ok(), "{ofport}");
}

#[test]
fn a_database_that_is_not_there_yet_is_waited_for() {
    let mut server = Server::start();
    server.kill();
    let _ = std::fs::remove_file(server.path().join("db.sock"));
    let client = Client::start(options(&server), || {}).unwrap();
    eventually("the failure is told", || {
        matches!(client.connection(), Connection::Disconnected { reason } if reason.contains("cannot connect"))
            .then_some(())
    });
    server.restart();
    eventually("connected", || (client.connection() == Connection::Active).then_some(()));
}

#[test]
fn a_switch_that_starts_again_finds_its_port_numbers() {
    let server = Server::start();
    let switch = Switch::start(&server);
    server.vsctl(&["add-br", "br0", "--", "add-port", "br0", "a", "--", "set", "interface", "a", "type=tap"]);
    server.vsctl(&["add-port", "br0", "b", "--", "set", "interface", "b", "type=tap"]);
    assert_eq!(server.vsctl(&["get", "interface", "b", "ofport"]), "2");
    server.vsctl(&["del-port", "a"]);
    drop(switch);
    let _switch = Switch::start(&server);
    server.vsctl(&["add-port", "br0", "c", "--", "set", "interface", "c", "type=tap"]);
    assert_eq!(server.vsctl(&["get", "interface", "b", "ofport", "--", "get", "interface", "c", "ofport"]), "2\n1");
}

#[test]
fn a_database_that_hangs_is_left_and_found_again() {
    let server = Server::start();
    let mut options = options(&server);
    options.probe_interval = std::time::Duration::from_millis(200);
    let switch = Switch::start_with(options);
    server.vsctl(&["add-br", "br0"]);
    server.signal("STOP");
    eventually("the silence is noticed", || {
        matches!(switch.client().connection(), Connection::Disconnected { reason } if reason.contains("does not answer"))
            .then_some(())
    });
    server.signal("CONT");
    server.vsctl(&["add-port", "br0", "p0", "--", "set", "interface", "p0", "type=tap"]);
    assert_eq!(server.vsctl(&["get", "interface", "p0", "ofport"]), "1");
}

#[test]
fn changes_while_the_server_dies_again_and_again() {
    let mut server = Server::start();
    let _switch = Switch::start(&server);
    server.vsctl(&["add-br", "br0"]);
    for round in 0..10 {
        for n in 0..5 {
            let port = format!("p{round}-{n}");
            server.vsctl(&["--no-wait", "add-port", "br0", &port, "--", "set", "interface", &port, "type=tap"]);
        }
        server.restart();
    }
    server.vsctl(&["set", "bridge", "br0", "external_ids:last=1"]);
    let ofports = server.vsctl(&["--columns=ofport", "--format=csv", "--no-headings", "list", "interface"]);
    let ofports: std::collections::BTreeSet<&str> = ofports.lines().collect();
    assert_eq!(ofports.len(), 51, "every port has its number: {ofports:?}");
}

#[test]
fn a_schema_that_is_converted_under_it_is_followed() {
    let server = Server::start();
    let _switch = Switch::start(&server);
    server.vsctl(&["add-br", "br0"]);
    // The server disconnects clients that did not ask to be told of it.
    let schema = std::fs::read_to_string("/usr/share/openvswitch/vswitch.ovsschema").unwrap();
    let mut schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    let columns = schema["tables"]["CT_Zone"]["columns"].as_object_mut().unwrap();
    let limit = serde_json::json!({ "type": { "key": { "type": "integer", "minInteger": 0, "maxInteger": 4294967295u32 }, "min": 0, "max": 1 } });
    columns.insert("limit".to_owned(), limit);
    schema["version"] = "8.4.0".into();
    schema.as_object_mut().unwrap().remove("cksum");
    let newer = server.path().join("newer.ovsschema");
    std::fs::write(&newer, schema.to_string()).unwrap();
    let converted = server
        .command("ovsdb-client")
        .arg("--timeout=30")
        .args(["convert", &server.remote()])
        .arg(&newer)
        .output()
        .unwrap();
    assert!(converted.status.success(), "{converted:?}");
    server.vsctl(&["add-port", "br0", "p0", "--", "set", "interface", "p0", "type=tap"]);
    assert_eq!(
        server.vsctl(&["get", "interface", "p0", "ofport", "--", "get", "interface", "br0", "link_state"]),
        "1\nup"
    );
}
