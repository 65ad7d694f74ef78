use super::*;
use crate::schema::Schema;
use serde_json::{Value, json};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn reference(n: u128) -> Value {
    json!(["uuid", id(n).to_string()])
}

/// A replica of these rows: table, number, cells.
fn replica(rows: &[(&str, u128, Value)]) -> Replica {
    let optional = |kind: &str| json!({ "type": { "key": kind, "min": 0 } });
    let many = |kind: &str| json!({ "type": { "key": kind, "min": 0, "max": "unlimited" } });
    let map = json!({ "type": { "key": "string", "value": "string", "min": 0, "max": "unlimited" } });
    let text = json!({ "type": "string" });
    let schema = Schema::parse(&json!({ "tables": {
        "Open_vSwitch": { "columns": { "bridges": many("uuid"), "next_cfg": { "type": "integer" } } },
        "Bridge": { "columns": { "name": text, "ports": many("uuid"), "mirrors": many("uuid"), "datapath_type": text, "other_config": map } },
        "Port": { "columns": { "name": text, "interfaces": many("uuid"), "tag": optional("integer"), "trunks": many("integer"), "vlan_mode": optional("string"), "cvlans": many("integer") } },
        "Interface": { "columns": { "name": text, "type": text, "options": map, "ofport": optional("integer"), "ofport_request": optional("integer"), "mtu_request": optional("integer") } },
        "Mirror": { "columns": { "name": text, "output_port": optional("uuid"), "select_src_port": many("uuid"), "output_vlan": optional("integer") } },
    } }))
    .unwrap();
    let mut replica = Replica::default();
    for (table, row, cells) in rows {
        replica.apply(&json!({ *table: { id(*row).to_string(): { "initial": cells } } }), &schema).unwrap();
    }
    replica
}

/// One bridge with one tap port, whose row has these cells besides.
fn with_port(cells: Value) -> Configuration {
    let mut port = json!({ "name": "p0", "interfaces": reference(4) });
    port.as_object_mut().unwrap().extend(cells.as_object().unwrap().clone());
    Configuration::read(&replica(&[
        ("Open_vSwitch", 1, json!({ "bridges": reference(2) })),
        ("Bridge", 2, json!({ "name": "br0", "ports": reference(3) })),
        ("Port", 3, port),
        ("Interface", 4, json!({ "name": "p0", "type": "tap" })),
    ]))
}

#[test]
fn vlan_settings_mean_what_ovs_vswitchd_takes_them_for() {
    let vlan = |cells: Value| with_port(cells).bridges["br0"].ports[0].vlan.clone();
    let trunks = || json!(["set", [1, 2]]);
    assert_eq!(vlan(json!({})), Vlan::Trunk { trunks: [].into() });
    assert_eq!(vlan(json!({ "tag": 5 })), Vlan::Access { tag: 5 });
    assert_eq!(vlan(json!({ "vlan_mode": "access" })), Vlan::Access { tag: 0 });
    assert_eq!(
        vlan(json!({ "vlan_mode": "trunk", "tag": 5, "trunks": trunks() })),
        Vlan::Trunk { trunks: [1, 2].into() }
    );
    let native = Vlan::NativeTagged { tag: 5, trunks: [1, 2].into() };
    assert_eq!(vlan(json!({ "vlan_mode": "native-tagged", "tag": 5, "trunks": trunks() })), native);
    assert_eq!(
        vlan(json!({ "vlan_mode": "dot1q-tunnel", "tag": 9, "cvlans": 3 })),
        Vlan::Dot1qTunnel { tag: 9, cvlans: [3].into() }
    );
    // A server that does not keep to its schema.
    assert_eq!(vlan(json!({ "tag": 5000, "trunks": ["set", [-1, 4096, 7]] })), Vlan::Trunk { trunks: [7].into() });
    let implicit = with_port(json!({ "tag": 5, "trunks": trunks() }));
    assert_eq!(implicit.problems.len(), 1);
    assert!(!implicit.problems[0].refused);
}

#[test]
fn a_row_belongs_to_one() {
    let configuration = Configuration::read(&replica(&[
        ("Open_vSwitch", 1, json!({ "bridges": ["set", [reference(2), reference(3)]] })),
        ("Bridge", 2, json!({ "name": "br0", "ports": ["set", [reference(4), reference(5)]] })),
        ("Bridge", 3, json!({ "name": "br1", "ports": reference(4) })),
        ("Port", 4, json!({ "name": "p0", "interfaces": reference(6) })),
        ("Port", 5, json!({ "name": "p1", "interfaces": ["set", [reference(6), reference(7)]] })),
        ("Interface", 6, json!({ "name": "p0", "type": "tap" })),
        ("Interface", 7, json!({ "name": "p1", "type": "tap" })),
    ]));
    let names = |bridge: &str| -> Vec<Vec<&str>> {
        let ports = configuration.bridges[bridge].ports.iter();
        ports.map(|port| port.interfaces.iter().map(|interface| interface.name.as_str()).collect()).collect()
    };
    assert_eq!(names("br0"), [["p0"], ["p1"]]);
    assert!(names("br1").is_empty());
    assert_eq!(configuration.problems.len(), 2);
}

