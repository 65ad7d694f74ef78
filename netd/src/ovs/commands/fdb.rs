//! Learned addresses.

use super::Adder;
use crate::ovs::bridge::Bridge;
use crate::ovs::report::find;
use hive_packet::MacAddr;

pub(super) fn add(adder: &mut Adder<'_>) {
    let unknown = || "no such bridge".to_owned();
    adder.add("fdb/show", "bridge", 1..=1, move |daemon, arguments| {
        daemon.pipeline.show_macs(&arguments[0], daemon.now_ms()).ok_or_else(unknown)
    });
    adder.add("fdb/flush", "[bridge]", 0..=1, move |daemon, arguments| {
        let named = arguments.first().map(|name| vec![name.clone()]);
        for bridge in named.unwrap_or_else(|| daemon.pipeline.bridges()) {
            if !daemon.pipeline.flush_macs_of(&bridge) {
                return Err(unknown());
            }
        }
        Ok("table successfully flushed".to_owned())
    });
    adder.add("fdb/stats-show", "bridge", 1..=1, move |daemon, arguments| {
        daemon.pipeline.show_mac_stats(&arguments[0]).ok_or_else(unknown)
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
        let (vlan, mac) = address(&arguments[2], &arguments[3])?;
        let state = daemon.lock();
        let port = port(find(&state, &arguments[0])?, &arguments[1]);
        if daemon.pipeline.add_mac(&arguments[0], &port, vlan, mac) {
            Ok(String::new())
        } else {
            Err("unknown port".to_owned())
        }
    });
    adder.add("fdb/del", "bridge vlan mac", 3..=3, |daemon, arguments| {
        find(&daemon.lock(), &arguments[0])?;
        let (vlan, mac) = address(&arguments[1], &arguments[2])?;
        if daemon.pipeline.remove_mac(&arguments[0], vlan, mac) {
            Ok(String::new())
        } else {
            Err("MAC entry not found".to_owned())
        }
    });
}

fn address(vlan: &str, mac: &str) -> Result<(u16, u64), String> {
    let vlan = vlan.parse().ok().filter(|vlan| *vlan < 4096).ok_or_else(|| "Invalid vlan id.".to_owned())?;
    let mac: MacAddr = mac.parse().map_err(|_| "Invalid MAC address.".to_owned())?;
    Ok((vlan, mac.to_u64()))
}

/// The name of the port that has an interface of this name or number.
fn port(bridge: &Bridge, named: &str) -> String {
    let number = named.parse().ok();
    let by_number = bridge.members.iter().find(|(_, member)| Some(member.number.0) == number);
    let interface = by_number.map_or(named, |(name, _)| name.as_str());
    let mut ports = bridge.config.ports.iter();
    let holder = ports.find(|port| port.interfaces.iter().any(|one| one.name == interface));
    holder.map_or_else(|| interface.to_owned(), |port| port.name.clone())
}
