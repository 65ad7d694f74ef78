//! What `ct()` does to one packet.

use crate::connection::{Connection, Extra, Master, Plain, Skew, State, Translated, Translation};
use crate::expect::Expectation;
use crate::fragment::{DatagramId, Piece, Refused};
use crate::ftp;
use crate::nat::{self, Nat};
use crate::packet::{Extracted, Packet, Quoted, addresses, be16, be32};
use crate::splice::Splice;
use crate::table::Conntrack;
use crate::tcp::{self, Update};
use crate::timeout::Timer;
use crate::tuple::Tuple;
use crate::verdict::{Helper, Refusal, Request, Verdict, state};
use crate::{Checksum, arena::NONE};
use hive_flow::{FRAG_LATER, PROTO_TCP, PROTO_UDP};

/// FTP's control port.
const FTP_PORT: u16 = 21;

/// ICMP messages that ask.
fn asks(tuple: &Tuple) -> bool {
    let [kind, _] = tuple.destination_port().to_be_bytes();
    if tuple.is_v6() { kind == 128 } else { matches!(kind, 8 | 13 | 15) }
}

fn translated_bit(what: Translation) -> u8 {
    match what {
        Translation::None => 0,
        Translation::Source => state::SNAT,
        Translation::Destination => state::DNAT,
    }
}

impl Conntrack {
    /// Tracks a packet, translates it if that is asked for, and says what it is. `before`: what an earlier `ct()` said of the same
    /// packet; of another zone it does not count.
    pub fn process(
        &mut self,
        now_ms: u64,
        packet: &mut Packet<'_>,
        request: &Request,
        before: Option<&Verdict>,
    ) -> Verdict {
        let carried = before.filter(|before| before.zone == request.zone);
        if packet.fragment & FRAG_LATER != 0 {
            return self.later_fragment(now_ms, packet, request);
        }
        let Some(extracted) = packet.extract(request.zone, self.settings.other_protocols) else {
            return self.invalid(request.zone, None);
        };
        let id = packet.is_first_fragment().then(|| datagram(packet, request.zone)).flatten();
        let (verdict, translated) = self.track(now_ms, packet, &extracted, request, carried);
        let Some((id, piece)) = id else { return verdict };
        match self.fragments.first(id, piece, verdict.clone(), translated, request.commit || request.force, now_ms) {
            Ok(()) => verdict,
            Err(refused) => self.refuse_fragment(refused, request.zone),
        }
    }

    fn invalid(&mut self, zone: u16, refusal: Option<Refusal>) -> Verdict {
        self.counters.invalid += 1;
        Verdict { state: state::INVALID | state::TRACKED, zone, refusal, ..Verdict::default() }
    }

    fn refuse_fragment(&mut self, refused: Refused, zone: u16) -> Verdict {
        let counter = match refused {
            Refused::Unknown => &mut self.counters.fragments_unknown,
            Refused::Overlap => &mut self.counters.fragments_overlapping,
            Refused::Full => &mut self.counters.fragments_full,
        };
        *counter += 1;
        self.invalid(zone, Some(Refusal::Fragment))
    }

    fn later_fragment(&mut self, now_ms: u64, packet: &mut Packet<'_>, request: &Request) -> Verdict {
        let Some((id, piece)) = datagram(packet, request.zone) else { return self.invalid(request.zone, None) };
        match self.fragments.later(&id, piece, request.commit || request.force, now_ms) {
            Ok((verdict, translated)) => {
                let verdict = Verdict { splice: None, ..verdict.clone() };
                if let Some((to, what)) = translated {
                    packet.translate(&to, what, None);
                }
                verdict
            }
            Err(refused) => self.refuse_fragment(refused, request.zone),
        }
    }

