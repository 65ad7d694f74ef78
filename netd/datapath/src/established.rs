//! Packets of connections that a way has pinned: whether they go on as it says, in which case the connections have gone on.

use crate::packet::{Packet, Tail};
use crate::quick::{L3, L4, TAG_BYTES};
use crate::tracker::{Locked, Tracker};
use crate::v6::V6;
use hive_conntrack::{Checksum, Pin, is_plain, is_plain_v6};
use hive_packet::VnetHeader;

/// Whether the transport checksum holds the sum of the pseudo-header only.
#[inline]
pub(crate) fn is_partial(vnet: &VnetHeader, l4: usize) -> bool {
    vnet.needs_checksum() && usize::from(vnet.csum_start) == l4
}

#[inline]
fn checksum_of(vnet: &VnetHeader, l4: usize) -> Checksum {
    if is_partial(vnet, l4) { Checksum::Partial } else { Checksum::Unknown }
}

/// Goes on with all connections of a way, or with none. `SHIFT`: what headers are later by than in most frames.
#[inline]
pub(crate) fn established<'t, T: Tail, const SHIFT: usize>(
    packet: &Packet<'_, T>,
    pins: &[Pin],
    locked: &mut Option<Locked<'t>>,
    tracker: &'t Tracker,
    now_ms: u64,
) -> bool {
    let (l3, l4) = (L3 + SHIFT, L4 + SHIFT);
    let held = packet.line_bytes();
    let total_bytes = usize::from(u16::from_be_bytes([packet.line[l3 + 2], packet.line[l3 + 3]]));
    let ip = &packet.line[l3..held];
    let tail_sum = || packet.tail.sum(0, (l3 + total_bytes).saturating_sub(held));
    if !is_plain(ip, total_bytes, checksum_of(&packet.vnet, l4), tail_sum) {
        return false;
    }
    let transport_bytes = total_bytes.saturating_sub(L4 - L3);
    go_on(&packet.line[l4..held], transport_bytes, pins, locked, tracker, now_ms)
}

/// As [`established`], behind a tag.
#[inline(never)]
pub(crate) fn established_tagged<'t, T: Tail>(
    packet: &Packet<'_, T>,
    pins: &[Pin],
    locked: &mut Option<Locked<'t>>,
    tracker: &'t Tracker,
    now_ms: u64,
) -> bool {
    established::<T, TAG_BYTES>(packet, pins, locked, tracker, now_ms)
}

#[inline(never)]
pub(crate) fn established_v6<'t, T: Tail>(
    packet: &Packet<'_, T>,
    v6: &V6,
    pins: &[Pin],
    locked: &mut Option<Locked<'t>>,
    tracker: &'t Tracker,
    now_ms: u64,
) -> bool {
    let (head, l3, l4, ip_bytes) = (v6.head(), v6.l3, v6.l4(), v6.ip_bytes);
    let tail_from = head.len() - packet.line_bytes();
    let tail_sum = || packet.tail.sum(tail_from, (l3 + ip_bytes).saturating_sub(head.len()));
    is_plain_v6(&head[l3..], ip_bytes, checksum_of(&packet.vnet, l4), tail_sum)
        && go_on(&head[l4..], ip_bytes - (l4 - l3), pins, locked, tracker, now_ms)
}

#[inline(always)]
fn go_on<'t>(
    transport: &[u8],
    transport_bytes: usize,
    pins: &[Pin],
    locked: &mut Option<Locked<'t>>,
    tracker: &'t Tracker,
    now_ms: u64,
) -> bool {
    // With several, all or none: what has gone on cannot be taken back.
    for check in [true, false].into_iter().skip(usize::from(pins.len() == 1)) {
        for pin in pins {
            let shard = Tracker::shard_of(pin.zone);
            if locked.as_ref().is_none_or(|lock| lock.shard != shard) {
                // One at a time: two workers could wait for each other.
                *locked = None;
                *locked = Some(tracker.lock(shard));
            }
            let Some(lock) = locked else { return false };
            let conntrack = &mut lock.conntrack;
            let goes_on = if check {
                conntrack.would_establish(now_ms, pin, transport, transport_bytes)
            } else {
                conntrack.established(now_ms, pin, transport, transport_bytes)
            };
            if !goes_on {
                return false;
            }
        }
    }
    true
}
