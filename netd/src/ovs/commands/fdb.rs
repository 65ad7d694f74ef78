//! Learned addresses.

use super::Adder;
use crate::ovs::bridge::Bridge;
use crate::ovs::daemon::Daemon;
use crate::ovs::report::find;
use hive_packet::MacAddr;
use hive_pipeline::{BridgeState, BundleId};
use hive_unixctl::Answer;
use std::fmt::Write;
use std::sync::Arc;

pub(super) fn add(adder: &mut Adder<'_>) {
    adder.add("fdb/show", "bridge", 1..=1, |daemon, arguments| {
        on(daemon, &arguments[0], |bridge, state| Ok(show(daemon, bridge, state)))
    });
    adder.add("fdb/flush", "[bridge]", 0..=1, |daemon, arguments| {
        match arguments.first() {
            Some(name) => daemon.pipeline.flush_macs(find(&daemon.lock(), name)?.id),
            None => daemon.lock().bridges.values().for_each(|bridge| daemon.pipeline.flush_macs(bridge.id)),
        }
        Ok("table successfully flushed".to_owned())
    });
    adder.add("fdb/stats-show", "bridge", 1..=1, |daemon, arguments| {
        on(daemon, &arguments[0], |bridge, state| {
            let stats = state.macs.stats();
            Ok(format!(
                "Statistics for bridge \"{}\":\n  \
               Current/maximum MAC entries in the table: {}/{}\n  \
               Current static MAC entries in the table : {}\n  \
               Total number of learned MAC entries     : {}\n  \
               Total number of expired MAC entries     : {}\n  \
               Total number of evicted MAC entries     : {}\n  \
               Total number of port moved MAC entries  : {}\n",
                bridge.name(),
                stats.entries,
                stats.entries_max,
                stats.statics,
                stats.learned,
                stats.expired,
                stats.evicted,
                stats.moved
            ))
        })
    });
    adder.add("fdb/stats-clear", "[bridge]", 0..=1, |daemon, arguments| {
        let state = daemon.lock();
        let meant: Vec<&Bridge> = match arguments.first() {
            Some(name) => vec![find(&state, name)?],
            None => state.bridges.values().collect(),
        };
        let states = meant.into_iter().filter_map(|bridge| daemon.pipeline.bridge_state(bridge.id));
        states.for_each(|state| state.macs.clear_stats());
        Ok("statistics successfully cleared".to_owned())
    });
    adder.add("fdb/add", "bridge port vlan mac", 4..=4, |daemon, arguments| {
        on(daemon, &arguments[0], |bridge, state| {
            let (vlan, mac) = address(&arguments[2], &arguments[3])?;
            let bundle = bundle(daemon, bridge, &arguments[1])?;
            state.macs.add_static(mac, vlan, bundle);
            daemon.pipeline.revalidate();
            Ok(String::new())
        })
    });
    adder.add("fdb/del", "bridge vlan mac", 3..=3, |daemon, arguments| {
        on(daemon, &arguments[0], |_, state| {
            let (vlan, mac) = address(&arguments[1], &arguments[2])?;
            if !state.macs.remove_static(mac, vlan) {
                return Err("MAC entry not found".to_owned());
            }
            daemon.pipeline.revalidate();
            Ok(String::new())
        })
    });
}

fn on(daemon: &Arc<Daemon>, bridge: &str, then: impl FnOnce(&Bridge, &BridgeState) -> Answer) -> Answer {
    let state = daemon.lock();
    let bridge = find(&state, bridge)?;
    let kept = daemon.pipeline.bridge_state(bridge.id).ok_or_else(|| "no such bridge".to_owned())?;
    then(bridge, &kept)
}

fn address(vlan: &str, mac: &str) -> Result<(u16, u64), String> {
    let vlan = vlan.parse().ok().filter(|vlan| *vlan < 4096).ok_or_else(|| "Invalid vlan id.".to_owned())?;
    let mac: MacAddr = mac.parse().map_err(|_| "Invalid MAC address.".to_owned())?;
    Ok((vlan, mac.to_u64()))
}

fn bundle(daemon: &Daemon, bridge: &Bridge, port: &str) -> Result<BundleId, String> {
    let number = port.parse().ok();
    let by_number =
        || bridge.members.iter().find(|(_, member)| Some(member.number.0) == number).map(|(name, _)| name.as_str());
    let interface = by_number().unwrap_or(port);
    let holds = |port: &&hive_ovsdb::snapshot::Port| port.interfaces.iter().any(|one| one.name == interface);
    let name = bridge.config.ports.iter().find(holds).map_or(interface, |port| port.name.as_str());
    daemon.pipeline.bundle_id(bridge.id, name).ok_or_else(|| "no such port".to_owned())
}

fn show(daemon: &Daemon, bridge: &Bridge, state: &BridgeState) -> String {
    let mut text = " port  VLAN  MAC                Age\n".to_owned();
    for entry in state.macs.show(daemon.now_ms()) {
        let Some((_, number)) = daemon.pipeline.bundle(bridge.id, entry.bundle) else { continue };
        let [_, _, mac @ ..] = entry.mac.to_be_bytes();
        let number = if number == hive_openflow::PortNo::LOCAL { "LOCAL".to_owned() } else { number.0.to_string() };
        let mac = MacAddr(mac);
        let _ = match entry.age_s {
            Some(age) => writeln!(text, "{number:>5}  {:>4}  {mac}  {age:>3}", entry.vlan),
            None => writeln!(text, "{number:>5}  {:>4}  {mac}  static", entry.vlan),
        };
    }
    text
}
