//! The states of a TCP connection, and whether a segment can be part of it: the rules of Open vSwitch's userspace datapath, which
//! are those of OpenBSD's pf, which are Guido van Rooij's ("Real Stateful TCP Packet Filtering in IP Filter").

use crate::timeout::Timer;

const FIN: u16 = 0x01;
pub(crate) const SYN: u16 = 0x02;
const RST: u16 = 0x04;
const PSH: u16 = 0x08;
pub(crate) const ACK: u16 = 0x10;
const URG: u16 = 0x20;

/// Greatest shift of a window (RFC 7323).
const SCALE_MAX: u8 = 14;
/// The side has said by how much its windows are scaled.
const SCALE_KNOWN: u8 = 0x80;
/// The handshake was not seen.
const SCALE_UNKNOWN: u8 = 0x40;
const SCALE_BITS: u8 = 0xf;
/// How far an acknowledgement may be off: a window without scale, and a segment.
const ACK_WINDOW: i32 = 0xffff + 1500;

/// In the order in which a connection goes through them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum TcpState {
    #[default]
    Closed,
    Listen,
    SynSent,
    SynReceived,
    Established,
    CloseWait,
    FinWait1,
    Closing,
    LastAck,
    FinWait2,
    TimeWait,
}

impl TcpState {
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "CLOSED",
            Self::Listen => "LISTEN",
            Self::SynSent => "SYN_SENT",
            Self::SynReceived => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::CloseWait => "CLOSE_WAIT",
            Self::FinWait1 => "FIN_WAIT_1",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST_ACK",
            Self::FinWait2 => "FIN_WAIT_2",
            Self::TimeWait => "TIME_WAIT",
        }
    }
}

/// One end.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peer {
    /// Behind the last octet it has sent.
    sent: u32,
    /// Up to where it may send.
    may_send: u32,
    /// The largest window it has offered, unscaled.
    window: u16,
    scale: u8,
    pub state: TcpState,
}

/// What a segment says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub flags: u16,
    pub seq: u32,
    pub ack: u32,
    pub window: u16,
    pub payload_bytes: u32,
    /// Of a SYN: the scale it offers, with [`SCALE_KNOWN`]; else 0.
    pub scale: u8,
}

/// What a packet is to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Update {
    /// Not part of it.
    Invalid,
    /// Its timer starts anew, if there is one.
    Valid(Option<Timer>),
    /// Part of it, but it has not been answered: still new.
    StillNew(Timer),
    /// The begin of another connection with the same tuple.
    Renew,
}

/// Looks through the options of a header.
pub(crate) fn scale_option(mut options: &[u8]) -> u8 {
    let mut scale = 0;
    while let [kind, rest @ ..] = options {
        match kind {
            0 => break,
            1 => options = rest,
            _ => {
                let [length, ..] = rest else { break };
                if let (3, Some(shift)) = (*kind, options.get(2)) {
                    scale = (*shift).min(SCALE_MAX) | SCALE_KNOWN;
                }
                options = options.get(usize::from(*length).max(2)..).unwrap_or(&[]);
            }
        }
    }
    scale
}

/// Combinations that no stack sends.
fn impossible(flags: u16) -> bool {
    if flags & SYN != 0 {
        if flags & (RST | FIN) != 0 {
            return true;
        }
    } else if flags & (ACK | RST) == 0 {
        return true;
    }
    flags & ACK == 0 && flags & (FIN | PSH | URG) != 0
}

/// Whether it can begin a connection: a SYN, or a segment of one that is established; but not an answer to a SYN.
pub(crate) fn can_begin(segment: &Segment) -> bool {
    !impossible(segment.flags) && segment.flags & (SYN | ACK) != SYN | ACK
}

/// `a < b` on the circle.
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

fn at_least(a: u32, b: u32) -> bool {
    !before(a, b)
}

fn shift_up(window: u16, scale: u8) -> u32 {
    u32::from(window) << scale
}

fn shift_down(window: u16, scale: u8) -> u16 {
    // The scale is at most 15.
    u32::from(window).div_ceil(1 << scale) as u16
}

/// The ends of a connection that this segment begins.
pub(crate) fn begin(segment: &Segment) -> [Peer; 2] {
    let syn = segment.flags & SYN != 0;
    let scale = if syn { segment.scale } else { SCALE_UNKNOWN };
    let octets = segment.payload_bytes + u32::from(syn) + u32::from(segment.flags & FIN != 0);
    let originator = Peer {
        sent: segment.seq,
        may_send: segment.seq.wrapping_add(octets).wrapping_add(1),
        window: shift_down(segment.window.max(1), scale & SCALE_BITS),
        scale,
        state: TcpState::SynSent,
    };
    let other =
        Peer { sent: 0, may_send: 1, window: 1, scale: if syn { 0 } else { SCALE_UNKNOWN }, state: TcpState::Closed };
    [originator, other]
}

/// The greater of the states, as one sees it from outside.
pub(crate) fn overall(peers: &[Peer; 2]) -> TcpState {
    peers[0].state.max(peers[1].state)
}

