//! What identifies a connection in one direction.

use foldhash::fast::FixedState;
use hive_flow::{PROTO_ICMP, PROTO_ICMPV6};
use std::fmt::{self, Display, Formatter};
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, Ipv6Addr};

/// Addresses, ports, protocol and zone of one direction. 40 bytes.
///
/// ICMP's echo and the like have the identifier as source port, and type and code as destination port. Protocols without ports have 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// IPv4 addresses are numbers below 2^32.
    source: [u64; 2],
    destination: [u64; 2],
    source_port: u16,
    destination_port: u16,
    zone: u16,
    protocol: u8,
    v6: bool,
}

/// What is asked of an ICMP or ICMPv6 message of a type, or answered to it (RFC 792, RFC 4443); none of others.
pub(crate) fn icmp_counterpart(v6: bool, kind: u8) -> Option<u8> {
    match (v6, kind) {
        (false, 8) => Some(0),
        (false, 0) => Some(8),
        (false, 13) => Some(14),
        (false, 14) => Some(13),
        (false, 15) => Some(16),
        (false, 16) => Some(15),
        (true, 128) => Some(129),
        (true, 129) => Some(128),
        _ => None,
    }
}

fn halves(address: u128) -> [u64; 2] {
    [(address >> 64) as u64, address as u64]
}

fn whole([upper, lower]: [u64; 2]) -> u128 {
    u128::from(upper) << 64 | u128::from(lower)
}

impl Tuple {
    pub fn new(v6: bool, protocol: u8, source: (u128, u16), destination: (u128, u16), zone: u16) -> Self {
        Self {
            source: halves(source.0),
            destination: halves(destination.0),
            source_port: source.1,
            destination_port: destination.1,
            zone,
            protocol,
            v6,
        }
    }

    pub fn is_v6(&self) -> bool {
        self.v6
    }

    pub fn protocol(&self) -> u8 {
        self.protocol
    }

    pub fn zone(&self) -> u16 {
        self.zone
    }

    pub fn source(&self) -> u128 {
        whole(self.source)
    }

    pub fn destination(&self) -> u128 {
        whole(self.destination)
    }

    pub fn source_port(&self) -> u16 {
        self.source_port
    }

    pub fn destination_port(&self) -> u16 {
        self.destination_port
    }

    pub fn is_icmp(&self) -> bool {
        self.protocol == if self.v6 { PROTO_ICMPV6 } else { PROTO_ICMP }
    }

    pub(crate) fn set_source(&mut self, address: u128) {
        self.source = halves(address);
    }

    pub(crate) fn set_destination(&mut self, address: u128) {
        self.destination = halves(address);
    }

    pub(crate) fn set_source_port(&mut self, port: u16) {
        self.source_port = port;
    }

    pub(crate) fn set_destination_port(&mut self, port: u16) {
        self.destination_port = port;
    }

    /// The tuple of the answer.
    #[inline]
    #[must_use]
    pub fn reversed(&self) -> Self {
        let mut other = *self;
        (other.source, other.destination) = (self.destination, self.source);
        if self.is_icmp() {
            let [kind, code] = self.destination_port.to_be_bytes();
            let kind = icmp_counterpart(self.v6, kind).unwrap_or(kind);
            other.destination_port = u16::from_be_bytes([kind, code]);
        } else {
            (other.source_port, other.destination_port) = (self.destination_port, self.source_port);
        }
        other
    }

    /// The same for both directions: shards by it keep a connection in one place.
    #[inline]
    pub fn symmetric_hash(&self, seed: &FixedState) -> u64 {
        let (source_port, destination_port) = if self.is_icmp() {
            let [kind, _] = self.destination_port.to_be_bytes();
            let either = self.source_port ^ u16::from(kind.min(icmp_counterpart(self.v6, kind).unwrap_or(kind)));
            (either, either)
        } else {
            (self.source_port, self.destination_port)
        };
        let end = |[upper, lower]: [u64; 2], port: u16| {
            let mut hasher = seed.build_hasher();
            if self.v6 {
                hasher.write_u64(upper);
                hasher.write_u64(lower);
                hasher.write_u16(port);
            } else {
                hasher.write_u64(lower << 16 | u64::from(port));
            }
            hasher.finish()
        };
        let ends = end(self.source, source_port).wrapping_add(end(self.destination, destination_port));
        let mut hasher = seed.build_hasher();
        hasher.write_u64(ends);
        hasher.write_u64(u64::from(self.zone) << 16 | u64::from(self.protocol) << 8 | u64::from(self.v6));
        hasher.finish()
    }
}

impl Display for Tuple {
    /// As `dpctl/dump-conntrack` has it between parentheses.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.v6 {
            write!(f, "src={},dst={}", Ipv6Addr::from(self.source()), Ipv6Addr::from(self.destination()))?;
        } else {
            write!(
                f,
                "src={},dst={}",
                Ipv4Addr::from(self.source[1] as u32),
                Ipv4Addr::from(self.destination[1] as u32)
            )?;
        }
        if self.is_icmp() {
            let [kind, code] = self.destination_port.to_be_bytes();
            write!(f, ",id={},type={kind},code={code}", self.source_port)
        } else {
            write!(f, ",sport={},dport={}", self.source_port, self.destination_port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_reverse_of_the_reverse_hashes_alike(
            v6: bool, protocol: u8, source: (u128, u16), destination: (u128, u16), zone: u16, icmp: bool,
        ) {
            let cut = |address: u128| if v6 { address } else { address & 0xffff_ffff };
            let protocol = if icmp { if v6 { PROTO_ICMPV6 } else { PROTO_ICMP } } else { protocol };
            let tuple = Tuple::new(v6, protocol, (cut(source.0), source.1), (cut(destination.0), destination.1), zone);
            prop_assert_eq!(tuple.reversed().reversed(), tuple);
            let seed = FixedState::with_seed(5);
            prop_assert_eq!(tuple.reversed().symmetric_hash(&seed), tuple.symmetric_hash(&seed));
        }
    }
}
