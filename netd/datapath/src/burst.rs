//! A burst of packets through the caches, in stages.

use crate::counters::Counter;
use crate::engine::{BURST, Engine};
use crate::established::{established, established_tagged, established_v6, is_partial};
use crate::exact::{Exit, Lengths};
use crate::flows::Plan;
use crate::packet::{LINE, Outgoing, Output, Packet, Tail, fills_in_behind};
use crate::quick::{self, L3, L4, QUICK_WORDS, Quick, TAG_BYTES, quick};
use crate::slots::Hit;
use crate::trace::Before;
use crate::tracker::{Locked, Tracker};
use crate::v6::{V6, untagged};
use crate::work::segment_bytes;
use hive_flow::{ETH_TYPE_IPV4, ETH_TYPE_IPV6, ETH_TYPE_QINQ, ETH_TYPE_VLAN, VLAN_PRESENT};
use hive_packet::offload::GSO_NONE;
use hive_program::{Pipeline, PortId};

/// The stages' results for one packet.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    /// Its quick key, or that part of its long one.
    pub key: Quick,
    kind: Kind,
    /// Of IPv6: which of the burst's.
    v6: u8,
    hit: Hit,
    /// It is fused, but its connection does not go on as it did, or it is of another length: the way is kept for those that will.
    pub exception: bool,
    pub other_length: bool,
    /// [`Engine::changes`] when it was looked up.
    changes: u64,
}

/// What key a packet has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Quick,
    /// A quick one, behind a tag.
    Tagged,
    /// A long one.
    V6,
}

impl Place {
    pub fn is_keyed(&self) -> bool {
        self.kind != Kind::None
    }

    #[inline]
    fn v6<'p>(&self, v6s: &'p [V6]) -> Option<&'p V6> {
        if self.kind == Kind::V6 { v6s.get(usize::from(self.v6)) } else { None }
    }

    #[inline]
    fn is_quick(&self) -> bool {
        matches!(self.kind, Kind::Quick | Kind::Tagged)
    }

    /// The packet's headers as they came.
    pub fn before<'p>(&self, line: &'p [u8; LINE], v6: Option<&'p V6>) -> Before<'p> {
        match (self.kind, v6) {
            (_, Some(v6)) => Before::V6(v6),
            (Kind::Tagged, None) => Before::Tagged(line),
            _ => Before::Plain(line),
        }
    }

    /// Where the headers are of a packet with a quick key.
    #[inline]
    fn shift(&self) -> usize {
        if self.kind == Kind::Tagged { TAG_BYTES } else { 0 }
    }
}

impl<P: Pipeline> Engine<P> {
    #[inline]
    fn lookup(&self, place: &mut Place) {
        let key = self.exact.quick.masked(&place.key);
        self.found(place, self.exact.quick.find(self.secret.hash(&key), &key));
    }

    /// Alone, so that nothing else takes its registers: the shorter the loop, the more loads are under way at once.
    #[inline(never)]
    fn touch_slots(&self, places: &[Place]) -> u64 {
        let (slots, secret) = (&self.exact.quick, &self.secret);
        let quick = places.iter().filter(|place| place.is_quick());
        quick.fold(0, |touched, place| touched ^ slots.touch(secret.hash(&slots.masked(&place.key))))
    }

    fn touch_found(&self, places: &[Place]) -> u64 {
        places.iter().fold(0, |touched, place| {
            touched
                ^ match place.hit {
                    Hit::Fused(index) => {
                        self.exact.fused(index).map_or(0, |fused| fused.used_ms ^ u64::from(fused.pin_count))
                    }
                    Hit::Flow(index) => self.flows.at(index).map_or(0, |flow| flow.used_ms),
                    Hit::None => 0,
                }
        })
    }

    fn touch_long_slots(&self, v6s: &[V6]) -> u64 {
        let (slots, secret) = (&self.exact.long, &self.secret);
        v6s.iter().fold(0, |touched, v6| touched ^ slots.touch(secret.hash_long(&slots.masked(&v6.key))))
    }

