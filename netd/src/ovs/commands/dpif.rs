//! Datapaths as bridges see them.

use super::Adder;
use crate::ovs::act::VLAN_LIMIT;
use crate::ovs::daemon::{Daemon, State};
use crate::ovs::report::{CAPABILITIES, find};
use hive_datapath::{Counter, Counters};
use hive_ovsdb::snapshot::InterfaceKind;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

pub(super) fn add(adder: &mut Adder<'_>) {
    adder.add("dpif/show", "", 0..=0, |daemon, _| Ok(show(daemon)));
    adder.add("dpif/show-dp-features", "bridge", 1..=1, |daemon, arguments| {
        find(&daemon.lock(), &arguments[0])?;
        Ok(features())
    });
    adder.add("dpif/dump-flows", "[-m] [--names | --no-names] bridge", 1..=4, |daemon, arguments| {
        let name = arguments.last().map_or("", String::as_str);
        // Workers are asked without the lock.
        let ports: BTreeSet<u32> = find(&daemon.lock(), name)?.members.values().map(|member| member.port.0).collect();
        let flows = daemon.dataplane.dump_flows().into_iter().flatten();
        let own = flows.filter(|line| in_port(line).is_none_or(|port| ports.contains(&port)));
        Ok(own.map(|line| line + "\n").collect())
    });
    adder.add("upcall/show", "", 0..=0, |daemon, _| {
        let stats = daemon.dataplane.stats();
        Ok(types(&daemon.lock())
            .iter()
            .map(|kind| {
                // Nobody dumps flows here, so there is no time that takes, nor an average.
                format!("{kind}@ovs-{kind}:\n  flows         : (current {})\n\n", stats.flows)
            })
            .collect())
    });
    let cleared: Arc<Mutex<Vec<Vec<u64>>>> = Arc::default();
    let shown = cleared.clone();
    adder.add("dpif-netdev/pmd-stats-show", "[-pmd core] [dp]", 0..=3, move |daemon, _| {
        let since = shown.lock().unwrap_or_else(PoisonError::into_inner);
        let none = Vec::new();
        let workers = daemon.dataplane.worker_counters();
        let text =
            workers.iter().enumerate().map(|(core, counters)| pmd(core, counters, since.get(core).unwrap_or(&none)));
        Ok(text.collect())
    });
    adder.add("dpif-netdev/pmd-stats-clear", "[-pmd core] [dp]", 0..=3, move |daemon, _| {
        let all = |counters: &Arc<Counters>| Counter::ALL.iter().map(|counter| counters.get(*counter)).collect();
        let now = daemon.dataplane.worker_counters().iter().map(all).collect();
        *cleared.lock().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(String::new())
    });
}

