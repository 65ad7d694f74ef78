//! Security groups: tables `TrackOut`, `GroupOut`, `TrackIn`, `GroupIn`.
//!
//! Flows are of a *set* of groups, which interfaces share. A rule is one flow for each pair of a remote range and a piece of its ports
//! where there is but one of either; else a conjunction, one flow for each remote range, one for each piece, and one more: never a
//! product. Only a connection's first packet meets rules. It is committed with the rule's number as mark, and all that belongs to a
//! committed connection passes, whatever the rules have become.
//!
//! Connections that any address may have in both directions are not tracked, as AWS has it: "if a security group rule permits TCP or
//! UDP flows for all traffic and there is a corresponding rule in the other direction that permits all response traffic for any
//! port, then that flow of traffic is not tracked".

use super::Compiler;
use super::index::Groups;
use super::traffic::Fields;
use crate::flow::register::{GROUPS, RECEIVER, SENDER};
use crate::flow::{Family, Pattern, Table, commit, ct, goto, host, track};
use crate::model::{GroupId, Peer, RuleId, SecurityGroupRule};
use crate::ports::masked;
use crate::source::{Direction, Source, numbers, rule_mark};
use hive_flow::{FRAG_ANY, FRAG_LATER, Field, PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP};
use hive_openflow::Action;
use ipnet::IpNet;
use std::collections::{BTreeMap, BTreeSet};

/// `conjunction` actions in one flow, of 16 bytes each: a message holds 64 KiB, and a reply some more than the flow. AWS allows an
/// interface 1000 rules, so that more never comes; it would be spread over priorities.
const CONJUNCTIONS_PER_FLOW_MAX: usize = 3500;

/// `conjunction` actions of all flows: a rule's for each of its ranges, so that a large group in many rules makes far more of them than
/// flows. Some hundred MiB here and at the switch.
const CLAUSES_MAX: usize = 1 << 22;

const INVALID: u16 = 400;
const TRACKED: u16 = 300;
const DIRECT: u16 = 200;
/// And below, one for each [`CONJUNCTIONS_PER_FLOW_MAX`] rules.
const CONJUNCTIVE: u16 = 180;
const PIECE: u16 = 2;
const NO_RULE: u16 = 1;

/// What differs between the two directions.
#[derive(Clone, Copy)]
struct Side {
    direction: Direction,
    track: Table,
    rules: Table,
    next: Table,
    /// The register with the interface's number, which is its zone.
    zone: u8,
}

const OUT: Side = Side {
    direction: Direction::Egress,
    track: Table::TrackOut,
    rules: Table::GroupOut,
    next: Table::Switch,
    zone: SENDER,
};
const IN: Side = Side {
    direction: Direction::Ingress,
    track: Table::TrackIn,
    rules: Table::GroupIn,
    next: Table::Deliver,
    zone: RECEIVER,
};

/// A rule of a set of groups.
struct SetRule<'a> {
    group: &'a GroupId,
    id: &'a RuleId,
    rule: &'a SecurityGroupRule,
}

