//! OFPT_PACKET_IN in all its forms, and NXT_RESUME.

use crate::action::REASON_ACTION;
use crate::oxm::{CookieMask, decode_loose, decode_nxm, encode_fields, encode_loose, encode_nxm};
use crate::property::{self, Property};
use crate::wire::{Put, Reader};
use crate::{Context, ErrorCode, NO_BUFFER, Version};
use hive_flow::{Field, Match};

/// NXPIF_*: which form of packet-in a controller wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PacketInFormat {
    /// OFPT_PACKET_IN.
    #[default]
    Standard,
    /// NXT_PACKET_IN.
    Nicira,
    /// NXT_PACKET_IN2.
    Nicira2,
}

impl PacketInFormat {
    pub(crate) fn from_wire(format: u32) -> Option<Self> {
        [Self::Standard, Self::Nicira, Self::Nicira2].get(format as usize).copied()
    }

    pub(crate) fn wire(self) -> u32 {
        self as u32
    }
}

/// OFPR_*: why a packet was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketInReason {
    NoMatch,
    Action,
    InvalidTtl,
    /// Since OpenFlow 1.4; earlier ones say [`PacketInReason::Action`].
    ActionSet,
    Group,
    PacketOut,
    /// A table-miss flow sent it: OpenFlow 1.0 calls that an action, later ones no match.
    ExplicitMiss,
    Other(u8),
}

impl PacketInReason {
    pub(crate) fn from_wire(reason: u8) -> Self {
        match reason {
            0 => Self::NoMatch,
            1 => Self::Action,
            2 => Self::InvalidTtl,
            3 => Self::ActionSet,
            4 => Self::Group,
            5 => Self::PacketOut,
            other => Self::Other(other),
        }
    }

    fn wire(self, version: Version) -> u8 {
        match self {
            Self::NoMatch => 0,
            Self::Action => 1,
            Self::InvalidTtl => 2,
            Self::ActionSet | Self::Group | Self::PacketOut if version < Version::V1_4 => REASON_ACTION,
            Self::ActionSet => 3,
            Self::Group => 4,
            Self::PacketOut => 5,
            Self::ExplicitMiss => u8::from(version == Version::V1_0),
            Self::Other(other) => other,
        }
    }
}

/// A packet for the controller; also what NXT_RESUME sends back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PacketIn {
    pub format: PacketInFormat,
    /// See [`NO_BUFFER`]: Open vSwitch keeps none.
    pub buffer: u32,
    /// Bytes of the whole packet.
    pub total_bytes: u32,
    pub reason: PacketInReason,
    pub table: u8,
    /// All ones: of no flow.
    pub cookie: u64,
    /// Registers, metadata, input port, tunnel: what the packet itself does not hold.
    pub metadata: Match,
    /// The packet, or its first bytes.
    pub packet: Vec<u8>,
    /// Of [`PacketInFormat::Nicira2`] only.
    pub userdata: Vec<u8>,
    /// Of [`PacketInFormat::Nicira2`] only: the switch's own, which NXT_RESUME returns. Hostile when it comes back.
    pub continuation: Vec<u8>,
}

/// NXPINT_*.
const PACKET: u64 = 0;
const FULL_LENGTH: u64 = 1;
const BUFFER_ID: u64 = 2;
const TABLE_ID: u64 = 3;
const COOKIE: u64 = 4;
const REASON: u64 = 5;
const METADATA: u64 = 6;
const USERDATA: u64 = 7;
const CONTINUATION: u64 = 8;

const NO_COOKIE: u64 = u64::MAX;

impl PacketIn {
    fn empty(format: PacketInFormat) -> Self {
        Self {
            format,
            buffer: NO_BUFFER,
            total_bytes: 0,
            reason: PacketInReason::NoMatch,
            table: 0,
            cookie: NO_COOKIE,
            metadata: Match::default(),
            packet: Vec::new(),
            userdata: Vec::new(),
            continuation: Vec::new(),
        }
    }

