//! Thousands of rules.

use crate::bench::Bench;
use crate::fixture::*;
use hive_vpc::model::{Peer, PortRange, SecurityGroupRule, Traffic};
use hive_vpc::{CompileError, Network, Table, compile, difference};
use std::collections::BTreeSet;
use std::time::Instant;

const GROUPS: usize = 5;
const RULES: usize = 1000;
const LISTS: usize = 20;
const LIST_ENTRIES: usize = 100;

/// A group's rules: for each port one range, and a range of ports for each list.
fn thousand(group: usize) -> Vec<(String, SecurityGroupRule)> {
    let rule_of = |number: usize| {
        let of_list = number.is_multiple_of(2);
        let peer = if of_list {
            Peer::PrefixList(format!("pl-{}", number / 2 % LISTS).as_str().into())
        } else {
            cidr(&format!("172.{}.{}.0/24", 16 + group, number % 250))
        };
        let first = (1000 + 17 * number) as u16;
        let traffic = Traffic::Tcp(PortRange { first, last: first + 12 });
        (format!("sgr-{group}-{number:04}"), rule(traffic, peer))
    };
    (0..RULES).map(rule_of).collect()
}

fn with_thousands(network: &mut Network) {
    for list in 0..LISTS {
        let entries = (0..LIST_ENTRIES).map(|entry| format!("192.168.{}.{entry}/32", list).parse().unwrap());
        network.prefix_lists.insert(format!("pl-{list}").as_str().into(), entries.collect());
    }
    // One that is of the VPC, to be seen.
    network.prefix_lists.get_mut(&"pl-3".into()).unwrap().insert("10.0.1.12/32".parse().unwrap());
    for group in 0..GROUPS {
        let rules = thousand(group).into_iter().map(|(id, rule)| (id.as_str().into(), rule));
        let ingress = rules.collect();
        let name = format!("sg-big-{group}");
        let of_group = hive_vpc::model::SecurityGroup { ingress, ..Default::default() };
        network.groups.insert(name.as_str().into(), of_group);
        network.interfaces.get_mut(&APP.id.into()).unwrap().groups.insert(name.as_str().into());
    }
}

#[test]
fn flows_are_as_many_as_ranges_and_ports() {
    let (mut network, node) = region();
    let before = compile(&network, &node).unwrap().flows;
    with_thousands(&mut network);
    let began = Instant::now();
    let flows = compile(&network, &node).unwrap().flows;
    let compiled_in = began.elapsed();
    let of_groups = |flows: &hive_vpc::FlowSet| flows.keys().filter(|key| key.table == Table::GroupIn.number()).count();
    let added = of_groups(&flows) - of_groups(&before);
    let (mut product, mut remotes, mut pieces) = (0, BTreeSet::new(), BTreeSet::new());
    for (_, rule) in (0..GROUPS).flat_map(thousand) {
        let Traffic::Tcp(range) = rule.traffic else { continue };
        let ranges = match &rule.peer {
            Peer::PrefixList(list) => network.prefix_lists[list].len(),
            _ => 1,
        };
        remotes.insert(rule.peer.clone());
        // At least as many as there are ports in the range divided by the largest aligned piece.
        let count = range_pieces(range);
        product += ranges * count.len();
        pieces.extend(count);
    }
    let single = RULES * GROUPS / 2;
    let lists: usize = network.prefix_lists.values().map(BTreeSet::len).sum();
    println!(
        "{} rules: {added} flows for {} ranges of peers and {} pieces of ports, not {product}; compiled in {compiled_in:?}",
        RULES * GROUPS,
        remotes.len() - LISTS + lists,
        pieces.len()
    );
    // Rules of one range are flows of their own for each piece of it, and rules of lists one each.
    let singles: usize = (0..GROUPS)
        .flat_map(thousand)
        .filter(|(_, rule)| matches!(rule.peer, Peer::Cidr(_)))
        .map(|(_, rule)| if let Traffic::Tcp(range) = rule.traffic { range_pieces(range).len() } else { 0 })
        .sum();
    assert!(added <= lists + pieces.len() + singles + single, "{added}");
    assert!(added * 10 < product, "{added} {product}");
}

