//! The short way of a segment of a connection that is known: no tuple is made and looked up, and the verdict is the one of before.

use crate::Checksum;
use crate::arena::ConnectionId;
use crate::connection::{Connection, Plain, State};
use crate::packet::{be16, be32, pseudo_header};
use crate::table::Conntrack;
use crate::tcp::{self, Segment, Update};
use crate::timeout::Timer;
use crate::verdict::{Request, Verdict, state};
use hive_flow::{PROTO_TCP, PROTO_UDP};
use hive_packet::checksum::{fold, sum};

/// A connection and a direction whose packets all get one [`Verdict`], as long as [`Conntrack::established`] says so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pin {
    index: u32,
    generation: u32,
    version: u32,
    pub zone: u16,
    reply: bool,
    plain: Option<Plain>,
    translated: bool,
}

/// FIN, SYN and RST: a segment with one of these changes its connection's state.
const TURNS: u8 = 0x07;

/// Whether an IPv4 packet of TCP or UDP, without options and not a fragment, is one that [`Conntrack::process`] would look up a
/// connection for. `ip` begins with its header and has the whole transport header; `total_bytes` are the packet's without padding;
/// `tail_sum` is asked for the sum of what is behind `ip`, if that counts.
#[inline]
pub fn is_plain(ip: &[u8], total_bytes: usize, checksum: Checksum, tail_sum: impl FnOnce() -> u64) -> bool {
    const HEADER: usize = 20;
    let Some(header) = ip.first_chunk::<HEADER>() else { return false };
    if checksum != Checksum::Good && fold(sum(header)) != 0xffff {
        return false;
    }
    is_plain_behind::<HEADER>(ip, header[9], total_bytes, checksum, tail_sum)
}

/// The same of an IPv6 packet without extension headers.
#[inline]
pub fn is_plain_v6(ip: &[u8], total_bytes: usize, checksum: Checksum, tail_sum: impl FnOnce() -> u64) -> bool {
    let Some(protocol) = ip.get(6) else { return false };
    is_plain_behind::<IPV6_HEADER>(ip, *protocol, total_bytes, checksum, tail_sum)
}

const IPV6_HEADER: usize = 40;

#[inline(always)]
fn is_plain_behind<const HEADER: usize>(
    ip: &[u8],
    protocol: u8,
    total_bytes: usize,
    checksum: Checksum,
    tail_sum: impl FnOnce() -> u64,
) -> bool {
    let v6 = HEADER == IPV6_HEADER;
    let (Some((_, transport)), Some(transport_bytes)) =
        (ip.split_first_chunk::<HEADER>(), total_bytes.checked_sub(HEADER))
    else {
        return false;
    };
    let transport = transport.get(..transport.len().min(transport_bytes)).unwrap_or(&[]);
    let Some(ports) = be32(transport, 0) else { return false };
    if ports >> 16 == 0 || ports & 0xffff == 0 {
        return false;
    }
    let none = match protocol {
        PROTO_TCP => {
            let Some(offset) = transport.get(12) else { return false };
            let header_bytes = usize::from(offset >> 4) * 4;
            if header_bytes < 20 || header_bytes > transport_bytes {
                return false;
            }
            false
        }
        PROTO_UDP => {
            let Some(length) = be16(transport, 4) else { return false };
            if length < 8 || usize::from(length) > transport_bytes {
                return false;
            }
            !v6 && be16(transport, 6) == Some(0)
        }
        _ => return false,
    };
    match checksum {
        Checksum::Good | Checksum::Partial => true,
        Checksum::Bad => false,
        Checksum::Unknown if none => true,
        Checksum::Unknown => {
            let Some(pseudo) = pseudo_header(ip, v6, protocol, transport_bytes) else { return false };
            let tail = if transport.len() < transport_bytes { tail_sum() } else { 0 };
            let tail = if transport.len() % 2 == 0 { tail } else { fold(tail).swap_bytes().into() };
            fold(pseudo + sum(transport) + tail) == 0xffff
        }
    }
}

impl Pin {
    /// Whether a packet must not go on with both: TCP would change twice by one segment; and a translated packet is of its connection
    /// for the second time only as long as no other connection has the tuple that it was translated to.
    pub fn collides(&self, other: &Self) -> bool {
        (self.index, self.zone) == (other.index, other.zone)
            && (self.plain.is_none() || self.translated || other.translated)
    }
}