    fn track(
        &mut self,
        now_ms: u64,
        packet: &mut Packet<'_>,
        extracted: &Extracted,
        request: &Request,
        carried: Option<&Verdict>,
    ) -> (Verdict, Translated) {
        let tuple = &extracted.tuple;
        let mut found = self.live(tuple, now_ms);
        if let Some((index, true)) = found
            && request.force
        {
            self.remove(index);
            found = None;
        }
        if found.is_none()
            && request.nat.is_none()
            && let Some(carried) = carried
            && carried.state & (state::SNAT | state::DNAT) != 0
            && let Some(original) = &carried.original
        {
            // Translated here already: it is known by what it was.
            found = self.live(original, now_ms).map(|(index, _)| (index, carried.state & state::REPLY != 0));
        }
        let Some((index, reply)) = found else {
            if extracted.quoted.is_some() {
                return (self.invalid(request.zone, None), None);
            }
            return self.begin(now_ms, packet, tuple, request);
        };
        let carried_bits = carried.map_or(0, |carried| carried.state);
        let (mut bits, renew) = self.advance(now_ms, packet, index, reply, extracted.quoted.as_ref(), carried_bits);
        if renew {
            self.remove(index);
            return self.begin(now_ms, packet, tuple, request);
        }
        let splice = self.announce(packet, index, reply, extracted.quoted.as_ref(), bits, request.nat.is_some());
        let Some(connection) = self.arena.get_mut(index) else { return (self.invalid(request.zone, None), None) };
        let mut translated = None;
        if request.nat.is_some()
            && connection.translation != Translation::None
            && carried_bits & (state::SNAT | state::DNAT) == 0
        {
            let (what, to) = if reply {
                (connection.translation.reversed(), connection.original.reversed())
            } else {
                (connection.translation, connection.reply.reversed())
            };
            bits |= translated_bit(what);
            packet.translate(&to, what, extracted.quoted.as_ref());
            translated = Some((to, what));
        }
        if bits & state::INVALID != 0 {
            self.counters.invalid += 1;
        }
        connection.remember(request);
        let original = connection.master().map_or(connection.original, |master| master.original);
        let (mark, label) = (connection.mark, connection.label);
        let verdict = Verdict {
            state: bits | state::TRACKED,
            zone: request.zone,
            mark,
            label,
            original: Some(original),
            connection: self.id(index),
            refusal: None,
            splice,
        };
        (verdict, translated)
    }

    /// A packet of a known connection: its bits, and whether it begins another one instead.
    #[inline]
    fn advance(
        &mut self,
        now_ms: u64,
        packet: &mut Packet<'_>,
        index: u32,
        reply: bool,
        quoted: Option<&Quoted>,
        carried: u8,
    ) -> (u8, bool) {
        let direction = if reply { state::REPLY } else { 0 };
        if quoted.is_some() {
            return (carried | state::RELATED | direction, false);
        }
        let check = self.settings.tcp_sequence_check && packet.fragment == 0;
        let Some(connection) = self.arena.get_mut(index) else { return (state::INVALID, false) };
        let skew = match &connection.extra {
            Some(extra) => extra.skew,
            None => Skew::default(),
        };
        // Windows are kept in the numbers of the side that was rewritten: acknowledgements of the other are changed before.
        if skew.bytes != 0 && reply != skew.reply && packet.protocol == PROTO_TCP {
            packet.shift(0, skew.bytes.wrapping_neg());
        }
        let update = match &mut connection.state {
            State::Tcp(peers) => match packet.segment() {
                Some(segment) => tcp::update(peers, &segment, reply, check),
                None => Update::Invalid,
            },
            State::Plain(plain) => plain.update(packet.protocol, packet.v6, reply),
        };
        if skew.bytes != 0 && reply == skew.reply && packet.protocol == PROTO_TCP {
            packet.shift(skew.bytes, 0);
        }
        let related = if connection.master().is_some() { state::RELATED } else { 0 };
        match update {
            Update::Valid(timer) => {
                if let Some(timer) = timer {
                    self.touch(index, timer, now_ms);
                }
                ((carried | state::ESTABLISHED | direction | related) & !state::NEW, false)
            }
            Update::StillNew(timer) => {
                self.touch(index, timer, now_ms);
                (carried | state::NEW | related, false)
            }
            Update::Invalid => (state::INVALID, false),
            Update::Renew => (0, true),
        }
    }

