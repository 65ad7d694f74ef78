//! VPC flow logs, of AWS's versions 2 to 5.
//!
//! The tables sample each packet of a logged interface where it is known whether it passes (`compile/log.rs`), with a number that says
//! at which interface, in which direction, and what was decided: a [`Point`]. The switch counts by addresses and ports there, and
//! tells collector set [`COLLECTOR_SET`] by IPFIX; an [`Interval`] gathers what it tells, and a [`Format`] writes the lines.

mod format;
mod interval;

pub use format::{Field, Format, FormatError, Line, Subject};
pub use interval::{Content, Interval, Observation, RECORDS_MAX, Record};

use crate::model::InterfaceId;
use crate::node::LocalNumber;
use crate::source::{Direction, hash};
use std::fmt;
use std::net::IpAddr;

/// `Flow_Sample_Collector_Set:id` of what the tables sample.
pub const COLLECTOR_SET: u32 = 1;
/// Observation domain of the same.
pub const DOMAIN: u32 = 1;

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

/// An observation point, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    pub number: LocalNumber,
    /// Of the interface's name: what was sampled just before its number was given to another is not that one's.
    check: u16,
    pub direction: Direction,
    pub action: Action,
}

const CHECK_BITS: u32 = 14;

fn check(id: &InterfaceId) -> u16 {
    (hash(&id.0) & ((1 << CHECK_BITS) - 1)) as u16
}

/// The observation point of what is decided at an interface: its number, [`CHECK_BITS`] of its name's hash, direction, action.
pub fn point(number: LocalNumber, id: &InterfaceId, direction: Direction, action: Action) -> u32 {
    let place = u32::from(number.0) << (CHECK_BITS + 2) | u32::from(check(id)) << 2;
    place | u32::from(direction == Direction::Egress) << 1 | u32::from(action == Action::Reject)
}

impl Point {
    pub fn parse(point: u32) -> Self {
        Self {
            number: LocalNumber((point >> (CHECK_BITS + 2)) as u16),
            check: (point >> 2) as u16 & ((1 << CHECK_BITS) - 1),
            direction: if point & 2 != 0 { Direction::Egress } else { Direction::Ingress },
            action: if point & 1 != 0 { Action::Reject } else { Action::Accept },
        }
    }

    /// Whether it is of the interface, which has the number now.
    pub fn is_of(&self, id: &InterfaceId) -> bool {
        self.check == check(id)
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn points_are_taken_apart_as_they_are_made(number: u16, name: String, egress: bool, reject: bool) {
            let id = InterfaceId(name);
            let direction = if egress { Direction::Egress } else { Direction::Ingress };
            let action = if reject { Action::Reject } else { Action::Accept };
            let parsed = Point::parse(point(LocalNumber(number), &id, direction, action));
            prop_assert_eq!((parsed.number.0, parsed.direction, parsed.action), (number, direction, action));
            prop_assert!(parsed.is_of(&id));
        }
    }

    #[test]
    fn a_number_that_was_anothers_does_not_make_a_point_ones_own() {
        let point = point(LocalNumber(7), &"eni-1".into(), Direction::Egress, Action::Accept);
        assert!(!Point::parse(point).is_of(&"eni-2".into()));
    }
}
