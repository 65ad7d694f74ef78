//! Bridges and their flows.

use super::Adder;
use crate::ovs::bridge::Bridge;
use crate::ovs::daemon::Daemon;
use crate::ovs::report::find;
use hive_device::tunnel::Kind;
use hive_ovsdb::snapshot::InterfaceKind;
use hive_pipeline::ShownAction;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Tables, the hidden one among them.
const TABLES: u8 = 255;

pub(super) fn add(adder: &mut Adder<'_>) {
    adder.add("ofproto/list", "", 0..=0, |daemon, _| {
        Ok(daemon.lock().bridges.keys().map(|name| format!("{name}\n")).collect())
    });
    adder.add("bridge/dump-flows", "[--offload-stats] bridge", 1..=2, |daemon, arguments| {
        let name = arguments.last().map_or("", String::as_str);
        let state = daemon.lock();
        let bridge = find(&state, name).map_err(|_| "Unknown bridge".to_owned())?;
        Ok(dump_flows(daemon, bridge))
    });
    adder.add("bridge/reconnect", "[bridge]", 0..=1, |daemon, arguments| {
        let state = daemon.lock();
        match arguments.first() {
            Some(name) => find(&state, name).map_err(|_| "Unknown bridge".to_owned())?.controllers.reconnect(),
            None => state.bridges.values().for_each(|bridge| bridge.controllers.reconnect()),
        }
        Ok(String::new())
    });
    adder.add("tnl/ports/show", "-v", 0..=1, |daemon, _| {
        let mut ports = BTreeMap::new();
        for member in daemon.lock().bridges.values().flat_map(|bridge| bridge.members.values()) {
            let port = match &member.config.kind {
                InterfaceKind::Geneve(tunnel) => (Kind::Geneve, tunnel.dst_port),
                InterfaceKind::Vxlan(tunnel) => (Kind::Vxlan, tunnel.dst_port),
                _ => continue,
            };
            *ports.entry(port).or_insert(0) += 1;
        }
        let mut text = "Listening ports:\n".to_owned();
        for ((kind, port), count) in ports {
            let name = if kind == Kind::Geneve { "genev_sys" } else { "vxlan_sys" };
            let _ = writeln!(text, "{name}_{port} ({port}) ref_cnt={count}");
        }
        Ok(text)
    });
    adder.add("qos/show-types", "interface", 1..=1, |daemon, arguments| {
        has_interface(daemon, &arguments[0]).map(|()| "QoS type: \n".to_owned())
    });
    adder.add("qos/show", "interface", 1..=1, |daemon, arguments| {
        has_interface(daemon, &arguments[0])?;
        Err(format!("QoS not configured on {}", arguments[0]))
    });
}

fn has_interface(daemon: &Daemon, name: &str) -> Result<(), String> {
    let state = daemon.lock();
    let known = state.bridges.values().any(|bridge| bridge.members.contains_key(name));
    known.then_some(()).ok_or_else(|| "no such interface".to_owned())
}

pub(super) fn count_flows(bridge: &Bridge) -> usize {
    let tables = bridge.lock_agent().flows().load();
    (0..TABLES).filter_map(|table| tables.table(table)).map(|table| table.iter().count()).sum()
}

fn dump_flows(daemon: &Daemon, bridge: &Bridge) -> String {
    let tables = bridge.lock_agent().flows().load();
    let now_ms = daemon.now_ms();
    let mut text = String::new();
    for number in 0..TABLES {
        for rule in tables.table(number).into_iter().flat_map(|table| table.iter()) {
            let flow = rule.value();
            if number != 0 {
                let _ = write!(text, "table_id={number}, ");
            }
            let _ = write!(
                text,
                "duration={}s, n_packets={}, n_bytes={}, priority={}",
                now_ms.saturating_sub(flow.created_ms) / 1000,
                flow.usage.packets(),
                flow.usage.bytes(),
                flow.priority
            );
            let matching = flow.matching.to_string();
            if !matching.is_empty() {
                let _ = write!(text, ",{matching}");
            }
            let actions: Vec<String> = flow.actions.iter().map(|action| ShownAction(action).to_string()).collect();
            let actions = if actions.is_empty() { "drop".to_owned() } else { actions.join(",") };
            let _ = writeln!(text, ",actions={actions}");
        }
    }
    text
}
