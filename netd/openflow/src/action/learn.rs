//! `learn`: an action that adds a flow.

use super::form::Form;
use crate::oxm::{decode_field, decode_nxm_field, encode_header, encode_nxm_field};
use crate::wire::{Put, Reader, number};
use crate::{Context, ErrorCode, OxmField, Subfield};

const FLAG_SEND_FLOW_REMOVED: u16 = 1 << 0;
const FLAG_DELETE_LEARNED: u16 = 1 << 1;
const FLAG_WRITE_RESULT: u16 = 1 << 2;

/// Header of a specification: bits 0 to 9 count bits, 11 and 12 say the destination, 13 the source.
const BITS_MASK: u16 = 0x3ff;
const DESTINATION_SHIFT: u16 = 11;
const DESTINATION_MASK: u16 = 3;
const SOURCE_IMMEDIATE: u16 = 1 << 13;

/// NXAST_LEARN and NXAST_LEARN2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Learn {
    pub idle_timeout_s: u16,
    pub hard_timeout_s: u16,
    pub priority: u16,
    pub cookie: u64,
    pub flags: LearnFlags,
    /// Not 255.
    pub table: u8,
    /// Timeouts once a FIN or RST was seen; 0: no change.
    pub fin_idle_timeout_s: u16,
    pub fin_hard_timeout_s: u16,
    /// The most flows of this cookie in that table; 0: no limit.
    pub limit: u32,
    /// One bit that says whether the flow is there.
    pub result: Option<Subfield>,
    pub specs: Vec<LearnSpec>,
    /// It came as NXAST_LEARN2.
    pub second: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LearnFlags {
    pub send_flow_removed: bool,
    /// When this flow goes, the learned ones go.
    pub delete_learned: bool,
}

/// What the learned flow matches on or does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnSpec {
    pub bits: u16,
    pub source: LearnSource,
    pub destination: LearnDestination,
}