    pub(crate) fn decode(
        reader: &mut Reader<'_>,
        format: PacketInFormat,
        context: &Context,
    ) -> Result<Self, ErrorCode> {
        let mut this = Self::empty(format);
        if format == PacketInFormat::Nicira2 {
            this.decode_properties(reader, context)?;
            return Ok(this);
        }
        this.buffer = reader.u32()?;
        this.total_bytes = reader.u16()?.into();
        if format == PacketInFormat::Standard && context.version == Version::V1_0 {
            this.metadata.exactly(Field::InPort, reader.u16()?.into());
            this.reason = PacketInReason::from_wire(reader.u8()?);
            reader.skip(1)?;
        } else {
            this.reason = PacketInReason::from_wire(reader.u8()?);
            this.table = reader.u8()?;
            this.cookie = reader.u64()?;
            if format == PacketInFormat::Nicira {
                let match_bytes = reader.u16()?;
                reader.skip(6)?;
                this.metadata = decode_nxm(reader, match_bytes.into(), None, true, context)?;
            } else {
                this.metadata = decode_loose(reader, context)?;
            }
            // So that the IP header of the frame is aligned.
            reader.skip(2)?;
        }
        this.packet = reader.take_all().to_vec();
        Ok(this)
    }

    fn decode_properties(&mut self, reader: &mut Reader<'_>, context: &Context) -> Result<(), ErrorCode> {
        while !reader.is_empty() {
            let property = Property::decode(reader)?;
            match property.kind {
                PACKET => self.packet = property.content.to_vec(),
                FULL_LENGTH => self.total_bytes = property.u32()?,
                BUFFER_ID => self.buffer = property.u32()?,
                TABLE_ID => self.table = property.u8()?,
                COOKIE => self.cookie = property.u64()?,
                REASON => self.reason = PacketInReason::from_wire(property.u8()?),
                METADATA => {
                    let mut fields = Reader::new(property.content, ErrorCode::MatchBadLen);
                    let length = fields.remaining();
                    self.metadata = crate::oxm::decode_raw(fields.take(length)?, context)?;
                }
                USERDATA => self.userdata = property.content.to_vec(),
                CONTINUATION => self.continuation = property.nested()?.take_all().to_vec(),
                _ => return Err(property.unknown()),
            }
        }
        let length = self.packet.len() as u32;
        if length == 0 || self.total_bytes != 0 && self.total_bytes < length {
            return Err(ErrorCode::RequestBadLen);
        }
        if self.total_bytes == 0 {
            self.total_bytes = length;
        }
        Ok(())
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>, context: &Context) {
        let reason = self.reason.wire(context.version);
        let total_bytes = u16::try_from(self.total_bytes).unwrap_or(u16::MAX);
        match self.format {
            PacketInFormat::Nicira2 => self.encode_properties(out, context),
            PacketInFormat::Standard if context.version == Version::V1_0 => {
                out.u32(self.buffer);
                out.u16(total_bytes);
                out.u16(self.metadata.get(Field::InPort).value as u16);
                out.u8(reason);
                out.zeros(1);
                out.put(&self.packet);
            }
            format => {
                out.u32(self.buffer);
                out.u16(total_bytes);
                out.u8(reason);
                out.u8(self.table);
                out.u64(self.cookie);
                if format == PacketInFormat::Nicira {
                    let place = out.len();
                    out.zeros(8);
                    let match_bytes = encode_nxm(&self.metadata, CookieMask::default(), out, context);
                    out.set(place, &match_bytes.to_be_bytes());
                } else {
                    encode_loose(&self.metadata, out, context);
                }
                out.zeros(2);
                out.put(&self.packet);
            }
        }
    }

    fn encode_properties(&self, out: &mut Vec<u8>, context: &Context) {
        property::put(out, PACKET, |out| out.put(&self.packet));
        if self.total_bytes as usize != self.packet.len() {
            property::put_u32(out, FULL_LENGTH, self.total_bytes);
        }
        if self.buffer != NO_BUFFER {
            property::put_u32(out, BUFFER_ID, self.buffer);
        }
        property::put_u8(out, TABLE_ID, self.table);
        if self.cookie != NO_COOKIE {
            property::put_u64(out, COOKIE, self.cookie);
        }
        property::put_u8(out, REASON, self.reason.wire(context.version));
        property::put(out, METADATA, |out| encode_fields(&self.metadata, Some(context.version), out, context));
        if !self.continuation.is_empty() {
            property::put_nested(out, CONTINUATION, |out| out.put(&self.continuation));
        }
        if !self.userdata.is_empty() {
            property::put(out, USERDATA, |out| out.put(&self.userdata));
        }
    }
}
