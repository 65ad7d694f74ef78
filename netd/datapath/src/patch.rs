//! What all passes together change in the headers of a packet with a quick or long key.

use crate::packet::LINE;
use crate::quick::{L3, L4, TAG_BYTES};
use crate::v6::{V6, untagged};
use crate::work::Covered;
use hive_flow::{PROTO_TCP, PROTO_UDP};
use hive_packet::checksum::fold;

const IP_CHECK: usize = L3 + 10;

/// The fields that can change: where they lie, and which checksums cover them.
const FIELDS: [(std::ops::Range<usize>, Covered); 8] = [
    (0..6, Covered::None),
    (6..12, Covered::None),
    (15..16, Covered::Ip),
    (22..23, Covered::Ip),
    (26..30, Covered::Address),
    (30..34, Covered::Address),
    (34..36, Covered::Transport),
    (36..38, Covered::Transport),
];
const CHANGED_END: usize = 38;
/// Of IPv6, from where it begins, what can change and no checksum covers: version, class and label; the hop limit.
const V6_FIELDS: [std::ops::Range<usize>; 2] = [0..4, 7..8];

/// What is written, and by how much the sums of the changed words differ: a field that is changed is alike before in all of a way's
/// packets, and others are left as each packet has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    /// Which of [`FIELDS`].
    changed: u8,
    values: [u8; CHANGED_END],
    /// 0: nothing that the checksum covers has changed.
    ip: u16,
    /// Of the pseudo-header.
    pseudo: u16,
    /// Of the transport header.
    transport: u16,
}

/// What a sum gains if the words that have these bytes change; 0 only if none does.
fn difference(before: &[u8], after: &[u8], field: std::ops::Range<usize>) -> u64 {
    // The other byte of a word counts for nothing if it stays.
    let words = field.start & !1..field.end.next_multiple_of(2);
    let pairs = before[words.clone()].as_chunks::<2>().0.iter().zip(after[words].as_chunks::<2>().0);
    pairs
        .filter(|(old, new)| old != new)
        .map(|(old, new)| u64::from(u16::from_be_bytes(*new)) + u64::from(!u16::from_be_bytes(*old)))
        .sum()
}

impl Patch {
    /// None if there is nothing to change. Both begin with a packet that has a quick key.
    pub fn between(before: &[u8; LINE], after: &[u8; LINE]) -> Option<Self> {
        let mut patch =
            Self { changed: 0, values: *after.first_chunk::<CHANGED_END>()?, ip: 0, pseudo: 0, transport: 0 };
        let (mut ip, mut pseudo, mut transport) = (0, 0, 0);
        for (number, (field, covered)) in FIELDS.into_iter().enumerate() {
            if before[field.clone()] == after[field.clone()] {
                continue;
            }
            patch.changed |= 1 << number;
            let gained = difference(before, after, field);
            match covered {
                Covered::None => {}
                Covered::Ip => ip += gained,
                Covered::Address => pseudo += gained,
                Covered::Transport => transport += gained,
            }
        }
        (patch.ip, patch.pseudo, patch.transport) = (fold(ip + pseudo), fold(pseudo), fold(transport));
        (patch.changed != 0).then_some(patch)
    }

    /// As [`Self::between`], with a tag before.
    pub fn between_tagged(before: &[u8; LINE], after: &[u8; LINE]) -> Option<Self> {
        Self::between(&untagged(before, L3 + TAG_BYTES), &untagged(after, L3 + TAG_BYTES))
    }

    /// The same of IPv6, if nothing has changed that a checksum covers; else Err.
    pub fn between_v6(v6: &V6, after: &[u8; LINE]) -> Result<Option<Self>, MoreChanged> {
        let before = v6.line();
        let mut patch = Self { changed: 0, values: [0; CHANGED_END], ip: 0, pseudo: 0, transport: 0 };
        let mut rest = *before;
        for (number, field) in v6_fields(v6.l3).enumerate() {
            if before[field.clone()] != after[field.clone()] {
                patch.changed |= 1 << number;
                patch.values[field.clone()].copy_from_slice(&after[field.clone()]);
                rest[field.clone()].copy_from_slice(&after[field]);
            }
        }
        // Ports are the last that can be set, and checksums follow from what is before them.
        let end = (v6.l4() + 4).min(LINE);
        if rest[..end] != after[..end] {
            return Err(MoreChanged);
        }
        Ok((patch.changed != 0).then_some(patch))
    }

    pub fn apply_v6(&self, v6: &mut V6) {
        for (number, field) in v6_fields(v6.l3).enumerate() {
            if self.changed & 1 << number != 0 {
                v6.head_mut()[field.clone()].copy_from_slice(&self.values[field]);
            }
        }
    }

    pub fn apply_tagged(&self, line: &mut [u8; LINE], protocol: u8, partial: bool) {
        let mut without = untagged(line, L3 + TAG_BYTES);
        self.apply(&mut without, protocol, partial);
        line[..12].copy_from_slice(&without[..12]);
        line[L3 + TAG_BYTES..].copy_from_slice(&without[L3..LINE - TAG_BYTES]);
    }

    /// `partial`: the transport checksum holds the sum of the pseudo-header.
    #[inline]
    pub fn apply(&self, line: &mut [u8; LINE], protocol: u8, partial: bool) {
        for (number, (field, _)) in FIELDS.into_iter().enumerate() {
            if self.changed & 1 << number != 0 {
                line[field.clone()].copy_from_slice(&self.values[field]);
            }
        }
        if self.ip != 0 {
            add(line, IP_CHECK, self.ip);
        }
        let covered = if partial { self.pseudo } else { fold(u64::from(self.pseudo) + u64::from(self.transport)) };
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

/// Ethernet's, and [`V6_FIELDS`].
fn v6_fields(l3: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    [0..6, 6..12].into_iter().chain(V6_FIELDS.map(|field| l3 + field.start..l3 + field.end))
}

/// What a patch cannot hold was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MoreChanged;

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
