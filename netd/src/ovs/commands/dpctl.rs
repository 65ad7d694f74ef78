//! `ovs-appctl dpctl/*`: ovs-dpctl(8).

use super::{Adder, dpif, parse};
use crate::ovs::daemon::Daemon;
use hive_openflow::{CtFlush, CtTuple};
use hive_unixctl::Answer;
use std::fmt::Write;
use std::net::IpAddr;
use std::sync::Mutex;

/// Zones whose limits were set by `ct-set-limits`, which `ct-get-limits` lists.
type Limits = std::sync::Arc<Mutex<std::collections::BTreeMap<u16, u32>>>;

pub(super) fn add(adder: &mut Adder<'_>) {
    adder.add("dpctl/show", "[-s] [dp...]", 0..=8, |daemon, arguments| {
        Ok(show(daemon, arguments.iter().any(|argument| argument == "-s")))
    });
    adder.add("dpctl/dump-dps", "", 0..=0, |daemon, _| {
        Ok(dpif::types(&daemon.lock()).iter().map(|kind| format!("{kind}@ovs-{kind}\n")).collect())
    });
    adder.add("dpctl/dump-flows", "[-m] [--names | --no-names] [dp] [filter=..] [type=..]", 0..=8, |daemon, _| {
        let workers = daemon.dataplane.dump_flows();
        let many = workers.len() > 1;
        let mut text = String::new();
        for (core, flows) in workers.into_iter().enumerate() {
            if many && !flows.is_empty() {
                let _ = writeln!(text, "flow-dump from pmd on cpu core: {core}");
            }
            text.extend(flows.iter().map(|flow| format!("{flow}\n")));
        }
        Ok(text)
    });
    adder.add("dpctl/del-flows", "[dp]", 0..=1, |daemon, _| {
        daemon.dataplane.flush_flows();
        Ok(String::new())
    });
    adder.add("dpctl/dump-conntrack", "[-m] [-s] [dp] [zone=#]", 0..=4, |daemon, arguments| {
        let zone = zone(arguments)?;
        let statistics = arguments.iter().any(|argument| argument == "-s");
        Ok(daemon.dataplane.dump_conntrack(zone, statistics).into_iter().map(|line| line + "\n").collect())
    });
    adder.add("dpctl/flush-conntrack", "[dp] [zone=#] [ct-orig-tuple [ct-reply-tuple]]", 0..=4, flush);
    adder.add("dpctl/ct-get-nconns", "[dp]", 0..=1, |daemon, _| Ok(format!("{}\n", daemon.dataplane.tracker().len())));
    adder.add("dpctl/ct-get-maxconns", "[dp]", 0..=1, |daemon, _| {
        Ok(format!("{}\n", daemon.dataplane.tracker().connections_max()))
    });
    adder.add("dpctl/ct-set-maxconns", "[dp] maxconns", 1..=2, |daemon, arguments| {
        let most = arguments.last().and_then(|text| parse::number::<u32>(text));
        let most = most.ok_or_else(|| "maxconns missing or malformed (Invalid argument)".to_owned())?;
        daemon.dataplane.tracker().set_connections_max(most as usize);
        Ok("setting maxconns successful\n".to_owned())
    });
    adder.add("dpctl/ct-stats-show", "[dp] [zone=#]", 0..=3, |daemon, arguments| {
        let lines = daemon.dataplane.dump_conntrack(zone(arguments)?, false);
        let mut text = format!("Connections Stats:\n    Total: {}\n", lines.len());
        for (shown, name) in
            [("TCP", "tcp,"), ("UDP", "udp,"), ("ICMP", "icmp,"), ("ICMPv6", "icmpv6,"), ("SCTP", "sctp,")]
        {
            let count = lines.iter().filter(|line| line.starts_with(name)).count();
            if count > 0 {
                let _ = writeln!(text, "\t{shown}: {count}");
            }
        }
        Ok(text)
    });
    let limits = Limits::default();
    let (get, set, delete) = (limits.clone(), limits.clone(), limits);
    adder.add("dpctl/ct-get-limits", "[dp] [zone=#,...]", 0..=2, move |daemon, arguments| {
        let asked: Option<Vec<u16>> = arguments.iter().find_map(|argument| zones(argument));
        let limits = get.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let shown = asked.unwrap_or_else(|| limits.keys().copied().collect());
        let mut text = "default limit=0\n".to_owned();
        for zone in shown {
            let limit = limits.get(&zone).copied().unwrap_or(0);
            let _ = writeln!(text, "zone={zone},limit={limit},count={}", daemon.dataplane.tracker().zone_len(zone));
        }
        Ok(text)
    });
    adder.add("dpctl/ct-set-limits", "[dp] [default=L] [zone=N,limit=L]...", 1..=64, move |daemon, arguments| {
        if arguments.iter().any(|argument| argument.starts_with("default=")) {
            return Err("zones without a limit of their own have none: default= is not supported".to_owned());
        }
        let mut limits = set.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for argument in arguments.iter().filter(|argument| argument.starts_with("zone=")) {
            let bad = || format!("{argument}: no zone=N,limit=L (Invalid argument)");
            let (zone, limit) = argument.split_once(',').ok_or_else(bad)?;
            let zone = parse::named(zone, "zone").and_then(parse::number::<u16>).ok_or_else(bad)?;
            let limit = parse::named(limit, "limit").and_then(parse::number::<u32>).ok_or_else(bad)?;
            daemon.dataplane.tracker().set_zone_max(zone, (limit != 0).then_some(limit as usize));
            limits.insert(zone, limit);
        }
        Ok(String::new())
    });
    adder.add("dpctl/ct-del-limits", "[dp] zone=#,...", 1..=2, move |daemon, arguments| {
        let gone = arguments.iter().find_map(|argument| zones(argument));
        let gone = gone.ok_or_else(|| "invalid argument (Invalid argument)".to_owned())?;
        let mut limits = delete.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for zone in gone {
            daemon.dataplane.tracker().set_zone_max(zone, None);
            limits.remove(&zone);
        }
        Ok(String::new())
    });
}