#[test]
fn references_that_lead_nowhere_are_nothing() {
    let configuration = Configuration::read(&replica(&[
        ("Open_vSwitch", 1, json!({ "bridges": ["set", [reference(2), reference(9)]] })),
        (
            "Bridge",
            2,
            json!({ "name": "br0", "ports": reference(9), "mirrors": ["set", [reference(3), reference(4), reference(5)]] }),
        ),
        ("Mirror", 3, json!({ "name": "none" })),
        ("Mirror", 4, json!({ "name": "elsewhere", "output_port": reference(9) })),
        ("Mirror", 5, json!({ "name": "vlan", "output_vlan": 7, "select_src_port": reference(9) })),
    ]));
    let bridge = &configuration.bridges["br0"];
    assert_eq!(bridge.mirrors.len(), 1);
    assert_eq!((bridge.mirrors[0].output, bridge.mirrors[0].select_src.len()), (MirrorOutput::Vlan(7), 0));
    // They are told of where there is a column for it.
    assert_eq!(configuration.problems.iter().filter(|problem| problem.table == Table::Bridge).count(), 3);
}

#[test]
fn port_numbers_of_before_are_known() {
    let known = ofports(&replica(&[
        ("Interface", 1, json!({ "name": "a", "ofport": 7 })),
        ("Interface", 2, json!({ "name": "b", "ofport": -1 })),
        ("Interface", 3, json!({ "name": "c" })),
        ("Interface", 4, json!({ "name": "d", "ofport": 65534 })),
    ]));
    assert_eq!(known, [(InterfaceId(id(1)), 7), (InterfaceId(id(4)), 65534)].into());
}

#[test]
fn odd_numbers_are_ignored_and_told() {
    let configuration = Configuration::read(&replica(&[
        ("Open_vSwitch", 1, json!({ "bridges": reference(2) })),
        (
            "Bridge",
            2,
            json!({ "name": "br0", "ports": reference(3), "other_config": ["map", [["datapath-id", "xyz"], ["hwaddr", "ff:ff:ff:ff:ff:ff"]]] }),
        ),
        ("Port", 3, json!({ "name": "p0", "interfaces": reference(4) })),
        ("Interface", 4, json!({ "name": "p0", "type": "tap", "ofport_request": 70000, "mtu_request": -5 })),
    ]));
    let bridge = &configuration.bridges["br0"];
    assert_eq!((bridge.datapath_id, bridge.hwaddr), (None, None));
    let interface = &bridge.ports[0].interfaces[0];
    assert_eq!((interface.ofport_request, interface.mtu_request), (None, None));
    assert_eq!(configuration.problems.len(), 4);
    assert!(configuration.problems.iter().all(|problem| !problem.refused));
}

#[test]
fn problems_are_bounded() {
    let names: Vec<(String, u128)> = (0..5000).map(|n| (format!("{}{n}", "x".repeat(1000)), 10 + n)).collect();
    let mut rows = vec![(
        "Open_vSwitch",
        1,
        json!({ "bridges": ["set", names.iter().map(|(_, n)| reference(*n)).collect::<Vec<_>>()] }),
    )];
    rows.extend(names.iter().map(|(name, n)| ("Bridge", *n, json!({ "name": name }))));
    let configuration = Configuration::read(&replica(&rows));
    assert!(configuration.bridges.is_empty());
    assert_eq!(configuration.problems.len(), MAX_PROBLEMS);
    assert!(configuration.problems.iter().all(|problem| problem.message.len() < 200 && problem.name.len() < 200));
}

#[test]
fn options_of_af_xdp_are_read_or_refused() {
    let read = |kind: &str, options: &[(&str, &str)]| {
        let configuration = Configuration::read(&replica(&[
            ("Open_vSwitch", 1, json!({ "bridges": reference(2) })),
            ("Bridge", 2, json!({ "name": "br0", "ports": reference(3) })),
            ("Port", 3, json!({ "name": "p0", "interfaces": reference(4) })),
            ("Interface", 4, json!({ "name": "p0", "type": kind, "options": ["map", options] })),
        ]));
        let interface = configuration.bridges["br0"].ports.first().and_then(|port| port.interfaces.first());
        let message = || configuration.problems.iter().find(|problem| problem.refused).unwrap().message.clone();
        interface.map_or_else(|| Err(message()), |interface| Ok(interface.kind.clone()))
    };
    let best = Afxdp { mode: None, need_wakeup: true, rx_queues: None };
    for options in [&[][..], &[("xdp-mode", "best-effort")]] {
        assert_eq!(read("afxdp", options), Ok(InterfaceKind::Afxdp(best)));
    }
    let options = [("xdp-mode", "native"), ("use-need-wakeup", "false"), ("n_rxq", "4")];
    let native = Afxdp { mode: Some(XdpMode::Native), need_wakeup: false, rx_queues: Some(4) };
    assert_eq!(read("afxdp-nonpmd", &options), Ok(InterfaceKind::Afxdp(native)));
    let error = read("afxdp", &[("xdp-mode", "fast")]).unwrap_err();
    assert!(error.contains("fast") && error.contains("native-with-zerocopy"), "{error}");
    for queues in ["0", "-1", "two", "99999999999"] {
        let error = read("afxdp", &[("n_rxq", queues)]).unwrap_err();
        assert!(error.contains("n_rxq") && error.contains(queues), "{error}");
    }
}
