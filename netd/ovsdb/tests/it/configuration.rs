//! What ovs-vsctl makes, as the switch gets it.

use crate::server::{DEADLINE, Server, eventually};
use crate::switch::{Engine, Switch, options, port_id};
use hive_ovsdb::snapshot::{
    Bfd, BondMode, CtZone, Endpoint, FailMode, InterfaceKind, Key, Lacp, MirrorOutput, Protocol, Target, Unsupported,
    Vlan,
};
use hive_ovsdb::{Client, Snapshot};

/// Runs ovs-vsctl while answering as a switch, and gives what it made.
fn made_by(server: &Server, client: &Client, engine: &mut Engine, arguments: &[&str]) -> Snapshot {
    let mut child = crate::server::Process(server.vsctl_command(arguments).spawn().unwrap());
    let mut latest = None;
    let status = eventually("ovs-vsctl returns", || {
        if let Some(snapshot) = client.wait(std::time::Duration::from_millis(20)) {
            client.report(engine.apply(&snapshot));
            latest = Some(snapshot);
        }
        child.0.try_wait().unwrap()
    });
    assert!(status.success(), "ovs-vsctl {arguments:?}");
    latest.expect("a change is handed out")
}

struct Bench {
    server: Server,
    client: Client,
    engine: Engine,
}

impl Bench {
    fn new() -> Self {
        let server = Server::start();
        let client = Client::start(options(&server), || {}).unwrap();
        Self { server, client, engine: Engine::default() }
    }

    fn make(&mut self, arguments: &[&str]) -> Snapshot {
        made_by(&self.server, &self.client, &mut self.engine, arguments)
    }
}

#[test]
fn bridges_and_ports_come_and_go() {
    let mut bench = Bench::new();
    let made = bench.make(&["add-br", "br0", "--", "set", "bridge", "br0", "datapath_type=netdev"]);
    let bridge = &made.configuration.bridges["br0"];
    assert_eq!((bridge.datapath_type.as_str(), bridge.fail_mode), ("netdev", FailMode::Standalone));
    assert_eq!(bridge.ports[0].interfaces[0].kind, InterfaceKind::Internal);

    let path = "options:vhost-server-path=/run/vm/net0.sock";
    let made = bench.make(&[
        "add-port",
        "br0",
        "vhu0",
        "tag=7",
        "--",
        "set",
        "interface",
        "vhu0",
        "type=dpdkvhostuserclient",
        path,
        "ofport_request=42",
        "mtu_request=9001",
        "mac=\"02:00:00:00:00:07\"",
        "external_ids:iface-id=lsp0",
        "ingress_policing_rate=1000",
    ]);
    let bridge = &made.configuration.bridges["br0"];
    let port = bridge.ports.iter().find(|port| port.name == "vhu0").unwrap();
    assert_eq!((&port.vlan, &port.bond), (&Vlan::Access { tag: 7 }, &None));
    let interface = &port.interfaces[0];
    let server_path = Some("/run/vm/net0.sock".to_owned());
    assert_eq!(interface.kind, InterfaceKind::DpdkVhostUserClient { server_path });
    assert_eq!((interface.ofport_request, interface.mtu_request), (Some(42), Some(9001)));
    assert_eq!(interface.mac.unwrap().to_string(), "02:00:00:00:00:07");
    assert_eq!((interface.policing.rate_kbps, interface.external_ids.text("iface-id")), (1000, Some("lsp0")));
    assert_eq!(bench.server.vsctl(&["get", "interface", "vhu0", "ofport"]), "42");

    let made = bench.make(&["del-port", "br0", "vhu0"]);
    assert_eq!(made.configuration.bridges["br0"].ports.len(), 1);
    let made = bench.make(&["del-br", "br0"]);
    assert!(made.configuration.bridges.is_empty());
}