/// `zone=N`, wherever it stands.
fn zone(arguments: &[String]) -> Result<Option<u16>, String> {
    let named = arguments.iter().find_map(|argument| parse::named(argument, "zone"));
    named
        .map(|text| parse::number(text).ok_or_else(|| "failed to parse zone (Invalid argument)".to_owned()))
        .transpose()
}

/// `zone=N,M,...`
fn zones(argument: &str) -> Option<Vec<u16>> {
    parse::named(argument, "zone")?.split(',').map(parse::number).collect()
}

fn flush(daemon: &std::sync::Arc<Daemon>, arguments: &[String]) -> Answer {
    let named = arguments.first().is_some_and(|first| is_datapath(daemon, first));
    daemon.flush_connections(&connections(&arguments[usize::from(named)..])?);
    Ok(String::new())
}

/// The connections of `[zone=#] [ct-orig-tuple [ct-reply-tuple]]`. What is not understood must not flush more than what was meant.
fn connections(arguments: &[String]) -> Result<CtFlush, String> {
    let mut asked = CtFlush { zone: zone(arguments)?, ..CtFlush::default() };
    let tuples: Vec<&String> = arguments.iter().filter(|argument| parse::named(argument, "zone").is_none()).collect();
    match tuples.as_slice() {
        [] => return Ok(asked),
        [original] => asked.original = tuple(original, &mut asked.ip_proto)?,
        [original, reply] => {
            asked.original = tuple(original, &mut asked.ip_proto)?;
            asked.reply = tuple(reply, &mut asked.ip_proto)?;
        }
        [_, _, other, ..] => return Err(format!("invalid arguments: {other} (Invalid argument)")),
    }
    // One that says nothing stands for any, before or behind one that says something.
    if asked == (CtFlush { zone: asked.zone, ..CtFlush::default() }) {
        return Err("Failed to parse ct-tuple: it means all connections (Invalid argument)".to_owned());
    }
    Ok(asked)
}

/// `[type@]name`
fn is_datapath(daemon: &Daemon, name: &str) -> bool {
    let named = |kind: &String| name == format!("ovs-{kind}") || name == format!("{kind}@ovs-{kind}");
    dpif::types(&daemon.lock()).iter().any(named)
}