    /// A packet of no connection.
    fn begin(
        &mut self,
        now_ms: u64,
        packet: &mut Packet<'_>,
        tuple: &Tuple,
        request: &Request,
    ) -> (Verdict, Translated) {
        let zone = request.zone;
        let (first, timer) = match (packet.protocol, tuple.is_icmp()) {
            (PROTO_TCP, _) => match packet.segment().filter(tcp::can_begin) {
                Some(segment) => (State::Tcp(tcp::begin(&segment)), Timer::TcpFirst),
                None => return (self.invalid(zone, None), None),
            },
            (_, true) if !asks(tuple) => return (self.invalid(zone, None), None),
            (_, true) => (State::Plain(Plain::First), Timer::IcmpFirst),
            (PROTO_UDP, _) => (State::Plain(Plain::First), Timer::UdpFirst),
            _ => (State::Plain(Plain::First), Timer::Other),
        };
        let expected = self.expectations.get(tuple).cloned();
        let mut verdict = Verdict {
            state: state::NEW | state::TRACKED | if expected.is_some() { state::RELATED } else { 0 },
            zone,
            original: Some(expected.as_ref().map_or(*tuple, |expected| expected.master)),
            ..Verdict::default()
        };
        if let Some(expected) = &expected {
            (verdict.mark, verdict.label) = (expected.mark, expected.label);
        }
        if !request.commit && !request.force {
            return (verdict, None);
        }
        if let Err(refusal) = self.admit(zone) {
            verdict.refusal = Some(refusal);
            return (verdict, None);
        }
        let Some((reply, translation)) = self.translation_of(tuple, request.nat.as_ref(), expected.as_ref()) else {
            self.counters.nat_exhausted += 1;
            return (self.invalid(zone, Some(Refusal::NatExhausted)), None);
        };
        let helped = request.helper == Some(Helper::Ftp);
        let master = expected.as_ref().map(|expected| Master { original: expected.master });
        let extra =
            (helped || master.is_some()).then(|| Box::new(Extra { master, ftp: helped, skew: Skew::default() }));
        let mut connection = Connection {
            original: *tuple,
            reply,
            state: first,
            expires_ms: 0,
            label: verdict.label,
            mark: verdict.mark,
            generation: 0,
            version: 0,
            timer_next: NONE,
            timer_previous: NONE,
            timer_slot: 0,
            policy: 0,
            timer,
            translation,
            extra,
        };
        connection.remember(request);
        (verdict.mark, verdict.label) = (connection.mark, connection.label);
        let Some(index) = self.insert(connection, now_ms) else {
            self.counters.refused_full += 1;
            verdict.refusal = Some(Refusal::Full);
            return (verdict, None);
        };
        verdict.connection = self.id(index);
        if translation == Translation::None {
            return (verdict, None);
        }
        let to = reply.reversed();
        verdict.state |= translated_bit(translation);
        packet.translate(&to, translation, None);
        (verdict, Some((to, translation)))
    }

    /// The tuple of answers to a new connection, and what is done to it; none if there is none left.
    fn translation_of(
        &mut self,
        tuple: &Tuple,
        nat: Option<&Nat>,
        expected: Option<&Expectation>,
    ) -> Option<(Tuple, Translation)> {
        let Some(nat) = nat else { return Some((tuple.reversed(), Translation::None)) };
        if let Some(Expectation { translation: (what, address), .. }) = expected {
            let mut reply = tuple.reversed();
            match what {
                Translation::Source => reply.set_destination(*address),
                Translation::Destination => reply.set_source(*address),
                Translation::None => {}
            }
            return self.find(&reply).is_none().then_some((reply, *what));
        }
        let mut random = std::mem::replace(&mut self.random, nat::Random::new(self.seed.clone()));
        let selected = nat::select(tuple, nat, &self.seed, &mut random, |reply| self.find(reply).is_some());
        self.random = random;
        selected
    }

    /// Looks for what a control connection announces, expects it, and says how the message has to be changed.
    #[inline]
    fn announce(
        &mut self,
        packet: &Packet<'_>,
        index: u32,
        reply: bool,
        quoted: Option<&Quoted>,
        bits: u8,
        translate: bool,
    ) -> Option<Box<Splice>> {
        if packet.protocol != PROTO_TCP || quoted.is_some() || bits & state::INVALID != 0 {
            return None;
        }
        self.arena.get(index).filter(|connection| connection.is_ftp() && is_control(&connection.original))?;
        self.announce_of(packet, index, reply, translate)
    }

