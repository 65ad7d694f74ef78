//! Flow mods against a list of flows that is searched from one end to the other.

use crate::bridge::Peer;
use crate::support::bridge;
use hive_flow::{Field, Match};
use hive_ofproto::ConnectionKind;
use hive_openflow::{
    Action, CookieMask, ErrorCode, FlowCommand, FlowMod, GROUP_ANY, Message, PortNo, TABLE_ALL, Version,
};
use proptest::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ModelFlow {
    table: u8,
    flow: Match,
    priority: u16,
    cookie: u64,
    port: u16,
}

const LIMIT: usize = 6;

#[derive(Default)]
struct Model(Vec<ModelFlow>);

fn port_of(actions: &[Action]) -> u16 {
    match actions {
        [Action::Output { port, .. }] => port.0,
        other => panic!("{other:?}"),
    }
}

fn covers(wide: &Match, narrow: &Match) -> bool {
    wide.iter().all(|(field, wide)| {
        let narrow = narrow.get(field);
        narrow.mask & wide.mask == wide.mask && narrow.value & wide.mask == wide.value
    })
}

fn overlap(one: &Match, other: &Match) -> bool {
    one.iter().all(|(field, one)| {
        let other = other.get(field);
        (one.value ^ other.value) & one.mask & other.mask == 0
    })
}

impl Model {
    fn apply(&mut self, change: &FlowMod) -> Option<ErrorCode> {
        let meant = |flow: &ModelFlow| {
            let strict = change.command.is_strict();
            (change.table == TABLE_ALL || change.table == flow.table)
                && (!strict || flow.priority == change.priority && flow.flow == change.flow)
                && (strict || covers(&change.flow, &flow.flow))
                && (flow.cookie ^ change.cookie.cookie) & change.cookie.mask == 0
                && (!change.command.is_delete() || change.out_port == PortNo::NONE || change.out_port.0 == flow.port)
        };
        // Only OpenFlow 1.0 lets the switch choose.
        if change.table == TABLE_ALL && !change.command.is_delete() {
            return Some(ErrorCode::FlowModBadTableId);
        }
        match change.command {
            FlowCommand::Add => {
                let table = change.table;
                let cookie = change.new_cookie.unwrap_or(0);
                let port = port_of(&change.actions);
                let new = ModelFlow { table, flow: change.flow.clone(), priority: change.priority, cookie, port };
                let same =
                    |flow: &ModelFlow| (flow.table, &flow.flow, flow.priority) == (table, &new.flow, new.priority);
                if !self.0.iter().any(same) {
                    let beside = |flow: &ModelFlow| flow.table == table && flow.priority == new.priority;
                    if change.flags.check_overlap
                        && self.0.iter().any(|flow| beside(flow) && overlap(&flow.flow, &new.flow))
                    {
                        return Some(ErrorCode::FlowModOverlap);
                    }
                    if self.0.iter().filter(|flow| flow.table == table).count() >= LIMIT {
                        return Some(ErrorCode::FlowModTableFull);
                    }
                }
                self.0.retain(|flow| !same(flow));
                self.0.push(new);
            }
            FlowCommand::Modify | FlowCommand::ModifyStrict => {
                let port = port_of(&change.actions);
                self.0.iter_mut().filter(|flow| meant(flow)).for_each(|flow| flow.port = port);
            }
            FlowCommand::Delete | FlowCommand::DeleteStrict => self.0.retain(|flow| !meant(flow)),
        }
        None
    }
}

fn any_match() -> impl Strategy<Value = Match> {
    let address = proptest::option::of((0..4u32, prop_oneof![Just(0xffff_ffffu32), Just(0xffff_fffe), Just(1)]));
    (proptest::option::of(1..3u16), address).prop_map(|(port, address)| {
        let mut flow = Match::default();
        if let Some(port) = port {
            flow.exactly(Field::InPort, port.into());
        }
        if let Some((address, mask)) = address {
            flow.exactly(Field::EthType, 0x0800);
            flow.set(Field::Ipv4Dst, address.into(), mask.into());
        }
        flow
    })
}

fn any_mod() -> impl Strategy<Value = FlowMod> {
    use FlowCommand as C;
    let command = prop_oneof![
        4 => Just(C::Add), 1 => Just(C::Modify), 1 => Just(C::ModifyStrict), 1 => Just(C::Delete), 1 => Just(C::DeleteStrict)
    ];
    let table = prop_oneof![4 => 0..2u8, 1 => Just(TABLE_ALL)];
    let cookies = (0..3u64, prop_oneof![2 => Just(0u64), 1 => Just(1), 1 => Just(u64::MAX)]);
    let out_port = prop_oneof![2 => Just(PortNo::NONE), 1 => (1..4u16).prop_map(PortNo)];
    (command, table, any_match(), 1..3u16, cookies, out_port, any::<bool>(), 1..4u16).prop_map(
        |(command, table, flow, priority, (cookie, mask), out_port, check_overlap, port)| {
            let add = command == C::Add;
            let actions = vec![Action::Output { port: PortNo(port), max_len: 0 }];
            let mut change = FlowMod { command, table, ..FlowMod::add(flow, priority, actions) };
            change.new_cookie = add.then_some(cookie);
            change.cookie = if add { CookieMask::default() } else { CookieMask { cookie, mask } };
            change.out_port = if command.is_delete() { out_port } else { PortNo::NONE };
            change.out_group = GROUP_ANY;
            change.flags.check_overlap = add && check_overlap;
            change
        },
    )
}

proptest! {
    #[test]
    fn flow_mods_do_what_they_do_to_a_list(changes in proptest::collection::vec(any_mod(), 1..60)) {
        let (mut bridge, mut model) = (bridge(), Model::default());
        bridge.set_flow_limit(0, LIMIT as u32);
        bridge.set_flow_limit(1, LIMIT as u32);
        let mut peer = Peer::new(&mut bridge, ConnectionKind::Service, Version::V1_5);
        for change in changes {
            let expected = model.apply(&change);
            let refused = peer.refusal(&mut bridge, &Message::FlowMod(Box::new(change.clone())), 0);
            prop_assert_eq!(refused, expected, "{:?}", change);
            let tables = bridge.flows().load();
            let rules = (0..=254).flat_map(|number| tables.table(number).unwrap().iter());
            let mut flows: Vec<_> = rules
                .map(|rule| {
                    let flow = rule.value();
                    assert_eq!((rule.matching(), rule.priority()), (flow.matching.clone(), flow.priority));
                    let (table, priority, cookie) = (flow.table, flow.priority, flow.cookie);
                    ModelFlow { table, flow: flow.matching.clone(), priority, cookie, port: port_of(&flow.actions) }
                })
                .collect();
            flows.sort();
            model.0.sort();
            prop_assert_eq!(&flows, &model.0);
            for (table, cookie) in (0..2).flat_map(|table| (0..3).map(move |cookie| (table, cookie))) {
                let counted = flows.iter().filter(|flow| (flow.table, flow.cookie) == (table, cookie)).count();
                prop_assert_eq!(bridge.cookies().flows(cookie, table), counted as u32);
            }
        }
    }
}