/// `ct_nw_src=..,ct_nw_dst=..,ct_nw_proto=..,ct_tp_src=..,ct_tp_dst=..`
fn tuple(text: &str, protocol: &mut u8) -> Result<CtTuple, String> {
    let mut tuple = CtTuple::default();
    for word in text.split(',').filter(|word| !word.is_empty()) {
        let bad = || format!("Failed to parse ct-tuple: {word} (Invalid argument)");
        let (name, value) = word.split_once('=').ok_or_else(bad)?;
        let address = || value.parse::<IpAddr>().map_err(|_| bad());
        let number = || parse::number::<u16>(value).ok_or_else(bad);
        match name {
            "ct_nw_src" | "ct_ipv6_src" => tuple.source = Some(address()?),
            "ct_nw_dst" | "ct_ipv6_dst" => tuple.destination = Some(address()?),
            "ct_nw_proto" => {
                let asked = u8::try_from(number()?).map_err(|_| bad())?;
                // Both directions have the same.
                if *protocol != 0 && *protocol != asked {
                    return Err(bad());
                }
                *protocol = asked;
            }
            "ct_tp_src" => tuple.source_port = Some(number()?),
            "ct_tp_dst" => tuple.destination_port = Some(number()?),
            "icmp_id" => tuple.icmp_id = Some(number()?),
            "icmp_type" | "icmp_code" => drop(number()?),
            _ => return Err(bad()),
        }
    }
    Ok(tuple)
}

fn show(daemon: &Daemon, with_statistics: bool) -> String {
    let state = daemon.lock();
    let (hit, missed) = dpif::hits(daemon);
    let flows = daemon.dataplane.stats().flows;
    let mut text = String::new();
    for kind in dpif::types(&state) {
        let _ = write!(text, "{kind}@ovs-{kind}:\n  lookups: hit:{hit} missed:{missed} lost:0\n  flows: {flows}\n");
        let bridges = state.bridges.values().filter(|bridge| bridge.config.datapath_type == kind);
        let mut ports: Vec<_> = bridges
            .flat_map(|bridge| &bridge.members)
            .filter(|(_, member)| member.has_device)
            .map(|(name, member)| (member.port, name, member))
            .collect();
        ports.sort_by_key(|(port, ..)| *port);
        for (port, name, member) in ports {
            let shown = dpif::described(&member.config.kind, &member.config.options, &kind);
            let _ = writeln!(text, "  port {}: {name} ({shown})", port.0);
            if with_statistics {
                let counters = daemon.counters(member);
                let _ = write!(
                    text,
                    "    RX packets:{} errors:{} dropped:{} overruns:? frame:?\n    \
                     TX packets:{} errors:{} dropped:{} aborted:? carrier:?\n    collisions:?\n    RX bytes:{}  TX bytes:{}\n",
                    counters.rx_packets,
                    counters.rx_errors,
                    counters.rx_dropped,
                    counters.tx_packets,
                    counters.tx_errors,
                    counters.tx_dropped,
                    counters.rx_bytes,
                    counters.tx_bytes
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_meant_by_either_direction_and_never_by_nothing() {
        let asked = |arguments: &[&str]| {
            connections(&arguments.iter().map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
        };
        let from = |source: &str| CtTuple { source: Some(source.parse().unwrap()), ..CtTuple::default() };
        let all = CtFlush::default();
        assert_eq!(asked(&[]), Ok(all));
        assert_eq!(asked(&["zone=5"]), Ok(CtFlush { zone: Some(5), ..all }));
        let original = CtFlush { ip_proto: 17, original: from("10.0.0.1"), ..all };
        assert_eq!(asked(&["ct_nw_src=10.0.0.1,ct_nw_proto=17"]), Ok(original));
        let both = CtFlush { zone: Some(5), reply: from("10.0.0.2"), ..original };
        assert_eq!(asked(&["zone=5", "ct_nw_src=10.0.0.1,ct_nw_proto=17", "ct_nw_src=10.0.0.2"]), Ok(both));
        let reply = CtFlush { reply: from("10.0.0.2"), ..all };
        assert_eq!(asked(&["", "ct_nw_src=10.0.0.2"]), Ok(reply));
        for wrong in [
            &[""][..],
            &["", ""],
            &["zone=5", ","],
            &["icmp_type=8"],
            &["ct_nw_proto=0"],
            &["ct_nw_src=10.0.0.1", "ct_nw_src=10.0.0.2", "ct_nw_src=10.0.0.3"],
            &["ct_nw_proto=6", "ct_nw_proto=17"],
            &["nonsense"],
        ] {
            assert!(asked(wrong).is_err(), "{wrong:?}");
        }
    }
}
