//! What is asked of connection tracking, and what it answers.

use crate::arena::ConnectionId;
use crate::nat::Nat;
use crate::splice::Splice;
use crate::tuple::Tuple;
use hive_flow::{Field, Key};

/// Bits of `ct_state`.
pub mod state {
    /// Not answered yet.
    pub const NEW: u8 = 0x01;
    pub const ESTABLISHED: u8 = 0x02;
    /// Of another connection's making: an ICMP error about it, or expected by a helper.
    pub const RELATED: u8 = 0x04;
    /// From the other end than the one that began.
    pub const REPLY: u8 = 0x08;
    pub const INVALID: u8 = 0x10;
    pub const TRACKED: u8 = 0x20;
    /// The source address was translated.
    pub const SNAT: u8 = 0x40;
    pub const DNAT: u8 = 0x80;
}

/// Helpers (`alg=`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helper {
    Ftp,
}

/// `ct(...)`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    pub zone: u16,
    pub commit: bool,
    /// A connection that the other end began is forgotten, and this packet begins one. Means commit too.
    pub force: bool,
    /// Value and mask.
    pub mark: Option<(u32, u32)>,
    /// Value and mask.
    pub label: Option<(u128, u128)>,
    pub nat: Option<Nat>,
    pub helper: Option<Helper>,
}

/// Why a connection was not made although it should have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The limit of all zones.
    Full,
    ZoneFull,
    /// No address and port to translate to is free; the packet is invalid.
    NatExhausted,
    /// A fragment of a datagram whose first one was not seen, that overlaps another, or that is one too many; it is invalid.
    Fragment,
}

/// What a packet is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// `ct_state`: bits of [`state`].
    pub state: u8,
    pub zone: u16,
    pub mark: u32,
    pub label: u128,
    /// The tuple that the connection began with (`ct_nw_src` and so on); the packet's own if there is no connection.
    pub original: Option<Tuple>,
    pub connection: Option<ConnectionId>,
    pub refusal: Option<Refusal>,
    /// A helper wants the payload changed, by the caller, who can make the packet longer.
    pub splice: Option<Box<Splice>>,
}

impl Verdict {
    /// Writes the `ct_` fields.
    pub fn apply(&self, key: &mut Key) {
        key.set(Field::CtState, self.state.into());
        key.set(Field::CtZone, self.zone.into());
        key.set(Field::CtMark, self.mark.into());
        key.set(Field::CtLabel, self.label);
        for field in [Field::CtNwSrc, Field::CtNwDst, Field::CtIpv6Src, Field::CtIpv6Dst, Field::CtNwProto] {
            key.set(field, 0);
        }
        key.set(Field::CtTpSrc, 0);
        key.set(Field::CtTpDst, 0);
        let Some(tuple) = &self.original else { return };
        let (source, destination) =
            if tuple.is_v6() { (Field::CtIpv6Src, Field::CtIpv6Dst) } else { (Field::CtNwSrc, Field::CtNwDst) };
        key.set(source, tuple.source());
        key.set(destination, tuple.destination());
        key.set(Field::CtNwProto, tuple.protocol().into());
        let (source, destination) = if tuple.is_icmp() {
            let [kind, code] = tuple.destination_port().to_be_bytes();
            (u16::from(kind), u16::from(code))
        } else {
            (tuple.source_port(), tuple.destination_port())
        };
        key.set(Field::CtTpSrc, source.into());
        key.set(Field::CtTpDst, destination.into());
    }
}