/// `reply`: from the other end than the originator. `check`: sequence numbers count.
pub(crate) fn update(peers: &mut [Peer; 2], segment: &Segment, reply: bool, check: bool) -> Update {
    let [first, second] = peers;
    let (src, dst) = if reply { (second, first) } else { (first, second) };
    let flags = segment.flags;
    if impossible(flags) {
        return Update::Invalid;
    }
    if flags & (SYN | ACK) == SYN {
        if dst.state >= TcpState::FinWait2 && src.state >= TcpState::FinWait2 {
            return Update::Renew;
        }
        if src.state <= TcpState::SynSent {
            src.state = TcpState::SynSent;
            return Update::StillNew(Timer::TcpFirst);
        }
    }
    let mut window = segment.window;
    let (mut src_scale, mut dst_scale) = (0, 0);
    if flags & SYN == 0 {
        if src.scale & SCALE_KNOWN != 0 && dst.scale & SCALE_KNOWN != 0 {
            (src_scale, dst_scale) = (src.scale & SCALE_BITS, dst.scale & SCALE_BITS);
        } else if src.scale & SCALE_UNKNOWN != 0 && dst.scale & SCALE_UNKNOWN != 0 {
            (src_scale, dst_scale) = (SCALE_MAX, SCALE_MAX);
        }
    }
    let mut seq = segment.seq;
    let mut end = seq.wrapping_add(segment.payload_bytes + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0));
    let mut check_acks = true;
    if src.state < TcpState::SynSent {
        // The first from this end.
        if flags & SYN != 0 && dst.scale & SCALE_KNOWN != 0 {
            src.scale = segment.scale;
            if src.scale & SCALE_KNOWN != 0 {
                src_scale = src.scale & SCALE_BITS;
                window = shift_down(window, src_scale);
                dst_scale = dst.scale & SCALE_BITS;
            } else {
                // No scales then, in neither direction.
                dst.window = shift_up(dst.window, dst.scale & SCALE_BITS) as u16;
                dst.scale = 0;
            }
        }
        src.sent = seq;
        src.state = TcpState::SynSent;
        let limit = end.wrapping_add(shift_up(dst.window, dst_scale).max(1));
        if src.may_send == 1 || at_least(limit, src.may_send) {
            src.may_send = limit;
            // A connection that is taken up in the middle is not held to acknowledgements yet.
            check_acks = false;
        }
        src.window = src.window.max(window);
    }
    let mut ack = segment.ack;
    if flags & ACK == 0 || ack == 0 && flags & (ACK | RST) == ACK | RST {
        // There is none, or one of a stack that leaves it out.
        ack = dst.sent;
    }
    if seq == end {
        // Nothing sent, so nothing out of place.
        seq = src.sent;
        end = seq;
    }
    let skew = if check_acks { dst.sent.wrapping_sub(ack) as i32 } else { 0 };
    let oldest = src.sent.wrapping_sub(shift_up(dst.window, dst_scale));
    let reset_fits = flags & RST == 0 || segment.seq.wrapping_sub(src.sent).wrapping_add(1) <= 2;
    let fits = at_least(src.may_send, end)
        && at_least(seq, oldest)
        && skew >= -ACK_WINDOW
        && i64::from(skew) <= i64::from(ACK_WINDOW) << src_scale
        && reset_fits;
    let loose = (dst.state < TcpState::SynSent || dst.state >= TcpState::FinWait2 || src.state >= TcpState::FinWait2)
        && at_least(src.may_send.wrapping_add(ACK_WINDOW as u32), end)
        && at_least(seq, src.sent.wrapping_sub(ACK_WINDOW as u32));
    let whole = fits || !check;
    if !whole && !loose {
        return Update::Invalid;
    }
    src.window = src.window.max(window);
    if before(src.sent, end) {
        src.sent = end;
    }
    let offered = shift_up(window, src_scale);
    if at_least(ack.wrapping_add(offered), dst.may_send) {
        dst.may_send = ack.wrapping_add(offered.max(1));
    }
    if flags & FIN != 0 && src.state < TcpState::Closing {
        src.state = TcpState::Closing;
    }
    if whole && flags & ACK != 0 {
        match dst.state {
            TcpState::SynSent => dst.state = TcpState::Established,
            TcpState::Closing => dst.state = TcpState::FinWait2,
            _ => {}
        }
    }
    if flags & RST != 0 {
        (src.state, dst.state) = (TcpState::TimeWait, TcpState::TimeWait);
    }
    if !whole {
        // It may be a flood: it does not keep the connection alive.
        return Update::Valid(None);
    }
    let (lower, upper) = (src.state.min(dst.state), src.state.max(dst.state));
    Update::Valid(Some(if lower >= TcpState::FinWait2 {
        Timer::TcpClosed
    } else if lower >= TcpState::Closing {
        Timer::TcpFinWait
    } else if lower < TcpState::Established {
        Timer::TcpOpening
    } else if upper >= TcpState::Closing {
        Timer::TcpClosing
    } else {
        Timer::TcpEstablished
    }))
}
