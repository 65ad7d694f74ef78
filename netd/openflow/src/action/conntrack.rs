//! `ct` and `nat`.

use super::encode::{Flow, encode_actions};
use super::form::Form;
use super::{Action, Allowed, Outer, decode_actions};
use crate::oxm::{decode_nxm_field, encode_nxm_field};
use crate::wire::{Put, Reader};
use crate::{Context, ErrorCode, Subfield};
use std::net::{Ipv4Addr, Ipv6Addr};

/// NX_CT_F_COMMIT, NX_CT_F_FORCE.
const FLAG_COMMIT: u16 = 1 << 0;
const FLAG_FORCE: u16 = 1 << 1;
/// NX_CT_RECIRC_NONE.
const NO_TABLE: u8 = 0xff;
/// A zone's number has 16 bits, so the field that gives it must be that wide.
const ZONE_BITS: u16 = 16;

/// NXAST_CT: through the connection tracker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conntrack {
    /// Keep the connection.
    pub commit: bool,
    /// The packet's direction becomes the original one.
    pub force: bool,
    /// Flags without a meaning here; they are sent back as they came.
    pub other_flags: u16,
    pub zone: ConntrackZone,
    /// Where a copy of the packet goes on, tracked.
    pub table: Option<u8>,
    /// The well-known port of a protocol that opens connections of its own: 21 FTP, 69 TFTP; 0 none.
    pub helper: u16,
    /// [`Action::Nat`], and what sets the connection's mark and label.
    pub actions: Vec<Action>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConntrackZone {
    Number(u16),
    /// Of 16 bits.
    Field(Subfield),
}

impl Conntrack {
    pub(super) fn decode(body: &mut Reader<'_>, context: &Context, depth: usize) -> Result<Self, ErrorCode> {
        let flags = body.u16()?;
        let (commit, force) = (flags & FLAG_COMMIT != 0, flags & FLAG_FORCE != 0);
        if force && !commit {
            return Err(ErrorCode::ActionBadArgument);
        }
        let zone = if body.rest().starts_with(&[0; 4]) {
            body.skip(4)?;
            ConntrackZone::Number(body.u16()?)
        } else {
            let field = decode_nxm_field(body, context)?;
            let zone = Subfield::decode_offset_bits(field, body.u16()?);
            zone.check_source()?;
            if zone.bits != ZONE_BITS {
                return Err(ErrorCode::ActionBadSetLen);
            }
            ConntrackZone::Field(zone)
        };
        let table = body.u8()?;
        body.skip(3)?;
        let helper = body.u16()?;
        let actions = decode_actions(body, context, Allowed::Actions, Outer::Conntrack, depth)?;
        let harmless = |action: &Action| matches!(action, Action::Nat(nat) if nat.is_plain());
        if !commit && !actions.iter().all(harmless) {
            return Err(ErrorCode::ActionBadArgument);
        }
        let table = (table != NO_TABLE).then_some(table);
        let other_flags = flags & !(FLAG_COMMIT | FLAG_FORCE);
        Ok(Self { commit, force, other_flags, zone, table, helper, actions })
    }

    pub(super) fn encode(&self, flow: &mut Flow, out: &mut Vec<u8>, context: &Context) {
        Form::Conntrack.encode(context.version, out, |out| {
            let commit = if self.commit { FLAG_COMMIT } else { 0 };
            let force = if self.force { FLAG_FORCE } else { 0 };
            out.u16(commit | force | self.other_flags);
            match self.zone {
                ConntrackZone::Number(zone) => {
                    out.u32(0);
                    out.u16(zone);
                }
                ConntrackZone::Field(zone) => {
                    encode_nxm_field(out, zone.field, context);
                    out.u16(zone.offset_bits());
                }
            }
            out.u8(self.table.unwrap_or(NO_TABLE));
            out.zeros(3);
            out.u16(self.helper);
            encode_actions(&self.actions, flow, out, context);
        });
    }
}

/// Flags of NXAST_NAT.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NatFlags {
    pub source: bool,
    pub destination: bool,
    pub persistent: bool,
    pub hash: bool,
    pub random: bool,
}

/// What an address or port is replaced with; an absent maximum is the minimum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatRange {
    V4 { min: Ipv4Addr, max: Option<Ipv4Addr> },
    V6 { min: Ipv6Addr, max: Option<Ipv6Addr> },
}