impl Compiler<'_> {
    pub(super) fn groups(&mut self) {
        for side in [OUT, IN] {
            self.tracking(side);
        }
        for (groups, number) in self.index.group_sets() {
            self.untracked(&groups, number);
            for side in [OUT, IN] {
                self.rules(&groups, number, side);
            }
        }
    }

    /// What is the same for all groups.
    fn tracking(&mut self, side: Side) {
        let Side { direction, track: table, rules, next, zone } = side;
        for family in Family::BOTH {
            self.add(table, 10, Pattern::new().ip(family), Source::Table(table), vec![track(zone, rules)]);
        }
        let invalid = Pattern::new().ct_state(ct::TRACKED | ct::INVALID, ct::TRACKED | ct::INVALID);
        self.add(rules, INVALID, invalid, Source::Invalid(direction), self.refused(direction));
        for state in [ct::ESTABLISHED, ct::RELATED] {
            let tracked = Pattern::new().ct_state(ct::TRACKED | state, ct::TRACKED | state);
            self.add(rules, TRACKED, tracked, Source::Tracked(direction), vec![goto(next)]);
        }
        // Later fragments have no ports to judge by. Open vSwitch lets none of a datagram out of a commit before all came there, the
        // first too; where a tracker does not hold them back, no later one makes a connection, and none is of use without the first.
        for family in Family::BOTH {
            let piece = Pattern::new().ct_state(ct::TRACKED | ct::NEW, ct::TRACKED | ct::NEW).ip(family);
            let piece = piece.masked(Field::IpFrag, FRAG_LATER, FRAG_LATER);
            self.add(rules, PIECE, piece, Source::Table(rules), vec![commit(zone, 0, next)]);
        }
        self.add(rules, NO_RULE, Pattern::new(), Source::NoRule(direction), self.refused(direction));
        // What could not be committed: a fragment without its first, or the zone is full.
        let invalid = Pattern::new().ct_state(ct::TRACKED | ct::INVALID, ct::TRACKED | ct::INVALID);
        self.add(next, INVALID, invalid, Source::Invalid(direction), self.refused(direction));
    }

    fn rules_of<'a>(network: &'a crate::Network, groups: &Groups, direction: Direction) -> Vec<SetRule<'a>> {
        let of_groups = groups.iter().filter_map(|group| network.groups.get_key_value(group));
        let rules = of_groups.flat_map(|(group, of_group)| {
            let rules = if direction == Direction::Egress { &of_group.egress } else { &of_group.ingress };
            rules.iter().map(move |(id, rule)| SetRule { group, id, rule })
        });
        rules.collect()
    }

    /// Which ranges are meant, of one family.
    fn peers(&self, peer: &Peer, family: Family) -> BTreeSet<IpNet> {
        let ranges: Vec<IpNet> = match peer {
            Peer::Cidr(cidr) => vec![*cidr],
            Peer::PrefixList(id) => self.index.network.prefix_lists.get(id).into_iter().flatten().copied().collect(),
            Peer::Group(id) => self.index.members.get(id).into_iter().flatten().map(|address| host(*address)).collect(),
        };
        ranges.iter().map(IpNet::trunc).filter(|range| Family::of(range.addr()) == family).collect()
    }

    fn rules(&mut self, groups: &Groups, number: u32, side: Side) {
        let network = self.index.network;
        let rules = Self::rules_of(network, groups, side.direction);
        // Two rules under one number would be a third one: either's ranges with the other's ports.
        let names = rules.iter().flat_map(|rule| Family::BOTH.map(|family| (rule.group, rule.id, family)));
        let ids = numbers(&names.collect(), |(group, rule, family)| format!("{number} {group} {rule} {family:?}"));
        let first = || {
            let pattern = Pattern::new().reg(GROUPS, number);
            pattern.ct_state(ct::TRACKED | ct::NEW, ct::TRACKED | ct::NEW)
        };
        let of_peer = |pattern: Pattern, range: IpNet| match side.direction {
            Direction::Egress => pattern.to(range),
            Direction::Ingress => pattern.from(range),
        };
        // By priority and family: what several rules name is one flow.
        let mut ranges: BTreeMap<(u16, Family, IpNet), Vec<Action>> = BTreeMap::new();
        let mut pieces: BTreeMap<(u16, Family, Fields), Vec<Action>> = BTreeMap::new();
        let mut conjunctions = 0;
        for SetRule { group, id, rule } in rules {
            if self.is_full {
                return;
            }
            let source = Source::Rule { group: group.clone(), rule: id.clone(), direction: side.direction };
            let mark = rule_mark(self.out.sources.cookie_of(source.clone(), &self.index.rules));
            let allow = vec![commit(side.zone, mark, side.next)];
            for family in Family::BOTH {
                let peers = self.peers(&rule.peer, family);
                let traffic = rule.traffic.fields(family);
                if peers.len() * traffic.len() <= peers.len() + traffic.len() + 1 {
                    for peer in &peers {
                        for fields in &traffic {
                            let pattern = of_peer(first(), *peer).fields(fields);
                            self.add(side.rules, DIRECT, pattern, source.clone(), allow.clone());
                        }
                    }
                    continue;
                }
                let conjunction = ids.get(&(group, id, family)).copied().unwrap_or(0);
                let down = u16::try_from(conjunctions / CONJUNCTIONS_PER_FLOW_MAX).unwrap_or(u16::MAX);
                let priority = CONJUNCTIVE.saturating_sub(down).max(PIECE + 1);
                conjunctions += 1;
                self.clauses += peers.len() + traffic.len();
                self.is_full |= self.clauses > CLAUSES_MAX;
                let clause = |clause| Action::Conjunction { id: conjunction, clause, clauses: 2 };
                for peer in peers {
                    ranges.entry((priority, family, peer)).or_default().push(clause(0));
                }
                for fields in traffic {
                    pieces.entry((priority, family, fields)).or_default().push(clause(1));
                }
                // Another set's rule may have the number too.
                let both = Pattern::new().reg(GROUPS, number).with(Field::ConjId, conjunction).ip(family);
                self.add(side.rules, priority, both, source.clone(), allow.clone());
            }
        }
        let ranges =
            ranges.into_iter().map(|((priority, _, range), actions)| (priority, of_peer(first(), range), actions));
        let pieces = pieces
            .into_iter()
            .map(|((priority, family, fields), actions)| (priority, first().ip(family).fields(&fields), actions));
        for (priority, pattern, actions) in ranges.chain(pieces) {
            self.add(side.rules, priority, pattern, Source::Table(side.rules), actions);
        }
    }

    fn untracked(&mut self, groups: &Groups, number: u32) {
        let network = self.index.network;
        let [egress, ingress] = [OUT, IN].map(|side| Self::rules_of(network, groups, side.direction));
        let mut found = false;
        for family in Family::BOTH {
            for protocol in [PROTO_TCP, PROTO_UDP] {
                for (rules, others, field, other_field) in
                    [(&ingress, &egress, Field::TpSrc, Field::TpDst), (&egress, &ingress, Field::TpDst, Field::TpSrc)]
                {
                    let ports = |rule: &SetRule<'_>| {
                        let is_any = self.is_any(&rule.rule.peer, family);
                        rule.rule.traffic.ports_of(protocol).filter(|_| is_any)
                    };
                    // The whole range is one piece without a mask.
                    let all = |rule: &&SetRule<'_>| ports(rule).is_some_and(|range| masked(range) == [(0, 0)]);
                    let Some(other) = others.iter().find(all) else { continue };
                    let pieces: Vec<_> = rules
                        .iter()
                        .filter_map(|rule| Some((rule, ports(rule)?)))
                        .flat_map(|(rule, range)| masked(range).into_iter().map(move |piece| (rule, piece)))
                        .collect();
                    found |= !pieces.is_empty();
                    let is_ingress = std::ptr::eq(rules, &ingress);
                    for (rule, (value, mask)) in pieces {
                        let whole = Pattern::new().reg(GROUPS, number).ip(family).protocol(protocol);
                        let whole = whole.masked(Field::IpFrag, 0_u8, FRAG_ANY);
                        let (out, back) = if is_ingress { (other, rule) } else { (rule, other) };
                        let pattern = whole.clone().masked(field, value, mask);
                        self.bypass(OUT, pattern, out);
                        let pattern = whole.masked(other_field, value, mask);
                        self.bypass(IN, pattern, back);
                    }
                }
            }
        }
        if found {
            // The tracker knows no connection that these errors could belong to; without them large packets would vanish.
            for (family, protocol, kind, code) in
                [(Family::V4, PROTO_ICMP, 3_u8, 4_u8), (Family::V6, PROTO_ICMPV6, 2, 0)]
            {
                let pattern = Pattern::new().reg(GROUPS, number).ip(family).protocol(protocol);
                let pattern = pattern.with(Field::IcmpType, kind).with(Field::IcmpCode, code);
                let pattern = pattern.masked(Field::IpFrag, 0_u8, FRAG_LATER);
                let source = Source::Tracked(Direction::Ingress);
                self.add(Table::TrackIn, 200, pattern, source, vec![goto(Table::Deliver)]);
            }
        }
    }

    fn bypass(&mut self, side: Side, pattern: Pattern, rule: &SetRule<'_>) {
        let source = Source::Rule { group: rule.group.clone(), rule: rule.id.clone(), direction: side.direction };
        self.add(side.track, 200, pattern, source, vec![goto(side.next)]);
    }

    fn is_any(&self, peer: &Peer, family: Family) -> bool {
        matches!(peer, Peer::Cidr(cidr) if cidr.prefix_len() == 0 && Family::of(cidr.addr()) == family)
    }
}