#[test]
fn vlans_bonds_and_mirrors() {
    let mut bench = Bench::new();
    bench.make(&["add-br", "br0"]);
    let made = bench.make(&[
        "add-bond",
        "br0",
        "bond0",
        "m1",
        "m2",
        "bond_mode=balance-slb",
        "lacp=active",
        "bond_updelay=5",
        "other_config:bond-rebalance-interval=500",
        "vlan_mode=native-untagged",
        "tag=3",
        "trunks=1,2",
        "--",
        "set",
        "interface",
        "m1",
        "type=tap",
        "--",
        "set",
        "interface",
        "m2",
        "type=tap",
    ]);
    let bond = made.configuration.bridges["br0"].ports.iter().find(|port| port.name == "bond0").unwrap();
    assert_eq!(bond.vlan, Vlan::NativeUntagged { tag: 3, trunks: [1, 2].into() });
    assert_eq!((bond.interfaces.len(), bond.lacp), (2, Lacp::Active));
    let settings = bond.bond.as_ref().unwrap();
    assert_eq!((settings.mode, settings.updelay_ms, settings.rebalance_interval_ms), (BondMode::BalanceSlb, 5, 1000));

    bench.make(&["add-port", "br0", "t0", "trunks=9", "--", "set", "interface", "t0", "type=tap"]);
    let made = bench.make(&[
        "--",
        "--id=@p",
        "get",
        "port",
        "t0",
        "--",
        "--id=@b",
        "get",
        "port",
        "bond0",
        "--",
        "--id=@m",
        "create",
        "mirror",
        "name=m0",
        "select-dst-port=@b",
        "select-vlan=3",
        "output-port=@p",
        "--",
        "set",
        "bridge",
        "br0",
        "mirrors=@m",
    ]);
    let mirror = &made.configuration.bridges["br0"].mirrors[0];
    assert_eq!(mirror.output, MirrorOutput::Port(port_id(&made, "br0", "t0")));
    assert_eq!(mirror.select_dst, [port_id(&made, "br0", "bond0")].into());
    assert_eq!((mirror.select_all, mirror.select_src.len(), &mirror.select_vlan), (false, 0, &[3].into()));
    let made = bench.make(&["clear", "bridge", "br0", "mirrors"]);
    assert!(made.configuration.bridges["br0"].mirrors.is_empty());

    bench.make(&["add-br", "fake5", "br0", "5"]);
    let made = bench.make(&["set", "port", "t0", "protected=true"]);
    let ports = &made.configuration.bridges["br0"].ports;
    assert!(ports.iter().any(|port| port.name == "fake5" && port.fake_bridge && port.vlan == Vlan::Access { tag: 5 }));
    assert!(
        ports.iter().any(|port| port.name == "t0" && port.protected && port.vlan == Vlan::Trunk { trunks: [9].into() })
    );
}

