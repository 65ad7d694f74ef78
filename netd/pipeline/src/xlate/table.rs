//! Searches of flow tables.

use super::fields::{eth_type, is_ip};
use super::{DEPTH_MAX, NESTING_MAX, OPS_MAX, RESUBMITS_MAX, STACK_MAX, STEPS_MAX, Translator};
use crate::credit::TableCredit;
use hive_flow::{ETH_TYPE_IPV4, Field, Key, Mask, PROTO_ICMP, PROTO_ICMPV6, PROTO_IGMP};
use hive_ofproto::Flow;
use hive_openflow::{PacketInReason, PortConfig, PortNo};
use hive_program::DropReason;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// How a table is searched.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    pub in_port: PortNo,
    pub table: u8,
    /// A packet that no flow is for may go to the controllers.
    pub may_packet_in: bool,
    /// With the connection's original addresses.
    pub original_tuple: bool,
    /// Nothing is done with the packet afterwards.
    pub last: bool,
}

/// Where the original tuple of a connection is, and what takes its place for a search.
fn tuple_fields(key: &Key) -> [(Field, Field); 3] {
    let [source, destination] = if eth_type(key) == ETH_TYPE_IPV4 {
        [(Field::Ipv4Src, Field::CtNwSrc), (Field::Ipv4Dst, Field::CtNwDst)]
    } else {
        [(Field::Ipv6Src, Field::CtIpv6Src), (Field::Ipv6Dst, Field::CtIpv6Dst)]
    };
    [source, destination, (Field::IpProto, Field::CtNwProto)]
}

/// The fields that a protocol has in the place of ports.
fn port_fields(protocol: u8) -> [Field; 2] {
    if matches!(protocol, PROTO_ICMP | PROTO_ICMPV6 | PROTO_IGMP) {
        [Field::IcmpType, Field::IcmpCode]
    } else {
        [Field::TpSrc, Field::TpDst]
    }
}