    #[cold]
    fn announce_of(&mut self, packet: &Packet<'_>, index: u32, reply: bool, translate: bool) -> Option<Box<Splice>> {
        let connection = self.arena.get_mut(index)?;
        let tcp = packet.transport();
        let header_bytes = usize::from(tcp.get(12)? >> 4) * 4;
        let announced = ftp::announcement(tcp.get(header_bytes..)?, reply, packet.v6)?;
        let (original, answers) = (connection.original, connection.reply);
        // Who listens, as seen from where, and who will come.
        let (own, shown) =
            if reply { (answers.source(), original.destination()) } else { (original.source(), answers.destination()) };
        // Nobody announces somebody else.
        if announced.address.is_some_and(|address| address != own && address != shown) || announced.port == 0 {
            return None;
        }
        let source = if reply { original.source() } else { answers.source() };
        let expected = Tuple::new(packet.v6, PROTO_TCP, (source, 0), (shown, announced.port), original.zone());
        let destination_nat = connection.translation == Translation::Destination;
        let translation = match (translate && connection.translation != Translation::None, reply, destination_nat) {
            (false, ..) => (Translation::None, 0),
            (true, true, true) => (Translation::Destination, answers.source()),
            (true, true, false) => (Translation::Source, answers.destination()),
            (true, false, true) => (Translation::Source, original.destination()),
            (true, false, false) => (Translation::Destination, original.source()),
        };
        let expectation = Expectation { master: original, mark: connection.mark, label: connection.label, translation };
        let mut splice = None;
        if translate && announced.address.is_some_and(|address| address != shown) {
            let text = announced.text(shown, packet.v6);
            let at = packet.l4 + header_bytes + announced.place.start;
            let change = Splice {
                l3: packet.l3,
                l4: packet.l4,
                v6: packet.v6,
                partial: packet.checksum == Checksum::Partial,
                at,
                removed: announced.place.len(),
                text,
            };
            let extra = connection.extra_mut();
            if extra.skew.bytes != 0 && extra.skew.reply != reply {
                // Only one side's numbers can be shifted.
                return None;
            }
            let growth = i32::try_from(change.growth()).ok()?;
            extra.skew = Skew { bytes: extra.skew.bytes.wrapping_add(growth), reply };
            splice = Some(Box::new(change));
        }
        if !self.expectations.insert(&expected, expectation) {
            self.counters.expectations_refused += 1;
        }
        splice
    }
}

fn is_control(tuple: &Tuple) -> bool {
    tuple.destination_port() == FTP_PORT || tuple.source_port() == FTP_PORT
}

impl Plain {
    fn update(&mut self, protocol: u8, v6: bool, reply: bool) -> Update {
        if reply {
            *self = Self::Both;
        }
        let icmp = protocol == if v6 { hive_flow::PROTO_ICMPV6 } else { hive_flow::PROTO_ICMP };
        if icmp {
            return match self {
                Self::Both => Update::Valid(Some(Timer::IcmpReply)),
                _ => Update::StillNew(Timer::IcmpFirst),
            };
        }
        let timer = |udp| if protocol == PROTO_UDP { udp } else { Timer::Other };
        match self {
            Self::Both => Update::Valid(Some(timer(Timer::UdpMultiple))),
            _ => {
                *self = Self::Multiple;
                Update::StillNew(timer(Timer::UdpSingle))
            }
        }
    }
}

impl Connection {
    /// Mark and label as the request wants them; an expected connection keeps its master's.
    #[inline]
    fn remember(&mut self, request: &Request) {
        if self.master().is_some() {
            return;
        }
        let before = (self.mark, self.label);
        if let Some((value, mask)) = request.mark {
            self.mark = self.mark & !mask | value & mask;
        }
        if let Some((value, mask)) = request.label {
            self.label = self.label & !mask | value & mask;
        }
        if before != (self.mark, self.label) {
            self.version = self.version.wrapping_add(1);
        }
    }
}

/// Which datagram a fragment is of, and which part of it.
fn datagram(packet: &Packet<'_>, zone: u16) -> Option<(DatagramId, Piece)> {
    let ip = packet.frame.get(packet.l3..)?;
    let (source, destination) = addresses(ip, packet.v6)?;
    let (identification, protocol, start, body) = if packet.v6 {
        let (at, protocol) = fragment_header(ip)?;
        let word = be16(ip, at + 2)?;
        (be32(ip, at + 4)?, protocol, u32::from(word & 0xfff8), at + 8)
    } else {
        let start = u32::from(be16(ip, 6)? & 0x1fff) * 8;
        (u32::from(be16(ip, 4)?), *ip.get(9)?, start, packet.l4 - packet.l3)
    };
    let length = u32::try_from((ip.len() + packet.tail_bytes).checked_sub(body)?).ok()?;
    let piece = Piece { start, end: start.checked_add(length)? };
    Some((DatagramId { source, destination, identification, protocol, zone, v6: packet.v6 }, piece))
}

/// Where the fragment header lies behind an IPv6 header, and the protocol it names.
fn fragment_header(ip: &[u8]) -> Option<(usize, u8)> {
    let (mut protocol, mut at) = (*ip.get(6)?, 40);
    for _ in 0..hive_flow::EXTENSION_HEADERS_MAX {
        let header = ip.get(at..at + 8)?;
        match protocol {
            44 => return Some((at, header[0])),
            0 | 43 | 60 => at += (usize::from(header[1]) + 1) * 8,
            51 => at += (usize::from(header[1]) + 2) * 4,
            _ => return None,
        }
        protocol = header[0];
    }
    None
}
