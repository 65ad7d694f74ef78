//! What was seen in one aggregation interval.

use super::{Action, Tuple};
use crate::model::InterfaceId;
use crate::source::Direction;
use std::collections::{BTreeMap, BTreeSet};

/// Records that one interval may have; then interfaces have `SKIPDATA`. Each is some 200 bytes here.
pub const RECORDS_MAX: usize = 100_000;
/// ACK of a TCP header, and SYN.
const ACK: u8 = 0x10;
const SYN: u8 = 0x02;

/// Packets that went one way at one interface.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    pub interface: &'a InterfaceId,
    pub direction: Direction,
    pub action: Action,
    /// As it is there: what the sender wrote, or the receiver got. An Elastic IP is translated.
    pub tuple: Tuple,
    pub packets: u64,
    /// Of the IP packets.
    pub bytes: u64,
    /// As AWS has them: FIN 1, SYN 2, RST 4, SYN with ACK 18; or-ed.
    pub tcp_flags: u8,
    /// Unix time of the first and the last.
    pub first_s: u64,
    pub last_s: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    interface: InterfaceId,
    tuple: Tuple,
    action: Action,
    direction: Direction,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Counts {
    packets: u64,
    bytes: u64,
    tcp_flags: u8,
    start_s: u64,
    end_s: u64,
}

/// One aggregation interval.
#[derive(Debug, Default)]
pub struct Interval {
    records: BTreeMap<Key, Counts>,
    skipped: BTreeSet<InterfaceId>,
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub interface: InterfaceId,
    pub start_s: u64,
    pub end_s: u64,
    pub content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Flow { tuple: Tuple, direction: Direction, packets: u64, bytes: u64, tcp_flags: u8, action: Action },
    NoData,
    SkipData,
}

impl Interval {
    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// `has_room`: whether there may be one record more.
    pub fn add(&mut self, observation: &Observation<'_>, has_room: bool) {
        let Observation { interface, direction, action, tuple, packets, bytes, tcp_flags, first_s, last_s } =
            *observation;
        let key = Key { interface: interface.clone(), tuple, action, direction };
        if !(has_room && self.records.len() < RECORDS_MAX || self.records.contains_key(&key)) {
            self.skipped.insert(key.interface);
            return;
        }
        let none = Counts { packets: 0, bytes: 0, tcp_flags: 0, start_s: first_s, end_s: last_s };
        let counts = self.records.entry(key).or_insert(none);
        counts.packets = counts.packets.saturating_add(packets);
        counts.bytes = counts.bytes.saturating_add(bytes);
        // Alone, an acknowledgement is not told.
        counts.tcp_flags |= if tcp_flags & SYN != 0 { tcp_flags } else { tcp_flags & !ACK };
        counts.start_s = counts.start_s.min(first_s);
        counts.end_s = counts.end_s.max(last_s);
    }

    /// The interval is over. `logged`: the interfaces that are logged, of which each has a record.
    pub fn finish(self, logged: &BTreeSet<InterfaceId>, start_s: u64, end_s: u64) -> Vec<Record> {
        let heard: BTreeSet<_> = self.records.keys().map(|key| &key.interface).chain(&self.skipped).collect();
        let silent: Vec<_> = logged.iter().filter(|id| !heard.contains(id)).cloned().collect();
        let whole = |interface, content| Record { interface, start_s, end_s, content };
        let flow = |(key, counts): (Key, Counts)| {
            let Key { interface, tuple, action, direction } = key;
            let Counts { packets, bytes, tcp_flags, start_s, end_s } = counts;
            let content = Content::Flow { tuple, direction, packets, bytes, tcp_flags, action };
            Record { interface, start_s, end_s, content }
        };
        let mut records: Vec<_> = self.records.into_iter().map(flow).collect();
        records.extend(silent.into_iter().map(|id| whole(id, Content::NoData)));
        records.extend(self.skipped.into_iter().map(|id| whole(id, Content::SkipData)));
        records
    }
}