impl Translator<'_> {
    /// Whether the packet may be looked up, or sent to a group, once more.
    pub(super) fn check_resources(&mut self) -> bool {
        let within = self.depth < DEPTH_MAX
            && self.nested < NESTING_MAX
            && self.resubmits <= RESUBMITS_MAX
            && self.ops.len() < OPS_MAX
            && self.stack.len() < STACK_MAX;
        if !within {
            self.note(|| "too many searches, or too deep".to_owned());
            self.error = Some(DropReason::TooComplex);
        }
        within
    }

    /// Counts steps; false: they are too many.
    pub(super) fn count(&self, steps: usize) -> bool {
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.steps.set(self.steps.get().saturating_add(steps));
        self.steps.get() <= STEPS_MAX
    }

    /// Counts steps; if they are too many, the translation ends.
    pub(super) fn step(&mut self, steps: usize) -> bool {
        let within = self.count(steps);
        if !within {
            self.note(|| "too many actions".to_owned());
            self.error = Some(DropReason::TooComplex);
        }
        within
    }

    /// Searches a table, and carries out what is found.
    pub(super) fn search(&mut self, search: Search) {
        if self.was_mpls {
            // What is behind the labels is not known yet.
            return self.freeze_recirculate(None);
        }
        if !self.check_resources() {
            return;
        }
        if search.original_tuple && (!is_ip(&self.flow) || self.flow.get(Field::CtNwProto) == 0) {
            self.mask.add_all(Field::CtNwProto);
            self.note(|| "resubmit(ct) with a packet that is not of IP, or not tracked".to_owned());
            return;
        }
        let old_table = std::mem::replace(&mut self.table, search.table);
        let found = self.find(search);
        if let Some(flow) = found {
            self.resubmits += 1;
            self.nested += 1;
            let deeper = u32::from(search.table <= old_table);
            self.depth += deeper;
            let old_rule = self.rule.replace(flow.clone());
            let old_cookie = std::mem::replace(&mut self.cookie, flow.cookie);
            if let Some(trace) = &mut self.trace {
                trace.enter(&flow);
            }
            self.actions(&flow.actions, search.last, false);
            if let Some(trace) = &mut self.trace {
                trace.leave();
            }
            self.rule = old_rule;
            self.cookie = old_cookie;
            self.depth -= deeper;
            self.nested -= 1;
        } else {
            self.note(|| format!("{:>2}. No match.", search.table));
            if search.may_packet_in {
                self.missed();
            }
        }
        self.table = old_table;
    }

    /// The flow that the packet meets in the current table.
    #[inline(never)]
    pub(super) fn find(&mut self, search: Search) -> Option<Arc<Flow>> {
        let table = search.table;
        let frag = self.flow.get(Field::IpFrag) != 0;
        let (sees, drops) = (&self.bridge.state.sees_fragments, &self.bridge.state.drops_fragments);
        let hides = frag && !sees.load(Ordering::Relaxed);
        if hides && drops.load(Ordering::Relaxed) {
            return None;
        }
        let own_port = self.flow.get(Field::InPort);
        let in_port = u128::from(search.in_port.0);
        let found = if search.original_tuple || hides || in_port != own_port {
            let mut key = self.flow;
            key.set(Field::InPort, in_port);
            if hides {
                // As if there were no transport header.
                for field in [Field::TpSrc, Field::TpDst, Field::IcmpType, Field::IcmpCode, Field::TcpFlags] {
                    key.set(field, 0);
                }
            }
            if search.original_tuple {
                self.find_by_tuple(table, key)
            } else {
                let found = self.tables.table(table).and_then(|rules| rules.lookup(&key, &mut self.mask));
                found.map(|found| (found.rule.value().clone(), found.conj_id))
            }
        } else {
            let found = self.tables.table(table).and_then(|rules| rules.lookup(&self.flow, &mut self.mask));
            found.map(|found| (found.rule.value().clone(), found.conj_id))
        };
        self.count_lookup(table, found.is_some());
        let (flow, conj_id) = found?;
        self.flow.set(Field::ConjId, conj_id.into());
        self.usages.push(flow.usage.clone());
        Some(flow)
    }

    /// With the original tuple of the connection in the place of the packet's own. What the search looked at is put back.
    fn find_by_tuple(&mut self, table: u8, mut key: Key) -> Option<(Arc<Flow>, u32)> {
        self.mask.add_all(Field::CtNwProto);
        self.mask.add_all(Field::IpProto);
        let (own, other) = (key.get_u64(Field::IpProto) as u8, key.get_u64(Field::CtNwProto) as u8);
        let mut pairs = tuple_fields(&key).to_vec();
        for (now, was) in &pairs {
            let (packet, connection) = (key.get(*now), key.get(*was));
            key.set(*now, connection);
            key.set(*was, packet);
        }
        let (own_ports, other_ports) = (port_fields(own), port_fields(other));
        for (at, connection) in [Field::CtTpSrc, Field::CtTpDst].into_iter().enumerate() {
            let (packet, tuple) = (key.get(own_ports[at]), key.get(connection));
            key.set(own_ports[at], 0);
            key.set(other_ports[at], tuple);
            key.set(connection, packet);
            pairs.push((other_ports[at], connection));
            if own_ports[at] != other_ports[at] {
                // What stands in `connection` now is the packet's.
                pairs.push((own_ports[at], own_ports[at]));
            }
        }
        let mut mask = Mask::NONE;
        let found = self.tables.table(table).and_then(|rules| rules.lookup(&key, &mut mask));
        let found = found.map(|found| (found.rule.value().clone(), found.conj_id));
        for (now, was) in pairs {
            let (by_now, by_was) = (mask.get(now), mask.get(was));
            mask.set(now, 0);
            mask.set(was, 0);
            self.mask.add(was, by_now);
            self.mask.add(now, by_was);
            if own_ports != other_ports && matches!(was, Field::CtTpSrc | Field::CtTpDst) {
                let at = usize::from(was == Field::CtTpDst);
                self.mask.add(own_ports[at], by_was);
            }
        }
        self.mask |= &mask;
        found
    }

    fn count_lookup(&mut self, table: u8, matched: bool) {
        let state = &self.bridge.state;
        let same = |credit: &&mut TableCredit| credit.table == table && Arc::ptr_eq(&credit.bridge, state);
        match self.lookups.iter_mut().rev().find(same) {
            Some(credit) => {
                credit.lookups = credit.lookups.saturating_add(1);
                credit.matches = credit.matches.saturating_add(u16::from(matched));
            }
            None => {
                let bridge = state.clone();
                self.lookups.push(TableCredit { bridge, table, lookups: 1, matches: u16::from(matched) });
            }
        }
    }

    /// No flow is for the packet.
    fn missed(&mut self) {
        if !self.bridge.state.wants_misses.load(Ordering::Relaxed) {
            return;
        }
        let in_port = PortNo(self.flow.get_u64(Field::InPort) as u16);
        if self.bridge.ports.get(&in_port).is_some_and(|port| port.has(PortConfig::NO_PACKET_IN)) {
            return;
        }
        let old_cookie = std::mem::replace(&mut self.cookie, u64::MAX);
        self.punt(u16::MAX, 0, PacketInReason::NoMatch, &[], None);
        self.cookie = old_cookie;
    }

    /// A flow for all packets that no other is for.
    pub(super) fn is_table_miss(&self) -> bool {
        self.rule.as_ref().is_some_and(|flow| flow.priority == 0 && flow.matching.is_empty())
    }
}