    #[inline(never)]
    fn lookup_v6(&self, place: &mut Place, v6s: &[V6]) {
        let Some(v6) = place.v6(v6s) else { return };
        let key = self.exact.long.masked(&v6.key);
        self.found(place, self.exact.long.find(self.secret.hash_long(&key), &key));
    }

    #[inline(always)]
    fn found(&self, place: &mut Place, (hit, generation): (Hit, u32)) {
        place.changes = self.changes;
        place.hit = match hit {
            Hit::Flow(index) if self.flows.generation(index) != Some(generation) => Hit::None,
            hit => hit,
        };
    }

    pub(crate) fn burst<T: Tail, O: Output<T>>(
        &mut self,
        in_port: PortId,
        packets: &mut [Packet<'_, T>],
        output: &mut O,
        tracker: &Tracker,
        now_ms: u64,
    ) {
        const NOWHERE: Place = Place {
            key: [0; QUICK_WORDS],
            kind: Kind::None,
            v6: 0,
            hit: Hit::None,
            exception: false,
            other_length: false,
            changes: 0,
        };
        let mut places = [NOWHERE; BURST];
        let count = packets.len().min(BURST);
        let (packets, places) = (&mut packets[..count], &mut places[..count]);
        let (mut bytes, mut others) = (0, false);
        for (packet, place) in packets.iter().zip(places.iter_mut()) {
            bytes += packet.frame_bytes as u64;
            if packet.metadata.is_none()
                && let Some(key) = quick(&packet.line, packet.frame_bytes, in_port.0)
                && fills_in_behind(&packet.vnet, L4, quick::protocol(&key))
            {
                place.key = key;
                place.kind = Kind::Quick;
            } else {
                others = true;
            }
        }
        // Lent, so that the engine can be changed.
        let mut v6s = std::mem::take(&mut self.v6s);
        v6s.clear();
        if others {
            self.key_others(packets, in_port, places, &mut v6s);
        }
        self.counters.add(Counter::Packets, count as u64);
        self.counters.add(Counter::Bursts, 1);
        self.counters.add(Counter::Bytes, bytes);
        // Loads that do not wait for each other: what the next stages need is fetched.
        std::hint::black_box(self.touch_slots(places) ^ self.touch_long_slots(&v6s));
        let mut fused = false;
        for place in places.iter_mut().filter(|place| place.is_quick()) {
            self.lookup(place);
            fused |= matches!(place.hit, Hit::Fused(_));
        }
        if !v6s.is_empty() {
            for place in places.iter_mut() {
                self.lookup_v6(place, &v6s);
                fused |= matches!(place.hit, Hit::Fused(_));
            }
        }
        std::hint::black_box(self.touch_found(places));
        let mut at = 0;
        while at < count {
            let end = self.run_length(packets, places, &v6s, at, fused, tracker, output, now_ms);
            self.emit(&mut packets[at..end], &places[at..end], &mut v6s, output, now_ms);
            at = end;
            if at < count {
                output.pause();
                let place = &places[at];
                let known = if let Hit::Flow(index) = place.hit { Some(index) } else { None };
                self.slow(in_port, &packets[at], place, place.v6(&v6s), known, output, tracker, now_ms);
                at += 1;
            }
        }
        self.v6s = v6s;
    }

    /// The keys of packets that are not as most are, if they have one: of IPv6, with a tag, out of a tunnel.
    #[inline(never)]
    fn key_others<T: Tail>(
        &mut self,
        packets: &[Packet<'_, T>],
        in_port: PortId,
        places: &mut [Place],
        v6s: &mut Vec<V6>,
    ) {
        for (packet, place) in packets.iter().zip(places).filter(|(_, place)| !place.is_keyed()) {
            self.key_other(packet, in_port, place, v6s);
        }
    }

    fn key_other<T: Tail>(&mut self, packet: &Packet<'_, T>, in_port: PortId, place: &mut Place, v6s: &mut Vec<V6>) {
        let line = &packet.line;
        let be16 = |at: usize| u16::from_be_bytes([line[at], line[at + 1]]);
        let tagged = matches!(be16(12), ETH_TYPE_VLAN | ETH_TYPE_QINQ) && self.settings.vlan_limit > 0;
        let (shift, tpid, tci) = if tagged { (TAG_BYTES, be16(12), be16(14) | VLAN_PRESENT) } else { (0, 0, 0) };
        match be16(12 + shift) {
            ETH_TYPE_IPV4 => {
                let line = if tagged { &untagged(line, L3 + shift) } else { line };
                let Some(mut key) = quick(line, packet.frame_bytes.saturating_sub(shift), in_port.0) else { return };
                if !fills_in_behind(&packet.vnet, L4 + shift, quick::protocol(&key)) {
                    return;
                }
                let Some(context) = self.contexts.number(packet.metadata, tpid) else { return };
                key[0] |= u64::from(context);
                key[2] |= u64::from(tci);
                place.key = key;
                place.kind = if tagged { Kind::Tagged } else { Kind::Quick };
            }
            ETH_TYPE_IPV6 => {
                let Some(mut v6) = V6::of(packet, in_port.0, L3 + shift, tci) else { return };
                let Some(context) = self.contexts.number(packet.metadata, tpid) else { return };
                v6.key[0] |= u64::from(context);
                place.key = v6.quick();
                // A burst has no more.
                (place.kind, place.v6) = (Kind::V6, v6s.len() as u8);
                v6s.push(v6);
            }
            _ => {}
        }
    }

    /// The packets from `at` on that the caches know, and whose connections have been gone on with: up to which.
    #[allow(clippy::too_many_arguments)]
    fn run_length<T: Tail, O: Output<T>>(
        &mut self,
        packets: &[Packet<'_, T>],
        places: &mut [Place],
        v6s: &[V6],
        at: usize,
        fused: bool,
        tracker: &Tracker,
        output: &mut O,
        now_ms: u64,
    ) -> usize {
        let mut locked: Option<Locked<'_>> = None;
        let mut end = at;
        while end < places.len() {
            let place = &mut places[end];
            if place.is_keyed() && place.changes != self.changes {
                match place.kind {
                    Kind::V6 => self.lookup_v6(place, v6s),
                    _ => self.lookup(place),
                }
            }
            match place.hit {
                Hit::Flow(index) => {
                    if self.flows.at(index).is_none_or(|flow| flow.plan == Plan::List) {
                        break;
                    }
                }
                Hit::Fused(index) => {
                    let Some(way) = self.exact.fused(index) else { break };
                    let pins = way.pins();
                    if way.lengths != Lengths::ALL && !way.lengths.has(sent_bytes(&packets[end], place, v6s)) {
                        place.hit = Hit::None;
                        (place.exception, place.other_length) = (true, true);
                        break;
                    }
                    if let Some(first) = pins.first() {
                        if locked.is_none() {
                            output.pause();
                            let lock = tracker.lock(Tracker::shard_of(first.zone));
                            if fused {
                                self.touch_pins(&places[end..], &lock);
                            }
                            locked = Some(lock);
                        }
                        let (packet, place) = (&packets[end], &places[end]);
                        let go_on = if place.kind == Kind::Quick {
                            established::<T, 0>(packet, pins, &mut locked, tracker, now_ms)
                        } else if let Some(v6) = place.v6(v6s) {
                            established_v6(packet, v6, pins, &mut locked, tracker, now_ms)
                        } else {
                            established_tagged(packet, pins, &mut locked, tracker, now_ms)
                        };
                        if !go_on {
                            places[end].hit = Hit::None;
                            places[end].exception = true;
                            break;
                        }
                    }
                }
                Hit::None => break,
            }
            end += 1;
        }
        end
    }

    fn touch_pins(&self, places: &[Place], lock: &Locked<'_>) {
        let mut touched = 0;
        for place in places {
            if let Hit::Fused(index) = place.hit
                && let Some(pin) = self.exact.fused(index).and_then(|way| way.pins().first())
                && Tracker::shard_of(pin.zone) == lock.shard
            {
                touched ^= lock.conntrack.touch_pin(pin);
            }
        }
        std::hint::black_box(touched);
    }

    /// Carries out what the caches say.
    fn emit<T: Tail, O: Output<T>>(
        &mut self,
        packets: &mut [Packet<'_, T>],
        places: &[Place],
        v6s: &mut [V6],
        output: &mut O,
        now_ms: u64,
    ) {
        let (mut exact, mut fused_hits) = (0, 0);
        for (packet, place) in packets.iter_mut().zip(places) {
            let held = packet.line_bytes();
            let patch = match place.hit {
                Hit::Fused(index) => self.exact.fused(index).and_then(|way| way.patch.as_deref()),
                _ => None,
            };
            let protocol = quick::protocol(&place.key);
            let head = if place.kind == Kind::Quick {
                if let Some(patch) = patch {
                    patch.apply(&mut packet.line, protocol, is_partial(&packet.vnet, L4));
                }
                &packet.line[..held]
            } else if place.kind == Kind::V6 {
                let Some(v6) = v6s.get_mut(usize::from(place.v6)) else { continue };
                if let Some(patch) = patch {
                    patch.apply_v6(v6);
                }
                v6.head()
            } else {
                if let Some(patch) = patch {
                    patch.apply_tagged(&mut packet.line, protocol, is_partial(&packet.vnet, L4 + TAG_BYTES));
                }
                &packet.line[..held]
            };
            let mut outgoing = Outgoing {
                vnet: packet.vnet,
                head,
                tail: &packet.tail,
                tail_from: head.len() - held,
                tail_bytes: packet.frame_bytes - head.len(),
                tunnel: None,
                skb_priority: 0,
            };
            match place.hit {
                Hit::Flow(index) => {
                    let Some(flow) = self.flows.at_mut(index) else { continue };
                    exact += 1;
                    flow.count(packet.frame_bytes, quick::tcp_flags(&place.key), now_ms);
                    match flow.plan {
                        Plan::Output(port) => {
                            output.output(port, &outgoing);
                        }
                        Plan::Drop(reason) => self.counters.add(reason.into(), 1),
                        Plan::List => {}
                    }
                }
                Hit::Fused(index) => {
                    let Some(way) = self.exact.fused_mut(index) else { continue };
                    fused_hits += 1;
                    way.count(packet.frame_bytes, quick::tcp_flags(&place.key), now_ms);
                    match way.exit {
                        Exit::Output(port) => {
                            if way.dressed {
                                outgoing.tunnel = way.rest.tunnel.as_deref();
                                outgoing.skb_priority = way.rest.skb_priority;
                            }
                            output.output(port, &outgoing);
                        }
                        Exit::Drop(reason) => self.counters.add(reason.into(), 1),
                        Exit::Nowhere => {}
                    }
                }
                Hit::None => {}
            }
        }
        self.counters.add(Counter::ExactHits, exact);
        self.counters.add(Counter::FusedHits, fused_hits);
    }
}

/// The length of a packet on the wire, of a large one that of its segments: as [`Work::sent_bytes`](crate::work::Work::sent_bytes).
#[inline]
fn sent_bytes<T: Tail>(packet: &Packet<'_, T>, place: &Place, v6s: &[V6]) -> usize {
    if packet.vnet.gso_type == GSO_NONE {
        return packet.frame_bytes;
    }
    let (head, l4) = match place.v6(v6s) {
        Some(v6) => (v6.head(), v6.l4()),
        None => (&packet.line[..packet.line_bytes()], L4 + place.shift()),
    };
    segment_bytes(&packet.vnet, head, l4).min(packet.frame_bytes)
}