#[test]
fn controllers_tunnels_queues_and_zones() {
    let mut bench = Bench::new();
    bench.make(&[
        "add-br",
        "br-int",
        "--",
        "set",
        "bridge",
        "br-int",
        "protocols=OpenFlow13,OpenFlow15",
        "other_config:datapath-id=00000000000000aa",
    ]);
    bench.make(&["set-controller", "br-int", "tcp:127.0.0.1:6653", "unix:/run/x.sock"]);
    let made = bench.make(&["set-fail-mode", "br-int", "secure"]);
    let bridge = &made.configuration.bridges["br-int"];
    assert_eq!((bridge.fail_mode, bridge.datapath_id), (FailMode::Secure, Some(0xaa)));
    assert_eq!(bridge.protocols, [Protocol::OpenFlow13, Protocol::OpenFlow15].into());
    let targets: Vec<&Target> = bridge.controllers.iter().map(|controller| &controller.target).collect();
    assert!(targets.contains(&&Target::Tcp { host: "127.0.0.1".to_owned(), port: 6653 }), "{targets:?}");
    assert!(targets.contains(&&Target::Unix("/run/x.sock".into())), "{targets:?}");

    let made = bench.make(&[
        "add-port",
        "br-int",
        "gnv0",
        "--",
        "set",
        "interface",
        "gnv0",
        "type=geneve",
        "options:remote_ip=192.0.2.7",
        "options:key=flow",
        "options:csum=true",
        "--",
        "set",
        "port",
        "gnv0",
        "qos=@q",
        "--",
        "--id=@q",
        "create",
        "qos",
        "type=linux-htb",
        "queues:3=@q3",
        "--",
        "--id=@q3",
        "create",
        "queue",
        "dscp=10",
        "other_config:max-rate=1000",
    ]);
    let port = made.configuration.bridges["br-int"].ports.iter().find(|port| port.name == "gnv0").unwrap();
    let InterfaceKind::Geneve(tunnel) = &port.interfaces[0].kind else { panic!("{port:?}") };
    assert_eq!((tunnel.remote_ip, tunnel.in_key), (Endpoint::Address([192, 0, 2, 7].into()), Key::Flow));
    assert!(tunnel.csum && tunnel.dst_port == 6081);
    assert_eq!(port.interfaces[0].bfd, None);
    let words = ["set", "interface", "gnv0", "bfd:enable=true", "bfd:min_rx=1", "bfd:min_tx=x", "bfd:mult=300"];
    let made = bench.make(&[&words[..], &["bfd:cpath_down=true"]].concat());
    let watched = made.configuration.bridges["br-int"].ports.iter().find(|port| port.name == "gnv0").unwrap();
    assert_eq!(watched.interfaces[0].bfd, Some(Bfd { min_rx_ms: 50, min_tx_ms: 100, multiplier: 3 }));
    let problems: Vec<_> = made.configuration.problems.iter().map(|problem| problem.message.as_str()).collect();
    assert!(problems.contains(&"bfd:\"cpath_down\" is not supported"), "{problems:?}");
    let queue = &port.qos.as_ref().unwrap().queues[&3];
    assert_eq!((queue.dscp, queue.other_config.number("max-rate")), (Some(10), Some(1000u32)));

    let made = bench.make(&["add-zone-tp", "netdev", "zone=5", "udp_single=30", "icmp_reply=9"]);
    let timeouts_s = [("udp_single".to_owned(), 30), ("icmp_reply".to_owned(), 9)].into();
    assert_eq!(made.configuration.datapaths["netdev"].ct_zones[&5], CtZone { timeouts_s, limit: None });
    let made = bench.make(&[
        "--",
        "--id=@t",
        "create",
        "Flow_Table",
        "flow_limit=100",
        "overflow_policy=refuse",
        "--",
        "set",
        "bridge",
        "br-int",
        "flow_tables:1=@t",
        "stp_enable=true",
    ]);
    let bridge = &made.configuration.bridges["br-int"];
    assert_eq!((bridge.flow_tables[&1].flow_limit, bridge.flow_tables[&1].evict), (Some(100), false));
    assert_eq!(bridge.unsupported, [Unsupported::Stp].into());
    let made =
        bench.make(&["set", "Open_vSwitch", ".", "other_config:flow-restore-wait=true", "external_ids:system-id=n1"]);
    let open_vswitch = &made.configuration.open_vswitch;
    assert!(open_vswitch.flow_restore_wait);
    assert_eq!(
        (open_vswitch.external_ids.text("system-id"), open_vswitch.next_cfg),
        (Some("n1"), made_next_cfg(&bench))
    );
    let made = bench.make(&["--", "set-ssl", "/k.pem", "/c.pem", "/ca.pem", "--", "set-manager", "ptcp:6640"]);
    assert_eq!(made.configuration.ssl.as_ref().unwrap().certificate, "/c.pem");
    assert_eq!(made.configuration.managers, ["ptcp:6640"]);
}

fn made_next_cfg(bench: &Bench) -> i64 {
    bench.server.vsctl(&["get", "Open_vSwitch", ".", "next_cfg"]).parse().unwrap()
}

#[test]
fn ovs_vsctl_waits_until_the_switch_has_applied() {
    let server = Server::start();
    let client = Client::start(options(&server), || {}).unwrap();
    let before = client.wait(DEADLINE).expect("a database without anything is a configuration too");
    let mut child = crate::server::Process(server.vsctl_command(&["add-br", "br0"]).spawn().unwrap());
    let snapshot = eventually("the bridge is asked for", || {
        client.wait(DEADLINE).filter(|snapshot| snapshot.configuration.bridges.contains_key("br0"))
    });
    // A report of the configuration before, once it is in the database, lets nobody go on.
    let mut status = Engine::default().apply(&snapshot);
    status.applied = Some(before.version);
    client.report(status.clone());
    eventually("the report is written", || {
        (server.vsctl(&["--no-wait", "get", "bridge", "br0", "datapath_version"]) == "\"<built-in>\"").then_some(())
    });
    assert_eq!(child.0.try_wait().unwrap(), None);
    assert_eq!(server.vsctl(&["--no-wait", "get", "Open_vSwitch", ".", "cur_cfg"]), "0");
    status.applied = Some(snapshot.version);
    client.report(status);
    assert!(child.finish().success());
    assert_eq!(server.vsctl(&["--no-wait", "get", "Open_vSwitch", ".", "cur_cfg"]), "1");
    client.stop();
}

