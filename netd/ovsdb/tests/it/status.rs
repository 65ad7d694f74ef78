//! What the switch says, as the tools show it.

use crate::server::{DEADLINE, Process, Server, eventually};
use crate::switch::{Engine, Switch, options};
use hive_ovsdb::status::{Duplex, LinkState, Role};
use hive_ovsdb::{Client, Status};
use std::sync::mpsc::channel;

#[test]
fn every_column_arrives() {
    let server = Server::start();
    let (wake, woken) = channel();
    let client = Client::start(options(&server), move || wake.send(()).unwrap_or_default()).unwrap();
    let made = server
        .vsctl_command(&[
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
            "--",
            "set-controller",
            "br0",
            "tcp:127.0.0.1:1",
            "--",
            "--id=@p",
            "get",
            "port",
            "p0",
            "--",
            "--id=@m",
            "create",
            "mirror",
            "name=m",
            "output-port=@p",
            "--",
            "set",
            "bridge",
            "br0",
            "mirrors=@m",
        ])
        .spawn()
        .unwrap();
    let mut made = Process(made);
    let snapshot = eventually("the bridge is asked for", || {
        client.wait(DEADLINE).filter(|snapshot| snapshot.configuration.bridges.contains_key("br0"))
    });
    woken.recv_timeout(DEADLINE).expect("the switch is woken for it");
    let mut status: Status = Engine::default().apply(&snapshot);
    let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    for port in status.ports.values_mut() {
        port.status = pairs(&[("bond", "x\0y")]);
        port.statistics = [("drops".to_owned(), u64::MAX)].into();
        port.bond_active_member = Some("02:00:00:00:00:09".parse().unwrap());
    }
    for interface in status.interfaces.values_mut() {
        interface.link_speed_bps = Some(10_000_000_000);
        interface.duplex = Some(Duplex::Full);
        interface.link_state = Some(LinkState::Down);
        interface.link_resets = Some(2);
        interface.ifindex = Some(u32::MAX);
        interface.lacp_current = Some(false);
        interface.status = pairs(&[("driver_name", "tun")]);
    }
    for controller in status.controllers.values_mut() {
        controller.is_connected = true;
        controller.role = Some(Role::Master);
    }
    for bridge in status.bridges.values_mut() {
        bridge.status = pairs(&[("a", "b")]);
    }
    let switch = &mut status.open_vswitch;
    switch.ovs_version = Some("3.1.0".to_owned());
    switch.db_version = Some("8.3.1".to_owned());
    switch.system_type = Some("hive".to_owned());
    switch.system_version = Some("1".to_owned());
    switch.dpdk_initialized = true;
    switch.statistics = pairs(&[("cpu", "2")]);
    client.report(status);
    assert!(made.finish().success());
    server.vsctl(&["wait-until", "Open_vSwitch", ".", "cur_cfg=1", "--", "wait-until", "interface", "p0", "ofport=1"]);
    let get = |table: &str, row: &str, columns: &[&str]| {
        let mut arguments = vec!["get", table, row];
        arguments.extend(columns);
        server.vsctl(&arguments).lines().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    let columns = [
        "admin_state",
        "duplex",
        "ifindex",
        "link_resets",
        "link_speed",
        "link_state",
        "mac_in_use",
        "mtu",
        "lacp_current",
        "status",
    ];
    assert_eq!(
        get("interface", "p0", &columns),
        "up full 4294967295 2 10000000000 down \"02:00:00:00:00:01\" 1500 false {driver_name=tun}"
    );
    assert_eq!(get("interface", "p0", &["statistics"]), "{rx_bytes=0, rx_packets=0, tx_bytes=0, tx_packets=0}");
    assert_eq!(
        get("port", "p0", &["status:bond", "statistics", "bond_active_slave"]),
        "\"x\u{fffd}y\" {drops=9223372036854775807} \"02:00:00:00:00:09\""
    );
    assert_eq!(
        get("bridge", "br0", &["datapath_id", "datapath_version", "status"]),
        "\"0000020000000001\" \"<built-in>\" {a=b}"
    );
    assert_eq!(get("controller", "br0", &["is_connected", "role", "status"]), "true master {state=BACKOFF}");
    assert_eq!(get("mirror", "m", &["statistics"]), "{tx_bytes=180, tx_packets=3}");
    assert_eq!(
        get(
            "Open_vSwitch",
            ".",
            &[
                "ovs_version",
                "db_version",
                "system_type",
                "system_version",
                "dpdk_initialized",
                "dpdk_version",
                "statistics"
            ]
        ),
        "\"3.1.0\" \"8.3.1\" hive \"1\" true none {cpu=\"2\"}"
    );
    assert_eq!(
        get("Open_vSwitch", ".", &["datapath_types", "iface_types"]),
        "[netdev, system] [geneve, internal, patch, system, tap]"
    );
    // What the switch wrote itself is no news to it.
    assert!(client.take().is_none());
}

#[test]
fn datapaths_are_made_and_taken_back() {
    let server = Server::start();
    let switch = Switch::start(&server);
    server.vsctl(&["add-br", "br0"]);
    let capabilities =
        || server.vsctl(&["--no-wait", "--columns=capabilities", "--format=csv", "--no-headings", "list", "Datapath"]);
    assert_eq!(capabilities(), "\"{ct_zero_snat=\"\"true\"\"}\"");
    drop(switch);
    assert_eq!(server.vsctl(&["--no-wait", "get", "Open_vSwitch", ".", "datapaths"]), "{}");
    assert_eq!(capabilities(), "");

    // One that holds zones is somebody's configuration: it stays, without capabilities.
    let switch = Switch::start(&server);
    server.vsctl(&["add-zone-tp", "netdev", "zone=1", "udp_single=5"]);
    assert_eq!(capabilities(), "\"{ct_zero_snat=\"\"true\"\"}\"");
    drop(switch);
    assert!(server.vsctl(&["--no-wait", "list-zone-tp", "netdev"]).contains("Zone:1"));
    assert_eq!(capabilities(), "{}");
}

#[test]
fn over_tcp_too() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = Server::start_with(Some(port));
    let mut options = options(&server);
    options.remote = format!("tcp:127.0.0.1:{port}").parse().unwrap();
    let _switch = Switch::start_with(options);
    server.vsctl(&["add-br", "br0"]);
    assert_eq!(server.vsctl(&["get", "interface", "br0", "ofport"]), "65534");
}
