//! Bonds, and what hangs together with them.

use super::Adder;
use crate::ovs::bridge::Bridge;
use crate::ovs::daemon::{Daemon, State};
use hive_ovsdb::snapshot::{Bond, BondMode, Port};
use std::fmt::Write;

pub(super) fn add(adder: &mut Adder<'_>) {
    adder.add("bond/list", "", 0..=0, |daemon, _| {
        let mut text = "Bond\tType\tRecircID\tMembers\n".to_owned();
        for (_, port, bond) in bonds(&daemon.lock()) {
            let members: Vec<&str> = port.interfaces.iter().map(|member| member.name.as_str()).collect();
            let _ = writeln!(text, "{}\t{}\t0\t{}", port.name, mode(bond.mode), members.join(", "));
        }
        Ok(text)
    });
    adder.add("bond/show", "[port]", 0..=1, |daemon, arguments| {
        let state = daemon.lock();
        let mut text = String::new();
        for (bridge, port, bond) in bonds(&state) {
            if arguments.first().is_none_or(|name| *name == port.name) {
                show(daemon, bridge, port, bond, &mut text);
            }
        }
        match arguments.first() {
            Some(_) if text.is_empty() => Err("no such bond".to_owned()),
            _ => Ok(text),
        }
    });
    for (name, usage) in [("lacp/show", "[port]"), ("lacp/show-stats", "[port]")] {
        adder.add(name, usage, 0..=1, |_, arguments| match arguments.first() {
            // Nobody speaks LACP here.
            Some(_) => Err("no such lacp object".to_owned()),
            None => Ok(String::new()),
        });
    }
}

fn bonds(state: &State) -> Vec<(&Bridge, &Port, &Bond)> {
    let ports = state.bridges.values().flat_map(|bridge| bridge.config.ports.iter().map(move |port| (bridge, port)));
    ports.filter_map(|(bridge, port)| Some((bridge, port, port.bond.as_ref()?))).collect()
}

fn mode(mode: BondMode) -> &'static str {
    match mode {
        BondMode::ActiveBackup => "active-backup",
        BondMode::BalanceSlb => "balance-slb",
        BondMode::BalanceTcp => "balance-tcp",
    }
}

fn show(daemon: &Daemon, bridge: &Bridge, port: &Port, bond: &Bond, text: &mut String) {
    let Some(shown) = daemon.pipeline.bond(bridge.id, &port.name).map(|bond| bond.show()) else { return };
    let hive_pipeline::BondShown { members, active, buckets: loads } = shown;
    let name = |number| bridge.member_of(number).map_or("?", |(name, _)| name);
    let active_mac = active.and_then(|active| bridge.member_of(active)?.1.status.mac);
    let _ = write!(
        text,
        "---- {} ----\nbond_mode: {}\nbond may use recirculation: no, Recirc-ID : -1\n\
         lb_output action: disabled, bond-id: -1\nupdelay: {} ms\ndowndelay: {} ms\n",
        port.name,
        mode(bond.mode),
        bond.updelay_ms,
        bond.downdelay_ms
    );
    let _ = write!(text, "lacp_status: off\nactive-backup primary: {}\n", bond.primary.as_deref().unwrap_or("<none>"));
    match (active, active_mac) {
        (Some(active), Some(mac)) => {
            let _ = writeln!(text, "active member mac: {}({})", hive_packet::MacAddr(mac), name(active));
        }
        _ => text.push_str("active member mac: 00:00:00:00:00:00(none)\n"),
    }
    let mut members: Vec<_> = members.into_iter().map(|(number, enabled)| (name(number), number, enabled)).collect();
    members.sort();
    for (name, number, enabled) in members {
        let state = if enabled { "enabled" } else { "disabled" };
        let _ = write!(text, "\nmember {name}: {state}\n");
        if active == Some(number) {
            text.push_str("  active member\n");
        }
        if bond.mode == BondMode::ActiveBackup {
            continue;
        }
        for (bucket, (member, bytes)) in loads.iter().enumerate() {
            if *member == Some(number) && *bytes > 0 {
                let _ = writeln!(text, "  hash {bucket}: {} kB load", bytes / 1024);
            }
        }
    }
    text.push('\n');
}