#[test]
fn a_bad_row_says_so_and_costs_no_other() {
    let server = Server::start();
    let _switch = Switch::start(&server);
    server.vsctl(&["add-br", "br0"]);
    let output = server.vsctl_output(&[
        "add-port",
        "br0",
        "odd",
        "--",
        "set",
        "interface",
        "odd",
        "type=frob",
        "--",
        "add-port",
        "br0",
        "good",
        "--",
        "set",
        "interface",
        "good",
        "type=tap",
        "--",
        "add-port",
        "br0",
        "peerless",
        "--",
        "set",
        "interface",
        "peerless",
        "type=patch",
    ]);
    assert!(output.status.success(), "{output:?}");
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        complaint.contains("Error detected while setting up 'odd': could not open network device odd"),
        "{complaint}"
    );
    assert!(complaint.contains("patch type requires valid 'peer' argument"), "{complaint}");
    assert_eq!(server.vsctl(&["get", "interface", "good", "ofport", "error"]), "1\n[]");
    assert_eq!(server.vsctl(&["get", "interface", "odd", "ofport", "mac_in_use"]), "-1\n[]");
    let show = server.vsctl(&["show"]);
    assert!(show.contains("error: \"could not open network device odd"), "{show}");

    // The switch's own errors go the same way.
    let output = server.vsctl_output(&["add-port", "br0", "broken0", "--", "set", "interface", "broken0", "type=tap"]);
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("Error detected while setting up 'broken0'"),
        "{output:?}"
    );

    // Mended, the row loses its error.
    server.vsctl(&["set", "interface", "odd", "type=tap"]);
    assert_eq!(server.vsctl(&["get", "interface", "odd", "error"]), "[]");
    assert_ne!(server.vsctl(&["get", "interface", "odd", "ofport"]), "-1");

    // Rows without a column for errors have their status.
    server.vsctl(&["set-controller", "br0", "nonsense"]);
    assert!(server.vsctl(&["get", "controller", "br0", "status"]).contains("last_error"));
    server.vsctl(&["set", "bridge", "br0", "stp_enable=true"]);
    assert_eq!(server.vsctl(&["get", "bridge", "br0", "status:warning"]), "\"not supported: stp\"");
    server.vsctl(&["set", "bridge", "br0", "stp_enable=false"]);
    assert_eq!(server.vsctl(&["get", "bridge", "br0", "status"]), "{}");
    // A bridge that cannot be: ovs-vsctl looks at its interfaces.
    let output = server.vsctl_output(&["add-br", "br1", "--", "set", "bridge", "br1", "datapath_type=frob"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("datapath type \"frob\" is not supported"), "{output:?}");
    assert!(server.vsctl(&["get", "bridge", "br1", "status:error"]).contains("frob"));
    server.vsctl(&["del-br", "br1"]);
}

#[test]
fn hostile_values_are_their_rows_own_affair() {
    let server = Server::start();
    let switch = Switch::start(&server);
    server.vsctl(&["add-br", "br0"]);
    let huge = "x".repeat(100_000);
    let output = server.vsctl_output(&[
        "add-port",
        "br0",
        "p0",
        "--",
        "set",
        "interface",
        "p0",
        "type=tap",
        &format!("options:x={huge}"),
        "mac=rubbish",
        "--",
        "add-port",
        "br0",
        "../../etc/passwd",
        "--",
        "set",
        "interface",
        "../../etc/passwd",
        "type=dpdkvhostuser",
        "--",
        "add-port",
        "br0",
        "vhu",
        "--",
        "set",
        "interface",
        "vhu",
        "type=dpdkvhostuserclient",
        &format!("options:vhost-server-path={huge}"),
    ]);
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(complaints.contains("has a '/'") && complaints.contains("no absolute path"), "{complaints}");
    assert!(complaints.len() < 4096);
    assert_eq!(server.vsctl(&["get", "interface", "p0", "ofport"]), "1");
    assert!(server.vsctl(&["get", "interface", "p0", "status:warning"]).contains("is no unicast MAC address"));
    assert_eq!(switch.client().connection(), hive_ovsdb::Connection::Active);
}

#[test]
fn a_thousand_ports() {
    let server = Server::start();
    let _switch = Switch::start(&server);
    let mut arguments = vec!["add-br".to_owned(), "br0".to_owned()];
    for n in 0..900 {
        arguments.extend(
            ["--", "add-port", "br0", &format!("p{n}"), "--", "set", "interface", &format!("p{n}"), "type=tap"]
                .map(str::to_owned),
        );
    }
    server.vsctl(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let ofports = server.vsctl(&["--columns=ofport", "--format=csv", "--no-headings", "list", "interface"]);
    assert_eq!(ofports.lines().filter(|port| port.parse::<u16>().is_ok()).count(), 901);
}
