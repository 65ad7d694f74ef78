//! Network ACLs: stateless, at the edge of a subnet only.

use super::Compiler;
use crate::flow::register::{ACL, CROSSES, FROM_INTERNET};
use crate::flow::{Family, Pattern, Table, goto};
use crate::model::{AclEntry, AclId, Traffic};
use crate::source::{Direction, Source};
use hive_flow::{FRAG_LATER, Field};
use std::collections::BTreeSet;

/// An entry's priority is this, less its number of at most 32768.
const FIRST: u16 = 40_000;
const LAST: u16 = 1;
const WITHIN: u16 = 50_000;
const SPOOFED: u16 = 50_100;

impl Compiler<'_> {
    pub(super) fn acls(&mut self) {
        for direction in [Direction::Egress, Direction::Ingress] {
            let (table, next) = self.tables(direction);
            let within = Pattern::new().flags(0, CROSSES);
            self.add(table, WITHIN, within, Source::Table(table), vec![goto(next)]);
        }
        // From outside nobody is a member of a security group.
        for (id, vpc) in self.index.vpcs.clone() {
            for cidr in vpc.cidrs() {
                let pattern = Pattern::new().with(Field::Metadata, vpc.vni.bits()).from(cidr);
                let pattern = pattern.flags(FROM_INTERNET, FROM_INTERNET);
                self.add(Table::AclIn, SPOOFED, pattern, Source::Vpc(id.clone()), Vec::new());
            }
        }
        let used: BTreeSet<&AclId> = self.index.subnets.values().map(|place| &place.subnet.acl).collect();
        for id in used {
            let empty = Default::default();
            let acl = self.index.network.acls.get(id).unwrap_or(&empty);
            for (direction, entries) in [(Direction::Egress, &acl.egress), (Direction::Ingress, &acl.ingress)] {
                for (number, entry) in entries {
                    self.acl_entry(id, direction, *number, entry);
                }
                let (table, _) = self.tables(direction);
                let pattern = Pattern::new().reg(ACL, self.index.acl_number(id));
                let source = Source::AclEntry { acl: id.clone(), direction, number: None, allow: false };
                self.add(table, LAST, pattern, source, self.refused(direction));
            }
        }
    }

    fn acl_entry(&mut self, id: &AclId, direction: Direction, number: u16, entry: &AclEntry) {
        let (table, next) = self.tables(direction);
        let cidr = entry.cidr.trunc();
        let family = Family::of(cidr.addr());
        let pattern = Pattern::new().reg(ACL, self.index.acl_number(id));
        let pattern = if direction == Direction::Egress { pattern.to(cidr) } else { pattern.from(cidr) };
        let mut patterns: Vec<_> =
            entry.traffic.fields(family).iter().map(|fields| pattern.clone().fields(fields)).collect();
        // A fragment without ports is let through if it may belong to what is allowed: without the first it is worth nothing.
        if entry.allow {
            let headless =
                |protocol: u8| pattern.clone().protocol(protocol).masked(Field::IpFrag, FRAG_LATER, FRAG_LATER);
            patterns.extend(protocol_of(entry.traffic).filter(|_| !patterns.is_empty()).map(headless));
        }
        let actions = if entry.allow { vec![goto(next)] } else { self.refused(direction) };
        for pattern in patterns {
            let source = Source::AclEntry { acl: id.clone(), direction, number: Some(number), allow: entry.allow };
            self.add(table, FIRST.saturating_sub(number).max(LAST + 1), pattern, source, actions.clone());
        }
    }

    /// Where entries of a direction are, and what comes behind.
    fn tables(&self, direction: Direction) -> (Table, Table) {
        match direction {
            Direction::Egress => (Table::AclOut, self.passed()),
            Direction::Ingress => (Table::AclIn, Table::TrackIn),
        }
    }
}

/// The protocol of traffic that is told apart by what later fragments lack.
fn protocol_of(traffic: Traffic) -> Option<u8> {
    match traffic {
        Traffic::Tcp(_) => Some(hive_flow::PROTO_TCP),
        Traffic::Udp(_) => Some(hive_flow::PROTO_UDP),
        Traffic::Icmp(_) => Some(hive_flow::PROTO_ICMP),
        Traffic::Icmpv6(_) => Some(hive_flow::PROTO_ICMPV6),
        Traffic::All | Traffic::Protocol(_) => None,
    }
}