/// The aligned pieces of a range, found by looking at each port.
fn range_pieces(range: PortRange) -> BTreeSet<(u32, u32)> {
    let (mut at, end) = (u32::from(range.first), u32::from(range.last) + 1);
    let mut pieces = BTreeSet::new();
    while at < end {
        let size = (0..=16).rev().map(|bits| 1_u32 << bits).find(|size| at % size == 0 && at + size <= end).unwrap();
        pieces.insert((at, size));
        at += size;
    }
    pieces
}

#[test]
fn one_of_thousands_is_changed_alone() {
    let (mut network, node) = region();
    with_thousands(&mut network);
    let before = compile(&network, &node).unwrap().flows;
    let change = |rule: &str, change: SecurityGroupRule| {
        let mut network = network.clone();
        network.groups.get_mut(&"sg-big-2".into()).unwrap().ingress.insert(rule.into(), change);
        difference(&before, &compile(&network, &node).unwrap().flows).len()
    };
    let single = change("sgr-2-new", rule(tcp_port(22), cidr("172.31.0.0/16")));
    let listed =
        change("sgr-2-new", rule(Traffic::Tcp(PortRange { first: 1, last: 6 }), Peer::PrefixList("pl-1".into())));
    println!("of {} flows: a rule of one range {single}, one of a list of {LIST_ENTRIES} {listed}", before.len());
    assert_eq!(single, 1);
    // Each entry of the list is told of one more rule; four pieces; the rule.
    assert_eq!(listed, LIST_ENTRIES + 4 + 1);
}

#[test]
fn a_real_switch_holds_thousands() {
    let mut bench = Bench::new();
    with_thousands(&mut bench.network);
    let began = Instant::now();
    let report = bench.program();
    let programmed_in = began.elapsed();
    println!("{} changes compiled, sent, and read back in {programmed_in:?}", report.changes);
    // Rule 6 of each group: list 3, ports 1102 to 1114.
    for (port, passes) in [(1101, false), (1102, true), (1108, true), (1114, true), (1115, false)] {
        bench.syn_between(WEB2, APP, (1, port), passes);
        bench.syn_between(WEB, APP, (1, port), false);
    }
    let began = Instant::now();
    let report = bench.change(|network| {
        let big = network.groups.get_mut(&"sg-big-0".into()).unwrap();
        big.ingress.insert("sgr-0-new".into(), rule(tcp_port(1115), cidr("10.0.1.12/32")));
    });
    println!("one rule more: {} change, in {:?}", report.changes, began.elapsed());
    assert_eq!(report.changes, 1);
    bench.syn_between(WEB2, APP, (2, 1115), true);
}

/// A thousand rules about a group with thousands of members: few flows, but each of them tells of all rules.
#[test]
fn what_no_switch_should_hold_is_refused() {
    let compiled = |members: u32| {
        let (mut network, node) = region();
        let mut crowd = network.interfaces[&FAR.id.into()].clone();
        crowd.groups = ["sg-crowd".into()].into();
        crowd.secondary = (0..members).map(|host| std::net::Ipv4Addr::from_bits(0x0a00_8000 + host)).collect();
        network.interfaces.insert("eni-crowd".into(), crowd);
        let ingress = (0..1000_u16).map(|at| {
            let traffic = Traffic::Tcp(PortRange { first: 1000 + 2 * at, last: 1000 + 2 * at + 2 });
            (format!("sgr-{at}").as_str().into(), rule(traffic, Peer::Group("sg-crowd".into())))
        });
        network.groups.get_mut(&"sg-app".into()).unwrap().ingress = ingress.collect();
        compile(&network, &node).map(|compiled| compiled.flows.len())
    };
    assert!(compiled(100).unwrap() < 10_000);
    assert_eq!(compiled(5000), Err(CompileError::TooManyFlows));
}
