//! Where a flow comes from: the object of the model behind each cookie.
//!
//! A cookie is stable: it follows from the object's name alone (but for two names with one hash, of which the second by order gets
//! the next number), so that it is the same after a restart and on every node.

use crate::flow::Table;
use crate::model::{
    AclId, AllocationId, Destination, GroupId, InterfaceId, NatGatewayId, RouteTableId, RuleId, SubnetId, VpcId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;

/// Which way, as an interface sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    Egress,
    Ingress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Egress { "egress" } else { "ingress" })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// What a table does whatever the network.
    Table(Table),
    /// A packet of a connection that was allowed once.
    Tracked(Direction),
    /// No packet of any connection.
    Invalid(Direction),
    /// No rule of the interface's security groups allows it.
    NoRule(Direction),
    Vpc(VpcId),
    Subnet(SubnetId),
    /// Its packets enter the tables.
    Sends(InterfaceId),
    /// A packet is for it.
    Receives(InterfaceId),
    /// Else about it: what it may send and receive, how it is found.
    Interface(InterfaceId),
    Rule {
        group: GroupId,
        rule: RuleId,
        direction: Direction,
    },
    /// `number`: `None` is the last, `*`.
    AclEntry {
        acl: AclId,
        direction: Direction,
        number: Option<u16>,
        allow: bool,
    },
    Route {
        table: RouteTableId,
        destination: Destination,
    },
    Address(AllocationId),
    NatGateway(NatGatewayId),
    Peer(Ipv4Addr),
}

/// FNV-1a of 64 bits, folded.
pub(crate) fn hash(name: &str) -> u32 {
    let mix = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = name.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, mix);
    (hash >> 32) as u32 ^ hash as u32
}

/// A number for each name, which others change only if their hash is the same. None is 0.
pub(crate) fn numbers<T: Clone + Ord>(names: &BTreeSet<T>, text: impl Fn(&T) -> String) -> BTreeMap<T, u32> {
    let (mut taken, mut numbers) = (BTreeSet::from([0]), BTreeMap::new());
    for name in names {
        let mut number = hash(&text(name));
        while !taken.insert(number) {
            number = number.wrapping_add(1);
        }
        numbers.insert(name.clone(), number);
    }
    numbers
}

/// Kinds are in the cookie's first byte, a number in the next four, a detail in the last three.
fn cookie(kind: u8, number: u32, detail: u32) -> u64 {
    u64::from(kind) << 56 | u64::from(number) << 24 | u64::from(detail & 0x00ff_ffff)
}

/// Where a rule's number stands in its cookie: connections it allowed have the same number as mark.
pub fn rule_mark(cookie: u64) -> u32 {
    (cookie >> 24) as u32
}

/// The cookies that were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    by_cookie: BTreeMap<u64, Source>,
}

impl Sources {
    pub fn get(&self, cookie: u64) -> Option<&Source> {
        self.by_cookie.get(&cookie)
    }

    /// By cookie.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Source)> {
        self.by_cookie.iter().map(|(cookie, source)| (*cookie, source))
    }

    pub(crate) fn cookie_of(&mut self, source: Source, rules: &BTreeMap<(GroupId, RuleId), u32>) -> u64 {
        let egress = |direction: Direction| u32::from(direction == Direction::Egress);
        let cookie = match &source {
            Source::Table(table) => cookie(0x01, 0, table.number().into()),
            Source::Tracked(direction) => cookie(0x02, 0, egress(*direction)),
            Source::Invalid(direction) => cookie(0x03, 0, egress(*direction)),
            Source::NoRule(direction) => cookie(0x04, 0, egress(*direction)),
            Source::Vpc(id) => cookie(0x10, hash(&id.0), 0),
            Source::Subnet(id) => cookie(0x11, hash(&id.0), 0),
            Source::Sends(id) => cookie(0x12, hash(&id.0), 1),
            Source::Receives(id) => cookie(0x12, hash(&id.0), 2),
            Source::Interface(id) => cookie(0x12, hash(&id.0), 0),
            Source::Rule { group, rule, direction } => {
                let number = rules.get(&(group.clone(), rule.clone())).copied().unwrap_or_else(|| hash(&rule.0));
                cookie(0x13, number, egress(*direction))
            }
            Source::AclEntry { acl, direction, number, .. } => {
                let number = u32::from(number.unwrap_or(u16::MAX));
                cookie(0x14, hash(&acl.0), number | egress(*direction) << 16)
            }
            Source::Route { table, destination } => {
                let text = match destination {
                    Destination::Cidr(cidr) => cidr.to_string(),
                    Destination::PrefixList(id) => id.0.clone(),
                };
                cookie(0x15, hash(&table.0), hash(&text))
            }
            Source::Address(id) => cookie(0x16, hash(&id.0), 0),
            Source::NatGateway(id) => cookie(0x17, hash(&id.0), 0),
            Source::Peer(address) => cookie(0x18, address.to_bits(), 0),
        };
        self.claim(cookie, source)
    }

    /// The cookie, or the next that no other source has.
    fn claim(&mut self, mut cookie: u64, source: Source) -> u64 {
        loop {
            match self.by_cookie.get(&cookie) {
                None => {
                    self.by_cookie.insert(cookie, source);
                    return cookie;
                }
                Some(known) if *known == source => return cookie,
                Some(_) => cookie = cookie.wrapping_add(8),
            }
        }
    }
}
