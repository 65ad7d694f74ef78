//! What all passes together change in the headers of a packet with a quick key.

use crate::packet::LINE;
use crate::quick::{L3, L4};
use hive_flow::{PROTO_TCP, PROTO_UDP};
use hive_packet::checksum::{fold, sum};

const TOS: usize = 15;
const TTL: usize = 22;
const ADDRESSES: std::ops::Range<usize> = 26..34;
const PORTS: std::ops::Range<usize> = 34..38;
const IP_CHECK: usize = L3 + 10;

/// New values, and by how much the sums of the changed words differ: of one flow's packets these fields are all alike before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    ethernet: [u8; 12],
    tos: u8,
    ttl: u8,
    addresses: [u8; 8],
    ports: [u8; 4],
    /// 0: nothing that the checksum covers has changed.
    ip: u16,
    /// Of the pseudo-header.
    pseudo: u16,
    /// Of the transport header.
    transport: u16,
}

/// What a sum gains if words change; 0 only if none does.
fn difference(old: &[u8], new: &[u8]) -> u64 {
    let (old, new) = (old.as_chunks::<2>().0, new.as_chunks::<2>().0);
    old.iter().zip(new).filter(|(old, new)| old != new).map(|(old, new)| sum(new) + u64::from(!sum(old) as u16)).sum()
}

impl Patch {
    /// None if there is nothing to change. Both begin with a packet that has a quick key.
    pub fn between(before: &[u8; LINE], after: &[u8]) -> Option<Self> {
        let after = after.get(..PORTS.end)?;
        let pseudo = difference(&before[ADDRESSES], &after[ADDRESSES]);
        let header = difference(&before[L3..L3 + 2], &after[L3..L3 + 2]) + difference(&before[22..24], &after[22..24]);
        let patch = Self {
            ethernet: *after.first_chunk()?,
            tos: after[TOS],
            ttl: after[TTL],
            addresses: *after[ADDRESSES].first_chunk()?,
            ports: *after[PORTS].first_chunk()?,
            ip: fold(header + pseudo),
            pseudo: fold(pseudo),
            transport: fold(difference(&before[PORTS], &after[PORTS])),
        };
        let same = after[..12] == before[..12] && header + pseudo == 0 && after[PORTS] == before[PORTS];
        (!same).then_some(patch)
    }

    /// `partial`: the transport checksum holds the sum of the pseudo-header.
    #[inline]
    pub fn apply(&self, line: &mut [u8; LINE], protocol: u8, partial: bool) {
        line[..12].copy_from_slice(&self.ethernet);
        if self.ip != 0 {
            line[TOS] = self.tos;
            line[TTL] = self.ttl;
            line[ADDRESSES].copy_from_slice(&self.addresses);
            add(line, IP_CHECK, self.ip);
        }
        let covered = if partial { self.pseudo } else { fold(u64::from(self.pseudo) + u64::from(self.transport)) };
        if self.transport != 0 {
            line[PORTS].copy_from_slice(&self.ports);
        }
        if covered == 0 {
            return;
        }
        let at = match protocol {
            PROTO_TCP => L4 + 16,
            PROTO_UDP => L4 + 6,
            _ => return,
        };
        if partial {
            // The sum itself, not complemented.
            let value = fold(u64::from(be16(line, at)) + u64::from(covered));
            line[at..at + 2].copy_from_slice(&value.to_be_bytes());
        } else if protocol == PROTO_TCP {
            add(line, at, covered);
        } else if be16(line, at) != 0 {
            add(line, at, covered);
            if be16(line, at) == 0 {
                line[at..at + 2].fill(0xff);
            }
        }
    }
}

#[inline]
fn be16(line: &[u8; LINE], at: usize) -> u16 {
    u16::from_be_bytes([line[at], line[at + 1]])
}

/// RFC 1624, equation 3.
#[inline]
fn add(line: &mut [u8; LINE], at: usize, difference: u16) {
    let value = !fold(u64::from(!be16(line, at)) + u64::from(difference));
    line[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