impl Conntrack {
    /// If what `process` has just found out about a packet of TCP or UDP will hold for those behind it.
    pub fn pin(&self, verdict: &Verdict, request: &Request) -> Option<Pin> {
        let ConnectionId { index, generation } = verdict.connection?;
        if verdict.state & state::INVALID != 0 || verdict.refusal.is_some() || verdict.splice.is_some() || request.force
        {
            return None;
        }
        let connection = self.arena.get(index).filter(|held| held.generation == generation)?;
        if connection.is_ftp() || connection.extra.as_deref().is_some_and(|extra| extra.skew.bytes != 0) {
            return None;
        }
        let plain = match connection.state {
            State::Tcp(_) if verdict.state & state::ESTABLISHED != 0 => None,
            // The first packet of all makes a connection, and the second is what all of that side are. Messages of ICMP are not
            // [`is_plain`].
            State::Plain(state @ (Plain::Multiple | Plain::Both)) if connection.original.protocol() == PROTO_UDP => {
                Some(state)
            }
            _ => return None,
        };
        Some(Pin {
            index,
            generation,
            version: connection.version,
            zone: verdict.zone,
            reply: verdict.state & state::REPLY != 0,
            plain,
            translated: verdict.state & (state::SNAT | state::DNAT) != 0,
        })
    }

    /// Fetches what [`Self::established`] looks at.
    #[inline]
    pub fn touch_pin(&self, pin: &Pin) -> u64 {
        self.arena.get(pin.index).map_or(0, |connection| connection.expires_ms ^ u64::from(connection.policy))
    }

    /// Whether [`Self::established`] would be true.
    pub fn would_establish(&self, now_ms: u64, pin: &Pin, transport: &[u8], transport_bytes: usize) -> bool {
        let check = self.settings.tcp_sequence_check;
        let connection = self.arena.get(pin.index).filter(|connection| pin.holds(connection, now_ms));
        connection.is_some_and(|connection| advance(connection, pin, transport, transport_bytes, check).is_some())
    }

    /// Goes on with a connection by a packet that [`is_plain`], of the same tuple as that of the pin: true if its verdict is the same
    /// again. Else nothing has changed, and it is for [`Self::process`].
    ///
    /// `transport` begins with the transport header and has the first 16 bytes of TCP's; `transport_bytes` count what it carries.
    #[inline]
    pub fn established(&mut self, now_ms: u64, pin: &Pin, transport: &[u8], transport_bytes: usize) -> bool {
        let check = self.settings.tcp_sequence_check;
        let Some(connection) = self.arena.get_mut(pin.index).filter(|connection| pin.holds(connection, now_ms)) else {
            return false;
        };
        let Some((state, timer)) = advance(connection, pin, transport, transport_bytes, check) else { return false };
        connection.state = state;
        if let Some(timer) = timer {
            self.touch(pin.index, timer, now_ms);
        }
        true
    }
}

impl Pin {
    #[inline]
    fn holds(&self, connection: &Connection, now_ms: u64) -> bool {
        connection.generation == self.generation && connection.version == self.version && connection.expires_ms > now_ms
    }
}

/// A connection's state behind a segment that changes no verdict, and the timer that starts anew.
#[inline]
fn advance(
    connection: &Connection,
    pin: &Pin,
    transport: &[u8],
    transport_bytes: usize,
    check: bool,
) -> Option<(State, Option<Timer>)> {
    match &connection.state {
        State::Tcp(peers) => {
            let header = transport.first_chunk::<16>()?;
            if header[13] & TURNS != 0 {
                return None;
            }
            let payload = transport_bytes.checked_sub(usize::from(header[12] >> 4) * 4)?;
            let segment = Segment {
                flags: u16::from_be_bytes([header[12] & 0xf, header[13]]),
                seq: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
                ack: u32::from_be_bytes([header[8], header[9], header[10], header[11]]),
                window: u16::from_be_bytes([header[14], header[15]]),
                // A packet is shorter than 64 KiB.
                payload_bytes: payload as u32,
                scale: 0,
            };
            let mut after = *peers;
            match tcp::update(&mut after, &segment, pin.reply, check) {
                Update::Valid(timer) => Some((State::Tcp(after), timer)),
                _ => None,
            }
        }
        State::Plain(state) if Some(*state) == pin.plain => {
            let timer = if *state == Plain::Both { Timer::UdpMultiple } else { Timer::UdpSingle };
            Some((connection.state, Some(timer)))
        }
        State::Plain(_) => None,
    }
}
