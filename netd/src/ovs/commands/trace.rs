//! `ofproto/trace`: the way of a packet that nobody sent.

use super::{Adder, parse};
use crate::ovs::bridge::Bridge;
use crate::ovs::daemon::Daemon;
use crate::ovs::report::find;
use hive_flow::{Field, Key, Shown};
use hive_openflow::PortNo;
use hive_pipeline::ShownOps;
use hive_unixctl::Answer;
use std::fmt::Write;

/// Recirculations that are followed.
const PASSES_MAX: usize = 16;

pub(super) fn add(adder: &mut Adder<'_>) {
    let usage = "{[dp_name] odp_flow | bridge br_flow} [OPTIONS...] [-generate|packet]";
    adder.add("ofproto/trace", usage, 1..=64, |daemon, arguments| {
        let mut plain = arguments.iter().filter(|argument| !argument.starts_with('-'));
        let (Some(bridge), Some(flow)) = (plain.next(), plain.next()) else {
            return Err("Must specify bridge name and flow".to_owned());
        };
        trace(daemon, bridge, flow)
    });
}

fn port_number(bridge: &Bridge, name: &str) -> Option<u16> {
    match name {
        "LOCAL" | "local" => Some(PortNo::LOCAL.0),
        "CONTROLLER" => Some(PortNo::CONTROLLER.0),
        "NONE" | "ANY" => Some(PortNo::NONE.0),
        _ => bridge.members.get(name.trim_matches('"')).map(|member| member.number.0).or_else(|| parse::number(name)),
    }
}

fn trace(daemon: &Daemon, bridge: &str, flow: &str) -> Answer {
    let state = daemon.lock();
    let bridge = find(&state, bridge).map_err(|_| "Unknown bridge name".to_owned())?;
    let mut key = parse::flow(flow, |name| port_number(bridge, name))
        .map_err(|error| format!("Bad openflow flow syntax: {flow}: {error}"))?;
    let number = PortNo(key.get_u64(Field::InPort) as u16);
    let port = bridge.member_of(number).map_or(hive_pipeline::NO_PORT, |(_, member)| member.port);
    let mut text = format!("Flow: {}\n", shown(&key, bridge));
    key.set(Field::InPort, port.0.into());
    let heading = format!("bridge(\"{}\")", bridge.name());
    for pass in 0..PASSES_MAX {
        let Some(traced) = daemon.pipeline.trace(&key, daemon.now_ms()) else {
            return Err(format!("no bridge has input port {}", number.0));
        };
        let _ = write!(text, "\n{heading}\n{}\n{}", "-".repeat(heading.len()), traced.text);
        let masked = &traced.key & &traced.mask;
        let megaflow = Shown { key: &masked, mask: &traced.mask }.to_string();
        let _ = write!(
            text,
            "\nFinal flow: unchanged\nMegaflow: {megaflow}\nDatapath actions: {}\n",
            ShownOps(&traced.ops)
        );
        // The data path gives a packet back with what it has found out about its connection.
        let next = traced.ops.iter().rev().find_map(|op| match op {
            hive_program::Op::Recirculate(id) => Some(*id),
            _ => None,
        });
        let Some(id) = next else { break };
        const TRACKED_NEW: u128 = 0x21;
        key.set(Field::RecircId, id.0.into());
        if let Some(zone) = traced.zones.last() {
            key.set(Field::CtState, TRACKED_NEW);
            key.set(Field::CtZone, (*zone).into());
            let line = "=".repeat(79);
            let _ = write!(
                text,
                "\n{line}\nrecirc({:#x}) - resume conntrack with default ct_state=trk|new (use --ct-next to customize)\n{line}\n",
                id.0
            );
        }
        if pass + 1 == PASSES_MAX {
            text.push_str("\ntoo many recirculations\n");
        }
    }
    Ok(text)
}

fn shown(key: &Key, bridge: &Bridge) -> String {
    let mut mask = hive_flow::Mask::of_packet(key);
    for field in [Field::InPort, Field::CtState, Field::CtZone, Field::CtMark, Field::Metadata, Field::TunId] {
        if key.get(field) != 0 {
            mask.add_all(field);
        }
    }
    let text = Shown { key, mask: &mask }.to_string();
    let number = PortNo(key.get_u64(Field::InPort) as u16);
    match bridge.member_of(number) {
        Some(_) if number == PortNo::LOCAL => text.replace("in_port=65534", "in_port=LOCAL"),
        _ => text,
    }
}
