//! VPC flow logs, version 2.
//!
//! Whoever forwards knows which flows a packet met; their cookies, in that order, say whose packet it was and who decided
//! ([`decisions`]). A switch counts each cached path once, with the flows that it is made of, so that nothing is sampled and no packet is
//! looked at for the log's sake. A new connection's path names the rule, later packets' paths name the tracker; the connection's mark
//! is the rule's ([`crate::rule_mark`]). What the network itself answers (ARP, DHCP, Amazon's DNS and NTP, instance metadata) meets no
//! rule and is not logged, nor is a packet that its sender forged.

use crate::model::InterfaceId;
use crate::source::{Direction, Source, Sources};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// Records that one interval may have; then interfaces have `SKIPDATA`. Each is some 200 bytes here.
pub const RECORDS_MAX: usize = 100_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    Accept,
    Reject,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::Accept { "ACCEPT" } else { "REJECT" })
    }
}

/// What was decided about a packet at one interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    pub interface: &'a InterfaceId,
    pub direction: Direction,
    pub action: Action,
    /// The rule or entry; of the tracker, that the connection was allowed once.
    pub by: &'a Source,
}

/// What packets decided that met the flows with these cookies, in this order: at the sender's interface, the receiver's, both, or none.
pub fn decisions<'a>(sources: &'a Sources, cookies: &[u64]) -> Vec<Decision<'a>> {
    let mut made: Vec<Decision<'a>> = Vec::new();
    // Whose interface it is at, by direction.
    let (mut sender, mut receiver) = (None, None);
    for source in cookies.iter().filter_map(|cookie| sources.get(*cookie)) {
        let (direction, action) = match source {
            Source::Sends(id) => {
                sender = Some(id);
                continue;
            }
            Source::Receives(id) => {
                receiver = Some(id);
                continue;
            }
            // It is the gateway's packet now.
            Source::NatGateway(_) => {
                sender = None;
                continue;
            }
            Source::Tracked(direction) | Source::Rule { direction, .. } => (*direction, Action::Accept),
            Source::NoRule(direction) | Source::Invalid(direction) => (*direction, Action::Reject),
            Source::AclEntry { direction, allow: false, .. } => (*direction, Action::Reject),
            _ => continue,
        };
        let interface = if direction == Direction::Egress { sender } else { receiver };
        if let Some(interface) = interface {
            made.retain(|decision| decision.direction != direction || decision.interface != interface);
            made.push(Decision { interface, direction, action, by: source });
        }
    }
    made
}

/// Addresses and ports; of protocols without ports, 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tuple {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub source_port: u16,
    pub destination_port: u16,
    pub protocol: u8,
}

/// Packets that went one way.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    pub cookies: &'a [u64],
    /// As the sender wrote it.
    pub sent: Tuple,
    /// As the receiver got it, or would have: an Elastic IP is translated.
    pub received: Tuple,
    pub packets: u64,
    pub bytes: u64,
    /// Unix time of the first and the last.
    pub first_s: u64,
    pub last_s: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    interface: InterfaceId,
    tuple: Tuple,
    action: Action,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    packets: u64,
    bytes: u64,
    start_s: u64,
    end_s: u64,
}

/// One aggregation interval.
#[derive(Debug, Default)]
pub struct Interval {
    records: BTreeMap<Key, Counts>,
    skipped: BTreeSet<InterfaceId>,
}

/// A line of the log: `${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} ${protocol} ${packets}
/// ${bytes} ${start} ${end} ${action} ${log-status}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub account: String,
    pub interface: InterfaceId,
    pub start_s: u64,
    pub end_s: u64,
    pub content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Flow { tuple: Tuple, packets: u64, bytes: u64, action: Action },
    NoData,
    SkipData,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { account, interface, start_s, end_s, content } = self;
        write!(f, "2 {account} {interface} ")?;
        match content {
            Content::Flow { tuple, packets, bytes, action } => write!(
                f,
                "{} {} {} {} {} {packets} {bytes} {start_s} {end_s} {action} OK",
                tuple.source, tuple.destination, tuple.source_port, tuple.destination_port, tuple.protocol
            ),
            Content::NoData => write!(f, "- - - - - - - {start_s} {end_s} - NODATA"),
            Content::SkipData => write!(f, "- - - - - - - {start_s} {end_s} - SKIPDATA"),
        }
    }
}

impl Interval {
    pub fn add(&mut self, sources: &Sources, observation: &Observation<'_>) {
        for decision in decisions(sources, observation.cookies) {
            let tuple = if decision.direction == Direction::Egress { observation.sent } else { observation.received };
            let key = Key { interface: decision.interface.clone(), tuple, action: decision.action };
            if self.records.len() >= RECORDS_MAX && !self.records.contains_key(&key) {
                self.skipped.insert(key.interface);
                continue;
            }
            let counts = self.records.entry(key).or_insert(Counts {
                packets: 0,
                bytes: 0,
                start_s: observation.first_s,
                end_s: observation.last_s,
            });
            counts.packets = counts.packets.saturating_add(observation.packets);
            counts.bytes = counts.bytes.saturating_add(observation.bytes);
            counts.start_s = counts.start_s.min(observation.first_s);
            counts.end_s = counts.end_s.max(observation.last_s);
        }
    }

    /// The interval is over. `logged`: the interfaces that are logged, of which each has a record.
    pub fn finish(self, account: &str, logged: &BTreeSet<InterfaceId>, start_s: u64, end_s: u64) -> Vec<Record> {
        let heard: BTreeSet<_> = self.records.keys().map(|key| &key.interface).chain(&self.skipped).collect();
        let silent: Vec<_> = logged.iter().filter(|id| !heard.contains(id)).cloned().collect();
        let whole = |interface, content| Record { account: account.to_owned(), interface, start_s, end_s, content };
        let of_interval = |id: &InterfaceId| logged.contains(id);
        let mut records: Vec<_> = self
            .records
            .into_iter()
            .filter(|(key, _)| of_interval(&key.interface))
            .map(|(Key { interface, tuple, action }, Counts { packets, bytes, start_s, end_s })| Record {
                account: account.to_owned(),
                interface,
                start_s,
                end_s,
                content: Content::Flow { tuple, packets, bytes, action },
            })
            .collect();
        records.extend(silent.into_iter().map(|id| whole(id, Content::NoData)));
        records.extend(self.skipped.into_iter().filter(of_interval).map(|id| whole(id, Content::SkipData)));
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_as_aws_writes_them() {
        let tuple = Tuple {
            source: "172.31.16.139".parse().unwrap(),
            destination: "172.31.16.21".parse().unwrap(),
            source_port: 20641,
            destination_port: 22,
            protocol: 6,
        };
        let content = Content::Flow { tuple, packets: 20, bytes: 4249, action: Action::Accept };
        let (start_s, end_s) = (1_418_530_010, 1_418_530_070);
        let (account, interface) = ("123456789010".to_owned(), InterfaceId::from("eni-1235b8ca123456789"));
        let mut record = Record { account, interface, start_s, end_s, content };
        // The examples of AWS's documentation.
        assert_eq!(
            record.to_string(),
            "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK"
        );
        record.content = Content::NoData;
        (record.start_s, record.end_s) = (1_431_280_876, 1_431_280_934);
        assert_eq!(
            record.to_string(),
            "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA"
        );
    }
}
