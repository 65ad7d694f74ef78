//! What holds for every network.

use crate::fixture::*;
use crate::random::Random;
use crate::switch::{PATIENCE, under_test};
use hive_openflow::{Context, Message, Version, decode};
use hive_vpc::model::Traffic;
use hive_vpc::{Compiled, FlowSet, Programmer, Table, apply, compile, difference};
use proptest::prelude::*;

fn compiled(seed: u64) -> Compiled {
    let mut random = Random::new(seed);
    let (network, node) = (random.network(), random.node());
    let compiled = compile(&network, &node).unwrap();
    assert_eq!(compile(&network, &node).unwrap(), compiled, "the same twice");
    compiled
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_difference_leads_from_one_to_the_other(a: u64, b: u64) {
        let (a, b) = (compiled(a).flows, compiled(b).flows);
        let mut flows = a.clone();
        let changes = difference(&a, &b);
        apply(&mut flows, &changes);
        prop_assert_eq!(&flows, &b);
        prop_assert!(difference(&flows, &b).is_empty());
        // No more than what differs.
        let gone = a.keys().filter(|key| !b.contains_key(*key)).count();
        let new = b.iter().filter(|(key, body)| a.get(*key) != Some(*body)).count();
        prop_assert_eq!(changes.len(), gone + new);
    }

    /// Each flow survives the wire as it is, so that what is read back can be compared; and each has a known source.
    #[test]
    fn flows_are_as_a_switch_tells_them(seed: u64) {
        let compiled = compiled(seed);
        let context = Context::new(Version::V1_5);
        for change in difference(&FlowSet::new(), &compiled.flows) {
            prop_assert!(compiled.sources.get(change.new_cookie.unwrap()).is_some());
            prop_assert!(Table::ALL.iter().any(|table| table.number() == change.table));
            let message = Message::FlowMod(Box::new(change));
            let mut bytes = Vec::new();
            message.encode(1, &context, &mut bytes).unwrap();
            prop_assert_eq!(decode(&bytes, &context).unwrap().message, message);
        }
    }
}

/// Whatever the network, a real switch takes its flows, and tells the same ones.
#[test]
fn a_real_switch_takes_every_network() {
    let switch = under_test();
    let mut programmer = Programmer::new(switch.management(), PATIENCE);
    let mut total = 0;
    for seed in 0..60 {
        let flows = compiled(seed * 7919 + 1).flows;
        total += flows.len();
        if let Err(error) = programmer.set(&flows) {
            panic!("seed {seed}: {error:?}");
        }
    }
    assert!(total > 5_000, "{total}");
    // Not only by what was touched.
    assert_eq!(programmer.verify(&compiled(59 * 7919 + 1).flows).unwrap().changes, 0);
}

fn changes(change: impl FnOnce(&mut hive_vpc::Network, &mut hive_vpc::Node)) -> usize {
    let (mut network, mut node) = region();
    let before = compile(&network, &node).unwrap().flows;
    change(&mut network, &mut node);
    difference(&before, &compile(&network, &node).unwrap().flows).len()
}

#[test]
fn a_change_touches_its_own_flows_only() {
    let (network, node) = region();
    let all = compile(&network, &node).unwrap().flows.len();
    let one_rule = changes(|network, _| {
        let web = network.groups.get_mut(&"sg-web".into()).unwrap();
        web.ingress.insert("sgr-new".into(), rule(tcp_port(22), cidr("192.0.2.0/24")));
    });
    let acl_entry = changes(|network, _| {
        let entry =
            hive_vpc::model::AclEntry { allow: false, traffic: tcp_port(22), cidr: "0.0.0.0/0".parse().unwrap() };
        network.acls.get_mut(&"acl-a".into()).unwrap().ingress.insert(50, entry);
    });
    let one_route = changes(|network, _| {
        let routes = &mut network.route_tables.get_mut(&"rtb-main".into()).unwrap().routes;
        routes.push(route("192.168.0.0/16", hive_vpc::model::RouteTarget::Blackhole));
    });
    let interface_gone = changes(|_, node| node.interfaces.retain(|id, _| *id != DB.id.into()));
    let address_gone = changes(|network, _| drop(network.addresses.remove(&"eipalloc-web".into())));
    println!(
        "of {all} flows: a rule {one_rule}, an ACL's entry {acl_entry}, a route {one_route}, an interface \
         {interface_gone}, an Elastic IP {address_gone}"
    );
    assert_eq!((one_rule, acl_entry, one_route), (1, 1, 1));
    assert!(interface_gone <= 30, "{interface_gone}");
    assert!(address_gone <= 4, "{address_gone}");
    // A rule with many ranges and ports: its pieces, and those that others have already are only told of it.
    let many = changes(|network, _| {
        let ranges = (0..50).map(|host| format!("192.168.{host}.0/24").parse().unwrap());
        network.prefix_lists.insert("pl-1".into(), ranges.collect());
        let traffic = Traffic::Tcp(hive_vpc::model::PortRange { first: 1, last: 65534 });
        let peer = hive_vpc::model::Peer::PrefixList("pl-1".into());
        network.groups.get_mut(&"sg-web".into()).unwrap().ingress.insert("sgr-new".into(), rule(traffic, peer));
    });
    assert_eq!(many, 50 + 30 + 1);
}