/// The port in a line of `dpctl/dump-flows`.
fn in_port(line: &str) -> Option<u32> {
    let (_, rest) = line.split_once("in_port")?;
    let digits: String = rest.chars().skip(1).take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Types of datapaths that bridges have.
pub(super) fn types(state: &State) -> BTreeSet<String> {
    state.bridges.values().map(|bridge| bridge.config.datapath_type.clone()).collect()
}

/// What an interface is called in listings, and its options.
pub(super) fn described(kind: &InterfaceKind, options: &BTreeMap<String, String>, datapath: &str) -> String {
    let name = match kind {
        // The userspace datapath makes them of TAPs, and says so.
        InterfaceKind::Internal if datapath == "netdev" => "tap",
        other => other.name(),
    };
    let options: Vec<String> = options.iter().map(|(name, value)| format!("{name}={value}")).collect();
    if options.is_empty() { name.to_owned() } else { format!("{name}: {}", options.join(", ")) }
}

/// Packets whose way was known, and others.
pub(super) fn hits(daemon: &Daemon) -> (u64, u64) {
    let workers = daemon.dataplane.worker_counters();
    let sum = |counter| workers.iter().map(|worker| worker.get(counter)).sum::<u64>();
    (sum(Counter::ExactHits) + sum(Counter::FusedHits) + sum(Counter::FlowHits), sum(Counter::Misses))
}

fn show(daemon: &Daemon) -> String {
    let state = daemon.lock();
    let (hit, missed) = hits(daemon);
    let mut text = String::new();
    for kind in types(&state) {
        let _ = writeln!(text, "{kind}@ovs-{kind}: hit:{hit} missed:{missed}");
        for bridge in state.bridges.values().filter(|bridge| bridge.config.datapath_type == kind) {
            let _ = writeln!(text, "  {}:", bridge.name());
            for (name, member) in &bridge.members {
                let number = if member.has_device { member.port.0.to_string() } else { "none".to_owned() };
                let shown = described(&member.config.kind, &member.config.options, &kind);
                let _ = writeln!(text, "    {name} {}/{number}: ({shown})", member.number.0);
            }
        }
    }
    text
}

fn features() -> String {
    const NAMES: [(&str, &str); 19] = [
        ("Masked set action", "masked_set_action"),
        ("Tunnel push pop", ""),
        ("Ufid", "ufid"),
        ("Truncate action", "trunc"),
        ("Clone action", "clone"),
        ("Conntrack eventmask", "ct_eventmask"),
        ("Conntrack clear", "ct_clear"),
        ("Check pkt length action", "check_pkt_len"),
        ("Conntrack timeout policy", "ct_timeout"),
        ("Explicit Drop action", "explicit_drop_action"),
        ("Optimized Balance TCP mode", "lb_output_action"),
        ("Conntrack all-zero IP SNAT", "ct_zero_snat"),
        ("MPLS Label add", "add_mpls"),
        ("Recirc", "recirc"),
        ("CT state", "ct_state"),
        ("CT zone", "ct_zone"),
        ("CT mark", "ct_mark"),
        ("CT label", "ct_label"),
        ("CT state NAT", "ct_state_nat"),
    ];
    let capable = |name: &str| CAPABILITIES.iter().any(|(known, value)| *known == name && *value == "true");
    let mut text: String =
        NAMES.iter().map(|(shown, name)| format!("{shown}: {}\n", if capable(name) { "Yes" } else { "No" })).collect();
    let more = [
        ("CT orig tuple", "ct_orig_tuple"),
        ("CT orig tuple for IPv6", "ct_orig_tuple6"),
        ("IPv6 ND Extension", "nd_ext"),
    ];
    text.extend(more.map(|(shown, name)| format!("{shown}: {}\n", if capable(name) { "Yes" } else { "No" })));
    text + &format!("Max VLAN headers: {VLAN_LIMIT}\nMax MPLS depth: 3\nMax dp_hash algorithm: 1\nSample nesting: 0\n")
}

fn pmd(core: usize, counters: &Counters, since: &[u64]) -> String {
    let get =
        |counter: Counter| counters.get(counter).saturating_sub(since.get(counter as usize).copied().unwrap_or(0));
    let (packets, recirculations) = (get(Counter::Packets), get(Counter::Recirculations));
    let ratio = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
    let hits = get(Counter::FlowHits);
    format!(
        "pmd thread numa_id 0 core_id {core}:\n  packets received: {packets}\n  packet recirculations: {recirculations}\n  \
         avg. datapath passes per packet: {:.2}\n  phwol hits: 0\n  mfex opt hits: 0\n  simple match hits: 0\n  emc hits: {}\n  \
         smc hits: 0\n  megaflow hits: {hits}\n  avg. subtable lookups per megaflow hit: {:.2}\n  \
         miss with success upcall: {}\n  miss with failed upcall: {}\n",
        ratio(packets + recirculations, packets),
        get(Counter::ExactHits) + get(Counter::FusedHits),
        ratio(get(Counter::FlowLookups), hits),
        get(Counter::Misses),
        get(Counter::MissLimit),
    )
}
