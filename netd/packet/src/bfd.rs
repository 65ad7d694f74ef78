//! Control packets of Bidirectional Forwarding Detection (RFC 5880, 4.1), in the frames that Open vSwitch carries them in.

use crate::{MacAddr, be32, build, ethertype, ipv4, network_layer, protocol, put};
use std::net::Ipv4Addr;

/// Where a session over one hop listens (RFC 5881, 4).
pub const UDP_PORT: u16 = 3784;
const VERSION: u8 = 1;
/// Without authentication.
const PACKET_BYTES: usize = 24;
const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const AUTHENTICATED: u8 = 0x04;
const MULTIPOINT: u8 = 0x01;
/// The other end is one hop away (RFC 5881, 5).
const TTL: u8 = 255;
/// Where a session's packets go, and between which addresses, as with Open vSwitch: vswitchd.conf.db(5).
const DESTINATION: MacAddr = MacAddr([0x00, 0x23, 0x20, 0x00, 0x00, 0x01]);
const FROM: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const TO: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 0);
/// Of the range in RFC 5881, 4.
const SOURCE_PORT: u16 = 49152;

/// Of a session, as one of its ends has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    AdminDown,
    Down,
    Init,
    Up,
}

impl State {
    fn of(bits: u8) -> Self {
        match bits {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    /// As `bfd_status` has it: vswitchd.conf.db(5).
    pub fn name(self) -> &'static str {
        match self {
            Self::AdminDown => "admin_down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        }
    }
}

/// Why a session is not up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diagnostic(pub u8);

impl Diagnostic {
    pub const TIME_EXPIRED: Self = Self(1);
    pub const SIGNALED_DOWN: Self = Self(3);

    /// As `bfd_status` has it.
    pub fn name(self) -> &'static str {
        match self.0 {
            0 => "No Diagnostic",
            1 => "Control Detection Time Expired",
            2 => "Echo Function Failed",
            3 => "Neighbor Signaled Session Down",
            4 => "Forwarding Plane Reset",
            5 => "Path Down",
            6 => "Concatenated Path Down",
            7 => "Administratively Down",
            8 => "Reverse Concatenated Path Down",
            _ => "Unknown Diagnostic",
        }
    }

    /// The session may be up, but what lies behind the other end is not.
    pub fn is_path_down(self) -> bool {
        matches!(self.0, 5 | 6 | 8)
    }
}

/// A control packet without authentication, in asynchronous mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet {
    pub state: State,
    pub diagnostic: Diagnostic,
    pub poll: bool,
    pub is_final: bool,
    pub multiplier: u8,
    /// Discriminators of who sends it, and of whom it is for as far as that is known.
    pub mine: u32,
    pub yours: u32,
    pub min_tx_us: u32,
    pub min_rx_us: u32,
}

impl Packet {
    /// From a frame's beginning. None: it is none, or not to be trusted (RFC 5880, 6.8.6; RFC 5881, 5).
    pub fn parse(frame: &[u8]) -> Option<Self> {
        let (ethertype::IPV4, at) = network_layer(frame)? else { return None };
        let packet = frame.get(at..)?;
        let header = ipv4::Ipv4Header::parse(packet, packet.len())?;
        if header.protocol != protocol::UDP || !header.whole || header.ttl != TTL {
            return None;
        }
        let bytes = header.payload(packet)?.get(8..)?;
        let [first, flags, multiplier, length] = *bytes.first_chunk()?;
        let fits = (PACKET_BYTES..=bytes.len()).contains(&length.into());
        if first >> 5 != VERSION || !fits || multiplier == 0 || flags & (AUTHENTICATED | MULTIPOINT) != 0 {
            return None;
        }
        let this = Self {
            state: State::of(flags >> 6),
            diagnostic: Diagnostic(first & 0x1f),
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            multiplier,
            mine: be32(bytes, 4)?,
            yours: be32(bytes, 8)?,
            min_tx_us: be32(bytes, 12)?,
            min_rx_us: be32(bytes, 16)?,
        };
        let is_addressed = this.yours != 0 || matches!(this.state, State::Down | State::AdminDown);
        (this.mine != 0 && is_addressed && !(this.poll && this.is_final)).then_some(this)
    }

    /// The frame that carries it, from a port with this address.
    pub fn frame(&self, source: MacAddr) -> Vec<u8> {
        let flags = if self.poll { POLL } else { 0 } | if self.is_final { FINAL } else { 0 };
        let mut bytes = vec![
            VERSION << 5 | self.diagnostic.0 & 0x1f,
            (self.state as u8) << 6 | flags,
            self.multiplier,
            PACKET_BYTES as u8,
        ];
        // The last is for echoes, which are not asked for.
        for word in [self.mine, self.yours, self.min_tx_us, self.min_rx_us, 0] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        let mut packet = build::udp(FROM, TO, SOURCE_PORT, UDP_PORT, &bytes);
        put(&mut packet, 8, &[TTL]);
        ipv4::fix_header_checksum(&mut packet);
        build::ethernet(DESTINATION, source, &packet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet() -> impl Strategy<Value = Packet> {
        let words = (1u32.., 1u32.., any::<u32>(), any::<u32>());
        (0u8..4, 0u8..32, 0u8..3, 1u8.., words).prop_map(|(state, diagnostic, flag, multiplier, words)| Packet {
            state: State::of(state),
            diagnostic: Diagnostic(diagnostic),
            poll: flag == 1,
            is_final: flag == 2,
            multiplier,
            mine: words.0,
            yours: words.1,
            min_tx_us: words.2,
            min_rx_us: words.3,
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(packet in packet()) {
            let frame = packet.frame(MacAddr([2, 0, 0, 0, 0, 1]));
            prop_assert_eq!(Packet::parse(&frame), Some(packet));
        }

        #[test]
        fn any_bytes_can_be_read(packet in packet(), at in 0usize..66, byte in any::<u8>(), length in 0usize..66) {
            let mut frame = packet.frame(MacAddr([2, 0, 0, 0, 0, 1]));
            frame[at] = byte;
            let _ = Packet::parse(&frame);
            let _ = Packet::parse(&frame[..length]);
        }
    }

    #[test]
    fn what_is_not_to_be_trusted_is_none() {
        let packet = Packet {
            state: State::Up,
            diagnostic: Diagnostic(0),
            poll: false,
            is_final: false,
            multiplier: 3,
            mine: 1,
            yours: 2,
            min_tx_us: 100_000,
            min_rx_us: 1_000_000,
        };
        let parse = |packet: Packet| Packet::parse(&packet.frame(DESTINATION));
        assert_eq!(parse(packet), Some(packet));
        assert_eq!(parse(Packet { mine: 0, ..packet }), None);
        assert_eq!(parse(Packet { multiplier: 0, ..packet }), None);
        assert_eq!(parse(Packet { poll: true, is_final: true, ..packet }), None);
        // Nobody is up with somebody unknown.
        assert_eq!(parse(Packet { yours: 0, ..packet }), None);
        assert!(parse(Packet { yours: 0, state: State::Down, ..packet }).is_some());
        let changed = |at: usize, byte: u8| {
            let mut frame = packet.frame(DESTINATION);
            frame[at] = byte;
            Packet::parse(&frame)
        };
        // From further away; of another version; authenticated; longer than it is.
        for (at, byte) in [(22, 254), (42, 0x40), (43, 0xc4), (43, 0xc1), (45, 25), (45, 23)] {
            assert_eq!(changed(at, byte), None, "{at}");
        }
    }
}