/// NXAST_NAT. Without flags: what was committed for the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nat {
    pub flags: NatFlags,
    pub addresses: Option<NatRange>,
    /// Not 0; only with addresses.
    pub port_min: Option<u16>,
    pub port_max: Option<u16>,
}

const FLAGS: u16 = 0x1f;
const IPV4_MIN: u16 = 1 << 0;
const IPV4_MAX: u16 = 1 << 1;
const IPV6_MIN: u16 = 1 << 2;
const IPV6_MAX: u16 = 1 << 3;
const PORT_MIN: u16 = 1 << 4;
const PORT_MAX: u16 = 1 << 5;

impl NatFlags {
    fn from_wire(flags: u16) -> Self {
        let [source, destination, persistent, hash, random] = [0, 1, 2, 3, 4].map(|bit| flags >> bit & 1 != 0);
        Self { source, destination, persistent, hash, random }
    }

    fn wire(self) -> u16 {
        let bits = [self.source, self.destination, self.persistent, self.hash, self.random];
        bits.iter().rev().fold(0, |flags, bit| flags << 1 | u16::from(*bit))
    }
}

impl Nat {
    /// Neither flags nor a range: allowed without committing.
    pub fn is_plain(&self) -> bool {
        self.flags == NatFlags::default() && self.addresses.is_none()
    }

    pub(super) fn decode(body: &mut Reader<'_>) -> Result<Self, ErrorCode> {
        const BAD: ErrorCode = ErrorCode::ActionBadArgument;
        body.skip(2)?;
        let raw_flags = body.u16()?;
        let flags = NatFlags::from_wire(raw_flags);
        if raw_flags & !FLAGS != 0 || flags.source && flags.destination || flags.hash && flags.random {
            return Err(BAD);
        }
        let present = body.u16()?;
        let has = |bit: u16| present & bit != 0;
        let mut options = Reader::new(body.take_all(), BAD);
        let addresses = if has(IPV4_MIN) {
            if has(IPV6_MIN) || has(IPV6_MAX) {
                return Err(BAD);
            }
            let min = Ipv4Addr::from_bits(options.u32()?);
            let max = if has(IPV4_MAX) { Some(Ipv4Addr::from_bits(options.u32()?)) } else { None };
            if min.is_unspecified() || max.is_some_and(|max| max < min) {
                return Err(BAD);
            }
            Some(NatRange::V4 { min, max })
        } else if has(IPV4_MAX) {
            return Err(BAD);
        } else if has(IPV6_MIN) {
            let min = Ipv6Addr::from_bits(options.u128()?);
            let max = if has(IPV6_MAX) { Some(Ipv6Addr::from_bits(options.u128()?)) } else { None };
            if min.is_unspecified() || max.is_some_and(|max| max < min) {
                return Err(BAD);
            }
            Some(NatRange::V6 { min, max })
        } else if has(IPV6_MAX) {
            return Err(BAD);
        } else {
            None
        };
        let mut nat = Self { flags, addresses, port_min: None, port_max: None };
        if has(PORT_MIN) {
            let min = options.u16()?;
            if addresses.is_none() || min == 0 {
                return Err(BAD);
            }
            nat.port_min = Some(min);
            if has(PORT_MAX) {
                let max = options.u16()?;
                if max < min {
                    return Err(BAD);
                }
                nat.port_max = Some(max);
            }
        } else if has(PORT_MAX) {
            return Err(BAD);
        }
        Ok(nat)
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>, context: &Context) {
        Form::Nat.encode(context.version, out, |out| {
            let mut present = 0;
            let mut options = Vec::new();
            match self.addresses {
                None => {}
                Some(NatRange::V4 { min, max }) => {
                    present |= IPV4_MIN;
                    options.u32(min.to_bits());
                    if let Some(max) = max {
                        present |= IPV4_MAX;
                        options.u32(max.to_bits());
                    }
                }
                Some(NatRange::V6 { min, max }) => {
                    present |= IPV6_MIN;
                    options.number(min.to_bits(), 16);
                    if let Some(max) = max {
                        present |= IPV6_MAX;
                        options.number(max.to_bits(), 16);
                    }
                }
            }
            for (port, bit) in [(self.port_min, PORT_MIN), (self.port_max, PORT_MAX)] {
                if let Some(port) = port {
                    present |= bit;
                    options.u16(port);
                }
            }
            out.zeros(2);
            out.u16(self.flags.wire());
            out.u16(present);
            out.put(&options);
        });
    }
}