impl LearnSpec {
    pub(super) fn held_bytes(&self) -> usize {
        let beside = match &self.source {
            LearnSource::Immediate(bytes) => bytes.len(),
            LearnSource::Field(_) => 0,
        };
        size_of::<Self>() + beside
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LearnSource {
    Field(Subfield),
    /// A number in network order, in as many bytes as its bits take.
    Immediate(Vec<u8>),
}

impl LearnSource {
    /// An immediate of at most 128 bits.
    pub fn immediate(&self) -> Option<u128> {
        match self {
            Self::Immediate(bytes) if bytes.len() <= 16 => Some(number(bytes)),
            _ => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LearnDestination {
    Match(Subfield),
    Load(Subfield),
    /// Output to the port of that number.
    Output,
}

/// A field that is named by its first bit.
fn decode_subfield(body: &mut Reader<'_>, bits: u16, context: &Context) -> Result<Subfield, ErrorCode> {
    Ok(Subfield { field: decode_nxm_field(body, context)?, offset: body.u16()?, bits })
}

fn encode_subfield(subfield: Subfield, out: &mut Vec<u8>, context: &Context) {
    encode_nxm_field(out, subfield.field, context);
    out.u16(subfield.offset);
}

impl Learn {
    pub(super) fn decode(body: &mut Reader<'_>, second: bool, context: &Context) -> Result<Self, ErrorCode> {
        let (idle_timeout_s, hard_timeout_s, priority) = (body.u16()?, body.u16()?, body.u16()?);
        let (cookie, flags, table) = (body.u64()?, body.u16()?, body.u8()?);
        let pad = body.u8()?;
        let (fin_idle_timeout_s, fin_hard_timeout_s) = (body.u16()?, body.u16()?);
        let (limit, result_offset) = if second {
            let (limit, offset) = (body.u32()?, body.u16()?);
            body.zeros(2, ErrorCode::NxActionMustBeZero)?;
            (limit, offset)
        } else {
            (0, 0)
        };
        let known = FLAG_SEND_FLOW_REMOVED | FLAG_DELETE_LEARNED | if second { FLAG_WRITE_RESULT } else { 0 };
        if pad != 0 || table == 0xff || flags & !known != 0 {
            return Err(ErrorCode::ActionBadArgument);
        }
        let result = if flags & FLAG_WRITE_RESULT != 0 {
            let field: OxmField = decode_field(body, context)?;
            if !field.is_writable() {
                return Err(ErrorCode::ActionBadSetArgument);
            }
            Some(Subfield { field, offset: result_offset, bits: 1 })
        } else if result_offset != 0 {
            return Err(ErrorCode::ActionBadArgument);
        } else {
            None
        };
        Ok(Self {
            idle_timeout_s,
            hard_timeout_s,
            priority,
            cookie,
            flags: LearnFlags {
                send_flow_removed: flags & FLAG_SEND_FLOW_REMOVED != 0,
                delete_learned: flags & FLAG_DELETE_LEARNED != 0,
            },
            table,
            fin_idle_timeout_s,
            fin_hard_timeout_s,
            limit,
            result,
            specs: decode_specs(body, context)?,
            second,
        })
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>, context: &Context) {
        let second = self.second || self.limit != 0 || self.result.is_some();
        let form = if second { Form::Learn2 } else { Form::Learn };
        form.encode(context.version, out, |out| {
            out.u16(self.idle_timeout_s);
            out.u16(self.hard_timeout_s);
            out.u16(self.priority);
            out.u64(self.cookie);
            let flag = |set: bool, flag: u16| if set { flag } else { 0 };
            out.u16(
                flag(self.flags.send_flow_removed, FLAG_SEND_FLOW_REMOVED)
                    | flag(self.flags.delete_learned, FLAG_DELETE_LEARNED)
                    | flag(self.result.is_some(), FLAG_WRITE_RESULT),
            );
            out.u8(self.table);
            out.zeros(1);
            out.u16(self.fin_idle_timeout_s);
            out.u16(self.fin_hard_timeout_s);
            if second {
                out.u32(self.limit);
                out.u16(self.result.map_or(0, |result| result.offset));
                out.zeros(2);
            }
            if let Some(result) = self.result {
                encode_header(out, result.field, None, false, context);
            }
            for spec in &self.specs {
                spec.encode(out, context);
            }
        });
    }
}

fn decode_specs(body: &mut Reader<'_>, context: &Context) -> Result<Vec<LearnSpec>, ErrorCode> {
    let mut specs = Vec::new();
    while !body.is_empty() {
        let header = body.u16()?;
        if header == 0 {
            // Padding from here on.
            body.rest_zeros(ErrorCode::ActionBadArgument)?;
            break;
        }
        let bits = header & BITS_MASK;
        let immediate = header & SOURCE_IMMEDIATE != 0;
        let destination = header >> DESTINATION_SHIFT & DESTINATION_MASK;
        if destination == 3 || destination == 2 && immediate {
            return Err(ErrorCode::ActionBadArgument);
        }
        let source_bytes = if immediate { 2 * usize::from(bits.div_ceil(16)) } else { 6 };
        let destination_bytes = if destination == 2 { 0 } else { 6 };
        if body.remaining() < source_bytes + destination_bytes {
            return Err(ErrorCode::ActionBadLen);
        }
        if bits == 0 {
            return Err(ErrorCode::ActionBadSetLen);
        }
        let source = if immediate {
            let bytes = usize::from(bits.div_ceil(8));
            body.skip(source_bytes - bytes)?;
            LearnSource::Immediate(body.take(bytes)?.to_vec())
        } else {
            LearnSource::Field(decode_subfield(body, bits, context)?)
        };
        let destination = match destination {
            0 => LearnDestination::Match(decode_subfield(body, bits, context)?),
            1 => LearnDestination::Load(decode_subfield(body, bits, context)?),
            _ => LearnDestination::Output,
        };
        specs.push(LearnSpec { bits, source, destination });
    }
    Ok(specs)
}

impl LearnSpec {
    fn encode(&self, out: &mut Vec<u8>, context: &Context) {
        let destination = match self.destination {
            LearnDestination::Match(_) => 0,
            LearnDestination::Load(_) => 1,
            LearnDestination::Output => 2,
        };
        let source = if let LearnSource::Immediate(_) = self.source { SOURCE_IMMEDIATE } else { 0 };
        out.u16(self.bits & BITS_MASK | destination << DESTINATION_SHIFT | source);
        match &self.source {
            LearnSource::Field(subfield) => encode_subfield(*subfield, out, context),
            LearnSource::Immediate(bytes) => {
                let width = 2 * usize::from(self.bits.div_ceil(16));
                out.zeros(width.saturating_sub(bytes.len()));
                out.put(bytes);
            }
        }
        if let LearnDestination::Match(subfield) | LearnDestination::Load(subfield) = self.destination {
            encode_subfield(subfield, out, context);
        }
    }
}
